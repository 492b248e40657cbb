"""The decisions of a group at each of its scores, and the search for thresholds on them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_SCORES", "Ladder", "cheapest", "equalize", "ladder_of", "one_would_do", "thinned"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# The search over windows costs windows × groups; with more distinct scores
# than this, all groups together, each group offers an even choice of them.
MOST_SCORES = 40_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Ladder:
    """One group's decisions at each of its distinct scores, from nobody approved downward."""

    attribute: str
    group: str
    thresholds: Floats
    true_positives: Ints
    false_positives: Ints

    @property
    def positives(self) -> int:
        """Rows whose true label is favorable."""
        return int(self.true_positives[-1])

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.true_positives[-1] + self.false_positives[-1])

    def at(self, threshold: float) -> int:
        """The step that approves exactly the scores of at least ``threshold``."""
        return int(np.searchsorted(-self.thresholds[1:], -threshold, side="right"))

    def costs(self, ratio: float) -> Floats:
        """The cost of each step, in false denials."""
        denied = self.positives - self.true_positives
        return np.asarray(ratio * self.false_positives + denied, dtype=np.float64)

    def measure(self, metric: str) -> tuple[Ints, int]:
        """The counts of a rate at each step, and what they are out of."""
        tp, fp = self.true_positives, self.false_positives
        if metric == "selection_rate":
            return tp + fp, self.rows
        if metric == "true_positive_rate":
            return tp, self.positives
        return tp + (self.rows - self.positives - fp), self.rows


def ladder_of(attribute: str, group: str, truth: Ints, scores: Floats) -> Ladder:
    """The decisions of a group whose rows are sorted by falling score."""
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    tp = np.cumsum(truth)[last]
    nobody = np.nextafter(scores[0], np.inf)
    zero = np.zeros(1, dtype=np.int64)
    return Ladder(
        attribute,
        group,
        np.concatenate([[nobody], scores[last]]),
        np.concatenate([zero, tp]),
        np.concatenate([zero, last + 1 - tp]),
    )


def one_would_do(part: Sequence[Ladder], steps: Sequence[int]) -> bool:
    """Whether one threshold makes the decisions that these steps make."""
    approved = [float(o.thresholds[s]) for o, s in zip(part, steps, strict=True) if s]
    denied = [
        float(o.thresholds[s + 1])
        for o, s in zip(part, steps, strict=True)
        if s + 1 < len(o.thresholds)
    ]
    return not approved or not denied or min(approved) > max(denied)


def cheapest(costs: Floats) -> int:
    """The place of the least cost; the last of several, which is the lowest threshold."""
    least = costs.min()
    return int(np.flatnonzero(costs <= least + _ROUNDING * max(1.0, least))[-1])


def thinned(ladder: Ladder, part: Sequence[Ladder]) -> bool:
    """Whether a group has too many distinct scores to try every one of them."""
    return len(ladder.thresholds) > MOST_SCORES // max(1, len(part))


def equalize(
    part: Sequence[Ladder], metric: str, cost_ratio: float, tolerance: float
) -> list[int] | None:
    """The cheapest steps, one per group, whose rates all lie within ``tolerance``.

    Any such combination lies in a window that begins at its smallest rate, so
    it is enough to try the windows that begin at a rate some group can have,
    with each group's cheapest step inside.
    """
    groups = []
    for ladder in part:
        places = np.arange(len(ladder.thresholds))
        if thinned(ladder, part):
            most = MOST_SCORES // len(part)
            places = np.unique(np.linspace(0, len(places) - 1, most).round().astype(int))
        counted, total = ladder.measure(metric)
        costs = ladder.costs(cost_ratio)[places]
        # By rate, then by cost, then the lowest threshold: the first of each rate counts.
        by = np.lexsort((-places, costs, counted[places]))
        numbers, first = np.unique(counted[places][by], return_index=True)
        groups.append((numbers / total, costs[by][first], places[by][first]))
    starts = np.unique(np.concatenate([values for values, _, _ in groups]))
    totals = np.zeros(len(starts))
    found = []
    for values, costs, places in groups:
        low = np.searchsorted(values, starts - _ROUNDING, side="left")
        high = np.searchsorted(values, starts + tolerance + _ROUNDING, side="right")
        where = _least_in(costs, low, high)
        totals += np.where(high > low, costs[where], np.inf)
        found.append(places[where])
    best = int(np.argmin(totals))
    return None if np.isinf(totals[best]) else [int(places[best]) for places in found]


def _least_in(costs: Floats, low: Ints, high: Ints) -> Ints:
    """Place of the least cost in each range low … high − 1, by doubling (a sparse table)."""
    length = np.maximum(high - low, 1)
    level = np.log2(length).astype(np.int64)
    level -= (1 << level) > length
    best = np.arange(len(costs))
    result = np.minimum(low, len(costs) - 1)
    for k in range(int(level.max()) + 1):
        if k:
            left, right = best[: len(best) - (1 << (k - 1))], best[1 << (k - 1) :]
            best = np.where(costs[left] <= costs[right], left, right)
        rows = level == k
        left = best[np.minimum(low[rows], len(best) - 1)]
        right = best[np.maximum(np.minimum(high[rows] - (1 << k), len(best) - 1), 0)]
        result[rows] = np.where(costs[left] <= costs[right], left, right)
    return result
