"""The oversight panel: each look, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hitl_audit.audit import Audit
from hitl_audit.plan import AuditPlan
from hitl_audit.review.ledger import Ledger
from hitl_audit.widgets.oversight_panel import OversightPanel
from tests.conftest import Clock

NAME = "Ada <b>Expert</b>"
PLAN: dict[str, Any] = {
    "audit": {"title": "Small audit", "favorable_label": "grant", "unfavorable_label": "refuse"},
    "data": {"target": "good", "sensitive": ["sex"], "labels": {"sex": "Sex"}},
    "explain": {"methods": [], "background": 20},
    "fairness": {"min_group": 10},
    "review": {
        "cases": 40,
        "truth": "target",
        "reviewers_per_case": 2,
        "escalations": [
            {"condition": "an expert's request", "role": "officer", "within_days": 2}
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    income = rng.normal(50, 15, 300)
    return pd.DataFrame(
        {
            "income": income,
            "debt": rng.normal(20, 8, 300),
            "sex": rng.choice(["female", "male"], 300, p=[0.2, 0.8]),
            "good": (income + rng.normal(0, 15, 300) > 50).astype(int),
        }
    )


Made = Callable[..., Audit]


@pytest.fixture
def made(people: pd.DataFrame, tmp_path: Path, clock: Clock) -> Made:
    model = LogisticRegression().fit(people[["income", "debt"]], people["good"])

    def make(**review: Any) -> Audit:
        plan = AuditPlan.from_dict(PLAN | {"review": PLAN["review"] | review})
        audit = Audit(model, people, people["good"], plan=plan, folder=tmp_path / "a", now=clock)
        audit.run(progress=False)
        return audit

    return make


class Page:
    """A panel, and what its page gets; everything must be JSON."""

    def __init__(self, panel: OversightPanel) -> None:
        self.panel = panel
        self.heard: list[dict[str, Any]] = []
        panel._beside = lambda work: work()
        panel.send = lambda content, buffers=None: self.heard.append(dict(content))

    def look(self) -> dict[str, Any]:
        self.heard.clear()
        self.panel.receive({"kind": "look", "serial": 7})
        (answer,) = self.heard
        assert (answer["kind"], answer["serial"], answer["failed"]) == ("looked", 7, "")
        return self.view

    @property
    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(self.panel.view, allow_nan=False))
        return found


def judge(audit: Audit, reviewer: str, answers: str, *, simulated: bool = False) -> None:
    """One verdict per letter: agree, disagree, unsure, escalate."""
    session = audit.session(reviewer=reviewer, simulated=simulated)
    given = {"a": "agree", "d": "disagree", "u": "unsure", "e": "escalate"}
    for letter in answers:
        session.case()
        session.submit("favorable")
        session.revealed()
        if letter in "de":
            session.submit(given[letter], reasons=session.reasons[:1], rationale="too old")
        else:
            session.submit(given[letter])


def test_before_anybody_judged(made: Made) -> None:
    audit = made()
    page = Page(audit.oversight_panel())
    assert page.view == {"state": "reading"}
    view = page.look()
    assert view["state"] == "empty"
    assert view["progress"]["sampled"] == 40
    assert view["progress"]["judged"] == 0
    assert view["overrides"] == []
    assert view["agreement"]["model"][0]["status"] == "not assessed"
    assert view["escalations"]["rows"] == []
    assert not view["simulated"]
    assert not audit.ledger_path.exists()  # who looks on writes nothing


def test_every_number_is_the_one_of_the_audit(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "ad" * 15 + "aaue")
    judge(audit, "Bo", "aad" * 8)
    view = Page(audit.oversight_panel()).look()
    seen = audit.oversight()
    assert view["said"] == f"{seen.judged} of 40 cases judged"
    assert sum(count for _, count in view["progress"]["parts"]) == seen.sampled
    assert view["progress"]["parts"][2][1] == seen.sampled - seen.judged
    shares = (seen.agreement, seen.blind_agreement)
    for line, share in zip(view["agreement"]["model"], shares, strict=True):
        assert line["at"] == [share.value, share.low, share.high]
        assert line["n"] == f"{share.count} of {share.n} cases"
    after = view["agreement"]["reviewers"][0]
    coefficients = {c.name: c for c in seen.reviewer_agreement}
    assert {line["name"] for line in after["first"] + after["others"]} == set(coefficients)
    for line in after["first"] + after["others"]:
        one = coefficients[line["name"]]
        assert line["at"] == (None if one.value is None else [one.value, one.low, one.high])
    alpha = coefficients["Krippendorff's alpha"]
    assert after["pairs"].startswith(f"{alpha.n_units} cases with answers of two or more")
    measures = [
        "override rate",
        "override rate, unfavorable to favorable",
        "override rate, favorable to unfavorable",
    ]
    estimated = 0
    for told, measure in zip(view["overrides"], measures, strict=True):
        for line, group in zip(told["lines"], ["", "sex: female", "sex: male"], strict=True):
            kpi = seen.kpi(measure, group)
            estimated += kpi.value is not None
            assert line["at"] == (None if kpi.value is None else [kpi.value, kpi.low, kpi.high])
            assert line["n"].startswith(f"{kpi.count} of {kpi.n} cases")
            if kpi.value is None:
                assert line["status"].startswith("insufficient data, needs 1")
        (gap,) = told["gaps"]
        found = seen.kpi(f"{measure}, difference at the same score", "sex: female − male")
        assert gap["at"] == (None if found.value is None else [found.value, found.low, found.high])
    assert estimated >= 3
    assert view["overrides"][0]["lines"][1]["name"] == "Sex: female"
    assert view["overrides"][1]["name"] == "“refuse” by the model, “grant” by people"
    use = {line["name"]: line for line in view["use"]["reliance"]}
    for name, measure in (("Over-reliance", "over-reliance"), ("Under-reliance", "under-reliance")):
        kpi = seen.kpi(measure)
        assert use[name]["at"] == (None if kpi.value is None else [kpi.value, kpi.low, kpi.high])
    lift = seen.kpi("lift over the model")
    assert view["use"]["effect"][0]["at"] == [lift.value, lift.low, lift.high]
    rows = view["reviewers"]["rows"]
    assert [row["answers"] for row in rows] == [row.answers for row in seen.by_reviewer]


def test_differences_have_their_sign(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "ad" * 20)
    view = Page(audit.oversight_panel()).look()
    lift = view["use"]["effect"][0]
    assert lift["value"].endswith(" points")
    sign = {True: "+", False: "−"}[lift["at"][0] > 0]
    assert lift["value"].startswith(sign)
    assert lift["interval"].startswith("−" if lift["at"][1] < 0 else "+")


def test_nobody_is_named(made: Made) -> None:
    audit = made(pseudonyms=False)
    judge(audit, NAME, "ae")
    judge(audit, "Bo Reviewer", "d")
    view = Page(audit.oversight_panel()).look()
    text = json.dumps(view)
    assert "Ada" not in text
    assert "Bo " not in text
    assert "too old" not in text  # nor anybody's words
    assert [row["name"] for row in view["reviewers"]["rows"]] == ["Reviewer 1", "Reviewer 2"]
    assert view["recent"][0][1].startswith("Reviewer 2 gave a verdict on C")
    assert view["recent"][0][0] == view["last"]


def test_a_look_sums_up_only_what_grew(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = made()
    judge(audit, NAME, "ad")
    page = Page(audit.oversight_panel())
    first = page.look()
    read: list[int] = []
    real = Ledger.numbered

    def counted(self: Ledger, *, after: int = 0) -> Any:
        found = real(self, after=after)
        read.append(len(found))
        return found

    monkeypatch.setattr(Ledger, "numbered", counted)
    before = page.panel.view
    page.look()
    assert page.panel.view is before  # nothing is sent again
    assert read == [1]
    judge(audit, "Bo", "a")
    second = page.look()
    assert second["events"] > first["events"]
    assert second["said"] == first["said"]  # the same case, by somebody else
    assert [row["answers"] for row in second["reviewers"]["rows"]] == [2, 1]


def test_simulated_judgments_are_marked(made: Made) -> None:
    audit = made()
    judge(audit, "Simulated reviewer 1", "ade", simulated=True)
    view = Page(audit.oversight_panel()).look()
    assert view["simulated"]
    assert view["reviewers"]["rows"][0]["simulated"]
    assert view["escalations"]["rows"][0]["simulated"]
    # How long a program took says nothing.
    assert "Median time per case" not in [tile[0] for tile in view["progress"]["tiles"]]


def test_an_escalation_becomes_overdue_by_itself(made: Made, clock: Clock) -> None:
    audit = made()
    judge(audit, NAME, "e")
    page = Page(audit.oversight_panel())
    (row,) = page.look()["escalations"]["rows"]
    assert (row["status"], row["role"]) == ("open", "officer")
    assert datetime.fromisoformat(row["deadline"]) - clock() < timedelta(days=2)
    clock.moment += timedelta(days=3)
    told = page.look()["escalations"]
    assert told["rows"][0]["status"] == "overdue"
    assert (told["open"], told["overdue"]) == (0, 1)
    audit.resolve(
        audit.escalations().items[0].event_id,
        outcome="stands",
        rationale="looked into",
        reviewer="Cy",
        role="officer",
    )
    assert page.look()["escalations"]["rows"][0]["status"] == "resolved"


def test_tasks_given_and_left(made: Made, clock: Clock) -> None:
    people = [{"name": NAME, "role": "expert"}, {"name": "Bo", "role": "expert"}]
    audit = made(reviewers=people, due_days=5)
    judge(audit, NAME, "aaa")
    page = Page(audit.oversight_panel())
    view = page.look()
    (row,) = view["reviewers"]["rows"]
    assert row["waits"] == "37 of 40 left"
    assert view["reviewers"]["note"] == "1 more has tasks and no answer yet."
    backlog = audit.oversight().kpi("backlog")
    assert view["progress"]["tiles"][0] == ["Left in the queue", "77", "of 80 tasks given"]
    assert backlog.value == 77
    clock.moment += timedelta(days=6)
    judge(audit, NAME, "a")
    assert page.look()["reviewers"]["rows"][0]["waits"] == "36 of 40 left, 36 overdue"


def test_without_tasks_the_drawn_cases_are_the_queue(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "aaa")
    judge(audit, "Bo", "aa")
    view = Page(audit.oversight_panel()).look()
    # Whoever opens a case takes a seat on it; that is no queue.
    assert view["progress"]["tiles"][0] == ["Left in the queue", "38", "of 40 drawn cases"]
    assert [count for _, count in view["progress"]["parts"]] == [2, 1, 37]
    assert [row["waits"] for row in view["reviewers"]["rows"]] == ["", ""]


def test_destroyed_words_are_forgotten(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "d")
    page = Page(audit.oversight_panel())
    page.look()
    watch = page.panel._watch
    verdict = next(e for e in watch._events if getattr(e, "rationale", ""))
    audit.ledger().redact(verdict.event_id, ["rationale"], by="officer", reason="asked for")
    page.look()
    assert not any(getattr(e, "rationale", "") == "too old" for e in watch._events)
    assert page.view["progress"]["judged"] == 1


def test_another_ledger_in_its_place_is_read_from_the_start(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "ad")
    page = Page(audit.oversight_panel())
    page.look()
    for file in audit.ledger_path.parent.glob("judgments.db*"):
        file.unlink()
    page.panel.receive({"kind": "look", "serial": 8})
    assert page.heard[-1]["failed"].startswith("ledger ")
    judge(audit, "Bo", "aaaa")
    view = page.look()
    assert view["progress"]["judged"] == 4
    assert len(view["reviewers"]["rows"]) == 1


def test_the_kernel_is_never_kept_waiting(made: Made) -> None:
    page = Page(made().oversight_panel())
    later: list[Callable[[], None]] = []
    page.panel._beside = later.append
    page.panel.receive({"kind": "look", "serial": 1})
    assert page.heard == []  # the work waits beside
    page.panel.receive({"kind": "look", "serial": 2})
    assert [m["serial"] for m in page.heard] == [2]  # another view: answered at once
    assert len(later) == 1
    later.pop()()
    assert [m["serial"] for m in page.heard] == [2, 1]
    page.panel.receive({"kind": "look", "serial": 3})
    assert len(later) == 1


def test_an_error_is_told_and_the_next_look_goes_on(made: Made) -> None:
    page = Page(made().oversight_panel())
    watch: Any = page.panel._watch
    look = watch.look

    def fails() -> None:
        raise ZeroDivisionError("<b>nothing</b>")

    watch.look = fails
    page.panel.receive({"kind": "look", "serial": 1})
    assert page.heard[0]["failed"].startswith("An error in the program: ZeroDivisionError")
    watch.look = look
    assert page.look()["state"] == "empty"


def test_other_messages_are_passed_over(made: Made) -> None:
    page = Page(made().oversight_panel())
    for content in ({}, {"kind": "submit"}, {"kind": 5}):
        page.panel.receive(content)
    assert page.heard == []


def test_a_saved_notebook_stays_small(made: Made) -> None:
    audit = made()
    judge(audit, NAME, "ad" * 20)
    judge(audit, "Bo", "aad" * 13)
    assert len(json.dumps(Page(audit.oversight_panel()).look())) < 40_000
