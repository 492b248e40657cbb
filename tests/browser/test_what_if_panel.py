"""The what-if panel in a real browser: by mouse, by keyboard, on every width, for everybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import WhatIf as Tried
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import ReviewSession
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.widgets.judge import JudgeWidget
from hitl_audit.widgets.trials import Trials, ahead
from hitl_audit.widgets.what_if_panel import WhatIfPanel
from tests.browser.in_process import ARGUMENTS, show, violations
from tests.what_if.conftest import people, prepared

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
GROUPS = (("Money", ("income", "debt", "ratio")), (HOSTILE, ("age", "region", "owner", "sex")))
LABELS = ("Approve", "Deny")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []
    assert page.title() == "Review"
    context.close()


def trials(**changes: Any) -> Trials:
    X, _ = people()
    engine: WhatIf = prepared("boosting")
    return Trials(
        ahead(lambda: engine), GROUPS, {"sex": list(X["sex"])}, {"sex": HOSTILE}, **changes
    )


def panel(case: str = "P3", **changes: Any) -> WhatIfPanel:
    return WhatIfPanel(trials(**changes), case, labels=LABELS, beside=lambda work: work())


def test_a_slider_by_mouse_is_one_edit_and_undo_takes_it_back(page: Page) -> None:
    widget = panel()
    show(page, widget)
    slider = page.get_by_label("Income, slider")
    box = slider.bounding_box()
    assert box is not None
    decision = page.locator(".hw-moved")
    expect(decision).to_have_text("As it is: nothing is changed")
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.5, 0.6, 0.7, 0.8):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
    expect(decision).to_contain_text("your edit moved it")
    assert widget.desk.history.revision == 0  # held: nothing is edited yet
    page.mouse.up()
    curve = page.get_by_role("img", name="How the score answers to Income")
    expect(curve).to_be_visible()
    assert widget.desk.history.revision == 1
    start = widget.desk.engine.words("income", widget.desk.history.start_values["income"])
    expect(page.get_by_text(f"was {start}")).to_be_visible()
    answer = widget.desk.engine.answer(widget.desk.history)
    expect(page.locator(".hj-chance")).to_contain_text(f"{answer.prediction * 100:.1f} of 100")
    page.get_by_role("button", name="Undo").click()
    expect(decision).to_have_text("As it is: nothing is changed")
    page.get_by_role("button", name="Redo").click()
    expect(decision).to_contain_text("your edit moved it")
    page.get_by_role("button", name="Reset all").click()
    expect(decision).to_have_text("As it is: nothing is changed")


def test_only_the_latest_of_many_values_is_asked(page: Page) -> None:
    widget = panel()
    sent = show(page, widget)
    slider = page.get_by_label("Debt, slider")
    expect(slider).to_be_visible()
    slider.evaluate(
        """(slider) => {
          for (let i = 1; i <= 50; i++) {
            slider.value = Number(slider.min) + i * Number(slider.step);
            slider.dispatchEvent(new Event("input", { bubbles: true }));
          }
          slider.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    expect(page.get_by_role("img", name="How the score answers to Debt")).to_be_visible()
    values = [m["value"] for m in sent if m["act"] in ("try", "set")]
    assert len(values) <= 4
    assert widget.desk.history.values["debt"] == pytest.approx(values[-1])
    assert widget.desk.history.revision == 1


def test_by_keyboard_alone(page: Page) -> None:
    widget = panel()
    show(page, widget)
    expect(page.get_by_label("Income, slider")).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Income, slider":
            break
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name="How the score answers to Income")).to_be_visible()
    assert widget.desk.history.revision == 1  # four keys are one edit
    page.keyboard.press("Control+z")
    expect(page.locator(".hw-moved")).to_have_text("As it is: nothing is changed")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+a")
    page.keyboard.type("999")
    page.keyboard.press("Enter")
    box = page.get_by_label("Income", exact=True)
    expect(page.get_by_role("alert").filter(has_text="must be between")).to_be_visible()
    expect(box).to_be_focused()
    expect(box).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Control+a")
    page.keyboard.type("1,0,0")
    page.keyboard.press("Escape")
    assert box.input_value() != "1,0,0"


def test_what_is_expected_is_asked_before_anything_moves(page: Page) -> None:
    widget = panel(expectation_first=True)
    show(page, widget)
    box = page.get_by_label("Debt", exact=True)
    box.fill("70")
    box.press("Enter")
    expect(page.get_by_text("With Debt 70, the score will …")).to_be_visible()
    assert widget.desk.history.revision == 0
    page.get_by_role("button", name="▲ go up").click()
    expect(page.get_by_text("You expected the score to go up")).to_be_visible()
    assert widget.desk.history.revision == 1
    assert widget.desk.results[0].expectation.expected == "up"


def test_questions_about_a_case(page: Page) -> None:
    widget = panel()
    show(page, widget)
    page.get_by_role("button", name="Smallest changes to the other decision").click()
    page.get_by_role("button", name="Try it").first.click()
    expect(page.get_by_text("the decision changes")).to_be_visible()
    page.get_by_role("button", name="Keep this version").click()
    expect(page.get_by_role("columnheader", name="Version 1")).to_be_visible()
    page.get_by_role("button", name="A similar person, decided otherwise").click()
    expect(page.get_by_role("columnheader", name="That person")).to_be_visible()
    page.get_by_role("button", name="As another").click()
    expect(page.get_by_role("region", name="Nothing else changed")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_on_any_width(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    show(page, panel(expectation_first=True))
    box = page.get_by_label("Debt", exact=True)
    box.fill("90")
    box.press("Enter")
    page.get_by_role("button", name="▼ go down").click()
    expect(page.get_by_text("No one like this in the data").first).to_be_visible()
    assert violations(page) == []
    for width in (360, 640, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 360, "height": 900})
    assert violations(page) == []


def test_trying_changes_while_judging(page: Page, tmp_path: Path) -> None:
    engine = prepared("boosting")
    cases = people()[0].head(3)

    def reveal(case: str) -> Revealed:
        score = engine.scored(engine.start(case))
        decision: Literal["favorable", "unfavorable"] = (
            "favorable" if score >= 0.5 else "unfavorable"
        )
        reason = f"SHAP and LIME disagree {HOSTILE}"
        return Revealed(decision, score, 0.5, (), reliable=False, reason=reason)

    session = ReviewSession(
        sample_cases(cases, 3),
        cases,
        reveal,
        Ledger(tmp_path / "judgments.db"),
        reviewer="Dana",
        role="domain expert",
        model_digest="m",
        plan_digest="p",
        reasons=("Unfair",),
        labels=LABELS,
    )
    widget = JudgeWidget(session, trials=trials(), groups=GROUPS, beside=lambda work: work())
    show(page, widget)
    expect(page.get_by_role("heading", name="What would you decide?")).to_be_visible()
    expect(page.get_by_role("button", name="Try changes")).to_have_count(0)
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("3")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Disagree").click()
    page.get_by_label("Why? In a few words").fill("too little")
    page.get_by_role("button", name="Try changes").click()
    expect(page.get_by_role("heading", name="Change the case")).to_be_focused()
    expect(page.get_by_text("Do not rely on this explanation.")).to_be_visible()
    debt = page.get_by_label("Debt", exact=True)
    debt.fill("41")  # digits in a field choose no verdict
    debt.press("Enter")
    expect(page.get_by_text("your edit moved it").first).to_be_visible()
    expect(page.get_by_role("button", name="Disagree")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Why? In a few words")).to_have_value("too little")
    assert violations(page) == []
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="The case", exact=True)).to_be_focused()
    # An edit that waits for the next arrow key is recorded before the verdict.
    page.get_by_role("button", name="Try changes").click()
    page.get_by_label("Income, slider").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_label("Unfair").check()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="Next case")).to_be_focused()
    events = list(session.ledger.events())
    tried = [event for event in events if isinstance(event, Tried)]
    assert [event.edits[0][0] for event in tried] == ["debt", "income"]
    assert session.ledger.judgments()[-1].shown[-1] == "what-if"
    assert session.ledger.judgments()[-1].rationale == "too little"
