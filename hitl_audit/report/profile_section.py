"""The section of regulation profiles: their tables, their texts, and what only people can say."""

from __future__ import annotations

from hitl_audit.evidence import Evidence, ProfileRecord
from hitl_audit.fairness.profile_table import ImpactRow, ProfileRow, ProfileTable
from hitl_audit.findings import percent
from hitl_audit.groups import TIMES
from hitl_audit.report.act_tables import act_tables
from hitl_audit.report.document import (
    Align,
    Block,
    Facts,
    Heading,
    Note,
    Paragraph,
    Points,
    Section,
    Table,
)
from hitl_audit.report.wording import (
    interval,
    interval_name,
    interval_numbers,
    label,
    noted,
    number,
    p_words,
    sentence,
)

__all__ = ["profile_table", "profiles_section"]

ACT = "eu-ai-act"


def profiles_section(evidence: Evidence) -> Section:
    """Tables by the rules of a regulation; they describe, and say nothing about the law."""
    blocks: list[Block] = [
        Paragraph(
            "Tables computed by the rules of a regulation, as the named file states them. They "
            "describe what was measured. Whether the law is kept is for people to judge."
        )
    ]
    for record in evidence.analyses.profiles:
        blocks += _profile_blocks(evidence, record)
    return Section("profiles", "Tables by regulation", tuple(blocks))


def _profile_blocks(evidence: Evidence, record: ProfileRecord) -> list[Block]:
    tables = record.tables
    blocks: list[Block] = [
        Heading(tables.title),
        Facts(
            (
                ("Where it applies", record.jurisdiction),
                ("What it asks for", record.summary),
                ("Facts as of", f"{tables.as_of} ({tables.status})"),
                ("May be used until", record.expires or "no limit stated"),
                ("File", f"{tables.profile}, {record.digest}"),
            ),
            code=frozenset({"File"}),
        ),
    ]
    if tables.warning:
        blocks.append(Note(tables.warning, "warning"))
    for table in tables.tables:
        said = [f"{row.group}: {row.note}" for row in table.rows if row.note]
        blocks.append(profile_table(evidence, table))
        if said or table.notes:
            starred = [f"* {'; '.join(said)}."] if said else []
            blocks.append(noted(evidence, (*starred, *table.notes)))
    blocks += _band_blocks(evidence, record)
    if tables.profile == ACT:
        blocks += act_tables(evidence)
    if tables.notes:
        blocks.append(noted(evidence, tables.notes))
    if tables.bases:
        blocks.append(
            Table(
                "Prohibited bases, and what they were assessed by",
                ("Basis", "Assessed by"),
                tuple(
                    (
                        b.basis,
                        ", ".join(label(evidence, a) for a in b.attribute.split(", "))
                        if b.attribute
                        else "not assessed",
                    )
                    for b in tables.bases
                ),
                ("left", "left"),
            )
        )
    if record.statements:
        blocks += [Paragraph(sentence(text)) for text in record.statements]
    blocks.append(
        Table(
            "What it requires, and where this document answers",
            ("Requirement", "Source", "Answered in"),
            record.requirements,
            ("left", "left", "left"),
        )
    )
    blocks.append(
        Table(
            "Rules of computation",
            ("Rule", "Source"),
            record.rules,
            ("left", "left"),
        )
    )
    blocks.append(
        Points(
            tuple(
                " ".join(part for part in (f"{citation}.", note, address) if part)
                for citation, address, note in record.sources
            )
        )
    )
    return blocks


def _band_blocks(evidence: Evidence, record: ProfileRecord) -> list[Block]:
    """Calibration by score band, and the stability of the scores."""
    blocks: list[Block] = []
    bound = interval_name(evidence)
    if record.bands:
        blocks.append(
            Table(
                "Calibration by score band: mean prediction, and the share that came true "
                "(interval: Wilson)",
                ("Scores", "n", "Predicted", "Came true", bound, "Note"),
                tuple(
                    (
                        f"above {number(b.above)} to {number(b.up_to)}",
                        f"{b.n:,}",
                        percent(b.predicted),
                        percent(b.observed),
                        interval(b.low, b.high),
                        "prediction outside the interval" if b.outside else "",
                    )
                    for b in record.bands
                ),
                ("left", "right", "right", "right", "right", "left"),
            )
        )
    moved = record.stability
    if moved is not None:
        blocks += [
            Paragraph(
                f"Population stability index of the scores: {number(moved.value)} ({bound} "
                f"{interval_numbers(moved.low, moved.high)}; {moved.n_then:,} training rows, "
                f"{moved.n_now:,} audited rows; {moved.method}). If nothing had moved, chance "
                f"alone would make it about {number(moved.expected_by_chance)}."
            ),
            Table(
                "Shares of the score bands, cut at the deciles of the training scores",
                ("Scores", "At training", "Now"),
                tuple(
                    (f"above {number(low)} to {number(high)}", percent(then), percent(now))
                    for low, high, then, now in moved.shares
                ),
                ("left", "right", "right"),
            ),
        ]
    return blocks


def profile_table(evidence: Evidence, table: ProfileTable) -> Table:
    """One table of a profile: rates and impact ratios by group."""
    words = _attribute_words(evidence, table.attribute)
    bound = interval_name(evidence)
    columns = ["Group", "n", table.rate_name.capitalize(), bound, "Impact ratio", bound]
    align: list[Align] = ["left", "right", "right", "right", "right", "right"]
    impact = [row for row in table.rows if isinstance(row, ImpactRow)]
    if impact:
        columns += ["p", "Evidence"]
        align += ["right", "left"]
    scored = any(row.smd is not None for row in impact)
    if scored:
        columns.append("Score difference (sd)")
        align.append("right")
    within = any(row.segments is not None for row in impact)
    if within:
        columns.append("Odds ratio within segments")
        align.append("right")
    rows = []
    for row in table.rows:
        cells = _cells(row)
        if isinstance(row, ImpactRow):
            cells += [p_words(row.p_adjusted), row.evidence or "–"]
            if scored:
                cells.append(
                    "–"
                    if row.smd is None
                    else f"{number(row.smd)} ({interval_numbers(row.smd_low, row.smd_high)})"
                )
            if within:
                cells.append(
                    "–"
                    if row.odds_ratio is None
                    else f"{number(row.odds_ratio)} "
                    f"({interval_numbers(row.odds_low, row.odds_high)})"
                )
        rows.append(tuple(cells))
    reference = f"; ratios to {table.reference}" if table.reference else ""
    adjusted = "; p adjusted for all comparisons" if impact else ""
    return Table(
        f"{table.rate_name.capitalize()} by {words}, {table.people:,} people, {table.unknown:,} of "
        f"unknown group (rate: Wilson; ratio: Koopman score{adjusted}{reference})",
        tuple(columns),
        tuple(rows),
        tuple(align),
    )


def _cells(row: ProfileRow) -> list[str]:
    ratio = number(row.impact_ratio)
    if row.below_four_fifths:
        ratio += " (below 0.8)"
    return [
        row.group + (" *" if row.note else ""),
        f"{row.n:,}",
        percent(row.rate),
        interval(row.low, row.high),
        ratio,
        interval_numbers(row.ratio_low, row.ratio_high),
    ]


def _attribute_words(evidence: Evidence, attribute: str) -> str:
    return TIMES.join(label(evidence, part) for part in attribute.split(TIMES)).lower()
