"""Labels and sensitive features as an audit uses them: checked, named, by position.

A missing value becomes a group of its own, ``"unknown"``: it is counted and
listed, and never a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError

__all__ = ["ALL", "TIMES", "UNKNOWN", "binary_labels", "group_columns", "group_name"]

ALL = "all"
"""The attribute and the group of all rows together."""

UNKNOWN = "unknown"
"""The group of the rows whose value is missing."""

TIMES = " × "
"""Between the attributes, and the groups, of an intersection."""


def group_name(parts: tuple[str, ...]) -> str:
    """The name of a group of one or several attributes: ``"black × female"``."""
    return TIMES.join(parts)


def binary_labels(values: Any, name: str) -> npt.NDArray[np.int8]:
    """Check labels and return them as 0 and 1 (1 is the favorable outcome).

    Args:
        values: (rows,) booleans or the numbers 0 and 1.
        name: what the error calls them.

    Raises:
        InputError: not one-dimensional, empty, missing values, or other labels.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; accepted: one value per row")
    if array.size == 0:
        raise InputError(f"{name} is empty; accepted: at least one row")
    found = pd.unique(pd.Series(array))
    other = [value for value in found if pd.isna(value) or value not in (0, 1)]
    if other:
        missing = int(pd.isna(pd.Series(array)).sum())
        if missing:
            raise InputError(f"{name} is missing in {missing} of {array.size} rows; accepted: 0, 1")
        shown = ", ".join(repr(getattr(value, "item", lambda v=value: v)()) for value in other[:5])
        raise InputError(f"{name} has the labels {shown}; accepted: 0 and 1 (1 is favorable)")
    return array.astype(np.int8)


def group_columns(sensitive_features: Any, rows: int) -> dict[str, npt.NDArray[np.str_]]:
    """Sensitive features as one array of group names per attribute.

    Args:
        sensitive_features: DataFrame, Series, mapping of names to values, or
            array of shape (rows,) or (rows, attributes). Rows are matched by
            position, never by index. Without a name an attribute is called
            ``sensitive_feature_0``, as in Fairlearn.
        rows: how many rows there must be.

    Raises:
        InputError: no attribute, two of one name, a name that is reserved, or
            another number of rows.
    """
    columns: dict[str, npt.NDArray[np.str_]] = {}
    for name, values in _named(sensitive_features):
        if name in columns:
            raise InputError(f'sensitive_features has two columns called "{name}"')
        if name == ALL:
            raise InputError(f'sensitive_features has a column called "{ALL}", a reserved name')
        series = pd.Series(np.asarray(values))
        if len(series) != rows:
            raise InputError(
                f'sensitive_features: got {len(series)} rows in "{name}", expected {rows}'
            )
        codes, levels = pd.factorize(series)
        names = np.array([*(_text(level) for level in levels), UNKNOWN], dtype=np.str_)
        columns[name] = names[codes]  # the code of a missing value is −1: the last name
    if not columns:
        raise InputError("sensitive_features has no column; accepted: at least one attribute")
    return columns


def _named(features: Any) -> list[tuple[str, Any]]:
    if isinstance(features, pd.DataFrame):
        return [(str(name), features.iloc[:, i]) for i, name in enumerate(features.columns)]
    if isinstance(features, Mapping):
        return [(str(name), values) for name, values in features.items()]
    if isinstance(features, pd.Series):
        return [("sensitive_feature_0" if features.name is None else str(features.name), features)]
    array = np.asarray(features)
    if array.ndim == 1:
        return [("sensitive_feature_0", array)]
    if array.ndim == 2:
        return [(f"sensitive_feature_{i}", array[:, i]) for i in range(array.shape[1])]
    raise InputError(
        f"sensitive_features has shape {array.shape}; accepted: (rows,) or (rows, attributes)"
    )


def _text(level: Any) -> str:
    """A level as text; a column of whole numbers became floats if values are missing."""
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)
