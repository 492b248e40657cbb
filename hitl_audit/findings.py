"""What was promised beforehand, and what the numbers say about it. Pure.

A :class:`Criterion` is a line of the plan. :func:`evaluate` holds it against
measured comparisons and returns a :class:`Finding`. An interval decides, not
the point estimate (unless the plan says ``decide = "point"``): *met* only if
the whole interval clears the threshold, *not met* only if the whole interval
misses it, otherwise *insufficient data*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from hitl_audit.errors import InputError, PlanError
from hitl_audit.intervals import METHODS, Count, scaled_interval

__all__ = [
    "Comparison",
    "Count",
    "Criterion",
    "Finding",
    "Status",
    "Verdict",
    "decide",
    "evaluate",
    "metric_words",
    "percent",
    "status_of",
]

Compare = Literal["ratio", "difference", "value"]
Number = float | Fraction

# Beyond this no audit waits for more rows: the value lies at the threshold.
_MOST_ROWS = 10_000_000


class Status(StrEnum):
    """How a criterion was decided; the text is what the document prints."""

    MET = "met"
    NOT_MET = "not met"
    INSUFFICIENT = "insufficient data"
    NOT_ASSESSED = "not assessed"


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

    Raises:
        PlanError: no threshold at all, thresholds that exclude each other, or
            an ``at_least`` for a difference.
    """

    metric: str
    by: tuple[str, ...] = ()
    compare: Compare = "ratio"
    at_least: Fraction | None = None
    at_most: Fraction | None = None
    decide: Literal["interval", "point"] = "interval"
    reason: str = ""

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise PlanError(
                f"criterion on {self.metric} has no threshold; accepted: at_least, at_most or both"
            )
        if self.compare == "difference" and (self.at_least is not None or self.at_most is None):
            raise PlanError(
                f"criterion on {self.metric}: a difference takes at_most alone "
                "(the promise is about its size)"
            )
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise PlanError(
                f"criterion on {self.metric}: at_least is {self.at_least}, "
                f"more than at_most, {self.at_most}"
            )

    @property
    def bounds(self) -> tuple[Fraction | None, Fraction | None]:
        """What the value must lie between, bounds included."""
        if self.compare == "difference" and self.at_most is not None:
            return -self.at_most, self.at_most
        return self.at_least, self.at_most


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
        min_group: that number of rows, or ``None`` if the plan has none.
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
    min_group: int | None = None


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
        status: *not met* if any verdict is, else *met* if all are, else
            *insufficient data*; *not assessed* without anything to compare.
        verdicts: one per group.
        words: one plain sentence for page one.
    """

    id: str
    criterion: Criterion
    status: Status
    verdicts: tuple[Verdict, ...]
    words: str


def percent(value: Number | None, digits: int = 1) -> str:
    """Write a proportion for people: ``0.743`` → ``"74.3%"``; nothing → ``"–"``."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{_number(value, digits)}%"


def metric_words(metric: str) -> str:
    """The name of a metric in words: ``"selection_rate"`` → ``"selection rate"``."""
    return metric.replace("_", " ")


def decide(criterion: Criterion, comparison: Comparison) -> Verdict:
    """Hold one measured value against a promise.

    Raises:
        InputError: the comparison measures something else than the criterion asks for.
    """
    _check_same_question(criterion, comparison)
    status, why = _judge(criterion, comparison)
    needed = None
    if status is Status.INSUFFICIENT and comparison.value is not None:
        needed = _rows_needed(criterion, comparison)
        if needed is not None:
            alike = ", if all groups grow alike" if comparison.reference_count else ""
            why += f"; about {_rounded_up(needed):,} of them would{alike}"
        elif not comparison.small and comparison.low is not None:
            why += ", nor would any realistic number: the value lies at the threshold"
    words = f"{_measured(criterion, comparison)}, the promise is {_promise(criterion)}: {why}."
    return Verdict(comparison, status, needed, words)


def status_of(criterion: Criterion, comparison: Comparison) -> Status:
    """How :func:`decide` would decide, without words and without the rows that it would take.

    Raises:
        InputError: the comparison measures something else than the criterion asks for.
    """
    _check_same_question(criterion, comparison)
    return _judge(criterion, comparison)[0]


def evaluate(id: str, criterion: Criterion, comparisons: Sequence[Comparison]) -> Finding:
    """Decide one criterion over all the groups it covers.

    Args:
        id: ``F1``, ``F2`` … in the plan's order.
        criterion: the promise.
        comparisons: one per group, as measured.

    Raises:
        InputError: a comparison measures something else than the criterion asks for.
    """
    verdicts = tuple(decide(criterion, comparison) for comparison in comparisons)
    found = {verdict.status for verdict in verdicts}
    if found <= {Status.NOT_ASSESSED}:
        status = Status.NOT_ASSESSED
    elif Status.NOT_MET in found:
        status = Status.NOT_MET
    elif found == {Status.MET}:
        status = Status.MET
    else:
        status = Status.INSUFFICIENT
    return Finding(id, criterion, status, verdicts, _summary(criterion, verdicts))


def _judge(criterion: Criterion, comparison: Comparison) -> tuple[Status, str]:
    """The status, and the reason in words."""
    c = comparison
    if c.count.total == 0:
        return Status.NOT_ASSESSED, "there are no cases to measure it on"
    if c.value is None:
        of = f", because the rate of {c.reference} is zero or has no cases" if c.reference else ""
        return Status.INSUFFICIENT, f"it is undefined{of}, so nothing can be decided"
    if c.small:
        least = "" if c.min_group is None else f", {c.min_group}"
        return (
            Status.INSUFFICIENT,
            f"the group has fewer cases than the least number that may decide{least}",
        )
    if criterion.decide == "point":
        value = _exact_value(c)
        status = _side(criterion, value, value)
        word = "keeps" if status is Status.MET else "misses"
        return status, (
            f"the point estimate {word} it, and the point estimate alone decides here, as the "
            "plan says; the interval was not used"
        )
    if c.low is None or c.high is None:
        return Status.INSUFFICIENT, "it has no interval, so nothing can be decided"
    status = _side(criterion, c.low, c.high)
    return status, {
        Status.MET: "the whole interval keeps it",
        Status.NOT_MET: "the whole interval misses it",
        Status.INSUFFICIENT: "the interval includes the threshold, so this many cases "
        "cannot decide",
    }[status]


def _check_same_question(criterion: Criterion, comparison: Comparison) -> None:
    asked = (criterion.metric, criterion.compare)
    if asked != (comparison.metric, comparison.compare):
        raise InputError(
            f"got a {comparison.compare} of {comparison.metric}, "
            f"expected a {criterion.compare} of {criterion.metric}, at the criterion"
        )


def _exact_value(comparison: Comparison) -> Number:
    """The value as an exact fraction of counts, if it is one (an AUC is not)."""
    rate = comparison.count.rate
    reference = comparison.reference_count.rate if comparison.reference_count else None
    exact = rate
    if rate is not None and reference is not None:
        if comparison.compare == "ratio":
            exact = rate / reference if reference else None
        elif comparison.compare == "difference":
            exact = rate - reference
    value = float("nan") if comparison.value is None else comparison.value
    return exact if exact is not None and math.isclose(exact, value, abs_tol=1e-9) else value


def _side(criterion: Criterion, low: Number, high: Number) -> Status:
    """On which side of the threshold(s) everything between two numbers lies."""
    floor, ceiling = criterion.bounds
    if (floor is None or low >= floor) and (ceiling is None or high <= ceiling):
        return Status.MET
    if (floor is not None and high < floor) or (ceiling is not None and low > ceiling):
        return Status.NOT_MET
    return Status.INSUFFICIENT


def _rows_needed(criterion: Criterion, comparison: Comparison) -> int | None:
    """The fewest rows of this group whose interval decides, all groups growing alike."""
    rows = comparison.count.total
    least = max(rows, comparison.min_group or 0) if comparison.small else rows + 1
    if criterion.decide == "point":
        return least if comparison.min_group else None
    interval_at = _interval_at(comparison)

    def decides(n: int) -> bool:
        interval = interval_at(n / rows)
        return interval is not None and _side(criterion, *interval) is not Status.INSUFFICIENT

    if comparison.small and comparison.min_group is None and decides(rows):
        return None
    if decides(least):
        return least
    low, high = least, 2 * least
    while not decides(high):
        low, high = high, 2 * high
        if low > _MOST_ROWS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high if high <= _MOST_ROWS else None


def _interval_at(comparison: Comparison) -> Callable[[float], tuple[float, float] | None]:
    """The interval as a function of how many times as large the counts are."""
    if comparison.method in METHODS:
        return lambda factor: scaled_interval(
            comparison.method,
            comparison.count,
            comparison.reference_count,
            confidence=comparison.confidence,
            factor=factor,
        )
    value, low, high = comparison.value, comparison.low, comparison.high
    if value is None or low is None or high is None:
        return lambda factor: None
    if comparison.compare == "ratio" and low > 0 and math.isfinite(high):
        # Standard errors shrink with the root of n on the logarithmic scale.
        return lambda factor: (
            value * (low / value) ** (factor**-0.5),
            value * (high / value) ** (factor**-0.5),
        )
    return lambda factor: (
        value - (value - low) * factor**-0.5,
        value + (high - value) * factor**-0.5,
    )


def _rounded_up(n: int) -> int:
    """Two significant digits, upward: an estimate must not look exact."""
    unit: int = 10 ** max(len(str(n)) - 2, 0)
    return -(-n // unit) * unit


def _number(value: Number, digits: int) -> str:
    """A percentage without its sign, with a true minus; rounded, never "-0.0"."""
    size = abs(value if isinstance(value, float) else float(value)) * 100
    text = f"{size:.{digits}f}"
    return f"−{text}" if value < 0 and round(size, digits) != 0 else text


def _threshold(value: Fraction) -> str:
    """A threshold as the plan wrote it: ``4/5`` → ``"80"``."""
    return f"{float(value * 100):.6f}".rstrip("0").rstrip(".")


def _promise(criterion: Criterion) -> str:
    if criterion.compare == "difference" and criterion.at_most is not None:
        return f"within ±{_threshold(criterion.at_most)} percentage points"
    parts = []
    if criterion.at_least is not None:
        parts.append(f"at least {_threshold(criterion.at_least)}%")
    if criterion.at_most is not None:
        parts.append(f"at most {_threshold(criterion.at_most)}%")
    return " and ".join(parts)


def _digits(criterion: Criterion, values: Sequence[float | None]) -> int:
    """Decimals enough that no number looks like a threshold it is not."""
    thresholds = [bound for bound in criterion.bounds if bound is not None]
    for digits in (1, 2, 3):
        clash = any(
            value is not None
            and math.isfinite(value)
            and abs(value - bound) > 1e-9
            and _number(value, digits) == _number(bound, digits)
            for value in values
            for bound in thresholds
        )
        if not clash:
            return digits
    return 4


def _measured(criterion: Criterion, comparison: Comparison) -> str:
    """Who, what, how sure and on how many, without a verdict."""
    c = comparison
    digits = _digits(criterion, (c.value, c.low, c.high))
    if c.value is None:
        figure = "undefined"
    elif c.compare == "ratio":
        figure = f"{percent(c.value, digits)} of the rate of {c.reference}"
    elif c.compare == "difference":
        side = "above" if c.value > 0 else "below"
        apart = f"{_number(abs(c.value), digits)} percentage points {side} {c.reference}"
        figure = apart if c.value else f"equal to that of {c.reference}"
    else:
        figure = percent(c.value, digits)
    known = f"n = {c.count.total:,}"
    if c.low is not None and c.high is not None:
        if c.compare == "difference":
            span = f"{_number(c.low, digits)} to {_number(c.high, digits)} points"
        else:
            span = f"{percent(c.low, digits)} to {percent(c.high, digits)}"
        known = f"{c.confidence * 100:g}% interval {span}, {known}"
    return f"{_who(c)}: {metric_words(c.metric)} {figure} ({known})"


def _who(comparison: Comparison) -> str:
    return "All rows" if comparison.attribute == "all" else comparison.group


def _summary(criterion: Criterion, verdicts: tuple[Verdict, ...]) -> str:
    """The sentence for page one: which groups, decided how."""
    by = " × ".join(criterion.by)
    of = {
        "ratio": "ratio to the reference group",
        "difference": "difference to the reference group",
        "value": "value",
    }[criterion.compare]
    subject = f"{metric_words(criterion.metric)}{f' by {by}' if by else ''}, {of}"
    subject = f"{subject[0].upper()}{subject[1:]}, promised {_promise(criterion)}"
    if not verdicts:
        return f"{subject}: not assessed, because there is nothing to compare."
    if len(verdicts) == 1:
        return verdicts[0].words
    parts = []
    for status in (Status.NOT_MET, Status.INSUFFICIENT, Status.NOT_ASSESSED, Status.MET):
        groups = [_who(v.comparison) for v in verdicts if v.status is status]
        if groups:
            more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
            parts.append(f"{status} for {', '.join(groups[:5])}{more}")
    alone = " (decided on point estimates alone)" if criterion.decide == "point" else ""
    return f"{subject}: {'; '.join(parts)}{alone}."
