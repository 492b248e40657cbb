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
        self.total: int | None = len(parts) if isinstance(parts, Sized) else None
        self.done = self.kept = 0
        self._progress = progress
        self._clock = clock
        self._start = clock()

    def count(self, kept: bool) -> None:
        """One more part is finished; ``kept`` if it was found finished."""
        self.done += 1
        self.kept += kept

    def watch(self, done: int, known: int) -> None:
        """Tell how far somebody else says it has come."""
        if known and (done, known) != (self.done, self.total) and done >= self.done:
            self.done, self.total = done, known
            self.report()

    def finished(self, parts: int) -> None:
        """Tell that everything is done, in at least so many parts."""
        self.done = self.total = max(parts, self.total or 0)
        self.report()

    def report(self) -> None:
        """Tell how far it has come."""
        if self._progress is not None:
            seconds = self._clock() - self._start
            self._progress(PartsDone(self.done, self.kept, self.total, seconds))
