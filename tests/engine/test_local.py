"""The local engine, with real worker processes that really die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitl_audit.engine import LocalEngine, PartsDone
from hitl_audit.errors import EngineError, InputError
from tests.engine.counting import (
    Fault,
    InFile,
    Numbers,
    Summing,
    Sums,
    merge,
    parts_of,
    summed,
)

pytestmark = pytest.mark.timeout(60)

VALUES = list(range(40))
PARTS = parts_of(VALUES, [5] * 7)  # 7 is in the second of eight
TRUTH = summed(VALUES)


def workers_left() -> list[str]:
    """Worker processes that are still there (loky's bookkeeper of semaphores may stay)."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if "popen_loky" in command:
            found.append(command)
    return found


def test_no_parts_are_the_neutral_element() -> None:
    for workers in (1, 2):
        assert LocalEngine(workers).map_merge(Summing(), [], Sums(), merge) == Sums()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-(2**70), 2**70), max_size=30),
    st.lists(st.integers(0, 8), max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_result_is_the_same_for_any_cut_and_order(
    values: list[int], sizes: list[int], random: Any
) -> None:
    parts = parts_of(values, sizes)
    random.shuffle(parts)
    assert LocalEngine().map_merge(Summing(), parts, Sums(), merge) == summed(values)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(-(2**70), 2**70), max_size=30), st.lists(st.integers(0, 8), max_size=8))
def test_two_workers_say_what_one_says(values: list[int], sizes: list[int]) -> None:
    parts = parts_of(values, sizes)
    one = LocalEngine(1).map_merge(Summing(), parts, Sums(), merge)
    assert LocalEngine(2).map_merge(Summing(), parts, Sums(), merge) == one == summed(values)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lazy_source_is_taken_as_the_work_goes_on(workers: int) -> None:
    taken, ahead = 0, []

    def source() -> Iterator[Numbers]:
        nonlocal taken
        for part in PARTS * 5:
            taken += 1
            yield part

    def progress(done: PartsDone) -> None:
        ahead.append(taken - done.done)
        assert done.total is None

    result = LocalEngine(workers).map_merge(Summing(), source(), Sums(), merge, progress=progress)
    assert result.count == 5 * TRUTH.count
    assert len(ahead) == 40
    assert max(ahead) <= 2 * workers


def test_progress_counts_parts_and_estimates_the_rest() -> None:
    seconds = iter(range(100))
    told: list[PartsDone] = []
    LocalEngine(clock=lambda: next(seconds)).map_merge(
        Summing(), PARTS, Sums(), merge, progress=told.append
    )
    assert [(done.done, done.total) for done in told] == [(n, 8) for n in range(1, 9)]
    assert [done.remaining for done in told] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert str(told[1]) == "part 2 of 8, about 6 s left"
    assert str(told[7]) == "part 8 of 8"


@dataclass(frozen=True)
class Setting:
    """Asks a worker process about itself."""

    key: str = "setting"

    def __call__(self, part: Numbers) -> tuple[Any, ...]:
        import numpy as np
        from threadpoolctl import threadpool_info

        np.zeros((2, 2)) @ np.zeros((2, 2))
        threads = {library["num_threads"] for library in threadpool_info()}
        return ((os.getpid(), os.environ.get("OMP_NUM_THREADS"), frozenset(threads)),)


def test_arithmetic_has_one_thread_wherever_it_runs() -> None:
    def joined(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
        return one + other

    here = LocalEngine(1).map_merge(Setting(), PARTS[:2], (), joined)
    there = LocalEngine(2).map_merge(Setting(), PARTS, (), joined)
    assert {pid for pid, _, _ in here} == {os.getpid()}
    assert os.getpid() not in {pid for pid, _, _ in there}
    assert {threads for _, _, threads in here + there} == {frozenset({1})}
    assert {omp for _, omp, _ in there} == {"1"}


@dataclass(frozen=True)
class Tracked:
    """A function that notes every time it is unpickled."""

    log: Path
    key: str = "tracked"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        (self.log / f"{os.getpid()}-{os.urandom(4).hex()}").touch()

    def __call__(self, part: Numbers) -> Sums:
        return summed(part.values)


def test_the_function_is_read_once_by_each_worker(tmp_path: Path) -> None:
    result = LocalEngine(2).map_merge(Tracked(tmp_path), PARTS * 3, Sums(), merge)
    assert result.count == 3 * TRUTH.count
    assert 1 <= len(list(tmp_path.iterdir())) <= 2


# Faults


@pytest.mark.parametrize("workers", [1, 2])
def test_a_part_that_raises_is_named(workers: int) -> None:
    with pytest.raises(EngineError) as caught:
        LocalEngine(workers).map_merge(Summing(Fault("raise")), PARTS, Sums(), merge)
    assert str(caught.value) == (f"{PARTS[1].name}: ValueError: seven is not a number")
    assert "counting.py" in caught.value.__notes__[0]
    assert not workers_left()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_the_network_is_tried_again(workers: int, tmp_path: Path) -> None:
    passing = Summing(Fault("network", once=tmp_path / "once"))
    assert LocalEngine(workers).map_merge(passing, PARTS, Sums(), merge) == TRUTH
    with pytest.raises(EngineError, match=r"^part 2 .*: ConnectionResetError: .*reset by peer"):
        LocalEngine(workers).map_merge(Summing(Fault("network")), PARTS, Sums(), merge)


@pytest.mark.parametrize("what", ["exit", "kill"])
def test_a_part_that_crashes_once_is_run_again(what: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    fn = Summing(Fault(what, once=tmp_path / "once"), log=log)
    assert LocalEngine(2).map_merge(fn, PARTS, Sums(), merge) == TRUTH
    assert (tmp_path / "once").exists()
    # Only what was under way is worked out again: at most four parts, and seven itself
    # had not come to its answer.
    assert len(list(log.iterdir())) <= len(PARTS) + 3
    assert not workers_left()


@pytest.mark.parametrize(("what", "workers"), [("exit", 2), ("kill", 3)])
def test_a_part_that_always_crashes_is_found_and_named(what: str, workers: int) -> None:
    with pytest.raises(EngineError) as caught:
        LocalEngine(workers).map_merge(Summing(Fault(what)), PARTS, Sums(), merge)
    message = str(caught.value)
    assert message.startswith(PARTS[1].name)
    assert "3 times" in message
    assert ("SIGKILL" if what == "kill" else "13") in message
    assert not workers_left()


def test_a_worker_killed_from_outside_costs_only_what_was_under_way(tmp_path: Path) -> None:
    once, log = tmp_path / "once", tmp_path / "log"
    log.mkdir()
    os.mkfifo(f"{once}.fifo")

    def kill() -> None:
        worker = Path(f"{once}.fifo").read_text().split()[0]
        os.kill(int(worker), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    fn = Summing(Fault("wait to be killed", once=once), log=log)
    assert LocalEngine(2).map_merge(fn, PARTS, Sums(), merge) == TRUTH
    killer.join()
    assert len(list(log.iterdir())) <= len(PARTS) + 3


@pytest.mark.parametrize("workers", [1, 2])
def test_data_that_change_while_they_are_read_are_an_error(workers: int, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n")

    @dataclass(frozen=True)
    class Rewriting:
        key: str = "rewriting"

        def __call__(self, part: InFile) -> Sums:
            values = part.values
            part.path.write_text("1\n2\n3\n")
            return summed(values)

    with pytest.raises(EngineError, match=r"^part 1 \(numbers.txt\): its data changed"):
        LocalEngine(workers).map_merge(
            Rewriting(), [InFile("part 1 (numbers.txt)", path)], Sums(), merge
        )
    path.unlink()
    with pytest.raises(EngineError, match=r"^part 1 \(numbers.txt\): FileNotFoundError"):
        LocalEngine(workers).map_merge(
            Summing(), [InFile("part 1 (numbers.txt)", path)], Sums(), merge
        )


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_ends_the_workers_and_is_passed_on(workers: int) -> None:
    def interrupted(done: PartsDone) -> None:
        if done.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalEngine(workers).map_merge(Summing(), PARTS, Sums(), merge, progress=interrupted)
    assert not workers_left()


# What cannot be sent


def test_a_function_that_cannot_be_sent_is_said_before_any_work() -> None:
    holding: Callable[[], None] = threading.Lock().acquire  # type: ignore[assignment]

    @dataclass(frozen=True)
    class Holding:
        key: str = "holding"
        what: Any = holding

        def __call__(self, part: Numbers) -> Sums:
            return summed(part.values)

    assert LocalEngine(1).map_merge(Holding(), PARTS, Sums(), merge) == TRUTH
    with pytest.raises(EngineError, match="model cannot be sent to worker processes"):
        LocalEngine(2).map_merge(Holding(), PARTS, Sums(), merge)


def test_an_answer_that_cannot_be_sent_names_the_part() -> None:
    @dataclass(frozen=True)
    class Locked:
        key: str = "locked"

        def __call__(self, part: Numbers) -> Any:
            return threading.Lock()

    with pytest.raises(EngineError, match=r"^part 1 .*: its answer cannot be sent back"):
        LocalEngine(2).map_merge(Locked(), PARTS[:1], None, lambda one, other: other)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_workers_is_refused(workers: Any) -> None:
    with pytest.raises(InputError, match=r"^workers: got .*, expected a whole number"):
        LocalEngine(workers)


def test_other_users_of_the_same_pool_library_are_left_alone() -> None:
    def others() -> set[int]:
        return set(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(8)))

    before = others()
    assert LocalEngine(2).map_merge(Summing(), PARTS, Sums(), merge) == TRUTH
    assert all(psutil.pid_exists(worker) for worker in before)
    assert others()
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
