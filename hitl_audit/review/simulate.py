"""Simulated reviewers, for demonstrations only.

Nothing here says anything about people. Every event is marked ``simulated``,
every name and every rationale says so too.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

from hitl_audit.errors import InputError
from hitl_audit.review.session import ReviewSession

__all__ = ["simulate_reviewers"]

_RATIONALE = "Simulated rationale: no person wrote this."


def simulate_reviewers(
    session_for: Callable[[str], ReviewSession], *, n_reviewers: int = 2, random_state: int = 0
) -> int:
    """Let programs judge every case of a session, through the session itself.

    The answers and event ids depend on the seed, the reviewer's name, the
    model, the plan and the case, never on the order; times come from the
    session's clock. Running it again adds nothing.

    Args:
        session_for: makes the session of a reviewer's name, with ``simulated=True``.
        n_reviewers: how many; they are called ``Simulated reviewer 1`` and so on.
        random_state: the seed.

    Returns:
        The number of events recorded.

    Raises:
        InputError: the session does not mark its events as simulated.
    """
    recorded = 0
    for number in range(1, n_reviewers + 1):
        session = session_for(f"Simulated reviewer {number}")
        if not session.simulated:
            raise InputError("simulate: the session has simulated=False; expected True")
        while (case_id := (at := session.position()).case_id) is not None:
            seed = [random_state, session.reviewer, session.model_digest, session.plan_digest]
            # Not for secrets: the same seed must give the same demonstration.
            rng = random.Random(repr([*seed, case_id, at.step]))  # noqa: S311
            session.case()
            answer = _blind(rng) if at.step == "blind" else _final(rng, session)
            disagrees = answer == "disagree"
            session.submit(
                answer,
                reasons=(rng.choice(session.reasons),) if disagrees else (),
                rationale=_RATIONALE if disagrees else "",
                event_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            )
            recorded += 1
    return recorded


def _blind(rng: random.Random) -> str:
    return rng.choices(("favorable", "unfavorable", "unsure"), (70, 22, 8))[0]


def _final(rng: random.Random, session: ReviewSession) -> str:
    revealed = session.revealed()
    close = abs(revealed.probability - revealed.threshold) < 0.15
    odds = (62, 22, 10, 6) if close else (88, 7, 3, 2)
    return rng.choices(("agree", "disagree", "unsure", "escalate"), odds)[0]
