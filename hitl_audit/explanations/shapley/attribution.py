"""What one path to SHAP values gives, before it is compared with the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Attribution", "NotApplicableError"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions (n, p), base values (n,), and how they were found."""

    values: FloatArray
    base: FloatArray
    algorithm: str
    exact: bool
    notes: tuple[str, ...]


class NotApplicableError(Exception):
    """This path does not exist for this model; the message says why."""
