"""The questions a review can be planned for, each answered by a number and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hitl_audit.review.sample_sizes import (
    EXACT_UP_TO,
    limit_if_none,
    margin_of,
    power_of_difference,
    power_of_pairs,
    raised,
    size_for_difference,
    size_for_margin,
    size_for_none,
    size_for_pairs,
    smallest_difference,
    within,
)

__all__ = ["Answer", "Terms", "buys", "needs"]


@dataclass(frozen=True)
class Answer:
    """What one question needs, or what a number of cases shows about it.

    Attributes:
        question: in words.
        cases: judged cases, in all.
        per_group: judged cases by group, as ``(group, cases)``.
        value: what so many cases show: a margin, a rate, or a power.
        method: name of the formula.
        words: the answer in one sentence.
    """

    question: str
    cases: int
    per_group: tuple[tuple[str, int], ...]
    value: float | None
    method: str
    words: str


@dataclass(frozen=True)
class Terms:
    """What all questions share; the arguments of :func:`planner.plan_review`."""

    confidence: float
    power: float
    population: int | None
    design_effect: float
    shares: tuple[tuple[str, float], ...]
    equal_groups: bool


def needs(
    terms: Terms,
    rate: float | None,
    margin: float | None,
    compare: tuple[float, float] | None,
    changes: tuple[float, float] | None,
    at_most: float | None,
) -> tuple[Answer, ...]:
    """How many judged cases each question needs; ``None`` for one that is not asked."""
    answers = []
    sure, deff, population = terms.confidence, terms.design_effect, terms.population
    if margin is not None:
        p = 0.5 if rate is None else rate
        n = size_for_margin(p, margin, confidence=sure, population=population, design_effect=deff)
        answers.append(
            Answer(
                question=f"a rate of {p:.1%} to ± {margin:.1%}",
                cases=n,
                per_group=(),
                value=margin,
                method="Wald" if population is None else "Wald, finite population",
                words=f"To know a rate of {p:.1%} to ± {margin:.1%} with {sure:.0%} confidence, "
                f"{n:,} cases have to be judged.",
            )
        )
    if compare is not None:
        answers.append(_comparison(terms, compare))
    if changes is not None:
        found = raised(
            size_for_pairs(*changes, confidence=sure, power=terms.power),
            lambda n: power_of_pairs(*changes, n, confidence=sure),
            terms.power,
        )
        n = math.ceil(deff * found - 1e-9)
        reached = _power_of_pairs(terms, changes, n)
        answers.append(
            Answer(
                question=f"changes of {changes[0]:.1%} one way and {changes[1]:.1%} the other",
                cases=n,
                per_group=(),
                value=reached,
                method="McNemar, Connor's size",
                words=f"To show that review turns {changes[0]:.1%} of cases one way and "
                f"{changes[1]:.1%} the other, {n:,} cases have to be judged"
                f"{_with_power(terms, reached)}.",
            )
        )
    if at_most is not None:
        n = math.ceil(deff * size_for_none(at_most, confidence=sure, population=population) - 1e-9)
        answers.append(
            Answer(
                question=f"at most {at_most:.1%} wrong",
                cases=n,
                per_group=(),
                value=at_most,
                method="exact, one-sided",
                words=f"To show with {sure:.0%} confidence that at most {at_most:.1%} are wrong, "
                f"{n:,} cases have to be judged and none may be wrong.",
            )
        )
    return tuple(answers)


def _comparison(terms: Terms, compare: tuple[float, float]) -> Answer:
    size = terms.design_effect * raised(
        size_for_difference(*compare, confidence=terms.confidence, power=terms.power),
        lambda n: power_of_difference(*compare, n, n, confidence=terms.confidence),
        terms.power,
    )
    shares = dict(terms.shares)
    if terms.equal_groups:
        groups = {
            name: math.ceil(within(size, _people(terms, share)) - 1e-9)
            for name, share in shares.items()
        }
        n = sum(groups.values())
    else:
        # 1/n₁ + 1/n₂ has to be 2/size for the smallest group and the largest.
        total = size / 2 * (1 / min(shares.values()) + 1 / max(shares.values()))
        n = math.ceil(within(total, terms.population) - 1e-9)
        groups = {name: math.floor(n * share + 0.5) for name, share in shares.items()}
    ordered = sorted(groups, key=lambda name: shares[name])
    small, large = groups[ordered[0]], groups[ordered[-1]]
    reached = None
    if terms.population is None:
        reached = _power_of_two(terms, compare, small, large)
    each = (
        f"{small:,} of each group"
        if len(set(groups.values())) == 1
        else ", ".join(f"{count:,} of {name}" for name, count in groups.items())
    )
    return Answer(
        question=f"{compare[0]:.1%} against {compare[1]:.1%} between groups",
        cases=n,
        per_group=tuple(groups.items()),
        value=reached,
        method="z test, arcsine size",
        words=f"To tell a rate of {compare[0]:.1%} in one group from {compare[1]:.1%} in another, "
        f"{n:,} cases have to be judged, {each}{_with_power(terms, reached)}.",
    )


def buys(
    terms: Terms,
    cases: int,
    rate: float | None,
    compare: tuple[float, float] | None,
    changes: tuple[float, float] | None,
) -> tuple[Answer, ...]:
    """What so many judged cases can show."""
    sure, population = terms.confidence, terms.population
    p = 0.5 if rate is None else rate
    margin = margin_of(
        cases, p, confidence=sure, population=population, design_effect=terms.design_effect
    )
    limit = limit_if_none(
        max(1, math.floor(cases / terms.design_effect)), confidence=sure, population=population
    )
    shares = dict(terms.shares)
    groups = {
        name: cases // len(shares) if terms.equal_groups else math.floor(cases * share + 0.5)
        for name, share in shares.items()
    }
    small, large = min(groups.values()), max(groups.values())
    answers = [
        Answer(
            question=f"a rate of {p:.1%}",
            cases=cases,
            per_group=(),
            value=margin,
            method="Wald" if population is None else "Wald, finite population",
            words=f"{cases:,} judged cases show a rate of {p:.1%} to ± {margin:.1%} with "
            f"{sure:.0%} confidence.",
        ),
        Answer(
            question="nothing wrong",
            cases=cases,
            per_group=(),
            value=limit,
            method="exact, one-sided",
            words=f"If none of them is wrong, up to {limit:.1%} of all cases may still be.",
        ),
    ]
    if small:
        answers.append(_detectable(terms, p, cases, groups))
    if compare is not None and small:
        reached = _power_of_two(terms, compare, small, large)
        answers.append(
            Answer(
                question=f"{compare[0]:.1%} against {compare[1]:.1%} between groups",
                cases=cases,
                per_group=tuple(groups.items()),
                value=reached,
                method="z test, exact power",
                words=f"The chance to tell {compare[0]:.1%} from {compare[1]:.1%} is "
                f"{_percent(reached)}.",
            )
        )
    if changes is not None:
        reached = _power_of_pairs(terms, changes, cases)
        answers.append(
            Answer(
                question=f"changes of {changes[0]:.1%} one way and {changes[1]:.1%} the other",
                cases=cases,
                per_group=(),
                value=reached,
                method="McNemar, exact power",
                words=f"The chance to show changes of {changes[0]:.1%} against {changes[1]:.1%} "
                f"is {_percent(reached)}.",
            )
        )
    return tuple(answers)


def _detectable(terms: Terms, p: float, cases: int, groups: Mapping[str, int]) -> Answer:
    small, large = min(groups.values()), max(groups.values())
    # Two unequal groups are as good as two of their harmonic mean.
    n = 2 / (1 / small + 1 / large) / terms.design_effect
    below, above = smallest_difference(n, p, confidence=terms.confidence, power=terms.power)
    found = [f"{end:.1%} or {word}" for end, word in ((below, "less"), (above, "more")) if end]
    words = f"A group with a rate of {p:.1%} can be told from one with {' or '.join(found)}"
    if not found:
        words = f"No group can be told from one with a rate of {p:.1%}"
    return Answer(
        question=f"groups that differ from {p:.1%}",
        cases=cases,
        per_group=tuple(groups.items()),
        value=above if above is not None else below,
        method="z test, arcsine size",
        words=f"{words} (power {terms.power:.0%}).",
    )


def _people(terms: Terms, share: float) -> int | None:
    return None if terms.population is None else max(1, round(share * terms.population))


def _power_of_two(
    terms: Terms, compare: tuple[float, float], small: int, large: int
) -> float | None:
    one, other = (math.floor(n / terms.design_effect) for n in (small, large))
    if min(one, other) < 1 or max(one, other) > EXACT_UP_TO:
        return None
    # The smaller group may be the one with either rate; the lower chance is promised.
    return min(
        power_of_difference(*compare, one, other, confidence=terms.confidence),
        power_of_difference(*compare, other, one, confidence=terms.confidence),
    )


def _power_of_pairs(terms: Terms, changes: tuple[float, float], cases: int) -> float | None:
    n = math.floor(cases / terms.design_effect)
    if not 1 <= n <= EXACT_UP_TO:
        return None
    return power_of_pairs(*changes, n, confidence=terms.confidence)


def _with_power(terms: Terms, reached: float | None) -> str:
    exact = "" if reached is None else f", exactly {reached:.1%}"
    return f" (power {terms.power:.0%}{exact})"


def _percent(value: float | None) -> str:
    return "not computed" if value is None else f"{value:.1%}"
