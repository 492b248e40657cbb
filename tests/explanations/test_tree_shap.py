"""Exact tree SHAP: against enumeration of all coalitions, shap's own code, and the models."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.shapley.shap_trees import by_rank
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble, import_shap, read_trees
from hitl_audit.explanations.shapley.tree_shap import (
    compiling,
    interventional,
    logistic_slope,
    path_dependent,
    rescaled_to_probability,
)

FloatArray = npt.NDArray[np.float64]
P = 6
GROUPS = np.array([0, 1, 1, 2, 3, 1])  # columns 1, 2 and 5 are one player
ALONE = np.arange(P)
BOOSTERS = {"boosting", "histogram", "xgboost", "lightgbm"}


def table(n: int, *, missing: bool = False, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, P))
    X[:, 4] = rng.integers(0, 3, n)
    if missing:
        X[rng.random((n, P)) < 0.1] = np.nan
    return X


def target(X: FloatArray) -> FloatArray:
    Z = np.nan_to_num(X, nan=1.0)
    return np.asarray(Z[:, 0] + Z[:, 1] * Z[:, 2] + (Z[:, 4] == 1) * Z[:, 5] + np.sin(3 * Z[:, 3]))


MODELS: dict[str, tuple[Any, bool, Callable[[Any, FloatArray], Any]]] = {
    # name: unfitted model, missing values, the model's own output on the trees' scale
    "tree": (DecisionTreeClassifier(max_depth=5, random_state=0), False, lambda m, X: m.predict_proba(X)),
    "random forest": (RandomForestClassifier(8, random_state=0), True, lambda m, X: m.predict_proba(X)),
    "extra trees": (ExtraTreesClassifier(8, max_depth=6, random_state=0), False, lambda m, X: m.predict_proba(X)),
    "boosting": (GradientBoostingClassifier(n_estimators=12, random_state=0), False, lambda m, X: m.decision_function(X)),
    "histogram": (HistGradientBoostingClassifier(max_iter=12, random_state=0), True, lambda m, X: m.decision_function(X)),
    "xgboost": (xgboost.XGBClassifier(n_estimators=12, max_depth=4, n_jobs=1), True, lambda m, X: m.predict(X, output_margin=True)),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=12, num_leaves=15, verbose=-1, n_jobs=1), True, lambda m, X: m.predict(X, raw_score=True)),
    "isolation": (IsolationForest(n_estimators=10, max_samples=64, max_features=4, random_state=0), False, lambda m, X: -np.log2(-m.score_samples(X)) * _c(m)),
    "regression": (RandomForestRegressor(8, max_depth=7, random_state=0), True, lambda m, X: m.predict(X)),
    "extra regression": (ExtraTreesRegressor(8, max_depth=5, random_state=0), False, lambda m, X: m.predict(X)),
    "one regression tree": (DecisionTreeRegressor(max_depth=5, random_state=0), False, lambda m, X: m.predict(X)),
    "boosted regression": (GradientBoostingRegressor(n_estimators=12, random_state=0), False, lambda m, X: m.predict(X)),
    "histogram regression": (HistGradientBoostingRegressor(max_iter=12, random_state=0), True, lambda m, X: m.predict(X)),
    "xgboost regression": (xgboost.XGBRegressor(n_estimators=12, max_depth=4, n_jobs=1), True, lambda m, X: m.predict(X)),
    "lightgbm regression": (lightgbm.LGBMRegressor(n_estimators=12, verbose=-1, n_jobs=1), True, lambda m, X: m.predict(X)),
    "three classes": (RandomForestClassifier(6, max_depth=5, random_state=0), False, lambda m, X: m.predict_proba(X)),
    "three classes of xgboost": (xgboost.XGBClassifier(n_estimators=6, max_depth=3, n_jobs=1), True, lambda m, X: m.predict(X, output_margin=True)),
    "three classes of lightgbm": (lightgbm.LGBMClassifier(n_estimators=6, num_leaves=7, verbose=-1, n_jobs=1), True, lambda m, X: m.predict(X, raw_score=True)),
    "three classes of histogram": (HistGradientBoostingClassifier(max_iter=6, random_state=0), True, lambda m, X: m.decision_function(X)),
}  # fmt: skip


def _c(forest: IsolationForest) -> float:
    """Mean path length of an unsuccessful search (Liu et al. 2008), scikit-learn's denominator."""
    n = forest.max_samples_
    return float(2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n)


@pytest.fixture(scope="module")
def fitted() -> dict[str, tuple[Any, TreeEnsemble, FloatArray]]:
    made = {}
    for name, (model, missing, _) in MODELS.items():
        X = table(300, missing=missing)
        y = target(X)
        if "regression" not in name:
            y = (y > 0).astype(int) + (y > 1) if "three" in name else (y > 0).astype(int)
        made[name] = (model.fit(X, y), read_trees(model), X)
    return made


Fitted = dict[str, tuple[Any, TreeEnsemble, FloatArray]]


def by_enumeration(worth: Callable[[frozenset[int]], float], players: int) -> FloatArray:
    """The definition of the Shapley value."""
    teams = [frozenset(j for j in range(players) if s >> j & 1) for s in range(2**players)]
    value = {team: worth(team) for team in teams}
    phi = np.zeros(players)
    for team in teams:
        for j in set(range(players)) - team:
            share = 1 / (players * math.comb(players - 1, len(team)))
            phi[j] += share * (value[team | {j}] - value[team])
    return phi


def by_leaves(trees: TreeEnsemble, row: FloatArray, group: npt.NDArray[Any], k: int) -> FloatArray:
    """Path-dependent: an unknown player's split is followed to both sides, by training shares."""
    nodes, x = trees.nodes, trees.rounded(row[np.newaxis])[:, 0]

    def mean(i: int, team: frozenset[int]) -> float:
        if nodes.right[i] < 0:
            return float(trees.values[i, k])
        left, right = i + 1, int(nodes.right[i])
        value = x[nodes.column[i]]
        if int(group[nodes.column[i]]) in team:
            goes = nodes.missing_left[i] if np.isnan(value) else value <= nodes.threshold[i]
            return mean(left if goes else right, team)
        return sum(float(nodes.share[c]) * mean(c, team) for c in (left, right))

    def worth(team: frozenset[int]) -> float:
        return sum(mean(int(root), team) for root in nodes.first[:-1])

    return by_enumeration(worth, int(group.max()) + 1)


def by_exchange(trees: TreeEnsemble, row: FloatArray, background: FloatArray, group: npt.NDArray[Any], k: int) -> FloatArray:  # fmt: skip
    """Interventional: unknown players' columns come from each background row."""

    def worth(team: frozenset[int]) -> float:
        known = np.isin(group, list(team))
        return float(trees.predict(np.where(known, row, background))[:, k].mean())

    return by_enumeration(worth, int(group.max()) + 1)


# --- the trees are the model's ----------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_trees_predict_what_the_model_predicts(name: str, fitted: Fitted) -> None:
    model, trees, X = fitted[name]
    rows = np.vstack([X, table(100, missing=MODELS[name][1], seed=9)])
    expected = np.asarray(MODELS[name][2](model, rows), dtype=float).reshape(len(rows), -1)
    found = trees.predict(rows)
    tolerance = 3e-6 if "xgboost" in name else 1e-10  # XGBoost adds up in single precision
    np.testing.assert_allclose(found[:, -expected.shape[1] :], expected, atol=tolerance)


def test_values_on_and_beside_a_threshold_go_the_models_way() -> None:
    # Each library compares in its own precision; single-precision neighbours of thresholds tell.
    rng = np.random.default_rng(1)
    X = rng.integers(0, 40, (300, 2)) / 7.0
    y = X[:, 0] + X[:, 1] ** 2
    for model in (
        RandomForestRegressor(5, random_state=0),
        xgboost.XGBRegressor(n_estimators=5, n_jobs=1),
        lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, n_jobs=1),
        HistGradientBoostingRegressor(max_iter=5),
    ):
        model.fit(X, y)
        trees = read_trees(model)
        edges = trees.nodes.threshold[trees.nodes.column >= 0]
        near = np.concatenate(
            [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
            + [np.nextafter(edges.astype(np.float32), s) for s in (np.inf, -np.inf)]
        )
        rows = np.column_stack([near, rng.permutation(near)])
        expected = np.asarray(model.predict(rows), dtype=float)
        np.testing.assert_allclose(trees.predict(rows)[:, 0], expected, rtol=1e-6)


def test_lightgbm_takes_a_missing_value_for_zero_where_it_met_none_in_training() -> None:
    X = table(300)
    model = lightgbm.LGBMRegressor(n_estimators=10, verbose=-1, n_jobs=1).fit(X, target(X))
    rows = table(50, missing=True, seed=2)
    expected = np.asarray(model.predict(rows), dtype=float)
    np.testing.assert_allclose(read_trees(model).predict(rows)[:, 0], expected)


def test_unreadable_models_are_named() -> None:
    with pytest.raises(ExplanationError, match="not yet supported"):
        read_trees(object())


# --- path-dependent ---------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("group", [ALONE, GROUPS], ids=["columns", "grouped"])
def test_path_dependent_is_the_shapley_value(
    name: str, group: npt.NDArray[Any], fitted: Fitted
) -> None:
    _, trees, X = fitted[name]
    k = trees.n_outputs - 1
    found = path_dependent(trees, X, players=group, output=k)
    np.testing.assert_allclose(
        trees.expected()[k] + found.sum(axis=1), trees.predict(X)[:, k], atol=1e-10
    )
    np.testing.assert_allclose(found[3], by_leaves(trees, X[3], group, k), atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_path_dependent_agrees_with_shap(name: str, fitted: Fitted) -> None:
    model, trees, X = fitted[name]
    explainer = import_shap().TreeExplainer(model, feature_perturbation="tree_path_dependent")
    explainer.model.model_type = "internal"  # shap's own code, not the library's
    explainer.model.input_dtype = trees.precision
    theirs = np.asarray(explainer.shap_values(X[:60], check_additivity=False))
    for k in range(trees.n_outputs):
        ours = path_dependent(trees, X[:60], players=ALONE, output=k)
        np.testing.assert_allclose(ours, theirs[..., k] if theirs.ndim == 3 else theirs, atol=1e-9)


def test_deep_trees_and_many_features() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 2000))
    y = X[:, :60].sum(axis=1)
    model = ExtraTreesRegressor(3, max_features=40, random_state=0).fit(X, y)
    trees, group = read_trees(model), np.arange(2000)
    assert trees.nodes.depth.max() > 10
    explainer = import_shap().TreeExplainer(model, feature_perturbation="tree_path_dependent")
    found = path_dependent(trees, X[:20], players=group)
    np.testing.assert_allclose(
        found, explainer.shap_values(X[:20], check_additivity=False), atol=1e-9
    )
    against = interventional(trees, X[:20], X[50:90], players=group)
    mean = model.predict(X[50:90]).mean()
    np.testing.assert_allclose(mean + against.sum(axis=1), model.predict(X[:20]), atol=1e-9)


# --- interventional ---------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("group", [ALONE, GROUPS], ids=["columns", "grouped"])
def test_interventional_is_the_shapley_value(
    name: str, group: npt.NDArray[Any], fitted: Fitted
) -> None:
    _, trees, X = fitted[name]
    k, background = trees.n_outputs - 1, X[200:240]
    found = interventional(trees, X, background, players=group, output=k)
    np.testing.assert_allclose(
        trees.predict(background)[:, k].mean() + found.sum(axis=1),
        trees.predict(X)[:, k],
        atol=1e-10,
    )
    np.testing.assert_allclose(found[3], by_exchange(trees, X[3], background, group, k), atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_interventional_agrees_with_shap(name: str, fitted: Fitted) -> None:
    model, trees, X = fitted[name]
    shap = import_shap()
    explainer = shap.TreeExplainer(model, shap.maskers.Independent(X[200:240], max_samples=40))
    explainer.model.input_dtype = trees.precision
    rows = by_rank(explainer, X[:40])
    # shap's code holds leaves and coalition weights in single precision.
    tolerance = 2**-23 * np.abs(trees.predict(X)).max()
    theirs = np.asarray(explainer.shap_values(rows, check_additivity=False))
    for k in range(trees.n_outputs):
        ours = interventional(trees, X[:40], X[200:240], players=ALONE, output=k)
        np.testing.assert_allclose(
            ours, theirs[..., k] if theirs.ndim == 3 else theirs, rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("name", sorted(BOOSTERS))
def test_rescaling_to_the_probability_agrees_with_shap(name: str, fitted: Fitted) -> None:
    model, trees, X = fitted[name]
    shap = import_shap()
    background = X[200:240]
    explainer = shap.TreeExplainer(
        model, shap.maskers.Independent(background, max_samples=40), model_output="probability"
    )
    explainer.model.input_dtype = trees.precision
    rows = by_rank(explainer, X[:40])
    theirs = explainer.shap_values(rows, check_additivity=False)
    for n in (3, 40):  # few rows take another way through the kernel
        ours = rescaled_to_probability(trees, X[:n], background, players=ALONE)
        np.testing.assert_allclose(ours, theirs[:n], rtol=0, atol=2**-24)
    grouped = rescaled_to_probability(trees, X[:40], background, players=GROUPS)
    p = 1 / (1 + np.exp(-trees.predict(X[:40])[:, 0]))
    mean = (1 / (1 + np.exp(-trees.predict(background)[:, 0]))).mean()
    np.testing.assert_allclose(mean + grouped.sum(axis=1), p, atol=1e-10)


def test_few_channels_equal_one_for_each_background_row(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trees, X = fitted["xgboost"]
    trees = replace(trees, values=20 * trees.values)  # log-odds of every size
    few = rescaled_to_probability(trees, X, X[200:260], players=ALONE)
    monkeypatch.setattr("hitl_audit.explanations.shapley.tree_shap.SLOPE_TOLERANCE", -1.0)
    each = rescaled_to_probability(trees, X, X[200:260], players=ALONE)
    np.testing.assert_allclose(few, each, atol=1e-10)


def test_slopes_of_the_logistic_function() -> None:
    f, g = np.meshgrid([-800.0, -30, -2, 0, 1e-9, 1, 40, 700], [-700.0, -1, 0, 1, 3, 36])
    with np.errstate(over="ignore", invalid="ignore"):
        direct = (1 / (1 + np.exp(-f)) - 1 / (1 + np.exp(-g))) / (f - g)
    far = np.abs(f - g) > 0.5
    np.testing.assert_allclose(logistic_slope(f, g)[far], direct[far], rtol=1e-10, atol=1e-15)
    same = np.array([0.0, 1, -5])
    p = 1 / (1 + np.exp(-same))
    np.testing.assert_allclose(logistic_slope(same, same), p * (1 - p))
    np.testing.assert_allclose(logistic_slope(same, same + 1e-7), p * (1 - p), rtol=1e-6)


def test_many_background_rows_equal_the_sum_over_each_of_them(fitted: Fitted) -> None:
    _, trees, X = fitted["histogram"]
    together = interventional(trees, X[:30], X, players=ALONE)
    single = [interventional(trees, X[:30], X[[b]], players=ALONE) for b in range(len(X))]
    np.testing.assert_allclose(together, np.mean(single, axis=0), atol=1e-12)


# --- native categories ------------------------------------------------------------


@pytest.fixture(scope="module")
def jobs() -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    rng = np.random.default_rng(2)
    n = 500
    # Codes are not 0, 1, 2 …, the categorical column is not the first, and some are missing.
    X = pd.DataFrame(
        {
            "income": rng.normal(size=n),
            "job": rng.choice([3.0, 4, 7, 8, 11, 12, 15, 16], n),
            "debts": rng.normal(size=n),
        }
    )
    effect = np.where(X["job"] % 4 == 3, 2, -2) * np.where(X["debts"] > 0, 1, 0.3)
    y = (effect + X["income"] + rng.logistic(size=n) > 0).astype(int).to_numpy()
    X.loc[::9, ["job", "debts"]] = np.nan
    return X, y


def categorical(X: pd.DataFrame) -> pd.DataFrame:
    return X.assign(job=pd.Categorical(X["job"]))


def native_models(X: pd.DataFrame, y: npt.NDArray[Any]) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    hist = HistGradientBoostingClassifier(categorical_features=["job"], max_iter=15)
    yield "histogram", hist.fit(X, y), X
    light = lightgbm.LGBMClassifier(
        n_estimators=15, num_leaves=8, min_data_per_group=5, verbose=-1, n_jobs=1
    )
    yield "lightgbm, codes", clone(light).fit(X, y, categorical_feature=["job"]), X
    yield "lightgbm, pandas", clone(light).fit(categorical(X), y), categorical(X)
    boost = xgboost.XGBClassifier(
        n_estimators=15,
        max_depth=4,
        max_cat_to_onehot=1,
        n_jobs=1,
        enable_categorical=True,
        feature_types=["q", "c", "q"],
    )
    yield "xgboost", boost.fit(X.to_numpy(), y), X


def test_native_categories_are_explained_exactly(jobs: tuple[pd.DataFrame, Any]) -> None:
    for name, model, X in native_models(*jobs):
        trees = read_trees(model)
        assert (trees.nodes.category >= 0).any(), name
        rows = X.to_numpy(dtype=float)
        p = model.predict_proba(X.to_numpy() if name == "xgboost" else X)[:, 1].astype(float)
        found = trees.predict(rows)[:, 0]
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), p, atol=1e-6, err_msg=name)
        group = np.arange(3)
        against = interventional(trees, rows, rows[100:130], players=group)
        along = path_dependent(trees, rows, players=group)
        for i in (0, 5, 9):
            by_hand = by_exchange(trees, rows[i], rows[100:130], group, 0)
            np.testing.assert_allclose(against[i], by_hand, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(trees.expected() + along.sum(axis=1), found, atol=1e-10)


def test_unseen_native_categories_go_the_models_way(jobs: tuple[pd.DataFrame, Any]) -> None:
    X, y = jobs
    for name, model, _ in native_models(X, y):
        if name == "lightgbm, pandas":
            continue  # it has no codes for them
        rows = X.iloc[:40].assign(job=[99.0, 5.0, 2.0, np.nan] * 10)
        found = read_trees(model).predict(rows.to_numpy())[:, 0]
        p = model.predict_proba(rows.to_numpy() if name == "xgboost" else rows)[:, 1].astype(float)
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), p, atol=1e-6, err_msg=name)


# --- what else comes in -----------------------------------------------------------


def test_threads_and_other_rows_change_nothing(fitted: Fitted) -> None:
    _, trees, X = fitted["lightgbm"]
    rows = np.tile(X, (10, 1))  # several slabs
    ways: tuple[Callable[[FloatArray, int], FloatArray], ...] = (
        lambda Z, t: path_dependent(trees, Z, players=GROUPS, threads=t),
        lambda Z, t: interventional(trees, Z, X[:50], players=GROUPS, threads=t),
        lambda Z, t: rescaled_to_probability(trees, Z, X[:50], players=GROUPS, threads=t),
    )
    for compute in ways:
        one = compute(rows, 1)
        for threads in (2, 5):
            np.testing.assert_array_equal(one, compute(rows, threads))
        np.testing.assert_allclose(one[:1], compute(rows[:1], 1), atol=1e-12)


def test_a_constant_model_and_a_single_feature() -> None:
    X = table(50)
    constant = read_trees(DecisionTreeRegressor().fit(X, np.ones(50)))
    assert not path_dependent(constant, X, players=ALONE).any()
    assert not interventional(constant, X, X, players=ALONE).any()
    model = DecisionTreeRegressor().fit(X[:, :1], X[:, 0])
    one = read_trees(model)
    f = model.predict(X[:, :1])
    alone = np.array([0])
    np.testing.assert_allclose(path_dependent(one, X[:, :1], players=alone)[:, 0], f - f.mean())
    against = interventional(one, X[:, :1], X[:9, :1], players=alone)
    np.testing.assert_allclose(against[:, 0], f - f[:9].mean())


def test_all_columns_as_one_player_get_the_whole_difference(fitted: Fitted) -> None:
    _, trees, X = fitted["boosting"]
    whole = np.zeros(P, dtype=int)
    f = trees.predict(X)[:, 0]
    for found, base in (
        (path_dependent(trees, X, players=whole), trees.expected()[0]),
        (interventional(trees, X, X[:9], players=whole), f[:9].mean()),
    ):
        np.testing.assert_allclose(found[:, 0], f - base, atol=1e-12)


def test_a_path_of_more_than_64_features_is_refused_in_words() -> None:
    X = np.eye(80)
    chain = DecisionTreeRegressor(random_state=0).fit(X, 2.0 ** np.arange(80))
    with pytest.raises(
        ExplanationError, match=r"a path tests 7\d raw features; expected at most 64"
    ):
        interventional(read_trees(chain), X, X, players=np.arange(80))


def test_importing_neither_compiles_nor_loads_numba() -> None:
    code = (
        "import sys; import hitl_audit.explanations.shap_values, "
        "hitl_audit.explanations.shapley.tree_shap; "
        "sys.exit(any(m in sys.modules for m in ('numba', 'shap', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_first_use_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "hitl_audit.explanations.shapley.tree_kernels", raising=False)
    with compiling(False):
        assert capsys.readouterr().err == ""
    with compiling(True):
        assert "tree kernels (first use compiles them)" in capsys.readouterr().err
    monkeypatch.undo()
    read_trees(DecisionTreeRegressor().fit(np.eye(3), np.arange(3)))
    capsys.readouterr()
    with compiling(True):
        assert capsys.readouterr().err == ""


def test_an_installation_without_a_place_for_compiled_code_works() -> None:
    # numba looks for a writable cache beside the source, then in the user's; here is neither.
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
caching.CodeLibraryCacheImpl._locator_classes = []
caching.CompileResultCacheImpl._locator_classes = []
import numpy as np
from hitl_audit.explanations.shapley import tree_kernels
order, *_ = tree_kernels.preorder(np.array([1, -1, -1]), np.array([2, -1, -1]))
assert order.tolist() == [0, 1, 2]
assert not tree_kernels.preorder.stats.cache_path
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
