"""Signing keys: an X.509 certificate and its private key in a PKCS#12 file.

P-256 and RSA of 2048 bits or more are used, because PDF readers check both;
Ed25519 signatures are shown as unknown or broken by most of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from hitl_audit.errors import SigningError

__all__ = [
    "MINIMUM_PASSPHRASE",
    "SigningKey",
    "default_key_path",
    "generate_key",
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

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

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
    private_key: _PrivateKey = field(repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = field(repr=False, compare=False, default=())

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


def generate_key(
    name: str,
    *,
    email: str = "",
    organization: str = "",
    now: Callable[[], datetime] = utc_now,
    days: int = 825,
) -> SigningKey:
    """Make a self-signed P-256 key in memory; nothing is written.

    Args:
        name: the signer's name as it is shown in the document (at most 64 characters).
        email, organization: optional parts of the certificate's subject.
        now: the clock from which the certificate is valid.
        days: validity.

    Raises:
        SigningError: a name that a certificate cannot carry, or no days.
    """
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
    private_key = ec.generate_private_key(ec.SECP256R1())
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
    return _signing_key(builder.sign(private_key, hashes.SHA256()), private_key)


def new_key(
    path: str | Path,
    *,
    name: str,
    email: str = "",
    organization: str = "",
    passphrase: bytes,
    now: Callable[[], datetime] = utc_now,
    days: int = 825,
) -> SigningKey:
    """Make a self-signed P-256 key and write it to an encrypted PKCS#12 file.

    The file is readable by its owner only (0600) and a folder that has to be
    made is closed to others (0700). An existing file is never overwritten.

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
    key = generate_key(name, email=email, organization=organization, now=now, days=days)
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
    _write_secret(Path(path), data)
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
    key = _signing_key(certificate, _accepted(private_key, file), tuple(others))
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


def _accepted(private_key: object, file: Path) -> _PrivateKey:
    """Return the key if it is strong and readers understand it."""
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        if isinstance(private_key.curve, ec.SECP256R1):
            return private_key
        found = f"an elliptic-curve key on {private_key.curve.name}"
    elif isinstance(private_key, rsa.RSAPrivateKey):
        if private_key.key_size >= 2048:
            return private_key
        found = f"an RSA key of {private_key.key_size} bits"
    else:
        found = type(private_key).__name__.removesuffix("PrivateKey").lstrip("_")
        found = f"a key of type {found}"
    raise SigningError(f"{file}: got {found}, expected P-256 or RSA of 2048 bits or more")


def _signing_key(
    certificate: x509.Certificate,
    private_key: _PrivateKey,
    chain: tuple[x509.Certificate, ...] = (),
) -> SigningKey:
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
