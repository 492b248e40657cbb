"""The sample as the inputs of an audit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hitl_audit.errors import InputError
from hitl_audit.inputs import build_inputs
from hitl_audit.plan import AuditPlan
from hitl_audit.population import measure_population, sample_inputs, score_pass
from hitl_audit.rows import open_rows
from tests.population.worlds import Here, nasty, passing, plan_of, populated, soft


def test_sampled_rows_are_those_of_the_audit_in_memory(
    mortgage_model: Any, mortgage_holdout: pd.DataFrame
) -> None:
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "t"},
            "data": {"target": "approve", "sensitive": ["race", "sex"], "id": "application"},
        }
    )
    whole = build_inputs(mortgage_model, mortgage_holdout, mortgage_holdout["approve"], plan=plan)
    source = open_rows(mortgage_holdout)
    over = score_pass(
        mortgage_model, plan, columns=source.columns, model_digest="m", sample_size=150
    )
    population = measure_population(over, source, plan, engine=Here())
    found = sample_inputs(population, mortgage_model, plan)
    assert len(found) == 150
    assert list(found.X.columns) == list(whole.X.columns)
    assert found.notes == population.notes
    assert found.data_digest != population.data_digest  # the sample is not all rows
    ids = mortgage_holdout["application"].tolist()
    places = [ids.index(one) for one in population.sample_ids or ()]
    assert found.y_true.tolist() == whole.y_true[places].tolist()
    assert found.y_score == pytest.approx(whole.y_score[places], abs=1e-12)
    assert found.sensitive.to_numpy().tolist() == whole.sensitive.iloc[places].to_numpy().tolist()
    pd.testing.assert_frame_equal(
        found.X.reset_index(drop=True),
        whole.X.iloc[places].reset_index(drop=True),
        check_dtype=False,
    )


def test_carried_columns_are_in_the_sample_and_no_inputs() -> None:
    table = nasty(60)
    found = populated([table], carried=["id"])
    plan = plan_of(features=["x", "small", "purpose"])
    assert "id" in found.frame().columns
    assert found.sample_ids is None
    inputs = sample_inputs(found, soft, plan)
    assert list(inputs.X.columns) == ["x", "small", "purpose"]
    # A callable without a list of inputs reads what is left over, the same in both.
    every = plan_of(excluded={"id": "a number"})
    over = score_pass(soft, every, columns=table.column_names, model_digest="m", carried=["id"])
    population = measure_population(over, open_rows(table), every, engine=Here())
    assert over.features == ("x", "small", "purpose")
    assert tuple(sample_inputs(population, soft, every).X.columns) == over.features


def test_what_a_small_sample_lacks_is_said() -> None:
    table = nasty(200)
    n = len(table)
    rare = np.zeros(n, dtype=np.int64)
    rare[0] = 1
    lone = ["rare" if i == 0 else "common" for i in range(n)]
    table = table.set_column(5, "paid", pa.array(rare)).set_column(3, "race", pa.array(lone))
    seed = next(s for s in range(99) if _without_first(table, s))
    _, plan = passing(table, data={"features": ["x"]})
    with pytest.raises(InputError, match="the sample of 5 rows has one outcome only; of all 240"):
        sample_inputs(_drawn(table, seed), soft, plan)
    table = table.set_column(5, "paid", pa.array(np.arange(n) % 2))
    seed = next(s for s in range(99) if _without_first(table, s) and _both(table, s))
    plan = plan_of(features=["x", "purpose"], reference={"race": "rare"})
    with pytest.raises(InputError, match='reference group "rare" of race, as 1 of all 240 rows'):
        sample_inputs(_drawn(table, seed), soft, plan)


def _drawn(table: pa.Table, seed: int) -> Any:
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "t"},
            "seed": seed,
            "data": {"target": "paid", "sensitive": ["race"], "features": ["x", "purpose"]},
        }
    )
    over = score_pass(soft, plan, columns=table.column_names, model_digest="m", sample_size=5)
    return measure_population(over, open_rows(table), plan, engine=Here())


def _without_first(table: pa.Table, seed: int) -> bool:
    return "rare" not in _drawn(table, seed).frame()["race"].tolist()


def _both(table: pa.Table, seed: int) -> bool:
    return bool(_drawn(table, seed).frame()["paid"].nunique() == 2)
