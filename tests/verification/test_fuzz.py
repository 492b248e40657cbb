"""Random damage to every file of an audit: never a crash, never a hang, never "valid".

``HITL_AUDIT_FUZZ=20000 python -m pytest tests/verification/test_fuzz.py`` tries more.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hitl_audit.errors import AuditError
from hitl_audit.review.ledger import Ledger

if TYPE_CHECKING:
    from tests.verification.conftest import Workshop

EXAMPLES = int(os.environ.get("HITL_AUDIT_FUZZ", "25"))
TARGETS = (
    "report.pdf",
    "evidence.dsse.json",
    "judgments.dsse.json",
    "manifest.json",
    "evidence.json",
    "plan.lock.json",
    "judgments.db",
)


@st.composite
def damage(draw: st.DrawFn, size: int) -> tuple[tuple[str, int, int, bytes], ...]:
    """A few edits: (kind, place, length, bytes)."""
    edits = st.tuples(
        st.sampled_from(("flip", "replace", "insert", "delete", "repeat", "cut")),
        st.integers(0, size - 1),
        st.integers(1, 64),
        st.binary(min_size=1, max_size=24),
    )
    return tuple(draw(st.lists(edits, min_size=1, max_size=4)))


def damaged(data: bytes, edits: tuple[tuple[str, int, int, bytes], ...]) -> bytes:
    for kind, place, length, new in edits:
        if kind == "flip" and place < len(data):
            data = data[:place] + bytes([data[place] ^ (1 << length % 8)]) + data[place + 1 :]
        elif kind == "replace":
            data = data[:place] + new + data[place + len(new) :]
        elif kind == "insert":
            data = data[:place] + new + data[place:]
        elif kind == "delete":
            data = data[:place] + data[place + length :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + length] * 2 + data[place + length :]
        elif kind == "cut":
            data = data[:place]
    return data


def same_judgments(one: Path, other: Path) -> bool:
    """A database has bytes that mean nothing; what it holds is what counts."""
    try:
        first, second = (Ledger(path, read_only=True).checkpoint() for path in (one, other))
    except AuditError:
        return False
    return first == second


@pytest.fixture(scope="module")
def victim(workshop: Workshop, complete: Path) -> Path:
    return workshop.copy(complete)


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 1000,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_no_damage_passes(
    data: st.DataObject, name: str, workshop: Workshop, complete: Path, victim: Path
) -> None:
    original = (complete / name).read_bytes()
    edits = data.draw(damage(len(original)))
    changed = damaged(original, edits)
    (victim / name).write_bytes(changed)
    for left in victim.glob("judgments.db-*"):
        left.unlink()
    try:
        result = workshop.verify(victim, patience=30)
        unharmed = changed == original or (
            name == "judgments.db" and same_judgments(victim / name, complete / name)
        )
        assert result.exit_code != 0 or unharmed, edits
        assert "Checking it did not end" not in result.check("readable").words
        assert result.words()
        assert result.to_dict()
    finally:
        shutil.copy(complete / name, victim / name)


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 1000)
@given(data=st.data())
def test_no_single_flipped_bit_of_the_report_ever_passes(
    data: st.DataObject,
    workshop: Workshop,
    complete: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    pdf = bytearray((complete / "report.pdf").read_bytes())
    place, bit = data.draw(st.integers(0, len(pdf) - 1)), data.draw(st.integers(0, 7))
    pdf[place] ^= 1 << bit
    file = tmp_path_factory.getbasetemp() / "flipped.pdf"
    file.write_bytes(pdf)
    assert workshop.verify(file).exit_code == 1
