"""Keys in a PKCS#11 token (smart card, HSM): the private key never leaves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hitl_audit.canonical import sha256
from hitl_audit.errors import MissingDependencyError, SigningError
from hitl_audit.signing.keys import SigningKey, check_strength, key_from, utc_now

__all__ = ["open_token"]


@contextmanager
def open_token(
    module: str | Path,
    pin: str,
    *,
    token: str = "",
    label: str = "",
    chain: tuple[x509.Certificate, ...] = (),
    now: Callable[[], datetime] = utc_now,
) -> Iterator[SigningKey]:
    """Open a token for as long as the block runs.

    Args:
        module: the token's PKCS#11 library, for example ``/usr/lib/softhsm/libsofthsm2.so``.
        pin: the user's PIN.
        token: the token's label, if there are several.
        label: label of key and certificate, if the token holds several.
        chain: certificates of the authorities above, for those who verify.
        now: the clock.

    Raises:
        SigningError: the library, the token, the key or its certificate is not
            there or not the only one, the PIN is wrong, the key is weak, or the
            certificate is not valid now.
        MissingDependencyError: python-pkcs11 is not installed.
    """
    try:
        import pkcs11
        import pkcs11.exceptions
    except ImportError:
        raise MissingDependencyError(
            "signing with a token needs python-pkcs11, which is not installed; install it with: "
            "pip install python-pkcs11"
        ) from None
    try:
        library: Any = pkcs11.lib(str(module))
        found = list(library.get_slots(token_present=True))
        tokens = [slot.get_token() for slot in found]
        named = [t for t in tokens if not token or t.label == token]
        if len(named) != 1:
            seen = ", ".join(repr(t.label) for t in tokens) or "none"
            raise SigningError(f"token {token!r}: expected exactly one; the library shows {seen}")
        with named[0].open(user_pin=pin) as session:
            yield _key(session, label, chain, now)
    except pkcs11.exceptions.PKCS11Error as error:
        words = str(error) or type(error).__name__
        raise SigningError(f"token {token or module}: {words}") from error
    except RuntimeError as error:  # what python-pkcs11 says of a library that is none
        raise SigningError(f"{module}: {error}; expected a PKCS#11 library") from error


def _key(
    session: Any, label: str, chain: tuple[x509.Certificate, ...], now: Callable[[], datetime]
) -> SigningKey:
    from pkcs11 import Attribute, ObjectClass

    by_label = {Attribute.LABEL: label} if label else {}
    certificate = x509.load_der_x509_certificate(
        _only(session, {Attribute.CLASS: ObjectClass.CERTIFICATE, **by_label}, "certificate")[
            Attribute.VALUE
        ]
    )
    check_strength(certificate.public_key(), "token")
    private = _only(session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **by_label}, "private key")
    key = key_from(certificate, _signer(private, certificate), chain)
    key.check_valid_at(now())
    return key


def _only(session: Any, attributes: dict[Any, Any], what: str) -> Any:
    found = list(session.get_objects(attributes))
    if len(found) != 1:
        raise SigningError(
            f"token: found {len(found)} objects of kind {what}, expected one; name it by its label"
        )
    return found[0]


def _signer(private: Any, certificate: x509.Certificate) -> Callable[[bytes], bytes]:
    from pkcs11 import Mechanism

    def sign_p256(data: bytes) -> bytes:
        # Hashed here: not every token can combine hashing with ECDSA.
        raw = bytes(private.sign(sha256(data), mechanism=Mechanism.ECDSA))
        half = len(raw) // 2
        return encode_dss_signature(
            int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
        )

    def sign_rsa(data: bytes) -> bytes:
        return bytes(private.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS))

    public = certificate.public_key()
    return sign_p256 if isinstance(public, ec.EllipticCurvePublicKey) else sign_rsa
