"""Counting finished parts for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from typing import Any

from hitl_audit.engine.protocol import PartsDone, Progress

__all__ = ["Tally"]


class Tally:
    """Parts finished so far.

    Args:
        parts: what is gone through; its length, if it has one, is the total.
        progress: told after every part, or ``None``.
        clock: seconds.
    """

    def __init__(
        self, parts: Iterable[Any], progress: Progress | None, clock: Callable[[], float]
    ) -> None:
        self.total = len(parts) if isinstance(parts, Sized) else None
        self.done = self.kept = 0
        self._progress = progress
        self._clock = clock
        self._start = clock()

    def count(self, kept: bool) -> None:
        """One more part is finished; ``kept`` if it was found finished."""
        self.done += 1
        self.kept += kept

    def report(self) -> None:
        """Tell how far it has come."""
        if self._progress is not None:
            seconds = self._clock() - self._start
            self._progress(PartsDone(self.done, self.kept, self.total, seconds))
