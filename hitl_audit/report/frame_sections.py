"""The sections that frame the numbers: opinion, scope, plan, data, limits, verification."""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.findings import Finding, Status
from hitl_audit.report.document import (
    Block,
    Facts,
    Heading,
    Note,
    Paragraph,
    Points,
    Section,
    Table,
)
from hitl_audit.report.measure_sections import history_blocks
from hitl_audit.report.page_one import changed_plan, not_covered
from hitl_audit.report.wording import (
    criterion_words,
    in_a_row,
    interval,
    interval_name,
    label,
    metric_meaning,
    p_words,
    rate_words,
    sentence,
    threshold_words,
    value_words,
    when,
)

__all__ = [
    "data_section",
    "limits_section",
    "opinion_section",
    "plan_section",
    "scope_section",
    "verify_section",
]


def opinion_section(evidence: Evidence) -> Section:
    """Each promise, with every group it covers."""
    blocks: list[Block] = [
        Paragraph(
            "Each line was promised in the plan before any result existed. A promise is met only "
            f"if the whole {interval_name(evidence)} keeps it, and not met only if the whole "
            "interval misses it. Otherwise the data are insufficient. A group of fewer than "
            f"{evidence.plan.min_group} cases decides nothing, even if its interval is clear. "
            "“n to decide” is how many cases of the group would suffice if the observed rates stay "
            "as they are and all groups grow alike."
        )
    ]
    for finding in evidence.findings:
        points = finding.criterion.compare == "difference"
        blocks.append(
            Heading(f"{finding.id}. {criterion_words(evidence, finding)}: {finding.status}")
        )
        reason = finding.criterion.reason
        blocks.append(
            Paragraph(
                f"{metric_meaning(evidence, finding)} Promised: {threshold_words(finding)}."
                + (f" Why: {reason}." if reason else "")
            )
        )
        if finding.criterion.decide == "point":
            blocks.append(
                Note("The plan lets the point estimate alone decide this promise.", "warning")
            )
        blocks.append(_verdict_table(evidence, finding, points=points))
        undecided = [v for v in finding.verdicts if v.status is not Status.MET]
        if undecided:
            blocks.append(Points(tuple(sentence(v.words) for v in undecided)))
    if not evidence.findings:
        blocks.append(Note("The plan names no criteria, so nothing was decided."))
    blocks.append(
        Paragraph(
            "p values test equal rates (Fisher's exact test, two-sided); the adjusted p value "
            "accounts for all comparisons made (Benjamini-Hochberg). They do not decide a promise."
        )
    )
    return Section("opinion", "Opinion, criterion by criterion", tuple(blocks))


def _verdict_table(evidence: Evidence, finding: Finding, *, points: bool) -> Table:
    by = bool(finding.criterion.by)
    rows = []
    for verdict in finding.verdicts:
        c = verdict.comparison
        rows.append(
            (
                c.group if by else "all rows",
                f"{c.count.total:,}",
                rate_words(c.count),
                value_words(c),
                interval(c.low, c.high, points=points),
                "–" if verdict.n_needed is None else f"{verdict.n_needed:,}",
                p_words(c.p_value),
                p_words(c.p_adjusted),
                verdict.status.value,
            )
        )
    reference = next(
        (v.comparison.reference for v in finding.verdicts if v.comparison.reference), ""
    )
    method = finding.verdicts[0].comparison.method if finding.verdicts else ""
    what = {"ratio": f"ratio to {reference}", "difference": f"difference to {reference}"}
    return Table(
        caption=f"{criterion_words(evidence, finding)}"
        + (f", compared with {reference}" if reference else "")
        + (f" (interval: {method})" if method else ""),
        columns=(
            "Group",
            "n",
            "Rate",
            what.get(finding.criterion.compare, "value").split(" to ")[0].capitalize(),
            interval_name(evidence),
            "n to decide",
            "p",
            "p adj.",
            "Decision",
        ),
        rows=tuple(rows),
        align=("left", "right", "right", "right", "right", "right", "right", "right", "left"),
        tone_column=8,
        empty="No group of this promise, or not its reference, is published; see section “Data”."
        if evidence.publication and evidence.publication.left_out
        else "There was no group to compare.",
    )


def scope_section(evidence: Evidence) -> Section:
    """What was audited, for which use, and what was not."""
    audit, model = evidence.audit, evidence.model
    return Section(
        "scope",
        "Scope and intended use",
        (
            Facts(
                (
                    ("Purpose of the audit", audit.purpose or "not stated in the plan"),
                    ("Intended use", audit.intended_use or "not stated in the plan"),
                    ("Owner", audit.owner or "not stated in the plan"),
                    (
                        "Decision",
                        f"{audit.favorable_label} (favorable) or "
                        f"{audit.unfavorable_label} (unfavorable)",
                    ),
                    ("Rule", f"favorable if the model's score is at least {model.threshold:g}"),
                    ("Model", model.description or model.kind),
                    ("Model kind", model.kind),
                    ("Model file", model.source),
                    (f"Model digest ({model.digest_of})", model.digest),
                    ("Digest of its scores", model.scores_digest),
                ),
                code=frozenset(
                    {f"Model digest ({model.digest_of})", "Digest of its scores", "Model file"}
                ),
            ),
            Heading("Not covered"),
            Points(
                (
                    *not_covered(evidence),
                    "What-if cases and drift over time: this version of the toolkit does not "
                    "compute them.",
                )
            ),
        ),
    )


def plan_section(evidence: Evidence) -> Section:
    """What was registered, when, and whether it was changed."""
    plan = evidence.plan
    blocks: list[Block] = [
        Paragraph(
            f"The plan was registered on {when(plan.registered_at, exact=True)}. The computation "
            f"began on {when(evidence.started, exact=True)} and ended on "
            f"{when(evidence.created, exact=True)}, by the clock of the computer that ran it. The "
            "plan is attached to this document as audit.toml."
        )
    ]
    if plan.changed_after_results:
        blocks.append(changed_plan(evidence))
    blocks += [
        Table(
            "Registrations of the plan",
            ("Registered", "Digest", "After results?", "Reason"),
            tuple(
                (when(at), digest, "yes" if after else "no", reason or "–")
                for digest, at, after, reason in plan.registrations
            ),
            ("left", "left", "left", "left"),
        ),
        Facts(
            (
                ("Confidence of every interval", f"{plan.confidence:.0%}"),
                ("Smallest group that may decide", f"{plan.min_group} cases"),
                (
                    "Cases for people to judge",
                    f"{plan.review_cases}, design: {plan.review_design}, "
                    f"{plan.reviewers_per_case} reviewer(s) each, {plan.protocol}",
                ),
                ("Seed of every random step", str(plan.seed)),
                (
                    "Who signs, in order",
                    "; ".join(f"{role} ({signs})" for role, signs, _ in plan.roles),
                ),
            )
        ),
    ]
    return Section("plan", "The plan, registered beforehand", tuple(blocks))


def data_section(evidence: Evidence) -> Section:
    """The rows, the columns, and how people decided before."""
    data, audit = evidence.data, evidence.audit
    blocks: list[Block] = [
        Paragraph(data.description or "The plan does not describe the data."),
        *_sampled(evidence),
        Facts(
            (
                ("Rows audited", f"{data.rows:,}"),
                (
                    "Recorded outcome",
                    f"{data.favorable_rows:,} favorable ({audit.favorable_label}), "
                    f"{data.rows - data.favorable_rows:,} unfavorable ({audit.unfavorable_label})",
                ),
                ("Model inputs", f"{len(data.features)}"),
                (
                    "Protected attributes audited",
                    ", ".join(words for _, words in data.sensitive) or "none",
                ),
                (
                    "Protected attributes among the inputs",
                    ", ".join(data.protected_inputs) or "none (audited all the same)",
                ),
                ("Source", data.source),
                ("Data digest", data.digest),
            ),
            code=frozenset({"Data digest", "Source"}),
        ),
    ]
    if data.notes:
        blocks += [Heading("What a reader should know about the data"), Points(data.notes)]
    blocks += _publication_blocks(evidence)
    if evidence.history is not None:
        blocks += history_blocks(evidence, evidence.history.decisions, evidence.history.rows)
    blocks.append(
        Table(
            "What the model reads",
            ("Column", "Meaning"),
            data.features,
            ("left", "left"),
        )
    )
    if data.excluded:
        blocks.append(
            Table(
                "Columns that were left out, and why",
                ("Column", "Reason"),
                data.excluded,
                ("left", "left"),
            )
        )
    return Section("data", "Data", tuple(blocks))


def _sampled(evidence: Evidence) -> list[Block]:
    """What was measured on all rows, and what on some of them, where they were too many."""
    data = evidence.data
    if data.sampled_rows is None:
        return []
    all_explained = any(e.rows == data.rows for e in evidence.explanations)
    more = ", and so is how much each feature moves the score" if all_explained else ""
    return [
        Note(
            f"There are more rows than were held at once. All {data.rows:,} of them were counted: "
            f"promises, group metrics and performance are about all rows{more}. Everything else "
            "(explanations, what carries the gaps, errors, thresholds, alternatives, tables by "
            "regulation, checks, and the cases that people judge) is about a uniform random sample "
            f"of {data.sampled_rows:,} rows, and its intervals say how far that reaches."
        )
    ]


def _publication_blocks(evidence: Evidence) -> list[Block]:
    """What of these people is published, and which groups are not."""
    terms = evidence.publication
    if terms is None:
        return []
    allowed = [
        words
        for words, is_allowed in (
            ("rows of people", terms.rows),
            ("what reviewers wrote", terms.free_text),
            ("the names of reviewers", terms.reviewer_names),
        )
        if is_allowed
    ]
    least = terms.minimum_group
    blocks: list[Block] = [
        Heading("What is published about people"),
        Paragraph(
            (
                f"The plan allows this document and its attachments to hold {in_a_row(allowed)}. "
                if allowed
                else "No row, no name and no free text of a person is in this document or in its "
                "attachments; cases have numbers that mean nothing elsewhere. "
            )
            + (
                f"Groups of fewer than {least} people are left out of it, and with them any group "
                "that a total would give away. Every promise was decided before, on all groups."
                if least > 1
                else "The plan lets groups of any size be published."
            )
        ),
    ]
    if terms.left_out:
        blocks.append(
            Table(
                "Groups that are not published",
                ("Attribute", "Group", "Why"),
                tuple((label(evidence, a), group, why) for a, group, why in terms.left_out),
                ("left", "left", "left"),
            )
        )
    return blocks


def limits_section(evidence: Evidence) -> Section:
    """What nobody should read into the numbers."""
    return Section(
        "limits",
        "Limitations",
        (
            Points(
                (
                    "The recorded outcome is what was decided or observed then; where it is "
                    "unfair, a model that agrees with it is unfair too.",
                    "Intervals cover the chance of drawing these rows rather than others like "
                    "them. They do not cover wrong data, or people unlike those in the data.",
                    "An attribution says what the model used, not what caused the outcome.",
                    "Groups with fewer than "
                    f"{evidence.plan.min_group} cases are listed and decide nothing; a promise can "
                    "be broken there without being seen here.",
                    "This document says which promises were met. It does not say that the law is "
                    "kept: that is for people to judge.",
                )
            ),
        ),
    )


def verify_section(evidence: Evidence) -> Section:
    """Digests, sources of the numbers, software, and how to check."""
    ledger = evidence.ledger
    facts = [
        ("Plan", evidence.plan.digest),
        ("Data", evidence.data.digest),
        ("Model", evidence.model.digest),
        ("Scores", evidence.model.scores_digest),
        ("Environment", evidence.environment_digest),
        ("Evidence", evidence.digest),
    ]
    if ledger is not None:
        facts.append((f"Judgments ({ledger.size} records, Merkle root)", ledger.root))
    return Section(
        "verify",
        "Evidence and how to verify",
        (
            Paragraph(
                "Every number in this document is in evidence.json, which is attached to it "
                "together with the plan, its registration and a manifest of digests. Where a "
                "number comes from is told by “hitl-audit explain-number report.pdf T2.1.4”: table "
                "2, row 1, column 4 (F for a figure, O for a line of page one, or the number "
                "itself). To check the "
                "document, its signatures and its attachments, run “hitl-audit verify report.pdf”, "
                "or open it in any PDF reader that shows signatures. Changing a single byte after "
                "signing is seen."
            ),
            Facts(tuple(facts), code=frozenset(name for name, _ in facts)),
            Table(
                "Where the numbers come from",
                ("Part", "Computed by", "Seed", "On data"),
                tuple(
                    (
                        p.part,
                        p.function,
                        "–" if p.random_state is None else str(p.random_state),
                        "the audited rows"
                        if p.data_digest == evidence.data.digest
                        else p.data_digest[:27] + "…",
                    )
                    for p in evidence.provenance
                ),
                ("left", "left", "right", "left"),
            ),
            Table(
                "Software",
                ("Name", "Version"),
                tuple(evidence.environment.items()),
                ("left", "left"),
            ),
        ),
    )
