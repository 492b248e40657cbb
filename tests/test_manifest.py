import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hitl_audit.manifest import FORMAT, Manifest, ManifestFile, SignedCheckpoint

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def manifest(ledger: SignedCheckpoint | None) -> Manifest:
    return Manifest(
        document_id="d-1",
        created=NOON,
        files=(
            ManifestFile.of("results/evidence.json", b"{}", attached=True),
            ManifestFile.of("report.html", b"<p>", attached=False),
        ),
        ledger=ledger,
        plan_digest="sha256:" + "a" * 64,
        plan_registered_at=NOON,
        results_created=NOON,
    )


@pytest.mark.parametrize("ledger", [None, SignedCheckpoint(3, "b" * 64, "c" * 64)])
def test_round_trip_gives_the_same_manifest_and_the_same_bytes(
    ledger: SignedCheckpoint | None,
) -> None:
    before = manifest(ledger)
    data = before.to_bytes()
    after = Manifest.from_bytes(data)
    assert after == before
    assert after.to_bytes() == data
    assert after.files[0].attachment == "evidence.json"


def test_a_digest_may_carry_its_algorithm() -> None:
    value = json.loads(manifest(SignedCheckpoint(3, "b" * 64, "c" * 64)).to_bytes())
    value["ledger"]["root"] = "sha256:" + "b" * 64
    ledger = Manifest.from_bytes(json.dumps(value).encode()).ledger
    assert ledger is not None
    assert ledger.root == "b" * 64


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("format",), "hitl-audit/manifest/v9", "format is 'hitl-audit/manifest/v9', expected"),
        (("document_id",), "", "document_id is '', expected a text"),
        (("created",), "2026-11-23T12:00:00", "created is 2026-11-23T12:00:00, expected a time"),
        (("files", 0, "sha256"), "AB", "sha256 is 'AB', expected 64"),
        (("files", 0, "bytes"), True, "bytes is True, expected a whole number"),
        (("files", 0, "attached"), "yes", "attached is 'yes', expected true or false"),
        (("ledger",), {"size": 1}, "root is missing"),
        (("plan",), [], "manifest.json: list indices"),
    ],
)
def test_a_wrong_part_is_named(path: tuple[Any, ...], value: object, words: str) -> None:
    document = json.loads(manifest(None).to_bytes())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=r"manifest\.json: ") as caught:
        Manifest.from_bytes(json.dumps(document).encode())
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}"])
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json"):
        Manifest.from_bytes(data)
    assert FORMAT.endswith("/v1")
