"""Contributions to a gap sum to the gap: of real models, explained by real SHAP."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.fairness.gap import LOCATES, GapContributions, gap_contributions


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 400
    group = rng.choice(["a", "b", "c"], n, p=[0.3, 0.6, 0.1])
    income = rng.normal(size=n) + 0.8 * (group == "b")
    debt = rng.normal(size=n)
    kind = np.where(rng.random(n) < 0.5 + 0.2 * (group == "b"), 1.0, 0.0)
    y = (income - debt + kind + rng.normal(size=n) > 0.5).astype(int)
    return pd.DataFrame({"income": income, "debt": debt, "kind": kind, "group": group, "y": y})


FEATURES = ["income", "debt", "kind"]


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    return GradientBoostingClassifier(n_estimators=20, random_state=0).fit(
        people[FEATURES], people["y"]
    )


@pytest.fixture(scope="module")
def explanation(model: Any, people: pd.DataFrame) -> Explanation:
    return explain(model, people[FEATURES], algorithm="exact", background=people[FEATURES][:20])


def contributions_of(explanation: Explanation, groups: Any, **arguments: Any) -> GapContributions:
    return gap_contributions(
        explanation.values,
        base_values=explanation.base_values,
        predictions=explanation.predictions,
        feature_names=explanation.feature_names,
        groups=groups,
        **{"group": "a", "reference": "b", "n_boot": 300, **arguments},
    )


def test_contributions_sum_to_the_score_gap(
    explanation: Explanation, model: Any, people: pd.DataFrame
) -> None:
    found = contributions_of(explanation, people["group"])
    score = model.predict_proba(people[FEATURES])[:, 1]
    gap = score[people["group"] == "a"].mean() - score[people["group"] == "b"].mean()
    assert found.gap == pytest.approx(gap, abs=1e-12)
    assert sum(c.value for c in found.contributions) == pytest.approx(gap, abs=1e-9)
    assert abs(found.residual) < 1e-9
    assert (found.attribute, found.group, found.reference) == ("group", "a", "b")
    assert found.n == (people["group"] == "a").sum()
    assert found.reference_n == (people["group"] == "b").sum()
    assert found.contributions[0].feature == "income"
    assert found.low is not None
    assert found.high is not None
    assert found.low < gap < found.high < 0


def test_contributions_sum_to_the_selection_rate_gap(model: Any, people: pd.DataFrame) -> None:
    def decision(rows: pd.DataFrame) -> Any:
        return (model.predict_proba(rows)[:, 1] >= 0.5).astype(float)

    part = people.iloc[:200]
    explained = explain(decision, part[FEATURES], scale="value", background=people[FEATURES][:20])
    found = contributions_of(explained, part["group"], explained="decision")
    chosen = decision(part[FEATURES])
    gap = chosen[part["group"] == "a"].mean() - chosen[part["group"] == "b"].mean()
    assert found.gap == pytest.approx(gap, abs=1e-12)
    assert sum(c.value for c in found.contributions) == pytest.approx(gap, abs=1e-9)
    assert "selection-rate gap" in found.words
    assert LOCATES in found.words


def linear(n: int = 400) -> tuple[Any, dict[str, Any], Any]:
    """φ_j = β_j (x_j − mean): the closed form of SHAP for a linear model."""
    rng = np.random.default_rng(3)
    groups = np.repeat(["a", "b"], n // 2)
    x = rng.normal(size=(n, 3)) + np.outer(groups == "b", [1.0, 0.5, 0.0])
    phi = (x - x.mean(axis=0)) * [2.0, -1.0, 0.0]
    arguments = {
        "base_values": 0.25,
        "predictions": 0.25 + phi.sum(axis=1),
        "feature_names": ["x0", "x1", "ignored"],
        "groups": groups,
        "group": "a",
        "reference": "b",
    }
    return phi, arguments, x


def test_a_linear_model_has_the_closed_form() -> None:
    phi, arguments, x = linear()
    found = gap_contributions(phi, **arguments)
    by_name = {c.feature: c for c in found.contributions}
    half = len(x) // 2
    shift = x[:half].mean(axis=0) - x[half:].mean(axis=0)
    assert by_name["x0"].value == pytest.approx(2 * shift[0], abs=1e-12)
    assert by_name["x1"].value == pytest.approx(-shift[1], abs=1e-12)
    # The model ignores it: it contributes nothing, and no interval pretends otherwise.
    assert by_name["ignored"].value == 0
    assert by_name["ignored"].low is None
    # The bootstrap agrees with the normal interval of a difference in means.
    a, b = 2 * x[:half, 0], 2 * x[half:, 0]
    error = np.sqrt(a.var() / half + b.var() / half)
    low, high = by_name["x0"].low, by_name["x0"].high
    assert low is not None
    assert high is not None
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_same_seed_gives_the_same_intervals() -> None:
    phi, arguments, _ = linear()
    first = gap_contributions(phi, **arguments, random_state=4)
    assert first == gap_contributions(phi, **arguments, random_state=4)
    assert first != gap_contributions(phi, **arguments, random_state=5)


def test_the_bars_of_the_chart_sum_to_the_gap() -> None:
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(80, 20))
    found = gap_contributions(
        phi,
        base_values=np.zeros(80),
        predictions=phi.sum(axis=1),
        feature_names=[f"f{j}" for j in range(20)],
        groups=["a"] * 40 + ["b"] * 40,
        group="a",
        reference="b",
        n_boot=50,
    )
    (series,) = found.chart().series
    assert series.x[-1] == "8 other features"
    assert sum(y for y in series.y if y is not None) == pytest.approx(found.gap, abs=1e-9)
    assert len(found.plot().data) == 1
    assert "does not prove a cause" in found._repr_html_()
    frame = found.frame()
    assert list(frame["feature"][:2]) == [c.feature for c in found.contributions[:2]]
    assert frame["value"].abs().is_monotonic_decreasing


def test_small_groups_are_shown_but_say_nothing() -> None:
    phi, arguments, _ = linear(40)
    found = gap_contributions(phi, **arguments, n_boot=50)
    assert found.small
    assert "too small to say" in found.words
    assert any("fewer than 30 rows" in note for note in found.notes)
    one = {**arguments, "groups": ["lone"] + ["b"] * 39, "group": "lone"}
    alone = gap_contributions(phi, **one, n_boot=50)
    assert alone.n == 1
    assert alone.contributions[0].low is None


def test_people_of_unknown_group_can_be_compared_but_are_no_reference() -> None:
    phi, arguments, _ = linear()
    groups = pd.Series(arguments.pop("groups"), name="race").mask(np.arange(400) % 4 == 0)
    arguments.pop("group")
    arguments.pop("reference")
    unknown = gap_contributions(
        phi, groups=groups, group="unknown", reference="b", n_boot=50, **arguments
    )
    assert unknown.n == 100
    assert unknown.attribute == "race"
    with pytest.raises(InputError, match='reference is "unknown"; accepted: a, b'):
        gap_contributions(phi, groups=groups, group="a", reference="unknown", **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "z"}, 'group is "z"; accepted: a, b'),
        ({"reference": "a"}, 'group and reference are both "a"'),
        ({"base_values": 0.5}, "miss the predictions by up to 0.25"),
        ({"base_values": np.linspace(0, 1, 400)}, "base_values differ between rows"),
        ({"base_values": [0.25, 0.25]}, r"base_values has shape \(2,\)"),
        ({"feature_names": ["x0"]}, r"shape \(400, 3\); expected \(400, 1\)"),
        ({"explained": "decision"}, "predictions are not all 0 or 1"),
        ({"explained": "decisions"}, 'did you mean "decision"'),
        ({"groups": ["a", "b"]}, "got 2 rows"),
        ({"confidence": 95}, "confidence is 95"),
        ({"n_boot": 0}, "n_boot is 0"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict[str, Any], message: str) -> None:
    phi, arguments, _ = linear()
    with pytest.raises(InputError, match=message):
        gap_contributions(phi, **{**arguments, **change})


def test_attributions_that_are_not_numbers_are_refused() -> None:
    phi, arguments, _ = linear()
    phi[3, 1] = np.nan
    with pytest.raises(InputError, match="explanation_values has missing"):
        gap_contributions(phi, **arguments)
