"""Names and texts that try to be markup, code or a formula are shown as text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from hitl_audit.audit import Audit
from hitl_audit.plan import AuditPlan
from hitl_audit.publication import publish
from hitl_audit.report.model_card import model_card

SCRIPT = "<img src=x onerror=alert(1)>"
TYPST = '#set page(fill: red) #panic("x") *b* $y$'
FORMULA = '=HYPERLINK("http://evil.invalid","x")'
JINJA = "{{7*7}} {% raw %} `code` \\u0041"
ARABIC, CHINESE = "مرحبا", "漢字"


@pytest.fixture(scope="module")
def hostile() -> Any:
    rng = np.random.default_rng(2)
    n = 300
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=[SCRIPT, TYPST, FORMULA, JINJA])
    y = (X[SCRIPT] + rng.normal(size=n) > 0).astype(int)
    groups = rng.choice([f"</script>{SCRIPT}", TYPST, FORMULA, ARABIC, CHINESE], n)
    plan = AuditPlan.from_dict(
        {
            "audit": {
                "title": f"</title>{SCRIPT}",
                "purpose": TYPST,
                "owner": FORMULA,
                "favorable_label": "<b>yes</b>",
                "unfavorable_label": "#no",
                "not_covered": [SCRIPT, JINJA],
            },
            "data": {"target": "y", "sensitive": ["who"], "description": f"-->{SCRIPT}"},
            "criteria": [
                {"metric": "selection_rate", "by": "who", "at_least": 0.8, "reason": TYPST}
            ],
            "explain": {
                "methods": ["shap"],
                "background": 20,
                "stability": False,
                "faithfulness": False,
            },
            "roles": [{"role": f"role {SCRIPT}", "signs": "approved"}],
        }
    )
    at = [datetime(2026, 3, 2, tzinfo=UTC)]

    def clock() -> datetime:
        at[0] += timedelta(seconds=1)
        return at[0]

    audit = Audit(
        LogisticRegression().fit(X, y),
        X,
        y,
        sensitive=pd.DataFrame({"who": groups}),
        plan=plan,
        now=clock,
    )
    results = audit.run(progress=False)
    return results.evidence, audit.report()


def test_the_pdf_shows_them_as_text(hostile: Any, tmp_path: Path) -> None:
    _, report = hostile
    file = tmp_path / "hostile.pdf"
    file.write_bytes(report.pdf)
    text = subprocess.run(
        ["pdftotext", "-raw", file, "-"], check=True, capture_output=True, text=True
    ).stdout
    squeezed = re.sub(r"\s", "", text)
    for name in (SCRIPT, TYPST, FORMULA, JINJA):
        assert re.sub(r"\s", "", name) in squeezed
    assert "⟨U+6F22⟩" in text  # no typeface has it, and nothing is dropped
    unpacked = tmp_path / "unpacked.pdf"
    subprocess.run(["qpdf", "--qdf", "--object-streams=disable", file, unpacked], check=True)
    raw = unpacked.read_bytes()
    assert b"/JavaScript" not in raw
    assert b"/Launch" not in raw
    assert b"/URI" not in raw


def test_the_page_shows_them_as_text(hostile: Any) -> None:
    _, report = hostile
    page = report.html.decode()
    assert "<img" not in page
    assert "onerror=" in page  # as text
    # The two scripts of the page, the data of its charts, and no other.
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts.count("<script>") == 2
    assert set(scripts) == {"<script>", '<script type="application/json">'}
    assert page.partition("<style>")[0].count("</title>") == 1
    assert "&lt;b&gt;yes&lt;/b&gt;" in page
    assert "{{7*7}}" in page


def test_the_model_card_shows_them_as_text(hostile: Any) -> None:
    evidence, _ = hostile
    card = model_card(publish(evidence), generated="2026-03-02T00:00:00.000000Z")
    _, header, body = card.split("---\n", 2)
    assert "<" not in body
    assert "`" not in body.replace("\\`", "")
    assert header.count("\n") == 5
    rows = [line for line in body.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert widths <= {4, 5, 6, 8}


def test_the_same_report_in_another_process(hostile: Any, tmp_path: Path) -> None:
    _, report = hostile
    for name, data in (("e", report.evidence), ("p", report.plan), ("l", report.lock)):
        (tmp_path / name).write_bytes(data)
    code = (
        "from datetime import datetime, UTC; from pathlib import Path;"
        "from hitl_audit.canonical import digest_bytes;"
        "from hitl_audit.evidence import read_evidence;"
        "from hitl_audit.plan import AuditPlan, parse_lock;"
        "from hitl_audit.report.rendered import render;"
        "e, p, l = (Path(n).read_bytes() for n in 'epl');"
        "r = render(read_evidence(e), plan=AuditPlan.from_toml(p), lock=parse_lock(l),"
        " now=datetime(2026, 3, 3, tzinfo=UTC));"
        "print(*map(digest_bytes, (r.pdf, r.html, r.evidence, r.numbers, r.manifest)))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "LANG": lang},
        ).stdout
        for seed, lang in (("1", "C"), ("2", "de_DE.UTF-8"))
    ]
    assert said[0] == said[1]
    assert said[0].count("sha256:") == 5


def test_outside_tools_read_the_attachments(hostile: Any, tmp_path: Path) -> None:
    _, report = hostile
    file = tmp_path / "report.pdf"
    file.write_bytes(report.pdf)
    subprocess.run(["qpdf", "--check", file], check=True, capture_output=True)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["pdfdetach", "-saveall", "-o", out, file], check=True, capture_output=True)
    found = {p.name: p.read_bytes() for p in out.iterdir()}
    assert found == {
        "audit.toml": report.plan,
        "evidence.json": report.evidence,
        "manifest.json": report.manifest,
        "numbers.json": report.numbers,
        "plan.lock.json": report.lock,
    }
