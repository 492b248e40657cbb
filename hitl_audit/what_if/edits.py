"""Edits of one case: applied, undone, redone, reset; every one stays in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hitl_audit.errors import InputError

__all__ = ["Change", "Edit", "EditHistory", "EditKind", "LoggedEdit", "Value"]

Value = str | int | float | bool | None
"""A raw value as people see it; ``None`` is a missing one."""

EditKind = Literal["edit", "reset", "flip", "counterfactual"]
Action = Literal["edit", "reset", "flip", "counterfactual", "undo", "redo"]


@dataclass(frozen=True)
class Change:
    """One feature's value, before and after."""

    feature: str
    before: Value
    after: Value


@dataclass(frozen=True)
class Edit:
    """What one act of a person changes.

    Attributes:
        changes: the person's own change first, then the computed columns that
            follow from it. A reset or a suggestion changes several features.
        kind: ``"edit"``, ``"reset"``, ``"flip"`` or ``"counterfactual"``.
    """

    changes: tuple[Change, ...]
    kind: EditKind = "edit"


@dataclass(frozen=True)
class LoggedEdit:
    """One line of the log: what was done, in order. Exploratory evidence, never a judgment.

    Attributes:
        case: the case that was edited.
        position: 1 for the first act.
        action: an edit's kind, ``"undo"`` or ``"redo"``.
        changes: what became of the values by it.
        evidence: always ``"exploratory"``: nothing that is tried out enters a rate.
    """

    case: str
    position: int
    action: Action
    changes: tuple[Change, ...]
    evidence: Literal["exploratory"] = "exploratory"


@dataclass(frozen=True)
class EditHistory:
    """One case and what was tried with it; every method returns a new history.

    Attributes:
        case: the case's name.
        start: the case as it is: (feature, value) for each feature.
        now: the same after all edits.
        done: edits in force, the oldest first.
        undone: edits taken back, the last one taken back last.
        log: everything that was done, also what was taken back.
        place: the case's row in the data; ``None`` for a case from elsewhere.
    """

    case: str
    start: tuple[tuple[str, Value], ...]
    now: tuple[tuple[str, Value], ...]
    done: tuple[Edit, ...] = ()
    undone: tuple[Edit, ...] = ()
    log: tuple[LoggedEdit, ...] = ()
    place: int | None = None

    @classmethod
    def of(cls, case: str, values: Mapping[str, Value], *, place: int | None = None) -> EditHistory:
        """A case that nobody has edited yet."""
        start = tuple(values.items())
        return cls(case, start, start, place=place)

    @property
    def values(self) -> dict[str, Value]:
        """feature → value, after all edits."""
        return dict(self.now)

    @property
    def start_values(self) -> dict[str, Value]:
        """feature → value of the case as it is."""
        return dict(self.start)

    @property
    def changed(self) -> tuple[Change, ...]:
        """What differs from the case as it is, in the order of the features."""
        pairs = zip(self.start, self.now, strict=True)
        return tuple(Change(f, old, new) for (f, old), (_, new) in pairs if old != new)

    @property
    def revision(self) -> int:
        """Grows with every act: an answer to a smaller revision is stale."""
        return len(self.log)

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return bool(self.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an edit to bring back."""
        return bool(self.undone)

    def apply(self, edit: Edit) -> EditHistory:
        """With one more edit; what was undone before can no longer be redone.

        Raises:
            InputError: a change starts from another value than the present one.
        """
        self._check(edit)
        moved = self._moved(edit.changes, edit.kind)
        return replace(moved, done=(*self.done, edit), undone=())

    def undo(self) -> EditHistory:
        """Without the last edit; the same history if there is none."""
        if not self.done:
            return self
        last = self.done[-1]
        back = tuple(Change(c.feature, c.after, c.before) for c in reversed(last.changes))
        moved = self._moved(back, "undo")
        return replace(moved, done=self.done[:-1], undone=(*self.undone, last))

    def redo(self) -> EditHistory:
        """With the edit that was undone last; the same history if there is none."""
        if not self.undone:
            return self
        again = self.undone[-1]
        moved = self._moved(again.changes, "redo")
        return replace(moved, done=(*self.done, again), undone=self.undone[:-1])

    def reset(self) -> EditHistory:
        """Back to the case as it is, by one edit that can itself be undone."""
        back = tuple(Change(c.feature, c.after, c.before) for c in self.changed)
        return self.apply(Edit(back, "reset")) if back else self

    def _moved(self, changes: tuple[Change, ...], action: Action) -> EditHistory:
        values = self.values
        for change in changes:
            values[change.feature] = change.after
        line = LoggedEdit(self.case, len(self.log) + 1, action, changes)
        return replace(self, now=tuple(values.items()), log=(*self.log, line))

    def _check(self, edit: Edit) -> None:
        values = self.values
        for change in edit.changes:
            if change.feature not in values:
                raise InputError(
                    f'edit changes "{change.feature}"; accepted: {", ".join(map(str, values))}'
                )
            if values[change.feature] != change.before:
                raise InputError(
                    f"edit changes {change.feature} from {change.before!r}, but it is "
                    f"{values[change.feature]!r} now"
                )
