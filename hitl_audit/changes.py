"""How a number moved between two audits, with an interval on the change. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AuditChange",
    "Change",
    "CriterionChange",
    "Direction",
    "Side",
    "change_of",
    "mover",
]

Direction = Literal["better", "worse", "no clear change", "not comparable"]
METHOD = "MOVER of the two intervals (Zou and Donner 2008)"


@dataclass(frozen=True)
class Side:
    """One of the two audits.

    Attributes:
        title: of the audit.
        document_id: short id, from the digest of its evidence.
        created: when its results were made, UTC.
        rows: rows audited.
        data_digest, model_digest, plan_digest: of what went into it.
    """

    title: str
    document_id: str
    created: str
    rows: int
    data_digest: str
    model_digest: str
    plan_digest: str


@dataclass(frozen=True)
class Change:
    """One number before and after.

    Attributes:
        metric: name of the metric.
        compare: ``"value"``, ``"ratio"`` or ``"difference"``.
        attribute, group, reference: whose it is.
        before, before_low, before_high, before_n: in the earlier audit.
        after, after_low, after_high, after_n: in the later one.
        change, low, high: after − before, with its interval.
        direction: ``"better"`` or ``"worse"`` only if the whole interval says so.
        note: why it cannot be compared, or what weakens the comparison.
    """

    metric: str
    compare: str
    attribute: str
    group: str
    reference: str
    before: float | None
    before_low: float | None
    before_high: float | None
    before_n: int
    after: float | None
    after_low: float | None
    after_high: float | None
    after_n: int
    change: float | None
    low: float | None
    high: float | None
    direction: Direction
    note: str


@dataclass(frozen=True)
class CriterionChange:
    """One promise in both audits.

    Attributes:
        id: of the later audit's finding; of the earlier one's if it was dropped.
        metric, by, compare: what it is about.
        promised_before, promised_after: the thresholds; ``""`` if it was not promised.
        status_before, status_after: the decisions; ``""`` if it was not promised.
        groups: the numbers of every group in both.
        worse: the decision is worse than before, a group clearly moved away from
            the promise, or the promise was dropped or made weaker.
        words: one sentence.
    """

    id: str
    metric: str
    by: tuple[str, ...]
    compare: str
    promised_before: str
    promised_after: str
    status_before: str
    status_after: str
    groups: tuple[Change, ...]
    worse: bool
    words: str


@dataclass(frozen=True)
class AuditChange:
    """Two audits side by side.

    Attributes:
        before, after: which two.
        same_data, same_model, same_plan: by digest.
        criteria: every promise of either.
        performance: overall scores.
        rates: rates of every group that both measured.
        importance: (feature, place before, place after) of the features that the
            score rests on most; 0 if it is not among the first ten.
        confidence: of every interval.
        method: of the intervals on a change.
        notes: what a reader must know.
        worse: at least one promise is worse off.
    """

    before: Side
    after: Side
    same_data: bool
    same_model: bool
    same_plan: bool
    criteria: tuple[CriterionChange, ...]
    performance: tuple[Change, ...]
    rates: tuple[Change, ...]
    importance: tuple[tuple[str, int, int], ...]
    confidence: float
    method: str
    notes: tuple[str, ...]
    worse: bool


def mover(
    before: tuple[float, float, float], after: tuple[float, float, float]
) -> tuple[float, float, float]:
    """The change from one estimate to another that is independent of it, with its interval.

    Each estimate is ``(value, low, high)``. The interval is recovered from the two
    (MOVER: Zou and Donner 2008, Statistics in Medicine 27:1693, equation 6); of two
    shares with Wilson intervals it is Newcombe's (1998, method 10).
    """
    (x, x_low, x_high), (y, y_low, y_high) = before, after
    change = y - x
    low = change - math.hypot(y - y_low, x_high - x)
    high = change + math.hypot(y_high - y, x - x_low)
    return change, low, high


def change_of(
    metric: str,
    compare: str,
    whose: tuple[str, str, str],
    before: tuple[float | None, float | None, float | None, int],
    after: tuple[float | None, float | None, float | None, int],
    *,
    better: Literal["more", "less", "smaller", "none"],
    note: str = "",
) -> Change:
    """One number before and after.

    Args:
        metric, compare: what it is.
        whose: attribute, group and reference.
        before, after: value, low, high and n.
        better: which way is better: ``"more"``, ``"less"``, ``"smaller"`` (closer to
            zero), or ``"none"`` if neither is.
        note: goes with it.
    """
    old, old_low, old_high, old_n = before
    new, new_low, new_high, new_n = after
    change = low = high = None
    direction: Direction = "not comparable"
    if old is not None and new is not None:
        change = new - old
        direction = "no clear change"
        if None not in (old_low, old_high, new_low, new_high) and all(
            math.isfinite(v) for v in (old_low, old_high, new_low, new_high) if v is not None
        ):
            change, low, high = mover(
                (old, old_low, old_high),  # type: ignore[arg-type]
                (new, new_low, new_high),  # type: ignore[arg-type]
            )
            if low > 0 or high < 0:
                up = abs(new) < abs(old) if better == "smaller" else change > 0
                if better == "less":
                    up = not up
                if better != "none":
                    direction = "better" if up else "worse"
    else:
        missing = "before" if old is None else "now"
        note = "; ".join(part for part in (note, f"no value {missing}") if part)
    return Change(
        metric,
        compare,
        *whose,
        old,
        old_low,
        old_high,
        old_n,
        new,
        new_low,
        new_high,
        new_n,
        change,
        low,
        high,
        direction,
        note,
    )
