"""What a signed report proves, in numbered checks that anyone can read.

Four answers: is it intact, who signed, when, and was it changed since? Then the
audit's own rules: roles in order, attachments as in the manifest, the plan
registered before the results, the files beside the report, and the judgments.

A check that cannot be completed has failed. Nothing is fetched from a network,
and neither the model nor a data-science library is needed.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from hitl_audit.canonical import Digest, digest_bytes, digest_file, plain
from hitl_audit.errors import AuditError, VerificationError
from hitl_audit.manifest import Manifest
from hitl_audit.signing.contents import attachments
from hitl_audit.signing.keys import spaced_fingerprint, utc_now
from hitl_audit.signing.signatures import SignatureState, SignedDocument, quiet, read_signatures
from hitl_audit.signing.trust import Trust, read_trust

__all__ = ["Check", "Outcome", "Signature", "VerificationResult", "verify"]

Outcome = Literal["pass", "fail", "warn", "not done"]

_MAXIMUM_BYTES = 512 * 1024 * 1024
_PLAN_LOCK = "hitl-audit/plan-lock/v1"
_WIDTH = 92
_ANSWERS = {
    "intact": "Intact?",
    "signers": "Who?",
    "time": "When?",
    "changes": "Changed since?",
}


@dataclass(frozen=True)
class Check:
    """One question that was put to the document, and its answer in words."""

    number: int
    id: str
    title: str
    outcome: Outcome
    words: str


@dataclass(frozen=True)
class Signature:
    """One signature as a reader needs it.

    Attributes:
        role, field: where it stands.
        name, organization, email: what the certificate says of the signer.
        fingerprint: SHA-256 of the certificate, ``AB:CD:…``.
        statement: what the signer states.
        signed_at: the time the signer's computer claims, UTC text, or ``""``.
        covers_whole_document: nothing follows it in the file.
        holds: what was signed is as it was signed.
        trusted: the reader named this certificate, or an authority of it.
    """

    role: str
    field: str
    name: str
    organization: str
    email: str
    fingerprint: str
    statement: str
    signed_at: str
    covers_whole_document: bool
    holds: bool
    trusted: bool


@dataclass(frozen=True)
class VerificationResult:
    """The checks of one document, and what follows from them.

    Attributes:
        path: what was verified.
        checks: in order; the ids are stable.
        signatures: in the order they were made.
        open_roles: the roles that have not signed.
        document: what was audited and the document's id, as the evidence inside
            says, with SIMULATED JUDGMENTS where that holds; ``""`` if it cannot be read.
    """

    path: str
    checks: tuple[Check, ...]
    signatures: tuple[Signature, ...]
    open_roles: tuple[str, ...]
    document: str = ""

    @property
    def valid(self) -> bool:
        """No check failed."""
        return all(check.outcome != "fail" for check in self.checks)

    @property
    def trusted(self) -> bool:
        """Valid, and every signer is one that the reader trusts."""
        return self.valid and bool(self.signatures) and all(s.trusted for s in self.signatures)

    @property
    def exit_code(self) -> Literal[0, 1, 3]:
        """0 valid, trusted and complete; 1 invalid; 3 valid, but a signer is unknown or missing."""
        if not self.valid:
            return 1
        return 0 if self.trusted and not self.open_roles else 3

    def check(self, name: str) -> Check:
        """Return the check with this id."""
        return next(check for check in self.checks if check.id == name)

    @property
    def headline(self) -> str:
        """The result in one line."""
        if self.check("signed").outcome == "fail":
            return "INVALID: not signed"
        if not self.valid:
            failed = (f"{c.number} ({c.title})" for c in self.checks if c.outcome == "fail")
            inside = self.check("intact").outcome == self.check("changes").outcome == "pass"
            rest = "; the signed PDF itself is intact" if inside else ""
            return f"INVALID: failed check {', '.join(failed)}{rest}"
        if not self.trusted:
            still = f"; not signed yet by {', '.join(self.open_roles)}" if self.open_roles else ""
            return f"VALID, but a signer is unknown to you{still}"
        if self.open_roles:
            return f"INCOMPLETE: valid, but not signed yet by {', '.join(self.open_roles)}"
        return "VALID, signed by people you trust"

    def words(self) -> str:
        """Return the whole result as text for a terminal or a mail."""
        lines = [f"{self.path}: {self.headline}", ""]
        if self.document:
            lines += _paragraph(f"  {'What?':<16}", self.document)
        for name, question in _ANSWERS.items():
            lines += _paragraph(f"  {question:<16}", self.check(name).words)
        if self.signatures or self.open_roles:
            lines += ["", "Signatures"]
        for signature in self.signatures:
            lines += _signature_lines(signature)
        lines += [f"  {role}: not signed yet" for role in self.open_roles]
        lines += ["", "Checks"]
        for check in self.checks:
            mark = check.outcome.upper() if check.outcome == "fail" else check.outcome
            # The four answers stand above; here they are only counted.
            words = check.title if check.id in _ANSWERS else f"{check.title}: {check.words}"
            lines += _paragraph(f"  {check.number:>2} {mark:<9}", words)
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON types."""
        return {
            "format": "hitl-audit/verification/v1",
            "path": self.path,
            "document": self.document,
            "valid": self.valid,
            "trusted": self.trusted,
            "exit_code": self.exit_code,
            "headline": self.headline,
            "signatures": plain(self.signatures),
            "open_roles": list(self.open_roles),
            "checks": plain(self.checks),
        }


def verify(
    path: str | Path,
    *,
    trust: Iterable[str | Path] = (),
    now: Callable[[], datetime] = utc_now,
) -> VerificationResult:
    """Check a signed report, or the folder of an audit with its report.

    Args:
        path: a PDF, or a folder that holds ``report.pdf``.
        trust: whom the reader trusts: SHA-256 fingerprints of certificates,
            or certificate files (PEM or DER) of signers or of authorities.
        now: the clock against which validity is judged.

    Raises:
        VerificationError: there is nothing to verify at ``path``, it is larger
            than 512 MB, or an entry of ``trust`` is neither.
    """
    trusted = read_trust(trust)
    if not isinstance(path, str | Path):
        raise VerificationError(
            f"path is a {type(path).__name__}; expected the path of a PDF or of an audit's folder"
        )
    given = Path(path)
    case = _Case(_read(given), given if given.is_dir() else None, trusted, now())
    checks: list[Check] = []
    for number, (name, title, step) in enumerate(_STEPS, start=1):
        try:
            if checks and checks[0].outcome == "fail":
                outcome, words = _not_done("the file could not be read")
            else:
                outcome, words = step(case)
        except Exception as error:  # fail closed, whatever a hostile file breaks
            kind = "" if isinstance(error, AuditError) else f"{type(error).__name__}: "
            outcome, words = "fail", f"This could not be checked ({kind}{error})."
        checks.append(Check(number, name, title, outcome, _clean(words)))
    readable = checks[0].outcome != "fail"
    return VerificationResult(
        path=_clean(str(given)),
        checks=tuple(checks),
        signatures=case.signatures if readable else (),
        open_roles=case.open_roles if readable else (),
        document=_clean(_document_words(case)) if readable else "",
    )


def _document_words(case: _Case) -> str:
    """Title and id of the document, so that a swapped report is noticed by its reader."""
    try:
        evidence = json.loads(case.attachments["evidence.json"])
        words = f"{evidence['audit']['title']} · {case.manifest.document_id}"
        return f"{words} · SIMULATED JUDGMENTS" if evidence["oversight"]["any_simulated"] else words
    except Exception:  # whatever a hostile file breaks: the checks say so
        return ""


_Answer = tuple[Outcome, str]


class _Case:
    """What is known of one document while it is checked."""

    def __init__(
        self,
        pdf: bytes,
        folder: Path | None,
        trust: Trust,
        now: datetime,
    ) -> None:
        self.pdf, self.folder, self.now = pdf, folder, now
        self._trust = trust

    @cached_property
    def document(self) -> SignedDocument:
        return read_signatures(self.pdf, authorities=self._trust.authorities, moment=self.now)

    @cached_property
    def attachments(self) -> dict[str, bytes]:
        with quiet():
            return attachments(self.pdf)

    @cached_property
    def manifest(self) -> Manifest:
        if "manifest.json" not in self.attachments:
            raise ValueError("the document carries no manifest.json")
        return Manifest.from_bytes(self.attachments["manifest.json"])

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        return tuple(self._signature(state) for state in self.document.signatures)

    @cached_property
    def open_roles(self) -> tuple[str, ...]:
        return tuple(_clean(field.role) for field in self.document.fields if not field.signed)

    @property
    def intact(self) -> bool:
        return all(not state.problem for state in self.document.signatures)

    def _signature(self, state: SignatureState) -> Signature:
        pinned = state.fingerprint in self._trust.fingerprints
        return Signature(
            role=_clean(state.role),
            field=_clean(state.field),
            name=_clean(state.name),
            organization=_clean(state.organization),
            email=_clean(state.email),
            fingerprint=spaced_fingerprint(state.fingerprint),
            statement=_clean(state.reason),
            signed_at=_time_words(state.signed_at) if state.signed_at else "",
            covers_whole_document=state.covers_whole_file,
            holds=not state.problem,
            trusted=not state.problem and (pinned or state.chain_trusted),
        )


def _check_readable(case: _Case) -> _Answer:
    if not case.pdf.startswith(b"%PDF-"):
        found = "an empty file" if not case.pdf else "something else"
        return "fail", f"Expected a PDF, got {found}."
    try:
        _ = case.document
    except Exception as error:  # any broken file: the reader has no common base
        return "fail", f"The PDF is damaged or cut off and cannot be read ({error})."
    return "pass", f"A PDF of {len(case.pdf):,} bytes."


def _check_signed(case: _Case) -> _Answer:
    if case.signatures:
        count = len(case.signatures)
        return "pass", f"It carries {count} signature{'s' if count > 1 else ''}."
    places = f" Places are kept for: {', '.join(case.open_roles)}." if case.open_roles else ""
    return "fail", f"It is not signed: nobody vouches for anything in it.{places}"


def _check_intact(case: _Case) -> _Answer:
    if not case.signatures:
        return _not_done("it is not signed")
    broken = _by_words((state.problem, state.role) for state in case.document.signatures)
    if broken:
        return "fail", "No. " + " ".join(
            f"The signature of the {roles} does not hold: {problem}."
            for problem, roles in broken.items()
        )
    return "pass", "Yes: everything that was signed is, byte for byte, as it was signed."


def _check_changes(case: _Case) -> _Answer:
    """Only later signatures may follow a signature, and the last one ends the file."""
    document = case.document
    if not document.signatures:
        return _not_done("it is not signed")
    altered = _by_words((" and ".join(s.changes), s.role) for s in document.signatures)
    found = [f"after the signature of the {roles}, {what}" for what, roles in altered.items()]
    if document.tail_problem:
        found.append(document.tail_problem)
        found += [what for what in document.tail_changes if what not in " ".join(altered)]
    if document.added_fields:
        found.append(f"places for signatures were added later: {', '.join(document.added_fields)}")
    if found:
        return "fail", f"Forbidden changes: {'; '.join(found)}."
    if not case.intact:
        return _not_done("the signed content is not intact, so there is nothing to compare with")
    later = [state.role for state in document.signatures[1:]]
    if later:
        return "pass", f"Only as allowed: later signatures were added ({', '.join(later)})."
    return "pass", "Nothing was changed or added after the signature."


def _check_signers(case: _Case) -> _Answer:
    holding = [s for s in case.signatures if s.holds]
    if not holding:
        return _not_done("no signature holds")
    unknown = [s for s in holding if not s.trusted]
    people = ", ".join(f"{s.name} as {s.role}" for s in holding)
    if not unknown:
        return "pass", f"{people}: trusted, because you named the certificate or its authority."
    return "warn", (
        f"{people}. Unknown to you: {', '.join(dict.fromkeys(s.name for s in unknown))}. Anyone "
        "can make a certificate with any name. Ask the signer for the fingerprint by another way "
        "than this document came (by telephone, in person) and compare it with the one under "
        "Signatures. If they are equal, verify again with --trust and the fingerprint."
    )


def _check_time(case: _Case) -> _Answer:
    holding = [state for state in case.document.signatures if not state.problem]
    if not holding:
        return _not_done("no signature holds")
    failed, doubts, claims = [], [], []
    previous: datetime | None = None
    for state in holding:
        moment = state.signed_at
        if moment is None:
            failed.append(f"the signature of the {state.role} states no time that can be read")
            continue
        claims.append(f"{state.role} {_time_words(moment)}")
        if not state.not_before <= moment <= state.not_after:
            failed.append(
                f"the certificate of the {state.role} was not valid then, but from "
                f"{state.not_before:%Y-%m-%d} to {state.not_after:%Y-%m-%d}"
            )
        elif state.not_after < case.now:
            doubts.append(f"the certificate of the {state.role} has expired since")
        if moment > case.now:
            doubts.append(f"the time claimed by the {state.role} is still to come")
        if previous is not None and moment < previous:
            doubts.append(f"the {state.role} claims to have signed before the one before")
        previous = moment
    words = (
        f"{'; '.join(claims)}: claimed by the signer's computer; "
        "no timestamp authority confirms it."
    )
    if failed:
        return "fail", f"{words} Wrong: {'; '.join(failed)}."
    return ("warn", f"{words} Note: {'; '.join(doubts)}.") if doubts else ("pass", words)


def _check_roles(case: _Case) -> _Answer:
    document = case.document
    if not document.signatures:
        return _not_done("it is not signed")
    if not case.intact:
        return _not_done("a signature does not hold")
    signed = [field.role for field in document.fields if field.signed]
    last_signed = max(i for i, field in enumerate(document.fields) if field.signed)
    skipped = [field.role for field in document.fields[:last_signed] if not field.signed]
    if skipped:
        return "fail", f"Signed out of order: {', '.join(skipped)} had to sign earlier."
    if case.open_roles:
        return "warn", (
            f"Signed by: {', '.join(signed)}. Still open: {', '.join(case.open_roles)}. "
            "This is an earlier state of the document, or one that is not finished."
        )
    last = document.signatures[-1]
    if not last.locks:
        return "fail", f"All roles signed, but the last ({last.role}) did not lock the document."
    return (
        "pass",
        f"Signed in order by: {', '.join(signed)}. The last signature locks the document.",
    )


def _check_attachments(case: _Case) -> _Answer:
    """The files inside the PDF are exactly those of the manifest."""
    expected = {file.attachment: file for file in case.manifest.files if file.attached}
    extra = case.attachments.keys() - expected.keys() - {"manifest.json"}
    problems = [f"{name} is attached but not in the manifest" for name in sorted(extra)]
    for name, file in sorted(expected.items()):
        data = case.attachments.get(name)
        if data is None:
            problems.append(f"{name} is in the manifest but not attached")
        elif not file.is_digest(digest_bytes(data)) or len(data) != file.size:
            problems.append(f"{name} is not the file that the manifest names; it was replaced")
    if problems:
        return "fail", f"{'; '.join(problems)}."
    return "pass", f"{len(expected)} attached files are those that the manifest names."


def _check_plan(case: _Case) -> _Answer:
    """The plan that was registered is the one attached, and it is older than the results."""
    manifest = case.manifest
    lock = json.loads(case.attachments["plan.lock.json"])
    if lock["format"] != _PLAN_LOCK:
        raise ValueError(f"plan.lock.json has format {lock['format']!r}, expected {_PLAN_LOCK!r}")
    current = lock["registrations"][-1]
    attached = digest_bytes(case.attachments["audit.toml"])
    problems = []
    if not attached == manifest.plan_digest == current["digest"]:
        problems.append("the attached plan is not the plan that was registered")
    if datetime.fromisoformat(current["registered_at"]) != manifest.plan_registered_at:
        problems.append("manifest and plan.lock.json name different times of registration")
    registered, created = manifest.plan_registered_at, manifest.results_created
    if registered >= created:
        problems.append(
            f"the plan was registered on {_time_words(registered)}, not before the results "
            f"({_time_words(created)})"
        )
    if problems:
        return "fail", f"{'; '.join(problems)}."
    words = f"Registered on {_time_words(registered)}, results from {_time_words(created)}."
    if any(entry.get("after_results") for entry in lock["registrations"]):
        return "warn", f"{words} But the plan was changed when results already existed."
    return "pass", words


def _check_companions(case: _Case) -> _Answer:
    """The files beside the report are those of the manifest."""
    if case.folder is None:
        return _not_done("only the PDF was given; verify the folder to check the files beside it")
    altered, missing, equal = [], [], 0
    for entry in case.manifest.files:
        if not _inside(case.folder, entry.name).is_file():
            if not entry.attached:
                missing.append(f"{entry.name} is not beside the report")
        elif entry.is_digest(digest_file(case.folder / entry.name)):
            equal += 1
        else:
            altered.append(f"{entry.name} was altered after the report was made")
    beside = case.folder / "manifest.json"
    if not beside.is_file():
        missing.append("manifest.json is not beside the report")
    elif beside.read_bytes() != case.attachments["manifest.json"]:
        altered.append(
            "manifest.json is not the one inside the report: these files belong to another report"
        )
    if altered:
        return "fail", f"{'; '.join(altered + missing)}."
    words = f"{equal} files beside the report are those that the manifest names."
    return ("warn", f"{words} {'; '.join(missing)}.") if missing else ("pass", words)


def _check_ledger(case: _Case) -> _Answer:
    """The judgments still are those that the signed checkpoint vouches for."""
    signed = case.manifest.ledger
    if signed is None:
        return _not_done("the report rests on no judgments")
    if case.folder is None:
        return _not_done(
            f"the {signed.size} judgments stay with the auditor; verify the folder to check them"
        )
    file = case.folder / "judgments.db"
    if not file.is_file():
        return "warn", f"judgments.db, with {signed.size} judgments, is not beside the report."
    from hitl_audit.review.ledger import Checkpoint, Ledger

    checkpoint = Checkpoint(
        signed.size, Digest(f"sha256:{signed.root}"), Digest(f"sha256:{signed.chain_head}")
    )
    problems = Ledger(file, read_only=True).verify_against(checkpoint)
    if problems:
        return "fail", f"{'; '.join(problems)}."
    return "pass", f"All {signed.size} judgments are as they were when the report was made."


_STEPS: tuple[tuple[str, str, Callable[[_Case], _Answer]], ...] = (
    ("readable", "The file can be read", _check_readable),
    ("signed", "The document is signed", _check_signed),
    ("intact", "What was signed is intact", _check_intact),
    ("changes", "Nothing forbidden came after", _check_changes),
    ("signers", "The signers are known", _check_signers),
    ("time", "The claimed times fit", _check_time),
    ("roles", "The roles signed in order", _check_roles),
    ("attachments", "Attachments as in the manifest", _check_attachments),
    ("plan", "Plan registered before results", _check_plan),
    ("companions", "Files beside the report", _check_companions),
    ("ledger", "Judgments as signed", _check_ledger),
)


def _by_words(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Group roles of which the same is said; nothing is said of those with ``""``."""
    grouped: dict[str, list[str]] = {}
    for words, role in pairs:
        if words:
            grouped.setdefault(words, []).append(role)
    return {words: ", ".join(roles) for words, roles in grouped.items()}


def _not_done(why: str) -> _Answer:
    return "not done", f"Not checked: {why}."


def _read(given: Path) -> bytes:
    file = given / "report.pdf" if given.is_dir() else given
    try:
        if not file.exists():
            what = "folder without report.pdf" if given.is_dir() else "no such file"
            raise VerificationError(f"{given}: {what}, expected a PDF or the folder of an audit")
        if not file.is_file():
            raise VerificationError(f"{file}: not a file, expected a PDF")
        size = file.stat().st_size
        if size > _MAXIMUM_BYTES:
            raise VerificationError(f"{file}: {size:,} bytes, expected at most {_MAXIMUM_BYTES:,}")
        return file.read_bytes()
    except OSError as error:
        raise VerificationError(f"{file}: cannot be read ({error.strerror})") from None


def _inside(folder: Path, name: str) -> Path:
    """Return a path below the folder; a manifest must not lead out of it."""
    file = folder / name
    if PurePosixPath(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the manifest names {name!r}, which is outside the folder")
    return file


def _time_words(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    # Plan and results of a quick audit are registered within one second.
    fraction = f".{moment.microsecond // 1000:03d}" if moment.microsecond else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def _clean(text: str) -> str:
    """Keep control characters of a hostile file away from the reader's terminal."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:2000])
    return shown if len(text) <= 2000 else shown + "…"


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _signature_lines(signature: Signature) -> list[str]:
    who = ", ".join(filter(None, (signature.name, signature.organization, signature.email)))
    state = (
        "does not hold"
        if not signature.holds
        else ("trusted" if signature.trusted else "unknown signer")
    )
    return [
        *_paragraph(f"  {signature.role}: ", f"{who} ({state})"),
        f"    {signature.signed_at or 'no time'} (claimed)",
        f"    SHA-256 {signature.fingerprint}",
    ]
