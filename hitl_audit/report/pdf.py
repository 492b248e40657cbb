"""The document as a PDF: PDF/A-3a and PDF/UA-1 in one file, set by typst."""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import pikepdf
import typst

from hitl_audit.errors import ReportError
from hitl_audit.report.charts import to_svg
from hitl_audit.report.document import (
    Block,
    Facts,
    Figure,
    Heading,
    Note,
    Opinion,
    Paragraph,
    Points,
    Report,
    SignatureField,
    Table,
)
from hitl_audit.report.typefaces import Typefaces
from hitl_audit.signing.pdf import FieldBox, add_signature_fields

__all__ = ["Attachment", "RenderedPdf", "render_pdf"]

_T = TypeVar("_T")
_TEMPLATE = Path(__file__).with_name("templates") / "report.typ"
_LINE = 470.5  # points: A4 less two margins of 22 mm
_CHART_WIDTH = 166.0  # the same in millimetres
# A signature's box in points: where page one has room beside the others, or by itself.
_STRIP, _STRIP_GAP, _STRIP_ROLES = 52.0, 8.0, 4
_SIGNATURE = (290.0, 76.0)


@dataclass(frozen=True)
class Attachment:
    """A file inside the PDF.

    Attributes:
        name: file name, no folder.
        data: its bytes.
        mime: media type, for example ``application/json``.
        description: what it is, for the reader.
        relationship: PDF/A-3's word for what the file is to the document.
    """

    name: str
    data: bytes
    mime: str
    description: str
    relationship: Literal["source", "data", "alternative", "supplement"] = "data"


@dataclass(frozen=True)
class RenderedPdf:
    """A PDF ready to be signed.

    Attributes:
        pdf: the file's bytes.
        fields: the empty signature fields, in order.
        pages: how many pages it has.
    """

    pdf: bytes
    fields: tuple[FieldBox, ...]
    pages: int


def _map_texts(value: _T, change: Any) -> _T:
    """Return the value with every text in it changed; names of choices stay."""
    if isinstance(value, str):
        return change(value)  # type: ignore[no-any-return]
    if isinstance(value, tuple | frozenset):
        return type(value)(_map_texts(v, change) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: _map_texts(getattr(value, f.name), change) for f in fields(value)}
        return replace(value, **changed)
    return value


class _Setter:
    """Turns blocks into the template's JSON, with the measures that typst is told."""

    def __init__(self, typefaces: Typefaces, folder: Path) -> None:
        self.typefaces, self.folder = typefaces, folder
        self.charts = 0
        self.signatures: list[SignatureField] = []

    def text(self, text: str, width: float = _LINE, size: float = 9.5) -> str | list[str]:
        """A text, cut where a word is wider than its line and may be broken."""
        parts: list[str] = [""]
        for word in re.split(r"(?<=\s)(?=\S)", text):
            if self.typefaces.width(word.rstrip(), size) <= width or _joins(word):
                parts[-1] += word
                continue
            for piece in re.split(r"(?<=[_/.:,;|@&=?+\-])(?=\S)", word):
                if self.typefaces.width(piece.rstrip(), size) <= width:
                    parts.append(piece)
                else:
                    parts += _clusters(piece)
            parts.append("")
        parts = [p for p in parts if p]
        return parts if len(parts) > 1 else text

    def code(self, text: str) -> list[str]:
        return [text[i : i + 8] for i in range(0, len(text), 8)] or [""]

    def table(self, table: Table, *, small: bool = False) -> dict[str, Any]:
        count = len(table.columns)
        if len(table.align) != count or any(len(row) != count for row in table.rows):
            raise ReportError(
                f'table "{table.caption}": got rows or align of another length, '
                f"expected {count} per row, one per column"
            )
        sizes = (7.2, 6.6, 6.0) if small else (8.2, 7.4, 6.6, 6.0)
        # Numbers stay on one line if any size allows it.
        for whole, size in product((True, False), sizes):
            least, natural = self._column_widths(table, size, whole_numbers=whole)
            if sum(least) <= _LINE:
                break
        widths = _share(least, natural)
        tones = (
            [row[table.tone_column] for row in table.rows] if table.tone_column is not None else []
        )
        return {
            "kind": "table",
            "caption": self.text(table.caption, size=8.5),
            "columns": [
                self.text(c, w - 8, size * 1.06) for c, w in zip(table.columns, widths, strict=True)
            ],
            "rows": [
                [self.text(c, w - 8, size) for c, w in zip(row, widths, strict=True)]
                for row in table.rows
            ],
            "align": list(table.align),
            "widths": [round(w, 2) for w in widths],
            "size": size,
            "small": small,
            "tone_column": table.tone_column,
            "tones": tones,
            # A row stays whole unless it could be taller than a page.
            "breakable": any(len(c) > 800 for row in table.rows for c in row),
            "empty": table.empty,
        }

    def _column_widths(
        self, table: Table, size: float, *, whole_numbers: bool
    ) -> tuple[list[float], list[float]]:
        measure = self.typefaces.width
        least, natural = [], []
        for i, header in enumerate(table.columns):
            cells = [row[i] for row in table.rows]
            cell = max((measure(text, size) for text in cells), default=0.0)
            words = [w for text in cells for w in text.split()]
            word = max((measure(w, size) for w in words), default=0.0)
            head = max((measure(w, size * 1.06) for w in header.split()), default=0.0)
            if i == table.tone_column:
                cell = word = cell * 1.1 + 22  # a mark and its words stay on one line
            elif whole_numbers and table.align[i] == "right":
                word = cell
            else:
                word = min(word, 90.0)
            least.append(max(word, min(head, 90.0)) + 9)
            natural.append(max(cell, measure(header, size * 1.06)) + 9)
        return least, natural

    def block(self, block: Block) -> dict[str, Any]:
        match block:
            case Paragraph(text):
                lines = [self.text(line) for line in text.split("\n") if line.strip()]
                return {"kind": "paragraph", "paragraphs": lines, "sticky": False}
            case Heading(text):
                return {"kind": "heading", "text": self.text(text, size=11)}
            case Points(items, numbered):
                return {
                    "kind": "points",
                    "items": [self.text(item, _LINE - 20) for item in items],
                    "numbered": numbered,
                }
            case Note(text, tone):
                return {"kind": "note", "text": self.text(text, _LINE - 25, 9), "tone": tone}
            case Facts():
                return self._facts(block)
            case Table():
                return self.table(block)
            case Figure(chart, table):
                self.charts += 1
                name = f"chart-{self.charts}.svg"
                (self.folder / name).write_bytes(to_svg(chart, _CHART_WIDTH, self.typefaces))
                return {
                    "kind": "figure",
                    "file": name,
                    "message": self.text(chart.message, size=9),
                    "alt": chart.alt,
                    "table": self.table(table, small=True),
                }
            case Opinion():
                return self._opinion(block)
            case SignatureField():
                return self._signature(block)

    def blocks(self, blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
        """The blocks in order; signatures that follow each other stay together."""
        made: list[dict[str, Any]] = []
        for block in map(self.block, blocks):
            if block["kind"] != "signature":
                made.append(block)
            elif made and made[-1]["kind"] == "signatures":
                made[-1]["fields"].append(block)
            else:
                if made:
                    made[-1]["sticky"] = True  # the words before the boxes stay with them
                made.append({"kind": "signatures", "strip": False, "fields": [block]})
        return made

    def _signature(self, block: SignatureField) -> dict[str, Any]:
        self.signatures.append(block)
        width, height = _SIGNATURE
        return {
            "kind": "signature",
            "name": block.name,
            "role": self.text(block.role, _LINE - width - 14),
            "statement": self.text(block.statement, _LINE - width - 14, 8.5),
            "locks": block.locks,
            "width": width,
            "height": height,
        }

    def _facts(self, block: Facts) -> dict[str, Any]:
        widest = max((self.typefaces.width(label, 9) for label, _ in block.pairs), default=0.0)
        width = min(max(widest + 2, 70.0), 150.0)
        pairs = []
        for label, value in block.pairs:
            is_code = label in block.code
            text = self.code(value) if is_code else self.text(value, _LINE - width - 10, 9)
            pairs.append({"label": self.text(label, width, 9), "value": text, "code": is_code})
        return {"kind": "facts", "pairs": pairs, "label_width": round(width, 2)}

    def _opinion(self, block: Opinion) -> dict[str, Any]:
        others = Table(
            caption="",
            columns=("Threshold", "Value", "Interval", "Decision"),
            rows=tuple((r.threshold, r.value, r.interval, r.status) for r in block.rows),
            align=("left", "right", "right", "left"),
            tone_column=3,
        )
        least, natural = self._column_widths(others, 8.6, whole_numbers=True)
        least[1] = 1.06 * least[1]  # bold
        caps = (110.0, 80.0, 110.0, 200.0)
        widths = [max(a, min(b, cap)) + 2 for a, b, cap in zip(least, natural, caps, strict=True)]
        widths = [max(_LINE - sum(widths), 110.0), *widths]
        return {
            "kind": "opinion",
            "widths": [round(w, 2) for w in widths],
            "rows": [
                {
                    "criterion": self.text(r.criterion, widths[0] - 10, 9.1),
                    "threshold": self.text(r.threshold, widths[1] - 10, 8.6),
                    "value": self.text(r.value, widths[2] - 10, 9.1),
                    "interval": self.text(r.interval, widths[3] - 10, 8.6),
                    "status": r.status,
                    "words": self.text(r.words, _LINE - 10, 8),
                }
                for r in block.rows
            ],
            "empty": self.text(block.empty),
        }


def _joins(word: str) -> bool:
    # Letters of right-to-left scripts change their form with their neighbours.
    return any(unicodedata.bidirectional(c) in {"R", "AL"} for c in word)


def _clusters(text: str) -> list[str]:
    parts: list[str] = []
    for char in text:
        if parts and (unicodedata.combining(char) or char in "\u200d\ufe0f"):
            parts[-1] += char
        else:
            parts.append(char)
    return parts


def _share(least: list[float], natural: list[float]) -> list[float]:
    """Share the line among columns: what each wants if there is room, else at least its words."""
    room = _LINE - sum(natural)
    if room >= 0:
        weights = [w + 40 for w in natural]
        return [w + room * k / sum(weights) for w, k in zip(natural, weights, strict=True)]
    spare = _LINE - sum(least)
    if spare < 0:
        return [w * _LINE / sum(least) for w in least]
    widths = list(least)
    # The smallest wishes first: one column with long texts must not starve the others.
    order = sorted(range(len(least)), key=lambda i: natural[i] - least[i])
    for waiting, i in zip(range(len(order), 0, -1), order, strict=True):
        given = min(natural[i] - least[i], spare / waiting)
        widths[i] += given
        spare -= given
    return widths


def _check(attachments: Sequence[Attachment], timestamp: datetime) -> None:
    if timestamp.tzinfo is None:
        raise ReportError(f"timestamp: got {timestamp!r}, expected a time with a zone")
    seen: set[str] = set()
    for a in attachments:
        if not re.fullmatch(r"[\w.\-]+", a.name) or a.name in seen:
            raise ReportError(
                f'attachment "{a.name}": expected a name of its own, made of letters, digits, ".", '
                '"-" and "_"'
            )
        if not a.description.strip():
            raise ReportError(f'attachment "{a.name}": got no description, expected one')
        seen.add(a.name)


def render_pdf(
    report: Report,
    *,
    attachments: Sequence[Attachment] = (),
    timestamp: datetime,
    fonts: Sequence[str | Path] = (),
) -> RenderedPdf:
    """Render a report as PDF/A-3a and PDF/UA-1, with empty signature fields.

    Args:
        report: the document.
        attachments: files to embed.
        timestamp: the time of creation that the file carries, with a zone.
        fonts: folders with typefaces for scripts that the shipped ones lack
            (for example Chinese); see :mod:`hitl_audit.report.typefaces`.

    Returns:
        The PDF; the same bytes for the same arguments on every machine.

    Raises:
        ReportError: a block, an attachment or a time that cannot be used, or
            a document that typst refuses.
    """
    _check(attachments, timestamp)
    typefaces = Typefaces(fonts)
    printable = _map_texts(report, typefaces.printable)
    with tempfile.TemporaryDirectory(prefix="hitl-audit-") as name:
        folder = Path(name)
        setter = _Setter(typefaces, folder)
        language, _, region = report.language.partition("-")
        document = {
            "title": printable.title,
            "subtitle": printable.subtitle,
            "document_id": printable.document_id,
            "generated": printable.generated,
            "banner": printable.banner,
            "keywords": list(printable.keywords),
            "language": language.lower(),
            "region": region.upper() or None,
            "families": list(typefaces.families),
            "summary": setter.blocks(printable.summary),
            "sections": [
                {"title": setter.text(s.title, size=15), "blocks": setter.blocks(s.blocks)}
                for s in printable.sections
            ],
            "attachments": [
                {
                    "file": f"attachment-{i}",
                    "name": a.name,
                    "mime": a.mime,
                    "description": typefaces.printable(a.description),
                    "relationship": a.relationship,
                }
                for i, a in enumerate(attachments)
            ],
        }
        for i, a in enumerate(attachments):
            (folder / f"attachment-{i}").write_bytes(a.data)
        pdf, places = _typeset(document, folder, typefaces, timestamp)

    boxes = tuple(
        FieldBox(
            name=field.name,
            role=field.role,
            page=place["page"],
            x=place["x"],
            y=place["y"],
            width=place["width"],
            height=place["height"],
            locks=field.locks,
        )
        for field, place in zip(setter.signatures, places, strict=True)
    )
    if boxes:
        pdf = add_signature_fields(pdf, boxes)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        pages = len(opened.pages)
    return RenderedPdf(pdf, boxes, pages)


_TIGHTNESS = (0, 1, 2)  # as the template sets page one: as usual, tight, and tighter still


def _layouts(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """What page one may look like, the best first: signatures side by side, then at the end."""
    summary, sections = document["summary"], document["sections"]
    if not summary or summary[-1]["kind"] != "signatures" or not sections:
        yield from ((document, tight) for tight in _TIGHTNESS)
        return
    signatures = summary[-1]
    roles = len(signatures["fields"])
    if roles <= _STRIP_ROLES:
        box = {"width": (_LINE - _STRIP_GAP * (roles - 1)) / roles, "height": _STRIP}
        strip = {
            **signatures,
            "strip": True,
            "gap": _STRIP_GAP,
            "fields": [{**field, **box} for field in signatures["fields"]],
        }
        beside = document | {"summary": [*summary[:-1], strip]}
        yield from ((beside, tight) for tight in _TIGHTNESS)
    # With its heading: the last section is the one on signatures.
    first = len(summary) - (2 if summary[-2:][0]["kind"] == "heading" else 1)
    last = {**sections[-1], "blocks": [*sections[-1]["blocks"], *summary[first:]]}
    apart = document | {"summary": summary[:first], "sections": [*sections[:-1], last]}
    yield from ((apart, tight) for tight in _TIGHTNESS)


def _compiler(folder: Path, document: dict[str, Any]) -> typst.Compiler:
    (folder / "report.json").write_text(json.dumps(document), encoding="utf-8")
    return typst.Compiler(
        folder / "report.typ",
        root=folder,
        font_paths=[folder / "fonts"],
        ignore_system_fonts=True,
    )


def _pages_of_summary(compiler: typst.Compiler) -> int:
    (last,) = json.loads(compiler.query("<summary-end>", field="value"))
    return int(last)


def _typeset(
    document: dict[str, Any], folder: Path, typefaces: Typefaces, timestamp: datetime
) -> tuple[bytes, list[dict[str, Any]]]:
    # A folder of exactly the document's fonts: typst takes folders only.
    (folder / "fonts").mkdir()
    for i, file in enumerate(typefaces.files()):
        shutil.copyfile(file, folder / "fonts" / f"{i}{file.suffix}")
    shutil.copyfile(_TEMPLATE, folder / "report.typ")
    try:
        # The summary is to fit on page one, with the signatures on it if it does: it is
        # tried alone, which is fast.
        for tried, tight in _layouts(document):
            alone = tried | {"sections": [], "attachments": [], "tight": tight}
            if _pages_of_summary(_compiler(folder, alone)) == 1:
                break
        compiler = _compiler(folder, tried | {"tight": tight})
        made, told = compiler.compile_with_warnings(
            format="pdf", pdf_standards=["a-3a", "ua-1"], timestamp=timestamp
        )
        places = json.loads(compiler.query("<signature>", field="value"))
    except typst.TypstError as error:
        hints = "".join(f"; {hint}" for hint in error.hints)
        raise ReportError(f"the PDF cannot be set: {error.message}{hints}") from error
    for warning in told:
        warnings.warn(f"typst: {warning.message}", stacklevel=3)
    return cast(bytes, made), places
