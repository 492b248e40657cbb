"""Who is ranked where: selection at k and exposure by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.fairness.measure_table import MeasureTable
from hitl_audit.fairness.measures import (
    Compare,
    Floats,
    Interval,
    Ints,
    Measure,
    Partition,
    as_numbers,
    check_settings,
    group_notes,
    partitions,
    percentile_interval,
    status_of,
)
from hitl_audit.groups import ALL
from hitl_audit.intervals import METHODS

__all__ = ["RankingMetrics", "ranking_metrics"]

# Resampling lists says nothing about lists if there are only a few.
_LEAST_LISTS = 10
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class RankingMetrics(MeasureTable):
    """Selection at k and exposure by group, with differences and ratios to the reference.

    Attributes:
        lists: how many lists were ranked.
    """

    lists: int

    def _in_percent(self, metric: str, compare: Compare) -> bool:
        return metric.startswith("selection") and compare != "ratio"


def ranking_metrics(
    y_score: Any,
    *,
    sensitive_features: Any,
    k: int | Sequence[int],
    query: Any = None,
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 1000,
    random_state: int = 0,
) -> RankingMetrics:
    """Who gets into the first k places, and how much attention each group's places get.

    ``selection_rate_at_k``: share of a group's members in the first k places of
    their list. ``exposure``: mean of 1 / log2(1 + place) over a group's members
    (Singh & Joachims, KDD 2018); its ratio to the reference is demographic
    parity of exposure. Members with equal scores share their places equally,
    which is the mean over all ways to break the tie.

    One list: selection has the intervals of proportions (Wilson, Newcombe,
    Koopman), and for exposure the members are resampled and ranked anew, which
    says what another pool of the same kind would have given. Several lists:
    whole lists are resampled, because members of one list depend on each other;
    with fewer than 10 lists there is no interval.

    Args:
        y_score: (rows,) the highest score is ranked first.
        sensitive_features, reference, intersections: as in ``score_metrics_by_group``.
        k: number of places, or several such numbers.
        query: (rows,) which list a row belongs to; one list if ``None``.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.
        n_boot, random_state: replicates and seed.

    Raises:
        InputError: scores that are missing, lengths that differ, a k that no
            list is longer than, or an impossible setting.
    """
    scores = as_numbers(y_score, "y_score")
    places = tuple(dict.fromkeys(k if isinstance(k, Sequence) else [k]))
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    if not places:
        raise InputError("k is empty; accepted: a number of places, or several")
    for number in places:
        check_settings(confidence=confidence, k=number)
    lists = _lists(query, len(scores))
    longest = int(np.bincount(lists).max())
    if max(places) >= longest:
        raise InputError(
            f"k is {max(places)}, and the longest list has {longest} rows; accepted: fewer places "
            "than rows (or everybody is selected)"
        )
    parts = partitions(
        sensitive_features,
        len(scores),
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    several = int(lists.max()) + 1
    found: list[Measure] = []
    for part in parts:
        rng = np.random.default_rng(random_state)
        sums, members = _observed(scores, lists, part, places)
        if several == 1:
            drawn = _members_resampled(scores, part, places, n_boot, rng)
        else:
            drawn = _lists_resampled(sums, members, n_boot, rng)
        found += _measured(part, places, sums, members, drawn, several, confidence, min_group)
    notes = group_notes(parts, len(scores), min_group)
    if 1 < several < _LEAST_LISTS:
        notes.append(
            f"{several} lists are too few to say how much lists differ, so there are no intervals."
        )
    return RankingMetrics(
        measures=tuple(found), lists=several, confidence=confidence, notes=tuple(notes)
    )


def _lists(query: Any, rows: int) -> Ints:
    if query is None:
        return np.zeros(rows, dtype=np.int64)
    series = pd.Series(np.asarray(query))
    if len(series) != rows:
        raise InputError(f"query: got {len(series)} rows, expected {rows} as in y_score")
    if series.isna().any():
        raise InputError(f"query is missing in {int(series.isna().sum())} of {rows} rows")
    return pd.factorize(series)[0].astype(np.int64)


def _gains(sizes: npt.NDArray[Any], places: tuple[int, ...]) -> list[Floats]:
    """What each of several tie blocks gets in all, in order of rank along the last axis.

    Selected members for every k, then exposure, of blocks with so many members.
    """
    ends = sizes.cumsum(-1)
    starts = ends - sizes
    discounts = np.zeros(int(ends[..., -1].max()) + 1)
    discounts[1:] = np.cumsum(1 / np.log2(np.arange(2, len(discounts) + 1)))
    selected = [(np.minimum(ends, k) - np.minimum(starts, k)).astype(float) for k in places]
    return [*selected, discounts[ends] - discounts[starts]]


def _observed(
    scores: Floats, lists: Ints, part: Partition, places: tuple[int, ...]
) -> tuple[Floats, Ints]:
    """Sums (metrics × lists × groups) and members (lists × groups)."""
    codes, size = part.codes, len(part.groups)
    order = np.argsort(lists, kind="stable")
    bounds = np.cumsum(np.bincount(lists))
    sums = np.zeros((len(places) + 1, len(bounds), size))
    members = np.zeros((len(bounds), size), dtype=np.int64)
    for one, rows in enumerate(np.split(order, bounds[:-1])):
        _, blocks, sizes = np.unique(-scores[rows], return_inverse=True, return_counts=True)
        members[one] = np.bincount(codes[rows], minlength=size)
        for m, gain in enumerate(_gains(sizes, places)):
            each = (gain / sizes)[blocks]
            sums[m, one] = np.bincount(codes[rows], weights=each, minlength=size)
    return sums, members


def _members_resampled(
    scores: Floats, part: Partition, places: tuple[int, ...], n_boot: int, rng: np.random.Generator
) -> Floats:
    """Mean per member (metrics × replicates × groups) of one list, its members drawn anew."""
    size = len(part.groups)
    _, blocks = np.unique(-scores, return_inverse=True)
    # One cell per block and group that has rows, in order of rank.
    cells, counts = np.unique(blocks * size + part.codes, return_counts=True)
    block, group = cells // size, cells % size
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    belongs = np.zeros((len(cells), size))
    belongs[np.arange(len(cells)), group] = 1.0
    at_once = max(1, _CELLS_AT_ONCE // len(cells))
    batches = []
    for start in range(0, n_boot, at_once):
        drawn = rng.multinomial(
            len(scores), counts / len(scores), size=min(at_once, n_boot - start)
        )
        sizes = np.add.reduceat(drawn, starts, axis=1)
        shares = drawn / np.maximum(sizes, 1)[:, block]
        members = drawn @ belongs
        sums = np.stack([(shares * gain[:, block]) @ belongs for gain in _gains(sizes, places)])
        batches.append(_divide(sums, members))
    return np.concatenate(batches, axis=1)


def _lists_resampled(sums: Floats, members: Ints, n_boot: int, rng: np.random.Generator) -> Floats:
    """Mean per member (metrics × replicates × groups), whole lists drawn anew."""
    several = len(members)
    weights = rng.multinomial(several, np.full(several, 1 / several), size=n_boot)
    return _divide(weights @ sums, weights @ members)


def _divide(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> Floats:
    result = np.full(np.broadcast_shapes(a.shape, b.shape), np.nan)
    np.divide(a, b, out=result, where=b > 0)
    return result


def _measured(
    part: Partition,
    places: tuple[int, ...],
    sums: Floats,
    members: Ints,
    drawn: Floats,
    several: int,
    confidence: float,
    min_group: int,
) -> list[Measure]:
    resampled = "bootstrap of members" if several == 1 else "bootstrap of lists"
    sizes = members.sum(0)
    totals = sums.sum(1)
    base = part.groups.index(part.reference) if part.reference is not None else None
    closed: dict[Compare, str] = {
        "value": "Wilson", "difference": "Newcombe", "ratio": "Koopman score"
    }  # fmt: skip
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def measure(m: int, g: int, compare: Compare) -> Measure:
        mine, replicates = totals[m, g] / sizes[g], drawn[m, :, g]
        counts, least = [totals[m, g], sizes[g]], sizes[g]
        value: float | None = float(mine)
        if compare != "value" and base is not None:
            other, others = totals[m, base] / sizes[base], drawn[m, :, base]
            counts += [totals[m, base], sizes[base]]
            least = min(sizes[g], sizes[base])
            if compare == "difference":
                value, replicates = float(mine - other), replicates - others
            else:
                value = float(mine / other) if other > 0 else None
                replicates = _divide(replicates, others)
        method = f"{resampled}, percentile"
        bounds: Interval = (None, None)
        # The share of everybody is fixed by k and the length of the list.
        unsure = value is not None and not (part.attribute == ALL and several == 1)
        if m < len(places) and several == 1:
            method = closed[compare]
            if unsure:
                bounds = METHODS[method](z, *map(float, counts))
        elif unsure and (several == 1 or several >= _LEAST_LISTS):
            bounds = percentile_interval(replicates, confidence=confidence)
        return Measure(
            attribute=part.attribute,
            group=part.groups[g],
            metric=f"selection_rate_at_{places[m]}" if m < len(places) else "exposure",
            compare=compare,
            reference="" if compare == "value" else str(part.reference),
            n=int(sizes[g]),
            value=value,
            low=bounds[0],
            high=bounds[1],
            method=method,
            status=status_of(value, int(least), min_group),
        )

    groups = range(len(part.groups))
    every = [(m, g) for m in range(len(totals)) for g in groups]
    others = [(m, g) for m, g in every if base is not None and g != base]
    found = [measure(m, g, "value") for m, g in every]
    for m, g in others:
        found += [measure(m, g, "difference"), measure(m, g, "ratio")]
    return found
