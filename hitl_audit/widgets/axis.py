"""Where values lie on the axis of a panel, from 0 to 1. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["TOPS", "Axis", "top_of"]

TOPS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Where an axis of rates may end: few steps, so that it stands still while a slider moves."""


@dataclass(frozen=True)
class Axis:
    """Between two ends; what lies beyond is put at the end."""

    low: float
    high: float

    def at(self, value: float | None) -> float | None:
        """The place of a value, or nothing where there is none."""
        if value is None:
            return None
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(share, 4)

    def ticks(self, values: Sequence[float], words: Sequence[str]) -> list[list[Any]]:
        """Pairs of a place and its words."""
        return [[self.at(v), w] for v, w in zip(values, words, strict=True)]

    @classmethod
    def of_rates(cls, values: Iterable[float | None]) -> Axis:
        """From 0 to the first of :data:`TOPS` that covers the values."""
        return cls(0.0, top_of(values, TOPS))

    @property
    def rate_ticks(self) -> list[list[Any]]:
        """Both ends and the middle, in percent."""
        values = (self.low, (self.low + self.high) / 2, self.high)
        return self.ticks(values, [f"{v * 100:g}%" for v in values])


def top_of(values: Iterable[float | None], tops: Sequence[float]) -> float:
    """The first top that covers every finite value, or the last one."""
    most = max((v for v in values if v is not None and math.isfinite(v)), default=tops[-1])
    return next((top for top in tops if most <= top), tops[-1])
