"""A person in front of the cases of a review: what every session shares."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime

from hitl_audit.canonical import digest
from hitl_audit.review.event import Event
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.queue import ReviewQueue
from hitl_audit.review.revealed import Revealed, reversed_answer
from hitl_audit.review.words import CaseWords

__all__ = ["Desk"]


class Desk:
    """Follows the ledger, keeps what was on screen and since when, and asks the model once.

    Args:
        ledger: where answers go.
        queue: to be fed with the ledger's events.
        words: the cases as people read them.
        reveal: what the model says about a case id.
        reviewer, role: who sits here, and as what.
        reasons: the plan's reason codes.
        labels: the words for a favorable and an unfavorable decision.
        now: the clock.
        purpose: tells this desk's key from that of another session of the same person.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: ReviewQueue,
        words: CaseWords,
        reveal: Callable[[str], Revealed],
        *,
        reviewer: str,
        role: str,
        reasons: Sequence[str],
        labels: tuple[str, str],
        now: Callable[[], datetime],
        purpose: tuple[str, ...] = (),
    ) -> None:
        self.ledger = ledger
        self.reviewer = reviewer.strip()
        self.role = role.strip()
        self.plan_digest, self.model_digest = queue.digests
        self.simulated = queue.simulated
        self.reasons = tuple(reasons)
        self.favorable_label, self.unfavorable_label = labels
        self._queue = queue
        self._words = words
        self._reveal = reveal
        self._now = now
        self._purpose = purpose
        self._last = 0
        self._shown: dict[Hashable, list[str]] = {}
        self._since: dict[Hashable, datetime] = {}
        self._revealed: dict[tuple[str, bool], Revealed] = {}

    @property
    def key(self) -> str:
        """Name of this person's queue, the same after a restart."""
        ledger = self.ledger
        where = str(ledger.path.resolve()) if ledger.path is not None else ledger.url
        who = [self.reviewer, self.model_digest, self.plan_digest, *self._purpose]
        return digest([where, *who])[7:23]

    @property
    def queue(self) -> ReviewQueue:
        """The state of every case, as the ledger has it now."""
        self._catch_up()
        return self._queue

    def _catch_up(self) -> None:
        """Read what was recorded since the last look, by this or any other process."""
        for seq, event in self.ledger.numbered(after=self._last):
            self._last = seq
            self._queue.add(event)
            self._take(event)

    def _take(self, event: Event) -> None:
        """What a session remembers of an event besides the queue."""

    def _model(self, case_id: str, *, planted: bool = False) -> Revealed:
        """What the model says about a case, reversed if that is the task."""
        if (case_id, planted) not in self._revealed:
            true = self._revealed.get((case_id, False)) or self._reveal(case_id)
            self._revealed[case_id, planted] = reversed_answer(true) if planted else true
        return self._revealed[case_id, planted]

    def _show(self, what: Hashable, *items: str) -> None:
        """Note what is on screen; the first time starts the clock."""
        shown = self._shown.setdefault(what, [])
        shown += [item for item in items if item not in shown]
        if what not in self._since:
            self._since[what] = self._now()

    def _show_model(self, what: Hashable, revealed: Revealed) -> None:
        self._show(what, "case", "prediction")
        if revealed.contributions:
            self._show(
                what, "explanation" if revealed.reliable else "explanation marked unreliable"
            )

    def _on(self, what: Hashable) -> tuple[str, ...]:
        """What was on screen, in order."""
        return tuple(self._shown.get(what, ()))

    def _seconds(self, what: Hashable, now: datetime) -> float:
        elapsed = (now - self._since.get(what, now)).total_seconds()
        return round(max(0.0, elapsed), 3)  # a clock that was set back is no negative effort
