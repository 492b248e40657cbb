"""Answers to edits: predictions, contributions, computed columns, comparisons, hard data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.what_if.answers import change_words
from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.formulas import Derivation
from tests.what_if.conftest import fitted, people, pipeline, prepared


def test_contributions_are_the_audits_before_and_after(engine: WhatIf) -> None:
    history = engine.edit(engine.edit(engine.start("P3"), "income", 61.5), "owner", True)
    X, _ = people()
    edited = X.loc[["P3"]].copy()
    edited["income"], edited["owner"] = 61.5, True
    edited["ratio"] = edited["debt"] / edited["income"]
    truth = explain(
        engine.predictor.output.model,
        pd.concat([X.loc[["P3"]], edited]),
        background=engine.background,
    )
    answer = engine.answer(history)
    assert answer.start_prediction == pytest.approx(truth.predictions[0], abs=1e-12)
    assert answer.prediction == pytest.approx(truth.predictions[1], abs=1e-12)
    contributions = answer.contributions or engine.explain(history)
    assert contributions is not None
    np.testing.assert_allclose([c.before for c in contributions.rows], truth.values[0], atol=1e-10)
    np.testing.assert_allclose([c.after for c in contributions.rows], truth.values[1], atol=1e-10)
    assert contributions.exact == truth.exact
    assert contributions.base == pytest.approx(truth.base_values[0], abs=1e-10)
    after = sum(c.after for c in contributions.rows)
    assert contributions.base + after == pytest.approx(answer.prediction, abs=1e-6)


def test_contributions_that_take_longer_come_after() -> None:
    engine = prepared("network")
    history = engine.start("P3")
    assert engine.answer(history).contributions is None
    assert engine.why_slow.startswith("contributions take longer: the model has to be asked")
    found = engine.explain(history, fresh=lambda: True)
    assert found is not None
    assert found == engine.explain(history)
    assert found.words == "exact SHAP values against 100 background rows"


def test_estimated_contributions_say_so() -> None:
    X, _ = people(60)
    wide = X[["income", "debt"]].assign(**{f"x{i}": X["age"] * i for i in range(10)})

    def model(rows: pd.DataFrame) -> Any:
        return 1 / (1 + np.exp((rows["debt"] - rows["income"]).to_numpy() / 40))

    engine = WhatIf.of(model, wide, n_permutations=2, background=wide.iloc[:10])
    found = engine.explain(engine.start_at(0))
    assert found is not None
    assert not found.exact
    assert "approximate SHAP values against 10 background rows" in found.words
    assert "estimated from 2 random orders" in found.words


def test_stale_work_is_dropped() -> None:
    engine = prepared("network")
    calls = iter([True, False])
    assert engine.explain(engine.start("P3"), fresh=lambda: next(calls)) is None


def test_the_answer_in_words() -> None:
    engine = prepared("boosting")
    start = engine.start("P0")
    first = engine.answer(start)
    assert first.words == f"{first.prediction:.1%} chance of approval"
    assert first.change_words == "as it is"
    history = engine.edit(engine.edit(start, "debt", 1.0), "age", 69)
    answer = engine.answer(history)
    points = f"{100 * answer.change:+.1f}".replace("-", "−")
    assert answer.change_words == f"your 2 edits moved it {points} points"
    assert [c.feature for c in answer.changed] == ["debt", "age", "ratio"]
    assert answer.revision == 2
    assert b'"change_words"' in canonical_bytes(answer)


@pytest.mark.parametrize(
    ("change", "edits", "words"),
    [
        (0.0, 1, "your edit moved it +0.0 points"),
        (-0.022, 2, "your 2 edits moved it −2.2 points"),
        (0.0002, 1, "your edit moved it by less than 0.1 points"),
        (0.0, 0, "as it is"),
    ],
)
def test_an_edit_is_always_acknowledged(change: float, edits: int, words: str) -> None:
    assert change_words(change, edits, scale="probability") == words


@settings(max_examples=40, deadline=None)
@given(
    income=st.floats(5, 120),
    debt=st.floats(0, 100),
    age=st.integers(18, 90),
    owner=st.booleans(),
    place=st.integers(0, 239),
)
def test_undo_gives_the_same_answer_again(
    income: float, debt: float, age: int, owner: bool, place: int
) -> None:
    engine = prepared("boosting")
    start = engine.start_at(place)
    history = start
    for feature, value in (("income", income), ("debt", debt), ("age", age), ("owner", owner)):
        try:
            history = engine.edit(history, feature, value)
        except InputError:
            continue
        ratio = history.values["ratio"]
        assert isinstance(ratio, float)
        assert ratio <= 3.0 or ratio == start.values["ratio"]
        assert history.values["age"] >= start.values["age"]  # type: ignore[operator]
        assert history.values["region"] == start.values["region"]
    while history.can_undo:
        history = history.undo()
    assert history.values == start.values
    back, first = engine.answer(history), engine.answer(start)
    assert replace(back, revision=0) == first


def test_a_computed_column_follows_and_comes_back() -> None:
    engine = prepared("boosting")
    start = engine.start("P7")
    history = engine.edit(start, "debt", 12.5)
    assert history.values["ratio"] == 12.5 / float(start.values["income"])  # type: ignore[arg-type]
    back = engine.edit(history, "debt", start.values["debt"])
    assert back.values == start.values  # not computed anew, but the case's own value


def test_edits_that_break_a_computed_column_are_refused() -> None:
    engine = prepared("boosting")
    history = engine.edit(engine.start("P7"), "income", 10)
    with pytest.raises(
        InputError, match=r"With Debt 50.0: Debt to income must be at most 3.0\d*; got 5.0"
    ):
        engine.edit(history, "debt", 50)
    X, _ = people()
    free = WhatIf.of(fitted("boosting"), X, derived={"ratio": "debt / income"})
    with pytest.raises(
        InputError, match=r"With income 0.0, ratio \(debt / income\) cannot be computed"
    ):
        free.edit(free.start("P7"), "income", 0)
    with pytest.raises(
        InputError, match="ratio cannot be changed: it is computed as debt / income"
    ):
        free.edit(free.start("P7"), "ratio", 0.3)


def test_functions_and_chains_of_computed_columns() -> None:
    X, y = people()
    X["left"] = X["income"] - X["debt"]
    X["left_share"] = X["left"] / X["income"]
    X = X[["income", "debt", "left", "left_share"]]
    engine = WhatIf.of(
        GradientBoostingClassifier(n_estimators=5).fit(X, y),
        X,
        derived={
            "left_share": "left / income",
            "left": Derivation(
                ("income", "debt"), lambda t: t["income"] - t["debt"], "what is left"
            ),
        },
    )
    values = engine.edit(engine.start("P1"), "debt", 3).values
    income = float(X.loc["P1", "income"])  # type: ignore[arg-type]
    assert values["left"] == pytest.approx(income - 3)
    assert values["left_share"] == pytest.approx((income - 3) / income)


@pytest.mark.parametrize(
    ("derived", "words"),
    [
        ({"ratio": "debt / incme"}, '"incme" is no number of the data; .*did you mean "income"'),
        ({"ratio": "debt / region"}, '"region" is no number of the data'),
        ({"region": "debt / income"}, '"region" is no number of the data'),
        ({"ratio": "debt ** 2"}, "formula"),
        ({"ratio": "debt / age", "debt": "ratio * 2"}, "computed from each other: ratio, debt"),
    ],
)
def test_computed_columns_that_cannot_be(derived: dict[str, str], words: str) -> None:
    X, _ = people()
    with pytest.raises(InputError, match=words):
        WhatIf.of(fitted("boosting"), X, derived=dict(derived))


def test_comparison_side_by_side() -> None:
    engine = prepared("boosting")
    start = engine.start("P5")
    richer = engine.edit(start, "income", 90)
    both = engine.edit(richer, "debt", 2)
    found = engine.compare({"richer": richer, "and no debt": both})
    assert [s.name for s in found.scenarios] == ["as it is", "richer", "and no debt"]
    frame = found.frame()
    assert frame["income"].tolist() == [start.values["income"], 90, 90]
    assert frame["debt"].tolist() == [start.values["debt"], start.values["debt"], 2]
    for scenario, history in zip(found.scenarios, (start, richer, both), strict=True):
        assert scenario.prediction == engine.scored(history)
    with pytest.raises(InputError, match=r"different cases \(P5, P6\)"):
        engine.compare({"a": richer, "b": engine.start("P6")})
    with pytest.raises(InputError, match="empty"):
        engine.compare({})


def test_other_classes_scales_and_values() -> None:
    X, y = people()
    model = fitted("logistic")
    other = WhatIf.of(model, X, output=0)
    assert other.scores[4] == pytest.approx(model.predict_proba(X)[4, 0], abs=1e-12)
    odds = WhatIf.of(model, X, scale="log-odds")
    assert odds.predictor.threshold == 0
    assert odds.scores[4] == pytest.approx(model.decision_function(X)[4], abs=1e-10)
    value = WhatIf.of(pipeline(GradientBoostingRegressor(n_estimators=9), X, y * 1000.0), X)
    answer = value.answer(value.start("P2"))
    assert answer.favorable is None
    assert answer.words == f"{answer.prediction:.4g} (value)".replace("-", "−")
    assert answer.contributions is not None


def test_one_row_and_a_background() -> None:
    X, _ = people()
    engine = WhatIf.of(fitted("boosting"), X.iloc[[9]], background=X.iloc[:50])
    answer = engine.answer(engine.edit(engine.start("P9"), "debt", 1))
    assert answer.distance.people == 0
    assert answer.distance.words == "There is nobody else in the data to compare with."
    assert answer.contributions is not None
    with pytest.raises(InputError, match="1 row and there is no background"):
        WhatIf.of(fitted("boosting"), X.iloc[[9]])


def test_missing_values_constants_and_typed_categories() -> None:
    X, y = people()
    X = X.assign(constant=1.0, region=X["region"].astype("category"))
    X.loc["P0", ["income", "debt"]] = np.nan
    numbers = ["income", "debt", "constant", "region"]
    model = pipeline_of_gaps(X[numbers], y)
    engine = WhatIf.of(model, X[numbers])
    start = engine.start("P0")
    assert start.values["income"] is None
    truth = model.predict_proba(X[numbers].iloc[[0]])[0, 1]
    assert engine.scored(start) == pytest.approx(truth, abs=1e-12)
    history = engine.edit(engine.edit(start, "income", 44.5), "region", "west")
    row = X[numbers].iloc[[0]].assign(income=44.5)
    row["region"] = pd.Categorical(["west"], X["region"].cat.categories)
    assert engine.scored(history) == pytest.approx(model.predict_proba(row)[0, 1], abs=1e-12)
    assert engine.scored(engine.edit(history, "income", None)) != engine.scored(history)
    assert engine.edit(history, "constant", 2).values["constant"] == 2


def pipeline_of_gaps(X: pd.DataFrame, y: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    columns = ColumnTransformer([("k", OrdinalEncoder(), ["region"])], remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20)).fit(X, y)


def test_columns_in_another_order_and_columns_the_model_does_not_read() -> None:
    X, _ = people()
    shuffled = X[["sex", "owner", "age", "region", "ratio", "debt", "income"]]
    engine = WhatIf.of(fitted("forest"), shuffled)
    assert engine.predictor.path == "trees"
    np.testing.assert_allclose(engine.scores, fitted("forest").predict_proba(X)[:, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda e: e.start("P999"), "'P999': no case of that name"),
        (lambda e: e.start_at(-1), "place is -1; expected 0 to 239"),
        (lambda e: e.edit(e.start("P1"), "incom", 3), 'did you mean "income"'),
        (
            lambda e: e.edit(e.start("P1"), "income", 500),
            "Income must be between 5.0 k\\$ and 120.0 k\\$",
        ),
        (lambda e: e.edit(e.start("P1"), "region", "west"), "region cannot be changed"),
    ],
)
def test_what_cannot_be_done_is_said(boosting: WhatIf, act: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        act(boosting)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"output": "maybe"}, "output is 'maybe'"),
        ({"constraints": [Constraint("hight")]}, '"hight"'),
        ({"background": pd.DataFrame({"income": [1.0]})}, "background lacks the columns debt"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: dict[str, Any], words: str) -> None:
    X, _ = people()
    with pytest.raises(InputError, match=words):
        WhatIf.of(fitted("boosting"), X, **arguments)


def test_repeated_case_names_are_refused() -> None:
    X, _ = people()
    X.index = pd.Index(["A"] * len(X))
    engine = WhatIf.of(fitted("boosting"), X)
    with pytest.raises(InputError, match="240 cases of that name"):
        engine.start("A")
    assert engine.start_at(3).case == "A"


def test_column_names_that_are_the_same_as_text() -> None:
    X = pd.DataFrame({1: [1.0, 2.0, 3.0], "1": [3.0, 1.0, 2.0]})
    with pytest.raises(InputError, match="names are the same as text"):
        WhatIf.of(lambda rows: np.full(len(rows), 0.5), X)


def test_a_saved_logistic_model_without_an_encoder() -> None:
    X, y = people()
    numbers = X[["income", "debt"]].to_numpy()
    engine = WhatIf.of(LogisticRegression().fit(numbers, y), numbers)
    assert engine.predictor.path == "coefficients"
    assert engine.population.features == ("x0", "x1")
    assert engine.answer(engine.edit(engine.start_at(0), "x1", 3)).contributions is not None


def test_an_extreme_value_of_a_logistic_model_is_explained_by_asking() -> None:
    X, y = people()
    wide = X[["income", "debt", "age"]].assign(**{f"x{i}": X["debt"] ** (i / 10) for i in range(9)})
    engine = WhatIf.of(LogisticRegression(max_iter=20_000).fit(wide, y), wide, n_permutations=2)
    start = engine.start("P1")
    assert engine.answer(start).contributions is not None
    extreme = engine.edit(start, "income", 1e6)
    answer = engine.answer(extreme)
    assert answer.prediction == pytest.approx(1.0)
    assert answer.contributions is None
    found = engine.explain(extreme)
    assert found is not None
    total = found.base + sum(c.after for c in found.rows)
    assert total == pytest.approx(answer.prediction, abs=1e-6)
