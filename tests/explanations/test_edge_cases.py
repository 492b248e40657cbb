"""What else comes in: constants, one feature, thousands, odd names, dtypes and tables."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.explain import explain, explain_outputs, model_rows
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.model_output import Scale

KINDS: Any = ("local", "global", "beeswarm", "dependence")


def views(found: Explanation) -> None:
    """Every view can be made."""
    row = found.index[0] if found.index.is_unique else None
    for kind in KINDS:
        if kind == "local" and row is None:
            continue
        found.plot(
            row if kind == "local" else None,
            kind=kind,
            feature=found.feature_names[0] if kind == "dependence" else None,
        )
    found.to_shap()
    found._repr_html_()


@pytest.fixture(scope="module", name="X")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=100), "b": rng.integers(0, 9, 100)})


@pytest.fixture(scope="module")
def y(X: pd.DataFrame) -> Any:
    return (X["a"] > 0).astype(int)


@pytest.mark.parametrize("method", ["shap", "lime"])
def test_a_constant_model_moves_nothing(X: pd.DataFrame, y: Any, method: Any) -> None:
    for model in (
        DummyClassifier().fit(X, y),
        RandomForestClassifier(2, min_samples_leaf=80, random_state=0).fit(X, y),
    ):
        found = explain(model, X.iloc[:3], background=X, method=method, n_samples=100)
        np.testing.assert_allclose(found.values, 0, atol=1e-12)
        np.testing.assert_allclose(found.base_values, found.predictions)
        views(found)


@pytest.mark.parametrize("method", ["shap", "lime"])
def test_one_feature_carries_it_all(X: pd.DataFrame, y: Any, method: Any) -> None:
    for model in (
        LogisticRegression().fit(X[["a"]], y),
        RandomForestClassifier(3, random_state=0).fit(X[["a"]], y),
    ):
        found = explain(model, X[["a"]].iloc[:3], background=X[["a"]], method=method, n_samples=100)
        assert found.values.shape == (3, 1)
        if method == "shap":
            p = model.predict_proba(X[["a"]])[:, 1]
            np.testing.assert_allclose(found.values[:, 0], p[:3] - p.mean(), atol=1e-6)
        views(found)


def test_two_thousand_features_take_the_fast_path_or_are_refused_in_words() -> None:
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(120, 2000)), columns=[f"f{i}" for i in range(2000)])
    y = (wide["f0"] + wide["f1"] > 0).astype(int)
    line = explain(
        LogisticRegression().fit(wide, y), wide.iloc[:3], background=wide, scale="log-odds"
    )
    forest = RandomForestClassifier(5, random_state=0).fit(wide, y)
    trees = explain(forest, wide.iloc[:3], background=wide)
    assert (line.algorithm, trees.algorithm) == ("linear", "tree-interventional")
    assert np.abs(line.residual).max() < 1e-6
    views(trees)
    neighbours = KNeighborsClassifier().fit(wide, y)
    cost = 120 * 120 * 10 * 4001
    words = rf"120 rows of 2,000 features and 120 background rows would ask .* {cost:,} rows"
    with pytest.raises(ExplanationError, match=f"no fast path explains this model.*{words}"):
        explain(neighbours, wide, background=wide)
    with pytest.raises(InputError, match=f'algorithm is "permutation": {words}'):
        explain(neighbours, wide, background=wide, algorithm="permutation")
    # Where a fast path exists its cost does not matter.
    some = explain(forest, wide, background=wide, max_model_rows=1)
    np.testing.assert_allclose(some.values[:3], trees.values)


def test_the_estimate_counts_what_the_model_is_asked(X: pd.DataFrame, y: Any) -> None:
    model = LogisticRegression().fit(X, y)
    asked = 0

    def counting(rows: pd.DataFrame) -> Any:
        nonlocal asked
        asked += len(rows)
        return model.predict_proba(rows)[:, 1]

    for algorithm in ("permutation", "exact"):
        asked = 0
        explain(counting, X.iloc[:4], background=X.iloc[20:50], algorithm=algorithm)
        estimate = model_rows(algorithm, rows=4, background=30, features=2, n_permutations=10)
        # shap does not ask again about a coalition that changes nothing.
        assert 0.5 * estimate < asked < 1.2 * estimate
    with pytest.raises(InputError, match="max_model_rows is 0"):
        explain(model, X, max_model_rows=0)


def test_labels_that_repeat_and_names_that_are_numbers(X: pd.DataFrame, y: Any) -> None:
    twice = X.set_axis(["x"] * 50 + ["y"] * 50)
    found = explain(LogisticRegression().fit(X, y), twice.iloc[48:52], background=twice)
    assert found.frame()["row"].tolist() == ["x"] * 4 + ["y"] * 4
    views(found)
    with pytest.raises(InputError, match="row is 'x': 2 cases of that name"):
        found.chart("x")
    numbered = X.set_axis([0, 1], axis=1)
    scaled = ColumnTransformer([("s", StandardScaler(), [1])], remainder="passthrough")
    line = make_pipeline(scaled, LogisticRegression()).fit(numbered, y)
    found = explain(line, numbered.iloc[:4], background=numbered, scale="log-odds")
    truth = explain(
        line, numbered.iloc[:4], background=numbered, scale="log-odds", algorithm="exact"
    )
    assert (found.algorithm, found.feature_names) == ("linear", ("0", "1"))
    np.testing.assert_allclose(found.values, truth.values, atol=1e-9)
    views(found)
    forest = RandomForestClassifier(3, random_state=0).fit(numbered, y)
    assert explain(forest, numbered).algorithm == "tree-interventional"


def test_a_row_of_unseen_categories_is_the_encoders_affair_and_makes_no_noise(
    X: pd.DataFrame, y: Any
) -> None:
    named = X.assign(job=["u", "v", "w", "v"] * 25)
    row = named.iloc[[0]].assign(job="astronaut")
    first = OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False)
    columns = ColumnTransformer([("w", first, ["job"])], remainder="passthrough")
    estimators: tuple[Any, ...] = (
        LogisticRegression(),
        RandomForestClassifier(3, max_depth=3, random_state=0),
    )
    for estimator in estimators:
        model = make_pipeline(columns, estimator).fit(named, y)
        for method in ("shap", "lime"):
            settings: dict[str, Any] = {"method": method, "n_samples": 100}
            found = explain(model, row, background=named, **settings)
            if method == "shap":
                assert np.abs(found.residual).max() < 1e-6
        views(found)


def test_a_whole_number_column_may_receive_fractions(X: pd.DataFrame, y: Any) -> None:
    model = LogisticRegression().fit(X, y)
    rows = X.iloc[:4].assign(b=[0.5, 1.5, 2.5, 3.0])
    for algorithm in ("exact", "permutation"):
        found = explain(model, rows, background=X, algorithm=algorithm)
        np.testing.assert_allclose(found.predictions, model.predict_proba(rows)[:, 1])
        assert np.abs(found.residual).max() < 1e-9
    line = explain(model, rows, background=X, scale="log-odds")
    np.testing.assert_allclose(line.values, (rows - X.mean()).to_numpy() * model.coef_, atol=1e-9)


def test_nullable_dtypes_reach_the_model_as_they_are(X: pd.DataFrame, y: Any) -> None:
    rng = np.random.default_rng(2)
    odd = pd.DataFrame(
        {
            "a": X["a"].astype("Float64"),
            "b": X["b"].astype("Int64"),
            "c": pd.array(rng.random(100) < 0.5, dtype="boolean"),
            "s": pd.array(rng.choice(["u", "v"], 100), dtype="string"),
        }
    )
    odd.loc[::7, "b"] = pd.NA
    odd.loc[::9, "c"] = pd.NA
    odd.loc[::11, "s"] = pd.NA
    seen: set[Any] = set()

    def model(rows: pd.DataFrame) -> Any:
        seen.add(tuple(rows.dtypes))
        one = rows["b"].fillna(3).astype(float) * rows["a"].astype(float)
        return (one + rows["c"].fillna(False) * 2.0 + rows["s"].isna()).to_numpy(dtype=float)

    for method in ("shap", "lime"):
        settings: dict[str, Any] = {"method": method, "n_samples": 100}
        found = explain(model, odd.iloc[:12], background=odd, scale="value", **settings)
        views(found)
        if method == "shap":
            assert np.abs(found.residual).max() < 1e-9
    assert seen == {tuple(odd.dtypes)}
    numbers = odd[["a", "b"]]
    boosted = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(numbers, y)
    assert np.abs(explain(boosted, numbers.iloc[:3], background=numbers).residual).max() < 1e-6


def test_tables_of_other_libraries(X: pd.DataFrame, y: Any) -> None:
    model = LogisticRegression().fit(X, y)
    arrow = pa.Table.from_pandas(X)
    found = explain(model, arrow, background=arrow.slice(0, 50), scale="log-odds")
    same = explain(model, X, background=X.iloc[:50], scale="log-odds")
    np.testing.assert_array_equal(found.values, same.values)
    assert found.feature_names == ("a", "b")
    assert found.background_digest == same.background_digest
    with pytest.raises(InputError, match=r"X is a sparse matrix of shape \(100, 2\)"):
        explain(model, sparse.csr_matrix(X.to_numpy()))


# --- XGBoost and LightGBM, as fitted ------------------------------------------------

QUIET: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1, "max_depth": 3}


def _boosters() -> dict[str, Any]:
    return {
        "xgboost": lambda **k: xgboost.XGBClassifier(**QUIET, **k),
        "lightgbm": lambda **k: lightgbm.LGBMClassifier(
            **QUIET, min_child_samples=5, verbose=-1, **k
        ),
    }


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("form", ["frame", "array", "array, frame given", "pipeline", "native"])
def test_boosters_go_through(X: pd.DataFrame, y: Any, library: str, form: str) -> None:
    make = _boosters()[library]
    rng = np.random.default_rng(5)
    named = X.assign(job=pd.Categorical(rng.choice(["u", "v", "w"], 100)))
    target = ((named["a"] + 2 * (named["job"] == "u") + rng.normal(size=100)) > 0.5).astype(int)
    rows: Any = X
    if form == "frame":
        model = make().fit(X, target)
    elif form == "array":
        rows = X.to_numpy()
        model = make().fit(rows, target)
    elif form == "array, frame given":
        model = make().fit(X.to_numpy(), target)
    elif form == "pipeline":
        rows = named
        columns = ColumnTransformer([("w", OneHotEncoder(), ["job"])], remainder="passthrough")
        model = make_pipeline(columns, make()).fit(rows, target)
    else:
        rows = named
        native = {"enable_categorical": True} if library == "xgboost" else {}
        model = make(**native).fit(rows, target)
    scales: tuple[Scale, ...] = ("probability", "log-odds")
    for scale in scales:
        found = explain(model, rows[:5], background=rows[40:70], scale=scale)
        assert np.abs(found.residual).max() < 1e-6
        p = np.asarray(model.predict_proba(rows[:5]), dtype=float)[:, 1]
        expected = p if scale == "probability" else np.log(p) - np.log1p(-p)
        np.testing.assert_allclose(found.predictions, expected, atol=1e-6)
        if form == "native":
            truth = explain(model, rows[:5], background=rows[40:70], scale=scale, algorithm="exact")
            np.testing.assert_allclose(found.values, truth.values, atol=1e-6)


def test_the_number_of_threads_changes_no_bit(X: pd.DataFrame, y: Any) -> None:
    forest = RandomForestClassifier(9, random_state=0).fit(X, y)
    arguments: dict[str, Any] = {"background": X.iloc[20:50]}
    one = explain(forest, X, **arguments)
    three = explain(forest, X, threads=3, **arguments)
    np.testing.assert_array_equal(one.values, three.values)
    both = explain_outputs(forest, X, threads=2, **arguments)
    np.testing.assert_array_equal(both[both.outputs[1]].values, one.values)
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InputError, match=rf"threads is {wrong!r}; expected an integer"):
            explain(forest, X, threads=wrong, **arguments)  # type: ignore[arg-type]
