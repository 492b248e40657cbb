"""The controls of a population: kinds, ranges, steps and categories as the data have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.what_if.controls import Constraint, Control, Kind
from hitl_audit.what_if.edits import Value
from hitl_audit.what_if.formulas import Derivation
from hitl_audit.what_if.population import Population

__all__ = ["controls_of"]

_STEPS = 200  # a slider has about so many places
_MOST_DECIMALS = 6


def controls_of(
    X: pd.DataFrame,
    population: Population,
    *,
    constraints: Sequence[Constraint] = (),
    derived: Mapping[str, Derivation] | None = None,
    labels: Mapping[str, str] | None = None,
    protected: Sequence[str] = (),
) -> dict[str, Control]:
    """A control for each feature, in the data's order.

    Raises:
        InputError: a constraint names no feature, or does not fit its feature.
    """
    by_feature: dict[str, Constraint] = {}
    for constraint in constraints:
        if constraint.feature not in population.features:
            raise InputError(
                f'constraint names the feature "{constraint.feature}"; accepted: '
                f"{', '.join(population.features)}"
                + did_you_mean(str(constraint.feature), population.features)
            )
        if constraint.feature in by_feature:
            raise InputError(f"{constraint.feature} has two constraints; expected one")
        by_feature[constraint.feature] = constraint
    return {
        name: _control(
            X.iloc[:, j],
            j,
            population,
            by_feature.get(name, Constraint(name)),
            derived=(derived or {}).get(name),
            label=(labels or {}).get(name, name),
            protected=name in protected,
        )
        for j, name in enumerate(population.features)
    }


def _control(
    column: pd.Series,
    place: int,
    population: Population,
    constraint: Constraint,
    *,
    derived: Derivation | None,
    label: str,
    protected: bool,
) -> Control:
    why = ""
    if derived is not None:
        why = f"it is computed as {derived.words}"
    elif constraint.immutable:
        why = "the plan says that nobody can change it"
    codes = population.codes[:, place]
    seen = codes[np.isfinite(codes)] if population.numeric[place] else np.empty(0)
    kind, categories, ordered = _kind(column, place, population, constraint)
    decimals, step = _decimals_and_step(seen, kind, constraint)
    return Control(
        feature=constraint.feature,
        label=label,
        kind=kind,
        seen_low=float(seen.min()) if len(seen) else None,
        seen_high=float(seen.max()) if len(seen) else None,
        low=None if constraint.low is None else float(constraint.low),
        high=None if constraint.high is None else float(constraint.high),
        step=step,
        decimals=decimals,
        categories=categories,
        ordered=ordered,
        allows_missing=bool(column.isna().any()),
        constant=len(np.unique(codes)) < 2,
        direction=constraint.direction,
        unit=constraint.unit,
        derived=None if derived is None else derived.words,
        protected=protected,
        why_locked=why,
    )


def _kind(
    column: pd.Series, place: int, population: Population, constraint: Constraint
) -> tuple[Kind, tuple[Value, ...], bool]:
    where = f"constraint of {constraint.feature}"
    if is_number(column):
        if constraint.categories:
            raise InputError(f"{where}: categories are given, but it is a number; use low and high")
        if pd.api.types.is_integer_dtype(column.dtype) and constraint.decimals:
            raise InputError(
                f"{where}: decimals is {constraint.decimals}, but the data hold whole numbers "
                f"({column.dtype}); expected 0"
            )
        whole = bool(population.whole[place]) and constraint.decimals in (None, 0)
        return ("integer" if whole else "number"), (), True
    if constraint.low is not None or constraint.high is not None or constraint.step is not None:
        raise InputError(f"{where}: low, high and step belong to numbers; use categories")
    known = tuple(v for v in population.categories[place] if v is not None)
    dtype = column.dtype
    ordered = isinstance(dtype, pd.CategoricalDtype) and bool(dtype.ordered)
    if ordered:
        order = [str(c) for c in dtype.categories]  # type: ignore[union-attr]
        known = tuple(sorted(known, key=lambda v: order.index(str(v))))
    if constraint.categories:
        strange = [v for v in constraint.categories if v not in known]
        if strange:
            raise InputError(
                f"{where}: categories has {', '.join(map(repr, strange))}, which the data do not "
                f"have; accepted: {', '.join(map(repr, known))}"
            )
        known = tuple(v for v in constraint.categories if v is not None)
        ordered = True
    kind: Kind = "boolean" if all(isinstance(v, bool) for v in known) and known else "category"
    ordered = ordered or kind == "boolean"
    if constraint.direction is not None and not ordered:
        raise InputError(
            f'{where}: direction is "{constraint.direction}", but its values have no order; '
            "list them in categories, in their order"
        )
    return kind, known, ordered


def _decimals_and_step(seen: Any, kind: Kind, constraint: Constraint) -> tuple[int, float | None]:
    if kind in ("category", "boolean"):
        return 0, None
    if kind == "integer":
        span = float(np.ptp(seen)) if len(seen) else 0.0
        step = constraint.step or max(1.0, _round_number(span / (5 * _STEPS)))
        return 0, float(max(1.0, step))
    decimals = constraint.decimals
    if decimals is None:
        distinct = np.unique(seen)
        fitting = (
            d
            for d in range(_MOST_DECIMALS + 1)
            if np.allclose(distinct, np.round(distinct, d), rtol=1e-12, atol=1e-12)
        )
        span = float(np.ptp(seen)) if len(seen) else 1.0
        wanted = max(0, 3 - math.floor(math.log10(span or 1.0)))
        decimals = min(next(fitting, _MOST_DECIMALS), wanted) if len(seen) else 2
    span = float(np.ptp(seen)) if len(seen) else 0.0
    step = constraint.step or max(_round_number(span / _STEPS), 10.0**-decimals)
    return decimals, float(step)


def _round_number(x: float) -> float:
    """The largest of 1, 2, 5 × a power of ten that is at most x; 0 for 0."""
    if not x > 0 or not math.isfinite(x):
        return 0.0
    power = 10.0 ** math.floor(math.log10(x))
    return power * max(k for k in (1, 2, 5) if k * power <= x * (1 + 1e-12))
