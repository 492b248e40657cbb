"""What else a review keeps on record: who reviews, who got which case, what was raised,
tried, changed, approved and redacted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from hitl_audit.review.event import Event, unknown
from hitl_audit.review.judgment import TASKS

__all__ = [
    "ACTIONS",
    "EXPECTATIONS",
    "Approval",
    "AssignedTask",
    "Assignment",
    "Change",
    "Escalation",
    "Measure",
    "Redaction",
    "Resolution",
    "Reviewer",
    "WhatIf",
]

ACTIONS = ("relabel", "reweight", "threshold", "features", "retrain")
"""What a change record can be about."""

EXPECTATIONS = ("up", "down", "stay")
"""What a person expects an edit to do to the score."""


@dataclass(frozen=True, kw_only=True)
class Reviewer(Event):
    """Someone who may judge; the latest record of a reviewer counts.

    Attributes:
        reviewer: the id that judgments carry; a pseudonym, if the plan says so.
        name: the person's name; redactable.
        role: as what they judge.
        competence: why they are able to judge, for example ``"underwriter, 12 years"``.
        authority: what they may decide, for example ``"may override the model"``.
        identified_by: how it is known who they are: ``"declared"`` at a sign-in,
            ``"command line"``, ``"proxy header"``; ``""`` in a notebook.
    """

    KIND: ClassVar[str] = "reviewer"
    PERSONAL: ClassVar[tuple[str, ...]] = ("name",)

    reviewer: str
    role: str
    name: str = ""
    competence: str = ""
    authority: str = ""
    identified_by: str = ""

    def problems(self) -> list[str]:
        """What keeps the record from being kept, in words."""
        return super().problems() + self._empty("reviewer", "role")


class AssignedTask(NamedTuple):
    """One case given to one reviewer: which, as what kind of task, until when.

    ``due`` is UTC text, or ``""`` without a due time.
    """

    case_id: str
    task: str
    due: str = ""


@dataclass(frozen=True, kw_only=True)
class Assignment(Event):
    """Cases given to a reviewer, or taken from them, in order of judging.

    Attributes:
        reviewer: who gets or loses the cases.
        tasks: the cases, each ``(case_id, task, due)``.
        takes_back: the tasks are taken from the reviewer.
        by: who decided so, for example ``"plan"``.
        reason: why.
    """

    KIND: ClassVar[str] = "assignment"

    reviewer: str
    tasks: tuple[tuple[str, str, str], ...]
    by: str
    reason: str = ""
    takes_back: bool = False

    def problems(self) -> list[str]:
        """What keeps the assignment from being recorded, in words."""
        problems = super().problems() + self._empty("reviewer", "by")
        for _, task, _ in self.tasks:
            if task not in TASKS:
                problems.append(unknown("tasks", task, TASKS))
        return problems


@dataclass(frozen=True, kw_only=True)
class Escalation(Event):
    """Something that a person in a role must decide before a deadline.

    Attributes:
        condition: what raised it, for example ``"conflict between reviewers"``.
        subject: what it is about: a case id, or a group such as ``"race: black"``.
        role: who must decide.
        deadline: UTC text; ``""`` without one.
        raised_by: a reviewer's id, or ``"plan"`` for a condition of the plan.
        rationale: in the words of who raised it; redactable.
    """

    KIND: ClassVar[str] = "escalation"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale",)

    condition: str
    subject: str
    role: str
    raised_by: str
    deadline: str = ""
    rationale: str = ""

    def problems(self) -> list[str]:
        """What keeps the escalation from being recorded, in words."""
        return super().problems() + self._empty("condition", "subject", "role", "raised_by")


@dataclass(frozen=True, kw_only=True)
class Resolution(Event):
    """How an escalation was settled, by whom.

    Attributes:
        resolves: event id of the escalation.
        reviewer, role: who settled it, and as what.
        outcome: what was decided, in a few words.
        rationale: why; redactable.
    """

    KIND: ClassVar[str] = "resolution"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale",)

    resolves: str
    reviewer: str
    role: str
    outcome: str
    rationale: str

    def problems(self) -> list[str]:
        """What keeps the resolution from being recorded, in words."""
        empty = self._empty("resolves", "reviewer", "role", "outcome", "rationale")
        return super().problems() + empty


@dataclass(frozen=True, kw_only=True)
class WhatIf(Event):
    """One edit of a case on the what-if panel: exploratory evidence, never a rate.

    Attributes:
        case_id: the case that was edited.
        reviewer: who edited it.
        edits: ``(feature, value before, value after)`` each, as text; redactable,
            because they describe a person.
        expectation: what the reviewer expected, one of :data:`EXPECTATIONS`, said
            before the edit was applied; ``None`` if nothing was said.
        score_before, score_after: the model's scores.
        step: where in the protocol it happened, for example ``"final"``.
    """

    KIND: ClassVar[str] = "what-if"
    PERSONAL: ClassVar[tuple[str, ...]] = ("edits",)

    case_id: str
    reviewer: str
    score_before: float
    score_after: float
    step: str
    edits: tuple[tuple[str, str, str], ...] = ()
    expectation: str | None = None

    def problems(self) -> list[str]:
        """What keeps the edit from being recorded, in words."""
        problems = super().problems() + self._empty("case_id", "reviewer", "step")
        if not self.edits:
            problems.append("edits is empty; expected what was edited")
        if self.expectation not in (None, *EXPECTATIONS):
            problems.append(unknown("expectation", self.expectation, EXPECTATIONS))
        return problems


class Measure(NamedTuple):
    """One measure before and after a change, on the same rows, in one group (``""``: all)."""

    metric: str
    group: str
    n: int
    before: float | None
    after: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Change(Event):
    """A change that judgments led to, proposed by one person, approved by another.

    Attributes:
        action: one of :data:`ACTIONS`.
        description: what changes, in words.
        triggers: event ids of the judgments that led to it.
        proposer: who proposes it.
        before_digest, after_digest: of what is changed (model, data or plan).
        holdout_digest: of the rows on which it was compared; they are in
            neither training nor estimation.
        measures: before and after, as the fields of :class:`Measure`, with the
            interval of the paired difference.
        expires: UTC text until when it may be applied.
    """

    KIND: ClassVar[str] = "change"

    action: str
    description: str
    triggers: tuple[str, ...]
    proposer: str
    before_digest: str
    after_digest: str
    expires: str
    holdout_digest: str = ""
    measures: tuple[
        tuple[str, str, int, float | None, float | None, float | None, float | None], ...
    ] = ()

    def problems(self) -> list[str]:
        """What keeps the change from being recorded, in words."""
        problems = super().problems()
        problems += self._empty(
            "description", "proposer", "before_digest", "after_digest", "expires"
        )
        if self.action not in ACTIONS:
            problems.append(unknown("action", self.action, ACTIONS))
        if not self.triggers:
            problems.append("triggers is empty; expected the judgments that led to the change")
        return problems


@dataclass(frozen=True, kw_only=True)
class Approval(Event):
    """Someone other than the proposer approves or rejects a change.

    Attributes:
        approves: event id of the change.
        approver, role: who decides, and as what.
        approved: yes or no.
        rationale: why; redactable.
    """

    KIND: ClassVar[str] = "approval"
    PERSONAL: ClassVar[tuple[str, ...]] = ("rationale",)

    approves: str
    approver: str
    role: str
    approved: bool
    rationale: str

    def problems(self) -> list[str]:
        """What keeps the approval from being recorded, in words."""
        return super().problems() + self._empty("approves", "approver", "role", "rationale")


@dataclass(frozen=True, kw_only=True)
class Redaction(Event):
    """Words of an earlier event were destroyed on request; the hashes stay.

    Attributes:
        redacts: event id.
        fields: names of the fields.
        by: who did it.
        reason: on what ground, for example ``"erasure request of 2026-11-02"``.
    """

    KIND: ClassVar[str] = "redaction"

    redacts: str
    fields: tuple[str, ...]
    by: str
    reason: str

    def problems(self) -> list[str]:
        """What keeps the redaction from being recorded, in words."""
        problems = super().problems() + self._empty("redacts", "by", "reason")
        if not self.fields:
            problems.append("fields is empty; expected the names of the fields")
        return problems
