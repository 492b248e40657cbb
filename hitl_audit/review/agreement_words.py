"""What a coefficient of agreement says, in words. Pure, standard library only.

No adjectives for ranges of kappa: what is "substantial" depends on prevalence,
on the number of categories and on what the ratings are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["FEW_UNITS", "PARADOX_GAP", "PARADOX_SHARE", "Measured", "caveat", "reading", "summary"]

PARADOX_GAP = 0.1
PARADOX_SHARE = 0.6
"""One category this frequent, and AC1 above a kappa by that gap: how frequent it is decides
what kappa says. (Without such a category AC1 is higher only if categories are not used.)"""

FEW_UNITS = 100
"""With fewer, intervals of kappa and alpha are too narrow where one category is rare:
95% intervals held the true value in 80% to 90% of simulated tables
(``benchmarks/consensus.py``)."""

_KAPPAS = ("Cohen's kappa", "Scott's pi", "Fleiss' kappa", "Conger's kappa")
_HELD_LOW = (*_KAPPAS, "Krippendorff's alpha")
_CHANCE = {
    "Cohen's kappa": "if each kept to their own shares of each answer",
    "weighted kappa": "if each kept to their own shares of each answer",
    "Conger's kappa": "if each kept to their own shares of each answer",
    "Scott's pi": "if answers were drawn from all answers",
    "Fleiss' kappa": "if answers were drawn from all answers",
    "Brennan-Prediger": "if every answer were equally likely",
    "Gwet's AC1": "from guessing where a case is hard",
    "Gwet's AC2": "from guessing where a case is hard",
}


class Measured(NamedTuple):
    """A value with its interval; ``None`` for what is not there."""

    value: float | None
    low: float | None
    high: float | None


def reading(
    name: str,
    found: Measured,
    observed: float,
    expected: float,
    *,
    level: str,
    raters: int,
    units: int,
    confidence: float,
) -> str:
    """What an estimated coefficient says.

    Args:
        name: of the coefficient.
        found: its value and interval.
        observed, expected: agreement, and agreement by chance under its model.
        level: of measurement, for alpha.
        raters, units: number of raters, and of units with two ratings.
        confidence: of the interval.
    """
    value = found.value
    assert value is not None  # noqa: S101
    if name == "raw agreement":
        return (
            f"Two raters of a unit gave the same answer in {value:.1%} of pairs"
            f"{_interval(found, confidence, percent=True)}; a part of that is chance."
        )
    if name == "weighted agreement":
        return (
            f"With credit for near misses, two raters of a unit agreed to {value:.1%}"
            f"{_interval(found, confidence, percent=True)}; a part of that is chance."
        )
    if name == "Krippendorff's alpha":
        says = (
            f"Disagreement ({level} distances) is {1 - value:.0%} of what answers dealt out at "
            f"random would give; alpha {_number(value)}{_interval(found, confidence)}."
        )
    else:
        chance = _CHANCE[name]
        more = " (Conger's form, over all pairs of raters)" if _is_conger(name, raters) else ""
        if value < 0:
            says = (
                f"Observed agreement of {observed:.1%} is below the {expected:.1%} "
                f"expected by chance {chance}{more}; "
                f"{_number(value)}{_interval(found, confidence)}."
            )
        else:
            says = (
                f"Observed agreement is {observed:.1%}, and {expected:.1%} were expected by chance "
                f"{chance}{more}: of the rest, {value:.0%} was reached"
                f"{_interval(found, confidence, percent=True)}."
            )
    if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
        says += " The interval includes 0: agreement beyond chance is not shown."
    if units < FEW_UNITS and name in (*_HELD_LOW, "weighted kappa"):
        says += (
            f" With fewer than {FEW_UNITS} units the interval is too narrow if answers are rare."
        )
    return says


def caveat(name: str, value: float | None, ac1: float | None, top: tuple[str, float] | None) -> str:
    """The kappa paradox, where it is at work; else nothing.

    Args:
        name, value: of the coefficient.
        ac1: Gwet's AC1 of the same ratings.
        top: the most frequent category and its share of the ratings.
    """
    if name not in _HELD_LOW or top is None or not _paradox(value, ac1, top):
        return ""
    short = "alpha" if name == "Krippendorff's alpha" else "pi" if "pi" in name else "kappa"
    return (
        f' "{top[0]}" makes up {top[1]:.0%} of the answers, which raises the agreement expected by '
        f"chance: a low {short} does not by itself mean that raters disagree. "
        f"AC1, which does not rise so, is {_number(ac1)}."
    )


def summary(
    found: Mapping[str, Measured],
    *,
    raters: int,
    paired: int,
    fewest: int,
    top: tuple[str, float] | None,
    confidence: float,
) -> str:
    """All coefficients in a few sentences.

    Args:
        found: value and interval of every coefficient, by name.
        raters: with a rating.
        paired: units with two ratings or more.
        fewest: units needed.
        top: the most frequent category and its share of the ratings.
        confidence: of the intervals.
    """
    who = f"{raters} rater{'' if raters == 1 else 's'}, {paired} unit{'' if paired == 1 else 's'}"
    raw = found["raw agreement"]
    if raw.value is None:
        if raters < 2:
            return f"insufficient data: {who} rated by two; agreement needs two raters"
        return f"insufficient data: {who} rated by two; at least {fewest} are needed"
    words = (
        f"{who} rated by two or more; the same answer in {raw.value:.1%} of pairs"
        f"{_interval(raw, confidence, percent=True)}"
    )
    shown = ("Krippendorff's alpha", "Fleiss' kappa", "Gwet's AC1")
    values = [f"{name} {_number(v)}" for name in shown if (v := found[name].value) is not None]
    words += f"; {', '.join(values)}." if values else "."
    kappa = found["Fleiss' kappa"].value
    if top is not None and _paradox(kappa, found["Gwet's AC1"].value, top):
        words += (
            f' "{top[0]}" makes up {top[1]:.0%} of the answers: kappa and alpha are low because of '
            "that too (kappa paradox); read them beside raw agreement and AC1."
        )
    return words


def _paradox(value: float | None, ac1: float | None, top: tuple[str, float]) -> bool:
    if value is None or ac1 is None:
        return False
    return top[1] >= PARADOX_SHARE and ac1 - value >= PARADOX_GAP


def _is_conger(name: str, raters: int) -> bool:
    return name == "weighted kappa" and raters > 2


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _interval(found: Measured, confidence: float, *, percent: bool = False) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = (f"{b:.1%}" if percent else f"{b:.2f}" for b in (found.low, found.high))
    return f" ({confidence:.0%} interval {low} to {high})".replace("-", "−")
