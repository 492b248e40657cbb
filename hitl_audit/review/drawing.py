"""Drawing without replacement by the hash of an id and a seed, with exact chances. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hitl_audit.canonical import canonical_bytes, seeded_digests, sha256

__all__ = ["Places", "first_of_each", "hash_order", "systematic"]

Places = npt.NDArray[np.intp]


def hash_order(ids: Sequence[str], seed: int) -> Places:
    """The places of the ids, smallest SHA-256 of ``[seed, id]`` first.

    The order is as good as random, and it is that of the ids: whatever the
    order of the rows, the same ids come in the same order.
    """
    hashes = np.frombuffer(seeded_digests(seed, ids), dtype=">u8").reshape(-1, 4)
    return order_of(hashes)


def order_of(hashes: npt.NDArray[np.uint64]) -> Places:
    """Places of (n, 4) hashes in ascending order, the first column counting most."""
    first = hashes[:, 0].astype(np.uint64)
    order = np.argsort(first, kind="stable")
    ranked = first[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort(hashes.T[::-1])
    return order


def first_of_each(order: Places, codes: Places, shares: Sequence[int]) -> Places:
    """The first ``shares[k]`` places of every stratum k, in the order given.

    Args:
        order: (N,) every place once.
        codes: (N,) the stratum of every place.
        shares: (strata,) how many to take.
    """
    grouped = np.argsort(codes[order], kind="stable")
    sizes = np.bincount(codes, minlength=len(shares))
    starts = np.cumsum(sizes) - sizes
    taken = [grouped[start : start + share] for start, share in zip(starts, shares, strict=True)]
    return order[np.sort(np.concatenate(taken))]


def systematic(pi: npt.NDArray[np.float64], line: Places, seed: int) -> Places:
    """Draw exactly Σπ places, each with its chance π.

    The places stand in line, each taking up π; a point is set at random in
    the first unit of length and another after every unit, and the places they
    fall on are drawn (Madow 1949). In a random line this is the procedure of
    Goodman & Kish (J. American Statistical Association 45 (1950), 350-372): its
    variance is that of Hartley & Rao (Annals of Mathematical Statistics 33
    (1962), 350-374), for which that of the Hájek estimator is a close
    approximation; a line sorted by group first draws within one case of Σπ
    from every group, and can only be more precise than that.

    Args:
        pi: (N,) chances, 0 < π ≤ 1, their sum a whole number.
        line: (N,) the places in line.
        seed: the random point comes from its hash.
    """
    certain = pi >= 1
    waiting = line[~certain[line]]
    many = round(float(pi[waiting].sum())) if waiting.size else 0
    ends = np.cumsum(pi[waiting])
    drawn = waiting[:0]
    if many:
        ends *= many / ends[-1]  # rounding of a million additions
        ends[-1] = many
        points = _start(seed) + np.arange(many)
        drawn = waiting[np.searchsorted(ends, points, side="right")]
    return np.concatenate([np.flatnonzero(certain), drawn])


def _start(seed: int) -> float:
    """A number in [0, 1) from the seed alone."""
    whole = int.from_bytes(sha256(canonical_bytes(["systematic start", seed]))[:8], "big")
    return float(whole >> 11) / float(1 << 53)
