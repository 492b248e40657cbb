"""Monotonicity: planted violations are counted and named; directions are detected."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.monotonicity import Monotonicity, monotonicity
from hitl_audit.intervals import Count, clopper_pearson

FloatArray = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "income": rng.integers(0, 10, n).astype(float),
            "debt": rng.uniform(0, 1, n),
            "owner": rng.random(n) < 0.5,
            "grade": pd.Categorical(rng.choice(["a", "b", "c"], n), ["a", "b", "c"], ordered=True),
            "job": rng.choice(["x", "y"], n),
        },
        index=[f"P{i}" for i in range(n)],
    )


def planted(frame: pd.DataFrame) -> FloatArray:
    """Rises with income, but for owners dips by 3 at an income of 7; falls with debt."""
    dip = 3.0 * (frame["income"] == 7) * frame["owner"]
    grade = frame["grade"].cat.codes * 1.0
    return np.asarray(frame["income"] - dip - frame["debt"] + grade, dtype=np.float64)


@pytest.fixture(scope="module")
def found(people: pd.DataFrame) -> Monotonicity:
    directions: dict[str, Any] = {
        "income": "increasing",
        "debt": "increasing",
        "owner": "detect",
        "grade": "detect",
    }
    return monotonicity(planted, people, directions, scale="value")


def test_rows_that_violate_are_counted(found: Monotonicity, people: pd.DataFrame) -> None:
    line = found.frame().set_index("feature").loc["income"]
    owners = int(people["owner"].sum())
    assert line["violating"] == owners
    assert line["share"] == owners / 200
    assert (line["low"], line["high"]) == clopper_pearson(Count(owners, 200))
    assert line["interval"] == "Clopper-Pearson"
    assert line["found"] == "neither"


def test_the_worst_violation_is_named(found: Monotonicity, people: pd.DataFrame) -> None:
    line = found.frame().set_index("feature").loc["income"]
    assert people.loc[line["case"], "owner"]
    assert (line["from_value"], line["to_value"]) == (6, 7)
    assert line["moved"] == pytest.approx(2)
    row = people[people.index == line["case"]]
    assert line["from_output"] == planted(row.assign(income=6.0))[0]
    assert line["to_output"] == planted(row.assign(income=7.0))[0]
    assert f"worst in case {line['case']}, from " in found.words[0]
    assert "the value falls as it increases in" in found.words[0]


def test_a_wrong_declaration_violates_in_every_row(found: Monotonicity) -> None:
    line = found.frame().set_index("feature").loc["debt"]
    assert line["violating"] == 200
    assert (line["direction"], line["found"]) == ("increasing", "decreasing")


def test_detection(found: Monotonicity, people: pd.DataFrame) -> None:
    lines = found.frame().set_index("feature")
    assert lines.loc["grade", "found"] == "increasing"
    assert lines.loc["grade", "violating"] == 0
    assert lines.loc["grade", "high"] == pytest.approx(0.0183, abs=1e-4)  # 1 − .025^(1/200)
    assert (
        "grade: increasing in every row; against it 0 of 200 rows (0.0%, 0.0% to 1.8%)."
        in found.words
    )
    # Becoming an owner lowers the output of those with an income of 7, and changes no other.
    assert lines.loc["owner", "found"] == "decreasing"
    none = monotonicity(lambda f: np.zeros(len(f)), people, ["income"], scale="value")
    assert none.frame()["found"].tolist() == ["no change"]
    assert none.words == ("income: alone it never changes the value.",)


def test_a_fall_over_many_small_steps_is_one_violation(people: pd.DataFrame) -> None:
    def curve(frame: pd.DataFrame) -> FloatArray:
        return np.asarray(-0.04 * frame["income"])

    line = (
        monotonicity(curve, people, {"income": "increasing"}, scale="value", tolerance=0.1)
        .frame()
        .iloc[0]
    )
    assert line["violating"] == 200
    assert (line["from_value"], line["to_value"]) == (0, 9)


def test_a_constrained_model_keeps_its_direction(people: pd.DataFrame) -> None:
    X = people[["income", "debt"]].copy()
    X.loc[X.index[:20], "debt"] = np.nan
    y = (X["income"] + np.random.default_rng(1).normal(0, 3, 200) > 5).astype(int)
    free = HistGradientBoostingClassifier(max_iter=30, min_samples_leaf=3).fit(X, y)
    held = HistGradientBoostingClassifier(
        max_iter=30, min_samples_leaf=3, monotonic_cst={"income": 1}
    ).fit(X, y)
    for model, clean in ((free, False), (held, True)):
        table = monotonicity(model, X, {"income": "increasing", "debt": "detect"})
        assert bool(table.frame()["violating"][0] == 0) == clean
        assert table.frame()["n"].tolist() == [200, 180]
    assert "20 rows without debt are left out for it" in table.notes


def test_views(found: Monotonicity) -> None:
    chart = found.chart()
    assert chart.percent
    assert "2 of 4 features" in chart.message
    assert type(found.plot()).__module__.startswith("plotly")
    assert "Clopper" not in repr(found)
    assert "between them the output may do otherwise" in found._repr_html_()


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({"income": "up"}, 'directions: income is "up"; accepted: increasing, decreasing, detect'),
        ({"incom": "detect"}, 'directions: feature is .*did you mean "income"'),
        (["job"], "directions: job has no order"),
        ([], "directions is empty"),
    ],
)
def test_bad_directions_are_named(people: pd.DataFrame, directions: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        monotonicity(planted, people, directions, scale="value")
    with pytest.raises(InputError, match="tolerance is -1"):
        monotonicity(planted, people, ["income"], scale="value", tolerance=-1)
