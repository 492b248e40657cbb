"""From evidence to the document: what is said, in which order, in which words.

Everything in the document comes from :class:`~hitl_audit.results.Evidence`;
nothing is computed here but texts.
"""

from __future__ import annotations

from hitl_audit.charts import Chart, Series
from hitl_audit.fairness.group_metrics import GroupMetrics
from hitl_audit.findings import Comparison, Finding, Status, Verdict, metric_words, percent
from hitl_audit.groups import ALL, TIMES, UNKNOWN
from hitl_audit.plan import role_field
from hitl_audit.report.document import (
    Block,
    Facts,
    Figure,
    Heading,
    Note,
    Opinion,
    OpinionRow,
    Paragraph,
    Points,
    Report,
    Section,
    SignatureField,
    Table,
)
from hitl_audit.results import Evidence, ExplanationRecord

__all__ = ["SIMULATED", "compose", "document_id"]

SIMULATED = "SIMULATED JUDGMENTS"
TOP_FEATURES = 10
CURVE_POINTS = 6

STATEMENTS = {
    "prepared": "I ran this audit as described and prepared this document.",
    "attested": "I attest that the judgments recorded under my name are my own.",
    "approved": "I have read this document and approve it for the use stated in section 2.",
}


def document_id(evidence: Evidence) -> str:
    """Short id of the document, from the digest of its evidence: ``HA-1A2B3C4D``."""
    return f"HA-{evidence.digest.removeprefix('sha256:')[:8].upper()}"


def compose(evidence: Evidence, *, generated: str) -> Report:
    """Make the document.

    Args:
        evidence: every number it may use.
        generated: when the document is made, UTC text.
    """
    sections = (
        _opinion(evidence),
        _scope(evidence),
        _plan(evidence),
        _data(evidence),
        _performance(evidence),
        _fairness(evidence),
        _explanations(evidence),
        _trust(evidence),
        _oversight(evidence),
        _limits(evidence),
        _verify(evidence),
        _signatures(evidence),
    )
    return Report(
        title=evidence.audit.title,
        subtitle=f"Audit of {_model_name(evidence)}",
        document_id=document_id(evidence),
        generated=_when(generated),
        summary=_summary(evidence),
        sections=sections,
        banner=SIMULATED if evidence.oversight.any_simulated else "",
        keywords=("audit", "fairness", "explainability", "human oversight"),
    )


# --- words -------------------------------------------------------------------


def _model_name(evidence: Evidence) -> str:
    model = evidence.model
    return f"{model.name}, version {model.version}" if model.version else model.name


def _when(utc: str) -> str:
    """``2026-11-23T07:26:28.000000Z`` → ``2026-11-23 07:26:28 UTC``."""
    return f"{utc[:10]} {utc[11:19]} UTC" if len(utc) > 19 else utc


def _label(evidence: Evidence, attribute: str) -> str:
    """Plain words for an attribute or a crossing of them, starting with a capital."""
    words = dict(evidence.data.sensitive)
    return TIMES.join(words.get(a, a) for a in attribute.split(TIMES))


def _share(evidence: Evidence) -> str:
    return f"{evidence.plan.confidence:.0%} interval"


def _interval(low: float | None, high: float | None, *, points: bool = False) -> str:
    if low is None or high is None:
        return "–"
    if points:
        return f"{_points(low)} to {_points(high)}"
    return f"{percent(low)} to {percent(high)}"


def _points(value: float | None) -> str:
    """A difference in percentage points: ``−4.1``."""
    return "–" if value is None else percent(value).removesuffix("%")


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _small(value: float | None) -> str:
    """A number that may be far below one: ``1.2e-15``."""
    return f"{value:.1e}" if value is not None and 0 < abs(value) < 0.001 else _number(value)


def _threshold(finding: Finding) -> str:
    criterion = finding.criterion
    if criterion.compare == "difference" and criterion.at_most is not None:
        return f"within ±{float(criterion.at_most) * 100:g} points"
    parts = []
    if criterion.at_least is not None:
        parts.append(f"at least {float(criterion.at_least) * 100:g}%")
    if criterion.at_most is not None:
        parts.append(f"at most {float(criterion.at_most) * 100:g}%")
    return ", ".join(parts)


def _criterion(evidence: Evidence, finding: Finding) -> str:
    criterion = finding.criterion
    kind = {"ratio": ", ratio", "difference": ", difference", "value": ""}[criterion.compare]
    by = TIMES.join(_label(evidence, a).lower() for a in criterion.by)
    name = metric_words(criterion.metric).capitalize() + kind
    return f"{name}, by {by}" if by else f"{name}, all together"


def _value(comparison: Comparison) -> str:
    if comparison.compare == "difference":
        return f"{_points(comparison.value)} points"
    return percent(comparison.value)


def _deciding(finding: Finding) -> Verdict | None:
    """The verdict a reader should see first: the one that decided, on the most cases."""
    same = [v for v in finding.verdicts if v.status == finding.status]
    known = [v for v in same if not v.comparison.small] or same
    if not known:
        return None

    def distance(verdict: Verdict) -> float:
        c = verdict.comparison
        if c.value is None:
            return float("inf")
        if c.compare == "difference":
            return -abs(c.value)
        if c.compare == "ratio":
            return -abs(c.value - 1)
        return c.value

    return min(known, key=distance)


def _decided_words(finding: Finding) -> str:
    """``Black: not met · Hispanic: met``; many groups are counted instead."""
    if not finding.criterion.by:
        return ""
    if len(finding.verdicts) <= 4:
        return " · ".join(f"{v.comparison.group}: {v.status}" for v in finding.verdicts)
    counted = []
    for status in (Status.NOT_MET, Status.INSUFFICIENT, Status.NOT_ASSESSED, Status.MET):
        groups = sum(v.status == status for v in finding.verdicts)
        if groups:
            counted.append(f"{groups} group{'s' if groups > 1 else ''} {status}")
    return " · ".join(counted)


# --- page one ----------------------------------------------------------------


def _summary(evidence: Evidence) -> tuple[Block, ...]:
    data, plan = evidence.data, evidence.plan
    blocks: list[Block] = [
        Facts(
            (
                ("Audited", f"{_model_name(evidence)}, on {data.rows:,} rows it is held against"),
                (
                    "Decision",
                    f"{evidence.audit.decision}: {evidence.audit.favorable_label} or {evidence.audit.unfavorable_label}",
                ),
                ("Purpose", evidence.audit.purpose or "not stated in the plan"),
                (
                    "Plan registered",
                    f"{_when(plan.registered_at)}, before the results of {_when(evidence.created)}",
                ),
            )
        )
    ]
    if plan.changed_after_results:
        blocks.append(_changed_plan(evidence))
    blocks += [
        Heading("What was promised, and what was found"),
        Opinion(tuple(_opinion_row(evidence, f) for f in evidence.findings)),
        Heading("Three things to know"),
        Points(_three_things(evidence), numbered=True),
        Heading("What people said"),
        Paragraph(_sentence(evidence.oversight.words)),
        Heading("What this document does not cover"),
        Points(_not_covered(evidence)[:3]),
    ]
    return tuple(blocks)


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _opinion_row(evidence: Evidence, finding: Finding) -> OpinionRow:
    verdict = _deciding(finding)
    if verdict is None:
        return OpinionRow(
            _criterion(evidence, finding), _threshold(finding), "–", "–", finding.status.value, ""
        )
    c = verdict.comparison
    shown = f"Shown: {c.group}, n = {c.count.total:,}" if finding.criterion.by else "All rows"
    others = _decided_words(finding)
    return OpinionRow(
        criterion=_criterion(evidence, finding),
        threshold=_threshold(finding),
        value=_value(c),
        interval=_interval(c.low, c.high, points=c.compare == "difference"),
        status=finding.status.value,
        words=f"{shown}. {others}" if others else f"{shown}, n = {c.count.total:,}",
    )


def _three_things(evidence: Evidence) -> tuple[str, ...]:
    return (_first_thing(evidence), _second_thing(evidence), _third_thing(evidence))


def _first_thing(evidence: Evidence) -> str:
    """The promise in the worst state, in words."""
    order = (Status.NOT_MET, Status.INSUFFICIENT, Status.MET)
    for status in order:
        for finding in evidence.findings:
            verdict = _deciding(finding)
            if finding.status is status and verdict is not None:
                return _sentence(verdict.words)
    return "The plan promises nothing that could be decided: no criterion was registered."


def _second_thing(evidence: Evidence) -> str:
    """How people decided before the model, if that is known; else how often the model is right."""
    if evidence.history is not None:
        worst = [
            c
            for c in evidence.history.decisions.against_reference
            if c.compare == "ratio"
            and c.value is not None
            and not c.small
            and UNKNOWN not in c.group.split(TIMES)
            and TIMES not in c.attribute
        ]
        if worst:
            c = min(worst, key=lambda c: c.value if c.value is not None else 1.0)
            return (
                f"The decisions that people made before are themselves unequal: {c.group} was "
                f"decided favorably at {percent(c.value)} of the rate of {c.reference} "
                f"({_share(evidence)} {_interval(c.low, c.high)}, n = {c.count.total:,}). A model "
                "that learned from them is held against them here."
            )
    accuracy = evidence.performance.overall.score("accuracy")
    return (
        f"The model agrees with the recorded outcome in {percent(accuracy.value)} of "
        f"{accuracy.n:,} rows ({_share(evidence)} {_interval(accuracy.low, accuracy.high)})."
    )


def _third_thing(evidence: Evidence) -> str:
    if not evidence.explanations or not evidence.explanations[0].importance:
        return "The plan asked for no explanations, so it is not known what the decisions rest on."
    record = evidence.explanations[0]
    names = [i.label for i in record.importance[:3]]
    listed = ", ".join(names[:-1]) + (f" and {names[-1]}" if len(names) > 1 else names[0])
    if record.method == "shap":
        checked = (
            f"In each of {record.rows:,} cases the parts add up to the model's own score "
            f"(largest deviation {record.max_residual:.0e})."
        )
    else:
        checked = f"These weights are estimates, on {record.rows:,} cases."
    return f"The model's decisions rest most on: {listed}. {checked}"


def _not_covered(evidence: Evidence) -> tuple[str, ...]:
    return (
        *evidence.audit.not_covered,
        "Causes: the numbers locate gaps between groups, they do not prove why they exist.",
        "How people and the model decide together in daily use, and what happens after the decision.",
    )


def _changed_plan(evidence: Evidence) -> Note:
    reasons = "; ".join(
        f"on {_when(at)}: {reason or 'no reason given'}"
        for _, at, after, reason in evidence.plan.registrations
        if after
    )
    return Note(
        f"The plan was changed after results were already known ({reasons}). What it promises was "
        "not promised beforehand.",
        "warning",
    )


# --- sections ----------------------------------------------------------------


def _opinion(evidence: Evidence) -> Section:
    blocks: list[Block] = [
        Paragraph(
            "Each line was promised in the plan before any result existed. A promise is met only "
            f"if the whole {_share(evidence)} keeps it, and not met only if the whole interval "
            "misses it. Otherwise the data are insufficient, and the number of cases that would "
            "decide is given, if the observed rates stay as they are."
        )
    ]
    for finding in evidence.findings:
        points = finding.criterion.compare == "difference"
        blocks.append(Heading(f"{finding.id}. {_criterion(evidence, finding)}: {finding.status}"))
        reason = finding.criterion.reason
        blocks.append(
            Paragraph(f"Promised: {_threshold(finding)}." + (f" Why: {reason}." if reason else ""))
        )
        if finding.criterion.decide == "point":
            blocks.append(
                Note("The plan lets the point estimate alone decide this promise.", "warning")
            )
        blocks.append(_verdict_table(evidence, finding, points=points))
    if not evidence.findings:
        blocks.append(Note("The plan names no criteria, so nothing was decided."))
    blocks.append(
        Paragraph(
            "p values test equal rates (Fisher's exact test, two-sided); the adjusted p value "
            "accounts for all comparisons made (Benjamini-Hochberg). They do not decide a promise."
        )
    )
    return Section("opinion", "Opinion, criterion by criterion", tuple(blocks))


def _verdict_table(evidence: Evidence, finding: Finding, *, points: bool) -> Table:
    by = bool(finding.criterion.by)
    rows = []
    for verdict in finding.verdicts:
        c = verdict.comparison
        rows.append(
            (
                c.group if by else "all rows",
                f"{c.count.total:,}",
                percent(float(c.count.rate)) if c.count.rate is not None else "–",
                _value(c),
                _interval(c.low, c.high, points=points),
                "–" if verdict.n_needed is None else f"{verdict.n_needed:,}",
                _p(c.p_value),
                _p(c.p_adjusted),
                verdict.status.value,
            )
        )
    reference = next(
        (v.comparison.reference for v in finding.verdicts if v.comparison.reference), ""
    )
    method = finding.verdicts[0].comparison.method if finding.verdicts else ""
    what = {"ratio": f"ratio to {reference}", "difference": f"difference to {reference}"}
    return Table(
        caption=f"{_criterion(evidence, finding)}"
        + (f", compared with {reference}" if reference else "")
        + (f" (interval: {method})" if method else ""),
        columns=(
            "Group",
            "n",
            "Rate",
            what.get(finding.criterion.compare, "value").split(" to ")[0].capitalize(),
            _share(evidence),
            "n to decide",
            "p",
            "p adj.",
            "Decision",
        ),
        rows=tuple(rows),
        align=("left", "right", "right", "right", "right", "right", "right", "right", "left"),
        tone_column=8,
        empty="There was no group to compare.",
    )


def _scope(evidence: Evidence) -> Section:
    audit, model = evidence.audit, evidence.model
    return Section(
        "scope",
        "Scope and intended use",
        (
            Facts(
                (
                    ("Purpose of the audit", audit.purpose or "not stated in the plan"),
                    ("Intended use", audit.intended_use or "not stated in the plan"),
                    ("Owner", audit.owner or "not stated in the plan"),
                    (
                        "Decision",
                        f"{audit.favorable_label} (favorable) or {audit.unfavorable_label} (unfavorable)",
                    ),
                    ("Rule", f"favorable if the model's score is at least {model.threshold:g}"),
                    ("Model", model.description or model.kind),
                    ("Model kind", model.kind),
                    ("Model file", model.source),
                    (f"Model digest ({model.digest_of})", model.digest),
                    ("Digest of its scores", model.scores_digest),
                ),
                code=frozenset(
                    {f"Model digest ({model.digest_of})", "Digest of its scores", "Model file"}
                ),
            ),
            Heading("Not covered"),
            Points(
                (
                    *_not_covered(evidence),
                    "A search for less discriminatory alternatives, what-if cases, drift over time: "
                    "this version of the toolkit does not compute them.",
                )
            ),
        ),
    )


def _plan(evidence: Evidence) -> Section:
    plan = evidence.plan
    blocks: list[Block] = [
        Paragraph(
            f"The plan was registered on {_when(plan.registered_at)}; the results were computed on "
            f"{_when(evidence.created)}. The plan is attached to this document as audit.toml."
        )
    ]
    if plan.changed_after_results:
        blocks.append(_changed_plan(evidence))
    blocks += [
        Table(
            "Registrations of the plan",
            ("Registered", "Digest", "After results?", "Reason"),
            tuple(
                (_when(at), digest, "yes" if after else "no", reason or "–")
                for digest, at, after, reason in plan.registrations
            ),
            ("left", "left", "left", "left"),
        ),
        Facts(
            (
                ("Confidence of every interval", f"{plan.confidence:.0%}"),
                ("Smallest group that may decide", f"{plan.min_group} cases"),
                (
                    "Cases for people to judge",
                    f"{plan.review_cases}, design: {plan.review_design}, {plan.reviewers_per_case} reviewer(s) each, {plan.protocol}",
                ),
                ("Seed of every random step", str(plan.seed)),
                (
                    "Who signs, in order",
                    "; ".join(f"{role} ({signs})" for role, signs, _ in plan.roles),
                ),
            )
        ),
    ]
    return Section("plan", "The plan, registered beforehand", tuple(blocks))


def _data(evidence: Evidence) -> Section:
    data, audit = evidence.data, evidence.audit
    blocks: list[Block] = [
        Paragraph(data.description or "The plan does not describe the data."),
        Facts(
            (
                ("Rows audited", f"{data.rows:,}"),
                (
                    "Recorded outcome",
                    f"{data.favorable_rows:,} favorable ({audit.favorable_label}), "
                    f"{data.rows - data.favorable_rows:,} unfavorable ({audit.unfavorable_label})",
                ),
                ("Model inputs", f"{len(data.features)}"),
                (
                    "Protected attributes audited",
                    ", ".join(words for _, words in data.sensitive) or "none",
                ),
                (
                    "Protected attributes among the inputs",
                    ", ".join(data.protected_inputs) or "none (audited all the same)",
                ),
                ("Source", data.source),
                ("Data digest", data.digest),
            ),
            code=frozenset({"Data digest", "Source"}),
        ),
    ]
    if data.notes:
        blocks += [Heading("What a reader should know about the data"), Points(data.notes)]
    if evidence.history is not None:
        blocks += _history(evidence, evidence.history.decisions, evidence.history.rows)
    blocks.append(
        Table(
            "What the model reads",
            ("Column", "Meaning"),
            data.features,
            ("left", "left"),
        )
    )
    if data.excluded:
        blocks.append(
            Table(
                "Columns that were left out, and why",
                ("Column", "Reason"),
                data.excluded,
                ("left", "left"),
            )
        )
    return Section("data", "Data", tuple(blocks))


def _history(evidence: Evidence, decisions: GroupMetrics, rows: int) -> list[Block]:
    attribute = decisions.attributes[0]
    chart = decisions.chart("selection_rate", attribute)
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
        _comparison_table(evidence, decisions, "selection_rate", "Decisions by people, compared"),
    ]


def _rate_table(
    evidence: Evidence, metrics: GroupMetrics, metric: str, attribute: str, caption: str
) -> Table:
    rows = [
        (r.group, f"{r.n:,}", percent(r.value), _interval(r.low, r.high), _status_words(r.status))
        for r in metrics.rates
        if r.metric == metric and r.attribute in (ALL, attribute)
    ]
    return Table(
        f"{caption}, by {_label(evidence, attribute).lower()} (interval: Wilson)",
        ("Group", "n", "Rate", _share(evidence), "Note"),
        tuple(rows),
        ("left", "right", "right", "right", "left"),
    )


def _status_words(status: str) -> str:
    return "" if status == "ok" else status


def _comparison_table(
    evidence: Evidence, metrics: GroupMetrics, metric: str, caption: str
) -> Table:
    rows = [
        (
            _label(evidence, c.attribute),
            c.group,
            c.reference,
            f"{c.count.total:,}",
            percent(c.value),
            _interval(c.low, c.high),
            _p(c.p_value),
            _p(c.p_adjusted),
            "small group" if c.small else "",
        )
        for c in metrics.against_reference
        if c.metric == metric and c.compare == "ratio"
    ]
    return Table(
        f"{caption}: ratio of {metric_words(metric)} to the reference group (interval: Koopman score)",
        ("Attribute", "Group", "Reference", "n", "Ratio", _share(evidence), "p", "p adj.", "Note"),
        tuple(rows),
        ("left", "left", "left", "right", "right", "right", "right", "right", "left"),
        empty="No group could be compared.",
    )


def _performance(evidence: Evidence) -> Section:
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
            f"{_number(auc.value)} ({_share(evidence)} {_number(auc.low)} to {_number(auc.high)}, "
            f"n = {auc.n:,}, {auc.method}); 0.5 is no better than chance."
        ),
        Table(
            "Decisions against recorded outcomes, all rows",
            ("", f"Model: {favorable}", f"Model: {unfavorable}", "Sum"),
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
    blocks += [_score_table(evidence, name) for name in measured.attributes]
    return Section("performance", "Performance, overall and by group", tuple(blocks))


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
            show = percent if rate else _number
            bounds = (
                _interval(score.low, score.high)
                if rate
                else f"{_number(score.low)} to {_number(score.high)}"
                if score.low is not None
                else "–"
            )
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
                    _status_words(score.status),
                )
            )
    head = ("Measure",) if attribute == ALL else (_label(evidence, attribute), "Measure")
    title = "all rows" if attribute == ALL else f"by {_label(evidence, attribute).lower()}"
    return Table(
        f"Performance, {title}",
        (*head, "n", "Value", _share(evidence), "Interval", "Note"),
        tuple(rows),
        (*("left" for _ in head), "right", "right", "right", "left", "left"),
    )


def _curve_figure(chart: Chart) -> Figure:
    """A curve with a table of a few of its points: enough to see its shape."""
    rows = []
    for series in chart.series:
        last = len(series.x) - 1
        points = last + 1 if series.low else min(last + 1, CURVE_POINTS)
        for i in sorted({round(k * last / max(points - 1, 1)) for k in range(points)}):
            note = series.notes[i] if series.notes else ""
            bounds = "–"
            if series.low and series.low[i] is not None:
                bounds = f"{_number(series.low[i])} to {_number(series.high[i])}"
            rows.append(
                (series.name, _number(float(series.x[i])), _number(series.y[i]), bounds, note)
            )
    return Figure(
        chart,
        Table(
            f"Points of the chart: {chart.value_label} against {chart.x_label}",
            ("Series", chart.x_label, chart.value_label, "Interval", "Note"),
            tuple(rows),
            ("left", "right", "right", "right", "left"),
        ),
    )


def _fairness(evidence: Evidence) -> Section:
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
        blocks.append(Heading(_label(evidence, attribute)))
        if "selection_rate" in names:
            blocks.append(
                Figure(
                    metrics.chart("selection_rate", attribute),
                    _rate_table(evidence, metrics, "selection_rate", attribute, "Selection rate"),
                )
            )
        blocks.append(
            _group_table(evidence, metrics, attribute, [m for m in names if m != "selection_rate"])
        )
    if "selection_rate" in names:
        blocks.append(
            _comparison_table(
                evidence, metrics, "selection_rate", "Decisions by the model, compared"
            )
        )
    blocks.append(_gap_table(evidence))
    return Section("fairness", "Fairness by group", tuple(blocks))


def _group_table(
    evidence: Evidence, metrics: GroupMetrics, attribute: str, names: list[str]
) -> Table:
    rows = [
        (
            r.group,
            metric_words(r.metric),
            f"{r.n:,}",
            percent(r.value),
            _interval(r.low, r.high),
            _status_words(r.status),
        )
        for r in metrics.rates
        if r.attribute == attribute and r.metric in names
    ]
    return Table(
        f"Other rates by {_label(evidence, attribute).lower()} (interval: Wilson)",
        ("Group", "Rate", "n", "Value", _share(evidence), "Note"),
        tuple(rows),
        ("left", "left", "right", "right", "right", "left"),
    )


def _gap_table(evidence: Evidence) -> Table:
    rows = [
        (
            _label(evidence, g.attribute),
            g.measure.replace("_", " "),
            f"{g.n:,}",
            str(g.groups),
            _number(g.value),
            _interval_numbers(g.low, g.high),
            _number(g.bias_corrected),
        )
        for g in evidence.gaps
    ]
    return Table(
        "The largest gap among all groups, as Fairlearn defines it (interval: bootstrap). The "
        "largest gap of several looks too large in small samples; the last column corrects for that",
        ("Attribute", "Measure", "n", "Groups", "Value", _share(evidence), "Corrected"),
        tuple(rows),
        ("left", "left", "right", "right", "right", "right", "right"),
    )


def _interval_numbers(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _explanations(evidence: Evidence) -> Section:
    if not evidence.explanations:
        return Section(
            "explanations",
            "Explanations",
            (Note("Not assessed: the plan asked for no explanations."),),
        )
    blocks: list[Block] = [
        Paragraph(
            "What the model's score rests on, in the columns it reads. The size of an attribution "
            "says how much a feature moves the score, not whether it should."
        )
    ]
    for record in evidence.explanations:
        blocks.append(Heading("SHAP" if record.method == "shap" else "LIME"))
        blocks.append(Paragraph(_explanation_words(evidence, record)))
        blocks += [Points(tuple(_sentence(note) for note in record.notes))] if record.notes else []
        blocks.append(Figure(_importance_chart(record), _importance_table(evidence, record)))
    return Section("explanations", "Explanations", tuple(blocks))


def _explanation_words(evidence: Evidence, record: ExplanationRecord) -> str:
    if record.method == "shap":
        return (
            f"SHAP values ({record.algorithm}) of the {record.scale} of "
            f"“{evidence.audit.favorable_label}” for {record.rows:,} cases, against "
            f"{record.background_size} background rows. Base value and attributions add up to the "
            f"model's own output; the largest deviation is {record.max_residual:.1e}."
        )
    return (
        f"LIME weights of the {record.scale} of “{evidence.audit.favorable_label}” for "
        f"{record.rows:,} cases, the mean over {record.seeds} seeds. LIME fits a simple model around "
        "each case; its numbers vary with the seed, which section “How far the explanations can be "
        "trusted” quantifies."
    )


def _importance_chart(record: ExplanationRecord) -> Chart:
    top, rest = record.importance[:TOP_FEATURES], record.importance[TOP_FEATURES:]
    first = top[0]
    name = record.method.upper()
    message = (
        f"{first.label} moves the score most: {_number(first.mean_abs)} on average "
        f"({name}, {first.n:,} cases)"
        + (
            f"; the {len(top)} strongest of {len(record.importance)} features are shown."
            if rest
            else "."
        )
    )
    values = "; ".join(f"{i.label} {_number(i.mean_abs)}" for i in top)
    return Chart(
        kind="bars",
        message=message,
        alt=f"{message} {values}.",
        value_label=f"Mean size of the attribution ({record.scale})",
        series=(
            Series(
                name=name,
                x=tuple(i.label for i in top),
                y=tuple(i.mean_abs for i in top),
                low=tuple(i.low for i in top),
                high=tuple(i.high for i in top),
            ),
        ),
    )


def _importance_table(evidence: Evidence, record: ExplanationRecord) -> Table:
    return Table(
        "Mean size of the attribution by feature (interval: bootstrap over cases)",
        ("Feature", "Column", "n", "Mean size", _share(evidence)),
        tuple(
            (
                i.label,
                i.feature,
                f"{i.n:,}",
                _number(i.mean_abs, 4),
                _interval_numbers(i.low, i.high),
            )
            for i in record.importance
        ),
        ("left", "left", "right", "right", "right"),
    )


def _trust(evidence: Evidence) -> Section:
    rows = tuple(
        (q.meaning, f"{q.n:,}", _small(q.value), _interval_numbers(q.low, q.high), q.method)
        for q in evidence.explanation_quality
    )
    return Section(
        "trust",
        "How far the explanations can be trusted",
        (
            Paragraph(
                "Two methods that explain the same case should name the same features. Where they "
                "do not, an explanation is shown to reviewers as unreliable, not as a reason."
            ),
            Table(
                "Agreement and stability of the explanations",
                ("Measure", "n", "Value", _share(evidence), "Method"),
                rows,
                ("left", "right", "right", "right", "left"),
                empty="Not assessed: there were no explanations to compare.",
            ),
        ),
    )


def _oversight(evidence: Evidence) -> Section:
    seen = evidence.oversight
    blocks: list[Block] = [Paragraph(_sentence(seen.words))]
    if seen.any_simulated:
        blocks.insert(
            0,
            Note(
                "These judgments were made by a program for demonstration. They say nothing about "
                "what people think of the model.",
                "warning",
            ),
        )
    if seen.judged:
        blocks.append(
            Table(
                "Judgments recorded",
                ("What", "n", "Value", _share(evidence)),
                (
                    ("Cases drawn for review", str(seen.sampled), "", ""),
                    ("Cases judged", str(seen.judged), "", ""),
                    ("Reviewers", str(seen.reviewers), "", ""),
                    *((f"Verdict: {name}", str(count), "", "") for name, count in seen.verdicts),
                    ("Corrections", str(seen.corrections), "", ""),
                    (
                        "Share of cases in which everyone agreed with the model",
                        str(seen.agreement.n),
                        percent(seen.agreement.value),
                        _interval(seen.agreement.low, seen.agreement.high),
                    ),
                    (
                        "Share in which the answer given before seeing the model was the same",
                        str(seen.blind_agreement.n),
                        percent(seen.blind_agreement.value),
                        _interval(seen.blind_agreement.low, seen.blind_agreement.high),
                    ),
                ),
                ("left", "right", "right", "right"),
            )
        )
        if seen.reasons:
            blocks.append(
                Table(
                    "Reasons given for disagreeing",
                    ("Reason", "Times"),
                    tuple((reason, str(count)) for reason, count in seen.reasons),
                    ("left", "right"),
                )
            )
        if seen.judged < seen.sampled:
            blocks.append(
                Note(
                    f"{seen.sampled - seen.judged} of {seen.sampled} drawn cases are not judged "
                    "yet. The shares above are about the judged ones, which may differ from the others."
                )
            )
    return Section("oversight", "Human oversight", tuple(blocks))


def _limits(evidence: Evidence) -> Section:
    return Section(
        "limits",
        "Limitations",
        (
            Points(
                (
                    "The recorded outcome is what was decided or observed then; where it is unfair, a "
                    "model that agrees with it is unfair too.",
                    "Intervals cover the chance of drawing these rows rather than others like them. "
                    "They do not cover wrong data, or people unlike those in the data.",
                    "An attribution says what the model used, not what caused the outcome.",
                    "Groups with fewer than "
                    f"{evidence.plan.min_group} cases are listed and decide nothing; a promise can be "
                    "broken there without being seen here.",
                    "This document says which promises were met. It does not say that the law is "
                    "kept: that is for people to judge.",
                )
            ),
        ),
    )


def _verify(evidence: Evidence) -> Section:
    ledger = evidence.ledger
    facts = [
        ("Plan", evidence.plan.digest),
        ("Data", evidence.data.digest),
        ("Model", evidence.model.digest),
        ("Scores", evidence.model.scores_digest),
        ("Environment", evidence.environment_digest),
        ("Evidence", evidence.digest),
    ]
    if ledger is not None:
        facts.append((f"Judgments ({ledger.size} records, Merkle root)", ledger.root))
    return Section(
        "verify",
        "Evidence and how to verify",
        (
            Paragraph(
                "Every number in this document is in evidence.json, which is attached to it together "
                "with the plan, its registration and a manifest of digests. To check the document, "
                "its signatures and its attachments, run “hitl-audit verify report.pdf”, or open it in "
                "any PDF reader that shows signatures. Changing a single byte after signing is seen."
            ),
            Facts(tuple(facts), code=frozenset(name for name, _ in facts)),
            Table(
                "Where the numbers come from",
                ("Part", "Computed by", "Seed", "Data digest"),
                tuple(
                    (
                        p.part,
                        p.function,
                        "–" if p.random_state is None else str(p.random_state),
                        p.data_digest,
                    )
                    for p in evidence.provenance
                ),
                ("left", "left", "right", "left"),
            ),
            Table(
                "Software",
                ("Name", "Version"),
                tuple(evidence.environment.items()),
                ("left", "left"),
            ),
        ),
    )


def _signatures(evidence: Evidence) -> Section:
    roles = evidence.plan.roles
    blocks: list[Block] = [
        Paragraph(
            "Each role signs for itself, in this order. A signature proves that the document has "
            "not been changed since, and who holds the key; whether that is the right person is "
            "shown by comparing the key's fingerprint with one received another way."
        )
    ]
    for place, (role, signs, name) in enumerate(roles):
        who = f"{role} ({name})" if name else role
        blocks.append(
            SignatureField(
                name=role_field(role),
                role=who[:1].upper() + who[1:],
                statement=STATEMENTS[signs],
                locks=place == len(roles) - 1,
            )
        )
    return Section("signatures", "Signatures", tuple(blocks))
