"""A session among others: shared queues, controls, escalations, withdrawals, what-ifs."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.errors import InputError, LedgerError
from hitl_audit.review.assignment import assign_cases, reassignment
from hitl_audit.review.escalation import EscalationRule, register
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Assignment, Escalation, WhatIf
from hitl_audit.review.reviewers import record_once
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import RefusedError, Revealed, ReviewSession
from tests.review.queue_events import joined

ROOT = Path(__file__).parents[2]
CASES = pd.DataFrame({"Income ($)": [3055, 8200, 2140, 1200], "Late": [True, False, None, True]})
CASES.index = pd.Index(["a", "b", "c", "beside"])
SAMPLE = sample_cases(["a", "b", "c"], 3)
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
ASKING = (EscalationRule("an expert's request", "compliance officer", 5),)


def reveal(case_id: str) -> Revealed:
    return Revealed("favorable", 0.88, 0.5, (("Income ($)", "3,055", 0.16),), base=0.72)


def clock() -> Callable[[], datetime]:
    ticks: Iterator[int] = iter(range(0, 10**9, 10))
    return lambda: START + timedelta(seconds=next(ticks))


def session_on(ledger: Ledger, reviewer: str = "Dana", **changes: Any) -> ReviewSession:
    given: dict[str, Any] = {
        "role": "domain expert",
        "model_digest": "m",
        "plan_digest": "p",
        "reasons": ("Unfair",),
        "now": clock(),
    }
    return ReviewSession(SAMPLE, CASES, reveal, ledger, reviewer=reviewer, **(given | changes))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def judge_one(session: ReviewSession, answer: str = "agree", **given: Any) -> str:
    session.case()
    session.submit("favorable")
    session.revealed()
    return session.submit(answer, **given).event_id


# ------------------------------------------------------------- shared queues


def test_opening_a_case_makes_no_ledger_rows(ledger: Ledger) -> None:
    session = session_on(ledger, reviewers_per_case=1)
    for _ in range(3):
        session.case()
        session.position()
        session.remarks()
        session.history()
    assert ledger.events() == ()
    assert session.remarks() == ("Nothing is recorded yet: yours will be the first answer.",)


def test_two_people_on_an_open_queue_share_the_cases(ledger: Ledger) -> None:
    dana, eve = (session_on(ledger, name, reviewers_per_case=1) for name in ("Dana", "Eve"))
    first, second, _ = SAMPLE.case_ids
    dana.case()
    dana.submit("favorable")
    assert (eve.position().case_id, eve.position().words) == (second, "1 of 2")
    judge_one(eve)
    assert dana.position().case_id == first
    dana.revealed()
    dana.submit("agree")
    judge_one(eve)
    assert dana.position().words == (
        "You have judged 1 case, and all others have their reviewers. Thank you."
    )
    fay = session_on(ledger, "Fay", reviewers_per_case=1)
    assert (
        fay.position().words == "All cases have their reviewers; none is left for you. Thank you."
    )
    assert fay.queue.counts()["judged"] == 3


def test_two_people_on_one_case_and_one_seat(ledger: Ledger) -> None:
    dana, eve = (session_on(ledger, name, reviewers_per_case=1) for name in ("Dana", "Eve"))
    case = dana.position().case_id
    dana.case()
    eve.case()
    dana.submit("favorable", case_id=case, step="blind")
    ways: tuple[dict[str, Any], ...] = ({"case_id": case, "step": "blind"}, {})
    for how in ways:
        with pytest.raises(RefusedError, match="has got its reviewers in the meantime"):
            eve.submit("unfavorable", **how)
    seat, answer = ledger.events()
    assert isinstance(seat, Assignment)
    assert (seat.reviewer, seat.tasks, seat.by) == ("Dana", ((case, "ordinary", ""),), "queue")
    assert answer.event_id == ledger.judgments()[0].event_id
    eve.case()
    eve.submit("unfavorable")
    assert ledger.judgments()[-1].case_id == eve.position().case_id != case


def test_an_answer_goes_to_the_case_on_screen_or_nowhere(ledger: Ledger) -> None:
    window, other = session_on(ledger), session_on(ledger)
    window.case()
    judge_one(other)
    with pytest.raises(RefusedError, match="answered in another window"):
        window.submit("agree")
    window.case()
    window.submit("favorable")
    assert [event.case_id for event in ledger.judgments()][-1] == SAMPLE.case_ids[1]


def test_a_planned_review_follows_its_assignment(ledger: Ledger) -> None:
    plan = assign_cases(
        SAMPLE, ["Dana", "Eve"], gold=["beside"], repeats=0.25, due=START + timedelta(days=7)
    )
    events = plan.events(at=START, plan_digest="p", model_digest="m")
    assert record_once(ledger, events) == 2
    again = plan.events(at=START + timedelta(days=1), plan_digest="p", model_digest="m")
    assert record_once(ledger, again) == 0
    session = session_on(ledger, planned=True)
    assert (session.position().total, session.position().due) == (5, "2026-02-07T12:00:00.000000Z")
    while session.position().case_id is not None:
        judge_one(session)
    judged = [event for event in ledger.judgments() if event.phase == "final"]
    assert [(e.case_id, e.task) for e in judged] == [
        (t.case_id, t.task) for t in plan.tasks_of("Dana")
    ]
    beside = [(e.design, e.inclusion_probability) for e in judged if e.case_id == "beside"]
    assert beside == [("purposive", None)]
    assert session.position().words == "All 5 cases are judged. Thank you."
    assert session_on(ledger, "Fay", planned=True).position().words == (
        "No cases are assigned to Fay."
    )


def test_a_case_taken_over_has_its_words(ledger: Ledger) -> None:
    plan = assign_cases(SAMPLE, ["Dana"], reviewers_per_case=1)
    record_once(ledger, plan.events(at=START, plan_digest="p", model_digest="m"))
    dana, eve = (session_on(ledger, name, planned=True) for name in ("Dana", "Eve"))
    case = dana.position().case_id or ""
    dana.case()
    dana.submit("favorable")
    moved = reassignment(
        dana.queue, [case], source="Dana", to="Eve", by="lead", reason="on leave", at=START
    )
    ledger.append_all(moved)
    with pytest.raises(RefusedError, match="given to somebody else \\(on leave\\)"):
        dana.submit("agree", case_id=case, step="final")
    assert dana.position().case_id != case
    assert eve.position().case_id == case
    judge_one(eve)
    assert eve.position().step == "done"


def test_answers_under_another_plan_have_their_words(ledger: Ledger) -> None:
    judge_one(session_on(ledger))
    (remark,) = session_on(ledger, plan_digest="p2").remarks()
    assert remark.startswith("2 of your earlier answers belong to another plan, model or sample.")
    assert session_on(ledger).remarks() == ()


def test_the_last_seat_is_taken_once_even_in_the_same_moment(ledger: Ledger) -> None:
    dana, eve = (session_on(ledger, name, reviewers_per_case=1) for name in ("Dana", "Eve"))
    case = dana.position().case_id
    dana.case()
    eve.case()
    append_all = ledger.append_all
    sent: list[str] = []

    def just_before(events: Any) -> Any:
        if not sent:
            sent.append("Dana")
            dana.submit("favorable", case_id=case, step="blind")
        return append_all(events)

    ledger.append_all = just_before  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="has got its reviewers in the meantime"):
        eve.submit("unfavorable", case_id=case, step="blind")
    assert [event.reviewer for event in ledger.judgments()] == ["Dana"]
    assert len(ledger.events()) == 2


ANSWER = """
import sys
from tests.review.test_session_queue import Ledger, judge_one, session_on
session = session_on(Ledger(sys.argv[1]), sys.argv[2], reviewers_per_case=2)
sys.stdin.readline()
from hitl_audit.review.session import RefusedError
while session.position().case_id is not None:
    try:
        judge_one(session)
    except RefusedError:
        continue
"""


def test_processes_on_one_queue_lose_nothing(ledger: Ledger) -> None:
    people = [
        subprocess.Popen(
            [sys.executable, "-c", ANSWER, str(ledger.path), name],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
        )
        for name in ("Dana", "Eve", "Fay")
    ]
    for person in people:
        assert person.stdin is not None
        person.stdin.write("go\n")
        person.stdin.flush()
    for person in people:
        person.communicate(timeout=60)
        assert person.returncode == 0
    assert ledger.verify() == ()
    counts = session_on(ledger, "Gil", reviewers_per_case=2).queue.counts()
    assert counts["judged"] == 3
    for case in SAMPLE.case_ids:
        verdicts = [e for e in ledger.judgments() if (e.case_id, e.phase) == (case, "final")]
        assert len({e.reviewer for e in verdicts}) == len(verdicts) == 2


# ------------------------------------------------------------------ controls


def test_a_planted_case_shows_a_reversed_answer_and_says_so_at_the_end(ledger: Ledger) -> None:
    case = SAMPLE.case_ids[1]
    session = session_on(ledger, controls={case: "planted"}, rules=ASKING)
    assert "controls" in session.remarks()[0]
    judge_one(session)
    with pytest.raises(RefusedError, match="told when all cases are judged"):
        session.debrief()
    session.case()
    session.submit("favorable")
    shown = session.revealed()
    assert (shown.decision, round(shown.probability, 2)) == ("unfavorable", 0.12)
    assert shown.base is not None
    assert shown.base + sum(c[2] for c in shown.contributions) == pytest.approx(0.12)
    assert session.as_shown(0.9) == pytest.approx(0.1)
    session.record_what_if([("Income ($)", "3,055", "4,000")], "up", 0.12, 0.1)
    session.submit("escalate", rationale="this cannot be")
    judgment = ledger.judgments()[-1]
    assert (judgment.task, judgment.model_decision) == ("planted", "unfavorable")
    assert round(judgment.model_score or 0, 2) == 0.12
    assert [e.step for e in ledger.events() if isinstance(e, WhatIf)] == ["planted"]
    assert not any(isinstance(e, Escalation) for e in ledger.events())
    seen = session.back(case).revealed
    assert seen is not None
    assert seen.decision == "unfavorable"
    judge_one(session)
    debrief = session.debrief()
    assert (debrief.planted, debrief.repeated, debrief.gold) == ((case,), (), ())
    assert debrief.words == (
        "On 1 case you were shown a reversed answer of the model, to see whether wrong answers "
        f"are noticed: {case}. Your verdicts there enter no rate."
    )


def test_without_controls_there_is_nothing_to_tell(ledger: Ledger) -> None:
    session = session_on(ledger)
    for _ in range(3):
        judge_one(session)
    assert session.debrief().words == ""
    assert session.remarks() == ()


def test_a_repeat_is_asked_anew(ledger: Ledger) -> None:
    tasks = assign_cases(
        sample_cases(["a", "b"], 2), ["Dana"], reviewers_per_case=1, repeats=0.5
    ).events(at=START, plan_digest="p", model_digest="m")
    record_once(ledger, tasks)
    session = session_on(ledger, planned=True)
    seen = []
    while session.position().case_id is not None:
        assert session.position().step == "blind"
        assert session.own_decision() is None
        seen.append(session.position().case_id)
        judge_one(session)
    assert len(seen) == 3
    assert len(set(seen)) == 2
    assert session.debrief().words == f"You judged 1 case twice: {seen[-1]}."


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"a": "plantd"}, 'says "plantd" of case "a"; accepted: gold, planted'),
        ({"beside": "gold"}, 'case "beside", which is not in the sample'),
    ],
)
def test_controls_that_cannot_be_are_refused(
    ledger: Ledger, controls: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        session_on(ledger, controls=controls)


# ------------------------------------------------- confidence, notes, requests


def test_confidence_score_and_note_are_recorded(ledger: Ledger) -> None:
    session = session_on(ledger)
    session.case()
    session.submit("favorable", confidence=4)
    session.revealed()
    session.submit("agree", note=" seen before ")
    blind, final = ledger.judgments()
    assert (blind.confidence, blind.model_score) == (4, None)
    assert (final.confidence, final.model_score, final.note) == (None, 0.88, "seen before")


@pytest.mark.parametrize(("step", "confidence"), [("blind", 6), ("blind", 0), ("final", 3)])
def test_a_confidence_that_is_none_is_refused(ledger: Ledger, step: str, confidence: int) -> None:
    session = session_on(ledger)
    session.case()
    if step == "final":
        session.submit("favorable")
        session.revealed()
    before = len(ledger.events())
    with pytest.raises(RefusedError, match="accepted: 1 to 5") as refusal:
        session.submit("favorable" if step == "blind" else "agree", confidence=confidence)
    assert refusal.value.field == "confidence"
    assert len(ledger.events()) == before


def test_an_answer_whose_words_were_redacted_is_still_the_same(ledger: Ledger) -> None:
    session = session_on(ledger)
    session.case()
    session.submit("favorable")
    session.revealed()
    sent: Any = {"event_id": str(uuid.uuid4()), "note": "Mr Smith's brother"}
    receipt = session.submit("agree", **sent)
    assert session.back(SAMPLE.case_ids[0]).answers[-1].note == "Mr Smith's brother"
    ledger.redact(receipt.event_id, ["note"], by="officer", reason="erasure")
    assert session.submit("agree", **sent, case_id=SAMPLE.case_ids[0]) == receipt
    look = session.back(SAMPLE.case_ids[0]).answers[-1]
    assert (look.note, look.redacted) == ("", ("note",))
    assert look == session_on(ledger).back(SAMPLE.case_ids[0]).answers[-1]
    with pytest.raises(RefusedError, match="already taken"):
        session.submit("unsure", **sent, case_id=SAMPLE.case_ids[0])


def test_escalating_asks_somebody_in_a_role(ledger: Ledger) -> None:
    session = session_on(ledger, rules=ASKING)
    session.case()
    session.submit("favorable")
    session.revealed()
    with pytest.raises(RefusedError, match="what the compliance officer should decide") as refusal:
        session.submit("escalate")
    assert refusal.value.field == "rationale"
    sent: Any = {"event_id": str(uuid.uuid4()), "rationale": "two files", "step": "final"}
    case = session.position().case_id
    receipt = session.submit("escalate", **sent, case_id=case)
    assert session.submit("escalate", **sent, case_id=case) == receipt
    (raised,) = (event for event in ledger.events() if isinstance(event, Escalation))
    assert (raised.subject, raised.role, raised.raised_by) == (case, "compliance officer", "Dana")
    assert raised.rationale == "two files"
    assert session.queue.state(case or "") == "escalated"
    assert register(ledger.events(), START).blocks_clean_opinion
    session.correct(receipt.event_id, "agree")
    assert register(ledger.events(), START).items[0].status == "taken back"


def test_without_a_rule_escalating_needs_no_words(ledger: Ledger) -> None:
    judge_one(session_on(ledger), "escalate")
    assert [type(event) for event in ledger.events()] == [Judgment, Judgment]


# ------------------------------------------------------ looking back, withdrawing


def test_back_looks_at_own_answers_and_records_nothing(ledger: Ledger) -> None:
    judge_one(session_on(ledger, "Eve"), "disagree", reasons=["Unfair"], rationale="hers")
    session = session_on(ledger)
    first = session.position().case_id or ""
    session.case()
    session.submit("unsure", confidence=1)
    before = ledger.events()
    look = session.back(first)
    assert [event.answer for event in look.answers] == ["unsure"]
    assert look.revealed is None, "the model's answer was not shown yet"
    assert dict(look.values)["Income ($)"]
    session.revealed()
    verdict = session.submit("agree").event_id
    session.correct(verdict, "unsure")
    look = session.back(first)
    assert [event.phase for event in look.answers] == ["blind", "final", "correction"]
    assert look.revealed == reveal(first)
    assert session.history() == (first,)
    assert len(ledger.events()) == len(before) + 2
    with pytest.raises(RefusedError, match="recorded nothing on case z"):
        session.back("z")


def test_a_withdrawn_case_goes_to_somebody_else(ledger: Ledger) -> None:
    dana, eve = (session_on(ledger, name, reviewers_per_case=1) for name in ("Dana", "Eve"))
    case = dana.position().case_id or ""
    verdict = judge_one(dana)
    assert eve.position().case_id != case
    with pytest.raises(RefusedError, match="say why") as refusal:
        dana.withdraw(verdict, " ")
    assert refusal.value.field == "rationale"
    with pytest.raises(RefusedError, match="Only your own answers"):
        eve.withdraw(verdict, "not mine")
    event_id = str(uuid.uuid4())
    receipt = dana.withdraw(verdict, "a relative", event_id=event_id)
    assert dana.withdraw(verdict, "a relative", event_id=event_id) == receipt
    with pytest.raises(RefusedError, match="withdrawn already"):
        dana.withdraw(verdict, "again")
    with pytest.raises(RefusedError, match="does not stand any more"):
        dana.correct(verdict, "unsure")
    assert dana.back(case).withdrawn == (verdict,)
    assert dana.position().case_id != case
    assert eve.position().case_id == case
    with pytest.raises(RefusedError, match=f"You withdrew from case {case}"):
        dana.submit("agree", case_id=case, step="final")


def test_only_the_verdict_that_stands_can_be_corrected(ledger: Ledger) -> None:
    session = session_on(ledger)
    verdict = judge_one(session)
    session.correct(verdict, "unsure")
    with pytest.raises(RefusedError, match="does not stand any more"):
        session.correct(verdict, "agree")


# ------------------------------------------------------------------ what-ifs


def test_a_what_if_is_recorded_and_was_on_screen(ledger: Ledger) -> None:
    session = session_on(ledger)
    session.case()
    edits = [("Income ($)", "3,055", "4,000")]
    with pytest.raises(RefusedError, match="stays hidden"):
        session.record_what_if(edits, "up", 0.88, 0.9)
    session.submit("favorable")
    case = session.position().case_id
    event_id = str(uuid.uuid4())
    sent: Any = {"event_id": event_id, "case_id": case}
    receipt = session.record_what_if(edits, "up", 0.88, 0.9, **sent)
    assert session.record_what_if(edits, "up", 0.88, 0.9, **sent) == receipt
    with pytest.raises(RefusedError, match="already taken"):
        session.record_what_if([("Income ($)", "3,055", "9")], "up", 0.88, 0.9, **sent)
    assert session.as_shown(0.9) == 0.9
    with pytest.raises(RefusedError, match="not part of this review"):
        session.record_what_if(edits, None, 0.88, 0.9, case_id="z")
    with pytest.raises(LedgerError, match='expectation is "higher"'):
        session.record_what_if(edits, "higher", 0.88, 0.9)
    session.submit("agree")
    (edit,) = (event for event in ledger.events() if isinstance(event, WhatIf))
    assert (edit.case_id, edit.step, edit.expectation) == (case, "final", "up")
    assert ledger.judgments()[-1].shown == ("case", "prediction", "explanation", "what-if")


def test_a_case_on_screen_can_be_answered_although_somebody_joined(ledger: Ledger) -> None:
    """Whoever joins changes which part of the queue is whose, not what is on screen."""
    ledger.append(joined("Dana"))
    dana = session_on(ledger, reviewers_per_case=1)
    judge_one(dana)
    case = dana.position().case_id
    assert case is not None
    dana.case()
    ledger.append(joined("Eve"))
    eve = session_on(ledger, reviewers_per_case=1, reviewer="Eve")
    assert eve.position().case_id == case
    assert dana.position().case_id != case
    dana.submit("favorable", case_id=case, step="blind")
    at = dana.position()
    assert (at.case_id, at.step) == (case, "final")
    assert ledger.judgments()[-1].shown == ("case",)
    with pytest.raises(RefusedError, match="got its reviewers in the meantime"):
        eve.submit("favorable", case_id=case, step="blind")
