"""The same evidence for one reader: a summary of two pages, a public posting, a model card."""

from __future__ import annotations

from dataclasses import replace

from hitl_audit.errors import ReportError
from hitl_audit.evidence import Evidence, ProfileRecord
from hitl_audit.findings import Status, metric_words, percent
from hitl_audit.report.compose import SIMULATED, document_id
from hitl_audit.report.document import (
    Block,
    Facts,
    Heading,
    Note,
    Paragraph,
    Report,
    Section,
    Table,
)
from hitl_audit.report.findings_section import findings_section
from hitl_audit.report.numbering import numbered
from hitl_audit.report.page_one import not_covered, page_one
from hitl_audit.report.profile_section import profile_table
from hitl_audit.report.tracing import Marks, traced
from hitl_audit.report.wording import (
    interval,
    interval_name,
    interval_numbers,
    label,
    model_name,
    noted,
    number,
    sentence,
    when,
)

__all__ = ["PUBLIC_PROFILE", "decided_words", "public_summary", "summary"]

PUBLIC_PROFILE = "nyc-ll144"


def _report(
    evidence: Evidence, subtitle: str, generated: str, blocks: tuple[Block, ...], *more: Section
) -> Report:
    return Report(
        title=evidence.audit.title,
        subtitle=subtitle,
        document_id="",
        generated=when(generated),
        summary=blocks,
        sections=more,
        banner=SIMULATED if evidence.oversight.any_simulated else "",
        keywords=("audit", "fairness", "summary"),
    )


def summary(evidence: Evidence, *, generated: str) -> Report:
    """Two pages: page one of the full document, and the proof in brief.

    Args:
        evidence: as published.
        generated: when the document is made, UTC text.
    """
    marks = Marks()
    told = traced(evidence, marks)
    made = _report(
        told, f"Summary of the audit of {model_name(told)}", generated, page_one(told), _proof(told)
    )
    return numbered(replace(made, document_id=f"{document_id(evidence)}-S"), marks)


def _proof(evidence: Evidence) -> Section:
    (listed,) = [
        b
        for b in findings_section(evidence).blocks
        if isinstance(b, Table) and b.caption.startswith("Findings")
    ]
    attribute = evidence.fairness.attributes[:1]
    rows = [
        (
            r.group,
            f"{r.n:,}",
            percent(r.value),
            interval(r.low, r.high),
        )
        for r in evidence.fairness.rates
        if r.metric == "selection_rate" and r.attribute in attribute
    ][:12]
    scores = [
        (
            "area under the ROC curve" if s.metric == "roc_auc" else metric_words(s.metric),
            f"{s.n:,}",
            number(s.value) if s.metric == "roc_auc" else percent(s.value),
            (interval_numbers if s.metric == "roc_auc" else interval)(s.low, s.high),
        )
        for s in evidence.performance.overall.scores
        if s.metric in ("accuracy", "true_positive_rate", "false_positive_rate", "roc_auc")
    ]
    bound = interval_name(evidence)
    blocks: list[Block] = []
    if rows:
        words = label(evidence, attribute[0]).lower()
        blocks.append(
            Table(
                f"How often the model decides favorably, by {words} (interval: Wilson)",
                ("Group", "n", "Rate", bound),
                tuple(rows),
                ("left", "right", "right", "right"),
            )
        )
    blocks += [
        Table(
            "How well the model predicts the recorded outcome",
            ("Measure", "n", "Value", bound),
            tuple(scores),
            ("left", "right", "right", "right"),
        ),
        replace(listed, rows=listed.rows[:8]),
        Facts(
            (
                ("Full document", f"{document_id(evidence)}, with every number and its source"),
                ("Evidence", evidence.digest),
                ("Plan", evidence.plan.digest),
                ("Limits", " ".join(sentence(text) for text in not_covered(evidence)[:3])),
            ),
            code=frozenset({"Evidence", "Plan"}),
        ),
    ]
    return Section("proof", "The proof in brief", tuple(blocks))


def public_summary(evidence: Evidence, *, generated: str) -> Report:
    """The summary that Local Law 144 of New York City asks to be published (6 RCNY § 5-303).

    Args:
        evidence: as published; the plan must name the profile ``nyc-ll144``.
        generated: when the document is made, UTC text.

    Raises:
        ReportError: the plan names no such profile.
    """
    if not any(p.tables.profile == PUBLIC_PROFILE for p in evidence.analyses.profiles):
        known = ", ".join(p.tables.profile for p in evidence.analyses.profiles) or "none"
        raise ReportError(
            f'the public summary shows the tables of the profile "{PUBLIC_PROFILE}", and the plan '
            f"names {known}; name it under [[profiles]] and run the audit again"
        )
    marks = Marks()
    told = traced(evidence, marks)
    (record,) = [p for p in told.analyses.profiles if p.tables.profile == PUBLIC_PROFILE]
    made = _report(
        told,
        f"Summary of results of the bias audit of {model_name(told)}",
        generated,
        _posting(told, record),
    )
    return numbered(replace(made, document_id=f"{document_id(evidence)}-P"), marks)


def _posting(evidence: Evidence, record: ProfileRecord) -> tuple[Block, ...]:
    people = max((t.people for t in record.tables.tables), default=evidence.data.rows)
    unknown = max((t.unknown for t in record.tables.tables), default=0)
    blocks: list[Block] = [
        Facts(
            (
                ("Tool", model_name(evidence)),
                ("Date of the audit", evidence.created[:10]),
                ("May be used until", record.expires or "no limit stated"),
                ("People assessed", f"{people:,}"),
                ("Of unknown category", f"{unknown:,}"),
                ("Source of the data", evidence.data.description or "not stated in the plan"),
            )
        )
    ]
    if record.tables.warning:
        blocks.append(Note(record.tables.warning, "warning"))
    for table in record.tables.tables:
        blocks.append(profile_table(evidence, table))
        if table.notes:
            blocks.append(noted(evidence, table.notes))
    if record.tables.notes:
        blocks.append(noted(evidence, record.tables.notes))
    blocks.append(Heading("Statements"))
    blocks += [Paragraph(sentence(text)) for text in record.statements]
    blocks.append(
        Paragraph(
            "An impact ratio is the rate of a category divided by the highest rate in the same "
            "table. The law sets no ratio that must be reached."
        )
    )
    return tuple(blocks)


def decided_words(evidence: Evidence) -> str:
    """``3 met, 0 not met, 3 undecided``."""
    met = sum(f.status is Status.MET for f in evidence.findings)
    missed = sum(f.status is Status.NOT_MET for f in evidence.findings)
    return f"{met} met, {missed} not met, {len(evidence.findings) - met - missed} undecided"
