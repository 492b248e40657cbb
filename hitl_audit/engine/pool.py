"""Worker processes that may die."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hitl_audit.engine.protocol import PartFunction
from hitl_audit.engine.store import PartStore
from hitl_audit.engine.work import Failure, described, dumped
from hitl_audit.engine.worker import prepare, work
from hitl_audit.errors import EngineError

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Pool"]

Task = TypeVar("Task")

# Read by the libraries when a worker starts; threadpoolctl sees to those that do not.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)


class Pool:
    """Worker processes for one function; new ones are started when one has died.

    Leaving the ``with`` block ends them at once, busy or not.

    Args:
        fn: written to a file of this user's, and read from it once by every worker.
        workers: how many.
        kept: where workers keep their answers.
    """

    def __init__(self, fn: PartFunction[Any], workers: int, kept: PartStore | None) -> None:
        self._fn = fn
        self._workers = workers
        self._kept = kept
        self._executor: Any = None

    def __enter__(self) -> Pool:
        try:
            data = dumped(self._fn)
        except Exception as error:
            raise EngineError(
                f"the model cannot be sent to worker processes ({described(error)}); use one worker"
            ) from error
        # mkdtemp: for this user only, since what is in it is unpickled.
        self._folder = Path(tempfile.mkdtemp(prefix="hitl-audit-"))
        self._function = self._folder / "function.pkl"
        try:
            self._function.write_bytes(data)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EngineError(
                f"the model could not be written to {self._function} for the worker processes "
                f"({error.strerror or error})"
            ) from error
        # loky says this when a worker has grown by 300 MB and is replaced, which is
        # what it should do.
        self._quiet = warnings.catch_warnings()
        self._quiet.__enter__()
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        return self

    def __exit__(self, *exc: object) -> None:
        self._quiet.__exit__(None, None, None)
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(
        self,
        part: bytes,
        key: str,
        task: Task,
        running: dict[Future[bytes | Failure], Task],
    ) -> bool:
        """Hand a part to the workers and note the task in ``running``.

        Returns:
            ``False`` if the pool has just broken and ``running`` is to be waited for first.
        """
        from joblib.externals.loky.process_executor import BrokenProcessPool

        try:
            future = self._submit(part, key)
        except BrokenProcessPool:
            # A worker has died since we last looked.
            if running:
                return False
            self._end()
            future = self._submit(part, key)
        running[future] = task
        return True

    def wait(
        self, running: dict[Future[bytes | Failure], Task]
    ) -> tuple[list[tuple[Task, bytes | Failure]], list[Task], BaseException | None]:
        """Wait until something has happened, and take it out of ``running``.

        Returns:
            Tasks with their answers, tasks lost with a worker, and why they were lost.
        """
        from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, wait

        from joblib.externals.loky.process_executor import BrokenProcessPool

        answers: list[tuple[Task, bytes | Failure]] = []
        lost: list[Task] = []
        reason: BaseException | None = None
        until = FIRST_COMPLETED
        while running:
            done, _ = wait(running, return_when=until)
            for future in done:
                task = running.pop(future)
                try:
                    answers.append((task, future.result()))
                except BrokenProcessPool as error:
                    lost.append(task)
                    reason = error
            if reason is None:
                break
            # One dead worker breaks the pool: all that was under way is lost, or was
            # answered just before.
            until = ALL_COMPLETED
        if reason is not None:
            self._end()
        return answers, lost, reason

    def _submit(self, part: bytes, key: str) -> Future[bytes | Failure]:
        from joblib.externals.loky import ProcessPoolExecutor

        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._workers, initializer=prepare, env=_ONE_THREAD
            )
        future: Future[bytes | Failure] = self._executor.submit(
            work, str(self._function), part, key, self._kept
        )
        return future

    def _end(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(kill_workers=True)
