"""The ledger of a review: an append-only record that shows every alteration.

Each event is stored as the RFC 8785 bytes it was recorded with, chained to the
one before. A chain alone cannot show a cut tail or a complete rewrite; a
:class:`Checkpoint` (size and RFC 6962 Merkle root) kept elsewhere, for example
inside a signed document, does. :mod:`~hitl_audit.review.integrity` says how.

A ledger is one SQLite file, or a PostgreSQL database for teams. Several
processes may append at once. An append that returned is on the disk. Triggers
in the database refuse edits and deletions; whoever may drop them can still
alter it, and :meth:`Ledger.verify` says what was done.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import rfc8785

from hitl_audit.canonical import Digest, utc_text
from hitl_audit.errors import LedgerError
from hitl_audit.review.event import Event, Opening, Sealed, event_kinds, read_event, unknown
from hitl_audit.review.integrity import (
    Checkpoint,
    Openings,
    Row,
    chain_link,
    chain_problems,
    checkpoint_of,
    checkpoint_problems,
    content_problems,
    leaves_of,
)
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.merkle import (
    ConsistencyProof,
    InclusionProof,
    consistency_path,
    digest_text,
    inclusion_path,
    leaf_hash,
)
from hitl_audit.review.records import Redaction
from hitl_audit.review.references import Recorded, reference_problems

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy as sa

    from hitl_audit.review.store import Store

__all__ = ["Checkpoint", "Judgment", "Ledger", "Numbered", "Receipt", "same_event"]


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


class Numbered(NamedTuple):
    """An event with its number in the ledger, from 1."""

    seq: int
    event: Event


class Ledger:
    """An append-only record of a review.

    Args:
        path_or_url: a SQLite file, made if it does not exist, or the URL of a
            PostgreSQL database, ``postgresql://user:password@host/database``.
            ``?schema=…`` keeps several ledgers in one database; with
            ``sslmode=verify-full`` the server's certificate is checked.
        read_only: never write, and refuse a ledger that does not exist.
        salts: source of 16 or more random bytes per call.

    Attributes:
        url: where the ledger is, without a password.

    Raises:
        LedgerError: there is something else, of another version, or it cannot
            be opened.
        MissingDependencyError: a PostgreSQL URL without its driver.
    """

    def __init__(
        self,
        path_or_url: str | Path,
        *,
        read_only: bool = False,
        salts: Callable[[], bytes] = lambda: secrets.token_bytes(16),
    ) -> None:
        self._store = _open(path_or_url, read_only)
        self._salts = salts
        self.url = self._store.url

    @property
    def path(self) -> Path:
        """The SQLite file.

        Raises:
            LedgerError: the ledger is in PostgreSQL.
        """
        path = self._store.path
        if path is None:
            raise LedgerError(f"ledger: {self.url} is in PostgreSQL, it has no file")
        return path

    # ------------------------------------------------------------ writing

    def append(self, event: Event) -> Receipt:
        """Record one event; the same event again returns the same receipt.

        Raises:
            LedgerError: the event is not valid, its id is taken by another
                event, or it refers to what it may not.
        """
        return self.append_all([event])[0]

    def append_all(self, events: Iterable[Event]) -> tuple[Receipt, ...]:
        """Record events in order, all of them or none.

        Raises:
            LedgerError: as :meth:`append`; nothing was recorded.
        """
        sealed = [(event, _sealed(event, self._salts)) for event in events]
        receipts = []
        with self._store.writing() as db:
            tail = self._store.tail(db)
            known = self._store.named(db, [event.event_id for event, _ in sealed])
            for event, seal in sealed:
                row = known.get(event.event_id)
                if row is not None:
                    _check_same(self._event(db, row), row, event)
                else:
                    row = self._insert(db, event, seal, tail)
                    tail, known[row.event_id] = (row.seq, row.link), row
                receipts.append(_receipt(row))
        if any(isinstance(event, Redaction) for event, _ in sealed):
            self.forget()
        return tuple(receipts)

    def redact(
        self,
        event_id: str,
        fields: Sequence[str],
        *,
        by: str,
        reason: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        redaction_id: str | None = None,
    ) -> Receipt:
        """Destroy words of a recorded event for good; every hash stays as it was.

        The words go from the table, from the file and from its write-ahead
        log. Backups, and with PostgreSQL the server's own archive of its log,
        are beyond this program's reach.

        Args:
            event_id: the event.
            fields: names of its redactable fields.
            by, reason: who asks, and on what ground; they are recorded.
            now: the clock.
            redaction_id: id of the redaction itself.

        Raises:
            LedgerError: no such event, or fields that hold no words.
        """
        found = self.find(event_id)
        if found is None:
            raise LedgerError(f"redaction: redacts names {event_id}, which is not recorded")
        return self.append(
            Redaction(
                event_id=redaction_id or str(uuid.uuid4()),
                at=utc_text(now()),
                plan_digest=found[1].plan_digest,
                model_digest=found[1].model_digest,
                redacts=event_id,
                fields=tuple(fields),
                by=by,
                reason=reason,
            )
        )

    def forget(self) -> None:
        """Clear deleted words from the database's files; :meth:`redact` does so itself.

        Raises:
            LedgerError: another program keeps them in use; call again later.
        """
        self._store.forget()

    def close(self) -> None:
        """Give back what is kept open between appends; the ledger stays usable.

        With every program done, a SQLite ledger is whole in its one file.
        :meth:`checkpoint` does so itself, and so does the end of the program.
        """
        self._store.close()

    # ------------------------------------------------------------ reading

    def find(self, event_id: str) -> tuple[Receipt, Event] | None:
        """The recorded event with this id and its receipt, or ``None``."""
        with self._store.reading() as db:
            row = self._store.named(db, [event_id]).get(event_id)
            return None if row is None else (_receipt(row), self._event(db, row))

    def numbered(self, *, after: int = 0) -> tuple[Numbered, ...]:
        """All events in the order of recording, or those numbered above ``after``.

        Whoever follows a ledger passes the last number seen.

        Raises:
            LedgerError: a body cannot be read; :meth:`verify` says more.
        """
        with self._store.reading() as db:
            rows = self._store.rows(db, after=after)
            openings = self._store.openings(db, after=after)
        return tuple(Numbered(row.seq, _read(row, openings.get(row.seq, {}))) for row in rows)

    def events(self, *, after: int = 0) -> tuple[Event, ...]:
        """The events of :meth:`numbered` without their numbers."""
        return tuple(event for _, event in self.numbered(after=after))

    def judgments(self, *, after: int = 0) -> tuple[Judgment, ...]:
        """The judgments among :meth:`events`, withdrawn and corrected ones included.

        ``after`` is a number of :meth:`numbered`, in which other events count too.
        """
        return tuple(event for event in self.events(after=after) if isinstance(event, Judgment))

    def frame(self, kind: str | None = "judgment") -> pd.DataFrame:
        """Events of one kind as a DataFrame, or all kinds (``None``) with all their fields.

        One row per event; ``seq`` is its number in the ledger. Fields that a
        kind does not have are missing.

        Raises:
            LedgerError: there is no such kind.
        """
        from hitl_audit.review.frames import events_frame

        if kind is not None and kind not in event_kinds():
            raise LedgerError(f"ledger: {unknown('kind', kind, event_kinds())}")
        return events_frame(self.numbered(), kind)

    # ---------------------------------------------------------- integrity

    def checkpoint(self) -> Checkpoint:
        """Size, Merkle root and chain head of the ledger as it is now.

        It vouches for events and their order, not for the words that can be
        redacted; :meth:`verify` looks at those too.

        Raises:
            LedgerError: the chain is broken or a guard is gone; a damaged
                ledger is not vouched for.
        """
        with self._store.reading() as db:
            rows, guards = self._store.rows(db), self._store.removed_guards(db)
        leaves = leaves_of(rows)
        problems = [*_guard_problems(guards), *chain_problems(rows, leaves)]
        if problems:
            raise LedgerError("ledger: damaged, no checkpoint: " + "; ".join(problems))
        self.close()  # so that the file is whole when the checkpoint is published with it
        return checkpoint_of(rows, leaves)

    def verify(self, checkpoint: Checkpoint | None = None) -> tuple[str, ...]:
        """Problems in words, each naming its event; empty if everything is intact.

        Args:
            checkpoint: an earlier one, kept elsewhere. Without it, a cut tail
                and a complete rewrite cannot show. Events recorded later are
                no problem.
        """
        try:
            rows, openings, guards = self._everything()
        except LedgerError as error:
            return (str(error),)
        chain = chain_problems(rows)
        problems = [*_guard_problems(guards), *chain, *content_problems(rows, openings)]
        if checkpoint is not None:
            problems += checkpoint_problems(rows, checkpoint, chained=not chain)
        return tuple(problems)

    def verify_against(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Problems of :meth:`verify`, and what differs from an earlier checkpoint."""
        return self.verify(checkpoint)

    def inclusion_proof(self, seq: int, *, size: int | None = None) -> InclusionProof:
        """Proof that event ``seq`` is among the first ``size`` events (default: all).

        Raises:
            LedgerError: there is no such event.
        """
        leaves = self._leaves()
        size = len(leaves) if size is None else size
        if not 1 <= seq <= size <= len(leaves):
            raise LedgerError(
                f"ledger: got seq {seq} of {size}; expected 1 <= seq <= size <= {len(leaves)}"
            )
        path = inclusion_path(seq - 1, leaves[:size])
        return InclusionProof(
            seq, size, digest_text(leaves[seq - 1]), tuple(map(digest_text, path))
        )

    def consistency_proof(self, old_size: int, *, size: int | None = None) -> ConsistencyProof:
        """Proof that the first ``old_size`` events are a beginning of the first ``size``.

        Raises:
            LedgerError: there are not that many events.
        """
        leaves = self._leaves()
        size = len(leaves) if size is None else size
        if not 0 <= old_size <= size <= len(leaves):
            raise LedgerError(
                f"ledger: got old_size {old_size} and size {size}; "
                f"expected 0 <= old_size <= size <= {len(leaves)}"
            )
        path = consistency_path(old_size, leaves[:size])
        return ConsistencyProof(old_size, size, tuple(map(digest_text, path)))

    # ------------------------------------------------------------- inside

    def _insert(
        self, db: sa.Connection, event: Event, sealed: Sealed, tail: tuple[int, bytes]
    ) -> Row:
        problems = reference_problems(event, self._recorded(db))
        if problems:
            raise LedgerError(_lines(event.KIND, problems))
        seq, previous = tail
        row = Row(seq + 1, event.event_id, sealed.body, chain_link(previous, sealed.body))
        self._store.insert(db, row, sealed.openings)
        if isinstance(event, Redaction):
            target = self._store.named(db, [event.redacts])[event.redacts]
            self._store.destroy(db, target.seq, event.fields)
        return row

    def _recorded(self, db: sa.Connection) -> Recorded:
        def find(event_id: str) -> Event | None:
            row = self._store.named(db, [event_id]).get(event_id)
            return row and self._event(db, row)

        def mentions(event_id: str) -> list[Event]:
            return [_read(row, {}) for row in self._store.mentions(db, event_id)]

        return Recorded(find, mentions)

    def _event(self, db: sa.Connection, row: Row) -> Event:
        return _read(row, self._store.openings(db, seq=row.seq).get(row.seq, {}))

    def _everything(self) -> tuple[list[Row], Openings, list[str]]:
        with self._store.reading() as db:
            return (
                self._store.rows(db),
                self._store.openings(db),
                self._store.removed_guards(db),
            )

    def _leaves(self) -> list[bytes]:
        with self._store.reading() as db:
            return leaves_of(self._store.rows(db))


def _open(path_or_url: str | Path, read_only: bool) -> Store:
    # SQLAlchemy takes a third of a second to import, so it waits for its use.
    text = str(path_or_url)
    file = text.removeprefix("sqlite:///")
    if "://" in file and file[1:4] != "://":  # a Windows drive has one letter
        from hitl_audit.review.postgresql_store import PostgresqlStore

        return PostgresqlStore(text, read_only=read_only)
    from hitl_audit.review.sqlite_store import SqliteStore

    return SqliteStore(Path(file), read_only=read_only)


def _sealed(event: Event, salts: Callable[[], bytes]) -> Sealed:
    if event.redacted:
        raise LedgerError(
            f"{event.KIND}: the words in {', '.join(event.redacted)} were redacted; "
            "what is left of an event cannot be recorded anew"
        )
    problems = event.problems()
    if problems:
        raise LedgerError(_lines(event.KIND, problems))
    try:
        sealed = event.seal(salts)
        read_event(*sealed)  # what could not be read back is not recorded
    except (TypeError, rfc8785.CanonicalizationError) as error:
        raise LedgerError(f"{event.KIND}: cannot be written as JSON: {error}") from None
    except LedgerError as error:
        raise LedgerError(f"{event.KIND}: {error}") from None
    return sealed


def same_event(recorded: Event, sent: Event) -> bool:
    """The two say the same, as far as the words of the recorded one are still there."""
    # Sealed and read back, so that neither lists and tuples nor 1 and 1.0 make a difference.
    sealed = sent.seal(lambda: bytes(16))
    read = read_event(sealed.body, sealed.openings)
    if type(read) is not type(recorded):
        return False
    return (
        replace(read, **{name: getattr(recorded, name) for name in recorded.redacted}) == recorded
    )


def _check_same(recorded: Event, row: Row, sent: Event) -> None:
    if not same_event(recorded, sent):
        raise LedgerError(
            f"{sent.KIND}: event_id {row.event_id} is already recorded as event {row.seq} "
            "with other contents; a change is a new event that corrects it"
        )


def _read(row: Row, openings: dict[str, Opening]) -> Event:
    try:
        return read_event(row.body, openings)
    except LedgerError as error:
        raise LedgerError(f"ledger: event {row.seq}: {error}") from None


def _receipt(row: Row) -> Receipt:
    return Receipt(row.seq, row.event_id, digest_text(leaf_hash(row.body)), digest_text(row.link))


def _lines(kind: str, problems: Iterable[str]) -> str:
    return "\n".join(f"{kind}: {problem}" for problem in problems)


def _guard_problems(guards: Iterable[str]) -> list[str]:
    return [f"the guard {name} was removed from the ledger" for name in guards]
