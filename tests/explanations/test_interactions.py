"""SHAP interaction values: against closed forms, the definition, and the attributions they refine."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import xgboost
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeRegressor

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explain_interactions import explain_interactions
from hitl_audit.explanations.interaction_values import InteractionValues
from hitl_audit.explanations.shap_values import import_shap

BITS = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})
FloatArray = npt.NDArray[np.float64]
Wide = tuple[pd.DataFrame, pd.Series]


def of(model: object, X: pd.DataFrame, background: pd.DataFrame) -> InteractionValues:
    return explain_interactions(model, X, background=background, scale="value", algorithm="exact")


def test_and_and_xor_of_two_fair_bits() -> None:
    both = of(lambda X: (X["a"] & X["b"]).to_numpy(), BITS.iloc[[3]], BITS)
    # worths: 1/4, 1/2, 1/2, 1; ∇ = 1 - 1/2 - 1/2 + 1/4 = 1/4, halved between the two entries
    np.testing.assert_allclose(both.values[0], [[1 / 4, 1 / 8], [1 / 8, 1 / 4]])
    assert both.frame().to_numpy().tolist() == [["a", "b", 1 / 4, 1 / 4, 1]]
    either = of(lambda X: (X["a"] ^ X["b"]).to_numpy(), BITS.iloc[[3]], BITS)
    # worths: 1/2, 1/2, 1/2, 0; ∇ = -1/2
    np.testing.assert_allclose(either.values[0], [[0, -1 / 4], [-1 / 4, 0]], atol=1e-15)
    assert either.base_values[0] == 0.5


def test_rows_sum_to_the_attributions_and_pairs_to_their_definition() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 5)), columns=list("abcde"))
    forest = RandomForestRegressor(10, max_depth=4, random_state=0)
    forest.fit(X, X["a"] * X["b"] + X["c"])
    rows, background = X.iloc[:4], X.iloc[50:80]
    found = of(forest, rows, background)
    explained = explain(forest, rows, background=background, scale="value")
    np.testing.assert_allclose(found.values.sum(axis=2), explained.values, atol=1e-10)
    np.testing.assert_allclose(found.values, found.values.transpose(0, 2, 1), atol=0)
    np.testing.assert_allclose(found.base_values, explained.base_values, atol=1e-10)
    # The other definition: what j gets with i known, less what it gets with i unknown, halved.
    row, behind = rows.iloc[1].to_numpy(), background.to_numpy()

    def worth(team: frozenset[int]) -> float:
        mixed = np.where([j in team for j in range(5)], row, behind)
        return float(forest.predict(pd.DataFrame(mixed, columns=X.columns)).mean())

    def share(j: int, known: frozenset[int], others: list[int]) -> float:
        total = 0.0
        for order in itertools.permutations([j, *others]):
            team = known | frozenset(order[: order.index(j)])
            total += value[team | {j}] - value[team]
        return total / math.factorial(len(others) + 1)

    teams = [frozenset(t) for k in range(6) for t in itertools.combinations(range(5), k)]
    value = {team: worth(team) for team in teams}
    for i, j in itertools.permutations(range(5), 2):
        others = [k for k in range(5) if k not in (i, j)]
        expected = (share(j, frozenset({i}), others) - share(j, frozenset(), others)) / 2
        assert found.values[1, i, j] == pytest.approx(expected, abs=1e-12)
    frame = found.frame()
    assert (found.algorithm, found.exact, found.scale) == ("exact", True, "value")
    assert len(frame) == 10
    table = frame.set_index(["feature", "with"])["mean_absolute"]
    assert table["a", "d"] == pytest.approx(2 * np.abs(found.values[:, 0, 3]).mean())
    assert frame["mean_absolute"].is_monotonic_decreasing


def test_one_feature_and_too_many() -> None:
    X = pd.DataFrame({"a": [1.0, 2, 4]})
    one = of(lambda Z: Z["a"].to_numpy() ** 2, X, X)
    np.testing.assert_allclose(one.values[:, 0, 0], X["a"] ** 2 - 7)
    wide = pd.DataFrame(np.zeros((2, 11)), columns=list("abcdefghijk"))
    with pytest.raises(InputError, match=r"X has 11 columns.*expected at most 10"):
        of(lambda Z: Z["a"].to_numpy(), wide, wide)
    with pytest.raises(InputError, match="background lacks the columns a of X"):
        of(lambda Z: Z["a"].to_numpy(), X, BITS[["b"]])


@pytest.fixture(scope="module")
def wide() -> Wide:
    """Twelve features, the first two of which act together."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(300, 12)), columns=list("abcdefghijkl"))
    return X, (X["a"] * X["b"] + X["c"] > 0).astype(int)


def path_worth(tree: Any, row: FloatArray, known: frozenset[int], node: int = 0) -> float:
    """The definition: unknown features pass on the training rows' shares."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left < 0:
        return float(tree.value[node, 0, 0])
    j = int(tree.feature[node])
    if j in known:
        child = left if np.float32(row[j]) <= tree.threshold[node] else right
        return path_worth(tree, row, known, child)
    weight = tree.weighted_n_node_samples
    return float(
        sum(weight[c] * path_worth(tree, row, known, c) for c in (left, right)) / weight[node]
    )


def interactions_of(worth: dict[frozenset[int], float], p: int) -> FloatArray:
    """Lundberg et al. 2020, eq. 3-5, sum by sum."""
    matrix = np.zeros((p, p))
    phi = np.zeros(p)
    for team, value in worth.items():
        s = len(team)
        for i in set(range(p)) - team:
            gain = worth[team | {i}] - value
            phi[i] += gain * math.factorial(s) * math.factorial(p - s - 1) / math.factorial(p)
            for j in set(range(p)) - team - {i}:
                both = worth[team | {i, j}] - worth[team | {j}] - gain
                matrix[i, j] += (
                    both
                    * math.factorial(s)
                    * math.factorial(p - s - 2)
                    / (2 * math.factorial(p - 1))
                )
    np.fill_diagonal(matrix, phi - matrix.sum(axis=1))
    return matrix


def test_the_interactions_of_a_tree_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd"))
    model = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, X["a"] * X["b"] + X["c"])
    found = explain_interactions(model, X.iloc[:3], algorithm="tree-path-dependent")
    teams = [frozenset(t) for k in range(5) for t in itertools.combinations(range(4), k)]
    for r in range(3):
        row = X.iloc[r].to_numpy()
        worth = {team: path_worth(model.tree_, row, team) for team in teams}
        np.testing.assert_allclose(found.values[r], interactions_of(worth, 4), atol=1e-12)
    assert (found.algorithm, found.exact) == ("tree-path-dependent", True)
    assert found.background_size == 0
    assert found.background_digest is None
    assert "training rows that fell into each leaf" in found.notes[1]


TREES: dict[str, tuple[Any, str]] = {
    "forest": (RandomForestClassifier(8, max_depth=4, random_state=0), "probability"),
    "regression forest": (RandomForestRegressor(8, max_depth=4, random_state=0), "value"),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=15, random_state=0), "log-odds"),
    "histograms": (HistGradientBoostingClassifier(max_iter=15, random_state=0), "log-odds"),
    "lightgbm": (LGBMClassifier(n_estimators=15, verbose=-1), "log-odds"),
    "xgboost": (xgboost.XGBClassifier(n_estimators=40, max_depth=4), "log-odds"),
}


@pytest.mark.parametrize("name", TREES)
def test_trees_of_many_features_agree_with_shap_and_the_model(wide: Wide, name: str) -> None:
    X, y = wide
    model, scale = TREES[name]
    model.fit(X, y)
    rows = X.iloc[:20]
    found = explain_interactions(model, rows)
    assert (found.algorithm, found.exact, found.scale) == ("tree-path-dependent", True, scale)
    values = explain(model, rows, scale=scale, algorithm="tree-path-dependent")  # type: ignore[arg-type]
    tolerance = 1e-5 if name == "xgboost" else 1e-9  # it adds in single precision
    np.testing.assert_allclose(found.attributions, values.values, atol=tolerance)
    np.testing.assert_allclose(found.base_values, values.base_values, atol=tolerance)
    np.testing.assert_array_equal(found.predictions, values.predictions)
    assert (np.abs(found.residual) <= found.resolution).all()
    np.testing.assert_array_equal(found.values, found.values.transpose(0, 2, 1))
    shap = import_shap()
    own = np.asarray(shap.TreeExplainer(model).shap_interaction_values(rows.to_numpy()))
    own = own[..., 1] if own.ndim == 4 else own
    np.testing.assert_allclose(found.values, own, atol=tolerance)
    # The other class is the mirror image.
    if scale != "value":
        other = explain_interactions(model, rows, output=0)
        np.testing.assert_allclose(other.values, -found.values, atol=tolerance)
        assert (np.abs(other.residual) <= other.resolution).all()
    size = np.abs(found.values).mean(axis=0) * np.triu(np.ones((12, 12)), 1)
    i, j = np.unravel_index(size.argmax(), size.shape)
    strongest = found.frame().iloc[0]
    assert [strongest["feature"], strongest["with"]] == [X.columns[i], X.columns[j]]


def test_single_precision_is_judged_at_the_size_of_what_is_added(wide: Wide) -> None:
    X, y = wide
    model = xgboost.XGBRegressor(n_estimators=10).fit(X, 100.0 * y)
    rows = X.iloc[:60]
    found = explain_interactions(model, rows)
    size = np.abs(found.values).sum(axis=(1, 2)) + np.abs(found.base_values)
    assert (np.abs(found.residual) <= 1e-6 * size).all()
    # Some predictions end near 0, where their own size would allow less than was rounded.
    assert (np.abs(found.residual) > np.maximum(1e-6, 1e-6 * np.abs(found.predictions))).any()
    values = explain(model, rows, background=X.iloc[60:90], algorithm="tree-interventional")
    assert values.resolution is not None
    assert (np.abs(values.residual) <= values.resolution).all()


def test_columns_of_one_raw_feature_are_added_up(wide: Wide) -> None:
    X, y = wide
    X = X.assign(k=np.array(["u", "v", "w"])[np.arange(len(X)) % 3])
    y = (X["a"] + 2 * (X["k"] == "v") * (X["b"] > 0) - (X["k"] == "u") > 0).astype(int)
    encoder = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["k"]), remainder="passthrough"
    )
    rows = X.iloc[:10]
    stumps = GradientBoostingClassifier(n_estimators=10, max_depth=1, random_state=0)
    one = explain_interactions(make_pipeline(encoder, stumps).fit(X, y), rows)
    assert one.values.shape == (10, 12, 12)
    assert one.exact  # no path tests two columns, and a stump has no pair
    off = one.values * (1 - np.eye(12))
    np.testing.assert_allclose(off, 0, atol=1e-12)
    assert one.chart().message.startswith("No two features move the model's log-odds of 1 together")
    forest = RandomForestClassifier(8, max_depth=6, random_state=0)
    model = make_pipeline(encoder, forest).fit(X, y)
    many = explain_interactions(model, rows)
    assert not many.exact
    assert "columns made from one raw feature are separate players" in many.notes[2]
    inner = np.asarray(
        import_shap().TreeExplainer(forest).shap_interaction_values(model[0].transform(rows))
    )[..., 1]
    k = list(X.columns).index("k")
    np.testing.assert_allclose(many.values[:, k, k], inner[:, :3, :3].sum(axis=(1, 2)), atol=1e-12)
    # Of the passed columns the first is a, at position 3.
    np.testing.assert_allclose(many.values[:, k, 0], inner[:, :3, 3].sum(axis=1), atol=1e-12)


def test_three_classes(wide: Wide) -> None:
    X, y = wide
    three = y + (X["d"] > 0.5)
    forest = RandomForestClassifier(6, max_depth=4, random_state=0).fit(X, three)
    found = [explain_interactions(forest, X.iloc[:5], output=k) for k in range(3)]
    # The three probabilities sum to one, so that no pair moves their sum.
    np.testing.assert_allclose(sum(f.values for f in found), 0, atol=1e-12)
    booster = xgboost.XGBClassifier(n_estimators=5).fit(X, three)
    with pytest.raises(ExplanationError, match="3 scores that softmax mixes, neither log-odds"):
        explain_interactions(booster, X.iloc[:5], output=1)


def test_what_cannot_be_explained_is_refused_in_words(wide: Wide) -> None:
    X, y = wide
    booster = GradientBoostingClassifier(n_estimators=3, random_state=0).fit(X, y)
    with pytest.raises(
        ExplanationError,
        match='add up to a log-odds, not to a probability; expected scale="log-odds"',
    ):
        explain_interactions(booster, X, scale="probability")
    line = LogisticRegression().fit(X, y)
    with pytest.raises(ExplanationError, match="12 features are more than the 10 of exact ones"):
        explain_interactions(line, X)
    with pytest.raises(ExplanationError, match='"tree-path-dependent" cannot be used: shap'):
        explain_interactions(line, X, algorithm="tree-path-dependent")
    with pytest.raises(InputError, match=r"12 columns.*tree-path-dependent.*any number"):
        explain_interactions(booster, X, algorithm="exact")
    with pytest.raises(InputError, match=r'algorithm is "exakt".*exact'):
        explain_interactions(booster, X, algorithm="exakt")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="random_state is -1"):
        explain_interactions(booster, X, random_state=-1)
    with pytest.raises(InputError, match="1 row and there is no background"):
        explain_interactions(line, X.iloc[:1, :3])
    few = X.iloc[:, :10]
    many = pd.concat([few] * 10, ignore_index=True)
    cost = f"{3000 * 300 * 1024:,}"
    with pytest.raises(InputError, match=f"3,000 rows of 10 features and 300 .* {cost} rows"):
        explain_interactions(lambda Z: Z["a"], many, background=few)


def test_categories_that_shap_misreads_are_refused() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 11)), columns=list("abcdefghijk"))
    X["k"] = rng.integers(0, 6, 300)
    y = (np.isin(X["k"], [1, 4]) ^ (X["a"] > 0)).astype(int)
    model = HistGradientBoostingClassifier(categorical_features=["k"], max_iter=20).fit(X, y)
    with pytest.raises(ExplanationError, match="no interactions for this model"):
        explain_interactions(model, X.iloc[:20])


def test_views_and_read_only_numbers(wide: Wide) -> None:
    X, y = wide
    X = X.iloc[:, :3].set_axis([f"case {i}" for i in range(len(X))])
    y = y.set_axis(X.index)
    model = GradientBoostingClassifier(n_estimators=20, random_state=0).fit(X, y)
    found = explain_interactions(model, X.iloc[:6], background=X.iloc[:20])
    assert (found.algorithm, found.scale, found.background_size) == ("exact", "probability", 20)
    assert found.method == "shap"
    matrix = found.of("case 2")
    np.testing.assert_array_equal(matrix.to_numpy(), found.values[2])
    assert matrix.loc["a", "c"] == found.values[2, 0, 2]
    chart = found.chart()
    first = found.frame().iloc[0]
    assert chart.series[0].x[0] == f"{first['feature']} × {first['with']}"
    assert chart.series[0].y[0] == first["mean_absolute"]
    one = dict(zip(*(getattr(found.chart("case 2").series[0], f) for f in "xy"), strict=True))
    assert one["a × b"] == pytest.approx(2 * found.values[2, 0, 1])
    assert len(found.plot().data) == 1
    assert "probability of 1" in found._repr_html_()
    assert repr(found) == (
        "<InteractionValues exact: 6 rows × 3 × 3 features, probability of 1, background 20 rows>"
    )
    with pytest.raises(InputError, match="row is 'case 99': no case"):
        found.of("case 99")
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0, 0] = 1
    single = explain_interactions(lambda Z: Z["a"], X[["a"]].iloc[:4], scale="value")
    assert single.frame().empty
    with pytest.raises(InputError, match="single feature a; expected at least two"):
        single.chart()
