"""Page one: what was promised, what was found, three things to know."""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.findings import Finding, Status, Verdict, percent
from hitl_audit.groups import TIMES, UNKNOWN
from hitl_audit.report.document import (
    Block,
    Facts,
    Heading,
    Note,
    Opinion,
    OpinionRow,
    Paragraph,
    Points,
)
from hitl_audit.report.tracing import counted
from hitl_audit.report.wording import (
    criterion_words,
    interval,
    interval_name,
    metric_meaning,
    model_name,
    sentence,
    threshold_words,
    value_words,
    when,
)

__all__ = ["changed_plan", "not_covered", "page_one"]


def page_one(evidence: Evidence) -> tuple[Block, ...]:
    """The blocks of page one."""
    audit, data, plan = evidence.audit, evidence.data, evidence.plan
    blocks: list[Block] = [
        Facts(
            (
                (
                    "Audited",
                    f"{model_name(evidence)}, on {data.rows:,} cases ({audit.decision}: "
                    f"{audit.favorable_label} or {audit.unfavorable_label})",
                ),
                ("Purpose", audit.purpose or "not stated in the plan"),
                (
                    "Plan registered",
                    f"{when(plan.registered_at, exact=True)}, before the results of "
                    f"{when(evidence.created, exact=True)}",
                ),
            )
        )
    ]
    if plan.changed_after_results:
        blocks.append(changed_plan(evidence))
    blocks += [
        Heading(_tally(evidence)),
        Opinion(tuple(_opinion_row(evidence, f) for f in evidence.findings)),
        Heading("Three things to know"),
        Points(_three_things(evidence), numbered=True),
        Heading("What people said"),
        Paragraph(_people_said(evidence)),
        Heading("What this document does not cover"),
        Points(not_covered(evidence)[:3]),
    ]
    return tuple(blocks)


def _people_said(evidence: Evidence) -> str:
    """The judgments in a sentence or two, and what is still to be decided."""
    words = sentence(evidence.oversight.words)
    waiting = len(evidence.review.escalations.unresolved)
    if waiting:
        words += (
            f" {waiting} escalation{'s are' if waiting > 1 else ' is'} not resolved: until then no "
            "clean opinion is given."
        )
    return words


def _tally(evidence: Evidence) -> str:
    """``What was promised, and what was found: 3 met, 0 not met, 3 undecided``."""
    met = sum(f.status is Status.MET for f in evidence.findings)
    missed = sum(f.status is Status.NOT_MET for f in evidence.findings)
    undecided = len(evidence.findings) - met - missed
    met, missed, undecided = (counted(n, evidence, "findings") for n in (met, missed, undecided))
    return f"What was promised, and found: {met} met, {missed} not met, {undecided} undecided"


def _opinion_row(evidence: Evidence, finding: Finding) -> OpinionRow:
    verdict = _deciding(finding)
    if verdict is None:
        return OpinionRow(
            criterion_words(evidence, finding),
            threshold_words(finding),
            "–",
            "–",
            finding.status.value,
            "",
        )
    c = verdict.comparison
    n = f"n = {c.count.total:,}"
    shown = f"Shown: {c.group} ({n})" if finding.criterion.by else f"All cases ({n})"
    others = _decided_words(finding)
    return OpinionRow(
        criterion=criterion_words(evidence, finding),
        threshold=threshold_words(finding),
        value=value_words(c),
        interval=interval(c.low, c.high, points=c.compare == "difference"),
        status=finding.status.value,
        words=" ".join(
            part for part in (metric_meaning(evidence, finding), f"{shown}.", others) if part
        ),
    )


def _deciding(finding: Finding) -> Verdict | None:
    """The verdict a reader should see first: the furthest from parity that is not on few cases."""
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
        return " · ".join(
            f"{v.comparison.group}: {v.status}"
            + (f" (only {v.comparison.count.total} cases)" if v.comparison.small else "")
            for v in finding.verdicts
        )
    counted = []
    for status in (Status.NOT_MET, Status.INSUFFICIENT, Status.NOT_ASSESSED, Status.MET):
        groups = sum(v.status == status for v in finding.verdicts)
        if groups:
            counted.append(f"{groups} group{'s' if groups > 1 else ''} {status}")
    return " · ".join(counted)


def _three_things(evidence: Evidence) -> tuple[str, ...]:
    return (_first_thing(evidence), _second_thing(evidence), _third_thing(evidence))


def _first_thing(evidence: Evidence) -> str:
    """The promise in the worst state, in words."""
    order = (Status.NOT_MET, Status.INSUFFICIENT, Status.MET)
    for status in order:
        for finding in evidence.findings:
            verdict = _deciding(finding)
            if finding.status is status and verdict is not None:
                return sentence(verdict.words)
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
            unequal = (c.high is not None and c.high < 1) or (c.low is not None and c.low > 1)
            return (
                "The decisions that people made before are "
                + ("themselves unequal" if unequal else "the yardstick here")
                + f": {c.group} was decided favorably at {percent(c.value)} of the rate of "
                f"{c.reference} ({interval_name(evidence)} {interval(c.low, c.high)}, "
                f"n = {c.count.total:,}). A model that agrees with them repeats what they contain."
            )
    accuracy = evidence.performance.overall.score("accuracy")
    return (
        f"The model agrees with the recorded outcome in {percent(accuracy.value)} of "
        f"{accuracy.n:,} rows ({interval_name(evidence)} {interval(accuracy.low, accuracy.high)})."
    )


def _third_thing(evidence: Evidence) -> str:
    if not evidence.explanations or not evidence.explanations[0].importance:
        return "The plan asked for no explanations, so it is not known what the decisions rest on."
    record = evidence.explanations[0]
    names = [
        f"{i.label} ({i.mean_abs * 100:.1f} points on average)"
        if record.scale == "probability"
        else i.label
        for i in record.importance[:3]
    ]
    listed = ", ".join(names[:-1]) + (f" and {names[-1]}" if len(names) > 1 else names[0])
    if record.method == "shap":
        checked = _trusted(evidence)
    else:
        checked = f"These weights are estimates, on {record.rows:,} cases."
    return f"The model's score rests most on {listed}; n = {record.rows:,}. {checked}"


def _trusted(evidence: Evidence) -> str:
    """In how many cases two methods of explanation agree, where that was measured."""
    for measure in evidence.explanation_quality:
        if measure.measure == "reliable" and measure.value is not None and measure.n:
            return (
                f"Two methods of explanation agree well enough in {percent(measure.value)} of "
                f"{measure.n} cases ({interval_name(evidence)} "
                f"{interval(measure.low, measure.high)})."
            )
    return ""


def not_covered(evidence: Evidence) -> tuple[str, ...]:
    """What the document does not answer, the plan's own words first."""
    return (
        *evidence.audit.not_covered,
        "Causes: the numbers locate gaps between groups, they do not prove why they exist.",
        "How people and the model decide together in daily use, and what follows from a decision.",
    )


def changed_plan(evidence: Evidence) -> Note:
    """The warning that the plan was changed when results were known."""
    reasons = "; ".join(
        f"on {when(at)}: {reason or 'no reason given'}"
        for _, at, after, reason in evidence.plan.registrations
        if after
    )
    return Note(
        f"The plan was changed after results were already known ({reasons}). What it promises was "
        "not promised beforehand.",
        "warning",
    )
