"""The what-if panel of a notebook: change a case, and see at once what the model says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from hitl_audit.what_if.expectations import ModelCheck
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.trials import Trials
from hitl_audit.widgets.what_if_desk import FromAnyThread, in_thread

__all__ = ["WhatIfPanel"]


class WhatIfPanel(anywidget.AnyWidget):
    """Change one case and see at once what the model says.

    Args:
        trials: what can be tried, with the prepared engine.
        case: name of the case.
        labels: words for a favorable and an unfavorable decision.
        beside: runs what takes longer.

    Raises:
        InputError: no such case.
    """

    _esm = esm_of("dom", "what_if", "what_if_panel")
    _css = css_of("judge", "what_if")
    case = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        trials: Trials,
        case: str,
        *,
        labels: tuple[str, str] = ("Favorable", "Unfavorable"),
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._tell = FromAnyThread(lambda message: self.send(message))
        self.desk = trials.desk(case, labels, self._tell, beside=beside)
        super().__init__(case=case)
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page."""
        if content.get("kind") == "what-if":
            self._tell.note_loop()
            self.desk.receive(content)

    @property
    def checks(self) -> tuple[ModelCheck, ...]:
        """The expectations that the model violated, as properties to check on all data."""
        return self.desk.checks
