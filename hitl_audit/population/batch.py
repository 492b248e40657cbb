"""Some rows in the form in which the pass uses them: values, and text by its levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.inputs import missing_columns
from hitl_audit.rows import normal_frame

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "Levels", "counted_levels", "read_batch"]


@dataclass(frozen=True, eq=False)
class Levels:
    """The distinct values of a column.

    Attributes:
        codes: (rows,) the place of each row's value in ``values``; −1 if it is missing.
        values: those that occur, each once.
    """

    codes: npt.NDArray[np.int64]
    values: Sequence[Any]


@dataclass(eq=False)
class Batch:
    """Some rows.

    Attributes:
        frame: their values, as :func:`hitl_audit.rows.normal_frame` has them.
    """

    frame: pd.DataFrame
    _levels: dict[str, Levels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def levels(self, name: str) -> Levels:
        """The distinct values of a column, found once."""
        if name not in self._levels:
            codes, values = pd.factorize(self.frame[name].to_numpy())
            self._levels[name] = Levels(codes.astype(np.int64), values.tolist())
        return self._levels[name]

    def only(self, kept: npt.NDArray[np.bool_]) -> Batch:
        """Some of the rows."""
        return Batch(self.frame[kept].reset_index(drop=True))


def read_batch(batch: pa.RecordBatch, columns: Sequence[str], place: str) -> Batch:
    """Read rows as Arrow has them; text is read once per distinct value.

    Args:
        batch: the rows.
        columns: which, in which order.
        place: what an error starts with.

    Raises:
        InputError: a column that is not there, or of a type that is not accepted.
    """
    import pyarrow as pa

    missing_columns(columns, pd.DataFrame(columns=batch.schema.names), place)
    arrays: dict[str, pa.Array] = {}
    levels: dict[str, Levels] = {}
    for name in columns:
        array = batch.column(batch.schema.names.index(name))
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            array = array.dictionary_encode()
            codes = array.indices.fill_null(-1).to_numpy().astype(np.int64)
            levels[name] = Levels(codes, array.dictionary.to_pylist())
        arrays[name] = array
    table = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    return Batch(normal_frame(table), levels)


def counted_levels(levels: Levels) -> tuple[npt.NDArray[np.int64], int]:
    """(values,) rows of each value, and the rows without one."""
    counts = np.bincount(levels.codes + 1, minlength=len(levels.values) + 1)
    return counts[1:], int(counts[0])
