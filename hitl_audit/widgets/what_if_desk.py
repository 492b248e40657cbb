"""The kernel's side of a what-if panel: one case, what was tried on it, and the answers.

The page sends one message at a time and waits for its answer; what takes longer
(a search, contributions of a model without a fast path) is answered by a second
message, and dropped as soon as something newer is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hitl_audit.errors import AuditError, InputError
from hitl_audit.what_if.counterfactuals import CounterfactualSet, find_counterfactuals
from hitl_audit.what_if.counterparts import nearest_counterpart
from hitl_audit.what_if.edits import Change, Edit, EditHistory
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.expectations import (
    Expectation,
    ExpectationResult,
    ModelCheck,
    checks_from,
    expect,
    settle,
)
from hitl_audit.what_if.protected import flip_protected
from hitl_audit.what_if.response import response_curve
from hitl_audit.widgets.what_if_words import Shown

__all__ = ["FromAnyThread", "Recorded", "WhatIfDesk", "in_thread"]

Recorded = Callable[[Sequence[tuple[str, str, str]], str | None, float, float], object]
"""Called with (feature, before, after), the expectation, and the scores as shown."""

_LATER = 1e9  # seconds: a clock so far ahead that every search is over
_EXPECTED = {"up": "up", "down": "down", "stay": "same"}


def in_thread(work: Callable[[], None]) -> None:
    """Do the work beside the one that answers the page."""
    threading.Thread(target=work, daemon=True).start()


class FromAnyThread:
    """A call that is made by the thread of the kernel's loop, whoever asks for it.

    Without a running loop (outside of a kernel) it is made at once.
    """

    def __init__(self, call: Callable[[Any], None]) -> None:
        self._call = call
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()

    def note_loop(self) -> None:
        """Remember the loop that runs now; called where messages arrive."""
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
            self._thread = threading.get_ident()

    def __call__(self, argument: Any) -> None:
        """Make the call, now or as soon as the loop comes to it."""
        if self._loop is None or threading.get_ident() == self._thread:
            self._call(argument)
        else:
            self._loop.call_soon_threadsafe(self._call, argument)


class WhatIfDesk:
    """What can be tried on one case.

    Args:
        engine: the model and its people.
        case: name of the case.
        shown: how it is put for people.
        send: hands a message to the page.
        protected: attribute → the group of each person, in the data's order.
        labels: what people call the attributes.
        expectation_first: ask what is expected before each edit.
        seconds: time limit of a search.
        record: called with every edit; ``None`` keeps none.
        beside: runs what takes longer.

    Raises:
        InputError: no such case.
    """

    def __init__(
        self,
        engine: WhatIf,
        case: str,
        shown: Shown,
        send: Callable[[dict[str, Any]], None],
        *,
        protected: Mapping[str, Sequence[Any]] | None = None,
        labels: Mapping[str, str] | None = None,
        expectation_first: bool = False,
        seconds: float = 2.0,
        record: Recorded | None = None,
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self.engine = engine
        self.history = engine.start(case)
        self.results: list[ExpectationResult] = []
        self._shown = shown
        self._send = send
        self._protected = dict(protected or {})
        self._labels = dict(labels or {})
        self._ask = expectation_first
        self._seconds = seconds
        self._record = record
        self._beside = beside
        self._kept: dict[str, EditHistory] = {}
        self._ways: CounterfactualSet | None = None
        self._ways_of: EditHistory | None = None
        self._wanted = 0  # number of the contributions that are still wanted
        self._searching = 0  # number of the search that is still wanted

    @property
    def checks(self) -> tuple[ModelCheck, ...]:
        """The expectations that the model violated, as properties to check on all data."""
        return checks_from(self.engine, self.results)

    # Messages

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        serial = content.get("serial")
        acts: dict[Any, Callable[[Mapping[str, Any]], None]] = {
            "open": self._open,
            "try": self._try,
            "set": self._set,
            "undo": lambda _: self._move(self.history.undo(), serial),
            "redo": lambda _: self._move(self.history.redo(), serial),
            "reset": lambda _: self._move(self.history.reset(), serial),
            "curve": self._curve,
            "counterpart": self._counterpart,
            "ways": self._search,
            "cancel": self._cancel,
            "apply": self._apply,
            "flip": self._flip,
            "keep": self._keep,
            "forget": self._forget,
        }
        act = acts.get(content.get("act"))
        try:
            if act is None:
                raise InputError(f"got {content.get('act')!r} from the page")
            act(content)
        except AuditError as error:
            self._say("refused", serial, words=str(error), feature=content.get("feature", ""),
                      answer=self._told(self.history))  # fmt: skip
        except Exception as error:
            # Without an answer the page would wait for ever.
            self._say("refused", serial, words=f"An error in the program: {error!r}", feature="")
            raise

    def _say(self, about: str, serial: Any, **more: Any) -> None:
        self._send({"kind": "what-if", "about": about, "serial": serial, **more})

    def _told(self, history: EditHistory) -> dict[str, Any]:
        answer = self.engine.answer(history)
        return self._shown.answer(history, answer)

    def _open(self, content: Mapping[str, Any]) -> None:
        attributes = [[name, self._labels.get(name, name)] for name in self._protected]
        self._say(
            "schema",
            content.get("serial"),
            schema=self._shown.schema(self.history),
            attributes=attributes,
            expectation_first=self._ask,
            seconds=self._seconds,
            compare=self._compared(),
        )
        self._answer(content.get("serial"), self.history)

    def _answer(self, serial: Any, history: EditHistory, **more: Any) -> None:
        """Prediction first; contributions with it, or later where they take longer."""
        self._wanted += 1
        told = self._told(history)
        trying = history is not self.history
        self._say("answer", serial, answer=told, trying=trying, **more)
        if told["bars"] is not None:
            return
        number = self._wanted

        def work() -> None:
            try:
                found = self.engine.explain(history, fresh=lambda: self._wanted == number)
            except AuditError as error:
                self._say("bars", serial, bars=None, words=str(error))
                return
            if found is not None and self._wanted == number:
                before = self._shown.score(self.engine.scored(history.reset()))
                after = self._shown.score(self.engine.scored(history))
                self._say("bars", serial, bars=self._shown.bars(found, before, after), words="")

        self._beside(work)

    def _entered(self, content: Mapping[str, Any]) -> tuple[str, Any, bool]:
        feature = content.get("feature")
        if not isinstance(feature, str):
            raise InputError(f"got {feature!r} from the page, expected a feature")
        self.engine.population.place_of(feature)
        value = self._shown.value(feature, content.get("value"), self.history)
        return feature, value, content.get("slider") is True

    def _try(self, content: Mapping[str, Any]) -> None:
        """While a slider is held: the answer, without an edit."""
        feature, value, slider = self._entered(content)
        self._answer(
            content.get("serial"),
            self.engine.edit(self.history, feature, value, from_slider=slider),
        )

    def _set(self, content: Mapping[str, Any]) -> None:
        feature, value, slider = self._entered(content)
        expected = content.get("expected")
        after = self.engine.edit(self.history, feature, value, from_slider=slider)
        if after is self.history:
            self._answer(content.get("serial"), self.history)
            return
        words, said = "", None
        if expected is not None:
            if expected not in _EXPECTED:
                raise InputError(f"got {expected!r} from the page, expected up, down or stay")
            said = expect(
                self.engine, self.history, feature, after.values[feature], _EXPECTED[expected]
            )
        self._note(self.history, after, expected)
        self.history = after
        outcome = ""
        if said is not None:
            words, outcome = self._settle(said, after)
        self._answer(content.get("serial"), after, feature=feature, expected=words, outcome=outcome)

    def _settle(self, said: Expectation, after: EditHistory) -> tuple[str, str]:
        result = settle(self.engine, said, after)
        outcome = _mirrored_outcome(result) if self._shown.reversed else str(result.outcome)
        if not self._shown.reversed:  # a control says nothing about the model
            self.results.append(result)
        before = self._shown.score(result.prediction_before)
        now = self._shown.score(result.prediction_after)
        came = "went up" if now > before else "went down" if now < before else "did not move"
        wanted = {"up": "go up", "down": "go down", "same": "stay"}[said.expected]
        scores = f"from {self._shown.number(before)} to {self._shown.number(now)}"
        return f"You expected the score to {wanted}; it {came}, {scores}.", outcome

    def _note(self, before: EditHistory, after: EditHistory, expected: str | None) -> None:
        if self._record is None:
            return
        old, new = before.values, after.values
        edits = [
            (f, self.engine.words(f, old[f]), self.engine.words(f, new[f]))
            for f in old
            if old[f] != new[f]
        ]
        if edits:
            self._record(
                edits,
                expected,
                self._shown.score(self.engine.scored(before)),
                self._shown.score(self.engine.scored(after)),
            )

    def _move(self, history: EditHistory, serial: Any) -> None:
        self.history = history
        self._answer(serial, history)

    # On demand

    def _curve(self, content: Mapping[str, Any]) -> None:
        feature, _, _ = self._entered({**content, "value": None})
        self._say(
            "curve",
            content.get("serial"),
            curve=self._shown.curve(response_curve(self.engine, self.history, feature)),
        )

    def _counterpart(self, content: Mapping[str, Any]) -> None:
        found = nearest_counterpart(self.engine, self.history)
        self._say("counterpart", content.get("serial"), found=self._shown.counterpart(found))

    def _search(self, content: Mapping[str, Any]) -> None:
        serial, history = content.get("serial"), self.history
        self._searching += 1
        number = self._searching
        self._say("searching", serial, seconds=self._seconds)

        def clock() -> float:
            return time.monotonic() + (0.0 if self._searching == number else _LATER)

        def work() -> None:
            try:
                found = find_counterfactuals(
                    self.engine, history, seconds=self._seconds, clock=clock
                )
            except AuditError as error:
                self._say("ways", serial, found={"words": str(error), "rows": []})
                return
            if self._searching == number:
                self._ways, self._ways_of = found, history
                self._say("ways", serial, found=self._shown.ways(found))

        self._beside(work)

    def _cancel(self, content: Mapping[str, Any]) -> None:
        self._searching += 1
        self._say("cancelled", content.get("serial"))

    def _apply(self, content: Mapping[str, Any]) -> None:
        place = content.get("place")
        ways = self._ways.counterfactuals if self._ways else ()
        if not isinstance(place, int) or not 0 <= place < len(ways) or self._ways_of is None:
            raise InputError("This suggestion is gone; search again.")
        wanted = {c.feature: c.after for c in (*ways[place].changes, *ways[place].follows)}
        now = self.history.values
        changes = tuple(
            Change(f, now[f], v) for f, v in {**self._ways_of.values, **wanted}.items()
            if now[f] != v
        )  # fmt: skip
        if changes:
            after = self.history.apply(Edit(changes, "counterfactual"))
            self._note(self.history, after, None)
            self.history = after
        self._answer(content.get("serial"), self.history)

    def _flip(self, content: Mapping[str, Any]) -> None:
        attribute = content.get("attribute")
        if attribute not in self._protected:
            raise InputError(f"got {attribute!r} from the page, expected a protected attribute")
        found = flip_protected(
            self.engine, self.history, attribute, groups=self._protected[attribute]
        )
        label = self._labels.get(attribute, attribute)
        self._say(
            "flip", content.get("serial"), attribute=attribute, found=self._shown.flip(label, found)
        )

    def _keep(self, content: Mapping[str, Any]) -> None:
        if self.history.changed and self.history.now not in [h.now for h in self._kept.values()]:
            self._kept[f"Version {len(self._kept) + 1}"] = self.history
        self._say("compare", content.get("serial"), compare=self._compared())

    def _forget(self, content: Mapping[str, Any]) -> None:
        self._kept.clear()
        self._say("compare", content.get("serial"), compare=None)

    def _compared(self) -> dict[str, Any] | None:
        return self._shown.compare(self._kept) if self._kept else None


def _mirrored_outcome(result: ExpectationResult) -> str:
    """The outcome as the reversed answer shows it."""
    if result.expectation.expected == "same" or result.outcome == "did not move":
        return result.outcome
    return "violated" if result.outcome == "met" else "met"
