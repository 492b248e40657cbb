"""The order-free digest, against another implementation of ChaCha20."""

from __future__ import annotations

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.canonical import digest_records, sha256
from hitl_audit.multiset_hash import add_rows, joined, lanes_bytes, no_rows


def key_stream(key: bytes, nonce: bytes = bytes(12)) -> bytes:
    cipher = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), None)
    return cipher.encryptor().update(bytes(2048))


def summed(streams: list[bytes]) -> bytes:
    total = np.zeros(1024, dtype=np.uint16)
    for stream in streams:
        total = total + np.frombuffer(stream, dtype="<u2")
    return total.astype("<u2").tobytes()


def keys(*names: str) -> list[bytes]:
    return [sha256(name.encode()) for name in names]


def test_a_row_is_the_key_stream_of_rfc_8439() -> None:
    """Section 2.3.2: the block of the key 00 … 1f, nonce 00 00 00 09 …, has counter 1."""
    key = bytes(range(32))
    found = lanes_bytes(add_rows(no_rows(), key))
    assert found == key_stream(key)
    # RFC 8439, appendix A.1, test vector 1: the first block of the all-zero key.
    zero = lanes_bytes(add_rows(no_rows(), bytes(32)))
    assert zero[:16].hex() == "76b8e0ada0f13d90405d6ae55386bd28"
    assert zero[64:80].hex() == "9f07e7be5551387a98ba977c732d080d"


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=12), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_sums_of_any_division(rows: list[bytes], cut: int) -> None:
    whole = add_rows(no_rows(), b"".join(rows))
    assert lanes_bytes(whole) == summed([key_stream(row) for row in rows])
    one, other = add_rows(no_rows(), b"".join(rows[:cut])), b"".join(reversed(rows[cut:]))
    assert lanes_bytes(joined(add_rows(no_rows(), other), one)) == lanes_bytes(whole)
    assert lanes_bytes(add_rows(one, other)) == lanes_bytes(whole)


def test_copies_count() -> None:
    a, b = keys("a", "b")
    sums = [
        lanes_bytes(add_rows(no_rows(), rows)) for rows in (a + b, a + a + b, a + b + b, a * 65536)
    ]
    assert len(set(sums)) == 4
    assert sums[3] == bytes(2048)  # what the number of rows in the digest is for


def test_what_belongs_to_a_row_is_its_nonce() -> None:
    a, b = keys("a", "b")
    marks = np.array([5, -1], dtype=np.int64)
    found = lanes_bytes(add_rows(no_rows(), a + b, marks))
    nonces = [bytes([1, 0, 0, 0]) + int(mark).to_bytes(8, "little", signed=True) for mark in marks]
    assert found == summed([key_stream(a, nonces[0]), key_stream(b, nonces[1])])
    assert found != lanes_bytes(add_rows(no_rows(), a + b, marks[::-1].copy()))
    assert found != lanes_bytes(add_rows(no_rows(), a + b))


def test_records_are_hashed_one_by_one() -> None:
    wanted = b"".join(hashlib.sha256(text).digest() for text in (b"ab", b"", b"cde"))
    assert digest_records(b"abcde", [2, 2, 5]) == wanted
    assert digest_records(b"abcd", 2) == sha256(b"ab") + sha256(b"cd")
    assert digest_records(b"", []) == digest_records(b"", 4) == b""
