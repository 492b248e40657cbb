"""A chart as data: what it says, to whom it must be readable, and its numbers.

A :class:`Chart` knows its message, its words for people who cannot see it and
its numbers; :func:`to_plotly` draws it for screens, and
``hitl_audit.report.charts`` draws the same value for print. Both draw only
what is in the chart, with the positions and ranges computed here, so they
cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any, Literal

from hitl_audit.errors import ReportError
from hitl_audit.point_clouds import colour_of, spread_out

__all__ = ["Chart", "Series", "to_plotly"]

Kind = Literal["intervals", "bars", "lines", "points", "swarm"]


@dataclass(frozen=True)
class Series:
    """One named set of points.

    Attributes:
        name: what the legend says.
        x: positions; for ``intervals``, ``bars`` and ``swarm`` the category names.
        y: values, one per ``x``; ``None`` where there is no value.
        low, high: interval bounds per value, or () for none.
        notes: a short text per value, shown beside it (for example ``n = 34``);
            for ``points`` and ``swarm`` on the screen only, under the pointer.
        shades: ``points`` and ``swarm``: a third number per value, from 0 to 1,
            shown by colour; ``None`` is grey.

    Raises:
        ReportError: the lengths differ.
    """

    name: str
    x: tuple[str, ...] | tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()
    shades: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        for field in ("y", "low", "high", "notes", "shades"):
            values = getattr(self, field)
            if len(values) != len(self.x) and (field == "y" or values):
                raise ReportError(
                    f'chart series "{self.name}": got {len(values)} values in {field}, '
                    f"expected {len(self.x)}, one per x"
                )


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        kind: ``intervals`` (one row per category: point and interval on a
            horizontal value axis), ``bars`` (one horizontal signed bar per
            category), ``lines`` (numeric x against y, with optional bands
            or error bars), ``points`` (numeric x against y, not connected) or
            ``swarm`` (a cloud of points per category on a horizontal value axis).
        message: the sentence that the chart is there to say; its caption.
        alt: the same for people who do not see it, with the main numbers.
        value_label: the label of the value axis.
        x_label: the label of the x axis of ``lines`` and ``points``.
        x_ticks: ``(x, name)`` for x axes whose places have names, or () for numbers.
        series: what is drawn, in order.
        thresholds: ``(value, label)`` lines on the value axis.
        diagonal: draw y = x (ROC, calibration).
        value_range: fixed range of the value axis, or ``None``.
        percent: values are proportions, written as percentages.
        shade_label, shade_ends: what the colour of ``shades`` says, and the
            words at its two ends.
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
    x_ticks: tuple[tuple[float, str], ...] = ()
    shade_label: str = ""
    shade_ends: tuple[str, str] = ("low", "high")


# Okabe-Ito without yellow: told apart by people with any colour vision; the
# dash and the marker tell them apart in grey.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
PATTERNS = ("", "/", ".", "\\", "x", "-", "+")

INK, QUIET, GRID = "#1B2430", "#5B6673", "#E2E6EB"
# More points than this on a line make a curve: no marker on each.
MARKED_POINTS = 25


@dataclass(frozen=True)
class Point:
    """One value as both renderers draw it.

    ``at`` is its place on the other axis: the row (0 is on top, series share
    a row side by side) or the x. ``low`` and ``high`` are where the interval
    ends on the drawn axis; ``None`` where it has no bound.
    """

    at: float
    label: str
    value: float | None
    low: float | None
    high: float | None
    note: str
    words: str
    colour: str


def number(value: float, *, percent: bool = False) -> str:
    """Write a value for people: ``74.3%``, ``0.743``, ``−12,345``."""
    if not math.isfinite(value):
        text = "∞" if value > 0 else "-∞" if value < 0 else "undefined"
    elif percent:
        text = f"{100 * value:.1f}%"
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−")


def categories(chart: Chart) -> tuple[str, ...]:
    """The category names in order of first appearance."""
    return tuple(dict.fromkeys(str(x) for series in chart.series for x in series.x))


def bar_width(chart: Chart) -> float:
    """The share of a row that one series takes."""
    return 0.72 / max(1, len(chart.series))


def in_rows(chart: Chart) -> bool:
    """Whether values lie on a horizontal axis, one row per category."""
    return chart.kind not in ("lines", "points")


def marked(chart: Chart) -> bool:
    """Whether the points of ``lines`` are few enough to be marked, with error bars, not bands."""
    return all(len(series.x) <= MARKED_POINTS for series in chart.series)


def x_percent(chart: Chart) -> bool:
    """Whether x is written as a percentage: the axes of a diagonal share their scale."""
    return chart.diagonal and chart.percent


def value_range(chart: Chart) -> tuple[float, float]:
    """The drawn range of the value axis: the chart's own, or the data's with a margin."""
    if chart.value_range is not None:
        return chart.value_range
    values = [
        v
        for series in chart.series
        for column in (series.y, series.low, series.high)
        for v in column
        if v is not None and math.isfinite(v)
    ]
    values += [value for value, _ in chart.thresholds]
    if chart.kind in ("bars", "swarm") or not values:
        values.append(0.0)
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    padded = (low - margin, high + margin)
    if chart.kind == "bars" and low == 0:
        padded = (0.0, padded[1])
    if chart.percent and low >= 0 and high <= 1:
        padded = (max(0.0, padded[0]), min(1.0, padded[1]))
    return padded


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def points(chart: Chart) -> tuple[tuple[Point, ...], ...]:
    """The points of every series, as both renderers draw them."""
    rows = {name: row for row, name in enumerate(categories(chart))}
    floor, ceiling = value_range(chart)
    drawn = []
    for order, series in enumerate(chart.series):
        beside = (order - (len(chart.series) - 1) / 2) * bar_width(chart)
        offsets = _offsets(chart, series, floor, ceiling)
        one = []
        for i, x in enumerate(series.x):
            value = _finite(series.y[i])
            low, high = (bound[i] if bound else None for bound in (series.low, series.high))
            note = series.notes[i] if series.notes else ""
            words = "no value" if value is None else number(value, percent=chart.percent)
            if value is not None and (low is not None or high is not None):
                ends = [
                    "?" if end is None else number(end, percent=chart.percent)
                    for end in (low, high)
                ]
                words += f" ({ends[0]} to {ends[1]})"
            # An unbounded interval is drawn to the edge of the chart.
            low = floor if low == -math.inf else _finite(low)
            high = ceiling if high == math.inf else _finite(high)
            at = rows[str(x)] + beside + offsets[i] if in_rows(chart) else float(str(x))
            shaded = bool(series.shades)
            colour = colour_of(series.shades[i]) if shaded else PALETTE[order % len(PALETTE)]
            one.append(Point(at, str(x), value, low, high, note, words, colour))
        drawn.append(tuple(one))
    return tuple(drawn)


def _offsets(chart: Chart, series: Series, floor: float, ceiling: float) -> list[float]:
    """How far each point of a swarm stands above or below the middle of its row."""
    offsets = [0.0] * len(series.x)
    if chart.kind == "swarm":
        for name in dict.fromkeys(series.x):
            here = [i for i, x in enumerate(series.x) if x == name]
            width = 0.42 / len(chart.series)
            spread = spread_out([series.y[i] for i in here], floor, ceiling, width=width)
            for i, offset in zip(here, spread, strict=True):
                offsets[i] = offset
    return offsets


_FONT = 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def _lines_of(text: str, width: int) -> str:
    # Plotly reads a small HTML in every text; names are data.
    return "<br>".join(escape(line) for line in wrap(text, width) or [""])


def _error(drawn: tuple[Point, ...], colour: str) -> dict[str, Any]:
    def length(point: Point, end: float | None) -> float:
        return 0.0 if point.value is None or end is None else abs(end - point.value)

    return {
        "type": "data",
        "symmetric": False,
        "array": [length(p, p.high) for p in drawn],
        "arrayminus": [length(p, p.low) for p in drawn],
        "color": colour,
        "thickness": 1.8,
        "width": 0,
    }


def _hover(chart: Chart, series: Series, drawn: tuple[Point, ...]) -> list[str]:
    texts = []
    for point in drawn:
        where = point.label
        if chart.x_ticks and not in_rows(chart):
            where = ""
        elif not in_rows(chart):
            where = f"{chart.x_label or 'x'} {number(point.at, percent=x_percent(chart))}"
        lines = [f"<b>{_lines_of(where, 40)}</b>"] if where else []
        if len(chart.series) > 1:
            lines.append(_lines_of(series.name, 40))
        lines.append(escape(point.words))
        if point.note:
            lines.append(escape(point.note))
        texts.append("<br>".join(lines))
    return texts


def _row_traces(chart: Chart) -> list[dict[str, Any]]:
    traces = []
    for i, (series, drawn) in enumerate(zip(chart.series, points(chart), strict=True)):
        colour = PALETTE[i % len(PALETTE)]
        trace: dict[str, Any] = {
            "name": escape(series.name),
            "orientation": "h",
            "x": [p.value for p in drawn],
            "y": [p.at for p in drawn],
            "hovertext": _hover(chart, series, drawn),
            "hoverinfo": "text",
        }
        if series.low or series.high:
            trace["error_x"] = _error(drawn, colour if chart.kind == "intervals" else INK)
        if chart.kind == "bars":
            trace |= {
                "type": "bar",
                "width": bar_width(chart) * 0.92,
                "marker": {
                    "color": colour,
                    "pattern": {"shape": PATTERNS[i % len(PATTERNS)], "fgcolor": "#FFFFFF"},
                },
            }
        elif chart.kind == "swarm":
            trace |= {"type": "scatter", "mode": "markers", "marker": _cloud(drawn, i)}
        else:
            marker = {"color": colour, "symbol": MARKERS[i % len(MARKERS)], "size": 9}
            trace |= {"type": "scatter", "mode": "markers", "marker": marker}
        traces.append(trace)
    return traces


def _cloud(drawn: tuple[Point, ...], i: int) -> dict[str, Any]:
    return {
        "color": [p.colour for p in drawn],
        "symbol": MARKERS[i % len(MARKERS)],
        "size": 6,
        "opacity": 0.75,
    }


def _shade_key(chart: Chart) -> dict[str, Any]:
    """A trace without points that carries the key of the colours."""
    scale = [[k / 10, colour_of(k / 10)] for k in range(11)]
    key = {
        "title": {"text": _lines_of(chart.shade_label, 18), "side": "top"},
        "tickvals": [0, 1],
        "ticktext": [escape(end) for end in chart.shade_ends],
        "thickness": 12,
        "len": 0.8,
        "outlinewidth": 0,
    }
    marker = {"color": [0], "cmin": 0, "cmax": 1, "colorscale": scale, "colorbar": key}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [None],
        "y": [None],
        "marker": marker,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def shaded(chart: Chart) -> bool:
    """Whether colours say a third number."""
    return any(series.shades for series in chart.series)


def some_unshaded(chart: Chart) -> bool:
    """Whether some points of a shaded chart have no such number."""
    return any(shade is None for series in chart.series for shade in series.shades)


def _line_traces(chart: Chart) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    if chart.diagonal:
        low, high = value_range(chart)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [low, high],
                "y": [low, high],
                "line": {"color": QUIET, "dash": "dot", "width": 1},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    for i, (series, drawn) in enumerate(zip(chart.series, points(chart), strict=True)):
        colour = PALETTE[i % len(PALETTE)]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers" if marked(chart) else "lines",
            "name": escape(series.name),
            "x": [p.at for p in drawn],
            "y": [p.value for p in drawn],
            "hovertext": _hover(chart, series, drawn),
            "hoverinfo": "text",
            "connectgaps": False,
            "line": {"color": colour, "width": 2.2, "dash": DASHES[i % len(DASHES)]},
            "marker": {"color": colour, "symbol": MARKERS[i % len(MARKERS)], "size": 8},
        }
        if chart.kind == "points":
            trace |= {"mode": "markers", "marker": _cloud(drawn, i)}
        band = [p for p in drawn if p.low is not None and p.high is not None]
        if band and (marked(chart) or chart.kind == "points"):
            trace["error_y"] = _error(drawn, colour)
        elif band:
            red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [p.at for p in band] + [p.at for p in reversed(band)],
                    "y": [p.high for p in band] + [p.low for p in reversed(band)],
                    "fill": "toself",
                    "fillcolor": f"rgba({red}, {green}, {blue}, 0.16)",
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "showlegend": False,
                }
            )
        traces.append(trace)
    return traces


def _thresholds(chart: Chart, *, horizontal_value: bool) -> tuple[list[Any], list[Any]]:
    low, high = value_range(chart)
    shapes, labels = [], []
    for level, (value, label) in enumerate(chart.thresholds):
        line = {"color": INK, "width": 1.2, "dash": "dash"}
        text: dict[str, Any] = {"text": escape(label), "showarrow": False, "font": {"size": 12}}
        if horizontal_value:
            shapes.append(
                {"type": "line", "x0": value, "x1": value, "yref": "paper", "y0": 0, "y1": 1}
                | {"line": line}
            )
            right = value > (low + high) / 2
            text |= {"x": value, "yref": "paper", "y": 1, "yanchor": "bottom"}
            text |= {"xanchor": "right" if right else "left", "yshift": 16 * level}
        else:
            shapes.append(
                {"type": "line", "y0": value, "y1": value, "xref": "paper", "x0": 0, "x1": 1}
                | {"line": line}
            )
            text |= {"y": value, "xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom"}
        labels.append(text)
    return shapes, labels


def _notes(chart: Chart) -> list[dict[str, Any]]:
    if chart.kind == "swarm":
        return []
    notes = []
    for drawn in points(chart):
        for p in drawn:
            text = " · ".join(filter(None, [p.note, "no value" if p.value is None else ""]))
            if text:
                notes.append(
                    {
                        "name": "note",
                        "text": escape(text),
                        "y": p.at,
                        "xref": "paper",
                        "x": 1,
                        "xshift": 8,
                    }
                    | {"xanchor": "left", "showarrow": False, "font": {"color": QUIET, "size": 11}}
                )
    return notes


def to_plotly(chart: Chart, *, title: bool = True) -> Any:
    """Draw a chart as an interactive plotly figure.

    Args:
        chart: what to draw.
        title: show the chart's message above it; a page that prints the
            message itself sets it to ``False``.

    Returns:
        A ``plotly.graph_objects.Figure`` with a template of its own; nothing
        global is set.
    """
    import plotly.graph_objects as go

    return go.Figure(plotly_json(chart, title=title))


def plotly_json(chart: Chart, *, title: bool = True) -> dict[str, Any]:
    """What plotly's JavaScript draws, as :func:`to_plotly`, but without plotly's Python."""
    low, high = value_range(chart)
    rows = in_rows(chart)
    axis: dict[str, Any] = {
        "gridcolor": GRID,
        "zerolinecolor": QUIET,
        "linecolor": QUIET,
        "ticks": "",
        "automargin": True,
    }
    value_axis: dict[str, Any] = {
        "title": {"text": _lines_of(chart.value_label, 36)},
        "range": [low, high],
        "zeroline": low < 0 < high,
        "tickangle": 0,
    }
    if chart.percent:
        value_axis["tickformat"] = ".0%" if high - low > 0.08 else ".1%"
    shapes, annotations = _thresholds(chart, horizontal_value=rows)
    top = 16 * len(chart.thresholds) if rows else 0
    layout: dict[str, Any] = {
        "shapes": shapes,
        "showlegend": len(chart.series) > 1,
        "legend": {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 0},
        "template": {
            "layout": {
                "font": {"family": _FONT, "size": 13, "color": INK},
                "paper_bgcolor": "rgba(0, 0, 0, 0)",
                "plot_bgcolor": "rgba(0, 0, 0, 0)",
                "colorway": list(PALETTE),
                "xaxis": axis,
                "yaxis": axis,
                "hoverlabel": {"align": "left", "font": {"family": _FONT, "size": 13}},
            }
        },
    }
    if rows:
        names = categories(chart)
        notes = _notes(chart)
        annotations += notes
        wrapped = [_lines_of(name, 24) for name in names]
        per_row = max(
            44 if chart.kind == "swarm" else 30,
            18 * len(chart.series),
            *(17 * (n.count("<br>") + 1) for n in wrapped),
            0,
        )
        layout |= {
            "height": 90 + top + per_row * max(1, len(names)),
            "barmode": "overlay",  # the rows already stand side by side
            "xaxis": value_axis,
            "yaxis": {
                "tickvals": list(range(len(names))),
                "ticktext": wrapped,
                "range": [len(names) - 0.5, -0.5],
                "showgrid": False,
                "zeroline": False,
            },
        }
        right = 16 + max((7 * len(n["text"]) for n in notes), default=0)
    else:
        layout |= {
            "height": 420,
            "xaxis": {"title": {"text": _lines_of(chart.x_label, 36)}, "zeroline": False},
            "yaxis": value_axis,
        }
        if chart.x_ticks:
            layout["xaxis"] |= {
                "tickvals": [at for at, _ in chart.x_ticks],
                "ticktext": [_lines_of(name, 18) for _, name in chart.x_ticks],
            }
        if chart.diagonal:  # both axes share a scale
            value_axis |= {"scaleanchor": "x", "constrain": "domain"}
            layout["xaxis"] |= {"constrain": "domain", "constraintoward": "left"}
            layout["xaxis"] |= {"tickformat": value_axis.get("tickformat")}
        right = 16
    if len(chart.series) > 1:
        top += 34
    layout["annotations"] = annotations
    if title:
        heading = _lines_of(chart.message, 80)
        layout["title"] = {"text": heading, "x": 0, "xanchor": "left", "font": {"size": 15}}
        layout["title"] |= {"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 12}}
        lift = 18 * (heading.count("<br>") + 1) + 16
        layout["height"] += lift
        layout["legend"]["y"] = 1 - lift / layout["height"]
        top += lift
    layout["margin"] = {"l": 12, "r": min(right, 150), "t": 14 + top, "b": 52}
    traces = _row_traces(chart) if rows else _line_traces(chart)
    if shaded(chart):
        traces.append(_shade_key(chart))
        layout["margin"]["r"] = 96
    return {"data": traces, "layout": layout}
