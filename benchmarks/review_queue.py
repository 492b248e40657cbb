"""How long a reviewer waits in a queue of many cases.

    python benchmarks/review_queue.py [--cases 10000]

Every case gets two reviewers. The fold is compared with folding all events anew
for every question; one event in the ledger is one append with its fsync.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from hitl_audit.review.event import Event
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.queue import ReviewQueue
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import CaseSample, sample_cases
from hitl_audit.review.session import ReviewSession

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    frame = pd.DataFrame({f"x{i}": range(cases) for i in range(15)})
    sample = sample_cases(frame, cases)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "judgments.db")
        judged = min(200, cases)
        session = session_on(sample, frame, ledger)
        steps = [timed(lambda: whole_case(session)) for _ in range(judged)]
        line("a whole case, two answers on record", steps)
        events = list(ledger.events())
        line("position", [timed(session.position) for _ in range(50)])
        line("case on screen", [timed(session.case) for _ in range(50)])
        line("a session opened anew", [timed(lambda: session_on(sample, frame, ledger).position())])

    many = events * (2 * cases // max(1, len(events)))
    queue = new_queue(sample)
    queue.extend(many)
    asked = [timed(lambda: (queue.next_task("Eve"), queue.waiting_for("Eve"))) for _ in range(200)]
    line(f"next task after {len(many)} events, by the fold", asked)
    anew = [timed(lambda: refold(sample, many)) for _ in range(3)]
    line("next task, folding all events anew", anew)
    ratio = statistics.median(anew) / statistics.median(asked)
    print(f"the fold is {ratio:,.0f} times faster")
    line("the table of all cases", [timed(lambda: queue.frame(NOW))])


def session_on(sample: CaseSample, frame: pd.DataFrame, ledger: Ledger) -> ReviewSession:
    return ReviewSession(
        sample,
        frame,
        lambda _: Revealed("favorable", 0.7, 0.5, (("x0", "1", 0.1),)),
        ledger,
        reviewer="Dana",
        role="domain expert",
        model_digest="m",
        plan_digest="p",
        reasons=("Unfair",),
        reviewers_per_case=2,
    )


def whole_case(session: ReviewSession) -> None:
    session.case()
    session.submit("favorable", confidence=4)
    session.revealed()
    session.submit("agree")


def new_queue(sample: CaseSample) -> ReviewQueue:
    return ReviewQueue(sample.case_ids, plan_digest="p", model_digest="m", reviewers_per_case=2)


def refold(sample: CaseSample, events: list[Event]) -> None:
    queue = new_queue(sample)
    queue.extend(events)
    queue.next_task("Eve")


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def line(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(
        f"{what:<48} p50 {1e3 * statistics.median(ordered):9.3f} ms   p95 {1e3 * p95:9.3f} ms"
        f"   n={len(ordered)}"
    )


if __name__ == "__main__":
    main()
