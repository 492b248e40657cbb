"""The door to interactions: :func:`explain_interactions`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean
from hitl_audit.explanations.agreement import disagreement, resolution_of
from hitl_audit.explanations.encoding import Encoding, read_encoding, text_columns
from hitl_audit.explanations.explain import BACKGROUND_ROWS, MOST_MODEL_ROWS, model_rows
from hitl_audit.explanations.interaction_values import InteractionValues
from hitl_audit.explanations.model_output import ModelOutput, Scale, resolve_output
from hitl_audit.explanations.raw_features import align, as_frame, raw_rows, sample_rows
from hitl_audit.explanations.shapley.attribution import Attribution, NotApplicableError
from hitl_audit.explanations.shapley.interactions import MOST_FEATURES, exact_interactions
from hitl_audit.explanations.shapley.model_agnostic import ask_the_model
from hitl_audit.explanations.shapley.tree_interactions import TreeInteractions
from hitl_audit.explanations.shapley.tree_values import trees_by_shap
from hitl_audit.explanations.views.asking import check_integers
from hitl_audit.inputs import digest_frame

__all__ = ["InteractionAlgorithm", "explain_interactions"]

FloatArray = npt.NDArray[np.float64]
InteractionAlgorithm = Literal["auto", "exact", "tree-path-dependent"]
ALGORITHMS: tuple[str, ...] = get_args(InteractionAlgorithm)


def explain_interactions(
    model: Any,
    X: Any,
    *,
    background: Any = None,
    output: Any = None,
    scale: Scale | None = None,
    algorithm: InteractionAlgorithm = "auto",
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
    progress: bool = False,
) -> InteractionValues:
    """SHAP interaction values of one output for the rows of X, in raw features.

    Every row's matrix is compared with the original model: its sum must be
    prediction - base, to 1e-6 or what a model that computes in single precision
    can resolve. Its lines must sum to the SHAP values of the same algorithm
    (``"exact"``: shap's Exact explainer on the first row; trees: shap's
    path-dependent values of all rows).

    Args:
        model: a fitted classifier, regressor or Pipeline, or a callable that
            maps raw rows to (n,) or (n, classes) outputs.
        X: raw rows, a DataFrame (its index names the cases), a polars or
            pyarrow table, or a 2-D array.
        background: raw rows that stand for "feature unknown", for ``"exact"``;
            by default the 100 rows of X with the smallest seeded hashes.
        output: as for :func:`~hitl_audit.explanations.explain.explain`.
        scale: ``"probability"``, ``"log-odds"`` (of the class) or ``"value"``.
            By default, with ``"exact"``, the value of a regressor and the
            probability of all else; with trees their own: the log-odds of
            boosters, the probability of forests, the value of regressors. On
            another scale trees are refused.
        algorithm: ``"exact"``: all coalitions, interventional against the
            background, at most 10 raw features. ``"tree-path-dependent"``: the
            trees of any number of features, "unknown" standing for the
            training rows in each leaf, whatever the background. ``"auto"``:
            exact for up to 10 features, else the trees.
        random_state: seed, a non-negative integer.
        feature_names: names for the columns of an array.
        progress: show a progress bar.

    Raises:
        InputError: an argument cannot be used, or exact interactions of so
            many rows would ask the model about more than 200 million.
        ExplanationError: the model failed, or no interactions agree with it.
    """
    started = time.perf_counter()
    if algorithm not in ALGORITHMS:
        raise InputError(
            f'algorithm is "{algorithm}"; accepted: {", ".join(ALGORITHMS)}'
            f"{did_you_mean(algorithm, ALGORITHMS)}"
        )
    check_integers(random_state=(random_state, 0))
    rows, as_array = raw_rows(model, X, feature_names)
    what = resolve_output(model, output=output, scale=scale, as_array=as_array, rows=rows)
    behind = _background(rows, background, random_state)
    if behind is not None:
        rows, behind = align(rows, behind)
    if algorithm == "exact" or (algorithm == "auto" and rows.shape[1] <= MOST_FEATURES):
        found, predictions, resolution = _exact(what, rows, behind, random_state, progress)
    else:
        behind = rows if behind is None else pd.concat([behind, rows])
        try:
            encoding = read_encoding(model, behind, as_array=as_array)
            trees, what = _trees(encoding, what, chosen=scale is not None)
            found, predictions, resolution = _tree_values(trees, encoding, what, rows, progress)
        except (ExplanationError, NotApplicableError) as error:
            raise ExplanationError(_refusal(algorithm, rows.shape[1], error)) from error
        behind = None
    whole = tuple(
        f"the text in {name} is one feature; explain_text tells the words of a model of texts alone"
        for name in text_columns(model)
    )
    return InteractionValues(
        values=found.values,
        base_values=found.base,
        data=rows,
        algorithm=found.algorithm,
        exact=found.exact,
        scale=what.scale,
        output=what.label,
        predictions=predictions,
        resolution=resolution,
        background_digest=None if behind is None else digest_frame(behind),
        background_size=0 if behind is None else len(behind),
        random_state=random_state,
        seconds=time.perf_counter() - started,
        notes=whole + found.notes,
    )


def _background(rows: pd.DataFrame, background: Any, random_state: int) -> pd.DataFrame | None:
    """Rows that stand for "feature unknown"; ``None`` where none are given and X has one row."""
    if background is not None:
        return as_frame(background, name="background", feature_names=list(rows.columns))
    if len(rows) < 2:
        return None
    return sample_rows(rows, BACKGROUND_ROWS, random_state=random_state)


def _exact(
    output: ModelOutput,
    rows: pd.DataFrame,
    behind: pd.DataFrame | None,
    random_state: int,
    progress: bool,
) -> tuple[Attribution, FloatArray, FloatArray]:
    p = rows.shape[1]
    if p > MOST_FEATURES:
        raise InputError(
            f"X has {p} columns, with 2^{p} coalitions; expected at most {MOST_FEATURES} for exact "
            f'interactions (algorithm="tree-path-dependent" takes any number)'
        )
    if behind is None:
        raise InputError("X has 1 row and there is no background; expected background rows")
    cost = model_rows("exact", rows=len(rows), background=len(behind), features=p, n_permutations=1)
    if cost > MOST_MODEL_ROWS:
        raise InputError(
            f"{len(rows):,} rows of {p} features and {len(behind):,} background rows would ask the "
            f"model about {cost:,} rows (accepted: {MOST_MODEL_ROWS:,}); explain fewer rows or "
            f"take a smaller background"
        )
    found = exact_interactions(rows, output=output, background=behind, progress=progress)
    first = ask_the_model(
        "exact",
        output,
        rows.iloc[:1],
        behind,
        random_state=random_state,
        n_permutations=1,
        progress=False,
    )
    predictions = output(rows)
    resolution = resolution_of(output, rows, predictions, base=found.base, values=found.values)
    _compare(found, first, predictions, resolution, mean_output=float(output(behind).mean()))
    return found, predictions, resolution


def _trees(
    encoding: Encoding, output: ModelOutput, *, chosen: bool
) -> tuple[TreeInteractions, ModelOutput]:
    """The trees of an encoding, and the output on their own scale unless one was ``chosen``."""
    trees = TreeInteractions(encoding)
    # A value is no class, so it never stands in for a probability, nor the other way round.
    if chosen or trees.scale in (None, "value") or output.scale == "value":
        return trees, output
    return trees, replace(output, scale=trees.scale)


def _tree_values(
    trees: TreeInteractions,
    encoding: Encoding,
    output: ModelOutput,
    rows: pd.DataFrame,
    progress: bool,
) -> tuple[Attribution, FloatArray, FloatArray]:
    found = trees.values(rows, output, progress=progress)
    predictions = output(rows)
    resolution = resolution_of(output, rows, predictions, base=found.base, values=found.values)
    attributions = trees_by_shap(output, rows, None, encoding)
    _compare(found, attributions, predictions, resolution, mean_output=None)
    return found, predictions, resolution


def _compare(
    found: Attribution,
    attributions: Attribution,
    predictions: FloatArray,
    resolution: FloatArray,
    *,
    mean_output: float | None,
) -> None:
    """Hold interactions against the model, and against SHAP values of their first rows.

    Raises:
        ExplanationError: they do not fit.
    """
    wrong = disagreement(found.values, found.base, predictions, resolution, mean_output=mean_output)
    if wrong is None:
        n = len(attributions.values)
        off = np.abs(found.values[:n].sum(axis=2) - attributions.values).max(axis=1)
        if (off > resolution[:n]).any():
            wrong = f"its lines miss the SHAP values by up to {off.max():.2g}"
    if wrong is not None:
        raise ExplanationError(f'the interactions of "{found.algorithm}" were refused: {wrong}')


def _refusal(algorithm: str, p: int, error: Exception) -> str:
    if algorithm == "auto":
        return (
            f"no interactions for this model: its {p} features are more than the {MOST_FEATURES} "
            f"of exact ones, and trees cannot be used: {error}"
        )
    return f'algorithm "{algorithm}" cannot be used: {error}'
