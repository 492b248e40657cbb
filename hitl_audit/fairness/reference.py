"""Every group against a reference: ratio, difference and a named test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist

from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.rates import EFFECTIVE, RATES, GroupRate, Weights, count_of, group_names
from hitl_audit.fairness.score_bounds import koopman_bounds
from hitl_audit.fairness.significance import adjusted, p_values, words_of_test
from hitl_audit.findings import Comparison, metric_words
from hitl_audit.groups import UNKNOWN
from hitl_audit.intervals import METHODS, Count, Interval

__all__ = ["LOWER_IS_BETTER", "Methods", "against_reference", "with_adjusted_p"]

# So few ratios are found faster one at a time than all at once.
_FEW_RATIOS = 10

LOWER_IS_BETTER = frozenset(
    {
        "false_positive_rate",
        "false_negative_rate",
        "false_discovery_rate",
        "false_omission_rate",
    }
)


@dataclass(frozen=True)
class Methods:
    """The named methods: of a rate, a ratio and a difference, and the test."""

    rate: str = "Wilson"
    ratio: str = "Koopman score"
    difference: str = "Newcombe"
    test: str = "fisher"


@dataclass(frozen=True)
class _Side:
    """One group of a pair.

    ``sizes`` are the successes and rows that intervals use; ``None`` for a
    metric that is no proportion. ``bounds`` is the interval of the rate itself.
    """

    name: str
    count: Count
    rate: Fraction | float | None
    sizes: tuple[float, float] | None
    bounds: Interval | None


def against_reference(
    part: GroupCounts,
    rates: Sequence[GroupRate],
    metrics: Sequence[str],
    named: Mapping[str, str],
    confidence: float,
    min_group: int,
    *,
    methods: Methods,
    weights: Weights | None = None,
) -> tuple[list[Comparison], list[str]]:
    """Every group against its reference, and a note where there is none.

    Args:
        part: the counts by one attribute or intersection.
        rates: its rates (:func:`~hitl_audit.fairness.rates.rates_of`).
        metrics: some of :data:`~hitl_audit.fairness.rates.METRICS`.
        named: attribute → reference group.
        confidence: of the intervals.
        min_group: groups with fewer rows are flagged, and no default reference.
        methods: of the intervals, and the test.
        weights: of the groups in the order of ``part``.
    """
    attribute, names = group_names(part)
    found = {(rate.metric, rate.group): rate for rate in rates}
    asked: list[tuple[str, _Side, _Side]] = []
    without = []
    for metric in metrics:
        if metric == "count":
            continue
        sides = [
            _side(part, place, metric, found[metric, name], weights)
            for place, name in enumerate(names)
        ]
        place = _reference_place(part, sides, metric, named, min_group)
        if place is None:
            without.append(metric_words(metric))
            continue
        asked += [(metric, side, sides[place]) for i, side in enumerate(sides) if i != place]
    # All metrics at once: a hundred pairs take hardly longer than one.
    tests = _tests(asked, methods.test)
    ratios = _ratio_bounds(asked, methods.ratio, confidence)
    pairs = [
        comparison
        for (metric, side, other), p_value, bounds in zip(asked, tests, ratios, strict=True)
        for comparison in _pair(
            (metric, attribute),
            side,
            other,
            confidence,
            min_group,
            methods,
            p_value,
            bounds,
            weighted=weights is not None,
        )
    ]
    if not without:
        return pairs, []
    return pairs, [
        f"{attribute}: no group can be the reference for {', '.join(without)} (at least "
        f"{min_group} rows and a known value, or the group that was named), so nothing is "
        "compared there."
    ]


def _side(
    part: GroupCounts, place: int, metric: str, measured: GroupRate, weights: Weights | None
) -> _Side:
    low, high = measured.low, measured.high
    bounds = None if low is None or high is None else (low, high)
    if metric not in RATES:
        # Not a proportion: the count is only there to say how many rows speak.
        count = Count(measured.count, measured.n)
        return _Side(measured.group, count, measured.value, None, bounds)
    count = count_of(part.table[place], metric)
    if weights is None:
        sizes: tuple[float, float] = (count.successes, count.total)
        return _Side(measured.group, count, count.rate, sizes, bounds)
    return _Side(measured.group, count, measured.value, weights.effective(place, metric), bounds)


def _reference_place(
    part: GroupCounts,
    sides: Sequence[_Side],
    metric: str,
    named: Mapping[str, str],
    min_group: int,
) -> int | None:
    """Which group the others are compared with; ties go to the larger group, then by name."""
    wanted = [named.get(attribute) for attribute in part.attributes]
    best: tuple[Fraction | float, int] | None = None
    chosen = None
    for place, (group, side) in enumerate(zip(part.groups, sides, strict=True)):
        fits = all(want in (None, value) for want, value in zip(wanted, group, strict=True))
        if not fits or UNKNOWN in group or side.rate is None:
            continue
        if None in wanted and side.count.total < min_group:
            continue
        merit = (-side.rate if metric in LOWER_IS_BETTER else side.rate, side.count.total)
        if best is None or merit > best:
            best, chosen = merit, place
    return chosen


def _tests(asked: Sequence[tuple[str, _Side, _Side]], test: str) -> list[float | None]:
    """p of equal rates for each side against its reference."""
    numbers = [_numbers(side, other) for _, side, other in asked]
    known = iter(p_values(test, *zip(*filter(None, numbers), strict=True)) if any(numbers) else ())
    found = [math.nan if pair is None else float(next(known)) for pair in numbers]
    return [None if math.isnan(p) else p for p in found]


def _ratio_bounds(
    asked: Sequence[tuple[str, _Side, _Side]], method: str, confidence: float
) -> list[Interval | None]:
    """Interval of the ratio of each side to its reference."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    numbers = [_numbers(side, other) for _, side, other in asked]
    if method != "Koopman score" or len(numbers) <= _FEW_RATIOS:
        return [pair and METHODS[method](z, *pair) for pair in numbers]
    if not any(numbers):
        return [None] * len(numbers)
    low, high = koopman_bounds(z, *zip(*filter(None, numbers), strict=True))
    bounds = zip(low.tolist(), high.tolist(), strict=True)
    return [pair and next(bounds) for pair in numbers]


def _numbers(side: _Side, other: _Side) -> tuple[float, float, float, float] | None:
    """Successes and rows of both; ``None`` where a side has no rows or is no proportion."""
    if side.sizes is None or other.sizes is None or not side.sizes[1] or not other.sizes[1]:
        return None
    return (*side.sizes, *other.sizes)


def _pair(
    measured: tuple[str, str],
    side: _Side,
    other: _Side,
    confidence: float,
    min_group: int,
    methods: Methods,
    p_value: float | None,
    ratio_bounds: Interval | None,
    *,
    weighted: bool,
) -> tuple[Comparison, Comparison]:
    """Ratio and difference of one group to the reference."""
    rate, base = side.rate, other.rate
    ratio = rate / base if rate is not None and base else None
    difference = rate - base if rate is not None and base is not None else None
    if side.sizes is None:
        of_ratio, of_difference = _mover_ratio(side, other), _mover_difference(side, other)
        names, test = ["MOVER, logarithmic", "MOVER"], ""
    else:
        of_ratio = None if ratio is None else ratio_bounds
        of_difference = _difference_bounds(side, other, methods.difference, confidence)
        names, test = [methods.ratio, methods.difference], words_of_test(methods.test)
    if weighted:
        names = [f"{name}, {EFFECTIVE}" for name in names]
        test = test and f"{test}, {EFFECTIVE}"
    low, high = of_ratio or (None, None)
    by_ratio = Comparison(
        metric=measured[0],
        attribute=measured[1],
        group=side.name,
        reference=other.name,
        compare="ratio",
        count=side.count,
        reference_count=other.count,
        value=None if ratio is None else float(ratio),
        low=low,
        high=high,
        confidence=confidence,
        method=names[0],
        p_value=p_value,
        test=test,
        small=side.count.total < min_group,
        min_group=min_group,
    )
    low, high = of_difference or (None, None)
    by_difference = replace(
        by_ratio,
        compare="difference",
        value=None if difference is None else float(difference),
        low=low,
        high=high,
        method=names[1],
    )
    return by_ratio, by_difference


def _difference_bounds(
    side: _Side, other: _Side, method: str, confidence: float
) -> Interval | None:
    pair = _numbers(side, other)
    return pair and METHODS[method](NormalDist().inv_cdf((1 + confidence) / 2), *pair)


def _mover_difference(side: _Side, other: _Side) -> Interval | None:
    """Difference of two independent values from the interval of each (Zou and Donner 2008)."""
    if side.rate is None or other.rate is None or side.bounds is None or other.bounds is None:
        return None
    a, b = float(side.rate), float(other.rate)
    (low_a, high_a), (low_b, high_b) = side.bounds, other.bounds
    return (
        a - b - math.hypot(a - low_a, high_b - b),
        a - b + math.hypot(high_a - a, b - low_b),
    )


def _mover_ratio(side: _Side, other: _Side) -> Interval | None:
    """The same for logarithms, which makes it a ratio."""
    if not side.rate or not other.rate or side.bounds is None or other.bounds is None:
        return None
    a, b = float(side.rate), float(other.rate)
    (low_a, high_a), (low_b, high_b) = side.bounds, other.bounds
    low, high = 0.0, math.inf
    if low_a > 0:
        low = a / b * math.exp(-math.hypot(math.log(a / low_a), math.log(high_b / b)))
    if low_b > 0:
        high = a / b * math.exp(math.hypot(math.log(high_a / a), math.log(b / low_b)))
    return low, high


def with_adjusted_p(pairs: list[Comparison]) -> list[Comparison]:
    """Benjamini-Hochberg over one family: every test in the result, each counted once."""
    tests = [pair for pair in pairs if pair.compare == "ratio" and pair.p_value is not None]
    family = adjusted([pair.p_value for pair in tests if pair.p_value is not None])
    found = {
        (pair.metric, pair.attribute, pair.group): p for pair, p in zip(tests, family, strict=True)
    }
    return [
        replace(pair, p_adjusted=found.get((pair.metric, pair.attribute, pair.group)))
        for pair in pairs
    ]
