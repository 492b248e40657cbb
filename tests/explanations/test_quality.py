"""Agreement, stability and the bar, on explanations small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.trust.faithfulness import FAITHFULNESS_MEASURES, Faithfulness
from hitl_audit.explanations.trust.quality import quality
from hitl_audit.explanations.trust.stability import Stability


def explanation(values: list[list[float]], method: str = "shap", **changes: Any) -> Explanation:
    attributions = np.array(values)
    n, p = attributions.shape
    fields: dict[str, Any] = {
        "values": attributions,
        "base_values": np.zeros(n),
        "data": pd.DataFrame(np.zeros((n, p)), columns=list("abcdefgh"[:p])),
        "method": method,
        "algorithm": "exact",
        "exact": True,
        "scale": "probability",
        "output": 1,
        "predictions": attributions.sum(axis=1),
        "background_digest": digest("none"),
        "background_size": 1,
        "random_state": 0,
        "seconds": 0.0,
    }
    if method == "lime":
        fields |= {"spread": np.full((n, p), 0.1), "score": np.full(n, 0.8), "n_seeds": 5}
    return Explanation(**{**fields, **changes})


def test_agreement_by_hand() -> None:
    shap = explanation([[4.0, -3.0, 2.0, 1.0, 0.0], [4.0, -3.0, 2.0, 1.0, 0.5]])
    lime = explanation([[4.0, 2.0, -3.0, 0.5, 1.0], [4.0, -3.0, 2.0, 1.0, 0.5]], "lime")
    rows = quality(shap, lime, k=3).frame()
    # Row 0, top 3: a −b c against a −c b. All shared; a alone in place; a alone in sign.
    assert rows.loc[0, "feature_agreement"] == 1
    assert rows.loc[0, "rank_agreement"] == pytest.approx(1 / 3)
    assert rows.loc[0, "sign_agreement"] == pytest.approx(1 / 3)
    assert rows.loc[0, "signed_rank_agreement"] == pytest.approx(1 / 3)
    # Ranks 5 4 3 2 1 and 5 3 4 1 2: 1 − 6 · 4 / (5 · 24) = .8
    assert rows.loc[0, "spearman"] == pytest.approx(0.8)
    for name in ("feature_agreement", "rank_agreement", "sign_agreement", "spearman"):
        assert rows.loc[1, name] == pytest.approx(1)
    assert rows.loc[1, "instability"] == pytest.approx(0.1 / 2.1)


def test_the_bar_is_held_exactly_and_reasons_are_words() -> None:
    shap = explanation([[5.0, 4.0, 3.0, 2.0, 1.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    lime = explanation([[5.0, 4.0, 3.0, -2.0, -1.0], [5.0, 4.0, -3.0, -2.0, -1.0]], "lime")
    rows = quality(shap, lime, k=5, sign_agreement_at_least=0.6).frame()
    assert rows["reliable"].tolist() == [True, False]  # 3 of 5 clears 0.6
    assert rows["reason"].tolist() == [
        "two methods agree on 3 of the 5 strongest factors (3 needed)",
        "two methods agree on 2 of the 5 strongest factors (3 needed)",
    ]


def test_values_that_do_not_add_up_are_not_reliable() -> None:
    shap = explanation([[1.0, 2.0], [1.0, 2.0]], predictions=np.array([3.0, 3.1]))
    rows = quality(shap).frame()
    assert rows["additive"].tolist() == [True, False]
    assert rows["reliable"].tolist() == [True, False]
    assert "no second method was compared" in rows["reason"][0]
    assert "miss the prediction by 0.1" in rows["reason"][1]


def test_a_row_may_miss_by_what_the_models_own_rounding_allows() -> None:
    missed = np.array([3.0 + 4e-6, 3.0 + 4e-6, 3.0 + 4e-7])
    shap = explanation(
        [[1.0, 2.0]] * 3, predictions=missed, resolution=np.array([5e-6, 1e-6, 1e-8])
    )
    rows = quality(shap).frame()
    assert rows["additive"].tolist() == [True, False, True]
    assert rows["reliable"].tolist() == [True, False, True]
    assert "by 4e-06 (accepted: 1e-06)" in rows["reason"][1]
    assert quality(shap, tolerance=1e-5).frame()["additive"].all()
    assert not quality(replace(shap, resolution=None)).frame()["additive"][0]
    assert quality(shap.select([2, 0])).frame()["additive"].all()
    chosen = shap.select([1]).resolution
    assert chosen is not None
    assert chosen.tolist() == [1e-6]


def test_log_odds_of_single_precision_are_reliable_as_far_as_the_model_can_say_them() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    y = (X["a"] * X["b"] + X["c"] > 0).astype(int)
    model = xgboost.XGBClassifier(n_estimators=120, max_depth=4, learning_rate=0.3).fit(X, y)
    found = explain(model, X.iloc[:200], background=X.iloc[200:250], scale="log-odds")
    assert np.abs(found.residual).max() > 1e-6  # what a fixed tolerance would refuse
    assert quality(found).frame()["reliable"].all()
    wrong = replace(found, values=found.values + 1)
    assert not quality(wrong).frame()["additive"].any()


def test_a_zero_has_no_sign_and_a_constant_no_rank() -> None:
    shap, lime = explanation([[0.0, 0.0]]), explanation([[0.0, 0.0]], "lime")
    rows = quality(shap, lime).frame()
    assert rows.loc[0, "sign_agreement"] == 0
    assert rows[["spearman", "instability"]].isna().all(axis=None)
    summary = quality(shap, lime).summary().set_index("measure")
    assert summary.loc["spearman", "n"] == 0


def test_summary_names_its_intervals() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 8))
    shap = explanation(values.tolist())
    lime = explanation((values + rng.normal(size=(50, 8))).tolist(), "lime")
    found = quality(shap, lime)
    summary = found.summary().set_index("measure")
    additive = summary.loc["additive"]
    assert (additive["value"], additive["interval"], additive["n"]) == (1.0, "Wilson", 50)
    assert additive["low"] == pytest.approx(50 / (50 + 1.959964**2))
    agreement = summary.loc["sign_agreement"]
    assert agreement["low"] < agreement["value"] < agreement["high"]
    assert agreement["value"] == pytest.approx(found.frame()["sign_agreement"].mean())
    assert "bootstrap over rows" in agreement["interval"]
    assert summary.loc["score", "value"] == pytest.approx(0.8)
    pd.testing.assert_frame_equal(found.summary(), found.summary())
    assert "reliable" in found._repr_html_()


@pytest.mark.parametrize(
    ("lime", "arguments", "message"),
    [
        (explanation([[1.0, 2.0, 3.0]], "lime"), {}, "differ in feature_names"),
        (explanation([[1.0, 2.0]], "lime", scale="log-odds"), {}, "differ in scale"),
        (explanation([[1.0, 2.0]] * 2, "lime"), {}, "different rows"),
        (explanation([[1.0, 2.0]]), {}, 'lime_explanation is a "shap" explanation'),
        (None, {"k": 0}, "k is 0; expected at least 1"),
        (None, {"sign_agreement_at_least": 60}, "expected a share from 0 to 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    lime: Explanation | None, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        quality(explanation([[1.0, 2.0]]), lime, **arguments)


def test_by_group_as_overall_within_the_group() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 8))
    noise = rng.normal(size=(60, 8)) * np.repeat([0.2, 3.0], 30)[:, np.newaxis]
    shap, lime = explanation(values.tolist()), explanation((values + noise).tolist(), "lime")
    found = quality(shap, lime, sign_agreement_at_least=0.8)
    groups = found.by_group(np.repeat(["calm", "wild"], 30))
    table: Any = groups.frame().set_index(["measure", "group"])
    for group, part in (("calm", slice(0, 30)), ("wild", slice(30, 60))):
        rows = found.frame().iloc[part]
        for measure in ("reliable", "additive", "sign_agreement", "spearman", "score"):
            assert table.loc[(measure, group), "value"] == pytest.approx(rows[measure].mean())
        assert table.loc[("reliable", group), "interval"] == "Wilson"
    gap = groups.differences().set_index("measure").loc["sign_agreement"]
    assert (gap["highest"], gap["lowest"], gap["status"]) == ("calm", "wild", "measured")
    assert 0 < gap["low"] < gap["value"] < gap["high"]
    assert gap["p_value"] < 0.01


def test_several_outputs_are_judged_one_by_one() -> None:
    one = explanation([[1.0, 2.0]])
    three = replace(one, values=np.ones((1, 2, 3)), predictions=np.ones((1, 3)))
    assert quality(one).frame()["reliable"].shape == (1,)
    with pytest.raises(InputError, match=r"shape \(1, 2, 3\); expected those of one output"):
        quality(three)


def faithful(shares: list[float]) -> Faithfulness:
    rows = pd.DataFrame({name: np.zeros(len(shares)) for name in FAITHFULNESS_MEASURES})
    return Faithfulness(rows.assign(beats_random=shares), 2, 10, 10, 0)


def stable(background: list[float], sensitivity: list[float]) -> Stability:
    rows = pd.DataFrame({"background_instability": background, "relative_sensitivity": sensitivity})
    return Stability(rows, 2, None, 0, ())


def test_further_bars_say_in_words_what_fails() -> None:
    shap, lime = explanation([[2.0, 1.0]] * 4), explanation([[2.0, 1.0]] * 4, "lime")
    found = quality(
        shap,
        lime,
        faithfulness=faithful([0.9, 0.3, 0.9, 0.29]),
        stability=stable([0.1, 0.1, 0.5, np.nan], [0.2, 0.2, 0.2, 0.6]),
        score_at_least=0.8,
        instability_at_most=0.1,
        background_instability_at_most=0.3,
        relative_sensitivity_at_most=0.5,
        beats_random_at_least=0.3,
    )
    rows = found.frame()
    assert rows["reliable"].tolist() == [True, True, False, False]
    assert rows["reason"][0] == (
        "two methods agree on 2 of the 2 strongest factors (2 needed); 5 further checks passed"
    )
    assert rows["reason"][2] == (
        "another choice of comparison cases moves the factors by 50 % on average "
        "(up to 30 % accepted)"
    )
    assert rows["reason"][3] == (
        "no factor counts in this case, so its stability cannot be told; "
        "changes of the case too small to matter move the factors by up to 60 % "
        "(up to 50 % accepted); "
        "the factors named as strongest move the prediction more than 29 % of random choices do "
        "(30 % needed)"
    )
    assert {"beats_random", "relative_sensitivity"} <= set(found.summary()["measure"])


def test_bars_of_lime_itself() -> None:
    shap, lime = explanation([[2.0, 1.0]]), explanation([[2.0, 1.0]], "lime")
    rows = quality(shap, lime, score_at_least=0.9, instability_at_most=0.05).frame()
    assert rows["reason"][0] == (
        "LIME's simple model follows 80 % of the model's ups and downs around this case "
        "(90 % needed); repeating LIME with other random draws moves its weights by 7 % on "
        "average (up to 5 % accepted)"
    )
    nothing = explanation([[0.0, 0.0]], "lime")
    flat = quality(explanation([[0.0, 0.0]]), nothing, instability_at_most=1.0).frame()
    assert "its stability cannot be told" in flat["reason"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beats_random_at_least": 0.5}, "beats_random was not measured; expected faithfulness"),
        ({"score_at_least": 0.5}, "score was not measured; expected a LIME explanation"),
        ({"relative_sensitivity_at_most": 0.5}, "expected stability under noise"),
        ({"beats_random_at_least": 50.0}, "beats_random_at_least is 50.0; expected a share"),
        ({"instability_at_most": -1.0}, "instability_at_most is -1.0; expected a number"),
        ({"faithfulness": faithful([0.5, 0.5])}, "faithfulness is of other rows"),
        ({"stability": stable([0.5, 0.5], [0.5, 0.5])}, "stability is of other rows"),
    ],
)
def test_bars_without_a_measure_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        quality(explanation([[1.0, 2.0]]), **arguments)
