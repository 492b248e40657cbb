"""Simulated reviewers, for demonstrations only.

Nothing here says anything about people. Every event is marked ``simulated``,
every name and every rationale says so too.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hitl_audit.errors import InputError
from hitl_audit.review.adjudication import AdjudicationSession
from hitl_audit.review.judgment import DECISIONS
from hitl_audit.review.session import ReviewSession

__all__ = ["SimulatedSkill", "simulate_adjudicator", "simulate_reviewers"]

_RATIONALE = "Simulated rationale: no person wrote this."
_NOTE = "Simulated note: no person wrote this."


@dataclass(frozen=True)
class SimulatedSkill:
    """How a simulated reviewer judges when the right answer is known.

    Attributes:
        accuracy: chance that their own decision is the right one.
        leniency: chance that an unfavorable decision of their own becomes a
            favorable one.
        anchoring: chance that they follow the model where it differs from them.
        unsure: chance of *unsure* instead of a decision.
        escalates: chance of *escalate* instead of a verdict.

    Raises:
        InputError: a chance that is none.
    """

    accuracy: float = 0.8
    leniency: float = 0.1
    anchoring: float = 0.4
    unsure: float = 0.05
    escalates: float = 0.02

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"simulate: {name} is {value}; expected a chance from 0 to 1")


def simulate_reviewers(
    session_for: Callable[[str], ReviewSession],
    *,
    n_reviewers: int = 2,
    random_state: int = 0,
    truth: Mapping[str, str] | None = None,
    skill: SimulatedSkill | Callable[[str], SimulatedSkill] | None = None,
) -> int:
    """Let programs judge every case of a session, through the session itself.

    The answers and event ids depend on the seed, the reviewer's name, the
    model, the plan, the case and the kind of task, never on the order; times come
    from the session's clock. Running it again adds nothing.

    Args:
        session_for: makes the session of a reviewer's name, with ``simulated=True``.
        n_reviewers: how many; they are called ``Simulated reviewer 1`` and so on.
        random_state: the seed.
        truth: case id → the right decision, ``"favorable"`` or ``"unfavorable"``.
            On these cases a reviewer decides by ``skill``; on others by chance.
        skill: of everybody, or by name.

    Returns:
        The number of answers recorded.

    Raises:
        InputError: the session does not mark its events as simulated, or a
            truth that is no decision.
    """
    right = _truth(truth)
    recorded = 0
    for number in range(1, n_reviewers + 1):
        session = session_for(f"Simulated reviewer {number}")
        _check_marked(session.simulated)
        own = skill(session.reviewer) if callable(skill) else skill or SimulatedSkill()
        while (case_id := (at := session.position()).case_id) is not None:
            task = session.queue.next_task(session.reviewer)
            again = task is not None and task.task == "repeat"
            seed = [random_state, session.reviewer, session.model_digest, session.plan_digest]
            seed += [case_id, at.step, *(["again"] if again else [])]
            # Not for secrets: the same seed must give the same demonstration.
            rng = random.Random(repr(seed))  # noqa: S311
            session.case()
            answer, given = (_blind if at.step == "blind" else _final)(
                rng, session, right.get(case_id), own
            )
            session.submit(
                answer, **given, event_id=str(uuid.UUID(int=rng.getrandbits(128), version=4))
            )
            recorded += 1
    return recorded


def simulate_adjudicator(
    session: AdjudicationSession,
    *,
    random_state: int = 0,
    truth: Mapping[str, str] | None = None,
    accuracy: float = 0.9,
) -> int:
    """Let a program decide every case in conflict, through the session itself.

    Args:
        session: with ``simulated=True``.
        random_state: the seed.
        truth: as for :func:`simulate_reviewers`; without it, the majority is
            followed, and the model in a tie.
        accuracy: chance of the right decision where it is known.

    Returns:
        The number of decisions recorded.

    Raises:
        InputError: as for :func:`simulate_reviewers`.
    """
    right = _truth(truth)
    _check_marked(session.simulated)
    SimulatedSkill(accuracy=accuracy)
    recorded = 0
    while (case_id := session.position().case_id) is not None:
        seed = [random_state, session.reviewer, session.model_digest, session.plan_digest, case_id]
        rng = random.Random(repr(seed))  # noqa: S311
        session.case()
        answer: str = session.revealed().decision
        counts = dict(session.dissent().decisions)
        if counts.get("favorable", 0) != counts.get("unfavorable", 0):
            answer = max(DECISIONS, key=lambda decision: counts.get(decision, 0))
        if case_id in right:
            answer = right[case_id] if rng.random() < accuracy else _other(right[case_id])
        session.submit(answer, rationale=_RATIONALE, case_id=case_id)
        recorded += 1
    return recorded


def _blind(
    rng: random.Random, session: ReviewSession, right: str | None, skill: SimulatedSkill
) -> tuple[str, dict[str, Any]]:
    answer = _own(rng, right, skill)
    return answer, {"confidence": _confidence(rng, answer)}


def _own(rng: random.Random, right: str | None, skill: SimulatedSkill) -> str:
    if right is None:
        return rng.choices((*DECISIONS, "unsure"), (70, 22, 8))[0]
    if rng.random() < skill.unsure:
        return "unsure"
    answer = right if rng.random() < skill.accuracy else _other(right)
    if answer == "unfavorable" and rng.random() < skill.leniency:
        return "favorable"
    return answer


def _confidence(rng: random.Random, answer: str) -> int:
    sure = (5, 4, 3, 2, 1) if answer == "unsure" else (1, 2, 4, 5, 3)
    return rng.choices((1, 2, 3, 4, 5), sure)[0]


def _final(
    rng: random.Random, session: ReviewSession, right: str | None, skill: SimulatedSkill
) -> tuple[str, dict[str, Any]]:
    revealed = session.revealed()
    # Under the open protocol nobody has answered before.
    own = session.own_decision() or _own(rng, right, skill)
    if right is None:
        close = abs(revealed.probability - revealed.threshold) < 0.15
        odds = (62, 22, 10, 6) if close else (88, 7, 3, 2)
        answer = rng.choices(("agree", "disagree", "unsure", "escalate"), odds)[0]
    elif rng.random() < skill.escalates:
        answer = "escalate"
    elif own == "unsure":
        answer = "agree" if rng.random() < skill.anchoring else "unsure"
    elif own == revealed.decision or rng.random() < skill.anchoring:
        answer = "agree"
    else:
        answer = "disagree"
    needs_words = answer in ("disagree", "escalate")
    return answer, {
        "reasons": (rng.choice(session.reasons),) if answer == "disagree" else (),
        "rationale": _RATIONALE if needs_words else "",
        "note": _NOTE if rng.random() < 0.05 else "",
    }


def _other(decision: str) -> str:
    return DECISIONS[1 - DECISIONS.index(decision)]


def _truth(truth: Mapping[str, str] | None) -> dict[str, str]:
    for case_id, decision in (truth or {}).items():
        if decision not in DECISIONS:
            raise InputError(
                f'simulate: truth of case "{case_id}" is "{decision}"; '
                f"accepted: {', '.join(DECISIONS)}"
            )
    return dict(truth or {})


def _check_marked(simulated: bool) -> None:
    if not simulated:
        raise InputError("simulate: the session has simulated=False; expected True")
