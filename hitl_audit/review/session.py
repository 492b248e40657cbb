"""One reviewer working through cases: the state behind any judging page.

The ledger is the only memory: the place in the queue is what the ledger says,
so a restart, a second window or another machine comes back at the same case
and step. Looking at a case records nothing. Under ``"blind-first"`` the model's
answer cannot be had before the reviewer's own is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hitl_audit.canonical import utc_text
from hitl_audit.errors import LedgerError
from hitl_audit.review.desk import Desk
from hitl_audit.review.escalation import REQUEST, EscalationRule, request_escalation
from hitl_audit.review.event import Event
from hitl_audit.review.ids import named_id
from hitl_audit.review.judgment import Judgment, Withdrawal
from hitl_audit.review.ledger import Ledger, Receipt
from hitl_audit.review.protocol import (
    PROTOCOLS,
    Debrief,
    Given,
    LookBack,
    Position,
    RefusedError,
    check_answer,
    check_controls,
    check_session,
    debriefed,
)
from hitl_audit.review.queue import ReviewQueue, Step, Task
from hitl_audit.review.records import Assignment, Redaction, WhatIf
from hitl_audit.review.revealed import Revealed, mirrored
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.seats import without_words
from hitl_audit.review.words import CaseWords

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PROTOCOLS",
    "Debrief",
    "LookBack",
    "Position",
    "RefusedError",
    "Revealed",
    "ReviewSession",
    "Step",
]

_TRIES = 20


class ReviewSession(Desk):
    """One reviewer's way through a sample of cases.

    Args:
        sample: the cases, in order of judging.
        cases: one row per case, the index holding the case ids, the column
            names and values as a person should read them; it needs rows for
            assigned cases beside the sample, too.
        reveal: what the model says about a case id; called only once the
            protocol allows it.
        ledger: where the answers go.
        reviewer, role: who judges, and as what.
        model_digest, plan_digest: what is judged, under which plan.
        reasons: the plan's reasons for disagreeing.
        labels: the words for a favorable and an unfavorable decision.
        protocol: ``"blind-first"`` or ``"open"``.
        simulated: every answer is marked as made by a program.
        now: the clock.
        reviewers_per_case: how many people judge a case; whoever comes later gets
            another one. A first answer takes a seat on its case, recorded with it
            as an assignment by ``"queue"``; a seat can be taken once, by whatever
            process. ``None``: everybody judges every case.
        planned: only cases that an :class:`~hitl_audit.review.records.Assignment`
            in the ledger gives to this reviewer.
        controls: kind of task by case id, ``"gold"`` or ``"planted"``, for a
            review that is not planned.
        rules: the plan's escalations. With a rule about an expert's request, the
            answer *escalate* needs a rationale and raises an escalation.

    Raises:
        InputError: nobody is named, an unknown protocol, no reasons, controls
            that are none, or cases of the sample that have no row.
    """

    def __init__(
        self,
        sample: CaseSample,
        cases: pd.DataFrame,
        reveal: Callable[[str], Revealed],
        ledger: Ledger,
        *,
        reviewer: str,
        role: str,
        model_digest: str,
        plan_digest: str,
        reasons: Sequence[str],
        labels: tuple[str, str] = ("Favorable", "Unfavorable"),
        protocol: str = "blind-first",
        simulated: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reviewers_per_case: int | None = None,
        planned: bool = False,
        controls: Mapping[str, str] | None = None,
        rules: Sequence[EscalationRule] = (),
    ) -> None:
        check_session(reviewer, role, protocol, reasons)
        check_controls(controls or {}, sample)
        queue = ReviewQueue(
            sample.case_ids,
            plan_digest=plan_digest,
            model_digest=model_digest,
            reviewers_per_case=reviewers_per_case,
            planned=planned,
            blind_first=protocol == "blind-first",
            controls=controls,
            simulated=simulated,
        )
        super().__init__(
            ledger,
            queue,
            CaseWords(sample.case_ids, cases),
            reveal,
            reviewer=reviewer,
            role=role,
            reasons=reasons,
            labels=labels,
            now=now,
        )
        self.sample = sample
        self.protocol = protocol
        self.planned = planned
        self._request = next((rule for rule in rules if rule.condition == REQUEST), None)
        self._drawn = {case.case_id: case for case in sample.cases}
        self._own: dict[str, list[Judgment]] = {}
        self._withdrawn: set[str] = set()
        self._on_screen: Task | None = None

    @property
    def escalates_to(self) -> str:
        """The role that decides what is escalated; ``""`` if the plan has no rule for it."""
        return self._request.role if self._request is not None else ""

    # ------------------------------------------------------------ looking

    def position(self) -> Position:
        """The current case and step, as the ledger has it."""
        return self._at()[0]

    def case(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the current case, in words; starts its clock.

        Raises:
            RefusedError: the queue is exhausted.
        """
        task = self._task()
        self._on_screen = task
        self._show(_screen(task), "case")
        return self._words.values(task.case_id)

    def revealed(self) -> Revealed:
        """What the model says about the current case.

        Raises:
            RefusedError: the reviewer's own answer is not recorded yet, or the
                queue is exhausted.
        """
        task = self._task()
        if task.step == "blind":
            raise RefusedError("The model's answer stays hidden until you have recorded your own.")
        revealed = self._model(task.case_id, planted=task.task == "planted")
        self._on_screen = task
        self._show_model(_screen(task), revealed)
        return revealed

    def own_decision(self) -> str | None:
        """The reviewer's recorded blind answer on the current case, or ``None``."""
        task = self._at()[1]
        if task is None:
            return None
        again = task.task == "repeat"
        blind = self._queue.answers(self.reviewer, task.case_id, again=again).blind
        return blind.answer if blind else None

    def remarks(self) -> tuple[str, ...]:
        """What the reviewer should know before going on, in words."""
        self._catch_up()
        remarks = []
        if self._queue.has_controls(self.reviewer):
            remarks.append(
                "This review contains controls: the answer of the model may have been changed on "
                "purpose, or a case may come twice. At the end you will be told which."
            )
        if foreign := self._queue.foreign_to(self.reviewer):
            remarks.append(
                f"{foreign} of your earlier answers belong to another plan, model or sample. They "
                "stay in the ledger and do not count here."
            )
        if self._last == 0:
            remarks.append("Nothing is recorded yet: yours will be the first answer.")
        return tuple(remarks)

    def history(self) -> tuple[str, ...]:
        """Ids of the cases on which the reviewer has answered, in the order of beginning."""
        self._catch_up()
        return self._queue.begun_by(self.reviewer)

    def back(self, case_id: str) -> LookBack:
        """Look at an earlier case of this reviewer; it can be looked at, never rewritten.

        Raises:
            RefusedError: they have recorded nothing on it.
        """
        self._catch_up()
        own = tuple(self._own.get(case_id, ()))
        if not own:
            raise RefusedError(f"You have recorded nothing on case {case_id}.")
        withdrawn = tuple(e.event_id for e in own if e.event_id in self._withdrawn)
        seen = [event for event in own if "prediction" in event.shown]
        revealed = None
        if seen:
            revealed = self._model(case_id, planted=seen[-1].task == "planted")
        return LookBack(case_id, self._words.values(case_id), own, withdrawn, revealed)

    def debrief(self) -> Debrief:
        """Which cases were controls; for when nothing waits for the reviewer any more.

        Raises:
            RefusedError: the queue is not exhausted.
        """
        at = self.position()
        if at.case_id is not None:
            raise RefusedError("Which cases were controls is told when all cases are judged.")
        return debriefed(self._queue.tasks_done(self.reviewer))

    # ---------------------------------------------------------- answering

    def submit(
        self,
        answer: str,
        *,
        confidence: int | None = None,
        reasons: Sequence[str] = (),
        rationale: str = "",
        note: str = "",
        event_id: str | None = None,
        case_id: str | None = None,
        step: str | None = None,
    ) -> Receipt:
        """Record the answer to the current step.

        Args:
            answer: one of the answers of the step, see
                :data:`~hitl_audit.review.judgment.ANSWERS`.
            confidence: in a blind answer, 1 (a guess) to 5 (certain); optional.
            reasons: of the plan; needed to disagree.
            rationale: in the reviewer's words; needed to disagree, and to
                escalate if the plan has a rule for it.
            note: anything else; optional.
            event_id: made by the page. Sending the same answer again under the
                same id returns the first receipt.
            case_id, step: what the page shows; refused unless it is current.

        Raises:
            RefusedError: with the words for the reviewer; nothing was recorded.
        """
        given = Given(answer, confidence, tuple(reasons), rationale.strip(), note.strip())
        for _ in range(_TRIES):
            known = self._known(event_id, given, case_id)
            if known is not None:
                return known
            judgment, seat = self._judgment(given, event_id, case_id, step)
            try:
                receipt = self._record(judgment, seat)
            except LedgerError:
                if seat is None or self.ledger.find(seat.event_id) is None:
                    raise
                # Somebody took the seat in this moment; look again what is free.
                continue
            if judgment.phase == "final":
                self._on_screen = None
            return receipt
        raise RefusedError("Not saved: too many people are on this case. Send it again.")

    def correct(
        self,
        corrects: str,
        answer: str,
        *,
        reasons: Sequence[str] = (),
        rationale: str = "",
        note: str = "",
        event_id: str | None = None,
    ) -> Receipt:
        """Replace an earlier final verdict of this reviewer by a new event.

        Args:
            corrects: event id of the verdict that stands; it stays in the ledger.
            answer, reasons, rationale, note, event_id: as for :meth:`submit`.

        Raises:
            RefusedError: with the words for the reviewer; nothing was recorded.
        """
        old = self._find_own(corrects)
        if old is None or old.phase == "blind":
            raise RefusedError("Only your own final verdicts can be corrected.")
        given = Given(answer, None, tuple(reasons), rationale.strip(), note.strip())
        known = self._known(event_id, given, old.case_id)
        if known is not None:
            return known
        self._catch_up()
        again = old.task == "repeat"
        stands = self._queue.answers(self.reviewer, old.case_id, again=again).verdict
        if stands is None or stands.event_id != corrects:
            raise RefusedError(
                "This verdict does not stand any more: it was corrected or withdrawn. Reload to "
                "see what does."
            )
        self._check("correction", given)
        return self._record(
            replace(
                old,
                event_id=event_id or str(uuid.uuid4()),
                phase="correction",
                answer=answer,
                reasons=given.reasons,
                rationale=given.rationale,
                note=given.note,
                at=utc_text(self._now()),
                seconds=None,
                corrects=corrects,
                simulated=self.simulated,
                redacted=(),
            )
        )

    def withdraw(self, withdraws: str, rationale: str, *, event_id: str | None = None) -> Receipt:
        """Take an own answer back; it stays in the ledger and enters no number.

        The case does not come again to this reviewer. In an open queue somebody
        else gets it; an assigned one waits to be given to somebody else.

        Args:
            withdraws: event id of the answer.
            rationale: why, in the reviewer's words.
            event_id: as for :meth:`submit`.

        Raises:
            RefusedError: with the words for the reviewer; nothing was recorded.
        """
        old = self._find_own(withdraws)
        if old is None:
            raise RefusedError("Only your own answers can be withdrawn.")
        if not rationale.strip():
            raise RefusedError("To withdraw, say why in a few words.", "rationale")
        found = self.ledger.find(event_id) if event_id else None
        if found is not None:
            if isinstance(found[1], Withdrawal) and found[1].withdraws == withdraws:
                return found[0]
            raise RefusedError(f"Record {event_id} is already taken by another answer.")
        self._catch_up()
        if withdraws in self._withdrawn:
            raise RefusedError("This answer is withdrawn already.")
        return self.ledger.append(
            Withdrawal(
                event_id=event_id or str(uuid.uuid4()),
                at=utc_text(self._now()),
                plan_digest=self.plan_digest,
                model_digest=self.model_digest,
                simulated=self.simulated,
                withdraws=withdraws,
                reviewer=self.reviewer,
                rationale=rationale.strip(),
            )
        )

    def as_shown(self, score: float) -> float:
        """A score of the model as it must read on the current case.

        On a case whose answer is shown reversed, an edited case is scored in
        reverse, too: otherwise the first edit would give the control away.

        Raises:
            RefusedError: the model's answer is still hidden.
        """
        revealed = self.revealed()
        planted = self._task().task == "planted"
        return mirrored(score, revealed.threshold) if planted else score

    def record_what_if(
        self,
        edits: Sequence[tuple[str, str, str]],
        expectation: str | None,
        score_before: float,
        score_after: float,
        *,
        event_id: str | None = None,
        case_id: str | None = None,
    ) -> Receipt:
        """Record an edit of the current case: exploratory evidence, never a rate.

        On a case whose answer is shown reversed the recorded step is
        ``"planted"``: such an edit says nothing about the model.

        Args:
            edits: ``(feature, value before, value after)`` each, as text.
            expectation: ``"up"``, ``"down"`` or ``"stay"``, said before the edit
                was applied, or ``None``.
            score_before, score_after: as shown, see :meth:`as_shown`.
            event_id: as for :meth:`submit`.
            case_id: what the page shows; refused unless it is current.

        Raises:
            RefusedError: the model's answer is still hidden, or another case is current.
            LedgerError: an edit that cannot be recorded.
        """
        as_text = tuple((str(f), str(old), str(new)) for f, old, new in edits)
        found = self.ledger.find(event_id) if event_id else None
        if found is not None:
            there = found[1]
            if (
                isinstance(there, WhatIf)
                and there.reviewer == self.reviewer
                and (there.edits == as_text or "edits" in there.redacted)
            ):
                return found[0]
            raise RefusedError(f"Record {event_id} is already taken by another answer.")
        task = self._task()
        if case_id is not None and case_id != task.case_id:
            raise RefusedError(self._why_not(case_id, task))
        self.revealed()
        receipt = self.ledger.append(
            WhatIf(
                event_id=event_id or str(uuid.uuid4()),
                at=utc_text(self._now()),
                plan_digest=self.plan_digest,
                model_digest=self.model_digest,
                simulated=self.simulated,
                case_id=task.case_id,
                reviewer=self.reviewer,
                edits=as_text,
                expectation=expectation,
                score_before=score_before,
                score_after=score_after,
                step="planted" if task.task == "planted" else task.step,
            )
        )
        self._show(_screen(task), "what-if")
        return receipt

    # ------------------------------------------------------------- inside

    def _at(self) -> tuple[Position, Task | None]:
        self._catch_up()
        task = self._queue.next_task(self.reviewer)
        judged = self._queue.done_by(self.reviewer)
        if task is None:
            return Position(None, "done", judged, judged, self._done_words(judged)), None
        total = judged + self._queue.waiting_for(self.reviewer)
        words = f"{judged + 1} of {total}"
        return Position(task.case_id, task.step, judged, total, words, task.due), task

    def _done_words(self, judged: int) -> str:
        if not self.sample.cases:
            return "There are no cases."
        if self.planned:
            if judged:
                return f"All {judged} cases are judged. Thank you."
            return f"No cases are assigned to {self.reviewer}."
        if judged >= len(self.sample.cases):
            return f"All {judged} cases are judged. Thank you."
        if judged:
            cases = "1 case" if judged == 1 else f"{judged} cases"
            return f"You have judged {cases}, and all others have their reviewers. Thank you."
        return "All cases have their reviewers; none is left for you. Thank you."

    def _task(self) -> Task:
        at, task = self._at()
        if task is None:
            raise RefusedError(at.words)
        return task

    def _expected(self, task: Task | None) -> str | None:
        """The case that an answer without one is about: the one that was last looked at."""
        if self._on_screen is not None:
            return self._on_screen.case_id
        return task.case_id if task else None

    def _why_not(self, case_id: str, task: Task | None) -> str:
        if task is None or case_id != task.case_id:
            why = self._queue.why_not(self.reviewer, case_id)
            if why:
                return why
        return (
            f"Case {case_id} is not waiting for this answer: it was answered in another "
            "window. Reload to go on."
        )

    def _is_mine(self, event: Judgment) -> bool:
        return (event.reviewer, event.model_digest, event.plan_digest) == (
            self.reviewer,
            self.model_digest,
            self.plan_digest,
        )

    def _find_own(self, event_id: str) -> Judgment | None:
        found = self.ledger.find(event_id)
        if found is None:
            raise RefusedError(f"There is no record {event_id}.")
        event = found[1]
        return event if isinstance(event, Judgment) and self._is_mine(event) else None

    def _judgment(
        self, given: Given, event_id: str | None, case_id: str | None, step: str | None
    ) -> tuple[Judgment, Assignment | None]:
        """The event to record, and the seat on the case that goes with a first answer."""
        at, task = self._at()
        expected = case_id or self._expected(task)
        if task is not None and expected is not None and expected != task.case_id:
            task = self._queue.open_task(self.reviewer, expected) or task
        if task is None or (expected, step or task.step) != (task.case_id, task.step):
            raise RefusedError(self._why_not(expected, task) if expected else at.words)
        self._check(task.step, given)
        shown = self._on(_screen(task))
        if task.step == "final" and "prediction" not in shown:
            raise RefusedError("The model's answer has not been shown yet.")
        now = self._now()
        drawn = self._drawn.get(task.case_id)
        model = None
        if task.step == "final":
            model = self._model(task.case_id, planted=task.task == "planted")
        judgment = Judgment(
            event_id=event_id or str(uuid.uuid4()),
            case_id=task.case_id,
            design=self.sample.design if drawn else "purposive",
            inclusion_probability=drawn.inclusion_probability if drawn else None,
            reviewer=self.reviewer,
            role=self.role,
            phase=task.step,
            answer=given.answer,
            confidence=given.confidence,
            reasons=given.reasons,
            rationale=given.rationale,
            note=given.note,
            shown=shown,
            model_digest=self.model_digest,
            plan_digest=self.plan_digest,
            at=utc_text(now),
            seconds=self._seconds(_screen(task), now),
            model_decision=model.decision if model else None,
            model_score=model.probability if model else None,
            simulated=self.simulated,
            task=task.task,
        )
        number = self._queue.seat_to_take(self.reviewer, task.case_id)
        if number is None:
            return judgment, None
        what = (task.case_id, self.plan_digest, self.model_digest, int(self.simulated))
        return judgment, Assignment(
            event_id=named_id("seat", *what, number),
            at=judgment.at,
            plan_digest=self.plan_digest,
            model_digest=self.model_digest,
            simulated=self.simulated,
            reviewer=self.reviewer,
            tasks=((task.case_id, task.task, ""),),
            by="queue",
        )

    def _record(self, judgment: Judgment, seat: Assignment | None = None) -> Receipt:
        """Record a judgment with what goes with it, all or nothing."""
        events: list[Event] = [judgment] if seat is None else [seat, judgment]
        asks = judgment.answer == "escalate" and judgment.task != "planted"
        if asks and self._request is not None:
            events.append(request_escalation(judgment, self._request))
        return self.ledger.append_all(events)[events.index(judgment)]

    def _take(self, event: Event) -> None:
        if isinstance(event, Judgment) and self._is_mine(event):
            self._own.setdefault(event.case_id, []).append(event)
        elif isinstance(event, Withdrawal):
            self._withdrawn.add(event.withdraws)
        elif isinstance(event, Redaction):
            for case_id, answers in self._own.items():
                self._own[case_id] = [without_words(answer, event) for answer in answers]

    def _known(self, event_id: str | None, given: Given, case_id: str | None) -> Receipt | None:
        found = self.ledger.find(event_id) if event_id else None
        if found is None:
            return None
        receipt, event = found
        if isinstance(event, Judgment):
            gone = event.redacted
            sent = given._replace(
                rationale="" if "rationale" in gone else given.rationale,
                note="" if "note" in gone else given.note,
            )
            there = Given(
                event.answer, event.confidence, event.reasons, event.rationale, event.note
            )
            about = case_id or event.case_id
            if (self.reviewer, about, sent) == (event.reviewer, event.case_id, there):
                return receipt
        raise RefusedError(f"Record {event_id} is already taken by another answer.")

    def _check(self, step: str, given: Given) -> None:
        check_answer(step, given, reasons=self.reasons, escalate_to=self.escalates_to)


def _screen(task: Task) -> tuple[str, str, str]:
    return (task.case_id, task.task, task.step)
