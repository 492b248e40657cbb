"""Raw features as columns that a transparent model can be read in, and its paths in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import value_words
from hitl_audit.slices.conditions import Condition, cells_of, described

__all__ = ["PlainColumns", "Step", "tree_paths"]

EVERYTHING = "all rows"


class Step(NamedTuple):
    """One split on a path: is the column at most the threshold, and do missing values go there?"""

    column: int
    threshold: float
    below: bool
    missing: bool


@dataclass(frozen=True, eq=False)
class PlainColumns:
    """Numbers as they are, a yes-no column per category and per missing value.

    Attributes:
        features: the raw feature of each column.
        conditions: what a yes-no column asks; ``None`` for a number.
        medians: what a missing number counts as.
        notes: that, in words.
    """

    features: tuple[Any, ...]
    conditions: tuple[Condition | None, ...]
    medians: dict[Any, float]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> PlainColumns:
        """Learn the columns from raw rows: up to 20 categories per feature that 5 rows have."""
        features: list[Any] = []
        conditions: list[Condition | None] = []
        medians: dict[Any, float] = {}
        filled = []
        for name in rows.columns:
            column = rows[name]
            if is_number(column):
                features.append(name)
                conditions.append(None)
                medians[name] = float(column.median()) if column.notna().any() else 0.0
                if column.isna().any():
                    features.append(name)
                    conditions.append(Condition(str(name), "missing", label=str(name)))
                    filled.append(f"{name} = {value_words(medians[name])}")
                continue
            every = np.ones(len(rows), dtype=bool)
            cells = cells_of(column.rename(str(name)), every, bins=2, min_size=5, labels={})
            for condition in cells.conditions:
                features.append(name)
                conditions.append(condition)
        notes: tuple[str, ...] = ()
        if filled:
            notes = (f"a missing number counts as the median of the others: {', '.join(filled)}",)
        return cls(tuple(features), tuple(conditions), medians, notes)

    @property
    def terms(self) -> tuple[str, ...]:
        """The columns in words: ``income``, ``job is nurse``."""
        return tuple(
            str(f) if c is None else c.words
            for f, c in zip(self.features, self.conditions, strict=True)
        )

    def table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The columns of raw rows, as floats, named by position."""
        made = {}
        for j, (name, condition) in enumerate(zip(self.features, self.conditions, strict=True)):
            if condition is None:
                numbers = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
                made[f"c{j}"] = np.where(np.isnan(numbers), self.medians[name], numbers)
            else:
                made[f"c{j}"] = condition.holds(rows[name]).astype(np.float64)
        return pd.DataFrame(made, index=rows.index)

    def rule_words(self, path: Sequence[Step]) -> str:
        """A path in words, one range per number: ``income above 3 and job is not nurse``."""
        ranges: dict[int, list[float | None]] = {}
        words: dict[int, str] = {}
        for column, threshold, below, _ in path:
            condition = self.conditions[column]
            if condition is not None:
                words[column] = condition.negated if below else condition.words
                continue
            ends = ranges.setdefault(column, [None, None])
            words.setdefault(column, "")
            if below:
                ends[1] = threshold if ends[1] is None else min(ends[1], threshold)
            else:
                ends[0] = threshold if ends[0] is None else max(ends[0], threshold)
        for column, (above, up_to) in ranges.items():
            name = str(self.features[column])
            words[column] = described((Condition(name, "range", above, up_to, label=name),))
        return " and ".join(words.values()) or EVERYTHING


def tree_paths(tree: Any) -> Iterator[tuple[int, tuple[Step, ...]]]:
    """Each leaf of a scikit-learn ``tree_`` with its path, from left to right."""
    stack: list[tuple[int, tuple[Step, ...]]] = [(0, ())]
    while stack:
        node, path = stack.pop()
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            yield node, path
            continue
        column, threshold = int(tree.feature[node]), float(tree.threshold[node])
        to_left = bool(tree.missing_go_to_left[node])
        stack.append((right, (*path, Step(column, threshold, False, not to_left))))
        stack.append((left, (*path, Step(column, threshold, True, to_left))))
