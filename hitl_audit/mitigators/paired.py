"""Two sets of decisions on the same rows: what differs, with paired intervals.

Drawing rows with replacement and counting them by group, true label and both
decisions is one multinomial draw over those cells, so the paired bootstrap is
exact and costs the same for any number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.groups import UNKNOWN, group_columns, group_name

__all__ = ["MEASURES", "Groups", "PairedMeasure", "compare_decisions", "joined_groups"]

MEASURES = (
    "accuracy",
    "selection_rate_gap",
    "selection_rate_ratio",
    "true_positive_rate_gap",
    "false_positive_rate_gap",
)
"""Gap: largest minus smallest among the groups compared; ratio: smallest to largest."""

_CHUNK = 250


@dataclass(frozen=True)
class PairedMeasure:
    """One measure before and after, on the same rows.

    Attributes:
        metric: one of :data:`MEASURES`.
        n: rows.
        before, before_low, before_high: under the first decisions.
        after, after_low, after_high: under the second.
        difference, low, high: after − before, with its paired interval.
        replicates, undefined: bootstrap replicates drawn, and those in which
            the measure did not exist (a group without such rows).
        interval_method: name of the intervals.
    """

    metric: str
    n: int
    before: float | None
    before_low: float | None
    before_high: float | None
    after: float | None
    after_low: float | None
    after_high: float | None
    difference: float | None
    low: float | None
    high: float | None
    replicates: int
    undefined: int
    interval_method: str = "paired multinomial bootstrap, percentile"


@dataclass(frozen=True)
class Groups:
    """Groups by number, and which of them are compared.

    Attributes:
        names: the groups; several attributes make their intersections.
        codes: (rows,) the place of each row's group in ``names``.
        compared: (groups,) at least ``min_group`` rows, and not unknown.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.intp]
    compared: npt.NDArray[np.bool_]

    @property
    def of_rows(self) -> npt.NDArray[np.str_]:
        """(rows,) the name of each row's group."""
        return np.array(self.names, dtype=np.str_)[self.codes]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The groups that are not compared."""
        return tuple(n for n, yes in zip(self.names, self.compared, strict=True) if not yes)


def joined_groups(sensitive_features: Any, rows: int, *, min_group: int) -> Groups:
    """Sensitive features as one grouping; several attributes are joined.

    Raises:
        InputError: as :func:`hitl_audit.groups.group_columns`.
    """
    columns = group_columns(sensitive_features, rows)
    parts = list(zip(*columns.values(), strict=True))
    joined = [group_name(tuple(str(name) for name in part)) for part in parts]
    unknown = {name for name, part in zip(joined, parts, strict=True) if UNKNOWN in part}
    names, codes = np.unique(np.array(joined, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(names))
    known = np.array([str(name) not in unknown for name in names], dtype=bool)
    return Groups(tuple(str(name) for name in names), codes, (sizes >= min_group) & known)


def compare_decisions(
    y_true: npt.NDArray[np.int8],
    before: npt.NDArray[np.int8],
    after: npt.NDArray[np.int8],
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    random_state: int,
) -> tuple[PairedMeasure, ...]:
    """Every measure before and after, and the difference.

    Args:
        y_true, before, after: (rows,) 0 or 1.
        groups: of the same rows; the accuracy is over all of them, gaps and
            ratios over the groups compared.
        confidence: of every interval.
        n_boot, random_state: replicates and seed.

    Raises:
        InputError: an impossible setting.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if n_boot < 1:
        raise InputError(f"n_boot is {n_boot}; accepted: 1 or more")
    size = len(groups.names)
    code = ((groups.codes * 2 + y_true) * 2 + before) * 2 + after
    table = np.bincount(code, minlength=size * 8).reshape(1, size, 2, 2, 2)
    drawn = _replicates(table[0], n_boot, random_state, groups.compared)
    observed = _both(table, groups.compared)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    measures = []
    for place, metric in enumerate(MEASURES):
        was, now = (float(side[place][0]) for side in observed)
        columns = [drawn[0][place], drawn[1][place], drawn[1][place] - drawn[0][place]]
        gone = np.isnan(columns[2])
        bounds: list[float | None] = [None] * 6
        if not (gone.all() or np.isnan(now - was)):
            bounds = [float(b) for c in columns for b in np.quantile(c[~gone], tails)]
        measures.append(
            PairedMeasure(
                metric,
                len(y_true),
                _known(was),
                bounds[0],
                bounds[1],
                _known(now),
                bounds[2],
                bounds[3],
                _known(now - was),
                bounds[4],
                bounds[5],
                n_boot,
                int(gone.sum()),
            )
        )
    return tuple(measures)


Values = tuple[list[npt.NDArray[np.float64]], list[npt.NDArray[np.float64]]]


def _replicates(
    table: npt.NDArray[np.int64], n_boot: int, random_state: int, compared: npt.NDArray[np.bool_]
) -> Values:
    rng = np.random.default_rng(random_state)
    occupied = np.flatnonzero(table)
    rows = int(table.sum())
    shares = table.ravel()[occupied] / rows
    parts = []
    for start in range(0, n_boot, _CHUNK):
        number = min(_CHUNK, n_boot - start)
        drawn = np.zeros((number, table.size), dtype=np.int64)
        drawn[:, occupied] = rng.multinomial(rows, shares, size=number)
        parts.append(_both(drawn.reshape(number, *table.shape), compared))
    before, after = (
        [np.concatenate([part[side][place] for part in parts]) for place in range(len(MEASURES))]
        for side in (0, 1)
    )
    return before, after


def _both(tables: npt.NDArray[np.int64], compared: npt.NDArray[np.bool_]) -> Values:
    """The measures of tables (replicates × groups × true × before × after), on both sides."""
    return _values(tables.sum(4), compared), _values(tables.sum(3), compared)


def _values(
    tables: npt.NDArray[np.int64], compared: npt.NDArray[np.bool_]
) -> list[npt.NDArray[np.float64]]:
    """The measures, in order, of tables (replicates × groups × true × predicted)."""
    right = (tables[:, :, 0, 0] + tables[:, :, 1, 1]).sum(1)
    accuracy = _divide(right, tables.sum((1, 2, 3)))
    part = tables[:, compared]
    if not compared.any():
        nothing = np.full(len(tables), np.nan)
        return [accuracy, *([nothing] * (len(MEASURES) - 1))]
    selected = _divide(part[..., 1].sum(2), part.sum((2, 3)))
    true_positive = _divide(part[:, :, 1, 1], part[:, :, 1].sum(2))
    false_positive = _divide(part[:, :, 0, 1], part[:, :, 0].sum(2))
    return [
        accuracy,
        np.ptp(selected, axis=1),
        _divide(selected.min(1), selected.max(1)),
        np.ptp(true_positive, axis=1),
        np.ptp(false_positive, axis=1),
    ]


def _divide(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    result = np.full(np.shape(a), np.nan)
    np.divide(a, b, out=result, where=b > 0)
    return result


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
