"""From a message of the fairness panel to its answer as JSON: p50 and p95 by number of rows.

    python benchmarks/fairness_panel.py [--rows 1000 100000 1000000] [--moves 200]

The plain way is what a notebook does at each threshold: ``group_metrics`` of the decisions anew
(its rates and comparisons of one metric). Both sides take the same thresholds, interleaved, on
one thread. Times are wall-clock with the CPU's beside them; where other programs run, the CPU's
say more.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from hitl_audit.fairness.group_metrics import group_metrics
from hitl_audit.findings import Criterion
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.fairness_desk import FairnessDesk
from hitl_audit.widgets.fairness_setting import FairnessSetting

RACES = {"asian": 0.1, "black": 0.3, "latino": 0.08, "other": 0.02, "white": 0.5}


def setting(rows: int) -> FairnessSetting:
    rng = np.random.default_rng(0)
    race = rng.choice(list(RACES), rows, p=list(RACES.values()))
    score = np.clip(rng.beta(4, 2.4, rows) - 0.1 * (race == "black"), 0, 1)
    return FairnessSetting(
        y_true=(rng.random(rows) < score).astype(np.int64),
        y_score=score,
        sensitive=pd.DataFrame({"race": race, "sex": rng.choice(["f", "m"], rows)}),
        threshold=0.5,
        criteria=(Criterion("selection_rate", ("race",), "ratio", Fraction(4, 5)),),
        intersections=(("race", "sex"),),
    )


class Clock:
    """Wall-clock and CPU milliseconds of a call, many times."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def time(self, call: Callable[[], Any]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        self.cpu.append((time.process_time() - cpu) * 1e3)
        self.wall.append((time.perf_counter() - wall) * 1e3)

    def __str__(self) -> str:
        def pair(values: list[float]) -> str:
            p50, p95 = np.percentile(values, [50, 95])
            return f"p50 {p50:8.2f}  p95 {p95:8.2f}"

        return f"wall {pair(self.wall)}   cpu {pair(self.cpu)}  ms"


def measure(rows: int, thresholds: list[float]) -> None:
    about = setting(rows)
    ids = [f"C{i}" for i in range(rows)]
    cohort = Cohort(pd.DataFrame({"score": about.y_score}, index=ids))
    sizes: list[int] = []
    clocks: dict[str, Clock] = {}

    def send(message: dict[str, Any]) -> None:
        sizes.append(len(json.dumps(message)))

    def begun() -> FairnessDesk:
        desk = FairnessDesk(about, send, cohort=cohort, beside=lambda work: work())
        desk.receive({"act": "open", "serial": 0})
        return desk

    def tell(**message: Any) -> None:
        desk.receive({"serial": 0, **message})

    def moves(name: str, **message: Any) -> None:
        clock = clocks.setdefault(name, Clock())
        for threshold in thresholds:
            clock.time(partial(tell, threshold=threshold, **message))

    clocks["open"] = Clock()
    clocks["open"].time(begun)
    desk = begun()
    for name, by in {"race": 0, "race × sex": 2}.items():
        tell(act="show", by=by)
        moves(f"try, by {name}", act="try")
        moves(f"set, by {name}", act="set")
    tell(act="show", by=0)
    tell(act="per-group", on=True)
    moves("try one group's, by race", act="try", group="black")
    tell(act="per-group", on=False)
    clocks["a cohort is chosen, and shown"] = Clock()
    cohort.observe(lambda _: desk.cohort_changed(), "revision")
    clocks["a cohort is chosen, and shown"].time(
        lambda: cohort.choose("Every third", np.arange(rows) % 3 == 0)
    )
    moves("try beside a cohort, by race", act="try")
    clocks["a rule, for the first time"] = Clock()
    clocks["a rule, for the first time"].time(lambda: tell(act="rule", rule="equal opportunity"))

    def anew(threshold: float) -> object:
        return group_metrics(
            about.y_true,
            (about.y_score >= threshold).astype(int),
            sensitive_features=about.sensitive[["race"]],
            metrics=["selection_rate"],
        ).against_reference

    anew(0.5)  # imports
    plain = clocks.setdefault("group_metrics anew, by race", Clock())
    for threshold in thresholds[:10]:
        plain.time(partial(anew, threshold))
    print(f"\n{rows:,} rows; {sizes[-1]:,} bytes per answer")
    for name, clock in clocks.items():
        print(f"  {name:32}{clock}")
    ratio = float(np.median(plain.cpu) / np.median(clocks["try, by race"].cpu))
    print(f"  moving a threshold is {ratio:.1f} times as fast as group_metrics anew (CPU)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--moves", type=int, default=200)
    given = parser.parse_args()
    thresholds = np.random.default_rng(1).uniform(0.2, 0.9, given.moves).tolist()
    for rows in given.rows:
        measure(rows, thresholds)


if __name__ == "__main__":
    main()
