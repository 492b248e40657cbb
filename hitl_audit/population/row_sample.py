"""A uniform random sample of rows that does not depend on their order or division.

The sample is the ``size`` rows with the smallest priorities. A row's priority is
64 bits of a seeded hash: of its identifier if the data have one, otherwise of its
content. Rows of one priority are put in the order of their whole content; rows of
one content are the same in every column, so it makes no difference which of them
are taken. Hence rows that are exact copies enter together (each with the same
probability as any other row, but not independently of its copies), up to the last
place, where only as many are taken as there is room for; and with identifiers, all
rows of a sampled identifier are in the sample, so that an identifier that occurs
twice is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import canonical_bytes, seeded_digests, sha256

__all__ = ["RowSample", "no_sample", "priorities", "sample_rows"]

Priorities = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class RowSample:
    """The rows with the smallest priorities, in order.

    Attributes:
        size: how many rows are kept at most.
        priority: (rows,) rising.
        digest: (rows,) of ``S32``: the content of each row.
        ids: (rows,) the identifier of each row as text; "" if the data have none.
        frame: (rows, columns) the rows, with the uniform values of
            :func:`hitl_audit.rows.normal_frame`.
    """

    size: int
    priority: Priorities
    digest: npt.NDArray[np.bytes_]
    ids: npt.NDArray[np.object_]
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.priority)

    def __add__(self, other: RowSample) -> RowSample:
        if not len(other):
            return self
        if not len(self):
            return other
        priority = np.concatenate([self.priority, other.priority])
        digest = np.concatenate([self.digest, other.digest])
        chosen = _smallest(priority, digest, self.size)
        frames = pd.concat([_plain(self.frame), _plain(other.frame)], ignore_index=True)
        return RowSample(
            self.size,
            priority[chosen],
            digest[chosen],
            np.concatenate([self.ids, other.ids])[chosen],
            frames.take(chosen).reset_index(drop=True),
        )

    def uniform(self) -> pd.DataFrame:
        """The rows, each column of the one type that its values have."""
        return pd.DataFrame(
            {name: _typed(self.frame[name]) for name in self.frame.columns},
            index=pd.RangeIndex(len(self)),
        )

    def repeated_ids(self) -> list[str]:
        """Identifiers of several rows of the sample, sorted."""
        names, times = np.unique(self.ids.astype(str), return_counts=True)
        return [str(name) for name in names[times > 1] if name]


def no_sample(size: int) -> RowSample:
    """The sample of no rows."""
    return RowSample(
        size,
        np.zeros(0, dtype=np.uint64),
        np.zeros(0, dtype="S32"),
        np.zeros(0, dtype=object),
        pd.DataFrame(),
    )


def priorities(seed: int, digests: bytes, ids: Sequence[str] | None) -> Priorities:
    """(rows,) 64 bits that are as good as random, the same for a row everywhere.

    Args:
        seed: of the audit.
        digests: 32 bytes for the content of each row.
        ids: (rows,) identifiers, if there are any.
    """
    if ids is not None:
        digests = seeded_digests(seed, ids)
        return _first_bytes(digests)
    # The content's SHA-256 is as good as random already; the seed says where the smallest are.
    mask = np.frombuffer(sha256(canonical_bytes([seed, "sample"]))[:8], dtype=">u8").astype(
        np.uint64
    )
    return _first_bytes(digests) ^ mask


def sample_rows(
    frame: pd.DataFrame,
    *,
    size: int,
    seed: int,
    digests: bytes,
    ids: Sequence[str] | None,
    below: int | None = None,
) -> RowSample:
    """The sample of some rows.

    Args:
        frame: the rows.
        size: how many to keep at most.
        seed: of the audit.
        digests: 32 bytes for the content of each row.
        ids: (rows,) identifiers, if there are any.
        below: the largest priority that can still enter; larger ones are not looked at.
    """
    priority = priorities(seed, digests, ids)
    content = np.frombuffer(digests, dtype="S32") if digests else np.zeros(0, dtype="S32")
    near = np.arange(len(priority))
    if below is not None:
        near = np.flatnonzero(priority <= np.uint64(below))
    chosen = near[_smallest(priority[near], content[near], size)]
    names = np.array(ids, dtype=object) if ids is not None else np.full(len(frame), "", object)
    return RowSample(
        size,
        priority[chosen],
        content[chosen],
        names[chosen],
        frame.take(chosen).reset_index(drop=True),
    )


def _first_bytes(digests: bytes) -> Priorities:
    return np.frombuffer(digests, dtype=">u8").reshape(-1, 4)[:, 0].astype(np.uint64)


def _smallest(
    priority: Priorities, digest: npt.NDArray[np.bytes_], size: int
) -> npt.NDArray[np.intp]:
    places = np.arange(len(priority))
    if len(priority) > size:
        # All rows of the last priority compete for the last places.
        last = np.partition(priority, size - 1)[size - 1]
        places = np.flatnonzero(priority <= last)
    order = np.lexsort((digest[places], priority[places]))[:size]
    return places[order]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """As objects: frames of other types could otherwise not be put together unchanged."""
    return frame.astype(object)


def _typed(column: pd.Series) -> pd.Series:
    """Booleans, numbers (or nothing at all), or objects, whatever batches the rows were in."""
    values = column.to_numpy(dtype=object)
    known = values[~pd.isna(values)]
    if len(known) and len(known) == len(values) and all(isinstance(v, bool) for v in known):
        return pd.Series(values.astype(bool))
    if all(isinstance(v, float | int) and not isinstance(v, bool) for v in known):
        return pd.Series(values.astype(np.float64))
    whole = np.where(pd.isna(values), np.nan, values)
    return pd.Series(whole, dtype=object)
