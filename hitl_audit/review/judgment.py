"""One judgment: an event of the ledger, its bytes and what makes it valid."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import LedgerError, did_you_mean

__all__ = ["ANSWERS", "FORMAT", "SHOWN", "Judgment", "problems_of"]

FORMAT = "hitl-audit/judgment/v1"

_VERDICTS = ("agree", "disagree", "unsure", "escalate")
ANSWERS: dict[str, tuple[str, ...]] = {
    "blind": ("favorable", "unfavorable", "unsure"),
    "final": _VERDICTS,
    "correction": _VERDICTS,
}
"""Accepted answers by phase. *Blind* is the reviewer's own decision before the
model's is shown; *final* the verdict on the model's; *correction* a new
verdict that replaces an earlier final one, which stays in the ledger."""

SHOWN = ("case", "prediction", "explanation", "explanation marked unreliable")
"""What can have been on screen; listed in an event in the order of appearance."""


@dataclass(frozen=True)
class Judgment:
    """One step of one reviewer on one case: an event of the ledger.

    Attributes:
        event_id: UUID made by the page that asks, so that sending an event
            twice records it once.
        case_id: pseudonymous id of the case.
        design: how the case was sampled, for example ``"random"``.
        inclusion_probability: chance of the case to be in the sample, (0, 1].
        reviewer, role: who judged, and as what.
        phase: ``"blind"``, ``"final"`` or ``"correction"``.
        answer: one of :data:`ANSWERS` of the phase.
        reasons: reason codes of the plan.
        rationale: why, in the reviewer's words.
        shown: what was on screen, in order, from :data:`SHOWN`.
        model_digest, plan_digest: the model judged and the plan followed.
        at: UTC text of the moment the answer was recorded.
        seconds: time on task of this step; ``None`` if it was not measured.
        model_decision: what the model decided, ``"favorable"`` or
            ``"unfavorable"``; ``None`` while it was hidden.
        corrects: event id of the verdict that this correction replaces.
        simulated: made by a program for demonstration, not by a person.
    """

    event_id: str
    case_id: str
    design: str
    inclusion_probability: float
    reviewer: str
    role: str
    phase: str
    answer: str
    reasons: tuple[str, ...]
    rationale: str
    shown: tuple[str, ...]
    model_digest: str
    plan_digest: str
    at: str
    seconds: float | None
    model_decision: str | None = None
    corrects: str | None = None
    simulated: bool = False

    def body(self) -> bytes:
        """The RFC 8785 bytes that are stored and hashed."""
        return canonical_bytes({"format": FORMAT} | asdict(self))

    @classmethod
    def from_body(cls, body: bytes) -> Judgment:
        """Read an event back from its bytes.

        Raises:
            LedgerError: not JSON, another format, or other fields than expected.
        """
        try:
            record = json.loads(body)
        except ValueError as error:
            raise LedgerError(f"the body is not JSON: {error}") from None
        found = record.pop("format", None) if isinstance(record, dict) else None
        if found != FORMAT:
            raise LedgerError(f"the body has format {found!r}; accepted: {FORMAT!r}")
        names = {f.name for f in fields(cls)}
        if set(record) != names:
            odd = ", ".join(sorted(set(record) ^ names))
            raise LedgerError(f"the body has missing or unknown fields: {odd}")
        for name in ("reasons", "shown"):
            if not isinstance(record[name], list):
                raise LedgerError(f"the body has no list in {name!r}")
            record[name] = tuple(record[name])
        return cls(**record)


def problems_of(judgment: Judgment) -> list[str]:
    """What keeps an event from being recorded, in words; empty if nothing does."""
    problems = []
    for name in ("case_id", "design", "reviewer", "role", "model_digest", "plan_digest"):
        if not getattr(judgment, name).strip():
            problems.append(f"{name} is empty; expected text")
    texts = (*asdict(judgment).values(), *judgment.reasons, *judgment.shown)
    if any(isinstance(text, str) and not _is_unicode(text) for text in texts):
        problems.append("a text holds half a character (a lone surrogate); expected Unicode text")
    if judgment.reviewer.strip().casefold() == "anonymous":
        problems.append('reviewer is "anonymous"; expected who judged')
    if not _is_uuid(judgment.event_id):
        problems.append(f"event_id is {judgment.event_id!r}; expected a lower-case UUID")
    if not 0 < judgment.inclusion_probability <= 1:
        problems.append(
            f"inclusion_probability is {judgment.inclusion_probability}; expected 0 < p <= 1"
        )
    if judgment.seconds is not None and not 0 <= judgment.seconds < math.inf:
        problems.append(f"seconds is {judgment.seconds}; expected 0 or more")
    if not _is_utc_text(judgment.at):
        problems.append(
            f"at is {judgment.at!r}; expected UTC text such as 2026-01-31T12:00:00.000000Z"
        )
    return problems + _answer_problems(judgment)


def _answer_problems(judgment: Judgment) -> list[str]:
    problems = []
    accepted = ANSWERS.get(judgment.phase)
    if accepted is None:
        return [_unknown("phase", judgment.phase, tuple(ANSWERS))]
    if judgment.answer not in accepted:
        problems.append(_unknown("answer", judgment.answer, accepted))
    problems += [_unknown("shown", item, SHOWN) for item in judgment.shown if item not in SHOWN]
    if judgment.model_decision not in (None, "favorable", "unfavorable"):
        found = judgment.model_decision
        problems.append(_unknown("model_decision", found, ("favorable", "unfavorable")))
    if judgment.phase == "blind" and (
        judgment.model_decision is not None or set(judgment.shown) - {"case"}
    ):
        problems.append(
            "a blind answer is given before the model's is shown; expected only the case"
        )
    if judgment.answer == "disagree" and not judgment.reasons:
        problems.append("reasons is empty; to disagree, at least one reason code is needed")
    if judgment.answer == "disagree" and not judgment.rationale.strip():
        problems.append("rationale is empty; to disagree, say why in a few words")
    if (judgment.phase == "correction") != (judgment.corrects is not None):
        problems.append(
            'corrects goes with phase "correction": '
            f"got phase {judgment.phase!r} and corrects {judgment.corrects!r}"
        )
    return problems


def _unknown(name: str, found: str, accepted: tuple[str, ...]) -> str:
    return f'{name} is "{found}"; accepted: {", ".join(accepted)}{did_you_mean(found, accepted)}'


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _is_utc_text(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return False
    return text.endswith("Z")
