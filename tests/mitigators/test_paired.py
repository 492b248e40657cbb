"""Paired differences against Fairlearn's values and against a bootstrap of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

from hitl_audit.errors import InputError
from hitl_audit.mitigators.paired import MEASURES, compare_decisions, joined_groups


def data(seed: int, rows: int = 400) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.35, 0.15])
    truth = rng.integers(0, 2, rows).astype(np.int8)
    before = (rng.random(rows) < 0.3 + 0.4 * truth + 0.1 * (group == "a")).astype(np.int8)
    after = np.where(rng.random(rows) < 0.2, 1 - before, before).astype(np.int8)
    return truth, before, after, group


@pytest.mark.parametrize("seed", range(3))
def test_values_are_fairlearns(seed: int) -> None:
    truth, before, after, group = data(seed)
    found = compare_decisions(
        truth, before, after, joined_groups(group, len(truth), min_group=1),
        confidence=0.95, n_boot=10, random_state=0,
    )  # fmt: skip
    assert [one.metric for one in found] == list(MEASURES)
    expected = []
    for decided in (before, after):

        def frame(metric: Any, decided: Any = decided) -> MetricFrame:
            return MetricFrame(
                metrics=metric, y_true=truth, y_pred=decided, sensitive_features=group
            )

        expected.append(
            [
                (decided == truth).mean(),
                frame(selection_rate).difference(),
                frame(selection_rate).ratio(),
                frame(true_positive_rate).difference(),
                frame(false_positive_rate).difference(),
            ]
        )
    assert [one.before for one in found] == pytest.approx(expected[0], abs=1e-12)
    assert [one.after for one in found] == pytest.approx(expected[1], abs=1e-12)
    changes = [b - a for a, b in zip(*expected, strict=True)]
    assert [one.difference for one in found] == pytest.approx(changes, abs=1e-12)


def test_intervals_are_those_of_resampled_rows() -> None:
    truth, before, after, group = data(1)
    groups = joined_groups(group, len(truth), min_group=1)
    found = compare_decisions(
        truth, before, after, groups, confidence=0.9, n_boot=4000, random_state=0
    )
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(4000):
        rows = rng.integers(0, len(truth), len(truth))
        rates = []
        for decided in (before[rows], after[rows]):
            counts = np.bincount(groups.codes[rows], minlength=3)
            rates.append(np.ptp(np.bincount(groups.codes[rows], decided, minlength=3) / counts))
        drawn.append(
            (((after == truth)[rows].mean() - (before == truth)[rows].mean()), rates[1] - rates[0])
        )
    for place, column in zip((0, 1), np.array(drawn).T, strict=True):
        low, high = np.quantile(column, [0.05, 0.95])
        assert found[place].low == pytest.approx(low, abs=0.012)
        assert found[place].high == pytest.approx(high, abs=0.012)


def test_the_same_decisions_differ_by_nothing() -> None:
    truth, before, _, group = data(2)
    groups = joined_groups(group, len(truth), min_group=1)
    for one in compare_decisions(
        truth, before, before, groups, confidence=0.95, n_boot=50, random_state=0
    ):
        assert (one.difference, one.low, one.high) == (0, 0, 0)


def test_small_and_unknown_groups_enter_no_gap() -> None:
    truth, before, after, group = data(3)
    named: Any = np.array([None] * 5 + group[5:].tolist(), dtype=object)
    named[5:12] = "rare"
    groups = joined_groups({"g": named}, len(truth), min_group=8)
    assert groups.left_out == ("rare", "unknown")
    found = compare_decisions(
        truth, before, after, groups, confidence=0.95, n_boot=20, random_state=0
    )
    rates = [before[named == name].mean() for name in "abc"]
    assert found[1].before == pytest.approx(max(rates) - min(rates))
    assert found[0].before == (before == truth).mean()
    none = joined_groups(group, len(truth), min_group=1000)
    nothing = compare_decisions(
        truth, before, after, none, confidence=0.95, n_boot=20, random_state=0
    )
    assert nothing[1].before is nothing[1].low is None
    assert nothing[0].low is not None


def test_undefined_replicates_are_counted() -> None:
    truth = np.array([1] + [0] * 9 + [1] * 10, dtype=np.int8)
    decided = np.array([1, 0] * 10, dtype=np.int8)
    groups = joined_groups(["a"] * 10 + ["b"] * 10, 20, min_group=1)
    found = compare_decisions(
        truth, decided, 1 - decided, groups, confidence=0.95, n_boot=200, random_state=0
    )
    tpr = found[MEASURES.index("true_positive_rate_gap")]
    assert 40 < tpr.undefined < 110  # (1 − 1/20)^20 = 36 % of the draws miss that row
    fpr = found[MEASURES.index("false_positive_rate_gap")]
    assert fpr.before is fpr.low is None  # group b has no such rows at all
    assert fpr.undefined == 200


def test_several_attributes_are_joined() -> None:
    groups = joined_groups({"race": ["x", "y", "x"], "sex": ["f", None, "m"]}, 3, min_group=1)
    assert groups.names == ("x × f", "x × m", "y × unknown")
    assert groups.left_out == ("y × unknown",)


@pytest.mark.parametrize(
    ("setting", "words"),
    [({"confidence": 1.0}, "confidence is 1.0"), ({"n_boot": 0}, "n_boot is 0")],
)
def test_bad_settings_are_refused(setting: dict[str, Any], words: str) -> None:
    truth, before, after, group = data(0)
    good: dict[str, Any] = {"confidence": 0.95, "n_boot": 10, "random_state": 0}
    with pytest.raises(InputError, match=words):
        compare_decisions(
            truth, before, after, joined_groups(group, len(truth), min_group=1), **(good | setting)
        )
