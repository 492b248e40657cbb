"""Streams are pulled part by part, hold little, and are not read as another stream."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import duckdb
import hypothesis.strategies as st
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given

from hitl_audit.errors import InputError
from hitl_audit.rows import collect, has_more_than, open_rows
from hitl_audit.rows.streams import HeldPart, Stream, pieces

SCHEMA = pa.schema([("x", pa.int64()), ("y", pa.string())])


def batch(start: int, rows: int) -> pa.RecordBatch:
    numbers = range(start, start + rows)
    return pa.record_batch({"x": numbers, "y": [str(n) for n in numbers]}, schema=SCHEMA)


class Counted:
    """A reader that says how many of its batches were pulled."""

    def __init__(self, batches: int, rows: int) -> None:
        self.pulled = 0
        self.reader = pa.RecordBatchReader.from_batches(SCHEMA, self._batches(batches, rows))

    def _batches(self, batches: int, rows: int) -> Iterator[pa.RecordBatch]:
        for number in range(batches):
            self.pulled += 1
            yield batch(number * rows, rows)


@given(st.lists(st.integers(0, 9), max_size=15), st.integers(1, 12))
def test_pieces_are_all_rows_in_order(sizes: list[int], rows: int) -> None:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    found = list(pieces((batch(s, n) for s, n in zip(starts, sizes, strict=True)), rows))
    flat = [x for piece in found for one in piece for x in one.column(0).to_pylist()]
    assert flat == list(range(sum(sizes)))
    lengths = [sum(one.num_rows for one in piece) for piece in found]
    assert all(length == rows for length in lengths[:-1])
    assert not lengths or 0 < lengths[-1] <= rows


def test_no_more_is_pulled_than_the_part_needs() -> None:
    counted = Counted(batches=100, rows=50)
    source = open_rows(counted.reader)
    assert counted.pulled == 0
    for number, part in enumerate(source.parts(["x"], rows_per_part=120), 1):
        assert counted.pulled == min(-(-120 * number // 50), 100)
        assert part.name.startswith(f"part {number} (rows {120 * (number - 1) + 1} to ")
    assert counted.pulled == 100


def test_what_was_read_is_let_go() -> None:
    before = pa.total_allocated_bytes()
    counted = Counted(batches=60, rows=20_000)
    one = batch(0, 20_000).nbytes
    most = 0
    for part in open_rows(counted.reader).parts(["x", "y"], rows_per_part=40_000):
        for _ in part.batches():
            most = max(most, pa.total_allocated_bytes() - before)
    assert counted.pulled == 60
    assert most < 10 * one


def test_a_reader_can_be_read_once_and_says_so() -> None:
    source = open_rows(Counted(3, 10).reader)
    assert sum(len(list(p.batches())) for p in source.parts(["x"])) == 3
    with pytest.raises(InputError, match="can be read only once, and was"):
        source.parts(["x"])


def test_a_source_that_gives_other_rows_the_second_time_is_refused() -> None:
    lengths = iter([100, 90])
    source = Stream(
        SCHEMA, lambda names: iter([batch(0, next(lengths))]), description="it", field="data.path"
    )
    assert len(list(source.parts(["x"], rows_per_part=60))) == 2
    with pytest.raises(InputError, match="had 100 rows when it was first read and 90 now"):
        list(source.parts(["x"]))


def test_relations_and_lazy_frames_can_be_read_again() -> None:
    frame = pl.DataFrame({"x": range(1000)})
    for found in (frame.lazy(), duckdb.connect().sql("SELECT range AS x FROM range(1000)")):
        source = open_rows(found)
        for _ in range(2):
            rows = [b for p in source.parts(["x"], rows_per_part=300) for b in p.batches()]
            assert [b.num_rows for b in rows] == [300, 300, 300, 100]


def test_a_held_part_travels_with_its_own_rows_and_no_others() -> None:
    whole = batch(0, 10_000)
    part = HeldPart("part 1", (whole.slice(100, 10), whole.slice(500, 5)))
    carried = pickle.dumps(part)
    assert len(carried) < 3_000
    again = pickle.loads(carried)  # noqa: S301
    assert again.name == "part 1"
    assert again.key == part.key
    rows = [x for one in again.batches(["y"]) for x in one.column("y").to_pylist()]
    assert rows == [str(n) for n in (*range(100, 110), *range(500, 505))]
    with pytest.raises(InputError, match='no column "z"'):
        list(part.batches(["z"]))


def test_the_key_of_a_held_part_is_of_its_rows() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3, 1, 2, 4], "y": list("abcabc")})
    one, other = open_rows(frame).parts(["x", "y"], rows_per_part=3)
    again = open_rows(frame.copy()).parts(["x", "y"], rows_per_part=3)
    keys = [part.key for part in again]
    assert [one.key, other.key] == keys
    assert one.key != other.key


def test_a_failure_while_reading_names_what_was_read() -> None:
    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        yield batch(0, 10)
        raise OSError("the line is dead\nand more")

    source = Stream(SCHEMA, read, description="the archive", field="data.path")
    parts = iter(source.parts(["x"], rows_per_part=10))
    next(parts)
    with pytest.raises(InputError, match=r"^data\.path: the archive: the line is dead and more$"):
        next(parts)


def test_how_many_more_is_known_or_read_no_further(tmp_path: Path) -> None:
    assert has_more_than(open_rows(pd.DataFrame({"x": range(5)})), 4)
    assert not has_more_than(open_rows(pd.DataFrame({"x": range(5)})), 5)
    counted = Counted(batches=100, rows=10)
    assert has_more_than(open_rows(counted.reader), 25)
    assert counted.pulled == 3
    assert not has_more_than(open_rows(pl.DataFrame({"x": range(5)}).lazy()), 5)


def test_few_rows_become_a_frame_with_the_types_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "holes": [1.0, None, 3.0],
            "text": ["a", None, "c"],
            "kind": pd.Categorical(["u", "v", "u"]),
            "when": pd.to_datetime(["2024-01-01", "", "2024-01-03"]),
            "yes": [True, False, True],
        }
    )
    for found in (pl.from_pandas(frame).lazy(), pa.Table.from_pandas(frame), frame):
        pd.testing.assert_frame_equal(
            collect(open_rows(found)), frame, check_dtype=True, check_categorical=False
        )
    assert list(collect(open_rows(frame), ["text"]).columns) == ["text"]
    decimals = duckdb.connect().sql("SELECT 0.70 AS d, 5 AS i")
    assert collect(open_rows(decimals)).dtypes.astype(str).to_dict() == {
        "d": "float64",
        "i": "int32",
    }
