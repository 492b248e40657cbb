from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.review.revealed import Revealed, mirrored, reversed_answer

scores = st.floats(0, 1)
thresholds = st.floats(0.01, 0.99)


@given(score=scores, threshold=thresholds)
def test_a_mirrored_score_is_on_the_other_side(score: float, threshold: float) -> None:
    other = mirrored(score, threshold)
    assert 0 <= other <= 1
    assert (other >= threshold) != (score >= threshold)


@given(one=scores, other=scores, threshold=thresholds)
def test_a_higher_score_is_mirrored_to_a_lower_one(
    one: float, other: float, threshold: float
) -> None:
    low, high = sorted((one, other))
    assert mirrored(low, threshold) >= mirrored(high, threshold)


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [(0.88, 0.5, 0.12), (0.12, 0.5, 0.88), (1.0, 0.3, 0.0), (0.0, 0.3, 1.0), (0.65, 0.3, 0.15)],
)
def test_a_mirrored_score_keeps_its_share_of_the_way(
    score: float, threshold: float, expected: float
) -> None:
    assert mirrored(score, threshold) == pytest.approx(expected)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_edge_does_not_fail(threshold: float) -> None:
    assert 0 <= mirrored(1.0, threshold) <= 1


@given(
    numbers=st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=6),
    base=st.floats(0.1, 0.9),
    threshold=st.floats(0.1, 0.9),
    scale=st.sampled_from(["probability", "log-odds"]),
)
def test_a_reversed_answer_adds_up_as_a_true_one_does(
    numbers: list[float], base: float, threshold: float, scale: str
) -> None:
    if not any(abs(number) > 1e-6 for number in numbers):
        numbers = [0.1]
    total = base + math.fsum(numbers)
    p = total if scale == "probability" else 1 / (1 + math.exp(-total))
    p = min(max(p, 0.0), 1.0)
    pairs = tuple((f"x{i}", "1", number) for i, number in enumerate(numbers))
    true = Revealed(
        "favorable" if p >= threshold else "unfavorable",
        p,
        threshold,
        pairs,
        scale=scale,  # type: ignore[arg-type]
        base=base,
    )
    shown = reversed_answer(true)
    assert shown.decision != true.decision
    assert (shown.decision == "favorable") == (shown.probability >= threshold)
    assert shown.base == base
    assert [c[:2] for c in shown.contributions] == [c[:2] for c in pairs]
    target = shown.probability
    if scale == "log-odds":
        inside = min(max(target, 1e-6), 1 - 1e-6)
        target = math.log(inside / (1 - inside))
    assert base + math.fsum(c[2] for c in shown.contributions) == pytest.approx(target, abs=1e-9)


def test_without_a_base_every_attribution_changes_its_sign() -> None:
    true = Revealed("favorable", 0.9, 0.5, (("x", "1", 0.3), ("y", "2", -0.1)), reliable=False)
    shown = reversed_answer(true)
    assert [c[2] for c in shown.contributions] == [-0.3, 0.1]
    assert not shown.reliable
    assert reversed_answer(Revealed("unfavorable", 0.2, 0.5, ())).contributions == ()
