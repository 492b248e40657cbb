"""Counts by group at any threshold, or at one threshold per group, without a pass over the rows.

The scores of every combination of groups are sorted once, with the favorable
outcomes among them added up along that order. The counts at a threshold are
then a binary search per combination, so moving a threshold costs the same on
a thousand rows and on a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import Group, GroupCounts
from hitl_audit.fairness.encoding import combine
from hitl_audit.fairness.rates import GroupRate, rates_of
from hitl_audit.fairness.reference import Methods, against_reference
from hitl_audit.findings import Comparison
from hitl_audit.groups import binary_labels, encode, group_name

__all__ = ["ScoredGroups", "measured_by"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScoredGroups:
    """The scores and outcomes of every combination of groups that occurs.

    A case is selected if and only if its score is at least the threshold.

    Attributes:
        attributes: names of the sensitive attributes.
        groups: the combinations, as in :class:`~hitl_audit.fairness.counts.GroupCounts`.
        rows: per combination the places of its rows in the data, by rising score.
        scores: per combination its scores, rising.
        favorable: per combination, of length rows + 1: how many of the lowest
            0, 1, 2 … rows have the favorable outcome.
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]
    rows: tuple[Ints, ...]
    scores: tuple[Floats, ...]
    favorable: tuple[Ints, ...]

    @classmethod
    def of(cls, y_true: Any, y_score: Any, sensitive_features: Any) -> ScoredGroups:
        """Sort the scores of every combination of groups.

        Args:
            y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
            y_score: (rows,) finite numbers; a higher one is more favorable.
            sensitive_features: as in ``group_metrics``.

        Raises:
            InputError: lengths that differ, other labels, or scores that are
                missing, infinite or no numbers.
        """
        truth = binary_labels(y_true, "y_true").astype(np.int64)
        try:
            scores = np.asarray(y_score, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("y_score holds other things than numbers; accepted: numbers") from None
        if scores.shape != truth.shape:
            raise InputError(f"y_score: got shape {scores.shape}, expected {truth.shape}")
        odd = int((~np.isfinite(scores)).sum())
        if odd:
            raise InputError(f"y_score is missing or infinite in {odd} of {len(scores)} rows")
        features = encode(sensitive_features, len(truth))
        codes, levels = combine(features, len(truth))
        order = np.lexsort((scores, codes))
        cuts = np.cumsum(np.bincount(codes, minlength=len(levels)))[:-1]
        parts = np.split(order, cuts)
        return cls(
            attributes=tuple(feature.name for feature in features),
            groups=tuple(
                tuple(f.names[code] for f, code in zip(features, row, strict=True))
                for row in levels
            ),
            rows=tuple(parts),
            scores=tuple(scores[part] for part in parts),
            favorable=tuple(_running(truth[part]) for part in parts),
        )

    def __len__(self) -> int:
        return sum(map(len, self.scores))

    def only(self, members: npt.NDArray[np.bool_]) -> ScoredGroups:
        """The same of some of the rows; combinations without any are left out.

        Args:
            members: (rows of the data,) which of them.
        """
        kept = [
            (group, rows[inside], scores[inside], _running(np.diff(favorable)[inside]))
            for group, rows, scores, favorable in zip(
                self.groups, self.rows, self.scores, self.favorable, strict=True
            )
            if (inside := members[rows]).any()
        ]
        groups, rows, scores, favorable = zip(*kept, strict=True) if kept else ((),) * 4
        return ScoredGroups(self.attributes, groups, rows, scores, favorable)

    def spread(self, thresholds: Mapping[str, float], by: Sequence[str], rest: float) -> Floats:
        """One threshold per combination, from one per group.

        Args:
            thresholds: group of ``by`` → its threshold.
            by: attribute, or several for the groups of their intersection.
            rest: the threshold of groups that are not named.
        """
        places = [self.attributes.index(name) for name in by]
        return np.array(
            [
                thresholds.get(group_name(tuple(group[i] for i in places)), rest)
                for group in self.groups
            ],
            dtype=np.float64,
        )

    def counts(self, thresholds: float | Floats) -> GroupCounts:
        """The decisions at one threshold, or at one per combination."""
        table = []
        for scores, favorable, below in zip(
            self.scores, self.favorable, self.below(thresholds), strict=True
        ):
            fn, positives = int(favorable[below]), int(favorable[-1])
            tn, tp = below - fn, positives - fn
            table.append((tn, len(scores) - below - tp, fn, tp))
        return GroupCounts(self.attributes, self.groups, tuple(table))

    def below(self, thresholds: float | Floats) -> list[int]:
        """How many rows of each combination are not selected."""
        wanted = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(self.groups))
        return [int(s.searchsorted(t)) for s, t in zip(self.scores, wanted, strict=True)]


def measured_by(
    counts: GroupCounts,
    by: Sequence[str],
    metric: str,
    *,
    reference: Mapping[str, str],
    confidence: float,
    min_group: int,
) -> tuple[list[GroupRate], list[Comparison], list[str]]:
    """One metric by one attribute: what ``group_metrics`` says, without p values.

    Args:
        counts: as counted at some threshold.
        by: attribute, several for their intersection, or () for all rows.
        metric: one of :data:`~hitl_audit.fairness.rates.METRICS`.
        reference: attribute → reference group; default the best-off one.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged, and no default reference.

    Returns:
        The rates, the comparisons, and a note where there is no reference.
    """
    part = counts.by(by)
    rates = rates_of(part, [metric], confidence, min_group)
    if not by:
        return rates, [], []
    # The cheapest test: its p values are about a threshold nobody chose in advance.
    pairs, notes = against_reference(
        part, rates, [metric], reference, confidence, min_group, methods=Methods(test="z")
    )
    return rates, pairs, notes


def _running(outcomes: Ints) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(outcomes)])
