"""Tables of means of attributions, with intervals, from sums over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.group_sums import GroupSums

__all__ = ["differences", "importance", "means_by_group"]

FloatArray = npt.NDArray[np.float64]
Cells = Mapping[tuple[str, str], GroupSums]

MEASURED = "measured"
TOO_FEW = "insufficient data"
MEASURES = ("mean_abs", "mean")
_COLUMNS = ("attribute", "group", "feature", "mean_abs", "low", "high", "mean", "n")
_DIFFERENCES = (
    "attribute",
    "group",
    "reference",
    "feature",
    "measure",
    "value",
    "low",
    "high",
    "n",
    "n_reference",
    "status",
)


def importance(features: Sequence[str], sums: GroupSums, confidence: float) -> pd.DataFrame:
    """feature, mean_abs, low, high, n; strongest first."""
    low, high = _bounds(sums, confidence)
    table = pd.DataFrame(
        {
            "feature": list(features),
            "mean_abs": sums.mean("mean_abs"),
            "low": low,
            "high": high,
            "n": sums.n,
        }
    )
    return table.sort_values("mean_abs", ascending=False, kind="stable", ignore_index=True)


def means_by_group(features: Sequence[str], cells: Cells, confidence: float) -> pd.DataFrame:
    """attribute, group, feature, mean_abs, low, high, mean, n."""
    tables = []
    for (attribute, group), sums in cells.items():
        low, high = _bounds(sums, confidence)
        tables.append(
            pd.DataFrame(
                {
                    "attribute": attribute,
                    "group": group,
                    "feature": list(features),
                    "mean_abs": sums.mean("mean_abs"),
                    "low": low,
                    "high": high,
                    "mean": sums.mean("mean"),
                    "n": sums.n,
                }
            )
        )
    _check(confidence)
    if not tables:
        return pd.DataFrame(columns=list(_COLUMNS))
    return pd.concat(tables, ignore_index=True)


def differences(
    features: Sequence[str],
    cells: Cells,
    reference: Mapping[str, str],
    confidence: float,
    min_group: int,
) -> pd.DataFrame:
    """Each group against its attribute's reference group; see ``AttributionSums.differences``."""
    _check(confidence)
    attributes = list(dict.fromkeys(attribute for attribute, _ in cells))
    for name in reference:
        if name not in attributes:
            raise InputError(
                f'reference names "{name}"; accepted: {", ".join(attributes)}'
                f"{did_you_mean(name, attributes)}"
            )
    tables = []
    for attribute in attributes:
        groups = {group: sums for (name, group), sums in cells.items() if name == attribute}
        chosen = reference.get(attribute, max(sorted(groups), key=lambda g: groups[g].n))
        if chosen not in groups:
            raise InputError(
                f'reference for "{attribute}" is "{chosen}"; accepted: {", ".join(groups)}'
                f"{did_you_mean(chosen, groups)}"
            )
        for group, sums in groups.items():
            if group == chosen:
                continue
            for measure in MEASURES:
                value, low, high = _welch(sums, groups[chosen], measure, confidence, min_group)
                few = min(sums.n, groups[chosen].n) < max(2, min_group)
                tables.append(
                    pd.DataFrame(
                        {
                            "attribute": attribute,
                            "group": group,
                            "reference": chosen,
                            "feature": list(features),
                            "measure": measure,
                            "value": value,
                            "low": low,
                            "high": high,
                            "n": sums.n,
                            "n_reference": groups[chosen].n,
                            "status": TOO_FEW if few else MEASURED,
                        }
                    )
                )
    if not tables:
        return pd.DataFrame(columns=list(_DIFFERENCES))
    return pd.concat(tables, ignore_index=True)


def _bounds(sums: GroupSums, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Student's interval of the mean size; a mean of sizes is never below 0."""
    from scipy.stats import t

    _check(confidence)
    mean, error = sums.mean("mean_abs"), np.sqrt(sums.variance_of_mean("mean_abs"))
    if sums.n < 2:
        return error, error.copy()
    reach = float(t.ppf((1 + confidence) / 2, sums.n - 1)) * error
    return np.maximum(0.0, mean - reach), mean + reach


def _welch(
    one: GroupSums, other: GroupSums, measure: str, confidence: float, min_group: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Difference of means and its interval (Welch 1947, doi 10.1093/biomet/34.1-2.28)."""
    from scipy.stats import t

    value = one.mean(measure) - other.mean(measure)
    none = np.full(len(value), np.nan)
    if min(one.n, other.n) < max(2, min_group):
        return value, none, none.copy()
    a, b = one.variance_of_mean(measure), other.variance_of_mean(measure)
    both = a + b
    # Without any spread there is one value on each side, and the difference is exact.
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom: Any = both**2 / (a**2 / (one.n - 1) + b**2 / (other.n - 1))
    known = np.where(both > 0, freedom, 1.0)
    reach = np.where(both > 0, t.ppf((1 + confidence) / 2, known) * np.sqrt(both), 0.0)
    return value, value - reach, value + reach


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a number between 0 and 1")
