"""All profiles in one document, and the views for one reader."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from hitl_audit.audit import Audit
from hitl_audit.documents import _cell, view_of
from hitl_audit.errors import InputError, ReportError
from hitl_audit.plan import AuditPlan
from hitl_audit.profiles.loader import list_profiles, load_profile
from hitl_audit.profiles.words import listed_words, profile_words
from hitl_audit.publication import publish
from hitl_audit.report.compose import compose, document_id
from hitl_audit.report.document import Note, Report, Section, Table, texts_of
from hitl_audit.report.model_card import escaped, model_card
from hitl_audit.report.pdf import render_pdf
from hitl_audit.report.views import public_summary, summary

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
MADE = "2026-03-04T09:00:00.000000Z"
OLD = """
format = "hitl-audit/profile/v1"
id = "house-rule"
title = "Rule of the house of 2019"
jurisdiction = "House"
as_of = 2026-01-31
status = "superseded"
status_note = "Kept for audits of that time."
superseded_by = "the rule of 2025"
summary = "Rates by group."
[[sources]]
citation = "Handbook, page 3"
[computation]
tables = "us-disparate-impact"
attributes = ["sex"]
[[rules]]
id = "rate"
text = "Selected divided by all."
"""


@pytest.fixture(scope="module")
def five(audited: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Evidence of an audit with every profile and one of the user's own, and training rows."""
    people = audited.people
    folder = tmp_path_factory.mktemp("five")
    (folder / "old.toml").write_text(OLD)
    model = LogisticRegression().fit(people[["income", "debt"]][::2], people["good"][::2])
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "Five profiles"},
            "data": {
                "target": "good",
                "sensitive": ["sex", "region"],
                "features": ["income", "debt"],
            },
            "explain": {
                "methods": ["shap"],
                "background": 20,
                "stability": False,
                "faithfulness": False,
            },
            "errors": {"slices": False},
            "profiles": [
                {"id": "eu-ai-act", "facts": {"fria_people": "Applicants of the region."}},
                {"id": "nyc-ll144", "by": {"sex": "sex", "region": "race_ethnicity"}},
                {"id": "us-credit-reg-b", "by": {"sex": "sex"}},
                {"id": "us-disparate-impact"},
                {"id": "us-mrm"},
                {"id": "old.toml"},
            ],
        }
    )
    at = [NOW]

    def clock() -> datetime:
        at[0] += timedelta(seconds=1)
        return at[0]

    audit = Audit(
        model,
        people[1::2],
        people["good"][1::2],
        plan=plan,
        folder=folder,
        now=clock,
        train=(people[::2].assign(income=people["income"][::2] + 6), people["good"][::2]),
    )
    return audit.run(progress=False).evidence


def _section(report: Report) -> Section:
    (found,) = [s for s in report.sections if s.id == "profiles"]
    return found


def test_all_profiles_in_one_document(five: Any) -> None:
    report = compose(publish(five), generated=MADE)
    said = "\n".join(texts_of(_section(report).blocks))
    for name in list_profiles():
        profile = load_profile(name)
        assert profile.title in said
        for statement in profile.statements:
            fixed = re.split(r"\{\w+\}", statement.text)[0].strip()
            assert fixed[:40] in said, statement.id
        for rule in profile.rules:
            assert rule.text in said
        for requirement in profile.requirements:
            assert requirement.text in said


def test_blanks_stay_visible_and_what_people_filled_in_is_there(five: Any) -> None:
    said = "\n".join(texts_of(_section(compose(five, generated=MADE)).blocks))
    assert "Applicants of the region." in said
    assert "[to be filled in by the deployer: which harms they may suffer]" in said
    assert "[to be filled in by the validator: names, functions and reporting lines]" in said
    blanks = {b.id for p in map(load_profile, list_profiles()) for b in p.blanks}
    # Optional reasons are blank only where they are needed.
    assert said.count("[to be filled in by") >= len(blanks) - 4


def test_the_ai_act_has_its_tables_from_the_numbers_of_this_audit(five: Any) -> None:
    blocks = _section(compose(five, generated=MADE)).blocks
    tables = {b.caption.split(" (")[0]: b for b in blocks if isinstance(b, Table)}
    accuracy = tables["Level of accuracy, overall and for groups of people"]
    assert len(accuracy.rows) == 3 * len(five.performance.groups)
    score = five.performance.overall.score("accuracy")
    assert accuracy.rows[0][:4] == (
        "All cases",
        "accuracy",
        f"{score.n:,}",
        f"{score.value * 100:.1f}%",
    )
    tested = tables["Tests against thresholds that were defined before"]
    assert tested.rows == ()  # this plan promises nothing, and the table says so
    seen = tables["What people did with the model's output in this audit"]
    assert (seen.rows, seen.empty) == ((), "Not assessed: nobody has judged a case yet.")


def test_a_superseded_profile_runs_and_warns(five: Any) -> None:
    notes = [b for b in _section(compose(five, generated=MADE)).blocks if isinstance(b, Note)]
    warned = [n.text for n in notes if n.tone == "warning"]
    assert any(
        "Rule of the house of 2019: superseded by the rule of 2025 (as of 2026-01-31)" in text
        for text in warned
    )
    assert any("2 December 2027" in text for text in warned)
    (record,) = [p for p in five.analyses.profiles if p.tables.profile == "house-rule"]
    assert record.tables.tables


def test_requirements_point_to_sections_that_exist(five: Any) -> None:
    report = compose(five, generated=MADE)
    titles = {s.title for s in report.sections}
    for name in list_profiles():
        for requirement in load_profile(name).requirements:
            place = requirement.answered_in
            assert place.startswith("Not in this document") or any(
                title.startswith(place) for title in titles
            ), place


def test_bands_and_stability_are_those_of_the_scores(five: Any, audited: Any) -> None:
    (record,) = [p for p in five.analyses.profiles if p.tables.profile == "us-mrm"]
    assert sum(b.n for b in record.bands) == five.data.rows
    assert record.stability is not None
    # The training incomes were raised: the scores have moved.
    assert record.stability.low > record.stability.expected_by_chance
    tables = [b for b in _section(compose(five, generated=MADE)).blocks if isinstance(b, Table)]
    (bands,) = [t for t in tables if t.caption.startswith("Calibration by score band")]
    assert [row[1] for row in bands.rows] == [f"{b.n:,}" for b in record.bands]
    marked = [bool(row[5]) for row in bands.rows]
    assert marked == [b.outside for b in record.bands]


def test_without_training_rows_the_profile_says_so(audited: Any) -> None:
    people = audited.people
    plan = AuditPlan.from_dict(
        {
            "data": {"target": "good", "sensitive": ["sex"], "features": ["income", "debt"]},
            "explain": {
                "methods": ["shap"],
                "background": 20,
                "stability": False,
                "faithfulness": False,
            },
            "profiles": [{"id": "us-mrm"}],
        }
        | {"audit": {"title": "No training rows"}}
    )
    audit = Audit(audited.audit.inputs.predictor.model, people, people["good"], plan=plan)
    (record,) = audit.run(progress=False).evidence.analyses.profiles
    assert record.stability is None
    assert "how far the scores moved since training is not known" in record.tables.notes[0]


def test_profiles_are_listed_and_explained() -> None:
    profiles = [load_profile(name) for name in list_profiles()]
    listed = listed_words(profiles)
    assert all(p.id in listed and p.as_of.isoformat() in listed for p in profiles)
    assert max(map(len, listed.splitlines())) <= 92
    for profile in profiles:
        said = " ".join(profile_words(profile).split())
        assert all(" ".join(b.label.split()) in said for b in profile.blanks)
        assert all(r.answered_in in said for r in profile.requirements)
        assert (profile.status_note in said) == bool(profile.status_note) or not profile.status_note


# Views


def _pages(report: Report, folder: Path) -> list[str]:
    file = folder / "view.pdf"
    file.write_bytes(render_pdf(report, timestamp=NOW).pdf)
    text = subprocess.run(
        ["pdftotext", "-layout", file, "-"], check=True, capture_output=True, text=True
    )
    return text.stdout.split("\f")[:-1]


def test_the_summary_has_two_pages(audited: Any, mortgage_folder: Path, tmp_path: Path) -> None:
    from hitl_audit.evidence import read_evidence

    mortgage = read_evidence((mortgage_folder / "results" / "evidence.json").read_bytes())
    for evidence in (audited.results.evidence, mortgage):
        pages = _pages(summary(publish(evidence), generated=MADE), tmp_path)
        assert len(pages) == 2
        assert "What was promised, and found" in pages[0]
        assert "Findings, owners and due dates" in pages[1]
        # The id and digest printed are those of the full document's evidence.
        assert document_id(publish(evidence)) in pages[1]
        assert f"{document_id(publish(evidence))}-S" in pages[0]


def test_the_public_summary_holds_what_the_rule_asks_for(five: Any, tmp_path: Path) -> None:
    report = public_summary(publish(five), generated=MADE)
    said = "\n".join(texts_of(report.summary))
    for words in ("Date of the audit", "Of unknown category", "Source of the data", "impact ratio"):
        assert words.lower() in said.lower()
    tables = [b for b in report.summary if isinstance(b, Table)]
    assert len(tables) == 3
    assert "the independent auditor: name and firm" in said
    assert all(n.sources for n in report.numbers)
    assert len(_pages(report, tmp_path)) >= 1


def test_no_public_summary_without_its_profile(mortgage_folder: Path) -> None:
    with pytest.raises(ReportError, match='"nyc-ll144", and the plan names us-credit-reg-b'):
        view_of(mortgage_folder, "public", now=NOW)


def test_a_view_is_one_of_those() -> None:
    with pytest.raises(InputError, match=r'view is "sumary"; accepted: full, summary, .*did you'):
        view_of("nowhere", "sumary", now=NOW)


def test_the_model_card_has_the_metadata_that_hubs_read(audited: Any) -> None:
    evidence = publish(audited.results.evidence)
    card = model_card(evidence, generated=MADE)
    _, header, body = card.split("---\n", 2)
    read = yaml.safe_load(header)
    (entry,) = read["model-index"]
    metrics = {m["type"]: m["value"] for m in entry["results"][0]["metrics"]}
    assert metrics["accuracy"] == evidence.performance.overall.score("accuracy").value
    assert read["pipeline_tag"] == "tabular-classification"
    for title in ("Model details", "Intended use", "Out of scope", "Performance", "Fairness"):
        assert f"## {title}" in body
    assert "islands" not in body
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert all(line.count(" | ") >= 2 for line in tables)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>", "&lt;script&gt;"),
        ("a | b", r"a \| b"),
        ("1. first", r"1\. first"),
        ("88.2%", "88.2%"),
        ("- point", r"\- point"),
        ("[x](http://y)", r"\[x\]\(http://y\)"),
        ("a\nb", "a b"),
        ("AT&T", "AT&amp;T"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_views_of_a_folder_are_written_as_files(mortgage_folder: Path) -> None:
    files = view_of(mortgage_folder, "summary", now=NOW)
    assert set(files) == {"summary.pdf", "summary.html"}
    assert files["summary.pdf"].startswith(b"%PDF")
    assert set(view_of(mortgage_folder, "model-card", now=NOW)) == {"model-card.md"}


def test_reasons_of_every_unfavorable_decision(mortgage_folder: Path) -> None:
    data = view_of(mortgage_folder, "reasons", now=NOW)["reasons.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(data)))
    denied = {r["case"] for r in rows}
    evidence = json.loads((mortgage_folder / "results" / "evidence.json").read_bytes())
    matrix = evidence["performance"]["groups"][0]["confusion"]
    assert len(denied) <= matrix["true_negatives"] + matrix["false_negatives"]
    assert len(denied) > 60
    assert all(re.fullmatch(r"C\d+", case) for case in denied)
    assert max(int(r["rank"]) for r in rows) <= 4
    assert any(r["feature"] == "Appraised value ($1000s)" for r in rows)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert _cell(text) == "'" + text
    assert _cell("plain = text") == "plain = text"
