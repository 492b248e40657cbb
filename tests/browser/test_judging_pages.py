"""The judging pages' own script in a real browser, joined to the real widgets in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, Route, expect, sync_playwright

from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.assignment import assign_cases
from hitl_audit.review.escalation import EscalationRule
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.reviewers import record_once
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import ReviewSession
from hitl_audit.widgets.adjudicate import AdjudicateWidget
from hitl_audit.widgets.judge import JudgeWidget
from tests.review.queue_events import verdict

pytestmark = pytest.mark.browser

CASES = pd.DataFrame(
    {"Income ($)": [3055, 8200], "Note": ["<b id='hostile'>x</b>", None]}, index=["a", "b"]
)
SAMPLE = sample_cases(CASES, 2)
GIVEN: dict[str, Any] = {
    "role": "domain expert",
    "model_digest": "m",
    "plan_digest": "p",
    "reasons": ("Unfair", "Something is missing"),
    "labels": ("Approve", "Deny"),
}
HTML = """<!doctype html><meta charset="utf-8"><title>judge</title><html lang="en">
<link rel="stylesheet" href="/judge.css"><div id="here"></div>
<script type="module">
import widget from "/judge.js";
const heard = {};
let view = await toKernel(null);
const model = {
  get: () => view,
  on: (name, f) => { (heard[name] ??= []).push(f); },
  off: () => {},
  send: async (message) => {
    for (const answer of await toKernel(message)) {
      if (answer.view) { view = answer.view; heard["change:view"].forEach((f) => f()); }
      else heard["msg:custom"].forEach((f) => f(answer));
    }
  },
};
widget.render({ model, el: document.getElementById("here") });
</script>"""


def reveal(case_id: str) -> Revealed:
    return Revealed("favorable", 0.88, 0.5, (("Income ($)", "3,055", 0.16),), base=0.72)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1100, "height": 1000}, timezone_id="UTC")
        page.set_default_timeout(20_000)
        yield page
        browser.close()


def show(page: Page, widget: JudgeWidget | AdjudicateWidget) -> Locator:
    """The widget on a page: what the page sends reaches it, what it answers reaches the page."""
    answers: list[dict[str, Any]] = []
    widget.send = lambda content, buffers=None: answers.append(content)

    def to_kernel(message: dict[str, Any] | None) -> Any:
        if message is None:
            return widget.view
        answers.clear()
        before = widget.view
        widget.receive(message)
        return [*answers, *([] if widget.view is before else [{"view": widget.view}])]

    def serve(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        if name == "judge.js":
            route.fulfill(body=widget._esm, content_type="text/javascript")
        elif name == "judge.css":
            route.fulfill(body=widget._css, content_type="text/css")
        else:
            route.fulfill(body=HTML, content_type="text/html")

    page.expose_function("toKernel", to_kernel)
    page.route("http://judge.test/**", serve)
    page.goto("http://judge.test/")
    review = page.get_by_role("region", name="Case review")
    expect(review).to_be_visible()
    return review


def shot(review: Locator, name: str) -> None:
    """A picture for people; only when asked for."""
    if folder := os.environ.get("HITL_SHOTS"):
        review.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_a_third_person_decides_by_keyboard_without_names(page: Page, ledger: Ledger) -> None:
    for case in ("a", "b"):
        ledger.append(verdict(case, "Dana", "agree", rationale="steady income"))
        ledger.append(verdict(case, "Eve", "disagree", rationale="<b id='hostile'>late</b>"))
    given = GIVEN | {"role": "senior underwriter", "reviewers_per_case": 2}
    session = AdjudicationSession(SAMPLE, CASES, reveal, ledger, reviewer="Gil", **given)
    review = show(page, AdjudicateWidget(session))
    expect(review.get_by_role("heading", name="What should be decided?")).to_be_visible()
    expect(review.get_by_text("1 for “Approve” · 1 for “Deny”")).to_be_visible()
    expect(review.get_by_text("<b id='hostile'>late</b>")).to_be_visible()
    expect(review.locator("#hostile")).to_have_count(0)
    expect(review.get_by_text("Dana")).to_have_count(0)
    shot(review, "adjudicate")
    review.locator(".hj-answers button").first.focus()
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("alert")).to_contain_text("To decide, say why")
    expect(review.get_by_label("Why? In a few words")).to_be_focused()
    page.keyboard.type("the income is not proven")
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("button", name="Next case")).to_be_focused()
    expect(review.get_by_text("Your decision: Deny")).to_be_visible()
    expect(review.get_by_role("button", name="Correct this verdict")).to_have_count(0)
    page.keyboard.press("Alt+n")
    expect(review.get_by_text("2 of 2")).to_be_visible()
    (event,) = (e for e in ledger.events() if isinstance(e, Adjudication))
    assert (event.answer, event.rationale) == ("unfavorable", "the income is not proven")


def test_an_assigned_case_is_late_planted_escalated_and_told(page: Page, ledger: Ledger) -> None:
    plan = assign_cases(
        SAMPLE,
        ["Dana"],
        reviewers_per_case=1,
        planted=["a", "b"],
        due=datetime(2026, 1, 15, tzinfo=UTC),
    )
    record_once(
        ledger, plan.events(at=datetime(2026, 1, 1, tzinfo=UTC), plan_digest="p", model_digest="m")
    )
    rule = EscalationRule("an expert's request", "compliance officer", 5)
    given = GIVEN | {"reviewer": "Dana", "planned": True, "rules": (rule,)}
    review = show(page, JudgeWidget(ReviewSession(SAMPLE, CASES, reveal, ledger, **given)))
    expect(review.get_by_role("note")).to_contain_text("This review contains controls")
    expect(review.get_by_text("Overdue since Jan 15, 2026")).to_be_visible()
    shot(review, "planned")
    for _ in range(2):
        review.get_by_role("button", name="Approve").click()
        review.get_by_role("button", name="Save").click()
        expect(review.locator(".hj-decision")).to_have_text("Deny")
        review.get_by_role("button", name="Escalate").click()
        why = review.get_by_label("What should the compliance officer decide? In a few words")
        expect(why).to_be_visible()
        review.get_by_role("button", name="Save").click()
        expect(why).to_be_focused()
        why.fill("the income was read wrongly")
        review.get_by_role("button", name="Save").click()
        review.get_by_role("button", name="Next case").click()
    expect(review.get_by_role("heading", name="All 2 cases are judged")).to_be_focused()
    expect(review.get_by_text("On 2 cases you were shown a reversed answer")).to_be_visible()
    shot(review, "debrief")
    judged = [event for event in ledger.events() if isinstance(event, Judgment)]
    assert {event.task for event in judged} == {"planted"}
    assert len(ledger.events()) == 5


def test_confidence_by_keyboard_and_a_withdrawal_after_looking_back(
    page: Page, ledger: Ledger
) -> None:
    given = GIVEN | {"reviewer": "Dana"}
    review = show(page, JudgeWidget(ReviewSession(SAMPLE, CASES, reveal, ledger, **given)))
    case = SAMPLE.case_ids[0]
    review.locator(".hj-answers button").first.focus()
    page.keyboard.press("Shift+Digit4")
    expect(review.get_by_role("radio", name="4")).to_be_checked()
    expect(review.get_by_role("button", name="Save")).to_be_disabled()
    page.keyboard.press("3")
    page.keyboard.press("Control+Enter")
    expect(review.get_by_text("Your own decision was: Not sure")).to_be_visible()
    expect(review.get_by_label("Why? In a few words")).to_be_hidden()
    review.get_by_role("button", name="Look back").click()
    expect(review.get_by_role("heading", name="What you recorded")).to_be_focused()
    expect(review.get_by_text("Withdraw from this case")).to_have_count(0)
    page.keyboard.press("Alt+n")
    review.get_by_role("button", name="Agree", exact=True).click()
    review.get_by_role("button", name="Save").click()
    review.get_by_role("button", name="Look back").click()
    review.get_by_text("Withdraw from this case").click()
    review.get_by_role("button", name="Withdraw", exact=True).click()
    expect(review.get_by_role("alert")).to_contain_text("To withdraw, say why")
    review.get_by_label("Why? In a few words").fill("a relative of mine")
    review.get_by_role("button", name="Withdraw", exact=True).click()
    expect(review.get_by_role("heading", name="What would you decide?")).to_be_focused()
    expect(review.get_by_role("heading", name=f"Case {SAMPLE.case_ids[1]}")).to_be_visible()
    kept = page.evaluate("() => JSON.stringify({ ...localStorage })")
    assert not any("outbox" in key for key in json.loads(kept))
    blind, final, withdrawal = ledger.events()
    assert isinstance(blind, Judgment)
    assert isinstance(final, Judgment)
    assert isinstance(withdrawal, Withdrawal)
    assert (blind.case_id, blind.answer, blind.confidence) == (case, "unsure", 4)
    assert (withdrawal.withdraws, withdrawal.rationale) == (final.event_id, "a relative of mine")


@pytest.mark.parametrize("width", [360, 1920])
def test_nothing_runs_out_of_a_narrow_or_a_wide_page(
    page: Page, ledger: Ledger, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    given = GIVEN | {"reviewer": "Dana", "controls": {"a": "planted"}}
    review = show(page, JudgeWidget(ReviewSession(SAMPLE, CASES, reveal, ledger, **given)))
    review.get_by_role("button", name="Approve").click()
    review.get_by_role("button", name="Save").click()
    review.get_by_role("button", name="Disagree").click()
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width


def test_a_case_taken_over_meanwhile_is_told_and_the_page_goes_on(
    page: Page, ledger: Ledger
) -> None:
    """Looking at a case takes no seat on it; a first answer does."""
    shared = GIVEN | {"reviewers_per_case": 1}
    session = ReviewSession(SAMPLE, CASES, reveal, ledger, reviewer="Dana", **shared)
    review = show(page, JudgeWidget(session))
    first, second = SAMPLE.case_ids
    expect(review.get_by_role("note")).to_have_text(
        "Nothing is recorded yet: yours will be the first answer."
    )
    other = ReviewSession(SAMPLE, CASES, reveal, ledger, reviewer="Eve", **shared)
    other.case()
    other.submit("favorable")
    review.get_by_role("button", name="Deny").click()
    review.get_by_role("button", name="Save").click()
    words = f"Case {first} has got its reviewers in the meantime; thank you."
    expect(review.get_by_role("alert")).to_have_text(words)
    expect(review.get_by_role("heading", name=f"Case {second}")).to_be_visible()
    expect(review.get_by_role("heading", name="What would you decide?")).to_be_focused()
    kept = json.loads(page.evaluate("() => JSON.stringify({ ...localStorage })"))
    assert not any("outbox" in key for key in kept)  # refused: it must not be sent again
    # Nothing is left for a third person, who is told so.
    page.keyboard.press("2")
    page.keyboard.press("Control+Enter")
    expect(review.get_by_role("heading", name="Do you agree with the model?")).to_be_focused()
    assert [(j.case_id, j.reviewer) for j in ledger.judgments()] == [
        (first, "Eve"),
        (second, "Dana"),
    ]


def test_an_exhausted_queue_and_answers_of_another_plan_have_their_words(
    page: Page, ledger: Ledger
) -> None:
    shared = GIVEN | {"reviewers_per_case": 1}
    for case in SAMPLE.case_ids:
        ledger.append(verdict(case, "Eve", "agree"))
    ledger.append(verdict("a", "Dana", "agree", plan_digest="an earlier plan"))
    session = ReviewSession(SAMPLE, CASES, reveal, ledger, reviewer="Dana", **shared)
    review = show(page, JudgeWidget(session))
    expect(
        review.get_by_role("heading", name="All cases have their reviewers; none is left for you.")
    ).to_be_visible()
    expect(review.get_by_role("note")).to_contain_text(
        "1 of your earlier answers belong to another plan, model or sample."
    )
    expect(review.get_by_role("button", name="Save")).to_have_count(0)
