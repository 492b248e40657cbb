"""Undo, redo, reset and the log, for any sequence of acts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.what_if.edits import Change, Edit, EditHistory, Value

START: dict[str, Value] = {
    "income": 30.5,
    "age": 40,
    "owner": False,
    "region": "north",
    "gap": None,
}
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(-9, 9), st.sampled_from("abc")
)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(START)), VALUES),
        st.sampled_from(["undo", "redo", "reset"]),
    ),
    max_size=20,
)


def set_to(history: EditHistory, feature: str, value: Value) -> EditHistory:
    return history.apply(Edit((Change(feature, history.values[feature], value),)))


def act(history: EditHistory, what: tuple[str, Value] | str) -> EditHistory:
    if isinstance(what, tuple):
        return set_to(history, *what)
    moved: EditHistory = getattr(history, what)()
    return moved


def after(acts: list[tuple[str, Value] | str]) -> EditHistory:
    history = EditHistory.of("P1", START)
    for what in acts:
        history = act(history, what)
    return history


@given(ACTS, st.sampled_from(sorted(START)), VALUES)
def test_edit_then_undo_changes_nothing(
    acts: list[tuple[str, Value] | str], feature: str, value: Value
) -> None:
    before = after(acts)
    back = set_to(before, feature, value).undo()
    assert back.values == before.values
    assert back.done == before.done
    assert back.changed == before.changed


@given(ACTS)
def test_undo_then_redo_changes_nothing(acts: list[tuple[str, Value] | str]) -> None:
    history = act(after(acts), ("age", 33))
    again = history.undo().redo()
    assert (again.values, again.done) == (history.values, history.done)


@given(ACTS)
def test_all_undone_is_the_case_as_it_is(acts: list[tuple[str, Value] | str]) -> None:
    history = after(acts)
    while history.can_undo:
        history = history.undo()
    assert history.values == START
    assert history.changed == ()


@given(ACTS)
def test_reset_is_one_act_that_can_be_undone(acts: list[tuple[str, Value] | str]) -> None:
    history = after(acts)
    reset = history.reset()
    assert reset.values == START
    if history.changed:
        assert reset.undo().values == history.values


@given(ACTS)
def test_the_log_replays_to_the_present(acts: list[tuple[str, Value] | str]) -> None:
    history = after(acts)
    values = dict(START)
    for line in history.log:
        for change in line.changes:
            assert values[change.feature] == change.before
            values[change.feature] = change.after
        assert line.evidence == "exploratory"
    assert values == history.values
    assert [line.position for line in history.log] == list(range(1, history.revision + 1))


def test_the_log_keeps_what_was_taken_back() -> None:
    history = set_to(EditHistory.of("P1", START), "age", 50).undo().redo().reset()
    assert [line.action for line in history.log] == ["edit", "undo", "redo", "reset"]


def test_a_new_edit_ends_redo() -> None:
    history = set_to(EditHistory.of("P1", START), "age", 50).undo()
    assert history.can_redo
    assert not set_to(history, "age", 60).can_redo


def test_nothing_to_undo_is_no_act() -> None:
    history = EditHistory.of("P1", START)
    assert history.undo() is history
    assert history.redo() is history
    assert history.reset() is history


def test_a_history_can_be_recorded() -> None:
    history = set_to(EditHistory.of("P1", START), "income", 31.25)
    assert b'"after":31.25' in canonical_bytes(history)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("height", 1, 2), '"height"; accepted: income'),
        (Change("age", 41, 42), "from 41, but it is 40"),
    ],
)
def test_edits_that_do_not_fit(change: Change, words: str) -> None:
    with pytest.raises(InputError, match=words):
        EditHistory.of("P1", START).apply(Edit((change,)))


def test_histories_do_not_change() -> None:
    history = EditHistory.of("P1", START)
    copy = replace(history)
    set_to(history, "age", 50).undo().reset()
    assert history == copy
