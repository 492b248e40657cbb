"""Slices of errors: planted ones are found and confirmed, noise is not."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, fisher_exact, ttest_ind

from hitl_audit.error_slices import (
    ErrorSlices,
    branch_holds,
    error_branches,
    find_error_slices,
)
from hitl_audit.errors import InputError
from hitl_audit.intervals import Count, newcombe, wilson
from hitl_audit.slices.conditions import Condition, cells_of, described
from hitl_audit.slices.search import find_slices


def features(seed: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "obrat": rng.normal(33, 6, rows).round(1),
            "self": rng.choice(["yes", "no"], rows, p=[0.3, 0.7]),
            "term": np.where(rng.random(rows) < 0.15, np.nan, rng.integers(10, 31, rows)),
            "unit": rng.choice(["one", "two", "three"], rows),
            "cosign": rng.random(rows) < 0.4,
        }
    )


LABELS = {"obrat": "Debt ratio", "self": "Self-employed"}


@pytest.fixture(scope="module")
def planted() -> tuple[pd.DataFrame, Any, ErrorSlices]:
    X = features(0, 6000)
    hot = (X["obrat"] > 37) & (X["self"] == "yes")
    lost = X["term"].isna() & (X["unit"] == "two")
    rate = np.select([hot, lost], [0.45, 0.4], 0.08)
    errors = (np.random.default_rng(1).random(len(X)) < rate).astype(int)
    return X, errors, find_error_slices(X, errors, labels=LABELS)


def test_planted_slices_are_found_and_confirmed_in_words(
    planted: tuple[pd.DataFrame, Any, ErrorSlices],
) -> None:
    _, _, found = planted
    words = [one.words for one in found.confirmed]
    assert len(words) == 2
    assert any("Debt ratio above 3" in w and "Self-employed is yes" in w for w in words)
    assert "term is missing and unit is two" in words
    assert all(one.value and one.rest_value and one.value > one.rest_value for one in found.slices)


def test_numbers_are_those_of_the_confirmation_half(
    planted: tuple[pd.DataFrame, Any, ErrorSlices],
) -> None:
    X, errors, found = planted
    searched = np.zeros(len(X), dtype=bool)
    searched[np.random.default_rng(0).permutation(len(X))[: found.n_search]] = True
    p_values = []
    for one in found.slices:
        inside = one.holds(X)
        mine, rest = errors[inside & ~searched], errors[~inside & ~searched]
        a, b = Count(int(mine.sum()), len(mine)), Count(int(rest.sum()), len(rest))
        assert (one.n, one.errors, one.value) == (a.total, a.successes, float(mine.mean()))
        assert (one.low, one.high) == wilson(a)
        assert one.difference == pytest.approx(mine.mean() - rest.mean())
        assert (one.difference_low, one.difference_high) == newcombe(a, b)
        table = np.array([[c.successes, c.total - c.successes] for c in (a, b)])
        p_values.append(fisher_exact(table)[1])
        assert one.p_value == pytest.approx(p_values[-1])
        assert one.searched_n == (inside & searched).sum() >= found.min_size
        assert one.searched_value == pytest.approx(errors[inside & searched].mean())
    adjusted = false_discovery_control(p_values)
    assert [one.p_adjusted for one in found.slices] == pytest.approx(list(adjusted))


def test_three_conditions_are_recovered() -> None:
    X = features(3, 8000)
    hot = (X["obrat"] > 33) & (X["unit"] == "three") & X["cosign"]
    errors = (np.random.default_rng(2).random(len(X)) < np.where(hot, 0.4, 0.1)).astype(int)
    found = find_error_slices(X, errors)
    assert len(found.confirmed) == 1
    top = found.confirmed[0]
    assert {c.feature for c in top.conditions} == {"obrat", "unit", "cosign"}
    assert "cosign is yes" in top.words
    two = find_error_slices(X, errors, max_literals=2)
    assert all(len(one.conditions) <= 2 for one in two.slices)


def test_noise_is_not_confirmed() -> None:
    runs = 120
    false_alarms = 0
    for seed in range(runs):
        X = features(seed, 400)
        errors = (np.random.default_rng(1000 + seed).random(400) < 0.2).astype(int)
        false_alarms += bool(find_error_slices(X, errors, random_state=seed).confirmed)
    assert false_alarms / runs <= 0.05


def test_the_search_is_exhaustive() -> None:
    X = features(7, 300)
    rng = np.random.default_rng(4)
    errors = (rng.random(300) < np.where(X["self"] == "yes", 0.6, 0.1)).astype(float)
    everyone = np.ones(len(X), dtype=bool)
    cells = [
        cells_of(X.iloc[:, i], everyone, bins=3, min_size=15, labels={}) for i in range(X.shape[1])
    ]
    found, compared, words = find_slices(cells, errors, max_literals=3, min_size=15, max_slices=1)
    conditions = [feature.conditions for feature in cells]
    best, total = -math.inf, 0
    for depth in (1, 2, 3):
        slices = [
            combination
            for part in itertools.combinations(conditions, depth)
            for combination in itertools.product(*part)
        ]
        total += len(slices)
        for combination in slices:
            inside = everyone.copy()
            for condition in combination:
                inside &= condition.holds(X[condition.feature])
            n = int(inside.sum())
            if not 15 <= n <= len(X) - 15:
                continue
            gap = errors[inside].mean() - errors[~inside].mean()
            z = gap / math.sqrt(errors.var() * (1 / n + 1 / (len(X) - n)))
            best = max(best, (z * abs(z)) / 2 - math.log(len(slices)))
    assert compared == total
    assert f"{total:,}" in words
    assert found[0].score == pytest.approx(best)


def test_slices_do_not_repeat_each_other(planted: tuple[pd.DataFrame, Any, ErrorSlices]) -> None:
    X, _, found = planted
    taken = np.zeros(len(X), dtype=bool)
    for one in found.slices:
        inside = one.holds(X)
        assert (inside & ~taken).sum() >= found.min_size
        taken |= inside


def test_same_seed_same_slices(planted: tuple[pd.DataFrame, Any, ErrorSlices]) -> None:
    X, errors, found = planted
    again = find_error_slices(X, errors, labels=LABELS)
    assert again == found
    assert find_error_slices(X, errors, labels=LABELS, random_state=8).slices != found.slices


def test_losses_are_compared_by_their_means() -> None:
    X = features(5, 3000)
    rng = np.random.default_rng(6)
    loss = rng.gamma(2.0, 1.0, len(X)) + 1.5 * (X["unit"] == "two").to_numpy()
    found = find_error_slices(X, loss)
    assert found.kind == "mean loss"
    top = found.confirmed[0]
    assert top.words == "unit is two"
    searched = np.zeros(len(X), dtype=bool)
    searched[np.random.default_rng(0).permutation(len(X))[: found.n_search]] = True
    inside = top.holds(X)
    expected = ttest_ind(loss[inside & ~searched], loss[~inside & ~searched], equal_var=False)
    assert top.p_value == pytest.approx(expected.pvalue)
    assert top.low is not None
    assert top.value is not None
    assert top.high is not None
    assert top.low < top.value < top.high
    assert not found.chart().percent


def test_tree_nodes_add_up(planted: tuple[pd.DataFrame, Any, ErrorSlices]) -> None:
    _, _, found = planted
    nodes = {node.id: node for node in found.tree}
    assert nodes[0].n == found.n_confirm
    assert max(node.depth for node in found.tree) <= 3
    for node in found.tree:
        children = [child for child in found.tree if child.parent == node.id]
        assert node.leaf == (not children)
        if children:
            assert sum(child.n for child in children) == node.n
            assert sum(child.errors for child in children) == node.errors
            yes, no = sorted((child.condition for child in children), key=lambda c: "not" in c)
            assert "not" in no
            assert "not" not in yes
    assert len(found.tree_frame()) == len(found.tree)


def test_frame_chart_and_page_say_what_was_found(
    planted: tuple[pd.DataFrame, Any, ErrorSlices],
) -> None:
    _, _, found = planted
    frame = found.frame()
    assert list(frame["words"]) == [one.words for one in found.slices]
    chart = found.chart()
    assert "slices are confirmed" in chart.message
    assert chart.thresholds == ((found.value, "all rows"),)
    assert found.plot().data
    page = found._repr_html_()
    assert "count for nothing" in page
    assert "Self-employed is yes" in page


def test_one_feature_and_constant_features() -> None:
    rng = np.random.default_rng(0)
    side = rng.choice(["left", "right"], 1000)
    errors = (rng.random(1000) < np.where(side == "left", 0.5, 0.05)).astype(int)
    only = find_error_slices(pd.DataFrame({"side": side}), errors)
    assert [one.words for one in only.confirmed] == ["side is left"]
    constant = find_error_slices(pd.DataFrame({"same": np.ones(1000)}), errors)
    assert constant.slices == ()
    assert constant.candidates <= 1
    assert constant.tree[0].leaf
    assert "No slice" in constant.chart().message
    rare = find_error_slices(pd.DataFrame({"id": [f"r{i}" for i in range(1000)]}), errors)
    assert "without variety: id" in rare.notes[0]
    assert "nothing to search" in rare.guarantee


@pytest.mark.parametrize("value", [0, 1])
def test_all_right_or_all_wrong_has_no_slice(value: int) -> None:
    found = find_error_slices(features(0, 400), np.full(400, value))
    assert found.slices == ()
    assert any("same error" in note for note in found.notes)
    assert found.value == value


def test_arrays_and_rare_categories() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2))
    errors = (rng.random(2000) < np.where(X[:, 1] > 0.7, 0.5, 0.1)).astype(int)
    top = find_error_slices(X, errors).confirmed[0]
    assert top.conditions[0].feature == "feature_1"
    assert top.holds(X).sum() == pytest.approx((X[:, 1] > 0.7).sum(), rel=0.1)
    many = pd.DataFrame({"town": rng.integers(0, 40, 4000).astype(str)})
    wrong = (rng.random(4000) < 0.1).astype(int)
    notes = find_error_slices(many, wrong, min_size=5).notes
    assert notes == ("Only the 20 most frequent categories were searched in town.",)


def test_conditions_in_words_and_rows() -> None:
    column = pd.Series([1.0, 2.0, np.nan, 36.5, 12000.0], name="debt")
    cases = [
        (Condition("debt", "range", above=2.0, label="Debt"), "Debt above 2", [0, 0, 0, 1, 1]),
        (Condition("debt", "range", up_to=36.5, label="Debt"), "Debt at most 36.5", [1, 1, 0, 1, 0]),
        (Condition("debt", "range", 1.0, 36.5, label="Debt"), "Debt above 1 and at most 36.5",
         [0, 1, 0, 1, 0]),
        (Condition("debt", "missing", label="Debt"), "Debt is missing", [0, 0, 1, 0, 0]),
        (Condition("debt", "category", category="2", label="Debt"), "Debt is 2", [0, 1, 0, 0, 0]),
    ]  # fmt: skip
    for condition, words, rows in cases:
        assert condition.words == words
        assert condition.holds(column).astype(int).tolist() == rows
        assert "not" in condition.negated
    assert described((cases[0][0], cases[4][0])) == "Debt above 2 and Debt is 2"


@pytest.mark.parametrize("numbers", [[0] * 90 + list(range(1, 11)), [5] * 95 + [1, 2, 3, 4, 4]])
def test_skewed_numbers_still_have_conditions(numbers: list[int]) -> None:
    column = pd.Series(numbers, name="x")
    cells = cells_of(column, np.ones(100, dtype=bool), bins=4, min_size=1, labels={})
    assert cells.conditions
    for row, condition in zip(cells.members, cells.conditions, strict=True):
        assert ((row[cells.codes] > 0) == condition.holds(column)).all()
        assert 0 < condition.holds(column).sum() < 100


@pytest.mark.parametrize("name", ["obrat", "self", "term", "unit", "cosign"])
def test_cells_and_conditions_agree(name: str) -> None:
    X = features(2, 500)
    half = np.arange(500) % 2 == 0
    cells = cells_of(X[name], half, bins=4, min_size=10, labels={})
    for row, condition in zip(cells.members, cells.conditions, strict=True):
        assert ((row[cells.codes] > 0) == condition.holds(X[name])).all(), condition.words


def test_very_many_features_limit_the_third_condition() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({f"x{i}": rng.choice(["a", "b"], 300) for i in range(41)})
    hot = (X["x3"] == "a") & (X["x40"] == "b")
    errors = (rng.random(300) < np.where(hot, 0.9, 0.05)).astype(int)
    found = find_error_slices(X, errors)
    assert "40 of 41 features" in found.guarantee
    assert found.slices[0].words == "x3 is a and x40 is b"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"errors": [0, 1]}, "got shape (2,), expected (40,)"),
        ({"errors": [math.nan] * 40}, "missing or infinite in 40 of 40"),
        ({"errors": ["a"] * 40}, "accepted: 0, 1 or losses"),
        ({"min_size": 11}, "min_size is 11; accepted: 1 to 10"),
        ({"min_size": 0}, "min_size is 0"),
        ({"max_literals": 4}, "max_literals is 4; accepted: 1 to 3"),
        ({"bins": 1}, "bins is 1"),
        ({"tree_depth": 9}, "tree_depth is 9"),
        ({"max_slices": 0}, "max_slices is 0"),
        ({"n_holdout_share": 1.0}, "n_holdout_share is 1.0"),
        ({"n_holdout_share": 0.99}, "at least 2 to search"),
        ({"confidence": 0}, "confidence is 0"),
        ({"X": np.zeros(40)}, "accepted: (rows, features)"),
        ({"X": pd.DataFrame(index=range(40))}, "X has no column"),
        ({"X": pd.DataFrame(np.zeros((40, 2)), columns=["a", "a"])}, 'two columns called "a"'),
        ({"X": pd.DataFrame({"day": pd.date_range("2020", periods=40)})}, 'column "day"'),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"X": features(0, 40), "errors": np.arange(40) % 2}
    with pytest.raises(InputError) as caught:
        find_error_slices(**(good | change))
    assert words in str(caught.value)


def test_a_slice_refuses_a_table_without_its_column(
    planted: tuple[pd.DataFrame, Any, ErrorSlices],
) -> None:
    X, _, found = planted
    with pytest.raises(InputError, match="has no column"):
        found.slices[0].holds(X[["cosign"]])


def test_branches_are_the_tree_with_the_way_to_every_node(
    planted: tuple[pd.DataFrame, Any, ErrorSlices],
) -> None:
    X, errors, found = planted
    branches = error_branches(X, errors, labels=LABELS)
    assert tuple(branch.node for branch in branches) == found.tree
    confirm = np.ones(len(X), dtype=bool)
    n_search = len(X) - round(0.5 * len(X))
    confirm[np.random.default_rng(0).permutation(len(X))[:n_search]] = False
    for branch in branches:
        inside = branch_holds(branch, X)[confirm]
        assert inside.sum() == branch.node.n
        assert errors[confirm][inside].sum() == branch.node.errors
        if branch.node.id == 0:
            assert branch.p_value is None
            continue
        words = [c.words if met else c.negated for c, met in branch.steps]
        assert words[-1] == branch.node.condition
        assert len(words) == branch.node.depth
        wrong, rest = errors[confirm][inside], errors[confirm][~inside]
        cells = [[wrong.sum(), (1 - wrong).sum()], [rest.sum(), (1 - rest).sum()]]
        assert branch.p_value == pytest.approx(fisher_exact(np.array(cells))[1])


def test_branches_need_their_columns(planted: tuple[pd.DataFrame, Any, ErrorSlices]) -> None:
    X, errors, _ = planted
    last = error_branches(X, errors)[-1]
    with pytest.raises(InputError, match="no column"):
        branch_holds(last, X[["cosign"]].rename(columns={"cosign": "other"}))
    with pytest.raises(InputError, match="tree_depth is 4"):
        error_branches(X, errors, tree_depth=4)
    with pytest.raises(InputError, match="bins is 1"):
        error_branches(X, errors, bins=1)
