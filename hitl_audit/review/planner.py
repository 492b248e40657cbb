"""How many cases and reviewers a review needs, and what a given number of cases can show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hitl_audit.errors import InputError
from hitl_audit.review.questions import Answer, Terms, buys, needs
from hitl_audit.review.rates import MIN_CASES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "ReviewPlan", "plan_review"]


@dataclass(frozen=True)
class ReviewPlan:
    """A review, planned.

    Attributes:
        answers: one per question.
        judged: cases that have to be judged, for the most demanding question,
            or as many as can be.
        drawn: cases to draw, so that so many are judged.
        judgments: verdicts to be given.
        hours: working time of all reviewers; ``None`` without minutes per case.
        reviewers: people needed; ``None`` without hours per reviewer.
        enough: whether the population has that many cases.
        words: the plan in plain language.
    """

    answers: tuple[Answer, ...]
    judged: int
    drawn: int
    judgments: int
    hours: float | None
    reviewers: int | None
    enough: bool
    words: str

    def frame(self) -> pd.DataFrame:
        """One row per question: question, cases, per_group, value, method, words."""
        import pandas as pd

        columns = list(Answer.__dataclass_fields__)
        return pd.DataFrame([asdict(answer) for answer in self.answers], columns=columns)


def plan_review(
    *,
    rate: float | None = None,
    margin: float | None = None,
    compare: tuple[float, float] | None = None,
    changes: tuple[float, float] | None = None,
    at_most: float | None = None,
    cases: int | None = None,
    population: int | None = None,
    group_shares: Mapping[str, float] | None = None,
    equal_groups: bool = True,
    confidence: float = 0.95,
    power: float = 0.8,
    design_effect: float = 1.0,
    answered: float = 1.0,
    reviewers_per_case: int = 1,
    minutes_per_case: float | None = None,
    hours_per_reviewer: float | None = None,
) -> ReviewPlan:
    """Plan how many cases to draw and how many people to ask.

    Any of four questions, and the most demanding one decides: how often
    (``margin``), do groups differ (``compare``), does review change more for
    the better than for the worse (``changes``), is hardly anything wrong
    (``at_most``). With ``cases``, the other way round: what so many judged
    cases can show.

    Args:
        rate: what the rate will be, roughly; 0.5, the worst, if nobody knows.
        margin: know the rate to ± this, with ``confidence``.
        compare: rates of two groups that should be told apart, for example
            ``(0.1, 0.2)``, by a two-sided z test.
        changes: shares of all cases that review turns from wrong to right and
            from right to wrong, to be told apart by McNemar's test.
        at_most: show, by finding none, that no larger share is wrong.
        cases: cases that can be judged.
        population: cases that there are; without it, endlessly many.
        group_shares: share of each group in the population, adding up to 1 at
            most; by default two groups of half each.
        equal_groups: as many cases from every group (a stratified sample). If
            not, cases are drawn at random, and the smallest group is compared
            with the largest.
        confidence: of intervals, and 1 − the level of tests.
        power: chance to find a difference that is there.
        design_effect: by how much weights or clusters multiply variances.
        answered: share of drawn cases that will be judged.
        reviewers_per_case: people who judge each case.
        minutes_per_case: time of one person on one case.
        hours_per_reviewer: time that one person has.

    Raises:
        InputError: nothing asked, or a number out of range.
    """
    _check(
        shares={
            "rate": rate,
            "margin": margin,
            "at_most": at_most,
            "confidence": confidence,
            "power": power,
        },
        above_zero={
            "population": population,
            "cases": cases,
            "design_effect": design_effect,
            "reviewers_per_case": reviewers_per_case,
            "minutes_per_case": minutes_per_case,
            "hours_per_reviewer": hours_per_reviewer,
        },
        pairs={"compare": compare, "changes": changes},
        answered=answered,
    )
    groups = dict(group_shares or {"one group": 0.5, "the other": 0.5})
    if len(groups) < 2 or min(groups.values()) <= 0 or sum(groups.values()) > 1 + 1e-9:
        raise InputError(
            f"plan: group_shares are {groups}; accepted: two or more groups, each above 0, "
            "together at most 1"
        )
    if cases is not None and not MIN_CASES <= cases <= (population or cases):
        most = "" if population is None else f", up to the population, {population}"
        raise InputError(
            f"plan: cases is {cases}; accepted: {MIN_CASES}, below which nothing is estimated, "
            f"or more{most}"
        )
    terms = Terms(confidence, power, population, design_effect, tuple(groups.items()), equal_groups)
    answers = (
        needs(terms, rate, margin, compare, changes, at_most)
        if cases is None
        else buys(terms, cases, rate, compare, changes)
    )
    if not answers:
        raise InputError(
            "plan: nothing is asked; accepted: margin, compare, changes, at_most or cases"
        )
    judged = cases or max(MIN_CASES, *(answer.cases for answer in answers))
    drawn = math.ceil(judged / answered - 1e-9)
    enough = population is None or drawn <= population
    judgments = judged * reviewers_per_case
    hours = None if minutes_per_case is None else judgments * minutes_per_case / 60
    people = None
    if hours is not None and hours_per_reviewer is not None:
        people = max(reviewers_per_case, math.ceil(hours / hours_per_reviewer - 1e-9))
    sentences = [*(answer.words for answer in answers)]
    sentences.append(_effort(judged, drawn, judgments, reviewers_per_case, hours, people))
    if not enough:
        sentences.append(f"There are only {population:,} cases: that is not enough.")
    return ReviewPlan(answers, judged, drawn, judgments, hours, people, enough, " ".join(sentences))


def _effort(
    judged: int, drawn: int, judgments: int, per_case: int, hours: float | None, people: int | None
) -> str:
    words = f"Draw {drawn:,} cases, expecting {judged:,} to be judged"
    words += f" by {per_case} reviewers each: {judgments:,} verdicts" if per_case > 1 else ""
    if hours is not None:
        words += f", {hours:,.0f} hours of work" if hours >= 1 else ", under an hour of work"
    if people is not None:
        words += f" for {people:,} {'person' if people == 1 else 'people'}"
    return words + "."


def _check(
    *,
    shares: Mapping[str, float | None],
    above_zero: Mapping[str, float | None],
    pairs: Mapping[str, tuple[float, float] | None],
    answered: float,
) -> None:
    for name, value in shares.items():
        if value is not None and not 0 < value < 1:
            raise InputError(f"plan: {name} is {value}; accepted: a number between 0 and 1")
    for name, value in above_zero.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"plan: {name} is {value}; accepted: a number above 0")
    if not 0 < answered <= 1:
        raise InputError(f"plan: answered is {answered}; accepted: above 0, to 1")
    for name, pair in pairs.items():
        if pair is None:
            continue
        if len(pair) != 2 or not all(0 <= value <= 1 for value in pair) or pair[0] == pair[1]:
            raise InputError(f"plan: {name} is {pair}; accepted: two different shares from 0 to 1")
        if name == "changes" and sum(pair) > 1:
            raise InputError(f"plan: changes is {pair}; accepted: shares that add up to 1 at most")
