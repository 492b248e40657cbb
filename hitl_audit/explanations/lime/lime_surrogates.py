"""Many LIME surrogates at once: weighted ridge regressions on one shared neighbourhood.

In ``lime`` with discretised features the drawn bins do not depend on the
explained row. Of a row enter only which drawn bins are its own, and its own
prediction. So per row one small Gram matrix of the drawn bins is built, and
everything ``lime`` fits (ridge with alpha 1, the ridge of alpha 0.01 behind
``highest_weights``, the least squares of ``forward_selection``) is solved from it.

The regressors are *mismatches* (1 − lime's "same bin"), and outputs are
counted from the row's own: then the explained case, which ``lime`` puts into
its own neighbourhood with weight 1, adds nothing to any sum but that of the
weights, and no large numbers cancel. Coefficients change their sign only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Selection", "Surrogates", "surrogates"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.integer]
Selection = Literal["auto", "forward_selection", "highest_weights", "none"]

RIDGE, SCREENING_RIDGE = 1.0, 0.01
MOST_GREEDY = 6
"""``auto`` is ``forward_selection`` up to so many features (as in lime)."""

# A feature whose remaining variance is this small a share of its own adds nothing.
_USED_UP = 1e-10
_CELLS_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Surrogates:
    """Local linear models of r rows, p features and k outputs.

    Attributes:
        coefficients: shape (r, p, k); 0 where not selected.
        intercepts: shape (r, k).
        scores: weighted R², shape (r, k); 1 where the output is constant.
        selected: the features each surrogate uses, shape (r, p, k).
        errors: standard errors of the coefficients, shape (r, p, k), or ``None``.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    scores: FloatArray
    selected: BoolArray
    errors: FloatArray | None


@dataclass(frozen=True, eq=False)
class _Sums:
    """Weighted sums of r rows over their neighbourhoods, centred.

    ``gram`` (r, p, p), ``cross`` (r, p, k) and ``total`` (r, k) are sums of
    squares and products about the weighted means ``rate`` (r, p) of the
    mismatches and ``level`` (r, k) of the outputs (counted from the row's own).
    """

    gram: FloatArray
    cross: FloatArray
    total: FloatArray
    rate: FloatArray
    level: FloatArray


def surrogates(
    drawn: Codes,
    answers: FloatArray,
    rows: Codes,
    row_answers: FloatArray,
    kernel: FloatArray,
    *,
    n_features: int | None = None,
    selection: Selection = "auto",
    standard_errors: bool = False,
) -> Surrogates:
    """The surrogates ``lime`` would fit to each row.

    Args:
        drawn: bins of the neighbourhood, shape (p, s).
        answers: the model's outputs for them, shape (s, k).
        rows: bins of the explained rows, shape (r, p); a bin that is never
            drawn matches nothing.
        row_answers: the model's outputs for the rows themselves, shape (r, k).
        kernel: weight of a neighbour with 0, 1 … p mismatches.
        n_features: features to keep; ``None`` keeps all.
        selection: how they are chosen, as in ``lime``. Where two features
            serve equally well up to rounding, the first is taken.
        standard_errors: also give those of the coefficients given the
            selection, σ²·A⁻¹GA⁻¹ with A = G + I and σ² = weighted residual
            sum of squares / (s + 1 − features) (Visani et al. 2020, §4.2).
    """
    (n, p), k = rows.shape, answers.shape[1]
    coefficients = np.zeros((n, p, k))
    errors = np.zeros((n, p, k)) if standard_errors else None
    selected = np.zeros((n, p, k), dtype=bool)
    intercepts, scores = np.zeros((n, k)), np.ones((n, k))
    block = max(1, min(256, _CELLS_AT_ONCE // (p * p)))
    for start in range(0, n, block):
        here = slice(start, min(start + block, n))
        sums = _sums(drawn, answers, rows[here], row_answers[here], kernel)
        for output in range(k):
            used = _select(sums, output, n_features, selection)
            gram = np.take_along_axis(sums.gram, used[:, :, np.newaxis], axis=1)
            gram = np.take_along_axis(gram, used[:, np.newaxis, :], axis=2)
            cross = np.take_along_axis(sums.cross[:, :, output], used, axis=1)
            slopes = _ridge(gram, cross, RIDGE)
            total = sums.total[:, output]
            left = total - 2 * (slopes * cross).sum(axis=1)
            left += np.einsum("ri,rij,rj->r", slopes, gram, slopes)
            unexplained = np.zeros(len(total))
            np.divide(left, total, out=unexplained, where=total > 0)
            np.put_along_axis(coefficients[here, :, output], used, -slopes, axis=1)
            np.put_along_axis(selected[here, :, output], used, True, axis=1)
            rate = np.take_along_axis(sums.rate, used, axis=1)
            # The mean output, moved from the mean mismatches to a mismatch everywhere.
            intercepts[here, output] = (
                row_answers[here, output]
                + sums.level[:, output]
                + (slopes * (1 - rate)).sum(axis=1)
            )
            scores[here, output] = 1 - unexplained
            if errors is not None:
                error = _errors(gram, left, drawn.shape[1] + 1)
                np.put_along_axis(errors[here, :, output], used, error, axis=1)
    return Surrogates(coefficients, intercepts, scores, selected, errors)


def _sums(
    drawn: Codes, answers: FloatArray, rows: Codes, row_answers: FloatArray, kernel: FloatArray
) -> _Sums:
    (p, s), (n, k) = drawn.shape, row_answers.shape
    root = np.sqrt(kernel)
    counts = np.uint8 if p <= np.iinfo(np.uint8).max else np.intp
    differs, weighted = np.empty((p, s), dtype=bool), np.empty((p, s))
    gram, cross = np.empty((n, p, p)), np.empty((n, p, 1 + k))
    weight, level, total = np.empty(n), np.empty((n, k)), np.empty((n, k))
    right = np.empty((s, 1 + k))
    for i in range(n):
        np.not_equal(drawn, rows[i][:, np.newaxis], out=differs)
        mismatches = np.add.reduce(differs.view(np.uint8), axis=0, dtype=counts)
        w = root.take(mismatches)
        np.copyto(weighted, differs)
        weighted *= w
        right[:, 0] = w
        np.subtract(answers, row_answers[i], out=right[:, 1:])
        right[:, 1:] *= w[:, np.newaxis]
        gram[i] = weighted @ weighted.T
        cross[i] = weighted @ right
        weight[i] = w @ w + kernel[0]
        level[i] = w @ right[:, 1:]
        total[i] = np.einsum("sk,sk->k", right[:, 1:], right[:, 1:])
    rate, level = cross[:, :, 0] / weight[:, np.newaxis], level / weight[:, np.newaxis]
    scale = weight[:, np.newaxis, np.newaxis]
    return _Sums(
        gram=gram - rate[:, :, np.newaxis] * rate[:, np.newaxis, :] * scale,
        cross=cross[:, :, 1:] - rate[:, :, np.newaxis] * level[:, np.newaxis, :] * scale,
        total=np.maximum(total - level**2 * weight[:, np.newaxis], 0),
        rate=rate,
        level=level,
    )


def _select(
    sums: _Sums, output: int, n_features: int | None, selection: Selection
) -> npt.NDArray[np.intp]:
    """The features of each row's surrogate, shape (r, features)."""
    n, p = sums.rate.shape
    if n_features is None or selection == "none":
        return np.tile(np.arange(p), (n, 1))
    if selection == "auto":
        selection = "forward_selection" if n_features <= MOST_GREEDY else "highest_weights"
    k = min(n_features, p)
    cross = sums.cross[:, :, output]
    if selection == "forward_selection":
        return _forward(sums.gram, cross, k)
    slopes = _ridge(sums.gram, cross, SCREENING_RIDGE)
    return np.argsort(-np.abs(slopes), axis=1, kind="stable")[:, :k]


def _forward(gram: FloatArray, cross: FloatArray, k: int) -> npt.NDArray[np.intp]:
    """Greedy least squares: the next feature is the one that raises R² most.

    What is left of a feature after those chosen is kept up by sweeping them
    out of the Gram matrix; a feature's gain is cross² / its own remaining sum
    of squares.
    """
    gram, cross = gram.copy(), cross.copy()
    n, p = cross.shape
    each = np.arange(n)
    own = np.einsum("rii->ri", gram).copy()
    free = np.ones((n, p), dtype=bool)
    chosen = np.empty((n, k), dtype=np.intp)
    for step in range(k):
        rest = np.einsum("rii->ri", gram)
        alive = free & (rest > _USED_UP * own)
        gain = np.where(free, 0.0, -1.0)
        np.divide(cross**2, rest, out=gain, where=alive)
        best = gain.argmax(axis=1)
        chosen[:, step] = best
        usable = alive[each, best]
        inverse = np.zeros(n)
        np.divide(1, rest[each, best], out=inverse, where=usable)
        column = gram[each, :, best]
        cross -= column * (cross[each, best] * inverse)[:, np.newaxis]
        gram -= column[:, :, np.newaxis] * column[:, np.newaxis, :] * inverse[:, None, None]
        free[each, best] = False
    return chosen


def _ridge(gram: FloatArray, cross: FloatArray, alpha: float) -> FloatArray:
    slopes = np.linalg.solve(gram + alpha * np.eye(gram.shape[1]), cross[:, :, np.newaxis])
    return np.asarray(slopes[:, :, 0])


def _errors(gram: FloatArray, left: FloatArray, size: int) -> FloatArray:
    p = gram.shape[1]
    half = np.linalg.solve(gram + RIDGE * np.eye(p), gram)
    spread = np.linalg.solve(gram + RIDGE * np.eye(p), np.swapaxes(half, 1, 2))
    variance = np.maximum(left, 0)[:, np.newaxis] / max(size - p, 1)
    return np.asarray(np.sqrt(np.maximum(np.einsum("rii->ri", spread), 0) * variance))
