"""One pass over the rows → counts per group that add up. Everything else derives from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.fairness.encoding import combine
from hitl_audit.groups import Feature, encode

__all__ = ["Cells", "GroupCounts", "count_cells", "count_groups"]

Cells = tuple[int, int, int, int]
Group = tuple[str, ...]


@dataclass(frozen=True)
class GroupCounts:
    """Rows per combination of sensitive values, true label and predicted label.

    Counts of two parts of the data add up (``+``) to the counts of the whole.

    Attributes:
        attributes: names of the sensitive attributes.
        groups: the combinations that occur, sorted; one value per attribute.
        table: per group the true negatives, false positives, false negatives
            and true positives.
    """

    attributes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    table: tuple[Cells, ...]

    def __add__(self, other: GroupCounts) -> GroupCounts:
        if self.attributes != other.attributes:
            raise InputError(
                f"got counts by {', '.join(other.attributes)}, "
                f"expected counts by {', '.join(self.attributes)}"
            )
        return _collect(self.attributes, [*self.items(), *other.items()])

    def by(self, attributes: Sequence[str]) -> GroupCounts:
        """The counts by some of the attributes, in this order; () for all rows together."""
        places = [self.attributes.index(name) for name in attributes]
        return _collect(
            tuple(attributes),
            [(tuple(group[i] for i in places), cells) for group, cells in self.items()],
        )

    def items(self) -> list[tuple[Group, Cells]]:
        """Pairs of a group and its four cells."""
        return list(zip(self.groups, self.table, strict=True))

    def array(self) -> npt.NDArray[np.int64]:
        """The table as (groups, 4)."""
        return np.array(self.table, dtype=np.int64).reshape(-1, 4)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return sum(map(sum, self.table))


def count_groups(
    y_true: npt.NDArray[np.int8],
    y_pred: npt.NDArray[np.int8],
    columns: Mapping[str, npt.NDArray[np.str_]],
) -> GroupCounts:
    """Count checked labels by group (see :mod:`hitl_audit.groups`).

    Args:
        y_true: (rows,) 0 or 1.
        y_pred: (rows,) 0 or 1.
        columns: attribute → (rows,) group names.
    """
    return count_cells(y_true, y_pred, encode(columns, len(y_true)))[0]


def count_cells(
    y_true: npt.NDArray[np.int8], y_pred: npt.NDArray[np.int8], features: Sequence[Feature]
) -> tuple[GroupCounts, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count checked labels by the combinations of encoded features.

    Returns:
        The counts; (rows,) the cell of each row, 4 × group + 2 × true label +
        predicted label; and (groups, features) the codes of each group.
    """
    codes, levels = combine(features, len(y_true))
    cell = codes * 4
    cell += y_true * 2
    cell += y_pred
    table = np.bincount(cell, minlength=4 * len(levels)).reshape(-1, 4)
    groups = tuple(
        tuple(feature.names[code] for feature, code in zip(features, row, strict=True))
        for row in levels.tolist()
    )
    four = tuple((tn, fp, fn, tp) for tn, fp, fn, tp in table.tolist())
    return GroupCounts(tuple(f.name for f in features), groups, four), cell, levels


def _collect(attributes: tuple[str, ...], pairs: Sequence[tuple[Group, Cells]]) -> GroupCounts:
    cells: dict[Group, Cells] = {}
    for group, (tn, fp, fn, tp) in pairs:
        a, b, c, d = cells.get(group, (0, 0, 0, 0))
        cells[group] = (a + tn, b + fp, c + fn, d + tp)
    groups = tuple(sorted(cells))
    return GroupCounts(attributes, groups, tuple(cells[group] for group in groups))
