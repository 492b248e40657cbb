"""What stands: the events of a review, folded into one answer per case, reviewer and task. Pure.

A correction replaces the verdict it corrects; of several, the last one stands. A
withdrawal removes what it withdraws; a verdict that had been replaced before
does not come back, because its author had given it up. A redaction destroys
words and changes no answer. An adjudication settles its case.

The human decision on a case is the adjudicated one; without an adjudication it
is that of the majority of the reviewers who decided. A tie is no decision, and
*unsure* and *escalate* are no votes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import DECISIONS, Adjudication, Judgment, Withdrawal
from hitl_audit.review.sampling import CaseSample

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "Answers", "CaseDecision", "Excluded", "majority", "standing_answers"]

Key = tuple[str, str, str]

OTHER_MODEL = "on another model"
OTHER_PLAN = "under another plan"
OUTSIDE = "on a case outside the sample"
BY_HAND = "on a case picked by hand, which enters no rate"
WITHDRAWN = "withdrawn by its author"
NOT_THEIRS = "withdraws what somebody else said"
NOTHING_THERE = "corrects or withdraws a record that is not there"
OWN_CASE = "adjudicates a case on which the same person had given a verdict"


@dataclass(frozen=True)
class Answer:
    """What one reviewer's answers on one case, as one kind of task, come to.

    Attributes:
        case_id, reviewer, role, task: which case, who, as what, and as what task.
        inclusion_probability: π of the case; ``None`` for a case without one.
        blind: the answer before the model's was shown, or ``None``.
        confidence: of the blind answer, 1 to 5, if given.
        verdict: the last verdict on the model's decision, or ``None``.
        decision: what the verdict decides, ``"favorable"`` or ``"unfavorable"``;
            ``None`` on *unsure*, *escalate* or no verdict.
        model_decision, model_score: the model's, as shown with the verdict.
        reasons: codes of the last verdict.
        shown: what was on screen for the last verdict.
        seconds: time on task of all steps together; ``None`` if none was measured.
        blind_at, verdict_at: UTC text; of the first verdict, where it was corrected.
        blind_id, verdict_id: event ids of what stands, ``""`` without one.
        corrections: how often the verdict was replaced.
        simulated: at least one step was made by a program.
    """

    case_id: str
    reviewer: str
    role: str
    task: str
    inclusion_probability: float | None
    blind: str | None = None
    confidence: int | None = None
    verdict: str | None = None
    decision: str | None = None
    model_decision: str | None = None
    model_score: float | None = None
    reasons: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    seconds: float | None = None
    blind_at: str = ""
    verdict_at: str = ""
    blind_id: str = ""
    verdict_id: str = ""
    corrections: int = 0
    simulated: bool = False

    @property
    def blind_decision(self) -> str | None:
        """The blind answer, if it is a decision."""
        return self.blind if self.blind in DECISIONS else None


@dataclass(frozen=True)
class CaseDecision:
    """What people decided on one case.

    Attributes:
        case_id: the case.
        inclusion_probability: π; ``None`` for a case without one.
        decision: theirs, after they had seen the model's; ``None`` if none was reached.
        how: ``"adjudicated"``, ``"one reviewer"``, ``"unanimous"``, ``"majority"``,
            ``"tie"`` or ``"undecided"`` (nobody decided).
        blind: majority of the decisions made before the model's was shown; ``None``
            without one, or in a tie.
        model_decision: the model's, as shown; ``None`` if it never was.
        model_score: the score, as shown.
        reviewers: people with a verdict.
        decided: those of them who decided.
        dissent: those of them who decided otherwise than ``decision``.
        escalated: somebody escalated, and nobody has adjudicated.
        decided_at: UTC text of the first verdict on the case, ``""`` without one.
    """

    case_id: str
    inclusion_probability: float | None
    decision: str | None
    how: str
    blind: str | None
    model_decision: str | None
    model_score: float | None
    reviewers: int
    decided: int
    dissent: int
    escalated: bool
    decided_at: str

    @property
    def overrides(self) -> bool | None:
        """The people decided otherwise than the model; ``None`` if either did not decide."""
        if self.decision is None or self.model_decision is None:
            return None
        return self.decision != self.model_decision


@dataclass(frozen=True)
class Excluded:
    """An event that enters no number, and why."""

    event_id: str
    kind: str
    case_id: str
    why: str


@dataclass(frozen=True)
class Answers:
    """Everything that stands, and everything that does not count.

    Attributes:
        answers: one per case, reviewer and task, in order of their first event.
        adjudications: the last one on each case.
        excluded: events that enter no number.
        corrections: of verdicts that are counted or were replaced.
    """

    answers: tuple[Answer, ...]
    adjudications: tuple[Adjudication, ...]
    excluded: tuple[Excluded, ...]
    corrections: int

    def of_task(self, *tasks: str) -> tuple[Answer, ...]:
        """The answers given to these kinds of task; only *ordinary* ones enter rates."""
        return tuple(answer for answer in self.answers if answer.task in tasks)

    def cases(self) -> tuple[CaseDecision, ...]:
        """What people decided on each case with at least one ordinary answer."""
        settled = {event.case_id: event for event in self.adjudications}
        members: dict[str, list[Answer]] = {}
        for answer in self.of_task("ordinary"):
            members.setdefault(answer.case_id, []).append(answer)
        return tuple(_decided(rows, settled.get(case)) for case, rows in members.items())

    def ratings(self, phase: str = "final") -> pd.DataFrame:
        """Cases × reviewers, for coefficients of agreement; a missing cell is no answer.

        Args:
            phase: ``"blind"`` for answers before the model's was shown,
                ``"final"`` for what the verdicts decide, ``"verdict"`` for the
                verdicts as given.

        Raises:
            InputError: another phase.
        """
        import pandas as pd

        places = {"blind": "blind", "final": "decision", "verdict": "verdict"}
        if phase not in places:
            raise InputError(
                f'ratings: phase is "{phase}"; accepted: {", ".join(places)}'
                f"{did_you_mean(phase, places)}"
            )
        cells: dict[str, dict[str, str]] = {}
        names: dict[str, None] = {}
        for answer in self.of_task("ordinary"):
            value = getattr(answer, places[phase])
            if value is not None:
                cells.setdefault(answer.case_id, {})[answer.reviewer] = value
                names[answer.reviewer] = None
        rows = [[row.get(name) for name in names] for row in cells.values()]
        index = pd.Index(list(cells), name="case_id", dtype=object)
        return pd.DataFrame(rows, index=index, columns=list(names), dtype=object)

    def frame(self) -> pd.DataFrame:
        """One row per answer; for the people inside, never for a document."""
        import pandas as pd

        columns = [f.name for f in fields(Answer)]
        return pd.DataFrame([asdict(answer) for answer in self.answers], columns=columns)


def standing_answers(
    events: Iterable[Event],
    sample: CaseSample | None = None,
    *,
    model_digest: str | None = None,
    plan_digest: str | None = None,
) -> Answers:
    """Fold the events of a review into what stands.

    Args:
        events: of every kind, in the order of the ledger; an event that occurs
            twice counts once. Kinds that answer nothing are passed over.
        sample: count ordinary and repeated answers only on its cases, with its
            inclusion probabilities; ``None`` takes both from the events. Gold
            and planted tasks need not be in it.
        model_digest, plan_digest: count only events on this model, under this
            plan; ``None`` counts all.
    """
    fold = _Fold(
        None if sample is None else {c.case_id: c.inclusion_probability for c in sample.cases},
        {"model_digest": model_digest, "plan_digest": plan_digest},
    )
    seen = set()
    for event in events:
        if event.event_id in seen:
            continue
        seen.add(event.event_id)
        if isinstance(event, Judgment):
            fold.judgment(event)
        elif isinstance(event, Withdrawal):
            fold.withdrawal(event)
        elif isinstance(event, Adjudication):
            fold.adjudication(event)
    return fold.answers()


def majority(votes: Iterable[str | None]) -> str | None:
    """The decision of most; ``None`` in a tie or without a vote. ``None`` is no vote."""
    counted = Counter(vote for vote in votes if vote is not None).most_common(2)
    if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]


class _Fold:
    """The steps that stand so far."""

    def __init__(
        self, chances: dict[str, float | None] | None, wanted: dict[str, str | None]
    ) -> None:
        self.chances = chances
        self.wanted = wanted
        self.steps: dict[str, Judgment] = {}
        self.blind: dict[Key, str] = {}
        self.verdict: dict[Key, str] = {}
        self.steps_of: dict[Key, list[Judgment]] = {}
        self.corrected: Counter[Key] = Counter()
        self.settled: dict[str, list[Adjudication]] = {}
        self.withdrawn: set[str] = set()
        self.excluded: list[Excluded] = []

    def judgment(self, event: Judgment) -> None:
        why = self._other(event) or self._misplaced(event)
        key = (event.case_id, event.reviewer, event.task)
        if not why and event.phase == "correction":
            old = self.steps.get(event.corrects or "")
            if old is None or (old.case_id, old.reviewer, old.task) != key:
                why = NOTHING_THERE
        if why:
            self._exclude(event, event.case_id, why)
            return
        self.steps[event.event_id] = event
        self.steps_of.setdefault(key, []).append(event)
        if event.phase == "correction":
            self.corrected[key] += 1
        (self.blind if event.phase == "blind" else self.verdict)[key] = event.event_id

    def withdrawal(self, event: Withdrawal) -> None:
        step = self.steps.get(event.withdraws)
        ruling = next(
            (a for row in self.settled.values() for a in row if a.event_id == event.withdraws), None
        )
        target = step or ruling
        if why := self._other(event):
            self._exclude(event, target.case_id if target else "", why)
        elif target is None:
            self._exclude(event, "", NOTHING_THERE)
        elif target.reviewer != event.reviewer:
            self._exclude(event, target.case_id, NOT_THEIRS)
        elif target.event_id not in self.withdrawn:
            self.withdrawn.add(target.event_id)
            self._exclude(target, target.case_id, WITHDRAWN)

    def adjudication(self, event: Adjudication) -> None:
        if why := self._other(event) or self._outside(event.case_id):
            self._exclude(event, event.case_id, why)
        else:
            self.settled.setdefault(event.case_id, []).append(event)

    def answers(self) -> Answers:
        found = []
        for key in self.steps_of:
            answer = self._answer(key)
            if answer.blind is not None or answer.verdict is not None:
                found.append(answer)
        judges = {(a.case_id, a.reviewer) for a in found if a.task == "ordinary" and a.verdict}
        rulings = []
        for case, row in self.settled.items():
            stands = None
            for event in row:
                if event.event_id in self.withdrawn:
                    continue
                if (case, event.reviewer) in judges:
                    self._exclude(event, case, OWN_CASE)
                else:
                    stands = event
            if stands is not None:
                rulings.append(stands)
        return Answers(
            tuple(found), tuple(rulings), tuple(self.excluded), sum(self.corrected.values())
        )

    def _answer(self, key: Key) -> Answer:
        case_id, reviewer, task = key
        own = [step for step in self.steps_of[key] if step.event_id not in self.withdrawn]
        last = self.steps_of[key][-1]
        answer = Answer(
            case_id=case_id,
            reviewer=reviewer,
            role=last.role,
            task=task,
            inclusion_probability=(
                last.inclusion_probability
                if self.chances is None
                else self.chances.get(case_id, last.inclusion_probability)
            ),
            seconds=_total(step.seconds for step in own),
            corrections=self.corrected[key],
            simulated=any(step.simulated for step in own),
        )
        blind = self._standing(self.blind.get(key))
        if blind is not None:
            answer = replace(
                answer,
                blind=blind.answer,
                confidence=blind.confidence,
                blind_at=blind.at,
                blind_id=blind.event_id,
            )
        verdict = self._standing(self.verdict.get(key))
        if verdict is not None:
            answer = replace(
                answer,
                verdict=verdict.answer,
                decision=verdict.decision,
                model_decision=verdict.model_decision,
                model_score=verdict.model_score,
                reasons=verdict.reasons,
                shown=verdict.shown,
                verdict_at=next(step.at for step in own if step.phase != "blind"),
                verdict_id=verdict.event_id,
            )
        return answer

    def _standing(self, event_id: str | None) -> Judgment | None:
        if event_id is None or event_id in self.withdrawn:
            return None
        return self.steps[event_id]

    def _other(self, event: Event) -> str:
        for name, why in (("model_digest", OTHER_MODEL), ("plan_digest", OTHER_PLAN)):
            if self.wanted[name] not in (None, getattr(event, name)):
                return why
        return ""

    def _outside(self, case_id: str) -> str:
        if self.chances is None or case_id in self.chances:
            return ""
        return OUTSIDE

    def _misplaced(self, event: Judgment) -> str:
        if event.task in ("gold", "planted"):
            return ""
        chances = self.chances
        if chances is None:
            return "" if event.inclusion_probability is not None else BY_HAND
        if event.case_id in chances:
            return "" if chances[event.case_id] is not None else BY_HAND
        return BY_HAND if event.inclusion_probability is None else OUTSIDE

    def _exclude(self, event: Event, case_id: str, why: str) -> None:
        self.excluded.append(Excluded(event.event_id, event.KIND, case_id, why))


def _decided(answers: list[Answer], ruling: Adjudication | None) -> CaseDecision:
    """One case, from the answers of its reviewers and the adjudication, if there is one."""
    verdicts = [answer for answer in answers if answer.verdict is not None]
    votes = [answer.decision for answer in verdicts if answer.decision is not None]
    decision = majority(votes)
    if ruling is not None:
        decision = ruling.answer if ruling.answer in DECISIONS else None
        how = "adjudicated"
    elif not votes:
        how = "undecided"
    elif decision is None:
        how = "tie"
    elif len(votes) == 1:
        how = "one reviewer"
    else:
        how = "unanimous" if len(set(votes)) == 1 else "majority"
    shown = next((a for a in verdicts if a.model_decision is not None), None)
    return CaseDecision(
        case_id=answers[0].case_id,
        inclusion_probability=answers[0].inclusion_probability,
        decision=decision,
        how=how,
        blind=majority(answer.blind_decision for answer in answers),
        model_decision=shown.model_decision if shown else None,
        model_score=shown.model_score if shown else None,
        reviewers=len(verdicts),
        decided=len(votes),
        dissent=sum(vote != decision for vote in votes) if decision else 0,
        escalated=ruling is None and any(a.verdict == "escalate" for a in verdicts),
        decided_at=min((a.verdict_at for a in verdicts), default=""),
    )


def _total(seconds: Iterable[float | None]) -> float | None:
    measured = [value for value in seconds if value is not None]
    return sum(measured) if measured else None
