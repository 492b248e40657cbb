"""Edited rows on which a fast way to predict is compared with the model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hitl_audit.what_if.controls import Control
from hitl_audit.what_if.population import Population

__all__ = ["trial_rows"]

FloatArray = npt.NDArray[np.float64]

_TRIALS = 200


def trial_rows(
    population: Population, controls: Mapping[str, Control], random_state: int
) -> FloatArray:
    """Real rows with one to four features set to what a person could set them to."""
    rng = np.random.default_rng([random_state, 1])
    n, p = population.codes.shape
    rows = population.codes[rng.integers(n, size=_TRIALS)].copy()
    listed = tuple(controls.values())
    for row in rows:
        for j in rng.choice(p, size=min(p, int(rng.integers(1, 5))), replace=False):
            control = listed[j]
            ends = control.slider
            if ends is None:
                known = [population.code(j, v) for v in control.categories]
                row[j] = rng.choice(known) if known else row[j]
            elif rng.random() < 0.5:
                number = round(float(rng.uniform(*ends)), control.decimals)
                row[j] = float(np.rint(number)) if control.kind == "integer" else number
            else:
                row[j] = population.codes[rng.integers(n), j]
    return rows
