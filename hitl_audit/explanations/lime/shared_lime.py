"""LIME for many rows from one neighbourhood per seed.

With discretised features lime's neighbourhood does not depend on the explained
row. So with one seed all rows share it: it is drawn once, the model is asked
about it once, and each row costs a small weighted regression
(:mod:`~hitl_audit.explanations.lime.lime_surrogates`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.lime.lime_neighbourhood import (
    Discretizer,
    LimeTable,
    Neighbourhood,
    draw,
    lime_explainer,
    row_bins,
)
from hitl_audit.explanations.lime.lime_options import FeatureSelection, LimeOptions
from hitl_audit.explanations.lime.lime_runs import LimeWeights, as_weights, two_dimensional
from hitl_audit.explanations.lime.lime_surrogates import Selection, surrogates
from hitl_audit.explanations.raw_features import align

__all__ = ["Output", "SharedLime", "share", "shared_lime"]

FloatArray = npt.NDArray[np.float64]
Output = Callable[[pd.DataFrame], FloatArray]

_ROWS_PER_TICK = 256


@dataclass(frozen=True, eq=False)
class SharedLime:
    """Neighbourhoods drawn and predicted once, ready to explain any further row.

    Made by :func:`shared_lime`. Explaining a row asks the model about that row
    alone; the rest is linear algebra. What a row gets does not depend on the
    rows it is explained with.

    Attributes:
        output: the explained output, (n,) or (n, k) per raw table of n rows.
        neighbourhoods: one per seed.
        answers: the output for each neighbourhood, shape (s, k) each.
        options: how they were drawn and how rows are fitted.
        kernel: weight of a neighbour with 0, 1 … p mismatches.
        notes: in words.
        table: raw values as lime's numbers.
        explainer: the ``LimeTabularExplainer`` whose bins and kernel these are.
    """

    output: Output
    neighbourhoods: tuple[Neighbourhood, ...]
    answers: tuple[FloatArray, ...]
    options: LimeOptions
    kernel: FloatArray
    notes: tuple[str, ...]
    table: LimeTable
    explainer: Any

    def weights(
        self, X: pd.DataFrame, *, standard_errors: bool = False, progress: bool = False
    ) -> LimeWeights:
        """Explain each row of X; see :func:`lime_weights`.

        Values the background does not have (new categories, gaps in columns
        without gaps) match no neighbour.
        """
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        rows = X if _same_columns(X, self.table.background) else align(X, self.table.background)[0]
        predictions, plain = two_dimensional(self.output(rows), len(rows))
        bins = row_bins(self.explainer, self.table.encode(rows))
        (n, p), k, s = bins.shape, predictions.shape[1], len(self.neighbourhoods)
        coefficients = np.zeros((s, n, p, k))
        errors = np.zeros((s, n, p, k)) if standard_errors else None
        selected = np.zeros((s, n, p, k), dtype=bool)
        intercepts, scores = np.zeros((s, n, k)), np.zeros((s, n, k))
        with tqdm(total=s * n, desc="lime", disable=not progress) as bar:
            for i, neighbourhood in enumerate(self.neighbourhoods):
                for start in range(0, n, _ROWS_PER_TICK):
                    here = slice(start, start + _ROWS_PER_TICK)
                    found = surrogates(
                        neighbourhood.bins,
                        self.answers[i],
                        bins[here],
                        predictions[here],
                        self.kernel,
                        n_features=self.options.n_features,
                        selection=cast("Selection", self.options.feature_selection),
                        standard_errors=standard_errors,
                    )
                    coefficients[i, here], selected[i, here] = found.coefficients, found.selected
                    intercepts[i, here], scores[i, here] = found.intercepts, found.scores
                    if errors is not None:
                        errors[i, here] = found.errors
                    bar.update(len(found.scores))
        return as_weights(
            plain,
            coefficients=coefficients,
            intercepts=intercepts,
            scores=scores,
            selected=selected,
            errors=errors,
            row_values=np.ones((n, p)),
            predictions=predictions,
            notes=self.notes,
        )


def shared_lime(
    background: pd.DataFrame,
    *,
    output: Output,
    X: pd.DataFrame | None = None,
    random_state: int = 0,
    n_seeds: int = 5,
    n_samples: int = 5000,
    n_features: int | None = None,
    feature_selection: FeatureSelection = "auto",
    kernel_width: float | None = None,
    discretizer: Discretizer = "quartile",
    training_labels: Sequence[Any] | None = None,
) -> SharedLime:
    """Draw and predict the neighbourhoods of :func:`lime_weights` for later rows.

    Args:
        background: raw rows whose values are drawn.
        output: what is explained: per raw table of n rows (n,) or (n, k) numbers.
        X: rows that will be explained, as far as known: a numeric column in
            which they have gaps is binned, with *missing* as a bin.

    The other arguments are those of :func:`lime_weights`.

    Raises:
        InputError: an argument cannot be used; no discretizer or ``lasso_path``,
            for which no neighbourhood is shared.
    """
    options = LimeOptions(
        random_state=random_state,
        n_seeds=n_seeds,
        n_samples=n_samples,
        n_features=n_features,
        feature_selection=feature_selection,
        kernel_width=kernel_width,
        discretizer=discretizer,
        training_labels=training_labels,
    )
    return share(background, output, options, X)


def share(
    background: pd.DataFrame, output: Output, options: LimeOptions, X: pd.DataFrame | None = None
) -> SharedLime:
    """:func:`shared_lime` with its options in one value."""
    if not options.shared:
        raise InputError(
            f"discretizer is {options.discretizer!r} and feature_selection "
            f'"{options.feature_selection}"; a shared neighbourhood needs a discretizer, and no '
            '"lasso_path"'
        )
    options.check_labels(len(background))
    if X is not None:
        X, background = align(X, background)
    table = LimeTable(background, X)
    explainer = lime_explainer(
        table,
        discretizer=options.discretizer,
        training_labels=options.training_labels,
        kernel_width=options.kernel_width,
    )
    neighbourhoods = tuple(
        draw(explainer, table, n_samples=options.n_samples, seed=seed) for seed in options.seeds
    )
    p = len(table.columns)
    return SharedLime(
        output=output,
        neighbourhoods=neighbourhoods,
        answers=tuple(two_dimensional(output(h.rows), len(h.rows))[0] for h in neighbourhoods),
        options=options,
        kernel=np.asarray(explainer.base.kernel_fn(np.sqrt(np.arange(p + 1.0)))),
        notes=options.notes(table),
        table=table,
        explainer=explainer,
    )


def _same_columns(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether aligning would change nothing; it costs more than explaining one row."""
    return list(a.columns) == list(b.columns) and list(a.dtypes) == list(b.dtypes)
