"""Databases through ADBC: types of whole columns, read only, and no password anywhere."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.rows import collect, open_rows

Read = Callable[..., pd.DataFrame]
postgresql = importlib.import_module("adbc_driver_postgresql.dbapi")


@pytest.fixture
def sqlite_folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as db:
        db.execute("CREATE TABLE t (id INTEGER, late, mixed, empty, bytes BLOB, 'a \"b\"' TEXT)")
        db.executemany(
            "INSERT INTO t VALUES (?, ?, ?, NULL, x'00', ?)",
            [
                (i, None if i < 2000 else i + 0.5, i if i % 2 else "x", f"t{i % 3}")
                for i in range(3000)
            ],
        )
        db.commit()
    return tmp_path


def test_sqlite_types_are_those_of_all_rows(sqlite_folder: Path, normal_rows: Read) -> None:
    source = open_rows("sqlite:///rows.db SELECT * FROM t", folder=sqlite_folder)
    assert source.rows == 3000
    assert source.description == "a query of rows.db"
    found = normal_rows(source, ["late", 'a "b"', "empty", "id"])
    assert list(found["id"]) == list(range(3000))
    assert found["late"].isna().sum() == 2000
    assert found["late"][2999] == 2999.5
    assert found["empty"].isna().all()
    assert list(found['a "b"'][:4]) == ["t0", "t1", "t2", "t0"]
    frame = collect(source, ["id", "late"])
    assert frame.dtypes.astype(str).to_dict() == {"id": "int64", "late": "float64"}
    whole = open_rows(f"sqlite:///{sqlite_folder}/rows.db", query="select id from t where id < 3")
    assert list(collect(whole)["id"]) == [0, 1, 2]


SQLITE_BAD: dict[str, tuple[str, list[str] | None, str]] = {
    "mixed": ("select mixed from t", ["mixed"], r'"mixed" is of the type .*integer.*text'),
    "bytes": ("select * from t", ["bytes"], r'"bytes" is of the type binary'),
    "syntax": ("selct 1", None, r"the query cannot be run: .*syntax error"),
    "no table": ("select * from nope", None, r"no such table: nope"),
    "delete": ("delete from t returning id", None, r"the query cannot be run"),
    "two": ("select 1; delete from t", None, r"the query cannot be run"),
    "nothing": ("", None, r"is the URL of a database alone; accepted: sqlite://… and a query"),
}


@pytest.mark.parametrize("name", SQLITE_BAD)
def test_sqlite_refuses(sqlite_folder: Path, name: str) -> None:
    query, columns, message = SQLITE_BAD[name]
    with pytest.raises(InputError, match=message):
        collect(open_rows(f"sqlite:///rows.db {query}", folder=sqlite_folder), columns)
    with closing(sqlite3.connect(sqlite_folder / "rows.db")) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (3000,)


def test_database_files_that_are_not_there(tmp_path: Path) -> None:
    for url in ("sqlite:///no.db", "duckdb:///no.duckdb"):
        with pytest.raises(InputError, match="there is no such file"):
            open_rows(f"{url} select 1", folder=tmp_path)
        with pytest.raises(InputError, match="accepted: three slashes"):
            open_rows("sqlite://no.db select 1", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_driver_it_says_what_to_install(
    sqlite_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("adbc_driver_sqlite", "adbc_driver_postgresql"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, f"{name}.dbapi", raising=False)
    for url in ("sqlite:///rows.db", "postgresql://me@nowhere/x"):
        with pytest.raises(MissingDependencyError, match=r'"hitl-audit\[databases\]"'):
            open_rows(f"{url} select 1", folder=sqlite_folder)


_TABLE = """
CREATE TABLE loans AS SELECT k AS id, (k % 7)::int2 AS small, k * 0.1::numeric AS exact,
    (k * 0.5)::float4 AS single, k % 2 = 0 AS yes, 'x' || (k % 3) AS word, 'ab'::char(5) AS padded,
    CASE WHEN k % 2 = 0 THEN 'ok' ELSE 'bad' END::mood AS mood, date '2024-01-01' + k % 9 AS day,
    timestamptz '2024-01-01 00:00+02' AS zoned, time '10:00' AS clock, 9.99::money AS paid,
    NULL::numeric AS nothing, 'nan'::numeric AS odd, ARRAY[1] AS list,
    '00112233-4455-6677-8899-aabbccddeeff'::uuid AS uuid
FROM generate_series(0, 2999) AS k
"""


@pytest.fixture(scope="module")
def server(postgresql_server: str) -> Iterator[str]:
    """The URL of a database with loans, with its password still in it."""
    with postgresql.connect(postgresql_server) as con, con.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE counter")
        cursor.execute("CREATE TYPE mood AS ENUM ('ok', 'bad')")
        cursor.execute(_TABLE)
        con.commit()
    yield postgresql_server
    with postgresql.connect(postgresql_server) as con, con.cursor() as cursor:
        cursor.execute("DROP TABLE loans")
        cursor.execute("DROP TYPE mood")
        cursor.execute("DROP SEQUENCE counter")
        con.commit()


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    password = urlsplit(server).password or ""
    monkeypatch.setenv("BANK_PASSWORD", password)
    return server.replace(password, "${BANK_PASSWORD}")


def test_postgresql_values(url: str, normal_rows: Read) -> None:
    source = open_rows(f"{url} SELECT * FROM loans ORDER BY id")
    found = normal_rows(source, [name for name in source.columns if name != "list"])
    assert len(found) == 3000
    nan = float("nan")
    expected: dict[str, Any] = {
        **{"id": 7.0, "small": 0.0, "exact": 0.7, "single": 3.5, "yes": False, "word": "x1"},
        **{"padded": "ab", "mood": "bad", "day": "2024-01-08", "zoned": "2023-12-31T22:00:00Z"},
        **{"clock": "10:00:00", "paid": 9.99, "nothing": nan, "odd": nan},
        "uuid": "00112233-4455-6677-8899-aabbccddeeff",
    }
    row = found.iloc[[7]].reset_index(drop=True)
    pd.testing.assert_frame_equal(row, pd.DataFrame([expected]), check_dtype=False)
    assert list(found["exact"]) == [k / 10 for k in range(3000)]


def test_the_password_may_be_where_libpq_looks(
    server: str, monkeypatch: pytest.MonkeyPatch, normal_rows: Read
) -> None:
    password = urlsplit(server).password or ""
    monkeypatch.setenv("PGPASSWORD", password)
    bare = server.replace(f":{password}", "")
    found = normal_rows(open_rows(bare, query="select count(*) as n from loans"))
    assert list(found["n"]) == [3000.0]


POSTGRESQL_BAD = {
    "no column": ("select incme from loans", r'column "incme" does not exist'),
    "syntax": ("selct 1", r"the query cannot be run: .*syntax error"),
    "delete": ("delete from loans returning id", r"syntax error"),
    "function that writes": ("select nextval('counter') as x", r"read-only transaction"),
    "function that writes, unlocked": (
        "select set_config('transaction_read_only', 'off', true) as x, nextval('counter') as y",
        r"read-write mode|read-only transaction",
    ),
    "two": ("select 1 as x; delete from loans", r"syntax error"),
    "fails late": ("select 1 / (id - 2500) as x from loans", r"division by zero"),
    "nested": ("select list from loans", r'"list" is of the type list'),
}


@pytest.mark.parametrize("name", POSTGRESQL_BAD)
def test_postgresql_refuses(url: str, name: str) -> None:
    query, message = POSTGRESQL_BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        collect(open_rows(f"{url} {query}"))
    assert "\n" not in str(caught.value)


def test_passwords_are_in_no_message(
    url: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = urlsplit(server).password or ""
    for written in (
        server,
        server.replace(f":{password}", "") + f"?password={password}",
        server.replace("@", "/@?@"),
    ):
        with pytest.raises(InputError, match="holds a password, and the plan is shown") as caught:
            open_rows(f"{written} select 1")
        assert password not in str(caught.value)
    with pytest.raises(InputError, match="the environment variable NOT_THERE is not set"):
        open_rows(url.replace("BANK_PASSWORD", "NOT_THERE") + " select 1")
    monkeypatch.setenv("BANK_PASSWORD", "letme in/123")
    with pytest.raises(InputError, match="authentication failed") as caught:
        open_rows(f"{url} select 1")
    # Whatever the server says back, and in whatever encoding.
    port = f":{urlsplit(server).port}/"
    for broken in (url.replace(port, ":1/"), url.replace("127.0.0.1", "${BANK_PASSWORD}")):
        with pytest.raises(InputError) as broke:
            open_rows(f"{broken} select 1")
        for said in (str(caught.value), str(broke.value)):
            assert "letme" not in said
