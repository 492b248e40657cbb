"""The section of a plan that says what may be tried on a case, and how: ``[what_if]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hitl_audit.plan_sections import PlanSection

__all__ = ["CheckSection", "FactGroupSection", "FeatureSection", "WhatIfSection"]


class FeatureSection(PlanSection):
    """``[[what_if.features]]``: what a change of one feature must respect.

    ``immutable``: nobody can change it. ``low`` and ``high`` bound a number,
    ``step`` is its smallest meaningful change, ``decimals`` the places shown,
    ``unit`` what stands behind it. ``direction`` is the one way it can go from
    where a case is (``"up"`` for an age). ``categories`` lists the values that
    may be chosen, in their order.
    """

    feature: str = Field(min_length=1)
    immutable: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = Field(None, gt=0)
    decimals: int | None = Field(None, ge=0, le=12)
    unit: str = ""
    direction: Literal["up", "down"] | None = None
    categories: tuple[str | int | float | bool, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> FeatureSection:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low ≤ high")
        return self


class FactGroupSection(PlanSection):
    """``[[what_if.groups]]``: facts of a case that are shown together, under a title."""

    title: str = Field(min_length=1, max_length=60)
    features: tuple[str, ...] = Field(min_length=1)


class CheckSection(PlanSection):
    """``[[what_if.checks]]``: a property that people expect of the model.

    ``expect = "increasing"`` or ``"decreasing"``: how the score follows the number;
    ``"unchanged"``: the feature must not move it by more than ``tolerance``. With
    ``values`` (two categories) the direction is that from the first to the second.
    """

    feature: str = Field(min_length=1)
    expect: Literal["increasing", "decreasing", "unchanged"]
    values: tuple[str | int | float | bool, ...] = ()
    tolerance: float = Field(1e-9, ge=0)
    reason: str = ""

    @model_validator(mode="after")
    def _two_values(self) -> CheckSection:
        if self.values and (len(self.values) != 2 or self.expect == "unchanged"):
            raise ValueError(
                f'values is {list(self.values)} with expect = "{self.expect}"; expected two '
                'categories with "increasing" or "decreasing", or none'
            )
        return self


class WhatIfSection(PlanSection):
    """``[what_if]``: what may be tried on a case, and how it is shown.

    ``expectation_first``: whoever edits says first whether the score will go up,
    go down or stay. ``seconds`` limits the search for the smallest changes.
    ``derived`` maps a column to the formula it follows (``"loan / income"``).
    ``in_review``: reviewers may try changes once the model's answer is shown.
    """

    in_review: bool = True
    expectation_first: bool = False
    seconds: float = Field(2.0, gt=0, le=60)
    features: tuple[FeatureSection, ...] = ()
    derived: dict[str, str] = Field(default_factory=dict)
    groups: tuple[FactGroupSection, ...] = ()
    checks: tuple[CheckSection, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> WhatIfSection:
        named = [feature.feature for feature in self.features]
        grouped = [name for group in self.groups for name in group.features]
        for where, names in (("features", named), ("groups", grouped)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{where} names a feature twice: {', '.join(twice)}")
        return self
