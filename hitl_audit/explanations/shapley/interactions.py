"""SHAP interaction values in raw features, exactly, by asking the model for all coalitions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding
from hitl_audit.explanations.shapley.attribution import Attribution
from hitl_audit.explanations.shapley.model_agnostic import counted

__all__ = ["MOST_FEATURES", "exact_interactions"]

FloatArray = npt.NDArray[np.float64]

MOST_FEATURES = 10
ROWS_PER_CALL = 50_000


def exact_interactions(
    X: pd.DataFrame, *, output: ModelOutput, background: pd.DataFrame, progress: bool = False
) -> Attribution:
    """Shapley interaction values (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9, eq. 3-5).

    Interventional: a coalition's worth is the mean output with its features from the row and
    the others from each background row. The original model is asked
    2^p · len(background) times for each row of X. The values have shape (n, p, p).

    Raises:
        InputError: more than 10 features.
        ExplanationError: the model failed.
    """
    p = X.shape[1]
    if p > MOST_FEATURES:
        raise InputError(
            f"X has {p} columns, with 2^{p} coalitions; expected at most {MOST_FEATURES} "
            f"for exact interactions"
        )
    coding = Coding.of(background, X)
    rows, behind = coding.encode(X), coding.encode(background)
    inside = (np.arange(2**p)[:, np.newaxis] >> np.arange(p)) & 1 == 1
    weights = _weights(inside)
    step = max(1, ROWS_PER_CALL // len(behind))
    values = np.empty((len(X), p, p))
    for r, row in enumerate(counted(rows, progress, "shap interactions (exact)")):
        worth = np.concatenate(
            [
                output(
                    coding.decode(
                        np.where(inside[a : a + step, np.newaxis], row, behind).reshape(-1, p)
                    )
                )
                .reshape(-1, len(behind))
                .mean(axis=1)
                for a in range(0, 2**p, step)
            ]
        )
        values[r] = np.tensordot(weights, worth, axes=1)
        if r == 0:
            base = float(worth[0])
    return Attribution(values, np.full(len(X), base), "exact", exact=True, notes=())


def _weights(inside: npt.NDArray[np.bool_]) -> FloatArray:
    """(p, p, 2^p): the weight of each coalition's worth in each entry."""
    p = inside.shape[1]
    size = inside.sum(axis=1)
    # Of the others, s = |S without i and j| are inside: s! (p-s-2)! / (2 (p-1)!)
    pair = np.array(
        [1 / (2 * (p - 1) * math.comb(p - 2, s)) if p > 1 else 0.0 for s in range(max(p - 1, 1))]
    )
    weights = np.zeros((p, p, len(inside)))
    for i in range(p):
        for j in range(i + 1, p):
            others = size - inside[:, i] - inside[:, j]
            sign = np.where(inside[:, i] == inside[:, j], 1.0, -1.0)
            weights[i, j] = weights[j, i] = sign * pair[others]
    for i in range(p):
        others = size - inside[:, i]
        alone = np.array([1 / (p * math.comb(p - 1, s)) for s in range(p)])
        own = np.where(inside[:, i], 1.0, -1.0) * alone[others]
        weights[i, i] = own - weights[i].sum(axis=0)
    return weights
