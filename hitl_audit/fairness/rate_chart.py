"""One metric by group with its intervals, as a chart that says what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from hitl_audit.charts import Chart, Series
from hitl_audit.fairness.rates import GroupRate
from hitl_audit.findings import metric_words, percent

__all__ = ["rate_chart"]

_CHART_GROUPS = 25


def rate_chart(rates: Sequence[GroupRate], *, confidence: float, min_group: int) -> Chart:
    """Chart the rates of one metric by one attribute; the largest groups if there are many."""
    attribute = rates[0].attribute
    shown = sorted(rates, key=lambda rate: -rate.n)[:_CHART_GROUPS]
    shown.sort(key=lambda rate: (rate.value is None, -(rate.value or 0.0), rate.group))
    name = metric_words(rates[0].metric).capitalize()
    sure = [rate for rate in shown if rate.status == "ok"]
    if sure:
        top, bottom = sure[0], sure[-1]
        said = (
            f"{name} by {attribute}: {percent(top.value)} for {top.group}, "
            f"{percent(bottom.value)} for {bottom.group}."
            if len(sure) > 1
            else f"{name} by {attribute}: {percent(top.value)} for {top.group}."
        )
    else:
        said = f"{name} by {attribute}: every group has fewer than {min_group} cases."
    if len(shown) < len(rates):
        said += f" The {len(shown)} largest of {len(rates)} groups are shown."
    values = "; ".join(
        f"{rate.group} {percent(rate.value)} ({percent(rate.low)} to {percent(rate.high)}, "
        f"n = {rate.n})"
        for rate in shown
    )
    return Chart(
        kind="intervals",
        message=said,
        alt=f"{said} With {confidence * 100:g}% intervals: {values}.",
        value_label=f"{name}, with {confidence * 100:g}% interval",
        series=(
            Series(
                name=name,
                x=tuple(rate.group for rate in shown),
                y=tuple(rate.value for rate in shown),
                low=tuple(rate.low for rate in shown),
                high=tuple(rate.high for rate in shown),
                notes=tuple(
                    f"n = {rate.n}" + ("" if rate.status == "ok" else f", {rate.status}")
                    for rate in shown
                ),
            ),
        ),
        value_range=(0.0, 1.0),
        percent=True,
    )
