"""What people expected and the model violated: collected, looked for in every row, kept apart."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit import cli
from hitl_audit.audit import Audit
from hitl_audit.collected_checks import (
    NOTHING_COLLECTED,
    as_proposed,
    collect_checks,
    evaluate_collected,
)
from hitl_audit.plan import AuditPlan
from hitl_audit.recomputing import recompute_folder
from hitl_audit.review.records import WhatIf
from hitl_audit.widgets.trials import Trials, ahead
from hitl_audit.widgets.what_if_desk import WhatIfDesk
from hitl_audit.widgets.what_if_words import Shown
from tests.test_reviewing import judge_all, small_audit
from tests.what_if.conftest import people, prepared

Clock = Callable[[], datetime]
PLAN = AuditPlan.from_dict(
    {"audit": {"title": "People"}, "what_if": {"derived": {"ratio": "debt / income"}}}
)
ROWS = people()[0]


def tried(
    feature: str, before: str, after: str, expected: str | None, moved: float, **changes: Any
) -> WhatIf:
    """An edit on the what-if panel; the score moved by ``moved``."""
    given: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "at": "2026-03-02T09:00:00.000000Z",
        "plan_digest": PLAN.digest,
        "model_digest": "m",
        "case_id": "P1",
        "reviewer": "R1",
        "edits": ((feature, before, after),),
        "expectation": expected,
        "score_before": 0.5,
        "score_after": 0.5 + moved,
        "step": "final",
    }
    return WhatIf(**given | changes)


def collected(*events: WhatIf, **plan: Any) -> Any:
    asked = PLAN if not plan else AuditPlan.from_dict({"audit": {"title": "People"}, **plan})
    told = [replace(e, plan_digest=asked.digest) if e.plan_digest == PLAN.digest else e
            for e in events]  # fmt: skip
    return collect_checks(told, ROWS, asked, model_digest="m")


def keys(found: Any) -> list[tuple[Any, ...]]:
    return [
        (one.check.kind, one.check.feature, one.check.direction, one.check.values)
        for one in found.proposed
    ]


@pytest.mark.parametrize(
    ("event", "property_"),
    [
        (
            tried("income", "40.0 k$", "55.5 k$", "up", -0.1),
            ("monotonicity", "income", "increasing", ()),
        ),
        (
            tried("income", "1,240.0 k$", "55.5 k$", "up", -0.1),
            ("monotonicity", "income", "decreasing", ()),
        ),
        (tried("debt", "−3", "2", "down", 0.1), ("monotonicity", "debt", "decreasing", ())),
        (tried("age", "30 years", "40 years", "stay", 0.2), ("invariance", "age", None, ())),
        (tried("age", "30 years", "40 years", "stay", -0.2), ("invariance", "age", None, ())),
        (
            tried("region", "north", "west", "down", 0.1),
            ("direction", "region", "decreasing", ("north", "west")),
        ),
        (
            tried("owner", "no", "yes", "up", -0.1),
            ("direction", "owner", "increasing", ("False", "True")),
        ),
        # The ratio follows by itself: what the person changed is the debt.
        (
            tried("", "", "", "up", -0.1, edits=(("debt", "3", "9"), ("ratio", "0.1", "0.3"))),
            ("monotonicity", "debt", "increasing", ()),
        ),
    ],
)
def test_a_violated_expectation_is_a_property(event: WhatIf, property_: tuple[Any, ...]) -> None:
    found = collected(event, what_if={"derived": {"ratio": "debt / income"}})
    assert keys(found) == [property_]
    assert (found.proposed[0].people, found.proposed[0].violated) == (1, 1)
    assert found.left_out == ()


@pytest.mark.parametrize(
    "event",
    [
        tried("income", "40", "50", None, -0.1),
        tried("income", "40", "50", "up", 0.1),
        tried("income", "40", "50", "up", 0.0),  # a move was expected, and none came
        tried("income", "40", "50", "stay", 0.004),
        tried("income", "40", "50", "up", -0.1, step="planted"),
        tried("income", "40", "50", "up", -0.1, simulated=True),
        tried("income", "40", "50", "up", -0.1, model_digest="another"),
        tried("income", "40", "50", "up", -0.1, plan_digest="another"),
    ],
)
def test_what_violates_nothing_or_is_no_expectation_of_this_model(event: WhatIf) -> None:
    assert collected(event) == NOTHING_COLLECTED


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (tried("", "", "", "up", -0.1, edits=(), redacted=("edits",)), "erased"),
        (
            tried("", "", "", "up", -0.1, edits=(("debt", "3", "9"), ("age", "30", "31"))),
            "several facts",
        ),
        (tried("colour", "red", "blue", "up", -0.1), "do not have this fact"),
        (tried("region", "north", "<b>x</b>", "up", -0.1), "do not have this fact"),
        (tried("income", "not recorded", "50", "up", -0.1), "not recorded"),
    ],
)
def test_what_becomes_no_property_is_counted_and_says_why(event: WhatIf, why: str) -> None:
    found = collected(event, event)
    assert found.proposed == ()
    ((said, n),) = found.left_out
    assert why in said
    assert n == 2


def test_a_value_of_few_people_is_in_no_document() -> None:
    event = tried("region", "north", "west", "down", 0.1)
    few = int((ROWS["region"] == "west").sum()) + 1
    assert collected(event, publication={"minimum_group": few}).proposed == ()
    assert len(collected(event, publication={"minimum_group": few - 1}).proposed) == 1


def test_people_and_cases_are_counted_and_not_named() -> None:
    found = collected(
        tried("age", "30", "40", "up", -0.1),
        tried("income", "40", "50", "up", -0.1, reviewer="R1", case_id="P1"),
        tried("income", "60", "50", "down", 0.2, reviewer="R1", case_id="P2"),
        tried("income", "40", "41", "up", -0.1, reviewer="R2", case_id="P2"),
        tried("income", "40", "60", "up", 0.3, reviewer="R3", case_id="P3"),
        tried("income", "40", "60", "down", 0.3, reviewer="R3", case_id="P3"),
    )
    assert keys(found) == [
        ("monotonicity", "age", "increasing", ()),
        ("monotonicity", "income", "increasing", ()),
        ("monotonicity", "income", "decreasing", ()),
    ]
    income = found.proposed[1]
    assert (income.people, income.n_cases, income.violated, income.stated) == (2, 2, 3, 4)
    assert list(found.frame()["people"]) == [1, 2, 1]
    assert "R1" not in found.frame().to_csv()
    assert found.words.startswith("3 properties")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_ledger_gives_the_same_properties_as_the_panel(data: st.DataObject) -> None:
    """The panel works on values, this module on the words that the ledger keeps of them."""
    engine = prepared("boosting")
    events: list[WhatIf] = []

    def record(edits: Any, expected: str | None, old: float, new: float) -> None:
        as_text = tuple((str(f), str(a), str(b)) for f, a, b in edits)
        events.append(
            tried("", "", "", expected, 0, edits=as_text, score_before=old, score_after=new)
        )

    desk = WhatIfDesk(
        engine, data.draw(st.sampled_from(list(ROWS.index[:20]))),
        Shown(engine, ("Approve", "Deny"), (("", engine.population.features),)),
        lambda message: None, record=record, beside=lambda work: work(),
    )  # fmt: skip
    values = {
        "income": st.integers(10, 120),
        "debt": st.integers(0, 60),
        "owner": st.integers(0, 1),
        "age": st.integers(69, 80),
        "sex": st.integers(0, 1),
    }
    for serial in range(data.draw(st.integers(1, 6))):
        feature = data.draw(st.sampled_from(sorted(values)))
        expected = data.draw(st.sampled_from(["up", "down", "stay"]))
        desk.receive(
            {"act": "set", "serial": serial, "feature": feature, "slider": False,
             "value": data.draw(values[feature]), "expected": expected}
        )  # fmt: skip
    found = collect_checks(events, ROWS, PLAN, model_digest="m")
    panel = [(c.kind, c.feature, c.direction, tuple(str(v) for v in c.values)) for c in desk.checks]
    assert keys(found) == panel
    assert found.left_out == ()


def edit_with_expectation(audit: Audit, reviewer: str, feature: str, value: str, said: str) -> str:
    """Through the real judging page: blind answer, then an edit with what is expected of it."""
    widget = audit.review(reviewer=reviewer)
    widget.send = lambda content, buffers=None: None
    engine = audit.trials().engine.result()
    session = widget._session
    session.case()
    session.submit("favorable")
    widget.receive({"kind": "next"})
    case: str = widget.view["case"]["id"]
    widget.receive({"kind": "what-if", "act": "open", "serial": 1})
    widget.receive(
        {"kind": "what-if", "act": "set", "serial": 2, "feature": feature, "value": value,
         "expected": said, "slider": False}
    )  # fmt: skip
    assert engine.population.place_of(feature) >= 0
    return case


@pytest.fixture
def small(tmp_path: Path, clock: Clock) -> Audit:
    return small_audit(tmp_path / "a", clock, {"cases": 12, "reviewers_per_case": 4})


def test_the_next_run_looks_for_them_in_every_row_and_a_reader_can_do_so_again(
    small: Audit, clock: Clock
) -> None:
    small.run(progress=False)
    assert small.results.evidence.collected.checks == ()
    income = small.inputs.X["income"]
    edit_with_expectation(small, "Ada Expert", "income", f"{income.max():.2f}", "down")
    edit_with_expectation(small, "Ben Expert", "debt", "1", "stay")
    judge_all(small.session(reviewer="Cleo Expert"), lambda case: "agree")
    proposed = small.proposed_checks()
    assert ("monotonicity", "income", "decreasing", ()) in keys(proposed)

    # Opening what is there changes nothing; a run looks for them.
    folder = small.ledger_path.parent
    assert Audit.open(folder, now=clock).results.evidence.collected.checks == ()
    results = small.run(progress=False)
    found = results.evidence.collected.checks[0]
    assert (found.column, found.people, found.cases, found.violated) == ("income", 1, 1, 1)
    # Brute force: the score rises with the income, so in every row it moves against it.
    score = small.inputs.predictor.score
    grid = np.quantile(income, np.linspace(0, 1, 5))
    moves = np.diff([score(small.inputs.X.assign(income=value)) for value in grid], axis=0)
    assert found.note.violating == int((moves > 1e-9).any(axis=0).sum()) == found.note.n == 200
    # It is no promise: decisions and the plan's own checks are what they were.
    assert results.evidence.checks == ()
    assert {f.id for f in results.findings} == {f"F{i + 1}" for i in range(len(results.findings))}

    document = str(small.report().document)
    assert "collected after results were known" in document
    assert "Ada" not in document

    runner = CliRunner()
    assert runner.invoke(cli.main, ["report", str(folder)]).exit_code == 0
    # Said after the run: the document still has those of its run, and they derive again.
    edit_with_expectation(small, "Dora Expert", "debt", "60", "up")
    assert recompute_folder(folder, now=clock).same
    stored = json.loads((folder / "evidence.json").read_text())
    one = stored["collected"]["checks"][0]
    one["people"] = 7  # recorded by people, not derived from model and data
    one["note"]["violating"] -= 1
    (folder / "evidence.json").write_text(json.dumps(stored))
    told = [d.path for d in recompute_folder(folder, now=clock).differences]
    assert told == ["collected.checks[0].note.violating"]


def test_a_document_is_evaluated_again_from_its_own_evidence(small: Audit) -> None:
    event = tried("income", "40", "50", "down", 0.2, plan_digest=small.plan.digest)
    event = replace(event, model_digest=small.inputs.model.digest)
    proposed = collect_checks(
        [event], small.inputs.X, small.plan, model_digest=small.inputs.model.digest
    )
    once = evaluate_collected(proposed, small.inputs, small.plan)
    assert evaluate_collected(as_proposed(once), small.inputs, small.plan) == once
    assert once.checks[0].note.words.startswith("The score should not rise as income increases.")


def test_trials_of_a_notebook_leave_nothing_in_the_ledger(small: Audit) -> None:
    small.run(progress=False)
    trials = small.trials()
    assert isinstance(trials, Trials)
    engine = trials.engine.result()
    assert ahead(lambda: engine).result() is engine
    panel = small.what_if(0)
    panel.send = lambda content, buffers=None: None
    panel.receive({"kind": "what-if", "act": "open", "serial": 1})
    panel.receive(
        {"kind": "what-if", "act": "set", "serial": 2, "feature": "income", "value": "100",
         "expected": "down", "slider": False}
    )  # fmt: skip
    assert [c.direction for c in panel.checks] == ["decreasing"]
    assert not small.ledger_path.exists()
    assert small.proposed_checks() == NOTHING_COLLECTED
