"""How right and how sure rates from judged cases are, by design, and how fast cases are drawn.

    python benchmarks/review.py [--replicates 300] [--rows 1000000]

A population of 5,000 scored cases; people would disagree with the model in
14.9 % of them, most near the threshold. Every design draws 300 cases many
times. *Naive* is the share among the judged cases, unweighted; *Hájek* is
weighted by the inclusion probabilities, *difference* also uses the expected
disagreement of all cases. In the last population disagreement is rare and most
of it lies where no priority looks. Bias and SD are in percentage points, *held* is how
often a 95 % interval holds the truth of the population. *Wald* is ŷ ± 1.96 √V,
which is not what the package gives. Times are CPU seconds, best of five.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.review.estimates import (
    Rate,
    assisted_rate,
    rates_by_group,
    weighted_difference,
    weighted_rate,
)
from hitl_audit.review.priority import combine, entropy, threshold_closeness
from hitl_audit.review.sampling import sample_cases

CASES = 5_000
DRAWN = 300


class Population:
    """Scores, groups and what people would say, from one seed.

    ``hidden``: disagreement is rare, and most of it where the model is sure.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        rng = np.random.default_rng(1)
        self.score = rng.beta(0.5, 0.5, CASES)
        self.priority = threshold_closeness(self.score)
        self.expected = (
            np.where(self.priority < 0.1, 0.06, 0.01) if hidden else 0.02 + 0.57 * self.priority**2
        )
        self.disagrees = (rng.random(CASES) < self.expected).astype(float)
        self.group = np.where(rng.random(CASES) < 0.06, "few", "many")
        self.band = np.digitize(self.score, [0.1, 0.3, 0.7, 0.9]).astype(str)
        # Human right and model right on the same cases, for the paired difference.
        self.human_right = np.where(self.disagrees == 1, rng.random(CASES) < 0.7, True)
        self.model_right = np.where(self.disagrees == 1, ~self.human_right, True)

    def designs(self) -> dict[str, dict[str, Any]]:
        by_band = {"design": "stratified", "strata": self.band}
        spread = np.sqrt(self.expected * (1 - self.expected))
        return {
            "random": {},
            "stratified by score, equal": by_band,
            "stratified by score, proportional": by_band | {"allocation": "proportional"},
            "stratified by score, neyman": by_band | {"allocation": "neyman", "deviations": spread},
            "stratified by group, equal": {"design": "stratified", "strata": self.group},
            "uncertainty": {"design": "uncertainty", "priority": self.priority},
            "mixture": {"priority": self.priority},
            "mixture, 50 of each group": {
                "priority": self.priority,
                "strata": self.group,
                "floor_per_group": 50,
            },
        }


def simulate(people: Population, arguments: dict[str, Any], n: int, replicates: int) -> None:
    ids = np.arange(CASES)
    truth = float(people.disagrees.mean())
    lift = float((people.human_right * 1.0 - people.model_right).mean())
    small = float(people.disagrees[people.group == "few"].mean())
    everywhere = float(people.expected.mean())
    values: dict[str, list[float]] = {"naive": [], "Hájek": [], "difference": []}
    held: dict[str, list[bool]] = {
        name: [] for name in ("Wald", "Hájek", "difference", "few", "lift")
    }
    widths: dict[str, list[float]] = {"Hájek": [], "difference": []}
    for seed in range(replicates):
        sample = sample_cases(ids, n, random_state=seed, **arguments)
        drawn = np.array(sample.case_ids, dtype=int)
        pi = [case.inclusion_probability for case in sample.cases]
        y = people.disagrees[drawn].tolist()
        rate = weighted_rate(y, pi, design=sample.design)
        helped = assisted_rate(
            y, pi, proxy=people.expected[drawn].tolist(), population_proxy=everywhere
        )
        values["naive"].append(float(np.mean(y)))
        for name, made in (("Hájek", rate), ("difference", helped)):
            values[name].append(made.value or 0.0)
            held[name].append(holds(made, truth))
            widths[name].append((made.high or 0.0) - (made.low or 0.0))
        value, chance = rate.value or 0.0, np.array(pi, dtype=float)
        terms = (1 - chance) / chance**2 * (np.array(y) - value) ** 2
        held["Wald"].append(
            abs(value - truth) <= 1.96 * math.sqrt(terms.sum()) / (1 / chance).sum()
        )
        few = rates_by_group(y, pi, people.group[drawn].tolist())
        if "few" in {row.group for row in few.rows} and few["few"].value is not None:
            held["few"].append(holds(few["few"], small))
        paired = weighted_difference(
            people.human_right[drawn].tolist(), people.model_right[drawn].tolist(), pi
        )
        if paired.low is not None and paired.high is not None:
            held["lift"].append(paired.low <= lift <= paired.high)
    line = "".join(
        f"{100 * (np.mean(values[name]) - truth):+7.2f} {100 * np.std(values[name]):5.2f}"
        for name in values
    )
    line += "".join(f"{np.mean(held[name]):7.3f}" for name in ("Wald", "Hájek", "difference"))
    line += "".join(f"{100 * np.mean(found):7.2f}" for found in widths.values())
    line += f"{np.mean(held['lift']):7.3f}"
    shown = len(held["few"]) / replicates
    line += f"{np.mean(held['few']):7.3f} ({shown:.0%})" if shown > 0.05 else "      –"
    print(line)


def holds(rate: Rate, truth: float) -> bool:
    return rate.low is not None and rate.high is not None and rate.low <= truth <= rate.high


def seconds(call: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def speed(rows: int) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.random(rows)}, index=[f"C{i:07d}" for i in range(rows)])
    score, group = rng.random(rows), rng.choice(list("abcdef"), rows)
    priority = combine({"threshold": threshold_closeness(score), "entropy": entropy(score)})
    calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "random": (
            lambda: frame.sample(DRAWN, random_state=0),
            lambda: sample_cases(frame, DRAWN),
        ),
        "stratified": (
            lambda: frame.groupby(group).sample(DRAWN // 6, random_state=0),
            lambda: sample_cases(frame, DRAWN, design="stratified", strata=group),
        ),
        "mixture": (
            lambda: frame.sample(DRAWN, weights=score, random_state=0),
            lambda: sample_cases(frame, DRAWN, priority=priority, strata=group, floor_per_group=30),
        ),
    }
    print(f"\n{DRAWN} of {rows:,} rows    pandas     ours   ratio")
    for name, (theirs, ours) in calls.items():
        slow, fast = seconds(ours), seconds(theirs)
        print(f"  {name:<20} {fast:7.3f} s {slow:6.2f} s {slow / fast:6.0f}")
    print(
        "  pandas draws by row number and gives no inclusion probabilities; ours hashes every id,\n"
        "  so that the sample is the same in any row order and anyone can recompute it."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=300)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    for people, sizes in ((Population(), (DRAWN, 50)), (Population(hidden=True), (DRAWN,))):
        for n in sizes:
            print(
                f"\n{n} of {CASES:,} cases, true disagreement {people.disagrees.mean():.4f}, "
                f"{options.replicates} replicates\n{'':<33}"
                "       naive        Hájek   difference  held by              width          held\n"
                f"{'':<33}   bias   SD   bias   SD   bias   SD   Wald  Hájek  diff.  Hájek  diff."
                "   lift   a group of 6 %"
            )
            for name, arguments in people.designs().items():
                print(f"{name:<33}", end="", flush=True)
                floor = (
                    {"floor_per_group": min(50, n // 3)} if "floor_per_group" in arguments else {}
                )
                simulate(people, arguments | floor, n, options.replicates)
    speed(options.rows)


if __name__ == "__main__":
    main()
