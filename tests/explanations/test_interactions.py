"""SHAP interaction values: against closed forms, the definition, and the attributions they refine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from hitl_audit.errors import InputError
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.model_output import resolve_output
from hitl_audit.explanations.shapley.interactions import InteractionValues, interaction_values

BITS = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})
FloatArray = npt.NDArray[np.float64]


def of(model: object, X: pd.DataFrame, background: pd.DataFrame) -> InteractionValues:
    output = resolve_output(model, output=None, scale="value", as_array=False)
    return interaction_values(X, output=output, background=background)


def test_and_and_xor_of_two_fair_bits() -> None:
    both = of(lambda X: (X["a"] & X["b"]).to_numpy(), BITS.iloc[[3]], BITS)
    # worths: 1/4, 1/2, 1/2, 1; ∇ = 1 - 1/2 - 1/2 + 1/4 = 1/4, halved between the two entries
    np.testing.assert_allclose(both.values[0], [[1 / 4, 1 / 8], [1 / 8, 1 / 4]])
    assert both.frame().to_numpy().tolist() == [["a", "b", 1 / 4]]
    either = of(lambda X: (X["a"] ^ X["b"]).to_numpy(), BITS.iloc[[3]], BITS)
    # worths: 1/2, 1/2, 1/2, 0; ∇ = -1/2
    np.testing.assert_allclose(either.values[0], [[0, -1 / 4], [-1 / 4, 0]], atol=1e-15)
    assert either.base[0] == 0.5


def test_rows_sum_to_the_attributions_and_pairs_to_their_definition() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 5)), columns=list("abcde"))
    forest = RandomForestRegressor(10, max_depth=4, random_state=0)
    forest.fit(X, X["a"] * X["b"] + X["c"])
    rows, background = X.iloc[:4], X.iloc[50:80]
    found = of(forest, rows, background)
    explained = explain(forest, rows, background=background, scale="value")
    np.testing.assert_allclose(found.values.sum(axis=2), explained.values, atol=1e-10)
    np.testing.assert_allclose(found.values, found.values.transpose(0, 2, 1), atol=0)
    np.testing.assert_allclose(found.base, explained.base_values, atol=1e-10)
    # The other definition: what j gets with i known, less what it gets with i unknown, halved.
    row, behind = rows.iloc[1].to_numpy(), background.to_numpy()

    def worth(team: frozenset[int]) -> float:
        mixed = np.where([j in team for j in range(5)], row, behind)
        return float(forest.predict(pd.DataFrame(mixed, columns=X.columns)).mean())

    def share(j: int, known: frozenset[int], others: list[int]) -> float:
        total = 0.0
        for order in itertools.permutations([j, *others]):
            team = known | frozenset(order[: order.index(j)])
            total += value[team | {j}] - value[team]
        return total / math.factorial(len(others) + 1)

    teams = [frozenset(t) for k in range(6) for t in itertools.combinations(range(5), k)]
    value = {team: worth(team) for team in teams}
    for i, j in itertools.permutations(range(5), 2):
        others = [k for k in range(5) if k not in (i, j)]
        expected = (share(j, frozenset({i}), others) - share(j, frozenset(), others)) / 2
        assert found.values[1, i, j] == pytest.approx(expected, abs=1e-12)
    frame = found.frame()
    assert len(frame) == 10
    assert frame["mean_absolute"].is_monotonic_decreasing


def test_one_feature_and_too_many() -> None:
    X = pd.DataFrame({"a": [1.0, 2, 4]})
    one = of(lambda Z: Z["a"].to_numpy() ** 2, X, X)
    np.testing.assert_allclose(one.values[:, 0, 0], X["a"] ** 2 - 7)
    wide = pd.DataFrame(np.zeros((2, 11)), columns=list("abcdefghijk"))
    with pytest.raises(InputError, match=r"X has 11 columns.*expected at most 10"):
        of(lambda Z: Z["a"].to_numpy(), wide, wide)
    with pytest.raises(InputError, match="background has other columns than X"):
        of(lambda Z: Z["a"].to_numpy(), X, BITS)
