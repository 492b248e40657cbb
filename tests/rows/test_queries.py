"""Queries of DuckDB: files from the plan's folder, and nothing beyond files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.rows import collect, open_rows
from hitl_audit.rows.sql_paths import with_absolute_paths

Read = Callable[..., pd.DataFrame]

# A query, and the same with the paths from /plan.
PATHS = {
    "from": ("SELECT * FROM 'a.parquet'", "SELECT * FROM '/plan/a.parquet'"),
    "join": (
        "from 'a.parquet' a join 'b/c.csv' b using (x)",
        "from '/plan/a.parquet' a join '/plan/b/c.csv' b using (x)",
    ),
    "comma": (
        "select * from 'a.parquet' AS a, 'b.csv' where a.x in ('a.parquet', 'b.csv')",
        "select * from '/plan/a.parquet' AS a, '/plan/b.csv' where a.x in ('a.parquet', 'b.csv')",
    ),
    "function": (
        "from read_csv('a.csv', delim = '.', names = ['x.y'])",
        "from read_csv('/plan/a.csv', delim = '.', names = ['x.y'])",
    ),
    "list of an option": (
        "from read_csv(['a.csv'], names = ['x.y', 'z.w'])",
        "from read_csv(['/plan/a.csv'], names = ['x.y', 'z.w'])",
    ),
    "list": (
        "from read_parquet(['a.parquet', 'b/*.parquet'], union_by_name = true)",
        "from read_parquet(['/plan/a.parquet', '/plan/b/*.parquet'], union_by_name = true)",
    ),
    "inner query": (
        "select 'x.y', (select max(v) from 'b.csv') from (from 'a.csv')",
        "select 'x.y', (select max(v) from '/plan/b.csv') from (from '/plan/a.csv')",
    ),
    "quoted name": (
        'from "a.csv", "table of mine"',
        'from "/plan/a.csv", "table of mine"',
    ),
    "expression": (
        "select extract(year from 'a.b'), trim(both 'x.' from 'y.') from 'a.csv'",
        "select extract(year from 'a.b'), trim(both 'x.' from 'y.') from '/plan/a.csv'",
    ),
    "comment": (
        "from /* from 'x.csv' */ 'a.csv' -- join 'y.csv'",
        "from /* from 'x.csv' */ '/plan/a.csv' -- join 'y.csv'",
    ),
    "absolute": ("from '/data/a.csv'", "from '/data/a.csv'"),
    "address": ("from 's3://bank/a.parquet'", "from 's3://bank/a.parquet'"),
    "quote": ("from 'it''s.csv'", "from '/plan/it''s.csv'"),
    "union": (
        "from 'a.csv' union all select * from 'b.csv' where x = 'c.csv'",
        "from '/plan/a.csv' union all select * from '/plan/b.csv' where x = 'c.csv'",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_relative_paths_start_at_the_plan(name: str) -> None:
    query, expected = PATHS[name]
    assert with_absolute_paths(query, Path("/plan")) == expected


def test_the_files_of_the_plan_are_read_wherever_the_process_stands(
    tmp_path: Path, folder: Path, normal_rows: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"x": [1]}), folder / "a.parquet")
    pq.write_table(pa.table({"x": [2]}), tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    for query in ("from 'a.parquet'", "from read_parquet('?.parquet')"):
        assert list(normal_rows(open_rows(query, folder=folder))["x"]) == [1.0]


BAD = {
    "no SQL": ("select * frm 'a.parquet'", r"^data\.path: the query cannot be run: .*yntax"),
    "no such column": ("select incme from 'a.parquet'", r'"incme" not found'),
    "no such file": ("from 'b.parquet'", r"No files found that match .*/b\.parquet"),
    "writes": ("with a as (select 1) insert into t from a", r"statements INSERT; accepted: one"),
    "two": ("select 1 as x; drop table y", r"statements SELECT, DROP; accepted: one SELECT"),
    "the network": ("from 'https://example.org/a.parquet'", r"requires the extension httpfs"),
    "a variable": ("from secret_frame", r"secret_frame does not exist"),
    "settings": (
        "select * from query('select set_config(1)')",
        r"the query cannot be run",
    ),
    "a bad value": ("select x::int as x from (values ('a')) t(x)", r"Could not convert"),
    "one name twice": ("select 1 as x, 2 as x", r'two columns called "x"'),
    "nested": ("select [1] as x", r'"x" is of the type list'),
}


@pytest.mark.parametrize("name", BAD)
def test_refused_queries_are_one_line(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"income": [1]}), tmp_path / "a.parquet")
    secret_frame = pd.DataFrame({"x": [1]})
    query, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        collect(open_rows(query, folder=tmp_path))
    assert "\n" not in str(caught.value)
    assert len(secret_frame) == 1


def test_a_query_writes_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="COPY"):
        open_rows("from 'a.parquet'; copy (select 1) to 'b.csv'", folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("end", ["", ";", " ; ", "-- that is all", "; -- that is all"])
def test_a_query_may_end_as_it_likes(tmp_path: Path, normal_rows: Read, end: str) -> None:
    source = open_rows(f"  SELECT 1 AS x{end}", folder=tmp_path)
    assert list(normal_rows(source)["x"]) == [1.0]


def test_columns_are_chosen_by_the_database(tmp_path: Path, normal_rows: Read) -> None:
    # The other column cannot be computed; it is not asked for.
    source = open_rows("select range as x, error('computed') as y from range(3)", folder=tmp_path)
    assert list(normal_rows(source, ["x"])["x"]) == [0, 1, 2]
    with pytest.raises(InputError, match="computed"):
        normal_rows(source, ["y"])


def test_without_duckdb_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "hitl-audit\[audit\]"'):
        open_rows("select 1 as x", folder=tmp_path)
