"""The smallest changes under which the model decides otherwise, and other ways to get there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.what_if.answers import joined
from hitl_audit.what_if.budget import Budget
from hitl_audit.what_if.counterfactual_search import Found, Space, search
from hitl_audit.what_if.distance import Likeness
from hitl_audit.what_if.edits import Change, EditHistory

if TYPE_CHECKING:
    import pandas as pd

    from hitl_audit.what_if.engine import WhatIf

__all__ = ["Counterfactual", "CounterfactualSet", "find_counterfactuals"]

FloatArray = npt.NDArray[np.float64]

_RECHECKED = 12


@dataclass(frozen=True)
class Counterfactual:
    """One version of a case for which the model decides otherwise.

    Attributes:
        changes: what to change, from the edited case.
        follows: computed columns that change with it.
        prediction, favorable: the original model's score and decision then.
        distance: of the changes: numbers by their robust spread (1.4826 × MAD, or the
            standard deviation), all else 1.
        cost: distance + number of changes; the smaller the better.
        likeness: whether there is anyone like it in the data.
        words: ``Income 30 → 36 and debt 20 → 15: 62.0% chance of approval``.
    """

    changes: tuple[Change, ...]
    follows: tuple[Change, ...]
    prediction: float
    favorable: bool
    distance: float
    cost: float
    likeness: Likeness
    words: str


@dataclass(frozen=True)
class CounterfactualSet:
    """Ways to the other decision.

    Attributes:
        case: the case.
        counterfactuals: the smallest first, then those that change other things.
        favorable: the decision on the case as edited.
        tried: versions of the case the model was asked about.
        found: different versions with the other decision, before the choice.
        seconds: how long it took, by the clock passed in.
        complete: the search ended by itself, not by the time limit.
        frozen: features that were not touched.
        words: the answer in a sentence.
    """

    case: str
    counterfactuals: tuple[Counterfactual, ...]
    favorable: bool
    tried: int
    found: int
    seconds: float
    complete: bool
    frozen: tuple[str, ...]
    words: str

    @property
    def smallest(self) -> Counterfactual | None:
        """The one of the lowest cost; ``None`` if none was found."""
        return self.counterfactuals[0] if self.counterfactuals else None

    def frame(self) -> pd.DataFrame:
        """One row per counterfactual and change."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "counterfactual": k + 1,
                    "feature": c.feature,
                    "before": c.before,
                    "after": c.after,
                    "follows": c in found.follows,
                    "prediction": found.prediction,
                    "distance": found.distance,
                    "likeness": found.likeness,
                }
                for k, found in enumerate(self.counterfactuals)
                for c in (*found.changes, *found.follows)
            ]
        )


def find_counterfactuals(
    engine: WhatIf,
    history: EditHistory,
    *,
    wanted: int = 4,
    most_changes: int = 5,
    frozen: Sequence[str] = (),
    seconds: float = 2.0,
    clock: Callable[[], float] = time.monotonic,
) -> CounterfactualSet:
    """Search for small changes that flip the decision, within what may be changed.

    Locked, computed and protected features never change; numbers stay within their
    bounds and the range of the data, on their steps; one-way features go one way from
    the case as it is. Whatever is returned was asked of the original model.

    Args:
        engine: the model and its people.
        history: the case, as edited.
        wanted: at most so many.
        most_changes: a counterfactual changes at most so many features.
        frozen: further features that must not change.
        seconds: time limit; the model is not asked anything that might not end
            before it (only a model whose very first call is slower can overrun it).
        clock: seconds that only grow.

    Raises:
        InputError: an argument cannot be used, or the model makes no decisions.
    """
    for name, count in (("wanted", wanted), ("most_changes", most_changes)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(f"{name} is {count!r}; expected an integer of at least 1")
    if not seconds > 0:
        raise InputError(f"seconds is {seconds!r}; expected a number above 0")
    for feature in frozen:
        engine.population.place_of(feature)
    predictor = engine.predictor
    start, now = engine.codes(history)
    # Where a quick score is off by a rounding error, the model itself has the last word below.
    budget = Budget(predictor.quick, clock=clock, seconds=seconds)
    score = budget(now[np.newaxis])
    rechecked = wanted
    reserved = 0.1 * seconds  # for everything that is not the model
    if predictor.fast is not None:
        # What one question to the model itself costs, so that there is time for the last ones.
        before = clock()
        score = predictor.ask_model(now[np.newaxis])
        one = clock() - before
        rechecked = max(1, min(_RECHECKED, int(seconds / 3 / one) if one > 0 else _RECHECKED))
        reserved += 1.5 * one * rechecked
    budget.reserve(reserved)
    favorable = bool(predictor.favorable(score)[0])
    space = Space.of(engine, start, now, frozen=frozen)
    found = search(space, budget, target=not favorable, most_changes=most_changes)
    chosen = _checked(engine, found, target=not favorable, count=rechecked, wanted=wanted)
    counterfactuals = tuple(_told(engine, history, start, now, one) for one in chosen)
    untouched = tuple(
        f for j, f in enumerate(engine.population.features)
        if j not in space.places and f not in engine.derived.how
    )  # fmt: skip
    return CounterfactualSet(
        case=history.case,
        counterfactuals=counterfactuals,
        favorable=favorable,
        tried=budget.asked,
        found=len(found),
        seconds=budget.seconds,
        complete=not budget.ran_out,
        frozen=untouched,
        words=_words(counterfactuals, budget, most_changes, seconds),
    )


def _checked(
    engine: WhatIf, found: list[Found], *, target: bool, count: int, wanted: int
) -> list[Found]:
    """The most different of the cheap ones that the original model confirms."""
    candidates = _diverse(found, count)
    predictor = engine.predictor
    if predictor.fast is not None and candidates:
        scores = predictor.ask_model(np.stack([one.codes for one in candidates]))
        decisions = predictor.favorable(scores)
        candidates = [
            Found(one.codes, one.changed, float(score), one.distance)
            for one, score, favorable in zip(candidates, scores, decisions, strict=True)
            if favorable == target
        ]
    return candidates[:wanted]


def _diverse(found: list[Found], count: int) -> list[Found]:
    """The cheapest first, then whatever shares least with those chosen, the cheaper first."""
    left = sorted(found, key=lambda one: (one.cost, one.codes.tobytes()))
    if not left:
        return []
    chosen = [left.pop(0)]
    limit = 3 * chosen[0].cost + 1  # nobody needs a far one because it is different
    left = [one for one in left if one.cost <= limit]
    while left and len(chosen) < count:
        best = min(left, key=lambda one: (-min(_apart(one, c) for c in chosen), one.cost))
        if min(_apart(best, c) for c in chosen) == 0:
            break  # the same features again
        chosen.append(best)
        left = [one for one in left if one is not best]
    return chosen


def _apart(a: Found, b: Found) -> float:
    """Jaccard distance of what they change."""
    here, there = set(a.changed), set(b.changed)
    return 1 - len(here & there) / len(here | there)


def _told(
    engine: WhatIf, history: EditHistory, start: FloatArray, now: FloatArray, found: Found
) -> Counterfactual:
    values, before = engine.population.values(found.codes), history.values
    names = [engine.population.features[j] for j in found.changed]
    changes = tuple(Change(f, before[f], values[f]) for f in names)
    follows = tuple(
        Change(f, before[f], values[f]) for f in engine.derived.how if values[f] != before[f]
    )
    favorable = bool(engine.predictor.favorable(np.array([found.score]))[0])
    look = engine.neighbourhood.look(
        found.codes, tuple(engine.controls.values()), without=history.place
    )
    said = [
        f"{engine.label(c.feature)} {engine.words(c.feature, c.before)} → "
        f"{engine.words(c.feature, c.after)}"
        for c in changes
    ]
    return Counterfactual(
        changes=changes,
        follows=follows,
        prediction=found.score,
        favorable=favorable,
        distance=found.distance,
        cost=found.cost,
        likeness=look.likeness,
        words=f"{joined(said)}: {engine.prediction_words(found.score)}",
    )


def _words(
    counterfactuals: tuple[Counterfactual, ...], budget: Budget, most_changes: int, seconds: float
) -> str:
    tried = f"{budget.asked:,} versions tried"
    late = f"; the time limit of {seconds:g} s ended the search" if budget.ran_out else ""
    if not counterfactuals:
        what = "1 feature" if most_changes == 1 else f"up to {most_changes} features"
        return (
            f"No allowed change of {what} was found that gives the other decision ({tried}{late})."
        )
    count = len(counterfactuals[0].changes)
    ways = "1 way" if len(counterfactuals) == 1 else f"{len(counterfactuals)} different ways"
    return (
        f"{ways} to the other decision; the smallest changes {count} "
        f"feature{'' if count == 1 else 's'} ({tried}{late})."
    )
