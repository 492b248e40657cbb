"""A :class:`SigningKey` in the form that pyHanko signs with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asn1crypto import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from hitl_audit.signing.keys import SigningKey

__all__ = ["asn1_certificate", "cms_signer"]

_LARGEST_P256 = 72  # bytes of a DER signature


def asn1_certificate(certificate: Any) -> x509.Certificate:
    """A certificate of ``cryptography`` as one of ``asn1crypto``."""
    return x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))


def cms_signer(key: SigningKey) -> Any:
    """The key as pyHanko's signer; a token's private key stays where it is."""
    from pyhanko.sign.signers import Signer
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple([asn1_certificate(c) for c in key.chain])

    class KeySigner(Signer):
        async def async_sign_raw(
            self, data: bytes, digest_algorithm: str, dry_run: bool = False
        ) -> bytes:
            if digest_algorithm != "sha256":
                raise ValueError(f"digest is {digest_algorithm}, expected sha256")
            if dry_run:
                public = key.public_key
                p256 = isinstance(public, ec.EllipticCurvePublicKey)
                return bytes(_LARGEST_P256 if p256 else public.key_size // 8)
            return key.sign(data)

    return KeySigner(signing_cert=asn1_certificate(key.certificate), cert_registry=store)
