"""Score bands: calibration and the population stability index."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, wilson
from hitl_audit.stability_index import calibration_bands, population_stability

SETTINGS = {"confidence": 0.95, "random_state": 0}


def test_the_textbook_sum_over_bands() -> None:
    # Then: 100 rows in each of four bands. Now: 10%, 20%, 30%, 40%.
    then = np.repeat([0.1, 0.3, 0.5, 0.7], 100)
    now = np.repeat([0.1, 0.3, 0.5, 0.7], [10, 20, 30, 40])
    found = population_stability(then, now, bands=4, **SETTINGS)  # type: ignore[arg-type]
    shares = [0.1, 0.2, 0.3, 0.4]
    expected = sum((q - 0.25) * math.log(q / 0.25) for q in shares)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert [round(now, 9) for *_, now in found.shares] == shares
    assert found.low < found.value < found.high
    assert found.expected_by_chance == pytest.approx(3 * (1 / 400 + 1 / 100))


def test_what_did_not_move_is_zero_and_what_moved_is_seen() -> None:
    rng = np.random.default_rng(5)
    scores = rng.beta(2, 3, 3000)
    same = population_stability(scores, scores, **SETTINGS)  # type: ignore[arg-type]
    assert same.value == 0
    moved = population_stability(scores, rng.beta(3, 2, 3000), **SETTINGS)  # type: ignore[arg-type]
    assert moved.low > 0.25
    again = population_stability(scores, rng.beta(2, 3, 3000), **SETTINGS)  # type: ignore[arg-type]
    assert again.value < 10 * again.expected_by_chance


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
)
def test_it_is_never_negative_and_shares_add_up(then: list[float], now: list[float]) -> None:
    found = population_stability(then, now, n_boot=20, **SETTINGS)  # type: ignore[arg-type]
    assert found.value >= 0
    assert sum(p for *_, p, _ in found.shares) == pytest.approx(1)
    assert sum(q for *_, q in found.shares) == pytest.approx(1)


def test_bands_hold_all_cases_and_mark_wrong_predictions() -> None:
    rng = np.random.default_rng(7)
    scores = rng.uniform(0, 1, 2000)
    truth = (rng.uniform(0, 1, 2000) < scores).astype(int)
    good = calibration_bands(truth, scores, confidence=0.95)
    assert sum(b.n for b in good) == 2000
    assert len(good) == 10
    assert sum(b.outside for b in good) <= 2
    for band in good:
        inside = (scores > band.above) & (scores <= band.up_to)
        assert band.count == truth[inside].sum()
        assert band.predicted == pytest.approx(scores[inside].mean())
        assert (band.low, band.high) == wilson(Count(band.count, band.n))
    bad = calibration_bands(truth, np.clip(scores + 0.3, 0, 1), confidence=0.95)
    assert sum(b.outside for b in bad) >= 6


def test_equal_scores_are_one_band() -> None:
    (band,) = calibration_bands([0, 1, 1], [0.5, 0.5, 0.5], confidence=0.95)
    assert (band.n, band.count, band.predicted) == (3, 2, 0.5)


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="expected as many, at least one"):
        calibration_bands([], [], confidence=0.95)
    with pytest.raises(InputError, match="expected as many"):
        calibration_bands([1], [0.5, 0.4], confidence=0.95)
    with pytest.raises(InputError, match="got 0 and 1 scores"):
        population_stability([], [0.5], **SETTINGS)  # type: ignore[arg-type]
