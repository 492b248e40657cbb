"""How many points share one place, and how a third number is shown by colour."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["UNSHADED", "colour_of", "spread_out"]

# From dark blue over plum to amber: the luminance rises from end to end, so the
# order survives in grey and for every kind of colour vision.
_STOPS = ((11, 44, 107), (150, 80, 110), (240, 162, 2))
UNSHADED = "#8A929C"
_BINS = 60


def colour_of(shade: float | None) -> str:
    """The colour of a place from 0 (low) to 1 (high); grey for ``None``."""
    if shade is None:
        return UNSHADED
    at = min(1.0, max(0.0, shade)) * (len(_STOPS) - 1)
    left = min(int(at), len(_STOPS) - 2)
    share = at - left
    mixed = (
        round(a + share * (b - a)) for a, b in zip(_STOPS[left], _STOPS[left + 1], strict=True)
    )
    return "#" + "".join(f"{part:02X}" for part in mixed)


def spread_out(
    values: Sequence[float | None], low: float, high: float, *, width: float = 0.4
) -> tuple[float, ...]:
    """Offsets that keep points of nearly the same value apart, within ±width.

    The range is cut into 60 bins; the points of a bin take turns on both sides
    of the middle, in the order given. The fullest bin fills the width, up to
    a twentieth of it per point.
    """
    span = high - low or 1.0
    seen: dict[int, int] = {}
    places = []
    for value in values:
        bin_ = -1 if value is None else int(_BINS * (value - low) / span)
        count = seen.get(bin_, 0)
        seen[bin_] = count + 1
        places.append((count + 1) // 2 * (1 if count % 2 else -1))
    widest = max((abs(p) for p in places), default=0)
    step = min(width / 20, width / widest) if widest else 0.0
    return tuple(p * step for p in places)
