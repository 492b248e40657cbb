"""Counting by group where the rows are: one expression for every backend.

What is missing is written out, because backends differ: a NaN in a column of
floats becomes a null before rows are grouped, and a null is a group of its own
everywhere. Values are grouped as they are and named afterwards, here, because
backends write numbers as text in different ways.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.fairness.counts import Cells, GroupCounts
from hitl_audit.groups import ALL, UNKNOWN, level_text, missing_and_unknown

__all__ = ["CellCounts", "collected", "counted_cells", "counted_rows", "refuse_rowwise"]

_MOST_CELLS = 1_000_000
_ROWS = "rows"


def counted_rows(frame: Any, columns: Sequence[str]) -> Any:
    """Count the rows of every combination of values: the one expression.

    Args:
        frame: a narwhals DataFrame or LazyFrame of any backend.
        columns: whose values are combined.

    Returns:
        A frame of the same kind: ``key_0``, ``key_1``, … and ``rows``, in no order.
    """
    import narwhals.stable.v2 as nw

    schema = frame.collect_schema()
    keys = []
    for i, name in enumerate(columns):
        value = nw.col(name)
        if schema[name].is_float():
            value = nw.when(~value.is_nan()).then(value)
        keys.append(value.alias(f"key_{i}"))
    names = [f"key_{i}" for i in range(len(columns))]
    return frame.select(*keys).group_by(names).agg(nw.len().alias(_ROWS))


@dataclass
class CellCounts:
    """Rows by sensitive values, true label and predicted label, while they are being counted.

    Attributes:
        attributes: names of the sensitive columns.
        y_true, y_pred: what errors call the labels.
        cells: groups → true negatives, false positives, false negatives, true positives.
        values: attribute → name of a group → its value as given.
        missing: attribute → rows without a value.
        said_unknown: attributes with a value that reads ``"unknown"``.
    """

    attributes: tuple[str, ...]
    y_true: str = "y_true"
    y_pred: str = "y_pred"
    cells: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    said_unknown: set[str] = field(default_factory=set)
    _labels: dict[str, dict[Any, int]] = field(default_factory=dict)

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Take in counts: the values of the attributes, y_true, y_pred, rows."""
        for *values, true, predicted, n in rows:
            labels = [
                self._label(value, name, n)
                for name, value in ((self.y_true, true), (self.y_pred, predicted))
            ]
            group = tuple(
                self._group(name, value, n)
                for name, value in zip(self.attributes, values, strict=True)
            )
            if None in labels:
                continue
            cell = self.cells.setdefault(group, [0, 0, 0, 0])
            cell[2 * (labels[0] or 0) + (labels[1] or 0)] += n
            if len(self.cells) > _MOST_CELLS:
                raise _too_many(self.attributes)

    def counts(self) -> GroupCounts:
        """The counts.

        Raises:
            InputError: no rows, labels that are missing or other than 0 and 1, or
                missing values beside a group called ``"unknown"``.
        """
        for name, labels in self._labels.items():
            total = sum(labels.values())
            if absent := labels.get(None, 0):
                raise InputError(f"{name} is missing in {absent} of {total} rows; accepted: 0, 1")
            other = sorted({repr(label) for label in labels if label not in (0, 1)})
            if other:
                raise InputError(
                    f"{name} has the labels {', '.join(other[:5])}; accepted: 0 and 1 (1 is "
                    "favorable)"
                )
        if not self.cells:
            raise InputError(f"{self.y_true} is empty; accepted: at least one row")
        rows = sum(map(sum, self.cells.values()))
        for name in self.attributes:
            if self.missing.get(name) and name in self.said_unknown:
                raise missing_and_unknown(f'sensitive_features, "{name}"', self.missing[name], rows)
        groups = tuple(sorted(self.cells))
        return GroupCounts(self.attributes, groups, tuple(_four(self.cells[g]) for g in groups))

    def _label(self, value: Any, name: str, n: int) -> int | None:
        found = None if _is_missing(value) else value
        labels = self._labels.setdefault(name, {})
        labels[found] = labels.get(found, 0) + n
        return int(found) if found in (0, 1) else None

    def _group(self, name: str, value: Any, n: int) -> str:
        if _is_missing(value):
            self.missing[name] = self.missing.get(name, 0) + n
            self.values.setdefault(name, {}).setdefault(UNKNOWN, UNKNOWN)
            return UNKNOWN
        text = level_text(value)
        if text == UNKNOWN:
            self.said_unknown.add(name)
        self.values.setdefault(name, {}).setdefault(text, value)
        return text


def refuse_rowwise(**arguments: Any) -> None:
    """Refuse what needs the rows themselves, beside ``data``.

    Raises:
        InputError: one of the arguments is given.
    """
    for name, given in arguments.items():
        if given is not None:
            raise InputError(
                f"data and {name} are both given, and rows that stay where they are are counted "
                "by group alone; accepted: one of them"
            )


def counted_cells(
    data: Any, *, y_true: Any, y_pred: Any, sensitive_features: Any
) -> tuple[GroupCounts, dict[str, tuple[Any, ...]]]:
    """Count labels by group where the rows are.

    Args:
        data: anything narwhals takes, lazy or not (a DuckDB relation, a LazyFrame of
            polars, a DataFrame of PySpark); a source of rows; or what
            :func:`hitl_audit.rows.open_rows` takes, such as a glob of parquet files.
        y_true, y_pred: names of columns of 0 and 1 (or booleans).
        sensitive_features: one name of a column, or several.

    Returns:
        The counts; and attribute → its groups as given, in the order of their names.

    Raises:
        InputError: a column that is not there, or what :meth:`CellCounts.counts` refuses.
    """
    attributes = _attributes(sensitive_features)
    columns = (*attributes, _column(y_true, "y_true"), _column(y_pred, "y_pred"))
    found = CellCounts(attributes, f'y_true, "{y_true}",', f'y_pred, "{y_pred}",')
    for frame in _frames(data, columns):
        found.add(collected(frame, columns))
    named = {
        name: tuple(given[text] for text in sorted(given)) for name, given in found.values.items()
    }
    return found.counts(), named


def _column(name: Any, argument: str) -> str:
    if not isinstance(name, str):
        raise InputError(
            f"{argument} is a {type(name).__name__}, and data is given; accepted: the name of a "
            "column of data"
        )
    return name


def _attributes(names: Any) -> tuple[str, ...]:
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        _column(name, "sensitive_features")
        if name == ALL:
            raise InputError(f'sensitive_features has a column called "{ALL}", a reserved name')
        if listed.count(name) > 1:
            raise InputError(f'sensitive_features has two columns called "{name}"')
    if not listed:
        raise InputError("sensitive_features has no column; accepted: at least one attribute")
    return tuple(listed)


def _frames(data: Any, columns: Sequence[str]) -> Iterator[Any]:
    """Narwhals frames whose counts add up to those of all rows."""
    import narwhals.stable.v2 as nw

    frame = None
    if not hasattr(data, "parts"):
        frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.DataFrame | nw.LazyFrame):
        known = frame.collect_schema().names()
        for name in columns:
            if name not in known:
                raise InputError(
                    f'data has no column "{name}"; it has: {", ".join(known)}'
                    + did_you_mean(name, known)
                )
        yield frame
        return
    from hitl_audit.rows import open_rows

    source = data if hasattr(data, "parts") else open_rows(data, field="data")
    for part in source.parts(list(dict.fromkeys(columns))):
        for batch in part.batches():
            yield nw.from_native(_table(batch), eager_only=True)


def _table(batch: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def collected(frame: Any, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The counts as Python values, whatever the backend."""
    import narwhals.stable.v2 as nw

    counted = counted_rows(frame, columns).head(_MOST_CELLS + 1)
    if isinstance(counted, nw.LazyFrame):
        counted = counted.collect()
    if len(counted) > _MOST_CELLS:
        raise _too_many(columns[:-2])
    names = [f"key_{i}" for i in range(len(columns))]
    lists = [counted[name].to_list() for name in [*names, _ROWS]]
    yield from zip(*([_python(v) for v in values] for values in lists), strict=True)


def _python(value: Any) -> Any:
    """One value for what backends have several types of."""
    import decimal

    if isinstance(value, decimal.Decimal):
        return float(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return type(value).__name__ in ("NaTType", "NAType")


def _four(cell: Sequence[int]) -> Cells:
    return (cell[0], cell[1], cell[2], cell[3])


def _too_many(attributes: Iterable[str]) -> InputError:
    return InputError(
        f"sensitive_features {', '.join(attributes)} have more than {_MOST_CELLS:,} combinations "
        "of values and labels; accepted: columns of groups (put a number such as an age into "
        "bands first)"
    )
