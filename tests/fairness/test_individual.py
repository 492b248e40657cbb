"""Individual fairness: neighbors, matched pairs, and the flip test."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hitl_audit.errors import InputError
from hitl_audit.fairness.flip_test import Flip, FlipTest, flip_test
from hitl_audit.fairness.individual import as_points, consistency
from hitl_audit.fairness.matched_pairs import MatchedGroup, matched_pairs, paired_newcombe
from hitl_audit.inputs import Predictor


def people(rows: int = 200, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.normal(40, 12, rows),
            "debt": rng.integers(0, 30, rows),
            "kind": rng.choice(["house", "flat"], rows),
        }
    )
    return frame, rng.choice(["a", "b"], rows, p=[0.6, 0.4])


# --- who is similar ----------------------------------------------------------


def test_points_are_standardized_numbers_and_one_hot_categories() -> None:
    frame = pd.DataFrame(
        {
            "x": [1.0, np.nan, 3.0],
            "same": [7, 7, 7],
            "yes": [True, False, True],
            "kind": ["u", None, "u"],
            "id": ["1", "2", "3"],
        }
    )
    points = as_points(frame, ["id"])
    assert points[:, 0] == pytest.approx([-1, 0, 1])
    assert points[:, 1].tolist() == [0, 1, 0]  # x is missing
    assert points[:, 2].tolist() == [0, 0, 0]
    assert points[:, 3] == pytest.approx(np.array([1, -2, 1]) / np.sqrt(2))
    assert points[:, 4:].tolist() == [[1, 0], [0, 1], [1, 0]]


# --- consistency -------------------------------------------------------------


def test_consistency_by_brute_force() -> None:
    frame, group = people()
    decision = (frame["income"] + np.where(group == "a", 5, 0) > 42).astype(int).to_numpy()
    found = consistency(frame, decision, sensitive_features={"g": group}, n_neighbors=4)
    points = as_points(frame, [])
    expected = []
    for i in range(len(frame)):
        distance = np.linalg.norm(points - points[i], axis=1)
        distance[i] = np.inf
        near = np.argsort(distance)[:4]
        expected.append(1 - abs(decision[i] - decision[near].mean()))
    assert found.per_row == pytest.approx(expected)
    rows = {m.group: m for m in found.measures}
    assert rows["all"].value == pytest.approx(np.mean(expected))
    mine = np.array(expected)[group == "b"]
    assert rows["b"].value == pytest.approx(mine.mean())
    low, high = stats.t.interval(0.95, len(mine) - 1, mine.mean(), stats.sem(mine))
    assert rows["b"].low == pytest.approx(low)
    assert rows["b"].high == pytest.approx(min(high, 1))
    assert found.plot("g").data
    assert "income, debt, kind" in found.notes[-1]
    assert list(found.frame()["group"]) == ["all", "a", "b"]
    assert "<table" in found._repr_html_()


def test_consistency_at_its_ends() -> None:
    frame = pd.DataFrame({"x": [0.0, 0.1, 9.0, 9.1] * 10})
    alike = consistency(frame, [0, 0, 1, 1] * 10, n_neighbors=3)
    assert [(m.group, m.value, m.low) for m in alike.measures] == [("all", 1.0, None)]
    twins = pd.DataFrame({"x": np.repeat(np.arange(20.0) * 100, 2)})
    assert consistency(twins, [0, 1] * 20, n_neighbors=1).measures[0].value == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": [[1.0], [2.0]]}, "X is a list; accepted: a DataFrame"),
        ({"X": pd.DataFrame({"x": []})}, "X is empty"),
        ({"X": pd.DataFrame({"x": [1.0, np.inf, 2.0]})}, 'infinite values in "x"'),
        ({"y_pred": [0, 1]}, "y_pred: got 2 rows, expected 3 as in X"),
        ({"y_pred": [0, 1, 2]}, "y_pred goes from 0 to 2"),
        ({"y_pred": [0, 1, np.nan]}, "y_pred is missing"),
        ({"n_neighbors": 3}, "n_neighbors is 3 for 3 rows"),
        ({"n_neighbors": 0}, "n_neighbors is 0"),
        ({"exclude": ["y"]}, 'exclude is "y"; accepted: x'),
        ({"exclude": ["x"]}, "X has no column left"),
    ],
)
def test_bad_inputs_of_consistency(change: dict[str, Any], message: str) -> None:
    good = {"X": pd.DataFrame({"x": [1.0, 2.0, 3.0]}), "y_pred": [0, 1, 1], "n_neighbors": 1}
    with pytest.raises(InputError, match=message):
        consistency(**{**good, **change})


# --- matched pairs -----------------------------------------------------------


def test_paired_interval_has_the_published_values() -> None:
    """Airway hyper-responsiveness, 1 7 / 1 12 of 21 pairs (Fagerland et al., BMC 2014)."""
    low, high = paired_newcombe(1, 1, 7, 12)
    assert (round(low, 3), round(high, 3)) == (-0.507, -0.026)
    assert paired_newcombe(1, 7, 1, 12) == pytest.approx((-high, -low))
    low, high = paired_newcombe(0, 0, 0, 30)
    assert low == pytest.approx(-high)


def twins(decisions: list[tuple[int, int]]) -> dict[str, Any]:
    """People of group b, each with one like of group a near and everybody else far."""
    rows = [
        (100.0 * i + (0.01 if group == "b" else 0.0), group, decision)
        for i, pair in enumerate(decisions)
        for group, decision in zip("ba", pair, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["x", "g", "decision"])
    return {
        "X": frame[["x"]],
        "y_pred": frame["decision"],
        "sensitive_features": frame[["g"]],
        "reference": {"g": "a"},
    }


def test_pairs_are_found_and_compared() -> None:
    decisions = [(1, 1)] + [(1, 0)] + [(0, 1)] * 7 + [(0, 0)] * 12
    found = matched_pairs(**twins(decisions), min_group=10, y_score=np.arange(42) / 42)
    (row,) = found.groups
    assert (row.both, row.only_group, row.only_reference, row.neither) == (1, 1, 7, 12)
    assert (row.pairs, row.unmatched, row.status) == (21, 0, "ok")
    assert row.difference == pytest.approx(-6 / 21)
    assert (row.low, row.high) == paired_newcombe(1, 1, 7, 12)
    assert row.p_value == pytest.approx(2 * (1 + 8) / 256)  # the tail of Binomial(8, ½), twice
    assert row.p_adjusted == row.p_value  # the only test
    assert row.mean_score_difference == pytest.approx(-1 / 42)
    assert (row.score_low, row.score_high) == (None, None)
    assert [(a, b) for _, a, b, _ in found.pairs] == [(2 * i, 2 * i + 1) for i in range(21)]
    assert len(found.pairs_frame()) == 21
    chart = found.chart("g")
    assert chart.percent
    assert chart.thresholds == ((0.0, "equal"),)
    assert found.plot("g").data
    assert "Pairs are alike in x" in found._repr_html_()


def test_matching_is_one_to_one_closest_first() -> None:
    """Two of b want the same of a: the closer one has it, the other takes the next."""
    frame = pd.DataFrame({"x": [0.0, 10.0, 20.0, 1.0, 2.0]})
    arguments: dict[str, Any] = {
        "y_pred": [1, 0, 0, 1, 1],
        "sensitive_features": {"g": list("aaabb")},
        "reference": {"g": "a"},
    }
    found = matched_pairs(frame, caliper=5.0, **arguments)
    assert [(a, b) for _, a, b, _ in found.pairs] == [(3, 0), (4, 1)]
    near = matched_pairs(frame, caliper=0.3, **arguments)
    assert [(a, b) for _, a, b, _ in near.pairs] == [(3, 0)]
    assert near.groups[0].unmatched == 1
    assert near.groups[0].status == "small group"
    nobody = matched_pairs(frame, caliper=0, **arguments)
    assert nobody.groups[0].difference is None
    assert nobody.groups[0].status == "undefined"
    assert nobody.groups[0].p_value is None


def test_everybody_finds_a_partner_in_a_crowd() -> None:
    """More wish for the same few than one round looks at."""
    frame = pd.DataFrame({"x": [*np.linspace(0, 1, 60), *np.full(60, 0.5)]})
    found = matched_pairs(
        frame, [0, 1] * 60, sensitive_features={"g": ["a"] * 60 + ["b"] * 60}, caliper=9.0
    )
    partners = [b for _, _, b, _ in found.pairs]
    assert sorted(partners) == list(range(60))


def test_the_attribute_itself_keeps_nobody_apart() -> None:
    frame, group = people(100)
    sex = np.tile(["f", "m"], 50)
    with_both = frame.assign(g=group, sex=sex)
    decision = (frame["income"] > 40).astype(int)
    features = {"g": group}
    found = matched_pairs(with_both, decision, sensitive_features=features, caliper=1.0)
    without = matched_pairs(
        frame.assign(sex=sex), decision, sensitive_features=features, caliper=1.0
    )
    assert found.pairs == without.pairs
    assert all(sex[a] == sex[b] for _, a, b, _ in found.pairs)


def test_a_penalty_shows_in_pairs_and_its_absence_does_not() -> None:
    frame, group = people(1500, seed=4)
    fair = (frame["income"] > 40).astype(int)
    biased = (frame["income"] - 6 * (group == "b") > 40).astype(int)

    def difference(decision: Any) -> MatchedGroup:
        (row,) = matched_pairs(frame, decision, sensitive_features={"g": group}).groups
        return row

    hurt, alike = difference(biased), difference(fair)
    assert (hurt.reference, hurt.group) == ("a", "b")
    assert hurt.high is not None
    assert hurt.high < -0.1
    assert alike.low is not None
    assert alike.high is not None
    assert alike.low < 0 < alike.high
    assert hurt.pairs + hurt.unmatched == hurt.n


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": [0, 1, 2]}, "y_pred has the labels 2"),
        ({"y_pred": [0, 1]}, "y_pred: got 2 rows, expected 3"),
        ({"y_score": [0.1]}, "y_score: got 1 rows"),
        ({"caliper": -1}, "caliper is -1"),
        ({"caliper": float("nan")}, "caliper is nan"),
        ({"reference": {"g": "z"}}, 'reference of g is "z"'),
        ({"exclude": ["x"]}, "no column left"),
    ],
)
def test_bad_inputs_of_matched_pairs(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "X": pd.DataFrame({"x": [1.0, 2.0, 3.0]}),
        "y_pred": [0, 1, 1],
        "sensitive_features": {"g": ["a", "b", "a"]},
    }
    with pytest.raises(InputError, match=message):
        matched_pairs(**{**good, **change})


# --- the flip test -----------------------------------------------------------


def logistic(frame: pd.DataFrame) -> Any:
    """Approves from income 40 up; being of group b costs as much as 5 of income."""
    cost = 5.0 * (frame["g"] == "b") if "g" in frame else 0.0
    return 1 / (1 + np.exp(-(frame["income"] - cost - 40) / 10))


def predictor(model: Any) -> Predictor:
    return Predictor(model, output="probability", column=1, favorable=1, threshold=0.5)


def of_flip(found: FlipTest, group: str, to: str) -> Flip:
    (row,) = [f for f in found.flips if (f.group, f.to) == (group, to)]
    return row


def test_flips_are_counted_by_hand() -> None:
    frame, group = people(400)
    data = frame.assign(g=group)
    found = flip_test(predictor(logistic), data, "g")
    income = frame["income"].to_numpy()
    between = (income >= 40) & (income < 45)
    down = of_flip(found, "a", "b")
    assert down.n == (group == "a").sum()
    assert (down.to_unfavorable, down.to_favorable) == ((between & (group == "a")).sum(), 0)
    up = of_flip(found, "b", "a")
    assert (up.to_unfavorable, up.to_favorable) == (0, (between & (group == "b")).sum())
    assert up.value == up.changed / up.n
    assert up.low is not None
    assert up.high is not None
    assert up.low < (up.value or 0) < up.high
    flipped = data.assign(g="a")
    change = (logistic(flipped) - logistic(data)).to_numpy()[group == "b"]
    assert up.mean_score_change == pytest.approx(change.mean())
    assert up.largest_score_change == pytest.approx(np.abs(change).max())
    total = of_flip(found, "all", "any other")
    assert (total.n, total.changed) == (400, between.sum())
    assert found.is_input
    assert f"{between.sum()} of 400 decisions change when g alone is changed" in found.words
    assert set(found.chart().series[0].x) == {"a → b", "b → a"}
    assert found.plot().data
    assert data["g"].tolist() == list(group)  # the caller's rows are untouched
    assert len(found.frame()) == 5


def test_not_an_input_is_not_called_fair() -> None:
    frame, _ = people(40)
    found = flip_test(predictor(logistic), frame, "sex")
    assert not found.is_input
    assert found.flips == ()
    assert "sex is not an input" in found.words
    assert "fair" not in found.words
    assert "sex is not an input" in found._repr_html_()
    assert list(found.frame().columns) == list(Flip.__dataclass_fields__)
    with pytest.raises(InputError, match="nothing to draw: sex is not an input"):
        found.chart()


def test_a_column_that_the_model_ignores() -> None:
    frame, group = people(40)
    found = flip_test(predictor(lambda X: logistic(X[["income"]])), frame.assign(g=group), "g")
    assert found.is_input
    assert of_flip(found, "all", "any other").changed == 0
    assert "does not use it here" in found.words
    assert "fair" not in found.words
    alone = flip_test(predictor(logistic), frame.assign(g="a"), "g")
    assert "nothing was changed" in alone.words
    assert of_flip(alone, "all", "any other").status == "undefined"


@pytest.mark.parametrize("kind", ["text", "category", "number", "boolean", "with missing"])
def test_columns_of_any_type(kind: str) -> None:
    frame, group = people(60)
    second = group == "b"
    column = {
        "text": pd.Series(group),
        "category": pd.Series(group, dtype="category"),
        "number": pd.Series(second.astype(int)),
        "boolean": pd.Series(second),
        "with missing": pd.Series(np.where(np.arange(60) < 5, np.nan, second.astype(float))),
    }[kind]
    names = {"text": "ab", "category": "ab", "boolean": ("False", "True")}.get(kind, "01")
    dtypes = []

    def model(rows: pd.DataFrame) -> Any:
        dtypes.append(rows["g"].dtype)
        hit = rows["g"].isin([1, True, "b"]).to_numpy()
        return np.where(hit, 0.2, 0.8)

    found = flip_test(predictor(model), frame.assign(g=column), "g")
    assert set(dtypes) == {column.dtype}
    assert {f.to for f in found.flips} == {*names, "any other"}
    assert of_flip(found, names[0], names[1]).value == 1
    if kind == "with missing":
        assert of_flip(found, "unknown", "0").n == 5
        assert of_flip(found, "all", "any other").n == 60


def test_one_hot_columns_need_their_encoding() -> None:
    frame, group = people(80)
    data = frame[["income"]].assign(g_a=(group == "a").astype(int), g_b=(group == "b").astype(int))
    model = make_pipeline(FunctionTransformer(), LogisticRegression())
    model.fit(data, (frame["income"] - 5 * (group == "b") > 40).astype(int))
    with pytest.raises(InputError, match='no column "g", but g_a, g_b; accepted: encoding'):
        flip_test(predictor(model), data, "g")
    found = flip_test(
        predictor(model),
        data,
        "g",
        encoding={"a": {"g_a": 1, "g_b": 0}, "b": {"g_a": 0, "g_b": 1}},
    )
    flipped = data.assign(g_a=1, g_b=0)
    changed = model.predict(flipped) != model.predict(data)
    assert of_flip(found, "b", "a").changed == changed[group == "b"].sum()
    assert of_flip(found, "b", "a").n == (group == "b").sum()
    assert not flip_test(predictor(model), data, "g", encoding={}).is_input


def failing(rows: pd.DataFrame) -> Any:
    raise RuntimeError("no such category")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"predictor": logistic},
            "predictor is a function; accepted: a hitl_audit.inputs.Predictor",
        ),
        ({"X": pd.DataFrame({"g": []})}, "X is empty"),
        ({"X": [1]}, "X is a list"),
        ({"attribute": "income"}, "income has 40 different values; accepted: up to 20"),
        ({"attribute": "debt", "values": ["many"]}, "values has 'many', which a column of type"),
        ({"encoding": {"a": {"h": 1}}}, 'encoding of "a" has the column "h"; accepted: income'),
        ({"encoding": {"a": {}}}, 'encoding of "a" is empty'),
        ({"confidence": 0}, "confidence is 0"),
        ({"predictor": predictor(failing)}, "the model failed on 40 rows of data"),
    ],
)
def test_bad_inputs_of_the_flip_test(change: dict[str, Any], message: str) -> None:
    frame, group = people(40)
    good: dict[str, Any] = {
        "predictor": predictor(logistic),
        "X": frame.assign(g=group),
        "attribute": "g",
    }
    with pytest.raises(InputError, match=message):
        flip_test(**{**good, **change})


def test_the_mortgage_model_is_not_given_race(
    mortgage_model: Any, mortgage_holdout: pd.DataFrame
) -> None:
    from hitl_audit.examples.mortgage import CATEGORICAL, NUMERIC

    inputs = mortgage_holdout[[*NUMERIC, *CATEGORICAL]]
    model = predictor(mortgage_model)
    assert "not an input" in flip_test(model, inputs, "race").words
    decisions = model.decide(model.score(inputs))
    found = matched_pairs(inputs, decisions, sensitive_features=mortgage_holdout[["race"]])
    assert {g.reference for g in found.groups} == {"white"}
    for row in found.groups:
        assert row.pairs > 0
        assert row.low is not None
        assert row.low <= (row.difference or 0.0)
