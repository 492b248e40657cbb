"""What stands: the events of a review, folded into one answer per case, reviewer and task. Pure.

A correction replaces the verdict it corrects; of several, the last one stands. A
withdrawal removes what it withdraws; a verdict that had been replaced before
does not come back, because its author had given it up. A redaction destroys
words and changes no answer. An adjudication settles its case, unless the
adjudicator is unsure too.

The human decision on a case is the adjudicated one; without an adjudication it
is that of the majority of the reviewers who decided. A tie is no decision, and
*unsure* and *escalate* are no votes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from hitl_audit.review.case_answers import Answer, Answers, CaseDecision, Excluded, majority
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import DECISIONS, Adjudication, Judgment, Withdrawal
from hitl_audit.review.sampling import CaseSample

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


def standing_answers(
    events: Iterable[Event],
    sample: CaseSample | None = None,
    *,
    model_digest: str | None = None,
    plan_digest: str | None = None,
    purposive: bool = False,
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
        purposive: keep cases picked by hand. They may teach a model; they may
            never enter a rate.
    """
    fold = _Fold(
        None if sample is None else {c.case_id: c.inclusion_probability for c in sample.cases},
        {"model_digest": model_digest, "plan_digest": plan_digest},
        purposive=purposive,
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


class _Fold:
    """The steps that stand so far."""

    def __init__(
        self,
        chances: dict[str, float | None] | None,
        wanted: dict[str, str | None],
        *,
        purposive: bool,
    ) -> None:
        self.purposive = purposive
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
        judges = {
            (a.case_id, _person(a.reviewer)) for a in found if a.task == "ordinary" and a.verdict
        }
        rulings = []
        for case, row in self.settled.items():
            stands = None
            for event in row:
                if event.event_id in self.withdrawn:
                    continue
                if (case, _person(event.reviewer)) in judges:
                    self._exclude(event, case, OWN_CASE)
                elif event.answer in DECISIONS:
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
        if self.purposive and event.inclusion_probability is None:
            return self._outside(event.case_id)
        chances = self.chances
        if chances is None:
            return "" if event.inclusion_probability is not None else BY_HAND
        if event.case_id in chances:
            return "" if chances[event.case_id] is not None else BY_HAND
        return BY_HAND if event.inclusion_probability is None else OUTSIDE

    def _exclude(self, event: Event, case_id: str, why: str) -> None:
        self.excluded.append(Excluded(event.event_id, event.KIND, case_id, why))


def _person(reviewer: str) -> str:
    return reviewer.strip().casefold()


def _total(seconds: Iterable[float | None]) -> float | None:
    measured = [value for value in seconds if value is not None]
    return sum(measured) if measured else None
