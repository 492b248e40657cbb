"""What the preparer attests, beside the document: criteria, and human judgments.

Two in-toto statements are made from the evidence and signed before the PDF is;
they are attached to it, so the PDF's signatures cover them, and they can be
checked without any PDF at all. ``docs/attestations.md`` describes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hitl_audit.signing.envelope import Envelope, seal, statement
from hitl_audit.signing.keys import SigningKey

__all__ = [
    "ENVELOPES",
    "HUMAN_JUDGMENTS",
    "TEST_RESULT",
    "attest",
    "criteria_predicate",
    "judgments_predicate",
    "problems_of",
]

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
HUMAN_JUDGMENTS = "urn:hitl-audit:human-judgments:v1"
ENVELOPES = {"evidence.dsse.json": TEST_RESULT, "judgments.dsse.json": HUMAN_JUDGMENTS}
"""File name of each envelope, and the kind of statement in it."""

_RESULT = {"met": "PASSED", "not met": "FAILED"}


def criteria_predicate(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """in-toto's test-result: criteria met, not met, and undecided, by their ids.

    An audit without criteria has promised nothing: its result is ``WARNED``.
    """
    by_result: dict[str, list[str]] = {"PASSED": [], "WARNED": [], "FAILED": []}
    for finding in evidence["findings"]:
        by_result[_RESULT.get(finding["status"], "WARNED")].append(finding["id"])
    result = "FAILED" if by_result["FAILED"] else "WARNED"
    if by_result["PASSED"] and not by_result["FAILED"] and not by_result["WARNED"]:
        result = "PASSED"
    return {
        "result": result,
        "configuration": [
            {"name": "audit.toml", "digest": _digest(evidence["plan"]["digest"])},
            {"name": "model", "digest": _digest(evidence["model"]["digest"])},
            {"name": "data", "digest": _digest(evidence["data"]["digest"])},
        ],
        "passedTests": by_result["PASSED"],
        "warnedTests": by_result["WARNED"],
        "failedTests": by_result["FAILED"],
    }


def judgments_predicate(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What people judged, with the ledger's checkpoint (``None`` without judgments)."""
    oversight, ledger = evidence["oversight"], evidence["ledger"]
    return {
        "protocol": evidence["plan"]["protocol"],
        "status": oversight["status"],
        "simulated": oversight["any_simulated"],
        "cases": {"sampled": oversight["sampled"], "judged": oversight["judged"]},
        "reviewers": oversight["reviewers"],
        "verdicts": dict(oversight["verdicts"]),
        "corrections": oversight["corrections"],
        "model": {"digest": _digest(evidence["model"]["digest"])},
        "plan": {"digest": _digest(evidence["plan"]["digest"])},
        "checkpoint": None
        if ledger is None
        else {
            "size": ledger["size"],
            "rootHash": ledger["root"].removeprefix("sha256:"),
            "chainHead": ledger["chain_head"].removeprefix("sha256:"),
        },
    }


def attest(evidence: bytes, manifest: bytes, key: SigningKey) -> dict[str, bytes]:
    """Make and sign both statements; file name → envelope.

    Args:
        evidence: ``evidence.json``.
        manifest: ``manifest.json``, which holds the digests of all other files.
        key: the preparer's.

    Raises:
        KeyError, ValueError: the evidence lacks what a statement needs.
    """
    return {name: seal(data, key) for name, data in _statements(evidence, manifest).items()}


def problems_of(
    envelopes: Mapping[str, Envelope], evidence: bytes, manifest: bytes
) -> tuple[str, ...]:
    """Compare statements with those that follow from the evidence; says what differs.

    The statements are made again and compared as bytes: an envelope of another
    audit, or one that says another result than the evidence, cannot pass.
    """
    expected = _statements(evidence, manifest)
    problems = []
    for name, found in envelopes.items():
        if found.payload == expected[name]:
            continue
        if found.predicate_type != ENVELOPES[name]:
            problems.append(f"{name} is a statement of another kind ({found.predicate_type})")
        elif found.subjects != _subjects(expected[name]):
            problems.append(f"{name} speaks of other files: it belongs to another report")
        else:
            problems.append(f"{name} says something else than evidence.json")
    return tuple(problems)


def _statements(evidence: bytes, manifest: bytes) -> dict[str, bytes]:
    value = json.loads(evidence)
    subjects = [("evidence.json", evidence), ("manifest.json", manifest)]
    predicates = {
        "evidence.dsse.json": criteria_predicate(value),
        "judgments.dsse.json": judgments_predicate(value),
    }
    return {
        name: statement(ENVELOPES[name], predicate, subjects)
        for name, predicate in predicates.items()
    }


def _subjects(payload: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((s["name"], s["digest"]["sha256"]) for s in json.loads(payload)["subject"])


def _digest(text: str) -> dict[str, str]:
    return {"sha256": text.removeprefix("sha256:")}
