"""An oversight as a table and as a chart: views of the same numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from hitl_audit.charts import Chart, Series, number
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.kpi import Kpi
from hitl_audit.review.paired_effect import DECIDERS, MEASURES, PAIRS, SideBySide

if TYPE_CHECKING:
    from hitl_audit.review.oversight import Oversight
    from hitl_audit.review.reviewer_rows import ReviewerRow

__all__ = ["COLUMNS", "oversight_frame", "side_by_side_chart"]

COLUMNS = tuple(Kpi.__dataclass_fields__)

NAMES = {"model": "model alone", "human": "people alone", "team": "people with the model"}


def oversight_frame(oversight: Oversight) -> pd.DataFrame:
    """One row per number, with the columns of :class:`~hitl_audit.review.kpi.Kpi`."""
    rows = [_count(name, value, what) for name, value, what in _counts(oversight)]
    rows += [asdict(kpi) for kpi in oversight.kpis]
    for compared in oversight.side_by_side:
        rows += _rows_of(compared)
    for reviewer in oversight.by_reviewer:
        rows += _reviewer(reviewer)
    for phase, coefficients in (
        ("after the reveal", oversight.reviewer_agreement),
        ("before the reveal", oversight.blind_reviewer_agreement),
    ):
        rows += [
            _blank(
                topic="reviewers",
                measure=f"{one.name}, {phase}",
                unit="cases",
                n=one.n_units,
                value=one.value,
                low=one.low,
                high=one.high,
                method=one.method,
                status=one.status,
                words=one.reading,
            )
            for one in coefficients
        ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(
        dict.fromkeys(["value", "low", "high", "p_value", "p_adjusted"], "float64")
    ).assign(simulated=oversight.any_simulated)


def side_by_side_chart(oversight: Oversight, measure: str, attribute: str) -> Chart:
    """One measure of model, people and both together, with intervals."""
    if measure not in MEASURES:
        raise InputError(
            f'oversight: measure is "{measure}"; accepted: {", ".join(MEASURES)}'
            f"{did_you_mean(measure, MEASURES)}"
        )
    rows = [
        row
        for row in oversight.side_by_side
        if row.measure == measure and row.attribute == attribute and row.kind == "rate"
    ]
    if not rows:
        known = sorted({row.attribute for row in oversight.side_by_side if row.attribute})
        raise InputError(
            f'oversight: attribute is "{attribute}"; accepted: "" for all cases'
            f"{''.join(f', {name}' for name in known)}"
        )
    words = measure.replace("_", " ")
    labels = tuple(row.group or "all" for row in rows)
    series = []
    for who in DECIDERS:
        figures = [getattr(row, who) for row in rows]
        if any(figure.value is not None for figure in figures):
            series.append(
                Series(
                    name=NAMES[who],
                    x=labels,
                    y=tuple(figure.value for figure in figures),
                    low=tuple(figure.low for figure in figures),
                    high=tuple(figure.high for figure in figures),
                    notes=tuple(f"n = {row.n}" for row in rows),
                )
            )
    by = f" by {attribute}" if attribute else ""
    said = "; ".join(
        f"{label} {one.name} {number(value, percent=True)}"
        for one in series
        for label, value in zip(labels, one.y, strict=True)
        if value is not None
    )
    return Chart(
        kind="intervals",
        message=f"The {words}{by}: the model alone, people alone, and people with the model.",
        alt=said or "no value could be estimated",
        value_label=words,
        series=tuple(series),
        percent=True,
    )


def _counts(seen: Oversight) -> list[tuple[str, float | None, str]]:
    return [
        ("sampled cases", seen.sampled, "count"),
        ("judged cases", seen.judged, "count"),
        ("judged cases with known truth", seen.truth_n, "count"),
        ("reviewers", seen.reviewers, "count"),
        *((f"verdict: {verdict}", number, "count") for verdict, number in seen.verdicts),
        *((f"reason: {reason}", number, "count") for reason, number in seen.reasons),
        ("corrections", seen.corrections, "count"),
        ("judgments outside the sample", seen.outside_sample, "count"),
        *((f"not counted: {why}", number, "count") for why, number in seen.excluded),
        ("seconds on task", seen.median_seconds, "median"),
    ]


def _count(measure: str, value: float | None, method: str) -> dict[str, Any]:
    status = "not assessed" if value is None else "counted"
    return _blank(topic="counts", measure=measure, value=value, method=method, status=status)


def _rows_of(row: SideBySide) -> list[dict[str, Any]]:
    group = f"{row.attribute}: {row.group}" if row.attribute else ""
    found = []
    named = [(who, NAMES[who]) for who in DECIDERS]
    named += [(f"{a}_minus_{b}", f"{NAMES[a]} − {NAMES[b]}") for a, b in PAIRS]
    for field, name in named:
        figure = getattr(row, field)
        found.append(
            _blank(
                topic="side by side",
                measure=f"{row.measure.replace('_', ' ')}, {name}",
                group=group,
                unit="cases",
                n=row.n,
                needed=row.needed,
                value=figure.value,
                low=figure.low,
                high=figure.high,
                truth_n=row.truth_n,
                truth_of=row.truth_of,
                weighted=row.weighted,
                method=row.method,
                status=row.status
                if figure.value is not None or row.status != "estimated"
                else "not assessed",
                words=row.words,
            )
        )
    return found


def _reviewer(row: ReviewerRow) -> list[dict[str, Any]]:
    figures = [
        ("override rate", row.overrides, row.override_n),
        ("same decision as others", row.peers, row.peer_cases),
        ("accuracy", row.accuracy, row.truth_n),
    ]
    found = [
        _blank(
            topic="reviewers",
            measure=measure,
            group=row.reviewer,
            unit="cases",
            n=n,
            value=figure.value,
            low=figure.low,
            high=figure.high,
            method="Wilson" if figure.value is not None else "",
            status="estimated"
            if figure.value is not None
            else ("insufficient data" if n else "not assessed"),
        )
        for measure, figure, n in figures
    ]
    counts = [
        ("answers", row.answers, row.answers),
        *((f"verdict: {name}", count, row.answers) for name, count in row.verdicts),
        ("answered too fast", row.too_fast, row.timed),
        ("hidden gold right", *row.gold),
        ("planted errors caught", *row.planted),
        ("same answer when asked again", *row.repeats),
    ]
    found += [
        _blank(
            topic="reviewers",
            measure=measure,
            group=row.reviewer,
            unit="answers",
            count=count,
            n=n,
            value=count,
            method="count",
            status="counted",
        )
        for measure, count, n in counts
    ]
    found.append(
        _blank(
            topic="reviewers",
            measure="seconds per answer, median",
            group=row.reviewer,
            unit="answers",
            n=row.timed,
            value=row.median_seconds,
            method="median",
            status="counted" if row.timed else "not assessed",
        )
    )
    return found


def _blank(**given: Any) -> dict[str, Any]:
    empty = dict.fromkeys(COLUMNS)
    return empty | {"group": "", "weighted": False, "words": ""} | given
