"""One Spark for all tests: two executors on this machine, reached in the classic way and by Connect."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hitl_audit.engine import SparkEngine, open_engine

MASTER = "local-cluster[2,1,1024]"
# Java compiles less: these programs are short.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@pytest.fixture(scope="session")
def connect_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def classic(connect_port: int) -> Iterator[SparkEngine]:
    """The classic engine; its driver also serves Spark Connect."""
    engine = open_engine(
        MASTER,
        options={
            "spark.driver.extraJavaOptions": QUICK,
            "spark.executor.extraJavaOptions": QUICK,
            "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(connect_port),
        },
    )
    assert isinstance(engine, SparkEngine)
    with engine:
        yield engine


@pytest.fixture(scope="session")
def connect(classic: SparkEngine, connect_port: int) -> Iterator[SparkEngine]:
    engine = open_engine(f"sc://127.0.0.1:{connect_port}")
    assert isinstance(engine, SparkEngine)
    with engine:
        yield engine
