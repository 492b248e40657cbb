"""From evidence to the document: what is said, in which order.

Everything in the document comes from :class:`~hitl_audit.evidence.Evidence`;
nothing is computed here but texts.
"""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.report.document import Block, Heading, Report, Section, texts_of
from hitl_audit.report.findings_section import findings_section
from hitl_audit.report.frame_sections import (
    data_section,
    limits_section,
    opinion_section,
    plan_section,
    scope_section,
    verify_section,
)
from hitl_audit.report.gap_sections import gaps_section
from hitl_audit.report.glossary import glossary_section
from hitl_audit.report.measure_sections import fairness_section, performance_section
from hitl_audit.report.numbering import numbered
from hitl_audit.report.oversight_sections import (
    overrides_section,
    oversight_section,
    what_if_section,
)
from hitl_audit.report.page_one import page_one
from hitl_audit.report.profile_section import profiles_section
from hitl_audit.report.reason_sections import explanations_section, trust_section
from hitl_audit.report.search_sections import (
    alternatives_section,
    errors_section,
    thresholds_section,
)
from hitl_audit.report.signature_places import signature_fields, signatures_section
from hitl_audit.report.since_section import since_section
from hitl_audit.report.tracing import Marks, traced
from hitl_audit.report.wording import model_name, when

__all__ = ["SIMULATED", "compose", "document_id"]

SIMULATED = "SIMULATED JUDGMENTS"


def document_id(evidence: Evidence) -> str:
    """Short id of the document, from the digest of its evidence: ``HA-1A2B3C4D``."""
    return f"HA-{evidence.digest.removeprefix('sha256:')[:8].upper()}"


def compose(evidence: Evidence, *, generated: str) -> Report:
    """Make the document.

    Args:
        evidence: every number it may use.
        generated: when the document is made, UTC text.
    """
    marks, identity = Marks(), document_id(evidence)
    return numbered(_composed(traced(evidence, marks), identity, generated), marks)


def _composed(evidence: Evidence, identity: str, generated: str) -> Report:
    since = since_section(evidence)
    sections: tuple[Section, ...] = (
        opinion_section(evidence),
        scope_section(evidence),
        plan_section(evidence),
        data_section(evidence),
        performance_section(evidence),
        fairness_section(evidence),
        gaps_section(evidence),
        errors_section(evidence),
        explanations_section(evidence),
        trust_section(evidence),
        oversight_section(evidence),
        overrides_section(evidence),
        *((what_if_section(evidence),) if _tried_or_checked(evidence) else ()),
        thresholds_section(evidence),
        alternatives_section(evidence),
        *((since,) if since else ()),
        *((profiles_section(evidence),) if evidence.analyses.profiles else ()),
        findings_section(evidence),
        limits_section(evidence),
    )
    fields = signature_fields(evidence)
    signed: tuple[Block, ...] = (Heading("Who signed"), *fields) if fields else ()
    summary = (*page_one(evidence), *signed)
    sections = (
        *sections,
        glossary_section(evidence, texts_of((*summary, *(b for s in sections for b in s.blocks)))),
        verify_section(evidence),
        signatures_section(evidence),
    )
    return Report(
        title=evidence.audit.title,
        subtitle=f"Audit of {model_name(evidence)}",
        document_id=identity,
        generated=when(generated),
        summary=summary,
        sections=sections,
        banner=SIMULATED if evidence.oversight.any_simulated else "",
        keywords=("audit", "fairness", "explainability", "human oversight"),
    )


def _tried_or_checked(evidence: Evidence) -> bool:
    collected = evidence.collected
    return bool(
        evidence.review.what_if.edits or evidence.checks or collected.checks or collected.left_out
    )
