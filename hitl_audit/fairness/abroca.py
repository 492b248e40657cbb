"""How far apart the ROC curves of two groups are, at every threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.fairness.measures import (
    Floats,
    State,
    accept,
    adjusted,
    as_frame,
    as_html,
    check_settings,
    group_notes,
    partitions,
    percentile_interval,
)
from hitl_audit.fairness.resampling import classes
from hitl_audit.fairness.score_metrics import checked_scores
from hitl_audit.groups import ALL
from hitl_audit.score_statistics import Labels

__all__ = ["Abroca", "RocDistance", "abroca"]

Table = npt.NDArray[np.int64]

_LEAST_PER_CLASS = 10
# Resamples see this many bins of the scores at most; values are of the scores themselves.
_LEVELS = 1024
_CHART_GROUPS = 25


@dataclass(frozen=True)
class RocDistance:
    """The area between the ROC curves of a group and its reference.

    Attributes:
        attribute, group, reference: who is compared.
        n, reference_n: rows of the two.
        value: area between the curves, 0 to 1; ``None`` if a class is absent.
        low, high: percentile interval.
        by_chance: what the area stays below, with the interval's confidence,
            if the two groups differ by chance alone.
        p_value: of the hypothesis that they do.
        p_adjusted: by Benjamini and Hochberg over all such tests of the result.
        method: names of interval and test.
        status: ``"ok"``, ``"small group"`` (too few rows, or fewer than 10 of
            a class; then without interval) or ``"undefined"``.
    """

    attribute: str
    group: str
    reference: str
    n: int
    reference_n: int
    value: float | None
    low: float | None
    high: float | None
    by_chance: float | None
    p_value: float | None
    p_adjusted: float | None
    method: str
    status: State


@dataclass(frozen=True)
class Abroca:
    """Absolute between-ROC areas of every group and its reference.

    Attributes:
        distances: one row per attribute and group.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    distances: tuple[RocDistance, ...]
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """All areas, one row each."""
        return as_frame(self.distances, RocDistance)

    def chart(self, attribute: str) -> Chart:
        """Area by group, beside what chance alone would leave it below.

        Raises:
            InputError: an attribute that was not compared by.
        """
        accept("attribute", attribute, [d.attribute for d in self.distances])
        rows = [d for d in self.distances if d.attribute == attribute]
        shown = sorted(rows, key=lambda d: -d.n)[:_CHART_GROUPS]
        shown.sort(key=lambda d: (d.value is None, -(d.value or 0.0), d.group))
        sure = [d for d in shown if d.status == "ok" and d.value is not None]
        above = [d for d in sure if d.by_chance is not None and (d.value or 0.0) > d.by_chance]
        message = (
            f"Area between the ROC curve of each group and that of {rows[0].reference}, by "
            f"{attribute}: above what chance alone would leave it below for {len(above)} of "
            f"{len(sure)} groups with enough cases."
        )
        listed = "; ".join(
            f"{d.group} {number(d.value or 0.0)} (by chance below {number(d.by_chance or 0.0)}), "
            f"n = {d.n:,}"
            for d in sure
        )
        names = tuple(d.group for d in shown)
        return Chart(
            kind="intervals",
            message=message,
            alt=f"{message} {listed or 'No group has enough cases'}.",
            value_label=f"Area between ROC curves, with {self.confidence * 100:g}% interval",
            series=(
                Series(
                    name="measured",
                    x=names,
                    y=tuple(d.value for d in shown),
                    low=tuple(d.low for d in shown),
                    high=tuple(d.high for d in shown),
                    notes=tuple(
                        f"n = {d.n:,}" + ("" if d.status == "ok" else f", {d.status}")
                        for d in shown
                    ),
                ),
                Series(
                    name=f"below this by chance ({self.confidence * 100:g}%)",
                    x=names,
                    y=tuple(d.by_chance for d in shown),
                ),
            ),
        )

    def plot(self, attribute: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(attribute))

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def abroca(
    y_true: Any,
    y_score: Any,
    *,
    sensitive_features: Any,
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 500,
    random_state: int = 0,
) -> Abroca:
    """Absolute between-ROC area of every group against its reference.

    ABROCA = ∫ |ROC_group(t) − ROC_reference(t)| dt over false positive rates t
    (Gardner, Brooks & Baker, LAK 2019), integrated exactly between the curves'
    corners. Unlike the difference of two AUCs it sees curves that cross. It
    cannot be below zero and sampling alone makes it positive, so every area is
    shown with a randomization test: group membership is shuffled among the
    cases of the same true label.

    Args:
        y_true: (rows,) 0 or 1.
        y_score: (rows,) larger means more favorable.
        sensitive_features, reference, intersections: as in ``score_metrics_by_group``.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.
        n_boot: replicates of the bootstrap (rows within each group) and of the test.
        random_state: seed.

    Raises:
        InputError: as ``score_metrics_by_group``.
    """
    truth, scores = checked_scores(y_true, y_score)
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    parts = partitions(
        sensitive_features,
        len(truth),
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    rng = np.random.default_rng(random_state)
    found = []
    for part in parts:
        if part.attribute == ALL or part.reference is None:
            continue
        other = part.rows[part.groups.index(part.reference)]
        for group, rows in zip(part.groups, part.rows, strict=True):
            if group == part.reference:
                continue
            tables = _tables(truth, scores, rows, other)
            rarest = int(tables.sum(1).min())
            status: State = "undefined" if rarest == 0 else "ok"
            if rarest and (min(len(rows), len(other)) < min_group or rarest < _LEAST_PER_CLASS):
                status = "small group"
            value = low = high = by_chance = p_value = None
            if rarest:
                curves = _corners(truth[rows], scores[rows]), _corners(truth[other], scores[other])
                value = _area_between(*curves)
            if value is not None and status == "ok":
                drawn = _resampled(tables, n_boot, rng)
                low, high = percentile_interval(drawn, confidence=confidence)
                shuffled = _shuffled(tables, n_boot, rng)
                by_chance = float(np.quantile(shuffled, confidence))
                reached = int((shuffled >= value - 1e-12).sum())
                p_value = (reached + 1) / (n_boot + 1)
            found.append(
                RocDistance(
                    attribute=part.attribute,
                    group=group,
                    reference=part.reference,
                    n=len(rows),
                    reference_n=len(other),
                    value=value,
                    low=low,
                    high=high,
                    by_chance=by_chance,
                    p_value=p_value,
                    p_adjusted=None,
                    method="bootstrap, percentile; randomization test within true labels",
                    status=status,
                )
            )
    notes = group_notes(parts, len(truth), min_group)
    notes.append(
        "The area between two ROC curves cannot be below zero, and sampling alone makes it "
        "positive: read it against what chance would leave it below."
    )
    corrected = adjusted([one.p_value for one in found])
    found = [replace(one, p_adjusted=p) for one, p in zip(found, corrected, strict=True)]
    return Abroca(tuple(found), confidence, tuple(notes))


def _tables(truth: Labels, scores: Floats, rows: Any, other: Any) -> Table:
    """Counts (the two groups × common scores, falling × labels)."""
    both = np.concatenate([rows, other])
    places = classes(-scores[both], _LEVELS)
    levels = int(places.max()) + 1
    second = np.repeat([0, 1], [len(rows), len(other)])
    cells = (second * levels + places) * 2 + truth[both]
    return np.bincount(cells, minlength=4 * levels).reshape(2, -1, 2)


def _corners(truth: Labels, scores: Floats) -> Floats:
    """The corners of a ROC curve, (2, corners): false and true positive rates."""
    negated, places = np.unique(-scores, return_inverse=True)
    table = np.bincount(places * 2 + truth, minlength=2 * len(negated)).reshape(-1, 2)
    return _curve(table)


def _curve(table: Table) -> Floats:
    cumulated = np.zeros((2, len(table) + 1))
    np.cumsum(table.T, axis=1, out=cumulated[:, 1:])
    return cumulated / cumulated[:, -1:]


def _area_between(a: Floats, b: Floats) -> float:
    """∫ |a − b| of two piecewise linear curves, which may have upright steps."""
    ends = np.union1d(a[0], b[0])
    left, right = ends[:-1], ends[1:]
    gaps = [_at(a, left, x) - _at(b, left, x) for x in (left, right)]
    start, end = gaps
    width, size = right - left, np.abs(start) + np.abs(end)
    # Where the sign changes two triangles remain of the trapezium.
    crossed = np.divide(start**2 + end**2, size, out=np.zeros_like(size), where=size > 0)
    heights = np.where(start * end < 0, crossed, size)
    return float((width * heights).sum() / 2)


def _at(curve: Floats, left: Floats, x: Floats) -> Floats:
    """The curve at x, on the piece that lies right of ``left`` (beyond an upright step)."""
    place = np.searchsorted(curve[0], left, side="right") - 1
    x0, x1 = curve[0][place], curve[0][place + 1]
    y0, y1 = curve[1][place], curve[1][place + 1]
    at: Floats = y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return at


def _resampled(tables: Table, n_boot: int, rng: np.random.Generator) -> Floats:
    """Areas of resamples: rows of each group, drawn with replacement."""
    areas = np.full(n_boot, np.nan)
    shares = [table.ravel() / table.sum() for table in tables]
    for i in range(n_boot):
        drawn = [
            rng.multinomial(table.sum(), share).reshape(-1, 2)
            for table, share in zip(tables, shares, strict=True)
        ]
        if min(int(table.sum(0).min()) for table in drawn):
            areas[i] = _area_between(*map(_occupied_curve, drawn))
    return areas


def _shuffled(tables: Table, n_boot: int, rng: np.random.Generator) -> Floats:
    """Areas after group membership was shuffled among cases of the same true label."""
    both = tables.sum(0)
    draws = [
        rng.multivariate_hypergeometric(pool, mine, size=n_boot, method="marginals")
        for pool, mine in zip(both.T, tables[0].sum(0), strict=True)
    ]
    areas = np.empty(n_boot)
    for i in range(n_boot):
        drawn = np.stack([draws[0][i], draws[1][i]], axis=-1)
        areas[i] = _area_between(_occupied_curve(drawn), _occupied_curve(both - drawn))
    return areas


def _occupied_curve(table: Table) -> Floats:
    return _curve(table[table.any(axis=1)])
