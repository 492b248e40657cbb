"""Ids, strata, priorities and groups of the cases to draw from: read and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.groups import encode
from hitl_audit.review.drawing import Places
from hitl_audit.review.priority import Priority

__all__ = ["MISSING", "Strata", "read_groups", "read_ids", "read_scores", "read_strata"]

Numbers = npt.NDArray[np.float64]

MISSING = "missing"
"""The stratum of the rows without a label."""


@dataclass(frozen=True, eq=False)
class Strata:
    """The stratum of every case.

    Attributes:
        names: sorted; one empty name without strata.
        codes: (rows,) place of each case's stratum in ``names``.
    """

    names: tuple[str, ...]
    codes: Places

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of cases by stratum."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def deviations(
        self, given: Mapping[str, float] | Iterable[float] | None
    ) -> dict[str, float] | None:
        """Standard deviations by stratum; of rows, the root of their mean square.

        Raises:
            InputError: a stratum without one, a name that is no stratum, or
                values that are no numbers of 0 or more.
        """
        if given is None:
            return None
        if not isinstance(given, Mapping):
            rows = _numbers(given, "deviations", len(self.codes))
            squares = np.bincount(self.codes, weights=rows**2)
            return {
                name: float(np.sqrt(squares[i] / self.sizes[name]))
                for i, name in enumerate(self.names)
            }
        for name in given:
            if name not in self.names:
                raise InputError(
                    f'sample: deviations names "{name}"; accepted: {", ".join(self.names)}'
                    f"{did_you_mean(name, self.names)}"
                )
        absent = [name for name in self.names if name not in given]
        if absent:
            raise InputError(f'sample: deviations has no value for stratum "{absent[0]}"')
        values = _numbers([given[name] for name in self.names], "deviations", len(self.names))
        return dict(zip(self.names, values.tolist(), strict=True))


def read_ids(inputs_or_ids: Any) -> list[str]:
    """The case ids as text: the index of a table, or of the inputs' ``X``, or the ids given.

    Raises:
        InputError: no ids, or an id that occurs twice.
    """
    table = getattr(inputs_or_ids, "X", inputs_or_ids)
    if not hasattr(table, "__iter__") or isinstance(table, str | bytes):
        raise InputError(
            f"sample: the cases are a {type(table).__name__}; expected a table or their ids"
        )
    # One column of Python objects: iterating over an index of text is far slower.
    ids = list(map(str, table.index.tolist() if hasattr(table, "iloc") else table))
    if len(set(ids)) < len(ids):
        repeated, _ = Counter(ids).most_common(1)[0]
        raise InputError(f'sample: case id "{repeated}" occurs more than once; expected unique ids')
    return ids


def read_strata(inputs_or_ids: Any, strata: str | Iterable[object] | None, rows: int) -> Strata:
    """The strata: labels in row order, or the name of a sensitive attribute or a column.

    Raises:
        InputError: no such column, or not one label per row.
    """
    import pandas as pd

    if strata is None:
        return Strata(("",), np.zeros(rows, dtype=np.intp))
    labels: Any = _column(inputs_or_ids, strata) if isinstance(strata, str) else strata
    column = labels if hasattr(labels, "dtype") else pd.Series([*labels], dtype=object)
    if len(column) != rows:
        raise InputError(f"sample: got {len(column)} strata labels, expected {rows}, one per row")
    try:
        codes, levels = pd.factorize(np.asarray(column, dtype=object))
    except TypeError:
        raise InputError("sample: strata holds values that are no single labels") from None
    texts = [*(str(level) for level in levels), MISSING]
    names = sorted({*texts[:-1], *([MISSING] if (codes < 0).any() else [])})
    place = {name: i for i, name in enumerate(names)}
    # The code of a missing label is −1: the last text.
    return Strata(tuple(names), np.array([place.get(t, 0) for t in texts], dtype=np.intp)[codes])


def read_scores(priority: Priority | Iterable[float], rows: int) -> Numbers:
    """The priorities: numbers of 0 or more, one per row.

    Raises:
        InputError: another number of rows, missing, negative or infinite values.
    """
    values = priority.scores if isinstance(priority, Priority) else priority
    return _numbers(values, "priority", rows)


def read_groups(inputs_or_ids: Any, groups: Any, rows: int) -> dict[str, npt.NDArray[np.str_]]:
    """Group names by attribute, of the table given or of the inputs.

    Raises:
        InputError: columns that do not fit the rows.
    """
    found = getattr(inputs_or_ids, "sensitive", None) if groups is None else groups
    if found is None:
        return {}
    return {
        feature.name: np.array(feature.names, dtype=object)[feature.codes]
        for feature in encode(found, rows, "groups")
    }


def _column(inputs_or_ids: Any, name: str) -> Any:
    tables = [getattr(inputs_or_ids, "sensitive", None), getattr(inputs_or_ids, "X", inputs_or_ids)]
    columns: list[str] = []
    for table in tables:
        if hasattr(table, "columns"):
            if name in table.columns:
                return table[name]
            columns += [str(column) for column in table.columns]
    raise InputError(
        f'sample: strata is "{name}"; accepted: one label per row, or a column: '
        f"{', '.join(columns) or 'there is none'}{did_you_mean(name, columns)}"
    )


def _numbers(values: Any, name: str, rows: int) -> Numbers:
    given = values if hasattr(values, "__len__") else [*values]
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"sample: {name} holds values that are no numbers") from None
    if array.shape != (rows,):
        raise InputError(f"sample: got {array.size} values of {name}, expected {rows}")
    missing = int(np.isnan(array).sum())
    if missing:
        raise InputError(f"sample: {name} is missing in {missing} of {rows}; expected a number")
    wrong = (array < 0) | np.isinf(array)
    if wrong.any():
        raise InputError(f"sample: {name} holds {array[wrong][0]:g}; expected 0 or more")
    return array
