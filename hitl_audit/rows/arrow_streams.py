"""Whatever gives Arrow batches: polars LazyFrames, and any object that speaks the C stream."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitl_audit.errors import InputError
from hitl_audit.rows.parquet import ParquetFiles
from hitl_audit.rows.part import BATCH_ROWS, RowSource
from hitl_audit.rows.streams import Stream, in_words
from hitl_audit.rows.tables import arrow_table

__all__ = ["arrow_stream", "narwhals_frame", "polars_lazy"]


def polars_lazy(frame: Any, *, field: str) -> Stream:
    """A LazyFrame of polars, run by its streaming engine."""
    if not hasattr(frame, "collect_batches"):
        raise InputError(
            f"{field} is a LazyFrame, which this polars cannot give batch by batch; accepted: "
            "polars 1.34 or newer, or a parquet file that sink_parquet wrote"
        )

    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        chosen = frame.select(names)
        found = chosen.collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True, lazy=True, engine="streaming"
        )
        for batch in found:
            yield from batch.to_arrow().to_batches()

    description = "a polars LazyFrame"
    with in_words(f"{field}: {description}"):
        schema = frame.limit(0).collect().to_arrow().schema
    return Stream(schema, read, description=description, field=field)


def arrow_stream(found: Any, *, field: str) -> Stream:
    """An object with ``__arrow_c_stream__``.

    It is asked for its stream once here, for the types; the first reading
    continues that stream, so that one which can be read only once is read.
    """
    description = f"a {type(found).__name__}"
    place = f"{field}: {description}"
    with in_words(place):
        opened = [pa.RecordBatchReader.from_stream(found)]
    schema = opened[0].schema

    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        reader = opened.pop() if opened else pa.RecordBatchReader.from_stream(found)
        with contextlib.closing(reader):
            for batch in reader:
                yield batch.select(list(names))

    once = isinstance(found, pa.RecordBatchReader)
    return Stream(schema, read, description=description, field=field, once=once)


def narwhals_frame(found: Any, *, field: str) -> RowSource | None:
    """Anything else that narwhals knows; None if it does not.

    A lazy frame is written to a parquet file in the temporary folder first:
    what narwhals promises of every backend is that, and not batches. The file
    is removed when this process ends.
    """
    import narwhals as nw

    frame = nw.from_native(found, pass_through=True)
    description = f"a {type(found).__name__}"
    if isinstance(frame, nw.DataFrame):
        return arrow_table(frame.to_arrow(), field=field, description=description)
    if not isinstance(frame, nw.LazyFrame):
        return None
    folder = Path(tempfile.mkdtemp(prefix="hitl-audit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with in_words(f"{field}: {description}"):
        target = folder / "rows.parquet"
        frame.sink_parquet(target)
    written = sorted(target.rglob("*.parquet")) if target.is_dir() else [target]
    return ParquetFiles(written, description=description, field=field)
