"""``docs/verify-without-us.md``, run as written: on a whole report, and on tampered ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hitl_audit.signing.detached import cms_signature
from hitl_audit.signing.document import sign_document
from hitl_audit.signing.keys import generate_key

if TYPE_CHECKING:
    from tests.verification.conftest import Workshop

DOCS = Path(__file__).parents[2] / "docs" / "verify-without-us.md"
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
ROLES = ("data-scientist", "domain-expert", "compliance-officer")


@pytest.fixture(scope="module")
def signed(workshop: Workshop) -> Path:
    """An audit of today, because these programs judge certificates today."""
    now = datetime.now(UTC)
    made = workshop.make(
        registered=now - timedelta(hours=2),
        results=now - timedelta(hours=1),
        created=now - timedelta(minutes=5),
    )
    pdf = made.pdf
    for name, role in zip(("Ada", "Bob", "Olga"), ROLES, strict=True):
        key = generate_key(name, kind="rsa3072" if name == "Bob" else "p256")
        done = sign_document(pdf, key, field=role, reason="I signed.", signed_at=datetime.now(UTC))
        pdf = done.pdf
        for file, data in done.files.items():
            (made.folder / file).write_bytes(data)
    (made.folder / "report.pdf").write_bytes(pdf)
    return made.folder


def run(folder: Path, commands: list[str]) -> tuple[int, str]:
    """One shell for all, as a reader has; it stops at the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="".join(commands),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_command_succeeds_on_a_whole_report(signed: Path, workshop: Workshop) -> None:
    assert len(COMMANDS) == 7
    code, said = run(workshop.copy(signed), COMMANDS)
    assert code == 0, said
    assert said.count("CMS Verification successful") == 4
    assert said.count('Good "hitl-audit-manifest" signature') == 3
    assert said.count("Verified OK") == 2
    assert "report.html: OK" in said
    assert "results/scores.parquet: OK" in said
    for name in ("Ada", "Bob", "Olga"):
        assert re.search(rf"subject=.*CN = {name}", said)
    assert said.lower().count("sha256 fingerprint=") == 3


def test_the_fingerprints_are_those_that_we_print(signed: Path, workshop: Workshop) -> None:
    _, said = run(workshop.copy(signed), COMMANDS)
    result = workshop.verify(signed, now=lambda: datetime.now(UTC))
    printed = re.findall(r"(?i)sha256 fingerprint=([0-9A-F:]+)", said)
    assert printed == [s.fingerprint for s in result.signatures]


def flip(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return change


def append(folder: Path) -> None:
    with (folder / "report.pdf").open("ab") as file:
        file.write(b"\n% hello\n")


def roll_back(folder: Path) -> None:
    pdf = (folder / "report.pdf").read_bytes()
    ends = [int(a) + int(b) for a, b in re.findall(rb"/ByteRange \[\d+ \d+ (\d+) (\d+)", pdf)]
    (folder / "report.pdf").write_bytes(pdf[: ends[1]])


def stranger_signs_the_manifest(folder: Path) -> None:
    data = (folder / "manifest.json").read_bytes()
    eve = generate_key("Olga")
    made = cms_signature(data, eve, signed_at=datetime.now(UTC))
    (folder / "manifest.compliance-officer.p7s").write_bytes(made)


@pytest.mark.parametrize(
    "tamper",
    [
        flip("report.pdf"),
        append,
        roll_back,
        flip("report.html"),
        flip("manifest.json"),
        flip("audit.toml"),
        flip("evidence.dsse.json"),
        flip("manifest.domain-expert.sig"),
        stranger_signs_the_manifest,
    ],
)
def test_some_command_fails_on_a_tampered_one(
    tamper: Callable[[Path], None], signed: Path, workshop: Workshop
) -> None:
    folder = workshop.copy(signed)
    tamper(folder)
    code, said = run(folder, COMMANDS)
    assert code != 0, said
