"""The explanation explorer: from what moves the model most, over the rows, to one case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anywidget
import numpy as np
import numpy.typing as npt
import pandas as pd
import traitlets

from hitl_audit.errors import AuditError, InputError
from hitl_audit.plan import AuditPlan
from hitl_audit.results import AuditResults
from hitl_audit.what_if_setup import fact_groups
from hitl_audit.widgets.cohort import Cohort
from hitl_audit.widgets.explored import ORDERS, Explored, Labels
from hitl_audit.widgets.sources import css_of, esm_of
from hitl_audit.widgets.trials import Trials
from hitl_audit.widgets.what_if_desk import FromAnyThread, WhatIfDesk, in_thread

__all__ = ["ExplanationExplorer", "explored"]

BoolArray = npt.NDArray[np.bool_]
PAGE = 200  # lines of the list in one message, at most


def explored(results: AuditResults, plan: AuditPlan) -> Explored:
    """The explanations of an audit, ready to be looked into.

    Raises:
        InputError: the plan asked for no explanation.
    """
    explanation, inputs = results.explanation, results.inputs
    if explanation is None:
        raise InputError(
            "these results hold no SHAP explanation to explore; the plan's explain.methods is "
            f"{list(plan.explain.methods)}, expected one with shap"
        )
    found = next(e for e in results.evidence.explanations if e.method == explanation.method)
    importance = pd.DataFrame(
        [(i.feature, i.mean_abs, i.low, i.high, i.n) for i in found.importance],
        columns=["feature", "mean_abs", "low", "high", "n"],
    )
    places = inputs.X.index.get_indexer(explanation.index)
    return Explored(
        explanation=explanation,
        labels=Labels(
            features={str(c): plan.label(str(c)) for c in inputs.X.columns},
            decisions=(plan.audit.favorable_label, plan.audit.unfavorable_label),
            groups=fact_groups(plan, list(map(str, inputs.X.columns))),
        ),
        groups=inputs.sensitive.iloc[places].rename(columns=plan.label),
        decided=np.asarray(inputs.y_pred[places], dtype=bool),
        recorded=np.asarray(inputs.y_true[places], dtype=int),
        threshold=plan.model.threshold,
        confidence=plan.fairness.confidence,
        min_group=plan.fairness.min_group,
        importance=importance,
        quality=results.quality.rows if results.quality is not None else pd.DataFrame(),
    )


class ExplanationExplorer(anywidget.AnyWidget):
    """Global importance → a feature → its rows → a case → what if.

    Every message of the page names all that its answer depends on, so several
    views of one explorer do not disturb each other.

    Args:
        explored: the explanations.
        trials: what can be tried on a case; ``None``: nothing.
        cohort: shared with other views; its importances are shown beside everybody's.
        beside: runs what takes longer.
    """

    _esm = esm_of("dom", "what_if", "explanation_explorer")
    _css = css_of("judge", "what_if", "explanation_explorer")
    title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        explored: Explored,
        *,
        title: str = "",
        trials: Trials | None = None,
        cohort: Cohort | None = None,
        beside: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self.explored = explored
        self._leave: Callable[[], None] | None = None
        self._trials = trials
        self._cohort = cohort
        self._beside = beside
        self._desk: tuple[str, WhatIfDesk] | None = None
        self._wanted = 0  # number of the intervals that are still wanted
        self._orders: dict[Any, npt.NDArray[np.intp]] = {}
        self._tell = FromAnyThread(lambda message: self.send(message))
        super().__init__(title=title)
        self.on_msg(lambda _widget, content, _buffers: self.receive(content))
        if cohort is not None:
            cohort.observe(self._cohort_changed, "revision")
            self._leave = partial(cohort.unobserve, self._cohort_changed, "revision")

    def close(self) -> None:
        """Leave the cohort, and the page."""
        if self._leave is not None:
            self._leave()
            self._leave = None
        super().close()

    # ---------------------------------------------------------------- messages

    def receive(self, content: Mapping[str, Any]) -> None:
        """Handle one message of the page, and answer it."""
        self._tell.note_loop()
        if content.get("kind") == "what-if":
            self._try_out(content)
            return
        if content.get("kind") != "explore":
            return
        acts: dict[Any, Callable[[Mapping[str, Any]], None]] = {
            "open": self._open,
            "scope": self._scope,
            "feature": self._feature,
            "rows": self._rows,
            "case": self._case,
        }
        act = acts.get(content.get("act"))
        try:
            if act is None:
                raise InputError(f"got {content.get('act')!r} from the page")
            act(content)
        except AuditError as error:
            self._say("refused", content, words=str(error))
        except Exception as error:
            # Without an answer the page would wait for ever.
            self._say("refused", content, words=f"An error in the program: {error!r}")
            raise

    def _say(
        self, about: str, to: Mapping[str, Any], *, buffers: list[bytes] | None = None, **more: Any
    ) -> None:
        message = {"kind": "explore", "about": about, "serial": to.get("serial"), **more}
        if buffers is None:
            self._tell(message)
        else:
            self.send(message, buffers)

    def _open(self, content: Mapping[str, Any]) -> None:
        self._say(
            "opened",
            content,
            how=self.explored.how,
            notes=list(self.explored.explanation.notes),
            confidence=f"{self.explored.confidence:.0%} interval",
            orders=[[name, words] for name, words in ORDERS.items()],
            scopes=self._scopes(),
            tries=self._trials is not None,
            importance=self.explored.plain_importance(),
        )
        self._intervals(content, None, "all")

    def _scopes(self) -> list[dict[str, Any]]:
        """What cases can be narrowed down to."""
        n = len(self.explored.names)
        found = [{"scope": "all", "words": f"All {n:,} explained cases", "title": ""}]
        for place, (attribute, group) in enumerate(self.explored.group_names):
            members = int(self.explored.group(place).sum())
            found.append(
                {"scope": f"group {place}", "words": f"{group} ({members:,})", "title": attribute}
            )
        cohort = self._cohort
        if cohort is not None and cohort.chosen:
            members = int(self._members("cohort").sum())  # type: ignore[union-attr]
            words = f"{cohort.name} ({members:,}"
            words += ")" if members == len(cohort) else f" explained of {len(cohort):,})"
            about = " and ".join(cohort.conditions)
            about = "" if about == cohort.name else about
            found.append(
                {"scope": "cohort", "words": words, "title": "Cohort", "about": about,
                 "note": cohort.note}
            )  # fmt: skip
        return found

    def _cohort_changed(self, _change: Any) -> None:
        chosen = self._cohort is not None and self._cohort.chosen
        self._orders.clear()
        self._say("cohort", {}, scopes=self._scopes(), chosen=chosen)

    def _members(self, scope: object) -> BoolArray | None:
        """(n,) which of the explained cases are meant; ``None`` is all of them."""
        if scope in (None, "all"):
            return None
        if scope == "cohort":
            if self._cohort is None or not self._cohort.chosen:
                raise InputError("No cohort is chosen any more.")
            ids = set(map(str, self._cohort.case_ids))
            return np.array([name in ids for name in self.explored.names])
        if isinstance(scope, str) and scope.startswith("group ") and scope[6:].isdigit():
            return self.explored.group(int(scope[6:]))
        raise InputError(f"got {scope!r} from the page, expected some cases")

    def _scope(self, content: Mapping[str, Any]) -> None:
        scope = content.get("scope")
        members = self._members(scope)
        self._wanted += 1
        found = None if members is None else self.explored.plain_importance(members)
        flags = None if members is None else [members.astype(np.uint8).tobytes()]
        self._say("importance", content, scope=scope, importance=found, buffers=flags)
        if members is not None and self.explored.min_group <= members.sum():
            self._intervals(content, members, scope)

    def _intervals(
        self, content: Mapping[str, Any], members: BoolArray | None, scope: object
    ) -> None:
        """The same numbers with their intervals; of many cases they take a while."""
        number = self._wanted

        def work() -> None:
            try:
                if members is not None and self._wanted != number:
                    return
                found = self.explored.full_importance(members)
            except AuditError as error:
                self._say("refused", {}, words=str(error))
                return
            if members is None or self._wanted == number:
                self._say("intervals", {}, scope=scope, importance=found)

        self._beside(work)

    def _feature(self, content: Mapping[str, Any]) -> None:
        place = _number(content, "feature")
        rows = self.explored.feature(place)
        self._say(
            "feature",
            content,
            buffers=list(self.explored.places(rows)),
            **self.explored.feature_words(rows, place),
        )

    def _rows(self, content: Mapping[str, Any]) -> None:
        """A stretch of the list: from ``start`` on, or around the row ``around``."""
        feature, how = _number(content, "feature"), str(content.get("order"))
        scope, count = content.get("scope"), min(_number(content, "count"), PAGE)
        key = (feature, how, scope)
        order = self._orders.get(key)
        if order is None:
            order = self.explored.ordered(feature, how, self._members(scope))
            if len(self._orders) > 20:
                self._orders.clear()
            self._orders[key] = order
        at = None
        if content.get("around") is not None:
            found = np.flatnonzero(order == _number(content, "around"))
            at = int(found[0]) if len(found) else None
        last = max(0, len(order) - count)
        start = _number(content, "start") if at is None else at - count // 2
        start = min(max(0, start), last)
        self._say(
            "rows",
            content,
            feature=feature,
            start=start,
            total=len(order),
            at=at,
            rows=[self.explored.row(int(i), feature) for i in order[start : start + count]],
        )

    def _case(self, content: Mapping[str, Any]) -> None:
        self._say("case", content, case=self.explored.case(_number(content, "place")))

    # ----------------------------------------------------------------- what if

    def _try_out(self, content: Mapping[str, Any]) -> None:
        """Hand a message to the desk of its case; the first one may have to wait."""
        if self._trials is None or self._trials.engine.done():
            self._at_desk(content)
            return
        about = {"serial": content.get("serial"), "case": content.get("case")}
        self.send({"kind": "what-if", "about": "preparing", **about})
        later = FromAnyThread(self._at_desk)
        later.note_loop()
        self._trials.engine.add_done_callback(lambda _: later(content))

    def _at_desk(self, content: Mapping[str, Any]) -> None:
        try:
            case = str(content.get("case"))
            if self._trials is None:
                raise InputError("Nothing can be tried in this explorer.")
            if content.get("act") == "open" or self._desk is None or self._desk[0] != case:
                decisions = self.explored.labels.decisions
                desk = self._trials.desk(
                    case,
                    decisions,
                    lambda message: self._tell({**message, "case": case}),
                    beside=self._beside,
                )
                self._desk = (case, desk)
            self._desk[1].receive(content)
        except AuditError as error:
            about = {"serial": content.get("serial"), "case": content.get("case")}
            refused = {"kind": "what-if", "about": "refused", "words": str(error), "feature": ""}
            self.send({**refused, **about})


def _number(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"got {name} {value!r} from the page, expected a whole number")
    return value
