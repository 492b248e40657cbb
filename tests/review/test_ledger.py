from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.errors import LedgerError
from hitl_audit.review.ledger import Checkpoint, Judgment, Ledger, leaf_hash, merkle_root

ROOT = Path(__file__).parents[2]


def judgment(**changes: Any) -> Judgment:
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "case_id": "17",
        "design": "random",
        "inclusion_probability": 0.25,
        "reviewer": "Dana",
        "role": "domain expert",
        "phase": "final",
        "answer": "agree",
        "reasons": (),
        "rationale": "",
        "shown": ("case", "prediction", "explanation"),
        "model_digest": "sha256:m",
        "plan_digest": "sha256:p",
        "at": "2026-01-31T12:00:00.000000Z",
        "seconds": 12.5,
        "model_decision": "favorable",
    }
    return Judgment(**(fields | changes))


def blind(**changes: Any) -> Judgment:
    known = {"phase": "blind", "answer": "favorable", "shown": ("case",), "model_decision": None}
    return judgment(**(known | changes))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def filled(ledger: Ledger, events: int = 10) -> list[Judgment]:
    recorded = [judgment(case_id=str(i)) for i in range(events)]
    for event in recorded:
        ledger.append(event)
    return recorded


def tamper(ledger: Ledger, *statements: str, guards: bool = False) -> None:
    """What a person with the file and a SQLite shell can do."""
    db = sqlite3.connect(ledger.path, isolation_level=None)
    kept = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in kept:
        db.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        db.execute(statement)
    if guards:
        for _, sql in kept:
            db.execute(sql)
    db.close()


# ------------------------------------------------------------------ writing


def test_what_was_appended_is_read_back(ledger: Ledger) -> None:
    first = judgment(rationale="Zu hohe Rate — 収入", answer="disagree", reasons=("unfair",))
    second = blind(simulated=True, seconds=None)
    receipts = [ledger.append(first), ledger.append(second)]
    assert ledger.judgments() == (first, second)
    assert ledger.judgments(after=1) == (second,)
    assert [receipt.seq for receipt in receipts] == [1, 2]
    assert receipts[0].leaf == "sha256:" + leaf_hash(first.body()).hex()
    assert ledger.find(second.event_id) == (receipts[1], second)
    assert ledger.find("nothing") is None
    assert ledger.checkpoint().chain_head == receipts[1].link


def test_a_body_is_canonical_and_names_its_format() -> None:
    body = judgment().body()
    record = json.loads(body)
    assert record["format"] == "hitl-audit/judgment/v1"
    assert body == json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def test_sending_twice_records_once(ledger: Ledger) -> None:
    event = judgment()
    assert ledger.append(event) == ledger.append(event)
    assert len(ledger.judgments()) == 1


def test_the_same_id_with_other_contents_is_refused(ledger: Ledger) -> None:
    event = judgment()
    ledger.append(event)
    with pytest.raises(LedgerError, match="already recorded as event 1 with other contents"):
        ledger.append(dataclasses.replace(event, answer="unsure"))
    assert ledger.judgments() == (event,)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answer": "maybe"}, 'answer is "maybe"; accepted: agree, disagree, unsure, escalate'),
        ({"answer": "agre"}, 'did you mean "agree"'),
        ({"phase": "late"}, 'phase is "late"; accepted: blind, final, correction'),
        ({"answer": "disagree", "rationale": "why"}, "reasons is empty"),
        ({"answer": "disagree", "reasons": ("unfair",), "rationale": " "}, "rationale is empty"),
        ({"reviewer": " "}, "reviewer is empty"),
        ({"reviewer": "Anonymous"}, 'reviewer is "anonymous"'),
        ({"case_id": ""}, "case_id is empty"),
        ({"event_id": "1"}, "event_id is '1'; expected a lower-case UUID"),
        ({"inclusion_probability": 0.0}, "inclusion_probability is 0.0; expected 0 < p <= 1"),
        ({"inclusion_probability": float("nan")}, "inclusion_probability is nan"),
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"at": "2026-01-31 12:00"}, "at is '2026-01-31 12:00'; expected UTC text"),
        ({"shown": ("crystal ball",)}, 'shown is "crystal ball"; accepted: case, prediction'),
        ({"model_decision": "yes"}, 'model_decision is "yes"; accepted: favorable, unfavorable'),
        ({"corrects": str(uuid.uuid4())}, 'corrects goes with phase "correction"'),
        ({"phase": "correction"}, 'corrects goes with phase "correction"'),
        ({"rationale": "half \ud800"}, "lone surrogate"),
        ({"reasons": ("\udfff",)}, "lone surrogate"),
    ],
)
def test_an_event_that_is_not_valid_is_refused(
    ledger: Ledger, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(LedgerError) as refusal:
        ledger.append(judgment(**changes))
    assert words in str(refusal.value)
    assert ledger.judgments() == ()


def test_a_blind_answer_saw_only_the_case(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="before the model's is shown"):
        ledger.append(blind(shown=("case", "prediction")))
    with pytest.raises(LedgerError, match="before the model's is shown"):
        ledger.append(blind(model_decision="favorable"))


def test_a_correction_points_at_a_verdict_of_the_same_person_on_the_same_case(
    ledger: Ledger,
) -> None:
    old, own = judgment(), blind()
    ledger.append(old)
    ledger.append(own)
    good = judgment(phase="correction", corrects=old.event_id, answer="escalate")
    for bad, words in (
        (dataclasses.replace(good, corrects=str(uuid.uuid4())), "is not recorded"),
        (dataclasses.replace(good, corrects=own.event_id), "blind answer cannot be corrected"),
        (dataclasses.replace(good, reviewer="Eve"), "reviewer is 'Eve'"),
        (dataclasses.replace(good, case_id="18"), "case_id is '18'"),
    ):
        with pytest.raises(LedgerError, match=words):
            ledger.append(bad)
    ledger.append(good)
    again = judgment(phase="correction", corrects=good.event_id)
    ledger.append(again)
    assert ledger.judgments() == (old, own, good, again)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE judgment SET body = x'7b7d' WHERE seq = 2", "no event is ever edited"),
        ("DELETE FROM judgment WHERE seq = 3", "no event is ever deleted"),
        ("INSERT INTO judgment VALUES (9, 'x', x'', x'')", "numbered one by one"),
        ("INSERT OR REPLACE INTO judgment VALUES (2, 'x', x'', x'')", "numbered one by one"),
        (
            "INSERT OR REPLACE INTO judgment SELECT 4, event_id, x'', x'' FROM judgment "
            "WHERE seq = 2",
            "no event is replaced",
        ),
    ],
)
def test_the_file_itself_refuses_changes(ledger: Ledger, statement: str, words: str) -> None:
    recorded = filled(ledger, 3)
    db = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match=words):
        db.execute(statement)
    db.close()
    assert ledger.judgments() == tuple(recorded)


# ------------------------------------------------------- RFC 6962 tree hashes

# The reference inputs and roots of Certificate Transparency's own tests.
LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_merkle_root_equals_the_published_vectors(size: int) -> None:
    leaves = [leaf_hash(bytes.fromhex(text)) for text in LEAVES[:size]]
    assert merkle_root(leaves).hex() == ROOTS[size]


def test_an_empty_ledger_has_the_empty_tree(ledger: Ledger) -> None:
    assert ledger.checkpoint() == Checkpoint(0, "sha256:" + ROOTS[0], "sha256:" + "0" * 64)  # type: ignore[arg-type]
    assert ledger.verify() == ()


# ------------------------------------------------------------------ tampering


def test_an_intact_ledger_has_no_problems_and_may_grow(ledger: Ledger) -> None:
    filled(ledger)
    checkpoint = ledger.checkpoint()
    assert ledger.verify_against(checkpoint) == ()
    filled(ledger, 3)
    assert ledger.verify() == ()
    assert ledger.verify_against(checkpoint) == ()
    assert ledger.checkpoint().size == 13


def test_an_edited_event_is_named(ledger: Ledger) -> None:
    recorded = filled(ledger)
    edit = "UPDATE judgment SET body = CAST(replace(body, 'agree', 'unsure') AS BLOB) WHERE seq = 5"
    tamper(ledger, edit, guards=True)
    (problem,) = ledger.verify()
    assert problem.startswith(f"chain broken at event 5 ({recorded[4].event_id})")
    with pytest.raises(LedgerError, match="damaged, no checkpoint: chain broken at event 5"):
        ledger.checkpoint()


def test_removed_guards_are_named(ledger: Ledger) -> None:
    filled(ledger, 2)
    tamper(ledger)
    assert ledger.verify() == tuple(
        f"the guard {name} was removed from the file"
        for name in ("no_update", "no_delete", "no_gap", "no_replace")
    )


@pytest.mark.parametrize(
    ("where", "words"),
    [("= 4", "event 4 is missing before event 5"), ("IN (4, 5)", "events 4 to 5 are missing")],
)
def test_a_missing_event_is_named(ledger: Ledger, where: str, words: str) -> None:
    filled(ledger)
    tamper(ledger, f"DELETE FROM judgment WHERE seq {where}", guards=True)
    problems = ledger.verify()
    assert problems[0].startswith(words)
    assert problems[1].startswith("chain broken at event")


def test_a_cut_tail_shows_against_the_checkpoint_only(ledger: Ledger) -> None:
    filled(ledger)
    checkpoint = ledger.checkpoint()
    tamper(ledger, "DELETE FROM judgment WHERE seq > 8", guards=True)
    assert ledger.verify() == ()
    assert ledger.verify_against(checkpoint) == (
        "the checkpoint vouches for 10 events, the ledger has 8: 2 were removed",
    )


def test_a_complete_rewrite_shows_against_the_checkpoint_only(
    ledger: Ledger, tmp_path: Path
) -> None:
    recorded = filled(ledger)
    checkpoint = ledger.checkpoint()
    forged = Ledger(tmp_path / "forged.db")
    for event in recorded:
        forged.append(dataclasses.replace(event, answer="escalate"))
    assert forged.verify() == ()
    assert forged.verify_against(checkpoint) == (
        "the first 10 events are not the ones the checkpoint vouches for: "
        "the ledger was rewritten after the checkpoint",
    )


def test_a_body_of_another_format_or_event_is_named(ledger: Ledger) -> None:
    filled(ledger, 4)
    change = "UPDATE judgment SET body = CAST(replace(body, '{}', '{}') AS BLOB) WHERE seq = {}"
    tamper(
        ledger,
        change.format("judgment/v1", "judgment/v9", 2),
        "UPDATE judgment SET event_id = 'other' WHERE seq = 3",
        change.format('"role":', '"role" :', 4),
        guards=True,
    )
    words = "\n".join(ledger.verify())
    assert "the body has format 'hitl-audit/judgment/v9'; accepted" in words
    assert "event 3 (other): its body is that of event" in words
    assert "its body is not in canonical form" in words
    with pytest.raises(LedgerError, match="event 2: the body has format"):
        ledger.judgments()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no json", "the body is not JSON"),
        (b"[1]", "the body has format None"),
        (b'{"format":"hitl-audit/judgment/v1"}', "missing or unknown fields: answer, at"),
        (
            judgment(reasons=()).body().replace(b'"reasons":[]', b'"reasons":"x"'),
            "no list in 'reasons'",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(LedgerError, match=words):
        Judgment.from_body(body)


# ------------------------------------------------------------------- opening


def test_opening_something_else_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("these are notes, and no database at all\n" * 40)
    with pytest.raises(LedgerError, match=r"notes.txt: file is not a database"):
        Ledger(text)
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE shopping (item)")
    db.commit()
    db.close()
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="a database, but not a judgment ledger"):
        Ledger(other)
    assert other.read_bytes() == before


def test_opening_another_version_is_refused(ledger: Ledger) -> None:
    tamper(ledger, "PRAGMA user_version = 2")
    with pytest.raises(LedgerError, match="has version 2; accepted: 1"):
        Ledger(ledger.path)


def test_reading_only_makes_no_file_and_writes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    absent = tmp_path / "absent.db"
    with pytest.raises(LedgerError, match=r"there is no file .*absent\.db"):
        Ledger(absent, read_only=True)
    assert not absent.exists()
    filled(ledger, 2)
    reader = Ledger(ledger.path, read_only=True)
    assert reader.verify() == ()
    with pytest.raises(LedgerError, match="readonly"):
        reader.append(judgment())


def test_reading_only_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "odd name?#%.db")
    filled(ledger, 3)
    checkpoint = ledger.checkpoint()
    before = ledger.path.read_bytes()
    reader = Ledger(ledger.path, read_only=True)
    assert reader.verify_against(checkpoint) == ()
    assert list(tmp_path.iterdir()) == [ledger.path]
    assert ledger.path.read_bytes() == before


def test_reading_only_sees_what_still_waits_in_the_wal(ledger: Ledger) -> None:
    filled(ledger, 2)
    holder = sqlite3.connect(ledger.path)  # keeps the WAL from being folded in
    holder.execute("SELECT count(*) FROM judgment").fetchone()
    filled(ledger, 2)
    assert len(Ledger(ledger.path, read_only=True).judgments()) == 4
    holder.close()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"nowhere.*unable to open"):
        Ledger(tmp_path / "nowhere" / "judgments.db")


def test_frame_has_one_row_per_event(ledger: Ledger) -> None:
    assert ledger.frame().empty
    recorded = filled(ledger, 3)
    frame = ledger.frame()
    assert frame["seq"].tolist() == [1, 2, 3]
    assert frame["event_id"].tolist() == [event.event_id for event in recorded]


def test_importing_the_ledger_loads_no_table_library() -> None:
    code = (
        "import sys, hitl_audit.review.ledger; "
        "sys.exit(bool({'numpy', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# ------------------------------------------------------------ real processes

WRITER = """
import sys, uuid
from hitl_audit.review.ledger import Judgment, Ledger
ledger = Ledger(sys.argv[1])
for number in range(int(sys.argv[3])):
    receipt = ledger.append(Judgment(
        event_id=str(uuid.uuid4()), case_id=f"{sys.argv[2]}-{number}", design="random",
        inclusion_probability=1.0, reviewer=f"Writer {sys.argv[2]}", role="expert",
        phase="final", answer="agree", reasons=(), rationale="", shown=("case",),
        model_digest="m", plan_digest="p", at="2026-01-31T12:00:00.000000Z", seconds=1.0))
    print(receipt.event_id, flush=True)
"""

StartWriter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_writer(tmp_path: Path) -> StartWriter:
    def start(name: str, events: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "shared.db"), name, str(events)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    return start


def test_four_processes_at_once_lose_nothing(tmp_path: Path, start_writer: StartWriter) -> None:
    writers = [start_writer(str(number), 50) for number in range(4)]
    acknowledged = [writer.communicate()[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4
    ledger = Ledger(tmp_path / "shared.db")
    assert ledger.verify() == ()
    events = ledger.judgments()
    assert {event.event_id for event in events} == {id for ids in acknowledged for id in ids}
    assert len(events) == 200
    for number in range(4):
        own = [event.case_id for event in events if event.reviewer == f"Writer {number}"]
        assert own == [f"{number}-{i}" for i in range(50)]


def test_a_killed_process_loses_nothing_it_acknowledged(
    tmp_path: Path, start_writer: StartWriter
) -> None:
    writer = start_writer("killed", 100_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += writer.stdout.read().split()
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    ledger = Ledger(tmp_path / "shared.db")
    assert ledger.verify() == ()
    recorded = [event.event_id for event in ledger.judgments()]
    assert recorded[: len(acknowledged)] == acknowledged
    assert len(recorded) <= len(acknowledged) + 1
