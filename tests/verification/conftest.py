"""A small audit with everything that a report has, signed by three people."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typst

from hitl_audit.canonical import canonical_bytes, digest_bytes, utc_text
from hitl_audit.manifest import Manifest, ManifestFile, SignedCheckpoint
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.signing.assurance import OFFLINE, Assurance
from hitl_audit.signing.document import SignedDocumentFiles, sign_document
from hitl_audit.signing.keys import SigningKey, generate_key
from hitl_audit.signing.pdf import FieldBox, add_signature_fields
from hitl_audit.verification import VerificationResult, verify

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FONTS = Path(__file__).parents[2] / "hitl_audit" / "report" / "fonts"
ROLES = ("data scientist", "domain expert", "compliance officer")
PLAN = b"""[audit]
title = "Mortgages"
[model]
path = "model.bin"
built_by = ["Mona Model"]
[[roles]]
role = "data scientist"
signs = "prepared"
[[roles]]
role = "domain expert"
signs = "attested"
[[roles]]
role = "compliance officer"
signs = "approved"
"""


def clock() -> datetime:
    return NOW + timedelta(hours=1)


def judgment(number: int) -> Judgment:
    return Judgment(
        event_id=str(uuid.UUID(int=number)),
        case_id="case-1",
        design="random",
        inclusion_probability=0.5,
        reviewer="rev-1",
        role="domain expert",
        phase="blind",
        answer="unsure",
        reasons=(),
        rationale="",
        shown=("case",),
        model_digest=digest_bytes(b"model"),
        plan_digest=digest_bytes(PLAN),
        at=utc_text(NOW),
        seconds=None,
    )


@dataclass(frozen=True)
class Parts:
    """What a report is made of; ``replace`` makes another audit or a faulty one."""

    title: str = "Mortgages"
    plan: bytes = PLAN
    value: float = 0.74
    status: str = "met"
    registered: datetime = NOW - timedelta(hours=2)
    lock_registered: datetime | None = None
    results: datetime = NOW - timedelta(hours=1)
    created: datetime = NOW - timedelta(minutes=5)
    after_results: bool = False
    judgments: int = 3
    roles: tuple[str, ...] = ROLES
    evidence_changes: tuple[tuple[str, Any], ...] = ()
    manifest_changes: tuple[tuple[str, Any], ...] = ()
    lock: bytes = b""
    extra: tuple[tuple[str, bytes], ...] = ()
    lock_last: bool = True

    def lock_bytes(self) -> bytes:
        if self.lock:
            return self.lock
        entry = {
            "digest": digest_bytes(self.plan),
            "registered_at": utc_text(self.lock_registered or self.registered),
            "after_results": self.after_results,
            "reason": "",
        }
        return json.dumps({"format": "hitl-audit/plan-lock/v1", "registrations": [entry]}).encode()


@dataclass(frozen=True)
class Made:
    """A folder with a report, before anybody signed."""

    folder: Path
    parts: Parts
    evidence: bytes
    manifest: Manifest
    pdf: bytes


class Workshop:
    """Makes audits, keys and signatures."""

    now = NOW
    roles = ROLES
    plan = PLAN

    def __init__(self, home: Path) -> None:
        self._home, self._count = home, 0
        self.ada, self.bob, self.olga, self.eve, self.mona = (
            self.key(name)
            for name in ("Ada Lovelace", "Bob Expert", "Olga Officer", "Ada Lovelace", "Mona Model")
        )

    def key(self, name: str, **other: Any) -> SigningKey:
        return generate_key(name, organization="Example Bank", now=lambda: NOW, **other)

    def judgment(self, number: int) -> Judgment:
        return judgment(number)

    def folder(self) -> Path:
        self._count += 1
        path = self._home / f"audit-{self._count}"
        path.mkdir()
        return path

    def make(self, parts: Parts | None = None, **changes: Any) -> Made:
        parts = replace(parts or Parts(), **changes)
        home = self.folder()
        (home / "results").mkdir()
        ledger = Ledger(home / "judgments.db")
        for number in range(parts.judgments):
            ledger.append(judgment(number))
        state = ledger.checkpoint() if parts.judgments else None
        evidence = canonical_bytes(
            {
                "format": "hitl-audit/evidence/v1",
                "started": utc_text(parts.results),
                "audit": {"title": parts.title},
                "plan": {
                    "digest": digest_bytes(parts.plan),
                    "registered_at": utc_text(parts.registered),
                    "protocol": "blind-first",
                    "roles": [],
                },
                "model": {"digest": digest_bytes(b"model")},
                "data": {"digest": digest_bytes(b"data")},
                "findings": [{"id": "F1", "status": parts.status, "value": parts.value}],
                "oversight": {
                    "status": "assessed",
                    "any_simulated": False,
                    "sampled": 5,
                    "judged": 1,
                    "reviewers": 1,
                    "verdicts": [["unsure", 1]],
                    "corrections": 0,
                },
                "ledger": None
                if state is None
                else {"size": state.size, "root": state.root, "chain_head": state.chain_head},
                **dict(parts.evidence_changes),
            }
        )
        beside = {
            "report.html": b"<!doctype html><title>Report</title>",
            "results/scores.parquet": b"PAR1 scores PAR1",
            "results/evidence.json": evidence + b"\n",
            "model.bin": b"model",
            "alternative.json": b"{}",
        }
        attached = {
            "evidence.json": evidence,
            "audit.toml": parts.plan,
            "plan.lock.json": parts.lock_bytes(),
        }
        manifest = replace(
            Manifest(
                document_id=f"HA-{digest_bytes(evidence)[7:15].upper()}",
                created=parts.created,
                files=(
                    *(ManifestFile.of(n, d, attached=True) for n, d in attached.items()),
                    *(ManifestFile.of(n, d, attached=False) for n, d in beside.items()),
                ),
                ledger=None
                if state is None
                else SignedCheckpoint(
                    state.size,
                    state.root.removeprefix("sha256:"),
                    state.chain_head.removeprefix("sha256:"),
                ),
                plan_digest=digest_bytes(parts.plan),
                plan_registered_at=parts.registered,
                results_created=parts.results,
            ),
            **dict(parts.manifest_changes),
        )
        inside = {**attached, "manifest.json": manifest.to_bytes(), **dict(parts.extra)}
        pdf = self.pdf(parts, inside)
        for name, data in {**attached, **beside}.items():
            (home / name).write_bytes(data)
        (home / "manifest.json").write_bytes(manifest.to_bytes())
        (home / "report.pdf").write_bytes(pdf)
        return Made(home, parts, evidence, manifest, pdf)

    def pdf(self, parts: Parts, attached: dict[str, bytes]) -> bytes:
        lines = [
            f'#set document(title: "{parts.title}", '
            "date: datetime(year: 2026, month: 11, day: 23))",
            '#set text(font: "Inter", lang: "en")',
        ]
        for name, data in attached.items():
            lines.append(
                f"#pdf.attach({json.dumps(name)}, bytes({json.dumps(data.decode())}), "
                f'relationship: "data", mime-type: "application/octet-stream", description: "{name}")'
            )
        lines += [f"= {parts.title}: {parts.value}", "#lorem(40)", "#pagebreak()", "= Signatures"]
        folders: list[Any] = [str(FONTS)]
        page: bytes = typst.compile(
            "\n".join(lines).encode(),
            format="pdf",
            font_paths=folders,
            ignore_system_fonts=True,
            pdf_standards=["a-3a", "ua-1"],
            timestamp=1_700_000_000,
        )
        boxes = [
            FieldBox(
                role.replace(" ", "-"),
                role,
                2,
                70,
                110 + 90 * place,
                450,
                74,
                parts.lock_last and role == parts.roles[-1],
            )
            for place, role in enumerate(parts.roles)
        ]
        return add_signature_fields(page, boxes)

    def sign(
        self,
        pdf: bytes,
        key: SigningKey,
        role: str,
        *,
        minutes: float = 0,
        assurance: Assurance = OFFLINE,
    ) -> SignedDocumentFiles:
        return sign_document(
            pdf,
            key,
            field=role.replace(" ", "-"),
            reason=f"I signed as {role}.",
            signed_at=NOW + timedelta(minutes=minutes),
            assurance=assurance,
        )

    def sign_in(self, folder: Path, key: SigningKey, role: str, **other: Any) -> bytes:
        signed = self.sign((folder / "report.pdf").read_bytes(), key, role, **other)
        (folder / "report.pdf").write_bytes(signed.pdf)
        for name, data in signed.files.items():
            (folder / name).write_bytes(data)
        return signed.pdf

    def sign_all(self, folder: Path) -> Path:
        for minutes, (key, role) in enumerate(
            zip((self.ada, self.bob, self.olga), ROLES, strict=True)
        ):
            self.sign_in(folder, key, role, minutes=minutes)
        return folder

    @property
    def trust(self) -> list[str]:
        return [key.fingerprint for key in (self.ada, self.bob, self.olga)]

    def verify(self, path: Path, **other: Any) -> VerificationResult:
        return verify(path, **{"now": clock, "trust": self.trust, **other})

    def verify_bytes(self, pdf: bytes, **other: Any) -> VerificationResult:
        path = self.folder() / "report.pdf"
        path.write_bytes(pdf)
        return self.verify(path, **other)

    def copy(self, folder: Path) -> Path:
        target = self.folder()
        return Path(shutil.copytree(folder, target, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("audits"))


@pytest.fixture(scope="session")
def made(workshop: Workshop) -> Made:
    """An unsigned audit; tests that change it work on a copy."""
    return workshop.make()


@pytest.fixture(scope="session")
def once(workshop: Workshop, made: Made) -> Path:
    """The folder after the first signature."""
    folder = workshop.copy(made.folder)
    workshop.sign_in(folder, workshop.ada, ROLES[0])
    return folder


@pytest.fixture(scope="session")
def complete(workshop: Workshop, made: Made) -> Path:
    """The folder after all three signatures."""
    return workshop.sign_all(workshop.copy(made.folder))


@pytest.fixture(scope="session")
def other_audit(workshop: Workshop) -> Path:
    """Another audit by the same people, complete."""
    return workshop.sign_all(workshop.make(title="Credit cards", value=0.99).folder)


Tamper = Callable[[Path], object]
