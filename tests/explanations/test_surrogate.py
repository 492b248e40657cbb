"""Surrogates: recovered when the model is of their kind, and never shown without fidelity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.surrogate import Surrogate, surrogate

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 400
    return pd.DataFrame(
        {
            "income": rng.uniform(0, 10, n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "owner": rng.random(n) < 0.5,
            "age": rng.integers(20, 60, n),
        }
    )


def steps(frame: pd.DataFrame) -> FloatArray:
    nurse = frame["job"] == "nurse"
    return np.asarray(np.select([nurse & (frame["income"] > 6), nurse], [0.9, 0.6], 0.1))


def linear(frame: pd.DataFrame) -> FloatArray:
    return np.asarray(2.0 * frame["income"] - 5.0 * (frame["job"] == "nurse") + 1.0)


@pytest.fixture(scope="module")
def forest(people: pd.DataFrame) -> Pipeline:
    columns = ColumnTransformer([("w", OneHotEncoder(), ["job"])], remainder="passthrough")
    rng = np.random.default_rng(1)
    y = rng.random(len(people)) < steps(people)
    model = RandomForestClassifier(n_estimators=20, random_state=0)
    return make_pipeline(columns, model).fit(people, y)


@pytest.fixture(scope="module")
def stand_in(people: pd.DataFrame, forest: Pipeline) -> Surrogate:
    return surrogate(forest, people)


def test_a_tree_is_recovered_with_its_rules_in_words(people: pd.DataFrame) -> None:
    found = surrogate(steps, people, max_depth=2)
    assert found.follows
    assert found.fidelity().set_index("measure").loc["r2", "value"] == pytest.approx(1)
    rules = dict(zip(found.frame()["rule"], found.frame()["says"], strict=True))
    assert rules.pop("job is not nurse") == pytest.approx(0.1)
    low, high = sorted(rules, key=rules.__getitem__)
    assert low.startswith("job is nurse and income at most ")
    assert high.startswith("job is nurse and income above ")
    assert 5.9 < float(low.split()[-1]) < 6.1
    assert rules[low] == pytest.approx(0.6)
    assert rules[high] == pytest.approx(0.9)
    assert found.frame()["n_held_out"].sum() == found.n_held_out == 120


def test_a_sum_is_recovered_with_its_coefficients(people: pd.DataFrame) -> None:
    found = surrogate(linear, people, kind="linear", scale="value", max_terms=2)
    terms = found.frame().set_index("term")
    assert terms.loc["income", "per_unit"] == pytest.approx(2)
    assert terms.loc["job is nurse", "per_unit"] == pytest.approx(-5)
    assert terms.loc["income", "per_sd"] == pytest.approx(2 * people["income"].std(), rel=0.05)
    assert found.intercept == pytest.approx(1)
    assert found.follows
    assert found.fidelity()["measure"].tolist() == ["r2", "mean_error"]


def test_fidelity_is_to_the_model_on_rows_it_was_not_fitted_on(
    people: pd.DataFrame, forest: Pipeline, stand_in: Surrogate
) -> None:
    said = forest.predict_proba(people)[:, 1]
    mine = stand_in.predict(people)
    measures = stand_in.fidelity().set_index("measure")
    # The 120 held-out rows are those of the leaves' counts; find them by the split's own rule.
    from hitl_audit.explanations.raw_features import hash_order

    places = hash_order(people, random_state=0)[:120]
    assert measures.loc["r2", "value"] == pytest.approx(r2_score(said[places], mine[places]))
    same = ((said >= 0.5) == (mine >= 0.5))[places].mean()
    assert measures.loc["agreement", "value"] == pytest.approx(same)
    assert measures.loc["agreement", "interval"] == "Wilson"
    low, value, high = measures[["low", "value", "high"]].to_numpy(dtype=np.float64)[0]
    assert low < value < high
    errors = stand_in.frame()["mean_error"] * stand_in.frame()["share_held_out"]
    assert errors.sum() == pytest.approx(measures.loc["mean_error", "value"])


def test_no_view_lacks_the_fidelity(stand_in: Surrogate) -> None:
    r2 = stand_in.fidelity()["value"][0]
    assert (stand_in.frame()["fidelity_r2"] == r2).all()
    for text in (repr(stand_in), stand_in._repr_html_(), stand_in.chart().message, stand_in.words):
        assert f"R² {r2:.2f}" in text
    assert type(stand_in.plot()).__module__.startswith("plotly")


def test_below_the_bar_it_must_not_be_read_as_the_model(people: pd.DataFrame) -> None:
    def wild(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(np.sin(40 * frame["income"]))

    found = surrogate(wild, people, kind="linear", scale="value")
    assert not found.follows
    assert "must not be read as the model" in found.words
    assert "must not be read as the model" in found.notes[0]
    assert "must not be read as the model" in found.chart().message
    assert not found.frame()["follows"].any()


def test_the_bar_is_cleared_by_the_interval_not_the_point(
    people: pd.DataFrame, forest: Pipeline, stand_in: Surrogate
) -> None:
    r2 = stand_in.fidelity().iloc[0]
    between = float(r2["low"] + r2["value"]) / 2
    assert not surrogate(forest, people, fidelity_at_least=between).follows
    assert surrogate(forest, people, fidelity_at_least=float(r2["low"]) - 1e-9).follows


def test_missing_values_are_told(people: pd.DataFrame) -> None:
    X = people.copy()
    X.loc[X.index % 4 == 0, "income"] = np.nan

    def model(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(frame["income"].isna().astype(float))

    found = surrogate(model, X, max_depth=1)
    assert set(found.frame()["rule"]) == {"income is missing", "income is not missing"}
    assert found.fidelity()["value"][0] == pytest.approx(1)
    assert any("counts as the median of the others: income = " in note for note in found.notes)


@pytest.mark.parametrize("kind", ["tree", "linear"])
def test_a_constant_model(people: pd.DataFrame, kind: Any) -> None:
    found = surrogate(lambda frame: np.full(len(frame), 0.3), people, kind=kind)
    np.testing.assert_allclose(found.predict(people), 0.3)
    assert found.fidelity()["value"][0] == 1
    assert found.follows


def test_same_seed_same_surrogate(
    people: pd.DataFrame, forest: Pipeline, stand_in: Surrogate
) -> None:
    again = surrogate(forest, people)
    pd.testing.assert_frame_equal(again.frame(), stand_in.frame())
    pd.testing.assert_frame_equal(again.fidelity(), stand_in.fidelity())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "forest"}, 'kind is "forest"; accepted: tree, linear'),
        ({"max_depth": 0}, "max_depth is 0"),
        ({"fidelity_at_least": 80}, "fidelity_at_least is 80"),
        ({"X": pd.DataFrame({"a": [1.0, 2.0]})}, "X has 2 rows; a surrogate needs at least 60"),
    ],
)
def test_bad_arguments_are_named(
    people: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"X": people, **arguments}
    with pytest.raises(InputError, match=message):
        surrogate(steps, **given)
