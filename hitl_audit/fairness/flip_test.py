"""What the model says if only a protected attribute were another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import (
    Floats,
    Ints,
    Measure,
    State,
    as_frame,
    as_html,
    check_settings,
    interval_chart,
    mean_interval,
    status_of,
)
from hitl_audit.groups import ALL, group_columns
from hitl_audit.inputs import Predictor
from hitl_audit.intervals import Count, wilson

__all__ = ["Flip", "FlipTest", "flip_test"]

# An attribute with more values than this is a quantity: the user names those to try.
_MOST_VALUES = 20


@dataclass(frozen=True)
class Flip:
    """Rows of one group, scored as if they belonged to another.

    Attributes:
        attribute: the attribute that was changed.
        group: whose rows; ``"all"`` for all that are not of ``to``.
        to: the value they were given; ``"any other"`` counts rows whose
            decision changes for at least one value.
        n: rows changed.
        changed: rows whose decision changed, ``to_favorable`` + ``to_unfavorable``
            (for ``"any other"`` a row counts in both if both happen).
        value: changed / n, with its Wilson interval ``low``, ``high``.
        mean_score_change, score_low, score_high: mean new − old score and its t
            interval; ``None`` for ``"any other"``.
        largest_score_change: largest absolute change.
        method, status: as in :class:`~hitl_audit.fairness.measures.Measure`.
    """

    attribute: str
    group: str
    to: str
    n: int
    changed: int
    to_favorable: int
    to_unfavorable: int
    value: float | None
    low: float | None
    high: float | None
    mean_score_change: float | None
    score_low: float | None
    score_high: float | None
    largest_score_change: float
    method: str
    status: State


@dataclass(frozen=True)
class FlipTest:
    """The answer of a protected-attribute flip test.

    Attributes:
        attribute: the attribute.
        is_input: whether the model is given it at all; if not, nothing was changed.
        flips: one row per group and new value; () if the attribute is not an input.
        words: the answer in a sentence.
        confidence: of every interval.
    """

    attribute: str
    is_input: bool
    flips: tuple[Flip, ...]
    words: str
    confidence: float

    def frame(self) -> pd.DataFrame:
        """One row per group and new value."""
        return as_frame(self.flips, Flip)

    def chart(self) -> Chart:
        """Share of decisions that change, by group and new value.

        Raises:
            InputError: the attribute is not an input, so there is nothing to draw.
        """
        if not self.flips:
            raise InputError(f"nothing to draw: {self.words}")
        metric = "share_of_decisions_that_change"
        measures = [
            Measure(
                f.attribute,
                f"{f.group} → {f.to}",
                metric,
                "value",
                "",
                f.n,
                f.value,
                f.low,
                f.high,
                f.method,
                f.status,
            )
            for f in self.flips
            if f.group != ALL
        ]
        return interval_chart(
            measures,
            attribute=self.attribute,
            metric=metric,
            confidence=self.confidence,
            percent=True,
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        return as_html(self.frame(), [self.words])


def flip_test(
    predictor: Predictor,
    X: pd.DataFrame,
    attribute: str,
    *,
    values: Sequence[Any] | None = None,
    encoding: Mapping[str, Mapping[str, Any]] | None = None,
    confidence: float = 0.95,
    min_group: int = 30,
) -> FlipTest:
    """Change a protected attribute in the rows, and count the decisions that change.

    Everything else in a row stays as it is, so this finds direct use of the
    attribute and nothing else: features that stand in for it do not change
    with it. If the attribute is not among the model's inputs the answer is
    "not an input", which is no statement about fairness.

    Args:
        predictor: score and decision of the model
            (:class:`hitl_audit.inputs.Predictor`).
        X: the model's inputs, rows × features.
        attribute: name of the column.
        values: the values to try; default all that occur in the column.
        encoding: for an attribute that ``X`` holds in several columns: value →
            column → what the column holds then. ``{}`` says that columns with
            similar names are something else.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.

    Raises:
        InputError: no rows, columns that look like an encoding of the attribute,
            too many values, or the model failed on a changed row.
    """
    if not isinstance(predictor, Predictor):
        raise InputError(
            f"predictor is a {type(predictor).__name__}; accepted: a hitl_audit.inputs.Predictor"
        )
    if not isinstance(X, pd.DataFrame) or not len(X):
        found = "empty" if isinstance(X, pd.DataFrame) else f"a {type(X).__name__}"
        raise InputError(f"X is {found}; accepted: a DataFrame with at least one row")
    check_settings(confidence=confidence, min_group=min_group)
    columns = [str(name) for name in X.columns]
    if encoding:
        groups, worlds = _encoded_worlds(X, attribute, encoding)
    elif attribute in columns:
        groups, worlds = _column_worlds(X, columns.index(attribute), attribute, values)
    else:
        _refuse_lookalikes(attribute, columns, encoding)
        return FlipTest(
            attribute,
            False,
            (),
            f"{attribute} is not an input: the model is not given it, so there was nothing to "
            "change. This says nothing about features that stand in for it.",
            confidence,
        )
    old = predictor.score(X)
    scores = {name: predictor.score(world) for name, world in worlds.items()}
    decisions = {name: predictor.decide(score) for name, score in scores.items()}
    flips = _flips(
        attribute, groups, (old, predictor.decide(old)), scores, decisions, confidence, min_group
    )
    return FlipTest(attribute, True, flips, _words(attribute, flips), confidence)


def _column_worlds(
    X: pd.DataFrame, place: int, attribute: str, values: Sequence[Any] | None
) -> tuple[Any, dict[str, pd.DataFrame]]:
    """Each row's group, and the data with everybody given one value."""
    column = X.iloc[:, place]
    known = column.dropna().unique()
    chosen = list(known) if values is None else list(values)
    if values is None and len(chosen) > _MOST_VALUES:
        raise InputError(
            f"{attribute} has {len(chosen)} different values; accepted: up to {_MOST_VALUES}, or "
            "name those to try in values"
        )
    worlds = {}
    for value in chosen:
        try:
            changed = pd.Series([value] * len(X), index=X.index, dtype=column.dtype)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"values has {value!r}, which a column of type {column.dtype} cannot hold: {error}"
            ) from None
        if changed.isna().any():
            raise InputError(f"values has {value!r}, which {attribute} cannot hold; accepted: "
                             f"{', '.join(map(str, known[:_MOST_VALUES]))}")  # fmt: skip
        world = X.copy()
        world.isetitem(place, changed.array)
        worlds[_name_of(value)] = world
    if not worlds:
        raise InputError(f"{attribute} has no known value; accepted: a column with values")
    return group_columns({attribute: column}, len(X))[attribute], worlds


def _encoded_worlds(
    X: pd.DataFrame, attribute: str, encoding: Mapping[str, Mapping[str, Any]]
) -> tuple[Any, dict[str, pd.DataFrame]]:
    for value, settings in encoding.items():
        unknown = [name for name in settings if name not in X.columns]
        if unknown or not settings:
            found = f'has the column "{unknown[0]}"' if unknown else "is empty"
            raise InputError(
                f'encoding of "{value}" {found}; accepted: {", ".join(map(str, X.columns))}'
            )
    groups = np.full(len(X), None, dtype=object)
    worlds = {}
    for value, settings in encoding.items():
        world = X.copy()
        belongs = np.ones(len(X), dtype=bool)
        for name, setting in settings.items():
            belongs &= (X[name] == setting).to_numpy()
            world[name] = pd.Series([setting] * len(X), index=X.index, dtype=X[name].dtype)
        groups[belongs] = str(value)
        worlds[str(value)] = world
    return group_columns({attribute: groups}, len(X))[attribute], worlds


def _name_of(value: Any) -> str:
    """As :func:`hitl_audit.groups.group_columns` names it."""
    return str(group_columns({"value": [value]}, 1)["value"][0])


def _refuse_lookalikes(attribute: str, columns: Sequence[str], encoding: Any) -> None:
    if encoding is not None:
        return
    start = attribute.casefold()
    alike = [
        name
        for name in columns
        if name.casefold().startswith(start)
        and (len(name) == len(start) or not name[len(start)].isalpha())
    ]
    if alike:
        raise InputError(
            f'X has no column "{attribute}", but {", ".join(alike[:5])}; accepted: encoding with '
            "the values these columns take in each group, or encoding={} if they are something else"
        )


def _flips(
    attribute: str,
    groups: Any,
    old: tuple[Floats, Ints],
    scores: Mapping[str, Floats],
    decisions: Mapping[str, Ints],
    confidence: float,
    min_group: int,
) -> tuple[Flip, ...]:
    old_score, old_decision = old
    gained = np.zeros(len(groups), dtype=bool)
    lost = np.zeros(len(groups), dtype=bool)
    largest = np.zeros(len(groups))
    tried = np.zeros(len(groups), dtype=bool)
    found = []

    def flip(group: str, to: str, rows: Any, up: Any, down: Any, change: Any, moved: Any) -> Flip:
        n, changed = int(rows.sum()), int((up | down)[rows].sum())
        low, high = wilson(Count(changed, n), confidence=confidence) or (None, None)
        bounds = (
            (None, None) if change is None else mean_interval(change[rows], confidence=confidence)
        )
        return Flip(
            attribute=attribute,
            group=group,
            to=to,
            n=n,
            changed=changed,
            to_favorable=int(up[rows].sum()),
            to_unfavorable=int(down[rows].sum()),
            value=changed / n if n else None,
            low=low,
            high=high,
            mean_score_change=float(change[rows].mean()) if n and change is not None else None,
            score_low=bounds[0],
            score_high=bounds[1],
            largest_score_change=float(moved[rows].max()) if n else 0.0,
            method="Wilson",
            status=status_of(0.0 if n else None, n, min_group),
        )

    for to, score in scores.items():
        others = groups != to
        up = others & (old_decision == 0) & (decisions[to] == 1)
        down = others & (old_decision == 1) & (decisions[to] == 0)
        change = score - old_score
        moved = np.where(others, np.abs(change), 0.0)
        gained, lost, tried = gained | up, lost | down, tried | others
        largest = np.maximum(largest, moved)
        names = [str(name) for name in np.unique(groups[others])]
        for name in [ALL, *names] if others.any() else []:
            rows = others if name == ALL else groups == name
            found.append(flip(name, to, rows, up, down, change, moved))
    total = flip(ALL, "any other", tried, gained, lost, None, largest)
    return (total, *found)


def _words(attribute: str, flips: Sequence[Flip]) -> str:
    total = flips[0]
    if not total.n:
        return f"{attribute} has the one value in every row that was tried, so nothing was changed."
    if total.largest_score_change == 0:
        return (
            f"{attribute} is among the model's inputs, and no score of {total.n:,} rows changes "
            "with it: the model does not use it here. This says nothing about features that "
            "stand in for it."
        )
    return (
        f"{total.changed:,} of {total.n:,} decisions change when {attribute} alone is changed "
        f"({total.to_favorable:,} to favorable, {total.to_unfavorable:,} to unfavorable); the "
        f"largest change of a score is {total.largest_score_change:.3g}."
    )
