"""The sections of numbers: performance and fairness, overall and by group."""

from __future__ import annotations

from dataclasses import replace

from hitl_audit.charts import Chart
from hitl_audit.evidence import Evidence
from hitl_audit.fairness.group_metrics import GroupMetrics
from hitl_audit.findings import metric_words, percent
from hitl_audit.groups import ALL
from hitl_audit.report.document import (
    Align,
    Block,
    Figure,
    Heading,
    Paragraph,
    Points,
    Section,
    Table,
)
from hitl_audit.report.tracing import told
from hitl_audit.report.wording import (
    interval,
    interval_name,
    interval_numbers,
    label,
    number,
    p_words,
    status_words,
)

__all__ = ["fairness_section", "history_blocks", "performance_section"]

CURVE_POINTS = 6
LEFT: tuple[Align, ...] = ("left", "left")


def history_blocks(evidence: Evidence, decisions: GroupMetrics, rows: int) -> list[Block]:
    """How people decided before, by group."""
    attribute = decisions.attributes[0]
    chart = decisions.chart("selection_rate", attribute)
    chart = _named(evidence, chart, attribute)
    return [
        Heading("How people decided before"),
        Paragraph(
            f"Over all {rows:,} recorded applications, by group: the share that people decided "
            "favorably. The model plays no part in these numbers; they are the yardstick it is "
            "held against, and may themselves be unfair."
        ),
        Figure(
            chart,
            _rate_table(
                evidence, decisions, "selection_rate", attribute, "Favorable decisions by people"
            ),
        ),
        *(
            _comparison_table(
                evidence, decisions, "selection_rate", name, "Decisions by people, compared"
            )
            for name in decisions.attributes
        ),
    ]


def _named(evidence: Evidence, chart: Chart, attribute: str) -> Chart:
    """The chart with the attribute in plain words."""
    column, words = f" by {attribute}", f" by {label(evidence, attribute).lower()}"
    return replace(
        chart,
        message=chart.message.replace(column, words, 1),
        alt=chart.alt.replace(column, words, 1),
    )


def performance_section(evidence: Evidence) -> Section:
    """How well the model predicts the recorded outcome."""
    measured = evidence.performance
    overall = measured.overall
    matrix = overall.confusion
    auc = overall.score("roc_auc")
    favorable, unfavorable = evidence.audit.favorable_label, evidence.audit.unfavorable_label
    base = evidence.data.favorable_rows / evidence.data.rows
    blocks: list[Block] = [
        Paragraph(
            f"How well the model predicts the recorded outcome at its threshold of "
            f"{measured.threshold:g}. For comparison: deciding every case favorably would agree "
            f"with {percent(base)} of the recorded outcomes. The area under the ROC curve is "
            f"{number(auc.value)} "
            f"({interval_name(evidence)} {interval_numbers(auc.low, auc.high)}, "
            f"n = {auc.n:,}, {auc.method}); 0.5 is no better than chance."
        ),
        Table(
            "Decisions against recorded outcomes, all rows",
            ("Cases", f"Model: {favorable}", f"Model: {unfavorable}", "Sum"),
            (
                (
                    f"Recorded: {favorable}",
                    f"{matrix.true_positives:,}",
                    f"{matrix.false_negatives:,}",
                    f"{matrix.true_positives + matrix.false_negatives:,}",
                ),
                (
                    f"Recorded: {unfavorable}",
                    f"{matrix.false_positives:,}",
                    f"{matrix.true_negatives:,}",
                    f"{matrix.false_positives + matrix.true_negatives:,}",
                ),
            ),
            ("left", "right", "right", "right"),
        ),
        _score_table(evidence, ALL),
    ]
    attribute = measured.attributes[0] if measured.attributes else None
    charts = measured.charts(attribute)
    blocks += [_curve_figure(charts[name]) for name in ("roc", "precision_recall", "calibration")]
    for name in measured.attributes:
        blocks += [_confusion_table(evidence, name), _score_table(evidence, name)]
    return Section("performance", "Performance, overall and by group", tuple(blocks))


def _confusion_table(evidence: Evidence, attribute: str) -> Table:
    yes, no = evidence.audit.favorable_label, evidence.audit.unfavorable_label
    return Table(
        f"Decisions against recorded outcomes, by {label(evidence, attribute).lower()} "
        "(recorded → decided)",
        ("Group", "n", f"{yes} → {yes}", f"{yes} → {no}", f"{no} → {yes}", f"{no} → {no}"),
        tuple(
            (
                g.group,
                f"{g.score('accuracy').n:,}",
                f"{g.confusion.true_positives:,}",
                f"{g.confusion.false_negatives:,}",
                f"{g.confusion.false_positives:,}",
                f"{g.confusion.true_negatives:,}",
            )
            for g in evidence.performance.groups
            if g.attribute == attribute
        ),
        ("left", "right", "right", "right", "right", "right"),
    )


def _score_table(evidence: Evidence, attribute: str) -> Table:
    groups = [g for g in evidence.performance.groups if g.attribute == attribute]
    rows = []
    for group in groups:
        for score in group.scores:
            if attribute != ALL and score.metric not in (
                "accuracy",
                "true_positive_rate",
                "false_positive_rate",
                "roc_auc",
            ):
                continue
            rate = score.metric in (
                "accuracy",
                "true_positive_rate",
                "false_positive_rate",
                "precision",
            )
            show = percent if rate else number
            bounds = (interval if rate else interval_numbers)(score.low, score.high)
            name = {"roc_auc": "area under the ROC curve"}.get(
                score.metric, metric_words(score.metric)
            )
            first = (name,) if attribute == ALL else (group.group, name)
            rows.append(
                (
                    *first,
                    f"{score.n:,}",
                    show(score.value),
                    bounds,
                    score.method,
                    status_words(score.status),
                )
            )
    head = ("Measure",) if attribute == ALL else (label(evidence, attribute), "Measure")
    title = "all rows" if attribute == ALL else f"by {label(evidence, attribute).lower()}"
    return Table(
        f"Performance, {title}",
        (*head, "n", "Value", interval_name(evidence), "Method", "Note"),
        tuple(rows),
        (*LEFT[: len(head)], "right", "right", "right", "left", "left"),
    )


def _curve_figure(chart: Chart) -> Figure:
    """A chart of curves with a table of its points: all of them, or a few of a long curve."""
    bounded = any(series.low for series in chart.series)
    rows = []
    for series in chart.series:
        last = len(series.x) - 1
        points = last + 1 if bounded else min(last + 1, CURVE_POINTS)
        for i in sorted({round(k * last / max(points - 1, 1)) for k in range(points)}):
            row: tuple[str, ...] = (
                series.name,
                told(number(float(series.x[i])), series.x[i]),
                number(series.y[i]),
            )
            if bounded:
                note = series.notes[i] if series.notes else ""
                row = (*row, interval_numbers(series.low[i], series.high[i]), note)
            rows.append(row)
    extra = ("Interval", "Cases") if bounded else ()
    aligned: tuple[Align, ...] = ("left", "right", "right", "right", "right")
    return Figure(
        chart,
        Table(
            f"Points of the chart: {chart.value_label} against {chart.x_label}",
            ("Series", chart.x_label, chart.value_label, *extra),
            tuple(rows),
            aligned[: 3 + len(extra)],
        ),
    )


def fairness_section(evidence: Evidence) -> Section:
    """The same rates for every group."""
    metrics = evidence.fairness
    blocks: list[Block] = [
        Paragraph(
            "The same rates for each group, each with the number of cases and an interval. A rate "
            "of a small group is listed, but decides nothing."
        ),
        Points(metrics.notes),
    ]
    names = [m for m in metrics.metrics if m != "count"]
    for attribute in metrics.attributes:
        blocks.append(Heading(label(evidence, attribute)))
        if "selection_rate" in names:
            blocks.append(
                Figure(
                    _named(evidence, metrics.chart("selection_rate", attribute), attribute),
                    _rate_table(evidence, metrics, "selection_rate", attribute, "Selection rate"),
                )
            )
            blocks.append(
                _comparison_table(
                    evidence,
                    metrics,
                    "selection_rate",
                    attribute,
                    "Decisions by the model, compared",
                )
            )
        blocks.append(
            _group_table(evidence, metrics, attribute, [m for m in names if m != "selection_rate"])
        )
    blocks.append(_gap_table(evidence))
    return Section("fairness", "Fairness by group", tuple(blocks))


def _rate_table(
    evidence: Evidence, metrics: GroupMetrics, metric: str, attribute: str, caption: str
) -> Table:
    rows = [
        (r.group, f"{r.n:,}", percent(r.value), interval(r.low, r.high), status_words(r.status))
        for r in metrics.rates
        if r.metric == metric and r.attribute in (ALL, attribute)
    ]
    return Table(
        f"{caption}, by {label(evidence, attribute).lower()} (interval: Wilson)",
        ("Group", "n", "Rate", interval_name(evidence), "Note"),
        tuple(rows),
        ("left", "right", "right", "right", "left"),
    )


def _comparison_table(
    evidence: Evidence, metrics: GroupMetrics, metric: str, attribute: str, caption: str
) -> Table:
    rows = [
        (
            c.group,
            c.reference,
            f"{c.count.total:,}",
            percent(c.value),
            interval(c.low, c.high),
            p_words(c.p_value),
            p_words(c.p_adjusted),
            "small group" if c.small else "",
        )
        for c in metrics.against_reference
        if (c.metric, c.attribute, c.compare) == (metric, attribute, "ratio")
    ]
    return Table(
        f"{caption}: ratio of {metric_words(metric)} to the reference group, by "
        f"{label(evidence, attribute).lower()} (interval: Koopman score)",
        ("Group", "Reference", "n", "Ratio", interval_name(evidence), "p", "p adj.", "Note"),
        tuple(rows),
        ("left", "left", "right", "right", "right", "right", "right", "left"),
        empty="No group could be compared.",
    )


def _group_table(
    evidence: Evidence, metrics: GroupMetrics, attribute: str, names: list[str]
) -> Table:
    rows = [
        (
            r.group,
            metric_words(r.metric),
            f"{r.n:,}",
            percent(r.value),
            interval(r.low, r.high),
            status_words(r.status),
        )
        for r in metrics.rates
        if r.attribute == attribute and r.metric in names
    ]
    return Table(
        f"Other rates by {label(evidence, attribute).lower()} (interval: Wilson)",
        ("Group", "Rate", "n", "Value", interval_name(evidence), "Note"),
        tuple(rows),
        ("left", "left", "right", "right", "right", "left"),
    )


def _gap_table(evidence: Evidence) -> Table:
    rows = [
        (
            label(evidence, g.attribute),
            g.measure.replace("_", " "),
            f"{g.n:,}",
            str(g.groups),
            number(g.value),
            interval_numbers(g.low, g.high),
            number(g.bias_corrected),
        )
        for g in evidence.gaps
    ]
    return Table(
        "The largest gap among all groups, small and unknown ones included, as Fairlearn defines "
        "it (interval: bootstrap; – if a group has no case to measure). The largest of several "
        "gaps looks too large in small samples; the last column corrects that. These intervals are "
        "no test of equality: they never reach it",
        ("Attribute", "Measure", "n", "Groups", "Value", interval_name(evidence), "Corrected"),
        tuple(rows),
        ("left", "left", "right", "right", "right", "right", "right"),
    )
