"""Koopman's interval of many ratios at once; one at a time it is :func:`intervals.koopman`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["koopman_bounds"]

Array = npt.NDArray[np.float64]


def koopman_bounds(
    z: float, x: npt.ArrayLike, n: npt.ArrayLike, y: npt.ArrayLike, m: npt.ArrayLike
) -> tuple[Array, Array]:
    """Asymptotic score interval of the ratios (x / n) / (y / m), element by element.

    Args:
        z: normal quantile of the confidence.
        x, n: (pairs,) successes and rows of the groups; n above 0.
        y, m: (pairs,) successes and rows of the references; m above 0.

    Returns:
        (pairs,) lower bounds, 0 without successes; and upper bounds, infinite
        if the reference has none.
    """
    x, n, y, m = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (x, n, y, m)))

    def score(log_ratio: Array) -> Array:
        ratio = np.exp(log_ratio)
        b = n * ratio + x + m + y * ratio
        c = x + y
        root = np.sqrt(np.maximum(b * b - 4 * (n + m) * ratio * c, 0.0))
        p2 = 2 * c / (b + root)
        p1 = ratio * p2
        variance = np.maximum(p1 * (1 - p1), 0) / n + ratio**2 * np.maximum(p2 * (1 - p2), 0) / m
        distance = x / n - ratio * y / m
        # Without variance any distance at all is infinitely far.
        far = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        result: Array = np.where(
            variance > 0, distance / np.sqrt(np.where(variance > 0, variance, 1.0)), far
        )
        return result

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        centre = np.where((x > 0) & (y > 0), np.log(x * m / np.maximum(n * y, 1e-300)), 0.0)
        # Both bounds at once: (2, pairs) costs hardly more than (pairs,).
        level = np.array([[z], [-z]])
        low, high = np.exp(
            _falls_to(score, level, np.stack([centre] * 2), np.stack([x > 0, y > 0]))
        )
    return np.where(x > 0, low, 0.0), np.where(y > 0, high, np.inf)


def _falls_to(score: Any, level: Array, start: Array, wanted: npt.NDArray[np.bool_]) -> Array:
    """Where a falling function passes a level: bracket by doubling steps, then halve."""
    low, high = start.copy(), start.copy()
    step = 0.5
    while (short := wanted & (score(low) < level)).any():
        low, step = np.where(short, low - step, low), 2 * step
    step = 0.5
    while (short := wanted & (score(high) > level)).any():
        high, step = np.where(short, high + step, high), 2 * step
    while (wide := wanted & (high - low > 1e-13 * np.maximum(1.0, np.abs(low)))).any():
        middle = (low + high) / 2
        above = score(middle) > level
        low = np.where(wide & above, middle, low)
        high = np.where(wide & ~above, middle, high)
    return (low + high) / 2
