"""What each feature may be set to, and the words for what it may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.what_if.controls import Constraint, Control
from hitl_audit.what_if.controls_from_data import controls_of
from hitl_audit.what_if.edits import Value
from hitl_audit.what_if.population import Population
from tests.what_if.conftest import prepared


def controls(X: pd.DataFrame, *constraints: Constraint, **more: Any) -> dict[str, Control]:
    return controls_of(X, Population.of(X, X), constraints=constraints, **more)


def control(values: Any, **constraint: Any) -> Control:
    return controls(pd.DataFrame({"x": values}), Constraint("x", **constraint))["x"]


TABLE = pd.DataFrame(
    {
        "number": [1.25, 2.5, 300.75, 4.0],
        "whole": [1, 5, 9, 100],
        "whole with gaps": [1.0, np.nan, 9.0, 100.0],
        "flag": [True, False, True, True],
        "text": ["b", "a", None, "b"],
        "ordered": pd.Categorical(
            ["low", "high", "low", "mid"], ["low", "mid", "high", "top"], ordered=True
        ),
        "constant": [7.0, 7.0, 7.0, 7.0],
        "empty": [np.nan] * 4,
    }
)


def test_kinds_ranges_and_categories_come_from_the_data() -> None:
    found = controls(TABLE)
    assert {name: c.kind for name, c in found.items()} == {
        "number": "number",
        "whole": "integer",
        "whole with gaps": "integer",
        "flag": "boolean",
        "text": "category",
        "ordered": "category",
        "constant": "integer",
        "empty": "number",
    }
    assert found["number"].slider == (1.25, 300.75)
    assert found["number"].decimals == 1  # of hundreds, more places are noise
    assert found["whole"].step == 1
    assert found["flag"].categories == (False, True)
    assert found["text"].categories == ("a", "b")
    assert found["ordered"].categories == ("low", "mid", "high")  # "top" does not occur
    assert [n for n, c in found.items() if c.allows_missing] == ["whole with gaps", "text", "empty"]
    assert [n for n, c in found.items() if c.constant] == ["constant", "empty"]
    assert found["empty"].slider is None


def test_steps_are_round_numbers() -> None:
    assert control(np.linspace(0, 1, 50)).step == pytest.approx(0.005)
    assert control(np.linspace(0, 73.3, 50)).step == pytest.approx(0.2)
    assert control(np.arange(100_000)).step == 50
    assert control([0.1, 0.2, 0.3]).step == pytest.approx(0.1)  # no finer than the data


def test_a_slider_is_cut_to_the_bounds() -> None:
    assert control([0.5, 9.5], low=2).slider == (2, 9.5)
    assert control([0.5, 9.5], low=20, high=30).slider == (20, 30)
    assert control([0.5, 9.5], low=20).slider == (20, 20)
    assert control([0.5, 9.5], high=0.25).slider == (0.25, 0.25)


@pytest.mark.parametrize(
    ("entered", "value"),
    [
        ("30", 30.0),
        (" 1,250.5 ", 1250.5),
        ("−3.5", -3.5),
        ("30 kg", 30.0),
        (np.float64(4.0), 4.0),
        (np.int64(4), 4.0),
        (7.004, 7.0),  # shown as 7.0
    ],
)
def test_numbers_are_read(entered: Any, value: float) -> None:
    free = control([1.5, 7.0, 2000.5], unit="kg", decimals=1)
    assert free.read(entered, 7.0) == value


@pytest.mark.parametrize(
    ("kind", "entered", "start", "words"),
    [
        ("number", "abc", 2.5, 'number is a number; got "abc"'),
        ("number", "1,5", 2.5, "number is a number"),
        ("number", True, 2.5, "number is a number"),
        ("number", float("inf"), 2.5, "number is a number"),
        ("number", [1], 2.5, "number is a number"),
        ("number", None, 2.5, "number is never missing in the data"),
        ("whole", "2.5", 5, "whole is a whole number; got 2.5"),
        ("whole with gaps", 2.5, 9, "is a whole number"),
        ("text", "c", "a", 'text is never "c" in the data; accepted: a, b'),
        ("ordered", "top", "low", 'ordered is never "top"'),
        ("ordered", "hihg", "low", 'did you mean "high"'),
        ("flag", "perhaps", True, 'flag is never "perhaps" in the data; accepted: no, yes'),
    ],
)
def test_what_cannot_be_set_is_refused_with_words(
    kind: str, entered: Any, start: Value, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        controls(TABLE)[kind].read(entered, start)


def test_whole_numbers_stay_whole() -> None:
    found = controls(TABLE)["whole"].read("7.0", 5)
    assert found == 7
    assert isinstance(found, int)


def test_missing_can_be_chosen_where_it_occurs() -> None:
    assert controls(TABLE)["text"].read("", "a") is None
    assert controls(TABLE)["whole with gaps"].read(float("nan"), 9) is None


@pytest.mark.parametrize(("entered", "value"), [(True, True), ("yes", True), ("False", False)])
def test_booleans_are_read(entered: Any, value: bool) -> None:
    assert controls(TABLE)["flag"].read(entered, not value) is value


def test_codes_that_are_numbers_keep_their_type() -> None:
    one = control(pd.Series([1, 2, 3], dtype="category"))
    assert one.kind == "category"
    assert one.read("2", 1) == 2


@pytest.mark.parametrize(
    ("constraint", "entered", "words"),
    [
        ({"low": 2}, 1.0, r"x must be at least 2"),
        ({"high": 8}, 9, "x must be at most 8"),
        ({"low": 2, "high": 8, "unit": "%"}, 9, "x must be between 2.0 % and 8.0 %; got 9.0 %"),
        ({"direction": "up"}, 4.5, "x can only go up from 5.0; got 4.5"),
        ({"direction": "down"}, 5.5, "x can only go down from 5.0"),
        ({"immutable": True}, 5.5, "x cannot be changed: the plan says that nobody can"),
    ],
)
def test_constraints_are_kept(constraint: dict[str, Any], entered: Any, words: str) -> None:
    bound = control([0.5, 5.0, 9.5], **constraint)
    with pytest.raises(InputError, match=words):
        bound.read(entered, 5.0)
    assert not bound.allows(entered, 5.0)
    assert bound.read(5.0, 5.0) == 5.0


def test_one_way_categories() -> None:
    school = control(
        ["basic", "degree", "none"], categories=("none", "basic", "degree"), direction="up"
    )
    assert school.read("degree", "basic") == "degree"
    with pytest.raises(InputError, match="can only go up from basic; got none"):
        school.read("none", "basic")


def test_the_case_as_it_is_is_always_accepted() -> None:
    bound = control([0.5, 5.0, 9.5], low=6, high=7)
    assert bound.read("5.0", 5.0) == 5.0
    assert bound.read(6.5, 5.0) == 6.5


def test_a_slider_near_the_start_is_the_start() -> None:
    coarse = control(np.linspace(0, 100, 30), step=10)
    assert coarse.read(44.0, 47.3, from_slider=True) == 47.3
    assert coarse.read(42.0, 47.3, from_slider=True) == 42.0
    assert coarse.read(44.0, 47.3) == 44.0


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ({"low": 3, "high": 2}, "low is 3 and high is 2"),
        ({"step": 0}, "step is 0"),
        ({"low": "x"}, "low is 'x'"),
        ({"high": float("nan")}, "high is nan"),
        ({"direction": "upp"}, 'accepted: "up", "down"; did you mean "up"'),
        ({"decimals": -1}, "decimals is -1"),
        ({"categories": ("a",)}, "it is a number"),
    ],
)
def test_constraints_that_cannot_be(constraint: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        control([1.5, 2.0], **constraint)


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ({"low": 1}, "belong to numbers"),
        ({"direction": "up"}, "its values have no order"),
        ({"categories": ("a", "z")}, "'z', which the data do not have"),
    ],
)
def test_constraints_of_categories_that_cannot_be(constraint: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        control(["a", "b"], **constraint)


def test_constraints_name_features_once() -> None:
    with pytest.raises(InputError, match='"incme"; accepted: number'):
        controls(TABLE, Constraint("incme"))
    with pytest.raises(InputError, match="two constraints"):
        controls(TABLE, Constraint("whole"), Constraint("whole"))


def test_whole_number_columns_have_no_decimals() -> None:
    with pytest.raises(
        InputError, match=r"decimals is 2, but the data hold whole numbers \(int64\)"
    ):
        control([1, 2], decimals=2)
    assert control([1.0, 2.0], decimals=2).kind == "number"


def test_values_that_look_alike_are_refused() -> None:
    with pytest.raises(InputError, match="look alike"):
        controls(pd.DataFrame({"x": pd.Series([1, "1", "b"], dtype=object)}))


def test_words() -> None:
    assert control([1.5, 2000.25], decimals=1, unit="kg").words(1234.56) == "1,234.6 kg"
    assert control([1.5, 2.25]).words(-0.5) == "−0.50"
    assert control([1.5, 2.25]).words(-0.001) == "0.00"
    assert control([1.5, 2.25]).words(None) == "missing"
    assert controls(TABLE)["flag"].words(True) == "yes"


NUMBERS = st.floats(-1e6, 1e6)


@given(
    entered=NUMBERS,
    start=NUMBERS,
    low=NUMBERS,
    high=NUMBERS,
    way=st.sampled_from(["up", "down", None]),
)
def test_no_accepted_number_breaks_a_constraint(
    entered: float, start: float, low: float, high: float, way: Any
) -> None:
    low, high = min(low, high), max(low, high)
    bound = control([-1e6, 0.25, 1e6], low=low, high=high, direction=way)
    try:
        value = bound.read(entered, start)
    except InputError:
        return
    assert isinstance(value, float)
    if value != start:
        assert low <= value <= high
        assert way != "up" or value > start
        assert way != "down" or value < start


def test_locked_computed_and_protected_features_say_so() -> None:
    found = prepared("boosting").controls
    assert found["ratio"].locked
    assert found["ratio"].why_locked == "it is computed as debt / income"
    assert found["region"].locked
    assert found["sex"].protected
    assert not found["sex"].locked
