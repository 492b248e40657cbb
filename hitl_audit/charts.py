"""A chart as data: what it says, to whom it must be readable, and its numbers.

A :class:`Chart` knows its message, its words for people who cannot see it and
its numbers; :func:`to_plotly` draws it for screens, and
``hitl_audit.report.charts`` draws the same value for print. Both draw only
what is in the chart, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Chart", "Series", "to_plotly"]

Kind = Literal["intervals", "bars", "lines"]


@dataclass(frozen=True)
class Series:
    """One named set of points.

    Attributes:
        name: what the legend says.
        x: positions; for ``intervals`` and ``bars`` the category names.
        y: values, one per ``x``; ``None`` where there is no value.
        low, high: interval bounds per value, or () for none.
        notes: a short text per value, shown beside it (for example ``n = 34``).
    """

    name: str
    x: tuple[str, ...] | tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        kind: ``intervals`` (one row per category: point and interval on a
            horizontal value axis), ``bars`` (one horizontal signed bar per
            category) or ``lines`` (numeric x against y, with optional bands
            or error bars).
        message: the sentence that the chart is there to say; its caption.
        alt: the same for people who do not see it, with the main numbers.
        value_label: the label of the value axis.
        x_label: the label of the x axis of ``lines``.
        series: what is drawn, in order.
        thresholds: ``(value, label)`` lines on the value axis.
        diagonal: draw y = x (ROC, calibration).
        value_range: fixed range of the value axis, or ``None``.
        percent: values are proportions, written as percentages.
    """

    kind: Kind
    message: str
    alt: str
    value_label: str
    series: tuple[Series, ...]
    x_label: str = ""
    thresholds: tuple[tuple[float, str], ...] = ()
    diagonal: bool = False
    value_range: tuple[float, float] | None = None
    percent: bool = False


# Okabe-Ito without yellow: told apart by people with any colour vision; the
# dash and the marker tell them apart in grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
