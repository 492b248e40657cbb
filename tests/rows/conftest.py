"""One table with everything that goes wrong, and the same rows behind every kind of source."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from hitl_audit.rows import RowSource, normal_frame

ROWS = 2_500


def _every(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array([values[i % len(values)] for i in range(ROWS)], kind)


@pytest.fixture(scope="session")
def nasty() -> pa.Table:
    """Column names say what is nasty about them."""
    return pa.table(
        {
            "whole": pa.array(range(ROWS), pa.int64()),
            "small_with_nulls": _every([1, None, -3, 120], pa.int8()),
            "float32": _every([0.1, 1e30, None, -0.0], pa.float32()),
            "nan_and_null": _every([0.5, float("nan"), None, float("inf")], pa.float64()),
            "decimal": _every([Decimal("0.70"), None, Decimal("-12345.67")], pa.decimal128(9, 2)),
            "yes": _every([True, False, True], pa.bool_()),
            "yes_with_nulls": _every([True, None, False], pa.bool_()),
            "text": _every(["white", None, "", "née", "a,b"], pa.string()),
            "category": _every(["u", "v", None], pa.string()).dictionary_encode(),
            "codes": _every([3, 1, None], pa.int32()).dictionary_encode(),
            "wide_text": _every(["x", None, "y"], pa.large_string()),
            "date": _every([date(2024, 2, 29), None, date(1969, 12, 31)], pa.date32()),
            "moment": _every(
                [datetime(2024, 2, 29), None, datetime(2024, 3, 1, 4, 5, 6, 120000)],
                pa.timestamp("us"),
            ),
            "zoned": _every(
                [datetime(2024, 2, 29, tzinfo=UTC), None], pa.timestamp("us", tz="Europe/Paris")
            ),
            "clock": _every([time(10), None, time(10, 0, 0, 500)], pa.time64("us")),
            "nothing": pa.nulls(ROWS, pa.float64()),
            'a "quoted.name"': _every([1.5, 2.5], pa.float64()),
        }
    )


@pytest.fixture(scope="session")
def normal(nasty: pa.Table) -> pd.DataFrame:
    """What the nasty table means, by the words of each column."""

    def every(values: list[Any], kind: Any = object) -> pd.Series[Any]:
        series: pd.Series[Any] = pd.Series([values[i % len(values)] for i in range(ROWS)])
        return series.astype(kind)

    nan = float("nan")
    tenth = 13421773 / 2**27  # the float32 next to 0.1
    thirtieth = 13234890 * 2.0**76  # the float32 next to 1e30
    return pd.DataFrame(
        {
            "whole": pd.Series(range(ROWS), dtype="float64"),
            "small_with_nulls": every([1, nan, -3, 120], "float64"),
            "float32": every([tenth, thirtieth, nan, -0.0], "float64"),
            "nan_and_null": every([0.5, nan, nan, float("inf")], "float64"),
            "decimal": every([0.7, nan, -12345.67], "float64"),
            "yes": every([True, False, True], "bool"),
            "yes_with_nulls": every([True, nan, False]),
            "text": every(["white", nan, "", "née", "a,b"]),
            "category": every(["u", "v", nan]),
            "codes": every([3, 1, nan], "float64"),
            "wide_text": every(["x", nan, "y"]),
            "date": every(["2024-02-29", nan, "1969-12-31"]),
            "moment": every(["2024-02-29", nan, "2024-03-01T04:05:06.12"]),
            "zoned": every(["2024-02-29T00:00:00Z", nan]),
            "clock": every(["10:00:00", nan, "10:00:00.0005"]),
            "nothing": every([nan], "float64"),
            'a "quoted.name"': every([1.5, 2.5], "float64"),
        }
    )


def read(
    source: RowSource, columns: list[str] | None = None, rows_per_part: int = 700
) -> pd.DataFrame:
    """All rows of a source as one normal frame."""
    wanted = list(source.columns) if columns is None else columns
    frames = [
        normal_frame(batch)
        for part in source.parts(wanted, rows_per_part=rows_per_part)
        for batch in part.batches()
    ]
    # pandas would take the types of the first frame for those of all.
    joined = {
        name: pd.concat([f[name].astype(object) for f in frames], ignore_index=True)
        for name in wanted
    }
    kinds = {name: "float64" if frames[0][name].dtype == "float64" else "object" for name in wanted}
    whole = pd.DataFrame(joined).astype(kinds)
    for name in wanted:
        if all(f[name].dtype == "bool" for f in frames):
            whole[name] = whole[name].astype("bool")
    return whole


@pytest.fixture
def normal_rows() -> Callable[..., pd.DataFrame]:
    return read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan's folder, whose name has signs that patterns and SQL give a meaning to."""
    made = tmp_path / "audit [1]'s, folder"
    made.mkdir()
    return made
