"""Signed statements, checked by openssl; and what is not one."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.canonical import canonical_bytes, digest_bytes
from hitl_audit.signing.attestations import (
    ENVELOPES,
    HUMAN_JUDGMENTS,
    TEST_RESULT,
    attest,
    criteria_predicate,
    problems_of,
)
from hitl_audit.signing.envelope import pae, read_envelope, seal
from hitl_audit.signing.keys import KeyType, SigningKey, generate_key

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MANIFEST = b'{"format":"hitl-audit/manifest/v1"}'


def evidence(**changes: Any) -> bytes:
    return canonical_bytes(
        {
            "plan": {"digest": f"sha256:{'1' * 64}", "protocol": "blind-first"},
            "model": {"digest": f"sha256:{'2' * 64}"},
            "data": {"digest": f"sha256:{'3' * 64}"},
            "findings": [{"id": "F1", "status": "met"}, {"id": "F2", "status": "not met"}],
            "oversight": {
                "status": "assessed",
                "any_simulated": False,
                "sampled": 60,
                "judged": 12,
                "reviewers": 2,
                "verdicts": [["agree", 20], ["disagree", 4]],
                "corrections": 1,
            },
            "ledger": {
                "size": 24,
                "root": f"sha256:{'a' * 64}",
                "chain_head": f"sha256:{'b' * 64}",
            },
            **changes,
        }
    )


@pytest.fixture(scope="module", params=["p256", "rsa3072"])
def key(request: pytest.FixtureRequest) -> SigningKey:
    kind: KeyType = request.param
    return generate_key("Ada", kind=kind, now=lambda: NOW)


def openssl_verifies(home: Path, key: SigningKey, covered: bytes, signature: bytes) -> bool:
    (home / "cert.pem").write_bytes(key.certificate_pem())
    (home / "covered").write_bytes(covered)
    (home / "signature").write_bytes(signature)
    public = subprocess.run(
        ["openssl", "x509", "-in", home / "cert.pem", "-noout", "-pubkey"],
        capture_output=True,
        check=True,
    ).stdout
    (home / "public.pem").write_bytes(public)
    done = subprocess.run(
        [
            "openssl",
            "dgst",
            "-sha256",
            "-verify",
            "public.pem",
            "-signature",
            "signature",
            "covered",
        ],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() == "Verified OK"


def test_openssl_verifies_envelopes_and_refuses_others(key: SigningKey, tmp_path: Path) -> None:
    for name, data in attest(evidence(), MANIFEST, key).items():
        outer = json.loads(data)
        payload = base64.b64decode(outer["payload"])
        (signature,) = outer["signatures"]
        assert signature["keyid"] == key.fingerprint
        raw = base64.b64decode(signature["sig"])
        kind = outer["payloadType"]
        covered = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        assert covered == pae(payload)
        assert openssl_verifies(tmp_path, key, covered, raw)
        assert not openssl_verifies(tmp_path, key, covered + b" ", raw)
        assert read_envelope(data).predicate_type == ENVELOPES[name]
        assert read_envelope(data).is_signed_by(key.certificate)
        assert not read_envelope(data).is_signed_by(
            generate_key("Ada", now=lambda: NOW).certificate
        )


def test_the_published_example_of_the_encoding() -> None:
    """From the DSSE specification, protocol.md."""
    assert pae(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_the_statements_say(key: SigningKey) -> None:
    made = attest(evidence(), MANIFEST, key)
    criteria = json.loads(read_envelope(made["evidence.dsse.json"]).payload)
    assert criteria["_type"] == "https://in-toto.io/Statement/v1"
    assert criteria["predicateType"] == TEST_RESULT
    assert criteria["subject"] == [
        {"name": name, "digest": {"sha256": digest_bytes(data).removeprefix("sha256:")}}
        for name, data in (("evidence.json", evidence()), ("manifest.json", MANIFEST))
    ]
    assert criteria["predicate"]["result"] == "FAILED"
    assert criteria["predicate"]["passedTests"] == ["F1"]
    assert criteria["predicate"]["failedTests"] == ["F2"]
    judgments = json.loads(read_envelope(made["judgments.dsse.json"]).payload)
    assert judgments["predicateType"] == HUMAN_JUDGMENTS
    assert judgments["predicate"]["verdicts"] == {"agree": 20, "disagree": 4}
    assert judgments["predicate"]["checkpoint"] == {
        "size": 24,
        "rootHash": "a" * 64,
        "chainHead": "b" * 64,
    }


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        (["met"], "PASSED"),
        (["met", "insufficient data"], "WARNED"),
        (["met", "not met", "insufficient data"], "FAILED"),
        (["not assessed"], "WARNED"),
        ([], "WARNED"),
    ],
)
def test_a_result_is_the_worst_of_its_criteria(statuses: list[str], result: str) -> None:
    findings = [{"id": f"F{i}", "status": status} for i, status in enumerate(statuses)]
    value = json.loads(evidence(findings=findings))
    assert criteria_predicate(value)["result"] == result


def test_statements_of_other_evidence_or_another_manifest_do_not_fit() -> None:
    key = generate_key("Ada", now=lambda: NOW)
    good = {n: read_envelope(d) for n, d in attest(evidence(), MANIFEST, key).items()}
    assert problems_of(good, evidence(), MANIFEST) == ()
    assert all("belongs to another report" in p for p in problems_of(good, evidence(), b"{}"))
    assert len(problems_of(good, evidence(findings=[]), MANIFEST)) == 2
    payload = good["evidence.dsse.json"].payload
    other = read_envelope(seal(payload.replace(b"FAILED", b"PASSED"), key))
    found = problems_of({"evidence.dsse.json": other}, evidence(), MANIFEST)
    assert found == ("evidence.dsse.json says something else than evidence.json",)
    swapped = {"evidence.dsse.json": good["judgments.dsse.json"]}
    assert "a statement of another kind" in problems_of(swapped, evidence(), MANIFEST)[0]


def wrapped(content: Any, **changes: Any) -> bytes:
    inner = content if isinstance(content, bytes) else json.dumps(content).encode()
    outer: dict[str, Any] = {
        "payload": base64.b64encode(inner).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "", "sig": ""}],
        **changes,
    }
    return json.dumps(outer).encode()


STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [],
    "predicateType": "x",
    "predicate": {},
}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b"null",
        wrapped(b"{"),
        wrapped(b"[]"),
        wrapped(STATEMENT, payloadType="text/plain"),
        wrapped(STATEMENT, signatures=[]),
        wrapped(STATEMENT, signatures=[{"keyid": "", "sig": ""}] * 2),
        wrapped(STATEMENT, signatures=[{"keyid": "", "sig": "%"}]),
        wrapped(STATEMENT, payload="%%"),
        wrapped({**STATEMENT, "_type": "https://in-toto.io/Statement/v0.1"}),
        wrapped({**STATEMENT, "predicate": 3}),
        wrapped({**STATEMENT, "subject": [{"name": "x"}]}),
        wrapped({"_type": "https://in-toto.io/Statement/v1"}),
        b"x" * (9 << 20),
    ],
)
def test_what_is_no_envelope_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an envelope|expected at most"):
        read_envelope(data)
