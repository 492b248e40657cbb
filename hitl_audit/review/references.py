"""What an event may say about earlier ones: who may correct, settle, resolve or approve what."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.records import (
    Approval,
    Change,
    Escalation,
    Redaction,
    Resolution,
)

__all__ = ["Recorded", "reference_problems"]


class Recorded:
    """What a rule may look up in the ledger.

    Args:
        find: the recorded event with an id, or ``None``.
        mentions: every recorded event whose body holds an id as text.
    """

    def __init__(
        self, find: Callable[[str], Event | None], mentions: Callable[[str], Iterable[Event]]
    ) -> None:
        self.find = find
        self.mentions = mentions

    def withdrawn(self, event_id: str) -> bool:
        """The judgment was taken back."""
        return any(
            isinstance(event, Withdrawal) and event.withdraws == event_id
            for event in self.mentions(event_id)
        )

    def resolved(self, event_id: str) -> bool:
        """The escalation was settled."""
        return any(
            isinstance(event, Resolution) and event.resolves == event_id
            for event in self.mentions(event_id)
        )


def reference_problems(event: Event, recorded: Recorded) -> list[str]:
    """What is wrong with the earlier events that ``event`` refers to; empty if nothing is."""
    if isinstance(event, Judgment):
        return _correction(event, recorded) if event.corrects is not None else []
    if isinstance(event, Withdrawal):
        return _withdrawal(event, recorded)
    if isinstance(event, Adjudication):
        return _adjudication(event, recorded)
    if isinstance(event, Resolution):
        return _resolution(event, recorded)
    if isinstance(event, Change):
        return _change(event, recorded)
    if isinstance(event, Approval):
        return _approval(event, recorded)
    if isinstance(event, Redaction):
        return _redaction(event, recorded)
    return []


def _correction(event: Judgment, recorded: Recorded) -> list[str]:
    old = recorded.find(event.corrects or "")
    if not isinstance(old, Judgment):
        return [_no_such("corrects", event.corrects, "judgment", old)]
    if old.phase == "blind":
        return ["a blind answer cannot be corrected once the model's is known"]
    problems = _kept(event, old, "a correction", "case_id", "reviewer")
    if recorded.withdrawn(old.event_id):
        problems.append(f"corrects names {old.event_id}, which was withdrawn")
    return problems


def _withdrawal(event: Withdrawal, recorded: Recorded) -> list[str]:
    old = recorded.find(event.withdraws)
    if not isinstance(old, Judgment):
        return [_no_such("withdraws", event.withdraws, "judgment", old)]
    problems = _kept(event, old, "a withdrawal", "reviewer")
    if recorded.withdrawn(old.event_id):
        problems.append(f"withdraws names {old.event_id}, which was withdrawn already")
    return problems


def _adjudication(event: Adjudication, recorded: Recorded) -> list[str]:
    problems = []
    for event_id in event.settles:
        old = recorded.find(event_id)
        if not isinstance(old, Judgment):
            problems.append(_no_such("settles", event_id, "judgment", old))
            continue
        problems += _kept(event, old, "an adjudication", "case_id")
        if _same_person(old.reviewer, event.reviewer):
            problems.append(
                f"reviewer is {event.reviewer!r}, who gave the verdict {event_id}; "
                "expected a third person"
            )
        if recorded.withdrawn(event_id):
            problems.append(f"settles names {event_id}, which was withdrawn")
    return problems


def _resolution(event: Resolution, recorded: Recorded) -> list[str]:
    old = recorded.find(event.resolves)
    if not isinstance(old, Escalation):
        return [_no_such("resolves", event.resolves, "escalation", old)]
    problems = _kept(event, old, "a resolution", "role")
    if recorded.resolved(old.event_id):
        problems.append(f"resolves names {old.event_id}, which is resolved already")
    return problems


def _change(event: Change, recorded: Recorded) -> list[str]:
    kinds = (Judgment, Adjudication, Escalation, Resolution)
    return [
        _no_such("triggers", event_id, "judgment, adjudication, escalation or resolution", old)
        for event_id in event.triggers
        if not isinstance(old := recorded.find(event_id), kinds)
    ]


def _approval(event: Approval, recorded: Recorded) -> list[str]:
    old = recorded.find(event.approves)
    if not isinstance(old, Change):
        return [_no_such("approves", event.approves, "change", old)]
    problems = _kept(event, old, "an approval")
    if _same_person(old.proposer, event.approver):
        problems.append(
            f"approver is {event.approver!r}, who proposed the change; expected somebody else"
        )
    return problems


def _redaction(event: Redaction, recorded: Recorded) -> list[str]:
    old = recorded.find(event.redacts)
    if old is None:
        return [_no_such("redacts", event.redacts, "event", old)]
    problems = []
    for name in event.fields:
        if name not in old.PERSONAL:
            accepted = ", ".join(old.PERSONAL) or "none"
            problems.append(
                f"fields has {name!r}; of {_a(old.KIND)}, these can be redacted: {accepted}"
            )
        elif name in old.redacted:
            problems.append(f"fields has {name!r}, which was redacted already")
        elif not getattr(old, name):
            problems.append(f"fields has {name!r}, which was recorded empty")
    if len(set(event.fields)) < len(event.fields):
        problems.append("fields names a field twice")
    return problems


def _no_such(field: str, event_id: object, kind: str, found: Event | None) -> str:
    if found is None:
        return f"{field} names {event_id}, which is not recorded"
    return f"{field} names {event_id}, which is {_a(found.KIND)}; expected {_a(kind)}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _kept(event: Event, old: Event, what: str, *names: str) -> list[str]:
    """Fields that must be those of the event referred to."""
    return [
        f"{name} is {found!r}; {what} keeps it, expected {expected!r}"
        for name in (*names, "model_digest", "plan_digest")
        if (found := getattr(event, name)) != (expected := getattr(old, name))
    ]


def _same_person(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
