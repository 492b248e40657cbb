"""What a worker process of the local engine runs."""

from __future__ import annotations

import pickle
import signal
from functools import lru_cache
from pathlib import Path
from typing import Any

from hitl_audit.engine.protocol import PartFunction
from hitl_audit.engine.store import PartStore
from hitl_audit.engine.work import TRIES, Failure, described, payload_of
from hitl_audit.errors import EngineError

__all__ = ["prepare", "work"]


def prepare() -> None:
    """Leave Ctrl-C to the process that asked for the work: it ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(
    function: str, part: bytes, key: str, kept: PartStore | None, tries: int = TRIES
) -> bytes | Failure:
    """The pickled answer of a function for one part.

    Args:
        function: path of the pickled function; it is read once per process.
        part: pickled.
        key: the part's key when it was handed out.
        kept: where the answer is also kept. It is looked up first: a worker may have
            died after keeping its answer and before it could report.
    """
    try:
        fn = _function(function)
    except Exception as error:
        return Failure(f"the model could not be read in a worker process ({described(error)})")
    payload = None if kept is None else kept.read(fn.key, key)
    if payload is not None:
        return payload
    done = payload_of(fn, part, key, tries)
    if kept is not None and isinstance(done, bytes):
        try:
            kept.save(fn.key, key, done)
        except EngineError as error:
            return Failure(str(error))
    return done


@lru_cache(maxsize=1)
def _function(path: str) -> PartFunction[Any]:
    fn: PartFunction[Any] = pickle.loads(Path(path).read_bytes())  # noqa: S301 - from our parent
    return fn
