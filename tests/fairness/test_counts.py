"""Counts by group: equal to a cross-tabulation, and they add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import GroupCounts, count_groups

Row = tuple[str, str, int, int]
ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(0, 1), st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


def count(rows: list[Row]) -> GroupCounts:
    first, second, truth, decision = zip(*rows, strict=True)
    return count_groups(
        np.array(truth, dtype=np.int8),
        np.array(decision, dtype=np.int8),
        {"p": np.array(first), "q": np.array(second)},
    )


@given(ROWS, ROWS)
@settings(deadline=None)
def test_counts_of_two_parts_add_up(one: list[Row], two: list[Row]) -> None:
    assert count(one) + count(two) == count(one + two)


@given(ROWS)
@settings(deadline=None)
def test_counts_are_a_cross_tabulation(rows: list[Row]) -> None:
    counted = count(rows)
    assert counted.rows == len(rows)
    for (p, q), cells in counted.items():
        assert cells == tuple(
            rows.count((p, q, truth, decision)) for truth in (0, 1) for decision in (0, 1)
        )
    assert counted.by(("q",)) == count_groups(
        np.array([r[2] for r in rows], dtype=np.int8),
        np.array([r[3] for r in rows], dtype=np.int8),
        {"q": np.array([r[1] for r in rows])},
    )
    assert counted.by(()).groups == ((),)
    assert counted.by(("q", "p")).by(("p", "q")) == counted


def test_counts_of_other_attributes_do_not_add() -> None:
    whole = count([("a", "x", 0, 1)])
    with pytest.raises(InputError, match="got counts by p, expected counts by p, q"):
        _ = whole + whole.by(("p",))
