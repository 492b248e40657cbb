"""Decisions of similar people of different groups: matched pairs and McNemar's exact test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.individual import as_points, same_length, used_columns
from hitl_audit.fairness.measures import (
    Floats,
    Interval,
    Ints,
    Measure,
    State,
    adjusted,
    as_frame,
    as_html,
    as_numbers,
    check_settings,
    group_notes,
    interval_chart,
    mean_interval,
    partitions,
    status_of,
)
from hitl_audit.groups import ALL, TIMES, binary_labels
from hitl_audit.intervals import Count, wilson

__all__ = ["MatchedGroup", "MatchedPairs", "matched_pairs", "paired_newcombe"]

# Candidates looked at in one round of matching; who finds all of them taken waits for the next.
_CANDIDATES = 10


@dataclass(frozen=True)
class MatchedGroup:
    """Members of a group, each beside the most similar member of the reference.

    Attributes:
        attribute, group, reference: who is compared.
        n: rows of the group.
        pairs: how many of them found a partner.
        unmatched: how many did not, within the caliper.
        distance: mean distance within pairs.
        both, only_group, only_reference, neither: pairs by who got the favorable decision.
        difference: (only_group − only_reference) / pairs: favorable decisions
            that the group gets more, or fewer, than its like.
        low, high: Newcombe's interval of a paired difference.
        p_value: exact McNemar test.
        p_adjusted: by Benjamini and Hochberg over all such tests of the result.
        mean_score_difference, score_low, score_high: mean score difference
            within pairs and its t interval; ``None`` without scores.
        method: names of interval and test.
        status: ``"ok"``, ``"small group"`` (fewer than ``min_group`` pairs) or
            ``"undefined"`` (no pair).
    """

    attribute: str
    group: str
    reference: str
    n: int
    pairs: int
    unmatched: int
    distance: float | None
    both: int
    only_group: int
    only_reference: int
    neither: int
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    mean_score_difference: float | None
    score_low: float | None
    score_high: float | None
    method: str
    status: State


@dataclass(frozen=True)
class MatchedPairs:
    """Decisions of similar people of different groups.

    Attributes:
        groups: one row per attribute and group.
        pairs: (attribute, row of the group, row of the reference, distance); rows by position.
        caliper: attribute → the largest distance of a pair.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    groups: tuple[MatchedGroup, ...]
    pairs: tuple[tuple[str, int, int, float], ...]
    caliper: Mapping[str, float]
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row per group."""
        return as_frame(self.groups, MatchedGroup)

    def pairs_frame(self) -> pd.DataFrame:
        """One row per pair."""
        names = ["attribute", "row", "reference_row", "distance"]
        return pd.DataFrame(list(self.pairs), columns=names)

    def chart(self, attribute: str) -> Chart:
        """Difference within pairs by group with its intervals.

        Raises:
            InputError: an attribute that was not compared by.
        """
        metric = "favorable_decisions_within_matched_pairs"
        measures = [
            Measure(
                g.attribute,
                g.group,
                metric,
                "difference",
                g.reference,
                g.pairs,
                g.difference,
                g.low,
                g.high,
                g.method,
                g.status,
            )
            for g in self.groups
        ]
        return interval_chart(
            measures,
            attribute=attribute,
            metric=metric,
            compare="difference",
            confidence=self.confidence,
            percent=True,
        )

    def plot(self, attribute: str) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(attribute))

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def matched_pairs(
    X: pd.DataFrame,
    y_pred: Any,
    *,
    sensitive_features: Any,
    y_score: Any = None,
    exclude: Sequence[str] = (),
    reference: Mapping[str, Any] | None = None,
    caliper: float | None = None,
    intersections: bool | Sequence[Sequence[str]] = False,
    confidence: float = 0.95,
    min_group: int = 30,
) -> MatchedPairs:
    """Match every member of a group to the most similar member of the reference.

    One to one, without replacement, the closest pairs first, in standardized
    numbers and one-hot categories. Pairs farther apart than the caliper are
    not formed, and the members left over are counted. Decisions within pairs
    are compared by the exact McNemar test; the interval is Newcombe's for
    paired proportions (Stat Med 17 (1998), 2635-2650, method 10).

    Args:
        X: rows × features.
        y_pred: (rows,) 0 or 1, where 1 is the favorable decision.
        sensitive_features: by whom to match across.
        y_score: (rows,) scores to compare as well.
        exclude: columns of ``X`` to leave out, such as ids. The attribute that is
            matched across is left out by itself.
        reference: attribute → group; default the largest group.
        caliper: largest distance within a pair. Default: the distance within
            which 95% of the reference's own members have a neighbor.
        intersections: also across an intersection.
        confidence: of every interval.
        min_group: groups with fewer pairs are flagged.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, no column
            left, or an impossible setting.
    """
    as_points(X, exclude)  # refused before any work
    decisions = binary_labels(y_pred, "y_pred")
    same_length(X, "y_pred", len(decisions))
    scores = None if y_score is None else as_numbers(y_score, "y_score", len(decisions))
    check_settings(confidence=confidence, min_group=min_group)
    if caliper is not None and not caliper >= 0:
        raise InputError(f"caliper is {caliper}; accepted: a distance, 0 or more")
    parts = partitions(
        sensitive_features,
        len(decisions),
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    found: list[MatchedGroup] = []
    pairs: list[tuple[str, int, int, float]] = []
    calipers: dict[str, float] = {}
    for part in parts:
        if part.attribute == ALL or part.reference is None:
            continue
        # The attribute itself must not keep its groups apart; another one may.
        own = [name for name in part.attribute.split(TIMES) if name in map(str, X.columns)]
        points = as_points(X, [*exclude, *own])
        pool = part.rows[part.groups.index(part.reference)]
        within = _own_spacing(points[pool]) if caliper is None else float(caliper)
        calipers[part.attribute] = within
        for group, rows in zip(part.groups, part.rows, strict=True):
            if group == part.reference:
                continue
            mine, theirs, distances = _match(points[rows], points[pool], within)
            mine, theirs = rows[mine], pool[theirs]
            pairs += [
                (part.attribute, int(a), int(b), float(d))
                for a, b, d in zip(mine, theirs, distances, strict=True)
            ]
            gaps = None if scores is None else scores[mine] - scores[theirs]
            found.append(
                _compared(
                    (part.attribute, group, part.reference),
                    len(rows),
                    np.bincount(decisions[mine] * 2 + decisions[theirs], minlength=4),
                    distances,
                    gaps,
                    confidence,
                    min_group,
                )
            )
    notes = group_notes(parts, len(decisions), min_group)
    notes.append(
        f"Pairs are alike in {', '.join(used_columns(X, exclude))} (but for the attribute that is "
        "matched across) and may differ in what is not "
        "among these columns. Members without a partner are not in any difference."
    )
    corrected = adjusted([one.p_value for one in found])
    found = [replace(one, p_adjusted=p) for one, p in zip(found, corrected, strict=True)]
    return MatchedPairs(tuple(found), tuple(pairs), calipers, confidence, tuple(notes))


def _own_spacing(points: Floats) -> float:
    from sklearn.neighbors import NearestNeighbors

    if len(points) < 2:
        return 0.0
    distances, _ = NearestNeighbors(n_neighbors=1).fit(points).kneighbors()
    return float(np.quantile(distances, 0.95))


def _match(points: Floats, pool: Floats, caliper: float) -> tuple[Ints, Ints, Floats]:
    """Closest pairs first, each row and each of the pool at most once."""
    from sklearn.neighbors import NearestNeighbors

    waiting, free = np.arange(len(points)), np.arange(len(pool))
    matched: list[tuple[int, int, float]] = []
    while len(waiting) and len(free):
        nearest = NearestNeighbors(n_neighbors=min(_CANDIDATES, len(free))).fit(pool[free])
        distances, candidates = nearest.kneighbors(points[waiting])
        # Who has nobody within the caliper now will not find anybody later.
        hopeful = distances[:, 0] <= caliper
        waiting, distances, candidates = waiting[hopeful], distances[hopeful], candidates[hopeful]
        # Within a row the candidates come in order, so a stable sort keeps ties in order.
        order = np.argsort(distances, axis=None, kind="stable")
        taken: set[int] = set()
        settled: set[int] = set()
        width = candidates.shape[1]
        for flat in order:
            row, distance = int(flat) // width, float(distances.flat[flat])
            if distance > caliper:
                break
            other = int(free[candidates.flat[flat]])
            if row not in settled and other not in taken:
                settled.add(row)
                taken.add(other)
                matched.append((int(waiting[row]), other, distance))
        waiting = np.delete(waiting, sorted(settled))
        free = free[~np.isin(free, sorted(taken))]
    matched.sort()
    mine, theirs = ([pair[side] for pair in matched] for side in (0, 1))
    return (
        np.array(mine, dtype=np.int64),
        np.array(theirs, dtype=np.int64),
        np.array([pair[2] for pair in matched], dtype=np.float64),
    )


def _compared(
    who: tuple[str, str, str],
    n: int,
    cells: npt.NDArray[Any],
    distances: Floats,
    gaps: Floats | None,
    confidence: float,
    min_group: int,
) -> MatchedGroup:
    from scipy.stats import binomtest

    neither, only_reference, only_group, both = map(int, cells)
    pairs = len(distances)
    discordant = only_group + only_reference
    value = p_value = None
    bounds: Interval = (None, None)
    if pairs:
        value = (only_group - only_reference) / pairs
        bounds = paired_newcombe(both, only_group, only_reference, neither, confidence=confidence)
        p_value = float(binomtest(only_group, discordant).pvalue) if discordant else 1.0
    scored = gaps is not None and pairs > 0
    score_bounds = mean_interval(gaps, confidence=confidence) if gaps is not None else (None, None)
    return MatchedGroup(
        *who,
        n=n,
        pairs=pairs,
        unmatched=n - pairs,
        distance=float(distances.mean()) if pairs else None,
        both=both,
        only_group=only_group,
        only_reference=only_reference,
        neither=neither,
        difference=value,
        low=bounds[0],
        high=bounds[1],
        p_value=p_value,
        p_adjusted=None,
        mean_score_difference=float(gaps.mean()) if scored and gaps is not None else None,
        score_low=score_bounds[0],
        score_high=score_bounds[1],
        method="Newcombe, paired; exact McNemar test",
        status=status_of(value, pairs, min_group),
    )


def paired_newcombe(
    both: int, first: int, second: int, neither: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the paired difference (first − second) / pairs.

    Newcombe, Stat Med 17 (1998), 2635-2650, method 10: score intervals of the
    two proportions, joined with their continuity-corrected correlation.

    Args:
        both, first, second, neither: pairs in which both, only the first, only
            the second or neither are favorable; not all zero.
        confidence: of the interval.
    """
    pairs = both + first + second + neither
    (p1, low1, high1), (p2, low2, high2) = (
        (k / pairs, *(wilson(Count(k, pairs), confidence=confidence) or (0.0, 1.0)))
        for k in (both + first, both + second)
    )
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = float(both * neither - first * second)
    if product > 0:
        product = max(product - pairs / 2, 0.0)
    phi = product / math.sqrt(margins) if margins else 0.0

    def joined(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = (first - second) / pairs
    return (
        difference - joined(p1 - low1, high2 - p2),
        difference + joined(high1 - p1, p2 - low2),
    )
