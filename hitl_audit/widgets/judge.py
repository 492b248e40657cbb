"""The page on which a person judges cases: a view of a :class:`ReviewSession`.

The page gets one trait, ``view``, with words and lengths ready to be shown,
and sends five messages: ``submit``, ``next``, ``correct``, ``back`` and
``withdraw``. What the protocol hides is not in the view, so it is not in the
browser either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from hitl_audit.errors import AuditError
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Receipt
from hitl_audit.review.session import RefusedError, ReviewSession
from hitl_audit.widgets.judge_words import VERDICTS, decision_words, look_words, model_words
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.trials import Trials
from hitl_audit.widgets.what_if_desk import FromAnyThread, WhatIfDesk, in_thread

__all__ = ["JudgeWidget"]


class JudgeWidget(anywidget.AnyWidget):
    """Judge the cases of a session, in JupyterLab or any page that shows widgets.

    Args:
        session: whose cases, and where the answers go.
        trials: what can be tried once the model's answer is shown; ``None``: nothing.
        groups: titles and names of facts that belong together, as the session names them.
        beside: runs what takes longer.
    """

    _esm = esm_of("dom", "what_if", "judge")
    _css = css_of("judge", "what_if")
    view = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        session: ReviewSession,
        *,
        trials: Trials | None = None,
        groups: Sequence[tuple[str, Sequence[str]]] = (),
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._session = session
        self._trials = trials
        self._groups = tuple((title, tuple(names)) for title, names in groups)
        self._beside = beside
        self._desk: tuple[str, WhatIfDesk] | None = None
        self._tell = FromAnyThread(lambda message: self.send(message))
        super().__init__(view=self._page())
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        kind = content.get("kind")
        if kind == "what-if":
            self._try_out(content)
            return
        try:
            if kind == "submit":
                self._submit(content)
            elif kind == "next":
                self.view = self._page()
            elif kind == "back":
                self.view = self._grouped(_look(self._session, _text(content.get("case_id", ""))))
            elif kind == "withdraw":
                self._withdraw(content)
            elif kind == "correct" and self.view.get("saved"):
                self.view = self.view | {
                    "stage": "correction",
                    "question": "What is your corrected verdict?",
                }
        except AuditError as error:
            field = error.field if isinstance(error, RefusedError) else ""
            self._refuse(content, str(error), field)
            if kind == "submit" and isinstance(error, RefusedError):
                self._go_on(content, str(error))
        except Exception as error:
            # Without an answer the page would say that the connection is lost.
            self._refuse(content, f"Not saved, because of an error in the program: {error!r}")
            raise

    def _page(self) -> dict[str, Any]:
        page = self._grouped(_page(self._session))
        self._desk = None  # another case, or the same one from the start
        if self._trials is not None and page["stage"] == "final":
            page["what_if"] = True
        return page

    def _grouped(self, page: dict[str, Any]) -> dict[str, Any]:
        if self._groups and "case" in page:
            page["case"]["groups"] = _in_groups(page["case"]["values"], self._groups)
        return page

    def _try_out(self, content: Mapping[str, Any]) -> None:
        """Hand a message to the desk of the case on screen; the first one may have to wait."""
        self._tell.note_loop()
        if self._trials is None or self._trials.engine.done():
            self._at_desk(content)
            return
        waits = {"kind": "what-if", "about": "preparing", "serial": content.get("serial")}
        self.send(waits)
        # The ledger belongs to this thread: only the waiting is done by another one.
        later = FromAnyThread(self._at_desk)
        later.note_loop()
        self._trials.engine.add_done_callback(lambda _: later(content))

    def _at_desk(self, content: Mapping[str, Any]) -> None:
        try:
            self._desk_of(_text(self.view.get("case", {}).get("id", ""))).receive(content)
        except AuditError as error:
            refused = {"kind": "what-if", "about": "refused", "serial": content.get("serial")}
            self.send({**refused, "words": str(error), "feature": ""})

    def _desk_of(self, case: str) -> WhatIfDesk:
        if self._desk is not None and self._desk[0] == case:
            return self._desk[1]
        if self._trials is None:
            raise RefusedError("Nothing can be tried on this page.")
        session = self._session
        revealed = session.revealed()  # refuses while the model's answer is hidden
        if session.position().case_id != case:
            raise RefusedError(f"Case {case} is not open any more. Reload to go on.")
        planted = session.as_shown(revealed.threshold) != revealed.threshold

        def record(
            edits: Sequence[tuple[str, str, str]], expected: str | None, old: float, new: float
        ) -> object:
            return session.record_what_if(edits, expected, old, new, case_id=case)

        labels = (session.favorable_label, session.unfavorable_label)
        desk = self._trials.desk(
            case, labels, self._tell, record=record, beside=self._beside,
            reversed_answer=planted, names_people=False,
        )  # fmt: skip
        self._desk = (case, desk)
        return desk

    def _go_on(self, content: Mapping[str, Any], words: str) -> None:
        """Show what waits now, if the case on screen was answered or taken by somebody else.

        On a shared queue nobody owns a case before their first answer. Who comes too late
        should neither reload nor wonder; an older answer from the outbox moves nothing.
        """
        shown = (self.view.get("case", {}).get("id"), self.view["stage"])
        if shown != (content.get("case_id"), content.get("step")):
            return
        at = self._session.position()
        if (at.case_id, at.step) != shown:
            told = words.removesuffix("Reload to go on.").strip()
            self.view = self._page() | {"moved": told}

    def _refuse(self, content: Mapping[str, Any], words: str, field: str = "") -> None:
        event_id = content.get("event_id")
        self.send({"kind": "refused", "event_id": event_id, "words": words, "field": field})

    def _submit(self, content: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {
            "reasons": tuple(_text(reason) for reason in content.get("reasons") or ()),
            "rationale": _text(content.get("rationale", "")),
            "note": _text(content.get("note", "")),
            "event_id": _text(content.get("event_id", "")),
        }
        answer, step = _text(content.get("answer", "")), _text(content.get("step", ""))
        if step == "correction":
            receipt = self._session.correct(_text(content.get("corrects", "")), answer, **given)
        else:
            given |= {"confidence": _confidence(content.get("confidence")), "step": step}
            case_id = _text(content.get("case_id", ""))
            receipt = self._session.submit(answer, **given, case_id=case_id)
        self.send({"kind": "saved", "event_id": receipt.event_id})
        self._show_saved(receipt, answer, step)

    def _withdraw(self, content: Mapping[str, Any]) -> None:
        receipt = self._session.withdraw(
            _text(content.get("withdraws", "")),
            _text(content.get("rationale", "")),
            event_id=_text(content.get("event_id", "")),
        )
        self.send({"kind": "saved", "event_id": receipt.event_id})
        self.view = self._page()

    def _show_saved(self, receipt: Receipt, answer: str, step: str) -> None:
        found = self._session.ledger.find(receipt.event_id)
        event = found[1] if found else None
        saved = {
            "event_id": receipt.event_id,
            "record": receipt.event_id[:8],
            "at": event.at if event else "",
            "answer": dict(VERDICTS).get(answer, ""),
        }
        shows_it = (
            isinstance(event, Judgment) and self.view.get("case", {}).get("id") == event.case_id
        )
        if step == "blind" or not shows_it:
            self.view = self._page() | {"saved": saved}
        else:
            progress = self.view["progress"] | {"judged": self._session.position().judged}
            history = list(self._session.history())
            recorded = {"stage": "saved", "question": "Recorded", "saved": saved}
            self.view = self.view | recorded | {"progress": progress, "history": history}


def _frame(session: ReviewSession) -> dict[str, Any]:
    """What every page shows around its case."""
    at = session.position()
    return {
        "stage": at.step,
        "outbox": session.key,
        "reviewer": f"{session.reviewer} · {session.role}",
        "simulated": session.simulated,
        "progress": {"words": at.words, "judged": at.judged, "total": at.total},
        "question": at.words,
        "due": at.due,
        "history": list(session.history()),
        "escalates_to": session.escalates_to,
        "saved": None,
    }


def _page(session: ReviewSession) -> dict[str, Any]:
    """What the page shows at the session's current position."""
    page = _frame(session)
    at = session.position()
    if not at.judged:
        page["remarks"] = list(session.remarks())
    if at.case_id is None:
        page["debrief"] = session.debrief().words
        return page
    page["case"] = {"id": at.case_id, "values": [list(pair) for pair in session.case()]}
    decisions = decision_words(session)
    if at.step == "blind":
        page["question"] = "What would you decide?"
        page["answers"] = [list(pair) for pair in decisions.items()]
        return page
    page["own"] = decisions.get(session.own_decision() or "", "")
    page["question"] = "Do you agree with the model?"
    page["answers"] = [list(pair) for pair in VERDICTS]
    page["reasons"] = list(session.reasons)
    page["model"] = model_words(session, session.revealed())
    return page


def _look(session: ReviewSession, case_id: str) -> dict[str, Any]:
    """A case on which the reviewer has answered, as they left it."""
    look = session.back(case_id)
    page = _frame(session) | {
        "stage": "back",
        "due": "",
        "question": "What you recorded",
        "case": {"id": case_id, "values": [list(pair) for pair in look.values]},
        "answers": [list(pair) for pair in VERDICTS],
        "reasons": list(session.reasons),
        "look": {"answers": look_words(session, look)},
    }
    if look.revealed is not None:
        page["model"] = model_words(session, look.revealed)
    verdicts = [event for event in look.answers if event.phase != "blind"]
    if verdicts and verdicts[-1].event_id not in look.withdrawn:
        page["saved"] = {
            "event_id": verdicts[-1].event_id,
            "record": verdicts[-1].event_id[:8],
            "at": verdicts[-1].at,
            "answer": dict(VERDICTS)[verdicts[-1].answer],
        }
    return page


def _in_groups(
    values: Sequence[Sequence[str]], groups: Sequence[tuple[str, tuple[str, ...]]]
) -> list[list[Any]]:
    """The facts under their titles; what no group names comes last."""
    known = {pair[0]: pair[1] for pair in values}
    named = {name for _, names in groups for name in names}
    rest = [list(pair) for pair in values if pair[0] not in named]
    found: list[list[Any]] = [
        [title, [[name, known[name]] for name in names if name in known]] for title, names in groups
    ]
    if rest:
        found.append(["Other facts" if found else "", rest])
    return [group for group in found if group[1]]


def _confidence(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise RefusedError(f"got {value!r} from the page, expected a confidence from 1 to 5")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedError(f"got {type(value).__name__} from the page, expected text")
    return value
