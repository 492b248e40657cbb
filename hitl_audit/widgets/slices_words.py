"""What the slices panel shows: errors as words, and places on an axis from 0 to 1. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.analyses import error_rows, error_table
from hitl_audit.charts import number
from hitl_audit.error_slices import (
    Branch,
    ErrorSlice,
    ErrorSlices,
    branch_holds,
    error_branches,
)
from hitl_audit.errors import InputError
from hitl_audit.findings import percent
from hitl_audit.inputs import AuditInputs
from hitl_audit.intervals import Count, wilson
from hitl_audit.plan import AuditPlan
from hitl_audit.widgets.axis import Axis
from hitl_audit.widgets.cohort import Cohort

__all__ = ["SlicesSetting", "cohort_words", "slices_schema"]

SLICE_STATUS = {
    "confirmed": ("not met", "✕", "confirmed"),
    "not confirmed": ("not assessed", "–", "not confirmed"),
    "too few rows": ("insufficient data", "?", "insufficient data"),
}


@dataclass(frozen=True, eq=False)
class SlicesSetting:
    """The slices and the tree of errors, and the cases that they are about.

    Attributes:
        found: the slices, as :func:`~hitl_audit.error_slices.find_error_slices` found them.
        branches: the tree (:func:`~hitl_audit.error_slices.error_branches`), or () without one.
        table: (cases, columns) of all cases, with every column that a condition is about.
        y_true, y_pred: (cases,) recorded outcome and decision, 1 = favorable.
        sensitive: cases × attributes, groups as text.
        labels: attribute → plain words.
        decisions: words for a favorable and an unfavorable decision.
    """

    found: ErrorSlices
    branches: tuple[Branch, ...]
    table: pd.DataFrame
    y_true: npt.NDArray[np.int64]
    y_pred: npt.NDArray[np.int64]
    sensitive: pd.DataFrame
    labels: dict[str, str]
    decisions: tuple[str, str] = ("Favorable", "Unfavorable")

    def slice_of(self, id: str) -> ErrorSlice | None:
        """A slice by its id."""
        return next((one for one in self.found.slices if one.id == id), None)

    def branch_of(self, id: str) -> Branch | None:
        """A node of the tree by its id: ``T0`` is the root."""
        return next((b for b in self.branches if f"T{b.node.id}" == id), None)

    def members(self, one: ErrorSlice | Branch) -> npt.NDArray[np.bool_]:
        """(cases,) which of them belong to a slice or a node."""
        if isinstance(one, ErrorSlice):
            return one.holds(self.table)
        return branch_holds(one, self.table)

    @classmethod
    def of(cls, inputs: AuditInputs, plan: AuditPlan, found: ErrorSlices | None) -> SlicesSetting:
        """The slices of an audit, with the rows of every node of its tree.

        Raises:
            InputError: the audit searched no slices.
        """
        rows = error_rows(inputs, plan)
        if found is None or rows is None:
            raise InputError(
                "the audit searched no slices of errors; expected errors.slices = true in the "
                "plan, and enough rows"
            )
        return cls(
            found=found,
            branches=error_branches(rows.table, rows.wrong, **rows.settings),
            table=error_table(inputs),
            y_true=inputs.y_true,
            y_pred=inputs.y_pred,
            sensitive=inputs.sensitive,
            labels={str(name): plan.label(str(name)) for name in inputs.sensitive.columns},
            decisions=(plan.audit.favorable_label, plan.audit.unfavorable_label),
        )

    def note(self, one: ErrorSlice | Branch) -> str:
        """What a reader must know of a cohort that was found by looking for errors."""
        measured = one if isinstance(one, ErrorSlice) else one.node
        half = f"{_value(measured.value, self.found)} (n = {measured.n:,})"
        if measured.low is not None and measured.high is not None:
            span = f"{_value(measured.low, self.found)} to {_value(measured.high, self.found)}"
            half = f"{_value(measured.value, self.found)} ({span}, n = {measured.n:,})"
        status = f", {one.status}" if isinstance(one, ErrorSlice) else ""
        return (
            "Found by searching half of the cases for errors, which flatters the finding; in the "
            f"other half the {self.found.kind} is {half}{status}."
        )

    @staticmethod
    def conditions(one: ErrorSlice | Branch) -> tuple[str, ...]:
        """What a case must meet, in words."""
        if isinstance(one, ErrorSlice):
            return tuple(condition.words for condition in one.conditions)
        return tuple(c.words if met else c.negated for c, met in one.steps)


def slices_schema(setting: SlicesSetting, min_group: int) -> dict[str, Any]:
    """The slices and the tree, as rows that can be chosen."""
    found = setting.found
    as_percent = found.kind == "error rate"
    axis = _axis(setting, min_group)
    if as_percent:
        ticks = axis.rate_ticks
    else:
        ends = (0.0, axis.high / 2, axis.high)
        ticks = axis.ticks(ends, [number(v) for v in ends])
    return {
        "summary": found.chart().message,
        "kind": found.kind,
        "ticks": ticks,
        "overall": axis.at(found.value),
        "overall_words": _value(found.value, found),
        "slices": [_slice_row(one, found, axis, min_group) for one in found.slices],
        "tree": _tree_rows(setting, axis, min_group),
        "measured": f"measured on the {found.n_confirm:,} cases that had no part in the search, "
        f"with {found.confidence * 100:g}% interval",
        "notes": [found.guarantee, *found.notes],
    }


def _axis(setting: SlicesSetting, min_group: int) -> Axis:
    found = setting.found
    highs = [one.high for one in found.slices if one.n >= min_group]
    highs += [b.node.high for b in setting.branches if b.node.n >= min_group]
    highs.append(found.high)
    if found.kind == "error rate":
        return Axis.of_rates(highs)
    return Axis(0.0, max((high for high in highs if high is not None), default=0.0) or 1.0)


def _value(value: float | None, found: ErrorSlices) -> str:
    return percent(value) if found.kind == "error rate" else "–" if value is None else number(value)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "adjusted p < 0.001" if value < 0.001 else f"adjusted p = {value:.3f}"


def _mark(
    measured: ErrorSlice | Any, found: ErrorSlices, axis: Axis, min_group: int
) -> dict[str, Any]:
    low, high = measured.low, measured.high
    span = "" if low is None or high is None else f"{_value(low, found)} to {_value(high, found)}"
    return {
        "at": axis.at(measured.value),
        "low": axis.at(low),
        "high": axis.at(high),
        "beyond": high is not None and high > axis.high,
        "words": _value(measured.value, found),
        "span": span,
        "n": f"n = {measured.n:,}",
        "small": measured.n < min_group,
    }


def _slice_row(one: ErrorSlice, found: ErrorSlices, axis: Axis, min_group: int) -> dict[str, Any]:
    row = _mark(one, found, axis, min_group)
    status, mark, words = SLICE_STATUS["too few rows" if row["small"] else one.status]
    return row | {
        "id": one.id,
        "group": one.words,
        "p": "" if row["small"] else _p(one.p_adjusted),
        "chip": {"status": status, "mark": mark, "words": words},
    }


def _tree_rows(setting: SlicesSetting, axis: Axis, min_group: int) -> list[dict[str, Any]]:
    """The nodes in the order in which they are read: a node, then what is under it."""
    from scipy.stats import false_discovery_control

    p_values = {b.node.id: b.p_value for b in setting.branches if b.p_value is not None}
    adjusted: dict[int, float] = {}
    if p_values:
        found = false_discovery_control(list(p_values.values()), method="bh")
        adjusted = dict(zip(p_values, map(float, found), strict=True))
    children: dict[int, list[Branch]] = {}
    for branch in setting.branches:
        children.setdefault(branch.node.parent, []).append(branch)
    rows: list[dict[str, Any]] = []

    def walk(level: Sequence[Branch]) -> None:
        for place, branch in enumerate(level):
            node = branch.node
            row = _mark(node, setting.found, axis, min_group)
            small = {"status": "insufficient data", "mark": "?", "words": "insufficient data"}
            rows.append(
                row
                | {
                    "id": f"T{node.id}",
                    "parent": f"T{node.parent}" if node.parent >= 0 else "",
                    "level": node.depth + 1,
                    "place": place + 1,
                    "of": len(level),
                    "leaf": node.leaf,
                    "group": node.condition or "All cases",
                    "p": "" if row["small"] else _p(adjusted.get(node.id)),
                    "chip": small if row["small"] else None,
                }
            )
            walk(children.get(node.id, []))

    walk(children.get(-1, []))
    return rows


def cohort_words(setting: SlicesSetting, cohort: Cohort) -> dict[str, Any]:
    """The cohort that is chosen, or everybody: how large, how often wrong, and who is in it."""
    members = cohort.members
    rows, n = len(members), int(members.sum())
    wrong = setting.y_true != setting.y_pred
    favorable, unfavorable = setting.decisions
    shown: dict[str, Any] = {
        "name": cohort.name,
        "conditions": list(cohort.conditions),
        "note": cohort.note,
        "size": f"{n:,} of {rows:,} cases ({percent(n / rows)})",
        "small": cohort.small,
        "few": f"insufficient data: fewer than {cohort.min_group} cases",
        "errors": "",
        "who": [],
    }
    if cohort.small:
        return shown
    errors = int(wrong[members].sum())
    given = int((wrong & (setting.y_pred == 1))[members].sum())
    low, high = wilson(Count(errors, n)) or (None, None)
    rest = ""
    if n < rows:
        others = int(wrong[~members].sum())
        rest = f"; all other cases {percent(others / (rows - n))}"
    span = f"{percent(errors / n)} ({percent(low)} to {percent(high)})"
    span = f"{percent(errors / n)} ({percent(low)} to {percent(high)})"
    shown["errors"] = (
        f"Wrong in {errors:,} cases, {span}{rest}. "
        f"Wrongly “{favorable}”: {given:,}; wrongly “{unfavorable}”: {errors - given:,}."
    )
    shown["who"] = [
        _who(setting, str(name), members) for name in setting.sensitive.columns if cohort.chosen
    ]
    return shown


def _who(setting: SlicesSetting, attribute: str, members: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The share of each group in the cohort, beside its share among everybody."""
    column = setting.sensitive[attribute]
    everybody = column.value_counts()
    inside = column[members].value_counts()
    n, total = int(members.sum()), len(column)
    shares = []
    for group in sorted(everybody.index):
        count = int(inside.get(group, 0))
        low, high = wilson(Count(count, n)) or (None, None)
        shares.append((str(group), count, low, high, int(everybody[group]) / total))
    axis = Axis.of_rates([*(s[3] for s in shares), *(s[4] for s in shares)])
    rows = [
        {
            "group": group,
            "n": f"n = {count:,}",
            "at": axis.at(count / n),
            "low": axis.at(low),
            "high": axis.at(high),
            "beyond": False,
            "words": percent(count / n),
            "span": f"everybody {percent(share)}",
            "small": False,
            "was": axis.at(share),
        }
        for group, count, low, high, share in shares
    ]
    label = setting.labels.get(attribute, attribute)
    return {"title": label, "rows": rows, "ticks": axis.rate_ticks, "lines": []}
