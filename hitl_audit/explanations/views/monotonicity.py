"""Does the output ever move against the direction that a feature is said to have?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import (
    ask_with,
    check_integers,
    check_share,
    feature_grid,
    feature_of,
    notes_html,
    read_subject,
    value_words,
)
from hitl_audit.intervals import Count, clopper_pearson

__all__ = ["Direction", "Monotonicity", "monotonicity"]

FloatArray = npt.NDArray[np.float64]
Direction = Literal["increasing", "decreasing", "detect"]


@dataclass(frozen=True, eq=False, repr=False)
class Monotonicity:
    """Rows in which one output moves against the direction of one feature.

    Attributes:
        features: one line per feature; see :meth:`frame`.
        output_words: what is looked at: ``probability of 1``.
        tolerance: a move against the direction of at most this is none.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    features: pd.DataFrame
    output_words: str
    tolerance: float
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One line per feature.

        Columns: feature, declared, direction (what is counted against: the
        declared one, or in detection the one with fewer violations), found
        (``increasing``, ``decreasing``, ``no change`` or ``neither``, in all
        rows), n, violating (rows), share, low, high, interval, moved (largest
        change against the direction, ≥ 0), case, from_value, to_value,
        from_output, to_output (of that worst violation; missing if there is none).
        """
        return self.features.copy()

    @property
    def words(self) -> tuple[str, ...]:
        """One sentence per feature."""
        return tuple(self._sentence(line) for _, line in self.features.iterrows())

    def _sentence(self, line: pd.Series) -> str:
        share = (
            f"{line['violating']:,} of {line['n']:,} rows ({line['share']:.1%}, {line['low']:.1%} "
            f"to {line['high']:.1%})"
        )
        if line["found"] == "no change":
            return f"{line['feature']}: alone it never changes the {self.output_words}."
        verb = "falls" if line["direction"] == "increasing" else "rises"
        if not line["violating"]:
            told = f"{line['feature']}: {line['direction']} in every row; against it {share}"
            return told + "."
        return (
            f"{line['feature']}: the {self.output_words} {verb} as it increases in {share}; worst "
            f"in case {line['case']}, from {line['from_output']:.3g} at "
            f"{value_words(line['from_value'])} to {line['to_output']:.3g} at "
            f"{value_words(line['to_value'])}."
        )

    def chart(self) -> Chart:
        """Share of rows that move against the direction, with its interval."""
        table = self.features
        bad = table[table["violating"] > 0]
        message = (
            f"{len(bad)} of {len(table)} features move the {self.output_words} against their "
            f"direction in some row"
        )
        series = Series(
            "rows against the direction",
            tuple(f"{f} ({d})" for f, d in zip(table["feature"], table["direction"], strict=True)),
            tuple(float(v) for v in table["share"]),
            low=tuple(float(v) for v in table["low"]),
            high=tuple(float(v) for v in table["high"]),
            notes=tuple(f"n = {n:,}" for n in table["n"]),
        )
        alt = " ".join([f"{message}.", *self.words])
        label = "share of rows that move against the direction"
        return Chart("intervals", message, alt, label, (series,), percent=True)

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return f"<Monotonicity: {' '.join(self.words)}>"

    def _repr_html_(self) -> str:
        return notes_html(self, self.features.drop(columns="interval"), self.notes)


def monotonicity(
    model: Any,
    X: Any,
    directions: Mapping[str, Direction] | Sequence[str],
    *,
    grid: int = 20,
    tolerance: float = 1e-9,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    max_rows: int | None = 1000,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> Monotonicity:
    """Move one feature along its observed range in real rows, and watch the output.

    A row violates a direction if between any two of the points the output
    moves against it by more than ``tolerance``. The share of such rows has a
    Clopper-Pearson interval.

    Args:
        model: as in ``explain``.
        X: raw rows, a DataFrame or a 2-D array; the index names the cases.
        directions: feature → ``"increasing"``, ``"decreasing"`` or
            ``"detect"``; a list of features detects.
        grid: points per number, values that occur at even quantiles.
        tolerance: see above, ≥ 0, on the scale of the output.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of the intervals.
        max_rows: of more rows, this many are sampled; ``None`` takes all.
        random_state: seed of that sample.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, or a feature has no order:
            numbers, booleans and ordered categories have one.
        ExplanationError: the model failed.
    """
    check_integers(grid=(grid, 2))
    check_share("confidence", confidence)
    if not tolerance >= 0:
        raise InputError(f"tolerance is {tolerance}; expected a number of at least 0")
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        max_rows=max_rows,
        random_state=random_state,
    )
    if isinstance(directions, str) or not isinstance(directions, Mapping | Iterable):
        raise InputError(
            f"directions is {directions!r}; expected a list of features, or a mapping from "
            "features to directions"
        )
    declared = (
        dict(directions) if isinstance(directions, Mapping) else dict.fromkeys(directions, "detect")
    )
    columns = _columns(subject.rows, declared)
    notes = list(subject.notes)
    lines = []
    for name, direction in columns.items():
        present = subject.rows[subject.rows[name].notna()]
        if len(present) < len(subject.rows):
            absent = len(subject.rows) - len(present)
            notes.append(f"{absent:,} rows without {name} are left out for it")
        values, _ = feature_grid(present[name], grid, name=str(name))
        outputs = ask_with(subject.output, present, name, values)
        lines.append(
            _line(str(name), direction, present.index, values, outputs, tolerance, confidence)
        )
    notes += [
        f"each number is tried at up to {grid} values that occur; between them the output may do "
        f"otherwise",
        "one feature moves while the others stay: in real life they may move with it",
    ]
    return Monotonicity(
        features=pd.DataFrame(lines),
        output_words=subject.output.words,
        tolerance=tolerance,
        confidence=confidence,
        notes=tuple(notes),
    )


def _columns(rows: pd.DataFrame, declared: Mapping[str, str]) -> dict[Any, str]:
    if not declared:
        raise InputError("directions is empty; expected at least one feature")
    accepted = get_args(Direction)
    found: dict[Any, str] = {}
    for feature, direction in declared.items():
        name = feature_of(rows, feature, name="directions: feature")
        if direction not in accepted:
            raise InputError(
                f'directions: {feature} is "{direction}"; accepted: {", ".join(accepted)}'
                f"{did_you_mean(str(direction), accepted)}"
            )
        dtype = rows[name].dtype
        ordered = isinstance(dtype, pd.CategoricalDtype) and bool(dtype.ordered)
        if not (is_number(rows[name]) or is_bool_dtype(dtype) or ordered):
            raise InputError(
                f"directions: {feature} has no order; accepted: numbers, booleans and ordered "
                f"categories"
            )
        found[name] = direction
    return found


def _line(
    name: str,
    declared: str,
    index: pd.Index,
    values: Any,
    outputs: FloatArray,
    tolerance: float,
    confidence: float,
) -> dict[str, Any]:
    falls, rises = _against(outputs), _against(-outputs)
    counts = {
        "increasing": int((falls.max(axis=1) > tolerance).sum()),
        "decreasing": int((rises.max(axis=1) > tolerance).sum()),
    }
    clean = [direction for direction, count in counts.items() if count == 0]
    found = "no change" if len(clean) == 2 else clean[0] if clean else "neither"
    direction = declared if declared != "detect" else min(counts, key=counts.__getitem__)
    against = falls if direction == "increasing" else rises
    n, violating = len(outputs), counts[direction]
    low, high = clopper_pearson(Count(violating, n), confidence=confidence) or (np.nan, np.nan)
    line: dict[str, Any] = {
        "feature": name,
        "declared": declared,
        "direction": direction,
        "found": found,
        "n": n,
        "violating": violating,
        "share": violating / n,
        "low": low,
        "high": high,
        "interval": "Clopper-Pearson",
        "moved": float(max(against.max(), 0.0)) if violating else 0.0,
    }
    worst: dict[str, Any] = dict.fromkeys(
        ("case", "from_value", "to_value", "from_output", "to_output")
    )
    if violating:
        row, end = (int(k) for k in np.unravel_index(int(against.argmax()), against.shape))
        before = outputs[row, : end + 1]
        start = int(before.argmax() if direction == "increasing" else before.argmin())
        worst = {
            "case": index[row],
            "from_value": values[start],
            "to_value": values[end],
            "from_output": float(outputs[row, start]),
            "to_output": float(outputs[row, end]),
        }
    return line | worst


def _against(outputs: FloatArray) -> FloatArray:
    """How far each output is below the highest one before it, shape (n, g)."""
    return np.asarray(np.maximum.accumulate(outputs, axis=1) - outputs)
