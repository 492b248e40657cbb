"""The judgment ledger: one append-only SQLite file that shows every alteration.

Each event is stored as the RFC 8785 bytes it was recorded with. Its leaf is
``SHA-256(0x00 || body)`` and its link is ``SHA-256(previous link || leaf)``, so
an altered, missing or inserted event breaks the chain at a place that can be
named. A chain alone cannot show a cut tail or a complete rewrite; a
:class:`Checkpoint` (size and RFC 6962 Merkle root) kept elsewhere, for example
inside a signed document, does.

Several processes may append at once. An append that returned is on the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from hitl_audit.canonical import Digest, sha256
from hitl_audit.errors import LedgerError
from hitl_audit.review.judgment import ANSWERS, FORMAT, SHOWN, Judgment, problems_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ANSWERS",
    "FORMAT",
    "SHOWN",
    "Checkpoint",
    "Judgment",
    "Ledger",
    "Receipt",
    "leaf_hash",
    "merkle_root",
]

_APPLICATION_ID = 0x48495452  # "HITR": a file of ours says so in its SQLite header
_VERSION = 1
_GENESIS = bytes(32)
_BUSY_SECONDS = 30.0

_GUARDS = {
    "no_update": """CREATE TRIGGER no_update BEFORE UPDATE ON judgment
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is ever edited'); END""",
    "no_delete": """CREATE TRIGGER no_delete BEFORE DELETE ON judgment
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is ever deleted'); END""",
    "no_gap": """CREATE TRIGGER no_gap BEFORE INSERT ON judgment
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM judgment)
        BEGIN SELECT RAISE(ABORT, 'the ledger has no gaps: events are numbered one by one'); END""",
    # INSERT OR REPLACE deletes the old row without firing delete triggers.
    "no_replace": """CREATE TRIGGER no_replace BEFORE INSERT ON judgment
        WHEN EXISTS (SELECT 1 FROM judgment WHERE event_id = NEW.event_id)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no event is replaced'); END""",
}
_TABLE = """CREATE TABLE judgment (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    link BLOB NOT NULL
) STRICT"""


@dataclass(frozen=True)
class Receipt:
    """Proof for the sender that an event is recorded.

    Attributes:
        seq: its number in the ledger, from 1.
        event_id: its id.
        leaf: its RFC 6962 leaf hash.
        link: the head of the hash chain with this event as the last.
    """

    seq: int
    event_id: str
    leaf: Digest
    link: Digest


@dataclass(frozen=True)
class Checkpoint:
    """What the ledger held at one moment, in three values to be signed.

    Attributes:
        size: number of events.
        root: RFC 6962 Merkle tree hash over the bodies of all events.
        chain_head: the last link of the hash chain.
    """

    size: int
    root: Digest
    chain_head: Digest
    format: str = "hitl-audit/checkpoint/v1"


class Ledger:
    """An append-only file of judgments.

    Args:
        path: the SQLite file; made if it does not exist.
        read_only: never write, and refuse a file that does not exist.

    Raises:
        LedgerError: the file is something else, of another version, or cannot
            be opened.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._read_only = read_only
        if read_only and not self.path.is_file():
            raise LedgerError(f"ledger: there is no file {self.path}")
        with self._connection() as db:
            if not read_only and _is_blank(db):
                _create(db)
            _check_header(db, self.path)

    def append(self, judgment: Judgment) -> Receipt:
        """Record one event; the same event again returns the same receipt.

        Raises:
            LedgerError: the event is not valid, its id is taken by another
                event, or it corrects what it may not.
        """
        problems = problems_of(judgment)
        if problems:
            raise LedgerError("\n".join(f"judgment: {problem}" for problem in problems))
        body = judgment.body()
        with self._connection() as db:
            # Taking the write lock before reading: a deferred transaction
            # would lose the race for the next number under WAL.
            db.execute("BEGIN IMMEDIATE")
            try:
                receipt = _append(db, judgment, body)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        return receipt

    def find(self, event_id: str) -> tuple[Receipt, Judgment] | None:
        """The recorded event with this id and its receipt, or ``None``."""
        with self._connection() as db:
            row = db.execute(
                "SELECT seq, event_id, body, link FROM judgment WHERE event_id = ?", (event_id,)
            ).fetchone()
        return None if row is None else (_receipt(*row), Judgment.from_body(row[2]))

    def judgments(self, *, after: int = 0) -> tuple[Judgment, ...]:
        """All events in the order of recording, or those numbered above ``after``.

        Raises:
            LedgerError: a body cannot be read; :meth:`verify` says more.
        """
        with self._connection() as db:
            rows = db.execute(
                "SELECT seq, body FROM judgment WHERE seq > ? ORDER BY seq", (after,)
            ).fetchall()
        events = []
        for seq, body in rows:
            try:
                events.append(Judgment.from_body(body))
            except LedgerError as error:
                raise LedgerError(f"ledger: event {seq}: {error}") from None
        return tuple(events)

    def frame(self) -> pd.DataFrame:
        """All events as a DataFrame, one row each, numbered from 1 in ``seq``."""
        import pandas as pd

        names = [f.name for f in fields(Judgment)]
        rows = [asdict(judgment) for judgment in self.judgments()]
        frame = pd.DataFrame(rows, columns=names)
        frame.insert(0, "seq", range(1, len(rows) + 1))
        return frame

    def checkpoint(self) -> Checkpoint:
        """Size, Merkle root and chain head of the ledger as it is now.

        Raises:
            LedgerError: the ledger is damaged; a damaged ledger is not vouched for.
        """
        rows, guards = self._rows()
        problems = _verify(rows, guards)
        if problems:
            raise LedgerError("ledger: damaged, no checkpoint: " + "; ".join(problems))
        return _checkpoint(rows)

    def verify(self) -> tuple[str, ...]:
        """Problems in words, each naming its event; empty if the chain is intact."""
        try:
            return _verify(*self._rows())
        except LedgerError as error:
            return (str(error),)

    def verify_against(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Problems of :meth:`verify`, and what differs from an earlier checkpoint.

        Events recorded after the checkpoint are no problem.
        """
        try:
            rows, guards = self._rows()
        except LedgerError as error:
            return (str(error),)
        problems = list(_verify(rows, guards))
        size = checkpoint.size
        if len(rows) < size:
            problems.append(
                f"the checkpoint vouches for {size} events, the ledger has {len(rows)}: "
                f"{size - len(rows)} were removed"
            )
            return tuple(problems)
        then = _checkpoint(rows[:size])
        if then.root != checkpoint.root or then.chain_head != checkpoint.chain_head:
            problems.append(
                f"the first {size} events are not the ones the checkpoint vouches for: "
                "the ledger was rewritten after the checkpoint"
            )
        return tuple(problems)

    def _rows(self) -> tuple[list[_Row], set[str]]:
        with self._connection() as db:
            rows = db.execute("SELECT seq, event_id, body, link FROM judgment ORDER BY seq")
            return rows.fetchall(), {
                name
                for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            }

    def _mode(self) -> str:
        if not self._read_only:
            return "mode=rwc"
        # A plain reader of a WAL database writes index files beside it. With
        # nothing waiting in the WAL the file is whole and can be read as it lies,
        # also from a disk that cannot be written.
        wal = self.path.with_name(f"{self.path.name}-wal")
        waiting = wal.is_file() and wal.stat().st_size > 0
        return "mode=ro" if waiting else "mode=ro&immutable=1"

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # One connection per operation: no state to share between threads or
        # kernels, and with nobody connected the file is whole without its WAL.
        try:
            with closing(
                sqlite3.connect(
                    f"{self.path.absolute().as_uri()}?{self._mode()}",
                    uri=True,
                    timeout=_BUSY_SECONDS,
                    isolation_level=None,
                )
            ) as db:
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except sqlite3.Error as error:
            raise LedgerError(f"ledger {self.path}: {error}") from error


_Row = tuple[int, str, bytes, bytes]


def leaf_hash(body: bytes) -> bytes:
    """RFC 6962 section 2.1: ``SHA-256(0x00 || body)``."""
    return sha256(b"\x00" + body)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1: the Merkle tree hash over leaf hashes.

    Going up level by level and moving an odd last node up unchanged gives the
    tree of the RFC, which splits at the largest power of two.
    """
    if not leaves:
        return sha256(b"")
    level = list(leaves)
    while len(level) > 1:
        level = [
            sha256(b"\x01" + level[i] + level[i + 1]) if i + 1 < len(level) else level[i]
            for i in range(0, len(level), 2)
        ]
    return level[0]


def _digest(raw: bytes) -> Digest:
    return Digest("sha256:" + raw.hex())


def _receipt(seq: int, event_id: str, body: bytes, link: bytes) -> Receipt:
    return Receipt(seq, event_id, _digest(leaf_hash(body)), _digest(link))


def _checkpoint(rows: Sequence[_Row]) -> Checkpoint:
    root = merkle_root([leaf_hash(body) for _, _, body, _ in rows])
    return Checkpoint(len(rows), _digest(root), _digest(rows[-1][3] if rows else _GENESIS))


def _is_blank(db: sqlite3.Connection) -> bool:
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    return bool(tables == 0 and application == 0)


def _create(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    if _is_blank(db):  # another process may have been first
        db.execute(_TABLE)
        for guard in _GUARDS.values():
            db.execute(guard)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")


def _check_header(db: sqlite3.Connection, path: Path) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION_ID:
        raise LedgerError(f"ledger: {path} is a database, but not a judgment ledger")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        raise LedgerError(f"ledger: {path} has version {version}; accepted: {_VERSION}")


def _append(db: sqlite3.Connection, judgment: Judgment, body: bytes) -> Receipt:
    known = db.execute(
        "SELECT seq, event_id, body, link FROM judgment WHERE event_id = ?", (judgment.event_id,)
    ).fetchone()
    if known is not None:
        if known[2] != body:
            raise LedgerError(
                f"judgment: event_id {judgment.event_id} is already recorded as event {known[0]} "
                "with other contents; a change is a new event that corrects it"
            )
        return _receipt(*known)
    if judgment.corrects is not None:
        _check_correction(db, judgment)
    seq, previous = db.execute(
        "SELECT seq, link FROM judgment ORDER BY seq DESC LIMIT 1"
    ).fetchone() or (0, _GENESIS)
    row = (seq + 1, judgment.event_id, body, sha256(previous + leaf_hash(body)))
    db.execute("INSERT INTO judgment (seq, event_id, body, link) VALUES (?, ?, ?, ?)", row)
    return _receipt(*row)


def _check_correction(db: sqlite3.Connection, judgment: Judgment) -> None:
    row = db.execute(
        "SELECT body FROM judgment WHERE event_id = ?", (judgment.corrects,)
    ).fetchone()
    if row is None:
        raise LedgerError(f"judgment: corrects names {judgment.corrects}, which is not recorded")
    old = Judgment.from_body(row[0])
    if old.phase == "blind":
        raise LedgerError("judgment: a blind answer cannot be corrected once the model's is known")
    for name in ("case_id", "reviewer", "model_digest", "plan_digest"):
        found, expected = getattr(judgment, name), getattr(old, name)
        if found != expected:
            raise LedgerError(
                f"judgment: {name} is {found!r}; a correction keeps it, expected {expected!r}"
            )


def _verify(rows: Sequence[_Row], guards: set[str]) -> tuple[str, ...]:
    problems = [
        f"the guard {name} was removed from the file" for name in _GUARDS if name not in guards
    ]
    expected, previous = 1, _GENESIS
    for seq, event_id, body, link in rows:
        here = f"event {seq} ({event_id})"
        if seq != expected:
            gone = (
                f"event {expected} is"
                if seq == expected + 1
                else f"events {expected} to {seq - 1} are"
            )
            problems.append(f"{gone} missing before {here}")
        if link != sha256(previous + leaf_hash(body)):
            problems.append(
                f"chain broken at {here}: it, or the event before it, is not what was recorded"
            )
        problems += [f"{here}: {words}" for words in _body_problems(event_id, body)]
        expected, previous = seq + 1, link
    return tuple(problems)


def _body_problems(event_id: str, body: bytes) -> list[str]:
    try:
        judgment = Judgment.from_body(body)
    except LedgerError as error:
        return [str(error)]
    if judgment.event_id != event_id:
        return [f"its body is that of event {judgment.event_id}"]
    if judgment.body() != body:
        return ["its body is not in canonical form"]
    return []
