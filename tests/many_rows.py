"""An audit of more rows than memory should hold, small: for tests of backends and engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from hitl_audit.audit import Audit
from hitl_audit.evidence import Evidence
from hitl_audit.plan import AuditPlan

ROWS, SAMPLE = 6_000, 1_000
FEATURES = ["income", "debt", "job"]
PLAN: dict[str, Any] = {
    "audit": {"title": "Many rows"},
    "model": {"path": "model.skops"},
    "data": {
        "path": "rows/*.parquet",
        "target": "good",
        "id": "person",
        "sensitive": ["sex", "region"],
        "features": FEATURES,
        "reference": {"sex": "male"},
    },
    "scale": {"in_memory_rows": 1_000, "sample_rows": SAMPLE},
    "criteria": [{"metric": "selection_rate", "by": "sex", "at_least": 0.8}],
    "explain": {"methods": ["shap"], "background": 20, "stability": False, "faithfulness": False},
    "review": {"cases": 12},
}


def people_table() -> pd.DataFrame:
    """Nasty rows: missing and NaN groups, a float32 column, missing inputs, a rare group."""
    rng = np.random.default_rng(11)
    income = rng.normal(50, 15, ROWS)
    region = rng.choice(np.array(["north", "south", None]), ROWS, p=[0.6, 0.39, 0.01])
    region[:7] = "islands"
    return pd.DataFrame(
        {
            "person": [f"P{i:05d}" for i in range(ROWS)],
            "income": income,
            "debt": rng.normal(20, 8, ROWS).astype(np.float32),
            "job": rng.choice(["clerk", "nurse", "pilot"], ROWS),
            "sex": rng.choice(["female", "male"], ROWS),
            "region": region,
            "good": (income + rng.normal(0, 15, ROWS) > 50).astype(np.int64),
        }
    )


def fitted(people: pd.DataFrame) -> Any:
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    prepare = make_column_transformer((encoder, ["job"]), remainder="passthrough")
    return make_pipeline(prepare, LogisticRegression(max_iter=1_000)).fit(
        people[FEATURES][:2_000], people["good"][:2_000]
    )


def audit_folder(model: Any, people: pd.DataFrame, made: Path) -> Path:
    """An audit folder with its rows in six files: one of no rows, one of one, one of most."""
    skops.io.dump(model, made / "model.skops")
    (made / "audit.toml").write_bytes(AuditPlan.from_dict(PLAN).source)
    (made / "rows").mkdir()
    for i, (start, stop) in enumerate(pairwise((0, 1_000, 1_000, 1_200, 2_500, 2_501, ROWS))):
        people[start:stop].to_parquet(made / "rows" / f"{i}.parquet", row_group_size=700)
    return made


class Ticking:
    """Every run sees the same times."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


def run_on(rows: Any, model: Any, **options: Any) -> Evidence:
    audit = Audit(model, rows, "good", plan=AuditPlan.from_dict(PLAN), now=Ticking(), **options)
    return audit.run(progress=False).evidence
