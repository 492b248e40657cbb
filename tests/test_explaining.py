"""The explanations of a run: of which rows, and how far they can be trusted."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

import hitl_audit
from hitl_audit.audit import Audit
from hitl_audit.dossier import Dossier
from hitl_audit.errors import PlanError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.explaining import BY_GROUP
from hitl_audit.plan import AuditPlan
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Note, Table

Clock = Callable[[], datetime]


@pytest.fixture(scope="module")
def evidence(mortgage_folder: Path) -> Evidence:
    return read_evidence(Dossier(mortgage_folder).evidence())


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    income, debt = rng.normal(50, 15, 300), rng.normal(20, 8, 300)
    return pd.DataFrame(
        {
            "income": income,
            "debt": debt,
            "shoe": rng.normal(42, 2, 300),
            "sex": rng.choice(["female", "male"], 300),
            "good": (income - debt + rng.normal(0, 10, 300) > 30).astype(int),
        }
    )


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    forest = RandomForestClassifier(20, max_depth=4, random_state=0)
    return forest.fit(people[["income", "debt", "shoe"]], people["good"])


def plan_of(**explain: Any) -> AuditPlan:
    return AuditPlan.from_dict(
        {
            "audit": {"title": "Small"},
            "data": {
                "target": "good",
                "sensitive": ["sex"],
                "features": ["income", "debt", "shoe"],
            },
            "explain": {"lime_samples": 300, "lime_seeds": 3, "background": 30, **explain},
            "gaps": {"proxies": False},
            "errors": {"slices": False},
            "alternatives": {"search": False},
            "review": {"cases": 12},
        }
    )


def test_the_mortgage_explanations_are_measured_in_every_way(evidence: Evidence) -> None:
    measured = {q.measure: q for q in evidence.explanation_quality}
    assert measured["additive"].value == 1
    assert measured["sign_agreement"].n == 500
    for name in ("pgi", "deletion_auc", "vsi", "background_agreement", "relative_sensitivity"):
        assert measured[name].n == 60
        assert measured[name].low is not None
    pgi, chance = measured["pgi"].value, measured["pgi_random"].value
    assert pgi is not None
    assert chance is not None
    assert pgi > 2 * chance  # the ranking is far better than a random one


def test_every_group_is_told_how_well_it_is_explained(evidence: Evidence) -> None:
    found = evidence.explanation_quality_by_group
    assert {q.measure for q in found} == set(BY_GROUP)
    by_group = {(q.attribute, q.group): q for q in found if q.measure == "reliable"}
    assert sum(q.n for (a, _), q in by_group.items() if a == "race") == 500
    for quality in by_group.values():
        assert quality.status == ("measured" if quality.n >= 30 else "insufficient data")
    gaps = {(g.attribute, g.measure): g for g in evidence.explanation_quality_gaps}
    race = gaps["race", "reliable"]
    high, low = by_group["race", race.highest].value, by_group["race", race.lowest].value
    assert high is not None
    assert low is not None
    assert race.value == pytest.approx(high - low)
    assert race.p_value is not None


def test_the_measures_of_trust_say_where_they_came_from(evidence: Evidence) -> None:
    parts = {p.part: p for p in evidence.provenance}
    for name in ("quality", "faithfulness", "stability"):
        found = parts[f"explanation_quality.{name}"]
        assert callable(getattr(hitl_audit, name))
        assert found.function == f"hitl_audit.{name}"
        assert found.data_digest == evidence.data.digest


def test_the_document_shows_them(evidence: Evidence) -> None:
    sections = {s.id: s for s in compose(evidence, generated=evidence.created).sections}
    captions = [b.caption for b in sections["trust"].blocks if isinstance(b, Table)]
    assert [c.split(" (")[0].split(",")[0] for c in captions] == [
        "Agreement of the explanations with the model and each other",
        "Quality of the explanations by group",
        "The largest difference between two groups",
        "Faithfulness",
        "Stability over seeds",
    ]


def test_a_bar_of_the_plan_decides_what_reviewers_are_shown(
    model: Any, people: pd.DataFrame, clock: Clock
) -> None:
    strict = plan_of(beats_random_at_least=1.0, relative_sensitivity_at_most=0.01)
    audit = Audit(model, people, people["good"], plan=strict, now=clock)
    results = audit.run(progress=False)
    assert results.quality is not None
    rows = results.quality.frame()
    assert len(rows) == 12
    assert {"beats_random", "relative_sensitivity"} <= set(rows.columns)
    missed = rows[(rows["beats_random"] < 1) | (rows["relative_sensitivity"] > 0.01)]
    assert len(missed)
    assert not missed["reliable"].any()
    assert missed["reason"].str.contains("needed|accepted").all()


def test_a_model_that_must_be_asked_is_not_explained_again_and_again(
    model: Any, people: pd.DataFrame, clock: Clock
) -> None:
    def ask(rows: pd.DataFrame) -> Any:
        return model.predict_proba(rows)[:, 1]

    results = Audit(ask, people, people["good"], plan=plan_of(), now=clock).run(progress=False)
    measured = {q.measure for q in results.evidence.explanation_quality}
    assert {"vsi", "csi", "pgi"} <= measured
    assert not {"max_sensitivity", "background_instability"} & measured
    assert "asks it again and again" in " ".join(results.evidence.explanation_quality_notes)
    assert results.explanation is not None
    assert len(results.explanation.index) == 200


def test_without_explanations_nothing_is_claimed(
    model: Any, people: pd.DataFrame, clock: Clock
) -> None:
    plan = plan_of(methods=["lime"])
    results = Audit(model, people, people["good"], plan=plan, now=clock).run(progress=False)
    assert results.evidence.explanation_quality == ()
    assert results.lime is not None
    assert [e.method for e in results.evidence.explanations] == ["lime"]
    sections = {
        s.id: s for s in compose(results.evidence, generated=results.evidence.created).sections
    }
    (said,) = sections["trust"].blocks
    assert isinstance(said, Note)


@pytest.mark.parametrize(
    ("explain", "message"),
    [
        ({"methods": ["shap"], "score_at_least": 0.3}, "score_at_least is set, but the plan does"),
        ({"stability": False, "relative_sensitivity_at_most": 1}, "relative_sensitivity_at_most"),
        ({"faithfulness": False, "beats_random_at_least": 0.5}, "beats_random_at_least is set"),
        ({"beats_random_at_least": 2}, "explain.beats_random_at_least is 2"),
    ],
)
def test_bars_need_what_they_are_bars_of(explain: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(**explain)
