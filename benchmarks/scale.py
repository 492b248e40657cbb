"""Audits of more rows than memory holds: rows per second, peak memory, growth, and a plain script.

    python benchmarks/scale.py [--rows 1000000 10000000 100000000]
        [--explain 10000 100000 1000000] [--plain 1000000] [--no-demo]

The rows are drawn from a seed and written to parquet a piece at a time, in a temporary folder
that is removed at the end; 100 million take about 4 GB of disk. Every line is a process of its
own. Its seconds are those of the pass itself: reading, scoring, counting, hashing, sampling
(or explaining) and merging, without imports and without loading the model. ``CPU`` are the
seconds of the process and its workers; where other programs run, they say more than those on
the clock. Memory is the most that the process and its workers had together, sampled every
50 ms: proportional set size (each page once, however many share it), on Linux alone.

The plain script is what a notebook does: pandas.read_parquet, predict_proba, Fairlearn's
MetricFrame; and shap's TreeExplainer with 100 background rows, on as many rows as it does in
about 20 seconds, scaled to a row (its time is linear in rows).

Growth is the slope of log CPU seconds on log rows: 1 is proportional.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

FEATURES = ["income", "debt", "age", "years", "rate", "job", "region", "housing"]
SENSITIVE = ["sex", "race"]
PIECE = 250_000
PLAN: dict[str, Any] = {
    "audit": {"title": "Scale", "purpose": "a benchmark", "owner": "nobody"},
    "model": {"path": "model.joblib", "trust": True},
    "data": {
        "path": "*.parquet",
        "target": "repaid",
        "favorable": 1,
        "sensitive": SENSITIVE,
        "features": FEATURES,
    },
    "fairness": {"metrics": ["selection_rate", "true_positive_rate", "false_positive_rate"]},
}


# --- the rows and the model ----------------------------------------------------


def people(n: int, seed: int) -> pd.DataFrame:
    """Five numbers, three kinds of words, two sensitive attributes and an outcome."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.gamma(3, 15, n).round(2),
            "debt": rng.normal(25, 10, n).round(2),
            "age": rng.integers(18, 80, n).astype(float),
            "years": rng.exponential(5, n).round(1),
            "rate": rng.normal(4, 1, n).round(3),
        }
    )
    for name, kinds in (
        ("job", ["clerk", "farmer", "nurse", "pilot", "teacher"]),
        ("region", ["east", "north", "south", "west"]),
        ("housing", ["owner", "tenant"]),
        ("sex", ["female", "male"]),
        ("race", ["asian", "black", "other", "white"]),
    ):
        codes = rng.integers(0, len(kinds), n)
        frame[name] = pd.Categorical.from_codes(codes, categories=kinds)
    score = (frame["income"] - frame["debt"]) / 12 + 0.5 * (frame["job"] == "nurse")
    score -= 0.4 * (frame["race"] == "black") + frame["rate"] / 4
    frame["repaid"] = (score + rng.logistic(size=n) > 0).astype(float)
    frame.loc[rng.random(n) < 0.02, "debt"] = np.nan
    return frame


def write_rows(folder: Path, n: int) -> Path:
    """Write n rows, in files of a million, never holding more than a piece of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    here = folder / f"rows-{n}"
    here.mkdir()
    writer, left, place = None, n, 0
    while left:
        frame = people(min(PIECE, left), place)
        text = dict.fromkeys(("job", "region", "housing", *SENSITIVE), str)
        table = pa.Table.from_pandas(frame.astype(text), preserve_index=False)
        if place % 4 == 0:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(here / f"part-{place // 4:05d}.parquet", table.schema)
        assert writer is not None
        writer.write_table(table, row_group_size=100_000)
        left, place = left - len(frame), place + 1
    if writer is not None:
        writer.close()
    return here


def write_model(folder: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = people(20_000, 987_654)
    words = ["job", "region", "housing"]
    rows = rows.astype(dict.fromkeys(words, str))
    columns = ColumnTransformer(
        [("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words)],
        remainder="passthrough",
    )
    model = make_pipeline(
        columns,
        HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, random_state=0),
    )
    model.fit(rows[FEATURES], rows["repaid"].astype(int))
    (folder / "model.pickle").write_bytes(pickle.dumps(model))


def read_model(folder: Path) -> Any:
    return pickle.loads((folder / "model.pickle").read_bytes())  # noqa: S301 - our own


def background() -> pd.DataFrame:
    rows = people(100, 123_456)
    return rows[FEATURES].astype(dict.fromkeys(["job", "region", "housing"], str))


# --- what is measured, each in a process of its own ----------------------------


def count(folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """One pass over all rows: scores, counts by group, digests, a sample; then group metrics."""
    from hitl_audit.engine import LocalEngine
    from hitl_audit.plan import AuditPlan
    from hitl_audit.population import measure_population, score_pass
    from hitl_audit.rows import open_rows

    model, plan = read_model(folder), AuditPlan.from_dict(PLAN)

    def work() -> str:
        source = open_rows(str(folder / f"rows-{rows}" / "*.parquet"))
        over = score_pass(
            model, plan, columns=source.columns, model_digest="model", rows=source.rows
        )
        found = measure_population(over, source, plan, engine=LocalEngine(workers))
        found.group_metrics(metrics=plan.fairness.metrics)
        return f"{found.data_digest} {found.scores_digest} {found.counts}"

    return timed(work)


def explain(folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """SHAP values of all rows, added up by group, with a sample for the beeswarm."""
    from hitl_audit.engine import LocalEngine
    from hitl_audit.explanations.attribution_pass import attribution_pass, measure_attributions
    from hitl_audit.rows import open_rows

    over = attribution_pass(
        read_model(folder), background(), groups=SENSITIVE, model_digest="model"
    )
    over(next(iter(open_rows(people(50, 1).astype({"job": str})).parts(over.columns))))  # compiles

    def work() -> str:
        source = open_rows(str(folder / f"rows-{rows}" / "*.parquet"))
        size = min(100_000, -(-rows // 16))
        found = measure_attributions(over, source, engine=LocalEngine(workers), rows_per_part=size)
        found.frame()
        return found.digest

    return timed(work)


def plain_count(folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """The usual script: everything in one frame, Fairlearn's MetricFrame."""
    from fairlearn.metrics import (
        MetricFrame,
        false_positive_rate,
        selection_rate,
        true_positive_rate,
    )

    model = read_model(folder)

    def work() -> str:
        data = pd.read_parquet(folder / f"rows-{rows}")
        decided = (model.predict_proba(data[FEATURES])[:, 1] >= 0.5).astype(int)
        metrics = {
            "selection_rate": selection_rate,
            "true_positive_rate": true_positive_rate,
            "false_positive_rate": false_positive_rate,
        }
        truth = data["repaid"].astype(int)
        for groups in (data["sex"], data["race"], data[SENSITIVE]):
            frame = MetricFrame(
                metrics=metrics, y_true=truth, y_pred=decided, sensitive_features=groups
            )
            frame.by_group, frame.difference(), frame.ratio()
        return ""

    return timed(work)


def plain_explain(folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """The usual script: shap's TreeExplainer of the preprocessed rows, in one array."""
    import shap

    model = read_model(folder)
    behind = model[:-1].transform(background())
    explainer = shap.TreeExplainer(
        model[-1], shap.maskers.Independent(behind, 100), model_output="probability"
    )
    data = pd.read_parquet(folder / f"rows-{rows}")[FEATURES]
    encoded = model[:-1].transform(data)
    start = time.process_time()
    explainer.shap_values(encoded[:20])
    few = int(np.clip(20 * 20 / (time.process_time() - start), 20, len(encoded)))
    found = timed(lambda: str(np.abs(explainer.shap_values(encoded[:few])).mean()))
    scale = len(encoded) / few
    return found | {"seconds": found["seconds"] * scale, "cpu": found["cpu"] * scale, "few": few}


def demo(folder: Path, rows: int, workers: int) -> dict[str, Any]:
    """The built-in mortgage audit: training, run, document, signature, check."""
    from hitl_audit.demo import demonstrate

    def work() -> str:
        demonstrate(
            folder / "mortgage", now=lambda: datetime.now(UTC), progress=lambda step, share: None
        )
        return ""

    return timed(work)


CELLS: dict[str, Callable[[Path, int, int], dict[str, Any]]] = {
    function.__name__: function for function in (count, explain, plain_count, plain_explain, demo)
}


def timed(work: Callable[[], str]) -> dict[str, Any]:
    before, start = _cpu(), time.perf_counter()
    result = work()
    return {"seconds": time.perf_counter() - start, "cpu": _cpu() - before, "result": result}


def _cpu() -> float:
    """Seconds of this process and of the workers that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


# --- the table -----------------------------------------------------------------


def measured(cell: str, folder: Path, rows: int = 0, workers: int = 1) -> dict[str, Any]:
    """Run one cell in a process of its own and watch the memory of it and its workers."""
    import psutil

    told = [sys.executable, "-W", "ignore", __file__, "--cell", cell, str(folder)]
    errors = (folder / "errors.txt").open("w+")  # shap's progress bar, or why it failed
    process = subprocess.Popen(
        [*told, "--at", str(rows), str(workers)], stdout=subprocess.PIPE, stderr=errors, text=True
    )
    watched, most = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            most = max(most, sum(_resident(one) for one in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    assert process.stdout is not None
    said = process.stdout.read()
    with errors:
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{cell} of {rows:,} rows failed:\n{errors.read()[-2000:]}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found | {"memory": most / 2**20}


def _resident(process: Any) -> int:
    import psutil

    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has just ended
        return 0


def line(name: str, rows: int, found: dict[str, Any], more: str = "") -> None:
    print(
        f"  {name:<26}{rows:>13,}{found['seconds']:>10.1f}{found['cpu']:>10.1f}"
        f"{rows / found['seconds']:>12,.0f}{rows / found['cpu']:>13,.0f}"
        f"{found['memory']:>9,.0f}   {more}",
        flush=True,
    )


def head(title: str) -> None:
    print(f"\n{title}")
    print(
        f"  {'':<26}{'rows':>13}{'seconds':>10}{'CPU':>10}{'rows/s':>12}{'rows/CPU s':>13}{'MB':>9}"
    )


def growth(sizes: list[int], seconds: list[float]) -> None:
    if len(sizes) < 2:
        return
    slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    steps = ", ".join(
        f"{np.log(b / a) / np.log(n / m):.2f}"
        for (m, n), (a, b) in zip(pairwise(sizes), pairwise(seconds), strict=True)
    )
    print(f"  growth of CPU seconds {slope:.2f} (from size to size: {steps})")


def compare_counts(options: argparse.Namespace, folder: Path) -> None:
    head("Counts, scores, digests and a sample of all rows")
    ones: list[float] = []
    for rows in options.rows:
        write_rows(folder, rows)
        results = {}
        for workers in options.workers:
            found = measured("count", folder, rows, workers)
            results[workers] = found
            said = ""
            if workers > 1 and 1 in results:
                same = "same" if found["result"] == results[1]["result"] else "OTHER"
                said = f"{results[1]['seconds'] / found['seconds']:.2f} ×, {same} digest"
            line(f"ours, {workers} worker{'s' * (workers > 1)}", rows, found, said)
        first = results[options.workers[0]]
        ones.append(first["cpu"])
        if rows <= options.plain:
            found = measured("plain_count", folder, rows)
            line(
                "pandas + Fairlearn",
                rows,
                found,
                f"ours: {first['cpu'] / found['cpu']:.2f} of its CPU, "
                f"{first['memory'] / found['memory']:.2f} of its memory",
            )
        if rows not in options.explain:
            _remove(folder / f"rows-{rows}")
    growth(options.rows, ones)


def compare_explanations(options: argparse.Namespace, folder: Path) -> None:
    head("Explanations of all rows, added up by group")
    ones: list[float] = []
    for rows in options.explain:
        if not (folder / f"rows-{rows}").is_dir():
            write_rows(folder, rows)
        results = {}
        for workers in options.workers:
            found = measured("explain", folder, rows, workers)
            results[workers] = found
            said = ""
            if workers > 1 and 1 in results:
                same = "same" if found["result"] == results[1]["result"] else "OTHER"
                said = f"{results[1]['seconds'] / found['seconds']:.2f} ×, {same} digest"
            line(f"ours, {workers} worker{'s' * (workers > 1)}", rows, found, said)
        first = results[options.workers[0]]
        ones.append(first["cpu"])
        if rows == options.explain[0] and not options.no_plain:
            found = measured("plain_explain", folder, rows)
            line(
                "shap",
                rows,
                found,
                f"from {found['few']:,} rows; it takes {found['cpu'] / first['cpu']:.0f} × our CPU",
            )
        _remove(folder / f"rows-{rows}")
    growth(options.explain, ones)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**6, 10**7, 10**8])
    parser.add_argument("--explain", type=int, nargs="*", default=[10**4, 10**5, 10**6])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--plain", type=int, default=10**6, help="the most rows of the script")
    parser.add_argument("--no-plain", action="store_true", help="no shap beside ours")
    parser.add_argument("--no-demo", action="store_true")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if options.cell:
        name, folder = options.cell
        print(json.dumps(CELLS[name](Path(folder), *options.at)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_model(folder)
        compare_counts(options, folder)
        compare_explanations(options, folder)
        if not options.no_demo:
            found = measured("demo", folder)
            print(
                f"\nThe mortgage demo from end to end: {found['seconds']:.1f} s, "
                f"{found['cpu']:.1f} s CPU, {found['memory']:,.0f} MB"
            )


if __name__ == "__main__":
    main()
