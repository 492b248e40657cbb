"""Every row of one feature as places, against the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.canonical import digest_bytes
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.views.feature_rows import feature_rows


def explained(column: Any, values: Any) -> Explanation:
    y = np.asarray(values, dtype=float)
    return Explanation(
        values=y[:, None],
        base_values=np.zeros(len(y)),
        data=pd.DataFrame({"x": column}),
        method="shap",
        algorithm="exact",
        exact=True,
        scale="probability",
        output=1,
        predictions=y,
        background_digest=digest_bytes(b""),
        background_size=1,
        random_state=0,
        seconds=0.0,
    )


def test_numbers_stand_at_their_values() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.normal(size=200)
    rows = feature_rows(explained(x, y), "x")
    assert np.array_equal(rows.x, x)
    assert np.array_equal(rows.y, y)
    assert rows.x_range[0] < x.min() < x.max() < rows.x_range[1]
    quarters = np.quantile(x, [0.25, 0.5, 0.75])
    parts = np.digitize(x, quarters)
    assert [m.n for m in rows.by_value] == [50] * 4
    assert [m.mean for m in rows.by_value] == pytest.approx(
        [y[parts == k].mean() for k in range(4)]
    )


def test_missing_numbers_stand_aside() -> None:
    x = np.r_[np.linspace(10, 20, 50), np.nan, np.inf]
    rows = feature_rows(explained(x, np.r_[np.zeros(50), 0.5, 0.5]), "x")
    assert rows.ticks[0][1] == "missing"
    assert (rows.x[50:] == rows.ticks[0][0]).all()
    assert rows.ticks[0][0] < 10
    assert (rows.by_value[-1].words, rows.by_value[-1].n) == ("missing", 2)
    assert rows.by_value[-1].mean == 0.5


def test_a_few_values_have_room_beside_them() -> None:
    x = np.array([0, 1] * 50)
    rows = feature_rows(explained(x, np.zeros(100)), "x")
    assert [name for _, name in rows.ticks] == ["0", "1"]
    assert np.array_equal(np.round(rows.x), x)  # nobody is nearer to another value
    assert len(np.unique(rows.x)) == 100  # and nobody hides another


def test_categories_have_places_of_their_own() -> None:
    x = pd.Categorical(["b", "a", None, "b"], categories=["b", "a", "never"])
    rows = feature_rows(explained(x, [0.1, 0.2, 0.3, 0.5]), "x")
    assert rows.ticks == ((0.0, "b"), (1.0, "a"), (2.0, "missing"))
    assert np.array_equal(np.round(rows.x), [0, 1, 2, 0])
    found = [(m.words, m.mean, m.n) for m in rows.by_value]
    assert found == [("b", pytest.approx(0.3), 2), ("a", 0.2, 1), ("missing", 0.3, 1)]


def test_the_rarest_of_many_categories_go_together() -> None:
    names = [f"n{i:02d}" for i in range(30) for _ in range(30 - i)]
    rows = feature_rows(explained(names, np.ones(len(names))), "x")
    assert len(rows.ticks) == 20
    assert rows.ticks[-1][1] == "other values"
    assert rows.by_value[-1].n == sum(30 - i for i in range(19, 30))
    assert sum(m.n for m in rows.by_value) == len(names)


@pytest.mark.parametrize("column", [[1.0], [np.nan], ["a"], [None], [True], [0, 0], [2.0, np.nan]])
def test_the_smallest_columns_can_be_drawn(column: list[Any]) -> None:
    rows = feature_rows(explained(column, np.zeros(len(column))), "x")
    assert np.isfinite(rows.x).all()
    assert rows.x_range[0] < rows.x.min() <= rows.x.max() < rows.x_range[1]
    assert rows.y_range[0] < 0 < rows.y_range[1]
    assert sum(m.n for m in rows.by_value) == len(column)


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(InputError, match='feature is "y"; expected one of the 1 features'):
        feature_rows(explained([1.0], [0.0]), "y")


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(float("inf"))),
            st.floats(-10, 10),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_every_row_has_a_place_and_counts_once(pairs: list[tuple[float | None, float]]) -> None:
    column = pd.array([np.nan if x is None else x for x, _ in pairs], dtype="float64")
    rows = feature_rows(explained(column, [y for _, y in pairs]), "x")
    assert rows.x.shape == rows.y.shape == (len(pairs),)
    assert np.isfinite(rows.x).all()
    assert (rows.x >= rows.x_range[0]).all()
    assert (rows.x <= rows.x_range[1]).all()
    assert (rows.y >= rows.y_range[0]).all()
    assert (rows.y <= rows.y_range[1]).all()
    assert sum(m.n for m in rows.by_value) == len(pairs)
    mean = sum(m.mean * m.n for m in rows.by_value) / len(pairs)
    assert mean == pytest.approx(rows.y.mean(), abs=1e-9)
