"""Sixty groups, two hundred features and long names in several scripts stay readable."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hitl_audit.publication import publish
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Figure, Report
from hitl_audit.report.html import render_html
from hitl_audit.report.pdf import RenderedPdf, render_pdf

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
FEATURES = tuple(
    (f"feature_{i:03d}_with_a_long_name_of_forty_chars", f"Feature {i:03d} whose words go on")
    for i in range(200)
)
GROUPS = (
    *(f"Group {i:02d} of a rather long category name" for i in range(57)),
    "مرحبا بالعالم",
    "שלום עולם",
    "漢字の例",
)


@pytest.fixture(scope="module")
def large(audited: Any) -> Report:
    """The small audit's evidence with its tables blown up."""
    e = audited.results.evidence
    one = e.explanations[0].importance[0]
    importance = tuple(
        replace(
            one, feature=a, label=b, mean_abs=0.2 / (i + 1), low=0.1 / (i + 1), high=0.3 / (i + 1)
        )
        for i, (a, b) in enumerate(FEATURES)
    )
    rates = [r for r in e.fairness.rates if (r.attribute, r.group) == ("region", "south")]
    verdict = e.findings[0].verdicts[0]
    verdicts = tuple(
        replace(verdict, comparison=replace(verdict.comparison, group=g)) for g in GROUPS
    )
    blown_up = replace(
        e,
        data=replace(e.data, features=FEATURES),
        explanations=(replace(e.explanations[0], importance=importance), *e.explanations[1:]),
        fairness=replace(
            e.fairness,
            rates=(
                *(r for r in e.fairness.rates if r.attribute != "region"),
                *(replace(r, group=g) for g in GROUPS for r in rates),
            ),
        ),
        findings=(replace(e.findings[0], verdicts=verdicts), *e.findings[1:]),
    )
    return compose(publish(blown_up), generated="2026-03-04T09:00:00.000000Z")


@pytest.fixture(scope="module")
def rendered(large: Report) -> RenderedPdf:
    return render_pdf(large, timestamp=NOW)


def test_every_group_and_feature_is_in_the_document(rendered: RenderedPdf, tmp_path: Path) -> None:
    file = tmp_path / "large.pdf"
    file.write_bytes(rendered.pdf)
    text = subprocess.run(
        ["pdftotext", "-raw", file, "-"], check=True, capture_output=True, text=True
    ).stdout
    squeezed = re.sub(r"\s", "", text)
    for name in (*GROUPS[:57], *(words for _, words in FEATURES)):
        assert re.sub(r"\s", "", name) in squeezed
    assert "⟨U+6F22⟩" in squeezed
    assert rendered.pages < 60


def test_no_word_leaves_the_page(rendered: RenderedPdf, tmp_path: Path) -> None:
    file = tmp_path / "large.pdf"
    file.write_bytes(rendered.pdf)
    found = subprocess.run(
        ["pdftotext", "-bbox", file, "-"], check=True, capture_output=True, text=True
    ).stdout
    words = re.findall(r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)"', found)
    margin = 22 / 25.4 * 72
    assert len(words) > 5000
    assert min(float(left) for left, _ in words) > margin - 2
    assert max(float(right) for _, right in words) < 595.28 - margin + 2


def test_charts_stay_within_a_page_and_say_what_they_leave_out(large: Report) -> None:
    figures = [b for s in large.sections for b in s.blocks if isinstance(b, Figure)]
    crowded = [f for f in figures if "of 60 groups" in f.chart.message]
    assert crowded
    for figure in crowded:
        assert len(figure.chart.series[0].x) <= 30
        assert len(figure.table.rows) >= 60
    (features,) = [
        f for f in figures if "of 200 features" in f.chart.message and "SHAP" in f.chart.message
    ]
    assert "the 50 strongest of 200" in features.table.caption


def test_the_page_holds_them_all(large: Report) -> None:
    page = render_html(large)
    assert all(group in page for group in GROUPS)
    assert len(page) < 4_000_000
