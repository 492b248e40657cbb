"""The oversight panel in a real browser: live, for everybody, on every width."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hitl_audit.plan import AuditPlan
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import CaseSample, sample_cases
from hitl_audit.review.session import ReviewSession
from hitl_audit.reviewing import ReviewFacts, rules_of
from hitl_audit.widgets.oversight_panel import OversightPanel, OversightWatch
from tests.browser.in_process import ARGUMENTS, show, violations

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
CASES = pd.DataFrame({"income": range(40)}, index=[f"C{i:02d}" for i in range(40)])
PLAN = AuditPlan.from_dict(
    {
        "audit": {"title": HOSTILE, "favorable_label": "Approve", "unfavorable_label": HOSTILE},
        "data": {"sensitive": ["sex"], "labels": {"sex": HOSTILE}},
        "fairness": {"min_group": 10},
        "review": {
            "cases": 40,
            "escalations": [
                {"condition": "an expert's request", "role": HOSTILE, "within_days": 1}
            ],
        },
    }
)
FACTS = ReviewFacts(
    truth={case: int(i % 4 > 0) for i, case in enumerate(CASES.index)},
    groups={"sex": {case: HOSTILE if i % 3 else "f" for i, case in enumerate(CASES.index)}},
    decisions={case: "favorable" if i % 5 else "unfavorable" for i, case in enumerate(CASES.index)},
    scores={case: i / 40 for i, case in enumerate(CASES.index)},
)
APPEND = """
import json, sys
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
Ledger(sys.argv[1]).append(Judgment(**json.loads(sys.argv[2])))
"""


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
    assert page.locator("img").count() == 0
    context.close()


def drawn() -> CaseSample:
    return sample_cases(CASES, 40, random_state=0)


def panel(path: Path, every: float = 0.25) -> OversightPanel:
    watch = OversightWatch(
        lambda: Ledger(path, read_only=True) if path.exists() else None,
        drawn(),
        FACTS,
        PLAN,
        model_digest="m",
        now=lambda: datetime.now(UTC),
    )
    return OversightPanel(watch, every=every, beside=lambda work: work())


def judge(path: Path, reviewer: str, answers: str, *, simulated: bool = False) -> None:
    def reveal(case: str) -> Revealed:
        decision: Any = FACTS.decisions[case]
        return Revealed(decision, 0.7 if decision == "favorable" else 0.3, 0.5, ())

    session = ReviewSession(
        drawn(), CASES, reveal, Ledger(path), reviewer=reviewer, role=HOSTILE,
        model_digest="m", plan_digest=PLAN.digest, reasons=("Unfair",), labels=("Approve", "Deny"),
        rules=rules_of(PLAN), simulated=simulated,
    )  # fmt: skip
    for letter in answers:
        session.case()
        session.submit("favorable")
        session.revealed()
        if letter == "a":
            session.submit("agree")
        else:
            verdict = "disagree" if letter == "d" else "escalate"
            session.submit(verdict, reasons=("Unfair",), rationale="too old")


def another_process_appends(path: Path, case: str) -> None:
    """A verdict, by a program that knows nothing of the page."""
    event = {
        "event_id": str(uuid.uuid4()), "at": "2026-03-02T09:00:00.000000Z", "plan_digest": PLAN.digest,
        "model_digest": "m", "case_id": case, "design": "random",
        "inclusion_probability": 1.0, "reviewer": "Zed", "role": "expert", "phase": "final",
        "answer": "agree", "shown": ["case", "prediction"],
        "model_decision": FACTS.decisions[case], "model_score": 0.7,
    }  # fmt: skip
    command = [sys.executable, "-c", APPEND, str(path), json.dumps(event)]
    subprocess.run(command, check=True, timeout=60)


def test_what_another_process_records_appears_by_itself(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "judgments.db"
    sent = show(page, panel(path))
    expect(page.get_by_role("heading", name="Nobody has judged a case yet")).to_be_visible()
    expect(page.get_by_text("40 cases are drawn and wait")).to_be_visible()
    another_process_appends(path, "C01")
    expect(page.get_by_text("1 of 40 drawn cases judged")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("1 of 40 cases judged. Record 1.")
    summary = page.get_by_text("How to read them").first
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    asked = len(sent)
    another_process_appends(path, "C02")
    assert len(sent) == asked  # nothing was asked meanwhile
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("2 of 40 drawn cases judged")).to_be_visible()
    judge(path, "Ada Expert", "a" * 14)
    judge(path, "Bo", "ad" * 7)
    summary.click()  # what is open stays open while numbers change elsewhere
    expect(page.get_by_text("raw agreement").first).to_be_visible()
    judge(path, "Bo", "e")
    expect(page.get_by_text("● open")).to_be_visible()
    expect(page.get_by_text("Ada")).to_have_count(0)
    page.evaluate("leave()")
    asked = len(sent)
    another_process_appends(path, "C03")  # takes longer than several looks
    assert len(sent) == asked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_on_any_width(page: Page, tmp_path: Path, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    path = tmp_path / "judgments.db"
    judge(path, "Simulated 1", "ad" * 19 + "e", simulated=True)
    judge(path, "Simulated 2", "aad" * 12, simulated=True)
    show(page, panel(path))
    expect(page.get_by_text("SIMULATED JUDGMENTS", exact=True)).to_be_visible()
    for summary in page.locator("summary").all():
        summary.click()
    expect(page.get_by_text("insufficient data").first).to_be_visible()
    assert violations(page) == []
    for width in (360, 640, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 360, "height": 900})
    assert violations(page) == []


def test_by_keyboard_alone(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "judgments.db"
    judge(path, "Ada", "ad" * 20)
    show(page, panel(path))
    expect(page.get_by_text("40 of 40 drawn cases judged")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Go on")).to_be_focused()
    which = page.get_by_label("Which overrides")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Which overrides":
            break
    expect(which).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_text("of the cases it refused")).to_be_visible()
    expect(which).to_be_focused()


def test_a_ledger_that_cannot_be_read_is_said(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "judgments.db"
    path.write_bytes(b"this is no ledger")
    show(page, panel(path))
    expect(page.get_by_role("alert")).to_contain_text("Not live: ledger")
    expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    path.unlink()
    expect(page.get_by_role("heading", name="Nobody has judged a case yet")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
