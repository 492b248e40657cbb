"""The rates of a binary decision by group, each with its count and interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from hitl_audit.fairness.counts import Cells, GroupCounts
from hitl_audit.groups import ALL, group_name
from hitl_audit.intervals import Count, wilson

__all__ = ["METRICS", "RATES", "GroupRate", "cells_as_rows", "count_of", "group_names", "rates_of"]

# Places in a group's cells (tn, fp, fn, tp): what is counted, and among what.
RATES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((1, 3), (0, 1, 2, 3)),
    "true_positive_rate": ((3,), (2, 3)),
    "false_positive_rate": ((1,), (0, 1)),
    "true_negative_rate": ((0,), (0, 1)),
    "false_negative_rate": ((2,), (2, 3)),
    "accuracy": ((0, 3), (0, 1, 2, 3)),
    "precision": ((3,), (1, 3)),
}
METRICS: tuple[str, ...] = (*RATES, "count")
"""The accepted metrics; ``precision`` is the positive predictive value."""


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
    part: GroupCounts, metrics: tuple[str, ...], confidence: float, min_group: int
) -> list[GroupRate]:
    """Every metric of every group of ``part``."""
    attribute, names = group_names(part)
    values = _fairlearn_values(part, tuple(metric for metric in metrics if metric in RATES))
    rates = []
    for place, (name, cells) in enumerate(zip(names, part.table, strict=True)):
        for metric in metrics:
            if metric == "count":
                n = sum(cells)
                small: Literal["ok", "small group"] = "ok" if n >= min_group else "small group"
                rates.append(
                    GroupRate(attribute, name, metric, n, n, float(n), None, None, "", small)
                )
                continue
            count = count_of(cells, metric)
            low, high = wilson(count, confidence=confidence) or (None, None)
            rates.append(
                GroupRate(
                    attribute=attribute,
                    group=name,
                    metric=metric,
                    n=count.total,
                    count=count.successes,
                    value=values[metric][place] if count.total else None,
                    low=low,
                    high=high,
                    method="Wilson",
                    status="undefined"
                    if count.total == 0
                    else "small group"
                    if count.total < min_group
                    else "ok",
                )
            )
    return rates


def cells_as_rows(part: GroupCounts) -> dict[str, Any]:
    """The distinct rows of the data, weighted by how often they occur."""
    table = np.array(part.table, dtype=np.int64)
    places, cells = np.nonzero(table)
    return {
        "y_true": cells // 2,
        "y_pred": cells % 2,
        # A Series, because Fairlearn squeezes an array of one row to no dimension.
        "sensitive_features": pd.Series(places, name="group"),
        "sample_weight": table[places, cells],
    }


def _fairlearn_values(part: GroupCounts, metrics: tuple[str, ...]) -> dict[str, list[float]]:
    """Metric → Fairlearn's value for each group, in the order of the groups."""
    from fairlearn import metrics as fairlearn
    from sklearn.metrics import accuracy_score, precision_score

    if not metrics:
        return {}
    functions = {
        "selection_rate": fairlearn.selection_rate,
        "true_positive_rate": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
        "true_negative_rate": fairlearn.true_negative_rate,
        "false_negative_rate": fairlearn.false_negative_rate,
        "accuracy": accuracy_score,
        "precision": partial(precision_score, zero_division=0),
    }
    rows = cells_as_rows(part)
    weights = rows.pop("sample_weight")
    by_group = fairlearn.MetricFrame(
        metrics={metric: functions[metric] for metric in metrics},
        sample_params={metric: {"sample_weight": weights} for metric in metrics},
        **rows,
    ).by_group
    return {metric: [float(value) for value in by_group[metric]] for metric in metrics}
