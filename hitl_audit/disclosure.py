"""What a plan lets out of the house about the people of a review; nothing unless it says so.

A document knows cases and reviewers by numbers, and quotes nobody. A plan may
allow more under ``[publication]``: who the reviewers are, what they wrote, and
the judged cases one by one. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hitl_audit.evidence import DisclosedCase, DisclosedWords, Disclosure
from hitl_audit.plan_sections import PublicationSection
from hitl_audit.review.case_answers import Answers
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.records import Reviewer
from hitl_audit.review.reviewer_rows import aliases
from hitl_audit.review.sampling import CaseSample

__all__ = ["disclosure_of"]


def disclosure_of(
    events: Sequence[Event],
    answers: Answers,
    sample: CaseSample,
    terms: PublicationSection,
    *,
    groups: Mapping[str, Mapping[str, str]],
    scores: Mapping[str, float],
    decisions: Mapping[str, str],
) -> Disclosure:
    """What the plan allows to be said of the judgments that stand.

    Args:
        events: of the ledger, in order; words that were redacted are empty and stay out.
        answers: the judgments that stand, of this plan and model.
        sample: the cases that were drawn; hidden controls are none of them.
        terms: what the plan allows.
        groups: attribute → case → group.
        scores, decisions: the model's, by case.
    """
    alias = aliases(answers)
    return Disclosure(
        names=_names(events, alias) if terms.reviewer_names else (),
        words=_words(events, answers, alias) if terms.free_text else (),
        cases=_cases(answers, alias, sample, groups, scores, decisions) if terms.rows else (),
        attributes=tuple(groups) if terms.rows else (),
    )


def _names(events: Sequence[Event], alias: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    latest = {e.reviewer: e.name for e in events if isinstance(e, Reviewer)}
    # Where no name was recorded, the reviewer signed in under the id itself.
    named = ((number, latest.get(person, person) or person) for person, number in alias.items())
    return tuple(named)


def _words(
    events: Sequence[Event], answers: Answers, alias: Mapping[str, str]
) -> tuple[DisclosedWords, ...]:
    standing = {answer.verdict_id for answer in answers.answers}
    found = []
    for event in events:
        if isinstance(event, Judgment) and event.event_id in standing:
            said = (event.rationale, event.note)
            found += _said(event.case_id, alias[event.reviewer], event.answer, said)
    for one in answers.adjudications:
        found += _said(one.case_id, "the third person", one.answer, (one.rationale,))
    return tuple(found)


def _said(case: str, who: str, answer: str, words: Sequence[str]) -> list[DisclosedWords]:
    return [DisclosedWords(case, who, answer, text.strip()) for text in words if text.strip()]


def _cases(
    answers: Answers,
    alias: Mapping[str, str],
    sample: CaseSample,
    groups: Mapping[str, Mapping[str, str]],
    scores: Mapping[str, float],
    decisions: Mapping[str, str],
) -> tuple[DisclosedCase, ...]:
    said: dict[str, list[tuple[str, str]]] = {}
    for answer in answers.answers:
        if answer.task == "ordinary" and answer.verdict is not None:
            said.setdefault(answer.case_id, []).append((alias[answer.reviewer], answer.verdict))
    return tuple(
        DisclosedCase(
            case_id=case,
            groups=tuple(by_case.get(case, "") for by_case in groups.values()),
            score=scores.get(case),
            decision=decisions.get(case, ""),
            verdicts=tuple(said[case]),
        )
        for case in sample.case_ids
        if case in said
    )
