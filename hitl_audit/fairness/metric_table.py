"""Fairlearn's ``MetricFrame``, from counts: every number with an interval by resampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.own_metrics import OwnMetrics
from hitl_audit.fairness.rates import Weights, metric_values
from hitl_audit.fairness.resampling import Replicates, multinomial, replay, weighted_multinomial
from hitl_audit.groups import Feature

__all__ = ["KINDS", "Axis", "Law", "MetricTable", "Rows"]

Array = npt.NDArray[Any]
Compare = Literal["between_groups", "to_overall"]

KINDS = (
    "by_group",
    "overall",
    "group_min",
    "group_max",
    "difference between_groups",
    "difference to_overall",
    "ratio between_groups",
    "ratio to_overall",
)
_COMPARE = ("between_groups", "to_overall")

# About this many numbers of a metric are measured at a time.
_AT_ONCE = 4096
# A grid of all combinations with more rows than this lists those that occur.
_LARGEST_GRID = 1_000_000


@dataclass(frozen=True, eq=False)
class Axis:
    """A column of groups without its rows: name, groups as text, and as they were given."""

    name: str
    names: tuple[str, ...]
    values: tuple[Any, ...]

    @classmethod
    def of(cls, feature: Feature) -> Axis:
        """The axis of an encoded column."""
        return cls(feature.name, feature.names, feature.values)


@dataclass(frozen=True, eq=False)
class Rows:
    """What counts alone do not say: the cell of every row, and its weight."""

    cell: Array
    weight: Array | None


@dataclass(frozen=True)
class Law:
    """How intervals are drawn: ``"multinomial"`` or ``"replay"``, how often, from which seed."""

    name: str
    n_boot: int
    random_state: int
    confidence: float

    @property
    def tails(self) -> list[float]:
        """The quantiles of the interval, as one would write them: .025, not .025 + 2e-17."""
        tail = (1 - Fraction(repr(self.confidence))) / 2
        return [float(tail), float(1 - tail)]


@dataclass(frozen=True, eq=False)
class MetricTable:
    """Metrics of every group, and what they come to over all groups.

    0/0 is 0 and a group without rows is NaN, as in Fairlearn (the rates and
    comparisons of :class:`~hitl_audit.fairness.group_metrics.GroupMetrics`
    call 0/0 undefined instead). Intervals are percentile intervals.

    Attributes:
        axes: control features first, then sensitive features.
        controls: how many of the axes are control features.
        groups: (groups, axes) codes of the combinations that occur, in lexical order.
        table: (groups, 4) rows per cell.
        weights: sums of weights per cell, if rows have weights.
        metrics: names of the metrics that counts give.
        law: how intervals are drawn.
        rows: the cell of every row, where the law needs it.
        own: metrics of the user's, measured row-wise by Fairlearn.
    """

    axes: tuple[Axis, ...]
    controls: int
    groups: Array
    table: Array
    weights: Weights | None
    metrics: tuple[str, ...]
    law: Law
    rows: Rows | None = None
    own: OwnMetrics | None = None

    @classmethod
    def of_counts(
        cls,
        counts: GroupCounts,
        metrics: Sequence[str],
        law: Law,
        values: Mapping[str, Sequence[Any]] | None = None,
    ) -> MetricTable:
        """A table of counts alone.

        Args:
            counts: the rows.
            metrics: names of metrics that counts give.
            law: how intervals are drawn.
            values: attribute → its groups as they were given, in the order of their
                names; otherwise they are known by their names.
        """
        axes = []
        for i, name in enumerate(counts.attributes):
            names = tuple(sorted({group[i] for group in counts.groups}))
            axes.append(Axis(name, names, tuple((values or {}).get(name, names))))
        groups = [
            [a.names.index(g) for a, g in zip(axes, group, strict=True)] for group in counts.groups
        ]
        codes = np.array(groups, dtype=np.int64).reshape(len(groups), len(axes))
        return cls(tuple(axes), 0, codes, counts.array(), None, tuple(metrics), law)

    def by(self, names: Sequence[str], *, within: bool = False) -> MetricTable:
        """The same rows by some of the sensitive features.

        Args:
            names: the features; () for all rows together.
            within: keep the control features.
        """
        known = [axis.name for axis in self.axes]
        kept = self.controls if within else 0
        places = [*range(kept), *(known.index(name) for name in names)]
        part, place = np.unique(self.groups[:, places], axis=0, return_inverse=True)
        place = place.reshape(-1)

        def joined(values: Array) -> Array:
            total = np.zeros((len(part), 4), dtype=values.dtype)
            np.add.at(total, place, values)
            return total

        weights, rows = self.weights, self.rows
        if weights is not None:
            weights = Weights(joined(weights.sums.T).T, joined(weights.squares.T).T)
        if rows is not None:
            rows = Rows(place[rows.cell // 4] * 4 + rows.cell % 4, rows.weight)
        return replace(
            self,
            axes=tuple(self.axes[i] for i in places),
            controls=kept,
            groups=part,
            table=joined(self.table),
            weights=weights,
            rows=rows,
            own=None,
        )

    def counts(self) -> GroupCounts:
        """The counts by the sensitive features."""
        groups = tuple(
            tuple(axis.names[code] for axis, code in zip(self.axes, row, strict=True))
            for row in self.groups.tolist()
        )
        four = tuple((tn, fp, fn, tp) for tn, fp, fn, tp in self.table.tolist())
        counts = GroupCounts(tuple(axis.name for axis in self.axes), groups, four)
        return counts.by([axis.name for axis in self.axes[self.controls :]])

    @property
    def method(self) -> str:
        """The name of the interval."""
        if self.law.name == "replay":
            return "bootstrap of rows, Fairlearn's resamples, percentile"
        return "multinomial bootstrap, percentile"

    @property
    def by_group(self) -> pd.DataFrame:
        """Fairlearn's ``by_group``: groups × metrics, all combinations of all features."""
        index, place = _grid(self.groups, self.axes)
        values = np.full((len(index), len(self._all_metrics)), np.nan)
        values[place] = self._values["by_group"]
        return pd.DataFrame(values, index=index, columns=list(self._all_metrics))

    def by_group_frame(self) -> pd.DataFrame:
        """:attr:`by_group` with intervals: (group, metric) × value, low, high, undefined."""
        return self._frame("by_group", self.groups, self.axes)

    def frame(self, kind: str) -> pd.DataFrame:
        """One aggregate of :data:`KINDS`: (control group, metric) × value, low, high, undefined.

        ``undefined`` is the number of replicates in which it did not exist.
        """
        strata = self.groups[self._starts, : self.controls]
        return self._frame(kind, strata, self.axes[: self.controls])

    def overall_frame(self) -> pd.DataFrame:
        """Fairlearn's ``overall``, with intervals."""
        return self.frame("overall")

    def group_min(self) -> pd.DataFrame:
        """Fairlearn's ``group_min``, with intervals."""
        return self.frame("group_min")

    def group_max(self) -> pd.DataFrame:
        """Fairlearn's ``group_max``, with intervals."""
        return self.frame("group_max")

    def difference(self, method: str = "between_groups") -> pd.DataFrame:
        """Fairlearn's ``difference``, with intervals.

        Raises:
            InputError: an unknown method.
        """
        return self.frame(f"difference {_known(method)}")

    def ratio(self, method: str = "between_groups") -> pd.DataFrame:
        """Fairlearn's ``ratio``, with intervals.

        Raises:
            InputError: an unknown method.
        """
        return self.frame(f"ratio {_known(method)}")

    @cached_property
    def replicates(self) -> Replicates:
        """The resampled tables."""
        law, rows, groups = self.law, self.rows, len(self.table)
        if law.name == "replay":
            if rows is None:
                raise InputError(
                    'method "replay" needs the rows, and these are counts alone; accepted here: '
                    '"multinomial"'
                )
            return replay(rows.cell, rows.weight, groups, law.n_boot, law.random_state)
        if rows is not None and rows.weight is not None:
            return weighted_multinomial(
                rows.cell, rows.weight, groups, law.n_boot, law.random_state
            )
        return multinomial(self.table, law.n_boot, law.random_state)

    def resampled(self, metric: str) -> dict[str, Array]:
        """Every kind of a metric in every replicate, (replicates, groups or strata)."""
        replicates = self.replicates
        step = max(1, _AT_ONCE // len(self.groups))
        found: dict[str, Array] = {}
        for start in range(0, len(replicates), step):
            part = slice(start, start + step)
            for kind, values in self._measure(metric, *replicates.part(part)).items():
                if not start:
                    found[kind] = np.empty((len(replicates), values.shape[-1]))
                found[kind][part] = values
        return found

    @property
    def _all_metrics(self) -> tuple[str, ...]:
        return (*self.metrics, *(self.own.names if self.own else ()))

    @cached_property
    def _starts(self) -> Array:
        """Where each combination of control groups begins; groups are in lexical order."""
        control = self.groups[:, : self.controls]
        return np.flatnonzero(np.r_[True, (np.diff(control, axis=0) != 0).any(axis=1)])

    @cached_property
    def _values(self) -> dict[str, Array]:
        """Kind → (groups or strata, metrics)."""
        cells = self.table.T if self.weights is None else self.weights.sums
        found = [self._measure(metric, cells, self.table.sum(1)) for metric in self.metrics]
        own = [] if self.own is None else self.own.values(self.groups, self.groups[self._starts])
        return {kind: np.stack([m[kind] for m in (*found, *own)], axis=-1) for kind in KINDS}

    @cached_property
    def _intervals(self) -> dict[str, Array]:
        """Kind → (3, groups or strata, metrics): low, high and undefined replicates."""
        tails = self.law.tails
        found = []
        for metric in self.metrics:
            drawn = self.resampled(metric)
            found.append({kind: self._quantiles(kind, drawn[kind], tails) for kind in KINDS})
        if self.own is not None:
            found += self.own.intervals(
                self.law.n_boot,
                self.law.random_state,
                tails,
                self.groups,
                self.groups[self._starts],
            )
        return {kind: np.stack([m[kind] for m in found], axis=-1) for kind in KINDS}

    def _quantiles(self, kind: str, drawn: Array, tails: list[float]) -> Array:
        missing = np.isnan(drawn).sum(0)
        # Fairlearn's replicates without a value make an aggregate undefined,
        # but not a group, nor anything once there are control features.
        strict = self.law.name == "replay" and kind != "by_group" and not self.controls
        bounds = np.full((2, drawn.shape[1]), np.nan)
        whole = missing == 0
        bounds[:, whole] = np.quantile(
            drawn if whole.all() else drawn[:, whole], tails, axis=0, overwrite_input=True
        )
        some = (missing > 0) & (missing < len(drawn))
        if some.any() and not strict:
            bounds[:, some] = np.nanquantile(drawn[:, some], tails, axis=0)
        return np.vstack([bounds, missing])

    def _measure(self, metric: str, cells: Array, rows: Array) -> dict[str, Array]:
        """Every kind of one metric from cells (4, …, groups), as Fairlearn defines it."""
        starts = self._starts
        sizes = np.diff(np.r_[starts, len(self.groups)])
        each = metric_values(metric, cells, rows)
        overall = metric_values(
            metric, np.add.reduceat(cells, starts, axis=-1), np.add.reduceat(rows, starts, axis=-1)
        )
        spread = np.repeat(overall, sizes, axis=-1)
        least = np.fmin.reduceat(each, starts, axis=-1)
        most = np.fmax.reduceat(each, starts, axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = each / spread
            share = np.where(share > 1, 1 / share, share)
            return {
                "by_group": each,
                "overall": overall,
                "group_min": least,
                "group_max": most,
                "difference between_groups": most - least,
                "difference to_overall": np.fmax.reduceat(np.abs(each - spread), starts, axis=-1),
                "ratio between_groups": least / most,
                "ratio to_overall": np.fmin.reduceat(share, starts, axis=-1),
            }

    def _frame(self, kind: str, codes: Array, axes: tuple[Axis, ...]) -> pd.DataFrame:
        low, high, missing = self._intervals[kind]
        parts = {"value": self._values[kind], "low": low, "high": high, "undefined": missing}
        metrics = self._all_metrics
        if not axes:
            long = pd.Index(metrics, name="metric")
            columns = {name: values[0] for name, values in parts.items()}
        else:
            index, place = _grid(codes, axes)
            rows = np.repeat(np.arange(len(index)), len(metrics))
            levels = [index.get_level_values(i).take(rows) for i in range(len(axes))]
            long = pd.MultiIndex.from_arrays(
                [*levels, np.tile(np.array(metrics, dtype=object), len(index))],
                names=[*(axis.name for axis in axes), "metric"],
            )
            columns = {}
            for name, values in parts.items():
                full = np.full((len(index), len(metrics)), np.nan)
                full[place] = values
                columns[name] = full.ravel()
        return pd.DataFrame(columns, index=long).astype({"undefined": "Int64"})


def _grid(codes: Array, axes: tuple[Axis, ...]) -> tuple[pd.Index[Any], Array]:
    """Rows for all combinations of the groups, in the order of their values, as Fairlearn.

    Returns:
        The index, and where in it each of the combinations that occur is.
    """
    orders = [_ordered(axis) for axis in axes]
    values = [[axis.values[i] for i in order] for axis, order in zip(axes, orders, strict=True)]
    ranks = tuple(np.argsort(order)[codes[:, i]] for i, order in enumerate(orders))
    if len(axes) == 1:
        return pd.Index(values[0], name=axes[0].name), ranks[0]
    names = [axis.name for axis in axes]
    sizes = tuple(len(order) for order in orders)
    if np.prod(sizes, dtype=float) > _LARGEST_GRID:
        order = np.lexsort(ranks[::-1])
        listed = [[v[r] for r in rank[order]] for v, rank in zip(values, ranks, strict=True)]
        return pd.MultiIndex.from_arrays(listed, names=names), np.argsort(order)
    index = pd.MultiIndex.from_product(values, names=names)
    return index, np.asarray(np.ravel_multi_index(ranks, sizes))


def _known(method: str) -> str:
    if method not in _COMPARE:
        raise InputError(f'method is "{method}"; accepted: {", ".join(_COMPARE)}')
    return method


def _ordered(axis: Axis) -> list[int]:
    """Places of the groups in the order of their values; by name if those have no order."""
    try:
        return sorted(range(len(axis.values)), key=lambda i: axis.values[i])
    except TypeError:
        return list(range(len(axis.names)))
