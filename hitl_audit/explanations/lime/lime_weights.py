"""LIME weights of raw features, with their spread over seeds.

Coefficients, intercepts, scores and chosen features are those of
``lime.lime_tabular`` reseeded before each row: from one shared neighbourhood
per seed (:mod:`~hitl_audit.explanations.lime.shared_lime`), or, without a
discretizer and with ``lasso_path``, through the ``lime`` package itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.lime.lime_neighbourhood import Discretizer
from hitl_audit.explanations.lime.lime_options import FeatureSelection, LimeOptions
from hitl_audit.explanations.lime.lime_package import row_by_row
from hitl_audit.explanations.lime.lime_runs import LimeWeights
from hitl_audit.explanations.lime.shared_lime import Output, share

__all__ = ["LimeWeights", "lime_weights"]


def lime_weights(
    X: pd.DataFrame,
    *,
    output: Output,
    background: pd.DataFrame,
    random_state: int = 0,
    n_seeds: int = 5,
    n_samples: int = 5000,
    progress: bool = False,
    n_features: int | None = None,
    feature_selection: FeatureSelection = "auto",
    kernel_width: float | None = None,
    discretizer: Discretizer | None = "quartile",
    sample_around_instance: bool = False,
    training_labels: Sequence[Any] | None = None,
    standard_errors: bool = False,
) -> LimeWeights:
    """LIME for each row of X with seeds random_state … random_state + n_seeds − 1.

    The result of a row depends on the seed, the background and the row, not on
    the other rows, unless these bring gaps or a third value to a column that
    has none in the background.

    Args:
        X: raw rows.
        output: what is explained: per raw table of n rows (n,) or (n, k) numbers.
        background: raw rows whose values are drawn, with the columns and dtypes of X.
        random_state: first seed.
        n_seeds: at least two: a LIME weight is not given without its spread.
        n_samples: size of each neighbourhood, with the explained case in it.
        progress: show a progress bar.
        n_features: how many features a surrogate keeps; ``None`` keeps all.
        feature_selection: how they are chosen, as in ``lime``: ``"auto"``
            (``forward_selection`` up to 6 features, else ``highest_weights``),
            ``"forward_selection"``, ``"highest_weights"``, ``"lasso_path"`` or
            ``"none"`` (all).
        kernel_width: of the exponential kernel; by default lime's 0.75·√p.
        discretizer: ``"quartile"``, ``"decile"``, ``"entropy"`` (needs
            ``training_labels``), or ``None`` for numbers as they are.
        sample_around_instance: without a discretizer: draw numbers around the
            explained row instead of around the background's mean.
        training_labels: the class of each background row, for ``"entropy"``.
        standard_errors: also give the standard errors within one seed.

    Raises:
        InputError: an argument cannot be used.
    """
    options = LimeOptions(
        random_state=random_state,
        n_seeds=n_seeds,
        n_samples=n_samples,
        n_features=n_features,
        feature_selection=feature_selection,
        kernel_width=kernel_width,
        discretizer=discretizer,
        sample_around_instance=sample_around_instance,
        training_labels=training_labels,
    )
    if options.shared:
        return share(background, output, options, X).weights(
            X, standard_errors=standard_errors, progress=progress
        )
    if standard_errors:
        raise InputError(
            "standard_errors is True; expected False without a discretizer or with lasso_path"
        )
    return row_by_row(X, background, output=output, options=options, progress=progress)
