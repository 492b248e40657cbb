"""What reviewers said, as it stands: answers, and what they come to on each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.judgment import DECISIONS, Adjudication

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answer", "Answers", "CaseDecision", "Excluded", "majority"]


@dataclass(frozen=True)
class Answer:
    """What one reviewer's answers on one case, as one kind of task, come to.

    Attributes:
        case_id, reviewer, role, task: which case, who, as what, and as what task.
        inclusion_probability: π of the case; ``None`` for a case without one.
        blind: the answer before the model's was shown, or ``None``.
        confidence: of the blind answer, 1 to 5, if given.
        verdict: the last verdict on the model's decision, or ``None``.
        decision: what the verdict decides, ``"favorable"`` or ``"unfavorable"``;
            ``None`` on *unsure*, *escalate* or no verdict.
        model_decision, model_score: the model's, as shown with the verdict.
        reasons: codes of the last verdict.
        shown: what was on screen for the last verdict.
        seconds: time on task of all steps together; ``None`` if none was measured.
        blind_at, verdict_at: UTC text; of the first verdict, where it was corrected.
        blind_id, verdict_id: event ids of what stands, ``""`` without one.
        corrections: how often the verdict was replaced.
        simulated: at least one step was made by a program.
    """

    case_id: str
    reviewer: str
    role: str
    task: str
    inclusion_probability: float | None
    blind: str | None = None
    confidence: int | None = None
    verdict: str | None = None
    decision: str | None = None
    model_decision: str | None = None
    model_score: float | None = None
    reasons: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    seconds: float | None = None
    blind_at: str = ""
    verdict_at: str = ""
    blind_id: str = ""
    verdict_id: str = ""
    corrections: int = 0
    simulated: bool = False

    @property
    def blind_decision(self) -> str | None:
        """The blind answer, if it is a decision."""
        return self.blind if self.blind in DECISIONS else None


@dataclass(frozen=True)
class CaseDecision:
    """What people decided on one case.

    Attributes:
        case_id: the case.
        inclusion_probability: π; ``None`` for a case without one.
        decision: theirs, after they had seen the model's; ``None`` if none was reached.
        how: ``"adjudicated"``, ``"one reviewer"``, ``"unanimous"``, ``"majority"``,
            ``"tie"`` or ``"undecided"`` (nobody decided).
        blind: majority of the decisions made before the model's was shown; ``None``
            without one, or in a tie.
        model_decision: the model's, as shown; ``None`` if it never was.
        model_score: the score, as shown.
        reviewers: people with a verdict.
        decided: those of them who decided.
        dissent: those of them who decided otherwise than ``decision``.
        escalated: somebody escalated, and nobody has adjudicated.
        decided_at: UTC text of the first verdict on the case, ``""`` without one.
    """

    case_id: str
    inclusion_probability: float | None
    decision: str | None
    how: str
    blind: str | None
    model_decision: str | None
    model_score: float | None
    reviewers: int
    decided: int
    dissent: int
    escalated: bool
    decided_at: str

    @property
    def overrides(self) -> bool | None:
        """The people decided otherwise than the model; ``None`` if either did not decide."""
        if self.decision is None or self.model_decision is None:
            return None
        return self.decision != self.model_decision


@dataclass(frozen=True)
class Excluded:
    """An event that enters no number, and why."""

    event_id: str
    kind: str
    case_id: str
    why: str


@dataclass(frozen=True)
class Answers:
    """Everything that stands, and everything that does not count.

    Attributes:
        answers: one per case, reviewer and task, in order of their first event.
        adjudications: the last one on each case that decides it.
        excluded: events that enter no number.
        corrections: of verdicts that are counted or were replaced.
    """

    answers: tuple[Answer, ...]
    adjudications: tuple[Adjudication, ...]
    excluded: tuple[Excluded, ...]
    corrections: int

    def of_task(self, *tasks: str) -> tuple[Answer, ...]:
        """The answers given to these kinds of task; only *ordinary* ones enter rates."""
        return tuple(answer for answer in self.answers if answer.task in tasks)

    def cases(self) -> tuple[CaseDecision, ...]:
        """What people decided on each case with at least one ordinary answer."""
        settled = {event.case_id: event for event in self.adjudications}
        members: dict[str, list[Answer]] = {}
        for answer in self.of_task("ordinary"):
            members.setdefault(answer.case_id, []).append(answer)
        return tuple(_decided(rows, settled.get(case)) for case, rows in members.items())

    def ratings(self, phase: str = "final") -> pd.DataFrame:
        """Cases × reviewers, for coefficients of agreement; a missing cell is no answer.

        Args:
            phase: ``"blind"`` for answers before the model's was shown,
                ``"final"`` for what the verdicts decide, ``"verdict"`` for the
                verdicts as given.

        Raises:
            InputError: another phase.
        """
        import pandas as pd

        places = {"blind": "blind", "final": "decision", "verdict": "verdict"}
        if phase not in places:
            raise InputError(
                f'ratings: phase is "{phase}"; accepted: {", ".join(places)}'
                f"{did_you_mean(phase, places)}"
            )
        cells: dict[str, dict[str, str]] = {}
        names: dict[str, None] = {}
        for answer in self.of_task("ordinary"):
            value = getattr(answer, places[phase])
            if value is not None:
                cells.setdefault(answer.case_id, {})[answer.reviewer] = value
                names[answer.reviewer] = None
        rows = [[row.get(name) for name in names] for row in cells.values()]
        index = pd.Index(list(cells), name="case_id", dtype=object)
        return pd.DataFrame(rows, index=index, columns=list(names), dtype=object)

    def frame(self) -> pd.DataFrame:
        """One row per answer; for the people inside, never for a document."""
        import pandas as pd

        columns = [f.name for f in fields(Answer)]
        return pd.DataFrame([asdict(answer) for answer in self.answers], columns=columns)


def majority(votes: Iterable[str | None]) -> str | None:
    """The decision of most; ``None`` in a tie or without a vote. ``None`` is no vote."""
    counted = Counter(vote for vote in votes if vote is not None).most_common(2)
    if not counted or (len(counted) == 2 and counted[0][1] == counted[1][1]):
        return None
    return counted[0][0]


def _decided(answers: list[Answer], ruling: Adjudication | None) -> CaseDecision:
    """One case, from the answers of its reviewers and the adjudication, if there is one."""
    verdicts = [answer for answer in answers if answer.verdict is not None]
    votes = [answer.decision for answer in verdicts if answer.decision is not None]
    decision = majority(votes)
    if ruling is not None:
        decision, how = ruling.answer, "adjudicated"
    elif not votes:
        how = "undecided"
    elif decision is None:
        how = "tie"
    elif len(votes) == 1:
        how = "one reviewer"
    else:
        how = "unanimous" if len(set(votes)) == 1 else "majority"
    shown = next((a for a in verdicts if a.model_decision is not None), None)
    return CaseDecision(
        case_id=answers[0].case_id,
        inclusion_probability=answers[0].inclusion_probability,
        decision=decision,
        how=how,
        blind=majority(answer.blind_decision for answer in answers),
        model_decision=shown.model_decision if shown else None,
        model_score=shown.model_score if shown else None,
        reviewers=len(verdicts),
        decided=len(votes),
        dissent=sum(vote != decision for vote in votes) if decision else 0,
        escalated=ruling is None and any(a.verdict == "escalate" for a in verdicts),
        decided_at=min((a.verdict_at for a in verdicts), default=""),
    )
