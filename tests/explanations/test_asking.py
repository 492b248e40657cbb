"""Every view on models that take arrays, on several classes, and on what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.views.asking import (
    ask_with,
    feature_grid,
    features_used,
    read_subject,
    value_words,
)
from hitl_audit.explanations.views.dependence import partial_dependence
from hitl_audit.explanations.views.local_effects import accumulated_local_effects
from hitl_audit.explanations.views.monotonicity import monotonicity
from hitl_audit.explanations.views.permutation import permutation_importance
from hitl_audit.explanations.views.reasons import adverse_action_reasons
from hitl_audit.explanations.views.rules import rule_for_case
from hitl_audit.explanations.views.surrogate import surrogate

FloatArray = npt.NDArray[np.float64]
NAMES = ["a", "b", "c"]

VIEWS: dict[str, Callable[..., Any]] = {
    "dependence": lambda m, X, y, **k: partial_dependence(m, X, "b", grid=4, **k).frame(),
    "local effects": lambda m, X, y, **k: accumulated_local_effects(m, X, "b", grid=4, **k).frame(),
    "permutation": lambda m, X, y, **k: permutation_importance(m, X, y, n_repeats=2, **k).frame(),
    "monotonicity": lambda m, X, y, **k: monotonicity(m, X, ["b"], grid=4, **k).frame(),
    "rules": lambda m, X, y, **k: rule_for_case(m, X, 0, n_draws=100, **k).frame(),
    "surrogate": lambda m, X, y, **k: surrogate(m, X, **k).frame(),
    "reasons": lambda m, X, y, **k: adverse_action_reasons(
        m, X, decisions=np.arange(len(X)) % 9, background_rows=10, n_backgrounds=1, **k
    ).frame(),
}


@pytest.fixture(scope="module")
def three() -> tuple[FloatArray, Any, RandomForestClassifier]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])
    return X, y, RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0).fit(X, y)


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_frames_and_callables_tell_the_same(
    name: str, three: tuple[FloatArray, Any, RandomForestClassifier]
) -> None:
    X, y, model = three

    def ask(rows: Any) -> FloatArray:
        assert isinstance(rows, np.ndarray)
        return np.asarray(model.predict_proba(rows)[:, 2])

    view = VIEWS[name]
    frame = pd.DataFrame(X, columns=NAMES)
    one = view(model, X, y, output=2, feature_names=NAMES)
    pd.testing.assert_frame_equal(view(model, frame, y, output=2), one)
    if name != "reasons":  # trees and permutations agree only up to rounding
        other = view(ask, X, (y == 2).astype(int), feature_names=NAMES)
        pd.testing.assert_frame_equal(other, one)
    else:
        other = view(ask, X, y, feature_names=NAMES)
        np.testing.assert_allclose(other["attribution"], one["attribution"], atol=1e-6)
    with pytest.raises(InputError, match="the model has 3 classes"):
        view(model, X, y, feature_names=NAMES)
    with pytest.raises(InputError, match="random_state is -1"):
        view(model, X, y, output=2, random_state=-1)


@pytest.mark.parametrize("name", VIEWS)
def test_a_model_that_fails_is_named(name: str) -> None:
    def broken(frame: pd.DataFrame) -> FloatArray:
        raise RuntimeError("out of order")

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 3)), columns=NAMES)
    with pytest.raises(ExplanationError, match="RuntimeError: out of order"):
        VIEWS[name](broken, frame, np.arange(90) % 2)


def test_ask_with_sets_one_feature_and_keeps_the_others() -> None:
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=["p", "q"])

    def tell(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(frame["a"] * 10 + (frame["b"] == "y"), dtype=np.float64)

    subject = read_subject(tell, rows, output=None, scale="value")
    asked = ask_with(subject.output, rows, "a", np.array([3.0, 4.0, 5.0]))
    np.testing.assert_array_equal(asked, [[30, 40, 50], [31, 41, 51]])


def test_features_used_finds_what_matters_for_one_row_in_a_thousand() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"a": rng.normal(size=1000), "b": rng.normal(size=1000), "rare": [1] + [0] * 999}
    )

    def tell(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(frame["a"] + 0.0 * frame["b"] + frame["rare"], dtype=np.float64)

    subject = read_subject(tell, rows, output=None, scale="value")
    assert features_used(subject.output, rows, random_state=0).tolist() == [True, False, True]


def test_grid_takes_values_that_occur() -> None:
    column = pd.Series([5, 1, 1, 3, None, 9], dtype="Int64")
    values, left_out = feature_grid(column, 3, name="n")
    assert list(values) == [1, 3, 9]
    assert values.dtype == column.dtype
    many = pd.Series([f"v{i % 40:02}" for i in range(100)])
    values, left_out = feature_grid(many, 5, name="v")
    assert (len(values), len(left_out)) == (30, 10)
    ordered = pd.Series(pd.Categorical(["b", "a", "c"], ["c", "b", "a"], ordered=True))
    assert list(feature_grid(ordered, 5, name="o")[0]) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3.14159, "3.142"),
        (-2.0, "−2"),
        (1234567.0, "1,234,567"),
        (True, "yes"),
        (float("nan"), "missing"),
        (None, "missing"),
        ("nurse", "nurse"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert value_words(value) == words


def test_labels_in_another_order_are_refused() -> None:
    rows = pd.DataFrame({"a": np.arange(40.0)}, index=[f"P{i}" for i in range(40)])
    turned = pd.Series(np.arange(40) % 2, index=rows.index)[::-1]

    def tell(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(frame["a"], dtype=np.float64)

    with pytest.raises(InputError, match="y has the labels of X in another order"):
        permutation_importance(tell, rows, turned, scale="value")
    with pytest.raises(InputError, match="decisions has the labels of X in another order"):
        adverse_action_reasons(tell, rows, decisions=turned, scale="value")
