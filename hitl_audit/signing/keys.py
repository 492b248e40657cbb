"""Signing keys: an X.509 certificate and its private key.

The private key lies in a PKCS#12 file, or in a token that never gives it away
(:mod:`hitl_audit.signing.token`). P-256 and RSA of 2048 bits or more are used,
because PDF readers check both; Ed25519 signatures are shown as unknown or
broken by most of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from hitl_audit.errors import SigningError

__all__ = [
    "MINIMUM_PASSPHRASE",
    "KeyType",
    "PublicKey",
    "SigningKey",
    "check_strength",
    "default_key_path",
    "describe_key",
    "generate_key",
    "is_weak",
    "key_from",
    "load_key",
    "new_key",
    "spaced_fingerprint",
    "utc_now",
]

MINIMUM_PASSPHRASE = 8
"""Shortest passphrase of a new key, in bytes."""

_MAXIMUM_KEY_FILE = 1 << 20
_KDF_ROUNDS = 600_000  # OWASP's number for PBKDF2 with SHA-256
# Signing right after `keys new` must not fail because two clocks differ a little.
_CLOCK_SKEW = timedelta(minutes=5)

KeyType = Literal["p256", "rsa3072", "rsa4096"]
"""The kinds of key that ``keys new`` makes."""

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
# A token signs by itself: bytes in, signature (DER for P-256) over their SHA-256 out.
_Signs = Callable[[bytes], bytes]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The clock that is used when no other is passed in."""


@dataclass(frozen=True)
class SigningKey:
    """A private key with its certificate, unlocked and in memory.

    Attributes:
        name: common name of the certificate's subject.
        organization, email: as in the certificate, or ``""``.
        fingerprint: SHA-256 of the certificate, 64 hexadecimal digits.
        not_before, not_after: validity, with time zone.
        self_signed: no authority vouches for the name.
    """

    name: str
    organization: str
    email: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    self_signed: bool
    certificate: x509.Certificate = field(repr=False, compare=False)
    private_key: _PrivateKey | _Signs = field(repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = field(repr=False, compare=False, default=())

    @property
    def public_key(self) -> PublicKey:
        """The public key of the certificate.

        Raises:
            SigningError: of a type or strength that is not accepted.
        """
        return check_strength(self.certificate.public_key(), f"key of {self.name}")

    def sign(self, data: bytes) -> bytes:
        """Sign the SHA-256 of ``data``: ECDSA (DER) or RSA PKCS#1 v1.5."""
        key = self.private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return key(data)

    @property
    def fingerprint_words(self) -> str:
        """The fingerprint as people compare it: ``SHA-256 AB:CD:…``."""
        return f"SHA-256 {spaced_fingerprint(self.fingerprint)}"

    def certificate_pem(self) -> bytes:
        """Return the certificate (public) for others to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def check_valid_at(self, moment: datetime) -> None:
        """Raise :class:`SigningError` unless the certificate is valid at this time."""
        if moment > self.not_after:
            raise SigningError(
                f"key of {self.name}: expired on {self.not_after:%Y-%m-%d}; "
                "make a new one with `hitl-audit keys new`"
            )
        if moment < self.not_before:
            raise SigningError(
                f"key of {self.name}: valid only from {self.not_before:%Y-%m-%d %H:%M} UTC, "
                f"but this computer's clock says {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            )


def spaced_fingerprint(fingerprint: str) -> str:
    """Write 64 hexadecimal digits as ``AB:CD:…``."""
    return ":".join(fingerprint[i : i + 2] for i in range(0, len(fingerprint), 2)).upper()


def default_key_path() -> Path:
    """Where a user's key lives: ``~/.config/hitl-audit/key.p12`` (XDG_CONFIG_HOME respected)."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    return base / "hitl-audit" / "key.p12"


def describe_key(key: object) -> str:
    """Type and strength of a public or private key in words."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        curve = key.curve.name
        return "P-256" if curve == "secp256r1" else f"an elliptic-curve key on {curve}"
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"RSA of {key.key_size} bits"
    kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey").lstrip("_")
    return f"a key of type {kind}"


def is_weak(key: object) -> bool:
    """Whether signatures by this key can be forged, or will be soon (NIST SP 800-131A)."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size < 2048
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.key_size < 256
    return isinstance(key, dsa.DSAPublicKey)


def check_strength(key: object, where: object) -> PublicKey:
    """Return the public key if it is strong and readers understand it.

    Raises:
        SigningError: another type than P-256 or RSA, or fewer than 2048 bits.
    """
    strong = (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ) or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048)
    if not strong:
        raise SigningError(
            f"{where}: got {describe_key(key)}, expected P-256 or RSA of 2048 bits or more"
        )
    return key  # type: ignore[return-value]


def generate_key(
    name: str,
    *,
    email: str = "",
    organization: str = "",
    kind: KeyType = "p256",
    now: Callable[[], datetime] = utc_now,
    days: int = 825,
) -> SigningKey:
    """Make a self-signed key in memory; nothing is written.

    Args:
        name: the signer's name as it is shown in the document (at most 64 characters).
        email, organization: optional parts of the certificate's subject.
        kind: ``"p256"``, ``"rsa3072"`` or ``"rsa4096"``.
        now: the clock from which the certificate is valid.
        days: validity.

    Raises:
        SigningError: a name that a certificate cannot carry, an unknown kind, or no days.
    """
    if kind not in get_args(KeyType):
        raise SigningError(f"key: kind is {kind!r}; accepted: {', '.join(get_args(KeyType))}")
    if days < 1:
        raise SigningError(f"key: days is {days}, expected 1 or more")
    for label, text in (("name", name), ("organization", organization)):
        if len(text) > 64 or not text.isprintable():
            raise SigningError(
                f"key: {label} is {text!r}, expected at most 64 printable characters"
            )
    if not name.strip():
        raise SigningError("key: name is empty, expected the signer's name")
    if email and not (email.isascii() and email.isprintable() and email.count("@") == 1):
        raise SigningError(f"key: email is {email!r}, expected an address such as ada@example.org")

    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if email:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    subject = x509.Name(attributes)
    moment = now()
    private_key: _PrivateKey = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "p256"
        else rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _CLOCK_SKEW)
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNING_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), False)
    )
    if email:
        names = x509.SubjectAlternativeName([x509.RFC822Name(email)])
        builder = builder.add_extension(names, critical=False)
    return key_from(builder.sign(private_key, hashes.SHA256()), private_key)


def new_key(
    path: str | Path,
    *,
    name: str,
    email: str = "",
    organization: str = "",
    passphrase: bytes,
    kind: KeyType = "p256",
    now: Callable[[], datetime] = utc_now,
    days: int = 825,
) -> SigningKey:
    """Make a self-signed key and write it to an encrypted PKCS#12 file.

    The file is readable by its owner only (0600); a folder that has to be
    made, and the user's own folder of keys, are closed to others (0700). An
    existing file is never overwritten. The certificate, which is public, is
    written beside it (``key.pem``), so that it can be shown and passed on
    without the passphrase.

    Raises:
        SigningError: a name a certificate cannot carry, a short passphrase,
            an existing file, or a folder that cannot be written.
    """
    if len(passphrase) < MINIMUM_PASSPHRASE:
        raise SigningError(
            f"key: the passphrase has {len(passphrase)} characters, "
            f"expected {MINIMUM_PASSPHRASE} or more"
        )
    try:
        passphrase.decode()
    except UnicodeDecodeError:
        raise SigningError("key: the passphrase is not UTF-8 text, expected text") from None
    key = generate_key(name, email=email, organization=organization, kind=kind, now=now, days=days)
    if callable(key.private_key):  # only a token's; this one was made in memory
        raise TypeError("a token's key cannot be written")
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase)
    )
    data = pkcs12.serialize_key_and_certificates(
        name.encode(), key.private_key, key.certificate, None, encryption
    )
    file = Path(path)
    certificate = file.with_suffix(".pem")
    if certificate.exists():
        raise SigningError(f"{certificate}: exists already; a key is never overwritten")
    _write_secret(file, data)
    try:
        _write_secret(certificate, key.certificate_pem())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return key


def load_key(
    path: str | Path, passphrase: bytes | str, *, now: Callable[[], datetime] = utc_now
) -> SigningKey:
    """Open a PKCS#12 file.

    Accepted: P-256, and RSA of 2048 bits or more, with a certificate that is
    valid now. Certificates of authorities in the file are kept for the chain.

    Raises:
        SigningError: no such file, not PKCS#12, wrong passphrase, a key type
            or strength that is not accepted, no certificate, or expired.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MAXIMUM_KEY_FILE:
            raise SigningError(f"{file}: too large for a key, expected a PKCS#12 file (.p12)")
        data = file.read_bytes()
    except FileNotFoundError:
        raise SigningError(f"{file}: no such key; make one with `hitl-audit keys new`") from None
    except OSError as error:
        raise SigningError(f"{file}: cannot be read ({error.strerror})") from None
    try:
        secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
        private_key, certificate, others = pkcs12.load_key_and_certificates(data, secret)
    except ValueError as error:
        # The library tells a wrong passphrase from a wrong file by words only.
        if "password" in str(error).lower():
            raise SigningError(f"{file}: wrong passphrase") from None
        raise SigningError(f"{file}: got something else, expected a PKCS#12 file (.p12)") from None
    if private_key is None or certificate is None:
        missing = "private key" if private_key is None else "certificate"
        raise SigningError(f"{file}: holds no {missing}, expected a key with its certificate")
    check_strength(private_key.public_key(), file)
    if not isinstance(private_key, _PrivateKey):
        raise SigningError(f"{file}: got {describe_key(private_key)}, expected P-256 or RSA")
    if private_key.public_key() != certificate.public_key():
        raise SigningError(f"{file}: the certificate is of another key, expected the key's own")
    key = key_from(certificate, private_key, tuple(others))
    key.check_valid_at(now())
    return key


_SIGNING_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def key_from(
    certificate: x509.Certificate,
    private_key: _PrivateKey | _Signs,
    chain: tuple[x509.Certificate, ...] = (),
) -> SigningKey:
    """Put a certificate and what signs for it together.

    Args:
        certificate: the signer's.
        private_key: of the certificate, or a function that signs the SHA-256 of its argument.
        chain: certificates of the authorities above, for those who verify.
    """

    def part(oid: x509.ObjectIdentifier) -> str:
        found = certificate.subject.get_attributes_for_oid(oid)
        return str(found[0].value) if found else ""

    return SigningKey(
        name=part(NameOID.COMMON_NAME) or certificate.subject.rfc4514_string(),
        organization=part(NameOID.ORGANIZATION_NAME),
        email=part(NameOID.EMAIL_ADDRESS),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=certificate.issuer == certificate.subject,
        certificate=certificate,
        private_key=private_key,
        chain=chain,
    )


def _write_secret(file: Path, data: bytes) -> None:
    """Create a file that only its owner can read; never replace one."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.parent == default_key_path().parent:
            file.parent.chmod(0o700)
    except OSError as error:
        raise SigningError(f"{file.parent}: cannot be made ({error.strerror})") from None
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SigningError(f"{file}: exists already; a key is never overwritten") from None
    except OSError as error:
        raise SigningError(f"{file}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        file.unlink(missing_ok=True)
        raise
