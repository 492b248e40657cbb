"""Group fairness of a model that predicts a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hitl_audit.errors import InputError
from hitl_audit.fairness.measure_table import MeasureTable
from hitl_audit.fairness.measures import (
    Floats,
    Interval,
    Measure,
    Partition,
    as_numbers,
    check_settings,
    differences,
    group_notes,
    mean_interval,
    partitions,
    status_of,
    welch,
)

__all__ = ["RegressionMetrics", "regression_metrics"]


@dataclass(frozen=True, kw_only=True)
class RegressionMetrics(MeasureTable):
    """Errors and predictions of a regression by group, and differences to the reference."""


def regression_metrics(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
) -> RegressionMetrics:
    """Errors of a regression by group, and statistical parity of its mean prediction.

    ``mean_prediction`` (its difference to the reference is statistical parity
    of the mean), ``mean_error`` (mean of y_pred − y_true: above zero the group
    is predicted too high) and ``mean_absolute_error`` with Student's t
    interval, differences with Welch's. ``error_quantile_0.9`` … are quantiles
    of y_pred − y_true, with the interval between two order statistics that
    holds for any distribution (David & Nagaraja, Order Statistics, 2003, 7.1).

    Args:
        y_true, y_pred: (rows,) finite numbers.
        sensitive_features, reference, intersections: as in ``score_metrics_by_group``.
        quantiles: of the error, between 0 and 1.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.

    Raises:
        InputError: lengths that differ, values that are missing or no numbers,
            or an impossible setting.
    """
    truth = as_numbers(y_true, "y_true")
    prediction = as_numbers(y_pred, "y_pred", len(truth))
    check_settings(confidence=confidence, min_group=min_group)
    for q in quantiles:
        if not 0 < q < 1:
            raise InputError(f"quantiles has {q}; accepted: numbers between 0 and 1")
    parts = partitions(
        sensitive_features,
        len(truth),
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    errors = prediction - truth
    columns = {
        "mean_prediction": prediction,
        "mean_error": errors,
        "mean_absolute_error": np.abs(errors),
    }
    means: list[Measure] = []
    found: list[Measure] = []
    compared: list[Measure] = []
    for part in parts:
        members = dict(zip(part.groups, part.rows, strict=True))
        for group, rows in members.items():
            n = len(rows)
            for metric, values in columns.items():
                bounds = mean_interval(values[rows], confidence=confidence)
                mean = float(values[rows].mean())
                row = _value(part, group, metric, n, mean, bounds, "Student t", min_group)
                means.append(row)
                if part.reference is None or group == part.reference:
                    continue
                other = values[members[part.reference]]
                low, high = welch(values[rows], other, confidence=confidence)
                few = min(n, len(other)) < min_group
                compared.append(
                    replace(
                        row,
                        compare="difference",
                        reference=part.reference,
                        value=mean - float(other.mean()),
                        low=low,
                        high=high,
                        method="Welch t",
                        status="small group" if few else "ok",
                    )
                )
            ordered = np.sort(errors[rows])
            for q in dict.fromkeys(quantiles):
                value = float(np.quantile(ordered, q))
                bounds = _quantile_interval(ordered, q, confidence)
                metric = f"error_quantile_{q:g}"
                row = _value(part, group, metric, n, value, bounds, "order statistics", min_group)
                found.append(row)
    references = {part.attribute: part.reference for part in parts if part.reference is not None}
    return RegressionMetrics(
        measures=(*means, *found, *compared, *differences(found, references)),
        confidence=confidence,
        notes=tuple(group_notes(parts, len(truth), min_group)),
    )


def _value(
    part: Partition,
    group: str,
    metric: str,
    n: int,
    value: float,
    bounds: Interval,
    method: str,
    min_group: int,
) -> Measure:
    status = status_of(value, n, min_group)
    return Measure(part.attribute, group, metric, "value", "", n, value, *bounds, method, status)


def _quantile_interval(ordered: Floats, q: float, confidence: float) -> Interval:
    """Two order statistics that hold the quantile with at least the confidence, or none."""
    from scipy.stats import binom

    n, tail = len(ordered), (1 - confidence) / 2
    # The k-th smallest lies above the quantile if fewer than k rows lie below it, a
    # number that is binomial; and so on the other side.
    low, high = int(binom.ppf(tail, n, q)) - 1, int(binom.isf(tail, n, q))
    if low < 0 or high >= n:
        return None, None
    return float(ordered[low]), float(ordered[high])
