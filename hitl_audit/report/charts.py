"""Charts for print: the same values that the screen shows, drawn as SVG.

No browser and no global state: figures are made with matplotlib's object
interface, text stays text (a reader of the PDF can select it), and the same
chart gives the same bytes.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hitl_audit.charts import (
    GRID,
    INK,
    PALETTE,
    QUIET,
    Chart,
    Point,
    bar_width,
    categories,
    in_rows,
    marked,
    points,
    shaded,
    some_unshaded,
    value_range,
    x_percent,
)
from hitl_audit.point_clouds import UNSHADED, colour_of
from hitl_audit.report.typefaces import Typefaces

__all__ = ["draw", "to_svg"]

_MARKERS = ("o", "s", "D", "^", "P", "X", "*")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.2, 1.6)),
    (0, (5, 1.6, 1.2, 1.6)),
    (0, (9, 2)),
    (0, (9, 2, 1.2, 2)),
    "-",
)
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "++++")
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hitl-audit",
    "text.parse_math": False,  # a name with two $ is a name
    "hatch.linewidth": 0.6,
}
_SHADE_KEY = 7.0  # millimetres above a chart whose colours say a number
_POINT = 25.4 / 72  # millimetres
_TALLEST = 205.0  # millimetres that a chart and its caption leave on an A4 page


class _Sheet:
    """A figure in the making: axes placed in millimetres, texts in the document's typefaces."""

    def __init__(self, width: float, height: float, typefaces: Typefaces) -> None:
        self.width, self.height, self.typefaces = width, height, typefaces
        self.figure = Figure(figsize=(width / 25.4, height / 25.4))

    def axes(self, left: float, bottom: float, width: float, height: float) -> Any:
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, facecolor="none")
        # Grid and labels are drawn here, one by one; matplotlib's own axis, which would
        # draw nothing, costs a third of the time of a chart.
        axes.set_axis_off()
        return axes

    def text(
        self,
        axes: Any,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        colour: str = INK,
        across: str = "center",
        along: str = "center",
        frame: str = "axes",
        rotation: float = 0,
    ) -> None:
        transform = {
            "axes": axes.transAxes,
            "row": axes.get_yaxis_transform(),
            "column": axes.get_xaxis_transform(),
        }[frame]
        properties = self.typefaces.properties(text.replace("\n", ""), size)
        axes.text(x, y, text, transform=transform, ha=across, va=along, color=colour,
                  fontproperties=properties, rotation=rotation, linespacing=1.15)  # fmt: skip

    def legend(
        self, handles: list[Any], names: list[str], left: float, top: float, columns: int
    ) -> None:
        legend = self.figure.legend(
            handles,
            names,
            loc="upper left",
            bbox_to_anchor=(left / self.width, top / self.height),
            ncols=columns,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=2.4,
            columnspacing=1.6,
            labelcolor=INK,
            prop=self.typefaces.properties("".join(names), 8),
        )
        legend.set_gid("legend")


def _cloud(axes: Any, x: list[float], y: list[float], drawn: tuple[Point, ...], i: int) -> None:
    """Many small points, each in its own colour."""
    colours = [p.colour for p in drawn]
    style = {"s": 7, "marker": _MARKERS[i % len(_MARKERS)], "linewidths": 0, "alpha": 0.75}
    axes.scatter(x, y, c=colours, gid=f"series-{i}", zorder=4, **style)


def _shade_key(sheet: _Sheet, chart: Chart, left: float, top: float) -> None:
    """What the colours say: a strip from low to high with its words, and grey for none."""
    low, high = chart.shade_ends
    words = f"{chart.shade_label}: {low}"
    across = sheet.typefaces.width(words, 7) * _POINT
    axes = sheet.axes(left, top - 4.5, 90, 3)
    axes.set_gid("shades")
    axes.set_xlim(0, 90)
    axes.set_ylim(0, 1)
    sheet.text(axes, 0, 0.5, words, 7, across="left", frame="axes")
    for k in range(20):
        axes.axvspan(across + 2 + k, across + 3 + k, color=colour_of(k / 19), lw=0)
    at = across + 24.5
    sheet.text(axes, at / 90, 0.5, high, 7, across="left")
    if some_unshaded(chart):
        at += sheet.typefaces.width(high, 7) * _POINT + 5
        axes.axvspan(at, at + 3, color=UNSHADED, lw=0)
        sheet.text(axes, (at + 4.5) / 90, 0.5, "no order, or missing", 7, across="left")


def _ticks(low: float, high: float, count: int) -> list[float]:
    span = 1e-9 * (high - low)
    values = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(v) for v in values if low - span <= v <= high + span]


def _tick_text(value: float, step: float, percent: bool) -> str:
    if percent:
        value, step = 100 * value, 100 * step
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    if step and round(step, decimals) != round(step, 10):
        decimals += 1
    text = f"{value:,.{decimals}f}".replace("-", "−")
    return text + "%" if percent else text


def _value_axis(sheet: _Sheet, axes: Any, chart: Chart, size: float, *, horizontal: bool) -> None:
    low, high = value_range(chart)
    box = axes.get_position()
    length = box.width * sheet.width if horizontal else box.height * sheet.height
    across = box.height * sheet.height if horizontal else box.width * sheet.width
    ticks = _ticks(low, high, max(2, min(8, int(length / 16))))
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    for tick in ticks:
        text = _tick_text(tick, step, chart.percent)
        style = {"color": QUIET, "lw": 0.9} if tick == 0 and low < 0 else {"color": GRID, "lw": 0.6}
        if horizontal:
            axes.axvline(tick, zorder=0, **style)
            sheet.text(axes, tick, -2.6 / across, text, size, colour=QUIET, frame="column")
        else:
            axes.axhline(tick, zorder=0, **style)
            sheet.text(
                axes, -1.6 / across, tick, text, size, colour=QUIET, frame="row", across="right"
            )
    if horizontal:
        sheet.text(axes, 0.5, -7.6 / across, chart.value_label, size)
    else:
        sheet.text(axes, -13 / across, 0.5, chart.value_label, size, rotation=90)


def _spans(axes: Any, drawn: tuple[Point, ...], colour: str, width: float, *, rows: bool) -> Any:
    ends = [
        (
            p.at,
            p.value if p.low is None else p.low,
            p.value if p.high is None else p.high,
        )
        for p in drawn
        if p.value is not None and (p.low is not None or p.high is not None)
    ]
    if not ends:
        return None
    at, low, high = zip(*ends, strict=True)
    line = axes.hlines if rows else axes.vlines
    return line(at, low, high, colors=colour, lw=width, zorder=3)


def _values(drawn: tuple[Point, ...]) -> list[float]:
    return [math.nan if p.value is None else p.value for p in drawn]


def _draw_rows(chart: Chart, width: float, typefaces: Typefaces) -> Figure:
    names, several = categories(chart), len(chart.series)
    size = 8.0 if len(names) <= 32 else 7.0 if len(names) <= 45 else 6.2
    wrapped = [typefaces.wrap(name, 0.4 * width / _POINT, size) for name in names]
    labels = ["\n".join(lines) for lines in wrapped]
    label_width = max(
        (typefaces.width(line, size) for lines in wrapped for line in lines), default=0.0
    )
    tallest = max(map(len, wrapped), default=1)
    drawn = points(chart)
    notes = [
        (p.at, " · ".join(filter(None, [p.note, "no value" if p.value is None else ""])))
        for one in drawn
        for p in one
        if chart.kind != "swarm"
    ]
    small = min(7.0, size)
    note_width = max((typefaces.width(note, small) for _, note in notes), default=0.0)

    least = 8.0 if chart.kind == "swarm" else 5.4
    per_row = max(least, several * 3.5 + 1, (tallest * 1.2 * size + 3) * _POINT)
    per_row = min(per_row, _TALLEST / max(1, len(names)))
    plot_height = per_row * max(1, len(names))
    legend_names = [s.name for s in chart.series]
    widest = max((typefaces.width(n, 8) for n in legend_names), default=0.0) * _POINT + 16
    columns = max(1, int(width / widest))
    legend_height = 5.0 * math.ceil(several / columns) + 1.5 if several > 1 else 0.0
    key_height = _SHADE_KEY if shaded(chart) else 0.0
    top = legend_height + 4.0 * len(chart.thresholds) + key_height + 1.0
    bottom = 10.0
    left = label_width * _POINT + 3.5
    right = note_width * _POINT + 3.5
    sheet = _Sheet(width, plot_height + top + bottom, typefaces)
    axes = sheet.axes(left, bottom, width - left - right, plot_height)
    low, high = value_range(chart)
    axes.set_xlim(low, high)
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
    plot_width = width - left - right

    for row, label in enumerate(labels):
        if row % 2:
            axes.axhspan(row - 0.5, row + 0.5, color="#F6F7F9", zorder=-1, lw=0)
        sheet.text(axes, -2.2 / plot_width, row, label, size, across="right", frame="row")
    _value_axis(sheet, axes, chart, size, horizontal=True)
    for at, note in notes:
        sheet.text(
            axes, 1 + 2 / plot_width, at, note, small, colour=QUIET, across="left", frame="row"
        )

    handles: list[Any] = []
    for i, one in enumerate(drawn):
        colour = PALETTE[i % len(PALETTE)]
        places, values = [p.at for p in one], _values(one)
        if chart.kind == "bars":
            thick = bar_width(chart) * 0.9
            hatch = _HATCHES[i % len(_HATCHES)]
            style = {"color": colour, "edgecolor": "white", "linewidth": 0, "hatch": hatch}
            axes.barh(places, values, thick, gid=f"series-{i}", **style)
            handles.append(Patch(facecolor=colour, edgecolor="white", hatch=hatch))
            spans = _spans(axes, one, INK, 0.9, rows=True)
        elif chart.kind == "swarm":
            _cloud(axes, values, places, one, i)
            marker = _MARKERS[i % len(_MARKERS)]
            handles.append(Line2D([], [], color=colour, marker=marker, ls="", ms=4))
            spans = None
        else:
            marker = _MARKERS[i % len(_MARKERS)]
            style = {"color": colour, "ms": 4.8, "mec": "white", "mew": 0.5, "zorder": 4}
            (line,) = axes.plot(values, places, marker, gid=f"series-{i}", **style)
            handles.append(line)
            spans = _spans(axes, one, colour, 1.5, rows=True)
        if spans is not None:
            spans.set_gid(f"intervals-{i}")
    if chart.kind in ("bars", "swarm"):
        axes.axvline(0, color=QUIET, lw=0.9, zorder=3)

    for level, (value, label) in enumerate(chart.thresholds):
        axes.axvline(value, color=INK, lw=0.9, ls=(0, (4, 2)), zorder=2)
        side = "right" if value > (low + high) / 2 else "left"
        height = 1 + (2.6 + 4.0 * level) / plot_height
        sheet.text(axes, value, height, label, small, across=side, frame="column")
    if several > 1:
        sheet.legend(handles, legend_names, left, sheet.height, columns)
    if shaded(chart):
        _shade_key(sheet, chart, left, sheet.height - legend_height)
    return sheet.figure


def _number_ticks(chart: Chart, start: float, end: float, width: float) -> list[tuple[float, str]]:
    ticks = _ticks(start, end, max(2, min(8, int(width / 16))))
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return [(tick, _tick_text(tick, step, x_percent(chart))) for tick in ticks]


def _draw_lines(chart: Chart, width: float, typefaces: Typefaces) -> Figure:
    several = len(chart.series) > 1
    names = [s.name for s in chart.series]
    widest = max((typefaces.width(n, 8) for n in names), default=0) * _POINT + 16
    left, bottom, top = 17.0, 12.0, 3.0
    beside = several and chart.diagonal  # a square plot leaves room at its side
    if beside:
        plot_height = plot_width = min(84.0, max(50.0, width - left - widest - 6))
    else:
        plot_width = width - left - 3
        plot_height = 84.0 if chart.diagonal else 66.0
        plot_width = min(plot_width, 110.0) if chart.diagonal else plot_width
    columns = max(1, int((width - left) / widest))
    legend_height = 5.0 * math.ceil(len(names) / columns) if several and not beside else 0.0
    top += legend_height + (_SHADE_KEY if shaded(chart) else 0.0)
    sheet = _Sheet(width, plot_height + top + bottom, typefaces)
    axes = sheet.axes(left, bottom, plot_width, plot_height)
    low, high = value_range(chart)
    drawn = points(chart)
    at = [p.at for one in drawn for p in one] or [0.0, 1.0]
    start, end = min(at), max(at)
    margin = 0.02 * (end - start) or 0.5
    axes.set_xlim(start - margin, end + margin)
    lift = 0.02 * (high - low)  # a line along the edge keeps its full width
    axes.set_ylim(low - lift, high + lift)

    _value_axis(sheet, axes, chart, 8, horizontal=False)
    for tick, text in chart.x_ticks or _number_ticks(chart, start, end, plot_width):
        axes.axvline(tick, color=GRID, lw=0.6, zorder=0)
        sheet.text(axes, tick, -3 / plot_height, text, 8, colour=QUIET, frame="column")
    sheet.text(axes, 0.5, -8.4 / plot_height, chart.x_label, 8)
    if chart.diagonal:
        axes.plot([low, high], [low, high], color=QUIET, lw=0.8, ls=(0, (1, 2)), zorder=1)

    handles: list[Any] = []
    for i, one in enumerate(drawn):
        colour, dash = PALETTE[i % len(PALETTE)], _DASHES[i % len(_DASHES)]
        if chart.kind == "points":
            _cloud(axes, [p.at for p in one], _values(one), one, i)
            marker = _MARKERS[i % len(_MARKERS)]
            handles.append(Line2D([], [], color=colour, marker=marker, ls="", ms=4))
            spans = _spans(axes, one, colour, 0.8, rows=False)
            if spans is not None:
                spans.set_gid(f"intervals-{i}")
            continue
        marker = _MARKERS[i % len(_MARKERS)] if marked(chart) else ""
        style = {"color": colour, "ls": dash, "lw": 1.5, "marker": marker, "ms": 4.2}
        handles.append(Line2D([], [], **style))
        style |= {"mec": "white", "mew": 0.5, "zorder": 4}
        axes.plot([p.at for p in one], _values(one), gid=f"series-{i}", **style)
        if marked(chart):
            spans = _spans(axes, one, colour, 1.1, rows=False)
            if spans is not None:
                spans.set_gid(f"intervals-{i}")
        else:
            band = [(p.at, p.low, p.high) for p in one if p.low is not None and p.high is not None]
            if band:
                style = {"color": colour, "alpha": 0.16, "lw": 0, "zorder": 1}
                axes.fill_between(*zip(*band, strict=True), gid=f"intervals-{i}", **style)
    for value, label in chart.thresholds:
        axes.axhline(value, color=INK, lw=0.9, ls=(0, (4, 2)), zorder=2)
        sheet.text(axes, 1, value + 0.03 * (high - low), label, 7, across="right", frame="row")
    if several:
        place = (left + plot_width + 5, sheet.height - 3) if beside else (left, sheet.height)
        sheet.legend(handles, names, *place, 1 if beside else columns)
    if shaded(chart):
        _shade_key(sheet, chart, left, sheet.height - legend_height)
    return sheet.figure


def draw(chart: Chart, width_mm: float, typefaces: Typefaces) -> Figure:
    """Draw a chart as a matplotlib figure that no window and no global state knows of.

    Artists that carry data have the gid ``series-0``, ``intervals-0`` and so on.
    """
    with mpl.rc_context(_RC):
        make = _draw_rows if in_rows(chart) else _draw_lines
        return make(chart, width_mm, typefaces)


def to_svg(chart: Chart, width_mm: float, typefaces: Typefaces | None = None) -> bytes:
    """Draw a chart for print.

    Args:
        chart: what to draw.
        width_mm: the width in millimetres; the height follows from the content.
        typefaces: the document's; the shipped ones if not given.

    Returns:
        An SVG file, the same bytes for the same arguments.
    """
    figure = draw(chart, width_mm, typefaces or Typefaces())
    target = io.BytesIO()
    with mpl.rc_context(_RC), warnings.catch_warnings():
        # A label that mixes scripts is measured with one typeface only; the
        # PDF's own layout finds the glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            target, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return target.getvalue()
