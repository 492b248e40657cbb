"""How well the model decides: overall and by group, each number with n and interval.

A case is decided favorably if and only if its score is at least the
threshold. Scores are probabilities of the favorable outcome.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from hitl_audit.charts import Chart, Series
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.findings import percent
from hitl_audit.groups import ALL, binary_labels, group_columns
from hitl_audit.intervals import Count, wilson
from hitl_audit.score_statistics import (
    Estimate,
    Floats,
    Labels,
    average_precision,
    bootstrap,
    brier_score,
    delong,
)

__all__ = [
    "CalibrationBin",
    "Confusion",
    "Curve",
    "GroupPerformance",
    "Performance",
    "Score",
    "curves",
    "group_performance",
    "measure_performance",
]

State = Literal["ok", "small group", "undefined"]

# DeLong's variance and the bootstrap of a curve mean little with fewer cases in a class.
_LEAST_PER_CLASS = 10
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Confusion:
    """Cases by true label and decision; positive is favorable."""

    true_negatives: int
    false_positives: int
    false_negatives: int
    true_positives: int


@dataclass(frozen=True)
class Score:
    """One number about how well a group is decided.

    Attributes:
        attribute, group: who; both ``"all"`` for all rows.
        metric: ``accuracy``, ``true_positive_rate``, ``false_positive_rate``,
            ``precision``, ``roc_auc``, ``average_precision`` or ``brier_score``.
        n: rows that it is about.
        value: ``None`` if undefined (no rows, or only one class for a curve).
        low, high: interval, ``None`` where none can be vouched for.
        method: name of the interval.
        status: ``"ok"``, ``"small group"`` (fewer than ``min_group`` rows, or
            for a curve fewer than 10 in a class) or ``"undefined"``.
    """

    attribute: str
    group: str
    metric: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    method: str
    status: State


@dataclass(frozen=True)
class Curve:
    """Points of a curve for drawing, thinned to about 200; () if a class is absent."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """Cases of similar score: what was predicted, and what came true.

    Attributes:
        n: cases in the bin.
        predicted: mean score.
        observed: share of favorable outcomes.
        low, high: Wilson interval of the observed share.
    """

    n: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupPerformance:
    """Everything about one group.

    Attributes:
        attribute, group: who; both ``"all"`` for all rows.
        confusion: counts at the threshold.
        scores: the numbers.
        roc: false positive rate against true positive rate.
        precision_recall: recall against precision.
        calibration: bins of equal size in order of score; fewer than asked
            for where a bin would hold fewer than ``min_group`` cases.
    """

    attribute: str
    group: str
    confusion: Confusion
    scores: tuple[Score, ...]
    roc: Curve
    precision_recall: Curve
    calibration: tuple[CalibrationBin, ...]

    def score(self, metric: str) -> Score:
        """One of the numbers, by the name of its metric."""
        names = [score.metric for score in self.scores]
        _accept("metric", metric, names)
        return self.scores[names.index(metric)]


@dataclass(frozen=True)
class Performance:
    """How well the model decides, overall and by group.

    Attributes:
        threshold: favorable if and only if the score is at least this.
        confidence: of every interval.
        min_group: groups with fewer rows decide nothing.
        groups: all rows together first, then the groups of each attribute.
    """

    threshold: float
    confidence: float
    min_group: int
    groups: tuple[GroupPerformance, ...]

    def __repr__(self) -> str:
        n = sum(asdict(self.overall.confusion).values())
        told = ", ".join(self.attributes) or "no attributes"
        return f"<Performance at threshold {self.threshold:g}: {n:,} rows, by {told}>"

    @property
    def overall(self) -> GroupPerformance:
        """All rows together."""
        return self.groups[0]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes compared by."""
        return tuple(dict.fromkeys(g.attribute for g in self.groups if g.attribute != ALL))

    def frame(self) -> pd.DataFrame:
        """All numbers, one row each."""
        return pd.DataFrame([asdict(score) for group in self.groups for score in group.scores])

    def confusion(self, group: str = ALL, attribute: str | None = None) -> Confusion:
        """The confusion counts of a group.

        Raises:
            InputError: no such group, or several attributes have one of that name.
        """
        return self.of(group, attribute).confusion

    def of(self, group: str = ALL, attribute: str | None = None) -> GroupPerformance:
        """Everything about one group.

        Raises:
            InputError: no such group, or several attributes have one of that name.
        """
        found = [g for g in self.groups if g.group == group and attribute in (None, g.attribute)]
        if not found:
            _accept("group", group, [g.group for g in self.groups])
            _accept("attribute", str(attribute), [g.attribute for g in self.groups])
            raise InputError(f'{attribute} has no group "{group}"')
        if len(found) > 1:
            raise InputError(
                f'group "{group}" exists in {", ".join(g.attribute for g in found)}; '
                "accepted: with its attribute"
            )
        return found[0]

    def charts(self, attribute: str | None = None) -> dict[str, Chart]:
        """Charts ``"roc"``, ``"precision_recall"`` and ``"calibration"``.

        Args:
            attribute: draw its groups beside all rows; groups too small for
                curve are left out, and the message says so.

        Raises:
            InputError: an attribute that was not compared by.
        """
        if attribute is not None:
            _accept("attribute", attribute, self.attributes)
        shown = [self.overall, *(g for g in self.groups if g.attribute == attribute)]
        sure = [g for g in shown if g is self.overall or g.score("roc_auc").status == "ok"]
        dropped = [g.group for g in shown if g not in sure]
        tail = f" Too few cases to draw: {', '.join(dropped)}." if dropped else ""
        return {
            "roc": _curve_chart(sure, "roc_auc", "Area under the ROC curve", tail, self.confidence),
            "precision_recall": _curve_chart(
                sure, "average_precision", "Average precision", tail, self.confidence
            ),
            "calibration": _calibration_chart(sure, tail, self.confidence),
        }

    def _repr_html_(self) -> str:
        return self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")


def measure_performance(
    y_true: Any,
    y_score: Any,
    *,
    threshold: float = 0.5,
    sensitive_features: Any = None,
    confidence: float = 0.95,
    min_group: int = 30,
    bins: int = 10,
    n_boot: int = 1000,
    random_state: int = 0,
) -> Performance:
    """Measure a scoring model on held-out cases.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        y_score: (rows,) probability of the favorable outcome.
        threshold: favorable if and only if the score is at least this.
        sensitive_features: as in ``group_metrics``; ``None`` for all rows only.
        confidence: of every interval.
        min_group: groups with fewer rows are flagged.
        bins: calibration bins of equal size.
        n_boot, random_state: replicates and seed of the bootstrap intervals
            (average precision, Brier score).

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, scores that
            are missing or outside 0 to 1, or an impossible setting.
    """
    truth = binary_labels(y_true, "y_true")
    scores = _scores(y_score, len(truth))
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; accepted: a number from 0 to 1")
    for name, number in (("bins", bins), ("n_boot", n_boot), ("min_group", min_group)):
        if number < 1:
            raise InputError(f"{name} is {number}; accepted: 1 or more")
    columns = {} if sensitive_features is None else group_columns(sensitive_features, len(truth))
    members = [(ALL, ALL, np.ones(len(truth), dtype=bool))]
    for attribute, names in columns.items():
        members += [(attribute, str(name), names == name) for name in np.unique(names)]
    settings = _Settings(threshold, confidence, min_group, bins, n_boot, random_state)
    return Performance(
        threshold,
        confidence,
        min_group,
        tuple(
            _measure(attribute, group, truth[rows], scores[rows], settings)
            for attribute, group, rows in members
        ),
    )


@dataclass(frozen=True)
class _Settings:
    threshold: float
    confidence: float
    min_group: int
    bins: int
    n_boot: int
    random_state: int


def _accept(field: str, found: str, accepted: Any) -> None:
    names = tuple(dict.fromkeys(accepted))
    if found not in names:
        hint = did_you_mean(found, names)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(names)}{hint}')


def _scores(y_score: Any, rows: int) -> Floats:
    try:
        scores = np.asarray(y_score, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "y_score holds other things than numbers; accepted: numbers, 0 to 1"
        ) from None
    if scores.shape != (rows,):
        raise InputError(f"y_score: got shape {scores.shape}, expected ({rows},) as in y_true")
    if np.isnan(scores).any():
        raise InputError(f"y_score is missing in {int(np.isnan(scores).sum())} of {rows} rows")
    if scores.min() < 0 or scores.max() > 1:
        raise InputError(
            f"y_score goes from {scores.min():g} to {scores.max():g}; accepted: probabilities "
            "of the favorable outcome, 0 to 1"
        )
    return scores


def _measure(
    attribute: str, group: str, truth: Labels, scores: Floats, settings: _Settings
) -> GroupPerformance:
    chosen = scores >= settings.threshold
    tn, fp, fn, tp = (int(n) for n in np.bincount(truth * 2 + chosen, minlength=4))
    both = min(tp + fn, tn + fp) > 0
    roc = precision_recall = Curve((), ())
    auc: Estimate = (None, None, None)
    if both:
        roc, precision_recall = curves(truth, scores)
        auc = delong(truth, scores, confidence=settings.confidence)
    precision, brier = bootstrap(
        truth,
        scores,
        [average_precision, brier_score],
        confidence=settings.confidence,
        n_boot=settings.n_boot,
        random_state=settings.random_state,
    )
    return group_performance(
        attribute,
        group,
        Confusion(tn, fp, fn, tp),
        auc=auc,
        precision=precision if both else auc,
        brier=brier,
        roc=roc,
        precision_recall=precision_recall,
        calibration=_calibration(truth, scores, settings),
        confidence=settings.confidence,
        min_group=settings.min_group,
    )


def group_performance(
    attribute: str,
    group: str,
    confusion: Confusion,
    *,
    auc: Estimate,
    precision: Estimate,
    brier: Estimate,
    roc: Curve,
    precision_recall: Curve,
    calibration: tuple[CalibrationBin, ...],
    confidence: float,
    min_group: int,
    auc_words: str = "",
    precision_words: str = "",
) -> GroupPerformance:
    """A group's numbers, each with its n, interval and status.

    Args:
        attribute, group: who.
        confusion: counts at the threshold; the rates derive from them.
        auc, precision, brier: area under the ROC curve, average precision and Brier
            score: value, low, high.
        roc, precision_recall, calibration: for drawing.
        confidence: of the rates' intervals.
        min_group: fewer rows are flagged.
        auc_words, precision_words: what the methods' names say besides, such as how
            far a value can be off.
    """
    tn, fp = confusion.true_negatives, confusion.false_positives
    fn, tp = confusion.false_negatives, confusion.true_positives
    n, positives = tn + fp + fn + tp, tp + fn

    def rate(metric: str, successes: int, total: int) -> Score:
        count = Count(successes, total)
        low, high = wilson(count, confidence=confidence) or (None, None)
        state: State = "ok" if total >= min_group else "small group"
        return Score(
            attribute,
            group,
            metric,
            total,
            successes / total if total else None,
            low,
            high,
            "Wilson",
            state if total else "undefined",
        )

    rarer = min(positives, n - positives)
    state: State = "ok" if n >= min_group else "small group"
    curve_state: State = "undefined"
    if rarer:
        curve_state = state if rarer >= _LEAST_PER_CLASS else "small group"
    resampled = "bootstrap, percentile"
    return GroupPerformance(
        attribute,
        group,
        confusion,
        (
            rate("accuracy", tn + tp, n),
            rate("true_positive_rate", tp, positives),
            rate("false_positive_rate", fp, n - positives),
            rate("precision", tp, tp + fp),
            Score(
                attribute, group, "roc_auc", n, *auc, f"DeLong, logit scale{auc_words}", curve_state
            ),
            Score(
                attribute,
                group,
                "average_precision",
                n,
                *precision,
                f"{resampled}{precision_words}",
                curve_state,
            ),
            Score(attribute, group, "brier_score", n, *brier, resampled, state),
        ),
        roc,
        precision_recall,
        calibration,
    )


def curves(truth: Any, scores: Any, rows: Any = None) -> tuple[Curve, Curve]:
    """The ROC curve and the precision-recall curve, thinned for drawing.

    Args:
        truth: (scores,) 0 or 1, both present.
        scores: (scores,).
        rows: (scores,) how many rows have this label and score; one each if ``None``.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    false_rate, true_rate, _ = roc_curve(truth, scores, sample_weight=rows)
    precisions, recalls, _ = precision_recall_curve(truth, scores, sample_weight=rows)
    return _thinned(false_rate, true_rate), _thinned(recalls[::-1], precisions[::-1])


def _calibration(truth: Labels, scores: Floats, settings: _Settings) -> tuple[CalibrationBin, ...]:
    size = max(1, min(settings.bins, len(truth) // settings.min_group))
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, size + 1)[1:-1]))
    places = np.searchsorted(edges, scores, side="right")
    found = []
    for place in np.unique(places):
        rows = places == place
        count = Count(int(truth[rows].sum()), int(rows.sum()))
        interval = wilson(count, confidence=settings.confidence)
        if interval is not None:
            mean, share = float(scores[rows].mean()), count.successes / count.total
            found.append(CalibrationBin(count.total, mean, share, *interval))
    return tuple(found)


def _thinned(x: Floats, y: Floats) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, _CURVE_POINTS).round().astype(int))
    return Curve(tuple(map(float, x[kept])), tuple(map(float, y[kept])))


def _label(group: GroupPerformance) -> str:
    return "all rows" if group.attribute == ALL else group.group


def _curve_chart(
    groups: list[GroupPerformance], metric: str, name: str, tail: str, confidence: float
) -> Chart:
    said = []
    for group in groups:
        score = group.score(metric)
        if score.value is None:
            said.append(f"undefined for {_label(group)} (only one class)")
            continue
        span = "" if score.low is None else f" ({score.low:.2f} to {score.high:.2f})"
        said.append(f"{score.value:.2f}{span} for {_label(group)}")
    message = f"{name}, with {confidence * 100:g}% interval: {', '.join(said)}.{tail}"
    roc = metric == "roc_auc"
    curves = [(group, group.roc if roc else group.precision_recall) for group in groups]
    return Chart(
        kind="lines",
        message=message,
        alt=message,
        value_label="True positive rate" if roc else "Precision",
        x_label="False positive rate" if roc else "Recall",
        series=tuple(Series(_label(group), curve.x, curve.y) for group, curve in curves if curve.x),
        diagonal=roc,
        value_range=(0.0, 1.0),
        percent=True,
    )


def _calibration_chart(groups: list[GroupPerformance], tail: str, confidence: float) -> Chart:
    whole = groups[0].calibration
    missed = sum(not b.low <= b.predicted <= b.high for b in whole)
    message = (
        f"Predicted against observed rate of the favorable outcome, in {len(whole)} bins of all "
        f"rows: the prediction lies outside the {confidence * 100:g}% interval in {missed}.{tail}"
    )
    bins = "; ".join(
        f"predicted {percent(b.predicted)}, observed {percent(b.observed)} (n = {b.n})"
        for b in whole
    )
    return Chart(
        kind="lines",
        message=message,
        alt=f"{message} All rows: {bins}.",
        value_label="Observed rate",
        x_label="Mean predicted probability",
        series=tuple(
            Series(
                name=_label(group),
                x=tuple(b.predicted for b in group.calibration),
                y=tuple(b.observed for b in group.calibration),
                low=tuple(b.low for b in group.calibration),
                high=tuple(b.high for b in group.calibration),
                notes=tuple(f"n = {b.n}" for b in group.calibration),
            )
            for group in groups
        ),
        diagonal=True,
        value_range=(0.0, 1.0),
        percent=True,
    )
