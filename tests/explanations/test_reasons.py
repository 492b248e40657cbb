"""Adverse-action reasons: by hand on a scorecard, and what must never happen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.principal_reasons import Reasons
from hitl_audit.explanations.views.reason_texts import ReasonText
from hitl_audit.explanations.views.reasons import adverse_action_reasons

FloatArray = npt.NDArray[np.float64]

WEIGHTS = {"income": 2.0, "debt": -1.0, "years": 0.5}
TEXTS: dict[str, ReasonText] = {
    "income": {"below": "income too low", "above": "income (above)"},
    "debt": "too much debt",
    "years": "short time in the job",
}


def scorecard(frame: pd.DataFrame) -> FloatArray:
    """Points; "shoe" and "code" are not scored."""
    return np.asarray(sum(w * frame[c].to_numpy() for c, w in WEIGHTS.items()), dtype=np.float64)


@pytest.fixture(scope="module")
def applicants() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "income": rng.normal(size=80),
            "debt": rng.normal(size=80),
            "years": rng.normal(size=80),
            "shoe": rng.normal(size=80),
            "code": rng.choice(["a", "b"], 80),
        },
        index=[f"A{i}" for i in range(80)],
    )


@pytest.fixture(scope="module")
def decisions(applicants: pd.DataFrame) -> Any:
    return (scorecard(applicants) > 0).astype(int)


@pytest.fixture(scope="module")
def against_all(applicants: pd.DataFrame, decisions: Any) -> Reasons:
    return adverse_action_reasons(
        scorecard, applicants, decisions=decisions, scale="value", texts=TEXTS
    )


def test_scorecard_by_hand(against_all: Reasons, applicants: pd.DataFrame, decisions: Any) -> None:
    # A scorecard's Shapley value is weight · (value − mean of the comparison group).
    points = pd.DataFrame(
        {c: w * (applicants[c] - applicants[c].mean()) for c, w in WEIGHTS.items()}
    )
    found = against_all.frame()
    for case in applicants.index[decisions == 0]:
        mine = points.loc[case].sort_values()
        mine = mine[mine < 0]
        lines = found[found["case"] == case]
        assert lines["feature"].tolist() == mine.index.tolist()
        np.testing.assert_allclose(lines["attribution"], mine, atol=1e-9)
        assert lines["rank"].tolist() == list(range(1, len(mine) + 1))
    assert set(found["case"]) <= set(applicants.index[decisions == 0])


def test_only_features_that_push_to_denial_and_are_used(against_all: Reasons) -> None:
    found = against_all.frame()
    assert (found["attribution"] < 0).all()
    assert against_all.unused == ("shoe", "code")
    assert not set(found["feature"]) & {"shoe", "code"}
    assert any("changed no output: shoe, code" in note for note in against_all.notes)


def test_texts_by_direction_and_the_notes_of_a_case(
    against_all: Reasons, applicants: pd.DataFrame
) -> None:
    found = against_all.frame()
    income = found[found["feature"] == "income"]
    below = applicants.loc[income["case"], "income"].to_numpy() <= applicants["income"].median()
    assert income["text"].tolist() == [TEXTS["income"]["below" if b else "above"] for b in below]  # type: ignore[index]
    cases = against_all.cases().set_index("case")
    one = cases.index[cases["n_reasons"] == 1][0]
    assert against_all.words(one).endswith("Only 1 feature pushes towards denial.")
    assert against_all.words(one).startswith("1. ")
    assert any("have fewer than 4 reasons" in note for note in against_all.notes)
    with pytest.raises(InputError, match="not among the denied"):
        against_all.words("A999")


def test_the_comparison_group_decides(applicants: pd.DataFrame, decisions: Any) -> None:
    found = adverse_action_reasons(
        scorecard,
        applicants,
        decisions=decisions,
        scale="value",
        compare_with="just above the cut-off",
        at_most=2,
    )
    scores = pd.Series(scorecard(applicants), index=applicants.index)
    near = applicants.loc[scores[decisions == 1].nsmallest(20).index]
    assert found.compared_rows == 20
    lines = found.frame()
    case = lines["case"].iloc[0]
    expected = pd.Series(
        {c: w * (applicants[c][case] - near[c].mean()) for c, w in WEIGHTS.items()}
    )
    np.testing.assert_allclose(
        lines[lines["case"] == case]["attribution"], expected.nsmallest(2), atol=1e-9
    )
    assert lines["rank"].max() <= 2
    assert "approved applicants nearest to the cut-off" in found.notes[0]


def test_a_score_of_risk_is_turned_round(
    against_all: Reasons, applicants: pd.DataFrame, decisions: Any
) -> None:
    risk = adverse_action_reasons(
        lambda frame: -scorecard(frame),
        applicants,
        decisions=np.where(decisions == 1, "pay", "refuse"),
        denied="refuse",
        higher_output="denies",
        scale="value",
        texts=TEXTS,
    )
    columns = ["case", "rank", "feature", "text", "attribution"]
    pd.testing.assert_frame_equal(risk.frame()[columns], against_all.frame()[columns])


def test_stability_is_counted_over_other_backgrounds(
    against_all: Reasons, applicants: pd.DataFrame, decisions: Any
) -> None:
    cases = against_all.cases()
    assert cases["stability"].between(0, 1).all()
    assert cases["stability"].min() < 1  # a reason near zero does not always stay
    per_reason = against_all.frame().groupby("case")["stability"].mean()
    np.testing.assert_allclose(cases.set_index("case")["stability"][per_reason.index], per_reason)
    overall = against_all.stability().set_index("measure").loc["stability"]
    assert overall["low"] < overall["value"] < overall["high"]
    assert overall["n"] == len(cases)
    # Inputs so far from the comparison group that no background changes the order.
    far = applicants.assign(income=np.where(decisions == 1, 5, -50.0), debt=0.0, years=0.0)
    sure = adverse_action_reasons(scorecard, far, decisions=decisions, scale="value")
    assert sure.cases()["stability"].tolist() == [1.0] * int((decisions == 0).sum())
    assert sure.cases()["first_stays"].min() == 1


def test_same_seed_same_reasons(
    against_all: Reasons, applicants: pd.DataFrame, decisions: Any
) -> None:
    again = adverse_action_reasons(
        scorecard, applicants, decisions=decisions, scale="value", texts=TEXTS
    )
    pd.testing.assert_frame_equal(again.frame(), against_all.frame())
    pd.testing.assert_frame_equal(again.cases(), against_all.cases())


@pytest.fixture(scope="module")
def loans() -> tuple[pd.DataFrame, Pipeline]:
    rng = np.random.default_rng(3)
    X = pd.DataFrame(
        {
            "income": rng.gamma(2, 20, 300),
            "history": rng.choice(["good", "bad", "none"], 300),
            "owner": rng.random(300) < 0.5,
            "constant": 1.0,
        }
    )
    y = (X["income"] / 20 - 2 * (X["history"] == "bad") + rng.logistic(size=300) > 1).astype(int)
    columns = ColumnTransformer([("w", OneHotEncoder(), ["history"])], remainder="passthrough")
    model = GradientBoostingClassifier(n_estimators=20, max_depth=2, random_state=0)
    return X, make_pipeline(columns, model).fit(X, y)


def test_pipeline_with_categories(loans: tuple[pd.DataFrame, Pipeline]) -> None:
    X, model = loans
    found = adverse_action_reasons(
        model,
        X,
        decisions=model.predict(X),
        texts={
            "income": "income too low for the amount",
            "history": {"bad": "late payments", "otherwise": "no record of payments"},
            "owner": {"yes": "owner", "no": "no property"},
        },
        n_backgrounds=2,
        background_rows=30,
    )
    assert found.unused[-1] == "constant"
    texts = found.frame().query("feature == 'history' and feature_value == 'bad'")["text"]
    assert set(texts) == {"late payments"}
    chart = found.chart()
    assert chart.percent
    assert "reasons stay" in chart.message
    assert type(found.plot()).__module__.startswith("plotly")
    assert "denied cases" in found._repr_html_()


def test_a_case_without_a_reason_says_so(applicants: pd.DataFrame) -> None:
    # People denied the best case: nothing in the model speaks against it.
    best = applicants.copy()
    best.loc["A0", ["income", "debt", "years"]] = [9.0, -9.0, 9.0]
    decisions = np.array([0] + [1] * 79)
    found = adverse_action_reasons(scorecard, best, decisions=decisions, scale="value")
    assert found.frame().empty
    assert found.words("A0").startswith("No feature pushes this case towards denial")
    assert found.cases()["stability"].isna().all()
    assert found.stability()["n"].tolist() == [0, 0]
    assert "none has a reason" in found.chart().message


def test_two_equal_linear_models_agree(applicants: pd.DataFrame) -> None:
    X = applicants[["income", "debt", "years"]]
    model = LogisticRegression().fit(X, scorecard(X) > 0)
    found = adverse_action_reasons(
        model, X, decisions=model.predict(X), denied=False, scale="log-odds"
    )
    by_hand = model.coef_[0] * (X - X.mean())
    case = found.frame()["case"].iloc[0]
    lines = found.frame().query("case == @case")
    np.testing.assert_allclose(lines["attribution"], by_hand.loc[case, lines["feature"]], atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decisions": [0, 1]}, r"decisions has shape \(2,\); expected \(80,\)"),
        ({"denied": "no"}, "denied is 'no'; no decision is that"),
        ({"compare_with": "just above"}, "accepted: all, just above the cut-off"),
        ({"texts": {"income": "low"}}, "texts lacks debt, years; the model uses them"),
        ({"texts": {**TEXTS, "incme": "x"}}, "texts has 'incme'.*did you mean"),
        ({"texts": {**TEXTS, "debt": ""}}, "texts: debt is ''"),
        ({"texts": {**TEXTS, "debt": {"low": "x"}}}, 'debt has no text for "above"'),
        ({"at_most": 0}, "at_most is 0"),
        ({"n_backgrounds": 0}, "n_backgrounds is 0"),
        ({"just_above": 2}, "just_above is 2"),
    ],
)
def test_bad_arguments_are_named(
    applicants: pd.DataFrame, decisions: Any, arguments: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"decisions": decisions, "scale": "value", "n_backgrounds": 1}
    with pytest.raises(InputError, match=message):
        adverse_action_reasons(scorecard, applicants, **{**given, **arguments})
