"""csv files: types of whole columns, the words of pandas, and nothing skipped."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given, settings

from hitl_audit.errors import InputError
from hitl_audit.rows import collect, open_rows

Read = Callable[..., pd.DataFrame]

# What stands in a column, and what it is: as pandas has it.
COLUMNS: dict[str, tuple[list[str], str]] = {
    "integers": (["1", "-20", "+3"], "int64"),
    "integers with a gap": (["1", "", "3"], "float64"),
    "leading zeros": (["007", "010"], "int64"),
    "the largest": (["9223372036854775807", "-1"], "int64"),
    "numbers": (["1", "2.5", "1e3", "-.5", "5."], "float64"),
    "infinite": (["1.5", "inf", "-inf"], "float64"),
    "words for missing": (["NA", "null", "NaN", "n/a", "1"], "float64"),
    "nothing": (["", "NA", ""], "float64"),
    "booleans": (["True", "false", "TRUE"], "bool"),
    "booleans and numbers": (["True", "1"], "str"),
    "underscores": (["1_000", "2"], "str"),
    "dates": (["2024-01-02", "2024-03-04"], "str"),
    "text": (["a", "", "NA", " b"], "str"),
    "quotes": (['"a, b"', '"say ""hi"""', '"two\nlines"'], "str"),
    "letters": (["née", "漢字"], "str"),
    "hexadecimal": (["0x1F", "0x20"], "str"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_what_pandas_makes_of_them(tmp_path: Path, name: str) -> None:
    values, kind = COLUMNS[name]
    text = "x,y\n" + "".join(f"{value},1\n" for value in values)
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = collect(open_rows("a.csv", folder=tmp_path))
    expected = pd.read_csv(tmp_path / "a.csv")
    assert str(expected["x"].dtype) == kind
    pd.testing.assert_frame_equal(found, expected)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False),
            st.none() | st.integers(-(2**62), 2**62),
            st.none() | st.text("ab,\"\n é'", min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_pandas_writes_is_read_as_it_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[float | None, int | None, str | None]],
) -> None:
    file: Path = tmp_path_factory.mktemp("csv") / "a.csv"
    frame = pd.DataFrame(rows, columns=["f", "i", "t"])
    frame["i"] = frame["i"].astype("Int64")
    frame.to_csv(file, index=False)
    expected = pd.read_csv(file)
    found = collect(open_rows(file))
    for name in ("f", "t"):
        pd.testing.assert_series_equal(found[name], expected[name], check_dtype=False)
    known = frame["i"].notna()
    assert list(found["i"][known].astype("float64")) == list(frame["i"][known].astype("float64"))


def test_identifiers_longer_than_64_bits_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n99999999999999999999,1\n1,2\n")
    assert list(collect(open_rows("a.csv", folder=tmp_path))["id"]) == ["99999999999999999999", "1"]


def test_what_comes_late_decides_too(tmp_path: Path, normal_rows: Read) -> None:
    rows = 30_000
    with (tmp_path / "a.csv").open("w") as file:
        file.write("late_text,late_number,first\n")
        file.writelines(f"{i},{i},{i}\n" for i in range(rows))
        file.write("x,0.5,\n")
    found = normal_rows(open_rows("a.csv", folder=tmp_path), rows_per_part=10_000)
    assert len(found) == rows + 1
    assert list(found["late_text"][[0, rows]]) == ["0", "x"]
    assert list(found["late_number"][[1, rows]]) == [1.0, 0.5]


def test_files_are_one_table_by_the_names_of_their_columns(
    tmp_path: Path, normal_rows: Read
) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbfy,x\r\nb,2.5\r\n")
    with gzip.open(tmp_path / "c.csv.gz", "wt") as file:
        file.write("x,y\n3,c\n")
    (tmp_path / "d.csv").write_text("x,y\n")
    source = open_rows("[abd].csv", folder=tmp_path)
    assert source.rows is None
    found = normal_rows(source)
    assert list(found["x"]) == [1.0, 2.5]
    assert list(found["y"]) == ["a", "b"]
    assert list(normal_rows(open_rows("c.csv.gz", folder=tmp_path))["y"]) == ["c"]


BAD: dict[str, tuple[bytes, str]] = {
    "too few": (b"x,y\n1,2\n3\n", r"a\.csv cannot be read as csv: .*Line: 3.*Found: 1"),
    "too many": (b"x,y\n1,2,3\n4,5\n", r"Line: 2.*Expected Number of Columns: 2 Found: 3"),
    "a quote without an end": (b'x,y\n1,"a\n2,b\n', r"unterminated quote"),
    "not UTF-8": ("x,y\n1,é\n".encode("latin-1"), r"utf-8"),
    "empty": (b"", r"a\.csv is empty; accepted: a header"),
    "one name twice": (b"x,x\n1,2\n", r'a\.csv has two columns called "x"'),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_and_nothing_is_skipped(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_rows("a.csv", folder=tmp_path)


def test_files_with_other_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    message = r'b\.csv lacks the column "y", which a\.csv has; accepted: files with the same'
    with pytest.raises(InputError, match=message):
        open_rows("*.csv", folder=tmp_path)
