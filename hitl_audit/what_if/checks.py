"""Checks that came from violated expectations, evaluated on all the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import ModelOutput, Scale, resolve_output
from hitl_audit.explanations.raw_features import is_number, raw_rows
from hitl_audit.explanations.views.asking import ask_with, check_share, feature_grid, feature_of
from hitl_audit.intervals import Count, clopper_pearson
from hitl_audit.what_if.expectations import ModelCheck

__all__ = ["CheckResult", "run_checks"]

FloatArray = npt.NDArray[np.float64]

_POINTS = 20


@dataclass(frozen=True)
class CheckResult:
    """In how many rows a check is violated.

    Attributes:
        check: what was checked.
        n: rows looked at.
        violating: rows that violate it.
        share, low, high: violating / n with its interval; ``None`` without rows.
        interval: its name.
        largest: the largest move against it.
        worst_case: where that is; ``None`` if there is none.
        status: ``"no violation"``, ``"violated"`` or ``"insufficient data"``.
        words: the answer in a sentence.
    """

    check: ModelCheck
    n: int
    violating: int
    share: float | None
    low: float | None
    high: float | None
    interval: str
    largest: float
    worst_case: str | None
    status: Literal["no violation", "violated", "insufficient data"]
    words: str


def run_checks(
    score: Any,
    X: Any,
    checks: Sequence[ModelCheck],
    *,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    min_rows: int = 30,
) -> tuple[CheckResult, ...]:
    """Evaluate checks in every row of X, one feature moved at a time.

    Monotonicity and invariance: the feature takes each of up to 20 values that occur, at
    even quantiles (categories: each of the commonest 30); a row violates monotonicity if
    between any two points the score moves against the direction by more than the
    tolerance, invariance if its scores spread by more. Direction: every row is scored with
    the first category and with the second.

    Args:
        score: a fitted model, or raw rows → scores, (n,), such as ``Predictor.score``.
        X: raw rows; the index names the cases.
        checks: see :func:`~hitl_audit.what_if.expectations.checks_from`.
        output, scale: what is checked, as for ``explain``.
        confidence: of the Clopper-Pearson intervals.
        min_rows: fewer rows without a violation are insufficient data.

    Raises:
        InputError: a check names a feature or a value that X does not have.
    """
    check_share("confidence", confidence)
    rows, as_array = raw_rows(score, X)
    what = resolve_output(score, output=output, scale=scale, as_array=as_array, rows=rows)
    return tuple(_run(what, rows, check, confidence, min_rows) for check in checks)


def _run(
    output: ModelOutput, rows: pd.DataFrame, check: ModelCheck, confidence: float, min_rows: int
) -> CheckResult:
    name = feature_of(rows, check.feature, name="check: feature")
    against = _against(output, rows, name, check)
    violated = against > check.tolerance
    n, violating = len(rows), int(violated.sum())
    low, high = clopper_pearson(Count(violating, n), confidence=confidence) or (None, None)
    worst = int(np.argmax(against))
    status: Literal["no violation", "violated", "insufficient data"] = "violated"
    if not violating:
        status = "no violation" if n >= min_rows else "insufficient data"
    told = f"{violating:,} of {n:,} rows violate it"
    if low is not None and high is not None:
        told += f" ({violating / n:.1%}, {low:.1%} to {high:.1%})"
    if violating:
        told += f"; worst in case {rows.index[worst]}, by {against[worst]:.3g}"
    return CheckResult(
        check=check,
        n=n,
        violating=violating,
        share=violating / n if n else None,
        low=low,
        high=high,
        interval="Clopper-Pearson",
        largest=float(max(against.max(initial=0.0), 0.0)),
        worst_case=str(rows.index[worst]) if violating else None,
        status=status,
        words=f"{check.words} {told}.",
    )


def _against(output: ModelOutput, rows: pd.DataFrame, name: Any, check: ModelCheck) -> FloatArray:
    """How far each row's score moves against the check, (n,)."""
    if check.kind == "direction":
        scores = ask_with(output, rows, name, _pair(rows[name], check))
        move = scores[:, 1] - scores[:, 0]
        return np.asarray(-move if check.direction == "increasing" else move)
    if check.kind == "monotonicity" and not is_number(rows[name]):
        raise InputError(f"check: {check.feature} is no number, so it has no direction")
    values, _ = feature_grid(rows[name], _POINTS, name=str(name))
    scores = ask_with(output, rows, name, values)
    if check.kind == "invariance":
        return np.asarray(np.ptp(scores, axis=1))
    if check.direction == "decreasing":
        scores = -scores
    return np.asarray((np.maximum.accumulate(scores, axis=1) - scores).max(axis=1))


def _pair(column: pd.Series, check: ModelCheck) -> Any:
    """The two values of a direction, in the column's own type."""
    found = []
    for value in check.values:
        here = column.isna() if value is None else column.astype(object).map(
            lambda v, wanted=value: v == wanted or str(v) == str(wanted)
        )  # fmt: skip
        places = np.flatnonzero(here.to_numpy(dtype=bool))
        if not len(places):
            raise InputError(f"check: {check.feature} is never {value!r} in X")
        found.append(int(places[0]))
    return column.array.take(found)
