"""The evidence beside itself, computed again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.recompute import recomputed

EVIDENCE: dict[str, Any] = {
    "format": "hitl-audit/evidence/v1",
    "created": "2026-03-02",
    "environment": {"numpy": "2.4.0", "scipy": "1.17"},
    "ledger": None,
    "fairness": {"rates": [{"group": "a", "value": 0.25, "n": 8}, {"group": "b", "value": None}]},
    "findings": [{"id": "F1", "status": "met"}],
}


def _bytes(**changes: Any) -> bytes:
    return json.dumps(EVIDENCE | changes).encode()


def test_what_is_the_same_is_the_same() -> None:
    found = recomputed(_bytes(), _bytes(created="2027-01-01", ledger={"size": 3}))
    assert found.same
    assert (found.compared, found.numbers, found.exact) == (7, 2, 7)
    assert found.words() == (
        "7 values were computed again (2 of them numbers): 7 are equal to the last bit, and the "
        "others agree within rounding."
    )


@pytest.mark.parametrize(
    ("rates", "path", "stored", "again", "change"),
    [
        ([{"group": "a", "value": 0.26, "n": 8}, {"group": "b", "value": None}], "fairness.rates[0].value", 0.25, 0.26, 0.01),
        ([{"group": "a", "value": 0.25, "n": 8}, {"group": "b", "value": 0.5}], "fairness.rates[1].value", None, 0.5, None),
        ([{"group": "a", "value": 0.25, "n": 8}], "fairness.rates[1]", {"group": "b", "value": None}, None, None),
        ([{"group": "A", "value": 0.25, "n": 8}, {"group": "b", "value": None}], "fairness.rates[0].group", "a", "A", None),
    ],
)  # fmt: skip
def test_every_difference_is_listed_with_its_place(
    rates: Any, path: str, stored: Any, again: Any, change: float | None
) -> None:
    found = recomputed(_bytes(), _bytes(fairness={"rates": rates}))
    (one,) = found.differences
    assert (one.path, one.stored, one.again) == (path, stored, again)
    assert one.change == (None if change is None else pytest.approx(change))
    assert path in found.words()
    assert not found.same


def test_times_are_not_derived() -> None:
    plans = [{"registered_at": at, "registrations": [["d", at]]} for at in ("1", "2")]
    profiles = [{"profiles": [{"statements": [at], "expires": at}]} for at in ("1", "2")]
    pair = [_bytes(plan=p, analyses=a) for p, a in zip(plans, profiles, strict=True)]
    assert recomputed(*pair).same


def test_other_software_is_named() -> None:
    found = recomputed(_bytes(), _bytes(environment={"numpy": "2.5.0", "scipy": "1.17"}))
    assert found.same
    assert found.environment == (("numpy", "2.4.0", "2.5.0"),)
    assert found.words().endswith("The software is not the same: numpy 2.4.0 → 2.5.0.")


@given(st.floats(min_value=1e-6, max_value=1e6), st.floats(min_value=-1, max_value=1))
def test_only_rounding_is_forgiven(value: float, part: float) -> None:
    moved = value * (1 + part)
    pair = [_bytes(fairness={"x": v}) for v in (value, moved)]
    allowed = max(1e-9 * max(abs(value), abs(moved)), 1e-12)
    assert recomputed(*pair).same == (abs(moved - value) <= allowed)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": "hitl-audit/evidence/v9"}'])
def test_what_is_no_evidence_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="the evidence computed again cannot be read"):
        recomputed(_bytes(), data)
    with pytest.raises(InputError, match="the stored evidence cannot be read"):
        recomputed(data, _bytes())
