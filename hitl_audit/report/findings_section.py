"""The section of findings: how bad, whose, until when, what is done, and before and after."""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.findings import Finding, Status, metric_words, percent
from hitl_audit.follow_up import SEVERITIES, FollowUp, current
from hitl_audit.groups import ALL
from hitl_audit.report.document import Block, Heading, Note, Paragraph, Section, Table
from hitl_audit.report.wording import (
    criterion_words,
    in_points,
    interval,
    interval_name,
    interval_numbers,
    number,
    when,
)

__all__ = ["BLANK", "findings_section", "open_findings"]

BLANK = "[to be filled in]"


def open_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """The findings that ask for something: everything that is not met."""
    return tuple(f for f in evidence.findings if f.status is not Status.MET)


def findings_section(evidence: Evidence) -> Section:
    """What is to be done, by whom, until when."""
    records = current(evidence.follow_ups)
    listed = [f for f in evidence.findings if f.status is not Status.MET or f.id in records]
    order = {name: place for place, name in enumerate(SEVERITIES)}
    listed.sort(key=lambda f: order[records[f.id].severity] if f.id in records else -1)
    blocks: list[Block] = [
        Paragraph(
            "Every promise that is not met, or that the data could not decide. How bad it is, who "
            "sees to it and until when is for people to say: what nobody has said yet is left "
            "blank. What would decide an undecided promise is in section 1."
        ),
        Table(
            "Findings, owners and due dates",
            ("Finding", "Decision", "Severity", "Owner", "Due", "Action", "State"),
            tuple(_row(evidence, f, records.get(f.id)) for f in listed),
            ("left",) * 7,
            tone_column=1,
            empty="Every promise is met, and nobody recorded anything to do.",
        ),
    ]
    waiting = [f.id for f in open_findings(evidence) if f.id not in records]
    if waiting:
        blocks.append(
            Note(
                f"Nobody has taken on {', '.join(waiting)} yet. Record who does, and until when: "
                "hitl-audit act DIR F1 --severity … --owner … --due … --action … --by …"
            )
        )
    overdue = [r for r in records.values() if r.state == "open" and r.due < evidence.created[:10]]
    if overdue:
        listed_words = ", ".join(f"{r.finding} ({r.owner}, {r.due})" for r in overdue)
        blocks.append(Note(f"Overdue when this document was made: {listed_words}.", "warning"))
    blocks += _before_and_after(evidence)
    if evidence.follow_ups:
        blocks.append(
            Table(
                "Who recorded what, and when",
                ("Finding", "Recorded", "By", "Severity", "State"),
                tuple(
                    (r.finding, when(r.recorded_at), r.recorded_by, r.severity, r.state)
                    for r in evidence.follow_ups
                ),
                ("left",) * 5,
            )
        )
    return Section("findings", "Findings, owners and due dates", tuple(blocks))


def _row(evidence: Evidence, finding: Finding, record: FollowUp | None) -> tuple[str, ...]:
    about = f"{finding.id}. {criterion_words(evidence, finding)}"
    decision = finding.status.value
    if record is None:
        return about, decision, BLANK, BLANK, BLANK, BLANK, "open"
    return (
        about,
        decision,
        record.severity,
        record.owner,
        record.due,
        record.action,
        record.state,
    )


def _before_and_after(evidence: Evidence) -> list[Block]:
    """What became of the findings: since the last audit, and by the alternative chosen."""
    rows: list[tuple[str, ...]] = []
    if evidence.since is not None:
        for criterion in evidence.since.criteria:
            for c in criterion.groups:
                if c.change is None:
                    continue
                show = in_points if c.compare == "difference" else percent
                rows.append(
                    (
                        f"{criterion.id}. {metric_words(c.metric)}",
                        "all rows" if c.group == ALL else c.group,
                        f"{c.before_n:,} → {c.after_n:,}",
                        show(c.before),
                        show(c.after),
                        f"{in_points(c.change)} points",
                        interval(c.low, c.high, points=True),
                        "since the last audit",
                    )
                )
    chosen = evidence.chosen
    if chosen is not None:
        p, base = chosen.point, chosen.baseline
        rows += [
            (
                "accuracy",
                "all rows",
                f"{p.n:,}",
                percent(base.accuracy),
                percent(p.accuracy),
                f"{in_points(p.accuracy_change)} points",
                interval(p.accuracy_change_low, p.accuracy_change_high, points=True),
                f"the alternative chosen ({p.id})",
            ),
            (
                metric_words(chosen.measure),
                "between groups",
                f"{p.n:,}",
                number(base.fairness),
                number(p.fairness),
                number(p.fairness_change),
                interval_numbers(p.fairness_change_low, p.fairness_change_high),
                f"the alternative chosen ({p.id})",
            ),
        ]
    if not rows:
        return [
            Heading("Before and after"),
            Paragraph(
                "There is nothing to compare with yet: this document names no earlier audit, and "
                "nobody has chosen an alternative."
            ),
        ]
    return [
        Heading("Before and after"),
        Table(
            "What was measured before, and now",
            ("What", "Group", "n", "Before", "After", "Change", interval_name(evidence), "By"),
            tuple(rows),
            ("left", "left", "right", "right", "right", "right", "right", "left"),
        ),
    ]
