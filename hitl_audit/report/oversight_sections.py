"""The sections on people: what they judged, what it did to decisions, what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hitl_audit.evidence import ChangeNote, Evidence
from hitl_audit.findings import percent
from hitl_audit.report.document import (
    Align,
    Block,
    Figure,
    Heading,
    Note,
    Paragraph,
    Points,
    Section,
    Table,
)
from hitl_audit.report.wording import (
    in_points,
    interval,
    interval_name,
    interval_numbers,
    label,
    number,
    p_words,
    sentence,
    when,
)
from hitl_audit.review.kpi import Kpi
from hitl_audit.review.paired_effect import MEASURES, SideBySide

__all__ = ["overrides_section", "oversight_section", "what_if_section"]

SIMULATED = (
    "These judgments were made by a program for demonstration. They say nothing about what people "
    "think of the model."
)
_MEASURE_WORDS = {
    "accuracy": "Right decisions",
    "selection_rate": "Favorable decisions",
    "true_positive_rate": "Favorable where it is right (true positive rate)",
    "false_positive_rate": "Favorable where it is wrong (false positive rate)",
}


def oversight_section(evidence: Evidence) -> Section:
    """Who judged what, and whether it made the decisions better."""
    seen = evidence.oversight
    blocks: list[Block] = [Paragraph(sentence(seen.words))]
    if seen.any_simulated:
        blocks.insert(0, Note(SIMULATED, "warning"))
    if evidence.review_disclosed:
        blocks.append(Heading("Controls that the plan disclosed"))
        blocks.append(Points(evidence.review_disclosed))
    if seen.judged:
        blocks += _recorded(evidence)
        blocks += _people(evidence)
        blocks += _effect(evidence)
        blocks += _reliance(evidence)
        blocks += _agreement(evidence)
        blocks += _work(evidence)
    return Section("oversight", "Human oversight", tuple(blocks))


def overrides_section(evidence: Evidence) -> Section:
    """Where people decided otherwise, what was escalated and what was changed."""
    seen = evidence.oversight
    blocks: list[Block] = []
    if seen.judged:
        blocks += [Note(SIMULATED, "warning")] if seen.any_simulated else []
        blocks += _overrides(evidence)
        blocks += _disclosed(evidence)
    else:
        blocks.append(Note("Not assessed: nobody has judged a case yet."))
    blocks += _escalations(evidence)
    blocks += _changes(evidence)
    return Section("overrides", "Overrides, dissent and escalations", tuple(blocks))


def what_if_section(evidence: Evidence) -> Section:
    """What reviewers tried, what the plan asks of the model, and what people expected of it."""
    blocks: list[Block] = []
    if evidence.review.what_if.edits:
        blocks += _tried(evidence)
    if evidence.checks:
        blocks += [
            Heading(f"Properties the plan asks of the model, in {_rows(evidence)}"),
            Table(
                "One feature moved at a time, everything else as recorded",
                ("Property", "n", "Rows that violate it", interval_name(evidence), "Result"),
                tuple(
                    (
                        sentence(one.words),
                        f"{one.n:,}",
                        f"{one.violating:,} ({percent(one.share)})",
                        interval(one.low, one.high),
                        one.status,
                    )
                    for one in evidence.checks
                ),
                ("left", "right", "right", "right", "left"),
            ),
        ]
    if evidence.collected.checks or evidence.collected.left_out:
        blocks += _collected(evidence)
    return Section("what-if", "What-if: tried by reviewers, checked everywhere", tuple(blocks))


def _rows(evidence: Evidence) -> str:
    return "every row of the sample" if evidence.data.sampled_rows is not None else "every row"


def _tried(evidence: Evidence) -> list[Block]:
    tried = evidence.review.what_if
    blocks: list[Block] = [
        Paragraph(
            f"{_people_words(tried.reviewers)} changed facts of {_n(tried.cases, 'case')} on the "
            f"what-if panel, {_n(tried.edits, 'edit')} in all. What they tried was chosen by them: "
            "it shows what can happen, never how often."
        )
    ]
    said = tried.as_expected + tried.otherwise
    if said:
        blocks.append(
            Paragraph(
                f"Before {said} of the edits they said what they expected the score to do: it did "
                f"so in {tried.as_expected} and did otherwise in {tried.otherwise}."
            )
        )
    return blocks


def _collected(evidence: Evidence) -> list[Block]:
    """Violated expectations; set apart from what the plan asks, which was promised before."""
    collected = evidence.collected
    blocks: list[Block] = [
        Heading(f"Expected by reviewers, violated in a case, looked for in {_rows(evidence)}"),
        Note(
            "Exploratory: these properties were collected after results were known, each because "
            "the model violated it in a case. They are no promises of the plan and enter no "
            "decision; the cases in which they were seen are among the rows.",
            "info",
        ),
    ]
    if collected.checks:
        blocks.append(
            Table(
                "Seen by people on the what-if panel; one feature moved at a time",
                (
                    "Property", "Seen by", "n", "Rows that violate it",
                    interval_name(evidence), "Result",
                ),
                tuple(
                    (
                        sentence(one.note.words),
                        f"{_people_words(one.people)}, {_n(one.cases, 'case')}",
                        f"{one.note.n:,}",
                        f"{one.note.violating:,} ({percent(one.note.share)})",
                        interval(one.note.low, one.note.high),
                        one.note.status,
                    )
                    for one in collected.checks
                ),
                ("left", "left", "right", "right", "right", "left"),
            )
        )  # fmt: skip
    if collected.left_out:
        total = sum(n for _, n in collected.left_out)
        why = "; ".join(f"{reason} ({n})" for reason, n in collected.left_out)
        expectations = _n(total, "violated expectation")
        blocks.append(Paragraph(f"{expectations} became no property: {why}."))
    return blocks


# ------------------------------------------------------------------- oversight


def _recorded(evidence: Evidence) -> list[Block]:
    seen = evidence.oversight
    blocks: list[Block] = [
        Table(
            "Judgments recorded",
            ("What", "n", "Value", interval_name(evidence)),
            (
                ("Cases drawn for review", str(seen.sampled), "", ""),
                ("Cases judged", str(seen.judged), "", ""),
                ("Reviewers", str(seen.reviewers), "", ""),
                *((f"Verdict: {name}", str(count), "", "") for name, count in seen.verdicts),
                ("Corrections", str(seen.corrections), "", ""),
                *((f"Not counted: {why}", str(count), "", "") for why, count in seen.excluded),
                (
                    "Cases in which every reviewer agreed with the model",
                    str(seen.agreement.n),
                    percent(seen.agreement.value),
                    interval(seen.agreement.low, seen.agreement.high),
                ),
                (
                    "Cases in which every answer given before seeing the model equals the "
                    "model's (without “not sure”)",
                    str(seen.blind_agreement.n),
                    percent(seen.blind_agreement.value),
                    interval(seen.blind_agreement.low, seen.blind_agreement.high),
                ),
            ),
            ("left", "right", "right", "right"),
        )
    ]
    if seen.judged < seen.sampled:
        blocks.append(
            Note(
                f"{seen.sampled - seen.judged} of {seen.sampled} drawn cases are not judged "
                "yet. The shares above are about the judged ones; the others may differ."
            )
        )
    if seen.agreement.method and _weighted(evidence):
        blocks.append(
            Paragraph(
                "The cases had different chances to be drawn. Every share in this and the next "
                "section weighs each case by one over its chance, so that it speaks for all cases."
            )
        )
    return blocks


def _weighted(evidence: Evidence) -> bool:
    return any(kpi.weighted for kpi in evidence.oversight.kpis)


def _people(evidence: Evidence) -> list[Block]:
    notes = {note.reviewer: note for note in evidence.review.reviewers}
    names = dict(evidence.review.disclosed.names)
    rows = []
    for row in evidence.oversight.by_reviewer:
        note = notes.get(row.reviewer)
        checks = "; ".join(
            f"{name} {right} of {n}"
            for name, (right, n) in (
                ("known answers", row.gold),
                ("planted errors caught", row.planted),
                ("same answer again", row.repeats),
            )
            if n
        )
        number = sentence(row.reviewer).rstrip(".")
        rows.append(
            (
                f"{number} ({names[row.reviewer]})" if row.reviewer in names else number,
                ", ".join(part for part in (note.role, note.competence) if part) if note else "–",
                (note.authority if note else "") or "–",
                str(row.answers),
                f"{percent(row.overrides.value)} (n = {row.override_n})",
                checks or "–",
            )
        )
    return [
        Table(
            "Who judged" if names else "Who judged, under numbers instead of names",
            ("Reviewer", "As what", "May decide", "Answers", "Overrides", "Controls"),
            tuple(rows),
            ("left", "left", "left", "right", "right", "left"),
        )
    ]


def _effect(evidence: Evidence) -> list[Block]:
    seen = evidence.oversight
    blocks: list[Block] = [Heading("Did people make the decisions better?")]
    if not seen.truth_n:
        blocks.append(
            Note(
                "Not known: the plan holds the judgments against nothing, so nobody can say which "
                "decisions were right. Favorable decisions can still be counted."
            )
        )
    else:
        blocks.append(
            Paragraph(
                "The model alone, people before they saw the model (“alone”), and people after "
                "they saw it, on the same cases. Right means: as recorded in the data, which is "
                f"known for {seen.truth_n} of {seen.judged} judged cases. "
                "The record may itself be wrong or unfair."
            )
        )
    overall = [row for row in seen.side_by_side if row.kind == "rate" and not row.attribute]
    order = {name: place for place, name in enumerate(MEASURES)}
    overall.sort(key=lambda row: order.get(row.measure, 99))
    blocks.append(
        Table(
            "Model, people, and both: all judged cases",
            ("Measure", "n", "Model", "People alone", "People with model", "Change by people"),
            tuple(_side(_MEASURE_WORDS.get(row.measure, row.measure), row) for row in overall),
            ("left", "right", "right", "right", "right", "right"),
        )
    )
    blocks += _effect_kpis(evidence)
    blocks += _effect_by_group(evidence)
    return blocks


def _side(name: str, row: SideBySide) -> tuple[str, ...]:
    if row.status != "estimated":
        return (name, str(row.n), "–", "–", row.status, "–")
    change = row.team_minus_model
    moved = (
        "–"
        if change.value is None
        else f"{in_points(change.value)} points ({interval(change.low, change.high, points=True)})"
    )
    points = row.kind != "rate"
    shown = [
        "–" if f.value is None else f"{in_points(f.value)} points" if points else percent(f.value)
        for f in (row.model, row.human, row.team)
    ]
    return (name, str(row.n), *shown, moved)


def _effect_kpis(evidence: Evidence) -> list[Block]:
    words = {
        "lift over the model": "People with the model are right more often than the model alone "
        "(lift)",
        "lift over people alone": "… than people alone",
        "complementarity": "… than the better of both (complementarity)",
    }
    rows = []
    for kpi in evidence.oversight.kpis:
        if kpi.topic == "effect" and not kpi.group and kpi.measure in words:
            value = f"{in_points(kpi.value)} points" if kpi.value is not None else kpi.status
            rows.append(
                (
                    words[kpi.measure],
                    _truth(kpi),
                    value,
                    interval(kpi.low, kpi.high, points=True),
                    p_words(kpi.p_value),
                )
            )
    if not rows:
        return []
    return [
        Table(
            "What people added, paired case by case",
            ("Difference of right decisions", "n (known)", "Value", interval_name(evidence), "p"),
            tuple(rows),
            ("left", "right", "right", "right", "right"),
        )
    ]


def _effect_by_group(evidence: Evidence) -> list[Block]:
    """Whether people narrowed the gaps or widened them."""
    seen = evidence.oversight
    blocks: list[Block] = []
    for attribute, _ in evidence.data.sensitive:
        rates = [
            row
            for row in seen.side_by_side
            if row.attribute == attribute and row.measure == "selection_rate" and row.kind == "rate"
        ]
        if sum(row.status == "estimated" for row in rates) < 2:
            continue
        rows = [
            (f"{_MEASURE_WORDS.get(row.measure, row.measure)}: {row.group}", row)
            for row in seen.side_by_side
            if row.attribute == attribute and row.status == "estimated"
        ]
        name = label(evidence, attribute)
        table = Table(
            f"By {name.lower()}: model, people, and both",
            ("Measure", "n", "Model", "People alone", "People with model", "Change by people"),
            tuple(_side(words, row) for words, row in rows),
            ("left", "right", "right", "right", "right", "right"),
        )
        blocks.append(Figure(seen.chart("selection_rate", attribute), table))
        told = [sentence(row.words) for _, row in rows if row.words]
        blocks += [Points(tuple(dict.fromkeys(told)))] if told else []
    if not blocks:
        return [
            Note(
                "Insufficient data by group: no two groups of one attribute have enough judged "
                "cases to say whether people widened or narrowed a gap."
            )
        ]
    return blocks


def _reliance(evidence: Evidence) -> list[Block]:
    wanted = [
        kpi
        for kpi in evidence.oversight.kpis
        if kpi.topic in ("reliance", "anchoring") and not kpi.group
    ]
    if not wanted:
        return []
    return [
        Heading("How people used the model's answer"),
        _kpi_table(evidence, "Reliance on the model, by answer of one reviewer", wanted),
    ]


def _agreement(evidence: Evidence) -> list[Block]:
    seen = evidence.oversight
    blocks: list[Block] = []
    for title, found in (
        ("Decisions after seeing the model", seen.reviewer_agreement),
        ("Decisions before seeing the model", seen.blind_reviewer_agreement),
    ):
        asked = [c for c in found if c.status != "not asked for"]
        known = [c for c in asked if c.value is not None]
        if not asked:
            continue
        if not known:
            blocks.append(Note(f"{title}: {sentence(asked[0].reading)}"))
            continue
        blocks.append(
            Table(
                f"Agreement among reviewers: {title.lower()}",
                ("Coefficient", "Cases", "Value", interval_name(evidence), "Expected by chance"),
                tuple(
                    (
                        c.name,
                        str(c.n_units),
                        number(c.value, 2) if c.value is not None else c.status,
                        interval_numbers(c.low, c.high),
                        "–" if c.name == "raw agreement" else number(c.expected, 2),
                    )
                    for c in asked
                ),
                ("left", "right", "right", "right", "right"),
            )
        )
        readings = {c.name: c.reading for c in known}
        told = [readings[n] for n in ("raw agreement", "Krippendorff's alpha") if n in readings]
        blocks.append(Points(tuple(map(sentence, told))))
    if not blocks:
        return []
    return [
        Heading("Do reviewers agree with each other?"),
        Paragraph(
            "No single coefficient tells it: where almost all cases get the same answer, those "
            "that correct for chance are low although people agree. All are shown."
        ),
        *blocks,
    ]


def _work(evidence: Evidence) -> list[Block]:
    topics = ["flow", "coverage", "checks"]
    if not evidence.oversight.any_simulated:
        topics.insert(0, "time")  # how long a program took says nothing
    wanted = [
        kpi
        for kpi in evidence.oversight.kpis
        if kpi.topic in topics
        and not kpi.group
        and not (kpi.topic == "checks" and kpi.status == "not assessed")
    ]
    return [
        Heading("Time, workload and controls"),
        _kpi_table(evidence, "Workload and controls", wanted),
    ]


# ------------------------------------------------------------------- overrides


def _overrides(evidence: Evidence) -> list[Block]:
    kpis = evidence.oversight.kpis
    overall = [
        k for k in kpis if k.topic == "overrides" and not k.group and "by answer" not in k.measure
    ]
    groups = [k for k in kpis if k.topic == "overrides" and k.group]
    estimated = [k for k in groups if k.status == "estimated"]
    blocks: list[Block] = [
        Paragraph(
            "An override is a case in which the human decision is not the model's. The human "
            "decision is that of the majority of its reviewers, or of the third person who "
            "decided where they differed."
        ),
        _kpi_table(evidence, "Overrides, by direction", overall),
    ]
    quality = [k for k in kpis if k.topic == "quality" and not k.group]
    if quality:
        blocks.append(_kpi_table(evidence, "What overrides were worth", quality))
    if estimated:
        blocks.append(_kpi_table(evidence, "Overrides by group", estimated, by_group=True))
    missing = sorted(
        {k.group for k in groups if " − " not in k.group} - {k.group for k in estimated}
    )
    if missing:
        words = ", ".join(_group_words(evidence, group) for group in missing)
        blocks.append(Note(f"Insufficient data: too few judged cases to say anything of {words}."))
    drift = [k for k in kpis if k.topic == "drift" and k.measure.startswith("drift")]
    if drift:
        blocks.append(_kpi_table(evidence, "Change over time", drift, by_group=True))
    if evidence.oversight.reasons:
        blocks.append(
            Table(
                "Reasons given for disagreeing",
                ("Reason", "Times"),
                tuple((reason, str(count)) for reason, count in evidence.oversight.reasons),
                ("left", "right"),
            )
        )
    return blocks


def _disclosed(evidence: Evidence) -> list[Block]:
    """What the plan lets out of single cases and of what people wrote."""
    said = evidence.review.disclosed
    blocks: list[Block] = []
    if said.words:
        blocks += [
            Heading("In their own words"),
            Table(
                "What people wrote about cases",
                ("Case", "Who", "Answer", "Words"),
                tuple((w.case_id, w.reviewer, w.answer, w.words) for w in said.words),
                ("left", "left", "left", "left"),
            ),
        ]
    if said.cases:
        blocks += [
            Heading("The judged cases, one by one"),
            Table(
                "What the model decided, and what people said about it",
                (
                    "Case",
                    *(label(evidence, a) for a in said.attributes),
                    "Score",
                    "Model",
                    "Verdicts",
                ),
                tuple(
                    (
                        case.case_id,
                        *(group or "not published" for group in case.groups),
                        percent(case.score),
                        _outcome(evidence, case.decision),
                        "; ".join(f"{who}: {verdict}" for who, verdict in case.verdicts),
                    )
                    for case in said.cases
                ),
                _aligned(len(said.attributes)),
            ),
        ]
    return blocks


def _aligned(attributes: int) -> tuple[Align, ...]:
    left: Align = "left"
    return (left, *[left] * attributes, "right", left, left)


def _outcome(evidence: Evidence, decision: str) -> str:
    audit = evidence.audit
    return audit.favorable_label if decision == "favorable" else audit.unfavorable_label


def _escalations(evidence: Evidence) -> list[Block]:
    found = evidence.review.escalations
    blocks: list[Block] = [Heading("Escalations")]
    if not found.items:
        return [*blocks, Paragraph("Nothing was escalated.")]
    blocks.append(Note(found.words, "warning" if found.blocks_clean_opinion else "info"))
    blocks.append(
        Table(
            "Register of escalations",
            ("Raised", "About", "Condition", "To be decided by", "Until", "State"),
            tuple(
                (
                    item.raised_at[:10],
                    item.subject,
                    item.condition,
                    item.role,
                    item.deadline[:10] or "–",
                    f"{item.status}: {item.outcome}" if item.outcome else item.status,
                )
                for item in found.items
            ),
            ("left", "left", "left", "left", "left", "left"),
        )
    )
    return blocks


def _changes(evidence: Evidence) -> list[Block]:
    changes = evidence.review.changes
    if not changes:
        return []
    blocks: list[Block] = [Heading("Changes that judgments led to")]
    for change in changes:
        decided = f" by the {change.decided_as}" if change.decided_as else ""
        blocks.append(
            Paragraph(
                f"{sentence(change.description)} Triggered by {_n(change.triggers, 'judgment')}, "
                f"proposed by {change.proposer}, {change.state}{decided}; may be applied until "
                f"{when(change.expires)[:10]}."
            )
        )
        if change.measures:
            blocks.append(_change_table(evidence, change))
    return blocks


def _change_table(evidence: Evidence, change: ChangeNote) -> Table:
    return Table(
        f"Before and after on the same holdout ({change.action})",
        ("Measure", "Group", "n", "Before", "After", f"Difference, {interval_name(evidence)}"),
        tuple(
            (
                metric.replace("_", " "),
                group or "all",
                str(n),
                percent(before),
                percent(after),
                interval(low, high, points=True),
            )
            for metric, group, n, before, after, low, high in change.measures
        ),
        ("left", "left", "right", "right", "right", "right"),
    )


# ---------------------------------------------------------------------- shared


def _kpi_table(
    evidence: Evidence, caption: str, kpis: Sequence[Kpi], *, by_group: bool = False
) -> Table:
    held = any(kpi.truth_n is not None for kpi in kpis)
    columns = ["Measure", "n", *(["Truth known"] if held else []), "Value", interval_name(evidence)]
    rows = []
    for kpi in kpis:
        value, between = _value(kpi)
        name = kpi.measure
        if by_group:
            name = f"{name}: {_group_words(evidence, kpi.group)}"
        said = sentence(name) + (f" {sentence(kpi.words)}" if kpi.words and not by_group else "")
        known = "–" if kpi.truth_n is None else f"{kpi.truth_n:,} of {kpi.truth_of:,}"
        rows.append((said, f"{kpi.n:,}", *([known] if held else []), value, between))
    meanings = dict.fromkeys(kpi.words for kpi in kpis) if by_group else {}
    if len(meanings) == 1:
        caption += f" ({next(iter(meanings))})"
    align = ("left", "right", *(["right"] if held else []), "right", "right")
    return Table(caption, tuple(columns), tuple(rows), cast("tuple[Align, ...]", align))


def _value(kpi: Kpi) -> tuple[str, str]:
    """A number in the unit of its measure, with its interval."""
    if kpi.value is None:
        needed = f", needs {kpi.needed}" if kpi.status == "insufficient data" and kpi.needed else ""
        return f"{kpi.status}{needed}", "–"
    if kpi.count is None and ("difference" in kpi.measure or "drift" in kpi.measure):
        return f"{in_points(kpi.value)} points", interval(kpi.low, kpi.high, points=True)
    if kpi.count is None or kpi.unit in ("days", "escalations") or kpi.value > 1:
        digits = 0 if float(kpi.value).is_integer() else 1
        between = "–" if kpi.low is None else f"{kpi.low:,.1f} to {kpi.high:,.1f}"
        return f"{kpi.value:,.{digits}f}", between
    return percent(kpi.value), interval(kpi.low, kpi.high)


def _truth(kpi: Kpi) -> str:
    """n, with the cases whose right decision is known where that matters."""
    if kpi.truth_n is None:
        return f"{kpi.n:,}"
    return f"{kpi.n:,} ({kpi.truth_n:,} of {kpi.truth_of:,} known)"


def _group_words(evidence: Evidence, group: str) -> str:
    attribute, _, name = group.partition(": ")
    return f"{label(evidence, attribute)}: {name}" if name else group


def _n(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _people_words(number: int) -> str:
    return "One reviewer" if number == 1 else f"{number} reviewers"
