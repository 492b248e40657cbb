"""Spark, classic and Connect, with real executors and Python workers that really die."""

from __future__ import annotations

import os
import signal
import sys
import threading
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

pytestmark = pytest.mark.timeout(480)  # the first test also waits for the cluster to start

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


def test_parts_give_what_they_give_here(engine: SparkEngine, tmp_path: Path) -> None:
    told: list[PartsDone] = []
    store = PartStore(tmp_path / "parts")
    few = SparkEngine(engine.session, at_once=5)

    def interrupted(done: PartsDone) -> None:
        told.append(done)
        if done.done == 3:
            raise KeyboardInterrupt

    assert LocalEngine().map_merge(Summing(), PARTS, Sums(), merge) == TRUTH
    with pytest.raises(KeyboardInterrupt):
        few.map_merge(Summing(), iter(PARTS), Sums(), merge, kept=store, progress=interrupted)
    result = few.map_merge(Summing(), PARTS, Sums(), merge, kept=store, progress=told.append)
    assert result == TRUTH
    assert [done.done for done in told] == [1, 2, 3, *range(1, 9)]
    assert (told[0].total, told[-1].total) == (None, 8)
    assert told[-1].kept == 5  # all that had come back when it was interrupted
    # All is kept now: no job is needed, here or on another engine.
    assert (
        LocalEngine().map_merge(Summing(Fault("raise")), PARTS, Sums(), merge, kept=store) == TRUTH
    )
    assert few.map_merge(Summing(), [], Sums(), merge) == Sums()


def test_rows_of_a_frame_give_the_same_however_they_are_cut(engine: SparkEngine) -> None:
    """One huge partition, a few, and partitions without rows."""
    told: list[PartsDone] = []
    small = SparkEngine(engine.session, rows_per_part=7)
    one, three = frame(engine, 1), frame(engine, 3)
    for rows in (one, three):
        assert small.map_merge(SummingRows(), rows, Sums(), merge, progress=told.append) == TRUTH
    assert told[-1].done == told[-1].total
    few = Frame(three.frame.where("number < 3"))
    assert engine.map_merge(SummingRows(), few, Sums(), merge) == summed([0, 1, 2])
    none = Frame(one.frame.where("number < 0"))
    assert engine.map_merge(SummingRows(), none, Sums(), merge) == Sums()


def test_what_raises_is_named(engine: SparkEngine, tmp_path: Path) -> None:
    store = PartStore(tmp_path / "parts")
    with pytest.raises(EngineError) as caught:
        engine.map_merge(Summing(Fault("raise")), PARTS[:3], Sums(), merge, kept=store)
    # What its neighbours have to say is kept all the same.
    kept = [store.read("summing", part.key) is not None for part in PARTS[:3]]
    assert kept == [True, False, True]
    assert str(caught.value) == f"{PARTS[1].name}: ValueError: seven is not a number"
    assert "counting.py" in caught.value.__notes__[0]
    small = SparkEngine(engine.session, rows_per_part=5)
    with pytest.raises(EngineError) as caught:
        small.map_merge(SummingRows(Fault("raise")), frame(engine, 2), Sums(), merge)
    where = "rows 6 to 10 of partition 1"
    assert str(caught.value) == f"{where}: ValueError: seven is not a number"


@pytest.mark.parametrize("what", ["kill", "kill the executor"])
def test_a_lost_worker_or_executor_costs_nothing(
    classic: SparkEngine, tmp_path: Path, what: str
) -> None:
    fault = Fault(what, once=tmp_path / "once")
    assert classic.map_merge(SummingRows(fault), frame(classic, 4), Sums(), merge) == TRUTH
    assert (tmp_path / "once").exists()


def test_a_lost_worker_costs_nothing_over_connect(connect: SparkEngine, tmp_path: Path) -> None:
    fault = Fault("kill", once=tmp_path / "once")
    assert connect.map_merge(Summing(fault), PARTS, Sums(), merge) == TRUTH
    assert (tmp_path / "once").exists()


def test_what_always_crashes_is_found_and_named(classic: SparkEngine, connect: SparkEngine) -> None:
    with pytest.raises(EngineError) as caught:
        classic.map_merge(Summing(Fault("kill")), PARTS[:2], Sums(), merge)
    assert str(caught.value).startswith(f"{PARTS[1].name}: the Python process ended")
    assert "exit code -9" in str(caught.value)
    small = SparkEngine(connect.session, rows_per_part=5)
    with pytest.raises(EngineError, match=r"^rows 6 to 10 of partition 1: .*exit code 13.*3 times"):
        small.map_merge(SummingRows(Fault("exit")), frame(connect, 2), Sums(), merge)


def test_ctrl_c_stops_the_job_and_the_session_goes_on(engine: SparkEngine, tmp_path: Path) -> None:
    once = tmp_path / "once"
    os.mkfifo(f"{once}.fifo")

    def interrupt() -> None:
        Path(f"{once}.fifo").read_text()  # a task has come to the part that waits
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt, daemon=True)
    presser.start()
    fn = SummingRows(Fault("wait to be killed", once=once))
    with pytest.raises(KeyboardInterrupt):
        engine.map_merge(fn, frame(engine, 2), Sums(), merge)
    presser.join()
    assert engine.map_merge(fn, frame(engine, 2), Sums(), merge) == TRUTH


@dataclass(frozen=True)
class Setting:
    """Asks a Python worker about itself."""

    key: str = "setting"

    def __call__(self, part: Any) -> tuple[Any, ...]:
        import numpy as np
        from threadpoolctl import threadpool_info

        import hitl_audit

        np.zeros((2, 2)) @ np.zeros((2, 2))
        threads = frozenset(library["num_threads"] for library in threadpool_info())
        return ((os.getpid(), sys.executable, threads, hitl_audit.__file__),)


def test_where_the_work_is_done(classic: SparkEngine, connect: SparkEngine) -> None:
    def joined(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
        return one + other

    near = classic.map_merge(Setting(), PARTS, (), joined)
    far = connect.map_merge(Setting(), PARTS, (), joined)
    for found in (near, far):
        assert len(found) == len(PARTS)
        assert os.getpid() not in {pid for pid, *_ in found}
        assert {(python, threads) for _, python, threads, _ in found} == {
            (sys.executable, frozenset({1}))
        }
    # A server may be anywhere: this package goes with the work.
    assert {file.rpartition("/hitl_audit/")[0][-4:] for *_, file in far} == {".zip"}
    assert {file.rpartition("/hitl_audit/")[0][-4:] for *_, file in near} != {".zip"}


def test_a_failing_query_is_one_error(engine: SparkEngine) -> None:
    broken = engine.session.range(5).selectExpr("raise_error('no such rows') AS number")
    with pytest.raises(
        EngineError, match=r"^a partition of the DataFrame: Spark gave up .*no such"
    ):
        engine.map_merge(SummingRows(), Frame(broken), Sums(), merge)


def test_the_session_that_runs_is_used_and_left_alone(classic: SparkEngine) -> None:
    with open_engine("local-cluster[2,1,1024]") as again:
        assert isinstance(again, SparkEngine)
        assert again.session is classic.session
    assert len(again.session.range(3).collect()) == 3
    with pytest.raises(EngineError, match=r"already runs Spark on local-cluster\[2,1,1024\]"):
        open_engine("local[2]")
