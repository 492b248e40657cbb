"""Events out to CSV, Parquet and JSON files, and back exactly as they were.

One row per event, one column per field; a kind's absent fields are empty. Lists
are JSON text in one cell. In CSV, a text that a spreadsheet would run as a
formula is written with ``'`` before it, and read back without.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from hitl_audit.canonical import canonical_bytes, plain
from hitl_audit.errors import InputError
from hitl_audit.review.event import Event, FieldType, event_kinds, field_types, read_json, unknown
from hitl_audit.review.frames import columns_of
from hitl_audit.review.ledger import Numbered

__all__ = ["read_events", "safe_cell", "unsafe_cell", "write_events"]

_FORMAT = "hitl-audit/events/v1"
# What spreadsheets take for the start of a formula, also in full width; and our own mark.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


def safe_cell(text: str) -> str:
    """A text that no spreadsheet runs as a formula; :func:`unsafe_cell` turns it back."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def unsafe_cell(cell: str) -> str:
    """The text of a cell written by :func:`safe_cell`."""
    return cell[1:] if cell.startswith("'") else cell


def write_events(path: str | Path, events: Iterable[tuple[int, Event]]) -> Path:
    """Write numbered events (``Ledger.numbered()``) to a file.

    Args:
        path: ending in ``.csv``, ``.parquet`` or ``.json``.
        events: with their numbers.

    Raises:
        InputError: another ending.
    """
    file = Path(path)
    write = _by_ending(file, {".csv": _write_csv, ".parquet": _write_parquet, ".json": _write_json})
    write(file, [Numbered(*item) for item in events])
    return file


def read_events(path: str | Path) -> tuple[Numbered, ...]:
    """Read events back from a file of :func:`write_events`.

    Raises:
        InputError: another ending, not such a file, or a row that is no event;
            the message names the row.
    """
    file = Path(path)
    read = _by_ending(file, {".csv": _read_csv, ".parquet": _read_parquet, ".json": _read_json})
    try:
        return tuple(read(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file.name}: cannot be read ({error})") from None


def _by_ending(file: Path, known: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    if file.suffix.lower() not in known:
        raise InputError(
            f"{file.name}: the ending is {file.suffix!r}; accepted: {', '.join(known)}"
        )
    return known[file.suffix.lower()]


# ------------------------------------------------------------------------ CSV


def _write_csv(file: Path, events: list[Numbered]) -> None:
    names = columns_of(None)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["seq", "kind", *names])
        for seq, event in events:
            there = field_types(event.KIND)
            cells = [
                _to_cell(there[name], getattr(event, name)) if name in there else ""
                for name in names
            ]
            writer.writerow([seq, event.KIND, *cells])


def _to_cell(field: FieldType, value: Any) -> str:
    if value is None:
        return ""
    if field.kind is str:
        return safe_cell(value)
    return json.dumps(plain(value), ensure_ascii=False)


def _read_csv(file: Path) -> Iterable[Numbered]:
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        for number, row in enumerate(reader, start=1):
            if None in row or None in row.values():
                raise InputError(f"{file.name}: row {number} has another number of cells")
            yield _event(f"{file.name}: row {number}", row, _from_cell)


def _from_cell(field: FieldType, cell: Any) -> Any:
    if field.kind is str:
        return None if field.optional and not cell else unsafe_cell(cell)
    if not cell:
        return None if field.optional else ()
    return json.loads(cell)


# -------------------------------------------------------------------- Parquet


def _write_parquet(file: Path, events: list[Numbered]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    columns: dict[str, Any] = {
        "seq": pa.array([seq for seq, _ in events], pa.int64()),
        "kind": pa.array([event.KIND for _, event in events], pa.string()),
    }
    for name, field in _all_types().items():
        values = [_to_value(field, getattr(event, name, None)) for _, event in events]
        columns[name] = pa.array(values, kinds.get(field.kind, pa.string()))
    pq.write_table(pa.table(columns).replace_schema_metadata({"format": _FORMAT}), file)


def _to_value(field: FieldType, value: Any) -> Any:
    if field.kind is not tuple or value is None:
        return value
    return json.dumps(plain(value), ensure_ascii=False)


def _read_parquet(file: Path) -> Iterable[Numbered]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{file.name}: cannot be read ({error})") from None
    for number, row in enumerate(rows, start=1):
        yield _event(f"{file.name}: row {number}", row, _from_value)


def _from_value(field: FieldType, value: Any) -> Any:
    return json.loads(value) if field.kind is tuple else value


# ----------------------------------------------------------------------- JSON


def _write_json(file: Path, events: list[Numbered]) -> None:
    rows = [
        {"seq": seq, "kind": event.KIND} | {f.name: getattr(event, f.name) for f in fields(event)}
        for seq, event in events
    ]
    file.write_bytes(canonical_bytes({"format": _FORMAT, "events": rows}))


def _read_json(file: Path) -> Iterable[Numbered]:
    try:
        document = read_json(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.name}: not JSON ({error})") from None
    found = document.get("format") if isinstance(document, dict) else None
    rows = document.get("events") if isinstance(document, dict) else None
    if found != _FORMAT or not isinstance(rows, list):
        raise InputError(f"{file.name}: has format {found!r}; accepted: {_FORMAT!r}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{file.name}: row {number} is no object")
        yield _event(f"{file.name}: row {number}", row, lambda field, value: value)


# --------------------------------------------------------------------- common


def _event(where: str, row: dict[str, Any], decode: Callable[[FieldType, Any], Any]) -> Numbered:
    kinds = event_kinds()
    kind = row.get("kind")
    cls = kinds.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise InputError(f"{where}: {unknown('kind', kind, kinds)}")
    values = {}
    for name, field in field_types(cls.KIND).items():
        if name not in row:
            raise InputError(f"{where}: there is no {name!r}")
        try:
            value = _frozen(decode(field, row[name]))
        except (ValueError, TypeError):
            raise InputError(f"{where}: {name} is {row[name]!r}; expected JSON text") from None
        if not field.holds(value):
            raise InputError(f"{where}: {name} is {value!r}; expected {field.kind.__name__}")
        values[name] = value
    try:
        seq = int(row.get("seq", ""))
    except (TypeError, ValueError):
        raise InputError(f"{where}: seq is {row.get('seq')!r}; expected a number") from None
    return Numbered(seq, cls(**values))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _all_types() -> dict[str, FieldType]:
    types: dict[str, FieldType] = {}
    for kind in event_kinds():
        types |= field_types(kind)
    return types
