"""The oversight panel: how people judge, while they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from hitl_audit.errors import AuditError
from hitl_audit.widgets.oversight_watch import OversightWatch
from hitl_audit.widgets.oversight_words import panel_words
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.what_if_desk import FromAnyThread, in_thread

__all__ = ["OversightPanel", "OversightWatch"]


class OversightPanel(anywidget.AnyWidget):
    """Progress, agreement, overrides and escalations of a review, live.

    The page asks every few seconds whether something was recorded, as long as it
    is open and in sight. Looking, and summing up what came in, happens beside
    the kernel's own work.

    Args:
        watch: follows the ledger.
        every: seconds between two looks.
        beside: runs a look.
    """

    _esm = esm_of("dom", "oversight_panel")
    _css = css_of("judge", "oversight_panel")
    title = traitlets.Unicode().tag(sync=True)
    every = traitlets.Float(2.0).tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        watch: OversightWatch,
        *,
        every: float = 2.0,
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._watch = watch
        self._beside = beside
        self._looking = False
        self._tell = FromAnyThread(self._answer)
        super().__init__(title=watch.plan.audit.title, every=every, view={"state": "reading"})
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page: ``{"kind": "look", "serial": …}``."""
        if content.get("kind") != "look":
            return
        serial = content.get("serial")
        self._tell.note_loop()
        if self._looking:  # another view of the same panel has asked
            self._answer({"serial": serial})
            return
        self._looking = True
        self._beside(lambda: self._tell({"serial": serial, **self._look()}))

    def _look(self) -> dict[str, Any]:
        try:
            seen = self._watch.look()
            words = None if seen is None else panel_words(seen, self._watch.plan)
        except AuditError as error:
            return {"done": True, "failed": str(error)}
        except Exception as error:
            # Without an answer the page would say that the kernel is gone.
            return {"done": True, "failed": f"An error in the program: {error!r}"}
        return {"done": True, "view": words}

    def _answer(self, found: dict[str, Any]) -> None:
        if found.get("done"):
            self._looking = False
        if found.get("view"):
            self.view = found["view"]
        self.send({"kind": "looked", "serial": found["serial"], "failed": found.get("failed", "")})
