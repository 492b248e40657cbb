"""What a reader of an audit should know about each model input, from rows that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.groups import level_text
from hitl_audit.population.batch import Batch, counted_levels

__all__ = ["ColumnFacts", "facts_of"]

_SHOWN = 5


@dataclass(frozen=True)
class ColumnFacts:
    """One model input in some of the rows.

    Attributes:
        missing: rows without a value.
        values: the first two values that occur, as text in alphabetical order; "" for
            missing ones.
        is_outcome: the value is the recorded outcome in every row.
        unseen: rows with a value that a fitted encoder does not know.
        shown: the first such values in alphabetical order, as text.
    """

    missing: int
    values: tuple[str, ...]
    is_outcome: bool
    unseen: int
    shown: tuple[str, ...]

    def __add__(self, other: ColumnFacts) -> ColumnFacts:
        return ColumnFacts(
            self.missing + other.missing,
            tuple(sorted({*self.values, *other.values})[:2]),
            self.is_outcome and other.is_outcome,
            self.unseen + other.unseen,
            tuple(sorted({*self.shown, *other.shown})[:_SHOWN]),
        )

    @property
    def constant(self) -> bool:
        """Is there one value only?"""
        return len(self.values) == 1


def facts_of(
    batch: Batch, name: str, y_true: npt.NDArray[np.int64], known: Sequence[Any] | None
) -> ColumnFacts:
    """The facts of one model input in some rows.

    Args:
        batch: the rows.
        name: the model input.
        y_true: (rows,) recorded outcome, 0 or 1.
        known: the values that a fitted encoder knows, if the column has one.
    """
    column = batch.frame[name]
    numeric = column.dtype != object
    unseen = 0
    shown: tuple[str, ...] = ()
    if numeric and known is None:
        numbers = column.to_numpy(dtype=np.float64)
        low, high = (np.fmin.reduce(numbers), np.fmax.reduce(numbers)) if len(numbers) else (0, 0)
        missing = int(np.isnan(numbers).sum())
        ends = (low, high) if missing < len(numbers) else ()
        texts = {repr(float(value) + 0.0) for value in ends}
    else:
        levels = batch.levels(name)
        counts, missing = counted_levels(levels)
        texts = {repr(v + 0.0) if numeric else f"text {v}" for v in levels.values}
        if known is not None and len(levels.values):
            new = np.flatnonzero(~pd.Series(levels.values).isin(list(known))).tolist()
            unseen = int(counts[new].sum())
            shown = tuple(sorted({level_text(levels.values[i]) for i in new})[:_SHOWN])
    return ColumnFacts(
        missing=missing,
        values=tuple(sorted({*texts, *([""] if missing else [])})[:2]),
        is_outcome=numeric and not missing and bool(np.array_equal(column.to_numpy(), y_true)),
        unseen=unseen,
        shown=shown,
    )
