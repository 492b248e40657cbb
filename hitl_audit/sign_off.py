"""Signing in an audit folder: what the signer sees first, and the signature."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, SigningError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.findings import Status
from hitl_audit.manifest import Manifest
from hitl_audit.report.rendered import role_of, sign_report, write_signed
from hitl_audit.report.signature_places import statement
from hitl_audit.signing.assurance import OFFLINE, Assurance
from hitl_audit.signing.contents import attachments
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.pdf import FieldState, signature_fields
from hitl_audit.signing.people import person_of
from hitl_audit.signing.rules import read_rules
from hitl_audit.signing.signatures import read_signatures
from hitl_audit.verification import verify

__all__ = ["SigningPreview", "preview_signature", "sign_folder"]

# These must hold before anybody adds a name; the others are about whom the reader trusts.
_CONDITIONS = (
    "readable",
    "signed",
    "intact",
    "changes",
    "roles",
    "lock",
    "attachments",
    "one audit",
    "statements",
    "plan",
    "companions",
    "manifest",
    "ledger",
)


@dataclass(frozen=True)
class SigningPreview:
    """What a signer sees before signing.

    Attributes:
        document: title and id of the document.
        role: who signs, in the plan's words.
        statement: what the signer states by signing.
        signer: name and organization in the certificate.
        fingerprint: SHA-256 of the certificate, as people compare it.
        criteria: how many promises were met, not met, undecided.
        judgments: what people judged, in one sentence.
        earlier: who signed before, and when.
        changes: what changed since the earlier signatures in the document, and
            which judgments are newer than it; empty before the first signature
            if there are none.
        locks: this signature is the last and locks the document.
    """

    document: str
    role: str
    statement: str
    signer: str
    fingerprint: str
    criteria: str
    judgments: str
    earlier: tuple[str, ...]
    changes: tuple[str, ...]
    locks: bool

    def words(self) -> str:
        """The preview as text for a terminal."""
        rows = [
            ("Document", self.document),
            ("Criteria", self.criteria),
            ("Judgments", self.judgments),
            ("Signed before", "; ".join(self.earlier) or "nobody"),
            ("Changed since", " ".join(self.changes) or "nothing, since the document was made"),
            ("You sign as", self.role),
            ("With the key", self.signer),
            ("You state", f"“{self.statement}”"),
        ]
        if self.locks:
            rows.append(("This locks", "nobody can sign or change the document afterwards"))
        lines: list[str] = []
        for head, text in rows:
            lines += textwrap.wrap(
                text,
                92,
                initial_indent=f"{head + ':':<15}",
                subsequent_indent=" " * 15,
                break_on_hyphens=False,
            )
        lines.insert(-1 if not self.locks else -2, f"{'':<15}{self.fingerprint}")
        return "\n".join(lines)


def preview_signature(
    folder: str | Path, key: SigningKey, *, role: str, now: datetime
) -> SigningPreview:
    """Say what signing would state, and refuse what could not be signed.

    Args:
        folder: the audit folder.
        key: the signer's key.
        role: as written in the plan.
        now: when.

    Raises:
        InputError: there is no report yet.
        SigningError: this person may not sign for the role now, the report does
            not hold, or the files beside it are not those it was made of.
    """
    pdf = _report(Dossier(folder))
    checked = verify(folder, now=lambda: now)
    for name in _CONDITIONS:
        check = checked.check(name)
        if check.outcome == "fail":
            raise SigningError(f"{check.title}: {check.words} Nothing was signed.")
    inside = attachments(pdf)
    plan = Dossier(folder).plan()
    found = role_of(plan.roles, role)
    signed = read_signatures(pdf, moment=now, compare=False)  # compared above
    rules = read_rules(inside["audit.toml"], inside["evidence.json"])
    earlier = [(s.field, s.person) for s in signed.signatures]
    refused = rules.refusal(found.field, person_of(key.certificate), earlier)
    if refused:
        raise SigningError(f"{refused}; nothing was signed")
    evidence = read_evidence(inside["evidence.json"])
    return SigningPreview(
        document=checked.document,
        role=found.role,
        statement=statement(found.signs, evidence),
        signer=", ".join(filter(None, (key.name, key.organization))),
        fingerprint=key.fingerprint_words,
        criteria=_criteria_words(evidence),
        judgments=evidence.oversight.words,
        earlier=tuple(f"{s.name} as {s.role} ({s.signed_at})" for s in checked.signatures),
        changes=(
            *((checked.check("changes").words,) if signed.signatures else ()),
            *_new_judgments(inside["manifest.json"], Dossier(folder)),
        ),
        locks=found == plan.roles[-1],
    )


def sign_folder(
    folder: str | Path,
    key: SigningKey,
    *,
    role: str,
    now: datetime,
    assurance: Assurance = OFFLINE,
) -> tuple[FieldState, ...]:
    """Sign ``report.pdf`` of an audit folder for a role.

    Returns:
        The places for signatures, in order, and which are signed now.

    Raises:
        InputError: there is no report yet.
        SigningError: the role may not sign, or this person may not sign for
            it; the files are unchanged.
    """
    dossier = Dossier(folder)
    preview_signature(folder, key, role=role, now=now)
    pdf = _report(dossier)
    signed = sign_report(pdf, key, role=role, signed_at=now, assurance=assurance)
    write_signed(dossier.folder, signed)
    return signature_fields(signed.pdf)


def _report(dossier: Dossier) -> bytes:
    dossier.require()
    if not dossier.report_path.is_file():
        raise InputError(
            f'{dossier.folder} has no report.pdf yet; make it with "hitl-audit report '
            f'{dossier.folder}"'
        )
    return dossier.report_path.read_bytes()


def _criteria_words(evidence: Evidence) -> str:
    if not evidence.findings:
        return "the plan promises nothing"
    counted = [
        f"{sum(f.status == status for f in evidence.findings)} {status}"
        for status in Status
        if any(f.status == status for f in evidence.findings)
    ]
    return ", ".join(counted)


def _new_judgments(manifest: bytes, dossier: Dossier) -> list[str]:
    if not dossier.ledger_path.is_file():
        return []
    from hitl_audit.review.ledger import Ledger

    signed = Manifest.from_bytes(manifest).ledger
    known = signed.size if signed is not None else 0
    new = Ledger(dossier.ledger_path, read_only=True).checkpoint().size - known
    if new <= 0:
        return []
    return [
        f"{new} judgment{'s were' if new > 1 else ' was'} recorded since and "
        f"{'are' if new > 1 else 'is'} not in this document."
    ]
