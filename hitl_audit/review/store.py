"""Where the events of a ledger lie: two tables, reached through SQLAlchemy Core.

``event`` holds what is hashed; it is only ever added to. ``opening`` holds the
words that can be redacted; they come with their event and go with a redaction.
Triggers in the database enforce both. What differs between databases is in
:mod:`~hitl_audit.review.sqlite_store` and
:mod:`~hitl_audit.review.postgresql_store`.
"""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from hitl_audit.review.event import Opening
from hitl_audit.review.integrity import GENESIS, Row

__all__ = ["VERSION", "Store"]

VERSION = 2
"""Of the tables."""

_CHUNK = 500  # values in one statement; SQLite had a limit of 999

_METADATA = sa.MetaData()
_EVENT = sa.Table(
    "event",
    _METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("link", sa.LargeBinary, nullable=False),
)
_OPENING = sa.Table(
    "opening",
    _METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
)
_ROW = sa.select(_EVENT.c.seq, _EVENT.c.event_id, _EVENT.c.body, _EVENT.c.link)


_OPEN: weakref.WeakSet[Store] = weakref.WeakSet()


@cache
def _watch_forks() -> None:
    def close_all() -> None:
        for store in tuple(_OPEN):
            store.close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=close_all)


class Store(ABC):
    """One database with a ledger in it.

    Attributes:
        url: where it is, without a password.
        read_only: nothing is ever written.
        path: the file, if it is one.
    """

    url: str
    read_only: bool
    path: Path | None = None

    @abstractmethod
    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one state of the ledger throughout.

        Raises:
            LedgerError: with the database's own words, never with a password.
        """

    @abstractmethod
    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that holds the only right to write; durable when it is left.

        Raises:
            LedgerError: opened for reading only, or the database refused.
        """

    @abstractmethod
    def removed_guards(self, db: sa.Connection) -> list[str]:
        """Names of the triggers that are not there as they were made."""

    @abstractmethod
    def forget(self) -> None:
        """Make sure that deleted words are not left in the files of the database."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is kept open between operations; the store stays usable."""

    def closed_before_fork(self) -> None:
        """Have :meth:`close` called before the process forks: no connection survives that."""
        _OPEN.add(self)
        _watch_forks()

    def tail(self, db: sa.Connection) -> tuple[int, bytes]:
        """Number and link of the last event; 0 and the genesis link without one."""
        query = sa.select(_EVENT.c.seq, _EVENT.c.link).order_by(_EVENT.c.seq.desc()).limit(1)
        row = db.execute(query).first()
        return (row.seq, row.link) if row else (0, GENESIS)

    def named(self, db: sa.Connection, event_ids: Sequence[str]) -> dict[str, Row]:
        """The recorded events among these ids."""
        found: dict[str, Row] = {}
        for start in range(0, len(event_ids), _CHUNK):
            chunk = list(event_ids[start : start + _CHUNK])
            for row in db.execute(_ROW.where(_EVENT.c.event_id.in_(chunk))):
                found[row.event_id] = Row(*row)
        return found

    def rows(self, db: sa.Connection, *, after: int = 0) -> list[Row]:
        """Events numbered above ``after``, in order."""
        query = _ROW.where(_EVENT.c.seq > after).order_by(_EVENT.c.seq)
        return [Row(*found) for found in db.execute(query)]

    @abstractmethod
    def mentions(self, db: sa.Connection, text: str) -> list[Row]:
        """Events whose body holds an ASCII text, in order."""

    def openings(
        self, db: sa.Connection, *, after: int = 0, seq: int | None = None
    ) -> dict[int, dict[str, Opening]]:
        """Openings of the events numbered above ``after``, or of one event."""
        wanted = _OPENING.c.seq > after if seq is None else _OPENING.c.seq == seq
        query = sa.select(_OPENING).where(wanted).order_by(_OPENING.c.seq, _OPENING.c.field)
        openings: dict[int, dict[str, Opening]] = {}
        for number, name, salt, value in db.execute(query):
            openings.setdefault(number, {})[name] = Opening(salt, value)
        return openings

    def insert(self, db: sa.Connection, row: Row, openings: dict[str, Opening]) -> None:
        """Add an event and its openings."""
        db.execute(_EVENT.insert(), row._asdict())
        if openings:
            words = [
                {"seq": row.seq, "field": name, "salt": salt, "value": value}
                for name, (salt, value) in openings.items()
            ]
            db.execute(_OPENING.insert(), words)

    def destroy(self, db: sa.Connection, seq: int, names: Iterable[str]) -> None:
        """Delete openings of an event; the database wants a redaction to be the last event."""
        chosen = _OPENING.delete().where(_OPENING.c.seq == seq, _OPENING.c.field.in_(list(names)))
        db.execute(chosen)
