"""From what a plan or a notebook names to a source of rows."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from glob import iglob
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitl_audit.errors import InputError
from hitl_audit.imported import import_object, is_import
from hitl_audit.rows.arrow_streams import arrow_stream, narwhals_frame, polars_lazy
from hitl_audit.rows.csv_files import csv_files
from hitl_audit.rows.databases import DATABASES, database_query, is_database, split_query
from hitl_audit.rows.duck import duckdb_query, duckdb_relation, is_query
from hitl_audit.rows.parquet import ParquetFiles
from hitl_audit.rows.part import RowSource
from hitl_audit.rows.spark import SparkParts, is_spark_frame
from hitl_audit.rows.tables import arrow_table, pandas_table, polars_table

__all__ = ["FORMATS", "SOURCES", "open_rows"]

# "rows.csv.gz" ends in .gz for a Path, in .csv.gz for people.
FORMATS = (".parquet", ".csv", ".csv.gz")
SOURCES = (
    ".parquet, .csv or package.module:name, a glob of such files, a query "
    "(SELECT … FROM 'rows.parquet'), or a database and a query "
    "(postgresql://user@host/name SELECT …)"
)
_OBJECTS = (
    "a DataFrame of pandas, polars or Spark, a LazyFrame, a DuckDB relation, a table of Arrow, "
    "or anything that narwhals or Arrow's C stream takes"
)
_WILD = ("*", "?", "[")


def open_rows(
    source: Any,
    *,
    folder: str | Path = ".",
    field: str = "data.path",
    query: str = "",
    given: str = "",
) -> RowSource:
    """Open rows without reading them into memory.

    Args:
        source: a path or a glob of parquet or csv files (a folder stands for
            the parquet files in it); ``"SELECT … FROM 'rows.parquet'"``; the
            URL of a database and a query, with a space between them;
            ``package.module:name`` of an object, or of a function without
            arguments that returns one; or an object: a DataFrame of pandas,
            polars or Spark, a polars LazyFrame, a DuckDB relation, a table or
            reader of Arrow, whatever has ``__arrow_c_stream__``, whatever
            narwhals knows.
        folder: where relative paths start: the plan's folder.
        field: the plan's key, for error messages.
        query: the query, if ``source`` is the URL of a database alone.
        given: how to speak of ``source`` if it is no table at all.

    Raises:
        InputError: nothing there, not a table, or refused by what reads it.
        MissingDependencyError: the library that reads it is not installed.
    """
    folder = Path(folder)
    if isinstance(source, str):
        return _written(source.strip(), folder, field, query)
    if isinstance(source, Path):
        return _files(str(source), folder, field)
    return _object(source, field, given)


def _written(text: str, folder: Path, field: str, query: str) -> RowSource:
    if is_query(text):
        return duckdb_query(text, folder=folder, field=field)
    if is_database(text):
        url, written = split_query(text)
        return database_query(url, query or written, folder=folder, field=field)
    if is_import(text):
        found = import_object(text, field, folder)
        made = found() if callable(found) else found
        given = f'{field} is "{text}", which gave a {type(made).__name__}'
        return open_rows(made, folder=folder, field=field, given=given)
    if "://" in text:
        raise InputError(
            f'{field} is "{text}"; of addresses, only {", ".join(DATABASES)} are accepted. '
            f"Expected {SOURCES}"
        )
    return _files(text, folder, field)


def _object(found: Any, field: str, given: str) -> RowSource:
    import pandas as pd

    kind = type(found)
    library = kind.__module__.partition(".")[0].lstrip("_")
    if library == "narwhals" and hasattr(found, "to_native"):
        return _object(found.to_native(), field, given)
    known: Callable[..., RowSource] | None = None
    if isinstance(found, pd.DataFrame):
        known = pandas_table
    elif is_spark_frame(found):
        known = SparkParts
    elif isinstance(found, pa.RecordBatch):
        known, found = arrow_table, pa.Table.from_batches([found])
    elif isinstance(found, pa.Table):
        known = arrow_table
    elif library == "polars" and kind.__name__ in ("DataFrame", "LazyFrame"):
        known = polars_table if kind.__name__ == "DataFrame" else polars_lazy
    elif library == "duckdb" and hasattr(found, "project"):
        known = duckdb_relation
    elif hasattr(found, "__arrow_c_stream__"):
        known = arrow_stream
    if known is not None:
        return known(found, field=field)
    other = narwhals_frame(found, field=field)
    if other is None:
        given = given or f"{field} is a {kind.__name__}"
        raise InputError(f"{given}; expected a DataFrame or another table: {_OBJECTS}")
    return other


def _files(text: str, folder: Path, field: str) -> RowSource:
    place = folder.resolve() / text
    wild = any(sign in text for sign in _WILD) and not place.exists()
    if wild:
        # The folder of the plan may have a name that looks like a pattern; the text is one.
        names = iglob(text, root_dir=folder.resolve(), recursive=True)  # noqa: PTH207
        paths = sorted(p for p in (folder.resolve() / name for name in names) if p.is_file())
        if not paths:
            raise InputError(f'{field} is "{text}", which no file in {folder.resolve()} matches')
    elif place.is_dir():
        paths = _files_in(place, text, field)
    else:
        paths = [_existing(place, text, field)]
    formats = sorted({_format(path) for path in paths})
    if formats == [""] or len(formats) > 1:
        found = formats[0] if len(formats) == 1 else ", ".join(f or "others" for f in formats)
        problem = f", which matches files of {found}" if len(formats) > 1 else ""
        raise InputError(f'{field} is "{text}"{problem}; expected {SOURCES}')
    make = csv_files if formats[0].startswith(".csv") else ParquetFiles
    return partial(make, paths)(description=text, field=field)


def _format(path: Path) -> str:
    return next((f for f in FORMATS if path.name.lower().endswith(f)), "")


def _existing(place: Path, text: str, field: str) -> Path:
    if place.is_file():
        return place
    if not _format(place):
        raise InputError(f'{field} is "{text}"; expected {SOURCES}')
    beside = [p.name for p in place.parent.glob("*") if p.is_file()]
    near = get_close_matches(place.name, beside, n=1)
    raise InputError(
        f'{field} is "{text}": there is no such file'
        + (f'; did you mean "{near[0]}"?' if near else f"; expected {SOURCES}")
    )


def _files_in(place: Path, text: str, field: str) -> list[Path]:
    """The parquet files that Spark and others write into a folder."""
    found = sorted(p for p in place.rglob("*.parquet") if p.is_file())
    paths = [p for p in found if not p.name.startswith(("_", "."))]
    if not paths:
        raise InputError(f'{field} is "{text}", a folder without parquet files')
    keyed = next((p for p in paths if "=" in str(p.parent.relative_to(place))), None)
    if keyed is not None:
        raise InputError(
            f'{field} is "{text}", a folder whose folders are values ({keyed.parent.name}); '
            f"accepted: the query FROM read_parquet('{text}/**/*.parquet', hive_partitioning=true)"
        )
    return paths
