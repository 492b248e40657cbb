"""How large the impact on each group is, by several measures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hitl_audit.fairness.rates import EFFECTIVE, RATES
from hitl_audit.fairness.reference import LOWER_IS_BETTER
from hitl_audit.fairness.significance import detectable_difference, odds_ratio
from hitl_audit.findings import Comparison

__all__ = ["detectable_differences", "impact_rows"]

_FOUR_FIFTHS = Fraction(4, 5)


def impact_rows(pairs: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One row per ratio, as ``GroupMetrics.impact_frame`` describes it."""
    detectable = detectable_differences(pairs)
    rows = []
    for c in pairs:
        if c.compare != "ratio" or c.reference_count is None:
            continue
        rate, base = c.count.rate, c.reference_count.rate
        exact = rate / base if rate is not None and base else None
        odds = odds_ratio(
            c.count.successes,
            c.count.total,
            c.reference_count.successes,
            c.reference_count.total,
            confidence=c.confidence,
        )
        rows.append(
            {
                "attribute": c.attribute,
                "group": c.group,
                "reference": c.reference,
                "n": c.count.total,
                "reference_n": c.reference_count.total,
                "impact_ratio": c.value,
                "low": c.low,
                "high": c.high,
                "method": c.method,
                "exact": None if exact is None else str(exact),
                "below_four_fifths": None if exact is None else exact < _FOUR_FIFTHS,
                "standardized_difference": _standardized(rate, base),
                "odds_ratio": odds[0] if odds else None,
                "odds_low": odds[1] if odds else None,
                "odds_high": odds[2] if odds else None,
                "odds_method": "Woolf, logarithmic",
                "p_value": c.p_value,
                "p_adjusted": c.p_adjusted,
                "test": c.test,
                "detectable_difference": detectable.get((c.metric, c.attribute, c.group)),
                "status": "small group" if c.small else "undefined" if exact is None else "ok",
            }
        )
    return rows


def detectable_differences(pairs: Sequence[Comparison]) -> dict[tuple[str, str, str], float]:
    """(metric, attribute, group) → the difference to its disadvantage found at 80 % power.

    Of counted proportions only: with weights the counts do not say.
    """
    found: dict[tuple[str, str, str], float] = {}
    counted = [
        (c, c.reference_count)
        for c in pairs
        if c.compare == "ratio"
        and c.metric in RATES
        and c.reference_count is not None
        and not c.method.endswith(EFFECTIVE)
    ]
    for above in (False, True):
        asked = [(c, r) for c, r in counted if (c.metric in LOWER_IS_BETTER) is above]
        if not asked:
            continue
        sizes = detectable_difference(
            [c.count.total for c, _ in asked],
            [r.successes for _, r in asked],
            [r.total for _, r in asked],
            confidence=asked[0][0].confidence,
            above=above,
        )
        for (c, _), size in zip(asked, sizes, strict=True):
            if not np.isnan(size):
                found[c.metric, c.attribute, c.group] = float(size)
    return found


def _standardized(rate: Fraction | None, base: Fraction | None) -> float | None:
    if rate is None or base is None:
        return None
    variance = (rate * (1 - rate) + base * (1 - base)) / 2
    return float(rate - base) / float(variance) ** 0.5 if variance else None
