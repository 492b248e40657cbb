"""Documents of an audit folder: the report, with what people recorded, and views for one reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from hitl_audit.audit import Audit
from hitl_audit.canonical import utc_text
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, ReportError, did_you_mean
from hitl_audit.evidence import Evidence, read_evidence, with_follow_ups
from hitl_audit.files import write_atomically
from hitl_audit.follow_up import FollowUp, FollowUpFile, recorded
from hitl_audit.people import evidence_with_people, kept_facts, kept_follow_ups
from hitl_audit.plan import AuditPlan, PlanLock
from hitl_audit.publication import Publication, publish
from hitl_audit.report.html import render_html
from hitl_audit.report.model_card import model_card
from hitl_audit.report.opened import opened_evidence
from hitl_audit.report.pdf import render_pdf
from hitl_audit.report.rendered import AuditReport, companions, render
from hitl_audit.report.views import public_summary, summary
from hitl_audit.results import read_sample

__all__ = ["VIEWS", "current_evidence", "record_follow_up", "report_of", "view_of"]

VIEWS = ("full", "summary", "public", "model-card", "reasons")


def current_evidence(folder: str | Path, *, now: datetime) -> tuple[Evidence, AuditPlan, PlanLock]:
    """The evidence of a folder's last run with what people judged, chose and took on since.

    Deadlines before ``now`` have passed.

    Raises:
        InputError: there are no results, or a file that cannot be used.
        PlanError: the plan is not the one the results were made under.
    """
    dossier = Dossier(folder)
    dossier.require()
    evidence = read_evidence(dossier.evidence())
    plan, lock = dossier.registered_plan()
    sample = read_sample(dossier.sample())
    judged = evidence_with_people(
        evidence,
        dossier.ledger_path,
        dossier.choice_path,
        sample,
        kept_facts(dossier, sample, plan),
        plan,
        now=now,
    )
    return with_follow_ups(judged, kept_follow_ups(dossier)), plan, lock


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
    evidence, plan, lock = current_evidence(folder, now=now)
    earlier = None if since is None else read_evidence(opened_evidence(since))
    beside = companions(Dossier(folder), plan)
    return render(evidence, plan=plan, lock=lock, now=now, beside=beside, since=earlier)


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
    records = kept_follow_ups(dossier)
    write_atomically(dossier.follow_up_path, FollowUpFile((*records, made)).to_bytes())
    return made


def view_of(folder: str | Path, view: str, *, now: datetime) -> dict[str, bytes]:
    """The same evidence for one reader, as files by name.

    Args:
        folder: the audit folder.
        view: ``"summary"`` (two pages, PDF and HTML), ``"public"`` (what Local Law 144 of
            New York City asks to be posted, PDF and HTML), ``"model-card"`` (Markdown), or
            ``"reasons"`` (the reasons of every unfavorable decision, CSV: for the letters to
            the people concerned, not for publication).
        now: when it is made.

    Raises:
        InputError: another view, or there are no results.
        ReportError: the evidence has nothing to show in this view.
    """
    if view not in VIEWS[1:]:
        raise InputError(
            f'view is "{view}"; accepted: {", ".join(VIEWS)}{did_you_mean(view, VIEWS)}'
        )
    if view == "reasons":
        return {"reasons.csv": reasons_table(folder)}
    evidence, plan, _ = current_evidence(folder, now=now)
    published = publish(evidence, Publication.of(plan))
    generated = utc_text(now)
    if view == "model-card":
        return {"model-card.md": model_card(published, generated=generated).encode()}
    make, name = (summary, "summary") if view == "summary" else (public_summary, "public-summary")
    document = make(published, generated=generated)
    return {
        f"{name}.pdf": render_pdf(document, timestamp=now.replace(microsecond=0)).pdf,
        f"{name}.html": render_html(document).encode(),
    }


def reasons_table(folder: str | Path) -> bytes:
    """Up to four principal reasons of every unfavorable decision, as CSV.

    One line per case and reason: the pseudonymous case, the rank, the feature in the plan's
    words, the text, and the share of other backgrounds with which it is a reason again.
    A cell that a spreadsheet would take for a formula begins with an apostrophe.

    Raises:
        ReportError: the model decides nobody unfavorably.
    """
    from hitl_audit.explanations.views.reasons import adverse_action_reasons

    audit = Audit.open(folder)
    inputs, plan = audit.inputs, audit.plan
    if audit.is_sample:
        raise ReportError(
            f"there are more rows than are held at once, and reasons would be those of a sample of "
            f"{len(inputs):,}; write them for the people concerned with adverse_action_reasons"
        )
    if inputs.y_pred.all():
        raise ReportError("nobody is decided unfavorably, so there are no reasons to tell")
    is_label = plan.model.output == "label"
    found = adverse_action_reasons(
        inputs.predictor.score if is_label else inputs.predictor.model,
        inputs.X,
        decisions=inputs.y_pred,
        output=None if is_label else inputs.predictor.favorable,
        random_state=plan.seed,
    ).frame()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("case", "rank", "feature", "reason", "stability"))
    for row in found.itertuples():
        name = plan.label(str(row.feature))
        said = name if str(row.text) == str(row.feature) else str(row.text)
        cells = (row.case, row.rank, name, said, f"{row.stability:.3f}")
        writer.writerow([_cell(str(cell)) for cell in cells])
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """A cell that no spreadsheet runs (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text
