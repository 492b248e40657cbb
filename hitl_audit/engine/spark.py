"""The engine on Spark, classic or Connect: the DataFrame interface and plain Arrow only."""

from __future__ import annotations

import pickle
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from hitl_audit.engine import spark_task
from hitl_audit.engine.protocol import NamedPart, PartFunction, Progress
from hitl_audit.engine.spark_job import Watch, collected
from hitl_audit.engine.spark_shipping import Shipping, is_connect
from hitl_audit.engine.store import PartStore, unpickled
from hitl_audit.engine.tally import Tally
from hitl_audit.engine.work import Failure, described, dumped, handed_out
from hitl_audit.errors import EngineError

__all__ = ["SparkEngine"]

T = TypeVar("T")

ROWS_PER_PART = 100_000
# Partial answers that reach the driver from a DataFrame, however many partitions it has.
_TO_DRIVER = 8


class SparkEngine:
    """Runs parts as tasks of Spark.

    Parts are either an object with ``frame`` (a DataFrame of the same session) and
    ``columns``: then every partition is worked on where it is, and no row comes to this
    process; or picklable parts, which are sent out as rows, a bounded number at a time.

    Spark repeats the tasks of a worker or an executor that is lost. Only answers that
    Spark has accepted are counted, each once, whatever was repeated or run twice on
    speculation: the tasks write nothing.

    What the executors need: Python of the same version, with pyarrow, threadpoolctl, and
    whatever the function uses (for a scikit-learn model: scikit-learn, pandas). This
    package is sent to them where they are on other machines.

    Args:
        session: a ``SparkSession``, classic or Connect.
        rows_per_part: rows of a partition that are worked on at a time.
        at_once: parts sent out at a time; by default twice as many as the cluster runs.
        owned: stop the session in :meth:`close`.
        clock: seconds, for the estimate in ``progress``.
    """

    def __init__(
        self,
        session: Any,
        *,
        rows_per_part: int = ROWS_PER_PART,
        at_once: int | None = None,
        owned: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self._rows_per_part = rows_per_part
        self._at_once = at_once
        self._owned = owned
        self._clock = clock
        self._shipping = Shipping(session)

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the session if it was made for this engine."""
        if self._owned:
            self.session.stop()

    def map_merge(
        self,
        fn: PartFunction[T],
        parts: Any,
        zero: T,
        merge: Callable[[T, T], T],
        *,
        progress: Progress | None = None,
        kept: PartStore | None = None,
    ) -> T:
        """Apply ``fn`` to every part and merge the answers (see :class:`Engine`).

        Parts of a DataFrame have no key, so nothing of them is kept. ``progress`` is then
        called about once a second, and counts tasks; their number grows as Spark plans.

        Raises:
            EngineError: a part cannot be finished, Spark gave up, or ``fn`` cannot be sent.
        """
        with quiet_about_pandas(), self._shipping.shipped(fn) as function:
            if hasattr(getattr(parts, "frame", None), "mapInArrow"):
                # How many tasks there are is known when Spark has planned them.
                tally = Tally(iter(()), progress, self._clock)
                return self._of_frame(function, parts, zero, merge, tally)
            return self._of_parts(fn, function, parts, zero, merge, kept, progress)

    def _of_frame(
        self,
        function: spark_task.Shipped,
        parts: Any,
        zero: T,
        merge: Callable[[T, T], T],
        tally: Tally,
    ) -> T:
        task = spark_task.AnswerRows(function, merge, self._rows_per_part)
        chosen = parts.frame.select(*(_quoted(name) for name in parts.columns))
        answers = chosen.mapInArrow(task, spark_task.ANSWERS)
        fewer = answers.repartition(_TO_DRIVER, "name").mapInArrow(
            spark_task.MergeAnswers(merge), spark_task.ANSWERS
        )
        found = self._collect(fewer, "a partition of the DataFrame", tally.watch)
        total = zero
        for value in _values(found):
            total = merge(total, value)
        numbers = [number for answer in found for number in answer.numbers]
        _check_once(numbers, sorted(set(numbers)))
        tally.finished(len(numbers))
        return total

    def _of_parts(
        self,
        fn: PartFunction[T],
        function: spark_task.Shipped,
        parts: Iterable[NamedPart],
        zero: T,
        merge: Callable[[T, T], T],
        kept: PartStore | None,
        progress: Progress | None,
    ) -> T:
        tally = Tally(parts, progress, self._clock)
        total = zero
        source = iter(parts)
        while True:
            rows: list[tuple[int, str, str, bytes]] = []
            for part in source:
                key = handed_out(part)
                found, value = unpickled(None if kept is None else kept.read(fn.key, key))
                if found:
                    total = merge(total, value)
                    tally.count(True)
                    tally.report()
                    continue
                rows.append((len(rows), part.name, key, _sendable(part)))
                if len(rows) == self._sent_at_once:
                    break
            if not rows:
                return total
            answers = self._answers(function, rows)
            if kept is not None:
                for answer in answers:
                    if not answer.failed:
                        _keep(kept, fn.key, rows[answer.numbers[0]], answer.payload)
            for value in _values(answers):
                total = merge(total, value)
                tally.count(False)
                tally.report()

    def _answers(
        self, function: spark_task.Shipped, rows: list[tuple[int, str, str, bytes]]
    ) -> list[_Answer]:
        names = [row[1] for row in rows]
        which = names[0] if len(names) == 1 else f"one of {names[0]} … {names[-1]}"
        # Spark cuts rows from here into as many partitions as run at a time.
        frame = self.session.createDataFrame(rows, spark_task.PARTS)
        task = spark_task.AnswerParts(function)
        answers = self._collect(frame.mapInArrow(task, spark_task.ANSWERS), which)
        _check_once([answer.numbers[0] for answer in answers], list(range(len(rows))))
        return answers

    def _collect(self, frame: Any, which: str, watch: Watch | None = None) -> list[_Answer]:
        """Run the job; answers and failures in the order of the parts."""
        try:
            with quiet_about_pandas():
                rows = collected(self.session, frame, watch)
        except Exception as error:
            raise EngineError(f"{which}: Spark gave up ({_in_words(error)})") from error
        answers = [_Answer(list(row[0]), row[1], bytes(row[2]), row[3]) for row in rows]
        return sorted(answers, key=lambda answer: answer.numbers)

    @cached_property
    def _sent_at_once(self) -> int:
        return self._at_once or 2 * self._parallelism()

    def _parallelism(self) -> int:
        """How many tasks run at a time: into so many partitions Spark cuts a range."""
        if not is_connect(self.session):
            return int(self.session.sparkContext.defaultParallelism)
        cuts = self.session.range(1 << 14).selectExpr("spark_partition_id() AS cut")
        return int(cuts.selectExpr("max(cut)").collect()[0][0]) + 1


@dataclass(frozen=True)
class _Answer:
    numbers: list[int]
    name: str
    payload: bytes
    failed: bool


def _values(answers: list[_Answer]) -> Iterator[Any]:
    """Unpickle the answers, one at a time; the first failure is raised before any.

    Raises:
        EngineError: a part has no answer.
    """
    for answer in answers:
        if answer.failed:
            failure: Failure = pickle.loads(answer.payload)  # noqa: S301 - from our own task
            failure.raise_for(answer.name)
    for answer in answers:
        yield pickle.loads(answer.payload)  # noqa: S301 - from our own task


@contextmanager
def quiet_about_pandas() -> Iterator[None]:
    """PySpark 4.3 warns that it does not know pandas 3; nothing here goes through pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        yield


def _sendable(part: NamedPart) -> bytes:
    try:
        return dumped(part)
    except Exception as error:
        Failure(f"it cannot be sent to Spark ({described(error)})").raise_for(part.name, error)


def _keep(kept: PartStore, function: str, row: tuple[int, str, str, bytes], payload: bytes) -> None:
    try:
        kept.save(function, row[2], payload)
    except EngineError as error:
        Failure(str(error)).raise_for(row[1], error)


def _check_once(found: list[int], expected: list[int]) -> None:
    """Spark counts every task once. If it ever did not, the numbers would be wrong."""
    if sorted(found) != expected:
        raise EngineError(
            f"Spark returned answers of the parts {sorted(found)}; expected each of {expected} once"
        )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _in_words(error: BaseException) -> str:
    """What Spark says, and what Python said in the task; without the pages of stack traces."""
    lines = [line.strip() for line in described(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    python = [line for line in lines[1:] if re.match(r"[\w.]*(Error|Exception)\b.*: ", line)]
    return f"{said} {python[0]}"[:500] if python else said[:500]
