"""Sensitive and control features as codes: each column is factorised once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.groups import ALL, UNKNOWN

__all__ = ["Feature", "combine", "encode", "weights_of"]

Codes = npt.NDArray[np.int64]

# More possible combinations than this are sorted instead of tabulated.
_SORTED_FROM = 4_000_000


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


def encode(features: Any, rows: int, argument: str = "sensitive_features") -> tuple[Feature, ...]:
    """Encode a table, a column, a mapping of columns or an array, matched by position.

    pandas and NumPy are read directly; polars and Arrow through narwhals.
    Values that read the same as text are one group; missing ones are the
    group ``"unknown"``.

    Args:
        features: (rows,) or (rows, columns). A column without a name is
            called as in Fairlearn: ``sensitive_feature_0``.
        rows: how many rows there must be.
        argument: what the error calls it.

    Raises:
        InputError: no column, two of one name, a reserved name, another
            number of rows, or values that are no single values.
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


def combine(features: Sequence[Feature], rows: int) -> tuple[Codes, npt.NDArray[np.int64]]:
    """The combinations that occur.

    Returns:
        (rows,) the number of each row's combination, and (combinations,
        features) the codes of each, in lexical order.
    """
    if not features:
        return np.zeros(rows, dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    # Every group of a single feature occurs.
    codes, levels = features[0].codes, np.arange(len(features[0].names))[:, None]
    for feature in features[1:]:
        size = len(feature.names)
        # Only combinations that occur are kept at each step, so that many
        # columns with many groups need no table of their product.
        joined = codes * size + feature.codes
        if len(levels) * size > _SORTED_FROM:
            occurs, codes = np.unique(joined, return_inverse=True)
        else:
            occurs = np.flatnonzero(np.bincount(joined, minlength=len(levels) * size))
            place = np.zeros(len(levels) * size, dtype=np.int64)
            place[occurs] = np.arange(len(occurs))
            codes = place[joined]
        levels = np.column_stack([levels[occurs // size], occurs % size])
    return codes, levels


def weights_of(sample_weight: Any, rows: int) -> npt.NDArray[np.float64] | None:
    """Check the weights of the rows.

    Raises:
        InputError: another number of rows, weights that are missing, infinite
            or negative, or none above zero.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("sample_weight has values that are no numbers; accepted: ≥ 0") from None
    if weights.shape != (rows,):
        raise InputError(f"sample_weight has shape {weights.shape}, expected ({rows},)")
    bad = int((~np.isfinite(weights)).sum())
    if bad:
        raise InputError(
            f"sample_weight is missing or infinite in {bad} of {rows} rows; accepted: ≥ 0"
        )
    below = int((weights < 0).sum())
    if below:
        raise InputError(f"sample_weight is negative in {below} of {rows} rows; accepted: ≥ 0")
    if not weights.any():
        raise InputError("sample_weight is zero in every row; accepted: at least one above zero")
    return weights


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
    texts = [*(_text(level) for level in levels), UNKNOWN]
    # The code of a missing value is −1: the last text. Only what occurs is a group.
    occurs = sorted({*texts[:-1], *([UNKNOWN] if (codes < 0).any() else [])})
    place = {text: i for i, text in enumerate(occurs)}
    given: dict[str, Any] = {}
    for text, value in zip(texts, values, strict=True):
        given[text] = text if text in given else value
    places = np.array([place.get(text, 0) for text in texts], dtype=np.int64)
    return Feature(name, places[codes], tuple(occurs), tuple(given[text] for text in occurs))


def _text(level: Any) -> str:
    """A level as text; a column of whole numbers became floats if values are missing."""
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)
