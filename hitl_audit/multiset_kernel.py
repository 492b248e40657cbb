"""The ChaCha20 key streams of many keys, added up. Importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

__all__ = ["add_key_streams"]

u32 = np.uint32


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # a read-only or zipped installation: compiled anew in each session
        return numba.njit(cache=False, **options)(function)


def _quarter_round(a: Any, b: Any, c: Any, d: Any) -> Any:
    """RFC 8439, section 2.1. numba widens sums of 32 bits to 64, hence the casts."""
    a = u32(a + b)
    d = u32(d ^ a)
    d = u32(u32(d << u32(16)) | u32(d >> u32(16)))
    c = u32(c + d)
    b = u32(b ^ c)
    b = u32(u32(b << u32(12)) | u32(b >> u32(20)))
    a = u32(a + b)
    d = u32(d ^ a)
    d = u32(u32(d << u32(8)) | u32(d >> u32(24)))
    c = u32(c + d)
    b = u32(b ^ c)
    b = u32(u32(b << u32(7)) | u32(b >> u32(25)))
    return a, b, c, d


_quarter = _compiled(_quarter_round, inline="always")

# "expand 32-byte k", as four little-endian words.
_C0, _C1, _C2, _C3 = u32(0x61707865), u32(0x3320646E), u32(0x79622D32), u32(0x6B206574)


def _add_key_streams(keys: Any, nonces: Any, lanes: Any) -> None:
    """Add every key's stream to the lanes, two lanes of 16 bits in each word.

    Args:
        keys: (rows, 8) words.
        nonces: (rows, 3) words.
        lanes: (16, 32) word i of block j; changed in place.
    """
    x = np.empty((16, 32), np.uint32)
    start = np.empty((16, 32), np.uint32)
    for j in range(32):
        start[0, j] = _C0
        start[1, j] = _C1
        start[2, j] = _C2
        start[3, j] = _C3
        start[12, j] = u32(j)
    for r in range(keys.shape[0]):
        for i in range(8):
            for j in range(32):
                start[4 + i, j] = keys[r, i]
        for i in range(3):
            for j in range(32):
                start[13 + i, j] = nonces[r, i]
        for i in range(16):
            for j in range(32):
                x[i, j] = start[i, j]
        for _ in range(10):
            # Written out, because only straight code over the blocks j is vectorised.
            for j in range(32):
                x0, x1, x2, x3 = x[0, j], x[1, j], x[2, j], x[3, j]
                x4, x5, x6, x7 = x[4, j], x[5, j], x[6, j], x[7, j]
                x8, x9, x10, x11 = x[8, j], x[9, j], x[10, j], x[11, j]
                x12, x13, x14, x15 = x[12, j], x[13, j], x[14, j], x[15, j]
                x0, x4, x8, x12 = _quarter(x0, x4, x8, x12)
                x1, x5, x9, x13 = _quarter(x1, x5, x9, x13)
                x2, x6, x10, x14 = _quarter(x2, x6, x10, x14)
                x3, x7, x11, x15 = _quarter(x3, x7, x11, x15)
                x0, x5, x10, x15 = _quarter(x0, x5, x10, x15)
                x1, x6, x11, x12 = _quarter(x1, x6, x11, x12)
                x2, x7, x8, x13 = _quarter(x2, x7, x8, x13)
                x3, x4, x9, x14 = _quarter(x3, x4, x9, x14)
                x[0, j], x[1, j], x[2, j], x[3, j] = x0, x1, x2, x3
                x[4, j], x[5, j], x[6, j], x[7, j] = x4, x5, x6, x7
                x[8, j], x[9, j], x[10, j], x[11, j] = x8, x9, x10, x11
                x[12, j], x[13, j], x[14, j], x[15, j] = x12, x13, x14, x15
        for i in range(16):
            for j in range(32):
                word, sum_ = u32(x[i, j] + start[i, j]), lanes[i, j]
                high = u32(u32(word & u32(0xFFFF0000)) + u32(sum_ & u32(0xFFFF0000)))
                lanes[i, j] = u32(high | u32(u32(word + sum_) & u32(0xFFFF)))


add_key_streams = _compiled(_add_key_streams)
