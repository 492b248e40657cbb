"""What the recorded judgments say about the model, and about the people. Pure.

The unit is the case: a case counts as agreed when the standing verdict of every
reviewer who judged it is *agree*; *unsure* and *escalate* are no agreement. The
human decision on a case is the adjudicated one, else that of the majority of
its reviewers (:mod:`hitl_audit.review.verdicts`).

An :class:`Oversight` leaves the house inside a document: it holds aggregates,
and reviewers under numbers; no case, no word of a rationale, no name.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.agreement import agreement
from hitl_audit.review.agreement_result import Coefficient
from hitl_audit.review.decision_quality import check_kpis, effect_kpis, override_quality_kpis
from hitl_audit.review.estimates import MIN_CASES, Rate
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import ANSWERS, Judgment
from hitl_audit.review.kpi import Kpi, Settings, checked_settings, rate_of, with_adjusted
from hitl_audit.review.overrides import (
    agreed_cases,
    agreement_kpis,
    blind_cases,
    drift_kpis,
    override_kpis,
)
from hitl_audit.review.paired_effect import SideBySide, side_by_side
from hitl_audit.review.reliance import anchoring_kpis, reliance_kpis
from hitl_audit.review.reviewed import Reviewed, reviewed
from hitl_audit.review.reviewer_rows import ReviewerRow, reviewer_rows
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.verdicts import Answers
from hitl_audit.review.workload import coverage_kpis, flow_kpis, time_kpis

if TYPE_CHECKING:
    import pandas as pd

    from hitl_audit.charts import Chart

__all__ = ["MIN_CASES", "Oversight", "Share", "summarise"]


@dataclass(frozen=True)
class Share:
    """A share of cases, with its uncertainty.

    Attributes:
        count, n: cases that have the property, of cases judged; unweighted.
        value, low, high: estimate for all cases of the population, with its
            interval; ``None`` when there are too few.
        confidence: of the interval.
        method: name of the estimate and its interval.
        status: ``"estimated"``, ``"insufficient data"`` or ``"not assessed"``.
    """

    count: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str
    status: str


@dataclass(frozen=True)
class Oversight:
    """The judgments of one sample, summed up.

    Attributes:
        status: ``"assessed"``, ``"insufficient data"`` or ``"not assessed"``.
        words: the summary in one or two sentences.
        sampled, judged: cases drawn, and cases with at least one final verdict.
        reviewers: number of people (or simulations) with a final verdict.
        verdicts: ``(verdict, number)``, one standing verdict per case and reviewer.
        agreement: cases in which every reviewer agrees with the model.
        blind_agreement: cases in which everyone who decided before seeing the
            model's decision decided the same; of those with such a decision.
        median_seconds: median time on task of one reviewer on one case.
        reasons: ``(reason, number)`` of the verdicts counted, most frequent first.
        corrections: number of corrections recorded; a correction replaces the
            verdict it corrects in every count.
        outside_sample: events on cases that are not in the sample, on another
            model or plan, or otherwise not counted; they enter no number.
        any_simulated: at least one judgment was made by a program.
        excluded: ``(why, number)`` of the events not counted, and of the tasks
            that enter no rate.
        truth_n: judged cases whose right decision is known.
        kpis: every number, one per measure and group; see :meth:`kpi`.
        side_by_side: model, people and both together, overall and by group.
        by_reviewer: one row per reviewer, under a number.
        reviewer_agreement, blind_reviewer_agreement: coefficients of agreement
            among reviewers, of decisions after and before the model was seen.
        reference: ``(attribute, group)`` that the other groups are compared with.
        settings: how the numbers were made; ``None`` in older documents.
    """

    status: str
    words: str
    sampled: int
    judged: int
    reviewers: int
    verdicts: tuple[tuple[str, int], ...]
    agreement: Share
    blind_agreement: Share
    median_seconds: float | None
    reasons: tuple[tuple[str, int], ...]
    corrections: int
    outside_sample: int
    any_simulated: bool
    excluded: tuple[tuple[str, int], ...] = ()
    truth_n: int = 0
    kpis: tuple[Kpi, ...] = ()
    side_by_side: tuple[SideBySide, ...] = ()
    by_reviewer: tuple[ReviewerRow, ...] = ()
    reviewer_agreement: tuple[Coefficient, ...] = ()
    blind_reviewer_agreement: tuple[Coefficient, ...] = ()
    reference: tuple[tuple[str, str], ...] = ()
    settings: Settings | None = None

    def kpi(self, measure: str, group: str = "") -> Kpi:
        """One number by its measure, of all or of a group such as ``"race: black"``.

        Raises:
            InputError: no such measure or group.
        """
        named = [kpi for kpi in self.kpis if kpi.measure == measure]
        if not named:
            names = list(dict.fromkeys(kpi.measure for kpi in self.kpis))
            raise InputError(
                f'oversight: measure is "{measure}"; accepted: {", ".join(names)}'
                f"{did_you_mean(measure, names)}"
            )
        for kpi in named:
            if kpi.group == group:
                return kpi
        raise InputError(
            f'oversight: group of "{measure}" is "{group}"; accepted: '
            f"{', '.join(repr(kpi.group) for kpi in named)}"
        )

    def compared(self, measure: str, attribute: str = "", group: str = "") -> SideBySide:
        """One row of :attr:`side_by_side`.

        Raises:
            InputError: no such row.
        """
        for row in self.side_by_side:
            if (row.measure, row.attribute, row.group) == (measure, attribute, group):
                return row
        raise InputError(
            f'oversight: nothing compared is "{measure}" of "{attribute}" "{group}"; '
            "see the columns measure and group of frame()"
        )

    def frame(self) -> pd.DataFrame:
        """One row per number: topic, measure, group, value, low, high, n and how to read it."""
        from hitl_audit.review.oversight_table import oversight_frame

        return oversight_frame(self)

    def _repr_html_(self) -> str:
        table = self.frame().query("status in ('estimated', 'counted')")
        columns = ["topic", "measure", "group", "value", "low", "high", "n", "method"]
        rows = table[columns].to_html(
            index=False, max_rows=80, float_format="{:.3f}".format, na_rep="–"
        )
        return f"<p>{html.escape(self.words)}</p>{rows}"

    def chart(self, measure: str = "selection_rate", attribute: str = "") -> Chart:
        """Model, people and both together: one measure, of all or by group of an attribute.

        Raises:
            InputError: nothing of the kind was compared.
        """
        from hitl_audit.review.oversight_table import side_by_side_chart

        return side_by_side_chart(self, measure, attribute)

    def plot(self, measure: str = "selection_rate", attribute: str = "") -> Any:
        """:meth:`chart` as a plotly figure."""
        from hitl_audit.charts import to_plotly

        return to_plotly(self.chart(measure, attribute))


def summarise(
    events: Iterable[Event],
    sample: CaseSample,
    *,
    truth: Mapping[str, int] | None = None,
    groups: Mapping[str, Mapping[str, str]] | None = None,
    reference: Mapping[str, str] | None = None,
    model_decision: Mapping[str, str] | None = None,
    model_score: Mapping[str, float] | None = None,
    model_digest: str | None = None,
    plan_digest: str | None = None,
    confidence: float = 0.95,
    min_cases: int = MIN_CASES,
    min_group: int = 30,
    too_fast_seconds: float = 5.0,
    random_state: int = 0,
    n_boot: int = 2000,
    now: datetime | None = None,
) -> Oversight:
    """Sum up what the reviewers of a sample said, and what their review was worth.

    Every share is that of the process the cases came from: Hájek's estimate
    with cases counting 1/π, and Wilson's interval at the effective size, which
    with equal chances is Wilson's own. Hand-picked cases, gold cases, planted
    errors and repeats enter no rate.

    Args:
        events: of every kind, in the order of the ledger.
        sample: the cases that were to be judged.
        truth: case → 1 where the favorable decision is the right one, else 0;
            cases whose right decision is not known are left out.
        groups: attribute → case → group; by default as recorded in the sample.
        reference: attribute → the group that others are compared with; by
            default the group with the most drawn cases.
        model_decision: case → ``"favorable"`` or ``"unfavorable"``; by default
            as shown to the reviewers.
        model_score: case → score, at which groups are compared; by default as shown.
        model_digest, plan_digest: count only events on this model, under this
            plan; ``None`` counts all.
        confidence: of the intervals.
        min_cases, min_group: fewer cases than this, in all or of a group, give
            no estimate; 10 is the least.
        too_fast_seconds: an answer given faster was hardly considered.
        random_state, n_boot: seed and replicates of the bootstrap of largest gaps.
        now: when waiting is counted; by default at the last event.

    Raises:
        InputError: a setting, a truth, a decision or a reference that cannot be used.
    """
    settings = checked_settings(
        Settings(confidence, min_cases, min_group, too_fast_seconds, random_state, n_boot)
    )
    if now is not None and now.tzinfo is None:
        raise InputError(f"now is {now}, without a time zone; expected a time with one")
    events = tuple(events)
    data = reviewed(
        events,
        sample,
        truth=truth,
        groups=_recorded_groups(sample) if groups is None else groups,
        reference=reference,
        model_decision=model_decision,
        model_score=model_score,
        model_digest=model_digest,
        plan_digest=plan_digest,
        settings=settings,
    )
    ours = [
        event
        for event in events
        if model_digest in (None, event.model_digest) and plan_digest in (None, event.plan_digest)
    ]
    return _oversight(data, sample, events, ours, now)


def _oversight(
    data: Reviewed,
    sample: CaseSample,
    events: tuple[Event, ...],
    ours: list[Event],
    now: datetime | None,
) -> Oversight:
    verdicts = [answer for answer in data.ordinary if answer.verdict is not None]
    agreed = rate_of(agreed_cases(data), data.settings)
    counted = Counter(answer.verdict for answer in verdicts)
    reasons = Counter(reason for answer in verdicts for reason in answer.reasons)
    seconds = [answer.seconds for answer in verdicts if answer.seconds is not None]
    simulated = any(event.simulated for event in events if isinstance(event, Judgment))
    people = len({answer.reviewer for answer in verdicts})
    kpis: list[Kpi] = []
    if data.answers.answers:
        numbers = [
            *agreement_kpis(data),
            *override_kpis(data),
            *reliance_kpis(data),
            *anchoring_kpis(data),
            *override_quality_kpis(data),
            *effect_kpis(data),
            *time_kpis(data),
            *flow_kpis(data, ours, now),
            *coverage_kpis(data),
            *check_kpis(data),
            *drift_kpis(data),
        ]
        kpis = with_adjusted(numbers)
    return Oversight(
        status="assessed" if agreed.status == "estimated" else agreed.status,
        words=_words(
            agreed,
            sample,
            data,
            people,
            begun=any(isinstance(event, Judgment) for event in ours),
            simulated=simulated,
        )
        + _effect_words(kpis, data.undecided),
        sampled=len(sample.cases),
        judged=agreed.n,
        reviewers=people,
        verdicts=tuple((verdict, counted[verdict]) for verdict in ANSWERS["final"]),
        agreement=_share(agreed),
        blind_agreement=_share(rate_of(blind_cases(data), data.settings)),
        median_seconds=median(seconds) if seconds else None,
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        corrections=data.answers.corrections,
        outside_sample=len(data.answers.excluded),
        any_simulated=simulated,
        excluded=_excluded(data.answers),
        truth_n=sum(c.case_id in data.truth for c in data.cases if c.reviewers),
        kpis=tuple(kpis),
        side_by_side=side_by_side(data) if verdicts else (),
        by_reviewer=reviewer_rows(data),
        reviewer_agreement=_coefficients(data, "final"),
        blind_reviewer_agreement=_coefficients(data, "blind"),
        reference=tuple(data.reference.items()),
        settings=data.settings,
    )


def _effect_words(kpis: list[Kpi], undecided: int) -> str:
    """Whether people made the decisions more accurate, in one sentence."""
    lift = next((kpi for kpi in kpis if kpi.measure == "lift over the model"), None)
    if lift is None or lift.value is None or lift.low is None or lift.high is None:
        return ""
    if lift.low > 0:
        said = "people made the decisions more accurate"
    elif lift.high < 0:
        said = "people made the decisions less accurate"
    else:
        said = "whether people made the decisions more accurate cannot be told from chance"
    left_out = f"; {undecided} judged cases have no human decision" if undecided else ""
    points = [f"{100 * value:+.1f}" for value in (lift.value, lift.low, lift.high)]
    return (
        f"; {said}: {points[0]} percentage points against the model alone "
        f"({points[1]} to {points[2]}, truth known of {lift.truth_n} of {lift.truth_of} "
        f"decided cases{left_out})"
    ).replace("-", "−")


def _recorded_groups(sample: CaseSample) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    for case in sample.cases:
        for attribute, group in case.groups:
            groups.setdefault(attribute, {})[case.case_id] = group
    return groups


def _share(rate: Rate) -> Share:
    return Share(
        rate.count,
        rate.n,
        rate.value,
        rate.low,
        rate.high,
        rate.confidence,
        rate.method,
        rate.status,
    )


def _excluded(answers: Answers) -> tuple[tuple[str, int], ...]:
    reasons = Counter(found.why for found in answers.excluded)
    for task in ("gold", "planted", "repeat"):
        if number := len(answers.of_task(task)):
            reasons[f"answers to {task} tasks, which enter no rate"] = number
    return tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _coefficients(data: Reviewed, phase: str) -> tuple[Coefficient, ...]:
    ratings = data.answers.ratings(phase)
    if ratings.shape[1] < 2:
        return ()
    found = agreement(
        ratings,
        confidence=data.settings.confidence,
        random_state=data.settings.random_state,
    )
    return tuple(c for c in found.coefficients if c.status != "not asked for")


def _words(
    agreed: Rate, sample: CaseSample, data: Reviewed, people: int, *, begun: bool, simulated: bool
) -> str:
    if sample.cases and not data.chances:
        return "not assessed: the cases were picked by hand (purposive); they enter no rate"
    if agreed.status == "not assessed":
        return f"not assessed: no {'final verdicts' if begun else 'judgments'} recorded"
    reviewers = "1 reviewer" if people == 1 else f"{people} reviewers"
    words = f"{reviewers} judged {agreed.n} of {len(sample.cases)} sampled cases"
    if agreed.value is None or agreed.low is None or agreed.high is None:
        needed = data.settings.needed()
        words = f"insufficient data: {words}; a share needs at least {needed} judged cases"
    else:
        words += (
            f"; everyone agreed with the model in {agreed.count} of {agreed.n}, "
            f"estimated {agreed.value:.1%} of all cases "
            f"({agreed.confidence:.0%} interval {agreed.low:.1%} to {agreed.high:.1%})"
        )
    return f"SIMULATED JUDGMENTS: {words}" if simulated else words
