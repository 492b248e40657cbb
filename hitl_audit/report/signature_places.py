"""Who signs, what each of them states by it, and where."""

from __future__ import annotations

from hitl_audit.evidence import Evidence
from hitl_audit.plan_sections import role_field
from hitl_audit.report.document import Paragraph, Section, SignatureField, Table

__all__ = ["signature_fields", "signatures_section", "statement"]

STATEMENTS = {
    "prepared": "I ran this audit as described and prepared this document.",
    "attested": "I attest that the judgments recorded under my name are my own.",
    "approved": "I have read this document and approve it for the use stated in section 2.",
}


def statement(signs: str, evidence: Evidence) -> str:
    """What a role states by signing; nobody attests judgments that were not made."""
    if signs == "attested" and evidence.oversight.any_simulated:
        return "I have read this document. Its judgments are simulated; none of them is mine."
    if signs == "attested" and not evidence.oversight.judged:
        return "I have read this document. No judgments were recorded."
    return STATEMENTS[signs]


def signature_fields(evidence: Evidence) -> tuple[SignatureField, ...]:
    """A place for every role's signature, in the order of signing."""
    roles = evidence.plan.roles
    return tuple(
        SignatureField(
            name=role_field(role),
            role=_who(role, name),
            statement=statement(signs, evidence),
            locks=place == len(roles) - 1,
        )
        for place, (role, signs, name) in enumerate(roles)
    )


def signatures_section(evidence: Evidence) -> Section:
    """What each role states by signing, and what a signature proves."""
    last = len(evidence.plan.roles) - 1
    return Section(
        "signatures",
        "Signatures",
        (
            Paragraph(
                "Each role signs for itself, in this order. A signature proves that nothing "
                "changed since, and which key signed. Whose key it is, is shown by comparing its "
                "fingerprint with one received another way. Signatures are in the PDF only; "
                "“hitl-audit verify” and any PDF reader that shows signatures list them."
            ),
            Table(
                "What is stated by signing",
                ("Role", "States"),
                tuple(
                    (
                        _who(role, name),
                        statement(signs, evidence)
                        + (" Nothing may change after this signature." if i == last else ""),
                    )
                    for i, (role, signs, name) in enumerate(evidence.plan.roles)
                ),
                ("left", "left"),
                empty="The plan names no roles, so nobody signs.",
            ),
        ),
    )


def _who(role: str, name: str) -> str:
    who = f"{role} ({name})" if name else role
    return who[:1].upper() + who[1:]
