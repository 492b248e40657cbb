"""One job of Spark: run, watched, and stopped when nobody wants its answer any more."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager, suppress
from typing import Any

from hitl_audit.engine.spark_shipping import is_connect

__all__ = ["Watch", "collected"]

# Seconds between two looks at how far the job is.
_LOOK = 1.0

Watch = Callable[[int, int], None]
"""Told how many tasks are done and how many are known."""


def collected(session: Any, frame: Any, watch: Watch | None) -> list[Any]:
    """The rows of a DataFrame.

    The job runs in a thread of its own, so that this one can report, and can be
    interrupted: then the job is stopped on the cluster too.

    Args:
        watch: called in this thread, about once a second.

    Raises:
        Exception: whatever PySpark raises when the job fails.
    """
    tag = f"hitl-audit-{uuid.uuid4()}"

    def run() -> list[Any]:
        session.addTag(tag)
        try:
            rows: list[Any] = frame.collect()
        finally:
            session.removeTag(tag)
        return rows

    tasks: dict[int, tuple[int, int]] = {}
    with ThreadPoolExecutor(1) as thread, _heard(session, tasks):
        job = thread.submit(run)
        try:
            while True:
                with suppress(TimeoutError):
                    return job.result(timeout=_LOOK)
                if job.done():
                    return job.result()
                if watch is not None:
                    with suppress(Exception):  # the answer does not hang on it
                        _look(session, tasks)
                    watch(
                        sum(done for done, _ in tasks.values()), sum(n for _, n in tasks.values())
                    )
        except BaseException:
            if not job.done():
                session.interruptTag(tag)
            raise


@contextmanager
def _heard(session: Any, tasks: dict[int, tuple[int, int]]) -> Iterator[None]:
    """Connect tells about stages by itself, in the thread that waits for the rows."""
    if not is_connect(session):
        yield
        return

    def handler(stages: Any, **rest: Any) -> None:
        for stage in stages or ():
            tasks[stage.stage_id] = (stage.num_completed_tasks, stage.num_tasks)

    session.registerProgressHandler(handler)
    try:
        yield
    finally:
        session.removeProgressHandler(handler)


def _look(session: Any, tasks: dict[int, tuple[int, int]]) -> None:
    """Classic Spark has to be asked. (Other jobs of this session are counted along.)"""
    if is_connect(session):
        return
    tracker = session.sparkContext.statusTracker()
    active = set(tracker.getActiveStageIds())
    for number in tasks.keys() - active:
        tasks[number] = (tasks[number][1], tasks[number][1])
    for number in active:
        stage = tracker.getStageInfo(number)
        if stage is not None:
            tasks[number] = (stage.numCompletedTasks, stage.numTasks)
