"""What judging pages say about the model and about recorded answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from hitl_audit.review.judgment import Judgment
from hitl_audit.review.protocol import LookBack
from hitl_audit.review.revealed import Revealed
from hitl_audit.review.words import bars

__all__ = ["VERDICTS", "Labels", "decision_words", "look_words", "model_words"]

VERDICTS = (
    ("agree", "Agree"),
    ("disagree", "Disagree"),
    ("unsure", "Not sure"),
    ("escalate", "Escalate"),
)


class Labels(Protocol):
    """The plan's words for the two decisions."""

    favorable_label: str
    unfavorable_label: str


def decision_words(labels: Labels) -> dict[str, str]:
    """The words for each decision a person can take."""
    return {
        "favorable": labels.favorable_label,
        "unfavorable": labels.unfavorable_label,
        "unsure": "Not sure",
    }


def model_words(labels: Labels, revealed: Revealed) -> dict[str, Any]:
    """The model's answer, in words and lengths ready to be shown."""
    favorable, unfavorable = labels.favorable_label, labels.unfavorable_label
    start = ""
    if revealed.base is not None:
        number = (
            f"{revealed.base:.1%}"
            if revealed.scale == "probability"
            else f"{revealed.base:.2f} log-odds"
        )
        start = f"Starting from {number}, the average of the comparison cases."
    return {
        "decision": favorable if revealed.decision == "favorable" else unfavorable,
        "probability": revealed.probability,
        "threshold": revealed.threshold,
        "chance": f"The model’s score for “{favorable}”: {revealed.probability * 100:.1f} of 100",
        "rule": f"“{favorable}” from {revealed.threshold * 100:.1f}",
        "start": start,
        "legend": f"▲ towards “{favorable}”   ▼ towards “{unfavorable}”",
        "bars": [asdict(bar) for bar in bars(revealed.contributions, scale=revealed.scale)],
        "reliable": revealed.reliable,
        "reason": revealed.reason,
    }


def look_words(labels: Labels, look: LookBack) -> list[dict[str, Any]]:
    """The answers recorded on a case, in order; those taken back or replaced are marked."""
    replaced = {event.corrects for event in look.answers}
    return [
        {
            "words": _answer_words(labels, event, withdrawn=event.event_id in look.withdrawn),
            "at": event.at,
            "record": event.event_id[:8],
            "gone": event.event_id in replaced or event.event_id in look.withdrawn,
            "more": [text for text in (*event.reasons, event.rationale, event.note) if text],
        }
        for event in look.answers
    ]


def _answer_words(labels: Labels, event: Judgment, *, withdrawn: bool) -> str:
    if event.phase == "blind":
        words = f"Your own decision: {decision_words(labels)[event.answer]}"
        if event.confidence is not None:
            words += f", {event.confidence} of 5 sure"
    else:
        what = "Corrected verdict" if event.phase == "correction" else "Verdict on the model"
        words = f"{what}: {dict(VERDICTS)[event.answer]}"
    return f"{words} (withdrawn)" if withdrawn else words
