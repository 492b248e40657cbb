"""What a task of Spark runs, in a Python worker of an executor.

Plain Arrow in and out (``mapInArrow``). A failure is an answer too: a row that says
which part and why, so that Spark neither repeats it nor buries it in a Java stack trace.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hitl_audit.canonical import sha256
from hitl_audit.engine.protocol import NamedPart, PartFunction
from hitl_audit.engine.work import TRIES, Failure, described, dumped, payload_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ANSWERS", "PARTS", "AnswerParts", "AnswerRows", "MergeAnswers", "Rows", "Shipped"]

PARTS = "number bigint, name string, key string, part binary"
"""Columns of the rows that carry parts to the executors."""

ANSWERS = "numbers array<bigint>, name string, payload binary, failed boolean"
"""Columns of the rows that carry answers back: of which parts, or the failure of which one."""


@dataclass(frozen=True)
class Shipped:
    """A function on its way to the executors, which read it once per Python worker.

    Attributes:
        digest: SHA-256 of the pickled function, in hexadecimal digits.
        broadcast: of the pickled function (classic Spark), or ``None``.
        file: name of the file that was sent to the server (Spark Connect), or ``""``.
    """

    digest: str
    broadcast: Any = None
    file: str = ""

    def load(self) -> PartFunction[Any]:
        """The function.

        Raises:
            RuntimeError: what arrived is not what was sent.
        """
        if self.digest not in _FUNCTIONS:
            data = self.data()
            if sha256(data).hex() != self.digest:
                raise RuntimeError("the function arrived damaged")
            _FUNCTIONS.clear()
            _FUNCTIONS[self.digest] = pickle.loads(data)  # noqa: S301 - from our driver
        return _FUNCTIONS[self.digest]

    def data(self) -> bytes:
        """The pickled function."""
        if self.broadcast is not None:
            return bytes(self.broadcast.value)
        from pyspark import SparkFiles

        return Path(SparkFiles.get(self.file)).read_bytes()


_FUNCTIONS: dict[str, PartFunction[Any]] = {}


@dataclass(frozen=True)
class Rows:
    """Some rows of a partition of Spark, as a part.

    They have no key: what a partition holds is decided anew by every query.
    """

    name: str
    held: tuple[pa.RecordBatch, ...]
    key: str = ""

    def batches(self, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows, in these columns."""
        for batch in self.held:
            yield batch if columns is None else batch.select(list(columns))


@dataclass(frozen=True)
class AnswerParts:
    """Answers for parts that come as rows of :data:`PARTS`."""

    function: Shipped

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row of :data:`ANSWERS` for every part."""
        for batch in batches:
            for row in batch.to_pylist():
                done = _answered(self.function, row["part"], row["name"], row["key"])
                yield _answers([row["number"]], row["name"], done)


@dataclass(frozen=True)
class AnswerRows:
    """One merged answer for all rows of a partition, a bounded number of rows at a time."""

    function: Shipped
    merge: Callable[[Any, Any], Any]
    rows_per_part: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """At most one row of :data:`ANSWERS`."""
        from pyspark import TaskContext

        context = TaskContext.get()
        number = 0 if context is None else context.partitionId()
        start, merged = 0, _Merged(self.merge)
        for held in _pieces(batches, self.rows_per_part):
            stop = start + sum(batch.num_rows for batch in held)
            name = f"rows {start + 1:,} to {stop:,} of partition {number + 1}"
            done = _answered(self.function, Rows(name, held), name, "")
            if isinstance(done, Failure):
                yield _answers([number], name, done)
                return
            merged.add(done)
            start = stop
        if start:
            yield merged.row([number], f"partition {number + 1}")


@dataclass(frozen=True)
class MergeAnswers:
    """Fewer answers out of many, so that not all of them go to the driver."""

    merge: Callable[[Any, Any], Any]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """At most one row of :data:`ANSWERS` with all answers, and every failure as it is."""
        numbers: list[int] = []
        merged = _Merged(self.merge)
        for batch in batches:
            for row in batch.to_pylist():
                if row["failed"]:
                    yield _answers(row["numbers"], row["name"], _failure(row["payload"]))
                    continue
                numbers += row["numbers"]
                merged.add(row["payload"])
        if numbers:
            yield merged.row(numbers, "merged answers")


class _Merged:
    """Answers merged one by one; the first is only unpickled when a second one comes."""

    def __init__(self, merge: Callable[[Any, Any], Any]) -> None:
        self._merge = merge
        self._payload: bytes | None = None
        self._value: Any = None
        self._count = 0

    def add(self, payload: bytes) -> None:
        self._count += 1
        if self._count == 1:
            self._payload = payload
            return
        if self._payload is not None:
            self._value, self._payload = pickle.loads(self._payload), None  # noqa: S301 - from our own task
        self._value = self._merge(self._value, pickle.loads(payload))  # noqa: S301 - from our own task

    def row(self, numbers: list[int], name: str) -> pa.RecordBatch:
        if self._payload is None:
            self._payload = dumped(self._value)
        return _answers(numbers, name, self._payload)


def _answers(numbers: list[int], name: str, done: bytes | Failure) -> pa.RecordBatch:
    import pyarrow as pa

    failed = isinstance(done, Failure)
    payload = pickle.dumps(done) if isinstance(done, Failure) else done
    return pa.RecordBatch.from_arrays(
        [
            pa.array([numbers], pa.list_(pa.int64())),
            pa.array([name], pa.string()),
            pa.array([payload], pa.binary()),
            pa.array([failed], pa.bool_()),
        ],
        names=["numbers", "name", "payload", "failed"],
    )


def _failure(payload: bytes) -> Failure:
    failure: Failure = pickle.loads(payload)  # noqa: S301 - from our own task
    return failure


def _pieces(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """Cut a stream of batches into pieces of so many rows; the last may have fewer."""
    held: list[pa.RecordBatch] = []
    room = rows
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            held.append(batch.slice(start, room))
            start += held[-1].num_rows
            room -= held[-1].num_rows
            if not room:
                yield tuple(held)
                held, room = [], rows
    if held:
        yield tuple(held)


def _answered(function: Shipped, part: NamedPart | bytes, name: str, key: str) -> bytes | Failure:
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = 0 if context is None else context.attemptNumber()
    try:
        if attempt >= TRIES - 1:
            # This task died before, more than once: perhaps because of this part. Once
            # more, in a process of its own, so that if it dies it is known why.
            return _alone(function.data(), part, key)
        fn = function.load()
    except Exception as error:
        return Failure(f"the model could not be read by a worker of Spark ({described(error)})")
    return payload_of(fn, part, key)


def _alone(function: bytes, part: NamedPart | bytes, key: str) -> bytes | Failure:
    with tempfile.TemporaryDirectory(prefix="hitl-audit-") as name:
        folder = Path(name)
        (folder / "function.pkl").write_bytes(function)
        (folder / "part.pkl").write_bytes(part if isinstance(part, bytes) else dumped(part))
        done = subprocess.run(
            [sys.executable, "-m", "hitl_audit.engine.one_part", name, key],
            # The path on which this package was found here: it may have come in a zip file.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode == 0:
            answer: bytes | Failure = pickle.loads((folder / "answer.pkl").read_bytes())  # noqa: S301
            return answer
    return Failure(
        f"the Python process ended without an answer (exit code {done.returncode}), {TRIES} "
        "times in a row, the last time with nothing else running in it; the model or the data "
        "crash Python, or memory runs out",
        done.stderr.decode(errors="replace")[-2000:],
    )
