"""Group metrics beside Fairlearn's MetricFrame, and how often the intervals hold the truth.

    python benchmarks/fairness.py [--rows 10000 100000 1000000] [--groups 10 50]

Times are CPU seconds (``time.process_time``), the median of interleaved
repetitions; memory is the peak that ``tracemalloc`` sees, in a run of its own.
Fairlearn's time for 1,000 resamples is extrapolated linearly from the few that
were timed, and each line says from how many.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from fairlearn import metrics as fairlearn
from scipy.stats import binom
from sklearn.metrics import accuracy_score, precision_score, roc_auc_score

from hitl_audit.error_slices import find_error_slices
from hitl_audit.fairness.group_metrics import group_metrics
from hitl_audit.fairness.measuring import metric_table
from hitl_audit.fairness.metric_table import KINDS, MetricTable
from hitl_audit.fairness.rates import DEFAULT_METRICS
from hitl_audit.fairness.score_bounds import koopman_bounds
from hitl_audit.fairness.score_metrics import score_metrics_by_group
from hitl_audit.intervals import METHODS

RESAMPLES = 1000
TAILS = [0.025, 0.975]
THEIRS: dict[str, Callable[..., Any]] = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "accuracy": accuracy_score,
    "precision": partial(precision_score, zero_division=0),
    "count": fairlearn.count,
}


def people(rows: int, groups: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows + groups)
    group = rng.integers(0, groups, rows)
    truth = rng.integers(0, 2, rows)
    chance = 0.3 + 0.3 * truth + 0.2 * group / groups
    return {
        "y_true": truth,
        "y_pred": (rng.random(rows) < chance).astype(int),
        "sensitive_features": pd.Series([f"group {i:02d}" for i in group], name="group"),
    }


def theirs(data: dict[str, Any], n_boot: int | None = None) -> Any:
    options = {} if n_boot is None else {"n_boot": n_boot, "ci_quantiles": TAILS}
    return fairlearn.MetricFrame(metrics=THEIRS, **data, **options, random_state=0)


def points(data: dict[str, Any]) -> MetricTable:
    """What a MetricFrame holds after construction: every group and every aggregate."""
    table = metric_table(**data, metrics=DEFAULT_METRICS)
    _ = table.by_group
    return table


def bounds(data: dict[str, Any], method: str, n_boot: int) -> MetricTable:
    table = metric_table(**data, metrics=DEFAULT_METRICS, method=method, n_boot=n_boot)
    table.by_group_frame()
    for kind in KINDS[1:]:
        table.frame(kind)
    return table


def cpu(work: Callable[[], Any]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def peak(work: Callable[[], Any]) -> float:
    gc.collect()
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def compare(rows: int, groups: int, repetitions: int) -> None:
    data = people(rows, groups)
    timed = 3 if rows <= 10_000 else 1
    replayed = RESAMPLES if rows <= 100_000 else 200
    work: dict[str, Callable[[], Any]] = {
        "their point": lambda: theirs(data),
        "our point": lambda: points(data),
        "our call": lambda: group_metrics(**data),
        "our whole": lambda: group_metrics(**data).rates,
        "their resamples": lambda: theirs(data, timed),
        "our multinomial": lambda: bounds(data, "multinomial", RESAMPLES),
        "our replay": lambda: bounds(data, "replay", replayed),
    }
    points(data)  # imports and first calls are nobody's speed
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repetitions):
        for name, run in work.items():
            seconds[name].append(cpu(run))
    s = {name: statistics.median(times) for name, times in seconds.items()}
    one = (s["their resamples"] - s["their point"]) / timed
    boot = s["their point"] + RESAMPLES * one
    replay = s["our point"] + (s["our replay"] - s["our point"]) * RESAMPLES / replayed
    encoding = cpu(lambda: metric_table(**data))
    memory = {name: peak(work[name]) for name in ("their resamples", "our multinomial")}
    a, b = theirs(data, timed), bounds(data, "replay", timed)
    gap = max(
        float(
            np.abs(b.by_group_frame()[name].unstack() - frame[list(DEFAULT_METRICS)]).max(axis=None)
        )
        for name, frame in zip(("low", "high"), a.by_group_ci, strict=True)
    )
    print(f"\n{rows:,} rows, {groups} groups, {len(DEFAULT_METRICS)} metrics")
    print(
        f"  point            {s['their point']:9.3f} s   {s['our point']:8.4f} s   "
        f"{s['their point'] / s['our point']:9,.0f} ×"
    )
    print(
        f"  group_metrics    {s['their point']:9.3f} s   {s['our call']:8.4f} s   "
        f"{s['their point'] / s['our call']:9,.0f} ×   (the call; comparisons when first read)"
    )
    print(
        f"  whole result     {s['their point']:9.3f} s   {s['our whole']:8.4f} s   "
        f"{s['their point'] / s['our whole']:9,.0f} ×   (with 2 intervals, a test and its "
        "adjustment for every group and metric, which Fairlearn does not have)"
    )
    print(
        f"  {RESAMPLES:,} multinomial {boot:8.1f} s   {s['our multinomial']:8.4f} s   "
        f"{boot / s['our multinomial']:9,.0f} ×   (Fairlearn from {timed} timed; of our "
        f"time {encoding:.4f} s is encoding and counting)"
    )
    print(
        f"  {RESAMPLES:,} replayed    {boot:8.1f} s   {replay:8.3f} s   {boot / replay:9,.0f} ×   "
        f"(ours from {replayed:,}; largest difference of bounds {gap})"
    )
    print(
        f"  peak memory      {memory['their resamples']:9.1f} MB  "
        f"{memory['our multinomial']:8.1f} MB  "
        f"{memory['our multinomial'] / memory['their resamples']:9.1%}    "
        f"(theirs {timed} resamples, ours {RESAMPLES:,})"
    )


def scores(rows: int, groups: int) -> None:
    """Areas under the ROC curve by group: rows resampled by Fairlearn, and both of our methods."""
    data = people(rows, groups)
    truth, features = data["y_true"], data["sensitive_features"]
    score = 1 / (1 + np.exp(-np.random.default_rng(0).normal(0.8 * truth, 1)))
    frame = partial(
        fairlearn.MetricFrame,
        metrics=roc_auc_score,
        y_true=truth,
        y_pred=score,
        sensitive_features=features,
        random_state=0,
    )
    timed = 3
    ours = partial(score_metrics_by_group, truth, score, sensitive_features=features)
    ours()  # imports and first calls are nobody's speed
    work: dict[str, Callable[[], Any]] = {
        "point": frame,
        "resamples": lambda: frame(n_boot=timed, ci_quantiles=TAILS),
        "bootstrap": lambda: ours(method="bootstrap", n_boot=RESAMPLES),
        "analytic": ours,
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(3):
        for name, run in work.items():
            seconds[name].append(cpu(run))
    s = {name: statistics.median(times) for name, times in seconds.items()}
    boot = s["point"] + RESAMPLES * (s["resamples"] - s["point"]) / timed
    print(f"\n{rows:,} rows, {groups} groups, area under the ROC curve (ours: five score metrics)")
    for name in ("bootstrap", "analytic"):
        print(
            f"  {RESAMPLES:,} resamples  {boot:9.1f} s   {s[name]:8.4f} s   "
            f"{boot / s[name]:9,.0f} ×   (ours {name}; Fairlearn from {timed} timed)"
        )


def slices() -> None:
    rng = np.random.default_rng(0)
    rows, features = 50_000, 20
    X = pd.DataFrame({f"x{i:02d}": rng.normal(size=rows) for i in range(features)})
    errors = (rng.random(rows) < 0.1 + 0.2 * ((X["x00"] > 0.5) & (X["x01"] > 0))).astype(int)
    spent = cpu(lambda: find_error_slices(X, errors))
    print(f"\nError slices, {rows:,} rows × {features} features, up to 3 conditions: {spent:.2f} s")


def coverage(simulations: int) -> None:
    """Exact by enumeration for named intervals; simulated for the bootstrap."""
    z = NormalDist().inv_cdf(0.975)
    print("\nCoverage of 95 % intervals")
    for n, p in ((20, 0.1), (50, 0.1), (50, 0.5), (500, 0.05)):
        x = np.arange(n + 1)
        for name in ("Wilson", "Clopper-Pearson"):
            low, high = np.array([METHODS[name](z, int(k), n) for k in x]).T
            held = binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum()
            print(f"  {name:<16} n = {n}, p = {p}: {held:.3f}")
    for n, m, p, q in ((30, 60, 0.3, 0.6), (50, 50, 0.1, 0.2), (80, 200, 0.5, 0.6)):
        x, y = (v.ravel() for v in np.meshgrid(np.arange(n + 1), np.arange(m + 1)))
        chance = binom.pmf(x, n, p) * binom.pmf(y, m, q)
        low, high = koopman_bounds(z, x, n, y, m)
        held = chance[(low <= p / q) & (p / q <= high)].sum()
        print(f"  Koopman          {n} and {m}, p = {p} and {q}: {held:.3f}")
        for name, truth in (("Katz log", p / q), ("Newcombe", p - q)):
            low, high = np.array(
                [METHODS[name](z, int(a), n, int(b), m) for a, b in zip(x, y, strict=True)]
            ).T
            held = chance[(low <= truth) & (truth <= high)].sum()
            print(f"  {name:<16} {n} and {m}, p = {p} and {q}: {held:.3f}")
    rng = np.random.default_rng(0)
    for n, rates in ((400, [0.4, 0.6]), (400, [0.4, 0.5, 0.6, 0.6]), (400, [0.5] * 4)):
        held = dict.fromkeys(("by_group", "difference between_groups", "ratio between_groups"), 0)
        true = [rates[0], max(rates) - min(rates), min(rates) / max(rates)]
        for _ in range(simulations):
            group = rng.integers(0, len(rates), n)
            decision = (rng.random(n) < np.array(rates)[group]).astype(int)
            table = metric_table(
                decision,
                decision,
                sensitive_features=group,
                metrics=["selection_rate"],
                n_boot=500,
                random_state=int(rng.integers(1 << 30)),
            )
            for (kind, hits), value in zip(held.items(), true, strict=True):
                frame = table.by_group_frame() if kind == "by_group" else table.frame(kind)
                held[kind] = hits + bool(frame["low"].iloc[0] <= value <= frame["high"].iloc[0])
        said = ", ".join(f"{kind} {hits / simulations:.3f}" for kind, hits in held.items())
        print(f"  multinomial      {n} rows, rates {rates}: {said} ({simulations} simulations)")
    print(
        "  The largest of several gaps is biased away from parity, so its percentile interval\n"
        "  misses when groups are equal (the true difference 0 is never inside)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--groups", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--simulations", type=int, default=300)
    options = parser.parse_args()
    # Small groups of a resample may lack a class; scikit-learn warns of each.
    warnings.filterwarnings("ignore", module="sklearn")
    print(f"                   Fairlearn {_version()}    ours        ratio")
    for rows in options.rows:
        for groups in options.groups:
            compare(rows, groups, options.repetitions)
            scores(rows, groups)
    slices()
    if options.simulations:
        coverage(options.simulations)


def _version() -> str:
    from importlib.metadata import version

    return version("fairlearn")


if __name__ == "__main__":
    main()
