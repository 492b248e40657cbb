"""How far one output follows another, with intervals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.explanation import BOOTSTRAP, RESAMPLES, bootstrap_means
from hitl_audit.intervals import Count, wilson

__all__ = ["fidelity_to"]

FloatArray = npt.NDArray[np.float64]


def fidelity_to(
    truth: FloatArray,
    mine: FloatArray,
    threshold: float | None,
    confidence: float,
    random_state: int,
) -> pd.DataFrame:
    """Measures of how far ``mine`` follows ``truth``, both (n,): the surrogate and the model.

    Lines: r2, mean_error, and with a threshold agreement and agreement of a
    constant. Columns: measure, value, low, high, n, interval, meaning. R² of a
    constant output is 1 if it is met exactly, else undefined (NaN).
    """
    n = len(truth)
    wrong = (truth - mine) ** 2
    counts = np.random.default_rng(random_state).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    tail = (1 - confidence) / 2
    value = _r2(np.ones((1, n)), truth, wrong)[0]
    drawn = _r2(counts.astype(np.float64), truth, wrong)
    low, high = np.nan, np.nan
    if np.isfinite(drawn).all():
        low, high = (float(v) for v in np.quantile(drawn, [tail, 1 - tail]))
    error = np.abs(truth - mine)
    bounds = bootstrap_means(error[:, np.newaxis], confidence=confidence, random_state=random_state)
    lines = [
        ("r2", float(value), low, high, n, BOOTSTRAP,
         "1 − squared error to the model / variance of the model's output"),
        ("mean_error", float(error.mean()), float(bounds[0][0]), float(bounds[1][0]), n, BOOTSTRAP,
         "mean absolute difference to the model's output"),
    ]  # fmt: skip
    if threshold is not None:
        high_output = truth >= threshold
        agreed = Count(int((high_output == (mine >= threshold)).sum()), n)
        ends = wilson(agreed, confidence=confidence) or (np.nan, np.nan)
        common = max(float(high_output.mean()), 1 - float(high_output.mean()))
        lines += [
            ("agreement", agreed.successes / n, *ends, n, "Wilson",
             f"share of rows on the same side of {threshold:g} as the model"),
            ("agreement of a constant", common, np.nan, np.nan, n, "",
             "the same share if always the model's commoner decision were said"),
        ]  # fmt: skip
    names = ["measure", "value", "low", "high", "n", "interval", "meaning"]
    return pd.DataFrame(lines, columns=names)


def _r2(weights: FloatArray, truth: FloatArray, wrong: FloatArray) -> FloatArray:
    """R² under row weights; of a constant output it is 1 if met exactly, else undefined."""
    centred = truth - truth.mean()
    n = weights.sum(axis=1)
    total = weights @ centred**2 - (weights @ centred) ** 2 / n
    error = weights @ wrong
    scale = 1e-12 * max(1.0, float((truth**2).sum()))
    out = np.where(error <= scale, 1.0, np.nan)
    np.divide(total - error, total, out=out, where=total > scale)
    return np.asarray(out, dtype=np.float64)
