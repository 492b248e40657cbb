"""What LIME draws around cases: raw tables as lime's numbers, and back.

``lime.lime_tabular`` works on numbers without gaps. Here is what stands for what:

- strings, categories, booleans, and numbers with at most two different values
  are lime's categorical features, as integer codes;
- a numeric column with missing values becomes one too: the quartile bins of
  its observed values, and *missing*. A drawn bin is turned back into an
  observed value of that bin, drawn with the same seed;
- other numeric columns are lime's own: in bins of its discretizer, or, without
  one, as they are.

A value that the table has never met (a new category, a third value, a gap in
a column without gaps) has the code −1: no drawn row shares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.explanations.raw_features import Coding, is_number

__all__ = [
    "Discretizer",
    "LimeTable",
    "Neighbourhood",
    "draw",
    "lime_explainer",
    "reseed",
    "row_bins",
]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Discretizer = Literal["quartile", "decile", "entropy"]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Rows drawn with one seed, without the explained case itself.

    Attributes:
        seed: what they were drawn with.
        bins: shape (p, s).
        rows: the same as raw rows; what the model is asked about.
    """

    seed: int
    bins: Codes
    rows: pd.DataFrame


class LimeTable:
    """Raw tables as lime's numbers, and back.

    Learnt from the background; ``X`` is asked only where it has gaps, new
    categories or a third value. ``background`` are the raw rows, ``columns``
    their names, ``bins`` the edges of the binned columns.
    """

    def __init__(self, background: pd.DataFrame, X: pd.DataFrame | None = None) -> None:
        tables = [background] if X is None else [background, X]
        self.bins: dict[Any, FloatArray] = {}
        self._observed: dict[Any, list[FloatArray]] = {}
        texts: list[Any] = []
        for name in background.columns:
            seen = pd.concat([t[name] for t in tables])
            if not is_number(seen):
                continue
            if seen.isna().any():
                self._bin(name, background[name])
            elif seen.nunique() <= 2:
                texts.append(name)
        self._few = {c: np.unique(np.concatenate([t[c] for t in tables])) for c in texts}
        self._coding = Coding.of(*tables)
        self.columns = self._coding.columns
        self.background = background

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
        """lime's numbers, shape (n, p); NaN only for gaps in columns that had none."""
        codes = self._coding.encode(frame)
        for j, name in enumerate(self.columns):
            if name in self.bins:
                missing = np.isnan(codes[:, j])
                codes[:, j] = np.searchsorted(self.bins[name], codes[:, j])
                codes[missing, j] = len(self.bins[name]) + 1
            elif name in self._few:
                values = self._few[name]
                place = np.minimum(np.searchsorted(values, codes[:, j]), len(values) - 1)
                codes[:, j] = np.where(values[place] == codes[:, j], place, -1)
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
                draws = np.random.default_rng([seed, j]).random(len(codes))
                for b, values in enumerate(self._observed[name]):
                    here = place == b
                    if here.any():
                        raw[here, j] = values[(draws[here] * len(values)).astype(np.intp)]
        return self._coding.decode(raw)


def lime_explainer(
    table: LimeTable,
    *,
    discretizer: Discretizer | None = "quartile",
    training_labels: Any = None,
    kernel_width: float | None = None,
    feature_selection: str = "auto",
    sample_around_instance: bool = False,
) -> Any:
    """The ``LimeTabularExplainer`` of a table; see :func:`reseed`."""
    from lime.lime_tabular import LimeTabularExplainer

    names = [str(c) for c in table.columns]
    numbers = table.encode(table.background)
    bins: Any = None
    if discretizer is not None:
        bins = _discretizer(discretizer)(
            numbers,
            table.categorical,
            names,
            labels=training_labels,
            random_state=np.random.RandomState(0),
        )
    return LimeTabularExplainer(
        numbers,
        mode="regression",
        feature_names=names,
        categorical_features=table.categorical,
        kernel_width=kernel_width,
        feature_selection=feature_selection,
        discretize_continuous=bins is not None,
        discretizer=bins,
        sample_around_instance=sample_around_instance,
        random_state=np.random.RandomState(0),
    )


def reseed(explainer: Any, seed: int) -> None:
    """Set all of lime's random states, or its numbers depend on the rows explained before."""
    state = np.random.RandomState(seed)
    explainer.random_state = state
    explainer.base.random_state = state
    if explainer.discretizer is not None:
        explainer.discretizer.random_state = state
        explainer.discretizer.seed = seed


def draw(explainer: Any, table: LimeTable, *, n_samples: int, seed: int) -> Neighbourhood:
    """The neighbourhood that ``explain_instance`` draws for any row after :func:`reseed`."""
    reseed(explainer, seed)
    p = len(table.columns)
    bins = np.empty((n_samples, p))
    for j in range(p):
        bins[:, j] = explainer.random_state.choice(
            explainer.feature_values[j], size=n_samples, p=explainer.feature_frequencies[j]
        )
    # lime replaces the first drawn row by the explained case.
    drawn = bins[1:]
    values = explainer.discretizer.undiscretize(drawn)
    codes = np.ascontiguousarray(drawn.T, dtype=np.int32)
    return Neighbourhood(seed, codes, table.decode(values, seed))


def row_bins(explainer: Any, encoded: FloatArray) -> Codes:
    """The bins of encoded rows, shape (n, p); −1 for a gap in a column without gaps."""
    unknown = np.isnan(encoded)
    bins = explainer.discretizer.discretize(np.where(unknown, 0, encoded))
    return np.where(unknown, -1, bins).astype(np.int32)


def _discretizer(kind: Discretizer) -> Any:
    from lime import discretize

    base: Any = {
        "quartile": discretize.QuartileDiscretizer,
        "decile": discretize.DecileDiscretizer,
        "entropy": discretize.EntropyDiscretizer,
    }[kind]

    class PointBins(base):  # type: ignore[misc]
        """lime's bins; a bin of one value gives that value (lime's own gives 0)."""

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

    return PointBins
