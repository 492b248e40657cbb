"""The Explanation type: frozen numbers and their views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation, bootstrap_means


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [f"f{i:02}" for i in range(13)]
    return pd.DataFrame(
        rng.normal(size=(80, 13)), columns=names, index=[f"case-{i}" for i in range(80)]
    )


@pytest.fixture(scope="module")
def model(data: pd.DataFrame) -> LogisticRegression:
    y = (data @ np.linspace(2, 0, 13) > 0).astype(int)
    return LogisticRegression().fit(data, y)


@pytest.fixture(scope="module")
def shap(data: pd.DataFrame, model: LogisticRegression) -> Explanation:
    return explain(model, data, scale="log-odds")


@pytest.fixture(scope="module")
def lime(data: pd.DataFrame, model: LogisticRegression) -> Explanation:
    return explain(model, data.iloc[:3], method="lime", background=data, n_seeds=3, n_samples=200)


def test_numbers_are_read_only(shap: Explanation, lime: Explanation) -> None:
    for array in (shap.values, shap.base_values, shap.predictions, shap.residual, lime.spread):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array.flat[0] = 1.0


def test_the_data_is_a_copy(data: pd.DataFrame, model: LogisticRegression) -> None:
    mine = data.iloc[:5].copy()
    found = explain(model, mine, background=data, scale="log-odds")
    mine.iloc[0, 0] = 99.0
    pd.testing.assert_frame_equal(found.data, data.iloc[:5])


def test_frame_is_tidy(shap: Explanation, lime: Explanation, data: pd.DataFrame) -> None:
    tidy = shap.frame()
    assert list(tidy.columns) == ["row", "feature", "feature_value", "attribution"]
    assert len(tidy) == 80 * 13
    one = tidy[(tidy["row"] == "case-7") & (tidy["feature"] == "f03")].iloc[0]
    assert one["attribution"] == shap.values[7, 3]
    assert one["feature_value"] == data.loc["case-7", "f03"]
    assert (lime.frame()["sd"] > 0).all()


def test_to_shap_keeps_every_number(shap: Explanation) -> None:
    other = shap.to_shap()
    np.testing.assert_array_equal(other.values, shap.values)
    np.testing.assert_array_equal(other.base_values, shap.base_values)
    assert list(other.feature_names) == list(shap.feature_names)
    assert other.data.dtype == np.float64
    assert other[3].values.shape == (13,)


def test_global_importance_has_intervals(shap: Explanation, lime: Explanation) -> None:
    table = shap.global_importance()
    assert list(table.columns) == ["feature", "mean_abs", "low", "high", "n"]
    assert table["mean_abs"].is_monotonic_decreasing
    assert ((table["low"] <= table["mean_abs"]) & (table["mean_abs"] <= table["high"])).all()
    first = table.set_index("feature").loc["f00"]
    assert first["mean_abs"] == pytest.approx(np.abs(shap.values[:, 0]).mean())
    assert (table["n"] == 80).all()
    wider = shap.global_importance(confidence=0.99)
    assert (wider["high"] - wider["low"] > table["high"] - table["low"]).all()
    assert (lime.global_importance()["mean_sd"] > 0).all()
    with pytest.raises(InputError, match="confidence is 95"):
        shap.global_importance(confidence=95)


def test_bootstrap_agrees_with_the_normal_interval_and_says_nothing_about_one_row() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=(400, 1))
    low, high = bootstrap_means(values, confidence=0.95, random_state=0)
    half = 1.96 * values.std(ddof=1) / 20
    assert low[0] == pytest.approx(values.mean() - half, abs=0.03)
    assert high[0] == pytest.approx(values.mean() + half, abs=0.03)
    low, high = bootstrap_means(values[:1], confidence=0.95, random_state=0)
    assert np.isnan([low[0], high[0]]).all()


def test_chart_of_one_case(shap: Explanation) -> None:
    chart = shap.chart("case-4")
    (bars,) = chart.series
    assert chart.kind == "bars"
    assert bars.x[-1] == "3 other features"
    assert len(bars.x) == 11
    shown = sum(v for v in bars.y if v is not None)
    assert shown + shap.base_values[4] == pytest.approx(shap.predictions[4], abs=1e-6)
    assert "case-4" in chart.message
    assert "log-odds of 1" in chart.value_label
    assert bars.x[0] in chart.alt


def test_chart_of_lime_never_lacks_the_spread(lime: Explanation) -> None:
    local = lime.chart("case-1")
    (bars,) = local.series
    assert len(bars.low) == len(bars.high) == len(bars.y) == 10
    assert all("sd over seeds" in note for note in bars.notes)
    assert "3 weaker features are left out" in local.message
    (bars,) = lime.chart().series
    assert all("sd over seeds" in note for note in bars.notes[:10])


def test_chart_of_all_cases(shap: Explanation) -> None:
    (bars,) = shap.chart().series
    assert bars.low[-1] is None  # the rest is a sum without an interval
    assert bars.low[0] is not None
    strongest = np.argmax(np.abs(shap.values).mean(axis=0))
    assert bars.x[0] == shap.feature_names[strongest]


def test_a_case_that_is_not_there_is_named(shap: Explanation) -> None:
    with pytest.raises(InputError, match="row is 'case-99': no case of that name"):
        shap.chart("case-99")


@pytest.mark.parametrize("draw", [Explanation.plot, lambda e: e.plot(row=e.index[0])])
def test_plot_is_a_figure(shap: Explanation, draw: Callable[[Explanation], object]) -> None:
    assert type(draw(shap)).__module__.startswith("plotly")


def test_shown_in_a_notebook(data: pd.DataFrame, model: LogisticRegression) -> None:
    odd = data.iloc[:4].rename(columns={"f00": "<b>f00</b>"})
    found = explain(
        lambda X: model.predict_proba(X.set_axis(data.columns, axis=1)),
        odd,
        algorithm="permutation",
        n_permutations=1,
    )
    page = found._repr_html_()
    assert "&lt;b&gt;f00" in page
    assert "<b>f00" not in page
    assert "4 rows × 13 features" in page
    assert len(page) < 4000
