"""Encoded columns together, and the weights of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hitl_audit.errors import InputError
from hitl_audit.groups import Codes, Feature

__all__ = ["combine", "weights_of"]

# More possible combinations than this are sorted instead of tabulated.
_SORTED_FROM = 4_000_000


def combine(features: Sequence[Feature], rows: int) -> tuple[Codes, npt.NDArray[np.int64]]:
    """The combinations that occur.

    Returns:
        (rows,) the number of each row's combination, and (combinations,
        features) the codes of each, in lexical order.
    """
    if not features:
        return np.zeros(rows, dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    # Every group of a single feature occurs.
    codes, levels = features[0].codes, np.arange(len(features[0].names))[:, None]
    for feature in features[1:]:
        size = len(feature.names)
        # Only combinations that occur are kept at each step, so that many
        # columns with many groups need no table of their product.
        joined = codes * size + feature.codes
        if len(levels) * size > _SORTED_FROM:
            occurs, codes = np.unique(joined, return_inverse=True)
        else:
            occurs = np.flatnonzero(np.bincount(joined, minlength=len(levels) * size))
            place = np.zeros(len(levels) * size, dtype=np.int64)
            place[occurs] = np.arange(len(occurs))
            codes = place[joined]
        levels = np.column_stack([levels[occurs // size], occurs % size])
    return codes, levels


def weights_of(sample_weight: Any, rows: int) -> npt.NDArray[np.float64] | None:
    """Check the weights of the rows.

    Raises:
        InputError: another number of rows, weights that are missing, infinite
            or negative, or none above zero.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("sample_weight has values that are no numbers; accepted: ≥ 0") from None
    if weights.shape != (rows,):
        raise InputError(f"sample_weight has shape {weights.shape}, expected ({rows},)")
    bad = int((~np.isfinite(weights)).sum())
    if bad:
        raise InputError(
            f"sample_weight is missing or infinite in {bad} of {rows} rows; accepted: ≥ 0"
        )
    below = int((weights < 0).sum())
    if below:
        raise InputError(f"sample_weight is negative in {below} of {rows} rows; accepted: ≥ 0")
    if not weights.any():
        raise InputError("sample_weight is zero in every row; accepted: at least one above zero")
    return weights
