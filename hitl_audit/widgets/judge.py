"""The page on which a person judges cases: a view of a :class:`ReviewSession`.

The page gets one trait, ``view``, with words and lengths ready to be shown,
and sends three messages: ``submit``, ``next`` and ``correct``. What the
protocol hides is not in the view, so it is not in the browser either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from hitl_audit.errors import AuditError
from hitl_audit.review.ledger import Judgment, Receipt
from hitl_audit.review.session import RefusedError, Revealed, ReviewSession
from hitl_audit.review.words import bars

__all__ = ["JudgeWidget"]

_HERE = Path(__file__).parent
_VERDICTS = (
    ("agree", "Agree"),
    ("disagree", "Disagree"),
    ("unsure", "Not sure"),
    ("escalate", "Escalate"),
)


class JudgeWidget(anywidget.AnyWidget):
    """Judge the cases of a session, in JupyterLab or any page that shows widgets.

    Args:
        session: whose cases, and where the answers go.
    """

    _esm = _HERE / "judge.js"
    _css = _HERE / "judge.css"
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, session: ReviewSession) -> None:
        self._session = session
        super().__init__(view=_page(session))
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        kind = content.get("kind")
        try:
            if kind == "submit":
                self._submit(content)
            elif kind == "next":
                self.view = _page(self._session)
            elif kind == "correct" and self.view.get("saved"):
                self.view = self.view | {
                    "stage": "correction",
                    "question": "What is your corrected verdict?",
                }
        except AuditError as error:
            field = error.field if isinstance(error, RefusedError) else ""
            self._refuse(content, str(error), field)
        except Exception as error:
            # Without an answer the page would say that the connection is lost.
            self._refuse(content, f"Not saved, because of an error in the program: {error!r}")
            raise

    def _refuse(self, content: Mapping[str, Any], words: str, field: str = "") -> None:
        event_id = content.get("event_id")
        self.send({"kind": "refused", "event_id": event_id, "words": words, "field": field})

    def _submit(self, content: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {
            "reasons": tuple(_text(reason) for reason in content.get("reasons") or ()),
            "rationale": _text(content.get("rationale", "")),
            "event_id": _text(content.get("event_id", "")),
        }
        answer, step = _text(content.get("answer", "")), _text(content.get("step", ""))
        if step == "correction":
            receipt = self._session.correct(_text(content.get("corrects", "")), answer, **given)
        else:
            case_id = _text(content.get("case_id", ""))
            receipt = self._session.submit(answer, **given, case_id=case_id, step=step)
        self.send({"kind": "saved", "event_id": receipt.event_id})
        self._show_saved(receipt, answer, step)

    def _show_saved(self, receipt: Receipt, answer: str, step: str) -> None:
        found = self._session.ledger.find(receipt.event_id)
        saved = {
            "event_id": receipt.event_id,
            "record": receipt.event_id[:8],
            "at": found[1].at if found else "",
            "answer": dict(_VERDICTS).get(answer, ""),
        }
        judged = found[1] if found else None
        shows_it = (
            isinstance(judged, Judgment) and self.view.get("case", {}).get("id") == judged.case_id
        )
        if step == "blind" or not shows_it:
            self.view = _page(self._session) | {"saved": saved}
        else:
            progress = self.view["progress"] | {"judged": self._session.position().judged}
            recorded = {"stage": "saved", "question": "Recorded", "saved": saved}
            self.view = self.view | recorded | {"progress": progress}


def _page(session: ReviewSession) -> dict[str, Any]:
    """What the page shows at the session's current position."""
    at = session.position()
    page: dict[str, Any] = {
        "stage": at.step,
        "outbox": session.key,
        "reviewer": f"{session.reviewer} · {session.role}",
        "simulated": session.simulated,
        "progress": {"words": at.words, "judged": at.judged, "total": at.total},
        "question": at.words,
        "saved": None,
    }
    if at.case_id is None:
        return page
    page["case"] = {"id": at.case_id, "values": [list(pair) for pair in session.case()]}
    decisions = {
        "favorable": session.favorable_label,
        "unfavorable": session.unfavorable_label,
        "unsure": "Not sure",
    }
    if at.step == "blind":
        page["question"] = "What would you decide?"
        page["answers"] = [list(pair) for pair in decisions.items()]
        return page
    page["own"] = decisions.get(session.own_decision() or "", "")
    page["question"] = "Do you agree with the model?"
    page["answers"] = [list(pair) for pair in _VERDICTS]
    page["reasons"] = list(session.reasons)
    page["model"] = _model(session, session.revealed())
    return page


def _model(session: ReviewSession, revealed: Revealed) -> dict[str, Any]:
    favorable, unfavorable = session.favorable_label, session.unfavorable_label
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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError(f"got {type(value).__name__} from the page, expected text")
    return value
