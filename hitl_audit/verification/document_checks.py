"""Checks of the document itself: intact, who, when, changed since."""

from __future__ import annotations

from datetime import datetime, timedelta

from hitl_audit.signing.attestations import ENVELOPES
from hitl_audit.signing.detached import MANIFEST_SIGNATURE
from hitl_audit.signing.signatures import SignatureState
from hitl_audit.verification.case import Answer, Case, by_words, not_done, time_words

__all__ = [
    "check_changes",
    "check_intact",
    "check_readable",
    "check_signed",
    "check_signers",
    "check_time",
]

# Two computers' clocks may differ by this much; more is a wrong time.
_CLOCKS = timedelta(minutes=5)


def check_readable(case: Case) -> Answer:
    """It is a PDF that can be read at all."""
    if not case.pdf.startswith(b"%PDF-"):
        found = "an empty file" if not case.pdf else "something else"
        return "fail", f"Expected a PDF, got {found}."
    try:
        _ = case.document
    except Exception as error:  # any broken file: the reader has no common base
        return "fail", f"The PDF is damaged or cut off and cannot be read ({error})."
    return "pass", f"A PDF of {len(case.pdf):,} bytes."


def check_signed(case: Case) -> Answer:
    """Somebody signed it, or nobody has yet; signatures that were removed leave traces."""
    if case.signatures:
        count = len(case.signatures)
        return "pass", f"It carries {count} signature{'s' if count > 1 else ''}."
    traces = sorted(case.attachments.keys() & ENVELOPES.keys())
    if case.folder is not None:
        traces += sorted(
            path.name
            for path in case.folder.iterdir()
            if path.name in ENVELOPES or MANIFEST_SIGNATURE.fullmatch(path.name)
        )
    if traces or case.document.archive:
        return "fail", (
            "It is not signed, but was: its signatures were removed. What signing left behind is "
            f"still there ({', '.join(dict.fromkeys(traces)) or 'a timestamp'})."
        )
    places = f" Places are kept for: {', '.join(case.open_roles)}." if case.open_roles else ""
    return "warn", f"A draft: nobody has signed it, so nobody vouches for anything in it.{places}"


def check_intact(case: Case) -> Answer:
    """What was signed is as it was signed."""
    if not case.signatures:
        return "not done", (
            "Not proven: nothing in it is signed, so a change could not be seen. Whether its parts "
            "agree with each other is checked below."
        )
    states = [
        (state.problem, f"signature of the {state.role}") for state in case.document.signatures
    ]
    states += [(stamp.problem, "timestamp of the archive") for stamp in case.document.archive]
    broken = by_words(states)
    if broken:
        return "fail", "No. " + " ".join(
            f"The {which} does not hold: {problem}." for problem, which in broken.items()
        )
    return "pass", "Yes: everything that was signed is, byte for byte, as it was signed."


def check_changes(case: Case) -> Answer:
    """Only later signatures may follow a signature, and the last one ends the file."""
    document = case.document
    if not document.signatures:
        return "not done", "Nobody has signed it, so there is nothing to compare it with."
    altered = by_words((" and ".join(s.changes), s.role) for s in document.signatures)
    found = [f"after the signature of the {roles}, {what}" for what, roles in altered.items()]
    if document.tail_problem:
        found.append(document.tail_problem)
        found += [what for what in document.tail_changes if what not in " ".join(altered)]
    if document.added_fields:
        found.append(f"places for signatures were added later: {', '.join(document.added_fields)}")
    if found:
        return "fail", f"Forbidden changes: {'; '.join(found)}."
    if not case.intact:
        return not_done("the signed content is not intact, so there is nothing to compare with")
    later = [state.role for state in document.signatures[1:]]
    archived = " A timestamp over everything was added for the archive." if document.archive else ""
    if later:
        return "pass", (
            f"Only as allowed: later signatures were added ({', '.join(later)}).{archived}"
        )
    return "pass", f"Nothing was changed or added after the signature.{archived}"


def check_signers(case: Case) -> Answer:
    """The reader, or an authority that the reader trusts, knows who signed."""
    pairs = list(zip(case.signatures, case.document.signatures, strict=True))
    holding = [(signature, state) for signature, state in pairs if signature.holds]
    if not holding:
        return _without_signatures(case, "Nobody yet")
    people = ", ".join(f"{s.name} as {s.role}" for s, _ in holding)
    names = {
        status: ", ".join(dict.fromkeys(s.name for s, _ in holding if s.status == status))
        for status in ("revoked", "unknown", "expired", "not checked")
    }
    if names["revoked"]:
        why = next(state.chain.words for s, state in holding if s.status == "revoked")
        return "fail", f"{people}. Revoked: {names['revoked']} ({why})."
    words = [people]
    if names["expired"]:
        words.append(
            f"The certificate of {names['expired']} has expired, and no timestamp that you trust "
            "proves that it was valid at the time"
        )
    if names["not checked"]:
        words.append(
            f"An authority that you trust vouches for {names['not checked']}, but whether it "
            "revoked the certificate is not known: give its list with --trust (a CRL file)"
        )
    if names["unknown"]:
        words.append(
            f"Unknown to you: {names['unknown']}. Anyone can make a certificate with any name. Ask "
            "the signer for the fingerprint by another way than this document came (by telephone, "
            "in person) and compare it with the one under Signatures. If they are equal, verify "
            "again with --trust and the fingerprint"
        )
    if len(words) > 1:
        return "warn", ". ".join(words) + "."
    return "pass", f"{people}: trusted, because you named the certificate or its authority."


def check_time(case: Case) -> Answer:
    """The times fit each other, the certificates and the document; which are proven."""
    holding = [state for state in case.document.signatures if not state.problem]
    if not holding:
        return _without_signatures(case, "No time is stated")
    failed: list[str] = []
    doubts: list[str] = []
    claims: list[str] = []
    made = _made(case)
    previous: tuple[str, datetime] | None = None
    for state in holding:
        moment = state.signed_at
        if moment is None:
            failed.append(f"the signature of the {state.role} states no time that can be read")
            continue
        claims.append(_claim(case, state, moment))
        if not state.not_before <= moment <= state.not_after:
            failed.append(
                f"the certificate of the {state.role} was not valid then, but from "
                f"{state.not_before:%Y-%m-%d} to {state.not_after:%Y-%m-%d}"
            )
        elif state.not_after < case.now:
            doubts.append(f"the certificate of the {state.role} has expired since")
        _compare(
            moment,
            case.now,
            f"the time claimed by the {state.role} is still to come",
            failed,
            doubts,
        )
        if made is not None and moment < made:
            words = f"the {state.role} claims to have signed before the document was made"
            _compare(made, moment, f"{words} ({time_words(made)})", failed, doubts)
        if previous is not None and moment < previous[1]:
            words = f"the {state.role} claims to have signed before the one before ({previous[0]})"
            _compare(previous[1], moment, words, failed, doubts)
        proven = state.timestamp.time if state.timestamp and state.timestamp.proves else None
        if proven is not None:
            words = f"the {state.role} claims another time than the timestamp proves"
            _compare(moment, proven, words, failed, doubts)
            _compare(proven, moment, words, failed, doubts, tolerance=timedelta(hours=1))
        previous = (state.role, moment)
    claims += [
        f"archive {time_words(stamp.time)}, proven by {stamp.authority}"
        for stamp in case.document.archive
        if stamp.proves
    ]
    words = f"{'; '.join(claims)}."
    if all(case.proven_at(state) is None for state in holding):
        words = (
            f"{'; '.join(claims)}: claimed by the signer's computer; "
            "no timestamp authority confirms it."
        )
    if failed:
        return "fail", f"{words} Wrong: {'; '.join(failed)}."
    return ("warn", f"{words} Note: {'; '.join(doubts)}.") if doubts else ("pass", words)


def _without_signatures(case: Case, words: str) -> Answer:
    if case.signatures:
        return not_done("no signature holds")
    return "not done", f"{words}: it is not signed."


def _claim(case: Case, state: SignatureState, moment: datetime) -> str:
    stamp = state.timestamp
    if stamp is not None and stamp.proves:
        doubt = " (not known whether it was revoked)" if stamp.chain.verdict != "trusted" else ""
        return f"{state.role} {time_words(stamp.time)}, proven by {stamp.authority}{doubt}"
    words = f"{state.role} {time_words(moment)}"
    if stamp is not None:
        return f"{words} (a timestamp says so, too, by {stamp.authority}, whom you do not trust)"
    if case.proven_at(state) is not None:
        return f"{words} (claimed; the archive's timestamp proves that it is not later)"
    return (
        words
        if all(s.timestamp is None for s in case.document.signatures)
        else f"{words} (claimed)"
    )


def _compare(
    later: datetime,
    earlier: datetime,
    words: str,
    failed: list[str],
    doubts: list[str],
    tolerance: timedelta = _CLOCKS,
) -> None:
    """Note that one time is after another; by more than clocks differ, it is wrong."""
    if later > earlier + tolerance:
        failed.append(words)
    elif later > earlier and tolerance == _CLOCKS:
        doubts.append(words)


def _made(case: Case) -> datetime | None:
    """When the document was made, as its manifest says; other checks say if it cannot."""
    try:
        return case.manifest.created
    except Exception:
        return None
