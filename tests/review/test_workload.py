"""Time, pace, what waits and who was covered, against closed forms and counting by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hitl_audit.errors import InputError
from hitl_audit.review.kpi import Settings, per_hour, quantile
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.records import Assignment, Escalation, Resolution
from hitl_audit.review.sampling import CaseSample, SampledCase
from hitl_audit.review.workload import moment
from tests.review.review_events import blind, ids, verdict

NEXT = ids()
COMMON: dict[str, Any] = {"plan_digest": "p", "model_digest": "m"}


def review(events: list[Any], cases: int = 20, **options: Any) -> Oversight:
    sampled = tuple(SampledCase(f"c{i}", 0.1, "", "") for i in range(cases))
    return summarise(events, CaseSample("random", 10 * cases, 0, sampled), **options)


def test_the_interval_of_a_median_is_that_of_the_order_statistics() -> None:
    # Ten values: the 2nd and the 9th hold the median with 97.9 %, the textbook example.
    found = quantile("time", "x", list(range(1, 11)), 0.5, Settings())
    assert (found.value, found.low, found.high) == (5.5, 2, 9)
    # Fifteen: the 4th and the 12th hold it with 96.5 %.
    found = quantile("time", "x", list(range(1, 16)), 0.5, Settings())
    assert (found.low, found.high) == (4, 12)


@pytest.mark.parametrize(("level", "n"), [(0.5, 12), (0.5, 101), (0.9, 36), (0.9, 80)])
def test_the_interval_of_a_quantile_is_the_shortest_that_holds(level: float, n: int) -> None:
    found = quantile("time", "x", [float(i) for i in range(1, n + 1)], level, Settings())
    assert found.low is not None
    assert found.high is not None
    below = stats.binom.cdf(found.low - 1, n, level)  # the quantile lies below X(low)
    above = stats.binom.sf(found.high - 1, n, level)
    assert below <= 0.025 < stats.binom.cdf(found.low, n, level)
    assert above <= 0.025 < stats.binom.sf(found.high - 2, n, level)
    assert found.value == pytest.approx(np.quantile(range(1, n + 1), level))


def test_a_high_quantile_needs_more_values() -> None:
    found = quantile("time", "x", [1.0] * 35, 0.9, Settings())
    # 0.9^36 < 0.025 < 0.9^35: with fewer than 36 no order statistic bounds it.
    assert (found.status, found.needed, found.value) == ("insufficient data", 36, None)
    assert quantile("time", "x", [], 0.9, Settings()).status == "not assessed"


def test_answers_per_hour() -> None:
    seconds = [20.0, 40.0] * 10
    found = per_hour("time", "x", seconds, Settings())
    assert found.value == pytest.approx(120)
    reach = stats.t.ppf(0.975, 19) * np.std(seconds, ddof=1) / np.sqrt(20) / 30
    assert found.low == pytest.approx(120 * np.exp(-reach))
    assert found.high == pytest.approx(120 * np.exp(reach))
    assert per_hour("time", "x", [0.0] * 20, Settings()).value is None


def test_time_on_task_is_of_both_steps_together() -> None:
    events = []
    for i in range(20):
        events.append(blind(f"c{i}", "favorable", seconds=1.0))
        events.append(verdict(f"c{i}", "agree", seconds=2.0 if i < 5 else 9.0))
    found = review(events)
    assert found.kpi("seconds per answer, median").value == 10.0
    fast = found.kpi("answered too fast")
    assert (fast.count, fast.n, fast.value) == (5, 20, 0.25)
    assert review(events, too_fast_seconds=3.0).kpi("answered too fast").count == 0
    assert found.kpi("answers per day with answers").value == 20
    untimed = review([verdict(f"c{i}", "agree", seconds=None) for i in range(20)])
    assert untimed.kpi("seconds per answer, median").status == "not assessed"
    assert untimed.kpi("answers per hour on task").status == "not assessed"
    assert untimed.median_seconds is None


def test_escalations_and_abstentions() -> None:
    answers = ["escalate"] * 2 + ["unsure"] * 4 + ["agree"] * 14
    events: list[Any] = [verdict(f"c{i}", answer) for i, answer in enumerate(answers)]
    events += [blind(f"c{i}", "unsure" if i < 8 else "favorable") for i in range(20)]
    raised = escalation("c10", "2026-02-01T00:00:00.000000Z", deadline="2026-02-05")
    done = escalation("c11", "2026-01-01T00:00:00.000000Z")
    settled = Resolution(
        event_id=NEXT(),
        at="2026-02-11T00:00:00.000000Z",
        resolves=done.event_id,
        reviewer="boss",
        role="head",
        outcome="granted",
        rationale="fine",
        **COMMON,
    )
    found = review([*events, raised, done, settled])
    assert found.kpi("escalated").count == 4
    assert found.kpi("abstained").count == 4
    assert found.kpi("abstained before seeing the model").count == 8
    assert found.kpi("no human decision").count == 6
    assert found.kpi("open escalations").value == 1
    assert found.kpi("escalations overdue").value == 1
    assert found.kpi("age of open escalations in days, oldest").value == 10.0
    other = review([*events, raised], model_digest="m", plan_digest="another")
    assert other.status == "not assessed"


def escalation(subject: str, at: str, **changes: Any) -> Escalation:
    if "deadline" in changes:
        changes["deadline"] += "T00:00:00.000000Z"
    return Escalation(
        event_id=NEXT(),
        at=at,
        condition="low confidence",
        subject=subject,
        role="head",
        raised_by="plan",
        **COMMON,
        **changes,
    )


def assignment(*cases: str, at: str, takes_back: bool = False, due: str = "") -> Assignment:
    return Assignment(
        event_id=NEXT(),
        at=at,
        reviewer="r1",
        tasks=tuple((case, "ordinary", due) for case in cases),
        by="plan",
        takes_back=takes_back,
        **COMMON,
    )


def test_backlog_is_what_was_assigned_and_not_answered() -> None:
    events = [
        assignment("c0", "c1", "c2", "c3", at="2026-01-01T00:00:00.000000Z"),
        assignment("c4", "c5", at="2026-01-21T00:00:00.000000Z", due="2026-01-25T00:00:00.000000Z"),
        assignment("c3", at="2026-01-22T00:00:00.000000Z", takes_back=True),
        verdict("c0", "agree", at="2026-01-23T00:00:00.000000Z"),
        blind("c1", "favorable", at="2026-01-23T00:00:00.000000Z"),  # not answered yet
        verdict("c2", "agree", "r2", at="2026-01-23T00:00:00.000000Z"),  # by somebody else
    ]
    now = datetime(2026, 1, 31, tzinfo=UTC)
    found = review(events, now=now)
    backlog = found.kpi("backlog")
    assert (backlog.value, backlog.n, backlog.unit) == (4, 5, "tasks")  # c1, c2, c4, c5
    assert found.kpi("backlog age in days, median").value == 20.0  # 30, 30, 10, 10
    assert found.kpi("backlog age in days, oldest").value == 30.0
    assert found.kpi("backlog overdue").value == 2
    earlier = review(events)  # as of the last event
    assert earlier.kpi("backlog overdue").value == 0
    assert earlier.kpi("backlog age in days, oldest").value == 22.0


def test_without_assignments_the_backlog_is_what_nobody_judged() -> None:
    found = review([verdict("c0", "agree"), blind("c1", "favorable")])
    assert (found.kpi("backlog").value, found.kpi("backlog").n) == (19, 20)


def test_coverage_by_group() -> None:
    groups = {"sex": {f"c{i}": "f" if i < 5 else "m" for i in range(19)}}
    found = review([verdict(f"c{i}", "agree") for i in range(12)], groups=groups)
    every = found.kpi("drawn cases judged")
    assert (every.count, every.n, every.value) == (12, 20, 0.6)
    assert found.kpi("drawn cases judged", "sex: f").value == 1.0
    assert found.kpi("drawn cases judged", "sex: m").value == 0.5
    assert found.kpi("drawn cases judged", "sex: unknown").n == 1


def test_a_time_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="got the time 'yesterday'"):
        moment("yesterday")
