"""Work that ends: a hostile file must not hold its reader up.

Python has no way to stop a function from outside but an exception in its
thread. What runs here is Python all the way (the PDF reader, the certificate
library); the few calls into C are bounded by the sizes that they are given.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TimeLimitError", "within"]

T = TypeVar("T")
_GRACE = 0.2  # seconds between two attempts to stop the work
_ATTEMPTS = 50


class TimeLimitError(Exception):
    """The work took longer than allowed and was stopped."""


class _Stop(BaseException):
    """Raised inside the work; passes every ``except Exception``."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run ``work`` in a thread and return what it returns.

    Args:
        seconds: how long it may take.
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
    thread.join(seconds)
    if thread.is_alive():
        _stop(thread)
        raise TimeLimitError(f"stopped after {seconds:g} seconds")
    if errors:
        raise errors[0]
    return answers[0]


def _stop(thread: threading.Thread) -> None:
    for _ in range(_ATTEMPTS):
        # A library may swallow the first: it is raised until the thread has ended.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop)
        )
        thread.join(_GRACE)
        if not thread.is_alive():
            return
