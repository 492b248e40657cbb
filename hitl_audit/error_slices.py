"""Where the model errs: slices of the data with more errors than the rest.

Slices are searched in one half of the rows and measured in the other half,
which had no part in finding them. All numbers that are shown come from that
confirmation half, so a slice cannot look bad because it was fished for.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.findings import percent
from hitl_audit.slices.conditions import (
    MOST_CATEGORIES,
    Condition,
    FeatureCells,
    cells_of,
    described,
)
from hitl_audit.slices.gauge import Gauge, Kind
from hitl_audit.slices.search import Found, find_slices
from hitl_audit.slices.tree import Branch, TreeNode, error_tree, grown_branches

__all__ = [
    "Branch",
    "ErrorSlice",
    "ErrorSlices",
    "TreeNode",
    "branch_holds",
    "error_branches",
    "find_error_slices",
]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]

_LEAST_ROWS = 30


@dataclass(frozen=True)
class ErrorSlice:
    """One slice, measured in the confirmation half.

    Attributes:
        id: ``S1``, ``S2`` … in the order of discovery (strongest first).
        conditions: what a row must meet, all of it.
        words: the same in words.
        searched_n, searched_value: rows and error rate in the half where it
            was found: flattering to the finding, never to be quoted alone.
        n: rows in the confirmation half.
        errors: errors among them (sum of the losses for a mean loss).
        value, low, high: error rate (or mean loss) with its interval.
        rest_n, rest_value: all other rows of the confirmation half.
        difference, difference_low, difference_high: slice − rest.
        p_value, p_adjusted: of equal rates, raw and Benjamini-Hochberg
            adjusted over every slice measured; ``None`` without rows.
        status: ``"confirmed"`` (more errors than the rest and ``p_adjusted``
            at most 1 − confidence), ``"not confirmed"``, or ``"too few rows"``
            (fewer than half of ``min_size``).
    """

    id: str
    conditions: tuple[Condition, ...]
    words: str
    searched_n: int
    searched_value: float
    n: int
    errors: float
    value: float | None
    low: float | None
    high: float | None
    rest_n: int
    rest_value: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_value: float | None
    p_adjusted: float | None
    status: Literal["confirmed", "not confirmed", "too few rows"]

    def holds(self, X: Any) -> Rows:
        """Which rows of a table belong to the slice."""
        return _holds(self.conditions, _table(X))


@dataclass(frozen=True)
class ErrorSlices:
    """What was found, and how it was looked for.

    Attributes:
        kind: ``"error rate"`` for errors of 0 and 1, ``"mean loss"`` otherwise.
        slices: everything found and measured, confirmed or not.
        tree: a shallow tree for the picture; parents before children.
        value, low, high: overall error rate of the confirmation half.
        n_search, n_confirm: rows of the two halves.
        candidates: slices that were compared in the search half.
        min_size: fewest rows of a slice in the search half.
        confidence: of every interval.
        method, test: names of the intervals and of the test.
        guarantee: what the search covers, in words.
        notes: what a reader must know.
    """

    kind: Kind
    slices: tuple[ErrorSlice, ...]
    tree: tuple[TreeNode, ...]
    value: float | None
    low: float | None
    high: float | None
    n_search: int
    n_confirm: int
    candidates: int
    min_size: int
    confidence: float
    method: str
    test: str
    guarantee: str
    notes: tuple[str, ...]

    @property
    def confirmed(self) -> tuple[ErrorSlice, ...]:
        """The slices that the confirmation half bears out."""
        return tuple(one for one in self.slices if one.status == "confirmed")

    def frame(self) -> pd.DataFrame:
        """All slices, one row each."""
        columns = [name for name in ErrorSlice.__dataclass_fields__ if name != "conditions"]
        return pd.DataFrame(
            [{name: getattr(one, name) for name in columns} for one in self.slices],
            columns=columns,
        )

    def tree_frame(self) -> pd.DataFrame:
        """The tree, one row per node."""
        return pd.DataFrame([asdict(node) for node in self.tree])

    def chart(self) -> Chart:
        """The slices and the rest of the rows, with the overall rate as a line."""
        as_percent = self.kind == "error rate"
        name = self.kind.capitalize()
        said = _summary(self)
        shown = [one for one in self.slices if one.value is not None]
        values = "; ".join(
            f"{one.words}: {_value(one.value, as_percent)} "
            f"({_value(one.low, as_percent)} to {_value(one.high, as_percent)}, n = {one.n}), "
            f"rest {_value(one.rest_value, as_percent)}, {one.status}"
            for one in shown
        )
        labels = tuple(one.words for one in shown)
        overall = () if self.value is None else ((self.value, "all rows"),)
        return Chart(
            kind="intervals",
            message=said,
            alt=f"{said} {values}." if values else said,
            value_label=f"{name}, with {self.confidence * 100:g}% interval",
            series=(
                Series(
                    name="slice",
                    x=labels,
                    y=tuple(one.value for one in shown),
                    low=tuple(one.low for one in shown),
                    high=tuple(one.high for one in shown),
                    notes=tuple(f"n = {one.n}, {one.status}" for one in shown),
                ),
                Series(name="all other rows", x=labels, y=tuple(one.rest_value for one in shown)),
            ),
            thresholds=overall,
            percent=as_percent,
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in (self.guarantee, *self.notes))
        return f"<p>{html.escape(_summary(self))}</p>{table}<ul>{notes}</ul>"


def find_error_slices(
    X: Any,
    errors: Any,
    *,
    max_literals: int = 3,
    min_size: int | None = None,
    bins: int = 4,
    max_slices: int = 10,
    n_holdout_share: float = 0.5,
    tree_depth: int = 3,
    labels: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
) -> ErrorSlices:
    """Search for slices with more errors than the rest, and confirm them on other rows.

    In the search half every slice of one to ``max_literals`` conditions is
    counted. The one that differs most from the rest is taken (by z²/2 less
    the logarithm of how many slices have as many conditions, so a further
    condition must earn its place), its rows are set aside, and the search is
    repeated on what is left: a part or a variant of a slice already taken
    cannot come back.

    Args:
        X: (rows, features) DataFrame or array of numbers, booleans, texts or
            categories; missing values are a value of their own.
        errors: (rows,) 0 or 1 where the decision is wrong, or a loss per row.
        max_literals: 1, 2 or 3 conditions at most.
        min_size: fewest rows of a slice (and of the rest) in the search half;
            default the larger of 30 and 1 % of them.
        bins: cells into which a number is cut, at quantiles of the search half.
        max_slices: the search stops after this many.
        n_holdout_share: share of the rows kept for confirmation.
        tree_depth: depth of the tree for the picture, 1 to 3.
        labels: column → plain words for it.
        confidence: of every interval; a slice is confirmed at 1 − confidence.
        random_state: seed of the split.

    Raises:
        InputError: lengths that differ, errors that are missing or infinite, a
            column that has no conditions, or an impossible setting.
    """
    for name, whole, least, most in (
        ("max_literals", max_literals, 1, 3),
        ("bins", bins, 2, 20),
        ("max_slices", max_slices, 1, 100),
        ("tree_depth", tree_depth, 1, 3),
    ):
        if not least <= whole <= most:
            raise InputError(f"{name} is {whole}; accepted: {least} to {most}")
    halves = _halves(X, errors, bins, min_size, n_holdout_share, labels, confidence, random_state)
    table, loss, searched, min_size = halves.table, halves.loss, halves.searched, halves.min_size
    usable, gauge, n_search = halves.usable, halves.gauge, int(halves.searched.sum())
    found, candidates, guarantee = find_slices(
        [replace(feature, codes=feature.codes[searched]) for feature in usable],
        loss[searched],
        max_literals=max_literals,
        min_size=min_size,
        max_slices=max_slices,
    )
    measured = [_Measured(one, _holds(one.conditions, table[~searched])) for one in found]
    slices = _confirmed(measured, loss[~searched], gauge, min_size)
    value, low, high = gauge.estimate(loss[~searched])
    tree = error_tree(usable, searched, loss, gauge, min_size, tree_depth, random_state)
    return ErrorSlices(
        kind=gauge.kind,
        slices=slices,
        tree=tree,
        value=value,
        low=low,
        high=high,
        n_search=n_search,
        n_confirm=len(table) - n_search,
        candidates=candidates,
        min_size=min_size,
        confidence=confidence,
        method=gauge.method,
        test=gauge.test,
        guarantee=guarantee,
        notes=_notes(halves.features, table, searched, loss),
    )


def error_branches(
    X: Any,
    errors: Any,
    *,
    min_size: int | None = None,
    bins: int = 4,
    n_holdout_share: float = 0.5,
    tree_depth: int = 3,
    labels: Mapping[str, str] | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
) -> tuple[Branch, ...]:
    """The tree of :func:`find_error_slices`, with the way to every node and a test of it.

    With the same arguments the nodes are the same; :func:`branch_holds` tells
    the rows of a node in any table with these columns.

    Raises:
        InputError: as :func:`find_error_slices`.
    """
    if not 1 <= tree_depth <= 3:
        raise InputError(f"tree_depth is {tree_depth}; accepted: 1 to 3")
    if not 2 <= bins <= 20:
        raise InputError(f"bins is {bins}; accepted: 2 to 20")
    halves = _halves(X, errors, bins, min_size, n_holdout_share, labels, confidence, random_state)
    return grown_branches(
        halves.usable,
        halves.searched,
        halves.loss,
        halves.gauge,
        halves.min_size,
        tree_depth,
        random_state,
    )


def branch_holds(branch: Branch, X: Any) -> Rows:
    """Which rows of a table belong to a node; a missing value does not meet a condition.

    Raises:
        InputError: a column that the way to the node is about is not there.
    """
    table = _table(X)
    rows = np.ones(len(table), dtype=bool)
    for condition, met in branch.steps:
        rows &= _holds([condition], table) == met
    return rows


@dataclass(frozen=True)
class _Halves:
    """The checked rows, the half that is searched, and the features cut into cells."""

    table: pd.DataFrame
    loss: Floats
    searched: Rows
    features: tuple[FeatureCells, ...]
    gauge: Gauge
    min_size: int

    @property
    def usable(self) -> list[FeatureCells]:
        return [feature for feature in self.features if feature.conditions]


def _halves(
    X: Any,
    errors: Any,
    bins: int,
    min_size: int | None,
    n_holdout_share: float,
    labels: Mapping[str, str] | None,
    confidence: float,
    random_state: int,
) -> _Halves:
    table = _table(X)
    loss = _losses(errors, len(table))
    for name, share in (("n_holdout_share", n_holdout_share), ("confidence", confidence)):
        if not 0 < share < 1:
            raise InputError(f"{name} is {share}; accepted: a number between 0 and 1")
    n_search = len(table) - round(n_holdout_share * len(table))
    if min(n_search, len(table) - n_search) < 2:
        raise InputError(f"X has {len(table)} rows; accepted: at least 2 to search, 2 to confirm")
    if min_size is None:
        min_size = min(max(_LEAST_ROWS, math.ceil(n_search / 100)), max(1, n_search // 2))
    if not 1 <= min_size <= n_search // 2:
        raise InputError(
            f"min_size is {min_size}; accepted: 1 to {n_search // 2}, half of the {n_search} rows "
            "searched"
        )
    searched = np.zeros(len(table), dtype=bool)
    searched[np.random.default_rng(random_state).permutation(len(table))[:n_search]] = True
    words = {} if labels is None else labels
    features = tuple(
        cells_of(table.iloc[:, i], searched, bins=bins, min_size=min_size, labels=words)
        for i in range(table.shape[1])
    )
    gauge = Gauge("error rate" if np.isin(loss, (0, 1)).all() else "mean loss", confidence)
    return _Halves(table, loss, searched, features, gauge, min_size)


@dataclass(frozen=True)
class _Measured:
    found: Found
    rows: Rows


def _confirmed(
    measured: Sequence[_Measured], loss: Floats, gauge: Gauge, min_size: int
) -> tuple[ErrorSlice, ...]:
    from scipy.stats import false_discovery_control

    compared = [gauge.compare(loss[one.rows], loss[~one.rows]) for one in measured]
    tested = [i for i, (_, p) in enumerate(compared) if p is not None]
    adjusted: dict[int, float] = {}
    if tested:
        values = false_discovery_control([compared[i][1] for i in tested], method="bh")
        adjusted = dict(zip(tested, map(float, values), strict=True))
    slices = []
    for i, (one, (gap, p_value)) in enumerate(zip(measured, compared, strict=True)):
        inside, outside = loss[one.rows], loss[~one.rows]
        worse = gap[0] is not None and gap[0] > 0
        state: Literal["confirmed", "not confirmed", "too few rows"] = "not confirmed"
        if 2 * len(inside) < min_size or i not in adjusted:
            state = "too few rows"
        elif worse and adjusted[i] <= 1 - gauge.confidence:
            state = "confirmed"
        value, low, high = gauge.estimate(inside)
        slices.append(
            ErrorSlice(
                id=f"S{i + 1}",
                conditions=one.found.conditions,
                words=described(one.found.conditions),
                searched_n=one.found.n,
                searched_value=one.found.errors / one.found.n,
                n=len(inside),
                errors=float(inside.sum()),
                value=value,
                low=low,
                high=high,
                rest_n=len(outside),
                rest_value=float(outside.mean()) if len(outside) else None,
                difference=gap[0],
                difference_low=gap[1],
                difference_high=gap[2],
                p_value=p_value,
                p_adjusted=adjusted.get(i),
                status=state,
            )
        )
    return tuple(slices)


def _holds(conditions: Sequence[Condition], table: pd.DataFrame) -> Rows:
    rows = np.ones(len(table), dtype=bool)
    for condition in conditions:
        if condition.feature not in table.columns:
            raise InputError(f'X has no column "{condition.feature}", which the slice is about')
        rows &= condition.holds(table[condition.feature])
    return rows


def _table(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        table = X.reset_index(drop=True)
        table.columns = [str(name) for name in X.columns]
    else:
        array = np.asarray(X)
        if array.ndim != 2:
            raise InputError(f"X has shape {array.shape}; accepted: (rows, features)")
        table = pd.DataFrame(array, columns=[f"feature_{i}" for i in range(array.shape[1])])
    if table.shape[1] == 0:
        raise InputError("X has no column; accepted: at least one feature")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise InputError(f'X has two columns called "{twice}"')
    return table


def _losses(errors: Any, rows: int) -> Floats:
    try:
        loss = np.asarray(errors, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "errors hold other things than numbers; accepted: 0, 1 or losses"
        ) from None
    if loss.shape != (rows,):
        raise InputError(f"errors: got shape {loss.shape}, expected ({rows},) as in X")
    odd = int((~np.isfinite(loss)).sum())
    if odd:
        raise InputError(f"errors are missing or infinite in {odd} of {rows} rows")
    return loss


def _notes(
    features: Sequence[FeatureCells], table: pd.DataFrame, searched: Rows, loss: Floats
) -> tuple[str, ...]:
    notes = []
    unused = [f.feature for f in features if not f.conditions]
    if unused:
        notes.append(f"Nothing can be said of features without variety: {', '.join(unused)}.")
    crowded = [
        f.feature
        for f in features
        if sum(c.kind == "category" for c in f.conditions) == MOST_CATEGORIES
        and table[f.feature][searched].nunique() > MOST_CATEGORIES
    ]
    if crowded:
        notes.append(
            f"Only the {MOST_CATEGORIES} most frequent categories were searched in "
            f"{', '.join(crowded)}."
        )
    if loss[searched].std() == 0:
        notes.append("All searched rows have the same error, so no slice can differ.")
    return tuple(notes)


def _value(value: float | None, as_percent: bool) -> str:
    if value is None or as_percent:
        return percent(value)
    return number(value)


def _summary(result: ErrorSlices) -> str:
    as_percent = result.kind == "error rate"
    if not result.slices:
        return f"No slice has a higher {result.kind} than the rest in the half that was searched."
    if not result.confirmed:
        return (
            f"None of the {len(result.slices)} slices found in one half of the rows has a higher "
            f"{result.kind} in the other half beyond chance."
        )
    top = max(result.confirmed, key=lambda one: one.value or 0.0)
    return (
        f"{len(result.confirmed)} of {len(result.slices)} slices are confirmed; the worst is "
        f"{top.words}: {_value(top.value, as_percent)} against "
        f"{_value(top.rest_value, as_percent)} elsewhere (n = {top.n})."
    )
