"""Raw features as tables: alignment, background rows, and number codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype, union_categoricals

from hitl_audit.errors import InputError

__all__ = [
    "Coding",
    "align",
    "as_frame",
    "hash_order",
    "is_number",
    "raw_rows",
    "sample_rows",
    "to_pandas",
]

FloatArray = npt.NDArray[np.float64]


def to_pandas(X: Any) -> Any:
    """A polars or pyarrow table as a DataFrame; anything else as it is."""
    if not isinstance(X, pd.DataFrame) and hasattr(X, "to_pandas"):
        return pd.DataFrame(X.to_pandas())
    return X


def as_frame(X: Any, *, name: str, feature_names: Sequence[str] | None = None) -> pd.DataFrame:
    """A table of raw features from a DataFrame, another library's table or a 2-D array.

    Raises:
        InputError: no rows, not two-dimensional, names that repeat or do not fit.
    """
    X = to_pandas(X)
    if isinstance(X, pd.DataFrame):
        frame = X.copy()
    elif hasattr(X, "toarray"):
        raise InputError(
            f"{name} is a sparse matrix of shape {X.shape}; expected a DataFrame or a dense array "
            f"(texts are explained by explain_text)"
        )
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise InputError(f"{name} has shape {array.shape}; expected a DataFrame or a 2-D array")
        frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    if feature_names is not None and not isinstance(X, pd.DataFrame):
        if len(feature_names) != frame.shape[1]:
            raise InputError(
                f"feature_names has {len(feature_names)} names; {name} has {frame.shape[1]} columns"
            )
        frame.columns = pd.Index(list(feature_names))
    if frame.empty:
        raise InputError(
            f"{name} has shape {frame.shape}; expected at least one row and one column"
        )
    if not frame.columns.is_unique:
        twice = sorted({str(c) for c in frame.columns[frame.columns.duplicated()]})
        raise InputError(f"{name} has repeated columns: {', '.join(twice)}; expected unique names")
    return frame


def raw_rows(
    model: Any, X: Any, feature_names: Sequence[str] | None = None
) -> tuple[pd.DataFrame, bool]:
    """X as a table of raw features, and whether the model wants arrays.

    Raises:
        InputError: as :func:`as_frame`.
    """
    named = getattr(model, "feature_names_in_", None)
    table = to_pandas(X)
    # An estimator that knows its width but no names was fitted on arrays, and says so in a warning.
    as_array = named is None and (
        not isinstance(table, pd.DataFrame) or hasattr(model, "n_features_in_")
    )
    names = feature_names if named is None else named
    return as_frame(table, name="X", feature_names=names), as_array


def align(X: pd.DataFrame, background: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give both tables the same columns in X's order, and the same dtypes.

    Raises:
        InputError: the background lacks a column.
    """
    missing = [str(c) for c in X.columns if c not in background.columns]
    if missing:
        raise InputError(f"background lacks the columns {', '.join(missing)} of X")
    background = background.loc[:, list(X.columns)].copy()
    X = X.copy()
    for name in X.columns:
        here, there = X[name], background[name]
        if here.dtype == there.dtype:
            continue
        if isinstance(here.dtype, pd.CategoricalDtype) and isinstance(
            there.dtype, pd.CategoricalDtype
        ):
            common: Any = union_categoricals([here, there], ignore_order=True).dtype
        else:
            common = pd.concat([here, there]).dtype
        X[name], background[name] = here.astype(common), there.astype(common)
    return X, background


def hash_order(frame: pd.DataFrame, *, random_state: int) -> npt.NDArray[np.intp]:
    """An order of the rows that depends on their contents and index, not on their places."""
    hashes = pd.util.hash_pandas_object(frame, index=True, hash_key=f"{random_state:016d}")
    return np.argsort(hashes.to_numpy(), kind="stable")


def sample_rows(frame: pd.DataFrame, size: int, *, random_state: int) -> pd.DataFrame:
    """The ``size`` rows with the smallest seeded hashes: a sample that no reordering changes."""
    return frame.iloc[hash_order(frame, random_state=random_state)[:size]]


def is_number(column: pd.Series) -> bool:
    """Whether a column is numeric; booleans are two categories."""
    return bool(is_numeric_dtype(column) and not is_bool_dtype(column))


@dataclass(frozen=True, eq=False)
class Coding:
    """Raw values as float codes and back, column by column.

    Numbers stand for themselves; any other value for its place in the
    column's sorted values (a missing value is a value of its own).
    """

    columns: tuple[Any, ...]
    values: dict[Any, pd.Series]
    dtypes: dict[Any, Any]

    @classmethod
    def of(cls, *frames: pd.DataFrame) -> Coding:
        """Learn the codes from tables of the same columns and dtypes."""
        first = frames[0]
        values: dict[Any, pd.Series] = {}
        for name in first.columns:
            if not is_number(first[name]):
                seen = pd.concat([f[name] for f in frames], ignore_index=True)
                unique = seen.drop_duplicates().reset_index(drop=True)
                order = np.argsort(unique.astype(object).map(str).to_numpy(), kind="stable")
                values[name] = unique.iloc[order].reset_index(drop=True)
        return cls(tuple(first.columns), values, {c: first[c].dtype for c in first.columns})

    def encode(self, frame: pd.DataFrame) -> FloatArray:
        """Codes, shape (n, p)."""
        out = np.empty((len(frame), len(self.columns)))
        for j, name in enumerate(self.columns):
            column = frame[name]
            if name in self.values:
                out[:, j] = pd.Index(self.values[name]).get_indexer(pd.Index(column))
            else:
                out[:, j] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return out

    def decode(self, codes: FloatArray) -> pd.DataFrame:
        """Raw values in their original dtypes; integer columns are rounded."""
        columns: dict[Any, Any] = {}
        for j, name in enumerate(self.columns):
            code, dtype = codes[:, j], self.dtypes[name]
            if name in self.values:
                # Typed, or pandas would take texts of type object for its own type of texts, and
                # None for NaN: encoders tell them apart.
                taken = self.values[name].array.take(code.astype(np.intp))
                columns[name] = pd.Series(taken, dtype=dtype)
            elif pd.api.types.is_integer_dtype(dtype):
                columns[name] = pd.Series(np.rint(code)).astype(dtype).array
            else:
                columns[name] = pd.Series(code).astype(dtype).array
        return pd.DataFrame(columns)
