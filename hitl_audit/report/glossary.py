"""Terms in plain words, and the source of every method: what the last pages of the document say.

Both are data: a term or method is listed when the document uses it, and a test
holds the document against these lists, so that none can be used unexplained.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from hitl_audit.evidence import Evidence
from hitl_audit.report.document import Paragraph, Section, Table

__all__ = ["Method", "Term", "glossary", "glossary_section", "methods_of", "sources_of", "terms_in"]


@dataclass(frozen=True)
class Term:
    """A term, the pattern of its use, and what it means."""

    term: str
    used: str
    meaning: str


@dataclass(frozen=True)
class Method:
    """A method, the pattern of its use, and where it is described."""

    method: str
    used: str
    cited: str


@lru_cache
def glossary() -> tuple[tuple[Term, ...], tuple[Method, ...]]:
    """All terms and methods, in the order of the file ``assets/terms.toml``."""
    file = files("hitl_audit") / "report" / "assets" / "terms.toml"
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    terms = tuple(Term(**one) for one in read["terms"])
    return terms, tuple(Method(**one) for one in read["methods"])


def terms_in(texts: Iterable[str]) -> tuple[Term, ...]:
    """The terms that are used in some texts, by name."""
    whole = "\n".join(texts).lower()
    used = (one for one in glossary()[0] if re.search(one.used, whole))
    return tuple(sorted(used, key=lambda one: one.term.lower()))


def methods_of(evidence: Evidence) -> tuple[str, ...]:
    """The names of all methods, tests and functions that the evidence says were used."""

    def names(value: Any, field: str = "") -> Iterator[str]:
        if isinstance(value, str):
            if field in ("method", "test", "interval_method", "function", "measure") and value:
                yield value
        elif isinstance(value, tuple):
            for one in value:
                yield from names(one, field)
        elif is_dataclass(value) and not isinstance(value, type):
            for one in fields(value):
                yield from names(getattr(value, one.name), one.name)

    return tuple(sorted(set(names(evidence))))


def sources_of(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The methods behind these names, each with its citation."""
    whole = "\n".join(names).lower()
    return tuple((m.method, m.cited) for m in glossary()[1] if re.search(m.used, whole))


def glossary_section(evidence: Evidence, texts: Iterable[str]) -> Section:
    """Terms and methods that the document uses.

    Args:
        evidence: names the methods.
        texts: everything the document says.
    """
    said = list(texts)
    return Section(
        "glossary",
        "Terms, methods and sources",
        (
            Paragraph("What the words mean here, and where the methods are described."),
            Table(
                "Terms",
                ("Term", "Meaning"),
                tuple((one.term, one.meaning) for one in terms_in(said)),
                ("left", "left"),
            ),
            Table(
                "Methods",
                ("Method", "Described in"),
                sources_of([*methods_of(evidence), *said]),
                ("left", "left"),
            ),
        ),
    )
