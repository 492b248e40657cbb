"""The document as one HTML file that opens from disk, without a network.

Texts are escaped by the template engine; the file's Content-Security-Policy
lets only the two scripts run that were put in here, by their hashes, and
forbids every request.
"""

from __future__ import annotations

import base64
import itertools
import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from hitl_audit.canonical import sha256
from hitl_audit.charts import Chart, plotly_json
from hitl_audit.report.document import Figure, Report, Said

__all__ = ["render_html"]

_HERE = files("hitl_audit") / "report"


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _css_text(text: str) -> str:
    # Inside <style> nothing is unescaped for us; code points are always safe.
    return '"' + "".join(f"\\{ord(c):06x}" for c in text) + '"'


def _page_margins(report: Report) -> str:
    small = "font: 8pt sans-serif"
    return (
        "@media print { @page {"
        f" @top-center {{ content: {_css_text(report.banner)}; {small}; color: #7a1f00 }}"
        f" @bottom-left {{ content: {_css_text(report.document_id)}; {small} }}"
        f' @bottom-right {{ content: "page " counter(page) " of " counter(pages); {small} }}'
        " } }"
    )


def _drawing(chart: Chart) -> Markup:
    text = json.dumps(plotly_json(chart, title=False), separators=(",", ":"), allow_nan=False)
    # A script element ends at its first "</script"; in JSON a "<" may be written otherwise.
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _with_numbers(value: Any) -> Any:
    """Every number as an element with its id; ``title`` names its place in the evidence."""
    if not isinstance(value, Said):
        return value
    parts, end = [], 0
    for number in value.numbers:
        stop = number.start + len(number.text)
        where = f"{number.id}: {', '.join(number.sources)}"
        parts += [
            escape(value[end : number.start]),
            Markup('<data value="{}" title="{}">{}</data>').format(number.id, where, number.text),
        ]
        end = stop
    return Markup("").join([*parts, escape(value[end:])])


def _policy(scripts: list[str]) -> str:
    hashes = [f"'sha256-{base64.b64encode(sha256(s.encode())).decode()}'" for s in scripts]
    return "; ".join(
        (
            "default-src 'none'",
            "script-src " + (" ".join(hashes) or "'none'"),
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def render_html(report: Report) -> str:
    """Render a report as one self-contained HTML page.

    Charts are interactive where scripts run; without them their alternative
    texts and data tables are there.

    Returns:
        The page; the same text for the same report.
    """
    blocks = itertools.chain(report.summary, *(s.blocks for s in report.sections))
    scripts = []
    if any(isinstance(b, Figure) for b in blocks):
        scripts = [_read("assets/plotly-cartesian.min.js"), _read("templates/report.js")]
    tables, figures = itertools.count(1), itertools.count(1)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_with_numbers,
        keep_trailing_newline=True,
        loader=FunctionLoader(lambda name: _read(f"templates/{name}")),
    )
    return environment.get_template("report.html.j2").render(
        report=report,
        policy=Markup(_policy(scripts)),  # noqa: S704 - made of constants and hashes
        css=Markup(_read("templates/report.css") + _page_margins(report)),  # noqa: S704
        scripts=[Markup(s) for s in scripts],  # noqa: S704
        tones={"met", "not met", "insufficient data", "not assessed"},
        kind_of=lambda block: type(block).__name__,
        next_table=lambda: next(tables),
        next_figure=lambda: next(figures),
        drawing=_drawing,
    )
