"""Threshold choices against brute force over every combination of thresholds."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.threshold_search import equalize, ladder_of
from hitl_audit.thresholds import (
    EQUALIZED,
    MEASURES,
    RULES,
    UNLAWFUL,
    ThresholdSweep,
    measured_decision,
    sweep_thresholds,
)

Data = tuple[Any, Any, Any]


def data(seed: int, rows: int = 24, groups: int = 2, levels: int = 6) -> Data:
    rng = np.random.default_rng(seed)
    group = np.array([f"g{i}" for i in rng.permutation(np.arange(rows) % groups)])
    score = rng.integers(1, levels + 1, rows) / levels
    truth = (rng.random(rows) < 0.2 + 0.6 * score - 0.15 * (group == "g0")).astype(int)
    truth[[int(np.argmax(group == name)) for name in np.unique(group)]] = 1
    return truth, score, group


def counts(truth: Any, score: Any, threshold: float) -> dict[str, float]:
    chosen = score >= threshold
    tp, fp = int((chosen & (truth == 1)).sum()), int((chosen & (truth == 0)).sum())
    fn, tn = int((~chosen & (truth == 1)).sum()), int((~chosen & (truth == 0)).sum())
    return {
        "selection_rate": (tp + fp) / len(truth),
        "true_positive_rate": tp / (tp + fn) if tp + fn else math.nan,
        "false_positive_rate": fp / (fp + tn) if fp + tn else math.nan,
        "accuracy": (tp + tn) / len(truth),
        "fp": fp,
        "fn": fn,
    }


def candidates(score: Any) -> list[float]:
    return [*np.unique(score), 2.0]


def cost(c: dict[str, float], ratio: float) -> float:
    return ratio * c["fp"] + c["fn"]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_single_and_per_group_best_are_the_cheapest_of_all(seed: int, ratio: float) -> None:
    truth, score, group = data(seed)
    sweep = sweep_thresholds(truth, score, sensitive_features=group, cost_ratio=ratio, min_group=1)
    single = sweep.choice("single best")
    least = min(cost(counts(truth, score, t), ratio) for t in candidates(score))
    assert single.cost is not None
    assert single.cost.value == pytest.approx(least / len(truth), abs=1e-12)
    assert not single.group_specific
    assert single.warning == ""
    each = sweep.choice("per group best")
    total = 0.0
    for name in np.unique(group):
        mine = group == name
        total += min(cost(counts(truth[mine], score[mine], t), ratio) for t in candidates(score))
    assert each.cost is not None
    assert each.cost.value == pytest.approx(total / len(truth), abs=1e-12)
    assert each.cost.value is not None
    assert each.cost.value <= least / len(truth) + 1e-12


@pytest.mark.parametrize("rule", EQUALIZED)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("groups", [2, 3])
def test_equalizing_rules_are_the_cheapest_combination_within_the_tolerance(
    rule: str, seed: int, groups: int
) -> None:
    truth, score, group = data(seed, rows=30, groups=groups)
    ratio, tolerance = 2.0, 0.06
    choice = sweep_thresholds(
        truth,
        score,
        sensitive_features=group,
        cost_ratio=ratio,
        tolerance=tolerance,
        min_group=1,
    ).choice(rule)
    names = np.unique(group)
    table = {
        name: [counts(truth[group == name], score[group == name], t) for t in candidates(score)]
        for name in names
    }
    best = math.inf
    for combination in itertools.product(*(table[name] for name in names)):
        values = [c[EQUALIZED[rule]] for c in combination]
        if max(values) - min(values) <= tolerance + 1e-12:
            best = min(best, sum(cost(c, ratio) for c in combination))
    if math.isinf(best):
        assert choice.status == "not attainable"
        assert choice.decisions == ()
        assert choice.cost is None
        return
    assert choice.status == "ok"
    assert choice.cost is not None
    assert choice.cost.value == pytest.approx(best / len(truth), abs=1e-12)
    assert choice.gap is not None
    assert choice.gap <= tolerance + 1e-12


def test_both_outcomes_of_that_test_occur() -> None:
    truth, score, group = data(0, rows=30)
    never = sweep_thresholds(
        1 - truth * (group == "g0"), score * 0 + 0.5, sensitive_features=group,
        tolerance=0.0, min_group=1,
    )  # fmt: skip
    assert never.choice("equal accuracy").status == "not attainable"
    assert "near" in never.choice("equal accuracy").warning
    assert (
        sweep_thresholds(truth, score, sensitive_features=group, min_group=1)
        .choice("demographic parity")
        .status
        == "ok"
    )


@pytest.fixture(scope="module")
def sweep() -> ThresholdSweep:
    rng = np.random.default_rng(5)
    group = rng.choice(["a", "b", "tiny"], 900, p=[0.6, 0.38, 0.02])
    score = np.clip(rng.beta(3, 2, 900) - 0.15 * (group == "b"), 0, 1)
    truth = (rng.random(900) < score + 0.1 * (group == "b")).astype(int)
    return sweep_thresholds(
        truth, score, sensitive_features=pd.DataFrame({"race": group}), cost_ratio=2.0
    )


def test_rates_and_intervals_are_those_of_the_decisions(sweep: ThresholdSweep) -> None:
    for point in sweep.points:
        cells = (point.true_negatives, point.false_positives, point.false_negatives,
                 point.true_positives)  # fmt: skip
        tn, fp, fn, tp = cells
        n = sum(cells)
        assert point.rate("selection_rate").value == (tp + fp) / n
        assert point.rate("accuracy").value == (tp + tn) / n
        expected = wilson(Count(fp, fp + tn))
        found = point.rate("false_positive_rate")
        assert (found.low, found.high) == expected
        price = point.rate("cost")
        assert price.value == pytest.approx((2 * fp + fn) / n)
        assert price.low is not None
        assert price.high is not None
        assert 0 <= price.low <= (2 * fp + fn) / n <= price.high <= 2


def test_cost_interval_covers_in_repeated_samples() -> None:
    rng = np.random.default_rng(3)
    n, fp_rate, fn_rate, ratio = 120, 0.04, 0.10, 3.0
    fps, fns, _ = rng.multinomial(n, [fp_rate, fn_rate, 1 - fp_rate - fn_rate], size=400).T
    covered = 0
    for fp, fn in zip(fps, fns, strict=True):
        # Two scores: everyone above 0.5 is approved whatever it costs.
        truth = np.r_[np.zeros(fp), np.ones(fn), np.ones(n - fp - fn)].astype(int)
        score = np.r_[np.full(fp, 0.9), np.full(fn, 0.1), np.full(n - fp - fn, 0.9)]
        points = sweep_thresholds(truth, score, cost_ratio=ratio).points
        price = next(p for p in points if p.threshold == 0.9).rate("cost")
        assert price.low is not None
        assert price.high is not None
        covered += price.low <= ratio * fp_rate + fn_rate <= price.high
    assert 0.92 <= covered / 400 <= 0.985


def test_group_specific_thresholds_are_marked(sweep: ThresholdSweep) -> None:
    marked = [choice.rule for choice in sweep.choices if choice.group_specific]
    assert "demographic parity" in marked
    assert "single best" not in marked
    for choice in sweep.choices:
        assert (choice.warning == UNLAWFUL) == choice.group_specific
        assert len(set(choice.thresholds.values())) > 1 or not choice.group_specific
    assert any("may be unlawful" in note for note in sweep.notes)
    assert "May be unlawful" in sweep.choice_chart(attribute="race").message


def test_thresholds_that_one_threshold_could_replace_are_not_group_specific() -> None:
    truth = np.array([0, 1, 0, 1])
    score = np.array([0.1, 0.9, 0.2, 0.8])
    choice = sweep_thresholds(
        truth, score, sensitive_features=["a", "a", "b", "b"], min_group=1
    ).choice("per group best")
    assert set(choice.thresholds.values()) == {0.9, 0.8}
    assert not choice.group_specific


def test_small_and_unknown_groups_keep_the_single_threshold() -> None:
    truth, score, _ = data(1, rows=200)
    group = np.array(["a"] * 90 + ["b"] * 90 + ["c"] * 10 + [None] * 10, dtype=object)
    found = sweep_thresholds(truth, score, sensitive_features=group, min_group=11)
    single = found.choice("single best").thresholds["all"]
    for choice in found.choices:
        if choice.decisions:
            assert choice.thresholds["c"] == choice.thresholds["unknown"] == single
            assert not any(d.equalized for d in choice.decisions if d.group in ("c", "unknown"))
    assert any("c (" in note and "unknown (" in note for note in found.notes)
    few = sweep_thresholds(truth, score, sensitive_features=group, min_group=91)
    assert few.choice("equal opportunity").status == "not attainable"
    assert "fewer than two groups" in few.choice("equal opportunity").warning


def test_unattainable_rules_keep_a_row_in_the_frame() -> None:
    truth, score, group = data(1)
    frame = sweep_thresholds(truth, score, sensitive_features=group, min_group=20).frame()
    assert set(frame["rule"]) == set(RULES)
    lost = frame[frame["choice_status"] == "not attainable"]
    assert set(lost["rule"]) == set(EQUALIZED)
    assert lost["value"].isna().all()


def test_frames_and_charts_hold_every_number(sweep: ThresholdSweep) -> None:
    frame = sweep.sweep_frame()
    assert set(frame["metric"]) == set(MEASURES)
    assert frame["threshold"].nunique() == 101
    assert set(frame["group"]) == {"all", "a", "b", "tiny"}
    assert (frame.loc[frame["group"] == "tiny", "status"] != "ok").all()
    chart = sweep.chart(attribute="race")
    assert [s.name for s in chart.series] == ["all rows", "a", "b"]
    assert "tiny" in chart.message
    assert "n = 900" in chart.alt
    rates = sweep.choice_chart("true_positive_rate").series
    assert len(rates) == sum(bool(c.decisions) for c in sweep.choices)
    assert sweep.plot().data
    assert "flattering" in sweep._repr_html_()


def test_everyone_and_nobody_are_among_the_thresholds() -> None:
    never = sweep_thresholds([0, 0, 0], [0.2, 0.5, 0.9]).choice("single best")
    assert never.thresholds["all"] > 0.9
    assert never.decisions[0].rate("selection_rate").value == 0
    assert never.decisions[0].rate("true_positive_rate").status == "undefined"
    always = sweep_thresholds([1, 1, 1], [0.2, 0.5, 0.9]).choice("single best")
    assert always.thresholds["all"] == 0.2


def test_many_distinct_scores_are_searched_at_a_choice_of_them() -> None:
    rng = np.random.default_rng(0)
    rows = 60_000
    score = rng.random(rows)
    truth = (rng.random(rows) < score).astype(int)
    group = np.where(np.arange(rows) % 2, "a", "b")
    found = sweep_thresholds(truth, score, sensitive_features=group)
    assert any("evenly chosen" in note for note in found.notes)
    parity = found.choice("demographic parity")
    single = found.choice("single best")
    assert parity.gap is not None
    assert parity.gap <= 0.01
    assert parity.cost is not None
    assert single.cost is not None
    assert parity.cost.value == pytest.approx(single.cost.value, abs=0.002)


def test_windows_are_searched_as_by_hand() -> None:
    truth, score, group = data(9, rows=40, levels=9)
    order = np.argsort(-score, kind="stable")
    part = [
        ladder_of("g", name, truth[order][group[order] == name].astype(np.int64),
                  score[order][group[order] == name])
        for name in ("g0", "g1")
    ]  # fmt: skip
    steps = equalize(part, "selection_rate", 1.0, 0.05)
    assert steps is not None
    rates = [p.measure("selection_rate")[0][s] / p.rows for p, s in zip(part, steps, strict=True)]
    assert abs(rates[0] - rates[1]) <= 0.05 + 1e-12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_score": [0.1, math.nan, 0.3]}, "missing or infinite in 1 of 3"),
        ({"y_score": [0.1, 0.3]}, "got shape (2,), expected (3,)"),
        ({"y_score": ["a", "b", "c"]}, "accepted: numbers"),
        ({"y_true": [0, 1, 2]}, "accepted: 0 and 1"),
        ({"cost_ratio": 0}, "cost_ratio is 0"),
        ({"cost_ratio": math.inf}, "cost_ratio is inf"),
        ({"tolerance": 2}, "tolerance is 2"),
        ({"confidence": 1}, "confidence is 1"),
        ({"min_group": 0}, "min_group is 0"),
        ({"sensitive_features": ["a"]}, "got 1 rows"),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"y_true": [0, 1, 1], "y_score": [0.1, 0.2, 0.3]}
    with pytest.raises(InputError) as caught:
        sweep_thresholds(**(good | change))
    assert words in str(caught.value)


def test_unknown_names_are_refused(sweep: ThresholdSweep) -> None:
    with pytest.raises(InputError, match="did you mean"):
        sweep.chart("costs")
    with pytest.raises(InputError, match="rule is"):
        sweep.choice("equal odds")
    with pytest.raises(InputError, match="attribute is"):
        sweep.choice("single best", "age")


def test_decisions_of_any_counts_are_measured_as_in_the_sweep() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(400)
    truth = (rng.random(400) < scores).astype(int)
    best = sweep_thresholds(truth, scores, cost_ratio=3.0).choice("single best").decisions[0]
    cells = (
        best.true_negatives, best.false_positives, best.false_negatives, best.true_positives,
    )  # fmt: skip
    again = measured_decision(
        cells, cost_ratio=3.0, confidence=0.95, min_group=30, threshold=best.threshold
    )
    assert again == best
