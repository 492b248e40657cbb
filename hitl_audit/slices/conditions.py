"""Conditions on features, in plain words, as slices of the data are described by them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError

__all__ = ["Condition", "FeatureCells", "cells_of", "described"]

MISSING = "is missing"
# A category is offered as a condition if it is among this many of its feature.
MOST_CATEGORIES = 20


@dataclass(frozen=True)
class Condition:
    """One condition on one feature: a range, a category, or a missing value.

    Attributes:
        feature: the name of the column.
        kind: ``"range"``, ``"category"`` or ``"missing"``.
        above, up_to: bounds of a range: the value is more than ``above`` and
            at most ``up_to``; ``None`` where it is open.
        category: the value of a category, as text.
        label: the feature in words.
    """

    feature: str
    kind: Literal["range", "category", "missing"]
    above: float | None = None
    up_to: float | None = None
    category: str = ""
    label: str = ""

    @property
    def predicate(self) -> str:
        """The condition without the feature: ``"above 36"``, ``"is yes"``."""
        if self.kind == "missing":
            return MISSING
        if self.kind == "category":
            return f"is {self.category}"
        if self.above is None:
            return f"at most {_number(self.up_to)}"
        if self.up_to is None:
            return f"above {_number(self.above)}"
        return f"above {_number(self.above)} and at most {_number(self.up_to)}"

    @property
    def words(self) -> str:
        """The condition in words: ``"Debt ratio above 36"``."""
        return f"{self.label} {self.predicate}"

    @property
    def negated(self) -> str:
        """The opposite in words: ``"Debt ratio not above 36"``."""
        if self.kind == "range":
            shown = f"({self.predicate})" if self.two_sided else self.predicate
            return f"{self.label} not {shown}"
        return f"{self.label} {self.predicate.replace('is ', 'is not ', 1)}"

    @property
    def two_sided(self) -> bool:
        """A range with two ends."""
        return self.above is not None and self.up_to is not None

    def holds(self, values: Any) -> npt.NDArray[np.bool_]:
        """Which rows of the feature meet it; a missing value meets no range and no category."""
        column = pd.Series(values)
        missing = column.isna().to_numpy()
        if self.kind == "missing":
            return np.asarray(missing, dtype=bool)
        if self.kind == "category":
            return np.asarray((_texts(column) == self.category) & ~missing, dtype=bool)
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        held = ~missing
        if self.above is not None:
            held &= numbers > self.above
        if self.up_to is not None:
            held &= numbers <= self.up_to
        return np.asarray(held, dtype=bool)


@dataclass(frozen=True)
class FeatureCells:
    """One feature cut into cells, and the conditions that are unions of cells.

    Attributes:
        codes: (rows,) the cell of each row.
        size: number of cells.
        conditions: what may be said of this feature.
        members: (conditions, cells) 1 where a condition includes a cell.
    """

    feature: str
    codes: npt.NDArray[np.intp]
    size: int
    conditions: tuple[Condition, ...]
    members: npt.NDArray[np.float64]


def described(conditions: tuple[Condition, ...]) -> str:
    """Conditions joined: ``"Debt ratio above 36 and Self-employed is yes"``."""
    return " and ".join(condition.words for condition in conditions)


def cells_of(
    column: pd.Series[Any],
    searched: npt.NDArray[np.bool_],
    *,
    bins: int,
    min_size: int,
    labels: Mapping[str, str],
) -> FeatureCells:
    """Cut one feature; cut points and categories come from the searched rows alone.

    Numbers are cut at the quantiles of the searched rows (at values that
    occur), and every run of neighboring cells is a condition. Categories,
    booleans and numbers with two values are conditions by themselves if at
    least ``min_size`` searched rows have them. Missing values are a cell of
    their own.

    Raises:
        InputError: a column of dates, or of something else than numbers, booleans and texts.
    """
    name = str(column.name)
    label = labels.get(name, name)
    missing = column.isna().to_numpy(dtype=bool)
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_complex_dtype(column):
        raise InputError(
            f'X: column "{name}" is of type {column.dtype}; accepted: numbers, booleans, texts '
            "or categories (turn a date into a number, such as days)"
        )
    conditions: list[Condition] = []
    covered: list[list[int]] = []
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan) if numeric else None
    if numbers is not None and len(np.unique(numbers[searched & ~missing])) > 2:
        edges = _edges(numbers[searched & ~missing], bins)
        codes = np.searchsorted(edges, numbers, side="left")
        size = len(edges) + 1
        for first in range(size):
            for last in range(first, size):
                if (first, last) == (0, size - 1):
                    continue
                above = float(edges[first - 1]) if first else None
                up_to = float(edges[last]) if last < size - 1 else None
                conditions.append(Condition(name, "range", above, up_to, label=label))
                covered.append(list(range(first, last + 1)))
    else:
        texts = _texts(column)
        found, number = np.unique(texts[searched & ~missing], return_counts=True)
        order = np.lexsort((found, -number))
        kept = sorted(str(found[i]) for i in order[:MOST_CATEGORIES] if number[i] >= min_size)
        places = {text: place for place, text in enumerate(kept)}
        size = len(kept) + 1  # the last cell holds all other categories
        distinct, inverse = np.unique(texts, return_inverse=True)
        codes = np.array([places.get(str(text), size - 1) for text in distinct])[inverse]
        conditions += [Condition(name, "category", category=text, label=label) for text in kept]
        covered += [[place] for place in range(len(kept))]
    if missing.any():
        codes = np.where(missing, size, codes)
        conditions.append(Condition(name, "missing", label=label))
        covered.append([size])
        size += 1
    members = np.zeros((len(conditions), size))
    for row, cells in enumerate(covered):
        members[row, cells] = 1
    return FeatureCells(name, codes.astype(np.intp), size, tuple(conditions), members)


def _edges(numbers: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.float64]:
    """Inner cut points at values that occur; a cell is what lies above one, up to the next."""
    distinct = np.unique(numbers)
    if len(distinct) <= bins:
        return distinct[:-1]
    inner = np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    edges = np.unique(inner)
    edges = edges[edges < distinct[-1]]
    # Nearly all rows have the largest value: it against all others.
    return edges if len(edges) else distinct[-2:-1]


def _texts(column: pd.Series[Any]) -> npt.NDArray[np.str_]:
    """The values as text; a missing one is empty."""
    codes, levels = pd.factorize(column)
    return np.array([*(_text(level) for level in levels), ""], dtype=np.str_)[codes]


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _number(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:,.0f}"
