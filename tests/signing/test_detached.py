"""Signatures beside a file, judged by openssl and ssh-keygen."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.signing.detached import (
    NAMESPACE,
    cms_problem,
    cms_signature,
    ssh_problem,
    ssh_public_key,
    ssh_signature,
)
from hitl_audit.signing.keys import KeyType, SigningKey, generate_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DATA = b'{"files": []}\n'
ADA = generate_key("Ada", now=lambda: NOW)


@pytest.fixture(scope="module", params=["p256", "rsa3072"])
def key(request: pytest.FixtureRequest) -> SigningKey:
    kind: KeyType = request.param
    return generate_key("Ada Lovelace", email="ada@example.org", kind=kind, now=lambda: NOW)


def openssl(home: Path, key: SigningKey, signature: bytes, data: bytes) -> bool:
    for name, content in (("c.pem", key.certificate_pem()), ("s", signature), ("d", data)):
        (home / name).write_bytes(content)
    words = "openssl cms -verify -binary -inform DER -in s -content d -CAfile c.pem -purpose any"
    more = ["-attime", str(int(NOW.timestamp()) + 60), "-out", "/dev/null"]
    done = subprocess.run([*words.split(), *more], cwd=home, capture_output=True, check=False)
    return done.returncode == 0


def ssh_keygen(
    home: Path, key: SigningKey, signature: bytes, data: bytes, namespace: str = NAMESPACE
) -> bool:
    (home / "signers").write_bytes(b"ada@example.org " + ssh_public_key(key.public_key) + b"\n")
    (home / "s.sig").write_bytes(signature)
    words = f"ssh-keygen -Y verify -f signers -I ada@example.org -n {namespace} -s s.sig"
    done = subprocess.run(words.split(), cwd=home, input=data, capture_output=True, check=False)
    return done.returncode == 0


def test_openssl_and_we_agree_on_cms(key: SigningKey, tmp_path: Path) -> None:
    signature = cms_signature(DATA, key, signed_at=NOW)
    for data, signer, good in ((DATA, key, True), (DATA + b" ", key, False), (DATA, ADA, False)):
        assert openssl(tmp_path, signer, signature, data) == good
        assert (cms_problem(signature, data, signer.certificate) == "") == good


def test_ssh_keygen_and_we_agree(key: SigningKey, tmp_path: Path) -> None:
    signature = ssh_signature(DATA, key)
    for data, signer, good in ((DATA, key, True), (DATA + b" ", key, False), (DATA, ADA, False)):
        assert ssh_keygen(tmp_path, signer, signature, data) == good
        assert (ssh_problem(signature, data, signer.certificate) == "") == good
    assert not ssh_keygen(tmp_path, key, signature, DATA, "file")
    assert ssh_problem(ssh_signature(DATA, key, namespace="file"), DATA, key.certificate) == (
        "it was made for another purpose"
    )


def test_what_ssh_keygen_signs_is_accepted(tmp_path: Path) -> None:
    """The other direction: its signature with the same key is one of ours."""
    from cryptography.hazmat.primitives import serialization

    private = ADA.private_key
    assert not callable(private)
    (tmp_path / "id").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "id").chmod(0o600)
    (tmp_path / "m").write_bytes(DATA)
    words = f"ssh-keygen -Y sign -f id -n {NAMESPACE} -O hashalg=sha256 m"
    subprocess.run(words.split(), cwd=tmp_path, capture_output=True, check=True)
    made = (tmp_path / "m.sig").read_bytes()
    assert ssh_problem(made, DATA, ADA.certificate) == ""
    assert ssh_problem(made, DATA + b"x", ADA.certificate) == "it is a signature of something else"


CMS, SSH = cms_signature(DATA, ADA, signed_at=NOW), ssh_signature(DATA, ADA)


@pytest.mark.parametrize("data", [b"", b"0", b"0\x80", b"\xff" * 40, bytes(2 << 20), SSH])
def test_what_is_no_cms_is_said(data: bytes) -> None:
    assert cms_problem(data, DATA, ADA.certificate)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----",
        SSH.replace(b"U1NIU0lH", b"U1NIU0lI"),
        SSH[:60] + SSH[64:],
        bytes(2 << 20),
        CMS,
    ],
)
def test_what_is_no_ssh_signature_is_said(data: bytes) -> None:
    assert ssh_problem(data, DATA, ADA.certificate)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_altered_signature_passes_as_another(data: st.DataObject) -> None:
    """A flipped bit is refused, or (in parts that say nothing) changes nothing that is said."""
    for signature, problem in ((CMS, cms_problem), (SSH, ssh_problem)):
        altered = bytearray(signature)
        for _ in range(data.draw(st.integers(1, 4))):
            altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
        assert isinstance(problem(bytes(altered), DATA, ADA.certificate), str)
        assert problem(bytes(altered), DATA + b"x", ADA.certificate)
