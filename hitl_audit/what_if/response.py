"""How the prediction of one case answers to one feature, over the average and the data's density.

The case's curve is an individual conditional expectation, the average a partial dependence; see
:mod:`hitl_audit.explanations.views.dependence`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.what_if.edits import EditHistory, Value

if TYPE_CHECKING:
    import pandas as pd

    from hitl_audit.what_if.engine import WhatIf

__all__ = ["ResponseCurve", "ResponsePoint", "response_curve"]

FloatArray = npt.NDArray[np.float64]

_POINTS = 25
_PEOPLE = 200
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class ResponsePoint:
    """One value of the feature.

    Attributes:
        value, words: the value; ``None`` is missing.
        prediction: of this case with that value (ICE); ``None`` where a computed
            column cannot be computed.
        favorable: the decision then; ``None`` without a threshold.
        average, low, high: mean prediction over people with that value (PDP), and its t interval.
        n_near: people in the data with this value, or nearer to it than to any other point.
    """

    value: Value
    words: str
    prediction: float | None
    favorable: bool | None
    average: float | None
    low: float | None
    high: float | None
    n_near: int


@dataclass(frozen=True)
class ResponseCurve:
    """The response of a case's prediction to one feature.

    Attributes:
        feature, label: the feature.
        numeric: its points lie on an axis; otherwise they are categories.
        points: values in their order, a missing one last.
        value, prediction: where the edited case is.
        start_value, start_prediction: the same case with the feature as it was.
        threshold: of the decision; ``None``: none.
        people: averaged over.
        total: people in the data.
        output_words: what is predicted: ``probability of 1``.
        interval: how ``low`` and ``high`` were found.
        words: the answer in a sentence.
        notes: what a reader must know.
    """

    feature: str
    label: str
    numeric: bool
    points: tuple[ResponsePoint, ...]
    value: Value
    prediction: float
    start_value: Value
    start_prediction: float
    threshold: float | None
    people: int
    total: int
    output_words: str
    interval: str
    words: str
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """One row per point."""
        import pandas as pd

        return pd.DataFrame([asdict(p) for p in self.points])

    def chart(self) -> Chart:
        """The case's curve over the average; density is in :meth:`frame`."""
        shown = [p for p in self.points if p.value is not None] if self.numeric else self.points
        x: Any = tuple(float(p.value) if self.numeric else p.words for p in shown)  # type: ignore[arg-type]
        average = Series(
            f"average of {self.people:,} people",
            x,
            tuple(p.average for p in shown),
            low=tuple(p.low for p in shown),
            high=tuple(p.high for p in shown),
            notes=tuple(f"n = {p.n_near:,}" for p in shown),
        )
        case = Series("this case", x, tuple(p.prediction for p in shown))
        numbers = ", ".join(
            f"{p.words} {p.prediction:.3g}" for p in shown if p.prediction is not None
        )
        alt = f"{self.words} This case at each point: {numbers}."
        if not self.numeric:
            return Chart("intervals", self.words, alt, self.output_words, (average, case))
        lines = () if self.threshold is None else ((self.threshold, "threshold"),)
        return Chart(
            "lines", self.words, alt, self.output_words, (average, case),
            x_label=self.label, thresholds=lines,
        )  # fmt: skip

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())


@dataclass(frozen=True, eq=False)
class _Average:
    """What does not depend on the case: the points, the average there, and who is near."""

    codes: FloatArray
    mean: FloatArray
    half_width: FloatArray
    near: npt.NDArray[np.int64]
    people: int


def response_curve(engine: WhatIf, history: EditHistory, feature: str) -> ResponseCurve:
    """Move one feature of the edited case along what it can be; computed columns follow.

    Numbers: 25 places over the range in the data, cut to the bounds. All else: every value.
    The average over people is worked out once per feature.

    Raises:
        InputError: no such feature, or it has no value in the data.
    """
    place = engine.population.place_of(feature)
    control = engine.controls[feature]
    if feature in engine.derived.how:
        raise InputError(f"{control.label} cannot be moved: {control.why_locked}.")
    average = engine.memory.get(("response", feature))
    if average is None:
        average = engine.memory[("response", feature)] = _average(engine, place)
    start, now = engine.codes(history)
    rows = np.repeat(now[np.newaxis], len(average.codes) + 2, axis=0)
    rows[:-2, place] = average.codes
    rows[-1, place] = start[place]
    possible = engine.derived.follow(start, rows)
    scores = np.full(len(rows), np.nan)
    scores[possible] = engine.predictor(rows[possible])
    threshold = engine.predictor.threshold
    points = tuple(
        ResponsePoint(
            value,
            engine.words(feature, value),
            _number(score),
            None if threshold is None or np.isnan(score) else bool(score >= threshold),
            _number(mean),
            _number(mean - half),
            _number(mean + half),
            int(near),
        )
        for value, score, mean, half, near in zip(
            [engine.population.value(place, c) for c in average.codes],
            scores,
            average.mean,
            average.half_width,
            average.near,
            strict=False,
        )
    )
    notes = [
        f"{int(_CONFIDENCE * 100)}% t intervals of the average; they cover the choice of people"
    ]
    empty = sum(p.n_near == 0 for p in points)
    if empty:
        notes.append(f"{empty} of {len(points)} points have nobody near them: the curve is a guess")
    return ResponseCurve(
        feature=feature,
        label=control.label,
        numeric=control.is_number,
        points=points,
        value=history.values[feature],
        prediction=float(scores[-2]),
        start_value=history.start_values[feature],
        start_prediction=float(scores[-1]),
        threshold=threshold,
        people=average.people,
        total=len(engine.population),
        output_words=engine.predictor.output.words,
        interval="t interval of a mean",
        words=_words(control.label, points),
        notes=tuple(notes),
    )


def _average(engine: WhatIf, place: int) -> _Average:
    from scipy.stats import t

    codes = _grid(engine, place)
    n = len(engine.population)
    rng = np.random.default_rng([engine.random_state, 2])
    chosen = np.arange(n) if n <= _PEOPLE else np.sort(rng.choice(n, _PEOPLE, replace=False))
    people = engine.population.codes[chosen]
    scores = np.full((len(people), len(codes)), np.nan)
    rows = np.repeat(people, len(codes), axis=0)
    rows[:, place] = np.tile(codes, len(people))
    possible = np.concatenate(
        [
            engine.derived.follow(person, rows[k * len(codes) : (k + 1) * len(codes)])
            for k, person in enumerate(people)
        ]
    )
    scores.ravel()[possible] = engine.predictor(rows[possible])
    known = (~np.isnan(scores)).sum(axis=0)
    total = np.nansum(scores, axis=0)
    mean = np.divide(total, known, out=np.full(len(codes), np.nan), where=known > 0)
    squares = np.nansum((scores - mean) ** 2, axis=0)
    half = np.full(len(codes), np.nan)
    enough = known > 1
    deviation = np.sqrt(squares[enough] / (known[enough] - 1))
    quantile = t.ppf(0.5 + _CONFIDENCE / 2, known[enough] - 1)
    half[enough] = quantile * deviation / np.sqrt(known[enough])
    return _Average(codes, mean, half, _near(engine.population.codes[:, place], codes), len(people))


def _grid(engine: WhatIf, place: int) -> FloatArray:
    control = list(engine.controls.values())[place]
    column = engine.population.codes[:, place]
    if not control.is_number:
        codes = [engine.population.code(place, v) for v in control.categories]
    else:
        ends = control.slider
        if ends is None:
            raise InputError(f"{control.label} has no value in the data")
        seen = np.unique(column[(column >= ends[0]) & (column <= ends[1])])
        if 1 < len(seen) <= _POINTS:
            codes = seen.tolist()
        else:
            even = np.round(np.linspace(*ends, _POINTS), control.decimals)
            codes = np.unique(np.clip(even, *ends)).tolist()
    if control.allows_missing:
        missing = float("nan") if control.is_number else engine.population.code(place, None)
        codes.append(missing)
    return np.array(codes, dtype=np.float64)


def _near(column: FloatArray, codes: FloatArray) -> npt.NDArray[np.int64]:
    """How many people are nearest to each point; people beyond its ends count at the ends."""
    counts = np.zeros(len(codes), dtype=np.int64)
    known = ~np.isnan(codes)
    points = codes[known]
    order = np.argsort(points)
    middle = (points[order][1:] + points[order][:-1]) / 2
    found = np.searchsorted(middle, column[~np.isnan(column)])
    places = np.flatnonzero(known)[order]
    np.add.at(counts, places[found], 1)
    counts[~known] = int(np.isnan(column).sum())
    return counts


def _words(label: str, points: tuple[ResponsePoint, ...]) -> str:
    seen = [p for p in points if p.prediction is not None]
    if not seen:
        return f"{label} cannot be moved for this case."
    top = max(seen, key=lambda p: p.prediction or 0.0)
    bottom = min(seen, key=lambda p: p.prediction or 0.0)
    if top.prediction == bottom.prediction:
        return f"{label} alone does not change this case's prediction ({top.prediction:.3g})."
    return (
        f"With {label} alone this case's prediction goes from {bottom.prediction:.3g} "
        f"({bottom.words}) to {top.prediction:.3g} ({top.words})."
    )


def _number(x: float) -> float | None:
    return None if np.isnan(x) else float(x)
