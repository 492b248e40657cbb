"""The tables of the profiles, on data built to trip each of their rules."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from hitl_audit.errors import InputError
from hitl_audit.fairness.profile_table import Basis, ImpactRow, ProfileTable
from hitl_audit.fairness.profile_tables import (
    credit_tables,
    disparate_impact_tables,
    ll144_tables,
)
from hitl_audit.profiles.loader import load_profile


def rows(groups: dict[Any, tuple[int, int]]) -> tuple[list[Any], list[int]]:
    """group → (selected, people), as columns of rows."""
    names = [name for name, (_, n) in groups.items() for _ in range(n)]
    chosen = [int(i < k) for k, n in groups.values() for i in range(n)]
    return names, chosen


def impact(table: ProfileTable, group: str) -> ImpactRow:
    return cast(ImpactRow, table.row(group))


# Local Law 144


def test_selection_rates_and_ratios_to_the_best_of_each_table() -> None:
    people = {
        ("f", "x"): (30, 100),
        ("f", "y"): (40, 50),
        ("m", "x"): (60, 100),
        ("m", "y"): (20, 50),
    }
    names, chosen = rows(people)
    found = ll144_tables(
        sex=[a for a, _ in names], race_ethnicity=[b for _, b in names], y_pred=chosen
    )
    assert [t.attribute for t in found.tables] == ["sex", "race_ethnicity", "sex × race_ethnicity"]
    by_sex, by_race, by_both = found.tables
    # 70/150 against 80/150; 90/200 against 60/100; every cell against 40/50.
    assert by_sex.reference == "m"
    assert by_sex.row("f").impact_ratio == pytest.approx(70 / 80)
    assert by_race.reference == "y"
    assert by_race.row("x").impact_ratio == pytest.approx((90 / 200) / (60 / 100))
    assert by_both.reference == "f × y"
    assert by_both.row("m × x").impact_ratio == pytest.approx(0.6 / 0.8)
    best = by_both.row("f × y")
    assert (best.impact_ratio, best.ratio_low, best.below_four_fifths) == (1.0, None, False)
    row = by_race.row("x")
    assert row.low is not None
    assert row.high is not None
    assert row.low < 90 / 200 < row.high
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    assert row.ratio_low < 0.75 < row.ratio_high
    assert row.below_four_fifths is True
    assert any("no pass mark" in note for note in found.notes)
    assert by_sex.rate_name == "selection rate"
    assert len(found.frame()) == 2 + 2 + 4


def test_scores_equal_to_the_median_are_not_above_it() -> None:
    # Median of 1, 2, 2, 2, 3 is 2: only the 3 is above.
    found = ll144_tables(
        sex=["f", "f", "m", "m", "m"], race_ethnicity=["x"] * 5, y_score=[1.0, 2, 2, 2, 3]
    )
    assert found.table("sex").row("f").rate == 0
    assert found.table("sex").row("m").count == 1
    assert found.table("sex").rate_name == "scoring rate"
    assert any("is 2; 3 scores equal it" in note for note in found.notes)
    # An even number: the median 2.5 lies between, and both 3s are above.
    even = ll144_tables(sex=list("ffmm"), race_ethnicity=["x"] * 4, y_score=[2, 3, 2, 3])
    assert even.table("sex").row("f").rate == 0.5


def test_unknown_people_count_in_the_median_and_not_in_the_tables() -> None:
    # Of the six known alone the median would be 3.5 and three would be above;
    # with the four unknown, all high, it is 5.5 and one is.
    scores = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    sex = ["f", "m", "f", "m", "f", "m", None, None, np.nan, None]
    race = ["x"] * 9 + [None]
    found = ll144_tables(sex=sex, race_ethnicity=race, y_score=scores)
    table = found.table("sex")
    assert table.unknown == 4
    assert table.people == 10
    assert [row.group for row in table.rows] == ["f", "m"]
    assert table.row("m").count == 1
    assert table.row("f").count == 0
    assert "4 of 10 people are of unknown category" in table.notes[0]
    assert found.table("race_ethnicity").unknown == 1
    assert found.table("race_ethnicity").row("x").n == 9
    assert found.table("sex × race_ethnicity").unknown == 4


def test_exactly_two_percent_stays_in_and_below_may_be_left_out() -> None:
    # Of 1,000 people: 20 is exactly 2%, 19 is below it.
    people = {"big": (300, 900), "edge": (10, 20), "tiny": (19, 19), "mid": (20, 61)}
    race, chosen = rows(people)
    arguments: dict[str, Any] = {"sex": ["f"] * 1000, "race_ethnicity": race, "y_pred": chosen}
    without = ll144_tables(**arguments).table("race_ethnicity")
    assert without.reference == "tiny"
    assert not without.row("tiny").excluded
    assert any("less than 2% of the data: tiny" in note for note in without.notes)
    assert any("best rate is that of tiny, 19 people" in note for note in without.notes)
    assert without.row("edge").impact_ratio == pytest.approx(0.5)
    # Left out with a justification: still listed with its rate, and the best is recomputed.
    left = ll144_tables(**arguments, exclusion_reason="too few to rest on").table("race_ethnicity")
    tiny = left.row("tiny")
    assert (tiny.excluded, tiny.impact_ratio, tiny.below_four_fifths) == (True, None, None)
    assert (tiny.n, tiny.rate) == (19, 1.0)
    assert "because too few to rest on" in tiny.note
    assert left.reference == "edge"
    assert left.row("edge").impact_ratio == 1
    assert left.row("big").impact_ratio == pytest.approx((300 / 900) / 0.5)
    # An empty justification is none.
    assert ll144_tables(**arguments, exclusion_reason="  ").table("race_ethnicity") == without


def test_two_percent_is_of_all_rows_unknown_included() -> None:
    # 20 of 990 known is above 2%, 20 of 1,010 in all is below.
    race = ["big"] * 970 + ["small"] * 20 + [None] * 20
    found = ll144_tables(
        sex=["f"] * 1010, race_ethnicity=race, y_pred=[1, 0] * 505, exclusion_reason="few"
    )
    assert found.table("race_ethnicity").row("small").excluded


def test_an_intersection_of_one_person() -> None:
    sex = ["f"] * 49 + ["m"] * 50 + ["f"]
    race = ["x"] * 99 + ["y"]
    found = ll144_tables(sex=sex, race_ethnicity=race, y_pred=[1, 0] * 49 + [0, 1])
    table = found.table("sex × race_ethnicity")
    one = table.row("f × y")
    assert (one.n, one.rate) == (1, 1.0)
    assert "1 person: too few to decide anything" in one.note
    assert table.reference == "f × y"
    assert one.high == pytest.approx(1.0)
    assert one.low is not None
    assert one.low < 0.25
    left = ll144_tables(
        sex=sex, race_ethnicity=race, y_pred=[1, 0] * 49 + [0, 1], exclusion_reason="one person"
    ).table("sex × race_ethnicity")
    assert left.row("f × y").excluded
    assert left.reference == "f × x"


def test_nobody_selected_and_nobody_known_have_no_ratio() -> None:
    nobody = ll144_tables(sex=list("ffmm"), race_ethnicity=list("xyxy"), y_pred=[0, 0, 0, 0])
    row = nobody.table("sex").row("f")
    assert (row.rate, row.impact_ratio, row.below_four_fifths) == (0.0, None, None)
    assert "the reference has a rate of zero" in row.note
    empty = ll144_tables(sex=[None] * 4, race_ethnicity=list("xyxy"), y_pred=[1, 0, 1, 0])
    assert empty.table("sex").rows == ()
    assert empty.table("sex").unknown == 4
    assert "no category to compute a ratio" in empty.table("sex").notes[1]
    assert len(empty.table("sex").frame()) == 0
    assert len(empty.frame()) == 2


# Uniform Guidelines


@pytest.mark.parametrize(("selected", "flag"), [(75, True), (80, False), (85, False)])
def test_only_a_ratio_below_four_fifths_is_flagged(selected: int, flag: bool) -> None:
    groups, chosen = rows({"a": (100, 200), "b": (selected, 200)})
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(groups, name="race"))
    row = impact(found.table("race"), "b")
    assert row.impact_ratio == pytest.approx(selected / 100)
    assert row.below_four_fifths is flag


def test_exactly_four_fifths_by_exact_counts() -> None:
    # 0.8 exactly, but below it in binary fractions.
    assert (4 / 100) / (5 / 100) < 0.8
    groups, chosen = rows({"a": (5, 100), "b": (4, 100)})
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(groups, name="race"))
    assert impact(found.table("race"), "b").below_four_fifths is False


@pytest.mark.parametrize(
    ("groups", "evidence"),
    [
        ({"a": (500, 1000), "b": (300, 1000)}, "practical and statistical"),
        ({"a": (16, 32), "b": (12, 32)}, "practical only"),
        ({"a": (5500, 10000), "b": (5000, 10000)}, "statistical only"),
        ({"a": (16, 32), "b": (15, 32)}, "neither"),
    ],
)
def test_practical_and_statistical_stand_together(
    groups: dict[Any, tuple[int, int]], evidence: str
) -> None:
    names, chosen = rows(groups)
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(names, name="race"))
    row = impact(found.table("race"), "b")
    assert row.evidence == evidence
    (k, n), (j, m) = groups["b"], groups["a"]
    assert row.p_value == pytest.approx(
        fisher_exact(np.array([[k, n - k], [j, m - j]])).pvalue, rel=1e-9
    )
    assert row.statistical is (evidence in ("practical and statistical", "statistical only"))
    assert impact(found.table("race"), "a").evidence == ""
    assert ("test", "Fisher's exact test, two-sided") in found.methods


def test_the_test_is_named_and_p_is_adjusted_over_all_tables() -> None:
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {"race": rng.choice(list("abc"), 600), "sex": rng.choice(list("fm"), 600)}
    )
    chosen = rng.random(600) < 0.4 + 0.15 * (people["race"] == "a")
    found = disparate_impact_tables(chosen, sensitive_features=people, test="z")
    frame = found.frame()
    tested = frame["p_value"].notna()
    assert tested.sum() == 3
    p = frame.loc[tested, "p_value"].to_numpy()
    by_hand = np.minimum.accumulate((np.sort(p) * 3 / np.arange(1, 4))[::-1])[::-1]
    assert np.sort(frame.loc[tested, "p_adjusted"]) == pytest.approx(by_hand)
    assert "two-proportion z test" in dict(found.methods)["test"]
    with pytest.raises(InputError, match=r'test is "fischer".*did you mean "fisher"'):
        disparate_impact_tables(chosen, sensitive_features=people, test="fischer")


def test_small_and_unknown_groups_are_no_reference() -> None:
    groups, chosen = rows({"a": (50, 100), "b": (40, 100), "few": (9, 10), None: (30, 30)})
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(groups, name="race"))
    table = found.table("race")
    assert table.reference == "a"
    few = impact(table, "few")
    assert few.impact_ratio == pytest.approx(1.8)
    assert "too few to decide anything" in few.note
    unknown = impact(table, "unknown")
    assert (unknown.excluded, unknown.impact_ratio, unknown.p_value) == (True, None, None)
    assert unknown.rate == 1
    assert table.unknown == 30
    named = disparate_impact_tables(
        chosen, sensitive_features=pd.Series(groups, name="race"), reference={"race": "few"}
    )
    assert named.table("race").reference == "few"
    with pytest.raises(InputError, match='reference of race is "unknown"; accepted: a, b, few'):
        disparate_impact_tables(
            chosen, sensitive_features=pd.Series(groups, name="race"), reference={"race": "unknown"}
        )


def test_no_group_is_large_enough() -> None:
    groups, chosen = rows({"a": (5, 10), "b": (4, 10)})
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(groups, name="race"))
    table = found.table("race")
    assert table.reference == ""
    assert impact(table, "a").impact_ratio is None
    assert any("no known group has at least 30" in note for note in table.notes)


def test_segments_can_turn_the_pooled_direction() -> None:
    # Berkeley 1973: pooled 0.682, within departments a common odds ratio of 0.905 for men to women.
    counts = {
        "A": ((512, 825), (89, 108)),
        "B": ((353, 560), (17, 25)),
        "C": ((120, 325), (202, 593)),
        "D": ((138, 417), (131, 375)),
        "E": ((53, 191), (94, 393)),
        "F": ((22, 373), (24, 341)),
    }
    people = {
        (sex, department): pair
        for department, pairs in counts.items()
        for sex, pair in zip(("man", "woman"), pairs, strict=True)
    }
    names, chosen = rows(people)
    found = disparate_impact_tables(
        chosen,
        sensitive_features=pd.Series([a for a, _ in names], name="sex"),
        segments=[b for _, b in names],
    )
    row = impact(found.table("sex"), "woman")
    assert row.impact_ratio == pytest.approx(0.682, abs=5e-4)
    assert row.odds_ratio == pytest.approx(1 / 0.905, abs=5e-3)
    assert row.segments == 6
    assert row.cmh_p is not None
    assert row.cmh_p > 0.2
    assert impact(found.table("sex"), "man").odds_ratio is None


def test_the_standardized_mean_difference_is_in_pooled_deviations() -> None:
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.normal(0.5, 1, 400), rng.normal(0, 2, 100)])
    groups = ["a"] * 400 + ["b"] * 100
    found = disparate_impact_tables(
        score > 0, sensitive_features=pd.Series(groups, name="race"), y_score=score
    )
    row = impact(found.table("race"), "b")
    a, b = score[:400], score[400:]
    pooled = np.sqrt((399 * a.var(ddof=1) + 99 * b.var(ddof=1)) / 498)
    assert row.smd == pytest.approx((b.mean() - a.mean()) / pooled)
    assert row.smd is not None
    assert row.smd_low is not None
    assert row.smd_high is not None
    assert row.smd_low < row.smd < row.smd_high
    same = disparate_impact_tables(
        score > 0, sensitive_features=pd.Series(groups, name="race"), y_score=np.ones(500)
    )
    assert impact(same.table("race"), "b").smd is None


# Regulation B


def test_credit_lists_every_basis_and_what_was_not_assessed() -> None:
    people = pd.DataFrame(
        {
            "marital_status": ["married", "single"] * 60,
            "old": ["yes", "no", "no"] * 40,
            "club": ["in", "out", "out", "out"] * 30,
        }
    )
    approved = [1, 0, 1, 1] * 30
    found = credit_tables(approved, sensitive_features=people, bases={"old": "age"})
    assert Basis("marital status", "marital_status") in found.bases
    assert Basis("age", "old") in found.bases
    assert Basis("religion", "") in found.bases
    assert len(found.bases) == 9
    said = " ".join(found.notes)
    assert "not assessed: race, color, religion" in said
    assert "no prohibited basis here: club" in said
    assert found.status == "amended"
    assert "no effects test" in found.warning
    assert found.table("old").rate_name == "approval rate"
    with pytest.raises(InputError, match=r'bases of old is "aeg"; accepted: race.*mean "age"'):
        credit_tables(approved, sensitive_features=people, bases={"old": "aeg"})


# All


def test_the_threshold_is_the_profiles_and_not_the_codes(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "hitl_audit" / "profiles" / "us-disparate-impact.toml"
    path = tmp_path / "stricter.toml"
    path.write_text(source.read_text().replace("four_fifths = 0.8", "four_fifths = 0.9"))
    groups, chosen = rows({"a": (100, 200), "b": (85, 200)})
    found = disparate_impact_tables(
        chosen, sensitive_features=pd.Series(groups, name="race"), profile=load_profile(path)
    )
    assert impact(found.table("race"), "b").below_four_fifths is True
    assert "below 0.9" in found.notes[0]


def test_the_page_shows_names_as_text() -> None:
    groups, chosen = rows({"<b>a</b>": (50, 100), "c": (40, 100)})
    found = disparate_impact_tables(chosen, sensitive_features=pd.Series(groups, name="<i>race"))
    page = found._repr_html_()
    assert "<b>a" not in page
    assert "<i>race" not in page
    assert "&lt;b&gt;a" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "got neither of y_pred and y_score"),
        ({"y_pred": [1, 0], "y_score": [0.5, 0.1]}, "got both of y_pred and y_score"),
        ({"y_pred": [1, 2]}, "y_pred has the labels 2"),
        ({"y_score": [0.5, np.nan]}, "y_score is missing or infinite in 1 of 2"),
        ({"y_pred": [1, 0, 1]}, "got 2 rows"),
        ({"y_pred": [1, 0], "confidence": 0}, "confidence is 0"),
        (
            {"y_pred": [1, 0], "sex": pd.DataFrame({"a": ["f", "m"], "b": ["f", "m"]})},
            "sex has 2 columns",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"sex": ["f", "m"], "race_ethnicity": ["x", "y"], **arguments}
    with pytest.raises(InputError, match=message):
        ll144_tables(**given)


def test_a_profile_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match='us-credit-reg-b computes "us-credit-reg-b"; expected'):
        ll144_tables(
            sex=["f"], race_ethnicity=["x"], y_pred=[1], profile=load_profile("us-credit-reg-b")
        )
