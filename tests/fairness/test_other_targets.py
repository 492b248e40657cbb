"""Classes, numbers and ranked lists by group."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    mean_absolute_error,
    precision_score,
    recall_score,
)

from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import Measure
from hitl_audit.fairness.multiclass import MulticlassMetrics, multiclass_metrics
from hitl_audit.fairness.ranking import ranking_metrics
from hitl_audit.fairness.regression import regression_metrics
from hitl_audit.intervals import Count, koopman, newcombe, wilson

# --- classes -----------------------------------------------------------------


def classified(rows: int = 500) -> tuple[Any, Any, pd.DataFrame]:
    rng = np.random.default_rng(0)
    truth = rng.choice(["low", "middle", "high"], rows, p=[0.5, 0.3, 0.2])
    guess = np.where(rng.random(rows) < 0.7, truth, rng.choice(["low", "middle", "high"], rows))
    return truth, guess, pd.DataFrame({"g": rng.choice(["a", "b"], rows, p=[0.6, 0.4])})


def of_class(
    found: MulticlassMetrics, group: str, metric: str, label: str, compare: str = "value"
) -> Measure:
    (row,) = [
        m
        for m in found.measures
        if (m.group, m.metric, m.label, m.compare) == (group, metric, label, compare)
    ]
    return row


def test_classes_equal_sklearn_through_fairlearn() -> None:
    truth, guess, features = classified()
    found = multiclass_metrics(truth, guess, sensitive_features=features)
    assert found.labels == ("high", "low", "middle")
    functions: dict[str, Any] = {
        "true_positive_rate": recall_score,
        "precision": precision_score,
        "f1": f1_score,
    }
    for metric, function in functions.items():
        for label in (*found.labels, "macro"):
            options: dict[str, Any] = {"average": "macro"}
            if label != "macro":
                options["labels"] = [label]

            def theirs(y: Any, p: Any, f: Any = function, o: dict[str, Any] = options) -> float:
                return float(f(y, p, **o))

            frame = MetricFrame(
                metrics=theirs, y_true=truth, y_pred=guess, sensitive_features=features
            )
            for group in "ab":
                row = of_class(found, group, metric, label)
                assert row.value == pytest.approx(frame.by_group[group], abs=1e-12)
            assert of_class(found, "all", metric, label).value == pytest.approx(frame.overall)
    assert of_class(found, "all", "accuracy", "").value == accuracy_score(truth, guess)


def test_intervals_of_classes() -> None:
    truth, guess, features = classified()
    found = multiclass_metrics(truth, guess, sensitive_features=features)
    counts = {
        g: Count(int((guess[features["g"] == g] == "low").sum()), int((features["g"] == g).sum()))
        for g in "ab"
    }
    rate = of_class(found, "b", "selection_rate", "low")
    assert (rate.n, rate.low, rate.high) == (counts["b"].total, *(wilson(counts["b"]) or ()))
    gap = of_class(found, "b", "selection_rate", "low", "difference")
    assert (gap.low, gap.high) == pytest.approx(newcombe(counts["b"], counts["a"]))
    ratio = of_class(found, "b", "selection_rate", "low", "ratio")
    assert (ratio.low, ratio.high) == koopman(counts["b"], counts["a"])
    assert (ratio.reference, ratio.method) == ("a", "Koopman score")
    false = of_class(found, "a", "false_positive_rate", "low")
    mine = (features["g"] == "a").to_numpy() & (truth != "low")
    assert false.n == mine.sum()
    assert false.value == pytest.approx((guess[mine] == "low").mean())
    # Macro recall: the bootstrap over rows gives the same interval.
    rng = np.random.default_rng(9)
    rows = np.flatnonzero(features["g"] == "b")
    drawn = []
    for _ in range(300):
        again = rng.choice(rows, len(rows))
        drawn.append(np.mean([(guess[again] == c)[truth[again] == c].mean() for c in found.labels]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    macro = of_class(found, "b", "true_positive_rate", "macro")
    assert (macro.low, macro.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    assert found == multiclass_metrics(truth, guess, sensitive_features=features)


def test_a_class_that_a_group_lacks() -> None:
    truth = [0, 1, 2] * 20 + [0, 1] * 20
    found = multiclass_metrics(truth, truth, sensitive_features={"g": ["a"] * 60 + ["b"] * 40})
    assert of_class(found, "b", "true_positive_rate", "2").status == "undefined"
    assert of_class(found, "b", "true_positive_rate", "macro").value is None
    assert of_class(found, "b", "true_positive_rate", "macro", "difference").value is None
    assert of_class(found, "a", "f1", "macro").value == 1
    assert any("macro average is undefined" in note for note in found.notes)
    assert "Class macro." in found.chart("f1", "g").message
    assert found.plot("selection_rate", "g", "0", "ratio").data
    assert "label" in found.frame()
    assert "<table" in found._repr_html_()


def test_labels_are_compared_by_their_text() -> None:
    found = multiclass_metrics(
        [0, 1, 2], [0.0, 1.0, 2.0], sensitive_features=["a"] * 3, labels=["0", 1, 2, 3]
    )
    assert found.labels == ("0", "1", "2", "3")
    assert of_class(found, "all", "accuracy", "").value == 1
    assert of_class(found, "all", "selection_rate", "3").value == 0


GOOD_CLASSES: dict[str, Any] = {
    "y_true": ["x", "y", "x"],
    "y_pred": ["x", "y", "y"],
    "sensitive_features": {"g": ["a", "b", "a"]},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": []}, "y_true is empty"),
        ({"y_true": ["x", None, "y"]}, "y_true is missing in 1 of 3"),
        ({"y_pred": ["x", "y"]}, "y_pred: got 2 rows, expected 3"),
        ({"y_pred": [["x"], ["y"], ["x"]]}, r"y_pred has shape \(3, 1\)"),
        ({"labels": ["x", "z"]}, "found the label 'y' in y_true or y_pred; accepted: x, z"),
        ({"y_true": ["x"] * 3, "y_pred": ["x"] * 3}, "found only the class 'x'"),
        ({"reference": {"g": "c"}}, 'reference of g is "c"'),
        ({"n_boot": 0}, "n_boot is 0"),
    ],
)
def test_bad_classes(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        multiclass_metrics(**{**GOOD_CLASSES, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recall", "g"), 'metric is "recall"'),
        (("f1", "h"), 'attribute is "h"; accepted: g'),
        (("f1", "g", "z"), 'label is "z"; accepted: x, y, macro'),
        (("f1", "g", "x", "ratio"), 'compare is "ratio"; accepted: value'),
    ],
)
def test_charts_that_do_not_exist(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        multiclass_metrics(**GOOD_CLASSES).chart(*arguments)  # type: ignore[arg-type]


# --- numbers -----------------------------------------------------------------


def predicted() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    group = rng.choice(["a", "b"], 300, p=[0.6, 0.4])
    truth = rng.normal(50, 10, 300)
    return truth, truth + rng.normal(0, 4, 300) - 3 * (group == "b"), group


def test_regression_by_group() -> None:
    truth, guess, group = predicted()
    found = regression_metrics(truth, guess, sensitive_features={"g": group})
    rows = {(m.group, m.metric, m.compare): m for m in found.measures}
    for name in "ab":
        mine = group == name
        error = guess[mine] - truth[mine]
        mae = rows[name, "mean_absolute_error", "value"]
        assert mae.value == pytest.approx(mean_absolute_error(truth[mine], guess[mine]))
        assert (mae.low, mae.high) == pytest.approx(
            stats.t.interval(0.95, mine.sum() - 1, np.abs(error).mean(), stats.sem(np.abs(error)))
        )
        assert rows[name, "mean_error", "value"].value == pytest.approx(error.mean())
        for q in (0.1, 0.5, 0.9):
            row = rows[name, f"error_quantile_{q}", "value"]
            bounds: Any = stats.quantile_test(error, p=q).confidence_interval()
            assert row.value == pytest.approx(np.quantile(error, q))
            assert (row.low, row.high) == (bounds.low, bounds.high)
    parity = rows["b", "mean_prediction", "difference"]
    welch = stats.ttest_ind(guess[group == "b"], guess[group == "a"], equal_var=False)
    span = welch.confidence_interval(0.95)
    assert (parity.low, parity.high) == pytest.approx((span.low, span.high))
    assert (parity.method, parity.reference) == ("Welch t", "a")
    shift = rows["b", "mean_error", "difference"]
    assert shift.high is not None
    assert shift.high < 0
    assert rows["b", "error_quantile_0.9", "difference"].method == "MOVER of order statistics"
    assert found.plot("mean_error", "g", "difference").layout.shapes
    assert "<table" in found._repr_html_()
    assert len(found.frame()) == 3 * 6 + 6


def test_too_few_errors_for_a_quantile() -> None:
    found = regression_metrics(
        [1.0, 2.0, 3.0], [1.5, 2.0, 2.0], sensitive_features=["a", "a", None], quantiles=(0.5,)
    )
    (row,) = [m for m in found.measures if m.metric == "error_quantile_0.5" and m.group == "a"]
    assert (row.value, row.low, row.high, row.status) == (0.25, None, None, "small group")
    (alone,) = [m for m in found.measures if m.metric == "mean_error" and m.group == "unknown"]
    assert (alone.n, alone.value, alone.low) == (1, -1.0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [1.0, np.nan]}, "y_true is missing or infinite in 1 of 2 rows"),
        ({"y_pred": [1.0, np.inf]}, "y_pred is missing or infinite"),
        ({"y_pred": [1.0]}, "y_pred: got 1 rows, expected 2"),
        ({"y_true": ["x", "y"]}, "y_true holds other things than numbers"),
        ({"y_true": []}, "y_true is empty"),
        ({"quantiles": [0.5, 1]}, "quantiles has 1"),
        ({"confidence": 2}, "confidence is 2"),
    ],
)
def test_bad_numbers(change: dict[str, Any], message: str) -> None:
    good = {"y_true": [1.0, 2.0], "y_pred": [1.0, 2.0], "sensitive_features": ["a", "b"]}
    with pytest.raises(InputError, match=message):
        regression_metrics(**{**good, **change})


# --- ranked lists ------------------------------------------------------------


def test_ties_share_places() -> None:
    """Equal to the mean over all orders of the tied members."""
    scores, group = [3, 2, 2, 2, 1], np.array(list("abbab"))
    found = ranking_metrics(scores, sensitive_features={"g": group}, k=2, min_group=1, n_boot=2)
    selected: dict[str, list[float]] = {"a": [], "b": []}
    exposed: dict[str, list[float]] = {"a": [], "b": []}
    for middle in permutations([1, 2, 3]):
        ranked = group[[0, *middle, 4]]
        for name in "ab":
            selected[name].append((ranked[:2] == name).sum() / (group == name).sum())
            exposed[name].append(float(np.mean(1 / np.log2(2 + np.flatnonzero(ranked == name)))))
    rows = {(m.group, m.metric): m.value for m in found.measures if m.compare == "value"}
    for name in "ab":
        assert rows[name, "selection_rate_at_2"] == pytest.approx(np.mean(selected[name]))
        assert rows[name, "exposure"] == pytest.approx(np.mean(exposed[name]))
    assert rows["all", "selection_rate_at_2"] == pytest.approx(0.4)


def ranked() -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    group = rng.choice(["a", "b"], 400, p=[0.6, 0.4])
    return rng.normal(0, 1, 400) - 0.8 * (group == "b"), group


def test_one_list() -> None:
    scores, group = ranked()
    found = ranking_metrics(scores, sensitive_features={"g": group}, k=(20, 100), n_boot=400)
    rows = {(m.group, m.metric, m.compare): m for m in found.measures}
    top = np.argsort(-scores)[:100]
    counts = {g: Count(int((group[top] == g).sum()), int((group == g).sum())) for g in "ab"}
    rate = rows["b", "selection_rate_at_100", "value"]
    assert (rate.value, rate.n) == (float(counts["b"].rate or 0), counts["b"].total)
    assert (rate.low, rate.high) == wilson(counts["b"])
    ratio = rows["b", "selection_rate_at_100", "ratio"]
    assert (ratio.low, ratio.high) == koopman(counts["b"], counts["a"])
    gap = rows["b", "selection_rate_at_100", "difference"]
    assert (gap.low, gap.high) == newcombe(counts["b"], counts["a"])
    exposure = rows["b", "exposure", "ratio"]
    places = np.empty(400)
    places[np.argsort(-scores)] = np.arange(400)
    gains = 1 / np.log2(places + 2)
    assert exposure.value == pytest.approx(gains[group == "b"].mean() / gains[group == "a"].mean())
    assert exposure.high is not None
    assert exposure.high < 1
    # The same by resampling rows one by one.
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(300):
        rows_drawn = rng.integers(0, 400, 400)
        order = rows_drawn[np.argsort(-scores[rows_drawn], kind="stable")]
        gains = 1 / np.log2(np.arange(400) + 2)
        drawn.append(gains[group[order] == "b"].mean() / gains[group[order] == "a"].mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (exposure.low, exposure.high) == pytest.approx((low, high), abs=0.2 * (high - low))
    everyone = rows["all", "exposure", "value"]
    assert (everyone.low, everyone.status) == (None, "ok")
    assert found.plot("exposure", "g", "ratio").data
    assert "<table" in found._repr_html_()
    assert found.frame()["metric"].nunique() == 3


def test_several_lists() -> None:
    scores, group = ranked()
    query = np.arange(400) % 20
    found = ranking_metrics(scores, sensitive_features={"g": group}, k=3, query=query, n_boot=500)
    assert found.lists == 20
    (rate,) = [
        m
        for m in found.measures
        if (m.group, m.metric, m.compare) == ("b", "selection_rate_at_3", "value")
    ]
    hits = sum(
        int((group[query == q][np.argsort(-scores[query == q])[:3]] == "b").sum())
        for q in range(20)
    )
    assert rate.value == pytest.approx(hits / (group == "b").sum())
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < (rate.value or 0) < rate.high
    assert rate.method == "bootstrap of lists, percentile"
    few = ranking_metrics(scores, sensitive_features={"g": group}, k=3, query=query % 4)
    assert all(m.low is None for m in few.measures)
    assert any("4 lists are too few" in note for note in few.notes)


def test_nobody_selected_is_still_uncertain() -> None:
    scores = [*range(100, 40, -1), *range(40)]
    found = ranking_metrics(
        scores, sensitive_features={"g": ["a"] * 60 + ["b"] * 40}, k=10, n_boot=50
    )
    (rate,) = [
        m
        for m in found.measures
        if (m.group, m.metric, m.compare) == ("b", "selection_rate_at_10", "value")
    ]
    assert (rate.value, rate.low) == (0.0, 0.0)
    assert rate.high == pytest.approx((wilson(Count(0, 40)) or (0, 0))[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_score": [1.0, np.nan, 2.0]}, "y_score is missing or infinite in 1 of 3"),
        ({"y_score": []}, "y_score is empty"),
        ({"k": 0}, "k is 0"),
        ({"k": 1.5}, "k is 1.5"),
        ({"k": []}, "k is empty"),
        ({"k": 3}, "k is 3, and the longest list has 3 rows"),
        ({"query": [1, 2]}, "query: got 2 rows, expected 3"),
        ({"query": [1, None, 2]}, "query is missing in 1 of 3 rows"),
        ({"sensitive_features": {"g": ["a"]}}, "got 1 rows"),
    ],
)
def test_bad_rankings(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "y_score": [3.0, 2.0, 1.0],
        "sensitive_features": {"g": ["a", "b", "a"]},
        "k": 1,
    }
    with pytest.raises(InputError, match=message):
        ranking_metrics(**{**good, **change})


def test_a_chart_needs_no_arguments() -> None:
    numbers = np.arange(60.0)
    features = {"g": ["a", "b"] * 30}
    found = regression_metrics(numbers, numbers[::-1], sensitive_features=features)
    first = found.measures[0].metric
    assert found.chart() == found.chart(first, "g")
    assert found.plot().data
