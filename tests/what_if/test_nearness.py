"""Distances, "no one like this", and the nearest counterpart, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.what_if.counterparts import nearest_counterpart
from hitl_audit.what_if.distance import Measure
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.population import Population
from tests.what_if.conftest import NUMBERS, fitted, people, pipeline, prepared


def by_hand(a: pd.Series, b: pd.Series, spread: dict[str, float]) -> float:
    total = 0.0
    for name in a.index:
        if name in spread and spread[name] > 0:
            if pd.isna(a[name]) or pd.isna(b[name]):
                total += float(pd.isna(a[name]) != pd.isna(b[name]))
            else:
                total += abs(a[name] - b[name]) / spread[name]
        else:
            total += float(a[name] != b[name] and not (pd.isna(a[name]) and pd.isna(b[name])))
    return total


def test_the_distance_is_what_it_says() -> None:
    X, _ = people(40)
    X.loc[["P1", "P5"], "income"] = np.nan
    X["constant"] = [3.0] * 39 + [np.nan]
    population = Population.of(X, X)
    measure = Measure(population.spread(robust=False))
    spread = {name: float(X[name].std()) for name in NUMBERS}
    for k in (0, 1, 39):
        found = measure(population.codes, population.codes[k])
        expected = [by_hand(X.iloc[i], X.iloc[k], spread) for i in range(40)]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        np.testing.assert_allclose(
            measure.parts(population.codes, population.codes[k]).sum(axis=1), found
        )


def test_robust_spread_falls_back_where_most_values_are_equal() -> None:
    X = pd.DataFrame(
        {"mostly zero": [0.0] * 9 + [50.0], "normal": np.arange(10.0), "same": [1.0] * 10}
    )
    spread = Population.of(X, X).spread(robust=True)
    assert spread[0] == pytest.approx(float(X["mostly zero"].std()))
    assert spread[1] == pytest.approx(1.482602218505602 * 2.5)
    assert spread[2] == 0


def test_someone_real_is_like_others_and_not_like_themselves(boosting: WhatIf) -> None:
    look = boosting.answer(boosting.start("P4")).distance
    assert look.nearest_case != "P4"
    assert look.people == 239
    X, _ = people()
    spread = {name: float(X[name].std()) for name in NUMBERS}
    names = [c for c in X.index if c != "P4"]
    others = [by_hand(X.loc[c], X.loc["P4"], spread) for c in names]  # type: ignore[arg-type]
    assert look.nearest == pytest.approx(min(others))
    assert look.nearest_case == names[int(np.argmin(others))]
    assert look.radius is not None
    assert look.within == sum(apart <= look.radius for apart in others)


def test_most_people_are_like_others(boosting: WhatIf) -> None:
    likeness = [boosting.answer(boosting.start_at(k)).distance.likeness for k in range(240)]
    assert likeness.count("no one like this") <= 0.03 * 240
    assert likeness.count("like others") >= 0.92 * 240


def test_no_one_like_this_in_the_data() -> None:
    X, _ = people()
    engine = WhatIf.of(fitted("boosting"), X)
    history = engine.edit(engine.edit(engine.start("P2"), "income", 150.0), "debt", 60.0)
    look = engine.answer(history).distance
    assert look.likeness == "no one like this"
    if not look.outside:
        assert look.within == 0
        assert look.words.startswith("No one like this in the data: 0 of 239 people differ by less")
    beyond = engine.answer(engine.edit(history, "income", 9999)).distance
    assert beyond.outside == ("income",)
    assert beyond.words == (
        "No one like this in the data: income 9,999.0 is above everybody's "
        f"(highest: {engine.words('income', float(X['income'].max()))})."
    )


def test_the_warning_counts_people() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
    X["b"] = X["a"] + 0.01 * X["b"]  # they go together: no one has one without the other
    engine = WhatIf.of(lambda rows: np.full(len(rows), 0.5), X)
    place = int(np.argmin(X["a"].abs()))
    look = engine.answer(engine.edit(engine.start_at(place), "b", 2.0)).distance
    assert look.outside == ()
    assert look.words.startswith(
        "No one like this in the data: 0 of 399 people differ by less than"
    )
    assert "99% of people have somebody that near" in look.words


def test_the_nearest_counterpart_by_brute_force(engine: WhatIf) -> None:
    X, _ = people()
    spread = {name: float(X[name].std()) for name in NUMBERS}
    favorable = engine.scores >= 0.5
    for place in (0, 11, 57):
        found = nearest_counterpart(engine, engine.start_at(place))
        others = np.flatnonzero(favorable != favorable[place])
        apart = [by_hand(X.iloc[i], X.iloc[place], spread) for i in others]
        assert found.distance == pytest.approx(min(apart))
        assert found.case == X.index[others[int(np.argmin(apart))]]
        assert found.people == len(others)
        assert found.favorable != favorable[place]
        assert sum(d.part for d in found.differences) == pytest.approx(found.distance)
        assert [d.part for d in found.differences] == sorted(
            (d.part for d in found.differences), reverse=True
        )


def test_nobody_with_the_other_decision() -> None:
    X, _ = people()
    engine = WhatIf.of(lambda rows: np.full(len(rows), 0.9), X)
    found = nearest_counterpart(engine, engine.start("P1"))
    assert found.case is None
    assert found.words == (
        "Nobody in the data gets the other decision: all 240 people looked at are favorable."
    )


def test_no_decisions_no_counterparts() -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    X, y = people()
    model: Any = pipeline(GradientBoostingRegressor(n_estimators=3), X, y * 2.0)
    engine = WhatIf.of(model, X)
    with pytest.raises(InputError, match="mean no decision"):
        nearest_counterpart(engine, engine.start("P1"))


def test_an_edited_case_has_another_counterpart() -> None:
    engine = prepared("boosting")
    low = next(k for k in range(240) if engine.scores[k] < 0.3)
    history = engine.edit(engine.edit(engine.start_at(low), "debt", 0), "income", 119)
    assert engine.scored(history) > 0.5
    assert nearest_counterpart(engine, history).favorable is False
    assert nearest_counterpart(engine, engine.start_at(low)).favorable is True
