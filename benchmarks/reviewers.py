"""Several people judging on one server at once: memory, how soon a save is acknowledged, losses.

    python benchmarks/reviewers.py [--reviewers 8] [--cases 3] [--folder AUDIT] [--width 1280]

One `hitl-audit review` server, one Chromium, and in it a context of its own for every reviewer,
all on one queue of the built-in audit (or of a copy of AUDIT). All judge at the same time, with
keys pressed in the page; every other case has a what-if edit too. Then:

- memory: resident and proportional size (PSS: shared pages are split among those who share them)
  of the server and of every kernel, and its own (USS: what ends with it);
- from the key that saves to the words that it is saved, painted, by the browser's clock: while
  all work at once, and afterwards by one person alone;
- how often a first answer came too late, because a case had got its reviewers in the meantime
  (it is refused with words, and the page goes on);
- the ledger is read back: every answer that a browser was told is saved is there exactly once,
  no case has more reviewers than the plan says, nobody judged a case twice, and the chain holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Browser, Page, async_playwright

from hitl_audit.audit import Audit
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger

HERE = Path(__file__).resolve().parent
MB = 1024 * 1024
# From the key to the second animation frame after the words are in the page.
PRESS = """([key, wanted]) => new Promise((done, refuse) => {
  const root = document.querySelector(".hitl-judge");
  const there = () => document.querySelector(wanted);
  const started = performance.now();
  const end = () => requestAnimationFrame(() => requestAnimationFrame(() =>
    done(performance.now() - started)));
  const watch = new MutationObserver(() => { if (there()) { watch.disconnect(); end(); } });
  watch.observe(document.body, { childList: true, subtree: true, attributes: true });
  setTimeout(() => { watch.disconnect(); refuse(new Error(`not within 60 s: ${wanted}`)); }, 60000);
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
    { key, code: key, ctrlKey: key === "Enter", altKey: key === "n", bubbles: true }));
})"""
REVEALED = "[data-stage='final'] .hj-status, .hitl-judge:not([data-case='CASE'])"
SAVED = "[data-stage='saved'] .hj-done"


@dataclass
class Person:
    """One reviewer's browser, and what it was told."""

    name: str
    page: Page
    told: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    late: int = 0
    edits: int = 0
    opened: float = 0.0


async def open_one(browser: Browser, address: str, name: str, width: int) -> Person:
    """Sign in, and wait for the first case."""
    context = await browser.new_context(viewport={"width": width, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(180_000)
    started = time.perf_counter()
    await page.goto(address, wait_until="commit")
    await page.get_by_label("Your name").fill(name)
    await page.get_by_role("button", name="Begin").click()
    await page.get_by_role("heading", name="What would you decide?").wait_for()
    return Person(name, page, opened=time.perf_counter() - started)


async def judge(person: Person, cases: int) -> None:
    """Blind answer, what the model says, an edit on every other case, a verdict, the next case."""
    page = person.page
    for k in range(cases):
        while True:
            case = await page.locator(".hitl-judge").get_attribute("data-case") or ""
            await page.keyboard.press("1" if k % 3 else "2")
            took = await page.evaluate(PRESS, ["Enter", REVEALED.replace("CASE", case)])
            if await page.locator("[data-stage='final']").count():
                break
            person.late += 1  # others took the last seat on this case: the page has gone on
        person.took.append(took)
        person.told.append(await record(page))
        if k % 2 == 0:
            await page.get_by_role("button", name="Try changes").click()
            field_ = page.locator(".hw-row:not([hidden]) input.hw-box").first
            await field_.wait_for()
            now = float((await field_.input_value()).replace(",", "").replace("−", "-") or 1)
            await field_.fill(f"{now + 1:g}")
            await field_.press("Enter")
            await page.locator(".hw-moved").get_by_text("your edit moved it").wait_for()
            await page.get_by_role("button", name="Done").click()
            person.edits += 1
        await page.keyboard.press("3" if k % 4 == 3 else "1")
        person.took.append(await page.evaluate(PRESS, ["Enter", SAVED]))
        person.told.append(await record(page))
        await page.keyboard.press("Alt+n")
        await page.locator("[data-stage='blind'], [data-stage='done']").first.wait_for()


async def record(page: Page) -> str:
    """The beginning of the record's id, as the page says it."""
    words = await page.locator(".hj-status").text_content() or ""
    found: list[str] = re.findall(r"record ([0-9a-f]{8})", words)
    return found[0]


def kernels(server: int) -> list[psutil.Process]:
    """The server's kernels."""
    children = psutil.Process(server).children(recursive=True)
    return [c for c in children if "ipykernel" in " ".join(c.cmdline())]


def memory_of(process: psutil.Process) -> tuple[float, float, float]:
    """RSS, PSS and USS in MB."""
    full = process.memory_full_info()
    return full.rss / MB, full.pss / MB, full.uss / MB


def told(name: str, sizes: list[tuple[float, float, float]]) -> None:
    rss, pss, uss = (statistics.median(column) for column in zip(*sizes, strict=True))
    most = max(size[2] for size in sizes)
    print(
        f"{name:<34} RSS {rss:5.0f} MB   PSS {pss:5.0f} MB   own (USS) {uss:5.0f} MB"
        f"   largest own {most:5.0f} MB   n={len(sizes)}"
    )


def times(name: str, took: list[float]) -> None:
    ordered = sorted(took)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(
        f"{name:<34} p50 {statistics.median(ordered):6.0f} ms   p95 {p95:6.0f} ms"
        f"   most {ordered[-1]:6.0f} ms   n={len(ordered)}"
    )


def read_back(folder: Path, people: list[Person], per_case: int) -> None:
    """What the ledger has, against what the browsers were told."""
    ledger = Ledger(folder / "judgments.db", read_only=True)
    events = ledger.events()
    judgments = [e for e in events if isinstance(e, Judgment)]
    known = Counter(e.event_id[:8] for e in judgments)
    said = [short for person in people for short in person.told]
    lost = [short for short in said if not known[short]]
    twice = [key for key, n in Counter((e.reviewer, e.case_id, e.phase, e.task)
             for e in judgments).items() if n > 1]  # fmt: skip
    seats: dict[str, set[str]] = {}
    for event in judgments:
        seats.setdefault(event.case_id, set()).add(event.reviewer)
    crowded = [case for case, who in seats.items() if len(who) > per_case]
    edits = sum(e.KIND == "what-if" for e in events)
    print(
        f"ledger: {len(events)} events, {len(judgments)} judgments of "
        f"{len({e.reviewer for e in judgments})} people on {len(seats)} cases; {edits} edits of "
        f"{sum(person.edits for person in people)}"
    )
    print(
        f"told that they are saved: {len(said)}; lost {len(lost)}, recorded but never told "
        f"{len(judgments) - len(said)}, twice {len(twice)}, cases with too many people "
        f"{len(crowded)}, chain {'holds' if not ledger.verify() else 'BROKEN'}"
    )
    if lost or twice or crowded or len(judgments) != len(said) or ledger.verify():
        raise SystemExit("judgments were lost or duplicated")


async def run(address: str, server: int, folder: Path, given: argparse.Namespace) -> None:
    per_case = Audit.open(folder).plan.review.reviewers_per_case
    load = os.getloadavg()[0]
    print(f"{given.reviewers} reviewers, {per_case} per case; load before {load:.1f} on "
          f"{os.cpu_count()} processors")  # fmt: skip
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        people = [
            await open_one(browser, address, f"Reviewer {k + 1}", given.width)
            for k in range(given.reviewers)
        ]
        times("sign-in to first case, one by one", [1000 * p.opened for p in people])
        started = time.perf_counter()
        await asyncio.gather(*(judge(person, given.cases) for person in people))
        print(f"all judged {given.cases} cases each in {time.perf_counter() - started:.0f} s")
        times("save → painted, all at once", [ms for p in people for ms in p.took])
        print(f"first answers that came after others had filled the case: "
              f"{sum(p.late for p in people)}")  # fmt: skip
        found = kernels(server)
        told("server", [memory_of(psutil.Process(server))])
        told("kernel", [memory_of(kernel) for kernel in found])
        whole = sum(memory_of(p)[1] for p in [psutil.Process(server), *found])
        print(f"server and its {len(found)} kernels together (PSS): {whole:,.0f} MB")
        alone = people[0]
        before = len(alone.took)
        await judge(alone, 10)
        times("save → painted, one person alone", alone.took[before:])
        read_back(folder, people, per_case)
        await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviewers", type=int, default=8)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "audit"
        if given.folder is None:
            command = [sys.executable, "-m", "hitl_audit", "demo", "--out", str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        else:
            shutil.copytree(given.folder, folder)
        for file in folder.glob("judgments.db*"):  # nobody has judged yet
            file.unlink()
        server = subprocess.Popen(
            [sys.executable, "-m", "hitl_audit", "review", str(folder), "--json"],
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            text = ""
            while not text.rstrip().endswith("}"):
                line = server.stdout.readline() if server.stdout else ""
                if not line:
                    raise SystemExit("the page did not start")
                text += line
            address: Any = json.loads(text)["address"]
            asyncio.run(run(address, server.pid, folder, given))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


if __name__ == "__main__":
    main()
