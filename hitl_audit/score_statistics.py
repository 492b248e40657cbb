"""Statistics of scores against labels, each with an interval. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = [
    "Estimate",
    "Floats",
    "Labels",
    "average_precision",
    "bootstrap",
    "bootstrap_counts",
    "brier_score",
    "delong",
    "delong_counts",
]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Estimate = tuple[float | None, float | None, float | None]
"""Value, low, high; bounds are ``None`` where no interval can be vouched for."""

_CELLS_AT_ONCE = 4_000_000
_MOST_LEVELS = 4096


def delong(truth: Labels, scores: Floats, *, confidence: float) -> Estimate:
    """Area under the ROC curve with DeLong's interval, taken on the logit scale.

    DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), 837-845, computed
    from midranks (Sun & Xu, IEEE Signal Processing Letters 21 (2014)). A curve
    without any error, or without variance, has no interval.

    Args:
        truth: (rows,) 0 or 1, both present.
        scores: (rows,).
        confidence: of the interval.
    """
    from scipy.stats import rankdata

    positive, negative = scores[truth == 1], scores[truth == 0]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    # Share of the other class that each case is ranked right against.
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1 - (ranks[m:] - rankdata(negative)) / m
    auc = float(above.mean())
    if min(m, n) < 2:
        return auc, None, None
    variance = float(above.var(ddof=1) / m + below.var(ddof=1) / n)
    return _on_logit_scale(auc, variance, confidence)


def delong_counts(counts: npt.NDArray[np.int64], *, confidence: float) -> Estimate:
    """:func:`delong` of counted scores.

    Args:
        counts: (scores, 2) rows by label, 0 and 1, in rising order of the score; both
            labels present.
        confidence: of the interval.
    """
    negative, positive = counts.T.astype(np.float64)
    n, m = negative.sum(), positive.sum()
    # Share of the other class that a case with each score is ranked right against.
    above = (negative.cumsum() - negative / 2) / n
    below = 1 - (positive.cumsum() - positive / 2) / m
    auc = float(above @ positive / m)
    if min(m, n) < 2:
        return auc, None, None
    variances = (
        float(rows @ np.square(shares - shares @ rows / k)) / (k - 1) / k
        for shares, rows, k in ((above, positive, m), (below, negative, n))
    )
    return _on_logit_scale(auc, sum(variances), confidence)


def _on_logit_scale(auc: float, variance: float, confidence: float) -> Estimate:
    if variance <= 0 or not 0 < auc < 1:
        return auc, None, None
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * variance**0.5 / (auc * (1 - auc))
    odds = auc / (1 - auc)
    low, high = odds * np.exp(-reach), odds * np.exp(reach)
    return auc, float(low / (1 + low)), float(high / (1 + high))


def bootstrap(
    truth: Labels,
    scores: Floats,
    statistics: Sequence[Callable[[npt.NDArray[np.int64], Floats], Floats]],
    *,
    confidence: float,
    n_boot: int,
    random_state: int,
) -> list[Estimate]:
    """Statistics with their percentile intervals, all from the same resamples.

    Drawing rows with replacement is one multinomial draw of counts per score
    and label, so whole batches of replicates are computed at once. More than
    4,096 different scores are resampled in 4,096 bins of neighboring scores, and
    the replicates are moved by what the bins change in the value itself.

    Args:
        truth: (rows,) 0 or 1.
        scores: (rows,).
        statistics: :func:`average_precision`, :func:`brier_score`.
        confidence: of the intervals.
        n_boot: number of replicates.
        random_state: seed.
    """
    negated, places = np.unique(-scores, return_inverse=True)
    table = np.bincount(places * 2 + truth, minlength=2 * len(negated))
    return bootstrap_counts(
        table.reshape(-1, 2),
        -negated,
        statistics,
        confidence=confidence,
        n_boot=n_boot,
        random_state=random_state,
    )


def bootstrap_counts(
    counts: npt.NDArray[np.int64],
    levels: Floats,
    statistics: Sequence[Callable[[npt.NDArray[np.int64], Floats], Floats]],
    *,
    confidence: float,
    n_boot: int,
    random_state: int,
) -> list[Estimate]:
    """:func:`bootstrap` of counted scores.

    Args:
        counts: (scores, 2) rows by label, 0 and 1.
        levels: (scores,) the scores, falling.
        statistics, confidence, n_boot, random_state: as there.
    """
    table, rows = counts.reshape(-1), int(counts.sum())
    rng = np.random.default_rng(random_state)
    resampled, centers = _binned(table, levels)
    at_once = max(1, _CELLS_AT_ONCE // len(resampled))
    batches: list[list[Floats]] = []
    for start in range(0, n_boot, at_once):
        size = min(at_once, n_boot - start)
        drawn = rng.multinomial(rows, resampled / rows, size=size)
        cells = drawn.reshape(size, -1, 2)
        batches.append([statistic(cells, centers) for statistic in statistics])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    estimates: list[Estimate] = []
    for statistic, *parts in zip(statistics, *batches, strict=True):
        value = float(statistic(table.reshape(1, -1, 2), levels)[0])
        replicates = np.concatenate(parts)
        replicates = replicates[~np.isnan(replicates)]
        if centers is not levels:
            replicates += value - float(statistic(resampled.reshape(1, -1, 2), centers)[0])
        low, high = np.quantile(replicates, tails) if len(replicates) else (None, None)
        estimates.append(
            (value, None if low is None else float(low), None if high is None else float(high))
        )
    return estimates


def _binned(table: npt.NDArray[np.int64], levels: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Counts and scores as they are, or of neighboring scores together if there are too many."""
    if len(levels) <= _MOST_LEVELS:
        return table, levels
    cells = table.reshape(-1, 2)
    starts = np.arange(_MOST_LEVELS) * len(levels) // _MOST_LEVELS
    counts = np.add.reduceat(cells, starts, axis=0)
    rows = cells.sum(axis=1)
    centers = np.add.reduceat(rows * levels, starts) / np.add.reduceat(rows, starts)
    return counts.reshape(-1), centers


def average_precision(tables: npt.NDArray[np.int64], levels: Floats) -> Floats:
    """Σ (step in recall) × precision, of tables (replicates × scores, falling × labels)."""
    positives = tables[..., 1]
    found = positives.cumsum(-1)
    chosen = tables.sum(-1).cumsum(-1)
    hits = (positives * (found / np.maximum(chosen, 1))).sum(-1)
    total = found[:, -1]
    return np.where(total > 0, hits / np.maximum(total, 1), np.nan)


def brier_score(tables: npt.NDArray[np.int64], levels: Floats) -> Floats:
    """Mean squared distance of score and outcome, of tables (replicates × scores × labels)."""
    losses = np.stack([levels**2, (1 - levels) ** 2], axis=-1)
    result: Floats = (tables * losses).sum((-2, -1)) / tables.sum((-2, -1))
    return result
