"""One number over all groups, as Fairlearn defines it, with a bootstrap on the counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.fairness.metric_table import MetricTable
from hitl_audit.fairness.rates import RATES
from hitl_audit.groups import group_name

__all__ = ["DEFAULT_MEASURES", "MEASURES", "GapSummary", "gap_summaries", "known_measures"]

_RATES_OF = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "predictive_parity": ("precision",),
}
MEASURES: tuple[str, ...] = tuple(
    f"{name}_{compare}" for name in _RATES_OF for compare in ("difference", "ratio")
)
"""The accepted measures: the largest difference, or the smallest ratio, between any two groups.

Of ``equalized_odds`` the worse of both rates. ``predictive_parity`` compares
precisions; the other names are Fairlearn's.
"""
DEFAULT_MEASURES = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
)


@dataclass(frozen=True)
class GapSummary:
    """One number over all groups of an attribute, as Fairlearn defines it.

    The largest gap among several groups is biased away from parity in small
    samples; ``bias_corrected`` takes the bootstrap's estimate of that off.

    Attributes:
        attribute: ``"race"`` or ``"race × sex"``.
        measure: Fairlearn's name, for example ``"demographic_parity_ratio"``.
        value: Fairlearn's value; ``None`` if a group's rate is undefined
            (Fairlearn would count it as zero).
        low, high: percentile interval.
        bias_corrected: 2 · value − mean of the replicates, within 0 and 1.
        n, groups: rows, and groups compared.
        small_groups: those among them with fewer than ``min_group`` rows.
        replicates: bootstrap replicates drawn.
        undefined: those among them in which a group's rate did not exist.
        method: name of the interval.
    """

    attribute: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    bias_corrected: float | None
    n: int
    groups: int
    small_groups: int
    replicates: int
    undefined: int
    method: str = "multinomial bootstrap, percentile"


def known_measures(measures: Sequence[str]) -> tuple[str, ...]:
    """Check the names of measures.

    Raises:
        InputError: an unknown measure, or none.
    """
    for measure in measures:
        if measure not in MEASURES:
            hint = did_you_mean(str(measure), MEASURES)
            raise InputError(f'measure is "{measure}"; accepted: {", ".join(MEASURES)}{hint}')
    if not measures:
        raise InputError(f"measures is empty; accepted: {', '.join(MEASURES)}")
    return tuple(dict.fromkeys(measures))


def gap_summaries(
    table: MetricTable, min_group: int, measures: Sequence[str] = DEFAULT_MEASURES
) -> list[GapSummary]:
    """Every measure over the groups of ``table``, which has no control features."""
    cells = table.table.T if table.weights is None else table.weights.sums
    replicates = table.replicates
    tails = table.law.tails
    sizes = table.table.sum(1)
    summaries = []
    for measure in measures:
        observed = float(_gap(measure, cells))
        drawn = _gap(measure, replicates.cells)
        defined = drawn[~np.isnan(drawn)]
        value = low = high = corrected = None
        if not np.isnan(observed):
            value = observed
            if len(defined):
                low, high = (float(bound) for bound in np.quantile(defined, tails))
                corrected = float(np.clip(2 * value - defined.mean(), 0, 1))
        summaries.append(
            GapSummary(
                attribute=group_name(tuple(axis.name for axis in table.axes)),
                measure=measure,
                value=value,
                low=low,
                high=high,
                bias_corrected=corrected,
                n=int(sizes.sum()),
                groups=len(sizes),
                small_groups=int((sizes < min_group).sum()),
                replicates=len(drawn),
                undefined=len(drawn) - len(defined),
                method=table.method,
            )
        )
    return summaries


def _gap(measure: str, cells: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A measure of cells (4, …, groups); NaN where a group's rate is undefined."""
    name, compare = measure.rsplit("_", 1)
    gaps = []
    for metric in _RATES_OF[name]:
        counted, among = RATES[metric]
        rates = _divide(cells[list(counted)].sum(0), cells[list(among)].sum(0))
        if compare == "difference":
            gaps.append(np.ptp(rates, axis=-1))
        else:
            gaps.append(_divide(rates.min(-1), rates.max(-1)))
    worst = np.max(gaps, axis=0) if compare == "difference" else np.min(gaps, axis=0)
    return np.asarray(worst, dtype=np.float64)


def _divide(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    result = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=result, where=b > 0)
    return result
