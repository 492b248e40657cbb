"""Keys and classes of scores, against scikit-learn and brute force."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from hitl_audit.performance import measure_performance
from hitl_audit.population import score_classes
from hitl_audit.population.score_classes import ScoreClasses, count_scores, no_scores
from hitl_audit.population.score_keys import fixed_point, key_of, score_of
from hitl_audit.population.score_performance import (
    auc_bound,
    calibration,
    mixed_precision,
    precision_bounds,
)
from hitl_audit.score_statistics import delong, delong_counts

SCORES = st.floats(0, 1)
ROWS = st.lists(
    st.tuples(st.integers(0, 1), SCORES, st.sampled_from("ab")), min_size=1, max_size=60
)


@given(st.lists(SCORES, min_size=2, max_size=30))
def test_keys_are_in_the_order_of_scores(values: list[float]) -> None:
    scores = np.sort(np.array(values))
    keys = key_of(scores)
    assert (np.diff(keys) >= 0).all()
    rounded = score_of(keys)
    assert (key_of(rounded) == keys).all()
    near = np.minimum(scores, 1 - scores)
    assert (np.abs(rounded - scores) <= near * 2.0**-32 + 1e-300).all()


def test_ends_and_middle_are_exact() -> None:
    scores = np.array([0.0, -0.0, 0.25, 0.5, 0.75, 1 - 2.0**-32, 1.0])
    assert score_of(key_of(scores)).tolist() == scores.tolist()
    assert score_of(key_of(np.nextafter([0.5], 0)))[0] == 0.5


@given(st.lists(SCORES, min_size=1, max_size=30))
def test_fixed_point_adds_up(values: list[float]) -> None:
    high, low = fixed_point(np.array(values))
    total = Fraction((int(high.sum()) << 30) + int(low.sum()), 1 << 60)
    assert abs(total - sum(map(Fraction, values))) <= Fraction(len(values), 1 << 61)


def counted(rows: list[tuple[int, float, str]]) -> ScoreClasses:
    if not rows:
        return no_scores()
    truth, scores, groups = zip(*rows, strict=True)
    names = sorted(set(groups))
    codes = np.array([names.index(g) for g in groups])
    return count_scores(np.array(scores), np.array(truth), {"g": (codes, names)})[0]


def same(one: ScoreClasses, other: ScoreClasses) -> bool:
    return (one.level, one.groups) == (other.level, other.groups) and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("keys", "table", "losses")
    )


@given(ROWS, st.data(), st.sampled_from([1, 3, 8, 4096]))
@settings(max_examples=150, deadline=None)
def test_any_division_gives_the_same_classes(
    rows: list[tuple[int, float, str]], data: Any, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_classes, "MOST", most)
        whole = counted(rows)
        assert len(whole.keys) <= most
        order = data.draw(st.permutations(rows))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
        pieces = [counted(order[i:j]) for i, j in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
        while len(pieces) > 1:  # any shape of tree
            at = data.draw(st.integers(0, len(pieces) - 2))
            pieces[at : at + 2] = [pieces[at + 1] + pieces[at]]
        assert same(pieces[0], whole)


@given(
    ROWS.filter(lambda rows: len({y for y, _, _ in rows}) == 2), st.sampled_from([1, 2, 5, 4096])
)
@settings(max_examples=150, deadline=None)
def test_areas_are_within_their_bounds(rows: list[tuple[int, float, str]], most: int) -> None:
    truth = np.array([y for y, _, _ in rows])
    scores = score_of(key_of(np.array([s for _, s, _ in rows])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_classes, "MOST", most)
        found = counted(rows).of(("all", "all"))
    auc, *_ = delong_counts(found.counts, confidence=0.95)
    assert auc is not None
    assert abs(auc - roc_auc_score(truth, scores)) <= auc_bound(found.counts) + 1e-12
    least, most_ = precision_bounds(found.counts)
    precision = average_precision_score(truth, scores)
    assert least - 1e-12 <= precision <= most_ + 1e-12
    assert abs(found.brier_score - brier_score_loss(truth, scores)) < 1e-15
    assert abs(found.mean() - scores.mean()) < 1e-15
    if found.exact:
        assert auc == pytest.approx(roc_auc_score(truth, scores), abs=1e-14)
    assert ((found.low <= found.levels) & (found.levels <= found.high)).all()


def test_counted_delong_is_delong_of_the_rows() -> None:
    rng = np.random.default_rng(3)
    scores = rng.beta(2, 3, 500).round(2)
    truth = (rng.random(500) < scores).astype(np.int8)
    levels = np.unique(scores)
    counts = np.array([[np.sum((scores == s) & (truth == y)) for y in (0, 1)] for s in levels])
    assert delong_counts(counts, confidence=0.9) == pytest.approx(
        delong(truth, scores, confidence=0.9), abs=1e-13
    )


def test_many_scores_come_close() -> None:
    """What classes change in practice, on skewed scores, beside what they could."""
    rng = np.random.default_rng(0)
    scores = rng.beta(0.3, 6, 40_000)
    truth = (rng.random(40_000) < scores).astype(np.int64)
    found = count_scores(scores, truth, {})[0].of(("all", "all"))
    assert not found.exact
    assert 2000 < len(found.levels) <= 4096
    auc = roc_auc_score(truth, scores)
    assert abs((delong_counts(found.counts, confidence=0.95)[0] or 0) - auc) < 1e-5
    assert auc_bound(found.counts) < 5e-4
    precision = average_precision_score(truth, scores)
    least, most = precision_bounds(found.counts)
    assert least < precision < most
    assert most - least < 0.02
    assert abs(mixed_precision(found.counts) - precision) < 1e-3
    whole = measure_performance(truth, scores, n_boot=1).overall.calibration
    bins = calibration(found, bins=10, min_group=30, confidence=0.95)
    largest = int(found.counts.sum(axis=1).max())
    assert len(bins) == len(whole)
    for one, other in zip(bins, whole, strict=True):
        assert abs(one.n - other.n) <= 2 * largest
        assert one.predicted == pytest.approx(other.predicted, rel=0.01)
        assert one.observed == pytest.approx(other.observed, abs=0.005)


def test_calibration_of_exact_scores_is_that_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    for size in (31, 400, 1999):
        scores = rng.beta(3, 2, size).round(3)
        truth = (rng.random(size) < scores).astype(np.int64)
        found = count_scores(scores, truth, {})[0].of(("all", "all"))
        whole = measure_performance(truth, scores, n_boot=1).overall.calibration
        bins = calibration(found, bins=10, min_group=30, confidence=0.95)
        assert [b.n for b in bins] == [b.n for b in whole]
        for one, other in zip(bins, whole, strict=True):
            assert one.observed == other.observed
            assert one.predicted == pytest.approx(other.predicted, abs=1e-9)
