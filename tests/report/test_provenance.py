"""Every number of a document leads to the value it was written from."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from hitl_audit.errors import InputError
from hitl_audit.provenance import explain_number, value_at
from hitl_audit.publication import publish
from hitl_audit.report.compose import _composed, compose, document_id
from hitl_audit.report.document import Facts, Figure, Opinion, Report, Said, Section, Table
from hitl_audit.report.html import render_html
from hitl_audit.report.numbering import numbered
from hitl_audit.report.tracing import Marks, traced

NUMBER = re.compile(r"[−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


def _evidence(audited: Any) -> Any:
    return json.loads(audited.report.evidence)


def test_the_document_is_the_one_that_untraced_evidence_gives(audited: Any) -> None:
    evidence = publish(audited.results.evidence)
    made = audited.report.document
    plain = _composed(evidence, document_id(evidence), "2026-03-02T09:00:00.000000Z")
    assert made.summary == plain.summary
    assert [s.title for s in made.sections] == [s.title for s in plain.sections]
    for a, b in zip(made.sections, plain.sections, strict=True):
        assert a == b
    assert made.numbers
    assert plain.numbers == ()


def _printed_from(text: str, value: float) -> bool:
    """Whether a number was written from a value: as it is, as a percentage, or rounded."""
    if text == "< 0.001":
        return value < 0.001
    if text == "∞":
        return value == float("inf")
    match = NUMBER.search(text)
    if match is None:
        return False
    shown = float(match[0].replace(",", "").replace("−", "-"))
    decimals = len(match[0].partition("e")[0].partition(".")[2])
    unit = 10.0**-decimals * (10.0 ** int(match[0].partition("e")[2] or 0))
    for scale in (1.0, 100.0, 1 / 1000):
        if abs(abs(shown) - abs(value * scale)) <= 0.5001 * unit + 1e-12 * abs(shown):
            return True
    significant = f"{abs(value):.3g}"  # charts write three digits
    return float(significant) == abs(shown) or float(f"{100 * abs(value):.3g}") == abs(shown)


def test_every_number_is_the_value_at_its_place(audited: Any) -> None:
    tree, checked = _evidence(audited), 0
    for number in audited.report.document.numbers:
        values = [value_at(tree, path) for path in number.sources]
        value = values[0]
        if len(values) == 1 and isinstance(value, int | float):
            assert _printed_from(number.text, value), (number, value)
            checked += 1
        elif len(values) == 1 and isinstance(value, str):
            # A sentence of the evidence (it carries its numbers), or an exact threshold.
            if re.fullmatch(r"\d+(/\d+)?", value):
                top, _, bottom = value.partition("/")
                assert _printed_from(number.text, int(top) / int(bottom or 1))
            else:
                assert number.text.strip("%") in value
    assert checked > 1500


def test_a_share_written_from_counts_is_their_ratio(audited: Any) -> None:
    tree, checked = _evidence(audited), 0
    for number in audited.report.document.numbers:
        if len(number.sources) == 2 and number.sources[0].endswith("count.successes"):
            successes, total = (value_at(tree, path) for path in number.sources)
            assert _printed_from(number.text, successes / total)
            checked += 1
    assert checked >= 4


def _texts(report: Report) -> list[tuple[str, str]]:
    found = []
    for block in (*report.summary, *(b for s in report.sections for b in s.blocks)):
        table = block.table if isinstance(block, Figure) else block
        if isinstance(table, Table):
            for row in table.rows:
                found += [
                    (table.columns[i], cell)
                    for i, cell in enumerate(row)
                    if table.align[i] == "right"
                ]
        elif isinstance(table, Opinion):
            found += [(n, getattr(r, n)) for r in table.rows for n in ("value", "interval")]
    return found


def test_no_number_of_a_table_is_without_an_id(audited: Any) -> None:
    texts = _texts(audited.report.document)
    without = []
    for column, text in texts:
        spans = [(n.start, n.start + len(n.text)) for n in getattr(text, "numbers", ())]
        without += [
            (column, text)
            for match in NUMBER.finditer(text.removesuffix(" (below 0.8)"))
            if not any(a <= match.start() < b for a, b in spans)
        ]
    assert len(texts) > 800
    assert without == []


def test_ids_are_unique_and_name_the_place(audited: Any) -> None:
    report = audited.report.document
    ids = [n.id for n in report.numbers]
    assert len(ids) == len(set(ids))
    tables = [
        b.table if isinstance(b, Figure) else b
        for s in report.sections
        for b in s.blocks
        if isinstance(b, Figure | Table)
    ]
    for number in report.numbers:
        kind, place = number.id[0], [int(p) for p in number.id[1:].split(".")]
        if kind == "T" and place[1] > 0:
            text = tables[place[0] - 1].rows[place[1] - 1][place[2] - 1]
            assert text[number.start : number.start + len(number.text)] == number.text


def test_explaining_names_function_parameters_data_and_seed(audited: Any) -> None:
    report = audited.report
    (found,) = explain_number(report.numbers, report.evidence, "O1.3.1")
    assert found.text == report.document.summary[2].rows[0].value
    (origin,) = found.origins
    assert origin.function == "hitl_audit.findings.evaluate"
    assert origin.data_digest == audited.results.inputs.data_digest
    assert dict(origin.beside)["attribute"] == "sex"
    assert origin.value == pytest.approx(
        audited.results.findings[0].verdicts[0].comparison.value, rel=0
    )
    whole = explain_number(report.numbers, report.evidence, "o1")
    assert {n.id.split(".")[0] for n in whole} == {"O1"}
    assert len(whole) > 3


def test_every_place_has_a_source(audited: Any) -> None:
    report = audited.report
    functions: dict[str, str] = {}
    for head in sorted({n.id.split(".")[0] for n in report.document.numbers}):
        for one in explain_number(report.numbers, report.evidence, head):
            assert one.origins
            for origin in one.origins:
                functions.setdefault(origin.function, one.id)
    known = set(functions)
    assert {
        "hitl_audit.measure_performance",
        "hitl_audit.group_metrics",
        "hitl_audit.explain",
        "hitl_audit.sweep_thresholds",
        "hitl_audit.frontier",
        "hitl_audit.fairness.profile_tables.ll144_tables",
        "hitl_audit.fairness.profile_tables.disparate_impact_tables",
        "hitl_audit.quality",
        "the registered plan",
    } <= known
    # The seeds and parameters in the list of sources are the evidence's own.
    assert {f for f in known if f.startswith("the evidence itself")} <= {
        "the evidence itself (provenance)"
    }


def test_a_number_is_found_as_it_is_printed(audited: Any) -> None:
    report = audited.report
    value = report.document.summary[2].rows[3].value
    found = explain_number(report.numbers, report.evidence, value)
    assert "O4.3.1" in [n.id for n in found]
    assert all(n.text == value for n in found)


@pytest.mark.parametrize(
    ("numbers", "evidence", "id", "words"),
    [
        (None, None, "T999", 'the document has no number "T999"; expected an id such as'),
        (None, None, "77.77%", 'the document has no number "77.77%"'),
        (b"{}", None, "T1", "numbers.json cannot be read"),
        (b'{"format": "other"}', None, "T1", 'numbers.json has format "other"'),
        (None, b"[]", "T1", "evidence.json cannot be read"),
        (None, b'{"format": "hitl-audit/evidence/v1"}', "O1.3.1", "do not belong together"),
    ],
)
def test_what_cannot_be_explained_is_said(
    audited: Any, numbers: bytes | None, evidence: bytes | None, id: str, words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        explain_number(
            audited.report.numbers if numbers is None else numbers,
            audited.report.evidence if evidence is None else evidence,
            id,
        )


def test_marks_in_the_data_are_no_marks(audited: Any) -> None:
    from dataclasses import replace

    evidence = audited.results.evidence
    hostile = "\ufdd0\ufdd4\ufdd19\ufdd2"
    evil = replace(evidence, audit=replace(evidence.audit, purpose=hostile))
    report = compose(evil, generated="2026-03-02T09:00:00.000000Z")
    facts = next(b for b in report.summary if isinstance(b, Facts))
    purpose = dict(facts.pairs)["Purpose"]
    assert purpose == "�" * 3 + "9" + "�"
    assert not isinstance(purpose, Said)


def test_arithmetic_keeps_the_sources() -> None:
    marks = Marks()
    value, n = traced(0.25, marks, "a.value"), traced(4, marks, "a.n")
    report = Report("t", "", "id", "now", (), (), "", "en")
    section = Section("s", "S", (Facts((("x", f"{1 - value:.1%} {abs(-value) * n:.2f} {n:,}"),)),))
    made = numbered(Report("t", "", "id", "now", section.blocks, ()), marks)
    assert [(x.text, x.sources) for x in made.numbers] == [
        ("75.0%", ("a.value",)),
        ("1.00", ("a.value", "a.n")),
        ("4", ("a.n",)),
    ]
    assert numbered(report, marks).numbers == ()


def test_numbers_carry_their_ids_in_the_page(audited: Any) -> None:
    page = render_html(audited.report.document)
    listed = [n for n in audited.report.document.numbers if n.start >= 0]
    shown = re.findall(r'<data value="([^"]+)" title="[^"]+">([^<]+)</data>', page)
    assert {i for i, _ in shown} == {n.id for n in listed}
    assert len(shown) == len(listed)
