"""Which features carry the gap between two groups.

Attributions that add up to the model's output row by row (SHAP) also add up on
average, so with φ explained against one background the difference in means

    Δ_j = mean(φ_j | group) − mean(φ_j | reference)

sums over the features to the gap itself: the score gap if the score was
explained, the selection-rate gap if the 0/1 decision was. It locates a gap in
the model's inputs; it does not prove a cause.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, number, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import (
    Floats,
    Interval,
    accept,
    as_frame,
    as_numbers,
    check_settings,
    percentile_interval,
)
from hitl_audit.groups import UNKNOWN, group_columns, group_name

__all__ = ["LOCATES", "GapContribution", "GapContributions", "gap_contributions"]

LOCATES = (
    "This locates the gap in the model's inputs; it does not prove a cause, and a feature that "
    "carries much of it may itself stand in for the group."
)

# As exact as an explanation must be to have been accepted at all.
_TOLERANCE = 1e-6
_CELLS_AT_ONCE = 4_000_000
_CHART_FEATURES = 12


@dataclass(frozen=True)
class GapContribution:
    """What one feature contributes to the gap.

    Attributes:
        feature: the raw feature.
        value: mean attribution in the group − mean attribution in the reference.
        low, high: interval, ``None`` where none can be vouched for.
        group_mean, reference_mean: the two means.
    """

    feature: str
    value: float
    low: float | None
    high: float | None
    group_mean: float
    reference_mean: float


@dataclass(frozen=True)
class GapContributions:
    """What every feature contributes to the gap; the contributions sum to it.

    Attributes:
        attribute, group, reference: who is compared with whom.
        explained: ``"score"`` (the gap is one of mean scores) or
            ``"decision"`` (of selection rates).
        gap: mean output of the group − mean output of the reference.
        low, high: its interval.
        contributions: one per feature, largest first.
        residual: gap − sum of the contributions: rounding, if all is well.
        n, reference_n: rows behind the two means.
        small: one of them is below ``min_group``, too few to decide anything.
        confidence, method, n_boot, random_state: of the intervals.
        notes: what a reader must know about these numbers.
    """

    attribute: str
    group: str
    reference: str
    explained: Literal["score", "decision"]
    gap: float
    low: float | None
    high: float | None
    contributions: tuple[GapContribution, ...]
    residual: float
    n: int
    reference_n: int
    small: bool
    confidence: float
    method: str
    n_boot: int
    random_state: int
    notes: tuple[str, ...]

    @property
    def gap_words(self) -> str:
        """The name of the gap."""
        return "score gap" if self.explained == "score" else "selection-rate gap"

    @property
    def words(self) -> str:
        """The gap and what carries most of it, in one or two plain sentences."""
        said = (
            f"The {self.gap_words} between {self.group} and {self.reference} is "
            f"{number(self.gap)}{_span(self.low, self.high)}"
        )
        if self.small:
            return f"{said}; the groups are too small to say what carries it. {LOCATES}"
        sure = [c for c in self.contributions if _clear(c.low, c.high)][:3]
        if not sure:
            return f"{said}; no feature clearly carries a part of it. {LOCATES}"
        parts = ", ".join(f"{c.feature} {number(c.value)}{_span(c.low, c.high)}" for c in sure)
        return f"{said}; it sits most clearly in {parts}. {LOCATES}"

    def frame(self) -> pd.DataFrame:
        """One row per feature, largest contribution first."""
        return as_frame(self.contributions, GapContribution).assign(
            attribute=self.attribute,
            group=self.group,
            reference=self.reference,
            explained=self.explained,
            n=self.n,
            reference_n=self.reference_n,
        )

    def chart(self) -> Chart:
        """The largest contributions, the rest in one bar, so that the bars sum to the gap."""
        top = self.contributions[:_CHART_FEATURES]
        rest = self.contributions[_CHART_FEATURES:]
        names = [c.feature for c in top]
        values: list[float | None] = [c.value for c in top]
        low, high = [c.low for c in top], [c.high for c in top]
        if rest:
            names.append(f"{len(rest)} other features")
            values.append(sum(c.value for c in rest))
            low.append(None)
            high.append(None)
        title = f"Contribution to the {self.gap_words}, {self.group} − {self.reference}"
        listed = "; ".join(
            f"{name} {number(value or 0.0)}{_span(a, b)}"
            for name, value, a, b in zip(names, values, low, high, strict=True)
        )
        return Chart(
            kind="bars",
            message=self.words,
            alt=f"{self.words} Contributions with {self.confidence * 100:g}% intervals: {listed}.",
            value_label=title,
            series=(
                Series(
                    name=title, x=tuple(names), y=tuple(values), low=tuple(low), high=tuple(high)
                ),
            ),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        columns = ["feature", "value", "low", "high"]
        table = self.frame()[columns].to_html(
            index=False, max_rows=40, float_format="{:.4f}".format, na_rep="–"
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p>{html.escape(self.words)}</p>{table}<ul>{notes}</ul>"


def gap_contributions(
    explanation_values: Any,
    *,
    base_values: Any,
    predictions: Any,
    feature_names: Sequence[str],
    groups: Any,
    group: Any,
    reference: Any,
    explained: Literal["score", "decision"] = "score",
    min_group: int = 30,
    confidence: float = 0.95,
    n_boot: int = 2000,
    random_state: int = 0,
) -> GapContributions:
    """Divide the gap between two groups among the features, exactly.

    Intervals are percentile bootstraps over rows, drawn within each group, so
    that the sizes of the groups stay what they are. They cover the choice of
    rows, not that of the background or of the model.

    Args:
        explanation_values: (rows, features) attributions that add up to the
            predictions (SHAP values; LIME weights do not).
        base_values: one number, or (rows,); the same for all rows.
        predictions: (rows,) the model's output that was explained: scores, or
            0/1 decisions if ``explained`` is ``"decision"``.
        feature_names: the raw features, in order.
        groups: (rows,) the group of each row; a Series gives its name to the attribute.
        group, reference: the two groups compared.
        explained: what ``predictions`` are.
        min_group: fewer rows in one of the groups decide nothing.
        confidence: of every interval.
        n_boot: number of replicates.
        random_state: seed.

    Raises:
        InputError: shapes that do not fit, values that do not add up to the
            predictions, or a group that does not occur.
    """
    check_settings(confidence=confidence, n_boot=n_boot, min_group=min_group)
    accept("explained", explained, ("score", "decision"))
    values = _additive(explanation_values, base_values, predictions, len(feature_names))
    output = as_numbers(predictions, "predictions")
    if explained == "decision" and not np.isin(output, (0.0, 1.0)).all():
        raise InputError(
            'predictions are not all 0 or 1, but explained is "decision"; accepted: the 0/1 '
            'decision itself, explained as a function of the raw features, or explained="score"'
        )
    columns = group_columns(groups, len(output))
    member = np.array([group_name(parts) for parts in zip(*columns.values(), strict=True)])
    found = sorted(set(member.tolist()))
    accept("group", str(group), found)
    accept("reference", str(reference), [name for name in found if name != UNKNOWN])
    if str(group) == str(reference):
        raise InputError(f'group and reference are both "{group}"; accepted: two different groups')
    # The gap itself is bootstrapped with its parts, as one more column.
    table = np.column_stack([values, output])
    ours, theirs = table[member == str(group)], table[member == str(reference)]
    rng = np.random.default_rng(random_state)
    replicates = _resampled_means(ours, n_boot, rng) - _resampled_means(theirs, n_boot, rng)
    means = ours.mean(axis=0), theirs.mean(axis=0)
    difference = means[0] - means[1]
    intervals: list[Interval] = [(None, None)] * len(difference)
    if min(len(ours), len(theirs)) > 1:
        intervals = [percentile_interval(r, confidence=confidence) for r in replicates.T]
    parts = [
        GapContribution(
            feature=str(name),
            value=float(difference[j]),
            low=intervals[j][0],
            high=intervals[j][1],
            group_mean=float(means[0][j]),
            reference_mean=float(means[1][j]),
        )
        for j, name in enumerate(feature_names)
    ]
    parts.sort(key=lambda part: -abs(part.value))
    result = GapContributions(
        attribute=group_name(tuple(columns)),
        group=str(group),
        reference=str(reference),
        explained=explained,
        gap=float(difference[-1]),
        low=intervals[-1][0],
        high=intervals[-1][1],
        contributions=tuple(parts),
        residual=float(difference[-1] - difference[:-1].sum()),
        n=len(ours),
        reference_n=len(theirs),
        small=min(len(ours), len(theirs)) < min_group,
        confidence=confidence,
        method=f"percentile bootstrap over rows within each group, {n_boot} resamples",
        n_boot=n_boot,
        random_state=random_state,
        notes=(),
    )
    return replace(result, notes=_notes(result, min_group))


def _additive(values: Any, base_values: Any, predictions: Any, features: int) -> Floats:
    """The attributions, checked against the output that they are said to explain."""
    phi = np.asarray(values, dtype=np.float64)
    output = as_numbers(predictions, "predictions")
    if phi.shape != (len(output), features):
        raise InputError(
            f"explanation_values has shape {phi.shape}; expected ({len(output)}, {features}): "
            "one row per prediction, one column per feature name"
        )
    if not np.isfinite(phi).all():
        raise InputError("explanation_values has missing or infinite values; accepted: numbers")
    base = np.asarray(base_values, dtype=np.float64)
    if base.shape not in ((), (len(output),)) or not np.isfinite(base).all():
        raise InputError(
            f"base_values has shape {base.shape}; accepted: one number, or one per row "
            f"({len(output)})"
        )
    if float(np.ptp(base)) > _TOLERANCE:
        raise InputError(
            "base_values differ between rows; accepted: one background for all rows, or a part "
            "of the gap would belong to no feature"
        )
    off = float(np.abs(output - base - phi.sum(axis=1)).max())
    if off > _TOLERANCE:
        raise InputError(
            f"explanation_values and base_values miss the predictions by up to {off:.2g}; "
            f"accepted: attributions that add up to them within {_TOLERANCE:g} (SHAP values of "
            "this very output; LIME weights do not add up)"
        )
    return phi


def _resampled_means(rows: Floats, n_boot: int, rng: np.random.Generator) -> npt.NDArray[Any]:
    """(replicates, columns) means of rows drawn with replacement: a multinomial draw of counts."""
    n = len(rows)
    parts = []
    size = max(1, _CELLS_AT_ONCE // n)
    for start in range(0, n_boot, size):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(size, n_boot - start))
        parts.append(counts @ rows / n)
    return np.concatenate(parts)


def _notes(result: GapContributions, min_group: int) -> tuple[str, ...]:
    what = "mean score" if result.explained == "score" else "selection rate"
    notes = [
        f"Positive: raises the {what} of {result.group} (n = {result.n:,}) against "
        f"{result.reference} (n = {result.reference_n:,}). The contributions sum to the gap "
        f"(left over: {result.residual:.1g}).",
        LOCATES,
        f"Each interval ({result.method}) is for one feature by itself; they are not adjusted for "
        f"looking at {len(result.contributions)} features, and do not cover the choice of "
        "background.",
    ]
    if result.small:
        notes.append(
            f"One of the groups has fewer than {min_group} rows: too few to decide anything."
        )
    return tuple(notes)


def _clear(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)


def _span(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return " (no interval)"
    return f" ({number(low)} to {number(high)})"
