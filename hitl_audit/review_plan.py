"""The section of a plan that says who judges which cases, and how: ``[review]``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hitl_audit.plan_sections import PlanSection

__all__ = ["EscalationSection", "ReviewSection", "ReviewerSection"]

DEFAULT_REASONS = (
    "A factor that matters is missing",
    "A factor weighs too much",
    "A factor weighs too little",
    "The data about this person look wrong",
    "The decision would be unfair",
    "Something else",
)

PriorityName = Literal["threshold", "entropy", "flip"]
ConditionName = Literal[
    "low confidence",
    "group gap",
    "unreliable explanation",
    "conflict between reviewers",
    "an expert's request",
]


class ReviewerSection(PlanSection):
    """``[[review.reviewers]]``: someone who is to judge, and what makes them able to.

    Without any, whoever is named when the page opens may judge.
    """

    name: str = Field(min_length=1, max_length=100)
    role: str = Field("domain expert", min_length=1, max_length=60)
    competence: str = ""
    authority: str = ""


class EscalationSection(PlanSection):
    """``[[review.escalations]]``: what has to be decided by whom, and within how many days.

    ``limit`` belongs to two conditions: *low confidence* holds where the
    reviewers' confidence in their own answers is at most that on average (1 to
    5; default 2), *group gap* where the interval of a difference of the override
    rate between two groups lies beyond it (default 0).
    """

    condition: ConditionName
    role: str = Field(min_length=1, max_length=60)
    within_days: int = Field(14, ge=1, le=3650)
    limit: float | None = Field(None, ge=0, le=5)


class ReviewSection(PlanSection):
    """``[review]``: which cases people judge, who, and how.

    ``design`` says how the cases are drawn: at ``"random"``; ``"stratified"`` by
    ``stratify_by``, shared out by ``allocation``; by ``"uncertainty"``, in
    proportion to ``priority``; or as a ``"mixture"``, the share ``mix`` of them
    evenly and the rest by priority. With ``floor_per_group`` every group of
    ``stratify_by`` gets at least that many cases. ``overlap`` is the share of
    cases that ``reviewers_per_case`` people judge; one person judges each of
    the others. ``gold`` is a csv file with the columns ``id`` and ``answer`` (1:
    favorable): cases whose right answer experts know, hidden among the others.
    ``planted`` is the share of cases that are shown with the model's decision
    reversed, ``repeats`` the share that the same person meets twice. ``truth``
    says whether people are held against the recorded outcome (``"target"``) or
    against nothing. ``pseudonyms`` keeps names out of what is hashed and printed.
    """

    cases: int = Field(60, ge=1)
    design: Literal["random", "stratified", "uncertainty", "mixture"] = "random"
    stratify_by: str | None = None
    allocation: Literal["equal", "proportional", "neyman"] = "equal"
    priority: tuple[PriorityName, ...] = ("threshold",)
    mix: float = Field(0.5, gt=0, le=1)
    floor_per_group: int = Field(0, ge=0)
    reviewers: tuple[ReviewerSection, ...] = ()
    reviewers_per_case: int = Field(1, ge=1)
    overlap: float = Field(1.0, ge=0, le=1)
    gold: str = ""
    planted: float = Field(0.0, ge=0, le=0.5)
    repeats: float = Field(0.0, ge=0, le=0.5)
    due_days: int | None = Field(None, ge=0, le=3650)
    pseudonyms: bool = True
    too_fast_seconds: float = Field(5.0, ge=0)
    truth: Literal["target", "none"] = "target"
    protocol: Literal["blind-first", "open"] = "blind-first"
    reasons: tuple[str, ...] = Field(DEFAULT_REASONS, min_length=1)
    escalations: tuple[EscalationSection, ...] = ()

    @field_validator("priority", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _possible(self) -> ReviewSection:
        stratified = self.design == "stratified"
        if stratified and self.stratify_by is None:
            raise ValueError(
                'design = "stratified" without stratify_by; expected the sensitive attribute '
                "whose groups are drawn from"
            )
        mixture = self.design == "mixture"
        if self.stratify_by is not None and not (stratified or mixture):
            raise ValueError(
                f'design = "{self.design}" with stratify_by = {self.stratify_by!r}; expected '
                'stratify_by only with design = "stratified" or "mixture"'
            )
        if self.floor_per_group and not (mixture and self.stratify_by is not None):
            raise ValueError(
                f"floor_per_group = {self.floor_per_group} needs stratify_by, and design = "
                '"mixture"'
            )
        if not self.priority:
            raise ValueError("priority is empty; expected at least one reason to look at a case")
        if not self.reviewers:
            needing = {
                "overlap": self.overlap < 1,
                "gold": bool(self.gold),
                "repeats": self.repeats > 0,
                "due_days": self.due_days is not None,
            }
            for key in (name for name, asked in needing.items() if asked):
                raise ValueError(
                    f"{key} is set, but reviewers is empty; expected the people whom the cases "
                    "are given to ([[review.reviewers]])"
                )
        names = [reviewer.name.strip().casefold() for reviewer in self.reviewers]
        if len(set(names)) != len(names):
            raise ValueError(f"reviewers names somebody twice: {', '.join(names)}")
        if self.reviewers and len(self.reviewers) < self.reviewers_per_case:
            raise ValueError(
                f"reviewers_per_case = {self.reviewers_per_case}, but reviewers names "
                f"{len(self.reviewers)}; expected at least as many people as look at one case"
            )
        return self
