"""Parquet by ranges of row groups: every row once, whatever the files look like."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from hitl_audit.errors import InputError
from hitl_audit.rows import Part, normal_frame, open_rows
from hitl_audit.rows.parquet import _spans


def ids(part: Part) -> list[int]:
    return [int(value) for batch in part.batches() for value in batch.column(0).to_pylist()]


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 40))
def test_spans_are_all_rows_once(groups: list[int], rows_per_part: int) -> None:
    starts = np.cumsum([0, *groups])
    covered = []
    for first, last, start, stop in _spans(groups, rows_per_part):
        assert 0 <= start < stop <= starts[last + 1] - starts[first]
        covered += list(range(starts[first] + start, starts[first] + stop))
        whole = start == 0 and stop == starts[last + 1] - starts[first]
        assert whole or first == last
        if first < last:
            assert stop <= rows_per_part
    assert covered == list(range(sum(groups)))


@pytest.mark.parametrize("group", [1, 7, 1000, 5000])
@pytest.mark.parametrize("rows_per_part", [3, 64, 10_000])
def test_every_row_is_in_one_part(tmp_path: Path, group: int, rows_per_part: int) -> None:
    rows = 100 if group == 1 or rows_per_part == 3 else 1500
    table = pa.table({"id": range(rows), "other": [0.5] * rows})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=group)
    source = open_rows("rows.parquet", folder=tmp_path)
    parts = list(source.parts(["id"], rows_per_part=rows_per_part))
    assert source.rows == rows
    assert [i for part in parts for i in ids(part)] == list(range(rows))
    assert len({part.key for part in parts}) == len({part.name for part in parts}) == len(parts)
    # Backwards, in other hands, and twice: what a part is does not depend on what was read.
    carried = pickle.loads(pickle.dumps(parts[::-1]))  # noqa: S301
    assert [i for part in carried[::-1] for i in ids(part)] == list(range(rows))
    assert [i for part in carried for i in ids(part)] == [i for p in parts[::-1] for i in ids(p)]


def test_a_huge_row_group_is_divided_and_read_in_order_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 400_000
    pq.write_table(pa.table({"id": range(rows)}), tmp_path / "r.parquet", row_group_size=rows)
    parts = open_rows(tmp_path / "r.parquet").parts(["id"], rows_per_part=50_000)
    assert isinstance(parts, tuple)
    assert len(parts) == 8
    assert parts[1].name == "part 2 (r.parquet, row group 0, rows 50001 to 100000)"
    opened = []
    real = pq.ParquetFile

    def counted(*args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    assert [i for part in parts for i in ids(part)] == list(range(rows))
    assert len(opened) == 1
    assert ids(parts[3])[0] == 150_000
    assert len(opened) == 2
    assert max(batch.num_rows for batch in parts[0].batches()) <= 50_000


def test_memory_is_that_of_a_few_batches(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = 1_500_000
    table = pa.table({f"x{i}": rng.normal(size=rows) for i in range(4)})
    size = table.nbytes
    pq.write_table(table, tmp_path / "r.parquet", row_group_size=rows)
    del table
    before = pa.total_allocated_bytes()
    most, seen = 0, 0
    for part in open_rows(tmp_path / "r.parquet").parts(["x0", "x1", "x2", "x3"]):
        for batch in part.batches():
            most = max(most, pa.total_allocated_bytes() - before)
            seen += batch.num_rows
    assert seen == rows
    assert most < size / 3


def test_the_key_is_of_the_bytes_and_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), file)

    def key() -> str:
        (part,) = open_rows(file).parts(["a"])
        return part.key

    first = key()
    assert key() == first
    os.utime(file, ns=(1, 1))
    second = key()
    pq.write_table(pa.table({"a": [1, 2, 3]}), file)
    assert len({first, second, key()}) == 3


def test_a_file_that_changes_or_goes_away_is_named(tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    pq.write_table(pa.table({"a": range(100)}), file, row_group_size=50)
    one, two = open_rows(file).parts(["a"], rows_per_part=50)
    assert ids(one) == list(range(50))
    os.utime(file, ns=(1, 1))
    with pytest.raises(InputError, match=r"^part 2 \(r.parquet, row group 1\): the file .* was ch"):
        ids(two)
    file.unlink()
    with pytest.raises(InputError, match="is gone"):
        ids(two)


def test_a_column_without_a_type_in_one_file_has_that_of_the_others(
    tmp_path: Path, normal_rows: Callable[..., pd.DataFrame]
) -> None:
    none = pa.table({"t": pa.nulls(2), "b": pa.nulls(2), "n": pa.nulls(2), "all": pa.nulls(2)})
    some = {"t": ["x", None], "b": [True, False], "n": [1, None], "all": pa.nulls(2)}
    pq.write_table(none, tmp_path / "a.parquet")
    pq.write_table(pa.table(some), tmp_path / "b.parquet")
    source = open_rows("*.parquet", folder=tmp_path)
    first = next(iter(source.parts(source.columns)))
    kinds = {k: str(v) for k, v in normal_frame(next(iter(first.batches()))).dtypes.items()}
    assert kinds == {"t": "object", "b": "object", "n": "float64", "all": "float64"}
    found = normal_rows(source)
    assert list(found["n"].isna()) == [True, True, False, True]
    assert list(found["b"])[2:] == [True, False]


def test_number_types_may_differ_from_file_to_file(
    tmp_path: Path, normal_rows: Callable[..., pd.DataFrame]
) -> None:
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [0.5]}), tmp_path / "b.parquet")
    assert list(normal_rows(open_rows("*.parquet", folder=tmp_path))["a"]) == [1, 2, 0.5]


MIXED: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"a": ["x"], "b": [1]}, r'"a" is of the type (large_)?string in b.parquet and int64'),
    "missing": ({"a": [1]}, r'b.parquet lacks the column "b", which a.parquet has'),
    "more": ({"a": [1], "b": [1], "c": [1]}, r'a.parquet lacks the column "c", which b.parquet'),
    "nested": ({"a": [[1]], "b": [1]}, r'"a" is of the type list.* in b.parquet and int64'),
}


@pytest.mark.parametrize("name", MIXED)
def test_files_that_do_not_go_together(tmp_path: Path, name: str) -> None:
    columns, message = MIXED[name]
    pq.write_table(pa.table({"a": [1], "b": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=message):
        open_rows("*.parquet", folder=tmp_path)


def test_no_rows_at_all_are_no_parts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    source = open_rows("a.parquet", folder=tmp_path)
    assert source.rows == 0
    assert list(source.parts(["a"])) == []
