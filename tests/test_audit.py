"""The facade as a notebook uses it."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pikepdf
import pytest
from sklearn.linear_model import LogisticRegression

from hitl_audit.audit import Audit
from hitl_audit.documents import report_of
from hitl_audit.errors import AuditError, InputError, PlanError, ReportError, SigningError
from hitl_audit.evidence import read_evidence
from hitl_audit.plan import AuditPlan
from hitl_audit.signing.keys import generate_key
from hitl_audit.verification import verify

Clock = Callable[[], datetime]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    income = rng.normal(50, 15, 400)
    return pd.DataFrame(
        {
            "income": income,
            "debt": rng.normal(20, 8, 400),
            "sex": rng.choice(["female", "male"], 400),
            "good": (income + rng.normal(0, 15, 400) > 50).astype(int),
        }
    )


@pytest.fixture(scope="module")
def model(people: pd.DataFrame) -> Any:
    return LogisticRegression().fit(people[["income", "debt"]], people["good"])


PLAN = {
    "audit": {"title": "Small audit", "favorable_label": "grant", "unfavorable_label": "refuse"},
    "data": {"target": "good", "sensitive": ["sex"], "labels": {"income": "Income ($1000s)"}},
    "criteria": [{"metric": "selection_rate", "by": "sex", "at_least": 0.5}],
    "explain": {"lime_samples": 200, "background": 20},
    "review": {"cases": 12},
}


@pytest.fixture
def audit(model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock) -> Audit:
    plan = AuditPlan.from_dict(PLAN)
    return Audit(model, people, people["good"], plan=plan, folder=tmp_path / "a", now=clock)


def test_three_lines_without_a_plan(
    model: Any, people: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    audit = Audit(model, people, people["good"], sensitive=["sex"])
    results = audit.run(progress=False)
    report = audit.report()
    assert results.findings == ()
    assert results.explanation is not None
    assert list(results.inputs.X.columns) == ["income", "debt"]
    assert report.pdf.startswith(b"%PDF-1.7")
    assert list(tmp_path.iterdir()) == []  # nothing is written unless asked for
    assert repr(report).startswith("<AuditReport Model audit, HA-")
    assert repr(report).endswith("Compliance officer open>")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sensitive": 5}, "sensitive is a int; expected names of columns"),
        ({"y": None}, r"y has shape \(\); expected one value per row"),
        ({"y": np.zeros((400, 2))}, r"y has shape \(400, 2\)"),
        ({"ids": 5}, "ids is a int; expected one value per row"),
        ({"plan": {}}, "plan is a dict; expected an AuditPlan"),
    ],
)
def test_the_wrong_kind_of_argument_is_named(
    model: Any, people: pd.DataFrame, change: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"y": people["good"], "sensitive": ["sex"]} | change
    with pytest.raises(AuditError, match=words):
        Audit(model, people, given.pop("y"), **given)


def test_a_run_registers_the_plan_first_and_keeps_everything(audit: Audit, tmp_path: Path) -> None:
    results = audit.run(progress=False)
    folder = tmp_path / "a"
    assert {p.name for p in folder.iterdir()} == {"audit.toml", "plan.lock.json", "results"}
    evidence = read_evidence((folder / "results" / "evidence.json").read_bytes())
    assert evidence.plan.registered_at < evidence.started < evidence.created
    assert evidence == results.evidence
    assert results.frame()["status"].tolist() == ["met"]


def test_a_changed_plan_is_refused_after_results(
    audit: Audit, model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    audit.run(progress=False)
    changed = AuditPlan.from_dict(PLAN | {"seed": 5})
    again = Audit(model, people, people["good"], plan=changed, folder=tmp_path / "a", now=clock)
    with pytest.raises(PlanError, match="the plan changed after results exist"):
        again.run(progress=False)
    with pytest.raises(PlanError, match="differs from the plan"):
        again.run(progress=False, reregister="the seed was wrong")
    (tmp_path / "a" / "audit.toml").write_bytes(changed.source)
    results = again.run(progress=False, reregister="the seed was wrong")
    assert results.evidence.plan.changed_after_results
    text = str(again.report().document)
    assert "The plan was changed after results were already known" in text
    assert "the seed was wrong" in text


def test_judgments_reach_the_document(audit: Audit, tmp_path: Path) -> None:
    assert "not assessed: no judgments recorded" in audit.results.evidence.oversight.words
    session = audit.session(reviewer="Ada Expert")
    for _ in range(len(audit.results.sample.cases)):
        assert session.case()[0][0] == "Income ($1000s)"
        session.submit("favorable")
        shown = session.revealed()
        place = audit.inputs.case_ids.index(session.position().case_id or "")
        assert shown.probability == audit.inputs.y_score[place]
        total = (shown.base or 0.0) + sum(value for _, _, value in shown.contributions)
        assert total == pytest.approx(shown.probability, abs=1e-6)
        session.submit("agree")
    evidence = read_evidence(audit.report().evidence)
    assert evidence.oversight.judged == 12
    assert evidence.oversight.agreement.value == 1.0
    assert evidence.ledger is not None
    # The reviewer joined, and took a seat on every case.
    assert evidence.ledger.size == 1 + 12 + 24
    assert audit.report().document.banner == ""


WORDS = "her income #is seasonal <b>, see letter 77"


@pytest.mark.parametrize("allowed", [(), ("reviewer_names",), ("free_text",), ("rows",)])
def test_only_what_the_plan_allows_is_said_about_people(
    allowed: tuple[str, ...], model: Any, people: pd.DataFrame, tmp_path: Path, clock: Clock
) -> None:
    terms = {"minimum_group": 1, **dict.fromkeys(allowed, True)}
    plan = AuditPlan.from_dict(PLAN | {"publication": terms})
    audit = Audit(model, people, people["good"], plan=plan, folder=tmp_path / "a", now=clock)
    session = audit.session(reviewer="Ada Expert")
    session.submit("favorable")
    session.revealed()
    case = session.position().case_id or ""
    code = next(iter(plan.review.reasons))
    session.submit("disagree", reasons=[code], rationale=WORDS)
    report = audit.report()
    said = read_evidence(report.evidence).review.disclosed
    text = str(report.document)
    html = report.html.decode()
    assert bool(said.names) == ("reviewer_names" in allowed)
    assert ("Reviewer 1 (Ada Expert)" in text) == ("reviewer_names" in allowed)
    assert ("Ada Expert" in html) == ("reviewer_names" in allowed)
    assert [w.words for w in said.words] == [WORDS] * ("free_text" in allowed)
    assert (WORDS in text) == ("free_text" in allowed)
    assert "is seasonal <b>" not in html
    assert [c.case_id for c in said.cases] == [case] * ("rows" in allowed)
    assert ("reviewer 1: disagree" in text) == ("rows" in allowed)
    assert ("No row, no name and no free text" in text) == (not allowed)
    assert ("The plan allows this document" in text) == bool(allowed)


def test_simulated_judgments_are_said_on_every_page(audit: Audit) -> None:
    audit.run(progress=False)
    # Two programs answer twice on each of 12 cases; a third decides where they differ.
    assert audit.simulate_reviewers() == 48 + 5
    report = audit.report()
    assert report.document.banner == "SIMULATED JUDGMENTS"
    import subprocess

    for page in range(1, pages_of(report.pdf) + 1):
        words = subprocess.run(
            ["pdftotext", "-f", str(page), "-l", str(page), "-", "-"],
            input=report.pdf,
            capture_output=True,
            check=True,
        ).stdout.decode()
        assert "SIMULATED JUDGMENTS" in words
    assert b"SIMULATED JUDGMENTS" in report.html


def pages_of(pdf: bytes) -> int:
    from io import BytesIO

    with pikepdf.open(BytesIO(pdf)) as document:
        return len(document.pages)


def test_the_same_evidence_gives_the_same_bytes(audit: Audit, tmp_path: Path, clock: Clock) -> None:
    audit.run(progress=False)
    now = clock()
    first = report_of(tmp_path / "a", now=now)
    assert first == report_of(tmp_path / "a", now=now)


def test_roles_sign_in_order_and_signatures_are_not_lost(
    audit: Audit, tmp_path: Path, clock: Clock
) -> None:
    report = audit.report()
    key = generate_key("Dora Data", now=clock)
    with pytest.raises(
        SigningError, match=r'role is "data scienctist"; accepted: .*; did you mean'
    ):
        report.sign(key, role="data scienctist")
    with pytest.raises(SigningError):
        report.sign(key, role="compliance officer", signed_at=clock())
    signed = report.sign(key, role="data scientist", signed_at=clock())
    path = signed.save(tmp_path / "a")
    assert [f.signed for f in signed.signatures] == [True, False, False]
    with pytest.raises(
        ReportError, match=r"is signed \(.*ata scientist\); a new report would lose"
    ):
        report.save(tmp_path / "a")
    assert path.read_bytes() == signed.pdf
    expert = generate_key("Ada Expert", now=clock)
    both = signed.sign(expert, role="domain expert", signed_at=clock())
    both.save(tmp_path / "a")  # continues the signed one, so nothing is lost
    result = verify(tmp_path / "a", trust=[key.fingerprint, expert.fingerprint], now=clock)
    assert result.exit_code == 3  # the officer has not signed yet
    assert result.trusted
    assert result.headline.startswith("INCOMPLETE: valid, but not signed yet by Compliance officer")
    assert [s.name for s in result.signatures] == ["Dora Data", "Ada Expert"]
    report.save(tmp_path / "a", replace=True)
    draft = verify(tmp_path / "a", now=clock)
    assert (draft.exit_code, draft.signatures) == (3, ())


def test_a_plan_and_its_folder_are_opened_from_files(
    mortgage_folder: Path, tmp_path: Path, clock: Clock
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mortgage_folder, copy)
    audit = Audit.open(copy, now=clock)
    assert len(audit.inputs) == 1326
    assert audit.inputs.model.digest_of == "the file's bytes"
    (copy / "audit.toml").write_bytes((copy / "audit.toml").read_bytes() + b"\n# later\n")
    with pytest.raises(PlanError, match="is not the plan that the results were made under"):
        report_of(copy, now=clock())


def test_more_rows_than_are_explained(clock: Clock) -> None:
    """Review cases are explained whether or not they are among the rows drawn for the overview."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"a": rng.normal(size=3000), "b": rng.normal(size=3000), "g": rng.choice(["x", "y"], 3000)}
    )
    outcome = (frame["a"] + rng.normal(size=3000) > 0).astype(int)
    fitted = LogisticRegression().fit(frame[["a", "b"]], outcome)
    plan = AuditPlan.from_dict(
        {
            "audit": {"title": "Many"},
            "data": {"sensitive": ["g"]},
            "explain": {"lime_samples": 200, "background": 10},
            "review": {"cases": 20},
        }
    )
    results = Audit(fitted, frame, outcome, plan=plan, now=clock).run(progress=False)
    assert results.explanation is not None
    assert results.case_explanation is not None
    assert results.lime is not None
    assert len(results.explanation.values) < 3000
    assert tuple(results.case_explanation.index) == results.sample.case_ids
    assert set(results.lime.index) <= set(results.explanation.index)
    assert results.quality is not None
    assert tuple(results.quality.rows.index) == results.sample.case_ids
    assert results.quality.rows["sign_agreement"].notna().all()


def test_kept_results_are_read_again_for_the_review(
    mortgage_folder: Path, tmp_path: Path, clock: Clock
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mortgage_folder, copy)
    before = (copy / "results" / "evidence.json").read_bytes()
    session = Audit.open(copy, now=clock).session(reviewer="Ada Expert")
    session.case()
    session.submit("favorable")
    shown = session.revealed()
    assert (shown.base or 0.0) + sum(c for _, _, c in shown.contributions) == pytest.approx(
        shown.probability, abs=1e-6
    )
    assert shown.reason
    assert (copy / "results" / "evidence.json").read_bytes() == before


def test_other_data_in_the_same_folder_are_said(
    model: Any, people: pd.DataFrame, audit: Audit, tmp_path: Path, clock: Clock
) -> None:
    audit.run(progress=False)
    fewer = people.head(300)
    plan = AuditPlan.from_dict(PLAN)
    again = Audit(model, fewer, fewer["good"], plan=plan, folder=tmp_path / "a", now=clock)
    notes = " ".join(again.run(progress=False).evidence.data.notes)
    assert "was on other data (400 rows; these are 300)" in notes


def test_nobody_attests_judgments_that_were_not_made(audit: Audit) -> None:
    audit.run(progress=False)
    assert "No judgments were recorded." in str(audit.report().document)
    audit.simulate_reviewers(n_reviewers=1)
    text = str(audit.report().document)
    assert "Its judgments are simulated; none of them is mine." in text
    assert "I attest" not in text


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "no plan, no groups": (
        lambda m, f: Audit(m, f, f["good"]),
        PlanError,
        "neither plan nor sensitive",
    ),
    "no such plan": (
        lambda m, f: Audit(m, f, f["good"], plan="no.toml"),
        PlanError,
        r'plan is "no.toml"',
    ),
    "labels without plan": (
        lambda m, f: Audit(m, f, f["good"].map({0: "n", 1: "y"}), sensitive=["sex"]),
        PlanError,
        "which value is favorable",
    ),
    "other groups than the plan": (
        lambda m, f: Audit(m, f, f["good"], sensitive=["income"], plan=AuditPlan.from_dict(PLAN)),
        PlanError,
        "expected the same attributes",
    ),
    "no such group": (
        lambda m, f: Audit(m, f, f["good"], sensitive=["sx"]),
        InputError,
        'did you mean "sex"',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_audits_are_named(name: str, model: Any, people: pd.DataFrame) -> None:
    make, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        make(model, people)
