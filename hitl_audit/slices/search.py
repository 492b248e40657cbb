"""The exhaustive search for the slice with most errors, by counting cells. Pure numpy.

A table of counts over the cells of one, two or three features holds every
slice that their conditions describe: each is a sum over cells, so one pass
over the rows per combination of features counts thousands of slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hitl_audit.slices.conditions import Condition, FeatureCells

__all__ = ["Found", "find_slices"]

Floats = npt.NDArray[np.float64]

# Beyond this many triples of features the search would take minutes; the
# third condition is then sought among the most telling features.
MOST_TRIPLES = 10_000


@dataclass(frozen=True)
class Found:
    """One slice, as it was found.

    Attributes:
        conditions: what a row must meet.
        n, errors: rows and errors (or summed losses) in the searched rows, those of
            earlier slices included.
        score: z²/2 less the logarithm of the number of slices with as many conditions.
    """

    conditions: tuple[Condition, ...]
    n: int
    errors: float
    score: float


@dataclass(frozen=True)
class _Best:
    z: float
    features: tuple[int, ...]
    conditions: tuple[int, ...]


def find_slices(
    features: Sequence[FeatureCells],
    loss: Floats,
    *,
    max_literals: int,
    min_size: int,
    max_slices: int,
) -> tuple[list[Found], int, str]:
    """Take the best slice, set its rows aside, and search again.

    Returns:
        The slices in the order found, how many were compared, and what the
        search covers in words.
    """
    most = min(max_literals, len(features))
    left = np.ones(len(loss), dtype=bool)
    found: list[Found] = []
    chosen = _for_triples(features, loss, min_size) if most == 3 else range(len(features))
    groups = [
        list(combinations(chosen if depth == 3 else range(len(features)), depth))
        for depth in range(1, most + 1)
    ]
    sizes = [
        sum(math.prod(len(features[i].conditions) for i in group) for group in part)
        for part in groups
    ]
    while len(found) < max_slices and left.sum() >= 2 * min_size:
        best, score = None, 0.0
        search = _Search([f.codes[left] for f in features], features, loss[left], min_size)
        for part, size in zip(groups, sizes, strict=True):
            one = search.best_of(part)
            if one is not None and one.z**2 / 2 - math.log(size) > score:
                best, score = one, one.z**2 / 2 - math.log(size)
        if best is None:
            break
        inside = np.ones(len(loss), dtype=bool)
        for i, place in zip(best.features, best.conditions, strict=True):
            inside &= features[i].members[place][features[i].codes] > 0
        conditions = tuple(
            features[i].conditions[place]
            for i, place in zip(best.features, best.conditions, strict=True)
        )
        found.append(Found(conditions, int(inside.sum()), float(loss[inside].sum()), score))
        left &= ~inside
    return found, sum(sizes), _guarantee(most, sum(sizes), len(chosen), len(features), min_size)


def _guarantee(most: int, compared: int, chosen: int, features: int, min_size: int) -> str:
    if most == 0:
        return "There was nothing to search: no feature has any variety."
    counts = {1: "one condition", 2: "one or two conditions", 3: "one to three conditions"}
    if most == 3 and chosen < features:
        return (
            f"Every slice of one or two conditions was compared; slices of three only among the "
            f"{chosen} of {features} features that tell most by themselves ({compared:,} in all)."
        )
    return (
        f"Every slice of {counts[most]} was compared ({compared:,} in all, of which those with "
        f"fewer than {min_size} rows count for nothing)."
    )


def _for_triples(features: Sequence[FeatureCells], loss: Floats, min_size: int) -> Sequence[int]:
    """The features among which three conditions are sought: all, unless they are too many."""
    most = len(features)
    while math.comb(most, 3) > MOST_TRIPLES:
        most -= 1
    if most == len(features):
        return range(len(features))
    search = _Search([f.codes for f in features], features, loss, min_size)
    told = [0.0] * len(features)
    for pair in combinations(range(len(features)), 2):
        one = search.best_of([pair])
        for i in pair:
            told[i] = max(told[i], one.z if one else 0.0)
    return sorted(sorted(range(len(features)), key=lambda i: -told[i])[:most])


class _Search:
    """Counts rows and errors of slices among the rows that are left."""

    def __init__(
        self,
        codes: Sequence[npt.NDArray[np.intp]],
        features: Sequence[FeatureCells],
        loss: Floats,
        min_size: int,
    ) -> None:
        self.features = features
        self.codes = codes
        self.wrong = np.flatnonzero(loss)
        self.wrong_codes = [one[self.wrong] for one in codes]
        self.wrong_loss = loss[self.wrong]
        self.counted = bool((self.wrong_loss == 1).all())
        self.rows = len(loss)
        self.total = float(loss.sum())
        self.variance = float(loss.var())
        self.min_size = min_size

    def best_of(self, groups: Sequence[tuple[int, ...]]) -> _Best | None:
        """The slice that differs most from the rest, over some combinations of features."""
        best: _Best | None = None
        if self.variance == 0:
            return None
        for group in groups:
            n, errors = self._slices(group)
            # z of the hypothesis that slice and rest err alike.
            room = n * (self.rows - n) / self.rows * self.variance
            large = (n >= self.min_size) & (self.rows - n >= self.min_size)
            z = np.where(
                large, (errors - n * (self.total / self.rows)) / np.sqrt(np.maximum(room, 1e-300)),
                -np.inf,
            )  # fmt: skip
            place = int(z.argmax())
            if z.flat[place] > (best.z if best else 0.0):
                where = tuple(int(i) for i in np.unravel_index(place, z.shape))
                best = _Best(float(z.flat[place]), group, where)
        return best

    def _slices(self, group: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Rows and errors of every slice with one condition on each of these features."""
        sizes = [self.features[i].size for i in group]
        code, wrong = self.codes[group[0]], self.wrong_codes[group[0]]
        for i, size in zip(group[1:], sizes[1:], strict=True):
            code = code * size + self.codes[i]
            wrong = wrong * size + self.wrong_codes[i]
        cells = math.prod(sizes)
        weights = None if self.counted else self.wrong_loss
        rows = np.bincount(code, minlength=cells)
        table: Floats = np.stack([rows, np.bincount(wrong, weights=weights, minlength=cells)])
        shape: tuple[int, ...] = ()
        # From cells to conditions, one feature at a time from the last to the first.
        for i, size in zip(reversed(group), reversed(sizes), strict=True):
            members = self.features[i].members
            table = members @ table.reshape(2, -1, size, math.prod(shape))
            shape = (len(members), *shape)
        table = table.reshape(2, *shape)
        return table[0], table[1]
