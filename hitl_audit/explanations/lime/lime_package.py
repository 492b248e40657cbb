"""LIME row by row through the ``lime`` package, where rows share no fast neighbourhood.

That is without bins (numbers as they are, drawn around their mean or around
the row) and for ``lasso_path``. Neighbourhoods that happen to repeat are
predicted once.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.lime.lime_neighbourhood import LimeTable, lime_explainer, reseed
from hitl_audit.explanations.lime.lime_options import LimeOptions
from hitl_audit.explanations.lime.lime_runs import LimeWeights, as_weights, two_dimensional
from hitl_audit.explanations.lime.shared_lime import Output
from hitl_audit.explanations.raw_features import align

__all__ = ["row_by_row"]

FloatArray = npt.NDArray[np.float64]

PER_SD_NOTE = (
    "without bins the weight of a number is per standard deviation: it is multiplied by the "
    "case's value before it counts"
)


def row_by_row(
    X: pd.DataFrame,
    background: pd.DataFrame,
    *,
    output: Output,
    options: LimeOptions,
    progress: bool,
) -> LimeWeights:
    """LIME for each row of X, as ``lime_weights``."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    options.check_labels(len(background))
    X, background = align(X, background)
    table = LimeTable(background, X)
    rows = table.encode(X)
    predictions, plain = two_dimensional(output(X), len(X))
    (n, p), k = rows.shape, predictions.shape[1]
    explainer = lime_explainer(
        table,
        discretizer=options.discretizer,
        training_labels=options.training_labels,
        kernel_width=options.kernel_width,
        feature_selection="none" if options.n_features is None else options.feature_selection,
        sample_around_instance=options.sample_around_instance,
    )
    n_seeds = options.n_seeds
    coefficients = np.zeros((n_seeds, n, p, k))
    selected = np.zeros((n_seeds, n, p, k), dtype=bool)
    intercepts, scores = np.zeros((n_seeds, n, k)), np.zeros((n_seeds, n, k))
    with tqdm(total=n_seeds * n, desc="lime", disable=not progress) as bar:
        for s, seed in enumerate(options.seeds):
            ask = _SharedPredictions(output, table, seed)
            for i in range(n):
                for which in range(k):
                    reseed(explainer, seed)
                    found = explainer.explain_instance(
                        rows[i],
                        partial(ask, prediction=predictions[i], which=which),
                        num_features=p if options.n_features is None else options.n_features,
                        num_samples=options.n_samples,
                    )
                    for j, weight in found.local_exp[1]:
                        coefficients[s, i, j, which] = weight
                        selected[s, i, j, which] = True
                    intercepts[s, i, which] = found.intercept[1]
                    scores[s, i, which] = found.score
                bar.update()
    notes = options.notes(table)
    row_values = np.ones((n, p))
    if options.discretizer is None:
        notes = (*notes, PER_SD_NOTE)
        numbers = np.setdiff1d(np.arange(p), table.categorical)
        scaled = (rows - explainer.scaler.mean_) / explainer.scaler.scale_
        row_values[:, numbers] = scaled[:, numbers]
    return as_weights(
        plain,
        coefficients=coefficients,
        intercepts=intercepts,
        scores=scores,
        selected=selected,
        errors=None,
        row_values=row_values,
        predictions=predictions,
        notes=notes,
    )


class _SharedPredictions:
    """The model's answers for the last neighbourhood, asked for once.

    The first row of lime's matrix is the explained case, whose prediction is known.
    """

    def __init__(self, output: Output, table: LimeTable, seed: int) -> None:
        self._output, self._table, self._seed = output, table, seed
        self._codes: FloatArray | None = None
        self._answers = np.zeros((0, 0))

    def __call__(self, codes: FloatArray, prediction: FloatArray, which: int) -> FloatArray:
        if self._codes is None or not np.array_equal(self._codes, codes[1:]):
            self._codes = codes[1:].copy()
            raw = self._table.decode(self._codes, self._seed)
            self._answers, _ = two_dimensional(self._output(raw), len(raw))
        return np.concatenate([prediction[[which]], self._answers[:, which]])
