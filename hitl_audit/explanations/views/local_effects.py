"""Accumulated local effects (ALE), first order: dependence without impossible combinations.

D. W. Apley & J. Zhu, "Visualizing the effects of predictor variables in black
box supervised learning models", J. R. Statist. Soc. B 82 (2020), 1059-1086.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import BOOTSTRAP, RESAMPLES
from hitl_audit.explanations.model_output import ModelOutput, Scale
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import (
    check_integers,
    check_share,
    feature_grid,
    feature_of,
    notes_html,
    read_subject,
    value_words,
)
from hitl_audit.explanations.views.dependence import decile_series, deciles_of

__all__ = ["AccumulatedLocalEffects", "accumulated_local_effects"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False, repr=False)
class AccumulatedLocalEffects:
    """ALE of one output on one feature, centred: its mean over the rows is 0.

    Attributes:
        feature: the feature.
        numeric: its points lie on an axis; otherwise they are categories in an order.
        points: one line per point; see :meth:`frame`.
        deciles: nine deciles of the feature in the rows; () for categories.
        output_words: what is explained: ``probability of 1``.
        n: rows with a value of the feature.
        confidence: of every interval.
        random_state: seed of the sample and of the bootstrap.
        notes: what a reader must know about these numbers.
    """

    feature: str
    numeric: bool
    points: pd.DataFrame
    deciles: tuple[float, ...]
    output_words: str
    n: int
    confidence: float
    random_state: int
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One line per point: value, label, effect, low, high, n, interval.

        ``n`` is the number of rows between the point before and this one (the
        lowest values are in the first interval), or that have this category.
        """
        return self.points.copy()

    def chart(self) -> Chart:
        """The curve with its interval and the deciles of the rows; categories as rows."""
        effects = self.points["effect"].to_numpy(dtype=np.float64)
        top, bottom = int(effects.argmax()), int(effects.argmin())
        labels = self.points["label"]
        message = (
            f"{self.feature} moves the {self.output_words} from {effects[bottom]:+.3g} "
            f"({labels[bottom]}) to {effects[top]:+.3g} ({labels[top]}) around its average "
            f"(accumulated local effects, {self.n:,} rows)"
        )
        numbers = ", ".join(f"{a} {b:+.3g}" for a, b in zip(labels, effects, strict=True))
        low, high = (tuple(float(v) for v in self.points[c]) for c in ("low", "high"))
        label = f"effect on the {self.output_words}"
        alt = f"{message}. Effects: {numbers}."
        y = tuple(float(v) for v in effects)
        if not self.numeric:
            notes = tuple(f"n = {k:,}" for k in self.points["n"])
            series = Series("effect", tuple(labels), y, low=low, high=high, notes=notes)
            return Chart("intervals", message, alt, label, (series,), thresholds=((0.0, ""),))
        floor, ceiling = min(low), max(high)
        margin = 0.08 * (ceiling - floor) or 0.05
        x = tuple(float(v) for v in self.points["value"])
        drawn = (
            Series("accumulated local effect", x, y, low=low, high=high),
            decile_series(self.deciles, floor - margin),
        )
        around = (floor - 1.3 * margin, ceiling + margin)
        return Chart("lines", message, alt, label, drawn, x_label=self.feature, value_range=around)

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return (
            f"<AccumulatedLocalEffects of {self.feature} on {self.output_words}: "
            f"{len(self.points)} points, {self.n} rows>"
        )

    def _repr_html_(self) -> str:
        return notes_html(self, self.points.drop(columns=["value", "interval"]), self.notes)


def accumulated_local_effects(
    model: Any,
    X: Any,
    feature: Any,
    *,
    grid: int = 20,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    max_rows: int | None = 5000,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> AccumulatedLocalEffects:
    """How the output changes with one feature, among rows that have about that value.

    Within each interval of the feature the rows that lie there are moved from
    one end to the other; the mean changes are added up. The curve is centred
    so that its mean over the rows (linear between points) is 0. For a linear
    model it is slope · (x − mean x) exactly.

    Categories are walked through in an order: their own (booleans, ordered
    categories), else by likeness in the other features (Kolmogorov-Smirnov
    distance of numbers, total variation of categories, first axis of classical
    scaling, as in the authors' ALEPlot). A step is the mean change of the rows
    of both neighbours.

    Args:
        model: as in ``explain``.
        X: raw rows, a DataFrame or a 2-D array.
        feature: a column of X.
        grid: number of points, at quantiles of the values.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of the pointwise percentile bootstrap over rows.
        max_rows: of more rows, this many are sampled; ``None`` takes all.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, or the feature has one value only.
        ExplanationError: the model failed.
    """
    check_share("confidence", confidence)
    check_integers(grid=(grid, 2))
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        max_rows=max_rows,
        random_state=random_state,
    )
    name = feature_of(subject.rows, feature)
    missing = subject.rows[name].isna()
    rows = subject.rows[~missing]
    values, left_out = feature_grid(subject.rows[name], grid, name=str(name))
    if len(values) < 2:
        raise InputError(
            f"{name} has one value in {len(rows)} rows; expected at least two to compare"
        )
    numeric = is_number(rows[name])
    notes = [
        *subject.notes,
        f"intervals: {BOOTSTRAP}, point by point; they cover the choice of rows, not the model",
        "an effect is relative to the average effect over these rows, not a level of the output",
    ]
    if missing.any():
        notes.append(f"{int(missing.sum())} rows without {name} have no place on its axis")
    if left_out:
        notes.append(f"{len(left_out)} rarer categories are left out: {', '.join(left_out[:5])}")
        rows = rows[rows[name].isin(values)]
    if numeric:
        local = _between_points(subject.output, rows, name, values)
    else:
        order, words = _order(rows, name, values)
        values = values.take(order)
        notes.append(words)
        local = _between_categories(subject.output, rows, name, values)
    effects, low, high = _accumulate(local, confidence=confidence, random_state=random_state)
    points = pd.DataFrame(
        {
            "value": pd.Series(list(values), dtype=object),
            "label": [value_words(v) for v in values],
            "effect": effects,
            "low": low,
            "high": high,
            "n": local.counts,
            "interval": BOOTSTRAP,
        }
    )
    return AccumulatedLocalEffects(
        feature=str(name),
        numeric=numeric,
        points=points,
        deciles=deciles_of(rows[name]) if numeric else (),
        output_words=subject.output.words,
        n=len(rows),
        confidence=confidence,
        random_state=random_state,
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Local:
    """What each row adds: changes per step, and where it stands on the curve.

    Attributes:
        change, counted: (n, steps) change of the output in each step, and whether
            the row takes part in it.
        place: (n, points) weights of the points at the row's own value.
        counts: (points,) rows per point.
    """

    change: FloatArray
    counted: FloatArray
    place: FloatArray
    counts: list[int]


def _between_points(output: ModelOutput, rows: pd.DataFrame, name: Any, values: Any) -> _Local:
    points = np.asarray(values, dtype=np.float64)
    own = rows[name].to_numpy(dtype=np.float64)
    step = np.clip(np.searchsorted(points, own) - 1, 0, len(points) - 2)
    change = _moved(output, rows, name, values, step + 1) - _moved(output, rows, name, values, step)
    n = len(rows)
    counted = np.zeros((n, len(points) - 1))
    counted[np.arange(n), step] = 1
    share = (own - points[step]) / (points[step + 1] - points[step])
    place = np.zeros((n, len(points)))
    place[np.arange(n), step] = 1 - share
    place[np.arange(n), step + 1] = share
    inside = np.bincount(step, minlength=len(points) - 1)
    counts = [int((own <= points[0]).sum()), *(int(k) for k in inside)]
    counts[1] -= counts[0]
    return _Local(counted * change[:, np.newaxis], counted, place, counts)


def _between_categories(output: ModelOutput, rows: pd.DataFrame, name: Any, values: Any) -> _Local:
    own = pd.Index(values).get_indexer(pd.Index(rows[name]))
    n, k = len(rows), len(values)
    here = _moved(output, rows, name, values, own)
    change, counted = np.zeros((n, k - 1)), np.zeros((n, k - 1))
    for there, column, sign in ((own + 1, own, 1.0), (own - 1, own - 1, -1.0)):
        can = (there >= 0) & (there < k)
        moved = _moved(output, rows[can], name, values, there[can])
        change[can, column[can]] = sign * (moved - here[can])
        counted[can, column[can]] = 1
    place = np.zeros((n, k))
    place[np.arange(n), own] = 1
    return _Local(change, counted, place, [int(c) for c in np.bincount(own, minlength=k)])


def _moved(
    output: ModelOutput, rows: pd.DataFrame, name: Any, values: Any, at: IntArray
) -> FloatArray:
    moved = rows.copy()
    moved[name] = pd.Series(values.take(at), index=moved.index, dtype=values.dtype)
    return output(moved)


def _accumulate(
    local: _Local, *, confidence: float, random_state: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n = len(local.change)
    every = _curve(np.full((1, n), 1.0), local, None)
    if n < 2:
        nothing = np.full(every.shape[1], np.nan)
        return every[0], nothing, nothing
    rng = np.random.default_rng(random_state)
    curves, block = [], max(1, CELLS_AT_ONCE // n)
    fallback = _steps(np.full((1, n), 1.0), local, None)
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        curves.append(_curve(weights, local, fallback))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.vstack(curves), [tail, 1 - tail], axis=0)
    return every[0], low, high


def _steps(weights: FloatArray, local: _Local, fallback: FloatArray | None) -> FloatArray:
    """Mean change per step; a step that no drawn row takes part in keeps that of all rows."""
    total = weights @ local.counted
    kept = np.zeros_like(total) if fallback is None else np.broadcast_to(fallback, total.shape)
    out = kept.copy()
    np.divide(weights @ local.change, total, out=out, where=total > 0)
    return out


def _curve(weights: FloatArray, local: _Local, fallback: FloatArray | None) -> FloatArray:
    steps = _steps(weights, local, fallback)
    curve = np.hstack([np.zeros((len(weights), 1)), np.cumsum(steps, axis=1)])
    centre = ((weights @ local.place) * curve).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(curve - centre[:, np.newaxis])


def _order(rows: pd.DataFrame, name: Any, values: Any) -> tuple[IntArray, str]:
    """In which order the categories are walked through, and why."""
    k = len(values)
    dtype = rows[name].dtype
    if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered:
        return np.arange(k), f"the categories of {name} are in their own order"
    if k == 2:
        return np.arange(k), f"{name} has two values, so their order does not matter"
    groups = [rows[(rows[name] == v).to_numpy()] for v in values]
    apart = np.zeros((k, k))
    for other in (c for c in rows.columns if c != name):
        apart += _distances([g[other] for g in groups], numeric=is_number(rows[other]))
    centring = np.eye(k) - 1 / k
    sizes, axes = np.linalg.eigh(-0.5 * centring @ apart**2 @ centring)
    first = axes[:, -1] * np.sqrt(max(sizes[-1], 0.0))
    if first[0] > first[-1]:
        first = -first
    words = (
        f"the categories of {name} have no order of their own: they are walked through by likeness "
        f"in the other features; another order gives other numbers"
    )
    return np.argsort(np.round(first, 12), kind="stable"), words


def _distances(parts: Sequence[pd.Series], *, numeric: bool) -> FloatArray:
    """Largest gap between distribution functions (numbers), half the L1 distance of shares."""
    every = pd.concat(list(parts)).dropna()
    levels = pd.Index(np.sort(every.unique())) if numeric else pd.Index(every.unique())
    shares = np.zeros((len(parts), len(levels)))
    for i, part in enumerate(parts):
        at = levels.get_indexer(pd.Index(part.dropna()))
        if len(at):
            shares[i] = np.bincount(at, minlength=len(levels)) / len(at)
    measured = np.cumsum(shares, axis=1) if numeric else shares
    gaps = np.abs(measured[:, np.newaxis] - measured[np.newaxis])
    if not len(levels):
        return np.zeros((len(parts), len(parts)))
    return np.asarray(gaps.max(axis=2) if numeric else gaps.sum(axis=2) / 2)
