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
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import canonical_bytes, seeded_digests, sha256

__all__ = ["RowSample", "joined_samples", "no_sample", "priorities", "sample_rows"]

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
        return joined_samples([self, other])

    @property
    def last(self) -> int | None:
        """The priority above which no row can enter any more; ``None`` while there is room."""
        return int(self.priority[-1]) if len(self) >= self.size > 0 else None

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


def joined_samples(samples: Sequence[RowSample]) -> RowSample:
    """The sample of the rows of all of them."""
    size = max(sample.size for sample in samples)
    full = [sample for sample in samples if len(sample)]
    if len(full) < 2:
        return replace(full[0] if full else samples[0], size=size)
    priority = np.concatenate([sample.priority for sample in full])
    digest = np.concatenate([sample.digest for sample in full])
    chosen = _smallest(priority, digest, size)
    frames = pd.concat([sample.frame for sample in full], ignore_index=True)
    return RowSample(
        size,
        priority[chosen],
        digest[chosen],
        np.concatenate([sample.ids for sample in full])[chosen],
        frames.take(chosen).reset_index(drop=True),
    )


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
    # The content's SHA-256 is as good as random already; the seed has to put it in another order.
    secret = np.frombuffer(sha256(canonical_bytes([seed, "sample"])), dtype=">u8").astype(np.uint64)
    words = np.frombuffer(digests, dtype=">u8").reshape(-1, 4).astype(np.uint64)
    return _mixed(_mixed(words[:, 0] ^ secret[0]) ^ words[:, 1] ^ secret[1])


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


def _mixed(x: Priorities) -> Priorities:
    """Every bit in reach of every other: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


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
