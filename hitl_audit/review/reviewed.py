"""Everything the numbers about oversight are made from, put together once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hitl_audit.errors import InputError
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import DECISIONS
from hitl_audit.review.kpi import Item, Settings
from hitl_audit.review.sampling import CaseSample
from hitl_audit.review.verdicts import Answer, Answers, CaseDecision, Excluded, standing_answers

__all__ = ["UNKNOWN", "Reviewed", "reviewed"]

UNKNOWN = "unknown"
"""The group of a case whose group is missing: listed, never compared."""

OTHER_DECISION = "was shown another decision than the model's"


@dataclass(frozen=True)
class Reviewed:
    """What people answered, beside what is known about the cases.

    Attributes:
        answers: all that stand.
        ordinary: those that enter rates.
        cases: the human decision on each case that has a verdict.
        chances: case → π, of every case drawn by chance.
        truth, model: case → ``"favorable"`` or ``"unfavorable"``: the right
            decision, and the model's.
        score: case → the model's score.
        groups: attribute → case → group, for the drawn cases.
        reference: attribute → the group others are compared with.
        settings: how numbers are made.
    """

    answers: Answers
    ordinary: tuple[Answer, ...]
    cases: tuple[CaseDecision, ...]
    chances: Mapping[str, float]
    truth: Mapping[str, str]
    model: Mapping[str, str]
    score: Mapping[str, float]
    groups: Mapping[str, Mapping[str, str]]
    reference: Mapping[str, str]
    settings: Settings

    def item(self, answer: Answer | CaseDecision, yes: object) -> Item:
        """A unit of a share."""
        reviewer = answer.reviewer if isinstance(answer, Answer) else ""
        return Item(answer.case_id, bool(yes), self.chances.get(answer.case_id, 1.0), reviewer)

    @property
    def weighted(self) -> bool:
        """The chances of the drawn cases differ, so cases count 1/π."""
        chances = list(self.chances.values())
        return bool(chances) and max(chances) - min(chances) > 1e-9 * max(chances)

    @property
    def undecided(self) -> int:
        """Judged cases without a human decision: in a tie, or nobody decided."""
        return sum(case.decision is None for case in self.cases)

    def members(self, attribute: str) -> dict[str, set[str]]:
        """Group → its drawn cases, the known groups sorted, the unknown one last."""
        found: dict[str, set[str]] = {}
        for case_id, group in self.groups[attribute].items():
            found.setdefault(group, set()).add(case_id)
        names = sorted(found, key=lambda name: (name == UNKNOWN, name))
        return {name: found[name] for name in names}

    def everyone_and_groups(self) -> list[tuple[str, set[str] | None]]:
        """``("", None)`` for all, then every group as ``("race: black", its cases)``."""
        named: list[tuple[str, set[str] | None]] = [("", None)]
        for attribute in self.groups:
            named += [(f"{attribute}: {g}", cases) for g, cases in self.members(attribute).items()]
        return named


def reviewed(
    events: Iterable[Event],
    sample: CaseSample,
    *,
    truth: Mapping[str, int] | None,
    groups: Mapping[str, Mapping[str, str]],
    reference: Mapping[str, str] | None,
    model_decision: Mapping[str, str] | None,
    model_score: Mapping[str, float] | None,
    model_digest: str | None,
    plan_digest: str | None,
    settings: Settings,
) -> Reviewed:
    """Put together what stands and what is known.

    Raises:
        InputError: a truth that is not 0 or 1, a decision that is none, or a
            reference that is no group of the drawn cases.
    """
    known = _truth(truth or {})
    decided = _decisions(model_decision or {})
    answers = standing_answers(events, sample, model_digest=model_digest, plan_digest=plan_digest)
    answers = _as_the_model_decided(answers, decided)
    cases = answers.cases()
    chances = {
        case.case_id: case.inclusion_probability
        for case in sample.cases
        if case.inclusion_probability is not None
    }
    shown = {c.case_id: c.model_decision for c in cases if c.model_decision is not None}
    scores = {c.case_id: c.model_score for c in cases if c.model_score is not None}
    by_attribute = {
        str(attribute): {case: _group(of_case.get(case)) for case in chances}
        for attribute, of_case in groups.items()
    }
    return Reviewed(
        answers=answers,
        ordinary=answers.of_task("ordinary"),
        cases=tuple(case for case in cases if case.reviewers or case.how == "adjudicated"),
        chances=chances,
        truth=known,
        model=shown | decided,
        score=scores | {str(case): float(value) for case, value in (model_score or {}).items()},
        groups=by_attribute,
        reference=_references(by_attribute, reference or {}),
        settings=settings,
    )


def _truth(truth: Mapping[str, int]) -> dict[str, str]:
    known = {}
    for case_id, label in truth.items():
        if label not in (0, 1):
            raise InputError(
                f"truth of case {case_id} is {label!r}; accepted: 1, the favorable decision is "
                "right, or 0; leave a case out whose truth is not known"
            )
        known[str(case_id)] = DECISIONS[0] if label else DECISIONS[1]
    return known


def _decisions(decisions: Mapping[str, str]) -> dict[str, str]:
    for case_id, decision in decisions.items():
        if decision not in DECISIONS:
            raise InputError(
                f"model_decision of case {case_id} is {decision!r}; "
                f"accepted: {', '.join(DECISIONS)}"
            )
    return {str(case_id): decision for case_id, decision in decisions.items()}


def _as_the_model_decided(answers: Answers, decided: Mapping[str, str]) -> Answers:
    """Leave out ordinary answers to a decision that was not the model's."""
    kept, left_out = [], list(answers.excluded)
    for answer in answers.answers:
        shown = answer.model_decision
        if answer.task == "ordinary" and shown and decided.get(answer.case_id, shown) != shown:
            why = OTHER_DECISION
            left_out.append(Excluded(answer.verdict_id, "judgment", answer.case_id, why))
        else:
            kept.append(answer)
    return replace(answers, answers=tuple(kept), excluded=tuple(left_out))


def _group(value: object) -> str:
    # By their text: pd.NA has no truth value, and NaN comes in several types.
    return UNKNOWN if value is None or str(value) in ("nan", "NaT", "<NA>", "") else str(value)


def _references(
    groups: Mapping[str, Mapping[str, str]], given: Mapping[str, str]
) -> dict[str, str]:
    """The reference of each attribute: as given, or the largest group (ties by name)."""
    for attribute in given:
        if attribute not in groups:
            raise InputError(
                f'reference names the attribute "{attribute}"; accepted: {", ".join(groups)}'
            )
    found = {}
    for attribute, of_case in groups.items():
        sizes: dict[str, int] = {}
        for group in of_case.values():
            sizes[group] = sizes.get(group, 0) + 1
        names = sorted(name for name in sizes if name != UNKNOWN)
        if (wanted := given.get(attribute)) is not None and wanted not in names:
            raise InputError(
                f'reference["{attribute}"] is "{wanted}"; accepted: {", ".join(names)}'
            )
        if names:
            found[attribute] = wanted or max(names, key=lambda name: sizes[name])
    return found
