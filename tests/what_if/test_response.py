"""Response curves against asking the model, and against partial dependence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.explanations.views.dependence import partial_dependence
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.response import response_curve
from tests.what_if.conftest import fitted, people


@pytest.fixture(scope="module")
def plain() -> WhatIf:
    X, _ = people(180)
    return WhatIf.of(fitted("forest"), X)


@pytest.mark.parametrize("feature", ["income", "age", "region", "owner"])
def test_the_average_is_partial_dependence(plain: WhatIf, feature: str) -> None:
    X, _ = people(180)
    curve = response_curve(plain, plain.start("P0"), feature)
    values = [p.value for p in curve.points]
    truth = partial_dependence(fitted("forest"), X, feature, grid=values)
    frame = truth.frame()
    averages = np.array([p.average for p in curve.points], dtype=float)
    np.testing.assert_allclose(averages, frame["average"], atol=1e-12)
    assert [p.n_near for p in curve.points] == frame["n_near"].tolist()
    assert curve.people == len(X)
    assert truth.individual is not None
    own = truth.individual.loc["P0"].to_numpy()
    found = np.array([p.prediction for p in curve.points], dtype=float)
    np.testing.assert_allclose(found, own, atol=1e-12)


def test_the_interval_is_that_of_a_mean(plain: WhatIf) -> None:
    from scipy.stats import t

    X, _ = people(180)
    point = response_curve(plain, plain.start("P0"), "owner").points[1]
    scores = fitted("forest").predict_proba(X.assign(owner=True))[:, 1]
    low, high = t.interval(0.95, len(X) - 1, scores.mean(), scores.std(ddof=1) / np.sqrt(len(X)))
    assert point.low == pytest.approx(low)
    assert point.high == pytest.approx(high)


def test_computed_columns_move_with_it(boosting: WhatIf) -> None:
    X, _ = people()
    history = boosting.edit(boosting.start("P8"), "age", 69)
    curve = response_curve(boosting, history, "debt")
    row = X.loc[["P8"]].assign(age=69)
    for point in curve.points[::6]:
        moved = row.assign(debt=point.value)
        moved["ratio"] = moved["debt"] / moved["income"]
        truth = fitted("boosting").predict_proba(moved)[0, 1]
        assert point.prediction == pytest.approx(truth, abs=1e-12)
    assert curve.value == curve.start_value
    assert curve.prediction == pytest.approx(boosting.scored(history), abs=1e-12)


def test_where_the_case_is_and_was(boosting: WhatIf) -> None:
    start = boosting.start("P8")
    history = boosting.edit(start, "income", 77)
    curve = response_curve(boosting, history, "income")
    assert (curve.start_value, curve.value) == (start.values["income"], 77)
    assert curve.prediction == pytest.approx(boosting.scored(history), abs=1e-12)
    assert curve.start_prediction == pytest.approx(boosting.scored(start), abs=1e-12)
    assert boosting.controls["income"].slider == (curve.points[0].value, curve.points[-1].value)


def test_missing_is_a_point_of_its_own() -> None:
    X, _ = people()
    X.loc[X.index[:30], "income"] = np.nan
    engine = WhatIf.of(fitted("boosting"), X)
    curve = response_curve(engine, engine.start("P99"), "income")
    assert curve.points[-1].value is None
    assert curve.points[-1].words == "missing"
    assert curve.points[-1].n_near == 30
    assert sum(p.n_near for p in curve.points) == len(X)
    truth = fitted("boosting").predict_proba(X.loc[["P99"]].assign(income=np.nan))[0, 1]
    assert curve.points[-1].prediction == pytest.approx(truth, abs=1e-12)


def test_points_where_nobody_is_are_counted() -> None:
    X = pd.DataFrame({"a": [0.0] * 40 + [100.0] * 40, "b": np.linspace(0.25, 1, 80)})
    X.loc[0, "a"] = 0.125  # more than two values, so that points lie between
    X["a"] += np.linspace(0, 0.003, 80)
    engine = WhatIf.of(lambda rows: 1 / (1 + np.exp(-rows["a"].to_numpy())), X)
    curve = response_curve(engine, engine.start_at(0), "a")
    assert any("have nobody near them" in note for note in curve.notes)


def test_charts_and_frames(boosting: WhatIf) -> None:
    numbers = response_curve(boosting, boosting.start("P8"), "income")
    assert [s.name for s in numbers.chart().series] == ["average of 200 people", "this case"]
    assert numbers.chart().thresholds == ((0.5, "threshold"),)
    kinds = response_curve(boosting, boosting.start("P8"), "sex")
    assert kinds.chart().series[1].x == ("female", "male")
    assert len(kinds.frame()) == 2
    assert kinds.plot().data


def test_a_feature_without_effect() -> None:
    X = pd.DataFrame({"a": np.linspace(0, 1, 60), "b": np.linspace(1, 2.5, 60)})
    engine = WhatIf.of(lambda rows: rows["a"].to_numpy(), X)
    words = response_curve(engine, engine.start_at(5), "b").words
    assert words.startswith("b alone does not change this case's prediction")


@pytest.mark.parametrize(
    ("feature", "words"),
    [("ratio", "cannot be moved: it is computed"), ("incme", 'did you mean "income"')],
)
def test_what_cannot_be_moved(boosting: WhatIf, feature: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        response_curve(boosting, boosting.start("P8"), feature)


def test_a_feature_without_values() -> None:
    X = pd.DataFrame({"a": np.linspace(0, 1, 60), "empty": [np.nan] * 60})
    engine = WhatIf.of(lambda rows: rows["a"].to_numpy(), X)
    with pytest.raises(InputError, match="empty has no value in the data"):
        response_curve(engine, engine.start_at(5), "empty")
