"""The formulas of chance-corrected agreement, and how sure each is. Pure NumPy.

All are (observed − expected) / (1 − expected) and differ in what they expect by
chance. ``counts`` is (n, q): how many raters put unit i into category k, for
units with a rating, two of which or more have two ratings;
``weights`` (q, q) is the credit for a pair of ratings: 1 on the diagonal, 0 to 1
elsewhere. Units with one rating say nothing about observed agreement but count
in what is expected, as in Gwet, *Handbook of Inter-Rater Reliability* (4th ed.,
2014), chapters 2 to 5, whose linearised variances are used: the coefficient
is a smooth function of means over units, and the variance is that of each
unit's contribution to it. The units are a random sample; the raters are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Estimate",
    "alpha",
    "alpha_weights",
    "brennan_prediger",
    "conger",
    "fleiss",
    "gwet",
    "observed_agreement",
    "ordinal_alpha",
    "ordinal_replicates",
    "pair_weights",
    "specific_agreement",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_AT_ONCE = 1 << 22  # numbers held at a time while resampling
_NOTHING_LEFT = 1e-12  # expected agreement this close to 1 leaves nothing to reach


@dataclass(frozen=True)
class Estimate:
    """One coefficient of one table.

    Attributes:
        value: of the coefficient; ``None`` where expected agreement is 1.
        observed, expected: agreement.
        error: standard error; ``None`` where it has no closed form.
        units: in the variance.
    """

    value: float | None
    observed: float
    expected: float
    error: float | None
    units: int


def pair_weights(kind: str, values: FloatArray) -> FloatArray:
    """Credit of each pair of categories.

    ``"identity"``: 1 for the same; ``"linear"``: 1 − |x − y| / range;
    ``"quadratic"``: 1 − (x − y)² / range² (Cohen 1968).

    Args:
        kind: of weights.
        values: (q,) the number each category stands for, or its place.
    """
    if kind == "identity" or len(values) == 1:
        return np.eye(len(values))
    distance = np.abs(values[:, None] - values) / (values.max() - values.min())
    return np.asarray(1 - (distance if kind == "linear" else distance**2), dtype=np.float64)


def observed_agreement(counts: FloatArray, weights: FloatArray) -> Estimate:
    """Mean credit of a pair of ratings of the same unit; every unit counts the same."""
    return _corrected(counts, weights, 0.0, np.zeros(len(counts)))


def fleiss(counts: FloatArray, weights: FloatArray) -> Estimate:
    """Fleiss' kappa (1971); of two raters it is Scott's pi (1955).

    Expected: two ratings drawn from all ratings.
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    used = shares.mean(axis=0)
    expected = float(used @ weights @ used)
    return _corrected(counts, weights, expected, 2 * (shares @ weights @ used - expected))


def brennan_prediger(counts: FloatArray, weights: FloatArray) -> Estimate:
    """Brennan and Prediger's coefficient (1981): expected are ratings given blindly, evenly."""
    return _corrected(counts, weights, float(weights.mean()), np.zeros(len(counts)))


def gwet(counts: FloatArray, weights: FloatArray) -> Estimate:
    """Gwet's AC1 (2008); with other weights than identity, his AC2.

    Expected: a rating given blindly on a unit that is hard to rate, where the
    share of such units is measured by the spread of the ratings.
    """
    q = counts.shape[1]
    shares = counts / counts.sum(axis=1, keepdims=True)
    used = shares.mean(axis=0)
    if q == 1:
        return _corrected(counts, weights, 1.0, np.zeros(len(counts)))
    scale = float(weights.sum()) / (q * (q - 1))
    expected = scale * float(used @ (1 - used))
    slope = -2 * scale * (shares @ used - float(used @ used))
    return _corrected(counts, weights, expected, slope)


def conger(codes: IntArray, weights: FloatArray, *, divisor: int = 1) -> Estimate:
    """Conger's kappa (1980); of two raters it is Cohen's kappa.

    Expected: two raters who keep their own shares of each category, averaged
    over all pairs of raters.

    Args:
        codes: (n, r) category of each rating, −1 where there is none.
        weights: (q, q).
        divisor: the variance is divided by n (n − divisor). 0 gives the
            variance of Fleiss, Cohen and Everitt (1969) for two raters.
    """
    n, r = codes.shape
    q = len(weights)
    given = np.zeros((r, q))
    for g in range(r):
        given[g] = np.bincount(codes[:, g] + 1, minlength=q + 1)[1:]
    rated = given.sum(axis=1)
    own = given / rated[:, None]
    others = own.sum(axis=0) - own
    towards = others @ weights  # (r, q): credit of a rating by g against the other raters
    mean = (own * towards).sum(axis=1)
    expected = float(mean.sum()) / (r * (r - 1))
    slope = np.zeros(n)
    counts = np.zeros((n, q + 1))
    for g in range(r):
        there = codes[:, g] >= 0
        slope[there] += n / rated[g] * (towards[g, codes[there, g]] - mean[g])
        counts[np.arange(n), codes[:, g]] += 1
    return _corrected(counts[:, :q], weights, expected, 2 * slope / (r * (r - 1)), divisor=divisor)


def specific_agreement(given: FloatArray, ratings: FloatArray) -> tuple[float | None, float, int]:
    """Where one rater gave a category, the chance that another rater of the unit gave it too.

    A ratio of two sums over units, linearised as such.

    Args:
        given: (n,) ratings of this category of each unit.
        ratings: (n,) all ratings of each unit.

    Returns:
        The value, ``None`` if nobody gave it to a unit with two ratings; its
        standard error; and the number of such units.
    """
    there = (ratings > 1) & (given > 0)
    given, ratings = given[there], ratings[there]
    n = len(given)
    if n < 2:
        return None, 0.0, n
    both = given * (given - 1) / (ratings - 1)
    value = float(both.sum() / given.sum())
    error = _error((both - value * given) / given.mean(), n * (n - 1))
    return value, error or 0.0, n


def alpha(counts: FloatArray, weights: FloatArray) -> Estimate:
    """Krippendorff's alpha for a metric that does not depend on the ratings.

    Units with fewer than two ratings are left out; every *rating* counts the
    same, and expected agreement is drawn without replacement (Krippendorff
    2011). ``weights`` is 1 − δ² / max δ², whose scale cancels.
    """
    counts = counts[counts.sum(axis=1) > 1]
    n, ratings = len(counts), counts.sum(axis=1)
    total = float(ratings.sum())
    agreed = (counts * (counts @ weights - 1)).sum(axis=1) / (ratings - 1)
    raw = float(agreed.sum()) / total
    used = counts.sum(axis=0) / total
    expected = float(used @ weights @ used)
    observed = (1 - 1 / total) * raw + 1 / total
    if 1 - expected < _NOTHING_LEFT:
        return Estimate(None, observed, expected, None, n)
    value = (observed - expected) / (1 - expected)
    # Both are ratios of sums over units, linearised as such.
    up = agreed - raw * ratings
    down = 2 * (counts @ weights @ used - expected * ratings)
    uncorrected = (raw - expected) / (1 - expected)
    parts = (up - (1 - uncorrected) * down) / (total / n) / (1 - expected)
    return Estimate(value, observed, expected, _error(parts, n * (n - 1)), n)


def alpha_weights(level: str, values: FloatArray) -> FloatArray:
    """1 − δ² / max δ² of Krippendorff's nominal, interval or ratio metric.

    Args:
        level: ``"nominal"``, ``"interval"`` or ``"ratio"``.
        values: (q,) the number each category stands for.
    """
    if level == "nominal" or len(values) == 1:
        return np.eye(len(values))
    gap = values[:, None] - values
    if level == "ratio":
        both = values[:, None] + values
        gap = gap / np.where(both == 0, 1.0, both)
    return np.asarray(1 - gap**2 / (gap**2).max(), dtype=np.float64)


def ordinal_alpha(counts: FloatArray) -> Estimate:
    """Krippendorff's alpha with his ordinal metric; without a standard error.

    The metric, (Σ_{g=c..k} n_g − (n_c + n_k) / 2)², is the squared difference
    of the mid-ranks of two categories among all ratings, so this is alpha for
    intervals with ranks in place of values. The ranks come from the ratings
    too, so that its variance is left to the bootstrap.
    """
    counts = counts[counts.sum(axis=1) > 1]
    used = counts.sum(axis=0)
    ranks = np.cumsum(used) - used / 2
    present = ranks[used > 0]
    if len(present) < 2:
        return Estimate(None, 1.0, 1.0, None, len(counts))
    weights = 1 - (ranks[:, None] - ranks) ** 2 / (present.max() - present.min()) ** 2
    found = alpha(counts, weights)
    return Estimate(found.value, found.observed, found.expected, None, found.units)


def ordinal_replicates(counts: FloatArray, n_boot: int, seed: int) -> FloatArray:
    """Ordinal alpha of resampled units; NaN where only one category was drawn.

    Drawing units with replacement and counting equal ones is one multinomial
    draw over the different rows of ``counts``.

    Returns:
        (n_boot,)
    """
    counts = counts[counts.sum(axis=1) > 1]
    rows, number = np.unique(counts, axis=0, return_counts=True)
    ratings = rows.sum(axis=1)
    rng = np.random.default_rng(seed)
    found = np.empty(n_boot)
    at_once = max(1, _AT_ONCE // (len(rows) + rows.shape[1]))
    for start in range(0, n_boot, at_once):
        size = min(at_once, n_boot - start)
        drawn = rng.multinomial(len(counts), number / len(counts), size=size).astype(np.float64)
        used = drawn @ rows
        total = used.sum(axis=1)
        ranks = np.cumsum(used, axis=1) - used / 2
        # Σ over pairs of (x − y)² is 2 (r Σx² − (Σx)²), within units and over all.
        squares = (drawn * (ratings / (ratings - 1))) @ rows  # (B, q) weight of each rank's square
        within = (squares * ranks**2).sum(axis=1)
        sums = ranks @ rows.T  # (B, M): sum of ranks of each different unit
        within -= ((drawn / (ratings - 1)) * sums**2).sum(axis=1)
        overall = total * (used * ranks**2).sum(axis=1) - (used * ranks).sum(axis=1) ** 2
        alone = (used > 0).sum(axis=1) < 2
        overall[alone] = np.nan
        found[start : start + size] = 1 - (total - 1) * within / overall
    return found


def _corrected(
    counts: FloatArray,
    weights: FloatArray,
    expected: float,
    slope: FloatArray,
    *,
    divisor: int = 1,
) -> Estimate:
    """(observed − expected) / (1 − expected), with ``slope`` (n,): each unit's part in expected."""
    n, ratings = len(counts), counts.sum(axis=1)
    paired = ratings > 1
    agreed = np.zeros(n)
    credit = (counts[paired] * (counts[paired] @ weights - 1)).sum(axis=1)
    agreed[paired] = credit / (ratings[paired] * (ratings[paired] - 1))
    observed = float(agreed.sum() / paired.sum())
    if 1 - expected < _NOTHING_LEFT:
        return Estimate(None, observed, expected, None, n)
    value = (observed - expected) / (1 - expected)
    parts = n / paired.sum() * paired * (agreed - expected) - (1 - value) * slope
    error = _error(parts / (1 - expected) - value, n * (n - divisor))
    return Estimate(value, observed, expected, error, n)


def _error(parts: FloatArray, divisor: int) -> float | None:
    if divisor <= 0:
        return None
    error = float(np.sqrt((parts**2).sum() / divisor))
    return error if error > 1e-12 else 0.0
