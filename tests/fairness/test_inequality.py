"""Inequality indices and differential fairness, against AIF360's formulas and what must hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.fairness.inequality import (
    DifferentialFairness,
    Epsilon,
    InequalityIndices,
    differential_fairness,
    inequality_indices,
)

GE, THEIL = "generalized_entropy_index", "theil_index"


def entropy(benefits: Any, alpha: float) -> float:
    """AIF360's definition, written out over the rows (with ln 1 for the limit 0 · ln 0)."""
    share = np.asarray(benefits, dtype=float) / np.mean(benefits)
    if alpha == 1:
        return float(np.mean(np.log(share**share)))
    if alpha == 0:
        return float(-np.mean(np.log(share)))
    return float(np.mean(share**alpha - 1) / (alpha * (alpha - 1)))


def by_hand(
    truth: Any, decision: Any, group: Any, alpha: float
) -> tuple[float, float, dict[str, float]]:
    """Total, between groups, and inside each group."""
    benefits = np.asarray(decision) - np.asarray(truth) + 1
    group = np.asarray(group)
    means = np.array([benefits[group == name].mean() for name in group])
    inside = {
        name: entropy(benefits[group == name], alpha)
        for name in np.unique(group)
        if benefits[group == name].any()
    }
    return entropy(benefits, alpha), entropy(means, alpha), inside


def values(found: InequalityIndices, attribute: str) -> dict[tuple[str, str], float | None]:
    return {(m.metric, m.group): m.value for m in found.measures if m.attribute == attribute}


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc")), min_size=1, max_size=40
)


@given(ROWS, st.sampled_from([2.0, 3.0, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_equal_to_the_formulas(rows: list[tuple[int, int, str]], alpha: float) -> None:
    rows = [*rows, (1, 1, "a")]  # somebody has a benefit
    truth, decision, group = (list(column) for column in zip(*rows, strict=True))
    found = inequality_indices(
        truth, decision, sensitive_features={"g": group}, alpha=alpha, n_boot=2
    )
    for name, power in ((GE, alpha), (THEIL, 1.0)):
        total, between, inside = by_hand(truth, decision, group, power)
        mine = values(found, "g")
        assert values(found, "all")[name, "all"] == pytest.approx(total, abs=1e-12)
        assert mine[f"between_group_{name}", "all"] == pytest.approx(between, abs=1e-12)
        for g in set(group):
            wanted = pytest.approx(inside[g], abs=1e-12) if g in inside else None
            assert mine[name, g] == wanted
        # The rest is the groups' own inequality, weighted by (share of rows) × (relative mean)^α.
        benefits = np.array(decision) - np.array(truth) + 1
        weighted = sum(
            (np.array(group) == g).mean()
            * (benefits[np.array(group) == g].mean() / benefits.mean()) ** power
            * inside[g]
            for g in inside
        )
        if power > 1 or len(inside) == len(set(group)):
            # For α < 1 the zero mean of a group without any benefit has a term of its own.
            within = mine[f"within_group_{name}", "all"]
            assert within == pytest.approx(weighted, abs=1e-12)
            assert within is not None
            assert within >= -1e-12


def test_known_values() -> None:
    """Benefits 0, 1, 1, 2: GE(2) = ¼ (half the squared coefficient of variation), Theil = ½ ln 2."""
    found = inequality_indices(
        [1, 1, 0, 0], [0, 1, 0, 1], sensitive_features={"g": list("aabb")}, min_group=1, n_boot=50
    )
    mine = values(found, "all")
    assert mine[GE, "all"] == pytest.approx(0.25)
    assert mine[THEIL, "all"] == pytest.approx(0.5 * math.log(2))
    # Group means ½ and 3/2: GE(2) between = ½ · ¼.
    assert values(found, "g")[f"between_group_{GE}", "all"] == pytest.approx(0.125)
    frame = found.frame()
    assert set(frame["n"]) == {4, 2}
    assert set(frame["method"]) == {"multinomial bootstrap, percentile"}


def test_right_decisions_are_equal_and_order_does_not_matter() -> None:
    truth = np.array([0, 1] * 50)
    right = inequality_indices(truth, truth, sensitive_features={"g": ["a", "b"] * 50}, n_boot=50)
    assert all(m.value == 0 and m.low is None for m in right.measures)
    rng = np.random.default_rng(0)
    decision, group = rng.integers(0, 2, 100), rng.choice(["a", "b"], 100)
    order = rng.permutation(100)
    one = inequality_indices(truth, decision, sensitive_features={"g": group}, n_boot=50)
    other = inequality_indices(
        truth[order], decision[order], sensitive_features={"g": group[order]}, n_boot=50
    )
    assert one == other
    twice = inequality_indices(
        [*truth] * 2, [*decision] * 2, sensitive_features={"g": [*group] * 2}, n_boot=50
    )
    for first, second in zip(one.measures, twice.measures, strict=True):
        assert first.value == pytest.approx(second.value)


def test_interval_is_the_rows_bootstrap() -> None:
    rng = np.random.default_rng(1)
    truth, group = rng.integers(0, 2, 400), rng.choice(["a", "b"], 400, p=[0.7, 0.3])
    decision = np.where(rng.random(400) < np.where(group == "a", 0.9, 0.7), truth, 1 - truth)
    found = inequality_indices(truth, decision, sensitive_features={"g": group}, n_boot=2000)
    drawn = []
    for _ in range(600):
        rows = rng.integers(0, 400, 400)
        drawn.append(by_hand(truth[rows], decision[rows], group[rows], 2)[0])
    (total,) = [m for m in found.measures if m.metric == GE and m.attribute == "all"]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (total.low, total.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    assert found == inequality_indices(
        truth, decision, sensitive_features={"g": group}, n_boot=2000
    )
    assert "for b" in found.chart(GE, "g").message
    assert found.plot(THEIL, "g").data
    assert "Benefits count" in found._repr_html_()


def test_alpha_zero_needs_benefits() -> None:
    wrong = inequality_indices(
        [1, 1, 0], [0, 1, 1], sensitive_features={"g": ["a"] * 3}, alpha=0, n_boot=5
    )
    assert values(wrong, "all")[GE, "all"] is None
    assert values(wrong, "all")[THEIL, "all"] is not None
    assert any("infinite" in note for note in wrong.notes)
    fine = inequality_indices(
        [1, 0, 0], [1, 0, 1], sensitive_features={"g": ["a"] * 3}, alpha=0, n_boot=5
    )
    assert values(fine, "all")[GE, "all"] == pytest.approx(entropy([1, 1, 2], 0))
    nobody = inequality_indices([1, 1], [0, 0], sensitive_features={"g": ["a"] * 2}, n_boot=5)
    assert {m.status for m in nobody.measures} == {"undefined"}


def only(found: DifferentialFairness, estimate: str, attribute: str = "g") -> Epsilon:
    (one,) = [e for e in found.epsilons if (e.estimate, e.attribute) == (estimate, attribute)]
    return one


@given(ROWS, st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=40, deadline=None)
def test_epsilon_is_the_largest_log_ratio(
    rows: list[tuple[int, int, str]], concentration: float
) -> None:
    rows = [*rows, (0, 0, "a"), (0, 1, "b")]  # both outcomes, two groups
    _, decision, group = (np.array(column) for column in zip(*rows, strict=True))
    found = differential_fairness(
        decision, sensitive_features={"g": group}, concentration=concentration, n_boot=2
    )
    for estimate, added in (("empirical", 0.0), ("smoothed", concentration)):
        shares = [
            ((decision[group == g] == 1).sum() + added / 2) / ((group == g).sum() + added)
            for g in np.unique(group)
        ]
        # AIF360: over both outcomes and all pairs of groups.
        with np.errstate(divide="ignore"):
            logs = np.log([shares, [1 - s for s in shares]])
        gaps = [0.0 if a == b else abs(a - b) for outcome in logs for a in outcome for b in outcome]
        one = only(found, estimate)
        assert one.value == pytest.approx(max(gaps), abs=1e-12)
        assert one.value is not None
        assert one.ratio == pytest.approx(math.exp(-one.value))


def test_epsilon_says_where() -> None:
    """P(1): .6 and .3, so ε = ln 2, and e^−ε is the four-fifths ratio ½."""
    decision = [1] * 60 + [0] * 40 + [1] * 30 + [0] * 70
    found = differential_fairness(decision, sensitive_features={"g": ["a"] * 100 + ["b"] * 100})
    one = only(found, "empirical")
    assert one.value == pytest.approx(math.log(2))
    assert one.ratio == pytest.approx(0.5)
    assert (one.outcome, one.group, one.against, one.status) == ("1", "b", "a", "ok")
    assert one.low is not None
    assert one.high is not None
    assert 0.25 < one.low < math.log(2) < one.high < 1.2
    smoothed = only(found, "smoothed")
    assert smoothed.value == pytest.approx(math.log(60.5 / 30.5))
    assert found == differential_fairness(
        decision, sensitive_features={"g": ["a"] * 100 + ["b"] * 100}
    )
    assert list(found.frame()["estimate"]) == ["empirical", "smoothed"]
    assert "largest of many gaps" in found._repr_html_()


def test_intersections_are_at_most_as_fair() -> None:
    """Foulds et al., theorem: ε of an attribute is at most that of an intersection with it."""
    rng = np.random.default_rng(3)
    features = {"p": rng.choice(["a", "b"], 500), "q": rng.choice(["x", "y"], 500)}
    found = differential_fairness(
        rng.choice(["low", "middle", "high"], 500), sensitive_features=features
    )
    whole = only(found, "empirical", "p × q").value
    assert whole is not None
    for attribute in "pq":
        part = only(found, "empirical", attribute).value
        assert part is not None
        assert part <= whole


@pytest.mark.parametrize(
    ("name", "decision", "group", "value", "status"),
    [
        (
            "a group without the outcome",
            [1, 0] * 40 + [0] * 40,
            "a" * 80 + "b" * 40,
            math.inf,
            "ok",
        ),
        ("one group", [1, 0] * 20, "a" * 40, None, "undefined"),
        ("one outcome", [0] * 80, "a" * 40 + "b" * 40, 0.0, "ok"),
        ("a small group", [1, 0] * 42, "a" * 80 + "b" * 4, 0.0, "small group"),
    ],
)
def test_epsilon_at_the_edge(
    name: str, decision: list[int], group: str, value: float | None, status: str
) -> None:
    found = differential_fairness(decision, sensitive_features={"g": list(group)}, n_boot=50)
    one = only(found, "empirical")
    assert (one.value, one.status) == (value, status)
    smoothed = only(found, "smoothed").value
    assert smoothed is None if value is None else math.isfinite(smoothed or 0.0)


GOOD: dict[str, Any] = {"y_pred": [0, 1, 1], "sensitive_features": {"g": ["a", "b", "a"]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_true": [0, 1]}, "y_pred: got 3 rows, expected 2 as in y_true"),
        ({"y_true": [0, 1, 3]}, "y_true has the labels 3"),
        ({"y_pred": [0, 1, None]}, "y_pred is missing in 1 of 3"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"confidence": 0}, "confidence is 0"),
        ({"n_boot": -1}, "n_boot is -1"),
    ],
)
def test_bad_inputs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        inequality_indices(**{"y_true": [0, 1, 0], **GOOD, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": []}, "y_pred is empty"),
        ({"y_pred": [0, None, 1]}, "y_pred is missing in 1 of 3 rows"),
        ({"concentration": 0}, "concentration is 0"),
        ({"concentration": math.inf}, "concentration is inf"),
        ({"min_group": 0}, "min_group is 0"),
        ({"sensitive_features": {"g": ["a"]}}, "got 1 rows"),
    ],
)
def test_bad_inputs_of_differential_fairness(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        differential_fairness(**{**GOOD, **change})
