"""Parquet files, read by ranges of row groups."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError
from hitl_audit.rows.normal import check_schema, kind_of
from hitl_audit.rows.part import BATCH_ROWS, ROWS_PER_PART, known_columns
from hitl_audit.rows.streams import check_names, in_words

__all__ = ["ParquetFiles", "ParquetPart"]

# A row group is decoded from its start whichever rows are wanted of it: at worst,
# by readers that never go on, more pieces would decode more in vain than they gain.
_MOST_PIECES = 16
# Column chunks are read through windows of this size instead of as a whole.
_WINDOW = 1 << 20


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    mtime_ns: int
    groups: tuple[int, ...]

    @classmethod
    def read(cls, path: Path, metadata: pq.FileMetaData) -> _File:
        stat = path.stat()
        groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        return cls(str(path), stat.st_size, stat.st_mtime_ns, groups)


class _Reader:
    """Reads row groups forward.

    Pages are decoded from the start of a row group whichever rows are wanted
    of it. So a reader that stopped within one is kept, one per process, and
    goes on if the next part starts there or later: whoever reads the pieces of
    a row group in order decodes it once.
    """

    _kept: ClassVar[dict[Any, _Reader]] = {}

    def __init__(self, part: ParquetPart, columns: tuple[str, ...], key: Any) -> None:
        self._key = key
        self._file = pq.ParquetFile(part.path, buffer_size=_WINDOW, pre_buffer=False)
        known_columns(columns, self._file.schema_arrow.names, part.name)
        self._columns = list(columns)
        groups = list(range(part.first, part.last + 1))
        self._rows = sum(self._file.metadata.row_group(i).num_rows for i in groups)
        self._batches = self._file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=self._columns, use_threads=False
        )
        self._place = 0
        self._rest: pa.RecordBatch | None = None

    @classmethod
    def at(cls, part: ParquetPart, columns: tuple[str, ...]) -> _Reader:
        """The reader that was kept, if it is of these rows and not beyond them, or a new one."""
        key = (part.path, part.size, part.mtime_ns, part.first, part.last, columns)
        # Taken out, so that no other thread reads from it.
        kept = cls._kept.pop(key, None)
        if kept is not None and kept._place <= part.start:
            return kept
        return cls(part, columns, key)

    def read(self, start: int, stop: int) -> Iterator[pa.RecordBatch]:
        """The rows from start to before stop; both count from the first row group."""
        while self._place < stop:
            batch = self._rest if self._rest is not None else next(self._batches)
            self._rest = None
            skipped = max(start - self._place, 0)
            taken = min(batch.num_rows, stop - self._place)
            self._place += taken
            if taken < batch.num_rows:
                self._rest = batch.slice(taken)
            if skipped < taken:
                yield batch.slice(skipped, taken - skipped).select(self._columns)

    def keep(self) -> None:
        """Let the next part go on from here, or close the file if there is no more of it."""
        self._kept.clear()
        if self._place < self._rows:
            self._kept[self._key] = self
        else:
            self._file.close()


@dataclass(frozen=True)
class ParquetPart:
    """Row groups of one file, or some rows of one row group.

    Attributes:
        name: for people.
        path: absolute.
        size: of the file in bytes, when the part was made.
        mtime_ns: when the file was written, when the part was made.
        first: the first row group, from 0.
        last: the last one.
        start: the first row within these row groups, from 0.
        stop: the row after the last.
        columns: what is read by default.
        typed: the type that columns without one in this file have in the others.
    """

    name: str
    path: str
    size: int
    mtime_ns: int
    first: int
    last: int
    start: int
    stop: int
    columns: tuple[str, ...]
    typed: tuple[tuple[str, pa.DataType], ...] = ()

    @property
    def key(self) -> str:
        """The digest of the path, size and time of the file, and of which rows."""
        where = [self.path, str(self.size), str(self.mtime_ns)]
        return digest([*where, self.first, self.last, self.start, self.stop])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows; see :class:`~hitl_audit.rows.part.Part`."""
        names = self.columns if columns is None else tuple(columns)
        with in_words(self.name):
            self._check_unchanged()
            reader = _Reader.at(self, names)
            for batch in reader.read(self.start, self.stop):
                yield self._typed(batch)
            reader.keep()
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        try:
            stat = Path(self.path).stat()
        except OSError:
            raise InputError(f"{self.name}: the file {self.path} is gone") from None
        if (stat.st_size, stat.st_mtime_ns) != (self.size, self.mtime_ns):
            raise InputError(
                f"{self.name}: the file {self.path} was changed after the audit started; "
                "run the audit again"
            )

    def _typed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for name, kind in self.typed:
            place = batch.schema.get_field_index(name)
            if place >= 0:
                empty = pa.nulls(batch.num_rows, kind)
                batch = batch.set_column(place, pa.field(name, kind), empty)
        return batch


class ParquetFiles:
    """One parquet file, or several with the same columns.

    Args:
        paths: absolute, in the order of their rows.
        description: where the rows come from, for people.
        field: the plan's key, for error messages.

    Raises:
        InputError: a file that cannot be read as parquet, or columns that
            differ from file to file.
    """

    def __init__(self, paths: Sequence[Path], *, description: str, field: str) -> None:
        self.description = description
        self.field = field
        self._files = []
        self._typed: list[tuple[tuple[str, pa.DataType], ...]] = []
        schemas = []
        for path in paths:
            with in_words(f"{field}: {path.name} cannot be read as parquet"):
                with pq.ParquetFile(path) as file:
                    metadata, schema = file.metadata, file.schema_arrow
                self._files.append(_File.read(path, metadata))
            check_names(schema.names, f"{field}: {path.name}")
            hidden = _index_columns(schema)
            schemas.append(pa.schema([f for f in schema if f.name not in hidden]))
        self.schema = _one_schema(schemas, [path.name for path in paths], field)
        self.columns: tuple[str, ...] = tuple(self.schema.names)
        self.rows: int = sum(sum(file.groups) for file in self._files)
        for schema in schemas:
            untyped = [f for f in schema if pa.types.is_null(f.type)]
            self._typed.append(tuple((f.name, self.schema.field(f.name).type) for f in untyped))

    def __repr__(self) -> str:
        return f"ParquetFiles({self.description!r}, rows={self.rows})"

    def parts(
        self, columns: Sequence[str], *, rows_per_part: int = ROWS_PER_PART
    ) -> tuple[ParquetPart, ...]:
        """Ranges of row groups; see :class:`~hitl_audit.rows.part.RowSource`."""
        names = known_columns(columns, self.columns, self.field)
        check_schema(pa.schema([self.schema.field(name) for name in names]), self.field)
        numbers = count(1)
        return tuple(
            self._part(next(numbers), file, span, names, typed)
            for file, typed in zip(self._files, self._typed, strict=True)
            for span in _spans(file.groups, rows_per_part)
        )

    def _part(
        self,
        number: int,
        file: _File,
        span: tuple[int, int, int, int],
        names: tuple[str, ...],
        typed: tuple[tuple[str, pa.DataType], ...],
    ) -> ParquetPart:
        first, last, start, stop = span
        which = f"row group {first}" if first == last else f"row groups {first} to {last}"
        if first == last and stop - start < file.groups[first]:
            which += f", rows {start + 1} to {stop}"
        return ParquetPart(
            f"part {number} ({Path(file.path).name}, {which})",
            file.path,
            file.size,
            file.mtime_ns,
            *span,
            names,
            tuple((name, kind) for name, kind in typed if name in names),
        )


def _spans(groups: Sequence[int], rows_per_part: int) -> Iterator[tuple[int, int, int, int]]:
    """First and last row group, first row and the row after the last within them."""
    first, rows = 0, 0
    for i, size in enumerate(groups):
        if rows and rows + size > rows_per_part:
            yield first, i - 1, 0, rows
            rows = 0
        if not rows:
            first = i
        if size > rows_per_part:
            number = min(-(-size // rows_per_part), _MOST_PIECES)
            edges = [size * k // number for k in range(number + 1)]
            for start, stop in pairwise(edges):
                yield i, i, start, stop
        else:
            rows += size
    if rows:
        yield first, len(groups) - 1, 0, rows


def _index_columns(schema: pa.Schema) -> set[str]:
    """What pandas wrote as its index: not a column there, so not one here."""
    raw = (schema.metadata or {}).get(b"pandas")
    if raw is None:
        return set()
    kept: list[Any] = json.loads(raw).get("index_columns", [])
    return {name for name in kept if isinstance(name, str)}


def _one_schema(schemas: Sequence[pa.Schema], names: Sequence[str], field: str) -> pa.Schema:
    """The columns of the first file, with types of the first file that has one."""
    first = schemas[0]
    found: dict[str, tuple[pa.DataType, str]] = {}
    for schema, name in zip(schemas, names, strict=True):
        for one, other, has, lacks in (
            (first, schema, names[0], name),
            (schema, first, name, names[0]),
        ):
            for column in one.names:
                if other.get_field_index(column) < 0:
                    raise InputError(
                        f'{field}: {lacks} lacks the column "{column}", which {has} has; '
                        "accepted: files with the same columns"
                    )
        for column in schema:
            known, where = found.get(column.name, (pa.null(), name))
            if pa.types.is_null(known):
                found[column.name] = (column.type, name)
            elif not pa.types.is_null(column.type) and not _alike(known, column.type):
                raise InputError(
                    f'{field}: "{column.name}" is of the type {column.type} in {name} and '
                    f"{known} in {where}; accepted: the same kind of values in all files"
                )
    return pa.schema([(column, found[column][0]) for column in first.names])


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    kind = kind_of(one)
    if kind is None:
        return bool(one == other)
    return kind == kind_of(other) and _sort_of_moment(one) == _sort_of_moment(other)


def _sort_of_moment(kind: pa.DataType) -> tuple[bool, bool]:
    """A time of day is no date; a moment with a zone is written in another way than without."""
    return pa.types.is_time(kind), bool(getattr(kind, "tz", None))
