"""What a linear model says of itself: its effects in the units of raw features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.explanations.views.asking import (
    feature_grid,
    final_estimator,
    notes_html,
    read_subject,
    value_words,
)

__all__ = ["Coefficients", "coefficients", "slope_of"]

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-6
GRID = 50
SHOWN = 15


@dataclass(frozen=True, eq=False, repr=False)
class Coefficients:
    """A linear model in raw features: the output is ``level`` + the sum of contributions.

    Attributes:
        terms: one line per number, and per value of any other feature; see :meth:`frame`.
        level: the output where every number is at its mean and every other
            feature at its commonest value (a missing number is not counted).
        unit: ``"log-odds of 1"`` or ``"value"``.
        n: rows that means, sds and commonest values come from.
        notes: what these numbers do not say.
    """

    terms: pd.DataFrame
    level: float
    unit: str
    n: int
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One line per term, features with the most spread first.

        Columns: feature; term (a value, ``missing``, or the feature itself for
        its slope); kind (``slope`` or ``value``); effect (slope: per unit of
        the raw feature; value: against ``against``); per_sd (slope times the
        sd of the feature, else NaN); against (the reference in words); unit;
        spread (sd over the rows of all that the feature contributes); n (rows).
        """
        return self.terms.copy()

    def chart(self) -> Chart:
        """Slopes per sd and values against their reference: the first 15 terms of the frame."""
        table = self.terms.assign(shown=self.terms["per_sd"].fillna(self.terms["effect"]))
        table = table[table["against"] != table["term"]].iloc[:SHOWN]
        names = tuple(
            f"{f}, per sd" if k == "slope" else f"{f}: {t} (not {a})"
            for f, t, k, a in zip(
                table["feature"], table["term"], table["kind"], table["against"], strict=True
            )
        )
        y = tuple(float(v) for v in table["shown"])
        message = (
            f"The model adds up contributions to the {self.unit}; "
            f"{self.terms['feature'].iloc[0]} spreads it most"
        )
        numbers = "; ".join(f"{n} {v:+.3g}" for n, v in zip(names, y, strict=True))
        series = Series("effect", names, y)
        return Chart("bars", message, f"{message}. {numbers}.", self.unit, (series,))

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return f"<Coefficients of {self.unit}: {self.terms['feature'].nunique()} features>"

    def _repr_html_(self) -> str:
        return notes_html(self, self.terms, self.notes)


def coefficients(
    model: Any,
    X: Any,
    *,
    output: Any = None,
    scale: Scale | None = None,
    feature_names: Sequence[str] | None = None,
) -> Coefficients:
    """The effects of a linear or logistic model in the units of its raw features.

    Scalers, encoders and imputers are undone by asking them: what a feature
    contributes at each of its values is its own columns' coefficients applied
    to the transformed value. Where that is a straight line it is told as a
    slope, otherwise value by value (numbers at up to 50 values). The sum is
    checked against the model on every row.

    Args:
        model: a linear or (binary) logistic model, or a Pipeline that ends in one.
        X: raw rows, a DataFrame or a 2-D array.
        output: as in ``explain``.
        scale: by default ``"log-odds"`` of a classifier and ``"value"`` of a regressor.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, or the model is not linear on this scale.
        ExplanationError: the coefficients do not give the model's output.
    """
    if scale is None and hasattr(model, "predict_proba"):
        scale = "log-odds"  # where a classifier can be linear
    subject = read_subject(model, X, output=output, scale=scale, feature_names=feature_names)
    rows, what = subject.rows, subject.output
    if what.scale == "probability":
        raise InputError(
            'scale is "probability", on which no model is linear; expected "log-odds" or "value"'
        )
    last = final_estimator(model)
    coef = getattr(last, "coef_", None)
    if coef is None or max(np.shape(coef)) != np.size(coef):
        has = "no coefficients" if coef is None else f"coefficients of shape {np.shape(coef)}"
        raise InputError(
            f"model ends in {type(last).__name__}, which has {has}; expected a linear or binary "
            "logistic model, with one coefficient per column"
        )
    said = what(rows)
    encoding = read_encoding(model, rows, as_array=what.as_array)
    sign = -1.0 if what.scale == "log-odds" and what.position == 0 else 1.0
    weights = sign * np.ravel(np.asarray(coef, dtype=np.float64))
    level = sign * float(np.ravel(encoding.estimator.intercept_)[0])
    parts = encoding.fold(encoding.transform(rows) * weights)
    off = float(np.abs(said - level - parts.sum(axis=1)).max())
    if off > TOLERANCE:
        raise ExplanationError(
            f"the coefficients miss the model's {what.words} by up to {off:.2g} "
            f"(accepted: {TOLERANCE:g}): it is not linear on this scale"
        )
    lines: list[dict[str, Any]] = []
    curved = []
    for j, name in enumerate(rows.columns):
        found, reference, straight = _terms(encoding, weights, rows, j, parts[:, j])
        level += reference
        if is_number(rows[name]) and not straight:
            curved.append(str(name))
        lines += [{"feature": str(name), **line, "unit": what.words} for line in found]
    table = pd.DataFrame(lines)
    order = np.argsort(-table["spread"].to_numpy(), kind="stable")
    notes = [
        "a fitted scikit-learn model keeps no standard errors: how sure these effects are cannot "
        "be told from it",
        "an effect holds while the other features stay; it is not a cause, and effects of features "
        "that move together may have been shared out by chance or by the penalty",
    ]
    if getattr(encoding.estimator, "penalty", None) or hasattr(encoding.estimator, "alpha"):
        notes.append("the model may have been fitted with a penalty, which shrinks effects to 0")
    if curved:
        notes.append(f"not straight lines, told value by value: {', '.join(curved)}")
    return Coefficients(
        terms=table.iloc[order].reset_index(drop=True),
        level=level,
        unit=what.words,
        n=len(rows),
        notes=tuple(notes),
    )


def _terms(
    encoding: Encoding, weights: FloatArray, rows: pd.DataFrame, j: int, part: FloatArray
) -> tuple[list[dict[str, Any]], float, bool]:
    """The lines of one feature, its contribution at its reference, whether it is straight."""
    name = rows.columns[j]
    column = rows[name]
    spread = float(part.std())
    missing = column.isna().to_numpy()
    values, _ = feature_grid(column, GRID, name=str(name))
    given = part[~missing]
    absent = float(part[missing][0]) if missing.any() else 0.0
    base = {"per_sd": np.nan, "spread": spread}
    if is_number(column):
        numbers = column[~missing].to_numpy(dtype=np.float64)
        slope = slope_of(numbers, given)
        middle = float(numbers.mean())
        if slope is not None:
            reference = float(given.mean())
            sd = float(numbers.std())
            lines = [
                {"term": str(name), "kind": "slope", "effect": slope, **base, "per_sd": slope * sd,
                 "against": f"mean {value_words(middle)}", "n": len(numbers)}
            ]  # fmt: skip
            if missing.any():
                lines.append(
                    {"term": "missing", "kind": "value", "effect": absent - reference, **base,
                     "against": f"mean {value_words(middle)}", "n": int(missing.sum())}
                )  # fmt: skip
            return lines, reference, True
    contributed = _contributions(encoding, weights, rows, j, values)
    counts = [int(column.isin([v]).sum()) for v in values]
    commonest = int(np.argmax(counts))
    reference = float(contributed[commonest])
    against = value_words(values[commonest])
    lines = [
        {"term": value_words(v), "kind": "value", "effect": float(c) - reference, **base,
         "against": against, "n": n}
        for v, c, n in zip(values, contributed, counts, strict=True)
    ]  # fmt: skip
    if missing.any():
        lines.append(
            {"term": "missing", "kind": "value", "effect": absent - reference, **base,
             "against": against, "n": int(missing.sum())}
        )  # fmt: skip
    return lines, reference, False


def slope_of(numbers: FloatArray, part: FloatArray) -> float | None:
    """The slope of values over numbers if they lie on one line (to 1e-9), else ``None``."""
    centred = numbers - numbers.mean()
    total = float((centred**2).sum())
    if total == 0:
        return 0.0
    slope = float((centred * (part - part.mean())).sum() / total)
    off = np.abs(part - part.mean() - slope * centred).max()
    return slope if off <= 1e-9 * max(1.0, float(np.abs(part).max())) else None


def _contributions(
    encoding: Encoding, weights: FloatArray, rows: pd.DataFrame, j: int, values: Any
) -> FloatArray:
    tried = rows.iloc[np.zeros(len(values), dtype=np.intp)].reset_index(drop=True)
    tried[rows.columns[j]] = values
    return encoding.fold(encoding.transform(tried) * weights)[:, j]
