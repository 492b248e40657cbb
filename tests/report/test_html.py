"""The page: self-contained, escaped, and the same words as the document."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from plotly.offline import get_plotlyjs_version

from hitl_audit.report.document import Figure, Paragraph, Points, Report, Section, Table
from hitl_audit.report.html import render_html

HOSTILE = (
    """<script>alert(1)</script><img src=x onerror=alert(1)> "' onmouseover=x {{7*7}} &amp; ]]>"""
)


class Page(HTMLParser):
    """What a browser would see: elements with attributes, texts, scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in self.raw else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        (self.raw[self.inside] if self.inside else self.words).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(sample: Report) -> str:
    return render_html(sample)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def _policy(page: Page) -> str:
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy is not None
    return policy


def _squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, Figure):
        yield value.chart.message
        yield value.chart.alt
        yield from _texts(value.table)
    elif is_dataclass(value) and not isinstance(value, type):
        hidden = {"id", "name", "tone", "align", "language", "keywords"}
        hidden |= {"empty"} if getattr(value, "rows", ()) else set()
        for field in fields(value):
            if field.name not in hidden:
                yield from _texts(getattr(value, field.name))


def test_every_text_of_the_document_is_on_the_page(sample: Report, page: Page) -> None:
    shown = _squeezed(" ".join(page.words))
    texts = list(_texts(sample))
    assert len(texts) > 800
    assert [t for t in texts if _squeezed(t) not in shown] == []


def test_hostile_text_stays_text() -> None:
    blocks = (
        Paragraph(HOSTILE),
        Points((HOSTILE,)),
        Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), ("left",)),
    )
    report = Report(HOSTILE, HOSTILE, HOSTILE, HOSTILE, blocks, (Section("a", HOSTILE, blocks),), banner=HOSTILE, keywords=(HOSTILE,))  # fmt: skip
    page = Page(render_html(report))
    assert page.all("script") == []
    assert page.all("img") == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "alert" not in "".join(page.raw["style"])
    assert _squeezed(" ".join(page.words)).count(_squeezed(HOSTILE)) >= 12
    assert "script-src 'none'" in _policy(page)


def test_hostile_names_in_a_chart_cannot_end_its_script(sample: Report, page: Page) -> None:
    kinds = [script.get("type") for script in page.all("script")]
    assert kinds == ["application/json"] * 6 + [None, None]
    for text in page.raw["script"][:6]:
        assert "<" not in text
        assert set(json.loads(text)) >= {"data", "layout"}


def test_the_policy_admits_exactly_the_scripts_that_are_there(page: Page) -> None:
    policy = _policy(page)
    running = [
        text
        for text, script in zip(page.raw["script"], page.all("script"), strict=True)
        if script.get("type") is None
    ]
    hashes = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in running]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert re.search("script-src[^;]*unsafe", policy) is None


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
    assert page.all("link") == page.all("iframe") == page.all("base") == []
    style = "".join(page.raw["style"])
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for a in page.all("a")]
    assert len(targets) == 14
    assert all(t is not None and t[1:] in ids for t in targets)
    labels = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert all(label in ids for label in labels)


def test_tables_tell_what_their_cells_belong_to(sample: Report, page: Page) -> None:
    blocks = [b for s in sample.sections for b in s.blocks]
    expected = sum(isinstance(b, Table | Figure) for b in blocks)
    assert len(page.all("caption")) == expected
    assert len(page.all("table")) == expected + 1
    assert all(th.get("scope") in {"col", "row"} for th in page.all("th"))


def test_the_page_has_landmarks_a_language_and_one_title(sample: Report, page: Page) -> None:
    assert page.all("html")[0]["lang"] == sample.language
    for landmark in ("header", "nav", "main", "footer", "h1", "title"):
        assert len(page.all(landmark)) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_same_report_gives_the_same_page(sample: Report, html: str) -> None:
    assert render_html(sample) == html


def test_a_report_without_charts_brings_no_scripts(sample: Report) -> None:
    html = render_html(replace(sample, sections=()))
    assert "<script" not in html
    assert len(html) < 30_000


def test_the_bundle_matches_the_plotly_that_makes_the_charts() -> None:
    assets = files("hitl_audit") / "report" / "assets"
    head = (assets / "plotly-cartesian.min.js").read_text(encoding="utf-8")[:200]
    version = re.search(r"plotly\.js \(cartesian - minified\) v(\d+)\.", head)
    assert version is not None
    assert version[1] == get_plotlyjs_version().split(".")[0]
    assert "MIT License" in (assets / "plotly-LICENSE.txt").read_text(encoding="utf-8")
