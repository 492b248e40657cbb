"""How well the model decides, against scikit-learn and by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    roc_auc_score,
)

from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.performance import Confusion, Performance, measure_performance
from hitl_audit.score_statistics import average_precision, bootstrap, brier_score, delong


def sample(n: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(3, 2, n).round(2)
    truth = (rng.random(n) < scores).astype(int)
    return truth, scores, rng.choice(["a", "b"], n)


@pytest.fixture(scope="module")
def measured() -> Performance:
    truth, scores, group = sample(400)
    return measure_performance(truth, scores, sensitive_features={"g": group}, n_boot=300)


def test_equal_to_scikit_learn(measured: Performance) -> None:
    truth, scores, group = sample(400)
    for who, rows in (("all", group != ""), ("a", group == "a"), ("b", group == "b")):
        of = measured.of(who)
        y, s = truth[rows], scores[rows]
        tn, fp, fn, tp = confusion_matrix(y, s >= 0.5).ravel().tolist()
        assert of.confusion == Confusion(tn, fp, fn, tp) == measured.confusion(who)
        wanted = {
            "accuracy": (tn + tp) / len(y),
            "true_positive_rate": tp / (tp + fn),
            "false_positive_rate": fp / (tn + fp),
            "precision": tp / (tp + fp),
            "roc_auc": roc_auc_score(y, s),
            "average_precision": average_precision_score(y, s),
            "brier_score": brier_score_loss(y, s),
        }
        for metric, value in wanted.items():
            score = of.score(metric)
            assert score.value == pytest.approx(value, abs=1e-12)
            assert score.low is not None
            assert score.high is not None
            assert score.low < value < score.high
            assert score.status == "ok"
        assert (of.score("precision").low, of.score("precision").high) == wilson(Count(tp, tp + fp))


def test_a_score_at_the_threshold_is_favorable() -> None:
    found = measure_performance([1, 1, 0, 0], [0.6, 0.4, 0.6, 0.4], threshold=0.6, n_boot=10)
    assert found.confusion() == Confusion(1, 1, 1, 1)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=4, max_size=40).filter(
        lambda rows: len({y for y, _ in rows}) == 2
    )
)
@settings(max_examples=80, deadline=None)
def test_delong_by_brute_force(rows: list[tuple[int, int]]) -> None:
    """Mann-Whitney over all pairs, and the variance of its components."""
    truth, scores = np.array(rows).T
    s = scores / 6
    kernel = np.array(
        [[(p > q) + (p == q) / 2 for q in s[truth == 0]] for p in s[truth == 1]], dtype=float
    )
    auc, low, high = delong(truth.astype(np.int8), s, confidence=0.95)
    assert auc == pytest.approx(kernel.mean(), abs=1e-12)
    m, n = kernel.shape
    variance = (
        kernel.mean(1).var(ddof=1) / m + kernel.mean(0).var(ddof=1) / n if min(m, n) > 1 else 0.0
    )
    if variance < 1e-15 or kernel.mean() in (0, 1):
        assert (low, high) == (None, None)
    else:
        a = kernel.mean()
        reach = 1.959963984540054 * np.sqrt(variance) / (a * (1 - a))
        logits = np.log(a / (1 - a)) + np.array([-reach, reach])
        assert (low, high) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-9)


def test_delong_agrees_with_resampled_rows() -> None:
    truth, scores, _ = sample(500, seed=2)
    _, low, high = delong(truth.astype(np.int8), scores, confidence=0.95)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 500, 500) for _ in range(600)]
    values = [roc_auc_score(truth[rows], scores[rows]) for rows in drawn]
    assert (low, high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.012)


def test_bootstrap_of_counts_agrees_with_resampled_rows() -> None:
    truth, scores, _ = sample(300, seed=3)
    estimates = bootstrap(
        truth.astype(np.int8),
        scores,
        [average_precision, brier_score],
        confidence=0.95,
        n_boot=2000,
        random_state=0,
    )
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 300, 300) for _ in range(600)]
    for (value, low, high), function in zip(
        estimates, (average_precision_score, brier_score_loss), strict=True
    ):
        rows = [function(truth[d], scores[d]) for d in drawn]
        assert value == pytest.approx(function(truth, scores), abs=1e-12)
        assert (low, high) == pytest.approx(np.quantile(rows, [0.025, 0.975]), abs=0.012)


def test_same_seed_same_numbers(measured: Performance) -> None:
    truth, scores, group = sample(400)
    options: dict[str, Any] = {"sensitive_features": {"g": group}, "n_boot": 300}
    assert measure_performance(truth, scores, **options) == measured
    assert measure_performance(truth, scores, random_state=1, **options) != measured


def test_calibration_counts_every_case_once(measured: Performance) -> None:
    truth, scores, _ = sample(400)
    bins = measured.overall.calibration
    assert 8 <= len(bins) <= 10
    assert sum(b.n for b in bins) == 400
    assert sum(b.n * b.observed for b in bins) == pytest.approx(truth.sum())
    assert sum(b.n * b.predicted for b in bins) == pytest.approx(scores.sum())
    assert [b.predicted for b in bins] == sorted(b.predicted for b in bins)
    for b in bins:
        assert (b.low, b.high) == wilson(Count(round(b.n * b.observed), b.n))
    few = measure_performance(truth[:70], scores[:70], n_boot=10).overall.calibration
    assert len(few) == 2  # 70 rows fill two bins of 30


def test_small_groups_and_absent_classes_are_said() -> None:
    truth, scores, _ = sample(200)
    group = np.array(["big"] * 180 + ["small"] * 12 + ["won"] * 8)
    truth[192:] = 1
    found = measure_performance(truth, scores, sensitive_features={"g": group}, n_boot=20)
    frame = found.frame()
    small = frame[frame["group"] == "small"]
    assert set(small["status"]) == {"small group"}
    won = found.of("won")
    for metric in ("roc_auc", "average_precision"):
        assert won.score(metric).status == "undefined"
        assert (won.score(metric).value, won.score(metric).low) == (None, None)
    assert won.score("false_positive_rate").value is None
    assert won.roc.x == won.precision_recall.x == ()
    charts = found.charts("g")
    assert [series.name for series in charts["roc"].series] == ["all rows", "big"]
    assert "Too few cases to draw: small, won." in charts["roc"].message


def test_a_rare_class_makes_no_curve_interval_ok() -> None:
    truth, scores, _ = sample(200)
    truth[:] = 0
    truth[:9] = 1
    assert (
        measure_performance(truth, scores, n_boot=20).overall.score("roc_auc").status
        == "small group"
    )


def test_one_class_only() -> None:
    found = measure_performance([1] * 40, [0.7] * 40, n_boot=20)
    assert found.overall.score("roc_auc").status == "undefined"
    assert "undefined for all rows" in found.charts()["roc"].message
    assert found.charts()["roc"].series == ()


def test_views_show_the_same_numbers(measured: Performance) -> None:
    frame = measured.frame()
    assert len(frame) == 3 * 7
    assert set(frame["group"]) == {"all", "a", "b"}
    assert "roc_auc" in measured._repr_html_()
    charts = measured.charts("g")
    assert list(charts) == ["roc", "precision_recall", "calibration"]
    assert [series.name for series in charts["roc"].series] == ["all rows", "a", "b"]
    assert [len(chart.series) for chart in measured.charts().values()] == [1, 1, 1]
    roc = measured.overall.roc
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert len(roc.x) <= 200
    auc = measured.overall.score("roc_auc")
    assert (
        f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}) for all rows" in charts["roc"].message
    )
    area = np.trapezoid(roc.y, roc.x)
    assert area == pytest.approx(auc.value, abs=0.005)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_score": [0.5, 0.5]}, r"y_score: got shape \(2,\), expected \(4,\)"),
        ({"y_score": [0.5, 0.5, 0.5, None]}, "y_score is missing in 1 of 4 rows"),
        ({"y_score": [-3.0, 0.5, 0.5, 2.0]}, "y_score goes from -3 to 2; accepted: prob"),
        ({"y_score": list("abcd")}, "y_score holds other things than numbers"),
        ({"y_true": [0, 1, 2, 1]}, "y_true has the labels 2"),
        ({"threshold": 50}, "threshold is 50"),
        ({"confidence": 1}, "confidence is 1"),
        ({"bins": 0}, "bins is 0"),
        ({"n_boot": 0}, "n_boot is 0"),
        ({"sensitive_features": {"g": ["a"]}}, 'got 1 rows in "g", expected 4'),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"y_true": [0, 1, 0, 1], "y_score": [0.2, 0.4, 0.6, 0.8], **change}
    with pytest.raises(InputError, match=words):
        measure_performance(arguments.pop("y_true"), arguments.pop("y_score"), **arguments)


def test_a_group_is_found_or_refused_in_words() -> None:
    features = {"p": ["a", "b", "a", "b"], "q": ["a", "a", "c", "c"]}
    found = measure_performance(
        [0, 1, 0, 1], [0.2, 0.4, 0.6, 0.8], sensitive_features=features, n_boot=5
    )
    assert found.confusion("a", "p") == Confusion(1, 1, 0, 0)
    with pytest.raises(InputError, match='group "a" exists in p, q'):
        found.confusion("a")
    with pytest.raises(InputError, match='group is "z"; accepted: all, a, b, c'):
        found.confusion("z")
    with pytest.raises(InputError, match='q has no group "b"'):
        found.confusion("b", "q")
    with pytest.raises(InputError, match='attribute is "r"; accepted: p, q'):
        found.charts("r")
    with pytest.raises(InputError, match='metric is "auc"'):
        found.overall.score("auc")


def test_its_text_is_one_line(measured: Performance) -> None:
    n = measured.overall.score("accuracy").n
    assert repr(measured).startswith(f"<Performance at threshold 0.5: {n:,} rows, by ")
    assert len(repr(measured)) < 200
