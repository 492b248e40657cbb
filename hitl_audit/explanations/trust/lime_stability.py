"""Do LIME's runs with different seeds say the same?

The stability indices of Visani et al., "Statistical stability indices for
LIME: obtaining reliable explanations for machine learning models" (2020, arXiv
2001.11757), here as shares from 0 to 1:

- VSI: the share of features that two runs name in common, mean over all pairs
  of runs: Σ_pairs \\|A ∩ B\\| / (pairs · k). A run names its k strongest
  features with a weight that is not 0.
- CSI: for each feature that at least two runs name, the share of pairs of
  those runs whose 95 % intervals of the weight (± 1.96 standard errors) overlap;
  the mean over these features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.explanations.lime.lime_runs import LimeWeights

__all__ = ["coefficient_stability", "named_features", "variable_stability"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_Z = 1.96


def variable_stability(runs: FloatArray, k: int) -> FloatArray:
    """VSI of each row, from values of shape (runs, n, p); NaN where no run names a feature."""
    named = named_features(runs, k)
    count = named.sum(axis=0)
    pairs = len(runs) * (len(runs) - 1) / 2
    most = named.sum(axis=2).max(axis=0)
    shared = (count * (count - 1) / 2).sum(axis=1)
    out = np.full(len(most), np.nan)
    np.divide(shared, pairs * most, out=out, where=most > 0)
    return out


def coefficient_stability(lime: LimeWeights, k: int) -> FloatArray:
    """CSI of each row; NaN where no feature is named by two runs.

    Raises:
        InputError: the weights are of several outputs or lack standard errors.
    """
    if lime.coefficients.ndim != 3:
        raise InputError(
            f"lime has coefficients of shape {lime.coefficients.shape}; expected one output"
        )
    if lime.errors is None:
        raise InputError("lime has no standard errors; expected lime_weights(standard_errors=True)")
    named = named_features(lime.coefficients, k)
    low, high = lime.coefficients - _Z * lime.errors, lime.coefficients + _Z * lime.errors
    pairs, overlaps = np.zeros(named.shape[1:]), np.zeros(named.shape[1:])
    for a in range(len(named)):
        for b in range(a):
            both = named[a] & named[b]
            pairs += both
            overlaps += both & (low[a] <= high[b]) & (low[b] <= high[a])
    share = np.zeros_like(pairs)
    np.divide(overlaps, pairs, out=share, where=pairs > 0)
    features = (pairs > 0).sum(axis=1)
    out = np.full(len(features), np.nan)
    np.divide(share.sum(axis=1), features, out=out, where=features > 0)
    return out


def named_features(runs: FloatArray, k: int) -> BoolArray:
    """Which features each run names: its k strongest that are not 0; (runs, n, p) booleans."""
    order = np.argsort(-np.abs(runs), axis=2, kind="stable")[:, :, :k]
    named = np.zeros(runs.shape, dtype=bool)
    np.put_along_axis(named, order, True, axis=2)
    return np.asarray(named & (runs != 0))
