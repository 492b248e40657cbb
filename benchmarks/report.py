"""How long the document takes after results exist, and how it grows with pages.

    python benchmarks/report.py [FOLDER] [--repeat 3]

FOLDER is an audit folder with results (default: the built-in audit is run first).
Times are CPU seconds of this process (``time.process_time``; typst works in several
threads, so they can exceed the time on the clock), the first one with everything
that is loaded once, then the median of the others. The last table compares with the
targets: 5 s for the mortgage report in all three forms, 15 s for 100 pages.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hitl_audit.canonical import utc_text
from hitl_audit.documents import current_evidence
from hitl_audit.publication import Publication, publish
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Section
from hitl_audit.report.html import render_html
from hitl_audit.report.numbering import NumberList
from hitl_audit.report.pdf import render_pdf
from hitl_audit.report.rendered import render

NOW = datetime(2026, 11, 27, tzinfo=UTC)
TARGETS = {"mortgage": 5.0, "100 pages": 15.0}


def timed(work: Callable[[], Any], repeat: int) -> tuple[float, float, Any]:
    """CPU seconds of the first run, the median of the others, and the result."""
    times, result = [], None
    for _ in range(repeat + 1):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return times[0], statistics.median(times[1:]), result


def line(name: str, first: float, later: float, whole: float) -> None:
    print(f"{name:<38}{first:>9.2f}{later:>9.2f}{later / whole:>9.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder
        if folder is None:
            from hitl_audit.demo import demonstrate

            folder = Path(made) / "mortgage"
            demonstrate(folder, now=lambda: datetime.now(UTC), progress=lambda step, share: None)
        measure(folder, given.repeat)


def measure(folder: Path, repeat: int) -> None:
    evidence, plan, lock = current_evidence(folder, now=NOW)
    published = publish(evidence, Publication.of(plan))
    generated = utc_text(NOW)
    first, whole, made = timed(lambda: render(evidence, plan=plan, lock=lock, now=NOW), repeat)
    print(f"{'CPU seconds':<38}{'first':>9}{'then':>9}{'share':>9}")
    line("all three forms", first, whole, whole)
    cold = first
    for name, work in (
        ("groups too small are taken out", lambda: publish(evidence, Publication.of(plan))),
        ("composing, with ids of all numbers", lambda: compose(published, generated=generated)),
        ("HTML", lambda: render_html(made.document)),
        ("PDF", lambda: render_pdf(made.document, timestamp=NOW)),
        ("list of numbers", lambda: NumberList.of(made.document, published.digest).to_bytes()),
    ):
        one, later, _ = timed(work, repeat)
        line(f"  {name}", one, later, whole)
    pages = render_pdf(made.document, timestamp=NOW).pages
    copies = -(-100 // pages)
    many = replace(
        made.document,
        sections=tuple(
            Section(f"{s.id}-{i}", s.title, s.blocks)
            for i in range(copies)
            for s in made.document.sections
            if s.id != "signatures"
        ),
    )
    long_first, _, long = timed(lambda: render_pdf(many, timestamp=NOW), 1)
    print(f"\n{pages} pages, {len(made.document.numbers):,} numbers with ids")
    print(f"{'target':<38}{'is':>9}{'of':>9}")
    for name, found, target in (
        ("mortgage report, all forms, cold", cold, TARGETS["mortgage"]),
        (f"{long.pages} pages, per 100", long_first * 100 / long.pages, TARGETS["100 pages"]),
    ):
        print(f"{name:<38}{found:>9.2f}{target:>9.0f}   {found / target:.0%} of the target")


if __name__ == "__main__":
    main()
