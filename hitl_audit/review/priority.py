"""How much a case deserves a look, as a score from 0 to 1 per case. Pure.

Each function looks at one kind of doubt and returns one score per row, in row
order, 1 for a case that should be seen. :func:`combine` weighs several into one
:class:`Priority`, which also knows the main reason of every case in plain
words. A score says what is worth seeing, never how often it happens: rates are
estimated with the inclusion probabilities of the sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "REASONS",
    "Priority",
    "combine",
    "counterfactual_nearness",
    "drift",
    "entropy",
    "protected_flip",
    "slice_membership",
    "threshold_closeness",
    "unreliable_explanation",
]

Scores = npt.NDArray[np.float64]

REASONS = {
    "threshold": "close to the threshold",
    "entropy": "the model is unsure",
    "explanation": "its explanation is unreliable",
    "slice": "in a slice where the model errs more",
    "flip": "the decision changes with a protected attribute alone",
    "counterfactual": "a small change would turn the decision",
    "drift": "unlike the reference data",
}
"""The words for the usual names of priorities; any other name stands for itself."""


@dataclass(frozen=True, eq=False)
class Priority:
    """The priority of every case, and what it comes from.

    Attributes:
        names: of the priorities combined.
        scores: (rows,) the weighted mean, 0 to 1.
        parts: (priorities, rows) what each adds to the mean.
    """

    names: tuple[str, ...]
    scores: Scores
    parts: Scores

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.scores)

    @property
    def leading(self) -> npt.NDArray[np.intp]:
        """(rows,) place in ``names`` of what adds most; −1 where nothing does. Ties: the first."""
        most = self.parts.argmax(axis=0)
        return np.where(self.scores > 0, most, -1).astype(np.intp)

    def reason(self, row: int) -> str:
        """What adds most to the priority of a row, in plain words; ``""`` if nothing does."""
        if self.scores[row] <= 0:
            return ""
        name = self.names[int(self.parts[:, row].argmax())]
        return REASONS.get(name, name)

    def frame(self) -> pd.DataFrame:
        """One row per case: priority, reason, and what each priority adds."""
        import pandas as pd

        words = [*(REASONS.get(name, name) for name in self.names), ""]
        reasons = [words[i] for i in self.leading]
        return pd.DataFrame(
            {"priority": self.scores, "reason": reasons}
            | dict(zip(self.names, self.parts, strict=True))
        )


def combine(priorities: Mapping[str, Any], weights: Mapping[str, float] | None = None) -> Priority:
    """The weighted mean of several priorities.

    Args:
        priorities: (rows,) scores from 0 to 1 by name; the names of
            :data:`REASONS` have words, another is itself the reason given.
        weights: by name, 0 or more; 1 for a name that is not listed.

    Raises:
        InputError: no priority, scores outside 0 to 1, lengths that differ,
            or weights that fit no name or are all 0.
    """
    if not priorities:
        raise InputError("priority: got no priorities, expected at least one")
    names = tuple(priorities)
    for name in weights or {}:
        if name not in names:
            raise InputError(
                f'priority: weights names "{name}"; accepted: {", ".join(names)}'
                f"{did_you_mean(name, names)}"
            )
    given = np.array([(weights or {}).get(name, 1.0) for name in names], dtype=np.float64)
    if not (np.isfinite(given) & (given >= 0)).all() or not given.any():
        raise InputError(
            f"priority: weights are {', '.join(f'{w:g}' for w in given)}; expected numbers of 0 "
            "or more, not all 0"
        )
    columns = [_numbers(values, name, at_most=1.0) for name, values in priorities.items()]
    rows = {len(column) for column in columns}
    if len(rows) > 1:
        found = ", ".join(f"{n} {len(c)}" for n, c in zip(names, columns, strict=True))
        raise InputError(f"priority: got different numbers of rows: {found}")
    parts = np.stack(columns) * (given / given.sum())[:, np.newaxis]
    return Priority(names, np.minimum(parts.sum(axis=0), 1.0), parts)


def threshold_closeness(
    scores: Any, threshold: float = 0.5, *, width: float | None = None
) -> Scores:
    """1 at the threshold, falling in a straight line to 0.

    Args:
        scores: (rows,) probabilities.
        threshold: of the decision, between 0 and 1.
        width: the distance at which the priority is 0; by default it is 0 at
            the probabilities 0 and 1, however far each is from the threshold.

    Raises:
        InputError: probabilities outside 0 to 1, or a threshold or width out
            of range.
    """
    p = _numbers(scores, "scores", at_most=1.0)
    if not 0 < threshold < 1:
        raise InputError(f"priority: threshold is {threshold}; accepted: a number between 0 and 1")
    if width is None:
        reach: Any = np.where(p < threshold, threshold, 1 - threshold)
    elif width > 0:
        reach = width
    else:
        raise InputError(f"priority: width is {width}; accepted: a number above 0")
    closeness: Scores = np.maximum(1 - np.abs(p - threshold) / reach, 0.0)
    return closeness


def entropy(probabilities: Any) -> Scores:
    """Shannon's entropy of the predicted classes, as a share of the largest possible.

    Args:
        probabilities: (rows,) of one of two classes, or (rows, classes).

    Raises:
        InputError: probabilities outside 0 to 1, or rows that do not add up to 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim == 1:
        p = np.stack([p, 1 - p], axis=1)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError(
            f"priority: probabilities have shape {p.shape}; expected (rows,) or (rows, classes)"
        )
    _numbers(p.ravel(), "probabilities", at_most=1.0)
    if p.size and float(np.abs(p.sum(axis=1) - 1).max()) > 1e-6:
        raise InputError("priority: probabilities of a row do not add up to 1")
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(p > 0, -p * np.log(p), 0.0).sum(axis=1)
    share: Scores = np.clip(bits / math.log(p.shape[1]), 0.0, 1.0)
    return share


def unreliable_explanation(reliability: Any, *, unknown: float | None = None) -> Scores:
    """1 minus the reliability of the explanation.

    Args:
        reliability: (rows,) booleans (the explanation passed the plan's bar),
            or shares from 0 to 1, for example the agreement of the signs of two
            methods.
        unknown: the score of a row whose explanation was not measured
            (missing, NaN); by default such rows are refused.

    Raises:
        InputError: values outside 0 to 1, or missing without ``unknown``.
    """
    values = np.array(
        [math.nan if value is None else value for value in reliability]
        if not isinstance(reliability, np.ndarray)
        else reliability,
        dtype=np.float64,
    )
    missing = np.isnan(values)
    if unknown is not None:
        if not 0 <= unknown <= 1:
            raise InputError(f"priority: unknown is {unknown}; accepted: a number from 0 to 1")
        values = np.where(missing, 1 - unknown, values)
    return 1 - _numbers(values, "reliability", at_most=1.0)


def slice_membership(masks: Any, *, weights: Any = None) -> Scores:
    """How bad the worst slice is that a case belongs to.

    Args:
        masks: (slices, rows) booleans, or booleans by the name of the slice.
        weights: (slices,) how bad each slice is, 0 to 1; 1 each by default.

    Raises:
        InputError: no slice, or values that are no booleans or do not fit.
    """
    stack = list(masks.values()) if isinstance(masks, Mapping) else masks
    table = np.asarray(stack)
    if table.ndim != 2 or not len(table) or table.dtype != np.bool_:
        raise InputError(
            f"priority: masks are {table.dtype} of shape {table.shape}; expected booleans of "
            "shape (slices, rows)"
        )
    bad = np.ones(len(table)) if weights is None else _numbers(weights, "weights", at_most=1.0)
    if len(bad) != len(table):
        raise InputError(f"priority: got {len(bad)} weights for {len(table)} slices")
    worst: Scores = (table * bad[:, np.newaxis]).max(axis=0)
    return worst


def protected_flip(decisions: Any, flipped: Any) -> Scores:
    """1 where the decision is another one when only a protected attribute changes.

    Args:
        decisions: (rows,) as the cases are.
        flipped: (rows,) or (rows, alternatives): with other values of the attribute.

    Raises:
        InputError: lengths that differ.
    """
    before, after = np.asarray(decisions), np.asarray(flipped)
    if after.ndim == 1:
        after = after[:, np.newaxis]
    if before.ndim != 1 or after.ndim != 2 or len(after) != len(before):
        raise InputError(
            f"priority: decisions have shape {before.shape} and flipped {np.shape(flipped)}; "
            "expected (rows,) and (rows,) or (rows, alternatives)"
        )
    turned = np.asarray(after != before[:, np.newaxis])
    return np.asarray(turned.any(axis=1), dtype=np.float64)


def counterfactual_nearness(distances: Any, *, scale: float | None = None) -> Scores:
    """``scale / (scale + d)``: 1 for a case on the edge of another decision, 0 far from it.

    Args:
        distances: (rows,) to the nearest case with another decision; infinite
            where none was found.
        scale: the distance that scores ½; by default the median of the
            distances that are neither 0 nor infinite.

    Raises:
        InputError: missing or negative distances, or a scale of 0 or less.
    """
    d = _numbers(distances, "distances", infinite=True)
    return 1 - _saturating(d, scale)


def drift(distances: Any, *, scale: float | None = None) -> Scores:
    """``d / (scale + d)``: 0 for a case like the reference data, 1 for one unlike any of it.

    Args:
        distances: (rows,) from the reference data, by any measure; a score
            that is from 0 to 1 already needs no transformation.
        scale: the distance that scores ½; by default the median of the
            distances that are neither 0 nor infinite.

    Raises:
        InputError: missing or negative distances, or a scale of 0 or less.
    """
    return _saturating(_numbers(distances, "distances", infinite=True), scale)


def _saturating(d: Scores, scale: float | None) -> Scores:
    between = d[(d > 0) & np.isfinite(d)]
    if scale is None:
        scale = float(np.median(between)) if between.size else 1.0
    if not 0 < scale < math.inf:
        raise InputError(f"priority: scale is {scale}; accepted: a number above 0")
    far = np.isinf(d)
    return np.where(far, 1.0, np.where(far, 0.0, d) / (scale + np.where(far, 0.0, d)))


def _numbers(
    values: Any, name: str, *, at_most: float = math.inf, infinite: bool = False
) -> Scores:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"priority: {name} holds values that are no numbers") from None
    if array.ndim != 1:
        raise InputError(f"priority: {name} has shape {array.shape}; expected one value per row")
    missing = int(np.isnan(array).sum())
    if missing:
        raise InputError(
            f"priority: {name} is missing in {missing} of {array.size} rows; expected a number each"
        )
    wrong = (array < 0) | (array > at_most) | (np.isinf(array) & (not infinite))
    if wrong.any():
        upto = "0 or more" if math.isinf(at_most) else f"0 to {at_most:g}"
        raise InputError(f"priority: {name} holds {array[wrong][0]:g}; expected {upto}")
    return array
