"""Event ids that follow from what the event is about.

Two processes that record the same fact make the same id, and the ledger, which
takes every id once, keeps one of them.
"""

from __future__ import annotations

import uuid

from hitl_audit.canonical import canonical_bytes

__all__ = ["named_id"]

_NAMESPACE = uuid.UUID("6d0f5b0a-5f0c-5b6e-9c55-6b1f0c7f2a10")


def named_id(*parts: str | int) -> str:
    """The version 5 UUID of these words, in this order."""
    return str(uuid.uuid5(_NAMESPACE, canonical_bytes(list(parts)).decode()))
