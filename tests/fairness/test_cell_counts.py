"""Group metrics from counts, and counted where the rows are, against rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.group_metrics import group_metrics, group_metrics_of_counts

ATTRIBUTES = ["race", "band", "woman", "kids"]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    n = 400
    band = rng.choice([1.0, 2.5, -0.0, 0.0, np.nan], n)
    return pa.table(
        {
            "race": pa.array(rng.choice(np.array(["a", "b", "ü", None], object), n), pa.string()),
            "band": pa.array(band, from_pandas=False),
            "woman": pa.array(rng.choice(np.array([True, False, None], object), n), pa.bool_()),
            "kids": pa.array([None if k > 2 else k for k in rng.integers(0, 4, n)], pa.int64()),
            "y": pa.array(rng.integers(0, 2, n)),
            "decided": pa.array(rng.random(n) < 0.5),
        }
    )


BACKENDS: dict[str, Callable[[pa.Table], Any]] = {
    "pandas": lambda t: t.to_pandas(),
    "pandas nullable": lambda t: t.to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get
    ),
    "polars": lambda t: pl.from_arrow(t),
    "polars lazy": lambda t: pl.from_arrow(t).lazy(),  # type: ignore[union-attr]
    "duckdb": lambda t: duckdb.from_arrow(t),
    "arrow": lambda t: t,
    "arrow batches": lambda t: pa.RecordBatchReader.from_batches(
        t.schema, t.to_batches(max_chunksize=37)
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_on_every_backend(table: pa.Table, backend: str) -> None:
    frame = table.to_pandas()
    whole = group_metrics(frame["y"], frame["decided"], sensitive_features=frame[ATTRIBUTES])
    found = group_metrics(
        "y", "decided", sensitive_features=ATTRIBUTES, data=BACKENDS[backend](table)
    )
    assert found == whole
    assert found.rates == whole.rates
    assert found.against_reference == whole.against_reference
    assert found.notes == whole.notes
    assert found.summary() == whole.summary()
    groups = dict(found.counts.by(["band"]).items())
    assert sorted(groups) == [("0",), ("1",), ("2.5",), ("unknown",)]


def test_parquet_files(table: pa.Table, tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(table.slice(i * 150, 150), tmp_path / f"{i}.parquet")
    found = group_metrics(
        "y", "decided", sensitive_features="race", data=str(tmp_path / "*.parquet")
    )
    frame = table.to_pandas()
    assert found == group_metrics(frame["y"], frame["decided"], sensitive_features=frame[["race"]])


def test_frames_show_the_groups_as_given(table: pa.Table) -> None:
    frame = table.to_pandas()[["woman", "y", "decided"]].dropna()
    frame["woman"] = frame["woman"].astype(bool)
    frame["size"] = np.arange(len(frame)) % 3
    attributes = ["woman", "size"]
    whole = group_metrics(frame["y"], frame["decided"], sensitive_features=frame[attributes])
    found = group_metrics("y", "decided", sensitive_features=attributes, data=pl.from_pandas(frame))
    pd.testing.assert_frame_equal(found.by_group_frame(), whole.by_group_frame())
    assert found.by_group.index.equals(whole.by_group.index)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]), st.sampled_from("xy"), st.booleans(), st.booleans()
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=40, deadline=None)
def test_counts_give_what_the_rows_give(rows: list[tuple[str, str, bool, bool]]) -> None:
    one, other, truth, decided = (np.array(column) for column in zip(*rows, strict=True))
    sensitive = {"g": one, "h": other}
    options: dict[str, Any] = {
        "min_group": 2,
        "n_boot": 30,
        "random_state": 4,
        "metrics": ["selection_rate", "f1", "count"],
    }
    whole = group_metrics(truth, decided, sensitive_features=sensitive, **options)
    found = group_metrics_of_counts(whole.counts, **options)
    assert found == whole
    pd.testing.assert_frame_equal(found.difference(), whole.difference())


def test_decimals_and_floats_are_one_kind_of_number() -> None:
    table = pa.table(
        {
            "g": pa.array([Decimal("1.00"), Decimal("2.50"), None]),
            "y": [1, 0, 1],
            "p": [1.0, 0.0, 1.0],
        }
    )
    found = group_metrics("y", "p", sensitive_features="g", data=table)
    assert found.counts.groups == (("1",), ("2.5",), ("unknown",))


ROWS = pd.DataFrame(
    {
        "g": ["a", "unknown", None],
        "h": ["a", "b", "a"],
        "y": [1, 0, 1],
        "p": [1, 1, 0],
        "bad": [0, 1, 2],
        "gap": [0, 1, np.nan],
        "text": ["yes", "no", "no"],
        "all": [1, 1, 1],
    }
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"sensitive_features": "g"},
            '"g" is missing in 1 of 3 rows and has a group called "unknown"',
        ),
        ({"y_true": "bad"}, 'y_true, "bad", has the labels 2; accepted: 0 and 1'),
        ({"y_pred": "gap"}, 'y_pred, "gap", is missing in 1 of 3 rows; accepted: 0, 1'),
        ({"y_true": "text"}, "has the labels 'no', 'yes'"),
        (
            {"y_true": [1, 0, 1]},
            "y_true is a list, and data is given; accepted: the name of a column",
        ),
        ({"sensitive_features": ["h", "h"]}, 'sensitive_features has two columns called "h"'),
        ({"sensitive_features": []}, "sensitive_features has no column"),
        ({"sensitive_features": "all"}, 'has a column called "all", a reserved name'),
        ({"sensitive_features": "rase"}, 'data has no column "rase"; it has: g, h, y'),
        ({"y_score": "y"}, "data and y_score are both given"),
        ({"sample_weight": "y"}, "data and sample_weight are both given"),
        ({"control_features": "g"}, "data and control_features are both given"),
        ({"method": "replay"}, 'method "replay" needs the rows'),
        (
            {"metrics": {"mine": lambda y, p: 0.0}},
            "metrics has the functions mine, which need the rows",
        ),
        ({"data": ROWS.iloc[:0]}, 'y_true, "y", is empty; accepted: at least one row'),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], words: str) -> None:
    given_: dict[str, Any] = {"y_true": "y", "y_pred": "p", "sensitive_features": "h", "data": ROWS}
    given_ |= arguments
    with pytest.raises(InputError, match=words):
        group_metrics(given_.pop("y_true"), given_.pop("y_pred"), **given_)


def test_counts_that_are_none() -> None:
    with pytest.raises(InputError, match="counts have no rows"):
        group_metrics_of_counts(GroupCounts(("g",), (), ()))
    with pytest.raises(InputError, match="sensitive_features has no column"):
        group_metrics_of_counts(GroupCounts((), ((),), ((1, 1, 1, 1),)))
    with pytest.raises(InputError, match="random_state is -1"):
        group_metrics_of_counts(GroupCounts(("g",), (("a",),), ((1, 1, 1, 1),)), random_state=-1)
