"""Sums over rows and groups, against counts by hand and simulated truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.explanations.trust.row_measures import GroupMeasures, measures_by_group, summarise

MEANINGS = {"good": "share of good rows", "size": "mean size", "absent": "not measured here"}


def by_group(rows: pd.DataFrame, groups: Any, **changes: Any) -> GroupMeasures:
    arguments = {"confidence": 0.95, "min_group": 3, "random_state": 0}
    return measures_by_group(rows, MEANINGS, groups, **{**arguments, **changes})


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "good": [True, True, True, False, False, False, True],
            "size": [1.0, 2.0, 3.0, 4.0, 6.0, np.nan, 100.0],
        },
        index=list("abcdefg"),
    )


def test_groups_by_hand(rows: pd.DataFrame) -> None:
    groups = pd.Series([*"xxxyyy", None], name="team")
    found = by_group(rows, groups, min_group=2)
    table: Any = found.frame().set_index(["measure", "group"])
    assert set(table.index.get_level_values("measure")) == {"good", "size"}
    assert table.loc[("good", "x"), ["value", "n", "interval"]].tolist() == [1.0, 3, "Wilson"]
    assert table.loc[("good", "x"), "low"] == pytest.approx(3 / (3 + 1.959964**2))
    assert table.loc[("size", "y"), ["value", "n"]].tolist() == [5.0, 2]  # a gap is no row
    assert table.loc[("size", "unknown"), "status"] == "insufficient data"
    assert table.loc[("size", "x"), "status"] == "measured"
    assert table.loc[("size", "x"), "meaning"] == "mean size"
    gap: Any = found.differences().set_index("measure")
    assert gap.loc["size", ["highest", "lowest", "value"]].tolist() == ["y", "x", 3.0]
    assert gap.loc["good", ["highest", "lowest", "value"]].tolist() == ["x", "y", 1.0]
    assert gap.loc["size", "groups"] == 2  # the unknown one has too few rows


def test_the_p_value_is_that_of_all_permutations() -> None:
    rows = pd.DataFrame({"good": [True, True, True, True, False, False, False, False]})
    groups = pd.Series(list("xxxxyyyy"), name="team")
    gap = by_group(rows, groups).differences().iloc[0]
    # Of the 70 ways to divide them two give a difference of 1.
    assert gap["p_value"] == pytest.approx(2 / 70, abs=0.015)
    assert "permutation" in gap["test"]


def test_the_interval_of_the_largest_difference_is_a_bootstrap_within_groups() -> None:
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"size": np.concatenate([rng.normal(0, 1, 200), rng.normal(3, 2, 100)])})
    groups = np.repeat(["x", "y"], [200, 100])
    gap = by_group(rows, groups).differences().iloc[0]
    means = np.sqrt(rows["size"][:200].var() / 200 + rows["size"][200:].var() / 100)
    assert gap["high"] - gap["low"] == pytest.approx(2 * 1.96 * means, rel=0.1)
    assert gap["low"] < 3 < gap["high"]
    assert gap["p_value"] == pytest.approx(0.001)


def test_the_interval_of_groups_that_hardly_differ_reaches_below_zero() -> None:
    rows = pd.DataFrame({"size": np.tile([1.0, 2.0, 3.0, 4.0], 10)})
    groups = np.repeat(["x", "y"], 20)
    rows.loc[39, "size"] = 4.2
    gap = by_group(rows, groups).differences().iloc[0]
    assert gap["value"] == pytest.approx(0.01)
    assert gap["low"] < 0 < gap["value"] < gap["high"]
    assert gap["p_value"] > 0.5


def test_equal_groups_are_rarely_found_different() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(["w", "x", "y", "z"], 25)
    p_values = [
        by_group(pd.DataFrame({"size": rng.normal(size=100)}), groups).differences()["p_value"][0]
        for _ in range(40)
    ]
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.15)


def test_one_group_has_no_difference(rows: pd.DataFrame) -> None:
    gap = by_group(rows, np.repeat("x", 7)).differences()
    assert gap["status"].tolist() == ["insufficient data"] * 2
    assert gap[["value", "low", "high", "p_value"]].isna().all(axis=None)


def test_several_attributes_and_the_chart(rows: pd.DataFrame) -> None:
    groups = pd.DataFrame({"team": list("xxxyyyy"), "shift": list("aabbabb")}, index=rows.index)
    found = by_group(rows, groups)
    assert found.frame()["attribute"].unique().tolist() == ["team", "shift"]
    chart = found.chart("size", "team")
    assert chart.series[0].x == ("x", "y")
    np.testing.assert_allclose(np.array(chart.series[0].y, dtype=float), [2, 110 / 3])
    assert "highest for team y" in chart.message
    assert len(found.plot("size").data) >= 1
    assert "2 measures, 4 groups" in repr(found)
    assert "<table" in found._repr_html_()
    with pytest.raises(InputError, match=r'measure is "sise"; accepted: good, size.*size'):
        found.chart("sise")


def test_same_seed_same_numbers(rows: pd.DataFrame) -> None:
    one, two = by_group(rows, list("xxxyyyy")), by_group(rows, list("xxxyyyy"))
    pd.testing.assert_frame_equal(one.frame(), two.frame())
    pd.testing.assert_frame_equal(one.differences(), two.differences())


@pytest.mark.parametrize(
    ("groups", "changes", "message"),
    [
        (list("xy"), {}, "got 2 rows"),
        (pd.Series(list("xxxyyyy"), index=list("gfedcba")), {}, "in another order"),
        (list("xxxyyyy"), {"min_group": 1}, "min_group is 1"),
        (list("xxxyyyy"), {"confidence": 1.0}, "confidence is 1.0"),
    ],
)
def test_groups_that_do_not_fit_are_refused(
    rows: pd.DataFrame, groups: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        by_group(rows, groups, **changes)


def test_overall_leaves_out_what_was_not_measured(rows: pd.DataFrame) -> None:
    table: Any = summarise(rows, MEANINGS, confidence=0.9, random_state=0).set_index("measure")
    assert table.index.tolist() == ["good", "size"]
    assert table.loc["size", ["value", "n"]].tolist() == [pytest.approx(116 / 6), 6]
    nothing = summarise(
        rows.assign(size=np.nan), MEANINGS, confidence=0.9, random_state=0
    ).set_index("measure")
    assert nothing.loc["size", "n"] == 0
