"""The built-in audit, from real data to a signed and verified document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from hitl_audit.audit import Audit
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError
from hitl_audit.evidence import read_evidence
from hitl_audit.files import write_atomically
from hitl_audit.report.rendered import AuditReport
from hitl_audit.results import AuditResults, Progress
from hitl_audit.review.oversight import Oversight
from hitl_audit.signing.keys import generate_key
from hitl_audit.verification import VerificationResult, verify

__all__ = ["EXAMPLES", "Demonstration", "demonstrate", "start_example"]

EXAMPLES = ("mortgage",)
SIGNER = "Demonstration key (nobody's)"


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration made and found."""

    folder: Path
    results: AuditResults
    oversight: Oversight
    report: AuditReport
    verification: VerificationResult


def start_example(folder: str | Path, name: str = "mortgage") -> Dossier:
    """Write an example's plan, and the model it audits, into a folder.

    Raises:
        InputError: no such example, or the folder holds another audit.
        MissingDependencyError: the example's data are not installed.
    """
    if name not in EXAMPLES:
        raise InputError(f'example is "{name}"; accepted: {", ".join(EXAMPLES)}')
    import skops.io

    from hitl_audit.examples import mortgage

    dossier = Dossier(folder)
    plan = (files("hitl_audit.examples") / f"{name}.toml").read_bytes()
    if dossier.plan_path.exists() and dossier.plan_path.read_bytes() != plan:
        raise InputError(
            f"{dossier.plan_path} is another plan than the example's; choose another folder"
        )
    model = dossier.folder / "model.skops"
    if not dossier.plan_path.exists() or not model.exists():
        data = skops.io.dumps(mortgage.model())
        dossier.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(model, data)
        write_atomically(dossier.plan_path, plan)
    return dossier


def demonstrate(
    folder: str | Path,
    *,
    now: Callable[[], datetime],
    progress: Progress,
    simulate_reviewers: bool = False,
) -> Demonstration:
    """Run the built-in audit in a folder: plan, model, results, document, signature, check.

    The document is signed with a key that is made for the purpose and thrown
    away: it shows that nothing changed since, and proves nobody's identity.

    Args:
        folder: the audit folder; made if it does not exist.
        now: the clock.
        progress: called with each step and the share done.
        simulate_reviewers: let a program fill the ledger; every page will say so.

    Raises:
        InputError: the folder holds another audit.
    """
    progress("training the model on one third of the applications", 0.0)
    dossier = start_example(folder)
    audit = Audit.open(folder, now=now)
    results = audit.run(progress=lambda step, share: progress(step, 0.05 + 0.75 * share))
    if simulate_reviewers:
        progress("simulating reviewers", 0.8)
        audit.simulate_reviewers()
    progress("writing and signing the document", 0.85)
    key = generate_key(SIGNER, now=now)
    report = audit.report().sign(key, role=audit.plan.roles[0].role, signed_at=now())
    if dossier.report_path.exists() and _signed_by_nobody(dossier.report_path, now):
        dossier.report_path.unlink()
    report.save(folder)
    progress("verifying it", 0.95)
    checked = verify(folder, now=now)
    progress("done", 1.0)
    oversight = read_evidence(report.evidence).oversight
    return Demonstration(dossier.folder, results, oversight, report, checked)


def _signed_by_nobody(report: Path, now: Callable[[], datetime]) -> bool:
    """Is this the last demonstration's report, with no signature but its own?"""
    return {signature.name for signature in verify(report, now=now).signatures} <= {SIGNER}
