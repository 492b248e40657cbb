"""What an engine is: one method, and the words it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from hitl_audit.engine.store import PartStore

__all__ = ["Engine", "NamedPart", "PartFunction", "PartsDone", "Progress"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class NamedPart(Protocol):
    """What an engine asks of a part of the data; everything else is the function's business.

    A part is picklable and may be worked on in any process, more than once.
    """

    @property
    def name(self) -> str:
        """The part, for people: ``part 3 (loans-07.parquet, row groups 4 to 6)``."""
        ...

    @property
    def key(self) -> str:
        """The same bytes have the same key; ``""`` where that is not known."""
        ...


class PartFunction(Protocol[T_co]):
    """A picklable function of one part.

    Attributes:
        key: digest of all that decides its answer besides the part (model, plan, code
            version); ``""`` means that answers are not kept.
    """

    @property
    def key(self) -> str:
        """What the function computes, as a digest."""
        ...

    def __call__(self, part: Any, /) -> T_co:
        """The answer for one part."""
        ...


@dataclass(frozen=True)
class PartsDone:
    """How far a pass over the parts has come.

    Attributes:
        done: parts finished, those found finished on disk included.
        kept: parts of ``done`` that were found finished on disk.
        total: all parts, or ``None`` while nobody has counted them.
        seconds: time since the pass began.
    """

    done: int
    kept: int
    total: int | None
    seconds: float

    @property
    def remaining(self) -> float | None:
        """Seconds to go at the pace so far, or ``None`` while there is no pace or no total."""
        worked = self.done - self.kept
        if self.total is None or worked <= 0:
            return 0.0 if self.done == self.total else None
        return self.seconds / worked * (self.total - self.done)

    def __str__(self) -> str:
        text = f"part {self.done}" if self.total is None else f"part {self.done} of {self.total}"
        if self.kept:
            text += f" ({self.kept} from before)"
        left = self.remaining
        return text if not left else f"{text}, about {_duration(left)} left"


Progress = Callable[[PartsDone], None]


class Engine(Protocol):
    """Where row-scale work runs."""

    def map_merge(
        self,
        fn: PartFunction[T],
        parts: Iterable[Any],
        zero: T,
        merge: Callable[[T, T], T],
        *,
        progress: Progress | None = None,
        kept: PartStore | None = None,
    ) -> T:
        """Apply ``fn`` to every part and merge the answers.

        The result does not depend on the engine, the number of workers, the order in
        which parts finish or how often one was tried again, provided that ``merge``
        is commutative, associative and exact, that ``zero`` is neutral, and that
        ``merge`` changes neither of its arguments.

        Args:
            fn: picklable; called with one part at a time, in any process.
            parts: may be lazy; only a bounded number is taken ahead of the work.
            zero: the neutral element, and the result when there are no parts.
            merge: picklable where the engine is distributed.
            progress: called here (never in a worker) after every finished part.
            kept: finished parts on disk; what is there already is not computed again.

        Raises:
            EngineError: one part cannot be finished; the message names it.
        """
        ...


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
