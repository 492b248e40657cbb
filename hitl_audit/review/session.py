"""One reviewer working through a sample: the state behind any judging page.

The ledger is the only memory: the place in the queue is what the ledger says
about this reviewer, so a restart, a second window or another machine comes
back at the same case and step. Under ``"blind-first"`` the model's answer
cannot be had before the reviewer's own is recorded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from hitl_audit.canonical import digest, utc_text
from hitl_audit.errors import InputError, LedgerError, did_you_mean
from hitl_audit.review.judgment import ANSWERS, Judgment
from hitl_audit.review.ledger import Ledger, Receipt
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.words import Scale, value_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PROTOCOLS", "Position", "RefusedError", "Revealed", "ReviewSession", "Step"]

PROTOCOLS = ("blind-first", "open")
Step = Literal["blind", "final", "done"]


class RefusedError(LedgerError):
    """The session did not take an answer; nothing was recorded.

    Attributes:
        field: where the reviewer should look: ``"answer"``, ``"reasons"``,
            ``"rationale"`` or ``""``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Revealed:
    """What the model says about one case.

    Attributes:
        decision: ``"favorable"`` or ``"unfavorable"``.
        probability: of the favorable outcome.
        threshold: from which the decision is favorable.
        contributions: ``(feature, value in words, attribution)`` each.
        reliable: the explanation passed the plan's bar.
        reason: why it did not, in words.
        scale: of the attributions.
        base: what the attributions start from, on their scale; ``None`` if unknown.
    """

    decision: Literal["favorable", "unfavorable"]
    probability: float
    threshold: float
    contributions: tuple[tuple[str, str, float], ...]
    reliable: bool = True
    reason: str = ""
    scale: Scale = "probability"
    base: float | None = None


@dataclass(frozen=True)
class Position:
    """Where the reviewer is.

    Attributes:
        case_id: the case to judge, ``None`` when the queue is exhausted.
        step: ``"blind"``, ``"final"`` or ``"done"``.
        judged, total: number of cases behind the reviewer, and in all.
        words: ``"3 of 20"`` when two are judged, or why there is no case.
    """

    case_id: str | None
    step: Step
    judged: int
    total: int
    words: str


class ReviewSession:
    """One reviewer's way through a sample of cases.

    Args:
        sample: the cases, in order of judging.
        cases: one row per case, the index holding the case ids, the column
            names and values as a person should read them.
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

    Raises:
        InputError: nobody is named, an unknown protocol, no reasons, or cases
            of the sample that have no row.
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
    ) -> None:
        _check(reviewer, role, protocol, reasons)
        self.sample = sample
        self.ledger = ledger
        self.reviewer = reviewer.strip()
        self.role = role.strip()
        self.model_digest = model_digest
        self.plan_digest = plan_digest
        self.reasons = tuple(reasons)
        self.favorable_label, self.unfavorable_label = labels
        self.protocol = protocol
        self.simulated = simulated
        self._values = _values(sample, cases)
        self._reveal = reveal
        self._now = now
        self._chances = {case.case_id: case.inclusion_probability for case in sample.cases}
        self._seen = 0
        self._answered: dict[tuple[str, str], Judgment] = {}
        self._shown: dict[tuple[str, str], list[str]] = {}
        self._since: dict[tuple[str, str], datetime] = {}
        self._revealed: dict[str, Revealed] = {}

    @property
    def key(self) -> str:
        """Name of this reviewer's queue, the same after a restart."""
        parts = [self.ledger.url, self.reviewer]
        return digest([*parts, self.model_digest, self.plan_digest])[7:23]

    def position(self) -> Position:
        """The current case and step, as the ledger has it."""
        self._catch_up()
        total = len(self.sample.cases)
        for judged, case in enumerate(self.sample.cases):
            for step in self._steps():
                if (case.case_id, step) not in self._answered:
                    return Position(case.case_id, step, judged, total, f"{judged + 1} of {total}")
        words = f"All {total} cases are judged. Thank you." if total else "There are no cases."
        return Position(None, "done", total, total, words)

    def case(self) -> tuple[tuple[str, str], ...]:
        """Names and values of the current case, in words; starts its clock.

        Raises:
            RefusedError: the queue is exhausted.
        """
        at = self.position()
        if at.case_id is None:
            raise RefusedError(at.words)
        self._show(at.case_id, at.step, "case")
        return self._values[at.case_id]

    def revealed(self) -> Revealed:
        """What the model says about the current case.

        Raises:
            RefusedError: the reviewer's own answer is not recorded yet, or the
                queue is exhausted.
        """
        at = self.position()
        if at.case_id is None:
            raise RefusedError(at.words)
        if at.step == "blind":
            raise RefusedError("The model's answer stays hidden until you have recorded your own.")
        if at.case_id not in self._revealed:
            self._revealed[at.case_id] = self._reveal(at.case_id)
        revealed = self._revealed[at.case_id]
        explanation = "explanation" if revealed.reliable else "explanation marked unreliable"
        self._show(at.case_id, at.step, "case", "prediction")
        if revealed.contributions:
            self._show(at.case_id, at.step, explanation)
        return revealed

    def own_decision(self) -> str | None:
        """The reviewer's recorded blind answer on the current case, or ``None``."""
        at = self.position()
        event = self._answered.get((at.case_id or "", "blind"))
        return event.answer if event else None

    def submit(
        self,
        answer: str,
        *,
        reasons: Sequence[str] = (),
        rationale: str = "",
        event_id: str | None = None,
        case_id: str | None = None,
        step: str | None = None,
    ) -> Receipt:
        """Record the answer to the current step.

        Args:
            answer: one of the answers of the step, see
                :data:`~hitl_audit.review.judgment.ANSWERS`.
            reasons: of the plan; needed to disagree.
            rationale: in the reviewer's words; needed to disagree.
            event_id: made by the page. Sending the same answer again under the
                same id returns the first receipt.
            case_id, step: what the page shows; refused unless it is current.

        Raises:
            RefusedError: with the words for the reviewer; nothing was recorded.
        """
        at = self.position()
        known = self._known(event_id, answer, reasons, rationale, case_id or at.case_id)
        if known is not None:
            return known
        if at.case_id is None:
            raise RefusedError(at.words)
        if (case_id or at.case_id, step or at.step) != (at.case_id, at.step):
            raise RefusedError(
                f"Case {case_id} is not waiting for this answer: it was answered in another "
                "window. Reload to go on."
            )
        self._check_answer(at.step, answer, reasons, rationale)
        key = (at.case_id, at.step)
        shown = self._shown.get(key, [])
        if at.step == "final" and "prediction" not in shown:
            raise RefusedError("The model's answer has not been shown yet.")
        now = self._now()
        return self.ledger.append(
            Judgment(
                event_id=event_id or str(uuid.uuid4()),
                case_id=at.case_id,
                design=self.sample.design,
                inclusion_probability=self._chances[at.case_id],
                reviewer=self.reviewer,
                role=self.role,
                phase=at.step,
                answer=answer,
                reasons=tuple(reasons),
                rationale=rationale.strip(),
                shown=tuple(shown),
                model_digest=self.model_digest,
                plan_digest=self.plan_digest,
                at=utc_text(now),
                seconds=self._seconds(key, now),
                model_decision=(
                    self._revealed[at.case_id].decision if at.step == "final" else None
                ),
                simulated=self.simulated,
            )
        )

    def correct(
        self,
        corrects: str,
        answer: str,
        *,
        reasons: Sequence[str] = (),
        rationale: str = "",
        event_id: str | None = None,
    ) -> Receipt:
        """Replace an earlier final verdict of this reviewer by a new event.

        Args:
            corrects: event id of the verdict; it stays in the ledger.
            answer, reasons, rationale, event_id: as for :meth:`submit`.

        Raises:
            RefusedError: with the words for the reviewer; nothing was recorded.
        """
        found = self.ledger.find(corrects)
        if found is None:
            raise RefusedError(f"There is no record {corrects} to correct.")
        old = found[1]
        if not isinstance(old, Judgment) or (old.reviewer, old.phase) not in {
            (self.reviewer, "final"),
            (self.reviewer, "correction"),
        }:
            raise RefusedError("Only your own final verdicts can be corrected.")
        known = self._known(event_id, answer, reasons, rationale, old.case_id)
        if known is not None:
            return known
        self._check_answer("correction", answer, reasons, rationale)
        now = self._now()
        return self.ledger.append(
            replace(
                old,
                event_id=event_id or str(uuid.uuid4()),
                phase="correction",
                answer=answer,
                reasons=tuple(reasons),
                rationale=rationale.strip(),
                at=utc_text(now),
                seconds=None,
                corrects=corrects,
                simulated=self.simulated,
            )
        )

    def _steps(self) -> tuple[Literal["blind", "final"], ...]:
        return ("blind", "final") if self.protocol == "blind-first" else ("final",)

    def _catch_up(self) -> None:
        """Read what was recorded since the last look, by this or any other process."""
        for seq, event in self.ledger.numbered(after=self._seen):
            self._seen = seq
            if not isinstance(event, Judgment):
                continue
            if (event.reviewer, event.model_digest, event.plan_digest) == (
                self.reviewer,
                self.model_digest,
                self.plan_digest,
            ):
                self._answered[event.case_id, event.phase] = event

    def _show(self, case_id: str, step: str, *items: str) -> None:
        shown = self._shown.setdefault((case_id, step), [])
        shown += [item for item in items if item not in shown]
        if (case_id, step) not in self._since:
            self._since[case_id, step] = self._now()

    def _seconds(self, key: tuple[str, str], now: datetime) -> float:
        elapsed = (now - self._since.get(key, now)).total_seconds()
        return round(max(0.0, elapsed), 3)  # a clock that was set back is no negative effort

    def _known(
        self,
        event_id: str | None,
        answer: str,
        reasons: Sequence[str],
        rationale: str,
        case_id: str | None,
    ) -> Receipt | None:
        found = self.ledger.find(event_id) if event_id else None
        if found is None:
            return None
        receipt, event = found
        if not isinstance(event, Judgment):
            raise RefusedError(f"Record {event_id} is already taken by another event.")
        sent = (self.reviewer, case_id, answer, tuple(reasons), rationale.strip())
        if sent != (event.reviewer, event.case_id, event.answer, event.reasons, event.rationale):
            raise RefusedError(f"Record {event_id} is already taken by another answer.")
        return receipt

    def _check_answer(self, step: str, answer: str, reasons: Sequence[str], rationale: str) -> None:
        if answer not in ANSWERS[step]:
            accepted = ", ".join(ANSWERS[step])
            got = f'got "{answer}"' if answer else "nothing was chosen"
            raise RefusedError(f"Choose an answer first: {got}; accepted: {accepted}.", "answer")
        for reason in reasons:
            if reason not in self.reasons:
                hint = did_you_mean(reason, self.reasons)
                raise RefusedError(
                    f'"{reason}" is no reason of the plan; accepted: '
                    f"{', '.join(self.reasons)}{hint}.",
                    "reasons",
                )
        if answer == "disagree" and not (reasons and rationale.strip()):
            raise RefusedError(
                "To disagree, pick a reason and say why in a few words.",
                "rationale" if reasons else "reasons",
            )


def _check(reviewer: str, role: str, protocol: str, reasons: Sequence[str]) -> None:
    if reviewer.strip().casefold() in ("", "anonymous"):
        raise InputError(f'review: reviewer is "{reviewer}"; expected the name of who judges')
    if not role.strip():
        raise InputError("review: role is empty; expected what the reviewer judges as")
    if protocol not in PROTOCOLS:
        raise InputError(
            f'review: protocol is "{protocol}"; accepted: {", ".join(PROTOCOLS)}'
            f"{did_you_mean(protocol, PROTOCOLS)}"
        )
    if isinstance(reasons, str) or not reasons:
        raise InputError("review: reasons is empty or one text; expected a list of reasons")


def _values(sample: CaseSample, cases: pd.DataFrame) -> dict[str, tuple[tuple[str, str], ...]]:
    names = [str(column) for column in cases.columns]
    ids = [str(row) for row in cases.index]
    if len(set(ids)) < len(ids):
        raise InputError("review: cases has repeated ids in its index; expected unique ids")
    absent = [case_id for case_id in sample.case_ids if case_id not in set(ids)]
    if absent:
        raise InputError(
            f"review: {len(absent)} sampled cases have no row in cases, first {absent[0]!r}"
        )
    wanted = set(sample.case_ids)
    return {
        case_id: tuple(zip(names, map(value_words, row), strict=True))
        for case_id, row in zip(ids, cases.itertuples(index=False, name=None), strict=True)
        if case_id in wanted
    }
