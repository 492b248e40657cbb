"""The commands around the document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hitl_audit.cli import main


def _run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(mortgage_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy: Path = tmp_path_factory.mktemp("commands") / "audit"
    shutil.copytree(mortgage_folder, copy)
    return copy


def test_profiles_are_listed_and_one_is_explained() -> None:
    listed = _run("profiles")
    assert listed.exit_code == 0
    assert "eu-ai-act  (European Union; amended, as of " in listed.output
    one = _run("profiles", "nyc-ll144")
    assert "Blanks that only people can fill" in one.output
    assert [p["id"] for p in json.loads(_run("profiles", "--json").output)][-1] == "us-mrm"
    wrong = _run("profiles", "eu-ai-akt")
    assert wrong.exit_code == 2
    assert 'did you mean "eu-ai-act"' in wrong.output


def test_a_number_is_explained_from_the_pdf_and_from_the_folder(folder: Path) -> None:
    said = [
        _run("explain-number", path, "O1.3.1").output for path in (folder, folder / "report.pdf")
    ]
    assert said[0] == said[1]
    assert "findings[0].verdicts[" in said[0]
    assert "hitl_audit.findings.evaluate" in said[0]
    (found,) = json.loads(_run("explain-number", folder, "O1.3.1", "--json").output)
    assert found["origins"][0]["path"].startswith("findings[0]")


@pytest.mark.parametrize(
    ("path", "id", "words"),
    [
        ("report.pdf", "T9999", 'the document has no number "T9999"'),
        ("none.pdf", "T1", "does not exist; expected a report's PDF or an audit folder"),
        ("audit.toml", "T1", "cannot be read as a report"),
    ],
)
def test_what_cannot_be_explained_is_one_message(
    folder: Path, path: str, id: str, words: str
) -> None:
    result = _run("explain-number", folder / path, id)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_comparing_an_audit_with_itself_and_with_a_worse_one(folder: Path, tmp_path: Path) -> None:
    same = _run("compare", folder, folder / "report.pdf")
    assert same.exit_code == 0
    assert "No promise is worse off." in same.output
    evidence = json.loads((folder / "results" / "evidence.json").read_bytes())
    evidence["findings"][0]["status"] = "not met"
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(evidence))
    result = _run("compare", folder, worse)
    assert result.exit_code == 1
    assert "met → not met" in result.output
    assert json.loads(_run("compare", folder, worse, "--json").output)["worse"] is True
    assert _run("compare", folder, tmp_path / "none").exit_code == 2


def test_a_finding_is_taken_on_and_views_are_written(folder: Path) -> None:
    taken = ["--owner", "Ada", "--due", "2026-12-31", "--action", "Look again.", "--by", "Grace"]
    done = _run("act", folder, "F4", "--severity", "high", *taken)
    assert done.exit_code == 0
    assert "Recorded: F4, high, Ada until 2026-12-31" in done.output
    assert _run("act", folder, "F4", "--severity", "huge", *taken).exit_code == 2
    card = _run("report", folder, "--view", "model-card")
    assert card.exit_code == 0
    assert (folder / "model-card.md").read_text().startswith("---\n")
    refused = _run("report", folder, "--view", "public")
    assert refused.exit_code == 2
    assert "nyc-ll144" in refused.output


def test_a_report_says_what_moved_since(folder: Path) -> None:
    made = _run("report", folder, "--replace", "--since", folder / "results" / "evidence.json")
    assert made.exit_code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Since the last audit" in page
    evidence = json.loads((folder / "evidence.json").read_bytes())
    assert evidence["follow_ups"][0]["owner"] == "Ada"
