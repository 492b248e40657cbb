"""What people take on about findings is kept, checked and shown."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.documents import current_evidence, record_follow_up, report_of
from hitl_audit.errors import InputError
from hitl_audit.follow_up import FollowUp, FollowUpFile, current, read_follow_ups, recorded
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Note, Report, Table

NOW = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
GIVEN: dict[str, Any] = {
    "severity": "high",
    "owner": "Head of credit",
    "due": "2026-06-30",
    "action": "Collect more decisions.",
    "by": "Ada",
}


def _record(**changes: Any) -> FollowUp:
    return recorded("F2", ["F1", "F2"], now=NOW, **(GIVEN | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"severity": "hihg"}, 'severity is "hihg"; accepted: critical, high, medium, low'),
        ({"state": "closed"}, 'state is "closed"; accepted: open, done, accepted'),
        ({"owner": "  "}, "owner is empty; expected a text"),
        ({"action": ""}, "action is empty; expected a text"),
        ({"by": ""}, "by is empty; expected a text"),
        ({"due": "30.6.2026"}, 'due is "30.6.2026"; expected a day such as 2026-12-31'),
    ],
)
def test_a_field_that_cannot_be_used_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _record(**changes)


def test_only_findings_that_exist_are_taken_on() -> None:
    with pytest.raises(InputError, match='finding is "F7"; accepted: F1, F2'):
        recorded("F7", ["F1", "F2"], now=NOW, **GIVEN)


def test_a_later_record_counts_and_the_earlier_stays() -> None:
    first, second = _record(), _record(state="done", action="Collected.")
    file = FollowUpFile((first, second))
    assert read_follow_ups(file.to_bytes()) == (first, second)
    assert current((first, second)) == {"F2": second}


@pytest.mark.parametrize("data", [b"", b"{}", b'{"records": [], "format": "other"}'])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"follow_ups\.json cannot be used"):
        read_follow_ups(data)


def _section(report: Report) -> tuple[Table, list[Note]]:
    (section,) = [s for s in report.sections if s.id == "findings"]
    table = next(b for b in section.blocks if isinstance(b, Table))
    return table, [b for b in section.blocks if isinstance(b, Note)]


def _composed(audited: Any, *records: FollowUp) -> Report:
    evidence = replace(audited.results.evidence, follow_ups=records)
    return compose(evidence, generated="2026-03-03T09:00:00.000000Z")


def test_what_nobody_took_on_is_visibly_blank(audited: Any) -> None:
    table, notes = _section(_composed(audited))
    undecided = [f.id for f in audited.results.findings if f.status != "met"]
    assert undecided
    assert [row[0].partition(".")[0] for row in table.rows] == undecided
    assert all(row[2:6] == ("[to be filled in]",) * 4 for row in table.rows)
    assert f"Nobody has taken on {', '.join(undecided)} yet." in notes[0].text


def test_what_was_taken_on_is_shown(audited: Any) -> None:
    table, _ = _section(_composed(audited, _record(), _record(owner="Chief of risk")))
    (row,) = [r for r in table.rows if r[0].startswith("F2.")]
    assert row[2:] == ("high", "Chief of risk", "2026-06-30", "Collect more decisions.", "open")


def test_what_is_overdue_is_said(audited: Any) -> None:
    _, notes = _section(_composed(audited, _record(due="2025-01-01")))
    assert any("Overdue" in n.text and "F2 (Head of credit, 2025-01-01)" in n.text for n in notes)


def test_in_a_folder_records_are_kept_and_printed(mortgage_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    shutil.copytree(mortgage_folder, folder)
    for owner in ("Ada", "Grace"):
        record_follow_up(folder, "F4", now=lambda: NOW, **(GIVEN | {"owner": owner}))
    evidence, _, _ = current_evidence(folder, now=NOW)
    assert [r.owner for r in evidence.follow_ups] == ["Ada", "Grace"]
    report = report_of(folder, now=NOW, since=mortgage_folder)
    table, _ = _section(report.document)
    assert [r[3] for r in table.rows if r[0].startswith("F4.")] == ["Grace"]
    assert "Since the last audit" in [s.title for s in report.document.sections]
    with pytest.raises(InputError, match='finding is "F99"'):
        record_follow_up(folder, "F99", now=lambda: NOW, **GIVEN)
