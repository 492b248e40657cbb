"""The one pass over all rows: rows a second, where the time goes, and how much memory.

    python benchmarks/population_pass.py [--rows 1000000] [--models logistic boosting]

Rows are generated part by part (10 numbers, 2 kinds, 2 sensitive attributes), so
that nothing holds them all. Times are CPU seconds of one process on one thread
(``time.process_time``); "the model alone" reads the same parts, makes the same
frames of them and calls ``predict_proba``. Memory is the most that the process
ever had (``ru_maxrss``), with the libraries loaded, at a tenth of the rows and at
all of them: it does not grow.
"""

from __future__ import annotations

import argparse
import pickle
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.multiset_hash import add_rows, no_rows
from hitl_audit.plan import AuditPlan
from hitl_audit.population import merged, no_counts, population_of, score_pass
from hitl_audit.population.batch import read_batch
from hitl_audit.population.content import row_digests
from hitl_audit.population.score_classes import count_scores
from hitl_audit.rows import normal_frame

NUMBERS = [f"x{i}" for i in range(10)]
KINDS = ["purpose", "region"]
COLUMNS = [*NUMBERS, *KINDS, "race", "sex", "paid"]
PER_PART = 100_000
PER_BATCH = 48 * 1024


@dataclass(frozen=True)
class Generated:
    """A part whose rows are made when they are read."""

    number: int
    rows: int
    key: str = ""

    @property
    def name(self) -> str:
        return f"part {self.number + 1}"

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        rng = np.random.default_rng(self.number)
        for start in range(0, self.rows, PER_BATCH):
            n = min(PER_BATCH, self.rows - start)
            made: dict[str, Any] = {name: rng.normal(size=n) for name in NUMBERS}
            made["purpose"] = rng.choice(["home", "car", "study", "other"], n)
            made["region"] = rng.choice([f"r{i}" for i in range(20)], n)
            made["race"] = rng.choice(["white", "Black", "Hispanic"], n, p=[0.7, 0.2, 0.1])
            made["sex"] = rng.choice(["f", "m"], n)
            signal = made["x0"] + made["x1"] / 2 + made["x2"] * made["x3"] + rng.normal(size=n)
            made["paid"] = (signal > 0).astype(np.int64)
            yield pa.RecordBatch.from_pydict(made).select(list(columns or COLUMNS))


def fitted(name: str) -> Any:
    (batch,) = Generated(10**6, 20_000).batches()
    frame = normal_frame(batch)
    numbers: Any = StandardScaler() if name == "logistic" else "passthrough"
    kinds = OneHotEncoder(handle_unknown="ignore", sparse_output=name == "logistic")
    end = LogisticRegression() if name == "logistic" else HistGradientBoostingClassifier()
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("kinds", kinds, KINDS)])
    return Pipeline([("columns", columns), ("end", end)]).fit(
        frame[[*NUMBERS, *KINDS]], frame["paid"]
    )


def seconds(work: Any) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, rows: int) -> None:
    model = fitted(name)
    plan = AuditPlan.from_dict(
        {"audit": {"title": "t"}, "data": {"target": "paid", "sensitive": ["race", "sex"]}}
    )
    over = score_pass(model, plan, columns=COLUMNS, model_digest="m", rows=rows)
    parts = [Generated(i, min(PER_PART, rows - i * PER_PART)) for i in range(-(-rows // PER_PART))]
    over(Generated(0, 2000))  # compiles

    def generate() -> None:
        for part in parts:
            for _ in part.batches(over.columns):
                pass

    def model_alone() -> None:
        for part in parts:
            for batch in part.batches(over.columns):
                model.predict_proba(normal_frame(batch)[[*NUMBERS, *KINDS]])

    held = []

    def whole() -> Any:
        found = no_counts()
        for i, part in enumerate(parts):
            found = merged(found, over(part))
            if i + 1 in (max(1, len(parts) // 10), len(parts)):
                held.append(peak())
        return found

    made, _ = seconds(generate)
    alone, _ = seconds(model_alone)
    took, counts = seconds(whole)
    population = population_of(counts, over, plan)
    print(f"\n{name}: {rows:,} rows; {population!r}")
    print(f"  the model alone   {1e6 * (alone - made) / rows:6.2f} µs a row")
    print(
        f"  the whole pass    {1e6 * (took - made) / rows:6.2f} µs a row: "
        f"{rows / (took - made):,.0f} rows a second, {(took - made) / (alone - made):.1f} times"
    )
    batch = next(parts[0].batches(over.columns))
    n = batch.num_rows
    read = read_batch(batch, over.columns, "")
    digests = row_digests(read)
    scores = model.predict_proba(read.frame[[*NUMBERS, *KINDS]])[:, 1]
    y_true = read.frame["paid"].to_numpy(dtype=np.int64)
    groups = {name: (read.levels(name).codes, read.levels(name).values) for name in ("race", "sex")}
    for what, work in (
        ("reading a batch", lambda: read_batch(batch, over.columns, "")),
        ("row digests", lambda: row_digests(read)),
        ("adding them up, twice", lambda: [add_rows(no_rows(), digests) for _ in range(2)]),
        ("classes of scores", lambda: count_scores(scores, y_true, groups)),
    ):
        print(f"    {what:22s}{1e6 * min(seconds(work)[0] for _ in range(5)) / n:6.2f}")
    print(f"  memory              {held[0]:6.0f} MB at a tenth, {held[-1]:.0f} MB at the end")
    size = len(pickle.dumps(over(parts[0]), pickle.HIGHEST_PROTOCOL)) / 1e6
    print(f"  a part's answer     {size:6.2f} MB")
    for score in population.performance(n_boot=100).overall.scores[4:]:
        print(f"  {score.metric}: {score.value:.6f} ({score.method})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--models", nargs="+", default=["logistic", "boosting"])
    options = parser.parse_args()
    for name in options.models:
        measure(name, options.rows)


if __name__ == "__main__":
    main()
