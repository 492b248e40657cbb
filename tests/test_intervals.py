"""Intervals of proportions, against published numbers and by enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.intervals import (
    METHODS,
    Count,
    Interval,
    clopper_pearson,
    katz_log,
    koopman,
    newcombe,
    scaled_interval,
    wilson,
)

TWO = [katz_log, koopman, newcombe]


@st.composite
def counts(draw: st.DrawFn, most: int = 300) -> Count:
    total = draw(st.integers(1, most))
    return Count(draw(st.integers(0, total)), total)


def test_the_published_example() -> None:
    """Fagerland et al. (2015): 7/34 against 1/34."""
    a, b = Count(7, 34), Count(1, 34)
    assert newcombe(a, b) == pytest.approx((0.019, 0.34), abs=0.0005)
    assert katz_log(a, b) == pytest.approx((0.91, 53.9), abs=0.05)
    low, high = koopman(a, b) or (0, 0)
    assert round(high) == 43
    # The paper prints 1.21 and a width of 3.57 on the logarithmic scale: its software scales the
    # variance by N / (N − 1), which Koopman (1984) does not. Undoing that gives its numbers.
    narrower = math.erf(1.959963984540054 * math.sqrt(68 / 67) / math.sqrt(2))
    low, high = koopman(a, b, confidence=narrower) or (0, 0)
    assert round(low, 2) == 1.21
    assert round(math.log(high / low), 2) == 3.57


def test_koopmans_own_example() -> None:
    """Koopman (1984): 36/40 against 16/80 gives 2.94 to 7.15."""
    assert koopman(Count(36, 40), Count(16, 80)) == pytest.approx((2.94, 7.15), abs=0.005)


def test_published_single_proportions() -> None:
    """Newcombe (1998), 81/263: Wilson .2553 to .3662, Clopper-Pearson .2527 to .3676."""
    assert wilson(Count(81, 263)) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert clopper_pearson(Count(81, 263)) == pytest.approx((0.2527, 0.3676), abs=5e-5)


def test_published_difference() -> None:
    """Newcombe (1998), 56/70 − 48/80: .0524 to .3339."""
    assert newcombe(Count(56, 70), Count(48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(counts(), counts())
@settings(max_examples=60, deadline=None)
def test_koopman_inverts_pearsons_chi_squared(a: Count, b: Count) -> None:
    """At a bound the chi-squared of the likeliest proportions with that ratio is z²."""
    a, b = (Count(c.successes + 1, c.total + 2) for c in (a, b))  # neither none nor all
    for bound in koopman(a, b) or (0, 0):
        # The likeliest reference proportion, by bisection on the score equation.
        low, high = 0.0, min(1.0, 1 / bound)
        for _ in range(200):
            p2 = (low + high) / 2
            p1 = bound * p2
            slope = (a.successes + b.successes) / p2
            slope -= bound * (a.total - a.successes) / (1 - p1) if p1 < 1 else math.inf
            slope -= (b.total - b.successes) / (1 - p2) if p2 < 1 else math.inf
            low, high = (p2, high) if slope > 0 else (low, p2)
        p2 = (low + high) / 2
        chi2 = sum(
            (c.successes - c.total * p) ** 2 / (c.total * p * (1 - p))
            for c, p in ((a, bound * p2), (b, p2))
        )
        assert chi2 == pytest.approx(1.959963984540054**2, rel=1e-4)


@pytest.mark.parametrize("n", [5, 12, 25])
def test_coverage_by_enumeration(n: int) -> None:
    """Clopper-Pearson never covers less than it says; Wilson does on average."""
    exact = [clopper_pearson(Count(x, n)) or (1, 0) for x in range(n + 1)]
    score = [wilson(Count(x, n)) or (1, 0) for x in range(n + 1)]
    grid = [i / 500 for i in range(1, 500)]

    def coverage(intervals: list[Interval], p: float) -> float:
        return sum(
            math.comb(n, x) * p**x * (1 - p) ** (n - x)
            for x, (low, high) in enumerate(intervals)
            if low <= p <= high
        )

    assert min(coverage(exact, p) for p in grid) >= 0.95
    mean = sum(coverage(score, p) for p in grid) / len(grid)
    assert 0.94 < mean < 0.97
    assert mean < sum(coverage(exact, p) for p in grid) / len(grid)


@pytest.mark.parametrize(
    ("method", "parity"), [(newcombe, "difference"), (koopman, "ratio"), (katz_log, "ratio")]
)
def test_coverage_of_two_sample_methods_by_enumeration(
    method: Callable[..., Interval | None], parity: str
) -> None:
    n, m = 30, 40
    intervals = {
        (x, y): method(Count(x, n), Count(y, m)) for x in range(n + 1) for y in range(m + 1)
    }
    for p, q in ((0.5, 0.6), (0.7, 0.9), (0.3, 0.3)):
        truth = p - q if parity == "difference" else p / q
        covered = sum(
            math.comb(n, x)
            * p**x
            * (1 - p) ** (n - x)
            * math.comb(m, y)
            * q**y
            * (1 - q) ** (m - y)
            for (x, y), interval in intervals.items()
            if interval and interval[0] <= truth <= interval[1]
        )
        assert 0.93 < covered < 0.985


@given(counts())
@settings(deadline=None)
def test_one_proportion_is_mirrored_and_holds_its_estimate(count: Count) -> None:
    for method in (wilson, clopper_pearson):
        low, high = method(count) or (1, 0)
        mirrored = method(Count(count.total - count.successes, count.total)) or (1, 0)
        assert 0 <= low <= count.successes / count.total <= high <= 1
        assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-9)


@given(counts(), counts())
@settings(deadline=None, max_examples=60)
def test_two_proportions_turn_round(a: Count, b: Count) -> None:
    low, high = newcombe(a, b) or (1, 0)
    assert (newcombe(b, a) or (1, 0)) == pytest.approx((-high, -low), abs=1e-12)
    assert -1 <= low <= high <= 1
    for method in (koopman, katz_log):
        low, high = method(a, b) or (1, 0)
        turned = method(b, a) or (1, 0)
        assert turned[0] == pytest.approx(0 if high == math.inf else 1 / high, rel=1e-6)
        assert turned[1] == pytest.approx(math.inf if low == 0 else 1 / low, rel=1e-6)
        if b.successes:
            ratio = (a.successes / a.total) / (b.successes / b.total)
            assert low <= ratio * (1 + 1e-9)
            assert high >= ratio * (1 - 1e-9)


@given(counts(most=60))
@settings(deadline=None)
def test_more_successes_move_and_more_confidence_widens(count: Count) -> None:
    reference = Count(20, 40)
    for method in METHODS:
        pair = reference if method in ("Katz log", "Koopman score", "Newcombe") else None
        here = scaled_interval(method, count, pair) or (0, 0)
        wide = scaled_interval(method, count, pair, confidence=0.99) or (0, 0)
        assert wide[0] <= here[0] <= here[1] <= wide[1]
        if method != "Katz log" and count.successes < count.total:
            more = Count(count.successes + 1, count.total)
            there = scaled_interval(method, more, pair) or (0, 0)
            assert there[0] >= here[0]
            assert there[1] >= here[1]


def test_none_some_and_all() -> None:
    assert wilson(Count(0, 0)) is None
    assert all(method(Count(0, 0), Count(1, 2)) is None for method in TWO)
    assert all(method(Count(1, 2), Count(0, 0)) is None for method in TWO)
    assert wilson(Count(0, 10)) == pytest.approx((0.0, 0.27753), abs=1e-5)
    # Without successes in n cases the exact upper bound is 1 − (α/2)^(1/n).
    assert clopper_pearson(Count(0, 60)) == pytest.approx((0.0, 1 - 0.025 ** (1 / 60)))
    for method in (koopman, katz_log):
        assert method(Count(0, 10), Count(0, 10)) == (0.0, math.inf)
        none = method(Count(0, 10), Count(8, 10)) or (1, 0)
        assert none[0] == 0
        assert 0 < none[1] < 1
        every = method(Count(10, 10), Count(10, 10)) or (1, 0)
        assert 0 < every[0] < 1 < every[1] < math.inf


def test_bad_requests_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="5 successes of 3 rows"):
        Count(5, 3)
    with pytest.raises(InputError, match="confidence is 95"):
        wilson(Count(1, 2), confidence=95)
    with pytest.raises(InputError, match='"Wald"; accepted: Wilson'):
        scaled_interval("Wald", Count(1, 2), None)
    with pytest.raises(InputError, match="Newcombe takes a reference count"):
        scaled_interval("Newcombe", Count(1, 2), None)
    with pytest.raises(InputError, match="Wilson takes no reference count"):
        scaled_interval("Wilson", Count(1, 2), Count(1, 2))
