"""What one pass keeps of some rows; two of them add up to that of both, exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hitl_audit.inputs import MAX_GROUPS
from hitl_audit.multiset_hash import Lanes, joined, no_rows
from hitl_audit.population.column_facts import ColumnFacts
from hitl_audit.population.row_sample import RowSample, no_sample
from hitl_audit.population.score_classes import ScoreClasses, no_scores

__all__ = ["MOST_VALUES", "Cells", "Fault", "GroupNames", "PartCounts", "no_counts"]

Cells = tuple[int, int, int, int]

MOST_VALUES = 1000
"""Of the target or of a sensitive attribute; more are not told apart."""


@dataclass(frozen=True)
class Fault:
    """Rows that an audit refuses.

    Attributes:
        rows: how many.
        where: the first of them: ``row 17 of part 3 (loans-07.parquet)``.
    """

    rows: int = 0
    where: str = ""

    def __add__(self, other: Fault) -> Fault:
        where = min((w for w in (self.where, other.where) if w), key=_natural, default="")
        return Fault(self.rows + other.rows, where)


def _natural(where: str) -> tuple[list[tuple[int, int, str]], str]:
    """Part 2 before part 10, and row 2 of a part before row 10."""
    row, _, part = where.partition(" of ")
    pieces = re.split(r"(\d+)", f"{part} {row}")
    return [(1, int(p), "") if p.isdigit() else (0, 0, p) for p in pieces], where


@dataclass(frozen=True)
class GroupNames:
    """The groups of one sensitive attribute.

    Attributes:
        names: of those that occur, at most :data:`MOST_VALUES`; ``None`` if more do.
        missing: rows without a value.
        said_unknown: a value reads ``"unknown"``.
    """

    names: frozenset[str] | None
    missing: int
    said_unknown: bool

    def __add__(self, other: GroupNames) -> GroupNames:
        names = None
        if self.names is not None and other.names is not None:
            names = self.names | other.names
            names = names if len(names) <= MOST_VALUES else None
        return GroupNames(
            names, self.missing + other.missing, self.said_unknown or other.said_unknown
        )

    @property
    def few(self) -> bool:
        """May an audit tell them apart? The missing ones are not among the values."""
        return self.names is not None and len(self.names) <= MAX_GROUPS


@dataclass(frozen=True, eq=False)
class PartCounts:
    """What one pass keeps of some rows.

    ``+`` is commutative and associative and exact, with :func:`no_counts` as its zero.

    Attributes:
        rows: how many were read.
        outcomes: value of the target → rows; ``None`` if there are very many.
        no_outcome, no_id, bad_scores: rows that an audit refuses.
        groups: sensitive attribute → its groups.
        cells: groups → true negatives, false positives, false negatives, true
            positives; none once an attribute has too many groups.
        scores: the scores in classes by group, likewise.
        columns: model input → what to know about it.
        content: the sum of the rows' digests (:mod:`hitl_audit.multiset_hash`).
        scored: the sum of the digests of the rows with their scores.
        sample: the rows with the smallest hashes.
        cut: the largest hash that was looked at, where the number of rows was known.
    """

    rows: int
    outcomes: Mapping[Any, int] | None
    no_outcome: Fault
    no_id: Fault
    bad_scores: Fault
    groups: Mapping[str, GroupNames]
    cells: Mapping[tuple[str, ...], Cells]
    scores: ScoreClasses
    columns: Mapping[str, ColumnFacts]
    content: Lanes
    scored: Lanes
    sample: RowSample
    cut: int | None

    def __add__(self, other: PartCounts) -> PartCounts:
        if not other.rows:
            return self
        if not self.rows:
            return other
        outcomes = None
        if self.outcomes is not None and other.outcomes is not None:
            outcomes = _added(self.outcomes, other.outcomes)
            outcomes = outcomes if len(outcomes) <= MOST_VALUES else None
        groups = _added(self.groups, other.groups)
        few = all(names.few for names in groups.values())
        return PartCounts(
            rows=self.rows + other.rows,
            outcomes=outcomes,
            no_outcome=self.no_outcome + other.no_outcome,
            no_id=self.no_id + other.no_id,
            bad_scores=self.bad_scores + other.bad_scores,
            groups=groups,
            cells=_added_cells(self.cells, other.cells) if few else {},
            scores=self.scores + other.scores if few else no_scores(),
            columns=_added(self.columns, other.columns),
            content=joined(self.content, other.content),
            scored=joined(self.scored, other.scored),
            sample=self.sample + other.sample,
            cut=self.cut,
        )

    @property
    def sample_is_short(self) -> bool:
        """Did the limit on hashes leave out rows that belong to the sample?"""
        return self.cut is not None and len(self.sample) < min(self.sample.size, self.rows)


def no_counts() -> PartCounts:
    """The zero: the counts of no rows."""
    return PartCounts(
        rows=0,
        outcomes={},
        no_outcome=Fault(),
        no_id=Fault(),
        bad_scores=Fault(),
        groups={},
        cells={},
        scores=no_scores(),
        columns={},
        content=no_rows(),
        scored=no_rows(),
        sample=no_sample(0),
        cut=None,
    )


def _added(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    found = dict(one)
    for name, value in other.items():
        found[name] = found[name] + value if name in found else value
    return found


def _added_cells(
    one: Mapping[tuple[str, ...], Cells], other: Mapping[tuple[str, ...], Cells]
) -> dict[tuple[str, ...], Cells]:
    found = dict(one)
    for group, (tn, fp, fn, tp) in other.items():
        a, b, c, d = found.get(group, (0, 0, 0, 0))
        found[group] = (a + tn, b + fp, c + fn, d + tp)
    return found
