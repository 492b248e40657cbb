"""A row's digest, against a record that is put together value by value."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.canonical import sha256
from hitl_audit.population.batch import read_batch
from hitl_audit.population.content import row_digests
from tests.population.worlds import nasty

VALUES = st.one_of(st.floats(), st.floats(width=32), st.just(None))
TEXTS = st.one_of(st.none(), st.sampled_from(["", "1", "car", "a\x00b", "Ünï"]))


def digests(table: pa.Table) -> list[bytes]:
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    found = row_digests(read_batch(batch, table.column_names, "a part"))
    return [found[i : i + 32] for i in range(0, len(found), 32)]


def by_hand(row: list[Any]) -> bytes:
    kinds, numbers, texts = b"", b"", b""
    for value in row:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            kind, number = 0, 0.0
        elif isinstance(value, str):
            kind, number = 2, 0.0
            texts += sha256(value.encode())
        else:
            kind, number = 1, float(value) or 0.0
        kinds += bytes([kind])
        numbers += struct.pack(">d", number)
    return sha256(kinds + numbers + texts)


@given(st.lists(st.tuples(VALUES, TEXTS, st.sampled_from([True, False, None])), max_size=8))
@settings(max_examples=80, deadline=None)
def test_as_documented_whatever_the_neighbours(rows: list[tuple[Any, ...]]) -> None:
    numbers, texts, flags = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {
            "a": pa.array(numbers, pa.float64()),
            "b": pa.array(texts, pa.string()),
            "c": pa.array(flags, pa.bool_()),
        }
    )
    assert digests(table) == [by_hand(list(row)) for row in rows]
    alone = [digests(table.slice(i, 1))[0] for i in range(len(rows))]
    assert alone == digests(table)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (pa.array([0.0]), pa.array([-0.0]), True),
        (pa.array([float("nan")]), pa.array([None], pa.float64()), True),
        (pa.array([None], pa.null()), pa.array([None], pa.string()), True),
        (pa.array([0.1], pa.float32()), pa.array([float(np.float32(0.1))]), True),
        (pa.array([0.1], pa.float32()), pa.array([0.1]), False),
        (pa.array([3], pa.int8()), pa.array([3.0]), True),
        (pa.array([True]), pa.array([1]), True),
        (pa.array(["a"]), pa.array(["a"]).dictionary_encode(), True),
        (pa.array(["a"]), pa.array(["a"], pa.large_string()), True),
        (pa.array(["1"]), pa.array([1]), False),
        (pa.array([""]), pa.array([None], pa.string()), False),
        (pa.array([0.0]), pa.array([None], pa.float64()), False),
    ],
)
def test_one_meaning_of_values(one: pa.Array, other: pa.Array, same: bool) -> None:
    found = [digests(pa.table({"a": values}))[0] for values in (one, other)]
    assert (found[0] == found[1]) is same


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 63))
@settings(max_examples=200, deadline=None)
def test_one_bit_changes_the_digest(value: float, bit: int) -> None:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    (other,) = struct.unpack(">d", struct.pack(">Q", bits ^ (1 << bit)))
    found = [digests(pa.table({"a": pa.array([v], from_pandas=False)}))[0] for v in (value, other)]
    # The two zeros are one number.
    assert (found[0] == found[1]) is (value == other)


def test_any_batch() -> None:
    table = nasty(300)
    whole = digests(table)
    parts = [d for start in range(0, len(table), 7) for d in digests(table.slice(start, 7))]
    assert parts == whole
    assert len(set(whole)) == len(whole)  # the ids differ
