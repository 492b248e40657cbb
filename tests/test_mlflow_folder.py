"""Model folders as MLflow writes them, read without MLflow."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
import yaml
from skl2onnx import to_onnx
from sklearn import __version__ as sklearn_version
from sklearn.linear_model import LogisticRegression

from hitl_audit.errors import InputError, MissingDependencyError, UntrustedModelError
from hitl_audit.inputs import build_inputs
from hitl_audit.loading import read_model
from hitl_audit.mlflow_folder import digest_folder, read_mlflow_folder
from hitl_audit.plan import AuditPlan

NAMES = ["income", "age", "debt"]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=NAMES)
    return X.assign(y=(X["income"] + rng.normal(size=120) > 0).astype(int))


def signature(*names: str) -> dict[str, str]:
    columns = [{"type": "double", "name": name, "required": True} for name in names]
    return {"inputs": json.dumps(columns), "outputs": '[{"type": "long", "required": true}]'}


def write(
    folder: Path,
    flavor: str,
    stated: dict[str, Any],
    content: bytes,
    *,
    columns: list[str] | None = None,
    **more: Any,
) -> Path:
    """A folder as ``mlflow.….save_model`` leaves it."""
    folder.mkdir()
    file = str(stated.get("pickled_model", stated.get("data")))
    described = {
        "flavors": {
            "python_function": {"loader_module": f"mlflow.{flavor}", "env": {"conda": "c.yaml"}},
            flavor: {"code": None, **stated},
        },
        "mlflow_version": "3.17.2",
        "signature": signature(*(columns or NAMES)),
        "utc_time_created": "2026-11-27 21:48:13.772103",
        **more,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    (folder / "requirements.txt").write_text(f"mlflow==3.17.2\nscikit-learn=={sklearn_version}\n")
    (folder / file).write_bytes(content)
    return folder


def sklearn_folder(folder: Path, model: Any, **more: Any) -> Path:
    stated = {
        "pickled_model": "model.skops",
        "serialization_format": "skops",
        "sklearn_version": sklearn_version,
        "skops_trusted_types": ["os.system"],
    }
    return write(folder, "sklearn", stated, skops.io.dumps(model), **more)


def _onnx(X: pd.DataFrame, y: Any) -> tuple[Any, dict[str, Any], bytes]:
    model = LogisticRegression().fit(X, y)
    graph = to_onnx(model, np.zeros((1, 3), dtype=np.float32), options={"zipmap": False})
    return model, {"data": "model.onnx", "onnx_version": "1.18"}, graph.SerializeToString()


def _xgboost(X: Any, y: Any) -> tuple[Any, dict[str, Any], bytes]:
    model = xgboost.XGBClassifier(n_estimators=3).fit(X, y)
    stated = {
        "data": "model.ubj",
        "model_class": "xgboost.sklearn.XGBClassifier",
        "model_format": "ubj",
        "xgb_version": xgboost.__version__,
    }
    return model, stated, bytes(model.get_booster().save_raw("ubj"))


def _lightgbm(X: pd.DataFrame, y: Any) -> tuple[Any, dict[str, Any], bytes]:
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y)
    stated = {"data": "model.lgb", "lgb_version": lightgbm.__version__}
    return model, stated, model.booster_.model_to_string().encode()


def _lightgbm_skops(X: pd.DataFrame, y: Any) -> tuple[Any, dict[str, Any], bytes]:
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y)
    return model, {"data": "model.skops", "serialization_format": "skops"}, skops.io.dumps(model)


@pytest.mark.parametrize(
    ("flavor", "make"),
    [
        ("onnx", _onnx),
        ("xgboost", _xgboost),
        ("lightgbm", _lightgbm),
        ("lightgbm", _lightgbm_skops),
    ],
)
def test_flavors_give_the_model_itself(
    tmp_path: Path, people: pd.DataFrame, flavor: str, make: Callable[..., Any]
) -> None:
    X = people[NAMES]
    model, stated, content = make(X, people["y"])
    write(tmp_path / "model", flavor, stated, content)
    loaded = read_model("model", folder=tmp_path)
    np.testing.assert_allclose(
        loaded.model.predict_proba(X),
        model.predict_proba(X),
        rtol=0,
        atol=1e-6 if flavor == "onnx" else 0,
    )
    assert loaded.columns == tuple(NAMES)
    assert loaded.digest == digest_folder(tmp_path / "model")
    assert loaded.digest_of == "all files of the folder"


def test_a_folder_is_audited_by_its_signature(tmp_path: Path, people: pd.DataFrame) -> None:
    # Fitted on an array: only the signature knows the columns, and their order.
    order = ["debt", "income", "age"]
    model, stated, content = _xgboost(people[order].to_numpy(), people["y"])
    write(tmp_path / "model", "xgboost", stated, content, columns=order)
    loaded = read_model("model", folder=tmp_path)
    plan = AuditPlan.from_dict(
        {"audit": {"title": "t"}, "data": {"target": "y", "sensitive": ["sex"]}}
    )
    frame = people.assign(sex=np.resize(["f", "m"], len(people)), extra=1.0)
    inputs = build_inputs(loaded.model, frame, frame["y"], plan=plan, loaded=loaded)
    assert list(inputs.X.columns) == order
    np.testing.assert_array_equal(
        inputs.y_score, model.predict_proba(people[order].to_numpy())[:, 1]
    )
    with pytest.raises(InputError, match='the model\'s signature needs column "age"'):
        build_inputs(loaded.model, frame.drop(columns="age"), frame["y"], plan=plan, loaded=loaded)
    loaded.check_unchanged()
    (tmp_path / "model" / "requirements.txt").write_text("other")
    with pytest.raises(InputError, match="was changed while it was audited"):
        loaded.check_unchanged()


def test_what_a_folder_says_may_be_trusted_in_it_is_not_believed(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    model = LogisticRegression().fit(people[NAMES], people["y"])
    model.extra_ = pd.Timestamp  # a type that nobody reviewed
    folder = sklearn_folder(tmp_path / "model", model)
    described = yaml.safe_load((folder / "MLmodel").read_text())
    described["flavors"]["sklearn"]["skops_trusted_types"] = ["pandas.Timestamp"]
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(UntrustedModelError, match=r"pandas\.Timestamp") as caught:
        read_model("model", folder=tmp_path)
    trusted = read_model("model", folder=tmp_path, trusted_types=caught.value.types)
    assert trusted.columns == tuple(NAMES)


def test_a_pickle_needs_trust_and_may_bring_code(
    tmp_path: Path, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "model_code"
    code.mkdir()
    (code / "own_steps.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "class Own(LogisticRegression):\n    pass\n"
    )
    monkeypatch.syspath_prepend(code)
    import own_steps  # type: ignore[import-not-found]

    model = own_steps.Own().fit(people[NAMES], people["y"])
    stated = {
        "pickled_model": "model.pkl",
        "serialization_format": "cloudpickle",
        "sklearn_version": "1.2.2",
        "code": "code",
    }
    folder = write(tmp_path / "model", "sklearn", stated, pickle.dumps(model))
    monkeypatch.undo()
    del sys.modules["own_steps"]
    with pytest.raises(UntrustedModelError, match=r"\.pkl file in this folder can run any code"):
        read_model("model", folder=tmp_path)
    with pytest.raises(
        InputError,
        match=r"cannot be loaded: ModuleNotFoundError: .*saved by scikit-learn 1\.2\.2 and is read",
    ):
        read_model("model", folder=tmp_path, trust=True)
    (folder / "code").mkdir()
    (folder / "code" / "own_steps.py").write_bytes((code / "own_steps.py").read_bytes())
    loaded = read_model("model", folder=tmp_path, trust=True)
    np.testing.assert_array_equal(loaded.model.coef_, model.coef_)
    assert "saved by scikit-learn 1.2.2" in loaded.notes[0]
    sys.modules.pop("own_steps", None)


def test_versions_that_differ_are_told(tmp_path: Path, people: pd.DataFrame) -> None:
    _, stated, content = _xgboost(people[NAMES], people["y"])
    write(tmp_path / "model", "xgboost", {**stated, "xgb_version": "1.7.6"}, content)
    assert read_model("model", folder=tmp_path).notes == (
        f"The model was saved with other versions than read: xgboost 1.7.6 (here "
        f"{xgboost.__version__}); it may decide otherwise than where it is used.",
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["income", "age"], "names the columns income, age and whose model was fitted on income"),
        (["income", "age", "depth"], "expected the same"),
    ],
)
def test_a_signature_that_disagrees_with_its_model_is_refused(
    tmp_path: Path, people: pd.DataFrame, columns: list[str], message: str
) -> None:
    model = LogisticRegression().fit(people[NAMES], people["y"])
    sklearn_folder(tmp_path / "named", model, columns=columns)
    with pytest.raises(InputError, match=message):
        read_model("named", folder=tmp_path)
    model = LogisticRegression().fit(people[NAMES].to_numpy(), people["y"])
    sklearn_folder(tmp_path / "array", model, columns=["a", "b"])
    with pytest.raises(InputError, match="names 2 columns and whose model takes 3"):
        read_model("array", folder=tmp_path)


def _model_file(flavor: str, **stated: Any) -> str:
    return yaml.safe_dump({"flavors": {flavor: stated}})


BAD_FOLDERS: dict[str, tuple[str | None, str]] = {
    "no MLmodel": (None, "is a folder without a file MLmodel"),
    "an object": ("flavors: !!python/object/apply:os.system ['true']", "not plain YAML"),
    "no YAML": ("flavors: [", "that is not plain YAML"),
    "a list": ("- 1", "that describes nothing"),
    "no flavors": ("a: 1", "without flavors"),
    "only code": (
        _model_file("python_function", loader_module="x"),
        r"has the flavors python_function; accepted: sklearn, .*mlflow models serve",
    ),
    "no file": (_model_file("onnx"), "has no file name in flavors.onnx.data"),
    "file is gone": (_model_file("onnx", data="m.onnx"), 'names the model file "m.onnx"'),
    "absolute": (_model_file("onnx", data="/etc/passwd"), "lies outside the folder"),
    "above": (_model_file("onnx", data="../secret.onnx"), "lies outside the folder"),
    "through a link": (_model_file("onnx", data="link/secret.onnx"), "lies outside the folder"),
    "a backslash": (_model_file("onnx", data="..\\secret.onnx"), "lies outside the folder"),
    "a number": (_model_file("onnx", data=7), "has no file name"),
    "code outside": (
        _model_file("sklearn", pickled_model="here.pkl", code="../code"),
        r'names "\.\./code" \(flavors\.sklearn\.code\), which lies outside',
    ),
    "signature": (
        yaml.safe_dump({"flavors": {"onnx": {"data": "here.pkl"}}, "signature": {"inputs": "[{"}}),
        "signature in MLmodel whose inputs are no JSON",
    ),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folders_are_named(tmp_path: Path, name: str) -> None:
    described, message = BAD_FOLDERS[name]
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.onnx").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path)
    (folder / "here.pkl").write_bytes(b"x")
    if described is not None:
        (folder / "MLmodel").write_text(described)
    with pytest.raises(InputError, match=message) as caught:
        read_model("model", folder=tmp_path, trust=True)
    assert str(caught.value).startswith('model.path is "model", which ')


def test_a_digest_is_of_names_and_bytes_and_stays_inside(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "data" / "b").write_bytes(b"2")
    first = digest_folder(folder)
    (folder / "a").rename(folder / "c")
    second = digest_folder(folder)
    (folder / "c").write_bytes(b"3")
    assert len({first, second, digest_folder(folder)}) == 3
    (tmp_path / "far").write_bytes(b"1")
    (folder / "z").symlink_to(tmp_path / "far")
    with pytest.raises(InputError, match="lies outside the folder"):
        digest_folder(folder)


def test_tensors_have_no_names_and_yaml_is_needed(
    tmp_path: Path, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LogisticRegression().fit(people[NAMES].to_numpy(), people["y"])
    tensor = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]'
    folder = sklearn_folder(tmp_path / "model", model, signature={"inputs": tensor})
    assert read_mlflow_folder(folder).columns is None
    assert read_model("model", folder=tmp_path).columns is None
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match="pip install pyyaml"):
        read_model("model", folder=tmp_path)
