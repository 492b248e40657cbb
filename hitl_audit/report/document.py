"""The document as data: sections of blocks that know no format and no audit.

``compose`` makes a :class:`Report` from results; ``pdf`` and ``html`` render
it. All texts are plain strings, never markup: a renderer escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from hitl_audit.charts import Chart

__all__ = [
    "Align",
    "Block",
    "Facts",
    "Figure",
    "Heading",
    "Note",
    "Number",
    "Opinion",
    "OpinionRow",
    "Paragraph",
    "Points",
    "Report",
    "Said",
    "Section",
    "SignatureField",
    "Table",
    "texts_of",
]

Align = Literal["left", "right", "center"]
Tone = Literal["met", "not met", "insufficient data", "not assessed", "neutral"]


@dataclass(frozen=True)
class Number:
    """One number of the document, and where it comes from.

    Attributes:
        id: ``T12.3.5.1``: table 12, row 3, column 5, first number there (row 0
            is the header, column 0 the caption); ``F3.1.2.1``: figure 3, series
            1, point 2 (1 value, 2 low, 3 high), its caption is ``F3.0.0``;
            ``O2.3.1``: row 2 of the criteria on page one, column 3;
            ``S4.7.2``: section 4 (0 is page one), text 7, second number.
        text: as it is written.
        start: its place in the text, or −1 for a point of a figure.
        sources: its places in the evidence, ``"fairness.rates[3].value"``.
    """

    id: str
    text: str
    start: int
    sources: tuple[str, ...]


class Said(str):
    """A text of the document that knows its numbers."""

    __slots__ = ("numbers",)

    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, one level below the section's."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list of short items; ``numbered`` for steps or rankings."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Facts:
    """Pairs of a label and a value, for example what was audited.

    ``code`` marks the labels whose value is shown in a fixed-width font (a
    digest, a path).
    """

    pairs: tuple[tuple[str, str], ...]
    code: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Note:
    """A statement that must not be overlooked (a limit, a warning)."""

    text: str
    tone: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Table:
    """A table with a header row; ``caption`` says what it shows.

    ``align`` has one entry per column. ``tone_column`` is the index of a
    column that holds a status and is drawn as a labelled mark (never by
    colour alone), or ``None``.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...]
    tone_column: int | None = None
    empty: str = "Nothing to show."


@dataclass(frozen=True)
class Figure:
    """A chart with its data table (folded away on screens, printed small)."""

    chart: Chart
    table: Table


@dataclass(frozen=True)
class OpinionRow:
    """One criterion on page one."""

    criterion: str
    threshold: str
    value: str
    interval: str
    status: Tone
    words: str


@dataclass(frozen=True)
class Opinion:
    """The table of criteria and decisions on page one."""

    rows: tuple[OpinionRow, ...]
    empty: str = "The plan names no criteria, so nothing was decided."


@dataclass(frozen=True)
class SignatureField:
    """A place for one role's signature.

    Attributes:
        name: the field's name in the PDF (letters, digits, ``-``).
        role: who signs, in words.
        statement: what this role states by signing.
        locks: the last signature, after which nothing may change.
    """

    name: str
    role: str
    statement: str
    locks: bool = False


Block = Paragraph | Heading | Points | Facts | Note | Table | Figure | Opinion | SignatureField


@dataclass(frozen=True)
class Section:
    """One numbered section. ``id`` is stable and used for links."""

    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """One document.

    Attributes:
        title, subtitle: as on the cover line of page one.
        document_id: short id printed in every running head.
        generated: when the document was made, UTC text for people.
        language: BCP 47 code.
        summary: the blocks of page one (must fit one A4 page).
        sections: everything after page one, in order.
        banner: a text that every page must carry (for example ``SIMULATED
            JUDGMENTS``), or ``""``.
        keywords: for the file's metadata.
        numbers: every number that comes from the evidence, in order.
    """

    title: str
    subtitle: str
    document_id: str
    generated: str
    summary: tuple[Block, ...]
    sections: tuple[Section, ...]
    banner: str = ""
    language: str = "en"
    keywords: tuple[str, ...] = field(default=())
    numbers: tuple[Number, ...] = field(default=(), repr=False)


def texts_of(blocks: Iterable[Block]) -> Iterator[str]:
    """Everything that some blocks say, in order."""
    for block in blocks:
        yield from _texts(block)


def _texts(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text) | Heading(text) | Note(text):
            yield text
        case Points(items):
            yield from items
        case Facts(pairs):
            for pair in pairs:
                yield from pair
        case Table():
            yield block.caption
            yield from block.columns
            for row in block.rows:
                yield from row
        case Figure(chart, table):
            yield from (chart.message, chart.value_label, chart.x_label)
            yield from _texts(table)
        case Opinion(rows):
            for one in rows:
                yield from (one.criterion, one.threshold, one.value, one.interval, one.words)
        case SignatureField():
            yield from (block.role, block.statement)
