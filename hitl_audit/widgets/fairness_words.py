"""What the fairness panel shows: numbers as words, and places on an axis from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hitl_audit.fairness.at_threshold import ScoredGroups, measured_by
from hitl_audit.fairness.counts import Cells, GroupCounts
from hitl_audit.fairness.rates import GroupRate, rates_of, value_of
from hitl_audit.findings import (
    Comparison,
    Criterion,
    Status,
    evaluate,
    metric_words,
    percent,
    status_of,
)
from hitl_audit.groups import ALL, TIMES, UNKNOWN
from hitl_audit.thresholds import (
    RULES,
    DecisionRate,
    ThresholdChoice,
    ThresholdSweep,
    measured_decision,
)
from hitl_audit.widgets.axis import TOPS, Axis, top_of
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.fairness_setting import FairnessSetting, Place

__all__ = ["Found", "described", "measured", "schema"]

BARS = 40
MARKS = {
    Status.MET: "✓",
    Status.NOT_MET: "✕",
    Status.INSUFFICIENT: "?",
    Status.NOT_ASSESSED: "–",
}
TRIED = {
    Status.MET: "would be met",
    Status.NOT_MET: "would not be met",
    Status.INSUFFICIENT: "insufficient data",
    Status.NOT_ASSESSED: "not assessed",
}
WORST = (Status.NOT_MET, Status.INSUFFICIENT, Status.NOT_ASSESSED, Status.MET)
RULE_WORDS = {
    "single best": ("One threshold, least cost", "one threshold for everybody"),
    "per group best": ("Least cost in each group", "a threshold for each group"),
    "demographic parity": ("Equal selection rates", "demographic parity"),
    "equal opportunity": ("Equal true positive rates", "equal opportunity"),
    "equal accuracy": ("Equal accuracy", "equally often right"),
}
RATIO_TOPS = (1.2, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Found:
    """One metric at the thresholds that are tried, and at the plan's."""

    counts: GroupCounts
    rates: list[GroupRate]
    pairs: list[Comparison]
    notes: list[str]
    planned: GroupCounts
    planned_rates: list[GroupRate]
    gained: int
    lost: int
    cohort_rates: list[GroupRate]
    cohort_pairs: list[Comparison]


def measured(
    setting: FairnessSetting, place: Place, everybody: ScoredGroups, part: ScoredGroups | None
) -> Found:
    """Measure what is looked at; ``part`` are the scores of a cohort, if one is chosen."""
    settings: dict[str, Any] = {
        "reference": setting.reference,
        "confidence": setting.confidence,
        "min_group": setting.min_group,
    }

    def tried(scored: ScoredGroups) -> Any:
        if not place.per_group:
            return place.threshold
        return scored.spread(dict(place.own), place.grouped_by, place.threshold)

    thresholds = tried(everybody)
    counts, planned = everybody.counts(thresholds), everybody.counts(setting.threshold)
    rates, pairs, notes = measured_by(counts, place.by, place.metric, **settings)
    before = rates_of(planned.by(place.by), [place.metric], setting.confidence, setting.min_group)
    moved = np.subtract(everybody.below(setting.threshold), everybody.below(thresholds))
    cohort_rates: list[GroupRate] = []
    cohort_pairs: list[Comparison] = []
    if part is not None and len(part):
        cohort_rates, cohort_pairs, _ = measured_by(
            part.counts(tried(part)), place.by, place.metric, **settings
        )
    return Found(
        counts,
        rates,
        [pair for pair in pairs if pair.compare == place.compare],
        notes,
        planned,
        before,
        int(moved[moved > 0].sum()),
        int(-moved[moved < 0].sum()),
        cohort_rates,
        [pair for pair in cohort_pairs if pair.compare == place.compare],
    )


def schema(setting: FairnessSetting) -> dict[str, Any]:
    """What does not change while the panel is open."""
    low, high = _range(setting)
    favorable, unfavorable = setting.decisions
    return {
        "choices": [setting.words(by) for by in setting.choices],
        "metrics": [[name, metric_words(name)] for name in setting.metrics],
        "rules": [[rule, *RULE_WORDS[rule]] for rule in RULES],
        "scored": setting.scored,
        "low": low,
        "high": high,
        "step": _step(low, high),
        "threshold": setting.threshold,
        "plan": _plain(setting.threshold),
        "confidence": f"{setting.confidence * 100:g}%",
        "cost_before": f"One wrong “{favorable}” costs as much as",
        "cost_after": f"wrong “{unfavorable}”",
        "min_group": setting.min_group,
        "bars": _bars(setting.groups, low, high),
    }


def described(
    setting: FairnessSetting,
    place: Place,
    found: Found,
    *,
    cohort: Cohort | None,
    sweep: ThresholdSweep | None,
    brief: bool,
) -> dict[str, Any]:
    """Everything that the page shows; without sentences on the promises if ``brief``."""
    exploring = bool(
        place.per_group or place.threshold != setting.threshold or found.gained or found.lost
    )
    value_promises = setting.promises(place.by, place.metric, "value")
    return {
        "by": setting.choices.index(place.by),
        "by_words": setting.words(place.by),
        "metric": place.metric,
        "metric_words": metric_words(place.metric),
        "compare": place.compare,
        "exploring": exploring,
        "state": _state_words(setting, place, found, exploring),
        "overall": _overall(setting, place, found),
        "thresholds": _thresholds(setting, place),
        "cost": place.cost_ratio,
        "rule": place.rule,
        "rules": _rules(sweep, place),
        "cohort": _cohort_words(cohort),
        "rates": _rates(setting, place, found, value_promises, exploring, cohort),
        "compared": _compared(setting, place, found, exploring, cohort, brief),
    }


# ------------------------------------------------------------- thresholds


def _range(setting: FairnessSetting) -> tuple[float, float]:
    """Between which thresholds the sliders move: tenths around the scores and the plan's."""
    ends = [setting.threshold]
    for scores in setting.groups.scores:
        ends += [float(scores[0]), float(scores[-1])]
    unit = 0.1 if max(ends) - min(ends) > 0.1 else 0.01
    low, high = math.floor(min(ends) / unit) * unit, math.ceil(max(ends) / unit) * unit
    return round(low, 6), round(high if high > low else low + unit, 6)


def _step(low: float, high: float) -> float:
    return 0.005 if high - low > 0.3 else 0.001 if high - low > 0.06 else 0.0001


def _plain(threshold: float) -> str:
    """A threshold as people write it: at most four decimals, no zeros at the end."""
    return f"{threshold:.4f}".rstrip("0").rstrip(".").replace("-", "−")


def _bars(scored: ScoredGroups, low: float, high: float) -> list[list[float]]:
    """How many have each score, of both outcomes: heights from 0 to 1 along the slider."""
    edges = np.linspace(low, high, BARS + 1)[1:-1]
    favorable, unfavorable = np.zeros(BARS), np.zeros(BARS)
    for scores, running in zip(scored.scores, scored.favorable, strict=True):
        cuts = np.concatenate([[0], scores.searchsorted(edges), [len(scores)]])
        good = np.diff(running[cuts])
        favorable += good
        unfavorable += np.diff(cuts) - good
    most = max(float((favorable + unfavorable).max()), 1.0)
    return [(favorable / most).round(3).tolist(), (unfavorable / most).round(3).tolist()]


def _thresholds(setting: FairnessSetting, place: Place) -> dict[str, Any]:
    sizes = {}
    if place.per_group:
        part = setting.groups.counts(0.0).by(place.grouped_by)
        sizes = {TIMES.join(group): sum(cells) for group, cells in part.items()}
    return {
        "value": place.threshold,
        "words": _plain(place.threshold),
        "per_group": place.per_group,
        "grouped_by": setting.words(place.grouped_by) if place.per_group else "",
        "groups": [
            {"group": name, "n": f"{sizes[name]:,}", "value": value, "words": _plain(value)}
            for name, value in place.own
        ],
        "can_group": bool(place.by) or place.per_group,
    }


def _rules(sweep: ThresholdSweep | None, place: Place) -> list[dict[str, Any]]:
    """What each rule would do, as far as it was searched."""
    known = {} if sweep is None else {choice.rule: choice for choice in sweep.choices}
    return [
        {
            "rule": rule,
            "words": _rule_words(known[rule]) if rule in known else "",
            "attainable": rule not in known or known[rule].status == "ok",
            "chosen": rule == place.rule,
        }
        for rule in RULES
    ]


def _rule_words(choice: ThresholdChoice) -> str:
    cost = choice.cost
    if cost is None:
        return f"not attainable: {choice.warning}"
    words = f"cost {_cost(cost.value)} per case"
    if choice.gap is not None:
        words += f", gap {choice.gap * 100:.1f} points"
    return words


# ------------------------------------------------------------- everybody


def _cells(counts: GroupCounts) -> Cells:
    return counts.by(()).table[0]


def _overall(setting: FairnessSetting, place: Place, found: Found) -> list[dict[str, str]]:
    settings: dict[str, Any] = {
        "cost_ratio": place.cost_ratio,
        "confidence": setting.confidence,
        "min_group": setting.min_group,
    }
    now = measured_decision(_cells(found.counts), **settings)
    before = measured_decision(_cells(found.planned), **settings)
    rows = []
    for name, title in (
        ("selection_rate", "Selected"), ("accuracy", "Accuracy"), ("cost", "Cost per case"),
    ):  # fmt: skip
        rate, was = now.rate(name), before.rate(name)
        rows.append(
            {
                "title": title,
                "value": _figure(rate, rate.value),
                "range": f"{_figure(rate, rate.low)} to {_figure(rate, rate.high)}",
                "was": f"plan {_figure(was, was.value)}" if rate.value != was.value else "",
                "note": "insufficient data" if rate.status != "ok" else "",
            }
        )
    return rows


def _figure(rate: DecisionRate, value: float | None) -> str:
    return _cost(value) if rate.metric == "cost" else percent(value)


def _cost(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _state_words(setting: FairnessSetting, place: Place, found: Found, exploring: bool) -> str:
    if not exploring:
        return (
            f"At the plan’s threshold, {_plain(setting.threshold)}: these are the audit’s results."
        )
    where = f"threshold {_plain(place.threshold)}"
    if place.per_group:
        where = f"thresholds by {setting.words(place.grouped_by)}"
    total = found.counts.rows
    turned = found.gained + found.lost
    if not turned:
        return f"Exploratory, {where}: every decision is as in the audit."
    favorable, unfavorable = setting.decisions
    parts = [
        f"{number:,} to “{to}”"
        for number, to in ((found.gained, favorable), (found.lost, unfavorable))
        if number
    ]
    return (
        f"Exploratory, {where}: {turned:,} of {total:,} decisions "
        f"({percent(turned / total)}) differ from the plan’s, {' and '.join(parts)}. "
        "The recorded result is not altered."
    )


def _cohort_words(cohort: Cohort | None) -> dict[str, str] | None:
    if cohort is None:
        return None
    words = f"{len(cohort):,} cases"
    if cohort.small:
        words += f": insufficient data (fewer than {cohort.min_group})"
    return {"name": cohort.name, "words": words, "note": cohort.note}


# ------------------------------------------------------------- groups


def _worst(statuses: Sequence[Status]) -> Status | None:
    return min(statuses, key=WORST.index, default=None)


def _chip(status: Status | None, exploring: bool) -> dict[str, str] | None:
    if status is None:
        return None
    words = TRIED[status] if exploring else str(status)
    return {"status": str(status), "mark": MARKS[status], "words": words}


def _unknown(group: str) -> bool:
    return UNKNOWN in group.split(TIMES)


def _name(group: str) -> str:
    return "All rows" if group == ALL else group


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _rates(
    setting: FairnessSetting,
    place: Place,
    found: Found,
    promises: Sequence[Criterion],
    exploring: bool,
    cohort: Cohort | None,
) -> dict[str, Any]:
    reference = next((pair.reference for pair in found.pairs), "")
    lines = [b for c in promises for b in c.bounds if b is not None]
    large = [r.high for r in (*found.rates, *found.planned_rates) if r.status == "ok"]
    large += [r.high for r in found.cohort_rates if r.status == "ok"]
    axis = Axis.of_rates([*large, *map(float, lines)])
    was = {rate.group: rate for rate in found.planned_rates}
    beside = {rate.group: rate for rate in found.cohort_rates}
    rows = []
    for rate in found.rates:
        plan = was[rate.group]
        statuses = [] if _unknown(rate.group) else [
            status_of(
                c, value_of(rate, confidence=setting.confidence, min_group=setting.min_group)
            )
            for c in promises
        ]  # fmt: skip
        row = _mark(rate, axis)
        row |= {
            "group": _name(rate.group),
            "n": f"n = {rate.n:,}",
            "reference": rate.group == reference,
            "was": axis.at(plan.value) if plan.value != rate.value else None,
            "was_words": percent(plan.value) if plan.value != rate.value else "",
            "chip": _chip(_worst(statuses), exploring),
            "cohort": None if cohort is None else _beside(beside.get(rate.group), axis, cohort),
        }
        rows.append(row)
    return {
        "rows": rows,
        "ticks": axis.rate_ticks,
        "lines": [axis.at(float(line)) for line in lines],
        "promise": [_promise_words(c) for c in promises],
    }  # fmt: skip


def _mark(rate: GroupRate | Comparison, axis: Axis) -> dict[str, Any]:
    """One value with its interval: where it lies, and in words."""
    small = rate.small if isinstance(rate, Comparison) else rate.status == "small group"
    points = isinstance(rate, Comparison) and rate.compare == "difference"
    undefined = rate.value is None
    words = "undefined" if undefined else _points(rate.value) if points else percent(rate.value)
    span = _span(rate.low, rate.high)
    if points and rate.low is not None and rate.high is not None:
        span = f"{_points(rate.low, '')} to {_points(rate.high)}"
    return {
        "at": axis.at(rate.value),
        "low": axis.at(rate.low),
        "high": axis.at(rate.high),
        "beyond": rate.high is not None and rate.high > axis.high,
        "words": words,
        "span": span,
        "small": small or undefined,
    }


def _beside(rate: GroupRate | None, axis: Axis, cohort: Cohort) -> dict[str, Any]:
    """A group within the cohort, beside the whole group."""
    if rate is None:
        return {"at": None, "low": None, "high": None, "words": "nobody", "span": "", "small": True,
                "n": "n = 0", "beyond": False}  # fmt: skip
    mark = _mark(rate, axis) | {"n": f"n = {rate.n:,}"}
    mark["small"] = mark["small"] or cohort.small
    return mark


def _compared(
    setting: FairnessSetting,
    place: Place,
    found: Found,
    exploring: bool,
    cohort: Cohort | None,
    brief: bool,
) -> dict[str, Any] | None:
    """Every group against the reference, and the promises about it."""
    if not place.by:
        return None
    promises = setting.promises(place.by, place.metric, place.compare)
    reference = next((pair.reference for pair in found.pairs), "")
    axis, ticks = _compare_axis(place.compare, found, promises)
    beside = {pair.group: pair for pair in found.cohort_pairs}
    rows = []
    for pair in found.pairs:
        statuses = [] if _unknown(pair.group) else [status_of(c, pair) for c in promises]
        row = _mark(pair, axis)
        row |= {
            "group": pair.group,
            "n": f"n = {pair.count.total:,}",
            "chip": _chip(_worst(statuses), exploring),
            "cohort": _pair_beside(beside.get(pair.group), axis, cohort, reference),
        }
        rows.append(row)
    words = []
    if not brief:
        promised = [pair for pair in found.pairs if not _unknown(pair.group)]
        words = [
            ("At these thresholds: " if exploring else "") + evaluate("", c, promised).words
            for c in promises
        ]
    return {
        "title": f"{'Ratio' if place.compare == 'ratio' else 'Difference'} to {reference}"
        if reference
        else "No group can be the reference",
        "rows": rows,
        "ticks": ticks,
        "equal": axis.at(1.0 if place.compare == "ratio" else 0.0),
        "lines": [axis.at(float(b)) for c in promises for b in c.bounds if b is not None],
        "promise": [_promise_words(c) for c in promises],
        "words": words,
        "notes": found.notes,
    }


def _pair_beside(
    pair: Comparison | None, axis: Axis, cohort: Cohort | None, reference: str
) -> dict[str, Any] | None:
    """A comparison within the cohort; its reference group may be another one there."""
    if pair is None or cohort is None:
        return None
    other = "" if pair.reference == reference else pair.reference
    mark = _mark(pair, axis) | {"n": f"n = {pair.count.total:,}", "to": other}
    mark["small"] = mark["small"] or cohort.small
    return mark


def _compare_axis(
    compare: Literal["ratio", "difference"], found: Found, promises: Sequence[Criterion]
) -> tuple[Axis, list[list[Any]]]:
    large = [p for p in (*found.pairs, *found.cohort_pairs) if not p.small]
    lines = [float(b) for c in promises for b in c.bounds if b is not None]
    if compare == "ratio":
        high = top_of([*lines, *(p.high for p in large)], RATIO_TOPS)
        ratios = [v for v in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0) if v <= high and (v != 0.5 or high < 3)]
        axis = Axis(0.0, high)
        return axis, axis.ticks(ratios, [f"{v * 100:g}%" for v in ratios])
    sizes = [abs(v) for p in large for v in (p.low, p.high) if v is not None]
    reach = top_of([*map(abs, lines), *sizes], TOPS)
    axis = Axis(-reach, reach)
    return axis, axis.ticks(
        [-reach, 0, reach], [f"−{reach * 100:g}", "0", f"+{reach * 100:g} points"]
    )


def _points(value: float | None, unit: str = " points") -> str:
    if value is None:
        return "–"
    size = f"{abs(value) * 100:.1f}"
    sign = "" if not float(size) else "−" if value < 0 else "+"
    return f"{sign}{size}{unit}"


def _promise_words(criterion: Criterion) -> str:
    """The plan's line, in words."""
    low, high = criterion.bounds
    if criterion.compare == "difference" and criterion.at_most is not None:
        return f"within ±{float(criterion.at_most) * 100:g} points"
    parts = [] if low is None else [f"at least {float(low) * 100:g}%"]
    parts += [] if high is None else [f"at most {float(high) * 100:g}%"]
    return " and ".join(parts)
