"""Signed statements: in-toto Statement v1 as RFC 8785 JSON in a DSSE envelope.

The envelope is the one of https://github.com/secure-systems-lab/dsse
(protocol 1.0): what is signed is not the JSON but its *pre-authentication
encoding*, so nothing has to be parsed before it is trusted. Signatures are
ECDSA P-256 (DER) or RSA PKCS#1 v1.5, both over SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from hitl_audit.canonical import canonical_bytes, digest_bytes
from hitl_audit.signing.keys import SigningKey, check_strength

__all__ = [
    "PAYLOAD_TYPE",
    "STATEMENT_TYPE",
    "Envelope",
    "pae",
    "read_envelope",
    "seal",
    "statement",
    "verify_bytes",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_MAXIMUM_BYTES = 8 << 20


@dataclass(frozen=True)
class Envelope:
    """A statement with its signature, as bytes and as values.

    Attributes:
        payload: the signed bytes of the statement.
        keyid: SHA-256 of the signer's certificate, hexadecimal; a hint, not a proof.
        signature: over :func:`pae` of the payload.
        predicate_type: what kind of statement it is.
        predicate: what it says.
        subjects: (name, SHA-256 in hexadecimal) of what it speaks of.
    """

    payload: bytes
    keyid: str
    signature: bytes
    predicate_type: str
    predicate: Mapping[str, Any]
    subjects: tuple[tuple[str, str], ...]

    def is_signed_by(self, certificate: x509.Certificate) -> bool:
        """Whether the key of this certificate made the signature."""
        return verify_bytes(certificate, pae(self.payload), self.signature)


def pae(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def statement(
    predicate_type: str, predicate: Mapping[str, Any], subjects: Sequence[tuple[str, bytes]]
) -> bytes:
    """An in-toto Statement v1 about files given as (name, bytes), in canonical JSON."""
    return canonical_bytes(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": digest_bytes(data).removeprefix("sha256:")}}
                for name, data in subjects
            ],
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def seal(payload: bytes, key: SigningKey) -> bytes:
    """Put a statement into an envelope and sign it; returns canonical JSON."""
    return canonical_bytes(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": key.fingerprint,
                    "sig": base64.b64encode(key.sign(pae(payload))).decode(),
                }
            ],
        }
    )


def read_envelope(data: bytes) -> Envelope:
    """Read an envelope with exactly one signature; nothing is checked but its form.

    Raises:
        ValueError: not an envelope of an in-toto Statement v1.
    """
    if len(data) > _MAXIMUM_BYTES:
        raise ValueError(f"{len(data):,} bytes, expected at most {_MAXIMUM_BYTES:,}")
    try:
        outer = json.loads(data)
        if outer["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"payloadType is {outer['payloadType']!r}, expected {PAYLOAD_TYPE!r}")
        (signed,) = outer["signatures"]
        payload = base64.b64decode(outer["payload"], validate=True)
        value = json.loads(payload)
        if value["_type"] != STATEMENT_TYPE:
            raise ValueError(f"_type is {value['_type']!r}, expected {STATEMENT_TYPE!r}")
        if not isinstance(value["predicate"], dict):
            raise ValueError("predicate is not an object")
        return Envelope(
            payload=payload,
            keyid=str(signed["keyid"]),
            signature=base64.b64decode(signed["sig"], validate=True),
            predicate_type=str(value["predicateType"]),
            predicate=value["predicate"],
            subjects=tuple((str(s["name"]), str(s["digest"]["sha256"])) for s in value["subject"]),
        )
    except KeyError as error:
        raise ValueError(f"not an envelope: {error.args[0]} is missing") from None
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"not an envelope: {error}") from None


def verify_bytes(certificate: x509.Certificate, data: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the certificate's over the SHA-256 of ``data``.

    Raises:
        SigningError: the certificate's key is of a type or strength that is not accepted.
    """
    key = check_strength(certificate.public_key(), "the certificate")
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
