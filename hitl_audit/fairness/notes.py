"""What a reader must know about group metrics, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.metric_table import MetricTable
from hitl_audit.fairness.rates import RATES, GroupRate
from hitl_audit.fairness.stratified import stratified_comparisons
from hitl_audit.findings import Comparison
from hitl_audit.groups import ALL, UNKNOWN, group_name

__all__ = ["notes_on_groups", "notes_on_table"]


def notes_on_table(table: MetricTable, pairs: Sequence[Comparison], confidence: float) -> list[str]:
    """What weights and control features do to these numbers."""
    notes = []
    if table.weights is not None:
        total = table.weights.sums.sum() ** 2 / table.weights.squares.sum()
        notes.append(
            f"Rows have weights. Rates are weighted; n counts rows. Intervals and tests use Kish's "
            f"effective sample size ({total:,.0f} of {int(table.table.sum()):,} rows overall), "
            "which is honest only if the weights do not depend on the outcome."
        )
    elif table.controls:
        for metric in (metric for metric in table.metrics if metric in RATES):
            notes += [
                found.words(confidence)
                for found in stratified_comparisons(table, pairs, metric, confidence)
                if found.reversed and not found.small
            ]
    return notes


def notes_on_groups(
    counts: GroupCounts,
    combinations: Sequence[tuple[str, ...]],
    named: Mapping[str, str],
    rates: Sequence[GroupRate],
    pairs: Sequence[Comparison],
    min_group: int,
) -> list[str]:
    """Missing values, picked references, small groups and the tests."""
    notes = []
    for attribute in counts.attributes:
        unknown = sum(sum(c) for g, c in counts.by([attribute]).items() if g == (UNKNOWN,))
        if unknown:
            notes.append(
                f"{attribute} is not known in {unknown:,} of {counts.rows:,} rows; they form the "
                f'group "{UNKNOWN}", which is listed and never the reference.'
            )
    picked = [group_name(by) for by in combinations if not all(name in named for name in by)]
    if picked:
        notes.append(
            f"The reference group for {', '.join(picked)} was picked from these data (for each "
            f"metric the best-off group with at least {min_group} rows). Picking the best one "
            "makes gaps look larger than a reference named beforehand would."
        )
    small = {(r.attribute, r.group) for r in rates if r.attribute != ALL and r.status != "ok"}
    if small:
        notes.append(
            f"Groups with fewer than {min_group} rows for at least one metric: {len(small)}. They "
            "are listed, but too small to decide anything there."
        )
    tests = sum(pair.compare == "ratio" and pair.p_value is not None for pair in pairs)
    if tests:
        test = next(pair.test for pair in pairs if pair.p_value is not None)
        notes.append(
            f"p values are from {test}, group against reference; adjusted by "
            f"Benjamini-Hochberg over all {tests} such tests here (every metric, every group)."
        )
    return notes
