"""The search for less discriminatory alternatives: what accuracy and fairness can be had together.

Candidates are models, or decisions, measured on the same holdout rows at many
thresholds. A candidate is *non-dominated* if no other is at least as good in
both accuracy and fairness and better in one.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import utc_text
from hitl_audit.charts import MARKED_POINTS, Chart, Series, number, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.findings import metric_words, percent
from hitl_audit.groups import binary_labels
from hitl_audit.intervals import Count, wilson
from hitl_audit.mitigators.paired import MEASURES, Groups, compare_decisions, joined_groups

__all__ = ["Alternative", "Frontier", "FrontierPoint", "frontier"]

Labels = npt.NDArray[np.int8]
_THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
_CURVES = 6
_MARGIN = 0.05


@dataclass(frozen=True)
class FrontierPoint:
    """One candidate at one threshold, on the holdout.

    Attributes:
        id: ``A1``, ``A2`` … in the order given.
        candidate: name of the model or of the decisions.
        threshold: favorable from this score on; ``None`` for given decisions.
        n: rows.
        accuracy, accuracy_low, accuracy_high: with its Wilson interval.
        fairness, fairness_low, fairness_high: the measure of the frontier,
            with its bootstrap interval; ``None`` if undefined.
        accuracy_change, accuracy_change_low, accuracy_change_high: against
            the baseline, with a paired interval.
        fairness_change, fairness_change_low, fairness_change_high: likewise.
        selection_rate: share of favorable decisions.
        non_dominated: no other point is better in one and as good in the other.
        baseline: this is the point the others are compared with.
    """

    id: str
    candidate: str
    threshold: float | None
    n: int
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    fairness: float | None
    fairness_low: float | None
    fairness_high: float | None
    accuracy_change: float | None
    accuracy_change_low: float | None
    accuracy_change_high: float | None
    fairness_change: float | None
    fairness_change_low: float | None
    fairness_change_high: float | None
    selection_rate: float
    non_dominated: bool
    baseline: bool

    @property
    def words(self) -> str:
        """The candidate and its threshold."""
        at = "" if self.threshold is None else f" at {self.threshold:g}"
        return f"{self.candidate}{at}"


@dataclass(frozen=True)
class Alternative:
    """The alternative that a person chose, and why: a record.

    Attributes:
        point: what was chosen.
        baseline: what it was chosen instead of.
        measure: the fairness measure of the search.
        considered: how many candidates at thresholds were compared.
        better: ids of points that are better in one and as good in the other;
            () for a non-dominated choice.
        rationale: why, in the words of who chose.
        chosen_by, chosen_at: who, and when (UTC).
    """

    point: FrontierPoint
    baseline: FrontierPoint
    measure: str
    considered: int
    better: tuple[str, ...]
    rationale: str
    chosen_by: str
    chosen_at: str


@dataclass(frozen=True)
class Frontier:
    """Accuracy and fairness of every candidate.

    Attributes:
        measure: the fairness measure, one of ``paired.MEASURES`` but accuracy.
        points: every candidate at every threshold.
        groups: the groups compared.
        confidence: of every interval.
        notes: what a reader must know.
    """

    measure: str
    points: tuple[FrontierPoint, ...]
    groups: tuple[str, ...]
    confidence: float
    notes: tuple[str, ...]

    @property
    def non_dominated(self) -> tuple[FrontierPoint, ...]:
        """The frontier itself, from the most accurate point on."""
        found = [point for point in self.points if point.non_dominated]
        return tuple(sorted(found, key=lambda point: -point.accuracy))

    @property
    def baseline(self) -> FrontierPoint:
        """The point the others are compared with."""
        return next(point for point in self.points if point.baseline)

    def frame(self) -> pd.DataFrame:
        """All points, one row each."""
        return pd.DataFrame([asdict(point) for point in self.points])

    def choose(
        self, id: str, *, rationale: str, chosen_by: str, now: Callable[[], datetime]
    ) -> Alternative:
        """Record that a person chose a point, and why.

        Args:
            id: of the point.
            rationale: why this one, in plain words.
            chosen_by: who chose.
            now: the clock.

        Raises:
            InputError: no such point, or nothing said about why or by whom.
        """
        ids = [point.id for point in self.points]
        _accept("id", id, ids)
        for field, text in (("rationale", rationale), ("chosen_by", chosen_by)):
            if not text.strip():
                raise InputError(f"{field} is empty; accepted: a choice with its {field}")
        point = self.points[ids.index(id)]
        better = tuple(p.id for p in self.points if _dominates(p, point, self.measure))
        return Alternative(
            point,
            self.baseline,
            self.measure,
            len(self.points),
            better,
            rationale.strip(),
            chosen_by.strip(),
            utc_text(now()),
        )

    def chart(self) -> Chart:
        """Accuracy against fairness: the frontier, and each candidate over its thresholds."""
        name = metric_words(self.measure)
        edge, base = self.non_dominated, self.baseline
        said = (
            f"Accuracy against {name} of {len(self.points)} alternatives; {len(edge)} are not "
            f"dominated by another. The baseline, {base.words}, has {percent(base.accuracy)} and "
            f"{_text(base.fairness)}"
            f"{'.' if base.non_dominated else ', and is dominated.'}"
        )
        values = "; ".join(
            f"{p.words}: accuracy {percent(p.accuracy)} ({percent(p.accuracy_low)} to "
            f"{percent(p.accuracy_high)}), {name} {_text(p.fairness)} "
            f"({_text(p.fairness_low)} to {_text(p.fairness_high)}), n = {p.n}"
            for p in edge
        )
        least = min(p.accuracy for p in (*edge, base)) - _MARGIN
        drawn = [p for p in self.points if p.accuracy >= least]
        if len(drawn) < len(self.points):
            said += (
                f" {len(self.points) - len(drawn)} that are much less accurate are in the table, "
                "not in the drawing."
            )
        names = list(dict.fromkeys(point.candidate for point in drawn))
        curves = [self._series(n, [p for p in drawn if p.candidate == n]) for n in names]
        # More points would take the markers away, and with them the baseline.
        few = len(curves) < _CURVES and max(len(c.x) for c in curves) <= MARKED_POINTS
        return Chart(
            kind="lines",
            message=said,
            alt=f"{said} Not dominated: {values}.",
            value_label=name.capitalize(),
            x_label="Accuracy",
            series=(
                self._series("not dominated", list(reversed(edge)), intervals=True),
                *(curves if few else ()),
                self._series("baseline", [base]),
            ),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _series(
        self, name: str, points: Sequence[FrontierPoint], *, intervals: bool = False
    ) -> Series:
        return Series(
            name=name,
            x=tuple(p.accuracy for p in points),
            y=tuple(p.fairness for p in points),
            low=tuple(p.fairness_low for p in points) if intervals else (),
            high=tuple(p.fairness_high for p in points) if intervals else (),
            notes=tuple(f"{p.id}: {p.words}, n = {p.n}" for p in points),
        )

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def frontier(
    y_true: Any,
    candidates: Mapping[str, Any],
    *,
    sensitive_features: Any,
    thresholds: Sequence[float] = _THRESHOLDS,
    baseline: str | None = None,
    baseline_threshold: float = 0.5,
    measure: str = "selection_rate_ratio",
    min_group: int = 30,
    confidence: float = 0.95,
    n_boot: int = 1000,
    random_state: int = 0,
) -> Frontier:
    """Measure every candidate at every threshold on the same holdout rows.

    Args:
        y_true: (rows,) 0 or 1, where 1 is the favorable outcome.
        candidates: name → (rows,) probabilities of the favorable outcome, or
            decisions (only 0 and 1), which are measured as they stand.
        sensitive_features: as in ``group_metrics``; several attributes are
            joined to their intersections.
        thresholds: tried for every candidate with probabilities.
        baseline: the candidate others are compared with; default the first.
        baseline_threshold: its threshold, tried too.
        measure: one of the gaps or the ratio of ``paired.MEASURES``.
        min_group: smaller groups, and rows of unknown group, enter no gap.
        confidence, n_boot, random_state: of the paired bootstrap.

    Raises:
        InputError: no candidate, lengths that differ, scores outside 0 to 1, an
            unknown baseline or measure, or an impossible setting.
    """
    truth = binary_labels(y_true, "y_true")
    _accept("measure", measure, [name for name in MEASURES if name != "accuracy"])
    if not candidates:
        raise InputError("candidates is empty; accepted: at least one name with its scores")
    scores = {name: _candidate(name, values, len(truth)) for name, values in candidates.items()}
    first = next(iter(scores)) if baseline is None else baseline
    _accept("baseline", first, scores)
    for threshold in (*thresholds, baseline_threshold):
        if not 0 <= threshold <= 1:
            raise InputError(f"thresholds holds {threshold}; accepted: numbers from 0 to 1")
    groups = joined_groups(sensitive_features, len(truth), min_group=min_group)
    tried: list[tuple[str, float | None, Labels]] = []
    for name, values in scores.items():
        if _decided(values):
            tried.append((name, None, values.astype(np.int8)))
            continue
        own = sorted({*thresholds, *([baseline_threshold] if name == first else [])})
        tried += [(name, float(t), (values >= t).astype(np.int8)) for t in own]
    if not tried:
        raise InputError("thresholds is empty; accepted: at least one number from 0 to 1")
    at_base = None if _decided(scores[first]) else float(baseline_threshold)
    base = next(chosen for name, t, chosen in tried if (name, t) == (first, at_base))
    points = []
    for i, (name, at, chosen) in enumerate(tried):
        compared = compare_decisions(
            truth, base, chosen, groups,
            confidence=confidence, n_boot=n_boot, random_state=random_state,
        )  # fmt: skip
        exact = Count(int((chosen == truth).sum()), len(truth))
        low, high = wilson(exact, confidence=confidence) or (None, None)
        change, fair = compared[0], compared[MEASURES.index(measure)]
        points.append(
            FrontierPoint(
                f"A{i + 1}",
                name,
                at,
                len(truth),
                exact.successes / exact.total,
                low,
                high,
                fair.after,
                fair.after_low,
                fair.after_high,
                change.difference,
                change.low,
                change.high,
                fair.difference,
                fair.low,
                fair.high,
                float(chosen.mean()),
                non_dominated=False,
                baseline=(name, at) == (first, at_base),
            )
        )
    return Frontier(
        measure,
        tuple(_marked(points, measure)),
        tuple(n for n, yes in zip(groups.names, groups.compared, strict=True) if yes),
        confidence,
        _notes(groups, min_group, len(points)),
    )


def _marked(points: Sequence[FrontierPoint], measure: str) -> list[FrontierPoint]:
    return [
        replace(
            point,
            non_dominated=point.fairness is not None
            and not any(_dominates(other, point, measure) for other in points),
        )
        for point in points
    ]


def _good(point: FrontierPoint, measure: str) -> tuple[float, float]:
    """Accuracy and fairness, both so that more is better; undefined is worst."""
    if point.fairness is None:
        return point.accuracy, -math.inf
    return point.accuracy, point.fairness if measure.endswith("ratio") else -point.fairness


def _dominates(one: FrontierPoint, other: FrontierPoint, measure: str) -> bool:
    a, b = _good(one, measure), _good(other, measure)
    return a != b and a[0] >= b[0] and a[1] >= b[1]


def _candidate(name: str, values: Any, rows: int) -> npt.NDArray[np.float64]:
    try:
        scores = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f'candidates["{name}"] holds other things than numbers; accepted: probabilities or 0, 1'
        ) from None
    if scores.shape != (rows,):
        raise InputError(
            f'candidates["{name}"]: got shape {scores.shape}, expected ({rows},) as in y_true'
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise InputError(
            f'candidates["{name}"] holds missing values or numbers outside 0 to 1; accepted: '
            "probabilities of the favorable outcome, or decisions of 0 and 1"
        )
    return scores


def _decided(scores: npt.NDArray[np.float64]) -> bool:
    return bool(np.isin(scores, (0.0, 1.0)).all())


def _notes(groups: Groups, min_group: int, points: int) -> tuple[str, ...]:
    notes = [
        f"The best of {points} alternatives on the same rows looks better than it is; confirm a "
        "choice on other rows.",
        "Dominance is judged by the point values; neighbors on the frontier may not differ "
        "beyond chance.",
    ]
    if groups.left_out:
        notes.append(
            f"Not in any gap, because unknown or fewer than {min_group} rows: "
            f"{', '.join(groups.left_out)}."
        )
    if groups.compared.sum() < 2:
        notes.append("Fewer than two groups are large enough, so fairness says nothing here.")
    return tuple(notes)


def _text(value: float | None) -> str:
    return "–" if value is None else number(value)


def _accept(field: str, found: str, accepted: Any) -> None:
    names = tuple(accepted)
    if found not in names:
        hint = did_you_mean(found, names)
        raise InputError(f'{field} is "{found}"; accepted: {", ".join(names)}{hint}')
