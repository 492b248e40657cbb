"""What the document model and the page look like, kept as files.

After a change that is meant: ``RENEW_SNAPSHOTS=1 pytest tests/report/test_snapshots.py``,
and read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hitl_audit.report.document import (
    Block,
    Facts,
    Figure,
    Heading,
    Note,
    Opinion,
    OpinionRow,
    Paragraph,
    Points,
    Report,
    Section,
    SignatureField,
    Table,
)
from hitl_audit.report.html import render_html

HERE = Path(__file__).with_name("snapshots")
# Sections that other parts of the toolkit write have tests of their own.
ELSEWHERE = frozenset({"oversight", "overrides", "what-if", "verify"})


def _same_as_kept(name: str, text: str) -> None:
    file = HERE / name
    if os.environ.get("RENEW_SNAPSHOTS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def _shape(block: Block) -> Iterator[str]:
    """A block without its numbers: what kind it is and what its fixed words are."""
    kind = type(block).__name__
    match block:
        case Table():
            yield f"{kind}: {_words(block.caption)}"
            yield f"  {' | '.join(map(_words, block.columns))}"
        case Figure(chart, table):
            yield f"{kind} ({chart.kind}): {_words(chart.value_label)}"
            yield from (f"  {line}" for line in _shape(table))
        case Heading(text) | Note(text):
            yield f"{kind}: {_words(text)}"
        case Facts(pairs):
            yield f"{kind}: {', '.join(_words(label) for label, _ in pairs)}"
        case Opinion(rows):
            yield f"{kind}: {', '.join(_words(row.criterion) for row in rows)}"
        case SignatureField():
            yield f"{kind}: {block.role}"
        case _:
            yield kind


def _words(text: str) -> str:
    return re.sub(r"[−-]?\d[\d,.]*%?", "#", text)


def test_the_shape_of_the_document(audited: Any) -> None:
    report = audited.report.document
    lines = ["Summary", *(f"  {line}" for b in report.summary for line in _shape(b))]
    for section in report.sections:
        if section.id not in ELSEWHERE:
            lines.append(section.title)
            lines += [f"  {line}" for block in section.blocks for line in _shape(block)]
    _same_as_kept("document.txt", "\n".join(lines) + "\n")


def test_the_page() -> None:
    rows = (("white", "811", "met"), ("<b>black</b>", "97", "insufficient data"))
    table = Table("A table", ("Group", "n", "Decision"), rows, ("left", "right", "left"), 2)
    opinion = OpinionRow("Ratio", "≥ 0.8", "0.84", "0.81 to 0.88", "not met", "In words.")
    report = Report(
        "A title & more",
        "Subtitle",
        "HA-1",
        "today",
        (
            Facts((("Digest", "sha256:1"), ("Who", "Ada")), frozenset({"Digest"})),
            Opinion((opinion,)),
            Points(("first", "second"), numbered=True),
        ),
        (
            Section("one", "One", (Paragraph("Lines\nof text"), Heading("Below"), table)),
            Section("two", "Two", (Note("Mind this.", "warning"), SignatureField("a", "Role", "I do.", locks=True))),
        ),
        banner="BANNER",
    )  # fmt: skip
    page = re.sub(r"<style>.*?</style>", "<style>…</style>", render_html(report), flags=re.DOTALL)
    _same_as_kept("page.html", page)
