from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, selection_rate

from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, PlanError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.examples import mortgage
from hitl_audit.findings import Status
from hitl_audit.inputs import build_inputs
from hitl_audit.plan import AuditPlan, register
from hitl_audit.results import run_audit

Clock = Callable[[], datetime]


@pytest.fixture(scope="module")
def evidence(mortgage_folder: Path) -> Evidence:
    return read_evidence(Dossier(mortgage_folder).evidence())


def test_evidence_survives_its_json_form(mortgage_folder: Path, evidence: Evidence) -> None:
    assert evidence.to_bytes() == Dossier(mortgage_folder).evidence()


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format": "hitl-audit/evidence/v9"}'])
def test_unknown_evidence_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"evidence\.json cannot be used"):
        read_evidence(data)


def test_findings_are_what_the_rows_say(evidence: Evidence, mortgage_folder: Path) -> None:
    """Point estimates against Fairlearn, straight from the case-level table."""
    rows = pd.read_parquet(mortgage_folder / "results" / "scores.parquet")
    rates = MetricFrame(
        metrics=selection_rate,
        y_true=rows["y_true"],
        y_pred=rows["y_pred"],
        sensitive_features=rows["race"],
    ).by_group
    first = evidence.findings[0]
    for verdict in first.verdicts:
        c = verdict.comparison
        assert c.value == pytest.approx(rates[c.group] / rates["white"], abs=1e-12)
        assert c.count.total == (rows["race"] == c.group).sum()
    np.testing.assert_array_equal(rows["y_pred"], rows["y_score"] >= 0.5)


def test_every_criterion_is_decided_by_its_interval(evidence: Evidence) -> None:
    assert [f.id for f in evidence.findings] == [f"F{i}" for i in range(1, 7)]
    for finding in evidence.findings:
        for verdict in finding.verdicts:
            c = verdict.comparison
            assert c.low is not None
            assert c.high is not None
            low, high = finding.criterion.bounds
            inside = (low is None or c.low >= low) and (high is None or c.high <= high)
            if verdict.status is Status.MET:
                assert inside
            if verdict.status is Status.INSUFFICIENT:
                assert c.small or not inside
                assert verdict.n_needed is None or verdict.n_needed > c.count.total


def test_unknown_groups_are_listed_and_promise_nothing(evidence: Evidence) -> None:
    assert any(r.group == "unknown" and r.n == 10 for r in evidence.fairness.rates)
    promised = {v.comparison.group for f in evidence.findings for v in f.verdicts}
    assert not any("unknown" in group for group in promised)


def test_the_recorded_decisions_are_described(evidence: Evidence) -> None:
    assert evidence.history is not None
    ratios = {
        c.group: c.value
        for c in evidence.history.decisions.comparisons("selection_rate", "race", "ratio")
    }
    assert ratios["Black"] == pytest.approx(0.743, abs=5e-4)
    assert ratios["Hispanic"] == pytest.approx(0.843, abs=5e-4)


def test_explanations_add_up_to_the_model(mortgage_folder: Path) -> None:
    rows = pd.read_parquet(mortgage_folder / "results" / "shap.parquet")
    scores = pd.read_parquet(mortgage_folder / "results" / "scores.parquet")
    expected = scores.set_index("case_id")["y_score"].loc[rows["case_id"]]
    total = rows.drop(columns="case_id").sum(axis=1)
    np.testing.assert_allclose(total, expected, atol=1e-6)
    assert not {"race", "sex"} & set(rows.columns)


def test_no_case_leaves_the_folder(mortgage_folder: Path, evidence: Evidence) -> None:
    text = evidence.to_bytes().decode()
    holdout = mortgage.holdout()
    for identifier in holdout["application"].head(200):
        assert identifier not in text
    cases = pd.read_parquet(mortgage_folder / "results" / "scores.parquet")["case_id"]
    assert cases[0] == "C0001"
    assert not [case for case in cases if f'"{case}"' in text]


def test_results_need_a_plan_registered_before_them(clock: Clock) -> None:
    frame = mortgage.holdout().head(200)
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "T"},
            "data": {"target": "approve", "sensitive": ["race"]},
            "explain": {"methods": []},
        }
    )
    inputs = build_inputs(mortgage.model(), frame, frame["approve"], plan=plan)
    late = clock()
    lock = register(plan, None, now=late, results_exist=False)
    with pytest.raises(PlanError, match="not earlier than the results"):
        run_audit(inputs, plan, lock, now=lambda: late)
    other = AuditPlan.from_dict({"audit": {"title": "other"}})
    with pytest.raises(PlanError, match="the lock is of another plan"):
        run_audit(inputs, other, lock, now=clock)
    results = run_audit(inputs, plan, lock, now=clock)
    assert results.explanation is None
    assert results.evidence.status is Status.NOT_ASSESSED
    assert results.frame().empty
