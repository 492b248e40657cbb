"""Counts of scores by group that add up, for data too large to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import check_settings
from hitl_audit.fairness.score_metrics import checked_scores, roc_auc
from hitl_audit.groups import group_columns, group_name

__all__ = ["Bracket", "ScoreHistogram", "score_histogram"]

Bins = tuple[int, ...]


@dataclass(frozen=True)
class Bracket:
    """A number read from a histogram, and what the bins leave open.

    ``at_least`` and ``at_most`` are hard bounds on the number over the rows
    themselves; they are no confidence interval.
    """

    group: str
    metric: str
    n: int
    value: float | None
    at_least: float | None
    at_most: float | None


@dataclass(frozen=True)
class ScoreHistogram:
    """Rows per combination of sensitive values, true label and bin of the score.

    Histograms of two parts of the data add up (``+``) to that of the whole.

    Attributes:
        attributes: names of the sensitive attributes.
        groups: the combinations that occur, sorted; one value per attribute.
        bins: bins of equal width from 0 to 1; 1 belongs to the last.
        negatives, positives: per group the rows in each bin, by true label.
    """

    attributes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    bins: int
    negatives: tuple[Bins, ...]
    positives: tuple[Bins, ...]

    def __add__(self, other: ScoreHistogram) -> ScoreHistogram:
        mine, theirs = (self.attributes, self.bins), (other.attributes, other.bins)
        if mine != theirs:
            raise InputError(
                f"got scores by {', '.join(other.attributes)} in {other.bins} bins, expected by "
                f"{', '.join(self.attributes)} in {self.bins} bins"
            )
        groups = [*self.groups, *other.groups]
        return _collect(
            self.attributes, self.bins, groups, np.concatenate([self._table(), other._table()])
        )

    def by(self, attributes: Sequence[str]) -> ScoreHistogram:
        """The histogram by some of the attributes, in this order; () for all rows together.

        Raises:
            InputError: an attribute that was not counted by.
        """
        unknown = [name for name in attributes if name not in self.attributes]
        if unknown:
            raise InputError(f'attribute is "{unknown[0]}"; accepted: {", ".join(self.attributes)}')
        places = [self.attributes.index(name) for name in attributes]
        groups = [tuple(group[i] for i in places) for group in self.groups]
        return _collect(tuple(attributes), self.bins, groups, self._table())

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self._table().sum())

    def frame(self) -> pd.DataFrame:
        """One row per group and bin that holds rows."""
        table = self._table()
        places, bins = np.nonzero(table.sum(-1))
        return pd.DataFrame(
            {
                "group": [group_name(self.groups[g]) for g in places],
                "score_from": bins / self.bins,
                "score_to": (bins + 1) / self.bins,
                "negatives": table[places, bins, 0],
                "positives": table[places, bins, 1],
            }
        )

    def brackets(self) -> tuple[Bracket, ...]:
        """``roc_auc``, ``mean_score`` and ``brier_score`` of each group, with hard bounds."""
        edges = np.arange(self.bins + 1) / self.bins
        low, high = edges[:-1], edges[1:]
        middle = (low + high) / 2
        found = []
        for group, table in zip(self.groups, self._table(), strict=True):
            name, n = group_name(group), int(table.sum())
            rows = table.sum(-1)
            falling = table[::-1][None]
            auc = float(roc_auc(falling)[0])
            pairs = float(table[:, 0].sum()) * float(table[:, 1].sum())
            # Pairs within a bin are counted as ties, and may all be won or lost.
            if pairs:
                open_pairs = 0.5 * float((table[:, 0] * table[:, 1]).sum()) / pairs
                found.append(Bracket(name, "roc_auc", n, auc, auc - open_pairs, auc + open_pairs))
            else:
                found.append(Bracket(name, "roc_auc", n, None, None, None))
            means = [float(rows @ at) / n for at in (middle, low, high)]
            losses = [
                float(table[:, 0] @ zero**2 + table[:, 1] @ (1 - one) ** 2) / n
                for zero, one in ((middle, middle), (low, high), (high, low))
            ]
            found += [
                Bracket(name, "mean_score", n, *means),
                Bracket(name, "brier_score", n, *losses),
            ]
        return tuple(found)

    def _table(self) -> npt.NDArray[np.int64]:
        """Groups × bins × labels."""
        return np.stack([np.array(self.negatives), np.array(self.positives)], axis=-1)


def score_histogram(
    y_true: Any, y_score: Any, *, sensitive_features: Any, bins: int = 1000
) -> ScoreHistogram:
    """Count scores by group.

    Args:
        y_true: (rows,) 0 or 1.
        y_score: (rows,) 0 to 1.
        sensitive_features: as in ``score_metrics_by_group``.
        bins: bins of equal width.

    Raises:
        InputError: as ``score_metrics_by_group``, or scores outside 0 to 1.
    """
    truth, scores = checked_scores(y_true, y_score)
    check_settings(confidence=0.5, bins=bins)
    if scores.min() < 0 or scores.max() > 1:
        raise InputError(
            f"y_score goes from {scores.min():g} to {scores.max():g}; accepted: 0 to 1, so that "
            "the bins of all parts are the same"
        )
    columns = group_columns(sensitive_features, len(truth))
    codes = np.zeros(len(truth), dtype=np.int64)
    for values in columns.values():
        levels, places = np.unique(values, return_inverse=True)
        codes = np.unique(codes * len(levels) + places, return_inverse=True)[1]
    first = np.unique(codes, return_index=True)[1]
    groups = [tuple(str(values[row]) for values in columns.values()) for row in first]
    edges = np.arange(bins + 1) / bins
    # By the edges themselves: score × bins may round across one.
    within = np.minimum(np.searchsorted(edges, scores, side="right") - 1, bins - 1)
    cells = (codes * bins + within) * 2 + truth
    table = np.bincount(cells, minlength=len(groups) * bins * 2).reshape(-1, bins, 2)
    return _collect(tuple(columns), bins, groups, table)


def _collect(
    attributes: tuple[str, ...],
    bins: int,
    groups: list[tuple[str, ...]],
    table: npt.NDArray[np.int64],
) -> ScoreHistogram:
    names = sorted(set(groups))
    place = {group: i for i, group in enumerate(names)}
    total = np.zeros((len(names), bins, 2), dtype=np.int64)
    np.add.at(total, [place[group] for group in groups], table)
    return ScoreHistogram(
        attributes,
        tuple(names),
        bins,
        tuple(tuple(map(int, row)) for row in total[..., 0]),
        tuple(tuple(map(int, row)) for row in total[..., 1]),
    )
