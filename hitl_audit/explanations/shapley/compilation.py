"""How inner loops are compiled. Importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """numba's compilation on the first call, kept on disk where there is a place for it."""
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # a read-only or zipped installation: compiled anew in each session
        return numba.njit(cache=False, **options)(function)
