"""A ledger in one SQLite file."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hitl_audit.errors import LedgerError
from hitl_audit.review.integrity import Row
from hitl_audit.review.store import VERSION, Store

__all__ = ["SqliteStore"]

_APPLICATION_ID = 0x48495452  # "HITR": a file of ours says so in its SQLite header
_BUSY_SECONDS = 30.0

_TABLES = (
    """CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    link BLOB NOT NULL
) STRICT""",
    """CREATE TABLE opening (
    seq INTEGER NOT NULL,
    field TEXT NOT NULL,
    salt TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (seq, field)
) STRICT""",
)
# INSERT OR REPLACE deletes the old row without firing delete triggers.
_GUARDS = {
    "no_update": """CREATE TRIGGER no_update BEFORE UPDATE ON event
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is ever edited'); END""",
    "no_delete": """CREATE TRIGGER no_delete BEFORE DELETE ON event
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is ever deleted'); END""",
    "no_gap": """CREATE TRIGGER no_gap BEFORE INSERT ON event
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM event)
        BEGIN SELECT RAISE(ABORT, 'the ledger has no gaps: events are numbered one by one'); END""",
    "no_replace": """CREATE TRIGGER no_replace BEFORE INSERT ON event
        WHEN EXISTS (SELECT 1 FROM event WHERE event_id = NEW.event_id)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is replaced'); END""",
    "words_no_update": """CREATE TRIGGER words_no_update BEFORE UPDATE ON opening
        BEGIN SELECT RAISE(ABORT, 'the words of an event are never edited'); END""",
    "words_no_delete": """CREATE TRIGGER words_no_delete BEFORE DELETE ON opening
        WHEN NOT EXISTS (
            SELECT 1 FROM event AS r, json_each(CAST(r.body AS TEXT), '$.fields') AS f
            WHERE r.seq = (SELECT max(seq) FROM event)
            AND json_extract(CAST(r.body AS TEXT), '$.kind') = 'redaction'
            AND json_extract(CAST(r.body AS TEXT), '$.redacts')
                = (SELECT event_id FROM event WHERE seq = OLD.seq)
            AND f.value = OLD.field)
        BEGIN SELECT RAISE(ABORT, 'words are deleted only with a redaction'); END""",
    "words_no_late": """CREATE TRIGGER words_no_late BEFORE INSERT ON opening
        WHEN NEW.seq IS NOT (SELECT max(seq) FROM event)
        BEGIN SELECT RAISE(ABORT, 'words are recorded with their event, never later'); END""",
    "words_no_replace": """CREATE TRIGGER words_no_replace BEFORE INSERT ON opening
        WHEN EXISTS (SELECT 1 FROM opening WHERE seq = NEW.seq AND field = NEW.field)
        BEGIN SELECT RAISE(ABORT, 'the words of an event are never replaced'); END""",
}


class SqliteStore(Store):
    """A ledger in one SQLite file.

    Args:
        path: the file; made if it does not exist.
        read_only: never write, and refuse a file that does not exist.

    Raises:
        LedgerError: the file is something else, of another version, or cannot
            be opened.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path: Path = path
        self.url = f"sqlite:///{path.absolute()}"
        self.read_only = read_only
        # Reading: one connection per operation, no state to share. Writing: one connection
        # that stays, because whoever closes the last one folds the WAL into the file and
        # deletes it, and a new one syncs the folder: most of the time of a small append.
        self._reader = _engine(path, read_only, poolclass=sa.NullPool)
        self._writer = _engine(
            path, read_only, poolclass=sa.QueuePool, pool_size=1, max_overflow=-1
        )
        weakref.finalize(self, self._writer.dispose)
        self.closed_before_fork()
        if read_only and not path.is_file():
            raise LedgerError(f"ledger: there is no file {path}")
        with self._connection(self._reader) as db:
            if not read_only and _is_blank(db):
                _create(db)
            _check_header(db, path)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of the file."""
        with self._connection(self._reader) as db:
            db.exec_driver_sql("BEGIN")
            yield db
            db.exec_driver_sql("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that took the write lock before it reads."""
        if self.read_only:
            raise LedgerError(f"ledger {self.path} was opened for reading only")
        with self._connection(self._writer) as db:
            # A deferred transaction would lose the race for the next number under WAL.
            db.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.exec_driver_sql("ROLLBACK")
                raise
            db.exec_driver_sql("COMMIT")

    def close(self) -> None:
        """Let the last connection fold the WAL into the file."""
        self._writer.dispose()

    def removed_guards(self, db: sa.Connection) -> list[str]:
        """Names of triggers that are gone or say something else."""
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        there = {str(name): sql for name, sql in db.exec_driver_sql(query)}
        return [name for name, sql in _GUARDS.items() if there.get(name) != sql]

    def mentions(self, db: sa.Connection, text: str) -> list[Row]:
        """Events whose body holds an ASCII text."""
        query = (
            "SELECT seq, event_id, body, link FROM event "
            "WHERE instr(body, CAST(? AS BLOB)) ORDER BY seq"
        )
        return [Row(*row) for row in db.exec_driver_sql(query, (text,))]

    def forget(self) -> None:
        """Rewrite the file without what was deleted, and empty its WAL.

        Raises:
            LedgerError: somebody else keeps the WAL in use.
        """
        with self._connection(self._writer) as db:
            # Deleting overwrites the words where they lie; a copy that stayed behind when
            # the tree was rebalanced goes only with the pages.
            db.exec_driver_sql("VACUUM")
            busy, _, _ = db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if busy:
            raise LedgerError(
                f"ledger {self.path}: the redaction is recorded, but another program is "
                "reading the ledger and keeps the words in the -wal file; close it and "
                "call forget()"
            )

    @contextmanager
    def _connection(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.connect() as db:
                yield db
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            words = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise LedgerError(f"ledger {self.path}: {words}") from None


def _engine(path: Path, read_only: bool, **pool: Any) -> sa.Engine:
    # Without a reference to the store, which could never be collected otherwise.
    connect = partial(_connect, path, read_only)
    return sa.create_engine("sqlite://", creator=connect, isolation_level="AUTOCOMMIT", **pool)


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{_mode(path, read_only)}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time has it from the pool
    )
    try:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
    except BaseException:
        db.close()
        raise
    return db


def _mode(path: Path, read_only: bool) -> str:
    if not read_only:
        return "mode=rwc"
    # A plain reader of a WAL database writes index files beside it. With
    # nothing waiting in the WAL the file is whole and can be read as it lies,
    # also from a disk that cannot be written.
    wal = path.with_name(f"{path.name}-wal")
    waiting = wal.is_file() and wal.stat().st_size > 0
    return "mode=ro" if waiting else "mode=ro&immutable=1"


def _is_blank(db: sa.Connection) -> bool:
    tables = db.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()
    application = db.exec_driver_sql("PRAGMA application_id").scalar_one()
    return bool(tables == 0 and application == 0)


def _create(db: sa.Connection) -> None:
    db.exec_driver_sql("PRAGMA journal_mode = WAL")
    db.exec_driver_sql("BEGIN IMMEDIATE")
    if _is_blank(db):  # another process may have been first
        for statement in (*_TABLES, *_GUARDS.values()):
            db.exec_driver_sql(statement)
        db.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
    db.exec_driver_sql("COMMIT")


def _check_header(db: sa.Connection, path: Path) -> None:
    application = db.exec_driver_sql("PRAGMA application_id").scalar_one()
    if application != _APPLICATION_ID:
        raise LedgerError(f"ledger: {path} is a database, but not a judgment ledger")
    version = db.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version != VERSION:
        raise LedgerError(f"ledger: {path} has version {version}; accepted: {VERSION}")
