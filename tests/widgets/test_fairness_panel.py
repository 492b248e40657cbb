"""The fairness panel: each message of the page, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics
from hitl_audit.findings import Criterion, evaluate, percent
from hitl_audit.groups import TIMES
from hitl_audit.thresholds import RULES, sweep_thresholds
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.fairness_panel import FairnessPanel
from hitl_audit.widgets.fairness_setting import FairnessSetting

HOSTILE = "<img src=x onerror=alert(1)>"
FOUR_FIFTHS = Criterion("selection_rate", ("race",), "ratio", at_least=Fraction(4, 5))
WITHIN = Criterion("true_positive_rate", ("sex",), "difference", at_most=Fraction(1, 10))
RIGHT = Criterion("accuracy", (), "value", at_least=Fraction(1, 2))


def setting(rows: int = 1500, **changes: Any) -> FairnessSetting:
    rng = np.random.default_rng(0)
    who = pd.DataFrame(
        {
            "race": rng.choice(
                ["asian", "black", HOSTILE, "unknown", "white"],
                rows,
                p=[0.1, 0.3, 0.01, 0.04, 0.55],
            ),
            "sex": rng.choice(["f", "m"], rows),
        }
    )
    score = np.clip(rng.beta(4, 2.4, rows) - 0.12 * (who["race"] == "black").to_numpy(), 0, 1)
    found = FairnessSetting(
        y_true=(rng.random(rows) < score).astype(np.int64),
        y_score=score,
        sensitive=who,
        threshold=0.5,
        criteria=(FOUR_FIFTHS, WITHIN, RIGHT),
        intersections=(("race", "sex"),),
        labels={"race": "Race"},
        decisions=("Approve", "Deny"),
    )
    return replace(found, **changes)


class Said:
    """A panel, and what it said to the page; everything must be JSON."""

    def __init__(
        self,
        about: FairnessSetting | None = None,
        cohort: Cohort | None = None,
        beside: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        self.setting = about or setting()
        self.widget = FairnessPanel(self.setting, cohort=cohort, beside=beside)
        self.heard: list[dict[str, Any]] = []
        self.serial = 0
        self.widget.send = lambda content, buffers=None: self.heard.append(
            json.loads(json.dumps(content, allow_nan=False))
        )

    def ask(self, act: str, **more: Any) -> list[dict[str, Any]]:
        self.serial += 1
        self.heard.clear()
        self.widget.receive({"kind": "fairness", "serial": self.serial, "act": act, **more})
        assert {m["serial"] for m in self.heard} == {self.serial}
        return list(self.heard)

    def shown(self, act: str, **more: Any) -> dict[str, Any]:
        (answer,) = (m for m in self.ask(act, **more) if m["about"] == "answer")
        found: dict[str, Any] = answer["shown"]
        return found

    def measured(self, decided: Any) -> GroupMetrics:
        return group_metrics(
            self.setting.y_true,
            np.asarray(decided, dtype=int),
            sensitive_features=self.setting.sensitive,
            metrics=["selection_rate", "true_positive_rate", "accuracy"],
        )


@pytest.fixture
def panel() -> Said:
    return Said()


def rates_equal(shown: dict[str, Any], whole: GroupMetrics, metric: str, attribute: str) -> None:
    """Every rate, interval, comparison and verdict is that of group_metrics."""
    rates = [r for r in whole.rates if (r.metric, r.attribute) == (metric, attribute)]
    assert [row["group"] for row in shown["rates"]["rows"]] == [r.group for r in rates]
    top = float(shown["rates"]["ticks"][-1][1].rstrip("%")) / 100
    for row, rate in zip(shown["rates"]["rows"], rates, strict=True):
        assert row["words"] == percent(rate.value)
        assert row["span"] == f"{percent(rate.low)} to {percent(rate.high)}"
        assert row["n"] == f"n = {rate.n:,}"
        assert row["small"] == (rate.status != "ok")
        assert rate.value is not None
        assert row["at"] == pytest.approx(min(rate.value / top, 1), abs=1e-4)
    pairs = whole.comparisons(metric, tuple(attribute.split(TIMES)), shown["compare"])
    assert [row["group"] for row in shown["compared"]["rows"]] == [p.group for p in pairs]
    for row, pair in zip(shown["compared"]["rows"], pairs, strict=True):
        if shown["compare"] == "ratio":
            assert row["words"] == percent(pair.value)
            assert row["span"] == f"{percent(pair.low)} to {percent(pair.high)}"
    (reference,) = {p.reference for p in pairs}
    assert [r["group"] for r in shown["rates"]["rows"] if r["reference"]] == [reference]


def test_it_opens_on_the_plans_first_promise_and_its_results(panel: Said) -> None:
    schema, answer = panel.ask("open")
    assert schema["schema"]["choices"] == ["Race", "sex", "Race × sex", "All rows together"]
    assert schema["schema"]["metrics"][0][0] == "selection_rate"
    assert [rule for rule, _, _ in schema["schema"]["rules"]] == list(RULES)
    shown = answer["shown"]
    assert (shown["by_words"], shown["metric"], shown["compare"]) == (
        "Race", "selection_rate", "ratio",
    )  # fmt: skip
    assert not shown["exploring"]
    assert "these are the audit’s results" in shown["state"]
    whole = panel.measured(panel.setting.y_score >= 0.5)
    rates_equal(shown, whole, "selection_rate", "race")
    promised = [c for c in whole.comparisons("selection_rate", "race") if c.group != "unknown"]
    finding = evaluate("F1", FOUR_FIFTHS, promised)
    assert shown["compared"]["words"] == [finding.words]
    chips = {row["group"]: row["chip"] for row in shown["compared"]["rows"]}
    for verdict in finding.verdicts:
        chip = chips[verdict.comparison.group]
        assert chip["status"] == chip["words"] == str(verdict.status)
    assert chips["unknown"] is None  # nothing is promised to them
    assert chips[HOSTILE]["words"] == "insufficient data"


def test_bars_hold_every_case(panel: Said) -> None:
    favorable, unfavorable = panel.ask("open")[0]["schema"]["bars"]
    # The tallest bar is 1; areas are in proportion to the outcomes.
    assert max(np.add(favorable, unfavorable)) == pytest.approx(1, abs=2e-3)
    share = sum(favorable) / (sum(favorable) + sum(unfavorable))
    assert share == pytest.approx(panel.setting.y_true.mean(), abs=0.01)


@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.62, 0.8, 1.5])
def test_one_threshold_for_everybody(panel: Said, threshold: float) -> None:
    decided = panel.setting.y_score >= threshold
    trying = panel.ask("try", threshold=threshold)[-1]
    assert trying["trying"]
    assert trying["shown"]["compared"]["words"] == []  # sentences wait for the hand to rest
    shown = panel.shown("set", threshold=threshold)
    whole = panel.measured(decided)
    if decided.any():
        rates_equal(shown, whole, "selection_rate", "race")
    assert shown["exploring"]
    assert "The recorded result is not altered." in shown["state"]
    turned = int((decided != (panel.setting.y_score >= 0.5)).sum())
    assert f"{turned:,} of 1,500 decisions" in shown["state"]
    overall = {o["title"]: o["value"] for o in shown["overall"]}
    assert overall["Selected"] == percent(float(decided.mean()))
    wrong = decided != (panel.setting.y_true == 1)
    assert overall["Accuracy"] == percent(1 - float(wrong.mean()))
    assert overall["Cost per case"] == f"{wrong.mean():.3f}"
    for row in shown["compared"]["rows"]:
        if row["chip"]:
            assert row["chip"]["words"] in (
                "would be met", "would not be met", "insufficient data", "not assessed",
            )  # fmt: skip


def test_one_threshold_per_group_is_kept_when_others_are_looked_at(panel: Said) -> None:
    shown = panel.shown("per-group", on=True)
    groups = shown["thresholds"]["groups"]
    assert [g["group"] for g in groups] == sorted(panel.setting.sensitive["race"].unique())
    assert {g["value"] for g in groups} == {0.5}
    assert "every decision is as in the audit" in shown["state"]
    shown = panel.shown("set", threshold=0.35, group="black")
    race = panel.setting.sensitive["race"]
    decided = panel.setting.y_score >= np.where(race == "black", 0.35, 0.5)
    rates_equal(shown, panel.measured(decided), "selection_rate", "race")
    shown = panel.shown("show", by=1)
    assert shown["thresholds"]["grouped_by"] == "Race"
    whole = panel.measured(decided)
    rates_equal(shown, whole, "selection_rate", "sex")
    shown = panel.shown("show", by=2)
    rates_equal(shown, whole, "selection_rate", "race × sex")
    shown = panel.shown("per-group", on=False)
    assert not shown["exploring"]
    assert shown["thresholds"]["groups"] == []


@pytest.mark.parametrize("cost", [1.0, 3.0])
@pytest.mark.parametrize("rule", RULES)
def test_rules_are_those_of_the_sweep(rule: str, cost: float) -> None:
    panel = Said()
    about = panel.setting
    panel.shown("cost", ratio=cost)
    heard = panel.ask("rule", rule=rule)
    assert heard[0]["about"] == "searching"
    shown = heard[-1]["shown"]
    sweep = sweep_thresholds(
        about.y_true, about.y_score, sensitive_features=about.sensitive[["race"]], cost_ratio=cost
    )
    choice = sweep.choice(rule)
    assert choice.status == "ok"
    assert [r["rule"] for r in shown["rules"] if r["chosen"]] == [rule]
    total = choice.decisions[0]
    overall = {o["title"]: o for o in shown["overall"]}
    assert overall["Selected"]["value"] == percent(total.rate("selection_rate").value)
    assert overall["Accuracy"]["value"] == percent(total.rate("accuracy").value)
    paid = total.rate("cost")
    assert paid.value is not None
    assert paid.low is not None
    assert overall["Cost per case"]["value"] == f"{paid.value:.3f}"
    assert overall["Cost per case"]["range"].startswith(f"{paid.low:.3f} to ")
    rows = {row["group"]: row for row in shown["rates"]["rows"]}
    for decision in choice.decisions[1:]:
        rate = decision.rate("selection_rate")
        assert rows[decision.group]["words"] == percent(rate.value)
    own = {g["group"]: g["value"] for g in shown["thresholds"]["groups"]}
    if rule == "single best":
        assert own == {}
        assert shown["thresholds"]["value"] == choice.thresholds["all"]
    else:
        assert own == {d.group: d.threshold for d in choice.decisions[1:]}
    # What was searched once is there at once, and moving a slider lets go of the rule.
    assert [m["about"] for m in panel.ask("rule", rule=rule)] == ["answer"]
    move = {"threshold": 0.5} | ({"group": "white"} if own else {})
    assert not any(r["chosen"] for r in panel.shown("set", **move)["rules"])


def test_a_rule_that_cannot_be_met_says_so() -> None:
    about = setting(200, min_group=150)
    panel = Said(about)
    heard = panel.ask("rule", rule="equal opportunity")
    assert [m["about"] for m in heard] == ["searching", "refused", "answer"]
    assert "fewer than two groups have 150 cases" in heard[1]["words"]
    assert not heard[-1]["shown"]["exploring"]
    words = {r["rule"]: r for r in heard[-1]["shown"]["rules"]}
    assert not words["equal opportunity"]["attainable"]


def test_of_all_rows_together_only_one_rule_can_be_met(panel: Said) -> None:
    shown = panel.shown("show", by=3, metric="accuracy")
    assert shown["compared"] is None
    (row,) = shown["rates"]["rows"]
    assert row["group"] == "All rows"
    assert row["chip"]["words"] == "met"
    assert shown["rates"]["promise"] == ["at least 50%"]
    assert not shown["thresholds"]["can_group"]
    assert panel.ask("per-group", on=True)[0]["about"] == "refused"
    assert panel.ask("rule", rule="equal accuracy")[1]["about"] == "refused"
    assert panel.shown("rule", rule="single best")["rule"] == "single best"


def test_a_difference_is_shown_where_the_plan_promises_one(panel: Said) -> None:
    shown = panel.shown("show", by=1, metric="true_positive_rate")
    assert shown["compare"] == "difference"
    assert shown["compared"]["promise"] == ["within ±10 points"]
    assert len(shown["compared"]["lines"]) == 2
    (pair,) = panel.measured(panel.setting.y_score >= 0.5).comparisons(
        "true_positive_rate", "sex", "difference"
    )
    (row,) = shown["compared"]["rows"]
    assert pair.value is not None
    assert row["words"] == f"{pair.value * 100:+.1f} points".replace("-", "−")
    assert panel.shown("show", compare="ratio")["compared"]["promise"] == []


def test_small_groups_never_get_a_tick() -> None:
    panel = Said()
    for threshold in np.linspace(0, 1, 21):
        shown = panel.shown("set", threshold=float(threshold))
        for block in (shown["rates"], shown["compared"]):
            (row,) = (r for r in block["rows"] if r["group"] == HOSTILE)
            assert row["small"]
            assert row["chip"] is None or row["chip"]["mark"] == "?"


def test_reset_goes_back_to_the_plan_and_keeps_what_is_looked_at(panel: Said) -> None:
    panel.shown("show", by=1)
    panel.shown("cost", ratio=5)
    panel.shown("rule", rule="equal accuracy")
    shown = panel.shown("reset")
    assert not shown["exploring"]
    assert (shown["cost"], shown["rule"], shown["by"]) == (1.0, "", 1)


def test_what_is_tried_changes_nothing(panel: Said) -> None:
    about = panel.setting
    before = (about.y_true.copy(), about.y_score.copy(), about.sensitive.copy(), about.threshold)
    panel.shown("rule", rule="demographic parity")
    panel.shown("set", threshold=0.9, group="white")
    assert (about.y_true == before[0]).all()
    assert (about.y_score == before[1]).all()
    pd.testing.assert_frame_equal(about.sensitive, before[2])
    assert about.threshold == before[3]


def test_a_search_is_dropped_when_something_newer_is_asked() -> None:
    waiting: list[Callable[[], None]] = []
    panel = Said(beside=waiting.append)
    assert [m["about"] for m in panel.ask("rule", rule="equal accuracy")] == ["searching"]
    panel.shown("set", threshold=0.7)
    panel.heard.clear()
    waiting.pop()()
    assert panel.heard == []
    assert panel.widget.desk.place.threshold == 0.7
    # The search was not in vain.
    assert panel.shown("rule", rule="equal accuracy")["rule"] == "equal accuracy"


def test_a_cohort_stands_beside_everybody() -> None:
    about = setting()
    ids = [f"C{i}" for i in range(1500)]
    cohort = Cohort(pd.DataFrame({"score": about.y_score}, index=ids), min_group=30)
    panel = Said(about, cohort)
    assert panel.shown("set", threshold=0.6)["cohort"] is None
    members = np.arange(1500) % 3 == 0
    panel.heard.clear()
    cohort.choose("Every third", members, note="for a test")
    (told,) = panel.heard  # every view is told at once
    shown = told["shown"]
    assert shown["cohort"] == {"name": "Every third", "words": "500 cases", "note": "for a test"}
    part = group_metrics(
        about.y_true[members],
        (about.y_score >= 0.6)[members].astype(int),
        sensitive_features=about.sensitive[members],
        metrics=["selection_rate"],
    )
    rates = {r.group: r for r in part.rates if r.attribute == "race"}
    for row in shown["rates"]["rows"]:
        rate = rates[row["group"]]
        assert row["cohort"]["words"] == percent(rate.value)
        assert row["cohort"]["n"] == f"n = {rate.n:,}"
        assert row["cohort"]["small"] == (rate.n < 30)
    pairs = {c.group: c for c in part.comparisons("selection_rate", "race")}
    for row in shown["compared"]["rows"]:
        if row["cohort"]:
            assert row["cohort"]["words"] == percent(pairs[row["group"]].value)
            assert row["cohort"]["to"] == pairs[row["group"]].reference
    cohort.choose("Few", members & (np.arange(1500) < 60))
    shown = panel.heard[-1]["shown"]
    assert "insufficient data" in shown["cohort"]["words"]
    assert all(row["cohort"]["small"] for row in shown["rates"]["rows"])
    cohort.choose("Nobody", [])
    assert all(
        row["cohort"]["words"] == "nobody" for row in panel.heard[-1]["shown"]["rates"]["rows"]
    )
    cohort.clear()
    assert panel.heard[-1]["shown"]["cohort"] is None


def test_a_model_that_only_decides_has_no_threshold_to_move() -> None:
    about = setting()
    about = replace(about, y_score=(about.y_score >= 0.5).astype(float), scored=False)
    panel = Said(about)
    schema, answer = panel.ask("open")
    assert not schema["schema"]["scored"]
    rates_equal(answer["shown"], panel.measured(about.y_score >= 0.5), "selection_rate", "race")
    for act, more in (
        ("set", {"threshold": 0.3}), ("per-group", {"on": True}), ("rule", {"rule": RULES[0]}),
    ):  # fmt: skip
        assert "only decides" in panel.ask(act, **more)[0]["words"]


@pytest.mark.parametrize(
    ("act", "more", "words"),
    [
        ("fly", {}, "got 'fly' from the page"),
        ("set", {"threshold": "0.5"}, "threshold is '0.5'"),
        ("set", {"threshold": True}, "threshold is True"),
        ("set", {"threshold": float("nan")}, "threshold is nan"),
        ("set", {"threshold": 0.5, "group": "white"}, "accepted: none"),
        ("cost", {"ratio": 0}, "the cost is 0"),
        ("cost", {"ratio": 1e9}, "at most 1,000"),
        ("show", {"by": 9}, "by is 9; accepted: 0 to 3"),
        ("show", {"by": True}, "by is True"),
        ("show", {"metric": "luck"}, "metric is 'luck'"),
        ("show", {"compare": "value"}, "compare is 'value'"),
        ("rule", {"rule": "best"}, "rule is 'best'"),
        ("per-group", {"on": 1}, "on is 1"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    panel: Said, act: str, more: dict[str, Any], words: str
) -> None:
    before = panel.widget.desk.place
    heard = panel.ask(act, **more)
    assert [m["about"] for m in heard] == ["refused", "answer"]
    assert words in heard[0]["words"]
    assert panel.widget.desk.place == before


def test_messages_of_others_are_not_answered(panel: Said) -> None:
    panel.widget.receive({"kind": "what-if", "serial": 1, "act": "open"})
    assert panel.heard == []


def test_without_attributes_there_is_nothing_to_compare() -> None:
    with pytest.raises(InputError, match="no sensitive attributes"):
        Said(setting(sensitive=pd.DataFrame(index=range(1500)), criteria=(), intersections=()))
