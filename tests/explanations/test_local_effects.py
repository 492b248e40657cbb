"""ALE: closed forms, the textbook case in which it differs from partial dependence, and care."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.dependence import partial_dependence
from hitl_audit.explanations.views.local_effects import accumulated_local_effects

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def pair() -> pd.DataFrame:
    """Two inputs that are almost the same, and groups of three kinds."""
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 1, 400)
    group = np.select([a < 0.3, a < 0.7], ["low", "middle"], "high")
    return pd.DataFrame({"a": a, "b": a + rng.normal(0, 0.02, 400), "group": group})


def values_of(found: Any) -> FloatArray:
    return np.asarray(found.frame()["value"], dtype=np.float64)


def test_linear_model_is_slope_times_distance_from_the_mean(pair: pd.DataFrame) -> None:
    X = pair[["a", "b"]]
    model = LinearRegression().fit(X, 3 * X["a"] - X["b"])
    found = accumulated_local_effects(model, X, "a", scale="value")
    expected = model.coef_[0] * (values_of(found) - X["a"].mean())
    np.testing.assert_allclose(found.frame()["effect"], expected, atol=1e-10)
    assert found.frame()["n"].sum() == len(X)


def test_correlated_inputs_part_it_from_partial_dependence(pair: pd.DataFrame) -> None:
    # f = a·b with b ≈ a: the local effect of a is b ≈ a, so ALE ≈ a²/2 − mean;
    # partial dependence is a · mean(b), a straight line.
    def product(frame: pd.DataFrame) -> FloatArray:
        return (frame["a"] * frame["b"]).to_numpy()

    ale = accumulated_local_effects(product, pair, "a", scale="value", grid=40)
    at = values_of(ale)
    np.testing.assert_allclose(
        ale.frame()["effect"], at**2 / 2 - (pair["a"] ** 2 / 2).mean(), atol=0.01
    )
    pdp = partial_dependence(product, pair, "a", scale="value", grid=40)
    np.testing.assert_allclose(pdp.frame()["average"], at * pair["b"].mean(), atol=1e-12)
    assert any("compare the accumulated local effects" in note for note in pdp.notes)


def test_model_is_only_asked_about_rows_near_their_own_value(pair: pd.DataFrame) -> None:
    asked = []

    def model(frame: pd.DataFrame) -> FloatArray:
        if len(frame) == len(pair):  # not the one row that tells how many values it has
            asked.append(frame["a"].to_numpy() - pair["a"].to_numpy())
        return frame["a"].to_numpy()

    accumulated_local_effects(model, pair, "a", scale="value", grid=21)
    widest = np.diff(np.quantile(pair["a"], np.linspace(0, 1, 21))).max()
    assert len(asked) == 2
    assert np.abs(np.concatenate(asked)).max() <= widest + 0.02


def test_equals_the_definition_step_by_step(pair: pd.DataFrame) -> None:
    def model(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(np.sin(5 * frame["a"]) * frame["b"])

    found = accumulated_local_effects(model, pair, "a", scale="value", grid=5)
    z = values_of(found)
    curve = [0.0]
    for low, high in itertools.pairwise(z):
        inside = pair[
            (pair["a"] > low) & (pair["a"] <= high) | ((low == z[0]) & (pair["a"] == low))
        ]
        curve.append(
            curve[-1] + (model(inside.assign(a=high)) - model(inside.assign(a=low))).mean()
        )
    centred = np.array(curve) - np.interp(pair["a"], z, curve).mean()
    np.testing.assert_allclose(found.frame()["effect"], centred, atol=1e-12)


def test_categories_in_an_additive_model(pair: pd.DataFrame) -> None:
    worth = {"low": 0.0, "middle": 5.0, "high": 1.0}

    def model(frame: pd.DataFrame) -> FloatArray:
        return (frame["group"].map(worth).astype(float) + frame["a"]).to_numpy()

    found = accumulated_local_effects(model, pair, "group", scale="value")
    # By likeness in a and b the middle group lies between the others.
    assert found.frame()["value"].tolist() in (["low", "middle", "high"], ["high", "middle", "low"])
    mean = pair["group"].map(worth).mean()
    for point in found.frame().itertuples():
        assert point.effect == pytest.approx(worth[str(point.value)] - mean)
    assert any("another order gives other numbers" in note for note in found.notes)
    assert found.chart().kind == "intervals"


def test_ordered_categories_and_booleans_keep_their_order(pair: pd.DataFrame) -> None:
    X = pair.assign(
        group=pd.Categorical(pair["group"], ["high", "low", "middle"], ordered=True),
        flag=pair["b"] > 0.5,
    )

    def model(frame: pd.DataFrame) -> FloatArray:
        return 2.0 * frame["flag"].to_numpy()

    found = accumulated_local_effects(model, X, "group", scale="value")
    assert found.frame()["value"].tolist() == ["high", "low", "middle"]
    assert found.frame()["effect"].abs().max() == 0
    flag = accumulated_local_effects(model, X, "flag", scale="value").frame()
    share = X["flag"].mean()
    np.testing.assert_allclose(flag["effect"], [-2 * share, 2 * (1 - share)])


def test_interval_covers_the_curve_and_shrinks_with_rows(pair: pd.DataFrame) -> None:
    def model(frame: pd.DataFrame) -> FloatArray:
        return (frame["a"] * frame["b"]).to_numpy()

    wide = accumulated_local_effects(model, pair.iloc[:100], "a", scale="value", grid=5).frame()
    narrow = accumulated_local_effects(model, pair, "a", scale="value", grid=5).frame()
    for table in (wide, narrow):
        assert ((table["low"] <= table["effect"]) & (table["effect"] <= table["high"])).all()
    ratio = (wide["high"] - wide["low"]).mean() / (narrow["high"] - narrow["low"]).mean()
    assert ratio == pytest.approx(2, rel=0.35)  # √4


def test_missing_values_are_left_out_by_name(pair: pd.DataFrame) -> None:
    X = pair.assign(a=pair["a"].where(pair.index >= 30))
    model = LinearRegression().fit(pair[["b"]], pair["b"])
    found = accumulated_local_effects(
        lambda frame: model.predict(frame[["b"]]), X, "a", scale="value"
    )
    assert found.n == 370
    assert any("30 rows without a have no place" in note for note in found.notes)
    assert type(found.plot()).__module__.startswith("plotly")
    assert found.frame()["effect"].abs().max() == pytest.approx(0, abs=1e-12)


def test_one_value_is_refused(pair: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="one has one value in 400 rows"):
        accumulated_local_effects(
            lambda f: f["a"].to_numpy(), pair.assign(one=1), "one", scale="value"
        )
    with pytest.raises(InputError, match="grid is 1"):
        accumulated_local_effects(lambda f: f["a"].to_numpy(), pair, "a", scale="value", grid=1)
