"""Working on one part, wherever that happens: in this process, a worker or a Spark task."""

from __future__ import annotations

import errno
import pickle
import sys
import traceback
from dataclasses import dataclass
from typing import Any, NoReturn

from hitl_audit.engine.protocol import NamedPart, PartFunction
from hitl_audit.errors import AuditError, EngineError

__all__ = [
    "TRIES",
    "Failure",
    "UnansweredError",
    "answer",
    "described",
    "dumped",
    "handed_out",
    "payload_of",
    "pickled",
]

TRIES = 3
"""How often a part is tried before it is given up, where another try may help."""

# The same part would meet these again at once.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@dataclass(frozen=True)
class Failure:
    """Why a part has no answer.

    Attributes:
        message: what went wrong, for people.
        trace: the traceback where it happened, or ``""``.
    """

    message: str
    trace: str = ""

    def raise_for(self, name: str, cause: BaseException | None = None) -> NoReturn:
        """Raise the error that names the part.

        Raises:
            EngineError: always.
        """
        error = EngineError(f"{name}: {self.message}")
        if self.trace:
            error.add_note(self.trace)
        raise error from cause


class UnansweredError(Exception):
    """A part has no answer; carries the failure to where the part's name is known."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def answer(fn: PartFunction[Any], part: NamedPart, key: str, tries: int = TRIES) -> Any:
    """``fn(part)``, tried again where that may help, on one arithmetic thread.

    With more threads the last bits of a score depend on how many there are, and a
    score that lies on the threshold would be counted here and not there.

    Args:
        key: the part's key when it was handed out.

    Raises:
        UnansweredError: every try failed, or the part is no longer the same.
    """
    for left in reversed(range(tries)):
        try:
            from threadpoolctl import threadpool_limits

            with threadpool_limits(limits=1):
                value = fn(part)
            changed = part.key != key
        except Exception as error:
            if left and _may_pass(error):
                continue
            raise UnansweredError(Failure(described(error), traceback.format_exc())) from error
        if changed:
            raise UnansweredError(
                Failure("its data changed while they were read; run again on data at rest")
            )
        return value
    raise AssertionError("tries is at least 1")


def handed_out(part: NamedPart) -> str:
    """The part's key, now.

    Raises:
        EngineError: its data cannot be looked at.
    """
    try:
        return part.key
    except Exception as error:
        Failure(described(error)).raise_for(part.name, error)


def payload_of(
    fn: PartFunction[Any], part: NamedPart | bytes, key: str, tries: int = TRIES
) -> bytes | Failure:
    """The pickled answer for one part, pickled or not, or why there is none; raises nothing."""
    try:
        # Bytes are from the process that asked for the work.
        held: NamedPart = pickle.loads(part) if isinstance(part, bytes) else part  # noqa: S301
        return pickled(answer(fn, held, key, tries))
    except UnansweredError as error:
        return error.failure
    except Exception as error:
        return Failure(f"it could not be read where it was sent ({described(error)})")


def pickled(value: Any) -> bytes:
    """The bytes of an answer, also where its classes are defined in a notebook.

    Raises:
        UnansweredError: it cannot be pickled.
    """
    try:
        return dumped(value)
    except Exception as error:
        raise UnansweredError(
            Failure(f"its answer cannot be sent back ({described(error)})", traceback.format_exc())
        ) from error


def dumped(value: Any) -> bytes:
    """Pickle a value; what is defined in a notebook or a script goes along by value."""
    try:
        import cloudpickle  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        # An executor of Spark has Spark's own copy.
        from pyspark import cloudpickle

    return bytes(cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))


def described(error: BaseException) -> str:
    """An error in one line; our own messages are already written for people."""
    text = str(error).strip()
    if isinstance(error, AuditError) and text:
        return text
    if isinstance(error, ModuleNotFoundError):
        # On Spark it is another Python that lacks it.
        text += f" in {sys.executable}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _may_pass(error: Exception) -> bool:
    """Could the same call succeed a moment later? (a network, a remote disk)"""
    if not isinstance(error, OSError) or isinstance(error, _LASTING):
        return False
    return error.errno not in _FULL
