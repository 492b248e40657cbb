"""Answers from Label Studio and from worker files become judgments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest

from hitl_audit.errors import InputError
from hitl_audit.review.answers import Origin, import_answers
from hitl_audit.review.label_studio import (
    label_studio_config,
    label_studio_tasks,
    read_label_studio,
)
from hitl_audit.review.ledger import Judgment, Ledger
from hitl_audit.review.worker_csv import read_worker_csv

LABELS = ("Approve", "Deny")
CASES = pd.DataFrame({"Income": [3055, 8200], "Note": ["=1", None]}, index=[17, 18])
MODEL = {"17": "favorable", "18": "unfavorable"}

BLIND = Origin(
    source="label-studio project 83",
    plan_digest="sha256:p",
    model_digest="sha256:m",
    role="underwriter",
    design="random",
    chances={"17": 0.5, "18": 0.25},
    labels=LABELS,
)
SHOWN = replace(BLIND, model_decisions=MODEL, model_scores={"17": 0.9})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "judgments.db")


def choice(control: str, *choices: str) -> dict[str, Any]:
    value = {"choices": list(choices)}
    return {
        "id": "x1",
        "from_name": control,
        "to_name": "case",
        "type": "choices",
        "value": value,
        "origin": "manual",
    }


def typed(*text: str) -> dict[str, Any]:
    value = {"text": list(text)}
    return {
        "id": "x2",
        "from_name": "rationale",
        "to_name": "case",
        "type": "textarea",
        "value": value,
    }


def annotation(number: int, *results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    # As Label Studio writes it, see https://labelstud.io/guide/task_format.
    return {
        "id": number,
        "completed_by": 10,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2024-01-11T20:23:22.988914Z",
        "updated_at": "2024-01-11T20:23:22.988950Z",
        "draft_created_at": "2024-01-11T20:23:20.268946Z",
        "lead_time": 16.17,
        "prediction": {},
        "result_count": 0,
        "task": 51,
        "project": 83,
        "updated_by": 1,
        "parent_prediction": None,
        "parent_annotation": None,
        "last_created_by": None,
    } | changes


def exported(tmp_path: Path, *annotations: dict[str, Any], case_id: Any = "17") -> Path:
    task = {
        "id": 51,
        "annotations": list(annotations),
        "file_upload": "x.json",
        "drafts": [],
        "predictions": [],
        "data": {"case_id": case_id, "case": {"Income": "3,055"}},
        "meta": {},
        "created_at": "2024-01-11T20:21:52.446397Z",
        "updated_at": "2024-01-11T20:24:01.556807Z",
        "inner_id": 1,
        "total_annotations": 1,
        "project": 83,
    }
    file = tmp_path / "project-83.json"
    file.write_text(json.dumps([task]))
    return file


# -------------------------------------------------------------- Label Studio


def test_a_task_has_the_case_and_no_prediction_unless_the_model_is_shown() -> None:
    assert label_studio_tasks(CASES)[0] == {
        "data": {"case_id": "17", "case": {"Income": "3,055", "Note": "=1"}}
    }
    first, second = label_studio_tasks(
        CASES, labels=LABELS, model_version="1.2", model_decisions=MODEL, model_scores={"17": 0.9}
    )
    assert first["predictions"] == [
        {
            "model_version": "1.2",
            "score": 0.9,
            "result": [
                {
                    "id": "model",
                    "from_name": "answer",
                    "to_name": "case",
                    "type": "choices",
                    "value": {"choices": ["Approve"]},
                }
            ],
        }
    ]
    assert second["predictions"][0]["result"][0]["value"] == {"choices": ["Deny"]}
    assert "score" not in second["predictions"][0]


def test_the_configuration_declares_what_the_tasks_and_predictions_name() -> None:
    config = label_studio_config(labels=LABELS, reasons=("Missing & <more>", "Unfair"))
    view = ElementTree.fromstring(config)  # noqa: S314 (ours)
    (task,) = label_studio_tasks(CASES[:1], labels=LABELS, model_decisions=MODEL)
    assert {tag.get("value") for tag in view if tag.tag in ("Text", "Table")} == {
        f"${name}" for name in task["data"]
    }
    controls = {tag.get("name"): tag for tag in view if tag.get("toName")}
    assert list(controls) == ["answer", "reasons", "rationale"]
    assert {tag.get("toName") for tag in controls.values()} == {"case"}
    words = [tag.get("value") for tag in controls["answer"]]
    assert words == ["Approve", "Deny", "Not sure"]
    (region,) = task["predictions"][0]["result"]
    assert controls[region["from_name"]].get("toName") == region["to_name"]
    assert region["value"]["choices"][0] in words
    assert [tag.get("value") for tag in controls["reasons"]] == ["Missing & <more>", "Unfair"]
    plain = ElementTree.fromstring(label_studio_config())  # noqa: S314 (ours)
    assert [tag.get("name") for tag in plain if tag.get("toName")] == ["answer"]


def test_cases_that_cannot_be_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="repeated ids"):
        label_studio_tasks(pd.concat([CASES, CASES]))
    with pytest.raises(InputError, match="model_decisions of case 18"):
        label_studio_tasks(CASES, model_decisions={"17": "favorable"})


def test_annotations_become_blind_judgments_with_their_source(
    ledger: Ledger, tmp_path: Path
) -> None:
    file = exported(
        tmp_path,
        annotation(1001, choice("answer", "Deny")),
        annotation(
            1002,
            choice("answer", "Not sure"),
            completed_by={"id": 11, "email": "eve@bank.example"},
            lead_time=None,
        ),
        annotation(1003, choice("answer", "Approve"), was_cancelled=True),
        annotation(1004, choice("answer", "Approve"), ground_truth=True),
        case_id=17,
    )
    report = import_answers(ledger, read_label_studio(file), BLIND)
    assert (report.recorded, report.known, report.bad) == (2, 0, ())
    assert [tuple(note) for note in report.skipped] == [
        ("task 51, annotation 1003", "the annotator skipped the task"),
        ("task 51, annotation 1004", "it is the ground truth"),
    ]
    assert report.frame()["outcome"].tolist() == ["skipped", "skipped"]
    first, second = ledger.judgments()
    assert first == Judgment(
        event_id=first.event_id,
        at="2024-01-11T20:23:22.988914Z",
        plan_digest="sha256:p",
        model_digest="sha256:m",
        case_id="17",
        design="random",
        inclusion_probability=0.5,
        reviewer="user 10",
        role="underwriter",
        phase="blind",
        answer="unfavorable",
        shown=("case",),
        seconds=16.17,
        source="label-studio project 83",
    )
    assert (second.reviewer, second.answer, second.seconds) == ("user 11", "unsure", None)
    assert b"eve@" not in ledger.path.read_bytes()


def test_with_the_model_on_screen_an_answer_is_a_verdict(ledger: Ledger, tmp_path: Path) -> None:
    file = exported(
        tmp_path,
        annotation(1, choice("answer", "Approve"), parent_prediction=7),
        annotation(
            2,
            choice("answer", "Deny"),
            choice("reasons", "Missing", "Unfair"),
            typed("the debts", "and more"),
            completed_by=11,
        ),
        annotation(3, choice("answer", "Not sure"), completed_by=12),
    )
    import_answers(ledger, read_label_studio(file), replace(SHOWN, explained=True))
    agree, disagree, unsure = ledger.judgments()
    assert [j.answer for j in (agree, disagree, unsure)] == ["agree", "disagree", "unsure"]
    assert [j.decision for j in (agree, disagree, unsure)] == ["favorable", "unfavorable", None]
    assert disagree.reasons == ("Missing", "Unfair")
    assert disagree.rationale == "the debts\nand more"
    assert (agree.phase, agree.model_decision, agree.model_score) == ("final", "favorable", 0.9)
    assert agree.shown == ("case", "prediction", "explanation")


def test_importing_twice_adds_nothing_and_a_later_export_adds_the_rest(
    ledger: Ledger, tmp_path: Path
) -> None:
    first = annotation(1, choice("answer", "Deny"))
    second = annotation(2, choice("answer", "Approve"), completed_by=11)
    import_answers(ledger, read_label_studio(exported(tmp_path, first)), BLIND)
    report = import_answers(ledger, read_label_studio(exported(tmp_path, first, second)), BLIND)
    assert (report.recorded, report.known) == (1, 1)
    report = import_answers(ledger, read_label_studio(exported(tmp_path, first, second)), BLIND)
    assert (report.recorded, report.known) == (0, 2)
    assert len(ledger.events()) == 2
    other = replace(BLIND, source="label-studio project 84")
    assert import_answers(ledger, read_label_studio(exported(tmp_path, first)), other).recorded == 1


def test_words_that_were_redacted_since_do_not_come_back(ledger: Ledger, tmp_path: Path) -> None:
    said = (choice("answer", "Deny"), choice("reasons", "Missing"), typed("Mrs. Doe"))
    file = exported(tmp_path, annotation(1, *said))
    import_answers(ledger, read_label_studio(file), SHOWN)
    ledger.redact(ledger.events()[0].event_id, ["rationale"], by="DPO", reason="request")
    assert import_answers(ledger, read_label_studio(file), SHOWN).known == 1
    assert "Doe" not in repr(ledger.events())


def test_an_answer_that_was_changed_there_since_is_named(ledger: Ledger, tmp_path: Path) -> None:
    file = exported(tmp_path, annotation(1, choice("answer", "Deny")))
    import_answers(ledger, read_label_studio(file), BLIND)
    file = exported(tmp_path, annotation(1, choice("answer", "Approve")))
    with pytest.raises(InputError, match="annotation 1: the same record is recorded with other"):
        import_answers(ledger, read_label_studio(file), BLIND)
    assert [j.answer for j in ledger.judgments()] == ["unfavorable"]


@pytest.mark.parametrize(
    ("changes", "origin", "words"),
    [
        ({"result": []}, BLIND, 'the label is ""; accepted: Approve, Deny, Not sure'),
        ({"result": [choice("answer", "Aprove")]}, BLIND, 'did you mean "Approve"'),
        ({"result": [choice("answer", "Deny", "Approve")]}, BLIND, 'the label is "Deny; Approve"'),
        ({"result": "no list"}, BLIND, 'the label is ""'),
        ({"created_at": "yesterday"}, BLIND, 'the time is "yesterday"; expected ISO 8601'),
        ({"created_at": "2024-01-11T20:23:22"}, BLIND, "expected ISO 8601 with a zone"),
        ({"created_at": None}, BLIND, 'the time is ""'),
        ({"lead_time": "long"}, BLIND, 'the seconds are "long"; expected a number'),
        ({"lead_time": -3}, BLIND, "seconds is -3.0; expected 0 or more"),
        ({"lead_time": "nan"}, BLIND, "seconds is nan; expected 0 or more"),
        ({"completed_by": None}, BLIND, "reviewer is empty"),
        ({"parent_prediction": 7}, BLIND, "the answer began from a prediction of the model"),
        ({"prediction": {"id": 7}}, BLIND, "the answer began from a prediction of the model"),
        ({}, replace(BLIND, chances={"18": 1.0}), 'case "17" is not in the sample'),
        ({}, replace(BLIND, chances={"17": 2.0}), "inclusion_probability is 2.0"),
        ({}, replace(SHOWN, model_decisions={"18": "favorable"}), "no model decision for case"),
        ({}, SHOWN, "reasons is empty; to disagree, at least one reason code is needed"),
        ({}, SHOWN, "rationale is empty; to disagree, say why"),
    ],
)
def test_a_bad_annotation_is_named_and_nothing_is_imported(
    ledger: Ledger, tmp_path: Path, changes: dict[str, Any], origin: Origin, words: str
) -> None:
    good = annotation(1, choice("answer", "Not sure"))
    bad = annotation(2, choice("answer", "Deny"), completed_by=11) | changes
    file = exported(tmp_path, good, bad)
    with pytest.raises(InputError) as refusal:
        import_answers(ledger, read_label_studio(file), origin)
    assert "import of label-studio project 83: " in str(refusal.value)
    assert "task 51, annotation 2: " in str(refusal.value)
    assert words in str(refusal.value)
    assert ledger.events() == ()


def test_good_rows_are_imported_without_the_bad_ones_if_that_is_asked_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    file = exported(
        tmp_path, annotation(1, choice("answer", "Maybe")), annotation(2, choice("answer", "Deny"))
    )
    report = import_answers(ledger, read_label_studio(file), BLIND, leave_out_bad=True)
    assert report.recorded == 1
    assert report.bad[0].where == "task 51, annotation 1"
    assert report.frame()["outcome"].tolist() == ["bad"]
    assert len(ledger.events()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ('{"a": 1}', "expected a list of tasks, as Label Studio exports JSON"),
        ("[1]", "expected a list of tasks"),
        ('[{"case_id": "17", "answer": "Deny"}]', "export JSON, not JSON-MIN"),
        ('[{"id": 5, "data": {}, "annotations": [1]}]', "task 5: annotation 1 is no object"),
    ],
)
def test_a_file_that_label_studio_did_not_write_is_refused(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "export.json"
    file.write_text(content)
    with pytest.raises(InputError) as refusal:
        read_label_studio(file)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": " "}, "source is empty"),
        ({"role": ""}, "role is empty"),
        ({"labels": ("Yes", "yes ")}, "expected three different words"),
        ({"unsure": ""}, "expected three different words"),
        ({"model_decisions": {"17": "Approve"}}, 'the decision is "Approve"; accepted: favorable'),
    ],
)
def test_an_origin_that_cannot_be_used_is_refused(
    ledger: Ledger, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as refusal:
        import_answers(ledger, [], replace(BLIND, **changes))
    assert words in str(refusal.value)


# ------------------------------------------------------------- worker files

MTURK = """"HITId","AssignmentId","WorkerId","AssignmentStatus","SubmitTime","WorkTimeInSeconds","Input.case_id","Answer.label"
"H1","A1","AW1","Approved","Wed Jan 07 10:21:15 PST 2026","31","17","approve"
"H1","A2","AW2","Rejected","Wed Jan 07 10:22:15 PST 2026","2","17","Deny"
"H2","A3","AW1","Submitted","Tue Jul 07 10:25:00 PDT 2026","12","18","Not sure"
"""
PROLIFIC = """Submission id,Participant id,Status,Completed at,Time taken,case_id,answer
s1,p1,APPROVED,2026-01-31T12:00:00.5Z,40.5,17,Deny
s2,p2,RETURNED,,,17,
s3,p2,AWAITING REVIEW,2026-01-31T13:00:00+01:00,,18,Approve
"""
WORKERS = replace(BLIND, source="batch 7")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "answers.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_mechanical_turk_s_batch_results_are_read(ledger: Ledger, tmp_path: Path) -> None:
    report = import_answers(ledger, read_worker_csv(written(tmp_path, MTURK)), WORKERS)
    assert (report.recorded, report.bad) == (2, ())
    assert report.skipped == (("row 2", "its status is 'Rejected'"),)
    first, second = ledger.judgments()
    assert (first.reviewer, first.case_id, first.answer) == ("AW1", "17", "favorable")
    assert (first.at, first.seconds) == ("2026-01-07T18:21:15.000000Z", 31.0)
    assert (second.answer, second.at) == ("unsure", "2026-07-07T17:25:00.000000Z")
    assert import_answers(ledger, read_worker_csv(tmp_path / "answers.csv"), WORKERS).known == 2


def test_prolific_s_export_is_read_and_people_get_the_plan_s_pseudonyms(
    ledger: Ledger, tmp_path: Path
) -> None:
    origin = replace(WORKERS, reviewers={"p1": "R1", "p2": "R2"})
    answers = read_worker_csv(written(tmp_path, "\ufeff" + PROLIFIC))
    report = import_answers(ledger, answers, origin)
    assert (report.recorded, len(report.skipped)) == (2, 1)
    first, second = ledger.judgments()
    assert (first.reviewer, first.at, first.seconds) == ("R1", "2026-01-31T12:00:00.500000Z", 40.5)
    assert (second.reviewer, second.at, second.seconds) == (
        "R2",
        "2026-01-31T12:00:00.000000Z",
        None,
    )


def test_columns_can_be_named(ledger: Ledger, tmp_path: Path) -> None:
    text = (
        "loan,who,what,when,why,words\n17,w1,Deny,2026-01-31T12:00:00Z,Missing; Unfair,the debts\n"
    )
    columns = {"case_id": "loan", "worker_id": "who", "label": "what", "time": "when"}
    more = {"reasons": "why", "rationale": "words"}
    answers = read_worker_csv(written(tmp_path, text), columns=columns | more)
    import_answers(ledger, answers, replace(SHOWN, source="batch 8"))
    (judgment,) = ledger.judgments()
    assert judgment.reasons == ("Missing", "Unfair")
    assert judgment.rationale == "the debts"


def test_the_same_worker_twice_on_a_case_is_named(ledger: Ledger, tmp_path: Path) -> None:
    text = "case_id,worker_id,label,time\n" + "".join(
        f"17,w1,{label},2026-01-31T12:00:00Z\n" for label in ("Deny", "Deny", "Approve")
    )
    with pytest.raises(InputError) as refusal:
        import_answers(ledger, read_worker_csv(written(tmp_path, text)), WORKERS)
    assert "1 of 3 rows are bad" in str(refusal.value)
    assert "row 3: the same record stands in row 1 with other contents" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        (
            "",
            {},
            "there is no column for case_id; looked for case_id, Input.case_id; the file has none",
        ),
        (
            "case_id,label,time\n",
            {},
            "there is no column for worker_id; looked for worker_id, WorkerId",
        ),
        ("case_id,case_id\n", {}, "a column stands in it twice"),
        (
            "case_id,worker_id,label,time\n",
            {"colour": "x"},
            "columns has 'colour'; accepted: case_id",
        ),
        (
            "case_id,worker_id,label,time\n",
            {"rationale": "x"},
            "no column for rationale; looked for x",
        ),
        ('case_id,worker_id,label,time\n"17', {}, "cannot be read"),
    ],
)
def test_a_file_without_the_columns_is_refused(
    tmp_path: Path, text: str, columns: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError) as refusal:
        read_worker_csv(written(tmp_path, text), columns=columns)
    assert words in str(refusal.value)


def test_every_bad_row_has_its_own_line(ledger: Ledger, tmp_path: Path) -> None:
    text = (
        "case_id,worker_id,label,time\n"
        "17,,Deny,2026-01-31T12:00:00Z\n"
        "99,w1,Perhaps,noon\n"
        "17,anonymous,Deny,2026-01-31T12:00:00Z\n"
        "17,w2\n"
    )
    with pytest.raises(InputError) as refusal:
        import_answers(ledger, read_worker_csv(written(tmp_path, text)), WORKERS)
    lines = str(refusal.value).splitlines()
    assert lines[0] == "import of batch 7: 4 of 4 rows are bad, nothing was recorded:"
    assert lines[1].strip().startswith("row 1: reviewer is empty")
    assert "the label is" in lines[2]
    assert "the time is" in lines[2]
    assert 'case "99" is not in the sample' in lines[2]
    assert 'reviewer is "anonymous"' in lines[3]
    assert 'the label is ""' in lines[4]
