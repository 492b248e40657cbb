"""The engine on this machine: in this process, or in worker processes (joblib's loky)."""

from __future__ import annotations

import pickle
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hitl_audit.engine.pool import Pool
from hitl_audit.engine.protocol import NamedPart, PartFunction, Progress
from hitl_audit.engine.store import PartStore, unpickled
from hitl_audit.engine.tally import Tally
from hitl_audit.engine.work import (
    TRIES,
    Failure,
    UnansweredError,
    answer,
    described,
    dumped,
    handed_out,
    pickled,
)
from hitl_audit.errors import EngineError, InputError

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["LocalEngine"]

T = TypeVar("T")


class LocalEngine:
    """Runs parts in this process, or in worker processes.

    A worker that dies (killed, out of memory, crashed by the model) costs the parts
    that were under way, and only those are run again: first together, then one at a
    time, so that a part that always crashes is found alone and named. Arithmetic
    libraries get one thread each; the workers are the parallelism.

    Args:
        workers: processes; 1 means this process, where a crash of the model is a crash
            of the audit.
        clock: seconds, for the estimate in ``progress``.

    Raises:
        InputError: ``workers`` is not a whole number of at least 1.
    """

    def __init__(self, workers: int = 1, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise InputError(f"workers: got {workers!r}, expected a whole number of at least 1")
        self.workers = workers
        self._clock = clock

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held between passes; here because a distributed engine has it."""

    def map_merge(
        self,
        fn: PartFunction[T],
        parts: Iterable[NamedPart],
        zero: T,
        merge: Callable[[T, T], T],
        *,
        progress: Progress | None = None,
        kept: PartStore | None = None,
    ) -> T:
        """Apply ``fn`` to every part and merge the answers (see :class:`Engine`).

        Raises:
            EngineError: a part cannot be finished, or ``fn`` cannot be sent to workers.
        """
        tally = Tally(parts, progress, self._clock)
        answers = (
            _here(fn, parts, tally, kept)
            if self.workers == 1
            else _in_workers(fn, parts, tally, kept, self.workers)
        )
        total = zero
        with closing(answers):  # whatever happens here, no worker is left behind
            for value in answers:
                total = merge(total, value)
                tally.report()
        return total


def _here(
    fn: PartFunction[T], parts: Iterable[NamedPart], tally: Tally, kept: PartStore | None
) -> Generator[T, None, None]:
    for part in parts:
        key = handed_out(part)
        found, value = _kept_answer(fn, key, kept)
        if not found:
            try:
                value = answer(fn, part, key)
                if kept is not None and fn.key and key:
                    kept.save(fn.key, key, pickled(value))
            except UnansweredError as error:
                error.failure.raise_for(part.name, error.__cause__)
            except EngineError as error:
                Failure(str(error)).raise_for(part.name, error)
        tally.count(found)
        yield value


@dataclass
class _Task:
    """A part that is under way in a worker."""

    name: str
    key: str
    part: bytes
    losses: int = 0


def _in_workers(
    fn: PartFunction[T],
    parts: Iterable[NamedPart],
    tally: Tally,
    kept: PartStore | None,
    workers: int,
) -> Generator[T, None, None]:
    again: deque[_Task] = deque()  # lost with a worker
    running: dict[Future[bytes | Failure], _Task] = {}
    source = iter(parts)
    with Pool(fn, workers, kept) as pool:
        while True:
            # Enough that no worker waits for this process; no more, because parts may
            # hold rows, and everything under way is lost with a worker.
            while len(running) < 2 * workers:
                if again:
                    # Lost twice: run alone, so that if a worker dies again it is known why.
                    alone = again[0].losses >= TRIES - 1
                    if alone and running:
                        break
                    task = again.popleft()
                else:
                    part = next(source, None)
                    if part is None:
                        break
                    alone, key = False, handed_out(part)
                    found, value = _kept_answer(fn, key, kept)
                    if found:
                        tally.count(True)
                        yield value
                        continue
                    task = _Task(part.name, key, _sendable(part))
                if not pool.start(task.part, task.key, task, running):
                    again.appendleft(task)
                    break
                if alone:
                    break
            if not running:
                return
            answers, lost, reason = pool.wait(running)
            for task, payload in answers:
                if isinstance(payload, Failure):
                    payload.raise_for(task.name)
                tally.count(False)
                yield pickle.loads(payload)  # noqa: S301 - from our own worker
            for task in lost:
                task.losses += 1
                if task.losses >= TRIES:
                    _given_up(task, reason)
            # In the order of losses, so that those to run alone come last.
            again = deque(sorted([*again, *lost], key=lambda task: task.losses))


def _kept_answer(fn: PartFunction[T], key: str, kept: PartStore | None) -> tuple[bool, Any]:
    return unpickled(None if kept is None else kept.read(fn.key, key))


def _sendable(part: NamedPart) -> bytes:
    try:
        return dumped(part)
    except Exception as error:
        Failure(
            f"it cannot be sent to a worker process ({described(error)}); use one worker"
        ).raise_for(part.name, error)


def _given_up(task: _Task, reason: BaseException | None) -> None:
    codes = re.search(r"exit codes of the workers are \{([^}]*)\}", str(reason))
    how = f" ({codes[1]})" if codes else ""
    Failure(
        f"the worker process ended without an answer{how}, {TRIES} times in a row, the last "
        "time with nothing else running; the model or the data crash Python, or memory runs out"
    ).raise_for(task.name, reason)
