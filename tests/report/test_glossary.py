"""No term without its meaning, no method without its source."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hitl_audit.evidence import read_evidence
from hitl_audit.report.compose import compose
from hitl_audit.report.document import Report, Table, texts_of
from hitl_audit.report.glossary import glossary, methods_of, sources_of, terms_in

NOW = "2026-03-02T09:00:00.000000Z"
# Words of statistics and of this field that no reader needs to know by heart.
JARGON = [
    "accuracy",
    "attribution",
    "bootstrap",
    "brier",
    "calibrat",
    "confidence",
    "digest",
    "explanation",
    "four-fifths",
    "interval",
    "lime",
    "merkle",
    "odds",
    "precision",
    "proxy",
    "quantile",
    "recall",
    "reference",
    "roc",
    "seed",
    "shap",
    "slice",
    "strat",
    "threshold",
    "true",
    "positive",
    "false",
    "positive",
    "p",
    "value",
    "selection",
    "rate",
]


def _texts(report: Report) -> list[str]:
    blocks = (*report.summary, *(b for s in report.sections for b in s.blocks))
    return list(texts_of(blocks))


@pytest.fixture(scope="module")
def mortgage(mortgage_folder: Any) -> Report:
    data = (mortgage_folder / "results" / "evidence.json").read_bytes()
    return compose(read_evidence(data), generated=NOW)


def _listed(report: Report) -> tuple[dict[str, str], dict[str, str]]:
    (section,) = [s for s in report.sections if s.id == "glossary"]
    terms, methods = [b for b in section.blocks if isinstance(b, Table)]
    return dict(terms.rows), dict(methods.rows)  # type: ignore[arg-type]


def test_entries_are_sound() -> None:
    terms, methods = glossary()
    assert len({t.term for t in terms}) == len(terms)
    assert len({m.method for m in methods}) == len(methods)
    for one in terms:
        assert one.meaning.endswith((".", "?"))
        assert len(one.meaning) < 190
        assert re.compile(one.used)
    for method in methods:
        # Author, year, and where it stands.
        assert re.search(r"[A-Z]\w+.* (1[89]|20)\d\d", method.cited), method
        assert re.compile(method.used)


def test_every_term_of_the_document_is_explained(mortgage: Report) -> None:
    terms, _ = _listed(mortgage)
    said = " ".join(_texts(mortgage)).lower()
    explained = " ".join((*terms, *terms.values())).lower()
    used = [word for word in JARGON if word in said]
    assert len(used) >= 18
    assert [word for word in used if word not in explained] == []


def test_every_method_of_the_evidence_is_cited(mortgage_folder: Any) -> None:
    evidence = read_evidence((mortgage_folder / "results" / "evidence.json").read_bytes())
    names = [n for n in methods_of(evidence) if not n.startswith("hitl_audit.")]
    statistical = [n for n in names if re.search("[A-Z]|bootstrap|permutation", n)]
    assert len(statistical) >= 10
    assert [name for name in statistical if not sources_of([name])] == []


def test_a_report_lists_what_it_uses_and_no_more(audited: Any, mortgage: Report) -> None:
    terms, methods = _listed(mortgage)
    assert "LIME" in terms
    assert "Wilson interval of a share" in methods
    assert "Threshold optimizer" in methods
    few, _ = _listed(audited.report.document)
    assert "Horvitz" not in " ".join(methods)
    assert set(few) <= {t.term for t in glossary()[0]}
    assert terms_in(["nothing here"]) == ()
