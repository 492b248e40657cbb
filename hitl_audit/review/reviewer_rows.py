"""Reviewers side by side, under numbers instead of names. Pure.

Reviewers are called ``"reviewer 1"`` and so on, in the order of their first
answer: a document leaves the house, and an id may be a name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median

from hitl_audit.review.decision_quality import repeated
from hitl_audit.review.estimates import MIN_CASES, weighted_rate
from hitl_audit.review.judgment import ANSWERS
from hitl_audit.review.kpi import Item, rate_of
from hitl_audit.review.paired_effect import Figure
from hitl_audit.review.reviewed import Reviewed
from hitl_audit.review.verdicts import Answer, Answers

__all__ = ["ReviewerRow", "aliases", "reviewer_rows"]


@dataclass(frozen=True)
class ReviewerRow:
    """What one reviewer's answers come to; unweighted, about this reviewer only.

    Attributes:
        reviewer: the number under which the reviewer appears.
        answers: ordinary answers with a verdict.
        verdicts: ``(verdict, number)``.
        overrides: share of the decisions that are not the model's.
        override_n: decisions.
        median_seconds: on one case; ``None`` if nothing was timed.
        too_fast: answers given faster than the floor; ``timed`` were timed.
        peers: mean share of the other reviewers of a case who decided the same.
        peer_cases: cases on which somebody else decided too.
        accuracy: share of right decisions, where the truth is known.
        truth_n: decisions whose truth is known, of ``override_n``.
        gold: ``(right, answered)`` on hidden gold cases.
        planted: ``(caught, answered)`` on planted errors.
        repeats: ``(same, answered)`` on cases judged twice.
        simulated: at least one answer was made by a program.
    """

    reviewer: str
    answers: int
    verdicts: tuple[tuple[str, int], ...]
    overrides: Figure
    override_n: int
    median_seconds: float | None
    too_fast: int
    timed: int
    peers: Figure
    peer_cases: int
    accuracy: Figure
    truth_n: int
    gold: tuple[int, int]
    planted: tuple[int, int]
    repeats: tuple[int, int]
    simulated: bool


def aliases(answers: Answers) -> dict[str, str]:
    """Reviewer id → the number under which a document calls them; stays in the house."""
    ids = dict.fromkeys(answer.reviewer for answer in answers.answers)
    return {reviewer: f"reviewer {place}" for place, reviewer in enumerate(ids, start=1)}


def reviewer_rows(data: Reviewed) -> tuple[ReviewerRow, ...]:
    """One row per reviewer."""
    answers: dict[str, list[Answer]] = {}
    for answer in data.answers.answers:
        answers.setdefault(answer.reviewer, []).append(answer)
    of_case: dict[str, list[tuple[str, str]]] = {}
    for answer in data.ordinary:
        if answer.decision is not None:
            of_case.setdefault(answer.case_id, []).append((answer.reviewer, answer.decision))
    again: dict[str, list[bool]] = {}
    for answer, same in repeated(data):
        again.setdefault(answer.reviewer, []).append(same)
    return tuple(
        _row(data, alias, answers[reviewer], of_case, again.get(reviewer, []))
        for reviewer, alias in aliases(data.answers).items()
    )


def _row(
    data: Reviewed,
    alias: str,
    own: list[Answer],
    of_case: dict[str, list[tuple[str, str]]],
    repeats: list[bool],
) -> ReviewerRow:
    verdicts = [a for a in own if a.task == "ordinary" and a.verdict is not None]
    decided = [a for a in verdicts if a.decision is not None]
    compared = [a for a in decided if a.case_id in data.model]
    known = [a for a in decided if a.case_id in data.truth]
    seconds = [a.seconds for a in verdicts if a.seconds is not None]
    floor = data.settings.too_fast_seconds
    gold = [
        a.decision == data.truth[a.case_id]
        for a in own
        if a.task == "gold" and a.decision is not None and a.case_id in data.truth
    ]
    planted = [
        a.verdict in ("disagree", "escalate")
        for a in own
        if a.task == "planted" and a.verdict is not None
    ]
    counted = Counter(a.verdict for a in verdicts)
    peers = _peers(decided, of_case, own[0].reviewer)
    return ReviewerRow(
        reviewer=alias,
        answers=len(verdicts),
        verdicts=tuple((name, counted[name]) for name in ANSWERS["final"]),
        overrides=_figure(data, [(a, a.decision != data.model[a.case_id]) for a in compared]),
        override_n=len(compared),
        median_seconds=median(seconds) if seconds else None,
        too_fast=sum(value < floor for value in seconds),
        timed=len(seconds),
        peers=_mean(peers, data.settings.confidence),
        peer_cases=len(peers),
        accuracy=_figure(data, [(a, a.decision == data.truth[a.case_id]) for a in known]),
        truth_n=len(known),
        gold=(sum(gold), len(gold)),
        planted=(sum(planted), len(planted)),
        repeats=(sum(repeats), len(repeats)),
        simulated=any(a.simulated for a in own),
    )


def _peers(
    decided: list[Answer], of_case: dict[str, list[tuple[str, str]]], reviewer: str
) -> list[float]:
    """Per case of this reviewer with other decisions: the share of them that are the same."""
    shares = []
    for answer in decided:
        others = [said for who, said in of_case[answer.case_id] if who != reviewer]
        if others:
            shares.append(sum(said == answer.decision for said in others) / len(others))
    return shares


def _figure(data: Reviewed, votes: list[tuple[Answer, bool]]) -> Figure:
    rate = rate_of([Item(a.case_id, yes) for a, yes in votes], data.settings)
    return Figure(rate.value, rate.low, rate.high)


def _mean(shares: list[float], confidence: float) -> Figure:
    if len(shares) < MIN_CASES:
        return Figure()
    ones = [1.0] * len(shares)
    rate = weighted_rate(shares, ones, confidence=confidence, finite_population=False)
    return Figure(rate.value, rate.low, rate.high)
