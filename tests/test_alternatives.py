"""The frontier of accuracy and fairness, against brute force."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_ratio

from hitl_audit.alternatives import Frontier, frontier
from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson

ROWS = 600
rng = np.random.default_rng(0)
GROUP = rng.choice(["a", "b"], ROWS, p=[0.6, 0.4])
SKILL = rng.normal(size=ROWS)
TRUTH = (rng.random(ROWS) < 1 / (1 + np.exp(-2 * SKILL))).astype(int)
UNFAIR = 1 / (1 + np.exp(-2 * SKILL - 1.2 * (GROUP == "a")))
FAIRER = 1 / (1 + np.exp(-1.5 * SKILL - rng.normal(0, 0.5, ROWS)))
FIXED = (FAIRER >= 0.45).astype(int)


def now() -> datetime:
    return datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def edge() -> Frontier:
    return frontier(
        TRUTH,
        {"current": UNFAIR, "fairer": FAIRER, "fixed": FIXED},
        sensitive_features=GROUP,
        n_boot=200,
    )


def test_points_are_measured_as_fairlearn_measures(edge: Frontier) -> None:
    assert len(edge.points) == 19 + 19 + 1
    scores = {"current": UNFAIR, "fairer": FAIRER, "fixed": FIXED}
    for point in edge.points:
        chosen = scores[point.candidate] >= (0.5 if point.threshold is None else point.threshold)
        right = int((chosen == TRUTH).sum())
        assert point.accuracy == right / ROWS
        assert (point.accuracy_low, point.accuracy_high) == wilson(Count(right, ROWS))
        assert point.fairness == pytest.approx(
            demographic_parity_ratio(TRUTH, chosen.astype(int), sensitive_features=GROUP)
        )
        assert point.selection_rate == pytest.approx(chosen.mean())
        assert point.n == ROWS


@pytest.mark.parametrize("measure", ["selection_rate_ratio", "true_positive_rate_gap"])
def test_non_dominated_points_by_brute_force(measure: str) -> None:
    found = frontier(
        TRUTH, {"current": UNFAIR, "fairer": FAIRER}, sensitive_features=GROUP,
        measure=measure, n_boot=20,
    )  # fmt: skip
    sign = 1 if measure.endswith("ratio") else -1
    at = {p.id: (p.accuracy, sign * (p.fairness or 0.0)) for p in found.points}
    for point in found.points:
        mine = at[point.id]
        beaten = any(o[0] >= mine[0] and o[1] >= mine[1] and o != mine for o in at.values())
        assert point.non_dominated == (not beaten)
    accuracies = [p.accuracy for p in found.non_dominated]
    assert accuracies == sorted(accuracies, reverse=True)


def test_changes_are_against_the_baseline(edge: Frontier) -> None:
    base = edge.baseline
    assert (base.candidate, base.threshold) == ("current", 0.5)
    assert (base.accuracy_change, base.accuracy_change_low, base.accuracy_change_high) == (0, 0, 0)
    for point in edge.points:
        assert point.accuracy_change == pytest.approx(point.accuracy - base.accuracy)
    fixed = edge.points[-1]
    assert fixed.threshold is None
    assert fixed.fairness_change_low is not None
    assert fixed.fairness_change_low > 0
    other = frontier(
        TRUTH, {"current": UNFAIR, "fixed": FIXED}, sensitive_features=GROUP,
        baseline="fixed", thresholds=[0.4], n_boot=20,
    )  # fmt: skip
    assert other.baseline.words == "fixed"
    assert len(other.points) == 2


def test_a_choice_is_a_record(edge: Frontier) -> None:
    best = edge.non_dominated[0]
    chosen = edge.choose(best.id, rationale=" As accurate, less gap ", chosen_by="R. Moe", now=now)
    assert chosen.better == ()
    assert (chosen.rationale, chosen.chosen_by) == ("As accurate, less gap", "R. Moe")
    assert chosen.chosen_at == "2026-03-02T09:00:00.000000Z"
    assert chosen.baseline == edge.baseline
    assert chosen.considered == len(edge.points)
    worse = next(p for p in edge.points if not p.non_dominated)
    recorded = edge.choose(worse.id, rationale="simple", chosen_by="R. Moe", now=now)
    assert recorded.better
    with pytest.raises(FrozenInstanceError):
        recorded.rationale = "other"  # type: ignore[misc]
    with pytest.raises(InputError, match="rationale is empty"):
        edge.choose(best.id, rationale=" ", chosen_by="R. Moe", now=now)
    with pytest.raises(InputError, match="id is"):
        edge.choose("A99", rationale="why", chosen_by="R. Moe", now=now)


def test_chart_and_frame(edge: Frontier) -> None:
    chart = edge.chart()
    names = [series.name for series in chart.series]
    assert names == ["not dominated", "current", "fairer", "fixed", "baseline"]
    accuracies = [float(x) for x in chart.series[0].x]
    assert accuracies == sorted(accuracies)
    assert f"{len(edge.points)} alternatives" in chart.message
    assert f"n = {ROWS}" in chart.alt
    assert edge.plot().data
    assert len(edge.frame()) == len(edge.points)
    assert "looks better than it is" in edge._repr_html_()


def test_small_groups_leave_fairness_undefined() -> None:
    found = frontier(
        TRUTH, {"current": UNFAIR}, sensitive_features=GROUP, min_group=1000, n_boot=20
    )
    assert {p.fairness for p in found.points} == {None}
    assert found.non_dominated == ()
    assert any("fairness says nothing" in note for note in found.notes)
    assert "0 are not dominated" in found.chart().message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": {}}, "candidates is empty"),
        ({"candidates": {"m": [0.1, 0.2]}}, "got shape (2,), expected (600,)"),
        ({"candidates": {"m": np.full(ROWS, 1.2)}}, "outside 0 to 1"),
        ({"candidates": {"m": np.full(ROWS, np.nan)}}, "missing values"),
        ({"candidates": {"m": ["x"] * ROWS}}, "other things than numbers"),
        ({"baseline": "curent"}, 'did you mean "current"'),
        ({"measure": "accuracy"}, 'measure is "accuracy"'),
        ({"thresholds": [1.5]}, "thresholds holds 1.5"),
        ({"n_boot": 0}, "n_boot is 0"),
        ({"sensitive_features": ["a"]}, "got 1 rows"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"candidates": {"current": UNFAIR}, "sensitive_features": GROUP}
    with pytest.raises(InputError) as caught:
        frontier(TRUTH, **(good | change))
    assert words in str(caught.value)
