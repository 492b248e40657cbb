"""Values and attributions in the words and lengths that a judging page shows. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hitl_audit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Bar", "CaseWords", "Contribution", "Scale", "bars", "value_words"]

Scale = Literal["probability", "log-odds"]


class Contribution(NamedTuple):
    """One feature's part in one prediction: its name, its value in words, its attribution."""

    feature: str
    value: str
    contribution: float


@dataclass(frozen=True)
class Bar:
    """One contribution, ready to be drawn.

    Attributes:
        feature, value: what it is about.
        side: ``"up"`` towards the favorable outcome, ``"down"`` away from it,
            ``"none"`` if it rounds to nothing.
        length: of the bar, in percent of the longest.
        text: size with sign and arrow, for example ``"▲ +14.8 points"``.
        sentence: the same for people who listen, for example
            ``"Income, 3,055: raises by 14.8 points"``.
    """

    feature: str
    value: str
    side: Literal["up", "down", "none"]
    length: float
    text: str
    sentence: str


def bars(
    contributions: Sequence[tuple[str, str, float]], *, scale: Scale, top: int = 8
) -> tuple[Bar, ...]:
    """The ``top`` largest contributions, and the sum of the others as one bar.

    On the probability scale 0.148 reads ``14.8 points``; log-odds are named as such.
    """
    ranked = sorted((Contribution(*c) for c in contributions), key=lambda c: -abs(c.contribution))
    shown, others = ranked[:top], ranked[top:]
    if others:
        rest = math.fsum(c.contribution for c in others)
        shown.append(Contribution(f"{len(others)} other features together", "", rest))
    longest = max((abs(c.contribution) for c in shown), default=0.0) or 1.0
    return tuple(_bar(c, scale, abs(c.contribution) / longest * 100) for c in shown)


def _bar(contribution: Contribution, scale: Scale, length: float) -> Bar:
    feature, value, number = contribution
    size = f"{abs(number) * 100:.1f}" if scale == "probability" else f"{abs(number):.2f}"
    unit = "points" if scale == "probability" else "log-odds"
    name = f"{feature}, {value}" if value else feature
    if not float(size):
        return Bar(feature, value, "none", 0.0, f"{size} {unit}", f"{name}: changes nothing")
    if number > 0:
        return Bar(
            feature, value, "up", length, f"▲ +{size} {unit}", f"{name}: raises by {size} {unit}"
        )
    return Bar(
        feature, value, "down", length, f"▼ −{size} {unit}", f"{name}: lowers by {size} {unit}"
    )


class CaseWords:
    """The values of cases as people read them; a case is put in words when it is asked for.

    Args:
        wanted: ids of cases that must be there.
        cases: one row per case, the index holding the ids; it is copied.

    Raises:
        InputError: repeated ids, or a wanted case without a row.
    """

    def __init__(self, wanted: Sequence[str], cases: pd.DataFrame) -> None:
        self._columns = [
            (str(name), cases.iloc[:, place].array.copy())
            for place, name in enumerate(cases.columns)
        ]
        self._rows = {str(case_id): row for row, case_id in enumerate(cases.index)}
        if len(self._rows) < len(cases):
            raise InputError("review: cases has repeated ids in its index; expected unique ids")
        absent = [case_id for case_id in wanted if case_id not in self._rows]
        if absent:
            raise InputError(
                f"review: {len(absent)} sampled cases have no row in cases, first {absent[0]!r}"
            )

    def values(self, case_id: str) -> tuple[tuple[str, str], ...]:
        """Names and values of one case, in words.

        Raises:
            InputError: the case has no row.
        """
        if case_id not in self._rows:
            raise InputError(f'review: case "{case_id}" has no row in cases')
        row = self._rows[case_id]
        return tuple((name, value_words(column[row])) for name, column in self._columns)


def value_words(value: Any) -> str:
    """A cell of a table as a person reads it: ``3,055``, ``14.6``, ``yes``, ``not recorded``."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or str(value) in ("nan", "NaT", "<NA>"):
        return "not recorded"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        if not math.isfinite(value):
            return "−∞" if value < 0 else "∞"
        decimals = 0 if value.is_integer() else 2 if abs(value) >= 1 else 4
        text = f"{value:,.{decimals}f}"
        return (text.rstrip("0").rstrip(".") if decimals else text).replace("-", "−")
    return str(value)
