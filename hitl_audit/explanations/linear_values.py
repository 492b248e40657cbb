"""SHAP values of linear and logistic models in raw features, from their coefficients."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.encoding import Encoding
from hitl_audit.explanations.model_output import ModelOutput

__all__ = ["linear_log_odds", "linear_probability"]

FloatArray = npt.NDArray[np.float64]

MOST_USED = 14  # features with a coefficient: 2**14 coalitions and 100 background rows take .1 s


def linear_log_odds(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> Attribution:
    """φ = coefficient · (x − mean of the background), summed per raw feature.

    Raises:
        NotApplicableError: not a linear model, or not on its linear scale.
    """
    if output.scale == "probability":
        raise NotApplicableError(
            'a linear model is linear on scale="log-odds", not on the probability'
        )
    terms, behind, intercept = _terms(output, X, background, encoding)
    center = behind.mean(axis=0)
    base = np.full(len(X), intercept + float(center.sum()))
    return Attribution(terms - center, base, "linear", exact=True, notes=())


def linear_probability(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> Attribution:
    """Exact values of a logistic model's probability: all coalitions, from sums of terms.

    The log-odds of a mixed row are a sum of one term per raw feature, from the
    row or from the background row, so that no coalition needs the model. Features
    without a coefficient are left out: their value is 0.

    Raises:
        NotApplicableError: not a logistic model, or too many features in use.
    """
    if output.scale != "probability":
        raise NotApplicableError("only a probability is a logistic function of a sum")
    terms, behind, intercept = _terms(output, X, background, encoding)
    used = np.flatnonzero((terms != 0).any(axis=0) | (behind != 0).any(axis=0))
    k = len(used)
    if k > MOST_USED:
        raise NotApplicableError(
            f"the model uses {k} features, with 2^{k} coalitions; expected at most {MOST_USED}"
        )
    inside = (np.arange(2**k)[:, np.newaxis] >> np.arange(k)) & 1 == 1
    from_background = intercept + (~inside) @ behind[:, used].T
    shares = _shapley_weights(inside)
    values = np.zeros(terms.shape)
    for i in range(len(X)):
        worth = _logistic(from_background + (inside @ terms[i, used])[:, np.newaxis]).mean(axis=1)
        values[i, used] = shares @ worth
    base = np.full(len(X), _logistic(intercept + behind.sum(axis=1)).mean())
    return Attribution(values, base, "linear", exact=True, notes=())


def _terms(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> tuple[FloatArray, FloatArray, float]:
    """What each raw feature adds, in the rows and in the background (·, p), and the intercept."""
    coef = getattr(encoding.estimator, "coef_", None)
    if coef is None or np.size(coef) != len(encoding.source):
        raise NotApplicableError("the final estimator has no single row of coefficients")
    sign = -1.0 if output.scale != "value" and output.position == 0 else 1.0
    weights = sign * np.ravel(np.asarray(coef, dtype=np.float64))
    intercept = sign * float(np.ravel(encoding.estimator.intercept_)[0])
    rows = encoding.fold(encoding.transform(X) * weights)
    return rows, encoding.fold(encoding.transform(background) * weights), intercept


def _shapley_weights(inside: npt.NDArray[np.bool_]) -> FloatArray:
    """(k, 2^k): the weight of each coalition's worth in each feature's value."""
    k = inside.shape[1]
    size = inside.sum(axis=1)
    # (|S|-1)! (k-|S|)! / k! where the feature is in S, else -|S|! (k-|S|-1)! / k!
    joined = np.array([0.0] + [1 / (s * math.comb(k, s)) for s in range(1, k + 1)])
    apart = np.array([1 / ((k - s) * math.comb(k, s)) for s in range(k)] + [0.0])
    return np.asarray(np.where(inside.T, joined[size], -apart[size]))


def _logistic(x: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(x))
