"""Proportions, and how sure we are of them. Pure, standard library first.

Single proportion: Wilson score and Clopper-Pearson. Ratio of two independent
proportions: Katz log and Koopman score. Difference: Newcombe's hybrid score.
Formulas: Fagerland, Lydersen & Laake, "Recommended confidence intervals for
two independent binomial proportions", Stat Methods Med Res 24 (2015), 224-254.

Every function takes :class:`Count` values and returns ``(low, high)``, or
``None`` when a count has no rows. The upper bound of a ratio is ``inf`` when
the reference has no successes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

from hitl_audit.errors import InputError

__all__ = [
    "METHODS",
    "Count",
    "Interval",
    "clopper_pearson",
    "katz_log",
    "koopman",
    "newcombe",
    "scaled_interval",
    "wilson",
]

Interval = tuple[float, float]


@dataclass(frozen=True)
class Count:
    """``successes`` out of ``total`` rows: an exact proportion.

    Raises:
        InputError: a negative number, or more successes than rows.
    """

    successes: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.total:
            raise InputError(
                f"got {self.successes} successes of {self.total} rows, "
                "expected 0 ≤ successes ≤ rows"
            )

    @property
    def rate(self) -> Fraction | None:
        """The exact proportion, or ``None`` when there are no rows."""
        return Fraction(self.successes, self.total) if self.total else None


def wilson(count: Count, *, confidence: float = 0.95) -> Interval | None:
    """Wilson score interval of a proportion."""
    return scaled_interval("Wilson", count, None, confidence=confidence)


def clopper_pearson(count: Count, *, confidence: float = 0.95) -> Interval | None:
    """Clopper-Pearson ("exact") interval of a proportion: never too narrow."""
    return scaled_interval("Clopper-Pearson", count, None, confidence=confidence)


def katz_log(count: Count, reference: Count, *, confidence: float = 0.95) -> Interval | None:
    """Katz log interval of the ratio ``count / reference``.

    Where its standard error does not exist (no successes) or is zero (no
    failures at all), ½ is added to successes and failures alike, and the
    interval is extended to contain the point estimate.
    """
    return scaled_interval("Katz log", count, reference, confidence=confidence)


def koopman(count: Count, reference: Count, *, confidence: float = 0.95) -> Interval | None:
    """Koopman's asymptotic score interval of the ratio ``count / reference``."""
    return scaled_interval("Koopman score", count, reference, confidence=confidence)


def newcombe(count: Count, reference: Count, *, confidence: float = 0.95) -> Interval | None:
    """Newcombe's hybrid score interval of the difference ``count − reference``."""
    return scaled_interval("Newcombe", count, reference, confidence=confidence)


def scaled_interval(
    method: str,
    count: Count,
    reference: Count | None,
    *,
    confidence: float = 0.95,
    factor: float = 1.0,
) -> Interval | None:
    """The interval, by the name of its method, if every count were ``factor`` times as large.

    Raises:
        InputError: an unknown method, a missing reference, or a confidence
            that is not between 0 and 1.
    """
    if method not in METHODS:
        raise InputError(f'interval method is "{method}"; accepted: {", ".join(METHODS)}')
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if (reference is not None) != (method in _OF_TWO):
        needs = "a reference count" if method in _OF_TWO else "no reference count"
        raise InputError(f"{method} takes {needs}")
    numbers: list[float] = [count.successes * factor, count.total * factor]
    if reference is not None:
        numbers += [reference.successes * factor, reference.total * factor]
    if 0 in numbers[1::2]:
        return None
    return METHODS[method](NormalDist().inv_cdf((1 + confidence) / 2), *numbers)


def _wilson(z: float, x: float, n: float) -> Interval:
    p = x / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The bounds at 0/n and n/n are exact; rounding must not move them.
    low = 0.0 if x == 0 else (centre - half) / scale
    high = 1.0 if x == n else (centre + half) / scale
    return low, high


def _clopper_pearson(z: float, x: float, n: float) -> Interval:
    from scipy.stats import beta

    tail = NormalDist().cdf(-z)
    low = 0.0 if x == 0 else float(beta.ppf(tail, x, n - x + 1))
    high = 1.0 if x == n else float(beta.isf(tail, x + 1, n - x))
    return low, high


def _katz_log(z: float, x1: float, n1: float, x2: float, n2: float) -> Interval:
    half = 0.5 if x1 == 0 or x2 == 0 or (x1 == n1 and x2 == n2) else 0.0
    a, m, b, n = x1 + half, n1 + 2 * half, x2 + half, n2 + 2 * half
    centre = math.log(a / m) - math.log(b / n)
    reach = z * math.sqrt(1 / a - 1 / m + 1 / b - 1 / n)
    low = 0.0 if x1 == 0 else math.exp(centre - reach)
    high = math.inf if x2 == 0 else math.exp(centre + reach)
    return low, high


def _koopman(z: float, x1: float, n1: float, x2: float, n2: float) -> Interval:
    def score(log_ratio: float) -> float:
        """Score statistic of the hypothesis that the ratio is this; it falls with the ratio."""
        ratio = math.exp(log_ratio)
        b = n1 * ratio + x1 + n2 + x2 * ratio
        c = x1 + x2
        # The reference proportion that is likeliest under the hypothesis; this
        # form of the root does not cancel.
        p2 = 2 * c / (b + math.sqrt(max(b * b - 4 * (n1 + n2) * ratio * c, 0.0)))
        p1 = ratio * p2
        variance = max(p1 * (1 - p1), 0.0) / n1 + ratio**2 * max(p2 * (1 - p2), 0.0) / n2
        distance = x1 / n1 - ratio * x2 / n2
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    if x1 == 0 and x2 == 0:
        return 0.0, math.inf
    start = math.log((x1 / n1) / (x2 / n2)) if x1 and x2 else 0.0
    low = 0.0 if x1 == 0 else math.exp(_falls_to(score, z, start))
    high = math.inf if x2 == 0 else math.exp(_falls_to(score, -z, start))
    return low, high


def _falls_to(function: Callable[[float], float], level: float, start: float) -> float:
    """Where a falling function passes a level: bracket by doubling steps, then halve."""
    low, high, step = start, start, 0.5
    while function(low) < level:
        low, step = low - step, 2 * step
    step = 0.5
    while function(high) > level:
        high, step = high + step, 2 * step
    while high - low > 1e-13 * max(1.0, abs(low)):
        middle = (low + high) / 2
        if function(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _newcombe(z: float, x1: float, n1: float, x2: float, n2: float) -> Interval:
    p1, p2 = x1 / n1, x2 / n2
    (low1, high1), (low2, high2) = _wilson(z, x1, n1), _wilson(z, x2, n2)
    difference = p1 - p2
    low = difference - math.hypot(p1 - low1, high2 - p2)
    high = difference + math.hypot(high1 - p1, p2 - low2)
    return low, high


_OF_TWO = frozenset({"Katz log", "Koopman score", "Newcombe"})

METHODS: dict[str, Callable[..., Interval]] = {
    "Wilson": _wilson,
    "Clopper-Pearson": _clopper_pearson,
    "Katz log": _katz_log,
    "Koopman score": _koopman,
    "Newcombe": _newcombe,
}
"""The methods by the name that is printed beside the number."""
