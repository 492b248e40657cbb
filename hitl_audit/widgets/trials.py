"""What can be tried on the cases of one audit; it makes the desk of each case."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hitl_audit.what_if.engine import WhatIf
from hitl_audit.widgets.what_if_desk import Recorded, WhatIfDesk, in_thread
from hitl_audit.widgets.what_if_words import Shown

__all__ = ["Trials", "ahead"]

T = TypeVar("T")


def ahead(work: Callable[[], T]) -> Future[T]:
    """Start the work now, beside everything else; a program that ends does not wait for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@dataclass(frozen=True, eq=False)
class Trials:
    """What the desks of one audit share.

    Attributes:
        engine: the model and its people, prepared or being prepared.
        groups: titles and features, in the order of the page; () is one group of all.
        protected: attribute → the group of each person, in the data's order.
        attribute_labels: what people call the attributes.
        expectation_first: ask what is expected before each edit.
        seconds: time limit of a search for the smallest changes.
    """

    engine: Future[WhatIf]
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    protected: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    attribute_labels: Mapping[str, str] = field(default_factory=dict)
    expectation_first: bool = False
    seconds: float = 2.0

    def desk(
        self,
        case: str,
        labels: tuple[str, str],
        send: Callable[[dict[str, Any]], None],
        *,
        record: Recorded | None = None,
        beside: Callable[[Callable[[], None]], None] = in_thread,
        reversed_answer: bool = False,
        names_people: bool = True,
    ) -> WhatIfDesk:
        """The desk of one case; waits until the engine is prepared.

        Args:
            case: its name.
            labels: words for a favorable and an unfavorable decision.
            send: hands a message to the page.
            record: called with every edit.
            beside: runs what takes longer.
            reversed_answer: the case is a control, whose answer is shown reversed.
            names_people: whether other people of the data are named.

        Raises:
            InputError: no such case, or the engine could not be prepared.
        """
        engine = self.engine.result()
        groups = self.groups or (("", engine.population.features),)
        return WhatIfDesk(
            engine,
            case,
            Shown(engine, labels, groups, reversed=reversed_answer, names_people=names_people),
            send,
            protected=self.protected,
            labels=self.attribute_labels,
            expectation_first=self.expectation_first,
            seconds=self.seconds,
            record=record,
            beside=beside,
        )
