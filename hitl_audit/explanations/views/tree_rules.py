"""A single decision tree as the list of its rules, in raw features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import ModelOutput, Scale
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import (
    check_integers,
    final_estimator,
    notes_html,
    read_subject,
    value_words,
)
from hitl_audit.explanations.views.plain_columns import Step, tree_paths
from hitl_audit.explanations.views.transparent import slope_of
from hitl_audit.slices.conditions import Condition, described

__all__ = ["TreeRules", "tree_rules"]

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-6
MOST_LISTED = 5


@dataclass(frozen=True, eq=False, repr=False)
class TreeRules:
    """A single decision tree as the list of its rules.

    Attributes:
        rules: one line per leaf; see :meth:`frame`.
        leaf_of: the leaf of each row (index: the cases).
        output_words: what the rules say: ``probability of 1``.
        notes: what these rules do not say.
    """

    rules: pd.DataFrame
    leaf_of: pd.Series
    output_words: str
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """leaf, rule, says (the output), n, share (of the rows of X)."""
        return self.rules.copy()

    def words(self, case: Hashable) -> str:
        """The path of one case, as a sentence.

        Raises:
            InputError: no such case, or several.
        """
        places = np.flatnonzero(self.leaf_of.index == case)
        if len(places) != 1:
            raise InputError(f"case is {case!r}: {len(places)} rows have that label; expected one")
        line = self.rules[self.rules["leaf"] == self.leaf_of.iloc[places[0]]].iloc[0]
        return f"Case {case}: {line['rule']}, so the {self.output_words} is {line['says']:.3g}."

    def chart(self) -> Chart:
        """What each rule says, with the number of rows it decides."""
        y = tuple(float(v) for v in self.rules["says"])
        notes = tuple(f"n = {n:,}" for n in self.rules["n"])
        message = f"The tree's {len(y)} rules give the {self.output_words}"
        numbers = "; ".join(f"{r}: {v:.3g}" for r, v in zip(self.rules["rule"], y, strict=True))
        series = Series("rules", tuple(self.rules["rule"]), y, notes=notes)
        return Chart("bars", message, f"{message}. {numbers}.", self.output_words, (series,))

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return f"<TreeRules of {self.output_words}: {len(self.rules)} rules>"

    def _repr_html_(self) -> str:
        return notes_html(self, self.rules, self.notes)


def tree_rules(
    model: Any,
    X: Any,
    *,
    output: Any = None,
    scale: Scale | None = None,
    max_leaves: int = 200,
    feature_names: Sequence[str] | None = None,
) -> TreeRules:
    """The rules of a single decision tree in raw features, checked against the model.

    A split on a transformed column is told by the raw values of X that go
    either way: a number by where it is cut, any other feature by its values.

    Args:
        model: a scikit-learn decision tree, or a Pipeline that ends in one.
        X: raw rows, a DataFrame or a 2-D array; its index names the cases.
        output: as in ``explain``.
        scale: ``"probability"``, or ``"value"``, the default for a regressor.
        max_leaves: a tree with more leaves is not read by people and is refused.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, or the model is no single tree.
        ExplanationError: the rules do not give the model's output.
    """
    check_integers(max_leaves=(max_leaves, 1))
    subject = read_subject(model, X, output=output, scale=scale, feature_names=feature_names)
    rows, what = subject.rows, subject.output
    if what.scale == "log-odds":
        raise InputError('scale is "log-odds"; expected "probability" or "value"')
    last = final_estimator(model)
    tree = getattr(last, "tree_", None)
    if tree is None:
        raise InputError(f"model ends in {type(last).__name__}; expected a single decision tree")
    said = what(rows)
    encoding = read_encoding(model, rows, as_array=what.as_array)
    if tree.n_leaves > max_leaves:
        raise InputError(
            f"the tree has {tree.n_leaves:,} leaves; at most {max_leaves} are told (max_leaves)"
        )
    table = encoding.transform(rows)
    leaves = tree.apply(table.astype(np.float32))
    splits = _Splits(encoding, rows, table)
    lines = []
    for leaf, path in tree_paths(tree):
        here = leaves == leaf
        says = _says(tree, leaf, what)
        off = float(np.abs(said[here] - says).max()) if here.any() else 0.0
        if off > TOLERANCE:
            raise ExplanationError(
                f"the rules miss the model's {what.words} by up to {off:.2g} "
                f"(accepted: {TOLERANCE:g})"
            )
        lines.append((leaf, splits.words(path), says, int(here.sum()), float(here.mean())))
    notes = [
        "the rules are the whole model; why a cut lies where it does, and how sure it is, they do "
        "not say: another sample of training rows can give another tree",
    ]
    if any(not n for _, _, _, n, _ in lines):
        notes.append("rules with n = 0 decide no row of X")
    if any(rows[c].isna().any() for c in rows.columns):
        notes.append("which way missing values go is told at each split that they reach")
    return TreeRules(
        rules=pd.DataFrame(lines, columns=["leaf", "rule", "says", "n", "share"]),
        leaf_of=pd.Series(leaves, index=rows.index),
        output_words=what.words,
        notes=tuple(notes),
    )


def _says(tree: Any, leaf: int, what: ModelOutput) -> float:
    value = np.asarray(tree.value[leaf], dtype=np.float64).ravel()
    return float(value[0] if what.scale == "value" else value[what.position] / value.sum())


@dataclass(frozen=True, eq=False)
class _Splits:
    """How a cut of a transformed column reads in raw values."""

    encoding: Encoding
    rows: pd.DataFrame
    table: FloatArray

    def words(self, path: Sequence[Step]) -> str:
        """A path in words; cuts of one number are joined into a range."""
        by_feature: dict[int, list[Step]] = {}
        for step in path:
            by_feature.setdefault(int(self.encoding.source[step[0]]), []).append(step)
        return (
            " and ".join(self._feature(j, steps) for j, steps in by_feature.items()) or "all rows"
        )

    def _feature(self, j: int, steps: Sequence[Step]) -> str:
        column, name = self.rows.iloc[:, j], str(self.rows.columns[j])
        present = column.notna().to_numpy()
        met = np.ones(len(column), dtype=bool)
        above: float | None = None
        up_to: float | None = None
        straight = is_number(column)
        for step in steps:
            values = self.table[:, step.column].astype(np.float32)
            met &= np.where(
                np.isnan(values), step.missing, (values <= step.threshold) == step.below
            )
            line = _line_of(column, self.table[:, step.column])
            if line is None:
                # Constant for all numbers that are there: it speaks of missing ones only.
                straight &= len(np.unique(values[present])) == 1
                continue
            cut = (step.threshold - line[1]) / line[0]
            if step.below == (line[0] > 0):
                up_to = cut if up_to is None else min(up_to, cut)
            else:
                above = cut if above is None else max(above, cut)
        missing = " or is missing" if (met & ~present).any() else ""
        if straight and (above is not None or up_to is not None):
            told = described((Condition(name, "range", above, up_to, label=name),))
            return f"{told}{missing}"
        if not (met & present).any():
            return f"{name} is missing" if missing else f"{name} has no value of these rows"
        if straight:
            return f"{name} is not missing"
        kept = column[met & present].drop_duplicates()
        others = column[~met & present].drop_duplicates()
        if is_number(column) and len(kept) > MOST_LISTED:
            return f"{name} from {value_words(kept.min())} to {value_words(kept.max())}{missing}"
        if len(others) == 1 and len(kept) > 1:
            return f"{name} is not {value_words(others.iloc[0])}{missing}"
        return f"{name} is {' or '.join(sorted(map(value_words, kept.tolist())))}{missing}"


def _line_of(column: pd.Series, values: FloatArray) -> tuple[float, float] | None:
    """Slope and offset of a transformed column over the raw numbers, if it is a straight line."""
    if not is_number(column):
        return None
    present = column.notna().to_numpy()
    if not present.any():
        return None
    numbers = column[present].to_numpy(dtype=np.float64)
    slope = slope_of(numbers, values[present])
    if slope is None or slope == 0:
        return None
    return slope, float(values[present].mean() - slope * numbers.mean())
