"""Who takes part in a review: people join once, under their name or a pseudonym."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from hitl_audit.canonical import utc_text
from hitl_audit.errors import InputError, LedgerError
from hitl_audit.review.event import Event
from hitl_audit.review.ids import named_id
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Reviewer

__all__ = ["join", "record_once"]

_TRIES = 1000
_PSEUDONYM = re.compile(r"R([1-9][0-9]*)")


def join(
    ledger: Ledger,
    name: str,
    role: str,
    competence: str = "",
    authority: str = "",
    *,
    plan_digest: str,
    model_digest: str,
    pseudonym: bool = False,
    identified_by: str = "",
    simulated: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> str:
    """Let somebody take part; their role, competence and authority go on record.

    A pseudonym is ``R1``, ``R2``, … by order of joining. The same name, without
    regard to case and spaces, comes back to the same id as long as its words are
    not redacted. Two processes may do this at once: a pseudonym is given away
    once. Joining again with nothing new records nothing.

    Args:
        ledger: of the review.
        name: the person's name.
        role: as what they judge.
        competence: why they are able to judge.
        authority: what they may decide.
        plan_digest, model_digest: what is reviewed.
        pseudonym: judgments carry a pseudonym; only the redactable record has the name.
        identified_by: how it is known who they are.
        simulated: a program, not a person.
        now: the clock.

    Returns:
        The id that judgments carry.

    Raises:
        InputError: nobody is named, or no role.
    """
    who = " ".join(name.split())
    if who.casefold() in ("", "anonymous"):
        raise InputError(f'join: name is "{name}"; expected the name of who judges')
    if not role.strip():
        raise InputError("join: role is empty; expected what the reviewer judges as")
    if not pseudonym and _number(who):
        raise InputError(f'join: name is "{name}", which reads as a pseudonym; expected a name')
    seen, records = 0, list[Reviewer]()
    for _ in range(_TRIES):
        for seq, event in ledger.numbered(after=seen):
            seen = seq
            if isinstance(event, Reviewer):
                records.append(event)
        own = [r for r in records if _is(r, who, pseudonym=pseudonym)]
        if own:
            reviewer = own[0].reviewer
        elif pseudonym:
            reviewer = f"R{1 + max((_number(r.reviewer) for r in records), default=0)}"
        else:
            reviewer = who
        record = Reviewer(
            event_id=named_id("reviewer", reviewer),
            at=utc_text(now()),
            plan_digest=plan_digest,
            model_digest=model_digest,
            simulated=simulated,
            reviewer=reviewer,
            role=role.strip(),
            name=who,
            competence=competence.strip(),
            authority=authority.strip(),
            identified_by=identified_by,
        )
        if own:
            if _says(record) != _says(own[-1]):
                later = named_id("reviewer", reviewer, len(own), *_says(record))
                record_once(ledger, [replace(record, event_id=later)])
            return reviewer
        if record_once(ledger, [record]):
            return reviewer
        # Somebody else took the pseudonym, or the same name joined, in this moment.
    raise LedgerError(f"join: no pseudonym was free in {_TRIES} tries; join again")


def record_once(ledger: Ledger, events: Iterable[Event]) -> int:
    """Append the events whose ids are not recorded yet; another process may do the same.

    Returns:
        How many this call recorded.

    Raises:
        LedgerError: an event is not valid.
    """
    recorded = 0
    for event in events:
        if ledger.find(event.event_id) is not None:
            continue
        try:
            ledger.append(event)
        except LedgerError:
            if ledger.find(event.event_id) is None:
                raise
        else:
            recorded += 1
    return recorded


def _is(record: Reviewer, who: str, *, pseudonym: bool) -> bool:
    if bool(_number(record.reviewer)) != pseudonym:
        return False
    name = record.name if pseudonym else record.reviewer
    return " ".join(name.split()).casefold() == who.casefold()


def _number(reviewer: str) -> int:
    found = _PSEUDONYM.fullmatch(reviewer)
    return int(found[1]) if found else 0


def _says(record: Reviewer) -> tuple[str, ...]:
    return (
        record.role,
        record.competence,
        record.authority,
        record.identified_by,
        record.plan_digest,
        record.model_digest,
    )
