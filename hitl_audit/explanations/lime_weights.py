"""LIME weights of raw features, with their spread over seeds.

``lime.lime_tabular`` works on numbers without gaps. Here is what stands for what:

- strings, categories, booleans, and numbers with at most two different values
  are lime's categorical features, as integer codes;
- a numeric column with missing values becomes one too: the quartile bins of
  its observed values, and *missing*. A drawn bin is turned back into an
  observed value of that bin, drawn with the same seed;
- other numeric columns are lime's own, in quartile bins.

With quartile bins lime's neighbourhood does not depend on the explained row,
so with one seed all rows share it, and the model is asked about it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.raw_features import Coding, is_number

__all__ = ["LimeWeights", "lime_weights"]

FloatArray = npt.NDArray[np.float64]

MISSING_NOTE = (
    "columns with missing numbers ({}) are explained as quartile bins and “missing”; a bin is "
    "filled with observed values"
)


@dataclass(frozen=True, eq=False)
class LimeWeights:
    """Per seed and row (s, n): surrogates of n rows and p features.

    Attributes:
        coefficients: shape (s, n, p).
        intercepts: shape (s, n).
        scores: weighted R² of each surrogate, shape (s, n).
        predictions: of the original model, shape (n,).
        notes: in words.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    scores: FloatArray
    predictions: FloatArray
    notes: tuple[str, ...]


def lime_weights(
    X: pd.DataFrame,
    *,
    output: ModelOutput,
    background: pd.DataFrame,
    random_state: int = 0,
    n_seeds: int = 5,
    n_samples: int = 5000,
    progress: bool = False,
) -> LimeWeights:
    """LIME for each row of X with seeds random_state … random_state + n_seeds − 1.

    All p features are kept; the kernel width is lime's 0.75·√p. The result of
    a row depends on the seed, the background and the row, not on the other
    rows, unless these bring gaps or a third value to a column that has none in
    the background.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    table = _LimeTable(X, background)
    rows = table.encode(X)
    predictions = output(X)
    n, p = rows.shape
    coefficients = np.zeros((n_seeds, n, p))
    intercepts, scores = np.zeros((n_seeds, n)), np.zeros((n_seeds, n))
    explainer = _explainer(table, output.words)
    with tqdm(total=n_seeds * n, desc="lime", disable=not progress) as bar:
        for s in range(n_seeds):
            seed = random_state + s
            ask = _SharedPredictions(output, table, seed)
            for i in range(n):
                # All three, and before each row, or the numbers depend on the rows before it.
                state = np.random.RandomState(seed)
                explainer.random_state = state
                explainer.base.random_state = state
                explainer.discretizer.random_state = state
                explainer.discretizer.seed = seed
                found = explainer.explain_instance(
                    rows[i],
                    partial(ask, prediction=predictions[i]),
                    num_features=p,
                    num_samples=n_samples,
                )
                for j, weight in found.local_exp[1]:
                    coefficients[s, i, j] = weight
                intercepts[s, i], scores[s, i] = found.intercept[1], found.score
                bar.update()
    notes = [
        f"mean of {n_seeds} seeds with {n_samples} samples each; kernel width 0.75·√{p}",
    ]
    if table.bins:
        notes.append(MISSING_NOTE.format(", ".join(map(str, table.bins))))
    return LimeWeights(coefficients, intercepts, scores, predictions, tuple(notes))


class _SharedPredictions:
    """The model's answers for one seed's neighbourhood, asked for once.

    The first row of lime's matrix is the explained case, whose prediction is known.
    """

    def __init__(self, output: ModelOutput, table: _LimeTable, seed: int) -> None:
        self._output, self._table, self._seed = output, table, seed
        self._codes: FloatArray | None = None
        self._answers = np.zeros(0)

    def __call__(self, codes: FloatArray, prediction: float) -> FloatArray:
        if self._codes is None or not np.array_equal(self._codes, codes[1:]):
            self._codes = codes[1:].copy()
            self._answers = self._output(self._table.decode(self._codes, self._seed))
        return np.concatenate([[prediction], self._answers])


class _LimeTable:
    """Raw tables as lime's numbers, and back."""

    def __init__(self, X: pd.DataFrame, background: pd.DataFrame) -> None:
        self.bins: dict[Any, FloatArray] = {}
        self._observed: dict[Any, list[FloatArray]] = {}
        texts: list[Any] = []
        for name in X.columns:
            both = pd.concat([background[name], X[name]])
            if not is_number(both):
                continue
            if both.isna().any():
                self._bin(name, background[name])
            elif both.nunique() <= 2:
                texts.append(name)
        self._few = {c: np.unique(np.concatenate([background[c], X[c]])) for c in texts}
        self._coding = Coding.of(background, X)
        self.columns = self._coding.columns
        self.background = self.encode(background)

    def _bin(self, name: Any, column: pd.Series) -> None:
        observed = np.sort(column.dropna().to_numpy(dtype=np.float64))
        edges = np.unique(np.percentile(observed, [25, 50, 75])) if len(observed) else np.zeros(0)
        self.bins[name] = edges
        place = np.searchsorted(edges, observed)
        self._observed[name] = [observed[place == b] for b in range(len(edges) + 1)]

    @property
    def categorical(self) -> list[int]:
        """Positions of lime's categorical features."""
        return [
            j
            for j, c in enumerate(self.columns)
            if c in self._coding.values or c in self.bins or c in self._few
        ]

    def encode(self, frame: pd.DataFrame) -> FloatArray:
        codes = self._coding.encode(frame)
        for j, name in enumerate(self.columns):
            if name in self.bins:
                missing = np.isnan(codes[:, j])
                codes[:, j] = np.searchsorted(self.bins[name], codes[:, j])
                codes[missing, j] = len(self.bins[name]) + 1
            elif name in self._few:
                codes[:, j] = np.searchsorted(self._few[name], codes[:, j])
        return codes

    def decode(self, codes: FloatArray, seed: int) -> pd.DataFrame:
        """Raw rows; bins are filled with observed values drawn with the seed."""
        raw = codes.copy()
        for j, name in enumerate(self.columns):
            place = codes[:, j]
            if name in self._few:
                raw[:, j] = self._few[name][place.astype(np.intp)]
            elif name in self.bins:
                raw[:, j] = np.nan
                draw = np.random.default_rng([seed, j]).random(len(codes))
                for b, values in enumerate(self._observed[name]):
                    here = place == b
                    if here.any():
                        raw[here, j] = values[(draw[here] * len(values)).astype(np.intp)]
        return self._coding.decode(raw)


def _explainer(table: _LimeTable, class_name: str) -> Any:
    from lime.discretize import QuartileDiscretizer
    from lime.lime_tabular import LimeTabularExplainer

    class Quartiles(QuartileDiscretizer):  # type: ignore[misc]
        """lime's quartiles; a bin of one value gives that value (lime's own gives 0)."""

        seed = -1
        _made: tuple[int, FloatArray, FloatArray] | None = None

        def undiscretize(self, data: FloatArray) -> FloatArray:
            # With one seed every row draws the same bins and fills them alike: fill them once.
            if (
                self._made is None
                or self._made[0] != self.seed
                or not np.array_equal(self._made[1], data)
            ):
                self._made = (self.seed, data.copy(), super().undiscretize(data))
            return self._made[2]

        def get_undiscretize_values(self, feature: int, values: npt.NDArray[Any]) -> Any:
            low = np.array(self.mins[feature])[values]
            high = np.array(self.maxs[feature])[values]
            drawn = super().get_undiscretize_values(feature, values)
            return np.where(low == high, low, drawn)

    names = [str(c) for c in table.columns]
    return LimeTabularExplainer(
        table.background,
        mode="regression",
        feature_names=names,
        categorical_features=table.categorical,
        feature_selection="none",  # all p features are kept
        discretizer=Quartiles(
            table.background, table.categorical, names, random_state=np.random.RandomState(0)
        ),
        random_state=np.random.RandomState(0),
        class_names=[class_name],
    )
