"""Scores by group: AUC, Brier, calibration, ABROCA and the histogram that adds up."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from hitl_audit.charts import to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.abroca import Abroca, RocDistance, abroca
from hitl_audit.fairness.measures import Measure, Partition, differences, partitions, welch
from hitl_audit.fairness.resampling import classes
from hitl_audit.fairness.score_histogram import score_histogram
from hitl_audit.fairness.score_metrics import (
    ScoreMetrics,
    roc_auc,
    score_metrics_by_group,
)
from hitl_audit.intervals import Count, newcombe, wilson
from hitl_audit.score_statistics import delong


def scored(
    rows: int = 600, seed: int = 0, **shift: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], pd.DataFrame]:
    """Outcomes, scores that know something about them, and groups a (most), b and c."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])
    sex = rng.choice(["f", "m"], rows)
    truth = rng.integers(0, 2, rows)
    extra = np.array([shift.get(name, 0.0) for name in group])
    score = 1 / (1 + np.exp(-rng.normal(truth * (1.5 + extra) - 0.75, 1.0)))
    return truth, score, pd.DataFrame({"group": group, "sex": sex})


def row_of(found: ScoreMetrics, group: str, metric: str, compare: str = "value") -> Measure:
    (row,) = [
        m for m in found.measures if (m.group, m.metric, m.compare) == (group, metric, compare)
    ]
    return row


def test_equal_to_sklearn_through_fairlearn() -> None:
    truth, score, features = scored()
    found = score_metrics_by_group(truth, score, sensitive_features=features)
    theirs = MetricFrame(
        metrics={
            "roc_auc": roc_auc_score,
            "brier_score": brier_score_loss,
            "mean_score": lambda y, s: float(np.mean(s)),
            "observed_rate": lambda y, s: float(np.mean(y)),
        },
        y_true=truth,
        y_pred=score,
        sensitive_features=features,
    )
    for metric in ("roc_auc", "brier_score", "mean_score", "observed_rate"):
        assert row_of(found, "all", metric).value == pytest.approx(
            theirs.overall[metric], abs=1e-12
        )
        for (group, sex), value in theirs.by_group[metric].items():
            assert row_of(found, f"{group} × {sex}", metric).value == pytest.approx(
                value, abs=1e-12
            )
    assert {m.attribute for m in found.measures} == {"all", "group", "sex", "group × sex"}


def test_auc_counts_pairs() -> None:
    """Mann-Whitney by brute force, with ties."""
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 2, 80), rng.integers(0, 6, 80) / 5
    wins = [(p > q) + 0.5 * (p == q) for p in score[truth == 1] for q in score[truth == 0]]
    found = score_metrics_by_group(truth, score, sensitive_features=["a"] * 80)
    assert row_of(found, "a", "roc_auc").value == pytest.approx(np.mean(wins), abs=1e-12)
    places = classes(-score, 6)
    table = np.bincount(places * 2 + truth, minlength=12).reshape(1, -1, 2)
    assert roc_auc(table)[0] == pytest.approx(np.mean(wins), abs=1e-12)


def test_intervals_are_those_they_are_called() -> None:
    truth, score, features = scored()
    found = score_metrics_by_group(truth, score, sensitive_features=features["group"])
    for group in "abc":
        mine = (features["group"] == group).to_numpy()
        auc = row_of(found, group, "roc_auc")
        expected = delong(truth[mine].astype(np.int8), score[mine], confidence=0.95)
        assert (auc.value, auc.low, auc.high) == expected
        mean = row_of(found, group, "mean_score")
        t = stats.t.interval(0.95, mine.sum() - 1, score[mine].mean(), stats.sem(score[mine]))
        assert (mean.low, mean.high) == pytest.approx(t)
        rate = row_of(found, group, "observed_rate")
        assert (rate.low, rate.high) == wilson(Count(int(truth[mine].sum()), int(mine.sum())))
        gap = row_of(found, group, "calibration_gap")
        errors = truth[mine] - score[mine]
        t = stats.t.interval(0.95, mine.sum() - 1, errors.mean(), stats.sem(errors))
        assert (gap.low, gap.high) == pytest.approx(t)


def test_bootstrap_agrees_with_the_analytic_intervals() -> None:
    truth, score, features = scored(1500, seed=3)
    options: dict[str, Any] = {"sensitive_features": features["group"], "n_boot": 1000}
    analytic = score_metrics_by_group(truth, score, **options)
    drawn = score_metrics_by_group(truth, score, method="bootstrap", **options)
    for metric in ("roc_auc", "brier_score", "mean_score", "calibration_gap"):
        one, other = row_of(analytic, "c", metric), row_of(drawn, "c", metric)
        assert one.value == other.value
        assert one.low is not None
        assert one.high is not None
        width = one.high - one.low
        assert other.low == pytest.approx(one.low, abs=0.2 * width)
        assert other.high == pytest.approx(one.high, abs=0.2 * width)


def test_classes_of_a_large_bootstrap_keep_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantiles of many replicates, with classes of scores and with every score by itself."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 3000)
    score = 1 / (1 + np.exp(-rng.normal(0.7 * truth, 2.0)))
    options: dict[str, Any] = {"sensitive_features": ["a"] * 3000, "method": "bootstrap"}
    drawn = score_metrics_by_group(truth, score, n_boot=4000, **options)
    assert drawn == score_metrics_by_group(truth, score, n_boot=4000, **options)
    assert any("at most 128 classes" in note for note in drawn.notes)
    monkeypatch.setattr("hitl_audit.fairness.score_metrics._LEVELS", 3000)
    exact = score_metrics_by_group(truth, score, n_boot=4000, random_state=1, **options)
    for metric in ("roc_auc", "brier_score", "mean_score", "calibration_gap"):
        one, other = row_of(exact, "a", metric), row_of(drawn, "a", metric)
        assert one.value == other.value
        width = (one.high or 0) - (one.low or 0)
        # The simulation error of a 2.5 % quantile of 4,000 is 1.1 % of the width (SD).
        assert other.low == pytest.approx(one.low, abs=0.06 * width)
        assert other.high == pytest.approx(one.high, abs=0.06 * width)


def test_differences_are_against_the_largest_group() -> None:
    truth, score, features = scored(b=-1.5)
    found = score_metrics_by_group(truth, score, sensitive_features=features["group"])
    for metric in ("roc_auc", "observed_rate", "brier_score"):
        gap = row_of(found, "b", metric, "difference")
        mine, other = row_of(found, "b", metric), row_of(found, "a", metric)
        assert gap.reference == "a"
        assert None not in (mine.value, other.value, gap.value, gap.low, gap.high)
        assert gap.value == pytest.approx((mine.value or 0) - (other.value or 0))
    auc = row_of(found, "b", "roc_auc", "difference")
    assert auc.high is not None
    assert auc.high < 0
    rates = [
        Count(int(truth[features["group"] == g].sum()), int((features["group"] == g).sum()))
        for g in "ba"
    ]
    rate = row_of(found, "b", "observed_rate", "difference")
    assert (rate.low, rate.high) == pytest.approx(newcombe(*rates))
    assert rate.method == "Newcombe"
    assert any("the reference is a, the largest group" in note for note in found.notes)
    named = score_metrics_by_group(
        truth, score, sensitive_features=features["group"], reference={"group": "c"}
    )
    assert {m.reference for m in named.measures if m.compare == "difference"} == {"c"}


def test_calibration_by_band() -> None:
    truth, score, features = scored(3000)
    found = score_metrics_by_group(truth, score, sensitive_features=features["group"], bands=5)
    frame = found.calibration_frame()
    assert set(frame["band"]) == {1, 2, 3, 4, 5}
    for band in found.calibration:
        mine = np.ones(3000, dtype=bool)
        if band.group != "all":
            mine = (features["group"] == band.group).to_numpy()
        inside = mine & (score >= band.score_from) & (score < band.score_to)
        assert band.n == inside.sum()
        assert band.predicted == pytest.approx(score[inside].mean())
        assert band.observed == pytest.approx(truth[inside].mean())
        assert (band.low, band.high) == wilson(Count(int(truth[inside].sum()), band.n))
        assert band.gap == pytest.approx(truth[inside].mean() - score[inside].mean())
    sizes = frame[frame["group"] == "all"]["n"]
    assert sizes.sum() == 3000
    assert sizes.max() - sizes.min() <= 1
    chart = found.calibration_chart("group")
    assert [s.name for s in chart.series] == ["a", "b", "c"]
    assert to_plotly(chart).layout.title.text


def test_a_wrong_score_shows_in_the_calibration() -> None:
    rng = np.random.default_rng(5)
    score = rng.uniform(0.2, 0.8, 4000)
    group = np.where(rng.random(4000) < 0.5, "a", "b")
    truth = (rng.random(4000) < np.where(group == "b", score - 0.15, score)).astype(int)
    found = score_metrics_by_group(truth, score, sensitive_features={"group": group})
    gap = row_of(found, "b", "calibration_gap")
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low < -0.15 < gap.high
    bands = [b for b in found.calibration if b.group == "b"]
    assert sum(b.gap_high is not None and b.gap_high < 0 for b in bands) >= 8
    assert "b: predicted" in found.calibration_chart("group").alt


@pytest.mark.parametrize(
    ("name", "truth", "score", "value", "status"),
    [
        ("one class", [1] * 40, list(np.linspace(0, 1, 40)), None, "undefined"),
        ("few of a class", [1] * 37 + [0] * 3, list(np.linspace(1, 0, 40)), 1.0, "small group"),
        ("few rows", [0, 1] * 5, [0.2, 0.8] * 5, 1.0, "small group"),
        ("all scores equal", [0, 1] * 20, [0.5] * 40, 0.5, "ok"),
    ],
)
def test_curves_that_decide_nothing(
    name: str, truth: list[int], score: list[float], value: float | None, status: str
) -> None:
    for method in ("analytic", "bootstrap"):
        found = score_metrics_by_group(
            truth,
            score,
            sensitive_features=["x"] * len(truth),
            method=method,
            n_boot=50,
        )
        auc = row_of(found, "x", "roc_auc")
        assert (auc.value, auc.low, auc.high, auc.status) == (value, None, None, status)


def test_scores_that_are_no_probabilities() -> None:
    truth, score, features = scored()
    credit = 300 + 550 * score
    found = score_metrics_by_group(truth, credit, sensitive_features=features["group"])
    assert {m.metric for m in found.measures} == {"roc_auc", "mean_score", "observed_rate"}
    assert found.calibration == ()
    assert any("no probabilities" in note for note in found.notes)
    plain = score_metrics_by_group(truth, score, sensitive_features=features["group"])
    assert row_of(found, "a", "roc_auc").value == row_of(plain, "a", "roc_auc").value
    with pytest.raises(InputError, match="attribute"):
        found.calibration_chart("group")


def test_unknown_and_small_groups_are_listed_and_never_the_reference() -> None:
    truth, score, features = scored()
    group = features["group"].astype(object).to_numpy().copy()
    group[:400] = None
    group[400:405] = "tiny"
    found = score_metrics_by_group(truth, score, sensitive_features={"group": group})
    assert row_of(found, "unknown", "mean_score").n == 400
    assert row_of(found, "tiny", "mean_score").status == "small group"
    assert {m.reference for m in found.measures} == {"", "a"}
    assert any("not known in 400 of 600 rows" in note for note in found.notes)
    assert any("fewer than 30 rows" in note for note in found.notes)
    alone = score_metrics_by_group(truth, score, sensitive_features={"group": [None] * 600})
    assert all(m.compare == "value" for m in alone.measures)
    assert any("there is no reference" in note for note in alone.notes)


def test_results_are_frozen_frames_and_charts() -> None:
    truth, score, features = scored()
    found = score_metrics_by_group(truth, score, sensitive_features=features)
    frame = found.frame()
    assert list(frame.columns) == list(Measure.__dataclass_fields__)
    assert len(frame) == len(found.measures)
    with pytest.raises(FrozenInstanceError):
        found.confidence = 0.9  # type: ignore[misc]
    chart = found.chart("roc_auc", "group × sex")
    assert len(chart.series[0].x) == 6
    assert "Area under the ROC curve by group × sex" in chart.message
    assert found.plot("roc_auc", "group", "difference").layout.shapes
    assert "<table" in found._repr_html_()
    with pytest.raises(InputError, match='metric is "auc"'):
        found.chart("auc", "group")
    with pytest.raises(InputError, match='attribute is "race"'):
        found.chart("roc_auc", "race")


# --- the area between two curves ---------------------------------------------


def area_by_grid(curves: list[tuple[Any, Any]], steps: int = 200_001) -> float:
    """|ROC − ROC| by brute force: the mean over a fine grid of false positive rates."""
    grid = (np.arange(steps) + 0.5) / steps
    one, other = (np.interp(grid, *curve) for curve in curves)
    return float(np.abs(one - other).mean())


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 5), st.booleans()), min_size=8, max_size=40
    )
)
@settings(max_examples=25, deadline=None)
def test_abroca_is_the_area(rows: list[tuple[int, int, bool]]) -> None:
    frame = pd.DataFrame(
        [*rows, (0, 1, True), (1, 2, True), (0, 3, False), (1, 2, False)],
        columns=["truth", "score", "first"],
    )
    names = np.where(frame["first"], "a", "b")
    found = abroca(
        frame["truth"],
        frame["score"],
        sensitive_features={"g": names},
        reference={"g": "b"},
        min_group=1,
        n_boot=1,
    )
    (distance,) = found.distances
    curves = [
        roc_curve(frame["truth"][names == g], frame["score"][names == g], drop_intermediate=False)
        for g in "ab"
    ]
    expected = area_by_grid([(c[0], c[1]) for c in curves])
    assert distance.value == pytest.approx(expected, abs=2e-4)
    areas = [roc_auc_score(frame["truth"][names == g], frame["score"][names == g]) for g in "ab"]
    assert distance.value is not None
    assert distance.value >= abs(areas[0] - areas[1]) - 1e-12


def test_abroca_sees_curves_that_cross() -> None:
    """Both areas are ¾. One curve is ½ up to ½ and then 1, the other 2t up to ½ and then 1."""
    truth = [1, 0, 1, 0] * 2
    groups = {"g": ["a"] * 4 + ["b"] * 4}
    scores = [4, 3, 2, 1, 2, 2, 2, 1]
    found = abroca(truth, scores, sensitive_features=groups, reference={"g": "a"}, min_group=1)
    assert roc_auc_score(truth[:4], scores[:4]) == roc_auc_score(truth[4:], scores[4:]) == 0.75
    assert found.distances[0].value == pytest.approx(1 / 8)
    assert found.distances[0].status == "small group"
    assert found.distances[0].low is None


def one_distance(found: Abroca, group: str) -> RocDistance:
    (distance,) = [d for d in found.distances if d.group == group]
    return distance


def test_abroca_against_chance() -> None:
    truth, score, features = scored(1500, seed=4, b=-2.5)
    found = abroca(truth, score, sensitive_features=features["group"], n_boot=200)
    worse, alike = one_distance(found, "b"), one_distance(found, "c")
    assert worse.value is not None
    assert worse.by_chance is not None
    assert worse.low is not None
    assert worse.value > worse.by_chance
    assert worse.low > worse.by_chance
    assert worse.p_value == pytest.approx(1 / 201)
    assert alike.p_value is not None
    assert alike.p_value > 0.05
    assert alike.p_adjusted == alike.p_value  # the larger of two
    assert worse.p_adjusted == pytest.approx(2 / 201)
    assert found == abroca(truth, score, sensitive_features=features["group"], n_boot=200)
    chart = found.chart("group")
    assert "for 1 of 2 groups" in chart.message
    assert len(found.plot("group").data) == 2
    assert list(found.frame()["group"]) == ["b", "c"]
    assert "<li>" in found._repr_html_()


def test_abroca_without_a_class_is_undefined() -> None:
    truth = [0, 1] * 40 + [1] * 40
    found = abroca(
        truth, np.linspace(0, 1, 120), sensitive_features=["a"] * 80 + ["b"] * 40, n_boot=5
    )
    assert [(d.value, d.status) for d in found.distances] == [(None, "undefined")]
    assert "No group has enough cases" in found.chart("sensitive_feature_0").alt


def test_randomization_test_is_uniform_without_a_difference() -> None:
    p_values = []
    for seed in range(40):
        truth, score, features = scored(160, seed=100 + seed)
        two = np.where(features["group"] == "a", "a", "b")
        found = abroca(truth, score, sensitive_features={"g": two}, n_boot=60, random_state=seed)
        p_values.append(found.distances[0].p_value)
    assert stats.kstest(np.array(p_values, dtype=float), "uniform").pvalue > 0.01


# --- the histogram -----------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.floats(0, 1),
        st.sampled_from("abc"),
        st.sampled_from("xy"),
    ),
    min_size=2,
    max_size=40,
)


@given(ROWS, st.integers(1, 39))
@settings(max_examples=30, deadline=None)
def test_histograms_add_up(rows: list[tuple[int, float, str, str]], cut: int) -> None:
    cut = min(cut, len(rows) - 1)

    def count(part: list[tuple[int, float, str, str]]) -> Any:
        frame = pd.DataFrame(part, columns=["truth", "score", "p", "q"])
        return score_histogram(
            frame["truth"], frame["score"], sensitive_features=frame[["p", "q"]], bins=7
        )

    whole = count(rows)
    assert count(rows[:cut]) + count(rows[cut:]) == whole
    assert whole.rows == len(rows)
    assert whole.by(["q"]).by([]) == whole.by([])
    assert whole.frame()[["negatives", "positives"]].to_numpy().sum() == len(rows)


def test_brackets_hold_the_exact_values() -> None:
    truth, score, features = scored(900)
    histogram = score_histogram(truth, score, sensitive_features=features, bins=50).by(["group"])
    exact = score_metrics_by_group(truth, score, sensitive_features=features["group"])
    brackets = {(b.group, b.metric): b for b in histogram.brackets()}
    assert len(brackets) == 9
    for (group, metric), bracket in brackets.items():
        value = row_of(exact, group, metric).value
        assert value is not None
        assert None not in (bracket.at_least, bracket.at_most, bracket.value)
        assert (bracket.at_least or 0) <= value <= (bracket.at_most or 0)
        assert (bracket.at_most or 0) - (bracket.at_least or 0) < 0.05
        assert bracket.n == row_of(exact, group, metric).n
    one_class = score_histogram([1, 1], [0.0, 1.0], sensitive_features=["a", "a"], bins=4)
    assert one_class.brackets()[0].value is None
    assert one_class.positives == ((1, 0, 0, 1),)


def test_a_score_on_an_edge_belongs_to_the_upper_bin() -> None:
    edges = [i / 10 for i in range(11)]
    histogram = score_histogram([0] * 11, edges, sensitive_features=["a"] * 11, bins=10)
    assert histogram.negatives == ((1,) * 9 + (2,),)


# --- what is refused ---------------------------------------------------------

GOOD: dict[str, Any] = {
    "y_true": [0, 1, 1],
    "y_score": [0.1, 0.5, 0.9],
    "sensitive_features": {"g": ["a", "b", "a"]},
}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"y_true": [0, 1, 2]}, "y_true has the labels 2"),
    ({"y_true": [0, 1, None]}, "y_true is missing in 1 of 3"),
    ({"y_true": []}, "y_true is empty"),
    ({"y_score": [0.1, 0.5]}, "y_score: got 2 rows, expected 3"),
    ({"y_score": [0.1, np.nan, 0.2]}, r"missing or infinite in 1 of 3 rows \(first at row 2\)"),
    ({"y_score": [0.1, math.inf, 0.2]}, "missing or infinite"),
    ({"y_score": ["a", "b", "c"]}, "other things than numbers"),
    ({"y_score": [[0.1], [0.2], [0.3]]}, r"shape \(3, 1\)"),
    ({"sensitive_features": {"g": ["a"]}}, "got 1 rows"),
    ({"sensitive_features": {}}, "no column"),
    ({"confidence": 1}, "confidence is 1"),
    ({"min_group": 0}, "min_group is 0"),
    ({"n_boot": 0}, "n_boot is 0"),
    ({"n_boot": 2.5}, "n_boot is 2.5"),
    ({"reference": {"h": "a"}}, 'reference is "h"; accepted: g'),
    ({"reference": {"g": "z"}}, 'reference of g is "z"; accepted: a, b'),
    ({"intersections": [["g"]]}, "two or more different attributes"),
    ({"intersections": [["g", "h"]]}, 'intersections is "h"'),
]


@pytest.mark.parametrize(("change", "message"), BAD)
@pytest.mark.parametrize("function", [score_metrics_by_group, abroca])
def test_bad_inputs(function: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        function(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(score_metrics_by_group, **GOOD, bands=0), "bands is 0"),
        (partial(score_metrics_by_group, **{**GOOD, "method": "delong"}), 'method is "delong"'),
        (partial(score_histogram, **{**GOOD, "y_score": [0, 1, 2]}), "goes from 0 to 2"),
        (partial(score_histogram, **GOOD, bins=0), "bins is 0"),
        (lambda: score_histogram(**GOOD).by(["h"]), 'attribute is "h"; accepted: g'),
        (
            lambda: score_histogram(**GOOD) + score_histogram(**GOOD, bins=3),
            "got scores by g in 3 bins, expected by g in 1000 bins",
        ),
    ],
)
def test_bad_settings(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


# --- what all tables share ---------------------------------------------------


def test_partitions_of_intersections() -> None:
    features = pd.DataFrame({"r": ["x", "x", "y", None], "s": ["m", "f", "m", "m"]})
    found = partitions(features, 4, reference={"r": "x"}, min_group=1)
    assert [p.attribute for p in found] == ["all", "r", "s", "r × s"]
    assert [p.reference for p in found] == [None, "x", "m", "x × f"]
    assert found[3].groups == ("unknown × m", "x × f", "x × m", "y × m")
    assert list(found[3].codes) == [2, 1, 3, 0]
    both = partitions(features, 4, reference={"r": "x", "s": "m"}, min_group=30)[3]
    assert (both.reference, both.picked) == ("x × m", False)
    assert [p.attribute for p in partitions(features, 4, intersections=False)] == ["all", "r", "s"]
    assert isinstance(found[0], Partition)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=30), rng.normal(0.4, 2, size=55)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert welch(a, b, confidence=0.9) == pytest.approx((theirs.low, theirs.high))
    assert welch(np.ones(5), np.ones(5), confidence=0.9) == (None, None)


def test_differences_need_two_values() -> None:
    base = Measure("g", "a", "m", "value", "", 90, 0.5, 0.4, 0.6, "Wilson", "ok")
    nothing = Measure("g", "b", "m", "value", "", 0, None, None, None, "Wilson", "undefined")
    small = Measure("g", "c", "m", "value", "", 5, 0.7, None, None, "Wilson", "small group")
    found = differences([base, nothing, small], {"g": "a"})
    assert [(m.group, m.value, m.low, m.status) for m in found] == [
        ("b", None, None, "undefined"),
        ("c", pytest.approx(0.2), None, "small group"),
    ]
    assert differences([base, nothing], {}) == []
