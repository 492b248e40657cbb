"""More rows than memory should hold: the same audit, whatever the backend and however divided."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hitl_audit.audit import Audit
from hitl_audit.documents import reasons_table, report_of
from hitl_audit.engine import LocalEngine
from hitl_audit.errors import InputError, ReportError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.fairness.group_metrics import group_metrics
from hitl_audit.performance import measure_performance
from hitl_audit.plan import AuditPlan
from hitl_audit.recomputing import recompute_folder
from tests.many_rows import (
    FEATURES,
    PLAN,
    ROWS,
    SAMPLE,
    Ticking,
    audit_folder,
    fitted,
    people_table,
    run_on,
)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return people_table()


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    return fitted(people)


@pytest.fixture(scope="module")
def folder(model: Any, people: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audit_folder(model, people, tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def evidence(folder: Path, model: Any) -> Evidence:
    return run_on(str(folder / "rows" / "*.parquet"), model)


def test_what_is_promised_is_about_all_rows(
    evidence: Evidence, people: pd.DataFrame, model: Any
) -> None:
    score = model.predict_proba(people[FEATURES].astype({"debt": float}))[:, 1]
    decided = (score >= 0.5).astype(int)
    groups = people[["sex", "region"]]
    whole = group_metrics(
        people["good"],
        decided,
        sensitive_features=groups,
        metrics=[m for m in evidence.fairness.metrics if m != "count"],
        reference={"sex": "male"},
    )
    assert evidence.fairness.counts == whole.counts
    assert evidence.fairness.rates == whole.rates
    assert evidence.fairness.against_reference == whole.against_reference
    measured = measure_performance(people["good"], score, sensitive_features=groups)
    for found, wanted in zip(evidence.performance.groups, measured.groups, strict=True):
        assert (found.attribute, found.group) == (wanted.attribute, wanted.group)
        assert found.confusion == wanted.confusion
        for one, other in zip(found.scores, wanted.scores, strict=True):
            assert (one.metric, one.n, one.status) == (other.metric, other.n, other.status)
            # Areas under curves are from classes of scores, and their method says how near.
            stated = re.search(r"off by at most ([\d.]+)", one.method)
            near = float(stated[1]) if stated else 1e-9
            assert one.value == pytest.approx(other.value, abs=near), one.method
    (verdict,) = evidence.findings[0].verdicts
    assert verdict.comparison.count.total == int((people["sex"] == "female").sum())


def test_everything_else_is_about_a_random_sample_and_says_so(
    evidence: Evidence, people: pd.DataFrame
) -> None:
    data = evidence.data
    assert (data.rows, data.sampled_rows) == (ROWS, SAMPLE)
    assert data.favorable_rows == int(people["good"].sum())
    assert evidence.explanations[0].rows == SAMPLE
    by_part = {p.part: p for p in evidence.provenance}
    assert by_part["fairness"].data_digest == data.digest
    assert by_part["sample"].data_digest != data.digest


@pytest.mark.parametrize("backend", ["pandas", "polars", "lazy", "duckdb", "arrow", "shuffled"])
def test_the_same_evidence_from_every_backend(
    backend: str, evidence: Evidence, people: pd.DataFrame, model: Any, folder: Path
) -> None:
    glob = str(folder / "rows" / "*.parquet")
    made: dict[str, Callable[[], Any]] = {
        "pandas": lambda: people,
        "polars": lambda: pl.from_pandas(people),
        "lazy": lambda: pl.scan_parquet(folder / "rows" / "[0-9].parquet"),
        "duckdb": lambda: duckdb.sql(f"SELECT * FROM '{glob}'"),
        "arrow": lambda: pa.Table.from_pandas(people),
        "shuffled": lambda: people.sample(frac=1, random_state=1),
    }
    found = run_on(made[backend](), model)
    assert found.data.digest == evidence.data.digest
    assert found.digest == evidence.digest


def test_workers_change_nothing(evidence: Evidence, model: Any, folder: Path) -> None:
    found = run_on(str(folder / "rows" / "*.parquet"), model, engine=LocalEngine(workers=2))
    assert found.digest == evidence.digest


class Stops(LocalEngine):
    """An engine that somebody stops with Ctrl-C after some parts; it knows what it worked on."""

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after, self.worked = after, 0

    def map_merge(self, fn: Any, parts: Iterable[Any], zero: Any, merge: Any, **more: Any) -> Any:
        progress = more.pop("progress", None)

        def told(done: Any) -> None:
            self.worked = done.done - done.kept
            if progress is not None:
                progress(done)
            if self.after is not None and done.done >= self.after:
                raise KeyboardInterrupt

        return super().map_merge(fn, parts, zero, merge, progress=told, **more)


def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_read_again(
    folder: Path, evidence: Evidence, tmp_path: Path
) -> None:
    here = tmp_path / "audit"
    shutil.copytree(folder, here)
    with pytest.raises(KeyboardInterrupt):
        Audit.open(here, engine=Stops(after=3), now=Ticking()).run(progress=False)
    assert not (here / "results").exists()
    again = Stops()
    results = Audit.open(here, engine=again, resume=True, now=Ticking()).run(progress=False)
    whole = Stops()
    Audit.open(folder, engine=whole, now=Ticking()).run(progress=False)
    assert 0 < again.worked == whole.worked - 3
    assert results.evidence.data == evidence.data
    assert results.evidence.fairness == evidence.fairness
    assert not (here / ".parts").exists()
    # People judge, and documents are made, without another pass over the rows.
    never = Stops(after=0)
    audit = Audit.open(here, engine=never, now=Ticking())
    assert audit.has_results
    assert audit.results.sample == results.sample
    assert never.worked == 0
    assert "uniform random sample of 1,000 rows" in str(audit.report().document)
    assert audit.is_sample
    with pytest.raises(ReportError, match="reasons would be those of a sample of 1,000"):
        reasons_table(here)


def test_the_numbers_are_derived_again_from_all_rows(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "audit"
    shutil.copytree(folder, here, ignore=shutil.ignore_patterns("results", "plan.lock.json"))
    clock = Ticking()
    Audit.open(here, now=clock).run(progress=False)
    report_of(here, now=clock()).save(here)
    # Looking at the numbers again writes nothing, and takes nothing from a run to be resumed.
    (here / ".parts").mkdir()
    (here / ".parts" / "of an interrupted run").touch()
    before = sorted(p for p in here.rglob("*"))
    found = recompute_folder(here, now=clock)
    assert sorted(p for p in here.rglob("*")) == before
    assert found.differences == ()
    published = read_evidence((here / "evidence.json").read_bytes())
    assert (published.data.rows, published.data.sampled_rows) == (ROWS, SAMPLE)
    # One changed value in one row of six thousand is seen.
    rows = pd.read_parquet(here / "rows" / "5.parquet")
    rows.loc[rows.index[2_321], "income"] += 1e-9
    rows.to_parquet(here / "rows" / "5.parquet", row_group_size=700)
    assert recompute_folder(here, now=clock).differences != ()


def test_recorded_decisions_are_counted_the_same_way(
    folder: Path, people: pd.DataFrame, tmp_path: Path
) -> None:
    made = []
    for name, held in (("many", 1_000), ("few", 1_000_000)):
        here = tmp_path / name
        shutil.copytree(folder, here, ignore=shutil.ignore_patterns("results", "plan.lock.json"))
        decided = people[["sex", "region", "good"]].astype({"good": float})
        decided.loc[::7, "good"] = np.nan  # nobody decided about these
        decided.to_parquet(here / "history.parquet")
        data = PLAN["data"] | {"history": "history.parquet", "path": "rows/0.parquet"}
        plan = PLAN | {"data": data, "scale": {"in_memory_rows": held, "sample_rows": SAMPLE}}
        (here / "audit.toml").write_bytes(AuditPlan.from_dict(plan).source)
        made.append(Audit.open(here, now=Ticking()).run(progress=False).evidence)
    counted, held_in_memory = (e.history for e in made)
    assert counted is not None
    assert held_in_memory is not None
    assert counted.rows == held_in_memory.rows == ROWS - len(range(0, ROWS, 7))
    assert counted.decisions == held_in_memory.decisions
    # The audited rows themselves are few enough to be held, in both.
    assert [e.data.sampled_rows for e in made] == [None, None]


def test_every_row_is_explained_where_the_plan_says_so(
    evidence: Evidence, people: pd.DataFrame, model: Any, folder: Path
) -> None:
    plan = AuditPlan.from_dict(PLAN | {"scale": PLAN["scale"] | {"explain_all_rows": True}})
    rows = str(folder / "rows" / "*.parquet")
    audit = Audit(model, rows, "good", plan=plan, now=Ticking())
    (found,) = audit.run(progress=False).evidence.explanations
    (sampled,) = evidence.explanations
    assert (found.rows, sampled.rows) == (ROWS, SAMPLE)
    assert found.background_digest == sampled.background_digest
    table = people[FEATURES].astype({"debt": float})
    behind = sample_rows(audit.inputs.X, 20, random_state=plan.seed)
    whole = explain(model, table, method="shap", background=behind, output=1)
    wanted = whole.global_importance().set_index("feature")
    for one in found.importance:
        assert one.n == ROWS
        assert one.mean_abs == pytest.approx(wanted.at[one.feature, "mean_abs"], abs=1e-9)
        # Student's interval from the sums, against the bootstrap of the rows.
        assert one.low == pytest.approx(wanted.at[one.feature, "low"], rel=1e-3)
        assert one.high == pytest.approx(wanted.at[one.feature, "high"], rel=1e-3)
    assert "Intervals of the mean attributions are Student's, over all rows." in found.notes
    assert "and so is how much each feature moves" in str(audit.report().document)


def test_cases_for_review_carry_the_chance_of_both_draws(model: Any, folder: Path) -> None:
    plan = AuditPlan.from_dict(PLAN)
    rows = str(folder / "rows" / "*.parquet")
    sample = Audit(model, rows, "good", plan=plan, now=Ticking()).results.sample
    assert sample.population == ROWS
    assert len(sample.cases) == 12
    if sample.design == "random":
        assert {c.inclusion_probability for c in sample.cases} == {12 / ROWS}
    assert all(0 < (c.inclusion_probability or 0) <= SAMPLE / ROWS for c in sample.cases)


@pytest.mark.parametrize(
    ("rows", "change", "words"),
    [
        ("lazy", {"y": "goood"}, 'y is "goood", which X does not have; did you mean "good"?'),
        ("lazy", {"ids": ["a"]}, "expected sensitive as names of columns of X too"),
        ("lazy", {"y": [1, 0]}, "whose rows are not in memory; expected y as the name of its"),
        ("rows/*.parquet", {"y": [1, 0]}, "X is a str, whose rows are not in memory"),
        ("rows/none-*.parquet", {}, "rows/none-*.parquet"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_before_any_work(
    rows: Any, change: dict[str, Any], words: str, model: Any, folder: Path
) -> None:
    given: dict[str, Any] = {"y": "good", "plan": AuditPlan.from_dict(PLAN)} | change
    if rows == "lazy":
        rows = pl.scan_parquet(folder / "rows" / "[0-9].parquet")
    with pytest.raises(InputError, match=re.escape(words)):
        Audit(model, rows, **given)
