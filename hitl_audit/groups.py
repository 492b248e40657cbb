"""Labels and sensitive features as an audit uses them: checked, named, by position.

A missing value becomes a group of its own, ``"unknown"``: it is counted and
listed, and never a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError

__all__ = [
    "ALL",
    "TIMES",
    "UNKNOWN",
    "Codes",
    "Feature",
    "binary_labels",
    "encode",
    "group_columns",
    "group_name",
    "level_text",
    "missing_and_unknown",
]

Codes = npt.NDArray[np.int64]

ALL = "all"
"""The attribute and the group of all rows together."""

UNKNOWN = "unknown"
"""The group of the rows whose value is missing, or is this word."""

TIMES = " × "
"""Between the attributes, and the groups, of an intersection."""


@dataclass(frozen=True, eq=False)
class Feature:
    """One column of groups.

    Attributes:
        name: of the column.
        codes: (rows,) the place of each row's group in ``names``.
        names: the groups as text, sorted.
        values: the same groups as they were given; ``"unknown"`` for missing.
    """

    name: str
    codes: Codes
    names: tuple[str, ...]
    values: tuple[Any, ...]


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
    if array.dtype.kind in "biu" and array.min() >= 0 and array.max() <= 1:
        return array.astype(np.int8)
    found = pd.unique(pd.Series(array))
    other = [value for value in found if pd.isna(value) or value not in (0, 1)]
    if other:
        missing = int(pd.isna(pd.Series(array)).sum())
        if missing:
            raise InputError(f"{name} is missing in {missing} of {array.size} rows; accepted: 0, 1")
        shown = ", ".join(repr(getattr(value, "item", lambda v=value: v)()) for value in other[:5])
        raise InputError(f"{name} has the labels {shown}; accepted: 0 and 1 (1 is favorable)")
    return array.astype(np.int8)


def encode(features: Any, rows: int, argument: str = "sensitive_features") -> tuple[Feature, ...]:
    """Encode a table, a column, a mapping of columns or an array, matched by position.

    pandas and NumPy are read directly; polars and Arrow through narwhals.
    Values that read the same as text are one group; missing ones are the
    group ``"unknown"``. A column that has both missing values and that word is
    refused, because the two would be counted together.

    Args:
        features: (rows,) or (rows, columns). A column without a name is
            called as in Fairlearn: ``sensitive_feature_0``.
        rows: how many rows there must be.
        argument: what the error calls it.

    Raises:
        InputError: no column, two of one name, a reserved name, another
            number of rows, values that are no single values, or missing
            values beside a group called ``"unknown"``.
    """
    found: dict[str, Feature] = {}
    for name, values in _columns(features, argument):
        if name in found:
            raise InputError(f'{argument} has two columns called "{name}"')
        if name == ALL:
            raise InputError(f'{argument} has a column called "{ALL}", a reserved name')
        series = _series(values, f'{argument}, "{name}"')
        if len(series) != rows:
            raise InputError(f'{argument}: got {len(series)} rows in "{name}", expected {rows}')
        found[name] = _encoded(name, series, argument)
    if not found:
        raise InputError(f"{argument} has no column; accepted: at least one attribute")
    return tuple(found.values())


def group_columns(sensitive_features: Any, rows: int) -> dict[str, npt.NDArray[np.str_]]:
    """Sensitive features as one array of group names per attribute.

    The arguments and what is refused are those of :func:`encode`.
    """
    return {
        feature.name: np.array(feature.names, dtype=np.str_)[feature.codes]
        for feature in encode(sensitive_features, rows)
    }


def _columns(features: Any, argument: str) -> list[tuple[str, Any]]:
    base = argument.removesuffix("s")
    if isinstance(features, pd.DataFrame):
        return [(str(name), features.iloc[:, i]) for i, name in enumerate(features.columns)]
    if isinstance(features, Mapping):
        return [(str(name), values) for name, values in features.items()]
    if isinstance(features, pd.Series):
        return [(f"{base}_0" if features.name is None else str(features.name), features)]
    if isinstance(features, list | tuple | np.ndarray | pd.Categorical):
        array = features if isinstance(features, pd.Categorical) else _object_array(features)
        if array.ndim == 1:
            return [(f"{base}_0", array)]
        if array.ndim == 2:
            return [(f"{base}_{i}", array[:, i]) for i in range(array.shape[1])]
        raise InputError(
            f"{argument} has shape {array.shape}; accepted: (rows,) or (rows, attributes)"
        )
    return _other_frame(features, argument, base)


def _object_array(features: Any) -> npt.NDArray[Any]:
    # As objects: NumPy would otherwise write None as the text "None".
    if isinstance(features, np.ndarray):
        return features
    return np.asarray(features, dtype=object)


def _other_frame(features: Any, argument: str, base: str) -> list[tuple[str, Any]]:
    import narwhals.stable.v1 as nw

    frame = nw.from_native(features, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return [(name, frame[name]) for name in frame.columns]
    if isinstance(frame, nw.Series):
        return [(frame.name or f"{base}_0", frame)]
    if hasattr(features, "__array__"):
        return [(f"{base}_0", np.asarray(features))]
    raise InputError(
        f"{argument} is a {type(features).__name__}; accepted: a table or a column of pandas, "
        "polars or Arrow, a mapping of columns, or an array"
    )


def _series(values: Any, place: str) -> pd.Series[Any]:
    if isinstance(values, pd.Series):
        return values
    if isinstance(values, np.ndarray):
        # Fixed-width text is read faster, and without truncation, as objects.
        values = values.astype(object) if values.dtype.kind in "US" else values
    elif not isinstance(values, list | tuple | pd.Categorical | pd.Index):
        import narwhals.stable.v1 as nw

        column = nw.from_native(values, series_only=True, pass_through=True)
        values = column.to_pandas() if isinstance(column, nw.Series) else np.asarray(values)
    if getattr(values, "ndim", 1) != 1:
        raise InputError(f"{place} has shape {values.shape}; accepted: one value per row")
    return pd.Series(values)


def _encoded(name: str, series: pd.Series[Any], argument: str) -> Feature:
    try:
        codes, levels = pd.factorize(series)
    except TypeError:
        raise InputError(
            f'{argument}, "{name}" has values that are no single values; accepted: text, '
            "numbers, booleans, dates or categories"
        ) from None
    values = [*levels, UNKNOWN]
    texts = [*(level_text(level) for level in levels), UNKNOWN]
    missing = int((codes < 0).sum())
    if missing and UNKNOWN in texts[:-1]:
        raise missing_and_unknown(f'{argument}, "{name}"', missing, len(series))
    # The code of a missing value is −1: the last text. Only what occurs is a group.
    occurs = sorted({*texts[:-1], *([UNKNOWN] if missing else [])})
    place = {text: i for i, text in enumerate(occurs)}
    given: dict[str, Any] = {}
    for text, value in zip(texts, values, strict=True):
        given[text] = text if text in given else value
    places = np.array([place.get(text, 0) for text in texts], dtype=np.int64)
    return Feature(name, places[codes], tuple(occurs), tuple(given[text] for text in occurs))


def missing_and_unknown(place: str, missing: int, rows: int) -> InputError:
    """The error of a column with missing values and a group of the name they are given."""
    return InputError(
        f"{place} is missing in {missing} of {rows} rows and has a group "
        f'called "{UNKNOWN}", which is what the missing values are called; accepted: another '
        f'name for that group, or "{UNKNOWN}" in place of the missing values if it says the '
        "same"
    )


def level_text(level: Any) -> str:
    """A value as the name of its group.

    A column of whole numbers became floats if values are missing, so 17.0 is ``"17"``.
    """
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)
