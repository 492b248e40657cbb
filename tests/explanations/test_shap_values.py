"""SHAP: against the definition, closed forms, and the traps of the libraries."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.encoding import read_encoding
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.model_output import Scale, resolve_output
from hitl_audit.explanations.shap_values import Algorithm
from hitl_audit.explanations.shapley.tree_values import trees_by_shap

FloatArray = npt.NDArray[np.float64]
People = tuple[pd.DataFrame, pd.Series]
Predict = Callable[[pd.DataFrame], FloatArray]


def shapley(predict: Predict, row: pd.DataFrame, background: pd.DataFrame) -> FloatArray:
    """The definition: all 2^p coalitions, absent features from the background rows."""
    columns = list(row.columns)
    p, m = len(columns), len(background)
    teams = [frozenset(t) for size in range(p + 1) for t in itertools.combinations(range(p), size)]
    mixed = pd.concat([background] * len(teams), ignore_index=True)
    for j, name in enumerate(columns):
        inside = np.repeat([j in team for team in teams], m)
        mixed[name] = mixed[name].where(~inside, row[name].iloc[0]).astype(background[name].dtype)
    means = predict(mixed).reshape(len(teams), m).mean(axis=1)
    worth = dict(zip(teams, means.tolist(), strict=True))
    phi = np.zeros(p)
    for j in range(p):
        for s, value in worth.items():
            if j not in s:
                weight = math.factorial(len(s)) * math.factorial(p - len(s) - 1)
                phi[j] += weight / math.factorial(p) * (worth[s | {j}] - value)
    return phi


def probability(model: Any) -> Predict:
    return lambda frame: np.asarray(model.predict_proba(frame)[:, 1])


def log_odds(model: Any) -> Predict:
    return lambda frame: np.asarray(model.decision_function(frame))


@pytest.fixture(scope="module")
def people() -> People:
    rng = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame(
        {
            "income": rng.gamma(2, 20, n).round(1),
            "debts": rng.normal(size=n),
            "job": rng.choice(["clerk", "farmer", "nurse", "pilot"], n),
            "owner": rng.random(n) < 0.4,
            "region": pd.Categorical(rng.choice(["n", "s"], n)),
            "one": 1,
        },
        index=[f"case-{i}" for i in range(n)],
    )
    score = X["income"] / 20 - X["debts"] + 2 * (X["job"] == "nurse") * X["owner"] - 2
    y = (score + rng.logistic(size=n) > 0).astype(int)
    X.loc[X.index[::7], "debts"] = np.nan
    return X, y


def preprocessing(**onehot: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), ["income", "debts"]),
            (
                "words",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    OneHotEncoder(handle_unknown="ignore", **onehot),
                ),
                ["job"],
            ),
            ("region", OrdinalEncoder(), ["region"]),
        ],
        remainder="passthrough",
    )


@pytest.fixture(scope="module")
def boosted(people: People) -> Pipeline:
    X, y = people
    model = GradientBoostingClassifier(n_estimators=30, max_depth=2, random_state=0)
    return Pipeline([("columns", preprocessing()), ("model", model)]).fit(X, y)


def largest_residual(explanation: Explanation) -> float:
    return float(np.abs(explanation.residual).max())


# --- the definition ------------------------------------------------------------


def test_trees_on_log_odds_are_the_shapley_values_of_raw_features(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    background, rows = X.iloc[:20], X.iloc[50:53]
    found = explain(boosted, rows, background=background, scale="log-odds")
    asked = explain(boosted, rows, background=background, scale="log-odds", algorithm="exact")
    by_hand = [shapley(log_odds(boosted), rows.iloc[[i]], background) for i in range(3)]
    np.testing.assert_allclose(asked.values, by_hand, atol=1e-9)
    assert found.algorithm == "tree-interventional"
    assert found.exact
    assert found.notes == ()
    np.testing.assert_allclose(found.values, by_hand, atol=1e-9)


def test_columns_of_one_raw_feature_are_one_player_not_a_sum() -> None:
    X = pd.DataFrame({"job": list("abcd") * 50, "owner": [0, 0, 0, 0, 1, 1, 1, 1] * 25})
    y = (X["job"].isin(["a", "b"]) & (X["owner"] == 1)).astype(int)
    columns = ColumnTransformer([("w", OneHotEncoder(), ["job"])], remainder="passthrough")
    tree = make_pipeline(columns, DecisionTreeClassifier(random_state=0)).fit(X, y)
    rows, background = X.iloc[[4]], X.iloc[[2, 1]]
    by_hand = shapley(probability(tree), rows, background)
    algorithms: tuple[Algorithm, ...] = ("tree-interventional", "exact")
    for algorithm in algorithms:
        found = explain(tree, rows, background=background, algorithm=algorithm)
        np.testing.assert_allclose(found.values[0], by_hand, atol=1e-9)
        assert (found.exact, found.notes) == (True, ())
    # shap's values per column, added up, are something else, and say so.
    output = resolve_output(tree, output=1, scale="probability", as_array=False)
    folded = trees_by_shap(output, rows, background, read_encoding(tree, X))
    assert not folded.exact
    assert "computed by shap's TreeExplainer" in folded.notes
    assert "separate players" in folded.notes[-1]
    assert np.abs(folded.values[0] - by_hand).max() > 0.05
    assert folded.base[0] + folded.values[0].sum() == pytest.approx(output(rows)[0], abs=1e-6)


def test_one_hot_columns_fold_to_the_raw_feature_exactly(
    people: People,
) -> None:
    X, y = people
    X = X[["income", "owner", "job"]]
    columns = ColumnTransformer(
        [("words", OneHotEncoder(sparse_output=True), ["job"])], remainder="passthrough"
    )
    model = make_pipeline(columns, GradientBoostingClassifier(n_estimators=20, max_depth=1))
    model.fit(X, y)
    background, rows = X.iloc[:20], X.iloc[50:54]
    found = explain(model, rows, background=background, scale="log-odds")
    assert found.algorithm == "tree-interventional"
    assert found.exact
    assert found.notes == ()
    for i in range(4):
        expected = shapley(log_odds(model), rows.iloc[[i]], background)
        np.testing.assert_allclose(found.values[i], expected, atol=1e-6)


def test_a_forest_is_exact_on_the_probability_for_both_classes(
    people: People,
) -> None:
    X, y = people
    X = X[["income", "owner", "one"]]
    forest = RandomForestClassifier(15, max_depth=4, random_state=0).fit(X, y)
    found = explain(forest, X.iloc[:5], background=X.iloc[100:130])
    other = explain(forest, X.iloc[:5], background=X.iloc[100:130], output=0)
    assert found.algorithm == "tree-interventional"
    assert found.exact
    expected = shapley(probability(forest), X.iloc[[2]], X.iloc[100:130])
    np.testing.assert_allclose(found.values[2], expected, atol=1e-6)
    np.testing.assert_allclose(other.values, -found.values, atol=1e-6)
    np.testing.assert_allclose(other.base_values, 1 - found.base_values, atol=1e-6)
    assert found.values[:, 2] == pytest.approx(0)  # a constant feature carries nothing


def test_boosting_on_the_probability_adds_up_and_says_that_it_is_rescaled(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    found = explain(boosted, X, background=X.iloc[:100])
    assert found.algorithm == "tree-interventional"
    assert largest_residual(found) < 1e-6
    np.testing.assert_allclose(found.predictions, boosted.predict_proba(X)[:, 1])
    np.testing.assert_allclose(
        found.base_values, boosted.predict_proba(X.iloc[:100])[:, 1].mean(), atol=1e-6
    )
    assert not found.exact
    assert "not the Shapley values of the probability" in found.notes[0]


def test_the_other_class_of_boosting_is_the_mirror_image(people: People, boosted: Pipeline) -> None:
    X, _ = people
    scales: tuple[Scale, ...] = ("probability", "log-odds")
    for scale in scales:
        one = explain(boosted, X.iloc[:9], background=X.iloc[50:80], scale=scale)
        zero = explain(boosted, X.iloc[:9], background=X.iloc[50:80], scale=scale, output=0)
        np.testing.assert_allclose(zero.values, -one.values, atol=1e-9)
        assert zero.algorithm == "tree-interventional"


def test_linear_closed_form(people: People) -> None:
    X, y = people
    model = make_pipeline(preprocessing(), StandardScaler(), LogisticRegression()).fit(X, y)
    background, rows = X.iloc[:20], X.iloc[50:53]
    found = explain(model, rows, background=background, scale="log-odds")
    assert (found.algorithm, found.exact) == ("linear", True)
    expected = shapley(log_odds(model), rows.iloc[[1]], background)
    np.testing.assert_allclose(found.values[1], expected, atol=1e-9)
    on_probability = explain(model, rows, background=background)
    assert (on_probability.algorithm, on_probability.exact) == ("linear", True)
    expected = shapley(probability(model), rows.iloc[[1]], background)
    np.testing.assert_allclose(on_probability.values[1], expected, atol=1e-9)
    scales: tuple[Scale, ...] = ("log-odds", "probability")
    for scale in scales:
        one = explain(model, rows, background=background, scale=scale)
        zero = explain(model, rows, background=background, scale=scale, output=0)
        np.testing.assert_allclose(zero.values, -one.values, atol=1e-12)


def test_many_features_of_a_logistic_model_are_exact_on_the_probability() -> None:
    rng = np.random.default_rng(11)
    X = pd.DataFrame(rng.normal(size=(120, 12)), columns=list("abcdefghijkl"))
    X["a"] = rng.integers(0, 2, 120)  # often equal in row and background
    y = (X.sum(axis=1) * 2 + rng.logistic(size=120) > 0).astype(int)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10)).fit(X, y)
    rows, background = X.iloc[:2], X.iloc[50:60]
    found = explain(model, rows, background=background)
    assert (found.algorithm, found.exact, found.notes) == ("linear", True, ())
    asked = explain(model, rows, background=background, algorithm="exact")
    np.testing.assert_allclose(found.values, asked.values, atol=1e-11)
    wide = make_pipeline(StandardScaler(), LogisticRegression(C=1e6)).fit(X * 1e3, X["b"] > 0)
    with pytest.raises(ExplanationError, match="the log-odds reach"):
        explain(wide, rows * 1e6, background=background, algorithm="linear", output=True)


def test_regressors_are_explained_on_their_value() -> None:
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"])
    y = X["a"] * X["b"] + X["c"]
    forest = RandomForestRegressor(10, max_depth=4, random_state=0).fit(X, y)
    found = explain(forest, X.iloc[:3], background=X.iloc[50:80], scale="value")
    assert found.algorithm == "tree-interventional"
    np.testing.assert_allclose(
        found.values[0], shapley(forest.predict, X.iloc[[0]], X.iloc[50:80]), atol=1e-6
    )
    line = LinearRegression().fit(X, y)
    assert explain(line, X.iloc[:3], background=X, scale="value").algorithm == "linear"
    with pytest.raises(InputError, match=r'expected predict_proba.*scale="value"'):
        explain(line, X, scale="probability")


# --- closed forms --------------------------------------------------------------

BITS = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})


@pytest.mark.parametrize("algorithm", ["exact", "permutation"])
def test_and_of_two_fair_bits(algorithm: Any) -> None:
    found = explain(
        lambda X: (X["a"] & X["b"]).to_numpy(),
        BITS.iloc[[3]],
        background=BITS,
        algorithm=algorithm,
    )
    np.testing.assert_allclose(found.values, [[3 / 8, 3 / 8]])
    assert found.base_values[0] == pytest.approx(1 / 4)


def test_xor_of_two_fair_bits() -> None:
    found = explain(lambda X: (X["a"] ^ X["b"]).to_numpy(), BITS.iloc[[3]], background=BITS)
    np.testing.assert_allclose(found.values, [[-1 / 4, -1 / 4]])


def test_interventional_gives_nothing_to_a_proxy_that_the_model_ignores() -> None:
    # b is a copy of a and the model reads a alone. Observational values, E[f | b] = b, would share
    # the .5 equally (.25 each); interventional ones leave nothing for the copy.
    a = np.tile([0.0, 1.0], 100)
    X = pd.DataFrame({"a": a, "b": a})
    tree = DecisionTreeClassifier(random_state=0).fit(X[["a"]].assign(b=0.0), a.astype(int))
    found = explain(tree, X.iloc[[1]], background=X)
    np.testing.assert_allclose(found.values, [[0.5, 0.0]], atol=1e-7)


# --- traps ---------------------------------------------------------------------


def test_native_categories_of_histogram_boosting_are_exact_where_shap_is_silently_wrong() -> None:
    rng = np.random.default_rng(2)
    n = 500
    X = pd.DataFrame({"income": rng.normal(size=n), "job": rng.integers(0, 8, n)})
    effect = np.array([2, -2, 2, -2, 2, -2, 2, -2])
    y = (effect[X["job"]] + X["income"] + rng.logistic(size=n) > 0).astype(int)
    model = HistGradientBoostingClassifier(
        categorical_features=["job"], max_iter=20, random_state=0
    ).fit(X, y)
    rows, background = X.iloc[:5], X.iloc[100:130]
    found = explain(model, rows, background=background, scale="log-odds")
    assert (found.algorithm, found.exact, found.notes) == ("tree-interventional", True, ())
    np.testing.assert_allclose(
        found.values[0], shapley(log_odds(model), rows.iloc[[0]], background), atol=1e-9
    )
    output = resolve_output(model, output=1, scale="log-odds", as_array=False)
    theirs = trees_by_shap(output, rows, background, read_encoding(model, X))
    assert np.abs(theirs.base + theirs.values.sum(axis=1) - output(rows)).max() > 0.5


def test_xgboost_on_the_log_odds_is_held_to_its_single_precision() -> None:
    rng = np.random.default_rng(12)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc"))
    y = (4 * X["a"] + X["b"] + rng.logistic(size=300) * 0.1 > 0).astype(int)
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=3, n_jobs=1).fit(X, y)
    assert np.abs(resolve_output(model, output=1, scale="log-odds", as_array=False)(X)).max() > 5
    rows, background = X.iloc[:20], X.iloc[100:130]
    found = explain(model, rows, background=background, scale="log-odds")
    assert (found.algorithm, found.exact, found.notes) == ("tree-interventional", True, ())

    def margin(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(model.predict(frame, output_margin=True), dtype=np.float64)

    np.testing.assert_allclose(
        found.values[7], shapley(margin, rows.iloc[[7]], background), atol=1e-5
    )
    dear = xgboost.XGBRegressor(n_estimators=20, n_jobs=1).fit(X, 1e6 * X["a"])
    priced = explain(dear, rows, background=background, scale="value")
    assert (priced.algorithm, priced.exact) == ("tree-interventional", True)


def test_trees_that_the_kernel_does_not_take_go_to_shap() -> None:
    # One path tests more features than a pattern of 64 bits holds.
    X = pd.DataFrame(np.eye(80), columns=[f"x{j}" for j in range(80)])
    chain = DecisionTreeRegressor(random_state=0).fit(X, 1.02 ** np.arange(80))
    rows, background = X.iloc[[0, 70]], X.iloc[40:60]
    found = explain(chain, rows, background=background, scale="value")
    assert found.algorithm == "tree-interventional"
    assert found.notes == (
        "computed by shap's TreeExplainer, because a path tests 79 raw features; "
        "expected at most 64",
    )
    assert largest_residual(found) < 1e-6


def test_three_classes_of_boosting_are_explained_by_asking_the_model() -> None:
    rng = np.random.default_rng(13)
    X = rng.normal(size=(150, 3))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1).fit(X, y)
    found = explain(model, X[:2], background=X[50:60], output=1)
    assert (found.algorithm, found.exact) == ("exact", True)
    with pytest.raises(ExplanationError, match="score of no known scale, not a probability"):
        explain(model, X[:2], background=X[50:60], output=1, algorithm="tree-interventional")


def test_a_path_that_misses_the_model_is_refused_and_the_model_asked() -> None:
    class Squeezed(RandomForestClassifier):
        """The trees say one thing, the model another."""

        def predict_proba(self, X: Any) -> FloatArray:
            p = np.sqrt(super().predict_proba(X)[:, 1])
            return np.column_stack([1 - p, p])

    rng = np.random.default_rng(7)
    X = rng.normal(size=(200, 3))
    model = Squeezed(10, max_depth=3, random_state=0).fit(X, (X[:, 0] > X[:, 1]).astype(int))
    found = explain(model, X[:3], background=X[50:70])
    assert (found.algorithm, found.exact) == ("exact", True)
    assert '"tree-interventional" was refused: its values miss' in found.notes[0]
    frame = pd.DataFrame(X)
    expected = shapley(
        lambda Z: model.predict_proba(Z.to_numpy())[:, 1], frame.iloc[[0]], frame.iloc[50:70]
    )
    np.testing.assert_allclose(found.values[0], expected, atol=1e-9)
    with pytest.raises(ExplanationError, match="no explanation agrees with the model"):
        explain(model, X[:3], background=X[50:70], algorithm="tree-interventional")


def test_histogram_boosting_from_category_dtype_is_explained(
    people: People,
) -> None:
    X, y = people
    X = X.assign(job=X["job"].astype("category"))
    model = HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(X, y)
    found = explain(model, X.iloc[:2], background=X.iloc[50:60])
    assert found.algorithm == "exact"
    assert largest_residual(found) < 1e-6
    assert "not numbers" in found.notes[0]


def test_values_on_a_threshold_fall_on_the_models_side() -> None:
    # Thresholds of histogram boosting are data values here; shap rounds them to single precision.
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 4))
    X[::9, 3] = np.nan
    y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=400) > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, y)
    found = explain(model, X, background=X[:150], scale="log-odds")
    assert found.algorithm == "tree-interventional"
    assert found.background_size == 150
    expected = shapley(
        lambda frame: np.asarray(model.decision_function(frame.to_numpy())),
        pd.DataFrame(X[[9]]),
        pd.DataFrame(X[:150]),
    )
    np.testing.assert_allclose(found.values[9], expected, atol=1e-6)


def test_preprocessing_that_mixes_features_is_not_folded(
    people: People,
) -> None:
    X, y = people
    X = X[["income", "owner", "one"]]
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    for step, words in ((PCA(2), "PCA"), (Normalizer(), "mixes features")):
        model = make_pipeline(step, tree).fit(X, y)
        found = explain(model, X.iloc[:3], background=X.iloc[50:70])
        assert found.algorithm == "exact"
        assert words in found.notes[0]
        assert largest_residual(found) < 1e-6
        with pytest.raises(ExplanationError, match="cannot be traced back"):
            explain(model, X.iloc[:3], background=X, algorithm="tree-interventional")


# --- what else comes in --------------------------------------------------------


def test_unseen_categories_missing_values_and_a_single_row(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    row = X.iloc[[0]].assign(job="astronaut", debts=np.nan)
    algorithms: tuple[Algorithm, ...] = ("auto", "exact")
    for algorithm in algorithms:
        found = explain(boosted, row, background=X.iloc[50:80], algorithm=algorithm)
        assert found.values.shape == (1, 6)
        assert largest_residual(found) < 1e-6
    with pytest.raises(InputError, match="expected background rows"):
        explain(boosted, row)


def test_a_callable_an_array_and_an_object_with_predict_proba() -> None:
    class Rule:
        def predict_proba(self, X: FloatArray) -> FloatArray:
            p = 1 / (1 + np.exp(-X[:, 0] + X[:, 1] * X[:, 2]))
            return np.column_stack([1 - p, p])

    X = np.random.default_rng(4).normal(size=(40, 3))
    found = explain(Rule(), X, feature_names=["a", "b", "c"])
    called = explain(lambda Z: Rule().predict_proba(Z)[:, 1], X)
    assert found.feature_names == ("a", "b", "c")
    assert found.algorithm == "exact"
    assert found.background_size == 40
    np.testing.assert_array_equal(found.values, called.values)


def test_path_dependent_is_offered_where_it_exists(people: People, boosted: Pipeline) -> None:
    X, _ = people
    found = explain(boosted, X.iloc[:9], scale="log-odds", algorithm="tree-path-dependent")
    assert largest_residual(found) < 1e-6
    assert not found.exact
    with pytest.raises(ExplanationError, match="give a log_odds, not a probability"):
        explain(boosted, X.iloc[:9], algorithm="tree-path-dependent")


def test_permutations_are_seeded_and_do_not_depend_on_other_rows(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    np.random.seed(5)
    before = np.random.get_state(legacy=False)["state"]["key"]

    def run(rows: pd.DataFrame, seed: int = 0) -> Explanation:
        return explain(
            boosted,
            rows,
            background=X.iloc[50:60],
            algorithm="permutation",
            random_state=seed,
            n_permutations=2,
        )

    first, again = run(X.iloc[:4]), run(X.iloc[[3, 2, 1, 0]])
    np.testing.assert_array_equal(first.values, again.values[::-1])
    assert not np.array_equal(first.values, run(X.iloc[:4], seed=1).values)
    after = np.random.get_state(legacy=False)["state"]["key"]
    np.testing.assert_array_equal(before, after)
    assert not first.exact


def test_kernel_shap_with_all_coalitions_is_exact_and_else_states_its_error(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    rows, background = X.iloc[:2], X.iloc[50:60]
    found = explain(boosted, rows, background=background, algorithm="kernel")
    assert (found.algorithm, found.exact, found.notes) == ("kernel", True, ())
    asked = explain(boosted, rows, background=background, algorithm="exact")
    np.testing.assert_allclose(found.values, asked.values, atol=1e-9)

    Z = np.random.default_rng(8).normal(size=(12, 13))  # 2^13 coalitions: too many

    def product(z: FloatArray) -> FloatArray:
        return np.asarray(z[:, 0] * z[:, 1] * z[:, 2] + z.sum(axis=1))

    options: dict[str, Any] = {"background": Z[4:], "scale": "value"}
    truth = explain(product, Z[:2], algorithm="exact", **options).values
    names: tuple[Algorithm, ...] = ("kernel", "permutation")
    for name in names:
        sampled = explain(product, Z[:2], algorithm=name, **options)
        again = explain(product, Z[1:2], algorithm=name, **options)
        np.testing.assert_array_equal(sampled.values[1:], again.values)
        assert not sampled.exact
        stated = float(re.search(r"at most ([\d.e-]+)", sampled.notes[0])[1])  # type: ignore[index]
        assert 0 < np.abs(sampled.values - truth).max() < 6 * stated
        assert stated < 0.5
        assert largest_residual(sampled) < 1e-6


def test_the_default_background_does_not_depend_on_row_order(
    people: People, boosted: Pipeline
) -> None:
    X, _ = people
    shuffled = X.sample(frac=1, random_state=1)
    one, two = explain(boosted, X), explain(boosted, shuffled)
    assert one.background_size == 100
    assert one.background_digest == two.background_digest
    order = X.index.get_indexer(shuffled.index)
    np.testing.assert_array_equal(one.values[order], two.values)
    assert explain(boosted, X, random_state=1).background_digest != one.background_digest


def test_infinite_log_odds_are_refused_in_words(
    people: People,
) -> None:
    X, y = people
    tree = DecisionTreeClassifier(random_state=0).fit(X[["income", "owner"]], y)
    with pytest.raises(ExplanationError, match="log-odds is not finite for"):
        explain(tree, X[["income", "owner"]], scale="log-odds")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "shapp"}, 'did you mean "shap"'),
        ({"algorithm": "trees"}, 'algorithm is "trees"; accepted: auto, tree-interventional'),
        ({"scale": "odds"}, 'did you mean "log-odds"'),
        ({"output": 7}, "output is 7; the model's classes are"),
        ({"background": BITS}, "background lacks the columns income"),
        ({"random_state": -1}, "random_state is -1; expected an integer of at least 0"),
        ({"method": "lime", "n_seeds": 1}, "n_seeds is 1; expected an integer of at least 2"),
        ({"method": "lime", "algorithm": "linear"}, "belongs to SHAP"),
    ],
)
def test_wrong_arguments_are_named(
    people: People,
    boosted: Pipeline,
    arguments: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        explain(boosted, people[0], **arguments)


def test_a_failing_model_is_reported_not_traced() -> None:
    with pytest.raises(ExplanationError, match="the model failed on 4 rows: KeyError"):
        explain(lambda X: X["income"], BITS)


# --- columns -> raw features ----------------------------------------------------


def test_sources_of_columns(people: People) -> None:
    X, y = people
    names = list(X.columns)
    tree = DecisionTreeClassifier(max_depth=1)

    def sources(transformer: Any) -> list[str]:
        encoding = read_encoding(make_pipeline(transformer, tree).fit(X, y), X)
        return [names[i] for i in encoding.source]

    assert sources(preprocessing(drop="first")) == (
        ["income", "debts", "debts"] + ["job"] * 3 + ["region", "owner", "one"]
    )
    infrequent = preprocessing(max_categories=2)
    assert sources(infrequent).count("job") == 2
    mixed = ColumnTransformer(
        [
            ("gone", "drop", ["one", "region"]),
            ("kept", "passthrough", [False, False, False, True, False, False]),
            ("same", FunctionTransformer(feature_names_out="one-to-one"), slice("income", "debts")),
            ("word", OneHotEncoder(), [2]),
        ]
    )
    assert sources(mixed) == ["owner", "income", "debts"] + ["job"] * 4
