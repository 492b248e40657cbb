"""A model before and after a change, on the same rows: paired, overall and by group. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.groups import UNKNOWN, group_columns
from hitl_audit.review.estimates import MIN_CASES, weighted_difference
from hitl_audit.review.largest_gap import largest_gaps
from hitl_audit.review.records import Measure

__all__ = ["MEASURES", "compare_before_after"]

Labels = npt.NDArray[np.int8]
Truths = npt.NDArray[np.bool_]

MEASURES: dict[str, tuple[Callable[[Labels], Truths], Callable[[Labels, Labels], Truths]]] = {
    "accuracy": (lambda y: np.ones(len(y), dtype=bool), lambda y, decided: decided == y),
    "selection_rate": (lambda y: np.ones(len(y), dtype=bool), lambda y, decided: decided == 1),
    "true_positive_rate": (lambda y: y == 1, lambda y, decided: decided == 1),
    "false_positive_rate": (lambda y: y == 0, lambda y, decided: decided == 1),
}
"""Each measure: among which rows, and which of them count, by true labels and decisions."""


def compare_before_after(
    y_true: Labels,
    before: Labels,
    after: Labels,
    sensitive_features: Any,
    *,
    min_group: int,
    confidence: float,
    n_boot: int,
    random_state: int,
) -> tuple[Measure, ...]:
    """Every measure of all rows and of every group, and the largest gap of every attribute.

    The interval is that of after − before: Bonett-Price for a rate, the
    smoothed bootstrap for the largest gap (``"selection_rate_gap"`` in the
    group that has the attribute's name). A group with fewer rows than
    ``min_group`` is listed without values.

    Raises:
        InputError: as :func:`hitl_audit.groups.group_columns`.
    """
    columns = group_columns(sensitive_features, len(y_true))
    needed = max(min_group, MIN_CASES)
    found = []
    for metric, (among, counts) in MEASURES.items():
        rows = among(y_true)
        yes = np.column_stack([counts(y_true, decided) for decided in (after, before)])
        found.append(_paired(metric, "", yes[rows], MIN_CASES, confidence))
        for attribute, groups in columns.items():
            names = [str(name) for name in np.unique(groups)]
            found += [
                _paired(
                    metric,
                    f"{attribute}: {name}",
                    yes[rows & (groups == name)],
                    needed,
                    confidence,
                )
                for name in names
            ]
            large = [
                name
                for name in names
                if name != UNKNOWN and (rows & (groups == name)).sum() >= needed
            ]
            kept = rows & np.isin(groups, large)
            codes = np.searchsorted(np.array(sorted(large), dtype=groups.dtype), groups[kept])
            found.append(
                _gap(
                    f"{metric}_gap",
                    attribute,
                    yes[kept],
                    codes.astype(np.intp) if len(large) >= 2 else None,
                    confidence=confidence,
                    n_boot=n_boot,
                    random_state=random_state,
                )
            )
    return tuple(found)


def _paired(metric: str, group: str, yes: Truths, needed: int, confidence: float) -> Measure:
    n = len(yes)
    if n < needed:
        return Measure(metric, group, n, None, None, None, None)
    after, before = (float(value) for value in yes.mean(axis=0))
    change = weighted_difference(
        yes[:, 0].tolist(),
        yes[:, 1].tolist(),
        [1.0] * n,
        confidence=confidence,
        finite_population=False,
    )
    return Measure(metric, group, n, before, after, change.low, change.high)


def _gap(
    metric: str,
    attribute: str,
    yes: Truths,
    codes: npt.NDArray[np.intp] | None,
    *,
    confidence: float,
    n_boot: int,
    random_state: int,
) -> Measure:
    if codes is None:
        return Measure(metric, attribute, len(yes), None, None, None, None)
    observed, drawn, _ = largest_gaps(
        yes, codes, np.ones(len(yes)), n_boot=n_boot, random_state=random_state
    )
    after, before = (float(value) for value in observed)
    low = high = None
    if len(drawn):
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = (float(b) for b in np.quantile(drawn[:, 0] - drawn[:, 1], tails))
    return Measure(metric, attribute, len(yes), before, after, low, high)
