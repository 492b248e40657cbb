"""What was promised beforehand, and what the numbers say about it. Pure.

A :class:`Criterion` is a line of the plan. :func:`evaluate` holds it against
measured comparisons and returns a :class:`Finding`. An interval decides, not
the point estimate (unless the plan says ``decide = "point"``): *met* only if
the whole interval clears the threshold, *not met* only if the whole interval
misses it, otherwise *insufficient data*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

__all__ = ["Comparison", "Count", "Criterion", "Finding", "Status"]

Compare = Literal["ratio", "difference", "value"]


class Status(StrEnum):
    """How a criterion was decided; the text is what the document prints."""

    MET = "met"
    NOT_MET = "not met"
    INSUFFICIENT = "insufficient data"
    NOT_ASSESSED = "not assessed"


@dataclass(frozen=True)
class Count:
    """``successes`` out of ``total`` rows: an exact proportion."""

    successes: int
    total: int

    @property
    def rate(self) -> Fraction | None:
        """The exact proportion, or ``None`` when there are no rows."""
        return Fraction(self.successes, self.total) if self.total else None


@dataclass(frozen=True)
class Criterion:
    """One promise of the plan, decided in advance.

    Attributes:
        metric: name of the metric, for example ``"selection_rate"``.
        by: sensitive attributes, () for all rows together, two or more for
            their intersection.
        compare: ``"ratio"`` group / reference, ``"difference"``
            group − reference, or ``"value"`` of each group itself.
        at_least, at_most: the threshold(s), exact. For a difference the
            promise is about its size: ``at_most = 0.1`` means within ±0.1.
        decide: ``"interval"`` (default) or ``"point"``.
        reason: why this threshold, in the plan's words.
    """

    metric: str
    by: tuple[str, ...] = ()
    compare: Compare = "ratio"
    at_least: Fraction | None = None
    at_most: Fraction | None = None
    decide: Literal["interval", "point"] = "interval"
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """One measured value that a criterion is held against.

    Attributes:
        metric, attribute, group: what was measured on whom; ``attribute`` is
            ``"race"`` or ``"race × sex"``, and both are ``"all"`` for all rows.
        reference: the group compared with, or ``""`` for a plain value.
        compare: ``"ratio"``, ``"difference"`` or ``"value"``.
        count, reference_count: the exact counts behind it.
        value, low, high: point estimate and interval; ``None`` if undefined.
        confidence: of the interval, for example 0.95.
        method: name of the interval's method, for example ``"Koopman score"``.
        p_value, p_adjusted: of the hypothesis of equal rates, raw and
            Benjamini-Hochberg adjusted; ``None`` where there is no test.
        test: name of that test.
        small: the group has fewer rows than the plan's ``min_group``.
    """

    metric: str
    attribute: str
    group: str
    reference: str
    compare: Compare
    count: Count
    reference_count: Count | None
    value: float | None
    low: float | None
    high: float | None
    confidence: float
    method: str
    p_value: float | None = None
    p_adjusted: float | None = None
    test: str = ""
    small: bool = False


@dataclass(frozen=True)
class Verdict:
    """One comparison, decided.

    Attributes:
        comparison: what was measured.
        status: how it was decided.
        n_needed: rows of this group that would decide it if the observed
            rates stay as they are and all groups grow alike; ``None`` if it
            is decided, or if no number of rows would.
        words: one plain sentence that says why.
    """

    comparison: Comparison
    status: Status
    n_needed: int | None
    words: str


@dataclass(frozen=True)
class Finding:
    """One criterion, decided over all the groups it covers.

    Attributes:
        id: ``F1``, ``F2`` … in the plan's order.
        criterion: the promise.
        status: the worst of the verdicts: *not met* if any is, else
            *insufficient data* if any is, else *met*; *not assessed* without
            anything to compare.
        verdicts: one per group.
        words: one plain sentence for page one.
    """

    id: str
    criterion: Criterion
    status: Status
    verdicts: tuple[Verdict, ...]
    words: str
