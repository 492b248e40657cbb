"""Bootstrap replicates of a table of counts, without drawing rows where that is possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Replicates", "classes", "multinomial", "replay", "weighted_multinomial"]

Array = npt.NDArray[Any]

# About this many drawn numbers are held at a time; they fit a processor's cache.
_AT_ONCE = 8192
# Beyond this many pairs of cell and weight, neighboring weights are drawn as
# their mean: at most so many pairs in all, and this many in each cell.
_PAIRS = 16_384
_LEAST_PAIRS = 32


@dataclass(frozen=True, eq=False)
class Replicates:
    """Resampled tables.

    Attributes:
        cells: (4, replicates, groups) true negatives, false positives, false
            negatives and true positives, in the smallest type that holds
            them; sums of weights, if rows have weights.
        drawn: (replicates, groups) rows drawn, if rows have weights.
    """

    cells: Array
    drawn: Array | None = None

    def __len__(self) -> int:
        return int(self.cells.shape[1])

    @property
    def rows(self) -> Array:
        """(replicates, groups) rows drawn."""
        return self.cells.sum(0) if self.drawn is None else self.drawn

    def part(self, places: slice) -> tuple[Array, Array]:
        """Cells and rows of some of the replicates, in a type one can calculate with."""
        if self.drawn is not None:
            return self.cells[:, places], self.drawn[places]
        cells = self.cells[:, places].astype(np.int64)
        return cells, cells.sum(0)


def multinomial(table: Array, n_boot: int, seed: int) -> Replicates:
    """Resample rows with replacement and count them, drawing the counts directly.

    Drawing n rows with replacement and counting them by cell is one
    multinomial draw of n over the cells, so this is the law of the bootstrap
    itself, at a cost that does not depend on the number of rows.

    Args:
        table: (groups, 4) counts.
        n_boot: number of replicates.
        seed: of the generator.
    """
    rows = int(table.sum())
    occupied = np.flatnonzero(table)
    chance = table.ravel()[occupied] / rows
    rng = np.random.default_rng(seed)
    cells = np.zeros((4, n_boot, len(table)), dtype=np.min_scalar_type(rows))
    for part in _parts(n_boot, len(occupied)):
        drawn = rng.multinomial(rows, chance, size=part.stop - part.start)
        cells[occupied % 4, part, occupied // 4] = drawn.T
    return Replicates(cells)


def weighted_multinomial(
    cell: Array, weight: Array, groups: int, n_boot: int, seed: int
) -> Replicates:
    """The same law for rows with weights, over the distinct pairs of cell and weight.

    Where there are more than 16,384 pairs, each cell's weights are drawn in
    classes (:func:`classes`): sums keep their mean, and their variance to a
    small fraction.

    Args:
        cell: (rows,) 4 × group + 2 × true label + predicted label.
        weight: (rows,) weights.
        groups: number of groups.
        n_boot: number of replicates.
        seed: of the generator.
    """
    order = np.lexsort((weight, cell))
    cell, weight = cell[order], weight[order]
    first = _changes(cell, weight)
    if len(first) > _PAIRS:
        begin = _changes(cell)
        each = max(_LEAST_PAIRS, _PAIRS // len(begin))
        own = [classes(part, each) for part in np.split(weight, begin[1:])]
        first = _changes(cell, np.concatenate(own))
    times = np.diff(np.r_[first, len(cell)])
    place, each_weight = cell[first], np.add.reduceat(weight, first) / times
    starts = np.flatnonzero(np.r_[True, np.diff(place) != 0])
    rng = np.random.default_rng(seed)
    sums = np.zeros((n_boot, 4 * groups))
    rows = np.zeros((n_boot, 4 * groups), dtype=np.int64)
    for part in _parts(n_boot, len(first)):
        drawn = rng.multinomial(len(cell), times / len(cell), size=part.stop - part.start)
        rows[part, place[starts]] = np.add.reduceat(drawn, starts, axis=1)
        sums[part, place[starts]] = np.add.reduceat(drawn * each_weight, starts, axis=1)
    return _tables(sums, rows)


def classes(values: Array, most: int) -> npt.NDArray[np.int64]:
    """The place of every value among its distinct values, or among classes of neighbors.

    Of more than ``most`` distinct values, those whose mean of rank (as a share of
    all) and position (as a share of the range) falls into the same of ``most``
    equal steps are one class: a class spans at most 2 / ``most`` of the values,
    and as much of their range.
    """
    levels, places, times = np.unique(values, return_inverse=True, return_counts=True)
    if len(levels) <= most:
        return places
    rank = np.r_[0, times.cumsum()[:-1]] / len(values)
    position = (levels - levels[0]) / (levels[-1] - levels[0])
    step = np.floor((rank + position) / 2 * most)
    return np.asarray(np.cumsum(np.r_[False, np.diff(step) > 0])[places])


def _changes(*columns: Array) -> Array:
    """Where one of the sorted columns holds another value than in the row before."""
    new = np.logical_or.reduce([np.diff(column) != 0 for column in columns])
    return np.flatnonzero(np.r_[True, new])


def replay(cell: Array, weight: Array | None, groups: int, n_boot: int, seed: int) -> Replicates:
    """Fairlearn's own resamples for a seed, counted by cell instead of measured by group.

    Fairlearn 0.15 draws one seed per resample from ``default_rng(seed)`` and
    hands it to ``DataFrame.sample(frac=1, replace=True)``, which is the legacy
    generator's ``choice``.

    Args:
        cell: (rows,) 4 × group + 2 × true label + predicted label.
        weight: (rows,) weights, or ``None``.
        groups: number of groups.
        n_boot: number of resamples.
        seed: Fairlearn's ``random_state``.
    """
    size, rows = 4 * groups, len(cell)
    # The smallest type keeps the cells of many rows in the processor's cache.
    cell = cell.astype(np.min_scalar_type(size))
    seeds = np.random.default_rng(seed).integers(
        low=0, high=np.iinfo(np.uint32).max, size=n_boot, dtype=np.uint32
    )
    counts = np.empty((n_boot, size), dtype=np.min_scalar_type(rows))
    sums = None if weight is None else np.empty((n_boot, size))
    for i, own in enumerate(seeds):
        drawn = np.random.RandomState(own).choice(rows, size=rows, replace=True)
        cells = cell.take(drawn, mode="clip")
        counts[i] = np.bincount(cells, minlength=size)
        if sums is not None and weight is not None:
            sums[i] = np.bincount(cells, weights=weight.take(drawn), minlength=size)
    return _tables(counts) if sums is None else _tables(sums, counts)


def _parts(n_boot: int, size: int) -> list[slice]:
    """Replicates of ``size`` numbers each, as many at a time as may be held."""
    step = max(1, _AT_ONCE // size)
    return [slice(start, min(start + step, n_boot)) for start in range(0, n_boot, step)]


def _tables(drawn: Array, rows: Array | None = None) -> Replicates:
    """From (replicates, 4 × groups)."""
    shape = (len(drawn), -1, 4)
    cells = np.moveaxis(drawn.reshape(shape), -1, 0)
    return Replicates(cells, None if rows is None else rows.reshape(shape).sum(-1))
