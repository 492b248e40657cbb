"""A fitted preprocessing as arithmetic: a row of codes in, the estimator's columns out.

``ColumnTransformer.transform`` costs milliseconds for one row, nearly all of it in building
tables. Here a category's columns are looked up (the preprocessing itself was asked once for each
known value), and a number's columns repeat the transformers' own operations in their
order, so that the same bits come out. Whether they do is the caller's to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import ExplanationError
from hitl_audit.explanations.encoding import Encoding, column_positions, source_columns
from hitl_audit.what_if.population import Population

__all__ = ["NotArithmeticError", "RowEncoder"]

FloatArray = npt.NDArray[np.float64]
Operation = tuple[str, float]


class NotArithmeticError(Exception):
    """A preprocessing that cannot be repeated by arithmetic; the message says why."""


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Columns made from numbers by the same kinds of operations, one after another."""

    source: npt.NDArray[np.intp]
    target: npt.NDArray[np.intp]
    operations: tuple[tuple[str, FloatArray], ...]


@dataclass(frozen=True, eq=False)
class _Lookup:
    """Columns made from one category: a row of ``table`` per code."""

    source: int
    target: npt.NDArray[np.intp]
    table: FloatArray


@dataclass(frozen=True, eq=False)
class RowEncoder:
    """Codes (n, p) → the estimator's columns (n, q)."""

    width: int
    numbers: tuple[_Numbers, ...]
    lookups: tuple[_Lookup, ...]

    @classmethod
    def of(cls, encoding: Encoding, population: Population) -> RowEncoder:
        """Read it from the fitted transformers.

        Raises:
            NotArithmeticError: a transformer of numbers that is not known here.
        """
        names = list(population.features)
        columns = [_Column(j, ()) for j in range(len(names))]
        for step in encoding.steps:
            columns = _trace(step, names, columns)
            names = [f"column {i}" for i in range(len(columns))]
        if [c.source for c in columns] != encoding.source.tolist():
            raise NotArithmeticError("the order of its columns is not clear")
        for column in columns:
            if population.numeric[column.source] and column.operations is None:
                raise NotArithmeticError(
                    f"{population.features[column.source]} is a number and passes a transformer "
                    f"that is not repeated here"
                )
        lookups = tuple(
            _lookup(int(j), encoding, population)
            for j in np.flatnonzero(~population.numeric)
            if (encoding.source == j).any()
        )
        return cls(len(columns), _grouped(columns, population), lookups)

    def __call__(self, codes: FloatArray) -> FloatArray:
        """The estimator's columns for rows of codes."""
        out = np.empty((len(codes), self.width))
        for group in self.numbers:
            x = codes[:, group.source]
            for kind, parameter in group.operations:
                x = _apply(kind, parameter, x)
            out[:, group.target] = x
        for lookup in self.lookups:
            out[:, lookup.target] = lookup.table[codes[:, lookup.source].astype(np.intp)]
        return out


@dataclass(frozen=True)
class _Column:
    """One column on its way: where it comes from; ``None``: by operations not known here."""

    source: int
    operations: tuple[Operation, ...] | None

    def then(self, *operations: Operation) -> _Column:
        known = self.operations
        return _Column(self.source, None if known is None else (*known, *operations))


def _apply(kind: str, parameter: FloatArray, x: FloatArray) -> FloatArray:
    if kind == "fill":
        return np.where(np.isnan(x), parameter, x)
    if kind == "subtract":
        return x - parameter
    if kind == "divide":
        return x / parameter
    if kind == "multiply":
        return x * parameter
    if kind == "add":
        return x + parameter
    if kind == "at least":
        return np.maximum(x, parameter)
    if kind == "at most":
        return np.minimum(x, parameter)
    if kind == "is":
        return np.asarray(x == parameter, dtype=np.float64)
    return np.isnan(x).astype(np.float64)  # "is missing"


def _grouped(columns: Sequence[_Column], population: Population) -> tuple[_Numbers, ...]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for target, column in enumerate(columns):
        if population.numeric[column.source] and column.operations is not None:
            groups.setdefault(tuple(kind for kind, _ in column.operations), []).append(target)
    made = []
    for kinds, targets in groups.items():
        chosen = [columns[t] for t in targets]
        parameters = np.array(
            [[value for _, value in c.operations or ()] for c in chosen], dtype=np.float64
        ).reshape(len(chosen), len(kinds))
        made.append(
            _Numbers(
                np.array([c.source for c in chosen], dtype=np.intp),
                np.array(targets, dtype=np.intp),
                tuple((kind, parameters[:, k].copy()) for k, kind in enumerate(kinds)),
            )
        )
    return tuple(made)


def _lookup(place: int, encoding: Encoding, population: Population) -> _Lookup:
    """Ask the preprocessing once for each known value; the other features do not matter."""
    values = population.categories[place]
    rows = np.repeat(population.codes[:1], len(values), axis=0)
    rows[:, place] = np.arange(len(values))
    target = np.flatnonzero(encoding.source == place)
    try:
        made = encoding.transform(population.frame(rows))
    except (ExplanationError, ValueError, TypeError) as error:
        raise NotArithmeticError(
            f"the preprocessing refuses a value of {population.features[place]} ({error})"
        ) from error
    return _Lookup(place, target, made[:, target].copy())


def _trace(step: Any, names: Sequence[str], columns: list[_Column]) -> list[_Column]:
    """What one fitted transformer makes of its columns, in its order."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_selection import SelectorMixin
    from sklearn.pipeline import FeatureUnion, Pipeline

    if step in (None, "passthrough"):
        return columns
    if isinstance(step, Pipeline):
        for _, part in step.steps:
            columns = _trace(part, names, columns)
            names = [f"column {i}" for i in range(len(columns))]
        return columns
    if isinstance(step, ColumnTransformer):
        return _trace_parts(step, names, columns)
    if isinstance(step, FeatureUnion):
        parts = [part for _, part in step.transformer_list if part != "drop"]
        if step.transformer_weights:
            return [_Column(c.source, None) for part in parts for c in _trace(part, names, columns)]
        return [c for part in parts for c in _trace(part, names, columns)]
    if isinstance(step, SelectorMixin):
        return [columns[int(j)] for j in step.get_support(indices=True)]
    known = _trace_known(step, columns)
    if known is not None:
        return known
    return [_Column(columns[j].source, None) for j in source_columns(step, names)]


def _trace_parts(step: Any, names: Sequence[str], columns: list[_Column]) -> list[_Column]:
    seen = [str(c) for c in getattr(step, "feature_names_in_", names)]
    if list(names) != seen and set(names) == set(seen):
        place = {name: i for i, name in enumerate(names)}
        columns = [columns[place[name]] for name in seen]  # the caller's columns in another order
    made: dict[int, _Column] = {}
    weighted = bool(step.transformer_weights)
    for name, part, chosen in step.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        places = column_positions(chosen, seen)
        if not places:
            continue
        found = _trace(part, [seen[i] for i in places], [columns[i] for i in places])
        start = step.output_indices_[name].start
        for k, column in enumerate(found):
            made[start + k] = _Column(column.source, None) if weighted else column
    return [made[k] for k in sorted(made)]


def _trace_known(step: Any, columns: list[_Column]) -> list[_Column] | None:
    """The transformers of numbers whose arithmetic is repeated; ``None`` for all others."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import (
        FunctionTransformer,
        MaxAbsScaler,
        MinMaxScaler,
        OneHotEncoder,
        RobustScaler,
        StandardScaler,
    )

    if isinstance(step, SimpleImputer):
        return _imputed(step, columns)
    if isinstance(step, StandardScaler):
        return _scaled(columns, step.mean_ if step.with_mean else None, step.scale_)
    if isinstance(step, RobustScaler):
        center = step.center_ if step.with_centering else None
        return _scaled(columns, center, step.scale_ if step.with_scaling else None)
    if isinstance(step, MaxAbsScaler) and not getattr(step, "clip", False):
        return _scaled(columns, None, step.scale_)
    if isinstance(step, MinMaxScaler):
        made = [
            c.then(("multiply", float(s)), ("add", float(m)))
            for c, s, m in zip(columns, step.scale_, step.min_, strict=True)
        ]
        if step.clip:
            low, high = (float(v) for v in step.feature_range)
            made = [c.then(("at least", low), ("at most", high)) for c in made]
        return made
    if isinstance(step, OneHotEncoder):
        return _one_hot(step, columns)
    if isinstance(step, FunctionTransformer) and step.func is None:
        return columns
    return None


def _scaled(columns: list[_Column], center: Any, scale: Any) -> list[_Column]:
    made = columns
    if center is not None:
        made = [c.then(("subtract", float(m))) for c, m in zip(made, center, strict=True)]
    if scale is not None:
        made = [c.then(("divide", float(s))) for c, s in zip(made, scale, strict=True)]
    return made


def _imputed(step: Any, columns: list[_Column]) -> list[_Column] | None:
    missing = step.missing_values
    if not (isinstance(missing, float) and np.isnan(missing)):
        return None
    try:
        fills = np.asarray(step.statistics_, dtype=np.float64)
    except (TypeError, ValueError):  # texts: a category's columns are looked up
        fills = np.full(len(columns), np.nan)
    kept = [
        c.then(("fill", float(v)))
        for c, v in zip(columns, fills, strict=True)
        if not np.isnan(v) or step.keep_empty_features or step.strategy == "constant"
    ]
    if np.isnan(fills).any() and len(kept) != len(columns):
        return None
    if step.add_indicator:
        kept += [columns[int(j)].then(("is missing", 0.0)) for j in step.indicator_.features_]
    return kept


def _one_hot(step: Any, columns: list[_Column]) -> list[_Column] | None:
    """Numbers that are kinds: one column per known value, 0 in all for any other."""
    if getattr(step, "infrequent_categories_", None) is not None or (
        step.handle_unknown == "error"
    ):
        return None
    made = []
    for j, (column, categories) in enumerate(zip(columns, step.categories_, strict=True)):
        dropped = None if step.drop_idx_ is None else step.drop_idx_[j]
        for k, category in enumerate(categories):
            if k == dropped:
                continue
            if isinstance(category, int | float | np.number):
                number = float(category)
                how: Operation = ("is missing", 0.0) if np.isnan(number) else ("is", number)
                made.append(column.then(how))
            else:
                made.append(_Column(column.source, None))
    return made
