from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.review.estimates import (
    Rate,
    assisted_rate,
    difference_of_rates,
    rates_by_group,
    weighted_difference,
    weighted_rate,
)

YES_NO = [1] * 16 + [0] * 4


def bounds(rate: Rate) -> tuple[float, float, float]:
    assert rate.value is not None
    assert rate.low is not None
    assert rate.high is not None
    return rate.value, rate.low, rate.high


def test_equal_chances_without_an_end_of_the_population_give_wilson() -> None:
    rate = weighted_rate(YES_NO, [0.1] * 20, finite_population=False)
    # 16 of 20 at 95 %, as R's prop.test(16, 20, correct = FALSE) prints it.
    assert bounds(rate) == pytest.approx((0.8, 0.5839826, 0.9193423), abs=1e-6)
    assert (rate.count, rate.n, rate.method, rate.status) == (16, 20, "Wilson", "estimated")
    assert rate.effective_n == pytest.approx(20)


def test_the_end_of_the_population_narrows_it_as_more_cases_would() -> None:
    rate = weighted_rate(YES_NO, [0.2] * 20)
    # 16 of 20 drawn of 100: as precise as 20 / (1 − 0.2) = 25 of endlessly many.
    assert rate.effective_n == pytest.approx(25)
    assert bounds(rate)[1:] == pytest.approx(wilson(Count(20, 25)))
    assert rate.method == "Wilson, finite population"


def test_when_every_case_is_judged_nothing_is_left_to_chance() -> None:
    assert bounds(weighted_rate(YES_NO, [1.0] * 20)) == (0.8, 0.8, 0.8)
    assert bounds(weighted_rate([0] * 20, [1.0] * 20)) == (0, 0, 0)
    assert weighted_rate(YES_NO, [1.0] * 20).effective_n is None


def test_cases_drawn_and_not_judged_keep_the_interval_open() -> None:
    rate = weighted_rate(YES_NO, [1.0] * 20, sampled=40)
    assert rate.effective_n == pytest.approx(20 / (1 - 0.5))
    assert rate.words == (
        "16 of 20 judged cases, estimated 80.0% of all cases (95% interval 65.2% to 89.5%); "
        "20 of 40 drawn cases are not judged"
    )
    assert bounds(rate)[1:] == pytest.approx(wilson(Count(32, 40)))


def test_unequal_chances_by_hand() -> None:
    # 6 of 10 cases of weight 10 agree, 4 of 10 cases of weight 2.
    y = [1] * 6 + [0] * 4 + [1] * 4 + [0] * 6
    rate = weighted_rate(y, [0.1] * 10 + [0.5] * 10, design="stratified")
    value = (6 * 10 + 4 * 2) / 120
    variance = (
        (6 * (1 - value) ** 2 + 4 * value**2) * 0.9 * 100
        + (4 * (1 - value) ** 2 + 6 * value**2) * 0.5 * 4
    ) / 120**2
    size = value * (1 - value) / variance
    assert rate.effective_n == pytest.approx(size)
    t = float(student.ppf(0.975, 120**2 / 1040 - 1))
    centre = (value + t * t / (2 * size)) / (1 + t * t / size)
    half = t * math.sqrt(value * (1 - value) / size + t * t / (4 * size**2)) / (1 + t * t / size)
    assert bounds(rate) == pytest.approx((value, centre - half, centre + half))
    assert rate.method == "Hájek, Wilson at the effective size"


def test_heavy_cases_that_all_say_the_same_do_not_narrow_the_interval() -> None:
    # All 10 cases of weight 10 agree: the light ones alone cannot say how sure that is.
    rate = weighted_rate([1] * 14 + [0] * 6, [0.1] * 10 + [0.5] * 10, design="stratified")
    assert rate.effective_n == pytest.approx(120**2 / (10 * 0.9 * 100 + 10 * 0.5 * 4))


@pytest.mark.parametrize("all_say", [0, 1])
def test_one_opinion_under_unequal_chances_is_not_certain(all_say: int) -> None:
    pi = [0.1] * 10 + [0.5] * 10
    rate = weighted_rate([all_say] * 20, pi, finite_population=False)
    assert rate.effective_n == pytest.approx(120**2 / 1040)
    value, low, high = bounds(rate)
    assert value == all_say
    assert high - low > 0.2
    assert (low, high)[all_say] == all_say


def test_over_all_samples_rate_and_variance_are_right_on_average() -> None:
    y = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1])
    m = np.linspace(0.9, 0.1, 13)
    values, variances, assisted = [], [], []
    for places in combinations(range(13), 10):
        sample = list(places)
        rate = weighted_rate(y[sample].tolist(), [10 / 13] * 10)
        p, _, _ = bounds(rate)
        values.append(p)
        variances.append(p * (1 - p) / (rate.effective_n or math.inf))
        helped = assisted_rate(
            y[sample].tolist(),
            [10 / 13] * 10,
            proxy=m[sample].tolist(),
            population_proxy=float(m.mean()),
        )
        assisted.append(bounds(helped)[0])
    assert np.mean(values) == pytest.approx(y.mean())
    assert np.mean(assisted) == pytest.approx(y.mean())
    # V has n where the unbiased estimator has n − 1.
    assert np.mean(variances) == pytest.approx(np.var(values) * 9 / 10)
    assert np.std(assisted) < np.std(values)


def test_a_perfect_proxy_leaves_almost_nothing_open_and_a_useless_one_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(40) < 0.4).astype(float)
    pi = rng.uniform(0.1, 0.9, 40)
    plain = bounds(weighted_rate(y.tolist(), pi.tolist()))
    perfect = bounds(
        assisted_rate(y.tolist(), pi.tolist(), proxy=(y * 0.9).tolist(), population_proxy=0.36)
    )
    assert perfect[0] == pytest.approx(0.4, abs=0.02)
    assert perfect[2] - perfect[1] < 0.2 * (plain[2] - plain[1])
    constant = assisted_rate(
        y.tolist(), pi.tolist(), proxy=[0.3] * 40, population_proxy=0.3, slope=None
    )
    assert bounds(constant) == pytest.approx(plain)


def test_where_all_cases_say_the_same_the_proxy_is_left_out() -> None:
    assisted = assisted_rate([0] * 12, [0.5] * 12, proxy=[0.1] * 12, population_proxy=0.2)
    assert assisted == weighted_rate([0] * 12, [0.5] * 12)


def test_verdicts_of_few_reviewers_are_worth_less_than_their_number() -> None:
    y = [1] * 10 + [0] * 10 + [1] * 9 + [0]
    reviewers = ["Ada"] * 10 + ["Ben"] * 10 + ["Cyd"] * 10
    alone = weighted_rate(y, [0.1] * 30, finite_population=False)
    rate = weighted_rate(y, [0.1] * 30, clusters=reviewers)
    p = 19 / 30
    sums = [10 - 10 * p, -10 * p, 9 - 10 * p]
    variance = 3 / 2 * sum(s * s for s in sums) / 30**2
    assert rate.effective_n == pytest.approx(p * (1 - p) / variance)
    assert bounds(rate)[1] < bounds(alone)[1]
    assert "clusters" in rate.method


def test_reviewers_who_agree_by_chance_prove_no_precision() -> None:
    y = [1, 0] * 10
    rate = weighted_rate(y, [0.1] * 20, clusters=["Ada"] * 10 + ["Ben"] * 10)
    assert rate.effective_n == pytest.approx(20)
    assert weighted_rate(y, [0.1] * 20, clusters=["Ada"] * 20).status == "insufficient data"


def test_few_cases_give_no_rate_and_none_no_assessment() -> None:
    few = weighted_rate([1] * 9, [0.1] * 9, sampled=12)
    assert (few.status, few.value, few.count) == ("insufficient data", None, 9)
    assert few.words == (
        "insufficient data: 9 judged, 10 are needed; 3 of 12 drawn cases are not judged"
    )
    none = weighted_rate([], [], sampled=12)
    assert none.words == "not assessed; 12 of 12 drawn cases are not judged"


def test_shares_count_as_shares() -> None:
    rate = weighted_rate([0.5] * 20, [0.1] * 20)
    value, low, high = bounds(rate)
    assert (value, rate.count) == (0.5, 0)
    assert 0.2 < low < high < 0.8


def test_a_paired_difference_is_bonett_and_prices() -> None:
    # 21 pairs, 1 discordant one way and 7 the other (Bentur et al. 2009, as in Fagerland,
    # Lydersen & Laake, Statistics in Medicine 33 (2014), 2850-2875).
    a = [1] * 1 + [1] * 1 + [0] * 7 + [0] * 12
    b = [1] * 1 + [0] * 1 + [1] * 7 + [0] * 12
    made = weighted_difference(a, b, [0.1] * 21, finite_population=False)
    p, q = 2 / 23, 8 / 23
    half = 1.959964 * math.sqrt((p + q - (p - q) ** 2) / 23)
    assert made.value == pytest.approx(-6 / 21)
    assert (made.low, made.high) == pytest.approx((p - q - half, p - q + half))
    assert (made.more, made.less, made.method) == (1, 7, "Bonett-Price")


def test_no_discordant_pair_does_not_prove_equality() -> None:
    made = weighted_difference([1] * 20, [1] * 20, [0.1] * 20, finite_population=False)
    assert made.value == 0
    assert made.low is not None
    assert made.high is not None
    assert made.low == pytest.approx(-made.high)
    assert 0.1 < made.high < 0.2


def test_a_weighted_difference_is_the_difference_of_the_weighted_rates() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random((2, 50)) < [[0.7], [0.5]]).astype(float).tolist()
    pi = rng.uniform(0.05, 0.9, 50).tolist()
    made = weighted_difference(a, b, pi)
    assert made.value == pytest.approx(
        bounds(weighted_rate(a, pi))[0] - bounds(weighted_rate(b, pi))[0]
    )
    assert made.method == "Hájek, Bonett-Price at the effective size"


def test_groups_differ_by_newcombes_interval() -> None:
    y = [1] * 56 + [0] * 14 + [1] * 48 + [0] * 32
    groups = ["a"] * 70 + ["b"] * 80
    rates = rates_by_group(y, [0.1] * 150, groups, finite_population=False)
    made = rates.differences("b")["a"]
    # 56/70 − 48/80: .0524 to .3339 (Newcombe 1998, table II, method 10).
    assert (made.low, made.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert list(rates.frame()["group"]) == ["a", "b"]
    with pytest.raises(InputError, match='reference is "c"; accepted: a, b'):
        rates.differences("c")


def test_every_drawn_group_is_listed() -> None:
    groups = ["a"] * 20 + ["b"] * 3
    rates = rates_by_group(
        [*YES_NO, 1, 1, 0], [0.1] * 23, groups, sampled={"a": 30, "b": 3, "c": 4}
    )
    assert [row.rate.status for row in rates.rows] == [
        "estimated",
        "insufficient data",
        "not assessed",
    ]
    assert rates["a"] == weighted_rate(YES_NO, [0.1] * 20, sampled=30)
    with pytest.raises(KeyError):
        rates["d"]
    with pytest.raises(InputError, match='group "a": rates: got sampled=0, fewer than the 20'):
        rates_by_group([*YES_NO, 1, 1, 0], [0.1] * 23, groups, sampled={"b": 3})
    chart = rates.chart("Overrides")
    assert chart.message == "Overrides by group: 80.0% for a."
    assert "b: insufficient data: 3 judged, 10 are needed." in chart.alt
    assert chart.series[0].y == (0.8, None, None)
    assert len(rates.plot("Overrides").data) == 1
    insufficient = rates.differences("a")["b"]
    assert (insufficient.status, insufficient.value) == ("insufficient data", None)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1.0)), min_size=10, max_size=60))
def test_the_interval_holds_the_estimate_and_widens_with_confidence(
    cases: list[tuple[bool, float]],
) -> None:
    y, pi = [case[0] for case in cases], [case[1] for case in cases]
    value, low, high = bounds(weighted_rate(y, pi))
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    _, low99, high99 = bounds(weighted_rate(y, pi, confidence=0.99))
    assert low99 <= low + 1e-12
    assert high99 >= high - 1e-12
    _, low_all, high_all = bounds(weighted_rate(y, pi, finite_population=False))
    assert low_all <= low + 1e-9
    assert high_all >= high - 1e-9
    # What holds for yes holds for no.
    mirrored = bounds(weighted_rate([not yes for yes in y], pi))
    assert mirrored == pytest.approx((1 - value, 1 - high, 1 - low), abs=1e-9)


def test_the_callers_chances_stay_as_they_are() -> None:
    pi = np.full(20, 0.5)
    weighted_rate(YES_NO, pi, sampled=40)  # type: ignore[arg-type]
    assert (pi == 0.5).all()


def test_results_are_frames_and_canonical() -> None:
    rate = weighted_rate(YES_NO, [1.0] * 20)
    assert b'"effective_n":null' in canonical_bytes(rate)
    assert rate.frame().loc[0, "n"] == 20
    difference = difference_of_rates(rate, rate)
    assert difference.frame().loc[0, "value"] == 0
    other = weighted_rate(YES_NO, [1.0] * 20, confidence=0.9)
    with pytest.raises(InputError, match=r"got confidence 0\.95 and 0\.9"):
        difference_of_rates(rate, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"design": "purposive"}, 'design is "purposive": cases picked by hand stand for nobody'),
        ({"design": "randm"}, 'design is "randm"; accepted: random'),
        ({"inclusion_probabilities": [None] + [0.1] * 19}, "it is purposive, picked by hand"),
        ({"inclusion_probabilities": [0.0] + [0.1] * 19}, "an inclusion probability is 0;"),
        ({"inclusion_probabilities": [1.1] + [0.1] * 19}, "an inclusion probability is 1.1;"),
        ({"inclusion_probabilities": [math.nan] + [0.1] * 19}, "an inclusion probability is nan;"),
        ({"inclusion_probabilities": [0.1] * 19}, "got 20 values of outcomes and 19 inclusion"),
        ({"outcomes": [2] + [0] * 19}, "outcomes holds 2; expected 0, 1 or a share"),
        ({"outcomes": [math.nan] + [0] * 19}, "outcomes holds nan; expected 0, 1 or a share"),
        ({"confidence": 95}, "confidence is 95; accepted: a number between 0 and 1"),
        ({"clusters": ["a"]}, "got 1 clusters, expected 20, one per value"),
        ({"sampled": 19}, "got sampled=19, fewer than the 20 judged cases"),
    ],
)
def test_what_cannot_be_estimated_is_refused(changes: dict[str, object], words: str) -> None:
    arguments: dict[str, object] = {"outcomes": YES_NO, "inclusion_probabilities": [0.1] * 20}
    with pytest.raises(InputError) as refusal:
        weighted_rate(**(arguments | changes))  # type: ignore[arg-type]
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("proxy", "population", "words"),
    [
        ([0.1] * 19, 0.1, "got 19 values of proxy for 20 outcomes"),
        ([math.nan] * 20, 0.1, "proxy holds values that are missing or infinite"),
        ([0.1] * 20, math.inf, "proxy holds values that are missing or infinite"),
    ],
)
def test_a_proxy_that_does_not_fit_is_refused(
    proxy: list[float], population: float, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        assisted_rate(YES_NO, [0.1] * 20, proxy=proxy, population_proxy=population)


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="there are no groups to draw"):
        rates_by_group([], [], []).plot("Overrides")
    with pytest.raises(InputError, match="got 1 groups for 20 outcomes"):
        rates_by_group(YES_NO, [0.1] * 20, ["a"])
