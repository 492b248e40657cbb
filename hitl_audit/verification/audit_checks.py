"""The audit's own rules: what no PDF reader knows."""

from __future__ import annotations

import json
from datetime import datetime

from hitl_audit.canonical import Digest, digest_bytes, digest_file
from hitl_audit.signing.attestations import ENVELOPES, problems_of
from hitl_audit.signing.detached import (
    MANIFEST_SIGNATURE,
    cms_problem,
    manifest_signature_names,
    ssh_problem,
)
from hitl_audit.signing.rules import Person
from hitl_audit.verification.case import Answer, Case, not_done, time_words
from hitl_audit.verification.source import inside

__all__ = [
    "check_attachments",
    "check_companions",
    "check_envelopes",
    "check_ledger",
    "check_lock",
    "check_manifest_signatures",
    "check_one_audit",
    "check_plan",
    "check_roles",
]

_PLAN_LOCK = "hitl-audit/plan-lock/v1"
_MAXIMUM_SMALL = 16 << 20
_MAXIMUM_LEDGER = 1 << 30


def check_roles(case: Case) -> Answer:
    """The roles of the plan signed in its order, by people who may."""
    document = case.document
    asked = [rule.field for rule in case.rules.roles]
    places = [field.name for field in document.fields]
    if places != asked:
        return "fail", (
            f"The plan asks for signatures by {', '.join(asked)}; the document has places for "
            f"{', '.join(places) or 'nobody'}."
        )
    if not document.signatures:
        return not_done("it is not signed")
    if not case.intact:
        return not_done("a signature does not hold")
    earlier: list[tuple[str, Person]] = []
    for state in document.signatures:
        refused = case.rules.refusal(state.field, state.person, earlier)
        if refused:
            return "fail", f"Against the plan: {refused}."
        earlier.append((state.field, state.person))
    signed = [state.role for state in document.signatures]
    if case.open_roles:
        return "warn", (
            f"Signed by: {', '.join(signed)}. Still open: {', '.join(case.open_roles)}. "
            "This is an earlier state of the document, or one that is not finished."
        )
    return "pass", f"Signed in order, by people who may: {', '.join(signed)}."


def check_lock(case: Case) -> Answer:
    """The first signature says what may follow, and the last forbids everything."""
    document = case.document
    if not document.fields:
        return "fail", "The document has no place for a signature."
    if not document.fields[-1].locks or any(field.locks for field in document.fields[:-1]):
        return "fail", "Not the last place for a signature, and it alone, locks the document."
    if not document.signatures:
        return not_done("it is not signed")
    if not case.intact:
        return not_done("a signature does not hold")
    first, last = document.signatures[0], document.signatures[-1]
    if not first.certifies or any(state.certifies for state in document.signatures[1:]):
        return "fail", "Not the first signature, and it alone, certifies what may follow."
    ends = last.covers_whole_file or any(stamp.covers_whole_file for stamp in document.archive)
    if not ends:
        return "fail", "The last signature does not cover the whole file."
    if case.open_roles:
        return not_done("roles are still open")
    if not last.locks:
        return "fail", f"All roles signed, but the last ({last.role}) did not lock the document."
    return "pass", "The last signature covers the whole file and locks it."


def check_attachments(case: Case) -> Answer:
    """The files inside the PDF are exactly those of the manifest."""
    expected = {file.attachment: file for file in case.manifest.files if file.attached}
    # The statements speak of the manifest, so it cannot name them; they have a check of their own.
    allowed = expected.keys() | {"manifest.json"} | ENVELOPES.keys()
    extra = case.attachments.keys() - allowed
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


def check_one_audit(case: Case) -> Answer:
    """Manifest, evidence and plan are of one audit."""
    evidence, manifest = case.evidence, case.manifest
    plan, ledger = evidence["plan"], evidence["ledger"]
    digest = digest_bytes(case.attachments["evidence.json"])
    expected_id = f"HA-{digest.removeprefix('sha256:')[:8].upper()}"
    signed = manifest.ledger
    found = None if signed is None else (signed.size, signed.root, signed.chain_head)
    stated = None
    if ledger is not None:
        stated = (
            ledger["size"],
            ledger["root"].removeprefix("sha256:"),
            ledger["chain_head"].removeprefix("sha256:"),
        )
    pairs = (
        ("another document id", manifest.document_id, expected_id),
        ("another plan", manifest.plan_digest, plan["digest"]),
        (
            "another time of registration",
            manifest.plan_registered_at,
            datetime.fromisoformat(plan["registered_at"]),
        ),
        (
            "another time of the results",
            manifest.results_created,
            datetime.fromisoformat(evidence["started"]),
        ),
        ("another state of the judgments", found, stated),
    )
    problems = [f"the manifest names {what} than the evidence" for what, a, b in pairs if a != b]
    if problems:
        return "fail", f"{'; '.join(problems)}."
    return "pass", f"Manifest, evidence and plan are of one audit ({manifest.document_id})."


def check_envelopes(case: Case) -> Answer:
    """The signed statements are the first signer's, and say what the evidence says."""
    if not case.document.signatures:
        return not_done("it is not signed")
    first = case.document.signatures[0]
    if first.problem:
        return not_done("the first signature does not hold")
    problems = [f"{name} is missing" for name in sorted(ENVELOPES.keys() - case.envelopes.keys())]
    for name, envelope in sorted(case.envelopes.items()):
        if not envelope.is_signed_by(first.certificate):
            problems.append(
                f"{name} was altered, or not signed with the key of the {first.role} in the PDF"
            )
    problems += problems_of(
        case.envelopes, case.attachments["evidence.json"], case.attachments["manifest.json"]
    )
    if problems:
        return "fail", f"{'; '.join(problems)}."
    return "pass", (
        f"Both statements (criteria, judgments) are signed by the {first.role} and say what the "
        "evidence says."
    )


def check_plan(case: Case) -> Answer:
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
            f"the plan was registered on {time_words(registered)}, not before the results "
            f"({time_words(created)})"
        )
    if created > manifest.created:
        problems.append("the document is older than the results that it reports")
    if problems:
        return "fail", f"{'; '.join(problems)}."
    words = f"Registered on {time_words(registered)}, results from {time_words(created)}."
    if any(entry.get("after_results") for entry in lock["registrations"]):
        return "warn", f"{words} But the plan was changed when results already existed."
    return "pass", words


def check_companions(case: Case) -> Answer:
    """The files beside the report are those of the manifest."""
    if case.folder is None:
        return not_done("only the PDF was given; verify the folder to check the files beside it")
    altered, missing, equal = [], [], 0
    for entry in case.manifest.files:
        path = inside(case.folder, entry.name)
        if not path.is_file():
            if not entry.attached:
                missing.append(f"{entry.name} is not beside the report")
        # A file of another size is not read: it may be of any size.
        elif path.stat().st_size == entry.size and entry.is_digest(digest_file(path)):
            equal += 1
        else:
            altered.append(f"{entry.name} was altered after the report was made")
    for name, words in (
        ("manifest.json", "these files belong to another report"),
        *((name, "it is another statement") for name in ENVELOPES),
    ):
        beside = case.folder / name
        if not beside.is_file():
            if name == "manifest.json" or name in case.attachments:
                missing.append(f"{name} is not beside the report")
        elif name not in case.attachments or not _holds(case, name, case.attachments[name]):
            altered.append(f"{name} is not the one inside the report: {words}")
    if altered:
        return "fail", f"{'; '.join(altered + missing)}."
    words = f"{equal} files beside the report are those that the manifest names."
    return ("warn", f"{words} {'; '.join(missing)}.") if missing else ("pass", words)


def check_manifest_signatures(case: Case) -> Answer:
    """Whoever signed the PDF signed the manifest beside it, and nobody else did."""
    if case.folder is None:
        return not_done("only the PDF was given; verify the folder to check them")
    if not case.intact:
        return not_done("a signature does not hold")
    manifest = case.attachments["manifest.json"]
    signers = {state.field: state for state in case.document.signatures}
    problems = []
    for path in sorted(case.folder.iterdir()):
        match = MANIFEST_SIGNATURE.fullmatch(path.name)
        if match and match[1] not in signers:
            problems.append(f"{path.name}: there is no signature of this role in the report")
    missing, good = [], 0
    for field, state in signers.items():
        for name, problem_of in zip(
            manifest_signature_names(field), (cms_problem, ssh_problem), strict=True
        ):
            data = _small(case, name)
            if data is None:
                missing.append(f"{name} is not beside the report")
                continue
            problem = problem_of(data, manifest, state.certificate)
            if problem:
                problems.append(f"{name}: {problem}")
            else:
                good += 1
    if problems:
        return "fail", f"{'; '.join(problems)}."
    if not signers:
        return not_done("it is not signed")
    words = f"{good} signatures of manifest.json are by those who signed the report."
    return ("warn", f"{words} {'; '.join(missing)}.") if missing else ("pass", words)


def check_ledger(case: Case) -> Answer:
    """The judgments still are those that the signed checkpoint vouches for."""
    signed = case.manifest.ledger
    if signed is None:
        return not_done("the report rests on no judgments")
    if case.folder is None:
        return not_done(
            f"the {signed.size} judgments stay with the auditor; verify the folder to check them"
        )
    file = case.beside("judgments.db")
    if file is None:
        return "warn", f"judgments.db, with {signed.size} judgments, is not beside the report."
    if file.stat().st_size > _MAXIMUM_LEDGER:
        return "fail", f"judgments.db has more than {_MAXIMUM_LEDGER:,} bytes."
    from hitl_audit.review.ledger import Checkpoint, Ledger

    checkpoint = Checkpoint(
        signed.size, Digest(f"sha256:{signed.root}"), Digest(f"sha256:{signed.chain_head}")
    )
    problems = Ledger(file, read_only=True).verify_against(checkpoint)
    if problems:
        return "fail", f"{'; '.join(problems)}."
    return "pass", f"All {signed.size} judgments are as they were when the report was made."


def _holds(case: Case, name: str, data: bytes) -> bool:
    """Whether the file beside the report has exactly these bytes."""
    path = case.beside(name)
    return path is not None and path.stat().st_size == len(data) and path.read_bytes() == data


def _small(case: Case, name: str) -> bytes | None:
    """A file beside the report that cannot be large, or ``None``."""
    path = case.beside(name)
    if path is None:
        return None
    return path.read_bytes() if path.stat().st_size <= _MAXIMUM_SMALL else bytes(_MAXIMUM_SMALL)
