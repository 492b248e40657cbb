"""The review of one audit: which cases are drawn, what judges are held against, what it came to.

Between the plan, which says how people are to review, and ``review``, which
knows nothing of plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.disclosure import disclosure_of
from hitl_audit.errors import InputError
from hitl_audit.evidence import ChangeNote, ReviewerNote, ReviewRecord, WhatIfNote
from hitl_audit.inputs import AuditInputs
from hitl_audit.plan import AuditPlan
from hitl_audit.review.escalation import (
    EscalationFacts,
    EscalationRule,
    GroupGap,
    due_escalations,
    register,
)
from hitl_audit.review.event import Event
from hitl_audit.review.oversight import MIN_CASES, Oversight, summarise
from hitl_audit.review.priority import (
    Priority,
    combine,
    entropy,
    protected_flip,
    threshold_closeness,
)
from hitl_audit.review.records import Approval, Change, Escalation, Reviewer, WhatIf
from hitl_audit.review.reviewer_rows import aliases
from hitl_audit.review.sampling import CaseSample, sample_cases
from hitl_audit.review.verdicts import standing_answers

__all__ = [
    "ReviewFacts",
    "disclosed",
    "draw_cases",
    "escalations_due",
    "gold_answers",
    "how_drawn",
    "oversight_of",
    "review_facts",
    "review_record",
    "rules_of",
]

_DECISION = {True: "favorable", False: "unfavorable"}


# --------------------------------------------------------------------- drawing


def draw_cases(inputs: AuditInputs, plan: AuditPlan, *, of: int | None = None) -> CaseSample:
    """Draw the cases that people judge, as the plan says.

    Args:
        inputs: the rows to draw from.
        plan: how many, by which design.
        of: how many rows ``inputs`` is a uniform random sample of, if it is one: every
            chance to be drawn is then that of both draws together.

    Raises:
        InputError: the plan asks for what these rows cannot give.
    """
    review = plan.review
    strata = inputs.sensitive[review.stratify_by] if review.stratify_by else None
    given: dict[str, Any] = {}
    if review.design == "stratified":
        given["allocation"] = review.allocation
        if review.allocation == "neyman":
            # Where the model is unsure people differ more from it.
            given["deviations"] = np.sqrt(inputs.y_score * (1 - inputs.y_score))
    elif review.design in ("uncertainty", "mixture"):
        given["priority"] = _priority(inputs, plan)
        if review.design == "mixture":
            given["mix"] = review.mix
        if review.floor_per_group:
            given["floor_per_group"] = review.floor_per_group
    drawn = sample_cases(
        inputs.X,
        min(review.cases, len(inputs)),
        design=review.design,
        strata=None if strata is None else strata.to_numpy(),
        groups=inputs.sensitive,
        random_state=plan.seed,
        **given,
    )
    if of is None:
        return drawn
    share = len(inputs) / of
    return replace(
        drawn,
        population=of,
        cases=tuple(
            replace(case, inclusion_probability=(case.inclusion_probability or 0.0) * share)
            for case in drawn.cases
        ),
    )


def how_drawn(plan: AuditPlan) -> dict[str, Any]:
    """What of the plan decided which cases were drawn, beside their number and design."""
    review = plan.review
    asked: dict[str, Any] = {}
    if review.stratify_by:
        asked["strata"] = review.stratify_by
    if review.design == "stratified":
        asked["allocation"] = review.allocation
    elif review.design in ("uncertainty", "mixture"):
        asked["priority"] = review.priority
        if review.design == "mixture":
            asked["mix"] = review.mix
        if review.floor_per_group:
            asked["floor_per_group"] = review.floor_per_group
    return asked


def _priority(inputs: AuditInputs, plan: AuditPlan) -> Priority:
    scores: dict[str, Any] = {}
    for name in plan.review.priority:
        if name == "threshold":
            scores[name] = threshold_closeness(inputs.y_score, plan.model.threshold)
        elif name == "entropy":
            scores[name] = entropy(inputs.y_score)
        else:
            scores[name] = protected_flip(inputs.y_pred, _flipped(inputs, plan))
    return combine(scores)


def _flipped(inputs: AuditInputs, plan: AuditPlan) -> np.ndarray[Any, Any]:
    """The decisions if a protected input had another of its values; the first that differs."""
    flipped = inputs.y_pred.copy()
    for column in inputs.protected_inputs:
        for value in inputs.X[column].dropna().unique():
            changed = inputs.X.assign(**{column: value}).astype({column: inputs.X[column].dtype})
            decisions = inputs.predictor.decide(inputs.predictor.score(changed))
            flipped = np.where(flipped == inputs.y_pred, decisions, flipped)
    return flipped


def disclosed(plan: AuditPlan) -> tuple[str, ...]:
    """What the plan says beforehand about controls, in sentences for the document."""
    review = plan.review
    words = []
    if review.gold:
        words.append("Cases whose right answer experts know are hidden among the others.")
    if review.planted:
        words.append(
            f"On {review.planted:.0%} of the cases the model's decision is shown reversed, to see "
            "whether reviewers notice. Those cases enter no rate; reviewers are told at the end."
        )
    if review.repeats:
        words.append(f"{review.repeats:.0%} of the cases come twice to the same reviewer.")
    if review.reviewers_per_case > 1 and review.overlap < 1:
        words.append(
            f"{review.overlap:.0%} of the cases are judged by {review.reviewers_per_case} people, "
            "the others by one."
        )
    return tuple(words)


# ----------------------------------------------------------------------- facts


@dataclass(frozen=True)
class ReviewFacts:
    """What the judgments are held against, by case id; it stays in the audit folder.

    Attributes:
        truth: 1 where the favorable decision is the right one; empty if the plan
            holds people against nothing.
        groups: attribute → case → group.
        decisions: the model's, ``"favorable"`` or ``"unfavorable"``.
        scores: the model's.
    """

    truth: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)

    def with_gold(self, answers: Mapping[str, int]) -> ReviewFacts:
        """The same, with the answers that experts know."""
        return replace(self, truth={**self.truth, **answers})


def review_facts(scores: pd.DataFrame, plan: AuditPlan, case_ids: Iterable[str]) -> ReviewFacts:
    """The facts about some cases, from the table ``scores`` of the results.

    Args:
        scores: case_id, the sensitive attributes, y_true, y_score, y_pred.
        plan: whether people are held against the recorded outcome.
        case_ids: the cases that can be judged.
    """
    wanted = set(case_ids)
    rows = scores[scores["case_id"].astype(str).isin(wanted)]
    ids = list(map(str, rows["case_id"]))

    def by_case(column: str, kind: Any) -> dict[str, Any]:
        return dict(zip(ids, map(kind, rows[column]), strict=True))

    return ReviewFacts(
        truth=by_case("y_true", int) if plan.review.truth == "target" else {},
        groups={name: by_case(name, str) for name in plan.data.sensitive if name in rows.columns},
        decisions={case: _DECISION[bool(v)] for case, v in by_case("y_pred", int).items()},
        scores=by_case("y_score", float),
    )


def gold_answers(
    table: pd.DataFrame, ids: Mapping[str, str], *, name: str = "review.gold"
) -> dict[str, int]:
    """The known answers, by case id.

    Args:
        table: columns ``id`` (as in ``data.id``, or a case id) and ``answer`` (1:
            favorable, 0: unfavorable).
        ids: case id by the id in the data.
        name: of the file, for messages.

    Raises:
        InputError: a column is missing, an id is unknown or twice, or an answer
            is neither 0 nor 1.
    """
    absent = [column for column in ("id", "answer") if column not in table.columns]
    if absent:
        raise InputError(f"{name} has no column {', '.join(absent)}; expected id and answer")
    answers: dict[str, int] = {}
    for given, answer in zip(table["id"].astype(str), table["answer"], strict=True):
        case_id = ids.get(given)
        if case_id is None:
            raise InputError(f'{name} names id "{given}", which the data do not have')
        if answer not in (0, 1):
            raise InputError(f'{name} says {answer!r} of id "{given}"; accepted: 1 or 0')
        if case_id in answers:
            raise InputError(f'{name} names id "{given}" twice')
        answers[case_id] = int(answer)
    return answers


# ------------------------------------------------------------------- summing up


def oversight_of(
    events: Sequence[Event],
    sample: CaseSample,
    facts: ReviewFacts,
    plan: AuditPlan,
    *,
    model_digest: str,
) -> Oversight:
    """What people judged, held against the facts."""
    return summarise(
        events,
        sample,
        truth=facts.truth or None,
        groups=facts.groups or None,
        reference={k: v for k, v in plan.data.reference.items() if k in facts.groups},
        model_decision=facts.decisions or None,
        model_score=facts.scores or None,
        model_digest=model_digest,
        plan_digest=plan.digest,
        confidence=plan.fairness.confidence,
        min_group=max(MIN_CASES, plan.fairness.min_group),
        too_fast_seconds=plan.review.too_fast_seconds,
        random_state=plan.seed,
    )


def rules_of(plan: AuditPlan) -> tuple[EscalationRule, ...]:
    """The plan's policy of escalation."""
    return tuple(
        EscalationRule(e.condition, e.role, e.within_days, e.limit) for e in plan.review.escalations
    )


def escalations_due(
    events: Sequence[Event],
    oversight: Oversight,
    plan: AuditPlan,
    *,
    model_digest: str,
    now: datetime,
) -> tuple[Escalation, ...]:
    """What the policy raises and the ledger does not hold yet."""
    gaps = tuple(
        GroupGap(kpi.measure, kpi.group, kpi.value, kpi.low, kpi.high)
        for kpi in oversight.kpis
        if kpi.topic == "overrides" and " − " in kpi.group
    )
    return due_escalations(
        events,
        rules_of(plan),
        EscalationFacts(gaps=gaps),
        now,
        plan_digest=plan.digest,
        model_digest=model_digest,
    )


def review_record(
    events: Sequence[Event],
    sample: CaseSample,
    oversight: Oversight,
    facts: ReviewFacts,
    plan: AuditPlan,
    *,
    model_digest: str,
    now: datetime,
) -> ReviewRecord:
    """Who reviewed, what was escalated, tried and changed; what the plan lets out of it."""
    ours = [e for e in events if (e.model_digest, e.plan_digest) == (model_digest, plan.digest)]
    answers = standing_answers(events, sample, model_digest=model_digest, plan_digest=plan.digest)
    alias = aliases(answers)
    due = escalations_due(events, oversight, plan, model_digest=model_digest, now=now)
    found = register((*events, *due), now, plan_digest=plan.digest, model_digest=model_digest)
    items = tuple(
        replace(
            item,
            raised_by=item.raised_by
            if item.raised_by == "plan"
            else _called(item.raised_by, alias),
            settled_by=_called(item.settled_by, alias) if item.settled_by else "",
        )
        for item in found.items
    )
    latest = {e.reviewer: e for e in events if isinstance(e, Reviewer)}
    return ReviewRecord(
        reviewers=tuple(
            ReviewerNote(
                reviewer=name,
                role=latest[person].role if person in latest else _role(ours, person),
                competence=latest[person].competence if person in latest else "",
                authority=latest[person].authority if person in latest else "",
            )
            for person, name in alias.items()
        ),
        escalations=replace(found, items=items),
        what_if=_what_if(ours),
        changes=_changes(ours, alias),
        disclosed=disclosure_of(
            events,
            answers,
            sample,
            plan.publication,
            groups=facts.groups,
            scores=facts.scores,
            decisions=facts.decisions,
        ),
    )


def _called(person: str, alias: Mapping[str, str]) -> str:
    if person in ("", "plan"):
        return person
    return alias.get(person, "somebody who judged no case")


def _role(events: Iterable[Event], person: str) -> str:
    roles = [e.role for e in events if getattr(e, "reviewer", "") == person and hasattr(e, "role")]
    return roles[-1] if roles else ""


def _what_if(events: Iterable[Event]) -> WhatIfNote:
    edits = [e for e in events if isinstance(e, WhatIf) and e.step != "planted"]
    kept: Counter[str] = Counter()
    for edit in edits:
        if edit.expectation is not None:
            moved = edit.score_after - edit.score_before
            happened = "stay" if abs(moved) < 5e-4 else "up" if moved > 0 else "down"
            kept["as expected" if happened == edit.expectation else "otherwise"] += 1
    return WhatIfNote(
        edits=len(edits),
        cases=len({e.case_id for e in edits}),
        reviewers=len({e.reviewer for e in edits}),
        as_expected=kept["as expected"],
        otherwise=kept["otherwise"],
    )


def _changes(events: Sequence[Event], alias: Mapping[str, str]) -> tuple[ChangeNote, ...]:
    decided = {e.approves: e for e in events if isinstance(e, Approval)}
    notes = []
    for change in (e for e in events if isinstance(e, Change)):
        approval = decided.get(change.event_id)
        state = "proposed"
        if approval is not None:
            state = "approved" if approval.approved else "rejected"
        notes.append(
            ChangeNote(
                change_id=change.event_id,
                action=change.action,
                description=change.description,
                triggers=len(change.triggers),
                proposer=_called(change.proposer, alias),
                state=state,
                decided_as=approval.role if approval else "",
                before_digest=change.before_digest,
                after_digest=change.after_digest,
                holdout_digest=change.holdout_digest,
                expires=change.expires,
                measures=change.measures,
            )
        )
    return tuple(notes)
