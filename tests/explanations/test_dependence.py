"""Partial dependence and ICE: against scikit-learn, by hand, and with awkward columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.inspection import partial_dependence as sklearn_dependence
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError
from hitl_audit.explanations.views import asking
from hitl_audit.explanations.views.dependence import partial_dependence


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    income = rng.gamma(2, 20, n).round(1)
    return pd.DataFrame(
        {
            "income": income,
            "spending": income + rng.normal(size=n),
            "age": rng.integers(20, 60, n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "owner": rng.random(n) < 0.4,
            "region": pd.Categorical(rng.choice(["n", "s"], n), categories=["n", "s", "w"]),
        },
        index=[f"case-{i}" for i in range(n)],
    )


@pytest.fixture(scope="module")
def boosted(people: pd.DataFrame) -> Pipeline:
    score = people["income"] / 20 + 2 * (people["job"] == "nurse") * people["owner"]
    columns = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore"), ["job", "region"])],
        remainder="passthrough",
    )
    model = GradientBoostingClassifier(n_estimators=20, random_state=0)
    return make_pipeline(columns, model).fit(people, score > score.median())


@pytest.mark.parametrize("feature", ["age", "job", "owner"])
def test_equals_scikit_learn(people: pd.DataFrame, boosted: Pipeline, feature: str) -> None:
    found = partial_dependence(boosted, people, feature, grid=100)
    points = list(found.frame()["value"])
    theirs = sklearn_dependence(
        boosted,
        people.astype({"age": float}),  # scikit-learn refuses columns of integers
        [feature],
        custom_values={feature: np.array(points)},
        method="brute",
        response_method="predict_proba",
        kind="both",
    )
    np.testing.assert_allclose(found.frame()["average"], theirs["average"][0], atol=1e-12)
    assert found.individual is not None
    np.testing.assert_allclose(found.individual, theirs["individual"][0], atol=1e-12)
    assert len(points) == people[feature].nunique()


def test_regressor_with_missing_values_by_hand(people: pd.DataFrame) -> None:
    X = people[["income", "age"]].copy()
    X.loc[X.index[::5], "income"] = np.nan
    model = HistGradientBoostingRegressor(max_iter=10).fit(
        X, X["income"].fillna(100) + people["age"]
    )
    found = partial_dependence(model, X, "income", grid=5)
    points = found.frame()
    assert points["missing"].tolist() == [False] * 5 + [True]
    assert set(points["value"][:5]) <= set(X["income"])
    for point in points.itertuples():
        moved = X.assign(income=float("nan") if point.missing else float(str(point.value)))
        assert point.average == pytest.approx(model.predict(moved).mean())
    assert points["n_near"].sum() == len(X)
    assert points["n_near"].iloc[-1] == 24
    chart = found.chart()
    assert chart.thresholds[0][1] == "income missing (n = 24)"
    low, high = chart.value_range or (0.0, 0.0)
    assert low < chart.thresholds[0][0] < high


def test_interval_is_that_of_a_mean_over_rows(people: pd.DataFrame) -> None:
    def model(frame: pd.DataFrame) -> Any:
        return frame["income"].to_numpy() + 3.0 * frame["age"].to_numpy()

    found = partial_dependence(model, people, "income", grid=[0, 10], scale="value").frame()
    half = 1.96 * 3 * people["age"].std(ddof=1) / np.sqrt(len(people))
    assert found["high"][0] - found["average"][0] == pytest.approx(half, rel=0.1)
    # The change of an additive model is the same for every row.
    assert found["change"].tolist() == pytest.approx([0, 10])
    assert found["change_low"].tolist() == pytest.approx([0, 10])
    assert "bootstrap over rows" in found["interval"][0]


@pytest.mark.parametrize("feature", ["income", "age", "job", "owner", "region"])
def test_model_meets_the_dtypes_of_the_data(people: pd.DataFrame, feature: str) -> None:
    X = people.assign(age=people["age"].astype("Int64"))
    X.loc[X.index[:3], "age"] = pd.NA
    X.loc[X.index[:3], "job"] = None

    def model(frame: pd.DataFrame) -> Any:
        pd.testing.assert_series_equal(frame.dtypes, X.dtypes)
        return frame["income"].to_numpy()

    found = partial_dependence(model, X, feature, grid=4, scale="value")
    assert found.frame()["missing"].sum() == (feature in ("age", "job"))
    assert type(found.plot()).__module__.startswith("plotly")
    assert len(found.cases()) == len(X) * len(found.frame())


def test_batches_change_nothing(
    people: pd.DataFrame, boosted: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = partial_dependence(boosted, people, "age", grid=7)
    sizes = []

    def model(frame: pd.DataFrame) -> Any:
        sizes.append(len(frame))
        return boosted.predict_proba(frame)

    monkeypatch.setattr(asking, "BATCH_ROWS", 300)
    parts = partial_dependence(model, people, "age", grid=7)
    pd.testing.assert_frame_equal(whole.frame(), parts.frame())
    assert sizes == [1, 240, 240, 240, 120]  # first: how many values a row has


def test_notes_say_what_the_average_hides(people: pd.DataFrame, boosted: Pipeline) -> None:
    found = partial_dependence(boosted, people, "income", kind="average", max_rows=50)
    assert any("income moves with spending (Spearman +1.00)" in note for note in found.notes)
    assert "50 rows sampled from 120" in found.notes[0]
    assert found.individual is None
    assert found.cases().empty
    pd.testing.assert_frame_equal(
        found.frame(),
        partial_dependence(
            boosted, people.sample(frac=1, random_state=1), "income", kind="average", max_rows=50
        ).frame(),
    )
    outside = partial_dependence(boosted, people, "income", grid=[-5, 20])
    assert any("1 points lie outside" in note for note in outside.notes)


def test_chart_shows_curve_cases_and_where_the_rows_are(
    people: pd.DataFrame, boosted: Pipeline
) -> None:
    chart = partial_dependence(boosted, people, "income").chart()
    names = [s.name for s in chart.series]
    assert names[0] == "average (partial dependence)"
    assert names[-1] == "deciles of the rows"
    assert sum(name.startswith("case case-") for name in names) == 4
    assert chart.kind == "lines"
    jobs = partial_dependence(boosted, people, "job").chart()
    assert jobs.kind == "intervals"
    assert jobs.series[0].notes[1] == f"n = {(people['job'] == 'nurse').sum()}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feature": "incom"}, 'no such column; did you mean "income"'),
        ({"feature": "job", "grid": ["clerk", "baker"]}, "grid has baker: not a value of job"),
        ({"feature": "income", "grid": 1}, "grid is 1"),
        ({"feature": "income", "grid": ["a"]}, "income holds numbers"),
        ({"feature": "income", "kind": "bot"}, 'kind is "bot"; accepted'),
        ({"feature": "income", "confidence": 95}, "confidence is 95"),
        ({"feature": "income", "max_rows": -1}, "max_rows is -1"),
    ],
)
def test_bad_arguments_are_named(
    people: pd.DataFrame, boosted: Pipeline, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        partial_dependence(boosted, people, **arguments)


def test_columns_that_have_no_points_are_refused(people: pd.DataFrame) -> None:
    def model(frame: pd.DataFrame) -> Any:
        return np.zeros(len(frame))

    X = people.assign(day=pd.Timestamp("2026-01-01"), nothing=np.nan)
    with pytest.raises(InputError, match='column "day" is of type datetime64'):
        partial_dependence(model, X, "day")
    with pytest.raises(InputError, match='column "nothing" has no value in 120 rows'):
        partial_dependence(model, X, "nothing")
