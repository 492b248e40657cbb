"""Model, people and both side by side, against Fairlearn, plain counting and a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score

from hitl_audit.intervals import Count, newcombe, wilson
from hitl_audit.review.estimates import weighted_difference
from hitl_audit.review.largest_gap import largest_gaps
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.paired_effect import Figure, group_difference
from hitl_audit.review.sampling import CaseSample, SampledCase
from tests.review.review_events import blind, verdict
from tests.review.review_world import World, decided, make_world

METRICS = {
    "accuracy": accuracy_score,
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
}
WHO = ("model", "human", "team")


def compared_cases(world: World) -> pd.DataFrame:
    cases = world.cases.assign(
        team=decided(world.table, "final"), human=decided(world.table, "blind")
    ).dropna(subset=["team", "human"])
    return cases.astype({"team": int, "human": int})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_every_value_is_that_of_fairlearn(metric: str, weighted: bool) -> None:
    world = make_world(1, n_cases=240, weighted=weighted)
    found = world.summary(min_group=10)
    cases = compared_cases(world)
    for who in WHO:
        frame = MetricFrame(
            metrics=METRICS[metric],
            y_true=cases["truth"],
            y_pred=cases[who],
            sensitive_features=cases["group"],
            sample_params={"sample_weight": 1 / cases["pi"]},
        )
        assert getattr(found.compared(metric), who).value == pytest.approx(frame.overall)
        for group in ("a", "b"):
            row = found.compared(metric, "race", group)
            assert getattr(row, who).value == pytest.approx(frame.by_group[group])
        apart = getattr(found.compared(metric, "race", "b − a"), who)
        assert apart.value == pytest.approx(frame.by_group["b"] - frame.by_group["a"])
        gap = getattr(found.compared(metric, "race", "largest gap"), who)
        assert gap.value == pytest.approx(frame.difference())
    for kind in ("", "a", "b", "b − a", "largest gap"):
        row = found.compared(metric, "race" if kind else "", kind)
        for a, b in (("human", "model"), ("team", "model"), ("team", "human")):
            change = getattr(row, f"{a}_minus_{b}")
            expected = getattr(row, a).value - getattr(row, b).value
            assert change.value == pytest.approx(expected)
            assert change.low - 1e-9 <= change.high


def test_n_and_missing_truth_are_printed() -> None:
    world = make_world(2)
    half = {str(c): int(v) for c, v in list(world.cases["truth"].items())[:60]}
    found = world.summary(truth=half)
    cases = compared_cases(world)
    known = cases[cases.index.isin(half)]
    row = found.compared("accuracy")
    assert (row.n, row.truth_n, row.truth_of) == (len(known), len(known), len(cases))
    positive = found.compared("true_positive_rate")
    assert positive.n == int((known["truth"] == 1).sum())
    selected = found.compared("selection_rate")
    assert (selected.n, selected.truth_n) == (len(cases), None)


def test_unweighted_intervals_are_wilson_bonett_price_and_newcombe() -> None:
    world = make_world(3, n_cases=200)
    found = world.summary(min_group=10)
    cases = compared_cases(world)
    a, b = (cases[cases["group"] == group] for group in ("a", "b"))
    for who in WHO:
        row = getattr(found.compared("selection_rate", "race", "a"), who)
        count = Count(int(a[who].sum()), len(a))
        assert (row.low, row.high) == pytest.approx(wilson(count))
        apart = getattr(found.compared("selection_rate", "race", "b − a"), who)
        other = Count(int(b[who].sum()), len(b))
        assert (apart.low, apart.high) == pytest.approx(newcombe(other, count))
    # Bonett & Price 2012, equation 3, for the team against the model.
    more = int(((a["team"] == 1) & (a["model"] == 0)).sum())
    less = int(((a["team"] == 0) & (a["model"] == 1)).sum())
    p, q, n = (more + 1) / (len(a) + 2), (less + 1) / (len(a) + 2), len(a)
    reach = 1.959964 * ((p + q - (p - q) ** 2) / (n + 2)) ** 0.5
    change = found.compared("selection_rate", "race", "a").team_minus_model
    assert (change.low, change.high) == pytest.approx((p - q - reach, p - q + reach), abs=1e-6)


def test_an_open_protocol_has_no_people_alone() -> None:
    found = review([("favorable", "agree", None, 1, "a")] * 40)
    row = found.compared("accuracy")
    assert row.human.value is None
    assert row.human_minus_model.value is None
    assert row.team_minus_model.value == 0
    assert row.team_minus_model.low is not None
    assert row.team_minus_model.low < 0  # that nothing differed in 40 cases proves little
    assert [s.name for s in found.chart("accuracy").series] == [
        "model alone",
        "people with the model",
    ]


def test_people_who_remove_a_gap_are_said_to_make_it_smaller() -> None:
    # The model grants group a always and group b half the time; people grant all.
    rows = [("favorable", "agree", "favorable", 1, "a")] * 60
    rows += [("favorable", "agree", "favorable", 1, "b")] * 30
    rows += [("unfavorable", "disagree", "favorable", 1, "b")] * 30
    found = review(rows)
    row = found.compared("selection_rate", "race", "b − a")
    assert row.model.value == pytest.approx(-0.5)
    assert row.team.value == 0
    assert row.team_minus_model.value == pytest.approx(0.5)
    assert row.words == "people made the difference smaller"
    gap = found.compared("selection_rate", "race", "largest gap")
    assert gap.team_minus_model.value == pytest.approx(-0.5)
    assert gap.team_minus_model.high is not None
    assert gap.team_minus_model.high < 0
    worse = review([(m, v, b, t, "a" if g == "b" else "b") for m, v, b, t, g in rows])
    assert worse.compared("selection_rate", "race", "b − a").model.value == pytest.approx(0.5)
    same = review([("favorable", "agree", "favorable", 1, g) for g in "ab" for _ in range(40)])
    unchanged = same.compared("selection_rate", "race", "b − a")
    assert unchanged.words == "no change by people can be told from chance"


def test_small_and_unknown_groups_are_in_no_gap() -> None:
    world = make_world(4, n_cases=150)
    groups: dict[str, Any] = dict(world.cases["group"])
    names = list(groups)
    for case in names[:8]:
        groups[case] = "tiny"
    for case in names[8:60]:
        groups[case] = None
    found = world.summary(groups={"race": groups}, min_group=20)
    tiny = found.compared("selection_rate", "race", "tiny")
    assert (tiny.status, tiny.team.value, tiny.needed) == ("insufficient data", None, 20)
    assert found.compared("selection_rate", "race", "unknown").status == "estimated"
    gap = found.compared("selection_rate", "race", "largest gap")
    assert gap.words.startswith("among a, b;")
    alone = world.summary(groups={"race": dict.fromkeys(names, "a")})
    gap = alone.compared("selection_rate", "race", "largest gap")
    assert (gap.status, gap.model.value) == ("insufficient data", None)
    assert "1 of 2 groups needed" in gap.words


def test_the_largest_gap_equals_drawing_the_cases_themselves() -> None:
    rng = np.random.default_rng(5)
    n = 150
    groups = rng.integers(0, 3, n)
    weights = rng.choice([1.0, 3.0], n)
    yes = rng.random((n, 2)) < 0.5
    observed, drawn, undefined = largest_gaps(yes, groups, weights, n_boot=4000, random_state=1)

    def gap(picked: np.ndarray, column: int) -> float:
        rates = [
            np.average(
                smooth_yes[picked][smooth_groups[picked] == g, column],
                weights=smooth_weights[picked][smooth_groups[picked] == g],
            )
            for g in range(3)
        ]
        return float(np.ptp(rates))

    # Two cases more per group, one each way in which the two deciders can differ.
    means = [weights[groups == g].mean() for g in range(3)]
    smooth_groups = np.concatenate([groups, np.repeat(range(3), 2)])
    smooth_weights = np.concatenate([weights, np.repeat(means, 2)])
    smooth_yes = np.concatenate([yes, np.tile([[False, True], [True, False]], (3, 1))])
    assert observed[0] == pytest.approx(gap(np.arange(n), 0))
    again = np.random.default_rng(2)
    plain = np.array(
        [
            [gap(picked, 0), gap(picked, 1)]
            for picked in (again.integers(0, n + 6, n + 6) for _ in range(2000))
        ]
    )
    assert undefined == 0
    for quantile in (0.025, 0.5, 0.975):
        assert np.quantile(drawn[:, 0] - drawn[:, 1], quantile) == pytest.approx(
            np.quantile(plain[:, 0] - plain[:, 1], quantile), abs=0.02
        )
    same = largest_gaps(yes, groups, weights, n_boot=4000, random_state=1)
    assert np.array_equal(same[1], drawn)


def test_the_interval_of_a_changed_difference_keeps_its_promise() -> None:
    # 95 % nominal; 1,000 draws leave ±1.4 points of noise around the true coverage.
    rng = np.random.default_rng(6)
    truth = 0.6 * 0.25 - 0.4 * 0.05  # b is refused more often, and raised more often
    hits = 0
    for _ in range(1000):
        changes = []
        for granted, raised in ((0.4, 0.25), (0.6, 0.05)):
            model = rng.random(60) < granted
            team = model | (rng.random(60) < raised)
            change = weighted_difference(
                team.tolist(), model.tolist(), [0.1] * 60, finite_population=False
            )
            changes.append(Figure(change.value, change.low, change.high))
        found = group_difference(*changes)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.935 <= hits / 1000 <= 0.985


def review(rows: Sequence[tuple[str, str, str | None, int, str]], **options: Any) -> Oversight:
    """(model, verdict, blind answer, truth, group) each, on a case of its own."""
    cases = [f"c{i}" for i in range(len(rows))]
    events = []
    for case, (model, answer, own, _, _) in zip(cases, rows, strict=True):
        if own is not None:
            events.append(blind(case, own))
        events.append(verdict(case, answer, model_decision=model))
    sampled = tuple(SampledCase(case, 0.1, "", "") for case in cases)
    given: dict[str, Any] = {
        "truth": {case: row[3] for case, row in zip(cases, rows, strict=True)},
        "groups": {"race": {case: row[4] for case, row in zip(cases, rows, strict=True)}},
        "n_boot": 200,
    }
    sample = CaseSample("random", 10 * len(cases), 0, sampled)
    return summarise(events, sample, **(given | options))
