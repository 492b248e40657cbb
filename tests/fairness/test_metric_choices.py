"""What a user may choose: metrics, measures, interval methods, weights."""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from fairlearn import metrics as fairlearn

from hitl_audit.errors import InputError
from hitl_audit.fairness.disparity import MEASURES
from hitl_audit.fairness.group_metrics import METRICS, GroupMetrics, GroupRate, group_metrics
from hitl_audit.findings import Criterion, Status, evaluate
from hitl_audit.intervals import METHODS, Count, clopper_pearson, katz_log, wilson

# Two groups: true and predicted labels with all four cells filled.
CELLS = {"a": (20, 10, 15, 55), "b": (40, 5, 5, 30)}


def rows(**options: Any) -> GroupMetrics:
    truth, decision, names = [], [], []
    for name, cells in CELLS.items():
        for place, number in enumerate(cells):
            truth += [place // 2] * number
            decision += [place % 2] * number
            names += [name] * number
    return group_metrics(
        truth, decision, sensitive_features={"g": names}, **{"metrics": METRICS, **options}
    )


def rate(found: GroupMetrics, metric: str, group: str = "a") -> GroupRate:
    return next(r for r in found.rates if (r.metric, r.group) == (metric, group))


def test_every_metric_by_its_formula() -> None:
    tn, fp, fn, tp = CELLS["a"]
    wanted = {
        "selection_rate": (fp + tp) / 100,
        "true_positive_rate": tp / (tp + fn),
        "false_positive_rate": fp / (fp + tn),
        "true_negative_rate": tn / (fp + tn),
        "false_negative_rate": fn / (tp + fn),
        "accuracy": (tp + tn) / 100,
        "precision": tp / (tp + fp),
        "negative_predictive_value": tn / (tn + fn),
        "false_discovery_rate": fp / (tp + fp),
        "false_omission_rate": fn / (tn + fn),
        "balanced_accuracy": (tp / (tp + fn) + tn / (tn + fp)) / 2,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "count": 100,
    }
    found = rows()
    assert {m: rate(found, m).value for m in METRICS} == pytest.approx(wanted, abs=1e-12)
    assert set(wanted) == set(METRICS)
    for metric in METRICS:
        one = rate(found, metric)
        if metric != "count":
            assert one.low is not None
            assert one.high is not None
            assert one.value is not None
            assert one.low < one.value < one.high


def test_intervals_of_what_is_no_proportion() -> None:
    """F1 from its proportion tp / (tp + fp + fn), balanced accuracy from both rates."""
    found = rows(min_group=1)
    f1 = rate(found, "f1")
    low, high = wilson(Count(55, 80)) or (0.0, 0.0)
    assert (f1.low, f1.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert (f1.n, f1.count, f1.method) == (80, 55, "Wilson, transformed")
    balanced = rate(found, "balanced_accuracy")
    tpr, tnr = wilson(Count(55, 70)) or (0, 0), wilson(Count(20, 30)) or (0, 0)
    reach = math.hypot(55 / 70 - tpr[0], 20 / 30 - tnr[0]) / 2
    assert balanced.value is not None
    assert balanced.low == pytest.approx(balanced.value - reach)
    for metric in ("f1", "balanced_accuracy"):
        (ratio,) = found.comparisons(metric, "g", "ratio")
        (difference,) = found.comparisons(metric, "g", "difference")
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.value is not None
        assert ratio.low < ratio.value < ratio.high
        assert difference.low is not None
        assert difference.high is not None
        assert difference.value is not None
        assert difference.low < difference.value < difference.high
        assert (ratio.method, ratio.p_value, ratio.test) == ("MOVER, logarithmic", None, "")
    # The bootstrap, which assumes none of this, agrees.
    drawn = found.by_group_frame()
    for one in (f1, balanced):
        bounds = tuple(float(drawn[side].loc["a", one.metric]) for side in ("low", "high"))
        assert (one.low, one.high) == pytest.approx(bounds, abs=0.02)


def test_f1_of_a_perfect_and_of_an_empty_group() -> None:
    found = group_metrics(
        [0] * 40 + [1] * 40,
        [0] * 40 + [1] * 40,
        sensitive_features=["none"] * 40 + ["all"] * 40,
        metrics=["f1", "balanced_accuracy", "false_discovery_rate"],
    )
    by = {(r.group, r.metric): r for r in found.rates}
    assert (by["none", "f1"].value, by["none", "f1"].status) == (None, "undefined")
    assert found.by_group.loc["none", "f1"] == 0  # Fairlearn's rule, in Fairlearn's frame
    assert by["all", "f1"].value == 1
    assert by["none", "balanced_accuracy"].value == 1
    assert by["none", "balanced_accuracy"].low == pytest.approx((wilson(Count(40, 40)) or (0,))[0])


def test_lower_is_better_for_the_new_error_rates() -> None:
    picked = {c.metric: c.reference for c in rows().against_reference}
    assert picked["false_discovery_rate"] == "b"  # 5/35 against 10/65
    assert picked["false_omission_rate"] == "b"
    assert picked["negative_predictive_value"] == "b"


def test_interval_methods_by_name() -> None:
    found = rows(method=["clopper-pearson", "katz", "replay"], n_boot=5)
    one = rate(found, "selection_rate")
    assert (one.low, one.high) == clopper_pearson(Count(65, 100))
    assert one.method == "Clopper-Pearson"
    (ratio,) = found.comparisons("selection_rate", "g", "ratio")
    assert (ratio.low, ratio.high) == katz_log(Count(35, 80), Count(65, 100))
    assert ratio.method == "Katz log"
    assert found.table.law.name == "replay"
    default = rows()
    assert rate(default, "selection_rate").method == "Wilson"
    assert {c.method for c in default.comparisons("accuracy", "g", "ratio")} == {"Koopman score"}
    assert {c.method for c in default.comparisons("accuracy", "g", "difference")} == {"Newcombe"}


def test_measures_are_fairlearns() -> None:
    found = rows()
    gaps = {g.measure: g for g in found.summary(measures=MEASURES, n_boot=50)}
    truth, decision, names = [], [], []
    for name, cells in CELLS.items():
        for place, number in enumerate(cells):
            truth += [place // 2] * number
            decision += [place % 2] * number
            names += [name] * number
    for measure, gap in gaps.items():
        if measure.startswith("predictive_parity"):
            continue
        theirs = getattr(fairlearn, measure)(truth, decision, sensitive_features=names)
        assert gap.value == pytest.approx(theirs, abs=1e-12)
    a, b = 55 / 65, 30 / 35
    assert gaps["predictive_parity_difference"].value == pytest.approx(b - a)
    assert gaps["predictive_parity_ratio"].value == pytest.approx(a / b)
    assert len(gaps) == 8
    with pytest.raises(InputError, match='did you mean "equalized_odds_ratio"'):
        found.summary(measures=["equalised_odds_ratio"])
    with pytest.raises(InputError, match="measures is empty"):
        found.summary(measures=[])


def weighted(seed: int = 0, n: int = 400, **options: Any) -> tuple[GroupMetrics, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b"], n)
    decision = (rng.random(n) < np.where(group == "a", 0.35, 0.6)).astype(int)
    weight = rng.choice([0.5, 1.0, 4.0], n)
    found = group_metrics(
        decision,
        decision,
        sensitive_features={"g": group},
        sample_weight=weight,
        metrics=METRICS,
        **options,
    )
    return found, group, decision, weight


def test_weighted_rates_use_the_effective_sample_size() -> None:
    found, group, decision, weight = weighted()
    one = rate(found, "selection_rate")
    w, hit = weight[group == "a"], decision[group == "a"] == 1
    value, size = w[hit].sum() / w.sum(), w.sum() ** 2 / (w**2).sum()
    assert one.value == pytest.approx(value, abs=1e-12)
    z = NormalDist().inv_cdf(0.975)
    assert (one.low, one.high) == pytest.approx(METHODS["Wilson"](z, value * size, size))
    assert (one.n, one.count) == (len(w), hit.sum())
    assert one.method == "Wilson, effective sample size"
    (ratio,) = found.comparisons("selection_rate", "g")
    assert ratio.method == "Koopman score, effective sample size"
    assert ratio.test == "two-proportion z test, pooled, two-sided, effective sample size"
    assert ratio.value == pytest.approx(value / (rate(found, "selection_rate", "b").value or 0))
    assert any("Kish's effective sample size" in note for note in found.notes)
    assert rate(found, "f1").low is not None


def test_equal_weights_are_no_weights() -> None:
    rng = np.random.default_rng(1)
    labels, decision, group = rng.integers(0, 2, (3, 300))
    options: dict[str, Any] = {"sensitive_features": {"g": group}, "metrics": METRICS}
    plain = group_metrics(labels, decision, test="z", **options)
    same = group_metrics(labels, decision, sample_weight=[2.5] * 300, **options)
    for a, b in zip(plain.rates, same.rates, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-12)
    for c, d in zip(plain.against_reference, same.against_reference, strict=True):
        assert (c.value, c.low, c.high) == pytest.approx((d.value, d.low, d.high), abs=1e-9)
        assert c.p_value == pytest.approx(d.p_value, abs=1e-12)


def test_weighted_criteria_are_decided_by_their_intervals() -> None:
    found, *_ = weighted(n=4000)
    promise = Criterion("selection_rate", ("g",), "ratio", at_least=Fraction("0.8"))
    finding = evaluate("F1", promise, found.comparisons("selection_rate", "g"))
    assert finding.status is Status.NOT_MET
    few, *_ = weighted(n=100)
    undecided = evaluate(
        "F1",
        Criterion("selection_rate", ("g",), "ratio", at_least=Fraction("0.55")),
        few.comparisons("selection_rate", "g"),
    )
    assert undecided.status is Status.INSUFFICIENT
    assert undecided.verdicts[0].n_needed is not None


def test_weighted_gaps_are_fairlearns() -> None:
    found, group, decision, weight = weighted()
    gaps = {g.measure: g for g in found.summary(n_boot=300)}
    theirs = fairlearn.demographic_parity_difference(
        decision, decision, sensitive_features=group, sample_weight=weight
    )
    parity = gaps["demographic_parity_difference"]
    assert parity.value == pytest.approx(theirs, abs=1e-12)
    assert parity.low is not None
    assert parity.high is not None
    assert parity.low < theirs < parity.high
    with pytest.raises(InputError, match="of counted rows, and these have weights"):
        found.impact_frame()
    assert found.comparison_frame()["detectable_difference"].isna().all()


def test_a_group_of_weight_zero_is_undefined() -> None:
    found = group_metrics(
        [1, 0] * 40,
        [1, 0] * 40,
        sensitive_features=["a", "b"] * 40,
        sample_weight=[1.0, 0.0] * 40,
        metrics=["selection_rate", "count"],
    )
    assert rate(found, "selection_rate", "b").value is None
    assert found.by_group["selection_rate"].isna().to_dict() == {"a": False, "b": True}
    assert found.by_group["count"].tolist() == [40, 40]
