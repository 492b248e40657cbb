"""Every group against a reference: ratio, difference and a named test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.rates import count_of, group_names
from hitl_audit.findings import Comparison, metric_words
from hitl_audit.groups import UNKNOWN
from hitl_audit.intervals import Count, koopman, newcombe

__all__ = ["TEST", "against_reference", "with_adjusted_p"]

TEST = "Fisher's exact test, two-sided"
_LOWER_IS_BETTER = frozenset({"false_positive_rate", "false_negative_rate"})


def against_reference(
    part: GroupCounts,
    metrics: tuple[str, ...],
    named: Mapping[str, str],
    confidence: float,
    min_group: int,
) -> tuple[list[Comparison], list[str]]:
    """Every group against its reference, and a note where there is none."""
    attribute, names = group_names(part)
    pairs: list[Comparison] = []
    without = []
    for metric in metrics:
        if metric == "count":
            continue
        counts = [count_of(cells, metric) for cells in part.table]
        place = _reference_place(part, counts, metric, named, min_group)
        if place is None:
            without.append(metric_words(metric))
            continue
        for name, count in zip(names, counts, strict=True):
            if name != names[place]:
                pairs += _pair(
                    metric,
                    attribute,
                    (name, count),
                    (names[place], counts[place]),
                    confidence,
                    min_group,
                )
    if not without:
        return pairs, []
    return pairs, [
        f"{attribute}: no group can be the reference for {', '.join(without)} (at least "
        f"{min_group} rows and a known value, or the group that was named), so nothing is "
        "compared there."
    ]


def _reference_place(
    part: GroupCounts,
    counts: Sequence[Count],
    metric: str,
    named: Mapping[str, str],
    min_group: int,
) -> int | None:
    """Which group the others are compared with; ties go to the larger group, then by name."""
    wanted = [named.get(attribute) for attribute in part.attributes]
    best: tuple[Fraction, int] | None = None
    chosen = None
    for place, (group, count) in enumerate(zip(part.groups, counts, strict=True)):
        fits = all(want in (None, value) for want, value in zip(wanted, group, strict=True))
        rate = count.rate
        if not fits or UNKNOWN in group or rate is None:
            continue
        if None in wanted and count.total < min_group:
            continue
        merit = (-rate if metric in _LOWER_IS_BETTER else rate, count.total)
        if best is None or merit > best:
            best, chosen = merit, place
    return chosen


def _pair(
    metric: str,
    attribute: str,
    group: tuple[str, Count],
    reference: tuple[str, Count],
    confidence: float,
    min_group: int,
) -> tuple[Comparison, Comparison]:
    """Ratio and difference of one group to the reference."""
    from scipy.stats import fisher_exact

    count, other = group[1], reference[1]
    p_value = None
    if count.total and other.total:
        table = np.array([[c.successes, c.total - c.successes] for c in (count, other)])
        p_value = min(float(fisher_exact(table).pvalue), 1.0)
    rate, base = count.rate, other.rate
    ratio = rate / base if rate is not None and base else None
    difference = rate - base if rate is not None and base is not None else None
    bounds = koopman(count, other, confidence=confidence) if ratio is not None else None
    low, high = bounds or (None, None)
    by_ratio = Comparison(
        metric=metric,
        attribute=attribute,
        group=group[0],
        reference=reference[0],
        compare="ratio",
        count=count,
        reference_count=other,
        value=None if ratio is None else float(ratio),
        low=low,
        high=high,
        confidence=confidence,
        method="Koopman score",
        p_value=p_value,
        test=TEST,
        small=count.total < min_group,
        min_group=min_group,
    )
    low, high = newcombe(count, other, confidence=confidence) or (None, None)
    by_difference = replace(
        by_ratio,
        compare="difference",
        value=None if difference is None else float(difference),
        low=low,
        high=high,
        method="Newcombe",
    )
    return by_ratio, by_difference


def with_adjusted_p(pairs: list[Comparison]) -> list[Comparison]:
    """Benjamini-Hochberg over one family: every test in the result, each counted once."""
    from scipy.stats import false_discovery_control

    tests = [pair for pair in pairs if pair.compare == "ratio" and pair.p_value is not None]
    if not tests:
        return pairs
    adjusted = false_discovery_control([pair.p_value for pair in tests], method="bh")
    found = {
        (pair.metric, pair.attribute, pair.group): float(p)
        for pair, p in zip(tests, adjusted, strict=True)
    }
    return [
        replace(pair, p_adjusted=found.get((pair.metric, pair.attribute, pair.group)))
        for pair in pairs
    ]
