"""The page without code: `hitl-audit review DIR`, in real browsers, with no network."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from hitl_audit.review.records import Reviewer, WhatIf
from tests.browser.in_process import violations
from tests.browser.serving import (
    Served,
    case_of,
    chromium,
    ends,
    kernel_of,
    serving,
    sign_in,
    strangers,
)
from tests.conftest import Clock
from tests.test_reviewing import small_audit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(mortgage_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "mortgage"
    shutil.copytree(mortgage_folder, folder)
    with serving(folder, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_two_people_a_reload_and_a_dead_kernel(served: Served, browser: Browser) -> None:
    requests: list[str] = []
    ada = sign_in(browser, served, "Ada Expert", requests)
    assert not served.ledger.judgments()  # opening a case records nothing

    # Nobody is asked their own question twice: a reload is the same step again.
    first = case_of(ada)
    ada.get_by_role("button", name="approve").click()
    ada.get_by_role("button", name="Save").click()
    agree = ada.get_by_role("heading", name="Do you agree with the model?")
    expect(agree).to_be_visible()
    ada.reload(wait_until="commit")
    expect(agree).to_be_visible(timeout=60_000)
    assert case_of(ada) == first

    # She tries a change: the model answers, and the edit is on record.
    ada.get_by_role("button", name="Try changes").click()
    income = ada.get_by_label("Applicant income ($1000s a year)", exact=True)
    income.fill("200")
    income.press("Enter")
    expect(ada.get_by_text("your edit moved it").first).to_be_visible()
    expect(ada.get_by_role("img", name="How the score answers to")).to_be_visible()
    (tried,) = (event for event in served.ledger.events() if isinstance(event, WhatIf))
    assert (tried.case_id, tried.edits[0][0], tried.edits[0][2]) == (first, "appinc", "200")
    assert violations(ada, within=".hitl-judge") == []
    ada.get_by_role("button", name="Done").click()

    # A second person, on the same queue, under a name of their own.
    ben = sign_in(browser, served, "Ben Expert", requests)
    second = case_of(ben)
    ben.keyboard.press("2")
    ben.keyboard.press("Control+Enter")
    expect(ben.get_by_role("heading", name="Do you agree with the model?")).to_be_visible()

    # Her kernel dies while Ada answers: the answer waits in her browser.
    served.kill_kernel_of(ada)
    ada.get_by_role("button", name="Agree", exact=False).first.click()
    ada.keyboard.press("Control+Enter")
    expect(ada.get_by_role("alert")).to_contain_text("Not saved yet: the connection is lost")
    ada.reload(wait_until="commit")
    following = ada.get_by_role("button", name="Next case")
    expect(following).to_be_visible(timeout=60_000)
    following.click()
    expect(ada.get_by_role("heading", name="What would you decide?")).to_be_visible()
    assert case_of(ada) != first

    said = [(j.case_id, j.phase, j.answer) for j in served.ledger.judgments()]
    assert said == [
        (first, "blind", "favorable"),
        (second, "blind", "unfavorable"),
        (first, "final", "agree"),
    ]
    reviewers = [j.reviewer for j in served.ledger.judgments()]
    assert reviewers[0] == reviewers[2] != reviewers[1]
    assert served.ledger.verify() == ()
    assert strangers(requests) == []


def test_a_kernel_that_died_ahead_is_replaced_and_one_that_is_left_ends(
    served: Served, browser: Browser
) -> None:
    page = sign_in(browser, served, "Cleo Expert", [])
    left = served.kernels()[kernel_of(page)]
    # A disagreement without a reason is refused, here too.
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Disagree").click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="To disagree, pick a reason")).to_be_visible()
    page.goto("about:blank")
    ends(left)
    for kernel in served.kernels().values():  # the one that was started for the next person
        kernel.send_signal(signal.SIGKILL)
        ends(kernel)
    again = sign_in(browser, served, "Cleo Expert", [], question="Do you agree with the model?")
    assert len(served.kernels()) >= 1
    again.close()


def test_nobody_enters_without_the_token(served: Served, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(served.address.split("?")[0], wait_until="load")
    expect(page.get_by_label("Your name")).to_have_count(0)
    assert "/login" in page.url


def test_a_plan_that_was_changed_meanwhile_is_told_in_words(
    tmp_path: Path, clock: Clock, browser: Browser
) -> None:
    folder, home = tmp_path / "audit", tmp_path / "home"
    home.mkdir()
    hostile = "<img src=x onerror=\"document.title='taken'\">"
    small_audit(
        folder, clock, {"cases": 5}, audit={"title": hostile, "favorable_label": hostile}
    ).run(progress=False)
    with serving(folder, home) as served:
        # What the plan, a reviewer and the data say is shown as text.
        page = sign_in(browser, served, hostile, [])
        expect(page.get_by_role("button", name=hostile)).to_be_visible()
        assert page.title() == "Case review"
        page.context.close()
        assert [e.name for e in served.ledger.events() if isinstance(e, Reviewer)] == [hostile]

        # The plan is another one now. The kernel that waits has read the old one.
        plan = folder / "audit.toml"
        registered = plan.read_bytes()
        plan.write_bytes(registered.replace(b"cases = 5", b"cases = 6"))
        page = browser.new_context().new_page()
        page.goto(served.address, wait_until="commit")
        expect(page.get_by_role("alert")).to_contain_text(
            "is not the plan that the results were made under", timeout=60_000
        )
        page.context.close()
        plan.write_bytes(registered)
        sign_in(browser, served, "Ada Expert", []).context.close()
