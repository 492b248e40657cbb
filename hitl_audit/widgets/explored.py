"""What the explanation explorer shows, as plain words, places and lengths. Pure.

The numbers are those of :meth:`Explanation.global_importance`, of all cases or
of some, and the attributions themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.views.feature_rows import FeatureRows, feature_rows
from hitl_audit.review.words import bars, value_words

__all__ = ["ORDERS", "Explored", "Labels"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

ORDERS = {
    "strongest": "strongest first",
    "up": "raises the score most first",
    "down": "lowers the score most first",
    "value": "largest value first",
}
TOP = 8
KEPT = 64  # features whose places are kept for the next look


@dataclass(frozen=True)
class Labels:
    """An audit's words: for features, the two decisions, and facts that belong together."""

    features: Mapping[str, str]
    decisions: tuple[str, str]
    groups: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, eq=False)
class Explored:
    """The explanations of an audit, with what is known about their cases.

    Attributes:
        explanation: n rows × p features.
        labels: the plan's words.
        importance: of all cases, as ``global_importance`` has it; ``None`` until known.
        groups: (n rows) one column per attribute; cases can be narrowed down to a group.
        decided: (n,) the model's decision, True for the favorable one.
        recorded: (n,) the recorded outcome, 1 for the favorable one.
        threshold: from which the decision is favorable.
        quality: case → reliable, reason; the cases it knows.
        confidence: of intervals.
        min_group: fewer cases decide nothing.
    """

    explanation: Explanation
    labels: Labels
    groups: pd.DataFrame
    decided: BoolArray
    recorded: npt.NDArray[Any]
    threshold: float
    confidence: float
    min_group: int
    importance: pd.DataFrame | None = None
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)

    _drawn: dict[int, FeatureRows] = field(default_factory=dict, init=False, repr=False)

    # ------------------------------------------------------------------- cases

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The case ids, in the order of the explanation."""
        return tuple(map(str, self.explanation.index))

    @cached_property
    def group_names(self) -> tuple[tuple[str, str], ...]:
        """``(attribute, group)`` that cases can be narrowed down to, in order."""
        return tuple(
            (str(attribute), str(group))
            for attribute in self.groups.columns
            for group in sorted(self.groups[attribute].dropna().astype(str).unique())
        )

    def group(self, place: int) -> BoolArray:
        """(n,) which cases are of a group.

        Raises:
            InputError: no such group.
        """
        if not 0 <= place < len(self.group_names):
            raise InputError(f"group is {place}; expected 0 to {len(self.group_names) - 1}")
        attribute, name = self.group_names[place]
        return np.asarray(self.groups[attribute].astype(str) == name, dtype=bool)

    def label(self, feature: str) -> str:
        """A feature in the plan's words."""
        return self.labels.features.get(feature, feature)

    # ------------------------------------------------------------------ words

    def amount(self, value: float, *, signed: bool = True) -> str:
        """An attribution for people: ``+14.8 points`` on the probability scale."""
        size = abs(value)
        if self.explanation.scale == "probability":
            text, unit = f"{100 * size:.1f}", "points"
        elif self.explanation.scale == "log-odds":
            text, unit = f"{size:.2f}", "log-odds"
        else:
            text, unit = f"{size:.3g}", ""
        sign = ""
        if signed and float(text):
            sign = "+" if value > 0 else "−"
        return f"{sign}{text} {unit}".strip()

    def score(self, value: float) -> str:
        """A prediction for people: ``88.0 of 100``."""
        if self.explanation.scale == "probability":
            return f"{100 * value:.1f} of 100"
        return f"{value:.3g}".replace("-", "−")

    @property
    def how(self) -> str:
        """The method in a sentence."""
        e = self.explanation
        n = len(e.values)
        exact = "exact" if e.exact else "approximate"
        return (
            f"{e.method.upper()} values ({e.algorithm}, {exact}) of the score for "
            f"“{self.labels.decisions[0]}”: {n:,} cases, compared with {e.background_size:,} "
            "others."
        )

    # ------------------------------------------------------------- importance

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The features, strongest for all cases first."""
        size = np.abs(self.explanation.values).mean(axis=0)
        return tuple(int(j) for j in np.argsort(-size, kind="stable"))

    def plain_importance(self, members: BoolArray | None = None) -> dict[str, Any]:
        """Mean size of the attributions of some cases, without intervals: at once."""
        values = self.explanation.values if members is None else self.explanation.values[members]
        mean = np.abs(values).mean(axis=0) if len(values) else np.zeros(values.shape[1])
        lines = [self._importance(j, float(mean[j]), None, None) for j in self.order]
        return {"lines": lines, "n": len(values), "told": self._told(len(values))}

    def full_importance(self, members: BoolArray | None = None) -> dict[str, Any]:
        """The same with intervals, which takes longer with many cases."""
        if members is None:
            table = self.importance
            if table is None:
                table = self.explanation.global_importance(self.confidence)
        else:
            table = self.explanation.select(members).global_importance(self.confidence)
        found = {
            str(feature): (float(mean), _known(low), _known(high))
            for feature, mean, low, high in zip(
                table["feature"], table["mean_abs"], table["low"], table["high"], strict=True
            )
        }
        names = self.explanation.feature_names
        lines = [self._importance(j, *found[names[j]]) for j in self.order]
        n = int(table["n"].iloc[0])
        return {"lines": lines, "n": n, "told": self._told(n)}

    def _importance(
        self, place: int, value: float, low: float | None, high: float | None
    ) -> dict[str, Any]:
        between = ""
        if low is not None and high is not None:
            between = f"{self.amount(low, signed=False).split()[0]} to "
            between += self.amount(high, signed=False).split()[0]
        return {
            "feature": place,
            "label": self.label(self.explanation.feature_names[place]),
            "value": self.amount(value, signed=False),
            "interval": between,
            "at": [value, low, high],
        }

    def _told(self, n: int) -> str:
        """Why these numbers decide nothing, or nothing."""
        if n < self.min_group:
            return f"insufficient data: {n:,} cases, needs {self.min_group}"
        return ""

    # ------------------------------------------------------------------- rows

    def feature(self, place: int) -> FeatureRows:
        """Every row of a feature, as places.

        Raises:
            InputError: no such feature.
        """
        if place not in self._drawn:
            if len(self._drawn) >= KEPT:
                self._drawn.clear()
            self._drawn[place] = feature_rows(self.explanation, self._name(place))
        return self._drawn[place]

    def feature_words(self, rows: FeatureRows, place: int) -> dict[str, Any]:
        """What is said beside the places."""
        lowest, highest = self.amount(float(rows.y.min())), self.amount(float(rows.y.max()))
        label = self.label(rows.feature)
        return {
            "feature": place,
            "label": label,
            "ticks": [[self._across(rows, at), name] for at, name in rows.ticks],
            "heights": [[self._up(rows, at), self._plain(at)] for at in _rounds(*rows.y_range)],
            "zero": self._up(rows, 0.0),
            "words": f"{label} moves the score by {lowest} to {highest}.",
            "means": [[m.words, self.amount(m.mean), m.n] for m in rows.by_value],
        }

    def places(self, rows: FeatureRows) -> tuple[bytes, bytes]:
        """x and y of every row from 0 to 1, as 32-bit floats: what the page draws."""
        x = (rows.x - rows.x_range[0]) / (rows.x_range[1] - rows.x_range[0])
        y = (rows.y - rows.y_range[0]) / (rows.y_range[1] - rows.y_range[0])
        return x.astype("<f4").tobytes(), y.astype("<f4").tobytes()

    def ordered(self, feature: int, how: str, members: BoolArray | None) -> IntArray:
        """The rows in an order for reading.

        Raises:
            InputError: no such feature, or order.
        """
        if how not in ORDERS:
            raise InputError(f'order is "{how}"; accepted: {", ".join(ORDERS)}')
        phi = self.explanation.values[:, self._place(feature)]
        if how == "value":
            column = self.explanation.data.iloc[:, feature]
            if column.dtype == object:
                column = column.astype(str)
            keys = -column.rank(method="dense", na_option="bottom").to_numpy(dtype=np.float64)
            keys = np.where(column.isna(), np.inf, keys)
        else:
            keys = {"strongest": -np.abs(phi), "up": -phi, "down": phi}[how]
        found = np.argsort(keys, kind="stable")
        return found if members is None else found[members[found]]

    def row(self, place: int, feature: int) -> dict[str, Any]:
        """One line of the list."""
        phi = float(self.explanation.values[place, self._place(feature)])
        return {
            "place": place,
            "case": self.names[place],
            "value": value_words(self.explanation.data.iat[place, feature]),
            "effect": self._arrow(phi),
            "score": self.score(float(self.explanation.predictions[place])),
        }

    def _arrow(self, phi: float) -> str:
        words = self.amount(phi)
        arrow = "▲" if words.startswith("+") else "▼" if words.startswith("−") else "="
        return f"{arrow} {words}"

    # ------------------------------------------------------------------- case

    def case(self, place: int) -> dict[str, Any]:
        """One case: its facts, and what speaks for and against.

        Raises:
            InputError: no such row.
        """
        if not 0 <= place < len(self.names):
            raise InputError(f"row is {place}; expected 0 to {len(self.names) - 1}")
        e, name = self.explanation, self.names[place]
        facts = {f: value_words(e.data.iat[place, j]) for j, f in enumerate(e.feature_names)}
        yes, no = self.labels.decisions
        decided = yes if self.decided[place] else no
        recorded = yes if self.recorded[place] else no
        reliable, reason = self._reliable(e.index[place])
        prediction, base = float(e.predictions[place]), float(e.base_values[place])
        return {
            "place": place,
            "case": name,
            "decision": decided,
            "score": f"The model’s score for “{yes}”: {self.score(prediction)}",
            "rule": f"“{yes}” from {self.score(self.threshold)}",
            "probability": prediction if e.scale == "probability" else None,
            "threshold": self.threshold,
            "recorded": f"In the data: {recorded}"
            + ("" if recorded == decided else ", which is not what the model decided"),
            "wrong": recorded != decided,
            "start": f"Starting from {self.score(base)}, the average of the comparison cases.",
            "legend": f"▲ towards “{yes}”   ▼ towards “{no}”",
            "bars": self._bars(place, facts),
            "reliable": reliable,
            "reason": reason,
            "groups": [
                [title, [[self.label(f), facts[f]] for f in features if f in facts]]
                for title, features in self.labels.groups
            ],
        }

    def _bars(self, place: int, facts: Mapping[str, str]) -> list[dict[str, Any]]:
        e = self.explanation
        given = [
            (self.label(f), facts[f], float(phi))
            for f, phi in zip(e.feature_names, e.values[place], strict=True)
        ]
        # The words for a plain value are the same without a unit.
        scale = "log-odds" if e.scale == "value" else e.scale
        found = []
        for bar in bars(given, scale=scale, top=TOP):
            told = {name: getattr(bar, name) for name in bar.__dataclass_fields__}
            if e.scale == "value":
                told |= {k: told[k].replace(" log-odds", "") for k in ("text", "sentence")}
            found.append(told)
        return found

    def _reliable(self, case: Any) -> tuple[bool | None, str]:
        """Whether the explanation passed the plan's bar; ``None`` where that was not examined."""
        if case not in self.quality.index:
            return None, (
                "Whether this explanation can be relied on was examined for the cases that people "
                "judge, and not for this one."
            )
        found = self.quality.loc[case]
        return bool(found["reliable"]), str(found["reason"])

    # ----------------------------------------------------------------- inside

    def _place(self, feature: int) -> int:
        if not 0 <= feature < len(self.explanation.feature_names):
            raise InputError(
                f"feature is {feature}; expected 0 to {len(self.explanation.feature_names) - 1}"
            )
        return feature

    def _name(self, feature: int) -> str:
        return self.explanation.feature_names[self._place(feature)]

    def _plain(self, value: float) -> str:
        if self.explanation.scale == "probability":
            return f"{100 * value:+.3g}".replace("-", "−").replace("+0", "0") if value else "0"
        return f"{value:+.3g}".replace("-", "−") if value else "0"

    @staticmethod
    def _across(rows: FeatureRows, at: float) -> float:
        low, high = rows.x_range
        return (at - low) / (high - low)

    @staticmethod
    def _up(rows: FeatureRows, at: float) -> float:
        low, high = rows.y_range
        return (at - low) / (high - low)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _rounds(low: float, high: float) -> list[float]:
    """Three to seven round numbers within a range, 0 among them."""
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(f for f in (1, 2, 5, 10) if f * step >= (high - low) / 5)
    return [
        float(k * step) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)
    ]
