"""What was done to a ledger: cut, rewritten, swapped, changed, removed; pure, over its rows.

Each event's leaf is ``SHA-256(0x00 || body)`` and its link is
``SHA-256(previous link || leaf)``: an altered, missing or moved event breaks
the chain at a place that can be named. What the chain cannot show, a cut tail
and a complete rewrite, the checkpoint shows.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import rfc8785

from hitl_audit.canonical import Digest, canonical_bytes, sha256
from hitl_audit.errors import LedgerError
from hitl_audit.review.event import Event, Opening, read_event, read_json
from hitl_audit.review.merkle import digest_text, leaf_hash, merkle_root
from hitl_audit.review.records import Redaction

__all__ = [
    "GENESIS",
    "Checkpoint",
    "Openings",
    "Row",
    "chain_link",
    "chain_problems",
    "checkpoint_of",
    "checkpoint_problems",
    "content_problems",
    "leaves_of",
]

GENESIS = bytes(32)
"""What the first link is chained to."""

_SEARCHED = 50  # broken events for which the whole ledger is searched


class Row(NamedTuple):
    """One event as it is stored."""

    seq: int
    event_id: str
    body: bytes
    link: bytes

    @property
    def here(self) -> str:
        """The event in words."""
        return f"event {self.seq} ({self.event_id})"


Openings = Mapping[int, Mapping[str, Opening]]
"""Openings by number of the event and by field."""


@dataclass(frozen=True)
class Checkpoint:
    """What the ledger held at one moment, in three values to be signed.

    Attributes:
        size: number of events.
        root: RFC 6962 Merkle tree hash over the bodies of all events.
        chain_head: the last link of the hash chain; ``""`` where only the root is
            known, which fixes it.
    """

    size: int
    root: Digest
    chain_head: Digest
    format: str = "hitl-audit/checkpoint/v1"


def chain_link(previous: bytes, body: bytes) -> bytes:
    """The link of an event that follows the link ``previous``."""
    return sha256(previous + leaf_hash(body))


def leaves_of(rows: Sequence[Row]) -> list[bytes]:
    """Leaf hashes in order."""
    return [leaf_hash(row.body) for row in rows]


def checkpoint_of(rows: Sequence[Row], leaves: Sequence[bytes] | None = None) -> Checkpoint:
    """The checkpoint over these rows, whatever their state; ``leaves`` if they are at hand."""
    root = merkle_root(leaves_of(rows) if leaves is None else leaves)
    return Checkpoint(len(rows), digest_text(root), digest_text(rows[-1].link if rows else GENESIS))


def chain_problems(rows: Sequence[Row], leaves: Sequence[bytes] | None = None) -> list[str]:
    """Where the chain is broken, and by what; empty if every event follows the one before."""
    problems: list[str] = []
    leaves = leaves_of(rows) if leaves is None else leaves
    links = [row.link for row in rows]
    broken = [
        place
        for place, (previous, link, leaf) in enumerate(
            zip([GENESIS, *links], links, leaves, strict=False)
        )
        if link != sha256(previous + leaf)
    ]
    gaps = _gaps(rows)
    if len(broken) > _SEARCHED:
        first, last = rows[broken[0]], rows[broken[-1]]
        problems.append(
            f"{len(broken)} events between {first.here} and {last.here} are not what was "
            "recorded: the ledger was rewritten there"
        )
        return [*gaps.values(), *problems]
    explained: set[int] = set()
    if broken:
        explained = _swaps(rows, leaves, broken, problems)
    for place in broken:
        if place in gaps:
            problems.append(f"{gaps.pop(place)}, and the chain is broken there")
        elif place not in explained:
            problems.append(_break(rows, leaves, place, set(broken)))
    return [*gaps.values(), *problems]


def content_problems(rows: Sequence[Row], openings: Openings) -> list[str]:
    """Bodies that cannot be read, and words that are missing or not those recorded."""
    problems = []
    events: dict[int, tuple[Row, Event]] = {}
    redacted: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        words = openings.get(row.seq, {})
        try:
            event = read_event(row.body, words)
        except LedgerError as error:
            problems.append(f"{row.here}: {error}")
            continue
        if event.event_id != row.event_id:
            problems.append(f"{row.here}: its body is that of event {event.event_id}")
        if not _is_canonical(row.body):
            problems.append(f"{row.here}: its body is not in canonical form")
        events[row.seq] = row, event
        if isinstance(event, Redaction):
            redacted[event.redacts] |= set(event.fields)
    for row, event in events.values():
        allowed = redacted[event.event_id]
        here, words = row.here, openings.get(row.seq, {})
        problems += [
            f"{here}: the words in {name!r} are gone without a redaction"
            for name in event.redacted
            if name not in allowed
        ]
        problems += [
            f"{here}: the words in {name!r} were redacted and are still there"
            for name in words
            if name in allowed
        ]
    for seq in sorted(set(openings) - {row.seq for row in rows}):
        problems.append(f"there are words of event {seq}, which is not in the ledger")
    return problems


def checkpoint_problems(rows: Sequence[Row], checkpoint: Checkpoint, *, chained: bool) -> list[str]:
    """How the rows differ from what an earlier checkpoint vouches for.

    Args:
        rows: of the ledger.
        checkpoint: the earlier one; later events are no problem.
        chained: the chain of the ledger is unbroken.
    """
    size = checkpoint.size
    if len(rows) < size:
        return [
            f"the checkpoint vouches for {size} events, the ledger has {len(rows)}: "
            f"{size - len(rows)} were removed" + (", cut from the end" if chained else "")
        ]
    then = checkpoint_of(rows[:size])
    if then.root == checkpoint.root and checkpoint.chain_head in ("", then.chain_head):
        return []
    words = f"the first {size} events are not the ones the checkpoint vouches for"
    if chained:
        words += ": the ledger was rewritten after the checkpoint"
    return [words]


def _is_canonical(body: bytes) -> bool:
    """RFC 8785, for a body that can be read: its names are ASCII."""
    odd = []

    def number(text: str) -> float:
        value = float(text)
        if canonical_bytes(value) != text.encode():
            odd.append(text)
        return value

    record = read_json(body, parse_float=number)
    if odd:
        return False
    try:
        # Python's own form is RFC 8785 but for some fractions, and ten times as fast.
        quick = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return quick.encode() == body or canonical_bytes(record) == body
    except (UnicodeEncodeError, rfc8785.CanonicalizationError):
        return False


def _gaps(rows: Sequence[Row]) -> dict[int, str]:
    """Numbers that are missing, in words, by the place of the next event."""
    gaps, expected = {}, 1
    for place, row in enumerate(rows):
        if row.seq == expected + 1:
            gaps[place] = f"event {expected} is missing before {row.here}"
        elif row.seq != expected:
            gaps[place] = f"events {expected} to {row.seq - 1} are missing before {row.here}"
        expected = row.seq + 1
    return gaps


def _swaps(
    rows: Sequence[Row], leaves: Sequence[bytes], broken: Sequence[int], problems: list[str]
) -> set[int]:
    """Find events that stand in each other's place; says so, and returns the breaks it explains."""
    explained: set[int] = set()
    for number, place in enumerate(broken):
        for other in broken[number + 1 :]:
            fits = _swapped(rows, leaves, place, other)
            if fits and not explained & fits:
                problems.append(f"{rows[place].here} and {rows[other].here} were swapped")
                explained |= fits
    return explained


def _swapped(rows: Sequence[Row], leaves: Sequence[bytes], place: int, other: int) -> set[int]:
    """The places that a swap of two events sets right, the bodies alone or with their links."""
    for first, second in ((rows[place], rows[other]), (rows[other], rows[place])):
        links = [row.link for row in rows]
        links[place], links[other] = first.link, second.link
        there = list(leaves)
        there[place], there[other] = leaves[other], leaves[place]
        right = {
            at
            for at in (place, place + 1, other, other + 1)
            if at < len(rows)
            and links[at] == sha256((links[at - 1] if at else GENESIS) + there[at])
        }
        if {place, other} <= right:
            return right
    return set()


def _break(rows: Sequence[Row], leaves: Sequence[bytes], place: int, broken: set[int]) -> str:
    row, previous = rows[place], rows[place - 1].link if place else GENESIS
    relinked = sha256(previous + leaves[place])
    if place + 1 in broken and rows[place + 1].link == sha256(relinked + leaves[place + 1]):
        return f"the link of {row.here} was changed; its contents are what was recorded"
    return (
        f"chain broken at {row.here}: it is not what was recorded, or events before it were removed"
    )
