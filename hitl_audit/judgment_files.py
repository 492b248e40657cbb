"""Judgments of an audit folder out to files, and answers given elsewhere in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hitl_audit.audit import Audit
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError
from hitl_audit.files import write_atomically
from hitl_audit.people import kept_ledger
from hitl_audit.review.answers import ImportReport, Origin, import_answers
from hitl_audit.review.exchange import write_events
from hitl_audit.review.label_studio import (
    label_studio_config,
    label_studio_tasks,
    read_label_studio,
)
from hitl_audit.review.reviewers import join
from hitl_audit.review.worker_csv import read_worker_csv

__all__ = ["TaskFiles", "export_judgments", "import_judgments", "write_tasks"]


@dataclass(frozen=True)
class TaskFiles:
    """What was written for Label Studio: the tasks, and the labeling configuration."""

    tasks: Path
    config: Path
    cases: int


def export_judgments(folder: str | Path, path: str | Path) -> int:
    """Write every event of a folder's ledger to a ``.csv``, ``.parquet`` or ``.json`` file.

    Returns:
        The number of events.

    Raises:
        InputError: nobody has judged yet, or another ending.
    """
    dossier = Dossier(folder)
    dossier.require()
    ledger = kept_ledger(dossier.ledger_path)
    if ledger is None:
        raise InputError(f"{dossier.folder} has no judgments yet")
    events = tuple(ledger.numbered())
    write_events(path, events)
    return len(events)


def write_tasks(folder: str | Path, path: str | Path, *, with_model: bool = False) -> TaskFiles:
    """Write the drawn cases as Label Studio tasks, with the configuration beside them.

    Args:
        folder: the audit folder, with results.
        path: of the tasks, ending in ``.json``; the configuration gets ``.xml``.
        with_model: show the model's answer; answers to such tasks are not blind.

    Raises:
        InputError: no results, or another ending.
    """
    target = Path(path)
    if target.suffix != ".json":
        raise InputError(f'the tasks go to "{target.name}"; expected a name ending in .json')
    audit = Audit.open(folder)
    if not audit.has_results:
        raise InputError(f'{folder} has no results; run "hitl-audit run {folder}" first')
    plan, inputs = audit.plan, audit.inputs
    labels = (plan.audit.favorable_label, plan.audit.unfavorable_label)
    ids = list(audit.results.sample.case_ids)
    facts = audit.review_facts()
    tasks = label_studio_tasks(
        inputs.X.loc[ids].rename(columns=plan.label),
        labels=labels,
        model_version=plan.model.version,
        model_decisions=facts.decisions if with_model else None,
        model_scores=facts.scores if with_model else None,
    )
    config = target.with_suffix(".xml")
    text = label_studio_config(labels=labels, reasons=plan.review.reasons if with_model else ())
    write_atomically(config, text.encode())
    write_atomically(target, json.dumps(tasks, ensure_ascii=False, indent=1).encode())
    return TaskFiles(target, config, len(tasks))


def import_judgments(
    folder: str | Path,
    path: str | Path,
    *,
    source: str,
    role: str,
    with_model: bool,
    now: Callable[[], datetime],
    leave_out_bad: bool = False,
) -> ImportReport:
    """Record answers given in Label Studio (``.json``) or elsewhere (``.csv`` with worker ids).

    Args:
        folder: the audit folder, with results.
        path: the export. A csv file needs columns for case, worker, label and time.
        source: name of where they were given; part of every event's id.
        role: as what people judged.
        with_model: the model's answer was on screen; if not, the answers are blind.
        now: the clock.
        leave_out_bad: record the good rows although others are bad.

    Raises:
        InputError: no results, a file that cannot be read, or bad rows.
    """
    audit = Audit.open(folder, now=now)
    if not audit.has_results:
        raise InputError(f'{folder} has no results; run "hitl-audit run {folder}" first')
    file, plan = Path(path), audit.plan
    if file.suffix.lower() == ".json":
        answers = read_label_studio(file)
    elif file.suffix.lower() == ".csv":
        answers = read_worker_csv(file)
    else:
        raise InputError(f'"{file.name}" cannot be imported; accepted: .json (Label Studio), .csv')
    ledger = audit.ledger()
    sample, facts = audit.results.sample, audit.review_facts()
    digests: Any = {"plan_digest": plan.digest, "model_digest": audit.inputs.model.digest}
    people = {}
    if plan.review.pseudonyms:
        for name in dict.fromkeys(a.reviewer for a in answers if not a.skipped and a.reviewer):
            people[name] = join(ledger, name, role, **digests, pseudonym=True, now=now)
    origin = Origin(
        source=source,
        **digests,
        role=role,
        design=sample.design,
        chances={case.case_id: case.inclusion_probability for case in sample.cases},
        labels=(plan.audit.favorable_label, plan.audit.unfavorable_label),
        model_decisions=facts.decisions if with_model else None,
        model_scores=facts.scores if with_model else None,
        reviewers=people or None,
    )
    return import_answers(ledger, answers, origin, leave_out_bad=leave_out_bad)
