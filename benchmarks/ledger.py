"""The ledger at work: appends, batches, the root, proofs, a full check, a redaction.

    python benchmarks/ledger.py [--events 10000] [--writers 8] [--url postgresql://…]

Wall-clock times, because an append waits for the disk, and CPU times beside them for
machines that do other work meanwhile. A bare SQLite insert with the same durability,
on the same disk in the same minute, is printed first.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from hitl_audit.review.integrity import checkpoint_of
from hitl_audit.review.ledger import Judgment, Ledger

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from ledger import Ledger, judgment
ledger = Ledger(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    ledger.append(judgment(number))
"""


def judgment(number: int) -> Judgment:
    return Judgment(
        event_id=str(uuid.uuid4()),
        at="2026-01-31T12:00:00.000000Z",
        plan_digest="sha256:" + "ab" * 32,
        model_digest="sha256:" + "cd" * 32,
        case_id=str(number),
        design="random",
        inclusion_probability=0.25,
        reviewer=f"R{number % 7}",
        role="domain expert",
        phase="final",
        answer="disagree",
        reasons=("Something is missing",),
        rationale=f"Case {number}: the debts of the second applicant are missing.",
        shown=("case", "prediction", "explanation"),
        seconds=41.5,
        model_decision="favorable",
        model_score=0.71,
    )


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and CPU time."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - cpu)


def show(what: str, values: Iterable[tuple[float, float]]) -> float:
    wall, cpu = (sorted(column) for column in zip(*values, strict=True))
    median = statistics.median(wall)
    tail = wall[int(0.95 * (len(wall) - 1))]
    print(
        f"{what:<46} p50 {median:8.2f} ms  p95 {tail:8.2f} ms  "
        f"CPU {statistics.median(cpu):8.2f} ms  n {len(wall)}"
    )
    return median


def bare_inserts(folder: Path, count: int) -> list[tuple[float, float]]:
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB) STRICT")
    body = bytes(900)
    times = [
        milliseconds(lambda: db.execute("INSERT INTO event (body) VALUES (?)", (body,)))
        for _ in range(count)
    ]
    db.close()
    return times


def concurrent(place: str, writers: int, each: int) -> float:
    here = str(Path(__file__).parent)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, here, place, str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(writers)
    ]
    for writer in running:
        assert writer.stdout is not None
        writer.stdout.readline()
    start = time.perf_counter()
    for writer in running:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in running:
        assert writer.wait() == 0
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--url", help="a PostgreSQL database to use in place of a file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = args.url or str(folder / "ledger.db")
        ledger = Ledger(place)
        print(f"{ledger.url.split('@')[-1]}, {args.events} judgments\n")
        bare = show("bare SQLite insert, synchronous=FULL", bare_inserts(folder, 500))
        singles = [judgment(number) for number in range(500)]
        one = show(
            "append, empty ledger",
            [milliseconds(lambda event=event: ledger.append(event)) for event in singles],
        )
        rest = [judgment(number) for number in range(500, args.events - 500)]
        wall, cpu = (t / max(1, len(rest)) for t in milliseconds(lambda: ledger.append_all(rest)))
        print(f"{'append_all, each':<46} {wall:12.3f} ms {'':16} CPU {cpu:8.3f} ms  n {len(rest)}")
        singles = [judgment(number) for number in range(500)]
        full = show(
            f"append, with {len(rest) + 500} events there",
            [milliseconds(lambda event=event: ledger.append(event)) for event in singles],
        )
        print(f"{'ratio to the bare insert':<46} {one / bare:9.2f} empty, {full / bare:.2f} full\n")
        with ledger._store.reading() as db:
            rows = ledger._store.rows(db)
        show(
            "root over rows in memory",
            [milliseconds(lambda: checkpoint_of(rows)) for _ in range(9)],
        )
        show(
            "checkpoint(): read, check the chain, root",
            [milliseconds(ledger.checkpoint) for _ in range(9)],
        )
        middle = args.events // 2
        show(
            "inclusion_proof()",
            [milliseconds(lambda: ledger.inclusion_proof(middle)) for _ in range(9)],
        )
        show(
            "consistency_proof()",
            [milliseconds(lambda: ledger.consistency_proof(middle)) for _ in range(9)],
        )
        show("verify(): and every body and word", [milliseconds(ledger.verify) for _ in range(3)])
        show("numbered(): all events read", [milliseconds(ledger.numbered) for _ in range(3)])
        show(
            "numbered(after=last): what a session polls",
            [milliseconds(lambda: ledger.numbered(after=args.events)) for _ in range(50)],
        )
        show(
            "redact(): the file rewritten without the words",
            [
                milliseconds(
                    lambda event=event: ledger.redact(
                        event.event_id, ["rationale"], by="DPO", reason="request"
                    )
                )
                for event in singles[:5]
            ],
        )
        ledger.close()
        each = 100
        seconds = concurrent(place, args.writers, each)
        count = args.writers * each
        print(
            f"\n{args.writers} processes at once: {count / seconds:.0f} appends a second; "
            f"{len(ledger.events()) - args.events - 5} of {count} kept; "
            f"problems: {len(ledger.verify())}"
        )


if __name__ == "__main__":
    main()
