"""Groups compared within control groups, and whether that turns the pooled picture round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hitl_audit.fairness.metric_table import MetricTable
from hitl_audit.fairness.rates import RATES
from hitl_audit.fairness.significance import MantelHaenszel, adjusted, mantel_haenszel, odds_ratio
from hitl_audit.findings import Comparison, metric_words
from hitl_audit.groups import TIMES, group_name

__all__ = ["TEST", "StratifiedComparison", "stratified_comparisons"]

TEST = "Cochran-Mantel-Haenszel chi-squared test without correction"
_METHOD = "Mantel-Haenszel; Robins-Breslow-Greenland"


@dataclass(frozen=True)
class StratifiedComparison:
    """A group against its reference, pooled and within control groups.

    Attributes:
        attribute, group, reference, metric: what is compared.
        within: the control features.
        pooled: odds ratio over all rows (½ added to all cells if one is zero).
        odds_ratio, low, high: common odds ratio within the control groups.
        strata: control groups in which both groups and both outcomes occur.
        left_out: control groups that say nothing.
        statistic, p_value, p_adjusted: of :data:`TEST`; adjusted by
            Benjamini-Hochberg over the comparisons of this metric.
        reversed: pooled and common odds ratio lie on different sides of 1.
        small: the group has fewer rows than ``min_group``.
        method, test: names.
    """

    attribute: str
    group: str
    reference: str
    metric: str
    within: str
    pooled: float | None
    odds_ratio: float | None
    low: float | None
    high: float | None
    strata: int
    left_out: int
    statistic: float | None
    p_value: float | None
    p_adjusted: float | None
    reversed: bool
    small: bool
    method: str = _METHOD
    test: str = TEST

    def words(self, confidence: float) -> str:
        """Simpson's paradox in one sentence."""
        pooled, within = ("lower", "higher") if (self.pooled or 0) < 1 else ("higher", "lower")
        unsure = ""
        if self.low is not None and self.high is not None and self.low <= 1 <= self.high:
            unsure = ", which includes no difference"
        return (
            f"Simpson's paradox: the {metric_words(self.metric)} of {self.group} is {pooled} than "
            f"that of {self.reference} over all rows (odds ratio {self.pooled:.2f}), but {within} "
            f"within {self.within} (common odds ratio {self.odds_ratio:.2f}, "
            f"{confidence * 100:g}% interval {self.low:.2f} to {self.high:.2f}{unsure}). Which of "
            f"the two matters depends on whether {self.within} may rightly play a part."
        )


def stratified_comparisons(
    table: MetricTable, pairs: Sequence[Comparison], metric: str, confidence: float
) -> list[StratifiedComparison]:
    """Each pair of a group and its reference, within the control groups of ``table``."""
    counted, among = RATES[metric]
    within = group_name(tuple(axis.name for axis in table.axes[: table.controls]))
    wanted = [pair for pair in pairs if pair.metric == metric and pair.compare == "ratio"]
    found: list[tuple[Comparison, float | None, MantelHaenszel]] = []
    for attribute in dict.fromkeys(pair.attribute for pair in wanted):
        known = tuple(axis.name for axis in table.axes)
        names = (attribute,) if attribute in known else tuple(attribute.split(TIMES))
        part = table.by(names, within=True)
        strata = np.unique(part.groups[:, : part.controls], axis=0, return_inverse=True)[1]
        strata = strata.reshape(-1)
        axes = part.axes[part.controls :]
        groups = [
            group_name(tuple(a.names[code] for a, code in zip(axes, row, strict=True)))
            for row in part.groups[:, part.controls :].tolist()
        ]
        size = int(strata.max()) + 1
        counts: dict[str, np.ndarray] = {}
        for place, name in enumerate(groups):
            own = counts.setdefault(name, np.zeros((2, size), dtype=np.int64))
            own[0, strata[place]] += part.table[place, list(counted)].sum()
            own[1, strata[place]] += part.table[place, list(among)].sum()
        for pair in (pair for pair in wanted if pair.attribute == attribute):
            a, b = counts[pair.group], counts[pair.reference]
            pooled = odds_ratio(*map(int, (*a.sum(1), *b.sum(1))), confidence=confidence)
            common = mantel_haenszel(a[0], a[1], b[0], b[1], confidence=confidence)
            found.append((pair, pooled[0] if pooled else None, common))
    tested = [common.p_value for _, _, common in found if common.p_value is not None]
    family = iter(adjusted(tested))
    return [
        StratifiedComparison(
            attribute=pair.attribute,
            group=pair.group,
            reference=pair.reference,
            metric=metric,
            within=within,
            pooled=pooled,
            odds_ratio=common.odds_ratio,
            low=common.low,
            high=common.high,
            strata=common.strata,
            left_out=common.left_out,
            statistic=common.statistic,
            p_value=common.p_value,
            p_adjusted=None if common.p_value is None else next(family),
            reversed=pooled is not None
            and common.odds_ratio is not None
            and (pooled - 1) * (common.odds_ratio - 1) < 0,
            small=pair.small,
        )
        for pair, pooled, common in found
    ]
