from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.assignment import AssignmentPlan, assign_cases, draw_planted, reassignment
from hitl_audit.review.queue import ReviewQueue
from hitl_audit.review.sampling import sample_cases

SAMPLE = sample_cases(range(40), 20)
FOUR = ("R1", "R2", "R3", "R4")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@st.composite
def plans(draw: st.DrawFn) -> AssignmentPlan:
    cases = draw(st.integers(1, 30))
    people = draw(st.integers(1, 7))
    planted: list[float | tuple[str, ...]] = [0.0, 0.1, 0.5, ("planted-1",)]
    return assign_cases(
        sample_cases(range(cases), cases),
        [f"R{i}" for i in range(people)],
        reviewers_per_case=draw(st.integers(1, people)),
        overlap=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        gold=draw(st.sampled_from([(), ("0",), ("gold-1", "gold-2")])),
        planted=draw(st.sampled_from(planted)),
        repeats=draw(st.sampled_from([0.0, 0.1, 0.5])),
        random_state=draw(st.integers(0, 5)),
    )


@given(plan=plans())
@settings(max_examples=150, deadline=None)
def test_everybody_gets_what_was_declared(plan: AssignmentPlan) -> None:
    once = [task for task in plan.tasks if task.task != "repeat"]
    assert max(Counter(once).values()) == 1, "nobody judges a case twice but as a repeat"
    people: defaultdict[str, set[str]] = defaultdict(set)
    for task in once:
        people[task.case_id].add(task.reviewer)
    shared = 0
    for case, reviewers in people.items():
        if case in plan.gold:
            assert reviewers == set(plan.reviewers)
        elif len(reviewers) == plan.reviewers_per_case:
            shared += 1
        else:
            assert len(reviewers) == 1
    if plan.reviewers_per_case > 1:
        assert shared == plan.overlapping
    assert max(plan.loads.values()) - min(plan.loads.values()) <= 1
    kinds = {task.case_id: task.task for task in once}
    assert {case for case, kind in kinds.items() if kind == "gold"} == set(plan.gold)
    assert {case for case, kind in kinds.items() if kind == "planted"} == set(plan.planted)


@given(plan=plans())
@settings(max_examples=150, deadline=None)
def test_a_repeat_comes_half_a_queue_after_the_case_itself(plan: AssignmentPlan) -> None:
    for reviewer in plan.reviewers:
        tasks = plan.tasks_of(reviewer)
        first = {t.case_id: i for i, t in enumerate(tasks) if t.task != "repeat"}
        again = [(i, t.case_id) for i, t in enumerate(tasks) if t.task == "repeat"]
        assert len(again) == plan.repeats == len({case for _, case in again})
        for place, case in again:
            assert place - first[case] >= max(1, len(first) // 2)
            assert case not in plan.planted + plan.gold


def test_every_pair_of_reviewers_can_be_compared() -> None:
    plan = assign_cases(SAMPLE, FOUR, reviewers_per_case=2)
    together: Counter[frozenset[str]] = Counter()
    for case in SAMPLE.case_ids:
        together[frozenset(t.reviewer for t in plan.tasks if t.case_id == case)] += 1
    assert len(together) == 6
    assert max(together.values()) - min(together.values()) <= 2


def test_the_positions_of_a_case_balance_over_reviewers() -> None:
    plan = assign_cases(SAMPLE, FOUR, reviewers_per_case=4)
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for reviewer in FOUR:
        for place, task in enumerate(plan.tasks_of(reviewer)):
            positions[task.case_id].append(place)
    assert {mean(places) for places in positions.values()} == {(20 - 1) / 2}
    assert len({plan.tasks_of(reviewer)[0].case_id for reviewer in FOUR}) == 4


def test_the_seed_decides_and_the_order_of_the_cases_does_not() -> None:
    arguments: Any = {"planted": 0.2, "repeats": 0.2, "overlap": 0.5}
    plan = assign_cases(SAMPLE, FOUR, **arguments)
    assert assign_cases(SAMPLE, FOUR, **arguments) == plan
    assert assign_cases(SAMPLE, FOUR, **arguments, random_state=1).tasks != plan.tasks
    assert len(plan.planted) == 4
    assert plan.planted == draw_planted(SAMPLE, 0.2)


def test_planted_cases_are_drawn_evenly_from_the_sample() -> None:
    drawn = Counter(
        case for seed in range(400) for case in draw_planted(SAMPLE, 0.2, random_state=seed)
    )
    expected = 400 * 4 / 20
    chi_squared = sum((drawn[case] - expected) ** 2 / expected for case in SAMPLE.case_ids)
    assert chi_squared < 43.8  # the 99.9th percentile with 19 degrees of freedom


def test_the_plan_discloses_its_controls_in_words() -> None:
    plan = assign_cases(SAMPLE, FOUR, overlap=0.5, gold=["g"], planted=["p"], repeats=0.2, due=NOON)
    assert plan.words == (
        "4 reviewers judge 22 cases, 11 tasks each; 11 cases have 2 reviewers. 1 case with a "
        "known answer given to everybody. On 1 case the model's decision is shown reversed; "
        "their verdicts enter no rate, and reviewers are told at the end. Every reviewer judges "
        "2 cases twice."
    )
    frame = plan.frame()
    assert list(frame.columns) == ["reviewer", "position", "case_id", "task", "due"]
    assert frame.groupby("reviewer")["position"].max().to_dict() == plan.loads
    assert set(frame["due"]) == {"2026-01-31T12:00:00.000000Z"}


def test_the_events_of_a_plan_have_ids_of_their_own() -> None:
    plan = assign_cases(SAMPLE, FOUR)
    given: Any = {"plan_digest": "p", "model_digest": "m"}
    events = plan.events(at=NOON, **given)
    assert [event.reviewer for event in events] == list(FOUR)
    assert all(event.problems() == [] for event in events)
    assert len({event.event_id for event in events}) == 4
    assert events == plan.events(at=NOON, **given)
    other = plan.events(at=NOON, plan_digest="p2", model_digest="m")
    assert {e.event_id for e in other}.isdisjoint(e.event_id for e in events)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reviewers": []}, "reviewers is empty"),
        ({"reviewers": "Dana"}, "one text; expected a list"),
        ({"reviewers": ["R1", " R1"]}, 'reviewers has "R1" 2 times'),
        ({"reviewers": ["R1", "Anonymous"]}, 'reviewers has "Anonymous"; expected who judges'),
        ({"reviewers_per_case": 5}, "reviewers_per_case is 5; expected 1 to 4"),
        ({"reviewers_per_case": 0}, "reviewers_per_case is 0"),
        ({"overlap": 1.2}, "overlap is 1.2; expected a share from 0 to 1"),
        ({"overlap": float("nan")}, "overlap is nan"),
        ({"planted": 0.6}, "planted is 0.6; expected a share from 0 to 0.5"),
        ({"planted": -0.1}, "planted is -0.1"),
        ({"repeats": 0.9}, "repeats is 0.9"),
        ({"gold": "17"}, 'gold is one text, "17"; expected a list'),
        ({"gold": ["g", "g"]}, 'gold has case "g" twice'),
        ({"gold": ["x"], "planted": ["x"]}, 'case "x" is in gold and in planted'),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"reviewers": FOUR} | changes
    with pytest.raises(InputError) as refusal:
        assign_cases(SAMPLE, **arguments)
    assert words in str(refusal.value)


def test_a_case_is_given_to_somebody_else() -> None:
    queue = ReviewQueue(("a", "b"), plan_digest="p", model_digest="m", planned=True)
    plan = assign_cases(sample_cases(["a", "b"], 2), ["R1"], reviewers_per_case=1)
    queue.extend(plan.events(at=NOON, plan_digest="p", model_digest="m"))
    given: Any = {"by": "lead", "reason": "on leave", "at": NOON}
    takes, gives = reassignment(queue, ["a"], source="R1", to="R2", **given)
    assert takes.takes_back
    assert takes.problems() == gives.problems() == []
    queue.extend([takes, gives])
    assert queue.holding("R1", "a") is None
    assert queue.why_not("R1", "a") == (
        "Case a was given to somebody else (on leave). Reload to go on."
    )
    assert (queue.waiting_for("R1"), queue.waiting_for("R2")) == (1, 1)
    with pytest.raises(InputError, match='case "a" does not wait for R1'):
        reassignment(queue, ["a"], source="R1", to="R3", **given)
    with pytest.raises(InputError, match="R2 is already on case"):
        reassignment(queue, ["a"], source="R2", to="R2", **given)
    (taken, given_back) = reassignment(queue, ["a"], source="R2", to="R1", **given)
    queue.extend([taken, given_back])
    assert queue.holding("R1", "a") == "ordinary"
