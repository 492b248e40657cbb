"""One row after another: the same values as the paths for many rows, and as brute force."""

from __future__ import annotations

import itertools
import math
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.explanations.encoding import read_encoding
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.model_output import resolve_output
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.prepared import PreparedAttributions, prepare_attributions


def people(n: int = 150, *, extra: int = 0) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {
            "income": rng.gamma(3, 10, n).round(1),
            "debt": rng.normal(20, 8, n).round(1),
            "region": rng.choice(["north", "south", "west"], n),
            "owner": rng.choice(["no", "yes"], n),
            **{f"x{i}": rng.normal(size=n) for i in range(extra)},
        }
    )
    y = (X["income"] - X["debt"] + 8 * (X["region"] == "west") + rng.normal(0, 5, n) > 8) * 1
    return X, y


def pipeline(estimator: Any, X: pd.DataFrame, y: Any) -> Any:
    columns = ColumnTransformer(
        [("kinds", OneHotEncoder(sparse_output=False), ["region", "owner"])],
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator).fit(X, y)


def prepared(
    model: Any, X: pd.DataFrame, behind: pd.DataFrame, **what: Any
) -> PreparedAttributions:
    output = resolve_output(model, as_array=False, rows=X, **{"output": None, **what})
    return prepare_attributions(output, read_encoding(model, X), behind)


ESTIMATORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "forest": (ExtraTreesClassifier(20, min_samples_leaf=3, random_state=0), {}),
    "forest, other class": (ExtraTreesClassifier(20, max_depth=6, random_state=0), {"output": 0}),
    "boosting": (GradientBoostingClassifier(n_estimators=30, random_state=0), {}),
    "boosting, other class": (HistGradientBoostingClassifier(max_iter=20), {"output": 0}),
    "boosting, log-odds": (
        GradientBoostingClassifier(n_estimators=30, random_state=0),
        {"scale": "log-odds"},
    ),
    "xgboost": (xgboost.XGBClassifier(n_estimators=20, n_jobs=1), {}),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1), {}),
    "regression forest": (RandomForestRegressor(20, max_depth=5, random_state=0), {}),
    "logistic": (LogisticRegression(max_iter=5000), {}),
    "logistic, other class": (LogisticRegression(max_iter=5000), {"output": 0}),
    "logistic, log-odds": (LogisticRegression(max_iter=5000), {"scale": "log-odds"}),
    "linear": (LinearRegression(), {}),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("behind", [1, 40, 64, 100])
def test_the_same_values_as_for_many_rows(name: str, behind: int) -> None:
    estimator, what = ESTIMATORS[name]
    X, y = people()
    model = pipeline(estimator, X, y)
    background = X.iloc[50 : 50 + behind]
    rows = X.iloc[:6]
    one = prepared(model, X, background, **what)
    columns = read_encoding(model, X).transform(rows)
    truth = explain(model, rows, background=background, **what)
    for found, expected in zip(columns, truth.values, strict=True):
        np.testing.assert_allclose(one.of(found), expected, atol=1e-11)
    assert one.base == pytest.approx(truth.base_values[0], abs=1e-11)
    assert (one.algorithm, one.exact) == (truth.algorithm, truth.exact)


def test_many_features_of_a_logistic_model() -> None:
    X, y = people(extra=10)
    model = pipeline(LogisticRegression(max_iter=5000), X, y)
    one = prepared(model, X, X.iloc[:30])
    truth = explain(model, X.iloc[40:43], background=X.iloc[:30])
    columns = read_encoding(model, X).transform(X.iloc[40:43])
    np.testing.assert_allclose([one.of(row) for row in columns], truth.values, atol=1e-11)


def test_brute_force_over_all_coalitions() -> None:
    X, y = people()
    model = pipeline(ExtraTreesClassifier(10, min_samples_leaf=2, random_state=1), X, y)
    behind, row = X.iloc[10:17], X.iloc[[3]]
    p = X.shape[1]

    def worth(known: tuple[int, ...]) -> float:
        mixed = behind.copy()
        for j in known:
            mixed[X.columns[j]] = row[X.columns[j]].repeat(len(mixed)).to_numpy()
        return float(model.predict_proba(mixed)[:, 1].mean())

    expected = np.zeros(p)
    for j in range(p):
        others = [i for i in range(p) if i != j]
        for size in range(p):
            share = math.factorial(size) * math.factorial(p - size - 1) / math.factorial(p)
            for known in itertools.combinations(others, size):
                expected[j] += share * (worth((*known, j)) - worth(known))
    one = prepared(model, X, behind)
    found = one.of(read_encoding(model, X).transform(row)[0])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_missing_values_go_where_the_trees_send_them() -> None:
    X, y = people()
    X.loc[::7, "income"] = np.nan
    model = pipeline(HistGradientBoostingClassifier(max_iter=20), X, y)
    rows = X.iloc[[0, 7, 8]]
    truth = explain(model, rows, background=X.iloc[50:90])
    one = prepared(model, X, X.iloc[50:90])
    found = [one.of(row) for row in read_encoding(model, X).transform(rows)]
    np.testing.assert_allclose(found, truth.values, atol=1e-11)


def test_a_model_without_a_fast_path_is_refused() -> None:
    X, y = people()
    model = pipeline(MLPClassifier((3,), max_iter=2000, random_state=0), X, y)
    with pytest.raises(NotApplicableError, match="coefficients"):
        prepared(model, X, X.iloc[:20])
