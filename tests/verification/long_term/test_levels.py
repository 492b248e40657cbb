"""Signatures with timestamps and revocation data, by authorities that answer over HTTP."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pikepdf
import pytest

from hitl_audit.errors import SigningError
from hitl_audit.signing.assurance import Assurance, archive_copy, assurance_for
from hitl_audit.verification import VerificationResult

if TYPE_CHECKING:
    from tests.verification.conftest import Workshop
    from tests.verification.long_term.conftest import Authorities

ROLES = ("data scientist", "domain expert", "compliance officer")
SIGNERS = ("ada", "bob", "olga")


def now() -> datetime:
    return datetime.now(UTC)


def fresh(workshop: Workshop) -> Path:
    """An unsigned audit of today: authorities live in the present."""
    moment = now()
    return workshop.make(
        registered=moment - timedelta(hours=2),
        results=moment - timedelta(hours=1),
        created=moment - timedelta(minutes=5),
    ).folder


def sign(workshop: Workshop, folder: Path, key: Any, role: str, assurance: Assurance) -> None:
    pdf = (folder / "report.pdf").read_bytes()
    from hitl_audit.signing.document import sign_document

    signed = sign_document(
        pdf,
        key,
        field=role.replace(" ", "-"),
        reason=f"I signed as {role}.",
        signed_at=now(),
        assurance=assurance,
    )
    (folder / "report.pdf").write_bytes(signed.pdf)
    for name, data in signed.files.items():
        (folder / name).write_bytes(data)


def lasting(authorities: Authorities) -> Assurance:
    return Assurance("B-LT", authorities.tsa_url, (authorities.root,))


@pytest.fixture(scope="module")
def trusted(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The authority's certificate, as its customers have it."""
    path: Path = tmp_path_factory.mktemp("trust") / "root.pem"
    path.write_bytes(authorities.root_pem)
    return [path]


@pytest.fixture(scope="module")
def long_term(workshop: Workshop, authorities: Authorities) -> Path:
    """Three signatures at B-LT."""
    folder = fresh(workshop)
    for name, role in zip(SIGNERS, ROLES, strict=True):
        sign(workshop, folder, authorities.people[name], role, lasting(authorities))
    return folder


@pytest.fixture(scope="module")
def archived(long_term: Path, authorities: Authorities) -> bytes:
    return archive_copy(
        (long_term / "report.pdf").read_bytes(),
        timestamp_url=authorities.tsa_url,
        authorities=(authorities.root,),
        now=now,
    )


def statuses(result: VerificationResult) -> set[str]:
    return {s.status for s in result.signatures}


def said_by(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_timestamp_proves_the_time(
    workshop: Workshop, authorities: Authorities, trusted: list[Path], tmp_path: Path
) -> None:
    folder = fresh(workshop)
    sign(
        workshop, folder, authorities.people["ada"], ROLES[0], Assurance("B-T", authorities.tsa_url)
    )
    result = workshop.verify(folder, now=now, trust=trusted)
    assert result.exit_code == 3
    signature = result.signatures[0]
    assert signature.proven_at
    assert "proven by Common Name: Example Time" in result.check("time").words
    # Nothing in the document says that the certificate was not revoked.
    assert signature.status == "not checked"
    assert "whether it revoked the certificate is not known" in result.check("signers").words
    lists = []
    for number, data in enumerate(authorities.crls):
        lists.append(tmp_path / f"{number}.crl")
        lists[-1].write_bytes(data)
    with_lists = workshop.verify(folder, now=now, trust=[*trusted, *lists])
    assert statuses(with_lists) == {"trusted"}
    # Whoever trusts the signer alone has only a claim.
    pinned = workshop.verify(folder, now=now, trust=[authorities.people["ada"].fingerprint])
    assert statuses(pinned) == {"trusted"}
    assert pinned.signatures[0].proven_at == ""
    assert "by Common Name: Example Time" in pinned.check("time").words
    assert "whom you do not trust" in pinned.check("time").words


def test_long_term_signatures_verify_without_a_network(
    workshop: Workshop, long_term: Path, trusted: list[Path]
) -> None:
    result = workshop.verify(long_term, now=now, trust=trusted)
    assert result.exit_code == 0, result.words()
    assert {c.outcome for c in result.checks} == {"pass"}
    assert all(s.proven_at for s in result.signatures)
    assert workshop.verify(long_term, now=now, trust=()).exit_code == 3


def test_revocation_data_lie_in_the_signatures_own_revision(long_term: Path) -> None:
    file = long_term / "report.pdf"
    pdf = file.read_bytes()
    said = said_by("pdfsig", "-nocert", str(file))
    assert said.count("Signature Validation: Signature is Valid.") == 3
    assert len(re.findall("(?m)^  - Total document signed", said)) == 1
    ends = [int(a) + int(b) for a, b in re.findall(rb"/ByteRange \[\d+ \d+ (\d+) (\d+)", pdf)]
    assert pdf.count(b"%%EOF") == 1 + len(ends) == 4
    assert ends[-1] == len(pdf)
    assert "No syntax or stream encoding errors" in said_by("qpdf", "--check", str(file))
    with pikepdf.open(file) as document, document.open_metadata() as metadata:
        assert metadata.pdfa_status == "3A"
        assert "/VRI" not in document.Root.DSS
        assert len(document.Root.DSS.OCSPs) >= 1
        assert len(document.Root.DSS.CRLs) >= 1


def test_signatures_outlive_the_signers_certificates(
    workshop: Workshop, long_term: Path, trusted: list[Path]
) -> None:
    """People's certificates end in 2100, the timestamp authority's in 2110."""
    later = workshop.verify(long_term, now=lambda: datetime(2105, 1, 1, tzinfo=UTC), trust=trusted)
    assert statuses(later) == {"trusted"}
    assert later.exit_code == 0, later.words()
    latest = workshop.verify(long_term, now=lambda: datetime(2115, 1, 1, tzinfo=UTC), trust=trusted)
    assert statuses(latest) == {"expired"}
    assert latest.exit_code == 3


def test_an_archive_copy_is_a_file_of_its_own_and_still_valid(
    workshop: Workshop, long_term: Path, archived: bytes, trusted: list[Path]
) -> None:
    signed = (long_term / "report.pdf").read_bytes()
    assert archived.startswith(signed)
    folder = workshop.copy(long_term)
    (folder / "report.pdf").write_bytes(archived)
    result = workshop.verify(folder, now=now, trust=trusted)
    assert result.exit_code == 0, result.words()
    assert "A timestamp over everything was added for the archive" in result.check("changes").words
    assert re.search(
        r"archive \d{4}-.*proven by Common Name: Example Time", result.check("time").words
    )
    said = said_by("pdfsig", "-nocert", str(folder / "report.pdf"))
    assert said.count("Signature is Valid.") == 3
    # It cannot judge a timestamp over the whole document.
    assert "Unable to validate this type of signature" in said


def test_an_old_archive_is_judged_at_its_own_time_on_request(
    workshop: Workshop, archived: bytes, trusted: list[Path]
) -> None:
    """In 2150 every certificate has expired."""
    old: dict[str, Any] = {"now": lambda: datetime(2150, 1, 1, tzinfo=UTC), "trust": trusted}
    assert workshop.verify_bytes(archived, **old).exit_code == 3
    result = workshop.verify_bytes(archived, archive_time=True, **old)
    assert statuses(result) == {"trusted"}
    assert result.exit_code == 0, result.words()


def test_an_archive_can_be_renewed(
    workshop: Workshop, archived: bytes, authorities: Authorities, trusted: list[Path]
) -> None:
    again = archive_copy(
        archived, timestamp_url=authorities.tsa_url, authorities=(authorities.root,), now=now
    )
    assert again.startswith(archived)
    result = workshop.verify_bytes(again, now=now, trust=trusted)
    assert result.exit_code == 0, result.words()


def test_what_comes_after_the_archives_timestamp_is_seen(
    workshop: Workshop, archived: bytes, trusted: list[Path]
) -> None:
    flipped = bytearray(archived)
    flipped[-2000] ^= 1
    for broken in (archived + b"% more\n", bytes(flipped)):
        result = workshop.verify_bytes(broken, now=now, trust=trusted)
        assert result.exit_code == 1


def test_a_timestamp_that_does_not_hold_breaks_its_signature(
    workshop: Workshop, long_term: Path, trusted: list[Path]
) -> None:
    from asn1crypto import cms

    pdf = (long_term / "report.pdf").read_bytes()
    _, before, after, _ = (
        int(n) for n in re.findall(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)", pdf)[-1]
    )
    container = bytes.fromhex(pdf[before + 1 : after - 1].decode())
    (signer,) = cms.ContentInfo.load(container)["content"]["signer_infos"]
    token = signer["unsigned_attrs"][0]["values"][0]
    value = token["content"]["signer_infos"][0]["signature"].native
    place = container.index(value) + len(value) - 1
    changed = bytearray(container)
    changed[place] ^= 1
    digits = changed.hex().encode()
    result = workshop.verify_bytes(
        pdf[: before + 1] + digits + pdf[after - 1 :], now=now, trust=trusted
    )
    assert result.exit_code == 1
    assert "its timestamp does not hold" in result.check("intact").words


@pytest.mark.parametrize(
    ("person", "words"),
    [("rita", "key of Rita Revoked: revoked on 2021-06-01"), ("xena", "expired on 2021-01-01")],
)
def test_revoked_and_expired_signers_are_refused(
    person: str, words: str, workshop: Workshop, authorities: Authorities
) -> None:
    folder = fresh(workshop)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for level in (lasting(authorities), Assurance(authorities=(authorities.root,))):
        with pytest.raises(SigningError, match=re.escape(words)):
            sign(workshop, folder, authorities.people[person], ROLES[0], level)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_stranger_cannot_sign_under_an_authority(
    workshop: Workshop, authorities: Authorities
) -> None:
    folder = fresh(workshop)
    stranger = workshop.key("Ada Lovelace", days=9000)
    with pytest.raises(SigningError, match="the authorities do not vouch for it"):
        sign(workshop, folder, stranger, ROLES[0], lasting(authorities))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/tsa", "ftp://127.0.0.1/tsa", "file:///etc/hostname", "nonsense"]
)
def test_without_an_answer_nothing_is_signed(
    url: str, workshop: Workshop, authorities: Authorities
) -> None:
    folder = fresh(workshop)
    before = (folder / "report.pdf").read_bytes()
    with pytest.raises(SigningError, match="timestamp"):
        sign(workshop, folder, authorities.people["ada"], ROLES[0], Assurance("B-T", url))
    assert (folder / "report.pdf").read_bytes() == before


def test_an_archive_needs_every_role_and_whole_signatures(
    workshop: Workshop, authorities: Authorities, long_term: Path
) -> None:
    folder = fresh(workshop)
    sign(workshop, folder, authorities.people["ada"], ROLES[0], lasting(authorities))
    flipped = bytearray((long_term / "report.pdf").read_bytes())
    flipped[flipped.index(b"stream\n", 2000) + 60] ^= 1
    for pdf, words in (
        ((folder / "report.pdf").read_bytes(), "not signed yet by domain expert, compliance"),
        (bytes(flipped), "no archive copy was made"),
    ):
        with pytest.raises(SigningError, match=words):
            archive_copy(
                pdf, timestamp_url=authorities.tsa_url, authorities=(authorities.root,), now=now
            )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"level": "B-LTA"}, "accepted: B-B, B-T, B-LT"),
        ({"level": "B-T"}, "expected timestamp_url exactly for B-T and B-LT"),
        ({"timestamp_url": "http://x"}, "expected timestamp_url exactly for B-T and B-LT"),
        ({"level": "B-LT", "timestamp_url": "http://x"}, "level B-LT without authorities"),
    ],
)
def test_levels_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SigningError, match=words):
        Assurance(**settings)


def test_the_same_from_the_command_line(
    workshop: Workshop,
    long_term: Path,
    authorities: Authorities,
    trusted: list[Path],
    tmp_path: Path,
) -> None:
    from click.testing import CliRunner

    from hitl_audit.cli import main

    out = tmp_path / "archive.pdf"
    root = str(trusted[0])
    words = ["archive", str(long_term), "--out", str(out), "--timestamp-url", authorities.tsa_url]
    made = CliRunner().invoke(main, [*words, "--authority", root])
    assert made.exit_code == 0, made.output
    shutil.copy(out, tmp_path / "report.pdf")
    checked = CliRunner().invoke(main, ["verify", str(out), "--trust", root, "--archive-time"])
    assert checked.exit_code == 0, checked.output


def test_a_level_from_words(authorities: Authorities, trusted: list[Path]) -> None:
    assert assurance_for(None, "", ()) == Assurance()
    assert assurance_for(None, "http://x.example", ()).level == "B-T"
    chosen = assurance_for("B-LT", "http://x.example", [str(trusted[0])])
    assert (chosen.level, chosen.authorities) == ("B-LT", (authorities.root,))
    with pytest.raises(SigningError, match="accepted: B-B, B-T, B-LT"):
        assurance_for("B-LTA", "http://x.example", ())
