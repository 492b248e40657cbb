"""What a reader of an audit should know about each model input, from rows that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.groups import level_text

__all__ = ["ColumnFacts", "facts_of"]

_SHOWN = 5


@dataclass(frozen=True)
class ColumnFacts:
    """One model input in some of the rows.

    Attributes:
        missing: rows without a value.
        values: the values that occur as text, "" for missing ones; two of them stand
            for two or more.
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
    column: pd.Series, y_true: npt.NDArray[np.int64], known: Sequence[Any] | None
) -> ColumnFacts:
    """The facts of some rows.

    Args:
        column: (rows,) values of :func:`hitl_audit.rows.normal_frame`.
        y_true: (rows,) recorded outcome, 0 or 1.
        known: the values that a fitted encoder knows, if the column has one.
    """
    numeric = column.dtype != object
    values = column.to_numpy()
    if numeric and known is None:
        numbers = values.astype(np.float64)
        absent = np.isnan(numbers)
        missing = int(absent.sum())
        present = numbers if not missing else numbers[~absent]
        ends = (present.min(), present.max()) if len(present) else ()
        texts = {repr(float(v) + 0.0) for v in ends}
        levels: Any = ()
        counts = np.zeros(0, dtype=np.int64)
    else:
        codes, levels = pd.factorize(values)
        missing = int((codes < 0).sum())
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        texts = {repr(v + 0.0) if numeric else f"text {v}" for v in levels}
    unseen: list[int] = []
    if known is not None and len(levels):
        unseen = np.flatnonzero(~pd.Series(levels).isin(list(known))).tolist()
    told = {*texts, *([""] if missing else [])}
    return ColumnFacts(
        missing=missing,
        values=tuple(sorted(told)[:2]),
        is_outcome=numeric and not missing and bool(np.array_equal(values, y_true)),
        unseen=int(counts[unseen].sum()),
        shown=tuple(sorted({level_text(levels[i]) for i in unseen})[:_SHOWN]),
    )
