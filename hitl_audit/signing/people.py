"""Who a certificate names."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from hitl_audit.canonical import sha256
from hitl_audit.signing.rules import Person

__all__ = ["person_of", "subject_part"]


def person_of(certificate: x509.Certificate) -> Person:
    """The holder of a certificate, as it names them."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Person(
        name=subject_part(certificate, NameOID.COMMON_NAME) or certificate.subject.rfc4514_string(),
        email=subject_part(certificate, NameOID.EMAIL_ADDRESS) or _alternative_email(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        public_key=sha256(spki).hex(),
    )


def subject_part(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    """One part of the subject, or ``""``."""
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _alternative_email(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    return next(iter(names.get_values_for_type(x509.RFC822Name)), "")
