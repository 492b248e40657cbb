"""The explanation explorer: each message of the page, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hitl_audit.audit import Audit
from hitl_audit.errors import InputError
from hitl_audit.plan import AuditPlan
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.explanation_explorer import ExplanationExplorer
from hitl_audit.widgets.trials import Trials
from tests.conftest import Clock
from tests.what_if.conftest import people, prepared
from tests.widgets.explorer_world import FEATURES, HOSTILE, explained


class Page:
    """An explorer, and what it said to the page; everything must be JSON, or bytes."""

    def __init__(self, widget: ExplanationExplorer) -> None:
        self.widget = widget
        self.heard: list[dict[str, Any]] = []
        self.buffers: list[list[bytes]] = []
        self.serial = 0

        def send(content: dict[str, Any], buffers: Any = ()) -> None:
            self.heard.append(json.loads(json.dumps(content, allow_nan=False)))
            self.buffers.append(list(buffers))

        widget.send = send

    def ask(self, act: str, **more: Any) -> list[dict[str, Any]]:
        self.serial += 1
        self.heard.clear()
        self.buffers.clear()
        self.widget.receive({"kind": "explore", "serial": f"v-{self.serial}", "act": act, **more})
        assert self.heard[0]["serial"] == f"v-{self.serial}"
        return self.heard

    def rows(self, **more: Any) -> dict[str, Any]:
        given = {"feature": 0, "order": "strongest", "start": 0, "count": 10} | more
        (answer,) = self.ask("rows", **given)
        return answer

    def case(self, place: int) -> dict[str, Any]:
        (answer,) = self.ask("case", place=place)
        found: dict[str, Any] = answer["case"]
        return found


def page_of(**given: Any) -> Page:
    about = given.pop("explored", None) or explained()
    return Page(ExplanationExplorer(about, beside=lambda work: work(), **given))


@pytest.fixture
def page() -> Page:
    return page_of()


def test_opening_shows_what_moves_the_model_at_once_and_intervals_after(page: Page) -> None:
    opened, intervals = page.ask("open")
    assert [line["at"][1] for line in opened["importance"]["lines"]] == [None] * 4
    table = page.widget.explored.explanation.global_importance(0.95)
    wanted = table[["mean_abs", "low", "high"]].to_numpy().tolist()
    assert [line["at"] for line in intervals["importance"]["lines"]] == wanted
    names = [FEATURES[line["feature"]] for line in intervals["importance"]["lines"]]
    assert names == list(table["feature"])
    first = intervals["importance"]["lines"][0]
    assert first["label"] == "Income (k$)"
    assert first["value"] == f"{100 * table['mean_abs'][0]:.1f} points"
    assert opened["how"].startswith("SHAP values (tree-interventional, exact) of the score for")
    assert opened["notes"] == ["a note"]
    assert not opened["tries"]
    words = [s["words"] for s in opened["scopes"]]
    assert words == ["All 200 explained cases", "f (67)", "m (133)", f"{HOSTILE} (5)", "x (195)"]


def test_a_group_is_shown_beside_everybody(page: Page) -> None:
    page.ask("open")
    plain, full = page.ask("scope", scope="group 0")
    about = page.widget.explored
    members = (about.groups["Sex"] == "f").to_numpy()
    (flags,) = page.buffers[0]
    assert np.array_equal(np.frombuffer(flags, np.uint8), members)
    table = about.explanation.by_group(about.groups[["Sex"]]).query("group == 'f'")
    numbers = table[["mean_abs", "low", "high"]].to_numpy().tolist()
    wanted = dict(zip(table["feature"], numbers, strict=True))
    for line in full["importance"]["lines"]:
        assert line["at"] == wanted[FEATURES[line["feature"]]]
    assert [line["at"][0] for line in plain["importance"]["lines"]] == pytest.approx(
        [line["at"][0] for line in full["importance"]["lines"]]
    )
    assert (plain["importance"]["n"], plain["importance"]["told"]) == (67, "")
    (back,) = page.ask("scope", scope="all")
    assert back["importance"] is None


def test_too_few_cases_decide_nothing(page: Page) -> None:
    (told,) = page.ask("scope", scope="group 2")
    assert told["importance"]["told"] == "insufficient data: 5 cases, needs 30"
    assert page.rows(scope="group 2")["total"] == 5  # but they can be looked at


def test_only_the_last_choice_gets_its_intervals() -> None:
    page = page_of()
    later: list[Callable[[], None]] = []
    page.widget._beside = later.append
    page.ask("scope", scope="group 0")
    page.ask("scope", scope="group 1")
    page.heard.clear()
    for work in later:
        work()
    assert [(m["about"], m["scope"]) for m in page.heard] == [("intervals", "group 1")]


def test_the_rows_of_a_feature_are_drawn_where_their_numbers_are(page: Page) -> None:
    (told,) = page.ask("feature", feature=0)
    x, y = (np.frombuffer(b, "<f4").astype(float) for b in page.buffers[0])
    e = page.widget.explored.explanation
    assert ((x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)).all()
    assert np.corrcoef(y, e.values[:, 0])[0, 1] == pytest.approx(1)
    known = e.data["income"].notna().to_numpy()
    assert np.corrcoef(x[known], e.data["income"][known])[0, 1] == pytest.approx(1)
    assert x[~known] < x[known].min()
    assert told["ticks"][0][1] == "missing"
    assert told["label"] == "Income (k$)"
    zero = np.interp(0.0, np.sort(e.values[:, 0]), np.sort(y))
    assert told["zero"] == pytest.approx(zero, abs=1e-3)
    assert sum(n for _, _, n in told["means"]) == 200
    (region,) = page.ask("feature", feature=1)
    assert [name for _, name in region["ticks"]] == [HOSTILE, "north", "south"]
    assert region["means"][1][1] == "+5.0 points"


def test_the_list_has_every_order(page: Page) -> None:
    phi = page.widget.explored.explanation.values[:, 0]
    income = page.widget.explored.explanation.data["income"].to_numpy()
    for order, keys in (
        ("strongest", -np.abs(phi)),
        ("up", -phi),
        ("down", phi),
        ("value", np.where(np.isnan(income), np.inf, -income)),
    ):
        told = page.rows(order=order, count=500)
        places = [row["place"] for row in told["rows"]]
        assert told["total"] == 200
        assert places == np.argsort(keys, kind="stable").tolist()[:200]
    assert told["rows"][-1]["value"] == "not recorded"
    first = page.rows(order="down")["rows"][0]
    assert first["effect"] == f"▼ −{100 * -phi.min():.1f} points"
    score = page.widget.explored.explanation.predictions[first["place"]]
    assert first["score"] == f"{100 * score:.1f} of 100"


def test_a_stretch_of_the_list_around_a_case(page: Page) -> None:
    whole = page.rows(count=200)["rows"]
    place = whole[120]["place"]
    told = page.rows(count=20, around=place)
    assert (told["at"], told["start"]) == (120, 110)
    assert told["rows"] == whole[110:130]
    assert page.rows(start=10_000)["rows"] == whole[190:]
    assert page.rows(start=-5)["start"] == 0
    outside = page.rows(scope="group 2", around=150)
    assert outside["at"] is None
    assert {row["place"] for row in outside["rows"]} == {0, 1, 2, 3, 4}


def test_a_case_adds_up(page: Page) -> None:
    told = page.case(3)
    e = page.widget.explored.explanation
    assert told["case"] == "C0003"
    assert told["decision"] == ("Approve" if e.predictions[3] >= 0.5 else "Deny")
    assert told["score"] == f"The model’s score for “Approve”: {100 * e.predictions[3]:.1f} of 100"
    size = {b["feature"]: b["text"] for b in told["bars"]}
    assert size["Income (k$)"] == "▲ +1.1 points"
    lengths = [b["length"] for b in told["bars"]]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 100
    facts = dict(pair for _, pairs in told["groups"] for pair in pairs)
    assert facts["Income (k$)"] == "not recorded"
    assert list(facts) == ["Income (k$)", "region", "owner", HOSTILE]
    assert told["wrong"] == (told["decision"] not in told["recorded"].split(",")[0])


def test_whether_to_rely_on_an_explanation_is_said(page: Page) -> None:
    assert page.case(0)["reliable"] is True
    told = page.case(1)
    assert (told["reliable"], told["reason"]) == (False, f"they differ {HOSTILE}")
    unknown = page.case(2)
    assert unknown["reliable"] is None
    assert "not for this one" in unknown["reason"]


@pytest.mark.parametrize(
    ("scale", "amount", "score"),
    [
        ("probability", "+14.8 points", "14.8 of 100"),
        ("log-odds", "+0.15 log-odds", "0.148"),
        ("value", "+0.148", "0.148"),
    ],
)
def test_numbers_have_the_unit_of_their_scale(scale: Any, amount: str, score: str) -> None:
    from dataclasses import replace

    about = explained()
    about = replace(about, explanation=replace(about.explanation, scale=scale))
    assert about.amount(0.148) == amount
    assert about.amount(-0.148) == amount.replace("+", "−")
    assert about.amount(0.0)[0] == "0"  # nothing has no sign
    assert about.score(0.148) == score
    bar = about.case(0)["bars"][0]
    assert ("points" in bar["text"]) == (scale == "probability")
    assert ("log-odds" in bar["text"]) == (scale == "log-odds")


@pytest.mark.parametrize(
    ("act", "more", "words"),
    [
        ("dance", {}, "got 'dance' from the page"),
        ("feature", {"feature": 4}, "feature is 4; expected 0 to 3"),
        ("feature", {"feature": -1}, "feature is -1"),
        ("feature", {"feature": "x"}, "got feature 'x' from the page, expected a whole number"),
        ("feature", {"feature": True}, "expected a whole number"),
        ("case", {"place": 200}, "row is 200; expected 0 to 199"),
        ("scope", {"scope": "group 9"}, "group is 9; expected 0 to 3"),
        ("scope", {"scope": "everyone"}, "got 'everyone' from the page, expected some cases"),
        ("scope", {"scope": "cohort"}, "No cohort is chosen any more."),
        ("rows", {"order": "newest", "count": 5}, 'order is "newest"; accepted: strongest'),
    ],
)
def test_what_cannot_be_answered_is_said(
    page: Page, act: str, more: dict[str, Any], words: str
) -> None:
    (told,) = page.ask(act, **more)
    assert told["about"] == "refused"
    assert words in told["words"]


def test_a_chosen_cohort_reaches_every_view_and_goes_again() -> None:
    about = explained()
    cohort = Cohort(pd.DataFrame(index=[*about.names, "C9999"]))
    page = page_of(explored=about, cohort=cohort)
    ids = [*about.names[:40], "C9999"]
    cohort.choose("Young owners", ids, conditions=("age below 30", "owner is 1"), note="searched")
    (told,) = page.heard
    assert told["about"] == "cohort"
    assert told["chosen"]
    last = told["scopes"][-1]
    assert last["words"] == "Young owners (40 explained of 41)"
    assert last["about"] == "age below 30 and owner is 1"
    plain, full = page.ask("scope", scope="cohort")
    wanted = about.explanation.select(list(about.names[:40])).global_importance()
    by_name = wanted.set_index("feature")["high"]
    assert plain["importance"]["n"] == 40
    for line in full["importance"]["lines"]:
        assert line["at"][2] == by_name[FEATURES[line["feature"]]]
    assert page.rows(scope="cohort")["total"] == 40
    cohort.choose("Others", about.names[:7])
    assert page.rows(scope="cohort")["total"] == 7  # nothing old is kept
    page.heard.clear()
    cohort.clear()
    assert (page.heard[0]["chosen"], len(page.heard[0]["scopes"])) == (False, 5)
    page.widget.close()
    page.heard.clear()
    cohort.choose("Later", about.names[:3])
    assert page.heard == []


def test_what_if_opens_on_the_chosen_case() -> None:
    engine = prepared("boosting")
    X, _ = people()
    future: Future[WhatIf] = Future()
    page = page_of(trials=Trials(future, protected={"sex": list(X["sex"])}))
    assert page.ask("open")[0]["tries"]
    page.heard.clear()
    ask = {"kind": "what-if", "serial": 1, "act": "open", "case": "P3"}
    page.widget.receive(ask)
    assert [(m["about"], m["case"]) for m in page.heard] == [("preparing", "P3")]
    future.set_result(engine)
    assert [m["about"] for m in page.heard] == ["preparing", "schema", "answer"]
    assert {m["case"] for m in page.heard} == {"P3"}
    page.heard.clear()
    page.widget.receive(ask | {"serial": 2, "act": "set", "feature": "debt", "value": 41})
    assert page.heard[0]["answer"]["edits"] == 1
    page.heard.clear()
    page.widget.receive(ask | {"serial": 3, "case": "nobody"})
    assert (page.heard[0]["about"], page.heard[0]["case"]) == ("refused", "nobody")
    page.widget.receive(ask | {"serial": 4, "act": "undo", "case": "P4"})
    assert page.heard[-1]["about"] == "answer"  # another case has its own desk


def test_without_trials_nothing_can_be_tried(page: Page) -> None:
    page.widget.receive({"kind": "what-if", "serial": 1, "act": "open", "case": "C0000"})
    assert page.heard[0]["words"] == "Nothing can be tried in this explorer."
    page.heard.clear()
    page.widget.receive({"kind": "other"})
    assert page.heard == []


def test_ten_thousand_rows_are_sent_as_bytes() -> None:
    page = page_of(explored=explained(10_000))
    (told,) = page.ask("feature", feature=0)
    assert [len(b) for b in page.buffers[0]] == [40_000, 40_000]
    assert len(json.dumps(told)) < 2_000
    assert len(json.dumps(page.rows(start=5_000, count=60))) < 12_000


PLAN: dict[str, Any] = {
    "audit": {"title": "Small audit", "favorable_label": "grant", "unfavorable_label": "refuse"},
    "data": {"target": "good", "sensitive": ["sex"], "labels": {"sex": "Sex", "income": "Income"}},
    "explain": {"methods": ["shap"], "background": 20},
    "fairness": {"confidence": 0.9},
    "review": {"cases": 12},
}


def audit_of(folder: Path, clock: Clock, **changes: Any) -> Audit:
    rng = np.random.default_rng(3)
    income = rng.normal(50, 15, 120)
    X = pd.DataFrame(
        {
            "income": income,
            "debt": rng.normal(20, 8, 120),
            "sex": rng.choice(["f", "m"], 120),
            "good": (income + rng.normal(0, 15, 120) > 50).astype(int),
        }
    )
    model = LogisticRegression().fit(X[["income", "debt"]], X["good"])
    plan = AuditPlan.from_dict(PLAN | changes)
    audit = Audit(model, X, X["good"], plan=plan, folder=folder / "a", now=clock)
    audit.run(progress=False)
    return audit


def test_an_audit_opens_its_explorer(tmp_path: Path, clock: Clock) -> None:
    audit = audit_of(tmp_path, clock)
    explanation = audit.results.explanation
    assert explanation is not None
    page = Page(audit.explorer())
    page.widget._beside = lambda work: work()
    opened, intervals = page.ask("open")
    table = explanation.global_importance(0.9)
    wanted = table[["mean_abs", "low", "high"]].to_numpy()
    assert np.allclose(
        [line["at"] for line in intervals["importance"]["lines"]], wanted, rtol=1e-12
    )
    assert opened["confidence"] == "90% interval"
    assert [s["title"] for s in opened["scopes"]] == ["", "Sex", "Sex"]
    place = int(np.argmax(explanation.predictions))
    told = page.case(place)
    assert told["decision"] == "grant"
    assert told["case"] == explanation.index[place]
    row = audit.inputs.X.index.get_loc(explanation.index[place])
    assert told["wrong"] == (audit.inputs.y_true[row] == 0)
    assert [k for k, _ in told["groups"][0][1]] == ["Income", "debt"]


def test_an_audit_without_explanations_says_so(tmp_path: Path, clock: Clock) -> None:
    audit = audit_of(tmp_path, clock, explain={"methods": []})
    with pytest.raises(InputError, match="these results hold no SHAP explanation to explore"):
        audit.explorer()
