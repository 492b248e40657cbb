"""The rows that a case is seen against, as numbers: one code per feature, and back.

A number stands for itself (NaN: missing); anything else for its place among the
feature's values, where a missing value is a value of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.raw_features import Coding
from hitl_audit.what_if.edits import Value

__all__ = ["Population"]

FloatArray = npt.NDArray[np.float64]

_MAD_TO_SD = 1.482602218505602  # of a normal distribution: 1 / its third quartile


@dataclass(frozen=True, eq=False)
class Population:
    """n rows of p features.

    Attributes:
        features: the features' names.
        cases: the rows' names.
        coding: raw values as codes and back.
        codes: the rows, shape (n, p).
        numeric: which features are numbers, shape (p,).
        whole: which of these hold whole numbers only, shape (p,).
        categories: for features that are no numbers the value of each code; else ().
    """

    features: tuple[str, ...]
    cases: tuple[str, ...]
    coding: Coding
    codes: FloatArray
    numeric: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]
    categories: tuple[tuple[Value, ...], ...]

    @classmethod
    def of(cls, X: pd.DataFrame, background: pd.DataFrame) -> Population:
        """Read the rows; ``background`` has the same columns and dtypes.

        Raises:
            InputError: two values of a feature look alike as text.
        """
        coding = Coding.of(X, background)
        codes = coding.encode(X)
        names = tuple(str(c) for c in X.columns)
        numeric = np.array([c not in coding.values for c in X.columns])
        behind = coding.encode(background)
        whole = np.array(
            [
                bool(is_number and _whole(np.concatenate([codes[:, j], behind[:, j]])))
                for j, is_number in enumerate(numeric)
            ]
        )
        categories = tuple(
            () if numeric[j] else _plain_values(name, coding.values[column])
            for j, (name, column) in enumerate(zip(names, X.columns, strict=True))
        )
        return cls(names, tuple(str(c) for c in X.index), coding, codes, numeric, whole, categories)

    def __len__(self) -> int:
        return len(self.codes)

    def place_of(self, feature: str) -> int:
        """The feature's position.

        Raises:
            InputError: no such feature.
        """
        if feature not in self.features:
            raise InputError(
                f'feature is "{feature}"; accepted: {", ".join(self.features)}'
                + did_you_mean(str(feature), self.features)
            )
        return self.features.index(feature)

    def value(self, place: int, code: float) -> Value:
        """The raw value of a code, as people see it."""
        if not self.numeric[place]:
            return self.categories[place][int(code)]
        if code != code:
            return None
        return int(code) if self.whole[place] and float(code).is_integer() else float(code)

    def code(self, place: int, value: Value) -> float:
        """The code of a raw value that is known to fit the feature."""
        if not self.numeric[place]:
            return float(self.categories[place].index(value))
        return float("nan") if value is None else float(value)

    def values(self, codes: FloatArray) -> dict[str, Value]:
        """One row of codes, (p,), as feature → value."""
        return {name: self.value(j, codes[j]) for j, name in enumerate(self.features)}

    def row(self, values: Mapping[str, Value]) -> FloatArray:
        """Feature → value as one row of codes, (p,)."""
        return np.array([self.code(j, values[name]) for j, name in enumerate(self.features)])

    def frame(self, codes: FloatArray) -> pd.DataFrame:
        """Codes (n, p) as a table of raw values in the data's own types."""
        return self.coding.decode(codes)

    def spread(self, *, robust: bool) -> FloatArray:
        """How much each number varies, (p,): its standard deviation.

        ``robust``: the median absolute deviation × 1.4826, and the standard
        deviation where that is 0. Features that do not vary, and all that are
        no numbers, have 0: there only the same or not the same can be said.
        """
        out = np.zeros(len(self.features))
        for j in np.flatnonzero(self.numeric):
            column = self.codes[:, j]
            seen = column[np.isfinite(column)]
            if len(seen) < 2:
                continue
            if robust:
                out[j] = _MAD_TO_SD * np.median(np.abs(seen - np.median(seen)))
            if not out[j] > 0:
                out[j] = seen.std(ddof=1)
        out[~np.isfinite(out)] = 0.0
        return out


def _whole(column: FloatArray) -> bool:
    seen = column[~np.isnan(column)]
    return bool(len(seen) and np.isfinite(seen).all() and (seen == np.rint(seen)).all())


def _plain_values(name: str, values: pd.Series) -> tuple[Value, ...]:
    plain = tuple(_plain(v) for v in values)
    texts: Sequence[str] = [str(v) for v in plain]
    if len(set(texts)) < len(texts):
        twice = sorted({t for t in texts if texts.count(t) > 1})
        raise InputError(
            f'X: column "{name}" has different values that look alike ({", ".join(twice[:5])}); '
            "expected one type of values in a column"
        )
    return plain


def _plain(value: Any) -> Value:
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    return str(value)
