"""Follows a ledger, and sums the review up again when something was recorded.

A look that finds nothing new reads one row. The numbers are those of
:func:`~hitl_audit.reviewing.oversight_of`, as ``audit.oversight()`` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from hitl_audit.canonical import utc_text
from hitl_audit.plan import AuditPlan
from hitl_audit.review.event import Event
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Redaction
from hitl_audit.review.sampling import CaseSample
from hitl_audit.reviewing import ReviewFacts, oversight_of, review_record
from hitl_audit.widgets.review_seen import Seen, work_of

__all__ = ["OversightWatch"]


class OversightWatch:
    """What people recorded about one audit, followed while they do.

    Args:
        kept: opens the ledger for reading; ``None`` as long as there is none.
        sample: the cases that people judge.
        facts: what the judgments are held against.
        plan: the plan that is reviewed under.
        model_digest: of the model that is judged.
        now: the clock; deadlines before it have passed.
    """

    def __init__(
        self,
        kept: Callable[[], Ledger | None],
        sample: CaseSample,
        facts: ReviewFacts,
        plan: AuditPlan,
        *,
        model_digest: str,
        now: Callable[[], datetime],
    ) -> None:
        self.plan = plan
        self._kept = kept
        self._sample = sample
        self._facts = facts
        self._model_digest = model_digest
        self._now = now
        self._ledger: Ledger | None = None
        self._seq = 0
        self._events: list[Event] = []
        self._seen: Seen | None = None

    def look(self) -> Seen | None:
        """The review as it stands now; ``None`` if nothing changed since the last look.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        grew = self._read()
        if not grew and self._seen is not None and not self._deadline_passed(self._seen):
            return None
        self._seen = self._summed_up()
        return self._seen

    def _read(self) -> bool:
        """Take in what was recorded since; ``False`` if nothing was."""
        if self._ledger is None:
            self._ledger = self._kept()
        if self._ledger is None:
            return False
        # The last known event is read again: a ledger without it is another one.
        new = self._ledger.numbered(after=max(0, self._seq - 1))
        if self._seq and (not new or new[0].event.event_id != self._events[-1].event_id):
            self._seq, self._events = 0, []
            new = self._ledger.numbered()
        elif self._seq:
            new = new[1:]
            if any(isinstance(event, Redaction) for _, event in new):
                # Words that were destroyed are not kept here either.
                self._events, new = [], self._ledger.numbered()
        elif not new:
            return False
        self._events += [event for _, event in new]
        self._seq = new[-1].seq if new else self._seq
        return bool(new) or not self._events

    def _deadline_passed(self, seen: Seen) -> bool:
        moment = utc_text(self._now())
        return any(
            item.status == "open" and bool(item.deadline) and item.deadline < moment
            for item in seen.record.escalations.items
        )

    def _summed_up(self) -> Seen:
        digests = {"model_digest": self._model_digest, "plan_digest": self.plan.digest}
        now = self._now()
        seen = oversight_of(
            self._events, self._sample, self._facts, self.plan, model_digest=self._model_digest
        )
        return Seen(
            oversight=seen,
            record=review_record(
                self._events,
                self._sample,
                seen,
                self._facts,
                self.plan,
                model_digest=self._model_digest,
                now=now,
            ),
            work=work_of(
                self._events,
                self._sample,
                now=now,
                per_case=self.plan.review.reviewers_per_case,
                **digests,
            ),
            events=self._seq,
        )
