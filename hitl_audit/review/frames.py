"""Events as one table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from hitl_audit.review.event import Event, event_kinds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["columns_of", "events_frame"]


def columns_of(kind: str | None) -> list[str]:
    """Fields of one kind of event in order, or of all kinds (``None``)."""
    kinds = event_kinds()
    chosen = kinds.values() if kind is None else [kinds[kind]]
    names = dict.fromkeys(f.name for cls in chosen for f in fields(cls))
    return list(names)


def events_frame(numbered: Iterable[tuple[int, Event]], kind: str | None) -> pd.DataFrame:
    """One row per event of ``kind``, or of every kind (``None``, with a column ``kind``)."""
    import pandas as pd

    names = columns_of(kind)
    head = ["seq"] if kind else ["seq", "kind"]
    rows = [
        {"seq": seq, "kind": event.KIND} | {name: getattr(event, name, None) for name in names}
        for seq, event in numbered
        if kind in (None, event.KIND)
    ]
    return pd.DataFrame(rows, columns=[*head, *names])
