"""The same audit on Spark, classic and Connect: the evidence is the same to the last byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.engine import SparkEngine
from hitl_audit.evidence import Evidence
from tests.many_rows import audit_folder, fitted, people_table, run_on


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return people_table()


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    return fitted(people)


@pytest.fixture(scope="module")
def rows(model: Any, people: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = audit_folder(model, people, tmp_path_factory.mktemp("spark"))
    return str(folder / "rows" / "*.parquet")


@pytest.fixture(scope="module")
def evidence(rows: str, model: Any) -> Evidence:
    return run_on(rows, model)


@pytest.mark.parametrize("engine", ["classic", "connect"])
def test_a_spark_frame_gives_the_same_evidence(
    engine: str, rows: str, model: Any, evidence: Evidence, request: pytest.FixtureRequest
) -> None:
    where: SparkEngine = request.getfixturevalue(engine)
    found = run_on(where.session.read.parquet(rows).repartition(5), model, engine=where)
    assert found.data.digest == evidence.data.digest
    assert found.digest == evidence.digest


def test_files_are_read_by_the_executors(
    rows: str, model: Any, evidence: Evidence, classic: SparkEngine
) -> None:
    assert run_on(rows, model, engine=classic).digest == evidence.digest
