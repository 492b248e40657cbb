"""The sections on what was searched: where the model errs, other thresholds, alternatives."""

from __future__ import annotations

from hitl_audit.alternatives import FrontierPoint
from hitl_audit.evidence import Evidence, MitigationRecord
from hitl_audit.findings import metric_words, percent
from hitl_audit.groups import ALL
from hitl_audit.report.document import (
    Block,
    Facts,
    Figure,
    Heading,
    Note,
    Paragraph,
    Section,
    Table,
)
from hitl_audit.report.wording import (
    in_points,
    interval,
    interval_name,
    interval_numbers,
    label,
    noted,
    number,
    p_words,
    when,
)
from hitl_audit.thresholds import ThresholdChoice, ThresholdSweep

__all__ = ["alternatives_section", "errors_section", "thresholds_section"]


def errors_section(evidence: Evidence) -> Section:
    """Where the model errs more often than elsewhere."""
    title = "Where the model errs"
    found = evidence.analyses.error_slices
    if found is None:
        return Section(
            "errors",
            title,
            (Note("Not assessed: the plan did not ask, or there are too few rows."),),
        )
    blocks: list[Block] = [
        Paragraph(
            "An error here is a decision that differs from the recorded outcome. Slices of the "
            f"data with more errors were searched in {found.n_search:,} rows and measured in the "
            f"other {found.n_confirm:,}, which had no part in finding them: the numbers below are "
            "from those. A slice counts as confirmed if it errs more than the rest there, after "
            "adjusting for all slices measured."
        ),
        Figure(
            found.chart(),
            Table(
                f"Slices found, with their {found.kind} in the confirming half (all its rows: "
                f"{percent(found.value)}, {interval_name(evidence)} "
                f"{interval(found.low, found.high)}; interval: {found.method}; test: {found.test})",
                (
                    "Slice",
                    "n",
                    "Errors",
                    interval_name(evidence),
                    "Rest",
                    "p",
                    "p adj.",
                    "Outcome",
                ),
                tuple(
                    (
                        s.words,
                        f"{s.n:,}",
                        percent(s.value),
                        interval(s.low, s.high),
                        percent(s.rest_value),
                        p_words(s.p_value),
                        p_words(s.p_adjusted),
                        s.status,
                    )
                    for s in found.slices
                ),
                ("left", "right", "right", "right", "right", "right", "right", "left"),
                empty="No slice stands out.",
            ),
        )
        if found.slices
        else Note("No slice of the data stands out for its errors."),
        noted(evidence, (found.guarantee, *found.notes)),
    ]
    return Section("errors", title, tuple(blocks))


def thresholds_section(evidence: Evidence) -> Section:
    """What other thresholds would do."""
    title = "Other thresholds"
    sweep = evidence.analyses.thresholds
    if sweep is None:
        return Section(
            "thresholds",
            title,
            (Note("Not assessed: the plan did not ask, or the model gives no probabilities."),),
        )
    no, yes = evidence.audit.unfavorable_label, evidence.audit.favorable_label
    ratio = sweep.cost_ratio
    blocks: list[Block] = [
        Paragraph(
            f"The model decides “{yes}” from a score of {evidence.model.threshold:g} on. Every "
            f"other threshold trades wrong “{yes}” against wrong “{no}”; here a wrong “{yes}” is "
            + (
                f"taken to cost as much as a wrong “{no}”"
                if ratio == 1
                else f"taken to cost {ratio:g} times a wrong “{no}”"
            )
            + ", as the plan says. What it really costs is for the owner to say."
        ),
        Figure(sweep.chart("cost"), _sweep_table(evidence, sweep)),
        noted(evidence, sweep.notes),
    ]
    for attribute in dict.fromkeys(choice.attribute for choice in sweep.choices):
        if attribute != ALL:
            blocks.append(_choice_table(evidence, sweep, attribute))
    return Section("thresholds", title, tuple(blocks))


def _sweep_table(evidence: Evidence, sweep: ThresholdSweep) -> Table:
    shown = [p for p in sweep.points if p.attribute == ALL and p.threshold is not None]
    rows = []
    for point in shown:
        cost, selected, correct = (
            point.rate(name) for name in ("cost", "selection_rate", "accuracy")
        )
        rows.append(
            (
                number(point.threshold),
                f"{cost.n:,}",
                number(cost.value),
                interval_numbers(cost.low, cost.high),
                percent(selected.value),
                interval(selected.low, selected.high),
                percent(correct.value),
                interval(correct.low, correct.high),
            )
        )
    bound = interval_name(evidence)
    return Table(
        "Cost per case, selection rate and accuracy over all rows, by threshold (intervals: "
        f"{shown[0].rate('cost').method} and {shown[0].rate('accuracy').method})",
        ("Threshold", "n", "Cost", bound, "Selected", bound, "Accuracy", bound),
        tuple(rows),
        ("right",) * 8,
    )


def _choice_table(evidence: Evidence, sweep: ThresholdSweep, attribute: str) -> Table:
    rows: list[tuple[str, ...]] = []
    for choice in sweep.choices:
        if choice.attribute == attribute:
            rows += _choice_rows(choice)
    bound = interval_name(evidence)
    words = label(evidence, attribute).lower()
    return Table(
        f"Which threshold each idea of fairness would choose, by {words} (intervals: Wilson; "
        "cost: MOVER of Wilson). * may be unlawful, because groups meet different thresholds; "
        "shown to compare",
        ("Rule", "Group", "n", "Threshold", "Selected", bound, "Cost", bound),
        tuple(rows),
        ("left", "left", "right", "right", "right", "right", "right", "right"),
    )


def _choice_rows(choice: ThresholdChoice) -> list[tuple[str, ...]]:
    rule = choice.rule[:1].upper() + choice.rule[1:] + (" *" if choice.group_specific else "")
    if choice.status != "ok":
        return [(rule, choice.status, "–", "–", "–", "–", "–", "–")]
    rows: list[tuple[str, ...]] = []
    for i, decision in enumerate(choice.decisions):
        selected, cost = decision.rate("selection_rate"), decision.rate("cost")
        rows.append(
            (
                rule if i == 0 else "",
                "all rows" if decision.group == ALL else decision.group,
                f"{selected.n:,}",
                number(decision.threshold),
                percent(selected.value),
                interval(selected.low, selected.high),
                number(cost.value),
                interval_numbers(cost.low, cost.high),
            )
        )
    return rows


def alternatives_section(evidence: Evidence) -> Section:
    """Less discriminatory alternatives: what was tried, and what a person chose."""
    title = "Alternatives searched"
    found, mitigation = evidence.analyses.alternatives, evidence.analyses.mitigation
    if found is None:
        return Section("alternatives", title, (Note("Not assessed: the plan did not ask."),))
    measure = metric_words(found.measure)
    blocks: list[Block] = [
        Paragraph(
            "Could the same purpose be served with less difference between groups? Every "
            f"alternative is measured on the same {found.baseline.n:,} audited rows as the model "
            f"itself, in accuracy and in the {measure} between {', '.join(found.groups)}. An "
            "alternative that is better in one and as good in the other dominates; of the others, "
            "none is better in both."
        )
    ]
    if mitigation is not None:
        blocks += _mitigation_blocks(evidence, mitigation, found.measure)
    else:
        blocks.append(
            Note(
                "Only other thresholds of the model itself were tried: the plan asked for no "
                "method that fits the model again."
            )
        )
    blocks += [
        Heading("Accuracy and fairness of every alternative"),
        Figure(
            found.chart(),
            Table(
                f"The model as audited, and the alternatives that no other dominates (of "
                f"{len(found.points)}; {measure} between {', '.join(found.groups)})",
                (
                    "Id",
                    "Alternative",
                    "n",
                    "Accuracy",
                    interval_name(evidence),
                    measure.capitalize(),
                    interval_name(evidence),
                ),
                tuple(
                    _point_row(point)
                    for point in (
                        found.baseline,
                        *(p for p in found.non_dominated if not p.baseline),
                    )
                ),
                ("left", "left", "right", "right", "right", "right", "right"),
            ),
        ),
        noted(evidence, found.notes),
        Heading("What was chosen"),
        *_chosen_blocks(evidence),
    ]
    return Section("alternatives", title, tuple(blocks))


def _mitigation_blocks(
    evidence: Evidence, mitigation: MitigationRecord, measure: str
) -> list[Block]:
    rows = []
    for one in mitigation.outcomes:
        if not one.measures:
            rows.append((one.title, "–", "–", "–", "–", f"could not run: {one.reason}"))
            continue
        accuracy, fairness = one.measure("accuracy"), one.measure(measure)
        rows.append(
            (
                one.title + (" *" if one.warning else ""),
                f"{in_points(accuracy.difference)} points",
                interval(accuracy.low, accuracy.high, points=True),
                f"{number(fairness.before)} → {number(fairness.after)}",
                interval_numbers(fairness.low, fairness.high),
                "decides at random" if one.randomized else "",
            )
        )
    words = metric_words(measure)
    return [
        Heading("Methods that fit the model again"),
        Paragraph(
            f"Each method was fitted on {mitigation.n_train:,} training rows, aiming at "
            f"{metric_words(mitigation.constraint)} where it takes an aim, and judged on the "
            f"{mitigation.n_holdout:,} audited rows against the same model fitted without it. "
            "* needs the protected attribute of every case when it decides, which may be unlawful."
        ),
        Table(
            f"Change of accuracy and of the {words}, after − before (paired bootstrap intervals; "
            f"n = {mitigation.n_holdout:,})",
            (
                "Method",
                "Accuracy",
                interval_name(evidence),
                words.capitalize(),
                "Change, interval",
                "Note",
            ),
            tuple(rows),
            ("left", "right", "right", "right", "right", "left"),
        ),
        noted(evidence, mitigation.notes),
    ]


def _point_row(point: FrontierPoint) -> tuple[str, ...]:
    name = point.words + (" (as audited)" if point.baseline else "")
    return (
        point.id,
        name,
        f"{point.n:,}",
        percent(point.accuracy),
        interval(point.accuracy_low, point.accuracy_high),
        number(point.fairness),
        interval_numbers(point.fairness_low, point.fairness_high),
    )


def _chosen_blocks(evidence: Evidence) -> list[Block]:
    chosen = evidence.chosen
    if chosen is None:
        return [
            Note(
                "Nobody has recorded a choice among these alternatives. Whether one of them would "
                "serve the purpose with less difference between groups is for people to say."
            )
        ]
    point, base = chosen.point, chosen.baseline
    change = interval(point.accuracy_change_low, point.accuracy_change_high, points=True)
    blocks: list[Block] = [
        Facts(
            (
                ("Chosen", f"{point.words} ({point.id})"),
                ("By", chosen.chosen_by),
                ("On", when(chosen.chosen_at)),
                ("Why", chosen.rationale),
                (
                    f"Accuracy (n = {point.n:,})",
                    f"{percent(base.accuracy)} → {percent(point.accuracy)}; change " + change,
                ),
                (
                    metric_words(chosen.measure).capitalize(),
                    f"{number(base.fairness)} → {number(point.fairness)}; change "
                    f"{interval_numbers(point.fairness_change_low, point.fairness_change_high)}",
                ),
                ("Alternatives considered", str(chosen.considered)),
            )
        )
    ]
    if chosen.better:
        blocks.append(
            Note(
                f"Dominated by {', '.join(chosen.better)}: better in one measure and as good in "
                "the other.",
                "warning",
            )
        )
    return blocks
