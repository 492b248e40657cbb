from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.errors import InputError, LedgerError
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Reviewer
from hitl_audit.review.reviewers import join, record_once
from tests.review.queue_events import assignment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def joins(ledger: Ledger, name: str, role: str = "domain expert", **changes: Any) -> str:
    given: dict[str, Any] = {
        "plan_digest": "p",
        "model_digest": "m",
        "pseudonym": True,
        "now": lambda: datetime(2026, 1, 31, tzinfo=UTC),
    }
    return join(ledger, name, role, **(given | changes))


def records(ledger: Ledger) -> list[Reviewer]:
    return [event for event in ledger.events() if isinstance(event, Reviewer)]


def test_pseudonyms_go_by_order_of_joining_and_stay(ledger: Ledger) -> None:
    assert [joins(ledger, n) for n in ("Dana", "Eve", " dana ", "EVE")] == ["R1", "R2", "R1", "R2"]
    assert joins(Ledger(ledger.path or ""), "Fay") == "R3"
    assert [r.name for r in records(ledger)] == ["Dana", "Eve", "Fay"]
    assert all("Dana" not in r.reviewer for r in records(ledger))


def test_a_changed_role_is_a_new_record_and_the_same_person(ledger: Ledger) -> None:
    joins(ledger, "Dana", competence="underwriter, 12 years")
    assert joins(ledger, "Dana", authority="may override the model") == "R1"
    assert joins(ledger, "Dana", authority="may override the model") == "R1"
    assert [(r.competence, r.authority) for r in records(ledger)] == [
        ("underwriter, 12 years", ""),
        ("", "may override the model"),
    ]
    assert joins(ledger, "Dana", competence="underwriter, 12 years") == "R1"
    assert len(records(ledger)) == 3


def test_without_pseudonyms_the_name_is_the_id(ledger: Ledger) -> None:
    assert joins(ledger, "Dana  Reviewer", pseudonym=False) == "Dana Reviewer"
    assert joins(ledger, "dana reviewer", pseudonym=False) == "Dana Reviewer"
    assert len(records(ledger)) == 1


def test_after_a_redaction_nobody_can_tell_who_it_was(ledger: Ledger) -> None:
    joins(ledger, "Dana")
    ledger.redact(records(ledger)[0].event_id, ["name"], by="officer", reason="erasure")
    assert joins(ledger, "Dana") == "R2"
    joins(ledger, "Eve", pseudonym=False)
    ledger.redact(records(ledger)[-1].event_id, ["name"], by="officer", reason="erasure")
    assert joins(ledger, "Eve", pseudonym=False) == "Eve"


@pytest.mark.parametrize(
    ("name", "role", "changes", "words"),
    [
        ("", "expert", {}, "expected the name"),
        (" Anonymous ", "expert", {}, "expected the name"),
        ("Dana", " ", {}, "role is empty"),
        ("R2", "expert", {"pseudonym": False}, "reads as a pseudonym"),
    ],
)
def test_nobody_joins_without_a_name(
    ledger: Ledger, name: str, role: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        joins(ledger, name, role, **changes)
    assert ledger.events() == ()


def test_an_event_is_recorded_once_and_a_wrong_one_is_refused(ledger: Ledger) -> None:
    event = assignment("R1", ("a", "ordinary", ""))
    later = assignment("R1", ("b", "ordinary", ""), event_id=event.event_id)
    assert record_once(ledger, [event, later, event]) == 1
    with pytest.raises(LedgerError, match="reviewer is empty"):
        record_once(ledger, [assignment("", ("a", "ordinary", ""))])
    assert ledger.events() == (event,)


JOIN = """
import json, sys
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.reviewers import join
ledger = Ledger(sys.argv[1])
sys.stdin.readline()
names = [f"Person {(int(sys.argv[2]) * 3 + i) % 12}" for i in range(12)]
given = {"plan_digest": "p", "model_digest": "m", "pseudonym": True}
print(json.dumps({name: join(ledger, name, "expert", **given) for name in names}))
"""


def test_processes_that_join_at_once_agree_on_every_pseudonym(ledger: Ledger) -> None:
    arguments = [sys.executable, "-c", JOIN, str(ledger.path)]
    people = [
        subprocess.Popen(
            [*arguments, str(number)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for person in people:
        assert person.stdin is not None
        person.stdin.write("go\n")
        person.stdin.flush()
    answers = [json.loads(person.communicate(timeout=60)[0]) for person in people]
    assert answers[0] == answers[1] == answers[2]
    assert sorted(answers[0].values()) == sorted(f"R{i}" for i in range(1, 13))
    assert len(records(ledger)) == 12
