"""The state of every case of a review, and each reviewer's next task: a fold over events.

A :class:`ReviewQueue` is fed the ledger's events in order, each once, and keeps
only what the next answer needs: one event costs time in the number of people on
its case, and the next task of a reviewer does not look at the whole queue
again. Nothing is read or written here.

Who is *on* a case: everybody to whom it is assigned, and everybody who has
recorded an answer on it. A case that was taken back before its verdict, or
from which a reviewer withdrew, is no longer theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from hitl_audit.canonical import utc_text
from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.ids import named_id
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.records import Assignment, Escalation, Redaction, Resolution, Reviewer
from hitl_audit.review.seats import CaseSeats, ReviewerSeats, Seat, SeatKey, without_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STATES",
    "Answers",
    "ReviewQueue",
    "State",
    "Step",
    "Task",
    "request_id",
]

STATES = ("open", "in progress", "judged", "conflict", "adjudicated", "escalated")
"""Of a case. *Open*: nobody has answered. *In progress*: fewer verdicts than
needed. *Judged*: all verdicts are in. *Conflict*: they are, and the decisions
they ask for differ (*unsure* asks for none); never on a control, whose right
answer is known. *Escalated*: somebody in a role still has to decide.
*Adjudicated*: a third person has decided."""

State = Literal["open", "in progress", "judged", "conflict", "adjudicated", "escalated"]
Step = Literal["blind", "final", "done"]


class Task(NamedTuple):
    """What a reviewer does next: the case, as what kind of task, which step, until when."""

    case_id: str
    task: str
    step: Step
    due: str


class Answers(NamedTuple):
    """What a reviewer last answered on a case: the blind answer and the verdict, if any."""

    blind: Judgment | None
    verdict: Judgment | None


class ReviewQueue:
    """Which cases wait for whom.

    Args:
        case_ids: the cases, in order of judging.
        plan_digest, model_digest: judgments, adjudications and assignments of
            another plan or model are not counted.
        reviewers_per_case: how many people judge a case that is open to all;
            ``None``: everybody judges every case.
        planned: cases go only to those to whom they are assigned; otherwise a
            reviewer goes on to any case that lacks reviewers.
        blind_first: a case takes a blind answer and a verdict, not only a verdict.
        controls: kind of task by case, for cases that are not *ordinary* and
            are open to all.
        simulated: whose answers and assignments count, those of programs or
            those of people.

    Raises:
        InputError: a case twice, or fewer than one reviewer per case.
    """

    def __init__(
        self,
        case_ids: Sequence[str],
        *,
        plan_digest: str,
        model_digest: str,
        reviewers_per_case: int | None = None,
        planned: bool = False,
        blind_first: bool = True,
        controls: Mapping[str, str] | None = None,
        simulated: bool = False,
    ) -> None:
        if reviewers_per_case is not None and reviewers_per_case < 1:
            raise InputError(
                f"queue: reviewers_per_case is {reviewers_per_case}; expected 1 or more"
            )
        self.digests = (plan_digest, model_digest)
        self._per_case = reviewers_per_case
        self._planned = planned
        self._blind_first = blind_first
        self._controls = dict(controls or {})
        self.simulated = simulated
        self._ids = list(case_ids)
        self._open_to_all = len(self._ids)
        self._cases = {case_id: CaseSeats(number) for number, case_id in enumerate(self._ids)}
        for case_id, task in self._controls.items():
            if case_id not in self._cases:
                raise InputError(f'queue: controls names case "{case_id}", which is not there')
            self._cases[case_id].note(task)
        if len(self._cases) < len(self._ids):
            raise InputError("queue: a case is there twice; expected unique ids")
        self._reviewers: dict[str, ReviewerSeats] = {}
        self._joined: dict[str, int] = {}
        self._judgments: dict[str, tuple[SeatKey, Judgment]] = {}
        self._raised: dict[str, str] = {}
        self._resolved: set[str] = set()
        self._adjudicated: Counter[str] = Counter()
        self._first_open = 0
        self._free = 0 if planned else len(self._ids)
        self._states: dict[str, dict[str, None]] = {state: {} for state in STATES}
        self._states["open"] = dict.fromkeys(self._ids)

    # ------------------------------------------------------------ feeding

    def extend(self, events: Iterable[Event]) -> None:
        """Take in events, in the order of the ledger."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event; kinds that say nothing about the queue are passed over."""
        match event:
            case Judgment():
                self._judgment(event)
            case Withdrawal():
                self._withdrawal(event)
            case Redaction():
                self._redaction(event)
            case Assignment() if self._is_mine(event) and event.simulated == self.simulated:
                self._assignment(event)
            case Adjudication() if self._is_mine(event) and event.simulated == self.simulated:
                if event.case_id in self._cases:
                    self._adjudicated[event.reviewer] += 1
                    with self._changing(event.case_id) as case:
                        if event.answer == "unsure":
                            case.undecided[event.reviewer] = event
                        else:
                            case.adjudication = event
            case Escalation() if self._is_mine(event) and event.subject in self._cases:
                self._raised[event.event_id] = event.subject
                if event.event_id not in self._resolved:
                    with self._changing(event.subject) as case:
                        case.escalations.add(event.event_id)
            case Reviewer() if self._is_mine(event) and event.simulated == self.simulated:
                self._joined.setdefault(event.reviewer, len(self._joined))
            case Resolution():
                self._resolved.add(event.resolves)
                if subject := self._raised.get(event.resolves):
                    with self._changing(subject) as case:
                        case.escalations.discard(event.resolves)

    def _is_mine(self, event: Event) -> bool:
        return (event.plan_digest, event.model_digest) == self.digests

    def _judgment(self, event: Judgment) -> None:
        if event.simulated != self.simulated:
            return
        reviewer = self._reviewer(event.reviewer)
        known = event.case_id in self._cases
        if not self._is_mine(event) or not known:
            reviewer.foreign += 1
            return
        key = SeatKey(event.reviewer, event.case_id, event.task == "repeat")
        with self._changing(event.case_id) as case:
            seat = self._seat(key)
            if event.phase == "blind":
                seat.blind = event
            else:
                seat.verdict, seat.declined = event, False
            if not seat.assigned:
                seat.task = event.task
            case.note(event.task)
            self._judgments[event.event_id] = (key, event)
            self._note(key, seat)

    def _withdrawal(self, event: Withdrawal) -> None:
        key, judgment = self._judgments.get(event.withdraws, (None, None))
        if key is None or key.reviewer != event.reviewer:
            return
        with self._changing(key.case_id):
            seat = self._seat(key)
            if judgment is seat.verdict:
                seat.verdict, seat.declined = None, True
            elif seat.verdict is None and judgment is seat.blind:
                seat.declined = True
            self._note(key, seat)

    def _redaction(self, event: Redaction) -> None:
        key, judgment = self._judgments.get(event.redacts, (None, None))
        if key is None or judgment is None:
            return
        seat, emptied = self._seat(key), without_words(judgment, event)
        self._judgments[event.redacts] = (key, emptied)
        seat.blind = emptied if seat.blind is judgment else seat.blind
        seat.verdict = emptied if seat.verdict is judgment else seat.verdict

    def _assignment(self, event: Assignment) -> None:
        for case_id, task, due in event.tasks:
            if case_id not in self._cases:
                # Controls may lie beside the sample.
                self._cases[case_id] = CaseSeats(len(self._ids))
                self._ids.append(case_id)
                self._states["open"][case_id] = None
            key = SeatKey(event.reviewer, case_id, task == "repeat")
            with self._changing(case_id) as case:
                seat = self._seat(key)
                if event.takes_back:
                    seat.taken_back = event.reason
                else:
                    if not seat.assigned or seat.taken_back is not None:
                        self._reviewer(event.reviewer).assigned.append(key)
                    seat.assigned, seat.taken_back = True, None
                    seat.task, seat.due = task, due
                    case.note(task)
                self._note(key, seat)

    def _reviewer(self, name: str) -> ReviewerSeats:
        return self._reviewers.setdefault(name, ReviewerSeats())

    def _seat(self, key: SeatKey) -> Seat:
        seats = self._reviewer(key.reviewer).seats
        if key not in seats:
            seats[key] = Seat(task=self._controls.get(key.case_id, "ordinary"))
            case = self._cases[key.case_id]
            (case.repeats if key.again else case.seats)[key.reviewer] = seats[key]
        return seats[key]

    def _note(self, key: SeatKey, seat: Seat) -> None:
        begun = self._reviewer(key.reviewer).begun
        if seat.begun and seat.waits:
            begun[key] = None
        else:
            begun.pop(key, None)

    # ----------------------------------------------------------- counting

    @contextmanager
    def _changing(self, case_id: str) -> Iterator[CaseSeats]:
        """Take a case out of every count, let it change, and put it back."""
        case = self._cases[case_id]
        lacked = self._lacks(case)
        self._count(case_id, case, -1)
        yield case
        self._count(case_id, case, +1)
        if self._lacks(case) and not lacked:
            # Somebody may have to come back to it.
            self._first_open = min(self._first_open, case.number)
            for reviewer in self._reviewers.values():
                reviewer.next_open = min(reviewer.next_open, case.number)
                reviewer.searched.clear()

    def _count(self, case_id: str, case: CaseSeats, step: int) -> None:
        if step > 0:
            self._states[self._state(case)][case_id] = None
        else:
            del self._states[self._state(case)][case_id]
        if self._lacks(case):
            self._free += step
            for name in case.seats:
                self._reviewers[name].on_open += step
        for name, seat in case.every_seat():
            self._reviewers[name].done += step * (seat.verdict is not None)
            self._reviewers[name].waiting += step * seat.waits

    def _lacks(self, case: CaseSeats) -> bool:
        """Somebody else may take the case."""
        if self._planned or case.number >= self._open_to_all or case.adjudication is not None:
            return False
        return self._per_case is None or case.holders < self._per_case

    def _needed(self, case: CaseSeats) -> int:
        if case.number >= self._open_to_all or self._planned:
            return max(1, case.assigned)
        named = sum(seat.assigned and seat.holds for seat in case.seats.values())
        return max(self._per_case or 1, named)

    def _state(self, case: CaseSeats) -> State:
        if case.adjudication is not None:
            return "adjudicated"
        if case.escalations or self._asks(case):
            return "escalated"
        if case.done >= self._needed(case):
            return "conflict" if case.differs else "judged"
        return "in progress" if case.begun else "open"

    def _asks(self, case: CaseSeats) -> bool:
        verdicts = [s.verdict for s in case.seats.values() if s.verdict is not None]
        return not case.planted and any(
            v.answer == "escalate" and request_id(v.event_id) not in self._resolved
            for v in verdicts
        )

    # ------------------------------------------------------------- asking

    def state(self, case_id: str) -> State:
        """The state of a case, one of :data:`STATES`.

        Raises:
            InputError: no such case.
        """
        if case_id not in self._cases:
            raise InputError(f'queue: there is no case "{case_id}"')
        return self._state(self._cases[case_id])

    def counts(self) -> dict[State, int]:
        """Number of cases in each state."""
        return {state: len(self._states[state]) for state in STATES}  # type: ignore[misc]

    def next_task(self, reviewer: str) -> Task | None:
        """What the reviewer does next; ``None`` when nothing waits for them.

        First what they have begun, then what is assigned to them, in order, then,
        unless the review is planned, the first case that lacks reviewers. A seat is
        taken by a first answer, not by looking; so that people who work at the same
        time do not all look at one case, those who joined share the queue: each
        ``reviewers_per_case`` of them have their own part of it, and go on to the
        other parts when it is done.
        """
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        if me.begun:
            return self._task(next(iter(me.begun)), me)
        while me.next_assigned < len(me.assigned):
            key = me.assigned[me.next_assigned]
            if me.seats[key].waits:
                return self._task(key, me)
            me.next_assigned += 1
        if self._planned:
            return None
        self._first_open = self._skip(self._first_open, lambda case: not self._lacks(case))
        me.next_open = self._skip(
            max(me.next_open, self._first_open),
            lambda case: reviewer in case.seats or not self._lacks(case),
        )
        if me.next_open == self._open_to_all:
            return None
        number = self._own_part(reviewer, me)
        return self._task(SeatKey(reviewer, self._ids[number], False), me)

    def open_task(self, reviewer: str, case_id: str) -> Task | None:
        """The first step on a case that is open to the reviewer, if nothing of theirs is begun.

        Whoever joins changes which part of the queue is whose; what a reviewer has
        on screen may still be answered, as long as it lacks reviewers.
        """
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        case = self._cases.get(case_id)
        if case is None or me.begun or reviewer in case.seats or not self._lacks(case):
            return None
        if any(me.seats[key].waits for key in me.assigned[me.next_assigned :]):
            return None
        return self._task(SeatKey(reviewer, case_id, False), me)

    def _own_part(self, reviewer: str, me: ReviewerSeats) -> int:
        """The number of the case to take; there is one that is open to the reviewer."""
        first = me.next_open
        place = self._joined.get(reviewer)
        if self._per_case is None or place is None:
            return first
        parts = -(-len(self._joined) // self._per_case)
        for shift in range(parts):
            part = (place // self._per_case + shift) % parts
            begin = max(first, me.searched.get((parts, part), 0))
            for number in range(begin + (part - begin) % parts, self._open_to_all, parts):
                case = self._cases[self._ids[number]]
                if reviewer not in case.seats and self._lacks(case):
                    me.searched[parts, part] = number  # what is before it stays closed
                    return number
            me.searched[parts, part] = self._open_to_all
        return first

    def _skip(self, number: int, passes: Callable[[CaseSeats], bool]) -> int:
        while number < self._open_to_all and passes(self._cases[self._ids[number]]):
            number += 1
        return number

    def _task(self, key: SeatKey, me: ReviewerSeats) -> Task:
        seat = me.seats.get(key) or Seat(task=self._controls.get(key.case_id, "ordinary"))
        step: Step = "blind" if self._blind_first and seat.blind is None else "final"
        return Task(key.case_id, seat.task, step, seat.due)

    def done_by(self, reviewer: str) -> int:
        """Number of tasks on which the reviewer has given a verdict."""
        me = self._reviewers.get(reviewer)
        return me.done if me else 0

    def waiting_for(self, reviewer: str) -> int:
        """Number of tasks that wait for the reviewer, begun, assigned, or open to all."""
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        return me.waiting + self._free - me.on_open

    def foreign_to(self, reviewer: str) -> int:
        """Number of the reviewer's judgments under another plan, model or sample."""
        me = self._reviewers.get(reviewer)
        return me.foreign if me else 0

    def answers(self, reviewer: str, case_id: str, *, again: bool = False) -> Answers:
        """What the reviewer last answered on a case: blind answer and verdict, if any."""
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        seat = me.seats.get(SeatKey(reviewer, case_id, again)) or Seat()
        return Answers(seat.blind, seat.verdict)

    def tasks_done(self, reviewer: str) -> tuple[tuple[str, str], ...]:
        """``(case id, kind of task)`` of the reviewer's finished tasks."""
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        return tuple(
            (key.case_id, seat.task) for key, seat in me.seats.items() if seat.verdict is not None
        )

    def holding(self, reviewer: str, case_id: str) -> str | None:
        """The kind of task that a reviewer still owes on a case; ``None`` if they owe none."""
        case = self._cases.get(case_id)
        seat = case.seats.get(reviewer) if case else None
        return seat.task if seat is not None and seat.waits else None

    def begun_by(self, reviewer: str) -> tuple[str, ...]:
        """Cases on which the reviewer has answered, in order of coming, each once."""
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        return tuple(dict.fromkeys(key.case_id for key, seat in me.seats.items() if seat.begun))

    def has_controls(self, reviewer: str) -> bool:
        """Some of the tasks that the reviewer has or may get are not ordinary."""
        me = self._reviewers.get(reviewer) or ReviewerSeats()
        return bool(self._controls) or any(s.task != "ordinary" for s in me.seats.values())

    def seat_to_take(self, reviewer: str, case_id: str) -> int | None:
        """The number of the seat that a first answer takes on a case open to all.

        ``None`` if no seat need be taken: seats are not counted, or the reviewer
        has one. Numbers are used once, so two people cannot take the same seat.
        """
        case = self._cases[case_id]
        if self._planned or self._per_case is None or case.number >= self._open_to_all:
            return None
        seat = case.seats.get(reviewer)
        return None if seat is not None and seat.holds else len(case.seats)

    def why_not(self, reviewer: str, case_id: str) -> str:
        """Why a case does not wait for a reviewer, in words; empty if it may."""
        case = self._cases.get(case_id)
        if case is None:
            return f"Case {case_id} is not part of this review."
        seat = case.seats.get(reviewer)
        if seat is not None and seat.taken_back is not None and seat.verdict is None:
            why = f" ({seat.taken_back})" if seat.taken_back else ""
            return f"Case {case_id} was given to somebody else{why}. Reload to go on."
        if seat is not None and seat.declined:
            return f"You withdrew from case {case_id}. Reload to go on."
        if seat is None and not self._lacks(case) and not self._planned:
            return (
                f"Case {case_id} has got its reviewers in the meantime; thank you. Reload to go on."
            )
        if seat is None and self._planned:
            return f"Case {case_id} is not assigned to {reviewer}. Reload to go on."
        return ""

    def to_adjudicate(self, reviewer: str, *, escalated: bool = False) -> tuple[str, ...]:
        """Cases in conflict that a third person may decide, in order.

        Args:
            reviewer: cases on which they have answered themselves are left out.
            escalated: cases that were escalated, too.
        """
        found = [*self._states["conflict"], *(self._states["escalated"] if escalated else ())]
        mine = [
            case_id
            for case_id in found
            if (case := self._cases[case_id]).done
            and not self._has_answered(reviewer, case_id)
            and reviewer not in case.undecided
        ]
        return tuple(sorted(mine, key=lambda case_id: self._cases[case_id].number))

    def _has_answered(self, reviewer: str, case_id: str) -> bool:
        seat = self._cases[case_id].seats.get(reviewer)
        return seat is not None and seat.begun

    def has_answered(self, reviewer: str, case_id: str) -> bool:
        """The reviewer has recorded an answer on the case."""
        return case_id in self._cases and self._has_answered(reviewer, case_id)

    def verdicts(self, case_id: str) -> tuple[Judgment, ...]:
        """The verdicts that count on a case, one per reviewer."""
        case = self._cases[case_id]
        return tuple(s.verdict for s in case.seats.values() if s.verdict is not None)

    def blind_answers(self, case_id: str) -> tuple[Judgment, ...]:
        """The blind answers that count on a case, one per reviewer."""
        seats = self._cases[case_id].seats.values()
        return tuple(s.blind for s in seats if s.blind is not None and not s.declined)

    def differs(self, case_id: str) -> bool:
        """The verdicts on a case ask for different decisions."""
        return self._cases[case_id].differs

    @property
    def case_ids(self) -> tuple[str, ...]:
        """The cases, in order, with those that were assigned beside them last."""
        return tuple(self._ids)

    def adjudication(self, case_id: str) -> Adjudication | None:
        """The decision of the third person, if there is one."""
        return self._cases[case_id].adjudication

    def undecided(self, case_id: str) -> Mapping[str, Adjudication]:
        """Third persons who were *unsure* about a case, so that another is asked."""
        return self._cases[case_id].undecided

    def adjudicated_by(self, reviewer: str) -> int:
        """Number of cases on which this person has answered as the third."""
        return self._adjudicated[reviewer]

    def is_planted(self, case_id: str) -> bool:
        """The model's decision is shown reversed on this case."""
        return case_id in self._cases and self._cases[case_id].planted

    def frame(self, now: datetime) -> pd.DataFrame:
        """One row per case: case, state, needed, done, in_progress, due, overdue.

        ``due`` is the earliest among the tasks that are not finished (UTC text, or
        ``""``); ``overdue`` says that it has passed.
        """
        import pandas as pd

        moment = utc_text(now)
        due: dict[str, str] = {}
        for me in self._reviewers.values():
            for key, seat in me.seats.items():
                if seat.waits and seat.due:
                    due[key.case_id] = min(seat.due, due.get(key.case_id, seat.due))
        rows = []
        for case_id in self._ids:
            case = self._cases[case_id]
            working = sum(seat.begun and seat.waits for seat in case.seats.values())
            until = due.get(case_id, "")
            late = bool(until) and until < moment
            needed = self._needed(case)
            rows.append((case_id, self._state(case), needed, case.done, working, until, late))
        columns = ["case", "state", "needed", "done", "in_progress", "due", "overdue"]
        return pd.DataFrame(rows, columns=columns)

    def reviewers_frame(self, now: datetime) -> pd.DataFrame:
        """One row per reviewer: reviewer, done, in_progress, assigned (and open), overdue."""
        import pandas as pd

        moment = utc_text(now)
        rows = []
        for name, me in self._reviewers.items():
            waiting = [seat for seat in me.seats.values() if seat.waits]
            late = sum(bool(seat.due) and seat.due < moment for seat in waiting)
            rows.append((name, me.done, len(me.begun), len(waiting), late))
        columns = ["reviewer", "done", "in_progress", "waiting", "overdue"]
        return pd.DataFrame(rows, columns=columns)


def request_id(verdict_id: str) -> str:
    """Id of the escalation that a reviewer's *escalate* asks for."""
    return named_id("escalation", "request", verdict_id)
