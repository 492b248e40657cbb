from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hitl_audit.errors import InputError
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import RefusedError, Revealed, ReviewSession

CASES = pd.DataFrame({"Income ($)": [3055, 8200, 2140], "Note": ["a", None, "c"]}, index=[1, 2, 3])
REASONS = ("Something is missing", "Unfair")


def reveal(case_id: str) -> Revealed:
    return Revealed("favorable", 0.88, 0.5, (("Income ($)", "3,055", 0.12),))


def clock(start: int = 0) -> Callable[[], datetime]:
    """A clock that moves ten seconds every time it is read."""
    ticks: Iterator[int] = iter(range(start, 10**9, 10))
    return lambda: datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=next(ticks))


def session_on(ledger: Ledger, **changes: Any) -> ReviewSession:
    arguments: dict[str, Any] = {
        "sample": sample_cases(CASES, 3),
        "cases": CASES,
        "reveal": reveal,
        "ledger": ledger,
        "reviewer": "Dana",
        "role": "domain expert",
        "model_digest": "m",
        "plan_digest": "p",
        "reasons": REASONS,
        "labels": ("Approve", "Deny"),
        "now": clock(),
    } | changes
    return ReviewSession(**arguments)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


@pytest.fixture
def session(ledger: Ledger) -> ReviewSession:
    return session_on(ledger)


def judge_one(session: ReviewSession, verdict: str = "agree") -> str:
    session.case()
    session.submit("favorable")
    session.revealed()
    return session.submit(verdict).event_id


def test_a_case_goes_from_blind_to_final_to_the_next(
    session: ReviewSession, ledger: Ledger
) -> None:
    first, second, _ = session.sample.case_ids
    at = session.position()
    assert (at.case_id, at.step, at.judged, at.words) == (first, "blind", 0, "1 of 3")
    assert dict(session.case())["Income ($)"] in {"3,055", "8,200", "2,140"}
    session.submit("unfavorable")
    assert session.position().step == "final"
    assert session.own_decision() == "unfavorable"
    assert session.revealed().probability == 0.88
    session.submit("disagree", reasons=["Unfair"], rationale="  two late payments ")
    assert session.position() == session.position()
    assert (session.position().case_id, session.position().step) == (second, "blind")

    blind, final = ledger.judgments()
    assert (blind.phase, blind.answer, blind.shown) == ("blind", "unfavorable", ("case",))
    assert blind.model_decision is None
    assert (final.phase, final.answer) == ("final", "disagree")
    assert final.shown == ("case", "prediction", "explanation")
    assert (final.reasons, final.rationale) == (("Unfair",), "two late payments")
    assert final.model_decision == "favorable"
    assert (final.design, final.inclusion_probability) == ("random", 1.0)
    assert (blind.seconds, final.seconds) == (10.0, 10.0)
    assert blind.at == "2026-01-31T12:00:10.000000Z"


def test_the_prediction_cannot_be_had_in_the_blind_step(ledger: Ledger) -> None:
    asked: list[str] = []

    def spy(case_id: str) -> Revealed:
        asked.append(case_id)
        return reveal(case_id)

    session = session_on(ledger, reveal=spy)
    session.case()
    with pytest.raises(RefusedError, match="stays hidden until you have recorded your own"):
        session.revealed()
    assert asked == []
    judge_one(session)
    with pytest.raises(RefusedError, match="stays hidden"):
        session.revealed()
    assert asked == [session.sample.case_ids[0]]


def test_a_verdict_on_what_was_not_shown_is_refused(session: ReviewSession) -> None:
    session.case()
    session.submit("favorable")
    with pytest.raises(RefusedError, match="has not been shown yet"):
        session.submit("agree")


@pytest.mark.parametrize(
    ("arguments", "words", "field"),
    [
        (
            {"answer": "disagree"},
            "To disagree, pick a reason and say why in a few words.",
            "reasons",
        ),
        (
            {"answer": "disagree", "reasons": ["Unfair"], "rationale": " "},
            "To disagree",
            "rationale",
        ),
        ({"answer": "disagree", "rationale": "because"}, "To disagree", "reasons"),
        ({"answer": ""}, "Choose an answer first: nothing was chosen; accepted: agree", "answer"),
        ({"answer": "favorable"}, 'got "favorable"; accepted: agree, disagree', "answer"),
        (
            {"answer": "agree", "reasons": ["Unfiar"]},
            '"Unfiar" is no reason of the plan; accepted: Something is missing, Unfair; did you',
            "reasons",
        ),
    ],
)
def test_refusals_are_in_words_and_record_nothing(
    session: ReviewSession, ledger: Ledger, arguments: dict[str, Any], words: str, field: str
) -> None:
    session.case()
    session.submit("unsure")
    session.revealed()
    with pytest.raises(RefusedError) as refusal:
        session.submit(**arguments)
    assert words in str(refusal.value)
    assert refusal.value.field == field
    assert len(ledger.judgments()) == 1


def test_open_protocol_shows_everything_at_once(ledger: Ledger) -> None:
    session = session_on(ledger, protocol="open")
    session.case()
    session.revealed()
    session.submit("agree")
    (event,) = ledger.judgments()
    assert (event.phase, event.shown) == ("final", ("case", "prediction", "explanation"))
    assert session.position().judged == 1


@pytest.mark.parametrize(
    ("revealed", "shown"),
    [
        (
            Revealed(
                "unfavorable", 0.2, 0.5, (("x", "1", 0.1),), reliable=False, reason="unstable"
            ),
            ("case", "prediction", "explanation marked unreliable"),
        ),
        (Revealed("unfavorable", 0.2, 0.5, ()), ("case", "prediction")),
    ],
)
def test_what_was_on_screen_is_recorded(
    ledger: Ledger, revealed: Revealed, shown: tuple[str, ...]
) -> None:
    session = session_on(ledger, reveal=lambda _: revealed)
    judge_one(session)
    final = ledger.judgments()[1]
    assert final.shown == shown
    assert final.model_decision == "unfavorable"


def test_a_restart_comes_back_at_the_same_case_and_step(
    session: ReviewSession, ledger: Ledger
) -> None:
    judge_one(session)
    session.case()
    session.submit("unsure")
    again = session_on(Ledger(ledger.path or ""))
    assert again.position() == session.position()
    assert again.position().step == "final"
    assert again.key == session.key
    assert again.own_decision() == "unsure"


def test_reviewers_models_and_plans_have_queues_of_their_own(
    session: ReviewSession, ledger: Ledger
) -> None:
    judge_one(session)
    for change in ({"reviewer": "Eve"}, {"model_digest": "m2"}, {"plan_digest": "p2"}):
        other = session_on(ledger, **change)
        assert other.position().judged == 0
        assert other.key != session.key


def test_two_windows_do_not_answer_the_same_case_twice(
    session: ReviewSession, ledger: Ledger
) -> None:
    stale = session_on(ledger)
    stale.case()
    first = session.position().case_id
    judge_one(session)
    with pytest.raises(RefusedError, match="answered in another window"):
        stale.submit("favorable", case_id=first, step="blind")
    assert len(ledger.judgments()) == 2


def test_sending_again_returns_the_same_receipt(session: ReviewSession, ledger: Ledger) -> None:
    session.case()
    event_id = str(uuid.uuid4())
    sent: Any = {"event_id": event_id, "case_id": session.position().case_id, "step": "blind"}
    first = session.submit("favorable", **sent)
    assert session.submit("favorable", **sent) == first
    assert session_on(ledger).submit("favorable", **sent) == first
    with pytest.raises(RefusedError, match="already taken by another answer"):
        session.submit("unsure", **sent)
    assert len(ledger.judgments()) == 1


def test_an_exhausted_queue_has_its_words(session: ReviewSession) -> None:
    for _ in range(3):
        judge_one(session)
    at = session.position()
    assert (at.case_id, at.step, at.judged) == (None, "done", 3)
    assert at.words == "All 3 cases are judged. Thank you."
    for action in (session.case, session.revealed, lambda: session.submit("agree")):
        with pytest.raises(RefusedError, match="All 3 cases are judged"):
            action()


def test_a_correction_is_a_new_event_by_the_same_reviewer(
    session: ReviewSession, ledger: Ledger
) -> None:
    verdict = judge_one(session)
    blind = ledger.judgments()[0].event_id
    with pytest.raises(RefusedError, match="To disagree"):
        session.correct(verdict, "disagree")
    with pytest.raises(RefusedError, match="Only your own final verdicts"):
        session.correct(blind, "agree")
    with pytest.raises(RefusedError, match="Only your own final verdicts"):
        session_on(ledger, reviewer="Eve").correct(verdict, "unsure")
    with pytest.raises(RefusedError, match="no record nothing"):
        session.correct("nothing", "unsure")
    before = session.position()
    event_id = str(uuid.uuid4())
    receipt = session.correct(verdict, "unsure", event_id=event_id)
    assert session.correct(verdict, "unsure", event_id=event_id) == receipt
    assert session.position() == before
    *_, old, new = ledger.judgments()
    assert (old.answer, new.answer, new.corrects, new.seconds) == ("agree", "unsure", verdict, None)
    session.correct(receipt.event_id, "agree")
    assert ledger.judgments()[-1].corrects == receipt.event_id


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reviewer": ""}, 'reviewer is ""; expected the name'),
        ({"reviewer": " anonymous"}, "expected the name of who judges"),
        ({"role": " "}, "role is empty"),
        ({"protocol": "blind"}, 'protocol is "blind"; accepted: blind-first, open; did you mean'),
        ({"reasons": ()}, "reasons is empty"),
        ({"reasons": "Unfair"}, "one text; expected a list"),
        ({"cases": CASES.loc[[1, 2]]}, "1 sampled cases have no row in cases, first '3'"),
        ({"cases": CASES.loc[[1, 2, 3, 3]]}, "repeated ids"),
    ],
)
def test_a_session_that_cannot_work_is_refused(
    ledger: Ledger, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as refusal:
        session_on(ledger, **changes)
    assert words in str(refusal.value)


class AnyWalk(RuleBasedStateMachine):
    """Whatever a page sends, in any order, the ledger obeys the protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name) / "judgments.db")
        self.session = session_on(self.ledger)

    def attempt(self, action: Callable[[], object]) -> None:
        before = len(self.ledger.judgments())
        try:
            action()
        except RefusedError:
            assert len(self.ledger.judgments()) == before

    @rule()
    def look(self) -> None:
        self.attempt(self.session.case)

    @rule()
    def peek(self) -> None:
        at = self.session.position()
        try:
            self.session.revealed()
        except RefusedError:
            assert at.step != "final"
        else:
            assert at.step == "final"

    @rule(
        answer=st.sampled_from(["favorable", "unsure", "agree", "disagree", "escalate", "?"]),
        reasons=st.lists(st.sampled_from([*REASONS, "other"]), max_size=2),
        rationale=st.sampled_from(["", " ", "because"]),
        step=st.sampled_from([None, "blind", "final", "done"]),
    )
    def send(self, answer: str, reasons: list[str], rationale: str, step: str | None) -> None:
        self.attempt(
            lambda: self.session.submit(answer, reasons=reasons, rationale=rationale, step=step)
        )

    @rule()
    def restart(self) -> None:
        before = self.session.position()
        self.session = session_on(self.ledger)
        assert self.session.position() == before

    @invariant()
    def the_ledger_holds_blind_then_final_in_queue_order(self) -> None:
        events = [(event.case_id, event.phase) for event in self.ledger.judgments()]
        queue = [
            (case, step) for case in self.session.sample.case_ids for step in ("blind", "final")
        ]
        assert events == queue[: len(events)]

    def teardown(self) -> None:
        assert self.ledger.verify() == ()
        self.folder.cleanup()


TestAnyWalk = AnyWalk.TestCase
TestAnyWalk.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
