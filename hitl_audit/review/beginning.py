"""A planned review begins: people join, cases are assigned, and both are on record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hitl_audit.errors import InputError
from hitl_audit.review.assignment import AssignmentPlan, assign_cases
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import Assignment
from hitl_audit.review.reviewers import join, record_once
from hitl_audit.review.sampling import CaseSample

__all__ = ["Person", "begin_review"]


@dataclass(frozen=True)
class Person:
    """Somebody who will judge.

    Attributes:
        name: of the person.
        role: as what they judge.
        competence: why they are able to.
        authority: what they may decide.
    """

    name: str
    role: str = "domain expert"
    competence: str = ""
    authority: str = ""


def begin_review(
    ledger: Ledger,
    sample: CaseSample,
    people: Sequence[Person],
    *,
    plan_digest: str,
    model_digest: str,
    pseudonyms: bool = False,
    reviewers_per_case: int = 2,
    overlap: float = 1.0,
    gold: Iterable[str] = (),
    planted: float | Iterable[str] = 0.0,
    repeats: float = 0.0,
    due_days: float | None = None,
    random_state: int = 0,
    simulated: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AssignmentPlan:
    """Let everybody join, and give the cases to them, once per plan and model.

    Calling it again, here or in another process, records nothing new; the due
    time stays that of the first call.

    Args:
        ledger: of the review.
        sample: the cases.
        people: who judges.
        plan_digest, model_digest: what is reviewed.
        pseudonyms: see :func:`~hitl_audit.review.reviewers.join`.
        reviewers_per_case, overlap, gold, planted, repeats, random_state: see
            :func:`~hitl_audit.review.assignment.assign_cases`.
        due_days: until how many days from now; ``None``: no due time.
        simulated: programs, not people.
        now: the clock.

    Returns:
        The plan as it is on record.

    Raises:
        InputError: nobody, somebody twice, or a plan that cannot be, and nothing is
            recorded; or the ledger has another assignment under this plan and
            model, for example because the data have changed.
    """
    names = [" ".join(person.name.split()).casefold() for person in people]
    if len(set(names)) < len(names):
        raise InputError("review: somebody is named twice; expected everybody once")
    if due_days is not None and not 0 < due_days <= 3650:
        raise InputError(f"review: due_days is {due_days}; expected above 0, at most 3650")
    gold, planted = tuple(gold), planted if isinstance(planted, int | float) else tuple(planted)

    def plan_for(reviewers: Sequence[str], due: datetime | None) -> AssignmentPlan:
        return assign_cases(
            sample,
            reviewers,
            reviewers_per_case=reviewers_per_case,
            overlap=overlap,
            gold=gold,
            planted=planted,
            repeats=repeats,
            due=due,
            random_state=random_state,
        )

    plan_for([person.name for person in people], None)  # refused before anybody joins
    ids = [
        join(
            ledger,
            person.name,
            person.role,
            person.competence,
            person.authority,
            plan_digest=plan_digest,
            model_digest=model_digest,
            pseudonym=pseudonyms,
            simulated=simulated,
            now=now,
        )
        for person in people
    ]
    moment = now()
    due = None if due_days is None else moment + timedelta(days=due_days)
    plan = plan_for(ids, due)
    given = {"plan_digest": plan_digest, "model_digest": model_digest}
    events = plan.events(at=moment, **given, simulated=simulated)
    record_once(ledger, events)
    first = ledger.find(events[0].event_id)
    if first is not None and isinstance(first[1], Assignment) and first[1].tasks[0][2]:
        # The due time is that of whoever came first.
        plan = plan_for(ids, datetime.fromisoformat(first[1].tasks[0][2]))
    _check_recorded(ledger, plan.events(at=moment, **given, simulated=simulated))
    return plan


def _check_recorded(ledger: Ledger, events: Sequence[Assignment]) -> None:
    for event in events:
        found = ledger.find(event.event_id)
        there = found[1] if found is not None else None
        if not isinstance(there, Assignment) or there.tasks != event.tasks:
            raise InputError(
                f"review: {event.reviewer} has another assignment under this plan and model; "
                "people, cases or data have changed. Register a new plan, or give cases to "
                "others one by one"
            )
