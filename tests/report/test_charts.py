"""The screen and the page draw the same numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure as MplFigure

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import ReportError
from hitl_audit.report.charts import draw, to_svg
from hitl_audit.report.document import Figure, Report
from hitl_audit.report.typefaces import Typefaces

WIDTH = 166.0
Drawn = list[tuple[Chart, Any, MplFigure]]


def _charts(report: Report) -> list[Chart]:
    return [b.chart for s in report.sections for b in s.blocks if isinstance(b, Figure)]


@pytest.fixture(scope="module")
def drawn(sample: Report) -> Drawn:
    faces = Typefaces()
    return [(c, to_plotly(c), draw(c, WIDTH, faces)) for c in _charts(sample)]


def _simple(*values: float | None, kind: Any = "intervals", **more: Any) -> Chart:
    names = tuple(f"group {i}" for i in range(len(values)))
    return Chart(kind, "message", "alt", "value", (Series("all", names, values),), **more)


def _numbers(values: Any) -> list[float | None]:
    return [None if v is None or math.isnan(v) else round(float(v), 9) for v in values]


def _artists(figure: MplFigure, gid: str) -> list[Any]:
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def _printed(chart: Chart, figure: MplFigure, i: int) -> tuple[list[Any], list[Any]]:
    drawn = _artists(figure, f"series-{i}")
    if chart.kind == "bars":
        middles = [bar.get_y() + bar.get_height() / 2 for bar in drawn]
        return _numbers(bar.get_width() for bar in drawn), _numbers(middles)
    (line,) = drawn
    return _numbers(line.get_xdata()), _numbers(line.get_ydata())


def _whiskers(trace: Any) -> list[tuple[float, float, float]]:
    across = trace.orientation == "h"
    error = trace.error_x if across else trace.error_y
    at, values = (trace.y, trace.x) if across else (trace.x, trace.y)
    ends = [
        (round(a, 9), round(v - down, 9), round(v + up, 9))
        for a, v, up, down in zip(
            at, values, error.array or (), error.arrayminus or (), strict=True
        )
        if v is not None
    ]
    return [e for e in ends if e[2] > e[1]]


def _printed_whiskers(chart: Chart, figure: MplFigure, i: int) -> list[tuple[float, float, float]]:
    (lines,) = _artists(figure, f"intervals-{i}")
    along = slice(None, None, -1) if chart.kind != "lines" else slice(None)
    ends = [[tuple(point[along]) for point in segment] for segment in lines.get_segments()]
    return [(round(float(a[0]), 9), round(float(a[1]), 9), round(float(b[1]), 9)) for a, b in ends]


def test_screen_and_print_draw_the_same_values(drawn: Drawn) -> None:
    for chart, figure, printed in drawn:
        screen = [t for t in figure.data if t.showlegend is not False]
        assert len(screen) == len(chart.series)
        for i, trace in enumerate(screen):
            assert _printed(chart, printed, i) == (_numbers(trace.x), _numbers(trace.y))


def test_screen_and_print_draw_the_same_intervals(drawn: Drawn) -> None:
    compared = 0
    for chart, figure, printed in drawn:
        screen = [t for t in figure.data if t.showlegend is not False]
        for i, trace in enumerate(screen):
            if trace.error_x.array or trace.error_y.array:
                assert _printed_whiskers(chart, printed, i) == _whiskers(trace)
                compared += 1
    assert compared >= 5


def test_bands_of_curves_are_the_same(drawn: Drawn) -> None:
    figure, printed = next((f, p) for c, f, p in drawn if c.diagonal)
    bands = [t for t in figure.data if t.fill == "toself"]
    assert len(bands) == 3
    for i, band in enumerate(bands):
        (area,) = _artists(printed, f"intervals-{i}")
        corners = {(round(x, 9), round(y, 9)) for x, y in area.get_paths()[0].vertices}
        assert corners == {(round(x, 9), round(y, 9)) for x, y in zip(band.x, band.y, strict=True)}


def test_names_notes_and_thresholds_are_on_both(sample: Report) -> None:
    chart = next(c for c in _charts(sample) if c.kind == "intervals" and len(c.series) == 2)
    svg = to_svg(chart, WIDTH).decode()
    annotations = [a.text for a in to_plotly(chart).layout.annotations]
    for text in ("at least 80%", "target", "n = 811", "n = 0 · no value"):
        assert text in annotations
        assert f">{text}</text>" in svg
    assert "_People &amp; model" in svg


def test_hostile_names_stay_text() -> None:
    name = '<a href="https://example.org">$x^2$</a>'
    chart = Chart("bars", "m", "a", "v", (Series("s", (name,), (1.0,)),))
    ticks = to_plotly(chart).layout.yaxis.ticktext
    assert "<a" not in ticks[0]
    assert "&lt;a" in ticks[0]
    svg = to_svg(chart, WIDTH).decode()
    assert "$x^2$" in svg
    assert "<a " not in svg


def test_the_print_is_the_same_bytes_and_text_stays_text(sample: Report) -> None:
    for chart in _charts(sample):
        svg = to_svg(chart, WIDTH)
        assert svg == to_svg(chart, WIDTH)
        assert b"font-family: 'Inter', 'DejaVu Sans'" in svg
        assert b"dc:date" not in svg


def test_nothing_global_is_changed(sample: Report) -> None:
    before = dict(mpl.rcParams)
    for chart in _charts(sample):
        to_svg(chart, WIDTH)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", ["intervals", "bars"])
def test_height_grows_with_the_categories_and_stays_on_a_page(kind: str) -> None:
    faces = Typefaces()
    charts = [_simple(*([0.5] * count), kind=kind) for count in (1, 10, 60)]
    heights = [draw(chart, WIDTH, faces).get_size_inches()[1] * 25.4 for chart in charts]
    assert heights == sorted(set(heights))
    assert heights[-1] < 235
    screen = [to_plotly(chart).layout.height for chart in charts]
    assert screen == sorted(set(screen))


def test_legend_only_for_several_series(drawn: Drawn) -> None:
    for chart, figure, printed in drawn:
        assert figure.layout.showlegend is (len(chart.series) > 1)
        assert bool(_artists(printed, "legend")) is (len(chart.series) > 1)


def test_series_differ_by_more_than_colour() -> None:
    names = ("a", "b")
    series = tuple(Series(f"series {i}", names, (0.1 * i, 0.5)) for i in range(7))
    kinds: tuple[Any, ...] = ("intervals", "bars")
    for kind in kinds:
        traces = to_plotly(Chart(kind, "m", "a", "v", series)).data
        assert len({t.marker.color for t in traces}) == 7
        forms = [t.marker.symbol if kind == "intervals" else t.marker.pattern.shape for t in traces]
        assert len(set(forms)) == 7
    curves = tuple(Series(s.name, (0.0, 1.0), s.y) for s in series)
    traces = to_plotly(Chart("lines", "m", "a", "v", curves)).data
    assert len({(t.line.dash, t.marker.symbol) for t in traces}) == 7


def test_hover_texts_tell_value_interval_and_n(sample: Report) -> None:
    chart = next(c for c in _charts(sample) if c.percent and len(c.series) == 1)
    assert to_plotly(chart).data[0].hovertext[0] == (
        "<b>Group 01 · Native Hawaiian or Other Pac.</b><br>45.0% (40.0% to 52.0%)<br>n = 30"
    )


def test_an_unbounded_interval_is_drawn_to_the_edge() -> None:
    series = Series("all", ("a",), (2.0,), (1.0,), (math.inf,), ("n = 3",))
    chart = Chart("intervals", "m", "a", "v", (series,), value_range=(0.0, 5.0))
    trace = to_plotly(chart).data[0]
    assert trace.error_x.array == (3.0,)
    assert trace.hovertext[0] == "<b>a</b><br>2 (1 to ∞)<br>n = 3"
    (lines,) = _artists(draw(chart, WIDTH, Typefaces()), "intervals-0")
    assert lines.get_segments()[0][1][0] == 5.0


@pytest.mark.parametrize(
    "chart",
    [
        _simple(),
        _simple(None, None),
        _simple(0.0, kind="bars"),
        _simple(0.5, 0.5),
        _simple(-1e6, 1e6),
        Chart("lines", "m", "a", "v", (Series("one", (1.0,), (2.0,)),), x_label="x"),
        Chart("lines", "m", "a", "v", ()),
    ],
)
def test_little_data_is_drawn_too(chart: Chart) -> None:
    assert to_svg(chart, WIDTH).startswith(b"<?xml")
    assert to_plotly(chart).layout.height > 60


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ReportError, match=r'"s": got 1 values in low, expected 2, one per x'):
        Series("s", ("a", "b"), (1.0, 2.0), low=(0.5,))


def test_title_can_be_left_to_the_page() -> None:
    chart = _simple(0.5)
    assert to_plotly(chart).layout.title.text == "message"
    bare = to_plotly(chart, title=False).layout
    assert bare.title.text is None
    assert bare.height < to_plotly(chart).layout.height


def test_ticks_are_round_numbers() -> None:
    svg = to_svg(_simple(0.0, 0.02, value_range=(0.0, 0.02), percent=True), WIDTH).decode()
    ticks = re.findall(r">([\d.]+%)</text>", svg)
    assert ticks[0] == "0.00%"
    assert ticks[-1] == "2.00%"
