"""A model from a file, loaded and scored in a process of its own.

A damaged or hostile model file can take its process down: scikit-learn and
LightGBM follow the indices in a file wherever they point. Here that process is
a worker: if it crashes, hangs or runs out of memory, the audit gets one clear
error, after one more try, and has written nothing.

Where it is used. Every row that is audited is scored here first. The same bytes
are loaded in the audit's own process only after a worker loaded them, and their
trees are checked (:mod:`hitl_audit.model_structure`), because explanations read
trees themselves and ask a model hundreds of thousands of times. So: a file that
cannot be loaded or cannot score the audited rows never harms the audit. A file
built to fail on other rows only, of a kind whose structure is not checked, can
still end the audit while it explains; results are written whole or not at all.

What it is not. The worker runs as the same user with the same rights: it is a
guard against crashes, not a prison for code. Formats that carry code (joblib,
pickle) need ``trust`` and are not scored here.

What passes between the processes. Rows go to the worker as pickles, made by the
audit. What comes back is never unpickled: a short JSON header and the raw bytes
of float64 or int64 numbers, of a length that the audit knows before it reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import AuditError, InputError, MissingDependencyError

__all__ = ["ROWS_PER_TIMEOUT", "WorkerModel"]

FloatArray = npt.NDArray[np.float64]

# A time limit is for so many rows; more rows get more time.
ROWS_PER_TIMEOUT = 10_000
# Loading starts an interpreter and imports scikit-learn: seconds, on a busy machine more.
LOAD_SECONDS = 300.0
_HEADER_LIMIT = 1 << 20
_CODE = "from hitl_audit.model_worker_process import serve; serve()"


class Timer(Protocol):
    """What is used of :class:`threading.Timer`."""

    daemon: bool

    def start(self) -> None:
        """Begin to wait."""

    def cancel(self) -> None:
        """Wait no longer."""


class _WorkerEndedError(Exception):
    """The process is gone; the message says how."""


class _NoAnswerError(Exception):
    """What came back is no answer; what is left in the pipe is not known."""


class _ModelSaysError(InputError):
    """The model itself refused; its process is fine."""


class _WorkerLateError(Exception):
    """The process did not answer in time and was ended."""


class WorkerModel:
    """A model that is asked in another process; looks like the model itself.

    It has ``predict_proba``, ``predict``, ``classes_``, ``feature_names_in_`` and
    ``n_features_in_`` where the model in the file has them. The process is
    started when it is first needed, kept until :meth:`close`, and ended with the
    object or with Python. A copy (by pickling) carries the file's bytes and
    starts a process of its own.

    Args:
        content: the file's bytes.
        kind: ``"skops"``, ``"onnx"``, ``"xgboost"`` or ``"lightgbm"``.
        name: of the file, for messages.
        trusted: for skops, the types that were let through.
        timeout: seconds that 10,000 rows may take.
        timer: makes the timer that ends a late process.
    """

    def __init__(
        self,
        content: bytes,
        *,
        kind: str,
        name: str,
        trusted: Sequence[str] = (),
        timeout: float = 60.0,
        timer: Callable[[float, Callable[[], None]], Timer] = threading.Timer,
    ) -> None:
        self._content = content
        self._kind = kind
        self._name = name
        self._trusted = tuple(trusted)
        self._timeout = timeout
        self._timer = timer
        self._facts: dict[str, Any] | None = None
        self._begin()

    def _begin(self) -> None:
        self._process: _Process | None = None
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_process", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __getattr__(self, name: str) -> Any:
        # Only what is not set otherwise comes here: the facts about the model in the file.
        if name.startswith("_") or name not in (
            "classes_",
            "feature_names_in_",
            "n_features_in_",
            "predict",
            "predict_proba",
        ):
            raise AttributeError(name)
        facts = self._known()
        if name in ("predict", "predict_proba"):
            if name not in facts["methods"]:
                raise AttributeError(name)
            return self._predict if name == "predict" else self._predict_proba
        if facts[name] is None:
            raise AttributeError(name)
        if name == "n_features_in_":
            return int(facts[name])
        return np.array(facts[name], dtype=object if name == "feature_names_in_" else None)

    @property
    def name(self) -> str:
        """The file's name."""
        return self._name

    @property
    def process_id(self) -> int | None:
        """The process that is running now, if any."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, which imports what it needs, without waiting for it.

        Raises:
            InputError: this Python cannot start another one.
        """
        with self._lock:
            self._running()

    def load(self, trusted: Sequence[str] | None = None) -> None:
        """Wait until a worker has loaded the file.

        Args:
            trusted: for skops, the types that were let through, if not given before.

        Raises:
            InputError: loading crashed or hung the worker, or the file is no such model.
        """
        with self._lock:
            if trusted is not None:
                self._trusted = tuple(trusted)
            self._retried(lambda process: None, "while it was loaded")

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            if self._process is not None:
                self._process.end()
                self._process = None

    def _known(self) -> dict[str, Any]:
        if self._facts is None:
            self.load()
        return self._facts or {}

    def _predict_proba(self, X: Any) -> FloatArray:
        """Probabilities, shape (n, classes).

        Raises:
            InputError: the worker crashed or hung on these rows, or the model refused them.
        """
        width = len(self._known()["classes_"] or [0, 1])
        return self._asked("predict_proba", X, width)

    def _predict(self, X: Any) -> npt.NDArray[Any]:
        """Labels of a classifier, values of a regressor, shape (n,).

        Raises:
            InputError: as for ``predict_proba``.
        """
        classes = self._known()["classes_"]
        found = self._asked("predict", X, 1)[:, 0]
        if classes is None:
            return found
        places = found.astype(np.int64)
        if ((places < 0) | (places >= len(classes))).any():
            raise InputError(
                f"{self._name}: the process that scores it answered with a class that it has not"
            )
        return np.asarray(np.array(classes)[places])

    def _asked(self, method: str, X: Any, width: int) -> FloatArray:
        rows = len(X)
        request = pickle.dumps((method, X), protocol=5)
        limit = self._timeout * max(1, -(-rows // ROWS_PER_TIMEOUT))
        with self._lock:
            answer: FloatArray = self._retried(
                lambda process: process.numbers(request, rows, width, limit),
                f"on {_rows_in_words(X)}",
            )
        return answer

    def _running(self) -> _Process:
        if self._process is not None and not self._process.ours:
            self._process = None  # a fork: it belongs to the parent
        if self._process is None:
            self._process = _Process(self._kind, self._timer)
            # Python may end, or the model be dropped, without close().
            weakref.finalize(self, self._process.end)
        return self._process

    def _retried(self, ask: Callable[[_Process], Any], where: str) -> Any:
        ended = ""
        for _ in range(2):
            try:
                process = self._running()
                if not process.loaded:
                    hello = pickle.dumps((self._content, self._trusted), protocol=5)
                    self._facts = process.load(hello)
                return ask(process)
            except _WorkerEndedError as error:
                ended = str(error)
                self.close()
            except _WorkerLateError as error:
                self.close()
                raise InputError(
                    f"{self._name}: the process that scores it {error} {where} and was ended; a "
                    "slow model needs a larger model.timeout, a damaged file never answers"
                ) from None
            except _NoAnswerError as error:
                self.close()
                raise InputError(f"{self._name}: the process that scores it {error}") from None
            except _ModelSaysError:
                if not process.loaded:
                    self.close()
                raise
            except BaseException:
                # Also Ctrl-C: what is in the pipe is no longer known.
                self.close()
                raise
        raise InputError(
            f"{self._name}: the process that scores it {ended} {where}, twice; the file is damaged "
            "or made to do this, or there is too little memory for it. Nothing was written"
        )


def _rows_in_words(X: Any) -> str:
    rows = len(X)
    words = f"rows 1 to {rows:,} of the {rows:,} it was given"
    index = getattr(X, "index", None)
    if rows and index is not None and isinstance(index[0], str):
        words += f" ({index[0]} to {index[-1]})"
    return words


class _Process:
    """One worker process and the pipe to it."""

    def __init__(self, kind: str, timer: Callable[[float, Callable[[], None]], Timer]) -> None:
        if not sys.executable:
            raise InputError(
                "this Python does not know its own program, so no worker can be started; set "
                "model.worker = false if you trust the model file"
            )
        hidden = "HITL_AUDIT_"  # passphrases are no business of a model's
        environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        environment["PYTHONPATH"] = os.pathsep.join(p or os.curdir for p in sys.path)
        self._timer = timer
        self._owner = os.getpid()
        self._late = False
        self.loaded = False
        self._popen = subprocess.Popen(
            [sys.executable, "-c", _CODE, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.pid = self._popen.pid
        self._requests = cast("IO[bytes]", self._popen.stdin)
        self._answers = cast("IO[bytes]", self._popen.stdout)

    @property
    def ours(self) -> bool:
        """Was it started by this process, not by one that this was forked from?"""
        return self._owner == os.getpid()

    def load(self, hello: bytes) -> dict[str, Any]:
        """Hand over the file; what the worker says of the model in it."""
        with self._watched(LOAD_SECONDS):
            self._send(hello)
            header = self._header()
        if "error" in header:
            raise _refusal(header)
        self.loaded = True
        return _checked_facts(header)

    def numbers(self, request: bytes, rows: int, width: int, limit: float) -> FloatArray:
        """The answer to one question: ``rows`` × ``width`` numbers."""
        with self._watched(limit):
            self._send(request)
            header = self._header()
            if "error" in header:
                raise _refusal(header)
            shape = (header.get("rows"), header.get("columns"))
            if shape != (rows, width):
                raise _NoAnswerError(
                    f"answered with an array of shape {shape} for {rows} rows; expected "
                    f"({rows}, {width})"
                )
            answer = bytearray(rows * width * 8)
            self._fill(memoryview(answer))
        return np.frombuffer(answer, dtype="<f8").reshape(rows, width).astype(np.float64)

    def end(self) -> None:
        """End the process and wait for it, so that none is left behind."""
        if not self.ours:
            return
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _watched(self, seconds: float) -> Any:
        def expire() -> None:
            self._late = True
            self._popen.kill()

        timer = self._timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except _WorkerEndedError:
            if self._late:
                raise _WorkerLateError(f"did not answer within {seconds:,.0f} seconds") from None
            raise
        finally:
            timer.cancel()

    def _send(self, message: bytes) -> None:
        try:
            self._requests.write(len(message).to_bytes(8, "big"))
            self._requests.write(message)
            self._requests.flush()
        except OSError:
            raise _WorkerEndedError(self._how()) from None

    def _header(self) -> dict[str, Any]:
        length = bytearray(4)
        self._fill(memoryview(length))
        size = int.from_bytes(length, "big")
        if size > _HEADER_LIMIT:
            raise _NoAnswerError("answered with something that is no answer")
        raw = bytearray(size)
        self._fill(memoryview(raw))
        try:
            header = json.loads(bytes(raw))
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict):
            raise _NoAnswerError("answered with something that is no answer")
        return header

    def _fill(self, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            got = self._answers.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not got:
                raise _WorkerEndedError(self._how())
            done += got

    def _how(self) -> str:
        """How the process ended, in words; its pipe is closed, so it is ending."""
        try:
            code = self._popen.wait(timeout=30)
        except subprocess.TimeoutExpired:
            return "closed its end of the pipe"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        reason = {
            "SIGKILL": ", as happens when memory runs out",
            "SIGSEGV": ", it read memory that is not its own",
        }.get(name, "")
        return f"crashed ({name}{reason})"


def _refusal(header: dict[str, Any]) -> AuditError:
    """The error that the worker ran into, with the words it would have here."""
    kind, said = _text(header.get("kind", "")), _text(header["error"])
    if kind == MissingDependencyError.__name__:
        return MissingDependencyError(said)
    return _ModelSaysError(said if kind in ("", InputError.__name__) else f"{kind}: {said}")


def _text(value: Any) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(value))[:2000]


def _checked_facts(header: dict[str, Any]) -> dict[str, Any]:
    """The facts, each of the kind it must be: the other side is not trusted."""
    classes, names = header.get("classes_"), header.get("feature_names_in_")
    width, methods = header.get("n_features_in_"), header.get("methods")
    good = (
        (classes is None or isinstance(classes, list))
        and all(isinstance(c, str | int | float | bool) for c in classes or ())
        and (names is None or isinstance(names, list))
        and all(isinstance(n, str) for n in names or ())
        and (width is None or (isinstance(width, int) and width >= 0))
        and isinstance(methods, list)
    )
    if not good:
        raise _NoAnswerError("describes no model")
    return {
        "classes_": classes,
        "feature_names_in_": names,
        "n_features_in_": width,
        "methods": [m for m in ("predict", "predict_proba") if m in (methods or [])],
    }
