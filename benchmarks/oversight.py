"""How sure the numbers about human oversight are, and how fast they are made.

    python benchmarks/oversight.py [--replicates 400]

*Held* is how often a 95 % interval holds the truth, *width* its mean width in
percentage points.

1. Override rates of two groups at the same score. Reviewers differ in their
   leniency, and (second table) in their bias against a group; the question is
   about reviewers in general. *Naive* compares crude rates (Newcombe) and takes
   every answer as independent.
2. What people change in the largest gap of selection rates among groups, by the
   smoothed bootstrap of the package and by the plain one.
3. Judgments summed up: CPU seconds.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Iterator

import numpy as np

from hitl_audit.intervals import Count, newcombe
from hitl_audit.review.adjusted_difference import Compared, adjusted_difference
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.kpi import Item, Settings
from hitl_audit.review.largest_gap import largest_gaps
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import CaseSample, SampledCase
from hitl_audit.review.verdicts import standing_answers

ANSWERS = 600
TRUE_GAP = 0.1


def main() -> None:
    """Print the three parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    replicates = parser.parse_args().replicates
    for spread, words in ((0.0, "equal bias"), (0.1, "bias differs, SD 10 points")):
        print(f"\nOverride rates of two groups, {ANSWERS} answers, {words}")
        print("reviewers   held   width   naive: held   width")
        for reviewers in (3, 6, 12, 24):
            _overrides(reviewers, spread, replicates)
    print("\nChange of the largest gap among groups, 3 groups")
    print("cases per group   smoothed: held   width   plain: held   width")
    for size in (30, 60, 200):
        _gaps(size, replicates)
    print("\nJudgments summed up")
    for cases in (500, 5000):
        _speed(cases)


def _overrides(reviewers: int, spread: float, replicates: int) -> None:
    held, widths = np.zeros(2), np.zeros(2)
    for seed in range(replicates):
        answers = list(_answers(seed, reviewers, spread))
        found, _ = adjusted_difference(answers, Settings())
        counts = [
            Count(sum(a.item.yes for a in part), len(part))
            for part in ([a for a in answers if a.inside == side] for side in (True, False))
        ]
        naive = newcombe(*counts)
        assert found.low is not None
        assert found.high is not None
        assert naive is not None
        for place, (low, high) in enumerate(((found.low, found.high), naive)):
            held[place] += low <= TRUE_GAP <= high
            widths[place] += 100 * (high - low)
    held, widths = held / replicates, widths / replicates
    print(f"{reviewers:9d} {held[0]:6.1%} {widths[0]:7.1f} {held[1]:13.1%} {widths[1]:7.1f}")


def _answers(seed: int, reviewers: int, spread: float) -> Iterator[Compared]:
    rng = np.random.default_rng(seed)
    score = rng.random(ANSWERS)
    inside = rng.random(ANSWERS) < 0.3 + 0.4 * score
    reviewer = rng.integers(0, reviewers, ANSWERS)
    lenient = rng.normal(0, 0.05, reviewers)[reviewer]
    biased = rng.normal(TRUE_GAP, spread, reviewers)[reviewer]
    yes = rng.random(ANSWERS) < np.clip(0.5 - 0.2 * score + biased * inside + lenient, 0, 1)
    for i in range(ANSWERS):
        item = Item(f"c{i}", bool(yes[i]), 1.0, f"r{reviewer[i]}")
        yield Compared(item, bool(inside[i]), float(score[i]))


def _gaps(size: int, replicates: int) -> None:
    # Model: 60, 50, 35 %; people raise 2, 5 and 20 % of what it refuses.
    rates, raised = np.array([0.6, 0.5, 0.35]), np.array([0.02, 0.05, 0.2])
    team = rates + (1 - rates) * raised
    truth = np.ptp(team) - np.ptp(rates)
    held, widths = np.zeros(2), np.zeros(2)
    groups = np.repeat(np.arange(3), size)
    for seed in range(replicates):
        rng = np.random.default_rng(seed)
        model = rng.random(3 * size) < rates[groups]
        people = model | (rng.random(3 * size) < raised[groups])
        yes = np.column_stack([people, model])
        _, drawn, _ = largest_gaps(yes, groups, np.ones(len(yes)), n_boot=500, random_state=seed)
        smoothed = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975])
        plain = np.quantile(_plain(yes, groups, rng), [0.025, 0.975])
        for place, (low, high) in enumerate((smoothed, plain)):
            held[place] += low <= truth <= high
            widths[place] += 100 * (high - low)
    held, widths = held / replicates, widths / replicates
    print(f"{size:15d} {held[0]:16.1%} {widths[0]:7.1f} {held[1]:13.1%} {widths[1]:7.1f}")


def _plain(yes: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    inside = (groups[:, None] == np.arange(3)).astype(float)
    drawn = rng.multinomial(len(yes), np.full(len(yes), 1 / len(yes)), size=500).astype(float)
    total = drawn @ inside
    gaps = [np.ptp((drawn @ (inside * column[:, None])) / total, axis=1) for column in yes.T]
    return np.asarray(gaps[0] - gaps[1])


def _speed(cases: int) -> None:
    rng = np.random.default_rng(0)
    ids = [f"case-{i}" for i in range(cases)]
    common = {
        "design": "random",
        "inclusion_probability": 0.1,
        "role": "expert",
        "model_digest": "m",
        "plan_digest": "p",
        "at": "2026-03-02T09:00:00.000000Z",
        "seconds": 12.0,
    }
    names = ("unfavorable", "favorable")
    events: list[Event] = []
    for case in ids:
        model = names[int(rng.random() < 0.5)]
        for reviewer in ("a", "b"):
            same = rng.random() < 0.85
            events.append(
                Judgment(
                    event_id=str(uuid.UUID(int=len(events) + 1, version=4)),
                    case_id=case,
                    reviewer=reviewer,
                    phase="blind",
                    answer=names[int(rng.random() < 0.5)],
                    **common,  # type: ignore[arg-type]
                )
            )
            events.append(
                Judgment(
                    event_id=str(uuid.UUID(int=len(events) + 1, version=4)),
                    case_id=case,
                    reviewer=reviewer,
                    phase="final",
                    answer="agree" if same else "disagree",
                    model_decision=model,
                    model_score=float(rng.random()),
                    **common,  # type: ignore[arg-type]
                )
            )
    sample = CaseSample(
        "random", 10 * cases, 0, tuple(SampledCase(case, 0.1, "", "") for case in ids)
    )
    truth = {case: int(rng.random() < 0.5) for case in ids}
    groups = {"race": {case: str(rng.choice(["a", "b", "c"])) for case in ids}}
    start = time.process_time()
    standing_answers(events, sample)
    folded = time.process_time()
    summarise(events, sample, truth=truth, groups=groups)
    done = time.process_time()
    print(
        f"{len(events):,} judgments on {cases:,} cases: folded in {folded - start:.2f} s, "
        f"every number in {done - folded:.2f} s"
    )


if __name__ == "__main__":
    main()
