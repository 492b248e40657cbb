"""A whole case by keyboard alone, on the served page, in a wide and in a narrow window."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hitl_audit.review.judgment import Judgment
from hitl_audit.review.records import Reviewer, WhatIf
from tests.browser.in_process import violations
from tests.browser.serving import Served, case_of, chromium, open_page, serving, strangers

pytestmark = pytest.mark.browser

MOST_TABS = 120
WHO_HAS_FOCUS = """() => {
  const at = document.activeElement;
  const told = at.getAttribute("aria-label") ?? (at.labels?.length
    ? [...at.labels].map((label) => label.textContent).join(" ") : at.textContent);
  return told.trim().slice(0, 80);
}"""
# Something has to show where the focus is: an outline, or a shadow in its place.
SHOWS_FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
    || style.boxShadow !== "none";
}"""


@pytest.fixture(scope="module")
def served(mortgage_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("keyboard") / "mortgage"
    shutil.copytree(mortgage_folder, folder)
    with serving(folder, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
    """Press Tab until the element of this name has the focus, and shows it."""
    passed = []
    for _ in range(MOST_TABS):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        passed.append(page.evaluate(WHO_HAS_FOCUS))
        if re.search(name, passed[-1]):
            assert page.evaluate(SHOWS_FOCUS), f"nothing shows that {passed[-1]} has the focus"
            return
    pytest.fail(f"no Tab leads to {name}; passed: {passed}")


def shot(page: Page, name: str) -> None:
    """A picture for people; only when asked for."""
    if folder := os.environ.get("HITL_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"keyboard-{name}.png"), full_page=True)


@pytest.mark.parametrize(("width", "name"), [(1280, "Ada Wide"), (420, "Ben Narrow")])
def test_a_whole_case_without_a_mouse(
    served: Served, browser: Browser, width: int, name: str
) -> None:
    requests: list[str] = []
    page = open_page(browser, served, requests, width=width)
    tab_to(page, "Your name")
    page.keyboard.type(name)
    page.keyboard.press("Enter")

    # Blind: the question has the focus, so that the number keys work at once.
    question = page.get_by_role("heading", name="What would you decide?")
    expect(question).to_be_focused(timeout=60_000)
    before = len(served.ledger.events()) if (served.folder / "judgments.db").exists() else 0
    case = case_of(page)
    page.keyboard.press("1")
    page.keyboard.press("Shift+Digit4")
    expect(page.get_by_role("radio", name="4")).to_be_checked()
    assert len(served.ledger.events()) == before  # so far nothing was recorded
    shot(page, f"1-blind-{width}")
    page.keyboard.press("Control+Enter")

    # Revealed: what the model says, and why.
    expect(page.get_by_role("heading", name="Do you agree with the model?")).to_be_focused()
    answer = page.get_by_role("region", name="The model’s answer")
    expect(answer.get_by_text("of 100")).to_be_visible()
    expect(answer.get_by_text(re.compile("(raises|lowers) by .* points")).first).to_be_attached()
    shot(page, f"2-revealed-{width}")

    # A change of one fact, and one taken back.
    tab_to(page, "^Try changes$", backwards=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Change the case")).to_be_focused(timeout=60_000)
    # The model is prepared first: until then there is nothing to change.
    expect(page.get_by_role("slider").first).to_be_visible(timeout=120_000)
    tab_to(page, "^Loan amount.*slider")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    moved = page.locator(".hw-moved")
    expect(moved).to_contain_text("your edit moved it")
    expect(page.get_by_role("img", name="How the score answers to")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(moved).to_have_text("As it is: nothing is changed")
    tab_to(page, "^Loan amount(?!.*slider)")
    page.keyboard.press("Control+a")
    page.keyboard.type("150")
    page.keyboard.press("Enter")
    expect(moved).to_contain_text("your edit moved it")
    shot(page, f"3-edited-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab_to(page, "^Done$", backwards=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The case", exact=True)).to_be_focused()

    # A disagreement is refused until it says why; the focus goes where something is missing.
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="Disagree")).to_be_focused()
    page.keyboard.press("Control+Enter")
    alert = page.get_by_role("alert").filter(has_text="To disagree, pick a reason")
    expect(alert).to_be_visible()
    reason = page.locator(".hj-reasons input").first
    expect(reason).to_be_focused()
    (joined,) = (e for e in served.ledger.events() if isinstance(e, Reviewer) and e.name == name)
    own = [j.phase for j in served.ledger.judgments() if j.reviewer == joined.reviewer]
    assert own == ["blind"]
    page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    why = page.get_by_label("Why? In a few words")
    expect(why).to_be_focused()
    page.keyboard.type("The 4 debts are too high.")  # a digit in a text chooses nothing
    expect(page.get_by_role("button", name="Disagree")).to_have_attribute("aria-pressed", "true")
    shot(page, f"4-disagree-{width}")
    assert violations(page, within=".hitl-judge") == []
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="Next case")).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Saved at")).to_contain_text("record")
    shot(page, f"5-saved-{width}")
    page.keyboard.press("Alt+n")
    expect(question).to_be_focused()
    assert case_of(page) != case

    # What the ledger has of it, in its order.
    assert joined.identified_by == "declared"
    rows: list[tuple[object, ...]] = [
        (e.phase, e.answer, e.confidence) if isinstance(e, Judgment) else ("edit", *e.edits[0])
        for e in served.ledger.events()
        if isinstance(e, Judgment | WhatIf) and e.reviewer == joined.reviewer
    ]
    assert [row[0] for row in rows] == ["blind", "edit", "edit", "final"]
    assert rows[0] == ("blind", "favorable", 4)
    assert [row[1] for row in rows[1:3]] == ["loanamt", "loanamt"]
    assert rows[2][3] == "150"
    assert rows[3] == ("final", "disagree", None)
    final = next(j for j in served.ledger.judgments()[::-1] if j.reviewer == joined.reviewer)
    assert final.case_id == case
    assert final.rationale == "The 4 debts are too high."
    assert final.shown[:2] == ("case", "prediction")
    assert final.shown[-1] == "what-if"
    assert served.ledger.verify() == ()
    assert strangers(requests) == []
    page.context.close()


def test_the_shortcuts_are_printed_where_they_work_and_can_be_switched_off(
    served: Served, browser: Browser
) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "review-page.md").read_text()
    page = open_page(browser, served, [])
    page.get_by_label("Your name").fill("Cleo Keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What would you decide?")).to_be_focused(timeout=60_000)
    for place, button in enumerate(page.locator(".hj-answers button").all(), start=1):
        expect(button).to_contain_text(str(place))
        expect(button).to_have_attribute("aria-keyshortcuts", str(place))
    expect(page.get_by_role("button", name="Save")).to_contain_text("Ctrl+Enter")
    page.get_by_text("Keyboard", exact=True).click()
    printed = page.locator(".hj-keys p").text_content() or ""
    for key in ("1–4", "Shift+1–5", "Ctrl+Enter", "Alt+N", "Ctrl+Z"):
        assert key in printed
        assert key.replace("–", " to ") in documented

    # Single keys can be switched off, and stay off after a reload (WCAG 2.1.4).
    page.get_by_label("Number keys choose").uncheck()
    page.reload(wait_until="commit")
    expect(page.get_by_role("heading", name="What would you decide?")).to_be_focused(timeout=60_000)
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="approve")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="approve").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="approve")).to_have_attribute("aria-pressed", "true")
    page.context.close()
