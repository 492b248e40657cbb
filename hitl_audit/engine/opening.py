"""From the words of a command line to an engine."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hitl_audit.engine.local import LocalEngine
from hitl_audit.engine.spark import SparkEngine, quiet_about_pandas
from hitl_audit.engine.spark_shipping import package_folder
from hitl_audit.engine.work import described
from hitl_audit.errors import EngineError, InputError, MissingDependencyError, did_you_mean

__all__ = ["open_engine"]

ACCEPTED = (
    "local",
    "spark://HOST:PORT",
    "sc://HOST:PORT",
    "local[N]",
    "local-cluster[N,CORES,MEMORY]",
)
JAVA = 17
"""The oldest Java that Spark 4 starts on."""

_MASTER = re.compile(r"spark://.+|local\[(\d+|\*)(,\d+)?\]|local-cluster\[\d+,\d+,\d+\]")
_INSTALL = "pip install 'hitl-audit[spark]'"
# What Spark Connect's client imports besides pyspark.
_CONNECT = ("grpc", "grpc_status", "zstandard", "google.rpc")
# Seconds until a server that does not answer is given up.
_PATIENCE = 10.0


def open_engine(
    spec: str = "local",
    workers: int = 1,
    *,
    options: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> LocalEngine | SparkEngine:
    """Open the engine that these words describe; close it when done.

    Args:
        spec: ``local`` (this machine, ``workers`` processes), ``spark://HOST:PORT`` (a Spark
            cluster), ``sc://HOST:PORT`` (a Spark Connect server), ``local[N]`` or
            ``local-cluster[N,CORES,MEMORY]`` (Spark on this machine).
        workers: for ``local`` only; Spark decides itself.
        options: configuration of a new Spark session (``spark.executor.memory`` and so on).
        clock: seconds, for the estimate in ``progress``.

    Raises:
        InputError: ``spec`` or ``workers`` is not one of these.
        MissingDependencyError: Spark is asked for and pyspark or Java is not installed.
        EngineError: no cluster answers there.
    """
    if spec == "local":
        return LocalEngine(workers, clock=clock)
    connect = spec.startswith("sc://")
    if not connect and not _MASTER.fullmatch(spec):
        near = did_you_mean(spec, ACCEPTED)
        raise InputError(f'engine: got "{spec}"{near}; accepted: {", ".join(ACCEPTED)}')
    LocalEngine(workers)  # the same words for a wrong number
    _require_pyspark(connect)
    if connect:
        _require_answer(spec, 15002)
    else:
        require_java()
        if spec.startswith("spark://"):
            _require_answer(spec, 7077)
    try:
        with quiet_about_pandas():
            session, ours = (_remote if connect else _classic)(spec, dict(options or {}))
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(
            f"engine: {_shown(spec)}: Spark did not start ({described(error)})"
        ) from error
    return SparkEngine(session, owned=ours, clock=clock)


def _remote(spec: str, options: dict[str, Any]) -> tuple[Any, bool]:
    from pyspark.sql.connect.session import SparkSession

    return SparkSession.builder.remote(spec).config(map=options).create(), True


def _classic(spec: str, options: dict[str, Any]) -> tuple[Any, bool]:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    running = SparkContext._active_spark_context
    master = _with_retries(spec)
    if running is not None:
        if running.master != master:
            raise EngineError(
                f"engine: got {spec}, but this process already runs Spark on {running.master}; "
                "stop that session first, or pass it to SparkEngine"
            )
        return SparkSession.builder.getOrCreate(), False
    settings: dict[str, Any] = {
        "spark.app.name": "hitl-audit",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }
    with _environment(spec):
        if spec.startswith("local"):
            settings |= {
                "spark.ui.enabled": "false",
                "spark.executorEnv.PYTHONPATH": str(package_folder().parent),
            }
        session = SparkSession.builder.master(master).config(map=settings | options).getOrCreate()
    return session, True


def _with_retries(spec: str) -> str:
    """``local[N]`` gives up at the first lost worker unless it is told otherwise."""
    return re.sub(r"^local\[([^,\]]+)\]$", r"local[\1,4]", spec)


@contextmanager
def _environment(spec: str) -> Iterator[None]:
    """What Spark on this machine takes from the environment, for as long as it starts."""
    wanted = {}
    if spec.startswith("local"):
        wanted = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _require_pyspark(connect: bool) -> None:
    missing = [name for name in ("pyspark", *(_CONNECT if connect else ())) if not _found(name)]
    if missing:
        raise MissingDependencyError(
            f"engine: Spark needs {', '.join(missing)}, which is not installed; install it with: "
            f"{_INSTALL}"
        )


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


def require_java() -> None:
    """Check that there is a Java that Spark can start on.

    Raises:
        MissingDependencyError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME", "")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    install = (
        f"install one, for example with: apt-get install openjdk-{JAVA}-jre-headless "
        "(a Spark Connect server, sc://HOST:PORT, needs no Java here)"
    )
    if java is None:
        where = f"JAVA_HOME is {home}, and there is no" if home else "there is no"
        raise MissingDependencyError(
            f"engine: Spark needs Java {JAVA} or later; {where} java program here; {install}"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    if version is None or int(version[1]) < JAVA:
        found = f"version {version[1]}" if version else "no version"
        raise MissingDependencyError(
            f"engine: Spark needs Java {JAVA} or later; {java} says {found}; {install}"
        )


def _require_answer(spec: str, port: int) -> None:
    """Spark itself would try for minutes.

    Raises:
        EngineError: nothing answers at any of the hosts.
    """
    errors = []
    for place in spec.partition("://")[2].partition("/")[0].split(","):
        try:
            parts = urlsplit(f"//{place}")
            host, number = parts.hostname, parts.port or port
        except ValueError as error:
            raise InputError(
                f'engine: got "{_shown(spec)}", expected HOST:PORT ({error})'
            ) from error
        if not host:
            raise InputError(f'engine: got "{_shown(spec)}", expected a host')
        try:
            socket.create_connection((host, number), timeout=_PATIENCE).close()
        except OSError as error:
            errors.append(f"{host}:{number}: {error.strerror or error}")
        else:
            return
    raise EngineError(f"engine: no Spark answers at {_shown(spec)} ({'; '.join(errors)})")


def _shown(spec: str) -> str:
    """Without the parameters of a Connect address: one of them is a password."""
    return re.sub(r"(sc://[^/]*/;).*", r"\1…", spec)
