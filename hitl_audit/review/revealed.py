"""What the model says about one case, and how it reads when it is reversed as a control. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from hitl_audit.review.words import Scale

__all__ = ["Revealed", "mirrored", "reversed_answer"]


@dataclass(frozen=True)
class Revealed:
    """What the model says about one case.

    Attributes:
        decision: ``"favorable"`` or ``"unfavorable"``.
        probability: of the favorable outcome.
        threshold: from which the decision is favorable.
        contributions: ``(feature, value in words, attribution)`` each.
        reliable: the explanation passed the plan's bar.
        reason: why it did not, in words.
        scale: of the attributions.
        base: what the attributions start from, on their scale; ``None`` if unknown.
    """

    decision: Literal["favorable", "unfavorable"]
    probability: float
    threshold: float
    contributions: tuple[tuple[str, str, float], ...]
    reliable: bool = True
    reason: str = ""
    scale: Scale = "probability"
    base: float | None = None


def reversed_answer(revealed: Revealed) -> Revealed:
    """A wrong answer of the model, as a control shows it.

    The score goes to the other side of the threshold, as far from it as it was,
    as a share of the way. An explanation that is missing, or that speaks for the
    other decision, would give the control away, so every attribution changes its
    sign, and what is then left to the shown score is spread over them by size:
    the page adds up as it does on any other case. Nothing of it is the model's,
    which is why such a case is marked in the ledger, enters no rate, and is
    disclosed in the plan, in the document and to the reviewer at the end.
    """
    decision: Literal["favorable", "unfavorable"] = (
        "unfavorable" if revealed.decision == "favorable" else "favorable"
    )
    score = mirrored(revealed.probability, revealed.threshold)
    turned = [-number for _, _, number in revealed.contributions]
    if revealed.base is not None:
        target = score if revealed.scale == "probability" else _log_odds(score)
        size = math.fsum(map(abs, turned))
        left = target - revealed.base - math.fsum(turned)
        turned = [n + left * abs(n) / size if size else n for n in turned]
    contributions = tuple(
        (feature, value, number)
        for (feature, value, _), number in zip(revealed.contributions, turned, strict=True)
    )
    return replace(revealed, decision=decision, probability=score, contributions=contributions)


def mirrored(score: float, threshold: float) -> float:
    """A score from 0 to 1 on the other side of the threshold; larger scores become smaller."""
    if score >= threshold:
        way = (score - threshold) / (1 - threshold) if threshold < 1 else 0.0
        # A favorable score on the threshold itself must end below it.
        return max(0.0, min(threshold * (1 - way), math.nextafter(threshold, 0)))
    return min(1.0, threshold + (1 - threshold) * (threshold - score) / threshold)


def _log_odds(score: float) -> float:
    inside = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))
