"""What LIME's runs found: coefficients per seed, and how far they differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError

__all__ = ["LimeWeights", "as_weights", "two_dimensional"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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

    def select(self, places: npt.NDArray[np.intp]) -> LimeWeights:
        """The same of the rows at these places."""
        return replace(
            self,
            coefficients=self.coefficients[:, places],
            intercepts=self.intercepts[:, places],
            scores=self.scores[:, places],
            selected=self.selected[:, places],
            errors=None if self.errors is None else self.errors[:, places],
            row_values=self.row_values[places],
            predictions=self.predictions[places],
        )

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


def as_weights(plain: bool, **arrays: Any) -> LimeWeights:
    """Drop the axis of outputs if there is one plain output."""
    if plain:
        for name in ("coefficients", "intercepts", "scores", "selected", "errors", "predictions"):
            if arrays[name] is not None:
                arrays[name] = arrays[name][..., 0]
    return LimeWeights(**arrays)


def two_dimensional(answers: Any, rows: int) -> tuple[FloatArray, bool]:
    """Answers of shape (rows, k), and whether they came as (rows,)."""
    found = np.asarray(answers, dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != rows:
        raise InputError(
            f"output returned an array of shape {found.shape} for {rows} rows; expected ({rows},) "
            f"or ({rows}, k)"
        )
    return found.reshape(rows, -1), found.ndim == 1
