"""What reviewing takes: time, pace, what waits, what was passed on, who was covered. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.kpi import Item, Kpi, counted, per_hour, quantile, share
from hitl_audit.review.records import Assignment, Escalation, Resolution
from hitl_audit.review.reviewed import Reviewed

__all__ = ["coverage_kpis", "flow_kpis", "moment", "time_kpis"]

DAY = 86_400.0


def moment(text: str) -> datetime:
    """A time from UTC text.

    Raises:
        InputError: it is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"got the time {text!r}; expected UTC text") from None


def time_kpis(data: Reviewed) -> list[Kpi]:
    """Time on task and pace, of answers with a verdict; about these answers, unweighted."""
    settings = data.settings
    answers = [a for a in data.ordinary if a.verdict is not None]
    timed = [(a, a.seconds) for a in answers if a.seconds is not None]
    seconds = [value for _, value in timed]
    fast = [Item(a.case_id, value < settings.too_fast_seconds) for a, value in timed]
    measured = f"all steps of one reviewer on one case; {len(timed)} of {len(answers)} were timed"
    floor = f"answers given in less than {settings.too_fast_seconds:g} seconds"
    days = {a.verdict_at[:10] for a in answers}
    return [
        quantile("time", "seconds per answer, median", seconds, 0.5, settings, words=measured),
        quantile(
            "time", "seconds per answer, 90th percentile", seconds, 0.9, settings, words=measured
        ),
        share("time", "answered too fast", fast, settings, unit="answers", words=floor),
        per_hour("time", "answers per hour on task", seconds, settings, words=measured),
        counted(
            "time",
            "answers per day with answers",
            len(answers) / len(days) if days else None,
            n=len(days),
            unit="days",
            count=len(answers),
            words="all reviewers together, by UTC date",
        ),
    ]


def flow_kpis(data: Reviewed, events: Iterable[Event], now: datetime | None) -> list[Kpi]:
    """What was passed on, abstained from or left undecided, and what still waits."""
    events = tuple(events)
    settings = data.settings
    raised = [event for event in events if isinstance(event, Escalation)]
    about = {event.subject for event in raised}
    sent_up = about | {a.case_id for a in data.ordinary if a.verdict == "escalate"}
    verdicts = [a for a in data.ordinary if a.verdict is not None]
    blind = [a for a in data.ordinary if a.blind is not None]
    cases = [case for case in data.cases if case.reviewers]
    found = [
        share(
            "flow",
            "escalated",
            [data.item(case, case.case_id in sent_up) for case in cases],
            settings,
            words="cases that a reviewer, or a condition of the plan, sent to somebody else",
        ),
        share(
            "flow",
            "abstained",
            [data.item(a, a.verdict == "unsure") for a in verdicts],
            settings,
            unit="answers",
            words="verdicts “unsure”",
        ),
        share(
            "flow",
            "abstained before seeing the model",
            [data.item(a, a.blind == "unsure") for a in blind],
            settings,
            unit="answers",
            words="blind answers “unsure”",
        ),
        share(
            "flow",
            "no human decision",
            [data.item(case, case.decision is None) for case in cases],
            settings,
            words="judged cases that ended in a tie, or in which nobody decided",
        ),
    ]
    # UTC text with microseconds sorts as time does.
    latest = now or (moment(max(event.at for event in events)) if events else None)
    return found + _waiting(data, events, latest) + _open_escalations(events, latest)


def coverage_kpis(data: Reviewed) -> list[Kpi]:
    """Share of the drawn cases that have a verdict, of all and by group; known completely."""
    judged = {case.case_id for case in data.cases if case.reviewers}
    found = []
    for group, cases in data.everyone_and_groups():
        drawn = set(data.chances) if cases is None else cases
        done = len(drawn & judged)
        found.append(
            counted(
                "coverage",
                "drawn cases judged",
                done / len(drawn) if drawn else None,
                n=len(drawn),
                group=group,
                count=done,
                words="if judged cases differ from the others, every rate is off by that",
            )
        )
    return found


def _waiting(data: Reviewed, events: tuple[Event, ...], latest: datetime | None) -> list[Kpi]:
    """Assigned tasks without a verdict; without assignments, drawn cases without one."""
    given: dict[tuple[str, str, str], tuple[datetime, str]] = {}
    assigned = False
    for event in events:
        if isinstance(event, Assignment):
            assigned = True
            for case_id, task, due in event.tasks:
                if event.takes_back:
                    given.pop((case_id, event.reviewer, task), None)
                else:
                    given[case_id, event.reviewer, task] = (moment(event.at), due)
    done = {(a.case_id, a.reviewer, a.task) for a in data.answers.answers if a.verdict}
    if not assigned:
        judged = {case.case_id for case in data.cases if case.reviewers}
        number = len(set(data.chances) - judged)
        words = "drawn cases without a verdict; nobody was assigned, so they have no age"
        return [counted("flow", "backlog", number, n=len(data.chances), words=words)]
    waiting = {key: value for key, value in given.items() if key not in done}
    ages = [(latest - since).total_seconds() / DAY for since, _ in waiting.values() if latest]
    late = [due for _, due in waiting.values() if due and latest and moment(due) < latest]
    n, words = len(given), "assigned and not taken back, without a verdict"
    return [
        counted("flow", "backlog", len(waiting), n=n, unit="tasks", words=words),
        _age("backlog age in days, median", ages, 0.5, "tasks"),
        _age("backlog age in days, oldest", ages, 1.0, "tasks"),
        counted(
            "flow", "backlog overdue", len(late), n=n, unit="tasks", words="past their due time"
        ),
    ]


def _open_escalations(events: tuple[Event, ...], latest: datetime | None) -> list[Kpi]:
    settled = {event.resolves for event in events if isinstance(event, Resolution)}
    raised = [event for event in events if isinstance(event, Escalation)]
    waiting = [event for event in raised if event.event_id not in settled]
    late = [e for e in waiting if e.deadline and latest and moment(e.deadline) < latest]
    ages = [(latest - moment(e.at)).total_seconds() / DAY for e in waiting if latest]
    unit = "escalations"
    return [
        counted("flow", "open escalations", len(waiting), n=len(raised), unit=unit),
        counted("flow", "escalations overdue", len(late), n=len(raised), unit=unit),
        _age("age of open escalations in days, oldest", ages, 1.0, unit),
    ]


def _age(measure: str, ages: list[float], level: float, unit: str) -> Kpi:
    import numpy as np

    value = float(np.quantile(ages, level)) if ages else None
    return counted("flow", measure, value, n=len(ages), unit=unit, words="at the time of counting")
