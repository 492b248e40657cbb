"""A corpus of attacks, each named by what was done; every one must be caught and named."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import uuid
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pytest
import typst
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl_audit.canonical import digest_bytes, utc_text
from hitl_audit.errors import VerificationError
from hitl_audit.manifest import Manifest, ManifestFile, SignedCheckpoint
from hitl_audit.review.judgment import Judgment
from hitl_audit.review.ledger import Ledger
from hitl_audit.signing.keys import SigningKey, generate_key
from hitl_audit.signing.pdf import FieldBox, add_signature_fields, sign_pdf
from hitl_audit.verification import VerificationResult, verify

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FONTS = Path(__file__).parents[1] / "hitl_audit" / "report" / "fonts"
ROLES = ("data scientist", "domain expert", "compliance officer")
PLAN = b'[audit]\ntitle = "Mortgages"\n'
EVIDENCE = b'{"approval_ratio":0.74}'
HTML = b"<!doctype html><title>Report</title>"


def clock() -> datetime:
    return NOW + timedelta(hours=1)


def make_key(name: str) -> SigningKey:
    return generate_key(name, organization="Example Bank", now=lambda: NOW)


ADA, BOB, EVE = (make_key(name) for name in ("Ada Lovelace", "Bob Officer", "Ada Lovelace"))


def lock_of(plan: bytes, registered: datetime, *, after_results: bool = False) -> bytes:
    entry = {
        "digest": digest_bytes(plan),
        "registered_at": utc_text(registered),
        "after_results": after_results,
        "reason": "",
    }
    return json.dumps({"format": "hitl-audit/plan-lock/v1", "registrations": [entry]}).encode()


def make_manifest(
    *,
    evidence: bytes = EVIDENCE,
    lock: bytes,
    ledger: SignedCheckpoint | None = None,
    registered: datetime = NOW - timedelta(hours=2),
    plan_digest: str = digest_bytes(PLAN),
) -> Manifest:
    return Manifest(
        document_id="d-1",
        created=NOW - timedelta(minutes=5),
        files=(
            ManifestFile.of("results/evidence.json", evidence, attached=True),
            ManifestFile.of("audit.toml", PLAN, attached=True),
            ManifestFile.of("plan.lock.json", lock, attached=True),
            ManifestFile.of("report.html", HTML, attached=False),
        ),
        ledger=ledger,
        plan_digest=plan_digest,
        plan_registered_at=registered,
        results_created=NOW - timedelta(hours=1),
    )


def make_pdf(manifest: Manifest, lock: bytes, roles: tuple[str, ...], **extra: bytes) -> bytes:
    attached = {
        "evidence.json": EVIDENCE,
        "audit.toml": PLAN,
        "plan.lock.json": lock,
        "manifest.json": manifest.to_bytes(),
        **{name.replace("_", "."): data for name, data in extra.items()},
    }
    lines = [
        '#set document(title: "Report", date: datetime(year: 2026, month: 11, day: 23))',
        '#set text(font: "Inter", lang: "en")',
    ]
    for name, data in attached.items():
        lines.append(
            f"#pdf.attach({json.dumps(name)}, bytes({json.dumps(data.decode())}), "
            f'relationship: "data", mime-type: "application/octet-stream", description: "{name}")'
        )
    lines += ["= Report", "#lorem(40)", "#pagebreak()", "= Signatures"]
    folders: list[Any] = [str(FONTS)]
    page: bytes = typst.compile(
        "\n".join(lines).encode(),
        format="pdf",
        font_paths=folders,
        ignore_system_fonts=True,
        pdf_standards=["a-3a", "ua-1"],
        timestamp=1_700_000_000,
    )
    boxes = [
        FieldBox(role.replace(" ", "-"), role, 2, 70, 110 + 90 * i, 450, 74, role == roles[-1])
        for i, role in enumerate(roles)
    ]
    return add_signature_fields(page, boxes)


def sign_as(pdf: bytes, key: SigningKey, role: str, minutes: int = 0) -> bytes:
    return sign_pdf(
        pdf,
        key,
        field=role.replace(" ", "-"),
        reason=f"I signed as {role}.",
        signed_at=NOW + timedelta(minutes=minutes),
    )


LOCK = lock_of(PLAN, NOW - timedelta(hours=2))


@pytest.fixture(scope="module")
def unsigned() -> bytes:
    return make_pdf(make_manifest(lock=LOCK), LOCK, ROLES)


@pytest.fixture(scope="module")
def once(unsigned: bytes) -> bytes:
    return sign_as(unsigned, ADA, ROLES[0])


@pytest.fixture(scope="module")
def complete(once: bytes) -> bytes:
    return sign_as(sign_as(once, ADA, ROLES[1], 1), BOB, ROLES[2], 2)


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., VerificationResult]:
    def run(pdf: bytes, **other: Any) -> VerificationResult:
        file = tmp_path / "report.pdf"
        file.write_bytes(pdf)
        return verify(file, **{"now": clock, **other})

    return run


Run = Callable[..., VerificationResult]


def outcome(result: VerificationResult, name: str) -> tuple[str, str]:
    found = result.check(name)
    return found.outcome, found.words


# An unharmed document


def test_a_complete_document_by_known_signers_passes_everything(
    complete: bytes, check: Run
) -> None:
    result = check(complete, trust=[ADA.fingerprint, BOB.fingerprint])
    assert (result.valid, result.trusted, result.exit_code) == (True, True, 0)
    assert result.open_roles == ()
    assert {c.id: c.outcome for c in result.checks if c.outcome != "pass"} == {
        "companions": "not done",
        "ledger": "not done",
    }
    assert [c.number for c in result.checks] == list(range(1, 12))
    assert [(s.role, s.name, s.covers_whole_document) for s in result.signatures] == [
        ("data scientist", "Ada Lovelace", False),
        ("domain expert", "Ada Lovelace", False),
        ("compliance officer", "Bob Officer", True),
    ]
    assert outcome(result, "changes")[1] == (
        "Only as allowed: later signatures were added (domain expert, compliance officer)."
    )
    assert "claimed by the signer's computer; no timestamp authority" in outcome(result, "time")[1]


def test_unknown_signers_are_said_so_and_never_pass_silently(complete: bytes, check: Run) -> None:
    result = check(complete)
    assert (result.valid, result.trusted, result.exit_code) == (True, False, 3)
    said, words = outcome(result, "signers")
    assert said == "warn"
    assert "another way than this document came" in words
    for key in (ADA, BOB):
        assert key.fingerprint_words in result.words()
    assert check(complete, trust=[ADA.fingerprint]).exit_code == 3
    # A namesake is not the signer.
    assert check(complete, trust=[EVE.fingerprint, BOB.fingerprint]).exit_code == 3


def test_trust_is_given_by_fingerprint_or_certificate(
    complete: bytes, check: Run, tmp_path: Path
) -> None:
    pem, der = tmp_path / "ada.pem", tmp_path / "bob.cer"
    pem.write_bytes(ADA.certificate_pem())
    der.write_bytes(BOB.certificate.public_bytes(serialization.Encoding.DER))
    for trust in (
        [ADA.fingerprint.upper(), BOB.fingerprint_words],
        [f"sha256:{ADA.fingerprint}", BOB.fingerprint_words.removeprefix("SHA-256 ")],
        [pem, der],
        [str(pem), BOB.fingerprint],
    ):
        assert check(complete, trust=trust).exit_code == 0


@pytest.mark.parametrize("entry", ["ab" * 31, "/nowhere/ca.pem", ""])
def test_trust_that_is_neither_is_refused(entry: str, once: bytes, check: Run) -> None:
    with pytest.raises(VerificationError, match="expected a SHA-256 fingerprint"):
        check(once, trust=[entry])


def test_a_key_file_is_no_certificate(once: bytes, check: Run, tmp_path: Path) -> None:
    (tmp_path / "x.p12").write_bytes(b"0\x82")
    with pytest.raises(VerificationError, match="holds no certificate"):
        check(once, trust=[tmp_path / "x.p12"])


def issue(name: str, issuer: SigningKey | None, *, days: int = 30) -> SigningKey:
    """A certificate with an authority (``issuer`` given) or an authority (``None``)."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = issuer is None
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
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
        .sign(private if issuer is None else issuer.private_key, hashes.SHA256())
    )
    return SigningKey(
        name=name,
        organization="",
        email="",
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        self_signed=authority,
        certificate=certificate,
        private_key=private,
    )


def test_an_authority_vouches_for_its_signers_only(
    unsigned: bytes, check: Run, tmp_path: Path
) -> None:
    authority, other = issue("Example CA", None), issue("Other CA", None)
    signed = sign_as(unsigned, issue("Carol", authority), ROLES[0])
    files = {}
    for name, key in (("ca", authority), ("other", other)):
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(key.certificate_pem())
    assert check(signed, trust=[files["ca"]]).trusted
    assert check(signed, trust=[files["other"]]).exit_code == 3
    late = check(signed, trust=[files["ca"]], now=lambda: NOW + timedelta(days=60))
    assert late.exit_code == 3
    assert "has expired since" in outcome(late, "time")[1]


# The tamper corpus


def flip(pdf: bytes) -> bytes:
    """One bit inside a compressed page stream."""
    broken = bytearray(pdf)
    broken[broken.index(b"stream\n", 2000) + 60] ^= 1
    return bytes(broken)


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
    reference = writer.add_object(dictionary(note))
    page["/Annots"] = generic.ArrayObject([reference])
    writer.update_container(page)


def replace_attachment(writer: Any, new: Any = None) -> None:
    from pyhanko.pdf_utils import generic

    names = writer.root["/Names"]["/EmbeddedFiles"]
    while "/Kids" in names:
        names = names["/Kids"][0]
    listed = names["/Names"]
    for place in range(0, len(listed), 2):
        if "evidence" in str(listed[place]):
            files = listed[place + 1]["/EF"]
            new = new or generic.StreamObject(stream_data=b'{"approval_ratio":0.99}')
            files["/F"] = files["/UF"] = writer.add_object(new)
            writer.update_container(files)


def rewrite(pdf: bytes, *, drop_signatures: bool = False, change_evidence: bool = True) -> bytes:
    """The whole file written anew, as an editor's "save" does."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        if change_evidence:
            stream: Any = document.attachments["evidence.json"].obj.EF.F
            stream.write(b'{"approval_ratio":0.99}')
        if drop_signatures:
            for field in document.Root.AcroForm.Fields:
                if "/V" in field:
                    del field.V
            del document.Root.Perms
        document.save(out)
    return out.getvalue()


def end_of_signature(pdf: bytes, place: int) -> int:
    with pikepdf.open(io.BytesIO(pdf)) as document:
        ranges = document.Root.AcroForm.Fields[place].V.ByteRange
        return int(ranges[2]) + int(ranges[3])


def add_a_signature(pdf: bytes) -> bytes:
    """A stranger signs in a field of his own."""
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import signers
    from pyhanko.sign.fields import SigSeedSubFilter

    from hitl_audit.signing.pdf import _cms_signer

    out = io.BytesIO()
    metadata = signers.PdfSignatureMetadata(
        field_name="Seal", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256"
    )
    signers.PdfSigner(metadata, signer=_cms_signer(EVE)).sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(pdf)), output=out
    )
    return out.getvalue()


def change_padding(pdf: bytes) -> bytes:
    """Inside the one place that no signature covers."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        after = int(document.Root.AcroForm.Fields[0].V.ByteRange[2])
    assert pdf[after - 3 : after] == b"00>"
    return pdf[: after - 2] + b"1" + pdf[after - 1 :]


CORPUS: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "a byte flipped": (flip, "intact", "is no longer as it was signed"),
    "a page edited by an update": (
        lambda pdf: update(pdf, edit_page),
        "changes",
        "the content of page 1 was altered",
    ),
    "an annotation added by an update": (
        lambda pdf: update(pdf, annotate),
        "changes",
        "an annotation on page 1 was added",
    ),
    "an attachment replaced by an update": (
        lambda pdf: update(pdf, replace_attachment),
        "changes",
        "the attachment evidence.json was replaced",
    ),
    "an attachment replaced by a rewrite": (rewrite, "intact", "the file was rewritten after"),
    "the file rewritten without a change": (
        lambda pdf: rewrite(pdf, change_evidence=False),
        "intact",
        "the file was rewritten after signing",
    ),
    "bytes appended after the end": (
        lambda pdf: pdf + b"\n% hello\n",
        "changes",
        "9 bytes were appended after the end of the document",
    ),
    "many bytes appended after the end": (
        lambda pdf: pdf + b"x" * 5000,
        "changes",
        "bytes were appended after the end of the document",
    ),
    "the signatures removed": (
        lambda pdf: rewrite(pdf, drop_signatures=True, change_evidence=False),
        "signed",
        "It is not signed: nobody vouches for anything in it.",
    ),
    "a stranger's signature in a place of his own": (
        add_a_signature,
        "changes",
        "places for signatures were added later: Seal",
    ),
    "the padding of a signature altered": (change_padding, "intact", "its padding is not empty"),
}


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("state", ["once", "complete"])
def test_tampering_is_caught_and_named(
    name: str, state: str, check: Run, request: pytest.FixtureRequest
) -> None:
    tamper, where, words = CORPUS[name]
    pdf: bytes = request.getfixturevalue(state)
    result = check(tamper(pdf), trust=[ADA.fingerprint, BOB.fingerprint])
    assert (result.valid, result.trusted, result.exit_code) == (False, False, 1)
    said, found = outcome(result, where)
    assert said == "fail"
    assert words in found
    assert result.headline.startswith("INVALID")


def test_a_replaced_attachment_is_named_also_when_the_signature_breaks(
    once: bytes, check: Run
) -> None:
    result = check(rewrite(once))
    assert outcome(result, "attachments") == (
        "fail",
        "evidence.json is not the file that the manifest names; it was replaced.",
    )
    assert outcome(result, "changes")[0] == "not done"


def test_pdfsig_sees_the_flipped_byte_as_well(once: bytes, tmp_path: Path) -> None:
    file = tmp_path / "flipped.pdf"
    file.write_bytes(flip(once))
    said = subprocess.run(["pdfsig", str(file)], capture_output=True, text=True, check=False)
    assert "Signature Validation: Signature is Invalid" in said.stdout + said.stderr or (
        "Digest Mismatch" in said.stdout
    )


def test_an_unsigned_document_is_not_valid(unsigned: bytes, check: Run) -> None:
    result = check(unsigned)
    assert result.exit_code == 1
    assert result.headline == "INVALID: not signed"
    assert result.open_roles == ROLES
    assert "Places are kept for: data scientist, domain expert" in outcome(result, "signed")[1]


def test_a_cut_off_approval_shows_as_an_open_role(complete: bytes, check: Run) -> None:
    """Outside readers call this file valid: only the audit's own roles tell."""
    rolled_back = complete[: end_of_signature(complete, 1)]
    result = check(rolled_back, trust=[ADA.fingerprint])
    assert (result.trusted, result.exit_code) == (True, 3)
    assert result.open_roles == ("compliance officer",)
    said, words = outcome(result, "roles")
    assert said == "warn"
    assert "Still open: compliance officer." in words
    assert result.headline == "INCOMPLETE: valid, but not signed yet by compliance officer"


def test_a_rollback_inside_a_revision_is_damage(complete: bytes, check: Run) -> None:
    cut = complete[: end_of_signature(complete, 1) - 200]
    assert check(cut).exit_code == 1


def test_a_signature_that_claims_to_be_earlier_is_noted(once: bytes, check: Run) -> None:
    result = check(sign_as(once, ADA, ROLES[1], -1), trust=[ADA.fingerprint])
    assert outcome(result, "time")[0] == "warn"
    assert "claims to have signed before the one before" in outcome(result, "time")[1]


def test_a_time_to_come_is_noted(once: bytes, check: Run) -> None:
    early = check(once, now=lambda: NOW - timedelta(minutes=1))
    assert "is still to come" in outcome(early, "time")[1]


# The audit's own rules


@pytest.mark.parametrize(
    ("lock", "manifest", "said", "words"),
    [
        (
            lock_of(PLAN, NOW),
            {"registered": NOW},
            "fail",
            "the plan was registered on 2026-11-23 12:00:00 UTC, not before the results",
        ),
        (lock_of(PLAN + b"#", NOW - timedelta(hours=2)), {}, "fail", "not the plan that was"),
        (LOCK, {"plan_digest": digest_bytes(b"x")}, "fail", "not the plan that was registered"),
        (lock_of(PLAN, NOW - timedelta(hours=3)), {}, "fail", "different times of registration"),
        (
            lock_of(PLAN, NOW - timedelta(hours=2), after_results=True),
            {},
            "warn",
            "the plan was changed when results already existed",
        ),
        (b'{"format": "hitl-audit/plan-lock/v7"}', {}, "fail", "plan-lock/v7"),
    ],
)
def test_the_plan_must_be_the_registered_one_and_older_than_the_results(
    lock: bytes, manifest: dict[str, Any], said: str, words: str, check: Run
) -> None:
    pdf = make_pdf(make_manifest(lock=lock, **manifest), lock, ROLES[:1])
    found, text = outcome(check(sign_as(pdf, ADA, ROLES[0])), "plan")
    assert (found, words in text) == (said, True), text


def test_a_manifest_that_names_another_file_or_misses_one_is_caught(check: Run) -> None:
    wrong = make_manifest(lock=LOCK, evidence=b"{}")
    result = check(sign_as(make_pdf(wrong, LOCK, ROLES[:1], notes_txt=b"hi"), ADA, ROLES[0]))
    assert outcome(result, "attachments") == (
        "fail",
        "notes.txt is attached but not in the manifest; "
        "evidence.json is not the file that the manifest names; it was replaced.",
    )
    assert result.exit_code == 1


def test_a_signed_pdf_of_others_is_not_a_report(check: Run, tmp_path: Path) -> None:
    file = tmp_path / "other.pdf"
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(file)
    box = FieldBox("only", "auditor", 1, 50, 50, 300, 60, locks=True)
    prepared = add_signature_fields(file.read_bytes(), [box])
    signed = sign_pdf(prepared, ADA, field="only", reason="I signed.", signed_at=NOW)
    result = check(signed, trust=[ADA.fingerprint])
    assert outcome(result, "intact")[0] == "pass"
    assert result.exit_code == 1
    assert "carries no manifest.json" in outcome(result, "attachments")[1]


# A folder


def judgment(number: int) -> Judgment:
    return Judgment(
        event_id=str(uuid.UUID(int=number)),
        case_id="case-1",
        design="random",
        inclusion_probability=0.5,
        reviewer="rev-1",
        role="domain expert",
        phase="blind",
        answer="unsure",
        reasons=(),
        rationale="",
        shown=("case",),
        model_digest=digest_bytes(b"model"),
        plan_digest=digest_bytes(PLAN),
        at=utc_text(NOW),
        seconds=None,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dossier as an audit leaves it, with one signature."""
    home = tmp_path / "mortgage"
    (home / "results").mkdir(parents=True)
    ledger = Ledger(home / "judgments.db")
    for number in range(3):
        ledger.append(judgment(number))
    now = ledger.checkpoint()
    signed = SignedCheckpoint(
        now.size, now.root.removeprefix("sha256:"), now.chain_head.removeprefix("sha256:")
    )
    manifest = make_manifest(lock=LOCK, ledger=signed)
    (home / "report.pdf").write_bytes(sign_as(make_pdf(manifest, LOCK, ROLES[:1]), ADA, ROLES[0]))
    (home / "manifest.json").write_bytes(manifest.to_bytes())
    (home / "audit.toml").write_bytes(PLAN)
    (home / "plan.lock.json").write_bytes(LOCK)
    (home / "report.html").write_bytes(HTML)
    (home / "results" / "evidence.json").write_bytes(EVIDENCE)
    return home


def test_an_unharmed_folder_passes_every_check(folder: Path) -> None:
    result = verify(folder, trust=[ADA.fingerprint], now=clock)
    assert {c.outcome for c in result.checks} == {"pass"}
    assert result.exit_code == 0
    assert "4 files beside the report" in outcome(result, "companions")[1]
    assert outcome(result, "ledger")[1].startswith("All 3 judgments")


def test_judgments_after_the_report_are_no_harm(folder: Path) -> None:
    Ledger(folder / "judgments.db").append(judgment(9))
    assert verify(folder, trust=[ADA.fingerprint], now=clock).exit_code == 0


def cut_ledger(home: Path) -> None:
    (home / "judgments.db").unlink()
    for leftover in home.glob("judgments.db-*"):
        leftover.unlink()
    Ledger(home / "judgments.db").append(judgment(0))


FOLDER_CORPUS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "the web page altered": (
        lambda home: (home / "report.html").write_bytes(HTML + b" "),
        "companions",
        "report.html was altered after the report was made",
    ),
    "the evidence altered": (
        lambda home: (home / "results" / "evidence.json").write_bytes(b"{}"),
        "companions",
        "results/evidence.json was altered",
    ),
    "the plan altered": (
        lambda home: (home / "audit.toml").write_bytes(PLAN + b"\n"),
        "companions",
        "audit.toml was altered",
    ),
    "another manifest": (
        lambda home: (home / "manifest.json").write_bytes(b"{}"),
        "companions",
        "manifest.json is not the one inside the report",
    ),
    "judgments cut off": (cut_ledger, "ledger", "the checkpoint vouches for 3 events"),
    "something else for a ledger": (
        lambda home: (home / "judgments.db").write_bytes(b"not a database" * 100),
        "ledger",
        "judgments.db",
    ),
}


@pytest.mark.parametrize("name", FOLDER_CORPUS)
def test_tampering_beside_the_report_is_caught_and_named(name: str, folder: Path) -> None:
    tamper, where, words = FOLDER_CORPUS[name]
    tamper(folder)
    result = verify(folder, trust=[ADA.fingerprint], now=clock)
    assert result.exit_code == 1
    said, found = outcome(result, where)
    assert (said, words in found) == ("fail", True), found


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("report.html", "companions", "report.html is not beside the report"),
        ("manifest.json", "companions", "manifest.json is not beside the report"),
        ("judgments.db", "ledger", "judgments.db, with 3 judgments, is not beside the report"),
    ],
)
def test_a_missing_companion_is_said_but_no_failure(
    name: str, where: str, words: str, folder: Path
) -> None:
    (folder / name).unlink()
    result = verify(folder, trust=[ADA.fingerprint], now=clock)
    assert result.exit_code == 0
    said, found = outcome(result, where)
    assert (said, words in found) == ("warn", True), found


def test_the_folder_may_move_and_the_pdf_may_travel_alone(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    assert verify(moved, trust=[ADA.fingerprint], now=clock).exit_code == 0
    assert verify(moved / "report.pdf", trust=[ADA.fingerprint], now=clock).exit_code == 0


def test_a_manifest_cannot_lead_out_of_the_folder(folder: Path) -> None:
    names = ("../secret.txt", "/etc/hostname", "report.html")
    (folder.parent / "secret.txt").write_text("x")
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(folder.parent / "secret.txt")
    for name in names:
        good = make_manifest(lock=LOCK)
        files = (*good.files[:3], ManifestFile.of(name, b"x", attached=False))
        bad = replace(good, files=files)
        pdf = make_pdf(bad, LOCK, ROLES[:1])
        (folder / "report.pdf").write_bytes(sign_as(pdf, ADA, ROLES[0]))
        (folder / "manifest.json").write_bytes(bad.to_bytes())
        result = verify(folder, now=clock)
        assert outcome(result, "companions")[0] == "fail"
        assert "outside the folder" in outcome(result, "companions")[1]


# Hostile and useless input


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "got an empty file"),
        (b"<html>", "got something else"),
        (b"%PDF-1.7\n", "damaged or cut off"),
        (b"%PDF-1.7\n" + bytes(5000) + b"\nstartxref\n9\n%%EOF\n", "damaged or cut off"),
        (b"%PDF-1.7\n1 0 obj\n" + b"[" * 50_000 + b"\nstartxref\n9\n%%EOF\n", "damaged"),
    ],
)
def test_what_is_not_a_pdf_is_invalid_in_words(data: bytes, words: str, check: Run) -> None:
    result = check(data)
    assert result.exit_code == 1
    assert words in outcome(result, "readable")[1]
    assert {c.outcome for c in result.checks[1:]} == {"not done"}
    assert result.words()


def test_every_truncation_is_invalid(once: bytes, check: Run) -> None:
    for tenth in range(1, 10):
        assert check(once[: len(once) * tenth // 10]).exit_code == 1


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(VerificationError, match="path is a NoneType; expected the path of a PDF"):
        verify(nothing)
    for path, words in (
        (tmp_path / "none.pdf", "no such file"),
        (tmp_path, r"folder without report\.pdf"),
        (Path("/dev/null"), "not a file"),
    ):
        with pytest.raises(VerificationError, match=words):
            verify(path, now=clock)
    huge = tmp_path / "huge.pdf"
    with huge.open("wb") as file:
        file.truncate(513 * 1024 * 1024)
    with pytest.raises(VerificationError, match="expected at most 536,870,912"):
        verify(huge, now=clock)


def test_an_attachment_that_unpacks_without_end_is_refused(once: bytes, check: Run) -> None:
    def swell(writer: Any) -> None:
        from pyhanko.pdf_utils import generic

        stream: Any = generic.StreamObject
        twice = generic.ArrayObject([generic.NameObject("/FlateDecode")] * 2)
        bomb = zlib.compress(zlib.compress(bytes(8 << 20), 9), 9)
        replace_attachment(writer, stream({"/Filter": twice}, encoded_data=bomb))

    result = check(update(once, swell))
    assert result.exit_code == 1
    assert "DecodeLimit" in outcome(result, "attachments")[1]


def test_control_characters_do_not_reach_the_terminal(unsigned: bytes, check: Run) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(unsigned)) as document:
        document.Root.AcroForm.Fields[0].TU = pikepdf.String("a\x1b[2Jb\u202ec")
        document.save(out)
    result = check(out.getvalue())
    assert result.open_roles[0] == "a\ufffd[2Jb\ufffdc"
    assert "\x1b" not in result.words()
    assert "\u202e" not in json.dumps(result.to_dict(), ensure_ascii=False)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_single_flipped_bit_ever_passes(data: st.DataObject, small: Path) -> None:
    pdf = small.read_bytes()
    place = data.draw(st.integers(0, len(pdf) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(pdf)
    flipped[place] ^= 1 << bit
    file = small.with_name("flipped.pdf")
    file.write_bytes(flipped)
    assert verify(file, trust=[ADA.fingerprint], now=clock).exit_code == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_flipped_bit_inside_the_signature_passes(data: st.DataObject, small: Path) -> None:
    """The place of the signature is the only part that the signature cannot cover."""
    pdf = small.read_bytes()
    with pikepdf.open(small) as document:
        _, start, end, _ = (int(n) for n in document.Root.AcroForm.Fields[0].V.ByteRange)
    flipped = bytearray(pdf)
    flipped[data.draw(st.integers(start, end - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file = small.with_name("flipped.pdf")
    file.write_bytes(flipped)
    assert verify(file, trust=[ADA.fingerprint], now=clock).exit_code == 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, once: bytes) -> Path:
    file = tmp_path_factory.mktemp("flips") / "report.pdf"
    file.write_bytes(once)
    assert verify(file, trust=[ADA.fingerprint], now=clock).trusted
    return file


# What is shown


def test_the_words_answer_the_four_questions(complete: bytes, check: Run) -> None:
    text = check(complete).words()
    for words in ("Intact?", "Who?", "When?", "Changed since?", ADA.fingerprint_words, "Checks"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 112
    assert "VALID, but a signer is unknown to you" in text.splitlines()[0]


def test_the_result_is_plain_json(once: bytes, check: Run) -> None:
    value = json.loads(json.dumps(check(once).to_dict()))
    assert value["format"] == "hitl-audit/verification/v1"
    assert (value["valid"], value["exit_code"]) == (True, 3)
    assert value["open_roles"] == ["domain expert", "compliance officer"]
    assert value["signatures"][0]["signed_at"] == "2026-11-23 12:00:00 UTC"
    assert [c["id"] for c in value["checks"]][:4] == ["readable", "signed", "intact", "changes"]


def test_it_works_inside_a_running_event_loop(once: bytes, check: Run) -> None:
    async def cell() -> VerificationResult:
        return check(once)

    assert asyncio.run(cell()).exit_code == 3


def test_it_is_quiet(once: bytes, check: Run, capfd: pytest.CaptureFixture[str]) -> None:
    check(update(once, edit_page))
    check(flip(once))
    assert capfd.readouterr() == ("", "")


def test_a_verifier_needs_no_data_science_stack(folder: Path) -> None:
    heavy = ("numpy", "pandas", "shap", "sklearn", "scipy", "matplotlib", "typst", "pydantic")
    program = (
        "import sys, hitl_audit.verification as v\n"
        f"r = v.verify({str(folder)!r})\n"
        f"print(r.check('ledger').outcome, [m for m in {heavy!r} if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "pass []"
