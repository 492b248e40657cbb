"""The metrics of a binary decision, and the rates by group with count and interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hitl_audit.fairness.counts import Cells, GroupCounts
from hitl_audit.findings import Comparison
from hitl_audit.groups import ALL, group_name
from hitl_audit.intervals import METHODS, Count, Interval

__all__ = [
    "DEFAULT_METRICS",
    "EFFECTIVE",
    "METRICS",
    "RATES",
    "GroupRate",
    "Weights",
    "count_of",
    "group_names",
    "metric_values",
    "rates_of",
    "value_of",
]

Array = npt.NDArray[Any]

# Places in a group's cells (tn, fp, fn, tp): what is counted, and among what.
RATES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((1, 3), (0, 1, 2, 3)),
    "true_positive_rate": ((3,), (2, 3)),
    "false_positive_rate": ((1,), (0, 1)),
    "true_negative_rate": ((0,), (0, 1)),
    "false_negative_rate": ((2,), (2, 3)),
    "accuracy": ((0, 3), (0, 1, 2, 3)),
    "precision": ((3,), (1, 3)),
    "negative_predictive_value": ((0,), (0, 2)),
    "false_discovery_rate": ((1,), (1, 3)),
    "false_omission_rate": ((2,), (0, 2)),
}
DEFAULT_METRICS: tuple[str, ...] = (*tuple(RATES)[:7], "count")
"""What is computed if nobody asks for anything else."""

METRICS: tuple[str, ...] = (*RATES, "balanced_accuracy", "f1", "count")
"""The accepted metrics; ``precision`` is the positive predictive value.

Two are functions of several counts: of ``f1``, n are the rows that are or were
predicted favorable and count the true positives; of ``balanced_accuracy``, n
are all rows and count the correct ones. With weights a value is weighted, and
n and count stay rows.
"""

EFFECTIVE = "effective sample size"
"""What an interval's method says after its name when rows have weights (Kish)."""


@dataclass(frozen=True)
class GroupRate:
    """One metric of one group.

    Attributes:
        attribute, group: ``"race"`` and ``"black"``, ``"race × sex"`` and
            ``"black × female"``, or ``"all"`` and ``"all"``.
        metric: name of the metric.
        n: rows that the metric is about (for a true positive rate those whose
            true label is favorable).
        count: how many of them count.
        value: count / n, or for the metric ``count`` the rows; ``None`` if n is 0.
        low, high: interval of the value.
        method: name of the interval.
        status: ``"ok"``, ``"small group"`` (fewer than ``min_group`` rows) or
            ``"undefined"`` (none).
    """

    attribute: str
    group: str
    metric: str
    n: int
    count: int
    value: float | None
    low: float | None
    high: float | None
    method: str
    status: Literal["ok", "small group", "undefined"]


@dataclass(frozen=True, eq=False)
class Weights:
    """Sums of the weights, and of their squares, per group and cell: (4, groups) each."""

    sums: Array
    squares: Array

    def effective(self, place: int, metric: str) -> tuple[float, float]:
        """Successes and rows of a rate on the scale of Kish's effective sample size.

        n_eff = (Σ w)² / Σ w² over the rows that the rate is about (Kish,
        Survey Sampling, 1965); successes = weighted rate × n_eff.
        """
        counted, among = RATES[metric]
        total = float(self.sums[list(among), place].sum())
        if not total:
            return 0.0, 0.0
        size = total**2 / float(self.squares[list(among), place].sum())
        hits = float(self.sums[list(counted), place].sum()) / total
        return min(hits, 1.0) * size, size


def metric_values(metric: str, cells: Sequence[Array] | Array, rows: Array) -> Array:
    """A metric from counts, by Fairlearn's rules: 0/0 is 0, and no rows is NaN.

    Args:
        metric: one of :data:`METRICS`.
        cells: true negatives, false positives, false negatives and true
            positives, as four arrays of one shape; sums of weights, if rows have weights.
        rows: the number of rows, of the same shape.
    """
    tn, fp, fn, tp = cells
    if metric == "count":
        return np.asarray(np.where(rows > 0, rows, np.nan))
    if metric == "f1":
        value = _divide(2 * tp, 2 * tp + fp + fn)
    elif metric == "balanced_accuracy":
        positive, negative = tp + fn, tn + fp
        recalls = _divide(tp, positive), _divide(tn, negative)
        # scikit-learn leaves out a class that has no rows.
        value = (recalls[0] + recalls[1]) / np.maximum(
            1, (positive > 0).astype(int) + (negative > 0)
        )
    else:
        counted, among = RATES[metric]
        value = _divide(sum(cells[i] for i in counted), sum(cells[i] for i in among))
    value[(tn + fp + fn + tp) == 0] = np.nan
    return value


def _divide(a: Any, b: Any) -> Array:
    result = np.zeros(np.shape(a), dtype=np.float64)
    np.divide(a, b, out=result, where=b > 0)
    return result


def count_of(cells: Cells, metric: str) -> Count:
    """The exact proportion that a metric is, in one group."""
    counted, among = RATES[metric]
    return Count(sum(cells[i] for i in counted), sum(cells[i] for i in among))


def group_names(part: GroupCounts) -> tuple[str, list[str]]:
    """The name of the attribute(s), and of each group."""
    if not part.attributes:
        return ALL, [ALL]
    return group_name(part.attributes), [group_name(group) for group in part.groups]


def rates_of(
    part: GroupCounts,
    metrics: Sequence[str],
    confidence: float,
    min_group: int,
    *,
    method: str = "Wilson",
    weights: Weights | None = None,
) -> list[GroupRate]:
    """Every metric of every group of ``part``.

    Args:
        part: the counts.
        metrics: some of :data:`METRICS`.
        confidence: of the intervals.
        min_group: groups with fewer rows are flagged.
        method: ``"Wilson"`` or ``"Clopper-Pearson"``.
        weights: of the groups in the order of ``part``.
    """
    attribute, names = group_names(part)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    table = part.array().T
    sums = table if weights is None else weights.sums
    values = {metric: metric_values(metric, sums, table.sum(0)) for metric in metrics}
    rates = []
    for place, (name, cells) in enumerate(zip(names, part.table, strict=True)):
        for metric in metrics:
            value: float | None = float(values[metric][place])
            if metric == "count":
                n = count = sum(cells)
                bounds, how = None, ""
            else:
                n, count, bounds, how = _measured(metric, cells, place, z, method, weights)
            if n == 0 or (value is not None and math.isnan(value)):
                value, bounds = None, None
            low, high = bounds or (None, None)
            status: Literal["ok", "small group", "undefined"] = (
                "undefined" if value is None else "small group" if n < min_group else "ok"
            )
            rates.append(
                GroupRate(attribute, name, metric, n, count, value, low, high, how, status)
            )
    return rates


def _measured(
    metric: str, cells: Cells, place: int, z: float, method: str, weights: Weights | None
) -> tuple[int, int, Interval | None, str]:
    """Rows, count, interval and its name."""

    def proportion(name: str) -> Interval | None:
        if weights is None:
            exact = count_of(cells, name)
            numbers: tuple[float, float] = (exact.successes, exact.total)
        else:
            numbers = weights.effective(place, name)
        return METHODS[method](z, *numbers) if numbers[1] else None

    if metric in RATES:
        exact = count_of(cells, metric)
        n, count, how, bounds = exact.total, exact.successes, method, proportion(metric)
    elif metric == "f1":
        n, count = sum(cells[1:]), cells[3]
        bounds, how = _f1_interval(cells, place, z, method, weights), f"{method}, transformed"
    else:
        n, count, how = sum(cells), cells[0] + cells[3], f"MOVER of {method}"
        both = [proportion("true_positive_rate"), proportion("true_negative_rate")]
        bounds = _mean_interval(cells, place, [b for b in both if b is not None], weights)
    return n, count, bounds, how if weights is None else f"{how}, {EFFECTIVE}"


def _f1_interval(
    cells: Cells, place: int, z: float, method: str, weights: Weights | None
) -> Interval | None:
    """F1 = 2J / (1 + J) for the proportion J = tp / (tp + fp + fn), and grows with it."""
    numbers: tuple[float, float] = (cells[3], sum(cells[1:]))
    if weights is not None:
        total = float(weights.sums[1:, place].sum())
        squares = float(weights.squares[1:, place].sum())
        size = total**2 / squares if squares else 0.0
        numbers = (float(weights.sums[3, place]) / total * size if total else 0.0, size)
    if not numbers[1]:
        return None
    low, high = METHODS[method](z, *numbers)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _mean_interval(
    cells: Cells, place: int, bounds: list[Interval], weights: Weights | None
) -> Interval | None:
    """Mean of two independent proportions from the interval of each.

    Zou and Donner, "Construction of confidence limits about effect measures",
    Stat Med 27 (2008), 1693-1702.
    """
    if len(bounds) < 2:
        return bounds[0] if bounds else None
    sums = cells if weights is None else weights.sums[:, place]
    rates = [sums[3] / (sums[2] + sums[3]), sums[0] / (sums[0] + sums[1])]
    value = sum(rates) / 2
    down = math.hypot(*(rate - low for rate, (low, _) in zip(rates, bounds, strict=True)))
    up = math.hypot(*(high - rate for rate, (_, high) in zip(rates, bounds, strict=True)))
    return float(value - down / 2), float(value + up / 2)


def value_of(rate: GroupRate, *, confidence: float, min_group: int) -> Comparison:
    """A group's own rate, as a criterion on plain values is held against it.

    Args:
        rate: of the group.
        confidence: of the rate's interval.
        min_group: a group of fewer rows is flagged.
    """
    return Comparison(
        metric=rate.metric,
        attribute=rate.attribute,
        group=rate.group,
        reference="",
        compare="value",
        count=Count(rate.count, rate.n),
        reference_count=None,
        value=rate.value,
        low=rate.low,
        high=rate.high,
        confidence=confidence,
        method=rate.method,
        small=rate.n < min_group,
        min_group=min_group,
    )
