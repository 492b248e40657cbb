"""LIME: equal to the lime package, the same every time, never without a spread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lime.lime_tabular import LimeTabularExplainer
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame(
        {
            "income": rng.gamma(2, 20, n),
            "debts": rng.normal(size=n),
            "children": rng.integers(0, 6, n),
            "job": rng.choice(["clerk", "farmer", "nurse"], n),
            "owner": rng.random(n) < 0.4,
        },
        index=[f"case-{i}" for i in range(n)],
    )
    X.loc[X.index[::5], "debts"] = np.nan
    return X


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Pipeline:
    rng = np.random.default_rng(1)
    score = people["income"] / 20 - people["debts"].fillna(2) + 2 * (people["job"] == "nurse")
    y = (score + rng.logistic(size=len(people)) > 2).astype(int)
    columns = ColumnTransformer(
        [("word", OneHotEncoder(handle_unknown="ignore"), ["job"])],
        remainder=SimpleImputer(strategy="median", add_indicator=True),
    )
    return make_pipeline(columns, GradientBoostingClassifier(n_estimators=20, random_state=0)).fit(
        people, y
    )


def weights(model: object, X: pd.DataFrame, background: pd.DataFrame, seed: int = 0) -> Explanation:
    return explain(
        model,
        X,
        method="lime",
        background=background,
        random_state=seed,
        n_seeds=2,
        n_samples=300,
    )


def test_equal_to_lime_reseeded_before_each_row() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 4))
    X[:, 3] = rng.integers(0, 3, 200)

    def predict(Z: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(-Z[:, 0] + Z[:, 1] * (Z[:, 3] == 1))))

    names = ["a", "b", "c", "word"]
    frame = pd.DataFrame(X, columns=names)
    frame["word"] = frame["word"].map({0.0: "x", 1.0: "y", 2.0: "z"})
    ours = weights(
        lambda Z: predict(
            Z.assign(word=Z["word"].map({"x": 0, "y": 1, "z": 2})).to_numpy(dtype=float)
        ),
        frame.iloc[:4],
        frame,
        seed=7,
    )
    runs = np.zeros((2, 4, 4))
    scores = np.zeros((2, 4))
    for s, seed in enumerate((7, 8)):
        for i in range(4):
            theirs = LimeTabularExplainer(
                X,
                mode="regression",
                feature_names=names,
                categorical_features=[3],
                random_state=np.random.RandomState(0),
            )
            theirs.random_state.seed(seed)
            found = theirs.explain_instance(X[i], predict, num_features=4, num_samples=300)
            for j, weight in found.local_exp[1]:
                runs[s, i, j] = weight
            scores[s, i] = found.score
    np.testing.assert_allclose(ours.values, runs.mean(axis=0), atol=1e-9)
    assert ours.spread is not None
    np.testing.assert_allclose(ours.spread, runs.std(axis=0, ddof=1), atol=1e-9)
    assert ours.score is not None
    np.testing.assert_allclose(ours.score, scores.mean(axis=0), atol=1e-9)


def test_same_seed_same_result_in_any_order_of_rows(people: pd.DataFrame, model: Pipeline) -> None:
    rows = people.iloc[:4]
    first, again = weights(model, rows, people), weights(model, rows.iloc[::-1], people)
    np.testing.assert_array_equal(first.values, again.values[::-1])
    alone = weights(model, rows.iloc[[2]], people)
    np.testing.assert_array_equal(first.values[[2]], alone.values)
    assert not np.array_equal(first.values, weights(model, rows, people, seed=9).values)


def test_the_default_background_is_all_rows_in_an_order_of_its_own(
    people: pd.DataFrame, model: Pipeline
) -> None:
    rows = people.iloc[:60]
    shuffled = rows.sample(frac=1, random_state=0)
    one = explain(model, rows, method="lime", n_seeds=2, n_samples=100)
    two = explain(model, shuffled, method="lime", n_seeds=2, n_samples=100)
    assert one.background_size == 60
    np.testing.assert_array_equal(one.values[rows.index.get_indexer(shuffled.index)], two.values)


def test_signs_of_a_known_linear_model() -> None:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(500, 3)), columns=["up", "down", "nothing"])
    row = pd.DataFrame({"up": [2.5], "down": [2.5], "nothing": [2.5]})
    found = explain(
        lambda Z: (3 * Z["up"] - 2 * Z["down"]).to_numpy(),
        row,
        method="lime",
        background=X,
        scale="value",
        n_samples=2000,
    )
    up, down, nothing = found.values[0]
    assert up > 0 > down
    assert abs(nothing) < 0.2 < abs(down) < abs(up)
    assert found.spread is not None
    assert (found.spread > 0).all()
    assert found.n_seeds == 5


def test_missing_numbers_are_a_category_of_their_own(people: pd.DataFrame, model: Pipeline) -> None:
    seen: list[pd.DataFrame] = []

    def watched(Z: pd.DataFrame) -> FloatArray:
        seen.append(Z)
        return np.asarray(model.predict_proba(Z))

    rows = people.iloc[[0, 1]]
    assert rows["debts"].isna().tolist() == [True, False]
    found = weights(watched, rows, people)
    assert any("debts" in note and "missing" in note for note in found.notes)
    drawn = max(seen, key=len)
    assert 0.1 < drawn["debts"].isna().mean() < 0.3  # as often as in the background, 20 %
    assert set(drawn["debts"].dropna()) <= set(people["debts"].dropna())
    assert (drawn.dtypes == people.dtypes).all()
    assert set(drawn["job"]) == {"clerk", "farmer", "nurse"}
    np.testing.assert_allclose(found.predictions, model.predict_proba(rows)[:, 1])


def test_a_bin_of_one_value_keeps_that_value() -> None:
    # Over a quarter of the rows share the smallest value; lime itself would ask the model about 0.
    x = np.concatenate([np.full(40, 5.0), np.linspace(6, 20, 60)])
    X = pd.DataFrame({"x": x, "flag": np.arange(100) % 2, "same": 3.5})
    seen: list[pd.DataFrame] = []

    def watched(Z: pd.DataFrame) -> FloatArray:
        seen.append(Z)
        return Z["x"].to_numpy() / 20

    found = weights(watched, X.iloc[[0, 70]], X)
    assert min(Z["x"].min() for Z in seen) == pytest.approx(5.0)
    assert {v for Z in seen for v in Z["same"]} == {3.5}
    np.testing.assert_allclose(found.values[:, 2], 0, atol=1e-12)


def test_unseen_category_and_constant_column(people: pd.DataFrame, model: Pipeline) -> None:
    row = people.iloc[[1]].assign(job="astronaut")
    found = weights(model, row, people)
    assert np.isfinite(found.values).all()
    np.testing.assert_allclose(found.local_prediction + found.residual, found.predictions)
