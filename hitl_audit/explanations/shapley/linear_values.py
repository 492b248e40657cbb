"""SHAP values of linear and logistic models in raw features, from their coefficients."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.encoding import Encoding
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError

__all__ = [
    "ENUMERATED",
    "by_coalitions",
    "by_waves",
    "coefficients",
    "linear_closed_form",
    "log_odds_reach",
    "logistic_base",
    "logistic_probability",
    "reaches",
    "waves",
]

FloatArray = npt.NDArray[np.float64]

ENUMERATED = 10  # features with a coefficient, up to which all coalitions are cheapest
WIDEST = 300.0  # log-odds; the number of waves grows with their range
WAVES_AT_ONCE = 4_000_000
PRECISION = 1e-12


def linear_closed_form(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> Attribution:
    """φ = coefficient · (x − mean of the background), summed per raw feature.

    For the log-odds of a logistic model and the value of a linear one.

    Raises:
        NotApplicableError: not a linear model.
    """
    terms, behind, intercept = _terms(output, X, background, encoding)
    center = behind.mean(axis=0)
    base = np.full(len(X), intercept + float(center.sum()))
    return Attribution(terms - center, base, "linear", exact=True, notes=())


def logistic_probability(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> Attribution:
    """Exact values of a logistic model's probability, from sums of terms.

    The log-odds of a mixed row are a sum of one term per raw feature, from the
    row or from the background row, so that no coalition needs the model: all are
    enumerated, or, with many features, the logistic function is a sum of waves,
    whose Shapley values have a closed form (to 1e-12). Features without a
    coefficient get 0.

    Raises:
        NotApplicableError: not a logistic model, or log-odds beyond ±300.
    """
    terms, behind, intercept = _terms(output, X, background, encoding)
    used = np.flatnonzero((terms != 0).any(axis=0) | (behind != 0).any(axis=0))
    values = np.zeros(terms.shape)
    compute = by_coalitions if len(used) <= ENUMERATED else by_waves
    values[:, used] = compute(terms[:, used], behind[:, used], intercept)
    base = np.full(len(X), logistic_base(behind, intercept))
    return Attribution(values, base, "linear", exact=True, notes=())


def logistic_base(behind: FloatArray, intercept: float) -> float:
    """The mean probability of the background rows, whose log-odds have the terms (m, k)."""
    return float(_logistic(intercept + behind.sum(axis=1)).mean())


def by_coalitions(terms: FloatArray, behind: FloatArray, intercept: float) -> FloatArray:
    """Every coalition of the features, (n, k) terms against (m, k): time 2^k · n · m."""
    k = terms.shape[1]
    inside = (np.arange(2**k)[:, np.newaxis] >> np.arange(k)) & 1 == 1
    from_background = intercept + (~inside) @ behind.T
    shares = _shapley_weights(inside)
    values = np.empty(terms.shape)
    for i, row in enumerate(terms):
        worth = _logistic(from_background + (inside @ row)[:, np.newaxis]).mean(axis=1)
        values[i] = shares @ worth
    return values


def by_waves(terms: FloatArray, behind: FloatArray, intercept: float) -> FloatArray:
    """The logistic function p repeated with alternating sign every half period is a sum of sines.

    p' has the Fourier transform πω / sinh(πω), so that the odd harmonics ω of a period T have the
    heights 4π / (T sinh(πω)). Half a period beyond the largest log-odds, the neighbour's
    tail is below the precision.
    """
    from hitl_audit.explanations.shapley.logistic_kernel import add_logistic
    from hitl_audit.explanations.shapley.quadrature import gauss_legendre

    omega, height = waves(log_odds_reach(terms, behind, intercept))
    phi = np.zeros(terms.shape)
    together = max(1, WAVES_AT_ONCE // (terms.shape[1] * len(omega)))
    for start in range(0, len(behind), together):
        part = np.ascontiguousarray(behind[start : start + together])
        angles = part[:, :, np.newaxis] * omega
        add_logistic(
            np.ascontiguousarray(terms),
            part,
            np.cos(angles),
            np.sin(angles),
            intercept,
            omega,
            height / len(behind),
            gauss_legendre((terms.shape[1] + 1) // 2),
            phi,
        )
    return phi


def log_odds_reach(terms: FloatArray, behind: FloatArray, intercept: float) -> float:
    """The largest log-odds that a mixture of the rows could have."""
    both = np.vstack([terms, behind])
    return max(abs(intercept + float(side.sum())) for side in (both.min(axis=0), both.max(axis=0)))


def reaches(terms: FloatArray, behind: FloatArray, intercept: float) -> FloatArray:
    """:func:`log_odds_reach` of each row (n, k) alone with the background (m, k), (n,)."""
    low = np.minimum(terms, behind.min(axis=0)).sum(axis=1)
    high = np.maximum(terms, behind.max(axis=0)).sum(axis=1)
    return np.asarray(np.maximum(np.abs(intercept + low), np.abs(intercept + high)))


def waves(reach: float) -> tuple[FloatArray, FloatArray]:
    """Frequencies and heights of the sines that are the logistic function - ½ up to ±reach.

    Raises:
        NotApplicableError: a reach beyond 300.
    """
    if reach > WIDEST:
        raise NotApplicableError(f"the log-odds reach {reach:.0f}; expected at most {WIDEST:.0f}")
    tail = -math.log(PRECISION)
    period = 2 * (reach + tail)
    omega = np.arange(1, tail / math.pi * period / (2 * math.pi), 2) * 2 * math.pi / period
    return omega, 4 * math.pi / (period * np.sinh(math.pi * omega))


def _terms(
    output: ModelOutput, X: pd.DataFrame, background: pd.DataFrame, encoding: Encoding
) -> tuple[FloatArray, FloatArray, float]:
    """What each raw feature adds, in the rows and in the background (·, p), and the intercept."""
    weights, intercept = coefficients(output, encoding)
    rows = encoding.fold(encoding.transform(X) * weights)
    return rows, encoding.fold(encoding.transform(background) * weights), intercept


def coefficients(output: ModelOutput, encoding: Encoding) -> tuple[FloatArray, float]:
    """The weights of the estimator's columns in this output, (q,), and the intercept.

    Raises:
        NotApplicableError: not a linear model.
    """
    coef = getattr(encoding.estimator, "coef_", None)
    if coef is None or np.size(coef) != len(encoding.source):
        raise NotApplicableError("the final estimator has no single row of coefficients")
    sign = -1.0 if output.scale != "value" and output.position == 0 else 1.0
    weights = sign * np.ravel(np.asarray(coef, dtype=np.float64))
    return weights, sign * float(np.ravel(encoding.estimator.intercept_)[0])


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
