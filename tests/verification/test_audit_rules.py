"""The audit's own rules, against documents whose signatures are all good."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from hitl_audit.canonical import digest_bytes, utc_text
from hitl_audit.manifest import ManifestFile, SignedCheckpoint
from hitl_audit.signing.attestations import attest
from hitl_audit.signing.cms_signer import asn1_certificate
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.pdf import sign_pdf
from hitl_audit.verification import VerificationResult

if TYPE_CHECKING:
    from tests.verification.conftest import Made, Workshop

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROLES = ("data-scientist", "domain-expert", "compliance-officer")


def outcome(result: VerificationResult, name: str) -> tuple[str, str]:
    found = result.check(name)
    return found.outcome, found.words


def signed_without_rules(
    workshop: Workshop, made: Made, keys: tuple[SigningKey, ...], **first: Any
) -> VerificationResult:
    """Signed with another program, which knows no plan."""
    pdf = made.pdf
    attach = attest(made.evidence, made.manifest.to_bytes(), keys[0])
    settings: dict[str, Any] = {"attach": {n: (d, n) for n, d in attach.items()}, **first}
    for minutes, (key, role) in enumerate(zip(keys, ROLES, strict=False)):
        moment = NOW + timedelta(minutes=minutes)
        pdf = sign_pdf(pdf, key, field=role, reason="I signed.", signed_at=moment, **settings)
        settings = {}
    return workshop.verify_bytes(pdf, trust=[key.fingerprint for key in keys])


@pytest.mark.parametrize(
    ("parts", "said", "words"),
    [
        (
            {"registered": NOW, "results": NOW},
            "fail",
            "the plan was registered on 2026-11-23 12:00:00 UTC, not before the results",
        ),
        (
            {"results": NOW - timedelta(minutes=1)},
            "fail",
            "the document is older than the results that it reports",
        ),
        (
            {"lock_registered": NOW - timedelta(hours=3)},
            "fail",
            "manifest and plan.lock.json name different times of registration",
        ),
        ({"after_results": True}, "warn", "the plan was changed when results already existed"),
        ({"lock": b'{"format": "hitl-audit/plan-lock/v7"}'}, "fail", "plan-lock/v7"),
        ({"lock": b"[]"}, "fail", "This could not be checked"),
        (
            {"manifest_changes": (("plan_digest", digest_bytes(b"x")),)},
            "fail",
            "the attached plan is not the plan that was registered",
        ),
    ],
)
def test_the_plan_must_be_the_registered_one_and_older_than_the_results(
    parts: dict[str, Any], said: str, words: str, workshop: Workshop
) -> None:
    found, text = outcome(workshop.verify(workshop.make(**parts).folder), "plan")
    assert (found, words in text) == (said, True), text


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"manifest_changes": (("document_id", "HA-00000000"),)}, "another document id"),
        (
            {"evidence_changes": (("started", utc_text(NOW - timedelta(hours=9))),)},
            "another time of the results",
        ),
        (
            {"manifest_changes": (("ledger", SignedCheckpoint(3, "0" * 64, "0" * 64)),)},
            "another state of the judgments",
        ),
        ({"manifest_changes": (("ledger", None),)}, "another state of the judgments"),
        ({"evidence_changes": (("plan", 3),)}, "This could not be checked"),
    ],
)
def test_all_parts_must_be_of_one_audit(
    parts: dict[str, Any], words: str, workshop: Workshop
) -> None:
    result = workshop.verify(workshop.make(**parts).folder)
    assert result.exit_code == 1
    assert words in outcome(result, "one audit")[1]


def test_a_manifest_that_names_another_file_or_misses_one_is_caught(workshop: Workshop) -> None:
    base = workshop.make()
    first, second, *others = base.manifest.files
    for files, extra, words in (
        ((replace(first, sha256="0" * 64), second, *others), (), "evidence.json is not the file"),
        (base.manifest.files, (("notes.txt", b"hi"),), "notes.txt is attached but not in the"),
        (
            (*base.manifest.files, ManifestFile.of("more.json", b"", attached=True)),
            (),
            "more.json is in the manifest but not attached",
        ),
    ):
        made = workshop.make(manifest_changes=(("files", files),), extra=extra)
        result = workshop.verify(made.folder)
        assert result.exit_code == 1
        assert words in outcome(result, "attachments")[1]


def test_every_role_of_the_plan_needs_its_place(workshop: Workshop) -> None:
    """A report without a place for the officer cannot be complete."""
    made = workshop.make(roles=("data scientist", "domain expert"))
    result = signed_without_rules(workshop, made, (workshop.ada, workshop.bob))
    assert result.open_roles == ()
    assert result.exit_code == 1
    assert outcome(result, "roles") == (
        "fail",
        "The plan asks for signatures by data-scientist, domain-expert, compliance-officer; the "
        "document has places for data-scientist, domain-expert.",
    )


@pytest.mark.parametrize(
    ("people", "words"),
    [
        (("ada", "bob", "mona"), "Mona Model built the model and cannot approve it"),
        (("ada", "bob", "ada"), "Ada Lovelace prepared this document as data scientist and"),
        (("ada", "bob", "eve"), "Ada Lovelace prepared this document as data scientist and"),
    ],
)
def test_who_approves_is_checked_again(
    people: tuple[str, ...], words: str, workshop: Workshop, made: Made
) -> None:
    keys = tuple(getattr(workshop, name) for name in people)
    result = signed_without_rules(workshop, made, keys)
    assert result.exit_code == 1
    assert f"Against the plan: {words}" in outcome(result, "roles")[1]


def test_who_is_named_in_the_plan_must_sign(workshop: Workshop) -> None:
    plan = workshop.plan.replace(b'signs = "attested"', b'signs = "attested"\nname = "Bob Expert"')
    made = workshop.make(plan=plan)
    good = signed_without_rules(workshop, made, (workshop.ada, workshop.bob, workshop.olga))
    assert good.exit_code == 0, good.words()
    bad = signed_without_rules(workshop, made, (workshop.ada, workshop.mona, workshop.olga))
    assert "the plan names Bob Expert as domain expert" in outcome(bad, "roles")[1]


def test_the_last_place_must_lock_and_the_first_signature_certify(workshop: Workshop) -> None:
    keys = (workshop.ada, workshop.bob, workshop.olga)
    unlocked = signed_without_rules(workshop, workshop.make(lock_last=False), keys)
    assert unlocked.exit_code == 1
    assert "Not the last place for a signature" in outcome(unlocked, "lock")[1]
    loose = signed_without_rules(workshop, workshop.make(), keys, certify=False)
    assert loose.exit_code == 1
    assert "Not the first signature, and it alone, certifies" in outcome(loose, "lock")[1]


def test_a_weak_key_proves_nothing(workshop: Workshop, made: Made) -> None:
    """RSA of 1024 bits, by a program that does not mind."""
    from asn1crypto import keys
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import signers
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    private = rsa.generate_private_key(65537, 1024)  # noqa: S505
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ada Lovelace")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .sign(private, hashes.SHA256())
    )
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    store: Any = SimpleCertificateStore
    signer = signers.SimpleSigner(
        asn1_certificate(certificate), keys.PrivateKeyInfo.load(der), store()
    )
    metadata = signers.PdfSignatureMetadata(
        field_name="data-scientist",
        subfilter=SigSeedSubFilter.PADES,
        md_algorithm="sha256",
        certify=True,
        docmdp_permissions=MDPPerm.FILL_FORMS,
    )
    out = io.BytesIO()
    signers.PdfSigner(metadata, signer=signer).sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(made.pdf)), output=out
    )
    result = workshop.verify_bytes(out.getvalue())
    assert result.exit_code == 1
    assert "it was made with RSA of 1024 bits, which is too weak" in outcome(result, "intact")[1]


def test_statements_must_be_there(workshop: Workshop, made: Made) -> None:
    keys = (workshop.ada, workshop.bob, workshop.olga)
    result = signed_without_rules(workshop, made, keys, attach={})
    assert result.exit_code == 1
    assert outcome(result, "statements")[1] == (
        "evidence.dsse.json is missing; judgments.dsse.json is missing."
    )


def test_a_plan_without_roles_is_no_plan(workshop: Workshop) -> None:
    result = workshop.verify(workshop.make(plan=b'[audit]\ntitle = "x"\n').folder)
    assert result.exit_code == 1
    assert "neither the plan nor the evidence names roles" in outcome(result, "roles")[1]


def test_without_judgments_there_is_nothing_to_check(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.make(judgments=0).folder
    result = workshop.verify(workshop.sign_all(folder))
    assert result.exit_code == 0, result.words()
    assert outcome(result, "ledger") == (
        "not done",
        "Not checked: the report rests on no judgments.",
    )
