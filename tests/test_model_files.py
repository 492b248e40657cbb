"""Models as data: ONNX graphs, XGBoost and LightGBM files, from file to explanation."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hitl_audit as ha
from hitl_audit.errors import InputError, MissingDependencyError
from hitl_audit.inputs import build_inputs
from hitl_audit.loading import read_model
from hitl_audit.plan import AuditPlan

NUMBERS = ["a", "b", "count"]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 160
    X = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.normal(size=n),
            "count": rng.integers(0, 5, n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
        }
    )
    score = X["a"] + 2 * (X["job"] == "nurse") - X["count"] / 3 + rng.normal(size=n)
    return X.assign(y=(score > 0).astype(int), race=rng.choice(["black", "white"], n))


@pytest.fixture(scope="module")
def pipeline(people: pd.DataFrame) -> Any:
    columns = ColumnTransformer(
        [
            ("n", StandardScaler(), NUMBERS),
            ("w", OneHotEncoder(handle_unknown="ignore"), ["job"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression())
    return model.fit(people[[*NUMBERS, "job"]], people["y"])


def write_pipeline(model: Any, file: Path, *, zipmap: bool) -> None:
    types = [
        ("a", FloatTensorType([None, 1])),
        ("b", FloatTensorType([None, 1])),
        ("count", Int64TensorType([None, 1])),
        ("job", StringTensorType([None, 1])),
    ]
    graph = convert_sklearn(model, initial_types=types, options={id(model[-1]): {"zipmap": zipmap}})
    file.write_bytes(graph.SerializeToString())


def write_matrix(model: Any, width: int, file: Path, **options: Any) -> None:
    graph = to_onnx(model, np.zeros((1, width), dtype=np.float32), **options)
    file.write_bytes(graph.SerializeToString())


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_pipeline_in_onnx_is_audited_and_explained_like_itself(
    tmp_path: Path, people: pd.DataFrame, pipeline: Any, zipmap: bool
) -> None:
    write_pipeline(pipeline, tmp_path / "model.onnx", zipmap=zipmap)
    loaded = read_model("model.onnx", folder=tmp_path)
    assert loaded.digest_of == "the file's bytes"
    model, X = loaded.model, people[[*NUMBERS, "job"]]
    assert model.classes_.tolist() == [0, 1]
    assert list(model.feature_names_in_) == [*NUMBERS, "job"]
    np.testing.assert_allclose(model.predict_proba(X), pipeline.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), pipeline.predict(X))
    np.testing.assert_allclose(
        model.predict_proba(X.to_numpy()), model.predict_proba(X)
    )  # by position
    plan = AuditPlan.from_dict(
        {"audit": {"title": "T"}, "data": {"target": "y", "sensitive": ["race"]}}
    )
    inputs = build_inputs(model, people, people["y"], plan=plan, loaded=loaded)
    np.testing.assert_allclose(inputs.y_score, pipeline.predict_proba(X)[:, 1], atol=1e-6)
    rows, background = X.iloc[:3], X.iloc[20:40]
    found = ha.explain(model, rows, background=background)
    truth = ha.explain(pipeline, rows, background=background, algorithm="exact")
    assert (found.algorithm, found.exact) == ("exact", True)
    np.testing.assert_allclose(found.values, truth.values, atol=1e-6)
    assert np.abs(found.residual).max() < 1e-6


@pytest.mark.parametrize("zipmap", [True, False])
def test_one_matrix_and_classes_with_names(
    tmp_path: Path, people: pd.DataFrame, zipmap: bool
) -> None:
    X = people[NUMBERS].to_numpy(dtype=np.float32)
    y = np.where(people["a"] > 0.5, "high", np.where(people["b"] > 0, "low", "mid"))
    forest = RandomForestClassifier(6, max_depth=3, random_state=0).fit(X, y)
    write_matrix(forest, 3, tmp_path / "m.onnx", options={"zipmap": zipmap})
    model = read_model("m.onnx", folder=tmp_path).model
    assert model.classes_.tolist() == ["high", "low", "mid"]
    assert model.n_features_in_ == 3
    np.testing.assert_allclose(model.predict_proba(X), forest.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(people[NUMBERS]), model.predict_proba(X))
    assert model.predict(X).tolist() == forest.predict(X).tolist()
    frame = pd.DataFrame(X, columns=NUMBERS)
    found = ha.explain(model, frame.iloc[:2], background=frame.iloc[20:40], output="low")
    truth = ha.explain(forest, X[:2], background=X[20:40], output="low")
    np.testing.assert_allclose(found.values, truth.values, atol=1e-5)
    assert found.feature_names == tuple(NUMBERS)


def test_columns_are_never_given_to_the_wrong_class(tmp_path: Path, people: pd.DataFrame) -> None:
    X = people[NUMBERS].to_numpy(dtype=np.float32)
    tensor = {"options": {"zipmap": False}}
    signs = LogisticRegression().fit(X, np.where(people["a"] > 0, 1, -1))
    write_matrix(signs, 3, tmp_path / "signs.onnx", **tensor)
    model = read_model("signs.onnx", folder=tmp_path).model
    assert model.classes_.tolist() == [-1, 1]
    # Neighbours are written without a list of classes: 0 … k − 1 fit, others are refused.
    plain = KNeighborsClassifier(3).fit(X, people["y"])
    write_matrix(plain, 3, tmp_path / "plain.onnx", **tensor)
    model = read_model("plain.onnx", folder=tmp_path).model
    assert model.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-6)
    for names in ([3, 7], ["no", "yes"]):
        odd = KNeighborsClassifier(3).fit(X, np.array(names)[people["y"]])
        write_matrix(odd, 3, tmp_path / "odd.onnx", **tensor)
        with pytest.raises(InputError, match=r"does not list its classes.*save it with ZipMap"):
            read_model("odd.onnx", folder=tmp_path)
        write_matrix(odd, 3, tmp_path / "map.onnx")
        model = read_model("map.onnx", folder=tmp_path).model
        assert model.classes_.tolist() == names
        np.testing.assert_allclose(model.predict_proba(X), odd.predict_proba(X), atol=1e-6)


def test_regressors_have_values(tmp_path: Path, people: pd.DataFrame) -> None:
    X = people[NUMBERS].to_numpy(dtype=np.float32)
    line = LinearRegression().fit(X, people["a"] - people["count"])
    write_matrix(line, 3, tmp_path / "line.onnx")
    model = read_model("line.onnx", folder=tmp_path).model
    assert not hasattr(model, "predict_proba")
    np.testing.assert_allclose(model.predict(X), line.predict(X), atol=1e-5)
    found = ha.explain(model, X[:2], background=X[20:40])
    assert found.scale == "value"
    np.testing.assert_allclose(
        found.values, ha.explain(line, X[:2], background=X[20:40]).values, atol=1e-5
    )
    two = RandomForestRegressor(3, max_depth=3, random_state=0).fit(X, people[["a", "b"]])
    write_matrix(two, 3, tmp_path / "two.onnx")
    model = read_model("two.onnx", folder=tmp_path).model
    np.testing.assert_allclose(model.predict(X), two.predict(X), atol=1e-5)


def test_a_graph_survives_pickling(tmp_path: Path, people: pd.DataFrame, pipeline: Any) -> None:
    write_pipeline(pipeline, tmp_path / "m.onnx", zipmap=False)
    model = read_model("m.onnx", folder=tmp_path).model
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    X = people[[*NUMBERS, "job"]]
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_columns_that_a_graph_cannot_take_are_named(
    tmp_path: Path, people: pd.DataFrame, pipeline: Any
) -> None:
    write_pipeline(pipeline, tmp_path / "m.onnx", zipmap=False)
    model, X = read_model("m.onnx", folder=tmp_path).model, people[[*NUMBERS, "job"]]
    with pytest.raises(InputError, match="inputs job are not columns of X"):
        model.predict(X.drop(columns="job"))
    with pytest.raises(InputError, match='"job" has missing values'):
        model.predict(X.assign(job=X["job"].where(X.index > 3)))
    with pytest.raises(
        InputError, match=r'"count" is a tensor\(int64\); got numbers with fractions'
    ):
        model.predict(X.assign(count=X["count"] + 0.5))
    with pytest.raises(InputError, match=r'"a" is a tensor\(float\): could not convert'):
        model.predict(X.assign(a="x"))
    with pytest.raises(InputError, match="got 2 columns; the graph has 4 inputs"):
        model.predict(X.to_numpy()[:, :2])
    write_matrix(LinearRegression().fit(X[NUMBERS], X["a"]), 3, tmp_path / "line.onnx")
    with pytest.raises(InputError, match="got 2 columns; the graph takes 3"):
        read_model("line.onnx", folder=tmp_path).model.predict(X[["a", "b"]])
    assert np.isnan(model.predict_proba(X.assign(a=np.nan))).all()  # the graph's own answer


def test_without_onnxruntime_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "hitl-audit\[onnx\]"'):
        read_model("m.onnx", folder=tmp_path)


# --- boosters --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["ubj", "json"])
def test_xgboost_files(tmp_path: Path, people: pd.DataFrame, suffix: str) -> None:
    X, y = people[NUMBERS], people["y"]
    fitted = xgboost.XGBClassifier(n_estimators=8, max_depth=2, n_jobs=1).fit(X, y)
    fitted.save_model(tmp_path / f"m.{suffix}")
    model = read_model(f"m.{suffix}", folder=tmp_path).model
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    assert model.classes_.tolist() == [0, 1]
    found = ha.explain(model, X.iloc[:3], background=X.iloc[20:40], scale="log-odds")
    assert found.algorithm == "tree-interventional"
    assert np.abs(found.residual).max() < 1e-6
    bare = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(X, X["a"]), 5)
    bare.save_model(tmp_path / f"r.{suffix}")
    model = read_model(f"r.{suffix}", folder=tmp_path).model
    np.testing.assert_array_equal(model.predict(X), bare.predict(xgboost.DMatrix(X)))


def test_lightgbm_files(tmp_path: Path, people: pd.DataFrame) -> None:
    X = people[[*NUMBERS, "job"]].astype({"job": "category"})
    quiet: dict[str, Any] = {"n_estimators": 8, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
    fitted: Any = lightgbm.LGBMClassifier(**quiet).fit(X, people["y"])
    fitted.booster_.save_model(tmp_path / "m.txt")
    model = read_model("m.txt", folder=tmp_path).model
    np.testing.assert_allclose(model.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    assert list(model.feature_names_in_) == [*NUMBERS, "job"]
    found = ha.explain(model, X.iloc[:2], background=X.iloc[20:40])
    truth = ha.explain(fitted, X.iloc[:2], background=X.iloc[20:40], algorithm="exact")
    np.testing.assert_allclose(found.values, truth.values, atol=1e-9)
    three: Any = lightgbm.LGBMClassifier(**quiet).fit(X[NUMBERS].to_numpy(), X["job"].cat.codes)
    three.booster_.save_model(tmp_path / "three.txt")
    model = read_model("three.txt", folder=tmp_path).model
    assert model.classes_.tolist() == [0, 1, 2]
    found = ha.explain(model, X[NUMBERS].iloc[:2], background=X[NUMBERS].iloc[20:40], output=2)
    np.testing.assert_allclose(found.predictions, three.predict_proba(X[NUMBERS].iloc[:2])[:, 2])
    line: Any = lightgbm.LGBMRegressor(**quiet).fit(X[NUMBERS], X["a"])
    line.booster_.save_model(tmp_path / "line.txt")
    model = read_model("line.txt", folder=tmp_path).model
    found = ha.explain(model, X[NUMBERS].iloc[:2], background=X[NUMBERS].iloc[20:40])
    assert (found.scale, found.algorithm) == ("value", "tree-interventional")
    np.testing.assert_allclose(found.predictions, line.predict(X[NUMBERS].iloc[:2]))


def test_objectives_that_are_no_audit_matter_are_named(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    X = people[NUMBERS]
    data = xgboost.DMatrix(X, people["y"], qid=np.zeros(len(X), dtype=int))
    xgboost.train({"objective": "rank:ndcg"}, data, 2).save_model(tmp_path / "rank.ubj")
    with pytest.raises(InputError, match='its objective is "rank:ndcg"; accepted: binary:logistic'):
        read_model("rank.ubj", folder=tmp_path)
    settings: dict[str, Any] = {"objective": "cross_entropy", "verbose": -1}
    ranked = lightgbm.train(settings, lightgbm.Dataset(X, people["y"]), 2)
    ranked.save_model(tmp_path / "rank.txt")
    with pytest.raises(InputError, match='its objective is "cross_entropy"; accepted: binary, mul'):
        read_model("rank.txt", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.onnx", b"nothing", "it is no ONNX model that can be run"),
        ("m.onnx", b"", "it is no ONNX model that can be run"),
        ("m.ubj", b"nothing", "it is no XGBoost model"),
        ("m.json", b"{}", "it is no XGBoost model"),
        ("m.txt", b"nothing", 'its first line is not "tree"'),
        ("m.txt", b"\xff\xfe", 'its first line is not "tree"'),
        ("m.h5", b"", r"expected \.skops, \.onnx, \.ubj, \.json, \.txt, \.joblib or package"),
    ],
)
def test_a_broken_file_is_an_input_error(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_model(name, folder=tmp_path)
