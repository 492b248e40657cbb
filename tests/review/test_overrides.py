"""Override rates and their differences between groups, against plain counting, statsmodels,
the jackknife and a small simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from hitl_audit.review.adjusted_difference import (
    Compared,
    adjusted_difference,
    clustered_variance,
    mantel_haenszel,
    rate_of_answers,
    score_strata,
)
from hitl_audit.review.kpi import Item, Settings
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import CaseSample, SampledCase
from tests.review.review_events import verdict
from tests.review.review_world import decided, make_world

DIRECTIONS: list[tuple[str, int | None]] = [
    ("override rate", None),
    ("override rate, unfavorable to favorable", 0),
    ("override rate, favorable to unfavorable", 1),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("measure", "model"), DIRECTIONS)
def test_rates_by_case_and_by_group_are_weighted_counts(
    measure: str, model: int | None, weighted: bool
) -> None:
    world = make_world(1, weighted=weighted)
    found = world.summary(min_group=10)
    cases = world.cases.assign(human=decided(world.table, "final")).dropna(subset=["human"])
    if model is not None:
        cases = cases[cases["model"] == model]
    for group in ("", "a", "b"):
        own = cases if not group else cases[cases["group"] == group]
        kpi = found.kpi(measure, f"race: {group}" if group else "")
        overridden = own["human"] != own["model"]
        weights = 1 / own["pi"]
        assert kpi.n == len(own)
        assert kpi.count == int(overridden.sum())
        assert kpi.value == pytest.approx((weights * overridden).sum() / weights.sum())


def test_single_answers_have_reviewers_and_cases_as_clusters() -> None:
    world = make_world(2, reviewers=4, weighted=True)
    kpi = world.summary().kpi("override rate, by answer")
    table = world.table.dropna(subset=["final"])
    y, w = (table["final"] != table["model"]).astype(float), 1 / table["pi"]
    value = (w * y).sum() / w.sum()
    # Cameron, Gelbach & Miller 2011: by reviewer, plus by case, less by both.
    pull = w * (y - value) / w.sum()
    parts = []
    for by in (["reviewer"], ["case"], ["reviewer", "case"]):
        sums = pull.groupby([table[name] for name in by]).sum()
        parts.append(len(sums) / (len(sums) - 1) * float((sums**2).sum()))
    variance = max(*parts, parts[0] + parts[1] - parts[2])
    size, t = value * (1 - value) / variance, stats.t.ppf(0.975, 3)
    centre = (value + t**2 / (2 * size)) / (1 + t**2 / size)
    reach = t * (value * (1 - value) / size + t**2 / (4 * size**2)) ** 0.5 / (1 + t**2 / size)
    assert kpi.value == pytest.approx(value)
    assert (kpi.low, kpi.high) == pytest.approx((centre - reach, centre + reach))
    nobody = make_world(2, follows=1.0).summary().kpi("override rate, by answer")
    assert nobody.value == 0
    assert nobody.high is not None
    assert nobody.high > 0.1  # three reviewers who agree say little about a fourth
    few = make_world(2, reviewers=2).summary().kpi("override rate, by answer")
    assert (few.status, few.value) == ("insufficient data", None)
    assert "2 of 3 reviewers needed" in few.words


def draw(
    seed: int, n: int = 400, *, effect: float = 0.1, spread: float = 0.0, reviewers: int = 5
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    inside = rng.random(n) < 0.3 + 0.4 * score  # the group has higher scores
    reviewer = rng.integers(0, reviewers, n)
    lenient = rng.normal(0, 0.03, reviewers)[reviewer]
    # Overrides are commoner at low scores, and in the group by ``effect`` at every score.
    biased = rng.normal(effect, spread, reviewers)[reviewer]
    p = np.clip(0.45 - 0.3 * score + biased * inside + lenient, 0.01, 0.99)
    return pd.DataFrame(
        {
            "y": rng.random(n) < p,
            "inside": inside,
            "w": 1.0,
            "score": score,
            "reviewer": [f"r{r}" for r in reviewer],
            "case": [f"c{i}" for i in range(n)],
        }
    )


def compared(data: pd.DataFrame, *, scores: bool = True) -> list[Compared]:
    columns = ("case", "y", "w", "reviewer", "inside", "score")
    return [
        Compared(Item(case, bool(y), 1 / w, reviewer), bool(inside), score if scores else None)
        for case, y, w, reviewer, inside, score in zip(
            *(data[name].tolist() for name in columns), strict=True
        )
    ]


def plain_risk_difference(data: pd.DataFrame, strata: npt.NDArray[np.intp]) -> float:
    """Greenland & Robins, as printed: Σ (a m0 − b m1) / n  over  Σ m1 m0 / n."""
    top = bottom = 0.0
    for _, part in data.groupby(strata):
        one, other = part[part["inside"]], part[~part["inside"]]
        m1, m0 = one["w"].sum(), other["w"].sum()
        if m1 and m0:
            a, b = (one["w"] * one["y"]).sum(), (other["w"] * other["y"]).sum()
            top += (a * m0 - b * m1) / (m1 + m0)
            bottom += m1 * m0 / (m1 + m0)
    return float(top / bottom)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_the_estimate_is_that_of_mantel_and_haenszel(seed: int, weighted: bool) -> None:
    data = draw(seed, n=120)
    if weighted:
        data["w"] = np.random.default_rng(seed).choice([1.0, 4.0], len(data))
    strata = score_strata(data["score"].tolist(), data["case"].tolist())
    found, _ = adjusted_difference(compared(data), Settings())
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(plain_risk_difference(data, strata))
    assert found.low <= found.value <= found.high


def test_pulls_are_the_effect_of_a_little_more_weight() -> None:
    data = draw(3, n=80)
    data["w"] = np.random.default_rng(3).choice([1.0, 2.5], len(data))
    strata = score_strata(data["score"].tolist(), data["case"].tolist())
    y, w = data["y"].to_numpy(dtype=float), data["w"].to_numpy(dtype=float)
    inside = data["inside"].to_numpy(dtype=bool)
    result = mantel_haenszel(y, inside, w, strata)
    assert result is not None
    value, pulls = result
    for i in range(0, 80, 7):
        more = w.copy()
        more[i] *= 1 + 1e-6
        moved = mantel_haenszel(y, inside, more, strata)
        assert moved is not None
        assert (moved[0] - value) / 1e-6 == pytest.approx(pulls[i], rel=1e-3, abs=1e-9)
    assert pulls.sum() == pytest.approx(0, abs=1e-12)


def test_one_stratum_is_a_regression_with_clustered_errors() -> None:
    data = draw(4)
    y, inside = data["y"].to_numpy(dtype=float), data["inside"].to_numpy(dtype=bool)
    result = mantel_haenszel(y, inside, np.ones(len(y)), np.zeros(len(y), dtype=np.intp))
    assert result is not None
    codes = pd.factorize(data["reviewer"])[0]
    fit = sm.OLS(y, sm.add_constant(inside.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False}
    )
    assert result[0] == pytest.approx(fit.params[1])
    c = len(set(codes))
    assert clustered_variance(result[1], data["reviewer"].tolist()) == pytest.approx(
        c / (c - 1) * fit.bse[1] ** 2
    )


def test_the_variance_is_about_that_of_the_jackknife_over_reviewers() -> None:
    data = draw(5, n=1500, reviewers=25)
    strata = score_strata(data["score"].tolist(), data["case"].tolist())
    result = mantel_haenszel(
        data["y"].to_numpy(dtype=float),
        data["inside"].to_numpy(dtype=bool),
        data["w"].to_numpy(dtype=float),
        strata,
    )
    assert result is not None
    names = data["reviewer"].unique()
    left = [
        plain_risk_difference(data[keep], strata[keep])
        for name in names
        for keep in [(data["reviewer"] != name).to_numpy()]
    ]
    jackknife = (len(names) - 1) / len(names) * float(((np.array(left) - np.mean(left)) ** 2).sum())
    ours = clustered_variance(result[1], data["reviewer"].tolist())
    assert ours == pytest.approx(jackknife, rel=0.1)


def test_adjusting_for_the_score_removes_what_the_score_explains() -> None:
    data = draw(6, n=20_000, effect=0.0, reviewers=8)
    crude, _ = adjusted_difference(compared(data, scores=False), Settings())
    found, _ = adjusted_difference(compared(data), Settings())
    assert crude.value is not None
    assert found.value is not None
    assert crude.value < -0.03  # the group's scores are higher, so it is overridden less
    assert abs(found.value) < 0.02
    assert crude.method.startswith("not adjusted: no scores")
    assert found.method == "Mantel-Haenszel over score strata, clustered by reviewer and case"


def test_the_interval_keeps_its_promise() -> None:
    # 95 % nominal; 150 draws leave ±3.5 points of noise around the true coverage.
    # Reviewers differ in their bias, and the question is about other reviewers.
    truth = plain_risk_difference(*_large())
    hits = 0
    for seed in range(150):
        data = draw(seed, n=300, reviewers=8, spread=0.1)
        found, _ = adjusted_difference(compared(data), Settings(min_group=10))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.915 <= hits / 150 <= 1.0


def _large() -> tuple[pd.DataFrame, npt.NDArray[np.intp]]:
    data = draw(999, n=200_000, reviewers=2000, spread=0.1)
    return data, score_strata(data["score"].tolist(), data["case"].tolist())


def test_the_p_value_belongs_to_the_interval_and_is_adjusted() -> None:
    data = compared(draw(12, n=600))
    found, p = adjusted_difference(data, Settings())
    assert p is not None
    at_p, _ = adjusted_difference(data, Settings(confidence=1 - p))
    assert at_p.low is not None
    assert found.value is not None
    # The interval with confidence 1 − p ends at no difference.
    assert min(abs(at_p.low), abs(at_p.high or 0.0)) == pytest.approx(0, abs=1e-9)
    kpis = make_world(13, n_cases=200).summary(min_group=10).kpis
    family = [k for k in kpis if k.topic == "overrides" and k.p_value is not None]
    assert len(family) == 3
    adjusted = multipletests([k.p_value for k in family], method="fdr_bh")[1]
    assert [k.p_adjusted for k in family] == pytest.approx(list(adjusted))
    assert all(k.p_adjusted is None for k in kpis if k.p_value is None)


def test_few_reviewers_stand_for_themselves_only() -> None:
    one, _ = adjusted_difference(compared(draw(7, reviewers=1)), Settings())
    two, _ = adjusted_difference(compared(draw(7, reviewers=2)), Settings())
    assert one.method.endswith("clustered by case, for this 1 reviewer only")
    assert two.method.endswith("clustered by case, for these 2 reviewers only")


def test_balanced_answers_are_not_certain() -> None:
    # Every reviewer and every case has as many overrides as not: clusters alone say V = 0.
    items = [
        Item(f"c{case}", (case + reviewer) % 2 == 0, 0.1, f"r{reviewer}")
        for case in range(10)
        for reviewer in range(4)
    ]
    found = rate_of_answers(items, Settings())
    assert found.value == 0.5
    assert found.low is not None
    assert found.low < 0.35


def test_no_overrides_at_all_are_not_certain() -> None:
    data = draw(8).assign(y=False)
    found, _ = adjusted_difference(compared(data), Settings())
    assert found.value == 0.0
    assert found.low is not None
    assert found.low < -0.005
    assert found.method == "Newcombe, hybrid of the two intervals"


def test_small_groups_and_disjoint_scores_are_insufficient() -> None:
    data = draw(9)
    few = data[data["inside"].cumsum() <= 20]
    assert adjusted_difference(compared(few), Settings())[0].status == "insufficient data"
    none, _ = adjusted_difference(compared(data[~data["inside"]]), Settings())
    assert none.status == "not assessed"
    apart = data.assign(score=data["inside"].astype(float))
    found, _ = adjusted_difference(compared(apart), Settings())
    assert (found.status, found.value) == ("insufficient data", None)


def test_differences_compare_with_the_largest_or_the_given_group() -> None:
    world = make_world(10)
    measure = "override rate, difference at the same score"
    found = world.summary().kpi(measure, "race: b − a")
    turned = world.summary(reference={"race": "b"}).kpi(measure, "race: a − b")
    assert found.value is not None
    assert turned.value == pytest.approx(-found.value)
    assert dict(world.summary().reference) == {"race": "a"}


def test_missing_groups_are_listed_and_not_compared() -> None:
    world = make_world(11)
    groups: dict[str, Any] = dict(world.cases["group"])
    for case in list(groups)[:30]:
        groups[case] = None
    found = world.summary(groups={"race": groups}, min_group=10)
    assert found.kpi("override rate", "race: unknown").n > 0
    assert not any("unknown −" in kpi.group for kpi in found.kpis)


def test_drift_is_seen_in_the_order_of_deciding() -> None:
    cases = tuple(SampledCase(f"c{i}", 0.1, "", "") for i in range(80))
    events = [
        verdict(
            case.case_id,
            "disagree" if i >= 40 and i % 2 else "agree",
            at=f"2026-03-{1 + i // 4:02d}T09:00:00.000000Z",
        )
        for i, case in enumerate(cases)
    ]
    found = summarise(list(reversed(events)), CaseSample("random", 800, 0, cases))
    change = found.kpi("drift of the override rate", "later half − earlier half")
    assert change.value == pytest.approx(0.5)
    assert change.low is not None
    assert change.low > 0
    periods = [kpi for kpi in found.kpis if kpi.measure == "override rate over time"]
    assert [kpi.value for kpi in periods] == [0.0, 0.0, 0.5, 0.5]
    assert periods[0].group == "period 1 of 4: 2026-03-01 to 2026-03-05"
    short = summarise(events[:15], CaseSample("random", 800, 0, cases))
    assert short.kpi("drift of the override rate", change.group).status == "insufficient data"
    assert not any(kpi.measure == "override rate over time" for kpi in short.kpis)
