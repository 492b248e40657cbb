"""The sections on reasons: explanations, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from hitl_audit.charts import Chart, Series
from hitl_audit.evidence import Evidence, ExplanationRecord, QualityMeasure
from hitl_audit.explanations.trust.faithfulness import FAITHFULNESS_MEASURES
from hitl_audit.explanations.trust.stability import STABILITY_MEASURES
from hitl_audit.report.document import (
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
    interval_name,
    interval_numbers,
    label,
    noted,
    number,
    p_words,
    sentence,
    small_number,
)

__all__ = ["explanations_section", "trust_section"]

TOP_FEATURES = 10
TABLE_FEATURES = 50  # all of them are in the evidence


def explanations_section(evidence: Evidence) -> Section:
    """What the model's score rests on."""
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
        blocks += [Points(tuple(sentence(note) for note in record.notes))] if record.notes else []
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
        f"{record.rows:,} cases, the mean over {record.seeds} seeds. LIME fits a simple model "
        "around each case; its numbers vary with the seed, which section “How far the explanations "
        "can be trusted” quantifies."
    )


def _importance_chart(record: ExplanationRecord) -> Chart:
    top, rest = record.importance[:TOP_FEATURES], record.importance[TOP_FEATURES:]
    first = top[0]
    name = record.method.upper()
    message = (
        f"{first.label} moves the score most: {number(first.mean_abs)} on average "
        f"({name}, {first.n:,} cases)"
        + (
            f"; the {len(top)} strongest of {len(record.importance)} features are shown."
            if rest
            else "."
        )
    )
    values = "; ".join(f"{i.label} {number(i.mean_abs)}" for i in top)
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
    every, shown = len(record.importance), record.importance[:TABLE_FEATURES]
    which = "" if every <= TABLE_FEATURES else f"; the {TABLE_FEATURES} strongest of {every:,}"
    summed = evidence.data.sampled_rows is not None and record.rows == evidence.data.rows
    how = "Student's, over all rows" if summed else "bootstrap over cases"
    return Table(
        f"Mean size of the attribution by feature{which} (interval: {how})",
        ("Feature", "Column", "n", "Mean size", interval_name(evidence)),
        tuple(
            (
                i.label,
                i.feature,
                f"{i.n:,}",
                number(i.mean_abs, 4),
                interval_numbers(i.low, i.high),
            )
            for i in shown
        ),
        ("left", "left", "right", "right", "right"),
    )


def trust_section(evidence: Evidence) -> Section:
    """How far the explanations can be trusted."""
    if not evidence.explanation_quality:
        return Section(
            "trust",
            "How far the explanations can be trusted",
            (Note("Not assessed: there were no explanations to compare."),),
        )
    faithful = [q for q in evidence.explanation_quality if q.measure in FAITHFULNESS_MEASURES]
    stable = [q for q in evidence.explanation_quality if q.measure in STABILITY_MEASURES]
    agreed = [q for q in evidence.explanation_quality if q not in faithful and q not in stable]
    blocks: list[Block] = [
        Paragraph(
            "Two methods that explain the same case should name the same features. Where they do "
            "not, an explanation is shown to reviewers as unreliable, not as a reason."
        ),
        noted(evidence, evidence.explanation_quality_notes),
        _quality_table(
            evidence, "Agreement of the explanations with the model and each other", agreed
        ),
        *_quality_by_group(evidence),
    ]
    if faithful:
        blocks += [
            Heading("Do they name the features that move the model?"),
            Paragraph(
                "Features of a case are replaced by those of other cases, the strongest first; "
                "beside it stands what random rankings of the same case achieve. A ranking that "
                "does no better tells nothing."
            ),
            _quality_table(evidence, "Faithfulness, against random rankings", faithful),
        ]
    if stable:
        blocks += [
            Heading("Do they stay the same when nothing that matters changes?"),
            _quality_table(evidence, "Stability over seeds, backgrounds and small noise", stable),
        ]
    return Section("trust", "How far the explanations can be trusted", tuple(blocks))


def _quality_table(evidence: Evidence, caption: str, found: Sequence[QualityMeasure]) -> Table:
    methods = tuple(dict.fromkeys(q.method for q in found if q.method))
    return Table(
        f"{caption} (intervals: {'; '.join(methods)})" if methods else caption,
        ("Measure", "n", "Value", interval_name(evidence)),
        tuple(
            (
                q.meaning,
                f"{q.n:,}",
                small_number(q.value),
                interval_numbers(q.low, q.high),
            )
            for q in found
        ),
        ("left", "right", "right", "right"),
    )


GROUP_MEASURES = {
    "reliable": "Reliable",
    "sign_agreement": "Sign agreement",
    "score": "LIME's R²",
}


def _quality_by_group(evidence: Evidence) -> list[Block]:
    """Are people of one group explained less reliably than others?"""
    found = evidence.explanation_quality_by_group
    shown = {
        name: words
        for name, words in GROUP_MEASURES.items()
        if any(q.measure == name for q in found)
    }
    groups = list(dict.fromkeys((q.attribute, q.group) for q in found))
    if not groups or not shown:
        return []
    order = {name: place for place, name in enumerate(shown)}
    listed = sorted(
        (q for q in found if q.measure in shown),
        key=lambda q: (groups.index((q.attribute, q.group)), order[q.measure]),
    )
    gaps = [g for g in evidence.explanation_quality_gaps if g.measure in shown]
    return [
        Heading("Is everybody explained equally well?"),
        Table(
            "Quality of the explanations by group (intervals: Wilson for shares, bootstrap over "
            "cases for means)",
            ("Attribute", "Group", "Measure", "n", "Value", interval_name(evidence), "Note"),
            tuple(
                (
                    label(evidence, q.attribute),
                    q.group,
                    shown[q.measure],
                    f"{q.n:,}",
                    number(q.value),
                    interval_numbers(q.low, q.high),
                    "" if q.status == "measured" else q.status,
                )
                for q in listed
            ),
            ("left", "left", "left", "right", "right", "right", "left"),
        ),
        Table(
            "The largest difference between two groups (p: permutation of the groups; it accounts "
            "for picking the two that differ most, not for looking at several measures)",
            (
                "Attribute",
                "Measure",
                "Highest",
                "Lowest",
                "Difference",
                interval_name(evidence),
                "p",
            ),
            tuple(
                (
                    label(evidence, g.attribute),
                    shown[g.measure],
                    g.highest or g.status,
                    g.lowest,
                    number(g.value),
                    interval_numbers(g.low, g.high),
                    p_words(g.p_value),
                )
                for g in gaps
            ),
            ("left", "left", "left", "left", "right", "right", "right"),
        ),
    ]
