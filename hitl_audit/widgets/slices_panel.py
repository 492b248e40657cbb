"""The slices panel of a notebook: where the model errs; what is clicked becomes the cohort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anywidget

from hitl_audit.errors import AuditError, InputError
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.slices_words import SlicesSetting, cohort_words, slices_schema
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.what_if_desk import FromAnyThread

__all__ = ["SlicesPanel", "SlicesSetting"]


class SlicesPanel(anywidget.AnyWidget):
    """Slices and a tree of errors; choosing one makes it the cohort of all views.

    Args:
        setting: the slices, the tree and the cases.
        cohort: what is chosen, shared with other views; its table has the same cases.

    Raises:
        InputError: the cohort is of other cases.
    """

    _esm = esm_of("dom", "link", "intervals", "slices_panel")
    _css = css_of("judge", "intervals", "slices_panel")

    def __init__(self, setting: SlicesSetting, cohort: Cohort) -> None:
        if len(cohort.members) != len(setting.table):
            raise InputError(
                f"the cohort is of {len(cohort.members):,} cases, the slices of "
                f"{len(setting.table):,}; expected the same cases"
            )
        self._tell = FromAnyThread(lambda message: self.send(message))
        self.setting = setting
        self.cohort = cohort
        self._chosen = ""
        self._choosing = False
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))
        cohort.observe(lambda _: self._cohort_changed(), "revision")

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        if content.get("kind") != "slices":
            return
        self._tell.note_loop()
        serial, act = content.get("serial"), content.get("act")
        try:
            if act == "choose":
                self._choose(content.get("id"))
            elif act == "clear":
                self._choose("")
            elif act != "open":
                raise InputError(f"got {act!r} from the page")
        except AuditError as error:
            self._say("refused", serial, words=str(error))
        if act == "open":
            schema = slices_schema(self.setting, self.cohort.min_group)
            self._say("schema", serial, schema=schema)
        self._answer(serial)

    def _say(self, about: str, serial: object, **more: Any) -> None:
        self._tell({"kind": "slices", "about": about, "serial": serial, **more})

    def _answer(self, serial: object) -> None:
        shown = cohort_words(self.setting, self.cohort) | {"chosen": self._chosen}
        self._say("answer", serial, shown=shown)

    def _choose(self, id: object) -> None:
        setting = self.setting
        one = (setting.slice_of(id) or setting.branch_of(id)) if isinstance(id, str) else None
        if one is None and id != "":
            raise InputError(f"got {id!r} from the page, expected a slice or a node of the tree")
        conditions = () if one is None else setting.conditions(one)
        self._choosing = True
        try:
            if one is None or not conditions:
                self._chosen = str(id)
                self.cohort.clear()
            else:
                members = setting.members(one)
                self.cohort.choose(
                    " and ".join(conditions), members, conditions=conditions, note=setting.note(one)
                )
                self._chosen = str(id)
        finally:
            self._choosing = False

    def _cohort_changed(self) -> None:
        """Somebody else chose: nothing here is marked any more."""
        if not self._choosing:
            self._chosen = ""
            self._answer(None)
