"""SHAP values of a pipeline's trees in raw features: our kernels, and shap's TreeExplainer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import Encoding
from hitl_audit.explanations.model_output import ModelOutput, Scale
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble

__all__ = [
    "PATH_DEPENDENT",
    "RESCALED",
    "SCALES",
    "fitting_scale",
    "split_features_note",
    "trees_by_kernel",
    "trees_by_shap",
]

FloatArray = npt.NDArray[np.float64]

RESCALED = (
    "the trees' values on the log-odds, carried to the probability per background row by the "
    "rescaling of shap's TreeExplainer: they sum to the prediction exactly, but are not the "
    "Shapley values of the probability itself"
)
PATH_DEPENDENT = "the background is the training rows that fell into each leaf, not a sample"
SCALES: dict[Scale, str] = {
    "probability": "probability",
    "log-odds": "log_odds",
    "value": "raw_value",
}


def trees_by_kernel(
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame | None,
    encoding: Encoding,
    *,
    threads: int,
    progress: bool,
) -> Attribution:
    """Exact values of the trees, all columns of a raw feature being one player.

    Without a background they are path-dependent.

    Raises:
        NotApplicableError: these trees, or this scale, cannot be explained so.
    """
    from hitl_audit.explanations.shapley.tree_ensemble import read_trees
    from hitl_audit.explanations.shapley.tree_shap import (
        compiling,
        interventional,
        path_dependent,
        rescaled_to_probability,
    )

    with compiling(progress):
        try:
            trees = read_trees(encoding.estimator)
        except ExplanationError as error:
            raise NotApplicableError(str(error)) from error
        column, rescaled, mirrored = fitting_scale(trees, output, rescale=background is not None)
        options: dict[str, Any] = {
            "players": encoding.source,
            "output": column,
            "threads": threads,
        }
        rows = encoding.transform(X)
        try:
            if background is None:
                values = path_dependent(trees, rows, **options)
                base = float(trees.expected()[options["output"]])
            else:
                behind = encoding.transform(background)
                compute = rescaled_to_probability if rescaled else interventional
                values = compute(trees, rows, behind, **options)
                scores = trees.predict(behind)[:, options["output"]]
                if rescaled:
                    scores = 1 / (1 + np.exp(-scores))
                base = float(scores.mean())
        except ExplanationError as error:
            raise NotApplicableError(str(error)) from error
    if mirrored:
        values, base = -values, (1.0 if output.scale == "probability" else 0.0) - base
    missing = encoding.n_features - values.shape[1]
    if missing:  # the last raw features have no column of their own
        values = np.hstack([values, np.zeros((len(values), missing))])
    return Attribution(
        values,
        np.full(len(X), base),
        "tree-path-dependent" if background is None else "tree-interventional",
        exact=not rescaled and background is not None,
        notes=(RESCALED,) if rescaled else (PATH_DEPENDENT,) if background is None else (),
    )


def fitting_scale(
    trees: TreeEnsemble, output: ModelOutput, *, rescale: bool = True
) -> tuple[int, bool, bool]:
    """How trees give an output: their column, whether from log-odds, whether mirrored.

    Raises:
        NotApplicableError: they do not give it on this scale.
    """
    rescaled = (
        rescale
        and output.scale == "probability"
        and trees.scale == "log_odds"
        and trees.n_outputs == 1
    )
    if trees.scale != SCALES[output.scale] and not rescaled:
        made = trees.scale or "score of no known scale"
        raise NotApplicableError(f"the trees give a {made}, not a {output.scale}")
    if trees.scale == "log_odds" and trees.n_outputs > 1:
        raise NotApplicableError(
            f"the trees give {trees.n_outputs} scores that softmax mixes, not log-odds"
        )
    several = trees.n_outputs > 1
    mirrored = not several and output.scale != "value" and output.position == 0
    return (output.position if several else 0), rescaled, mirrored


def trees_by_shap(
    output: ModelOutput,
    X: pd.DataFrame,
    background: pd.DataFrame | None,
    encoding: Encoding,
    *,
    because: str = "",
) -> Attribution:
    """shap's TreeExplainer on the final estimator, its columns added up per raw feature.

    Without a background, XGBoost's and LightGBM's own contributions. ``because``: why
    not the kernels, for the notes.

    Raises:
        NotApplicableError: shap cannot explain this estimator on this scale.
    """
    from hitl_audit.explanations.shapley.shap_trees import shap_trees

    behind = None if background is None else encoding.transform(background)
    try:
        found = shap_trees(encoding.estimator, encoding.transform(X), behind, output)
    except ExplanationError as error:
        raise NotApplicableError(str(error)) from error
    notes = ["computed by shap's TreeExplainer" + (f", because {because}" if because else "")]
    if found.rescaled:
        notes.append(RESCALED)
    if background is None:
        notes.append(PATH_DEPENDENT)
    split = split_features_note(found.trees, encoding.source)
    if split:
        notes.append(split)
    return Attribution(
        encoding.fold(found.values),
        np.full(len(X), found.base),
        "tree-path-dependent" if background is None else "tree-interventional",
        exact=not found.rescaled and not split and background is not None,
        notes=tuple(notes),
    )


def split_features_note(trees: Iterable[Any], source: npt.NDArray[np.intp]) -> str | None:
    """What is lost by adding up columns of one raw feature; ``None`` where no path tests two."""
    split, total = _trees_that_split_a_feature(trees, source)
    if not split:
        return None
    return (
        f"columns made from one raw feature are separate players, added up: in {split} of "
        f"{total} trees a path tests two of them, where the sum can differ from the raw "
        f"feature's own Shapley value"
    )


def _trees_that_split_a_feature(
    trees: Iterable[Any], source: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """How many trees have a path that tests two columns of one raw feature, of how many."""
    split = total = 0
    for tree in trees:
        total += 1
        stack: list[tuple[int, frozenset[int]]] = [(0, frozenset())]
        while stack:
            node, seen = stack.pop()
            left = int(tree.children_left[node])
            if left < 0:
                continue
            column = int(tree.features[node])
            if any(c != column and source[c] == source[column] for c in seen):
                split += 1
                break
            stack += [(left, seen | {column}), (int(tree.children_right[node]), seen | {column})]
    return split, total
