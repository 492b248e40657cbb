"""Are similar people treated alike? Who is similar, and consistency among neighbors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import (
    Floats,
    Measure,
    Partition,
    accept,
    as_frame,
    as_html,
    as_numbers,
    check_settings,
    everyone,
    group_notes,
    interval_chart,
    mean_interval,
    partitions,
    status_of,
)

__all__ = ["Consistency", "as_points", "consistency", "same_length", "used_columns"]


@dataclass(frozen=True)
class Consistency:
    """How far each decision agrees with those of the nearest neighbors.

    Attributes:
        measures: metric ``consistency`` for all rows, then by group.
        per_row: (rows,) 1 − |decision − mean decision of the neighbors|.
        n_neighbors: how many neighbors.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    measures: tuple[Measure, ...]
    per_row: tuple[float, ...]
    n_neighbors: int
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row per group."""
        return as_frame(self.measures, Measure)

    def chart(self, attribute: str) -> Chart:
        """Consistency by group with its intervals.

        Raises:
            InputError: an attribute that was not computed.
        """
        return interval_chart(
            self.measures, attribute=attribute, metric="consistency", confidence=self.confidence
        )

    def plot(self, attribute: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(attribute))

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def consistency(
    X: pd.DataFrame,
    y_pred: Any,
    *,
    sensitive_features: Any = None,
    exclude: Sequence[str] = (),
    n_neighbors: int = 5,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
) -> Consistency:
    """Consistency: 1 − mean |ŷ − mean ŷ of the k nearest neighbors|.

    Zemel, Wu, Swersky, Pitassi & Dwork, ICML 2013. Neighbors are nearest in
    standardized numbers and one-hot categories, whatever their group, and a
    row is not its own neighbor (in AIF360 it is, which makes consistency look
    larger). Interval: Student's t over the rows, though rows share neighbors.

    Args:
        X: rows × features.
        y_pred: (rows,) decisions, or scores from 0 to 1.
        sensitive_features: also by group; see ``score_metrics_by_group``.
        exclude: columns of ``X`` that do not make people similar or different,
            such as protected attributes and ids.
        n_neighbors: how many neighbors, fewer than rows.
        intersections: as in ``score_metrics_by_group``.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.

    Raises:
        InputError: lengths that differ, predictions outside 0 to 1, no column
            left, or an impossible setting.
    """
    points = as_points(X, exclude)
    decisions = as_numbers(y_pred, "y_pred")
    same_length(X, "y_pred", len(decisions))
    if decisions.min() < 0 or decisions.max() > 1:
        raise InputError(
            f"y_pred goes from {decisions.min():g} to {decisions.max():g}; accepted: 0 to 1"
        )
    check_settings(confidence=confidence, min_group=min_group, n_neighbors=n_neighbors)
    if n_neighbors >= len(points):
        raise InputError(
            f"n_neighbors is {n_neighbors} for {len(points)} rows; accepted: fewer than rows"
        )
    from sklearn.neighbors import NearestNeighbors

    # Without points of its own the query leaves every row out of its neighbors.
    near = NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors(return_distance=False)
    agreement = 1 - np.abs(decisions - decisions[near].mean(axis=1))
    parts: tuple[Partition, ...] = (everyone(len(X)),)
    if sensitive_features is not None:
        parts = partitions(
            sensitive_features, len(X), intersections=intersections, min_group=min_group
        )
    measures = []
    for part in parts:
        for group, rows in zip(part.groups, part.rows, strict=True):
            low, high = mean_interval(agreement[rows], confidence=confidence)
            measures.append(
                Measure(
                    attribute=part.attribute,
                    group=group,
                    metric="consistency",
                    compare="value",
                    reference="",
                    n=len(rows),
                    value=float(agreement[rows].mean()),
                    low=None if low is None else max(low, 0.0),
                    high=None if high is None else min(high, 1.0),
                    method="Student t",
                    status=status_of(0.0, len(rows), min_group),
                )
            )
    notes = group_notes(parts, len(X), min_group, compared=False)
    notes.append(
        f"Neighbors are the {n_neighbors} nearest in {', '.join(used_columns(X, exclude))}. What "
        "these columns leave out cannot make people similar here."
    )
    return Consistency(
        tuple(measures), tuple(map(float, agreement)), n_neighbors, confidence, tuple(notes)
    )


def used_columns(X: pd.DataFrame, exclude: Iterable[str]) -> list[str]:
    """The columns that make rows similar or different."""
    left_out = set(exclude)
    return [str(name) for name in X.columns if str(name) not in left_out]


def as_points(X: Any, exclude: Sequence[str]) -> Floats:
    """Rows as points: numbers standardized, categories one-hot.

    A missing number becomes the mean and is marked in a column of its own; a
    missing category is a category.

    Raises:
        InputError: no DataFrame, no rows, no column left, an unknown column to
            exclude, or infinite numbers.
    """
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"X is a {type(X).__name__}; accepted: a DataFrame")
    if not len(X):
        raise InputError("X is empty; accepted: at least one row")
    for name in exclude:
        accept("exclude", name, map(str, X.columns))
    parts: list[Floats] = []
    for place, column in enumerate(map(str, X.columns)):
        if column in exclude:
            continue
        series = X.iloc[:, place]
        missing = series.isna().to_numpy()
        if pd.api.types.is_numeric_dtype(series):  # booleans are numbers here
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                raise InputError(f'X has infinite values in "{column}"; accepted: finite numbers')
            known = values[~missing]
            mean, spread = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
            values = np.where(missing, 0.0, (values - mean) / (spread if spread > 0 else 1.0))
            parts.append(values[:, None])
            if missing.any():
                parts.append(missing[:, None].astype(np.float64))
        else:
            codes, levels = pd.factorize(series, use_na_sentinel=False)
            parts.append(np.eye(len(levels))[codes])
    if not parts:
        raise InputError("X has no column left; accepted: at least one that is not excluded")
    return np.hstack(parts)


def same_length(X: pd.DataFrame, name: str, rows: int) -> None:
    """Refuse another number of rows than X has."""
    if len(X) != rows:
        raise InputError(f"{name}: got {rows} rows, expected {len(X)} as in X")
