"""Rows that are few enough to be held: as a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

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
    batches = [
        pa.Table.from_batches([batch]) for part in source.parts(wanted) for batch in part.batches()
    ]
    if not batches:
        return pd.DataFrame(columns=list(wanted))
    table = pa.concat_tables(batches, promote_options="permissive")
    for place, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            floats = table.column(place).cast(pa.float64())
            table = table.set_column(place, column.name, floats)
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame


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
