from __future__ import annotations

import csv
import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.exchange import read_events, safe_cell, unsafe_cell, write_events
from hitl_audit.review.judgment import Adjudication, Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Approval, Assignment, Change, Redaction, WhatIf

ENDINGS = (".csv", ".parquet", ".json")
HOSTILE = (
    '=HYPERLINK("http://evil.example","click")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    "'=1",
    "'",
    "''quoted''",
    'a "quoted", word; and\nanother line',
    "Größe 収入",
)


def common() -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "at": "2026-01-31T12:00:00.000000Z",
        "plan_digest": "sha256:p",
        "model_digest": "sha256:m",
    }


def judgment(**changes: Any) -> Judgment:
    fields: dict[str, Any] = common() | {
        "case_id": "17",
        "design": "random",
        "inclusion_probability": 1 / 3,
        "reviewer": "Dana",
        "role": "domain expert",
        "phase": "final",
        "answer": "disagree",
        "reasons": ("missing", "=1"),
        "rationale": "why",
        "shown": ("case", "prediction"),
        "seconds": 0.1 + 0.2,
        "model_decision": "favorable",
        "model_score": 1e-07,
    }
    return Judgment(**(fields | changes))


def of_many_kinds() -> list[Event]:
    said: dict[str, Any] = {"rationale": "x", "role": "r"}
    edits = (("Income", "=1", "2"), ("City", "", "b"))
    measures = (("recall", "", 10, None, 0.5, -0.1, 2.0),)
    digests: dict[str, Any] = {"before_digest": "a", "after_digest": "b", "expires": "2027"}
    return [
        *(judgment(rationale=text, note=text, case_id=text.strip()) for text in HOSTILE),
        judgment(seconds=None, model_decision=None, model_score=None, redacted=("note",)),
        judgment(
            phase="blind", answer="unsure", reasons=(), confidence=3, simulated=True, shown=()
        ),
        judgment(corrects=str(uuid.uuid4()), phase="correction", seconds=12),
        WhatIf(
            **common(),
            case_id="1",
            reviewer="D",
            score_before=0.0,
            score_after=1.0,
            step="final",
            edits=edits,
        ),
        Change(
            **common(),
            action="retrain",
            description="-",
            triggers=("a",),
            proposer="D",
            measures=measures,
            **digests,
        ),
        Approval(**common(), approves="x", approver="=cmd", approved=False, **said),
        Adjudication(
            **common(), case_id="1", reviewer="A", answer="unsure", settles=("a", "b"), **said
        ),
        Assignment(
            **common(), reviewer="D", tasks=(("1", "gold", ""),), by="plan", takes_back=True
        ),
        Redaction(**common(), redacts="x", fields=("note",), by="DPO", reason="@request"),
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_events_come_back_exactly(tmp_path: Path, ending: str) -> None:
    events = list(enumerate(of_many_kinds(), start=5))
    file = write_events(tmp_path / f"events{ending}", events)
    back = read_events(file)
    assert [tuple(item) for item in back] == events
    for (_, event), (_, read) in zip(events, back, strict=True):
        assert read.redacted == event.redacted  # which equality leaves out
        assert {
            type(getattr(read, name)) for name in ("reasons", "shown") if hasattr(read, name)
        } <= {tuple}
    assert read_events(write_events(tmp_path / f"none{ending}", [])) == ()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_ledger_is_exported_and_read_back(tmp_path: Path, ending: str) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    first = judgment()
    ledger.append_all([first, judgment(note="=1+1")])
    ledger.redact(first.event_id, ["rationale"], by="DPO", reason="request")
    file = write_events(tmp_path / f"events{ending}", ledger.numbered())
    assert read_events(file) == ledger.numbered()
    other = Ledger(tmp_path / "other.db")
    assert other.append(read_events(file)[1].event).seq == 1


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path: Path) -> None:
    file = write_events(tmp_path / "events.csv", enumerate(of_many_kinds(), start=1))
    with file.open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert len(cells) > 500
    assert not [
        cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝"))
    ]
    assert "'@SUM(A1)" in cells


@given(st.text())
def test_any_text_is_safe_in_a_cell_and_comes_back(text: str) -> None:
    cell = safe_cell(text)
    assert unsafe_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell == text or cell == f"'{text}"


@settings(max_examples=30)
@given(
    words=st.text(st.characters(codec="utf-8"), min_size=1),
    number=st.floats(0, 1e300),
    ending=st.sampled_from(ENDINGS),
)
def test_any_words_and_numbers_come_back(
    tmp_path_factory: pytest.TempPathFactory, words: str, number: float, ending: str
) -> None:
    event = judgment(rationale=words, case_id=words, reasons=(words,), seconds=number)
    file = write_events(tmp_path_factory.mktemp("x") / f"events{ending}", [(1, event)])
    assert read_events(file) == ((1, event),)


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    events = [(1, judgment(rationale="=1")), (2, judgment(seconds=None))]
    frame = pd.read_csv(write_events(tmp_path / "events.csv", events))
    assert frame["rationale"].tolist() == ["'=1", "why"]
    assert frame["inclusion_probability"].tolist() == [1 / 3, 1 / 3]
    frame = pd.read_parquet(write_events(tmp_path / "events.parquet", events))
    assert frame["rationale"].tolist() == ["=1", "why"]
    assert frame["seq"].tolist() == [1, 2]
    document = json.loads(write_events(tmp_path / "events.json", events).read_bytes())
    assert document["format"] == "hitl-audit/events/v1"
    assert [row["kind"] for row in document["events"]] == ["judgment"] * 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("events.xlsx", "", "the ending is '.xlsx'; accepted: .csv, .parquet, .json"),
        ("absent/events.csv", None, "events.csv: cannot be read"),
        ("events.csv", "seq,kind\n1,verdict\n", 'row 1: kind is "verdict"; accepted: judgment'),
        ("events.csv", "seq,kind\n1,judgment\n", "row 1: there is no 'event_id'"),
        ("events.csv", "seq,kind\n1\n", "row 1 has another number of cells"),
        ("events.csv", b"\xff\xfe", "events.csv: cannot be read"),
        ("events.json", "[]", "has format None; accepted: 'hitl-audit/events/v1'"),
        ("events.json", "{", "not JSON"),
        ("events.json", '{"format":"hitl-audit/events/v1","events":[1]}', "row 1 is no object"),
        ("events.json", '{"format":"hitl-audit/events/v1","events":[{"kind":[]}]}', "row 1: kind"),
        ("events.parquet", "no parquet", "events.parquet: cannot be read"),
    ],
)
def test_a_file_that_holds_no_events_is_refused(
    tmp_path: Path, name: str, content: str | bytes | None, words: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as refusal:
        read_events(file)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("seconds", '"long"', "row 1: seconds is 'long'; expected float"),
        ("reasons", '"x"', "row 1: reasons is 'x'; expected tuple"),
        ("simulated", "null", "row 1: simulated is None; expected bool"),
        ("confidence", "true", "row 1: confidence is True; expected int"),
        ("seconds", "{", "row 1: seconds is '{'; expected JSON text"),
        ("seq", "x", "row 1: seq is 'x'; expected a number"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(
    tmp_path: Path, field: str, value: str, words: str
) -> None:
    file = write_events(tmp_path / "events.csv", [(1, judgment())])
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows[0][field] = value
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError) as refusal:
        read_events(file)
    assert words in str(refusal.value)


def test_writing_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the ending is '\.xml'"):
        write_events(tmp_path / "events.xml", [])
