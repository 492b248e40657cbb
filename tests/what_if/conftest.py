"""A small population with all kinds of columns, and models of different makes on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.engine import WhatIf

NUMBERS = ["income", "debt", "age", "ratio"]
KINDS = ["region", "owner", "sex"]


def people(n: int = 240) -> tuple[pd.DataFrame, Any]:
    """income and debt with decimals, whole age, ratio = debt / income, three kinds."""
    rng = np.random.default_rng(5)
    income = rng.gamma(4, 10, n).round(1) + 5
    debt = rng.gamma(2, 8, n).round(1)
    X = pd.DataFrame(
        {
            "income": income,
            "debt": debt,
            "age": rng.integers(18, 70, n),
            "ratio": debt / income,
            "region": rng.choice(["north", "south", "west"], n, p=[0.5, 0.3, 0.2]),
            "owner": rng.random(n) < 0.4,
            "sex": rng.choice(["female", "male"], n),
        },
        index=[f"P{i}" for i in range(n)],
    )
    score = income - 1.5 * debt + 6 * X["owner"] + 5 * (X["region"] == "west") + 0.2 * X["age"]
    y = (score + 4 * (X["sex"] == "male") + rng.normal(0, 8, n) > score.median()).astype(int)
    return X, y.to_numpy()


def pipeline(estimator: Any, X: pd.DataFrame, y: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), KINDS),
        ],
        sparse_threshold=0,
    )
    return make_pipeline(columns, estimator).fit(X, y)


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=5000),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=40, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "forest": lambda: RandomForestClassifier(40, min_samples_leaf=4, random_state=0, n_jobs=1),
    "network": lambda: MLPClassifier((6,), max_iter=3000, random_state=0),
}


@cache
def fitted(name: str) -> Any:
    X, y = people()
    return pipeline(ESTIMATORS[name](), X, y)


@cache
def prepared(name: str) -> WhatIf:
    """An engine with bounds, a one-way feature, an immutable one, a computed one and a protected."""
    X, _ = people()
    return WhatIf.of(
        fitted(name),
        X,
        constraints=[
            Constraint("income", low=5, high=120, unit="k$", step=0.5),
            Constraint("age", direction="up", unit="years"),
            Constraint("region", immutable=True),
            Constraint("ratio", high=3.0),
        ],
        derived={"ratio": "debt / income"},
        labels={"income": "Income", "debt": "Debt", "age": "Age", "ratio": "Debt to income"},
        protected=["sex"],
        outcome="approval",
    )


@pytest.fixture(params=ESTIMATORS)
def engine(request: pytest.FixtureRequest) -> WhatIf:
    return prepared(str(request.param))


@pytest.fixture
def boosting() -> WhatIf:
    return prepared("boosting")
