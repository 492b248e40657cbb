"""What a row says, as bytes: the same for every backend, batch and order of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hitl_audit.canonical import digest_records
from hitl_audit.population.batch import Batch, Levels

__all__ = ["row_digests"]

Bytes = npt.NDArray[np.uint8]

_MISSING, _NUMBER, _TEXT = 0, 1, 2


def row_digests(batch: Batch) -> bytes:
    """SHA-256 of every row's values, 32 bytes each, end to end.

    A row's record is one byte per column that says whether it is missing (0), a
    number (1) or text (2); then eight bytes per column, the number as big-endian
    IEEE 754 double (zero if it is none; booleans are 0 and 1; −0.0 is 0.0); then
    the SHA-256 of each text, in the order of the columns. A missing text takes no
    bytes, so that a batch in which a column has none at all is no exception. The names of
    the columns are not in it: they go into the digest of all rows, once.

    Args:
        batch: the rows, with the columns in the order in which they are hashed.
    """
    n, width = batch.frame.shape
    objects = [name for name in batch.frame.columns if batch.frame[name].dtype == object]
    texts: list[tuple[int, Bytes]] = []
    kinds = np.empty((n, width), dtype=np.uint8)
    numbers = np.zeros((n, width), dtype=np.float64)
    for place, name in enumerate(batch.frame.columns):
        if name in objects:
            levels = batch.levels(name)
            kind, number = _of_objects(levels)
            kinds[:, place] = kind[levels.codes]
            if number.any():
                numbers[:, place] = number[levels.codes]
            if (kind == _TEXT).any():
                texts.append((place, _text_digests(levels)[levels.codes]))
        else:
            values = batch.frame[name].to_numpy(dtype=np.float64)
            absent = np.isnan(values)
            kinds[:, place] = ~absent
            # Adding zero makes −0.0 the same as 0.0.
            numbers[:, place] = values + 0.0
            if absent.any():
                numbers[absent, place] = 0.0
    start = 9 * width
    records = np.empty((n, start + 32 * len(texts)), dtype=np.uint8)
    records[:, :width] = kinds
    records[:, width:start] = numbers.astype(">f8").view(np.uint8).reshape(n, 8 * width)
    for i, (_, digests) in enumerate(texts):
        records[:, start + 32 * i : start + 32 * (i + 1)] = digests
    told = np.column_stack([kinds[:, place] == _TEXT for place, _ in texts]) if texts else None
    if told is None or told.all():
        return digest_records(records.tobytes(), records.shape[1])
    every = np.ones(records.shape, dtype=bool)
    every[:, start:] = np.repeat(told, 32, axis=1)
    ends = (start + 32 * told.sum(axis=1, dtype=np.int64)).cumsum()
    return digest_records(records[every].tobytes(), ends.tolist())


def _of_objects(levels: Levels) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """What each level is and, of booleans, its number; the missing one is the last."""
    kind = [_TEXT if isinstance(value, str) else _NUMBER for value in levels.values]
    number = [1.0 if value is True else 0.0 for value in levels.values]
    return np.array([*kind, _MISSING], dtype=np.uint8), np.array([*number, 0.0])


def _text_digests(levels: Levels) -> Bytes:
    """(levels + 1, 32): the SHA-256 of each text, and zeros for the missing one."""
    encoded = [str(value).encode() for value in levels.values]
    ends = np.cumsum([len(text) for text in encoded]).tolist()
    found = np.frombuffer(digest_records(b"".join(encoded), ends), dtype=np.uint8)
    return np.append(found, np.zeros(32, dtype=np.uint8)).reshape(-1, 32)
