"""Any sequence of events verifies; no single change of what is stored does."""

from __future__ import annotations

import sqlite3
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.review.event import Event
from hitl_audit.review.integrity import GENESIS, chain_link
from hitl_audit.review.judgment import ANSWERS, TASKS, Judgment, Withdrawal
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.merkle import digest_text, leaf_hash, merkle_root
from hitl_audit.review.records import Escalation, Resolution, Reviewer, WhatIf

WORDS = st.text(min_size=1, max_size=12).filter(str.strip)
MOMENTS = st.datetimes().map(lambda m: m.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"))
COMMON = {
    "event_id": st.uuids().map(str),
    "at": MOMENTS,
    "plan_digest": WORDS,
    "model_digest": WORDS,
    "simulated": st.booleans(),
}


def judgments(phase: str, answers: st.SearchStrategy[str], **more: Any) -> st.SearchStrategy[Event]:
    return st.builds(
        Judgment,
        **COMMON,
        case_id=WORDS,
        design=st.just("random"),
        inclusion_probability=st.floats(0, 1, exclude_min=True),
        reviewer=WORDS.filter(lambda name: name.strip().casefold() != "anonymous"),
        role=WORDS,
        phase=st.just(phase),
        answer=answers,
        reasons=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        rationale=WORDS,
        note=st.text(max_size=40),
        seconds=st.none() | st.floats(0, 1e300),
        task=st.sampled_from(TASKS),
        **more,
    )


EVENTS = st.one_of(
    judgments("final", st.sampled_from(ANSWERS["final"]), model_score=st.none() | st.floats(0, 1)),
    judgments("blind", st.sampled_from(ANSWERS["blind"]), shown=st.just(("case",))),
    st.builds(Reviewer, **COMMON, reviewer=WORDS, role=WORDS, name=st.text(max_size=20)),
    st.builds(
        Escalation,
        **COMMON,
        condition=WORDS,
        subject=WORDS,
        role=WORDS,
        raised_by=WORDS,
        rationale=st.text(max_size=20),
    ),
    st.builds(
        WhatIf,
        **COMMON,
        case_id=WORDS,
        reviewer=WORDS,
        score_before=st.floats(allow_nan=False, allow_infinity=False),
        score_after=st.floats(0, 1),
        step=WORDS,
        edits=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=2).map(tuple),
    ),
)


def answer_to(event: Event) -> Event | None:
    """An event that refers to this one."""
    same: dict[str, Any] = {
        name: getattr(event, name) for name in ("at", "plan_digest", "model_digest")
    }
    said: dict[str, Any]
    if isinstance(event, Judgment):
        said = {"withdraws": event.event_id, "reviewer": event.reviewer, "rationale": "sorry"}
        return Withdrawal(event_id=str(uuid.uuid4()), **same, **said)
    if isinstance(event, Escalation):
        said = {"reviewer": "Hal", "role": event.role, "outcome": "no", "rationale": "late"}
        return Resolution(event_id=str(uuid.uuid4()), resolves=event.event_id, **same, **said)
    return None


def recorded(path: Path, events: list[Event], answered: list[bool], redact: bool) -> Ledger:
    ledger = Ledger(path)
    for event, answer in zip(events, answered, strict=True):
        ledger.append(event)
        reply = answer_to(event) if answer else None
        if reply is not None:
            ledger.append(reply)
    words = [(e.event_id, name) for e in ledger.events() for name in e.PERSONAL if getattr(e, name)]
    if redact and words:
        event_id, name = words[0]
        ledger.redact(event_id, [name], by="DPO", reason="request")
    return ledger


SEQUENCES = st.lists(EVENTS, max_size=6, unique_by=lambda event: event.event_id)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), events=SEQUENCES, redact=st.booleans())
def test_any_sequence_of_events_verifies_and_reads_back(
    data: st.DataObject, events: list[Event], redact: bool
) -> None:
    answered = data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events)))
    with tempfile.TemporaryDirectory() as folder:
        ledger = recorded(Path(folder) / "ledger.db", events, answered, redact)
        checkpoint = ledger.checkpoint()
        assert ledger.verify_against(checkpoint) == ()
        stored = {event.event_id: event for event in ledger.events()}
        for event in events:
            if not stored[event.event_id].redacted:
                assert stored[event.event_id] == event
        for size in range(checkpoint.size + 1):
            proof = ledger.consistency_proof(size)
            assert proof.holds(_root(ledger, size), checkpoint.root)
        for seq in range(1, checkpoint.size + 1):
            assert ledger.inclusion_proof(seq).holds(checkpoint.root)
        ledger.close()


def _root(ledger: Ledger, size: int) -> str:
    with ledger._store.reading() as db:
        rows = ledger._store.rows(db)[:size]
    return digest_text(merkle_root([leaf_hash(row.body) for row in rows]))


def flip(value: Any, where: int) -> Any:
    """Change one bit, one character or one unit."""
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, bytes):
        place = where % len(value)
        return value[:place] + bytes([value[place] ^ (1 << where % 8)]) + value[place + 1 :]
    place = where % len(value)
    return value[:place] + ("x" if value[place] != "x" else "y") + value[place + 1 :]


@settings(max_examples=30, deadline=None)
@given(
    events=st.lists(EVENTS, min_size=1, max_size=5, unique_by=lambda event: event.event_id),
    redact=st.booleans(),
    where=st.integers(0, 1 << 20),
    kind=st.sampled_from(["change", "delete", "swap", "insert"]),
)
def test_no_single_change_of_what_is_stored_verifies(
    events: list[Event], redact: bool, where: int, kind: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = recorded(path, events, [True] * len(events), redact)
        checkpoint = ledger.checkpoint()
        db = sqlite3.connect(path, isolation_level=None)
        guards = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            db.execute(f"DROP TRIGGER {name}")
        before = _dump(db)
        CHANGES[kind](db, where)
        changed = _dump(db) != before
        for _, statement in guards:
            db.execute(statement)
        db.close()
        assert bool(ledger.verify_against(checkpoint)) == changed


def _dump(db: sqlite3.Connection) -> list[Any]:
    events = db.execute("SELECT * FROM event ORDER BY seq").fetchall()
    return events + db.execute("SELECT * FROM opening ORDER BY seq, field").fetchall()


def _cell(db: sqlite3.Connection, where: int) -> tuple[str, int, str]:
    tables = {
        "event": ("event_id", "body", "link", "seq"),
        "opening": ("salt", "value", "field", "seq"),
    }
    table = (
        "opening" if where % 3 == 0 and db.execute("SELECT 1 FROM opening").fetchone() else "event"
    )
    ids = [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table} ORDER BY rowid")]
    return table, ids[where % len(ids)], tables[table][where % 4]


def change(db: sqlite3.Connection, where: int) -> None:
    table, rowid, column = _cell(db, where)
    (value,) = db.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()
    db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (flip(value, where // 7), rowid))


def delete(db: sqlite3.Connection, where: int) -> None:
    table, rowid, _ = _cell(db, where)
    db.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))


def swap(db: sqlite3.Connection, where: int) -> None:
    rows = db.execute("SELECT seq, body FROM event ORDER BY seq").fetchall()
    one, other = rows[where % len(rows)], rows[where // 5 % len(rows)]
    db.execute("UPDATE event SET body = ? WHERE seq = ?", (other[1], one[0]))
    db.execute("UPDATE event SET body = ? WHERE seq = ?", (one[1], other[0]))


def insert(db: sqlite3.Connection, where: int) -> None:
    """Put an event of another ledger, with the right link, into the middle."""
    rows = db.execute("SELECT seq, event_id, body, link FROM event ORDER BY seq").fetchall()
    at = where % len(rows)
    db.execute("UPDATE event SET seq = -seq WHERE seq > ?", (at,))
    db.execute("UPDATE event SET seq = 1 - seq WHERE seq < 0")
    body = rows[at][2].replace(rows[at][1].encode(), str(uuid.UUID(int=where)).encode())
    link = chain_link(rows[at - 1][3] if at else GENESIS, body)
    db.execute(
        "INSERT INTO event VALUES (?, ?, ?, ?)", (at + 1, str(uuid.UUID(int=where)), body, link)
    )


CHANGES: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    "change": change,
    "delete": delete,
    "swap": swap,
    "insert": insert,
}
