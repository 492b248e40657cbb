"""RFC 6962 Merkle trees: the root over many leaves, and short proofs against it.

An inclusion proof shows that one event is in the ledger that a checkpoint
vouches for; a consistency proof shows that an earlier checkpoint is a beginning
of a later one. Both are checked without the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hitl_audit.canonical import Digest, sha256

__all__ = [
    "ConsistencyProof",
    "InclusionProof",
    "consistency_path",
    "digest_text",
    "inclusion_path",
    "leaf_hash",
    "merkle_root",
    "raw_digest",
]


@dataclass(frozen=True)
class InclusionProof:
    """That one event is among the first ``size`` of a ledger.

    Attributes:
        seq: number of the event, from 1.
        size: number of events under the root.
        leaf: leaf hash of the event, ``SHA-256(0x00 || body)``.
        path: the audit path of RFC 6962 section 2.1.1, from the leaf upwards.
    """

    seq: int
    size: int
    leaf: Digest
    path: tuple[Digest, ...]

    def root(self) -> Digest | None:
        """The root that the path leads to; ``None`` if it has the wrong length."""
        if not 1 <= self.seq <= self.size:
            return None
        node, last = self.seq - 1, self.size - 1
        top, path = raw_digest(self.leaf), list(map(raw_digest, self.path))
        for sibling in path:
            if last == 0:
                return None
            if node & 1 or node == last:
                top = _node(sibling, top)
                while not node & 1 and node:  # the last node moved up without a sibling
                    node, last = node >> 1, last >> 1
            else:
                top = _node(top, sibling)
            node, last = node >> 1, last >> 1
        return digest_text(top) if last == 0 else None

    def holds(self, root: str) -> bool:
        """The path leads to this root."""
        return self.root() == root


@dataclass(frozen=True)
class ConsistencyProof:
    """That a ledger of ``old_size`` events is the beginning of one of ``size`` events.

    Attributes:
        old_size, size: numbers of events.
        path: the hashes of RFC 6962 section 2.1.2.
    """

    old_size: int
    size: int
    path: tuple[Digest, ...]

    def holds(self, old_root: str, root: str) -> bool:
        """Both roots follow from the path (the algorithm of RFC 9162 section 2.1.4.2)."""
        if not 0 <= self.old_size <= self.size:
            return False
        if self.old_size == 0:  # the empty ledger is a beginning of every other
            return not self.path and old_root == digest_text(merkle_root(()))
        if self.old_size == self.size:
            return not self.path and old_root == root
        path = [raw_digest(node) for node in self.path]
        if self.old_size & (self.old_size - 1) == 0:
            path.insert(0, raw_digest(old_root))
        node, last = self.old_size - 1, self.size - 1
        while node & 1:
            node, last = node >> 1, last >> 1
        if not path:
            return False
        old_top = top = path[0]
        for sibling in path[1:]:
            if last == 0:
                return False
            if node & 1 or node == last:
                old_top, top = _node(sibling, old_top), _node(sibling, top)
                while not node & 1 and node:
                    node, last = node >> 1, last >> 1
            else:
                top = _node(top, sibling)
            node, last = node >> 1, last >> 1
        return last == 0 and (digest_text(old_top), digest_text(top)) == (old_root, root)


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
        pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


def inclusion_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1: ``PATH(index, leaves)``, the index from 0."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_path(index, leaves[:split]), merkle_root(leaves[split:])]
    return [*inclusion_path(index - split, leaves[split:]), merkle_root(leaves[:split])]


def consistency_path(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.2: ``PROOF(old_size, leaves)``; empty for an old size of 0."""
    return _subproof(old_size, leaves, whole=True) if 0 < old_size < len(leaves) else []


def digest_text(raw: bytes) -> Digest:
    """A hash as text, ``sha256:`` and 64 hexadecimal digits."""
    return Digest("sha256:" + raw.hex())


def raw_digest(text: str) -> bytes:
    """The 32 bytes behind ``sha256:…``."""
    return bytes.fromhex(text.removeprefix("sha256:"))


def _subproof(old_size: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [merkle_root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [
            *_subproof(old_size, leaves[:split], whole=whole),
            merkle_root(leaves[split:]),
        ]
    return [
        *_subproof(old_size - split, leaves[split:], whole=False),
        merkle_root(leaves[:split]),
    ]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)
