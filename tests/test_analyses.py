"""What a run looks into beyond the promises: from the plan through the evidence to the document."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from fairlearn.metrics import MetricFrame, selection_rate
from sklearn.linear_model import LogisticRegression

from hitl_audit import mitigation
from hitl_audit.analyses import MODEL
from hitl_audit.audit import Audit
from hitl_audit.cli import main
from hitl_audit.dossier import Dossier
from hitl_audit.errors import InputError, PlanError
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.mitigators.paired import MEASURES
from hitl_audit.plan import AuditPlan
from hitl_audit.plan_sections import AlternativesSection
from hitl_audit.profiles.loader import list_profiles, load_profile
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Note, Section, Table

Clock = Callable[[], datetime]


@pytest.fixture(scope="module")
def evidence(mortgage_folder: Path) -> Evidence:
    return read_evidence(Dossier(mortgage_folder).evidence())


@pytest.fixture(scope="module")
def scores(mortgage_folder: Path) -> pd.DataFrame:
    return pd.read_parquet(mortgage_folder / "results" / "scores.parquet")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    sex = rng.choice(["female", "male"], 500)
    income = rng.normal(50, 15, 500) + 8 * (sex == "male")
    return pd.DataFrame(
        {
            "income": income,
            "debt": rng.normal(20, 8, 500),
            "sex": sex,
            "race": rng.choice(["a", "b", "c"], 500, p=[0.5, 0.47, 0.03]),
            "good": (income + rng.normal(0, 15, 500) > 54).astype(int),
        }
    )


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    return LogisticRegression().fit(people[["income", "debt"]], people["good"])


def plan_of(**sections: Any) -> AuditPlan:
    return AuditPlan.from_dict(
        {
            "audit": {"title": "Small audit"},
            "data": {"target": "good", "sensitive": ["sex", "race"]},
            "explain": {"methods": ["shap"], "background": 20},
            "review": {"cases": 5},
            **sections,
        }
    )


def section(evidence: Evidence, id: str) -> Section:
    report = compose(evidence, generated=evidence.created)
    return next(s for s in report.sections if s.id == id)


# --- the built-in audit ---


def test_contributions_sum_to_the_gap_of_the_rows(evidence: Evidence, scores: pd.DataFrame) -> None:
    pairs = [(c.attribute, c.group, c.reference) for c in evidence.analyses.contributions]
    assert pairs == [
        ("race", "Black", "white"),
        ("race", "Hispanic", "white"),
        ("sex", "female", "male"),
        ("marital_status", "not married", "married"),
        ("age", "up to area median", "above area median"),
    ]
    for one in evidence.analyses.contributions:
        means = scores.groupby(one.attribute)["y_score"].mean()
        assert one.gap == pytest.approx(means[one.group] - means[one.reference], abs=1e-9)
        assert sum(c.value for c in one.contributions) == pytest.approx(one.gap, abs=1e-6)
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.gap < one.high


def test_the_single_best_threshold_costs_what_the_rows_say(
    evidence: Evidence, scores: pd.DataFrame
) -> None:
    sweep = evidence.analyses.thresholds
    assert sweep is not None
    best = sweep.choice("single best", "race").decisions[0]
    approved = scores["y_score"] >= best.threshold
    wrong = (approved != (scores["y_true"] == 1)).mean()
    assert best.rate("cost").value == pytest.approx(wrong, abs=1e-12)
    costs = [
        ((scores["y_score"] >= t) != (scores["y_true"] == 1)).mean() for t in scores["y_score"]
    ]
    assert wrong == pytest.approx(min(costs), abs=1e-12)
    assert len({p.threshold for p in sweep.points if p.attribute == "all"}) == 21


def test_alternatives_start_from_the_audited_model(
    evidence: Evidence, scores: pd.DataFrame
) -> None:
    found, record = evidence.analyses.alternatives, evidence.analyses.mitigation
    assert found is not None
    assert record is not None
    assert found.baseline.candidate == MODEL
    assert found.baseline.accuracy == evidence.performance.overall.score("accuracy").value
    rates = scores.groupby("race")["y_pred"].mean()
    assert found.baseline.fairness == pytest.approx(rates.min() / rates.max(), abs=1e-12)
    ran = [one.method for one in record.outcomes if one.status == "compared"]
    assert ran == ["reweighing", "correlation_remover", "threshold_optimizer"]
    assert {mitigation.METHODS[m] for m in ran} < {p.candidate for p in found.points}
    assert record.n_train == 663


def test_the_profile_is_computed_by_its_rules(evidence: Evidence, scores: pd.DataFrame) -> None:
    (record,) = evidence.analyses.profiles
    rates = MetricFrame(
        metrics=selection_rate,
        y_true=scores["y_true"],
        y_pred=scores["y_pred"],
        sensitive_features=scores["race"],
    ).by_group
    row = record.tables.table("race").row("Black")
    assert row.impact_ratio == pytest.approx(rates["Black"] / rates["white"], abs=1e-12)
    assert {b.basis: b.attribute for b in record.tables.bases}["marital status"] == "marital_status"
    assert any("[to be filled in by the creditor" in text for text in record.statements)
    shown = section(evidence, "profiles")
    warnings = [b.text for b in shown.blocks if isinstance(b, Note) and b.tone == "warning"]
    assert any("no effects test" in text for text in warnings)


def test_requirements_point_to_sections_that_exist(evidence: Evidence) -> None:
    titles = {s.title for s in compose(evidence, generated=evidence.created).sections}
    for name in list_profiles():
        for requirement in load_profile(name).requirements:
            place = requirement.answered_in
            assert place.startswith("Not in this document") or any(
                title.startswith(place) for title in titles
            ), place


def test_every_part_says_where_it_came_from(evidence: Evidence) -> None:
    parts = {p.part: p for p in evidence.provenance}
    assert {
        "analyses.contributions",
        "analyses.proxies",
        "analyses.stratified",
        "analyses.conditional",
        "analyses.error_slices",
        "analyses.thresholds",
        "analyses.mitigation",
        "analyses.alternatives",
        "analyses.profiles.us-credit-reg-b",
    } <= set(parts)
    for part in parts.values():
        module, _, name = part.function.rpartition(".")
        assert module.startswith("hitl_audit"), part.function
        assert name


def test_the_document_uses_the_words_of_the_plan(evidence: Evidence) -> None:
    """No raw column name where the plan has words for it."""
    raw = {column for column, words in evidence.data.features if words != column and "_" in column}
    raw |= {"marital_status", "exponentiated_gradient", "threshold_optimizer"}
    for id in ("gaps", "errors", "thresholds", "alternatives", "profiles"):
        for block in section(evidence, id).blocks:
            text = (
                repr(block) if not isinstance(block, Table) else repr((block.caption, block.rows))
            )
            assert not [name for name in raw if name in text.replace("'", " ")], (id, text[:300])


def test_every_number_of_a_search_has_n_and_interval(evidence: Evidence) -> None:
    slices = section(evidence, "errors")
    table = next(b.table for b in slices.blocks if hasattr(b, "table"))
    assert {"n", "95% interval"} <= set(table.columns)
    assert all(row[1] and row[3] != "–" for row in table.rows)


def test_an_attribute_that_is_no_input_is_said_to_be_none(evidence: Evidence) -> None:
    assert [(f.attribute, f.is_input) for f in evidence.analyses.flips] == [
        (name, False) for name in ("race", "sex", "marital_status", "age")
    ]
    assert "Marital status is not an input" in repr(section(evidence, "gaps"))


# --- what the plan may ask for ---


def test_an_attribute_that_is_an_input_is_flipped(people: pd.DataFrame, clock: Clock) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ["income", "debt", "sex"]
    reader = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough"),
        LogisticRegression(max_iter=1000),
    ).fit(people[columns], people["good"])
    results = Audit(reader, people, people["good"], plan=plan_of(), now=clock).run(progress=False)
    test = results.analyses.flips[0]
    assert (test.attribute, test.is_input) == ("sex", True)
    changed = people.assign(sex="male")[columns]
    before, after = reader.predict(people[columns]), reader.predict(changed)
    women = (people["sex"] == "female").to_numpy()
    flip = next(f for f in test.flips if (f.group, f.to) == ("female", "male"))
    assert flip.changed == (before != after)[women].sum()
    tables = [b for b in section(results.evidence, "gaps").blocks if isinstance(b, Table)]
    assert any("if only sex were another" in t.caption for t in tables)


def test_the_decision_itself_can_be_divided(model: Any, people: pd.DataFrame, clock: Clock) -> None:
    plan = plan_of(gaps={"contributions": "decision", "proxies": False})
    audit = Audit(model, people, people["good"], plan=plan, now=clock)
    one = audit.run(progress=False).analyses.contributions[0]
    assert (one.attribute, one.explained) == ("sex", "decision")
    assert abs(one.residual) < 1e-6
    assert one.gap < 0
    assert one.contributions[0].feature == "income"


def test_nothing_is_looked_into_that_the_plan_turns_off(
    model: Any, people: pd.DataFrame, clock: Clock
) -> None:
    plan = plan_of(
        gaps={"contributions": "none", "proxies": False},
        errors={"slices": False},
        thresholds={"sweep": False},
        alternatives={"search": False},
    )
    results = Audit(model, people, people["good"], plan=plan, now=clock).run(progress=False)
    made = results.analyses
    assert (made.contributions, made.proxies, made.error_slices) == ((), None, None)
    assert (made.thresholds, made.alternatives, made.profiles) == (None, None, ())
    for id in ("errors", "thresholds", "alternatives"):
        (said,) = section(results.evidence, id).blocks
        assert isinstance(said, Note)
        assert said.text.startswith("Not assessed")
    parts = [p.part for p in results.evidence.provenance if p.part.startswith("analyses.")]
    assert parts == ["analyses.flips"]


def test_an_audit_needs_groups(model: Any, people: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"data\.sensitive is empty; expected at least one"):
        Audit(model, people, people["good"], plan=plan_of(data={"target": "good"}))


def test_training_rows_beside_the_data(model: Any, people: pd.DataFrame, clock: Clock) -> None:
    plan = plan_of(alternatives={"methods": ["reweighing"], "by": "sex"}, errors={"slices": False})
    train, audited = people.iloc[:250], people.iloc[250:]
    audit = Audit(
        model,
        audited,
        audited["good"],
        plan=plan,
        train=(train[["income", "debt"]], train["good"], train[["sex", "race"]]),
        now=clock,
    )
    record = audit.run(progress=False).analyses.mitigation
    assert record is not None
    assert (record.n_train, record.n_holdout, record.groups) == (250, 250, ("female", "male"))
    again = Audit(model, people, people["good"], plan=plan, train=(train, train["good"]), now=clock)
    noted = again.run(progress=False).analyses.mitigation
    assert noted is not None
    assert "250 of the 500 audited rows have the same inputs as a training row" in noted.notes[0]


LL144 = {"id": "nyc-ll144", "by": {"sex": "sex", "race": "race_ethnicity"}, "measure": "scoring"}


def test_the_median_rule_of_local_law_144(model: Any, people: pd.DataFrame, clock: Clock) -> None:
    results = Audit(model, people, people["good"], plan=plan_of(profiles=[LL144]), now=clock).run(
        progress=False
    )
    (record,) = results.analyses.profiles
    assert [t.attribute for t in record.tables.tables] == [
        "sex",
        "race_ethnicity",
        "sex × race_ethnicity",
    ]
    above = results.inputs.y_score > np.median(results.inputs.y_score)
    rates = pd.Series(above).groupby(people["sex"].to_numpy()).mean()
    assert record.tables.table("sex").row("female").rate == pytest.approx(rates["female"])
    assert record.expires == "2027-03-02"
    assert any("until 2027-03-02" in text for text in record.statements)
    assert section(results.evidence, "profiles").blocks


def test_a_profile_of_ones_own_that_was_superseded(
    model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    own = (files("hitl_audit.profiles") / "us-disparate-impact.toml").read_text()
    own = own.replace('id = "us-disparate-impact"', 'id = "house-rules"', 1).replace(
        'status = "in force"', 'status = "superseded"\nsuperseded_by = "house rules 2"'
    )
    (tmp_path / "house.toml").write_text(own)
    plan = plan_of(profiles=[{"id": "house.toml", "segments": "race", "by": {"sex": "sex"}}])
    results = Audit(model, people, people["good"], plan=plan, folder=tmp_path, now=clock).run(
        progress=False
    )
    (record,) = results.analyses.profiles
    assert "superseded by house rules 2" in record.tables.warning
    made_by = {p.part: p.function for p in results.evidence.provenance}
    assert made_by["analyses.profiles.house.toml"].endswith("disparate_impact_tables")
    table = next(
        b
        for b in section(results.evidence, "profiles").blocks
        if isinstance(b, Table) and b.caption.startswith("Selection rate by sex")
    )
    assert "Odds ratio within segments" in table.columns


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "methods without training rows": (
        {"alternatives": {"methods": ["reweighing"]}},
        "alternatives.methods need the rows the model was fitted on: give data.train",
    ),
    "unknown condition": (
        {"gaps": {"conditional_on": "incme"}},
        r'gaps.conditional_on is "incme"; accepted: an input .*did you mean "income"',
    ),
    "unknown segments": (
        {"profiles": [{"id": "us-disparate-impact", "segments": "town"}]},
        r'profiles\[0\].segments is "town"',
    ),
    "which attribute is sex": (
        {"profiles": [{"id": "nyc-ll144", "by": {"race": "race_ethnicity"}}]},
        r"profiles\[0\] \(nyc-ll144\) needs to know which attribute is sex",
    ),
    "unknown basis": (
        {"profiles": [{"id": "us-credit-reg-b", "by": {"sex": "gender"}}]},
        r'by.sex is "gender"; accepted: race, color',
    ),
    "unknown blank": (
        {"profiles": [{"id": "us-credit-reg-b", "facts": {"auditor": "me"}}]},
        r'facts has "auditor"; accepted: proxy_statement, basis_source',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_before_any_work(
    name: str, model: Any, people: pd.DataFrame
) -> None:
    sections, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        Audit(model, people, people["good"], plan=plan_of(**sections))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((pd.DataFrame({"income": [1.0]}), [1]), "the training rows lack debt"),
        (([1],), r"expected \(X_train, y_train\)"),
    ],
)
def test_training_rows_that_do_not_fit(
    train: Any, message: str, model: Any, people: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match=message):
        Audit(model, people, people["good"], plan=plan_of(), train=train)


def test_training_rows_need_both_outcomes_and_a_model_that_fits(
    model: Any, people: pd.DataFrame
) -> None:
    one = people[people["good"] == 1]
    with pytest.raises(InputError, match="the outcome of the training rows is"):
        Audit(model, people, people["good"], plan=plan_of(), train=(one, one["good"]))
    with pytest.raises(InputError, match=r"250 rows, 3 outcomes"):
        Audit(model, people, people["good"], plan=plan_of(), train=(people.iloc[:250], [0, 1, 0]))
    plan = plan_of(alternatives={"methods": ["reweighing"]})
    with pytest.raises(InputError, match="it is a function without fit"):
        Audit(
            lambda rows: model.predict_proba(rows[["income", "debt"]])[:, 1],
            people,
            people["good"],
            plan=plan_of(data={**plan.data.model_dump(exclude_defaults=True), "features": ["income", "debt"]}, alternatives={"methods": ["reweighing"]}),
            train=(people, people["good"]),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"alternatives": {"by": "rce"}}, r'alternatives.by names "rce"; accepted: sex, race'),
        ({"profiles": [{"id": "x", "by": {"sx": "sex"}}]}, r'profiles\[0\].by names "sx"'),
        ({"profiles": [{"id": "x"}, {"id": "x"}]}, "profiles names the same id twice"),
        ({"alternatives": {"methods": ["reweigh"]}}, 'did you mean "reweighing"'),
        ({"gaps": {"contributions": "scores"}}, 'did you mean "score"'),
        ({"errors": {"max_literals": 4}}, "errors.max_literals is 4; expected less than or equal"),
    ],
)
def test_bad_sections_of_the_plan(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(**sections)


def test_an_unknown_profile_is_named(model: Any, people: pd.DataFrame) -> None:
    with pytest.raises(PlanError, match='profile is "nyc-ll44"; accepted: eu-ai-act, nyc-ll144'):
        Audit(model, people, people["good"], plan=plan_of(profiles=[{"id": "nyc-ll44"}]))


def test_the_plan_knows_every_method_and_measure() -> None:
    schema = AlternativesSection.model_json_schema()["properties"]
    assert set(schema["methods"]["items"]["enum"]) == set(mitigation.METHODS)
    assert set(schema["constraint"]["enum"]) == set(mitigation.CONSTRAINTS)
    assert set(schema["measure"]["enum"]) == set(MEASURES) - {"accuracy"}


# --- the choice of an alternative ---


def test_a_choice_is_recorded_shown_and_tied_to_its_results(
    model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "a"
    audit = Audit(model, people, people["good"], plan=plan_of(), folder=folder, now=clock)
    audit.run(progress=False)
    with pytest.raises(InputError, match='id is "A999"; accepted: A1'):
        audit.choose_alternative("A999", rationale="because", chosen_by="Ada")
    run = CliRunner().invoke(
        main, ["choose", str(folder), "A7", "--by", "Ada", "--why", "fewer refusals", "--json"]
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.output)["point"]["id"] == "A7"
    evidence = read_evidence(audit.report().evidence)
    assert evidence.chosen is not None
    assert (evidence.chosen.chosen_by, evidence.chosen.point.id) == ("Ada", "A7")
    assert "fewer refusals" in repr(section(evidence, "alternatives"))
    assert "Nobody has recorded a choice" in repr(
        section(replace(evidence, chosen=None), "alternatives")
    )
    # Other results: the recorded choice is of something else now.
    path = folder / "alternative.json"
    path.write_text(path.read_text().replace('"accuracy":0.', '"accuracy":0.1'))
    with pytest.raises(InputError, match="choose again, or remove the file"):
        audit.report()
    path.write_text("{}")
    with pytest.raises(InputError, match=r"alternative\.json cannot be used: chosen"):
        audit.report()


def test_nothing_to_choose_from(
    model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    plan = plan_of(alternatives={"search": False})
    audit = Audit(model, people, people["good"], plan=plan, folder=tmp_path / "b", now=clock)
    audit.run(progress=False)
    with pytest.raises(InputError, match="no alternatives were searched"):
        audit.choose_alternative("A1", rationale="because", chosen_by="Ada")
