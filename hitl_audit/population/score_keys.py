"""Scores as whole numbers: in the same order, fine at both ends, and in fixed point.

A score below ½ has the bits of its double as its key; from ½ on the key is
mirrored at ½ with the bits of 1 − s, which is exact there (Sterbenz, 1974). So
keys are in the order of the scores, and classes of neighbouring keys (all that
share the bits above some place) are narrow at 0 and at 1 alike: their width is
relative to the distance from the nearer end.

Scores are first rounded to 32 significant bits of that distance (relatively
1.2e−10). A matrix product may give a row another last bit in another batch (its
kernels treat the rows at an edge differently), and rows fall into other batches
when they are divided differently; after the rounding that is as good as never seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["DROPPED", "FIXED", "HIGHEST", "fixed_point", "key_of", "score_of"]

Keys = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DROPPED = 20
"""How many of a key's low bits are rounded away."""

FIXED = 60
"""Fixed point: numbers from 0 to 1 as multiples of 2^-60, in two halves of 30 bits."""

_HALF = int(np.float64(0.5).view(np.int64))

HIGHEST = 2 * _HALF
"""The key of 1."""


def key_of(scores: Floats) -> Keys:
    """(rows,) keys of scores from 0 to 1; the lowest :data:`DROPPED` bits are zero."""
    low = scores < 0.5
    # Adding zero makes −0.0, whose bits are those of a negative number, 0.0.
    bits = np.where(low, scores + 0.0, 1.0 - scores).view(np.int64)
    rounded = (bits + (1 << (DROPPED - 1))) >> DROPPED << DROPPED
    return np.where(low, rounded, 2 * _HALF - rounded)


def score_of(keys: Keys) -> Floats:
    """The scores that keys stand for."""
    low = keys < _HALF
    distance = np.where(low, keys, 2 * _HALF - keys).view(np.float64)
    return np.where(low, distance, 1.0 - distance)


def fixed_point(values: Floats) -> tuple[Floats, Floats]:
    """Numbers from 0 to 1 in fixed point, in two halves that add up exactly as doubles.

    Returns:
        High and low halves h, l: whole numbers up to 2^30 with value = (h 2^30 + l) 2^-60.
        Sums of up to 2^23 of them are exact doubles; larger ones are kept as integers.
    """
    whole = np.rint(values * 2.0**FIXED).astype(np.int64)
    return (whole >> 30).astype(np.float64), (whole & ((1 << 30) - 1)).astype(np.float64)
