"""How the output changes with one feature: partial dependence, ICE.

Partial dependence: J. H. Friedman, Annals of Statistics 29 (2001), 1189-1232.
Individual conditional expectation (ICE): Goldstein, Kapelner, Bleich & Pitkin,
Journal of Computational and Graphical Statistics 24 (2015), 44-65.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.explanation import BOOTSTRAP, bootstrap_means
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import (
    ask_with,
    check_share,
    feature_grid,
    feature_of,
    notes_html,
    read_subject,
    value_words,
)

__all__ = ["PartialDependence", "decile_series", "deciles_of", "partial_dependence"]

FloatArray = npt.NDArray[np.float64]
Kind = Literal["average", "individual", "both"]

SHOWN_CASES = 4
CORRELATED = 0.7


@dataclass(frozen=True, eq=False, repr=False)
class PartialDependence:
    """Partial dependence of one output on one feature.

    Attributes:
        feature: the feature.
        numeric: its points lie on an axis; otherwise they are categories.
        points: one line per point; see :meth:`frame`.
        individual: ICE, the output of each row (index: the cases) at each
            point, shape (n, points); ``None`` for ``kind="average"``.
        deciles: nine deciles of the feature in the rows; () for categories.
        output_words: what is explained: ``probability of 1``.
        kind: what :meth:`chart` shows.
        n: rows averaged over.
        confidence: of every interval.
        random_state: seed of the sample and of the bootstrap.
        notes: what a reader must know about these numbers.
    """

    feature: str
    numeric: bool
    points: pd.DataFrame
    individual: pd.DataFrame | None
    deciles: tuple[float, ...]
    output_words: str
    kind: Kind
    n: int
    confidence: float
    random_state: int
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One line per point.

        Columns: value, label, missing, average (the partial dependence), low,
        high, change (from the first point, paired within rows), change_low,
        change_high, n_near (real rows with this value, or to which this point
        is the nearest one), interval (the name of its method).
        """
        return self.points.copy()

    def cases(self) -> pd.DataFrame:
        """Tidy ICE: case, value, output; empty for ``kind="average"``."""
        if self.individual is None:
            return pd.DataFrame(columns=["case", "value", "output"])
        n, g = self.individual.shape
        return pd.DataFrame(
            {
                "case": np.repeat(self.individual.index.to_numpy(), g),
                "value": np.tile(self.points["value"].to_numpy(dtype=object), n),
                "output": self.individual.to_numpy().ravel(),
            }
        )

    def chart(self) -> Chart:
        """Numbers: the curve with its interval, the deciles of the rows, and up to four cases.

        Categories: one row each. A missing value is a line across (numbers) or a row.
        """
        points = self.points
        seen = points[~points["missing"]]
        values = seen["average"].to_numpy(dtype=np.float64)
        top, bottom = int(values.argmax()), int(values.argmin())
        message = (
            f"On average over {self.n:,} rows the {self.output_words} goes from "
            f"{values[bottom]:.3g} ({self.feature} {seen['label'].iloc[bottom]}) to "
            f"{values[top]:.3g} ({seen['label'].iloc[top]})"
        )
        numbers = ", ".join(
            f"{label} {value:.3g}"
            for label, value in zip(points["label"], points["average"], strict=True)
        )
        alt = f"{message}. Average at each point: {numbers}."
        if not self.numeric:
            series = Series(
                name="average",
                x=tuple(points["label"]),
                y=_floats(points["average"]),
                low=_floats(points["low"]),
                high=_floats(points["high"]),
                notes=tuple(f"n = {k:,}" for k in points["n_near"]),
            )
            return Chart("intervals", message, alt, self.output_words, (series,))
        x = tuple(float(v) for v in seen["value"])
        drawn = []
        if self.kind != "individual":
            low, high = _floats(seen["low"]), _floats(seen["high"])
            drawn.append(Series("average (partial dependence)", x, _floats(seen["average"]),
                                low=low, high=high))  # fmt: skip
        if self.individual is not None and self.kind != "average":
            drawn += self._shown_cases(x)
        everything = [v for s in drawn for c in (s.y, s.low, s.high) for v in c if v is not None]
        missing = points[points["missing"]]
        everything += missing["average"].tolist()
        floor, ceiling = min(everything), max(everything)
        margin = 0.08 * (ceiling - floor) or 0.05 * abs(ceiling) or 0.05
        drawn.append(decile_series(self.deciles, floor - margin))
        return Chart(
            "lines",
            message,
            alt,
            self.output_words,
            tuple(drawn),
            x_label=self.feature,
            thresholds=tuple(
                (float(average), f"{self.feature} missing (n = {n:,})")
                for average, n in zip(missing["average"], missing["n_near"], strict=True)
            ),
            value_range=(floor - 1.3 * margin, ceiling + margin),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _shown_cases(self, x: tuple[float, ...]) -> list[Series]:
        """Cases from the one whose output falls most to the one whose output rises most."""
        assert self.individual is not None  # noqa: S101 - the caller looked
        outputs = self.individual.to_numpy()[:, : len(x)]
        order = np.argsort(outputs[:, -1] - outputs[:, 0], kind="stable")
        count = min(SHOWN_CASES, len(order))
        chosen = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
        return [
            Series(f"case {self.individual.index[i]}", x, tuple(outputs[i].tolist()))
            for i in chosen
        ]

    def __repr__(self) -> str:
        return (
            f"<PartialDependence of {self.output_words} on {self.feature}: "
            f"{len(self.points)} points, {self.n} rows>"
        )

    def _repr_html_(self) -> str:
        return notes_html(self, self.points.drop(columns=["value", "interval"]), self.notes)


def partial_dependence(
    model: Any,
    X: Any,
    feature: Any,
    *,
    grid: int | Sequence[Any] = 20,
    kind: Kind = "both",
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    max_rows: int | None = 1000,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> PartialDependence:
    """Average output when one feature is set to each of its values in every row.

    The average over rows equals ``sklearn.inspection.partial_dependence`` with
    ``method="brute"`` at the same points. The interval is a percentile
    bootstrap over rows: it covers the choice of rows, not the model.

    Args:
        model: as in ``explain``.
        X: raw rows, a DataFrame or a 2-D array.
        feature: a column of X.
        grid: number of points (values that occur, at even quantiles), or the values.
        kind: what the chart shows; ``"average"`` keeps no ICE.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of the pointwise intervals.
        max_rows: of more rows, this many are sampled; ``None`` takes all.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed.
    """
    kinds: Sequence[str] = get_args(Kind)
    if kind not in kinds:
        raise InputError(
            f'kind is "{kind}"; accepted: {", ".join(kinds)}{did_you_mean(kind, kinds)}'
        )
    check_share("confidence", confidence)
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        max_rows=max_rows,
        random_state=random_state,
    )
    rows, name = subject.rows, feature_of(subject.rows, feature)
    column = rows[name]
    values, left_out = feature_grid(column, grid, name=str(name))
    ice = ask_with(subject.output, rows, name, values)
    missing = column.isna().to_numpy()
    if missing.any():
        nothing = column.array.take([int(missing.argmax())])
        ice = np.hstack([ice, ask_with(subject.output, rows, name, nothing)])
    numeric = is_number(column)
    low, high = bootstrap_means(ice, confidence=confidence, random_state=random_state)
    change = ice - ice[:, :1]
    change_low, change_high = bootstrap_means(
        change, confidence=confidence, random_state=random_state
    )
    shown = [*values, *([column.array[int(missing.argmax())]] if missing.any() else [])]
    points = pd.DataFrame(
        {
            "value": pd.Series(shown, dtype=object),
            "label": [value_words(v) for v in shown],
            "missing": [False] * len(values) + [True] * bool(missing.any()),
            "average": ice.mean(axis=0),
            "low": low,
            "high": high,
            "change": change.mean(axis=0),
            "change_low": change_low,
            "change_high": change_high,
            "n_near": [*_near(column, values, numeric), *([missing.sum()] * bool(missing.any()))],
            "interval": BOOTSTRAP,
        }
    )
    notes = [
        *subject.notes,
        f"intervals: {BOOTSTRAP}, point by point; they cover the choice of rows, not the model",
        *_correlation_note(rows, name, "the average uses combinations that hardly occur"),
    ]
    if left_out:
        notes.append(f"{len(left_out)} rarer categories are left out: {', '.join(left_out[:5])}")
    if numeric and not isinstance(grid, int | np.integer):
        notes += _outside(column, values)
    individual = None
    if kind != "average":
        individual = pd.DataFrame(ice, index=rows.index, columns=points["label"].tolist())
    return PartialDependence(
        feature=str(name),
        numeric=numeric,
        points=points,
        individual=individual,
        deciles=deciles_of(column) if numeric else (),
        output_words=subject.output.words,
        kind=kind,
        n=len(rows),
        confidence=confidence,
        random_state=random_state,
        notes=tuple(notes),
    )


def decile_series(deciles: Sequence[float], level: float) -> Series:
    """Where the rows are: marks at the deciles of a feature, drawn at one level."""
    return Series(
        "deciles of the rows",
        tuple(deciles),
        (level,) * len(deciles),
        notes=tuple(f"{10 * (i + 1)}% of rows are at or below" for i in range(len(deciles))),
    )


def _correlation_note(rows: pd.DataFrame, name: Any, consequence: str) -> list[str]:
    """A sentence if another number of the rows moves with this one (Spearman), or nothing."""
    if not is_number(rows[name]):
        return []
    numbers = [c for c in rows.columns if is_number(rows[c]) and rows[c].nunique() > 1]
    if name not in numbers or len(numbers) < 2:
        return []
    ranks = rows[numbers].astype("float64").rank()
    found = ranks.drop(columns=name).corrwith(ranks[name]).dropna()
    if found.empty or found.abs().max() < CORRELATED:
        return []
    other = found.abs().idxmax()
    return [
        f"{name} moves with {other} (Spearman {found[other]:+.2f}), so {consequence}; "
        f"compare the accumulated local effects"
    ]


def _near(column: pd.Series, values: Any, numeric: bool) -> list[int]:
    if not numeric:
        return [int(column.isin([v]).sum()) for v in values]
    points = np.asarray(values, dtype=np.float64)
    numbers = column.dropna().to_numpy(dtype=np.float64)
    nearest = np.searchsorted((points[1:] + points[:-1]) / 2, numbers)
    return [int(k) for k in np.bincount(nearest, minlength=len(points))]


def deciles_of(column: pd.Series) -> tuple[float, ...]:
    """Nine deciles of a column of numbers, each a value that occurs."""
    numbers = column.dropna().to_numpy(dtype=np.float64)
    found = np.quantile(numbers, np.linspace(0.1, 0.9, 9), method="inverted_cdf")
    return tuple(float(v) for v in found)


def _outside(column: pd.Series, values: Any) -> list[str]:
    points = np.asarray(values, dtype=np.float64)
    low, high = float(column.min()), float(column.max())
    count = int(((points < low) | (points > high)).sum())
    if not count:
        return []
    return [f"{count} points lie outside the values that occur ({low:.4g} to {high:.4g})"]


def _floats(column: pd.Series) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(v) else float(v) for v in column.astype("float64"))
