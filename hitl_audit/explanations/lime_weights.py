"""LIME weights of raw features, with their spread over seeds.

With discretised features lime's neighbourhood does not depend on the explained
row. So with one seed all rows share it: it is drawn once, the model is asked
about it once, and each row costs a small weighted regression
(:mod:`~hitl_audit.explanations.lime_surrogates`). Coefficients, intercepts,
scores and chosen features are those of ``lime.lime_tabular`` reseeded before
each row. Without a discretizer, or with ``lasso_path``, the ``lime`` package
explains row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.lime_neighbourhood import (
    Discretizer,
    LimeTable,
    Neighbourhood,
    draw,
    lime_explainer,
    reseed,
    row_bins,
)
from hitl_audit.explanations.lime_surrogates import surrogates
from hitl_audit.explanations.raw_features import align

__all__ = ["FeatureSelection", "LimeWeights", "SharedLime", "lime_weights", "shared_lime"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Output = Callable[[pd.DataFrame], FloatArray]
FeatureSelection = Literal["auto", "forward_selection", "highest_weights", "lasso_path", "none"]

MISSING_NOTE = (
    "columns with missing numbers ({}) are explained as quartile bins and “missing”; a bin is "
    "filled with observed values"
)
PER_SD_NOTE = (
    "without bins the weight of a number is per standard deviation: it is multiplied by the "
    "case's value before it counts"
)


@dataclass(frozen=True, eq=False)
class LimeWeights:
    """Per seed and row (s, n): surrogates of n rows and p features.

    If the output has k values per row, every array but ``row_values`` has k
    as its last axis. Arrays are read-only.

    Attributes:
        coefficients: shape (s, n, p); 0 where a surrogate does not use the feature.
        intercepts: shape (s, n).
        scores: weighted R² of each surrogate, shape (s, n); 1 where the output
            is constant.
        selected: the features that each surrogate uses, shape (s, n, p).
        errors: standard errors of the coefficients within one seed, shape
            (s, n, p), if they were asked for (lime itself has none).
        row_values: what the coefficients of each row are multiplied by, shape
            (n, p): 1 for a bin or a category, standardised numbers without bins.
        predictions: of the original model, shape (n,).
        notes: in words.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    scores: FloatArray
    selected: BoolArray
    errors: FloatArray | None
    row_values: FloatArray
    predictions: FloatArray
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def contributions(self) -> FloatArray:
        """Coefficients × ``row_values``: with the intercept they sum to the local prediction."""
        values = self.row_values
        if self.coefficients.ndim == 4:
            values = values[:, :, np.newaxis]
        return np.asarray(self.coefficients * values)

    @property
    def mean(self) -> FloatArray:
        """Coefficients, mean over seeds, shape (n, p)."""
        return np.asarray(self.coefficients.mean(axis=0))

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of a coefficient from seed to seed, shape (n, p)."""
        return np.asarray(self.coefficients.std(axis=0, ddof=1))

    @property
    def standard_error(self) -> FloatArray:
        """Standard error of :attr:`mean` over seeds, spread / √s, shape (n, p)."""
        return np.asarray(self.spread / np.sqrt(len(self.coefficients)))

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Student's t interval of :attr:`mean` over seeds, s − 1 degrees of freedom.

        It covers the random neighbourhoods, not the choice of kernel width or
        bins, and says nothing of how well the surrogate fits.

        Raises:
            InputError: confidence is not between 0 and 1.
        """
        from scipy.stats import t

        if not 0 < confidence < 1:
            raise InputError(f"confidence is {confidence}; expected a number between 0 and 1")
        half = t.ppf((1 + confidence) / 2, len(self.coefficients) - 1) * self.standard_error
        return self.mean - half, self.mean + half


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
        n_features: features kept; ``None`` for all.
        feature_selection: how they are chosen.
        kernel: weight of a neighbour with 0, 1 … p mismatches.
        notes: in words.
        table: raw values as lime's numbers.
        explainer: the ``LimeTabularExplainer`` whose bins and kernel these are.
    """

    output: Output
    neighbourhoods: tuple[Neighbourhood, ...]
    answers: tuple[FloatArray, ...]
    n_features: int | None
    feature_selection: FeatureSelection
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

        rows = align(X, self.table.background)[0]
        predictions, plain = _two_dimensional(self.output(rows), len(rows))
        bins = row_bins(self.explainer, self.table.encode(rows))
        (n, p), k, s = bins.shape, predictions.shape[1], len(self.neighbourhoods)
        coefficients, errors = np.zeros((s, n, p, k)), np.zeros((s, n, p, k))
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
                        n_features=self.n_features,
                        selection=_in_bins(self.feature_selection),
                        standard_errors=standard_errors,
                    )
                    coefficients[i, here], selected[i, here] = found.coefficients, found.selected
                    intercepts[i, here], scores[i, here] = found.intercepts, found.scores
                    if found.errors is not None:
                        errors[i, here] = found.errors
                    bar.update(len(found.scores))
        return _weights(
            plain,
            coefficients=coefficients,
            intercepts=intercepts,
            scores=scores,
            selected=selected,
            errors=errors if standard_errors else None,
            row_values=np.ones((n, p)),
            predictions=predictions,
            notes=self.notes,
        )


_ROWS_PER_TICK = 256


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
    _check_options(
        len(background),
        n_seeds,
        n_samples,
        n_features,
        feature_selection,
        kernel_width,
        discretizer,
        training_labels,
        sample_around_instance=False,
    )
    if discretizer is None or feature_selection == "lasso_path":
        raise InputError(
            f'discretizer is {discretizer!r} and feature_selection "{feature_selection}"; a shared '
            'neighbourhood needs a discretizer, and no "lasso_path"'
        )
    if X is not None:
        X, background = align(X, background)
    table = LimeTable(background, X)
    explainer = lime_explainer(
        table, discretizer=discretizer, training_labels=training_labels, kernel_width=kernel_width
    )
    neighbourhoods = tuple(
        draw(explainer, table, n_samples=n_samples, seed=random_state + s) for s in range(n_seeds)
    )
    p = len(table.columns)
    return SharedLime(
        output=output,
        neighbourhoods=neighbourhoods,
        answers=tuple(_two_dimensional(output(h.rows), len(h.rows))[0] for h in neighbourhoods),
        n_features=n_features,
        feature_selection=feature_selection,
        kernel=np.asarray(explainer.base.kernel_fn(np.sqrt(np.arange(p + 1.0)))),
        notes=_notes(table, n_seeds, n_samples, n_features, feature_selection, kernel_width),
        table=table,
        explainer=explainer,
    )


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
    _check_options(
        len(background),
        n_seeds,
        n_samples,
        n_features,
        feature_selection,
        kernel_width,
        discretizer,
        training_labels,
        sample_around_instance=sample_around_instance,
    )
    common: dict[str, Any] = {
        "output": output,
        "random_state": random_state,
        "n_seeds": n_seeds,
        "n_samples": n_samples,
        "n_features": n_features,
        "feature_selection": feature_selection,
        "kernel_width": kernel_width,
        "training_labels": training_labels,
    }
    if discretizer is not None and feature_selection != "lasso_path":
        shared = shared_lime(background, X=X, discretizer=discretizer, **common)
        return shared.weights(X, standard_errors=standard_errors, progress=progress)
    if standard_errors:
        raise InputError(
            "standard_errors is True; expected False without a discretizer or with lasso_path"
        )
    X, background = align(X, background)
    return _row_by_row(
        X,
        background,
        discretizer=discretizer,
        sample_around_instance=sample_around_instance,
        progress=progress,
        **common,
    )


def _row_by_row(
    X: pd.DataFrame,
    background: pd.DataFrame,
    *,
    output: Output,
    random_state: int,
    n_seeds: int,
    n_samples: int,
    n_features: int | None,
    feature_selection: FeatureSelection,
    kernel_width: float | None,
    discretizer: Discretizer | None,
    sample_around_instance: bool,
    training_labels: Sequence[Any] | None,
    progress: bool,
) -> LimeWeights:
    """Through the ``lime`` package itself."""
    from tqdm.auto import tqdm

    table = LimeTable(background, X)
    rows = table.encode(X)
    predictions, plain = _two_dimensional(output(X), len(X))
    (n, p), k = rows.shape, predictions.shape[1]
    explainer = lime_explainer(
        table,
        discretizer=discretizer,
        training_labels=training_labels,
        kernel_width=kernel_width,
        feature_selection="none" if n_features is None else feature_selection,
        sample_around_instance=sample_around_instance,
    )
    coefficients = np.zeros((n_seeds, n, p, k))
    selected = np.zeros((n_seeds, n, p, k), dtype=bool)
    intercepts, scores = np.zeros((n_seeds, n, k)), np.zeros((n_seeds, n, k))
    with tqdm(total=n_seeds * n, desc="lime", disable=not progress) as bar:
        for s in range(n_seeds):
            ask = _SharedPredictions(output, table, random_state + s)
            for i in range(n):
                for which in range(k):
                    reseed(explainer, random_state + s)
                    found = explainer.explain_instance(
                        rows[i],
                        partial(ask, prediction=predictions[i], which=which),
                        num_features=p if n_features is None else n_features,
                        num_samples=n_samples,
                    )
                    for j, weight in found.local_exp[1]:
                        coefficients[s, i, j, which] = weight
                        selected[s, i, j, which] = True
                    intercepts[s, i, which] = found.intercept[1]
                    scores[s, i, which] = found.score
                bar.update()
    notes = _notes(table, n_seeds, n_samples, n_features, feature_selection, kernel_width)
    row_values = np.ones((n, p))
    if discretizer is None:
        notes = (*notes, PER_SD_NOTE)
        numbers = np.setdiff1d(np.arange(p), table.categorical)
        scaled = (rows - explainer.scaler.mean_) / explainer.scaler.scale_
        row_values[:, numbers] = scaled[:, numbers]
    return _weights(
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
            self._answers, _ = _two_dimensional(self._output(raw), len(raw))
        return np.concatenate([prediction[[which]], self._answers[:, which]])


def _two_dimensional(answers: Any, rows: int) -> tuple[FloatArray, bool]:
    """Answers of shape (rows, k), and whether they came as (rows,)."""
    found = np.asarray(answers, dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != rows:
        raise InputError(
            f"output returned an array of shape {found.shape} for {rows} rows; expected ({rows},) "
            f"or ({rows}, k)"
        )
    return found.reshape(rows, -1), found.ndim == 1


def _weights(plain: bool, **arrays: Any) -> LimeWeights:
    """Drop the axis of outputs if there is one plain output."""
    if plain:
        for name in ("coefficients", "intercepts", "scores", "selected", "errors", "predictions"):
            if arrays[name] is not None:
                arrays[name] = arrays[name][..., 0]
    return LimeWeights(**arrays)


def _in_bins(
    selection: FeatureSelection,
) -> Literal["auto", "forward_selection", "highest_weights", "none"]:
    if selection == "lasso_path":
        raise InputError('feature_selection is "lasso_path", which shares no neighbourhood')
    return selection


def _notes(
    table: LimeTable,
    n_seeds: int,
    n_samples: int,
    n_features: int | None,
    feature_selection: FeatureSelection,
    kernel_width: float | None,
) -> tuple[str, ...]:
    width = f"0.75·√{len(table.columns)}" if kernel_width is None else f"{kernel_width:g}"
    notes = [f"mean of {n_seeds} seeds with {n_samples} samples each; kernel width {width}"]
    if n_features is not None and feature_selection != "none":
        notes.append(
            f"each seed keeps up to {n_features} features ({feature_selection}); a feature that is "
            "not kept counts as 0 in the mean and the spread"
        )
    if table.bins:
        notes.append(MISSING_NOTE.format(", ".join(map(str, table.bins))))
    return tuple(notes)


def _check_options(
    n_background: int,
    n_seeds: int,
    n_samples: int,
    n_features: int | None,
    feature_selection: str,
    kernel_width: float | None,
    discretizer: str | None,
    training_labels: Sequence[Any] | None,
    *,
    sample_around_instance: bool,
) -> None:
    for label, number, least in (
        ("n_seeds", n_seeds, 2),
        ("n_samples", n_samples, 2),
        ("n_features", 1 if n_features is None else n_features, 1),
    ):
        if not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"{label} is {number!r}; expected an integer of at least {least}")
    if kernel_width is not None and not (np.isfinite(kernel_width) and kernel_width > 0):
        raise InputError(f"kernel_width is {kernel_width}; expected a number above 0")
    for label, value, accepted in (
        ("feature_selection", feature_selection, get_args(FeatureSelection)),
        ("discretizer", discretizer, (*get_args(Discretizer), None)),
    ):
        if value not in accepted:
            names = [a for a in accepted if a is not None]
            raise InputError(
                f'{label} is "{value}"; accepted: {", ".join(map(str, accepted))}'
                f"{did_you_mean(str(value), names)}"
            )
    if sample_around_instance and discretizer is not None:
        raise InputError(
            f'sample_around_instance is True with discretizer "{discretizer}"; bins are drawn '
            "alike for every row, so it needs discretizer=None"
        )
    if discretizer == "entropy":
        found = "None" if training_labels is None else f"{len(training_labels)} values"
        if training_labels is None or len(training_labels) != n_background:
            raise InputError(
                f'training_labels is {found} with discretizer "entropy"; expected the class of '
                f"each of the {n_background} background rows"
            )
