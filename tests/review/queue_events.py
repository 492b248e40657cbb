"""Events to fold, made in one line each."""

from __future__ import annotations

import uuid
from typing import Any

from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.records import Assignment, Escalation, Resolution, Reviewer

COMMON = {"at": "2026-01-31T12:00:00.000000Z", "plan_digest": "p", "model_digest": "m"}


def _common(**changes: Any) -> dict[str, Any]:
    return COMMON | {"event_id": str(uuid.uuid4())} | changes


def blind(case: str, reviewer: str, answer: str = "favorable", **changes: Any) -> Judgment:
    fields = _judged(case, reviewer) | {"phase": "blind", "answer": answer, "shown": ("case",)}
    return Judgment(**_common(**(fields | changes)))


def verdict(case: str, reviewer: str, answer: str = "agree", **changes: Any) -> Judgment:
    fields = _judged(case, reviewer) | {
        "phase": "final",
        "answer": answer,
        "shown": ("case", "prediction"),
        "model_decision": "favorable",
        "model_score": 0.7,
    }
    if answer == "disagree":
        fields |= {"reasons": ("Unfair",), "rationale": "two late payments"}
    return Judgment(**_common(**(fields | changes)))


def correction(old: Judgment, answer: str = "unsure", **changes: Any) -> Judgment:
    given = {"phase": "correction", "corrects": old.event_id, "task": old.task} | changes
    return verdict(old.case_id, old.reviewer, answer, **given)


def withdrawal(old: Judgment, **changes: Any) -> Withdrawal:
    fields = {"withdraws": old.event_id, "reviewer": old.reviewer, "rationale": "I know them"}
    return Withdrawal(**_common(**(fields | changes)))


def assignment(reviewer: str, *tasks: tuple[str, str, str], **changes: Any) -> Assignment:
    return Assignment(**_common(**({"reviewer": reviewer, "tasks": tasks, "by": "plan"} | changes)))


def joined(reviewer: str) -> Reviewer:
    return Reviewer(**_common(reviewer=reviewer, role="domain expert"))


def adjudication(
    case: str, reviewer: str, settles: tuple[str, ...], answer: str = "favorable", **changes: Any
) -> Adjudication:
    fields = {
        "case_id": case,
        "reviewer": reviewer,
        "role": "domain expert",
        "answer": answer,
        "rationale": "the income is on file",
        "settles": settles,
    }
    return Adjudication(**_common(**(fields | changes)))


def escalation(subject: str, **changes: Any) -> Escalation:
    fields = {
        "condition": "an expert's request",
        "subject": subject,
        "role": "compliance officer",
        "raised_by": "R1",
    }
    return Escalation(**_common(**(fields | changes)))


def resolution(of: Escalation | str, **changes: Any) -> Resolution:
    fields = {
        "resolves": of if isinstance(of, str) else of.event_id,
        "reviewer": "Olga",
        "role": "compliance officer",
        "outcome": "the decision stands",
        "rationale": "policy 4.2",
    }
    return Resolution(**_common(**(fields | changes)))


def _judged(case: str, reviewer: str) -> dict[str, Any]:
    return {
        "case_id": case,
        "design": "random",
        "inclusion_probability": 0.5,
        "reviewer": reviewer,
        "role": "domain expert",
    }
