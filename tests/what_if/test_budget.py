"""A deadline that holds for any affine cost of a call."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.what_if.budget import Budget
from tests.what_if.test_counterfactuals import Clock


@given(
    per_call=st.floats(0, 2),
    per_row=st.floats(0, 0.5),
    seconds=st.floats(0.1, 50),
    reserve=st.floats(0, 5),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
)
def test_no_call_ends_after_the_deadline(
    per_call: float, per_row: float, seconds: float, reserve: float, sizes: list[int]
) -> None:
    clock = Clock()
    calls = []

    def ask(rows: np.ndarray) -> np.ndarray:
        clock.now += per_call + per_row * len(rows)
        calls.append(len(rows))
        return np.asarray(rows[:, 0])

    budget = Budget(ask, clock=clock, seconds=seconds)
    budget.reserve(reserve)
    for size in sizes:
        rows = np.arange(size, dtype=float)[:, np.newaxis]
        answers = budget(rows)
        assert np.array_equal(answers, rows[: len(answers), 0])
        assert (len(answers) < size) <= budget.ran_out
    assert calls[0] == 1
    assert budget.asked == sum(calls)
    first = per_call + per_row
    assert budget.seconds <= max(seconds - reserve, first) + 1e-9


def test_large_questions_become_large_calls() -> None:
    calls = []

    def ask(rows: np.ndarray) -> np.ndarray:
        calls.append(len(rows))
        return np.asarray(rows[:, 0])

    Budget(ask, clock=Clock(), seconds=1)(np.zeros((5000, 1)))
    assert calls == [1, 8, 64, 512, 4096, 319]
