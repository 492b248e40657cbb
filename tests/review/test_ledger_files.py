"""What holds of a ledger in a SQLite file: opening, reading only, words gone from its bytes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.errors import LedgerError
from hitl_audit.review.ledger import Judgment, Ledger


def judgment(**changes: Any) -> Judgment:
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "at": "2026-01-31T12:00:00.000000Z",
        "plan_digest": "sha256:p",
        "model_digest": "sha256:m",
        "case_id": "17",
        "design": "random",
        "inclusion_probability": 0.25,
        "reviewer": "Dana",
        "role": "domain expert",
        "phase": "final",
        "answer": "agree",
    }
    return Judgment(**(fields | changes))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def filled(ledger: Ledger, events: int) -> None:
    ledger.append_all([judgment(case_id=str(i)) for i in range(events)])


def test_opening_something_else_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, and no database at all\n" * 40)
    with pytest.raises(LedgerError, match=r"notes.txt: file is not a database"):
        Ledger(text)
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE shopping (item)")
    db.commit()
    db.close()
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="a database, but not a judgment ledger"):
        Ledger(other)
    assert other.read_bytes() == before


def test_opening_another_version_is_refused(ledger: Ledger) -> None:
    db = sqlite3.connect(ledger.path)
    db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(LedgerError, match="has version 1; accepted: 2"):
        Ledger(ledger.path)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"nowhere.*unable to open"):
        Ledger(tmp_path / "nowhere" / "judgments.db")
    with pytest.raises(LedgerError, match=r"there is no file .*absent\.db"):
        Ledger(tmp_path / "absent.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_url_names_the_file(ledger: Ledger) -> None:
    assert ledger.url == f"sqlite:///{ledger.path}"
    assert Ledger(str(ledger.path)).path == ledger.path
    assert Ledger(ledger.url, read_only=True).path == ledger.path


def test_the_file_is_as_the_requirements_say(ledger: Ledger) -> None:
    db = sqlite3.connect(ledger.path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    tables = dict(db.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"))
    assert (tables["event"], tables["opening"]) == (1, 1)
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in BLOB column"):
        db.execute("INSERT INTO event VALUES (1, 'x', 'text', x'')")
    db.close()


def test_the_file_is_whole_after_a_checkpoint_and_after_close(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    for give_back in (ledger.close, ledger.checkpoint):
        filled(ledger, 3)
        give_back()
        assert list(tmp_path.iterdir()) == [ledger.path]
    assert len(ledger.events()) == 6


def test_the_file_is_whole_when_the_program_ends(tmp_path: Path) -> None:
    code = f"""
from tests.review.test_ledger_files import Ledger, filled
filled(Ledger({str(tmp_path / "judgments.db")!r}), 3)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["judgments.db"]
    assert len(Ledger(tmp_path / "judgments.db", read_only=True).events()) == 3


def test_reading_only_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "odd name?#%.db")
    filled(ledger, 3)
    checkpoint = ledger.checkpoint()
    before = ledger.path.read_bytes()
    reader = Ledger(ledger.path, read_only=True)
    assert reader.verify_against(checkpoint) == ()
    assert list(tmp_path.iterdir()) == [ledger.path]
    assert ledger.path.read_bytes() == before


def test_reading_only_sees_what_still_waits_in_the_wal(ledger: Ledger) -> None:
    filled(ledger, 2)
    holder = sqlite3.connect(ledger.path)  # keeps the WAL from being folded in
    holder.execute("SELECT count(*) FROM event").fetchone()
    filled(ledger, 2)
    ledger.close()
    assert len(Ledger(ledger.path, read_only=True).judgments()) == 4
    holder.close()


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def disagreement(case: int) -> Judgment:
    # Long words and short ones, so that they lie on pages of their own and within pages.
    said = f"<{case}> Mrs. Doe " + "is a friend of mine " * (1 + case % 7 * 100)
    return judgment(
        case_id=str(case), answer="disagree", reasons=("x",), rationale=said, note=f"<n{case}> call"
    )


def test_redacted_words_are_in_none_of_the_bytes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    events = [disagreement(case) for case in range(40)]
    ledger.append_all(events)
    checkpoint = ledger.checkpoint()
    for case in (0, 7, 13, 20, 39):
        assert f"<{case}> Mrs. Doe".encode() in bytes_on_disk(tmp_path)
        ledger.redact(events[case].event_id, ["rationale", "note"], by="DPO", reason="request")
        left = bytes_on_disk(tmp_path)
        assert f"<{case}> Mrs. Doe".encode() not in left
        assert f"<n{case}>".encode() not in left
        assert b"<5> Mrs. Doe" in left
    assert ledger.verify_against(checkpoint) == ()
    db = sqlite3.connect(ledger.path)
    assert db.execute("SELECT count(*) FROM opening").fetchone() == (70,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_words_that_a_reader_keeps_in_use_are_reported_and_go_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitl_audit.review.sqlite_store._BUSY_SECONDS", 0.0)
    ledger = Ledger(tmp_path / "judgments.db")
    event = disagreement(1)
    ledger.append(event)
    reader = sqlite3.connect(ledger.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    with pytest.raises(LedgerError, match="the redaction is recorded, but another program"):
        ledger.redact(event.event_id, ["rationale"], by="DPO", reason="request")
    assert b"<1> Mrs. Doe" in bytes_on_disk(tmp_path)
    reader.close()
    ledger.forget()
    assert b"<1> Mrs. Doe" not in bytes_on_disk(tmp_path)
    assert len(ledger.events()) == 2
    assert ledger.verify() == ()
