"""The kernel's side of a fairness panel: what is looked at, at which thresholds, and the answers.

The page sends one message at a time and waits for its answer. Nothing that is
tried here is recorded, and the recorded result does not change. The search
for the thresholds of a rule takes seconds on a million rows; it is done
beside, and its answer dropped if something newer was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from hitl_audit.errors import AuditError, InputError
from hitl_audit.fairness.at_threshold import ScoredGroups
from hitl_audit.thresholds import RULES, ThresholdSweep
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.fairness_setting import By, FairnessSetting, Place
from hitl_audit.widgets.fairness_words import described, measured, schema
from hitl_audit.widgets.what_if_desk import FromAnyThread, in_thread

__all__ = ["FairnessDesk"]

_MOST_COST = 1000.0


class FairnessDesk:
    """Try thresholds, and see what becomes of each group.

    Args:
        setting: scores, outcomes, groups and promises.
        send: hands a message to the page.
        cohort: whose numbers stand beside those of everybody, while one is chosen.
        beside: runs what takes longer.

    Raises:
        InputError: the data cannot be used.
    """

    def __init__(
        self,
        setting: FairnessSetting,
        send: Callable[[dict[str, Any]], None],
        *,
        cohort: Cohort | None = None,
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self.setting = setting
        self.place = Place.first(setting)
        self._everybody = setting.groups
        self._send = send
        self._cohort = cohort
        self._beside = beside
        self._part: ScoredGroups | None = None
        self._sweeps: dict[tuple[By, float], ThresholdSweep] = {}
        self._searching = 0  # number of the search that is still wanted
        self._take_cohort()

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        serial = content.get("serial")
        acts: dict[Any, Callable[[Mapping[str, Any]], None]] = {
            "open": self._open,
            "show": self._show,
            "try": self._move,
            "set": self._move,
            "per-group": self._per_group,
            "cost": self._cost,
            "rule": self._rule,
            "reset": self._reset,
        }
        try:
            if content.get("act") not in acts:
                raise InputError(f"got {content.get('act')!r} from the page")
            acts[content["act"]](content)
        except AuditError as error:
            self._say("refused", serial, words=str(error))
            self._answer(serial)

    def cohort_changed(self) -> None:
        """Another cohort was chosen: its numbers are shown at once."""
        self._take_cohort()
        self._answer(None)

    # The answers

    def _say(self, about: str, serial: object, **more: Any) -> None:
        self._send({"kind": "fairness", "about": about, "serial": serial, **more})

    def _answer(self, serial: object, *, trying: bool = False) -> None:
        place, setting = self.place, self.setting
        chosen = self._cohort if self._cohort is not None and self._cohort.chosen else None
        found = measured(setting, place, self._everybody, self._part)
        sweep = self._sweeps.get((self._grouping, place.cost_ratio))
        shown = described(setting, place, found, cohort=chosen, sweep=sweep, brief=trying)
        self._say("answer", serial, shown=shown, trying=trying)

    def _take_cohort(self) -> None:
        cohort = self._cohort
        if cohort is None or not cohort.chosen:
            self._part = None
        else:
            self._part = self._everybody.only(cohort.members)

    @property
    def _grouping(self) -> By:
        """Whose groups meet thresholds of their own, or would."""
        return self.place.grouped_by if self.place.per_group else self.place.by

    # What the page asks

    def _open(self, content: Mapping[str, Any]) -> None:
        self._say("schema", content.get("serial"), schema=schema(self.setting))
        self._answer(content.get("serial"))

    def _show(self, content: Mapping[str, Any]) -> None:
        choices, metrics = self.setting.choices, self.setting.metrics
        by, metric, compare = (content.get(key) for key in ("by", "metric", "compare"))
        now = self.place
        if by is not None:
            if not _is_whole(by) or not 0 <= by < len(choices):
                raise InputError(f"by is {by!r}; accepted: 0 to {len(choices) - 1}")
            now = replace(now, by=choices[by])
        if metric is not None:
            if metric not in metrics:
                raise InputError(f"metric is {metric!r}; accepted: {', '.join(metrics)}")
            now = replace(now, metric=metric)
        if compare is not None:
            if compare not in ("ratio", "difference"):
                raise InputError(f"compare is {compare!r}; accepted: ratio, difference")
            now = replace(now, compare=compare)
        elif (by, metric) != (None, None):
            now = self._as_promised(now)
        self.place = now
        self._answer(content.get("serial"))

    def _as_promised(self, place: Place) -> Place:
        """Ratio or difference, as the plan promises it; otherwise as it is."""
        kinds: tuple[Literal["ratio", "difference"], ...] = ("ratio", "difference")
        promised = [kind for kind in kinds if self.setting.promises(place.by, place.metric, kind)]
        if not promised or place.compare in promised:
            return place
        return replace(place, compare=promised[0])

    def _move(self, content: Mapping[str, Any]) -> None:
        self._only_with_scores()
        threshold = _number(content.get("threshold"), "threshold")
        group = content.get("group")
        if group is None:
            self.place = replace(self.place, threshold=threshold, rule="")
        else:
            own = dict(self.place.own)
            if group not in own:
                raise InputError(f"group is {group!r}; accepted: {', '.join(own) or 'none'}")
            own[group] = threshold
            self.place = replace(self.place, own=tuple(own.items()), rule="")
        self._searching += 1
        self._answer(content.get("serial"), trying=content.get("act") == "try")

    def _per_group(self, content: Mapping[str, Any]) -> None:
        self._only_with_scores()
        wanted = content.get("on")
        if not isinstance(wanted, bool):
            raise InputError(f"on is {wanted!r}; accepted: true, false")
        by = self.place.by
        if wanted and not by:
            raise InputError("all rows together have no groups; choose an attribute first")
        own = tuple((name, self.place.threshold) for name in self.setting.names(by) if wanted)
        self.place = replace(self.place, own=own, grouped_by=by if wanted else (), rule="")
        self._searching += 1
        self._answer(content.get("serial"))

    def _cost(self, content: Mapping[str, Any]) -> None:
        ratio = _number(content.get("ratio"), "the cost")
        if not 0 < ratio <= _MOST_COST:
            raise InputError(f"the cost is {ratio:g}; accepted: above 0, at most {_MOST_COST:,.0f}")
        rule = self.place.rule if ratio == self.place.cost_ratio else ""
        self.place = replace(self.place, cost_ratio=ratio, rule=rule)
        self._searching += 1
        self._answer(content.get("serial"))

    def _reset(self, content: Mapping[str, Any]) -> None:
        start = Place.first(self.setting)
        self.place = replace(
            start, by=self.place.by, metric=self.place.metric, compare=self.place.compare
        )
        self._searching += 1
        self._answer(content.get("serial"))

    def _rule(self, content: Mapping[str, Any]) -> None:
        self._only_with_scores()
        rule, serial = content.get("rule"), content.get("serial")
        if rule not in RULES:
            raise InputError(f"rule is {rule!r}; accepted: {', '.join(RULES)}")
        self._searching += 1
        number, key = self._searching, (self._grouping, self.place.cost_ratio)
        if key in self._sweeps:
            self._apply(rule, key, serial)
            return
        self._say("searching", serial)

        def found(result: ThresholdSweep | AuditError) -> None:
            if isinstance(result, ThresholdSweep):
                self._sweeps[key] = result
                if self._searching == number:
                    self._apply(rule, key, serial)
            elif self._searching == number:
                self._say("refused", serial, words=str(result))

        later = FromAnyThread(found)
        later.note_loop()

        def work() -> None:
            try:
                later(self.setting.sweep(*key))
            except AuditError as error:
                later(error)

        self._beside(work)

    def _apply(self, rule: str, key: tuple[By, float], serial: object) -> None:
        by, _ = key
        choices = {choice.rule: choice for choice in self._sweeps[key].choices}
        if rule not in choices or choices[rule].status != "ok":
            why = choices[rule].warning if rule in choices else "all rows together have no groups"
            self._say("refused", serial, words=f"{rule.capitalize()}: {why}.")
            self._answer(serial)
            return
        # Groups that a rule leaves out keep the single best threshold.
        rest = next(iter(choices[RULES[0]].thresholds.values()))
        if rule == RULES[0]:
            self.place = replace(self.place, threshold=rest, own=(), grouped_by=(), rule=rule)
        else:
            picked = choices[rule].thresholds
            own = tuple((name, picked.get(name, rest)) for name in self.setting.names(by))
            self.place = replace(self.place, threshold=rest, own=own, grouped_by=by, rule=rule)
        self._answer(serial)

    def _only_with_scores(self) -> None:
        if not self.setting.scored:
            raise InputError("the model only decides: there is no score to move a threshold on")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}; accepted: a number")
    return float(value)
