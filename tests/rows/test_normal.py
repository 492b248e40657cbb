"""The one meaning of values: of any type of Arrow, in any company."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings

from hitl_audit.errors import InputError
from hitl_audit.rows import id_texts, normal_frame

NAN = float("nan")
UUID = "00112233-4455-6677-8899-aabbccddeeff"

# An Arrow column, its values, its dtype.
TYPES: dict[str, tuple[pa.Array, list[Any], str]] = {
    "int64": (pa.array([1, None, 2**53]), [1.0, NAN, 2.0**53], "float64"),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), [2.0**64], "float64"),
    "float16": (pa.array([1.5, None], pa.float16()), [1.5, NAN], "float64"),
    "decimal32": (pa.array([Decimal("1.5")], pa.decimal32(5, 3)), [1.5], "float64"),
    "decimal256": (pa.array([Decimal("-0.1")], pa.decimal256(60, 30)), [-0.1], "float64"),
    "many digits": (
        pa.array([Decimal("12345678901234567890.12"), None]),
        [12345678901234567890.12, NAN],
        "float64",
    ),
    "booleans": (pa.array([True, False]), [True, False], "bool"),
    "booleans, one missing": (pa.array([True, None]), [True, NAN], "object"),
    "bool8": (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())),
        [True, NAN],
        "object",
    ),
    "text views": (pa.array(["a", None, ""], pa.string_view()), ["a", NAN, ""], "object"),
    "runs": (pa.RunEndEncodedArray.from_arrays([2, 3], ["x", None]), ["x", "x", NAN], "object"),
    "a dictionary with null in it": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["x", None])),
        ["x", NAN, NAN],
        "object",
    ),
    "a dictionary of booleans": (
        pa.array([True, None]).dictionary_encode(),
        [True, NAN],
        "object",
    ),
    "a dictionary of text that repeats": (
        pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["x", "x"])),
        ["x", "x"],
        "object",
    ),
    "uuid": (
        pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([bytes.fromhex(UUID.replace("-", ""))], pa.binary(16))
        ),
        [UUID],
        "object",
    ),
    "milliseconds of a date": (
        pa.array([86_400_000, None], pa.int64()).cast(pa.date64()),
        ["1970-01-02", NAN],
        "object",
    ),
    "seconds": (pa.array([253402300799], pa.timestamp("s")), ["9999-12-31T23:59:59"], "object"),
    "nanoseconds": (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"], "object"),
    "midnight": (pa.array([86_400_000], pa.timestamp("ms")), ["1970-01-02"], "object"),
    "midnight with a zone": (
        pa.array([0], pa.timestamp("us", tz="Asia/Tokyo")),
        ["1970-01-01T00:00:00Z"],
        "object",
    ),
    "nanoseconds of a day": (pa.array([1500], pa.time64("ns")), ["00:00:00.0000015"], "object"),
    "seconds of a day": (pa.array([3661], pa.time32("s")), ["01:01:01"], "object"),
    "no type": (pa.nulls(2), [NAN, NAN], "float64"),
}


@pytest.mark.parametrize("name", TYPES)
def test_every_accepted_type(name: str) -> None:
    array, values, kind = TYPES[name]
    expected = pd.DataFrame({"x": pd.Series(values, dtype=kind)})
    for column in (array, pa.chunked_array([array.slice(0, 1), array.slice(1)])):
        found = normal_frame(pa.table([column], names=["x"]))
        pd.testing.assert_frame_equal(found, expected)
    sliced = pa.concat_arrays([array, array]).slice(len(array)) if _can_join(array) else array
    pd.testing.assert_frame_equal(normal_frame(pa.table([sliced], names=["x"])), expected)
    empty = normal_frame(pa.table([array.slice(0, 0)], names=["x"]))
    assert len(empty) == 0


def _can_join(array: pa.Array) -> bool:
    return not pa.types.is_run_end_encoded(array.type)


REFUSED = {
    "list": (pa.array([[1, 2]]), r'"x" is of the type list<item: int64>; accepted: numbers'),
    "struct": (pa.array([{"a": 1}]), r"struct<a: int64>"),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), r"map<string, int64"),
    "binary": (pa.array([b"x"]), r"binary"),
    "duration": (pa.array([1], pa.duration("s")), r"duration\[s\]"),
    "a dictionary of lists": (
        pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([[1]])),
        r"dictionary<values=list",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_types_are_refused_by_column(name: str) -> None:
    array, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        normal_frame(pa.table([array], names=["x"]))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match='two columns called "x"'):
        normal_frame(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]))


def test_models_may_write_into_what_they_get() -> None:
    frame = normal_frame(pa.table({"x": [1.0, 2.0], "y": [True, False]}))
    assert all(frame[name].to_numpy(copy=False).base is not None for name in frame)
    frame.loc[0, "x"] = 9.0
    assert list(frame["x"]) == [9.0, 2.0]


@settings(deadline=None)
@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**25), max_value=10**25),
    st.integers(0, 10),
)
def test_decimals_are_rounded_once_whatever_the_column_declares(value: Decimal, more: int) -> None:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    places = max(-exponent, 0)
    if places > 40:
        return
    kind = pa.decimal256(76, min(places + more, 50))
    found = normal_frame(pa.table({"x": pa.array([value, None], kind)}))["x"]
    assert found[0] == float(value)
    if abs(value) < 10**10 and places <= 15:
        narrow = pa.array([value, None], pa.decimal128(38, places + more))
        assert normal_frame(pa.table({"x": narrow}))["x"][0] == float(value)


VALUES = {
    "text": (st.none() | st.text(max_size=3), pa.string()),
    "whole": (st.none() | st.integers(-(2**40), 2**40), pa.int64()),
    "boolean": (st.none() | st.booleans(), pa.bool_()),
    "moment": (st.none() | st.integers(-(2**50), 2**50), pa.timestamp("us")),
    "decimal": (st.none() | st.decimals(-999, 999, places=2), pa.decimal128(9, 2)),
}


@pytest.mark.parametrize("name", VALUES)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_value_means_the_same_in_any_company(name: str, data: st.DataObject) -> None:
    strategy, kind = VALUES[name]
    values = data.draw(st.lists(strategy, min_size=1, max_size=20))
    whole = pa.array(values, kind)
    together = list(normal_frame(pa.table({"x": whole}))["x"])
    start = data.draw(st.integers(0, len(values) - 1))
    alone = [normal_frame(pa.table({"x": whole.slice(i, 1)}))["x"][0] for i in range(len(whole))]
    rest = list(normal_frame(pa.table({"x": whole.slice(start)}))["x"])
    coded = list(normal_frame(pa.table({"x": whole.dictionary_encode()}))["x"])
    for other, expected in ((alone, together), (rest, together[start:]), (coded, together)):
        assert [_same(v) for v in other] == [_same(v) for v in expected]


def _same(value: Any) -> Any:
    """NaN equals NaN; True is not 1."""
    if isinstance(value, float) and math.isnan(value):
        return "missing"
    return (isinstance(value, bool | np.bool_), value)


IDS: dict[str, tuple[pa.Array, list[str | None]]] = {
    "beyond a float": (pa.array([2**60 + 1, None]), [str(2**60 + 1), None]),
    "floats that are whole": (pa.array([17.0, None, NAN, 1e20]), ["17", None, None, str(10**20)]),
    "floats": (pa.array([0.5, math.inf]), ["0.5", "inf"]),
    "decimals": (
        pa.array([Decimal("17.00"), Decimal("0.70"), None]),
        ["17", "0.7", None],
    ),
    "text": (pa.array(["17", "", None]), ["17", "", None]),
    "categories": (pa.array([17, None]).dictionary_encode(), ["17", None]),
    "booleans": (pa.array([True, None]), ["True", None]),
    "nothing": (pa.nulls(1), [None]),
}


@pytest.mark.parametrize("name", IDS)
def test_ids_are_exact_and_the_same_in_every_type(name: str) -> None:
    array, expected = IDS[name]
    assert list(id_texts(pa.table({"id": array}), "id")) == expected
