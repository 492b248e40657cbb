"""One meaning of values, whatever the rows come from.

=====================================  ==========================================
in Arrow                               in the normal frame
=====================================  ==========================================
integers, floats, decimals             ``float64``, rounded to the nearest once
booleans                               ``bool``; ``object`` in a batch that has missing
                                       ones, of the same ``True`` and ``False``
text, of whatever width or encoding    ``object`` of ``str``
dates, moments, times of day           ``object`` of ISO 8601 text
dictionaries (categories)              as their values
a column without a type (all null)     ``float64``, all missing
=====================================  ==========================================

What is missing is NaN, in every column; a null and a NaN are the same. A moment
that has a zone is written in UTC with a ``Z``; one without has none, and at
exactly midnight it reads as its date, because pandas has no dates without a
time. Fractions of a second have no trailing zeros. So what a value becomes
depends on nothing but the value: not on its neighbours, its batch or its backend.
Integers beyond 2^53 lose their last digits as floats: identifiers are taken by
:func:`id_texts`, which keeps them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from hitl_audit.errors import InputError

__all__ = ["check_schema", "id_texts", "kind_of", "normal_frame", "numbers"]

ACCEPTED = "numbers, booleans, text, categories, dates, moments, times of day"
Values = npt.NDArray[Any]


def kind_of(kind: pa.DataType) -> str | None:
    """``number``, ``boolean``, ``text``, ``moment``, ``nothing``, or None: not accepted."""
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name in ("arrow.uuid", "arrow.json"):
            return "text"
        return "boolean" if kind.extension_name == "arrow.bool8" else None
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return kind_of(kind.value_type)
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        return "moment"
    return "nothing" if types.is_null(kind) else None


def check_schema(schema: pa.Schema, place: str) -> None:
    """Check that every column has a name of its own and single values.

    Args:
        schema: names and types.
        place: what the error starts with, such as ``data.path``.

    Raises:
        InputError: naming the column.
    """
    seen = set()
    for field in schema:
        if field.name in seen:
            raise InputError(f'{place} has two columns called "{field.name}"')
        seen.add(field.name)
        if kind_of(field.type) is None:
            raise InputError(
                f'{place}: the column "{field.name}" is of the type {field.type}; '
                f"accepted: {ACCEPTED}"
            )


def normal_frame(batch: pa.RecordBatch | pa.Table) -> pd.DataFrame:
    """Rows as a pandas frame with the one meaning of values described above.

    Args:
        batch: some rows.

    Returns:
        The same rows and columns in the same order, with a range index.

    Raises:
        InputError: two columns of one name, or a column of another type.
    """
    check_schema(batch.schema, "the data")
    columns = {
        name: _values(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    # Without a copy per column, and with text as objects rather than as pandas' own type.
    series = {
        name: pd.Series(v if v.flags.writeable else v.copy(), dtype=v.dtype, copy=False)
        for name, v in columns.items()
    }
    return pd.DataFrame(series, index=pd.RangeIndex(batch.num_rows), copy=False)


def id_texts(batch: pa.RecordBatch | pa.Table, column: str) -> Values:
    """Row identifiers as text, exact where a float could not hold them.

    Integers of any size are written out; floats and decimals that are whole
    numbers likewise (pandas makes floats of integers if one is missing), so
    that 17, 17.0 and ``"17"`` are one identifier.

    Returns:
        ``object`` of ``str``; what is missing is None.

    Raises:
        InputError: the column is of a type that is not accepted.
    """
    values = batch.column(column)
    check_schema(pa.schema([(column, values.type)]), "the data")
    array = _plain(values)
    if kind_of(array.type) == "number":
        found = array.to_pylist()
        return _objects([None if v is None or v != v else _number_text(v) for v in found])
    texts = _values(array).astype(object)
    return _objects([None if isinstance(t, float) else str(t) for t in texts])


def numbers(column: pa.Array | pa.ChunkedArray) -> Values:
    """A column of numbers as ``float64``; what is missing is NaN."""
    return _numbers(_plain(column))


def _number_text(value: float | Decimal) -> str:
    if abs(value) == np.inf:
        return str(value)
    if value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, float) else format(value.normalize(), "f")


def _objects(values: list[Any]) -> Values:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, without dictionary, runs or extension."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else column.chunk(0)
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.array(
                [None if v is None else str(v) for v in column.to_pylist()], pa.string()
            )
        storage = column.storage
        return storage.cast(pa.bool_()) if kind.extension_name == "arrow.bool8" else storage
    if pa.types.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        return _plain(pc.run_end_decode(column))
    return _plain(column.dictionary_decode()) if pa.types.is_dictionary(kind) else column


def _values(column: pa.Array | pa.ChunkedArray) -> Values:
    if pa.types.is_dictionary(column.type):
        if isinstance(column, pa.DictionaryArray):
            return _by_code(column)
        column = column.cast(column.type.value_type)
    array = _plain(column)
    kind = kind_of(array.type)
    if kind == "number":
        return _numbers(array)
    if kind == "nothing":
        return np.full(len(array), np.nan)
    if kind == "boolean":
        values: Values = array.to_numpy(zero_copy_only=False)
        return _with_nan(values, array) if array.null_count else values.astype(np.bool_)
    if kind == "moment":
        return _moments(array)
    return _texts(array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array)


def _texts(array: pa.Array) -> Values:
    first = array.slice(0, 1000)
    if 4 * len(first.unique()) < len(first):
        # Few words, often: one object of Python for each of them, instead of one per row.
        return _by_code(array.dictionary_encode())
    return _with_nan(array.to_numpy(zero_copy_only=False), array)


def _by_code(column: pa.DictionaryArray) -> Values:
    """Each distinct value once, looked up by its code."""
    levels = _values(column.dictionary)  # of values that differ, so not through here again
    if not column.null_count and len(levels):
        found: Values = levels[column.indices.to_numpy()]
        return found
    codes = column.indices.cast(pa.int64()).fill_null(len(levels)).to_numpy()
    if levels.dtype == np.bool_:
        levels = levels.astype(object)
    found = np.append(levels, _nan(levels.dtype))[codes]
    return found


def _nan(kind: np.dtype[Any]) -> Values:
    return np.array([np.nan], dtype=kind)


def _with_nan(values: Values, array: pa.Array) -> Values:
    values = values.astype(object)
    if array.null_count:
        values[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return values


def _numbers(array: pa.Array) -> Values:
    if pa.types.is_decimal(array.type):
        return _decimals(array)
    values: Values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _decimals(array: pa.Array) -> Values:
    """Decimals rounded once, whatever precision and scale the column declares.

    Arrow's own cast rounds more than once, so that 0.7 could become another
    float as ``decimal(2, 1)`` than as ``decimal(30, 20)``.
    """
    scale = array.type.scale
    if not 0 <= scale <= 22 or pa.types.is_decimal256(array.type):
        return _slow_decimals(array)
    wide = array.cast(pa.decimal128(38, scale))
    halves = np.frombuffer(wide.buffers()[1], dtype=np.int64)
    halves = halves.reshape(-1, 2)[wide.offset : wide.offset + len(wide)]
    low, high = halves[:, 0], halves[:, 1]
    # 2^53 and 10^22 are the last ones that a float holds: one exact division, rounded once.
    exact = (high == low >> 63) & (low <= 1 << 53) & (low >= -(1 << 53))
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if not np.all(exact | missing):
        return _slow_decimals(array)
    values: Values = low.astype(np.float64) / np.float64(10**scale)
    values[missing] = np.nan
    return values


def _slow_decimals(array: pa.Array) -> Values:
    found = array.to_pylist()
    return np.array([np.nan if v is None else float(v) for v in found], dtype=np.float64)


def _moments(array: pa.Array) -> Values:
    distinct = array.dictionary_encode()
    kind, stamps = array.type, distinct.dictionary
    if pa.types.is_time(kind):
        # Through the first of January 1970: Python's own times end at microseconds.
        stamps = stamps.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        stamps = stamps.cast(pa.int64()).cast(pa.timestamp(kind.unit))
    elif getattr(kind, "tz", None):
        stamps = stamps.cast(pa.timestamp(kind.unit))
    raw = np.datetime_as_string(stamps.to_numpy(zero_copy_only=False))
    texts = pa.array([_moment_text(str(text), kind) for text in raw], pa.string())
    return _by_code(pa.DictionaryArray.from_arrays(distinct.indices, texts))


def _moment_text(text: str, kind: pa.DataType) -> str:
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    if pa.types.is_time(kind):
        return text.partition("T")[2]
    return text + "Z" if getattr(kind, "tz", None) else text.removesuffix("T00:00:00")
