"""Gauss-Legendre rules on [0, 1]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["gauss_legendre"]


def gauss_legendre(most: int) -> npt.NDArray[np.float64]:
    """Nodes and weights on [0, 1] for 0 … most points, (most + 1, 2, most)."""
    table = np.zeros((most + 1, 2, max(most, 1)))
    for k in range(1, most + 1):
        x, w = np.polynomial.legendre.leggauss(k)
        table[k, 0, :k], table[k, 1, :k] = (x + 1) / 2, w / 2
    return table
