"""What somebody with full access to the database can do, and how it shows."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hitl_audit.errors import LedgerError
from hitl_audit.review.event import Opening
from hitl_audit.review.integrity import chain_link
from hitl_audit.review.ledger import Checkpoint, Judgment, Ledger
from hitl_audit.review.postgresql_store import _GUARDS as POSTGRESQL_GUARDS

NewPlace = Callable[[], "str | Path"]


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
        "answer": "disagree",
        "reasons": ("missing",),
        "rationale": "the debts are missing",
        "model_decision": "favorable",
    }
    return Judgment(**(fields | changes))


class Shell:
    """A database shell in the hands of somebody who may do everything."""

    def __init__(self, place: str | Path) -> None:
        self.sqlite = isinstance(place, Path)
        if isinstance(place, Path):
            self.db: Any = sqlite3.connect(place, isolation_level=None)
            query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            self.guards = dict(self.db.execute(query).fetchall())
        else:
            url = sa.make_url(place)
            engine = sa.create_engine(
                url.set(drivername="postgresql+pg8000", query={}),
                poolclass=sa.NullPool,
                isolation_level="AUTOCOMMIT",
            )
            self.db = engine.connect()
            self.db.exec_driver_sql(f"SET search_path = {url.query['schema']}")
            self.guards = {name: table for name, (table, _, _) in POSTGRESQL_GUARDS.items()}

    def __call__(self, statement: str, *values: Any) -> list[Any]:
        if self.sqlite:
            done = self.db.execute(statement, values)
            return [list(row) for row in done.fetchall()]
        done = self.db.exec_driver_sql(statement.replace("?", "%s"), values)
        return [list(row) for row in done] if done.returns_rows else []

    def drop_guards(self) -> None:
        for name, table in self.guards.items():
            on = "" if self.sqlite else f" ON {table}"
            self(f"DROP TRIGGER {name}{on}")

    def lift_guards(self) -> None:
        for name, table in self.guards.items():
            if self.sqlite:
                self(f"DROP TRIGGER {name}")
            else:
                self(f"ALTER TABLE {table} DISABLE TRIGGER {name}")

    def restore_guards(self) -> None:
        for name, was in self.guards.items():
            self(was if self.sqlite else f"ALTER TABLE {was} ENABLE ALWAYS TRIGGER {name}")

    def rows(self) -> list[Any]:
        rows = self("SELECT seq, event_id, body, link FROM event ORDER BY seq")
        return [[seq, event_id, bytes(body), bytes(link)] for seq, event_id, body, link in rows]

    def put(self, rows: list[Any]) -> None:
        """Replace all events by these, and leave no trace on the guards."""
        self.lift_guards()
        self("DELETE FROM event")
        for row in rows:
            self("INSERT INTO event (seq, event_id, body, link) VALUES (?, ?, ?, ?)", *row)
        self.restore_guards()

    def unguarded(self, statement: str, *values: Any) -> None:
        self.lift_guards()
        self(statement, *values)
        self.restore_guards()


class Scene:
    """A ledger of ten judgments, its checkpoint, and a shell on its database."""

    def __init__(self, place: str | Path) -> None:
        self.ledger = Ledger(place)
        self.events = [judgment(case_id=str(i)) for i in range(10)]
        self.ledger.append_all(self.events)
        self.checkpoint: Checkpoint = self.ledger.checkpoint()
        self.shell = Shell(place)

    def here(self, seq: int) -> str:
        return f"event {seq} ({self.events[seq - 1].event_id})"

    def found(self) -> tuple[str, ...]:
        return self.ledger.verify_against(self.checkpoint)


REFUSED = (sqlite3.Error, sa.exc.DBAPIError)
DIFFERENT = "the first 10 events are not the ones the checkpoint vouches for"


@pytest.fixture
def scene(new_place: NewPlace) -> Iterator[Scene]:
    scene = Scene(new_place())
    yield scene
    scene.shell.db.close()


def test_nothing_is_found_where_nothing_was_done(scene: Scene) -> None:
    scene.ledger.append(judgment())
    assert scene.found() == ()
    scene.shell.lift_guards()
    scene.shell.restore_guards()
    assert scene.found() == ()


# ---------------------------------------------------------------- the guards


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE event SET body = body WHERE seq = 3", "no event is ever edited"),
        ("UPDATE event SET seq = 99 WHERE seq = 10", "no event is ever edited"),
        ("DELETE FROM event WHERE seq = 10", "no event is ever deleted"),
        ("INSERT INTO event VALUES (12, 'x', '', '')", "numbered one by one"),
        ("INSERT INTO event VALUES (0, 'x', '', '')", "numbered one by one"),
        ("UPDATE opening SET value = value", "words of an event are never edited"),
        ("DELETE FROM opening WHERE seq = 3", "deleted only with a redaction"),
        ("DELETE FROM opening", "deleted only with a redaction"),
        ("INSERT INTO opening VALUES (3, 'note', '00', '00')", "with their event, never later"),
    ],
)
def test_the_database_itself_refuses_to_alter_events(
    scene: Scene, statement: str, words: str
) -> None:
    if scene.shell.sqlite:  # STRICT tables want blobs
        statement = statement.replace("'', '')", "x'', x'')")
    with pytest.raises(REFUSED) as refusal:
        scene.shell(statement)
    assert words in str(refusal.value)
    assert scene.found() == ()


def test_no_event_and_no_words_are_replaced(scene: Scene) -> None:
    event_id = scene.events[2].event_id
    if scene.shell.sqlite:  # deletes without firing a trigger on DELETE
        statements = [
            f"INSERT OR REPLACE INTO event VALUES (11, '{event_id}', x'', x'')",
            f"INSERT OR REPLACE INTO event VALUES (3, '{event_id}', x'', x'')",
            "INSERT OR REPLACE INTO opening VALUES (10, 'rationale', '00', 'x')",
            "UPDATE OR REPLACE event SET body = x'' WHERE seq = 3",
        ]
    else:
        same = "ON CONFLICT (event_id) DO UPDATE SET body = ''"
        statements = [
            f"INSERT INTO event VALUES (11, '{event_id}', '', '') {same}",
            "INSERT INTO opening VALUES (10, 'rationale', '00', 'x') "
            "ON CONFLICT (seq, field) DO UPDATE SET value = 'x'",
            "TRUNCATE event",
            "TRUNCATE opening",
            "SET session_replication_role = replica; DELETE FROM event",
        ]
    for statement in statements:
        with pytest.raises(REFUSED, match=r"never|append-only|gaps|only"):
            scene.shell(statement)
    assert scene.found() == ()


def test_a_redaction_opens_the_way_for_its_own_words_only(scene: Scene) -> None:
    scene.ledger.append(judgment(note="and more"))
    scene.ledger.redact(scene.events[2].event_id, ["rationale"], by="DPO", reason="request")
    for seq, name in ((11, "note"), (11, "rationale"), (4, "rationale")):
        with pytest.raises(REFUSED, match="only with a redaction"):
            scene.shell("DELETE FROM opening WHERE seq = ? AND field = ?", seq, name)
    scene.ledger.append(judgment())
    assert scene.found() == ()


@pytest.mark.parametrize("number", range(4))
def test_a_removed_guard_is_named(scene: Scene, number: int) -> None:
    name = list(scene.shell.guards)[number]
    on = "" if scene.shell.sqlite else f" ON {scene.shell.guards[name]}"
    scene.shell(f"DROP TRIGGER {name}{on}")
    assert scene.found() == (f"the guard {name} was removed from the ledger",)
    with pytest.raises(LedgerError, match=f"damaged, no checkpoint: the guard {name}"):
        scene.ledger.checkpoint()


def test_a_guard_that_was_made_harmless_is_named(scene: Scene) -> None:
    if scene.shell.sqlite:
        scene.shell("DROP TRIGGER no_update")
        scene.shell("CREATE TRIGGER no_update BEFORE UPDATE ON event BEGIN SELECT 1; END")
    else:
        scene.shell(
            "CREATE OR REPLACE FUNCTION no_update() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RETURN NEW; END $$"
        )
    assert scene.found() == ("the guard no_update was removed from the ledger",)


def test_all_guards_dropped_are_all_named(scene: Scene) -> None:
    scene.shell.drop_guards()
    assert len(scene.found()) == len(scene.shell.guards)


def test_a_disabled_guard_is_named(new_place: NewPlace) -> None:
    scene = Scene(new_place())
    if not scene.shell.sqlite:  # SQLite has no such thing
        scene.shell("ALTER TABLE event DISABLE TRIGGER no_delete")
        assert scene.found() == ("the guard no_delete was removed from the ledger",)
        scene.shell("ALTER TABLE event ENABLE TRIGGER no_delete")  # not for replicas
    else:
        scene.shell("DROP TRIGGER no_delete")
    assert scene.found() == ("the guard no_delete was removed from the ledger",)
    scene.shell.db.close()


# ---------------------------------------------------------------- the events


@pytest.mark.parametrize("seq", [1, 4, 10])
def test_one_changed_byte_is_named(scene: Scene, seq: int) -> None:
    rows = scene.shell.rows()
    rows[seq - 1][2] = rows[seq - 1][2].replace(b"domain expert", b"Domain expert")
    scene.shell.put(rows)
    broken = (
        f"chain broken at {scene.here(seq)}: it is not what was recorded, or events before it "
        "were removed"
    )
    assert scene.found() == (broken, DIFFERENT)
    with pytest.raises(LedgerError, match="damaged, no checkpoint: chain broken at event"):
        scene.ledger.checkpoint()


def test_a_changed_link_is_told_from_a_changed_event(scene: Scene) -> None:
    rows = scene.shell.rows()
    rows[3][3] = bytes(32)
    scene.shell.put(rows)
    assert scene.found()[0] == (
        f"the link of {scene.here(4)} was changed; its contents are what was recorded"
    )


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ((4,), "event 4 is missing before event 5"),
        ((4, 5), "events 4 to 5 are missing before event 6"),
        ((1,), "event 1 is missing before event 2"),
    ],
)
def test_a_missing_event_is_named(scene: Scene, gone: tuple[int, ...], words: str) -> None:
    scene.shell.put([row for row in scene.shell.rows() if row[0] not in gone])
    problems = scene.found()
    assert problems[0].startswith(words)
    assert problems[0].endswith("and the chain is broken there")
    assert f"there are words of event {gone[0]}, which is not in the ledger" in problems
    left = 10 - len(gone)
    assert problems[-1] == (
        f"the checkpoint vouches for 10 events, the ledger has {left}: {len(gone)} were removed"
    )


def test_an_event_removed_with_its_number_is_named(scene: Scene) -> None:
    rows = [row for row in scene.shell.rows() if row[0] != 4]
    scene.shell.put([[number, *row[1:]] for number, row in enumerate(rows, start=1)])
    assert any(p.startswith(f"chain broken at event 4 ({rows[3][1]})") for p in scene.found())


@pytest.mark.parametrize(("one", "other"), [(3, 8), (5, 6), (1, 10), (9, 10), (1, 2)])
@pytest.mark.parametrize("whole", [True, False])
def test_two_swapped_events_are_named(scene: Scene, one: int, other: int, whole: bool) -> None:
    rows = scene.shell.rows()
    ids = {one: rows[one - 1][1], other: rows[other - 1][1]}
    columns = slice(1, 4) if whole else slice(2, 3)
    rows[one - 1][columns], rows[other - 1][columns] = (
        rows[other - 1][columns],
        rows[one - 1][columns],
    )
    scene.shell.put(rows)
    first, second = (other, one) if whole else (one, other)
    problems = scene.found()
    assert (
        problems[0] == f"event {one} ({ids[first]}) and event {other} ({ids[second]}) were swapped"
    )
    assert not any("chain broken" in problem for problem in problems)
    assert problems[-1] == DIFFERENT


def test_a_cut_tail_shows_against_the_checkpoint_only(scene: Scene) -> None:
    scene.shell.put(scene.shell.rows()[:8])
    scene.shell.unguarded("DELETE FROM opening WHERE seq > 8")
    assert scene.ledger.verify() == ()
    assert scene.found() == (
        "the checkpoint vouches for 10 events, the ledger has 8: 2 were removed, cut from the end",
    )


def test_a_complete_rewrite_shows_against_the_checkpoint_only(scene: Scene) -> None:
    rows, previous = scene.shell.rows(), bytes(32)
    for row in rows:
        row[2] = row[2].replace(b'"disagree"', b'"escalate"')
        previous = row[3] = chain_link(previous, row[2])
    scene.shell.put(rows)
    assert scene.ledger.verify() == ()
    assert {event.answer for event in scene.ledger.judgments()} == {"escalate"}
    assert scene.found() == (f"{DIFFERENT}: the ledger was rewritten after the checkpoint",)


def test_many_events_edited_without_their_links_are_one_problem(new_place: NewPlace) -> None:
    place = new_place()
    ledger = Ledger(place)
    ledger.append_all([judgment(case_id=str(i)) for i in range(60)])
    shell = Shell(place)
    rows = shell.rows()
    for row in rows[4:]:
        row[2] = row[2].replace(b"domain expert", b"Domain expert")
    shell.put(rows)
    shell.db.close()
    (problem,) = ledger.verify()
    assert problem.startswith("56 events between event 5 (")
    assert problem.endswith("are not what was recorded: the ledger was rewritten there")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'hitl-audit/event/v1"', b'hitl-audit/event/v9"', "body has format 'hitl-audit/event/v9'"),
        (b'"judgment"', b'"verdict"', "the body has kind 'verdict'; accepted: judgment"),
        (b'"role":', b'"rule":', "the body has missing or unknown fields: role, rule"),
        (b'"role":"domain expert"', b'"role":[]', "role is (); expected str"),
        (b'"role":"domain expert"', b'"role":null', "role is None; expected str"),
        (b'"role":', b'"role" :', "its body is not in canonical form"),
        (b"0.25", b"2.5e-1", "its body is not in canonical form"),
        (b"17", b"\\ud800", "its body is not in canonical form"),
        (b"{", b"", "the body is not JSON"),
    ],
)
def test_a_body_that_no_program_of_ours_wrote_is_named(
    scene: Scene, old: bytes, new: bytes, words: str
) -> None:
    rows = scene.shell.rows()
    rows[9][2] = rows[9][2].replace(b'"case_id":"9"', b'"case_id":"17"').replace(old, new, 1)
    rows[9][3] = chain_link(rows[8][3], rows[9][2])
    scene.shell.put(rows)
    assert any(p.startswith(f"{scene.here(10)}: ") and words in p for p in scene.ledger.verify())


def test_an_id_that_is_not_the_body_s_is_named(scene: Scene) -> None:
    rows = scene.shell.rows()
    rows[2][1] = "other"
    scene.shell.put(rows)
    assert scene.found() == (
        f"event 3 (other): its body is that of event {scene.events[2].event_id}",
    )


# ----------------------------------------------------------------- the words


def test_altered_words_are_named(scene: Scene) -> None:
    scene.shell.unguarded("UPDATE opening SET value = ? WHERE seq = 3", '"the debts are fine"')
    words = "the words in 'rationale' are not the ones that were recorded"
    assert scene.found() == (f"{scene.here(3)}: {words}",)
    with pytest.raises(LedgerError, match="event 3: the words in 'rationale' are not the ones"):
        scene.ledger.judgments()


def test_an_altered_salt_is_named(scene: Scene) -> None:
    for salt in ("00", "not a number"):
        scene.shell.unguarded("UPDATE opening SET salt = ? WHERE seq = 3", salt)
        assert len(scene.found()) == 1
        assert scene.found()[0].startswith(f"{scene.here(3)}: the words in 'rationale' are not")


def test_words_that_vanish_without_a_redaction_are_named(scene: Scene) -> None:
    scene.shell.unguarded("DELETE FROM opening WHERE seq = 3")
    assert scene.found() == (
        f"{scene.here(3)}: the words in 'rationale' are gone without a redaction",
    )


def test_words_that_come_back_after_their_redaction_are_named(scene: Scene) -> None:
    (kept,) = scene.shell("SELECT seq, field, salt, value FROM opening WHERE seq = 3")
    scene.ledger.redact(scene.events[2].event_id, ["rationale"], by="DPO", reason="request")
    assert scene.found() == ()
    scene.shell.unguarded("INSERT INTO opening VALUES (?, ?, ?, ?)", *kept)
    assert scene.found() == (
        f"{scene.here(3)}: the words in 'rationale' were redacted and are still there",
    )


def test_words_that_nobody_recorded_are_named(scene: Scene) -> None:
    made_up = Opening("00" * 16, '"made up"')
    scene.shell.unguarded("INSERT INTO opening VALUES (3, 'note', ?, ?)", *made_up)
    assert scene.found() == (f"{scene.here(3)}: there are words in note that were not recorded",)
    scene.shell.unguarded("UPDATE opening SET seq = 99 WHERE field = 'note'")
    assert scene.found() == ("there are words of event 99, which is not in the ledger",)


def test_the_same_opinions_in_another_ledger_are_another_ledger(
    scene: Scene, new_place: NewPlace
) -> None:
    other = Ledger(new_place())
    other.append_all([replace(event, reviewer="Eve") for event in scene.events])
    assert other.verify() == ()
    assert other.verify_against(scene.checkpoint) == (
        f"{DIFFERENT}: the ledger was rewritten after the checkpoint",
    )
