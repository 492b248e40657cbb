"""Tree SHAP beside shap's TreeExplainer: CPU time per row, agreement, growth, memory.

    python benchmarks/explain.py [--rows 2000] [--background 100]

Both sides run on one thread. Times are CPU seconds (``time.process_time``), the median of
interleaved repetitions. shap is timed on as many rows as it does in about half a second
and scaled to a row (its time is linear in rows); ours on all rows. Growth is the exponent
of our time in rows, from a quarter of them to all. Memory is the peak that ``tracemalloc`` sees
in a run of its own; the kernels' scratch, which it does not see, is at most about
9 bytes × depth × (2,048 + background rows) and a table of 1 MB. For path-dependent
values of XGBoost and LightGBM, shap's own C code is timed, not the libraries' contributions.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.explanations.encoding import read_encoding
from hitl_audit.explanations.shapley.shap_trees import by_rank
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble, import_shap, read_trees
from hitl_audit.explanations.shapley.tree_shap import (
    interventional,
    path_dependent,
    rescaled_to_probability,
)

FEATURES = 12


def numbers(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, FEATURES)).astype(np.float32).astype(float)
    score = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(3 * X[:, 3]) + rng.normal(size=n)
    return X, (score > 0).astype(int)


def one_hot() -> tuple[Any, Any, Any]:
    """A deep forest on 4 numbers and 6 words of 8 values each: 52 columns, 10 raw features."""
    rng = np.random.default_rng(1)
    words = {f"w{j}": rng.choice(list("abcdefgh"), 4000) for j in range(6)}
    X = pd.DataFrame({f"n{j}": rng.normal(size=4000) for j in range(4)} | words)
    score = X["n0"] + (X["w0"] < "d") * X["n1"] + (X["w1"] == X["w2"]) + rng.normal(size=4000)
    columns = ColumnTransformer(
        [("words", OneHotEncoder(sparse_output=False), list(words))], remainder="passthrough"
    )
    pipeline = make_pipeline(columns, RandomForestClassifier(30, random_state=0))
    pipeline.fit(X, (score > 0.5).astype(int))
    encoding = read_encoding(pipeline, X)
    return encoding.estimator, encoding.transform(X), encoding.source


def models() -> dict[str, tuple[Any, Any, Any]]:
    X, y = numbers(4000)
    alone = np.arange(FEATURES)
    fitted = {
        "GradientBoosting, 100 of depth 3": GradientBoostingClassifier(random_state=0),
        "XGBoost, 100 of depth 6": xgboost.XGBClassifier(max_depth=6, n_jobs=1),
        "HistGradientBoosting, 100 of 31 leaves": HistGradientBoostingClassifier(
            early_stopping=False
        ),
        "LightGBM, 100 of 31 leaves": lightgbm.LGBMClassifier(n_jobs=1, verbose=-1),
        "RandomForest, 50 of depth 8": RandomForestClassifier(50, max_depth=8, random_state=0),
        "RandomForest, 50 grown out": RandomForestClassifier(50, random_state=0),
    }
    made = {name: (model.fit(X, y), X, alone) for name, model in fitted.items()}
    return made | {"one-hot forest, 30 grown out": one_hot()}


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


def theirs(model: Any, trees: TreeEnsemble, X: Any, behind: Any, output: str) -> tuple[Any, Any]:
    """A function that explains the first rows with shap, and the rows it wants."""
    shap = import_shap()
    if behind is None:
        explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
        explainer.model.model_type = "internal"
        rows = X
    else:
        masker = shap.maskers.Independent(behind, max_samples=len(behind))
        explainer = shap.TreeExplainer(model, masker, model_output=output)
    explainer.model.input_dtype = trees.precision
    if behind is not None:
        rows = by_rank(explainer, X)

    def run(n: int) -> Any:
        values = np.asarray(explainer.shap_values(rows[:n], check_additivity=False))
        return values[..., -1] if values.ndim == 3 else values

    return run, rows


def compare(name: str, model: Any, X: Any, players: Any, options: argparse.Namespace) -> None:
    trees = read_trees(model)
    rows, behind = np.resize(X, (options.rows, X.shape[1])), X[-options.background :]
    out = trees.n_outputs - 1
    print(f"\n{name} ({X.shape[1]} columns, {int(players.max()) + 1} raw features)")
    kinds: dict[str, tuple[Any, Any, str]] = {
        "path-dependent": (lambda Z, p: path_dependent(trees, Z, players=p, output=out), None, ""),
        "interventional": (
            lambda Z, p: interventional(trees, Z, behind, players=p, output=out),
            behind,
            "raw",
        ),
    }
    if trees.scale == "log_odds":
        kinds["… on probability"] = (
            lambda Z, p: rescaled_to_probability(trees, Z, behind, players=p, output=out),
            behind,
            "probability",
        )
    for kind, (ours, background, scale) in kinds.items():
        run, _ = theirs(model, trees, rows, background, scale)
        probe = cpu(lambda run=run: run(2)) / 2
        few = int(np.clip(0.4 / probe, 2, len(rows)))
        alone = np.arange(X.shape[1])
        gap = float(np.abs(ours(rows[:few], alone) - run(few)).max())
        seconds: dict[str, list[float]] = {"shap": [], "ours": [], "quarter": []}
        quarter = rows[: len(rows) // 4]
        for _ in range(options.repetitions):
            seconds["shap"].append(cpu(lambda run=run, few=few: run(few)) / few)
            seconds["ours"].append(cpu(lambda ours=ours: ours(rows, players)) / len(rows))
            seconds["quarter"].append(cpu(lambda ours=ours, q=quarter: ours(q, players)))
        s = {side: statistics.median(times) for side, times in seconds.items()}
        growth = np.log(s["ours"] * len(rows) / s["quarter"]) / np.log(4)
        memory = peak(lambda ours=ours: ours(rows, players))
        print(
            f"  {kind:<17} {s['shap'] * 1e3:9.3f} ms  {s['ours'] * 1e3:8.4f} ms  "
            f"{s['shap'] / s['ours']:6.1f} ×   difference {gap:.0e}   growth {growth:4.2f}   "
            f"peak {memory:5.1f} MB"
        )


def compilation() -> None:
    """Seconds until a first small explanation, with an empty and with a filled cache."""
    code = (
        "import time, numpy as np; from sklearn.tree import DecisionTreeRegressor; "
        "from hitl_audit.explanations.shapley import tree_ensemble, tree_shap; "
        "tree_ensemble.import_shap(); "
        "X = np.eye(4); m = DecisionTreeRegressor().fit(X, X[:, 0]); p = np.arange(4); "
        "c, w = time.process_time(), time.perf_counter(); t = tree_ensemble.read_trees(m); "
        "tree_shap.path_dependent(t, X, players=p); "
        "tree_shap.interventional(t, X, X, players=p); "
        "print(f'{time.process_time() - c:.1f} s CPU, {time.perf_counter() - w:.1f} s wall')"
    )
    print("\nKernels on first use, all of them")
    with tempfile.TemporaryDirectory() as folder:
        for said in ("compiled", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code],
                env=os.environ | {"NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"  {said:<15} {done.stdout.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--background", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-compilation", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"CPU time per row; {options.rows:,} rows, {options.background} background rows")
    print(f"                    shap {import_shap().__version__}       ours         ratio")
    for name, (model, X, players) in models().items():
        compare(name, model, X, players, options)
    if not options.no_compilation:
        compilation()


if __name__ == "__main__":
    main()
