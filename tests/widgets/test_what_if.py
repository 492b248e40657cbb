"""The what-if desk: each message of the page, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.review.ledger import Ledger
from hitl_audit.review.records import WhatIf as Tried
from hitl_audit.review.revealed import Revealed, mirrored
from hitl_audit.review.sampling import sample_cases
from hitl_audit.review.session import ReviewSession
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.widgets.judge import JudgeWidget
from hitl_audit.widgets.trials import Trials
from hitl_audit.widgets.what_if_panel import WhatIfPanel
from tests.what_if.conftest import people, prepared

GROUPS = (("Money", ("income", "debt", "ratio")), ("Person", ("age", "region", "owner", "sex")))
LABELS = ("Approve", "Deny")


def at_once(work: Any) -> None:
    work()


def done(engine: WhatIf) -> Future[WhatIf]:
    future: Future[WhatIf] = Future()
    future.set_result(engine)
    return future


class Said:
    """A panel, and what it said to the page; everything must be JSON."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.heard: list[dict[str, Any]] = []
        self.serial = 0
        widget.send = lambda content, buffers=None: self.heard.append(
            json.loads(json.dumps(content, allow_nan=False))
        )

    def ask(self, act: str, **more: Any) -> list[dict[str, Any]]:
        self.serial += 1
        self.heard.clear()
        self.widget.receive({"kind": "what-if", "serial": self.serial, "act": act, **more})
        assert {m["serial"] for m in self.heard} == {self.serial}
        return list(self.heard)

    def answer(self, act: str, **more: Any) -> dict[str, Any]:
        (answer,) = (m for m in self.ask(act, **more) if m["about"] == "answer")
        found: dict[str, Any] = answer["answer"]
        return found


def panel_on(name: str = "boosting", case: str = "P3", **changes: Any) -> Said:
    engine = prepared(name)
    X, _ = people()
    trials = Trials(done(engine), GROUPS, {"sex": list(X["sex"])}, {"sex": "Sex"}, **changes)
    return Said(WhatIfPanel(trials, case, labels=LABELS, beside=at_once))


@pytest.fixture
def panel() -> Said:
    return panel_on()


def test_opening_describes_every_control_and_edits_nothing(panel: Said) -> None:
    schema, answer = panel.ask("open")
    facts = [f for group in schema["schema"]["groups"] for f in group["features"]]
    assert [f["feature"] for f in facts] == [f for _, names in GROUPS for f in names]
    by_name = {f["feature"]: f for f in facts}
    assert by_name["income"]["unit"] == "k$"
    assert by_name["income"]["step"] == 0.5
    assert by_name["region"]["locked"]
    assert "debt / income" in by_name["ratio"]["locked"]
    assert by_name["age"]["note"] == "Can only go up."
    assert by_name["owner"]["choices"] == ["no", "yes"]
    assert answer["answer"]["edits"] == 0
    assert answer["answer"]["values"] == {}
    assert not answer["answer"]["undo"]
    assert panel.widget.desk.history.revision == 0


def test_a_held_slider_answers_without_an_edit_and_its_release_is_one(panel: Said) -> None:
    panel.ask("open")
    start = float(panel.widget.desk.history.start_values["income"])
    for step in range(1, 4):
        trying = panel.ask("try", feature="income", value=start + step, slider=True)[0]
        assert trying["trying"]
        assert trying["answer"]["values"]["income"] == start + step
    assert panel.widget.desk.history.revision == 0
    answer = panel.answer("set", feature="income", value=start + 3, slider=True)
    assert answer["edits"] == 1  # the ratio follows by itself
    assert set(answer["values"]) == {"income", "ratio"}
    assert panel.widget.desk.history.revision == 1
    # Within half a step of where the case is, a slider stands where the case is.
    back = panel.answer("try", feature="income", value=start + 0.2, slider=True)
    assert back["edits"] == 0


def test_undo_redo_reset(panel: Said) -> None:
    panel.ask("open")
    first = panel.answer("set", feature="debt", value="40", slider=False)
    second = panel.answer("set", feature="owner", value=1, slider=False)
    assert panel.answer("undo") == {**first, "redo": True}
    assert panel.answer("redo") == second
    assert panel.answer("reset")["values"] == {}
    assert panel.answer("undo")["values"] == second["values"]


def test_numbers_are_those_of_the_engine(panel: Said) -> None:
    answer = panel.answer("set", feature="debt", value=60, slider=False)
    desk = panel.widget.desk
    score = desk.engine.scored(desk.history)
    assert answer["score"] == f"{score * 100:.1f} of 100"
    assert answer["level"] == score
    assert answer["decision"] == ("Approve" if score >= 0.5 else "Deny")
    bars = answer["bars"]
    assert sum(bars["after"]) - sum(bars["before"]) == pytest.approx(
        answer["level"] - answer["start_level"], abs=1e-9
    )


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("income", "many", "is a number"),
        ("income", "500", "between"),
        ("age", 1, "can only go up"),
        ("region", 0, "cannot be changed"),
        ("ratio", 1, "computed"),
        ("colour", 1, "accepted"),
        (None, 1, "expected a feature"),
    ],
)
def test_what_cannot_be_set_is_refused_in_words(
    panel: Said, feature: Any, value: Any, words: str
) -> None:
    panel.ask("open")
    (said,) = panel.ask("set", feature=feature, value=value, slider=False)
    assert said["about"] == "refused"
    assert words in said["words"]
    assert said["answer"]["edits"] == 0


def test_an_expectation_is_settled_and_a_violated_one_becomes_a_check() -> None:
    panel = panel_on("logistic", expectation_first=True)
    schema, _ = panel.ask("open")
    assert schema["expectation_first"]
    said = panel.ask("set", feature="income", value=120, slider=False, expected="down")[0]
    assert said["outcome"] == "violated"
    assert said["expected"].startswith("You expected the score to go down; it went up, from ")
    (check,) = panel.widget.checks
    assert (check.kind, check.feature, check.direction) == ("monotonicity", "income", "decreasing")
    said = panel.ask("set", feature="income", value=60, slider=False, expected="down")[0]
    assert said["outcome"] == "met"
    refused = panel.ask("set", feature="income", value=50, slider=False, expected="sideways")[0]
    assert "expected up, down or stay" in refused["words"]


def test_ways_to_the_other_decision_can_be_tried(panel: Said) -> None:
    panel.ask("open")
    started, found = panel.ask("ways")
    assert (started["about"], found["about"]) == ("searching", "ways")
    assert found["found"]["rows"]
    start = panel.widget.desk.engine.answer(panel.widget.desk.history).favorable
    answer = panel.answer("apply", place=0)
    assert panel.widget.desk.engine.answer(panel.widget.desk.history).favorable != start
    assert answer["turned"]
    assert panel.answer("undo")["edits"] == 0
    assert panel.ask("apply", place=99)[0]["about"] == "refused"


def test_a_stopped_search_says_nothing_more() -> None:
    later: list[Any] = []
    panel = panel_on()
    panel.widget.desk._beside = later.append
    assert [m["about"] for m in panel.ask("ways")] == ["searching"]
    assert [m["about"] for m in panel.ask("cancel")] == ["cancelled"]
    panel.heard.clear()
    later[0]()
    assert panel.heard == []


def test_questions_about_a_case(panel: Said) -> None:
    panel.ask("open")
    curve = panel.ask("curve", feature="income")[0]["curve"]
    assert len(curve["x"]) == len(curve["case"]) == len(curve["near"])
    choice = panel.ask("curve", feature="owner")[0]["curve"]
    assert choice["names"] == ["no", "yes"]
    other = panel.ask("counterpart")[0]["found"]
    assert other["words"].startswith("Case P")
    flip = panel.ask("flip", attribute="sex")[0]["found"]
    assert flip["alone"]
    assert panel.ask("flip", attribute="age")[0]["about"] == "refused"


def test_versions_are_kept_side_by_side(panel: Said) -> None:
    panel.ask("open")
    assert panel.ask("keep")[0]["compare"] is None  # nothing is changed
    panel.ask("set", feature="debt", value=50, slider=False)
    panel.ask("keep")
    assert len(panel.ask("keep")[0]["compare"]["columns"]) == 2  # the same one once
    panel.ask("set", feature="owner", value=1, slider=False)
    compare = panel.ask("keep")[0]["compare"]
    assert [c["name"] for c in compare["columns"]] == ["as it is", "Version 1", "Version 2"]
    assert compare["columns"][1]["changed"][compare["rows"].index("Debt")]
    assert panel.ask("forget")[0]["compare"] is None


def test_contributions_that_take_longer_come_after_the_prediction() -> None:
    panel = panel_on("network")
    first, bars = panel.ask("open")[1:]
    assert (first["about"], first["answer"]["bars"]) == ("answer", None)
    assert bars["about"] == "bars"
    assert len(bars["bars"]["after"]) == 7
    # While they are worked out something newer is asked: they are dropped.
    later: list[Any] = []
    panel.widget.desk._beside = later.append
    panel.ask("set", feature="debt", value=50, slider=False)
    panel.ask("undo")
    panel.heard.clear()
    later[0]()
    assert panel.heard == []
    later[1]()
    assert [m["about"] for m in panel.heard] == ["bars"]


# On the judging page


def judging(tmp_path: Path, *, planted: bool = False, groups: Any = ()) -> Said:
    engine = prepared("boosting")
    X, _ = people()
    cases = X.head(4)

    def reveal(case_id: str) -> Revealed:
        score = engine.scored(engine.start(case_id))
        return Revealed("favorable" if score >= 0.5 else "unfavorable", score, 0.5, ())

    session = ReviewSession(
        sample_cases(cases, 4),
        cases,
        reveal,
        Ledger(tmp_path / "judgments.db"),
        reviewer="Dana",
        role="domain expert",
        model_digest="m",
        plan_digest="p",
        reasons=("Unfair",),
        labels=LABELS,
        controls=dict.fromkeys(cases.index, "planted") if planted else None,
    )
    trials = Trials(done(engine), GROUPS)
    widget = JudgeWidget(session, trials=trials, groups=groups, beside=at_once)
    return Said(widget)


def answer_blind(page: Said) -> str:
    case: str = page.widget.view["case"]["id"]
    page.widget.receive(
        {
            "kind": "submit",
            "event_id": str(uuid.uuid4()),
            "case_id": case,
            "step": "blind",
            "answer": "unsure",
        }
    )
    return case


def tried(page: Said) -> list[Tried]:
    return [e for e in page.widget._session.ledger.events() if isinstance(e, Tried)]


def test_nothing_can_be_tried_before_the_own_answer(tmp_path: Path) -> None:
    page = judging(tmp_path)
    assert "what_if" not in page.widget.view
    (said,) = page.ask("open")
    assert said["about"] == "refused"
    assert "stays hidden" in said["words"]
    assert tried(page) == []


def test_edits_are_recorded_and_opening_is_none(tmp_path: Path) -> None:
    page = judging(tmp_path)
    case = answer_blind(page)
    assert page.widget.view["what_if"]
    page.ask("open")
    page.ask("try", feature="debt", value=50, slider=True)
    page.ask("ways")
    assert tried(page) == []
    answer = page.answer("set", feature="debt", value=50, slider=False, expected="down")
    (event,) = tried(page)
    assert (event.case_id, event.step, event.expectation) == (case, "final", "down")
    assert [f for f, _, _ in event.edits] == ["debt", "ratio"]
    assert event.score_after == answer["level"]
    page.ask("undo")
    assert len(tried(page)) == 1
    page.widget.receive(
        {
            "kind": "submit",
            "event_id": str(uuid.uuid4()),
            "case_id": case,
            "step": "final",
            "answer": "agree",
        }
    )
    verdict = page.widget._session.ledger.judgments()[-1]
    assert "what-if" in verdict.shown


def test_a_planted_case_is_reversed_throughout(tmp_path: Path) -> None:
    page = judging(tmp_path, planted=True)
    case = answer_blind(page)
    engine = prepared("boosting")
    _, opened = page.ask("open")
    true = engine.scored(engine.start(case))
    assert opened["answer"]["level"] == pytest.approx(mirrored(true, 0.5))
    assert opened["answer"]["decision"] == ("Deny" if true >= 0.5 else "Approve")
    answer = page.answer("set", feature="debt", value=60, slider=False)
    bars = answer["bars"]
    assert sum(bars["after"]) - sum(bars["before"]) == pytest.approx(
        answer["level"] - opened["answer"]["level"], abs=1e-9
    )
    curve = page.ask("curve", feature="debt")[0]["curve"]
    assert curve["level"] == pytest.approx(answer["level"])
    assert [e.step for e in tried(page)] == ["planted"]
    other = page.ask("counterpart")[0]["found"]
    assert "Case P" not in other["words"]  # another person's answer may still be hidden


def test_facts_are_grouped_and_what_no_group_names_comes_last(tmp_path: Path) -> None:
    page = judging(tmp_path, groups=(("Money", ("income", "debt")),))
    groups = page.widget.view["case"]["groups"]
    assert [title for title, _ in groups] == ["Money", "Other facts"]
    assert [name for name, _ in groups[0][1]] == ["income", "debt"]
    listed = [pair for _, pairs in groups for pair in pairs]
    assert sorted(listed) == sorted(page.widget.view["case"]["values"])


def test_a_panel_needs_a_case_of_the_data() -> None:
    with pytest.raises(Exception, match="no case of that name"):
        panel_on(case="nobody")


def test_what_comes_before_the_engine_is_prepared_waits_and_is_answered_here(
    tmp_path: Path,
) -> None:
    """By the thread of the page's own loop: the ledger's connection belongs to it."""
    page = judging(tmp_path)
    answer_blind(page)
    waiting: Future[WhatIf] = Future()
    page.widget._trials = Trials(waiting, GROUPS)
    page.heard.clear()

    async def visit() -> None:
        page.widget.receive({"kind": "what-if", "serial": 1, "act": "open"})
        assert [m["about"] for m in page.heard] == ["preparing"]
        engine = prepared("boosting")
        await asyncio.to_thread(waiting.set_result, engine)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(visit())
    assert [m["about"] for m in page.heard] == ["preparing", "schema", "answer"]
