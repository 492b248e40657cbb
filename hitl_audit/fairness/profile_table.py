"""A table of a regulation profile as a value, and how one of its rows is made."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import Interval
from hitl_audit.groups import group_name
from hitl_audit.intervals import Count, koopman, wilson
from hitl_audit.profiles.loader import Profile, load_profile

__all__ = [
    "Basis",
    "ImpactRow",
    "Names",
    "ProfileRow",
    "ProfileTable",
    "ProfileTables",
    "best_rate",
    "count_by_name",
    "crossed",
    "profile_row",
    "profile_tables",
    "rules_of",
]

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class ProfileRow:
    """One group in one table.

    Attributes:
        group: its name.
        n: people in it.
        count: how many of them were selected, approved, or scored above the median.
        rate: count / n, with its interval ``low`` to ``high`` (Wilson).
        impact_ratio: rate / rate of the table's reference, with its interval
            ``ratio_low`` to ``ratio_high`` (Koopman score); ``None`` if left
            out or undefined. The reference itself has 1 and no interval.
        below_four_fifths: the ratio is below the profile's 0.8, by exact counts.
        excluded: left out of the ratios; ``note`` says why.
        note: what a reader must know about this row.
    """

    group: str
    n: int
    count: int
    rate: float | None
    low: float | None
    high: float | None
    impact_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    below_four_fifths: bool | None
    excluded: bool
    note: str


@dataclass(frozen=True)
class ImpactRow(ProfileRow):
    """A row with practical and statistical significance side by side.

    Attributes:
        p_value, p_adjusted: of equal rates, raw and adjusted by
            Benjamini-Hochberg over all tables; the table names the test.
        statistical: the raw p is below 1 − confidence.
        evidence: ``"practical and statistical"``, ``"practical only"`` (below
            four fifths), ``"statistical only"`` or ``"neither"``; ``""`` where
            nothing is compared.
        smd, smd_low, smd_high: standardized mean difference of the scores.
        odds_ratio, odds_low, odds_high, cmh_p: within segments (Mantel-Haenszel).
        segments, segments_left_out: how many say something, and do not.
    """

    p_value: float | None = None
    p_adjusted: float | None = None
    statistical: bool | None = None
    evidence: str = ""
    smd: float | None = None
    smd_low: float | None = None
    smd_high: float | None = None
    odds_ratio: float | None = None
    odds_low: float | None = None
    odds_high: float | None = None
    cmh_p: float | None = None
    segments: int | None = None
    segments_left_out: int | None = None


@dataclass(frozen=True)
class ProfileTable:
    """One table.

    Attributes:
        attribute: ``"sex"``, or ``"sex × race_ethnicity"``.
        rate_name: what the rate is.
        reference: the group of the impact ratios' denominator; ``""`` for none.
        rows: the groups, by name.
        unknown: people left out because their group is unknown.
        people: everybody assessed, the unknown included.
        notes: what a reader must know about this table.
    """

    attribute: str
    rate_name: str
    reference: str
    rows: tuple[ProfileRow | ImpactRow, ...]
    unknown: int
    people: int
    notes: tuple[str, ...]

    def row(self, group: str) -> ProfileRow:
        """One group.

        Raises:
            KeyError: there is no such group.
        """
        return {row.group: row for row in self.rows}[group]

    def frame(self) -> pd.DataFrame:
        """One row per group."""
        kind = type(self.rows[0]) if self.rows else ProfileRow
        names = [field.name for field in fields(kind)]
        return pd.DataFrame([asdict(row) for row in self.rows], columns=names)


@dataclass(frozen=True)
class Basis:
    """One prohibited basis, and by which attribute it was assessed (``""``: it was not)."""

    basis: str
    attribute: str


@dataclass(frozen=True)
class ProfileTables:
    """All tables of one profile.

    Attributes:
        profile, title, as_of, status: which profile, and how old.
        warning: what must be printed about its status; ``""`` for nothing.
        tables: the tables.
        confidence: of every interval.
        methods: name of what was computed → name of the method.
        notes: what a reader must know about all tables.
        bases: the prohibited bases, where the profile has a list of them.
    """

    profile: str
    title: str
    as_of: str
    status: str
    warning: str
    tables: tuple[ProfileTable, ...]
    confidence: float
    methods: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    bases: tuple[Basis, ...] = ()

    def table(self, attribute: str) -> ProfileTable:
        """The table by one attribute.

        Raises:
            KeyError: there is none.
        """
        return {table.attribute: table for table in self.tables}[attribute]

    def frame(self) -> pd.DataFrame:
        """All tables, one below the other."""
        parts = [
            t.frame().assign(attribute=t.attribute, rate_name=t.rate_name) for t in self.tables
        ]
        return pd.concat(parts, ignore_index=True)

    def _repr_html_(self) -> str:
        said = []
        for table in self.tables:
            said.append(f"<h4>{html.escape(f'{table.rate_name} by {table.attribute}')}</h4>")
            said.append(table.frame().to_html(float_format="{:.3f}".format, na_rep="–"))
            said += [f"<p>{html.escape(note)}</p>" for note in table.notes]
        notes = "".join(f"<li>{html.escape(n)}</li>" for n in (self.warning, *self.notes) if n)
        return f"<h3>{html.escape(self.title)}</h3>{''.join(said)}<ul>{notes}</ul>"


def rules_of(profile: Profile | None, tables: str) -> Profile:
    """The profile to compute by: the package's unless one is given.

    Raises:
        InputError: it is a profile for other tables.
    """
    rules = load_profile(tables) if profile is None else profile
    if rules.computation.tables != tables:
        raise InputError(
            f'profile {rules.id} computes "{rules.computation.tables}"; expected one that computes '
            f'"{tables}"'
        )
    return rules


def profile_tables(
    rules: Profile,
    tables: Sequence[ProfileTable],
    confidence: float,
    notes: Sequence[str],
    methods: tuple[tuple[str, str], ...],
) -> ProfileTables:
    """The tables under the name, date and status of their profile."""
    return ProfileTables(
        profile=rules.id,
        title=rules.title,
        as_of=rules.as_of.isoformat(),
        status=rules.status,
        warning=rules.warning,
        tables=tuple(tables),
        confidence=confidence,
        methods=(("rate", "Wilson"), ("ratio", "Koopman score"), *methods),
        notes=tuple(notes),
    )


def crossed(columns: Sequence[Names]) -> Names:
    """The names of the combinations of several attributes, per row."""
    return np.array([group_name(parts) for parts in zip(*columns, strict=True)], dtype=np.str_)


def count_by_name(names: Names, hit: npt.NDArray[np.bool_]) -> dict[str, Count]:
    """How many rows of each group are hits; groups in order of their names."""
    levels, places = np.unique(names, return_inverse=True)
    total = np.bincount(places, minlength=len(levels))
    hits = np.bincount(places[hit], minlength=len(levels))
    return {
        str(level): Count(int(x), int(n)) for level, x, n in zip(levels, hits, total, strict=True)
    }


def best_rate(names: Sequence[str], counts: Mapping[str, Count]) -> str | None:
    """The highest rate; of equal ones the larger group, then the first name."""
    if not names:
        return None
    return max(names, key=lambda name: (counts[name].rate or Fraction(0), counts[name].total))


def profile_row(
    name: str,
    count: Count,
    best: str | None,
    counts: Mapping[str, Count],
    excluded: str | None,
    rules: Profile,
    min_group: int,
    confidence: float,
) -> ProfileRow:
    """One group against the best one; ``excluded`` is why it has no ratio, or ``None``."""
    rate = count.rate
    low, high = wilson(count, confidence=confidence) or (None, None)
    notes = [excluded] if excluded else []
    if count.total < min_group:
        who = "person" if count.total == 1 else "people"
        notes.append(f"{count.total} {who}: too few to decide anything")
    ratio = below = None
    bounds: Interval = (None, None)
    base = counts[best] if best is not None else None
    if excluded is None and rate is not None and base is not None:
        if base.rate:
            exact = rate / base.rate
            ratio, below = float(exact), exact < Fraction(rules.computation.four_fifths)
            if name != best:
                bounds = koopman(count, base, confidence=confidence) or (None, None)
        else:
            notes.append("no ratio: the reference has a rate of zero")
    if name == best:
        notes.append("reference of the ratios")
    return ProfileRow(
        group=name,
        n=count.total,
        count=count.successes,
        rate=None if rate is None else float(rate),
        low=low,
        high=high,
        impact_ratio=ratio,
        ratio_low=bounds[0],
        ratio_high=bounds[1],
        below_four_fifths=below,
        excluded=excluded is not None,
        note="; ".join(notes),
    )
