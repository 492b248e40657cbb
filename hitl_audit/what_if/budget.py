"""Asking a model within a time limit, whatever one call of it costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Budget"]

FloatArray = npt.NDArray[np.float64]
Ask = Callable[[FloatArray], FloatArray]

_SAFETY = 1.5
_GROWTH = 8  # a call is at most so many times as large as any before it
_MOST_ROWS = 20_000


class Budget:
    """Calls of a model that are expected to end before a deadline.

    The first call is of one row. A call of n rows is expected to take no longer
    than a smaller one of m rows times n / m (a fixed cost per call and one per row
    give less), with half of that added; a call that might not end in time is cut
    or not made. Only the very first call can overrun the limit, because nothing is
    known before it.

    Attributes:
        asked: rows asked about so far.
        ran_out: whether a call was cut or not made.
    """

    def __init__(self, ask: Ask, *, clock: Callable[[], float], seconds: float) -> None:
        self._ask, self._clock = ask, clock
        self.started = clock()
        self._deadline = self.started + seconds
        self._seen: list[tuple[int, float]] = []
        self._reserve = 0.0
        self.asked = 0
        self.ran_out = False

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self.started

    def reserve(self, seconds: float) -> None:
        """Keep this much of the time for what comes after the search."""
        self._reserve = seconds

    def remaining(self) -> float:
        """Time left before the deadline, less what is reserved."""
        return self._deadline - self._reserve - self._clock()

    def over(self, needed: float = 0.0) -> bool:
        """Whether less time than ``needed`` is left; if so, the search did not end by itself."""
        short = self.remaining() <= needed
        self.ran_out = self.ran_out or short
        return short

    def expected(self, rows: int) -> float:
        """How long a call may take, from those made; 0 before the first."""
        bounds = (took * max(1.0, rows / n) for n, took in self._seen)
        return _SAFETY * min(bounds, default=0.0)

    def __call__(self, codes: FloatArray) -> FloatArray:
        """Scores of the first k of the rows; k < n once the time does not allow more."""
        parts: list[FloatArray] = []
        done = 0
        while done < len(codes):
            size = self._affordable(len(codes) - done)
            if size == 0:
                self.ran_out = True
                break
            before = self._clock()
            parts.append(self._ask(codes[done : done + size]))
            self._note(size, self._clock() - before)
            done += size
        self.asked += done
        return np.concatenate(parts) if parts else np.empty(0)

    def _affordable(self, wanted: int) -> int:
        if not self._seen:
            return 1
        size = min(wanted, _GROWTH * max(n for n, _ in self._seen), _MOST_ROWS)
        left = self.remaining()
        while size and self.expected(size) > left:
            size //= 2
        return size if left > 0 else 0

    def _note(self, rows: int, took: float) -> None:
        # Of calls of the same size the slowest counts.
        for k, (n, seen) in enumerate(self._seen):
            if n == rows:
                self._seen[k] = (n, max(seen, took))
                return
        self._seen.append((rows, took))
