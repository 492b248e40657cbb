from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.queue import STATES, ReviewQueue, request_id
from hitl_audit.review.records import Assignment, Escalation, Resolution
from tests.review.queue_events import (
    adjudication,
    assignment,
    blind,
    correction,
    escalation,
    joined,
    resolution,
    verdict,
    withdrawal,
)

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def queue_of(cases: Sequence[str] = ("a", "b", "c"), *events: Event, **changes: Any) -> ReviewQueue:
    queue = ReviewQueue(cases, **({"plan_digest": "p", "model_digest": "m"} | changes))
    queue.extend(events)
    return queue


def place(queue: ReviewQueue, reviewer: str) -> tuple[str, str, str] | None:
    task = queue.next_task(reviewer)
    return None if task is None else (task.case_id, task.task, task.step)


# ------------------------------------------------------------------- states


def test_a_case_goes_from_open_to_judged() -> None:
    queue = queue_of(reviewers_per_case=2)
    states = [queue.state("a")]
    for event in (blind("a", "R1"), verdict("a", "R1"), verdict("a", "R2")):
        queue.add(event)
        states.append(queue.state("a"))
    assert states == ["open", "in progress", "in progress", "judged"]
    assert queue.counts() == dict.fromkeys(STATES, 0) | {"open": 2, "judged": 1}


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        (("agree", "disagree"), "conflict"),
        (("agree", "agree"), "judged"),
        (("agree", "unsure"), "judged"),
        (("unsure", "unsure"), "judged"),
        (("agree", "escalate"), "escalated"),
        (("disagree", "escalate"), "escalated"),
    ],
)
def test_the_state_follows_from_what_the_verdicts_ask_for(
    answers: tuple[str, str], state: str
) -> None:
    queue = queue_of(
        ("a",), verdict("a", "R1", answers[0]), verdict("a", "R2", answers[1]), reviewers_per_case=2
    )
    assert queue.state("a") == state


def test_a_conflict_waits_until_all_verdicts_are_in() -> None:
    events = [verdict("a", "R1"), verdict("a", "R2", "disagree")]
    assert queue_of(("a",), *events, reviewers_per_case=3).state("a") == "in progress"
    assert queue_of(("a",), *events, reviewers_per_case=2).state("a") == "conflict"


def test_a_correction_ends_a_conflict_and_a_withdrawal_reopens_the_case() -> None:
    one, other = verdict("a", "R1"), verdict("a", "R2", "disagree")
    queue = queue_of(("a",), one, other, reviewers_per_case=2)
    better = correction(other, "agree")
    queue.add(better)
    assert queue.state("a") == "judged"
    queue.add(withdrawal(other))
    assert queue.state("a") == "judged", "it had been given up before"
    queue.add(withdrawal(better))
    assert queue.state("a") == "in progress"
    assert place(queue, "R2") is None, "who withdrew is not asked again"
    assert place(queue, "R3") == ("a", "ordinary", "blind")


def test_an_escalation_stands_until_it_is_resolved() -> None:
    asks = verdict("a", "R1", "escalate")
    queue = queue_of(("a",), asks, reviewers_per_case=1)
    queue.add(escalation("a", event_id=request_id(asks.event_id)))
    assert queue.state("a") == "escalated"
    queue.add(resolution(request_id(asks.event_id)))
    assert queue.state("a") == "judged"
    raised = escalation("a", condition="low confidence")
    queue.add(raised)
    assert queue.state("a") == "escalated"
    queue.add(resolution(raised))
    assert queue.state("a") == "judged"
    queue.add(escalation("race: black"))
    assert queue.state("a") == "judged"


def test_a_third_person_ends_a_conflict() -> None:
    one, other = verdict("a", "R1"), verdict("a", "R2", "disagree")
    queue = queue_of(("a", "b"), one, other, verdict("b", "R3", "escalate"), reviewers_per_case=2)
    assert queue.to_adjudicate("R1") == ()
    assert queue.to_adjudicate("R3") == ("a",)
    assert queue.to_adjudicate("R4", escalated=True) == ("a", "b")
    settles = (one.event_id, other.event_id)
    queue.add(adjudication("a", "R4", settles, "unsure"))
    assert queue.state("a") == "conflict"
    assert (queue.to_adjudicate("R4"), queue.to_adjudicate("R5")) == ((), ("a",))
    queue.add(adjudication("a", "R5", settles))
    assert queue.state("a") == "adjudicated"
    assert (queue.adjudicated_by("R4"), queue.adjudicated_by("R5")) == (1, 1)


def test_a_case_with_a_known_answer_needs_no_third_person() -> None:
    answers = [verdict("a", "R1", task="gold"), verdict("a", "R2", "disagree", task="gold")]
    queue = queue_of(("a",), *answers, reviewers_per_case=2)
    assert queue.state("a") == "judged"
    queue.add(verdict("a", "R2", "escalate", task="gold"))
    assert queue.state("a") == "escalated", "what the model said is real"


def test_a_planted_case_makes_no_conflict_and_no_escalation() -> None:
    controls = {"a": "planted"}
    for answers in (("agree", "disagree"), ("agree", "escalate")):
        queue = queue_of(("a",), reviewers_per_case=2, controls=controls)
        for reviewer, answer in zip(("R1", "R2"), answers, strict=True):
            assert place(queue, reviewer) == ("a", "planted", "blind")
            queue.add(verdict("a", reviewer, answer, task="planted"))
        assert queue.state("a") == "judged"


def test_events_of_another_plan_model_or_kind_of_reviewer_do_not_count() -> None:
    queue = queue_of(
        ("a",),
        verdict("a", "R1", plan_digest="p2"),
        verdict("a", "R1", model_digest="m2"),
        verdict("z", "R1"),
        verdict("a", "R2", simulated=True),
        assignment("R1", ("a", "ordinary", ""), plan_digest="p2"),
        adjudication("a", "R3", ("x",), plan_digest="p2"),
        reviewers_per_case=1,
    )
    assert queue.state("a") == "open"
    assert (queue.foreign_to("R1"), queue.foreign_to("R2")) == (3, 0)
    assert place(queue, "R1") == ("a", "ordinary", "blind")


# --------------------------------------------------------------- next tasks


def test_a_seat_has_a_number_that_is_used_once() -> None:
    queue = queue_of(("a", "b"), reviewers_per_case=2)
    assert queue.seat_to_take("R1", "a") == 0
    first = blind("a", "R1")
    queue.add(first)
    assert queue.seat_to_take("R1", "a") is None
    queue.add(withdrawal(first))
    assert queue.seat_to_take("R2", "a") == 1, "the first one was somebody's"
    assert queue_of(("a",)).seat_to_take("R1", "a") is None
    assert queue_of(("a",), planned=True, reviewers_per_case=2).seat_to_take("R1", "a") is None


def test_who_comes_for_somebody_who_withdrew_completes_the_case() -> None:
    queue = queue_of(("a",), reviewers_per_case=1)
    gone = blind("a", "R1")
    queue.extend([assignment("R1", ("a", "ordinary", ""), by="queue"), gone, withdrawal(gone)])
    queue.extend([assignment("R2", ("a", "ordinary", ""), by="queue"), verdict("a", "R2")])
    assert queue.state("a") == "judged"


def test_what_was_begun_comes_first() -> None:
    queue = queue_of(("a", "b", "c"), blind("b", "R1"), reviewers_per_case=1)
    assert place(queue, "R1") == ("b", "ordinary", "final")
    assert place(queue, "R2") == ("a", "ordinary", "blind")


def test_nobody_gets_a_case_that_has_its_reviewers() -> None:
    queue = queue_of(("a", "b"), blind("a", "R1"), verdict("b", "R1"), reviewers_per_case=1)
    assert place(queue, "R2") is None
    assert queue.waiting_for("R2") == 0
    assert queue.why_not("R2", "a") == (
        "Case a has got its reviewers in the meantime; thank you. Reload to go on."
    )
    assert place(queue_of(("a",), verdict("a", "R1")), "R2") == ("a", "ordinary", "blind")


def test_a_planned_review_gives_only_what_is_assigned_in_order() -> None:
    given = assignment(
        "R1",
        ("c", "gold", "2026-01-15T00:00:00.000000Z"),
        ("g", "planted", ""),
        ("c", "repeat", ""),
    )
    queue = queue_of(("a", "b", "c"), given, planned=True)
    assert queue.waiting_for("R1") == 3
    seen = []
    while (task := queue.next_task("R1")) is not None:
        seen.append((task.case_id, task.task, task.due))
        queue.add(blind(task.case_id, "R1", task=task.task))
        queue.add(verdict(task.case_id, "R1", task=task.task))
    assert seen == list(given.tasks)
    assert queue.tasks_done("R1") == (("c", "gold"), ("g", "planted"), ("c", "repeat"))
    assert place(queue, "R2") is None
    assert queue.why_not("R2", "a") == "Case a is not assigned to R2. Reload to go on."
    assert queue.why_not("R2", "zzz") == "Case zzz is not part of this review."
    assert (queue.done_by("R1"), queue.waiting_for("R1")) == (3, 0)


def test_a_case_taken_back_is_no_longer_waiting_and_its_verdict_stays() -> None:
    tasks = (("a", "ordinary", ""), ("b", "ordinary", ""))
    queue = queue_of(("a", "b"), assignment("R1", *tasks), planned=True)
    queue.add(blind("a", "R1"))
    queue.add(verdict("a", "R1"))
    queue.add(blind("b", "R1"))
    queue.add(assignment("R1", *tasks, takes_back=True, reason="on leave"))
    assert place(queue, "R1") is None
    assert (queue.state("a"), queue.state("b")) == ("judged", "in progress")
    assert "on leave" in queue.why_not("R1", "b")
    queue.add(assignment("R1", ("b", "ordinary", "")))
    assert place(queue, "R1") == ("b", "ordinary", "final")


def test_the_frame_says_what_is_missing_and_what_is_late() -> None:
    early, late = "2026-01-15T00:00:00.000000Z", "2026-03-01T00:00:00.000000Z"
    queue = queue_of(
        ("a", "b", "c"),
        assignment("R1", ("a", "ordinary", early), ("b", "ordinary", late)),
        assignment("R2", ("a", "ordinary", early)),
        blind("a", "R1"),
        verdict("a", "R2"),
        planned=True,
    )
    rows = queue.frame(NOW).to_dict("records")
    assert rows[0] == {
        "case": "a",
        "state": "in progress",
        "needed": 2,
        "done": 1,
        "in_progress": 1,
        "due": early,
        "overdue": True,
    }
    assert [(row["needed"], row["due"], row["overdue"]) for row in rows[1:]] == [
        (1, late, False),
        (1, "", False),
    ]
    people = queue.reviewers_frame(NOW).set_index("reviewer")
    assert people.loc["R1"].to_dict() == {"done": 0, "in_progress": 1, "waiting": 2, "overdue": 1}
    assert people.loc["R2"].to_dict() == {"done": 1, "in_progress": 0, "waiting": 0, "overdue": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"case_ids": ["a", "a"]}, "a case is there twice"),
        ({"case_ids": ["a"], "reviewers_per_case": 0}, "reviewers_per_case is 0"),
        ({"case_ids": ["a"], "controls": {"z": "gold"}}, 'controls names case "z"'),
    ],
)
def test_a_queue_that_cannot_be_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ReviewQueue(**arguments, plan_digest="p", model_digest="m")
    with pytest.raises(InputError, match='no case "z"'):
        queue_of(("a",)).state("z")


# ------------------------------------------- the same as looking at everything


class Rescan:
    """The rules again, by going through all events for every question."""

    def __init__(self, cases: Sequence[str], per_case: int | None, planned: bool) -> None:
        self.cases, self.per_case, self.planned = list(cases), per_case, planned
        self.events: list[Event] = []

    def assigned(self, reviewer: str) -> list[tuple[str, bool]]:
        tasks: list[tuple[str, bool]] = []
        for event in self.events:
            if isinstance(event, Assignment) and event.reviewer == reviewer:
                for case, task, _ in event.tasks:
                    key = (case, task == "repeat")
                    if event.takes_back:
                        tasks = [t for t in tasks if t != key]
                    elif key not in tasks:
                        tasks.append(key)
        return tasks

    def answers(self, reviewer: str, case: str, again: bool) -> tuple[bool, Judgment | None, bool]:
        """Blind answer there, verdict that stands, withdrew."""
        begun, stands, withdrew = None, None, False
        for event in self.events:
            if isinstance(event, Judgment):
                if (event.reviewer, event.case_id, event.task == "repeat") == (
                    reviewer,
                    case,
                    again,
                ):
                    if event.phase == "blind":
                        begun = event
                    else:
                        stands, withdrew = event, False
            elif isinstance(event, Withdrawal) and event.reviewer == reviewer:
                if stands is not None and event.withdraws == stands.event_id:
                    stands, withdrew = None, True
                elif stands is None and begun and event.withdraws == begun.event_id:
                    withdrew = True
        return begun is not None, stands, withdrew

    def taken_back(self, reviewer: str, case: str, again: bool) -> bool:
        last = None
        for event in self.events:
            if isinstance(event, Assignment) and event.reviewer == reviewer:
                for c, task, _ in event.tasks:
                    if (c, task == "repeat") == (case, again):
                        last = event.takes_back
        return bool(last)

    def holds(self, reviewer: str, case: str, again: bool = False) -> bool:
        begun, stands, withdrew = self.answers(reviewer, case, again)
        if withdrew or (self.taken_back(reviewer, case, again) and stands is None):
            return False
        return begun or stands is not None or (case, again) in self.assigned(reviewer)

    def people(self) -> list[str]:
        return sorted({e.reviewer for e in self.events if isinstance(e, Judgment | Assignment)})

    def lacks(self, case: str) -> bool:
        if self.planned or self.adjudicated(case):
            return False
        holders = sum(self.holds(who, case) for who in self.people())
        return self.per_case is None or holders < self.per_case

    def adjudicated(self, case: str) -> bool:
        return any(
            isinstance(e, Adjudication) and e.case_id == case and e.answer != "unsure"
            for e in self.events
        )

    def touched(self, reviewer: str, case: str) -> bool:
        return any(
            (isinstance(e, Judgment) and (e.reviewer, e.case_id) == (reviewer, case))
            or (
                isinstance(e, Assignment)
                and e.reviewer == reviewer
                and any(c == case and t != "repeat" for c, t, _ in e.tasks)
            )
            for e in self.events
            if not (isinstance(e, Judgment) and e.task == "repeat")
        )

    def waiting(self, reviewer: str) -> tuple[list[tuple[str, bool]], list[str]]:
        """Own tasks, those begun first, and then the cases that lack reviewers."""
        own = [
            key
            for key in {(c, again): None for again in (False, True) for c in self.cases}
            if self.holds(reviewer, *key) and self.answers(reviewer, *key)[1] is None
        ]
        free = [c for c in self.cases if self.lacks(c) and not self.touched(reviewer, c)]
        return own, free

    def state(self, case: str) -> str:
        people = self.people()
        verdicts = [v for who in people if (v := self.answers(who, case, False)[1]) is not None]
        resolved = {e.resolves for e in self.events if isinstance(e, Resolution)}
        if self.adjudicated(case):
            return "adjudicated"
        raised = [e for e in self.events if isinstance(e, Escalation) and e.subject == case]
        asks = [v for v in verdicts if v.answer == "escalate"]
        if any(e.event_id not in resolved for e in raised) or any(
            request_id(v.event_id) not in resolved for v in asks
        ):
            return "escalated"
        assigned = sum((case, False) in self.assigned(who) for who in people)
        named = sum((case, False) in self.assigned(who) and self.holds(who, case) for who in people)
        needed = max(1, assigned) if self.planned else max(self.per_case or 1, named)
        if len(verdicts) >= needed:
            wanted = {v.decision for v in verdicts}
            return "conflict" if {"favorable", "unfavorable"} <= wanted else "judged"
        for who in people:
            begun, stands, withdrew = self.answers(who, case, False)
            if (begun or stands) and not withdrew:
                return "in progress"
        return "open"


def random_event(rng: random.Random, cases: Sequence[str], past: list[Event]) -> Event:
    who, case = rng.choice(("R1", "R2", "R3")), rng.choice(cases)
    task = rng.choice(("ordinary",) * 5 + ("repeat",))
    judged = [e for e in past if isinstance(e, Judgment)]
    verdicts = [e for e in judged if e.phase != "blind"]
    raised = [e for e in past if isinstance(e, Escalation)]
    kind = rng.randrange(10)
    if kind < 3:
        return blind(case, who, task=task)
    if kind < 6 or not judged:
        return verdict(
            case, who, rng.choice(("agree", "disagree", "unsure", "escalate")), task=task
        )
    if kind == 6 and verdicts:
        return correction(rng.choice(verdicts), rng.choice(("agree", "disagree")))
    if kind == 7:
        return withdrawal(rng.choice(judged))
    if kind == 8:
        tasks = tuple((c, task, "") for c in rng.sample(cases, 2))
        return assignment(who, *tasks, takes_back=rng.random() < 0.4, reason="x")
    if rng.random() < 0.3:
        return adjudication(case, "R4", ("x",), rng.choice(("favorable", "unsure")))
    if raised and rng.random() < 0.5:
        return resolution(rng.choice(raised))
    return escalation(case)


@given(
    seed=st.integers(0, 10**6),
    per_case=st.sampled_from([None, 1, 2]),
    planned=st.booleans(),
    length=st.integers(1, 25),
)
@settings(max_examples=120, deadline=None)
def test_the_fold_says_what_going_through_everything_says(
    seed: int, per_case: int | None, planned: bool, length: int
) -> None:
    rng = random.Random(seed)
    cases = ["a", "b", "c", "d"]
    queue = queue_of(cases, reviewers_per_case=per_case, planned=planned)
    rescan = Rescan(cases, per_case, planned)
    for _ in range(length):
        event = random_event(rng, cases, rescan.events)
        queue.add(event)
        rescan.events.append(event)
        for case in cases:
            assert queue.state(case) == rescan.state(case), (event, case)
        for who in ("R1", "R2", "R3"):
            own, free = rescan.waiting(who)
            assert queue.waiting_for(who) == len(own) + len(free)
            task = queue.next_task(who)
            if own:
                assert task is not None
                assert (task.case_id, task.task == "repeat") in own
            else:
                assert (task.case_id if task else None) == (free[0] if free else None)
    assert sum(queue.counts().values()) == len(cases)


@given(
    people=st.integers(1, 9), per_case=st.integers(1, 3), n_cases=st.integers(1, 40), data=st.data()
)
def test_people_at_the_same_time_share_an_open_queue(
    people: int, per_case: int, n_cases: int, data: st.DataObject
) -> None:
    """Nobody sees a case that is full; while parts are left, no case is looked at by too many."""
    ids = [f"c{k}" for k in range(n_cases)]
    queue = ReviewQueue(ids, plan_digest="p", model_digest="m", reviewers_per_case=per_case)
    names = [f"R{k}" for k in range(people)]
    queue.extend(joined(name) for name in names)
    parts = -(-people // per_case)
    looking = Counter(task.case_id for name in names if (task := queue.next_task(name)))
    if n_cases >= parts:
        assert max(looking.values()) <= per_case
    if people <= per_case:
        assert set(looking) == {"c0"}  # nobody to share with: the order of judging
    # In whatever order people answer or withdraw, nobody is sent home while a case that they
    # have not seen lacks reviewers, and nobody is sent to a case that does not.
    holders: dict[str, set[str]] = {case: set() for case in ids}
    met: dict[str, set[str]] = {name: set() for name in names}
    for _ in range(n_cases * per_case + 5):
        name = data.draw(st.sampled_from(names))
        free = {c for c in ids if len(holders[c]) < per_case and c not in met[name]}
        task = queue.next_task(name)
        assert (task is None) == (not free)
        if task is None:
            continue
        assert task.case_id in free
        met[name].add(task.case_id)
        said = verdict(task.case_id, name)
        queue.extend([blind(task.case_id, name), said])
        if data.draw(st.integers(0, 4)) == 0:
            queue.add(withdrawal(said))
        else:
            holders[task.case_id].add(name)
