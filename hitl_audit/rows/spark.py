"""A DataFrame of Spark, classic or Connect, as a source of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from hitl_audit.rows.normal import check_schema
from hitl_audit.rows.part import ROWS_PER_PART, known_columns
from hitl_audit.rows.streams import HeldPart, Stream, in_words

__all__ = ["SparkParts", "is_spark_frame"]


def is_spark_frame(value: Any) -> bool:
    """Whether this is a DataFrame of PySpark; without importing PySpark."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql.")
        for kind in type(value).__mro__
    )


class SparkParts:
    """Rows in Spark, both a :class:`~hitl_audit.rows.part.RowSource` and its own parts.

    An engine that runs on Spark takes ``frame`` and never asks for a part. Any
    other engine iterates: the rows then come to this process, one partition of
    Spark after the other.

    Args:
        frame: a DataFrame of PySpark, classic or Connect.
        field: the plan's key, for error messages.

    Attributes:
        frame: with the columns that will be read, and no others.
        columns: their names.
        rows: None; counting them is a job.
    """

    def __init__(
        self, frame: Any, *, field: str = "data.path", rows_per_part: int = ROWS_PER_PART
    ) -> None:
        self.frame = frame
        self.columns: tuple[str, ...] = tuple(frame.columns)
        self.description = "a Spark DataFrame"
        self.field = field
        self.rows: int | None = None
        self._rows_per_part = rows_per_part

    def __repr__(self) -> str:
        return f"SparkParts(columns={list(self.columns)})"

    def parts(self, columns: Sequence[str], *, rows_per_part: int = ROWS_PER_PART) -> SparkParts:
        """These columns; see :class:`~hitl_audit.rows.part.RowSource`."""
        names = known_columns(columns, self.columns, self.field)
        chosen = SparkParts(
            self.frame.select(*(_quoted(name) for name in names)),
            field=self.field,
            rows_per_part=rows_per_part,
        )
        check_schema(chosen._stream().schema, self.field)
        return chosen

    def __iter__(self) -> Iterator[HeldPart]:
        """Pull the rows to this process, part by part."""
        return self._stream().parts(self.columns, rows_per_part=self._rows_per_part)

    def _stream(self) -> Stream:
        from pyspark.sql.pandas.types import to_arrow_schema

        with in_words(f"{self.field}: {self.description}"):
            schema = to_arrow_schema(self.frame.schema, timezone="UTC")
        return Stream(schema, self._pulled, description=self.description, field=self.field)

    def _pulled(self, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        """Each batch travels as one value of one row."""

        def as_values(batches: Iterator[Any]) -> Iterator[Any]:
            # Inside, so that the workers need pyarrow and nothing of ours.
            import pyarrow

            for batch in batches:
                sink = pyarrow.BufferOutputStream()
                with pyarrow.ipc.new_stream(sink, batch.schema) as writer:
                    writer.write_batch(batch)
                yield pyarrow.record_batch({"rows": [sink.getvalue().to_pybytes()]})

        # mapInArrow looks columns up by name, and takes a dot in one for a field of a struct.
        plain = [f"c{i}" for i in range(len(names))]
        chosen = self.frame.select(*(_quoted(name) for name in names)).toDF(*plain)
        for row in chosen.mapInArrow(as_values, "rows binary").toLocalIterator():
            with pa.ipc.open_stream(bytes(row[0])) as reader:
                for batch in reader:
                    yield batch.rename_columns(list(names))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
