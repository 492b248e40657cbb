"""Expectation first, violations as checks, and the checks on all the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.explanations.views.monotonicity import monotonicity
from hitl_audit.intervals import Count, clopper_pearson
from hitl_audit.what_if.checks import run_checks
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.expectations import (
    ExpectationResult,
    ModelCheck,
    checks_from,
    expect,
    settle,
)
from tests.what_if.conftest import fitted, people


def model(rows: pd.DataFrame) -> Any:
    """Rises with a up to 5 and falls behind it; kind matters, hue does not."""
    a = rows["a"].to_numpy(dtype=float)
    score = np.where(a <= 5, a / 10, 1.0 - a / 10) + 0.2 * (rows["kind"] == "v").to_numpy()
    return score * 0.8


def population() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": rng.uniform(0, 10, 80).round(1),
            "kind": rng.choice(["u", "v"], 80),
            "hue": rng.choice(["red", "blue"], 80),
        },
        index=[f"P{i}" for i in range(80)],
    )


@pytest.fixture
def engine() -> WhatIf:
    return WhatIf.of(model, population(), outcome="approval")


def settled(
    engine: WhatIf, case: str, feature: str, to: Any, expected: str, **more: Any
) -> ExpectationResult:
    history = engine.start(case)
    said = expect(engine, history, feature, to, expected, **more)
    return settle(engine, said, engine.edit(history, feature, to))


def low_case(engine: WhatIf) -> str:
    X = population()
    return str(X.index[(X["a"] < 4) & (X["kind"] == "u")][0])


@pytest.mark.parametrize(
    ("feature", "to", "expected", "outcome"),
    [
        ("a", 4.9, "up", "met"),
        ("a", 9.9, "up", "violated"),
        ("a", 4.9, "down", "violated"),
        ("kind", "v", "up", "met"),
        ("kind", "v", "down", "violated"),
        ("kind", "v", "same", "violated"),
        ("hue", None, "same", "met"),
        ("hue", None, "up", "did not move"),
    ],
)
def test_outcomes(engine: WhatIf, feature: str, to: Any, expected: str, outcome: str) -> None:
    X = population()
    place = (X["a"] > 3) & (X["a"] < 4.5) & (X["kind"] == "u")
    case = str(X.index[place][0])
    if feature == "hue":
        to = "red" if X.loc[case, "hue"] == "blue" else "blue"
    found = settled(engine, case, feature, to, expected)
    assert found.outcome == outcome
    assert found.change == pytest.approx(found.prediction_after - found.prediction_before)
    assert found.evidence == "exploratory"
    assert canonical_bytes(found)


def test_words(engine: WhatIf) -> None:
    found = settled(engine, low_case(engine), "kind", "v", "down")
    assert found.words.startswith("You expected it to go down: it went up, from ")
    assert found.words.endswith(" chance of approval.")


def test_the_same_within_a_tolerance(engine: WhatIf) -> None:
    case = low_case(engine)
    assert settled(engine, case, "kind", "v", "same", tolerance=0.2).outcome == "met"
    assert settled(engine, case, "kind", "v", "same", tolerance=0.1).outcome == "violated"


def test_an_expectation_after_the_edit_is_none(engine: WhatIf) -> None:
    history = engine.start(low_case(engine))
    said = expect(engine, history, "kind", "v", "up")
    edited = engine.edit(history, "kind", "v")
    later = engine.edit(edited, "a", 9)
    for wrong in (history, later, engine.edit(history, "a", 9), edited.undo()):
        with pytest.raises(InputError, match="expected a history whose next edit after it"):
            settle(engine, said, wrong)


@pytest.mark.parametrize(
    ("feature", "to", "expected", "tolerance", "words"),
    [
        ("a", 9, "upp", 0.1, 'accepted: up, down, same; did you mean "up"'),
        ("a", 9, "same", -1, "tolerance is -1"),
        ("kind", "w", "up", 0.1, 'kind is never "w"'),
        ("kind", "u", "up", 0.1, "kind would stay as it is"),
    ],
)
def test_expectations_that_cannot_be(
    engine: WhatIf, feature: str, to: Any, expected: str, tolerance: float, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        expect(engine, engine.start(low_case(engine)), feature, to, expected, tolerance=tolerance)


def test_only_violations_become_checks_each_once(engine: WhatIf) -> None:
    X = population()
    cases = [str(c) for c in X.index[(X["a"] < 4) & (X["kind"] == "u")][:2]]
    results = [settled(engine, case, "a", 9.9, "up") for case in cases]
    results += [
        settled(engine, cases[0], "a", 4.9, "up"),  # met
        settled(engine, cases[0], "kind", "v", "down"),
        settled(engine, cases[0], "kind", "v", "same", tolerance=0.05),
        settled(engine, cases[1], "kind", "v", "same", tolerance=0.01),
    ]
    found = checks_from(engine, results)
    violated = tuple(c for c, r in zip(cases, results[:2], strict=True) if r.outcome == "violated")
    assert violated
    assert found == (
        ModelCheck("monotonicity", "a", "increasing", (), 1e-9, violated),
        ModelCheck("direction", "kind", "decreasing", ("u", "v"), 1e-9, (cases[0],)),
        ModelCheck("invariance", "kind", None, (), 0.01, tuple(cases)),
    )
    assert found[0].words == "The score should not fall as a increases."
    assert found[1].words == "The score should not rise when kind goes from u to v."
    assert found[2].words == "kind should not change the score by more than 0.01."


def test_going_down_and_expecting_up_is_a_falling_direction(engine: WhatIf) -> None:
    X = population()
    case = str(X.index[(X["a"] > 1) & (X["a"] < 4)][0])
    found = checks_from(engine, [settled(engine, case, "a", 0.1, "up")])
    assert found[0].direction == "decreasing"


def test_monotonicity_on_all_data_is_that_of_the_explanations() -> None:
    X, _ = people()
    pipeline = fitted("boosting")
    check = ModelCheck("monotonicity", "income", "increasing", (), 1e-9, ("P1",))
    found = run_checks(pipeline, X, [check])[0]
    line = monotonicity(pipeline, X, {"income": "increasing"}).frame().iloc[0]
    assert (found.n, found.violating) == (line["n"], line["violating"])
    assert (found.low, found.high) == (line["low"], line["high"])
    assert found.worst_case == line["case"]
    assert found.largest == pytest.approx(line["moved"])


def test_counts_of_all_kinds_by_hand() -> None:
    X = population()
    checks = (
        ModelCheck("monotonicity", "a", "increasing", (), 1e-9, ()),
        ModelCheck("direction", "kind", "increasing", ("u", "v"), 1e-9, ()),
        ModelCheck("direction", "kind", "decreasing", ("u", "v"), 1e-9, ()),
        ModelCheck("invariance", "hue", None, (), 0.0, ()),
        ModelCheck("invariance", "kind", None, (), 0.1, ()),
    )
    found = run_checks(model, X, checks)
    assert [r.violating for r in found] == [80, 0, 80, 0, 80]
    assert [r.status for r in found] == [
        "violated", "no violation", "violated", "no violation", "violated",
    ]  # fmt: skip
    assert found[2].largest == pytest.approx(0.16)
    assert (found[1].low, found[1].high) == clopper_pearson(Count(0, 80), confidence=0.95)
    assert found[1].words.startswith(
        "The score should not fall when kind goes from u to v. 0 of 80 rows violate it (0.0%, 0.0% to "
    )
    assert canonical_bytes(found)


def test_few_rows_without_a_violation_say_little() -> None:
    found = run_checks(
        model, population().iloc[:9], [ModelCheck("invariance", "hue", None, (), 0.0, ())]
    )
    assert found[0].status == "insufficient data"


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (ModelCheck("invariance", "hye", None, (), 0.0, ()), 'did you mean "hue"'),
        (ModelCheck("monotonicity", "kind", "increasing", (), 0.0, ()), "kind is no number"),
        (ModelCheck("direction", "kind", "increasing", ("u", "z"), 0.0, ()), "kind is never 'z'"),
    ],
)
def test_checks_that_cannot_be_run(check: ModelCheck, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_checks(model, population(), [check])
