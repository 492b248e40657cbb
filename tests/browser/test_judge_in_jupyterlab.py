"""A person judges cases in a real JupyterLab, in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from hitl_audit.review.ledger import Ledger
from tests.browser.in_process import ARGUMENTS
from tests.browser.jupyterlab import Lab, jupyterlab, open_and_run

pytestmark = pytest.mark.browser

SETUP = """
import pandas as pd
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import ReviewSession, Revealed
from hitl_audit.widgets.judge import JudgeWidget

cases = pd.DataFrame(
    {
        "Loan amount ($1000)": [116, 240, 98],
        "Monthly income ($)": [3055, 8200, 2140],
        "Other obligations (% of income)": [25.09, 14.6, 41.0],
        "Credit history": ["clean", "<b id='hostile'>2 late</b>", "clean"],
        "Bankruptcy on file": [False, True, False],
        "Net worth ($1000)": [147.0, None, 12.5],
    },
    index=["a1", "b2", "c3"],
)

def reveal(case_id):
    row = cases.loc[case_id]
    effects = [0.148, -0.075, 0.028, -0.027, 0.013, 0.0]
    words = ["116", "3,055", "25.09", str(row["Credit history"]), "no", "147"]
    pairs = tuple(zip(cases.columns, words, effects))
    if case_id == "c3":
        return Revealed("unfavorable", 0.31, 0.5, pairs, reliable=False, base=0.72,
                        reason="SHAP and LIME disagree on the main factor.")
    return Revealed("favorable", 0.858, 0.5, pairs, base=0.72)

session = ReviewSession(
    sample_cases(cases, 3), cases, reveal, Ledger("judgments.db"),
    reviewer="Dana Reviewer", role="domain expert", model_digest="m", plan_digest="p",
    reasons=["A factor that matters is missing", "A factor weighs too much",
             "A factor weighs too little", "The data about this person look wrong",
             "The decision would be unfair", "Something else"],
    labels=("Approve", "Deny"),
)
JudgeWidget(session)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with jupyterlab(tmp_path, SETUP) as lab:
        yield lab


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        page = browser.new_page(
            viewport={"width": 1280, "height": 1900 if os.environ.get("HITL_SHOTS") else 1000}
        )
        page.set_default_timeout(20_000)
        yield page
        browser.close()


def shot(page: Page, name: str) -> None:
    """A picture of each state at three widths, for people; only when asked for."""
    folder = os.environ.get("HITL_SHOTS")
    if not folder:
        return
    widget = page.locator(".hitl-judge")
    for width in ("1080px", "420px"):
        widget.evaluate("(element, width) => { element.style.width = width }", width)
        widget.screenshot(path=str(Path(folder) / f"{name}-{width}.png"))
    widget.evaluate("(element) => { element.style.width = '' }")


def test_judging_by_mouse_and_by_keyboard_through_a_reload(lab: Lab, page: Page) -> None:
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: (
            None
            if re.match(r"(https?://127\.0\.0\.1|data:|blob:)", request.url)
            else foreign.append(request.url)
        ),
    )
    open_and_run(page, lab)
    review = page.get_by_role("region", name="Case review")
    status = review.get_by_role("status").filter(has_text="aved")

    # Case 1, by mouse: blind, then a disagreement that is refused until it says why.
    expect(review.get_by_role("heading", name="What would you decide?")).to_be_visible()
    expect(review.get_by_text("1 of 3")).to_be_visible()
    expect(review.get_by_text("The model’s answer stays hidden")).to_be_visible()
    expect(review.get_by_role("button", name="Save")).to_be_disabled()
    review.get_by_role("button", name="Approve").click()
    review.get_by_role("radio", name="5 certain").check()
    shot(page, "1-blind")
    review.get_by_role("button", name="Save").click()
    expect(review.get_by_role("heading", name="Do you agree with the model?")).to_be_focused()
    expect(review.get_by_text("raises by 14.8 points")).to_have_count(1)
    expect(review.get_by_text("Your own decision was: Approve")).to_be_visible()
    shot(page, "2-final")

    # A reload in the middle of a case comes back to the same case and step.
    page.keyboard.press("Control+s")
    open_and_run(page, lab)
    expect(review.get_by_role("heading", name="Do you agree with the model?")).to_be_visible()
    expect(review.get_by_text("1 of 3")).to_be_visible()

    review.get_by_role("button", name="Disagree").click()
    review.get_by_role("button", name="Save").click()
    alert = review.get_by_role("alert").filter(has_text="To disagree, pick a reason")
    expect(alert).to_be_visible()
    expect(review.get_by_label("A factor that matters is missing")).to_be_focused()
    shot(page, "3-refused")
    review.get_by_label("A factor weighs too much").check()
    review.get_by_label("Why? In a few words").fill(
        "<img src=x onerror=alert(1)> two late payments"
    )
    review.get_by_label("Anything to add? (optional)").fill("asked the branch")
    review.get_by_role("button", name="Save").click()
    expect(review.get_by_role("button", name="Next case")).to_be_focused()
    expect(status).to_contain_text("record")
    shot(page, "4-saved")

    # Case 2, by keyboard alone; JupyterLab does not take the keys for itself.
    page.keyboard.press("Alt+n")
    expect(review.get_by_text("2 of 3")).to_be_visible()
    expect(review.get_by_role("heading", name="What would you decide?")).to_be_focused()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.keyboard.press("2")
    expect(review.get_by_role("button", name="Deny")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+Digit2")
    expect(review.get_by_role("radio", name="2")).to_be_checked()
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("heading", name="Do you agree with the model?")).to_be_focused()
    shot(page, "5-final-second")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("button", name="Next case")).to_be_focused()
    expect(review.locator("#hostile")).to_have_count(0)

    # Looking back at case 1 shows what was recorded there; nothing can be changed.
    review.get_by_role("button", name="Look back").click()
    review.get_by_role("button", name="Earlier case").click()
    expect(review.get_by_text("Your own decision: Approve, 5 of 5 sure")).to_be_visible()
    expect(review.get_by_text("Verdict on the model: Disagree")).to_be_visible()
    expect(review.get_by_role("button", name="Save")).to_have_count(0)
    shot(page, "5-back")

    # Case 3: the kernel dies. The answer waits in the browser and arrives after a reload.
    page.keyboard.press("Alt+n")
    expect(review.get_by_role("button", name="Approve")).to_be_visible()
    page.keyboard.press("Control+s")
    lab.kill_kernels(page)
    review.get_by_role("button", name="Approve").click()
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("alert")).to_contain_text("Not saved yet: the connection is lost")
    shot(page, "6-lost")
    open_and_run(page, lab)
    expect(review.get_by_role("heading", name="Do you agree with the model?")).to_be_visible()
    expect(review.get_by_text("Your own decision was: Approve")).to_be_visible()
    page.locator(".hj-answers button").first.focus()
    page.keyboard.press("4")
    page.keyboard.press("Control+Enter")
    review.get_by_role("button", name="Next case").click()
    expect(review.get_by_role("heading", name="All 3 cases are judged")).to_be_focused()
    shot(page, "7-done")

    events = Ledger(lab.folder / "judgments.db", read_only=True).judgments()
    first, second, third = (events[i].case_id for i in (0, 2, 4))
    assert {first, second, third} == {"a1", "b2", "c3"}
    assert [(event.case_id, event.phase, event.answer) for event in events] == [
        (first, "blind", "favorable"),
        (first, "final", "disagree"),
        (second, "blind", "unfavorable"),
        (second, "final", "agree"),
        (third, "blind", "favorable"),
        (third, "final", "escalate"),
    ]
    assert events[0].shown == ("case",)
    assert events[1].shown[:2] == ("case", "prediction")
    assert [event.confidence for event in events[:4]] == [5, None, 2, None]
    scores = [(event.case_id, event.model_score) for event in events if event.phase == "final"]
    assert scores == [(case, 0.31 if case == "c3" else 0.858) for case in (first, second, third)]
    assert events[1].reasons == ("A factor weighs too much",)
    assert events[1].rationale == "<img src=x onerror=alert(1)> two late payments"
    assert events[1].note == "asked the branch"
    assert {event.reviewer for event in events} == {"Dana Reviewer"}
    assert not any(event.simulated for event in events)
    assert foreign == []
