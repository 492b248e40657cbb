"""Finished parts on disk: what is read back, what is not, and what a fault leaves there."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hitl_audit.engine import LocalEngine, PartsDone, PartStore
from hitl_audit.errors import EngineError
from tests.engine.counting import Fault, InFile, Numbers, Summing, Sums, merge, parts_of, summed

pytestmark = pytest.mark.timeout(60)

VALUES = list(range(40))
PARTS = parts_of(VALUES, [5] * 7)
TRUTH = summed(VALUES)


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    return PartStore(tmp_path / "parts")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def entries(store: PartStore) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_what_was_saved_is_read(store: PartStore) -> None:
    store.save("f", "p", b"answer")
    assert store.read("f", "p") == b"answer"
    assert store.read("f", "q") is None
    assert store.read("g", "p") is None
    assert PartStore(store.folder).read("f", "p") == b"answer"
    store.save("f", "p", b"another")
    assert store.read("f", "p") == b"another"


def test_without_a_key_nothing_is_kept(store: PartStore) -> None:
    store.save("", "p", b"answer")
    store.save("f", "", b"answer")
    assert not store.folder.exists()
    assert store.read("", "p") is None
    assert store.read("f", "") is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Sums(1, 1, (1,))))


DAMAGE = [_cut, _flip, _longer, _empty, _plain_pickle]


@pytest.mark.parametrize("damage", [*DAMAGE, _folder])
def test_a_damaged_entry_is_no_entry(store: PartStore, damage: Callable[[Path], None]) -> None:
    store.save("f", "p", b"answer")
    damage(store.path("f", "p"))
    assert store.read("f", "p") is None


def test_the_entry_of_another_part_or_function_is_no_entry(store: PartStore) -> None:
    store.save("f", "p", b"answer")
    for function, part in [("f", "q"), ("g", "p")]:
        target = store.path(function, part)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(store.path("f", "p"), target)
        assert store.read(function, part) is None


def test_an_entry_of_another_user_is_never_unpickled(
    tmp_path: Path, log: Path, store: PartStore
) -> None:
    """A pickle from elsewhere could run anything: here it would make a file."""

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "taken over",))

    theirs = PartStore(store.folder, secret=b"another user's")
    for part in PARTS:
        theirs.save("summing", part.key, pickle.dumps(Hostile()))
    result = LocalEngine().map_merge(Summing(log=log), PARTS, Sums(), merge, kept=store)
    assert result == TRUTH
    assert len(list(log.iterdir())) == len(PARTS)
    assert not (tmp_path / "taken over").exists()


def test_the_secret_is_made_once_and_for_this_user_only(store: PartStore) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "hitl-audit" / "parts.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == store.secret == PartStore("elsewhere").secret
    assert len(store.secret) == 32
    assert repr(store.secret) not in repr(store)


def test_without_a_place_for_the_secret_entries_last_as_long_as_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    store = PartStore(tmp_path / "parts")
    store.save("f", "p", b"answer")
    assert store.read("f", "p") == b"answer"
    assert PartStore(tmp_path / "parts").read("f", "p") is None


def test_clear_removes_entries_and_leftovers_and_nothing_else(store: PartStore) -> None:
    store.save("f", "p", b"answer")
    store.save("g", "p", b"answer")
    store.path("f", "p").with_name(".left-by-a-killed-run.part").write_bytes(b"half")
    mine = store.folder / "notes.txt"
    mine.write_text("mine")
    store.clear()
    assert entries(store) == [mine]
    mine.unlink()
    store.clear()
    assert not store.folder.exists()
    store.clear()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("damage", [None, *DAMAGE])
def test_an_interrupted_run_is_resumed(
    store: PartStore, log: Path, workers: int, damage: Callable[[Path], None] | None
) -> None:
    def interrupted(done: PartsDone) -> None:
        if done.done == 3:
            raise KeyboardInterrupt

    fn, engine = Summing(log=log), LocalEngine(1)
    with pytest.raises(KeyboardInterrupt):
        engine.map_merge(fn, PARTS, Sums(), merge, kept=store, progress=interrupted)
    assert len(entries(store)) == len(list(log.iterdir())) == 3
    if damage is not None:
        damage(entries(store)[0])

    told: list[PartsDone] = []
    engine = LocalEngine(workers if damage is None else 1)
    result = engine.map_merge(fn, PARTS, Sums(), merge, kept=store, progress=told.append)
    assert result == TRUTH
    again = 0 if damage is None else 1
    assert len(list(log.iterdir())) == len(PARTS) + again
    assert told[-1].done == told[-1].total == 8
    assert told[-1].kept == 3 - again
    assert told[-1].remaining == 0
    assert f"({3 - again} from before)" in str(told[-1])

    # Nothing is left to do now, and another function finds nothing of it.
    assert engine.map_merge(fn, PARTS, Sums(), merge, kept=store) == TRUTH
    assert len(list(log.iterdir())) == len(PARTS) + again
    other = Summing(log=log, key="another model")
    assert LocalEngine().map_merge(other, PARTS, Sums(), merge, kept=store) == TRUTH
    assert len(list(log.iterdir())) == 2 * len(PARTS) + again


def test_a_changed_file_is_read_again(tmp_path: Path, store: PartStore, log: Path) -> None:
    part = InFile("part 1 (numbers.txt)", tmp_path / "numbers.txt")
    part.path.write_text("1\n2\n")
    fn = Summing(log=log)
    assert LocalEngine().map_merge(fn, [part], Sums(), merge, kept=store).total == 3
    part.path.write_text("1\n2\n3\n")
    assert LocalEngine().map_merge(fn, [part], Sums(), merge, kept=store).total == 6
    assert len(list(log.iterdir())) == 2


def test_ctrl_c_in_a_terminal_leaves_a_state_to_resume_from(tmp_path: Path, log: Path) -> None:
    """The signal goes to every process of the terminal, the workers too."""
    once = tmp_path / "once"
    os.mkfifo(f"{once}.fifo")
    program = f"""
        from pathlib import Path
        from hitl_audit.engine import LocalEngine, PartStore
        from tests.engine.counting import Fault, Summing, Sums, merge
        from tests.engine.test_store import PARTS

        fault = Fault("wait to be killed", once=Path({str(once)!r}))
        LocalEngine(2).map_merge(
            Summing(fault, log=Path({str(log)!r})), PARTS, Sums(), merge,
            kept=PartStore({str(tmp_path / "parts")!r}),
        )
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    Path(f"{once}.fifo").read_text()  # a worker has come to the part that waits
    group = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    _, alive = psutil.wait_procs(group, timeout=30)
    assert not alive

    store = PartStore(tmp_path / "parts")
    done = len(list(log.iterdir()))
    assert done < len(PARTS)
    result = LocalEngine(1).map_merge(Summing(log=log), PARTS, Sums(), merge, kept=store)
    assert result == TRUTH
    # An answer may have been worked out and not kept when the signal came, one a worker.
    assert len(PARTS) <= len(list(log.iterdir())) <= len(PARTS) + 2


@dataclass(frozen=True, init=False)
class DyingStore(PartStore):
    """The process dies once, right after it has kept the answer for the part with seven."""

    def save(self, function: str, part: str, payload: bytes) -> None:
        super().save(function, part, payload)
        if part == PARTS[1].key:
            os.kill(os.getpid(), signal.SIGKILL)


def test_death_after_keeping_and_before_reporting_counts_once(tmp_path: Path, log: Path) -> None:
    store = DyingStore(tmp_path / "parts")
    result = LocalEngine(2).map_merge(Summing(log=log), PARTS, Sums(), merge, kept=store)
    assert result == TRUTH
    # Found on disk by the worker that was to do it again.
    of_seven = [path for path in log.iterdir() if path.name.startswith(PARTS[1].key)]
    assert len(of_seven) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that takes a few small files: a small file system, or else a small limit."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = (
        shutil.which("mount") is not None
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
        ).returncode
        == 0
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, before[1]))
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass(frozen=True)
class Large:
    """An answer of 40 kB."""

    key: str = "large"

    def __call__(self, part: Numbers) -> tuple[bytes, ...]:
        return (os.urandom(40_000),)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_clear_error_and_nothing_half_written(
    small_disk: Path, workers: int
) -> None:
    store = PartStore(small_disk / "parts")
    with pytest.raises(EngineError) as caught:
        LocalEngine(workers).map_merge(Large(), PARTS, (), lambda a, b: a + b, kept=store)
    message = str(caught.value)
    assert any(message.startswith(part.name) for part in PARTS)
    assert "could not be kept" in message
    assert "No space left on device" in message or "File too large" in message
    whole = [store.read("large", part.key) for part in PARTS]
    assert len(entries(store)) == sum(payload is not None for payload in whole)
    assert len(entries(store)) < len(PARTS)


def test_parts_that_crash_leave_the_others_kept(store: PartStore, log: Path) -> None:
    with pytest.raises(EngineError, match=r"^part 8 "):
        LocalEngine(2).map_merge(
            Summing(Fault("kill"), log=log),
            [*(p for p in PARTS if 7 not in p.values), PARTS[1].__class__("part 8 (7)", "x", (7,))],
            Sums(),
            merge,
            kept=store,
        )
    assert LocalEngine().map_merge(Summing(log=log), PARTS, Sums(), merge, kept=store) == TRUTH
    assert len(entries(store)) == len(PARTS)
