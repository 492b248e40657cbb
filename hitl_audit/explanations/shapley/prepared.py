"""SHAP values of one row after another against one background: what repeats is done once.

The same values as :func:`hitl_audit.explanations.explain.explain` gives by its fast paths, up to
rounding; for a person who changes a value and waits for the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import Encoding
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.linear_values import (
    ENUMERATED,
    WIDEST,
    by_coalitions,
    coefficients,
    log_odds_reach,
    waves,
)
from hitl_audit.explanations.shapley.quadrature import gauss_legendre
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble, read_trees
from hitl_audit.explanations.shapley.tree_values import RESCALED, fitting_scale

__all__ = ["PreparedAttributions", "prepare_attributions"]

FloatArray = npt.NDArray[np.float64]

MOST_WORDS = 1 << 25  # 256 MB of background rows as bits
_REACH_STEP = 5.0  # log-odds


@dataclass(frozen=True, eq=False)
class PreparedAttributions:
    """One row of the estimator's columns, (q,), → attributions of raw features, (p,).

    Attributes:
        of: the function; it raises ``NotApplicableError`` for a row of a logistic
            model whose log-odds are beyond ±300.
        base: the mean output over the background.
        algorithm, exact, notes: as in an ``Explanation``.
    """

    of: Callable[[FloatArray], FloatArray]
    base: float
    algorithm: str
    exact: bool
    notes: tuple[str, ...] = ()


def prepare_attributions(
    output: ModelOutput,
    encoding: Encoding,
    background: pd.DataFrame,
    *,
    trees: TreeEnsemble | None = None,
) -> PreparedAttributions:
    """Prepare the fast path of this model; ``trees``: its trees, if they are already read.

    Raises:
        NotApplicableError: there is none; the message says why.
    """
    behind = encoding.transform(background)
    try:
        return _linear(output, encoding, behind)
    except NotApplicableError as error:
        reason = str(error)
    try:
        return _trees(output, encoding, behind, trees or read_trees(encoding.estimator))
    except ExplanationError as error:
        raise NotApplicableError(f"{reason}; {error}") from error


def _trees(
    output: ModelOutput, encoding: Encoding, behind: FloatArray, trees: TreeEnsemble
) -> PreparedAttributions:
    from hitl_audit.explanations.shapley import one_row_kernel, tree_kernels
    from hitl_audit.explanations.shapley.tree_shap import (
        MOST_PLAYERS,
        coalition_weights,
        logistic_slope,
    )

    column, rescaled, mirrored = fitting_scale(trees, output)
    group = np.asarray(encoding.source, dtype=np.int32)
    player, before, slot, slots, _, _ = tree_kernels.paths(trees.nodes, group)
    most = int(slots.max())
    if most > MOST_PLAYERS:
        raise NotApplicableError(f"a path tests {most} raw features")
    gain, loss = coalition_weights(most)
    if len(trees.nodes.depth) * ((len(behind) + 63) // 64) > MOST_WORDS:
        raise NotApplicableError(
            f"{len(trees.nodes.depth):,} nodes and {len(behind):,} background rows are too many "
            f"to be prepared"
        )
    after = one_row_kernel.behind_subtrees(trees.nodes)
    values = np.ascontiguousarray(trees.values[:, column])
    sets = one_row_kernel.left_sets(trees.nodes, trees.rounded(behind))
    scores = trees.predict(behind)[:, column]
    base = float((1 / (1 + np.exp(-scores))).mean() if rescaled else scores.mean())
    equal = np.full(len(scores), 1.0 / len(scores))
    sign = -1.0 if mirrored else 1.0

    def of(row: FloatArray) -> FloatArray:
        one = row[np.newaxis]
        weights = equal
        if rescaled:
            weights = equal * logistic_slope(trees.predict(one)[0, column], scores)
        phi = np.zeros(encoding.n_features)
        one_row_kernel.add_one_row(
            trees.nodes, values, player, before, slot, slots, after, sets, gain, loss,
            trees.rounded(one)[:, 0].copy(), weights, phi,
        )  # fmt: skip
        return sign * phi

    if mirrored:
        base = (1.0 if output.scale == "probability" else 0.0) - base
    return PreparedAttributions(
        of, base, "tree-interventional", not rescaled, (RESCALED,) if rescaled else ()
    )


def _linear(output: ModelOutput, encoding: Encoding, behind: FloatArray) -> PreparedAttributions:
    """Of a linear model's value or log-odds, or of a logistic model's probability."""
    weights, intercept = coefficients(output, encoding)
    base_terms = encoding.fold(behind * weights)
    if output.scale != "probability":
        center = base_terms.mean(axis=0)

        def centered(row: FloatArray) -> FloatArray:
            return np.asarray(encoding.fold((row * weights)[np.newaxis])[0] - center)

        return PreparedAttributions(centered, intercept + float(center.sum()), "linear", True)
    used = np.unique(encoding.source[weights != 0])
    base_terms = np.ascontiguousarray(base_terms[:, used])
    base = float((1 / (1 + np.exp(-(intercept + base_terms.sum(axis=1))))).mean())
    by_waves = None if len(used) <= ENUMERATED else _Waves(base_terms, intercept)

    def of_probability(row: FloatArray) -> FloatArray:
        terms = np.ascontiguousarray(encoding.fold((row * weights)[np.newaxis])[:, used])
        values = np.zeros(encoding.n_features)
        if by_waves is None:
            values[used] = by_coalitions(terms, base_terms, intercept)[0]
        else:
            values[used] = by_waves(terms)
        return values

    return PreparedAttributions(of_probability, base, "linear", True)


class _Waves:
    """``linear_values.by_waves`` of one row, the background's sines kept for the next row."""

    def __init__(self, behind: FloatArray, intercept: float) -> None:
        self.behind, self.intercept = behind, intercept
        self.gauss = gauss_legendre((behind.shape[1] + 1) // 2)
        self.kept: dict[float, tuple[FloatArray, FloatArray, FloatArray, FloatArray]] = {}

    def __call__(self, terms: FloatArray) -> FloatArray:
        from hitl_audit.explanations.shapley.logistic_kernel import add_logistic

        # Rounded up, so that most rows share the waves of those before.
        needed = log_odds_reach(terms, self.behind, self.intercept)
        reach = max(needed, min(WIDEST, _REACH_STEP * math.ceil(needed / _REACH_STEP)))
        if reach not in self.kept:
            omega, height = waves(reach)
            angles = self.behind[:, :, np.newaxis] * omega
            self.kept = {reach: (omega, height / len(self.behind), np.cos(angles), np.sin(angles))}
        omega, height, cosines, sines = self.kept[reach]
        phi = np.zeros(terms.shape)
        add_logistic(
            terms, self.behind, cosines, sines, self.intercept, omega, height, self.gauss, phi
        )
        return np.asarray(phi[0], dtype=np.float64)
