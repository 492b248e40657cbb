"""Drawing and estimating together: the chances are exact and the intervals keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.review.allocation import chances
from hitl_audit.review.drawing import first_of_each, order_of, systematic
from hitl_audit.review.estimates import assisted_rate, weighted_rate


def test_hashes_that_begin_alike_are_told_apart_further_on() -> None:
    hashes = np.array([[5, 0, 0, 2], [1, 9, 9, 9], [5, 0, 0, 1], [5, 0, 0, 0]], dtype=np.uint64)
    assert order_of(hashes).tolist() == [1, 3, 2, 0]
    assert order_of(hashes[:2]).tolist() == [1, 0]


def test_the_first_of_every_stratum_in_the_order_given() -> None:
    order = np.array([4, 2, 0, 1, 3])
    codes = np.array([0, 1, 0, 1, 0])
    assert first_of_each(order, codes, [2, 1]).tolist() == [4, 2, 1]
    assert first_of_each(order, codes, [0, 2]).tolist() == [1, 3]


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30), st.data(), st.integers(0, 2**31))
def test_chances_add_up_keep_their_order_and_are_drawn(
    shares: list[float], data: st.DataObject, seed: int
) -> None:
    n = data.draw(st.integers(1, len(shares)))
    given_shares = np.array(shares)
    pi, _ = chances(given_shares, n)
    assert pi.sum() == pytest.approx(n)
    assert ((pi > 0) & (pi <= 1)).all()
    order = np.argsort(given_shares)
    assert (np.diff(pi[order]) >= -1e-12).all()
    free = pi < 1
    if free.any():
        assert pi[free] / given_shares[free] == pytest.approx(pi[free][0] / given_shares[free][0])
    drawn = systematic(pi, np.arange(len(shares)), seed)
    assert len(set(drawn.tolist())) == n
    assert set(np.flatnonzero(pi >= 1)) <= set(drawn.tolist())


def test_a_line_sorted_by_group_gives_every_group_its_expected_number() -> None:
    rng = np.random.default_rng(0)
    shares, codes = rng.random(60) + 0.1, np.repeat([0, 1, 2], 20)
    pi, raised = chances(shares, 12, codes, floor=3)
    expected = np.bincount(codes, weights=pi)
    assert (expected >= 3 - 1e-9).all()
    assert not raised.all()
    for seed in range(200):
        found = np.bincount(codes[systematic(pi, np.arange(60), seed)], minlength=3)
        assert (np.abs(found - expected) < 1 + 1e-9).all()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    score = rng.beta(1.2, 1.2, 2000)
    doubt = 1 - np.abs(score - 0.5) / 0.5
    expected = 0.02 + 0.42 * doubt**2.2
    disagrees = (rng.random(2000) < expected).astype(float)
    truth, everywhere = disagrees.mean(), float(expected.mean())
    pi, _ = chances(0.5 / 2000 + 0.5 * doubt / doubt.sum(), 150)
    held, naive, weighted = {"Hájek": 0, "difference": 0}, [], []
    for seed in range(400):
        drawn = systematic(pi, rng.permutation(2000), seed)
        y, chance = disagrees[drawn].tolist(), pi[drawn].tolist()
        rates = {
            "Hájek": weighted_rate(y, chance, design="mixture"),
            "difference": assisted_rate(
                y, chance, proxy=expected[drawn].tolist(), population_proxy=everywhere
            ),
        }
        naive.append(float(np.mean(y)))
        weighted.append(rates["Hájek"].value or 0.0)
        for name, rate in rates.items():
            assert rate.low is not None
            assert rate.high is not None
            held[name] += rate.low <= truth <= rate.high
    # 380 of 400 expected, standard deviation 4.4.
    assert all(362 <= count <= 395 for count in held.values()), held
    error = np.std(weighted) / np.sqrt(400)
    assert abs(np.mean(weighted) - truth) < 4 * error
    assert np.mean(naive) - truth > 10 * error


def test_what_lies_where_priorities_do_not_look_is_not_ruled_out() -> None:
    rng = np.random.default_rng(5)
    score = rng.beta(0.5, 0.5, 5000)
    doubt = 1 - np.abs(score - 0.5) / 0.5
    disagrees = (rng.random(5000) < np.where(doubt < 0.1, 0.06, 0.01)).astype(float)
    truth = disagrees.mean()
    pi, _ = chances(0.05 / 5000 + 0.95 * doubt / doubt.sum(), 300)
    held = 0
    for seed in range(200):
        drawn = systematic(pi, rng.permutation(5000), seed)
        rate = weighted_rate(disagrees[drawn].tolist(), pi[drawn].tolist(), design="uncertainty")
        assert rate.low is not None
        assert rate.high is not None
        held += rate.low <= truth <= rate.high
    # Without the bound of the effective size, 138 of 200.
    assert held >= 184
