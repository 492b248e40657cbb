"""What runs inside a worker process: load one model, then answer until the pipe closes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["serve"]


def serve() -> None:
    """Read requests from standard input and answer on standard output, until it closes.

    The format is the program's argument. The first request is ``(content,
    trusted)``; each one after it is ``(method, X)``. An answer is a JSON header
    with its length in four bytes and, for numbers, ``rows`` × ``columns``
    float64, little-endian.
    """
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Ctrl-C goes to the whole group; the audit decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _no_core_file()
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    kind = sys.argv[1]
    _warm(kind)
    threading.Thread(target=_receive, args=(sys.stdin.buffer, requests), daemon=True).start()
    model = _answered(answers, lambda: _load(kind, requests.get()))
    while model is not None:
        method, X = pickle.loads(requests.get())  # noqa: S301 (made by the audit)
        _limit_processor_time()
        _answered(answers, lambda: _numbers(model, method, X))  # noqa: B023 (called at once)


def _no_core_file() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_processor_time() -> None:
    """An hour of all processors for one question: an orphan in an endless loop ends by itself."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        more = spent + 3600 * (os.cpu_count() or 1)
        if hard == resource.RLIM_INFINITY or more <= hard:
            resource.setrlimit(resource.RLIMIT_CPU, (more, hard))


def _receive(pipe: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    while True:
        length = pipe.read(8)
        message = pipe.read(int.from_bytes(length, "big")) if len(length) == 8 else b""
        if not message:
            # The audit is gone or done: end, whatever the model is doing.
            os._exit(0)
        requests.put(message)


def _answered(answers: BinaryIO, work: Callable[[], tuple[Any, dict[str, Any], bytes]]) -> Any:
    """Do the work and send its answer, or what went wrong; what was made, or ``None``."""
    made: Any = None
    payload = b""
    try:
        made, header, payload = work()
        raw = json.dumps(header).encode()
    except Exception as error:
        said = {"kind": type(error).__name__[:100], "error": str(error)[:2000]}
        raw = json.dumps(said).encode()
        payload = b""
    answers.write(len(raw).to_bytes(4, "big") + raw)
    answers.write(payload)
    answers.flush()
    return made


def _warm(kind: str) -> None:
    """Import what loading will need, while the audit still examines the file."""
    libraries = {
        "skops": ("sklearn", "skops.io"),
        "onnx": ("onnxruntime",),
        "xgboost": ("sklearn", "xgboost"),
        "lightgbm": ("sklearn", "lightgbm"),
    }
    for name in ("hitl_audit.model_formats", "pandas", *libraries.get(kind, ())):
        with contextlib.suppress(ImportError):  # said when the file is loaded
            importlib.import_module(name)


def _load(kind: Any, hello: bytes) -> tuple[Any, dict[str, Any], bytes]:
    from hitl_audit.model_formats import load_content

    content, trusted = pickle.loads(hello)  # noqa: S301 (made by the audit)
    model = load_content(kind, content, trusted)
    classes = getattr(model, "classes_", None)
    names = getattr(model, "feature_names_in_", None)
    width = getattr(model, "n_features_in_", None)
    facts = {
        "classes_": None if classes is None else _listed(classes),
        "feature_names_in_": None if names is None else [str(n) for n in names],
        "n_features_in_": None if width is None else int(width),
        "methods": [m for m in ("predict", "predict_proba") if hasattr(model, m)],
    }
    return model, facts, b""


def _listed(classes: Any) -> list[Any]:
    return [c.item() if hasattr(c, "item") else c for c in classes]


def _numbers(model: Any, method: str, X: Any) -> tuple[Any, dict[str, Any], bytes]:
    import numpy as np

    raw = np.asarray(getattr(model, method)(X))
    classes = getattr(model, "classes_", None)
    if method == "predict" and classes is not None:
        # Labels may be texts: what goes back is their place among the classes.
        raw = _places(raw, np.asarray(classes))
    numbers = np.ascontiguousarray(raw, dtype="<f8")
    if numbers.ndim == 1:
        numbers = numbers[:, None]
    header = {"rows": int(numbers.shape[0]), "columns": int(numbers.shape[1])}
    if numbers.ndim != 2:
        header["columns"] = -1
    return None, header, numbers.tobytes()


def _places(labels: Any, classes: Any) -> Any:
    import numpy as np

    order = np.argsort(classes, kind="stable")
    places = np.clip(np.searchsorted(classes, labels, sorter=order), 0, len(classes) - 1)
    found = order[places]
    return np.where(classes[found] == labels, found, -1)
