"""The type of an explanation: what each raw feature contributed, to what, and how it was found."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import Digest
from hitl_audit.charts import Chart
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation_charts import ChartKind, draw
from hitl_audit.explanations.lime.lime_runs import LimeWeights
from hitl_audit.explanations.model_output import Scale, output_words
from hitl_audit.groups import group_columns

__all__ = ["BOOTSTRAP", "Explanation", "bootstrap_means"]

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
BOOTSTRAP = f"percentile bootstrap over rows, {RESAMPLES} resamples"


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
        output: the explained class label, or the position of one of several
            values; ``None`` for a plain value.
        predictions: the original model's output on that scale, shape (n,).
        background_digest, background_size: the rows that stand for "feature unknown".
        random_state: the seed.
        seconds: time it took.
        notes: what a reader must know about these numbers, in words.
        spread: LIME: standard deviation of ``values`` over seeds, shape (n, p).
        score: LIME: weighted R² of the surrogate, mean over seeds, shape (n,).
        n_seeds: LIME: number of seeds.
        runs: LIME: what each seed found.
        resolution: SHAP: how far each prediction may lie from the exact one by
            the model's own rounding, shape (n,); ``None`` where it is not known.

    How pairs of features act together is told by
    :func:`~hitl_audit.explanations.explain_interactions.explain_interactions`.
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
    runs: LimeWeights | None = None
    resolution: FloatArray | None = None

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
        return output_words(self.scale, self.output)

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

    def select(self, rows: Any) -> Explanation:
        """The same explanation of fewer rows.

        Args:
            rows: labels of the index, in the order wanted (a label that several
                rows share gives all of them), or a boolean mask of length n.

        Raises:
            InputError: an unknown label, a mask of another length, or no row.
        """
        places = self._places(rows)
        if not len(places):
            raise InputError("rows selects nothing; expected at least one row")
        return replace(
            self,
            data=self.data.iloc[places],
            values=self.values[places],
            base_values=self.base_values[places],
            predictions=self.predictions[places],
            spread=None if self.spread is None else self.spread[places],
            score=None if self.score is None else self.score[places],
            runs=None if self.runs is None else self.runs.select(places),
            resolution=None if self.resolution is None else self.resolution[places],
        )

    def _places(self, rows: Any) -> npt.NDArray[np.intp]:
        n = len(self.data)
        if isinstance(rows, pd.Series) and rows.dtype == bool and rows.index.is_unique:
            same = rows.index.equals(self.index) or set(rows.index) != set(self.index)
            rows = rows.to_numpy() if same else rows.loc[self.index].to_numpy()
        listed = rows if isinstance(rows, Iterable) and not isinstance(rows, str) else [rows]
        found = np.asarray(listed if isinstance(listed, np.ndarray) else list(listed))
        if found.dtype == bool:
            if found.shape != (n,):
                raise InputError(f"rows is a mask of shape {found.shape}; expected ({n},)")
            return np.flatnonzero(found)
        at: dict[Any, list[int]] = {}
        for i, label in enumerate(self.index):
            at.setdefault(label, []).append(i)
        unknown = [label for label in found.tolist() if label not in at]
        if unknown:
            raise InputError(
                f"rows has {len(unknown)} labels that no case bears (first: {unknown[0]!r}); "
                f"expected labels of the index or a boolean mask of length {n}"
            )
        return np.array([i for label in found.tolist() for i in at[label]], dtype=np.intp)

    def by_group(self, groups: Any, confidence: float = 0.95) -> pd.DataFrame:
        """Mean absolute and mean attribution per group and feature.

        Args:
            groups: a Series, DataFrame (one attribute a column) or array with
                one value per row, by position; with the same labels in another
                order, by label. A missing value is the group ``unknown``.
            confidence: of the interval of ``mean_abs``, a percentile bootstrap
                over the rows of the group; none for a group of one row.

        Returns:
            attribute, group, feature, mean_abs, low, high, mean, n; and
            ``mean_sd`` for LIME. Features in the order of ``values``.

        Raises:
            InputError: another number of rows, or ``confidence`` out of range.
        """
        if (
            isinstance(groups, pd.Series | pd.DataFrame)
            and not groups.index.equals(self.index)
            and groups.index.is_unique
            and set(groups.index) == set(self.index)
        ):
            groups = groups.loc[self.index]
        tables = []
        for attribute, names in group_columns(groups, len(self.data)).items():
            for group in np.unique(names):
                here = self.select(names == group)
                size = np.abs(here.values)
                low, high = bootstrap_means(
                    size, confidence=confidence, random_state=self.random_state
                )
                table = pd.DataFrame(
                    {
                        "attribute": attribute,
                        "group": str(group),
                        "feature": list(self.feature_names),
                        "mean_abs": size.mean(axis=0),
                        "low": low,
                        "high": high,
                        "mean": here.values.mean(axis=0),
                        "n": len(size),
                    }
                )
                if here.spread is not None:
                    table["mean_sd"] = here.spread.mean(axis=0)
                tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def chart(
        self,
        row: Hashable | None = None,
        *,
        kind: ChartKind | None = None,
        feature: str | None = None,
        by: str | None = None,
    ) -> Chart:
        """One view of these numbers.

        Args:
            row: for ``local``: the case, by its label in the index.
            kind: ``"local"`` (bars of one case; the default with ``row``),
                ``"global"`` (bars of the mean size; the default without),
                ``"beeswarm"`` (a point per case and feature) or ``"dependence"``
                (the value of one feature against its attribution).
            feature: for ``dependence``.
            by: for ``dependence``: a second feature that colours the points.

        Points are drawn for at most 1,000 cases: those with the smallest
        seeded hashes, and the message says how many. Missing values and
        categories have places of their own on a dependence axis; in a
        beeswarm, which colours by rank, they are grey.

        Raises:
            InputError: an unknown kind, row or feature, or one that the kind
                does not take.
        """
        return draw(self, row=row, kind=kind, feature=feature, by=by)

    def plot(
        self,
        row: Hashable | None = None,
        *,
        kind: ChartKind | None = None,
        feature: str | None = None,
        by: str | None = None,
    ) -> Any:
        """The chart as a plotly figure."""
        from hitl_audit.charts import to_plotly

        return to_plotly(self.chart(row, kind=kind, feature=feature, by=by))

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
