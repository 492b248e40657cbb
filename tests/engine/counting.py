"""Small parts, a function of them with an exact answer, and ways to go wrong."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hitl_audit.canonical import digest


@dataclass(frozen=True)
class Numbers:
    """A part: some whole numbers."""

    name: str
    key: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class InFile:
    """A part: the whole numbers in a file; its key follows the file."""

    name: str
    path: Path

    @property
    def key(self) -> str:
        stat = self.path.stat()
        return digest([str(self.path), stat.st_size, str(stat.st_mtime_ns)])

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(int(line) for line in self.path.read_text().split())


@dataclass(frozen=True)
class Sums:
    """What adds up exactly: how many, their sum, and the five smallest."""

    count: int = 0
    total: int = 0
    smallest: tuple[int, ...] = ()

    def merge(self, other: Sums) -> Sums:
        smallest = tuple(sorted(self.smallest + other.smallest)[:5])
        return Sums(self.count + other.count, self.total + other.total, smallest)


def summed(values: Iterable[int]) -> Sums:
    values = tuple(values)
    return Sums(len(values), sum(values), tuple(sorted(values)[:5]))


def merge(one: Sums, other: Sums) -> Sums:
    return one.merge(other)


@dataclass(frozen=True)
class Fault:
    """What happens at the part that holds the number 7, before its answer.

    Args:
        what: see :meth:`happen`.
        once: a path; the fault happens only while nothing is there.
    """

    what: str
    once: Path | None = None

    def happen(self) -> None:
        if self.once is not None:
            try:
                os.close(os.open(self.once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return
        if self.what == "raise":
            raise ValueError("seven is not a number")
        if self.what == "network":
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if self.what == "exit":
            os._exit(13)
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "kill the executor":
            import psutil

            executor = next(p for p in psutil.Process().parents() if p.name() == "java")
            assert "CoarseGrainedExecutorBackend" in " ".join(executor.cmdline())
            executor.kill()
            signal.pause()
        if self.what == "wait to be killed":
            assert self.once is not None
            with Path(f"{self.once}.fifo").open("w") as fifo:
                fifo.write(f"{os.getpid()} {os.getppid()}")
            signal.pause()
        raise AssertionError(self.what)


@dataclass(frozen=True)
class Summing:
    """Sums of one part.

    Args:
        log: a folder; a file is made there for every answer that was worked out.
        ballast: makes the function large.
    """

    fault: Fault | None = None
    log: Path | None = None
    key: str = "summing"
    ballast: Sequence[int] = field(default=(), repr=False)

    def __call__(self, part: Any) -> Sums:
        if self.fault is not None and 7 in part.values:
            self.fault.happen()
        if self.log is not None:
            name = f"{part.key.replace('/', '_')}-{os.getpid()}-{os.urandom(4).hex()}"
            (self.log / name).touch()
        return summed(part.values)


@dataclass(frozen=True)
class SummingRows:
    """The same sums, of parts that are rows with a column "number"."""

    fault: Fault | None = None
    key: str = "summing rows"

    def __call__(self, part: Any) -> Sums:
        values: list[int] = []
        for batch in part.batches(["number"]):
            values += batch.column(0).to_pylist()
        if self.fault is not None and 7 in values:
            self.fault.happen()
        return summed(values)


@dataclass(frozen=True)
class Frame:
    """Rows in Spark, as the engine takes them."""

    frame: Any
    columns: tuple[str, ...] = ("number",)


def parts_of(values: Sequence[int], sizes: Iterable[int]) -> list[Numbers]:
    """Cut values into parts of these sizes; the rest is the last part."""
    parts: list[Numbers] = []
    start = 0
    for size in [*sizes, len(values)]:
        chunk = tuple(values[start : start + size])
        start += size
        name = f"part {len(parts) + 1} (numbers {chunk[:1]})"
        parts.append(Numbers(name, digest(repr((start, chunk))), chunk))
    return parts
