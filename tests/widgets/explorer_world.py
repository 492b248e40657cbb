"""Explanations to explore, made at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.canonical import digest_bytes
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.widgets.explored import Explored, Labels

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
FEATURES = ("income", "region", "owner", HOSTILE)


def explained(n: int = 200, **changes: Any) -> Explored:
    rng = np.random.default_rng(4)
    X = pd.DataFrame(
        {
            "income": rng.lognormal(3.5, 0.5, n),
            "region": rng.choice(["north", "south", HOSTILE], n).astype(object),
            "owner": rng.choice([0, 1], n),
            HOSTILE: rng.normal(size=n),
        },
        index=[f"C{i:04d}" for i in range(n)],
    )
    X.loc[X.index[3], "income"] = np.nan
    values = np.c_[
        np.nan_to_num(np.tanh((X["income"] - 35) / 30) * 0.2, nan=0.011),
        X["region"].map({"north": 0.05, "south": -0.04}).fillna(0.0),
        X["owner"] * 0.03 - 0.015,
        0.001 * X[HOSTILE],
    ]
    score = 0.6 + values.sum(axis=1)
    explanation = Explanation(
        values=values,
        base_values=np.full(n, 0.6),
        data=X,
        method="shap",
        algorithm="tree-interventional",
        exact=True,
        scale="probability",
        output=1,
        predictions=score,
        background_digest=digest_bytes(b""),
        background_size=100,
        random_state=0,
        seconds=1.0,
        notes=("a note",),
    )
    given: dict[str, Any] = {
        "explanation": explanation,
        "labels": Labels(
            {"income": "Income (k$)"},
            ("Approve", "Deny"),
            (("Money", ("income",)), ("Other", ("region", "owner", HOSTILE))),
        ),
        "groups": pd.DataFrame(
            {"Sex": np.where(np.arange(n) % 3 == 0, "f", "m"), "Rare": [HOSTILE] * 5 + ["x"] * (n - 5)},
            index=X.index,
        ),
        "decided": score >= 0.5,
        "recorded": (score >= 0.55).astype(int),
        "threshold": 0.5,
        "confidence": 0.95,
        "min_group": 30,
        "quality": pd.DataFrame(
            {"reliable": [True, False], "reason": ["two methods agree", f"they differ {HOSTILE}"]},
            index=["C0000", "C0001"],
        ),
    }  # fmt: skip
    return Explored(**(given | changes))
