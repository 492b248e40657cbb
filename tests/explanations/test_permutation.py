"""Permutation importance: scikit-learn's own numbers, on raw columns and any model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.permutation import permutation_importance


@pytest.fixture(scope="module")
def people() -> tuple[pd.DataFrame, Any, Pipeline]:
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame(
        {
            "income": rng.normal(size=n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "noise": rng.normal(size=n),
        }
    )
    score = 2 * X["income"] + 2 * (X["job"] == "nurse") - 0.5 + rng.logistic(size=n)
    y = np.where(score > 0, "pays", "fails")
    columns = ColumnTransformer([("w", OneHotEncoder(), ["job"])], remainder="passthrough")
    return X, y, make_pipeline(columns, LogisticRegression()).fit(X, y)


def test_equals_scikit_learn_on_raw_columns(people: tuple[pd.DataFrame, Any, Pipeline]) -> None:
    X, y, model = people
    found = permutation_importance(model, X, y, n_repeats=5, random_state=3)
    theirs = sklearn_importance(
        model, X, y == "pays", n_repeats=5, random_state=3,
        scoring=lambda m, rows, hit: roc_auc_score(hit, m.predict_proba(rows)[:, 1]),
    )  # fmt: skip
    np.testing.assert_allclose(found.repeats, theirs.importances, atol=1e-12)
    assert found.metric == "roc_auc"
    assert found.value == pytest.approx(roc_auc_score(y == "pays", model.predict_proba(X)[:, 1]))
    assert found.frame()["feature"].tolist() == ["income", "job", "noise"]


def test_interval_is_student_t_over_repeats(people: tuple[pd.DataFrame, Any, Pipeline]) -> None:
    X, y, model = people
    found = permutation_importance(model, X, y, n_repeats=4)
    line = found.frame().iloc[0]
    losses = found.repeats[0]
    half = 3.182446 * losses.std(ddof=1) / 2  # t(.975, 3) over √4
    assert line["importance"] == pytest.approx(losses.mean())
    assert line["high"] - line["importance"] == pytest.approx(half, rel=1e-6)
    assert line["interval"] == "Student t over 4 repeats"
    assert "do not cover the choice of rows" in found.notes[0]


def test_callable_and_estimator_agree(people: tuple[pd.DataFrame, Any, Pipeline]) -> None:
    X, y, model = people
    one = permutation_importance(model, X, y, n_repeats=3)
    other = permutation_importance(
        lambda frame: model.predict_proba(frame)[:, 1], X, y == "pays", n_repeats=3
    )
    pd.testing.assert_frame_equal(one.frame(), other.frame())
    # The other class has the same area under its curve.
    third = permutation_importance(model, X, y, n_repeats=3, output="fails")
    np.testing.assert_allclose(third.repeats, one.repeats, atol=1e-12)


def test_closed_form_of_a_linear_model() -> None:
    # Shuffling an independent input of a perfect model: E[loss of R²] = 2 β² var(x) / var(y).
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4000, 2))
    y = 3 * X[:, 0] + X[:, 1]
    model = LinearRegression().fit(X, y)
    found = permutation_importance(model, X, y, feature_names=["a", "b"], n_repeats=20).frame()
    np.testing.assert_allclose(found["importance"], [1.8, 0.2], rtol=0.03)
    assert found["feature"].tolist() == ["a", "b"]


def test_negative_values_are_kept(people: tuple[pd.DataFrame, Any, Pipeline]) -> None:
    X, y, model = people
    for seed in range(20):
        found = permutation_importance(
            model, X.iloc[:60], y[:60], n_repeats=2, random_state=seed, metric="neg_log_loss"
        )
        if (found.frame()["importance"] < 0).any():
            break
    assert found.frame()["importance"].min() < 0
    assert any("a negative value" in note for note in found.notes)
    series = found.chart().series[0]
    assert min(v for v in series.y if v is not None) < 0


def test_own_metric_and_views(people: tuple[pd.DataFrame, Any, Pipeline]) -> None:
    X, y, model = people

    def hits(truth: Any, output: Any) -> float:
        return float(((output >= 0.5) == (truth == 1)).mean())

    found = permutation_importance(model, X, y, metric=hits, n_repeats=2)
    assert found.metric == "hits"
    assert found.value == pytest.approx((model.predict(X) == y).mean())
    assert "costs the most hits" in found.chart().message
    assert type(found.plot()).__module__.startswith("plotly")
    assert "share their importance" in found._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        found.repeats[0, 0] = 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "roc_auk"}, 'metric is "roc_auk"; accepted .*did you mean "roc_auc"'),
        ({"metric": "r2"}, 'accepted for scale="probability": roc_auc'),
        ({"metric": "neg_log_loss", "scale": "log-odds"}, 'accepted for scale="log-odds"'),
        ({"n_repeats": 1}, "n_repeats is 1"),
        ({"y": ["pays"]}, "y has 1 values; X has 300 rows"),
        ({"y": ["pays"] * 300}, "y has 300 of 300 rows with 'pays'"),
        ({"y": [None] + ["pays"] * 299}, "y has 1 missing values"),
    ],
)
def test_bad_arguments_are_named(
    people: tuple[pd.DataFrame, Any, Pipeline], arguments: dict[str, Any], message: str
) -> None:
    X, y, model = people
    with pytest.raises(InputError, match=message):
        permutation_importance(model, X, **{"y": y, **arguments})
