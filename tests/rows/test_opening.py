"""What is not a table is refused in words; what is one by pandas stays pandas' own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest

from hitl_audit.errors import InputError
from hitl_audit.loading import read_data
from hitl_audit.rows import open_rows

Read = Callable[..., pd.DataFrame]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"income": [1, 2, 3], "race": ["a", "b", None]})
    frame.to_parquet(tmp_path / "loans.parquet")
    frame.to_csv(tmp_path / "loans.csv", index=False)
    (tmp_path / "broken.parquet").write_bytes(b"no")
    (tmp_path / "letter.docx").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "hive" / "race=a").mkdir(parents=True)
    frame.to_parquet(tmp_path / "hive" / "race=a" / "x.parquet")
    (tmp_path / "module_of_rows.py").write_text("def number():\n    return 3\n")
    sys.modules.pop("module_of_rows", None)
    return tmp_path


BAD: dict[str, tuple[Any, str]] = {
    "nearly": ("loans.parqet.parquet", r'there is no such file; did you mean "loans.parquet"\?'),
    "nowhere": ("x/zzz.csv", r"there is no such file; expected \.parquet, \.csv or package"),
    "format": ("letter.docx", r'"letter\.docx"; expected \.parquet, \.csv'),
    "no format": ("loans", r'"loans"; expected \.parquet, \.csv'),
    "no match": ("loans-*.parquet", r'"loans-\*\.parquet", which no file in .* matches'),
    "match of two": ("loans.*", r"which matches files of \.csv, \.parquet"),
    "not parquet": ("broken.parquet", r"broken\.parquet cannot be read as parquet"),
    "empty folder": ("empty", r"a folder without parquet files"),
    "keyed folder": ("hive", r"folders are values \(race=a\); accepted: the query FROM read_parq"),
    "address": ("s3://bank/loans.parquet", r"of addresses, only postgresql, sqlite, duckdb"),
    "function": ("module_of_rows:number", r"which gave a int; expected a DataFrame or another"),
    "no function": ("module_of_rows:numbr", r'has no "numbr"; did you mean "number"'),
    "no module": ("no_such:rows", r"No module named 'no_such'"),
    "number": (3, r"^data\.path is a int; expected a DataFrame or another table"),
    "array": (np.zeros((2, 2)), r"^data\.path is a ndarray; expected a DataFrame"),
    "series": (pl.Series("x", [1]), r"data\.path: a Series"),
    "no columns": (pd.DataFrame(index=[1, 2]), r"data\.path has no columns"),
    "one name twice": (
        pd.DataFrame([[1, 2]], columns=["x", "x"]),
        r'data\.path has two columns called "x"',
    ),
    "kinds in one column": (
        pd.DataFrame({"ok": [1, 2], "x": [1, "a"]}),
        r'the column "x" has values of the types int, str; accepted: one kind',
    ),
    "complex": (pd.DataFrame({"x": [1j]}), r'"x" has values of the types complex128'),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(files: Path, name: str) -> None:
    source, message = BAD[name]
    with pytest.raises(InputError, match=message):
        open_rows(source, folder=files)


def test_columns_are_checked_before_anything_is_read(files: Path) -> None:
    frame = pd.DataFrame({"income": [1], "tags": [[1, 2]], "age": pd.to_timedelta([1], unit="s")})
    for source in (open_rows(frame), open_rows(pl.from_pandas(frame).lazy())):
        with pytest.raises(InputError, match='no column "incme"; did you mean "income"'):
            source.parts(["incme"])
        with pytest.raises(InputError, match='no column "zzz"; there are: income, tags, age'):
            source.parts(["zzz"])
        for nested in ("tags", "age"):
            with pytest.raises(InputError, match=f'"{nested}" is of the type'):
                source.parts(["income", nested])
        assert len(list(source.parts(["income", "income"]))) == 1


def test_the_plans_key_is_in_the_message(files: Path) -> None:
    with pytest.raises(InputError, match=r'^data\.history is "zzz\.csv"'):
        open_rows("zzz.csv", folder=files, field="data.history")


@pytest.mark.filterwarnings("ignore")  # Dask's own, of pandas and narwhals
def test_what_else_narwhals_knows(normal_rows: Read) -> None:
    frame = pd.DataFrame({"x": range(100), "y": ["a", "b"] * 50})
    source = open_rows(dd.from_pandas(frame, npartitions=3))  # type: ignore[no-untyped-call]
    found = normal_rows(source, ["x", "y"])
    assert source.rows == 100
    assert list(found["x"]) == list(range(100))
    assert list(found["y"]) == ["a", "b"] * 50


def test_one_file_is_read_whole_by_pandas_and_all_else_as_pandas_would(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "more_functions_of_rows.py").write_text(
        "import pandas as pd\nimport polars as pl\n"
        "def lazy():\n    return pl.scan_parquet(__file__.rpartition('/')[0] + '/loans.parquet')\n"
        "def path():\n    return 'loans.parquet'\n"
    )
    sys.modules.pop("more_functions_of_rows", None)
    expected = pd.read_parquet(files / "loans.parquet")
    for path in (
        *("loans.parquet", "loans.csv", "loan?.parquet", "loan?.csv", "SELECT * FROM 'loans.csv'"),
        *("from 'loans.parquet'", "more_functions_of_rows:lazy", "more_functions_of_rows:path"),
    ):
        pd.testing.assert_frame_equal(read_data(path, folder=files), expected)
    with pytest.raises(InputError, match=r"^data\.train: broken\.parquet cannot"):
        read_data("broke?.parquet", folder=files, field="data.train")


def test_a_glob_is_in_the_order_of_the_names_of_its_files(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        frame = pd.DataFrame({"x": [number]})
        (tmp_path / "deep" / str(number)).mkdir(parents=True)
        frame.to_parquet(tmp_path / "deep" / str(number) / "rows.parquet")
    assert list(read_data("deep/**/*.parquet", folder=tmp_path)["x"]) == [0, 1, 2]
