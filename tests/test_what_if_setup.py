"""What a plan says about trying changes, held against the data it is about."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from hitl_audit.audit import Audit
from hitl_audit.errors import InputError, PlanError
from hitl_audit.plan import AuditPlan
from hitl_audit.what_if_setup import checks_of, fact_groups
from tests.what_if.conftest import fitted, people


def audit_with(**what_if: Any) -> Audit:
    X, y = people()
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "People", "favorable_label": "Approve", "unfavorable_label": "Deny"},
            "data": {"sensitive": ["sex"], "labels": {"income": "Income"}},
            "what_if": what_if,
        }
    )
    return Audit(fitted("logistic"), X, pd.Series(y, X.index), sensitive=["sex"], plan=plan)


def test_the_panel_follows_the_plan() -> None:
    audit = audit_with(
        derived={"ratio": "debt / income"},
        features=[{"feature": "age", "direction": "up"}, {"feature": "region", "immutable": True}],
        groups=[{"title": "Money", "features": ["income", "debt"]}],
        expectation_first=True,
    )
    panel = audit.what_if("C002")
    assert panel.case == "C002" == audit.what_if(1).case
    controls = panel.desk.engine.controls
    assert controls["region"].locked
    assert controls["ratio"].derived == "debt / income"
    assert controls["age"].direction == "up"
    assert controls["sex"].protected
    assert controls["income"].label == "Income"
    assert panel.desk.engine.scored(panel.desk.history) == audit.inputs.y_score[1]
    assert audit.trials() is audit.trials()
    groups = fact_groups(audit.plan, [str(c) for c in audit.inputs.X.columns])
    assert groups[0] == ("Money", ("income", "debt"))
    assert groups[1][0] == "Other facts"


@pytest.mark.parametrize(
    ("what_if", "words"),
    [
        ({"features": [{"feature": "incom"}]}, "did you mean"),
        ({"features": [{"feature": "region", "low": 1}]}, "belong to numbers"),
        ({"features": [{"feature": "region", "direction": "up"}]}, "no order"),
        ({"derived": {"ratio": "debt / colour"}}, "no number of the data"),
        ({"groups": [{"title": "Money", "features": ["colour"]}]}, "what_if.groups names"),
        ({"checks": [{"feature": "colour", "expect": "unchanged"}]}, "accepted"),
    ],
)
def test_a_plan_that_does_not_fit_the_data_is_refused_before_any_work(
    what_if: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        audit_with(**what_if)


@pytest.mark.parametrize(
    ("what_if", "words"),
    [
        ({"features": [{"feature": "age", "low": 3, "high": 2}]}, "low ≤ high"),
        ({"features": [{"feature": "age"}, {"feature": "age"}]}, "names a feature twice: age"),
        ({"checks": [{"feature": "a", "expect": "increasing", "values": ["x"]}]}, "two"),
        ({"seconds": 0}, "what_if.seconds"),
        ({"colour": 1}, "not a key of the plan"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(what_if: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        AuditPlan.from_dict({"audit": {"title": "People"}, "what_if": what_if})


def test_checks_of_the_plan() -> None:
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "People"},
            "what_if": {
                "checks": [
                    {"feature": "income", "expect": "increasing"},
                    {"feature": "sex", "expect": "unchanged", "tolerance": 0.01},
                    {"feature": "region", "expect": "decreasing", "values": ["north", "west"]},
                ]
            },
        }
    )
    found = [(c.kind, c.direction, c.values, c.tolerance) for c in checks_of(plan)]
    assert found == [
        ("monotonicity", "increasing", (), 1e-9),
        ("invariance", None, (), 0.01),
        ("direction", "decreasing", ("north", "west"), 1e-9),
    ]


@pytest.mark.parametrize("row", ["nobody", -1, 240])
def test_no_panel_for_a_case_that_is_not_there(row: Any) -> None:
    with pytest.raises(InputError, match="row is"):
        audit_with().what_if(row)
