"""A table of measures by group, as a frame and as a chart: what several results are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.fairness.measures import (
    Compare,
    Measure,
    as_frame,
    as_html,
    interval_chart,
)
from hitl_audit.groups import ALL

__all__ = ["MeasureTable"]


@dataclass(frozen=True, kw_only=True)
class MeasureTable:
    """Measures by group, and their comparisons to the reference.

    Attributes:
        measures: one row per attribute, group and metric, all rows first.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    measures: tuple[Measure, ...]
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """All metrics, one row each."""
        return as_frame(self.measures, Measure)

    def chart(
        self,
        metric: str | None = None,
        attribute: str | None = None,
        compare: Compare = "value",
    ) -> Chart:
        """One metric by group with its intervals.

        Args:
            metric: default the first.
            attribute: default the first.
            compare: the ``"value"`` of each group, or its ``"difference"`` or
                ``"ratio"`` to the reference.

        Raises:
            InputError: a metric, attribute or comparison that was not computed.
        """
        metric = self.measures[0].metric if metric is None else metric
        if attribute is None:
            attribute = next((m.attribute for m in self.measures if m.attribute != ALL), ALL)
        return interval_chart(
            self.measures,
            attribute=attribute,
            metric=metric,
            compare=compare,
            confidence=self.confidence,
            percent=self._in_percent(metric, compare),
        )

    def plot(
        self,
        metric: str | None = None,
        attribute: str | None = None,
        compare: Compare = "value",
    ) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric, attribute, compare))

    def _in_percent(self, metric: str, compare: Compare) -> bool:
        return False

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)
