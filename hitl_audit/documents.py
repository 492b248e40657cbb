"""Documents of an audit folder: the report, with what people recorded, and views for one reader."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hitl_audit.audit import evidence_with_people
from hitl_audit.dossier import Dossier
from hitl_audit.evidence import Evidence, read_evidence, with_follow_ups
from hitl_audit.files import write_atomically
from hitl_audit.follow_up import FollowUp, FollowUpFile, read_follow_ups, recorded
from hitl_audit.plan import AuditPlan, PlanLock
from hitl_audit.report.opened import opened_evidence
from hitl_audit.report.rendered import AuditReport, render
from hitl_audit.results import read_sample

__all__ = ["current_evidence", "record_follow_up", "report_of"]


def _follow_up_path(dossier: Dossier) -> Path:
    return dossier.folder / "follow_ups.json"


def current_evidence(folder: str | Path) -> tuple[Evidence, AuditPlan, PlanLock]:
    """The evidence of a folder's last run with what people judged, chose and took on since.

    Raises:
        InputError: there are no results, or a file that cannot be used.
        PlanError: the plan is not the one the results were made under.
    """
    dossier = Dossier(folder)
    dossier.require()
    evidence = read_evidence(dossier.evidence())
    plan, lock = dossier.registered_plan()
    sample = read_sample(dossier.sample())
    judged = evidence_with_people(evidence, dossier.ledger_path, dossier.choice_path, sample, plan)
    path = _follow_up_path(dossier)
    records = read_follow_ups(path.read_bytes(), name=str(path)) if path.exists() else ()
    return with_follow_ups(judged, records), plan, lock


def report_of(folder: str | Path, *, now: datetime, since: str | Path | None = None) -> AuditReport:
    """The document of an audit folder; nothing is recomputed.

    Args:
        folder: the audit folder.
        now: when the document is made.
        since: an earlier audit (folder, PDF or evidence.json): the document says what moved.

    Raises:
        InputError: there are no results, here or in the earlier audit.
        PlanError: the plan is not the one the results were made under.
    """
    evidence, plan, lock = current_evidence(folder)
    earlier = None if since is None else read_evidence(opened_evidence(since))
    return render(evidence, plan=plan, lock=lock, now=now, since=earlier)


def record_follow_up(
    folder: str | Path,
    finding: str,
    *,
    severity: str,
    owner: str,
    due: str,
    action: str,
    by: str,
    now: Callable[[], datetime],
    state: str = "open",
) -> FollowUp:
    """Record what is done about a finding, by whom and until when; earlier records stay.

    Raises:
        InputError: no such finding, or a field that cannot be used.
    """
    dossier = Dossier(folder)
    dossier.require()
    known = [one.id for one in read_evidence(dossier.evidence()).findings]
    made = recorded(
        finding,
        known,
        severity=severity,
        owner=owner,
        due=due,
        action=action,
        by=by,
        now=now(),
        state=state,
    )
    path = _follow_up_path(dossier)
    records = read_follow_ups(path.read_bytes(), name=str(path)) if path.exists() else ()
    write_atomically(path, FollowUpFile((*records, made)).to_bytes())
    return made
