"""The nearest real person for whom the model decides otherwise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from hitl_audit.explanations.views.asking import value_words
from hitl_audit.what_if.edits import EditHistory, Value

if TYPE_CHECKING:
    import pandas as pd

    from hitl_audit.what_if.engine import WhatIf

__all__ = ["Counterpart", "Difference", "nearest_counterpart"]


@dataclass(frozen=True)
class Difference:
    """One feature in which two people differ.

    Attributes:
        feature, label: what differs.
        here, there: the value of the case, and of the other person.
        here_words, there_words: the same for people.
        part: what it adds to the distance (numbers: in standard deviations; all else: 1).
    """

    feature: str
    label: str
    here: Value
    there: Value
    here_words: str
    there_words: str
    part: float


@dataclass(frozen=True)
class Counterpart:
    """A real person with the other outcome.

    Attributes:
        case: who it is; ``None`` if nobody has the other outcome.
        prediction, favorable: the model's score of that person, and its decision.
        distance: to the case; numbers by their standard deviation, all else by match.
        people: how many have the other outcome, of those looked at.
        differences: the largest first.
        words: the answer in a sentence.
    """

    case: str | None
    prediction: float | None
    favorable: bool | None
    distance: float | None
    people: int
    differences: tuple[Difference, ...]
    words: str

    def frame(self) -> pd.DataFrame:
        """One row per feature that differs."""
        import pandas as pd

        return pd.DataFrame([asdict(d) for d in self.differences])


def nearest_counterpart(engine: WhatIf, history: EditHistory) -> Counterpart:
    """The nearest person whose decision is not that of the edited case.

    Distance as in :class:`~hitl_audit.what_if.distance.Measure`: the What-If Tool's rule
    (J. Wexler et al., IEEE TVCG 26, 2020) without its weights for categories. Of equally
    near people the first in the data.

    Raises:
        InputError: the model makes no decisions.
    """
    around, predictor = engine.neighbourhood, engine.predictor
    now = engine.population.row(history.values)
    favorable = bool(predictor.favorable(predictor(now[np.newaxis]))[0])
    decisions = predictor.favorable(engine.scores[around.places])
    apart = around.distances(now, without=history.place)
    others = (decisions != favorable) & np.isfinite(apart)
    people = int(others.sum())
    if not people:
        return Counterpart(
            None, None, None, None, 0, (),
            f"Nobody in the data gets the other decision: all {len(apart):,} people looked at are "
            f"{'favorable' if favorable else 'unfavorable'}.",
        )  # fmt: skip
    k = int(np.argmin(np.where(others, apart, np.inf)))
    there, place = around.rows[k], int(around.places[k])
    parts = around.measure.parts(there[np.newaxis], now)[0]
    differences = tuple(
        _difference(engine, int(j), now[j], there[j], float(parts[j]))
        for j in np.argsort(-parts, kind="stable")
        if parts[j] > 0
    )
    case = engine.population.cases[place]
    score = float(engine.scores[place])
    count = len(differences)
    return Counterpart(
        case,
        score,
        not favorable,
        float(apart[k]),
        people,
        differences,
        f"Case {case} gets the other decision ({engine.prediction_words(score)}) and differs in "
        f"{count} feature{'' if count == 1 else 's'}, by {value_words(round(float(apart[k]), 2))} "
        f"in all: the nearest of {people:,} such people.",
    )


def _difference(engine: WhatIf, j: int, here: float, there: float, part: float) -> Difference:
    feature = engine.population.features[j]
    values = engine.population.value(j, here), engine.population.value(j, there)
    said = tuple(engine.words(feature, v) for v in values)
    return Difference(feature, engine.label(feature), *values, said[0], said[1], part)
