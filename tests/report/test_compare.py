"""Two audits side by side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.changes import change_of, mover
from hitl_audit.compare import change_words, compare_audits
from hitl_audit.evidence import Evidence, read_evidence
from hitl_audit.findings import Status
from hitl_audit.intervals import Count, newcombe, wilson
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Note, Table

SHARES = st.tuples(st.integers(0, 200), st.integers(1, 200)).filter(lambda c: c[0] <= c[1])


def _estimate(count: Count) -> tuple[float, float, float]:
    low, high = wilson(count) or (0.0, 1.0)
    return count.successes / count.total, low, high


@given(SHARES, SHARES)
def test_of_two_shares_it_is_newcombes_interval(a: tuple[int, int], b: tuple[int, int]) -> None:
    before, after = Count(*a), Count(*b)
    _, low, high = mover(_estimate(before), _estimate(after))
    assert (low, high) == pytest.approx(newcombe(after, before), abs=1e-12)


@pytest.mark.parametrize(
    ("better", "before", "after", "direction"),
    [
        ("more", (0.5, 0.48, 0.52), (0.7, 0.68, 0.72), "better"),
        ("more", (0.7, 0.68, 0.72), (0.5, 0.48, 0.52), "worse"),
        ("less", (0.5, 0.48, 0.52), (0.7, 0.68, 0.72), "worse"),
        ("smaller", (-0.3, -0.32, -0.28), (0.1, 0.08, 0.12), "better"),
        ("smaller", (0.1, 0.08, 0.12), (-0.3, -0.32, -0.28), "worse"),
        ("none", (0.5, 0.48, 0.52), (0.7, 0.68, 0.72), "no clear change"),
        ("more", (0.5, 0.3, 0.7), (0.6, 0.4, 0.8), "no clear change"),
        ("more", (None, None, None), (0.6, 0.4, 0.8), "not comparable"),
        ("more", (0.5, None, None), (0.6, 0.4, 0.8), "no clear change"),
        ("more", (0.5, 0.1, float("inf")), (0.6, 0.4, 0.8), "no clear change"),
    ],
)
def test_a_direction_needs_the_whole_interval(
    better: Any, before: Any, after: Any, direction: str
) -> None:
    made = change_of("m", "value", ("a", "g", ""), (*before, 9), (*after, 9), better=better)
    assert made.direction == direction


@pytest.fixture(scope="module")
def evidence(audited: Any) -> Evidence:
    found: Evidence = audited.results.evidence
    return found


def test_an_audit_is_no_worse_than_itself(evidence: Evidence) -> None:
    found = compare_audits(evidence, evidence)
    assert not found.worse
    assert found.same_data
    assert found.same_model
    assert found.same_plan
    assert all(c.change in (0, None) for c in (*found.rates, *found.performance))
    assert {c.direction for c in found.rates} <= {"no clear change", "not comparable"}
    assert "No promise is worse off." in change_words(found)
    assert "Both audits use the same rows." in change_words(found)


def _worse_status(evidence: Evidence) -> Evidence:
    first = replace(evidence.findings[0], status=Status.NOT_MET)
    return replace(evidence, findings=(first, *evidence.findings[1:]))


def _dropped(evidence: Evidence) -> Evidence:
    return replace(evidence, findings=evidence.findings[1:])


def _weaker(evidence: Evidence) -> Evidence:
    first = evidence.findings[0]
    lower = replace(first.criterion, at_least=Fraction(1, 4))
    return replace(evidence, findings=(replace(first, criterion=lower), *evidence.findings[1:]))


def _moved(evidence: Evidence) -> Evidence:
    finding = evidence.findings[3]
    verdict = finding.verdicts[0]
    low = replace(verdict.comparison, value=0.62, low=0.6, high=0.64)
    changed = replace(finding, verdicts=(replace(verdict, comparison=low),))
    return replace(evidence, findings=(*evidence.findings[:3], changed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_worse_status, "Selection rate by sex: met → not met."),
        (_dropped, "promised before (met), and no longer promised."),
        (_weaker, "the promise is weaker than before"),
        (_moved, "clearly further from the promise: all"),
    ],
)
def test_what_is_worse_is_said(evidence: Evidence, change: Any, words: str) -> None:
    found = compare_audits(evidence, change(evidence))
    assert found.worse
    assert any(words in c.words for c in found.criteria if c.worse)
    assert "At least one promise is worse off." in change_words(found)


def test_a_new_promise_is_not_worse(evidence: Evidence) -> None:
    found = compare_audits(_dropped(evidence), evidence)
    assert not found.worse
    assert any("promised for the first time" in c.words for c in found.criteria)


def test_the_document_says_what_moved(evidence: Evidence) -> None:
    later = _moved(evidence)
    with_change = replace(later, since=compare_audits(evidence, later))
    report = compose(with_change, generated="2026-03-02T09:00:00.000000Z")
    (section,) = [s for s in report.sections if s.title == "Since the last audit"]
    (note,) = [b for b in section.blocks if isinstance(b, Note)]
    assert note.tone == "warning"
    tables = [b for b in section.blocks if isinstance(b, Table)]
    assert [t.caption.split(" (")[0] for t in tables][1:3] == [
        "What the promises are about, before and now",
        "Performance, before and now",
    ]
    (row,) = [r for r in tables[1].rows if r[0] == "accuracy"]
    assert row[5] == "62.0%"
    assert row[8] == "worse"
    assert any(n.sources[0].startswith("since.criteria") for n in report.numbers)
    again = compose(evidence, generated="2026-03-02T09:00:00.000000Z")
    assert "Since the last audit" not in [s.title for s in again.sections]


def test_the_evidence_keeps_the_comparison(evidence: Evidence) -> None:
    compared = replace(evidence, since=compare_audits(evidence, _moved(evidence)))
    assert read_evidence(compared.to_bytes()) == compared
