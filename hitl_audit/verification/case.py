"""What is known of one document while it is checked; everything is read once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hitl_audit.manifest import Manifest
from hitl_audit.signing.attestations import ENVELOPES
from hitl_audit.signing.contents import attachments, check_structure
from hitl_audit.signing.envelope import Envelope, read_envelope
from hitl_audit.signing.keys import spaced_fingerprint
from hitl_audit.signing.rules import SigningRules, read_rules
from hitl_audit.signing.running import quiet
from hitl_audit.signing.signatures import SignatureState, SignedDocument, read_signatures
from hitl_audit.signing.trust import Trust
from hitl_audit.verification.result import Outcome, Signature, SignerStatus, clean
from hitl_audit.verification.source import Source

__all__ = ["Answer", "Case", "by_words", "not_done", "time_words"]

Answer = tuple[Outcome, str]


class Case:
    """One document, whom its reader trusts, and when it is read.

    Args:
        source: the bytes, and the folder beside them.
        trust: whom the reader trusts.
        now: when.
        archive_time: judge an archive by its own last timestamp.
    """

    def __init__(self, source: Source, trust: Trust, now: datetime, archive_time: bool) -> None:
        self.pdf, self.folder, self.now = source.pdf, source.folder, now
        self._trust, self._archive_time = trust, archive_time

    @cached_property
    def document(self) -> SignedDocument:
        """The fields and signatures."""
        with quiet():
            check_structure(self.pdf)
        return read_signatures(
            self.pdf,
            authorities=self._trust.authorities,
            moment=self.now,
            crls=self._trust.crls,
            archive_time=self._archive_time,
        )

    @cached_property
    def attachments(self) -> dict[str, bytes]:
        """The files inside the PDF."""
        with quiet():
            return attachments(self.pdf)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest inside the PDF."""
        if "manifest.json" not in self.attachments:
            raise ValueError("the document carries no manifest.json")
        return Manifest.from_bytes(self.attachments["manifest.json"])

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """The evidence inside the PDF, as plain JSON."""
        if "evidence.json" not in self.attachments:
            raise ValueError("the document carries no evidence.json")
        value = json.loads(self.attachments["evidence.json"])
        if not isinstance(value, dict):
            raise ValueError("evidence.json is not an object")
        return value

    @cached_property
    def envelopes(self) -> dict[str, Envelope]:
        """The signed statements inside the PDF."""
        return {
            name: read_envelope(data)
            for name, data in self.attachments.items()
            if name in ENVELOPES
        }

    @cached_property
    def rules(self) -> SigningRules:
        """The plan's rules on who signs."""
        if "audit.toml" not in self.attachments:
            raise ValueError("the document carries no audit.toml")
        rules = read_rules(
            self.attachments["audit.toml"], self.attachments.get("evidence.json", b"")
        )
        if not rules.roles:
            raise ValueError("neither the plan nor the evidence names roles")
        return rules

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """The signatures, as the reader gets them."""
        return tuple(self._signature(state) for state in self.document.signatures)

    @cached_property
    def open_roles(self) -> tuple[str, ...]:
        """The roles that have not signed."""
        return tuple(clean(field.role) for field in self.document.fields if not field.signed)

    @property
    def intact(self) -> bool:
        """Every signature holds."""
        return all(not state.problem for state in self.document.signatures)

    def proven_at(self, state: SignatureState) -> datetime | None:
        """The earliest time at which a trusted authority saw this signature."""
        stamps = [*([state.timestamp] if state.timestamp else []), *self.document.archive]
        return next((stamp.time for stamp in stamps if stamp.proves), None)

    def status(self, state: SignatureState) -> SignerStatus:
        """What is known of a signer: named by the reader, or by an authority."""
        if state.problem:
            return "does not hold"
        if state.fingerprint not in self._trust.fingerprints:
            return state.chain.verdict
        if state.chain.verdict == "revoked":
            return "revoked"
        if state.not_after < (self.proven_at(state) or self.now):
            return "expired"
        return "trusted"

    def _signature(self, state: SignatureState) -> Signature:
        proven = self.proven_at(state)
        return Signature(
            role=clean(state.role),
            field=clean(state.field),
            name=clean(state.name),
            organization=clean(state.organization),
            email=clean(state.email),
            fingerprint=spaced_fingerprint(state.fingerprint),
            statement=clean(state.reason),
            signed_at=time_words(state.signed_at) if state.signed_at else "",
            proven_at=time_words(proven) if proven and not state.problem else "",
            covers_whole_document=state.covers_whole_file,
            holds=not state.problem,
            status=self.status(state),
        )

    def beside(self, name: str) -> Path | None:
        """A file of the folder, if there is a folder and it has one."""
        if self.folder is None:
            return None
        path = self.folder / name
        return path if path.is_file() else None


def not_done(why: str) -> Answer:
    """The answer of a check that had nothing to check."""
    return "not done", f"Not checked: {why}."


def by_words(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group roles of which the same is said; nothing is said of those with ``""``."""
    grouped: dict[str, list[str]] = {}
    for words, role in pairs:
        if words:
            grouped.setdefault(words, []).append(role)
    return {words: ", ".join(roles) for words, roles in grouped.items()}


def time_words(moment: datetime) -> str:
    """A moment in UTC, for a reader."""
    moment = moment.astimezone(UTC)
    # Plan and results of a quick audit are registered within one second.
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"
