"""What the signatures in a PDF say, each checked by its own bytes.

Reads and judges; the audit's rules (which roles, in which order) are applied
by the callers. The reader is pyHanko's; what it lets pass and we do not is in
:mod:`hitl_audit.signing.encoding`, and here: bytes after the last signature.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm, enumerate_sig_fields
from pyhanko.sign.validation import (
    EmbeddedPdfSignature,
    async_validate_pdf_signature,
    async_validate_pdf_timestamp,
)
from pyhanko.sign.validation.status import (
    PdfSignatureStatus,
    SignatureCoverageLevel,
    TimestampSignatureStatus,
)
from pyhanko_certvalidator import ValidationContext

from hitl_audit.signing.chains import ChainState, Revocation, chain_state
from hitl_audit.signing.contents import entry, items
from hitl_audit.signing.encoding import encoding_problem
from hitl_audit.signing.keys import describe_key, is_weak
from hitl_audit.signing.people import person_of, subject_part
from hitl_audit.signing.revisions import appended, end_of, forbidden_changes
from hitl_audit.signing.revisions import tail as tail_of
from hitl_audit.signing.rules import Person
from hitl_audit.signing.running import outside_event_loop, quiet

__all__ = [
    "FieldState",
    "SignatureState",
    "SignedDocument",
    "TimestampState",
    "read_fields",
    "read_signatures",
]

_WEAK = frozenset({"md2", "md4", "md5", "sha1"})
_MAXIMUM_SIGNATURES = 64
_UNKNOWN = ChainState("unknown", False, "nobody you trust vouches for it")


@dataclass(frozen=True)
class FieldState:
    """A signature field, in the order of signing.

    Attributes:
        name: the field's name.
        role: who signs here, in words.
        signed: whether a signature is in it (valid or not).
        locks: a signature here locks the document.
        width, height: in points.
    """

    name: str
    role: str
    signed: bool
    locks: bool
    width: float
    height: float


@dataclass(frozen=True)
class TimestampState:
    """A time that a timestamp authority confirms (RFC 3161).

    Attributes:
        time: the confirmed time.
        authority: name of the authority's certificate.
        fingerprint: SHA-256 of that certificate, hexadecimal.
        problem: why it does not hold, in words, or ``""``.
        chain: what the reader's authorities say of the certificate.
        covers_whole_file: of a document timestamp: nothing follows it.
    """

    time: datetime
    authority: str
    fingerprint: str
    problem: str
    chain: ChainState
    covers_whole_file: bool = False

    @property
    def proves(self) -> bool:
        """It holds, and the reader trusts the authority."""
        return not self.problem and self.chain.verdict in ("trusted", "not checked")


@dataclass(frozen=True)
class SignatureState:
    """One signature and what its bytes prove.

    Attributes:
        field, role: the field it stands in.
        name, organization, email: the certificate's subject.
        fingerprint: SHA-256 of the certificate, hexadecimal.
        not_before, not_after: the certificate's validity.
        reason: what the signer states.
        signed_at: the time the signer's computer claims, or ``None``.
        covers_whole_file: nothing follows this signature in the file.
        locks: it forbids every later change.
        certifies: it says what may follow; only the first may.
        chain: what the reader's authorities say of the certificate, at the time
            that a trusted timestamp proves, else now.
        timestamp: the time that an authority confirms, or ``None``.
        problem: why it does not hold, in words, or ``""``.
        changes: what came after it and is forbidden, in words.
        certificate: the signer's.
    """

    field: str
    role: str
    name: str
    organization: str
    email: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    reason: str
    signed_at: datetime | None
    covers_whole_file: bool
    locks: bool
    certifies: bool
    chain: ChainState
    timestamp: TimestampState | None
    problem: str
    changes: tuple[str, ...]
    certificate: x509.Certificate

    @property
    def person(self) -> Person:
        """The signer, as the certificate names them."""
        return person_of(self.certificate)


@dataclass(frozen=True)
class SignedDocument:
    """The fields and the signatures of a PDF, in the order they were made.

    ``tail_problem`` says what follows the last signature, or is ``""``;
    ``tail_changes`` says what that alters. ``added_fields`` are the fields
    that the document did not have when it was first signed. ``archive`` are
    the timestamps over the whole document that an archive copy carries.
    """

    fields: tuple[FieldState, ...]
    signatures: tuple[SignatureState, ...]
    tail_problem: str = ""
    tail_changes: tuple[str, ...] = ()
    added_fields: tuple[str, ...] = ()
    archive: tuple[TimestampState, ...] = ()


def read_fields(pdf: bytes) -> tuple[FieldState, ...]:
    """Return the signature fields in the document's order.

    Raises:
        Exception: not a PDF that can be read; the reader has no common base.
    """
    with quiet():
        return tuple(_fields(PdfFileReader(io.BytesIO(pdf))))


def read_signatures(
    pdf: bytes,
    *,
    authorities: Sequence[x509.Certificate] = (),
    moment: datetime | None = None,
    crls: Sequence[bytes] = (),
    archive_time: bool = False,
    compare: bool = True,
) -> SignedDocument:
    """Check every signature of a PDF; nothing is fetched from a network.

    A signer's certificate is judged at the time that a trusted timestamp
    proves, else at ``moment``. A timestamp authority's certificate is judged
    at the time that the next timestamp over it proves, else at ``moment``.

    Args:
        pdf: the file's bytes.
        authorities: certificates whose holders may vouch for signers.
        moment: the time at which a chain must be valid; now when not given.
        crls: revocation lists (DER) of the reader, beside those in the file.
        archive_time: judge the last timestamp over the whole document at its
            own time instead of at ``moment``, for archives whose authorities
            have expired since.
        compare: look for forbidden changes after each signature (slow for a
            large document; without it ``changes`` is empty).

    Raises:
        Exception: not a PDF that can be read; the reader has no common base.
    """
    when = moment or datetime.now(UTC)
    reading = _Reading(pdf, tuple(authorities), when, tuple(crls), compare)
    with quiet():
        return outside_event_loop(lambda: asyncio.run(reading.document(archive_time)))


def _fields(reader: Any) -> Iterator[FieldState]:
    for name, value, reference in enumerate_sig_fields(reader):
        field = reference.get_object()
        if value is not None and entry(field["/V"], "/Type") == "/DocTimeStamp":
            continue  # a timestamp's field is nobody's place to sign
        left, low, right, high = (float(v) for v in items(field["/Rect"]))
        yield FieldState(
            name=name,
            role=str(entry(field, "/TU", name)),
            signed=value is not None,
            locks=entry(entry(field, "/Lock", {}), "/Action") == "/All",
            width=abs(right - left),
            height=abs(high - low),
        )


class _Reading:
    """One reading of one file: what it is judged by, and the judging."""

    def __init__(
        self,
        pdf: bytes,
        authorities: tuple[x509.Certificate, ...],
        moment: datetime,
        crls: tuple[bytes, ...],
        compare: bool,
    ) -> None:
        self.pdf, self.authorities, self.moment, self.crls = pdf, authorities, moment, crls
        self.compare = compare
        self.revocation = Revocation()

    async def document(self, archive_time: bool) -> SignedDocument:
        pdf = self.pdf
        try:
            reader = PdfFileReader(io.BytesIO(pdf))
        except PdfError:
            # A long tail hides the end of the document from the reader.
            end = pdf.rfind(b"%%EOF") + len(b"%%EOF")
            if end < len(b"%%EOF") or not pdf[end:].strip():
                raise
            body = pdf[:end] + b"\n"
            inner = _Reading(body, self.authorities, self.moment, self.crls, self.compare)
            found = await inner.document(archive_time)
            return replace(found, tail_problem=appended(len(pdf) - end), tail_changes=())
        fields = tuple(_fields(reader))
        embedded = sorted(reader.embedded_signatures, key=lambda s: s.signed_revision)
        if not embedded:
            return SignedDocument(fields, ())
        if len(embedded) > _MAXIMUM_SIGNATURES:
            raise ValueError(f"{len(embedded)} signatures, expected {_MAXIMUM_SIGNATURES} or fewer")
        self.revocation = _revocation(reader).with_crls(self.crls)
        signed = [s for s in embedded if s.sig_object_type == "/Sig"]
        stamps = [s for s in embedded if s.sig_object_type == "/DocTimeStamp"]
        if len(signed) + len(stamps) != len(embedded):
            raise ValueError("a signature of an unknown kind")
        archive = await self._archive(stamps, archive_time)
        proven = next((stamp.time for stamp in archive if stamp.proves), self.moment)
        signatures = tuple([await self._signature(s, fields, proven) for s in signed])
        problems = [s.problem for s in signatures] + [s.problem for s in archive]
        problem = "".join(problems)
        tail, changes = tail_of(pdf, reader, embedded[-1], problem)
        then = reader.get_historical_resolver(embedded[0].signed_revision)
        known = {field.name for field in _fields(then)}
        added = tuple(field.name for field in fields if field.name not in known)
        return SignedDocument(fields, signatures, tail, changes, added, archive)

    async def _archive(
        self, stamps: Sequence[EmbeddedPdfSignature], archive_time: bool
    ) -> tuple[TimestampState, ...]:
        """Judge from the last to the first: each is judged when the next was made."""
        found: list[TimestampState] = []
        moment = self.moment
        for place, stamp in enumerate(reversed(stamps)):
            problem, status = encoding_problem(self.pdf, stamp, by_others=True), None
            context = _context()
            try:
                status = await async_validate_pdf_timestamp(stamp, context, skip_diff=True)
                problem = problem or _timestamp_problem(status)
                if not problem and not _is_whole(status.coverage):
                    problem = "it covers only a part of the document that it stands in"
                if not problem and place == 0 and end_of(stamp) < len(self.pdf):
                    problem = "it is not the end of the document"
            except Exception as error:  # a broken timestamp fails, whatever it breaks
                problem = problem or f"it cannot be checked ({type(error).__name__}: {error})"
            if status is None:
                found.append(
                    TimestampState(
                        self.moment, "", stamp.signer_cert.sha256.hex(), problem, _UNKNOWN
                    )
                )
                continue
            if place == 0 and archive_time and not problem:
                moment = min(moment, status.timestamp)
            state = await self._timestamp(status, context, moment, problem)
            found.append(replace(state, covers_whole_file=end_of(stamp) == len(self.pdf)))
            if state.proves:
                moment = state.time
        return tuple(reversed(found))

    async def _timestamp(
        self,
        status: TimestampSignatureStatus,
        context: ValidationContext,
        moment: datetime,
        problem: str,
    ) -> TimestampState:
        certificate = status.signing_cert
        chain = await chain_state(
            certificate,
            others=list(context.certificate_registry),
            authorities=self.authorities,
            revocation=self.revocation,
            moment=moment,
            timestamping=True,
        )
        return TimestampState(
            time=status.timestamp,
            authority=certificate.subject.human_friendly,
            fingerprint=certificate.sha256.hex(),
            problem=problem,
            chain=chain,
        )

    async def _signature(
        self,
        signature: EmbeddedPdfSignature,
        fields: tuple[FieldState, ...],
        stamps_at: datetime,
    ) -> SignatureState:
        certificate = x509.load_der_x509_certificate(signature.signer_cert.dump())
        problem, status, stamp = encoding_problem(self.pdf, signature), None, None
        if not problem and is_weak(certificate.public_key()):
            problem = (
                f"it was made with {describe_key(certificate.public_key())}, which is too weak"
            )
        context = _context()
        if not problem:
            try:
                status = await async_validate_pdf_signature(
                    signature,
                    signer_validation_context=context,
                    ts_validation_context=context,
                    skip_diff=True,
                )
                problem = _status_problem(status)
                timestamp = status.timestamp_validity
                if timestamp is not None:
                    stamp = await self._timestamp(
                        timestamp, context, stamps_at, _timestamp_problem(timestamp)
                    )
                    if stamp.problem and not problem:
                        problem = f"its timestamp does not hold: {stamp.problem}"
            except Exception as error:  # a broken signature fails, whatever it breaks
                problem = f"it cannot be checked ({type(error).__name__}: {error})"
        chain = _UNKNOWN
        if not problem:
            chain = await chain_state(
                signature.signer_cert,
                others=list(context.certificate_registry),
                authorities=self.authorities,
                revocation=self.revocation,
                moment=stamp.time if stamp is not None and stamp.proves else stamps_at,
            )
        changes: tuple[str, ...] = ()
        if status is not None and not problem and self.compare:
            changes = forbidden_changes(self.pdf, signature.field_name)
        role = next((f.role for f in fields if f.name == signature.field_name), "")
        person = person_of(certificate)
        return SignatureState(
            field=signature.field_name,
            role=role or signature.field_name,
            name=person.name,
            organization=subject_part(certificate, NameOID.ORGANIZATION_NAME),
            email=person.email,
            fingerprint=person.fingerprint,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            reason=str(entry(signature.sig_object, "/Reason", "")),
            signed_at=_claimed_time(signature),
            covers_whole_file=end_of(signature) == len(self.pdf),
            locks=signature.docmdp_level == MDPPerm.NO_CHANGES,
            certifies=_certifies(signature),
            chain=chain,
            timestamp=stamp,
            problem=problem,
            changes=changes,
            certificate=certificate,
        )


def _context() -> ValidationContext:
    """Trusts nobody: whom the reader trusts is decided in ``chains``. It collects what it sees."""
    return ValidationContext(trust_roots=[], allow_fetching=False)


def _certifies(signature: EmbeddedPdfSignature) -> bool:
    """Whether it allows later signatures and nothing else (DocMDP, ISO 32000-2, 12.8.2.2)."""
    references = items(entry(signature.sig_object, "/Reference", ()))
    stated = any(entry(reference, "/TransformMethod") == "/DocMDP" for reference in references)
    return stated and signature.docmdp_level in (MDPPerm.NO_CHANGES, MDPPerm.FILL_FORMS)


def _revocation(reader: PdfFileReader) -> Revocation:
    """What the document's security store holds (ISO 32000-2, 12.8.4.3)."""
    store = entry(reader.root, "/DSS")
    if store is None:
        return Revocation()

    def streams(key: str) -> Iterable[bytes]:
        return [bytes(stream.data) for stream in items(entry(store, key, ()))]

    return Revocation.of(streams("/CRLs"), streams("/OCSPs"), streams("/Certs"))


def _claimed_time(signature: EmbeddedPdfSignature) -> datetime | None:
    try:
        claimed = signature.self_reported_timestamp
    except (PdfError, ValueError):
        return None
    # A time without a zone says nothing that could be compared.
    return claimed if claimed is not None and claimed.tzinfo is not None else None


def _status_problem(status: PdfSignatureStatus) -> str:
    if not status.intact:
        return "the part of the file that was signed is no longer as it was signed"
    if not status.valid:
        return "the signature was not made with the key of its certificate, or was altered"
    if status.md_algorithm in _WEAK:
        return f"it uses {status.md_algorithm}, which is no longer safe"
    if not _is_whole(status.coverage):
        return "it covers only a part of the document that it stands in"
    return ""


def _timestamp_problem(status: TimestampSignatureStatus) -> str:
    if not status.intact:
        return "it is the timestamp of something else"
    if not status.valid:
        return "it was not made with the key of its certificate, or was altered"
    if status.md_algorithm in _WEAK:
        return f"it uses {status.md_algorithm}, which is no longer safe"
    return ""


def _is_whole(coverage: SignatureCoverageLevel | None) -> bool:
    level = coverage or SignatureCoverageLevel.UNCLEAR
    return bool(level >= SignatureCoverageLevel.ENTIRE_REVISION)
