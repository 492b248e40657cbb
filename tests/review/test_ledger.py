"""What holds of a ledger wherever it lies: in a SQLite file and in a real PostgreSQL."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.errors import LedgerError
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.ledger import Ledger, Numbered
from hitl_audit.review.merkle import leaf_hash
from hitl_audit.review.records import (
    Approval,
    Assignment,
    Change,
    Escalation,
    Redaction,
    Resolution,
    Reviewer,
    WhatIf,
)

ROOT = Path(__file__).parents[2]
NewPlace = Callable[[], "str | Path"]


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
        "inclusion_probability": 0.25,
        "reviewer": "Dana",
        "role": "domain expert",
        "phase": "final",
        "answer": "agree",
        "shown": ("case", "prediction", "explanation"),
        "seconds": 12.5,
        "model_decision": "favorable",
    }
    return Judgment(**(fields | changes))


def disagreement(rationale: str = "the debts are missing", **changes: Any) -> Judgment:
    said = {"answer": "disagree", "reasons": ("missing",), "rationale": rationale}
    return judgment(**(said | changes))


def blind(**changes: Any) -> Judgment:
    known = {"phase": "blind", "answer": "favorable", "shown": ("case",), "model_decision": None}
    return judgment(**(known | changes))


def withdrawal(of: Judgment, **changes: Any) -> Withdrawal:
    said = {"withdraws": of.event_id, "reviewer": of.reviewer, "rationale": "wrong case"}
    return Withdrawal(**(common() | said | changes))


def adjudication(*settles: str, **changes: Any) -> Adjudication:
    said = {
        "case_id": "17",
        "reviewer": "Ada",
        "role": "adjudicator",
        "answer": "favorable",
        "rationale": "the papers are complete",
        "settles": settles,
    }
    return Adjudication(**(common() | said | changes))


def escalation(**changes: Any) -> Escalation:
    said = {
        "condition": "an expert's request",
        "subject": "17",
        "role": "head of credit",
        "raised_by": "Dana",
        "rationale": "Mrs. Doe called",
    }
    return Escalation(**(common() | said | changes))


def resolution(of: Escalation, **changes: Any) -> Resolution:
    said = {
        "resolves": of.event_id,
        "reviewer": "Hal",
        "role": of.role,
        "outcome": "approve",
        "rationale": "called back",
    }
    return Resolution(**(common() | said | changes))


def change(*triggers: str, **changes: Any) -> Change:
    said = {
        "action": "threshold",
        "description": "0.5 to 0.45",
        "triggers": triggers,
        "proposer": "Dana",
        "before_digest": "sha256:a",
        "after_digest": "sha256:b",
        "expires": "2027-01-31T12:00:00.000000Z",
        "measures": (("recall", "", 100, 0.5, 0.6, 0.05, None),),
    }
    return Change(**(common() | said | changes))


def approval(of: Change, **changes: Any) -> Approval:
    said = {
        "approves": of.event_id,
        "approver": "Olga",
        "role": "compliance",
        "approved": True,
        "rationale": "holds on the holdout",
    }
    return Approval(**(common() | said | changes))


def one_of_each() -> list[Event]:
    first, second, raised = disagreement(), judgment(reviewer="Eve"), escalation()
    proposed = change(first.event_id)
    edits = (("Income", "100", "200"),)
    expected: dict[str, Any] = {
        "score_before": 0.4,
        "score_after": 0.6,
        "step": "final",
        "expectation": "up",
    }
    return [
        Reviewer(**common(), reviewer="Dana", role="domain expert", name="Dana Jones"),
        Assignment(
            **common(),
            reviewer="Dana",
            tasks=(("17", "ordinary", ""), ("18", "gold", "")),
            by="plan",
        ),
        blind(confidence=4, note="looks fine"),
        first,
        second,
        judgment(phase="correction", corrects=first.event_id, answer="escalate"),
        WhatIf(**common(), case_id="17", reviewer="Dana", edits=edits, **expected),
        adjudication(first.event_id, second.event_id),
        raised,
        resolution(raised),
        proposed,
        approval(proposed),
        withdrawal(second),
    ]


@pytest.fixture
def ledger(new_place: NewPlace) -> Ledger:
    return Ledger(new_place())


def filled(ledger: Ledger, events: int = 10) -> list[Judgment]:
    recorded = [judgment(case_id=str(i)) for i in range(events)]
    ledger.append_all(recorded)
    return recorded


# ------------------------------------------------------------------ writing


def test_every_kind_of_event_is_read_back_as_it_was(ledger: Ledger) -> None:
    events = one_of_each()
    receipts = [ledger.append(event) for event in events]
    assert ledger.events() == tuple(events)
    assert [receipt.seq for receipt in receipts] == list(range(1, len(events) + 1))
    assert ledger.numbered(after=11) == (Numbered(12, events[11]), Numbered(13, events[12]))
    assert ledger.find(events[3].event_id) == (receipts[3], events[3])
    assert ledger.find("nothing") is None
    assert ledger.checkpoint().chain_head == receipts[-1].link
    assert ledger.verify() == ()


def test_judgments_are_the_judgments_in_order(ledger: Ledger) -> None:
    events = one_of_each()
    ledger.append_all(events)
    judgments = tuple(event for event in events if isinstance(event, Judgment))
    assert ledger.judgments() == judgments
    assert ledger.judgments(after=4) == judgments[2:]  # numbers count every event


def test_a_receipt_proves_the_bytes_and_the_order(ledger: Ledger) -> None:
    previous = bytes(32)
    for event in (judgment(), blind()):
        receipt = ledger.append(event)
        leaf = leaf_hash(event.seal(lambda: bytes(16)).body)  # no words: the salt is no matter
        previous = sha256(previous + leaf).digest()
        assert (receipt.leaf, receipt.link) == ("sha256:" + leaf.hex(), "sha256:" + previous.hex())


def test_words_are_not_in_what_is_hashed(new_place: NewPlace) -> None:
    one = disagreement("Mrs. Doe")
    # The same words under another salt are not recognised.
    assert Ledger(new_place()).append(one).leaf != Ledger(new_place()).append(one).leaf
    body = json.loads(one.seal(lambda: bytes(16)).body)
    assert "Doe" not in json.dumps(body)
    assert set(body["personal"]) == {"rationale"}


def test_sending_twice_records_once(ledger: Ledger) -> None:
    for event in one_of_each():
        assert ledger.append(event) == ledger.append(event)
    assert len(ledger.events()) == len(one_of_each())
    again = judgment(seconds=12.0)
    assert ledger.append(again) == ledger.append(dataclasses.replace(again, seconds=12))


def test_the_same_id_with_other_contents_is_refused(ledger: Ledger) -> None:
    event = disagreement()
    ledger.append(event)
    others: tuple[dict[str, Any], ...] = ({"answer": "unsure"}, {"rationale": "x"}, {"note": "x"})
    for changes in others:
        with pytest.raises(LedgerError, match="already recorded as event 1 with other contents"):
            ledger.append(dataclasses.replace(event, **changes))
    with pytest.raises(LedgerError, match=r"escalation: event_id .* already recorded as event 1"):
        ledger.append(escalation(event_id=event.event_id))
    assert ledger.events() == (event,)


def test_several_are_recorded_together_or_not_at_all(ledger: Ledger) -> None:
    good = filled(ledger, 2)
    with pytest.raises(LedgerError, match="judgment: case_id is empty"):
        ledger.append_all([judgment(), judgment(case_id="")])
    with pytest.raises(LedgerError, match=r"withdrawal: withdraws names .* which is not recorded"):
        ledger.append_all([judgment(), withdrawal(judgment())])
    assert ledger.events() == tuple(good)
    new = judgment()
    receipts = ledger.append_all([good[1], new, new])
    assert [receipt.seq for receipt in receipts] == [2, 3, 3]
    assert ledger.append_all([]) == ()
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            judgment(answer="maybe"),
            'judgment: answer is "maybe"; accepted: agree, disagree, unsure',
        ),
        (judgment(answer="agre"), 'did you mean "agree"'),
        (judgment(phase="late"), 'phase is "late"; accepted: blind, final, correction'),
        (judgment(answer="disagree", rationale="why"), "reasons is empty"),
        (disagreement(" "), "rationale is empty"),
        (judgment(reviewer=" "), "reviewer is empty"),
        (judgment(reviewer="Anonymous"), 'reviewer is "anonymous"'),
        (judgment(case_id=""), "case_id is empty"),
        (judgment(event_id="1"), "event_id is '1'; expected a lower-case UUID"),
        (judgment(inclusion_probability=0.0), "inclusion_probability is 0.0; expected 0 < p <= 1"),
        (judgment(inclusion_probability=float("nan")), "inclusion_probability is nan"),
        (judgment(inclusion_probability=None), "inclusion_probability is None and design is"),
        (judgment(seconds=-1.0), "seconds is -1.0"),
        (judgment(seconds=float("inf")), "seconds is inf"),
        (judgment(at="2026-01-31 12:00"), "at is '2026-01-31 12:00'; expected UTC text"),
        (judgment(shown=("crystal ball",)), 'shown is "crystal ball"; accepted: case, prediction'),
        (judgment(model_decision="yes"), 'model_decision is "yes"; accepted: favorable'),
        (judgment(corrects=str(uuid.uuid4())), 'corrects goes with phase "correction"'),
        (judgment(phase="correction"), 'corrects goes with phase "correction"'),
        (judgment(task="trick"), 'task is "trick"; accepted: ordinary, gold, planted, repeat'),
        (judgment(note="half \ud800"), "lone surrogate"),
        (judgment(reasons=("\udfff",)), "lone surrogate"),
        (blind(shown=("case", "prediction")), "before the model's is shown"),
        (blind(model_decision="favorable"), "before the model's is shown"),
        (blind(confidence=6), "confidence is 6; accepted: none, or 1 to 5"),
        (adjudication(), "adjudication: settles is empty"),
        (change(), "change: triggers is empty"),
        (change("x", action="wish"), 'action is "wish"; accepted: relabel'),
        (escalation(role=""), "escalation: role is empty"),
        (judgment(model_score=float("nan")), "a number is infinite or not a number"),
        (change("x", measures=(("recall", "", 1, float("inf"), 0.0, 0.0, 0.0),)), "is infinite"),
        (change("x", measures=(("recall", "", 2**60, 0.0, 0.0, 0.0, 0.0),)), "written as JSON"),
        (judgment(reasons="too many"), "judgment: reasons is 'too many'; expected tuple"),
        (judgment(simulated=1), "judgment: simulated is 1; expected bool"),
        (judgment(seconds=True), "judgment: seconds is True; expected float"),
        (judgment(redacted=("note",)), "what is left of an event cannot be recorded anew"),
    ],
)
def test_an_event_that_is_not_valid_is_refused(ledger: Ledger, event: Event, words: str) -> None:
    with pytest.raises(LedgerError) as refusal:
        ledger.append(event)
    assert words in str(refusal.value)
    assert ledger.events() == ()


# --------------------------------------------------------------- references


def refused(ledger: Ledger, *cases: tuple[Event, str]) -> None:
    before = len(ledger.events())
    for event, words in cases:
        with pytest.raises(LedgerError) as refusal:
            ledger.append(event)
        assert words in str(refusal.value)
    assert len(ledger.events()) == before


def test_a_correction_replaces_a_verdict_of_the_same_person_on_the_same_case(
    ledger: Ledger,
) -> None:
    old, own, raised = judgment(), blind(), escalation()
    ledger.append_all([old, own, raised])
    good = judgment(phase="correction", corrects=old.event_id, answer="escalate")
    with_ = dataclasses.replace
    refused(
        ledger,
        (with_(good, corrects=str(uuid.uuid4())), "is not recorded"),
        (with_(good, corrects=own.event_id), "blind answer cannot be corrected"),
        (with_(good, corrects=raised.event_id), "which is an escalation; expected a judgment"),
        (with_(good, reviewer="Eve"), "reviewer is 'Eve'; a correction keeps it, expected 'Dana'"),
        (with_(good, case_id="18"), "case_id is '18'"),
        (with_(good, plan_digest="sha256:q"), "plan_digest is 'sha256:q'"),
        (with_(good, model_digest="sha256:n"), "model_digest is 'sha256:n'"),
    )
    ledger.append(good)
    again = judgment(phase="correction", corrects=good.event_id)
    ledger.append(again)
    ledger.append(withdrawal(again))
    refused(
        ledger,
        (judgment(phase="correction", corrects=again.event_id), "which was withdrawn"),
    )


def test_only_the_reviewer_withdraws_a_judgment_and_only_once(ledger: Ledger) -> None:
    old, raised = disagreement(), escalation()
    ledger.append_all([old, raised])
    refused(
        ledger,
        (withdrawal(old, reviewer="Eve"), "reviewer is 'Eve'; a withdrawal keeps it"),
        (withdrawal(old, model_digest="sha256:n"), "model_digest is 'sha256:n'"),
        (withdrawal(judgment()), "which is not recorded"),
        (withdrawal(old, withdraws=raised.event_id), "which is an escalation"),
    )
    ledger.append(withdrawal(old))
    refused(ledger, (withdrawal(old), "which was withdrawn already"))
    assert ledger.judgments() == (old,)  # it stays on record


def test_an_adjudicator_is_a_third_person_on_the_same_case(ledger: Ledger) -> None:
    first, second, other, back = (
        judgment(),
        disagreement(reviewer="Eve"),
        judgment(case_id="18"),
        judgment(),
    )
    ledger.append_all([first, second, other, back, withdrawal(back)])
    both = (first.event_id, second.event_id)
    refused(
        ledger,
        (adjudication(*both, reviewer="Eve"), "expected a third person"),
        (adjudication(*both, reviewer=" dana "), "expected a third person"),
        (adjudication(*both, str(uuid.uuid4())), "which is not recorded"),
        (adjudication(*both, other.event_id), "case_id is '17'; an adjudication keeps it"),
        (adjudication(*both, back.event_id), "which was withdrawn"),
        (adjudication(*both, plan_digest="sha256:q"), "plan_digest is 'sha256:q'"),
    )
    assert ledger.append(adjudication(*both)).seq == 6


def test_an_escalation_is_resolved_once_by_the_role_it_names(ledger: Ledger) -> None:
    raised, said = escalation(), judgment()
    ledger.append_all([raised, said])
    refused(
        ledger,
        (resolution(raised, role="intern"), "role is 'intern'; a resolution keeps it"),
        (resolution(escalation()), "which is not recorded"),
        (resolution(raised, resolves=said.event_id), "which is a judgment; expected an escalation"),
        (resolution(raised, model_digest="sha256:n"), "model_digest"),
    )
    ledger.append(resolution(raised))
    refused(ledger, (resolution(raised), "which is resolved already"))


def test_whoever_proposed_a_change_does_not_approve_it(ledger: Ledger) -> None:
    said, own = judgment(), blind()
    ledger.append_all([said, own])
    proposed = change(said.event_id)
    refused(ledger, (change(str(uuid.uuid4())), "triggers names"))
    ledger.append(proposed)
    refused(
        ledger,
        (change(proposed.event_id), "which is a change; expected a judgment, adjudication"),
        (approval(proposed, approver="DANA"), "approver is 'DANA', who proposed the change"),
        (approval(proposed, approves=said.event_id), "which is a judgment; expected a change"),
        (approval(proposed, plan_digest="sha256:q"), "plan_digest"),
    )
    ledger.append(approval(proposed, approved=False))
    assert ledger.append(approval(proposed)).seq == 5  # a later decision counts


# ---------------------------------------------------------------- redaction


def moment() -> datetime:
    return datetime(2026, 11, 2, tzinfo=UTC)


def test_redacted_words_are_gone_and_every_hash_stays(ledger: Ledger) -> None:
    event = disagreement("Mrs. Doe is a friend", note="call her")
    others = filled(ledger, 2)
    receipt = ledger.append(event)
    before = ledger.checkpoint()
    at = ledger.redact(
        event.event_id, ["rationale"], by="DPO", reason="erasure request", now=moment
    )
    assert at.seq == 4
    found = ledger.find(event.event_id)
    assert found is not None
    left = found[1]
    assert found[0] == receipt
    assert isinstance(left, Judgment)
    assert (left.rationale, left.note, left.redacted) == ("", "call her", ("rationale",))
    assert ledger.judgments() == (*others, left)
    last = ledger.events()[-1]
    assert isinstance(last, Redaction)
    assert (last.redacts, last.fields, last.by) == (event.event_id, ("rationale",), "DPO")
    assert (last.at, last.plan_digest) == ("2026-11-02T00:00:00.000000Z", "sha256:p")
    assert ledger.verify(before) == ()
    after = ledger.checkpoint()
    assert ledger.inclusion_proof(3).holds(after.root)
    assert ledger.consistency_proof(3).holds(before.root, after.root)


def test_what_is_left_is_the_same_event_and_its_words_do_not_come_back(ledger: Ledger) -> None:
    event = disagreement("Mrs. Doe is a friend")
    receipt = ledger.append(event)
    ledger.redact(event.event_id, ["rationale"], by="DPO", reason="request")
    assert ledger.append(event) == receipt
    assert "Doe" not in repr(ledger.events())
    with pytest.raises(LedgerError, match="already recorded as event 1 with other contents"):
        ledger.append(dataclasses.replace(event, answer="unsure"))


def test_a_redaction_can_come_with_other_events(ledger: Ledger) -> None:
    event = disagreement()
    both: dict[str, Any] = {"redacts": event.event_id, "by": "DPO", "reason": "request"}
    ledger.append_all([event, Redaction(**common(), fields=("rationale",), **both), judgment()])
    assert [e.redacted for e in ledger.events()] == [("rationale",), (), ()]
    assert ledger.verify() == ()


def test_only_words_on_record_are_redacted(ledger: Ledger) -> None:
    event, raised = disagreement(), escalation()
    what_if = one_of_each()[6]
    ledger.append_all([event, raised, what_if])
    for event_id, fields, words in (
        (event.event_id, ["reviewer"], "of a judgment, these can be redacted: rationale, note"),
        (event.event_id, ["note"], "fields has 'note', which was recorded empty"),
        (event.event_id, ["rationale", "rationale"], "fields names a field twice"),
        (event.event_id, [], "fields is empty"),
        (str(uuid.uuid4()), ["note"], "is not recorded"),
    ):
        with pytest.raises(LedgerError, match=words):
            ledger.redact(event_id, fields, by="DPO", reason="request")
    ledger.redact(event.event_id, ["rationale"], by="DPO", reason="request")
    with pytest.raises(LedgerError, match="'rationale', which was redacted already"):
        ledger.redact(event.event_id, ["rationale"], by="DPO", reason="request")
    at = ledger.redact(what_if.event_id, ["edits"], by="DPO", reason="request")
    with pytest.raises(LedgerError, match="of a redaction, these can be redacted: none"):
        ledger.redact(at.event_id, ["reason"], by="DPO", reason="request")
    left = ledger.find(what_if.event_id)
    assert left is not None
    assert getattr(left[1], "edits", None) == ()
    assert len(ledger.events()) == 5
    assert ledger.verify() == ()


# ------------------------------------------------------------------- proofs


def test_proofs_hold_against_checkpoints_kept_elsewhere(ledger: Ledger) -> None:
    points = [ledger.checkpoint()]
    for event in one_of_each():
        ledger.append(event)
        points.append(ledger.checkpoint())
    whole = points[-1]
    for number, point in enumerate(points):
        assert point.size == number
        assert ledger.verify_against(point) == ()
        assert ledger.consistency_proof(number).holds(point.root, whole.root)
        if number:
            assert ledger.inclusion_proof(number).holds(whole.root)
            assert ledger.inclusion_proof(1, size=number).holds(point.root)
    size: int | None
    for seq, size in ((0, None), (14, None), (3, 2), (1, 14)):
        with pytest.raises(LedgerError, match="expected 1 <= seq <= size <= 13"):
            ledger.inclusion_proof(seq, size=size)
    for old, size in ((-1, None), (14, None), (3, 2), (1, 14)):
        with pytest.raises(LedgerError, match="expected 0 <= old_size <= size <= 13"):
            ledger.consistency_proof(old, size=size)


# ------------------------------------------------------------------ reading


def test_reading_only_writes_nothing(new_place: NewPlace) -> None:
    place = new_place()
    with pytest.raises(LedgerError, match="there is no"):
        Ledger(place, read_only=True)
    filled(Ledger(place), 2)
    reader = Ledger(place, read_only=True)
    assert reader.verify() == ()
    assert len(reader.events()) == 2
    with pytest.raises(LedgerError, match="opened for reading only"):
        reader.append(judgment())
    with pytest.raises(LedgerError, match="opened for reading only"):
        reader.redact(reader.events()[0].event_id, ["note"], by="x", reason="y")
    assert len(reader.events()) == 2


def test_frames_have_one_row_per_event(ledger: Ledger) -> None:
    assert ledger.frame().empty
    events = one_of_each()
    ledger.append_all(events)
    frame = ledger.frame()
    assert frame["seq"].tolist() == [3, 4, 5, 6]
    assert frame["event_id"].tolist() == [event.event_id for event in events[2:6]]
    assert "kind" not in frame
    whole = ledger.frame(None)
    assert whole["kind"].tolist() == [event.KIND for event in events]
    assert whole["seq"].tolist() == list(range(1, 14))
    assert ledger.frame("escalation")["condition"].tolist() == ["an expert's request"]
    with pytest.raises(LedgerError, match=r'kind is "judgement"; .* did you mean "judgment"'):
        ledger.frame("judgement")


# ------------------------------------------------------------ real processes

WRITER = """
import sys, uuid
from hitl_audit.review.ledger import Judgment, Ledger
ledger = Ledger(sys.argv[1])
for number in range(int(sys.argv[3])):
    receipt = ledger.append(Judgment(
        event_id=str(uuid.uuid4()), case_id=f"{sys.argv[2]}-{number}", design="random",
        inclusion_probability=1.0, reviewer=f"Writer {sys.argv[2]}", role="expert",
        phase="final", answer="disagree", reasons=("x",), rationale="why", shown=("case",),
        model_digest="m", plan_digest="p", at="2026-01-31T12:00:00.000000Z", seconds=1.0))
    print(receipt.seq, receipt.event_id, flush=True)
"""


def start_writer(place: str | Path, name: str, events: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(place), name, str(events)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_eight_processes_at_once_lose_nothing(new_place: NewPlace) -> None:
    place = new_place()
    writers = [start_writer(place, str(number), 20) for number in range(8)]
    acknowledged = [
        line.split() for writer in writers for line in writer.communicate()[0].splitlines()
    ]
    assert [writer.returncode for writer in writers] == [0] * 8
    assert sorted(int(seq) for seq, _ in acknowledged) == list(range(1, 161))
    ledger = Ledger(place)
    assert ledger.verify() == ()
    recorded = {(seq, event.event_id) for seq, event in ledger.numbered()}
    assert recorded == {(int(seq), event_id) for seq, event_id in acknowledged}
    for number in range(8):
        own = [e.case_id for e in ledger.judgments() if e.reviewer == f"Writer {number}"]
        assert own == [f"{number}-{i}" for i in range(20)]


def test_a_killed_process_loses_nothing_it_acknowledged(new_place: NewPlace) -> None:
    place = new_place()
    writer = start_writer(place, "killed", 100_000)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    lines += writer.stdout.read().splitlines(keepends=True)
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    acknowledged = [line.split()[1] for line in lines if line.endswith("\n")]
    ledger = Ledger(place)
    assert ledger.verify() == ()
    recorded = [event.event_id for event in ledger.events()]
    assert recorded[: len(acknowledged)] == acknowledged
    assert len(recorded) <= len(acknowledged) + 1
    assert ledger.append(judgment()).seq == len(recorded) + 1


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    events = [[judgment() for _ in range(5)] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda own=own: [ledger.append(event) for event in own])
        for own in events
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {e.event_id for e in ledger.events()} == {e.event_id for own in events for e in own}
    assert ledger.verify() == ()


def test_a_forked_process_writes_with_connections_of_its_own(ledger: Ledger) -> None:
    first = judgment(case_id="parent")
    ledger.append(first)
    child = os.fork()
    if child == 0:
        try:
            ledger.append(judgment(case_id="child"))
            ledger.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    ledger.append(judgment(case_id="parent again"))
    assert [e.case_id for e in ledger.judgments()] == ["parent", "child", "parent again"]
    assert ledger.verify() == ()


def test_importing_the_ledger_loads_neither_tables_nor_a_database_library() -> None:
    heavy = "{'numpy', 'pandas', 'scipy', 'pydantic', 'sqlalchemy', 'pg8000'}"
    code = f"import sys, hitl_audit.review.ledger; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
