"""Signatures beside a file: CMS (``openssl cms -verify``) and SSH (``ssh-keygen -Y verify``).

Both are made with the same key as the PDF's signature, so one fingerprint is
compared for all of them. The SSH form is PROTOCOL.sshsig of OpenSSH.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from hitl_audit.canonical import sha256
from hitl_audit.errors import SigningError
from hitl_audit.signing.envelope import verify_bytes
from hitl_audit.signing.keys import PublicKey, SigningKey, check_strength
from hitl_audit.signing.running import outside_event_loop

__all__ = [
    "MANIFEST_SIGNATURE",
    "NAMESPACE",
    "cms_problem",
    "cms_signature",
    "manifest_signature_names",
    "ssh_problem",
    "ssh_public_key",
    "ssh_signature",
]

NAMESPACE = "hitl-audit-manifest"
"""What ``ssh-keygen -Y verify -n`` is given, so that no signature serves another purpose."""

MANIFEST_SIGNATURE = re.compile(r"manifest\.([a-z0-9-]+)\.(p7s|sig)")
"""Names of the files that hold a role's signature of the manifest: CMS and SSH."""

_MAXIMUM_BYTES = 1 << 20
_MAGIC = b"SSHSIG"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


def manifest_signature_names(field: str) -> tuple[str, str]:
    """The files in which a role's signature of the manifest lies: CMS, SSH."""
    return f"manifest.{field}.p7s", f"manifest.{field}.sig"


def cms_signature(data: bytes, key: SigningKey, *, signed_at: datetime) -> bytes:
    """Sign as detached CMS (DER, ``.p7s``), with the certificates inside."""
    from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes

    from hitl_audit.signing.cms_signer import cms_signer

    signer = cms_signer(key)
    attributes = PdfCMSSignedAttributes(signing_time=signed_at.astimezone(UTC))

    def run() -> bytes:
        import asyncio

        content = asyncio.run(
            signer.async_sign_general_data(
                data, "sha256", detached=True, signed_attr_settings=attributes
            )
        )
        return bytes(content.dump())

    return outside_event_loop(run)


def cms_problem(signature: bytes, data: bytes, certificate: x509.Certificate) -> str:
    """Say why a detached CMS signature is not this certificate's over ``data``, or ``""``."""
    if len(signature) > _MAXIMUM_BYTES:
        return "it is too large for a signature"
    try:
        content = cms.ContentInfo.load(signature, strict=True)
        signed = content["content"]
        (signer,) = signed["signer_infos"]
        if signed["encap_content_info"]["content"].native is not None:
            return "it holds its own content instead of signing the file"
        if signer["digest_algorithm"]["algorithm"].native != "sha256":
            return "it does not use SHA-256"
        inside = [entry.chosen.dump() for entry in signed["certificates"]]
        if certificate.public_bytes(serialization.Encoding.DER) not in inside:
            return "it was not made with the key of the certificate in the document"
        attributes = signer["signed_attrs"]
        digests = _values(attributes, "message_digest")
        kinds = _values(attributes, "content_type")
        # RFC 5652, section 5.4: signed as a SET, not with the implicit tag.
        covered = b"\x31" + attributes.dump()[1:]
        value = signer["signature"].native
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"it is no CMS signature ({error})"
    if digests != [sha256(data)] or kinds != ["data"]:
        return "it is a signature of something else"
    if not _verified(certificate, covered, value):
        return "it was not made with the key of the certificate in the document"
    return ""


def ssh_public_key(key: PublicKey) -> bytes:
    """A public key in the form of ``id_ecdsa.pub``: one line, no comment."""
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def ssh_signature(data: bytes, key: SigningKey, *, namespace: str = NAMESPACE) -> bytes:
    """Sign as ``ssh-keygen -Y sign`` does; returns the armored text."""
    public = key.public_key
    raw = key.sign(_ssh_covered(data, namespace))
    if isinstance(public, ec.EllipticCurvePublicKey):
        r, s = decode_dss_signature(raw)
        kind, value = b"ecdsa-sha2-nistp256", _string(_mpint(r)) + _string(_mpint(s))
    else:
        kind, value = b"rsa-sha2-256", raw
    blob = (
        _MAGIC
        + struct.pack(">I", 1)
        + _string(_key_blob(public))
        + _string(namespace.encode())
        + _string(b"")
        + _string(b"sha256")
        + _string(_string(kind) + _string(value))
    )
    text = base64.b64encode(blob).decode()
    lines = [text[i : i + 70] for i in range(0, len(text), 70)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def ssh_problem(
    signature: bytes, data: bytes, certificate: x509.Certificate, *, namespace: str = NAMESPACE
) -> str:
    """Say why an SSH signature is not this certificate's over ``data``, or ``""``."""
    if len(signature) > _MAXIMUM_BYTES:
        return "it is too large for a signature"
    try:
        public = check_strength(certificate.public_key(), "the certificate")
        text = signature.decode("ascii").strip()
        if not (text.startswith(_BEGIN) and text.endswith(_END)):
            return "it is no SSH signature"
        body = "".join(text[len(_BEGIN) : -len(_END)].split())
        blob = base64.b64decode(body, validate=True)
        head = _MAGIC + struct.pack(">I", 1)
        if not blob.startswith(head):
            return "it is no SSH signature of version 1"
        key_blob, space, reserved, algorithm, inner = _strings(blob[len(head) :], 5)
        kind, value = _strings(inner, 2)
        if key_blob != _key_blob(public):
            return "it was not made with the key of the certificate in the document"
        if (space, reserved, algorithm) != (namespace.encode(), b"", b"sha256"):
            return "it was made for another purpose"
        raw = _raw_signature(public, kind, value)
    except (ValueError, struct.error, binascii.Error, SigningError) as error:
        return f"it is no SSH signature ({error})"
    if not _verified(certificate, _ssh_covered(data, namespace), raw):
        return "it is a signature of something else"
    return ""


def _raw_signature(public: PublicKey, kind: bytes, value: bytes) -> bytes:
    if isinstance(public, rsa.RSAPublicKey):
        if kind != b"rsa-sha2-256":
            raise ValueError(f"algorithm {kind!r}")
        return value
    if kind != b"ecdsa-sha2-nistp256":
        raise ValueError(f"algorithm {kind!r}")
    r, s = (int.from_bytes(part, "big") for part in _strings(value, 2))
    if not (0 < r < 1 << 256 and 0 < s < 1 << 256):
        raise ValueError("numbers out of range")
    return encode_dss_signature(r, s)


def _verified(certificate: x509.Certificate, data: bytes, signature: bytes) -> bool:
    try:
        return verify_bytes(certificate, data, signature)
    except SigningError:
        return False


def _ssh_covered(data: bytes, namespace: str) -> bytes:
    return (
        _MAGIC
        + _string(namespace.encode())
        + _string(b"")
        + _string(b"sha256")
        + _string(sha256(data))
    )


def _key_blob(public: PublicKey) -> bytes:
    return base64.b64decode(ssh_public_key(public).split()[1])


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _strings(data: bytes, count: int) -> Iterator[bytes]:
    """Read exactly ``count`` length-prefixed strings that fill ``data``."""
    found = []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", data)
        if size > len(data) - 4:
            raise ValueError("cut off")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise ValueError("something follows it")
    return iter(found)


def _values(attributes: Any, name: str) -> list[Any]:
    return [v for a in attributes if a["type"].native == name for v in a["values"].native]
