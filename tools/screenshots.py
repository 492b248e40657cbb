"""Every state of the review page and of the panels, as pictures, from the real page.

    python tools/screenshots.py [--folder AUDIT] [--out reports/screenshots]

Without a folder the built-in audit is run first. Nothing is written to the audit folder: the
page is served from a copy. Needs Chromium (CHROMIUM names it) and Playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

LOOKS = {"": (1280, "light"), "-dark": (1280, "dark"), "-phone": (420, "light")}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the review page of an audit folder."""
    command = [sys.executable, "-m", "hitl_audit", "review", str(folder), "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise SystemExit(f'the page did not start; see "hitl-audit review {folder}"')
            text += line
        yield json.loads(text)["address"]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


class Camera:
    """Takes every state in every look."""

    def __init__(self, page: Page, out: Path) -> None:
        self.page, self.out, self.count = page, out, 0

    def take(self, state: str) -> None:
        """The whole page as it is now."""
        self.count += 1
        for look, (width, scheme) in LOOKS.items():
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            self.page.wait_for_timeout(250)
            name = f"{self.count:02d}-{state}{look}.png"
            self.page.screenshot(path=str(self.out / name), full_page=True)
            print(name)
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(color_scheme="light")


def walk(page: Page, address: str, camera: Camera) -> None:
    """One reviewer, from the sign-in to the next case."""
    page.goto(address, wait_until="commit")
    page.get_by_label("Your name").wait_for()
    camera.take("sign-in")
    page.get_by_label("Your name").fill("Ada Expert")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="What would you decide?").wait_for()
    camera.take("blind")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Try changes").wait_for()
    camera.take("revealed")
    page.get_by_role("button", name="Try changes").click()
    slider = page.locator(".hw-slider").first
    slider.wait_for()
    camera.take("try-changes")
    slider.focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    page.get_by_role("img", name="How the score answers").wait_for()
    camera.take("edited")
    page.get_by_role("button", name="Smallest changes to the other decision").click()
    page.get_by_role("button", name="Keep this version").click()
    page.get_by_role("button", name="Try it").or_(
        page.get_by_text("No way to the other")
    ).first.wait_for()
    camera.take("suggestions")
    page.get_by_role("button", name="As another").first.click()
    page.get_by_text("What goes with it").or_(page.get_by_text("No feature goes")).first.wait_for()
    camera.take("another-group")
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Disagree").click()
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").filter(has_text="To disagree").wait_for()
    camera.take("refused")
    page.locator(".hj-reasons input").first.check()
    page.get_by_label("Why? In a few words").fill("The appraisal is years old.")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Next case").wait_for()
    camera.take("saved")
    page.get_by_role("button", name="Look back").click()
    page.get_by_role("heading", name="What you recorded").wait_for()
    camera.take("look-back")
    page.keyboard.press("Alt+n")
    page.get_by_role("heading", name="What would you decide?").wait_for()
    camera.take("next-case")


def walk_panels(browser: Browser, folder: Path, camera: Camera) -> None:
    """The panels for data scientists and officers, and the cohort that they share."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests join page and widget
    from hitl_audit.audit import Audit
    from tests.browser.in_process import show

    audit = Audit.open(folder)
    fairness, slices = audit.fairness_panel(), audit.slices_panel()
    fairness.desk._beside = lambda work: work()

    def page_of(widget: Any) -> Page:
        page = browser.new_context(reduced_motion="reduce").new_page()
        show(page, widget)
        camera.page = page
        return page

    page = page_of(fairness)
    slider = page.get_by_label("Threshold, everybody, slider")
    slider.wait_for()
    camera.take("fairness")
    slider.fill("0.7")
    page.get_by_text("Exploratory, threshold").first.wait_for()
    camera.take("fairness-threshold")
    page.get_by_role("button", name="Equal selection rates").click()
    page.get_by_text("Exploratory only.").wait_for()
    camera.take("fairness-per-group")
    page = page_of(slices)
    page.get_by_role("treeitem").first.wait_for()
    camera.take("slices")
    page.get_by_role("option").or_(page.get_by_role("treeitem").nth(1)).first.click()
    page.get_by_role("heading", name="The cohort").wait_for()
    camera.take("slices-cohort")
    page = page_of(fairness)
    page.get_by_text("Cohort:").wait_for()
    camera.take("fairness-cohort")
    explorer = audit.explorer()
    explorer._beside = lambda work: work()
    page = page_of(explorer)
    page.locator(".hx-feature").first.wait_for()
    page.get_by_label("Look at").select_option("cohort")
    page.locator(".hx-feature .hx-some").first.wait_for()
    page.locator(".hx-row").nth(2).click()
    page.get_by_text("What moved it", exact=True).wait_for()
    camera.take("explorer")
    page.get_by_role("button", name="Try changes").click()
    page.get_by_role("heading", name="Change the case").wait_for()
    camera.take("explorer-what-if")
    oversight = audit.oversight_panel()
    oversight._beside = lambda work: work()
    page = page_of(oversight)
    page.get_by_text("drawn cases judged").wait_for()
    camera.take("oversight-begun")
    audit.simulate_reviewers()
    page.get_by_text("SIMULATED JUDGMENTS", exact=True).wait_for()
    camera.take("oversight-simulated")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports/screenshots"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary) / "audit"
        if given.folder is None:
            command = [sys.executable, "-m", "hitl_audit", "demo", "--out", str(folder)]
            subprocess.run(command, check=True)
        else:
            shutil.copytree(given.folder, folder)
        for file in folder.glob("judgments.db*"):  # nobody has judged yet
            file.unlink()
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_context(reduced_motion="reduce").new_page()
        page.set_default_timeout(90_000)
        camera = Camera(page, given.out)
        with served(folder) as address:
            walk(page, address, camera)
        walk_panels(browser, folder, camera)
        browser.close()


if __name__ == "__main__":
    main()
