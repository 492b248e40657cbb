"""Whether attributions add up to what the original model says, as closely as it can say it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.model_output import ModelOutput, unseen_categories_allowed

__all__ = ["TOLERANCE", "disagreement", "resolution_of"]

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-6
LAST_PLACES = 8  # for a sum over an ensemble


def resolution_of(
    output: ModelOutput,
    X: pd.DataFrame,
    predictions: FloatArray,
    *,
    base: FloatArray,
    values: FloatArray,
) -> FloatArray:
    """How far each prediction may lie from the exact one because of the model's own rounding, (n,).

    At least 1e-6. XGBoost answers in single precision, others in double. On the log-odds
    of a probability p a step of its last place is 1 / (p(1 - p)) times as large: a
    probability of 1 - 1e-12 tells them to four digits. A sum is rounded at the size of its
    parts, ``base`` (n,) and ``values`` (n, …), however close to 0 it ends.
    """
    if output.scale == "value":
        ask, size = getattr(output.model, "predict", output.model), np.abs(predictions)
    else:
        ask, size = getattr(output.model, "predict_proba", output.model), np.ones(len(X))
    rows = X.iloc[:1]
    with unseen_categories_allowed():
        answer = np.asarray(ask(rows.to_numpy() if output.as_array else rows))
    precision = np.float32 if answer.dtype == np.float32 else np.float64
    if output.scale == "log-odds":
        size = 2 + 2 * np.cosh(predictions)  # 1 / (p(1 - p))
    parts = np.abs(base) + np.abs(values).reshape(len(X), -1).sum(axis=1)
    size = np.maximum(size, parts)
    rounded = LAST_PLACES * float(np.finfo(precision).eps) * size
    return np.asarray(np.maximum(TOLERANCE, rounded), dtype=np.float64)


def disagreement(
    values: FloatArray,
    base: FloatArray,
    predictions: FloatArray,
    resolution: FloatArray,
    *,
    mean_output: float | None,
) -> str | None:
    """What is wrong with attributions of n rows, in words; ``None`` if nothing is.

    Args:
        values: (n, …); each row's sum to its prediction - base.
        base: (n,).
        predictions: (n,) of the original model.
        resolution: (n,) how closely it can say them.
        mean_output: what the base must be; ``None`` where it is not the mean
            over a background.
    """
    if not np.isfinite(values).all():
        return "some of its values are not finite"
    residual = np.abs(predictions - base - values.reshape(len(values), -1).sum(axis=1))
    if (residual > resolution).any():
        worst = int(np.argmax(residual / resolution))
        return (
            f"its values miss the model's own output by up to {residual[worst]:.2g} "
            f"(accepted: {resolution[worst]:.2g})"
        )
    if mean_output is not None:
        off = float(np.abs(base - mean_output).max())
        if off > float(resolution.max()):
            return f"its base misses the mean output over the background by {off:.2g}"
    return None
