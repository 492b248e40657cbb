"""One number over all groups, as Fairlearn defines it, with a bootstrap on the counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.rates import RATES, cells_as_rows
from hitl_audit.groups import group_name

__all__ = ["GapSummary", "gap_summaries"]

_GAPS = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
}
_CHUNK = 200


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


def gap_summaries(
    part: GroupCounts, confidence: float, min_group: int, n_boot: int, random_state: int
) -> list[GapSummary]:
    """Every gap measure over the groups of ``part``."""
    from fairlearn import metrics as fairlearn

    table = np.array(part.table, dtype=np.int64)
    observed = _gap_values(table[None])
    replicates = _replicates(table, n_boot, random_state)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    summaries = []
    for measure in _GAPS:
        value = low = high = corrected = None
        drawn = replicates[measure]
        defined = drawn[~np.isnan(drawn)]
        if not np.isnan(observed[measure][0]):
            value = float(getattr(fairlearn, measure)(**cells_as_rows(part)))
            if len(defined):
                low, high = (float(bound) for bound in np.quantile(defined, tails))
                corrected = float(np.clip(2 * value - defined.mean(), 0, 1))
        summaries.append(
            GapSummary(
                attribute=group_name(part.attributes),
                measure=measure,
                value=value,
                low=low,
                high=high,
                bias_corrected=corrected,
                n=part.rows,
                groups=len(part.groups),
                small_groups=sum(sum(cells) < min_group for cells in part.table),
                replicates=n_boot,
                undefined=len(drawn) - len(defined),
            )
        )
    return summaries


def _replicates(
    table: npt.NDArray[np.int64], n_boot: int, random_state: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Gap measures of resampled tables (groups × 4)."""
    rng = np.random.default_rng(random_state)
    rows = int(table.sum())
    occupied = np.flatnonzero(table)
    shares = table.ravel()[occupied] / rows
    parts = []
    for start in range(0, n_boot, _CHUNK):
        size = min(_CHUNK, n_boot - start)
        drawn = np.zeros((size, table.size), dtype=np.int64)
        drawn[:, occupied] = rng.multinomial(rows, shares, size=size)
        parts.append(_gap_values(drawn.reshape(size, *table.shape)))
    return {measure: np.concatenate([part[measure] for part in parts]) for measure in _GAPS}


def _gap_values(tables: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
    """Gap measures of tables (replicates × groups × 4); NaN where a group's rate is undefined."""

    def rates(metric: str) -> npt.NDArray[np.float64]:
        counted, among = RATES[metric]
        hits = tables[..., list(counted)].sum(-1).astype(float)
        return _divide(hits, tables[..., list(among)].sum(-1))

    selected = rates("selection_rate")
    spreads = [np.ptp(rates(metric), axis=-1) for metric in _GAPS["equalized_odds_difference"]]
    return {
        "demographic_parity_difference": np.ptp(selected, axis=-1),
        "demographic_parity_ratio": _divide(selected.min(-1), selected.max(-1)),
        "equalized_odds_difference": np.max(spreads, axis=0),
    }


def _divide(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    result = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=result, where=b > 0)
    return result
