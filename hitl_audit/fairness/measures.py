"""One number about one group: the row that every table beyond binary rates is made of.

Here too is what those tables share: who belongs to which group, which group
is the reference, and intervals of means, of differences and of replicates.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.fairness.encoding import combine
from hitl_audit.findings import metric_words
from hitl_audit.groups import ALL, UNKNOWN, Feature, encode, group_name

__all__ = [
    "Compare",
    "Floats",
    "Interval",
    "Ints",
    "Measure",
    "Partition",
    "State",
    "accept",
    "adjusted",
    "as_frame",
    "as_html",
    "as_numbers",
    "check_settings",
    "combinations",
    "differences",
    "everyone",
    "group_notes",
    "interval_chart",
    "mean_interval",
    "partitions",
    "percentile_interval",
    "status_of",
    "welch",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Interval = tuple[float | None, float | None]
State = Literal["ok", "small group", "undefined"]
Compare = Literal["value", "difference", "ratio"]

# A percentile interval over the replicates in which the value exists is not one
# of the value itself when more than this share of them is missing.
_UNDEFINED_SHARE = 0.05
_CHART_GROUPS = 25
_NAMES = {"roc_auc": "area under the ROC curve"}


@dataclass(frozen=True)
class Measure:
    """One metric of one group, or of one group against its reference.

    Attributes:
        attribute, group: ``"race"`` and ``"black"``, ``"race × sex"`` and
            ``"black × female"``, or ``"all"`` and ``"all"``.
        metric: name of the metric.
        compare: the plain ``"value"``, or ``"difference"`` or ``"ratio"`` to
            the reference.
        reference: the group compared with; ``""`` for a plain value.
        n: rows of the group that the metric is about.
        value: ``None`` if undefined.
        low, high: interval, ``None`` where none can be vouched for.
        method: name of the interval.
        status: ``"ok"``, ``"small group"`` (too few rows to decide anything)
            or ``"undefined"``.
    """

    attribute: str
    group: str
    metric: str
    compare: Compare
    reference: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    method: str
    status: State


Row = TypeVar("Row", bound=Measure)


@dataclass(frozen=True)
class Partition:
    """All rows, divided by one attribute or by an intersection.

    Attributes:
        attribute: ``"race"`` or ``"race × sex"``; ``"all"`` for one group of all rows.
        groups: names of the groups, sorted.
        rows: per group the positions of its rows, rising.
        reference: name of the group to compare with; ``None`` if there is none.
        picked: the reference was not named but picked: the largest known group.
    """

    attribute: str
    groups: tuple[str, ...]
    rows: tuple[Ints, ...]
    reference: str | None = None
    picked: bool = False

    @property
    def codes(self) -> Ints:
        """(rows,) the place of each row's group in ``groups``."""
        codes = np.empty(sum(map(len, self.rows)), dtype=np.int64)
        for place, members in enumerate(self.rows):
            codes[members] = place
        return codes


def everyone(rows: int) -> Partition:
    """All rows as one group."""
    return Partition(ALL, (ALL,), (np.arange(rows),))


def partitions(
    sensitive_features: Any,
    rows: int,
    *,
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    min_group: int = 30,
) -> tuple[Partition, ...]:
    """All rows first, then every single attribute, then the intersections.

    Args:
        sensitive_features: see :func:`hitl_audit.groups.encode`.
        rows: how many rows there must be.
        reference: attribute → group to compare with. Default: the largest
            group with known values and at least ``min_group`` rows; chosen by
            size, because choosing by outcome would make gaps look larger.
        intersections: also the intersection of all attributes, or exactly those named.
        min_group: fewest rows of a reference that is not named.

    Raises:
        InputError: no attribute, or an unknown attribute or reference group.
    """
    columns = {feature.name: feature for feature in encode(sensitive_features, rows)}
    named = {}
    for attribute, group in (reference or {}).items():
        accept("reference", attribute, columns)
        known = [name for name in columns[attribute].names if name != UNKNOWN]
        accept(f"reference of {attribute}", str(group), known)
        named[attribute] = str(group)
    found = [everyone(rows)]
    for by in combinations(tuple(columns), intersections):
        found.append(_partition([columns[name] for name in by], named, min_group, rows))
    return tuple(found)


def combinations(
    attributes: tuple[str, ...], intersections: bool | Sequence[Sequence[str]]
) -> list[tuple[str, ...]]:
    """The sets of attributes to compare by: each alone, then the intersections.

    Raises:
        InputError: an unknown attribute, or an intersection of fewer than two.
    """
    single: list[tuple[str, ...]] = [(name,) for name in attributes]
    if isinstance(intersections, bool):
        return [*single, attributes] if intersections and len(attributes) > 1 else single
    for names in intersections:
        for name in names:
            accept("intersections", name, attributes)
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise InputError(
                f"intersections has {list(names)}; accepted: two or more different attributes each"
            )
    return list(dict.fromkeys([*single, *map(tuple, intersections)]))


def _partition(
    features: Sequence[Feature], named: Mapping[str, str], min_group: int, rows: int
) -> Partition:
    by = tuple(feature.name for feature in features)
    codes, levels = combine(features, rows)
    # Sorting small numbers is a count in NumPy, which is stable and many times faster.
    order = np.argsort(codes.astype(np.min_scalar_type(len(levels))), kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    parts = [
        tuple(feature.names[code] for feature, code in zip(features, row, strict=True))
        for row in levels.tolist()
    ]
    chosen: tuple[int, str] | None = None
    for group, places in zip(parts, members, strict=True):
        fits = all(named.get(a, value) == value for a, value in zip(by, group, strict=True))
        large = len(places) >= min_group or all(a in named for a in by)
        if fits and large and UNKNOWN not in group and (chosen is None or len(places) > chosen[0]):
            chosen = (len(places), group_name(group))
    return Partition(
        attribute=group_name(by),
        groups=tuple(group_name(group) for group in parts),
        rows=tuple(members),
        reference=chosen[1] if chosen else None,
        picked=not all(name in named for name in by),
    )


def group_notes(
    parts: Iterable[Partition], rows: int, min_group: int, *, compared: bool = True
) -> list[str]:
    """What a reader must know about the groups and, if they are compared to one, the reference."""
    notes = []
    listed = "listed and never the reference" if compared else "listed"
    for part in parts:
        if part.attribute == ALL:
            continue
        sizes = dict(zip(part.groups, map(len, part.rows), strict=True))
        if UNKNOWN in sizes:
            notes.append(
                f"{part.attribute} is not known in {sizes[UNKNOWN]:,} of {rows:,} rows; they form "
                f'the group "{UNKNOWN}", which is {listed}.'
            )
        if compared and part.reference is None:
            notes.append(
                f"{part.attribute}: no group with known values has at least {min_group} rows, so "
                "there is no reference and nothing is compared."
            )
        elif compared and part.picked:
            notes.append(
                f"{part.attribute}: the reference is {part.reference}, the largest group, because "
                "none was named."
            )
        small = sum(size < min_group for size in sizes.values())
        if small:
            notes.append(
                f"{part.attribute}: {small} of {len(sizes)} groups have fewer than {min_group} "
                "rows. They are listed, but too small to decide anything."
            )
    return notes


def accept(field: str, found: str, accepted: Iterable[str]) -> None:
    """Refuse a name that is not among the accepted ones."""
    names = tuple(dict.fromkeys(accepted))
    if found not in names:
        hint = did_you_mean(str(found), names)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(names) or "none here"}{hint}')


def check_settings(*, confidence: float, **at_least_one: int) -> None:
    """Refuse a confidence outside 0 to 1, and settings that are not whole numbers from 1 up."""
    if not isinstance(confidence, float | int | np.floating) or not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence!r}; accepted: a number between 0 and 1")
    for name, value in at_least_one.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name} is {value!r}; accepted: a whole number, 1 or more")


def as_numbers(values: Any, name: str, rows: int | None = None) -> Floats:
    """One finite number per row.

    Raises:
        InputError: not numbers, not one-dimensional, empty, another number of
            rows, or missing or infinite values.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} holds other things than numbers; accepted: numbers") from None
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; accepted: one value per row")
    if array.size == 0:
        raise InputError(f"{name} is empty; accepted: at least one row")
    if rows is not None and len(array) != rows:
        raise InputError(f"{name}: got {len(array)} rows, expected {rows} as in y_true")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name} is missing or infinite in {len(bad)} of {len(array)} rows (first at row "
            f"{bad[0] + 1}); accepted: finite numbers (leave those rows out, and say so)"
        )
    return array


def status_of(value: float | None, n: int, min_group: int) -> State:
    """Whether a number can decide anything."""
    if value is None:
        return "undefined"
    return "ok" if n >= min_group else "small group"


def mean_interval(values: Floats, *, confidence: float) -> Interval:
    """Student's t interval of a mean; none with fewer than two values or without variance."""
    if len(values) < 2:
        return None, None
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    if error <= 1e-12 * max(1.0, float(np.abs(values).max())):  # rounding is no variance
        return None, None
    centre, reach = float(values.mean()), error * _t(confidence, len(values) - 1)
    return centre - reach, centre + reach


def welch(a: Floats, b: Floats, *, confidence: float) -> Interval:
    """Welch's t interval of mean(a) − mean(b); none without variance."""
    if min(len(a), len(b)) < 2:
        return None, None
    va, vb = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if va + vb <= 1e-24 * max(1.0, float(np.abs(a).max()), float(np.abs(b).max())) ** 2:
        return None, None
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    centre = float(a.mean() - b.mean())
    reach = math.sqrt(va + vb) * _t(confidence, freedom)
    return centre - reach, centre + reach


def _t(confidence: float, freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))


def percentile_interval(replicates: Floats, *, confidence: float) -> Interval:
    """Percentile interval of bootstrap replicates.

    None where it would not be honest: over 5% of the replicates are undefined
    (NaN), or all of them are equal, which says that the data did not vary and
    not that the value is sure.
    """
    defined = replicates[~np.isnan(replicates)]
    if len(defined) < (1 - _UNDEFINED_SHARE) * len(replicates) or not len(defined):
        return None, None
    if np.isclose(defined.min(), defined.max(), rtol=1e-12, atol=1e-12):
        return None, None
    # Quantiles that are replicates themselves, because a replicate may be infinite.
    low, high = np.quantile(
        defined, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf"
    )
    return float(low), float(high)


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg over one family: every test that was made in a result."""
    from scipy.stats import false_discovery_control

    made = [p for p in p_values if p is not None]
    corrected = iter(false_discovery_control(made, method="bh")) if made else iter(())
    return [None if p is None else float(next(corrected)) for p in p_values]


def differences(values: Sequence[Row], references: Mapping[str, str]) -> list[Row]:
    """Every value minus that of its attribute's reference, from two independent intervals.

    The interval is the MOVER (Zou & Donner, Stat Med 27 (2008), 1693-1702): the
    distances of the bounds from their values are added in squares; with
    Wilson's intervals it is Newcombe's.

    Args:
        values: plain values.
        references: attribute → name of the reference group.
    """
    base = {(m.attribute, m.metric): m for m in values if m.group == references.get(m.attribute)}
    found = []
    for one in values:
        other = base.get((one.attribute, one.metric))
        if other is None or one.group == other.group:
            continue
        value = None
        if one.value is not None and other.value is not None:
            value = one.value - other.value
        low, high = _mover(one, other)
        status: State = "undefined" if value is None else one.status
        if value is not None and other.status != "ok":
            status = "small group"
        found.append(
            replace(
                one,
                compare="difference",
                reference=other.group,
                value=value,
                low=low,
                high=high,
                method="Newcombe" if one.method == "Wilson" else f"MOVER of {one.method}",
                status=status,
            )
        )
    return found


def _mover(one: Measure, other: Measure) -> Interval:
    a, low, high = one.value, one.low, one.high
    b, other_low, other_high = other.value, other.low, other.high
    if a is None or low is None or high is None:
        return None, None
    if b is None or other_low is None or other_high is None:
        return None, None
    return (
        a - b - math.hypot(a - low, other_high - b),
        a - b + math.hypot(high - a, b - other_low),
    )


def as_frame(rows: Sequence[Any], kind: Any) -> pd.DataFrame:
    """Rows of one dataclass as a DataFrame; the columns are there even if there is no row."""
    return pd.DataFrame([asdict(row) for row in rows], columns=[f.name for f in fields(kind)])


def as_html(frame: pd.DataFrame, notes: Sequence[str]) -> str:
    """A result as a notebook shows it: its table and its notes."""
    table = frame.to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
    return table + "<ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in notes) + "</ul>"


def interval_chart(
    measures: Sequence[Measure],
    *,
    attribute: str,
    metric: str,
    compare: Compare = "value",
    confidence: float,
    percent: bool = False,
    label: Callable[[Measure], str] = lambda measure: measure.group,
) -> Chart:
    """One metric by group with its intervals; the largest groups if there are many.

    Raises:
        InputError: an attribute, metric or comparison that is not in ``measures``.
    """
    accept("attribute", attribute, [m.attribute for m in measures if m.attribute != ALL])
    of_attribute = [m for m in measures if m.attribute == attribute]
    accept("metric", metric, [m.metric for m in of_attribute])
    of_metric = [m for m in of_attribute if m.metric == metric]
    accept("compare", compare, [m.compare for m in of_metric])
    rows = [m for m in of_metric if m.compare == compare]
    shown = sorted(rows, key=lambda m: -m.n)[:_CHART_GROUPS]
    shown.sort(key=lambda m: (m.value is None, -(m.value or 0.0), label(m)))
    name = _NAMES.get(metric, metric_words(metric))
    name = name[0].upper() + name[1:]
    if compare != "value":
        name += f", {compare} to {shown[0].reference}"
    sure = [m for m in shown if m.status == "ok"]
    said = f"{name} by {attribute}: every group is too small to decide anything."
    if sure:
        ends = dict.fromkeys((sure[0], sure[-1]))
        words = [f"{number(m.value or 0.0, percent=percent)} for {label(m)}" for m in ends]
        said = f"{name} by {attribute}: {', '.join(words)}."
    if len(shown) < len(rows):
        said += f" The {len(shown)} largest of {len(rows)} groups are shown."
    listed = []
    for m in shown:
        ends_of = [b for b in (m.value, m.low, m.high) if b is not None]
        texts = [number(b, percent=percent) for b in ends_of] or ["no value"]
        span = f" ({texts[1]} to {texts[2]})" if len(texts) == 3 else ""
        listed.append(f"{label(m)} {texts[0]}{span}, n = {m.n:,}")
    return Chart(
        kind="intervals",
        message=said,
        alt=f"{said} With {confidence * 100:g}% intervals: {'; '.join(listed)}.",
        value_label=f"{name}, with {confidence * 100:g}% interval",
        series=(
            Series(
                name=name,
                x=tuple(label(m) for m in shown),
                y=tuple(m.value for m in shown),
                low=tuple(m.low for m in shown),
                high=tuple(m.high for m in shown),
                notes=tuple(
                    f"n = {m.n:,}" + ("" if m.status == "ok" else f", {m.status}") for m in shown
                ),
            ),
        ),
        thresholds=() if compare == "value" else ((1.0 if compare == "ratio" else 0.0, "equal"),),
        value_range=(0.0, 1.0) if percent and compare == "value" else None,
        percent=percent,
    )
