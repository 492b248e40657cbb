"""Who judges which cases, in which order, with which controls hidden among them. Pure.

Everything is drawn by the hash of the seed, the purpose and the ids, smallest
first: the same input gives the same plan on any machine, and anyone can
recompute it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from hitl_audit.canonical import digest, utc_text
from hitl_audit.errors import InputError
from hitl_audit.review.ids import named_id
from hitl_audit.review.queue import ReviewQueue
from hitl_audit.review.records import Assignment
from hitl_audit.review.sampling import CaseSample

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AssignmentPlan", "PlannedTask", "assign_cases", "draw_planted", "reassignment"]

_MOST_CONTROLS = 0.5


class PlannedTask(NamedTuple):
    """One case for one reviewer: as what kind of task, and until when (UTC text or ``""``)."""

    reviewer: str
    case_id: str
    task: str
    due: str


@dataclass(frozen=True)
class AssignmentPlan:
    """Every reviewer's tasks, in the order of judging.

    Attributes:
        reviewers: who judges.
        reviewers_per_case: how many judge an overlapping case.
        overlapping: number of cases judged by that many; the others have one.
        gold: cases whose right answer is known; everybody gets them.
        planted: cases on which the model's decision is shown reversed, to all
            who judge them.
        repeats: cases that each reviewer judges twice.
        due: UTC text, or ``""``.
        random_state: the seed.
        tasks: reviewer by reviewer.
    """

    reviewers: tuple[str, ...]
    reviewers_per_case: int
    overlapping: int
    gold: tuple[str, ...]
    planted: tuple[str, ...]
    repeats: int
    due: str
    random_state: int
    tasks: tuple[PlannedTask, ...]

    def tasks_of(self, reviewer: str) -> tuple[PlannedTask, ...]:
        """One reviewer's tasks, in the order of judging."""
        return tuple(task for task in self.tasks if task.reviewer == reviewer)

    @property
    def loads(self) -> dict[str, int]:
        """Number of tasks by reviewer; the largest and the smallest differ by one at most."""
        counts = Counter(task.reviewer for task in self.tasks)
        return {reviewer: counts[reviewer] for reviewer in self.reviewers}

    @property
    def words(self) -> str:
        """What the plan discloses, controls included, in a few sentences."""
        cases = len({task.case_id for task in self.tasks})
        loads = sorted(set(self.loads.values()))
        each = " or ".join(map(str, loads))
        words = f"{len(self.reviewers)} reviewers judge {cases} cases, {each} tasks each; "
        words += f"{self.overlapping} cases have {self.reviewers_per_case} reviewers."
        if self.gold:
            words += f" {_cases(len(self.gold))} with a known answer given to everybody."
        if self.planted:
            words += (
                f" On {_cases(len(self.planted))} the model's decision is shown reversed; "
                "their verdicts enter no rate, and reviewers are told at the end."
            )
        if self.repeats:
            words += f" Every reviewer judges {_cases(self.repeats)} twice."
        return words

    def frame(self) -> pd.DataFrame:
        """One row per task: reviewer, position (from 1), case_id, task, due."""
        import pandas as pd

        frame = pd.DataFrame(list(self.tasks), columns=list(PlannedTask._fields))
        frame.insert(1, "position", frame.groupby("reviewer").cumcount() + 1)
        return frame

    def events(
        self,
        *,
        at: datetime,
        plan_digest: str,
        model_digest: str,
        by: str = "plan",
        simulated: bool = False,
    ) -> tuple[Assignment, ...]:
        """One event per reviewer, for the ledger.

        The ids follow from plan, model and reviewer: the assignment of one plan is
        recorded once, whoever records it first.
        """
        return tuple(
            Assignment(
                event_id=named_id("assignment", plan_digest, model_digest, reviewer),
                at=utc_text(at),
                plan_digest=plan_digest,
                model_digest=model_digest,
                simulated=simulated,
                reviewer=reviewer,
                tasks=tuple((t.case_id, t.task, t.due) for t in self.tasks_of(reviewer)),
                by=by,
            )
            for reviewer in self.reviewers
        )


def assign_cases(
    sample: CaseSample,
    reviewers: Sequence[str],
    *,
    reviewers_per_case: int = 2,
    overlap: float = 1.0,
    gold: Iterable[str] = (),
    planted: float | Iterable[str] = 0.0,
    repeats: float = 0.0,
    due: datetime | None = None,
    random_state: int = 0,
) -> AssignmentPlan:
    """Give the cases of a sample to named reviewers.

    Case by case, the reviewers with the fewest tasks are taken; among equals,
    those who have judged least together, so that every pair of reviewers can be
    compared. Nobody gets a case twice but as a *repeat*.

    All see the cases in one random order, but each from a place of their own:
    reviewers go in pairs, each pair starts at another place, and the second of a
    pair goes backwards. With an even number of reviewers who all judge all
    cases, every case has the same mean position.

    Args:
        sample: the cases.
        reviewers: ids of who judges.
        reviewers_per_case: how many judge an overlapping case.
        overlap: share of the sample's cases judged by ``reviewers_per_case``
            people, drawn at random; the others are judged by one.
        gold: ids of cases whose right answer is known, in the sample or beside
            it; everybody judges them.
        planted: share of the sample's cases, or ids in the sample or beside it,
            on which the model's decision is shown reversed.
        repeats: share of a reviewer's tasks that come a second time, at least
            half of the queue later.
        due: until when.
        random_state: the seed.

    Raises:
        InputError: nobody or somebody twice, fewer reviewers than a case needs,
            a share that is none, or a case that is both gold and planted.
    """
    names = _names(reviewers, reviewers_per_case)
    _share("overlap", overlap, 1.0)
    _share("repeats", repeats, _MOST_CONTROLS)
    known = _ids("gold", gold)
    if isinstance(planted, int | float):
        reversed_ids = draw_planted(sample, planted, gold=known, random_state=random_state)
    else:
        reversed_ids = _ids("planted", planted)
    if both := sorted(set(known) & set(reversed_ids)):
        raise InputError(f'assignment: case "{both[0]}" is in gold and in planted; expected one')

    drawn = [case for case in sample.case_ids if case not in set(known)]
    beside = [case for case in reversed_ids if case not in set(drawn)]
    shared = _order([*drawn, *beside], random_state, "overlap")
    shared = shared[: math.floor(overlap * len(shared) + 0.5)]
    order = _order([*drawn, *beside, *known], random_state, "order")
    who = _who(order, names, set(shared), set(known), reviewers_per_case, random_state)
    kinds = dict.fromkeys(known, "gold") | dict.fromkeys(reversed_ids, "planted")

    queues = [
        _own_order([case for case in order if i in who[case]], i, len(names))
        for i in range(len(names))
    ]
    twice = _repeats(queues, kinds, repeats)
    end = utc_text(due) if due is not None else ""
    tasks: list[PlannedTask] = []
    for name, queue in zip(names, queues, strict=True):
        for case, again in _with_repeats(queue, kinds, twice, random_state, name):
            kind = "repeat" if again else kinds.get(case, "ordinary")
            tasks.append(PlannedTask(name, case, kind, end))
    return AssignmentPlan(
        names,
        reviewers_per_case,
        len(shared),
        known,
        reversed_ids,
        twice,
        end,
        random_state,
        tuple(tasks),
    )


def draw_planted(
    sample: CaseSample,
    share: float,
    *,
    gold: Collection[str] = (),
    random_state: int = 0,
) -> tuple[str, ...]:
    """The cases of a sample on which the model's decision is shown reversed.

    Drawn at random, so that leaving them out of a rate does not bend it: every
    other case keeps its weight up to a factor that is the same for all. A share
    above zero plants at least one.

    Raises:
        InputError: the share is not from 0 to 0.5.
    """
    _share("planted", share, _MOST_CONTROLS)
    if not share:
        return ()
    free = [case for case in sample.case_ids if case not in set(gold)]
    number = max(1, math.floor(share * len(sample.cases) + 0.5))
    return tuple(_order(free, random_state, "planted")[:number])


def reassignment(
    queue: ReviewQueue,
    case_ids: Sequence[str],
    *,
    source: str,
    to: str,
    by: str,
    reason: str,
    at: datetime,
    due: str = "",
) -> tuple[Assignment, Assignment]:
    """Give cases of one reviewer to another; two events for the ledger, in this order.

    Args:
        queue: as it is now.
        case_ids: cases on which ``source`` owes a verdict.
        source, to: from whom, to whom.
        by, reason: who decides so, and why.
        at: now.
        due: UTC text until when, or ``""``.

    Raises:
        InputError: a case does not wait for ``source``, or ``to`` has it already.
    """
    tasks = []
    for case_id in case_ids:
        task = queue.holding(source, case_id)
        if task is None:
            raise InputError(f'reassign: case "{case_id}" does not wait for {source}')
        if queue.has_answered(to, case_id) or queue.holding(to, case_id):
            raise InputError(f'reassign: {to} is already on case "{case_id}"; expected another')
        tasks.append((case_id, task, due))
    if not tasks or source == to:
        raise InputError("reassign: expected at least one case, and another reviewer")
    moment = utc_text(at)
    plan_digest, model_digest = queue.digests

    def event(reviewer: str, *, takes_back: bool) -> Assignment:
        return Assignment(
            event_id=named_id("reassignment", reviewer, by, moment, *case_ids, int(takes_back)),
            at=moment,
            plan_digest=plan_digest,
            model_digest=model_digest,
            simulated=queue.simulated,
            reviewer=reviewer,
            tasks=tuple(tasks),
            by=by,
            reason=reason,
            takes_back=takes_back,
        )

    return event(source, takes_back=True), event(to, takes_back=False)


def _cases(number: int) -> str:
    return "1 case" if number == 1 else f"{number} cases"


def _names(reviewers: Sequence[str], reviewers_per_case: int) -> tuple[str, ...]:
    if isinstance(reviewers, str) or not reviewers:
        raise InputError("assignment: reviewers is empty or one text; expected a list of ids")
    names = tuple(name.strip() for name in reviewers)
    for name, number in Counter(names).items():
        if name.casefold() in ("", "anonymous"):
            raise InputError(f'assignment: reviewers has "{name}"; expected who judges')
        if number > 1:
            raise InputError(f'assignment: reviewers has "{name}" {number} times; expected once')
    if not 1 <= reviewers_per_case <= len(names):
        raise InputError(
            f"assignment: reviewers_per_case is {reviewers_per_case}; expected 1 to {len(names)}, "
            "the number of reviewers"
        )
    return names


def _share(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise InputError(f"assignment: {name} is {value}; expected a share from 0 to {most}")


def _ids(name: str, ids: Iterable[str]) -> tuple[str, ...]:
    if isinstance(ids, str):
        raise InputError(f'assignment: {name} is one text, "{ids}"; expected a list of case ids')
    found = tuple(map(str, ids))
    if len(set(found)) < len(found):
        repeated, _ = Counter(found).most_common(1)[0]
        raise InputError(f'assignment: {name} has case "{repeated}" twice; expected once')
    return found


def _order(cases: Iterable[str], random_state: int, *purpose: str) -> list[str]:
    return sorted(cases, key=lambda case: digest([random_state, *purpose, case]))


def _who(
    order: Sequence[str],
    names: Sequence[str],
    shared: set[str],
    everybody: set[str],
    reviewers_per_case: int,
    random_state: int,
) -> dict[str, set[int]]:
    """The reviewers of each case, by number."""
    count = len(names)
    loads, together = [0] * count, [[0] * count for _ in names]
    who: dict[str, set[int]] = {}
    for case in order:
        if case in everybody:
            who[case] = set(range(count))
            continue  # the same for all: no load to balance
        chosen: list[int] = []
        first = int(digest([random_state, "who", case])[-8:], 16)
        for _ in range(reviewers_per_case if case in shared else 1):
            best = min(
                (i for i in range(count) if i not in chosen),
                key=lambda i: (loads[i], sum(together[i][j] for j in chosen), (i - first) % count),
            )
            loads[best] += 1
            for j in chosen:
                together[best][j] += 1
                together[j][best] += 1
            chosen.append(best)
        who[case] = set(chosen)
    return who


def _own_order(cases: list[str], number: int, reviewers: int) -> list[str]:
    pairs = (reviewers + 1) // 2
    start = (number // 2) * len(cases) // pairs
    turned = cases[start:] + cases[:start]
    return turned[::-1] if number % 2 else turned


def _gap(queue: Sequence[str]) -> int:
    """At least so many tasks lie between a case and its repeat's place: half of the queue."""
    return len(queue) // 2


def _repeatable(queue: Sequence[str], kinds: dict[str, str]) -> list[str]:
    early = queue[: len(queue) - _gap(queue)] if _gap(queue) else []
    return [case for case in early if case not in kinds]


def _repeats(queues: Sequence[list[str]], kinds: dict[str, str], share: float) -> int:
    """The same number for everybody, or loads would differ by more than one."""
    wanted = math.floor(share * min(map(len, queues)) + 0.5)
    return min([wanted, *(len(_repeatable(queue, kinds)) for queue in queues)])


def _with_repeats(
    queue: list[str], kinds: dict[str, str], number: int, random_state: int, name: str
) -> list[tuple[str, bool]]:
    again = set(_order(_repeatable(queue, kinds), random_state, "repeat", name)[:number])
    tasks: list[tuple[str, bool]] = []
    for place, case in enumerate(queue):
        tasks.append((case, False))
        before = place - _gap(queue)
        if before >= 0 and queue[before] in again:
            tasks.append((queue[before], True))
    return tasks
