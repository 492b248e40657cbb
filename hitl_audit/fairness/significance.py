"""Named tests for two rates, several at once, and across strata. Pure functions of counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, did_you_mean

__all__ = [
    "TESTS",
    "MantelHaenszel",
    "adjusted",
    "detectable_difference",
    "fisher",
    "mantel_haenszel",
    "odds_ratio",
    "p_values",
    "words_of_test",
]

Array = npt.NDArray[np.float64]
Numbers = npt.ArrayLike

POWER = 0.8


def fisher(x: Numbers, n: Numbers, y: Numbers, m: Numbers) -> Array:
    """Fisher's exact test, two-sided, of many pairs x of n against y of m at once.

    The sum over all tables with these margins that are no likelier than the
    one seen, equal to :func:`scipy.stats.fisher_exact`: one tail is the one
    seen, the other begins where the (unimodal) chance falls to that of the
    table seen, found by bisection.
    """
    from scipy.stats import hypergeom

    x, n, y, m = np.broadcast_arrays(*(np.asarray(v, dtype=np.int64) for v in (x, n, y, m)))
    margins = (n + m, n, x + y)

    def at_most(k: Any) -> Any:
        return hypergeom.pmf(k, *margins) <= bound

    # Chances that agree to rounding are equally likely.
    bound = hypergeom.pmf(x, *margins) * (1 + 1e-14)
    lowest, highest = np.maximum(0, x + y - m), np.minimum(n, x + y)
    mode = (x + y + 1) * (n + 1) // (n + m + 2)
    below = x < mode
    # Of the other tail the cell nearest to the mode that is no likelier.
    near = mode.copy()
    far = np.where(below, highest + 1, lowest - 1)
    while (wide := np.abs(far - near) > 1).any():
        middle = (near + far) // 2
        rare = at_most(middle)
        far = np.where(wide & rare, middle, far)
        near = np.where(wide & ~rare, middle, near)
    tail = np.where(below, x, x - 1)
    seen = np.where(below, hypergeom.cdf(tail, *margins), hypergeom.sf(tail, *margins))
    other = np.where(below, hypergeom.sf(far - 1, *margins), hypergeom.cdf(far, *margins))
    likeliest = at_most(mode)
    return np.minimum(np.where(likeliest, 1.0, seen + other), 1.0)


def _two_proportion_z(x: Numbers, n: Numbers, y: Numbers, m: Numbers) -> Array:
    return _chi_squared(x, n, y, m, correct=False)


def _chi_squared(x: Numbers, n: Numbers, y: Numbers, m: Numbers, *, correct: bool) -> Array:
    """Pearson's statistic of a 2 × 2 table is the square of the pooled z statistic."""
    from scipy.special import chdtrc

    x, n, y, m = (np.asarray(v, dtype=np.float64) for v in (x, n, y, m))
    total, hits = n + m, x + y
    cross = np.abs(x * (m - y) - y * (n - x))
    if correct:
        cross = np.maximum(cross - total / 2, 0.0)
    scale = n * m * hits * (total - hits)
    statistic = np.divide(total * cross**2, scale, out=np.zeros_like(cross), where=scale > 0)
    return np.asarray(chdtrc(1, statistic))


def _yates(x: Numbers, n: Numbers, y: Numbers, m: Numbers) -> Array:
    return _chi_squared(x, n, y, m, correct=True)


TESTS: dict[str, tuple[str, Callable[..., Array]]] = {
    "fisher": ("Fisher's exact test, two-sided", fisher),
    "z": ("two-proportion z test, pooled, two-sided", _two_proportion_z),
    "chi-squared": ("chi-squared test without correction", _two_proportion_z),
    "yates": ("chi-squared test with Yates' correction", _yates),
}
"""The tests of equal rates: name → the words printed beside p, and the function."""


def words_of_test(test: str) -> str:
    """The words for a test.

    Raises:
        InputError: an unknown test.
    """
    if test not in TESTS:
        raise InputError(
            f'test is "{test}"; accepted: {", ".join(TESTS)}{did_you_mean(str(test), TESTS)}'
        )
    return TESTS[test][0]


def p_values(test: str, x: Numbers, n: Numbers, y: Numbers, m: Numbers) -> Array:
    """p of equal rates for many pairs, x of n against y of m; NaN where n or m is 0.

    Raises:
        InputError: an unknown test.
    """
    words_of_test(test)
    x, n, y, m = (np.atleast_1d(np.asarray(v)) for v in (x, n, y, m))
    result = np.full(x.shape, np.nan)
    some = (n > 0) & (m > 0)
    if some.any():
        result[some] = TESTS[test][1](x[some], n[some], y[some], m[some])
    return result


def adjusted(p: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg over one family (J R Stat Soc B 57 (1995), 289-300)."""
    from scipy.stats import false_discovery_control

    return [float(v) for v in false_discovery_control(p, method="bh")] if len(p) else []


def detectable_difference(
    n: Numbers, y: Numbers, m: Numbers, *, confidence: float, above: bool = False
) -> Array:
    """Smallest true difference to a reference rate that a two-sided z test finds at 80 % power.

    The reference rate is taken as observed, y of m; NaN where no rate between
    0 and 1 on that side would be found with this many rows.

    Args:
        n: (pairs,) rows of the groups.
        y, m: (pairs,) successes and rows of the references.
        confidence: 1 − the level of the test.
        above: of a rate above the reference instead of below.

    Returns:
        (pairs,) sizes, without a sign.
    """
    n, y, m = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (n, y, m))
    normal = NormalDist()
    z_level, z_power = normal.inv_cdf((1 + confidence) / 2), normal.inv_cdf(POWER)
    with np.errstate(divide="ignore", invalid="ignore"):
        base = y / m
        room = 1 - base if above else base

        def found(size: Array) -> npt.NDArray[np.bool_]:
            rate = np.clip(base + size if above else base - size, 0, 1)
            pooled = (rate * n + base * m) / (n + m)
            null = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
            true = np.sqrt(rate * (1 - rate) / n + base * (1 - base) / m)
            return size >= z_level * null + z_power * true

        low, high = np.zeros_like(base), room.copy()
        for _ in range(50):
            middle = (low + high) / 2
            enough = found(middle)
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(found(room) & (n > 0) & (m > 0), high, np.nan)


def odds_ratio(
    x: int, n: int, y: int, m: int, *, confidence: float = 0.95
) -> tuple[float, float, float] | None:
    """Odds ratio of x of n against y of m, with Woolf's logarithmic interval.

    If a cell is zero, ½ is added to all four (Haldane and Anscombe), in the
    estimate as in the interval. ``None`` without rows.
    """
    if not n or not m:
        return None
    cells = np.array([x, n - x, y, m - y], dtype=np.float64)
    if (cells == 0).any():
        cells += 0.5
    centre = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt((1 / cells).sum())
    return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)


@dataclass(frozen=True)
class MantelHaenszel:
    """One association across strata.

    Attributes:
        odds_ratio: Mantel and Haenszel's common odds ratio; ``None`` if undefined.
        low, high: interval of Robins, Breslow and Greenland (1986).
        statistic, p_value: of the Cochran-Mantel-Haenszel test without
            continuity correction; ``None`` if no stratum says anything.
        strata: strata that say something: both groups and both outcomes occur.
        left_out: strata that do not.
    """

    odds_ratio: float | None
    low: float | None
    high: float | None
    statistic: float | None
    p_value: float | None
    strata: int
    left_out: int


def mantel_haenszel(
    x: Numbers, n: Numbers, y: Numbers, m: Numbers, *, confidence: float = 0.95
) -> MantelHaenszel:
    """Compare x of n with y of m within strata (Cochran 1954; Mantel and Haenszel 1959).

    Args:
        x, n: (strata,) successes and rows of the group.
        y, m: (strata,) successes and rows of the reference.
        confidence: of the interval.
    """
    from scipy.special import chdtrc

    x, n, y, m = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, n, y, m))
    total, hits = n + m, x + y
    says = (n > 0) & (m > 0) & (hits > 0) & (hits < total)
    left_out = int((total > 0).sum() - says.sum())
    if not says.any():
        return MantelHaenszel(None, None, None, None, None, 0, left_out)
    x, n, y, m, total, hits = (v[says] for v in (x, n, y, m, total, hits))
    excess = float((x - n * hits / total).sum())
    variance = float((n * m * hits * (total - hits) / total**2 / (total - 1)).sum())
    statistic = excess**2 / variance
    r, s = x * (m - y) / total, (n - x) * y / total
    value = low = high = None
    if r.sum() > 0 and s.sum() > 0:
        value = float(r.sum() / s.sum())
        p, q = (x + m - y) / total, (n - x + y) / total
        spread = math.sqrt(
            (p * r).sum() / (2 * r.sum() ** 2)
            + (p * s + q * r).sum() / (2 * r.sum() * s.sum())
            + (q * s).sum() / (2 * s.sum() ** 2)
        )
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * spread
        low, high = value * math.exp(-reach), value * math.exp(reach)
    p_value = float(chdtrc(1, statistic))
    return MantelHaenszel(value, low, high, statistic, p_value, int(says.sum()), left_out)
