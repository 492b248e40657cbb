"""A corpus of attacks, each named by its fault; every one must be caught, for the right reason.

What each verifier answers is a table in ``docs/tamper.md``; it is compared with
the corpus here, and with what ``pdfsig`` really says.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hitl_audit.review.ledger import Ledger
from hitl_audit.signing.attestations import attest
from hitl_audit.signing.cms_signer import cms_signer
from hitl_audit.signing.detached import cms_signature, ssh_signature
from hitl_audit.signing.keys import SigningKey, generate_key, key_from
from hitl_audit.signing.pdf import sign_pdf
from hitl_audit.verification import VerificationResult

if TYPE_CHECKING:
    from tests.verification.conftest import Workshop

DOCS = Path(__file__).parents[2] / "docs" / "tamper.md"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Bench:
    """What an attacker has: the tools, a complete audit to spoil, another, and its beginnings."""

    workshop: Workshop
    folder: Path
    other: Path
    made: Any

    @property
    def pdf(self) -> bytes:
        return (self.folder / "report.pdf").read_bytes()

    def put(self, pdf: bytes) -> None:
        (self.folder / "report.pdf").write_bytes(pdf)

    def start_again(self) -> None:
        """The folder before anybody signed."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.made.folder, self.folder)


# --- ways to change a PDF ---


def update(pdf: bytes, change: Callable[[Any], None]) -> bytes:
    """An incremental update, with the signing library as the attacker's tool."""
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer: Any = IncrementalPdfFileWriter(io.BytesIO(pdf))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def edit_page(writer: Any) -> None:
    from pyhanko.pdf_utils import generic

    page = writer.find_page_for_modification(0)[0].get_object()
    paint = writer.add_object(generic.StreamObject(stream_data=b"1 0 0 rg 100 500 300 60 re f"))
    page["/Contents"] = generic.ArrayObject([page.raw_get("/Contents"), paint])
    writer.update_container(page)


def annotate(writer: Any) -> None:
    from pyhanko.pdf_utils import generic

    page = writer.find_page_for_modification(0)[0].get_object()
    note = {
        "/Type": generic.NameObject("/Annot"),
        "/Subtype": generic.NameObject("/FreeText"),
        "/Rect": generic.ArrayObject(map(generic.NumberObject, (100, 600, 400, 660))),
        "/Contents": generic.pdf_string("All groups pass"),
        "/DA": generic.pdf_string("/Helv 12 Tf 0 g"),
    }
    dictionary: Any = generic.DictionaryObject
    page["/Annots"] = generic.ArrayObject([writer.add_object(dictionary(note))])
    writer.update_container(page)


def replace_attachment(writer: Any) -> None:
    from pyhanko.pdf_utils import generic

    listed = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    for place in range(0, len(listed), 2):
        if str(listed[place]) == "evidence.json":
            files = listed[place + 1]["/EF"]
            new = writer.add_object(generic.StreamObject(stream_data=b'{"verdict":"fair"}'))
            files["/F"] = files["/UF"] = new
            writer.update_container(files)


def rewrite(pdf: bytes, **attachments: bytes) -> bytes:
    """The whole file written anew, as an editor's "save" does."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        for name, data in attachments.items():
            stream: Any = document.attachments[name.replace("_", ".")].obj.EF.F
            stream.write(data)
        document.save(out)
    return out.getvalue()


def place_of_signature(pdf: bytes, number: int) -> tuple[int, int, int]:
    """Where the signature's digits begin and end, and where its revision ends."""
    ranges = re.findall(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)", pdf)[number]
    _, before, after, rest = (int(n) for n in ranges)
    return before + 1, after - 1, after + rest


def add_a_signature(pdf: bytes, key: SigningKey) -> bytes:
    """A stranger signs in a field of his own."""
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import signers
    from pyhanko.sign.fields import SigSeedSubFilter

    out = io.BytesIO()
    metadata = signers.PdfSignatureMetadata(
        field_name="Seal", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256"
    )
    signers.PdfSigner(metadata, signer=cms_signer(key)).sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(pdf)), output=out
    )
    return out.getvalue()


# --- the faults ---


def byte_flipped(bench: Bench) -> None:
    broken = bytearray(bench.pdf)
    broken[broken.index(b"stream\n", 2000) + 60] ^= 1
    bench.put(bytes(broken))


def bytes_appended(bench: Bench) -> None:
    bench.put(bench.pdf + b"\n% hello\n")


def page_edited_by_update(bench: Bench) -> None:
    bench.put(update(bench.pdf, edit_page))


def attachment_replaced_by_update(bench: Bench) -> None:
    bench.put(update(bench.pdf, replace_attachment))


def attachment_replaced_by_rewrite(bench: Bench) -> None:
    bench.put(rewrite(bench.pdf, evidence_json=b'{"verdict":"fair"}'))


def signature_of_another_report(bench: Bench) -> None:
    """The container of the same person's signature under another report, put into this one."""
    pdf, donor = bench.pdf, (bench.other / "report.pdf").read_bytes()
    start, end, _ = place_of_signature(pdf, 0)
    donor_start, donor_end, _ = place_of_signature(donor, 0)
    digits = donor[donor_start:donor_end].rstrip(b"0")
    bench.put(pdf[:start] + digits.ljust(end - start, b"0") + pdf[end:])


def approval_cut_off(bench: Bench) -> None:
    bench.put(bench.pdf[: place_of_signature(bench.pdf, 1)[2]])
    for left in bench.folder.glob("manifest.compliance-officer.*"):
        left.unlink()


def extra_signature_after_the_lock(bench: Bench) -> None:
    bench.put(add_a_signature(bench.pdf, bench.workshop.eve))


def page_edited_and_resealed_by_a_stranger(bench: Bench) -> None:
    bench.put(add_a_signature(update(bench.pdf, edit_page), bench.workshop.eve))


def annotation_after_certification(bench: Bench) -> None:
    bench.start_again()
    bench.workshop.sign_in(bench.folder, bench.workshop.ada, "data scientist")
    bench.put(update(bench.pdf, annotate))


def revoked_signer(bench: Bench) -> None:
    authority = authority_of("Example CA")
    officer = issued("Olga Officer", authority)
    bench.start_again()
    for minutes, (key, role) in enumerate(
        (
            (bench.workshop.ada, "data scientist"),
            (bench.workshop.bob, "domain expert"),
            (officer, "compliance officer"),
        )
    ):
        bench.workshop.sign_in(bench.folder, key, role, minutes=minutes)
    (bench.folder / "ca.pem").write_bytes(authority.certificate_pem())
    (bench.folder / "ca.crl").write_bytes(revocation_list(authority, officer))


def self_signed_stranger(bench: Bench) -> None:
    """Everything is made anew and signed by somebody who took the first signer's name."""
    bench.start_again()
    keys = (bench.workshop.eve, bench.workshop.bob, bench.workshop.olga)
    for minutes, (key, role) in enumerate(zip(keys, bench.workshop.roles, strict=True)):
        bench.workshop.sign_in(bench.folder, key, role, minutes=minutes)


def with_envelopes(bench: Bench, envelopes: dict[str, bytes]) -> None:
    """The preparer signs the report with other statements attached than follow from it."""
    bench.start_again()
    signed = sign_pdf(
        bench.pdf,
        bench.workshop.ada,
        field="data-scientist",
        reason="I signed.",
        signed_at=NOW,
        attach={name: (data, name) for name, data in envelopes.items()},
    )
    bench.put(signed)
    manifest = (bench.folder / "manifest.json").read_bytes()
    files = {
        **envelopes,
        "manifest.data-scientist.p7s": cms_signature(manifest, bench.workshop.ada, signed_at=NOW),
        "manifest.data-scientist.sig": ssh_signature(manifest, bench.workshop.ada),
    }
    for name, data in files.items():
        (bench.folder / name).write_bytes(data)
    for minutes, (key, role) in enumerate(
        ((bench.workshop.bob, "domain expert"), (bench.workshop.olga, "compliance officer")), 1
    ):
        bench.workshop.sign_in(bench.folder, key, role, minutes=minutes)


def envelope_payload_changed(bench: Bench) -> None:
    made = bench.made
    envelopes = attest(made.evidence, made.manifest.to_bytes(), bench.workshop.ada)
    outer = json.loads(envelopes["evidence.dsse.json"])
    payload = base64.b64decode(outer["payload"]).replace(b'"PASSED"', b'"FAILED"')
    outer["payload"] = base64.b64encode(payload).decode()
    with_envelopes(bench, {**envelopes, "evidence.dsse.json": json.dumps(outer).encode()})


def envelope_of_another_audit(bench: Bench) -> None:
    names = ("evidence.dsse.json", "judgments.dsse.json")
    with_envelopes(bench, {name: (bench.other / name).read_bytes() for name in names})


def ledger_with(bench: Bench, judgments: list[Any]) -> None:
    for left in bench.folder.glob("judgments.db*"):
        left.unlink()
    ledger = Ledger(bench.folder / "judgments.db")
    for judgment in judgments:
        ledger.append(judgment)


def ledger_tail_cut(bench: Bench) -> None:
    ledger = Ledger(bench.folder / "judgments.db", read_only=True)
    ledger_with(bench, list(ledger.judgments())[:-1])


def ledger_rewritten(bench: Bench) -> None:
    """Every link and hash recomputed: the file is consistent in itself."""
    from dataclasses import replace

    ledger = Ledger(bench.folder / "judgments.db", read_only=True)
    ledger_with(bench, [replace(j, answer="favorable") for j in ledger.judgments()])


def judgment_changed(bench: Bench) -> None:
    """One name in the file itself."""
    file = bench.folder / "judgments.db"
    data = file.read_bytes()
    assert b'"rev-1"' in data
    file.write_bytes(data.replace(b'"rev-1"', b'"rev-2"', 1))


def plan_changed(bench: Bench) -> None:
    path = bench.folder / "audit.toml"
    path.write_bytes(path.read_bytes().replace(b'"Mona Model"', b'"Nobody"'))


def evidence_number_changed_with_hashes_recomputed(bench: Bench) -> None:
    better = bench.workshop.make(value=0.99)
    for name in ("evidence.json", "manifest.json"):
        shutil.copy(better.folder / name, bench.folder / name)
    bench.put(
        rewrite(bench.pdf, evidence_json=better.evidence, manifest_json=better.manifest.to_bytes())
    )


def html_changed(bench: Bench) -> None:
    path = bench.folder / "report.html"
    path.write_bytes(path.read_bytes().replace(b"Report", b"REPORT"))


def manifest_resigned_by_a_stranger(bench: Bench) -> None:
    manifest = (bench.folder / "manifest.json").read_bytes()
    eve = bench.workshop.eve
    for name, data in (
        ("manifest.compliance-officer.p7s", cms_signature(manifest, eve, signed_at=NOW)),
        ("manifest.compliance-officer.sig", ssh_signature(manifest, eve)),
    ):
        (bench.folder / name).write_bytes(data)


def clock_moved_back(bench: Bench) -> None:
    """The last signer's computer says that it is yesterday."""
    bench.start_again()
    officer = generate_key("Olga Officer", now=lambda: NOW - timedelta(days=9))
    for key, role, minutes in (
        (bench.workshop.ada, "data scientist", 0),
        (bench.workshop.bob, "domain expert", 1),
        (officer, "compliance officer", -60 * 24),
    ):
        bench.workshop.sign_in(bench.folder, key, role, minutes=minutes)


# --- an authority, to be revoked by ---


def authority_of(name: str) -> SigningKey:
    return issued(name, None)


def issued(name: str, issuer: SigningKey | None) -> SigningKey:
    """A certificate by an authority, or (``None``) an authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer.public_key if issuer else private.public_key()
            ),
            critical=False,
        )
    )
    if issuer is not None:
        point = x509.DistributionPoint(
            [x509.UniformResourceIdentifier("http://ca.example/ca.crl")], None, None, None
        )
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    signer: Any = private if issuer is None else issuer.private_key
    return key_from(builder.sign(signer, hashes.SHA256()), private)


def revocation_list(authority: SigningKey, *revoked: SigningKey) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key),
            critical=False,
        )
    )
    for key in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(key.certificate.serial_number)
            .revocation_date(NOW - timedelta(hours=2))
            .build()
        )
    signer: Any = authority.private_key
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# fault → (what the attacker does, exit code, check that says so, words)
FAULTS: dict[str, tuple[Callable[[Bench], None], int, str, str]] = {
    "byte flipped": (byte_flipped, 1, "intact", "no longer as it was signed"),
    "bytes appended": (bytes_appended, 1, "changes", "9 bytes were appended after the end"),
    "page edited by update": (
        page_edited_by_update,
        1,
        "changes",
        "the content of page 1 was altered",
    ),
    "attachment replaced by update": (
        attachment_replaced_by_update,
        1,
        "changes",
        "the attachment evidence.json was replaced",
    ),
    "attachment replaced by rewrite": (
        attachment_replaced_by_rewrite,
        1,
        "intact",
        "the file was rewritten after signing",
    ),
    "signature of another report": (
        signature_of_another_report,
        1,
        "intact",
        "no longer as it was signed",
    ),
    "approval cut off": (approval_cut_off, 3, "roles", "Still open: compliance officer."),
    "extra signature after the lock": (
        extra_signature_after_the_lock,
        1,
        "changes",
        "places for signatures were added later: Seal",
    ),
    "page edited and resealed by a stranger": (
        page_edited_and_resealed_by_a_stranger,
        1,
        "changes",
        "the content of page 1 was altered",
    ),
    "annotation after certification": (
        annotation_after_certification,
        1,
        "changes",
        "an annotation on page 1 was added",
    ),
    "revoked signer": (revoked_signer, 1, "signers", "Revoked: Olga Officer (the certificate was"),
    "self-signed stranger": (
        self_signed_stranger,
        3,
        "signers",
        "Unknown to you: Ada Lovelace. Anyone can make",
    ),
    "envelope payload changed": (
        envelope_payload_changed,
        1,
        "statements",
        "evidence.dsse.json was altered, or not signed with the key of the data scientist",
    ),
    "envelope of another audit": (
        envelope_of_another_audit,
        1,
        "statements",
        "evidence.dsse.json speaks of other files: it belongs to another report",
    ),
    "ledger tail cut": (ledger_tail_cut, 1, "ledger", "3"),
    "ledger rewritten": (ledger_rewritten, 1, "ledger", ""),
    "judgment changed": (judgment_changed, 1, "ledger", ""),
    "plan changed": (plan_changed, 1, "companions", "audit.toml was altered after the report"),
    "evidence number changed with hashes recomputed": (
        evidence_number_changed_with_hashes_recomputed,
        1,
        "intact",
        "the file was rewritten after signing",
    ),
    "HTML changed": (html_changed, 1, "companions", "report.html was altered after the report"),
    "manifest re-signed by a stranger": (
        manifest_resigned_by_a_stranger,
        1,
        "manifest",
        "manifest.compliance-officer.p7s: it was not made with the key of the certificate",
    ),
    "clock moved back": (
        clock_moved_back,
        1,
        "time",
        "the compliance officer claims to have signed before the document was made",
    ),
}


@pytest.fixture(scope="module")
def tampered(
    workshop: Workshop,
    complete: Path,
    other_audit: Path,
    made: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Every fault in a folder of its own, named by it."""
    home = tmp_path_factory.mktemp("tampered")
    found = {}
    for fault, (tamper, *_) in FAULTS.items():
        folder = home / fault.replace(" ", "-")
        shutil.copytree(complete, folder)
        tamper(Bench(workshop, folder, other_audit, made))
        found[fault] = folder
    return found


@pytest.fixture(scope="module")
def answers(workshop: Workshop, tampered: dict[str, Path]) -> dict[str, VerificationResult]:
    return {fault: check(workshop, folder) for fault, folder in tampered.items()}


def check(workshop: Workshop, folder: Path) -> VerificationResult:
    trust = [*workshop.trust, *(folder / n for n in ("ca.pem", "ca.crl") if (folder / n).exists())]
    return workshop.verify(folder, trust=trust)


def pdfsig(folder: Path) -> str:
    """``pdfsig`` exits with 0 whatever it finds: its words are what counts."""
    done = subprocess.run(
        ["pdfsig", "-nocert", str(folder / "report.pdf")],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def pdfsig_verdict(folder: Path) -> str:
    """What a reader of ``pdfsig`` learns, in one word or two."""
    said = pdfsig(folder)
    if "Signature is Invalid" in said or "Digest Mismatch" in said or "Failed to parse" in said:
        return "invalid"
    if said.count("Signature is Valid.") == 0:
        return "no signature"
    if "Signature Field Name: Seal" in said:
        return "one more signature"
    if "is not signed" in said:
        return "valid, a place is empty"
    return "valid" if "Total document signed" in said else "valid, not the whole document"


def test_the_corpus_has_every_fault_once() -> None:
    assert len(FAULTS) == 22


@pytest.mark.parametrize("fault", FAULTS)
def test_tampering_is_caught_and_named(fault: str, answers: dict[str, VerificationResult]) -> None:
    _, code, where, words = FAULTS[fault]
    result = answers[fault]
    assert result.exit_code == code, result.words()
    found = result.check(where)
    assert found.outcome == ("fail" if code == 1 else "warn")
    assert words in found.words
    assert result.headline.startswith("INVALID" if code == 1 else ("INCOMPLETE", "VALID, but"))


def table() -> dict[str, tuple[str, str, str]]:
    """The documented table: fault → verify's answer, the check, pdfsig's answer."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", DOCS.read_text(), re.M)
    return {a.strip(): (b.strip(), c.strip(), d.strip()) for a, b, c, d in rows[1:]}


def test_the_documented_table_is_what_the_verifiers_say(
    answers: dict[str, VerificationResult], tampered: dict[str, Path]
) -> None:
    found = {}
    for fault, (_, code, where, _) in FAULTS.items():
        number = answers[fault].check(where).number
        found[fault] = (
            f"{'INVALID' if code == 1 else 'not complete'} ({code})",
            str(number),
            pdfsig_verdict(tampered[fault]),
        )
    assert table() == found


def test_the_unharmed_audit_is_valid_for_both(workshop: Workshop, complete: Path) -> None:
    assert check(workshop, complete).exit_code == 0
    assert pdfsig_verdict(complete) == "valid"
