"""SHAP values of batch after batch of rows against one background: what repeats is done once.

The same values as :func:`hitl_audit.explanations.explain.explain` gives, up to rounding, and the
same bits for a row in whatever batch it comes: nothing is decided by the other rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    logistic_base,
    reaches,
    waves,
)
from hitl_audit.explanations.shapley.model_agnostic import ask_the_model
from hitl_audit.explanations.shapley.quadrature import gauss_legendre
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble, read_trees
from hitl_audit.explanations.shapley.tree_values import (
    PATH_DEPENDENT,
    RESCALED,
    fitting_scale,
    trees_by_shap,
)

__all__ = [
    "PreparedBatches",
    "prepare_asking",
    "prepare_linear",
    "prepare_trees",
    "prepare_trees_by_shap",
]

FloatArray = npt.NDArray[np.float64]

_REACH_STEP = 5.0  # log-odds; rows of one step share their waves
_PROBES = 4001


@dataclass(frozen=True, eq=False)
class PreparedBatches:
    """Raw rows (n, p), as a DataFrame, → attributions of raw features, (n, p).

    Attributes:
        of: the function; it raises ``NotApplicableError`` for a row of a logistic model
            with many features whose log-odds are beyond ±300.
        base: the mean output over the background (path-dependent: over the training rows).
        algorithm, exact, notes: as in an ``Explanation``.
    """

    of: Callable[[pd.DataFrame], FloatArray]
    base: float
    algorithm: str
    exact: bool
    notes: tuple[str, ...] = ()


def prepare_linear(
    output: ModelOutput, encoding: Encoding, background: pd.DataFrame
) -> PreparedBatches:
    """Of a linear model's value or log-odds, or of a logistic model's probability.

    Raises:
        NotApplicableError: not a linear model.
    """
    weights, intercept = coefficients(output, encoding)
    behind = encoding.fold(encoding.transform(background) * weights)

    def terms(rows: pd.DataFrame) -> FloatArray:
        return encoding.fold(encoding.transform(rows) * weights)

    if output.scale != "probability":
        center = behind.mean(axis=0)
        base = intercept + float(center.sum())
        return PreparedBatches(lambda rows: terms(rows) - center, base, "linear", True)
    used = np.unique(encoding.source[weights != 0])
    some = np.ascontiguousarray(behind[:, used])
    values_of = by_coalitions if len(used) <= ENUMERATED else _by_waves

    def of_probability(rows: pd.DataFrame) -> FloatArray:
        values = np.zeros((len(rows), encoding.n_features))
        values[:, used] = values_of(np.ascontiguousarray(terms(rows)[:, used]), some, intercept)
        return values

    return PreparedBatches(of_probability, logistic_base(behind, intercept), "linear", True)


def _by_waves(terms: FloatArray, behind: FloatArray, intercept: float) -> FloatArray:
    """``linear_values.by_waves``, each row with the waves that its own log-odds need."""
    from hitl_audit.explanations.shapley.logistic_kernel import add_logistic

    needed = reaches(terms, behind, intercept)
    step = np.ceil(needed / _REACH_STEP) * _REACH_STEP
    reach = np.where(needed > WIDEST, needed, np.minimum(step, WIDEST))
    gauss = gauss_legendre((terms.shape[1] + 1) // 2)
    phi = np.zeros(terms.shape)
    for one in np.unique(reach):
        here = np.flatnonzero(reach == one)
        omega, height = waves(float(one))
        angles = behind[:, :, np.newaxis] * omega
        found = np.zeros((len(here), terms.shape[1]))
        add_logistic(
            terms[here], behind, np.cos(angles), np.sin(angles), intercept, omega,
            height / len(behind), gauss, found,
        )  # fmt: skip
        phi[here] = found
    return phi


def prepare_trees(
    output: ModelOutput, encoding: Encoding, background: pd.DataFrame | None, *, threads: int = 1
) -> PreparedBatches:
    """Of trees by our kernels; without a background path-dependent.

    Raises:
        NotApplicableError: these trees, or this scale, cannot be explained so.
    """
    from hitl_audit.explanations.shapley.tree_shap import path_dependent

    try:
        trees = read_trees(encoding.estimator)
    except ExplanationError as error:
        raise NotApplicableError(str(error)) from error
    column, rescaled, mirrored = fitting_scale(trees, output, rescale=background is not None)
    if background is None:
        options: dict[str, Any] = {
            "players": encoding.source,
            "output": column,
            "threads": threads,
        }
        found = PreparedBatches(
            lambda rows: path_dependent(trees, encoding.transform(rows), **options),
            float(trees.expected()[column]),
            "tree-path-dependent",
            False,
            (PATH_DEPENDENT,),
        )
    else:
        found = _against_background(
            trees, encoding, encoding.transform(background), column, rescaled, threads
        )
    base = found.base
    if mirrored:
        base = (1.0 if output.scale == "probability" else 0.0) - base
    sign = -1.0 if mirrored else 1.0

    def of(rows: pd.DataFrame) -> FloatArray:
        try:
            values = found.of(rows)
        except ExplanationError as error:
            raise NotApplicableError(str(error)) from error
        # The last raw features may have no column of their own.
        whole = np.zeros((len(rows), encoding.n_features))
        whole[:, : values.shape[1]] = sign * values
        return whole

    return PreparedBatches(of, base, found.algorithm, found.exact, found.notes)


def _against_background(
    trees: TreeEnsemble,
    encoding: Encoding,
    background: FloatArray,
    column: int,
    rescaled: bool,
    threads: int,
) -> PreparedBatches:
    from hitl_audit.explanations.shapley.tree_shap import (
        ROWS,
        logistic_slope,
        weighted_interventional,
    )

    behind = trees.rounded(background)
    scores = trees.predict(background)[:, column]
    if rescaled:
        places, weights = _fitting_skeleton(scores)
        levels = scores[places]
    else:
        weights = np.full((1, len(scores)), 1.0)
    shares = np.ascontiguousarray(weights.T / len(scores))

    def of(rows: pd.DataFrame) -> FloatArray:
        encoded = encoding.transform(rows)
        if rescaled:
            factors = logistic_slope(trees.predict(encoded)[:, column, np.newaxis], levels)
        else:
            factors = np.ones((len(encoded), 1))
        return weighted_interventional(
            trees,
            trees.rounded(encoded),
            behind,
            np.ascontiguousarray(factors),
            shares,
            players=encoding.source,
            output=column,
            threads=threads,
            as_many=ROWS,
        )

    base = float((1 / (1 + np.exp(-scores))).mean() if rescaled else scores.mean())
    notes = (RESCALED,) if rescaled else ()
    return PreparedBatches(of, base, "tree-interventional", not rescaled, notes)


def _fitting_skeleton(scores: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The few background rows of ``skeleton`` if they serve every log-odds, or else all.

    Which is decided here, on log-odds from -548 to 548, and not by the rows that come.
    """
    from hitl_audit.explanations.shapley.tree_shap import (
        SLOPE_TOLERANCE,
        logistic_slope,
        skeleton,
    )

    places, weights = skeleton(scores)
    probes = np.concatenate(
        [
            np.sinh(np.linspace(-7, 7, _PROBES)),
            np.linspace(scores.min() - 3, scores.max() + 3, _PROBES),
            scores,
        ]
    )[:, np.newaxis]
    missed = np.abs(
        logistic_slope(probes, scores[places]) @ weights - logistic_slope(probes, scores)
    )
    if float(missed.max()) <= SLOPE_TOLERANCE:
        return np.asarray(places, dtype=np.intp), weights
    return np.arange(len(scores)), np.eye(len(scores))


def prepare_trees_by_shap(
    output: ModelOutput,
    encoding: Encoding,
    background: pd.DataFrame | None,
    *,
    probe: pd.DataFrame,
    because: str,
) -> PreparedBatches:
    """Of trees that our kernels do not take, by shap's TreeExplainer; nothing is kept.

    ``probe``: some raw rows, to learn the base from.

    Raises:
        NotApplicableError: shap cannot explain this estimator on this scale.
    """

    def of(rows: pd.DataFrame) -> FloatArray:
        return trees_by_shap(output, rows, background, encoding, because=because).values

    found = trees_by_shap(output, probe, background, encoding, because=because)
    return PreparedBatches(of, float(found.base[0]), found.algorithm, found.exact, found.notes)


def prepare_asking(
    kind: str,
    output: ModelOutput,
    background: pd.DataFrame,
    *,
    random_state: int,
    n_permutations: int,
) -> PreparedBatches:
    """Of any model, by asking it about every row again and again.

    What the notes say of the Monte-Carlo error is of five background rows.

    Raises:
        NotApplicableError: too many features for all coalitions.
    """

    def found(rows: pd.DataFrame) -> Any:
        return ask_the_model(
            kind,
            output,
            rows,
            background,
            random_state=random_state,
            n_permutations=n_permutations,
            progress=False,
        )

    one = found(background.iloc[:5])
    return PreparedBatches(
        lambda rows: found(rows).values, float(one.base[0]), one.algorithm, one.exact, one.notes
    )
