"""What people decided to do about a finding: severity, owner, due date, action. Pure.

Nothing is edited: a later record about the same finding replaces the earlier one in
the document, and both stay in ``follow_ups.json`` of the audit folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from hitl_audit.canonical import canonical_bytes, utc_text
from hitl_audit.errors import InputError, did_you_mean

__all__ = ["SEVERITIES", "FollowUp", "FollowUpFile", "current", "read_follow_ups", "recorded"]

Severity = Literal["critical", "high", "medium", "low"]
State = Literal["open", "done", "accepted"]
SEVERITIES: tuple[str, ...] = get_args(Severity)
STATES: tuple[str, ...] = get_args(State)


@dataclass(frozen=True)
class FollowUp:
    """One record.

    Attributes:
        finding: id of the finding, ``"F3"``.
        severity: how bad it is, by the person who recorded it.
        owner: who sees to it.
        due: until when, ``YYYY-MM-DD``.
        action: what is to be done, or was.
        state: ``"open"``, ``"done"``, or ``"accepted"`` (the risk is carried knowingly).
        recorded_by, recorded_at: who said so, and when (UTC).
    """

    finding: str
    severity: Severity
    owner: str
    due: str
    action: str
    state: State
    recorded_by: str
    recorded_at: str


@dataclass(frozen=True)
class FollowUpFile:
    """``follow_ups.json``: every record, the earliest first."""

    records: tuple[FollowUp, ...]
    format: Literal["hitl-audit/follow-ups/v1"] = "hitl-audit/follow-ups/v1"

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_bytes(self)


def recorded(
    finding: str,
    known: Sequence[str],
    *,
    severity: str,
    owner: str,
    due: str,
    action: str,
    by: str,
    now: datetime,
    state: str = "open",
) -> FollowUp:
    """Check what a person says about a finding.

    Args:
        finding: its id.
        known: the ids of all findings.
        severity, owner, due, action, state: see :class:`FollowUp`.
        by: who says so.
        now: the time, with a zone.

    Raises:
        InputError: no such finding, or a field that cannot be used.
    """
    if finding not in known:
        raise InputError(
            f'finding is "{finding}"; accepted: {", ".join(known) or "none, there are no findings"}'
            f"{did_you_mean(finding, known)}"
        )
    for name, value, accepted in (("severity", severity, SEVERITIES), ("state", state, STATES)):
        if value not in accepted:
            raise InputError(
                f'{name} is "{value}"; accepted: {", ".join(accepted)}'
                f"{did_you_mean(value, accepted)}"
            )
    for name, text in (("owner", owner), ("action", action), ("by", by)):
        if not text.strip():
            raise InputError(f"{name} is empty; expected a text")
    try:
        until = date.fromisoformat(due)
    except ValueError:
        raise InputError(f'due is "{due}"; expected a day such as 2026-12-31') from None
    return FollowUp(
        finding,
        severity,  # type: ignore[arg-type]
        owner.strip(),
        until.isoformat(),
        action.strip(),
        state,  # type: ignore[arg-type]
        by.strip(),
        utc_text(now),
    )


def current(records: Sequence[FollowUp]) -> dict[str, FollowUp]:
    """The latest record about each finding."""
    return {record.finding: record for record in records}


def read_follow_ups(data: bytes, *, name: str = "follow_ups.json") -> tuple[FollowUp, ...]:
    """Parse ``follow_ups.json``.

    Raises:
        InputError: not a file of a known version.
    """
    try:
        return TypeAdapter(FollowUpFile).validate_json(data).records
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise InputError(
            f'{name} cannot be used: {place}: {first["msg"]}; expected "hitl-audit/follow-ups/v1"'
        ) from None
