"""What people recorded about an audit until now, read from where it is kept."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pandas as pd

from hitl_audit.choice import read_choice
from hitl_audit.dossier import Dossier
from hitl_audit.evidence import Evidence, with_people
from hitl_audit.follow_up import FollowUp, read_follow_ups
from hitl_audit.plan import AuditPlan
from hitl_audit.review.ledger import Ledger
from hitl_audit.review.sampling import CaseSample
from hitl_audit.reviewing import ReviewFacts, oversight_of, review_facts, review_record

__all__ = [
    "evidence_with_people",
    "kept_facts",
    "kept_follow_ups",
    "kept_ledger",
    "team_ledger",
]


def evidence_with_people(
    evidence: Evidence,
    ledger_path: Path,
    choice_path: Path,
    sample: CaseSample,
    facts: ReviewFacts,
    plan: AuditPlan,
    *,
    now: datetime,
) -> Evidence:
    """The evidence with what people judged and chose until now.

    Raises:
        InputError: the chosen alternative is not one of this evidence.
    """
    chosen = read_choice(choice_path, evidence)
    ledger = kept_ledger(ledger_path)
    if ledger is None:
        return with_people(evidence, evidence.oversight, evidence.ledger, chosen, evidence.review)
    events, model = ledger.events(), evidence.model.digest
    oversight = oversight_of(events, sample, facts, plan, model_digest=model)
    review = review_record(events, sample, oversight, facts, plan, model_digest=model, now=now)
    return with_people(evidence, oversight, ledger.checkpoint(), chosen, review)


def team_ledger() -> str:
    """Address of a team's ledger in PostgreSQL, from the environment; ``""`` without one.

    It holds a password, so it is in no plan and no document.
    """
    return os.environ.get("HITL_AUDIT_LEDGER", "").strip()


def kept_ledger(path: Path) -> Ledger | None:
    """The ledger as it is, to be read: a team's, or the file; ``None`` before anybody judged."""
    if address := team_ledger():
        return Ledger(address, read_only=True)
    return Ledger(path, read_only=True) if path.exists() else None


def kept_facts(dossier: Dossier, sample: CaseSample, plan: AuditPlan) -> ReviewFacts:
    """The facts about the cases, from the results in the folder."""
    scores = pd.read_parquet(dossier.results_path / "scores.parquet")
    gold: dict[str, int] = {}
    kept = dossier.results_path / "gold.parquet"
    if kept.is_file():
        table = pd.read_parquet(kept)
        gold = dict(zip(table["case_id"].astype(str), table["answer"].astype(int), strict=True))
    return review_facts(scores, plan, [*sample.case_ids, *gold]).with_gold(gold)


def kept_follow_ups(dossier: Dossier) -> tuple[FollowUp, ...]:
    """What people took on about the findings.

    Raises:
        InputError: the file cannot be used.
    """
    path = dossier.follow_up_path
    return read_follow_ups(path.read_bytes(), name=str(path)) if path.exists() else ()
