"""What verification answers about documents that nobody tampered with, and in which words."""

from __future__ import annotations

import json
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest
from cryptography.hazmat.primitives import serialization

from hitl_audit.errors import VerificationError
from hitl_audit.review.ledger import Ledger
from hitl_audit.signing.pdf import FieldBox, add_signature_fields, sign_pdf
from hitl_audit.verification import VerificationResult

if TYPE_CHECKING:
    from tests.verification.conftest import Made, Workshop

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROLES = ("data scientist", "domain expert", "compliance officer")
ANSWERS = ("intact", "signers", "time", "changes")


def outcome(result: VerificationResult, name: str) -> tuple[str, str]:
    found = result.check(name)
    return found.outcome, found.words


def test_a_complete_audit_by_known_signers_passes_everything(
    workshop: Workshop, complete: Path
) -> None:
    result = workshop.verify(complete)
    assert {c.outcome for c in result.checks} == {"pass"}
    assert (result.valid, result.trusted, result.exit_code) == (True, True, 0)
    assert result.headline == "VALID, signed by people you trust"
    assert [c.number for c in result.checks] == list(range(1, 16))
    assert [(s.role, s.name, s.status, s.covers_whole_document) for s in result.signatures] == [
        ("data scientist", "Ada Lovelace", "trusted", False),
        ("domain expert", "Bob Expert", "trusted", False),
        ("compliance officer", "Olga Officer", "trusted", True),
    ]
    assert outcome(result, "changes")[1] == (
        "Only as allowed: later signatures were added (domain expert, compliance officer)."
    )
    assert "no timestamp authority confirms it" in outcome(result, "time")[1]
    assert "8 files beside the report" in outcome(result, "companions")[1]


def test_the_pdf_alone_passes_and_says_what_was_not_checked(
    workshop: Workshop, complete: Path
) -> None:
    result = workshop.verify(complete / "report.pdf")
    assert result.exit_code == 0
    assert {c.id for c in result.checks if c.outcome == "not done"} == {
        "companions",
        "manifest",
        "ledger",
    }


def test_four_answers_are_sentences_in_text_and_json(workshop: Workshop, complete: Path) -> None:
    result = workshop.verify(complete)
    answers = json.loads(json.dumps(result.to_dict()))["answers"]
    assert tuple(answers) == ANSWERS
    words = " ".join(result.words().split())
    for answer in answers.values():
        assert answer.endswith(".")
        assert answer in words


def test_a_fresh_report_is_a_draft_and_not_invalid(workshop: Workshop, made: Made) -> None:
    for path in (made.folder, made.folder / "report.pdf"):
        result = workshop.verify(path)
        assert (result.valid, result.trusted, result.exit_code) == (True, False, 3)
        assert result.headline == (
            "DRAFT: its parts agree with each other, but nobody has signed it"
        )
        assert result.open_roles == ROLES
        said, words = outcome(result, "signed")
        assert said == "warn"
        assert "nobody vouches for anything in it. Places are kept for: data scientist" in words
        assert outcome(result, "attachments")[0] == outcome(result, "one audit")[0] == "pass"
        assert all(outcome(result, name)[1].endswith(".") for name in ANSWERS)


def test_a_draft_whose_parts_do_not_agree_is_invalid(workshop: Workshop, made: Made) -> None:
    folder = workshop.copy(made.folder)
    (folder / "report.html").write_bytes(b"other")
    assert workshop.verify(folder).exit_code == 1


@pytest.mark.parametrize("with_folder", [True, False])
def test_signatures_that_were_removed_leave_traces(
    with_folder: bool, workshop: Workshop, complete: Path
) -> None:
    folder = workshop.copy(complete)
    with pikepdf.open(complete / "report.pdf") as document:
        for field in document.Root.AcroForm.Fields:
            if "/V" in field:
                del field.V
        del document.Root.Perms
        document.save(folder / "report.pdf")
    result = workshop.verify(folder if with_folder else folder / "report.pdf")
    assert result.exit_code == 1
    assert "It is not signed, but was" in outcome(result, "signed")[1]


def test_unknown_signers_never_pass_silently(workshop: Workshop, complete: Path) -> None:
    result = workshop.verify(complete, trust=())
    assert (result.valid, result.trusted, result.exit_code) == (True, False, 3)
    said, words = outcome(result, "signers")
    assert said == "warn"
    assert "another way than this document came" in words
    for key in (workshop.ada, workshop.bob, workshop.olga):
        assert key.fingerprint_words in result.words()
    assert workshop.verify(complete, trust=workshop.trust[:1]).exit_code == 3
    # A namesake is not the signer.
    namesake = [workshop.eve.fingerprint, *workshop.trust[1:]]
    assert workshop.verify(complete, trust=namesake).exit_code == 3


def test_trust_is_given_by_fingerprint_or_certificate(
    workshop: Workshop, complete: Path, tmp_path: Path
) -> None:
    ada, bob, olga = workshop.ada, workshop.bob, workshop.olga
    pem, der = tmp_path / "ada.pem", tmp_path / "bob.cer"
    pem.write_bytes(ada.certificate_pem())
    der.write_bytes(bob.certificate.public_bytes(serialization.Encoding.DER))
    for trust in (
        [ada.fingerprint.upper(), bob.fingerprint_words, olga.fingerprint],
        [
            f"sha256:{ada.fingerprint}",
            bob.fingerprint_words.removeprefix("SHA-256 "),
            olga.fingerprint,
        ],
        [pem, str(der), olga.fingerprint],
    ):
        assert workshop.verify(complete, trust=trust).exit_code == 0


@pytest.mark.parametrize("entry", ["ab" * 31, "/nowhere/ca.pem", ""])
def test_trust_that_is_neither_is_refused(entry: str, workshop: Workshop, once: Path) -> None:
    with pytest.raises(VerificationError, match="expected a SHA-256 fingerprint"):
        workshop.verify(once, trust=[entry])


def test_a_key_file_is_no_certificate(workshop: Workshop, once: Path, tmp_path: Path) -> None:
    (tmp_path / "x.p12").write_bytes(b"0\x82")
    with pytest.raises(VerificationError, match="holds no certificate"):
        workshop.verify(once, trust=[tmp_path / "x.p12"])


def test_an_expired_certificate_is_no_longer_enough(workshop: Workshop, complete: Path) -> None:
    later = NOW + timedelta(days=900)
    result = workshop.verify(complete, now=lambda: later)
    assert {s.status for s in result.signatures} == {"expired"}
    assert result.exit_code == 3
    assert "no timestamp that you trust proves" in outcome(result, "signers")[1]
    assert "VALID, but a signer's certificate has expired" in result.headline


def test_a_time_to_come_is_noted_or_wrong(workshop: Workshop, once: Path) -> None:
    for minutes, said in ((1, "warn"), (30, "fail")):
        early = workshop.verify(once, now=lambda m=minutes: NOW - timedelta(minutes=m))
        assert outcome(early, "time")[0] == said
        assert "is still to come" in outcome(early, "time")[1]


def test_a_signature_that_claims_to_be_earlier_is_noted_or_wrong(
    workshop: Workshop, once: Path
) -> None:
    for minutes, said in ((-1, "warn"), (-4, "warn"), (-4.9, "warn")):
        folder = workshop.copy(once)
        workshop.sign_in(folder, workshop.bob, ROLES[1], minutes=minutes)
        found = outcome(workshop.verify(folder), "time")
        assert found[0] == said
        assert "claims to have signed before the one before (data scientist)" in found[1]


def test_judgments_after_the_report_are_no_harm(workshop: Workshop, complete: Path) -> None:
    folder = workshop.copy(complete)
    Ledger(folder / "judgments.db").append(workshop.judgment(9))
    assert workshop.verify(folder).exit_code == 0


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("report.html", "companions", "report.html is not beside the report"),
        ("manifest.json", "companions", "manifest.json is not beside the report"),
        ("evidence.dsse.json", "companions", "evidence.dsse.json is not beside the report"),
        ("results/scores.parquet", "companions", "scores.parquet is not beside the report"),
        ("model.bin", "companions", "model.bin is not beside the report"),
        ("manifest.domain-expert.p7s", "manifest", "manifest.domain-expert.p7s is not beside"),
        ("judgments.db", "ledger", "judgments.db, with 3 judgments, is not beside the report"),
    ],
)
def test_a_missing_companion_is_said_but_no_failure(
    name: str, where: str, words: str, workshop: Workshop, complete: Path
) -> None:
    folder = workshop.copy(complete)
    (folder / name).unlink()
    result = workshop.verify(folder)
    assert result.exit_code == 0
    said, found = outcome(result, where)
    assert (said, words in found) == ("warn", True), found


@pytest.mark.parametrize(
    "name",
    [
        "results/scores.parquet",
        "results/evidence.json",
        "model.bin",
        "alternative.json",
        "evidence.json",
        "plan.lock.json",
        "manifest.json",
        "evidence.dsse.json",
        "judgments.dsse.json",
        "manifest.data-scientist.p7s",
        "manifest.data-scientist.sig",
        "manifest.compliance-officer.sig",
    ],
)
def test_every_file_of_the_folder_is_covered(name: str, workshop: Workshop, complete: Path) -> None:
    folder = workshop.copy(complete)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    assert workshop.verify(folder).exit_code == 1


def test_a_cut_off_approval_leaves_the_officers_other_signatures(
    workshop: Workshop, once: Path, complete: Path
) -> None:
    folder = workshop.copy(complete)
    shutil.copy(once / "report.pdf", folder / "report.pdf")
    result = workshop.verify(folder)
    assert result.exit_code == 1
    assert (
        "manifest.compliance-officer.p7s: there is no signature of this role"
        in (outcome(result, "manifest")[1])
    )


def test_a_rollback_inside_a_revision_is_damage(workshop: Workshop, complete: Path) -> None:
    pdf = (complete / "report.pdf").read_bytes()
    for tenth in range(1, 10):
        assert workshop.verify_bytes(pdf[: len(pdf) * tenth // 10]).exit_code == 1


def test_a_report_of_another_audit_in_this_folder_is_seen(
    workshop: Workshop, complete: Path, other_audit: Path
) -> None:
    folder = workshop.copy(complete)
    shutil.copy(other_audit / "report.pdf", folder / "report.pdf")
    result = workshop.verify(folder)
    assert result.exit_code == 1
    assert "these files belong to another report" in outcome(result, "companions")[1]
    assert result.document.startswith("Credit cards · HA-")


def test_the_folder_may_move_and_be_zipped(
    workshop: Workshop, complete: Path, tmp_path: Path
) -> None:
    moved = shutil.move(workshop.copy(complete), tmp_path / "elsewhere")
    assert workshop.verify(Path(moved)).exit_code == 0
    flat = shutil.make_archive(str(tmp_path / "flat"), "zip", moved)
    nested = shutil.make_archive(str(tmp_path / "nested"), "zip", tmp_path, "elsewhere")
    for path in (flat, nested):
        result = workshop.verify(Path(path))
        assert {c.outcome for c in result.checks} == {"pass"}
        assert result.exit_code == 0
    with zipfile.ZipFile(flat, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("report.html", b"other")
    with pytest.raises(VerificationError):
        workshop.verify(Path(flat))


def test_a_signed_pdf_of_others_is_not_a_report(workshop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "other.pdf"
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(file)
    box = FieldBox("only", "auditor", 1, 50, 50, 300, 60, locks=True)
    prepared = add_signature_fields(file.read_bytes(), [box])
    signed = sign_pdf(prepared, workshop.ada, field="only", reason="I signed.", signed_at=NOW)
    result = workshop.verify_bytes(signed)
    assert outcome(result, "intact")[0] == "pass"
    assert result.exit_code == 1
    assert "carries no manifest.json" in outcome(result, "attachments")[1]


def test_nothing_to_verify_is_an_error(workshop: Workshop, tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(VerificationError, match="path is a NoneType; expected the path of a PDF"):
        workshop.verify(nothing)
    for path, words in (
        (tmp_path / "none.pdf", "no such file"),
        (tmp_path, r"folder without report\.pdf"),
        (Path("/dev/null"), "not a file"),
    ):
        with pytest.raises(VerificationError, match=words):
            workshop.verify(path)
    huge = tmp_path / "huge.pdf"
    with huge.open("wb") as file:
        file.truncate(257 * 1024 * 1024)
    with pytest.raises(VerificationError, match="expected at most 268,435,456"):
        workshop.verify(huge)
