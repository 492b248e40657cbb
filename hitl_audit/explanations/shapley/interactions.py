"""SHAP interaction values in raw features, exactly, by asking the model for all coalitions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding

__all__ = ["MOST_FEATURES", "InteractionValues", "interaction_values"]

FloatArray = npt.NDArray[np.float64]

MOST_FEATURES = 10
ROWS_PER_CALL = 50_000


@dataclass(frozen=True, eq=False)
class InteractionValues:
    """Pairwise interactions of each row, symmetric: (n, p, p), p raw features.

    Attributes:
        values: off the diagonal, half of what the two features do together beyond what each
            does alone; on it, what is left of a feature's own. Rows of each
            matrix sum to the feature's SHAP value, all of it to prediction - base.
        base: (n,) the mean output over the background.
        feature_names: the p raw features.
    """

    values: FloatArray
    base: FloatArray
    feature_names: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Mean absolute interaction of each pair over the rows, the strongest first."""
        size = np.abs(self.values).mean(axis=0)
        i, j = np.triu_indices(len(self.feature_names), k=1)
        pairs = pd.DataFrame(
            {
                "feature": [self.feature_names[a] for a in i],
                "with": [self.feature_names[b] for b in j],
                "mean_absolute": 2 * size[i, j],
            }
        )
        return pairs.sort_values("mean_absolute", ascending=False, ignore_index=True)


def interaction_values(
    X: pd.DataFrame, *, output: ModelOutput, background: pd.DataFrame
) -> InteractionValues:
    """Shapley interaction values (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9, eq. 3-5).

    Interventional: a coalition's worth is the mean output with its features from the row and
    the others from each background row. The original model is asked
    2^p · len(background) times for each row of X.

    Raises:
        InputError: more than 10 features, or tables of different columns.
        ExplanationError: the model failed.
    """
    p = X.shape[1]
    if p > MOST_FEATURES:
        raise InputError(
            f"X has {p} columns, with 2^{p} coalitions; expected at most {MOST_FEATURES} "
            f"for exact interactions"
        )
    if list(X.columns) != list(background.columns):
        raise InputError("background has other columns than X; expected the same, in X's order")
    coding = Coding.of(background, X)
    rows, behind = coding.encode(X), coding.encode(background)
    inside = (np.arange(2**p)[:, np.newaxis] >> np.arange(p)) & 1 == 1
    weights = _weights(inside)
    step = max(1, ROWS_PER_CALL // len(behind))
    values = np.empty((len(X), p, p))
    for r, row in enumerate(rows):
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
    return InteractionValues(values, np.full(len(X), base), tuple(map(str, X.columns)))


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
