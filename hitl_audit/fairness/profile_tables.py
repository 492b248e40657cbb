"""The group tables of the regulation profiles, by the rules the profiles state.

A table here is a computation, not an opinion: no word in it says whether a law
is met. Ratios are held against 0.8 by exact counts, so that exactly 0.80 is
not below it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.fairness.measures import Floats, accept, as_numbers, check_settings
from hitl_audit.fairness.profile_table import (
    Basis,
    ImpactRow,
    Names,
    ProfileRow,
    ProfileTable,
    ProfileTables,
    best_rate,
    count_by_name,
    crossed,
    profile_row,
    profile_tables,
    rules_of,
)
from hitl_audit.fairness.significance import (
    MantelHaenszel,
    adjusted,
    mantel_haenszel,
    p_values,
    words_of_test,
)
from hitl_audit.groups import UNKNOWN, binary_labels, group_columns, group_name
from hitl_audit.intervals import Count
from hitl_audit.profiles.loader import Profile

__all__ = ["credit_tables", "disparate_impact_tables", "ll144_tables"]


def ll144_tables(
    *,
    sex: Any,
    race_ethnicity: Any,
    y_pred: Any = None,
    y_score: Any = None,
    exclusion_reason: str = "",
    profile: Profile | None = None,
    min_group: int = 30,
    confidence: float = 0.95,
) -> ProfileTables:
    """New York City Local Law 144: three tables of selection or scoring rates (6 RCNY § 5-300 ff.).

    The scoring rate is the share strictly above the median of all scores,
    people of unknown category included. The best rate is that of each table by
    itself; people of unknown category are left out of it and counted.

    Args:
        sex, race_ethnicity: (rows,) categories; missing is unknown.
        y_pred: (rows,) 1 for the selected; or
        y_score: (rows,) scores. Exactly one of the two.
        exclusion_reason: the auditor's justification for leaving categories of
            less than 2% of all rows out of the ratios. Without one, none is
            left out: the rule allows it only with a justification.
        profile: the dated rules; the package's if ``None``.
        min_group: groups with fewer people are marked.
        confidence: of every interval.

    Raises:
        InputError: neither or both of ``y_pred`` and ``y_score``, or values
            that cannot be used.
    """
    check_settings(confidence=confidence, min_group=min_group)
    rules = rules_of(profile, "nyc-ll144")
    if (y_pred is None) == (y_score is None):
        found = "neither" if y_pred is None else "both"
        raise InputError(f"got {found} of y_pred and y_score; expected exactly one")
    notes = [
        "The law sets no pass mark: ratios below "
        f"{rules.computation.four_fifths} are marked as an annotation only."
    ]
    if y_score is None:
        hit, rate_name = binary_labels(y_pred, "y_pred").astype(bool), "selection rate"
    else:
        scores = as_numbers(y_score, "y_score")
        median = float(np.median(scores))
        hit, rate_name = scores > median, "scoring rate"
        notes.append(
            f"The median of all {len(scores):,} scores is {median:g}; "
            f"{int((scores == median).sum()):,} scores equal it and are not above it."
        )
    columns = {
        **_one_column(sex, "sex", len(hit)),
        **_one_column(race_ethnicity, "race_ethnicity", len(hit)),
    }
    both = tuple(columns)
    tables = []
    for by in ((both[0],), (both[1],), both):
        names = crossed([columns[name] for name in by])
        known = np.logical_and.reduce([columns[name] != UNKNOWN for name in by])
        counts = count_by_name(names[known], hit[known])
        small = _below_share(counts, len(hit), Fraction(rules.computation.exclude_below))
        excluded: dict[str, str] = {}
        if exclusion_reason.strip():
            excluded = dict.fromkeys(
                small,
                f"less than {_share(rules)} of the data: left out of the ratios because "
                f"{exclusion_reason.strip()}",
            )
        best = best_rate([name for name in counts if name not in excluded], counts)
        rows = [
            profile_row(name, count, best, counts, excluded.get(name), rules, min_group, confidence)
            for name, count in counts.items()
        ]
        tables.append(
            ProfileTable(
                attribute=group_name(by),
                rate_name=rate_name,
                reference=best or "",
                rows=tuple(rows),
                unknown=int((~known).sum()),
                people=len(hit),
                notes=_ll144_notes(
                    counts, best, small, excluded, int((~known).sum()), len(hit), min_group, rules
                ),
            )
        )
    return profile_tables(rules, tables, confidence, notes, ())


def disparate_impact_tables(
    y_pred: Any,
    *,
    sensitive_features: Any,
    y_score: Any = None,
    segments: Any = None,
    reference: Mapping[str, Any] | None = None,
    test: str = "fisher",
    profile: Profile | None = None,
    min_group: int = 30,
    confidence: float = 0.95,
) -> ProfileTables:
    """Adverse impact with practical and statistical significance in one row (29 CFR 1607.4(D)).

    Args:
        y_pred: (rows,) 1 for the selected.
        sensitive_features: see :func:`hitl_audit.groups.group_columns`.
            People whose group is unknown are listed and not compared.
        y_score: (rows,) scores, for the standardized mean difference.
        segments: (rows,) the jobs or departments within which people compete,
            for the Cochran-Mantel-Haenszel test.
        reference: attribute → group to compare with. Default: the group with
            the highest rate and at least ``min_group`` people.
        test: of equal rates, a name in ``fairness.significance.TESTS``.
        profile: the dated rules; the package's if ``None``.
        min_group: groups with fewer people are marked, and not the default reference.
        confidence: of every interval; significant is p below 1 − confidence.

    Raises:
        InputError: lengths that differ, or values or names that cannot be used.
    """
    rules = rules_of(profile, "us-disparate-impact")
    tables = _impact_tables(
        y_pred,
        sensitive_features,
        y_score,
        segments,
        reference or {},
        test,
        "selection rate",
        (rules, min_group, confidence),
    )
    notes = [
        f"Statistical: p below {_level(confidence):g} by the {words_of_test(test)}, each "
        "comparison by itself; p adjusted by Benjamini-Hochberg over all of them beside it. "
        f"Practical: a ratio below {rules.computation.four_fifths}, by exact counts."
    ]
    return profile_tables(rules, tables, confidence, notes, (("test", words_of_test(test)),))


def credit_tables(
    y_pred: Any,
    *,
    sensitive_features: Any,
    y_score: Any = None,
    bases: Mapping[str, str] | None = None,
    reference: Mapping[str, Any] | None = None,
    test: str = "fisher",
    profile: Profile | None = None,
    min_group: int = 30,
    confidence: float = 0.95,
) -> ProfileTables:
    """Approval rates, adverse impact ratios and score differences by prohibited basis.

    Args:
        y_pred: (rows,) 1 for the approved.
        sensitive_features: see :func:`hitl_audit.groups.group_columns`.
        y_score: (rows,) scores, for the standardized mean difference.
        bases: attribute → the prohibited basis it stands for; an attribute
            named like a basis needs no entry.
        reference, test, profile, min_group, confidence: as in
            :func:`disparate_impact_tables`.

    Raises:
        InputError: lengths that differ, or values or names that cannot be used.
    """
    rules = rules_of(profile, "us-credit-reg-b")
    tables = _impact_tables(
        y_pred,
        sensitive_features,
        y_score,
        None,
        reference or {},
        test,
        "approval rate",
        (rules, min_group, confidence),
    )
    attributes = [table.attribute for table in tables]
    known = rules.computation.attributes
    stands_for = {name: name.replace("_", " ").casefold() for name in attributes}
    for attribute, basis in (bases or {}).items():
        accept("bases", attribute, attributes)
        accept(f"bases of {attribute}", basis, known)
        stands_for[attribute] = basis
    found = tuple(
        Basis(basis, ", ".join(a for a in attributes if stands_for[a] == basis)) for basis in known
    )
    without = [basis.basis for basis in found if not basis.attribute]
    notes = [
        "A ratio to the group with the highest approval rate, or to the one the plan names; below "
        f"{rules.computation.four_fifths} is a customary yardstick."
    ]
    if without:
        notes.append(f"Prohibited bases that were not assessed: {', '.join(without)}.")
    beyond = [name for name in attributes if stands_for[name] not in known]
    if beyond:
        notes.append(f"Attributes that are no prohibited basis here: {', '.join(beyond)}.")
    made = profile_tables(rules, tables, confidence, notes, (("test", words_of_test(test)),))
    return replace(made, bases=found)


def _share(rules: Profile) -> str:
    return f"{100 * float(rules.computation.exclude_below):g}%"


def _ll144_notes(
    counts: Mapping[str, Count],
    best: str | None,
    small: Sequence[str],
    excluded: Mapping[str, str],
    unknown: int,
    people: int,
    min_group: int,
    rules: Profile,
) -> tuple[str, ...]:
    notes = [
        f"{unknown:,} of {people:,} people are of unknown category and not in this table."
        if unknown
        else f"The category of all {people:,} people is known."
    ]
    if small and not excluded:
        notes.append(
            f"Categories of less than {_share(rules)} of the data: {', '.join(small)}. They may be "
            "left out of the ratios if the auditor justifies it; no justification was given, so "
            "they are in."
        )
    if best is None:
        notes.append("There is no category to compute a ratio with.")
    elif counts[best].total < min_group:
        notes.append(
            f"The best rate is that of {best}, {counts[best].total} people: every ratio here rests "
            "on them."
        )
    return tuple(notes)


def _impact_tables(
    y_pred: Any,
    sensitive_features: Any,
    y_score: Any,
    segments: Any,
    reference: Mapping[str, Any],
    test: str,
    rate_name: str,
    settings: tuple[Profile, int, float],
) -> list[ProfileTable]:
    rules, min_group, confidence = settings
    check_settings(confidence=confidence, min_group=min_group)
    words_of_test(test)
    decision = binary_labels(y_pred, "y_pred")
    columns = group_columns(sensitive_features, len(decision))
    scores = None if y_score is None else as_numbers(y_score, "y_score", len(decision))
    segment = None
    if segments is not None:
        segment = crossed(list(group_columns(segments, len(decision)).values()))
    named = {}
    for attribute, group in reference.items():
        accept("reference", attribute, columns)
        known = [str(name) for name in np.unique(columns[attribute]) if name != UNKNOWN]
        accept(f"reference of {attribute}", str(group), known)
        named[attribute] = str(group)
    tables = []
    for attribute, names in columns.items():
        counts = count_by_name(names, decision == 1)
        best = named.get(attribute) or best_rate(
            [n for n, c in counts.items() if n != UNKNOWN and c.total >= min_group], counts
        )
        rows = [
            _impact_row(
                profile_row(
                    name,
                    count,
                    best,
                    counts,
                    "group unknown: listed, not compared" if name == UNKNOWN else None,
                    rules,
                    min_group,
                    confidence,
                ),
                counts[best] if best is not None and name not in (best, UNKNOWN) else None,
                test,
                confidence,
                None if scores is None else (scores[names == name], scores[names == best]),
                _within(segment, names, decision, name, best, confidence),
            )
            for name, count in counts.items()
        ]
        unknown = counts[UNKNOWN].total if UNKNOWN in counts else 0
        tables.append(
            ProfileTable(
                attribute=attribute,
                rate_name=rate_name,
                reference=best or "",
                rows=tuple(rows),
                unknown=unknown,
                people=len(decision),
                notes=_impact_notes(attribute, best, attribute in named, unknown, min_group),
            )
        )
    return _with_adjusted_p(tables)


def _impact_row(
    row: ProfileRow,
    base: Count | None,
    test: str,
    confidence: float,
    scores: tuple[Floats, Floats] | None,
    within: MantelHaenszel | None,
) -> ImpactRow:
    made = ImpactRow(**asdict(row))
    if base is None:
        return made
    p = float(p_values(test, [row.count], [row.n], [base.successes], [base.total])[0])
    statistical = p < _level(confidence)
    practical = bool(row.below_four_fifths)
    evidence = {
        (True, True): "practical and statistical",
        (True, False): "practical only",
        (False, True): "statistical only",
        (False, False): "neither",
    }[practical, statistical]
    smd = (None, None, None) if scores is None else _smd(*scores, confidence=confidence)
    made = replace(
        made,
        p_value=p,
        statistical=statistical,
        evidence=evidence,
        smd=smd[0],
        smd_low=smd[1],
        smd_high=smd[2],
    )
    if within is None:
        return made
    return replace(
        made,
        odds_ratio=within.odds_ratio,
        odds_low=within.low,
        odds_high=within.high,
        cmh_p=within.p_value,
        segments=within.strata,
        segments_left_out=within.left_out,
    )


def _within(
    segment: Names | None,
    names: Names,
    decision: npt.NDArray[np.int8],
    group: str,
    best: str | None,
    confidence: float,
) -> MantelHaenszel | None:
    """The group against the reference, segment by segment."""
    if segment is None or best is None:
        return None
    levels, places = np.unique(segment, return_inverse=True)

    def count(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(places[rows], minlength=len(levels))

    ours, theirs, hit = names == group, names == best, decision == 1
    return mantel_haenszel(
        count(ours & hit), count(ours), count(theirs & hit), count(theirs), confidence=confidence
    )


def _smd(
    ours: Floats, theirs: Floats, *, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """Difference in means / pooled standard deviation (Hedges & Olkin 1985, large samples)."""
    n, m = len(ours), len(theirs)
    if min(n, m) < 2:
        return None, None, None
    pooled = (ours.var(ddof=1) * (n - 1) + theirs.var(ddof=1) * (m - 1)) / (n + m - 2)
    if pooled <= 1e-24 * max(1.0, float(np.abs(theirs).max())) ** 2:
        return None, None, None
    value = float(ours.mean() - theirs.mean()) / math.sqrt(pooled)
    error = math.sqrt((n + m) / (n * m) + value**2 / (2 * (n + m)))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return value, value - reach, value + reach


def _level(confidence: float) -> float:
    # 1 − 0.95 in binary is a little above 0.05.
    return round(1 - confidence, 12)


def _impact_notes(
    attribute: str, best: str | None, named: bool, unknown: int, min_group: int
) -> tuple[str, ...]:
    notes = []
    if best is None:
        notes.append(f"{attribute}: no known group has at least {min_group} people; no ratios.")
    elif not named:
        notes.append(
            f"{attribute}: compared with {best}, which has the highest rate among groups of at "
            f"least {min_group} people. Picking the highest makes gaps look larger than a "
            "reference named beforehand would."
        )
    if unknown:
        notes.append(f"{attribute}: unknown for {unknown:,} people, who are not compared.")
    return tuple(notes)


def _with_adjusted_p(tables: Sequence[ProfileTable]) -> list[ProfileTable]:
    """Benjamini-Hochberg over every comparison of every table."""
    raw = [
        row.p_value
        for table in tables
        for row in table.rows
        if isinstance(row, ImpactRow) and row.p_value is not None
    ]
    p = iter(adjusted(raw))
    return [
        replace(
            table,
            rows=tuple(
                replace(row, p_adjusted=next(p))
                if isinstance(row, ImpactRow) and row.p_value is not None
                else row
                for row in table.rows
            ),
        )
        for table in tables
    ]


def _one_column(values: Any, name: str, rows: int) -> dict[str, Names]:
    columns = list(group_columns(values, rows).values())
    if len(columns) != 1:
        raise InputError(f"{name} has {len(columns)} columns; accepted: one value per row")
    return {name: columns[0]}


def _below_share(counts: Mapping[str, Count], rows: int, share: Fraction) -> list[str]:
    return [name for name, count in counts.items() if Fraction(count.total, rows) < share]
