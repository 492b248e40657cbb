"""The doors to explanations: :func:`explain` (one output), :func:`explain_outputs` (several)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean
from hitl_audit.explanations.agreement import resolution_of
from hitl_audit.explanations.encoding import text_columns
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.explanation_set import ExplanationSet
from hitl_audit.explanations.lime.lime_neighbourhood import Discretizer
from hitl_audit.explanations.lime.lime_options import FeatureSelection
from hitl_audit.explanations.model_output import Scale, output_labels, resolve_output
from hitl_audit.explanations.raw_features import (
    align,
    as_frame,
    hash_order,
    raw_rows,
    sample_rows,
)
from hitl_audit.explanations.shap_values import ALGORITHMS, Algorithm, Attribution, shap_values
from hitl_audit.explanations.views.asking import check_integers
from hitl_audit.inputs import digest_frame

__all__ = ["MOST_MODEL_ROWS", "explain", "explain_outputs", "model_rows"]

FloatArray = npt.NDArray[np.float64]

BACKGROUND_ROWS = 100
MOST_MODEL_ROWS = 200_000_000
ASKING = ("permutation", "exact", "kernel")


def explain(
    model: Any,
    X: Any,
    *,
    method: Literal["shap", "lime"] = "shap",
    background: Any = None,
    output: Any = None,
    scale: Scale | None = None,
    algorithm: Algorithm = "auto",
    random_state: int = 0,
    progress: bool = False,
    feature_names: Sequence[str] | None = None,
    n_permutations: int = 10,
    n_seeds: int = 5,
    n_samples: int = 5000,
    n_features: int | None = None,
    feature_selection: FeatureSelection = "auto",
    kernel_width: float | None = None,
    discretizer: Discretizer | None = "quartile",
    sample_around_instance: bool = False,
    training_labels: Sequence[Any] | None = None,
    max_model_rows: int = MOST_MODEL_ROWS,
    threads: int = 1,
) -> Explanation:
    """Explain one output of a model for the rows of X, in raw features.

    Args:
        model: a fitted classifier, regressor or Pipeline, or a callable that
            maps raw rows to (n,) or (n, classes) outputs.
        X: raw rows, a DataFrame (its index names the cases), a polars or
            pyarrow table, or a 2-D array.
        method: ``"shap"`` or ``"lime"``.
        background: raw rows that stand for "feature unknown". By default SHAP
            takes the 100 rows of X with the smallest seeded hashes, LIME all of X.
        output: the class to explain; by default ``classes_[1]`` of two. A
            callable with one value per row already returns it. Of a model with
            several values per row: the position of one.
        scale: ``"probability"``, ``"log-odds"`` (of the class) or ``"value"``;
            by default the value of a regressor and the probability of all else.
        algorithm: for SHAP; ``"auto"`` takes the fastest that agrees with the model.
        random_state: seed, a non-negative integer.
        progress: show a progress bar.
        feature_names: names for the columns of an array.
        n_permutations: for ``"permutation"``: orders of the features, each with its reverse.
        n_seeds: for LIME: seeds, at least two, so that there is a spread.
        n_samples: for LIME: size of each neighbourhood.
        n_features, feature_selection, kernel_width, discretizer,
            sample_around_instance, training_labels: for LIME, see
            :func:`~hitl_audit.explanations.lime.lime_weights.lime_weights`.
        max_model_rows: for SHAP: about how many rows the model may be asked
            about where it must be asked (rows · background rows · coalitions).
        threads: for SHAP values of trees, at least 1; their number does not
            change a bit of the result.

    Pairs of features: see
    :func:`~hitl_audit.explanations.explain_interactions.explain_interactions`.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed, no explanation agrees with it, or
            only one that takes more than ``max_model_rows``.
    """
    started = time.perf_counter()
    _check_names(method, algorithm)
    check_integers(
        random_state=(random_state, 0),
        n_permutations=(n_permutations, 1),
        n_seeds=(n_seeds, 2),
        n_samples=(n_samples, 50),
        max_model_rows=(max_model_rows, 1),
        threads=(threads, 1),
    )
    rows, as_array = raw_rows(model, X, feature_names)
    what = resolve_output(model, output=output, scale=scale, as_array=as_array, rows=rows)
    if background is not None:
        names = list(rows.columns)
        behind = as_frame(background, name="background", feature_names=names)
        rows, behind = align(rows, behind)
    elif len(rows) < 2:
        raise InputError("X has 1 row and there is no background; expected background rows")
    elif method == "shap":
        behind = sample_rows(rows, BACKGROUND_ROWS, random_state=random_state)
    else:
        behind = rows.iloc[hash_order(rows, random_state=0)]
    whole = tuple(
        f"the text in {name} is one feature; explain_text tells the words of a model of texts alone"
        for name in text_columns(model)
    )
    common: dict[str, Any] = {
        "data": rows,
        "method": method,
        "scale": what.scale,
        "output": what.label,
        "background_digest": digest_frame(behind),
        "background_size": len(behind),
        "random_state": random_state,
    }
    if method == "shap":
        found, predictions = _shap(
            model,
            rows,
            algorithm,
            max_model_rows,
            output=what,
            background=behind,
            random_state=random_state,
            n_permutations=n_permutations,
            progress=progress,
            threads=threads,
        )
        return Explanation(
            values=found.values,
            base_values=found.base,
            algorithm=found.algorithm,
            exact=found.exact,
            predictions=predictions,
            resolution=resolution_of(what, rows, predictions, base=found.base, values=found.values),
            notes=whole + found.notes,
            seconds=time.perf_counter() - started,
            **common,
        )
    from hitl_audit.explanations.lime.lime_weights import lime_weights

    weights = lime_weights(
        rows,
        output=what,
        background=behind,
        random_state=random_state,
        n_seeds=n_seeds,
        n_samples=n_samples,
        n_features=n_features,
        feature_selection=feature_selection,
        kernel_width=kernel_width,
        discretizer=discretizer,
        sample_around_instance=sample_around_instance,
        training_labels=training_labels,
        standard_errors=discretizer is not None and feature_selection != "lasso_path",
        progress=progress,
    )
    return Explanation(
        values=weights.contributions.mean(axis=0),
        base_values=weights.intercepts.mean(axis=0),
        algorithm="lime-tabular",
        exact=False,
        predictions=weights.predictions,
        spread=weights.contributions.std(axis=0, ddof=1),
        runs=weights,
        score=weights.scores.mean(axis=0),
        n_seeds=n_seeds,
        notes=whole + weights.notes,
        seconds=time.perf_counter() - started,
        **common,
    )


def model_rows(
    algorithm: str, *, rows: int, background: int, features: int, n_permutations: int
) -> int:
    """About how many rows a model is asked about by a model-agnostic SHAP algorithm."""
    coalitions: int = {
        "exact": 2**features,
        "kernel": 2 * features + 2048,  # shap's default number of samples
    }.get(algorithm, n_permutations * (2 * features + 1))
    return rows * background * coalitions


def _shap(
    model: Any,
    rows: pd.DataFrame,
    algorithm: Algorithm,
    max_model_rows: int,
    **settings: Any,
) -> tuple[Attribution, FloatArray]:
    """SHAP values, unless the model would have to be asked about too many rows."""
    cost = model_rows(
        algorithm,
        rows=len(rows),
        background=len(settings["background"]),
        features=rows.shape[1],
        n_permutations=settings["n_permutations"],
    )
    if cost <= max_model_rows or algorithm not in (*ASKING, "auto"):
        return shap_values(model, rows, algorithm=algorithm, **settings)
    words = (
        f"{len(rows):,} rows of {rows.shape[1]:,} features and {len(settings['background']):,} "
        f"background rows would ask the model about {cost:,} rows (accepted: {max_model_rows:,}); "
        f"explain fewer rows, take a smaller background, or set max_model_rows"
    )
    if algorithm != "auto":
        raise InputError(f'algorithm is "{algorithm}": {words}')
    refused = []
    fast: tuple[Algorithm, ...] = ("linear", "tree-interventional")
    for name in fast:
        try:
            return shap_values(model, rows, algorithm=name, **settings)
        except ExplanationError as error:
            refused.append(str(error))
    raise ExplanationError(f"no fast path explains this model ({'; '.join(refused)}), and {words}")


def explain_outputs(
    model: Any, X: Any, *, outputs: Sequence[Any] | None = None, **settings: Any
) -> ExplanationSet:
    """Explain several outputs of a model for the same rows: classes, or values.

    Args:
        model, X: as for :func:`explain`.
        outputs: class labels, or positions of values; all of them by default.
        settings: the other arguments of :func:`explain`, the same for every output.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: as for :func:`explain`.
    """
    if "output" in settings:
        raise InputError("output is given; expected outputs, a list")
    rows, as_array = raw_rows(model, X, settings.get("feature_names"))
    if outputs is None:
        outputs = output_labels(model, scale=settings.get("scale"), as_array=as_array, rows=rows)
    elif isinstance(outputs, str) or not hasattr(outputs, "__len__") or not len(outputs):
        raise InputError(f"outputs is {outputs!r}; expected a list of at least one output")
    return ExplanationSet(tuple(explain(model, X, output=label, **settings) for label in outputs))


def _check_names(method: str, algorithm: str) -> None:
    for name, value, accepted in (
        ("method", method, ("shap", "lime")),
        ("algorithm", algorithm, ALGORITHMS),
    ):
        if value not in accepted:
            shown = f'"{value}"' if isinstance(value, str) else repr(value)
            raise InputError(
                f"{name} is {shown}; accepted: {', '.join(accepted)}"
                f"{did_you_mean(str(value), accepted)}"
            )
    if method == "lime" and algorithm != "auto":
        raise InputError(f'algorithm is "{algorithm}" with method "lime"; it belongs to SHAP')
