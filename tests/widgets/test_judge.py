from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.errors import LedgerError
from hitl_audit.review.escalation import EscalationRule
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import Revealed, ReviewSession
from hitl_audit.widgets.judge import JudgeWidget

HOSTILE = "<img src=x onerror=alert(1)>"
CASES = pd.DataFrame({"Income ($)": [3055, 8200], "Note": [HOSTILE, None]}, index=["a", "b"])


def reveal(case_id: str) -> Revealed:
    contributions = (("Income ($)", "3,055", 0.148), ("Note", HOSTILE, -0.02))
    return Revealed("favorable", 0.8764, 0.5, contributions, base=0.72)


class Page(JudgeWidget):
    """The widget, with what it says to the page kept in a list."""

    def __init__(self, session: ReviewSession) -> None:
        self.said: list[dict[str, Any]] = []
        super().__init__(session)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.said.append(content)

    def submit(self, answer: str, **changes: Any) -> dict[str, Any]:
        message = {
            "kind": "submit",
            "event_id": str(uuid.uuid4()),
            "case_id": self.view["case"]["id"],
            "step": self.view["stage"],
            "answer": answer,
            "reasons": [],
            "rationale": "",
            "corrects": None,
        } | changes
        self.receive(message)
        return self.said[-1] | {"sent": message}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def page_on(ledger: Ledger, **changes: Any) -> Page:
    arguments: dict[str, Any] = {
        "reviewer": "Dana",
        "role": "domain expert",
        "model_digest": "m",
        "plan_digest": "p",
        "reasons": ("Unfair",),
        "labels": ("Approve", "Deny"),
    } | changes
    what = arguments.pop("reveal", reveal)
    return Page(ReviewSession(sample_cases(CASES, 2), CASES, what, ledger, **arguments))


@pytest.fixture
def page(ledger: Ledger) -> Page:
    return page_on(ledger)


def test_the_blind_page_holds_nothing_of_the_model(page: Page) -> None:
    assert page.view["stage"] == "blind"
    assert page.view["question"] == "What would you decide?"
    assert page.view["answers"] == [
        ["favorable", "Approve"],
        ["unfavorable", "Deny"],
        ["unsure", "Not sure"],
    ]
    assert "model" not in page.view
    state = json.dumps(page.view) + json.dumps(page.get_state("view"))
    assert "0.8764" not in state
    assert "14.8" not in state


def test_a_blind_answer_reveals_the_model_in_words(page: Page) -> None:
    answer = page.submit("unfavorable")
    assert answer["kind"] == "saved"
    assert answer["event_id"] == answer["sent"]["event_id"]
    assert page.view["stage"] == "final"
    assert page.view["own"] == "Deny"
    assert page.view["saved"]["record"] == answer["event_id"][:8]
    model = page.view["model"]
    assert model["decision"] == "Approve"
    assert model["chance"] == "The model’s score for “Approve”: 87.6 of 100"
    assert model["rule"] == "“Approve” from 50.0"
    assert model["start"] == "Starting from 72.0%, the average of the comparison cases."
    assert [bar["text"] for bar in model["bars"]] == ["▲ +14.8 points", "▼ −2.0 points"]
    assert model["bars"][1]["value"] == HOSTILE


def test_a_final_verdict_stays_on_screen_until_next(page: Page, ledger: Ledger) -> None:
    first = page.view["case"]["id"]
    page.submit("favorable")
    page.submit("agree")
    assert page.view["stage"] == "saved"
    assert page.view["case"]["id"] == first
    assert page.view["saved"]["answer"] == "Agree"
    assert page.view["saved"]["at"] == ledger.judgments()[1].at
    assert page.view["progress"]["judged"] == 1
    page.receive({"kind": "next"})
    assert page.view["stage"] == "blind"
    assert page.view["case"]["id"] != first
    assert "model" not in page.view


def test_a_refusal_names_the_field_and_keeps_the_page(page: Page, ledger: Ledger) -> None:
    page.submit("favorable")
    before = page.view
    answer = page.submit("disagree")
    assert answer["kind"] == "refused"
    assert answer["words"] == "To disagree, pick a reason and say why in a few words."
    assert answer["field"] == "reasons"
    assert page.view == before
    assert len(ledger.judgments()) == 1
    assert page.submit("disagree", reasons=["Unfair"], rationale="late")["kind"] == "saved"


def test_an_outbox_that_sends_again_records_once(page: Page, ledger: Ledger) -> None:
    sent = page.submit("favorable")["sent"]
    page.receive(sent)
    assert page.said[-1] == {"kind": "saved", "event_id": sent["event_id"]}
    reloaded = page_on(ledger)
    reloaded.receive(sent)
    assert reloaded.said[-1]["kind"] == "saved"
    assert reloaded.view["stage"] == "final"
    assert len(ledger.judgments()) == 1


def test_an_answer_from_before_a_crash_is_recorded_after_it(ledger: Ledger) -> None:
    lost = {
        "kind": "submit",
        "event_id": str(uuid.uuid4()),
        "case_id": page_on(ledger).view["case"]["id"],
        "step": "blind",
        "answer": "unsure",
    }
    page = page_on(ledger)
    page.receive(lost)
    assert page.said[-1]["kind"] == "saved"
    assert page.view["own"] == "Not sure"


def test_an_answer_to_another_case_is_refused_and_acknowledged(page: Page) -> None:
    answer = page.submit("favorable", case_id="z")
    assert answer["kind"] == "refused"
    assert answer["event_id"] == answer["sent"]["event_id"]
    assert answer["words"] == "Case z is not part of this review."
    first = page.view["case"]["id"]
    page.submit("favorable")
    answer = page.submit("unsure", case_id=first, step="blind")
    assert "answered in another window" in answer["words"]


def test_a_verdict_can_be_corrected_on_the_spot(page: Page, ledger: Ledger) -> None:
    page.submit("favorable")
    page.submit("agree")
    wrong = page.view["saved"]["event_id"]
    page.receive({"kind": "correct"})
    assert page.view["stage"] == "correction"
    page.submit("escalate", corrects=wrong)
    assert page.view["stage"] == "saved"
    assert page.view["saved"]["answer"] == "Escalate"
    assert ledger.judgments()[-1].corrects == wrong


def test_correct_without_a_verdict_does_nothing(page: Page) -> None:
    before = page.view
    page.receive({"kind": "correct"})
    assert page.view == before


def test_the_last_case_ends_in_words(page: Page) -> None:
    for _ in range(2):
        page.submit("favorable")
        page.submit("agree")
        page.receive({"kind": "next"})
    assert page.view["stage"] == "done"
    assert page.view["question"] == "All 2 cases are judged. Thank you."
    assert "case" not in page.view


@pytest.mark.parametrize(
    "changes",
    [
        {"rationale": 7},
        {"reasons": [None]},
        {"answer": ["agree"]},
        {"case_id": None},
        {"event_id": "not a uuid"},
        {"rationale": "\ud800"},
        {"note": ["x"]},
        {"confidence": "5"},
        {"confidence": True},
        {"confidence": 3},
    ],
)
def test_a_malformed_message_is_refused_in_words(
    page: Page, ledger: Ledger, changes: dict[str, Any]
) -> None:
    page.submit("favorable")
    answer = page.submit(**({"answer": "agree"} | changes))
    assert answer["kind"] == "refused"
    assert answer["words"]
    assert len(ledger.judgments()) == 1


def test_confidence_and_note_reach_the_ledger(page: Page, ledger: Ledger) -> None:
    page.submit("favorable", confidence=4)
    page.submit("agree", note="seen before")
    blind, final = ledger.judgments()
    assert (blind.confidence, final.note) == (4, "seen before")


def test_looking_back_shows_what_was_recorded_and_changes_nothing(
    page: Page, ledger: Ledger
) -> None:
    first = page.view["case"]["id"]
    page.receive({"kind": "back", "case_id": first})
    assert page.said[-1]["words"] == f"You have recorded nothing on case {first}."
    page.submit("unsure", confidence=2)
    page.receive({"kind": "back", "case_id": first})
    assert page.view["stage"] == "back"
    assert "model" not in page.view, "it was not shown yet"
    assert not page.view.get("saved")
    page.receive({"kind": "next"})
    page.submit("disagree", reasons=["Unfair"], rationale=HOSTILE)
    assert page.view["history"] == [first]
    page.receive({"kind": "back", "case_id": first})
    words = [answer["words"] for answer in page.view["look"]["answers"]]
    assert words == ["Your own decision: Not sure, 2 of 5 sure", "Verdict on the model: Disagree"]
    assert page.view["look"]["answers"][1]["more"] == ["Unfair", HOSTILE]
    assert page.view["model"]["decision"] == "Approve"
    assert len(ledger.events()) == 2
    wrong = page.view["saved"]["event_id"]
    page.receive({"kind": "correct"})
    page.submit("agree", corrects=wrong)
    page.receive({"kind": "back", "case_id": first})
    gone = [answer["gone"] for answer in page.view["look"]["answers"]]
    assert gone == [False, True, False]


def test_withdrawing_goes_on_to_the_next_case(page: Page, ledger: Ledger) -> None:
    first = page.view["case"]["id"]
    page.submit("favorable")
    page.submit("agree")
    page.receive({"kind": "back", "case_id": first})
    sent = {
        "kind": "withdraw",
        "event_id": str(uuid.uuid4()),
        "withdraws": page.view["saved"]["event_id"],
        "rationale": "",
    }
    page.receive(sent)
    assert (page.said[-1]["kind"], page.said[-1]["field"]) == ("refused", "rationale")
    page.receive(sent | {"rationale": "a relative"})
    page.receive(sent | {"rationale": "a relative"})
    assert page.said[-1] == {"kind": "saved", "event_id": sent["event_id"]}
    assert page.view["case"]["id"] != first
    assert len(ledger.events()) == 3
    page.receive({"kind": "back", "case_id": first})
    assert page.view["saved"] is None
    assert page.view["look"]["answers"][-1]["words"].endswith("(withdrawn)")


def test_controls_are_announced_hidden_and_told_at_the_end(ledger: Ledger) -> None:
    page = page_on(ledger, controls={"a": "planted"})
    assert "may have been changed on purpose" in page.view["remarks"][0]
    for _ in range(2):
        assert "planted" not in json.dumps(page.view)
        planted = page.view["case"]["id"] == "a"
        page.submit("favorable")
        assert page.view["model"]["decision"] == ("Deny" if planted else "Approve")
        assert "planted" not in json.dumps(page.view)
        page.submit("agree")
        page.receive({"kind": "next"})
    assert page.view["stage"] == "done"
    assert page.view["debrief"].startswith("On 1 case you were shown a reversed answer")


def test_a_shared_queue_has_its_words(ledger: Ledger) -> None:
    dana, eve = (page_on(ledger, reviewer=name, reviewers_per_case=1) for name in ("Dana", "Eve"))
    first = dana.view["case"]["id"]
    dana.submit("favorable")
    answer = eve.submit("favorable")
    assert answer["words"] == (
        f"Case {first} has got its reviewers in the meantime; thank you. Reload to go on."
    )
    eve.receive({"kind": "next"})
    assert eve.view["case"]["id"] != first


def test_escalating_names_who_decides(ledger: Ledger) -> None:
    rule = EscalationRule("an expert's request", "compliance officer", 5)
    page = page_on(ledger, rules=(rule,))
    page.submit("favorable")
    assert page.view["escalates_to"] == "compliance officer"
    answer = page.submit("escalate")
    assert (answer["kind"], answer["field"]) == ("refused", "rationale")
    assert page.submit("escalate", rationale="two files")["kind"] == "saved"
    assert len(ledger.events()) == 3


def test_an_unreliable_explanation_says_so(ledger: Ledger) -> None:
    doubt = Revealed(
        "unfavorable",
        0.31,
        0.5,
        (("x", "1", 0.4),),
        reliable=False,
        reason="unstable",
        scale="log-odds",
        base=-0.2,
    )
    page = page_on(ledger, reveal=lambda _: doubt)
    page.submit("unsure")
    model = page.view["model"]
    assert (model["decision"], model["reliable"], model["reason"]) == ("Deny", False, "unstable")
    assert model["start"] == "Starting from -0.20 log-odds, the average of the comparison cases."
    assert ledger.judgments()[0].answer == "unsure"


def test_an_error_of_the_program_is_answered_and_raised(ledger: Ledger) -> None:
    def broken(case_id: str) -> Revealed:
        raise ZeroDivisionError("no background")

    page = page_on(ledger, reveal=broken)
    with pytest.raises(ZeroDivisionError):
        page.submit("favorable")
    assert page.said[-1]["kind"] == "refused"
    assert "ZeroDivisionError" in page.said[-1]["words"]


def test_a_damaged_ledger_is_refused_in_words(page: Page, ledger: Ledger) -> None:
    assert ledger.path is not None
    ledger.path.write_text("no database any more " * 400)
    for leftover in ("-wal", "-shm"):
        Path(f"{ledger.path}{leftover}").unlink(missing_ok=True)
    answer = page.submit("favorable")
    assert answer["kind"] == "refused"
    assert "file is not a database" in answer["words"]
    with pytest.raises(LedgerError):
        Ledger(ledger.path)


def test_who_comes_too_late_is_told_and_goes_on_without_a_reload(ledger: Ledger) -> None:
    late = page_on(ledger, reviewers_per_case=1)
    case = late.view["case"]["id"]
    early = page_on(ledger, reviewers_per_case=1, reviewer="Eve")
    assert early.view["case"]["id"] == case  # opening a case takes no seat on it
    early.submit("favorable")
    answer = late.submit("unfavorable")
    assert answer["kind"] == "refused"
    assert late.view["case"]["id"] != case
    assert late.view["stage"] == "blind"
    assert late.view["moved"] == f"Case {case} has got its reviewers in the meantime; thank you."
    # An older answer from the outbox is refused and moves nothing.
    shown = late.view
    late.submit("favorable", case_id=case)
    assert late.view == shown
    late.submit("favorable")
    assert "moved" not in late.view
    assert [(j.case_id, j.reviewer) for j in ledger.judgments()] == [
        (case, "Eve"),
        (shown["case"]["id"], "Dana"),
    ]


def test_a_verdict_given_in_another_window_is_not_asked_again(ledger: Ledger) -> None:
    one, two = page_on(ledger), page_on(ledger)
    one.submit("favorable")
    assert two.submit("favorable")["kind"] == "refused"
    assert two.view["stage"] == "final"
    assert "answered in another window" in two.view["moved"]
    assert [j.answer for j in ledger.judgments()] == ["favorable"]
