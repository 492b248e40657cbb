"""What judgments teach: labels that people overrule, and how much each row should weigh. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from hitl_audit.errors import InputError
from hitl_audit.review.case_answers import Answers, CaseDecision
from hitl_audit.review.event import Event
from hitl_audit.review.judgment import DECISIONS
from hitl_audit.review.verdicts import standing_answers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["JudgedLabel", "JudgedLabels", "judged_labels"]


@dataclass(frozen=True)
class JudgedLabel:
    """What people said about the label of one training row.

    Attributes:
        case_id: the row.
        old, new: the recorded label and the one to train on, 1 for favorable;
            equal where people confirmed it or did not settle it.
        how: how the human decision came about, see
            :class:`~hitl_audit.review.case_answers.CaseDecision`.
        firm: adjudicated, or without dissent by enough reviewers.
        support: share of the deciding reviewers who share ``new``; of an
            adjudicated case 1 or 0.
        reviewers: who gave a verdict, and who adjudicated.
        triggers: event ids of these verdicts and adjudications.
        reasons: codes they gave.
    """

    case_id: str
    old: int
    new: int
    how: str
    firm: bool
    support: float
    reviewers: tuple[str, ...]
    triggers: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """The row gets another label."""
        return self.old != self.new


@dataclass(frozen=True)
class JudgedLabels:
    """The judged training rows; the recorded labels are kept beside the new ones.

    Attributes:
        rows: one per judged row, in order of judging.
    """

    rows: tuple[JudgedLabel, ...]

    @property
    def changed(self) -> tuple[JudgedLabel, ...]:
        """The rows that get another label."""
        return tuple(row for row in self.rows if row.changed)

    @property
    def triggers(self) -> tuple[str, ...]:
        """Event ids of every judgment behind the rows."""
        return tuple(dict.fromkeys(one for row in self.rows for one in row.triggers))

    def labels(self, recorded: Mapping[str, int]) -> dict[str, int]:
        """Every row's label: the new one where people settled it, else the recorded one."""
        return dict(recorded) | {row.case_id: row.new for row in self.rows}

    def weights(
        self, labels: Mapping[str, int], *, reviewed_weight: float = 2.0
    ) -> dict[str, float]:
        """How much each row weighs in training, by the judgments on it; the mean is 1.

        A row that nobody judged, or on which nobody decided, weighs 1. A judged
        row weighs ``reviewed_weight`` times the share of those who decided and
        share its label: dissent lowers it, and a label that no reviewer shares
        weighs nothing. All are then divided by their mean.

        Args:
            labels: case → label, of every training row.
            reviewed_weight: of a row whose label all its reviewers share.

        Raises:
            InputError: a weight that is not positive, or no row that weighs anything.
        """
        if not reviewed_weight > 0:
            raise InputError(f"reviewed_weight is {reviewed_weight}; accepted: more than 0")
        weights = dict.fromkeys(labels, 1.0)
        for row in self.rows:
            if row.how != "undecided":
                share = row.support if labels[row.case_id] == row.new else 1 - row.support
                weights[row.case_id] = reviewed_weight * share
        total = sum(weights.values())
        if not total > 0:
            raise InputError("no training row weighs anything: reviewers share no label")
        return {case_id: weight * len(weights) / total for case_id, weight in weights.items()}

    def frame(self) -> pd.DataFrame:
        """One row per judged training row: old and new label, by whom and why; stays in house."""
        import pandas as pd

        columns = [f.name for f in fields(JudgedLabel)]
        return pd.DataFrame([asdict(row) for row in self.rows], columns=columns)


def judged_labels(
    events: Iterable[Event],
    recorded: Mapping[str, int],
    *,
    min_reviewers: int = 2,
    model_digest: str | None = None,
    plan_digest: str | None = None,
) -> JudgedLabels:
    """Read from judgments what the labels of training rows should be.

    A label is replaced only if the human decision is firm: adjudicated, or by
    at least ``min_reviewers`` without dissent. Anything less stays as recorded,
    and shows in ``support``. Cases picked by hand are welcome here.

    Args:
        events: of the review, in the order of the ledger.
        recorded: case → 0 or 1 (favorable), of every training row; judgments on
            other cases are passed over.
        min_reviewers: without dissent, to overrule a label.
        model_digest, plan_digest: take only events on this model, under this plan.

    Raises:
        InputError: a label that is not 0 or 1, or fewer than one reviewer.
    """
    if min_reviewers < 1:
        raise InputError(f"min_reviewers is {min_reviewers}; accepted: 1 or more")
    for case_id, label in recorded.items():
        if label not in (0, 1):
            raise InputError(f"the label of {case_id} is {label!r}; accepted: 0 or 1 (favorable)")
    answers = standing_answers(
        events, model_digest=model_digest, plan_digest=plan_digest, purposive=True
    )
    rows = []
    for case in answers.cases():
        if case.case_id in recorded and (case.reviewers or case.how == "adjudicated"):
            old = int(recorded[case.case_id])
            rows.append(_row(answers, case, old, min_reviewers))
    return JudgedLabels(tuple(rows))


def _row(answers: Answers, case: CaseDecision, old: int, min_reviewers: int) -> JudgedLabel:
    verdicts = [
        answer
        for answer in answers.of_task("ordinary")
        if answer.case_id == case.case_id and answer.verdict is not None
    ]
    ruling = next((a for a in answers.adjudications if a.case_id == case.case_id), None)
    unanimous = case.decided >= min_reviewers and case.dissent == 0
    firm = case.decision is not None and (ruling is not None or unanimous)
    said = None if case.decision is None else int(case.decision == DECISIONS[0])
    new = said if firm and said is not None else old
    votes = [int(answer.decision == DECISIONS[0]) for answer in verdicts if answer.decision]
    if ruling is not None and said is not None:
        support = float(said == new)
    else:
        support = votes.count(new) / len(votes) if votes else 0.0
    codes = [reason for answer in verdicts for reason in answer.reasons]
    return JudgedLabel(
        case_id=case.case_id,
        old=old,
        new=new,
        how=case.how if votes or ruling is not None else "undecided",
        firm=firm,
        support=support,
        reviewers=tuple(a.reviewer for a in verdicts) + ((ruling.reviewer,) if ruling else ()),
        triggers=tuple(a.verdict_id for a in verdicts) + ((ruling.event_id,) if ruling else ()),
        reasons=tuple(dict.fromkeys([*codes, *(ruling.reasons if ruling else ())])),
    )
