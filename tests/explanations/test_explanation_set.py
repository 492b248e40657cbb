"""Several outputs: classes and values, as one value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain, explain_outputs
from hitl_audit.explanations.explanation_set import ExplanationSet


@pytest.fixture(scope="module", name="X")
def features() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def forest(X: pd.DataFrame) -> Any:
    y = np.where(X["a"] > 0.5, "high", np.where(X["b"] > 0, "low", "mid"))
    return RandomForestClassifier(8, max_depth=3, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def found(forest: Any, X: pd.DataFrame) -> ExplanationSet:
    return explain_outputs(forest, X.iloc[:6], background=X.iloc[20:50])


def test_all_classes_by_default(found: ExplanationSet, forest: Any, X: pd.DataFrame) -> None:
    assert found.outputs == ("high", "low", "mid")
    assert list(found) == ["high", "low", "mid"]
    assert len(found) == 3
    assert found.values.shape == (6, 3, 3)
    assert found.base_values.shape == (6, 3)
    np.testing.assert_allclose(found.predictions, forest.predict_proba(X.iloc[:6]))
    alone = explain(forest, X.iloc[:6], background=X.iloc[20:50], output="low")
    np.testing.assert_array_equal(found["low"].values, alone.values)
    np.testing.assert_array_equal(found.values[:, :, 1], alone.values)
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0, 0] = 1


def test_probabilities_of_all_classes_cancel(found: ExplanationSet) -> None:
    # Σ over classes of the probability is 1 whatever the features, so nothing moves it.
    np.testing.assert_allclose(found.values.sum(axis=2), 0, atol=1e-7)
    np.testing.assert_allclose(found.base_values.sum(axis=1), 1, atol=1e-7)
    total = found.base_values + found.values.sum(axis=1)
    np.testing.assert_allclose(total, found.predictions, atol=1e-6)


def test_to_shap_and_frames(found: ExplanationSet) -> None:
    other = found.to_shap()
    np.testing.assert_array_equal(other.values, found.values)
    assert other.output_names == ["high", "low", "mid"]
    np.testing.assert_array_equal(other[:, :, "low"].values, found["low"].values)
    tidy = found.frame()
    assert list(tidy.columns) == ["output", "row", "feature", "feature_value", "attribution"]
    assert len(tidy) == 6 * 3 * 3
    one = tidy[(tidy["output"] == "mid") & (tidy["row"] == 2) & (tidy["feature"] == "b")]
    assert one["attribution"].item() == found.values[2, 1, 2]
    table = found.global_importance()
    assert table.groupby("output")["mean_abs"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert len(table) == 9


def test_chart_and_page(found: ExplanationSet) -> None:
    chart = found.chart()
    assert [s.name for s in chart.series] == ["high", "low", "mid"]
    place = chart.series[1].x.index("a")
    assert chart.series[1].y[place] == pytest.approx(np.abs(found["low"].values[:, 0]).mean())
    assert type(found.plot()).__module__.startswith("plotly")
    assert "6 rows × 3 features × 3 outputs (high, low, mid)" in found._repr_html_()


def test_some_outputs_in_the_order_asked(forest: Any, X: pd.DataFrame) -> None:
    two = explain_outputs(forest, X.iloc[:2], outputs=["mid", "high"], background=X.iloc[20:40])
    assert two.outputs == ("mid", "high")
    with pytest.raises(InputError, match="output is 'low'; explained are 'mid', 'high'"):
        two["low"]
    with pytest.raises(InputError, match="output is 'no'; the model's classes are"):
        explain_outputs(forest, X, outputs=["no"])
    with pytest.raises(InputError, match="expected outputs, a list"):
        explain_outputs(forest, X, output="mid")
    with pytest.raises(InputError, match="expected a list of at least one output"):
        explain_outputs(forest, X, outputs="mid")
    with pytest.raises(InputError, match="output 'mid' is explained twice"):
        explain_outputs(forest, X.iloc[:2], outputs=["mid", "mid"], background=X.iloc[20:40])


def test_explanations_of_different_things_are_no_set(
    found: ExplanationSet, forest: Any, X: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match="is empty"):
        ExplanationSet(())
    other = explain(forest, X.iloc[1:7], background=X.iloc[20:50], output="low")
    with pytest.raises(InputError, match="different rows"):
        ExplanationSet((found["mid"], other))
    other = explain(forest, X.iloc[:6], background=X.iloc[20:49], output="low")
    with pytest.raises(InputError, match="differ in background_digest"):
        ExplanationSet((found["mid"], other))


def test_lime_of_several_outputs_keeps_its_spread(forest: Any, X: pd.DataFrame) -> None:
    both = explain_outputs(
        forest, X.iloc[:2], method="lime", background=X, n_seeds=2, n_samples=200
    )
    assert (both.frame()["sd"] >= 0).all()
    assert all("sd over seeds" in note for s in both.chart().series for note in s.notes)


# --- values ----------------------------------------------------------------------


def test_a_regressor_is_explained_on_its_value_without_being_told(X: pd.DataFrame) -> None:
    y = X["a"] * X["b"] + X["c"]
    for model, algorithm in (
        (LinearRegression().fit(X, y), "linear"),
        (make_pipeline(StandardScaler(), Ridge()).fit(X, y), "linear"),
        (RandomForestRegressor(5, max_depth=3, random_state=0).fit(X, y), "tree-interventional"),
    ):
        one = explain(model, X.iloc[:3], background=X.iloc[20:50])
        assert (one.scale, one.output, one.algorithm) == ("value", None, algorithm)
        np.testing.assert_allclose(one.predictions, model.predict(X.iloc[:3]))
        assert explain_outputs(model, X.iloc[:3], background=X.iloc[20:50]).outputs == (None,)
    with pytest.raises(InputError, match=r'expected predict_proba.*scale="value"'):
        explain(model, X, scale="probability")
    with pytest.raises(InputError, match="one value per row; expected None"):
        explain(model, X, output=1)


@pytest.mark.parametrize("kind", ["forest", "linear"])
def test_several_values_are_explained_by_position(X: pd.DataFrame, kind: str) -> None:
    Y = np.column_stack([X["a"] + X["b"], X["b"] * X["c"]])
    model: Any = (
        RandomForestRegressor(5, max_depth=3, random_state=0)
        if kind == "forest"
        else LinearRegression()
    )
    model.fit(X, Y)
    both = explain_outputs(model, X.iloc[:3], background=X.iloc[20:50])
    assert both.outputs == (0, 1)
    np.testing.assert_allclose(both.predictions, model.predict(X.iloc[:3]))
    for k in (0, 1):
        exact = explain(
            lambda rows, k=k: model.predict(rows)[:, k],
            X.iloc[:3],
            background=X.iloc[20:50],
            scale="value",
            algorithm="exact",
        )
        np.testing.assert_allclose(both.values[:, :, k], exact.values, atol=1e-6)
    assert both[1].output_words == "value of output 1"
    for wrong in (None, 2, True, "a"):
        with pytest.raises(InputError, match="2 values per row; expected a position from 0 to 1"):
            explain(model, X, output=wrong)


def test_a_classifier_without_probabilities_is_not_taken_for_a_regressor(X: pd.DataFrame) -> None:
    model = LinearSVC().fit(X, (X["a"] > 0).astype(int))
    with pytest.raises(InputError, match="expected predict_proba"):
        explain(model, X)


def test_the_third_column_of_a_callable_is_the_third_class(X: pd.DataFrame) -> None:
    y = np.where(X["a"] > 0.5, 2, np.where(X["b"] > 0, 1, 0))
    model = LogisticRegression().fit(X, y)
    called = explain_outputs(lambda rows: model.predict_proba(rows), X.iloc[:2], background=X[:30])
    named = explain_outputs(model, X.iloc[:2], background=X[:30])
    assert called.outputs == named.outputs == (0, 1, 2)
    np.testing.assert_allclose(called.values, named.values, atol=1e-12)
    with pytest.raises(InputError, match="output is 3; the model's classes are 0, 1, 2"):
        explain(lambda rows: model.predict_proba(rows), X, output=3)
    with pytest.raises(InputError, match="the model has 3 classes"):
        explain(lambda rows: model.predict_proba(rows), X)
