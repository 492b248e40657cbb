"""Selections, groups, and the clouds of points: beeswarm and dependence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from hitl_audit.canonical import digest
from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.explanation_charts import MOST_CASES
from hitl_audit.report.charts import draw, to_svg
from hitl_audit.report.typefaces import Typefaces


def explanation(n: int = 60, method: Any = "shap") -> Explanation:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "income": rng.gamma(2, 20, n).round(1),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "owner": rng.random(n) < 0.4,
            "always": 1,
        },
        index=[f"case-{i}" for i in range(n)],
    )
    data.loc[data.index[::9], "income"] = np.nan
    data["job"] = data["job"].where(rng.random(n) < 0.9)
    values = rng.normal(size=(n, 4)) * [3.0, 2.0, 1.0, 0.0]
    lime: dict[str, Any] = {
        "spread": np.full((n, 4), 0.25),
        "score": np.linspace(0, 1, n),
        "n_seeds": 5,
    }
    return Explanation(
        values=values,
        base_values=np.full(n, 0.5),
        data=data,
        method=method,
        algorithm="exact",
        exact=True,
        scale="probability",
        output=1,
        predictions=0.5 + values.sum(axis=1),
        background_digest=digest("none"),
        background_size=1,
        random_state=0,
        seconds=0.0,
        **(lime if method == "lime" else {}),
    )


@pytest.fixture(scope="module")
def shap() -> Explanation:
    return explanation()


def test_rows_are_selected_by_label_and_by_mask(shap: Explanation) -> None:
    two = shap.select(["case-7", "case-2"])
    assert list(two.index) == ["case-7", "case-2"]
    np.testing.assert_array_equal(two.values, shap.values[[7, 2]])
    np.testing.assert_array_equal(two.residual, shap.residual[[7, 2]])
    mask = shap.data["owner"]
    np.testing.assert_array_equal(shap.select(mask).values, shap.values[mask.to_numpy()])
    # A mask with labels is matched by label, whatever its order.
    np.testing.assert_array_equal(shap.select(mask.iloc[::-1]).values, shap.select(mask).values)
    assert list(shap.select("case-3").index) == ["case-3"]
    lime = explanation(method="lime").select(np.arange(60) < 5)
    assert lime.spread is not None
    assert lime.score is not None
    assert lime.spread.shape == (5, 4)
    np.testing.assert_array_equal(lime.score, np.linspace(0, 1, 60)[:5])


def test_a_label_that_rows_share_selects_them_all(shap: Explanation) -> None:
    twice = dataclasses.replace(shap, data=shap.data.set_axis([f"p{i // 2}" for i in range(60)]))
    np.testing.assert_array_equal(twice.select(["p4"]).values, shap.values[[8, 9]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["case-1", "nobody"], "1 labels that no case bears .first: 'nobody'"),
        ([True, False], r"mask of shape \(2,\); expected \(60,\)"),
        ([], "selects nothing"),
        (np.zeros(60, dtype=bool), "selects nothing"),
    ],
)
def test_a_selection_that_cannot_be_made_is_named(
    shap: Explanation, rows: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shap.select(rows)


def test_groups_have_means_intervals_and_counts(shap: Explanation) -> None:
    table = shap.by_group(shap.data["job"])
    assert set(table["group"]) == {"clerk", "nurse", "pilot", "unknown"}
    for (_, group), part in table.groupby(["attribute", "group"]):
        here = (
            shap.data["job"].isna() if group == "unknown" else shap.data["job"] == group
        ).to_numpy()
        assert (part["n"] == here.sum()).all()
        np.testing.assert_allclose(part["mean_abs"], np.abs(shap.values[here]).mean(axis=0))
        np.testing.assert_allclose(part["mean"], shap.values[here].mean(axis=0))
        assert ((part["low"] <= part["mean_abs"]) & (part["mean_abs"] <= part["high"])).all()
    assert table["attribute"].unique().tolist() == ["job"]
    assert "mean_sd" not in table
    assert (explanation(method="lime").by_group(shap.data["job"])["mean_sd"] == 0.25).all()
    shuffled = shap.by_group(shap.data["job"].sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled, table)
    several = shap.by_group(shap.data[["job", "owner"]])
    assert several["attribute"].unique().tolist() == ["job", "owner"]
    with pytest.raises(InputError, match="got 3 rows"):
        shap.by_group(["a", "b", "a"])


def test_a_group_of_one_has_no_interval(shap: Explanation) -> None:
    table = shap.by_group(np.array(["alone"] + ["others"] * 59))
    assert table.loc[table["group"] == "alone", ["low", "high"]].isna().all(axis=None)
    assert table.loc[table["group"] == "others", ["low", "high"]].notna().all(axis=None)


# --- clouds of points -------------------------------------------------------------


def test_beeswarm_shows_every_case_and_colours_by_rank(shap: Explanation) -> None:
    chart = shap.chart(kind="beeswarm")
    (cloud,) = chart.series
    assert chart.kind == "swarm"
    assert list(dict.fromkeys(cloud.x)) == ["income", "job", "owner", "always"]
    assert len(cloud.y) == 240
    np.testing.assert_array_equal(cloud.y[:60], shap.values[:, 0])
    shades = np.array(cloud.shades[:60], dtype=float)
    income = shap.data["income"].to_numpy()
    assert np.isnan(shades[np.isnan(income)]).all()
    assert shades[np.nanargmax(income)] == 1
    assert shades[np.nanargmin(income)] == 0
    assert set(cloud.shades[60:120]) == {None}  # jobs have no order
    assert set(cloud.shades[120:180]) == {0.0, 1.0}  # owner: no, yes
    assert set(cloud.shades[180:]) == {None}  # one value has no rank
    assert "income" in chart.alt


def test_a_huge_beeswarm_is_thinned_by_a_seed_and_says_so() -> None:
    many = explanation(2500)
    chart = many.chart(kind="beeswarm")
    assert f"2,500 cases); {MOST_CASES:,} of them drawn" in chart.message
    assert len(chart.series[0].y) == 4 * MOST_CASES
    assert chart == many.chart(kind="beeswarm")
    order = np.random.default_rng(0).permutation(2500)
    shuffled = many.select(many.index[order])
    assert sorted(zip(*_xy(shuffled), strict=True)) == sorted(zip(*_xy(many), strict=True))


def _xy(found: Explanation) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    (cloud,) = found.chart(kind="beeswarm").series
    return cloud.x, cloud.y


def test_lime_clouds_say_their_spread() -> None:
    lime = explanation(method="lime")
    assert "income (mean sd over seeds 0.25)" in lime.chart(kind="beeswarm").series[0].x
    assert "mean sd over seeds 0.25" in lime.chart(kind="dependence", feature="income").message


def test_missing_numbers_stand_aside_on_a_dependence_axis(shap: Explanation) -> None:
    chart = shap.chart(kind="dependence", feature="income")
    (cloud,) = chart.series
    income = shap.data["income"].to_numpy()
    x = np.array(cloud.x, dtype=float)
    np.testing.assert_array_equal(x[~np.isnan(income)], income[~np.isnan(income)])
    aside, name = chart.x_ticks[0]
    assert name == "missing"
    assert (x[np.isnan(income)] == aside).all()
    assert aside < np.nanmin(income)
    np.testing.assert_array_equal(cloud.y, shap.values[:, 0])
    missing = shap.values[np.isnan(income), 0].mean()
    assert f"missing: {missing:+.3g}" in chart.alt


def test_categories_have_places_and_stay_in_them(shap: Explanation) -> None:
    chart = shap.chart(kind="dependence", feature="job")
    names = dict(chart.x_ticks)
    assert list(names.values()) == ["clerk", "nurse", "pilot", "missing"]
    places = np.array(chart.series[0].x, dtype=float)
    jobs = shap.data["job"].astype(object).fillna("missing").tolist()
    assert [names[round(x)] for x in places.tolist()] == jobs
    assert (np.abs(places - places.round()) <= 0.35).all()


def test_a_second_feature_colours_the_points(shap: Explanation) -> None:
    numbers = shap.chart(kind="dependence", feature="job", by="income")
    assert numbers.shade_label == "income"
    assert None in numbers.series[0].shades
    words = shap.chart(kind="dependence", feature="income", by="job")
    assert [s.name for s in words.series] == [
        "job = clerk",
        "job = missing",
        "job = nurse",
        "job = pilot",
    ]
    assert sorted(v for s in words.series for v in s.y if v is not None) == sorted(
        shap.values[:, 0]
    )


def test_many_categories_share_a_place() -> None:
    found = explanation()
    data = found.data.assign(job=[f"job {i:02}" for i in range(60)])
    chart = dataclasses.replace(found, data=data).chart(kind="dependence", feature="job")
    assert len(chart.x_ticks) == 20
    assert chart.x_ticks[-1][1] == "other values"
    by = dataclasses.replace(found, data=data).chart(kind="dependence", feature="income", by="job")
    assert len(by.series) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "beswarm"}, 'did you mean "beeswarm"'),
        ({"kind": "local"}, 'row is None with kind "local"'),
        ({"row": "case-1", "kind": "global"}, "row is 'case-1' with kind \"global\""),
        ({"kind": "dependence"}, "feature is None"),
        ({"feature": "income"}, 'with kind "global"'),
        ({"kind": "dependence", "feature": "incme"}, 'did you mean "income"'),
        ({"kind": "dependence", "feature": "income", "by": "x"}, 'by is "x"'),
    ],
)
def test_a_view_that_does_not_exist_is_named(
    shap: Explanation, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        shap.chart(**arguments)


# --- both renderers ----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "beeswarm"},
        {"kind": "dependence", "feature": "income"},
        {"kind": "dependence", "feature": "income", "by": "job"},
        {"kind": "dependence", "feature": "job", "by": "income"},
    ],
)
def test_screen_and_print_draw_the_same_points(shap: Explanation, arguments: Any) -> None:
    chart = shap.chart(**arguments)
    screen = [t for t in to_plotly(chart).data if t.showlegend is not False]
    printed = draw(chart, 166.0, Typefaces())
    assert len(screen) == len(chart.series)
    for i, trace in enumerate(screen):
        clouds: list[Any] = printed.findobj(PathCollection)
        (cloud,) = [c for c in clouds if c.get_gid() == f"series-{i}"]
        np.testing.assert_allclose(cloud.get_offsets().data, np.column_stack([trace.x, trace.y]))
        colours = (np.round(cloud.get_facecolor()[:, :3] * 255)).astype(int).tolist()
        wanted = [[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in trace.marker.color]
        assert colours == (wanted if len(colours) > 1 else wanted[:1])
    svg = to_svg(chart, 166.0)
    assert svg == to_svg(chart, 166.0)
    assert (b"no order, or missing" in svg) is bool(chart.series[0].shades)


def test_points_of_a_swarm_stay_in_their_row_and_apart(shap: Explanation) -> None:
    (trace, _) = to_plotly(shap.chart(kind="beeswarm")).data
    rows = np.repeat(np.arange(4), 60)
    assert (np.abs(np.array(trace.y) - rows) <= 0.42).all()
    assert len({*zip(trace.x, trace.y, strict=True)}) == 240  # even 60 zeros


def test_points_with_intervals_have_them_on_both() -> None:
    x = tuple(float(i) for i in range(30))  # more than a line would mark
    low, high = tuple(v - 1 for v in x), tuple(v + 2 for v in x)
    chart = Chart("points", "m", "a", "v", (Series("s", x, x, low=low, high=high),))
    (trace,) = to_plotly(chart).data
    assert set(trace.error_y.arrayminus) == {1.0}
    assert set(trace.error_y.array) == {2.0}
    lines: list[Any] = draw(chart, 166.0, Typefaces()).findobj(LineCollection)
    (spans,) = [c for c in lines if c.get_gid() == "intervals-0"]
    ends = [(float(a[1]), float(b[1])) for a, b in spans.get_segments()]
    assert ends == list(zip(low, high, strict=True))
