"""skops files: what is let through comes back bit for bit, and what is not is named."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from hitl_audit.errors import InputError, UntrustedModelError
from hitl_audit.loading import read_model
from hitl_audit.model_structure import check_structure
from hitl_audit.skops_file import examine, load

NUMBERS = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 150
    X = pd.DataFrame({name: rng.normal(size=n) for name in NUMBERS})
    X["job"] = rng.choice(["clerk", "nurse", "pilot"], n)
    return X.assign(y=(X["a"] - X["b"] + rng.normal(size=n) > 0).astype(int))


def _columns(*last: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    steps = [("n", numbers, NUMBERS), ("w", OneHotEncoder(handle_unknown="ignore"), ["job"])]
    return make_pipeline(ColumnTransformer(steps), *last)


MODELS: dict[str, Callable[[], Any]] = {
    "logistic": LogisticRegression,
    "ridge": Ridge,
    "sgd": lambda: SGDClassifier(loss="log_loss", random_state=0),
    "tree": DecisionTreeClassifier,
    "tree, pruned": lambda: DecisionTreeClassifier(ccp_alpha=0.01),
    "tree, best first": lambda: DecisionTreeClassifier(max_leaf_nodes=7),
    "forest": lambda: RandomForestClassifier(5),
    "forest of values": lambda: RandomForestRegressor(5),
    "extra trees": lambda: ExtraTreesClassifier(5),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5),
    "boosting of values": lambda: GradientBoostingRegressor(n_estimators=5),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=5),
    "histogram boosting of values": lambda: HistGradientBoostingRegressor(max_iter=5),
    "ada": lambda: AdaBoostClassifier(n_estimators=5),
    "bagging": lambda: BaggingClassifier(n_estimators=3, max_features=2),
    "isolation": lambda: IsolationForest(n_estimators=5, max_features=2),
    "voting": lambda: VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"
    ),
    "stacking": lambda: StackingClassifier(
        [("a", LogisticRegression()), ("b", GaussianNB())], cv=2
    ),
    "neighbours, kd": lambda: KNeighborsClassifier(algorithm="kd_tree"),
    "neighbours, ball": lambda: KNeighborsClassifier(algorithm="ball_tree", p=1),
    "bayes": GaussianNB,
    "svm": SVC,
    "network": lambda: MLPClassifier(tol=1.0, hidden_layer_sizes=(3,)),
    "linear discriminant": LinearDiscriminantAnalysis,
    "quadratic discriminant": QuadraticDiscriminantAnalysis,
    "gaussian process": GaussianProcessClassifier,
    "calibrated": lambda: CalibratedClassifierCV(GaussianNB(), cv=2),
    "calibrated, isotonic": lambda: CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2),
    "one against the rest": lambda: OneVsRestClassifier(LogisticRegression()),
    "searched": lambda: GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
    "threshold tuned": lambda: TunedThresholdClassifierCV(LogisticRegression(), cv=2),
    "selected": lambda: make_pipeline(SelectKBest(k=2), LogisticRegression()),
    "splines": lambda: make_pipeline(SplineTransformer(), LogisticRegression()),
    "bins": lambda: make_pipeline(KBinsDiscretizer(quantile_method="linear"), Ridge()),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=3),
    "xgboost of values": lambda: xgboost.XGBRegressor(n_estimators=3),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1),
    "lightgbm of values": lambda: lightgbm.LGBMRegressor(n_estimators=3, verbose=-1),
    "columns, logistic": lambda: _columns(LogisticRegression()),
    "columns, forest": lambda: _columns(RandomForestClassifier(5)),
    "columns, histogram boosting": lambda: _columns(HistGradientBoostingClassifier(max_iter=5)),
    "columns, xgboost": lambda: _columns(xgboost.XGBClassifier(n_estimators=3)),
    "columns, target": lambda: make_pipeline(
        ColumnTransformer([("t", TargetEncoder(cv=2), ["job"])], remainder="passthrough"),
        LogisticRegression(),
    ),
    "native categories": lambda: make_pipeline(
        ColumnTransformer([("n", "passthrough", NUMBERS)]),
        HistGradientBoostingClassifier(max_iter=5, categorical_features=[0], max_bins=20),
    ),
}


def _rows(people: pd.DataFrame, name: str) -> pd.DataFrame:
    X = people[[*NUMBERS, "job"]] if name.startswith("columns") else people[NUMBERS]
    if name == "native categories":
        return X.assign(a=X["a"].rank(method="first").astype(int) % 7)
    return X


def _asked(model: Any, X: pd.DataFrame) -> bytes:
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    return np.asarray(ask(X)).tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_usual_models_come_back_bit_for_bit_without_anything_in_the_plan(
    tmp_path: Path, people: pd.DataFrame, name: str
) -> None:
    X = _rows(people, name)
    model = MODELS[name]().fit(X, people["y"])
    skops.io.dump(model, tmp_path / "m.skops")
    loaded = read_model("m.skops", folder=tmp_path)
    assert _asked(loaded.model, X) == _asked(model, X)
    assert loaded.notes == ()


# --- what is not let through ---


def _changed(content: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    change(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in entries.items():
            new.writestr(name, data)
    return out.getvalue()


@pytest.fixture(scope="module")
def saved(people: pd.DataFrame) -> bytes:
    model = DecisionTreeClassifier(max_depth=3).fit(people[NUMBERS], people["y"])
    return bytes(skops.io.dumps(model))


def _declares(size: int) -> Callable[[bytes], bytes]:
    """An archive whose list of entries states another size for the schema."""

    def change(content: bytes) -> bytes:
        at = content.rindex(b"schema.json") - 46
        assert content[at : at + 4] == b"PK\x01\x02"
        return content[: at + 24] + size.to_bytes(4, "little") + content[at + 28 :]

    return change


def _with(name: str, data: bytes = b"x") -> Callable[[bytes], bytes]:
    return lambda content: _changed(content, lambda entries: entries.update({name: data}))


def _without_schema(entries: dict[str, bytes]) -> None:
    del entries["schema.json"]


BAD_ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not an archive": (lambda content: b"nothing", "which is not a skops file: BadZipFile"),
    "cut": (lambda content: content[: len(content) // 2], "which is not a skops file"),
    "empty": (lambda content: b"", "which is not a skops file"),
    "a bomb": (_with("bomb.npy", bytes(1 << 24)), r"would unpack to 0\.0 GiB"),
    "a bomb that lies": (_declares(4_000_000_000), r"would unpack to 3\.7 GiB; expected at most"),
    "a large schema": (_declares(300 * 1024**2), "has a schema of 300 MiB"),
    "a way out": (_with("../../x.npy"), r'entry "\.\./\.\./x\.npy"; skops writes no folders'),
    "a folder": (_with("a/b.npy"), "skops writes no folders"),
    "no schema": (
        lambda content: _changed(content, _without_schema),
        "has no schema.json",
    ),
    "a list for a schema": (_with("schema.json", b"[]"), "its schema is no object"),
    "an unknown node": (
        lambda content: content.replace(b'"DictNode"', b'"EvilNode"'),
        "is not a skops file",
    ),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_bad_archives_are_refused_before_they_are_unpacked(
    tmp_path: Path, saved: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, message = BAD_ARCHIVES[name]
    if name == "a bomb":
        monkeypatch.setattr("hitl_audit.skops_file.UNPACKED_LIMIT", 1 << 24)
    (tmp_path / "m.skops").write_bytes(change(saved))
    with pytest.raises(InputError, match=message):
        read_model("m.skops", folder=tmp_path)


def test_too_many_entries_and_entries_of_one_name(
    saved: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO(saved)
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(out, "a") as archive,
    ):
        archive.writestr("schema.json", b"{}")
    with pytest.raises(InputError, match="two entries of the same name"):
        examine(out.getvalue())
    out = io.BytesIO(saved)
    with zipfile.ZipFile(out, "a") as archive:
        for i in range(20):
            archive.writestr(zipfile.ZipInfo(f"{i}"), b"")
    monkeypatch.setattr("hitl_audit.skops_file.ENTRIES_LIMIT", 20)
    with pytest.raises(InputError, match=r"is an archive of \d+ entries; expected at most 20"):
        examine(out.getvalue())


def _schema_of(**nodes: Any) -> bytes:
    """A skops file made by hand: a list of nodes."""
    out = io.BytesIO()
    listed = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": list(nodes.values()),
        "protocol": 2,
        "_skops_version": "0.16",
    }
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", json.dumps(listed))
    return out.getvalue()


def _text(value: str) -> dict[str, Any]:
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def _called(module: str, name: str, *arguments: str) -> dict[str, Any]:
    """A node that calls what it names when it is made."""
    return {
        "__class__": name,
        "__module__": module,
        "__loader__": "ConstructorFromReduceNode",
        "content": {
            "__class__": "tuple",
            "__module__": "builtins",
            "__loader__": "TupleNode",
            "content": [_text(argument) for argument in arguments],
        },
    }


def test_a_reviewed_type_is_made_only_in_the_way_that_was_reviewed() -> None:
    # skops itself would call what is trusted, with the file's arguments.
    called = _schema_of(node=_called("xgboost.core", "Booster", "x"))
    assert skops.io.get_untrusted_types(data=called) == ["xgboost.core.Booster"]
    with pytest.raises(
        UntrustedModelError, match=r"xgboost\.core\.Booster \(made by ConstructorFromReduceNode\)"
    ) as caught:
        examine(called)
    assert caught.value.types == ("xgboost.core.Booster",)
    vouched = examine(called, trusted_types=["xgboost.core.Booster"])
    assert vouched.trusted == ("xgboost.core.Booster",)
    function = "sklearn.feature_selection._univariate_selection"
    with pytest.raises(UntrustedModelError, match="chi2"):
        examine(_schema_of(node=_called(function, "chi2", "x")))


def test_a_stranger_in_a_file_of_another_version_may_be_a_name_that_is_gone(saved: bytes) -> None:
    from sklearn import __version__ as here

    def older(entries: dict[str, bytes]) -> None:
        schema = entries["schema.json"].replace(here.encode(), b"1.6.1")
        entries["schema.json"] = schema.replace(b'"sklearn.tree._tree"', b'"sklearn.old._tree"')

    with pytest.raises(
        UntrustedModelError, match=r"sklearn\.old\._tree\.Tree(?s:.*)by scikit-learn 1\.6\.1 and"
    ):
        examine(_changed(saved, older))


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")]
)
def test_code_is_never_let_through(module: str, name: str) -> None:
    content = _schema_of(node=_called(module, name, "echo"))
    with pytest.raises(UntrustedModelError, match=re.escape(f"{module}.{name}")) as caught:
        examine(content)
    assert caught.value.types == (f"{module}.{name}",)


# --- numbers that point elsewhere ---


def _nodes(content: bytes, field: str, change: Callable[[Any], None]) -> bytes:
    """Arrays with a field of that name are changed."""

    def each(entries: dict[str, bytes]) -> None:
        for name, data in entries.items():
            if not name.endswith(".npy"):
                continue
            array = np.load(io.BytesIO(data), allow_pickle=False)
            if array.dtype.names and field in array.dtype.names:
                array = array.copy()
                change(array)
                out = io.BytesIO()
                np.save(out, array)
                entries[name] = out.getvalue()

    return _changed(content, each)


def _set(name: str, value: Any, at: int = 0) -> Callable[[Any], None]:
    def change(array: Any) -> None:
        array[name][at] = value

    return change


DAMAGE: dict[str, tuple[str, str, Callable[[Any], None], str]] = {
    "child too far": ("tree", "left_child", _set("left_child", 10**9), "a child of a node"),
    "negative child": ("forest", "left_child", _set("right_child", -5), "a child of a node"),
    "circle": ("boosting", "left_child", _set("left_child", 0), "a child of a node"),
    "column": ("tree", "left_child", _set("feature", 4), "a column beyond its 4"),
    "negative column": ("bagging", "left_child", _set("feature", -1), "a column beyond its 2"),
    "histogram child": ("histogram boosting", "is_leaf", _set("left", 10**6), "a child of a node"),
    "histogram column": (
        "histogram boosting",
        "is_leaf",
        _set("feature_idx", 99),
        "a column beyond its 4",
    ),
    "histogram category": (
        "native categories",
        "is_leaf",
        lambda nodes: nodes.__setitem__("is_categorical", 1),
        "a set of categories|a column",
    ),
    "point": ("neighbours, kd", "idx_start", _set("idx_end", 10**6), "points that are not there"),
    "no leaf": ("neighbours, ball", "idx_start", _set("is_leaf", 0, -1), "last level has children"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_trees_are_found(people: pd.DataFrame, name: str) -> None:
    kind, field, change, message = DAMAGE[name]
    model = MODELS[kind]().fit(_rows(people, kind), people["y"])
    content = _nodes(skops.io.dumps(model), field, change)
    found = load(content, examine(content).trusted)
    check_structure(model)
    with pytest.raises(InputError, match=f"holds a damaged tree: .*(?:{message})"):
        check_structure(found)


def test_trees_of_another_width_or_depth_are_found(people: pd.DataFrame) -> None:
    X, y = people[NUMBERS], people["y"]
    forest = RandomForestClassifier(2, random_state=0).fit(X, y)
    forest.estimators_[1] = DecisionTreeClassifier().fit(X.assign(e=y, f=y).to_numpy(), y)
    with pytest.raises(InputError, match="it reads 6 columns of 4"):
        check_structure(forest)
    narrow = DecisionTreeClassifier().fit(X, y)
    narrow.n_features_in_ = 3
    with pytest.raises(InputError, match="it reads 4 columns of 3"):
        check_structure(make_pipeline(StandardScaler(), narrow))
    flat = DecisionTreeClassifier().fit(X, y)
    state = flat.tree_.__getstate__()
    flat.tree_.__setstate__({**state, "max_depth": 1})
    with pytest.raises(InputError, match="it states a depth of 1 and has"):
        check_structure(flat)
    flat.tree_.__setstate__({**state, "node_count": 10**6})
    with pytest.raises(InputError, match=r"it states 1000000 nodes and has room for"):
        check_structure(flat)


# --- other versions ---


def test_the_version_that_saved_a_file_is_named(
    tmp_path: Path, people: pd.DataFrame, saved: bytes
) -> None:
    from sklearn import __version__ as here

    assert examine(saved).versions == (here,)

    def older(entries: dict[str, bytes]) -> None:
        entries["schema.json"] = entries["schema.json"].replace(here.encode(), b"1.2.2")

    old = _changed(saved, older)
    (tmp_path / "old.skops").write_bytes(old)
    loaded = read_model("old.skops", folder=tmp_path)
    assert loaded.notes == (
        f"The model was saved by scikit-learn 1.2.2 and read by scikit-learn {here}: it may decide "
        "otherwise than where it is used.",
    )
    # What a newer scikit-learn has renamed or removed no longer loads.

    def renamed(entries: dict[str, bytes]) -> None:
        older(entries)
        entries["schema.json"] = entries["schema.json"].replace(b'"node_count"', b'"count_nodes"')

    gone = _changed(saved, renamed)
    (tmp_path / "gone.skops").write_bytes(gone)
    with pytest.raises(
        InputError,
        match=rf'"gone\.skops", which cannot be loaded: KeyError: .*saved by scikit-learn 1\.2\.2 '
        rf'and is read by scikit-learn {re.escape(here)}, .*model\.path \("https://…"\)',
    ):
        read_model("gone.skops", folder=tmp_path)
