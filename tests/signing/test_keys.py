import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from hitl_audit.errors import SigningError
from hitl_audit.signing.keys import default_key_path, generate_key, load_key, new_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PASSPHRASE = b"correct horse battery"


def clock() -> datetime:
    return NOW


def write_p12(path: Path, private_key: pkcs12.PKCS12PrivateKeyTypes) -> Path:
    """A PKCS#12 file as another program makes it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ada")])
    signing = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(signing, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(PASSPHRASE)
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"key", private_key, certificate, None, encryption)
    )
    return path


def test_a_new_key_opens_again_and_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config" / "hitl-audit" / "key.p12"
    made = new_key(
        path,
        name="Ada Lovelace",
        email="ada@example.org",
        organization="Example Bank",
        passphrase=PASSPHRASE,
        now=clock,
    )
    opened = load_key(path, PASSPHRASE, now=clock)
    assert opened == made
    assert (opened.name, opened.organization, opened.email) == (
        "Ada Lovelace",
        "Example Bank",
        "ada@example.org",
    )
    assert opened.self_signed
    assert opened.not_after == NOW + timedelta(days=825)
    assert opened.not_before < NOW
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_openssl_names_the_same_fingerprint(tmp_path: Path) -> None:
    key = generate_key("Ada Lovelace", now=clock)
    pem = tmp_path / "ada.pem"
    pem.write_bytes(key.certificate_pem())
    said = subprocess.run(
        ["openssl", "x509", "-in", str(pem), "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip().lower() == f"sha256 fingerprint={key.fingerprint_words[8:].lower()}"
    assert key.fingerprint_words.startswith("SHA-256 ")


def test_openssl_opens_the_file_only_with_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    new_key(path, name="Ada", passphrase=PASSPHRASE, now=clock)

    def openssl(passphrase: str) -> int:
        command = ["openssl", "pkcs12", "-in", str(path), "-passin", f"pass:{passphrase}"]
        return subprocess.run([*command, "-noout"], capture_output=True, check=False).returncode

    assert openssl(PASSPHRASE.decode()) == 0
    assert openssl("another one") != 0
    assert b"PRIVATE" not in path.read_bytes()


def test_a_key_never_shows_its_private_part() -> None:
    key = generate_key("Ada", now=clock)
    assert "private" not in repr(key)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    path.write_bytes(b"mine")
    with pytest.raises(SigningError, match=r"exists already; a key is never overwritten"):
        new_key(path, name="Ada", passphrase=PASSPHRASE, now=clock)
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: new_key(p, name="Ada", passphrase=b"short", now=clock), "has 5 characters"),
        (
            lambda p: new_key(p, name="Ada", passphrase=b"\xff" * 9, now=clock),
            "not UTF-8 text",
        ),
        (lambda p: generate_key(" ", now=clock), "name is empty"),
        (lambda p: generate_key("A" * 65, now=clock), "at most 64 printable"),
        (lambda p: generate_key("Ada\x1b[2J", now=clock), "at most 64 printable"),
        (lambda p: generate_key("Ada", organization="B" * 65, now=clock), "organization is"),
        (lambda p: generate_key("Ada", email="ada", now=clock), "email is 'ada'"),
        (lambda p: generate_key("Ada", email="adä@example.org", now=clock), "email is"),
        (lambda p: generate_key("Ada", days=0, now=clock), "days is 0, expected 1 or more"),
    ],
)
def test_what_a_certificate_cannot_carry_is_refused(
    make: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SigningError) as caught:
        make(tmp_path / "key.p12")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SigningError, match="cannot be made"):
        new_key(tmp_path / "file" / "key.p12", name="Ada", passphrase=PASSPHRASE, now=clock)


def test_p256_and_strong_rsa_are_accepted(tmp_path: Path) -> None:
    for private in (
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        path = write_p12(tmp_path / "key.p12", private)
        assert load_key(path, PASSPHRASE, now=clock).name == "Ada"


@pytest.mark.parametrize(
    ("private", "words"),
    [
        (ed25519.Ed25519PrivateKey.generate, "got a key of type Ed25519"),
        (
            lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505
            "got RSA of 1024 bits",
        ),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "elliptic-curve key on secp384r1"),
    ],
)
def test_other_and_weak_keys_are_refused(
    private: Callable[[], pkcs12.PKCS12PrivateKeyTypes], words: str, tmp_path: Path
) -> None:
    path = write_p12(tmp_path / "key.p12", private())
    with pytest.raises(SigningError, match="expected P-256 or RSA of 2048 bits or more") as caught:
        load_key(path, PASSPHRASE, now=clock)
    assert words in str(caught.value)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    new_key(path, name="Ada", passphrase=PASSPHRASE, now=clock)
    with pytest.raises(SigningError, match="wrong passphrase"):
        load_key(path, b"incorrect", now=clock)
    with pytest.raises(SigningError, match="no such key; make one with"):
        load_key(tmp_path / "none.p12", PASSPHRASE, now=clock)
    with pytest.raises(SigningError, match="cannot be read"):
        load_key(tmp_path, PASSPHRASE, now=clock)
    other = tmp_path / "other.p12"
    other.write_bytes(b"not a key at all")
    with pytest.raises(SigningError, match=r"expected a PKCS#12 file"):
        load_key(other, PASSPHRASE, now=clock)
    other.write_bytes(bytes(2 << 20))
    with pytest.raises(SigningError, match="too large for a key"):
        load_key(other, PASSPHRASE, now=clock)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    certificate = generate_key("Ada", now=clock).certificate
    encryption = serialization.BestAvailableEncryption(PASSPHRASE)
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"x", None, certificate, None, encryption)
    )
    with pytest.raises(SigningError, match="holds no private key"):
        load_key(path, PASSPHRASE, now=clock)


def test_an_expired_key_and_a_key_of_the_future_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.p12"
    new_key(path, name="Ada", passphrase=PASSPHRASE, now=clock, days=30)
    assert load_key(path, PASSPHRASE, now=lambda: NOW + timedelta(days=29)).name == "Ada"
    with pytest.raises(SigningError, match="key of Ada: expired on 2026-12-23"):
        load_key(path, PASSPHRASE, now=lambda: NOW + timedelta(days=31))
    with pytest.raises(SigningError, match="valid only from 2026-11-23"):
        load_key(path, PASSPHRASE, now=lambda: NOW - timedelta(days=1))


def test_the_default_place_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_path() == tmp_path / "hitl-audit" / "key.p12"
    # The XDG specification: a relative path is ignored.
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", ignored)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_key_path() == tmp_path / ".config" / "hitl-audit" / "key.p12"
