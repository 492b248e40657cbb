"""Where the threshold lies, what each choice costs, and which one each fairness idea would pick.

A case is decided favorably if and only if its score is at least the
threshold. A false approval is a favorable decision on a case whose true label
is unfavorable; a false denial is the reverse. The cost of a decision rule is
``(cost_ratio × false approvals + false denials) / rows``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.findings import metric_words, percent
from hitl_audit.groups import ALL, UNKNOWN, binary_labels, group_columns
from hitl_audit.intervals import Count, wilson
from hitl_audit.threshold_search import (
    MOST_SCORES,
    Ladder,
    cheapest,
    equalize,
    ladder_of,
    one_would_do,
    thinned,
)

__all__ = [
    "MEASURES",
    "RULES",
    "DecisionRate",
    "GroupDecision",
    "ThresholdChoice",
    "ThresholdSweep",
    "measured_decision",
    "sweep_thresholds",
]

Floats = npt.NDArray[np.float64]
State = Literal["ok", "small group", "undefined"]

MEASURES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "cost")
"""What is measured at every threshold."""

EQUALIZED = {
    "demographic parity": "selection_rate",
    "equal opportunity": "true_positive_rate",
    "equal accuracy": "accuracy",
}
RULES = ("single best", "per group best", *EQUALIZED)
"""The ways to choose a threshold."""

UNLAWFUL = (
    "may be unlawful: group-specific thresholds (the protected attribute decides which "
    "threshold a case meets); shown to compare, not to use without legal advice"
)
_SWEEP_POINTS = 101


@dataclass(frozen=True)
class DecisionRate:
    """One measure of one group at one threshold.

    Attributes:
        metric: one of :data:`MEASURES`.
        n: rows that it is about.
        value: ``None`` if n is 0.
        low, high: interval.
        method: ``"Wilson"``, or for the cost ``"MOVER of Wilson"``.
        status: ``"ok"``, ``"small group"`` (n below ``min_group``) or ``"undefined"``.
    """

    metric: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    method: str
    status: State


@dataclass(frozen=True)
class GroupDecision:
    """What a threshold does to one group; ``threshold`` is ``None`` where several are in use.

    ``equalized`` says whether the rule made this group equal to the others;
    small groups and rows of unknown group keep the single best threshold.
    """

    attribute: str
    group: str
    threshold: float | None
    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int
    rates: tuple[DecisionRate, ...]
    equalized: bool = False

    def rate(self, metric: str) -> DecisionRate:
        """One measure, by its name."""
        _accept("metric", metric, MEASURES)
        return self.rates[MEASURES.index(metric)]


@dataclass(frozen=True)
class ThresholdChoice:
    """The thresholds that one rule picks, and what they do.

    Attributes:
        rule: one of :data:`RULES`.
        attribute: whose groups are told apart; ``"all"`` without attributes.
        status: ``"ok"``, or ``"not attainable"`` (no thresholds bring the
            groups within the tolerance, or fewer than two groups are large enough).
        group_specific: groups meet different thresholds.
        equalizes: the metric that is made equal, or ``""``.
        gap: largest minus smallest value of it among the equalized groups.
        tolerance: the gap that was allowed.
        decisions: all rows together first, then each group; () if not attainable.
        warning: ``""``, or why this must not simply be used.
    """

    rule: str
    attribute: str
    status: Literal["ok", "not attainable"]
    group_specific: bool
    equalizes: str
    gap: float | None
    tolerance: float | None
    decisions: tuple[GroupDecision, ...]
    warning: str

    @property
    def thresholds(self) -> dict[str, float]:
        """Group → threshold."""
        return {d.group: d.threshold for d in self.decisions if d.threshold is not None}

    @property
    def cost(self) -> DecisionRate | None:
        """The cost per case over all rows."""
        return self.decisions[0].rate("cost") if self.decisions else None


@dataclass(frozen=True)
class ThresholdSweep:
    """Decisions at every threshold, and the thresholds each rule picks.

    Attributes:
        cost_ratio: what a false approval costs, in false denials.
        confidence: of every interval.
        min_group: groups with fewer rows decide nothing.
        points: decisions at up to 101 thresholds, all rows and each group.
        choices: one per attribute and rule.
        notes: what a reader must know about these numbers.
    """

    cost_ratio: float
    confidence: float
    min_group: int
    points: tuple[GroupDecision, ...]
    choices: tuple[ThresholdChoice, ...]
    notes: tuple[str, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes compared by."""
        return tuple(dict.fromkeys(p.attribute for p in self.points if p.attribute != ALL))

    def choice(self, rule: str, attribute: str | None = None) -> ThresholdChoice:
        """What a rule picks, for an attribute (default: the first).

        Raises:
            InputError: no such rule, or an attribute that was not compared by.
        """
        _accept("rule", rule, dict.fromkeys(c.rule for c in self.choices))
        known = tuple(dict.fromkeys(c.attribute for c in self.choices))
        wanted = known[0] if attribute is None else attribute
        _accept("attribute", wanted, known)
        return next(c for c in self.choices if (c.rule, c.attribute) == (rule, wanted))

    def frame(self) -> pd.DataFrame:
        """The choices: one row per rule, group and measure."""
        rows: list[dict[str, Any]] = []
        for choice in self.choices:
            head = {"rule": choice.rule, "attribute": choice.attribute}
            tail = {
                "group_specific": choice.group_specific,
                "gap": choice.gap,
                "choice_status": choice.status,
                "warning": choice.warning,
            }
            for decision in choice.decisions:
                rows += [head | row | tail for row in _rows(decision)]
            if not choice.decisions:
                rows.append(head | tail)
        return pd.DataFrame(rows)

    def sweep_frame(self) -> pd.DataFrame:
        """The sweep: one row per threshold, group and measure."""
        return pd.DataFrame(
            [{"attribute": p.attribute} | row for p in self.points for row in _rows(p)]
        )

    def chart(self, metric: str = "cost", attribute: str | None = None) -> Chart:
        """One measure against the threshold, for all rows and the groups of an attribute.

        Raises:
            InputError: an unknown measure, or an attribute that was not compared by.
        """
        _accept("metric", metric, MEASURES)
        if attribute is not None:
            _accept("attribute", attribute, self.attributes)
        shown = [p for p in self.points if p.attribute in (ALL, attribute)]
        groups = dict.fromkeys(p.group for p in shown if _large(p, self.min_group))
        small = dict.fromkeys(p.group for p in shown if p.group not in groups)
        best = self.choices[0].decisions[0]
        name = "Cost per case" if metric == "cost" else metric_words(metric).capitalize()
        said = (
            f"{name} by threshold; the single best threshold is {best.threshold:.3g}, where a "
            f"case costs {_cost_words(best.rate('cost'))} false denials on average "
            f"(a false approval counts {self.cost_ratio:g})."
        )
        if small:
            said += f" Too few cases to draw: {', '.join(small)}."
        series = []
        for group in groups:
            line = [p for p in shown if p.group == group and p.threshold is not None]
            rates = [p.rate(metric) for p in line]
            series.append(
                Series(
                    name="all rows" if group == ALL else group,
                    x=tuple(float(p.threshold or 0.0) for p in line),
                    y=tuple(r.value for r in rates),
                    low=tuple(r.low for r in rates),
                    high=tuple(r.high for r in rates),
                    notes=tuple(f"n = {r.n}" for r in rates),
                )
            )
        return Chart(
            kind="lines",
            message=said,
            alt=said,
            value_label=f"{name}, with {self.confidence * 100:g}% interval",
            x_label="Threshold: approved from this score",
            series=tuple(series),
            percent=metric != "cost",
        )

    def choice_chart(self, metric: str = "selection_rate", attribute: str | None = None) -> Chart:
        """One measure of each group under the rules that could be met.

        Raises:
            InputError: an unknown measure, or an attribute that was not compared by.
        """
        _accept("metric", metric, MEASURES)
        first = self.choice(RULES[0], attribute)
        shown = [c for c in self.choices if c.attribute == first.attribute and c.decisions]
        name = "Cost per case" if metric == "cost" else metric_words(metric).capitalize()
        marked = [c.rule for c in shown if c.group_specific]
        said = f"{name} by group under {len(shown)} ways to choose the threshold."
        if marked:
            said += f" May be unlawful, because thresholds differ by group: {', '.join(marked)}."
        values = "; ".join(
            f"{c.rule}: "
            + ", ".join(f"{d.group} {_value_words(d.rate(metric))}" for d in c.decisions)
            for c in shown
        )
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} {values}.",
            value_label=f"{name}, with {self.confidence * 100:g}% interval",
            series=tuple(
                Series(
                    name=choice.rule + (" *" if choice.group_specific else ""),
                    x=tuple("all rows" if d.group == ALL else d.group for d in choice.decisions),
                    y=tuple(d.rate(metric).value for d in choice.decisions),
                    low=tuple(d.rate(metric).low for d in choice.decisions),
                    high=tuple(d.rate(metric).high for d in choice.decisions),
                    notes=tuple(f"n = {d.rate(metric).n}" for d in choice.decisions),
                )
                for choice in shown
            ),
            percent=metric != "cost",
        )

    def plot(self, metric: str = "cost", attribute: str | None = None) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric, attribute))

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def sweep_thresholds(
    y_true: Any,
    y_score: Any,
    *,
    sensitive_features: Any = None,
    cost_ratio: float = 1.0,
    tolerance: float | None = None,
    confidence: float = 0.95,
    min_group: int = 30,
    n_points: int = _SWEEP_POINTS,
) -> ThresholdSweep:
    """Decide at every threshold, and find the thresholds that each rule picks.

    *Single best* has the least cost over all rows, *per group best* the least
    cost within each group. *Demographic parity*, *equal opportunity* and
    *equal accuracy* are the cheapest thresholds whose selection rates, true
    positive rates or accuracies differ by at most ``tolerance`` between the
    groups (exact: every combination of thresholds is covered). Between
    thresholds of equal cost the lowest is taken.

    The scores are sorted once; everything else is counts along that order.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_score: (rows,) finite numbers; a higher one is more favorable.
        sensitive_features: as in ``group_metrics``; ``None`` for all rows only.
        cost_ratio: what a false approval costs if a false denial costs 1.
        tolerance: gap still taken as equal; default the larger of 0.01 and
            one case of the smallest group compared.
        confidence: of every interval.
        min_group: groups with fewer rows are not equalized; they keep the
            single best threshold, as do rows of unknown group.
        n_points: most thresholds of the sweep that are kept, evenly chosen
            among all of them; the choices look at every one.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, scores
            that are missing or infinite, or an impossible setting.
    """
    truth = binary_labels(y_true, "y_true")
    scores = _finite_scores(y_score, len(truth))
    if not (math.isfinite(cost_ratio) and cost_ratio > 0):
        raise InputError(f"cost_ratio is {cost_ratio}; accepted: a number above 0")
    if tolerance is not None and not 0 <= tolerance <= 1:
        raise InputError(f"tolerance is {tolerance}; accepted: a number from 0 to 1, or None")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    for setting, found, least in (("min_group", min_group, 1), ("n_points", n_points, 2)):
        if found < least:
            raise InputError(f"{setting} is {found}; accepted: {least} or more")
    columns = {} if sensitive_features is None else group_columns(sensitive_features, len(truth))
    order = np.argsort(-scores, kind="stable")
    scores, labels = scores[order], truth[order].astype(np.int64)
    ruler = _Ruler(cost_ratio, confidence, min_group, tolerance)
    whole = ladder_of(ALL, ALL, labels, scores)
    ladders = {
        attribute: [
            ladder_of(
                attribute, str(name), labels[names[order] == name], scores[names[order] == name]
            )
            for name in np.unique(names)
        ]
        for attribute, names in columns.items()
    }
    kept = np.unique(np.linspace(0, len(whole.thresholds) - 1, n_points).round().astype(int))
    points = [
        ruler.decision(ladder, ladder.at(threshold), float(threshold))
        for ladder in (whole, *(one for part in ladders.values() for one in part))
        for threshold in whole.thresholds[kept][::-1]
    ]
    choices = [
        choice
        for attribute, part in (ladders or {ALL: []}).items()
        for choice in _choices(attribute, whole, part, ruler)
    ]
    notes = [
        "The thresholds were chosen and measured on the same rows, so their cost is somewhat "
        "flattering and the intervals leave the choice out; confirm a choice on other rows.",
    ]
    if any(choice.group_specific for choice in choices):
        notes.append(f"Rules marked * or group_specific {UNLAWFUL}.")
    kept_out = [
        f"{ladder.group} ({ladder.attribute}, n = {ladder.rows})"
        for part in ladders.values()
        for ladder in part
        if ladder.rows < min_group or ladder.group == UNKNOWN
    ]
    if kept_out:
        notes.append(
            f"Keeping the single best threshold under every rule, because they are unknown or "
            f"have fewer than {min_group} cases: {', '.join(kept_out)}."
        )
    coarse = [name for name, part in ladders.items() if any(thinned(o, part) for o in part)]
    if coarse:
        notes.append(
            f"By {', '.join(coarse)} there are more than {MOST_SCORES:,} distinct scores: the "
            "equalizing rules were searched over evenly chosen ones."
        )
    return ThresholdSweep(
        cost_ratio, confidence, min_group, tuple(points), tuple(choices), tuple(notes)
    )


def measured_decision(
    cells: tuple[int, int, int, int],
    *,
    cost_ratio: float,
    confidence: float,
    min_group: int,
    threshold: float | None = None,
) -> GroupDecision:
    """What some decisions do to all rows: every measure with its interval.

    Args:
        cells: true negatives, false positives, false negatives, true positives.
        cost_ratio: what a false approval costs if a false denial costs 1.
        confidence: of every interval.
        min_group: fewer rows decide nothing.
        threshold: that made them, if it is one.
    """
    return _Ruler(cost_ratio, confidence, min_group, None).of_counts(ALL, ALL, threshold, cells)


@dataclass(frozen=True)
class _Ruler:
    """How decisions are measured."""

    cost_ratio: float
    confidence: float
    min_group: int
    tolerance: float | None

    def decision(self, ladder: Ladder, step: int, threshold: float) -> GroupDecision:
        tp, fp = int(ladder.true_positives[step]), int(ladder.false_positives[step])
        fn = ladder.positives - tp
        return self.of_counts(
            ladder.attribute, ladder.group, threshold, (ladder.rows - tp - fp - fn, fp, fn, tp)
        )

    def of_counts(
        self,
        attribute: str,
        group: str,
        threshold: float | None,
        cells: tuple[int, int, int, int],
    ) -> GroupDecision:
        tn, fp, fn, tp = cells
        n = sum(cells)
        rates = (
            self._rate("selection_rate", tp + fp, n),
            self._rate("true_positive_rate", tp, tp + fn),
            self._rate("false_positive_rate", fp, fp + tn),
            self._rate("accuracy", tp + tn, n),
            self._cost(fp, fn, n),
        )
        return GroupDecision(attribute, group, threshold, tn, fp, fn, tp, rates)

    def _state(self, n: int) -> State:
        return "undefined" if n == 0 else "small group" if n < self.min_group else "ok"

    def _rate(self, metric: str, successes: int, n: int) -> DecisionRate:
        low, high = wilson(Count(successes, n), confidence=self.confidence) or (None, None)
        value = successes / n if n else None
        return DecisionRate(metric, n, value, low, high, "Wilson", self._state(n))

    def _cost(self, fp: int, fn: int, n: int) -> DecisionRate:
        """Mean cost; its interval from those of the two error rates.

        Method of variance estimates recovery (Zou & Donner, Stat Med 27, 2008,
        1693-1702), with the correlation of two cells of one multinomial.
        """
        one = wilson(Count(fp, n), confidence=self.confidence)
        two = wilson(Count(fn, n), confidence=self.confidence)
        if one is None or two is None:  # no rows
            return DecisionRate("cost", n, None, None, None, "MOVER of Wilson", "undefined")
        ratio, p1, p2 = self.cost_ratio, fp / n, fn / n
        rest = (1 - p1) * (1 - p2)
        correlation = -math.sqrt(p1 * p2 / rest) if rest else 0.0

        def reach(a: float, b: float) -> float:
            return math.sqrt(max(0.0, a * a + b * b + 2 * correlation * a * b))

        value = ratio * p1 + p2
        low = value - reach(ratio * (p1 - one[0]), p2 - two[0])
        high = value + reach(ratio * (one[1] - p1), two[1] - p2)
        bounds = max(0.0, low), min(max(1.0, ratio), high)
        return DecisionRate("cost", n, value, *bounds, "MOVER of Wilson", self._state(n))


def _choices(
    attribute: str, whole: Ladder, part: Sequence[Ladder], ruler: _Ruler
) -> list[ThresholdChoice]:
    single = float(whole.thresholds[cheapest(whole.costs(ruler.cost_ratio))])
    steps = [ladder.at(single) for ladder in part]
    thresholds = [single] * len(part)
    choices = [_choice(RULES[0], attribute, whole, part, ruler, thresholds, steps)]
    if not part:
        return choices
    free = [o.rows >= ruler.min_group and o.group != UNKNOWN for o in part]
    best = [
        cheapest(ladder.costs(ruler.cost_ratio)) if is_free else step
        for ladder, step, is_free in zip(part, steps, free, strict=True)
    ]
    chosen = [
        float(o.thresholds[step]) if is_free else single
        for o, step, is_free in zip(part, best, free, strict=True)
    ]
    choices.append(_choice(RULES[1], attribute, whole, part, ruler, chosen, best))
    for rule, metric in EQUALIZED.items():
        compared = [
            i
            for i, ladder in enumerate(part)
            if free[i] and ladder.measure(metric)[1] >= ruler.min_group
        ]
        tolerance = ruler.tolerance
        if tolerance is None and compared:
            tolerance = max(0.01, 1 / min(part[i].measure(metric)[1] for i in compared))
        found = None
        if len(compared) > 1 and tolerance is not None:
            found = equalize([part[i] for i in compared], metric, ruler.cost_ratio, tolerance)
        if found is None:
            why = (
                "no thresholds bring the groups this near to each other"
                if len(compared) > 1
                else f"fewer than two groups have {ruler.min_group} cases to compare"
            )
            choices.append(
                ThresholdChoice(
                    rule, attribute, "not attainable", False, metric, None, tolerance, (), why
                )
            )
            continue
        chosen, at = list(thresholds), list(steps)
        for i, step in zip(compared, found, strict=True):
            chosen[i], at[i] = float(part[i].thresholds[step]), step
        choices.append(
            _choice(rule, attribute, whole, part, ruler, chosen, at, metric, compared, tolerance)
        )
    return choices


def _choice(
    rule: str,
    attribute: str,
    whole: Ladder,
    part: Sequence[Ladder],
    ruler: _Ruler,
    thresholds: Sequence[float],
    steps: Sequence[int],
    metric: str = "",
    compared: Sequence[int] = (),
    tolerance: float | None = None,
) -> ThresholdChoice:
    decisions = [
        replace(ruler.decision(ladder, step, threshold), equalized=i in compared)
        for i, (ladder, step, threshold) in enumerate(zip(part, steps, thresholds, strict=True))
    ]
    if rule == RULES[0]:
        step = cheapest(whole.costs(ruler.cost_ratio))
        total = ruler.decision(whole, step, float(whole.thresholds[step]))
        specific = False
    else:
        # One threshold that parts every group in the same way would do as well.
        specific = not one_would_do(part, steps)
        cells = (
            sum(d.true_negatives for d in decisions),
            sum(d.false_positives for d in decisions),
            sum(d.false_negatives for d in decisions),
            sum(d.true_positives for d in decisions),
        )
        total = ruler.of_counts(ALL, ALL, None, cells)
    gap = None
    if compared:
        values = [decisions[i].rate(metric).value or 0.0 for i in compared]
        gap = max(values) - min(values)
    return ThresholdChoice(
        rule,
        attribute,
        "ok",
        specific,
        metric,
        gap,
        tolerance,
        (total, *decisions),
        UNLAWFUL if specific else "",
    )


def _finite_scores(y_score: Any, rows: int) -> Floats:
    try:
        scores = np.asarray(y_score, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("y_score holds other things than numbers; accepted: numbers") from None
    if scores.shape != (rows,):
        raise InputError(f"y_score: got shape {scores.shape}, expected ({rows},) as in y_true")
    odd = int((~np.isfinite(scores)).sum())
    if odd:
        raise InputError(f"y_score is missing or infinite in {odd} of {rows} rows")
    return scores


def _rows(decision: GroupDecision) -> list[dict[str, Any]]:
    return [
        {
            "group": decision.group,
            "threshold": decision.threshold,
            "equalized": decision.equalized,
            "metric": rate.metric,
            "n": rate.n,
            "value": rate.value,
            "low": rate.low,
            "high": rate.high,
            "method": rate.method,
            "status": rate.status,
        }
        for rate in decision.rates
    ]


def _large(decision: GroupDecision, min_group: int) -> bool:
    return decision.attribute == ALL or decision.rate("accuracy").n >= min_group


def _cost_words(cost: DecisionRate) -> str:
    if cost.value is None or cost.low is None or cost.high is None:
        return "–"
    return f"{cost.value:.3f} ({cost.low:.3f} to {cost.high:.3f}, n = {cost.n})"


def _value_words(rate: DecisionRate) -> str:
    if rate.metric == "cost":
        return _cost_words(rate)
    return f"{percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}, n = {rate.n})"


def _accept(field: str, found: str, accepted: Any) -> None:
    names = tuple(accepted)
    if found not in names:
        hint = did_you_mean(found, names)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(names)}{hint}')
