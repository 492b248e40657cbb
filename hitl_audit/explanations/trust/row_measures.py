"""Measures of single rows, summed up overall and by group.

A measure is a column with one number per explained row (its mean is reported)
or one boolean (its share is).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.explanation import BOOTSTRAP, RESAMPLES, bootstrap_means
from hitl_audit.findings import Status
from hitl_audit.groups import group_columns

__all__ = ["GroupMeasures", "chart_values", "measures_by_group", "summarise"]

FloatArray = npt.NDArray[np.float64]

MEASURED, INSUFFICIENT = "measured", Status.INSUFFICIENT.value
MIN_GROUP = 30
DIFFERENCE = f"percentile bootstrap within groups, {RESAMPLES} resamples"
PERMUTATIONS = 999
PERMUTATION = f"permutation of the groups, {PERMUTATIONS} draws"
_CELLS_AT_ONCE = 1_000_000
DIFFERENCE_NOTE = (
    "the interval of a largest difference is that of the two groups named; that they were picked "
    "because they differ most is in the p-value alone, which is not adjusted for the number of "
    "measures"
)

ESTIMATE_COLUMNS = ("value", "low", "high", "n", "interval")
SUMMARY_COLUMNS = ["measure", *ESTIMATE_COLUMNS, "meaning"]
DIFFERENCE_COLUMNS = [
    *("attribute", "measure", "highest", "lowest", "value", "low", "high", "interval"),
    *("p_value", "test", "groups", "status"),
]


@dataclass(frozen=True, eq=False, repr=False)
class GroupMeasures:
    """Measures of explained rows by group.

    Attributes:
        lines: one per attribute, measure and group; see :meth:`frame`.
        largest: one per attribute and measure; see :meth:`differences`.
        confidence: of every interval.
        min_group: groups with fewer measured rows decide nothing.
        notes: what a reader must know about these numbers.
    """

    lines: pd.DataFrame
    largest: pd.DataFrame
    confidence: float
    min_group: int
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """Attribute, measure, group, value, low, high, n, interval, status, meaning.

        ``n`` counts the rows for which the measure is defined; below
        ``min_group`` the status is ``"insufficient data"``, else ``"measured"``.
        """
        return self.lines.copy()

    def differences(self) -> pd.DataFrame:
        """The largest difference between two groups, per attribute and measure.

        Columns: attribute, measure, highest, lowest (the two groups), value,
        low, high, interval, p_value, test, groups (how many had enough rows),
        status, meaning. With fewer than two such groups there is no value.
        The p-value is of the hypothesis that no group differs from another.
        """
        return self.largest.copy()

    def chart(self, measure: str, attribute: str | None = None) -> Chart:
        """One measure by group with its intervals; by default of the first attribute.

        Raises:
            InputError: no such measure or attribute.
        """
        attribute = str(self.lines["attribute"].iloc[0]) if attribute is None else attribute
        for name, value in (("attribute", attribute), ("measure", measure)):
            known = [str(v) for v in self.lines[name].unique()]
            if value not in known:
                raise InputError(
                    f'{name} is "{value}"; accepted: {", ".join(known)}{did_you_mean(value, known)}'
                )
        chosen = (self.lines["attribute"] == attribute) & (self.lines["measure"] == measure)
        table = self.lines[chosen]
        gap = self.largest[
            (self.largest["attribute"] == attribute) & (self.largest["measure"] == measure)
        ].iloc[0]
        if gap["status"] == MEASURED:
            message = (
                f"{measure}: highest for {attribute} {gap['highest']}, lowest for {gap['lowest']} "
                f"(difference {number(gap['value'])}, p = {gap['p_value']:.2g})"
            )
        else:
            message = f"{measure} by {attribute}: too few rows to compare groups"
        said = ", ".join(
            f"{g} {number(v) if np.isfinite(v) else 'undefined'}"
            for g, v in zip(table["group"], table["value"], strict=True)
        )
        return Chart(
            kind="intervals",
            message=message,
            alt=f"{message}. {said}.",
            value_label=str(table["meaning"].iloc[0]),
            series=(
                Series(
                    name=measure,
                    x=tuple(table["group"]),
                    y=chart_values(table["value"]),
                    low=chart_values(table["low"]),
                    high=chart_values(table["high"]),
                    notes=tuple(
                        f"n = {n}" + ("" if status == MEASURED else f", {status}")
                        for n, status in zip(table["n"], table["status"], strict=True)
                    ),
                ),
            ),
        )

    def plot(self, measure: str, attribute: str | None = None) -> Any:
        """The chart as a plotly figure."""
        return to_plotly(self.chart(measure, attribute))

    def __repr__(self) -> str:
        groups = self.lines[["attribute", "group"]].drop_duplicates()
        return f"<GroupMeasures: {self.lines['measure'].nunique()} measures, {len(groups)} groups>"

    def _repr_html_(self) -> str:
        table = self.lines.drop(columns=["interval", "meaning"])
        return str(table.to_html(index=False, border=0, float_format="{:.3g}".format))


def summarise(
    rows: pd.DataFrame, meanings: Mapping[str, str], *, confidence: float, random_state: int
) -> pd.DataFrame:
    """Overall: measure, value, low, high, n, interval (name of its method), meaning.

    Means have a percentile bootstrap over rows, shares a Wilson interval.
    Measures that ``rows`` lacks are left out.

    Raises:
        InputError: confidence is not between 0 and 1.
    """
    lines = [
        (name, *_estimate(rows[name], confidence, random_state), meaning)
        for name, meaning in meanings.items()
        if name in rows
    ]
    return pd.DataFrame(lines, columns=SUMMARY_COLUMNS)


def measures_by_group(
    rows: pd.DataFrame,
    meanings: Mapping[str, str],
    sensitive_features: Any,
    *,
    confidence: float,
    min_group: int,
    random_state: int,
) -> GroupMeasures:
    """The same by group, and the largest difference between groups.

    Args:
        rows: one line per explained row.
        meanings: measures to report, with their meaning.
        sensitive_features: per explained row, in the same order; see
            :func:`hitl_audit.groups.group_columns`.
        confidence: of the intervals.
        min_group: groups with fewer measured rows decide nothing.
        random_state: seed of the bootstrap and of the permutations.

    Raises:
        InputError: groups that do not fit the rows; confidence or min_group
            out of range.
    """
    if not isinstance(min_group, int | np.integer) or min_group < 2:
        raise InputError(f"min_group is {min_group!r}; expected an integer of at least 2")
    _same_order(sensitive_features, rows.index)
    lines, largest = [], []
    for attribute, names in group_columns(sensitive_features, len(rows)).items():
        groups = sorted(set(names.tolist()))
        for measure in (m for m in meanings if m in rows):
            where = {"attribute": attribute, "measure": measure}
            enough: dict[str, FloatArray] = {}
            for group in groups:
                part = rows.loc[names == group, measure]
                estimate = _estimate(part, confidence, random_state)
                line: dict[str, Any] = dict(zip(ESTIMATE_COLUMNS, estimate, strict=True))
                if line["n"] >= min_group:
                    enough[group] = part.dropna().to_numpy(dtype=np.float64)
                status = MEASURED if group in enough else INSUFFICIENT
                lines.append({**where, "group": group, **line, "status": status})
            largest.append({**where, **_difference(enough, confidence, random_state)})
    frame = pd.DataFrame(lines)
    gaps = pd.DataFrame(largest, columns=DIFFERENCE_COLUMNS)
    for table in (frame, gaps):
        table["meaning"] = table["measure"].map(dict(meanings))
    return GroupMeasures(frame, gaps, confidence, min_group, (DIFFERENCE_NOTE,))


def _estimate(
    column: pd.Series, confidence: float, random_state: int
) -> tuple[float, float, float, int, str]:
    from scipy.stats import binomtest

    if column.dtype == bool and len(column):
        if not 0 < confidence < 1:
            raise InputError(f"confidence is {confidence}; expected a number between 0 and 1")
        count, n = int(column.sum()), len(column)
        bounds = binomtest(count, n).proportion_ci(confidence, method="wilson")
        return count / n, float(bounds.low), float(bounds.high), n, "Wilson"
    values = column.dropna().to_numpy(dtype=np.float64)
    if not len(values):
        return np.nan, np.nan, np.nan, 0, ""
    low, high = bootstrap_means(
        values[:, np.newaxis], confidence=confidence, random_state=random_state
    )
    return float(values.mean()), float(low[0]), float(high[0]), len(values), BOOTSTRAP


def _difference(
    groups: Mapping[str, FloatArray], confidence: float, random_state: int
) -> dict[str, Any]:
    if len(groups) < 2:
        return {"highest": "", "lowest": "", "groups": len(groups), "status": INSUFFICIENT}
    names, values = list(groups), list(groups.values())
    means = np.array([v.mean() for v in values])
    top, bottom = int(means.argmax()), int(means.argmin())
    value = float(means[top] - means[bottom])
    rng = np.random.default_rng(random_state)
    resampled = _resampled_means(values[top], rng) - _resampled_means(values[bottom], rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    pooled, sizes = np.concatenate(values), np.array([len(v) for v in values])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    # Equal sums in another order differ by rounding, which must not count as a smaller gap.
    floor = value - 1e-9 * max(float(np.abs(pooled).max()), 1e-300)
    extreme = sum(
        int((np.ptp(np.add.reduceat(shuffled, starts, axis=1) / sizes, axis=1) >= floor).sum())
        for shuffled in _shuffles(pooled, rng)
    )
    return {
        "highest": names[top],
        "lowest": names[bottom],
        "value": value,
        "low": float(low),
        "high": float(high),
        "interval": DIFFERENCE,
        "p_value": (1 + extreme) / (1 + PERMUTATIONS),
        "test": PERMUTATION,
        "groups": len(groups),
        "status": MEASURED,
    }


def _resampled_means(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    n = len(values)
    block = max(1, _CELLS_AT_ONCE // n)
    parts = [
        rng.multinomial(n, np.full(n, 1 / n), min(block, RESAMPLES - start)) @ values / n
        for start in range(0, RESAMPLES, block)
    ]
    return np.concatenate(parts)


def _shuffles(values: FloatArray, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Permutations of the values, one a row, some at a time."""
    block = max(1, _CELLS_AT_ONCE // len(values))
    for start in range(0, PERMUTATIONS, block):
        count = min(block, PERMUTATIONS - start)
        yield rng.permuted(np.tile(values, (count, 1)), axis=1)


def _same_order(groups: Any, index: pd.Index) -> None:
    # Rows are matched by position; the same labels in another order would be matched wrongly.
    if (
        isinstance(groups, pd.Series | pd.DataFrame)
        and len(groups) == len(index)
        and not groups.index.equals(index)
        and groups.index.isin(index).all()
        and not isinstance(groups.index, pd.RangeIndex)
    ):
        raise InputError(
            "sensitive_features has the labels of the explained rows in another order; expected "
            "the same order"
        )


def chart_values(column: pd.Series) -> tuple[float | None, ...]:
    """Values for a chart: ``None`` where there is none."""
    return tuple(None if np.isnan(v) else float(v) for v in column)
