from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.judgment import Adjudication
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.protocol import RefusedError
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import sample_cases
from tests.review.queue_events import verdict

CASES = pd.DataFrame({"Income ($)": [3055, 8200]}, index=["a", "b"])


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "judgments.db")
    for case in ("a", "b"):
        ledger.append(verdict(case, "Dana", "agree", rationale="steady income"))
        ledger.append(verdict(case, "Eve", "disagree"))
    ledger.append(verdict("a", "Fay", "unsure"))
    ledger.append(verdict("b", "Fay", "agree"))
    return ledger


def session_on(ledger: Ledger, reviewer: str = "Gil", **changes: Any) -> AdjudicationSession:
    ticks = iter(range(0, 10**6, 10))
    given: dict[str, Any] = {
        "role": "senior underwriter",
        "model_digest": "m",
        "plan_digest": "p",
        "reasons": ("Unfair",),
        "reviewers_per_case": 3,
        "now": lambda: datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=next(ticks)),
    }
    return AdjudicationSession(
        sample_cases(CASES, 2),
        CASES,
        lambda _: Revealed("favorable", 0.7, 0.5, (("Income ($)", "3,055", 0.1),)),
        ledger,
        reviewer=reviewer,
        **(given | changes),
    )


def test_the_third_person_sees_the_arguments_without_names(ledger: Ledger) -> None:
    session = session_on(ledger)
    at = session.position()
    assert (at.step, at.judged, at.total, at.words) == ("final", 0, 2, "1 of 2")
    assert dict(session.case())["Income ($)"] in {"3,055", "8,200"}
    assert session.revealed().decision == "favorable"
    dissent = session.dissent()
    undecided = (("none", 1),) if at.case_id == "a" else ()
    favorable = 1 if at.case_id == "a" else 2
    assert dissent.decisions == (("favorable", favorable), ("unfavorable", 1), *undecided)
    said = {(a.answer, a.rationale) for a in dissent.arguments}
    assert {("agree", "steady income"), ("disagree", "two late payments")} <= said
    assert not any(name in repr(dissent) for name in ("Dana", "Eve", "Fay"))
    assert session.dissent() == session_on(Ledger(ledger.path or "")).dissent()


def test_words_that_were_redacted_are_not_shown(ledger: Ledger) -> None:
    session = session_on(ledger)
    case = session.position().case_id
    said = [e for e in ledger.judgments() if (e.case_id, e.answer) == (case, "disagree")]
    assert "two late payments" in repr(session.dissent())
    ledger.redact(said[0].event_id, ["rationale"], by="officer", reason="erasure")
    assert "two late payments" not in repr(session.dissent())
    assert session.dissent() == session_on(ledger).dissent()


def test_a_decision_settles_the_verdicts_and_the_case(ledger: Ledger) -> None:
    session = session_on(ledger)
    first = session.position().case_id
    session.case()
    session.revealed()
    receipt = session.submit("unfavorable", rationale=" the income is not proven ", case_id=first)
    event = ledger.events()[-1]
    assert isinstance(event, Adjudication)
    assert (event.case_id, event.answer, event.role) == (first, "unfavorable", "senior underwriter")
    assert event.rationale == "the income is not proven"
    assert event.shown == ("case", "prediction", "explanation")
    assert event.seconds == 10.0
    assert len(event.settles) == 3
    again = session.submit("unfavorable", rationale="the income is not proven", case_id=first)
    assert again == receipt
    with pytest.raises(RefusedError, match=f"decided case {first} already"):
        session.submit("favorable", rationale="no", case_id=first)
    assert session.position().words == "2 of 2"
    assert session_on(ledger, "Hal").position().total == 1


def test_two_adjudicators_at_once_record_one_decision(ledger: Ledger) -> None:
    one, other = session_on(ledger, "Gil"), session_on(ledger, "Hal")
    case = one.position().case_id
    for session in (one, other):
        session.case()
        session.revealed()
    one.submit("favorable", rationale="yes", case_id=case)
    with pytest.raises(RefusedError, match="Somebody else has decided this case"):
        other.submit("unfavorable", rationale="no", case_id=case)
    assert sum(isinstance(event, Adjudication) for event in ledger.events()) == 1


def test_after_unsure_another_third_person_is_asked(ledger: Ledger) -> None:
    gil = session_on(ledger, "Gil")
    case = gil.position().case_id
    gil.revealed()
    receipt = gil.submit("unsure", rationale="not enough data")
    assert gil.submit("unsure", rationale="not enough data", case_id=case) == receipt
    assert gil.position().case_id != case
    hal = session_on(ledger, "Hal")
    assert hal.position().case_id == case
    hal.revealed()
    hal.submit("favorable", rationale="enough for me")
    assert hal.position().case_id != case


def test_those_who_differ_do_not_decide(ledger: Ledger) -> None:
    session = session_on(ledger, "Dana")
    assert session.position().words == "No case waits for a third opinion."
    for action in (session.case, session.revealed, session.dissent):
        with pytest.raises(RefusedError, match="No case waits"):
            action()
    with pytest.raises(RefusedError, match="No case waits"):
        session.submit("favorable", rationale="mine")


def test_the_queue_ends_in_words(ledger: Ledger) -> None:
    session = session_on(ledger)
    for _ in range(2):
        session.revealed()
        session.submit("favorable", rationale="yes")
    assert session.position().words == "You have decided 2 cases; none waits any more. Thank you."
    assert session.key != session_on(ledger, "Hal").key


@pytest.mark.parametrize(
    ("arguments", "words", "field"),
    [
        ({"answer": "agree", "rationale": "x"}, "accepted: favorable, unfavorable", "answer"),
        ({"answer": "favorable", "rationale": " "}, "To decide, say why", "rationale"),
        ({"answer": "favorable", "rationale": "x", "reasons": ["Unfiar"]}, "did you", "reasons"),
        ({"answer": "favorable", "rationale": "x", "case_id": "z"}, "not part of", ""),
    ],
)
def test_refusals_are_in_words_and_record_nothing(
    ledger: Ledger, arguments: dict[str, Any], words: str, field: str
) -> None:
    session = session_on(ledger)
    session.revealed()
    before = ledger.events()
    with pytest.raises(RefusedError) as refusal:
        session.submit(**arguments)
    assert words in str(refusal.value)
    assert refusal.value.field == field
    assert ledger.events() == before


def test_a_decision_before_the_model_was_shown_is_refused(ledger: Ledger) -> None:
    session = session_on(ledger)
    session.case()
    with pytest.raises(RefusedError, match="has not been shown"):
        session.submit("favorable", rationale="x")
    with pytest.raises(InputError, match="expected the name"):
        session_on(ledger, " ")


def test_escalated_cases_are_decided_here_only_if_wanted(ledger: Ledger) -> None:
    ledger.append(verdict("a", "Ira", "escalate"))
    assert session_on(ledger).position().total == 1
    assert session_on(ledger, escalated=True).position().total == 2
