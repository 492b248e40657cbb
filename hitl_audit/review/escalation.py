"""What must go to somebody in a role, until when, and whether it was settled. Pure.

The policy is in the plan: conditions, each with a role and a number of days.
What is escalated follows from the recorded events and from what other parts of
the audit found out, under ids that follow from it: asking again raises nothing
twice. An escalation that nobody has settled stands in the way of a clean opinion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from statistics import mean
from typing import TYPE_CHECKING, Literal, NamedTuple

from hitl_audit.canonical import utc_text
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.event import Event
from hitl_audit.review.ids import named_id
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.queue import ReviewQueue, request_id
from hitl_audit.review.records import Escalation, Resolution

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CONDITIONS",
    "REQUEST",
    "EscalationFacts",
    "EscalationRegister",
    "EscalationRule",
    "GroupGap",
    "RegisteredEscalation",
    "due_escalations",
    "register",
    "request_escalation",
    "resolve",
]

LOW_CONFIDENCE = "low confidence"
GROUP_GAP = "group gap"
UNRELIABLE = "unreliable explanation"
CONFLICT = "conflict between reviewers"
REQUEST = "an expert's request"
CONDITIONS = (LOW_CONFIDENCE, GROUP_GAP, UNRELIABLE, CONFLICT, REQUEST)
"""What a rule can be about. *Low confidence*: the reviewers' confidence in their
own answers on a case is at most ``limit`` on average (2 by default), or the
model's score is among the uncertain ones. *Group gap*: the interval of a
difference between groups lies beyond ``limit`` (0 by default) on either side.
*Unreliable explanation*: one was shown, marked as such. *Conflict between
reviewers*: their verdicts ask for different decisions. *An expert's request*:
a reviewer answered *escalate*."""

_LIMITS = {LOW_CONFIDENCE: 2.0, GROUP_GAP: 0.0}

Status = Literal["open", "overdue", "resolved", "taken back"]


@dataclass(frozen=True)
class EscalationRule:
    """One line of the plan's policy.

    Attributes:
        condition: one of :data:`CONDITIONS`.
        role: who must decide.
        within_days: how long they have.
        limit: of a condition that has one; ``None`` takes the default.

    Raises:
        InputError: an unknown condition, no role, no time, or a limit where none applies.
    """

    condition: str
    role: str
    within_days: float
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise InputError(
                f'escalation: condition is "{self.condition}"; accepted: {", ".join(CONDITIONS)}'
                f"{did_you_mean(self.condition, CONDITIONS)}"
            )
        if not self.role.strip():
            raise InputError("escalation: role is empty; expected who must decide")
        if not 0 < self.within_days <= 3650:
            raise InputError(
                f"escalation: within_days is {self.within_days}; expected above 0, at most 3650"
            )
        if self.limit is not None and self.condition not in _LIMITS:
            raise InputError(
                f'escalation: limit is {self.limit}, but "{self.condition}" has none; '
                f"accepted for: {', '.join(_LIMITS)}"
            )

    @property
    def bar(self) -> float:
        """The limit that applies; 0 for a condition without one."""
        return _LIMITS.get(self.condition, 0.0) if self.limit is None else self.limit


class GroupGap(NamedTuple):
    """A difference between groups in what people did, for example in the override rate.

    ``low`` and ``high`` are ``None`` when there are too few cases; such a gap raises nothing.
    """

    measure: str
    group: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class EscalationFacts:
    """What rules need and events do not say.

    Attributes:
        gaps: differences between groups, with their intervals.
        uncertain: ids of cases on which the model itself is uncertain.
    """

    gaps: tuple[GroupGap, ...] = ()
    uncertain: tuple[str, ...] = ()


def due_escalations(
    events: Iterable[Event],
    rules: Sequence[EscalationRule],
    facts: EscalationFacts,
    now: datetime,
    *,
    plan_digest: str,
    model_digest: str,
) -> tuple[Escalation, ...]:
    """What the policy raises and the ledger does not hold yet.

    Cases on which the model's decision was shown reversed raise nothing.

    Args:
        events: all events of the ledger, in order.
        rules: the policy.
        facts: what else is known.
        now: the deadline of a condition counts from here, that of a request
            from the verdict.
        plan_digest, model_digest: events of another plan or model raise nothing.
    """
    events = tuple(events)
    known = {event.event_id for event in events if isinstance(event, Escalation)}
    due: dict[str, Escalation] = {}
    for simulated in (False, True):
        queue = _fold(events, plan_digest, model_digest, simulated=simulated)
        for rule in rules:
            for subject, words, source in _holds(rule, queue, facts, simulated=simulated):
                if isinstance(source, Judgment):
                    escalation = request_escalation(source, rule)
                else:
                    escalation = Escalation(
                        event_id=named_id(
                            "escalation", rule.condition, subject, plan_digest, model_digest
                        ),
                        at=utc_text(now),
                        plan_digest=plan_digest,
                        model_digest=model_digest,
                        simulated=simulated,
                        condition=rule.condition,
                        subject=subject,
                        role=rule.role,
                        raised_by="plan",
                        deadline=utc_text(now + timedelta(days=rule.within_days)),
                        rationale=words,
                    )
                if escalation.event_id not in known:
                    due.setdefault(escalation.event_id, escalation)
    return tuple(due.values())


def request_escalation(verdict: Judgment, rule: EscalationRule) -> Escalation:
    """The escalation that a reviewer's *escalate* asks for; the same for the same verdict."""
    asked = datetime.fromisoformat(verdict.at)
    return Escalation(
        event_id=request_id(verdict.event_id),
        at=verdict.at,
        plan_digest=verdict.plan_digest,
        model_digest=verdict.model_digest,
        simulated=verdict.simulated,
        condition=REQUEST,
        subject=verdict.case_id,
        role=rule.role,
        raised_by=verdict.reviewer,
        deadline=utc_text(asked + timedelta(days=rule.within_days)),
        rationale=verdict.rationale,
    )


def _fold(
    events: Sequence[Event], plan_digest: str, model_digest: str, *, simulated: bool
) -> ReviewQueue:
    cases = dict.fromkeys(event.case_id for event in events if isinstance(event, Judgment))
    queue = ReviewQueue(
        tuple(cases), plan_digest=plan_digest, model_digest=model_digest, simulated=simulated
    )
    queue.extend(events)
    return queue


def _holds(
    rule: EscalationRule, queue: ReviewQueue, facts: EscalationFacts, *, simulated: bool
) -> Iterator[tuple[str, str, Judgment | None]]:
    """Subject, words, and the verdict that asked for it."""
    if rule.condition == GROUP_GAP:
        if not simulated:
            yield from _wide(rule, facts.gaps)
        return
    if rule.condition == LOW_CONFIDENCE and not simulated:
        for case_id in facts.uncertain:
            yield case_id, "The model's score is uncertain.", None
    for case_id in queue.case_ids:
        if queue.is_planted(case_id) or queue.adjudication(case_id) is not None:
            continue
        verdicts = queue.verdicts(case_id)
        if rule.condition == REQUEST:
            for verdict in verdicts:
                if verdict.answer == "escalate":
                    yield case_id, "", verdict
        elif rule.condition == CONFLICT:
            if queue.differs(case_id):
                yield case_id, "The reviewers' verdicts ask for different decisions.", None
        elif rule.condition == UNRELIABLE:
            if any("explanation marked unreliable" in verdict.shown for verdict in verdicts):
                yield case_id, "The explanation that was shown is marked unreliable.", None
        else:
            stated = [b.confidence for b in queue.blind_answers(case_id) if b.confidence]
            if stated and mean(stated) <= rule.bar:
                words = f"Confidence {mean(stated):.1f} of 5 on average, n={len(stated)}."
                yield case_id, words, None


def _wide(
    rule: EscalationRule, gaps: Iterable[GroupGap]
) -> Iterator[tuple[str, str, Judgment | None]]:
    for gap in gaps:
        if gap.value is None or gap.low is None or gap.high is None:
            continue
        if gap.low > rule.bar or gap.high < -rule.bar:
            words = (
                f"{gap.measure}: difference {gap.value:+.3f} (interval {gap.low:+.3f} to "
                f"{gap.high:+.3f}), beyond {rule.bar:g}."
            )
            yield f"{gap.measure}, {gap.group}", words, None


# ------------------------------------------------------------------- register


@dataclass(frozen=True)
class RegisteredEscalation:
    """One escalation and what became of it.

    Attributes:
        event_id, condition, subject, role, raised_by, raised_at, deadline: as recorded.
        status: ``"open"``; ``"overdue"``, its deadline has passed; ``"resolved"``;
            or ``"taken back"``, the reviewer who asked has changed the verdict.
        settled_by, settled_at, outcome: who settled it, when, and how; else empty.
        simulated: made by a program.
    """

    event_id: str
    condition: str
    subject: str
    role: str
    raised_by: str
    raised_at: str
    deadline: str
    status: Status
    settled_by: str = ""
    settled_at: str = ""
    outcome: str = ""
    simulated: bool = False


def resolve(
    escalation: Escalation,
    *,
    reviewer: str,
    role: str,
    outcome: str,
    rationale: str,
    at: datetime,
) -> Resolution:
    """The event that settles an escalation; its id follows from it, so it is settled once.

    Args:
        escalation: as recorded.
        reviewer, role: who settles it, and as what.
        outcome: what was decided, in a few words.
        rationale: why.
        at: now.

    Raises:
        InputError: another role than the policy names.
    """
    if role.strip().casefold() != escalation.role.strip().casefold():
        raise InputError(
            f'escalation: role is "{role}"; this one is for the {escalation.role} to settle'
        )
    return Resolution(
        event_id=named_id("resolution", escalation.event_id),
        at=utc_text(at),
        plan_digest=escalation.plan_digest,
        model_digest=escalation.model_digest,
        simulated=escalation.simulated,
        resolves=escalation.event_id,
        reviewer=reviewer,
        role=escalation.role,
        outcome=outcome,
        rationale=rationale,
    )


@dataclass(frozen=True)
class EscalationRegister:
    """Every escalation, in order of being raised."""

    items: tuple[RegisteredEscalation, ...] = field(default=())

    @property
    def unresolved(self) -> tuple[RegisteredEscalation, ...]:
        """Those that are open or overdue."""
        return tuple(item for item in self.items if item.status in ("open", "overdue"))

    @property
    def blocks_clean_opinion(self) -> bool:
        """Something is still to be decided."""
        return bool(self.unresolved)

    @property
    def words(self) -> str:
        """The register in a few sentences."""
        if not self.items:
            return "Nothing was escalated."
        counts = Counter(item.status for item in self.items)
        order: tuple[Status, ...] = ("open", "overdue", "resolved", "taken back")
        parts = ", ".join(f"{counts[status]} {status}" for status in order if counts[status])
        number = len(self.items)
        words = f"{number} escalation{'s' if number > 1 else ''}: {parts}."
        if self.unresolved:
            first = min(self.unresolved, key=lambda item: item.deadline or "~")
            until = f", due {first.deadline[:10]}" if first.deadline else ""
            words += (
                f" Next: {first.condition} ({first.subject}) for the {first.role}{until}. "
                "Until all are resolved, no clean opinion is given."
            )
        simulated = any(item.simulated for item in self.items)
        return f"SIMULATED JUDGMENTS: {words}" if simulated else words

    def frame(self) -> pd.DataFrame:
        """One row per escalation, with the attributes of :class:`RegisteredEscalation`."""
        import pandas as pd

        columns = list(RegisteredEscalation.__dataclass_fields__)
        return pd.DataFrame([asdict(item) for item in self.items], columns=columns)


def register(
    events: Iterable[Event],
    now: datetime,
    *,
    plan_digest: str | None = None,
    model_digest: str | None = None,
) -> EscalationRegister:
    """What became of every escalation.

    One is settled by a :class:`~hitl_audit.review.records.Resolution`, or by an
    adjudication of its case, with a decision, by somebody in its role.

    Args:
        events: all events of the ledger, in order.
        now: deadlines before it have passed.
        plan_digest, model_digest: of the escalations to list; ``None`` lists all.
    """
    events = tuple(events)
    changed = {e.corrects for e in events if isinstance(e, Judgment) and e.corrects}
    changed |= {e.withdraws for e in events if isinstance(e, Withdrawal)}
    taken_back = {request_id(verdict_id) for verdict_id in changed}
    raised: dict[str, Escalation] = {}
    settled: dict[str, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, Escalation):
            if plan_digest in (None, event.plan_digest) and model_digest in (
                None,
                event.model_digest,
            ):
                raised[event.event_id] = event
        elif isinstance(event, Resolution):
            if event.resolves in raised:
                settled[event.resolves] = (event.reviewer, event.at, event.outcome)
        elif isinstance(event, Adjudication) and event.answer != "unsure":
            for event_id, escalation in raised.items():
                if event_id not in settled and _decides(event, escalation):
                    settled[event_id] = (event.reviewer, event.at, f"adjudicated: {event.answer}")
    moment = utc_text(now)
    items = []
    for event_id, e in raised.items():
        by, at, outcome = settled.get(event_id, ("", "", ""))
        status: Status = "open"
        if event_id in settled:
            status = "resolved"
        elif event_id in taken_back:
            status = "taken back"
        elif e.deadline and e.deadline < moment:
            status = "overdue"
        what = (event_id, e.condition, e.subject, e.role, e.raised_by, e.at, e.deadline)
        items.append(RegisteredEscalation(*what, status, by, at, outcome, e.simulated))
    return EscalationRegister(tuple(items))


def _decides(adjudication: Adjudication, escalation: Escalation) -> bool:
    return (
        escalation.subject == adjudication.case_id
        and escalation.role.strip().casefold() == adjudication.role.strip().casefold()
        and (escalation.plan_digest, escalation.model_digest, escalation.simulated)
        == (adjudication.plan_digest, adjudication.model_digest, adjudication.simulated)
    )
