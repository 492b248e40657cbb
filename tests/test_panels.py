"""The panels that an audit opens: one cohort, and results that stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hitl_audit.audit import Audit
from hitl_audit.canonical import canonical_bytes
from hitl_audit.errors import InputError
from hitl_audit.findings import percent
from hitl_audit.plan import AuditPlan
from tests.what_if.conftest import fitted, people


def audit_with(folder: Path | None = None, **sections: Any) -> Audit:
    X, y = people()
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "People", "favorable_label": "Approve", "unfavorable_label": "Deny"},
            "data": {"sensitive": ["sex"], "labels": {"income": "Income", "sex": "Sex"}},
            "explain": {"methods": []},
            "gaps": {"contributions": "none", "proxies": False},
            "thresholds": {"sweep": False},
            "criteria": [
                {"metric": "selection_rate", "by": "sex", "compare": "ratio", "at_least": 0.8}
            ],
            **sections,
        }
    )
    return Audit(
        fitted("logistic"), X, pd.Series(y, X.index), sensitive=["sex"], plan=plan, folder=folder
    )


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    made = audit_with(tmp_path_factory.mktemp("panels") / "audit")
    made.run(progress=False)
    return made


def test_the_panels_show_the_audits_numbers_and_share_its_cohort(audit: Audit) -> None:
    results = audit.results
    before = canonical_bytes(results.findings)
    fairness, slices = audit.fairness_panel(), audit.slices_panel()
    heard: list[dict[str, Any]] = []
    fairness.send = lambda content, buffers=None: heard.append(content)
    slices.send = lambda content, buffers=None: None
    fairness.receive({"kind": "fairness", "serial": 1, "act": "open"})
    shown = heard[-1]["shown"]
    assert not shown["exploring"]
    (finding,) = results.findings
    assert shown["compared"]["words"] == [finding.words]
    rates = {r.group: r for r in results.fairness.rates if r.metric == "selection_rate"}
    for row in shown["rates"]["rows"]:
        assert row["words"] == percent(rates[row["group"]].value)
    # One search: the tree that the panel shows is the recorded one.
    found = results.analyses.error_slices
    assert found is not None
    assert tuple(branch.node for branch in slices.setting.branches) == found.tree
    leaf = found.tree[-1].id
    slices.receive({"kind": "slices", "serial": 1, "act": "choose", "id": f"T{leaf}"})
    assert heard[-1]["shown"]["cohort"]["name"] == audit.cohort.name
    cases = audit.cohort.frame()
    assert set(cases.index) == set(audit.cohort.case_ids) < set(audit.inputs.case_ids)
    assert {"sex", "y_true", "y_score", "y_pred"} <= set(cases.columns)
    fairness.receive({"kind": "fairness", "serial": 2, "act": "set", "threshold": 0.7})
    assert heard[-1]["shown"]["exploring"]
    assert canonical_bytes(audit.results.findings) == before
    audit.cohort.clear()


def test_kept_results_have_their_slices_too(audit: Audit) -> None:
    again = audit_with(audit.ledger_path.parent)
    slices = again.slices_panel()
    assert slices.setting.found == audit.results.analyses.error_slices
    assert slices.cohort is again.cohort


def test_a_plan_without_slices_has_no_panel_of_them(tmp_path: Path) -> None:
    audit = audit_with(tmp_path / "audit", errors={"slices": False})
    audit.run(progress=False)
    with pytest.raises(InputError, match="searched no slices"):
        audit.slices_panel()


def test_nobody_looks_before_the_plan_is_registered(tmp_path: Path) -> None:
    audit = audit_with(tmp_path / "audit")
    lock = tmp_path / "audit" / "plan.lock.json"
    assert not lock.exists()
    audit.fairness_panel()
    assert lock.exists()
    assert audit.has_results
