"""The principal reasons of denied cases as a result: frames, words, charts and their stability."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import BOOTSTRAP, bootstrap_means
from hitl_audit.explanations.views.asking import check_share, notes_html

__all__ = ["Comparison", "Reasons"]

Comparison = Literal["all", "just above the cut-off"]


@dataclass(frozen=True, eq=False, repr=False)
class Reasons:
    """Up to ``at_most`` principal reasons for each denied case.

    Attributes:
        reasons: one line per case and reason; see :meth:`frame`.
        per_case: one line per denied case; see :meth:`cases`.
        compare_with: ``"all"`` or ``"just above the cut-off"``.
        compared_rows: size of the group that cases are compared with.
        at_most: most reasons per case.
        n_backgrounds: other backgrounds that stability was measured with.
        unused: features of X that do not change the output.
        output_words: what is attributed: ``probability of 1``.
        random_state: seed.
        notes: what a reader must know about these reasons.
    """

    reasons: pd.DataFrame
    per_case: pd.DataFrame
    compare_with: Comparison
    compared_rows: int
    at_most: int
    n_backgrounds: int
    unused: tuple[str, ...]
    output_words: str
    random_state: int
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """case, rank, feature, feature_value, text, attribution (< 0 pushes to denial), stability.

        ``stability`` is the share of the other backgrounds with which the
        feature is among the reasons of the case again.
        """
        return self.reasons.copy()

    def cases(self) -> pd.DataFrame:
        """case, output, n_reasons, stability (mean over its reasons), first_stays, note.

        ``first_stays`` is the share of the other backgrounds with the same
        first reason. Both are NaN for a case without a reason.
        """
        return self.per_case.copy()

    def stability(self, confidence: float = 0.95) -> pd.DataFrame:
        """measure, value, low, high, n, interval: means over the cases that have a reason.

        Raises:
            InputError: confidence is not between 0 and 1.
        """
        check_share("confidence", confidence)
        lines = []
        for name, meaning in (
            ("stability", "mean share of a case's reasons that stay with another background"),
            ("first_stays", "mean share of other backgrounds with the same first reason"),
        ):
            values = self.per_case[name].dropna().to_numpy(dtype=np.float64)
            low, high, mean = np.nan, np.nan, np.nan
            if len(values):
                mean = float(values.mean())
                bounds = bootstrap_means(
                    values[:, np.newaxis], confidence=confidence, random_state=self.random_state
                )
                low, high = float(bounds[0][0]), float(bounds[1][0])
            method = BOOTSTRAP.replace("rows", "cases")
            lines.append((name, mean, low, high, len(values), method, meaning))
        columns = ["measure", "value", "low", "high", "n", "interval", "meaning"]
        return pd.DataFrame(lines, columns=columns)

    def words(self, case: Hashable) -> str:
        """The reasons of one case as they may be told, most important first.

        Raises:
            InputError: the case is not among the denied ones.
        """
        if case not in set(self.per_case["case"]):
            raise InputError(f"case is {case!r}; it is not among the denied cases")
        mine = self.reasons[self.reasons["case"] == case]
        note = str(self.per_case.loc[self.per_case["case"] == case, "note"].iloc[0])
        listed = "; ".join(f"{r}. {t}" for r, t in zip(mine["rank"], mine["text"], strict=True))
        return " ".join(filter(None, [f"{listed}." if listed else "", note]))

    def chart(self) -> Chart:
        """How often each feature is a reason, and how often the first one."""
        n = len(self.per_case)
        counted = self.reasons["feature"].value_counts()
        first = self.reasons.loc[self.reasons["rank"] == 1, "feature"].value_counts()
        names = counted.index[:10].tolist()
        stable = self.stability().iloc[0]
        message = (
            f"Reasons of {n:,} denied cases, compared with {self._compared}"
            + (f"; most often {names[0]}" if names else "; none has a reason")
            + (
                f". With another background {stable['value']:.0%} of a case's reasons stay "
                f"({stable['low']:.0%} to {stable['high']:.0%})"
                if stable["n"]
                else ""
            )
        )
        numbers = ", ".join(f"{f} in {counted[f] / n:.0%}" for f in names)
        series = tuple(
            Series(label, tuple(names), tuple(float(k.get(f, 0)) / n for f in names))
            for label, k in (("among the reasons", counted), ("first reason", first))
        )
        alt = f"{message}. {numbers}."
        return Chart("bars", message, alt, "share of denied cases", series, percent=True)

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    @property
    def _compared(self) -> str:
        who = "all applicants" if self.compare_with == "all" else "those just above the cut-off"
        return f"{who} ({self.compared_rows:,} rows)"

    def __repr__(self) -> str:
        return (
            f"<Reasons: {len(self.per_case)} denied cases, up to {self.at_most} reasons each, "
            f"compared with {self._compared}>"
        )

    def _repr_html_(self) -> str:
        return notes_html(self, self.stability().drop(columns="interval"), self.notes)
