"""What a source of rows is, and what a part of it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import pyarrow as pa

from hitl_audit.errors import InputError, did_you_mean

__all__ = ["BATCH_ROWS", "ROWS_PER_PART", "Part", "RowSource", "known_columns"]

ROWS_PER_PART = 100_000
# Rows decoded at a time: a part of any length is read in this much memory.
BATCH_ROWS = 50_000


@runtime_checkable
class Part(Protocol):
    """Some of the rows; can be pickled and read in any process that sees its file."""

    @property
    def name(self) -> str:
        """For people: ``part 3 (loans-07.parquet, row groups 4 to 6)``."""

    @property
    def key(self) -> str:
        """Equal keys mean equal bytes: a digest; empty if that cannot be known."""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows, a bounded number at a time.

        Args:
            columns: which, in which order; by default those the part was made for.

        Raises:
            InputError: the file is gone, was changed, or cannot be read.
        """


@runtime_checkable
class RowSource(Protocol):
    """Rows that are read part by part, and never held as a whole."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, in order; no name occurs twice."""

    @property
    def description(self) -> str:
        """For people: where the rows come from; without passwords."""

    @property
    def rows(self) -> int | None:
        """How many, if that is known without reading them."""

    def parts(
        self, columns: Sequence[str], *, rows_per_part: int = ROWS_PER_PART
    ) -> Iterable[Part]:
        """Divide the rows; how they are divided never changes a result.

        Args:
            columns: those that will be read.
            rows_per_part: how many rows a part should have. A row group of a
                parquet file that has fewer is never divided.

        Returns:
            The parts; a sequence where their number is known in advance,
            otherwise an iterator that reads as it goes.

        Raises:
            InputError: an unknown column, one whose values are no single
                values, or rows that can be read only once and were.
        """


def known_columns(columns: Sequence[str], accepted: Sequence[str], field: str) -> tuple[str, ...]:
    """Check names of columns; a name that is given twice is one column.

    Raises:
        InputError: a column that is not there.
    """
    for column in columns:
        if column not in accepted:
            raise InputError(
                f'{field}: there is no column "{column}"'
                + (did_you_mean(str(column), accepted) or f"; there are: {', '.join(accepted)}")
            )
    return tuple(dict.fromkeys(columns))
