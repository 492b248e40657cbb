from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import pytest

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.review.planner import plan_review
from hitl_audit.review.sample_sizes import (
    limit_if_none,
    margin_of,
    power_of_difference,
    power_of_pairs,
    size_for_difference,
    size_for_margin,
    size_for_none,
    size_for_pairs,
    smallest_difference,
)

Z = 1.959963984540054


def binomial(k: int, n: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize(
    ("arguments", "cases"),
    [
        # z² p q / margin²; the last with Cochran's correction, 384.15 / (1 + 383.15 / 1000).
        ({"rate": 0.2, "margin": 0.05}, 246),
        ({"margin": 0.05}, 385),
        ({"rate": 0.5, "margin": 0.03}, 1068),
        ({"margin": 0.05, "population": 1000}, 278),
        # Per group, as Cohen's tables have it: 195 and 424.
        ({"compare": (0.1, 0.2)}, 2 * 195),
        ({"compare": (0.05, 0.1)}, 2 * 424),
        # Connor's formula, as published calculators print it (discordance 0.45, ratio 2).
        ({"changes": (0.3, 0.15)}, 155),
        ({"changes": (0.05, 0.45)}, 23),
        # (1 − p)^n ≤ 0.05: 59 for 5 %, 299 for 1 %.
        ({"at_most": 0.05}, 59),
        ({"at_most": 0.01}, 299),
    ],
)
def test_published_sizes(arguments: dict[str, object], cases: int) -> None:
    plan = plan_review(**arguments)  # type: ignore[arg-type]
    assert plan.answers[0].cases == cases
    assert plan.judged == plan.drawn == cases
    assert f"{cases:,}" in plan.words


def test_zero_errors_in_sixty_still_allow_almost_five_per_cent() -> None:
    assert limit_if_none(60) == pytest.approx(0.0487, abs=5e-5)
    plan = plan_review(cases=60)
    assert "If none of them is wrong, up to 4.9% of all cases may still be." in plan.words


@pytest.mark.parametrize(("at_most", "population"), [(0.05, 200), (0.1, 37), (0.02, 50)])
def test_zero_errors_in_a_finite_population_by_counting(at_most: float, population: int) -> None:
    wrong = math.floor(at_most * population) + 1

    def none(n: int, bad: int) -> Fraction:
        return Fraction(math.comb(population - bad, n), math.comb(population, n))

    n = size_for_none(at_most, population=population)
    assert none(n, wrong) <= Fraction(5, 100) < none(n - 1, wrong)
    limit = round(limit_if_none(n, population=population) * population)
    assert none(n, limit) > Fraction(5, 100) >= none(n, limit + 1)
    assert limit_if_none(population, population=population) == 0


@pytest.mark.parametrize("rates", [(0.1, 0.6), (0.5, 0.5), (0.0, 0.4), (1.0, 0.7)])
def test_the_power_for_two_groups_is_that_of_all_outcomes(rates: tuple[float, float]) -> None:
    m, n = 9, 13
    power = 0.0
    for x, y in product(range(m + 1), range(n + 1)):
        pooled = (x + y) / (m + n)
        variance = pooled * (1 - pooled) * (1 / m + 1 / n)
        if variance > 0 and abs(x / m - y / n) / math.sqrt(variance) > Z:
            power += binomial(x, m, rates[0]) * binomial(y, n, rates[1])
    assert power_of_difference(*rates, m, n) == pytest.approx(power, abs=1e-10)


@pytest.mark.parametrize("shares", [(0.3, 0.1), (0.2, 0.2), (0.4, 0.0)])
def test_the_power_for_pairs_is_that_of_all_outcomes(shares: tuple[float, float]) -> None:
    n, (gained, lost) = 14, shares
    power = 0.0
    for b, c in product(range(n + 1), repeat=2):
        if b + c <= n and b + c > 0 and (b - c) ** 2 / (b + c) > Z * Z:
            ways = math.comb(n, b) * math.comb(n - b, c)
            power += ways * gained**b * lost**c * (1 - gained - lost) ** (n - b - c)
    assert power_of_pairs(gained, lost, n) == pytest.approx(power, abs=1e-10)


@pytest.mark.parametrize("rates", [(0.1, 0.2), (0.05, 0.1), (0.0, 0.2), (0.98, 1.0), (0.3, 0.5)])
def test_what_is_planned_has_the_power_that_was_asked(rates: tuple[float, float]) -> None:
    answer = plan_review(compare=rates).answers[0]
    n = answer.per_group[0][1]
    assert n >= size_for_difference(*rates)
    exact = power_of_difference(*rates, n, n)
    assert answer.value == exact
    assert exact >= 0.795
    pairs = plan_review(changes=(0.1, 0.0)).answers[0]
    assert pairs.cases >= size_for_pairs(0.1, 0.0)
    assert (pairs.value or 0) >= 0.795


def test_margin_and_difference_are_turned_round() -> None:
    n = size_for_margin(0.2, 0.05, population=900)
    assert margin_of(n, 0.2, population=900) <= 0.05 < margin_of(n - 1, 0.2, population=900)
    assert margin_of(900, 0.2, population=900) == 0
    below, above = smallest_difference(195, 0.1)
    assert above == pytest.approx(0.2, abs=1e-4)
    assert below is not None
    assert size_for_difference(0.1, below) == 195
    assert smallest_difference(6, 0.5) == (None, None)


def test_groups_from_a_random_sample_take_more_cases() -> None:
    shares = {"white": 0.8, "black": 0.2}
    equal = plan_review(compare=(0.1, 0.2), group_shares=shares).answers[0]
    assert dict(equal.per_group) == {"white": 195, "black": 195}
    drawn = plan_review(compare=(0.1, 0.2), group_shares=shares, equal_groups=False).answers[0]
    # 1/n₁ + 1/n₂ = 2/195 with n₂ = 4 n₁: 195 · (1/0.2 + 1/0.8) / 2 = 609.4.
    assert drawn.cases == 610
    assert dict(drawn.per_group) == {"white": 488, "black": 122}
    assert "488 of white, 122 of black" in drawn.words
    few = plan_review(compare=(0.1, 0.2), group_shares=shares, population=500).answers[0]
    # 195 / (1 + 194 / 100) of the 100 black cases, 195 / (1 + 194 / 400) of the 400 white.
    assert dict(few.per_group) == {"white": 132, "black": 67}


def test_weights_absences_and_second_opinions_cost_cases_and_hours() -> None:
    plan = plan_review(
        rate=0.2,
        margin=0.05,
        design_effect=1.5,
        answered=0.8,
        reviewers_per_case=2,
        minutes_per_case=6,
        hours_per_reviewer=20,
    )
    # 1.5 · 245.85 = 368.8; 369 / 0.8 = 461.25; 369 · 2 · 6 min = 73.8 h = 3.7 people.
    assert (plan.judged, plan.drawn, plan.judgments) == (369, 462, 738)
    assert plan.hours == pytest.approx(73.8)
    assert plan.reviewers == 4
    assert plan.words.endswith(
        "Draw 462 cases, expecting 369 to be judged by 2 reviewers each: 738 verdicts, 74 hours "
        "of work for 4 people."
    )


def test_two_reviewers_per_case_are_two_people() -> None:
    plan = plan_review(cases=10, reviewers_per_case=2, minutes_per_case=1, hours_per_reviewer=40)
    assert plan.reviewers == 2
    assert "under an hour of work for 2 people" in plan.words


def test_a_population_that_is_too_small_is_said() -> None:
    plan = plan_review(compare=(0.1, 0.2), answered=0.5, population=300)
    assert not plan.enough
    assert plan.words.endswith("There are only 300 cases: that is not enough.")
    assert plan_review(compare=(0.1, 0.2), population=300).enough


def test_what_a_budget_buys() -> None:
    plan = plan_review(cases=390, rate=0.1, compare=(0.1, 0.2), changes=(0.3, 0.15))
    by_question = plan.frame().set_index("question")["value"]
    assert by_question["a rate of 10.0%"] == pytest.approx(Z * math.sqrt(0.09 / 390))
    assert by_question["nothing wrong"] == pytest.approx(1 - 0.05 ** (1 / 390))
    assert by_question["groups that differ from 10.0%"] == pytest.approx(0.2, abs=1e-4)
    assert by_question["10.0% against 20.0% between groups"] == pytest.approx(0.8, abs=1e-3)
    assert by_question["changes of 30.0% one way and 15.0% the other"] == power_of_pairs(
        0.3, 0.15, 390
    )
    assert plan.judged == 390
    none = plan_review(cases=10)
    assert "No group can be told from one with a rate of 50.0%" in none.words


def test_the_most_demanding_question_decides_and_ten_cases_are_the_least() -> None:
    plan = plan_review(rate=0.2, margin=0.05, at_most=0.05)
    assert [answer.cases for answer in plan.answers] == [246, 59]
    assert plan.judged == 246
    assert plan_review(at_most=0.5).judged == 10


def test_a_plan_is_canonical_and_a_frame() -> None:
    plan = plan_review(margin=0.1, population=400)
    assert b'"hours":null' in canonical_bytes(plan)
    assert list(plan.frame()["method"]) == ["Wald, finite population"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "nothing is asked; accepted: margin, compare, changes, at_most or cases"),
        ({"rate": 0.2}, "nothing is asked"),
        ({"margin": 5}, "margin is 5; accepted: a number between 0 and 1"),
        ({"margin": math.nan}, "margin is nan"),
        ({"at_most": 0}, "at_most is 0"),
        ({"cases": 9}, "cases is 9; accepted: 10, below which nothing is estimated, or more"),
        ({"cases": 50, "population": 40}, "or more, up to the population, 40"),
        ({"margin": 0.1, "population": 0}, "population is 0; accepted: a number above 0"),
        ({"margin": 0.1, "answered": 0}, "answered is 0; accepted: above 0, to 1"),
        ({"compare": (0.1, 0.1)}, "accepted: two different shares from 0 to 1"),
        ({"compare": (0.1,)}, "accepted: two different shares from 0 to 1"),
        ({"changes": (0.7, 0.4)}, "accepted: shares that add up to 1 at most"),
        ({"compare": (0.1, 0.2), "group_shares": {"a": 1.0}}, "accepted: two or more groups"),
        ({"compare": (0.1, 0.2), "group_shares": {"a": 0.9, "b": 0.2}}, "together at most 1"),
        ({"cases": 20, "power": 1}, "power is 1; accepted: a number between 0 and 1"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as refusal:
        plan_review(**arguments)  # type: ignore[arg-type]
    assert words in str(refusal.value)
