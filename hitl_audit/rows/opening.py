"""From what a plan or a notebook names to a source of rows."""

from __future__ import annotations

import glob
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from hitl_audit.errors import InputError
from hitl_audit.rows.parquet import ParquetFiles
from hitl_audit.rows.part import RowSource
from hitl_audit.rows.spark import SparkParts, is_spark_frame
from hitl_audit.rows.tables import arrow_table, pandas_table, polars_table

__all__ = ["open_rows"]

ACCEPTED = (
    ".parquet, .csv or package.module:name, a glob of such files, a query "
    "(SELECT … FROM 'rows.parquet'), or the URL of a database and a query"
)
_WILD = ("*", "?", "[")


def open_rows(source: Any, *, folder: str | Path = ".", field: str = "data.path") -> RowSource:
    """Open rows without reading them."""
    if isinstance(source, str | Path):
        return _files(str(source), Path(folder), field)
    return _object(source, field)


def _object(found: Any, field: str) -> RowSource:
    import pandas as pd

    if isinstance(found, pd.DataFrame):
        return pandas_table(found, field=field)
    if is_spark_frame(found):
        return SparkParts(found, field=field)
    if isinstance(found, pa.Table | pa.RecordBatch):
        return arrow_table(found, field=field)
    if type(found).__module__.startswith("polars"):
        return polars_table(found, field=field)
    raise InputError(f"{field} is a {type(found).__name__}")


def _files(written: str, folder: Path, field: str) -> RowSource:
    path = Path(written)
    pattern = str(path if path.is_absolute() else folder / path)
    if any(sign in written for sign in _WILD) and not Path(pattern).exists():
        found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))
        paths = [one.resolve() for one in found if one.is_file()]
        if not paths:
            raise InputError(f'{field} is "{written}", which no file in {folder} matches')
    else:
        paths = [Path(pattern).resolve()]
        if not paths[0].is_file():
            beside = [p.name for p in paths[0].parent.glob("*") if p.is_file()]
            near = get_close_matches(paths[0].name, beside, n=1)
            raise InputError(
                f'{field} is "{written}": there is no such file'
                + (f'; did you mean "{near[0]}"?' if near else f"; expected {ACCEPTED}")
            )
    return ParquetFiles(paths, description=written, field=field)
