"""From values to bytes to digests; the only module that hashes.

A digest is written ``sha256:`` and 64 hexadecimal digits. Values are
serialised by RFC 8785 (JSON Canonicalization Scheme) first, so that two
programs agree on the bytes; tables are hashed column by column.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any, NewType

import rfc8785

__all__ = [
    "Digest",
    "canonical_bytes",
    "digest",
    "digest_bytes",
    "digest_columns",
    "digest_file",
    "digest_records",
    "keyed_sha256",
    "plain",
    "seeded_digests",
    "sha256",
    "utc_text",
]

Digest = NewType("Digest", str)

_CHUNK = 1 << 20
# What a JSON text does not hold as it is: quotes, backslashes, control
# characters, halves of surrogate pairs.
_ESCAPED = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')


def utc_text(moment: datetime) -> str:
    """Write a moment as UTC text with microseconds: ``2026-11-23T07:26:28.000000Z``.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"got a time without a zone ({moment!r}), expected one with a zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Any) -> Any:
    """Turn a value into plain JSON types: dict, list, str, int, float, bool, None.

    Dataclasses become objects, enums their values, times UTC text, NumPy
    scalars Python numbers, exact fractions and decimals text (``4/5``). A float
    that is not finite becomes ``None``: JSON has no word for it, and a number
    that could not be computed is *absent*.

    Raises:
        TypeError: a type that has no plain form.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Fraction | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [plain(v) for v in items]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain JSON form")


def canonical_bytes(value: Any) -> bytes:
    """Serialise a value by RFC 8785.

    Raises:
        TypeError: a type that has no plain form.
        rfc8785.CanonicalizationError: an integer beyond 2**53.
    """
    return rfc8785.dumps(plain(value))


def sha256(data: bytes) -> bytes:
    """SHA-256 of bytes, as 32 bytes."""
    return hashlib.sha256(data).digest()


def keyed_sha256(secret: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of bytes, as 32 bytes: only who has the secret can make it."""
    return hmac.digest(secret, data, "sha256")


def digest_bytes(data: bytes) -> Digest:
    """SHA-256 of bytes, as text."""
    return Digest("sha256:" + sha256(data).hex())


def digest(value: Any) -> Digest:
    """SHA-256 of a value's canonical bytes."""
    return digest_bytes(canonical_bytes(value))


def digest_file(path: str | Path) -> Digest:
    """SHA-256 of a file, read in pieces."""
    hasher = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return Digest("sha256:" + hasher.hexdigest())


def seeded_digests(seed: int, texts: Sequence[str]) -> bytes:
    """The SHA-256 of ``[seed, text]`` for every text, 32 bytes each, end to end.

    The same as :func:`digest` of each, and about seven times as fast where no
    text needs escaping.
    """
    if _ESCAPED.search(" ".join(texts)):
        return b"".join(sha256(canonical_bytes([seed, text])) for text in texts)
    hasher, start = hashlib.sha256, canonical_bytes([seed])[:-1].decode()
    return b"".join([hasher(f'{start},"{text}"]'.encode()).digest() for text in texts])


def digest_records(records: bytes, ends: Sequence[int] | int) -> bytes:
    """The SHA-256 of many records that lie end to end, 32 bytes each, end to end.

    Args:
        records: the bytes of all records.
        ends: where each record ends, or the one length of them all.
    """
    hasher, view = hashlib.sha256, memoryview(records)
    if isinstance(ends, int):
        places = range(0, len(records), ends)
        return b"".join([hasher(view[i : i + ends]).digest() for i in places])
    starts = [0, *ends[:-1]]
    return b"".join(
        [hasher(view[i:j]).digest() for i, j in zip(starts, ends, strict=True)] if ends else []
    )


def digest_columns(columns: Iterable[tuple[str, str, Iterable[bytes]]]) -> Digest:
    """SHA-256 of a table given as ``(name, kind, chunks of bytes)`` per column.

    Every name, kind and chunk is length-prefixed, so that no two different
    tables share their bytes. The caller decides the byte form of each kind.
    """
    hasher = hashlib.sha256(b"hitl-audit/table/v1\n")
    for name, kind, chunks in columns:
        for text in (name, kind):
            raw = text.encode()
            hasher.update(len(raw).to_bytes(8, "big") + raw)
        for chunk in chunks:
            hasher.update(len(chunk).to_bytes(8, "big") + chunk)
        hasher.update(b"\xff")
    return Digest("sha256:" + hasher.hexdigest())
