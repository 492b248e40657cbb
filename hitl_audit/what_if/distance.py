"""How far a row is from the people in the data, and whether there is anyone like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hitl_audit.explanations.views.asking import value_words
from hitl_audit.what_if.controls import Control
from hitl_audit.what_if.population import Population

__all__ = ["Distance", "Measure", "Neighbourhood"]

FloatArray = npt.NDArray[np.float64]
Likeness = Literal["like others", "unlike most", "no one like this"]

_MOST_ROWS = 5_000
_REFERENCE_ROWS = 500
_USUAL, _ALMOST_ALL = 0.95, 0.99


@dataclass(frozen=True, eq=False)
class Measure:
    """The distance between rows of codes.

    A number that differs counts by how many of its spreads; anything else, and
    a missing value beside a known one, counts 1. The sum over the features.

    Attributes:
        spread: (p,); 0 where only the same or not the same can be said.
    """

    spread: FloatArray

    def __call__(self, rows: FloatArray, row: FloatArray) -> FloatArray:
        """From each of ``rows`` (n, p) to ``row`` (p,): (n,)."""
        total: FloatArray = self.parts(rows, row).sum(axis=1)
        return total

    def parts(self, rows: FloatArray, row: FloatArray) -> FloatArray:
        """What each feature adds to the distances, (n, p)."""
        measured = self.spread > 0
        parts: FloatArray = (rows != row).astype(np.float64)
        if measured.any():
            apart = np.abs(rows[:, measured] - row[measured]) / self.spread[measured]
            here, there = np.isnan(rows[:, measured]), np.isnan(row[measured])
            if there.any() or here.any():
                apart = np.where(here | there, (here != there).astype(np.float64), apart)
            parts[:, measured] = apart
        others = ~measured
        if others.any():
            both = np.isnan(rows[:, others]) & np.isnan(row[others])
            parts[:, others] = np.where(both, 0.0, parts[:, others])
        return parts


@dataclass(frozen=True)
class Distance:
    """How far a row is from the people in the data.

    Attributes:
        nearest: distance to the nearest of them; ``None`` if there is nobody else.
        nearest_case: who that is.
        within: how many people are nearer than ``radius``.
        people: how many were looked at (the case itself is not one of them).
        radius: within this distance 99 % of people have somebody.
        usual: within this distance 95 % of people have somebody.
        likeness: ``"like others"``, ``"unlike most"`` (nobody within ``usual``) or
            ``"no one like this"`` (nobody within ``radius``, or a number beyond all in the data).
        outside: features whose number is beyond all in the data.
        words: the warning, or the reassurance, in a sentence.
    """

    nearest: float | None
    nearest_case: str | None
    within: int
    people: int
    radius: float | None
    usual: float | None
    likeness: Likeness
    outside: tuple[str, ...]
    words: str


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The people, and how near they usually have somebody.

    Attributes:
        measure: numbers by their standard deviation, all else by match.
        places: the people looked at, places in the population.
        rows: their codes.
        radius, usual: the 99 % and 95 % quantiles of the distance from a
            person to the nearest other one, over up to 500 of them.
        total: people in the data.
    """

    measure: Measure
    population: Population
    places: npt.NDArray[np.intp]
    rows: FloatArray
    radius: float | None
    usual: float | None
    total: int

    @classmethod
    def of(cls, population: Population, *, random_state: int) -> Neighbourhood:
        """Look at up to 5,000 people, drawn by a seed."""
        rng = np.random.default_rng(random_state)
        n = len(population)
        places = np.arange(n)
        if n > _MOST_ROWS:
            places = np.sort(rng.choice(n, _MOST_ROWS, replace=False))
        rows = np.ascontiguousarray(population.codes[places])
        measure = Measure(population.spread(robust=False))
        radius = usual = None
        if len(rows) > 1:
            some = rng.choice(len(rows), min(len(rows), _REFERENCE_ROWS), replace=False)
            nearest = []
            for k in some:
                apart = measure(rows, rows[k])
                apart[k] = np.inf
                nearest.append(float(apart.min()))
            usual, radius = (float(q) for q in np.quantile(nearest, [_USUAL, _ALMOST_ALL]))
        return cls(measure, population, places, rows, radius, usual, n)

    def distances(self, row: FloatArray, *, without: int | None = None) -> FloatArray:
        """From everybody to a row of codes, infinite from the person ``without``."""
        apart = self.measure(self.rows, row)
        if without is not None:
            apart[self.places == without] = np.inf
        return apart

    def look(
        self, row: FloatArray, controls: tuple[Control, ...], *, without: int | None = None
    ) -> Distance:
        """Whether there is anyone like a row of codes.

        Args:
            row: (p,).
            controls: of the features, in their order.
            without: place of the case that is edited: being like oneself says nothing.
        """
        apart = self.distances(row, without=without)
        others = np.isfinite(apart)
        people = int(others.sum())
        outside = tuple(
            c.feature
            for c, code in zip(controls, row, strict=True)
            if c.is_number and c.seen_low is not None and c.seen_high is not None
            and (code < c.seen_low or code > c.seen_high)
        )  # fmt: skip
        if people == 0 or self.radius is None or self.usual is None:
            return Distance(
                None, None, 0, people, self.radius, self.usual, "no one like this", outside,
                "There is nobody else in the data to compare with.",
            )  # fmt: skip
        k = int(np.argmin(apart))
        nearest = float(apart[k])
        within = int((apart <= self.radius).sum())
        likeness: Likeness = "like others"
        if outside or nearest > self.radius:
            likeness = "no one like this"
        elif nearest > self.usual:
            likeness = "unlike most"
        case = self.population.cases[int(self.places[k])]
        words = self._words(likeness, nearest, case, people, outside, controls, row)
        return Distance(
            nearest, case, within, people, self.radius, self.usual, likeness, outside, words
        )

    def _words(
        self,
        likeness: Likeness,
        nearest: float,
        case: str,
        people: int,
        outside: tuple[str, ...],
        controls: tuple[Control, ...],
        row: FloatArray,
    ) -> str:
        drawn = "" if people >= self.total - 1 else f" drawn from {self.total:,}"
        if outside:
            by_name = {c.feature: (c, code) for c, code in zip(controls, row, strict=True)}
            c, code = by_name[outside[0]]
            below = c.seen_low is not None and code < c.seen_low
            end = c.seen_low if below else c.seen_high
            value = c.words(self.population.value(list(by_name).index(c.feature), code))
            return (
                f"No one like this in the data: {c.label} {value} is "
                f"{'below' if below else 'above'} everybody's ({'lowest' if below else 'highest'}: "
                f"{c.words(end)})."
            )
        usual, radius = _short(self.usual), _short(self.radius)
        who = f"the nearest, case {case}, differs by {_short(nearest)}"
        if likeness == "like others":
            return (
                f"There are people like this: {who} (95% of people have somebody within {usual})."
            )
        if likeness == "unlike most":
            return f"Unlike most: {who}; 95% of people have somebody within {usual}."
        return (
            f"No one like this in the data: 0 of {people:,} people{drawn} differ by less than "
            f"{radius}; {who}. 99% of people have somebody that near."
        )


def _short(x: float | None) -> str:
    return value_words(float(f"{x or 0.0:.2g}"))
