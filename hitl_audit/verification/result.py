"""The answer to "what does this document prove?", as values and in words."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Literal

from hitl_audit.canonical import plain

__all__ = [
    "ANSWERS",
    "Check",
    "Outcome",
    "Signature",
    "SignerStatus",
    "VerificationResult",
    "clean",
]

Outcome = Literal["pass", "fail", "warn", "not done"]
SignerStatus = Literal["trusted", "unknown", "revoked", "expired", "not checked", "does not hold"]

ANSWERS = {
    "intact": "Intact?",
    "signers": "Who?",
    "time": "When?",
    "changes": "Changed since?",
}
_WIDTH = 92
_STATUS_WORDS = {
    "unknown": "unknown signer",
    "revoked": "REVOKED",
    "expired": "certificate expired since",
    "not checked": "trusted, but revocation is not known",
}


@dataclass(frozen=True)
class Check:
    """One question that was put to the document, and its answer in words."""

    number: int
    id: str
    title: str
    outcome: Outcome
    words: str


@dataclass(frozen=True)
class Signature:
    """One signature as a reader needs it.

    Attributes:
        role, field: where it stands.
        name, organization, email: what the certificate says of the signer.
        fingerprint: SHA-256 of the certificate, ``AB:CD:…``.
        statement: what the signer states.
        signed_at: the time the signer's computer claims, UTC text, or ``""``.
        proven_at: the time that an authority you trust confirms, or ``""``.
        covers_whole_document: nothing follows it in the file.
        holds: what was signed is as it was signed.
        status: what is known of the signer.
    """

    role: str
    field: str
    name: str
    organization: str
    email: str
    fingerprint: str
    statement: str
    signed_at: str
    proven_at: str
    covers_whole_document: bool
    holds: bool
    status: SignerStatus

    @property
    def trusted(self) -> bool:
        """It holds, and the reader named this certificate, or an authority of it."""
        return self.status == "trusted"


@dataclass(frozen=True)
class VerificationResult:
    """The checks of one document, and what follows from them.

    Attributes:
        path: what was verified.
        checks: in order; the ids are stable.
        signatures: in the order they were made.
        open_roles: the roles that have not signed.
        document: what was audited and the document's id, as the evidence inside
            says, with SIMULATED JUDGMENTS where that holds; ``""`` if it cannot be read.
    """

    path: str
    checks: tuple[Check, ...]
    signatures: tuple[Signature, ...]
    open_roles: tuple[str, ...]
    document: str = ""

    @property
    def valid(self) -> bool:
        """No check failed."""
        return all(check.outcome != "fail" for check in self.checks)

    @property
    def trusted(self) -> bool:
        """Valid, and every signer is one that the reader trusts."""
        return self.valid and bool(self.signatures) and all(s.trusted for s in self.signatures)

    @property
    def exit_code(self) -> Literal[0, 1, 3]:
        """0 valid, trusted and complete; 1 invalid; 3 valid, but a signer is unknown or missing."""
        if not self.valid:
            return 1
        return 0 if self.trusted and not self.open_roles else 3

    def check(self, name: str) -> Check:
        """Return the check with this id."""
        return next(check for check in self.checks if check.id == name)

    @property
    def headline(self) -> str:
        """The result in one line."""
        if not self.valid:
            failed = (f"{c.number} ({c.title})" for c in self.checks if c.outcome == "fail")
            inside = self.check("intact").outcome == self.check("changes").outcome == "pass"
            rest = "; the signed PDF itself is intact" if inside else ""
            return f"INVALID: failed check {', '.join(failed)}{rest}"
        if not self.signatures:
            return "DRAFT: its parts agree with each other, but nobody has signed it"
        if not self.trusted:
            return f"VALID, but {self._doubts()}"
        if self.open_roles:
            return f"INCOMPLETE: valid, but not signed yet by {', '.join(self.open_roles)}"
        return "VALID, signed by people you trust"

    def _doubts(self) -> str:
        words = {
            "unknown": "a signer is unknown to you",
            "expired": "a signer's certificate has expired",
            "not checked": "whether a signer was revoked is not known",
        }
        found = [
            text
            for status, text in words.items()
            if any(s.status == status for s in self.signatures)
        ]
        if self.open_roles:
            found.append(f"not signed yet by {', '.join(self.open_roles)}")
        return "; ".join(found)

    def words(self) -> str:
        """Return the whole result as text for a terminal or a mail."""
        lines = [f"{self.path}: {self.headline}", ""]
        if self.document:
            lines += _paragraph(f"  {'What?':<16}", self.document)
        for name, question in ANSWERS.items():
            lines += _paragraph(f"  {question:<16}", self.check(name).words)
        if self.signatures or self.open_roles:
            lines += ["", "Signatures"]
        for signature in self.signatures:
            lines += _signature_lines(signature)
        lines += [f"  {role}: not signed yet" for role in self.open_roles]
        lines += ["", "Checks"]
        for check in self.checks:
            mark = check.outcome.upper() if check.outcome == "fail" else check.outcome
            # The four answers stand above; here they are only counted.
            words = check.title if check.id in ANSWERS else f"{check.title}: {check.words}"
            lines += _paragraph(f"  {check.number:>2} {mark:<9}", words)
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        signatures: list[dict[str, Any]] = plain(self.signatures)
        for written, signature in zip(signatures, self.signatures, strict=True):
            written["trusted"] = signature.trusted
        return {
            "format": "hitl-audit/verification/v1",
            "path": self.path,
            "document": self.document,
            "valid": self.valid,
            "trusted": self.trusted,
            "exit_code": self.exit_code,
            "headline": self.headline,
            "answers": {name: self.check(name).words for name in ANSWERS},
            "signatures": signatures,
            "open_roles": list(self.open_roles),
            "checks": plain(self.checks),
        }


def clean(text: str) -> str:
    """Keep control characters of a hostile file away from the reader's terminal."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:2000])
    return shown if len(text) <= 2000 else shown + "…"


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _signature_lines(signature: Signature) -> list[str]:
    who = ", ".join(filter(None, (signature.name, signature.organization, signature.email)))
    when = (
        f"{signature.proven_at} (proven by a timestamp)"
        if signature.proven_at
        else f"{signature.signed_at or 'no time'} (claimed)"
    )
    return [
        *_paragraph(
            f"  {signature.role}: ",
            f"{who} ({_STATUS_WORDS.get(signature.status, signature.status)})",
        ),
        f"    {when}",
        f"    SHA-256 {signature.fingerprint}",
    ]
