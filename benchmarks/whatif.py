"""An edit in a real browser: from the slider's event to the painted answer, beside others.

    python benchmarks/whatif.py [--edits 60] [--explainerdashboard PYTHON]

The page is served by Voilà, in Chromium, with the what-if panel and, as the floor, a slider whose
value goes to the kernel and comes back. The contestants take turns: one edit each, the same
number of times, on the same features and values. Painted means: the answer is in the document
and the browser has come to the second animation frame after it. Three models, each behind a
one-hot pipeline, over 2,000 people with 12 features.

``--explainerdashboard`` is the Python of an environment of its own with explainerdashboard 0.5.8,
pyarrow, and pandas and scikit-learn that read the model; its what-if page is open in the same
browser, on the same model and people, and takes its turn. Ratios: ours ÷ floor, theirs ÷ ours.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
MODELS = ("boosting", "logistic", "forest")
MEASURE = """async ([box, input, target, value]) => {
  const root = document.querySelector(box);
  const slider = root.querySelector(input), shown = root.querySelector(target);
  const seen = new Promise((done) => {
    const watch = new MutationObserver(() => { watch.disconnect(); done(); });
    watch.observe(shown, { childList: true, characterData: true, subtree: true });
  });
  const started = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await seen;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - started;
}"""
# Dash's inputs belong to React: the value goes in by the prototype's setter.
MEASURE_DASH = """async ([feature, share]) => {
  const input = document.querySelector(`input[id^="feature-input-${feature}-"]`);
  const table = () => [...document.querySelectorAll("table")].map((t) => t.innerText).join();
  const before = table();
  const value = Number(input.min) + share * (input.max - input.min);
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const started = performance.now();
  set.call(input, value.toFixed(2));
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
  while (table() === before && performance.now() - started < 5000)
    await new Promise((done) => requestAnimationFrame(done));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - started;
}"""
DASHBOARD = """
import pickle, sys
from explainerdashboard import ClassifierExplainer, ExplainerDashboard
model, X, y = pickle.load(open(sys.argv[1], "rb"))
explainer = ClassifierExplainer(model, X, y)
ExplainerDashboard(
    explainer, importances=False, model_summary=False, contributions=False, whatif=True,
    shap_dependence=False, shap_interaction=False, decision_trees=False,
).run(port=int(sys.argv[2]), host="127.0.0.1")
"""


def people(n: int = 2_000) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Ten numbers and two categories, and an outcome that follows from some of them."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"amount{k}": rng.gamma(3, 10, n).round(1) for k in range(10)})
    X["region"] = rng.choice(["north", "south", "west"], n)
    X["owner"] = rng.choice(["no", "yes"], n)
    score = X["amount0"] - X["amount1"] + 0.5 * X["amount2"] + 10 * (X["owner"] == "yes")
    return X, (score + rng.normal(0, 12, n) > score.median()).to_numpy().astype(int)


def fitted(name: str) -> tuple[Any, pd.DataFrame, np.ndarray[Any, Any]]:
    """One of the models, behind a one-hot pipeline."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    X, y = people()
    estimators = {
        "boosting": GradientBoostingClassifier(random_state=0),
        "logistic": LogisticRegression(max_iter=2000),
        "forest": RandomForestClassifier(200, min_samples_leaf=5, random_state=0, n_jobs=1),
    }
    columns = ColumnTransformer(
        [
            ("amounts", StandardScaler(), list(X.columns[:10])),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), ["region", "owner"]),
        ],
        sparse_threshold=0,
        verbose_feature_names_out=False,
    ).set_output(transform="default")
    return make_pipeline(columns, estimators[name]).fit(X, y), X, y


def page(name: str) -> Any:
    """What the served notebook shows: the floor and the panel."""
    import anywidget
    import ipywidgets

    from hitl_audit.what_if.engine import WhatIf
    from hitl_audit.widgets.trials import Trials, ahead
    from hitl_audit.widgets.what_if_panel import WhatIfPanel

    class Echo(anywidget.AnyWidget):
        """A slider, and its value after a way to the kernel and back."""

        _esm = """export default { render({ model, el }) {
          const slider = document.createElement("input"), shown = document.createElement("p");
          slider.type = "range"; slider.step = "0.1"; el.className = "echo";
          el.append(slider, shown);
          slider.addEventListener("input", () => model.send({ value: slider.value }));
          model.on("msg:custom", (m) => { shown.textContent = m.value; });
        } }"""

        def __init__(self) -> None:
            super().__init__()
            self.on_msg(lambda widget, content, _: widget.send(content))

    model, X, _ = fitted(name)
    engine = WhatIf.of(model, X)
    engine.answer(engine.start_at(0))
    return ipywidgets.VBox([Echo(), WhatIfPanel(Trials(ahead(lambda: engine)), "0")])


def serve(name: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Voilà, with one notebook."""
    code = f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport whatif\nwhatif.page({name!r})"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {
        "cells": [cell | {"source": code}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps(notebook))
    port = free_port()
    command = [sys.executable, "-m", "voila", str(path), f"--port={port}", "--no-browser"]
    env = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, text=True)
    return server, f"http://127.0.0.1:{port}/"


def serve_dashboard(python: str, name: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """explainerdashboard's what-if of the same model and people."""
    (folder / "dashboard.py").write_text(DASHBOARD)
    (folder / "model.pkl").write_bytes(pickle.dumps(fitted(name)))
    port = free_port()
    command = [python, str(folder / "dashboard.py"), str(folder / "model.pkl"), str(port)]
    with (folder / "dashboard.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    return server, f"http://127.0.0.1:{port}/"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answering(address: str, server: subprocess.Popen[str], seconds: float = 120) -> bool:
    host, port = re.findall(r"//([^:]+):(\d+)", address)[0]
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return True
        time.sleep(0.2)
    return False


def told(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):6.1f} {ordered[int(0.95 * (len(ordered) - 1))]:6.1f}"


def run(name: str, browser: Any, edits: int, dashboard: str) -> None:
    """One model: every contestant opened, then one edit each in turn."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        servers = [serve(name, folder)]
        if dashboard:
            servers.append(serve_dashboard(dashboard, name, folder))
        try:
            if not answering(servers[0][1], servers[0][0]):
                raise SystemExit("Voilà did not start")
            ours = browser.new_page(viewport={"width": 1280, "height": 1000})
            ours.goto(servers[0][1], wait_until="commit")
            ours.wait_for_selector(".hw-row", timeout=120_000)
            ours.wait_for_selector(".hj-bar", timeout=60_000)
            theirs = None
            if dashboard and answering(servers[1][1], servers[1][0]):
                theirs = browser.new_page(viewport={"width": 1280, "height": 1000})
                theirs.goto(servers[1][1], wait_until="commit")
                theirs.wait_for_selector("input[type=number]", timeout=120_000)
                theirs.wait_for_selector("table", timeout=60_000)
                theirs.wait_for_timeout(3000)
                theirs.get_by_role("button", name="Random Index").first.click()
                theirs.wait_for_timeout(5000)
            times: dict[str, list[float]] = {"floor": [], "panel": [], "explainerdashboard": []}
            for k in range(edits + 5):
                value = float(np.round(rng.uniform(5, 80), 1))
                slider = "[aria-label='amount0, slider']"
                ours.bring_to_front()
                took = {
                    "floor": ours.evaluate(MEASURE, [".echo", "input", "p", value]),
                    "panel": ours.evaluate(MEASURE, [".hw-panel", slider, ".hw-answer", value]),
                }
                if theirs is not None and k < 30:
                    theirs.bring_to_front()
                    share = float(rng.uniform(0.1, 0.9))
                    ms = theirs.evaluate(MEASURE_DASH, ["amount0", share])
                    if ms < 5000:  # else what it shows did not change
                        took["explainerdashboard"] = ms
                if k >= 5:
                    for contestant, ms in took.items():
                        times[contestant].append(ms)
            for contestant, found in times.items():
                if found:
                    print(f"{name:10} {contestant:20} {told(found)}  n={len(found)}")
            middle = {c: statistics.median(found) for c, found in times.items() if found}
            line = f"{name:10} panel ÷ floor {middle['panel'] / middle['floor']:.2f}"
            if "explainerdashboard" in middle:
                line += f" · theirs ÷ ours {middle['explainerdashboard'] / middle['panel']:.1f}"
            elif dashboard:
                line += " · explainerdashboard did not start with this model"
            print(line, flush=True)
        finally:
            for server, _ in servers:
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    server.kill()


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--explainerdashboard", default="", metavar="PYTHON")
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    given = parser.parse_args()
    print("ms from event to paint:          p50    p95")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        for name in given.models:
            run(name, browser, given.edits, given.explainerdashboard)
        browser.close()


if __name__ == "__main__":
    main()
