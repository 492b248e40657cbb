"""The report's page, opened from disk in a real browser without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from hitl_audit.charts import Chart, Series
from hitl_audit.report.document import (
    Figure,
    Opinion,
    OpinionRow,
    Paragraph,
    Report,
    Section,
    Table,
)
from hitl_audit.report.html import render_html

pytestmark = pytest.mark.browser

HOSTILE = '</script><script>document.title = "taken"</script><img src=x onerror="document.title=1">'
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


def _table(caption: str) -> Table:
    rows = (("white", "811", "90.1%"), (HOSTILE, "97", "71.0%"))
    return Table(caption, ("Group", "n", "Rate"), rows, ("left", "right", "right"))


def _report() -> Report:
    names = ("white", HOSTILE)
    rates = Series("model", names, (0.9, 0.71), (0.88, 0.6), (0.92, 0.8), ("n = 811", "n = 97"))
    people = Series("people", names, (0.9, None))
    curve = Series("all", (0.0, 0.5, 1.0), (0.0, 0.8, 1.0), (0.0, 0.7, 0.9), (0.1, 0.9, 1.0))
    charts = (
        Chart("intervals", "Rates differ.", "Alternative text one.", "rate", (rates, people), thresholds=((0.8, "four fifths"),), percent=True),
        Chart("bars", "One feature carries it.", "Alternative text two.", "gap", (Series("gap", names, (0.1, -0.2)),)),
        Chart("lines", "It ranks well.", "Alternative text three.", "tpr", (curve,), x_label="fpr", diagonal=True, value_range=(0.0, 1.0)),
    )  # fmt: skip
    figures = tuple(Figure(chart, _table(f"Values of chart {i}")) for i, chart in enumerate(charts))
    opinion = Opinion((OpinionRow("Ratio", "≥ 0.8", "0.84", "0.81 to 0.88", "met", "Clear."),))
    sections = (
        Section("charts", "Charts", figures),
        Section("words", "Words", (Paragraph(HOSTILE), _table("A wide table " * 8))),
    )
    return Report("A report", HOSTILE, "ID-1", "today", (opinion,), sections, banner="SIMULATED")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("html") / "report.html"
    file.write_text(render_html(_report()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


def _open(context: BrowserContext, address: str) -> tuple[Page, list[str]]:
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != address else None)  # fmt: skip
    page.goto(address)
    return page, complaints


def _wait(page: Page) -> None:
    # No wait_for_function: it evaluates strings, which the page's policy forbids.
    for chart in page.locator(".drawing").all():
        chart.locator(".main-svg").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_charts_are_drawn_and_nothing_complains(
    browser: Browser, address: str, scheme: Any, width: int
) -> None:
    context = browser.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page, complaints = _open(context, address)
    _wait(page)
    assert complaints == []
    assert page.title() == "A report"
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".drawing .cartesianlayer .trace").count() == 5
    # Plotly draws one mark per value, and none where there is no value.
    assert page.locator(".drawing").nth(0).locator(".points .point").count() == 3
    assert page.locator(".drawing").nth(1).locator(".bars .point").count() == 2
    context.close()


def test_texts_of_charts_can_be_read_on_both_backgrounds(browser: Browser, address: str) -> None:
    contrast = """() => {
      const numbers = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
      const light = (colour) => numbers(colour).map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return [...document.querySelectorAll(".drawing text")].filter((t) => t.textContent)
        .map((t) => light(getComputedStyle(t).fill))
        .map((ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
    }"""
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme)
        page, _ = _open(context, address)
        _wait(page)
        ratios = page.evaluate(contrast)
        assert len(ratios) > 20
        assert min(ratios) >= 4.5
        context.close()


def test_data_tables_fold_and_open_for_print(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True)
    page, _ = _open(context, address)
    table = page.locator("figure table").first
    table.wait_for(state="hidden")
    page.locator("summary").first.click()
    table.wait_for(state="visible")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("figure details[open]").count() == 3
    context.close()


def test_without_scripts_words_and_tables_are_there(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True, java_script_enabled=False)
    page, complaints = _open(context, address)
    assert complaints == []
    for number in ("one", "two", "three"):
        assert page.get_by_text(f"Alternative text {number}.").is_visible()
    assert page.locator("figure table:visible").count() == 3
    assert page.get_by_text("90.1%").first.is_visible()
    context.close()


def test_an_injected_script_is_stopped_by_the_policy(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    evil = render_html(_report()).replace(
        "<footer>", "<script>document.title = 'taken'</script><footer>"
    )
    file = tmp_path / "evil.html"
    file.write_text(evil, encoding="utf-8")
    context = browser.new_context(offline=True)
    page, complaints = _open(context, file.as_uri())
    assert page.title() == "A report"
    assert any("Content Security Policy" in text for text in complaints)
    context.close()


def test_the_keyboard_reaches_the_document(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True)
    page, _ = _open(context, address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the document"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser: Browser, address: str, scheme: Any) -> None:
    context = browser.new_context(offline=True, color_scheme=scheme)
    page, _ = _open(context, address)
    _wait(page)
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
    found = page.evaluate("tags => axe.run(document, { runOnly: tags })", tags)
    assert len(found["passes"]) > 20
    assert [(v["id"], v["impact"]) for v in found["violations"]] == []
    context.close()


def test_the_page_prints_in_full(browser: Browser, address: str) -> None:
    context = browser.new_context(offline=True)
    page, _ = _open(context, address)
    _wait(page)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("figure table:visible").count() == 3
    assert page.pdf().startswith(b"%PDF")
    context.close()
