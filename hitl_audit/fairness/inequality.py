"""How unequal a decision is, in one number: inequality indices and differential fairness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import (
    Floats,
    Interval,
    Measure,
    Partition,
    State,
    as_frame,
    as_html,
    check_settings,
    group_notes,
    interval_chart,
    partitions,
    percentile_interval,
    status_of,
)
from hitl_audit.groups import ALL, binary_labels

__all__ = [
    "DifferentialFairness",
    "Epsilon",
    "InequalityIndices",
    "differential_fairness",
    "inequality_indices",
]

Counts = npt.NDArray[np.int64]

_METHOD = "multinomial bootstrap, percentile"
_BENEFITS = np.array([0.0, 1.0, 2.0])
_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class InequalityIndices:
    """Inequality of benefits: in total, between groups, within groups, and inside each group.

    Attributes:
        measures: one row per attribute, group and index. An attribute's
            ``between_group_…`` and ``within_group_…`` add up to the index of all rows.
        alpha: of the generalized entropy index.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    measures: tuple[Measure, ...]
    alpha: float
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """All indices, one row each."""
        return as_frame(self.measures, Measure)

    def chart(self, metric: str, attribute: str) -> Chart:
        """The inequality inside each group, with intervals.

        Raises:
            InputError: a metric or an attribute that was not computed.
        """
        inside = [m for m in self.measures if m.group != ALL]
        return interval_chart(
            inside, attribute=attribute, metric=metric, confidence=self.confidence
        )

    def plot(self, metric: str, attribute: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric, attribute))

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def inequality_indices(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    alpha: float = 2.0,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 1000,
    random_state: int = 0,
) -> InequalityIndices:
    """Generalized entropy and Theil index of the benefits b = y_pred − y_true + 1.

    A case that deserved and got the favorable decision has benefit 1, one that
    got it undeserved 2, one that was refused it undeserved 0. With mean μ,
    GE(α) = mean((b / μ)^α − 1) / (α (α − 1)); GE(1), the Theil index, is
    mean(b / μ · ln(b / μ)), GE(0) is −mean(ln(b / μ)). Between groups everyone
    has the mean benefit of their group; the rest is inside the groups
    (Speicher et al., KDD 2018). As in AIF360, but for α = 0, where AIF360
    divides by μ once more.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_pred: (rows,) 0 or 1, where 1 is the favorable decision.
        sensitive_features, intersections: as in ``score_metrics_by_group``.
        alpha: of the generalized entropy index; 2 is half the squared
            coefficient of variation.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.
        n_boot, random_state: replicates and seed; drawing rows with
            replacement is one multinomial draw over group and benefit.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, or an
            impossible setting.
    """
    truth, decision = binary_labels(y_true, "y_true"), binary_labels(y_pred, "y_pred")
    if len(truth) != len(decision):
        raise InputError(f"y_pred: got {len(decision)} rows, expected {len(truth)} as in y_true")
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    if not math.isfinite(alpha):
        raise InputError(f"alpha is {alpha}; accepted: a finite number")
    parts = partitions(
        sensitive_features, len(truth), intersections=intersections, min_group=min_group
    )
    benefits = decision.astype(np.int64) - truth + 1
    names = {"generalized_entropy_index": alpha, "theil_index": 1.0}
    found: list[Measure] = []
    for part in parts:
        table = _table(part, benefits, 3)
        sizes = table.sum(1)
        drawn = _replicates(table, n_boot, random_state)
        for name, power in names.items():
            total, between, inside = _entropies(table[None], power)
            batches = [_entropies(batch, power) for batch in drawn]
            totals, betweens, insides = (np.concatenate(p) for p in zip(*batches, strict=True))

            def measure(
                metric: str,
                group: str,
                n: int,
                values: tuple[Floats, Floats],
                attribute: str = part.attribute,
            ) -> Measure:
                value = float(values[0][0])
                known = None if math.isnan(value) else value
                bounds: Interval = (None, None)
                if known is not None:
                    bounds = percentile_interval(values[1], confidence=confidence)
                status = status_of(known, n, min_group)
                return Measure(
                    attribute, group, metric, "value", "", n, known, *bounds, _METHOD, status
                )

            rows = len(truth)
            if part.attribute == ALL:
                found.append(measure(name, ALL, rows, (total, totals)))
                continue
            found += [
                measure(f"between_group_{name}", ALL, rows, (between, betweens)),
                measure(f"within_group_{name}", ALL, rows, (total - between, totals - betweens)),
            ]
            found += [
                measure(name, group, int(sizes[g]), (inside[:, g], insides[:, g]))
                for g, group in enumerate(part.groups)
            ]
    notes = group_notes(parts, len(truth), min_group, compared=False)
    notes.append(
        "Benefits count a wrong refusal as 0, a right decision of either kind as 1 and an "
        "undeserved favorable decision as 2."
    )
    notes.append(
        "Inequality between groups cannot be below zero: sampling alone makes it positive."
    )
    if alpha <= 0 and (benefits == 0).any():
        notes.append(
            f"With alpha {alpha:g} the index is infinite wherever somebody has no benefit; it is "
            "shown as undefined."
        )
    return InequalityIndices(tuple(found), float(alpha), confidence, tuple(notes))


def _table(part: Partition, codes: Counts, levels: int) -> Counts:
    """Rows per group and level."""
    cells = part.codes * levels + codes
    return np.bincount(cells, minlength=len(part.groups) * levels).reshape(-1, levels)


def _replicates(table: Counts, n_boot: int, random_state: int) -> list[Counts]:
    """Resampled tables (replicates × groups × levels), in batches."""
    rng = np.random.default_rng(random_state)
    shares = table.ravel() / table.sum()
    at_once = max(1, _CELLS_AT_ONCE // table.size)
    return [
        rng.multinomial(
            table.sum(), shares, size=min(at_once, n_boot - start)
        ).reshape(-1, *table.shape)
        for start in range(0, n_boot, at_once)
    ]  # fmt: skip


def _entropies(tables: Counts, alpha: float) -> tuple[Floats, Floats, Floats]:
    """Total and between-group entropy (replicates,), and that inside groups (replicates × groups).

    From counts (replicates × groups × benefits); NaN where undefined.
    """
    sizes = tables.sum(-1)
    sums = tables @ _BENEFITS
    means = np.divide(sums, sizes, out=np.zeros(sums.shape), where=sizes > 0)
    everyone = np.broadcast_to(_BENEFITS, (len(tables), 3))
    return (
        _entropy(tables.sum(1), everyone, alpha),
        _entropy(sizes, means, alpha),
        _entropy(tables, np.broadcast_to(_BENEFITS, tables.shape), alpha),
    )


def _entropy(counts: Counts, benefits: Floats, alpha: float) -> Floats:
    """GE(α) over the last axis: so many people have this benefit."""
    people = counts.sum(-1)
    mean = np.divide(
        (counts * benefits).sum(-1), people, out=np.zeros(people.shape), where=people > 0
    )
    known = mean > 0
    if alpha <= 0:
        known &= ~((counts > 0) & (benefits == 0)).any(-1)
    shares = benefits / np.where(mean > 0, mean, 1.0)[..., None]
    positive = np.where(shares > 0, shares, 1.0)
    if alpha == 1:
        terms = shares * np.log(positive)
    elif alpha == 0:
        terms = -np.log(positive)
    else:
        powers = np.where(shares > 0, positive**alpha, 0.0)
        terms = (powers - 1) / (alpha * (alpha - 1))
    result: Floats = np.where(known, (counts * terms).sum(-1) / np.maximum(people, 1), np.nan)
    return result


# --- differential fairness ---------------------------------------------------


@dataclass(frozen=True)
class Epsilon:
    """Differential fairness of one attribute, or of an intersection.

    Attributes:
        attribute: ``"race"`` or ``"race × sex"``.
        estimate: ``"empirical"`` or ``"smoothed"``.
        n, groups: rows, and groups compared.
        small_groups: those among them with fewer than ``min_group`` rows.
        value: ε, the largest log ratio of any outcome's probability between
            two groups; infinite if a group never has an outcome that another
            one has.
        ratio: e^−ε: the smallest ratio of probabilities that ε allows.
        low, high: percentile interval of ε.
        outcome, group, against: where ε is reached: the outcome, the group in
            which it is rarest and the one in which it is commonest.
        status: ``"small group"`` if one of these two groups is.
    """

    attribute: str
    estimate: Literal["empirical", "smoothed"]
    n: int
    groups: int
    small_groups: int
    value: float | None
    ratio: float | None
    low: float | None
    high: float | None
    outcome: str
    group: str
    against: str
    method: str
    status: State


@dataclass(frozen=True)
class DifferentialFairness:
    """Differential fairness by attribute and intersection.

    Attributes:
        epsilons: two rows per attribute: empirical and smoothed.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    epsilons: tuple[Epsilon, ...]
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """All values, one row each."""
        return as_frame(self.epsilons, Epsilon)

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def differential_fairness(
    y_pred: Any,
    *,
    sensitive_features: Any,
    concentration: float = 1.0,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 1000,
    random_state: int = 0,
) -> DifferentialFairness:
    """Differential fairness: ε = max |ln P(y | group) − ln P(y | other group)|.

    Over all outcomes y and pairs of groups (Foulds, Islam, Keya & Pan, ICDE
    2020). Empirical: shares of the rows. Smoothed: (count + concentration /
    outcomes) / (rows + concentration), as in AIF360, which small groups need.
    ε = 0.22 is the four-fifths rule applied to every outcome.

    Args:
        y_pred: (rows,) decisions, or recorded outcomes; any labels.
        sensitive_features, intersections: as in ``score_metrics_by_group``.
        concentration: of the smoothing, above 0.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged, and still compared.
        n_boot, random_state: replicates and seed; a replicate in which a group
            is empty is undefined.

    Raises:
        InputError: no rows, missing labels, or an impossible setting.
    """
    outcomes = pd.Series(np.asarray(y_pred))
    if not len(outcomes):
        raise InputError("y_pred is empty; accepted: at least one row")
    if outcomes.isna().any():
        raise InputError(
            f"y_pred is missing in {int(outcomes.isna().sum())} of {len(outcomes)} rows"
        )
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    if not (math.isfinite(concentration) and concentration > 0):
        raise InputError(f"concentration is {concentration}; accepted: a number above 0")
    codes, labels = pd.factorize(outcomes, sort=True)
    parts = partitions(
        sensitive_features, len(outcomes), intersections=intersections, min_group=min_group
    )
    found = []
    for part in parts:
        if part.attribute == ALL:
            continue
        table = _table(part, codes.astype(np.int64), len(labels))
        drawn = _replicates(table, n_boot, random_state)
        estimates: tuple[Literal["empirical", "smoothed"], ...] = ("empirical", "smoothed")
        for estimate in estimates:
            added = concentration if estimate == "smoothed" else 0.0
            logs = _log_probabilities(table[None], added)[0]
            replicates = np.concatenate([_epsilon(_log_probabilities(t, added)) for t in drawn])
            found.append(
                _described(part, table, logs, labels, estimate, replicates, confidence, min_group)
            )
    notes = group_notes(parts, len(outcomes), min_group, compared=False)
    notes.append(
        "ε is the largest of many gaps: sampling alone makes it positive, the more so the more "
        "and the smaller the groups are."
    )
    return DifferentialFairness(tuple(found), confidence, tuple(notes))


def _log_probabilities(tables: Counts, concentration: float) -> Floats:
    """ln P(outcome | group) of counts (… × groups × outcomes); −∞ for never, NaN without rows."""
    sizes = tables.sum(-1, keepdims=True)
    shares = np.divide(
        tables + concentration / tables.shape[-1],
        sizes + concentration,
        out=np.full(tables.shape, np.nan),
        where=sizes > 0,
    )
    logs = np.full(shares.shape, -np.inf)
    np.log(shares, out=logs, where=(shares > 0) | np.isnan(shares))
    return logs


def _epsilon(logs: Floats) -> Floats:
    """The largest spread of any outcome over the groups; an outcome that nobody has has none."""
    most, least = logs.max(-2), logs.min(-2)
    spreads = np.zeros(most.shape)
    np.subtract(most, least, out=spreads, where=most > -np.inf)
    spreads[np.isnan(most)] = np.nan
    widest: Floats = spreads.max(-1)
    return widest


def _described(
    part: Partition,
    table: Counts,
    logs: Floats,
    labels: Any,
    estimate: Literal["empirical", "smoothed"],
    replicates: Floats,
    confidence: float,
    min_group: int,
) -> Epsilon:
    sizes = table.sum(1)
    value = float(_epsilon(logs[None])[0]) if len(sizes) > 1 else None
    outcome, rarest, commonest = 0, 0, 0
    if value is not None:
        spreads = [float(_epsilon(logs[None, :, [o]])[0]) for o in range(len(labels))]
        outcome = int(np.argmax(spreads))
        rarest, commonest = int(logs[:, outcome].argmin()), int(logs[:, outcome].argmax())
    bounds: Interval = (None, None)
    if value is not None:
        bounds = percentile_interval(replicates, confidence=confidence)
    # Without any gap it is not reached in two groups: then every group matters.
    least = int(min(sizes[rarest], sizes[commonest]) if value else sizes.min())
    return Epsilon(
        attribute=part.attribute,
        estimate=estimate,
        n=int(sizes.sum()),
        groups=len(sizes),
        small_groups=int((sizes < min_group).sum()),
        value=value,
        ratio=None if value is None else math.exp(-value),
        low=bounds[0],
        high=bounds[1],
        outcome=str(labels[outcome]) if value is not None else "",
        group=part.groups[rarest] if value is not None else "",
        against=part.groups[commonest] if value is not None else "",
        method=_METHOD,
        status=status_of(value, least, min_group),
    )
