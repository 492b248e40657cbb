"""Rows that arrive as Arrow batches: what was pulled is the part."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from hitl_audit.canonical import digest_bytes
from hitl_audit.errors import AuditError, InputError
from hitl_audit.rows.normal import check_schema
from hitl_audit.rows.part import BATCH_ROWS, ROWS_PER_PART, known_columns

__all__ = ["HeldPart", "Stream", "in_words", "pieces"]


@contextlib.contextmanager
def in_words(place: str, hide: Callable[[str], str] = lambda text: text) -> Iterator[None]:
    """Turn what a library raises while reading into one line that says what was read.

    Args:
        place: what the message starts with.
        hide: takes out what must not be shown, such as a password.

    Raises:
        InputError: the library raised.
    """
    try:
        yield
    except AuditError:
        raise
    except Exception as error:
        # Drivers go on with advice about their own options, and with the query as we sent it.
        said = re.split(r"Possible |Query was: |\nquery: ", hide(str(error)))[0]
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise InputError(f"{place}: {' '.join(lines[:4]) or type(error).__name__}") from None


@dataclass(frozen=True)
class HeldPart:
    """A part whose rows are at hand; it travels to another process with them."""

    name: str
    held: tuple[pa.RecordBatch, ...]

    @cached_property
    def key(self) -> str:
        """The digest of the rows as an Arrow stream."""
        return digest_bytes(_written(self.held))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows; see :class:`~hitl_audit.rows.part.Part`."""
        for batch in self.held:
            if columns is not None:
                names = known_columns(columns, batch.schema.names, self.name)
                batch = batch.select(list(names))
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    def __getstate__(self) -> tuple[str, bytes]:
        # Arrow pickles the whole of what a slice was cut from; a stream holds the slice alone.
        return self.name, _written(self.held)

    def __setstate__(self, state: tuple[str, bytes]) -> None:
        name, written = state
        object.__setattr__(self, "name", name)
        with pa.ipc.open_stream(written) as reader:
            object.__setattr__(self, "held", tuple(reader))


def _written(batches: Sequence[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    schema = batches[0].schema.remove_metadata()
    # Dictionaries may differ from batch to batch: a stream allows that, with deltas or anew.
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(None))
    written: bytes = sink.getvalue().to_pybytes()
    return written


class Stream:
    """Rows that are read in order from something that yields Arrow batches.

    Args:
        schema: names and types of all columns.
        read: starts reading these columns; yields batches of any size.
        description: where the rows come from, for people.
        field: the plan's key, for error messages.
        rows: how many, if known.
        once: the rows can be read a single time.
    """

    def __init__(
        self,
        schema: pa.Schema,
        read: Callable[[tuple[str, ...]], Iterator[pa.RecordBatch]],
        *,
        description: str,
        field: str,
        rows: int | None = None,
        once: bool = False,
        hide: Callable[[str], str] = lambda text: text,
    ) -> None:
        check_names(schema.names, field)
        self.schema = schema
        self.columns: tuple[str, ...] = tuple(schema.names)
        self.description = description
        self.rows = rows
        self.field = field
        self.once = once
        self._read = read
        self._hide = hide
        self._reads = 0
        self._counted: int | None = None

    def __repr__(self) -> str:
        return f"Stream({self.description!r}, columns={list(self.columns)})"

    def parts(
        self, columns: Sequence[str], *, rows_per_part: int = ROWS_PER_PART
    ) -> Iterator[HeldPart]:
        """Pull the rows, ``rows_per_part`` at a time.

        See :class:`~hitl_audit.rows.part.RowSource`. At most one part and one
        batch of what is read are held here.

        Raises:
            InputError: a column that cannot be used; while reading: the source
                failed, or gave another number of rows than the first time.
        """
        names = known_columns(columns, self.columns, self.field)
        check_schema(pa.schema([self.schema.field(name) for name in names]), self.field)
        if self.once and self._reads:
            raise InputError(
                f"{self.field}: {self.description} can be read only once, and was; accepted for "
                "what is read again: a file, a query, or a table"
            )
        self._reads += 1
        return self._pull(names, rows_per_part)

    def _pull(self, names: tuple[str, ...], rows_per_part: int) -> Iterator[HeldPart]:
        done = 0
        with in_words(f"{self.field}: {self.description}", self._hide):
            for number, held in enumerate(pieces(self._read(names), rows_per_part), 1):
                rows = sum(batch.num_rows for batch in held)
                yield HeldPart(f"part {number} (rows {done + 1} to {done + rows})", held)
                done += rows
        if self._counted not in (None, done):
            raise InputError(
                f"{self.field}: {self.description} had {self._counted} rows when it was first "
                f"read and {done} now; accepted: rows that stay the same during an audit"
            )
        self._counted = done


def check_names(names: Sequence[Any], field: str) -> None:
    """Check that there are columns, and none of the name of another.

    Raises:
        InputError: no column, or two of one name.
    """
    if not names:
        raise InputError(f"{field} has no columns")
    twice = sorted({str(name) for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(f'{field} has two columns called "{twice[0]}"')


def pieces(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """Cut a stream of batches into pieces of exactly so many rows, but for the last."""
    held: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, missing)
            held.append(part)
            start += part.num_rows
            missing -= part.num_rows
            if not missing:
                yield tuple(held)
                held, missing = [], rows
    if held:
        yield tuple(held)
