"""The first thing a reviewer sees on a shared page: who are you?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anywidget
import traitlets

from hitl_audit.errors import AuditError
from hitl_audit.widgets.sources import css_of, esm_of

__all__ = ["SignInWidget"]


class SignInWidget(anywidget.AnyWidget):
    """Ask for the reviewer's name; what happens then is the caller's business.

    The browser remembers the name for this tab, so that a reload comes back
    without asking; the one that counts is kept on this side.

    Args:
        title: what is being reviewed.
        names: whom the plan lists; empty if anybody may judge.
        enter: called with the name; its errors are shown to the person.
    """

    _esm = esm_of("dom", "sign_in")
    _css = css_of("judge")
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, title: str, names: Sequence[str], enter: Callable[[str], None]) -> None:
        self._enter = enter
        self._entered = False
        super().__init__(view={"title": title, "names": list(names)})
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page."""
        name = content.get("name")
        # A second message (a double click) finds the door already open.
        if content.get("kind") != "enter" or not isinstance(name, str) or self._entered:
            return
        try:
            self._enter(name)
        except AuditError as error:
            self.send({"kind": "refused", "words": str(error)})
        else:
            self._entered = True
