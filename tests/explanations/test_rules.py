"""Rules of a case: a planted rule is found, its numbers are those of an exact count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.rules import rule_for_case
from hitl_audit.intervals import Count, clopper_pearson, wilson

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 500
    return pd.DataFrame(
        {
            "income": rng.uniform(0, 10, n).round(2),
            "history": rng.choice(["good", "bad"], n),
            "owner": rng.random(n) < 0.5,
            "age": rng.integers(20, 60, n),
        },
        index=[f"P{i}" for i in range(n)],
    )


def denies(frame: pd.DataFrame) -> FloatArray:
    """Denied (0) exactly when the history is bad and the income is below the second fifth."""
    bad = (frame["history"] == "bad") & (frame["income"] <= 4.5)
    return np.where(bad, 0.0, 1.0)


@pytest.fixture(scope="module")
def case(people: pd.DataFrame) -> str:
    poor = people[(people["history"] == "bad") & (people["income"] < 1)]
    return str(poor.index[0])


def test_the_planted_rule_is_found(people: pd.DataFrame, case: str) -> None:
    found = rule_for_case(denies, people, case, decision_words=("deny", "approve"))
    assert found.holds
    assert {c.feature for c in found.conditions} == {"income", "history"}
    income = next(c for c in found.conditions if c.feature == "income")
    # Of the ranges that keep the decision the widest one: up to the second fifth.
    assert income.above is None
    assert income.up_to == np.quantile(people["income"], 0.4, method="inverted_cdf")
    assert found.precision == 1.0
    expected = clopper_pearson(Count(2000, 2000))
    assert (found.precision_low, found.precision_high) == expected
    met = (people["history"] == "bad") & (people["income"] <= income.up_to)
    assert found.coverage == met.mean()
    assert (found.coverage_low, found.coverage_high) == wilson(Count(int(met.sum()), 500))
    assert (found.real_agree, found.real_n) == (met.sum(), met.sum())
    assert found.words.startswith("When income at most")
    assert "history is bad, the model says deny in 100% of draws" in found.words
    assert found.base_rate == (denies(people) == 0).mean()


def test_precision_is_unbiased_on_fresh_draws(people: pd.DataFrame, case: str) -> None:
    # A model that flips a coin on the age: no rule about the others can be precise.
    def noisy(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(np.where(frame["age"] % 2 == 0, 1.0, 0.0) * (frame["history"] == "bad"))

    one = people.index[(people["history"] == "bad") & (people["age"] % 2 == 0)][0]
    found = rule_for_case(noisy, people, one, max_conditions=1, n_draws=5000)
    assert not found.holds
    assert "does not clear the bar of 95%" in found.words
    # The exact precision of the reported rule, over all its draws.
    (condition,) = found.conditions
    pool = people[condition.feature][condition.holds(people[condition.feature])]
    exact = np.mean(
        [noisy(people.assign(**{condition.feature: v})).mean() for v in pool.unique()]
        if condition.feature == "history"
        else [noisy(people.assign(age=int(v))).mean() for v in pool]
    )
    assert found.precision_low <= exact <= found.precision_high


def test_a_model_that_always_says_so_needs_no_condition(people: pd.DataFrame, case: str) -> None:
    found = rule_for_case(lambda f: np.ones(len(f)), people, case)
    assert found.conditions == ()
    assert found.coverage == 1
    assert found.words.startswith("Whatever the values are, the model says probability of 1 of at")


def test_missing_values_and_rare_categories_can_be_conditions(people: pd.DataFrame) -> None:
    X = people.copy()
    X["income"] = X["income"].where(X.index.isin(X.index[40:]))
    X["job"] = [f"job {i % 25}" for i in range(len(X) - 1)] + ["poet"]

    def model(frame: pd.DataFrame) -> FloatArray:
        return np.asarray((frame["income"].isna() | (frame["job"] == "poet")).astype(float))

    found = rule_for_case(model, X, X.index[3])
    assert [c.words for c in found.conditions] == ["income is missing"]
    poet = rule_for_case(model, X, X.index[-1])
    assert [c.words for c in poet.conditions] == ["job is poet"]
    assert poet.real_n == 1
    assert any("only 1 real rows" in note for note in poet.notes)


def test_a_case_from_elsewhere(people: pd.DataFrame) -> None:
    new = pd.DataFrame({"history": ["bad"], "income": [-3.0], "age": [30], "owner": [True]})
    found = rule_for_case(denies, people, new)
    assert {c.feature for c in found.conditions} == {"income", "history"}
    assert found.case == 0
    assert found.n_rows == 500


def test_pipeline_seed_and_views(people: pd.DataFrame, case: str) -> None:
    columns = ColumnTransformer([("w", OneHotEncoder(), ["history"])], remainder="passthrough")
    forest = RandomForestClassifier(n_estimators=10, max_depth=5, random_state=0)
    model = make_pipeline(columns, forest).fit(people, denies(people))
    found = rule_for_case(model, people, case, n_draws=500)
    assert found.holds
    again = rule_for_case(model, people, case, n_draws=500)
    assert again.conditions == found.conditions
    pd.testing.assert_frame_equal(again.frame(), found.frame())
    table = found.frame().set_index("measure")
    assert table.loc["precision", "interval"] == "Clopper-Pearson"
    assert table.loc["coverage", "interval"] == "Wilson"
    assert found.chart().message.startswith(f"Case {case}: When ")
    assert type(found.plot()).__module__.startswith("plotly")
    assert "precision on real rows" in found._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"case": "P9999"}, "case is 'P9999': 0 rows of X have that label"),
        ({"case": pd.DataFrame({"income": [1.0, 2.0]})}, "case has 2 rows; expected one"),
        ({"precision_at_least": 95}, "precision_at_least is 95"),
        ({"max_conditions": 0}, "max_conditions is 0"),
        ({"n_draws": 10}, "n_draws is 10; expected an integer of at least 100"),
    ],
)
def test_bad_arguments_are_named(
    people: pd.DataFrame, case: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        rule_for_case(denies, people, **{"case": case, **arguments})
