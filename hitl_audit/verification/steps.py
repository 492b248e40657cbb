"""The numbered steps, in order, each of which fails if it cannot be completed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from hitl_audit.errors import AuditError, VerificationError
from hitl_audit.signing.keys import utc_now
from hitl_audit.signing.running import quiet
from hitl_audit.signing.trust import Trust, read_trust
from hitl_audit.verification import audit_checks, document_checks
from hitl_audit.verification.bounded import TimeLimitError, within
from hitl_audit.verification.case import Answer, Case, not_done
from hitl_audit.verification.result import Check, VerificationResult, clean
from hitl_audit.verification.source import Source, open_source

__all__ = ["STEPS", "verify"]

_PATIENCE = 60.0  # seconds
STEPS: tuple[tuple[str, str, Callable[[Case], Answer]], ...] = (
    ("readable", "The file can be read", document_checks.check_readable),
    ("signed", "The document is signed", document_checks.check_signed),
    ("intact", "What was signed is intact", document_checks.check_intact),
    ("changes", "Nothing forbidden came after", document_checks.check_changes),
    ("signers", "The signers are known", document_checks.check_signers),
    ("time", "The times fit", document_checks.check_time),
    ("roles", "The plan's roles signed in order", audit_checks.check_roles),
    ("lock", "First certifies, last locks", audit_checks.check_lock),
    ("attachments", "Attachments as in the manifest", audit_checks.check_attachments),
    ("one audit", "All parts are of one audit", audit_checks.check_one_audit),
    ("statements", "Signed statements fit the evidence", audit_checks.check_envelopes),
    ("plan", "Plan registered before results", audit_checks.check_plan),
    ("companions", "Files beside the report", audit_checks.check_companions),
    ("manifest", "Signatures of the manifest", audit_checks.check_manifest_signatures),
    ("ledger", "Judgments as signed", audit_checks.check_ledger),
)


def verify(
    path: str | Path,
    *,
    trust: Iterable[str | Path] = (),
    archive_time: bool = False,
    now: Callable[[], datetime] = utc_now,
    patience: float = _PATIENCE,
) -> VerificationResult:
    """Check a signed report, the folder of an audit with its report, or a zip file of one.

    Args:
        path: a PDF, a folder that holds ``report.pdf``, or a zip file of such a folder.
        trust: whom the reader trusts: SHA-256 fingerprints of certificates, or
            files (PEM or DER) with certificates of signers or authorities, or
            with authorities' revocation lists.
        archive_time: judge an archive copy at the time that its last timestamp
            names, not today: for archives whose authorities have expired since.
        now: the clock against which validity is judged.
        patience: seconds after which a document that is not done is invalid.

    Raises:
        VerificationError: there is nothing to verify at ``path``, it is too
            large, or an entry of ``trust`` is neither.
    """
    trusted = read_trust(trust)
    if not isinstance(path, str | Path):
        raise VerificationError(
            f"path is a {type(path).__name__}; expected the path of a PDF, of an audit's folder, "
            "or of a zip file of one"
        )
    given, moment = Path(path), now()
    # Quiet out here, too: work that was stopped may not have put back what it changed.
    with open_source(given) as source, quiet():
        try:
            return within(patience, lambda: _verify(given, source, trusted, moment, archive_time))
        except TimeLimitError as error:
            return _unreadable(given, f"Checking it did not end ({error}).")


def _verify(
    given: Path, source: Source, trust: Trust, now: datetime, archive_time: bool
) -> VerificationResult:
    case = Case(source, trust, now, archive_time)
    checks: list[Check] = []
    for number, (name, title, step) in enumerate(STEPS, start=1):
        try:
            if checks and checks[0].outcome == "fail":
                outcome, words = not_done("the file could not be read")
            else:
                outcome, words = step(case)
        except Exception as error:  # fail closed, whatever a hostile file breaks
            kind = "" if isinstance(error, AuditError) else f"{type(error).__name__}: "
            outcome, words = "fail", f"This could not be checked ({kind}{error})."
        checks.append(Check(number, name, title, outcome, clean(words)))
    readable = checks[0].outcome != "fail"
    return VerificationResult(
        path=clean(str(given)),
        checks=tuple(checks),
        signatures=case.signatures if readable else (),
        open_roles=case.open_roles if readable else (),
        document=clean(_document_words(case)) if readable else "",
    )


def _unreadable(given: Path, why: str) -> VerificationResult:
    first, *others = STEPS
    return VerificationResult(
        path=clean(str(given)),
        checks=(
            Check(1, first[0], first[1], "fail", why),
            *(
                Check(number, name, title, *not_done("the file could not be read"))
                for number, (name, title, _) in enumerate(others, start=2)
            ),
        ),
        signatures=(),
        open_roles=(),
    )


def _document_words(case: Case) -> str:
    """Title and id of the document, so that a swapped report is noticed by its reader."""
    try:
        evidence = json.loads(case.attachments["evidence.json"])
        words = f"{evidence['audit']['title']} · {case.manifest.document_id}"
        return f"{words} · SIMULATED JUDGMENTS" if evidence["oversight"]["any_simulated"] else words
    except Exception:  # whatever a hostile file breaks: the checks say so
        return ""
