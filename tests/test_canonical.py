import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.canonical import (
    canonical_bytes,
    digest,
    digest_bytes,
    digest_columns,
    digest_file,
    plain,
    seeded_digests,
    utc_text,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Thing:
    colour: Colour
    sizes: tuple[float, ...]


def test_rfc8785_example_section_3_2_3() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical_bytes(value).decode() == expected


@given(VALUES)
def test_canonical_bytes_are_json_of_the_same_value(value: object) -> None:
    assert json.loads(canonical_bytes(value)) == value


@given(st.dictionaries(st.text(), st.integers(-100, 100), max_size=6))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)


def test_plain_forms() -> None:
    thing = Thing(Colour.RED, (1.0, float("nan")))
    assert plain({"a": thing, "b": np.float32(2), "c": np.arange(2)}) == {
        "a": {"colour": "red", "sizes": [1.0, None]},
        "b": 2.0,
        "c": [0, 1],
    }
    with pytest.raises(TypeError, match="object has no plain JSON form"):
        plain(object())


def test_times_are_utc_and_need_a_zone() -> None:
    assert utc_text(datetime(2026, 3, 2, 9, tzinfo=UTC)) == "2026-03-02T09:00:00.000000Z"
    with pytest.raises(ValueError, match="without a zone"):
        utc_text(datetime(2026, 3, 2, 9))


def test_digest_of_bytes_and_file_agree(tmp_path: Path) -> None:
    data = b"abc" * 1_000_000
    (tmp_path / "f").write_bytes(data)
    assert digest_file(tmp_path / "f") == digest_bytes(data)
    known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_bytes(b"abc") == known


def test_tables_that_differ_do_not_share_a_digest() -> None:
    tables = [
        [("a", "text", [b"xy"])],
        [("a", "text", [b"x", b"y"])],
        [("a", "text", [b"x"]), ("b", "text", [b"y"])],
        [("a", "number", [b"xy"])],
        [("atext", "", [b"xy"])],
    ]
    assert len({digest_columns(t) for t in tables}) == len(tables)


@given(st.lists(st.text(), max_size=5), st.integers(-(2**53) + 1, 2**53 - 1))
def test_seeded_digests_are_those_of_pairs(texts: list[str], seed: int) -> None:
    hashes = seeded_digests(seed, texts).hex()
    found = [f"sha256:{hashes[i : i + 64]}" for i in range(0, len(hashes), 64)]
    assert found == [digest([seed, text]) for text in texts]
