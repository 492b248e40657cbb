"""How errors are measured and compared: exact counts of 0 and 1, or means of losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hitl_audit.intervals import Count, newcombe, wilson

__all__ = ["Estimate", "Gauge", "Kind"]

Floats = npt.NDArray[np.float64]
Kind = Literal["error rate", "mean loss"]
Estimate = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Gauge:
    """How errors are measured: counts of 0 and 1 exactly, losses by their mean."""

    kind: Kind
    confidence: float

    @property
    def method(self) -> str:
        """Name of the intervals, of a slice and of a difference."""
        return "Wilson, Newcombe" if self.kind == "error rate" else "Student t, Welch t"

    @property
    def test(self) -> str:
        """Name of the test."""
        return "Fisher exact, two-sided" if self.kind == "error rate" else "Welch t, two-sided"

    def estimate(self, loss: Floats) -> Estimate:
        """Error rate or mean loss of some rows, with its interval."""
        if len(loss) == 0:
            return None, None, None
        mean = float(loss.mean())
        if self.kind == "error rate":
            bounds = wilson(_count(loss), confidence=self.confidence) or (None, None)
            return mean, *bounds
        if len(loss) < 2:
            return mean, None, None
        from scipy.stats import t

        reach = float(t.ppf((1 + self.confidence) / 2, len(loss) - 1))
        reach *= float(loss.std(ddof=1)) / math.sqrt(len(loss))
        return mean, mean - reach, mean + reach

    def compare(self, loss: Floats, rest: Floats) -> tuple[Estimate, float | None]:
        """Difference slice − rest with interval, and the p value of equal errors."""
        if len(loss) == 0 or len(rest) == 0:
            return (None, None, None), None
        difference = float(loss.mean() - rest.mean())
        if self.kind == "error rate":
            from scipy.stats import fisher_exact

            one, two = _count(loss), _count(rest)
            bounds = newcombe(one, two, confidence=self.confidence) or (None, None)
            cells = np.array([[c.successes, c.total - c.successes] for c in (one, two)])
            return (difference, *bounds), float(fisher_exact(cells)[1])
        spread = loss.std() + rest.std() if min(len(loss), len(rest)) > 1 else 0.0
        if spread == 0:
            return (difference, None, None), None
        from scipy.stats import ttest_ind

        result = ttest_ind(loss, rest, equal_var=False)
        interval = result.confidence_interval(self.confidence)
        return (difference, float(interval.low), float(interval.high)), float(result.pvalue)


def _count(loss: Floats) -> Count:
    return Count(int(loss.sum()), len(loss))
