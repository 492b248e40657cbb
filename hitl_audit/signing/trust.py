"""Whom a reader trusts: certificates, or their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from hitl_audit.errors import VerificationError

__all__ = ["Trust", "read_trust"]

_ACCEPTED = "a SHA-256 fingerprint (64 hexadecimal digits) or a certificate file (PEM or DER)"


@dataclass(frozen=True)
class Trust:
    """Certificates that are trusted themselves, and authorities whose word is.

    Attributes:
        fingerprints: SHA-256 of trusted certificates, hexadecimal.
        authorities: certificates that may vouch for a signer's.
    """

    fingerprints: frozenset[str] = frozenset()
    authorities: tuple[x509.Certificate, ...] = ()


def read_trust(entries: Iterable[str | Path]) -> Trust:
    """Read fingerprints (with or without colons) and certificate files.

    Raises:
        VerificationError: an entry is neither.
    """
    fingerprints: set[str] = set()
    certificates: list[x509.Certificate] = []
    for entry in entries:
        text = str(entry).strip().lower().removeprefix("sha-256").removeprefix("sha256")
        digits = text.replace(":", "").replace(" ", "")
        if len(digits) == 64 and all(c in "0123456789abcdef" for c in digits):
            fingerprints.add(digits)
        else:
            certificates += _certificates(entry)
    fingerprints |= {c.fingerprint(hashes.SHA256()).hex() for c in certificates}
    return Trust(frozenset(fingerprints), tuple(certificates))


def _certificates(entry: str | Path) -> list[x509.Certificate]:
    try:
        data = Path(entry).read_bytes()
    except (OSError, ValueError):
        raise VerificationError(f"trust: got {str(entry)!r}, expected {_ACCEPTED}") from None
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        raise VerificationError(
            f"trust: {entry} holds no certificate, expected {_ACCEPTED}"
        ) from None
