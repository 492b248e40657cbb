"""SHAP values of raw features, each path checked against the original model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import ModelOutput, unseen_categories_allowed
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.shapley.linear_values import linear_closed_form, logistic_probability
from hitl_audit.explanations.shapley.model_agnostic import ask_the_model
from hitl_audit.explanations.shapley.tree_ensemble import import_shap
from hitl_audit.explanations.shapley.tree_values import trees_by_kernel, trees_by_shap

__all__ = ["TOLERANCE", "Algorithm", "Attribution", "import_shap", "shap_values"]

FloatArray = npt.NDArray[np.float64]
Algorithm = Literal[
    "auto",
    "tree-interventional",
    "tree-path-dependent",
    "linear",
    "permutation",
    "kernel",
    "exact",
]

TOLERANCE = 1e-6
SINGLE_STEPS = 8  # of the last place, for a sum over an ensemble in single precision
EXACT_AUTO = 8  # 2**8 coalitions cost about as much as the ten permutations of 8 features


def shap_values(
    model: Any,
    X: pd.DataFrame,
    *,
    output: ModelOutput,
    background: pd.DataFrame,
    algorithm: Algorithm = "auto",
    random_state: int = 0,
    n_permutations: int = 10,
    progress: bool = False,
    threads: int = 1,
) -> tuple[Attribution, FloatArray]:
    """Attributions of the rows of X, and the original model's predictions of them.

    Every path's base + Σφ is compared with the original model's output, and
    (interventional paths) the base with the mean output over the background,
    both to 1e-6, or to what a model that computes in single precision can
    resolve. ``"auto"`` tries the paths in order of speed (linear, trees by our kernels, trees by
    shap, asking the model) and takes the first that passes; the others' names
    each stand for all paths of that kind. ``threads`` are used for trees; their
    number does not change a bit of the result.

    Raises:
        ExplanationError: no path passed, or the one asked for did not.
    """
    predictions, mean_output = output(X), float(output(background).mean())
    notes: list[str] = []
    encoding: Encoding | None = None
    try:
        encoding = read_encoding(model, pd.concat([background, X]), as_array=output.as_array)
    except ExplanationError as error:
        notes.append(f"computed on the raw features by asking the model, because {error}")
    paths = _paths(
        output,
        X,
        background,
        encoding,
        random_state=random_state,
        n_permutations=n_permutations,
        progress=progress,
        threads=threads,
    )
    if algorithm == "auto":
        agnostic = "exact" if X.shape[1] <= EXACT_AUTO else "permutation"
        order = ["linear", "tree-interventional", agnostic]
    else:
        order = [algorithm]
    resolution = _resolution(output, X, predictions)
    reason: NotApplicableError | None = None
    refused: list[str] = []
    for name in order:
        for path in paths[name]:
            try:
                found = path()
            except NotApplicableError as error:
                reason = reason or error
                continue
            wrong = _disagreement(
                found, predictions, None if "path" in name else mean_output, resolution
            )
            if wrong is None:
                joined = Attribution(
                    found.values,
                    found.base,
                    found.algorithm,
                    found.exact,
                    tuple(dict.fromkeys([*notes, *refused, *found.notes])),
                )
                return joined, predictions
            refused.append(f'"{name}" was refused: {wrong}')
    if reason is not None and not refused:
        raise ExplanationError(f'algorithm "{algorithm}" cannot be used: {reason}') from reason
    raise ExplanationError(
        "no explanation agrees with the model: " + "; ".join(dict.fromkeys([*notes, *refused]))
    )


def _resolution(output: ModelOutput, X: pd.DataFrame, predictions: FloatArray) -> FloatArray:
    """How far each prediction may lie from the exact one because of the model's own rounding.

    XGBoost answers in single precision. On the log-odds of such a probability p a
    step is 1 / (p(1 - p)) times as large.
    """
    if output.scale == "value":
        ask, size = getattr(output.model, "predict", output.model), np.abs(predictions)
    else:
        ask, size = getattr(output.model, "predict_proba", output.model), np.ones(len(X))
    rows = X.iloc[:1]
    with unseen_categories_allowed():
        answer = np.asarray(ask(rows.to_numpy() if output.as_array else rows))
    if answer.dtype != np.float32:
        return np.full(len(X), TOLERANCE)
    if output.scale == "log-odds":
        size = 2 + 2 * np.cosh(predictions)  # 1 / (p(1 - p))
    return np.maximum(TOLERANCE, SINGLE_STEPS * float(np.finfo(np.float32).eps) * size)


def _disagreement(
    found: Attribution,
    predictions: FloatArray,
    mean_output: float | None,
    accepted: FloatArray,
) -> str | None:
    if not np.isfinite(found.values).all():
        return "some of its values are not finite"
    residual = np.abs(predictions - found.base - found.values.sum(axis=1))
    if (residual > accepted).any():
        worst = int(np.argmax(residual / accepted))
        return (
            f"its values miss the model's own output by up to {residual[worst]:.2g} "
            f"(accepted: {accepted[worst]:.2g})"
        )
    if mean_output is not None:
        off = float(np.abs(found.base - mean_output).max())
        if off > float(accepted.max()):
            return f"its base misses the mean output over the background by {off:.2g}"
    return None


def _paths(
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame,
    encoding: Encoding | None,
    *,
    random_state: int,
    n_permutations: int,
    progress: bool,
    threads: int,
) -> dict[str, list[Callable[[], Attribution]]]:
    """The implementations of each algorithm, the fastest first."""

    def agnostic(kind: str) -> list[Callable[[], Attribution]]:
        return [
            lambda: ask_the_model(
                kind,
                output,
                X,
                background,
                random_state=random_state,
                n_permutations=n_permutations,
                progress=progress,
            )
        ]

    def trees(behind: pd.DataFrame | None) -> list[Callable[[], Attribution]]:
        why: list[str] = []

        def by_kernel() -> Attribution:
            try:
                return trees_by_kernel(
                    output, X, behind, _known(encoding), threads=threads, progress=progress
                )
            except NotApplicableError as error:
                why.append(str(error))
                raise

        def by_shap() -> Attribution:
            return trees_by_shap(output, X, behind, _known(encoding), because="; ".join(why))

        return [by_kernel, by_shap]

    linear = logistic_probability if output.scale == "probability" else linear_closed_form
    return {
        "linear": [lambda: linear(output, X, background, _known(encoding))],
        "tree-interventional": trees(background),
        "tree-path-dependent": trees(None),
        "exact": agnostic("exact"),
        "permutation": agnostic("permutation"),
        "kernel": agnostic("kernel"),
    }


def _known(encoding: Encoding | None) -> Encoding:
    if encoding is None:
        raise NotApplicableError("the model's columns cannot be traced back to raw features")
    return encoding


ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
