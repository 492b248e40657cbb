"""The plan's review: who is drawn, who may judge, what is escalated, what comes in from elsewhere."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from hitl_audit import cli
from hitl_audit.audit import Audit
from hitl_audit.errors import InputError
from hitl_audit.evidence import read_evidence
from hitl_audit.judgment_files import export_judgments, import_judgments, write_tasks
from hitl_audit.plan import AuditPlan
from hitl_audit.recomputing import recompute_folder
from hitl_audit.review.exchange import read_events
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.protocol import RefusedError
from hitl_audit.review.records import Assignment, Reviewer
from hitl_audit.review.session import ReviewSession

Clock = Callable[[], datetime]
REASON = "A factor that matters is missing"


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    income = rng.normal(50, 15, 300)
    return pd.DataFrame(
        {
            "file": [f"A-{i:03d}" for i in range(300)],
            "income": income,
            "debt": rng.normal(20, 8, 300),
            "sex": rng.choice(["female", "male"], 300, p=[0.2, 0.8]),
            "good": (income + rng.normal(0, 15, 300) > 50).astype(int),
        }
    )


def audit_of(
    people: pd.DataFrame, folder: Path, clock: Clock, review: dict[str, Any], **more: Any
) -> Audit:
    """An audit folder as `hitl-audit run` finds it."""
    folder.mkdir(exist_ok=True)
    model = LogisticRegression().fit(people[["income", "debt"]], people["good"])
    (folder / "model.skops").write_bytes(skops.io.dumps(model))
    people.to_csv(folder / "test.csv", index=False)
    plan = AuditPlan.from_dict(
        {
            "audit": {
                "title": "Small audit",
                "favorable_label": "grant",
                "unfavorable_label": "refuse",
            },
            "model": {"path": "model.skops"},
            "data": {
                "path": "test.csv",
                "target": "good",
                "id": "file",
                "sensitive": ["sex"],
                "features": ["income", "debt"],
            },
            "gaps": {"contributions": "none", "proxies": False},
            "errors": {"slices": False},
            "thresholds": {"sweep": False},
            "alternatives": {"search": False},
            "explain": {"methods": []},
            "review": review,
        }
        | more
    )
    (folder / "audit.toml").write_bytes(plan.source)
    return Audit.open(folder, now=clock)


def small_audit(folder: Path, clock: Clock, review: dict[str, Any], **more: Any) -> Audit:
    """200 people, a model that follows their income; not run yet."""
    rng = np.random.default_rng(3)
    income = rng.normal(50, 15, 200).clip(10)
    frame = pd.DataFrame(
        {
            "file": [f"A-{i:03d}" for i in range(200)],
            "income": income,
            "debt": rng.normal(20, 8, 200).clip(0),
            "sex": rng.choice(["female", "male"], 200),
            "good": (income + rng.normal(0, 15, 200) > 50).astype(int),
        }
    )
    return audit_of(frame, folder, clock, review, **more)


def judge_all(session: ReviewSession, verdict: Callable[[str], str]) -> int:
    done = 0
    while (case_id := session.position().case_id) is not None:
        session.case()
        session.submit("favorable", confidence=3)
        session.revealed()
        answer = verdict(case_id)
        why = answer in ("disagree", "escalate")
        session.submit(
            answer,
            reasons=(REASON,) if answer == "disagree" else (),
            rationale="The debt is too high." if why else "",
        )
        done += 1
    return done


def test_a_mixture_with_floors_is_drawn_as_planned(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    review = {
        "cases": 60,
        "design": "mixture",
        "priority": ["threshold", "entropy"],
        "stratify_by": "sex",
        "floor_per_group": 25,
    }
    audit = audit_of(people, tmp_path / "a", clock, review)
    sample = audit.run(progress=False).sample
    assert sample.design == "mixture"
    assert len(sample.cases) == 60
    women = [c for c in sample.cases if dict(c.groups)["sex"] == "female"]
    assert len(women) >= 25
    assert sum(audit.inputs.sensitive["sex"] == "female") < 75  # they would be about 12 of 60
    near = pd.Series(np.abs(audit.inputs.y_score - 0.5), index=audit.inputs.X.index)
    assert near.loc[list(sample.case_ids)].mean() < near.mean()
    (how,) = (p for p in audit.results.evidence.provenance if p.part == "sample")
    assert how.parameters["floor_per_group"] == 25
    assert how.parameters["priority"] == ["threshold", "entropy"]


def test_neyman_takes_more_cases_where_the_model_is_unsure(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    unsure = people.assign(
        sex=np.where(np.abs(people["income"] - 50) < 15, "near", "far"),
    )
    review = {"cases": 60, "design": "stratified", "stratify_by": "sex", "allocation": "neyman"}
    sample = audit_of(unsure, tmp_path / "a", clock, review).run(progress=False).sample
    share = sum(c.stratum == "near" for c in sample.cases) / 60
    assert share > (unsure["sex"] == "near").mean()


def test_a_protected_input_that_flips_the_decision_is_a_priority(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    # The model reads sex as a number, and refuses women near the threshold.
    coded = people.assign(sex=(people["sex"] == "male").astype(int))

    def model(X: pd.DataFrame) -> Any:
        return 1 / (1 + np.exp(-(X["income"] - 55 + 10 * X["sex"]) / 10))

    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "Flips"},
            "data": {
                "target": "good",
                "sensitive": ["sex"],
                "features": ["income", "debt", "sex"],
            },
            "explain": {"methods": []},
            "alternatives": {"search": False},
            "review": {"cases": 30, "design": "uncertainty", "priority": "flip"},
        }
    )
    audit = Audit(model, coded, coded["good"], plan=plan, folder=tmp_path / "a", now=clock)
    drawn = audit.run(progress=False).sample
    flips = coded["income"].between(45, 55).to_numpy()
    places = [audit.inputs.case_ids.index(case) for case in drawn.case_ids]
    assert flips[places].mean() > 0.9 > 0.5 > flips.mean()


def test_only_listed_reviewers_judge_the_cases_given_to_them(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "gold.csv").write_text("id,answer\nA-007,1\nA-008,0\n")
    review = {
        "cases": 12,
        "reviewers_per_case": 2,
        "gold": "gold.csv",
        "planted": 0.1,
        "due_days": 7,
        "reviewers": [
            {
                "name": "Ada Expert",
                "competence": "underwriter, 12 years",
                "authority": "may refuse",
            },
            {"name": "Ben Expert"},
            {"name": "Cleo Expert"},
        ],
    }
    audit = audit_of(people, folder, clock, review)
    audit.run(progress=False)
    with pytest.raises(InputError, match="accepted, as the plan lists: Ada Expert, Ben Expert"):
        audit.session(reviewer="Eve")
    for name in ("ada expert", "Ben Expert", "Cleo  Expert"):
        judge_all(audit.session(reviewer=name), lambda case: "agree")
    ledger = Ledger(audit.ledger_path, read_only=True)
    events = ledger.events()
    assert [e.reviewer for e in events if isinstance(e, Reviewer)] == ["R1", "R2", "R3"]
    assert len([e for e in events if isinstance(e, Assignment)]) == 3
    assert b"Ada Expert" not in b"".join(e.seal(lambda: bytes(16)).body for e in events)
    evidence = read_evidence(audit.report().evidence)
    known = {"C008", "C009"} & set(audit.results.sample.case_ids)
    assert evidence.oversight.judged == 12 - 1 - len(known)  # one of the twelve is planted
    assert evidence.oversight.kpi("hidden gold accuracy").n == 6
    assert evidence.oversight.kpi("planted errors caught").n == 2
    assert evidence.oversight.kpi("planted errors caught").count == 0
    first = evidence.review.reviewers[0]
    assert (first.reviewer, first.competence) == ("reviewer 1", "underwriter, 12 years")
    text = str(audit.report().document)
    assert "shown reversed" in text
    assert "Ada" not in text
    # The folder alone gives the same, with nothing recomputed.
    with_folder = CliRunner().invoke(cli.main, ["report", str(folder), "--json"])
    assert with_folder.exit_code == 0, with_folder.output
    again = read_evidence((folder / "evidence.json").read_bytes())
    assert again.oversight == evidence.oversight


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,answr\nA-007,1\n", "review.gold has no column answer"),
        ("id,answer\nA-999,1\n", 'review.gold names id "A-999", which the data do not have'),
        ("id,answer\nA-007,2\n", 'says 2 of id "A-007"; accepted: 1 or 0'),
        ("id,answer\nA-007,1\nA-007,0\n", 'names id "A-007" twice'),
    ],
)
def test_gold_answers_that_cannot_be_used_are_named(
    people: pd.DataFrame, tmp_path: Path, clock: Clock, text: str, words: str
) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "gold.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        audit_of(people, folder, clock, {"gold": "gold.csv", "reviewers": [{"name": "Ada"}]})


RULES = [
    {"condition": "an expert's request", "role": "compliance officer", "within_days": 14},
    {"condition": "conflict between reviewers", "role": "adjudicator", "within_days": 7},
]


def test_an_open_escalation_stands_in_the_way_until_its_role_settles_it(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "a"
    review = {"cases": 10, "reviewers_per_case": 2, "escalations": RULES}
    audit = audit_of(people, folder, clock, review)
    audit.run(progress=False)
    asked = audit.results.sample.case_ids[0]
    disputed = audit.results.sample.case_ids[1]
    judge_all(audit.session(reviewer="Ada"), lambda case: "escalate" if case == asked else "agree")
    judge_all(
        audit.session(reviewer="Ben"), lambda case: "disagree" if case == disputed else "agree"
    )
    late = audit.session(reviewer="Cleo")
    assert (
        late.position().words == "All cases have their reviewers; none is left for you. Thank you."
    )
    found = audit.escalations()
    assert {(i.condition, i.subject) for i in found.items} == {
        ("an expert's request", asked),
        ("conflict between reviewers", disputed),
    }
    page = str(audit.report().document.summary)
    assert "2 escalations are not resolved: until then no clean opinion is given" in page

    request = next(i for i in found.items if i.subject == asked)
    for role, words in (("adjudicator", 'expected "compliance officer"'),):
        with pytest.raises(InputError, match=words):
            audit.resolve(request.event_id, outcome="x", rationale="y", reviewer="Grace", role=role)
    runner = CliRunner()
    listed = runner.invoke(cli.main, ["escalations", str(folder)])
    assert listed.exit_code == 3
    assert request.event_id[:8] in listed.output
    settled = runner.invoke(
        cli.main,
        [
            "escalations",
            str(folder),
            "--resolve",
            request.event_id[:8],
            "--outcome",
            "by hand",
            "--rationale",
            "income seen",
            "--by",
            "Grace",
            "--role",
            "compliance officer",
        ],
    )
    assert "1 resolved" in settled.output

    asked_page = audit.adjudicate(reviewer="Dora").view
    assert asked_page["case"]["id"] == disputed
    assert "Ada" not in str(asked_page)
    assert "Ben" not in str(asked_page)
    third = audit.adjudication(reviewer="Dora")
    assert third.position().case_id == disputed
    assert third.dissent().decisions == (("favorable", 1), ("unfavorable", 1))
    third.revealed()
    with pytest.raises(RefusedError):
        third.submit("favorable", rationale="")
    third.submit("favorable", rationale="The debt is usual for this work.")
    assert not audit.escalations().blocks_clean_opinion
    assert runner.invoke(cli.main, ["escalations", str(folder)]).exit_code == 0
    assert "not resolved" not in str(audit.report().document.summary)
    with pytest.raises(InputError, match="is resolved; expected an open one"):
        audit.resolve(
            request.event_id,
            outcome="x",
            rationale="y",
            reviewer="Grace",
            role="compliance officer",
        )


def test_judgments_go_out_and_answers_come_in(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "a"
    audit = audit_of(people, folder, clock, {"cases": 12})
    with pytest.raises(InputError, match="has no results; run"):
        write_tasks(folder, tmp_path / "tasks.json")
    audit.run(progress=False)
    with pytest.raises(InputError, match="has no judgments yet"):
        export_judgments(folder, tmp_path / "all.csv")
    made = write_tasks(folder, tmp_path / "tasks.json")
    tasks = json.loads(made.tasks.read_text())
    assert made.cases == len(tasks) == 12
    assert all("predictions" not in task for task in tasks)
    assert "grant" in made.config.read_text()

    exported = [
        task
        | {
            "id": number,
            "annotations": [
                {
                    "id": 100 + number,
                    "completed_by": {"id": 7, "email": "ada@example.org"},
                    "result": [
                        {
                            "from_name": "answer",
                            "to_name": "case",
                            "type": "choices",
                            "value": {"choices": ["grant"]},
                        }
                    ],
                    "was_cancelled": False,
                    "ground_truth": False,
                    "created_at": "2026-03-04T10:00:00.000000Z",
                    "lead_time": 31.5,
                }
            ],
        }
        for number, task in enumerate(tasks)
    ]
    (tmp_path / "export.json").write_text(json.dumps(exported))
    given: dict[str, Any] = {
        "source": "label-studio project 83",
        "role": "domain expert",
        "with_model": False,
        "now": clock,
    }
    report = import_judgments(folder, tmp_path / "export.json", **given)
    assert (report.recorded, report.known, report.bad) == (12, 0, ())
    assert import_judgments(folder, tmp_path / "export.json", **given).known == 12
    judged = [e for e in Ledger(audit.ledger_path).events() if isinstance(e, Judgment)]
    assert {(e.phase, e.answer, e.reviewer, e.source) for e in judged} == {
        ("blind", "favorable", "R1", "label-studio project 83")
    }
    assert export_judgments(folder, tmp_path / "all.csv") == 13
    assert [event for _, event in read_events(tmp_path / "all.csv")] == list(
        Ledger(audit.ledger_path).events()
    )
    with pytest.raises(InputError, match=r"accepted: \.json \(Label Studio\), \.csv"):
        import_judgments(folder, tmp_path / "export.xlsx", **given)


def test_every_number_is_derived_again_and_a_changed_one_is_named(
    people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "a"
    audit_of(people.head(290), folder, clock, {"cases": 12}).run(progress=False)
    audit = audit_of(people, folder, clock, {"cases": 12, "escalations": RULES})
    audit.run(progress=False, reregister="more data, and a policy")
    with pytest.raises(InputError, match="has no report to compare with"):
        recompute_folder(folder, now=clock)
    # What people recorded, and what the folder held before, is not derived from the inputs.
    judge_all(audit.session(reviewer="Ada"), lambda case: "escalate")
    runner = CliRunner()
    assert runner.invoke(cli.main, ["report", str(folder)]).exit_code == 0
    assert recompute_folder(folder, now=clock).same
    told = runner.invoke(cli.main, ["verify", str(folder), "--recompute"])
    assert "are equal to the last bit" in told.output
    evidence = json.loads((folder / "evidence.json").read_text())
    evidence["performance"]["confidence"] = 0.999
    (folder / "evidence.json").write_text(json.dumps(evidence))
    found = recompute_folder(folder, now=clock)
    assert [d.path for d in found.differences] == ["performance.confidence"]
    told = runner.invoke(cli.main, ["verify", str(folder), "--recompute"])
    assert told.exit_code == 1
    assert "0.999" in told.output


def test_the_command_takes_one_direction_at_a_time(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(cli.main, ["judgments", str(tmp_path)])
    assert result.exit_code == 2
    assert "expected one of --export FILE, --tasks FILE and --import FILE" in result.output
