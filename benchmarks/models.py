"""What it costs to score a model somewhere else: in a worker process, behind an endpoint.

python benchmarks/models.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.endpoint_model import Endpoint, EndpointScores
from hitl_audit.model_worker import WorkerModel
from hitl_audit.skops_file import examine

ROWS = 100_000
NUMBERS = [f"n{i}" for i in range(10)]
WORDS = [f"w{i}" for i in range(5)]


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=rows) for name in NUMBERS})
    for name in WORDS:
        frame[name] = rng.choice(["clerk", "nurse", "pilot", "teacher"], rows)
    return frame


def best(work: Callable[[], Any], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def workers() -> None:
    X = table(ROWS)
    y = (X["n0"] + (X["w0"] == "nurse") > 0).astype(int)
    columns = ColumnTransformer(
        [("n", StandardScaler(), NUMBERS), ("w", OneHotEncoder(sparse_output=False), WORDS)]
    )
    cases = {
        "logistic, 10 numbers": (LogisticRegression(), NUMBERS),
        "logistic, 10 numbers + 5 texts": (
            make_pipeline(columns, LogisticRegression()),
            [*NUMBERS, *WORDS],
        ),
        "histogram boosting, 10 numbers": (HistGradientBoostingClassifier(), NUMBERS),
        "forest of 100, 10 numbers": (
            RandomForestClassifier(100, max_depth=10, n_jobs=1),
            NUMBERS,
        ),
    }
    print(f"{'worker, ' + format(ROWS, ',') + ' rows':34} {'here':>8} {'worker':>8} {'ratio':>6}")
    for name, (model, used) in cases.items():
        model.fit(X[used].head(5000), y.head(5000))
        content = skops.io.dumps(model)
        aside = WorkerModel(content, kind="skops", name="m.skops", trusted=examine(content).trusted)
        start = time.perf_counter()
        aside.load()
        loading = time.perf_counter() - start
        here = best(lambda m=model, u=used: m.predict_proba(X[u]))  # type: ignore[misc]
        there = best(lambda m=aside, u=used: m.predict_proba(X[u]))  # type: ignore[misc]
        print(f"{name:34} {here:7.3f}s {there:7.3f}s {there / here:6.2f}  (start {loading:.1f}s)")
        aside.close()


class Scores(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_POST(self) -> None:
        split = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        values = np.array(split["dataframe_split"]["data"], dtype=float)
        raw = json.dumps({"predictions": (1 / (1 + np.exp(-values[:, 0]))).tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def endpoints() -> None:
    X = table(ROWS)[NUMBERS]
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/invocations"
        head = "endpoint on this machine, 10 numbers"
        print(f"\n{head:38} {'rows/s':>9} {'rows/s of our own processor time':>34}")
        for size, rows in ((10_000, ROWS), (1_000, ROWS), (100, 10_000), (1, 500)):
            model = EndpointScores(Endpoint(url, batch_rows=size))
            started = time.process_time()
            taken = best(lambda m=model, n=rows: m(X.head(n)), times=3)  # type: ignore[misc]
            ours = (time.process_time() - started) / 3
            print(f"{format(size, ',') + ' a call':38} {rows / taken:9,.0f} {rows / ours:34,.0f}")
        server.terminate()


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scores)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve()
    else:
        workers()
        endpoints()
