"""Fitted preprocessing is traced back to raw features: against asking the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import read_encoding
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.model_output import resolve_output
from hitl_audit.explanations.raw_features import Coding
from hitl_audit.explanations.views.asking import ask_with

People = tuple[pd.DataFrame, pd.Series]
NUMBERS, WORDS = ["income", "debts"], ["job", "region"]


@pytest.fixture(scope="module")
def people() -> People:
    rng = np.random.default_rng(1)
    n = 240
    X = pd.DataFrame(
        {
            "income": rng.gamma(2, 20, n).round(1),
            "debts": rng.normal(size=n),
            "job": rng.choice(["clerk", "farmer", "nurse", "pilot"], n),
            "region": rng.choice(["n", "s"], n),
        },
        index=[f"case-{i}" for i in range(n)],
    )
    score = X["income"] / 20 - X["debts"] + 2 * (X["job"] == "nurse") - 2
    y = (score + rng.logistic(size=n) > 0).astype(int)
    X.loc[X.index[::7], "debts"] = np.nan
    return X, y


def full(**steps: Any) -> ColumnTransformer:
    """Numbers are imputed and words one-hot encoded, unless a step says otherwise."""
    numbers = steps.get("numbers", SimpleImputer())
    words = steps.get("words", OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])


def imputed(*steps: Any) -> Any:
    return make_pipeline(SimpleImputer(), *steps)


TRACED: dict[str, Any] = {
    "ordinal": full(words=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
    "scaled": full(numbers=imputed(StandardScaler(), MinMaxScaler(), RobustScaler())),
    "quantiles": full(numbers=imputed(QuantileTransformer(n_quantiles=20), PowerTransformer())),
    "bins, one-hot": full(
        numbers=imputed(KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"))
    ),
    "bins, dense": full(
        numbers=imputed(
            KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf")
        )
    ),
    "bins, ordinal": full(
        numbers=imputed(
            KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf")
        )
    ),
    "splines": full(numbers=imputed(SplineTransformer(n_knots=3, degree=2))),
    "splines without bias": full(
        numbers=imputed(SplineTransformer(n_knots=4, degree=2, include_bias=False))
    ),
    "powers of one feature each": ColumnTransformer(
        [
            ("a", imputed(PolynomialFeatures(3)), ["income"]),
            ("b", imputed(PolynomialFeatures(2, include_bias=False)), ["debts"]),
            ("w", OneHotEncoder(), WORDS),
        ]
    ),
    "targets": full(words=TargetEncoder(cv=StratifiedKFold(3))),
    "union with a missing indicator": full(
        numbers=make_union(SimpleImputer(), MissingIndicator(), imputed(StandardScaler()))
    ),
    "union that drops": full(
        numbers=FeatureUnion([("a", imputed()), ("b", "drop"), ("c", MissingIndicator())])
    ),
    "selected": full(numbers=imputed(SplineTransformer(n_knots=3), SelectKBest(k=3))),
    "ufunc": full(numbers=imputed(FunctionTransformer(np.cbrt))),
    "nested": ColumnTransformer(
        [
            ("all", full(), [*WORDS, *NUMBERS]),
            ("again", make_pipeline(full(), StandardScaler(with_mean=False)), [*NUMBERS, *WORDS]),
        ]
    ),
    "chosen by dtype": make_column_transformer(
        (OneHotEncoder(), make_column_selector(dtype_include=[object, "string"])),
        (SimpleImputer(), make_column_selector(dtype_include=np.number)),
    ),
    "an estimator as remainder": ColumnTransformer(
        [("w", OneHotEncoder(), WORDS), ("nothing", StandardScaler(), [])],
        remainder=imputed(StandardScaler()),
    ),
    "a passed remainder": make_pipeline(
        ColumnTransformer([("w", OneHotEncoder(), WORDS)], remainder="passthrough"),
        SimpleImputer(),
    ),
    "sparse": ColumnTransformer(
        [("w", OneHotEncoder(sparse_output=True), WORDS), ("n", SimpleImputer(), NUMBERS)],
        sparse_threshold=1.0,
    ),
    "pandas": make_pipeline(
        full(words=OneHotEncoder(sparse_output=False)),
        ColumnTransformer(
            [("s", StandardScaler(), ["numbers__income", "words__job_nurse"])],
            remainder="passthrough",
        ),
    ).set_output(transform="pandas"),
}


@pytest.mark.parametrize("name", TRACED)
def test_closed_form_on_traced_columns_is_the_truth_on_raw_features(
    people: People, name: str
) -> None:
    X, y = people
    model = make_pipeline(TRACED[name], LogisticRegression(solver="newton-cholesky")).fit(X, y)
    background, rows = X.iloc[:20], X.iloc[50:56]
    found = explain(model, rows, background=background, scale="log-odds")
    truth = explain(model, rows, background=background, scale="log-odds", algorithm="exact")
    assert (found.algorithm, found.notes) == ("linear", ())
    np.testing.assert_allclose(found.values, truth.values, atol=1e-9)
    assert np.abs(found.values).max() > 0.1


@pytest.mark.parametrize("name", ["ordinal", "targets", "bins, ordinal", "chosen by dtype"])
def test_trees_on_traced_columns_add_up_and_agree(people: People, name: str) -> None:
    X, y = people
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    model = make_pipeline(TRACED[name], tree).fit(X, y)
    background, rows = X.iloc[:20], X.iloc[50:56]
    found = explain(model, rows, background=background)
    truth = explain(model, rows, background=background, algorithm="exact")
    assert found.algorithm == "tree-interventional"
    assert found.exact
    np.testing.assert_allclose(found.values, truth.values, atol=1e-6)


def test_target_encoding_of_three_classes(people: People) -> None:
    X, _ = people
    y = np.where(X["job"] == "nurse", 2, (X["income"] > 40).astype(int))
    step = full(words=TargetEncoder(cv=StratifiedKFold(3))).fit(X, y)
    model = make_pipeline(step, DecisionTreeClassifier(max_depth=3, random_state=0)).fit(X, y)
    assert read_encoding(model, X).source.tolist() == [0, 1, 2, 2, 2, 3, 3, 3]
    found = explain(model, X.iloc[50:53], background=X.iloc[:20], output=2)
    assert np.abs(found.residual).max() < 1e-6


REFUSED: dict[str, tuple[Any, str]] = {
    "products": (
        full(numbers=imputed(PolynomialFeatures(2))),
        "PolynomialFeatures mixes features .income and debts in one column",
    ),
    "interactions": (
        full(numbers=imputed(PolynomialFeatures(interaction_only=True))),
        "PolynomialFeatures mixes features",
    ),
    "components": (
        full(numbers=imputed(PCA(2))),
        "PCA on income, debts does not say which input",
    ),
    "neighbours": (full(numbers=KNNImputer()), "KNNImputer on income, debts does not say"),
    "any function": (
        full(numbers=imputed(FunctionTransformer(lambda v: v[:, ::-1]))),
        "FunctionTransformer on income, debts does not say",
    ),
    "a function that lies": (
        full(numbers=imputed(FunctionTransformer(lambda v: v[:, ::-1], feature_names_out="one-to-one"))),
        "a change of income changes columns of other features",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_mixtures_are_refused_in_words_and_the_model_is_asked(people: People, name: str) -> None:
    X, y = people
    step, words = REFUSED[name]
    model = make_pipeline(step, LogisticRegression(solver="newton-cholesky")).fit(X, y)
    with pytest.raises(ExplanationError, match=words):
        read_encoding(model, X)
    found = explain(model, X.iloc[50:52], background=X.iloc[:15], scale="log-odds")
    assert (found.algorithm, found.exact) == ("exact", True)
    assert found.notes[0].startswith("computed on the raw features by asking the model, because")


def test_unseen_categories_go_where_the_encoder_sends_them(people: People) -> None:
    X, y = people
    row = X.iloc[[3]].assign(job="astronaut", region="moon")
    for name in ("ordinal", "targets"):
        model = make_pipeline(TRACED[name], LogisticRegression(solver="newton-cholesky")).fit(X, y)
        arguments: dict[str, Any] = {"background": X.iloc[:20], "scale": "log-odds"}
        found = explain(model, row, **arguments)
        truth = explain(model, row, algorithm="exact", **arguments)
        assert found.algorithm == "linear"
        np.testing.assert_allclose(found.values, truth.values, atol=1e-9)


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer()])
def test_a_text_among_other_columns_is_one_feature(people: People, vectorizer: Any) -> None:
    X, y = people
    texts = ["late rent", "no complaints", "late payment and late fees", "good payer"]
    X = X[["income", "job"]].assign(note=[texts[i % 4] for i in range(len(X))])
    step = ColumnTransformer(
        [("t", vectorizer, "note"), ("w", OneHotEncoder(), ["job"])], remainder="passthrough"
    )
    model = make_pipeline(step, LogisticRegression(solver="newton-cholesky")).fit(X, y)
    arguments: dict[str, Any] = {"background": X.iloc[:20], "scale": "log-odds"}
    found = explain(model, X.iloc[50:54], **arguments)
    truth = explain(model, X.iloc[50:54], algorithm="exact", **arguments)
    assert found.algorithm == "linear"
    np.testing.assert_allclose(found.values, truth.values, atol=1e-9)
    assert "the text in note is one feature" in found.notes[0]
    assert "the text in note is one feature" in truth.notes[0]


def test_hashed_words_are_asked_of_the_model(people: People) -> None:
    X, y = people
    X = X[["income"]].assign(note=["late rent", "no complaints"] * 120)
    step = make_column_transformer(
        (HashingVectorizer(n_features=16), "note"), remainder="passthrough"
    )
    model = make_pipeline(step, LogisticRegression(solver="newton-cholesky")).fit(X, y)
    found = explain(model, X.iloc[50:52], background=X.iloc[:20], scale="log-odds")
    assert found.algorithm == "exact"
    assert any("the text in note is one feature" in note for note in found.notes)


class Counted(OneHotEncoder):
    """Remembers the largest table it made."""

    largest = 0

    def transform(self, X: Any) -> Any:
        made = super().transform(X)
        Counted.largest = max(Counted.largest, made.shape[0] * made.shape[1])
        return made


def test_a_wide_encoding_is_tested_in_tables_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes = np.arange(60)[:, np.newaxis] * np.arange(1, 13) % 61
    X = pd.DataFrame(codes.astype(str), columns=[f"c{i}" for i in range(12)])
    y = np.arange(60) % 2
    model = make_pipeline(Counted(sparse_output=False), LogisticRegression()).fit(X, y)
    width = model[0].transform(X).shape[1]
    assert width == 12 * 60
    Counted.largest = 0
    whole = read_encoding(model, X).source
    assert Counted.largest == 12 * 50 * width  # all twelve at once
    monkeypatch.setattr("hitl_audit.explanations.encoding.CELLS_AT_ONCE", 3 * 50 * width)
    Counted.largest = 0
    np.testing.assert_array_equal(read_encoding(model, X).source, whole)
    assert Counted.largest == 3 * 50 * width


@pytest.mark.parametrize("cells", [1, 400, 10**9])
def test_a_late_mixture_is_found_in_whatever_parts(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr("hitl_audit.explanations.encoding.CELLS_AT_ONCE", cells)
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 7)), columns=list("abcdefg"))
    X["g"] = X["g"].astype("float32")
    X["f"] = np.arange(40) % 3

    def mixing(Z: pd.DataFrame) -> pd.DataFrame:
        assert Z.dtypes.tolist() == X.dtypes.tolist()
        return Z.assign(b=Z["b"] + 1e-6 * Z["g"])

    step = FunctionTransformer(mixing, feature_names_out="one-to-one")
    model = make_pipeline(step, LogisticRegression()).fit(X, np.arange(40) % 2)
    with pytest.raises(ExplanationError, match="a change of g changes columns of other features"):
        read_encoding(model, X)


def test_a_missing_text_stays_the_kind_of_missing_it_is() -> None:
    """None and NaN are two categories to an encoder, and both may occur as texts of type object."""
    X = pd.DataFrame({"kind": pd.Series(["a", None, "b"] * 10, dtype=object), "x": range(30)})
    columns = ColumnTransformer([("k", OneHotEncoder(), ["kind"])], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(X, [0, 1, 1] * 10)
    assert read_encoding(model, X).source.tolist() == [0, 0, 0, 1]
    coding = Coding.of(X)
    back = coding.decode(coding.encode(X))
    assert back["kind"].dtype == object
    assert back["kind"].tolist() == X["kind"].tolist()
    output = resolve_output(model, output=None, as_array=False)
    asked = ask_with(output, X.iloc[:3], "kind", X["kind"].array.take([0, 1, 2]))
    np.testing.assert_allclose(asked[0], output(X.iloc[:3].assign(x=0)))
