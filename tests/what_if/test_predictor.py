"""The fast encoder's bits and the fast predictor's scores, against the fitted pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from hitl_audit.errors import InputError
from hitl_audit.explanations.encoding import read_encoding
from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.population import Population
from hitl_audit.what_if.predictor import EQUAL
from hitl_audit.what_if.row_encoder import NotArithmeticError, RowEncoder
from tests.what_if.conftest import KINDS, NUMBERS, fitted, people, pipeline, prepared


def gappy() -> tuple[pd.DataFrame, Any]:
    X, y = people(160)
    X.loc[X.index[::9], "income"] = np.nan
    X["region"] = X["region"].astype(object)
    X.loc[X.index[::13], "region"] = None
    return X, y


PREPARATIONS: dict[str, Callable[[], Any]] = {
    "impute, scale, one-hot": lambda: ColumnTransformer(
        [
            (
                "n",
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
                ),
                NUMBERS,
            ),
            ("k", OneHotEncoder(handle_unknown="ignore"), KINDS),
        ]
    ),
    "other scalers, other order": lambda: ColumnTransformer(
        [
            (
                "k",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(drop="first")),
                ["region", "sex"],
            ),
            (
                "a",
                make_pipeline(
                    MinMaxScaler(clip=True), SimpleImputer(fill_value=-1.0, strategy="constant")
                ),
                ["ratio", "income"],
            ),
            ("b", RobustScaler(with_centering=False), ["debt"]),
            ("c", MaxAbsScaler(), ["age"]),
            ("o", "passthrough", ["owner"]),
        ],
    ),
    "categories by other encoders": lambda: ColumnTransformer(
        [
            ("t", TargetEncoder(), ["region"]),
            ("o", OrdinalEncoder(), ["sex", "owner"]),
            ("n", SimpleImputer(), NUMBERS),
        ]
    ),
    "a union, then selected": lambda: make_pipeline(
        ColumnTransformer(
            [
                (
                    "n",
                    FeatureUnion(
                        [
                            ("plain", SimpleImputer()),
                            ("scaled", make_pipeline(StandardScaler(), SimpleImputer())),
                        ]
                    ),
                    NUMBERS,
                ),
                ("k", OneHotEncoder(), KINDS),
            ]
        ),
        VarianceThreshold(),
        FunctionTransformer(),
        SelectKBest(k=6),
    ),
    "whole numbers as kinds": lambda: ColumnTransformer(
        [
            ("age", OneHotEncoder(handle_unknown="ignore"), ["age"]),
            ("n", SimpleImputer(), ["income", "debt"]),
        ]
    ),
}


def encoder_of(preparation: Any) -> tuple[RowEncoder, Population, Any]:
    X, y = gappy()
    model = make_pipeline(preparation, LogisticRegression(max_iter=9000)).fit(X, y)
    encoding = read_encoding(model, X)
    population = Population.of(X, X)
    return RowEncoder.of(encoding, population), population, encoding


@pytest.mark.parametrize("name", PREPARATIONS)
def test_bit_for_bit_the_columns_of_the_pipeline(name: str) -> None:
    encoder, population, encoding = encoder_of(PREPARATIONS[name]())
    rng = np.random.default_rng(0)
    rows = population.codes[rng.integers(len(population), size=150)].copy()
    for j in range(rows.shape[1]):  # a mixture of everybody, so that features vary on their own
        rows[:, j] = population.codes[rng.integers(len(population), size=150), j]
    rows[:50, :2] *= 1.37  # numbers that nobody has
    truth = encoding.transform(population.frame(rows))
    found = np.vstack([encoder(row[np.newaxis]) for row in rows])
    assert np.array_equal(found, truth, equal_nan=True)
    assert np.array_equal(encoder(rows), truth, equal_nan=True)


@pytest.mark.parametrize(
    ("preparation", "words"),
    [
        (ColumnTransformer([("n", PowerTransformer(), ["debt"])]), "debt is a number"),
        (
            ColumnTransformer(
                [("n", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), ["debt"])]
            ),
            "debt",
        ),
        (ColumnTransformer([("n", OneHotEncoder(), ["age"])]), "age"),
        (ColumnTransformer([("n", FunctionTransformer(np.log1p), ["debt"])]), "debt"),
        (
            ColumnTransformer([("n", StandardScaler(), ["debt"])], transformer_weights={"n": 2}),
            "debt",
        ),
    ],
)
def test_other_arithmetic_is_not_guessed(preparation: Any, words: str) -> None:
    with pytest.raises(NotArithmeticError, match=words):
        encoder_of(preparation)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("logistic", "coefficients"),
        ("boosting", "trees"),
        ("histogram", "trees"),
        ("forest", "trees"),
        ("network", "final estimator"),
    ],
)
def test_the_path_and_its_proof(name: str, path: str) -> None:
    predictor = prepared(name).predictor
    assert predictor.path == path
    assert predictor.largest_difference <= EQUAL
    assert "compared with the model itself on 400 rows" in predictor.words


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_an_edited_prediction_is_the_models(data: st.DataObject) -> None:
    engine = prepared(data.draw(st.sampled_from(["logistic", "boosting", "histogram", "forest"])))
    values = engine.start_at(data.draw(st.integers(0, 239))).values
    values["income"] = data.draw(st.floats(0, 500))
    values["debt"] = data.draw(st.floats(0, 200))
    values["age"] = data.draw(st.integers(0, 120))
    values["region"] = data.draw(st.sampled_from(["north", "south", "west"]))
    values["owner"] = data.draw(st.booleans())
    row = pd.DataFrame([values])
    truth = engine.predictor.output.model.predict_proba(row)[0, 1]
    assert abs(engine.predict(values) - truth) <= EQUAL


def test_a_score_at_the_threshold_is_the_models_own() -> None:
    X, _ = people()
    model = fitted("forest")
    exact = model.predict_proba(X)[:, 1]
    threshold = float(exact[7])
    engine = WhatIf.of(model, X, threshold=threshold)
    assert engine.predictor.path == "trees"
    assert engine.scores[7] == threshold
    assert np.array_equal(engine.scores >= threshold, exact >= threshold)


def test_single_precision_answers_come_from_the_estimator() -> None:
    X, y = people()
    engine = WhatIf.of(pipeline(xgboost.XGBClassifier(n_estimators=15, n_jobs=2), X, y), X)
    assert engine.predictor.path == "final estimator"
    truth = engine.predictor.output.model.predict_proba(X.iloc[:20])[:, 1]
    found = [engine.scored(engine.start_at(k)) for k in range(20)]
    assert np.abs(np.array(found) - truth).max() <= EQUAL
    assert engine.attributions is not None


def test_a_pipeline_that_hands_on_named_columns() -> None:
    X, y = people()
    columns = ColumnTransformer(
        [("k", OneHotEncoder(sparse_output=False), KINDS)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    network = MLPClassifier((3,), max_iter=3000, random_state=0)
    engine = WhatIf.of(make_pipeline(columns, network).fit(X, y), X)
    assert engine.predictor.path == "final estimator"


def test_a_model_that_refuses_some_edits_is_asked_itself() -> None:
    X, y = people()

    class Careful(LogisticRegression):
        def predict_proba(self, X: Any) -> Any:
            if (np.asarray(X)[:, 0] < 5.5).any():
                raise ValueError("income is too low")
            return super().predict_proba(X)

    numbers = X[["income", "debt"]].assign(income=X["income"].clip(lower=6))
    model = Careful(max_iter=5000).fit(numbers, y)
    engine = WhatIf.of(model, numbers)
    assert engine.predictor.path == "coefficients"
    wide = WhatIf.of(model, numbers, constraints=[Constraint("income", low=0, high=5)])
    assert wide.predictor.path == "the model itself"
    assert "income is too low" in wide.predictor.why
    with pytest.raises(InputError, match="income is too low"):
        wide.scored(wide.edit(wide.start_at(0), "income", 4))


def test_an_estimators_threads_are_not_touched() -> None:
    X, y = people()
    model = pipeline(DummyForest(5, random_state=0, n_jobs=2), X, y)
    WhatIf.of(model, X)
    assert model[-1].n_jobs == 2


class DummyForest(RandomForestClassifier):
    """A forest that no parser knows by its class."""


@pytest.mark.parametrize(
    "preparation",
    [
        ColumnTransformer([("n", PowerTransformer(), ["debt", "income"])]),
        ColumnTransformer(
            [("n", KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), NUMBERS)]
        ),
    ],
)
def test_what_cannot_be_proven_is_asked_of_the_model_itself(preparation: Any) -> None:
    X, y = people()
    model = make_pipeline(preparation, GradientBoostingClassifier(n_estimators=5)).fit(X, y)
    engine = WhatIf.of(model, X)
    assert engine.predictor.path == "the model itself"
    assert "because" in engine.predictor.words
    assert engine.attributions is None
    assert engine.why_slow.startswith("contributions take longer: the model has to be asked")
    truth = model.predict_proba(X.iloc[[3]])[0, 1]
    assert engine.scored(engine.start_at(3)) == truth


def test_a_model_that_answers_otherwise_than_its_parts_is_asked_itself() -> None:
    X, y = people()

    class Corrected(RandomForestClassifier):
        def predict_proba(self, X: Any) -> Any:
            found = super().predict_proba(X)
            found[:, 1] = np.round(found[:, 1], 2)
            found[:, 0] = 1 - found[:, 1]
            return found

    model = pipeline(Corrected(10, min_samples_leaf=7, random_state=0), X, y)
    engine = WhatIf.of(model, X)
    assert engine.predictor.path == "final estimator"
    truth = model.predict_proba(X.iloc[:5])[:, 1]
    assert [engine.scored(engine.start_at(k)) for k in range(5)] == truth.tolist()


def test_a_callable_is_asked_itself() -> None:
    X, _ = people()

    def model(rows: pd.DataFrame) -> Any:
        return (rows["income"] / (rows["income"] + 3 * rows["debt"])).to_numpy()

    engine = WhatIf.of(model, X)
    assert engine.predictor.path == "the model itself"
    assert engine.scored(engine.start_at(2)) == model(X)[2]


def test_a_model_that_fails_is_named() -> None:
    X, _ = people()

    def model(rows: pd.DataFrame) -> Any:
        raise RuntimeError("no connection")

    with pytest.raises(
        InputError, match="the model failed on 200 rows: RuntimeError: no connection"
    ):
        WhatIf.of(model, X)


def test_no_preparation_at_all() -> None:
    X, y = people()
    numbers = X[["income", "debt"]]
    engine = WhatIf.of(GradientBoostingClassifier(n_estimators=5).fit(numbers, y), numbers)
    assert engine.predictor.path == "trees"
    array = WhatIf.of(DummyClassifier().fit(numbers.to_numpy(), y), numbers.to_numpy())
    assert array.predictor.path == "final estimator"
