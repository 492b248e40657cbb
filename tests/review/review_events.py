"""Events for tests, made in the open: one line each, with ids that count up."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal

_COMMON = {
    "at": "2026-01-31T12:00:00.000000Z",
    "plan_digest": "p",
    "model_digest": "m",
}


def ids() -> Callable[[], str]:
    """Lower-case UUIDs, the same in every run."""
    numbers = itertools.count(1)
    return lambda: str(uuid.UUID(int=next(numbers), version=4))


_NEXT = ids()


def verdict(case_id: str, answer: str, reviewer: str = "r1", **changes: Any) -> Judgment:
    fields: dict[str, Any] = {
        "event_id": _NEXT(),
        "case_id": case_id,
        "design": "random",
        "inclusion_probability": 0.1,
        "reviewer": reviewer,
        "role": "expert",
        "phase": "final",
        "answer": answer,
        "reasons": ("unfair",) if answer == "disagree" else (),
        "rationale": "because" if answer == "disagree" else "",
        "shown": ("case", "prediction"),
        "seconds": 10.0,
        "model_decision": "favorable",
    }
    return Judgment(**(_COMMON | fields | changes))


def blind(case_id: str, answer: str, reviewer: str = "r1", **changes: Any) -> Judgment:
    own = {"phase": "blind", "model_decision": None, "seconds": 5.0, "shown": ("case",)}
    return verdict(case_id, answer, reviewer, **(own | {"reasons": (), "rationale": ""} | changes))


def correction(old: Judgment, answer: str, **changes: Any) -> Judgment:
    own = {
        "phase": "correction",
        "corrects": old.event_id,
        "seconds": None,
        "task": old.task,
        "model_decision": old.model_decision,
    }
    return verdict(old.case_id, answer, old.reviewer, **(own | changes))


def withdrawal(old: Judgment | Adjudication, **changes: Any) -> Withdrawal:
    fields: dict[str, Any] = {
        "event_id": _NEXT(),
        "withdraws": old.event_id,
        "reviewer": old.reviewer,
        "rationale": "a slip",
    }
    return Withdrawal(**(_COMMON | fields | changes))


def adjudication(
    case_id: str, answer: str, *settles: Judgment, reviewer: str = "chair", **changes: Any
) -> Adjudication:
    fields: dict[str, Any] = {
        "event_id": _NEXT(),
        "case_id": case_id,
        "reviewer": reviewer,
        "role": "chair",
        "answer": answer,
        "rationale": "weighed both",
        "settles": tuple(event.event_id for event in settles),
    }
    return Adjudication(**(_COMMON | fields | changes))
