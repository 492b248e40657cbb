"""Spark, classic and Connect, with real executors and Python workers that really die."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.engine import LocalEngine, PartsDone, PartStore, SparkEngine, open_engine
from hitl_audit.errors import EngineError
from tests.engine.counting import (
    Fault,
    Frame,
    Summing,
    SummingRows,
    Sums,
    merge,
    parts_of,
    summed,
)

pytestmark = pytest.mark.timeout(240)

VALUES = list(range(40))
PARTS = parts_of(VALUES, [5] * 7)
TRUTH = summed(VALUES)


@pytest.fixture(params=["classic", "connect"])
def engine(request: pytest.FixtureRequest) -> SparkEngine:
    found: SparkEngine = request.getfixturevalue(request.param)
    return found


def frame(engine: SparkEngine, partitions: int) -> Frame:
    """The values, one row each, cut anyhow."""
    return Frame(engine.session.range(0, 40, 1, partitions).selectExpr("id AS number", "id AS n2"))


def test_classic_connect_and_local_say_the_same(engine: SparkEngine) -> None:
    told: list[PartsDone] = []
    assert LocalEngine().map_merge(Summing(), PARTS, Sums(), merge) == TRUTH
    result = engine.map_merge(Summing(), iter(PARTS), Sums(), merge, progress=told.append)
    assert result == TRUTH
    assert [done.done for done in told] == list(range(1, 9))
    assert engine.map_merge(Summing(), [], Sums(), merge) == Sums()
