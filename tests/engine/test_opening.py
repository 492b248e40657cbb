"""From words to an engine, and what is said when there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hitl_audit.engine import LocalEngine, open_engine
from hitl_audit.errors import AuditError, EngineError, InputError, MissingDependencyError

pytestmark = pytest.mark.timeout(60)


def test_local_is_this_machine() -> None:
    engine = open_engine()
    assert isinstance(engine, LocalEngine)
    assert engine.workers == 1
    with open_engine("local", 3) as engine:
        assert isinstance(engine, LocalEngine)
        assert engine.workers == 3


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", r'""; accepted: local, spark://HOST:PORT, sc://HOST:PORT, local\[N\]'),
        ("lokal", '; did you mean "local"'),
        ("spark:/host", "accepted"),
        ("spark://", "accepted"),
        ("local[", "accepted"),
        ("local[x]", "accepted"),
        ("local-cluster[2]", "accepted"),
        ("yarn", "accepted"),
        ("sc://", "expected a host"),
        ("sc://host:port", "expected HOST:PORT"),
        ("sc://host:99999", "expected HOST:PORT"),
    ],
)
def test_other_words_are_refused(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=rf"^engine: got .*{said}"):
        open_engine(spec)


@pytest.mark.parametrize("spec", ["local", "local[2]", "sc://localhost"])
def test_a_wrong_number_of_workers_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match=r"^workers: got 0"):
        open_engine(spec, 0)


@pytest.mark.parametrize("spec", ["sc://127.0.0.1:{}", "spark://127.0.0.1:{},localhost:{}"])
def test_a_cluster_that_does_not_answer_is_said_at_once(spec: str) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else gets this port
        held.bind(("127.0.0.1", 0))
        spec = spec.replace("{}", str(held.getsockname()[1]))
        with pytest.raises(EngineError, match=r"^engine: no Spark answers at .*refused"):
            open_engine(spec)


def test_the_password_of_an_address_is_not_repeated() -> None:
    for spec, error in [("sc://host:x/;token=hush", InputError), ("sc:///;token=hush", InputError)]:
        with pytest.raises(error) as caught:
            open_engine(spec)
        assert "hush" not in str(caught.value)
        assert "/;…" in str(caught.value)


@pytest.mark.parametrize("spec", ["local[2]", "sc://localhost"])
def test_without_pyspark_it_is_said_what_to_install(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(spec)
    assert str(caught.value) == (
        "engine: Spark needs pyspark, which is not installed; install it with: "
        "pip install 'hitl-audit[spark]'"
    )


def test_without_the_client_of_connect_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(MissingDependencyError, match=r"needs grpc, .*hitl-audit\[spark\]"):
        open_engine("sc://localhost")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("", "there is no java program here"),
        ('openjdk version "11.0.2" 2019-01-15', "says version 11"),
        ('java version "1.8.0_292"', "says version 8"),
        ("no words at all", "says no version"),
    ],
)
@pytest.mark.parametrize("by", ["PATH", "JAVA_HOME"])
def test_without_a_java_that_will_do_it_is_said_what_to_install(
    version: str, said: str, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    if version:
        java = tmp_path / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
        java.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if by == "PATH":
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    else:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=said) as caught:
        open_engine("local[2]")
    assert "Java 17 or later" in str(caught.value)
    assert "openjdk-17-jre-headless" in str(caught.value)


def test_engines_need_neither_spark_nor_pandas_to_be_imported() -> None:
    program = (
        "import sys, hitl_audit.engine as e; e.open_engine('local');"
        "print([m for m in ('pyspark', 'pandas', 'joblib', 'pyarrow') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_the_errors_are_the_package_s_own() -> None:
    assert issubclass(EngineError, AuditError)
