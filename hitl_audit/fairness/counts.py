"""One pass over the rows → counts per group that add up. Everything else derives from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError

__all__ = ["GroupCounts", "count_groups"]

Cells = tuple[int, int, int, int]


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

    def items(self) -> list[tuple[tuple[str, ...], Cells]]:
        """Pairs of a group and its four cells."""
        return list(zip(self.groups, self.table, strict=True))

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
    codes = np.zeros(len(y_true), dtype=np.int64)
    levels = []
    for values in columns.values():
        names, places = np.unique(values, return_inverse=True)
        # Re-coded at every step, so that the codes stay below rows × levels.
        codes = np.unique(codes * len(names) + places, return_inverse=True)[1]
        levels.append((names, places))
    size = int(codes.max()) + 1
    cells = np.bincount(codes * 4 + y_true * 2 + y_pred, minlength=4 * size).reshape(size, 4)
    first = np.unique(codes, return_index=True)[1]
    pairs = [
        (tuple(str(names[places[row]]) for names, places in levels), _four(cells[code]))
        for code, row in enumerate(first)
    ]
    return _collect(tuple(columns), pairs)


def _four(values: npt.NDArray[np.int64]) -> Cells:
    return int(values[0]), int(values[1]), int(values[2]), int(values[3])


def _collect(
    attributes: tuple[str, ...], pairs: list[tuple[tuple[str, ...], Cells]]
) -> GroupCounts:
    cells: Counter[tuple[tuple[str, ...], int]] = Counter()
    for group, four in pairs:
        for place, number in enumerate(four):
            cells[group, place] += number
    groups = tuple(sorted({group for group, _ in cells}))
    table = tuple((cells[g, 0], cells[g, 1], cells[g, 2], cells[g, 3]) for g in groups)
    return GroupCounts(attributes, groups, table)
