"""Signing with a key that never leaves its token (SoftHSM)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from cryptography.hazmat.primitives import serialization

from hitl_audit.errors import SigningError
from hitl_audit.signing.keys import SigningKey, generate_key
from hitl_audit.signing.pdf import FieldBox, add_signature_fields, sign_pdf
from hitl_audit.signing.token import open_token

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "123456"


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    """What is put into the token: an EC key, an RSA key, and one that has expired."""
    return {
        "ec": generate_key("Olga Officer", now=clock),
        "rsa": generate_key("Rosa Officer", kind="rsa3072", now=clock),
        "old": generate_key("Otto Officer", now=lambda: NOW - timedelta(days=900)),
    }


@pytest.fixture(scope="module")
def token(keys: dict[str, SigningKey], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import pkcs11
    from pkcs11 import Attribute
    from pkcs11.util.ec import decode_ec_private_key
    from pkcs11.util.rsa import decode_rsa_private_key
    from pkcs11.util.x509 import decode_x509_certificate

    home: Path = tmp_path_factory.mktemp("token")
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(
        f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n"
    )
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    for label in ("audit", "empty"):
        subprocess.run(
            [
                "softhsm2-util",
                "--init-token",
                "--free",
                "--label",
                label,
                "--pin",
                PIN,
                "--so-pin",
                "4321",
            ],
            check=True,
            capture_output=True,
        )
    library: Any = pkcs11.lib(str(LIBRARY))
    library.reinitialize()
    with library.get_token(token_label="audit").open(rw=True, user_pin=PIN) as session:
        for label, key in keys.items():
            private: Any = key.private_key
            der = private.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
            decoded = decode_rsa_private_key(der) if label == "rsa" else decode_ec_private_key(der)
            common = {Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.SIGN: True}
            session.create_object({**decoded, **common, Attribute.SENSITIVE: True})
            certificate = decode_x509_certificate(
                key.certificate.public_bytes(serialization.Encoding.DER)
            )
            session.create_object({**certificate, Attribute.TOKEN: True, Attribute.LABEL: label})
    yield home
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file: Path = tmp_path_factory.mktemp("pdf") / "plain.pdf"
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(file)
    box = FieldBox("only", "auditor", 1, 50, 50, 300, 60, locks=True)
    return add_signature_fields(file.read_bytes(), [box])


@pytest.mark.parametrize("label", ["ec", "rsa"])
def test_a_token_signs_and_pdfsig_accepts(
    label: str, token: Path, document: bytes, keys: dict[str, SigningKey], tmp_path: Path
) -> None:
    with open_token(LIBRARY, PIN, token="audit", label=label, now=clock) as key:
        assert key.fingerprint == keys[label].fingerprint
        signed = sign_pdf(document, key, field="only", reason="I signed.", signed_at=NOW)
    (tmp_path / "signed.pdf").write_bytes(signed)
    said = subprocess.run(
        ["pdfsig", "-nocert", str(tmp_path / "signed.pdf")],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "Signature Validation: Signature is Valid." in said
    assert "Total document signed" in said
    assert keys[label].name in said


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"pin": "999999"}, "PinIncorrect|PIN"),
        ({"token": "nobody"}, "expected exactly one; the library shows .*'audit'"),
        ({"token": ""}, "expected exactly one"),
        ({"token": "empty"}, "found 0 objects of kind certificate, expected one"),
        ({"label": ""}, "found 3 objects of kind certificate"),
        ({"label": "old"}, "key of Otto Officer: expired on"),
        ({"module": "/etc/hostname"}, "expected a PKCS#11 library|hostname"),
        ({"module": "/nowhere.so"}, "nowhere"),
    ],
)
def test_what_is_not_there_is_said(other: dict[str, str], words: str, token: Path) -> None:
    settings = {"module": str(LIBRARY), "pin": PIN, "token": "audit", "label": "ec", **other}
    with (
        pytest.raises(SigningError, match=words),
        open_token(
            settings["module"],
            settings["pin"],
            token=settings["token"],
            label=settings["label"],
            now=clock,
        ),
    ):
        pass


def test_the_command_line_signs_with_a_token(token: Path, tmp_path: Path) -> None:
    """Everything but the report: the token is opened before it is looked for."""
    from click.testing import CliRunner

    from hitl_audit.cli import main

    (tmp_path / "pin").write_text(PIN + "\n")
    words = ["sign", str(tmp_path), "--role", "data scientist", "--token", str(LIBRARY)]
    options = [
        "--token-label",
        "audit",
        "--key-label",
        "old",
        "--passphrase-file",
        str(tmp_path / "pin"),
    ]
    result = CliRunner().invoke(main, [*words, *options])
    assert result.exit_code == 2
    assert "key of Otto Officer: expired" in result.output
