"""Whom a reader trusts: certificates, or their fingerprints, and lists of the revoked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from hitl_audit.errors import VerificationError

__all__ = ["Trust", "read_trust"]

_ACCEPTED = (
    "a SHA-256 fingerprint (64 hexadecimal digits), or a file (PEM or DER) with a certificate or "
    "a revocation list"
)
_MAXIMUM_FILE = 64 << 20


@dataclass(frozen=True)
class Trust:
    """Certificates that are trusted themselves, and authorities whose word is.

    Attributes:
        fingerprints: SHA-256 of trusted certificates, hexadecimal.
        authorities: certificates that may vouch for a signer's.
        crls: revocation lists (DER), believed only if an authority signed them.
    """

    fingerprints: frozenset[str] = frozenset()
    authorities: tuple[x509.Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()


def read_trust(entries: Iterable[str | Path]) -> Trust:
    """Read fingerprints (with or without colons), certificate files and revocation lists.

    Raises:
        VerificationError: an entry is neither.
    """
    fingerprints: set[str] = set()
    certificates: list[x509.Certificate] = []
    lists: list[bytes] = []
    for entry in entries:
        text = str(entry).strip().lower().removeprefix("sha-256").removeprefix("sha256")
        digits = text.replace(":", "").replace(" ", "")
        if len(digits) == 64 and all(c in "0123456789abcdef" for c in digits):
            fingerprints.add(digits)
        else:
            found, revoked = _read(entry)
            certificates += found
            lists += revoked
    fingerprints |= {c.fingerprint(hashes.SHA256()).hex() for c in certificates}
    authorities = tuple(c for c in certificates if _is_authority(c))
    return Trust(frozenset(fingerprints), authorities, tuple(lists))


def _is_authority(certificate: x509.Certificate) -> bool:
    """A trusted signer must not vouch for others: only an authority's certificate may."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.value.ca


def _read(entry: str | Path) -> tuple[list[x509.Certificate], list[bytes]]:
    try:
        if Path(entry).stat().st_size > _MAXIMUM_FILE:
            raise VerificationError(f"trust: {entry} is too large, expected {_ACCEPTED}")
        data = Path(entry).read_bytes()
    except (OSError, ValueError):
        raise VerificationError(f"trust: got {str(entry)!r}, expected {_ACCEPTED}") from None
    for parse in (_certificates, _lists):
        try:
            return parse(data)
        except ValueError:
            continue
    raise VerificationError(f"trust: {entry} holds no certificate, expected {_ACCEPTED}")


def _certificates(data: bytes) -> tuple[list[x509.Certificate], list[bytes]]:
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_certificates(data), []
    return [x509.load_der_x509_certificate(data)], []


def _lists(data: bytes) -> tuple[list[x509.Certificate], list[bytes]]:
    pem = b"-----BEGIN" in data
    crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    return [], [crl.public_bytes(serialization.Encoding.DER)]
