"""The parts a review queue is made of: a reviewer's seat on a case, a case, a reviewer. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hitl_audit.review.judgment import DECISIONS, Adjudication, Judgment
from hitl_audit.review.records import Redaction

__all__ = ["CaseSeats", "ReviewerSeats", "Seat", "SeatKey", "without_words"]


class SeatKey(NamedTuple):
    """Whose seat, on which case, and whether it is the second time they judge it."""

    reviewer: str
    case_id: str
    again: bool


@dataclass
class Seat:
    """One reviewer on one case; a repeat has a seat of its own.

    Attributes:
        task: why they got it.
        due: UTC text until when, or ``""``.
        assigned: it was given to them by name.
        taken_back: the reason, once it was taken from them.
        declined: they withdrew their answer.
        blind, verdict: their answers that count.
    """

    task: str = "ordinary"
    due: str = ""
    assigned: bool = False
    taken_back: str | None = None
    declined: bool = False
    blind: Judgment | None = None
    verdict: Judgment | None = None

    @property
    def begun(self) -> bool:
        """They have recorded an answer."""
        return self.blind is not None or self.verdict is not None

    @property
    def holds(self) -> bool:
        """They are on the case."""
        if self.declined or (self.taken_back is not None and self.verdict is None):
            return False
        return self.assigned or self.begun

    @property
    def waits(self) -> bool:
        """They still owe a verdict."""
        return self.holds and self.verdict is None


@dataclass
class CaseSeats:
    """One case: its place in the queue, who sits on it, what was decided above them.

    Attributes:
        number: its place.
        planted: the model's decision is shown reversed.
        gold: its right answer is known.
        seats, repeats: by reviewer.
        adjudication: the decision of a third person.
        undecided: third persons who could not decide either.
        escalations: ids of those that nobody has settled.
    """

    number: int
    planted: bool = False
    gold: bool = False
    seats: dict[str, Seat] = field(default_factory=dict)
    repeats: dict[str, Seat] = field(default_factory=dict)
    adjudication: Adjudication | None = None
    undecided: dict[str, Adjudication] = field(default_factory=dict)
    escalations: set[str] = field(default_factory=set)

    def every_seat(self) -> Iterator[tuple[str, Seat]]:
        """Reviewer and seat, repeats included."""
        yield from self.seats.items()
        yield from self.repeats.items()

    def note(self, task: str) -> None:
        """Somebody got the case as this kind of task."""
        self.planted |= task == "planted"
        self.gold |= task == "gold"

    @property
    def holders(self) -> int:
        """How many people are on the case."""
        return sum(seat.holds for seat in self.seats.values())

    @property
    def done(self) -> int:
        """How many have given a verdict."""
        return sum(seat.verdict is not None for seat in self.seats.values())

    @property
    def assigned(self) -> int:
        """To how many it is assigned by name."""
        return sum(s.assigned and s.taken_back is None for s in self.seats.values())

    @property
    def begun(self) -> bool:
        """Somebody has recorded an answer that counts."""
        return any(seat.begun and not seat.declined for seat in self.seats.values())

    @property
    def differs(self) -> bool:
        """Both decisions are asked for, and only people can settle which is right."""
        wanted = {s.verdict.decision for s in self.seats.values() if s.verdict is not None}
        return not (self.planted or self.gold) and set(DECISIONS) <= wanted


@dataclass
class ReviewerSeats:
    """One reviewer: their seats, in order of coming, and how far they are.

    Attributes:
        seats: all of them.
        begun: those with an answer and without a verdict.
        assigned: those given by name, in order.
        next_assigned, next_open: everything before these places is behind them.
        on_open: cases that lack reviewers and on which they have a seat already.
        done, waiting: number of tasks finished, and owed.
        searched: (parts, part) of the shared queue → everything before this place in
            that part is closed to them.
        foreign: number of their judgments that belong to another plan, model or sample.
    """

    seats: dict[SeatKey, Seat] = field(default_factory=dict)
    begun: dict[SeatKey, None] = field(default_factory=dict)
    assigned: list[SeatKey] = field(default_factory=list)
    next_assigned: int = 0
    next_open: int = 0
    searched: dict[tuple[int, int], int] = field(default_factory=dict)
    on_open: int = 0
    done: int = 0
    waiting: int = 0
    foreign: int = 0


def without_words(judgment: Judgment, redaction: Redaction) -> Judgment:
    """The judgment after a redaction: words that were destroyed do not live on in memory."""
    if judgment.event_id != redaction.redacts:
        return judgment
    emptied: dict[str, Any] = dict.fromkeys(redaction.fields, "")
    return replace(judgment, **emptied, redacted=(*judgment.redacted, *redaction.fields))
