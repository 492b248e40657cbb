"""Search for small changes that flip a decision: every step is one call of the model.

First every allowed single change, then pairs of the promising ones, then longer chains (a beam),
and real people with the other decision, as far as the case may become like them. Whatever
flips is then made smaller: changes are taken back, and numbers moved towards where they were, as
long as the decision stays flipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hitl_audit.what_if.budget import Budget
from hitl_audit.what_if.distance import Measure

if TYPE_CHECKING:
    from hitl_audit.what_if.controls import Control
    from hitl_audit.what_if.engine import WhatIf

__all__ = ["Found", "Space", "search"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_QUANTILES = 12
_PAIRED_FEATURES = 12
_PAIRED_VALUES = 4
_BEAM = 12
_REAL_PEOPLE = 20
_POLISHED = 40
_POLISHING_ROUNDS = 8
_BETWEEN = 8


@dataclass(frozen=True, eq=False)
class Found:
    """A version of the case that is decided otherwise.

    Attributes:
        codes: the row, (p,).
        changed: places of the features that were changed (computed ones follow).
        score: the model's.
        distance: of the changes.
    """

    codes: FloatArray
    changed: tuple[int, ...]
    score: float
    distance: float

    @property
    def cost(self) -> float:
        """Distance + number of changes."""
        return self.distance + len(self.changed)


@dataclass(frozen=True, eq=False)
class Space:
    """What may be changed in a case, and to what.

    Attributes:
        engine: for its controls, computed columns and people.
        start, now: the case as it is and as edited, (p,).
        places: features that may change.
        values: for each of them the codes worth trying, without the present one.
        measure: numbers by their robust spread, all else by match.
    """

    engine: WhatIf
    start: FloatArray
    now: FloatArray
    places: tuple[int, ...]
    values: tuple[FloatArray, ...]
    measure: Measure

    @classmethod
    def of(
        cls, engine: WhatIf, start: FloatArray, now: FloatArray, *, frozen: Sequence[str]
    ) -> Space:
        """Read it from the controls."""
        places, values = [], []
        for j, (feature, control) in enumerate(engine.controls.items()):
            if control.locked or control.protected or feature in frozen:
                continue
            codes = _candidates(engine, j, control)
            codes = codes[codes != now[j]]
            allowed = np.array([_allowed(engine, j, control, c, start[j]) for c in codes], bool)
            if allowed.any():
                places.append(j)
                values.append(codes[allowed])
        measure = Measure(engine.population.spread(robust=True))
        return cls(engine, start, now, tuple(places), tuple(values), measure)

    def changed(self, rows: FloatArray) -> BoolArray:
        """Which of the changeable features differ from the edited case, (n, places)."""
        here = rows[:, self.places]
        there = self.now[list(self.places)]
        return np.asarray((here != there) & ~(np.isnan(here) & np.isnan(there)))

    def distances(self, rows: FloatArray) -> FloatArray:
        """Distance of the changes only, (n,): what follows from them costs nothing."""
        parts = self.measure.parts(rows, self.now)[:, self.places]
        return np.asarray(parts.sum(axis=1), dtype=np.float64)

    def complete(self, rows: FloatArray) -> BoolArray:
        """Let computed columns follow, in place; which rows can be and keep the bounds, (n,)."""
        derived = self.engine.derived
        return derived.follow(self.start, rows) & derived.within_bounds(self.start, rows)

    def snapped(self, place: int, codes: FloatArray) -> FloatArray:
        """Numbers on the feature's steps and decimals."""
        return _snap(list(self.engine.controls.values())[place], codes)

    def allowed(self, place: int, code: float) -> bool:
        """Whether a feature may take this code."""
        control = list(self.engine.controls.values())[place]
        return code == self.now[place] or _allowed(
            self.engine, place, control, code, self.start[place]
        )


def _candidates(engine: WhatIf, place: int, control: Control) -> FloatArray:
    if not control.is_number:
        known = control.categories
        return np.array([engine.population.code(place, v) for v in known], dtype=np.float64)
    ends = control.slider
    if ends is None:
        return np.empty(0)
    column = engine.population.codes[:, place]
    seen = column[(column >= ends[0]) & (column <= ends[1])]
    spots = [np.array(ends)]
    if len(seen):
        spots.append(np.quantile(seen, np.linspace(0, 1, _QUANTILES), method="inverted_cdf"))
    return np.unique(np.clip(_snap(control, np.concatenate(spots)), *ends))


def _snap(control: Control, codes: FloatArray) -> FloatArray:
    step = control.step or 0.0
    snapped = np.round(codes / step) * step if step > 0 else codes
    snapped = np.round(snapped, control.decimals) + 0.0  # no -0.0
    return np.asarray(np.rint(snapped) if control.kind == "integer" else snapped)


def _allowed(engine: WhatIf, place: int, control: Control, code: float, start: float) -> bool:
    value = engine.population.value(place, code)
    if value is None:
        return False  # "leave it out" is no advice
    return control.allows(value, engine.population.value(place, start))


def search(space: Space, budget: Budget, *, target: bool, most_changes: int) -> list[Found]:
    """Versions of the case with the decision ``target``, the cheapest first."""
    run = _Run(space, budget, target)
    steps = [run.singles]
    if most_changes > 1:
        steps += [run.pairs, run.real_people, *[run.longer] * (most_changes - 2)]
    for step in steps if space.places else []:
        if not budget.ran_out and not budget.over():
            step()
    run.polish()
    return run.results(most_changes)


class _Run:
    """One search: rows that flip, and rows that came near."""

    def __init__(self, space: Space, budget: Budget, target: bool) -> None:
        self.space, self.budget, self.target = space, budget, target
        self.flipped: dict[bytes, tuple[FloatArray, float]] = {}
        self.near: list[tuple[float, FloatArray]] = []
        self.single_gain: dict[tuple[int, float], float] = {}
        self.polished: list[FloatArray] = []

    def ask(self, rows: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Complete the rows and ask about those that can be: rows, scores, whether they flip."""
        if not len(rows):
            return rows, np.empty(0), np.empty(0, dtype=bool)
        rows = rows[self.space.complete(rows)]
        # The promising first: where the time ends the search, they have been asked.
        order = np.argsort(
            self.space.distances(rows) + self.space.changed(rows).sum(axis=1), kind="stable"
        )
        rows = rows[order]
        scores = self.budget(rows)
        rows = rows[: len(scores)]
        flips = self.space.engine.predictor.favorable(scores) == self.target
        for row, score in zip(rows[flips], scores[flips], strict=True):
            self.flipped[row.tobytes()] = (row, float(score))
        return rows, scores, flips

    def gain(self, scores: FloatArray) -> FloatArray:
        """Scores such that more is nearer to the other decision."""
        return scores if self.target else -scores

    def singles(self) -> None:
        rows = []
        for j, values in zip(self.space.places, self.space.values, strict=True):
            block = np.repeat(self.space.now[np.newaxis], len(values), axis=0)
            block[:, j] = values
            rows.append(block)
        asked, scores, flips = self.ask(np.concatenate(rows))
        changed = self.space.changed(asked)
        for row, gain, which in zip(asked, self.gain(scores), changed, strict=True):
            j = self.space.places[int(np.argmax(which))]
            self.single_gain[j, float(row[j])] = float(gain)
        self._remember(asked[~flips], scores[~flips])

    def _remember(self, rows: FloatArray, scores: FloatArray) -> None:
        self.near += list(zip(self.gain(scores).tolist(), rows, strict=True))
        self.near.sort(key=lambda pair: -pair[0])
        del self.near[4 * _BEAM :]

    def _promising(self, count: int) -> dict[int, list[float]]:
        """Features by how far they alone move the score, each with its best values."""
        by_feature: dict[int, list[tuple[float, float]]] = {}
        for (j, code), gain in self.single_gain.items():
            by_feature.setdefault(j, []).append((gain, code))
        ranked = sorted(by_feature, key=lambda j: -max(by_feature[j])[0])[:count]
        chosen = {}
        for j in ranked:
            best = sorted(by_feature[j], reverse=True)
            # The strongest, and small ones that go most of the way.
            strong = [code for _, code in best[: _PAIRED_VALUES // 2]]
            near = sorted(best[: 3 * _PAIRED_VALUES], key=lambda p: abs(p[1] - self.space.now[j]))
            chosen[j] = list(dict.fromkeys(strong + [code for _, code in near]))[:_PAIRED_VALUES]
        return chosen

    def pairs(self) -> None:
        chosen = self._promising(_PAIRED_FEATURES)
        rows = []
        for a, b in itertools.combinations(chosen, 2):
            for x, y in itertools.product(chosen[a], chosen[b]):
                row = self.space.now.copy()
                row[a], row[b] = x, y
                rows.append(row)
        if rows:
            asked, scores, flips = self.ask(np.stack(rows))
            self._remember(asked[~flips], scores[~flips])

    def longer(self) -> None:
        """Add one more change to what came nearest, unless there is enough."""
        if len(self.flipped) >= _POLISHED:
            return
        chosen = self._promising(len(self.space.places))
        rows, seen = [], set()
        for _, near in self.near[:_BEAM]:
            for j, codes in chosen.items():
                for code in codes:
                    row = near.copy()
                    row[j] = code
                    if near[j] != code and row.tobytes() not in seen:
                        seen.add(row.tobytes())
                        rows.append(row)
        if rows:
            asked, scores, flips = self.ask(np.stack(rows))
            self._remember(asked[~flips], scores[~flips])

    def real_people(self) -> None:
        """The nearest people with the other decision, as far as the case may be like them."""
        engine = self.space.engine
        around = engine.neighbourhood
        decisions = engine.predictor.favorable(engine.scores[around.places])
        others = around.rows[decisions == self.target]
        if not len(others):
            return
        apart = self.space.measure(others, self.space.now)
        nearest = others[np.argsort(apart, kind="stable")[:_REAL_PEOPLE]]
        rows = np.repeat(self.space.now[np.newaxis], len(nearest), axis=0)
        for j in self.space.places:
            for row, person in zip(rows, nearest, strict=True):
                if self.space.allowed(j, person[j]):
                    row[j] = person[j]
        self.ask(rows)

    def polish(self) -> None:
        """Take changes back, and move numbers towards where they were, while it stays flipped."""
        current = self.polished = self._cheapest(_POLISHED)
        round_took = 0.0
        for _ in range(_POLISHING_ROUNDS):
            if self.budget.ran_out or self.budget.over(round_took):
                return
            round_took = self.budget.seconds
            rows, owners = [], []
            for k, row in enumerate(current):
                for smaller in self._smaller(row):
                    rows.append(smaller)
                    owners.append(k)
            if not rows:
                return
            table = np.stack(rows)
            fine = self.space.complete(table)
            table, who = table[fine], np.array(owners)[fine]
            scores = self.budget(table)
            table, who = table[: len(scores)], who[: len(scores)]
            flips = self.space.engine.predictor.favorable(scores) == self.target
            costs = self._costs(table)
            moved = False
            for k in np.unique(who[flips]):
                mine = np.flatnonzero((who == k) & flips)
                best = mine[int(np.argmin(costs[mine]))]
                if costs[best] < self._costs(current[k][np.newaxis])[0]:
                    current[k] = table[best]
                    self.flipped[table[best].tobytes()] = (table[best], float(scores[best]))
                    moved = True
            if not moved:
                return
            round_took = self.budget.seconds - round_took

    def _smaller(self, row: FloatArray) -> list[FloatArray]:
        out = []
        which = self.space.changed(row[np.newaxis])[0]
        for j in (self.space.places[k] for k in np.flatnonzero(which)):
            back = row.copy()
            back[j] = self.space.now[j]
            out.append(back)
            if not self.space.engine.population.numeric[j] or np.isnan(self.space.now[j]):
                continue
            between = np.linspace(self.space.now[j], row[j], _BETWEEN + 2)[1:-1]
            for code in np.unique(self.space.snapped(j, between)):
                inside = min(self.space.now[j], row[j]) < code < max(self.space.now[j], row[j])
                if inside and self.space.allowed(j, float(code)):
                    part = row.copy()
                    part[j] = code
                    out.append(part)
        return out

    def _costs(self, rows: FloatArray) -> FloatArray:
        return np.asarray(self.space.distances(rows) + self.space.changed(rows).sum(axis=1))

    def _cheapest(self, count: int) -> list[FloatArray]:
        """Flipped rows by cost; of each set of features only two, so that others have a chance."""
        rows = [row for row, _ in self.flipped.values()]
        if not rows:
            return []
        table = np.stack(rows)
        costs, changed = self._costs(table), self.space.changed(table)
        taken: dict[bytes, int] = {}
        chosen = []
        for k in np.argsort(costs, kind="stable"):
            key = changed[k].tobytes()
            if taken.get(key, 0) < 2:
                taken[key] = taken.get(key, 0) + 1
                chosen.append(rows[int(k)])
        return chosen[:count]

    def results(self, most_changes: int) -> list[Found]:
        """What was made as small as it gets; with the time over, perhaps not quite."""
        if not self.polished:
            return []
        table = np.unique(np.stack(self.polished), axis=0)
        distances, changed = self.space.distances(table), self.space.changed(table)
        places = np.array(self.space.places)
        found = [
            Found(
                row,
                tuple(int(j) for j in places[which]),
                self.flipped[row.tobytes()][1],
                float(distance),
            )
            for row, which, distance in zip(table, changed, distances, strict=True)
            if 0 < which.sum() <= most_changes
        ]
        return sorted(found, key=lambda one: (one.cost, one.codes.tobytes()))
