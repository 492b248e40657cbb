"""A review as it stands at one moment: its numbers, its register, and who is how far. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hitl_audit.canonical import utc_text
from hitl_audit.evidence import ReviewRecord
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Adjudication, Judgment, Withdrawal
from hitl_audit.review.oversight import Oversight
from hitl_audit.review.records import Assignment
from hitl_audit.review.reviewer_rows import aliases
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.verdicts import standing_answers

__all__ = ["Cases", "Seen", "Tasks", "Work", "work_of"]

RECENT = 6


@dataclass(frozen=True)
class Cases:
    """How far the drawn cases are.

    Attributes:
        full: with as many verdicts as the plan wants, or decided by a third person.
        begun: with a verdict, and not yet as many.
        untouched: without a verdict.
        differ: on which the decisions of the reviewers differ, of those judged.
        settled: on which a third person decided.
    """

    full: int
    begun: int
    untouched: int
    differ: int
    settled: int


@dataclass(frozen=True)
class Tasks:
    """The tasks of one reviewer, under a number: given, still waiting, and past their due time."""

    reviewer: str
    given: int
    waiting: int
    overdue: int


@dataclass(frozen=True)
class Work:
    """Who is how far, without names.

    Attributes:
        cases: the drawn cases.
        tasks: of each reviewer who answered something and to whom tasks were given.
        not_begun: people to whom tasks were given and who have answered nothing.
        last: UTC text of the last answer, ``""`` without one.
        recent: ``(UTC text, words)`` of the last answers, newest first.
    """

    cases: Cases
    tasks: tuple[Tasks, ...]
    not_begun: int
    last: str
    recent: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Seen:
    """A review at one moment.

    Attributes:
        oversight: every number, as ``audit.oversight()`` has them.
        record: reviewers and escalations, without names.
        work: who is how far.
        events: number of the last record of the ledger; 0 without one.
    """

    oversight: Oversight
    record: ReviewRecord
    work: Work
    events: int


def work_of(
    events: Sequence[Event],
    sample: CaseSample,
    *,
    model_digest: str,
    plan_digest: str,
    now: datetime,
    per_case: int,
) -> Work:
    """Who is how far, of the answers on this model under this plan.

    Args:
        events: all events of the ledger, in order.
        sample: the drawn cases.
        model_digest, plan_digest: what counts.
        now: tasks due before it are overdue.
        per_case: verdicts that the plan wants on a case.
    """
    ours = [e for e in events if (e.model_digest, e.plan_digest) == (model_digest, plan_digest)]
    answers = standing_answers(events, sample, model_digest=model_digest, plan_digest=plan_digest)
    alias = aliases(answers)
    drawn = set(sample.case_ids)
    judged = [c for c in answers.cases() if c.case_id in drawn and c.reviewers]
    full = sum(c.reviewers >= per_case or c.how == "adjudicated" for c in judged)
    votes: dict[str, set[str]] = {}
    for answer in answers.of_task("ordinary"):
        if answer.decision is not None:
            votes.setdefault(answer.case_id, set()).add(answer.decision)
    given: dict[tuple[str, str, str], str] = {}
    for event in ours:
        if isinstance(event, Assignment):
            for case_id, task, due in event.tasks:
                if event.takes_back:
                    given.pop((event.reviewer, case_id, task), None)
                else:
                    given[event.reviewer, case_id, task] = due
    done = {(a.reviewer, a.case_id, a.task) for a in answers.answers if a.verdict}
    waiting = {task: due for task, due in given.items() if task not in done}
    moment = utc_text(now)
    number = Counter(who for who, *_ in given)
    left = Counter(who for who, *_ in waiting)
    late = Counter(who for (who, *_), due in waiting.items() if due and due < moment)
    said = [e for e in ours if isinstance(e, Judgment | Adjudication | Withdrawal)]
    return Work(
        cases=Cases(
            full=full,
            begun=len(judged) - full,
            untouched=len(drawn) - len(judged),
            differ=sum(len(votes.get(c.case_id, ())) > 1 for c in judged),
            settled=sum(c.how == "adjudicated" for c in judged),
        ),
        tasks=tuple(
            Tasks(name, number[who], left[who], late[who])
            for who, name in alias.items()
            if who in number
        ),
        not_begun=sum(who not in alias for who in number),
        last=max((e.at for e in said), default=""),
        recent=tuple((e.at, _words(e, alias)) for e in reversed(said[-RECENT:])),
    )


def _words(event: Judgment | Adjudication | Withdrawal, alias: dict[str, str]) -> str:
    """What was done, never what was answered: those who still judge may be looking on."""
    if isinstance(event, Adjudication):
        return f"A third person decided on {event.case_id}"
    if isinstance(event, Withdrawal):
        return f"{_name(event.reviewer, alias)} took an answer back"
    what = {"blind": "answered before seeing the model on", "correction": "corrected a verdict on"}
    done = what.get(event.phase, "gave a verdict on")
    return f"{_name(event.reviewer, alias)} {done} {event.case_id}"


def _name(reviewer: str, alias: dict[str, str]) -> str:
    name = alias.get(reviewer, "somebody")
    return name[:1].upper() + name[1:]
