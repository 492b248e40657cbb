"""Three people sign the built-in audit in its folder; what they see first, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hitl_audit.documents import report_of
from hitl_audit.errors import InputError, SigningError
from hitl_audit.sign_off import preview_signature, sign_folder
from hitl_audit.signing.keys import SigningKey, generate_key
from hitl_audit.verification import verify

ROLES = ("data scientist", "domain expert", "compliance officer")


class Clock:
    """A clock that starts after everything in the folder; every reading is a second later."""

    moment = datetime(2026, 3, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def keys(clock: Clock) -> dict[str, SigningKey]:
    moment = clock()
    names = ("Dora Data", "Ada Expert", "Olga Officer")
    return {role: generate_key(n, now=lambda: moment) for role, n in zip(ROLES, names, strict=True)}


@pytest.fixture(scope="module")
def fresh(mortgage_folder: Path, tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Path:
    """The built-in audit with a report that nobody has signed."""
    folder: Path = tmp_path_factory.mktemp("sign-off") / "mortgage"
    shutil.copytree(mortgage_folder, folder)
    clock.moment = later(folder)
    report_of(folder, now=clock()).save(folder, replace=True)
    return folder


def later(folder: Path) -> datetime:
    """After everything that is in the folder."""
    created = json.loads((folder / "manifest.json").read_bytes())["created"]
    return datetime.fromisoformat(created) + timedelta(minutes=1)


@pytest.fixture
def folder(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "mortgage"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_three_people_sign_and_everything_verifies(
    folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    for place, role in enumerate(ROLES):
        preview = preview_signature(folder, keys[role], role=role, now=clock())
        assert len(preview.earlier) == place
        assert preview.locks == (place == 2)
        assert preview.fingerprint in preview.words()
        states = sign_folder(folder, keys[role], role=role, now=clock())
        assert [s.signed for s in states].count(True) == place + 1
    assert preview.statement.startswith("I have read this document and approve it")
    assert "Only as allowed: later signatures were added" in preview.changes[0]
    assert "nobody can sign or change the document afterwards" in preview.words()
    result = verify(folder, trust=[k.fingerprint for k in keys.values()], now=clock)
    assert result.exit_code == 0, result.words()
    assert result.check("ledger").outcome == "not done"
    names = {
        entry["name"] for entry in json.loads((folder / "manifest.json").read_bytes())["files"]
    }
    assert names >= {
        "model.skops",
        "results/evidence.json",
        "results/sample.json",
        "results/scores.parquet",
        "results/shap.parquet",
        "report.html",
    }
    said = subprocess.run(
        ["pdfsig", "-nocert", str(folder / "report.pdf")],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert said.count("Signature is Valid.") == 3
    assert said.count("Total document signed") == 1
    checked = subprocess.run(
        ["qpdf", "--check", str(folder / "report.pdf")], capture_output=True, text=True, check=False
    ).stdout
    assert "No syntax or stream encoding errors found" in checked


def test_nobody_approves_what_they_prepared(
    folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    for role in ROLES[:2]:
        sign_folder(folder, keys[role], role=role, now=clock())
    before = contents(folder)
    for work in (preview_signature, sign_folder):
        with pytest.raises(
            SigningError, match="Dora Data prepared this document as data scientist"
        ):
            work(folder, keys[ROLES[0]], role=ROLES[2], now=clock())
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("data scienctist", r'role is "data scienctist"; accepted: .*; did you mean'),
        ("domain expert", "must wait: not yet signed by data scientist"),
    ],
)
def test_roles_out_of_order_leave_every_file_untouched(
    role: str, words: str, folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    before = contents(folder)
    with pytest.raises(SigningError, match=words):
        sign_folder(folder, keys[ROLES[0]], role=role, now=clock())
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report.html", "report.html was altered after the report was made"),
        ("results/scores.parquet", "results/scores.parquet was altered"),
        ("audit.toml", "audit.toml was altered"),
        ("report.pdf", "The file can be read|What was signed is intact|was replaced|damaged"),
    ],
)
def test_nobody_signs_a_folder_whose_files_do_not_agree(
    name: str, words: str, folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    sign_folder(folder, keys[ROLES[0]], role=ROLES[0], now=clock())
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    before = contents(folder)
    with pytest.raises(SigningError, match=words):
        sign_folder(folder, keys[ROLES[1]], role=ROLES[1], now=clock())
    assert contents(folder) == before


def test_judgments_that_are_newer_than_the_document_are_shown(
    folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    from hitl_audit.audit import Audit

    Audit.open(folder, now=clock).simulate_reviewers(n_reviewers=1)
    preview = preview_signature(folder, keys[ROLES[0]], role=ROLES[0], now=clock())
    (change,) = preview.changes
    assert change.endswith("judgments were recorded since and are not in this document.")
    assert change.split()[0] in preview.words()


def test_a_folder_without_a_report_is_said(
    folder: Path, keys: dict[str, SigningKey], clock: Clock
) -> None:
    (folder / "report.pdf").unlink()
    with pytest.raises(InputError, match=r"has no report\.pdf yet"):
        sign_folder(folder, keys[ROLES[0]], role=ROLES[0], now=clock())
