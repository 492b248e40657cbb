"""Every row of one feature, as places on a chart: its value against its attribution. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.point_clouds import spread_out

__all__ = ["FeatureRows", "ValueMean", "feature_rows"]

FloatArray = npt.NDArray[np.float64]

MOST_PLACES = 20
FEW_VALUES = 12  # numbers with so few values have places of their own, with room beside them
MISSING, OTHERS = "missing", "other values"


@dataclass(frozen=True)
class ValueMean:
    """Mean attribution over one part of the values.

    Attributes:
        words: which part: ``"10 to 20"`` (a quarter of the rows), a category, ``"missing"``.
        mean: of the attribution.
        n: rows.
    """

    words: str
    mean: float
    n: int


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """The n rows of one feature.

    Attributes:
        feature: its name.
        x: (n,) where each value stands; categories and missing values have places.
        y: (n,) the attributions.
        ticks: ``(x, name)`` of the axis.
        x_range, y_range: the drawn ranges; ``y_range`` holds 0.
        by_value: mean attribution over quarters of the values, or categories.
    """

    feature: str
    x: FloatArray
    y: FloatArray
    ticks: tuple[tuple[float, str], ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    by_value: tuple[ValueMean, ...]


def feature_rows(explanation: Explanation, feature: str) -> FeatureRows:
    """The rows of one feature, ready to be drawn.

    A number stands at its value, a category (the 20 most frequent, the others
    together) at a place of its own, with points of nearly the same attribution
    side by side.

    Raises:
        InputError: no such feature.
    """
    names = explanation.feature_names
    if feature not in names:
        raise InputError(
            f'feature is "{feature}"; expected one of the {len(names)} features'
            f"{did_you_mean(feature, names)}"
        )
    place = names.index(feature)
    column, y = explanation.data.iloc[:, place], np.asarray(explanation.values[:, place])
    number = is_number(column)
    x, ticks, by_value = (_of_numbers if number else _of_categories)(column, y)
    low, high = float(x.min()), float(x.max())
    margin = 0.03 * (high - low) if number and high > low else 0.6
    bottom, top = min(0.0, float(y.min())), max(0.0, float(y.max()))
    room = 0.05 * (top - bottom) or 1e-3
    return FeatureRows(
        feature=feature,
        x=x,
        y=y,
        ticks=ticks,
        x_range=(low - margin, high + margin),
        y_range=(bottom - room, top + room),
        by_value=by_value,
    )


Placed = tuple[FloatArray, tuple[tuple[float, str], ...], tuple[ValueMean, ...]]


def _of_numbers(column: pd.Series, y: FloatArray) -> Placed:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), values, np.nan)
    missing = np.isnan(values)
    means = (
        [ValueMean(MISSING, float(y[missing].mean()), int(missing.sum()))] if missing.any() else []
    )
    if missing.all():
        return _beside(np.zeros(len(y)), y, 0.35), ((0.0, MISSING),), tuple(means)
    seen = np.unique(values[~missing])
    low, high = float(seen[0]), float(seen[-1])
    aside = low - 0.12 * (high - low or abs(low) or 1.0)
    x = np.where(missing, aside, values)
    if len(seen) <= FEW_VALUES:
        gap = float(np.diff(seen).min()) if len(seen) > 1 else 1.0
        x = _beside(x, y, 0.35 * min(gap, low - aside))
        ticks = [(float(v), f"{v:.4g}") for v in seen]
        means = [_mean(f"{v:.4g}", y[values == v]) for v in seen] + means
    else:
        ticks = [(t, _short(t)) for t in _round_numbers(low, high)]
        means = _quarters(values, y) + means
    if missing.any():
        ticks = [(aside, MISSING), *ticks]
    return x, tuple(ticks), tuple(means)


def _of_categories(column: pd.Series, y: FloatArray) -> Placed:
    codes, found = pd.factorize(column, use_na_sentinel=True)
    texts = [*map(str, found), MISSING]
    codes = np.where(codes < 0, len(texts) - 1, codes)
    counts = np.bincount(codes, minlength=len(texts))
    present = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i]]
    kept = present if len(present) <= MOST_PLACES else present[: MOST_PLACES - 1]
    known = [i for i in kept if i != len(texts) - 1]
    if isinstance(column.dtype, pd.CategoricalDtype):
        rank = {str(c): k for k, c in enumerate(column.cat.categories)}
        known.sort(key=lambda i: rank[texts[i]])
    else:
        known.sort(key=lambda i: texts[i])
    levels = [*known, *([len(texts) - 1] if len(texts) - 1 in kept else [])]
    names = [texts[i] for i in levels] + [OTHERS] * (len(kept) < len(present))
    at = np.full(len(texts), len(names) - 1.0)
    at[levels] = np.arange(len(levels))
    x = at[codes]
    means = tuple(_mean(name, y[x == i]) for i, name in enumerate(names))
    return _beside(x, y, 0.35), tuple((float(i), n) for i, n in enumerate(names)), means


def _beside(x: FloatArray, y: FloatArray, width: float) -> FloatArray:
    """Points of one place and nearly the same height, side by side."""
    moved = x.astype(np.float64)
    low, high = float(y.min()), float(y.max())
    for place in np.unique(x):
        here = np.flatnonzero(x == place)
        moved[here] += np.array(spread_out(y[here].tolist(), low, high, width=width))
    return moved


def _mean(words: str, y: FloatArray) -> ValueMean:
    return ValueMean(words, float(y.mean()), len(y))


def _quarters(values: FloatArray, y: FloatArray) -> list[ValueMean]:
    edges = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
    found = []
    for k, (a, b) in enumerate(pairwise(edges)):
        here = (values >= a) & ((values <= b) if k == len(edges) - 2 else (values < b))
        if here.any():
            found.append(_mean(f"{_short(a)} to {_short(b)}", y[here]))
    return found


def _short(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _round_numbers(low: float, high: float) -> list[float]:
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(f for f in (1, 2, 5, 10) if f * step >= (high - low) / 4 * 0.999)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(k * step) for k in np.arange(first, last + 1)]
