"""Hostile and useless input: nothing crashes, nothing hangs, nothing passes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest

from hitl_audit.errors import VerificationError
from hitl_audit.verification import VerificationResult
from hitl_audit.verification.bounded import TimeLimitError, within

if TYPE_CHECKING:
    from tests.verification.conftest import Made, Workshop


def outcome(result: VerificationResult, name: str) -> tuple[str, str]:
    found = result.check(name)
    return found.outcome, found.words


# --- PDFs ---


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "got an empty file"),
        (b"<html>", "got something else"),
        (b"%PDF-1.7\n", "damaged or cut off"),
        (b"%PDF-1.7\n" + bytes(5000) + b"\nstartxref\n9\n%%EOF\n", "damaged or cut off"),
        (b"%PDF-1.7\n1 0 obj\n" + b"[" * 50_000 + b"\nstartxref\n9\n%%EOF\n", "damaged"),
        (b"%PDF-1.7\n1 0 obj\n" + b"<<" * 50_000 + b"\nstartxref\n9\n%%EOF\n", "damaged"),
    ],
)
def test_what_is_not_a_pdf_is_invalid_in_words(data: bytes, words: str, workshop: Workshop) -> None:
    result = workshop.verify_bytes(data)
    assert result.exit_code == 1
    assert words in outcome(result, "readable")[1]
    assert {c.outcome for c in result.checks[1:]} == {"not done"}
    assert result.words()


def small_pdf(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF written by hand, with a table of its objects."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        start,
    )
    return bytes(out)


def cross_reference_bomb() -> bytes:
    """A cross-reference stream of entries of no width: a billion of them in no bytes."""
    body = b"<< /Type /XRef /Size 1000000000 /W [0 0 0] /Index [0 1000000000] /Root 1 0 R "
    head = (
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 3 0 R >>\nendobj\n"
        b"3 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
    )
    return (
        head
        + b"2 0 obj\n%s/Length 0 >>\nstream\n\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n"
        % (body, len(head))
    )


def fields_that_loop() -> bytes:
    return small_pdf(
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [3 0 R] >> >>",
        b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>",
        b"<< /T (a) /Kids [3 0 R] >>",
    )


def names_that_loop() -> bytes:
    return small_pdf(
        b"<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles 3 0 R >> "
        b"/AcroForm << /Fields [] >> >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        b"<< /Kids [3 0 R 3 0 R] >>",
    )


def deep_dictionary() -> bytes:
    return small_pdf(b"<< /Type /Catalog /AcroForm " + b"<< /X " * 20_000 + b">> " * 20_000 + b">>")


def previous_that_loops() -> bytes:
    pdf = small_pdf(b"<< /Type /Catalog >>")
    place = pdf.rindex(b"xref\n0")
    return pdf.replace(b"/Size 2", b"/Size 2 /Prev %d" % place)


def many_signatures() -> bytes:
    signature = b"<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /adbe.pkcs7.detached "
    fields = b" ".join(b"%d 0 R" % n for n in range(4, 3004))
    return small_pdf(
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [%s] >> >>" % fields,
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        signature + b"/ByteRange [0 10 20 10] /Contents <00> >>",
        *(b"<< /FT /Sig /T (f%d) /V 3 0 R /Rect [0 0 0 0] >>" % n for n in range(3000)),
    )


@pytest.mark.parametrize(
    "make",
    [
        cross_reference_bomb,
        fields_that_loop,
        names_that_loop,
        deep_dictionary,
        previous_that_loops,
        many_signatures,
    ],
)
def test_pdfs_made_to_hold_a_reader_up_end_soon(
    make: Callable[[], bytes], workshop: Workshop, tmp_path: Path
) -> None:
    """In a process of its own, with the memory that the command line allows."""
    file = tmp_path / "hostile.pdf"
    file.write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-m", "hitl_audit", "verify", str(file), "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["valid"] is False


def test_an_attachment_that_unpacks_without_end_is_refused(workshop: Workshop, made: Made) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(made.pdf)) as document:
        stream: Any = document.attachments["evidence.json"].obj.EF.F
        bomb = zlib.compress(zlib.compress(bytes(64 << 20), 9), 9)
        stream.write(bomb, filter=pikepdf.Array([pikepdf.Name.FlateDecode] * 2))
        document.save(
            out, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none
        )
    result = workshop.verify_bytes(out.getvalue())
    assert result.exit_code == 1
    assert "DecodeLimit" in outcome(result, "attachments")[1]


def test_control_characters_do_not_reach_the_terminal(workshop: Workshop, made: Made) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(made.pdf)) as document:
        document.Root.AcroForm.Fields[0].TU = pikepdf.String("a\x1b[2Jb\u202ec")
        document.save(out)
    result = workshop.verify_bytes(out.getvalue())
    assert result.open_roles[0] == "a\ufffd[2Jb\ufffdc"
    assert "\x1b" not in result.words()
    assert "\u202e" not in json.dumps(result.to_dict(), ensure_ascii=False)


# --- folders ---


def test_a_manifest_cannot_lead_out_of_the_folder(workshop: Workshop) -> None:
    from hitl_audit.manifest import ManifestFile

    for name in ("../secret.txt", "/etc/hostname", "link.txt"):
        base = workshop.make()
        files = (*base.manifest.files, ManifestFile.of(name, b"x", attached=False))
        home = workshop.make(manifest_changes=(("files", files),)).folder
        (home.parent / "secret.txt").write_text("x")
        (home / "link.txt").symlink_to(home.parent / "secret.txt")
        result = workshop.verify(home)
        assert outcome(result, "companions")[0] == "fail"
        assert "outside the folder" in outcome(result, "companions")[1]


@pytest.mark.parametrize(
    "name", ["manifest.json", "evidence.dsse.json", "manifest.domain-expert.sig"]
)
def test_files_of_any_size_are_not_read(name: str, workshop: Workshop, complete: Path) -> None:
    folder = workshop.copy(complete)
    with (folder / name).open("wb") as file:
        file.truncate(1 << 40)
    assert workshop.verify(folder).exit_code == 1


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(workshop: Workshop, complete: Path) -> None:
    for name in ("report.html", "judgments.db", "manifest.json"):
        folder = workshop.copy(complete)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert workshop.verify(folder).exit_code == 0  # not a file: missing


@pytest.mark.parametrize("data", [b"", b"not a database" * 100, b"SQLite format 3\0" + bytes(5000)])
def test_something_else_for_a_ledger_fails(data: bytes, workshop: Workshop, complete: Path) -> None:
    folder = workshop.copy(complete)
    (folder / "judgments.db").write_bytes(data)
    assert outcome(workshop.verify(folder), "ledger")[0] == "fail"


# --- zip files ---


def zipped(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("a.txt", b"x")], "zip file without report.pdf"),
        ([("../report.pdf", b"x")], "leads out of the zip file"),
        ([("/tmp/report.pdf", b"x")], "leads out of the zip file"),  # noqa: S108
        ([("a\\report.pdf", b"x")], "leads out of the zip file"),
        ([(link("report.pdf"), b"/etc/hostname")], "leads out of the zip file"),
        ([("a/report.pdf", b"x"), ("b/report.pdf", b"x")], "zip file of several reports"),
        ([(f"{n}.txt", b"") for n in range(2001)], "2,001 files, expected at most 2,000"),
    ],
)
def test_zip_files_that_are_no_dossier_are_refused(
    entries: list[tuple[str | zipfile.ZipInfo, bytes]],
    words: str,
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    with pytest.raises(VerificationError, match=words):
        workshop.verify(zipped(tmp_path / "a.zip", entries))


def test_a_zip_bomb_is_stopped_by_what_comes_out(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hitl_audit.verification import source

    monkeypatch.setattr(source, "_MAXIMUM_ZIP", 10 << 20)
    bomb = zipped(tmp_path / "a.zip", [("report.pdf", bytes(40 << 20))])
    assert bomb.stat().st_size < 100_000
    # The size that it states is a lie; what comes out is counted.
    data = bytearray(bomb.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 10)
    for content in (bomb.read_bytes(), bytes(data)):
        bomb.write_bytes(content)
        with pytest.raises(VerificationError):
            workshop.verify(bomb)


def test_damaged_zip_files_are_refused(workshop: Workshop, complete: Path, tmp_path: Path) -> None:
    good = Path(shutil.make_archive(str(tmp_path / "good"), "zip", complete)).read_bytes()
    for tenth in range(1, 10):
        (tmp_path / "bad.zip").write_bytes(good[: len(good) * tenth // 10])
        with pytest.raises(VerificationError, match="damaged zip file"):
            workshop.verify(tmp_path / "bad.zip")


# --- time ---


def test_work_that_does_not_end_is_stopped() -> None:
    stopped = threading.Event()

    def forever() -> None:
        try:
            while True:
                with contextlib.suppress(Exception):  # as a library may
                    sum(range(1000))
        finally:
            stopped.set()

    with pytest.raises(TimeLimitError, match=r"stopped after 0\.2 seconds"):
        within(0.2, forever)
    assert stopped.wait(10)


def test_work_that_ends_answers_or_raises() -> None:
    assert within(10, lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 // 0)


def test_a_document_that_takes_too_long_is_invalid(workshop: Workshop, complete: Path) -> None:
    result = workshop.verify(complete, patience=0.0)
    assert result.exit_code == 1
    assert "Checking it did not end" in outcome(result, "readable")[1]
    assert len(result.checks) == 15
