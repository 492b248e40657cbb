"""The page without code: `hitl-audit review DIR`, in real browsers, with no network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import WhatIf
from tests.browser.in_process import violations

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@dataclass(frozen=True)
class Served:
    address: str
    folder: Path
    pid: int

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "judgments.db", read_only=True)

    def kernels(self) -> dict[str, psutil.Process]:
        """Running kernels by their id; one was started ahead, for whoever comes next."""
        found = {}
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if told := re.search(r"kernel-([0-9a-f-]{36})", " ".join(child.cmdline())):
                    found[told[1]] = child
        return found

    def kill_kernel_of(self, page: Page) -> None:
        process = self.kernels()[kernel_of(page)]
        process.send_signal(signal.SIGKILL)
        process.wait(20)


@pytest.fixture(scope="module")
def served(mortgage_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "mortgage"
    shutil.copytree(mortgage_folder, folder)
    home = tmp_path_factory.mktemp("home")
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    log = (home / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "hitl_audit", "review", str(folder), "--json"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert server.stdout is not None
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = server.stdout.readline()
            assert line, (home / "log").read_text()
            text += line
        yield Served(json.loads(text)["address"], folder, server.pid)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        server.stdout.close()
        log.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=CHROMIUM
        )
        yield browser
        browser.close()


def sign_in(
    browser: Browser,
    served: Served,
    name: str,
    requests: list[str],
    question: str = "What would you decide?",
) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(60_000)

    def note(request: Request) -> None:
        requests.append(request.url)

    page.on("request", note)
    page.goto(served.address, wait_until="commit")
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name=question)).to_be_visible(timeout=60_000)
    return page


def kernel_of(page: Page) -> str:
    told = page.locator("#jupyter-config-data").first.text_content()
    kernel: str = json.loads(told or "")["kernelId"]
    return kernel


def case_of(page: Page) -> str:
    return (page.get_by_role("heading", level=2).text_content() or "").removeprefix("Case ")


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
    strangers = [u for u in requests if not u.startswith(("http://127.0.0.1", "data:", "blob:"))]
    assert strangers == []


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
    left.wait(30)  # raises if it goes on running
    for kernel in served.kernels().values():  # the one that was started for the next person
        kernel.send_signal(signal.SIGKILL)
        kernel.wait(20)
    again = sign_in(browser, served, "Cleo Expert", [], question="Do you agree with the model?")
    assert len(served.kernels()) >= 1
    again.close()


def test_nobody_enters_without_the_token(served: Served, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(served.address.split("?")[0], wait_until="load")
    expect(page.get_by_label("Your name")).to_have_count(0)
    assert "/login" in page.url
