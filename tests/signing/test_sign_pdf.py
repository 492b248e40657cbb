"""Signing real PDFs, judged by programs that know nothing of ours."""

import asyncio
import io
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import typst

from hitl_audit.errors import SigningError
from hitl_audit.signing.keys import SigningKey, generate_key
from hitl_audit.signing.pdf import FieldBox, add_signature_fields, sign_pdf, signature_fields

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FONTS = Path(__file__).parents[2] / "hitl_audit" / "report" / "fonts"
ROLES = ("data scientist", "domain expert", "compliance officer")
SOURCE = """
#set document(title: "Report", date: datetime(year: 2026, month: 11, day: 23))
#set text(font: "Inter", lang: "en")
#pdf.attach("evidence.json", bytes("{}"), relationship: "data",
  mime-type: "application/json", description: "Evidence")
= Report
#lorem(80)
#pagebreak()
= Signatures
"""


def boxes(count: int = 3) -> list[FieldBox]:
    roles = ROLES[: count - 1] + ROLES[-1:]
    return [
        FieldBox(
            name=role.replace(" ", "-"),
            role=role,
            page=2,
            x=70,
            y=110 + 90 * place,
            width=450,
            height=74,
            locks=place == count - 1,
        )
        for place, role in enumerate(roles)
    ]


@pytest.fixture(scope="module")
def plain() -> bytes:
    folders: list[Any] = [str(FONTS)]
    page: bytes = typst.compile(
        SOURCE.encode(),
        format="pdf",
        font_paths=folders,
        ignore_system_fonts=True,
        pdf_standards=["a-3a", "ua-1"],
        timestamp=1_700_000_000,
    )
    return page


@pytest.fixture(scope="module")
def prepared(plain: bytes) -> bytes:
    return add_signature_fields(plain, boxes())


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return generate_key(
        "Ada Lovelace", organization="Example Bank", email="ada@example.org", now=lambda: NOW
    )


@pytest.fixture(scope="module")
def revisions(prepared: bytes, key: SigningKey) -> list[bytes]:
    """The document after none, one, two and three signatures."""
    found = [prepared]
    for place, box in enumerate(boxes()):
        found.append(
            sign_pdf(
                found[-1],
                key,
                field=box.name,
                reason=f"I signed as {box.role}.",
                signed_at=NOW + timedelta(minutes=place),
            )
        )
    return found


def sign(pdf: bytes, key: SigningKey, field: str = "data-scientist", **other: Any) -> bytes:
    settings: dict[str, Any] = {"reason": "I signed.", "signed_at": NOW, **other}
    return sign_pdf(pdf, key, field=field, **settings)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_every_signature_is_one_revision_and_keeps_the_bytes_before(
    revisions: list[bytes],
) -> None:
    for before, after in pairwise(revisions):
        assert after.startswith(before)
        assert after.count(b"%%EOF") == before.count(b"%%EOF") + 1


def test_pdfsig_and_qpdf_accept_every_revision(revisions: list[bytes], tmp_path: Path) -> None:
    for count, pdf in enumerate(revisions[1:], start=1):
        file = tmp_path / f"{count}.pdf"
        file.write_bytes(pdf)
        said = run("pdfsig", str(file))
        assert said.count("Signature Validation: Signature is Valid.") == count
        assert said.count("Signature Type: ETSI.CAdES.detached") == count
        assert len(re.findall("(?m)^  - Total document signed", said)) == 1
        assert f"Signing Time: Nov 23 2026 12:0{count - 1}:00" in said
        assert "No syntax or stream encoding errors found" in run("qpdf", "--check", str(file))
        assert run("mutool", "sign", "-v", str(file)).count("unchanged since signing") >= 1


def test_openssl_accepts_the_signed_bytes_and_refuses_others(
    revisions: list[bytes], key: SigningKey, tmp_path: Path
) -> None:
    """Cut by slicing alone: no PDF signing library takes part."""
    pdf = revisions[-1]
    (tmp_path / "ada.pem").write_bytes(key.certificate_pem())
    ranges = re.findall(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)", pdf)
    assert len(ranges) == 3
    for found in ranges:
        start, size, after, rest = (int(number) for number in found)
        container = bytes.fromhex(pdf[start + size + 1 : after - 1].decode())
        length = 4 + int.from_bytes(container[2:4], "big")  # DER: 30 82 and two bytes of length
        (tmp_path / "cms").write_bytes(container[:length])
        signed = pdf[start : start + size] + pdf[after : after + rest]
        (tmp_path / "data").write_bytes(signed)
        verify = (
            *("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any"),
            *("-in", str(tmp_path / "cms"), "-content", str(tmp_path / "data")),
            *("-CAfile", str(tmp_path / "ada.pem"), "-out", "/dev/null"),
            *("-attime", str(int(NOW.timestamp()) + 60)),
        )
        assert "successful" in run(*verify)
        (tmp_path / "data").write_bytes(signed.replace(b"%PDF-1.7", b"%PDF-1.6", 1))
        assert subprocess.run(verify, capture_output=True, check=False).returncode != 0


def test_the_first_certifies_and_the_last_locks(revisions: list[bytes], tmp_path: Path) -> None:
    file = tmp_path / "signed.pdf"
    file.write_bytes(revisions[-1])
    with pikepdf.open(file) as pdf:
        fields = list(pdf.Root.AcroForm.Fields)
        first, second, last = (field.V for field in fields)
        assert pdf.Root.Perms.DocMDP.objgen == first.objgen
        assert first.Reference[0].TransformParams.P == 2
        assert "/Reference" not in second
        assert last.Reference[0].TransformMethod == "/FieldMDP"
        assert last.Reference[0].TransformParams.Action == "/All"
        assert fields[2].Lock.P == 1


def test_the_stamp_shows_who_and_when_with_embedded_fonts(
    revisions: list[bytes], key: SigningKey, tmp_path: Path
) -> None:
    file = tmp_path / "signed.pdf"
    file.write_bytes(revisions[-1])
    shown = run("pdftotext", "-f", "2", str(file), "-")
    for words in (
        "Ada Lovelace",
        "Compliance officer · Example Bank",
        "I signed as compliance officer.",
        "Signed 2026-11-23 12:02:00 UTC",
        key.fingerprint_words.removeprefix("SHA-256 ")[:47],
    ):
        assert words in " ".join(shown.split())
    fonts = run("pdffonts", str(file)).splitlines()[2:]
    assert fonts
    assert all(line.split()[-5] == "yes" for line in fonts)


def test_a_long_statement_stays_inside_its_field(
    prepared: bytes, key: SigningKey, tmp_path: Path
) -> None:
    file = tmp_path / "signed.pdf"
    file.write_bytes(sign(prepared, key, reason="I checked every number. " * 40 + "The end."))
    shown = run("pdftotext", "-f", "2", "-x", "70", "-y", "110", "-W", "450", "-H", "74",
                "-r", "72", str(file), "-")  # fmt: skip
    assert "Ada Lovelace" in shown
    assert "The end." in " ".join(shown.split())
    assert "Certificate SHA-256" in shown


def test_fields_are_tagged_deterministic_and_listed(plain: bytes, prepared: bytes) -> None:
    assert add_signature_fields(plain, boxes()) == prepared
    states = signature_fields(prepared)
    assert [(s.name, s.role, s.signed, s.locks) for s in states] == [
        ("data-scientist", "data scientist", False, False),
        ("domain-expert", "domain expert", False, False),
        ("compliance-officer", "compliance officer", False, True),
    ]
    with pikepdf.open(io.BytesIO(prepared)) as pdf:
        parents = pikepdf.NumberTree(pdf.Root.StructTreeRoot.ParentTree)
        page = pdf.pages[1].obj
        assert page.Tabs == "/S"
        for box, field in zip(boxes(), pdf.Root.AcroForm.Fields, strict=True):
            element = parents[int(field.StructParent)]
            assert element.S == "/Form"
            assert str(element.Alt) == f"Signature of the {box.role}"
            assert element.K.Obj.objgen == field.objgen
            height = float(page.MediaBox[3])
            left, low, right, high = (float(side) for side in field.Rect)
            assert (left, right) == (box.x, box.x + box.width)
            assert (height - high, height - low) == pytest.approx((box.y, box.y + box.height), 0.01)


def test_an_untagged_pdf_can_be_signed_too(key: SigningKey, tmp_path: Path) -> None:
    file = tmp_path / "plain.pdf"
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(file)
    box = FieldBox("only", "auditor", 1, 50, 50, 300, 60, locks=True)
    signed = sign(add_signature_fields(file.read_bytes(), [box]), key, "only")
    file.write_bytes(signed)
    assert "Signature is Valid." in run("pdfsig", str(file))
    assert signature_fields(signed)[0].signed


def test_signing_works_inside_a_running_event_loop(prepared: bytes, key: SigningKey) -> None:
    async def cell() -> bytes:
        return sign(prepared, key)

    assert signature_fields(asyncio.run(cell()))[0].signed


def test_the_claimed_time_is_utc_whatever_the_zone(prepared: bytes, key: SigningKey) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with pikepdf.open(io.BytesIO(sign(prepared, key, signed_at=local))) as pdf:
        assert pdf.Root.AcroForm.Fields[0].V.M == "D:20261123120000Z"


def test_the_file_still_says_that_it_is_pdf_a_and_pdf_ua(revisions: list[bytes]) -> None:
    with pikepdf.open(io.BytesIO(revisions[-1])) as pdf, pdf.open_metadata() as metadata:
        assert metadata.pdfa_status == "3A"
        assert metadata["pdfuaid:part"] == "1"


@pytest.mark.parametrize(
    ("state", "field", "other", "words"),
    [
        (0, "data-scientits", {}, "accepted: data-scientist, domain-expert, compliance-officer"),
        (0, "data-scientits", {}, 'did you mean "data-scientist"?'),
        (1, "data-scientist", {}, "data-scientist (data scientist) is signed already"),
        (0, "domain-expert", {}, "must wait: not yet signed by data scientist"),
        (1, "compliance-officer", {}, "must wait: not yet signed by domain expert"),
        (1, "domain-expert", {"certify": True}, "only the first signature can certify"),
        (0, "data-scientist", {"reason": " "}, "reason is empty"),
        (0, "data-scientist", {"signed_at": NOW.replace(tzinfo=None)}, "with a zone"),
        (0, "data-scientist", {"signed_at": NOW + timedelta(days=900)}, "expired on 2029-02-25"),
        (0, "data-scientist", {"signed_at": NOW - timedelta(days=1)}, "valid only from"),
    ],
)
def test_a_refusal_says_why(
    state: int,
    field: str,
    other: dict[str, Any],
    words: str,
    revisions: list[bytes],
    key: SigningKey,
) -> None:
    with pytest.raises(SigningError) as caught:
        sign(revisions[state], key, field, **other)
    assert words in str(caught.value)


def test_nobody_signs_a_document_whose_signatures_do_not_hold(
    revisions: list[bytes], key: SigningKey
) -> None:
    flipped = bytearray(revisions[1])
    flipped[flipped.index(b"stream\n") + 40] ^= 1
    for broken, words in (
        (bytes(flipped), "the signature of the data scientist does not hold"),
        (revisions[1] + b"more", "4 bytes were appended after the end"),
    ):
        with pytest.raises(SigningError, match="nothing was signed") as caught:
            sign(broken, key, "domain-expert")
        assert words in str(caught.value)


@pytest.mark.parametrize("pdf", [b"", b"not a PDF", b"%PDF-1.7\nnothing"])
def test_what_is_not_a_pdf_is_refused(pdf: bytes, key: SigningKey) -> None:
    for work in (
        lambda: signature_fields(pdf),
        lambda: add_signature_fields(pdf, boxes()),
        lambda: sign(pdf, key),
    ):
        with pytest.raises(SigningError, match="the PDF cannot be read"):
            work()


def test_a_pdf_without_fields_cannot_be_signed(plain: bytes, key: SigningKey) -> None:
    with pytest.raises(SigningError, match="the document has no signature fields"):
        sign(plain, key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: [FieldBox("a b", "x", 1, 0, 0, 100, 50)], "field name is 'a b'"),
        (lambda b: [b[0], b[0]], "data-scientist: given twice"),
        (lambda b: [FieldBox("a", "x", 9, 0, 0, 100, 50)], "page is 9, expected 1 to 2"),
        (lambda b: [FieldBox("a", "x", 1, 0, 0, 10, 50)], "expected at least 72 × 24"),
        (lambda b: [b[2], b[0]], "only the last field can lock"),
    ],
)
def test_boxes_that_cannot_be_placed_are_refused(
    change: Callable[[list[FieldBox]], list[FieldBox]], words: str, plain: bytes
) -> None:
    with pytest.raises(SigningError) as caught:
        add_signature_fields(plain, change(boxes()))
    assert words in str(caught.value)


def test_fields_are_added_once(prepared: bytes) -> None:
    with pytest.raises(SigningError, match="has form fields already"):
        add_signature_fields(prepared, boxes())
