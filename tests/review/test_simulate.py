from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.ledger import Judgment, Ledger
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import Revealed, ReviewSession
from hitl_audit.review.simulate import simulate_reviewers

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
