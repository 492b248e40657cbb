"""Sums that do not depend on the order of what is added: whole numbers of a power of two.

A float is rounded to the grid once, by itself; everything after that is exact. Sums of floats
differ in the last bits with the order and the division of the rows.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

__all__ = ["MOST_AT_ONCE", "exact_sums", "membership", "rounded_to_grid", "sample_variance"]

FloatArray = npt.NDArray[np.float64]

MOST_AT_ONCE = 1 << 20
"""Rows at most, so that a sum of limbs is an exact double."""

_LIMB = 31  # bits


def membership(codes: list[npt.NDArray[np.intp]], counts: list[int]) -> csr_matrix:
    """(Σ counts, n): which rows each group has, the groups of several attributes end to end.

    Args:
        codes: per attribute (n,) each row's group, from 0 to its count - 1.
        counts: how many groups each attribute has.
    """
    n = len(codes[0])
    starts = np.cumsum([0, *counts[:-1]])
    rows = np.concatenate([code + start for code, start in zip(codes, starts, strict=True)])
    columns = np.tile(np.arange(n), len(codes))
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(sum(counts), n))


def exact_sums(values: FloatArray, groups: csr_matrix, *, bits: int) -> tuple[tuple[int, ...], ...]:
    """Sums of (n, k) finite values per group, (g, k) whole numbers of 2^-bits.

    Each value is rounded to a whole number of 2^-bits. These are cut into limbs of 31
    bits, whose sums over at most 2^20 rows are exact in doubles, in whatever order.

    Args:
        values: (n, k), n at most :data:`MOST_AT_ONCE`.
        groups: (g, n), of :func:`membership`.
        bits: of the grid.
    """
    left = np.rint(np.ldexp(values, bits))
    totals = np.zeros((groups.shape[0], values.shape[1]), dtype=object)
    shift = 0
    while left.any():
        high = np.trunc(np.ldexp(left, -_LIMB))
        low = left - np.ldexp(high, _LIMB)
        totals += np.asarray(groups @ low).astype(np.int64).astype(object) << shift
        left, shift = high, shift + _LIMB
    return tuple(tuple(int(total) for total in row) for row in totals)


def rounded_to_grid(value: float, *, bits: int) -> int:
    """The whole number of 2^-bits that is nearest to a finite value."""
    return int(np.rint(np.ldexp(value, bits)))


def sample_variance(total: int, squares: int, n: int, *, bits: int, square_bits: int) -> float:
    """The variance, with n - 1, of n ≥ 2 values whose sum and sum of squares are given.

    Exact until it is rounded once at the end: nothing cancels. What rounding to
    the grid may leave below zero is zero.
    """
    first = Fraction(total, 1 << bits)
    spread = Fraction(squares, 1 << square_bits) - first * first / n
    return max(0.0, float(spread / (n - 1)))
