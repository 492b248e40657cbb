"""LIME for many rows beside the lime package called once per row.

    python benchmarks/explain_lime.py [--rows 100 1000] [--features 12] [--samples 5000]

Times are CPU seconds (``time.process_time``) of one seed on one BLAS thread,
the median of interleaved repetitions. The package is called the usual way,
``explain_instance(row, model.predict_proba)``, on its own matrix of numbers,
reseeded before each row; its time for all rows is extrapolated linearly from
the few that were timed, and each line says from how many. Ours is the whole
of ``lime_weights``: tables in and out, drawing and asking the model included
(two seeds are the least it gives; the time of one is half of that, measured
against a package that runs one). Memory is the peak that ``tracemalloc`` sees,
in a run of its own.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from lime.lime_tabular import LimeTabularExplainer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hitl_audit.explanations.lime.lime_weights import LimeWeights, lime_weights
from hitl_audit.explanations.lime.shared_lime import shared_lime
from hitl_audit.explanations.model_output import ModelOutput, resolve_output

MODELS: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: LogisticRegression(max_iter=1000),
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=100, random_state=0),
    "hist gradient boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "random forest": lambda: RandomForestClassifier(100, random_state=0, n_jobs=1),
}
SEEDS = 2


def data(rows: int, features: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(max(rows, 2000), features))).rename(columns="x{}".format)
    score = X["x0"] * X["x1"] + X["x2"] + rng.normal(size=len(X))
    return X, (score > 0).to_numpy().astype(int)


def theirs(training: np.ndarray, rows: np.ndarray, predict: Any, options: Any) -> list[Any]:
    explainer = LimeTabularExplainer(training, random_state=np.random.RandomState(0))
    found = []
    for row in rows:
        state = np.random.RandomState(0)
        explainer.random_state = explainer.base.random_state = state
        explainer.discretizer.random_state = state
        found.append(
            explainer.explain_instance(
                row, predict, num_features=options.keep, num_samples=options.samples
            )
        )
    return found


def ours(X: pd.DataFrame, rows: pd.DataFrame, output: ModelOutput, options: Any) -> LimeWeights:
    return lime_weights(
        rows,
        output=output,
        background=X,
        n_seeds=SEEDS,
        n_samples=options.samples,
        n_features=options.keep,
    )


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


def compare(name: str, X: pd.DataFrame, y: np.ndarray, options: Any) -> None:
    matrix = X.to_numpy()
    model = MODELS[name]().fit(matrix, y)
    output = resolve_output(model, output=None, scale="probability", as_array=True)
    few = options.timed
    work: dict[str, Callable[[], Any]] = {
        "theirs": lambda: theirs(matrix, matrix[:few], model.predict_proba, options)
    }
    for n in options.rows:
        work[f"ours {n}"] = lambda n=n: ours(X, X.iloc[:n], output, options)  # type: ignore[misc]
    shared = shared_lime(
        X, output=output, n_seeds=SEEDS, n_samples=options.samples, n_features=options.keep
    )
    work["further rows"] = lambda: shared.weights(X.iloc[:100])
    ours(X, X.iloc[:2], output, options)  # imports and first calls are nobody's speed
    seconds: dict[str, list[float]] = {key: [] for key in work}
    for _ in range(options.repetitions):
        for key, run in work.items():
            seconds[key].append(cpu(run))
    s = {key: statistics.median(times) for key, times in seconds.items()}
    a, b = (
        theirs(matrix, matrix[:few], model.predict_proba, options),
        ours(X, X.iloc[:few], output, options),
    )
    gap = 0.0
    same = 0
    for i, found in enumerate(a):
        used = dict(found.local_exp[1])
        same += set(used) == set(np.flatnonzero(b.selected[0, i]))
        gap = max(gap, *(abs(b.coefficients[0, i, j] - v) for j, v in used.items()))
    one = s["theirs"] / few
    print(f"\n{name}, {X.shape[1]} features, {options.keep} kept, {options.samples:,} samples")
    for n in options.rows:
        mine = s[f"ours {n}"] / SEEDS
        print(
            f"  {n:6,} rows  {one * n:10.1f} s  {mine:9.3f} s  {one * n / mine:8,.0f} ×   "
            f"(lime from {few} timed rows)"
        )
    per_row = s["further rows"] / SEEDS / 100
    print(f"  a further row {one * 1000:8.1f} ms {per_row * 1000:8.3f} ms {one / per_row:9,.0f} ×")
    print(f"  same features in {same} of {few} rows; largest difference of coefficients {gap:.1e}")
    if len(options.rows) > 1:
        steps = np.log(options.rows[-1] / options.rows[-2])
        growth = np.log(s[f"ours {options.rows[-1]}"] / s[f"ours {options.rows[-2]}"]) / steps
        print(
            f"  growth exponent in rows {growth:.2f} "
            f"(from {options.rows[-2]:,} to {options.rows[-1]:,})"
        )
    memory = peak(work["theirs"]), peak(work[f"ours {options.rows[-1]}"])
    print(
        f"  peak memory {memory[0]:8.1f} MB {memory[1]:8.1f} MB   "
        f"(theirs {few} rows, ours {options.rows[-1]:,})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--keep", type=int, default=10, help="features in each surrogate")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--timed", type=int, default=5, help="rows that the package explains")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    options = parser.parse_args()
    X, y = data(max(options.rows), options.features)
    print("                lime          ours       ratio")
    with threadpool_limits(1):
        for name in options.models:
            compare(name, X, y, options)


if __name__ == "__main__":
    main()
