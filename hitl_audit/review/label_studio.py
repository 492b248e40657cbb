"""Cases out to Label Studio, with the model's answers as predictions, and annotations back.

Shapes: https://labelstud.io/guide/task_format and /guide/predictions. Label
Studio shows predictions to annotators unless a project says otherwise, so
leaving them out of the tasks is what makes an answer blind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from hitl_audit.errors import InputError
from hitl_audit.review.answers import Answer
from hitl_audit.review.event import unknown
from hitl_audit.review.judgment import DECISIONS
from hitl_audit.review.words import value_words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["label_studio_config", "label_studio_tasks", "read_label_studio"]

_CASE, _ANSWER, _REASONS, _RATIONALE = "case", "answer", "reasons", "rationale"


def label_studio_config(
    *,
    labels: tuple[str, str] = ("Favorable", "Unfavorable"),
    unsure: str = "Not sure",
    question: str = "What would you decide?",
    reasons: Sequence[str] = (),
) -> str:
    """The labeling configuration (XML) for the tasks of :func:`label_studio_tasks`.

    Args:
        labels: the words for a favorable and an unfavorable decision.
        unsure: the words for no decision.
        question: above the choices.
        reasons: the plan's reason codes; asked for together with a rationale,
            both of which a verdict against the model needs.
    """
    view = Element("View")
    SubElement(view, "Text", name="id", value="$case_id")
    SubElement(view, "Table", name=_CASE, value=f"${_CASE}")
    SubElement(view, "Header", value=question)
    answer = SubElement(
        view, "Choices", name=_ANSWER, toName=_CASE, choice="single", required="true"
    )
    for word in (*labels, unsure):
        SubElement(answer, "Choice", value=word)
    if reasons:
        SubElement(view, "Header", value="If you disagree with the model: why?")
        chosen = SubElement(view, "Choices", name=_REASONS, toName=_CASE, choice="multiple")
        for reason in reasons:
            SubElement(chosen, "Choice", value=reason)
        SubElement(view, "TextArea", name=_RATIONALE, toName=_CASE, rows="3", maxSubmissions="1")
    indent(view)
    return tostring(view, encoding="unicode")


def label_studio_tasks(
    cases: pd.DataFrame,
    *,
    labels: tuple[str, str] = ("Favorable", "Unfavorable"),
    model_version: str = "",
    model_decisions: Mapping[str, str] | None = None,
    model_scores: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Tasks to import into Label Studio, one per case; write them with :func:`json.dumps`.

    Args:
        cases: one row per case, the index holding the case ids.
        labels: as in :func:`label_studio_config`.
        model_version: named in the predictions.
        model_decisions: ``"favorable"`` or ``"unfavorable"`` by case id; without
            it the tasks carry no predictions, and answers to them are blind.
        model_scores: by case id, in [0, 1].

    Raises:
        InputError: repeated case ids, or a case without a decision.
    """
    names = [str(column) for column in cases.columns]
    ids = [str(row) for row in cases.index]
    if len(set(ids)) < len(ids):
        raise InputError("label studio: cases has repeated ids in its index; expected unique ids")
    tasks = []
    for case_id, row in zip(ids, cases.itertuples(index=False, name=None), strict=True):
        values = dict(zip(names, map(value_words, row), strict=True))
        task: dict[str, Any] = {"data": {"case_id": case_id, _CASE: values}}
        if model_decisions is not None:
            decision = model_decisions.get(case_id)
            if decision not in DECISIONS:
                raise InputError(
                    f"label studio: model_decisions of case {case_id}: "
                    f"{unknown('the decision', decision, DECISIONS)}"
                )
            prediction: dict[str, Any] = {
                "model_version": model_version,
                "result": [
                    {
                        "id": "model",
                        "from_name": _ANSWER,
                        "to_name": _CASE,
                        "type": "choices",
                        "value": {"choices": [labels[DECISIONS.index(decision)]]},
                    }
                ],
            }
            if model_scores is not None and case_id in model_scores:
                prediction["score"] = float(model_scores[case_id])
            task["predictions"] = [prediction]
        tasks.append(task)
    return tasks


def read_label_studio(path: str | Path, *, case_id: str = "case_id") -> tuple[Answer, ...]:
    """Read the annotations of a Label Studio export in its JSON format.

    A person is recorded by the number of the account, not by mail address or
    name; ``Origin.reviewers`` gives another id. Skipped tasks and annotations
    that are the ground truth are no answers and are passed over.

    Args:
        path: the exported file.
        case_id: the key of ``data`` that holds the case id.

    Raises:
        InputError: not such a file. What is wrong with single annotations is
            found when they become judgments.
    """
    file = Path(path)
    try:
        tasks = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file.name}: cannot be read ({error})") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{file.name}: expected a list of tasks, as Label Studio exports JSON")
    answers = []
    for number, task in enumerate(tasks, start=1):
        name = f"task {task.get('id', number)}"
        annotations, data = task.get("annotations"), task.get("data")
        if not isinstance(annotations, list) or not isinstance(data, dict):
            raise InputError(
                f"{file.name}: {name} has no annotations and data; export JSON, not JSON-MIN"
            )
        for place, annotation in enumerate(annotations, start=1):
            if not isinstance(annotation, dict):
                raise InputError(f"{file.name}: {name}: annotation {place} is no object")
            answers.append(_answer(name, place, annotation, _text(data.get(case_id))))
    return tuple(answers)


def _answer(task: str, place: int, annotation: dict[str, Any], case_id: str) -> Answer:
    known = annotation.get("unique_id") or annotation.get("id")
    by = annotation.get("completed_by")
    account = by.get("id") if isinstance(by, dict) else by
    if annotation.get("was_cancelled"):
        skipped = "the annotator skipped the task"
    else:
        skipped = "it is the ground truth" if annotation.get("ground_truth") else ""
    began = annotation.get("parent_prediction") or annotation.get("prediction")
    return Answer(
        where=f"{task}, annotation {known or place}",
        record=("annotation", _text(known)) if known else (task, _text(place), _text(account)),
        case_id=case_id,
        reviewer="" if account is None else f"user {account}",
        label="; ".join(_chosen(annotation, _ANSWER, "choices")),
        at=_text(annotation.get("created_at")),
        seconds=_text(annotation.get("lead_time")),
        reasons=tuple(_chosen(annotation, _REASONS, "choices")),
        rationale="\n".join(_chosen(annotation, _RATIONALE, "text")),
        from_prediction=bool(began),
        skipped=skipped,
    )


def _chosen(annotation: dict[str, Any], control: str, key: str) -> list[str]:
    """What was chosen or typed in one control of the page."""
    results = annotation.get("result")
    chosen: list[str] = []
    for result in results if isinstance(results, list) else ():
        if isinstance(result, dict) and result.get("from_name") == control:
            value = result.get("value")
            found = value.get(key) if isinstance(value, dict) else None
            chosen += map(_text, found if isinstance(found, list) else [found] if found else [])
    return chosen


def _text(value: object) -> str:
    return "" if value is None else str(value)
