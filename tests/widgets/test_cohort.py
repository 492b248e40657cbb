"""The cohort that all views share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.widgets.cohort import Cohort

TABLE = pd.DataFrame({"age": [20, 30, 40, 50]}, index=["C1", "C2", "C3", "C4"])


def test_nothing_chosen_is_everybody() -> None:
    cohort = Cohort(TABLE, min_group=3)
    assert not cohort.chosen
    assert len(cohort) == 4
    assert not cohort.small
    assert cohort.members.all()
    pd.testing.assert_frame_equal(cohort.frame(), TABLE)


def test_a_choice_tells_every_view_once() -> None:
    cohort = Cohort(TABLE, min_group=3)
    heard: list[tuple[str, tuple[str, ...]]] = []
    cohort.observe(lambda _: heard.append((cohort.name, cohort.case_ids)), "revision")
    cohort.choose("Old", np.array([False, False, True, True]), conditions=["age above 30"])
    assert heard == [("Old", ("C3", "C4"))]
    assert cohort.conditions == ("age above 30",)
    assert cohort.small
    assert cohort.members.tolist() == [False, False, True, True]
    assert cohort.frame()["age"].tolist() == [40, 50]
    cohort.choose("Old", ["C4", "C3"], conditions=["age above 30"])  # the same again
    assert len(heard) == 1
    cohort.clear()
    assert heard[1:] == [("", ())]
    assert len(cohort.frame()) == 4


def test_a_frame_is_a_copy() -> None:
    cohort = Cohort(TABLE)
    cohort.choose("One", ["C2"])
    frame = cohort.frame()
    frame.loc["C2", "age"] = 99
    assert cohort.frame().loc["C2", "age"] == 30


def test_traits_set_by_hand_are_heard_too() -> None:
    cohort = Cohort(TABLE)
    cohort.name = "By hand"
    cohort.case_ids = ("C1",)
    assert cohort.revision == 2
    assert cohort.members.tolist() == [True, False, False, False]


def test_an_empty_cohort_is_not_everybody() -> None:
    cohort = Cohort(TABLE)
    cohort.choose("Nobody", [])
    assert cohort.chosen
    assert len(cohort) == 0
    assert cohort.frame().empty


@pytest.mark.parametrize(
    ("name", "ids", "words"),
    [
        (" ", ["C1"], "has no name"),
        ("Lost", ["C1", "C9"], "'C9' is not in the data"),
        ("Short", np.array([True]), r"shape \(1,\); expected \(4,\)"),
    ],
)
def test_what_cannot_be_chosen_is_refused(name: str, ids: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Cohort(TABLE).choose(name, ids)  # type: ignore[arg-type]


def test_case_ids_must_be_unique() -> None:
    with pytest.raises(InputError, match="'a' twice"):
        Cohort(pd.DataFrame({"x": [1, 2]}, index=["a", "a"]))
