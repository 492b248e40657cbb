from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from hitl_audit.errors import InputError
from hitl_audit.review.priority import (
    REASONS,
    combine,
    counterfactual_nearness,
    drift,
    entropy,
    protected_flip,
    slice_membership,
    threshold_closeness,
    unreliable_explanation,
)

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_closeness_falls_from_the_threshold_to_both_ends() -> None:
    scores = threshold_closeness([0.0, 0.1, 0.2, 0.6, 1.0], 0.2)
    assert scores == pytest.approx([0, 0.5, 1, 0.5, 0])
    narrow = threshold_closeness([0.1, 0.15, 0.2, 0.6], 0.2, width=0.1)
    assert narrow == pytest.approx([0, 0.5, 1, 0])


def test_entropy_is_shannons_over_the_largest() -> None:
    table = np.array([[0.2, 0.3, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    expected = [scipy_entropy(row) / math.log(3) for row in table]
    assert entropy(table) == pytest.approx(expected)
    assert entropy([0.5, 0.0, 1.0]) == pytest.approx([1, 0, 0])
    assert entropy([0.3]) == pytest.approx([scipy_entropy([0.3, 0.7], base=2)])


def test_an_unreliable_explanation_is_a_reason_to_look() -> None:
    assert unreliable_explanation([True, False]).tolist() == [0, 1]
    assert unreliable_explanation(np.array([0.75, 1.0])).tolist() == [0.25, 0]
    assert unreliable_explanation([None, True], unknown=0.5).tolist() == [0.5, 0]


def test_the_worst_slice_of_a_case_counts() -> None:
    masks = [[True, True, False], [False, True, False]]
    assert slice_membership(masks).tolist() == [1, 1, 0]
    assert slice_membership(masks, weights=[0.2, 0.7]).tolist() == [0.2, 0.7, 0]
    assert slice_membership({"young": masks[0], "old": masks[1]}).tolist() == [1, 1, 0]


def test_one_alternative_that_turns_the_decision_is_a_flip() -> None:
    assert protected_flip([1, 0, 1], [1, 0, 0]).tolist() == [0, 0, 1]
    assert protected_flip([1, 0], [[1, 1], [1, 0]]).tolist() == [0, 1]


def test_distances_are_scaled_by_their_median() -> None:
    # The median of 1, 2 and 6 is 2.
    distances = [0, 1, 2, 6, math.inf]
    assert counterfactual_nearness(distances) == pytest.approx([1, 2 / 3, 1 / 2, 1 / 4, 0])
    assert drift(distances) == pytest.approx([0, 1 / 3, 1 / 2, 3 / 4, 1])
    assert drift([3.0], scale=1.0) == pytest.approx([0.75])
    assert drift([0, 0]).tolist() == [0, 0]
    assert counterfactual_nearness([0, math.inf]).tolist() == [1, 0]


@given(PROBABILITIES, st.floats(0.01, 0.99))
def test_every_priority_is_from_0_to_1(values: list[float], threshold: float) -> None:
    for scores in (
        threshold_closeness(values, threshold),
        entropy(values),
        unreliable_explanation(values),
        counterfactual_nearness(values),
        drift(values),
    ):
        assert len(scores) == len(values)
        assert ((scores >= 0) & (scores <= 1)).all()


def test_a_case_says_what_adds_most_to_its_priority() -> None:
    made = combine(
        {"threshold": [1.0, 0.2, 0.0, 0.5], "flip": [0.0, 1.0, 0.0, 0.5], "seen before": [0] * 4},
        weights={"flip": 0.5},
    )
    assert made.scores == pytest.approx([1 / 2.5, 0.7 / 2.5, 0, 0.75 / 2.5])
    assert [made.reason(row) for row in range(4)] == [
        "close to the threshold",
        "the decision changes with a protected attribute alone",
        "",
        "close to the threshold",
    ]
    assert made.leading.tolist() == [0, 1, -1, 0]
    frame = made.frame()
    assert list(frame.columns) == ["priority", "reason", "threshold", "flip", "seen before"]
    assert frame["reason"].tolist() == [made.reason(row) for row in range(4)]
    assert frame[["threshold", "flip"]].sum(axis=1).to_numpy() == pytest.approx(made.scores)
    assert len(made) == 4


def test_another_name_stands_for_itself() -> None:
    made = combine({"asked for by the works council": [1.0]})
    assert made.reason(0) == "asked for by the works council"
    assert all(words and words != name for name, words in REASONS.items())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: combine({}), "got no priorities"),
        (lambda: combine({"a": [1.0], "b": [1.0, 0.0]}), "different numbers of rows: a 1, b 2"),
        (lambda: combine({"a": [1.5]}), "a holds 1.5; expected 0 to 1"),
        (lambda: combine({"a": [-0.5]}), "a holds -0.5; expected 0 to 1"),
        (lambda: combine({"a": [math.nan, 1]}), "a is missing in 1 of 2 rows"),
        (lambda: combine({"a": ["x"]}), "a holds values that are no numbers"),
        (lambda: combine({"a": [[1.0]]}), "a has shape (1, 1)"),
        (lambda: combine({"flip": [1.0]}, {"flp": 1}), 'weights names "flp"; accepted: flip'),
        (lambda: combine({"a": [1.0]}, {"a": 0}), "weights are 0; expected numbers of 0 or more"),
        (lambda: combine({"a": [1.0]}, {"a": -1}), "weights are -1"),
        (lambda: threshold_closeness([0.5], 1.0), "threshold is 1.0"),
        (lambda: threshold_closeness([0.5], width=0), "width is 0"),
        (lambda: threshold_closeness([7.0]), "scores holds 7; expected 0 to 1"),
        (lambda: entropy([[0.5, 0.4]]), "do not add up to 1"),
        (lambda: entropy([[1.0]]), "shape (1, 1)"),
        (lambda: unreliable_explanation([None]), "reliability is missing in 1 of 1 rows"),
        (lambda: unreliable_explanation([1.0], unknown=2), "unknown is 2"),
        (lambda: slice_membership([[0, 1]]), "masks are int64"),
        (lambda: slice_membership([]), "expected booleans of shape (slices, rows)"),
        (lambda: slice_membership([[True]], weights=[1, 1]), "got 2 weights for 1 slices"),
        (lambda: protected_flip([1, 0], [1]), "decisions have shape (2,) and flipped (1,)"),
        (lambda: drift([-1.0]), "distances holds -1; expected 0 or more"),
        (lambda: drift([math.nan]), "distances is missing in 1 of 1 rows"),
        (lambda: drift([1.0], scale=0), "scale is 0"),
    ],
)
def test_what_is_no_priority_is_refused(call: object, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        call()  # type: ignore[operator]
    assert words in str(refusal.value)
