"""Rates by group with intervals, and how far each group is from a reference."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.fairness.counts import GroupCounts, count_groups
from hitl_audit.fairness.disparity import GapSummary, gap_summaries
from hitl_audit.fairness.rates import METRICS, GroupRate, rates_of
from hitl_audit.fairness.reference import TEST, against_reference, with_adjusted_p
from hitl_audit.findings import Comparison, metric_words, percent
from hitl_audit.groups import ALL, TIMES, UNKNOWN, binary_labels, group_columns, group_name
from hitl_audit.intervals import Count

__all__ = ["METRICS", "GapSummary", "GroupMetrics", "GroupRate", "group_metrics"]

_CHART_GROUPS = 25


@dataclass(frozen=True)
class GroupMetrics:
    """Group metrics of a binary decision.

    Attributes:
        counts: rows per group, true label and predicted label; all else derives from them.
        rates: one row per attribute, group and metric, all rows together first.
        against_reference: ratio and difference of each group to its reference.
        confidence: of every interval.
        min_group: groups with fewer rows decide nothing.
        notes: what a reader must know about these numbers.
    """

    counts: GroupCounts
    rates: tuple[GroupRate, ...]
    against_reference: tuple[Comparison, ...]
    confidence: float
    min_group: int
    notes: tuple[str, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """What was compared by: the single attributes and the intersections."""
        return tuple(dict.fromkeys(r.attribute for r in self.rates if r.attribute != ALL))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics computed."""
        return tuple(dict.fromkeys(rate.metric for rate in self.rates))

    @property
    def overall(self) -> tuple[GroupRate, ...]:
        """The metrics of all rows together."""
        return tuple(rate for rate in self.rates if rate.attribute == ALL)

    def frame(self) -> pd.DataFrame:
        """All rates, one row each."""
        return pd.DataFrame([asdict(rate) for rate in self.rates])

    def comparison_frame(self) -> pd.DataFrame:
        """All comparisons to a reference, one row each."""
        rows = [
            {
                "attribute": c.attribute,
                "group": c.group,
                "reference": c.reference,
                "metric": c.metric,
                "compare": c.compare,
                "n": c.count.total,
                "reference_n": c.reference_count.total if c.reference_count else None,
                "value": c.value,
                "low": c.low,
                "high": c.high,
                "method": c.method,
                "p_value": c.p_value,
                "p_adjusted": c.p_adjusted,
                "test": c.test,
                "status": "small group" if c.small else "undefined" if c.value is None else "ok",
            }
            for c in self.against_reference
        ]
        return pd.DataFrame(rows)

    def comparisons(
        self,
        metric: str,
        by: str | Sequence[str] = (),
        compare: Literal["ratio", "difference", "value"] = "ratio",
    ) -> tuple[Comparison, ...]:
        """What a criterion is held against (:func:`hitl_audit.findings.evaluate`).

        Args:
            metric: one of the metrics computed, but not ``count``.
            by: attribute, or several for their intersection; () for all rows together.
            compare: to the reference by ``"ratio"`` or ``"difference"``, or
                the plain ``"value"`` of each group.

        Raises:
            InputError: a metric or an attribute that was not computed, or a
                comparison of all rows with nothing.
        """
        attribute = by if isinstance(by, str) else group_name(tuple(by)) or ALL
        _accept("metric", metric, [name for name in self.metrics if name != "count"])
        _accept("by", attribute, [ALL, *self.attributes])
        _accept("compare", compare, ["ratio", "difference", "value"])
        if compare != "value":
            if attribute == ALL:
                raise InputError(f"compare is {compare!r} for all rows together; accepted: 'value'")
            return tuple(
                c
                for c in self.against_reference
                if (c.metric, c.attribute, c.compare) == (metric, attribute, compare)
            )
        return tuple(
            Comparison(
                metric=metric,
                attribute=attribute,
                group=rate.group,
                reference="",
                compare="value",
                count=Count(rate.count, rate.n),
                reference_count=None,
                value=rate.value,
                low=rate.low,
                high=rate.high,
                confidence=self.confidence,
                method=rate.method,
                small=rate.n < self.min_group,
                min_group=self.min_group,
            )
            for rate in self._rates_of(metric, attribute)
        )

    def summary(self, *, n_boot: int = 2000, random_state: int = 0) -> tuple[GapSummary, ...]:
        """Fairlearn's gap measures over all groups of each attribute, with intervals.

        Drawing rows with replacement and counting them is one multinomial draw
        over the cells, so the bootstrap costs the same for any number of rows.

        Args:
            n_boot: number of replicates.
            random_state: seed.

        Raises:
            InputError: less than one replicate.
        """
        if n_boot < 1:
            raise InputError(f"n_boot is {n_boot}; accepted: 1 or more")
        rows: list[GapSummary] = []
        for by in self._combinations():
            rows += gap_summaries(
                self.counts.by(by), self.confidence, self.min_group, n_boot, random_state
            )
        return tuple(rows)

    def chart(self, metric: str, attribute: str) -> Chart:
        """One metric by group with its intervals; the largest groups if there are many.

        Raises:
            InputError: a metric or an attribute that was not computed.
        """
        _accept("metric", metric, [name for name in self.metrics if name != "count"])
        _accept("attribute", attribute, self.attributes)
        rates = self._rates_of(metric, attribute)
        shown = sorted(rates, key=lambda rate: -rate.n)[:_CHART_GROUPS]
        shown.sort(key=lambda rate: (rate.value is None, -(rate.value or 0.0), rate.group))
        name = metric_words(metric).capitalize()
        sure = [rate for rate in shown if rate.status == "ok"]
        if sure:
            top, bottom = sure[0], sure[-1]
            said = (
                f"{name} by {attribute}: {percent(top.value)} for {top.group}, "
                f"{percent(bottom.value)} for {bottom.group}."
                if len(sure) > 1
                else f"{name} by {attribute}: {percent(top.value)} for {top.group}."
            )
        else:
            said = f"{name} by {attribute}: every group has fewer than {self.min_group} cases."
        if len(shown) < len(rates):
            said += f" The {len(shown)} largest of {len(rates)} groups are shown."
        values = "; ".join(
            f"{rate.group} {percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}, "
            f"n = {rate.n})"
            for rate in shown
        )
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} With {self.confidence * 100:g}% intervals: {values}.",
            value_label=f"{name}, with {self.confidence * 100:g}% interval",
            series=(
                Series(
                    name=name,
                    x=tuple(rate.group for rate in shown),
                    y=tuple(rate.value for rate in shown),
                    low=tuple(rate.low for rate in shown),
                    high=tuple(rate.high for rate in shown),
                    notes=tuple(
                        f"n = {rate.n}" + ("" if rate.status == "ok" else f", {rate.status}")
                        for rate in shown
                    ),
                ),
            ),
            value_range=(0.0, 1.0),
            percent=True,
        )

    def plot(self, metric: str, attribute: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric, attribute))

    def _rates_of(self, metric: str, attribute: str) -> list[GroupRate]:
        return [r for r in self.rates if (r.metric, r.attribute) == (metric, attribute)]

    def _combinations(self) -> list[tuple[str, ...]]:
        known = self.counts.attributes
        return [(name,) if name in known else tuple(name.split(TIMES)) for name in self.attributes]

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def group_metrics(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    metrics: Sequence[str] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    reference: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    min_group: int = 30,
) -> GroupMetrics:
    """Compute Fairlearn's group metrics with intervals and comparisons to a reference.

    Point estimates are Fairlearn's, from a ``MetricFrame`` over the distinct
    combinations of group and labels, weighted by their counts: equal to one
    over all rows. Intervals: Wilson for a rate, Koopman score for a ratio,
    Newcombe for a difference. p values: Fisher's exact test, adjusted by
    Benjamini and Hochberg over every test in the result.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_pred: (rows,) 0 or 1, where 1 is the favorable decision.
        sensitive_features: DataFrame, Series, mapping or array, matched by
            position. Missing values form the group ``"unknown"``.
        metrics: some of :data:`METRICS`; all of them if ``None``.
        intersections: also compare by the intersection of all attributes, or
            by exactly the intersections named.
        reference: attribute → group to compare with. Default: for each metric
            the best-off group with at least ``min_group`` rows.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged and never a default reference.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, no rows, an
            unknown metric, attribute or reference group.
    """
    truth, decision = binary_labels(y_true, "y_true"), binary_labels(y_pred, "y_pred")
    if len(truth) != len(decision):
        raise InputError(f"y_pred: got {len(decision)} rows, expected {len(truth)} as in y_true")
    columns = group_columns(sensitive_features, len(truth))
    chosen = tuple(METRICS if metrics is None else dict.fromkeys(metrics))
    for metric in chosen:
        _accept("metric", metric, METRICS)
    if not chosen:
        raise InputError(f"metrics is empty; accepted: {', '.join(METRICS)}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if min_group < 1:
        raise InputError(f"min_group is {min_group}; accepted: 1 or more")
    counts = count_groups(truth, decision, columns)
    combinations = _combinations(counts.attributes, intersections)
    named = _named_reference(counts, reference or {})
    rates: list[GroupRate] = []
    pairs: list[Comparison] = []
    notes: list[str] = []
    for by in ((), *combinations):
        part = counts.by(by)
        rates += rates_of(part, chosen, confidence, min_group)
        if by:
            found, without = against_reference(part, chosen, named, confidence, min_group)
            pairs += found
            notes += without
    pairs = with_adjusted_p(pairs)
    notes = [*_notes(counts, combinations, named, rates, pairs, min_group), *notes]
    return GroupMetrics(counts, tuple(rates), tuple(pairs), confidence, min_group, tuple(notes))


def _accept(field: str, found: str, accepted: Sequence[str]) -> None:
    if found not in accepted:
        hint = did_you_mean(str(found), accepted)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(accepted)}{hint}')


def _combinations(
    attributes: tuple[str, ...], intersections: bool | Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    """The sets of attributes to compare by: each alone, then the intersections."""
    single: list[tuple[str, ...]] = [(name,) for name in attributes]
    if isinstance(intersections, bool):
        return [*single, attributes] if intersections and len(attributes) > 1 else single
    for names in intersections:
        for name in names:
            _accept("intersections", name, attributes)
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise InputError(
                f"intersections has {list(names)}; accepted: two or more different attributes each"
            )
    return list(dict.fromkeys([*single, *map(tuple, intersections)]))


def _named_reference(counts: GroupCounts, reference: Mapping[str, Any]) -> dict[str, str]:
    for attribute, group in reference.items():
        _accept("reference", attribute, counts.attributes)
        known = [name for (name,) in counts.by([attribute]).groups if name != UNKNOWN]
        _accept(f"reference of {attribute}", str(group), known)
    return {attribute: str(group) for attribute, group in reference.items()}


def _notes(
    counts: GroupCounts,
    combinations: Sequence[tuple[str, ...]],
    named: Mapping[str, str],
    rates: Sequence[GroupRate],
    pairs: Sequence[Comparison],
    min_group: int,
) -> list[str]:
    notes = []
    for attribute in counts.attributes:
        unknown = sum(sum(c) for g, c in counts.by([attribute]).items() if g == (UNKNOWN,))
        if unknown:
            notes.append(
                f"{attribute} is missing in {unknown:,} of {counts.rows:,} rows; they form the "
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
        notes.append(
            f"p values are from {TEST}, group against reference; adjusted by "
            f"Benjamini-Hochberg over all {tests} such tests here (every metric, every group)."
        )
    return notes
