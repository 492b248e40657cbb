"""Models scored in a process of their own: the same numbers, and faults that are only errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import psutil
import pytest
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.inputs import build_inputs
from hitl_audit.loading import read_model, read_planned_model
from hitl_audit.model_worker import WorkerModel
from hitl_audit.plan import AuditPlan
from hitl_audit.plan_sections import ModelSection
from hitl_audit.skops_file import examine


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n)})
    X["job"] = rng.choice(["clerk", "nurse"], n)
    X.loc[rng.random(n) < 0.1, "job"] = None
    X.loc[3, "a"] = np.nan
    return X.assign(y=np.where(X["b"] + rng.normal(size=n) > 0, "yes", "no"))


@pytest.fixture(scope="module")
def forest(people: pd.DataFrame) -> Any:
    columns = ColumnTransformer(
        [("n", "passthrough", ["a", "b"]), ("w", OneHotEncoder(handle_unknown="ignore"), ["job"])]
    )
    return make_pipeline(columns, RandomForestClassifier(7, random_state=0)).fit(
        people[["a", "b", "job"]], people["y"]
    )


def rewritten(content: bytes, change: Callable[[np.ndarray[Any, Any]], None]) -> bytes:
    """A skops file whose arrays of tree nodes are changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(".npy"):
                array = np.load(io.BytesIO(data), allow_pickle=False)
                if array.dtype.names and "left_child" in array.dtype.names:
                    array = array.copy()
                    change(array)
                    buffer = io.BytesIO()
                    np.save(buffer, array)
                    data = buffer.getvalue()
            new.writestr(entry.filename, data)
    return out.getvalue()


def far_away(nodes: np.ndarray[Any, Any]) -> None:
    nodes["left_child"][0] = nodes["right_child"][0] = 2**40


def in_a_circle(nodes: np.ndarray[Any, Any]) -> None:
    nodes["left_child"][0] = nodes["right_child"][0] = 0


def worker(content: bytes, kind: str = "skops", **keys: Any) -> WorkerModel:
    trusted = examine(content).trusted if kind == "skops" else ()
    return WorkerModel(content, kind=kind, name=f"m.{kind}", trusted=trusted, **keys)


def children() -> list[int]:
    """Processes of ours that run or wait to be collected."""
    return [p.pid for p in psutil.Process().children(recursive=True)]


def test_a_worker_answers_like_the_model_and_outlives_its_process(
    people: pd.DataFrame, forest: Any
) -> None:
    X = people[["a", "b", "job"]]
    before = children()
    model = worker(skops.io.dumps(forest))
    assert children() == before  # nothing runs before it is asked
    np.testing.assert_array_equal(model.predict_proba(X), forest.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), forest.predict(X))
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.feature_names_in_.tolist() == ["a", "b", "job"]
    assert model.n_features_in_ == 3
    assert not hasattr(model, "fit")
    first = model.process_id
    assert first is not None
    assert first not in before
    # A model's own mistake is an error, not the end of the process.
    with pytest.raises(InputError, match="ValueError: columns are missing"):
        model.predict_proba(X[["a"]])
    # What a machine does when memory runs out.
    os.kill(first, signal.SIGKILL)
    np.testing.assert_array_equal(model.predict_proba(X), forest.predict_proba(X))
    assert model.process_id not in (None, first)
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert copy.process_id is None
    assert copy.classes_.tolist() == ["no", "yes"]  # known without a process
    assert copy.process_id is None
    model.close()
    model.close()
    assert children() == before


def _damaged(kind: str, X: pd.DataFrame, y: Any) -> bytes:
    if kind == "skops":
        return rewritten(skops.io.dumps(DecisionTreeClassifier().fit(X, y)), far_away)
    if kind == "lightgbm":
        text = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, y).booster_
        return re.sub(
            r"(left_child|right_child)=(.*)",
            lambda line: f"{line[1]}=" + " ".join(["99999999"] * len(line[2].split())),
            text.model_to_string(),
        ).encode()
    booster = xgboost.XGBClassifier(n_estimators=2).fit(X, y).get_booster()
    content = json.loads(booster.save_raw("json"))
    for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
        for side in ("left_children", "right_children"):
            tree[side] = [c if c < 0 else 10**9 for c in tree[side]]
    return json.dumps(content).encode()


CRASHES = {
    "skops": r"crashed \(SIGSEGV.*\) on rows 1 to 200 of the 200 it was given, twice",
    "lightgbm": r"crashed \(SIG\w+.*\) while it was loaded, twice",
    "xgboost": r"crashed \(SIGSEGV.*\) on rows 1 to 200 of the 200 it was given, twice",
}


@pytest.mark.parametrize("kind", CRASHES)
def test_a_file_that_crashes_its_process_is_an_error(
    people: pd.DataFrame, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = people[["a", "b"]].fillna(0), (people["y"] == "yes").astype(int)
    content = _damaged(kind, X, y)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = children()
    model = worker(content, kind)
    with pytest.raises(
        InputError, match=rf"^m\.{kind}: the process that scores it {CRASHES[kind]}"
    ):
        model.predict_proba(X)
    assert model.process_id is None
    assert children() == before
    assert list(tmp_path.iterdir()) == []  # no core, nothing of the worker's


def test_a_file_that_never_answers_is_ended(people: pd.DataFrame) -> None:
    X, y = people[["a", "b"]].fillna(0), people["y"]
    content = rewritten(skops.io.dumps(DecisionTreeClassifier().fit(X, y)), in_a_circle)
    asked: list[float] = []

    def soon(seconds: float, end: Callable[[], None]) -> threading.Timer:
        asked.append(seconds)
        return threading.Timer(seconds if len(asked) == 1 else 0.3, end)

    before = children()
    model = worker(content, timeout=7.0, timer=soon)
    many = pd.concat([X] * 101)  # 20,200 rows: time for three times 10,000
    with pytest.raises(InputError, match=r"did not answer within 21 seconds on rows 1 to 20,200"):
        model.predict_proba(many)
    assert asked[1:] == [21.0]
    assert children() == before


def test_a_worker_does_not_outlive_an_audit_that_is_killed() -> None:
    program = (
        "import os, signal; from hitl_audit.model_worker import WorkerModel\n"
        "model = WorkerModel(b'', kind='onnx', name='m.onnx'); model.start()\n"
        "print(model.process_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, env=environment
    )
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(int(done.stdout))
        with contextlib.suppress(psutil.TimeoutExpired):
            left.wait(timeout=60)
        # Without an init process nobody collects it; it must have ended all the same.
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (r"\377\377\377\377", "something that is no answer"),
        (r"\000\000\000\005hello", "something that is no answer"),
        (r"\000\000\000\002[]", "something that is no answer"),
        (r'\000\000\000\023{"methods": "all"}\n', "describes no model"),
        (r"\000\000", "ended with exit code 3 while it was loaded, twice"),
        (r'\000\000\000\025{"error": "a\\u001bb"}', r"a\?b"),
        (r'\000\000\000\066{"kind": "MissingDependencyError", "error": "needs x"}', "^needs x$"),
    ],
)
def test_what_comes_back_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nhead -c 8 > /dev/null\nprintf '{answer}'\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    kind = MissingDependencyError if "needs" in message else InputError
    with pytest.raises(kind, match=message):
        WorkerModel(b"", kind="onnx", name="m.onnx").load()
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(InputError, match=r"model\.worker = false"):
        WorkerModel(b"", kind="onnx", name="m.onnx").load()


def test_an_audit_scores_a_file_in_its_worker(
    tmp_path: Path, people: pd.DataFrame, forest: Any
) -> None:
    X = people[["a", "b", "job"]]
    (tmp_path / "m.skops").write_bytes(skops.io.dumps(forest))
    loaded = read_planned_model(ModelSection(path="m.skops"), folder=tmp_path)
    assert loaded.worker is not None
    sex = pd.DataFrame({"sex": np.resize(["f", "m"], len(X))})
    table = {"audit": {"title": "t"}, "data": {"sensitive": ["sex"], "favorable": "yes"}}
    plan = AuditPlan.from_dict(table)
    inputs = build_inputs(loaded.model, X, people["y"], plan=plan, sensitive=sex, loaded=loaded)
    np.testing.assert_array_equal(inputs.y_score, forest.predict_proba(X)[:, 1])
    # Explanations get the object itself, whose trees they read.
    assert type(inputs.predictor.model) is type(forest)
    loaded.check_unchanged()
    assert loaded.worker.process_id is None  # nothing is kept once all rows are scored
    (tmp_path / "m.skops").write_bytes(b"another")
    with pytest.raises(InputError, match=r'"m\.skops", which was changed while it was audited'):
        loaded.check_unchanged()
    (tmp_path / "m.skops").unlink()
    with pytest.raises(InputError, match="was there and cannot be read now"):
        loaded.check_unchanged()


def test_damaged_trees_never_reach_the_process_of_the_audit(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    X = people[["a", "b"]].fillna(0)
    content = skops.io.dumps(DecisionTreeClassifier().fit(X, people["y"]))
    (tmp_path / "m.skops").write_bytes(rewritten(content, far_away))
    before = children()
    for apart in (True, False):
        with pytest.raises(InputError, match=r'"m\.skops", which holds a damaged tree: a child'):
            read_model("m.skops", folder=tmp_path, worker=apart)
    assert children() == before


def test_a_file_that_cannot_be_loaded_says_so_once(
    tmp_path: Path, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    before = children()
    with pytest.raises(
        InputError, match=r'^model\.path is "m\.onnx", but it is no ONNX model that can be run'
    ):
        read_model("m.onnx", folder=tmp_path, worker=True)
    monkeypatch.setenv("HITL_AUDIT_PASSPHRASE", "secret")
    model = LogisticRegression().fit(people[["b"]], people["y"])
    (tmp_path / "m.skops").write_bytes(skops.io.dumps(model))
    loaded = read_model("m.skops", folder=tmp_path, worker=True)
    assert loaded.worker is not None
    assert loaded.worker.process_id is not None
    environment = psutil.Process(loaded.worker.process_id).environ()
    assert "HITL_AUDIT_PASSPHRASE" not in environment
    del loaded  # its process goes with it
    assert children() == before
