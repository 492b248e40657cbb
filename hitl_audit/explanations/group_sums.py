"""Sums of the attributions of the rows of one group, in whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from hitl_audit.explanations.fixed_point import exact_sums, sample_variance

__all__ = ["BITS", "RESIDUAL_BITS", "SQUARE_BITS", "GroupSums", "sums_by_group"]

FloatArray = npt.NDArray[np.float64]

BITS = 60
SQUARE_BITS = 120
# A model's answers can differ in the last bits with the rows it is asked about together;
# on a coarser grid the same residual comes out.
RESIDUAL_BITS = 40


@dataclass(frozen=True)
class GroupSums:
    """n rows, p features.

    Attributes:
        n: rows.
        sizes: (p,) sums of \\|attribution\\|, in 2^-60.
        signed: (p,) sums of the attributions, in 2^-60.
        squares: (p,) sums of their squares, in 2^-120.
    """

    n: int
    sizes: tuple[int, ...]
    signed: tuple[int, ...]
    squares: tuple[int, ...]

    @classmethod
    def none(cls, p: int) -> GroupSums:
        """The sums of no rows."""
        zero = (0,) * p
        return cls(0, zero, zero, zero)

    def __add__(self, other: GroupSums) -> GroupSums:
        return GroupSums(
            self.n + other.n,
            _added(self.sizes, other.sizes),
            _added(self.signed, other.signed),
            _added(self.squares, other.squares),
        )

    def mean(self, measure: str) -> FloatArray:
        """(p,) means of the measure ``mean_abs`` or ``mean``; NaN without rows."""
        sums = self.sizes if measure == "mean_abs" else self.signed
        if not self.n:
            return np.full(len(sums), np.nan)
        # One division of whole numbers, rounded once.
        return np.array([_ratio(total, self.n << BITS) for total in sums])

    def variance_of_mean(self, measure: str) -> FloatArray:
        """(p,) squared standard errors of :meth:`mean`; NaN with fewer than two rows."""
        sums = self.sizes if measure == "mean_abs" else self.signed
        if self.n < 2:
            return np.full(len(sums), np.nan)
        return np.array(
            [
                sample_variance(s, q, self.n, bits=BITS, square_bits=SQUARE_BITS) / self.n
                for s, q in zip(sums, self.squares, strict=True)
            ]
        )

    def texts(self) -> list[list[str]]:
        """The sums as text, for a digest: they are larger than numbers in JSON may be."""
        return [[str(x) for x in sums] for sums in (self.sizes, self.signed, self.squares)]


def sums_by_group(values: FloatArray, groups: csr_matrix) -> list[GroupSums]:
    """The sums of finite (n, p) attributions for each of g groups (g, n)."""
    p = values.shape[1]
    counts = np.diff(groups.indptr).tolist()
    both = exact_sums(np.hstack([np.abs(values), values]), groups, bits=BITS)
    squares = exact_sums(values * values, groups, bits=SQUARE_BITS)
    return [
        GroupSums(n, sums[:p], sums[p:], square)
        for n, sums, square in zip(counts, both, squares, strict=True)
    ]


def _added(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _ratio(a: int, b: int) -> float:
    try:
        return a / b
    except OverflowError:
        return math.copysign(math.inf, a)
