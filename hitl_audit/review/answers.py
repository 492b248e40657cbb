"""Answers given elsewhere, turned into judgments row by row.

Whoever brings them says what the ledger must know and the other program does
not: the plan, the model, how the cases were drawn, and whether the model's
answer was on screen. An answer given without it is *blind*, one given with it
*final*. Nothing is recorded while any row is bad, unless that is asked for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from hitl_audit.canonical import canonical_bytes, utc_text
from hitl_audit.errors import InputError
from hitl_audit.review.event import Event, unknown
from hitl_audit.review.judgment import DECISIONS, Judgment
from hitl_audit.review.ledger import Ledger, same_event

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "ImportReport", "Origin", "RowNote", "as_judgments", "import_answers"]

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://hitl-audit/import/v1")
_MTURK_ZONES = {"PST": -8, "PDT": -7, "UTC": 0, "GMT": 0}


class Answer(NamedTuple):
    """One answer as another program exported it, all in text.

    Attributes:
        where: where it stands, for people: ``"row 3"``.
        record: what identifies it there; the same record is imported once.
        case_id, reviewer, label: who chose what for which case.
        at: when, ISO 8601 with a zone (or as Mechanical Turk writes it).
        seconds: time on task, or ``""``.
        reasons: reason codes.
        rationale: in the reviewer's words, or ``""``.
        from_prediction: the record itself says that it began from the model's answer.
        skipped: why it is no answer (a cancelled task, say), or ``""``.
    """

    where: str
    record: tuple[str, ...]
    case_id: str
    reviewer: str
    label: str
    at: str
    seconds: str = ""
    reasons: tuple[str, ...] = ()
    rationale: str = ""
    from_prediction: bool = False
    skipped: str = ""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the other program does not know of its answers.

    Attributes:
        source: name of the export, for example ``"label-studio project 83"``; part
            of every event's id.
        plan_digest, model_digest: what was judged, under which plan.
        role: as what people judged.
        design: how the cases were drawn.
        chances: chance of each case to be in the sample; cases that are not in
            it are refused. ``None`` each with the design ``"purposive"``.
        labels: the words for a favorable and an unfavorable decision.
        unsure: the words for no decision.
        model_decisions: what the model's answer on screen was, by case id;
            ``None`` if it was not on screen.
        model_scores: the scores on screen, if they were.
        explained: the explanation was on screen too.
        reviewers: the ids to record in place of those of the other program.
    """

    source: str
    plan_digest: str
    model_digest: str
    role: str
    design: str
    chances: Mapping[str, float | None] = field(repr=False)
    labels: tuple[str, str] = ("Favorable", "Unfavorable")
    unsure: str = "Not sure"
    model_decisions: Mapping[str, str] | None = field(default=None, repr=False)
    model_scores: Mapping[str, float] | None = field(default=None, repr=False)
    explained: bool = False
    reviewers: Mapping[str, str] | None = field(default=None, repr=False)


class RowNote(NamedTuple):
    """What is wrong with a row, or why it was passed over."""

    where: str
    words: str


@dataclass(frozen=True)
class ImportReport:
    """What came of an import.

    Attributes:
        source: of the answers.
        recorded: new events in the ledger.
        known: events that were there already.
        bad: rows that are no valid judgment; nothing of them is in the ledger.
        skipped: rows that are no answers, for example cancelled tasks.
    """

    source: str
    recorded: int
    known: int
    bad: tuple[RowNote, ...]
    skipped: tuple[RowNote, ...]

    def frame(self) -> pd.DataFrame:
        """Bad and skipped rows, with the words for each."""
        import pandas as pd

        rows = [(where, "bad", words) for where, words in self.bad]
        rows += [(where, "skipped", words) for where, words in self.skipped]
        return pd.DataFrame(rows, columns=["where", "outcome", "words"])


def import_answers(
    ledger: Ledger, answers: Iterable[Answer], origin: Origin, *, leave_out_bad: bool = False
) -> ImportReport:
    """Record answers as judgments; importing the same ones again adds nothing.

    Args:
        ledger: where they go.
        answers: of :func:`~hitl_audit.review.label_studio.read_label_studio` or
            :func:`~hitl_audit.review.worker_csv.read_worker_csv`.
        origin: what the other program does not know.
        leave_out_bad: record the good rows although others are bad.

    Raises:
        InputError: some rows are bad, with a line for each; nothing was recorded.
            Or ``origin`` itself cannot be used.
    """
    given = list(answers)
    judgments, bad = as_judgments(given, origin)
    there = {event.event_id: event for event in ledger.events()}
    new: dict[str, tuple[str, Judgment]] = {}
    known = 0
    for where, judgment in judgments:
        earlier: Event | None = there.get(judgment.event_id)
        words = "is recorded with other contents"
        if earlier is None and judgment.event_id in new:
            other, earlier = new[judgment.event_id]
            words = f"stands in {other} with other contents"
        if earlier is None:
            new[judgment.event_id] = where, judgment
        elif same_event(earlier, judgment):
            known += judgment.event_id in there
        else:
            bad.append(RowNote(where, f"the same record {words}: event {judgment.event_id}"))
    if bad and not leave_out_bad:
        lines = "\n".join(f"  {where}: {words}" for where, words in bad)
        raise InputError(
            f"import of {origin.source}: {len(bad)} of {len(given)} rows are bad, "
            f"nothing was recorded:\n{lines}"
        )
    ledger.append_all(judgment for _, judgment in new.values())
    skipped = tuple(RowNote(a.where, a.skipped) for a in given if a.skipped)
    return ImportReport(origin.source, len(new), known, tuple(bad), skipped)


def as_judgments(
    answers: Sequence[Answer], origin: Origin
) -> tuple[list[tuple[str, Judgment]], list[RowNote]]:
    """The judgments that answers are, each with its row, and what is wrong with the others.

    Raises:
        InputError: ``origin`` cannot be used.
    """
    _check_origin(origin)
    judgments, bad = [], []
    for answer in answers:
        if answer.skipped:
            continue
        judgment, problems = _judgment(answer, origin)
        problems += judgment.problems() if judgment else []
        if judgment is None or problems:
            bad.append(RowNote(answer.where, "; ".join(problems)))
        else:
            judgments.append((answer.where, judgment))
    return judgments, bad


def _check_origin(origin: Origin) -> None:
    for name in ("source", "plan_digest", "model_digest", "role", "design"):
        if not getattr(origin, name).strip():
            raise InputError(f"import: {name} is empty; expected text")
    words = [*origin.labels, origin.unsure]
    if len({word.strip().casefold() for word in words}) < 3 or not all(map(str.strip, words)):
        raise InputError(f"import: labels and unsure are {words}; expected three different words")
    for case_id, decision in (origin.model_decisions or {}).items():
        if decision not in DECISIONS:
            raise InputError(
                f"import: model_decisions of {case_id}: "
                f"{unknown('the decision', decision, DECISIONS)}"
            )


def _judgment(answer: Answer, origin: Origin) -> tuple[Judgment | None, list[str]]:
    problems = []
    words = {
        word.strip().casefold(): meaning
        for word, meaning in zip(
            (*origin.labels, origin.unsure), (*DECISIONS, "unsure"), strict=True
        )
    }
    said = words.get(answer.label.strip().casefold())
    if said is None:
        accepted = (*origin.labels, origin.unsure)
        problems.append(unknown("the label", answer.label, accepted))
    moment = _moment(answer.at)
    if moment is None:
        problems.append(f'the time is "{answer.at}"; expected ISO 8601 with a zone')
    seconds = _number(answer.seconds)
    if answer.seconds.strip() and seconds is None:
        problems.append(f'the seconds are "{answer.seconds}"; expected a number')
    if answer.case_id not in origin.chances:
        problems.append(f'case "{answer.case_id}" is not in the sample')
    shown = origin.model_decisions is not None
    model = (origin.model_decisions or {}).get(answer.case_id)
    if shown and model is None and answer.case_id in origin.chances:
        problems.append(f'there is no model decision for case "{answer.case_id}"')
    if answer.from_prediction and not shown:
        problems.append(
            "the answer began from a prediction of the model; expected one given without it, "
            "or an import that says what was on screen"
        )
    if problems or said is None or moment is None:
        return None, problems
    if shown and said != "unsure":
        said = "agree" if said == model else "disagree"
    reviewer = answer.reviewer.strip()
    return Judgment(
        event_id=str(
            uuid.uuid5(_NAMESPACE, canonical_bytes([origin.source, answer.record]).decode())
        ),
        at=utc_text(moment),
        plan_digest=origin.plan_digest,
        model_digest=origin.model_digest,
        case_id=answer.case_id,
        design=origin.design,
        inclusion_probability=origin.chances[answer.case_id],
        reviewer=(origin.reviewers or {}).get(reviewer, reviewer),
        role=origin.role,
        phase="final" if shown else "blind",
        answer=said,
        reasons=answer.reasons,
        rationale=answer.rationale.strip(),
        shown=("case", *(("prediction",) if shown else ()), *_explained(origin, shown)),
        seconds=seconds,
        model_decision=model,
        model_score=(origin.model_scores or {}).get(answer.case_id) if shown else None,
        source=origin.source,
    ), []


def _explained(origin: Origin, shown: bool) -> tuple[str, ...]:
    return ("explanation",) if shown and origin.explained else ()


def _moment(text: str) -> datetime | None:
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _mturk_moment(text)
    return moment.astimezone(UTC) if moment.tzinfo else None


def _mturk_moment(text: str) -> datetime | None:
    """``Wed Jan 07 10:21:15 PST 2026``, as Mechanical Turk writes times."""
    parts = text.split()
    if len(parts) != 6 or parts[4] not in _MTURK_ZONES:
        return None
    zone = timezone(timedelta(hours=_MTURK_ZONES[parts[4]]))
    try:
        moment = datetime.strptime(" ".join(parts[1:4] + parts[5:]), "%b %d %H:%M:%S %Y")
    except ValueError:
        return None
    return moment.replace(tzinfo=zone).astimezone(UTC)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
