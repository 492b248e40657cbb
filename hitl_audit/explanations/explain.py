"""One door to all explanations: :func:`explain`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.model_output import Scale, resolve_output
from hitl_audit.explanations.raw_features import align, as_frame, hash_order, sample_rows
from hitl_audit.explanations.shap_values import ALGORITHMS, Algorithm, shap_values
from hitl_audit.inputs import digest_frame

__all__ = ["explain"]

BACKGROUND_ROWS = 100


def explain(
    model: Any,
    X: Any,
    *,
    method: Literal["shap", "lime"] = "shap",
    background: Any = None,
    output: Any = None,
    scale: Scale = "probability",
    algorithm: Algorithm = "auto",
    random_state: int = 0,
    progress: bool = False,
    feature_names: Sequence[str] | None = None,
    n_permutations: int = 10,
    n_seeds: int = 5,
    n_samples: int = 5000,
) -> Explanation:
    """Explain one output of a model for the rows of X, in raw features.

    Args:
        model: a fitted classifier, regressor or Pipeline, or a callable that
            maps raw rows to (n,) or (n, classes) outputs.
        X: raw rows, a DataFrame (its index names the cases) or a 2-D array.
        method: ``"shap"`` or ``"lime"``.
        background: raw rows that stand for "feature unknown". By default SHAP
            takes the 100 rows of X with the smallest seeded hashes, LIME all of X.
        output: the class to explain; by default ``classes_[1]``. A callable
            with one value per row already returns it.
        scale: ``"probability"``, ``"log-odds"`` (of the class) or ``"value"``.
        algorithm: for SHAP; ``"auto"`` takes the fastest that agrees with the model.
        random_state: seed, a non-negative integer.
        progress: show a progress bar.
        feature_names: names for the columns of an array.
        n_permutations: for ``"permutation"``: orders of the features, each with its reverse.
        n_seeds: for LIME: seeds, at least two, so that there is a spread.
        n_samples: for LIME: size of each neighbourhood.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed, or no explanation agrees with it.
    """
    started = time.perf_counter()
    _check(method, algorithm, random_state, n_permutations, n_seeds, n_samples)
    named = getattr(model, "feature_names_in_", None)
    # An estimator that knows its width but no names was fitted on arrays, and says so in a warning.
    as_array = named is None and (
        not isinstance(X, pd.DataFrame) or hasattr(model, "n_features_in_")
    )
    rows = as_frame(X, name="X", feature_names=feature_names if named is None else named)
    what = resolve_output(model, output=output, scale=scale, as_array=as_array)
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
        found, predictions = shap_values(
            model,
            rows,
            output=what,
            background=behind,
            algorithm=algorithm,
            random_state=random_state,
            n_permutations=n_permutations,
            progress=progress,
        )
        return Explanation(
            values=found.values,
            base_values=found.base,
            algorithm=found.algorithm,
            exact=found.exact,
            predictions=predictions,
            notes=found.notes,
            seconds=time.perf_counter() - started,
            **common,
        )
    from hitl_audit.explanations.lime_weights import lime_weights

    weights = lime_weights(
        rows,
        output=what,
        background=behind,
        random_state=random_state,
        n_seeds=n_seeds,
        n_samples=n_samples,
        progress=progress,
    )
    return Explanation(
        values=weights.coefficients.mean(axis=0),
        base_values=weights.intercepts.mean(axis=0),
        algorithm="lime-tabular",
        exact=False,
        predictions=weights.predictions,
        spread=weights.coefficients.std(axis=0, ddof=1),
        score=weights.scores.mean(axis=0),
        n_seeds=n_seeds,
        notes=weights.notes,
        seconds=time.perf_counter() - started,
        **common,
    )


def _check(
    method: str,
    algorithm: str,
    random_state: int,
    n_permutations: int,
    n_seeds: int,
    n_samples: int,
) -> None:
    for name, value, accepted in (
        ("method", method, ("shap", "lime")),
        ("algorithm", algorithm, ALGORITHMS),
    ):
        if value not in accepted:
            raise InputError(
                f'{name} is "{value}"; accepted: {", ".join(accepted)}'
                f"{did_you_mean(value, accepted)}"
            )
    if method == "lime" and algorithm != "auto":
        raise InputError(f'algorithm is "{algorithm}" with method "lime"; it belongs to SHAP')
    for label, number, least in (
        ("random_state", random_state, 0),
        ("n_permutations", n_permutations, 1),
        ("n_seeds", n_seeds, 2),
        ("n_samples", n_samples, 50),
    ):
        if not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"{label} is {number!r}; expected an integer of at least {least}")
