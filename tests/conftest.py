"""What several test modules share: the real data and the fitted model, made once."""

from __future__ import annotations

import os
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
