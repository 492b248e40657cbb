"""Transparent models: effects in raw units against the fitted numbers; rules against the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.views.transparent import coefficients
from hitl_audit.explanations.views.tree_rules import TreeRules, tree_rules

FloatArray = npt.NDArray[np.float64]
People = tuple[pd.DataFrame, Any]


@pytest.fixture(scope="module")
def people() -> People:
    rng = np.random.default_rng(0)
    n = 300
    X = pd.DataFrame(
        {
            "income": rng.normal(50, 10, n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n, p=[0.5, 0.3, 0.2]),
            "owner": rng.random(n) < 0.5,
        },
        index=[f"P{i}" for i in range(n)],
    )
    score = (X["income"] - 50) / 5 + 2 * (X["job"] == "nurse") + rng.logistic(size=n)
    X.loc[X.index[::10], "income"] = np.nan
    return X, np.where(score > 0, 1, 0)


@pytest.fixture(scope="module")
def logistic(people: People) -> Pipeline:
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["income"]),
            ("w", OneHotEncoder(), ["job"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, LogisticRegression()).fit(*people)


def test_slopes_are_in_raw_units(people: People, logistic: Pipeline) -> None:
    X, _ = people
    found = coefficients(logistic, X)
    income = found.frame().query("feature == 'income' and kind == 'slope'").iloc[0]
    scaler = logistic[0].named_transformers_["n"][1]
    fitted = logistic[1].coef_[0]
    assert income["effect"] == pytest.approx(fitted[0] / scaler.scale_[0])
    assert income["per_sd"] == pytest.approx(income["effect"] * X["income"].std(ddof=0))
    assert income["unit"] == "log-odds of 1"
    # The imputer fills in the mean, so a missing income adds nothing.
    missing = found.frame().query("feature == 'income' and term == 'missing'").iloc[0]
    assert missing["effect"] == pytest.approx(0, abs=1e-9)
    assert missing["n"] == 30
    jobs = found.frame().query("feature == 'job'").set_index("term")
    assert jobs.loc["nurse", "effect"] == pytest.approx(fitted[2] - fitted[1])
    assert jobs.loc["clerk", "effect"] == 0
    assert set(jobs["against"]) == {"clerk"}


def test_effects_add_up_to_the_model(people: People, logistic: Pipeline) -> None:
    X, _ = people
    found = coefficients(logistic, X)
    table = found.frame().set_index(["feature", "term"])["effect"]
    row = X.iloc[1]
    told = (
        found.level
        + float(table["income", "income"]) * (row["income"] - X["income"].mean())
        + float(table["job", row["job"]])
        + float(table["owner", "yes" if row["owner"] else "no"])
    )
    p = logistic.predict_proba(X.iloc[[1]])[0, 1]
    assert told == pytest.approx(np.log(p / (1 - p)))


def test_the_other_class_turns_the_signs(people: People, logistic: Pipeline) -> None:
    X, _ = people
    one, zero = coefficients(logistic, X).frame(), coefficients(logistic, X, output=0).frame()
    np.testing.assert_allclose(one["effect"], -zero["effect"])


def test_plain_regression_and_what_is_not_a_straight_line(people: People) -> None:
    X = people[0][["income"]].dropna().assign(age=np.arange(270.0) % 7)
    y = 2 * X["income"] + np.log1p(X["age"])
    plain = LinearRegression().fit(X, y)
    table = coefficients(plain, X).frame().set_index("term")
    np.testing.assert_allclose(table.loc[["income", "age"], "effect"], plain.coef_)
    bent = make_pipeline(
        ColumnTransformer(
            [("log", FunctionTransformer(np.log1p, feature_names_out="one-to-one"), ["age"])],
            remainder="passthrough",
        ),
        Ridge(alpha=1e-9),
    ).fit(X, y)
    found = coefficients(bent, X, scale="value")
    ages = found.frame().query("feature == 'age'").set_index("term")
    effects = ages["effect"].astype(float)
    assert effects["6"] - effects["0"] == pytest.approx(np.log(7), rel=1e-6)
    assert ages["per_sd"].isna().all()
    assert "not straight lines, told value by value: age" in found.notes


def test_what_coefficients_do_not_say_is_said(people: People, logistic: Pipeline) -> None:
    found = coefficients(logistic, people[0])
    assert "no standard errors" in found.notes[0]
    assert any("penalty" in note for note in found.notes)
    assert "standard errors" in found._repr_html_()
    assert found.chart().series[0].x[0] == "income, per sd"
    assert type(found.plot()).__module__.startswith("plotly")


def test_what_is_not_linear_is_refused(people: People, logistic: Pipeline) -> None:
    X, y = people
    forest = RandomForestClassifier(n_estimators=2).fit(X[["owner"]], y)
    with pytest.raises(InputError, match="model ends in RandomForestClassifier"):
        coefficients(forest, X[["owner"]])
    with pytest.raises(InputError, match='scale is "probability", on which no model'):
        coefficients(logistic, X, scale="probability")

    class Bent(LinearRegression):
        def predict(self, frame: Any) -> Any:
            return np.maximum(super().predict(frame), 0)

    bent = Bent().fit(X[["owner"]], np.where(X["owner"], 1.0, -1.0))
    with pytest.raises(ExplanationError, match="not linear on this scale"):
        coefficients(bent, X[["owner"]], scale="value")


@pytest.fixture(scope="module")
def tree(people: People) -> Pipeline:
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(add_indicator=True)), ["income"]),
            ("w", OneHotEncoder(), ["job"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=3, random_state=0)).fit(*people)


@pytest.fixture(scope="module")
def rules(people: People, tree: Pipeline) -> TreeRules:
    return tree_rules(tree, people[0])


def test_rules_give_the_model_row_by_row(people: People, tree: Pipeline, rules: TreeRules) -> None:
    X, _ = people
    says = rules.frame().set_index("leaf")["says"]
    told = says[rules.leaf_of.to_numpy()].to_numpy()
    np.testing.assert_allclose(told, tree.predict_proba(X)[:, 1])
    assert rules.frame()["n"].sum() == 300
    assert rules.frame()["share"].sum() == pytest.approx(1)


def test_rules_in_words_select_the_rows_they_speak_of(people: People) -> None:
    X = people[0].dropna()
    y = ((X["income"] > 50) & (X["job"] != "pilot")).astype(int)
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["income"]), ("w", OrdinalEncoder(), ["job"])],
        remainder="passthrough",
    )
    model = make_pipeline(columns, DecisionTreeClassifier(random_state=0)).fit(X, y)
    found = tree_rules(model, X)
    lines = found.frame().set_index("rule")
    (yes,) = lines.index[lines["says"] == 1]
    assert lines.loc[yes, "n"] == y.sum()
    assert "income above " in yes
    assert "job is not pilot" in yes
    cut = float(yes.split("income above ")[1].split(" and")[0])
    below, above = X["income"][X["income"] <= 50].max(), X["income"][X["income"] > 50].min()
    assert below - 0.01 <= cut <= above + 0.01
    case = X.index[y == 1][0]
    assert found.words(case) == f"Case {case}: {yes}, so the probability of 1 is 1."


def test_missing_values_are_told_where_they_go() -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, np.nan, np.nan] * 10})
    y = [0, 0, 1, 1, 1, 1] * 10
    native = DecisionTreeRegressor().fit(X, y)
    lines = tree_rules(native, X).frame()
    assert lines["rule"].tolist() == ["a at most 2.5", "a above 2.5 or is missing"]
    low = DecisionTreeRegressor().fit(X, [0, 0, 1, 1, 0, 0] * 10)
    lines = tree_rules(low, X, scale="value").frame()
    assert lines["rule"].tolist() == ["a at most 2.5 or is missing", "a above 2.5"]
    marked = make_pipeline(SimpleImputer(add_indicator=True), DecisionTreeRegressor()).fit(
        X, [0, 0, 0, 0, 1, 1] * 10
    )
    lines = tree_rules(marked, X, scale="value").frame()
    assert lines["rule"].tolist() == ["a is not missing", "a is missing"]
    assert lines["says"].tolist() == [0, 1]


def test_views_and_refusals(people: People, tree: Pipeline, rules: TreeRules) -> None:
    X, y = people
    assert type(rules.plot()).__module__.startswith("plotly")
    assert "another sample of training rows" in rules._repr_html_()
    with pytest.raises(InputError, match="case is 'nobody': 0 rows"):
        rules.words("nobody")
    with pytest.raises(InputError, match="leaves; at most 2 are told"):
        tree_rules(tree, X, max_leaves=2)
    with pytest.raises(InputError, match="expected a single decision tree"):
        tree_rules(make_pipeline(tree[0], LogisticRegression()).fit(X, y), X)
