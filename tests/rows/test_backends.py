"""The same rows mean the same, whatever holds them."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hitl_audit.rows import RowSource, open_rows

Read = Callable[..., pd.DataFrame]


class _Stream:
    """An object that speaks Arrow's C stream and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.to_reader(300).__arrow_c_stream__(requested_schema)


def _pandas(table: pa.Table, folder: Path) -> Any:
    return table.to_pandas()


def _pandas_numpy_objects(table: pa.Table, folder: Path) -> Any:
    """As an older pandas, or hands, would have it: objects for whatever has no type there."""
    return pd.DataFrame(
        {name: table.column(name).to_numpy().astype(object) for name in table.column_names}
        # Of these, NumPy's objects would have lost the zone and the missing categories.
        | {"zoned": table.column("zoned").to_pandas()}
        | {name: table.column(name).to_pandas().astype(object) for name in ("category", "codes")}
    )


def _pandas_of_arrow(table: pa.Table, folder: Path) -> Any:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _polars(table: pa.Table, folder: Path) -> Any:
    return pl.from_arrow(table)


def _polars_lazy(table: pa.Table, folder: Path) -> Any:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


def _polars_scan(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "scanned.parquet")
    return pl.scan_parquet(folder / "scanned.parquet", glob=False)


def _relation(table: pa.Table, folder: Path) -> Any:
    return duckdb.connect().from_arrow(table)


def _narwhals(table: pa.Table, folder: Path) -> Any:
    return nw.from_native(table.to_pandas())


def _narwhals_lazy(table: pa.Table, folder: Path) -> Any:
    return nw.from_native(_polars_lazy(table, folder))


def _reader(table: pa.Table, folder: Path) -> Any:
    return table.to_reader(300)


def _parquet(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "one.parquet", row_group_size=400)
    return "one.parquet"


def _parquet_of_pandas(table: pa.Table, folder: Path) -> Any:
    frame = table.to_pandas()
    frame.index += 7  # kept in the file, and no column
    frame.to_parquet(folder / "pandas.parquet")
    return "pandas.parquet"


def _parquet_of_polars(table: pa.Table, folder: Path) -> Any:
    _polars(table, folder).write_parquet(folder / "polars.parquet")
    return folder / "polars.parquet"


def _glob(table: pa.Table, folder: Path) -> Any:
    for number, start in enumerate(range(0, table.num_rows, 900)):
        pq.write_table(table.slice(start, 900), folder / f"rows-{number}.parquet")
    pq.write_table(table.slice(0, 0), folder / "rows-empty.parquet")
    return "rows-*.parquet"


def _spark_folder(table: pa.Table, folder: Path) -> Any:
    (folder / "written.parquet").mkdir()
    for number, start in enumerate(range(0, table.num_rows, 900)):
        file = folder / "written.parquet" / f"part-{number:05}.snappy.parquet"
        pq.write_table(table.slice(start, 900), file)
    (folder / "written.parquet" / "_SUCCESS").touch()
    return "written.parquet"


def _query(table: pa.Table, folder: Path) -> Any:
    pq.write_table(table, folder / "queried.parquet")
    return "SELECT * FROM 'queried.parquet' ORDER BY whole -- all of them"


def _query_of_glob(table: pa.Table, folder: Path) -> Any:
    _glob(table, folder)
    return "with r as (from read_parquet(['rows-*.parquet'])) select * from r order by whole;"


def _duckdb_file(table: pa.Table, folder: Path) -> Any:
    with duckdb.connect(str(folder / "rows.duckdb")) as con:
        con.register("given", table)
        con.execute("CREATE TABLE held AS FROM given")
    return "duckdb:///rows.duckdb SELECT * FROM held ORDER BY whole"


SOURCES: list[Callable[[pa.Table, Path], Any]] = [
    *(_pandas, _pandas_numpy_objects, _pandas_of_arrow, _polars, _polars_lazy, _polars_scan),
    *(_relation, _narwhals, _narwhals_lazy, _reader, _parquet, _parquet_of_pandas),
    *(_parquet_of_polars, _glob, _spark_folder, _query, _query_of_glob, _duckdb_file),
    lambda table, folder: table,
    lambda table, folder: table.combine_chunks().to_batches()[0],
    lambda table, folder: _Stream(table),
]


@pytest.mark.parametrize("made", SOURCES, ids=lambda f: f.__name__.strip("_<>"))
def test_one_meaning_of_nasty_rows(
    made: Callable[[pa.Table, Path], Any],
    nasty: pa.Table,
    normal: pd.DataFrame,
    folder: Path,
    normal_rows: Read,
) -> None:
    source = open_rows(made(nasty, folder), folder=folder)
    assert isinstance(source, RowSource)
    assert set(source.columns) == set(nasty.column_names)
    assert source.rows in (None, nasty.num_rows)
    found = normal_rows(source, list(normal.columns))
    pd.testing.assert_frame_equal(found, normal)


# What csv and SQLite have no types for is left out, or is what it reads as there.
PLAIN = [
    *("whole", "small_with_nulls", "float32", "decimal", "yes", "yes_with_nulls", "category"),
    *("codes", "wide_text", "date", "nothing", 'a "quoted.name"'),
]


@pytest.mark.parametrize("files", [1, 3])
def test_csv_files_mean_the_same(
    files: int, nasty: pa.Table, normal: pd.DataFrame, folder: Path, normal_rows: Read
) -> None:
    frame = nasty.select(PLAIN).to_pandas()
    # As text, floats of 32 bits are other numbers than those they are.
    frame["float32"] = frame["float32"].astype("float64")
    size = -(-len(frame) // files)
    for number in range(files):
        part = frame.iloc[number * size : (number + 1) * size]
        part.to_csv(folder / f"rows-{number}.csv", index=False)
    source = open_rows("rows-*.csv", folder=folder)
    assert source.columns == tuple(PLAIN)
    pd.testing.assert_frame_equal(normal_rows(source), normal[PLAIN])


def test_a_sqlite_database_means_the_same(
    nasty: pa.Table, normal: pd.DataFrame, folder: Path, normal_rows: Read
) -> None:
    frame = nasty.select(PLAIN).to_pandas()
    frame["decimal"] = frame["decimal"].astype("float64")
    frame["codes"] = frame["codes"].astype("float64")  # or pandas writes them as text
    with sqlite3.connect(folder / "rows.db") as db:
        frame.to_sql("held", db, index=False)
    db.close()
    source = open_rows("sqlite:///rows.db SELECT * FROM held ORDER BY whole", folder=folder)
    assert source.rows == len(frame)
    expected = normal[PLAIN].copy()
    for name in ("yes", "yes_with_nulls"):  # SQLite has no booleans, only 0 and 1
        expected[name] = expected[name].astype("float64")
    pd.testing.assert_frame_equal(normal_rows(source), expected)


@pytest.mark.parametrize("gives", ["frame", "lazy", "path", "query", "value"])
def test_a_function_gives_any_of_these(
    gives: str, nasty: pa.Table, folder: Path, normal: pd.DataFrame, normal_rows: Read
) -> None:
    pq.write_table(nasty, folder / "f.parquet")
    (folder / "functions_of_rows.py").write_text(
        "from pathlib import Path\nimport pandas as pd\nimport polars as pl\n"
        "FILE = Path(__file__).parent / 'f.parquet'\n"
        "def frame():\n    return pd.read_parquet(FILE)\n"
        "def lazy():\n    return pl.scan_parquet(FILE, glob=False)\n"
        "def path():\n    return FILE\n"
        "def query():\n    return \"FROM 'f.parquet'\"\n"
        "value = frame()\n"
    )
    sys.modules.pop("functions_of_rows", None)
    source = open_rows(f"functions_of_rows:{gives}", folder=folder)
    pd.testing.assert_frame_equal(normal_rows(source), normal)
