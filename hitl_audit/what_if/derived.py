"""Columns that follow from others: computed anew when what they follow from is edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.what_if.controls import Control
from hitl_audit.what_if.formulas import Derivation, parse_formula
from hitl_audit.what_if.population import Population

__all__ = ["DerivedColumns", "read_derivations"]

FloatArray = npt.NDArray[np.float64]


def read_derivations(
    derived: Mapping[str, str | Derivation], population: Population
) -> dict[str, Derivation]:
    """The derivations, each after those it depends on.

    Raises:
        InputError: a formula cannot be read, names no number of the data, or two
            columns are computed from each other.
    """
    read = {
        name: how if isinstance(how, Derivation) else parse_formula(how)
        for name, how in derived.items()
    }
    numbers = [f for f, n in zip(population.features, population.numeric, strict=True) if n]
    for name, how in read.items():
        for column in (name, *how.columns):
            if column not in numbers:
                raise InputError(
                    f'derived column "{name}" = {how.words}: "{column}" is no number of the data; '
                    f"accepted: {', '.join(numbers)}{did_you_mean(column, numbers)}"
                )
    order: dict[str, Derivation] = {}
    while len(order) < len(read):
        ready = [
            name
            for name, how in read.items()
            if name not in order and all(c in order for c in how.columns if c in read)
        ]
        if not ready:
            circle = ", ".join(name for name in read if name not in order)
            raise InputError(f"derived columns are computed from each other: {circle}")
        order.update({name: read[name] for name in ready})
    return order


@dataclass(frozen=True, eq=False)
class DerivedColumns:
    """All derived columns of a population, in an order in which they can be computed."""

    population: Population
    how: Mapping[str, Derivation]
    controls: Mapping[str, Control]

    def follow(self, start: FloatArray, codes: FloatArray) -> npt.NDArray[np.bool_]:
        """Compute them in place in edited rows (n, p) of the case ``start`` (p,).

        A derived column changes only where something it follows from differs from
        the case; otherwise it keeps the case's own value, so that taking an edit
        back takes back everything. Returns which rows could be computed, (n,).
        """
        possible = np.ones(len(codes), dtype=bool)
        place = {name: j for j, name in enumerate(self.population.features)}
        for name, how in self.how.items():
            j = place[name]
            sources = [place[c] for c in how.columns]
            differs = ~_same(codes[:, sources], start[sources]).all(axis=1)
            codes[:, j] = start[j]
            if not differs.any():
                continue
            found = how({c: codes[differs, place[c]] for c in how.columns})
            found = np.broadcast_to(found, (int(differs.sum()),)).copy()
            if self.population.whole[j]:
                found = np.rint(found)
            codes[differs, j] = found
            unknown = np.isnan(found) if not self.controls[name].allows_missing else False
            possible[differs] &= ~(np.isinf(found) | unknown)
        return possible

    def within_bounds(self, start: FloatArray, codes: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether the derived columns of rows keep the bounds and directions set for them, (n,)."""
        fine = np.ones(len(codes), dtype=bool)
        for name in self.how:
            j, control = self.population.place_of(name), self.controls[name]
            column = codes[:, j]
            same = _same(column, start[j])
            if control.low is not None:
                fine &= same | ~(column < control.low)
            if control.high is not None:
                fine &= same | ~(column > control.high)
            if control.direction == "up":
                fine &= same | ~(column < start[j])
            if control.direction == "down":
                fine &= same | ~(column > start[j])
        return fine


def _same(a: FloatArray, b: FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))
