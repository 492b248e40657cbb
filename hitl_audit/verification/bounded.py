"""Work that ends: a hostile file must not hold its reader up.

Python has no way to stop a function from outside but an exception in its
thread. What runs here is Python all the way (the PDF reader, the certificate
library); the few calls into C are bounded by the sizes that they are given.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TimeLimitError", "within"]

T = TypeVar("T")
_GRACE = 0.2  # seconds between two attempts to stop the work
_ATTEMPTS = 50
_LOOK = 0.02  # seconds between two looks at the clock
_SLOW_MACHINE = 10


class TimeLimitError(Exception):
    """The work took longer than allowed and was stopped."""


class _Stop(BaseException):
    """Raised inside the work; passes every ``except Exception``."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread and return what it returns.

    Args:
        seconds: how long it may take: of the processor's time, where the system
            tells, so that a busy machine calls no document endless; at most ten
            times as long by the clock.
        work: what to do; must not rely on being in the main thread.

    Raises:
        TimeLimitError: it took longer.
        BaseException: whatever the work raised.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="bounded work", daemon=True)
    thread.start()
    started = time.monotonic()
    used = _clock_of(thread, started)
    while thread.is_alive():
        thread.join(_LOOK)
        waited = time.monotonic() - started
        if thread.is_alive() and (used() > seconds or waited > seconds * _SLOW_MACHINE):
            _stop(thread)
            raise TimeLimitError(f"stopped after {seconds:g} seconds")
    if errors:
        raise errors[0]
    return answers[0]


def _clock_of(thread: threading.Thread, started: float) -> Callable[[], float]:
    """Seconds of the processor that a thread has used (or, elsewhere, by the clock)."""
    try:
        clock = time.pthread_getcpuclockid(thread.ident or 0)
        time.clock_gettime(clock)
    except (AttributeError, OSError):
        return lambda: time.monotonic() - started

    def used() -> float:
        try:
            return time.clock_gettime(clock)
        except OSError:  # it has ended
            return 0.0

    return used


def _stop(thread: threading.Thread) -> None:
    for _ in range(_ATTEMPTS):
        # A library may swallow the first: it is raised until the thread has ended.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop)
        )
        thread.join(_GRACE)
        if not thread.is_alive():
            return
