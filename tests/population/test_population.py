"""The one pass against the regime in memory, over divisions, orders and backends."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.errors import InputError
from hitl_audit.fairness.group_metrics import group_metrics
from hitl_audit.inputs import build_inputs
from hitl_audit.performance import measure_performance
from hitl_audit.plan import AuditPlan
from hitl_audit.population import (
    Population,
    measure_population,
    merged,
    no_counts,
    population_of,
    score_classes,
    score_pass,
)
from hitl_audit.rows import open_rows
from tests.population.worlds import Here, Piece, nasty, passing, plan_of, populated, soft


def pickled(value: Any) -> Any:
    """As it arrives from another process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


SENSITIVE = ["race", "sex", "marital_status", "age"]


@pytest.fixture(scope="module")
def mortgage_plan() -> AuditPlan:
    return AuditPlan.from_dict(
        {
            "audit": {"title": "Mortgages"},
            "data": {"target": "approve", "sensitive": SENSITIVE, "id": "application"},
        }
    )


@pytest.fixture(scope="module")
def mortgage(
    mortgage_model: Any, mortgage_holdout: pd.DataFrame, mortgage_plan: AuditPlan
) -> Population:
    source = open_rows(mortgage_holdout)
    over = score_pass(
        mortgage_model, mortgage_plan, columns=source.columns, model_digest="m", sample_size=200
    )
    return measure_population(over, source, mortgage_plan, engine=Here(), rows_per_part=500)


def test_the_same_numbers_as_in_memory(
    mortgage: Population,
    mortgage_model: Any,
    mortgage_holdout: pd.DataFrame,
    mortgage_plan: AuditPlan,
) -> None:
    inputs = build_inputs(
        mortgage_model, mortgage_holdout, mortgage_holdout["approve"], plan=mortgage_plan
    )
    assert mortgage.rows == len(inputs)
    assert mortgage.favorable_rows == inputs.y_true.sum()
    assert mortgage.protected_inputs == inputs.protected_inputs
    assert mortgage.notes[: len(inputs.notes)] == inputs.notes
    whole = group_metrics(inputs.y_true, inputs.y_pred, sensitive_features=inputs.sensitive)
    found = mortgage.group_metrics()
    assert found == whole
    assert found.notes == whole.notes
    assert found.against_reference == whole.against_reference
    assert found.summary() == whole.summary()
    pd.testing.assert_frame_equal(found.by_group_frame(), whole.by_group_frame())


def test_the_same_performance_as_in_memory(
    mortgage: Population, mortgage_model: Any, mortgage_holdout: pd.DataFrame
) -> None:
    scores = mortgage_model.predict_proba(mortgage_holdout)[:, 1]
    whole = measure_performance(
        mortgage_holdout["approve"], scores, sensitive_features=mortgage_holdout[SENSITIVE]
    )
    found = mortgage.performance()
    assert (found.threshold, found.attributes) == (whole.threshold, whole.attributes)
    assert len(found.groups) == len(whole.groups) > 8
    for one, other in zip(found.groups, whole.groups, strict=True):
        assert (one.attribute, one.group) == (other.attribute, other.group)
        assert one.confusion == other.confusion
        assert one.scores[:4] == other.scores[:4]  # what derives from decisions, exactly
        for a, b in zip(one.scores[4:], other.scores[4:], strict=True):
            assert (a.metric, a.n, a.method, a.status) == (b.metric, b.n, b.method, b.status)
            assert [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high], abs=1e-9)
        assert one.roc == other.roc
        assert one.precision_recall == other.precision_recall
        assert [(b.n, b.observed, b.low, b.high) for b in one.calibration] == [
            (b.n, b.observed, b.low, b.high) for b in other.calibration
        ]
        assert [b.predicted for b in one.calibration] == pytest.approx(
            [b.predicted for b in other.calibration], abs=1e-9
        )


def test_classes_say_how_far_they_can_be_off(
    mortgage_model: Any,
    mortgage_holdout: pd.DataFrame,
    mortgage_plan: AuditPlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(score_classes, "MOST", 100)
    source = open_rows(mortgage_holdout)
    over = score_pass(mortgage_model, mortgage_plan, columns=source.columns, model_digest="m")
    found = measure_population(over, source, mortgage_plan, engine=Here(), rows_per_part=500)
    scores = mortgage_model.predict_proba(mortgage_holdout)[:, 1]
    whole = measure_performance(
        mortgage_holdout["approve"], scores, sensitive_features=mortgage_holdout[SENSITIVE]
    )
    assert any("classes of neighboring scores" in note for note in found.notes)
    for one, other in zip(found.performance().groups, whole.groups, strict=True):
        assert one.confusion == other.confusion
        assert one.scores[:4] == other.scores[:4]
        for metric in ("roc_auc", "average_precision"):
            a, b = one.score(metric), other.score(metric)
            if a.value is not None and b.value is not None:
                told = float(a.method.rpartition(" ")[2])
                assert a.method.startswith(b.method)
                assert abs(a.value - b.value) <= told
                assert told < 0.05
        a, b = one.score("brier_score"), other.score("brier_score")
        assert [a.value, a.low, a.high] == pytest.approx([b.value, b.low, b.high], abs=0.02)
        assert a.value == pytest.approx(b.value, abs=1e-9)


@given(st.data(), st.sampled_from([6, 4096]), st.booleans())
@settings(max_examples=12, deadline=None)
def test_any_order_division_and_retry(data: Any, most: int, ids: bool) -> None:
    table = nasty(60)
    options: dict[str, Any] = {"sample_size": 15, "data": {"id": "id"} if ids else {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score_classes, "MOST", most)
        whole = populated([table], **options)
        order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(len(table))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=3)))
        ends = zip([0, *cuts], [*cuts, len(table)], strict=True)
        over, plan = passing(table, **options)
        rows_per_batch = data.draw(st.integers(20, 90))
        counts = []
        for i, (start, stop) in enumerate(ends):
            piece = Piece(f"part {i}", table.take(order[start:stop]), rows_per_batch)
            over(piece)  # an attempt whose answer was lost
            counts.append(pickled(over(pickled(piece))))
        found = no_counts()
        for i in data.draw(st.permutations(range(len(counts)))):
            found = (
                merged(counts[i], found) if data.draw(st.booleans()) else merged(found, counts[i])
            )
        parted = population_of(found, over, plan)
    assert parted.digest == whole.digest
    pd.testing.assert_frame_equal(parted.frame(), whole.frame())
    assert repr(parted.performance(n_boot=20).frame()) == repr(whole.performance(n_boot=20).frame())


def test_every_backend(tmp_path: Path) -> None:
    table = nasty(200)
    plain = table.to_pandas()
    lazy = pl.from_arrow(table)
    assert isinstance(lazy, pl.DataFrame)
    files = tmp_path / "rows"
    files.mkdir()
    for i, start in enumerate(range(0, len(table), 90)):
        pq.write_table(table.slice(start, 90), files / f"{i}.parquet", row_group_size=20)
    empty = pa.Table.from_batches([], table.schema)
    pq.write_table(empty, files / "9.parquet")
    pq.write_table(table, tmp_path / "one.parquet")
    with_strings = table.set_column(
        2, "purpose", table.column("purpose").combine_chunks().dictionary_encode()
    )
    relation = duckdb.from_arrow(table)
    sources: dict[str, Any] = {
        "arrow": table,
        "polars lazy": lazy.lazy(),
        "duckdb": relation,
        "a query": f"SELECT * FROM '{tmp_path / 'one.parquet'}'",
        "pandas": plain,
        "polars": lazy,
        "a glob": str(files / "*.parquet"),
        "one file": str(tmp_path / "one.parquet"),
        "categories": with_strings,
    }
    found = {}
    for name, given_ in sources.items():
        source = open_rows(given_)
        over, plan = passing(table, sample_size=30)
        found[name] = measure_population(over, source, plan, engine=Here(), rows_per_part=64).digest
    assert set(found.values()) == {found["arrow"]}, found


def test_parts_that_are_empty_and_a_huge_one() -> None:
    table = nasty(3000)
    empty = table.slice(0, 0)
    whole = populated([table])
    assert populated([empty, table, empty]).digest == whole.digest
    assert populated([table.slice(0, 1), empty, table.slice(1)]).digest == whole.digest
    with pytest.raises(InputError, match="the data have no rows"):
        populated([empty])


def test_missing_groups_are_unknown_whether_null_or_nan() -> None:
    table = nasty(400)
    race = table.column("race").to_pylist()
    found = populated([table])
    by_race = dict(found.counts.by(["race"]).items())
    assert sum(by_race[("unknown",)]) == race.count(None) > 0
    bands = pa.array(
        [float("nan") if r is None else float(len(r)) for r in race], from_pandas=False
    )
    nulls = pa.array([None if r is None else len(r) for r in race], pa.int64())
    numbers = [
        populated([table.append_column("band", column)], data={"sensitive": ["band"]})
        for column in (bands, nulls)
    ]
    assert numbers[0].digest == numbers[1].digest
    assert [g for (g,) in numbers[0].counts.groups] == ["3", "5", "unknown"]


def bad(table: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        place = table.column_names.index(name)
        kind = None if name in ("race", "purpose") else table.schema.field(name).type
        table = table.set_column(place, name, pa.array(values, kind, from_pandas=False))
    return table


def only(n: int, at: int, value: Any, otherwise: Any) -> list[Any]:
    return [value if i == at else otherwise(i) for i in range(n)]


def broken(X: pd.DataFrame) -> Any:
    scores = soft(X)
    return np.where(X["x"].to_numpy() == 777, np.nan, scores)


N = 120
GOOD = nasty(100).slice(0, N)


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (
            bad(GOOD, paid=[None if i in (53, 97) else i % 2 for i in range(N)]),
            {},
            r"the target is missing in 2 of 120 rows \(first: row 4 of part 2\)",
        ),
        (bad(GOOD, paid=[0] * N), {}, "data.favorable is 1, which the target never is; it is 0"),
        (bad(GOOD, paid=[1] * N), {}, r"every row has the same outcome \(1\)"),
        (
            bad(GOOD, paid=[i % 3 for i in range(N)]),
            {},
            r"the target has 3 different values \(0, 1, 2\); expected two",
        ),
        (
            bad(GOOD, race=[f"r{i % 51}" for i in range(N)]),
            {},
            'sensitive attribute "race" has 51 different values; expected at most 50 groups',
        ),
        (
            bad(GOOD, x=only(N, 60, 777.0, float)),
            {"model": broken},
            r"the model returned 1 scores outside 0 to 1 or not a number \(first at row 11 of part 2\)",
        ),
        (
            bad(GOOD, race=only(N, 3, None, lambda i: "unknown" if i > 99 else "a")),
            {},
            '"race" is missing in 1 of 120 rows and has a group called "unknown"',
        ),
        (
            bad(GOOD, id=only(N, 70, "L00001", lambda i: f"L{i:05d}")),
            {"data": {"id": "id"}},
            r"1 of the ids in the sample of 120 rows occur more than once \(first: 'L00001'\)",
        ),
        (
            bad(GOOD, id=only(N, 70, None, lambda i: f"L{i:05d}")),
            {"data": {"id": "id"}},
            r'the id "id" is missing in 1 of 120 rows \(first: row 21 of part 2\)',
        ),
        (GOOD, {"data": {"reference": {"race": "white"}}}, None),
        (
            GOOD,
            {"data": {"reference": {"race": "whyte"}}},
            r'data.reference.race is "whyte"; accepted: .*did you mean "white"',
        ),
        (GOOD, {"data": {"target": "pald"}}, 'data.target needs column "pald"'),
        (GOOD, {"data": {"id": "no"}}, 'data.id needs column "no"'),
        (GOOD, {"data": {"features": ["x", "q"]}}, 'data.features needs column "q"'),
        (GOOD, {"data": {"features": ["x", "paid"]}}, 'the target "paid" is among the model'),
        (GOOD, {"model": "a text"}, "the model is a str without predict_proba"),
        (
            GOOD,
            {"model": lambda X: X["nothing"]},
            "part 1: the model failed on 1024 rows of data: KeyError: 'nothing'",
        ),
    ],
)
def test_what_is_wrong_is_said_over_all_rows(
    table: pa.Table, options: dict[str, Any], words: str | None
) -> None:
    pieces = [table.slice(start, 50) for start in range(0, N, 50)]
    if words is None:
        assert populated(pieces, **options).rows == N
        return
    with pytest.raises(InputError, match=words):
        populated(pieces, **options)


def test_a_part_without_a_column_is_named() -> None:
    over, _ = passing(GOOD)
    with pytest.raises(InputError, match='part 7 needs column "race", which the data do not have'):
        over(Piece("part 7", GOOD.select(["x", "small", "purpose", "woman", "paid"])))


def test_more_values_than_can_be_told_apart() -> None:
    table = nasty(1100)
    n = len(table)
    many = table.set_column(3, "race", pa.array([f"r{i}" for i in range(n)]))
    with pytest.raises(InputError, match='"race" has more than 1,000 different values'):
        populated([many.slice(0, 600), many.slice(600)])
    ages = table.set_column(5, "paid", pa.array(range(n)))
    with pytest.raises(InputError, match="the target has more than 1,000 different values"):
        populated([ages.slice(0, 600), ages.slice(600)])


def test_notes_are_those_of_the_rows_in_memory(mortgage_model: Any) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    n = 90
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "same": np.full(n, 3.0),
            "leak": rng.integers(0, 2, n),
            "kind": rng.choice(["a", "b"], n),
            "sex": np.array(["f", "m", None], dtype=object)[rng.integers(0, 3, n)],
        }
    )
    frame["paid"] = frame["leak"]
    model = Pipeline(
        [
            (
                "c",
                ColumnTransformer(
                    [("k", OneHotEncoder(handle_unknown="ignore"), ["kind", "sex"])],
                    remainder="passthrough",
                ),
            ),
            ("m", LogisticRegression()),
        ]
    ).fit(frame[["same", "leak", "kind", "sex"]], frame["paid"])
    frame.loc[[7, 50], "kind"] = ["new", "newer"]
    frame.loc[3, "sex"] = "x"
    plan = plan_of(sensitive=["sex"])
    inputs = build_inputs(model, frame, frame["paid"], plan=plan)
    source = open_rows(frame)
    over = score_pass(model, plan, columns=source.columns, model_digest="m")
    found = measure_population(over, source, plan, engine=Here(), rows_per_part=20)
    assert len(inputs.notes) == 8
    assert found.notes == inputs.notes
    assert found.protected_inputs == ("sex",)


def test_digests_see_every_value_and_every_copy() -> None:
    table = nasty(50)
    n = len(table)
    whole = populated([table])
    x = table.column("small").to_pylist()
    bits = np.array(x, dtype=np.float32).view(np.uint32)
    bits[17] ^= 1
    changed = bad(table, small=bits.view(np.float32))
    assert populated([changed]).data_digest != whole.data_digest
    assert populated([changed]).counts == whole.counts
    rows = [*range(n - 1), 0]  # the last row replaced by a copy of the first
    assert populated([table.take(pa.array(rows))]).data_digest != whole.data_digest
    twice = populated([table, table])
    assert twice.data_digest != whole.data_digest
    assert twice.rows == 2 * n

    def shifted(X: pd.DataFrame) -> Any:
        return np.where(np.arange(len(X)) == 5, soft(X) * (1 - 1e-6), soft(X))

    moved = populated([table], model=shifted)
    assert moved.data_digest == whole.data_digest
    assert moved.scores_digest != whole.scores_digest


def test_a_history_of_decisions_without_a_model() -> None:
    table = bad(GOOD, paid=[None if i % 10 == 0 else i % 2 for i in range(N)])
    over, plan = passing(table)
    past = replace(over, predictor=None, features=())
    found = population_of(past(Piece("a", table)), past, plan)
    assert found.rows == 108
    assert found.counts.by(()).table == ((48, 0, 0, 60),)
    assert found.favorable_rows == 60


def test_the_limit_on_hashes_changes_nothing() -> None:
    table = nasty(5000)
    whole = populated([table], sample_size=50)
    pieces = [table.slice(i, 1000) for i in range(0, len(table), 1000)]
    limited = populated(pieces, sample_size=50, rows=len(table))
    over, plan = passing(table, sample_size=50, rows=len(table))
    assert over.cut is not None
    part = over(Piece("a", pieces[0]))
    assert len(part.sample) < 60
    assert limited.digest == whole.digest
    assert over.key != over.without_cut().key
    # Many copies of few rows: their hashes may all lie beyond the limit.
    few = pa.concat_tables([table.slice(1, 2)] * 1000).combine_chunks()
    few = bad(few, paid=[0, 1] * 1000)
    for seed in range(3):
        plan = AuditPlan.from_dict({**plan.model_dump(exclude_none=True), "seed": seed})
        over = score_pass(
            soft, plan, columns=few.column_names, model_digest="m", sample_size=10, rows=len(few)
        )
        found = measure_population(over, open_rows(few), plan, engine=Here(), rows_per_part=1500)
        assert len(found.sample) == 10


def test_the_key_tells_passes_apart() -> None:
    over, _ = passing(GOOD)
    assert over.key == pickled(over).key
    others = [
        replace(over, model_digest="n"),
        replace(over, seed=1),
        replace(over, sample_size=7),
        replace(over, favorable=True),
        replace(over, sensitive=("race",)),
        replace(over, carried=("id",)),
        replace(over, predictor=replace(over.predictor, threshold=0.4)),  # type: ignore[type-var]
    ]
    assert len({over.key, *(other.key for other in others)}) == len(others) + 1


def test_a_linear_model_in_any_batch(mortgage_holdout: pd.DataFrame) -> None:
    """A matrix product may give a row another last bit in another batch; no digest sees it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(5000, 12)), columns=[f"x{i}" for i in range(12)])
    frame["paid"] = (frame.sum(axis=1) + rng.normal(size=5000) > 0).astype(int)
    frame["g"] = rng.choice(["a", "b"], 5000)
    names = list(frame.columns[:12])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[names], frame["paid"])
    plan = plan_of(sensitive=["g"])
    digests = set()
    for rows_per_part, order in (
        (5000, slice(None)),
        (777, slice(None, None, -1)),
        (64, slice(None)),
    ):
        source = open_rows(frame[order])
        over = score_pass(model, plan, columns=source.columns, model_digest="m")
        found = measure_population(over, source, plan, engine=Here(), rows_per_part=rows_per_part)
        digests.add(found.digest)
    assert len(digests) == 1
