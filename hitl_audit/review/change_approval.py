"""Whether a proposed change may be applied: somebody else approves it, and it expires. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from hitl_audit.canonical import utc_text
from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.records import Approval, Change

__all__ = ["approve_change", "change_status"]


def approve_change(
    change: Change,
    *,
    approver: str,
    role: str,
    approved: bool,
    rationale: str,
    now: datetime,
    event_id: str | None = None,
) -> Approval:
    """Approve or reject a change, as somebody other than its proposer.

    Raises:
        InputError: the proposer approves, the change has expired, or something
            the record needs is empty.
    """
    if _same(approver, change.proposer):
        raise InputError(
            f'approve: approver is "{approver}", who proposed the change; expected somebody else'
        )
    if approved and utc_text(now) > change.expires:
        raise InputError(f"approve: the change expired at {change.expires}; propose it again")
    approval = Approval(
        event_id=event_id or str(uuid.uuid4()),
        at=utc_text(now),
        plan_digest=change.plan_digest,
        model_digest=change.model_digest,
        approves=change.event_id,
        approver=approver,
        role=role,
        approved=approved,
        rationale=rationale,
    )
    if problems := approval.problems():
        raise InputError(f"approve: {'; '.join(problems)}")
    return approval


def change_status(change: Change, events: Iterable[Event], *, now: datetime) -> str:
    """Where a change stands: ``"proposed"``, ``"approved"``, ``"rejected"`` or ``"expired"``.

    The last decision of somebody other than the proposer counts. An approved
    change that has expired must not be applied any more.
    """
    decisions = [
        event.approved
        for event in events
        if isinstance(event, Approval)
        and event.approves == change.event_id
        and not _same(event.approver, change.proposer)
    ]
    if decisions and not decisions[-1]:
        return "rejected"
    if utc_text(now) > change.expires:
        return "expired"
    return "approved" if decisions else "proposed"


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
