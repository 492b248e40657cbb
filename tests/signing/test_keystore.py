"""The user's keys: made, listed, shown, passed on, renewed; on the command line."""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from hitl_audit.cli import main
from hitl_audit.errors import SigningError
from hitl_audit.signing.keys import default_key_path, load_key, new_key
from hitl_audit.signing.keystore import export_key, read_stored_key, stored_keys

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def call(*words: str, stdin: str = "", env: dict[str, str] | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["keys", *words], input=stdin, env=env)
    assert result.exit_code == code, result.output
    return result


def test_a_key_is_made_with_a_passphrase_typed_twice(tmp_path: Path) -> None:
    wrong = call("new", "--name", "Ada", stdin=f"{PASSPHRASE}\nother\n{PASSPHRASE}\n{PASSPHRASE}\n")
    assert "Error: The two entered values do not match" in wrong.output
    assert PASSPHRASE not in wrong.output
    path = default_key_path()
    assert load_key(path, PASSPHRASE).name == "Ada"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    said = call("new", "--name", "Ada", code=2).output
    assert "exists already; a key is never overwritten" in said
    assert "--out" in said


@pytest.mark.parametrize("source", ["file", "environment"])
def test_or_with_one_from_elsewhere(source: str, tmp_path: Path) -> None:
    words, env = ["new", "--name", "Ada"], {}
    if source == "file":
        (tmp_path / "secret").write_text(PASSPHRASE + "\n")
        words += ["--passphrase-file", str(tmp_path / "secret")]
    else:
        env = {"HITL_AUDIT_PASSPHRASE": PASSPHRASE}
    call(*words, env=env)
    assert load_key(default_key_path(), PASSPHRASE).name == "Ada"


def test_a_passphrase_is_never_an_argument() -> None:
    for command in (["sign"], ["keys", "new"], ["keys", "export"]):
        words = CliRunner().invoke(main, [*command, "--help"]).output
        assert "--passphrase " not in words
        assert "--pin" not in words


def test_short_passphrases_and_weak_kinds_are_refused() -> None:
    short = call("new", "--name", "Ada", env={"HITL_AUDIT_PASSPHRASE": "short"}, code=2).output
    assert "the passphrase has 5 characters, expected 8 or more" in short
    call("new", "--name", "Ada", "--type", "ed25519", code=2)
    assert not default_key_path().exists()


def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    default_key_path().parent.mkdir()
    default_key_path().parent.chmod(0o755)
    call("new", "--name", "Ada", env={"HITL_AUDIT_PASSPHRASE": PASSPHRASE})
    assert stat.S_IMODE(default_key_path().parent.stat().st_mode) == 0o700


def test_keys_are_listed_shown_and_passed_on(tmp_path: Path) -> None:
    env = {"HITL_AUDIT_PASSPHRASE": PASSPHRASE}
    assert "No keys in" in call("list").output
    call("new", "--name", "Ada", "--email", "ada@example.org", env=env)
    second = default_key_path().with_stem("key-2")
    call("new", "--name", "Ada", "--type", "rsa3072", "--out", str(second), env=env)
    listed = json.loads(call("list", "--json").output)
    assert [(k["name"], k["type"], k["state"]) for k in listed] == [
        ("Ada", "RSA of 3072 bits", "valid"),
        ("Ada", "P-256", "valid"),
    ]
    shown = call("show").output
    key = load_key(default_key_path(), PASSPHRASE)
    assert key.fingerprint_words in shown
    assert "P-256" in shown
    out = tmp_path / "ada.pem"
    call("export", "--out", str(out))
    assert x509.load_pem_x509_certificate(out.read_bytes()) == key.certificate
    assert b"PRIVATE" not in out.read_bytes()
    assert call("export", "--format", "ssh").output.startswith("ecdsa-sha2-nistp256 ")
    signers = call("export", "--format", "allowed-signers").output
    assert signers.startswith('ada@example.org namespaces="hitl-audit-manifest" ecdsa-')
    der = CliRunner().invoke(main, ["keys", "export", "--format", "der"]).stdout_bytes
    assert x509.load_der_x509_certificate(der) == key.certificate


def test_open_permissions_and_expiry_are_said(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "key.p12"
    new_key(path, name="Ada", passphrase=PASSPHRASE.encode(), now=lambda: NOW, days=30)
    path.chmod(0o644)
    found = read_stored_key(path, NOW + timedelta(days=31))
    assert found.state == "expired"
    assert found.problems == (f"{path} is open to others (0644, expected 0600)",)
    assert read_stored_key(path, NOW - timedelta(days=31)).state == "not valid yet"
    (only,) = stored_keys(NOW, path.parent)
    assert only.state == "valid"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert "no such key; make one with" in call("show", str(tmp_path / "x.p12"), code=2).output
    path = tmp_path / "key.p12"
    new_key(path, name="Ada", passphrase=PASSPHRASE.encode(), now=lambda: NOW)
    path.with_suffix(".pem").write_text("nonsense")
    with pytest.raises(SigningError, match="holds no certificate"):
        export_key(path, "pem")
    path.with_suffix(".pem").unlink()
    with pytest.raises(SigningError, match="the key's certificate is not beside it"):
        read_stored_key(path, NOW)
    # As the message says: openssl can write it again.
    words = f"openssl pkcs12 -in {path} -nokeys -clcerts -passin env:PASSPHRASE"
    made = subprocess.run(
        words.split(), capture_output=True, check=True, env={"PASSPHRASE": PASSPHRASE}
    )
    path.with_suffix(".pem").write_bytes(made.stdout)
    assert read_stored_key(path, NOW).name == "Ada"
