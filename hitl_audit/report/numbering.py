"""Every number of a document gets an id, and its sources a place in a list."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

from hitl_audit.canonical import canonical_bytes
from hitl_audit.charts import Chart, Series
from hitl_audit.report.document import (
    Block,
    Facts,
    Figure,
    Heading,
    Note,
    Number,
    Opinion,
    OpinionRow,
    Paragraph,
    Points,
    Report,
    Said,
    Section,
    SignatureField,
    Table,
)
from hitl_audit.report.tracing import Marks

__all__ = ["NumberList", "numbered"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class NumberList:
    """``numbers.json``: which number of the document comes from where in the evidence.

    Attributes:
        document_id: of the document.
        evidence_digest: of the evidence that the sources are places in.
        numbers: ``(id, text, sources)``.
    """

    document_id: str
    evidence_digest: str
    numbers: tuple[tuple[str, str, tuple[str, ...]], ...]
    format: Literal["hitl-audit/numbers/v1"] = "hitl-audit/numbers/v1"

    @classmethod
    def of(cls, report: Report, evidence_digest: str) -> NumberList:
        """The list of a report."""
        listed = tuple((n.id, n.text, n.sources) for n in report.numbers)
        return cls(report.document_id, evidence_digest, listed)

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_bytes(self)


class _Numbering:
    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.found: list[Number] = []
        self.tables, self.figures = itertools.count(1), itertools.count(1)
        self.section = 0
        self.texts: Iterator[int] = itertools.count(1)

    def say(self, text: str, place: str) -> str:
        """The text without marks; its numbers are listed under the place."""
        plain, found = self.marks.read(text)
        if not found:
            return plain
        said = Said(plain)
        said.numbers = tuple(
            Number(f"{place}.{i}", plain[start:end], start, sources)
            for i, (start, end, sources) in enumerate(found, start=1)
        )
        self.found += said.numbers
        return said

    def tell(self, text: str) -> str:
        """The next text of the section."""
        return self.say(text, f"S{self.section}.{next(self.texts)}")

    def unmarked(self, value: _T) -> _T:
        """The same value without marks and without sources: what is not numbered."""
        made: Any = value
        if isinstance(value, str):
            made = self.marks.read(value)[0]
        elif isinstance(value, bool):
            pass
        elif isinstance(value, float):
            made = float(value)
        elif isinstance(value, int):
            made = int(value)
        elif isinstance(value, tuple | frozenset):
            made = type(value)(self.unmarked(v) for v in value)
        elif is_dataclass(value) and not isinstance(value, type):
            made = replace(
                value, **{f.name: self.unmarked(getattr(value, f.name)) for f in fields(value)}
            )
        return made  # type: ignore[no-any-return]

    def table(self, table: Table) -> Table:
        place = f"T{next(self.tables)}"
        return replace(
            self.unmarked(replace(table, rows=())),
            caption=self.say(table.caption, f"{place}.0.0"),
            columns=tuple(
                self.say(c, f"{place}.0.{i}") for i, c in enumerate(table.columns, start=1)
            ),
            rows=tuple(
                tuple(self.say(cell, f"{place}.{y}.{x}") for x, cell in enumerate(row, start=1))
                for y, row in enumerate(table.rows, start=1)
            ),
        )

    def chart(self, chart: Chart) -> Chart:
        place = f"F{next(self.figures)}"
        message = self.say(chart.message, f"{place}.0.0")
        for i, series in enumerate(chart.series, start=1):
            self.points(series, f"{place}.{i}")
        return replace(self.unmarked(chart), message=message)

    def points(self, series: Series, place: str) -> None:
        for i in range(len(series.x)):
            drawn = (series.y, series.low, series.high)
            for part, values in enumerate(drawn, start=1):
                value = values[i] if values else None
                sources = getattr(value, "paths", ())
                if value is not None and sources:
                    plain = repr(float(value))
                    self.found.append(Number(f"{place}.{i + 1}.{part}", plain, -1, sources))

    def block(self, block: Block) -> Block:
        match block:
            case Paragraph(text):
                return Paragraph(self.tell(text))
            case Heading(text):
                return Heading(self.tell(text))
            case Note(text, tone):
                return Note(self.tell(text), tone)
            case Points(items, listed):
                return Points(tuple(self.tell(item) for item in items), listed)
            case Facts(pairs, code):
                labels = [self.marks.read(label)[0] for label, _ in pairs]
                values = [self.tell(value) for _, value in pairs]
                return Facts(tuple(zip(labels, values, strict=True)), self.unmarked(code))
            case Table():
                return self.table(block)
            case Figure(chart, table):
                return Figure(self.chart(chart), self.table(table))
            case Opinion(rows):
                return replace(
                    block, rows=tuple(self.opinion(row, i) for i, row in enumerate(rows, start=1))
                )
            case SignatureField():
                return self.unmarked(block)

    def opinion(self, row: OpinionRow, number: int) -> OpinionRow:
        named = ("criterion", "threshold", "value", "interval", "words")
        said = {n: self.say(getattr(row, n), f"O{number}.{i + 1}") for i, n in enumerate(named)}
        return replace(row, **said)  # type: ignore[arg-type]

    def blocks(self, section: int, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        self.section, self.texts = section, itertools.count(1)
        return tuple(self.block(block) for block in blocks)


def numbered(report: Report, marks: Marks) -> Report:
    """The report without marks; its texts know their numbers, and ``numbers`` lists them.

    Args:
        report: composed from traced evidence.
        marks: of that evidence.
    """
    at = _Numbering(marks)
    summary = at.blocks(0, report.summary)
    sections = tuple(
        Section(s.id, at.unmarked(s.title), at.blocks(i, s.blocks))
        for i, s in enumerate(report.sections, start=1)
    )
    return replace(
        at.unmarked(replace(report, summary=(), sections=())),
        summary=summary,
        sections=sections,
        numbers=tuple(at.found),
    )
