"""The bars an explanation can be held to, and in which words it misses one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hitl_audit.errors import InputError

__all__ = ["Bar", "further_bars", "join_reasons", "reasons_per_row"]

Verdict = tuple[bool, str]


@dataclass(frozen=True)
class Bar:
    """What one measure must reach.

    Attributes:
        measure: column of the measured rows.
        limit: the least (or most) that is accepted, included.
        at_least: the value must not be below; otherwise not above.
        subject: what is said of a row, with its value as a percentage in ``{}``.
        undefined: what is said where the measure has no value.
    """

    measure: str
    limit: float
    at_least: bool
    subject: str
    undefined: str

    def verdict(self, value: float) -> Verdict:
        """Whether a row clears the bar, and the words for it."""
        if math.isnan(value):
            return False, self.undefined
        # 3 of 10 clears a bar of 0.3, whatever 3 / 10 is as a float.
        clear = value >= self.limit - 1e-9 if self.at_least else value <= self.limit + 1e-9
        accepted = f"{self.limit:.3g}" if self.limit > 10 else f"{100 * self.limit:.3g} %"
        needed = f"{accepted} needed" if self.at_least else f"up to {accepted} accepted"
        return bool(clear), f"{self.subject.format(f'{100 * value:.0f} %')} ({needed})"


# measure → (at least or at most, words for a value, words for none, where it comes from)
_WORDS: Mapping[str, tuple[bool, str, str, str]] = {
    "score": (
        True,
        "LIME's simple model follows {} of the model's ups and downs around this case",
        "it cannot be told how well LIME's simple model fits this case",
        "a LIME explanation",
    ),
    "instability": (
        False,
        "repeating LIME with other random draws moves its weights by {} on average",
        "LIME finds no factor in this case, so its stability cannot be told",
        "a LIME explanation",
    ),
    "background_instability": (
        False,
        "another choice of comparison cases moves the factors by {} on average",
        "no factor counts in this case, so its stability cannot be told",
        "stability over backgrounds",
    ),
    "relative_sensitivity": (
        False,
        "changes of the case too small to matter move the factors by up to {}",
        "no factor counts in this case, so its sensitivity cannot be told",
        "stability under noise",
    ),
    "beats_random": (
        True,
        "the factors named as strongest move the prediction more than {} of random choices do",
        "it cannot be told whether the strongest factors move the prediction",
        "faithfulness",
    ),
}


def further_bars(rows: pd.DataFrame, **limits: float | None) -> tuple[Bar, ...]:
    """The bars that are set.

    Raises:
        InputError: a bar below 0, one whose measure was not taken, or a share above 1.
    """
    bars = []
    for measure, limit in limits.items():
        if limit is None:
            continue
        at_least, subject, undefined, source = _WORDS[measure]
        name = f"{measure}_at_{'least' if at_least else 'most'}"
        usable = isinstance(limit, int | float) and math.isfinite(limit) and limit >= 0
        if not usable or (at_least and limit > 1):
            span = "a share from 0 to 1" if at_least else "a number of at least 0"
            raise InputError(f"{name} is {limit!r}; expected {span}")
        if measure not in rows:
            raise InputError(f"{name} is {limit} and {measure} was not measured; expected {source}")
        bars.append(Bar(measure, limit, at_least, subject, undefined))
    return tuple(bars)


def reasons_per_row(rows: pd.DataFrame, bars: tuple[Bar, ...]) -> list[list[Verdict]]:
    """Per row the verdict on each bar, in order."""
    values = [rows[bar.measure].tolist() for bar in bars]
    return [
        [bar.verdict(column[i]) for bar, column in zip(bars, values, strict=True)]
        for i in range(len(rows))
    ]


def join_reasons(first: Verdict, *more: Verdict) -> Verdict:
    """All that fails, in words; if nothing does, the first verdict and how many bars it cleared."""
    failed = [words for ok, words in (first, *more) if not ok]
    if failed:
        return False, "; ".join(failed)
    if not more:
        return first
    count = f"{len(more)} further check{'s' if len(more) > 1 else ''} passed"
    return True, f"{first[1]}; {count}"
