"""Signing a report as a whole: statements, PDF, and manifest, with one key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hitl_audit.signing.assurance import OFFLINE, Assurance
from hitl_audit.signing.attestations import attest
from hitl_audit.signing.contents import attachments
from hitl_audit.signing.detached import cms_signature, manifest_signature_names, ssh_signature
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.pdf import sign_pdf, signature_fields
from hitl_audit.signing.rules import read_rules

__all__ = ["SignedDocumentFiles", "sign_document"]

_ENVELOPE_WORDS = {
    "evidence.dsse.json": "Which promises were met, signed by the preparer (DSSE, in-toto)",
    "judgments.dsse.json": "What people judged, signed by the preparer (DSSE, in-toto)",
}


@dataclass(frozen=True)
class SignedDocumentFiles:
    """A signed PDF, and what belongs beside it: file name → bytes."""

    pdf: bytes
    files: Mapping[str, bytes]


def sign_document(
    pdf: bytes,
    key: SigningKey,
    *,
    field: str,
    reason: str,
    signed_at: datetime,
    assurance: Assurance = OFFLINE,
) -> SignedDocumentFiles:
    """Sign a report with its evidence, plan and manifest attached.

    The first signer also signs two statements about the evidence (in-toto in
    DSSE envelopes). They are attached in the same revision, so every signature
    covers them. Every signer signs the manifest, too, as CMS and for SSH.

    Args:
        pdf: the report.
        key: the signer's.
        field: the role's signature field.
        reason: what the signer states.
        signed_at: claimed time.
        assurance: with a timestamp or revocation data; by default neither.

    Raises:
        SigningError: see :func:`~hitl_audit.signing.pdf.sign_pdf`.
        ValueError: the report's attachments cannot be read.
    """
    states = signature_fields(pdf)  # refuses what is not a PDF, in words
    inside = attachments(pdf)
    evidence, manifest = inside["evidence.json"], inside["manifest.json"]
    first = not any(state.signed for state in states)
    envelopes = attest(evidence, manifest, key) if first else {}
    signed = sign_pdf(
        pdf,
        key,
        field=field,
        reason=reason,
        signed_at=signed_at,
        rules=read_rules(inside["audit.toml"], evidence),
        attach={name: (data, _ENVELOPE_WORDS[name]) for name, data in envelopes.items()},
        assurance=assurance,
    )
    p7s, sig = manifest_signature_names(field)
    return SignedDocumentFiles(
        signed,
        {
            **envelopes,
            p7s: cms_signature(manifest, key, signed_at=signed_at),
            sig: ssh_signature(manifest, key),
        },
    )
