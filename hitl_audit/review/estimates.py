"""From judged cases to the rate in all cases, weighted by the chance each had of being drawn.

A rate is Hájek's ratio ``ŷ = Σ(y/π) / Σ(1/π)`` with the linearised variance
``V = Σ(1−π)/π² (y−ŷ)² / (Σ1/π)²`` (Särndal, Swensson & Wretman, *Model Assisted
Survey Sampling*, 1992, sections 5.7 and 10.3 for groups). Its interval is
Wilson's at the effective size ``ŷ(1−ŷ)/V``: with equal chances and few of many
cases that is the plain Wilson interval, it stays inside 0 and 1, and it keeps
its promise for rare outcomes, where ŷ ± 1.96 √V does not (Korn & Graubard,
Survey Methodology 24 (1998), 193-201; Franco, Little, Louis & Slud, J. Survey
Statistics and Methodology 7 (2019), 334-364). Where all cases say the same, V
is 0 and says nothing; the size is then ``(Σ1/π)² / Σ(1−π)/π²`` (Kish), which
also bounds it until the heavy cases have shown something
(:func:`effective_size.effective_size`).

Cases that somebody picked by hand have no chance, and enter no rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.effective_size import (
    Codes,
    Numbers,
    all_equal,
    bonett_price,
    effective_size,
    quantile,
    weighted_mean,
    wilson_of_share,
)
from hitl_audit.review.rates import (
    MIN_CASES,
    Difference,
    GroupRate,
    GroupRates,
    Rate,
    difference_of_rates,
)
from hitl_audit.review.sampling import DESIGNS, PURPOSIVE

__all__ = [
    "MIN_CASES",
    "Difference",
    "GroupRate",
    "GroupRates",
    "Rate",
    "assisted_rate",
    "difference_of_rates",
    "rates_by_group",
    "weighted_difference",
    "weighted_rate",
]


def weighted_rate(
    outcomes: Sequence[float | bool],
    inclusion_probabilities: Sequence[float | None],
    *,
    confidence: float = 0.95,
    design: str = "random",
    clusters: Sequence[object] | None = None,
    sampled: int | None = None,
    finite_population: bool = True,
) -> Rate:
    """Estimate how often something holds in all cases.

    Args:
        outcomes: (n,) one value per judged case: 0 or 1, or a share between
            them (for example the share of its reviewers who disagree).
        inclusion_probabilities: (n,) the chance π of each case.
        confidence: of the interval.
        design: how the cases were drawn; ``"purposive"`` is refused.
        clusters: (n,) what makes values alike, for example the reviewer. The
            variance is then the with-replacement one over whole clusters,
            ``c/(c−1) Σ_c (Σ_{i∈c}(y−ŷ)/π)² / (Σ1/π)²`` with Student's t at
            c − 1 degrees of freedom, and never below that without clusters.
        sampled: cases drawn. If fewer are judged, they are taken as judged at
            random among the drawn: π is multiplied by n / sampled.
        finite_population: the rate is that of the cases drawn from, so an
            interval closes when all are judged. ``False``: of the process that
            they came from; every ``1 − π`` becomes 1.

    Returns:
        A :class:`Rate`; ``"insufficient data"`` below 10 cases or 2 clusters.

    Raises:
        InputError: purposive cases, an unknown design, outcomes outside
            0 to 1, chances outside (0, 1], or lengths that differ.
    """
    (y,), pi = _checked({"outcomes": outcomes}, inclusion_probabilities, design, confidence)
    drawn = _drawn(sampled, len(y))
    groups = None if clusters is None else _codes(clusters, len(y))
    status = _status(len(y), groups)
    count = int((y == 1).sum())
    if status != "estimated":
        return Rate(count, len(y), drawn, None, None, None, None, confidence, "", status)
    pi = pi * (len(y) / drawn)  # not in place: the array may be the caller's
    value = weighted_mean(y, 1 / pi)
    size = effective_size(
        y - value,
        pi,
        spread=value * (1 - value),
        outcomes=y,
        clusters=groups,
        finite_population=finite_population,
    )
    low, high = wilson_of_share(value, size, quantile(pi, groups, confidence))
    method = _method(pi, groups, finite_population=finite_population)
    known = size if math.isfinite(size) else None
    return Rate(count, len(y), drawn, known, value, low, high, confidence, method, status)


def assisted_rate(
    outcomes: Sequence[float | bool],
    inclusion_probabilities: Sequence[float | None],
    *,
    proxy: Sequence[float],
    population_proxy: float,
    slope: float | None = 1.0,
    confidence: float = 0.95,
    design: str = "random",
    sampled: int | None = None,
    finite_population: bool = True,
) -> Rate:
    """Estimate a rate with the help of a number m that is known for every case.

    The difference estimator ``b·M + Σ((y − b·m)/π) / Σ(1/π)``, where M is the
    mean of m over all cases and ``b`` the slope; its variance is that of the
    differences y − b·m (Särndal, Swensson & Wretman 1992, sections 6.3 and
    6.4). However bad the proxy, the estimate stays right; a good one, such as
    the expected disagreement of each case, narrows the interval. The interval
    is Wilson's at the effective size. Where all judged cases say the same, the
    proxy is left out and :func:`weighted_rate` answers.

    Args:
        outcomes, inclusion_probabilities, confidence, design, sampled,
            finite_population: as in :func:`weighted_rate`.
        proxy: (n,) m of the judged cases.
        population_proxy: the mean of m over all cases drawn from.
        slope: ``b``; ``None`` fits it to the judged cases (regression
            estimator), which protects against a proxy on another scale and
            costs a little in small samples.

    Raises:
        InputError: as :func:`weighted_rate`, or a proxy that is not finite.
    """
    plain = weighted_rate(
        outcomes,
        inclusion_probabilities,
        confidence=confidence,
        design=design,
        sampled=sampled,
        finite_population=finite_population,
    )
    y = np.asarray(outcomes, dtype=np.float64)
    m = np.asarray(proxy, dtype=np.float64)
    if m.shape != y.shape:
        raise InputError(f"rates: got {m.size} values of proxy for {y.size} outcomes")
    if not np.isfinite(m).all() or not math.isfinite(population_proxy):
        raise InputError("rates: proxy holds values that are missing or infinite")
    if plain.value is None or y.min() == y.max():
        return plain
    pi = np.asarray(inclusion_probabilities, dtype=np.float64) * (plain.n / plain.sampled)
    b = _slope(y, m, 1 / pi) if slope is None else slope
    unexplained = y - b * m
    left = weighted_mean(unexplained, 1 / pi)
    value = b * population_proxy + left
    if not 0 < value < 1:
        return plain
    size = effective_size(
        unexplained - left,
        pi,
        spread=value * (1 - value),
        outcomes=y,
        finite_population=finite_population,
    )
    low, high = wilson_of_share(value, size, quantile(pi, None, confidence))
    name = "regression estimator" if slope is None else "difference estimator"
    return replace(
        plain,
        effective_n=size if math.isfinite(size) else None,
        value=value,
        low=low,
        high=high,
        method=f"{name}, Wilson at the effective size",
    )


def weighted_difference(
    a: Sequence[float | bool],
    b: Sequence[float | bool],
    inclusion_probabilities: Sequence[float | None],
    *,
    confidence: float = 0.95,
    design: str = "random",
    clusters: Sequence[object] | None = None,
    sampled: int | None = None,
    finite_population: bool = True,
) -> Difference:
    """Estimate by how much two outcomes differ on the same cases, a − b.

    For example "the person is right" minus "the model is right": the lift of
    human review. The estimate is the Hájek mean of a − b. The interval is the
    Wald interval with the Laplace adjustment of Bonett & Price (J. Educational
    and Behavioral Statistics 37 (2012), 479-488): one case is added to each
    kind of discordance, at the effective size; with equal chances and few of
    many cases it is theirs.

    Args:
        a, b: (n,) two outcomes per judged case, 0 or 1 or a share between them.
        inclusion_probabilities, confidence, design, clusters, sampled,
            finite_population: as in :func:`weighted_rate`.

    Raises:
        InputError: as :func:`weighted_rate`.
    """
    (first, second), pi = _checked({"a": a, "b": b}, inclusion_probabilities, design, confidence)
    n = len(first)
    drawn = _drawn(sampled, n)
    groups = None if clusters is None else _codes(clusters, n)
    more, less = int((first > second).sum()), int((first < second).sum())
    status = _status(n, groups)
    if status != "estimated":
        return Difference(n, None, None, None, confidence, "", status, more, less)
    pi = pi * (n / drawn)
    gap = first - second
    value = weighted_mean(gap, 1 / pi)
    up = weighted_mean(np.maximum(gap, 0), 1 / pi)
    down = weighted_mean(np.maximum(-gap, 0), 1 / pi)
    size = effective_size(
        gap - value,
        pi,
        spread=up + down - value**2,
        outcomes=np.abs(gap),
        clusters=groups,
        finite_population=finite_population,
    )
    low, high = bonett_price(up, down, size, quantile(pi, groups, confidence))
    plain = all_equal(pi) and groups is None
    method = "Bonett-Price" if plain else "Hájek, Bonett-Price at the effective size"
    return Difference(n, value, low, high, confidence, method, status, more, less)


def rates_by_group(
    outcomes: Sequence[float | bool],
    inclusion_probabilities: Sequence[float | None],
    groups: Sequence[object],
    *,
    confidence: float = 0.95,
    design: str = "random",
    clusters: Sequence[object] | None = None,
    sampled: Mapping[str, int] | None = None,
    finite_population: bool = True,
) -> GroupRates:
    """Estimate the rate of every group, each from its own judged cases.

    Args:
        outcomes, inclusion_probabilities, confidence, design, clusters,
            finite_population: as in :func:`weighted_rate`.
        groups: (n,) the group of each judged case.
        sampled: cases drawn of each group, judged or not; a group drawn but
            never judged is listed as not assessed.

    Raises:
        InputError: as :func:`weighted_rate`, or a group with fewer drawn than
            judged cases.
    """
    (y,), _ = _checked({"outcomes": outcomes}, inclusion_probabilities, design, confidence)
    labels = [str(group) for group in groups]
    if len(labels) != len(y):
        raise InputError(f"rates: got {len(labels)} groups for {len(y)} outcomes")
    units = None if clusters is None else _codes(clusters, len(y))
    drawn = dict(sampled or {})
    rows = []
    for label in sorted({*labels, *drawn}):
        places = [i for i, found in enumerate(labels) if found == label]
        try:
            rate = weighted_rate(
                [outcomes[i] for i in places],
                [inclusion_probabilities[i] for i in places],
                confidence=confidence,
                design=design,
                clusters=None if units is None else [int(units[i]) for i in places],
                sampled=drawn.get(label, 0) if sampled is not None else None,
                finite_population=finite_population,
            )
        except InputError as error:
            raise InputError(f'group "{label}": {error}') from None
        rows.append(GroupRate(label, rate))
    return GroupRates(tuple(rows))


def _checked(
    values: Mapping[str, Sequence[float | bool]],
    chances: Sequence[float | None],
    design: str,
    confidence: float,
) -> tuple[list[Numbers], Numbers]:
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if design == PURPOSIVE:
        raise InputError(
            'rates: design is "purposive": cases picked by hand stand for nobody else and enter '
            f"no rate; accepted: {', '.join(DESIGNS)}"
        )
    if design not in DESIGNS:
        raise InputError(
            f'rates: design is "{design}"; accepted: {", ".join(DESIGNS)}'
            f"{did_you_mean(design, DESIGNS)}"
        )
    if any(chance is None for chance in chances):
        raise InputError(
            "rates: a case has no inclusion probability: it is purposive, picked by hand, and "
            "enters no rate"
        )
    pi = np.asarray(chances, dtype=np.float64)
    if not ((pi > 0) & (pi <= 1)).all():
        odd = pi[~((pi > 0) & (pi <= 1))][0]
        raise InputError(f"rates: an inclusion probability is {odd:g}; expected 0 < π ≤ 1")
    arrays = []
    for name, given in values.items():
        array = np.asarray(given, dtype=np.float64)
        if array.shape != pi.shape or array.ndim != 1:
            raise InputError(
                f"rates: got {array.size} values of {name} and {pi.size} inclusion "
                "probabilities; expected one each per case"
            )
        if not ((array >= 0) & (array <= 1)).all():
            odd = array[~((array >= 0) & (array <= 1))][0]
            raise InputError(f"rates: {name} holds {odd:g}; expected 0, 1 or a share between them")
        arrays.append(array)
    return arrays, pi


def _drawn(sampled: int | None, n: int) -> int:
    if sampled is not None and sampled < n:
        raise InputError(f"rates: got sampled={sampled}, fewer than the {n} judged cases")
    return n if sampled is None else sampled


def _codes(labels: Sequence[object], n: int) -> Codes:
    names = [str(label) for label in labels]
    if len(names) != n:
        raise InputError(f"rates: got {len(names)} clusters, expected {n}, one per value")
    places = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([places[name] for name in names], dtype=np.intp)


def _status(n: int, clusters: Codes | None) -> str:
    if n == 0:
        return "not assessed"
    few = n < MIN_CASES or (clusters is not None and len(np.unique(clusters)) < 2)
    return "insufficient data" if few else "estimated"


def _slope(y: Numbers, m: Numbers, weights: Numbers) -> float:
    centred = m - weighted_mean(m, weights)
    below = float(np.dot(weights, centred**2))
    return float(np.dot(weights, centred * y)) / below if below > 0 else 0.0


def _method(pi: Numbers, clusters: Codes | None, *, finite_population: bool) -> str:
    if clusters is not None:
        return "Hájek over clusters, Wilson at the effective size"
    if not all_equal(pi):
        return "Hájek, Wilson at the effective size"
    return "Wilson, finite population" if finite_population else "Wilson"
