"""The what-if panel and the judging page in one notebook of a real JupyterLab."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from hitl_audit.review.ledger import Ledger
from tests.browser.in_process import ARGUMENTS, violations
from tests.browser.jupyterlab import Lab, jupyterlab, open_and_run
from tests.browser.serving import strangers
from tests.conftest import Clock
from tests.test_reviewing import small_audit

pytestmark = pytest.mark.browser

MOST_BYTES = 100_000
PATIENT = 30_000  # ms: several kernels may share the machine
REVIEW = """
import hitl_audit as ha
audit = ha.Audit.open("audit")
audit.review(reviewer="Dana Lab")
"""
WHAT_IF = "audit.what_if(audit.results.sample.case_ids[0])"


@pytest.fixture
def lab(tmp_path: Path, clock: Clock) -> Iterator[Lab]:
    with jupyterlab(tmp_path, REVIEW, WHAT_IF) as lab:
        small_audit(lab.folder / "audit", clock, {"cases": 12}).run(progress=False)
        yield lab


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


def save(page: Page, lab: Lab) -> int:
    """Save the notebook as people do; its size in bytes on disk."""
    written = lab.notebook.stat().st_mtime_ns
    # Within a widget keys are the widget's: from a cell they are JupyterLab's.
    page.locator(".jp-CodeCell .cm-content").first.click(position={"x": 5, "y": 5})
    with page.expect_response(
        lambda answer: "/api/contents/judge.ipynb" in answer.url and answer.request.method == "PUT"
    ):
        page.keyboard.press("Control+s")
    assert lab.notebook.stat().st_mtime_ns > written
    return lab.notebook.stat().st_size


def test_an_edit_moves_the_number_and_the_notebook_stays_small(lab: Lab, page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    open_and_run(page, lab, region="What if")
    panel = page.get_by_role("region", name="What if", exact=True)
    moved = panel.locator(".hw-moved")

    # Opened: nothing is edited, and nothing is in the ledger but who joined the review.
    expect(moved).to_have_text("As it is: nothing is changed", timeout=60_000)
    ledger = Ledger(lab.folder / "audit" / "judgments.db", read_only=True)
    assert {event.KIND for event in ledger.events()} <= {"reviewer"}
    expect(panel.get_by_role("button", name="Undo")).to_be_disabled()
    before = panel.locator(".hj-chance").text_content()

    # An edit moves the number, and undoing it brings the number back.
    income = panel.get_by_label("income", exact=True)
    income.fill("40")
    income.press("Enter")
    expect(moved).to_contain_text("your edit moved it", timeout=PATIENT)
    expect(panel.locator(".hj-chance")).not_to_have_text(before or "")
    expect(panel.get_by_role("img", name="How the score answers to")).to_be_visible()
    # Keys that JupyterLab would take: "d d" deletes a cell, "z" undoes that.
    panel.get_by_role("button", name="Redo").focus()
    panel.get_by_role("button", name="Undo").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.locator(".jp-CodeCell").count() == 2
    page.keyboard.press("Control+z")
    expect(moved).to_have_text("As it is: nothing is changed")
    expect(panel.locator(".hj-chance")).to_have_text(re.compile(re.escape((before or "").strip())))
    income.fill("40")
    income.press("Enter")
    expect(moved).to_contain_text("your edit moved it", timeout=PATIENT)
    assert violations(page, within=".hw-panel") == []

    # A case is judged in the same notebook, with a change tried on the way.
    review = page.get_by_role("region", name="Case review")
    review.get_by_role("button", name="grant").click()
    review.get_by_role("button", name="Save").click()
    review.get_by_role("button", name="Try changes").click()
    slider = review.locator(".hw-slider").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(review.locator(".hw-moved")).to_contain_text("your edit moved it", timeout=PATIENT)
    review.get_by_role("button", name="Agree", exact=True).click()
    review.get_by_role("button", name="Save").click()
    expect(review.get_by_role("button", name="Next case")).to_be_focused(timeout=PATIENT)
    kinds = [event.KIND for event in ledger.events()]
    assert [kind for kind in kinds if kind in ("judgment", "what-if")] == [
        "judgment", "what-if", "judgment",
    ]  # fmt: skip

    size = save(page, lab)
    saved = json.loads(lab.notebook.read_text())
    assert all(cell["outputs"] for cell in saved["cells"])
    print(f"saved notebook: {size:,} bytes")
    assert size < MOST_BYTES, {key: len(json.dumps(value)) for key, value in saved.items()}
    assert strangers(requests) == []
