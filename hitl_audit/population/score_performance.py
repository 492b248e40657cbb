"""How well the model decides, from counted scores: exact, or with a stated bound.

What derives from decisions is exact. So are the mean score and the Brier score, of
which every row's share is added up in fixed point. Areas under curves are of the
counted scores: exactly theirs while every class is one score, and otherwise of
classes, whose rows might be in any order among themselves. :func:`auc_bound` and
:func:`precision_bounds` say how much that can change at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hitl_audit.intervals import Count, wilson
from hitl_audit.performance import (
    CalibrationBin,
    Confusion,
    Curve,
    GroupPerformance,
    curves,
    group_performance,
)
from hitl_audit.population.score_classes import GroupScores
from hitl_audit.score_statistics import (
    Estimate,
    average_precision,
    bootstrap_counts,
    brier_score,
    delong_counts,
)

__all__ = ["auc_bound", "calibration", "mixed_precision", "performance_of", "precision_bounds"]

Ints = npt.NDArray[np.int64]


def auc_bound(counts: Ints) -> float:
    """How far the area under the ROC curve of classes can be from that of the rows.

    Pairs of rows with different outcomes in one class count as ties, ½ each, and
    might all be won or all be lost.

    Args:
        counts: (classes, 2) rows by outcome, 0 and 1; both occur.
    """
    negative, positive = counts.T.astype(np.float64)
    return float(negative @ positive / 2 / (negative.sum() * positive.sum()))


def precision_bounds(counts: Ints) -> tuple[float, float]:
    """The least and the largest average precision that the rows in the classes can have.

    Let F of C rows above a class be positive, and p positive and q negative rows be in
    it. Its positive rows are chosen at a precision of at most (F + p) / (C + p): all
    of them first, as one; and at least (F + j) / (C + q + j) for the j-th: all of them
    last, one after another. Σ 1 / (A + j) over j ≤ p is at most log(1 + p / A).

    Args:
        counts: (classes, 2) rows by outcome, 0 and 1, in rising order; both occur.
    """
    q, p = counts[::-1].T.astype(np.float64)
    found, chosen = p.cumsum() - p, (p + q).cumsum() - (p + q)
    before = chosen + q
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = np.where(before > 0, (before - found) * np.log1p(p / before), 0.0)
        most = np.where(p > 0, p * (found + p) / np.maximum(chosen + p, 1), 0.0)
    total = p.sum()
    return float((p - lost).sum() / total), float(min(most.sum() / total, 1.0))


def mixed_precision(counts: Ints) -> float:
    """The average precision if the rows in each class are in random order.

    After a share t of a class the precision is (F + p t) / (C + (p + q) t); its mean over
    t from 0 to 1 is what a positive row of the class is worth. (As ties, all rows of a
    class would be chosen at once, which is too low by about half a class.)

    Args:
        counts: (classes, 2) rows by outcome, 0 and 1, in rising order; both occur.
    """
    q, p = counts[::-1].T.astype(np.float64)
    rows = p + q
    found, chosen = p.cumsum() - p, rows.cumsum() - rows
    with np.errstate(divide="ignore", invalid="ignore"):
        share = p / rows
        gained = (found - share * chosen) / rows * np.log1p(rows / chosen)
    worth = np.where(chosen > 0, share + gained, share)
    return float(p @ worth / p.sum())


def calibration(
    scores: GroupScores, *, bins: int, min_group: int, confidence: float
) -> tuple[CalibrationBin, ...]:
    """Bins of about equal size in order of the score, as ``measure_performance`` has them.

    Bins end where classes end. The mean score of a bin is that of its very rows.
    """
    rows = scores.counts.sum(axis=1)
    n = int(rows.sum())
    size = max(1, min(bins, n // min_group))
    # As numpy.quantile interpolates between two rows.
    place = (n - 1) * np.linspace(0, 1, size + 1)[1:-1]
    below = np.floor(place).astype(np.int64)
    ends = rows.cumsum()
    one, other = (
        scores.levels[np.searchsorted(ends, i, side="right")]
        for i in (below, np.minimum(below + 1, n - 1))
    )
    share = place - below
    edges = np.unique(
        np.where(share < 0.5, one + (other - one) * share, other - (other - one) * (1 - share))
    )
    places = np.searchsorted(edges, scores.levels, side="right")
    found = []
    for bin_ in np.unique(places):
        chosen = places == bin_
        count = Count(int(scores.counts[chosen, 1].sum()), int(rows[chosen].sum()))
        interval = wilson(count, confidence=confidence)
        if interval is not None:
            observed = count.successes / count.total
            found.append(CalibrationBin(count.total, scores.mean(chosen), observed, *interval))
    return tuple(found)


def performance_of(
    attribute: str,
    group: str,
    confusion: Confusion,
    scores: GroupScores,
    *,
    confidence: float,
    min_group: int,
    bins: int,
    n_boot: int,
    random_state: int,
) -> GroupPerformance:
    """One group's numbers, as ``measure_performance`` has them of its rows."""
    counts = scores.counts
    rows = counts.sum(axis=0)
    both = bool(rows.min() > 0)
    roc = precision_recall = Curve((), ())
    auc: Estimate = (None, None, None)
    auc_words = precision_words = ""
    if both:
        auc = delong_counts(counts, confidence=confidence)
        truth = np.tile([0, 1], len(counts))
        occurs = counts.reshape(-1) > 0
        roc, precision_recall = curves(
            truth[occurs],
            np.repeat(scores.levels, 2)[occurs],
            counts.reshape(-1)[occurs].astype(np.float64),
        )
    precision, brier = bootstrap_counts(
        counts[::-1],
        scores.levels[::-1],
        [average_precision, brier_score],
        confidence=confidence,
        n_boot=n_boot,
        random_state=random_state,
    )
    if both and not scores.exact:
        told = f"; {len(counts):,} classes of scores, off by at most"
        auc_words = f"{told} {_rounded_up(auc_bound(counts))}"
        least, most = precision_bounds(counts)
        value = min(max(mixed_precision(counts), least), most)
        precision = _moved(precision, value)
        precision_words = f"{told} {_rounded_up(max(value - least, most - value))}"
    return group_performance(
        attribute,
        group,
        confusion,
        auc=auc,
        precision=precision if both else auc,
        brier=_moved(brier, scores.brier_score),
        roc=roc,
        precision_recall=precision_recall,
        calibration=calibration(scores, bins=bins, min_group=min_group, confidence=confidence),
        confidence=confidence,
        min_group=min_group,
        auc_words=auc_words,
        precision_words=precision_words,
    )


def _rounded_up(bound: float) -> str:
    """A bound with one digit that it does not exceed."""
    shown = f"{bound:.1g}"
    if float(shown) >= bound:
        return shown
    step = 10.0 ** np.floor(np.log10(bound))
    return f"{float(shown) + step:.1g}"


def _moved(estimate: Estimate, value: float) -> Estimate:
    """The exact value, and the interval moved by what classes changed in it."""
    found, low, high = estimate
    shift = value - (found or 0.0)
    return (
        value,
        None if low is None else max(0.0, low + shift),
        None if high is None else min(1.0, high + shift),
    )
