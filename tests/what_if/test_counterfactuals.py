"""Counterfactuals: they flip the original model, keep every constraint, and end in time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.counterfactuals import CounterfactualSet, find_counterfactuals
from hitl_audit.what_if.edits import EditHistory
from hitl_audit.what_if.engine import WhatIf
from tests.what_if.conftest import fitted, people, prepared


def raw(engine: WhatIf, values: dict[str, Any]) -> pd.DataFrame:
    X, _ = people()
    return pd.DataFrame([values])[list(X.columns)].astype(X.dtypes.to_dict())


def check(
    engine: WhatIf, history: EditHistory, found: CounterfactualSet, limits: dict[str, Any]
) -> None:
    """Everything that is promised of every counterfactual."""
    start: dict[str, Any] = dict(history.start_values)
    now: dict[str, Any] = dict(history.values)
    for one in found.counterfactuals:
        values = now | {c.feature: c.after for c in (*one.changes, *one.follows)}
        p = engine.predictor.output.model.predict_proba(raw(engine, values))[0, 1]
        assert abs(p - one.prediction) <= 1e-12
        assert (p >= 0.5) == one.favorable
        assert one.favorable != found.favorable
        assert 1 <= len(one.changes) <= 5
        names = [c.feature for c in one.changes]
        assert not set(names) & {"region", "sex", "ratio", *limits["frozen"]}
        assert 5 <= values["income"] <= 120
        assert values["age"] == now["age"] or values["age"] >= start["age"]
        assert isinstance(values["age"], int)
        assert values["ratio"] <= 3.0 or values["ratio"] == now["ratio"]
        if {"debt", "income"} & set(names):
            assert values["ratio"] == pytest.approx(values["debt"] / values["income"])
        else:
            assert values["ratio"] == now["ratio"]
        for change in one.changes:
            assert change.before == now[change.feature] != change.after
            assert engine.controls[change.feature].allows(change.after, start[change.feature])
        applied = history.apply(
            engine.edit_of(
                history, {c.feature: c.after for c in one.changes}, kind="counterfactual"
            )
        )
        assert applied.values == values


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["logistic", "boosting", "histogram", "forest"]),
    place=st.integers(0, 239),
    frozen=st.sets(st.sampled_from(["income", "debt", "owner", "age"]), max_size=2),
    edit=st.one_of(st.none(), st.tuples(st.just("debt"), st.floats(0, 30))),
)
def test_every_promise_is_kept(name: str, place: int, frozen: set[str], edit: Any) -> None:
    engine = prepared(name)
    history = engine.start_at(place)
    if edit is not None:
        try:
            history = engine.edit(history, *edit)
        except InputError:
            history = engine.start_at(place)
    found = find_counterfactuals(engine, history, frozen=sorted(frozen), seconds=30)
    check(engine, history, found, {"frozen": frozen})
    assert found.complete


@pytest.mark.parametrize("name", ["logistic", "boosting", "forest", "network"])
def test_nearly_everybody_has_a_way(name: str) -> None:
    engine = prepared(name)
    found = [
        find_counterfactuals(engine, engine.start_at(k), seconds=60) for k in range(0, 240, 20)
    ]
    assert sum(bool(f.counterfactuals) for f in found) >= 11


def test_as_small_as_an_exhaustive_search_of_single_and_double_changes() -> None:
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.integers(0, 6, size=(200, 3)), columns=["a", "b", "c"])
    X["kind"] = rng.choice(["u", "v", "w"], 200)

    def model(rows: pd.DataFrame) -> Any:
        score = rows["a"] + 2 * rows["b"] - rows["c"] + 3 * (rows["kind"] == "w") - 8.5
        return (1 / (1 + np.exp(-score))).to_numpy()

    engine = WhatIf.of(model, X)
    spread = dict(zip(X.columns, engine.population.spread(robust=True), strict=True))
    for place in range(0, 40, 8):
        found = find_counterfactuals(engine, engine.start_at(place), seconds=60)
        case = X.iloc[place]
        favorable = engine.scores[place] >= 0.5
        options = {c: sorted(X[c].unique()) for c in X.columns}
        best = np.inf
        for pair in itertools.combinations(X.columns, 2):
            for values in itertools.product(*(options[c] for c in pair)):
                row = case.copy()
                row[list(pair)] = values
                if (model(row.to_frame().T.infer_objects())[0] >= 0.5) != favorable:
                    cost = sum(
                        1 + (abs(row[c] - case[c]) / spread[c] if spread[c] else 1)
                        for c in pair
                        if row[c] != case[c]
                    )
                    best = min(best, cost)
        assert found.smallest is not None
        assert found.smallest.cost == pytest.approx(best)


def test_no_change_can_be_left_out() -> None:
    engine = prepared("forest")
    for place in range(0, 120, 10):
        history = engine.start_at(place)
        for one in find_counterfactuals(engine, history, seconds=60).counterfactuals:
            for kept in itertools.combinations(one.changes, len(one.changes) - 1):
                less = engine.edit_of(history, {c.feature: c.after for c in kept}, bounds=False)
                favorable = (
                    engine.scored(history.apply(less)) >= 0.5 if less.changes else not one.favorable
                )
                assert favorable != one.favorable


def test_they_are_different_and_the_smallest_is_first() -> None:
    engine = prepared("boosting")
    for place in range(0, 240, 30):
        found = find_counterfactuals(engine, engine.start_at(place), seconds=60).counterfactuals
        sets = [frozenset(c.feature for c in one.changes) for one in found]
        assert len(set(sets)) == len(sets)
        assert all(found[0].cost <= one.cost for one in found)


def test_the_same_seed_the_same_answer() -> None:
    engine = prepared("forest")
    clock = Clock()
    first = find_counterfactuals(engine, engine.start("P3"), seconds=9, clock=clock)
    assert first == find_counterfactuals(engine, engine.start("P3"), seconds=9, clock=clock)
    assert canonical_bytes(first)
    assert set(first.frame()["counterfactual"]) == set(range(1, len(first.counterfactuals) + 1))


def test_nothing_may_change() -> None:
    X, _ = people()
    locked = [Constraint(c, immutable=True) for c in X.columns]
    engine = WhatIf.of(fitted("boosting"), X, constraints=locked)
    found = find_counterfactuals(engine, engine.start("P3"))
    assert found.counterfactuals == ()
    assert found.smallest is None
    assert found.words.startswith("No allowed change of up to 5 features was found")
    assert found.frozen == tuple(X.columns)


def test_one_change_at_most() -> None:
    engine = prepared("boosting")
    found = find_counterfactuals(engine, engine.start("P3"), most_changes=1, wanted=2)
    assert len(found.counterfactuals) <= 2
    assert all(len(one.changes) == 1 for one in found.counterfactuals)


class Clock:
    """A clock that only the model moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def slow(clock: Clock, per_call: float, per_row: float) -> Callable[[pd.DataFrame], Any]:
    def model(rows: pd.DataFrame) -> Any:
        clock.now += per_call + per_row * len(rows)
        return (1 / (1 + np.exp(-(rows["income"] - 2 * rows["debt"]) / 20))).to_numpy()

    return model


@settings(max_examples=25, deadline=None)
@given(
    per_call=st.floats(0.0, 0.5),
    per_row=st.floats(0.0, 0.05),
    seconds=st.floats(0.6, 20.0),
    place=st.integers(0, 99),
)
def test_the_time_limit_holds_for_slow_models(
    per_call: float, per_row: float, seconds: float, place: int
) -> None:
    clock = Clock()
    X, _ = people(100)
    engine = WhatIf.of(slow(clock, per_call, per_row), X)
    before = clock()
    found = find_counterfactuals(engine, engine.start_at(place), seconds=seconds, clock=clock)
    assert clock() - before <= seconds
    assert found.seconds <= seconds
    for one in found.counterfactuals:
        assert one.favorable != found.favorable


def test_the_time_limit_holds_where_only_the_model_itself_is_slow() -> None:
    clock = Clock()
    X, _ = people()
    inner = fitted("boosting")

    class Slow(type(inner)):  # type: ignore[misc]
        def predict_proba(self, X: Any) -> Any:
            clock.now += 0.4 + 0.01 * len(X)
            return super().predict_proba(X)

    engine = WhatIf.of(Slow(inner.steps), X)
    assert engine.predictor.path == "trees"
    for seconds in (0.5, 1.5, 10):
        before = clock()
        found = find_counterfactuals(engine, engine.start("P3"), seconds=seconds, clock=clock)
        assert clock() - before <= max(seconds, 0.42 * 2)
        if seconds > 1:
            assert found.counterfactuals


def test_a_limit_that_ends_the_search_is_said() -> None:
    clock = Clock()
    X, _ = people(100)
    engine = WhatIf.of(slow(clock, 0.1, 0.01), X)
    found = find_counterfactuals(engine, engine.start("P3"), seconds=1.0, clock=clock)
    assert not found.complete
    assert "the time limit of 1 s ended the search" in found.words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"wanted": 0}, "wanted is 0"),
        ({"most_changes": True}, "most_changes is True"),
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"frozen": ["incme"]}, 'did you mean "income"'),
    ],
)
def test_arguments_that_cannot_be_used(
    boosting: WhatIf, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        find_counterfactuals(boosting, boosting.start("P3"), **arguments)
