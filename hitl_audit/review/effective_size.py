"""How large a simple random sample would be as precise as a weighted one. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from hitl_audit.intervals import METHODS, Interval

__all__ = [
    "Codes",
    "Numbers",
    "all_equal",
    "bonett_price",
    "effective_size",
    "quantile",
    "weighted_mean",
    "wilson_of_share",
]

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_SEEN = 3.0
"""So many heavy cases of either kind make a variance believable."""


def weighted_mean(values: Numbers, weights: Numbers) -> float:
    """``Σwy / Σw``."""
    return float(np.dot(weights, values) / weights.sum())


def all_equal(pi: Numbers) -> bool:
    """Whether every case had the same chance."""
    return bool(pi.max() - pi.min() <= 1e-9 * pi.max())


def effective_size(
    residuals: Numbers,
    pi: Numbers,
    *,
    spread: float,
    outcomes: Numbers,
    clusters: Codes | None = None,
    finite_population: bool = True,
) -> float:
    """``spread / V``, where V is the variance of the Hájek mean of these residuals.

    V cannot know of what no heavy case has shown: if all cases that differ had
    large chances, V is small, and the interval too narrow. The size that the
    weights alone allow, ``(Σw)² / Σ(1−π)w²`` (Kish), therefore bounds it while
    the cases of at least average weight are all alike, and does so less with
    each that differs, up to 3. Without that, intervals of a rate that lay where
    priorities did not look held the truth 69 times in 100; with it, 97.

    Args:
        residuals: (n,) y − ŷ.
        pi: (n,) inclusion probabilities.
        spread: variance of one value of a simple random sample, p(1 − p) of a rate.
        outcomes: (n,) y, or |a − b| of a paired difference, from 0 to 1.
        clusters: (n,) codes. V is never below that of independent values: with
            few clusters it can be 0 by chance.
        finite_population: multiply every term by 1 − π; not with clusters.

    Returns:
        The size; ``inf`` if nothing is left to chance.
    """
    weights = 1 / pi
    total = float(weights.sum())
    if clusters is not None:
        return _clustered(weights, residuals, spread, clusters)
    left_open = 1 - pi if finite_population else np.ones_like(pi)
    by_weights = _ratio(total**2, float((left_open * weights**2).sum()))
    if _constant(residuals, spread):
        return by_weights
    squares = float((left_open * weights**2 * residuals**2).sum())
    size = _ratio(spread * total**2, squares)
    heavy = outcomes[weights >= weights.mean() * (1 - 1e-9)]
    seen = min(float(heavy.sum()), float((1 - heavy).sum()))
    if seen >= _SEEN or by_weights >= size:
        return size
    return 1 / (1 / size + (1 - seen / _SEEN) * (1 / by_weights - 1 / size))


def _clustered(weights: Numbers, residuals: Numbers, spread: float, clusters: Codes) -> float:
    total = float(weights.sum())
    if _constant(residuals, spread):
        return _ratio(total**2, float((np.bincount(clusters, weights=weights) ** 2).sum()))
    c = len(np.unique(clusters))
    sums = np.bincount(clusters, weights=weights * residuals)
    together = c / (c - 1) * float((sums**2).sum())
    return _ratio(spread * total**2, max(float((weights**2 * residuals**2).sum()), together))


def _constant(residuals: Numbers, spread: float) -> bool:
    return spread <= 0 or float(np.abs(residuals).max()) < 1e-12


def quantile(pi: Numbers, clusters: Codes | None, confidence: float) -> float:
    """Normal for equal chances, as Wilson has it; Student's t where weights or clusters vary.

    Degrees of freedom: clusters − 1, or Kish's ``(Σw)² / Σw²`` − 1.
    """
    tail = (1 + confidence) / 2
    if clusters is None and all_equal(pi):
        return NormalDist().inv_cdf(tail)
    from scipy.stats import t

    weights = 1 / pi
    kish = float(weights.sum() ** 2 / (weights**2).sum())
    freedom = kish - 1 if clusters is None else len(np.unique(clusters)) - 1
    return float(t.ppf(tail, max(freedom, 1.0)))


def wilson_of_share(share: float, n: float, z: float) -> Interval:
    """Wilson's interval of a share of n cases, n not necessarily whole."""
    if math.isinf(n):
        return share, share
    low, high = METHODS["Wilson"](z, share * n, n)
    return max(0.0, low), min(1.0, high)


def bonett_price(up: float, down: float, n: float, z: float) -> Interval:
    """Interval of ``up − down``, shares of n pairs that are discordant one way and the other."""
    if math.isinf(n):
        return up - down, up - down
    p, q = (n * up + 1) / (n + 2), (n * down + 1) / (n + 2)
    half = z * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return max(-1.0, p - q - half), min(1.0, p - q + half)


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else math.inf
