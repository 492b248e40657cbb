"""Rates by group with intervals, and how far each group is from a reference.

``GroupMetrics.rates`` and ``against_reference`` are what an audit decides on:
each with a named interval, and 0/0 undefined. ``by_group``, ``overall_frame``,
``group_min``, ``group_max``, ``difference`` and ``ratio`` are Fairlearn's
``MetricFrame`` by all sensitive features crossed, equal to it over all rows
(0/0 is 0). Intervals, comparisons and tests cost nothing until asked for.
``overall`` is the rates of all rows together, with n and status, so the frame
in Fairlearn's sense has a name of its own.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.cell_counts import counted_cells, refuse_rowwise
from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.disparity import (
    DEFAULT_MEASURES,
    MEASURES,
    GapSummary,
    gap_summaries,
    known_measures,
)
from hitl_audit.fairness.impact import detectable_differences, impact_rows
from hitl_audit.fairness.measures import accept, check_settings, combinations
from hitl_audit.fairness.measuring import (
    METHODS,
    methods_of,
    metric_table,
    named_reference,
)
from hitl_audit.fairness.metric_table import Law, MetricTable
from hitl_audit.fairness.notes import notes_on_groups, notes_on_table
from hitl_audit.fairness.own_metrics import split_metrics
from hitl_audit.fairness.rate_chart import rate_chart
from hitl_audit.fairness.rates import (
    DEFAULT_METRICS,
    EFFECTIVE,
    METRICS,
    RATES,
    GroupRate,
    rates_of,
    value_of,
)
from hitl_audit.fairness.reference import Methods, against_reference, with_adjusted_p
from hitl_audit.fairness.score_metrics import ScoreMetrics, score_metrics_by_group
from hitl_audit.fairness.stratified import StratifiedComparison, stratified_comparisons
from hitl_audit.findings import Comparison
from hitl_audit.groups import ALL, TIMES, group_name

__all__ = [
    "DEFAULT_METRICS",
    "MEASURES",
    "METHODS",
    "METRICS",
    "GapSummary",
    "GroupMetrics",
    "GroupRate",
    "group_metrics",
    "group_metrics_of_counts",
]

_COMPARISON_COLUMNS = (
    "attribute",
    "group",
    "reference",
    "metric",
    "compare",
    "n",
    "reference_n",
    "value",
    "low",
    "high",
    "method",
    "p_value",
    "p_adjusted",
    "test",
    "detectable_difference",
    "status",
)


@dataclass(frozen=True)
class GroupMetrics:
    """Group metrics of a binary decision.

    What :func:`group_metrics` returns computes ``rates``, ``against_reference``
    and ``notes`` when one of them is first read.

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

    if not TYPE_CHECKING:  # a checker would then accept any name

        def __getattr__(self, name: str) -> Any:
            # Python asks here only for what is not there yet.
            later = vars(self).get("_later")
            if later is None or name not in ("rates", "against_reference", "notes"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            found = _measured(self, later)
            vars(self).update(found)
            return found[name]

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

    @cached_property
    def table(self) -> MetricTable:
        """The metrics as Fairlearn's ``MetricFrame`` has them.

        :func:`group_metrics` leaves its own here, with weights, control
        features and the method asked for; results read from a file have counts alone.

        Raises:
            InputError: the rates are weighted, and the weights are not known.
        """
        if any(rate.method.endswith(EFFECTIVE) for rate in self.rates):
            raise InputError(
                "these rates are weighted, and results read from a file have no weights; compute "
                "them anew with group_metrics"
            )
        law = Law("multinomial", 1000, 0, self.confidence)
        return MetricTable.of_counts(self.counts, self.metrics, law)

    @cached_property
    def scores(self) -> ScoreMetrics:
        """What :func:`group_metrics` says about ``y_score``, with the differences to a reference.

        Raises:
            InputError: it was not given any.
        """
        raise InputError("these results have no scores; accepted: group_metrics(…, y_score=…)")

    @property
    def by_group(self) -> pd.DataFrame:
        """Fairlearn's ``by_group``: groups (control features first) × metrics."""
        return self.table.by_group

    def by_group_frame(self) -> pd.DataFrame:
        """:attr:`by_group` with intervals: (group, metric) × value, low, high, undefined.

        ``undefined`` is, here and in the other frames, the number of bootstrap
        replicates in which the value did not exist.
        """
        return self.table.by_group_frame()

    def overall_frame(self) -> pd.DataFrame:
        """Fairlearn's ``overall`` with intervals: (control group, metric) × value, low, high."""
        return self.table.overall_frame()

    def group_min(self) -> pd.DataFrame:
        """Fairlearn's ``group_min`` with intervals."""
        return self.table.group_min()

    def group_max(self) -> pd.DataFrame:
        """Fairlearn's ``group_max`` with intervals."""
        return self.table.group_max()

    def difference(self, method: str = "between_groups") -> pd.DataFrame:
        """Fairlearn's ``difference`` with intervals.

        Args:
            method: ``"between_groups"`` or ``"to_overall"``.

        Raises:
            InputError: an unknown method.
        """
        return self.table.difference(method)

    def ratio(self, method: str = "between_groups") -> pd.DataFrame:
        """Fairlearn's ``ratio`` with intervals.

        Args:
            method: ``"between_groups"`` or ``"to_overall"``.

        Raises:
            InputError: an unknown method.
        """
        return self.table.ratio(method)

    def frame(self) -> pd.DataFrame:
        """All rates, one row each; then what was measured of scores, which has no count."""
        frame = pd.DataFrame([asdict(rate) for rate in self.rates])
        if "scores" not in vars(self):
            return frame
        of_scores = self.scores.frame().query("compare == 'value'")
        return pd.concat(
            [frame.astype({"count": "Int64"}), of_scores.reindex(columns=frame.columns)],
            ignore_index=True,
        ).astype({"count": "Int64"})

    def comparison_frame(self) -> pd.DataFrame:
        """All comparisons to a reference, one row each.

        ``detectable_difference`` is the smallest true difference, to the
        group's disadvantage, that this many rows would find at 80 % power.
        """
        detectable = detectable_differences(self.against_reference)
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
                "detectable_difference": detectable.get((c.metric, c.attribute, c.group)),
                "status": "small group" if c.small else "undefined" if c.value is None else "ok",
            }
            for c in self.against_reference
        ]
        return pd.DataFrame(rows, columns=list(_COMPARISON_COLUMNS))

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
        accept("metric", metric, [name for name in self.metrics if name != "count"])
        accept("by", attribute, [ALL, *self.attributes])
        accept("compare", compare, ["ratio", "difference", "value"])
        if compare != "value":
            if attribute == ALL:
                raise InputError(f"compare is {compare!r} for all rows together; accepted: 'value'")
            return tuple(
                c
                for c in self.against_reference
                if (c.metric, c.attribute, c.compare) == (metric, attribute, compare)
            )
        return tuple(
            value_of(rate, confidence=self.confidence, min_group=self.min_group)
            for rate in self._rates_of(metric, attribute)
        )

    def summary(
        self,
        *,
        measures: Sequence[str] = DEFAULT_MEASURES,
        n_boot: int = 2000,
        random_state: int = 0,
    ) -> tuple[GapSummary, ...]:
        """Fairlearn's gap measures over all groups of each attribute, with intervals.

        Drawing rows with replacement and counting them is one multinomial draw
        over the cells, so the bootstrap costs the same for any number of rows.

        Args:
            measures: some of :data:`MEASURES`.
            n_boot: number of replicates.
            random_state: seed.

        Raises:
            InputError: an unknown measure, or less than one replicate.
        """
        chosen = known_measures(measures)
        check_settings(confidence=self.confidence, n_boot=n_boot)
        law = replace(self.table.law, n_boot=n_boot, random_state=random_state)
        rows: list[GapSummary] = []
        for by in self._combinations():
            part = replace(self.table.by(by), law=law)
            rows += gap_summaries(part, self.min_group, chosen)
        return tuple(rows)

    def impact_frame(self, metric: str = "selection_rate") -> pd.DataFrame:
        """How large the impact on each group is, by several measures, one row per group.

        ``impact_ratio`` is rate / reference rate, and below four fifths is
        decided on exact counts (29 CFR 1607.4D; .80 itself passes).
        ``standardized_difference`` is the difference of the rates over the
        root of the mean of both variances (Austin 2009). ``odds_ratio`` has
        Woolf's logarithmic interval; ½ is added to all cells if one is zero.

        Raises:
            InputError: a metric that was not computed or is no proportion, or
                rows with weights.
        """
        accept("metric", metric, [name for name in self.metrics if name in RATES])
        if self.table.weights is not None:
            raise InputError(
                "impact_frame is of counted rows, and these have weights; accepted: comparisons"
            )
        pairs = [c for c in self.against_reference if c.metric == metric]
        return pd.DataFrame(impact_rows(pairs))

    def stratified(self, metric: str = "selection_rate") -> tuple[StratifiedComparison, ...]:
        """Each group against its reference within the control features.

        Raises:
            InputError: a metric that was not computed or is no proportion, no
                control features, or rows with weights.
        """
        accept("metric", metric, [name for name in self.metrics if name in RATES])
        if not self.table.controls:
            raise InputError("no control features were given; accepted: control_features=…")
        if self.table.weights is not None:
            raise InputError(
                "the Cochran-Mantel-Haenszel test counts rows, and these have weights; accepted: "
                "rows without weights"
            )
        return tuple(
            stratified_comparisons(self.table, self.against_reference, metric, self.confidence)
        )

    def chart(self, metric: str | None = None, attribute: str | None = None) -> Chart:
        """One metric by group with its intervals; the largest groups if there are many.

        Args:
            metric: one of the metrics, or of those of :attr:`scores`; default the first.
            attribute: one of :attr:`attributes`; default the first.

        Raises:
            InputError: a metric or an attribute that was not computed.
        """
        of_scores = {m.metric for m in self.scores.measures} if "scores" in vars(self) else set()
        drawn = [name for name in self.metrics if name != "count"]
        metric = drawn[0] if metric is None and drawn else metric or ""
        attribute = self.attributes[0] if attribute is None else attribute
        accept("metric", metric, [*drawn, *sorted(of_scores)])
        accept("attribute", attribute, self.attributes)
        if metric in of_scores:
            return self.scores.chart(metric, attribute)
        rates = self._rates_of(metric, attribute)
        return rate_chart(rates, confidence=self.confidence, min_group=self.min_group)

    def plot(self, metric: str | None = None, attribute: str | None = None) -> Any:
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
    y_score: Any = None,
    sensitive_features: Any,
    data: Any = None,
    control_features: Any = None,
    metrics: str | Callable[..., float] | Sequence[Any] | Mapping[str, Any] | None = None,
    sample_weight: Any = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    reference: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    method: str | Sequence[str] = "multinomial",
    test: str | None = None,
    random_state: int = 0,
    min_group: int = 30,
) -> GroupMetrics:
    """Compute Fairlearn's group metrics with intervals and comparisons to a reference.

    Rows are counted once; everything else derives from the counts. Point
    estimates are those of a ``MetricFrame`` over all rows. Default intervals:
    Wilson for a rate, Koopman score for a ratio, Newcombe for a difference,
    the multinomial bootstrap for what is over all groups. p values: Fisher's
    exact test, adjusted by Benjamini and Hochberg over every test in the result.

    With weights, rates are weighted, and their intervals and tests use Kish's
    effective sample size, (Σ w)² / Σ w² of the rows a rate is about; that is
    honest for weights that do not depend on the outcome, and the method says
    so. The bootstrap of weighted rows draws (cell, weight) pairs and assumes nothing.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_pred: (rows,) 0 or 1, where 1 is the favorable decision.
        y_score: (rows,) scores, larger is more favorable: adds AUC, Brier score,
            mean score and calibration to :meth:`GroupMetrics.frame`, and
            :attr:`GroupMetrics.scores`. Scores have no weights.
        sensitive_features: table, column, mapping or array, matched by
            position. Missing values form the group ``"unknown"``.
        data: rows that stay where they are: a DuckDB relation, a LazyFrame of
            polars, a DataFrame of PySpark or anything else that narwhals takes,
            a source of rows, or a path, glob or query that
            :func:`hitl_audit.rows.open_rows` takes. ``y_true``, ``y_pred`` and
            ``sensitive_features`` are then names of its columns, and the rows are
            counted there; what needs the rows themselves is refused.
        control_features: likewise; the frames compare only within them, and
            :meth:`GroupMetrics.stratified` does. ``rates`` are of all rows.
        metrics: some of :data:`METRICS`; the first seven and the count if
            ``None``. A function ``f(y_true, y_pred)``, or a mapping of names
            to functions, is measured row-wise by Fairlearn; it has no place
            in ``rates``, and its intervals take Fairlearn's own time.
        sample_weight: (rows,) weights.
        intersections: also compare by the intersection of all attributes, or
            by exactly the intersections named.
        reference: attribute → group to compare with. Default: for each metric
            the best-off group with at least ``min_group`` rows.
        confidence: of every interval.
        n_boot: replicates of the bootstrap.
        method: one of :data:`METHODS`, or one for each thing: the bootstrap
            (``"multinomial"`` draws counts, ``"replay"`` draws Fairlearn's
            own rows for the seed), rates, ratios, differences.
        test: ``"fisher"`` (default), ``"z"``, ``"chi-squared"`` or ``"yates"``;
            with weights ``"z"`` (default) or ``"chi-squared"``.
        random_state: seed of the bootstrap.
        min_group: groups with fewer rows are flagged and never a default reference.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, no rows,
            weights that are negative, missing or all zero, scores that are
            missing or have weights, an unknown metric, method, test, attribute
            or reference group.
    """
    if y_score is not None and sample_weight is not None:
        raise InputError(
            "y_score and sample_weight are both given, and metrics of scores count every row "
            "alike; accepted: one of them"
        )
    if data is not None:
        refuse_rowwise(
            y_score=y_score, sample_weight=sample_weight, control_features=control_features
        )
        found, values = counted_cells(
            data, y_true=y_true, y_pred=y_pred, sensitive_features=sensitive_features
        )
        return group_metrics_of_counts(
            found,
            values=values,
            metrics=metrics,
            intersections=intersections,
            reference=reference,
            confidence=confidence,
            n_boot=n_boot,
            method=method,
            test=test,
            random_state=random_state,
            min_group=min_group,
        )
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    law, methods = methods_of(method, test, weighted=sample_weight is not None)
    table = metric_table(
        y_true,
        y_pred,
        sensitive_features=sensitive_features,
        control_features=control_features,
        metrics=metrics,
        sample_weight=sample_weight,
        confidence=confidence,
        n_boot=n_boot,
        method=law,
        random_state=random_state,
    )
    result = _result(table, methods, intersections, reference, confidence, min_group)
    if y_score is not None:
        vars(result)["scores"] = score_metrics_by_group(
            y_true,
            y_score,
            sensitive_features=sensitive_features,
            reference=reference,
            intersections=intersections,
            confidence=confidence,
            min_group=min_group,
            n_boot=n_boot,
            random_state=random_state,
        )
    return result


def group_metrics_of_counts(
    counts: GroupCounts,
    *,
    values: Mapping[str, Sequence[Any]] | None = None,
    metrics: str | Callable[..., float] | Sequence[Any] | Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    reference: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    method: str | Sequence[str] = "multinomial",
    test: str | None = None,
    random_state: int = 0,
    min_group: int = 30,
) -> GroupMetrics:
    """The same numbers as :func:`group_metrics` of the rows that were counted.

    The other arguments are those of :func:`group_metrics`.

    Args:
        counts: rows per group, true label and predicted label.
        values: attribute → its groups as they were given, in the order of their
            names; how the frames' indexes show them.

    Raises:
        InputError: no rows, an unknown metric, method, test, attribute or
            reference group, or a metric or a method that needs the rows.
    """
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    if not isinstance(random_state, int) or random_state < 0:
        raise InputError(f"random_state is {random_state!r}; accepted: a whole number, 0 or more")
    if not counts.rows:
        raise InputError("counts have no rows; accepted: at least one row")
    if not counts.attributes:
        raise InputError("sensitive_features has no column; accepted: at least one attribute")
    law, methods = methods_of(method, test, weighted=False)
    if law == "replay":
        raise InputError(
            'method "replay" needs the rows, and these are counts alone; accepted here: '
            '"multinomial"'
        )
    names, own = split_metrics(metrics)
    if own:
        raise InputError(
            f"metrics has the functions {', '.join(own)}, which need the rows, and these are "
            "counts alone; accepted: metrics that counts give"
        )
    drawn = Law(law, n_boot, random_state, float(confidence))
    table = MetricTable.of_counts(counts, names, drawn, values)
    return _result(table, methods, intersections, reference, confidence, min_group)


def _result(
    table: MetricTable,
    methods: Methods,
    intersections: bool | Sequence[Sequence[str]],
    reference: Mapping[str, Any] | None,
    confidence: float,
    min_group: int,
) -> GroupMetrics:
    counts = table.counts()
    later = _Later(
        crossed=combinations(counts.attributes, intersections),
        named=named_reference(counts, reference or {}),
        methods=methods,
    )
    result: GroupMetrics = object.__new__(GroupMetrics)
    vars(result).update(
        counts=counts, confidence=float(confidence), min_group=min_group, table=table, _later=later
    )
    return result


@dataclass(frozen=True)
class _Later:
    """What the comparisons need beside the table of counts."""

    crossed: list[tuple[str, ...]]
    named: dict[str, str]
    methods: Methods


def _measured(result: GroupMetrics, later: _Later) -> dict[str, Any]:
    """The rates, comparisons and notes of a result."""
    counts, table, confidence = result.counts, result.table, result.confidence
    rates: list[GroupRate] = []
    pairs: list[Comparison] = []
    notes: list[str] = []
    for by in ((), *later.crossed):
        part = counts.by(by)
        weights = None if table.weights is None else table.by(by).weights
        found = rates_of(
            part,
            table.metrics,
            confidence,
            result.min_group,
            method=later.methods.rate,
            weights=weights,
        )
        rates += found
        if by:
            compared, without = against_reference(
                part,
                found,
                table.metrics,
                later.named,
                confidence,
                result.min_group,
                methods=later.methods,
                weights=weights,
            )
            pairs += compared
            notes += without
    pairs = with_adjusted_p(pairs)
    notes = [
        *notes_on_groups(counts, later.crossed, later.named, rates, pairs, result.min_group),
        *notes,
        *notes_on_table(table, pairs, confidence),
    ]
    return {"rates": tuple(rates), "against_reference": tuple(pairs), "notes": tuple(notes)}
