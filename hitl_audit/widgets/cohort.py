"""The cases that the views of an audit look at together.

Whoever chooses a cohort (a click on a slice, a line of Python) tells every
view at once; a view observes :attr:`Cohort.revision`, which changes once per
choice::

    cohort.observe(lambda change: view.redraw(), "revision")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets

from hitl_audit.errors import InputError
from hitl_audit.inputs import AuditInputs

__all__ = ["Cohort"]


class Cohort(traitlets.HasTraits):
    """Some of the cases, by name; none chosen means everybody.

    Args:
        table: (rows, columns) what is known of every case, with unique case ids as its index.
        min_group: cohorts with fewer cases decide nothing.

    Attributes:
        name: what people call it; ``""`` while nothing is chosen.
        conditions: in words, what a case must meet, all of it.
        case_ids: the cases, in the order of the table.
        note: what a reader must know about how it was chosen.
        revision: how often the choice changed; observe this.

    Raises:
        InputError: the table repeats a case id.
    """

    name = traitlets.Unicode()
    conditions = traitlets.Tuple()
    case_ids = traitlets.Tuple()
    note = traitlets.Unicode()
    revision = traitlets.Int()

    def __init__(self, table: pd.DataFrame, *, min_group: int = 30) -> None:
        super().__init__()
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()][0]
            raise InputError(f"the table has the case id {twice!r} twice; expected unique case ids")
        self._table = table
        self._choosing = False
        # The ids whose rows are known, and those rows: to look up a million ids takes a while.
        self._known = (self.case_ids, np.zeros(len(table), dtype=bool))
        self.min_group = min_group

    @classmethod
    def of(cls, inputs: AuditInputs, *, min_group: int = 30) -> Cohort:
        """Of the cases of an audit: inputs, sensitive attributes, outcome, score and decision."""
        beside: dict[str, Any] = {str(name): inputs.sensitive[name] for name in inputs.sensitive}
        beside |= {"y_true": inputs.y_true, "y_score": inputs.y_score, "y_pred": inputs.y_pred}
        known = set(map(str, inputs.X.columns))
        new = {name: column for name, column in beside.items() if name not in known}
        return cls(inputs.X.assign(**new), min_group=min_group)

    @property
    def chosen(self) -> bool:
        """Is a cohort chosen, or is it everybody?"""
        return bool(self.name)

    @property
    def small(self) -> bool:
        """Are there too few cases to say anything?"""
        return len(self) < self.min_group

    @property
    def members(self) -> npt.NDArray[np.bool_]:
        """(rows of the table,) which rows are in it; all of them while nothing is chosen."""
        if not self.chosen:
            return np.ones(len(self._table), dtype=bool)
        ids, inside = self._known
        if ids is not self.case_ids:  # set by hand
            inside = np.asarray(self._table.index.isin(list(self.case_ids)), dtype=bool)
            self._known = (self.case_ids, inside)
        return inside.copy()

    def __len__(self) -> int:
        return len(self.case_ids) if self.chosen else len(self._table)

    def choose(
        self,
        name: str,
        case_ids: Iterable[Any] | npt.NDArray[np.bool_],
        *,
        conditions: Iterable[str] = (),
        note: str = "",
    ) -> None:
        """Choose some cases; every view is told once.

        Args:
            name: what people call them.
            case_ids: the ids, or (rows of the table,) booleans.
            conditions: in words, what they have in common.
            note: what a reader must know about how they were chosen.

        Raises:
            InputError: no name, an unknown case, or booleans of another length.
        """
        if not name.strip():
            raise InputError("the cohort has no name; expected a few words")
        places = self._places(case_ids)
        ids = tuple(self._table.index.to_numpy()[places].tolist())
        inside = np.zeros(len(self._table), dtype=bool)
        inside[places] = True
        self._set(name.strip(), tuple(map(str, conditions)), ids, note, inside)

    def clear(self) -> None:
        """Everybody again."""
        self._set("", (), (), "", np.zeros(len(self._table), dtype=bool))

    def frame(self) -> pd.DataFrame:
        """What is known of its cases, one row each; a copy."""
        return self._table[self.members].copy()

    def _places(self, case_ids: Iterable[Any] | npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        rows = len(self._table)
        given: Any = case_ids if isinstance(case_ids, np.ndarray) else list(case_ids)
        if isinstance(given, np.ndarray) and given.dtype == bool:
            if given.shape != (rows,):
                raise InputError(
                    f"the cohort has booleans of shape {given.shape}; expected ({rows},)"
                )
            return np.flatnonzero(given)
        ids = pd.Index(given, dtype=self._table.index.dtype if not len(given) else None)
        places = np.asarray(self._table.index.get_indexer(ids), dtype=np.intp)
        if (places < 0).any():
            unknown = ids[int(np.flatnonzero(places < 0)[0])]
            raise InputError(
                f"case id {unknown!r} is not in the data; accepted: ids like "
                f"{self._table.index[0]!r}"
            )
        return np.unique(places)

    def _set(
        self,
        name: str,
        conditions: tuple[str, ...],
        ids: tuple[Any, ...],
        note: str,
        inside: npt.NDArray[np.bool_],
    ) -> None:
        now = (self.name, self.conditions, self.case_ids, self.note)
        if now == (name, conditions, ids, note):
            return
        self._choosing = True
        try:
            self.name, self.conditions, self.case_ids, self.note = name, conditions, ids, note
        finally:
            self._choosing = False
        self._known = (self.case_ids, inside)
        self.revision += 1

    @traitlets.observe("name", "conditions", "case_ids", "note")
    def _by_hand(self, change: Any) -> None:
        if not self._choosing:
            self.revision += 1
