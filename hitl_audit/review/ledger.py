"""The ledger of a review: an append-only record that shows every alteration.

Each event is stored as the RFC 8785 bytes it was recorded with, chained to the
one before. A chain alone cannot show a cut tail or a complete rewrite; a
:class:`Checkpoint` (size and RFC 6962 Merkle root) kept elsewhere, for example
inside a signed document, does. :mod:`~hitl_audit.review.integrity` says how.

A ledger is one SQLite file, or a PostgreSQL database for teams. Several
processes may append at once. An append that returned is on the disk.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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

__all__ = ["Checkpoint", "Judgment", "Ledger", "Numbered", "Receipt"]


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
            ``?schema=…`` keeps several ledgers in one database.
        read_only: never write, and refuse a ledger that does not exist.
        salts: source of 16 or more random bytes per call.

    Attributes:
        path: the SQLite file; ``None`` in PostgreSQL.
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
        self.path: Path | None = getattr(self._store, "path", None)

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
            for event, seal in sealed:
                receipt, tail = self._append(db, event, seal, tail)
                receipts.append(receipt)
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

    # ------------------------------------------------------------ reading

    def find(self, event_id: str) -> tuple[Receipt, Event] | None:
        """The recorded event with this id and its receipt, or ``None``."""
        with self._store.reading() as db:
            found = self._find(db, event_id)
        return None if found is None else (_receipt(found[0]), found[1])

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

        Raises:
            LedgerError: the ledger is damaged; a damaged ledger is not vouched for.
        """
        rows, openings, guards = self._everything()
        problems = _problems(rows, openings, guards)
        if problems:
            raise LedgerError("ledger: damaged, no checkpoint: " + "; ".join(problems))
        return checkpoint_of(rows)

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
        problems = _problems(rows, openings, guards)
        if checkpoint is not None:
            chained = not chain_problems(rows)
            problems += checkpoint_problems(rows, checkpoint, chained=chained)
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

    def _append(
        self, db: sa.Connection, event: Event, sealed: Sealed, tail: tuple[int, bytes]
    ) -> tuple[Receipt, tuple[int, bytes]]:
        known = self._find(db, event.event_id)
        if known is not None:
            _check_same(known, sealed, event.KIND)
            return _receipt(known[0]), tail
        problems = reference_problems(event, self._recorded(db))
        if problems:
            raise LedgerError(_lines(event.KIND, problems))
        seq, previous = tail
        row = Row(seq + 1, event.event_id, sealed.body, chain_link(previous, sealed.body))
        self._store.insert(db, row, sealed.openings)
        if isinstance(event, Redaction):
            target = self._store.row(db, event.redacts)
            if target is not None:
                self._store.destroy(db, target.seq, event.fields)
        return _receipt(row), (row.seq, row.link)

    def _recorded(self, db: sa.Connection) -> Recorded:
        def find(event_id: str) -> Event | None:
            found = self._find(db, event_id)
            return found[1] if found else None

        def mentions(event_id: str) -> list[Event]:
            return [_read(row, {}) for row in self._store.mentions(db, event_id)]

        return Recorded(find, mentions)

    def _find(self, db: sa.Connection, event_id: str) -> tuple[Row, Event] | None:
        row = self._store.row(db, event_id)
        if row is None:
            return None
        return row, _read(row, self._store.openings(db, seq=row.seq).get(row.seq, {}))

    def _everything(self) -> tuple[list[Row], Openings, list[str]]:
        with self._store.reading() as db:
            return (
                self._store.rows(db),
                self._store.openings(db),
                self._store.removed_guards(db),
            )

    def _leaves(self) -> list[bytes]:
        with self._store.reading() as db:
            return [leaf_hash(row.body) for row in self._store.rows(db)]


def _open(path_or_url: str | Path, read_only: bool) -> Store:
    # SQLAlchemy takes a third of a second to import, so it waits for its use.
    from hitl_audit.review.sqlite_store import SqliteStore

    return SqliteStore(Path(path_or_url), read_only=read_only)


def _sealed(event: Event, salts: Callable[[], bytes]) -> Sealed:
    if event.redacted:
        raise LedgerError(
            f"{event.KIND}: the words in {', '.join(event.redacted)} were redacted; "
            "what is left of an event cannot be recorded anew"
        )
    problems = event.problems()
    if problems:
        raise LedgerError(_lines(event.KIND, problems))
    return event.seal(salts)


def _check_same(known: tuple[Row, Event], sealed: Sealed, kind: str) -> None:
    row, recorded = known
    # Read back, so that neither salts nor 1 and 1.0 make a difference.
    sent = read_event(sealed.body, sealed.openings)
    gone = {
        f.name: getattr(recorded, f.name) for f in fields(recorded) if f.name in recorded.redacted
    }
    if type(sent) is not type(recorded) or replace(sent, **gone) != recorded:
        raise LedgerError(
            f"{kind}: event_id {row.event_id} is already recorded as event {row.seq} "
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


def _problems(rows: Sequence[Row], openings: Openings, guards: Iterable[str]) -> list[str]:
    return [
        *(f"the guard {name} was removed from the ledger" for name in guards),
        *chain_problems(rows),
        *content_problems(rows, openings),
    ]
