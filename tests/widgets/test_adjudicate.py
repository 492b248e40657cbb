from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import sample_cases
from hitl_audit.widgets.adjudicate import AdjudicateWidget
from tests.review.queue_events import verdict

HOSTILE = "<img src=x onerror=alert(1)>"
CASES = pd.DataFrame({"Income ($)": [3055, 8200]}, index=["a", "b"])


class Page(AdjudicateWidget):
    """The widget, with what it says to the page kept in a list."""

    def __init__(self, session: AdjudicationSession) -> None:
        self.said: list[dict[str, Any]] = []
        super().__init__(session)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.said.append(content)

    def submit(self, answer: Any, **changes: Any) -> dict[str, Any]:
        message = {
            "kind": "submit",
            "event_id": str(uuid.uuid4()),
            "case_id": self.view["case"]["id"],
            "step": "adjudicate",
            "answer": answer,
            "reasons": [],
            "rationale": "the income is proven",
        } | changes
        self.receive(message)
        assert self.said[-1]["event_id"] == message["event_id"]
        return self.said[-1]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "judgments.db")
    for case in ("a", "b"):
        ledger.append(verdict(case, "Dana", "agree"))
        ledger.append(verdict(case, "Eve", "disagree", rationale=HOSTILE))
    return ledger


def page_on(ledger: Ledger, reveal: Any = None) -> Page:
    return Page(
        AdjudicationSession(
            sample_cases(CASES, 2),
            CASES,
            reveal or (lambda _: Revealed("favorable", 0.7, 0.5, ())),
            ledger,
            reviewer="Gil",
            role="senior underwriter",
            model_digest="m",
            plan_digest="p",
            reasons=("Unfair",),
            labels=("Approve", "Deny"),
            reviewers_per_case=2,
        )
    )


def test_the_page_shows_arguments_and_no_names(ledger: Ledger) -> None:
    page = page_on(ledger)
    assert page.view["stage"] == "adjudicate"
    assert [label for _, label in page.view["answers"]] == ["Approve", "Deny", "Not sure"]
    assert page.view["dissent"]["words"] == (
        "1 for “Approve” · 1 for “Deny”. Names are not shown, and the order says nothing."
    )
    rationales = {said["rationale"] for said in page.view["dissent"]["arguments"]}
    assert rationales == {"", HOSTILE}
    assert "Dana" not in json.dumps(page.view)
    assert "Eve" not in json.dumps(page.view)


def test_a_decision_is_saved_and_the_last_one_ends_in_words(ledger: Ledger) -> None:
    page = page_on(ledger)
    for number in (1, 2):
        assert page.submit("unfavorable", reasons=["Unfair"])["kind"] == "saved"
        assert page.view["stage"] == "saved"
        assert page.view["saved"]["answer"] == "Deny"
        assert page.view["progress"]["judged"] == number
        page.receive({"kind": "next"})
    assert page.view["question"] == "You have decided 2 cases; none waits any more. Thank you."
    assert len(ledger.events()) == 6


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rationale": " "}, "rationale"),
        ({"answer": "agree"}, "answer"),
        ({"answer": 7}, ""),
        ({"reasons": ["x"]}, "reasons"),
        ({"rationale": None}, ""),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    ledger: Ledger, changes: dict[str, Any], field: str
) -> None:
    page = page_on(ledger)
    answer = page.submit(**({"answer": "favorable"} | changes))
    assert (answer["kind"], answer["field"]) == ("refused", field)
    assert len(ledger.events()) == 4


def test_an_error_of_the_program_is_answered_and_raised(ledger: Ledger) -> None:
    page = page_on(ledger)
    ledger.append(verdict("a", "Fay", "unsure"))

    def broken() -> Any:
        raise ZeroDivisionError("no background")

    page._session.position = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        page.submit("favorable")
    assert "ZeroDivisionError" in page.said[-1]["words"]
