"""Rows that are few enough to be held: as a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from hitl_audit.rows.normal import numbers
from hitl_audit.rows.part import RowSource

__all__ = ["collect", "has_more_than"]


def collect(source: RowSource, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """All rows in memory, with the types that pandas gives to what it reads itself.

    Integers stay integers unless one is missing, text has the type of text,
    categories stay categories, moments are moments. Decimals become floats:
    nothing computes with pandas' objects of them.

    Args:
        source: the rows.
        columns: which, in which order; by default all.

    Raises:
        InputError: a column that cannot be used, or rows that cannot be read.
    """
    wanted = source.columns if columns is None else tuple(columns)
    tables = [
        pa.Table.from_batches([batch.replace_schema_metadata(None)])
        for part in source.parts(wanted)
        for batch in part.batches()
    ]
    if not tables:
        return pd.DataFrame(columns=list(wanted))
    frame: pd.DataFrame = pa.table(
        [_one_column([table.column(name) for table in tables]) for name in wanted],
        names=list(wanted),
    ).to_pandas()
    return frame


def _one_column(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Columns of files that wrote the same kind of values as other types, as one."""
    if pa.types.is_decimal(columns[0].type):
        return pa.chunked_array([pa.array(numbers(column)) for column in columns])
    if len({column.type for column in columns}) > 1:
        columns = [_widened(column) for column in columns]
    alone = [pa.table([column], names=["one"]) for column in columns]
    return pa.concat_tables(alone, promote_options="permissive").column(0)


def _widened(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as their values and dates as moments: what Arrow does not widen itself."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column.cast(pa.timestamp("us")) if pa.types.is_date(column.type) else column


def has_more_than(source: RowSource, rows: int) -> bool:
    """Whether there are more rows than this; reads no more of them than it takes.

    Raises:
        InputError: the rows cannot be read.
    """
    if source.rows is not None:
        return source.rows > rows
    found = 0
    for part in source.parts(source.columns[:1], rows_per_part=rows + 1):
        found += sum(batch.num_rows for batch in part.batches())
        if found > rows:
            return True
    return False
