"""The type of an explanation: what each raw feature contributed, to what, and how it was found."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import Digest
from hitl_audit.charts import Chart, Series
from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import Scale

__all__ = ["BOOTSTRAP", "Explanation", "bootstrap_means"]

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
BOOTSTRAP = f"percentile bootstrap over rows, {RESAMPLES} resamples"
TOP = 10


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Attributions of one output of one model on one scale, by one method.

    Arrays are read-only. n rows, p raw features.

    Attributes:
        values: attributions, shape (n, p). SHAP: they sum to prediction − base
            value. LIME: coefficients of the local surrogate, mean over seeds.
        base_values: shape (n,). SHAP: the mean output over the background
            (path-dependent: over the training rows). LIME: the intercept.
        data: the explained rows, raw values; its index names the cases.
        feature_names: the p raw features.
        method: ``"shap"`` or ``"lime"``.
        algorithm: how the values were computed, for example ``"tree-interventional"``.
        exact: the values are the Shapley values of raw features on this scale,
            up to rounding; if not, ``notes`` says what they are.
        scale: ``"probability"``, ``"log-odds"`` or ``"value"``.
        output: the explained class label; ``None`` for a plain value.
        predictions: the original model's output on that scale, shape (n,).
        background_digest, background_size: the rows that stand for "feature unknown".
        random_state: the seed.
        seconds: time it took.
        notes: what a reader must know about these numbers, in words.
        spread: LIME: standard deviation of ``values`` over seeds, shape (n, p).
        score: LIME: weighted R² of the surrogate, mean over seeds, shape (n,).
        n_seeds: LIME: number of seeds.
    """

    values: FloatArray
    base_values: FloatArray
    data: pd.DataFrame
    method: Literal["shap", "lime"]
    algorithm: str
    exact: bool
    scale: Scale
    output: Any
    predictions: FloatArray
    background_digest: Digest
    background_size: int
    random_state: int
    seconds: float
    notes: tuple[str, ...] = ()
    spread: FloatArray | None = None
    score: FloatArray | None = None
    n_seeds: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = np.array(value, dtype=np.float64)
                value.setflags(write=False)
                object.__setattr__(self, field.name, value)
        object.__setattr__(self, "data", self.data.copy())

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The raw features, in the order of ``values``."""
        return tuple(str(c) for c in self.data.columns)

    @property
    def index(self) -> pd.Index:
        """The cases."""
        return self.data.index

    @property
    def residual(self) -> FloatArray:
        """Prediction − base value − sum of attributions, shape (n,).

        SHAP: what additivity leaves over. LIME: the surrogate's error at the
        case itself (prediction − local prediction).
        """
        residual: FloatArray = self.predictions - self.local_prediction
        residual.setflags(write=False)
        return residual

    @property
    def local_prediction(self) -> FloatArray:
        """Base value + sum of attributions, shape (n,)."""
        return np.asarray(self.base_values + self.values.sum(axis=1))

    @property
    def output_words(self) -> str:
        """What is explained, for labels: ``probability of 1``."""
        return "value" if self.scale == "value" else f"{self.scale} of {self.output}"

    def to_shap(self) -> Any:
        """The same as a ``shap.Explanation``, for ``shap.plots``.

        Its ``data`` holds numbers (codes for categories), its ``display_data``
        the raw values.
        """
        from hitl_audit.explanations.raw_features import Coding
        from hitl_audit.explanations.shap_values import import_shap

        return import_shap().Explanation(
            values=np.array(self.values),
            base_values=np.array(self.base_values),
            data=Coding.of(self.data).encode(self.data),
            display_data=self.data.to_numpy(dtype=object),
            feature_names=list(self.feature_names),
        )

    def frame(self) -> pd.DataFrame:
        """Tidy: row, feature, feature_value, attribution, and sd for LIME; n · p lines."""
        n, p = self.values.shape
        tidy = pd.DataFrame(
            {
                "row": np.repeat(self.index.to_numpy(), p),
                "feature": np.tile(np.array(self.feature_names, dtype=object), n),
                "feature_value": self.data.to_numpy(dtype=object).ravel(),
                "attribution": self.values.ravel(),
            }
        )
        if self.spread is not None:
            tidy["sd"] = self.spread.ravel()
        return tidy

    def global_importance(self, confidence: float = 0.95) -> pd.DataFrame:
        """Mean absolute attribution per feature, strongest first.

        The interval is a percentile bootstrap over rows: it covers the choice
        of cases, not that of the background or (LIME) of the seeds; for LIME
        ``mean_sd`` is the mean seed-to-seed sd. With one row there is none.
        """
        size = np.abs(self.values)
        low, high = bootstrap_means(size, confidence=confidence, random_state=self.random_state)
        table = pd.DataFrame(
            {
                "feature": list(self.feature_names),
                "mean_abs": size.mean(axis=0),
                "low": low,
                "high": high,
                "n": len(size),
            }
        )
        if self.spread is not None:
            table["mean_sd"] = self.spread.mean(axis=0)
        return table.sort_values("mean_abs", ascending=False, kind="stable", ignore_index=True)

    def position(self, row: Hashable) -> int:
        """The place of a case, by its label in the index.

        Raises:
            InputError: no such case, or several.
        """
        places = np.flatnonzero(self.index == row)
        if len(places) != 1:
            found = "no case" if len(places) == 0 else f"{len(places)} cases"
            raise InputError(
                f"row is {row!r}: {found} of that name; expected one label of the index"
            )
        return int(places[0])

    def chart(self, row: Hashable | None = None) -> Chart:
        """Bars: of one case if ``row`` (its index label) is given, else mean |attribution|."""
        return self._global_chart() if row is None else self._local_chart(row)

    def plot(self, row: Hashable | None = None) -> Any:
        """The chart as a plotly figure."""
        from hitl_audit.charts import to_plotly

        return to_plotly(self.chart(row))

    def _global_chart(self) -> Chart:
        table = self.global_importance()
        top, rest = table.iloc[:TOP], table.iloc[TOP:]
        names, values = top["feature"].tolist(), top["mean_abs"].tolist()
        low, high = _absent(top["low"]), _absent(top["high"])
        notes = (
            [f"sd over seeds {s:.2g}" for s in top["mean_sd"]] if self.spread is not None else []
        )
        if len(rest):
            names.append(_rest_name(len(rest)))
            values.append(float(rest["mean_abs"].sum()))
            low.append(None)
            high.append(None)
            notes += [""] * bool(notes)
        leaders = " and ".join(names[: min(2, len(top))])
        verb = "moves" if len(top) == 1 else "move"
        message = (
            f"{leaders} {verb} the model's {self.output_words} most "
            f"({self.method.upper()}, {len(self.values):,} cases)"
        )
        return self._bars(message, f"mean |{self.method.upper()}|", names, values, low, high, notes)

    def _local_chart(self, row: Hashable) -> Chart:
        i = self.position(row)
        order = np.argsort(-np.abs(self.values[i]), kind="stable")
        top, rest = order[:TOP], order[TOP:]
        names = [self.feature_names[j] for j in top]
        values = [float(self.values[i, j]) for j in top]
        notes = [f"= {_short(self.data.iat[i, int(j)])}" for j in top]
        low: list[float | None] = []
        high: list[float | None] = []
        if self.spread is not None:
            low = [v - float(self.spread[i, j]) for v, j in zip(values, top, strict=True)]
            high = [v + float(self.spread[i, j]) for v, j in zip(values, top, strict=True)]
            notes = [
                f"{n}; sd over seeds {self.spread[i, j]:.2g}"
                for n, j in zip(notes, top, strict=True)
            ]
            # The spread of a sum of features is not known, so the rest has no LIME bar.
            left_out = f"; {len(rest)} weaker features are left out" if len(rest) else ""
            message = (
                f"Case {row}: {self.output_words} is {self.predictions[i]:.3g}; LIME weights with "
                f"± one sd over {self.n_seeds} seeds{left_out}"
            )
        else:
            if len(rest):
                names.append(_rest_name(len(rest)))
                values.append(float(self.values[i, rest].sum()))
                notes.append("")
            message = (
                f"Case {row}: what moves its {self.output_words} from the base "
                f"{self.base_values[i]:.3g} to {self.predictions[i]:.3g}"
            )
        return self._bars(message, f"{self.method.upper()} value", names, values, low, high, notes)

    def _bars(
        self,
        message: str,
        label: str,
        names: list[str],
        values: list[float],
        low: list[float | None],
        high: list[float | None],
        notes: list[str],
    ) -> Chart:
        numbers = ", ".join(f"{n} {v:+.3g}" for n, v in zip(names, values, strict=True))
        series = Series(
            name=self.method.upper(),
            x=tuple(names),
            y=tuple(values),
            low=tuple(low),
            high=tuple(high),
            notes=tuple(notes),
        )
        return Chart(
            kind="bars",
            message=message,
            alt=f"{message}. {numbers}.",
            value_label=f"{label} ({self.output_words})",
            series=(series,),
        )

    def __repr__(self) -> str:
        n, p = self.values.shape
        return (
            f"<Explanation {self.method} {self.algorithm}: {n} rows × {p} features, "
            f"{self.output_words}, background {self.background_size} rows>"
        )

    def _repr_html_(self) -> str:
        from html import escape

        top = self.global_importance().head(5)
        table = top.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"<p>{escape(repr(self)[1:-1])}</p>{table}"


def bootstrap_means(
    values: FloatArray, *, confidence: float, random_state: int
) -> tuple[FloatArray, FloatArray]:
    """Percentile-bootstrap bounds of the column means of (n, k) values; NaN for n = 1.

    Raises:
        InputError: confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a number between 0 and 1")
    n, k = values.shape
    if n < 2:
        return np.full(k, np.nan), np.full(k, np.nan)
    counts = np.random.default_rng(random_state).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    tail = (1 - confidence) / 2
    low, high = np.quantile(counts @ values / n, [tail, 1 - tail], axis=0)
    return low, high


def _absent(column: pd.Series) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in column]


def _rest_name(count: int) -> str:
    return f"{count} other feature{'s' if count > 1 else ''}"


def _short(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:.4g}"
    return "missing" if pd.isna(value) else str(value)
