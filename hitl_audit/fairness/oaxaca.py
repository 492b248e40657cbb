"""Oaxaca-Blinder: how much of a gap in means differences in the inputs account for.

Twofold decomposition (Oaxaca 1973; Blinder 1973; Jann, Stata Journal 8 (2008),
453-479) with the coefficients of one regression over both groups that includes
the group itself:

    gap = (x̄_group − x̄_reference) · β  +  what is left
          explained                       unexplained
"""

from __future__ import annotations

import html
import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import number
from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.fairness.measures import (
    Floats,
    Ints,
    accept,
    as_frame,
    as_numbers,
    check_settings,
    percentile_interval,
)
from hitl_audit.groups import UNKNOWN, group_columns, group_name

__all__ = ["Decomposition", "Part", "oaxaca_blinder"]

EXPLAINED, UNEXPLAINED, GAP = "explained", "unexplained", "gap"
_DEFINED_SHARE = 0.95


@dataclass(frozen=True)
class Part:
    """One part of the gap: ``"gap"``, ``"explained"``, ``"unexplained"``, or one feature.

    Attributes:
        part: its name; a feature's part is what differences in it explain.
        value: in units of the outcome.
        low, high: interval; ``None`` where none can be vouched for.
    """

    part: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Decomposition:
    """A gap in mean outcome, divided into explained and unexplained.

    Attributes:
        attribute, group, reference: who is compared with whom.
        gap: mean of the group − mean of the reference.
        explained, unexplained: sum to the gap.
        features: what each input explains; these sum to ``explained``.
        n, reference_n: rows of the two groups.
        confidence, method, n_boot, random_state: of the intervals.
        notes: what a reader must know about these numbers.
    """

    attribute: str
    group: str
    reference: str
    gap: Part
    explained: Part
    unexplained: Part
    features: tuple[Part, ...]
    n: int
    reference_n: int
    confidence: float
    method: str
    n_boot: int
    random_state: int
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """The decomposition in one plain sentence."""
        return (
            f"Of the gap of {_words(self.gap)} between {self.group} and {self.reference}, "
            f"differences in the inputs account for {_words(self.explained)}; "
            f"{_words(self.unexplained)} is left unexplained by them."
        )

    def frame(self) -> pd.DataFrame:
        """One row per part: gap, explained, unexplained, then the features."""
        parts = [self.gap, self.explained, self.unexplained, *self.features]
        return as_frame(parts, Part).assign(
            attribute=self.attribute,
            group=self.group,
            reference=self.reference,
            n=self.n,
            reference_n=self.reference_n,
        )

    def _repr_html_(self) -> str:
        columns = ["part", "value", "low", "high"]
        table = self.frame()[columns].to_html(
            index=False, max_rows=40, float_format="{:.4f}".format, na_rep="–"
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"<p>{html.escape(self.words)}</p>{table}<ul>{notes}</ul>"


def oaxaca_blinder(
    outcome: Any,
    X: Any,
    *,
    groups: Any,
    group: Any,
    reference: Any,
    confidence: float = 0.95,
    n_boot: int = 500,
    random_state: int = 0,
) -> Decomposition:
    """Divide a gap in means into what the inputs explain and what they do not.

    The decomposition is statsmodels' ``OaxacaBlinder`` (twofold, pooled, no
    swapping of groups). Intervals are percentile bootstraps over rows, drawn
    within each group. Categories become indicators; a missing number becomes
    the mean and an indicator of being missing, so that no row is left out.

    Args:
        outcome: (rows,) scores, decisions or recorded outcomes.
        X: (rows, features) DataFrame of inputs, without the group itself.
        groups: (rows,) the group of each row; a Series gives its name to the attribute.
        group, reference: the two groups compared; other rows are left out.
        confidence: of every interval.
        n_boot: number of replicates.
        random_state: seed.

    Raises:
        MissingDependencyError: statsmodels is not installed.
        InputError: shapes that do not fit, a group that does not occur, fewer
            rows than coefficients, or inputs that give the group away exactly.
    """
    OaxacaBlinder = _statsmodels()
    check_settings(confidence=confidence, n_boot=n_boot)
    y = as_numbers(outcome, "outcome")
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    if len(frame) != len(y):
        raise InputError(f"X: got {len(frame)} rows, expected {len(y)} as in outcome")
    columns = group_columns(groups, len(y))
    member = np.array([group_name(parts) for parts in zip(*columns.values(), strict=True)])
    known = sorted(set(member.tolist()))
    accept("group", str(group), known)
    accept("reference", str(reference), [name for name in known if name != UNKNOWN])
    if str(group) == str(reference):
        raise InputError(f'group and reference are both "{group}"; accepted: two different groups')
    kept = np.flatnonzero((member == str(group)) | (member == str(reference)))
    other = (member[kept] == str(reference)).astype(np.float64)
    y = y[kept]
    design, source, names = _design(frame.iloc[kept])
    everything = np.column_stack([other, design, np.ones(len(y))])
    _check_identified(everything, str(group), str(reference))
    with warnings.catch_warnings():
        # An input that does not vary within one group leaves that group's own regression with
        # many solutions; they all agree on the means, which is all that is taken from it.
        warnings.filterwarnings("ignore", message="The design matrix is rank-deficient")
        found = OaxacaBlinder(y, everything, 0, swap=False).two_fold()
    unexplained, explained, gap = (float(v) for v in found.params)
    by_feature = _explained(everything, y, other, source, len(names))
    replicates = _replicates(everything, y, other, source, len(names), n_boot, random_state)
    intervals = [percentile_interval(r, confidence=confidence) for r in replicates.T]
    if np.isnan(replicates).any(axis=1).mean() > 1 - _DEFINED_SHARE:
        intervals = [(None, None)] * len(intervals)
    values = [gap, explained, unexplained, *by_feature.tolist()]
    gap_part, explained_part, unexplained_part, *features = (
        Part(name, value, low, high)
        for name, value, (low, high) in zip(
            [GAP, EXPLAINED, UNEXPLAINED, *names], values, intervals, strict=True
        )
    )
    features.sort(key=lambda part: -abs(part.value))
    return Decomposition(
        attribute=group_name(tuple(columns)),
        group=str(group),
        reference=str(reference),
        gap=gap_part,
        explained=explained_part,
        unexplained=unexplained_part,
        features=tuple(features),
        n=int((other == 0).sum()),
        reference_n=int((other == 1).sum()),
        confidence=confidence,
        method=f"percentile bootstrap over rows within each group, {n_boot} resamples",
        n_boot=n_boot,
        random_state=random_state,
        notes=_notes(str(group), str(reference), len(member) - len(kept)),
    )


def _statsmodels() -> Any:
    try:
        return importlib.import_module("statsmodels.stats.oaxaca").OaxacaBlinder
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the Oaxaca-Blinder decomposition needs {error.name}, which is not installed; "
            'install it with: pip install "hitl-audit[stats]"'
        ) from None


def _notes(group: str, reference: str, left_out: int) -> tuple[str, ...]:
    notes = [
        f"Negative: {group} has less than {reference}. Linear regression over both groups, with "
        "the group itself in it; statsmodels' twofold pooled decomposition.",
        "Explained means that the inputs differ between the groups, not that the difference is "
        "fair: an input can itself be the result of discrimination or stand in for the group. "
        "Unexplained means by these inputs and a straight line; it locates, it does not prove.",
    ]
    if left_out:
        notes.append(f"{left_out:,} rows of other groups are left out.")
    return tuple(notes)


def _design(frame: pd.DataFrame) -> tuple[Floats, Ints, list[str]]:
    """Numbers and indicators (rows, columns), which feature each column is of, and their names."""
    columns: list[npt.NDArray[np.float64]] = []
    source: list[int] = []
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                raise InputError(
                    f'X: "{frame.columns[place]}" has infinite values; accepted: finite numbers'
                )
            missing = np.isnan(values)
            center = float(values[~missing].mean()) if not missing.all() else 0.0
            made = [np.where(missing, center, values), missing.astype(np.float64)]
        else:
            codes, levels = pd.factorize(column, use_na_sentinel=False)
            # The most frequent level is the base.
            base = int(np.argmax(np.bincount(codes)))
            made = [(codes == k).astype(np.float64) for k in range(len(levels)) if k != base]
        kept = [values for values in made if np.ptp(values) > 0]
        # Scaled, so that the normal equations of the bootstrap are well behaved.
        columns += [(values - values.mean()) / values.std() for values in kept]
        source += [place] * len(kept)
    if not columns:
        raise InputError("X has no column that varies; accepted: at least one")
    return np.column_stack(columns), np.array(source), [str(name) for name in frame.columns]


def _check_identified(everything: Floats, group: str, reference: str) -> None:
    rows, columns = everything.shape
    if rows <= columns:
        raise InputError(
            f"got {rows} rows of {group} and {reference} for {columns} coefficients; "
            "expected more rows than coefficients"
        )
    rest = np.linalg.matrix_rank(everything[:, 1:])
    if np.linalg.matrix_rank(everything) == rest:
        raise InputError(
            f"X tells {group} and {reference} apart exactly, so explained and unexplained cannot "
            "be separated; expected inputs without the group itself"
        )


def _explained(everything: Floats, y: Floats, other: Floats, source: Ints, features: int) -> Floats:
    """What each feature explains: difference in means × pooled coefficient, summed over columns."""
    coefficients = np.linalg.lstsq(everything, y, rcond=None)[0][1:-1]
    design = everything[:, 1:-1]
    difference = design[other == 0].mean(axis=0) - design[other == 1].mean(axis=0)
    explained = np.bincount(source, weights=difference * coefficients, minlength=features)
    return np.asarray(explained, dtype=np.float64)


def _replicates(
    everything: Floats,
    y: Floats,
    other: Floats,
    source: Ints,
    features: int,
    n_boot: int,
    seed: int,
) -> Floats:
    """(replicates, 3 + features): gap, explained, unexplained, then every feature."""
    rng = np.random.default_rng(seed)
    places = [np.flatnonzero(other == code) for code in (0, 1)]
    result = np.full((n_boot, 3 + features), np.nan)
    for replicate in result:
        drawn = np.concatenate([rng.choice(rows, len(rows)) for rows in places])
        table, outcome = everything[drawn], y[drawn]
        coefficients = _pooled(table.T @ table, table.T @ outcome)
        if coefficients is None:
            continue
        n = len(places[0])
        difference = table[:n, 1:-1].mean(axis=0) - table[n:, 1:-1].mean(axis=0)
        parts = np.bincount(source, weights=difference * coefficients, minlength=features)
        gap = outcome[:n].mean() - outcome[n:].mean()
        replicate[:] = [gap, parts.sum(), gap - parts.sum(), *parts]
    return result


def _pooled(gram: Floats, moments: Floats) -> Floats | None:
    """Coefficients of the inputs, from XᵀX and Xᵀy with the group first and the constant last.

    The group is taken out first (Frisch, Waugh & Lovell). ``None`` if the
    inputs give it away, so that its coefficient is not free: the split has no
    meaning then.
    """
    cross = gram[1:, 0]
    both = np.column_stack([moments[1:], cross])
    alone, shared = np.linalg.lstsq(gram[1:, 1:], both, rcond=1e-12)[0].T
    left = gram[0, 0] - cross @ shared
    if left < 1e-10 * gram[0, 0]:
        return None
    slope = (moments[0] - cross @ alone) / left
    return np.asarray((alone - slope * shared)[:-1])


def _words(part: Part) -> str:
    if part.low is None or part.high is None:
        return f"{number(part.value)} (no interval)"
    return f"{number(part.value)} ({number(part.low)} to {number(part.high)})"
