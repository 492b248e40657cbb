from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError, LedgerError
from hitl_audit.review.escalation import (
    CONDITIONS,
    EscalationFacts,
    EscalationRule,
    GroupGap,
    due_escalations,
    register,
    request_escalation,
    resolve,
)
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Escalation
from tests.review.queue_events import (
    adjudication,
    blind,
    correction,
    escalation,
    resolution,
    verdict,
    withdrawal,
)

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)
POLICY = tuple(EscalationRule(condition, "compliance officer", 5) for condition in CONDITIONS)
WIDE = GroupGap("override rate", "race: black", 0.12, 0.03, 0.21)


def due(
    events: Sequence[Event], *rules: EscalationRule, facts: EscalationFacts | None = None
) -> list[tuple[str, str]]:
    found = due_escalations(
        events, rules or POLICY, facts or EscalationFacts(), NOW, plan_digest="p", model_digest="m"
    )
    assert all(event.problems() == [] for event in found)
    return [(event.condition, event.subject) for event in found]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([verdict("a", "R1")], []),
        ([verdict("a", "R1"), verdict("a", "R2", "disagree")], ["conflict between reviewers"]),
        ([verdict("a", "R1"), verdict("a", "R2", "unsure")], []),
        ([verdict("a", "R1", "escalate")], ["an expert's request"]),
        (
            [verdict("a", "R1", shown=("case", "prediction", "explanation marked unreliable"))],
            ["unreliable explanation"],
        ),
        ([blind("a", "R1", confidence=2)], ["low confidence"]),
        ([blind("a", "R1", confidence=1), blind("a", "R2", confidence=4)], []),
        ([blind("a", "R1")], []),
        ([verdict("a", "R1", "escalate", task="planted")], []),
        ([verdict("a", "R1", "escalate", plan_digest="other")], []),
        ([verdict("a", "R1", "escalate", model_digest="other")], []),
    ],
)
def test_a_condition_raises_what_it_says(events: list[Event], expected: list[str]) -> None:
    assert due(events) == [(condition, "a") for condition in expected]


def test_a_verdict_that_does_not_stand_raises_nothing() -> None:
    one, other = verdict("a", "R1", "escalate"), verdict("b", "R1", "escalate")
    events = [one, correction(one, "agree"), other, withdrawal(other)]
    assert due(events) == []


def test_a_settled_conflict_raises_nothing() -> None:
    pair = [verdict("a", "R1"), verdict("a", "R2", "disagree")]
    assert due([*pair, adjudication("a", "R3", tuple(e.event_id for e in pair))]) == []
    assert due([*pair, adjudication("a", "R3", ("x",), "unsure")]) != []


@pytest.mark.parametrize(
    ("gap", "limit", "raised"),
    [
        (WIDE, None, True),
        (WIDE, 0.05, False),
        (WIDE._replace(low=-0.21, high=-0.06, value=-0.12), 0.05, True),
        (WIDE._replace(low=-0.01), None, False),
        (WIDE._replace(low=None, high=None), None, False),
    ],
)
def test_a_group_gap_is_raised_only_when_its_interval_clears_the_limit(
    gap: GroupGap, limit: float | None, raised: bool
) -> None:
    rule = EscalationRule("group gap", "compliance officer", 10, limit)
    found = due([], rule, facts=EscalationFacts(gaps=(gap,)))
    assert found == ([("group gap", "override rate, race: black")] if raised else [])


def test_uncertain_scores_are_low_confidence_too() -> None:
    rule = EscalationRule("low confidence", "domain expert", 2)
    assert due([], rule, facts=EscalationFacts(uncertain=("a",))) == [("low confidence", "a")]
    generous = EscalationRule("low confidence", "domain expert", 2, limit=3)
    assert due([blind("a", "R1", confidence=3)], rule) == []
    assert due([blind("a", "R1", confidence=3)], generous) == [("low confidence", "a")]


def test_nothing_is_raised_twice() -> None:
    events: list[Event] = [
        verdict("a", "R1", "escalate"),
        verdict("b", "R1"),
        verdict("b", "R2", "disagree"),
    ]
    facts = EscalationFacts(gaps=(WIDE,), uncertain=("c",))
    given: Any = {"plan_digest": "p", "model_digest": "m"}
    first = due_escalations(events, POLICY, facts, NOW, **given)
    assert len(first) == 4
    later = due_escalations(events, POLICY, facts, NOW + timedelta(days=3), **given)
    assert [event.event_id for event in later] == [event.event_id for event in first]
    assert due_escalations([*events, *first], POLICY, facts, NOW, **given) == ()


def test_a_request_is_the_same_whoever_makes_the_event() -> None:
    asks = verdict("a", "R1", "escalate", rationale="two files for one person")
    rule = EscalationRule("an expert's request", "compliance officer", 1.5)
    (found,) = due_escalations(
        [asks], [rule], EscalationFacts(), NOW, plan_digest="p", model_digest="m"
    )
    assert found == request_escalation(asks, rule)
    assert (found.raised_by, found.deadline) == ("R1", "2026-02-02T00:00:00.000000Z")
    assert found.rationale == "two files for one person"


def test_programs_escalations_say_so() -> None:
    asks = verdict("a", "R1", "escalate", simulated=True)
    (found,) = due_escalations(
        [asks], POLICY, EscalationFacts(), NOW, plan_digest="p", model_digest="m"
    )
    assert found.simulated
    assert register([asks, found], NOW).words.startswith("SIMULATED JUDGMENTS: 1 escalation: 1 ")


# ----------------------------------------------------------------- register


def raised_by(asks: Judgment) -> Escalation:
    return request_escalation(asks, EscalationRule("an expert's request", "compliance officer", 5))


def test_the_register_follows_an_escalation_to_its_end() -> None:
    asks = verdict("a", "R1", "escalate")
    events: list[Event] = [asks, raised_by(asks)]
    (item,) = register(events, NOW).items
    assert (item.status, item.settled_by) == ("open", "")
    assert register(events, NOW).blocks_clean_opinion
    late = NOW + timedelta(days=5)
    assert register(events, late).items[0].status == "overdue"
    assert register(events, late).words == (
        "1 escalation: 1 overdue. Next: an expert's request (a) for the compliance officer, due "
        "2026-02-05. Until all are resolved, no clean opinion is given."
    )
    events.append(resolution(raised_by(asks)))
    done = register(events, late)
    assert (done.items[0].status, done.items[0].settled_by) == ("resolved", "Olga")
    assert done.items[0].outcome == "the decision stands"
    assert not done.blocks_clean_opinion
    assert done.words == "1 escalation: 1 resolved."


def test_somebody_in_the_role_resolves_it_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    asks = verdict("a", "R1", "escalate")
    raised = raised_by(asks)
    ledger.append_all([asks, raised])
    given: Any = {"outcome": "approve", "rationale": "policy 4.2", "at": NOW}
    with pytest.raises(InputError, match="this one is for the compliance officer to settle"):
        resolve(raised, reviewer="Dana", role="domain expert", **given)
    ledger.append(resolve(raised, reviewer="Olga", role="Compliance officer", **given))
    assert register(ledger.events(), NOW).items[0].status == "resolved"
    with pytest.raises(LedgerError, match="with other contents"):
        ledger.append(resolve(raised, reviewer="Pam", role="compliance officer", **given))


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"role": "Compliance Officer "}, "resolved"),
        ({"role": "domain expert"}, "open"),
        ({"role": "compliance officer", "answer": "unsure"}, "open"),
        ({"role": "compliance officer", "case": "b"}, "open"),
        ({"role": "compliance officer", "plan_digest": "p2"}, "open"),
    ],
)
def test_an_adjudication_in_the_role_settles_its_case(changes: dict[str, Any], status: str) -> None:
    asks = verdict("a", "R1", "escalate")
    given = {"case": "a", "reviewer": "R9", "settles": (asks.event_id,)} | changes
    events = [asks, raised_by(asks), adjudication(**given)]
    assert register(events, NOW).items[0].status == status


@pytest.mark.parametrize("back", [lambda old: correction(old, "agree"), withdrawal])
def test_a_request_that_its_author_gave_up_is_taken_back(back: Any) -> None:
    asks = verdict("a", "R1", "escalate")
    found = register([asks, raised_by(asks), back(asks)], NOW)
    assert found.items[0].status == "taken back"
    assert not found.blocks_clean_opinion


def test_the_register_can_be_about_one_plan() -> None:
    events = [escalation("a"), escalation("b", plan_digest="p2", deadline="")]
    assert len(register(events, NOW).items) == 2
    assert [item.subject for item in register(events, NOW, plan_digest="p2").items] == ["b"]
    assert register(events, NOW, plan_digest="p2").items[0].status == "open"
    assert register(events, NOW, model_digest="none").words == "Nothing was escalated."


def test_the_register_is_a_table_and_canonical() -> None:
    asks = verdict("a", "R1", "escalate")
    found = register([asks, raised_by(asks)], NOW)
    frame = found.frame()
    assert list(frame["subject"]) == ["a"]
    assert list(register([], NOW).frame().columns) == list(frame.columns)
    assert b'"an expert\'s request"' in canonical_bytes(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("low confidense", "officer", 5), 'accepted: low confidence, .*did you mean "low conf'),
        (("group gap", " ", 5), "role is empty"),
        (("group gap", "officer", 0), "within_days is 0; expected above 0"),
        (("group gap", "officer", float("nan")), "within_days is nan"),
        (("an expert's request", "officer", 5, 0.1), "limit is 0.1, but .* has none"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        EscalationRule(*arguments)
