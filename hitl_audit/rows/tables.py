"""Tables that are in memory already: parts are slices, made when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import pyarrow as pa

from hitl_audit.errors import InputError
from hitl_audit.rows.normal import ACCEPTED, check_schema
from hitl_audit.rows.part import ROWS_PER_PART, known_columns
from hitl_audit.rows.streams import HeldPart, check_names, in_words

__all__ = ["Table", "arrow_table", "pandas_table", "polars_table"]

# Columns, first row, how many rows.
Cut = Callable[[tuple[str, ...], int, int], Sequence[pa.RecordBatch]]


class Table:
    """A table in memory.

    Args:
        schema: names and types of all columns.
        rows: how many.
        cut: some rows of some columns, as Arrow.
        description: what it is, for people.
        field: the plan's key, for error messages.
    """

    def __init__(
        self, schema: pa.Schema, rows: int, cut: Cut, *, description: str, field: str
    ) -> None:
        check_names(schema.names, field)
        self.schema = schema
        self.columns: tuple[str, ...] = tuple(schema.names)
        self.rows: int = rows
        self.description = description
        self.field = field
        self._cut = cut

    def __repr__(self) -> str:
        return f"Table({self.description!r}, rows={self.rows})"

    def parts(self, columns: Sequence[str], *, rows_per_part: int = ROWS_PER_PART) -> _Parts:
        """Slices; see :class:`~hitl_audit.rows.part.RowSource`."""
        names = known_columns(columns, self.columns, self.field)
        check_schema(pa.schema([self.schema.field(name) for name in names]), self.field)
        return _Parts(self._cut, names, self.rows, rows_per_part, self.field)


class _Parts(Sequence[HeldPart]):
    """Slices of a table, each made when it is asked for."""

    def __init__(
        self, cut: Cut, names: tuple[str, ...], rows: int, rows_per_part: int, field: str
    ) -> None:
        self._cut, self._names, self._field = cut, names, field
        self._starts = range(0, rows, rows_per_part)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> HeldPart: ...
    @overload
    def __getitem__(self, place: slice) -> list[HeldPart]: ...
    def __getitem__(self, place: int | slice) -> HeldPart | list[HeldPart]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        start = self._starts[place]
        number = start // self._starts.step
        rows = min(self._starts.step, self._rows - start)
        name = f"part {number + 1} (rows {start + 1} to {start + rows})"
        with in_words(f"{self._field}: {name}"):
            return HeldPart(name, tuple(self._cut(self._names, start, rows)))

    def __iter__(self) -> Iterator[HeldPart]:
        return (self[i] for i in range(len(self)))


def arrow_table(table: pa.Table, *, field: str, description: str = "an Arrow table") -> Table:
    """A table or a batch of pyarrow."""

    def cut(names: tuple[str, ...], start: int, rows: int) -> list[pa.RecordBatch]:
        batches: list[pa.RecordBatch] = table.select(list(names)).slice(start, rows).to_batches()
        return batches

    return Table(table.schema, table.num_rows, cut, description=description, field=field)


def polars_table(frame: Any, *, field: str) -> Table:
    """A DataFrame of polars."""

    def cut(names: tuple[str, ...], start: int, rows: int) -> list[pa.RecordBatch]:
        found: list[pa.RecordBatch] = frame.select(names).slice(start, rows).to_arrow().to_batches()
        return found

    with in_words(field):
        schema = frame.head(0).to_arrow().schema
    return Table(schema, frame.height, cut, description="a polars DataFrame", field=field)


def pandas_table(frame: Any, *, field: str) -> Table:
    """A DataFrame of pandas; its index is left out, as everywhere in an audit.

    Raises:
        InputError: two columns of one name, or a column of objects that are no
            values of one kind.
    """
    names = [str(name) for name in frame.columns]
    check_names(names, field)
    fields = [
        pa.field(name, _arrow_type(frame.iloc[:, place], name, field))
        for place, name in enumerate(names)
    ]
    schema = pa.schema(fields)

    def cut(wanted: tuple[str, ...], start: int, rows: int) -> list[pa.RecordBatch]:
        kinds = pa.schema([schema.field(name) for name in wanted])
        arrays = [
            pa.array(
                frame.iloc[start : start + rows, names.index(one.name)],
                type=None if pa.types.is_dictionary(one.type) else one.type,
                from_pandas=True,
            )
            for one in kinds
        ]
        # A column may come in pieces of its own (pandas keeps Arrow's chunks).
        return pa.table(arrays, names=list(wanted)).to_batches()  # type: ignore[no-any-return]

    return Table(schema, len(frame), cut, description="a pandas DataFrame", field=field)


def _arrow_type(column: Any, name: str, field: str) -> pa.DataType:
    """The type of a whole column; of objects it is known only when all were looked at."""
    values = column if column.dtype == object else column.iloc[:0]
    try:
        kind = pa.array(values, from_pandas=True).type
        if values is column and pa.types.is_decimal(kind):
            return kind
        return kind
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        found = sorted({type(value).__name__ for value in values.dropna()}) or [column.dtype]
        raise InputError(
            f'{field}: the column "{name}" has values of the types '
            f"{', '.join(map(str, found))}; accepted: one kind per column out of {ACCEPTED}"
        ) from None
