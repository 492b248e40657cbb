"""A third person decides the cases on which reviewers differ, without seeing who said what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hitl_audit.canonical import digest, utc_text
from hitl_audit.errors import LedgerError
from hitl_audit.review.desk import Desk
from hitl_audit.review.ids import named_id
from hitl_audit.review.judgment import ANSWERS, Adjudication, Judgment
from hitl_audit.review.ledger import Ledger, Receipt
from hitl_audit.review.protocol import Position, RefusedError, check_reasons, check_session
from hitl_audit.review.queue import ReviewQueue
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.words import CaseWords

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AdjudicationSession", "Argument", "Dissent"]


_TAKEN = "Somebody else has decided this case in the meantime. Reload to go on."


@dataclass(frozen=True)
class Argument:
    """What one reviewer said, without a name.

    Attributes:
        decision: what they want decided; ``None`` for *unsure* and *escalate*.
        answer: their verdict on the model's decision.
        reasons: reason codes of the plan.
        rationale: in their words; may be empty.
    """

    decision: str | None
    answer: str
    reasons: tuple[str, ...]
    rationale: str


@dataclass(frozen=True)
class Dissent:
    """How the reviewers of a case differ.

    Attributes:
        decisions: ``(decision, number of reviewers)``; ``"none"`` for those who
            ask for no decision.
        arguments: in an order that follows neither time nor name.
    """

    decisions: tuple[tuple[str, int], ...]
    arguments: tuple[Argument, ...]


class AdjudicationSession(Desk):
    """One adjudicator's way through the cases in conflict.

    A case on which the adjudicator has answered is never among them.

    Args:
        sample, cases, reveal, ledger, reviewer, role, model_digest, plan_digest,
            reasons, labels, simulated, now: as for
            :class:`~hitl_audit.review.session.ReviewSession`.
        reviewers_per_case, planned: as the reviewers' sessions have them; a case
            is in conflict only when all its verdicts are in.
        escalated: cases that were escalated are decided here, too.

    Raises:
        InputError: nobody is named, no reasons, or cases without a row.
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
        simulated: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reviewers_per_case: int | None = None,
        planned: bool = False,
        escalated: bool = False,
    ) -> None:
        check_session(reviewer, role, "open", reasons)
        queue = ReviewQueue(
            sample.case_ids,
            plan_digest=plan_digest,
            model_digest=model_digest,
            reviewers_per_case=reviewers_per_case,
            planned=planned,
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
            purpose=("adjudication",),
        )
        self._escalated = escalated

    def position(self) -> Position:
        """The case to decide, as the ledger has it; ``step`` is ``"final"`` or ``"done"``."""
        self._catch_up()
        waiting = self._queue.to_adjudicate(self.reviewer, escalated=self._escalated)
        done = self._queue.adjudicated_by(self.reviewer)
        total = done + len(waiting)
        if waiting:
            return Position(waiting[0], "final", done, total, f"{done + 1} of {total}")
        words = "No case waits for a third opinion."
        if done:
            cases = "1 case" if done == 1 else f"{done} cases"
            words = f"You have decided {cases}; none waits any more. Thank you."
        return Position(None, "done", done, total, words)

    def case(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the current case, in words; starts its clock.

        Raises:
            RefusedError: no case waits.
        """
        case_id = self._current()
        self._show(case_id, "case")
        return self._words.values(case_id)

    def revealed(self) -> Revealed:
        """What the model says about the current case.

        Raises:
            RefusedError: no case waits.
        """
        case_id = self._current()
        revealed = self._model(case_id)
        self._show_model(case_id, revealed)
        return revealed

    def dissent(self) -> Dissent:
        """How the reviewers of the current case differ, without names.

        Raises:
            RefusedError: no case waits.
        """
        verdicts = self._verdicts(self._current())
        arguments = tuple(
            Argument(verdict.decision, verdict.answer, verdict.reasons, verdict.rationale)
            for verdict in sorted(verdicts, key=lambda verdict: digest(verdict.event_id))
        )
        counts = Counter(argument.decision or "none" for argument in arguments)
        order = [name for name in ("favorable", "unfavorable", "none") if counts[name]]
        return Dissent(tuple((name, counts[name]) for name in order), arguments)

    def submit(
        self,
        answer: str,
        *,
        rationale: str,
        reasons: Sequence[str] = (),
        case_id: str | None = None,
    ) -> Receipt:
        """Record the decision on the current case; it settles the verdicts that stand.

        Two adjudicators who decide at the same time record one decision, and the
        other is told. After *unsure*, another third person is asked.

        Args:
            answer: ``"favorable"``, ``"unfavorable"`` or ``"unsure"``.
            rationale: why, in the adjudicator's words.
            reasons: of the plan.
            case_id: what the page shows; refused unless it is current.

        Raises:
            RefusedError: with the words for the adjudicator; nothing was recorded.
        """
        at = self.position()
        about = case_id or at.case_id
        if about is None:
            raise RefusedError(at.words)
        given = (answer, tuple(reasons), rationale.strip())
        known = self._known(about, given)
        if known is not None:
            return known
        if about != at.case_id:
            raise RefusedError(f"Case {about} is not waiting for you. Reload to go on.")
        if answer not in ANSWERS["blind"]:
            accepted = ", ".join(ANSWERS["blind"])
            raise RefusedError(f"Choose an answer first; accepted: {accepted}.", "answer")
        check_reasons(reasons, self.reasons)
        if not rationale.strip():
            raise RefusedError("To decide, say why in a few words.", "rationale")
        shown = self._on(about)
        if "prediction" not in shown:
            raise RefusedError("The model's answer has not been shown yet.")
        now = self._now()
        adjudication = Adjudication(
            event_id=named_id(
                *("adjudication", about, self.plan_digest, self.model_digest),
                *(int(self.simulated), len(self._queue.undecided(about))),
            ),
            at=utc_text(now),
            plan_digest=self.plan_digest,
            model_digest=self.model_digest,
            simulated=self.simulated,
            case_id=about,
            reviewer=self.reviewer,
            role=self.role,
            answer=answer,
            rationale=rationale.strip(),
            settles=tuple(sorted(verdict.event_id for verdict in self._verdicts(about))),
            reasons=tuple(reasons),
            shown=shown,
            seconds=self._seconds(about, now),
        )
        try:
            return self.ledger.append(adjudication)
        except LedgerError:
            if self.ledger.find(adjudication.event_id) is None:
                raise
            raise RefusedError(_TAKEN) from None

    def _current(self) -> str:
        at = self.position()
        if at.case_id is None:
            raise RefusedError(at.words)
        return at.case_id

    def _verdicts(self, case_id: str) -> tuple[Judgment, ...]:
        return self._queue.verdicts(case_id)

    def _known(self, case_id: str, given: tuple[str, tuple[str, ...], str]) -> Receipt | None:
        """The receipt of the same decision, sent before."""
        if case_id not in self._queue.case_ids:
            raise RefusedError(f"Case {case_id} is not part of this review.")
        decided = self._queue.adjudication(case_id)
        own = self._queue.undecided(case_id).get(self.reviewer)
        if decided is not None and decided.reviewer == self.reviewer:
            own = decided
        if own is not None:
            rationale = given[2] if "rationale" in own.redacted else own.rationale
            found = self.ledger.find(own.event_id)
            if found is not None and (own.answer, own.reasons, rationale) == given:
                return found[0]
            raise RefusedError(f"You have decided case {case_id} already.")
        if decided is not None:
            raise RefusedError(_TAKEN)
        return None
