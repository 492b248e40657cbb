"""Tables of databases, streamed by ADBC drivers."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa

from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.rows.duck import duckdb_query, quoted
from hitl_audit.rows.streams import Stream, in_words

__all__ = ["DATABASES", "database_query", "is_database", "split_query"]

DATABASES = ("postgresql", "sqlite", "duckdb")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def is_database(text: str) -> bool:
    """Whether this starts as the URL of a database."""
    return text.partition("://")[0].lower() in (*DATABASES, "postgres")


def split_query(text: str) -> tuple[str, str]:
    """``"sqlite:///loans.db SELECT …"`` as its URL and its query."""
    url, *query = text.strip().split(maxsplit=1)
    return url, query[0] if query else ""


def database_query(url: str, query: str, *, folder: Path, field: str) -> Stream:
    """The rows of one query, in the order in which the database gives them.

    * ``postgresql://user@host:port/database``: the password is what libpq finds
      (``PGPASSWORD``, ``~/.pgpass``), or ``${NAME}`` in the URL for the
      environment variable of that name. The session is read-only.
    * ``sqlite:///relative.db``, ``sqlite:////absolute.db``: opened read-only.
    * ``duckdb:///relative.duckdb``: likewise.

    Args:
        url: where the database is.
        query: one SELECT statement in the language of the database.
        folder: where relative paths of files start.
        field: the plan's key, for error messages.

    Raises:
        InputError: no such database, a password written in the plan, or the
            database refuses the query.
        MissingDependencyError: the driver is not installed.
    """
    query = query.strip().rstrip(";").rstrip()
    scheme = url.partition("://")[0].lower()
    if not query:
        accepted = f"{scheme}://… and a query, with a space between them"
        raise InputError(f"{field} is the URL of a database alone; accepted: {accepted}")
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url, query, field)
    file = _file(url, folder, field)
    if scheme == "duckdb":
        return duckdb_query(
            query, folder=folder, field=field, description=f"a query of {file.name}", database=file
        )
    return _sqlite(file, query, field)


def _file(url: str, folder: Path, field: str) -> Path:
    start = url.partition("://")[2]
    if not start.startswith("/") or len(start) == 1:
        raise InputError(
            f'{field} is "{url}"; accepted: three slashes and a path from the plan\'s folder, or '
            "four and an absolute one"
        )
    file = folder.resolve() / unquote(start[1:])
    if not file.is_file():
        raise InputError(f'{field} is "{url}": there is no such file in {folder}')
    return file


@dataclass(frozen=True)
class _Adbc:
    """A driver, how to reach the database with it, and what a transaction starts with."""

    connect: Callable[..., Any]
    uri: str
    first: str = ""

    @contextlib.contextmanager
    def _reading(self, query: str) -> Iterator[pa.RecordBatchReader]:
        with self.connect(self.uri) as con, con.cursor() as cursor:
            if self.first:
                cursor.execute(self.first)
            cursor.execute(query)
            with contextlib.closing(cursor.fetch_record_batch()) as reader:
                yield reader

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        with self._reading(query) as reader:
            yield from reader

    def schema(self, query: str) -> pa.Schema:
        with self._reading(query) as reader:
            return reader.schema

    def row(self, query: str) -> dict[str, Any]:
        table = pa.Table.from_batches(list(self.batches(query)))
        found: dict[str, Any] = table.to_pylist()[0]
        return found


def _driver(name: str, field: str) -> Callable[..., Any]:
    try:
        module = importlib.import_module(f"adbc_driver_{name}.dbapi")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{field}: a {name} database needs {error.name}, which is not installed; "
            'run: pip install "hitl-audit[databases]"'
        ) from None
    connect: Callable[..., Any] = module.connect
    return connect


# ---------------------------------------------------------------- SQLite

_SQLITE_TYPES = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}
_SQLITE_FIRST = {"integer": "0", "real": "0.0", "text": "''"}


def _sqlite(file: Path, query: str, field: str) -> Stream:
    """SQLite has types per value, and its driver takes those of the first rows for all.

    So the types of whole columns are asked for first, in one reading; then a
    first row of the right types is put before the rows, and left out again.
    """
    uri = f"file:{quote(str(file))}?mode=ro"
    adbc = _Adbc(_driver("sqlite", field), uri)
    table = f"(\n{query}\n)"
    description = f"a query of {file.name}"
    with in_words(f"{field}: the query cannot be run"):
        names = adbc.schema(f"SELECT * FROM {table} LIMIT 0").names  # noqa: S608
        kinds = ("integer", "real", "text", "blob")
        asked = ", ".join(
            f"sum(typeof({quoted(name)}) = '{kind}')" for name in names for kind in kinds
        )
        counted = list(adbc.row(f"SELECT count(*), {asked} FROM {table}").values())  # noqa: S608
    rows, counts = counted[0], iter(counted[1:])
    types = {name: _sqlite_type([kind for kind in kinds if next(counts)]) for name in names}
    schema = pa.schema(list(types.items()))

    def read(wanted: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        first, rest = [], []
        for name in wanted:
            kind = next((k for k, one in _SQLITE_TYPES.items() if one == types[name]), "real")
            first.append(f"{_SQLITE_FIRST[kind]} AS {quoted(name)}")
            rest.append(f"CAST({quoted(name)} AS {kind})")
        sql = (
            f"SELECT 1 AS first, {', '.join(first)} UNION ALL "  # noqa: S608
            f"SELECT 0, {', '.join(rest)} FROM {table}"
        )
        for batch in adbc.batches(sql):
            ours = batch.column(0).to_numpy(zero_copy_only=False) == 0
            yield batch.filter(pa.array(ours)).select(list(range(1, len(wanted) + 1)))

    return Stream(schema, read, description=description, field=field, rows=int(rows))


def _sqlite_type(kinds: list[str]) -> pa.DataType:
    if kinds in (["integer"], ["text"]):
        return _SQLITE_TYPES[kinds[0]]
    if kinds in ([], ["real"], ["integer", "real"]):
        return pa.float64()
    if kinds == ["blob"]:
        return pa.binary()
    # No column has such values that can be used; the type says which it has.
    return pa.dense_union([pa.field(k, _SQLITE_TYPES.get(k, pa.binary())) for k in kinds])


# ------------------------------------------------------------ PostgreSQL


_POSTGRESQL_CASTS = {
    "numeric": "::float8",
    # As it is sent, it is in cents or whatever the locale has.
    "money": "::numeric::float8",
    "uuid": "::text",
    # Without the blanks that fill it up.
    "bpchar": "::text",
}


def _postgresql(url: str, query: str, field: str) -> Stream:
    reachable, hide = _with_secrets(url, field)
    adbc = _Adbc(_driver("postgresql", field), reachable, "SET TRANSACTION READ ONLY")
    table = f"(\n{query}\n) AS rows"
    with in_words(f"{field}: the query cannot be run", hide):
        schema = adbc.schema(f"SELECT * FROM {table} LIMIT 0")  # noqa: S608
    casts = {one.name: _postgresql_cast(one) for one in schema}
    sent = pa.schema([_as_sent(one, casts[one.name]) for one in schema])

    def read(names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        columns = ", ".join(f"{quoted(n)}{casts[n]} AS {quoted(n)}" for n in names)
        yield from adbc.batches(f"SELECT {columns} FROM {table}")  # noqa: S608

    return Stream(sent, read, description="a query of PostgreSQL", field=field, hide=hide)


def _postgresql_cast(column: pa.Field) -> str:
    """The driver sends some types as bytes or text that PostgreSQL can put better itself."""
    said = column.metadata or {}
    name = said.get(b"ADBC:postgresql:typname") or said.get(b"POSTGRESQL:type", b"")
    return _POSTGRESQL_CASTS.get(name.decode(), "")


def _as_sent(column: pa.Field, cast: str) -> pa.Field:
    kind = {"": column.type, "::text": pa.string()}.get(cast, pa.float64())
    return pa.field(column.name, kind)


def _with_secrets(url: str, field: str) -> tuple[str, Callable[[str], str]]:
    """The URL with what the environment holds, and what takes that out of a message."""
    # A password may hold any sign: it ends at the last @ there is.
    password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    option = re.search(r"[?&]password=([^&]*)", url)
    for written in (password, option.group(1) if option else ""):
        if written and not _VARIABLE.fullmatch(written):
            raise InputError(
                f"{field} holds a password, and the plan is shown to others; accepted: "
                "postgresql://user:${NAME}@… with the password in the environment variable "
                "NAME, or no password there and PGPASSWORD"
            )
    secrets = [os.environ.get("PGPASSWORD", "")]

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            raise InputError(f"{field}: the environment variable {name} is not set")
        secrets.extend([os.environ[name], quote(os.environ[name], safe="")])
        return secrets[-1]

    reachable = _VARIABLE.sub(value, url)

    def hide(text: str) -> str:
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    return reachable, hide
