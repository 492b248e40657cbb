"""Expectation first: what a person expects of an edit, said before it is made, and what came.

An expectation that the model violates becomes a check: a property (a monotone direction, an
invariance) that is then evaluated on all the data, not only on the case where it was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.what_if.edits import EditHistory, Value

if TYPE_CHECKING:
    from hitl_audit.what_if.engine import WhatIf

__all__ = [
    "MOVED",
    "STAYS",
    "Expectation",
    "ExpectationResult",
    "ModelCheck",
    "checks_from",
    "expect",
    "settle",
]

Expected = Literal["up", "down", "same"]
EXPECTED: tuple[Expected, ...] = ("up", "down", "same")
MOVED = 1e-9
"""A score that moves by no more has not moved."""
STAYS = 0.005
"""A score that is expected to stay, and moves by no more, has stayed."""


@dataclass(frozen=True)
class Expectation:
    """What a person expects before an edit is applied.

    Attributes:
        case: the case.
        revision: of the history it was said at.
        feature, before, after: the edit to come.
        expected: the prediction goes ``"up"``, ``"down"`` or stays the ``"same"``.
        tolerance: a move of at most this is none, for ``"same"``.
    """

    case: str
    revision: int
    feature: str
    before: Value
    after: Value
    expected: Expected
    tolerance: float


@dataclass(frozen=True)
class ExpectationResult:
    """What came of an expectation.

    Attributes:
        expectation: what was expected.
        prediction_before, prediction_after: the model's scores.
        outcome: ``"met"``, ``"did not move"`` (a move was expected) or ``"violated"``
            (it moved against it, or moved where it should stay).
        words: the answer in a sentence.
        evidence: always ``"exploratory"``.
    """

    expectation: Expectation
    prediction_before: float
    prediction_after: float
    outcome: Literal["met", "did not move", "violated"]
    words: str
    evidence: Literal["exploratory"] = "exploratory"

    @property
    def change(self) -> float:
        """How far the prediction moved."""
        return self.prediction_after - self.prediction_before


@dataclass(frozen=True)
class ModelCheck:
    """A property that the model should have, because somebody expected it.

    Attributes:
        kind: ``"monotonicity"`` (of a number), ``"direction"`` (from one category to
            another) or ``"invariance"`` (the feature must not matter).
        feature: the feature.
        direction: ``"increasing"`` or ``"decreasing"``: of the score, with the number, or from
            the first category to the second; ``None`` for invariance.
        values: the two categories of a ``"direction"``; else ().
        tolerance: a move against it of at most this is none.
        cases: where the expectation was violated.
    """

    kind: Literal["monotonicity", "direction", "invariance"]
    feature: str
    direction: Literal["increasing", "decreasing"] | None
    values: tuple[Value, ...]
    tolerance: float
    cases: tuple[str, ...]

    @property
    def words(self) -> str:
        """What is expected, in a sentence."""
        if self.kind == "invariance":
            return f"{self.feature} should not change the score by more than {self.tolerance:g}."
        verb = "fall" if self.direction == "increasing" else "rise"
        if self.kind == "monotonicity":
            return f"The score should not {verb} as {self.feature} increases."
        first, second = self.values
        return f"The score should not {verb} when {self.feature} goes from {first} to {second}."


def expect(
    engine: WhatIf,
    history: EditHistory,
    feature: str,
    entered: Any,
    expected: str,
    *,
    tolerance: float = STAYS,
) -> Expectation:
    """Record what is expected of an edit, before it is made.

    Args:
        engine: the model and its people.
        history: the case as it is before the edit.
        feature, entered: the edit, as for ``WhatIf.edit``.
        expected: ``"up"``, ``"down"`` or ``"same"``.
        tolerance: for ``"same"``, on the scale of the prediction; ≥ 0.

    Raises:
        InputError: another word, a value that cannot be set, or an edit that changes nothing.
    """
    if expected not in EXPECTED:
        raise InputError(
            f'expected is "{expected}"; accepted: {", ".join(EXPECTED)}'
            + did_you_mean(str(expected), EXPECTED)
        )
    if not tolerance >= 0:
        raise InputError(f"tolerance is {tolerance!r}; expected a number of at least 0")
    after = engine.edit(history, feature, entered)
    if after is history:
        raise InputError(f"{engine.label(feature)} would stay as it is; expected another value")
    word: Expected = "up" if expected == "up" else "down" if expected == "down" else "same"
    return Expectation(
        history.case, history.revision, feature, history.values[feature],
        after.values[feature], word, float(tolerance),
    )  # fmt: skip


def settle(engine: WhatIf, expectation: Expectation, history: EditHistory) -> ExpectationResult:
    """Compare an expectation with the answer to its edit, which is the last of ``history``.

    Raises:
        InputError: the last edit is another one, or was made before the expectation.
    """
    last = history.log[-1] if history.log else None
    first = last.changes[0] if last and last.changes else None
    said = (expectation.feature, expectation.before, expectation.after)
    if (
        history.case != expectation.case
        or history.revision != expectation.revision + 1
        or first is None
        or (first.feature, first.before, first.after) != said
    ):
        raise InputError(
            f"the expectation is of {expectation.feature} from {expectation.before!r} to "
            f"{expectation.after!r} in case {expectation.case}; expected a history whose next "
            "edit after it is this one"
        )
    before, after = engine.scored(history.undo()), engine.scored(history)
    change = after - before
    moved = "up" if change > MOVED else "down" if change < -MOVED else "same"
    if expectation.expected == "same":
        within = abs(change) <= max(expectation.tolerance, MOVED)
        outcome: Literal["met", "did not move", "violated"] = "met" if within else "violated"
    elif moved == "same":
        outcome = "did not move"
    else:
        outcome = "met" if moved == expectation.expected else "violated"
    came = {"up": "it went up", "down": "it went down", "same": "it did not move"}[moved]
    wanted = {"up": "go up", "down": "go down", "same": "stay"}[expectation.expected]
    words = (
        f"You expected it to {wanted}: {came}, from {engine.prediction_words(before)} to "
        f"{engine.prediction_words(after)}."
    )
    return ExpectationResult(expectation, before, after, outcome, words)


def checks_from(engine: WhatIf, results: Iterable[ExpectationResult]) -> tuple[ModelCheck, ...]:
    """The violated expectations as checks for all the data, each once, in the order they came."""
    found: dict[tuple[Any, ...], ModelCheck] = {}
    for result in results:
        if result.outcome != "violated":
            continue
        check = _check(engine, result.expectation)
        key = (check.kind, check.feature, check.direction, check.values)
        before = found.get(key)
        if before is None:
            found[key] = check
            continue
        cases = tuple(dict.fromkeys((*before.cases, *check.cases)))
        tolerance = min(before.tolerance, check.tolerance)
        found[key] = ModelCheck(*key, tolerance, cases)
    return tuple(found.values())


def _check(engine: WhatIf, said: Expectation) -> ModelCheck:
    cases = (said.case,)
    if said.expected == "same":
        return ModelCheck("invariance", said.feature, None, (), said.tolerance, cases)
    control = engine.controls[said.feature]
    rising = said.expected == "up"
    if control.is_number and said.before is not None and said.after is not None:
        larger = float(said.after) > float(said.before)
        direction: Literal["increasing", "decreasing"] = (
            "increasing" if rising == larger else "decreasing"
        )
        return ModelCheck("monotonicity", said.feature, direction, (), MOVED, cases)
    return ModelCheck(
        "direction", said.feature, "increasing" if rising else "decreasing",
        (said.before, said.after), MOVED, cases,
    )  # fmt: skip
