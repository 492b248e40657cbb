"""Conditional demographic disparity: is a group over-represented among the rejected, like for like.

Wachter, Mittelstadt & Russell, "Why fairness cannot be automated" (2021); the
definition is Amazon SageMaker Clarify's CDDL. In one stratum

    DD = (share of the group among the rejected) − (share of it among the accepted)

and the conditional disparity is the mean over strata, weighted by their rows.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import number
from hitl_audit.fairness.measures import as_frame, check_settings, percentile_interval
from hitl_audit.groups import ALL, UNKNOWN, binary_labels, group_columns, group_name

__all__ = [
    "ConditionalDisparity",
    "StratumDisparity",
    "conditional_demographic_disparity",
]

Table = npt.NDArray[np.int64]
_CELLS_AT_ONCE = 4_000_000

Says = Literal["ok", "nobody was rejected", "nobody was accepted", "no members", "only members"]


@dataclass(frozen=True)
class StratumDisparity:
    """Demographic disparity of one group, in one stratum or over all.

    Attributes:
        attribute, group: whose disparity it is.
        stratum: name of the stratum, ``"all"`` for all rows regardless of
            strata, ``"conditional"`` for the weighted mean over strata.
        n: rows behind it; for ``"conditional"`` those in strata that say something.
        members: rows of the group among them.
        rejected, accepted: rows among them by decision.
        value: positive if the group is over-represented among the rejected;
            ``None`` if the stratum says nothing.
        low, high: interval.
        status: ``"ok"``, or why the stratum says nothing.
    """

    attribute: str
    group: str
    stratum: str
    n: int
    members: int
    rejected: int
    accepted: int
    value: float | None
    low: float | None
    high: float | None
    status: Says


@dataclass(frozen=True)
class ConditionalDisparity:
    """Demographic disparity of every group, plain and conditional on strata.

    Attributes:
        rows: per group ``"all"``, ``"conditional"``, then each stratum.
        strata: what was conditioned on, for example ``"department"``.
        confidence, method, n_boot, random_state: of the intervals.
        notes: what a reader must know about these numbers.
    """

    rows: tuple[StratumDisparity, ...]
    strata: str
    confidence: float
    method: str
    n_boot: int
    random_state: int
    notes: tuple[str, ...]

    def of(self, attribute: str, group: str, stratum: str = "conditional") -> StratumDisparity:
        """One row.

        Raises:
            KeyError: there is none.
        """
        for row in self.rows:
            if (row.attribute, row.group, row.stratum) == (attribute, group, stratum):
                return row
        raise KeyError((attribute, group, stratum))

    def frame(self) -> pd.DataFrame:
        """One row per group and stratum."""
        return as_frame(self.rows, StratumDisparity)

    def _repr_html_(self) -> str:
        table = self.frame().to_html(max_rows=60, float_format="{:.3f}".format, na_rep="–")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return f"{table}<ul>{notes}</ul>"


def conditional_demographic_disparity(
    y_pred: Any,
    *,
    sensitive_features: Any,
    strata: Any,
    confidence: float = 0.95,
    n_boot: int = 2000,
    random_state: int = 0,
) -> ConditionalDisparity:
    """Compare each group's share of the rejected with its share of the accepted, in strata.

    A stratum in which nobody was rejected, nobody was accepted, or which has no
    member (or only members) of the group says nothing: it is listed with the
    reason and left out of the mean, where other tools count it as zero. The
    bootstrap is a multinomial draw over the cells of the table, which is the
    law of resampling rows; in each replicate the same rule holds.

    Args:
        y_pred: (rows,) 0 or 1, where 1 is the favorable decision.
        sensitive_features: see :func:`hitl_audit.groups.group_columns`.
        strata: the same; of several columns their combinations. Missing
            values form the stratum ``"unknown"``.
        confidence: of every interval.
        n_boot: number of replicates.
        random_state: seed.

    Raises:
        InputError: lengths that differ, labels other than 0 and 1, or no rows.
    """
    check_settings(confidence=confidence, n_boot=n_boot)
    decision = binary_labels(y_pred, "y_pred")
    columns = group_columns(sensitive_features, len(decision))
    by = group_columns(strata, len(decision))
    named = np.array([group_name(parts) for parts in zip(*by.values(), strict=True)])
    names, stratum = np.unique(named, return_inverse=True)
    rows: list[StratumDisparity] = []
    notes: list[str] = []
    for attribute, values in columns.items():
        levels, codes = np.unique(values, return_inverse=True)
        for place, level in enumerate(levels):
            member = (codes == place).astype(np.int64)
            cells = np.bincount(stratum * 4 + member * 2 + decision, minlength=4 * len(names))
            found = _of_group(
                cells.reshape(len(names), 2, 2),
                (attribute, str(level)),
                [str(name) for name in names],
                (confidence, n_boot, random_state),
            )
            rows += found
            if level != UNKNOWN:
                notes += _group_notes(found, group_name(tuple(by)))
    return ConditionalDisparity(
        rows=tuple(rows),
        strata=group_name(tuple(by)),
        confidence=confidence,
        method=f"multinomial bootstrap over the counts, percentile, {n_boot} resamples",
        n_boot=n_boot,
        random_state=random_state,
        notes=(
            "Positive: the group's share of the rejected is larger than its share of the accepted.",
            *notes,
        ),
    )


def _of_group(
    table: Table,
    who: tuple[str, str],
    names: list[str],
    settings: tuple[float, int, int],
) -> list[StratumDisparity]:
    """``table`` (strata × not a member, member × rejected, accepted)."""
    confidence, n_boot, seed = settings
    replicates = _replicates(table, n_boot, seed)
    pooled = table.sum(axis=0)
    states = [_says(cells) for cells in table]
    useful = table[[state == "ok" for state in states]]
    lines: list[tuple[str, Table, Says]] = [(ALL, pooled, _says(pooled))]
    without: Says = "ok" if len(useful) else _says(pooled)
    if not len(useful) and without == "ok":
        without = next(state for state in states if state != "ok")
    lines.append(("conditional", useful.sum(axis=0), without))
    lines += [(name, cells, state) for name, cells, state in zip(names, table, states, strict=True)]
    values = _disparities(table[None])[0]
    rows = []
    for place, (name, cells, status) in enumerate(lines):
        value = None if status != "ok" else float(values[place])
        interval = (
            (None, None)
            if value is None
            else percentile_interval(replicates[:, place], confidence=confidence)
        )
        rows.append(
            StratumDisparity(
                attribute=who[0],
                group=who[1],
                stratum=name,
                n=int(cells.sum()),
                members=int(cells[1].sum()),
                rejected=int(cells[:, 0].sum()),
                accepted=int(cells[:, 1].sum()),
                value=value,
                low=interval[0],
                high=interval[1],
                status=status,
            )
        )
    return rows


def _says(cells: Table) -> Says:
    """Whether a table (member × decision) can show a disparity, or why not."""
    rejected, accepted = (int(v) for v in cells.sum(axis=0))
    others, members = (int(v) for v in cells.sum(axis=1))
    if not members:
        return "no members"
    if not others:
        return "only members"
    if not rejected:
        return "nobody was rejected"
    return "ok" if accepted else "nobody was accepted"


def _disparities(tables: Table) -> npt.NDArray[np.float64]:
    """(replicates, 2 + strata): over all rows, conditional, then each stratum; NaN if undefined."""
    pooled = _disparity(tables.sum(axis=1))
    each = _disparity(tables)
    weight = tables.sum(axis=(-1, -2)) * ~np.isnan(each)
    total = weight.sum(axis=1)
    mean = np.full(len(tables), np.nan)
    np.divide((weight * np.nan_to_num(each)).sum(axis=1), total, out=mean, where=total > 0)
    return np.column_stack([pooled, mean, each])


def _disparity(cells: Table) -> npt.NDArray[np.float64]:
    """DD of tables (…, member, decision); NaN where a table says nothing."""
    by_decision = cells.sum(axis=-2)
    says = (by_decision > 0).all(axis=-1) & (cells.sum(axis=-1) > 0).all(axis=-1)
    shares = cells[..., 1, :] / np.maximum(by_decision, 1)
    return np.where(says, shares[..., 0] - shares[..., 1], np.nan)


def _replicates(table: Table, n_boot: int, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    total = int(table.sum())
    occupied = np.flatnonzero(table)
    shares = table.ravel()[occupied] / total
    size = max(1, _CELLS_AT_ONCE // table.size)
    parts = []
    for start in range(0, n_boot, size):
        drawn = np.zeros((min(size, n_boot - start), table.size), dtype=np.int64)
        drawn[:, occupied] = rng.multinomial(total, shares, size=len(drawn))
        parts.append(_disparities(drawn.reshape(-1, *table.shape)))
    return np.concatenate(parts)


def _group_notes(rows: list[StratumDisparity], strata: str) -> list[str]:
    overall, conditional, *each = rows
    notes = []
    silent = [row for row in each if row.status != "ok"]
    if silent:
        left_out = sum(row.n for row in silent)
        reasons = ", ".join(
            f"{sum(row.status == status for row in silent)} × {status}"
            for status in dict.fromkeys(row.status for row in silent)
        )
        notes.append(
            f"{overall.group}: {len(silent)} of {len(each)} strata of {strata} say nothing "
            f"({reasons}); their {left_out:,} of {overall.n:,} rows are left out of the "
            "conditional disparity, not counted as zero."
        )
    if overall.value and conditional.value and overall.value * conditional.value < 0:
        notes.append(
            f"{overall.group}: the direction turns when like is compared with like (all rows "
            f"{number(overall.value)}, within {strata} {number(conditional.value)}): Simpson's "
            "paradox. Neither number alone tells the story; whether the strata are themselves a "
            "fair criterion is for people to judge."
        )
    return notes
