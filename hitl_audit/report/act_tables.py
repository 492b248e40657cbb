"""Tables of the EU AI Act: what this audit measured of what the articles name.

Regulation (EU) 2024/1689 asks for the level of accuracy, for specific persons or
groups too (Articles 13(3)(b)(ii) and (v), 15(3)), for tests against thresholds
that were defined before (Article 9(8)), and for human oversight whose automation
bias is known (Article 14(4)). Nothing is computed here: the numbers are those of
the other sections, in the order of the articles.
"""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.findings import metric_words, percent
from hitl_audit.report.document import Block, Note, Table
from hitl_audit.report.wording import (
    criterion_words,
    interval,
    interval_name,
    label,
    threshold_words,
)

__all__ = ["act_tables"]

_ACCURACY = ("accuracy", "true_positive_rate", "false_positive_rate")
# What Article 14(4) wants people to be able to do, and the measure that speaks of it.
_OVERSIGHT = (
    ("(b) automation bias", "over-reliance", "followed a wrong decision of the model"),
    ("(b) automation bias", "switched to the model", "gave up their own answer for the model's"),
    ("(d) override", "override rate", "decided otherwise than the model"),
    ("(d) override", "under-reliance", "did not follow a right decision of the model"),
    ("(d) disregard", "abstained", "did not decide at all"),
    ("(e) intervene", "escalated", "passed the case to somebody else"),
)


def act_tables(evidence: Evidence) -> list[Block]:
    """The tables, in the order of the articles."""
    return [_tested(evidence), *_accuracy(evidence), _oversight(evidence)]


def _tested(evidence: Evidence) -> Table:
    return Table(
        "Tests against thresholds that were defined before (Article 9(8))",
        ("Test", "Threshold", "Result"),
        tuple(
            (f"{f.id}. {criterion_words(evidence, f)}", threshold_words(f), f.status.value)
            for f in evidence.findings
        ),
        ("left", "left", "left"),
        tone_column=2,
        empty="The plan promised nothing, so nothing was tested against a threshold.",
    )


def _accuracy(evidence: Evidence) -> list[Block]:
    rows = []
    for group in evidence.performance.groups:
        everybody = group.attribute == "all"
        who = "All cases" if everybody else f"{label(evidence, group.attribute)}: {group.group}"
        for metric in _ACCURACY:
            score = group.score(metric)
            rows.append(
                (
                    who,
                    metric_words(metric),
                    f"{score.n:,}",
                    percent(score.value),
                    interval(score.low, score.high),
                )
            )
    few = any(
        score.status == "small group"
        for group in evidence.performance.groups
        for score in group.scores
        if score.metric in _ACCURACY
    )
    made: list[Block] = [
        Table(
            "Level of accuracy, overall and for groups of people "
            "(Articles 13(3)(b)(ii) and (v), 15(3))",
            ("Who", "Metric", "n", "Value", interval_name(evidence)),
            tuple(rows),
            ("left", "left", "right", "right", "right"),
        )
    ]
    if few:
        made.append(
            Note(
                f"A number about fewer than {evidence.plan.min_group} people decides nothing: its "
                "interval says how little is known."
            )
        )
    return made


def _oversight(evidence: Evidence) -> Table:
    measured = {k.measure: k for k in evidence.oversight.kpis if not k.group}
    rows = []
    for article, measure, words in _OVERSIGHT:
        kpi = measured.get(measure)
        if kpi is None:
            continue
        known = kpi.status == "estimated"
        rows.append(
            (
                article,
                f"People {words}",
                f"{kpi.n:,}",
                percent(kpi.value) if known else kpi.status,
                interval(kpi.low, kpi.high) if known else "–",
            )
        )
    simulated = " (simulated judgments)" if evidence.oversight.any_simulated else ""
    return Table(
        f"What people did with the model's output in this audit (Article 14(4)){simulated}",
        ("Article 14(4)", "Measure", "n", "Value", interval_name(evidence)),
        tuple(rows) if evidence.oversight.judged else (),
        ("left", "left", "right", "right", "right"),
        empty="Not assessed: nobody has judged a case yet.",
    )
