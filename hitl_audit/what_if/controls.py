"""One control per feature: what it may be set to, and words for what it may not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.views.asking import value_words
from hitl_audit.what_if.edits import Value

__all__ = ["Constraint", "Control", "Kind"]

Kind = Literal["number", "integer", "category", "boolean"]

_GROUPED = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Constraint:
    """What the plan says about changing one feature.

    Attributes:
        feature: the feature.
        immutable: it can never change.
        low, high: bounds of a number; ``None``: no bound.
        step: the smallest meaningful change of a number.
        categories: the values that may be chosen, in their order; (): all that occur.
        direction: ``"up"`` or ``"down"``: it can only change this way from where
            the case is (age can only go up); needs a number or ordered values.
        unit: shown behind the value.
        decimals: places shown; 0 makes it a whole number.

    Raises:
        InputError: bounds, step, direction or decimals that cannot be.
    """

    feature: str
    immutable: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    categories: tuple[Value, ...] = ()
    direction: Literal["up", "down"] | None = None
    unit: str = ""
    decimals: int | None = None

    def __post_init__(self) -> None:
        where = f"constraint of {self.feature}"
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, int | float) and not isinstance(value, bool)
                and math.isfinite(value)
            ):  # fmt: skip
                raise InputError(f"{where}: {name} is {value!r}; expected a number")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError(
                f"{where}: low is {self.low} and high is {self.high}; expected low ≤ high"
            )
        if self.step is not None and self.step <= 0:
            raise InputError(f"{where}: step is {self.step}; expected a number above 0")
        if self.direction not in (None, "up", "down"):
            raise InputError(
                f'{where}: direction is {self.direction!r}; accepted: "up", "down"'
                + did_you_mean(str(self.direction), ("up", "down"))
            )
        if self.decimals is not None and not (
            isinstance(self.decimals, int) and 0 <= self.decimals <= 12
        ):
            raise InputError(f"{where}: decimals is {self.decimals!r}; expected 0 to 12")


@dataclass(frozen=True)
class Control:
    """What a person can do with one feature.

    Attributes:
        feature, label: its name, and what people call it.
        kind: ``"number"``, ``"integer"``, ``"category"`` or ``"boolean"``.
        seen_low, seen_high: smallest and largest number in the data; ``None`` for
            categories, and where all are missing.
        low, high: bounds that no edit may leave; ``None``: no bound.
        step: of a slider; ``None`` for categories.
        decimals: places shown.
        categories: values that may be chosen, in their order.
        ordered: whether that order means something.
        allows_missing: whether "missing" can be chosen (it occurs in the data).
        constant: it has one value in the data.
        direction: the one way it may change, or ``None``.
        unit: shown behind the value.
        derived: the formula, where the value follows from others.
        protected: a protected attribute: no suggestion ever changes it.
        why_locked: why nobody can change it, in words; ``""`` where one can.
    """

    feature: str
    label: str
    kind: Kind
    seen_low: float | None
    seen_high: float | None
    low: float | None
    high: float | None
    step: float | None
    decimals: int
    categories: tuple[Value, ...]
    ordered: bool
    allows_missing: bool
    constant: bool
    direction: Literal["up", "down"] | None
    unit: str
    derived: str | None
    protected: bool
    why_locked: str

    @property
    def locked(self) -> bool:
        """Whether nobody can change it."""
        return bool(self.why_locked)

    @property
    def is_number(self) -> bool:
        """Whether it is set on an axis; otherwise by choice."""
        return self.kind in ("number", "integer")

    @property
    def slider(self) -> tuple[float, float] | None:
        """Ends of a slider: the range in the data, cut to the bounds."""
        if not self.is_number or self.seen_low is None or self.seen_high is None:
            return None
        low = self.seen_low if self.low is None else max(self.low, self.seen_low)
        high = self.seen_high if self.high is None else min(self.high, self.seen_high)
        if low <= high:
            return low, high
        # The bounds leave no value of the data: they are the range themselves.
        return (
            high if self.low is None else self.low,
            low if self.high is None else self.high,
        )

    def words(self, value: Value) -> str:
        """A value for people, with its unit: ``14.6 %``."""
        if value is None or isinstance(value, bool) or not self.is_number:
            return value_words(value)
        number = round(float(value), self.decimals) + 0.0  # no "−0.0"
        text = f"{number:,.{self.decimals}f}".replace("-", "−")
        return f"{text} {self.unit}".rstrip()

    def read(self, entered: Any, start: Value, *, from_slider: bool = False) -> Value:
        """What was entered, as a value of this feature.

        Args:
            entered: a value, or the text of one; ``None`` or ``""``: missing.
            start: the value of the case as it is; it is always accepted, and
                anything that looks the same is it.
            from_slider: within half a step of ``start`` is ``start``: sliders
                cannot stand between their places.

        Raises:
            InputError: it cannot be set; the message is for the person who tried.
        """
        value = self._parse(entered)
        if value == start or self._looks_like(value, start, from_slider):
            return start
        if self.locked:
            raise InputError(f"{self.label} cannot be changed: {self.why_locked}.")
        if value is None:
            if not self.allows_missing:
                raise InputError(f"{self.label} is never missing in the data; enter a value.")
        else:
            self.check(value, start)
        return value

    def check(self, value: Value, start: Value) -> None:
        """Bounds, direction and known values.

        Raises:
            InputError: the value breaks one of them.
        """
        if self.is_number:
            number = float(value)  # type: ignore[arg-type]
            if (self.low is not None and number < self.low) or (
                self.high is not None and number > self.high
            ):
                raise InputError(
                    f"{self.label} must be {self._bounds_words()}; got {self.words(value)}."
                )
        elif value not in self.categories:
            raise InputError(self._unknown_words(value))
        if self.direction is not None and start is not None:
            here, there = self._order(start), self._order(value)
            if there < here if self.direction == "up" else there > here:
                raise InputError(
                    f"{self.label} can only go {self.direction} from {self.words(start)}; "
                    f"got {self.words(value)}."
                )

    def allows(self, value: Value, start: Value) -> bool:
        """Whether :meth:`check` accepts the value (or it is where the case is)."""
        if value == start:
            return True
        if self.locked or value is None:
            return not self.locked and self.allows_missing
        try:
            self.check(value, start)
        except InputError:
            return False
        return True

    def _order(self, value: Value) -> float:
        if self.is_number:
            return float(value)  # type: ignore[arg-type]
        # A start outside the choices lies before all of them, so that only "up" leads there.
        return float(self.categories.index(value)) if value in self.categories else -1.0

    def _looks_like(self, value: Value, start: Value, from_slider: bool) -> bool:
        if not self.is_number or value is None or start is None:
            return False
        near = 0.5 * 10.0**-self.decimals
        if from_slider and self.step is not None:
            near = max(near, self.step / 2)
        return abs(float(value) - float(start)) < near * (1 - 1e-9)

    def _parse(self, entered: Any) -> Value:
        if entered is None or (isinstance(entered, str) and not entered.strip()):
            return None
        if isinstance(entered, np.generic):
            entered = entered.item()
        if isinstance(entered, float) and math.isnan(entered):
            return None
        return self._parse_number(entered) if self.is_number else self._parse_choice(entered)

    def _parse_number(self, entered: Any) -> Value:
        if isinstance(entered, str):
            text = entered.strip().replace("−", "-")
            if self.unit and text.endswith(self.unit):
                text = text[: -len(self.unit)].rstrip()
            if _GROUPED.fullmatch(text):
                text = text.replace(",", "")
            try:
                number = float(text)
            except ValueError:
                raise InputError(f'{self.label} is a number; got "{entered}".') from None
        elif isinstance(entered, int | float) and not isinstance(entered, bool):
            number = float(entered)
        else:
            raise InputError(f"{self.label} is a number; got {entered!r}.")
        if not math.isfinite(number):
            raise InputError(f"{self.label} is a number; got {entered!r}.")
        if self.kind == "number":
            return number + 0.0
        if not number.is_integer():
            raise InputError(f"{self.label} is a whole number; got {entered}.")
        return int(number)

    def _parse_choice(self, entered: Any) -> Value:
        value: Value = entered if isinstance(entered, bool | int | float | str) else str(entered)
        # 1 and True are equal in Python, and "1" is what a page sends for either.
        for known in self.categories:
            if type(known) is type(value) and known == value:
                return known
        alike = [c for c in self.categories if str(c) == str(value)]
        if self.kind == "boolean" and str(value).strip().lower() in ("yes", "no"):
            return str(value).strip().lower() == "yes"
        return alike[0] if alike else value

    def _bounds_words(self) -> str:
        if self.low is not None and self.high is not None:
            return f"between {self.words(self.low)} and {self.words(self.high)}"
        if self.low is not None:
            return f"at least {self.words(self.low)}"
        return f"at most {self.words(self.high)}"

    def _unknown_words(self, value: Value) -> str:
        names = [self.words(c) for c in self.categories]
        shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        return (
            f'{self.label} is never "{self.words(value)}" in the data; accepted: {shown}'
            f"{did_you_mean(self.words(value), names)}."
        )
