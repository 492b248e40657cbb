"""The evidence: every number of one audit, as one frozen value with a JSON form.

The document is composed from it and from nothing else; it holds aggregates and
digests, no rows of people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from hitl_audit.alternatives import Alternative, Frontier
from hitl_audit.canonical import Digest, canonical_bytes, digest_bytes
from hitl_audit.changes import AuditChange
from hitl_audit.error_slices import ErrorSlices
from hitl_audit.errors import InputError
from hitl_audit.fairness.conditional_disparity import ConditionalDisparity
from hitl_audit.fairness.flip_test import FlipTest
from hitl_audit.fairness.gap import GapContributions
from hitl_audit.fairness.group_metrics import GapSummary, GroupMetrics
from hitl_audit.fairness.profile_table import ProfileTables
from hitl_audit.fairness.proxies import ProxyStrengths
from hitl_audit.fairness.stratified import StratifiedComparison
from hitl_audit.findings import Finding, Status
from hitl_audit.follow_up import FollowUp
from hitl_audit.mitigation import MitigationOutcome
from hitl_audit.performance import Performance
from hitl_audit.review.escalation import EscalationRegister
from hitl_audit.review.ledger import Checkpoint
from hitl_audit.review.oversight import Oversight
from hitl_audit.stability_index import Band, StabilityIndex
from hitl_audit.thresholds import ThresholdSweep

__all__ = [
    "Analyses",
    "AuditRecord",
    "ChangeNote",
    "CheckNote",
    "CollectedCheck",
    "CollectedChecks",
    "DataRecord",
    "Evidence",
    "ExplanationRecord",
    "GroupQuality",
    "History",
    "Importance",
    "MitigationRecord",
    "ModelRecord",
    "PlanRecord",
    "ProfileRecord",
    "Provenance",
    "PublicationRecord",
    "QualityGap",
    "QualityMeasure",
    "ReviewRecord",
    "ReviewerNote",
    "WhatIfNote",
    "read_evidence",
    "with_follow_ups",
    "with_people",
]


@dataclass(frozen=True)
class AuditRecord:
    """What was audited and for whom, in the plan's words."""

    title: str
    purpose: str
    owner: str
    intended_use: str
    not_covered: tuple[str, ...]
    decision: str
    favorable_label: str
    unfavorable_label: str


@dataclass(frozen=True)
class PlanRecord:
    """The registered plan: digest, time, history of registrations, and how it reads."""

    digest: str
    registered_at: str
    changed_after_results: bool
    registrations: tuple[tuple[str, str, bool, str], ...]
    confidence: float
    min_group: int
    seed: int
    review_cases: int
    review_design: str
    reviewers_per_case: int
    protocol: str
    roles: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class ModelRecord:
    """The audited model."""

    name: str
    version: str
    description: str
    source: str
    digest: str
    digest_of: str
    kind: str
    output: str
    threshold: float
    scores_digest: str


@dataclass(frozen=True)
class DataRecord:
    """The audited rows; ``features`` as (column, words), ``excluded`` as (column, reason).

    Where there were too many rows to hold, promises, group metrics and performance are
    about all of them, and everything else about a uniform random sample of ``sampled_rows``.
    """

    description: str
    source: str
    digest: str
    rows: int
    favorable_rows: int
    target: str
    sensitive: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    excluded: tuple[tuple[str, str], ...]
    protected_inputs: tuple[str, ...]
    notes: tuple[str, ...]
    sampled_rows: int | None = None


@dataclass(frozen=True)
class History:
    """Recorded decisions of people, described by group; the model plays no part in them."""

    source: str
    digest: str
    rows: int
    decisions: GroupMetrics


@dataclass(frozen=True)
class Importance:
    """Mean absolute attribution of one raw feature, with its interval over cases."""

    feature: str
    label: str
    mean_abs: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class ExplanationRecord:
    """How the model was explained, and what it rests on overall."""

    method: Literal["shap", "lime"]
    algorithm: str
    exact: bool
    scale: str
    output: str
    rows: int
    background_size: int
    background_digest: str
    seeds: int
    max_residual: float
    notes: tuple[str, ...]
    importance: tuple[Importance, ...]


@dataclass(frozen=True)
class QualityMeasure:
    """One measure of how far the explanations can be trusted, over n cases."""

    measure: str
    meaning: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str


@dataclass(frozen=True)
class GroupQuality:
    """One measure of the explanations' quality in one group.

    ``status`` is ``"measured"``, or ``"insufficient data"`` below ``min_group``.
    """

    attribute: str
    group: str
    measure: str
    meaning: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    status: str


@dataclass(frozen=True)
class QualityGap:
    """The largest difference of one measure between two groups of an attribute.

    ``p_value`` tests that no group differs from another; it accounts for the
    choice of the two that differ most, not for looking at several measures.
    """

    attribute: str
    measure: str
    highest: str
    lowest: str
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    groups: int
    method: str
    test: str
    status: str


@dataclass(frozen=True)
class MitigationRecord:
    """What mitigation methods did on the audited rows, fitted on the training rows."""

    constraint: str
    n_train: int
    n_holdout: int
    groups: tuple[str, ...]
    outcomes: tuple[MitigationOutcome, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ProfileRecord:
    """One regulation profile: its tables, its texts, and where they come from.

    Attributes:
        tables: the computed tables.
        digest: of the profile's file.
        jurisdiction, summary: what it is.
        expires: last day on which the audit may be used; ``""`` for no limit.
        rules: (text, source) of the computation.
        statements: texts the document carries; what only people can fill in is visibly blank.
        requirements: (text, source, where the document answers it).
        sources: (citation, address, note).
        bands, stability: of a profile that asks for calibration by score band, and for the
            stability of the scores since training.
    """

    tables: ProfileTables
    digest: str
    jurisdiction: str
    summary: str
    expires: str
    rules: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]
    requirements: tuple[tuple[str, str, str], ...]
    sources: tuple[tuple[str, str, str], ...]
    bands: tuple[Band, ...] = ()
    stability: StabilityIndex | None = None


@dataclass(frozen=True)
class Analyses:
    """What was looked into beyond the promises; ``None`` where the plan did not ask.

    Attributes:
        contributions: per pair of groups, what each feature contributes to their gap.
        contribution_notes: on which rows, or why there are none.
        proxies: how well the inputs give the protected attributes away.
        stratified: each group against its reference within ``gaps.conditional_on``.
        conditional: conditional demographic disparity.
        flips: what changes if only a protected attribute were another.
        flip_notes: which attributes could not be tried, and why.
        error_slices: where the model errs more often.
        thresholds: what other thresholds would do.
        mitigation: methods fitted on the training rows, before and after.
        alternatives: accuracy and fairness of every alternative.
        profiles: regulation profiles.
    """

    contributions: tuple[GapContributions, ...] = ()
    contribution_notes: tuple[str, ...] = ()
    proxies: ProxyStrengths | None = None
    stratified: tuple[StratifiedComparison, ...] = ()
    conditional: ConditionalDisparity | None = None
    flips: tuple[FlipTest, ...] = ()
    flip_notes: tuple[str, ...] = ()
    error_slices: ErrorSlices | None = None
    thresholds: ThresholdSweep | None = None
    mitigation: MitigationRecord | None = None
    alternatives: Frontier | None = None
    profiles: tuple[ProfileRecord, ...] = ()


@dataclass(frozen=True)
class ReviewerNote:
    """Who judged, under a number: as what, why they are able to, what they may decide."""

    reviewer: str
    role: str
    competence: str
    authority: str


@dataclass(frozen=True)
class WhatIfNote:
    """What reviewers tried on the what-if panel: exploratory, never a rate.

    ``as_expected`` and ``otherwise`` count the edits before which somebody had
    said what they expected.
    """

    edits: int = 0
    cases: int = 0
    reviewers: int = 0
    as_expected: int = 0
    otherwise: int = 0


@dataclass(frozen=True)
class CheckNote:
    """A property the model should have, looked for in every audited row.

    ``share`` is that of the rows that violate it, with its interval; ``status`` is
    ``"no violation"``, ``"violated"`` or ``"insufficient data"``.
    """

    kind: str
    feature: str
    n: int
    violating: int
    share: float | None
    low: float | None
    high: float | None
    interval: str
    largest: float
    status: str
    words: str


@dataclass(frozen=True)
class CollectedCheck:
    """A property that somebody expected on the what-if panel, looked for in every audited row.

    It was chosen because the model violated it in a case, so it is exploratory: a reason to
    look, never a promise.

    Attributes:
        kind, column, direction, values, tolerance: the property, as in
            :class:`~hitl_audit.what_if.expectations.ModelCheck`; values as text, ``None``
            for a missing one.
        people, cases: how many people saw it violated, and in how many cases.
        violated: the edits that violated it.
        stated: the edits before which it was expected, violated or not.
        note: what came of it in every row.
    """

    kind: Literal["monotonicity", "direction", "invariance"]
    column: str
    direction: Literal["increasing", "decreasing"] | None
    values: tuple[str | None, ...]
    tolerance: float
    people: int
    cases: int
    violated: int
    stated: int
    note: CheckNote


@dataclass(frozen=True)
class CollectedChecks:
    """What became of the violated expectations that the ledger held when the audit was run.

    Attributes:
        checks: one per property, in the order in which it was first violated.
        left_out: (why, how many violated expectations) that became no property.
    """

    checks: tuple[CollectedCheck, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ChangeNote:
    """A change that judgments led to.

    ``state`` is ``"proposed"``, ``"approved"`` or ``"rejected"``, ``decided_as`` the role
    that decided. ``measures`` are (metric, group, n, before, after, low, high),
    the interval that of the paired difference.
    """

    change_id: str
    action: str
    description: str
    triggers: int
    proposer: str
    state: str
    decided_as: str
    before_digest: str
    after_digest: str
    holdout_digest: str
    expires: str
    measures: tuple[
        tuple[str, str, int, float | None, float | None, float | None, float | None], ...
    ]


_NO_ESCALATIONS, _NO_EDITS = EscalationRegister(), WhatIfNote()


@dataclass(frozen=True)
class DisclosedWords:
    """What somebody wrote about a case: a verdict's reasons, or those of who decided."""

    case_id: str
    reviewer: str
    answer: str
    words: str


@dataclass(frozen=True)
class DisclosedCase:
    """One judged case; ``groups`` in the order of the attributes, ``""`` where not published."""

    case_id: str
    groups: tuple[str, ...]
    score: float | None
    decision: str
    verdicts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Disclosure:
    """What the plan lets out about people beyond numbers; empty unless it allows it.

    Attributes:
        names: (number of a reviewer, name).
        words: what reviewers wrote.
        cases: the judged cases, with the groups of these ``attributes``.
    """

    names: tuple[tuple[str, str], ...] = ()
    words: tuple[DisclosedWords, ...] = ()
    cases: tuple[DisclosedCase, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReviewRecord:
    """What else the review left on record.

    No name and no words of a person are in it, but for what the plan lets out
    (``disclosed``).
    """

    reviewers: tuple[ReviewerNote, ...] = ()
    escalations: EscalationRegister = _NO_ESCALATIONS
    what_if: WhatIfNote = _NO_EDITS
    changes: tuple[ChangeNote, ...] = ()
    disclosed: Disclosure = Disclosure()


@dataclass(frozen=True)
class Provenance:
    """Where a part of the evidence came from: enough to compute it again.

    Attributes:
        part: the part of the evidence, for example ``"fairness"``.
        function: the public function that computed it.
        parameters: its arguments, by name.
        data_digest: of the rows it was computed on.
        random_state: the seed, or ``None`` where nothing is random.
    """

    part: str
    function: str
    parameters: dict[str, Any]
    data_digest: str
    random_state: int | None


@dataclass(frozen=True)
class PublicationRecord:
    """On which terms this evidence left the house; ``None`` in results that did not.

    Attributes:
        minimum_group: fewest people of a group that is in it.
        rows, free_text, reviewer_names: what the plan allowed.
        left_out: (attribute, group, why) of the groups that are not in it.
    """

    minimum_group: int
    rows: bool
    free_text: bool
    reviewer_names: bool
    left_out: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Evidence:
    """Every number of one audit, with its provenance; no rows of people.

    The computation began at ``started``, always after the plan was registered,
    and ended at ``created``. ``oversight``, ``review`` and ``ledger`` say what people judged,
    ``chosen`` which alternative a person chose; they are renewed when a document is
    made. ``review_disclosed`` says which controls the plan has hidden among the cases.
    ``publication`` says on which terms it left the house, ``since`` what moved since an
    earlier audit, ``follow_ups`` who does what about the findings; they are made with a
    document. ``checks`` are the properties that the plan asks of the model, ``collected``
    those that people expected on the what-if panel: exploratory, derived after results.
    """

    started: str
    created: str
    audit: AuditRecord
    plan: PlanRecord
    model: ModelRecord
    data: DataRecord
    environment: dict[str, str]
    environment_digest: str
    performance: Performance
    fairness: GroupMetrics
    gaps: tuple[GapSummary, ...]
    history: History | None
    explanations: tuple[ExplanationRecord, ...]
    explanation_quality: tuple[QualityMeasure, ...]
    findings: tuple[Finding, ...]
    oversight: Oversight
    ledger: Checkpoint | None
    provenance: tuple[Provenance, ...]
    explanation_quality_by_group: tuple[GroupQuality, ...] = ()
    explanation_quality_gaps: tuple[QualityGap, ...] = ()
    explanation_quality_notes: tuple[str, ...] = ()
    analyses: Analyses = Analyses()
    chosen: Alternative | None = None
    review: ReviewRecord = ReviewRecord()
    review_disclosed: tuple[str, ...] = ()
    format: Literal["hitl-audit/evidence/v1"] = "hitl-audit/evidence/v1"
    publication: PublicationRecord | None = None
    since: AuditChange | None = None
    follow_ups: tuple[FollowUp, ...] = ()
    checks: tuple[CheckNote, ...] = ()
    collected: CollectedChecks = CollectedChecks()

    @cached_property
    def _bytes(self) -> bytes:
        return canonical_bytes(self)

    def to_bytes(self) -> bytes:
        """The evidence document: canonical JSON (RFC 8785)."""
        return self._bytes

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of :meth:`to_bytes`."""
        return digest_bytes(self.to_bytes())

    @property
    def status(self) -> Status:
        """The worst decision over all criteria."""
        found = {finding.status for finding in self.findings}
        for status in (Status.NOT_MET, Status.INSUFFICIENT, Status.NOT_ASSESSED):
            if status in found:
                return status
        return Status.MET if found else Status.NOT_ASSESSED


def read_evidence(data: bytes) -> Evidence:
    """Parse ``evidence.json``.

    Raises:
        InputError: not evidence of a known version.
    """
    try:
        return TypeAdapter(Evidence).validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the file"
        raise InputError(
            f"evidence.json cannot be used: {place}: {first['msg']}; expected "
            '"hitl-audit/evidence/v1"'
        ) from None


def with_people(
    evidence: Evidence,
    oversight: Oversight,
    ledger: Checkpoint | None,
    chosen: Alternative | None,
    review: ReviewRecord,
) -> Evidence:
    """The same evidence with what people judged and chose until now."""
    return replace(evidence, oversight=oversight, ledger=ledger, chosen=chosen, review=review)


def with_follow_ups(evidence: Evidence, records: tuple[FollowUp, ...]) -> Evidence:
    """The same evidence with what people took on about its findings."""
    return replace(evidence, follow_ups=records)
