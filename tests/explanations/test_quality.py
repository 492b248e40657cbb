"""Agreement, stability and the bar, on explanations small enough to count by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.quality import quality


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
