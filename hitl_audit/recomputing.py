"""An audit folder's document, computed again from its plan, model and data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hitl_audit.audit import LAST_RUN, Audit
from hitl_audit.collected_checks import as_proposed
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError
from hitl_audit.evidence import read_evidence
from hitl_audit.publication import Publication, publish
from hitl_audit.recompute import Recomputed, recomputed
from hitl_audit.results import Progress

__all__ = ["recompute_folder"]


def recompute_folder(
    folder: str | Path,
    *,
    now: Callable[[], datetime],
    progress: Progress = lambda step, share: None,
) -> Recomputed:
    """Derive every number of a folder's document again, and compare; nothing is written.

    Args:
        folder: the audit folder: plan, model and data are needed, and ``evidence.json``
            beside the report.
        now: the clock.
        progress: called with each step and the share done.

    Raises:
        InputError: not an audit folder, or no report in it.
        PlanError: the plan is not the registered one.
    """
    dossier = Dossier(folder)
    plan, lock = dossier.registered_plan()
    published = dossier.folder / "evidence.json"
    if not published.is_file():
        raise InputError(
            f'{dossier.folder} has no report to compare with; make it with "hitl-audit report '
            f'{dossier.folder}"'
        )
    stored = published.read_bytes()
    said = read_evidence(stored)
    remarks = tuple(note for note in said.data.notes if note.startswith(LAST_RUN))
    # What people expected is recorded, and taken as the document has it; in how many rows
    # the model violates it is derived again.
    again = Audit.open(folder, now=now).computed(
        lock, remarks=remarks, proposed=as_proposed(said.collected), progress=progress
    )
    return recomputed(stored, publish(again.evidence, Publication.of(plan)).to_bytes())
