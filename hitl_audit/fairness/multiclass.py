"""Group fairness of a model that predicts one of several classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import (
    Compare,
    Floats,
    Interval,
    Ints,
    Measure,
    Partition,
    accept,
    as_frame,
    as_html,
    check_settings,
    differences,
    group_notes,
    interval_chart,
    partitions,
    percentile_interval,
    status_of,
)
from hitl_audit.intervals import Count, koopman, wilson

__all__ = ["MACRO", "ClassMeasure", "MulticlassMetrics", "multiclass_metrics"]

MACRO = "macro"
"""The class of an average over all classes."""

_BOOTSTRAP = "multinomial bootstrap, percentile"
_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class ClassMeasure(Measure):
    """A :class:`~hitl_audit.fairness.measures.Measure` about one class.

    Attributes:
        label: the class; ``"macro"`` for the plain average over all classes,
            ``""`` for accuracy, which is about no class.
    """

    label: str = ""


@dataclass(frozen=True)
class MulticlassMetrics:
    """Rates of every class by group, their macro averages, and comparisons to the reference.

    Attributes:
        measures: one row per attribute, group, metric and class, all rows first.
        labels: the classes.
        confidence: of every interval.
        notes: what a reader must know about these numbers.
    """

    measures: tuple[ClassMeasure, ...]
    labels: tuple[str, ...]
    confidence: float
    notes: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """All metrics, one row each."""
        return as_frame(self.measures, ClassMeasure)

    def chart(
        self, metric: str, attribute: str, label: str = MACRO, compare: Compare = "value"
    ) -> Chart:
        """One metric of one class by group with its intervals.

        Raises:
            InputError: a metric, attribute, class or comparison that was not computed.
        """
        accept("metric", metric, [m.metric for m in self.measures])
        of_metric = [m for m in self.measures if m.metric == metric]
        accept("label", label, [m.label for m in of_metric])
        chart = interval_chart(
            [m for m in of_metric if m.label == label],
            attribute=attribute,
            metric=metric,
            compare=compare,
            confidence=self.confidence,
            percent=compare != "ratio",
        )
        return replace(chart, message=f"Class {label}. {chart.message}") if label else chart

    def plot(
        self, metric: str, attribute: str, label: str = MACRO, compare: Compare = "value"
    ) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart(metric, attribute, label, compare))

    def _repr_html_(self) -> str:
        return as_html(self.frame(), self.notes)


def multiclass_metrics(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    labels: Sequence[Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 1000,
    random_state: int = 0,
) -> MulticlassMetrics:
    """Rates of every class by group, one class against all others.

    Per class: ``selection_rate`` (share of rows given this class),
    ``true_positive_rate`` (recall), ``false_positive_rate``, ``precision``
    (Wilson; differences Newcombe; for the selection rate also ratios, Koopman)
    and ``f1`` (bootstrap). Over all classes: ``accuracy``, and the macro
    average of recall (balanced accuracy), precision and F1, which is undefined
    in a group where one class has no rows: an average over fewer classes would
    not compare with that of another group.

    Args:
        y_true, y_pred: (rows,) labels of any kind.
        sensitive_features, reference, intersections: as in ``score_metrics_by_group``.
        labels: the classes; default those that occur in either.
        confidence: of every interval.
        min_group: metrics over fewer rows are flagged.
        n_boot, random_state: replicates and seed; drawing rows of a group is
            one multinomial draw over its table of true and predicted labels.

    Raises:
        InputError: lengths that differ, missing labels, a label that is not in
            ``labels``, fewer than two classes, or an impossible setting.
    """
    codes, names = _classes(y_true, y_pred, labels)
    rows, size = codes.shape[1], len(names)
    check_settings(confidence=confidence, min_group=min_group, n_boot=n_boot)
    parts = partitions(
        sensitive_features,
        rows,
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    rng = np.random.default_rng(random_state)
    values: list[ClassMeasure] = []
    ratios: list[ClassMeasure] = []
    for part in parts:
        cells = (part.codes * size + codes[0]) * size + codes[1]
        tables = np.bincount(cells, minlength=len(part.groups) * size**2).reshape(-1, size, size)
        selected = {}
        for group, table in zip(part.groups, tables, strict=True):
            counts, averages = _measured(table, n_boot, rng, confidence)
            for (metric, label), count in counts.items():
                name = names[label] if label is not None else ""
                values.append(_rate(part, group, metric, name, count, confidence, min_group))
                if metric == "selection_rate":
                    selected[group, name] = count
            for (metric, label), (value, interval) in averages.items():
                n = int(table.sum())
                name = MACRO if label is None else names[label]
                status = status_of(value, n, min_group)
                values.append(
                    ClassMeasure(
                        part.attribute,
                        group,
                        metric,
                        "value",
                        "",
                        n,
                        value,
                        *interval,
                        _BOOTSTRAP,
                        status,
                        name,
                    )
                )
        ratios += _ratios(part, selected, confidence, min_group)
    references = {part.attribute: part.reference for part in parts if part.reference is not None}
    compared: list[ClassMeasure] = []
    for one in dict.fromkeys(m.label for m in values):
        compared += differences([m for m in values if m.label == one], references)
    notes = group_notes(parts, rows, min_group)
    if any(m.label == MACRO and m.value is None for m in values):
        notes.append(
            "A macro average is undefined where the group has no row of some class (of true labels "
            "for recall, of predicted ones for precision)."
        )
    return MulticlassMetrics((*values, *compared, *ratios), names, confidence, tuple(notes))


def _classes(
    y_true: Any, y_pred: Any, labels: Sequence[Any] | None
) -> tuple[Ints, tuple[str, ...]]:
    """Codes (true and predicted × rows) and names of the classes."""
    both = []
    for name, given in (("y_true", y_true), ("y_pred", y_pred)):
        array = np.asarray(given)
        if array.ndim != 1:
            raise InputError(f"{name} has shape {array.shape}; accepted: one label per row")
        series = pd.Series(array)
        if series.isna().any():
            raise InputError(
                f"{name} is missing in {int(series.isna().sum())} of {len(series)} rows; "
                "accepted: a label in every row"
            )
        both.append(series)
    if not len(both[0]):
        raise InputError("y_true is empty; accepted: at least one row")
    if len(both[0]) != len(both[1]):
        raise InputError(f"y_pred: got {len(both[1])} rows, expected {len(both[0])} as in y_true")
    # By their text, so that 1 and "1", or 1 and 1.0, are one class.
    texts = [_texts(series) for series in both]
    found = sorted({str(text) for array in texts for text in np.unique(array)})
    names = found
    if labels is not None:
        names = list(dict.fromkeys(map(str, _texts(pd.Series(list(labels), dtype=object)))))
    strange = [name for name in found if name not in names]
    if strange:
        raise InputError(
            f"found the label {strange[0]!r} in y_true or y_pred; accepted: {', '.join(names)}"
        )
    if len(names) < 2:
        raise InputError(f"found only the class {names[0]!r}; accepted: two classes or more")
    order = np.argsort(names)
    codes = np.stack([order[np.searchsorted(np.array(names)[order], text)] for text in texts])
    return codes, tuple(names)


def _texts(series: Any) -> npt.NDArray[np.str_]:
    codes, levels = pd.factorize(series)
    names = [
        str(int(v)) if isinstance(v, bool | float) and float(v).is_integer() else str(v)
        for v in levels
    ]
    return np.array(names, dtype=np.str_)[codes]


def _measured(
    table: Ints, n_boot: int, rng: np.random.Generator, confidence: float
) -> tuple[
    dict[tuple[str, int | None], Count], dict[tuple[str, int | None], tuple[float | None, Interval]]
]:
    """Proportions per metric and class, and F1 and macro averages with their intervals."""
    true, predicted, right = table.sum(1), table.sum(0), np.diag(table)
    n = int(table.sum())
    counts: dict[tuple[str, int | None], Count] = {("accuracy", None): Count(int(right.sum()), n)}
    for c in range(len(table)):
        hits, given, were = int(right[c]), int(predicted[c]), int(true[c])
        counts["selection_rate", c] = Count(given, n)
        counts["true_positive_rate", c] = Count(hits, were)
        counts["false_positive_rate", c] = Count(given - hits, n - were)
        counts["precision", c] = Count(hits, given)
    at_once = max(1, _CELLS_AT_ONCE // table.size)
    batches = [
        _averages(rng.multinomial(n, table.ravel() / n, size=min(at_once, n_boot - start)))
        for start in range(0, n_boot, at_once)
    ]
    observed, replicates = _averages(table.reshape(1, -1))[0], np.concatenate(batches)
    found: dict[tuple[str, int | None], tuple[float | None, Interval]] = {}
    keys: list[tuple[str, int | None]] = [("f1", c) for c in range(len(table))]
    keys += [("true_positive_rate", None), ("precision", None), ("f1", None)]
    for place, key in enumerate(keys):
        if np.isnan(observed[place]):
            found[key] = (None, (None, None))
        else:
            interval = percentile_interval(replicates[:, place], confidence=confidence)
            found[key] = (float(observed[place]), interval)
    return counts, found


def _averages(tables: Ints) -> Floats:
    """Replicates × (F1 of each class, macro recall, macro precision, macro F1)."""
    size = round(tables.shape[1] ** 0.5)
    tables = tables.reshape(-1, size, size)
    true, predicted = tables.sum(2), tables.sum(1)
    right = np.diagonal(tables, axis1=1, axis2=2)

    def share(of: Ints, among: Ints) -> Floats:
        result = np.full(of.shape, np.nan)
        np.divide(of, among, out=result, where=among > 0)
        return result

    f1 = share(2 * right, true + predicted)
    recall, precision = share(right, true), share(right, predicted)
    return np.column_stack([f1, recall.mean(1), precision.mean(1), f1.mean(1)])


def _rate(
    part: Partition,
    group: str,
    metric: str,
    label: str,
    count: Count,
    confidence: float,
    min_group: int,
) -> ClassMeasure:
    value = None if count.rate is None else float(count.rate)
    low, high = wilson(count, confidence=confidence) or (None, None)
    status = status_of(value, count.total, min_group)
    return ClassMeasure(
        part.attribute,
        group,
        metric,
        "value",
        "",
        count.total,
        value,
        low,
        high,
        "Wilson",
        status,
        label,
    )


def _ratios(
    part: Partition, selected: Mapping[tuple[str, str], Count], confidence: float, min_group: int
) -> list[ClassMeasure]:
    """Selection rate of every class relative to the reference."""
    found = []
    for (group, label), count in selected.items():
        if part.reference is None or group == part.reference:
            continue
        other = selected[part.reference, label]
        value = low = high = None
        if other.successes:
            value = count.successes * other.total / (count.total * other.successes)
            low, high = koopman(count, other, confidence=confidence) or (None, None)
        least = min(count.total, other.total)
        found.append(
            ClassMeasure(
                part.attribute,
                group,
                "selection_rate",
                "ratio",
                part.reference,
                count.total,
                value,
                low,
                high,
                "Koopman score",
                status_of(value, least, min_group),
                label,
            )
        )
    return found
