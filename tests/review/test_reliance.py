"""Reliance on the model, against the table of the paper and against plain counting."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from hitl_audit.intervals import Count, newcombe, wilson
from hitl_audit.review.oversight import Oversight, summarise
from hitl_audit.review.sampling import CaseSample, SampledCase
from tests.review.review_events import blind, verdict
from tests.review.review_world import NAMES, World, make_world


def review(trials: list[tuple[int, int, int, int]]) -> Oversight:
    """(initial, model, final, truth) each, on a case of its own."""
    cases = tuple(SampledCase(f"c{i}", 0.1, "", "") for i in range(len(trials)))
    events = []
    for case, (initial, model, final, _) in zip(cases, trials, strict=True):
        answer = "agree" if final == model else "disagree"
        events += [
            blind(case.case_id, NAMES[initial]),
            verdict(case.case_id, answer, model_decision=NAMES[model]),
        ]
    truth = {case.case_id: t for case, (*_, t) in zip(cases, trials, strict=True)}
    return summarise(events, CaseSample("random", 10_000, 0, cases), truth=truth)


def test_the_four_outcomes_of_the_paper() -> None:
    # Schemmer et al. 2023, figure 2, with the truth 1: initial, model, final and how often.
    # Correct AI reliance (0, 1, 1), under-reliance (0, 1, 0), correct self-reliance (1, 0, 1)
    # and over-reliance (1, 0, 0); where both were right or both wrong nothing is measured.
    counts = {
        (0, 1, 1): 30,
        (0, 1, 0): 70,
        (1, 0, 1): 45,
        (1, 0, 0): 15,
        (1, 1, 1): 200,
        (0, 0, 0): 40,
    }
    trials = [(*key, 1) for key, times in counts.items() for _ in range(times)]
    found = review(trials)
    rair = found.kpi("relative AI reliance (RAIR)")
    rsr = found.kpi("relative self-reliance (RSR)")
    assert (rair.count, rair.n, rair.value) == (30, 100, 0.3)
    assert (rsr.count, rsr.n, rsr.value) == (45, 60, 0.75)
    assert (rair.low, rair.high) == pytest.approx(wilson(Count(30, 100)))
    assert (rsr.low, rsr.high) == pytest.approx(wilson(Count(45, 60)))
    assert (rair.truth_n, rair.truth_of) == (400, 400)
    # Of the model's wrong decisions (45 + 15 + 40) people followed 15 + 40.
    assert found.kpi("over-reliance").value == pytest.approx(55 / 100)
    assert found.kpi("under-reliance").value == pytest.approx(70 / 300)
    assert found.kpi("switched to the model").value == pytest.approx(45 / 160)
    assert found.kpi("switched away from the model").value == 0
    assert found.kpi("switched after the reveal").value == pytest.approx(45 / 400)


@pytest.mark.parametrize(("initial", "model", "final", "truth"), list(product((0, 1), repeat=4)))
def test_every_pattern_counts_where_it_should(
    initial: int, model: int, final: int, truth: int
) -> None:
    found = review([(initial, model, final, truth)] * 10)
    helped = found.kpi("relative AI reliance (RAIR)")
    kept = found.kpi("relative self-reliance (RSR)")
    assert helped.n == 10 * (initial != truth and model == truth)
    assert kept.n == 10 * (initial == truth and model != truth)
    if helped.n:
        assert helped.value == float(final == truth)
    if kept.n:
        assert kept.value == float(final == truth)


def test_fewer_than_ten_chances_are_insufficient_data() -> None:
    found = review([(0, 1, 1, 1)] * 9 + [(1, 1, 1, 1)] * 50)
    rair = found.kpi("relative AI reliance (RAIR)")
    assert (rair.status, rair.n, rair.needed, rair.value) == ("insufficient data", 9, 10, None)
    assert found.kpi("relative self-reliance (RSR)").status == "not assessed"


def brute(world: World, among: Any, counts: Any) -> float:
    table = world.table.dropna(subset=["final"])
    chosen = table[among(table)]
    weights = 1 / chosen["pi"]
    return float((weights * counts(chosen)).sum() / weights.sum())


MEASURES: dict[str, tuple[Any, Any]] = {
    "relative AI reliance (RAIR)": (
        lambda t: (t["blind"] != t["truth"]) & (t["model"] == t["truth"]),
        lambda t: t["final"] == t["truth"],
    ),
    "relative self-reliance (RSR)": (
        lambda t: (t["blind"] == t["truth"]) & (t["model"] != t["truth"]),
        lambda t: t["final"] == t["truth"],
    ),
    "over-reliance": (
        lambda t: t["model"] != t["truth"],
        lambda t: t["final"] == t["model"],
    ),
    "under-reliance": (
        lambda t: t["model"] == t["truth"],
        lambda t: t["final"] != t["model"],
    ),
    "switched after the reveal": (
        lambda t: t["final"].notna(),
        lambda t: t["final"] != t["blind"],
    ),
    "switched to the model": (
        lambda t: t["blind"] != t["model"],
        lambda t: t["final"] == t["model"],
    ),
    "switched away from the model": (
        lambda t: t["blind"] == t["model"],
        lambda t: t["final"] != t["model"],
    ),
    "switched to the model, low confidence": (
        lambda t: (t["blind"] != t["model"]) & (t["confidence"] <= 2),
        lambda t: t["final"] == t["model"],
    ),
    "switched to the model, high confidence": (
        lambda t: (t["blind"] != t["model"]) & (t["confidence"] >= 4),
        lambda t: t["final"] == t["model"],
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("measure", MEASURES)
def test_every_rate_is_the_weighted_count(measure: str, weighted: bool) -> None:
    for seed in (1, 2):
        world = make_world(seed, weighted=weighted, follows=0.4)
        kpi = world.summary().kpi(measure)
        assert kpi.value == pytest.approx(brute(world, *MEASURES[measure]))
        assert kpi.weighted == weighted


def test_answers_on_one_case_are_one_cluster() -> None:
    # Three identical reviewers say nothing more than one does.
    one = make_world(3, reviewers=1, n_cases=150)
    names = [str(case) for case in one.cases.index]
    rows = one.cases[["blind", "final", "model"]].to_numpy()
    events: list[Any] = []
    for r in range(3):
        for case, (own, final, model) in zip(names, rows, strict=True):
            said = "unsure" if np.isnan(final) else "agree" if final == model else "disagree"
            events.append(blind(case, NAMES[int(own)], f"r{r}"))
            events.append(verdict(case, said, f"r{r}", model_decision=NAMES[int(model)]))
    truth = {str(case): int(value) for case, value in one.cases["truth"].items()}
    tripled = summarise(events, one.sample, truth=truth)
    single = one.summary()
    for measure in ("over-reliance", "switched after the reveal"):
        a, b = single.kpi(measure), tripled.kpi(measure)
        assert b.n == 3 * a.n
        assert a.value == pytest.approx(b.value)
        assert a.low is not None
        assert b.low is not None
        # The same width but for c/(c−1) and Student's t in place of the normal.
        assert b.low == pytest.approx(a.low, abs=0.01)


def test_seeing_the_model_first_is_compared_with_deciding_first() -> None:
    cases = tuple(SampledCase(f"c{i}", 0.1, "", "") for i in range(80))
    events: list[Any] = []
    for i, case in enumerate(cases):
        if i < 40:  # model seen first: 36 of 40 follow it
            events.append(verdict(case.case_id, "agree" if i < 36 else "disagree"))
        else:  # decided first: 24 of 40
            events.append(blind(case.case_id, "unfavorable"))
            events.append(verdict(case.case_id, "agree" if i < 64 else "disagree"))
    found = summarise(events, CaseSample("random", 800, 0, cases))
    equal = "final decision equals the model's"
    assert found.kpi(f"{equal}, model seen first").value == pytest.approx(0.9)
    assert found.kpi(f"{equal}, blind decision first").value == pytest.approx(0.6)
    change = found.kpi(f"{equal}, model seen first − blind decision first")
    assert change.value == pytest.approx(0.3)
    assert (change.low, change.high) == pytest.approx(newcombe(Count(36, 40), Count(24, 40)))


def test_without_truth_only_switches_are_known() -> None:
    world = make_world(5)
    found = world.summary(truth=None)
    rair = found.kpi("relative AI reliance (RAIR)")
    assert (rair.status, rair.truth_n) == ("not assessed", 0)
    assert rair.truth_of == len(world.table.dropna(subset=["final"]))
    assert found.kpi("switched to the model").status == "estimated"
    half = dict(list(zip(world.cases.index, world.cases["truth"], strict=True))[:60])
    partly = world.summary(truth=half).kpi("over-reliance")
    finals = world.table.dropna(subset=["final"])
    assert partly.truth_n == int(finals["case"].isin(half).sum())
