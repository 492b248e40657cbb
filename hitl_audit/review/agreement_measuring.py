"""Every coefficient of one table of ratings, or the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hitl_audit.intervals import Count, scaled_interval
from hitl_audit.review import agreement_coefficients as formulas
from hitl_audit.review.agreement_coefficients import Estimate
from hitl_audit.review.agreement_ratings import Ratings
from hitl_audit.review.agreement_result import Coefficient, Prevalence
from hitl_audit.review.agreement_words import Measured, reading

__all__ = [
    "MIN_OTHER",
    "MIN_UNITS",
    "N_BOOT",
    "Asked",
    "measure_coefficients",
    "measure_prevalence",
]

FloatArray = npt.NDArray[np.float64]

MIN_UNITS = 10
"""With fewer units that two people rated, no coefficient is estimated."""

MIN_OTHER = 5
"""With fewer units that got another answer than the most frequent one, no kappa and no
alpha is estimated: its interval would hold the true value in half of all cases or less
(``benchmarks/consensus.py``). Raw agreement and AC1 do not suffer so."""

N_BOOT = 1000
"""Resamples of the units, for ordinal alpha."""

_PARTS = 1_000_000


@dataclass(frozen=True, eq=False)
class Asked:
    """The rated units and what is to be measured on them."""

    table: Ratings
    codes: npt.NDArray[np.int64]  # units with a rating × raters with a rating
    counts: FloatArray
    level: str
    weights: str
    matrix: FloatArray | None  # None: weights need an order, and there is none
    confidence: float
    random_state: int

    @property
    def identity(self) -> FloatArray:
        """(q, q) no credit for a near miss."""
        return np.eye(len(self.table.categories))


def measure_coefficients(asked: Asked) -> tuple[Coefficient, ...]:
    """Every coefficient, always the same ones in the same order."""
    return tuple(_coefficient(asked, *one) for one in _COEFFICIENTS)


def measure_prevalence(asked: Asked) -> tuple[Prevalence, ...]:
    """How often each category was given, and how often others then gave it too."""
    total, units = int(asked.counts.sum()), len(asked.counts)
    found = []
    for k, category in enumerate(asked.table.categories):
        count = int(asked.counts[:, k].sum())
        share: tuple[float | None, float | None, float | None] = (None, None, None)
        if units >= MIN_UNITS:
            share = (
                count / total,
                *_wilson(Count(count, total), units / total, asked.confidence),
            )
        status = "estimated" if units >= MIN_UNITS else "insufficient data"
        n, *specific = _specific(asked, k)
        found.append(Prevalence(category, count, total, *share, status, n, *specific))
    return tuple(found)


def _specific(asked: Asked, k: int) -> tuple[int, float | None, float | None, float | None]:
    value, error, units = formulas.specific_agreement(asked.counts[:, k], asked.counts.sum(axis=1))
    if units < MIN_UNITS or value is None:
        return units, None, None, None
    if not error:
        return units, value, *_wilson(_share(value), units / _PARTS, asked.confidence)
    reach = _t(asked.confidence, units - 1) * error
    return units, value, max(0.0, value - reach), min(1.0, value + reach)


def _wilson(count: Count, factor: float, confidence: float) -> tuple[float, float]:
    interval = scaled_interval("Wilson", count, None, confidence=confidence, factor=factor)
    assert interval is not None  # there are ratings  # noqa: S101
    return interval


def _coefficient(
    asked: Asked, name: str, measure: Callable[[Asked], Estimate], needs: tuple[str, ...]
) -> Coefficient:
    if "two raters" in needs and asked.codes.shape[1] == 2:
        both = (asked.codes >= 0).all(axis=1)
        asked = replace(asked, codes=asked.codes[both], counts=asked.counts[both])
    paired = asked.counts.sum(axis=1) > 1
    units, ratings = int(paired.sum()), int(asked.counts[paired].sum())
    raters = int((asked.codes[paired] >= 0).any(axis=0).sum())

    def without(status: str, why: str) -> Coefficient:
        none = (None,) * 5
        return Coefficient(name, *none, units, raters, ratings, "", status, why)

    refused = _refusal(asked, name, needs, units)
    if refused:
        return without(*refused)
    estimate = measure(asked)
    if estimate.value is None:
        return without("not defined", _nothing_left(asked))
    low, high, method = _interval(asked, name, estimate, units)
    return Coefficient(
        name=name,
        value=estimate.value,
        low=low,
        high=high,
        observed=estimate.observed,
        expected=estimate.expected,
        n_units=units,
        n_raters=raters,
        n_ratings=ratings,
        method=method,
        status="estimated",
        reading=reading(
            name,
            Measured(estimate.value, low, high),
            estimate.observed,
            estimate.expected,
            level=asked.level,
            raters=raters,
            units=units,
            confidence=asked.confidence,
        ),
    )


def _refusal(asked: Asked, name: str, needs: tuple[str, ...], units: int) -> tuple[str, str] | None:
    """The status and the reason why a coefficient is not measured."""
    raters, table = asked.codes.shape[1], asked.table
    if raters == 0:
        return "insufficient data", "No ratings."
    if raters == 1:
        return "not defined", "One rater only; agreement is between two."
    if "two raters" in needs and raters != 2:
        return "not defined", (
            f"For two raters; here are {raters}. "
            "Fleiss' and Conger's kappa, alpha and AC1 are for any number."
        )
    if "weights" in needs:
        if asked.weights == "identity":
            return "not asked for", "No weights: a near miss counts as a miss."
        if asked.matrix is None:
            return "not defined", _NO_ORDER
    if "level" in needs:
        if asked.level == "ordinal" and not table.ordered:
            return "not defined", _NO_ORDER
        if asked.level in ("interval", "ratio") and not table.numeric:
            return "not defined", f"Level {asked.level} is for numbers, and the ratings are none."
        if asked.level == "ratio" and min(map(float, table.categories)) < 0:
            return "not defined", "Level ratio is for numbers from 0 on, and some are negative."
    if units < MIN_UNITS:
        whose = "both raters" if "two raters" in needs else "two raters or more"
        return "insufficient data", (
            f"{units} units were rated by {whose}; at least {MIN_UNITS} are needed."
        )
    if "variety" in needs:
        paired = asked.counts[asked.counts.sum(axis=1) > 1]
        most = int(asked.counts.sum(axis=0).argmax())
        other = int((paired.sum(axis=1) > paired[:, most]).sum())
        if 0 < other < MIN_OTHER:
            return "insufficient data", (
                f"Only {other} of {units} units got another answer than "
                f'"{table.categories[most]}"; '
                f"at least {MIN_OTHER} are needed to tell agreement from chance."
            )
    return None


def _nothing_left(asked: Asked) -> str:
    used = np.flatnonzero(asked.counts.sum(axis=0))
    if len(used) > 1:
        return "With these weights agreement would be complete by chance alone."
    return (
        f'Every rating is "{asked.table.categories[used[0]]}": agreement would be complete by '
        "chance alone, and nothing is left to measure."
    )


_NO_ORDER = (
    "Text has no order of its own: give categories in their order, or an ordered categorical."
)


def _interval(asked: Asked, name: str, found: Estimate, units: int) -> tuple[float, float, str]:
    assert found.value is not None  # noqa: S101
    floor = 0.0 if found.expected == 0 else -1.0
    if found.error is None and found.observed < 1:
        return _percentiles(asked)
    if not found.error:
        bounds = _wilson(_share(found.observed), units / _PARTS, asked.confidence)
        low, high = ((b - found.expected) / (1 - found.expected) for b in bounds)
        return max(floor, low), min(1.0, high), "Wilson on the observed agreement"
    freedom = found.units - 1
    reach = _t(asked.confidence, freedom) * found.error
    of_two = name == "weighted kappa" and asked.codes.shape[1] == 2
    source = "Fleiss-Cohen-Everitt" if of_two or name == "Cohen's kappa" else "Gwet, linearised"
    low, high = max(floor, found.value - reach), min(1.0, found.value + reach)
    return low, high, f"{source}, t with {freedom} degrees of freedom"


def _t(confidence: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))


def _share(value: float) -> Count:
    """A share that is not a whole number of units, to six digits."""
    return Count(round(min(1.0, value) * _PARTS), _PARTS)


def _percentiles(asked: Asked) -> tuple[float, float, str]:
    drawn = formulas.ordinal_replicates(asked.counts, N_BOOT, asked.random_state)
    drawn = drawn[np.isfinite(drawn)]
    lost = N_BOOT - len(drawn)
    method = f"bootstrap over units, percentiles of {N_BOOT}"
    if lost:
        method += f" ({lost} with a single category left out)"
    tail = (1 - asked.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high), method


def _alpha(asked: Asked) -> Estimate:
    if asked.level == "ordinal":
        return formulas.ordinal_alpha(asked.counts)
    categories = asked.table.categories
    values = np.array(categories if asked.level != "nominal" else range(len(categories)), float)
    return formulas.alpha(asked.counts, formulas.alpha_weights(asked.level, values))


def _weighted_kappa(asked: Asked) -> Estimate:
    if asked.codes.shape[1] != 2:
        return formulas.conger(asked.codes, _matrix(asked))
    both = (asked.codes >= 0).all(axis=1)
    return formulas.conger(asked.codes[both], _matrix(asked), divisor=0)


def _matrix(asked: Asked) -> FloatArray:
    assert asked.matrix is not None  # refused before  # noqa: S101
    return asked.matrix


_COEFFICIENTS: tuple[tuple[str, Callable[[Asked], Estimate], tuple[str, ...]], ...] = (
    ("raw agreement", lambda a: formulas.observed_agreement(a.counts, a.identity), ()),
    (
        "weighted agreement",
        lambda a: formulas.observed_agreement(a.counts, _matrix(a)),
        ("weights",),
    ),
    ("Krippendorff's alpha", _alpha, ("level", "variety")),
    (
        "Cohen's kappa",
        lambda a: formulas.conger(a.codes, a.identity, divisor=0),
        ("two raters", "variety"),
    ),
    ("weighted kappa", _weighted_kappa, ("weights", "variety")),
    ("Scott's pi", lambda a: formulas.fleiss(a.counts, a.identity), ("two raters", "variety")),
    ("Fleiss' kappa", lambda a: formulas.fleiss(a.counts, a.identity), ("variety",)),
    ("Conger's kappa", lambda a: formulas.conger(a.codes, a.identity), ("variety",)),
    ("Brennan-Prediger", lambda a: formulas.brennan_prediger(a.counts, a.identity), ()),
    ("Gwet's AC1", lambda a: formulas.gwet(a.counts, a.identity), ()),
    ("Gwet's AC2", lambda a: formulas.gwet(a.counts, _matrix(a)), ("weights",)),
)
"""Name, formula, and what it needs, in the order in which they are shown."""
