"""One number about the people who oversee a model, with what it takes to read it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from hitl_audit.errors import InputError
from hitl_audit.review.estimates import MIN_CASES, Difference, Rate, weighted_rate

__all__ = [
    "Item",
    "Kpi",
    "Settings",
    "checked_settings",
    "counted",
    "gap",
    "per_hour",
    "quantile",
    "rate_of",
    "share",
    "with_adjusted",
]


@dataclass(frozen=True)
class Kpi:
    """One number about human oversight.

    Attributes:
        topic: what it is about, for example ``"overrides"``.
        measure: its name.
        group: for whom: ``""`` for all, ``"race: black"`` or ``"race: black − white"``.
        unit: what n counts: ``"cases"`` or ``"answers"`` (one reviewer, one case).
        count: units that have the property, unweighted; ``None`` if it is no share.
        n: units it is estimated from.
        needed: below this n nothing is estimated.
        value, low, high: the estimate and its interval; ``None`` where it
            could not be estimated. A plain count, or a share of a finite list
            that is known completely, has no interval.
        truth_n, truth_of: units whose right decision is known, of so many that
            the measure is about; ``None`` where no truth is needed.
        weighted: cases count 1/π, because their chances to be drawn differed.
        method: names of the estimate and its interval.
        status: ``"estimated"``, ``"counted"``, ``"insufficient data"`` or
            ``"not assessed"``.
        p_value, p_adjusted: of a test of no difference, where there is one, and
            by Benjamini-Hochberg over all tests of the topic.
        words: what it means, and what it does not say.
    """

    topic: str
    measure: str
    group: str
    unit: str
    count: int | None
    n: int
    needed: int
    value: float | None
    low: float | None
    high: float | None
    truth_n: int | None
    truth_of: int | None
    weighted: bool
    method: str
    status: str
    p_value: float | None
    p_adjusted: float | None
    words: str


@dataclass(frozen=True)
class Settings:
    """How numbers are made.

    Attributes:
        confidence: of every interval.
        min_cases: fewer units than this give no estimate.
        min_group: the same, within a group.
        too_fast_seconds: an answer below this was given too fast to be considered.
        random_state, n_boot: seed and replicates of the bootstrap.
    """

    confidence: float = 0.95
    min_cases: int = MIN_CASES
    min_group: int = 30
    too_fast_seconds: float = 5.0
    random_state: int = 0
    n_boot: int = 2000

    def needed(self, group: str = "") -> int:
        """Units needed for an estimate, of all or in a group."""
        return max(self.min_group if group else self.min_cases, MIN_CASES)


@dataclass(frozen=True)
class Item:
    """One unit of a share: does it have the property, on which case, with which chance."""

    case_id: str
    yes: bool
    chance: float = 1.0
    cluster: str = ""


def checked_settings(settings: Settings) -> Settings:
    """The settings, if they can be used.

    Raises:
        InputError: a setting outside what is accepted, by its name.
    """
    if not 0 < settings.confidence < 1:
        raise InputError(f"confidence is {settings.confidence}; accepted: a number between 0 and 1")
    for name in ("min_cases", "min_group", "n_boot"):
        if getattr(settings, name) < 1:
            raise InputError(f"{name} is {getattr(settings, name)}; accepted: 1 or more")
    if not 0 <= settings.too_fast_seconds < math.inf:
        raise InputError(f"too_fast_seconds is {settings.too_fast_seconds}; accepted: 0 or more")
    return settings


def share(
    topic: str,
    measure: str,
    items: Sequence[Item],
    settings: Settings,
    *,
    group: str = "",
    unit: str = "cases",
    truth: tuple[int, int] | None = None,
    needed: int | None = None,
    rate: Rate | None = None,
    words: str = "",
) -> Kpi:
    """A share of units, estimated for all of its kind.

    A case that several answers are about counts as one cluster.

    Args:
        truth: units whose right decision is known, and of how many.
        needed: units needed, if not what the settings say of all, or of a group.
        rate: the estimate, if it is not that of :func:`rate_of`.
    """
    needed = settings.needed(group) if needed is None else needed
    rate = rate or rate_of(items, settings, needed=needed)
    return Kpi(
        topic=topic,
        measure=measure,
        group=group,
        unit=unit,
        count=rate.count,
        n=rate.n,
        needed=needed,
        value=rate.value,
        low=rate.low,
        high=rate.high,
        truth_n=truth[0] if truth else None,
        truth_of=truth[1] if truth else None,
        weighted=_unequal(items),
        method=rate.method,
        status=rate.status,
        p_value=None,
        p_adjusted=None,
        words=words,
    )


def rate_of(items: Sequence[Item], settings: Settings, *, needed: int | None = None) -> Rate:
    """The rate behind :func:`share`, from so many units on.

    It is the rate of the process that the cases came from, not of the finite
    table they were drawn from: how people will decide is never known completely.
    """
    count, n = sum(item.yes for item in items), len(items)
    if n < (settings.needed() if needed is None else needed):
        status = "insufficient data" if n else "not assessed"
        return Rate(count, n, n, None, None, None, None, settings.confidence, "", status)
    cases = [item.case_id for item in items]
    return weighted_rate(
        [item.yes for item in items],
        [item.chance for item in items],
        confidence=settings.confidence,
        clusters=cases if len(set(cases)) < n else None,
        finite_population=False,
    )


def gap(
    topic: str,
    measure: str,
    difference: Difference,
    settings: Settings,
    *,
    group: str = "",
    unit: str = "cases",
    truth: tuple[int, int] | None = None,
    weighted: bool = False,
    p_value: float | None = None,
    test: str = "",
    needed: int | None = None,
    words: str = "",
) -> Kpi:
    """A difference of two shares, as a number of its own; ``needed`` is of each side."""
    return Kpi(
        topic=topic,
        measure=measure,
        group=group,
        unit=unit,
        count=None,
        n=difference.n,
        needed=settings.needed(group) if needed is None else needed,
        value=difference.value,
        low=difference.low,
        high=difference.high,
        truth_n=truth[0] if truth else None,
        truth_of=truth[1] if truth else None,
        weighted=weighted,
        method="; ".join(filter(None, (difference.method, test if p_value is not None else ""))),
        status=difference.status,
        p_value=p_value,
        p_adjusted=None,
        words=words,
    )


def with_adjusted(kpis: Sequence[Kpi]) -> list[Kpi]:
    """The same numbers with p values adjusted by Benjamini-Hochberg within each topic."""
    from scipy.stats import false_discovery_control

    families: dict[str, list[float]] = {}
    for kpi in kpis:
        if kpi.p_value is not None:
            families.setdefault(kpi.topic, []).append(kpi.p_value)
    adjusted = {
        topic: iter(false_discovery_control(family).tolist()) for topic, family in families.items()
    }
    return [
        kpi if kpi.p_value is None else replace(kpi, p_adjusted=float(next(adjusted[kpi.topic])))
        for kpi in kpis
    ]


def counted(
    topic: str,
    measure: str,
    value: float | None,
    *,
    n: int,
    group: str = "",
    unit: str = "cases",
    count: int | None = None,
    words: str = "",
) -> Kpi:
    """A plain count, or a share of a list that is known completely."""
    return Kpi(
        topic=topic,
        measure=measure,
        group=group,
        unit=unit,
        count=count,
        n=n,
        needed=0,
        value=value,
        low=None,
        high=None,
        truth_n=None,
        truth_of=None,
        weighted=False,
        method="count",
        status="not assessed" if value is None else "counted",
        p_value=None,
        p_adjusted=None,
        words=words,
    )


def quantile(
    topic: str,
    measure: str,
    values: Sequence[float],
    level: float,
    settings: Settings,
    *,
    unit: str = "answers",
    words: str = "",
) -> Kpi:
    """A quantile (linear between order statistics) with its order-statistic interval.

    The interval is free of any assumption about the distribution: its ends are
    the order statistics between which the quantile lies with at least the
    confidence (David & Nagaraja, *Order Statistics*, 2003, section 7.1). It
    exists from ``ln(α/2) / ln(max(q, 1−q))`` values on.
    """
    import numpy as np
    from scipy.stats import binom

    tail = (1 - settings.confidence) / 2
    exists = math.ceil(math.log(tail) / math.log(max(level, 1 - level)) - 1e-12)
    needed = max(settings.needed(), exists)
    n = len(values)
    value = low = high = None
    if n >= needed:
        ordered = sorted(values)
        value = float(np.quantile(ordered, level))
        # P(X(l) <= q) = P(B >= l) and P(X(u) > q) = P(B <= u − 1), B binomial.
        first = int(binom.ppf(tail, n, level))
        if binom.cdf(first, n, level) > tail:
            first -= 1
        last = int(binom.isf(tail, n, level)) + 1
        low, high = ordered[max(first, 0)], ordered[min(last, n) - 1]
    return Kpi(
        topic=topic,
        measure=measure,
        group="",
        unit=unit,
        count=None,
        n=n,
        needed=needed,
        value=value,
        low=low,
        high=high,
        truth_n=None,
        truth_of=None,
        weighted=False,
        method="order statistics" if value is not None else "",
        status=_status(value, n),
        p_value=None,
        p_adjusted=None,
        words=words,
    )


def per_hour(
    topic: str, measure: str, seconds: Sequence[float], settings: Settings, *, words: str = ""
) -> Kpi:
    """Units per hour, 3600 / mean seconds, with the log-scale t interval of the mean."""
    from scipy.stats import t

    n = len(seconds)
    value = low = high = None
    if n >= settings.needed() and (mean := fmean(seconds)) > 0:
        value = 3600 / mean
        reach = float(t.ppf((1 + settings.confidence) / 2, n - 1)) * stdev(seconds) / math.sqrt(n)
        low, high = value * math.exp(-reach / mean), value * math.exp(reach / mean)
    return Kpi(
        topic=topic,
        measure=measure,
        group="",
        unit="answers",
        count=None,
        n=n,
        needed=settings.needed(),
        value=value,
        low=low,
        high=high,
        truth_n=None,
        truth_of=None,
        weighted=False,
        method="ratio of sums, t on the log scale" if value is not None else "",
        status=_status(value, n),
        p_value=None,
        p_adjusted=None,
        words=words,
    )


def _status(value: float | None, n: int) -> str:
    if value is not None:
        return "estimated"
    return "insufficient data" if n else "not assessed"


def _unequal(items: Sequence[Item]) -> bool:
    chances = [item.chance for item in items]
    return bool(chances) and max(chances) - min(chances) > 1e-9 * max(chances)
