"""The page on which a third person decides: a view of an :class:`AdjudicationSession`.

It is the judging page with the reviewers' arguments, without their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anywidget
import traitlets

from hitl_audit.errors import AuditError
from hitl_audit.review.adjudication import AdjudicationSession, Dissent
from hitl_audit.review.session import RefusedError
from hitl_audit.widgets.judge import JudgeWidget
from hitl_audit.widgets.judge_words import VERDICTS, decision_words, model_words

__all__ = ["AdjudicateWidget"]


class AdjudicateWidget(anywidget.AnyWidget):
    """Decide the cases on which reviewers differ.

    Args:
        session: whose cases, and where the decisions go.
    """

    _esm = JudgeWidget._esm
    _css = JudgeWidget._css
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, session: AdjudicationSession) -> None:
        self._session = session
        super().__init__(view=_page(session))
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        kind, sent = content.get("kind"), content.get("event_id")
        try:
            if kind == "submit":
                self._submit(content)
            elif kind == "next":
                self.view = _page(self._session)
        except AuditError as error:
            field = error.field if isinstance(error, RefusedError) else ""
            self.send({"kind": "refused", "event_id": sent, "words": str(error), "field": field})
        except Exception as error:
            words = f"Not saved, because of an error in the program: {error!r}"
            self.send({"kind": "refused", "event_id": sent, "words": words, "field": ""})
            raise

    def _submit(self, content: Mapping[str, Any]) -> None:
        answer = _text(content.get("answer", ""))
        receipt = self._session.submit(
            answer,
            rationale=_text(content.get("rationale", "")),
            reasons=tuple(_text(reason) for reason in content.get("reasons") or ()),
            case_id=_text(content.get("case_id", "")),
        )
        # The page knows its message by its own id; the record's id follows from the case.
        self.send({"kind": "saved", "event_id": content.get("event_id")})
        found = self._session.ledger.find(receipt.event_id)
        saved = {
            "event_id": receipt.event_id,
            "record": receipt.event_id[:8],
            "at": found[1].at if found else "",
            "answer": decision_words(self._session)[answer],
            "settled": True,
        }
        if self.view.get("case", {}).get("id") == content.get("case_id"):
            progress = self.view["progress"] | {"judged": self._session.position().judged}
            recorded = {"stage": "saved", "question": "Recorded", "saved": saved}
            self.view = self.view | recorded | {"progress": progress}
        else:
            self.view = _page(self._session) | {"saved": saved}


def _page(session: AdjudicationSession) -> dict[str, Any]:
    at = session.position()
    page: dict[str, Any] = {
        "stage": "adjudicate" if at.case_id else "done",
        "outbox": session.key,
        "reviewer": f"{session.reviewer} · {session.role}",
        "simulated": session.simulated,
        "progress": {"words": at.words, "judged": at.judged, "total": at.total},
        "question": at.words,
        "saved": None,
    }
    if at.case_id is None:
        return page
    decisions = decision_words(session)
    return page | {
        "question": "What should be decided?",
        "case": {"id": at.case_id, "values": [list(pair) for pair in session.case()]},
        "model": model_words(session, session.revealed()),
        "answers": [list(pair) for pair in decisions.items()],
        "reasons": list(session.reasons),
        "dissent": _dissent_words(session.dissent(), decisions),
    }


def _dissent_words(dissent: Dissent, decisions: dict[str, str]) -> dict[str, Any]:
    words = decisions | {"none": "no decision"}
    counts = " · ".join(f"{number} for “{words[name]}”" for name, number in dissent.decisions)
    return {
        "words": f"{counts}. Names are not shown, and the order says nothing.",
        "arguments": [
            {
                "decision": decisions.get(argument.decision or "", dict(VERDICTS)[argument.answer]),
                "reasons": list(argument.reasons),
                "rationale": argument.rationale,
            }
            for argument in dissent.arguments
        ],
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError(f"got {type(value).__name__} from the page, expected text")
    return value
