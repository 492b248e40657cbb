"""How well scores rank and how far they can be taken at their word, by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series
from hitl_audit.fairness.measure_table import MeasureTable
from hitl_audit.fairness.measures import (
    Interval,
    Measure,
    Partition,
    State,
    accept,
    as_frame,
    as_numbers,
    check_settings,
    differences,
    group_notes,
    mean_interval,
    partitions,
    percentile_interval,
    status_of,
)
from hitl_audit.fairness.resampling import classes
from hitl_audit.findings import percent
from hitl_audit.groups import binary_labels
from hitl_audit.intervals import Count, wilson
from hitl_audit.score_statistics import Floats, Labels, delong

__all__ = [
    "CalibrationBand",
    "ScoreMetrics",
    "checked_scores",
    "roc_auc",
    "score_metrics_by_group",
]

Method = Literal["analytic", "bootstrap"]

# DeLong's variance and the bootstrap of a curve mean little with fewer cases in a class.
_LEAST_PER_CLASS = 10
# A bootstrap resamples counts per distinct score, or per class of neighboring
# scores if there are more than this. Classes change the variance of an AUC by
# less than 1 / 2,000 of itself; what they change in its value is taken off.
_LEVELS = 128
_CELLS_AT_ONCE = 4_000_000
_CHART_GROUPS = 7


@dataclass(frozen=True)
class CalibrationBand:
    """Cases of one group with similar scores: what was predicted, and what came true.

    Attributes:
        attribute, group: who; both ``"all"`` for all rows.
        band: number of the band from 1, the same for all groups.
        score_from, score_to: edges of the band; the upper one belongs to the next band.
        n: cases of the group in the band.
        predicted: mean score; ``None`` if there is no case.
        observed: share of favorable outcomes.
        low, high: Wilson interval of the observed share.
        gap: observed − predicted: above zero the score is too low for these cases.
        gap_low, gap_high: its interval, with the predicted mean taken as given.
        status: ``"ok"``, ``"small group"`` (fewer than ``min_group`` cases in
            the band) or ``"undefined"``.
    """

    attribute: str
    group: str
    band: int
    score_from: float
    score_to: float
    n: int
    predicted: float | None
    observed: float | None
    low: float | None
    high: float | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    status: State


@dataclass(frozen=True, kw_only=True)
class ScoreMetrics(MeasureTable):
    """Scores against outcomes, by group, then the differences to the reference.

    Attributes:
        calibration: one row per attribute, group and band of scores.
        min_group: groups with fewer rows decide nothing.
    """

    calibration: tuple[CalibrationBand, ...]
    min_group: int

    def calibration_frame(self) -> pd.DataFrame:
        """All calibration bands, one row each."""
        return as_frame(self.calibration, CalibrationBand)

    def calibration_chart(self, attribute: str) -> Chart:
        """Predicted against observed by group, in the bands with enough cases.

        Raises:
            InputError: an attribute that was not computed, or no calibration.
        """
        accept("attribute", attribute, [b.attribute for b in self.calibration])
        bands = [b for b in self.calibration if b.attribute == attribute and b.status == "ok"]
        sizes: dict[str, int] = {}
        for band in bands:
            sizes[band.group] = sizes.get(band.group, 0) + band.n
        names = sorted(sizes, key=lambda name: (-sizes[name], name))[:_CHART_GROUPS]
        off = [b for b in bands if b.group in names and _clear_of_zero(b.gap_low, b.gap_high)]
        message = (
            f"Predicted against observed rate by {attribute}: in {len(off)} of "
            f"{sum(b.group in names for b in bands)} bands the prediction lies outside the "
            f"{self.confidence * 100:g}% interval of what was observed. Bands with fewer than "
            f"{self.min_group} cases are not drawn."
        )
        worst = "; ".join(
            f"{b.group}: predicted {percent(b.predicted)}, observed {percent(b.observed)} "
            f"(n = {b.n:,})"
            for b in off
        )
        drawn = [[b for b in bands if b.group == name] for name in names]
        return Chart(
            kind="lines",
            message=message,
            alt=f"{message} {worst or 'No band lies outside'}.",
            value_label="Observed rate",
            x_label="Mean predicted probability",
            series=tuple(
                Series(
                    name=group[0].group,
                    x=tuple(float(b.predicted or 0.0) for b in group),
                    y=tuple(b.observed for b in group),
                    low=tuple(b.low for b in group),
                    high=tuple(b.high for b in group),
                    notes=tuple(f"n = {b.n:,}" for b in group),
                )
                for group in drawn
            ),
            diagonal=True,
            value_range=(0.0, 1.0),
            percent=True,
        )


def score_metrics_by_group(
    y_true: Any,
    y_score: Any,
    *,
    sensitive_features: Any,
    reference: Mapping[str, Any] | None = None,
    intersections: bool | Sequence[Sequence[str]] = True,
    bands: int = 10,
    method: Method = "analytic",
    confidence: float = 0.95,
    min_group: int = 30,
    n_boot: int = 1000,
    random_state: int = 0,
) -> ScoreMetrics:
    """AUC, Brier score, mean score and calibration by group, and their differences.

    Metrics: ``roc_auc``, ``mean_score``, ``observed_rate``, and for scores
    from 0 to 1 ``brier_score`` and ``calibration_gap`` (mean outcome − mean
    score). Intervals: DeLong for the AUC, Student's t for means, Wilson for
    rates; or for AUC, means and Brier score the bootstrap, which draws a
    group's rows as counts per score. Differences combine the two intervals
    (see :func:`hitl_audit.fairness.measures.differences`).

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_score: (rows,) larger means more favorable. Brier score and
            calibration need probabilities and are left out for other scores.
        sensitive_features: DataFrame, Series, mapping or array, matched by
            position. Missing values form the group ``"unknown"``.
        reference: attribute → group to compare with; default the largest group.
        intersections: also the intersection of all attributes, or those named.
        bands: calibration bands, cut at the quantiles of all scores.
        method: ``"analytic"`` or ``"bootstrap"``.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged; so are curves with fewer
            than 10 cases in a class.
        n_boot, random_state: replicates and seed of the bootstrap.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, scores that
            are missing, or an impossible setting.
    """
    truth, scores = checked_scores(y_true, y_score)
    check_settings(confidence=confidence, min_group=min_group, bands=bands, n_boot=n_boot)
    accept("method", method, ("analytic", "bootstrap"))
    parts = partitions(
        sensitive_features,
        len(truth),
        reference=reference,
        intersections=intersections,
        min_group=min_group,
    )
    probabilities = bool(scores.min() >= 0 and scores.max() <= 1)
    measured = _Measured(truth, scores, probabilities, method, confidence, min_group, n_boot)
    values: list[Measure] = []
    for part in parts:
        for group, rows in zip(part.groups, part.rows, strict=True):
            values += measured.of(part.attribute, group, rows, random_state)
    references = {part.attribute: part.reference for part in parts if part.reference is not None}
    notes = group_notes(parts, len(truth), min_group)
    if not probabilities:
        notes.append(
            f"Scores go from {scores.min():g} to {scores.max():g}: they are no probabilities, so "
            "there is no Brier score and no calibration."
        )
    if method == "bootstrap" and len(np.unique(scores)) > _LEVELS:
        notes.append(
            f"Intervals resample the scores of a group in at most {_LEVELS:,} classes of "
            "neighboring scores; values are of the scores themselves."
        )
    return ScoreMetrics(
        measures=(*values, *differences(values, references)),
        calibration=_calibration(truth, scores, parts, bands, confidence, min_group)
        if probabilities
        else (),
        confidence=confidence,
        min_group=min_group,
        notes=tuple(notes),
    )


def checked_scores(y_true: Any, y_score: Any) -> tuple[Labels, Floats]:
    """Outcomes as 0 and 1, and one finite score for each.

    Raises:
        InputError: see :func:`score_metrics_by_group`.
    """
    truth = binary_labels(y_true, "y_true")
    return truth, as_numbers(y_score, "y_score", len(truth))


@dataclass(frozen=True)
class _Measured:
    truth: Labels
    scores: Floats
    probabilities: bool
    method: Method
    confidence: float
    min_group: int
    n_boot: int

    def of(
        self, attribute: str, group: str, rows: npt.NDArray[np.int64], seed: int
    ) -> list[Measure]:
        """Every metric of one group."""
        truth, scores = self.truth[rows], self.scores[rows]
        n, positives = len(truth), int(truth.sum())
        rarer = min(positives, n - positives)

        def measure(
            metric: str, value: float | None, interval: Interval, method: str, state: State
        ) -> Measure:
            return Measure(
                attribute, group, metric, "value", "", n, value, *interval, method, state
            )

        state = status_of(0.0, n, self.min_group)
        curve: State = "undefined" if rarer == 0 else state
        if curve == "ok" and rarer < _LEAST_PER_CLASS:
            curve = "small group"
        auc, low, high = (
            delong(truth, scores, confidence=self.confidence) if rarer else (None, None, None)
        )
        errors = truth - scores
        of_auc: Interval = (low, high)
        of_mean = mean_interval(scores, confidence=self.confidence)
        of_brier = mean_interval(errors**2, confidence=self.confidence)
        of_gap = mean_interval(errors, confidence=self.confidence)
        names = ("DeLong, logit scale", "Student t")
        if self.method == "bootstrap":
            of_auc, of_mean, of_brier, of_gap = self._resampled(truth, scores, auc, seed)
            names = ("bootstrap, percentile", "bootstrap, percentile")
        shares = wilson(Count(positives, n), confidence=self.confidence) or (None, None)
        found = [
            measure("roc_auc", auc, of_auc, names[0], curve),
            measure("mean_score", float(scores.mean()), of_mean, names[1], state),
            measure("observed_rate", positives / n, shares, "Wilson", state),
        ]
        if self.probabilities:
            brier, gap = float((errors**2).mean()), float(errors.mean())
            found += [
                measure("brier_score", brier, of_brier, names[1], state),
                measure("calibration_gap", gap, of_gap, names[1], state),
            ]
        return found

    def _resampled(
        self, truth: Labels, scores: Floats, auc: float | None, seed: int
    ) -> list[Interval]:
        places = classes(-scores, _LEVELS)
        cells = places * 2 + truth
        table = np.bincount(cells, minlength=2 * (int(places.max()) + 1))
        # Per cell the mean of the score and of the loss: what classes do not change.
        sums = [
            np.bincount(cells, weights=w, minlength=len(table))
            for w in (scores, (truth - scores) ** 2)
        ]
        means = np.column_stack(
            [*(s / np.maximum(table, 1) for s in sums), np.arange(len(table)) % 2]
        )
        off = 0.0 if auc is None else auc - float(roc_auc(table.reshape(1, -1, 2))[0])
        rng = np.random.default_rng(seed)
        at_once = max(1, _CELLS_AT_ONCE // len(table))
        batches = []
        for start in range(0, self.n_boot, at_once):
            size = min(at_once, self.n_boot - start)
            drawn = rng.multinomial(len(truth), table / len(truth), size=size)
            mean, brier, observed = (drawn @ means / len(truth)).T
            areas = roc_auc(drawn.reshape(size, -1, 2)) + off
            batches.append(np.stack([areas, mean, brier, observed - mean]))
        return [
            percentile_interval(replicates, confidence=self.confidence)
            for replicates in np.concatenate(batches, axis=1)
        ]


def roc_auc(tables: npt.NDArray[np.int64]) -> Floats:
    """Area under the ROC curve of tables (replicates × scores, falling × labels); ties count ½."""
    negatives, positives = tables[..., 0], tables[..., 1]
    total, among = positives.sum(-1), negatives.sum(-1)
    below = among[:, None] - negatives.cumsum(-1) + 0.5 * negatives
    wins = (positives * below).sum(-1)
    pairs = (total * among).astype(float)
    areas = np.full(len(tables), np.nan)
    np.divide(wins, pairs, out=areas, where=pairs > 0)
    return areas


def _calibration(
    truth: Labels,
    scores: Floats,
    parts: Sequence[Partition],
    bands: int,
    confidence: float,
    min_group: int,
) -> tuple[CalibrationBand, ...]:
    cuts = np.unique(np.quantile(scores, np.linspace(0, 1, bands + 1)[1:-1]))
    cuts = cuts[(cuts > scores.min()) & (cuts <= scores.max())]
    places = np.searchsorted(cuts, scores, side="right")
    edges = [0.0, *map(float, cuts), 1.0]
    size = len(cuts) + 1
    found = []
    for part in parts:
        cells = part.codes * size + places
        shape = (len(part.groups), size)
        n = np.bincount(cells, minlength=shape[0] * size).reshape(shape)
        hits = np.bincount(cells, weights=truth, minlength=n.size).reshape(shape)
        sums = np.bincount(cells, weights=scores, minlength=n.size).reshape(shape)
        for g, group in enumerate(part.groups):
            for b in range(size):
                count = Count(int(hits[g, b]), int(n[g, b]))
                predicted = float(sums[g, b] / n[g, b]) if count.total else None
                low, high = wilson(count, confidence=confidence) or (None, None)
                observed = None if count.rate is None else float(count.rate)
                found.append(
                    CalibrationBand(
                        attribute=part.attribute,
                        group=group,
                        band=b + 1,
                        score_from=edges[b],
                        score_to=edges[b + 1],
                        n=count.total,
                        predicted=predicted,
                        observed=observed,
                        low=low,
                        high=high,
                        gap=_minus(observed, predicted),
                        gap_low=_minus(low, predicted),
                        gap_high=_minus(high, predicted),
                        status=status_of(observed, count.total, min_group),
                    )
                )
    return tuple(found)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _clear_of_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)
