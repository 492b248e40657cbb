"""Which cases people judge, each with the chance it had of being drawn.

Everything random comes from the hash of a case's id and the seed: the same ids
and seed give the same sample in any row order, on any machine, and anyone can
recompute it. The order of the sample is the order of judging, and is random
whatever the design: those who stop early have judged a smaller sample of the
same kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.allocation import ALLOCATIONS, allocate, chances
from hitl_audit.review.case_columns import (
    Numbers,
    Strata,
    read_groups,
    read_ids,
    read_scores,
    read_strata,
)
from hitl_audit.review.drawing import Places, first_of_each, hash_order, systematic
from hitl_audit.review.priority import Priority

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DESIGNS",
    "PURPOSIVE",
    "CaseSample",
    "SampledCase",
    "pick_cases",
    "sample_cases",
]

DESIGNS = ("random", "stratified", "uncertainty", "mixture")
"""The designs that give every case a known chance."""

PURPOSIVE = "purposive"
"""Cases picked by hand: they have no chance, and enter no rate."""

UNCERTAINTY_MIX = 0.05
"""The random part of the design ``"uncertainty"``: no case is heavier than 20 random ones."""

_Drawn = tuple[int, float, float | None, str]
"""Row, chance, priority and reason of a drawn case."""


@dataclass(frozen=True)
class SampledCase:
    """One case to judge.

    Attributes:
        case_id: its id.
        inclusion_probability: its chance of being in the sample, π; ``None``
            if it was picked by hand.
        stratum: the stratum it was drawn from, ``""`` without strata.
        reason: why it is here, in words.
        priority: how much it was preferred, 0 to 1 by :mod:`priority`;
            ``None`` under a design without priorities.
        groups: ``(attribute, group)`` of the case, for estimates by group.
    """

    case_id: str
    inclusion_probability: float | None
    stratum: str
    reason: str
    priority: float | None = None
    groups: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CaseSample:
    """The cases people will judge, in order of judging.

    Attributes:
        design: how they were drawn, one of :data:`DESIGNS`, or ``"purposive"``.
        population: number of cases they were drawn from.
        random_state: the seed.
        cases: the sample.
    """

    design: str
    population: int
    random_state: int
    cases: tuple[SampledCase, ...]
    format: Literal["hitl-audit/sample/v1"] = "hitl-audit/sample/v1"

    @property
    def case_ids(self) -> tuple[str, ...]:
        """The ids, in order of judging."""
        return tuple(case.case_id for case in self.cases)

    def frame(self) -> pd.DataFrame:
        """One row per case: its fields, the design, and ``group: NAME`` per attribute."""
        import pandas as pd

        columns = ["case_id", "inclusion_probability", "stratum", "reason", "priority"]
        frame = pd.DataFrame(
            [[getattr(case, column) for column in columns] for case in self.cases],
            columns=columns,
        ).assign(design=self.design)
        for name in dict.fromkeys(name for case in self.cases for name, _ in case.groups):
            frame[f"group: {name}"] = [dict(case.groups).get(name) for case in self.cases]
        return frame


def sample_cases(
    inputs_or_ids: Any,
    n: int,
    *,
    design: str | None = None,
    strata: str | Iterable[object] | None = None,
    priority: Priority | Iterable[float] | None = None,
    floor_per_group: int | None = None,
    allocation: str | None = None,
    deviations: Mapping[str, float] | Iterable[float] | None = None,
    mix: float | None = None,
    groups: Any = None,
    random_state: int = 0,
) -> CaseSample:
    """Draw the cases that people will judge.

    ``"random"``
        without replacement, every case with π = n / N.
    ``"stratified"``
        n_h cases at random from every stratum h, each with π = n_h / N_h.
        Which n_h, ``allocation`` says; a stratum with fewer cases than its
        share is taken whole and the others share the rest.
    ``"mixture"``
        ``π_i = min(1, c [λ/N + (1−λ) s_i/Σs])`` with the c for which Σπ = n:
        partly at random, partly in proportion to the priority s, so that the
        cases worth a look are seen and no case is heavy. With strata, each
        expects at least ``floor_per_group`` cases, and gets them.
    ``"uncertainty"``
        the same with λ = 0.05: by priority as far as weights allow. Without
        the random part a case of priority 0 could never be drawn, and no
        weight could stand for it.

    The last two draw exactly n cases with exactly these chances, by systematic
    sampling in the order of the hashes (:func:`drawing.systematic`). Where all
    priorities are 0 nothing is preferred and π = n / N.

    Args:
        inputs_or_ids: :class:`AuditInputs`, a DataFrame or a Series, whose
            index holds the case ids, or the ids themselves; every id once.
        n: number of cases.
        design: one of the four; by default ``"mixture"`` if there is a
            priority, otherwise ``"random"``.
        strata: for ``"stratified"`` and ``"mixture"``, one label per row, in
            row order, or the name of a sensitive attribute or column; a row
            without a label belongs to the stratum ``"missing"``.
        priority: for ``"mixture"`` and ``"uncertainty"``, numbers of 0 or
            more, one per row, in row order, or a :class:`Priority`, whose
            reasons the cases then give.
        floor_per_group: smallest number of cases per stratum (all of its
            cases if it has fewer); by default 1 if stratified, otherwise 0.
        allocation: for ``"stratified"``: ``"equal"`` (default; groups compare
            best), ``"proportional"`` to size, or ``"neyman"``, by size and
            ``deviations`` (the overall rate is most precise).
        deviations: for ``"neyman"``, the expected standard deviation of what
            people will say, by stratum, or one per row, for example
            ``sqrt(p * (1 - p))`` of the chance p of a disagreement; rows are
            combined as the root of their mean square.
        mix: λ of the mixture, 0 < λ ≤ 1; 0.5 by default.
        groups: columns of groups to note with every case, as
            ``sensitive_features`` elsewhere; those of :class:`AuditInputs` by
            default.
        random_state: the seed.

    Raises:
        InputError: an unknown design, an argument that the design does not
            use or lacks, more cases than there are, fewer than the floors
            need, a repeated id, or values that do not fit the rows.
    """
    if design is None:
        design = "random" if priority is None else "mixture"
    _check(
        design,
        {
            "strata": strata,
            "priority": priority,
            "floor_per_group": floor_per_group,
            "allocation": allocation,
            "deviations": deviations,
            "mix": mix,
        },
    )
    ids = read_ids(inputs_or_ids)
    rows = len(ids)
    if not 1 <= n <= rows:
        raise InputError(f"sample: got n={n}, expected 1 to {rows}, the number of cases")
    noted = read_groups(inputs_or_ids, groups, rows)
    layers = read_strata(inputs_or_ids, strata, rows)
    order = hash_order(ids, random_state)
    if priority is not None:
        share = UNCERTAINTY_MIX if design == "uncertainty" else 0.5 if mix is None else mix
        drawn = _by_priority(
            order,
            layers,
            n,
            read_scores(priority, rows),
            priority,
            share,
            floor_per_group or 0,
            random_state,
        )
    else:
        shares = allocate(
            layers.sizes,
            n,
            allocation=allocation or "equal",
            deviations=layers.deviations(deviations),
            floor=1 if floor_per_group is None else floor_per_group,
        )
        drawn = _by_strata(order, layers, shares)
    return CaseSample(
        design,
        rows,
        random_state,
        tuple(
            SampledCase(
                case_id=ids[row],
                inclusion_probability=chance,
                stratum=layers.names[layers.codes[row]],
                reason=reason,
                priority=score,
                groups=tuple((name, found[row]) for name, found in noted.items()),
            )
            for row, chance, score, reason in drawn
        ),
    )


def pick_cases(
    inputs_or_ids: Any,
    case_ids: Any,
    *,
    reason: str | Mapping[str, str] = "picked by hand",
    groups: Any = None,
) -> CaseSample:
    """Take the cases that somebody wants to be judged: a purposive sample.

    They have no inclusion probability: they may show that something happens,
    never how often, and every estimate refuses them.

    Args:
        inputs_or_ids, groups: as in :func:`sample_cases`.
        case_ids: the ids, in order of judging, or a table of these cases.
        reason: why these, in words; one for all, or one by id.

    Raises:
        InputError: no case, an id that does not exist or occurs twice, or a
            case without a reason.
    """
    ids = read_ids(inputs_or_ids)
    places = {case_id: row for row, case_id in enumerate(ids)}
    noted = read_groups(inputs_or_ids, groups, len(ids))
    picked = read_ids(case_ids)
    if not picked:
        raise InputError("sample: got no cases to pick, expected at least one")
    unknown = [case_id for case_id in picked if case_id not in places]
    if unknown:
        raise InputError(
            f'sample: {len(unknown)} picked cases do not exist, first "{unknown[0]}"'
            f"{did_you_mean(unknown[0], ids)}"
        )
    words = dict.fromkeys(picked, reason) if isinstance(reason, str) else dict(reason)
    silent = [case_id for case_id in picked if not words.get(case_id, "").strip()]
    if silent:
        raise InputError(f'sample: case "{silent[0]}" is picked without a reason; expected words')
    cases = tuple(
        SampledCase(
            case_id=case_id,
            inclusion_probability=None,
            stratum="",
            reason=words[case_id],
            groups=tuple((name, found[places[case_id]]) for name, found in noted.items()),
        )
        for case_id in picked
    )
    return CaseSample(PURPOSIVE, len(ids), 0, cases)


def _by_strata(order: Places, layers: Strata, shares: Mapping[str, int]) -> Iterator[_Drawn]:
    """The first by hash of every stratum."""
    per_stratum = [shares[name] for name in layers.names]
    for row in first_of_each(order, layers.codes, per_stratum):
        name = layers.names[layers.codes[row]]
        share, size = shares[name], layers.sizes[name]
        reason = f"drawn at random, {share} of {size}"
        if name:
            reason += f" in stratum {name}"
        yield int(row), share / size, None, reason


def _by_priority(
    order: Places,
    layers: Strata,
    n: int,
    scores: Numbers,
    priority: Priority | Iterable[float],
    mix: float,
    floor: int,
    seed: int,
) -> Iterator[_Drawn]:
    """Systematically, with chances partly equal and partly in proportion to the scores."""
    rows, total = len(scores), float(scores.sum())
    preferred = (1 - mix) * (scores / total if total else np.full(rows, 1 / rows))
    pi, raised = chances(mix / rows + preferred, n, layers.codes, floor)
    line = order[np.argsort(layers.codes[order], kind="stable")]
    taken = np.zeros(rows, dtype=np.bool_)
    taken[systematic(pi, line, seed)] = True
    for row in order[taken[order]].tolist():
        chance, score = float(pi[row]), float(scores[row])
        words = "drawn at random"
        # Named only if it gave the larger part of the chance.
        if total and preferred[row] > mix / rows:
            named = priority.reason(row) if isinstance(priority, Priority) else ""
            words = named or "preferred"
        words += f" (priority {score:.2f}); its chance was {chance:.2g}"
        if raised[layers.codes[row]]:
            words += f", raised to expect {floor} of {layers.names[layers.codes[row]]}"
        yield row, chance, score, words


_USES = {
    "strata": ("stratified", "mixture"),
    "priority": ("mixture", "uncertainty"),
    "floor_per_group": ("stratified", "mixture"),
    "allocation": ("stratified",),
    "deviations": ("stratified",),
    "mix": ("mixture",),
}
"""Which argument goes with which designs."""
_NEEDS = {"stratified": "strata", "mixture": "priority", "uncertainty": "priority"}


def _check(design: str, given: Mapping[str, Any]) -> None:
    if design == PURPOSIVE:
        raise InputError(
            f'sample: design is "{PURPOSIVE}": such cases are picked by hand, not drawn; '
            f"use pick_cases. Accepted: {', '.join(DESIGNS)}"
        )
    if design not in DESIGNS:
        accepted = ", ".join(DESIGNS)
        raise InputError(
            f'sample: design is "{design}"; accepted: {accepted}{did_you_mean(design, DESIGNS)}'
        )
    for name, value in given.items():
        designs = " or ".join(f'"{accepted}"' for accepted in _USES[name])
        if value is not None and design not in _USES[name]:
            raise InputError(f'sample: {name} goes with design {designs}, got design "{design}"')
        if value is None and _NEEDS.get(design) == name:
            raise InputError(f'sample: design "{design}" needs {name}; got none')
    allocation, mix, floor = given["allocation"], given["mix"], given["floor_per_group"]
    if allocation is not None and allocation not in ALLOCATIONS:
        raise InputError(
            f'sample: allocation is "{allocation}"; accepted: {", ".join(ALLOCATIONS)}'
            f"{did_you_mean(allocation, ALLOCATIONS)}"
        )
    if (allocation == "neyman") != (given["deviations"] is not None):
        raise InputError('sample: deviations go with allocation "neyman", and it needs them')
    if mix is not None and not 0 < mix <= 1:
        raise InputError(
            f"sample: mix is {mix}; accepted: above 0, so that every case can be drawn, to 1"
        )
    if floor is not None and floor < 1:
        raise InputError(f"sample: floor_per_group is {floor}; accepted: 1 or more")
    if floor is not None and given["strata"] is None:
        raise InputError("sample: floor_per_group needs strata; got none")
