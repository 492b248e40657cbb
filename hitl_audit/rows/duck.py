"""DuckDB: queries over files, database files and relations."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.rows.part import BATCH_ROWS
from hitl_audit.rows.sql_paths import with_absolute_paths
from hitl_audit.rows.streams import Stream, check_names, in_words

__all__ = ["connector", "duckdb_query", "duckdb_relation", "is_query", "quoted", "table_stream"]

# Joins and sorts that need more go through files in the temporary folder.
_MEMORY = "512MB"
# Each thread holds buffers of its own.
_MOST_THREADS = 4


def duckdb_query(
    query: str,
    *,
    folder: Path,
    field: str,
    description: str = "the query",
    database: Path | None = None,
) -> Stream:
    """The rows of one SELECT statement, in the order in which DuckDB gives them.

    The connection is its own, has no extension but those built in, loads none,
    reads no variable of this process, reaches no network, and writes nothing
    but files that a large sort or join needs, in the temporary folder.

    Args:
        query: one SELECT statement.
        folder: where relative paths of files start.
        field: the plan's key, for error messages.
        description: what is read, for people.
        database: a DuckDB file, opened to be read only.

    Raises:
        InputError: DuckDB refuses the statement, or it is no SELECT.
        MissingDependencyError: DuckDB is not installed.
    """
    connect = connector(field, database)
    with in_words(f"{field}: the query cannot be run"), contextlib.closing(connect()) as con:
        statements = con.extract_statements(query)
        kinds = [str(one.type).rpartition(".")[2] for one in statements]
        if kinds != ["SELECT"]:
            raise InputError(
                f"{field}: the query has the statements {', '.join(kinds) or 'none'}; "
                "accepted: one SELECT"
            )
        sql = with_absolute_paths(statements[0].query, folder)
        # Within another query DuckDB would give the second of one name a new one.
        check_names(con.sql(sql).columns, field)
    return table_stream(
        connect,
        # On a line of its own: the query may end in a comment.
        f"({sql}\n)",
        field=field,
        description=description,
        cannot="the query cannot be run",
    )


def duckdb_relation(relation: Any, *, field: str) -> Stream:
    """A relation of a DuckDB connection that belongs to the caller."""

    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        yield from _reader(relation.project(", ".join(map(quoted, names))))

    with in_words(f"{field}: the DuckDB relation"):
        schema = _reader(relation.limit(0)).schema
    return Stream(schema, read, description="a DuckDB relation", field=field)


def connector(field: str, database: Path | None = None) -> Callable[[], Any]:
    """What opens a connection that reaches nothing but files, and cannot be told otherwise.

    Raises:
        MissingDependencyError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ModuleNotFoundError:
        raise MissingDependencyError(
            f"{field}: csv files and queries are read by DuckDB, which is not installed; "
            'run: pip install "hitl-audit[audit]"'
        ) from None

    def connect() -> Any:
        return duckdb.connect(
            ":memory:" if database is None else str(database),
            read_only=database is not None,
            config={
                "autoload_known_extensions": "false",
                "autoinstall_known_extensions": "false",
                "allow_community_extensions": "false",
                "allow_unsigned_extensions": "false",
                "python_enable_replacements": "false",
                "memory_limit": _MEMORY,
                "threads": str(min(os.cpu_count() or 1, _MOST_THREADS)),
                "temp_directory": _spill(),
                "lock_configuration": "true",
            },
        )

    return connect


@functools.cache
def _spill() -> str:
    """A folder of this process, for what a large sort or join puts aside; gone at its end."""
    folder = tempfile.mkdtemp(prefix="hitl-audit-duckdb-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def table_stream(
    connect: Callable[[], Any], table: str, *, field: str, description: str, cannot: str
) -> Stream:
    """The rows of what stands after FROM, over a connection for each reading.

    Args:
        connect: opens the connection.
        table: a table, a function, or a query in brackets.
        field: the plan's key, for error messages.
        description: what is read, for people.
        cannot: what it means if this fails before a row was read.

    Raises:
        InputError: DuckDB refuses to.
    """

    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        columns = ", ".join(map(quoted, names))
        with contextlib.closing(connect()) as con:
            yield from _reader(con.sql(f"SELECT {columns} FROM {table}"))  # noqa: S608

    with in_words(f"{field}: {cannot}"), contextlib.closing(connect()) as con:
        schema = _reader(con.sql(f"SELECT * FROM {table} LIMIT 0")).schema  # noqa: S608
    return Stream(schema, read, description=description, field=field)


def _reader(relation: Any) -> pa.RecordBatchReader:
    # The name of what streams changed; fetching through the DB-API would copy all rows first.
    named = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    return named(BATCH_ROWS)


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def is_query(text: str) -> bool:
    """Whether this is written as a query rather than as a path."""
    return bool(re.match(r"\s*(select|with|from)\s", text, re.IGNORECASE))
