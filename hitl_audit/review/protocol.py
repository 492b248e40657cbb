"""What the judging protocol says to a reviewer and what it refuses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hitl_audit.errors import InputError, LedgerError, did_you_mean
from hitl_audit.review.judgment import ANSWERS, CONFIDENCES, Judgment
from hitl_audit.review.queue import Step
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.sampling import CaseSample

__all__ = [
    "PROTOCOLS",
    "Debrief",
    "Given",
    "LookBack",
    "Position",
    "RefusedError",
    "check_answer",
    "check_controls",
    "check_reasons",
    "check_session",
    "debriefed",
]

PROTOCOLS = ("blind-first", "open")


class RefusedError(LedgerError):
    """The session did not take an answer; nothing was recorded.

    Attributes:
        field: where the reviewer should look: ``"answer"``, ``"confidence"``,
            ``"reasons"``, ``"rationale"`` or ``""``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Position:
    """Where the reviewer is.

    Attributes:
        case_id: the case to judge, ``None`` when the queue is exhausted.
        step: ``"blind"``, ``"final"`` or ``"done"``.
        judged, total: number of cases behind the reviewer, and in all.
        words: ``"3 of 20"`` when two are judged, or why there is no case.
        due: UTC text until when, or ``""``.
    """

    case_id: str | None
    step: Step
    judged: int
    total: int
    words: str
    due: str = ""


@dataclass(frozen=True)
class LookBack:
    """A case on which the reviewer has answered, as they left it; nothing can be changed here.

    Attributes:
        case_id: the case.
        values: its names and values, in words.
        answers: everything they recorded on it, in order, corrections included.
        withdrawn: event ids of the answers they took back.
        revealed: what they were shown of the model; ``None`` if it was hidden.
    """

    case_id: str
    values: tuple[tuple[str, str], ...]
    answers: tuple[Judgment, ...]
    withdrawn: tuple[str, ...]
    revealed: Revealed | None


@dataclass(frozen=True)
class Debrief:
    """What the reviewer is told at the end about the controls.

    Attributes:
        planted: cases on which they were shown a reversed answer of the model.
        repeated: cases they judged twice.
        gold: cases whose right answer was known.
        words: the same in a few sentences; ``""`` if there were no controls.
    """

    planted: tuple[str, ...]
    repeated: tuple[str, ...]
    gold: tuple[str, ...]
    words: str


class Given(NamedTuple):
    """An answer as it was sent."""

    answer: str
    confidence: int | None
    reasons: tuple[str, ...]
    rationale: str
    note: str


def debriefed(done: Iterable[tuple[str, str]]) -> Debrief:
    """Tell what the controls were.

    Args:
        done: case id and kind of task of every finished task.
    """
    done = tuple(done)
    planted, repeated, gold = (
        tuple(case for case, task in done if task == kind) for kind in ("planted", "repeat", "gold")
    )
    words = []
    if planted:
        words.append(
            f"On {_number(planted)} you were shown a reversed answer of the model, to see "
            f"whether wrong answers are noticed: {', '.join(planted)}. Your verdicts there "
            "enter no rate."
        )
    if repeated:
        words.append(f"You judged {_number(repeated)} twice: {', '.join(repeated)}.")
    if gold:
        words.append(f"Of {_number(gold)} the right answer was known: {', '.join(gold)}.")
    return Debrief(planted, repeated, gold, " ".join(words))


def check_answer(step: str, given: Given, *, reasons: Sequence[str], escalate_to: str = "") -> None:
    """Refuse an answer that cannot be recorded.

    Args:
        step: the phase it would be recorded as.
        given: the answer.
        reasons: of the plan.
        escalate_to: the role that decides what is escalated; ``""`` without a rule.

    Raises:
        RefusedError: with the words for the reviewer, and where to look.
    """
    answer = given.answer
    if answer not in ANSWERS[step]:
        accepted = ", ".join(ANSWERS[step])
        got = f'got "{answer}"' if answer else "nothing was chosen"
        raise RefusedError(f"Choose an answer first: {got}; accepted: {accepted}.", "answer")
    if given.confidence is not None and (step != "blind" or given.confidence not in CONFIDENCES):
        raise RefusedError(
            f"Confidence is {given.confidence!r}; accepted: 1 to 5, with your own decision.",
            "confidence",
        )
    check_reasons(given.reasons, reasons)
    if answer == "disagree" and not (given.reasons and given.rationale):
        raise RefusedError(
            "To disagree, pick a reason and say why in a few words.",
            "rationale" if given.reasons else "reasons",
        )
    if answer == "escalate" and escalate_to and not given.rationale:
        raise RefusedError(
            f"To escalate, say in a few words what the {escalate_to} should decide.", "rationale"
        )


def check_reasons(given: Iterable[str], accepted: Sequence[str]) -> None:
    """Refuse a reason that is none of the plan's.

    Raises:
        RefusedError: naming it and what is accepted.
    """
    for reason in given:
        if reason not in accepted:
            hint = did_you_mean(reason, accepted)
            raise RefusedError(
                f'"{reason}" is no reason of the plan; accepted: {", ".join(accepted)}{hint}.',
                "reasons",
            )


def check_session(reviewer: str, role: str, protocol: str, reasons: Sequence[str]) -> None:
    """Refuse a session that cannot work.

    Raises:
        InputError: nobody is named, no role, an unknown protocol, or no reasons.
    """
    if reviewer.strip().casefold() in ("", "anonymous"):
        raise InputError(f'review: reviewer is "{reviewer}"; expected the name of who judges')
    if not role.strip():
        raise InputError("review: role is empty; expected what the reviewer judges as")
    if protocol not in PROTOCOLS:
        raise InputError(
            f'review: protocol is "{protocol}"; accepted: {", ".join(PROTOCOLS)}'
            f"{did_you_mean(protocol, PROTOCOLS)}"
        )
    if isinstance(reasons, str) or not reasons:
        raise InputError("review: reasons is empty or one text; expected a list of reasons")


def check_controls(controls: Mapping[str, str], sample: CaseSample) -> None:
    """Refuse controls of an open queue that are no kind of control, or not in the sample.

    Raises:
        InputError: naming the case.
    """
    drawn = set(sample.case_ids)
    for case_id, task in controls.items():
        if task not in ("gold", "planted"):
            raise InputError(
                f'review: controls says "{task}" of case "{case_id}"; accepted: gold, planted'
            )
        if case_id not in drawn:
            raise InputError(
                f'review: controls names case "{case_id}", which is not in the sample; cases '
                "beside it are for a planned review"
            )


def _number(cases: Sequence[str]) -> str:
    return "1 case" if len(cases) == 1 else f"{len(cases)} cases"
