"""shap's own TreeExplainer on a final estimator: for trees that our kernels do not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.shapley.tree_ensemble import import_shap, quiet

__all__ = ["FromShap", "by_rank", "shap_trees"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FromShap:
    """Values (n, columns) and base of one output; ``rescaled`` from log-odds to the probability."""

    values: FloatArray
    base: float
    rescaled: bool
    trees: list[Any]


def shap_trees(
    estimator: Any, rows: FloatArray, background: FloatArray | None, output: ModelOutput
) -> FromShap:
    """Without a background path-dependent: for XGBoost and LightGBM their own contributions.

    Raises:
        ExplanationError: shap cannot explain this estimator on this scale.
    """
    shap = import_shap()
    try:
        with quiet():
            if background is None:
                explainer = shap.TreeExplainer(
                    estimator, feature_perturbation="tree_path_dependent"
                )
            else:
                # Given a plain array, shap silently keeps only 100 of its rows.
                masker = shap.maskers.Independent(background, max_samples=len(background))
                explainer = shap.TreeExplainer(
                    estimator,
                    masker,
                    feature_perturbation="interventional",
                    model_output="probability" if output.scale == "probability" else "raw",
                )
            _check_scale(explainer, output)
            if background is not None:
                rows = by_rank(explainer, rows)
            raw = np.asarray(explainer.shap_values(rows, check_additivity=False), dtype=np.float64)
            # Known only now where a library computed the values itself.
            base = np.ravel(np.asarray(explainer.expected_value, dtype=np.float64))
    except ExplanationError:
        raise
    except Exception as error:  # shap raises whatever its parser of that library meets
        raise ExplanationError(f"shap's TreeExplainer: {type(error).__name__}: {error}") from error
    if raw.ndim == 3:
        values, level = raw[:, :, output.position], float(base[output.position])
    elif output.scale == "value" or output.position == 1:
        values, level = raw, float(base[-1])
    else:
        values = -raw
        level = (1.0 if output.scale == "probability" else 0.0) - float(base[-1])
    rescaled = output.scale == "probability" and explainer.model.tree_output == "log_odds"
    return FromShap(values, level, rescaled, explainer.model.trees or [])


def _check_scale(explainer: Any, output: ModelOutput) -> None:
    made = "probability" if explainer.model_output == "probability" else explainer.model.tree_output
    wanted = {"probability": "probability", "log-odds": "log_odds", "value": "raw_value"}
    if made != wanted[output.scale]:
        raise ExplanationError(f"the trees give a {made}, not a {output.scale}")


def by_rank(explainer: Any, rows: FloatArray) -> FloatArray:
    """Put ranks among a column's thresholds for its values, in the trees, the background and rows.

    shap's interventional code holds thresholds in single precision, so that a
    value close to one can fall on its other side (on the loanapp data that
    moved a probability by .009). Ranks make the same comparisons exactly.
    """
    trees = explainer.model
    inner = trees.children_left >= 0
    tables = [t.astype(trees.input_dtype).astype(np.float64) for t in (explainer.data, rows)]
    for j in range(rows.shape[1]):
        here = inner & (trees.features == j)
        edges = np.unique(trees.thresholds[here])
        trees.thresholds[here] = np.searchsorted(edges, trees.thresholds[here]) + 0.5
        for table in tables:
            seen = ~np.isnan(table[:, j])
            table[seen, j] = np.searchsorted(edges, table[seen, j])
    trees.input_dtype = np.float64
    explainer.data = tables[0]
    return tables[1]
