"""Counts of scores by group and outcome, in classes that add up exactly.

Scores stay what they are while no more than :data:`MOST` different ones occur.
When there are more, neighbouring scores are put together: the classes are all
keys (:mod:`hitl_audit.population.score_keys`) that share their bits above
``level``, with the lowest level at which no more than :data:`MOST` classes are
occupied. That level depends on nothing but the set of scores, and a class of one
level lies in one class of every higher level, so merging is associative and
commutative: it gives what one pass over all rows would.

Why so: classes of equal width would put most scores of a model of rare outcomes
into one class; quantile sketches (KLL, t-digest) are small, but what they hold
depends on the order of merging, and a signed number may not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.groups import ALL
from hitl_audit.population.score_keys import DROPPED, FIXED, HIGHEST, fixed_point, key_of, score_of

__all__ = ["MOST", "GroupScores", "ScoreClasses", "count_scores", "no_scores"]

MOST = 4096
"""No more classes than this."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Group = tuple[str, str]
"""Attribute and group; both ``"all"`` for all rows."""


@dataclass(frozen=True, eq=False)
class GroupScores:
    """The scores of one group.

    Attributes:
        exact: every class is one score (rounded to 32 significant bits).
        levels: (classes,) rising: the score, or the mean score of the group's rows in it.
        counts: (classes, 2) rows by recorded outcome, 0 and 1.
        low, high: (classes,) the ends of each class.
        total: sum of the scores in units of 2^-60, exactly.
        loss: sum of the squared distances of score and outcome, likewise.
    """

    exact: bool
    levels: Floats
    counts: Ints
    low: Floats
    high: Floats
    sums: tuple[int, ...]
    loss: int

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.counts.sum())

    def mean(self, chosen: npt.NDArray[np.bool_] | None = None) -> float:
        """The mean score of all rows, or of those in some of the classes."""
        places = range(len(self.sums)) if chosen is None else np.flatnonzero(chosen).tolist()
        rows = self.counts.sum() if chosen is None else self.counts[chosen].sum()
        return _ratio(sum(self.sums[i] for i in places), int(rows))

    @property
    def brier_score(self) -> float:
        """The mean squared distance of score and outcome, from every row."""
        return _ratio(self.loss, self.rows)


@dataclass(frozen=True, eq=False)
class ScoreClasses:
    """Scores by group, of some of the rows.

    Attributes:
        level: how many low bits of the keys the classes leave out.
        groups: attribute and group, sorted; ("all", "all") among them.
        keys: (classes,) the first key of each class that occurs, rising.
        table: (groups, classes, 4): rows with outcome 0, with outcome 1, and the two
            halves of the sum of scores in fixed point.
        losses: (groups, 2) the two halves of the sum of squared distances.
    """

    level: int
    groups: tuple[Group, ...]
    keys: Ints
    table: Ints
    losses: Ints

    def __add__(self, other: ScoreClasses) -> ScoreClasses:
        if not len(other.keys):
            return self
        if not len(self.keys):
            return other
        keys = np.union1d(self.keys, other.keys)
        level = _level(keys, max(self.level, other.level))
        keys = np.unique(keys >> level << level)
        groups = tuple(sorted({*self.groups, *other.groups}))
        place = {group: i for i, group in enumerate(groups)}
        table = np.zeros((len(groups), len(keys), 4), dtype=np.int64)
        losses = np.zeros((len(groups), 2), dtype=np.int64)
        for one in (self, other):
            rows = [place[group] for group in one.groups]
            columns, moved = _collapsed(one, level, keys)
            table[np.array(rows)[:, None], columns] += moved
            losses[rows] += one.losses
        return ScoreClasses(level, groups, keys, table, losses)

    @property
    def exact(self) -> bool:
        """Is every class a single score?"""
        return self.level == DROPPED

    def of(self, group: Group) -> GroupScores:
        """The scores of one group; classes without rows of it are left out."""
        table = self.table[self.groups.index(group)]
        occupied = table[:, :2].sum(axis=1) > 0
        table, keys = table[occupied], self.keys[occupied]
        counts = np.ascontiguousarray(table[:, :2])
        sums = tuple((high << 30) + low for high, low in table[:, 2:].tolist())
        high, low = self.losses[self.groups.index(group)].tolist()
        if self.exact:
            levels = score_of(keys)
            ends = (levels, levels)
        else:
            rows = counts.sum(axis=1).tolist()
            last = np.minimum(keys + ((1 << self.level) - 1), HIGHEST)
            ends = (score_of(keys), score_of(last))
            means = np.array([_ratio(s, n) for s, n in zip(sums, rows, strict=True)])
            levels = np.clip(means, *ends)
        return GroupScores(self.exact, levels, counts, *ends, sums, (high << 30) + low)


def no_scores() -> ScoreClasses:
    """The scores of no rows."""
    empty = np.zeros(0, dtype=np.int64)
    return ScoreClasses(DROPPED, (), empty, empty.reshape(0, 0, 4), empty.reshape(0, 2))


def count_scores(
    scores: Floats,
    y_true: Ints,
    groups: Mapping[str, tuple[Ints, Sequence[str]]],
) -> tuple[ScoreClasses, Ints]:
    """Count the scores of up to 2^23 rows.

    Args:
        scores: (rows,) from 0 to 1.
        y_true: (rows,) 0 or 1.
        groups: attribute → (rows,) codes, and the group of each code.

    Returns:
        The classes, and (rows,) the keys of the scores.
    """
    every = key_of(scores)
    if not len(every):
        return no_scores(), every
    keys, place = np.unique(every, return_inverse=True)
    level = _level(keys, DROPPED)
    if level > DROPPED:
        keys, joined = np.unique(keys >> level << level, return_inverse=True)
        place = joined[place]
    rounded = score_of(every)
    halves = fixed_point(rounded)
    misses = fixed_point(np.square(np.where(y_true == 1, 1.0 - rounded, rounded)))
    size = len(keys)
    tables: dict[Group, Ints] = {}
    losses: dict[Group, Ints] = {}

    def counted(codes: Ints | None, names: Sequence[str], attribute: str) -> None:
        cell = place if codes is None else codes * size + place
        cells = len(names) * size
        found = np.empty((cells, 4), dtype=np.int64)
        found[:, 1] = np.bincount(cell[y_true == 1], minlength=cells)
        found[:, 0] = np.bincount(cell, minlength=cells) - found[:, 1]
        for i, half in enumerate(halves):
            found[:, 2 + i] = np.bincount(cell, weights=half, minlength=cells)
        lost = [
            [half.sum()] if codes is None else np.bincount(codes, half, minlength=len(names))
            for half in misses
        ]
        for i, name in enumerate(names):
            group = (attribute, name)
            part = found[i * size : (i + 1) * size]
            if not part[:, :2].any():
                continue
            loss = np.array([int(half[i]) for half in lost], dtype=np.int64)
            # Two values can read the same, as 1 and "1".
            tables[group] = tables[group] + part if group in tables else part
            losses[group] = losses[group] + loss if group in losses else loss

    counted(None, [ALL], ALL)
    for attribute, (codes, names) in groups.items():
        counted(codes, names, attribute)
    order = tuple(sorted(tables))
    table = np.stack([tables[group] for group in order])
    return ScoreClasses(
        level, order, keys, table, np.stack([losses[group] for group in order])
    ), every


def _ratio(units: int, rows: int) -> float:
    """A sum in fixed point over a number of rows, rounded once."""
    return units / (rows << FIXED)


def _level(keys: Ints, least: int) -> int:
    """The lowest level, from ``least`` on, with no more than :data:`MOST` classes."""
    if len(keys) <= MOST:
        return least

    def classes(level: int) -> int:
        return int(np.count_nonzero(np.diff(keys >> level))) + 1

    low, high = least, 63
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if classes(middle) <= MOST else (middle + 1, high)
    return low


def _collapsed(one: ScoreClasses, level: int, keys: Ints) -> tuple[Ints, Ints]:
    """Where the classes are among ``keys`` at a level, and their table there."""
    coarse = one.keys >> level << level
    starts = np.flatnonzero(np.r_[True, np.diff(coarse) != 0])
    columns = np.searchsorted(keys, coarse[starts])
    if len(starts) == len(coarse):
        return columns, one.table
    return columns, np.add.reduceat(one.table, starts, axis=1)
