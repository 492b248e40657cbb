"""The served page and browsers that may talk to this machine only, for several test files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hitl_audit.review.ledger import Ledger
from tests.browser.in_process import ARGUMENTS

ROOT = Path(__file__).parents[2]


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
        ends(process)


@contextmanager
def serving(folder: Path, home: Path) -> Iterator[Served]:
    """`hitl-audit review FOLDER`, as long as the block goes on."""
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


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that may talk to this machine and to nothing else."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        yield browser
        browser.close()


def open_page(browser: Browser, served: Served, requests: list[str], *, width: int = 1280) -> Page:
    """The page in a context of its own; every request it makes is noted."""
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(served.address, wait_until="commit")
    expect(page.get_by_label("Your name")).to_be_visible(timeout=60_000)
    return page


def sign_in(
    browser: Browser,
    served: Served,
    name: str,
    requests: list[str],
    question: str = "What would you decide?",
) -> Page:
    """Past the sign-in by mouse, to the first question."""
    page = open_page(browser, served, requests)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name=question)).to_be_visible(timeout=60_000)
    return page


def strangers(requests: list[str]) -> list[str]:
    """Requests that went beyond this machine."""
    return [u for u in requests if not u.startswith(("http://127.0.0.1", "data:", "blob:"))]


def kernel_of(page: Page) -> str:
    """Id of the kernel behind a page."""
    told = page.locator("#jupyter-config-data").first.text_content()
    kernel: str = json.loads(told or "")["kernelId"]
    return kernel


def case_of(page: Page) -> str:
    """The case on screen."""
    return (page.get_by_role("heading", level=2).text_content() or "").removeprefix("Case ")


def ends(process: psutil.Process) -> None:
    """Wait until a process has ended, whether or not its parent has noticed."""
    for _ in range(600):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                threading.Event().wait(0.05)
                continue
        return
    pytest.fail(f"process {process.pid} goes on running")
