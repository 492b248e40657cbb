"""What people expected on the what-if panel, as properties to look for in every row.

Before an edit a reviewer can say what the score will do. Where the model does the opposite,
or moves where it should stay, the expectation becomes a property of the model: a monotone
direction of a number, a direction between two categories, or an invariance. ``run`` looks for
it in every row.

Such a property was chosen because it was violated, after results were known. It is therefore
exploratory: a reason to look, never a promise, and it enters no decision. Who expected it
stays in the ledger; here are numbers of people.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hitl_audit.evidence import CollectedCheck, CollectedChecks
from hitl_audit.explanations.raw_features import is_number
from hitl_audit.inputs import AuditInputs
from hitl_audit.plan import AuditPlan
from hitl_audit.review.event import Event
from hitl_audit.review.records import WhatIf
from hitl_audit.review.words import value_words
from hitl_audit.what_if.expectations import MOVED, STAYS, ModelCheck
from hitl_audit.what_if_setup import check_notes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NOTHING_COLLECTED",
    "ProposedCheck",
    "ProposedChecks",
    "as_proposed",
    "collect_checks",
    "evaluate_collected",
]

ERASED = "the edit was erased on request"
SEVERAL = "several facts were changed at once"
UNKNOWN_FACT = "the data do not have this fact or value"
UNCLEAR = "the change was to or from “not recorded”, or too small to be told in words"
RARE = "fewer people than may be published have the value"

_LEADING_NUMBER = re.compile(r"[−-]?[\d,]+(?:\.\d+)?")


@dataclass(frozen=True)
class ProposedCheck:
    """One property that somebody expected and the model violated in a case.

    Attributes:
        check: the property; ``check.cases`` are the cases in which it was violated.
        people: how many people saw it violated.
        violated: the edits that violated it.
        stated: the edits before which it was expected, violated or not.
        n_cases: how many cases, also where their names are not known any more.
    """

    check: ModelCheck
    people: int
    violated: int
    stated: int
    n_cases: int


@dataclass(frozen=True)
class ProposedChecks:
    """The violated expectations of one review.

    Attributes:
        proposed: one per property, in the order in which it was first violated.
        left_out: (why, how many) violated expectations that became no property.
    """

    proposed: tuple[ProposedCheck, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def words(self) -> str:
        """How many, in a sentence."""
        if not self.proposed:
            return "No expectation of the model was violated on the what-if panel."
        count = len(self.proposed)
        properties = "1 property" if count == 1 else f"{count} properties"
        return (
            f"{properties} of the model were expected on the what-if panel and violated; the next "
            "run looks for them in every row (exploratory)."
        )

    def frame(self) -> pd.DataFrame:
        """One row per property."""
        import pandas as pd

        columns = ("feature", "kind", "direction", "people", "cases", "violated", "stated", "words")
        rows = [
            (
                one.check.feature,
                one.check.kind,
                one.check.direction,
                one.people,
                one.n_cases,
                one.violated,
                one.stated,
                one.check.words,
            )
            for one in self.proposed
        ]
        return pd.DataFrame(rows, columns=list(columns))


NOTHING_COLLECTED = ProposedChecks()

_Kind = Literal["monotonicity", "direction", "invariance"]
_Way = Literal["increasing", "decreasing"]
_Key = tuple[_Kind, str, _Way | None, tuple[str | None, ...]]


@dataclass
class _Seen:
    """What was said about one property."""

    stated: int = 0
    violated: int = 0
    people: set[str] = field(default_factory=set)
    cases: dict[str, None] = field(default_factory=dict)


def collect_checks(
    events: Iterable[Event], X: pd.DataFrame, plan: AuditPlan, *, model_digest: str
) -> ProposedChecks:
    """The expectations that the model violated, each property once.

    Left aside are edits under another plan or of another model, those of programs, and those on
    controls, whose answer was shown reversed.

    Args:
        events: of the ledger, in their order.
        X: the audited rows, as the model reads them.
        plan: which columns follow from others, and how few people a document may tell of.
        model_digest: of the audited model.
    """
    seen: dict[_Key, _Seen] = {}
    violated_first: dict[_Key, None] = {}  # in the order of their first violation
    left_out: Counter[str] = Counter()
    for event in events:
        if (
            not isinstance(event, WhatIf)
            or event.expectation is None
            or event.step == "planted"
            or event.simulated
            or (event.plan_digest, event.model_digest) != (plan.digest, model_digest)
        ):
            continue
        violated = _violated(event)
        found = _property(event, X, plan)
        if isinstance(found, str):
            left_out[found] += violated
            continue
        said = seen.setdefault(found, _Seen())
        said.stated += 1
        if violated:
            violated_first.setdefault(found)
            said.violated += 1
            said.people.add(event.reviewer)
            said.cases.setdefault(event.case_id)
    proposed = tuple(
        ProposedCheck(
            _check(key, tuple(seen[key].cases)),
            people=len(seen[key].people),
            violated=seen[key].violated,
            stated=seen[key].stated,
            n_cases=len(seen[key].cases),
        )
        for key in violated_first
    )
    return ProposedChecks(proposed, tuple((why, n) for why, n in sorted(left_out.items()) if n))


def _violated(event: WhatIf) -> bool:
    """The score moved against what was expected; one that did not move violates nothing."""
    moved = event.score_after - event.score_before
    if event.expectation == "stay":
        return abs(moved) > STAYS
    return -moved > MOVED if event.expectation == "up" else moved > MOVED


def _property(event: WhatIf, X: pd.DataFrame, plan: AuditPlan) -> _Key | str:
    """The property that an edit asks for, or why there is none."""
    if not event.edits:
        return ERASED
    own = [edit for edit in event.edits if edit[0] not in plan.what_if.derived]
    if len(own) != 1:
        return SEVERAL
    feature, before, after = own[0]
    column = {str(name): name for name in X.columns}.get(feature)
    if column is None:
        return UNKNOWN_FACT
    if event.expectation == "stay":
        return ("invariance", feature, None, ())
    rising = event.expectation == "up"
    if is_number(X[column]):
        old, new = _number(before), _number(after)
        if old is None or new is None or old == new:
            return UNCLEAR
        return ("monotonicity", feature, _direction(rising == (new > old)), ())
    known = X[column].value_counts(dropna=False)
    by_words = {value_words(value): (value, int(n)) for value, n in known.items()}
    pair = [by_words.get(words) for words in (before, after)]
    if any(found is None for found in pair):
        return UNKNOWN_FACT
    values = [found for found in pair if found is not None]
    if min(n for _, n in values) < plan.publication.minimum_group:
        return RARE
    return ("direction", feature, _direction(rising), tuple(_text(value) for value, _ in values))


def _direction(increasing: bool) -> _Way:
    return "increasing" if increasing else "decreasing"


def _number(words: str) -> float | None:
    """The number that a value in words begins with: ``"−1,234.5 k$"``; ``None`` without one."""
    found = _LEADING_NUMBER.match(words)
    return float(found[0].replace("−", "-").replace(",", "")) if found else None


def _text(value: object) -> str | None:
    return None if value_words(value) == value_words(None) else str(value)


def _check(key: _Key, cases: tuple[str, ...]) -> ModelCheck:
    kind, feature, direction, values = key
    tolerance = STAYS if kind == "invariance" else MOVED
    return ModelCheck(kind, feature, direction, values, tolerance, cases)


def evaluate_collected(
    proposed: ProposedChecks, inputs: AuditInputs, plan: AuditPlan
) -> CollectedChecks:
    """Look for the proposed properties in every audited row.

    Raises:
        InputError: a property is of a feature or a value that the data do not have.
    """
    notes = check_notes(inputs, plan, [one.check for one in proposed.proposed])
    return CollectedChecks(
        tuple(
            CollectedCheck(
                kind=one.check.kind,
                column=one.check.feature,
                direction=one.check.direction,
                values=tuple(_text(value) for value in one.check.values),
                tolerance=one.check.tolerance,
                people=one.people,
                cases=one.n_cases,
                violated=one.violated,
                stated=one.stated,
                note=note,
            )
            for one, note in zip(proposed.proposed, notes, strict=True)
        ),
        proposed.left_out,
    )


def as_proposed(collected: CollectedChecks) -> ProposedChecks:
    """The properties of a document's evidence, to be looked for again."""
    return ProposedChecks(
        tuple(
            ProposedCheck(
                ModelCheck(one.kind, one.column, one.direction, one.values, one.tolerance, ()),
                people=one.people,
                violated=one.violated,
                stated=one.stated,
                n_cases=one.cases,
            )
            for one in collected.checks
        ),
        collected.left_out,
    )
