"""What reviewers say about a case: judgments, withdrawals, adjudications."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from hitl_audit.review.event import Event, unknown

__all__ = [
    "ANSWERS",
    "CONFIDENCES",
    "DECISIONS",
    "SHOWN",
    "TASKS",
    "Adjudication",
    "Judgment",
    "Withdrawal",
]

DECISIONS = ("favorable", "unfavorable")
_VERDICTS = ("agree", "disagree", "unsure", "escalate")
ANSWERS: dict[str, tuple[str, ...]] = {
    "blind": (*DECISIONS, "unsure"),
    "final": _VERDICTS,
    "correction": _VERDICTS,
}
"""Accepted answers by phase. *Blind* is the reviewer's own decision before the
model's is shown; *final* the verdict on the model's; *correction* a new
verdict that replaces an earlier final one, which stays in the ledger."""

TASKS = ("ordinary", "gold", "planted", "repeat")
"""Why a reviewer got a case: *ordinary*; *gold*, its right answer is known;
*planted*, the model's decision was shown reversed; *repeat*, judged by the same
reviewer before. Nobody sees this while judging; the plan discloses it."""

SHOWN = ("case", "prediction", "explanation", "explanation marked unreliable", "what-if")
"""What can have been on screen; listed in an event in the order of appearance."""

CONFIDENCES = (1, 2, 3, 4, 5)
"""How sure a reviewer is of a blind answer, from 1 (a guess) to 5 (certain)."""


@dataclass(frozen=True, kw_only=True)
class Judgment(Event):
    """One step of one reviewer on one case.

    Attributes:
        case_id: pseudonymous id of the case.
        design: how the case was sampled, for example ``"random"``.
        inclusion_probability: chance of the case to be in the sample, (0, 1];
            ``None`` for a case picked by hand, which enters no rate.
        reviewer, role: who judged (a pseudonym, if the plan says so), and as what.
        phase: ``"blind"``, ``"final"`` or ``"correction"``.
        answer: one of :data:`ANSWERS` of the phase.
        confidence: of a blind answer, one of :data:`CONFIDENCES`, if given.
        reasons: reason codes of the plan.
        rationale, note: why, and what else, in the reviewer's words; redactable.
        shown: what was on screen, in order, from :data:`SHOWN`.
        seconds: time on task of this step; ``None`` if it was not measured.
        model_decision: the model's decision as shown, ``"favorable"`` or
            ``"unfavorable"``; ``None`` while it was hidden.
        model_score: the score as shown; ``None`` while it was hidden.
        corrects: event id of the verdict that this correction replaces.
        task: one of :data:`TASKS`.
        source: where an imported judgment was made; ``""`` for this toolkit.
    """

    KIND: ClassVar[str] = "judgment"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale", "note")

    case_id: str
    design: str
    inclusion_probability: float | None
    reviewer: str
    role: str
    phase: str
    answer: str
    confidence: int | None = None
    reasons: tuple[str, ...] = ()
    rationale: str = ""
    note: str = ""
    shown: tuple[str, ...] = ()
    seconds: float | None = None
    model_decision: str | None = None
    model_score: float | None = None
    corrects: str | None = None
    task: str = "ordinary"
    source: str = ""

    @property
    def decision(self) -> str | None:
        """What the reviewer wants decided: *favorable* or *unfavorable*.

        A blind answer as it is; of a verdict, the model's decision on *agree* and
        the other one on *disagree*. ``None`` on *unsure* and *escalate*.
        """
        if self.phase == "blind":
            return self.answer if self.answer in DECISIONS else None
        if self.model_decision is None or self.answer not in ("agree", "disagree"):
            return None
        if self.answer == "agree":
            return self.model_decision
        return DECISIONS[1 - DECISIONS.index(self.model_decision)]

    def problems(self) -> list[str]:
        """What keeps the judgment from being recorded, in words."""
        problems = super().problems() + self._empty("case_id", "design", "reviewer", "role")
        if self.reviewer.strip().casefold() == "anonymous":
            problems.append('reviewer is "anonymous"; expected who judged')
        chance = self.inclusion_probability
        if (chance is None) != (self.design == "purposive"):
            problems.append(
                f"inclusion_probability is {chance} and design is {self.design!r}; expected none "
                "for, and only for, purposive cases"
            )
        if chance is not None and not 0 < chance <= 1:
            problems.append(f"inclusion_probability is {chance}; expected 0 < p <= 1")
        problems += seconds_problems(self.seconds)
        if self.task not in TASKS:
            problems.append(unknown("task", self.task, TASKS))
        return problems + self._answer_problems()

    def _answer_problems(self) -> list[str]:
        accepted = ANSWERS.get(self.phase)
        if accepted is None:
            return [unknown("phase", self.phase, ANSWERS)]
        problems = []
        if self.answer not in accepted:
            problems.append(unknown("answer", self.answer, accepted))
        problems += [unknown("shown", item, SHOWN) for item in self.shown if item not in SHOWN]
        if self.model_decision not in (None, *DECISIONS):
            problems.append(unknown("model_decision", self.model_decision, DECISIONS))
        hidden = self.model_decision is None and self.model_score is None
        if self.phase == "blind" and (not hidden or set(self.shown) - {"case"}):
            problems.append(
                "a blind answer is given before the model's is shown; expected only the case"
            )
        if self.confidence not in (None, *CONFIDENCES):
            problems.append(f"confidence is {self.confidence!r}; accepted: none, or 1 to 5")
        if self.answer == "disagree" and not self.reasons:
            problems.append("reasons is empty; to disagree, at least one reason code is needed")
        if self.answer == "disagree" and not self.rationale.strip():
            problems.append("rationale is empty; to disagree, say why in a few words")
        if (self.phase == "correction") != (self.corrects is not None):
            problems.append(
                'corrects goes with phase "correction": '
                f"got phase {self.phase!r} and corrects {self.corrects!r}"
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class Withdrawal(Event):
    """A reviewer takes a judgment back; it stays in the ledger and enters no number.

    Attributes:
        withdraws: event id of the judgment.
        reviewer: whose it was.
        rationale: why, in their words; redactable.
    """

    KIND: ClassVar[str] = "withdrawal"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale",)

    withdraws: str
    reviewer: str
    rationale: str

    def problems(self) -> list[str]:
        """What keeps the withdrawal from being recorded, in words."""
        return super().problems() + self._empty("withdraws", "reviewer", "rationale")


@dataclass(frozen=True, kw_only=True)
class Adjudication(Event):
    """A third person decides a case on which reviewers differ, without seeing who said what.

    Attributes:
        case_id: the case.
        reviewer, role: who decided, and as what; never one of those who differ.
        answer: ``"favorable"``, ``"unfavorable"`` or ``"unsure"``.
        reasons, rationale: why; the rationale is redactable.
        shown: what was on screen, in order.
        seconds: time on task; ``None`` if it was not measured.
        settles: event ids of the verdicts that differ.
    """

    KIND: ClassVar[str] = "adjudication"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale",)

    case_id: str
    reviewer: str
    role: str
    answer: str
    rationale: str
    settles: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    seconds: float | None = None

    def problems(self) -> list[str]:
        """What keeps the adjudication from being recorded, in words."""
        problems = super().problems()
        problems += self._empty("case_id", "reviewer", "role", "rationale")
        if self.answer not in ANSWERS["blind"]:
            problems.append(unknown("answer", self.answer, ANSWERS["blind"]))
        if not self.settles:
            problems.append("settles is empty; expected the verdicts that differ")
        return problems + seconds_problems(self.seconds)


def seconds_problems(seconds: float | None) -> list[str]:
    """What is wrong with a time on task."""
    if seconds is None or 0 <= seconds < math.inf:
        return []
    return [f"seconds is {seconds}; expected 0 or more"]
