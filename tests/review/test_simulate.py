from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.assignment import assign_cases
from hitl_audit.review.judgment import Adjudication
from hitl_audit.review.ledger import Judgment, Ledger
from hitl_audit.review.oversight import summarise
from hitl_audit.review.reviewers import record_once
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import Revealed, ReviewSession
from hitl_audit.review.simulate import (
    SimulatedSkill,
    simulate_adjudicator,
    simulate_reviewers,
)

CASES = pd.DataFrame({"x": range(15)})
SAMPLE = sample_cases(CASES, 12)


def run(ledger: Ledger, *, random_state: int = 0, simulated: bool = True, day: int = 1) -> int:
    def session_for(reviewer: str) -> ReviewSession:
        return ReviewSession(
            SAMPLE,
            CASES,
            lambda case_id: Revealed("favorable", 0.7, 0.5, (("x", case_id, 0.1),)),
            ledger,
            reviewer=reviewer,
            role="domain expert",
            model_digest="m",
            plan_digest="p",
            reasons=("Unfair", "Something else"),
            simulated=simulated,
            now=lambda: datetime(2026, 1, day, tzinfo=UTC),
        )

    return simulate_reviewers(session_for, random_state=random_state)


def reveal(case_id: str) -> Revealed:
    return Revealed("favorable", 0.7, 0.5, (("x", case_id, 0.1),))


MANY = pd.DataFrame({"x": range(100)})
TRUTH = {str(i): "favorable" if i % 2 else "unfavorable" for i in range(100)}


def verdicts(ledger: Ledger, phase: str) -> list[Judgment]:
    return [event for event in ledger.judgments() if event.phase == phase]


def skilled(ledger: Ledger, skill: SimulatedSkill, n: int = 10, **changes: Any) -> list[Judgment]:
    def session_for(reviewer: str) -> ReviewSession:
        given: dict[str, Any] = {"role": "simulation", "model_digest": "m", "plan_digest": "p"}
        given |= {"reasons": ("Unfair",), "simulated": True} | changes
        return ReviewSession(
            sample_cases(MANY, n), MANY, reveal, ledger, reviewer=reviewer, **given
        )

    simulate_reviewers(session_for, n_reviewers=1, truth=TRUTH, skill=skill)
    return list(ledger.judgments())


def test_skill_is_what_it_says(tmp_path: Path) -> None:
    perfect = SimulatedSkill(accuracy=1, leniency=0, anchoring=0, unsure=0, escalates=0)
    events = skilled(Ledger(tmp_path / "perfect.db"), perfect)
    assert len(events) == 20
    assert all(event.decision == TRUTH[event.case_id] for event in events)

    follower = replace(perfect, anchoring=1)
    finals = [e for e in skilled(Ledger(tmp_path / "f.db"), follower) if e.phase == "final"]
    assert {event.answer for event in finals} == {"agree"}

    lenient = replace(perfect, leniency=1)
    events = skilled(Ledger(tmp_path / "l.db"), lenient, protocol="open")
    assert {event.decision for event in events} == {"favorable"}

    poor = replace(perfect, accuracy=0.75)
    blind = [e for e in skilled(Ledger(tmp_path / "p.db"), poor, n=50) if e.phase == "blind"]
    share = sum(event.decision == TRUTH[event.case_id] for event in blind) / len(blind)
    assert 0.55 < share < 0.95  # 0.75 within 3.2 standard errors; the seed is fixed
    assert {event.confidence for event in blind} == {1, 2, 3, 4, 5}
    assert all(event.note.startswith("Simulated") for event in finals if event.note)


def test_a_reviewer_can_have_a_skill_of_their_own(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    right, wrong = (SimulatedSkill(accuracy=a, leniency=0, unsure=0) for a in (1, 0))

    def session_for(reviewer: str) -> ReviewSession:
        return ReviewSession(
            SAMPLE, CASES, reveal, ledger, reviewer=reviewer, role="simulation", model_digest="m",
            plan_digest="p", reasons=("Unfair",), simulated=True,
        )  # fmt: skip

    simulate_reviewers(
        session_for, truth=TRUTH, skill=lambda name: right if name.endswith("1") else wrong
    )
    for event in verdicts(ledger, "blind"):
        assert (event.decision == TRUTH[event.case_id]) == event.reviewer.endswith("1")


def test_controls_and_conflicts_are_played_to_the_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    names = ["Simulated reviewer 1", "Simulated reviewer 2", "Simulated reviewer 3"]
    plan = assign_cases(SAMPLE, names, gold=["0"], planted=0.2, repeats=0.2)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    record_once(ledger, plan.events(at=noon, plan_digest="p", model_digest="m", simulated=True))
    given: dict[str, Any] = {
        "role": "simulation",
        "model_digest": "m",
        "plan_digest": "p",
        "reasons": ("Unfair",),
        "simulated": True,
        "planned": True,
        "now": lambda: noon,
    }

    def session_for(reviewer: str) -> ReviewSession:
        return ReviewSession(SAMPLE, CASES, reveal, ledger, reviewer=reviewer, **given)

    assert simulate_reviewers(session_for, n_reviewers=3, truth=TRUTH) == 2 * len(plan.tasks)
    assert simulate_reviewers(session_for, n_reviewers=3, truth=TRUTH) == 0
    tasks = {(e.reviewer, e.case_id, e.task) for e in verdicts(ledger, "final")}
    assert tasks == {(t.reviewer, t.case_id, t.task) for t in plan.tasks}
    conflicts = session_for(names[0]).queue.counts()["conflict"]
    assert conflicts > 0
    third = AdjudicationSession(
        SAMPLE, CASES, reveal, ledger, reviewer="Simulated adjudicator", **given
    )
    assert simulate_adjudicator(third, truth=TRUTH, accuracy=1) == conflicts
    rulings = [event for event in ledger.events() if isinstance(event, Adjudication)]
    assert all(event.simulated and event.answer == TRUTH[event.case_id] for event in rulings)
    assert session_for(names[0]).queue.counts()["conflict"] == 0
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda: SimulatedSkill(accuracy=1.2), "accuracy is 1.2; expected a chance"),
        (lambda: SimulatedSkill(anchoring=float("nan")), "anchoring is nan"),
        (
            lambda: simulate_reviewers(lambda _: None, truth={"a": "yes"}),  # type: ignore[arg-type,return-value]
            'truth of case "a" is "yes"; accepted: favorable, unfavorable',
        ),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(action: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        action()


def timeless(ledger: Ledger) -> list[Judgment]:
    return [dataclasses.replace(event, at="") for event in ledger.judgments()]


def test_every_event_says_that_it_is_simulated(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    assert run(ledger) == 2 * 12 * 2
    events = ledger.judgments()
    assert all(event.simulated for event in events)
    assert {event.reviewer for event in events} == {"Simulated reviewer 1", "Simulated reviewer 2"}
    assert all("Simulated" in event.rationale for event in events if event.answer == "disagree")
    oversight = summarise(events, SAMPLE)
    assert (oversight.judged, oversight.reviewers) == (12, 2)
    assert oversight.words.startswith("SIMULATED JUDGMENTS: 2 reviewers judged 12 of 12")


def test_the_seed_decides_everything_but_the_times(tmp_path: Path) -> None:
    first, second, other = (Ledger(tmp_path / f"{i}.db") for i in range(3))
    run(first, day=1)
    run(second, day=2)
    run(other, random_state=1)
    assert timeless(first) == timeless(second)
    assert first.judgments() != second.judgments()
    assert [e.answer for e in first.judgments()] != [e.answer for e in other.judgments()]


def test_running_again_adds_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    run(ledger)
    assert run(ledger) == 0


def test_a_session_for_people_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    with pytest.raises(InputError, match="simulated=False; expected True"):
        run(ledger, simulated=False)
    assert ledger.judgments() == ()
