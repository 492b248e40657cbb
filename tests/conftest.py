"""What several test modules share: the real data and the fitted model, made once."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# Tests must never meet the keys or settings of whoever runs them.
os.environ.pop("HITL_AUDIT_PASSPHRASE", None)


class Clock:
    """A clock that tests hold: every reading is a second later."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def mortgage_model() -> Any:
    from hitl_audit.examples import mortgage

    return mortgage.model()


@pytest.fixture(scope="session")
def mortgage_holdout() -> pd.DataFrame:
    from hitl_audit.examples import mortgage

    return mortgage.holdout()


@pytest.fixture(scope="session")
def mortgage_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in audit, run once: plan, model, results, report signed by the first role.

    Tests that change it work on a copy.
    """
    from hitl_audit.demo import demonstrate

    folder: Path = tmp_path_factory.mktemp("demo") / "mortgage"
    demonstrate(folder, now=Clock(), progress=lambda step, share: None)
    return folder


@pytest.fixture(autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys and caches of the product go to a folder of the test run."""
    home: Path = tmp_path_factory.getbasetemp() / "config"
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(home)
    yield
    if before is None:
        os.environ.pop("XDG_CONFIG_HOME", None)
    else:
        os.environ["XDG_CONFIG_HOME"] = before


# The server ends when the line that it waits for cannot come any more: after the tests,
# and also when they are killed.
_SERVE = """
cd "$2"
"$1/initdb" -D data --username=auditor --auth=scram-sha-256 --pwfile=password \\
    --encoding=UTF8 --no-locale --no-sync >output 2>&1 &&
"$1/pg_ctl" -D data --wait --log=output --options="$3" start >>output 2>&1 && echo ready && read -r _
"$1/pg_ctl" -D data --wait --mode=immediate stop >>output 2>&1 && cd / && rm -rf "$2"
"""


def _programs() -> Path:
    """Where initdb and pg_ctl are; Debian keeps them off the PATH."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[4])
    )
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.fail("PostgreSQL is not installed: python tools/setup_env.py … --system installs it")
    return (found[-1] if found else Path(on_path or "")).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a database with its password; gone after the tests."""
    programs, password = _programs(), secrets.token_hex(12)
    # PostgreSQL refuses to run as root, and root's own folders are closed to others.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    home = Path(tempfile.mkdtemp(prefix="postgresql-"))
    home.chmod(0o755)
    words = home / "password"
    words.write_text(password)
    if as_user:
        shutil.chown(home, "postgres")
        shutil.chown(words, "postgres")

    port = _free_port()
    # Nothing here outlives the machine, so nothing waits for the disk.
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    server = subprocess.Popen(
        [*as_user, "sh", "-c", _SERVE, "sh", str(programs), str(home), options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=home,
        start_new_session=True,  # an interrupt is for the tests, which then stop the server
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdin, server.stdout:
        if server.stdout.readline() != "ready\n":
            pytest.fail(f"PostgreSQL did not start:\n{(home / 'output').read_text()}")
        yield f"postgresql://auditor:{password}@127.0.0.1:{port}/postgres"
    server.wait()
