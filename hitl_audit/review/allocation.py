"""How many cases each stratum gets, and what chance each case gets. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError

__all__ = ["ALLOCATIONS", "allocate", "chances"]

Numbers = npt.NDArray[np.float64]

ALLOCATIONS = ("equal", "proportional", "neyman")


def allocate(
    sizes: Mapping[str, int],
    n: int,
    *,
    allocation: str = "equal",
    deviations: Mapping[str, float] | None = None,
    floor: int = 1,
) -> dict[str, int]:
    """Divide n cases among strata, at least ``floor`` each, never more than it has.

    *equal*: the same for each; what is left over goes one each to the largest.
    *proportional*: by size, N_h. *neyman*: by N_h · σ_h, which makes the
    variance of the overall rate smallest (Neyman 1934; Cochran, *Sampling
    Techniques*, 1977, section 5.5). The last two are rounded by the largest
    remainder. Ties go to the larger stratum, then by name.

    Raises:
        InputError: n is below what the floors need.
    """
    least = {label: min(floor, size) for label, size in sizes.items()}
    if n < sum(least.values()):
        per = "one" if floor == 1 else str(floor)
        raise InputError(
            f"sample: got n={n}, expected at least {sum(least.values())}, {per} per stratum"
        )
    if allocation == "equal":
        return _equal(sizes, n)
    weights = {label: float(size) for label, size in sizes.items()}
    if deviations is not None and any(deviations[label] > 0 for label in sizes):
        # A stratum without spread gets its floor, and more only when all others are full.
        tiny = 1e-9 * max(deviations[label] for label in sizes)
        weights = {label: size * max(deviations[label], tiny) for label, size in sizes.items()}
    return _rounded(weights, least, sizes, n)


def chances(
    shares: Numbers, n: int, codes: npt.NDArray[np.intp] | None = None, floor: int = 0
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Inclusion probabilities in proportion to shares: ``π = min(1, c · share)``, ``Σπ = n``.

    With strata every one of them expects at least ``floor`` cases (all of its
    cases if it has fewer): a stratum that would get less is raised to it, in
    proportion within the stratum, and the others share what is left.

    Args:
        shares: (N,) positive numbers.
        n: number of cases, at most N.
        codes: (N,) the stratum of each case.
        floor: expected cases per stratum.

    Returns:
        (N,) chances; (strata,) which strata were raised.

    Raises:
        InputError: n is below what the floors need.
    """
    if codes is None:
        return _capped(shares, n), np.zeros(1, dtype=np.bool_)
    sizes = np.bincount(codes)
    least = np.minimum(floor, sizes)
    if least.sum() > n:
        raise InputError(
            f"sample: got n={n}, expected at least {least.sum()}, the floor of {floor} per stratum"
        )
    raised = np.zeros(len(sizes), dtype=np.bool_)
    while True:
        free = ~raised[codes]
        pi = np.zeros(len(shares))
        pi[free] = _capped(shares[free], n - int(least[raised].sum()))
        short = ~raised & (np.bincount(codes, weights=pi, minlength=len(sizes)) < least - 1e-9)
        if not short.any():
            break
        raised |= short
    for code in np.flatnonzero(raised):
        inside = codes == code
        pi[inside] = _capped(shares[inside], int(least[code]))
    return pi, raised


def _capped(shares: Numbers, n: int) -> Numbers:
    """``min(1, c · share)`` with the c for which they add up to n."""
    pi = np.zeros(len(shares))
    certain = np.zeros(len(shares), dtype=np.bool_)
    while len(shares):
        pi[certain] = 1.0
        left = n - int(certain.sum())
        rest = ~certain
        if not rest.any():
            break
        pi[rest] = shares[rest] * (left / shares[rest].sum())
        over = rest & (pi >= 1 - 1e-12)
        if not over.any():
            break
        certain |= over
    return pi


def _equal(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    shares: dict[str, int] = {}
    waiting = sorted(sizes, key=lambda label: (-sizes[label], label))
    while waiting:
        base, extra = divmod(n - sum(shares.values()), len(waiting))
        small = [label for label in waiting if sizes[label] <= base]
        if not small:
            return shares | {label: base + (i < extra) for i, label in enumerate(waiting)}
        shares |= {label: sizes[label] for label in small}
        waiting = [label for label in waiting if label not in shares]
    return shares


def _rounded(
    weights: Mapping[str, float], least: Mapping[str, int], most: Mapping[str, int], n: int
) -> dict[str, int]:
    """n in proportion to weights within bounds, rounded by the largest remainder."""

    def wanted(scale: float) -> dict[str, float]:
        return {
            label: min(max(scale * weight, least[label]), most[label])
            for label, weight in weights.items()
        }

    low, high = 0.0, max(most[label] / weight for label, weight in weights.items())
    for _ in range(200):
        middle = (low + high) / 2
        if sum(wanted(middle).values()) < n:
            low = middle
        else:
            high = middle
    exact = wanted(high)
    shares = {label: math.floor(share + 1e-9) for label, share in exact.items()}
    queue = sorted(
        (label for label in exact if shares[label] < most[label]),
        key=lambda label: (-round(exact[label] - shares[label], 9), -most[label], label),
    )
    for label in queue[: n - sum(shares.values())]:
        shares[label] += 1
    return shares
