"""The type of explained interactions: what pairs of raw features do together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import Digest
from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import Scale, output_words
from hitl_audit.explanations.views.asking import notes_html

__all__ = ["InteractionValues"]

FloatArray = npt.NDArray[np.float64]

TOP = 10


@dataclass(frozen=True, eq=False, repr=False)
class InteractionValues:
    """SHAP interaction values of one output of one model on one scale, in raw features.

    Arrays are read-only. n rows, p raw features.

    Attributes:
        values: (n, p, p), symmetric. Off the diagonal, half of what the two
            features do together beyond what each does alone; on it, what is left
            of a feature's own. Each line of a matrix sums to the feature's SHAP
            value, the whole matrix to prediction - base value.
        base_values: (n,) the mean output over the background (path-dependent:
            over the training rows).
        data: the explained rows, raw values; its index names the cases.
        algorithm: ``"exact"`` or ``"tree-path-dependent"``.
        exact: the values are the Shapley interaction values of raw features in
            the game that ``algorithm`` names, up to rounding; if not, ``notes``
            says what they are.
        scale: ``"probability"``, ``"log-odds"`` or ``"value"``.
        output: the explained class label, or the position of one of several
            values; ``None`` for a plain value.
        predictions: the original model's output on that scale, (n,).
        resolution: how far each prediction may lie from the exact one by the
            model's own rounding, (n,).
        background_digest, background_size: the rows that stand for "feature
            unknown"; ``None`` and 0 where these are the training rows in the leaves.
        random_state: the seed.
        seconds: time it took.
        notes: what a reader must know about these numbers, in words.
    """

    values: FloatArray
    base_values: FloatArray
    data: pd.DataFrame
    algorithm: str
    exact: bool
    scale: Scale
    output: Any
    predictions: FloatArray
    resolution: FloatArray
    background_digest: Digest | None
    background_size: int
    random_state: int
    seconds: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("values", "base_values", "predictions", "resolution"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "data", self.data.copy())

    @property
    def method(self) -> str:
        """``"shap"``: Shapley values are what these refine."""
        return "shap"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The p raw features, in the order of ``values``."""
        return tuple(str(c) for c in self.data.columns)

    @property
    def index(self) -> pd.Index:
        """The cases."""
        return self.data.index

    @property
    def output_words(self) -> str:
        """What is explained, for labels: ``probability of 1``."""
        return output_words(self.scale, self.output)

    @property
    def residual(self) -> FloatArray:
        """Prediction − base value − sum of the matrix, (n,)."""
        residual: FloatArray = self.predictions - self.base_values - self.values.sum(axis=(1, 2))
        residual.setflags(write=False)
        return residual

    @property
    def attributions(self) -> FloatArray:
        """The SHAP values that the interactions refine, (n, p)."""
        attributions: FloatArray = self.values.sum(axis=2)
        attributions.setflags(write=False)
        return attributions

    def of(self, row: Hashable) -> pd.DataFrame:
        """The matrix of one case, p lines × p columns, by its label in the index.

        Raises:
            InputError: no such case, or several.
        """
        names = list(self.feature_names)
        return pd.DataFrame(
            self.values[self._position(row)], index=pd.Index(names, name="feature"), columns=names
        )

    def frame(self) -> pd.DataFrame:
        """Per pair: feature, with, mean_absolute, mean, n; the strongest first.

        Both entries of a pair are added: what the two do together beyond what
        each does alone. The strongest are those of the largest mean size over the rows.
        """
        i, j = np.triu_indices(len(self.feature_names), k=1)
        both = 2 * self.values[:, i, j]
        pairs = pd.DataFrame(
            {
                "feature": [self.feature_names[a] for a in i],
                "with": [self.feature_names[b] for b in j],
                "mean_absolute": np.abs(both).mean(axis=0),
                "mean": both.mean(axis=0),
                "n": len(both),
            }
        )
        return pairs.sort_values("mean_absolute", ascending=False, kind="stable", ignore_index=True)

    def chart(self, row: Hashable | None = None) -> Chart:
        """Bars of the ten strongest pairs: their mean size, or their signed values in one case.

        Args:
            row: the case, by its label in the index; by default all.

        Raises:
            InputError: no such case, or several; or one feature, which has no pair.
        """
        table = self.frame()
        if table.empty:
            raise InputError(
                f"X has the single feature {self.feature_names[0]}; expected at least two for pairs"
            )
        if row is None:
            sizes, cases = table["mean_absolute"], f"{len(self.values):,} cases"
            label = "mean |SHAP interaction|"
        else:
            at = {name: k for k, name in enumerate(self.feature_names)}
            matrix = self.values[self._position(row)]
            sizes = pd.Series(
                [
                    2 * float(matrix[at[a], at[b]])
                    for a, b in zip(table["feature"], table["with"], strict=True)
                ]
            )
            cases, label = f"case {row}", "SHAP interaction"
        order = np.argsort(-np.abs(sizes.to_numpy()), kind="stable")[:TOP]
        chosen = table.iloc[order]
        names = [f"{a} × {b}" for a, b in zip(chosen["feature"], chosen["with"], strict=True)]
        values = [float(v) for v in sizes.iloc[order]]
        left_out = len(table) - len(order)
        rest = f"; {left_out:,} weaker pairs are left out" if left_out else ""
        message = (
            f"What moves the model's {self.output_words} together, beyond what each does alone: "
            f"{names[0]} most ({cases}){rest}"
            if any(values)
            else f"No two features move the model's {self.output_words} together ({cases})"
        )
        numbers = ", ".join(f"{n} {v:+.3g}" for n, v in zip(names, values, strict=True))
        return Chart(
            "bars",
            message,
            f"{message}. {numbers}.",
            f"{label} ({self.output_words})",
            (Series("SHAP interaction", tuple(names), tuple(values)),),
        )

    def plot(self, row: Hashable | None = None) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(row))

    def _position(self, row: Hashable) -> int:
        places = np.flatnonzero(self.index == row)
        if len(places) != 1:
            found = "no case" if len(places) == 0 else f"{len(places)} cases"
            raise InputError(
                f"row is {row!r}: {found} of that name; expected one label of the index"
            )
        return int(places[0])

    def __repr__(self) -> str:
        n, p, _ = self.values.shape
        behind = (
            f"background {self.background_size} rows"
            if self.background_size
            else "background the training rows in the leaves"
        )
        return (
            f"<InteractionValues {self.algorithm}: {n} rows × {p} × {p} features, "
            f"{self.output_words}, {behind}>"
        )

    def _repr_html_(self) -> str:
        return notes_html(self, self.frame().head(TOP), self.notes)
