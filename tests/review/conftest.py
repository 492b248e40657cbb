"""Places for new ledgers: files, or schemas of a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _numbers() -> count[int]:
    return count(1)


NewPlace = Callable[[], "str | Path"]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_place(
    request: pytest.FixtureRequest, tmp_path: Path, _numbers: count[int]
) -> Callable[[], str | Path]:
    """Makes places for new ledgers: a file, or a schema of the server."""
    if request.param == "sqlite":
        return lambda: tmp_path / f"ledger-{next(_numbers)}.db"
    server: str = request.getfixturevalue("postgresql_server")
    return lambda: f"{server}?schema=ledger_{next(_numbers)}"
