"""Counts at any threshold are those of the decisions that it makes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.fairness.at_threshold import ScoredGroups, measured_by
from hitl_audit.fairness.group_metrics import group_metrics


def people(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    who = pd.DataFrame(
        {
            "race": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
            "sex": rng.choice(np.array(["f", "m", None], dtype=object), rows, p=[0.45, 0.5, 0.05]),
        }
    )
    scores = (rng.random(rows) * 20).round() / 20  # many ties
    return who, scores, (rng.random(rows) < scores).astype(int)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 200),
    threshold=st.one_of(st.floats(-0.1, 1.1), st.integers(0, 20).map(lambda i: i / 20)),
)
def test_one_threshold_for_everybody(seed: int, rows: int, threshold: float) -> None:
    who, scores, truth = people(rows, seed)
    scored = ScoredGroups.of(truth, scores, who)
    expected = group_metrics(truth, (scores >= threshold).astype(int), sensitive_features=who)
    assert scored.counts(threshold) == expected.counts
    assert len(scored) == rows


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    one=st.floats(0, 1),
    two=st.floats(0, 1),
    by=st.sampled_from([("race",), ("race", "sex")]),
)
def test_one_threshold_per_group(seed: int, one: float, two: float, by: tuple[str, ...]) -> None:
    who, scores, truth = people(150, seed)
    scored = ScoredGroups.of(truth, scores, who)
    names = who.fillna("unknown")[list(by)].agg(" × ".join, axis=1)
    group = names.iloc[0]
    decided = (scores >= np.where(names == group, one, two)).astype(int)
    expected = group_metrics(truth, decided, sensitive_features=who)
    assert scored.counts(scored.spread({group: one}, by, two)) == expected.counts


@pytest.mark.parametrize("metric", ["selection_rate", "precision", "f1", "balanced_accuracy"])
@pytest.mark.parametrize("by", [("race",), ("sex",), ("race", "sex"), ()])
def test_numbers_are_those_of_group_metrics(metric: str, by: tuple[str, ...]) -> None:
    who, scores, truth = people(800)
    counts = ScoredGroups.of(truth, scores, who).counts(0.4)
    rates, pairs, notes = measured_by(
        counts, by, metric, reference={"race": "b"}, confidence=0.9, min_group=60
    )
    whole = group_metrics(
        truth,
        (scores >= 0.4).astype(int),
        sensitive_features=who,
        metrics=[metric],
        reference={"race": "b"},
        confidence=0.9,
        min_group=60,
    )
    name = " × ".join(by) or "all"
    assert rates == [r for r in whole.rates if r.attribute == name]
    expected = [c for c in whole.against_reference if c.attribute == name]
    assert len(pairs) == len(expected)
    for mine, theirs in zip(pairs, expected, strict=True):
        assert (mine.group, mine.reference, mine.compare, mine.count, mine.small) == (
            theirs.group, theirs.reference, theirs.compare, theirs.count, theirs.small,
        )  # fmt: skip
        for found, wanted in zip(
            (mine.value, mine.low, mine.high), (theirs.value, theirs.low, theirs.high), strict=True
        ):
            assert found == (None if wanted is None else pytest.approx(wanted, abs=1e-11))
    assert bool(notes) == any(note.startswith(f"{name}: no group") for note in whole.notes)


def test_some_of_the_rows() -> None:
    who, scores, truth = people(300)
    members = (who["race"] != "c").to_numpy() & (np.arange(300) % 3 > 0)
    part = ScoredGroups.of(truth, scores, who).only(members)
    alone = ScoredGroups.of(truth[members], scores[members], who[members])
    assert part.groups == alone.groups
    for threshold in (0.0, 0.35, 0.5, 2.0):
        assert part.counts(threshold) == alone.counts(threshold)
    nobody = ScoredGroups.of(truth, scores, who).only(np.zeros(300, dtype=bool))
    assert len(nobody) == 0
    assert nobody.counts(0.5).rows == 0


@pytest.mark.parametrize(
    ("truth", "scores", "words"),
    [
        ([0, 1], ["a", "b"], "other things than numbers"),
        ([0, 1], [0.5], r"got shape \(1,\), expected \(2,\)"),
        ([0, 1], [0.5, float("nan")], "missing or infinite in 1 of 2"),
        ([0, 2], [0.5, 0.5], "labels 2"),
    ],
)
def test_bad_input(truth: list[int], scores: list[object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ScoredGroups.of(truth, scores, ["a", "b"])
