"""How well inputs give a protected attribute away: cases with a known answer."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from hitl_audit.errors import InputError
from hitl_audit.fairness.proxies import ALL_GROUPS, ALL_INPUTS, proxy_strength


def people(n: int = 600) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(5)
    member = rng.random(n) < 0.4
    bit = rng.random(n) < 0.5
    frame = pd.DataFrame(
        {
            "copy": np.where(member, 3.0, 1.0),
            "words": pd.Categorical(np.where(member, "north", "south")),
            "noise": rng.normal(size=n),
            "constant": 1,
            # Missing exactly for the group: the gap in the data is the proxy.
            "gaps": np.where(member, np.nan, rng.normal(size=n)),
            "left": bit.astype(float) + rng.normal(0, 0.1, n),
            "right": (bit ^ member).astype(float) + rng.normal(0, 0.1, n),
        },
        index=range(100, 100 + n),
    )
    return frame, pd.Series(np.where(member, "f", "m"), name="sex")


def test_a_copy_of_the_attribute_gives_it_away() -> None:
    frame, sex = people()
    found = proxy_strength(frame[["copy", "words", "gaps", "noise", "constant"]], sex)
    for feature in ("copy", "words", "gaps", ALL_INPUTS):
        row = found.of("sex", feature)
        assert row.auc == 1
        assert row.low is None  # no error, so no variance to build an interval on
    noise = found.of("sex", "noise")
    assert noise.low is not None
    assert noise.high is not None
    assert noise.low < 0.5 < noise.high
    # At chance an area has the variance of the rank-sum test, here with the
    # correction for five overlapping training sets: 1 + 5/4.
    m, n = int((sex == "f").sum()), int((sex == "m").sum())
    error = np.sqrt((1 + 5 / 4) * (m + n + 1) / (12 * m * n))
    assert noise.high - noise.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    constant = found.of("sex", "constant")
    assert (constant.auc, constant.status) == (0.5, "does not vary")
    assert (noise.n, noise.members) == (600, 600)
    assert found.of("sex", "noise", "f").members == (sex == "f").sum()


def test_features_that_only_together_give_it_away() -> None:
    frame, sex = people()
    found = proxy_strength(frame[["left", "right"]], sex)
    for feature in ("left", "right"):
        row = found.of("sex", feature)
        assert row.low is not None
        assert row.low < 0.55
    together = found.of("sex", ALL_INPUTS)
    assert together.auc is not None
    assert together.auc > 0.98
    assert found.rows[0].feature == ALL_INPUTS


def test_the_known_strength_of_a_shifted_normal() -> None:
    rng = np.random.default_rng(0)
    member = rng.random(6000) < 0.3
    x = rng.normal(size=6000) + member
    found = proxy_strength(pd.DataFrame({"x": x}), pd.Series(member, name="g"))
    row = found.of("g", "x")
    assert row.low is not None
    assert row.high is not None
    # The oracle's area is Φ(1/√2) = 0.760; small trees come close from below.
    assert row.low < norm.cdf(2**-0.5) < row.high + 0.01
    assert row.auc == pytest.approx(norm.cdf(2**-0.5), abs=0.02)
    # For two groups telling one apart is telling the other apart.
    assert found.of("g", "x", "True").auc == pytest.approx(row.auc)
    assert found.of("g", "x", "False").auc == pytest.approx(row.auc)


def test_several_groups_the_mean_and_small_and_unknown_ones() -> None:
    rng = np.random.default_rng(1)
    n = 500
    race = rng.choice(["a", "b", "c"], n)
    x = (race == "a") * 2.0 + rng.normal(size=n)
    labels = pd.Series(race, name="race").where(np.arange(n) % 50 != 0)
    labels.iloc[1:11] = "tiny"
    found = proxy_strength(pd.DataFrame({"x": x, "race": race}), labels)
    aucs = [found.of("race", "x", group).auc for group in "abc"]
    assert all(auc is not None for auc in aucs)
    assert found.of("race", "x").auc == pytest.approx(np.mean([a for a in aucs if a is not None]))
    assert found.of("race", "x", "a").auc == max(a for a in aucs if a is not None)
    tiny = found.of("race", "x", "tiny")
    assert (tiny.auc, tiny.status, tiny.members) == (None, "small group", 10)
    assert tiny.n == labels.notna().sum()
    said = " ".join(found.notes)
    assert "race is itself an input" in said
    assert "not known in 10 of 500" in said
    assert "tiny with fewer than 30 rows is listed but not scored" in said


def test_numbers_that_trees_cannot_take_are_handled() -> None:
    rng = np.random.default_rng(2)
    member = rng.random(300) < 0.5
    frame = pd.DataFrame(
        {
            "infinite": np.where(member, np.inf, 1e308),
            "whole": pd.array(np.where(member, 1, 2), dtype="Int64"),
            "flag": member,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(member * 30, unit="D"),
            "zip": pd.Series(np.where(member, "x", "y")) + pd.Series(range(300)).mod(290).map(str),
        }
    )
    frame.loc[0, "whole"] = pd.NA
    found = proxy_strength(frame, pd.Series(member, name="g"))
    for feature in ("infinite", "flag", "day"):
        assert found.of("g", feature).auc == 1
    whole = found.of("g", "whole").auc
    assert whole is not None
    assert whole > 0.98
    # 300 kinds for 300 people: held out, it says nothing.
    many = found.of("g", "zip").auc
    assert many is not None
    assert 0.4 < many < 0.65


def test_a_sample_is_drawn_and_said() -> None:
    frame, sex = people()
    first = proxy_strength(frame[["noise", "gaps"]], sex, max_rows=300)
    assert first.of("sex", "gaps").n == 300
    assert any("random sample of 300 of 600" in note for note in first.notes)
    assert first == proxy_strength(frame[["noise", "gaps"]], sex, max_rows=300)
    assert first != proxy_strength(frame[["noise", "gaps"]], sex, max_rows=300, random_state=1)


def test_one_group_leaves_nothing_to_tell_apart() -> None:
    frame, _ = people()
    found = proxy_strength(frame[["noise"]], pd.Series(["x"] * 600, name="g"))
    assert found.rows == ()
    assert any("fewer than two known groups" in note for note in found.notes)
    assert list(found.frame().columns)[:3] == ["attribute", "group", "feature"]


def test_the_chart_puts_all_inputs_first_and_the_strongest_next() -> None:
    frame, sex = people()
    found = proxy_strength(frame[["noise", "gaps"]], sex)
    chart = found.chart("sex")
    assert chart.series[0].x == (ALL_INPUTS, "gaps", "noise")
    assert "strongest by itself is gaps" in chart.message
    assert len(found.plot("sex").data) == 1
    assert "gaps" in found._repr_html_()
    with pytest.raises(InputError, match='attribute is "race"; accepted: sex'):
        found.chart("race")
    with pytest.raises(KeyError):
        found.of("sex", "nothing", ALL_GROUPS)


@pytest.mark.parametrize(
    ("frame", "arguments", "message"),
    [
        (pd.DataFrame({"x": [1.0, 2.0]}), {}, "got 600 rows"),
        (pd.DataFrame(index=range(600)), {}, "at least one row and one feature"),
        (pd.DataFrame({"x": range(600)}), {"folds": 1}, "folds is 1"),
        (pd.DataFrame({"x": range(600)}), {"min_group": 3}, "min_group is 3"),
    ],
)
def test_what_cannot_be_used_is_refused(
    frame: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    _, sex = people()
    with pytest.raises(InputError, match=message):
        proxy_strength(frame, sex, **arguments)
