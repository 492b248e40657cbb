"""The section on gaps: which features carry them, which stand in for a group, like for like."""

from __future__ import annotations

from dataclasses import replace

from hitl_audit.charts import Chart
from hitl_audit.evidence import Evidence
from hitl_audit.fairness.conditional_disparity import StratumDisparity
from hitl_audit.fairness.gap import LOCATES, GapContributions
from hitl_audit.fairness.proxies import ALL_GROUPS, ProxyStrengths
from hitl_audit.findings import percent
from hitl_audit.report.document import (
    Block,
    Figure,
    Heading,
    Note,
    Paragraph,
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
    status_words,
)

__all__ = ["gaps_section"]

TOP = 12
PROXIES_SHOWN = 15


def gaps_section(evidence: Evidence) -> Section:
    """What carries the gaps between groups."""
    made = evidence.analyses
    blocks: list[Block] = [
        Paragraph(
            "Where the gaps between groups sit in the model's inputs. This locates a gap; it does "
            "not prove a cause, and a feature that carries much of a gap may itself stand in for "
            "the group."
        )
    ]
    if made.contribution_notes:
        blocks.append(noted(evidence, made.contribution_notes))
    for one in made.contributions:
        words = label(evidence, one.attribute)
        blocks += [
            Heading(f"{words}: {one.group} against {one.reference}"),
            Figure(_chart(one), _contribution_table(evidence, one)),
        ]
    if made.proxies is not None:
        blocks += _proxy_blocks(evidence, made.proxies)
    blocks += [*_flip_blocks(evidence), *_alike_blocks(evidence)]
    return Section("gaps", "What carries the gaps", tuple(blocks))


def _chart(one: GapContributions) -> Chart:
    """The chart without the warning that the section begins with."""
    chart = one.chart()
    return replace(
        chart,
        message=chart.message.replace(f" {LOCATES}", ""),
        alt=chart.alt.replace(f" {LOCATES}", ""),
    )


def _contribution_table(evidence: Evidence, one: GapContributions) -> Table:
    top, rest = one.contributions[:TOP], one.contributions[TOP:]
    rows = [(c.feature, number(c.value), interval_numbers(c.low, c.high)) for c in top]
    if rest:
        rows.append((f"{len(rest)} other features", number(sum(c.value for c in rest)), "–"))
    rows.append(("All together: the gap", number(one.gap), interval_numbers(one.low, one.high)))
    return Table(
        f"Contributions to the {one.gap_words}, {one.group} (n = {one.n:,}) − {one.reference} "
        f"(n = {one.reference_n:,}). Interval: {one.method}, each feature by itself",
        ("Feature", "Contribution", interval_name(evidence)),
        tuple(rows),
        ("left", "right", "right"),
    )


def _proxy_blocks(evidence: Evidence, proxies: ProxyStrengths) -> list[Block]:
    blocks: list[Block] = [
        Heading("Which inputs stand in for a protected attribute"),
        Paragraph(
            "How well each input, and all of them together, tell one group from the others on "
            "rows that were held out: an area under the ROC curve of 0.5 is chance, 1 gives the "
            "group away. An input that does can act as a proxy even where the attribute itself "
            "is not an input."
        ),
        noted(evidence, proxies.notes[1:]),
    ]
    known = dict([*evidence.data.features, *evidence.data.sensitive])
    for attribute in proxies.attributes:
        rows = [
            row for row in proxies.rows if (row.attribute, row.group) == (attribute, ALL_GROUPS)
        ]
        words = label(evidence, attribute)
        blocks.append(
            Figure(
                proxies.chart(attribute, labels=known),
                Table(
                    f"Strength of the inputs as stand-ins for {words.lower()}, mean over its "
                    f"groups; the {min(PROXIES_SHOWN, len(rows) - 1)} strongest of "
                    f"{len(rows) - 1} inputs",
                    ("Input", "n", "Area", interval_name(evidence), "Note"),
                    tuple(
                        (
                            known.get(row.feature, row.feature),
                            f"{row.n:,}",
                            number(row.auc),
                            interval_numbers(row.low, row.high),
                            status_words(row.status),
                        )
                        for row in rows[: PROXIES_SHOWN + 1]
                    ),
                    ("left", "right", "right", "right", "left"),
                ),
            )
        )
    return blocks


def _flip_blocks(evidence: Evidence) -> list[Block]:
    made = evidence.analyses
    if not (made.flips or made.flip_notes):
        return []
    blocks: list[Block] = [
        Heading("If only a protected attribute were another"),
        noted(evidence, (*(flip.words for flip in made.flips), *made.flip_notes)),
    ]
    for test in made.flips:
        if test.flips:
            blocks.append(
                Table(
                    f"Decisions that change if only {label(evidence, test.attribute).lower()} were "
                    "another (interval: Wilson; of the score: t)",
                    (
                        "Group",
                        "Changed to",
                        "n",
                        "Decisions changed",
                        interval_name(evidence),
                        "Mean change of the score",
                        interval_name(evidence),
                    ),
                    tuple(
                        (
                            flip.group,
                            flip.to,
                            f"{flip.n:,}",
                            percent(flip.value),
                            interval(flip.low, flip.high),
                            number(flip.mean_score_change),
                            interval_numbers(flip.score_low, flip.score_high),
                        )
                        for flip in test.flips
                    ),
                    ("left", "left", "right", "right", "right", "right", "right"),
                )
            )
    return blocks


def _alike_blocks(evidence: Evidence) -> list[Block]:
    made = evidence.analyses
    if made.conditional is None and not made.stratified:
        return []
    within = made.conditional.strata if made.conditional else made.stratified[0].within
    words = within[:1].lower() + within[1:]
    blocks: list[Block] = [
        Heading(f"Like for like: within equal values of {words}"),
        Paragraph(
            "A gap over all rows can shrink, grow or turn round when only people who are alike in "
            f"{words} are compared. Which of the two pictures matters depends on whether that may "
            "rightly play a part in the decision."
        ),
    ]
    turned = [s.words(evidence.plan.confidence) for s in made.stratified if s.reversed]
    blocks += [Note(sentence(text), "warning") for text in turned]
    if made.stratified:
        first = made.stratified[0]
        blocks.append(
            Table(
                f"Selection rates compared within equal values of {words}: odds ratio to the "
                f"reference over all rows, and common to the strata ({first.method}; test: "
                f"{first.test})",
                (
                    "Attribute",
                    "Group",
                    "Reference",
                    "Over all",
                    "Within",
                    interval_name(evidence),
                    "Strata",
                    "p",
                    "p adj.",
                    "Note",
                ),
                tuple(
                    (
                        label(evidence, s.attribute),
                        s.group,
                        s.reference,
                        number(s.pooled),
                        number(s.odds_ratio),
                        interval_numbers(s.low, s.high),
                        f"{s.strata} of {s.strata + s.left_out}",
                        p_words(s.p_value),
                        p_words(s.p_adjusted),
                        "small group" if s.small else "",
                    )
                    for s in made.stratified
                ),
                (
                    "left",
                    "left",
                    "left",
                    "right",
                    "right",
                    "right",
                    "right",
                    "right",
                    "right",
                    "left",
                ),
            )
        )
    if made.conditional is not None:
        shown = [r for r in made.conditional.rows if r.stratum in ("all", "conditional")]
        pairs: dict[tuple[str, str], dict[str, StratumDisparity]] = {}
        for row in shown:
            pairs.setdefault((row.attribute, row.group), {})[row.stratum] = row
        blocks.append(
            Table(
                "Demographic disparity: share of the group among the unfavorable decisions minus "
                f"its share among the favorable ones, over all rows and within equal values of "
                f"{words} (interval: {made.conditional.method})",
                (
                    "Attribute",
                    "Group",
                    "n",
                    "Over all",
                    interval_name(evidence),
                    "Within",
                    interval_name(evidence),
                ),
                tuple(
                    (
                        label(evidence, attribute),
                        group,
                        f"{both['all'].members:,}",
                        number(both["all"].value),
                        interval_numbers(both["all"].low, both["all"].high),
                        number(both["conditional"].value),
                        interval_numbers(both["conditional"].low, both["conditional"].high),
                    )
                    for (attribute, group), both in pairs.items()
                    if len(both) == 2
                ),
                ("left", "left", "right", "right", "right", "right", "right"),
            )
        )
        blocks.append(noted(evidence, made.conditional.notes))
    return blocks
