"""The section "Since the last audit": what moved, with intervals on the change."""

from __future__ import annotations

from hitl_audit.changes import AuditChange, Change, CriterionChange
from hitl_audit.evidence import Evidence
from hitl_audit.findings import metric_words, percent
from hitl_audit.groups import ALL, TIMES
from hitl_audit.report.document import Block, Facts, Heading, Note, Paragraph, Section, Table
from hitl_audit.report.wording import (
    in_points,
    interval,
    interval_name,
    label,
    noted,
    when,
)

__all__ = ["since_section"]

MOST_RATES = 40


def since_section(evidence: Evidence) -> Section | None:
    """What moved since the audit that the plan or the caller named; nothing if none was."""
    found = evidence.since
    if found is None:
        return None
    worse = [c for c in found.criteria if c.worse]
    blocks: list[Block] = [
        Paragraph(
            "The same promises and rates in the earlier audit and in this one. A change counts as "
            f"better or worse only if its whole {interval_name(evidence)} says so."
        ),
        Note(
            f"{len(worse)} of {len(found.criteria)} promises are worse off than in the earlier "
            f"audit: {' '.join(c.words for c in worse)}"
            if worse
            else "No promise is worse off than in the earlier audit.",
            "warning" if worse else "info",
        ),
        _sides(found),
        Table(
            "The promises, before and now",
            ("Promise", "Promised before", "Now", "Decided before", "Now"),
            tuple(
                (
                    f"{c.id}. {metric_words(c.metric).capitalize()}"
                    + (
                        f" by {TIMES.join(label(evidence, a) for a in c.by).lower()}"
                        if c.by
                        else ""
                    )
                    + ("" if c.compare == "value" else f", {c.compare}"),
                    c.promised_before or "not promised",
                    c.promised_after or "no longer promised",
                    c.status_before or "–",
                    c.status_after or "–",
                )
                for c in found.criteria
            ),
            ("left", "left", "left", "left", "left"),
        ),
    ]
    groups = [change for c in found.criteria for change in c.groups]
    blocks.append(_changes(evidence, "What the promises are about, before and now", groups))
    blocks.append(_changes(evidence, "Performance, before and now", found.performance))
    moved = sorted(
        (c for c in found.rates if c.change is not None),
        key=lambda c: -abs(c.change or 0),
    )
    shown = moved[:MOST_RATES]
    blocks.append(
        _changes(
            evidence,
            f"Rates by group that both audits measured, the largest changes first "
            f"({len(shown)} of {len(found.rates)})",
            shown,
        )
    )
    if found.importance:
        blocks += [
            Heading("What the score rests on"),
            Table(
                "Place of a feature among the ten that move the score most",
                ("Feature", "Before", "Now"),
                tuple(
                    (name, str(before) if before else "–", str(after) if after else "–")
                    for name, before, after in found.importance
                ),
                ("left", "right", "right"),
            ),
        ]
    blocks.append(noted(evidence, found.notes))
    return Section("since", "Since the last audit", tuple(blocks))


def _promise(evidence: Evidence, change: CriterionChange) -> str:
    by = TIMES.join(label(evidence, a) for a in change.by).lower()
    parts = [f"{change.id}. {metric_words(change.metric).capitalize()}"]
    parts += [f" by {by}"] if by else []
    parts += [] if change.compare == "value" else [f", {change.compare}"]
    return "".join(parts)


def _sides(found: AuditChange) -> Facts:
    said = {True: "the same", False: "another"}
    a, b = found.before, found.after
    return Facts(
        (
            ("Earlier audit", f"{a.document_id}, {when(a.created)}, {a.rows:,} rows"),
            ("This audit", f"{when(b.created)}, {b.rows:,} rows"),
            ("Data", said[found.same_data]),
            ("Model", said[found.same_model]),
            ("Plan", said[found.same_plan]),
        )
    )


def _changes(evidence: Evidence, caption: str, changes: tuple[Change, ...] | list[Change]) -> Table:
    return Table(
        f"{caption} (change in percentage points; interval: {evidence.since.method})"
        if evidence.since
        else caption,
        (
            "What",
            "Group",
            "n",
            "Before",
            "n",
            "Now",
            "Change",
            interval_name(evidence),
            "Direction",
        ),
        tuple(
            (
                metric_words(c.metric) + ("" if c.compare == "value" else f", {c.compare}"),
                "all rows" if c.group == ALL else c.group,
                f"{c.before_n:,}",
                _value(c, c.before),
                f"{c.after_n:,}",
                _value(c, c.after),
                in_points(c.change),
                interval(c.low, c.high, points=True).removesuffix(" points"),
                c.direction + (f" ({c.note})" if c.note else ""),
            )
            for c in changes
        ),
        ("left", "left", "right", "right", "right", "right", "right", "right", "left"),
        empty="Nothing that both audits measured.",
    )


def _value(change: Change, value: float | None) -> str:
    return f"{in_points(value)} points" if change.compare == "difference" else percent(value)
