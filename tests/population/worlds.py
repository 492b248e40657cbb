"""Rows, models and an engine for the tests of the one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hitl_audit.plan import AuditPlan
from hitl_audit.population import (
    PartCounts,
    Population,
    ScorePass,
    merged,
    no_counts,
    population_of,
    score_pass,
)

PLAN = {
    "audit": {"title": "Loans"},
    "data": {"target": "paid", "favorable": 1, "sensitive": ["race", "woman"]},
}


def plan_of(**data: Any) -> AuditPlan:
    return AuditPlan.from_dict({**PLAN, "data": {**PLAN["data"], **data}})  # type: ignore[dict-item]


def soft(X: pd.DataFrame) -> np.ndarray[Any, Any]:
    """A model that any batch gives the same answers: each row by itself, in plain arithmetic."""
    x = X["x"].to_numpy(dtype=float)
    x = np.where(np.isnan(x), 0.25, np.clip(x, -1e6, 1e6))
    y = np.where(X["purpose"].to_numpy() == "car", 0.125, 0.0)
    scores: np.ndarray[Any, Any] = 0.5 + 0.5 * (x + y) / (1.0 + np.abs(x + y))
    return scores


@dataclass(frozen=True)
class Piece:
    """A part of a table, in batches."""

    name: str
    table: pa.Table
    rows_per_batch: int = 50_000
    key: str = ""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches(max_chunksize=self.rows_per_batch)


class Here:
    """Works on one part after the other."""

    def map_merge(
        self,
        fn: Callable[[Any], PartCounts],
        parts: Iterable[Any],
        zero: PartCounts,
        merge: Callable[[PartCounts, PartCounts], PartCounts],
        **options: Any,
    ) -> PartCounts:
        for part in parts:
            zero = merge(zero, fn(part))
        return zero


def nasty(n: int, seed: int = 0) -> pa.Table:
    """Rows with nulls and NaNs, −0.0, float32, copies, and values that read like others."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n).round(2)
    x[rng.random(n) < 0.1] = np.nan
    x[rng.random(n) < 0.05] = -0.0
    small = rng.normal(size=n).astype(np.float32)
    woman = rng.choice(np.array([True, False, None], dtype=object), n)
    purpose = rng.choice(np.array(["car", "home", "", "1", None], dtype=object), n)
    race = rng.choice(
        np.array(["Black", "white", "Ünï", None], dtype=object), n, p=[0.2, 0.6, 0.1, 0.1]
    )
    table = pa.table(
        {
            "x": pa.array(x, from_pandas=False),
            "small": pa.array(small),
            "purpose": pa.array(purpose, pa.string()),
            "race": pa.array(race, pa.string()),
            "woman": pa.array(woman, pa.bool_()),
            "paid": pa.array((rng.random(n) < 0.6).astype(np.int64)),
            "id": pa.array([f"L{i:05d}" for i in range(n)]),
        }
    )
    copies = table.take(pa.array(rng.integers(0, n, n // 5)))
    renumbered = pa.array([f"K{i:05d}" for i in range(len(copies))])
    return pa.concat_tables([table, copies.set_column(6, "id", renumbered)]).combine_chunks()


def passing(table: pa.Table, model: Any = soft, **options: Any) -> tuple[ScorePass, AuditPlan]:
    data = options.pop("data", {})
    plan = plan_of(**{"features": ["x", "small", "purpose"], **data})
    return score_pass(model, plan, columns=table.column_names, model_digest="m", **options), plan


def populated(pieces: Sequence[pa.Table], model: Any = soft, **options: Any) -> Population:
    """The population of tables, one part each."""
    over, plan = passing(pieces[0], model, **options)
    found = no_counts()
    for i, piece in enumerate(pieces):
        found = merged(found, over(Piece(f"part {i + 1}", piece)))
    return population_of(found, over, plan)
