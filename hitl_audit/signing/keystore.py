"""The user's keys: what lies in their folder, and what of it may be passed on.

The certificate beside each key (``key.pem`` beside ``key.p12``) is public, so
keys can be listed and exported without a passphrase.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from hitl_audit.errors import SigningError
from hitl_audit.signing.detached import NAMESPACE, ssh_public_key
from hitl_audit.signing.keys import (
    check_strength,
    default_key_path,
    describe_key,
    spaced_fingerprint,
)
from hitl_audit.signing.people import person_of

__all__ = ["ExportForm", "StoredKey", "export_key", "read_stored_key", "stored_keys"]

ExportForm = Literal["pem", "der", "ssh", "allowed-signers"]
_MAXIMUM_CERTIFICATE = 1 << 16


@dataclass(frozen=True)
class StoredKey:
    """A key in a file, as its certificate describes it.

    Attributes:
        path: of the PKCS#12 file.
        name, email: of the certificate's subject.
        kind: type and strength in words.
        fingerprint: SHA-256 of the certificate, ``AB:CD:…``.
        not_before, not_after: validity.
        state: ``"valid"``, ``"expired"`` or ``"not valid yet"``.
        problems: what is wrong with the files, in words.
    """

    path: Path
    name: str
    email: str
    kind: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    state: Literal["valid", "expired", "not valid yet"]
    problems: tuple[str, ...]


def stored_keys(now: datetime, folder: Path | None = None) -> tuple[StoredKey, ...]:
    """The keys in a folder (default: the user's), by file name.

    Raises:
        SigningError: a certificate in it cannot be read.
    """
    home = folder or default_key_path().parent
    return tuple(
        read_stored_key(path, now)
        for path in sorted(home.glob("*.p12"))
        if path.with_suffix(".pem").is_file()
    )


def read_stored_key(path: Path, now: datetime) -> StoredKey:
    """Describe one key by the certificate beside it.

    Raises:
        SigningError: there is no such key, or no certificate beside it.
    """
    certificate = _certificate(path)
    person = person_of(certificate)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    state: Literal["valid", "expired", "not valid yet"] = "valid"
    if now > end:
        state = "expired"
    elif now < start:
        state = "not valid yet"
    return StoredKey(
        path=path,
        name=person.name,
        email=person.email,
        kind=describe_key(certificate.public_key()),
        fingerprint=spaced_fingerprint(certificate.fingerprint(hashes.SHA256()).hex()),
        not_before=start,
        not_after=end,
        state=state,
        problems=tuple(_permission_problems(path)),
    )


def export_key(path: Path, form: ExportForm) -> bytes:
    """What may be passed on: the certificate, or the public key for ``ssh-keygen``.

    Raises:
        SigningError: there is no such key, or an unknown form.
    """
    if form not in get_args(ExportForm):
        raise SigningError(f"format is {form!r}; accepted: {', '.join(get_args(ExportForm))}")
    certificate = _certificate(path)
    if form == "pem":
        return certificate.public_bytes(serialization.Encoding.PEM)
    if form == "der":
        return certificate.public_bytes(serialization.Encoding.DER)
    public = ssh_public_key(check_strength(certificate.public_key(), path))
    if form == "ssh":
        return public + b"\n"
    person = person_of(certificate)
    # A principal is one word to ssh-keygen.
    principal = person.email or "-".join(person.name.split())
    return f'{principal} namespaces="{NAMESPACE}" '.encode() + public + b"\n"


def _certificate(path: Path) -> x509.Certificate:
    file = path.with_suffix(".pem")
    try:
        if not path.is_file():
            raise SigningError(f"{path}: no such key; make one with `hitl-audit keys new`")
        if file.stat().st_size > _MAXIMUM_CERTIFICATE:
            raise SigningError(f"{file}: too large for a certificate")
        return x509.load_pem_x509_certificate(file.read_bytes())
    except FileNotFoundError:
        raise SigningError(
            f"{file}: the key's certificate is not beside it; expected the .pem that `hitl-audit "
            "keys new` writes, or one from: openssl pkcs12 -nokeys -clcerts"
        ) from None
    except ValueError:
        raise SigningError(f"{file}: holds no certificate, expected PEM") from None


def _permission_problems(path: Path) -> list[str]:
    """Others must not be able to read the key or the folder (where the system can tell)."""
    if os.name != "posix":
        return []
    found = []
    for place, expected in ((path, 0o600), (path.parent, 0o700)):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o077:
            found.append(f"{place} is open to others ({mode:04o}, expected {expected:04o})")
    return found
