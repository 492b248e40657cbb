"""Wrong input at the doors is refused by name, not by a traceback from deep inside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.trust.faithfulness import faithfulness
from hitl_audit.explanations.trust.quality import quality
from hitl_audit.explanations.trust.stability import stability
from hitl_audit.explanations.views.monotonicity import monotonicity
from hitl_audit.explanations.views.permutation import permutation_importance
from hitl_audit.explanations.views.reasons import adverse_action_reasons
from hitl_audit.explanations.views.rules import rule_for_case
from hitl_audit.explanations.views.surrogate import surrogate
from hitl_audit.explanations.views.transparent import coefficients
from hitl_audit.explanations.views.tree_rules import tree_rules

Floats = npt.NDArray[np.float64]


def fitted(X: pd.DataFrame, y: Any, last: Any) -> Pipeline:
    columns = make_column_transformer(
        (SimpleImputer(), ["income", "debt"]), (OneHotEncoder(), ["city"])
    )
    return make_pipeline(columns, last).fit(X, y)


@pytest.fixture(scope="module", name="X")
def raw_table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {
            "income": rng.normal(0, 1, 80),
            "debt": rng.normal(0, 1, 80),
            "city": rng.choice(["north", "south"], 80),
        }
    )
    table.loc[:7, "debt"] = np.nan
    return table


@pytest.fixture(scope="module")
def y(X: pd.DataFrame) -> npt.NDArray[np.int_]:
    return (X["income"] + (X["city"] == "north") > 0.4).to_numpy().astype(int)


@pytest.fixture(scope="module")
def linear(X: pd.DataFrame, y: Any) -> Pipeline:
    return fitted(X, y, LogisticRegression())


@pytest.fixture(scope="module")
def tree(X: pd.DataFrame, y: Any) -> Pipeline:
    return fitted(X, y, DecisionTreeClassifier(max_depth=3, random_state=0))


@pytest.fixture(scope="module")
def explanation(linear: Pipeline, X: pd.DataFrame) -> Explanation:
    return explain(linear, X[:6], background=X)


@pytest.fixture(scope="module")
def says(linear: Pipeline) -> Callable[[pd.DataFrame], Floats]:
    return lambda frame: np.asarray(linear.predict_proba(frame)[:, 1])


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda X: X.drop(columns="debt"),
        lambda X: X.rename(columns={"income": "wages"}),
        lambda X: X.assign(income="high"),
        lambda X: X.assign(income=np.inf),
    ],
)
def test_rows_that_the_model_cannot_read_are_said_to_be_so(
    linear: Pipeline, tree: Pipeline, X: pd.DataFrame, spoiled: Callable[..., pd.DataFrame]
) -> None:
    with pytest.raises(ExplanationError, match="the model failed"):
        coefficients(linear, spoiled(X))
    with pytest.raises(ExplanationError, match="the model failed"):
        tree_rules(tree, spoiled(X))


def test_the_wrong_kind_of_model_is_named_without_a_scale_nobody_set(
    linear: Pipeline, tree: Pipeline, X: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match=r"ends in DecisionTreeClassifier, which has no coeffic"):
        coefficients(tree, X)
    with pytest.raises(InputError, match=r"^model ends in Logistic\w+; expected a single decision"):
        tree_rules(linear, X)
    with pytest.raises(InputError, match='scale is "probability"'):
        coefficients(linear, X, scale="probability")
    with pytest.raises(InputError, match='scale is "log-odds"; expected'):
        tree_rules(tree, X, scale="log-odds")


def test_a_column_without_any_value_has_rules_without_a_warning(
    tree: Pipeline, X: pd.DataFrame
) -> None:
    rows = X[:8]
    told = tree_rules(tree, rows)
    said = told.rules.set_index("leaf")["says"].loc[told.leaf_of.to_numpy()].to_numpy()
    np.testing.assert_allclose(said, tree.predict_proba(rows)[:, 1])


@pytest.mark.parametrize("background", [None, [1, 2], "all", np.arange(5.0), pd.DataFrame()])
def test_a_background_that_is_no_table_is_refused(
    explanation: Explanation, says: Any, background: Any
) -> None:
    with pytest.raises(InputError, match=r"^background has shape"):
        faithfulness(explanation, says, background)


def test_repeated_columns_of_a_background_are_named(
    explanation: Explanation, says: Any, X: pd.DataFrame
) -> None:
    twice = pd.concat([X, X[["debt"]]], axis=1)
    with pytest.raises(InputError, match="background has repeated columns: debt"):
        faithfulness(explanation, says, twice)
    with pytest.raises(InputError, match="pool has repeated columns: debt"):
        stability(explanation, lambda rows, behind: explanation, pool=twice)


def test_trust_takes_explanations_and_functions(
    explanation: Explanation, linear: Pipeline, says: Any, X: pd.DataFrame
) -> None:
    wrong: Any = explanation.frame()
    model: Any = linear
    with pytest.raises(InputError, match="explanation is a DataFrame; expected an Explanation"):
        faithfulness(wrong, says, X)
    with pytest.raises(InputError, match="explanation is a DataFrame; expected an Explanation"):
        stability(wrong, pool=X)
    with pytest.raises(InputError, match="shap_explanation is a DataFrame"):
        quality(wrong)
    with pytest.raises(InputError, match="lime_explanation is a DataFrame"):
        quality(explanation, wrong)
    with pytest.raises(InputError, match="model is a Pipeline; expected a function"):
        faithfulness(explanation, model, X)
    with pytest.raises(InputError, match="explain is a Pipeline; expected a function"):
        stability(explanation, model, pool=X)


def test_a_failing_model_or_metric_is_named(
    explanation: Explanation, linear: Pipeline, X: pd.DataFrame, y: Any
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("no rows")

    with pytest.raises(ExplanationError, match="the model failed on 6 rows: ZeroDivisionError"):
        faithfulness(explanation, broken, X)
    with pytest.raises(InputError, match="metric broken failed: ZeroDivisionError: no rows"):
        permutation_importance(linear, X, y, metric=broken)
    with pytest.raises(InputError, match="returned nan; expected a finite number"):
        permutation_importance(linear, X, y, metric=lambda y, found: float("nan"))


def test_a_bar_that_is_no_number_is_refused(explanation: Explanation) -> None:
    bar: Any = "high"
    with pytest.raises(InputError, match="score_at_least is 'high'; expected a share"):
        quality(explanation, score_at_least=bar)


@pytest.mark.parametrize("threshold", ["half", float("nan"), None])
def test_a_threshold_is_a_number(linear: Pipeline, X: pd.DataFrame, threshold: Any) -> None:
    with pytest.raises(InputError, match="threshold is"):
        rule_for_case(linear, X, 0, threshold=threshold)
    if threshold is not None:
        with pytest.raises(InputError, match="threshold is"):
            surrogate(linear, X, threshold=threshold)


def test_a_rule_is_for_one_case_and_two_decisions(linear: Pipeline, X: pd.DataFrame) -> None:
    several: Any = [0, 1]
    row: Any = X.iloc[0]
    word: Any = "yes"
    for case, kind in ((several, "list"), (row, "Series")):
        with pytest.raises(InputError, match=f"case is a {kind}; expected a label"):
            rule_for_case(linear, X, case)
    with pytest.raises(InputError, match="decision_words is 'yes'; expected two texts"):
        rule_for_case(linear, X, 0, decision_words=word)


@pytest.mark.parametrize("directions", [None, "income", 3])
def test_directions_are_a_list_or_a_mapping(
    linear: Pipeline, X: pd.DataFrame, directions: Any
) -> None:
    with pytest.raises(InputError, match=r"directions is .*; expected a list of features"):
        monotonicity(linear, X, directions)


def test_texts_are_a_mapping(linear: Pipeline, X: pd.DataFrame) -> None:
    texts: Any = "too little income"
    with pytest.raises(InputError, match="texts is a str; expected a mapping"):
        adverse_action_reasons(linear, X, decisions=[0, 1] * 40, texts=texts)


def test_a_seed_fits_a_seed(linear: Pipeline, X: pd.DataFrame, y: Any) -> None:
    with pytest.raises(InputError, match=r"random_state is \d+; expected an integer below"):
        permutation_importance(linear, X, y, random_state=2**70)
