from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.assignment import AssignmentPlan
from hitl_audit.review.beginning import Person, begin_review
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Assignment, Reviewer
from hitl_audit.review.sampling import sample_cases

SAMPLE = sample_cases(range(40), 12)
PEOPLE = (Person("Dana", competence="underwriter, 12 years"), Person("Eve"), Person("Fay"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def begin(ledger: Ledger, day: int = 1, **changes: Any) -> AssignmentPlan:
    given: dict[str, Any] = {
        "sample": SAMPLE,
        "people": PEOPLE,
        "plan_digest": "p",
        "model_digest": "m",
        "pseudonyms": True,
        "due_days": 7,
        "now": lambda: datetime(2026, 1, day, tzinfo=UTC),
    } | changes
    return begin_review(ledger, **given)


def test_people_join_and_cases_are_assigned_once(ledger: Ledger) -> None:
    plan = begin(ledger, planted=0.1, repeats=0.1)
    assert plan.reviewers == ("R1", "R2", "R3")
    assert plan.due == "2026-01-08T00:00:00.000000Z"
    events = ledger.events()
    assert [type(event) for event in events] == [Reviewer] * 3 + [Assignment] * 3
    assert begin(Ledger(ledger.path or ""), day=3, planted=0.1, repeats=0.1) == plan
    assert ledger.events() == events


def test_names_instead_of_pseudonyms_and_no_due_time(ledger: Ledger) -> None:
    plan = begin(ledger, pseudonyms=False, due_days=None)
    assert (plan.reviewers, plan.due) == (("Dana", "Eve", "Fay"), "")
    assert begin(ledger, day=2, pseudonyms=False, due_days=None) == plan


@pytest.mark.parametrize("changes", [{"sample": sample_cases(range(40), 11)}, {"repeats": 0.3}])
def test_another_assignment_under_the_same_plan_is_refused(
    ledger: Ledger, changes: dict[str, Any]
) -> None:
    begin(ledger)
    before = ledger.events()
    with pytest.raises(InputError, match="R1 has another assignment under this plan and model"):
        begin(ledger, **changes)
    assert ledger.events() == before
    assert begin(ledger, plan_digest="p2", **changes).reviewers == ("R1", "R2", "R3")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people": ()}, "reviewers is empty"),
        ({"people": (Person("Dana"), Person(" dana "))}, "somebody is named twice"),
        ({"people": PEOPLE[:1]}, "reviewers_per_case is 2; expected 1 to 1"),
        ({"due_days": 0}, "due_days is 0"),
        ({"overlap": 2}, "overlap is 2"),
    ],
)
def test_a_beginning_that_cannot_be_records_nothing(
    ledger: Ledger, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        begin(ledger, **changes)
    assert ledger.events() == ()
