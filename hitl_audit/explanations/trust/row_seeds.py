"""Random numbers of a row that depend on the row and a seed, not on the rows beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["row_generators"]


def row_generators(frame: pd.DataFrame, *, random_state: int) -> list[np.random.Generator]:
    """One generator per row, seeded by its values and its index label."""
    hashes = pd.util.hash_pandas_object(frame, index=True)
    return [np.random.default_rng([random_state, h]) for h in hashes.tolist()]
