"""How often a reviewer's answers match a reference: the truth, or the consensus. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.intervals import Count, scaled_interval
from hitl_audit.review.agreement_measuring import MIN_UNITS
from hitl_audit.review.agreement_ratings import Label, Ratings
from hitl_audit.review.dawid_skene import DawidSkene

__all__ = ["MODEL", "Accuracy", "Confusion", "against_model", "against_reference"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MODEL = "consensus by the model, own vote included"

_PARTS = 1_000_000  # an expected count is not whole: its share is, to this precision


@dataclass(frozen=True)
class Accuracy:
    """How often a reviewer's answers match a reference.

    Attributes:
        reviewer: the name.
        against: ``"truth"``, ``"consensus of the others"``, or
            ``"consensus by the model, own vote included"``.
        n: units with the reviewer's answer and the reference.
        value, low, high: share that matches (under the model: expected), with
            its interval; ``None`` when n is below 10.
        method: of the interval. That of the model takes its estimates for
            facts, so that it is too narrow for few units.
        status: ``"estimated"`` or ``"insufficient data"``.
    """

    reviewer: str
    against: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    method: str
    status: str


@dataclass(frozen=True)
class Confusion:
    """How often a reviewer gave one answer where the reference has another or the same.

    Attributes:
        reviewer, against: as in :class:`Accuracy`.
        reference, answer: the category of the reference, and the reviewer's.
        count, n: units with both, of units with this reference; under the
            model, expected numbers.
        value, low, high: the share with the Wilson interval; ``None`` when n
            is below 10. Under the model the value is its estimate, with
            smoothing, which pulls it from count / n towards equal shares.
        status: ``"estimated"`` or ``"insufficient data"``.
    """

    reviewer: str
    against: str
    reference: Label
    answer: Label
    count: float
    n: float
    value: float | None
    low: float | None
    high: float | None
    status: str


def against_reference(
    reviewer: str,
    against: str,
    table: Ratings,
    answers: IntArray,
    reference: IntArray,
    confidence: float,
) -> tuple[Accuracy, list[Confusion]]:
    """Compare answers with a reference, unit by unit.

    Args:
        reviewer, against: names.
        table: whose categories are meant.
        answers, reference: (n,) places of categories; −1 for none.
        confidence: of the intervals.
    """
    q = len(table.categories)
    both = (answers >= 0) & (reference >= 0)
    pairs = np.zeros((q, q))
    np.add.at(pairs, (reference[both], answers[both]), 1)
    n = int(both.sum())
    accuracy = _accuracy(reviewer, against, n, float(np.trace(pairs)), confidence, "Wilson")
    total = pairs.sum(axis=1, keepdims=True)
    shares = np.divide(pairs, total, out=np.zeros_like(pairs), where=total > 0)
    return accuracy, _confusions(reviewer, against, table, pairs, shares, confidence)


def against_model(
    reviewer: str, table: Ratings, j: int, model: DawidSkene, confidence: float
) -> tuple[Accuracy, list[Confusion]]:
    """Compare a reviewer's answers with what the model holds to be true.

    Args:
        reviewer: the name.
        table: all ratings.
        j: column of the reviewer, and rater of the model.
        model: fitted to them.
        confidence: of the intervals.
    """
    q = len(table.categories)
    there = table.codes[:, j] >= 0
    given = np.eye(q)[table.codes[there, j]]
    pairs = model.posterior[there].T @ given
    n = int(there.sum())
    method = "Wilson on the expected number, the model taken as known"
    accuracy = _accuracy(reviewer, MODEL, n, float(np.trace(pairs)), confidence, method)
    return accuracy, _confusions(reviewer, MODEL, table, pairs, model.confusion[j], confidence)


def _accuracy(
    reviewer: str, against: str, n: int, matching: float, confidence: float, method: str
) -> Accuracy:
    if n < MIN_UNITS:
        return Accuracy(reviewer, against, n, None, None, None, "", "insufficient data")
    low, high = _interval(matching / n, n, confidence)
    return Accuracy(reviewer, against, n, matching / n, low, high, method, "estimated")


def _confusions(
    reviewer: str,
    against: str,
    table: Ratings,
    pairs: FloatArray,
    shares: FloatArray,
    confidence: float,
) -> list[Confusion]:
    found = []
    for k, reference in enumerate(table.categories):
        n = float(pairs[k].sum())
        for given, answer in enumerate(table.categories):
            value = low = high = None
            if n >= MIN_UNITS:
                value = float(shares[k, given])
                low, high = _interval(value, n, confidence)
            status = "estimated" if value is not None else "insufficient data"
            count = float(pairs[k, given])
            found.append(
                Confusion(reviewer, against, reference, answer, count, n, value, low, high, status)
            )
    return found


def _interval(share: float, n: float, confidence: float) -> tuple[float, float]:
    count = Count(round(min(1.0, share) * _PARTS), _PARTS)
    bounds = scaled_interval("Wilson", count, None, confidence=confidence, factor=n / _PARTS)
    assert bounds is not None  # n is at least 10  # noqa: S101
    return bounds
