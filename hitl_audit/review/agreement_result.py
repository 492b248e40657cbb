"""How far several reviewers agree: the answer, as values. Pure."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.agreement_ratings import Label

__all__ = ["Agreement", "Coefficient", "Prevalence"]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of agreement.

    Attributes:
        name: of the coefficient.
        value: 1 for perfect agreement, 0 for no more than expected by chance
            (for raw agreement: for none); ``None`` unless estimated.
        low, high: its interval; ``None`` where there is none.
        observed, expected: agreement in the units, and by chance under the
            model of this coefficient.
        n_units: units with two ratings or more that it rests on.
        n_raters, n_ratings: raters and ratings of these units.
        method: of the interval.
        status: ``"estimated"``, ``"insufficient data"``, ``"not defined"`` for
            these ratings, or ``"not asked for"``.
        reading: what the value says, or why there is none.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    observed: float | None
    expected: float | None
    n_units: int
    n_raters: int
    n_ratings: int
    method: str
    status: str
    reading: str


@dataclass(frozen=True)
class Prevalence:
    """How often one category was given, and how far raters agree on it.

    Attributes:
        category: the rating.
        count, n: ratings of this category, of all ratings.
        value, low, high: the share, with the Wilson interval of as many
            independent ratings as there are units (ratings of one unit are
            not independent); ``None`` when there are too few units.
        status: of the share: ``"estimated"`` or ``"insufficient data"``.
        specific_units: units with two ratings or more and one of this category.
        specific, specific_low, specific_high: specific agreement: where one
            rater gave this category, the chance that another rater of the same
            unit gave it too (Cicchetti and Feinstein, J Clin Epidemiol 43
            (1990), 551-558), with its interval; ``None`` when
            ``specific_units`` is below 10.
    """

    category: Label
    count: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    status: str
    specific_units: int
    specific: float | None
    specific_low: float | None
    specific_high: float | None


@dataclass(frozen=True)
class Agreement:
    """How far raters agree.

    Attributes:
        coefficients: always the same ones, in the same order.
        prevalence: of every category, in order.
        words: the summary in a few sentences.
        level: of measurement, for alpha.
        weights: of the weighted coefficients; ``"custom"`` for a matrix.
        weight_table: (q, q) the custom matrix, or ().
        categories: (q,) the possible ratings, in order.
        raters: their names.
        units, paired_units: units in the table, and those with two ratings or more.
        n_ratings: ratings in the table.
        confidence: of the intervals.
        random_state: the seed of the bootstrap.
    """

    coefficients: tuple[Coefficient, ...]
    prevalence: tuple[Prevalence, ...]
    words: str
    level: str
    weights: str
    weight_table: tuple[tuple[float, ...], ...]
    categories: tuple[Label, ...]
    raters: tuple[str, ...]
    units: int
    paired_units: int
    n_ratings: int
    confidence: float
    random_state: int

    def coefficient(self, name: str) -> Coefficient:
        """One coefficient by its name.

        Raises:
            InputError: an unknown name.
        """
        for found in self.coefficients:
            if found.name == name:
                return found
        names = [c.name for c in self.coefficients]
        raise InputError(
            f'agreement: coefficient is "{name}"; accepted: {", ".join(names)}'
            f"{did_you_mean(name, names)}"
        )

    def frame(self) -> pd.DataFrame:
        """One row per coefficient; see :class:`Coefficient`."""
        columns = [
            "coefficient",
            "value",
            "low",
            "high",
            "n_units",
            "n_raters",
            "n_ratings",
            "observed",
            "expected",
            "method",
            "status",
            "reading",
        ]
        rows = [
            [c.name if key == "coefficient" else getattr(c, key) for key in columns]
            for c in self.coefficients
        ]
        frame = pd.DataFrame(rows, columns=columns)
        numbers = ["value", "low", "high", "observed", "expected"]
        return frame.astype(dict.fromkeys(numbers, np.float64))

    def prevalence_frame(self) -> pd.DataFrame:
        """One row per category; see :class:`Prevalence`."""
        columns = ["category", "count", "n", "value", "low", "high", "status"]
        columns += ["specific_units", "specific", "specific_low", "specific_high"]
        rows = [[getattr(p, key) for key in columns] for p in self.prevalence]
        frame = pd.DataFrame(rows, columns=columns)
        numbers = ["value", "low", "high", "specific", "specific_low", "specific_high"]
        return frame.astype(dict.fromkeys(numbers, np.float64))

    def chart(self) -> Chart:
        """Every estimated coefficient with its interval."""
        shown = [c for c in self.coefficients if c.value is not None]
        return Chart(
            kind="intervals",
            message=self.words,
            alt="; ".join(f"{c.name} {c.value:.2f}" for c in shown) or "no coefficient estimated",
            value_label="agreement (1: perfect; 0: no more than by chance)",
            series=(
                Series(
                    name="agreement",
                    x=tuple(c.name for c in shown),
                    y=tuple(c.value for c in shown),
                    low=tuple(c.low for c in shown),
                    high=tuple(c.high for c in shown),
                    notes=tuple(f"{c.n_units} units, {c.n_raters} raters" for c in shown),
                ),
            ),
            thresholds=((0.0, "as by chance"),),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        table = self.frame().to_html(float_format="{:.3f}".format, na_rep="–", index=False)
        return f"<p>{html.escape(self.words)}</p>{table}"
