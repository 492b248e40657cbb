"""Model alone, people alone, people with the model: accuracy and fairness side by side,
paired by case. Pure.

*Model* is its decision; *human* the majority of the blind decisions; *team* the
human decision after the model's was seen. All three are compared on the same
cases: those on which each has decided. Without blind decisions (an open
protocol) there is no human alone, and model and team are compared on the cases
both decided.

Rates count 1/π and have Wilson intervals at the effective size; differences
between two of them are paired by case (Bonett-Price). A group minus the
reference, and how much that differs between two of them, combines the groups'
intervals (Newcombe's hybrid; Zou & Donner 2008). The largest gap among groups
has no such form: it is bootstrapped (:mod:`hitl_audit.review.largest_gap`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hitl_audit.review.decision_quality import decision_of
from hitl_audit.review.estimates import weighted_difference
from hitl_audit.review.kpi import Item, Settings, rate_of
from hitl_audit.review.largest_gap import largest_gaps
from hitl_audit.review.reviewed import UNKNOWN, Reviewed
from hitl_audit.review.verdicts import CaseDecision

__all__ = ["MEASURES", "Figure", "SideBySide", "group_difference", "side_by_side"]

MEASURES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")

DECIDERS = ("model", "human", "team")
PAIRS = (("human", "model"), ("team", "model"), ("team", "human"))


@dataclass(frozen=True)
class Figure:
    """A value with its interval; ``None`` where it could not be estimated."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SideBySide:
    """One measure of model, people and both together, on the same cases.

    Attributes:
        measure: one of :data:`MEASURES`.
        attribute: ``""`` for all cases.
        group: the group; ``"black − white"`` or ``"largest gap"`` of a comparison.
        kind: ``"rate"``, ``"difference"`` (group minus reference) or ``"gap"``
            (largest minus smallest of the groups large enough).
        n: cases it is estimated from, of all groups involved.
        needed: of each group.
        truth_n, truth_of: cases whose right decision is known, of how many;
            ``None`` for the selection rate.
        model, human, team: each alone; ``human`` is empty without blind decisions.
        human_minus_model, team_minus_model, team_minus_human: paired.
        weighted: cases count 1/π.
        method: name of the estimates and intervals.
        status: ``"estimated"``, ``"insufficient data"`` or ``"not assessed"``.
        words: for a comparison, what people changed.
    """

    measure: str
    attribute: str
    group: str
    kind: str
    n: int
    needed: int
    truth_n: int | None
    truth_of: int | None
    model: Figure
    human: Figure
    team: Figure
    human_minus_model: Figure
    team_minus_model: Figure
    team_minus_human: Figure
    weighted: bool
    method: str
    status: str
    words: str = ""


@dataclass(frozen=True)
class _Case:
    """One case with the decisions of each: favorable or not."""

    case_id: str
    chance: float
    favorable: dict[str, bool]
    truth: bool | None


@dataclass(frozen=True)
class _Measure:
    name: str
    among: Callable[[_Case], bool]
    yes: Callable[[_Case, str], bool]
    needs_truth: bool = True


_OF = (
    _Measure("accuracy", lambda c: True, lambda c, who: c.favorable[who] == c.truth),
    _Measure("selection_rate", lambda c: True, lambda c, who: c.favorable[who], needs_truth=False),
    _Measure("true_positive_rate", lambda c: c.truth is True, lambda c, who: c.favorable[who]),
    _Measure("false_positive_rate", lambda c: c.truth is False, lambda c, who: c.favorable[who]),
)


def side_by_side(data: Reviewed) -> tuple[SideBySide, ...]:
    """Every measure: of all, of every group, of every group against its reference, largest gap."""
    cases = _cases(data)
    deciders = tuple(who for who in DECIDERS if not cases or who in cases[0].favorable)
    rows = []
    for measure in _OF:
        rows.append(_rate(data, measure, cases, deciders, "", ""))
        for attribute in data.groups:
            members = data.members(attribute)
            of_group = {
                group: _rate(
                    data,
                    measure,
                    [case for case in cases if case.case_id in inside],
                    deciders,
                    attribute,
                    group,
                )
                for group, inside in members.items()
            }
            rows += of_group.values()
            reference = data.reference.get(attribute)
            rows += [
                _against(row, of_group[reference])
                for group, row in of_group.items()
                if reference is not None and group not in (reference, UNKNOWN)
            ]
            rows.append(_largest_gap(data, measure, cases, deciders, attribute, of_group))
    return tuple(rows)


def _cases(data: Reviewed) -> list[_Case]:
    """The cases on which everyone who is compared has decided."""
    decided = [c for c in data.cases if c.decision is not None and c.case_id in data.model]
    blind = [case for case in decided if case.blind is not None]
    found = []
    for case in blind or decided:
        truth = data.truth.get(case.case_id)
        found.append(
            _Case(
                case.case_id,
                data.chances.get(case.case_id, 1.0),
                {who: _favors(data, case, who) for who in DECIDERS if who != "human" or blind},
                None if truth is None else truth == "favorable",
            )
        )
    return found


def _favors(data: Reviewed, case: CaseDecision, who: str) -> bool:
    return decision_of(data, case, who) == "favorable"


def _used(measure: _Measure, cases: Sequence[_Case]) -> list[_Case]:
    return [
        case
        for case in cases
        if (case.truth is not None or not measure.needs_truth) and measure.among(case)
    ]


def _rate(
    data: Reviewed,
    measure: _Measure,
    cases: Sequence[_Case],
    deciders: Sequence[str],
    attribute: str,
    group: str,
) -> SideBySide:
    settings = data.settings
    used = _used(measure, cases)
    needed = settings.needed(attribute)
    figures: dict[str, Figure] = {}
    status = "estimated" if len(used) >= needed else "insufficient data"
    if not used:
        status = "not assessed"
    method = ""
    if status == "estimated":
        figures, method = _figures(measure, used, deciders, settings)
    known = sum(case.truth is not None for case in cases)
    return _made(
        figures,
        measure=measure.name,
        attribute=attribute,
        group=group,
        kind="rate",
        n=len(used),
        needed=needed,
        truth=(known, len(cases)) if measure.needs_truth else None,
        weighted=data.weighted,
        method=method,
        status=status,
    )


def _figures(
    measure: _Measure, used: Sequence[_Case], deciders: Sequence[str], settings: Settings
) -> tuple[dict[str, Figure], str]:
    found: dict[str, Figure] = {}
    methods: dict[str, None] = {}
    outcomes = {who: [measure.yes(case, who) for case in used] for who in deciders}
    chances = [case.chance for case in used]
    for who, yes in outcomes.items():
        items = [Item(case.case_id, one, case.chance) for case, one in zip(used, yes, strict=True)]
        rate = rate_of(items, settings)
        found[who] = Figure(rate.value, rate.low, rate.high)
        methods[rate.method] = None
    for a, b in PAIRS:
        if a in outcomes and b in outcomes:
            paired = weighted_difference(
                outcomes[a],
                outcomes[b],
                chances,
                confidence=settings.confidence,
                finite_population=False,
            )
            found[f"{a}_minus_{b}"] = Figure(paired.value, paired.low, paired.high)
            methods[paired.method] = None
    return found, "; ".join(methods)


def _against(row: SideBySide, reference: SideBySide) -> SideBySide:
    """A group minus its reference, each figure by Newcombe's hybrid: the two share no case."""
    names = [*DECIDERS, *(f"{a}_minus_{b}" for a, b in PAIRS)]
    figures = {
        name: group_difference(getattr(row, name), getattr(reference, name)) for name in names
    }
    estimated = row.status == reference.status == "estimated"
    both = {row.status, reference.status}
    status = "estimated" if estimated else "not assessed"
    if "insufficient data" in both and "not assessed" not in both:
        status = "insufficient data"
    return _made(
        figures,
        measure=row.measure,
        attribute=row.attribute,
        group=f"{row.group} − {reference.group}",
        kind="difference",
        n=row.n + reference.n,
        needed=row.needed,
        truth=_truth_of(row, reference),
        weighted=row.weighted,
        method="Newcombe, hybrid of the two groups' intervals" if estimated else "",
        status=status,
        words=_change(figures["model"], figures["team"], figures["team_minus_model"]),
    )


def group_difference(a: Figure, b: Figure) -> Figure:
    """One group's figure minus another's, which share no case: Newcombe's hybrid.

    Empty if either has no interval.
    """
    if (
        a.value is None
        or a.low is None
        or a.high is None
        or b.value is None
        or b.low is None
        or b.high is None
    ):
        return Figure()
    value = a.value - b.value
    # An adjusted interval need not contain the estimate; a negative reach has no meaning.
    below = math.hypot(max(0.0, a.value - a.low), max(0.0, b.high - b.value))
    above = math.hypot(max(0.0, a.high - a.value), max(0.0, b.value - b.low))
    return Figure(value, value - below, value + above)


def _largest_gap(
    data: Reviewed,
    measure: _Measure,
    cases: Sequence[_Case],
    deciders: Sequence[str],
    attribute: str,
    of_group: dict[str, SideBySide],
) -> SideBySide:
    settings = data.settings
    large = [
        group for group, row in of_group.items() if row.status == "estimated" and group != UNKNOWN
    ]
    members = data.members(attribute)
    used = [c for c in _used(measure, cases) if any(c.case_id in members[g] for g in large)]
    figures: dict[str, Figure] = {}
    method, status = "", "insufficient data"
    if len(large) >= 2:
        figures, undefined = _bootstrap(
            measure, used, deciders, [members[g] for g in large], settings
        )
        left_out = f", {undefined} undefined" if undefined else ""
        method = f"smoothed bootstrap of cases, percentile, {settings.n_boot} replicates{left_out}"
        status = "estimated"
    elif not any(row.n for row in of_group.values()):
        status = "not assessed"
    rows = [of_group[group] for group in large]
    return _made(
        figures,
        measure=measure.name,
        attribute=attribute,
        group="largest gap",
        kind="gap",
        n=len(used),
        needed=settings.needed(attribute),
        truth=_truth_of(*rows) if measure.needs_truth else None,
        weighted=data.weighted,
        method=method,
        status=status,
        words=(
            f"among {', '.join(large)}; in small samples a largest gap is too large"
            if len(large) >= 2
            else f"{len(large)} of 2 groups needed have {settings.needed(attribute)} such cases"
        ),
    )


def _bootstrap(
    measure: _Measure,
    used: Sequence[_Case],
    deciders: Sequence[str],
    members: Sequence[set[str]],
    settings: Settings,
) -> tuple[dict[str, Figure], int]:
    """Largest minus smallest rate of each decider, and paired differences of these gaps."""
    import numpy as np

    place = {case_id: i for i, group in enumerate(members) for case_id in group}
    observed, drawn, undefined = largest_gaps(
        np.array([[measure.yes(case, who) for who in deciders] for case in used]),
        np.array([place[case.case_id] for case in used], dtype=np.intp),
        np.array([1 / case.chance for case in used]),
        n_boot=settings.n_boot,
        random_state=settings.random_state,
    )
    columns = {who: (observed[i], drawn[:, i]) for i, who in enumerate(deciders)}
    for a, b in PAIRS:
        if a in columns and b in columns:
            (now, after), (was, before) = columns[a], columns[b]
            columns[f"{a}_minus_{b}"] = (now - was, after - before)
    tails = [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2]
    found = {}
    for name, (value, replicates) in columns.items():
        found[name] = Figure(float(value))
        if len(replicates):
            low, high = np.quantile(replicates, tails)
            found[name] = Figure(float(value), float(low), float(high))
    return found, undefined


def _truth_of(*rows: SideBySide) -> tuple[int, int] | None:
    if any(row.truth_n is None for row in rows):
        return None
    return sum(row.truth_n or 0 for row in rows), sum(row.truth_of or 0 for row in rows)


def _made(
    figures: dict[str, Figure],
    *,
    measure: str,
    attribute: str,
    group: str,
    kind: str,
    n: int,
    needed: int,
    truth: tuple[int, int] | None,
    weighted: bool,
    method: str,
    status: str,
    words: str = "",
) -> SideBySide:
    empty = Figure()
    return SideBySide(
        measure=measure,
        attribute=attribute,
        group=group,
        kind=kind,
        n=n,
        needed=needed,
        truth_n=truth[0] if truth else None,
        truth_of=truth[1] if truth else None,
        model=figures.get("model", empty),
        human=figures.get("human", empty),
        team=figures.get("team", empty),
        human_minus_model=figures.get("human_minus_model", empty),
        team_minus_model=figures.get("team_minus_model", empty),
        team_minus_human=figures.get("team_minus_human", empty),
        weighted=weighted,
        method=method,
        status=status,
        words=words,
    )


def _change(model: Figure, team: Figure, change: Figure) -> str:
    """What people did to the distance between a group and its reference."""
    if change.low is None or change.high is None or model.value is None or team.value is None:
        return ""
    if change.low <= 0 <= change.high:
        return "no change by people can be told from chance"
    smaller = abs(team.value) < abs(model.value)
    return f"people made the difference {'smaller' if smaller else 'larger'}"
