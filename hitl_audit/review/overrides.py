"""How often people decide otherwise than the model: in which direction, for whom, and since
when. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hitl_audit.review.adjusted_difference import (
    MIN_REVIEWERS,
    Compared,
    adjusted_difference,
    rate_of_answers,
)
from hitl_audit.review.estimates import difference_of_rates
from hitl_audit.review.kpi import Item, Kpi, gap, rate_of, share
from hitl_audit.review.reviewed import UNKNOWN, Reviewed
from hitl_audit.review.verdicts import CaseDecision

__all__ = ["agreement_kpis", "drift_kpis", "override_kpis"]

PERIODS = 4


class _Direction(NamedTuple):
    measure: str
    model: str | None  # overrides of this decision; None: of any
    words: str


DIRECTIONS = (
    _Direction(
        "override rate",
        None,
        "cases in which the human decision is not the model's, of those in which people decided",
    ),
    _Direction(
        "override rate, unfavorable to favorable",
        "unfavorable",
        "people granted what the model refused, of the cases it refused",
    ),
    _Direction(
        "override rate, favorable to unfavorable",
        "favorable",
        "people refused what the model granted, of the cases it granted",
    ),
)


def agreement_kpis(data: Reviewed) -> list[Kpi]:
    """Agreement of verdicts, and of blind decisions, with the model: of all and by group."""
    agreed, blind = agreed_cases(data), blind_cases(data)
    found = []
    for group, cases in data.everyone_and_groups():
        for measure, items, words in (
            ("agreement with the model", agreed, "cases in which every reviewer agrees"),
            (
                "blind decision equals the model's",
                blind,
                "cases in which everyone who decided before seeing the model decided as it did",
            ),
        ):
            own = [i for i in items if cases is None or i.case_id in cases]
            found.append(share("agreement", measure, own, data.settings, group=group, words=words))
    return found


def agreed_cases(data: Reviewed) -> list[Item]:
    """Per case with a verdict: every reviewer agrees with the model."""
    votes: dict[str, bool] = {}
    for answer in data.ordinary:
        if answer.verdict is not None:
            votes[answer.case_id] = votes.get(answer.case_id, True) and answer.verdict == "agree"
    return [Item(case, vote, data.chances.get(case, 1.0)) for case, vote in votes.items()]


def blind_cases(data: Reviewed) -> list[Item]:
    """Per case with a blind decision and a verdict: all such decisions equal the model's."""
    votes: dict[str, bool] = {}
    for answer in data.ordinary:
        model = data.model.get(answer.case_id)
        if answer.blind_decision and answer.verdict is not None and model:
            same = answer.blind_decision == model
            votes[answer.case_id] = votes.get(answer.case_id, True) and same
    return [Item(case, vote, data.chances.get(case, 1.0)) for case, vote in votes.items()]


def override_kpis(data: Reviewed) -> list[Kpi]:
    """Override rates by direction, of all and by group, and differences between groups.

    Rates are by case: the human decision (adjudicated, or of the majority)
    against the model's. Differences between groups are by answer, at the same
    score, clustered by reviewer.
    """
    found: list[Kpi] = []
    left_out = (
        f"; {data.undecided} of {len(data.cases)} judged cases have no human decision and are "
        "left out"
        if data.undecided
        else ""
    )
    for direction in DIRECTIONS:
        of = _of_model(data, direction)
        for group, cases in data.everyone_and_groups():
            items = [
                data.item(case, case.decision != data.model[case.case_id])
                for case in data.cases
                if case.decision is not None
                and of(case.case_id)
                and (cases is None or case.case_id in cases)
            ]
            found.append(
                share(
                    "overrides",
                    direction.measure,
                    items,
                    data.settings,
                    group=group,
                    words=direction.words + left_out,
                )
            )
        found.append(_by_reviewer(data, direction))
        found += _between_groups(data, direction)
    return found


def drift_kpis(data: Reviewed) -> list[Kpi]:
    """The override rate over time: in up to four periods of as many cases, and how it moved."""
    settings = data.settings
    decided = sorted(
        (case for case in data.cases if _overrides(data, case) is not None),
        key=lambda case: (case.decided_at, case.case_id),
    )
    measure = "override rate over time"
    number = min(PERIODS, len(decided) // settings.needed())
    found = []
    if number >= 2:
        for place in range(number):
            start, end = (len(decided) * (place + i) // number for i in (0, 1))
            part = decided[start:end]
            span = f"{part[0].decided_at[:10]} to {part[-1].decided_at[:10]}"
            found.append(
                share(
                    "drift",
                    measure,
                    [data.item(case, _overrides(data, case)) for case in part],
                    settings,
                    needed=settings.needed(),
                    group=f"period {place + 1} of {number}: {span}",
                    words="override rate of these cases, in the order they were decided",
                )
            )
    half = len(decided) // 2
    early, late = (
        [data.item(case, _overrides(data, case)) for case in part]
        for part in (decided[:half], decided[half:])
    )
    found.append(
        gap(
            "drift",
            "drift of the override rate",
            difference_of_rates(rate_of(late, settings), rate_of(early, settings)),
            settings,
            group="later half − earlier half",
            needed=settings.needed(),
            weighted=data.weighted,
            words="it may be the people, the model's input or the order of the cases that changed",
        )
    )
    return found


def _by_reviewer(data: Reviewed, direction: _Direction) -> Kpi:
    """Of single answers, with the reviewers as clusters: what to expect of others."""
    of = _of_model(data, direction)
    items = [
        data.item(answer, answer.decision != data.model[answer.case_id])
        for answer in data.ordinary
        if answer.decision is not None and of(answer.case_id)
    ]
    people = len({item.cluster for item in items})
    words = f"of single answers; the interval is about reviewers such as these {people}"
    if items and people < MIN_REVIEWERS:
        words = f"{people} of {MIN_REVIEWERS} reviewers needed to say anything about others"
    return share(
        "overrides",
        f"{direction.measure}, by answer",
        items,
        data.settings,
        unit="answers",
        rate=rate_of_answers(items, data.settings),
        words=words,
    )


def _between_groups(data: Reviewed, direction: _Direction) -> list[Kpi]:
    of = _of_model(data, direction)
    answers = [a for a in data.ordinary if a.decision is not None and of(a.case_id)]
    found = []
    for attribute, reference in data.reference.items():
        members = data.members(attribute)
        for group, cases in members.items():
            if group in (reference, UNKNOWN):
                continue
            compared = [
                Compared(
                    data.item(answer, answer.decision != data.model[answer.case_id]),
                    answer.case_id in cases,
                    data.score.get(answer.case_id),
                )
                for answer in answers
                if answer.case_id in cases or answer.case_id in members[reference]
            ]
            difference, p_value = adjusted_difference(compared, data.settings)
            found.append(
                gap(
                    "overrides",
                    f"{direction.measure}, difference at the same score",
                    difference,
                    data.settings,
                    group=f"{attribute}: {group} − {reference}",
                    unit="answers",
                    weighted=data.weighted,
                    p_value=p_value,
                    test="t test",
                    words="group minus reference; it locates a difference, it proves no cause",
                )
            )
    return found


def _of_model(data: Reviewed, direction: _Direction) -> Callable[[str], bool]:
    """Whether the model's decision on a case is one that this direction is about."""
    return lambda case_id: case_id in data.model and direction.model in (None, data.model[case_id])


def _overrides(data: Reviewed, case: CaseDecision) -> bool | None:
    model = data.model.get(case.case_id)
    if case.decision is None or model is None:
        return None
    return case.decision != model
