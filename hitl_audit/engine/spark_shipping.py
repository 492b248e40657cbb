"""Getting the function, and this package, to the executors."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hitl_audit.canonical import sha256
from hitl_audit.engine.protocol import PartFunction
from hitl_audit.engine.spark_task import Shipped
from hitl_audit.engine.work import described
from hitl_audit.errors import EngineError

__all__ = ["Shipping", "is_connect", "package_folder"]

# Pure Python, small, and what this package cannot be imported without.
_PACKAGES = ("hitl_audit", "rfc8785")
# Fonts, pages, caches: not needed to count or explain, and half of the weight.
_TAKEN = {".py", ".toml", ".json"}


class Shipping:
    """What one session's executors have been sent.

    Args:
        session: classic or Connect.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._connect = is_connect(session)
        self._sent: set[str] = set()

    @contextmanager
    def shipped(self, fn: PartFunction[Any]) -> Iterator[Shipped]:
        """The function where every task can read it, for the length of the block.

        Raises:
            EngineError: it cannot be pickled, or Spark does not take it.
        """
        from pyspark import cloudpickle

        try:
            data: bytes = cloudpickle.dumps(fn)  # type: ignore[no-untyped-call]
        except Exception as error:
            raise EngineError(f"the model cannot be sent to Spark ({described(error)})") from error
        digest = sha256(data).hex()
        try:
            self._send_package()
            if self._connect:
                name = f"hitl-audit-{digest}.pkl"
                if name not in self._sent:
                    self._upload(name, data, file=True)
                    self._sent.add(name)
                function = Shipped(digest, file=name)
            else:
                function = Shipped(digest, self._session.sparkContext.broadcast(data))
        except Exception as error:
            raise EngineError(f"Spark did not take the model ({described(error)})") from error
        try:
            yield function
        finally:
            if function.broadcast is not None:
                with suppress(Exception):  # Spark is gone: what went wrong is being raised
                    function.broadcast.destroy()

    def _send_package(self) -> None:
        """So that the executors run this version; on this machine they find it themselves."""
        if not self._connect and self._session.sparkContext.master.startswith("local"):
            return
        name, data = _package()
        if name in self._sent:
            return
        if self._connect:
            self._upload(name, data, pyfile=True)
        else:
            # Not a moment: executors that start later ask for it too.
            path = _folder() / name
            path.write_bytes(data)
            self._session.sparkContext.addPyFile(str(path))
        self._sent.add(name)

    def _upload(self, name: str, data: bytes, **kind: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="hitl-audit-") as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            # The server has its own copy when this returns.
            self._session.addArtifacts(str(path), **kind)


def is_connect(session: Any) -> bool:
    """Is this a session of Spark Connect? (it has no SparkContext)"""
    return type(session).__module__.startswith("pyspark.sql.connect")


def package_folder(name: str = "hitl_audit") -> Path:
    """Where a package was imported from.

    Raises:
        EngineError: not from a folder.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise EngineError(f"{name} is not in a folder, so it cannot be sent to Spark")
    return Path(spec.origin).parent


@cache
def _package() -> tuple[str, bytes]:
    """A zip file of this package, the same bytes every time, and a name that follows them."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in _PACKAGES:
            folder = package_folder(package)
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix in _TAKEN:
                    entry = zipfile.ZipInfo(str(Path(package) / path.relative_to(folder)))
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, path.read_bytes())
    data = sink.getvalue()
    return f"hitl-audit-{sha256(data).hex()[:16]}.zip", data


@cache
def _folder() -> Path:
    """A folder for as long as this process lives."""
    folder = Path(tempfile.mkdtemp(prefix="hitl-audit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
