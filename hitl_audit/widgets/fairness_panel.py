"""The fairness panel of a notebook: move thresholds, and see at once what becomes of each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anywidget

from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.fairness_desk import FairnessDesk
from hitl_audit.widgets.fairness_setting import FairnessSetting
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.what_if_desk import FromAnyThread, in_thread

__all__ = ["FairnessPanel", "FairnessSetting"]


class FairnessPanel(anywidget.AnyWidget):
    """Groups, a metric, thresholds to move, and five rules that choose them.

    Everything here is exploratory: the recorded result does not change, and
    nothing is recorded.

    Args:
        setting: scores, outcomes, groups and promises.
        cohort: whose numbers stand beside those of everybody, while one is chosen.
        beside: runs what takes longer.

    Raises:
        InputError: the data cannot be used.
    """

    _esm = esm_of("dom", "link", "intervals", "fairness_panel")
    _css = css_of("judge", "intervals", "fairness_panel")

    def __init__(
        self,
        setting: FairnessSetting,
        *,
        cohort: Cohort | None = None,
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._tell = FromAnyThread(lambda message: self.send(message))
        self.desk = FairnessDesk(setting, self._tell, cohort=cohort, beside=beside)
        self.cohort = cohort
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))
        if cohort is not None:
            cohort.observe(lambda _: self.desk.cohort_changed(), "revision")

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page."""
        if content.get("kind") == "fairness":
            self._tell.note_loop()
            self.desk.receive(content)
