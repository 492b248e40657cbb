"""What a row says, as bytes: the same for every backend, batch and order of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import digest_records

__all__ = ["row_digests", "scored_digests"]

Bytes = npt.NDArray[np.uint8]

# What a row's record begins with, so that records of two kinds are never the same bytes.
_ROW, _SCORED = b"r", b"s"
_MISSING, _NUMBER, _TEXT = 0, 1, 2


def row_digests(frame: pd.DataFrame) -> bytes:
    """SHA-256 of every row's values, 32 bytes each, end to end.

    A row's record is one byte per column that says whether it is missing (0), a
    number (1) or text (2); then eight bytes per column, the number as big-endian
    IEEE 754 double (zero if it is none; booleans are 0 and 1; −0.0 is 0.0); then
    the SHA-256 of each text, in the order of the columns. The names of the columns
    are not in it: they go into the digest of all rows, once.

    Args:
        frame: rows as :func:`hitl_audit.rows.normal_frame` has them.
    """
    n, width = frame.shape
    kinds = np.full((n, width), _MISSING, dtype=np.uint8)
    numbers = np.zeros((n, width), dtype=">f8")
    texts: list[tuple[int, Bytes]] = []
    for place, name in enumerate(frame.columns):
        column = frame[name]
        if column.dtype != object:
            values = column.to_numpy(dtype=np.float64)
            present = ~np.isnan(values)
            kinds[:, place] = present
            # Adding zero makes −0.0 the same as 0.0.
            numbers[:, place] = np.where(present, values + 0.0, 0.0)
            continue
        codes, levels = pd.factorize(column.to_numpy())
        of_level = [_NUMBER if not isinstance(level, str) else _TEXT for level in levels]
        kinds[:, place] = np.array([*of_level, _MISSING], dtype=np.uint8)[codes]
        as_numbers = [
            0.0 if k == _TEXT else float(v) for k, v in zip(of_level, levels, strict=True)
        ]
        numbers[:, place] = np.array([*as_numbers, 0.0])[codes] + 0.0
        if _TEXT in of_level:
            encoded = [str(level).encode() for level in levels]
            ends = np.cumsum([len(text) for text in encoded]).tolist()
            digests = np.frombuffer(digest_records(b"".join(encoded), ends), dtype=np.uint8)
            texts.append((place, np.append(digests, np.zeros(32, np.uint8)).reshape(-1, 32)[codes]))
    head = np.empty((n, 1 + 9 * width + 32 * len(texts)), dtype=np.uint8)
    head[:, 0] = ord(_ROW)
    head[:, 1 : 1 + width] = kinds
    head[:, 1 + width : 1 + 9 * width] = numbers.view(np.uint8).reshape(n, 8 * width)
    told = np.ones(head.shape, dtype=bool)
    for i, (place, digests) in enumerate(texts):
        columns = slice(1 + 9 * width + 32 * i, 1 + 9 * width + 32 * (i + 1))
        head[:, columns] = digests
        told[:, columns] = (kinds[:, place] == _TEXT)[:, None]
    if told.all():
        return digest_records(head.tobytes(), head.shape[1])
    # A missing text takes no bytes, so that a batch in which a column has none is no exception.
    ends = told.sum(axis=1, dtype=np.int64).cumsum()
    return digest_records(head[told].tobytes(), ends.tolist())


def scored_digests(digests: bytes, scores: npt.NDArray[np.int64]) -> bytes:
    """SHA-256 of every row's digest together with its score's key, 32 bytes each.

    Args:
        digests: of :func:`row_digests`.
        scores: (rows,) keys of the scores (:mod:`hitl_audit.population.score_keys`).
    """
    records = np.empty((len(scores), 41), dtype=np.uint8)
    records[:, 0] = ord(_SCORED)
    records[:, 1:33] = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)
    records[:, 33:] = scores.astype(">i8").view(np.uint8).reshape(-1, 8)
    return digest_records(records.tobytes(), 41)
