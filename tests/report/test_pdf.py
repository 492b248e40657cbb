"""The PDF, read back by programs that are not ours."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from hitl_audit.errors import ReportError
from hitl_audit.report.document import (
    Block,
    Facts,
    Heading,
    Note,
    Paragraph,
    Points,
    Report,
    Section,
    SignatureField,
    Table,
)
from hitl_audit.report.pdf import Attachment, RenderedPdf, render_pdf
from hitl_audit.report.typefaces import Typefaces

NOW = datetime(2026, 11, 23, 7, 40, tzinfo=UTC)
EVIDENCE = Attachment("evidence.json", bytes(range(256)) * 50, "application/json", "All numbers")
PLAN = Attachment("audit.toml", b"[audit]\n", "application/toml", "The plan", "source")


@pytest.fixture(scope="module")
def rendered(sample: Report) -> RenderedPdf:
    return render_pdf(sample, attachments=(EVIDENCE, PLAN), timestamp=NOW)


@pytest.fixture(scope="module")
def path(rendered: RenderedPdf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pdf") / "report.pdf"
    file.write_bytes(rendered.pdf)
    return file


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif is_dataclass(value) and not isinstance(value, type):
        hidden = {"id", "name", "tone", "kind", "align", "alt", "language", "keywords", "chart"}
        if not (isinstance(value, Table) and value.rows):
            hidden -= {"empty"}
        else:
            hidden |= {"empty"}
        for field in fields(value):
            if field.name not in hidden:
                yield from _texts(getattr(value, field.name))


def _small(*blocks: Any, **more: Any) -> Report:
    sections = (Section("one", "One", blocks),)
    return replace(Report("Title", "Sub", "ID-1", "now", (), sections), **more)


def _text_of(report: Report, tmp_path: Path) -> str:
    file = tmp_path / "small.pdf"
    file.write_bytes(render_pdf(report, timestamp=NOW).pdf)
    return _run("pdftotext", "-raw", file, "-")


def test_every_text_of_the_document_is_in_the_file(sample: Report, path: Path) -> None:
    pages = _squeezed(_run("pdftotext", "-raw", path, "-"))
    faces, checked = Typefaces(), 0
    sections = tuple(s for s in sample.sections if s.id != "scripts")
    for text in _texts(replace(sample, sections=sections, generated="")):
        printed = _squeezed(faces.printable(text))
        if not any("\u0590" <= c <= "\u06ff" for c in printed):
            assert printed in pages
            checked += 1
    assert checked > 800


def test_hostile_text_is_printed_as_it_is(tmp_path: Path) -> None:
    hostile = r"#panic() *x* $ <b> @ref \\ // /* */ `raw` ``` = h - - + / term: [x] {y} ~ -- ... 'q' \u{41}"
    report = _small(
        Paragraph(hostile),
        Table(hostile, (hostile,), ((hostile,),), ("left",)),
        Facts(((hostile, hostile),), frozenset({hostile})),
        title=hostile,
        banner=hostile,
        document_id=hostile,
    )
    text = _squeezed(_text_of(report, tmp_path))
    assert text.count(_squeezed(hostile)) >= 9


def test_qpdf_finds_no_fault(path: Path) -> None:
    assert "No syntax or stream encoding errors found" in _run("qpdf", "--check", path)


def test_it_claims_both_standards_and_has_what_they_ask_for(
    rendered: RenderedPdf, path: Path, sample: Report
) -> None:
    info = _run("pdfinfo", path)
    assert re.search(r"Title:\s+Mortgage approvals, Boston", info)
    assert re.search(r"Tagged:\s+yes", info)
    assert re.search(rf"Pages:\s+{rendered.pages}", info)
    with pikepdf.open(io.BytesIO(rendered.pdf)) as pdf:
        assert str(pdf.Root.Lang) == sample.language
        metadata = bytes(pdf.Root.Metadata.read_bytes()).decode()
        assert pdf.Root.MarkInfo.Marked
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata


def test_attachments_come_back_byte_for_byte(path: Path, tmp_path: Path) -> None:
    listed = _run("pdfdetach", "-list", path)
    assert "2 embedded files" in listed
    _run("pdfdetach", "-saveall", "-o", tmp_path, path)
    for attachment in (EVIDENCE, PLAN):
        assert (tmp_path / attachment.name).read_bytes() == attachment.data


def test_the_same_report_gives_the_same_bytes_in_another_process(rendered: RenderedPdf) -> None:
    here = Path(__file__).parent
    script = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]\n"
        "from datetime import UTC, datetime\n"
        "from conftest import build_sample\n"
        "from hitl_audit.report.pdf import Attachment, render_pdf\n"
        "files = (Attachment('evidence.json', bytes(range(256)) * 50, 'application/json', 'All numbers'),\n"
        "         Attachment('audit.toml', b'[audit]\\n', 'application/toml', 'The plan', 'source'))\n"
        "made = render_pdf(build_sample(), attachments=files, timestamp=datetime(2026, 11, 23, 7, 40, tzinfo=UTC))\n"
        "print(hashlib.sha256(made.pdf).hexdigest())\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    printed = subprocess.run(
        [sys.executable, "-c", script, here, here.parents[1]],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    assert printed.strip() == hashlib.sha256(rendered.pdf).hexdigest()


def test_every_page_carries_banner_id_and_number(rendered: RenderedPdf, path: Path) -> None:
    pages = _run("pdftotext", "-layout", path, "-").split("\f")[:-1]
    assert len(pages) == rendered.pages
    for number, page in enumerate(pages, start=1):
        assert "SIMULATED JUDGMENTS" in page
        assert "HA-2026-1123-7F3A" in page
        assert f"page {number} of {len(pages)}" in page


def test_the_summary_is_page_one_and_the_contents_follow(path: Path) -> None:
    first = _run("pdftotext", "-layout", "-l", "1", path, "-")
    assert "Simulated judgments: no person has looked at these cases." in first
    assert "Contents" not in first
    assert "Contents" in _run("pdftotext", "-layout", "-f", "2", "-l", "2", path, "-")


def test_bookmarks_name_the_sections(rendered: RenderedPdf, sample: Report) -> None:
    with pikepdf.open(io.BytesIO(rendered.pdf)) as pdf, pdf.open_outline() as outline:
        titles = [item.title for item in outline.root]
    assert titles[0] == "Summary"
    assert [t.split(" ", 1)[-1] for t in titles[-12:]] == [s.title for s in sample.sections]


def test_no_word_leaves_the_text_block(path: Path) -> None:
    words = re.findall(
        r'<word xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)"',
        _run("pdftotext", "-bbox", path, "-"),
    )
    margin = 22 / 25.4 * 72
    assert len(words) > 3000
    assert min(float(left) for left, _ in words) > margin - 2
    assert max(float(right) for _, right in words) < 595.28 - margin + 2


def test_a_header_row_is_repeated_on_every_page_of_a_table(path: Path) -> None:
    text = _run("pdftotext", "-layout", path, "-")
    pages = [p for p in text.split("\f") if re.search(r"Group 1\d\d ·", p)]
    assert len(pages) >= 2
    assert all(re.search(r"Group\s+n\s+Rate\s+Low\s+High", page) for page in pages)


def test_signature_fields_lie_on_their_boxes(rendered: RenderedPdf, path: Path) -> None:
    assert [f.name for f in rendered.fields] == ["prepared", "attested", "approved"]
    assert [f.locks for f in rendered.fields] == [False, False, True]
    with pikepdf.open(io.BytesIO(rendered.pdf)) as pdf:
        widgets = {str(w.T): w for w in pdf.Root.AcroForm.Fields}
        for field in rendered.fields:
            height = float(pdf.pages[field.page - 1].MediaBox[3])
            left, bottom, right, top = (float(v) for v in widgets[field.name].Rect)
            assert left == pytest.approx(field.x, abs=0.1)
            assert top == pytest.approx(height - field.y, abs=0.1)
            assert right - left == pytest.approx(field.width, abs=0.1)
            assert top - bottom == pytest.approx(field.height, abs=0.1)
    for field in rendered.fields:
        place = _run("pdftotext", "-bbox", "-f", str(field.page), "-l", str(field.page), path, "-")
        role = field.role.split()[0]
        tops = [float(y) for y in re.findall(rf'yMin="([\d.]+)"[^>]*>{role}</word>', place)]
        assert any(abs(y - field.y) < 6 for y in tops)


@pytest.mark.parametrize(
    ("lines", "roles", "on_page_one"), [(3, 3, True), (3, 4, True), (54, 3, False), (3, 5, False)]
)
def test_signatures_are_on_page_one_where_it_has_room(
    lines: int, roles: int, on_page_one: bool, tmp_path: Path
) -> None:
    fields = tuple(
        SignatureField(f"role-{i}", f"Role {i}", "States it.", locks=i == roles - 1)
        for i in range(roles)
    )
    summary: tuple[Block, ...] = (
        *(Paragraph("Said on page one.") for _ in range(lines)),
        Heading("Who signed"),
        *fields,
    )
    report = replace(
        _small(Paragraph("Proof.")),
        summary=summary,
        sections=(Section("end", "Signatures", (Paragraph("What is stated."),)),),
    )
    made = render_pdf(report, timestamp=NOW)
    assert [f.name for f in made.fields] == [f.name for f in fields]
    assert {f.page == 1 for f in made.fields} == {on_page_one}
    file = tmp_path / "x.pdf"
    file.write_bytes(made.pdf)
    first = _run("pdftotext", "-f", "1", "-l", "1", file, "-")
    assert first.count("Said on page one.") == lines  # page one stays one page
    assert ("Who signed" in first) == on_page_one


def test_the_box_is_drawn_where_the_field_is(tmp_path: Path) -> None:
    role = SignatureField("only", "Role", "States it.")
    rendered = render_pdf(_small(role), timestamp=NOW)
    file = tmp_path / "signed.pdf"
    file.write_bytes(rendered.pdf)
    (field,) = rendered.fields
    crop = [("-x", field.x), ("-y", field.y), ("-W", field.width), ("-H", field.height)]
    options = [str(part) for name, value in crop for part in (name, round(value))]
    page = str(field.page)
    _run("pdftoppm", "-r", "72", "-gray", "-f", page, "-l", page, *options, file, tmp_path / "box")
    (picture,) = tmp_path.glob("box*.pgm")
    header, data = picture.read_bytes().split(b"255\n", 1)
    width, height = (int(n) for n in header.split()[1:3])
    rows = [data[i * width : (i + 1) * width] for i in range(height)]
    edges = [rows[0], rows[-1], bytes(r[0] for r in rows), bytes(r[-1] for r in rows)]
    assert all(sum(edge) / len(edge) < 245 for edge in edges)
    inside = b"".join(r[4:-4] for r in rows[4:-4])
    assert min(inside) > 245


def test_an_unsigned_document_has_no_fields(tmp_path: Path) -> None:
    rendered = render_pdf(_small(Paragraph("Nothing to sign.")), timestamp=NOW)
    assert rendered.fields == ()
    assert b"/AcroForm" not in rendered.pdf


def test_what_no_typeface_has_is_written_as_code_points(tmp_path: Path) -> None:
    text = _text_of(_small(Paragraph("Name 漢 é Ω \x07 end")), tmp_path)
    assert "Name ⟨U+6F22⟩ é Ω ⟨U+0007⟩ end" in text


def test_right_to_left_text_is_kept_in_logical_order(tmp_path: Path) -> None:
    text = _text_of(_small(Paragraph("Hebrew שלום and Arabic مرحبا end")), tmp_path)
    bare = re.sub("[\u202a-\u202e\u2066-\u2069]", "", text)
    assert "שלום" in bare
    assert "مرحبا" in bare


def test_a_typeface_of_the_user_is_used(tmp_path: Path) -> None:
    import matplotlib as mpl

    fonts = tmp_path / "fonts"
    fonts.mkdir()
    source = Path(mpl.get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"
    (fonts / "stix.ttf").write_bytes(source.read_bytes())
    report = _small(Paragraph("Ballot ⦀ end"))
    plain = tmp_path / "plain.pdf"
    plain.write_bytes(render_pdf(report, timestamp=NOW).pdf)
    assert "⟨U+2980⟩" in _run("pdftotext", plain, "-")
    mine = tmp_path / "mine.pdf"
    mine.write_bytes(render_pdf(report, timestamp=NOW, fonts=[fonts]).pdf)
    assert "⦀" in _run("pdftotext", mine, "-")
    assert "STIXGeneral" in _run("pdffonts", mine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp: got .*, expected a time with a zone"),
        ({"attachments": (PLAN, PLAN)}, 'attachment "audit.toml": expected a name of its own'),
        ({"attachments": (replace(PLAN, name="../x"),)}, 'attachment "../x": expected a name'),
        ({"attachments": (replace(PLAN, description=" "),)}, "got no description, expected one"),
        ({"fonts": ["/nonexistent"]}, 'fonts: got "/nonexistent", expected a folder with'),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        render_pdf(_small(Paragraph("x")), **({"timestamp": NOW} | change))


def test_a_ragged_table_is_refused() -> None:
    table = Table("Ragged", ("a", "b"), (("1",),), ("left", "left"))
    with pytest.raises(ReportError, match='table "Ragged": got rows or align of another length'):
        render_pdf(_small(table), timestamp=NOW)


def test_a_long_summary_is_set_tighter_to_fit_page_one(tmp_path: Path) -> None:
    def first_page(items: int) -> str:
        summary = (Points(tuple(f"item {i}" for i in range(items))), Note("the last words"))
        file = tmp_path / f"{items}.pdf"
        file.write_bytes(render_pdf(_small(summary=summary), timestamp=NOW).pdf)
        return _run("pdftotext", "-l", "1", file, "-")

    assert "the last words" in first_page(30)
    assert "the last words" in first_page(50)
    assert "the last words" in first_page(58)  # tighter still
    assert "item 69" not in first_page(70)  # what cannot fit goes on, and is not lost


def test_numbers_are_not_broken_while_words_can_be(tmp_path: Path) -> None:
    words = "many words that could well be put on several lines " * 3
    row = (words, "93.7% to 102.4%", "1,234,567", words, "< 0.001")
    table = Table(
        "Caption",
        ("A", "95% interval", "n", "B", "p"),
        (row,),
        ("left", "right", "right", "left", "right"),
    )
    text = _text_of(_small(table), tmp_path)
    for number in ("93.7% to 102.4%", "1,234,567", "< 0.001"):
        assert number in text
