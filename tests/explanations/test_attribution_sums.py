"""Explanations of all rows, part by part: the same numbers as of all at once, for any division."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.engine import LocalEngine, PartStore
from hitl_audit.errors import EngineError, ExplanationError, InputError
from hitl_audit.explanations.attribution_files import write_manifest
from hitl_audit.explanations.attribution_pass import (
    AttributionPass,
    attribution_pass,
    measure_attributions,
)
from hitl_audit.explanations.attribution_sums import AttributionSums
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.fixed_point import exact_sums, membership
from hitl_audit.explanations.group_sums import GroupSums, sums_by_group
from hitl_audit.explanations.uniform_columns import fitted_to, uniform_columns
from hitl_audit.rows import open_rows

N = 700
FEATURES = ["income", "debt", "region", "owner"]


@dataclass(frozen=True)
class TablePart:
    """Some rows that are in memory, in batches of a size."""

    table: pa.Table
    name: str
    key: str
    batch: int = 10_000

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        wanted = self.table if columns is None else self.table.select(list(columns))
        yield from wanted.to_batches(max_chunksize=self.batch)


def cut(frame: pd.DataFrame, edges: Sequence[int], *, batch: int = 10_000) -> list[TablePart]:
    """The rows divided at these places; parts may be empty."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    places = [0, *sorted(edges), len(frame)]
    return [
        TablePart(table.slice(a, b - a), f"part {i + 1}", f"rows {a} to {b}", batch)
        for i, (a, b) in enumerate(pairwise(places))
    ]


def summed(work: AttributionPass, parts: Sequence[TablePart]) -> AttributionSums:
    return reduce(AttributionSums.merge, (work(part) for part in parts), work.zero)


def make_people(n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "income": rng.gamma(3, 10, n).round(1),
            "debt": rng.normal(20, 8, n).round(1),
            "region": rng.choice(["north", "south", "west"], n).astype(object),
            "owner": rng.random(n) < 0.5,
            "sex": rng.choice(["f", "m"], n).astype(object),
            "band": rng.integers(1, 4, n).astype(float),
            "id": [f"case {i}" for i in range(n)],
        }
    )
    frame.loc[::9, "debt"] = np.nan
    return frame


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return make_people()


def outcome(frame: pd.DataFrame) -> Any:
    rng = np.random.default_rng(4)
    score = frame["income"] - frame["debt"].fillna(20) + 8 * (frame["region"] == "west")
    return (score + rng.normal(0, 8, len(frame)) > 12).astype(int)


def one_hot(estimator: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["region"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["income", "debt"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(columns, estimator)


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "HGB": (HistGradientBoostingClassifier(max_iter=25), {}),
    "forest": (RandomForestClassifier(15, min_samples_leaf=3, random_state=0), {}),
    "logistic": (LogisticRegression(max_iter=2000), {}),
    "logistic, log-odds": (LogisticRegression(max_iter=2000), {"scale": "log-odds"}),
    "linear": (LinearRegression(), {}),
    "xgboost": (xgboost.XGBClassifier(n_estimators=15, n_jobs=1), {"output": 0}),
    "lightgbm": (lightgbm.LGBMClassifier(n_estimators=15, n_jobs=1, verbose=-1), {}),
    "forest, path-dependent": (
        RandomForestClassifier(15, max_depth=5, random_state=0),
        {"algorithm": "tree-path-dependent"},
    ),
}


@pytest.fixture(scope="module")
def fitted(people: pd.DataFrame) -> dict[str, Any]:
    y = outcome(people)
    return {name: one_hot(model).fit(people[FEATURES], y) for name, (model, _) in MODELS.items()}


def a_pass(model: Any, frame: pd.DataFrame, **further: Any) -> AttributionPass:
    options: dict[str, Any] = {"groups": ["sex", "band"], "sample_size": 40, "model_digest": "m"}
    return attribution_pass(model, frame[FEATURES].iloc[:50], **(options | further))


# --- the same numbers as of all rows at once -----------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_same_numbers_as_an_explanation_of_all_rows(
    people: pd.DataFrame, fitted: dict[str, Any], name: str
) -> None:
    what = MODELS[name][1]
    work = a_pass(fitted[name], people, **what)
    found = summed(work, cut(people, [100, 350]))
    whole = explain(fitted[name], people[FEATURES], background=people[FEATURES].iloc[:50], **what)
    assert found.about.algorithm == whole.algorithm
    assert found.about.exact == whole.exact
    assert found.about.output == whole.output
    assert found.about.base == pytest.approx(whole.base_values[0], abs=1e-12)
    ours, theirs = found.global_importance(), whole.global_importance()
    assert list(ours.columns) == list(theirs.columns)
    assert ours["feature"].tolist() == theirs["feature"].tolist()
    np.testing.assert_allclose(ours["mean_abs"], theirs["mean_abs"], rtol=0, atol=1e-9)
    assert (ours["n"] == N).all()
    # Student's interval and the bootstrap's are two of one thing.
    width = theirs["high"] - theirs["low"]
    for side in ("low", "high"):
        assert (np.abs(ours[side] - theirs[side]) <= 0.2 * width + 1e-12).all()
    mine, other = found.by_group(), whole.by_group(people[["sex", "band"]])
    for column in ("attribute", "group", "feature", "n"):
        assert mine[column].tolist() == other[column].tolist()
    for column in ("mean_abs", "mean"):
        np.testing.assert_allclose(mine[column], other[column], rtol=0, atol=1e-9)
    assert found.largest_residual <= max(1e-6, float(np.abs(whole.residual).max()))


def test_the_sample_is_rows_with_their_own_attributions(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    work = a_pass(fitted["forest"], people, id="id")
    some = summed(work, cut(people, [300])).explanation()
    whole = explain(
        fitted["forest"],
        people.set_index("id")[FEATURES],
        background=people[FEATURES].iloc[:50],
    ).select(list(some.index))
    assert len(some.index) == 40
    np.testing.assert_allclose(some.values, whole.values, atol=1e-12)
    np.testing.assert_allclose(some.predictions, whole.predictions, atol=1e-12)
    assert some.data.astype(str).equals(whole.data.astype(str).rename_axis(None))
    converted = summed(work, cut(people, [])).to_shap()
    assert converted.values.shape == (40, 4)
    assert converted.feature_names == FEATURES


def test_a_sample_by_content_is_the_first_of_the_scored_sample(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    from hitl_audit.population.batch import read_batch
    from hitl_audit.population.content import row_digests
    from hitl_audit.population.row_sample import sample_rows

    hashed = ["sex", *FEATURES, "band"]
    work = a_pass(fitted["HGB"], people, hashed=hashed, random_state=7)
    found = summed(work, cut(people, [10, 20]))
    (arrow,) = pa.Table.from_pandas(people[hashed], preserve_index=False).to_batches()
    rows = read_batch(arrow, hashed, "rows")
    scored = sample_rows(rows.frame, size=100, seed=7, digests=row_digests(rows), ids=None)
    assert found.sample.priority.tolist() == scored.priority[:40].tolist()


# --- any division, any order ---------------------------------------------------


@pytest.fixture(scope="module")
def passes(people: pd.DataFrame, fitted: dict[str, Any]) -> dict[str, tuple[AttributionPass, str]]:
    found: dict[str, tuple[AttributionPass, str]] = {}
    for name in MODELS:
        work = a_pass(fitted[name], people, **MODELS[name][1])
        found[name] = (work, summed(work, cut(people, [])).digest)
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("parts", [7, 16])
def test_bit_equal_for_1_7_and_16_parts(
    people: pd.DataFrame, passes: dict[str, tuple[AttributionPass, str]], name: str, parts: int
) -> None:
    work, expected = passes[name]
    edges = np.linspace(0, N, parts + 1).astype(int).tolist()[1:-1]
    assert summed(work, cut(people, edges)).digest == expected


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(0, N), max_size=5),
    st.randoms(use_true_random=False),
    st.sampled_from([1, 13, 200, 10_000]),
)
def test_bit_equal_for_any_division_order_and_batch(
    edges: list[int], random: Any, batch: int
) -> None:
    people = make_people()
    shuffled = people.sample(frac=1, random_state=random.randrange(1000))
    work, expected = _boosted_pass()
    parts = cut(shuffled, edges, batch=batch)
    random.shuffle(parts)
    assert summed(work, parts).digest == expected


_MADE: list[tuple[AttributionPass, str]] = []


def _boosted_pass() -> tuple[AttributionPass, str]:
    """Made once for all examples: hypothesis takes no fixtures of a module."""
    if not _MADE:
        people = make_people()
        model = one_hot(HistGradientBoostingClassifier(max_iter=8)).fit(
            people[FEATURES], outcome(people)
        )
        work = a_pass(model, people)
        _MADE.append((work, summed(work, cut(people, [])).digest))
    return _MADE[0]


def test_many_features_of_a_logistic_model_too() -> None:
    """Beyond ten features the values are waves, whose number a row alone decides."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, 12)) * 2, columns=[f"x{i}" for i in range(12)])
    model = LogisticRegression().fit(X, (X.sum(axis=1) > 0).astype(int))
    work = attribution_pass(model, X.iloc[:20], sample_size=5)
    whole = summed(work, cut(X, []))
    assert summed(work, cut(X, [1, 50, 51, 90])).digest == whole.digest
    one = explain(model, X, background=X.iloc[:20]).global_importance()
    np.testing.assert_allclose(whole.global_importance()["mean_abs"], one["mean_abs"], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 29),
)
def test_sums_are_those_of_whole_numbers(values: list[float], place: int) -> None:
    column = np.array(values)[:, np.newaxis]
    codes = np.arange(len(values)) % 3
    groups = membership([np.zeros(len(values), dtype=np.intp), codes], [1, 3])
    found = exact_sums(column, groups, bits=60)
    grid = [round(Fraction(v) * 2**60) for v in values]
    assert found[0] == (sum(grid),)
    assert [f[0] for f in found[1:]] == [
        sum(g for g, c in zip(grid, codes, strict=True) if c == k) for k in range(3)
    ]
    a = sums_by_group(column[:place], _all(len(column[:place])))[0]
    b = sums_by_group(column[place:], _all(len(column[place:])))[0]
    assert a + b == b + a == sums_by_group(column, _all(len(column)))[0]


def _all(n: int) -> Any:
    return membership([np.zeros(n, dtype=np.intp)], [1])


def test_moments_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).normal(3, 1e-3, size=(500, 2))
    sums = sums_by_group(values, _all(500))[0]
    np.testing.assert_allclose(sums.mean("mean"), values.mean(axis=0), rtol=1e-14)
    expected = scipy.stats.sem(values, axis=0) ** 2
    np.testing.assert_allclose(sums.variance_of_mean("mean"), expected, rtol=1e-9)


def test_differences_are_welchs(people: pd.DataFrame, fitted: dict[str, Any]) -> None:
    found = summed(a_pass(fitted["HGB"], people), cut(people, [50]))
    whole = explain(fitted["HGB"], people[FEATURES], background=people[FEATURES].iloc[:50])
    table = found.differences({"sex": "m"})
    here = table[(table["attribute"] == "sex") & (table["feature"] == "income")]
    assert here["group"].tolist() == ["f", "f"]
    for line in here.itertuples():
        values = whole.values[:, 0]
        values = np.abs(values) if line.measure == "mean_abs" else values
        one, other = (values[(people["sex"] == g).to_numpy()] for g in ("f", "m"))
        test = scipy.stats.ttest_ind(one, other, equal_var=False)
        assert line.value == pytest.approx(one.mean() - other.mean(), abs=1e-12)
        interval = test.confidence_interval(0.95)
        assert (line.low, line.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    # By default the reference is the largest group; groups of numbers read as whole numbers.
    bands = found.differences().query("attribute == 'band'")
    assert set(bands["reference"]) == {str(int(people["band"].mode()[0]))}
    assert set(found.differences(min_group=400)["status"]) == {"insufficient data"}


# --- workers, retries, files ---------------------------------------------------


def test_worker_processes_give_the_same_bits(
    people: pd.DataFrame, fitted: dict[str, Any], tmp_path: Path
) -> None:
    people.to_parquet(tmp_path / "people.parquet", row_group_size=200)
    (tmp_path / "kept").mkdir()
    work = a_pass(fitted["forest"], people, folder=str(tmp_path / "kept"))
    expected = summed(a_pass(fitted["forest"], people), cut(people, []))
    found = measure_attributions(
        work,
        open_rows(str(tmp_path / "people.parquet")),
        engine=LocalEngine(2),
        rows_per_part=200,
        kept=PartStore(tmp_path / "store"),
    )
    assert found.digest == expected.digest
    assert len(rows_of(tmp_path / "kept")) == N
    # Everything was kept: a second run reads it, and names the same files.
    again = measure_attributions(
        work,
        open_rows(str(tmp_path / "people.parquet")),
        engine=LocalEngine(1),
        rows_per_part=200,
        kept=PartStore(tmp_path / "store"),
    )
    assert (again.digest, again.files) == (found.digest, found.files)


def test_a_pass_can_be_pickled_and_keeps_its_key(
    people: pd.DataFrame, passes: dict[str, tuple[AttributionPass, str]]
) -> None:
    work, expected = passes["HGB"]
    copy = pickle.loads(pickle.dumps(work))  # noqa: S301
    assert copy.key == work.key != ""
    found = pickle.loads(pickle.dumps(summed(copy, cut(people, [30]))))  # noqa: S301
    assert found.digest == expected


def test_the_key_tells_models_settings_and_backgrounds_apart(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    model = fitted["HGB"]
    keys = [
        a_pass(model, people, **options).key
        for options in (
            {},
            {"model_digest": "other"},
            {"groups": ["sex"]},
            {"scale": "log-odds"},
            {"random_state": 1},
            {"sample_size": 41},
            {"id": "id"},
        )
    ]
    keys.append(a_pass(model, people.iloc[1:]).key)
    assert len(set(keys)) == len(keys)
    assert a_pass(model, people, model_digest="").key == ""


def rows_of(folder: Path) -> pd.DataFrame:
    manifest = json.loads((folder / "attributions.json").read_text())
    tables = [pq.read_table(folder / file["name"]) for file in manifest["files"]]
    return pd.DataFrame(pa.concat_tables(tables).to_pandas()).set_index("row")


def test_files_have_every_row_once_also_after_retries(
    people: pd.DataFrame, fitted: dict[str, Any], tmp_path: Path
) -> None:
    work = a_pass(fitted["forest"], people, id="id", folder=str(tmp_path))
    parts = cut(people, [250, 250, 500])
    for part in parts[:2]:
        work(part)  # written, but its answer never arrived
    found = summed(work, parts)
    again = summed(work, parts[::-1])
    assert found.files == again.files
    assert found.digest == again.digest
    write_manifest(tmp_path, found)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(file.name for file in found.files), "attributions.json"]
    )
    kept = rows_of(tmp_path)
    assert sorted(kept.index) == sorted(people["id"])
    whole = explain(fitted["forest"], people[FEATURES], background=people[FEATURES].iloc[:50])
    kept = kept.loc[people["id"]]
    np.testing.assert_allclose(kept[FEATURES].to_numpy(), whole.values, atol=1e-12)
    np.testing.assert_allclose(kept["output"].to_numpy(), whole.predictions, atol=1e-12)


def test_equal_parts_have_files_of_their_own(
    people: pd.DataFrame, fitted: dict[str, Any], tmp_path: Path
) -> None:
    table = pa.Table.from_pandas(people.iloc[:20], preserve_index=False)
    parts = [TablePart(table, f"part {i}", "the same bytes") for i in range(3)]
    found = summed(a_pass(fitted["HGB"], people, folder=str(tmp_path)), parts)
    write_manifest(tmp_path, found)
    assert len(rows_of(tmp_path)) == found.rows == 60


def test_a_part_without_a_key_may_come_in_another_order_when_it_is_retried(
    people: pd.DataFrame, fitted: dict[str, Any], tmp_path: Path
) -> None:
    work = a_pass(fitted["HGB"], people, id="id", folder=str(tmp_path))
    rows = people.iloc[:50]
    lost, accepted = (work(replace(cut(order, [])[0], key="")) for order in (rows, rows.iloc[::-1]))
    assert lost.digest == accepted.digest
    assert lost.files != accepted.files
    write_manifest(tmp_path, accepted)
    assert sorted(rows_of(tmp_path).index) == sorted(rows["id"])


def test_no_manifest_where_files_or_rows_are_missing(
    people: pd.DataFrame, fitted: dict[str, Any], tmp_path: Path
) -> None:
    work = a_pass(fitted["HGB"], people, folder=str(tmp_path))
    found = summed(work, cut(people, [100]))
    elsewhere = a_pass(fitted["HGB"], people)
    with pytest.raises(InputError, match=r"the files have 100 rows; expected the 700"):
        write_manifest(tmp_path, work(cut(people, [100])[0]) + elsewhere(cut(people, [100])[1]))
    gone = tmp_path / found.files[0].name
    gone.write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"has 9 bytes; expected .* bytes"):
        write_manifest(tmp_path, found)
    gone.unlink()
    with pytest.raises(InputError, match="is not there"):
        write_manifest(tmp_path, found)
    assert not (tmp_path / "attributions.json").exists()


# --- hostile rows --------------------------------------------------------------


def test_empty_parts_add_nothing(
    people: pd.DataFrame, passes: dict[str, tuple[AttributionPass, str]]
) -> None:
    work, expected = passes["HGB"]
    empty = work(cut(people.iloc[:0], [])[0])
    assert empty.rows == 0
    assert empty.digest == work.zero.digest
    assert summed(work, cut(people, [0, 0, 300, 300, N])).digest == expected
    assert empty.global_importance()["mean_abs"].isna().all()
    assert empty.by_group().empty
    assert empty.differences().empty
    with pytest.raises(InputError, match="no row was explained"):
        empty.chart()


def test_missing_values_groups_and_categories_nobody_knew(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    strange = people.copy()
    strange.loc[3, "region"] = "the moon"
    strange.loc[4, "region"] = None
    strange.loc[5, "income"] = np.nan
    strange.loc[[6, 7], "sex"] = None
    strange.loc[8, "sex"] = "x"
    strange.loc[9, "band"] = np.nan
    for name in ("HGB", "forest", "logistic"):
        work = a_pass(fitted[name], people)
        found = summed(work, cut(strange, [4, 5, 6, 7, 8, 9]))
        assert found.digest == summed(work, cut(strange, [])).digest
        whole = explain(fitted[name], strange[FEATURES], background=people[FEATURES].iloc[:50])
        mine, other = found.by_group(), whole.by_group(strange[["sex", "band"]])
        assert mine["group"].tolist() == other["group"].tolist()
        np.testing.assert_allclose(mine["mean_abs"], other["mean_abs"], rtol=0, atol=1e-9)
        groups = mine.drop_duplicates(["attribute", "group"]).set_index(["attribute", "group"])
        assert groups.loc[("sex", "unknown"), "n"] == 2
        assert groups.loc[("band", "unknown"), "n"] == 1
        # A group of one row has a mean and no interval.
        alone = mine[(mine["attribute"] == "sex") & (mine["group"] == "x")]
        assert (alone["n"] == 1).all()
        assert alone["mean_abs"].notna().all()
        assert alone[["low", "high"]].isna().all(axis=None)
        lines = found.differences()
        few = lines[lines["group"] == "x"]
        assert set(few["status"]) == {"insufficient data"}
        assert few[["low", "high"]].isna().all(axis=None)


def test_rows_whose_output_is_not_finite_are_left_out_and_counted(people: pd.DataFrame) -> None:
    frame = people[["income"]].copy()
    model = LogisticRegression().fit(frame, outcome(people))
    frame.loc[2, "income"] = 1e6  # its probability is 1, its log-odds infinite
    work = attribution_pass(model, people[["income"]].iloc[:50], scale="log-odds", model_digest="m")
    found = summed(work, cut(frame, [100]))
    assert (found.rows, found.left_out) == (N - 1, 1)
    assert summed(work, cut(frame, [1, 2, 3])).digest == found.digest
    rest = frame.drop(index=2)
    whole = explain(
        model, rest, background=people[["income"]].iloc[:50], scale="log-odds"
    ).global_importance()
    np.testing.assert_allclose(found.global_importance()["mean_abs"], whole["mean_abs"], atol=1e-9)


def test_categories_of_the_background_stay_categories(people: pd.DataFrame) -> None:
    codes = people["region"].map({"north": 3.0, "south": 5.0, "west": 8.0}).where(people.index > 4)
    numbered = people.assign(region=codes)
    typed = numbered.assign(region=pd.Categorical(codes, categories=[8.0, 5.0, 3.0]))
    model = lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1)
    model.fit(typed[FEATURES], outcome(people))
    work = a_pass(model, typed)
    whole = explain(model, typed[FEATURES], background=typed[FEATURES].iloc[:50])
    found = summed(work, cut(numbered, [123]))
    np.testing.assert_allclose(
        found.global_importance()["mean_abs"], whole.global_importance()["mean_abs"], atol=1e-9
    )
    assert found.explanation().data["region"].dtype == typed["region"].dtype
    numbered.loc[[3, 300], "region"] = [9.0, 2.0]  # categories nobody knew
    found = summed(work, cut(numbered, [123]))
    assert found.digest == summed(work, cut(numbered, [1, 300, 301])).digest


def test_rows_take_the_types_of_the_background() -> None:
    background = uniform_columns(
        pd.DataFrame(
            {
                "number": pd.array([1, None], dtype="Int64"),
                "text": pd.array(["a", None], dtype="string"),
                "kind": pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True),
                "yes": [True, False],
            }
        )
    )
    assert background.dtypes.astype(str).tolist() == ["float64", "object", "category", "bool"]
    rows = pd.DataFrame(
        {
            "yes": pd.Series([True, np.nan], dtype=object),
            "kind": pd.Series(["z", "b"], dtype=object),
            "text": [np.nan, np.nan],
            "number": [True, False],
        }
    )
    found = fitted_to(rows, background)
    assert list(found.columns) == ["number", "text", "kind", "yes"]
    assert found.dtypes.astype(str).tolist() == ["float64", "object", "category", "object"]
    assert found["kind"].cat.categories.tolist() == ["b", "a", "z"]
    with pytest.raises(InputError, match='column "number" has text'):
        fitted_to(rows.assign(number=["x", "y"]), background)


def test_identifiers_that_occur_twice_do_not_change_with_the_order(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    frame = people.assign(id="the same")
    work = a_pass(fitted["HGB"], people, id="id")
    expected = summed(work, cut(frame, [])).digest
    for seed in range(3):
        shuffled = frame.sample(frac=1, random_state=seed)
        assert summed(work, cut(shuffled, [100, 400])).digest == expected


# --- words ---------------------------------------------------------------------


def test_charts_say_how_many_rows_there_are_and_how_many_are_drawn(
    people: pd.DataFrame, passes: dict[str, tuple[AttributionPass, str]]
) -> None:
    work, _ = passes["HGB"]
    found = summed(work, cut(people, [300]))
    bars = found.chart()
    assert "(SHAP, 700 cases)" in bars.message
    table = found.global_importance()
    assert bars.series[0].y == tuple(table["mean_abs"])
    swarm = found.chart("beeswarm")
    assert "(SHAP, 700 cases); 40 of them drawn, chosen by a seeded hash" in swarm.message
    assert list(dict.fromkeys(swarm.series[0].x)) == table["feature"].tolist()
    assert len(swarm.series[0].x) == 40 * 4
    scatter = found.chart("dependence", feature="income", by="region")
    assert "700 cases); 40 of them drawn" in scatter.message
    assert found.plot().data
    assert "700 rows × 4 features" in repr(found)
    assert "income" in found._repr_html_()
    frame = found.frame()
    assert frame["attribute"].tolist()[:4] == ["all"] * 4
    assert set(frame["group"]) == {"all", "f", "m", "1", "2", "3"}


def test_models_that_must_be_asked_are_asked_only_by_name(people: pd.DataFrame) -> None:
    X = people[["income", "owner"]].astype(float)
    model = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=30, random_state=0))
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, outcome(people))
    with pytest.raises(ExplanationError, match=r'name the algorithm: "permutation"'):
        attribution_pass(model, X.iloc[:10])
    work = attribution_pass(model, X.iloc[:4], algorithm="kernel")
    found = summed(work, cut(X.iloc[:8], [3]))
    assert found.digest == summed(work, cut(X.iloc[:8], [])).digest
    whole = explain(model, X.iloc[:8], background=X.iloc[:4], algorithm="kernel")
    np.testing.assert_allclose(
        found.global_importance()["mean_abs"], whole.global_importance()["mean_abs"], atol=1e-9
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "tree"}, "algorithm is 'tree'; accepted: auto, tree-interventional"),
        ({"algorithm": "linear"}, 'algorithm "linear" cannot be used: the final estimator'),
        ({"sample_size": 0}, "sample_size is 0; expected an integer of at least 1"),
        ({"random_state": -1}, "random_state is -1; expected an integer of at least 0"),
        ({"groups": ["all"]}, 'groups has a column called "all", a reserved name'),
        ({"folder": "no/such/folder"}, "folder is no/such/folder; expected a folder that exists"),
        ({"output": 7}, "output is 7; the model's classes are"),
        ({"scale": "odds"}, 'scale is "odds"; accepted: probability, log-odds, value'),
    ],
)
def test_settings_that_cannot_be_used(
    people: pd.DataFrame, fitted: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, ExplanationError)) as caught:
        a_pass(fitted["HGB"], people, **options)
    assert message in str(caught.value)


def test_rows_that_cannot_be_used_are_named_by_part(
    people: pd.DataFrame, fitted: dict[str, Any]
) -> None:
    work = a_pass(fitted["HGB"], people)
    both = people.assign(sex=np.where(np.arange(N) == 3, "unknown", people["sex"]))
    both.loc[5, "sex"] = None
    for frame, message in (
        (people.assign(income=people["income"].astype(str) + " euros"), 'column "income" has text'),
        (people.assign(band=np.arange(N) * 1.0), "has 700 different values"),
        (both, 'group called "unknown"'),
    ):
        with pytest.raises(InputError, match="part 1: ") as caught:
            work(cut(frame, [])[0])
        assert message in str(caught.value)
        with pytest.raises(EngineError, match=r"^part 1: "):
            LocalEngine(1).map_merge(work, cut(frame, []), work.zero, AttributionSums.merge)
    # What no part shows alone is found where they are put together.
    with pytest.raises(InputError, match='group called "unknown"'):
        summed(work, cut(both, [4]))
    with pytest.raises(InputError, match="different values"):
        summed(work, cut(people.assign(band=np.arange(N) % 70 * 1.0).iloc[:70], [40]))


def test_sums_of_two_explainers_do_not_add_up(people: pd.DataFrame, fitted: dict[str, Any]) -> None:
    one, other = a_pass(fitted["HGB"], people), a_pass(fitted["forest"], people)
    with pytest.raises(InputError, match="attributions of two explainers"):
        one.zero.merge(other.zero)


def test_a_wrong_reference_or_confidence_is_named(
    people: pd.DataFrame, passes: dict[str, tuple[AttributionPass, str]]
) -> None:
    found = summed(passes["HGB"][0], cut(people, []))
    with pytest.raises(InputError, match=r'reference names "sez"; accepted: sex, band'):
        found.differences({"sez": "m"})
    with pytest.raises(InputError, match=r'reference for "sex" is "M"; accepted: f, m'):
        found.differences({"sex": "M"})
    for ask in (found.global_importance, found.by_group, found.frame):
        with pytest.raises(InputError, match=r"confidence is 1\.5"):
            ask(1.5)
    with pytest.raises(InputError, match="confidence is 0"):
        found.differences(confidence=0)


def test_no_rows_have_no_means() -> None:
    none = GroupSums.none(2)
    assert np.isnan(none.mean("mean")).all()
    assert np.isnan(none.variance_of_mean("mean_abs")).all()
