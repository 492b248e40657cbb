"""What the signatures in a PDF say, each checked by its own bytes.

Reads and judges; the audit's rules (which roles, in which order) are applied
by the callers. The reader is pyHanko's; what it lets pass and we do not is
written out here: bytes after the last signature, and padding or encodings of
a signature that could be altered without breaking it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import SuspiciousModification
from pyhanko.sign.fields import MDPPerm, enumerate_sig_fields
from pyhanko.sign.validation import EmbeddedPdfSignature, validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from hitl_audit.signing.contents import describe_changes, entry, items

__all__ = [
    "FieldState",
    "SignatureState",
    "SignedDocument",
    "outside_event_loop",
    "quiet",
    "read_fields",
    "read_signatures",
]

T = TypeVar("T")

_WEAK = frozenset({"md2", "md4", "md5", "sha1"})
_SIGNING = KeyUsageConstraints(key_usage={"digital_signature", "non_repudiation"})


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
        chain_trusted: a given authority vouches for the certificate.
        problem: why it does not hold, in words, or ``""``.
        changes: what came after it and is forbidden, in words.
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
    chain_trusted: bool
    problem: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class SignedDocument:
    """The fields and the signatures of a PDF, in the order they were made.

    ``tail_problem`` says what follows the last signature, or is ``""``;
    ``tail_changes`` says what that alters. ``added_fields`` are the fields
    that the document did not have when it was first signed.
    """

    fields: tuple[FieldState, ...]
    signatures: tuple[SignatureState, ...]
    tail_problem: str = ""
    tail_changes: tuple[str, ...] = ()
    added_fields: tuple[str, ...] = ()


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
) -> SignedDocument:
    """Check every signature of a PDF; nothing is fetched from a network.

    Args:
        pdf: the file's bytes.
        authorities: certificates whose holders may vouch for signers.
        moment: the time at which a chain must be valid; now when not given.

    Raises:
        Exception: not a PDF that can be read; the reader has no common base.
    """
    with quiet():
        return outside_event_loop(lambda: _read(pdf, authorities, moment))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' logs and warnings about a broken file to ourselves.

    What they would say is in our own words; hostile files would flood them.
    """
    loggers = [logging.getLogger(name) for name in ("pyhanko", "pyhanko_certvalidator", "pikepdf")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def outside_event_loop(work: Callable[[], T]) -> T:
    """Run what starts an event loop of its own, also where one runs (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def _read(
    pdf: bytes, authorities: Sequence[x509.Certificate], moment: datetime | None
) -> SignedDocument:
    try:
        reader = PdfFileReader(io.BytesIO(pdf))
    except PdfError:
        # A long tail hides the end of the document from the reader.
        end = pdf.rfind(b"%%EOF") + len(b"%%EOF")
        if end < len(b"%%EOF") or not pdf[end:].strip():
            raise
        inner = _read(pdf[:end] + b"\n", authorities, moment)
        return SignedDocument(inner.fields, inner.signatures, _appended(len(pdf) - end))
    fields = tuple(_fields(reader))
    embedded = sorted(reader.embedded_signatures, key=lambda s: s.signed_revision)
    context = _context(authorities, moment)
    signatures = tuple(_state(pdf, s, fields, context()) for s in embedded)
    if not embedded:
        return SignedDocument(fields, ())
    last, end = embedded[-1], _end(embedded[-1])
    tail = ""
    changes: tuple[str, ...] = ()
    if end < len(pdf) and not signatures[-1].problem:
        if reader.total_revisions == last.signed_revision + 1:
            tail = _appended(len(pdf) - end)
        else:
            tail = (
                f"{len(pdf) - end:,} bytes follow the last signature as an update of the "
                "document that nobody signed"
            )
            changes = _changes(pdf, end)
    then = reader.get_historical_resolver(embedded[0].signed_revision)
    known = {field.name for field in _fields(then)}
    added = tuple(field.name for field in fields if field.name not in known)
    return SignedDocument(fields, signatures, tail, changes, added)


def _appended(count: int) -> str:
    return f"{count:,} bytes were appended after the end of the document"


def _fields(reader: Any) -> Iterator[FieldState]:
    for name, value, reference in enumerate_sig_fields(reader):
        field = reference.get_object()
        left, low, right, high = (float(v) for v in items(field["/Rect"]))
        yield FieldState(
            name=name,
            role=str(entry(field, "/TU", name)),
            signed=value is not None,
            locks=entry(entry(field, "/Lock", {}), "/Action") == "/All",
            width=abs(right - left),
            height=abs(high - low),
        )


def _context(
    authorities: Sequence[x509.Certificate], moment: datetime | None
) -> Callable[[], ValidationContext]:
    """A fresh context per signature: it collects what it sees."""
    roots = [
        asn1_x509.Certificate.load(c.public_bytes(serialization.Encoding.DER)) for c in authorities
    ]
    return lambda: ValidationContext(trust_roots=roots, allow_fetching=False, moment=moment)


def _end(signature: EmbeddedPdfSignature) -> int:
    """The offset up to which the signature covers the file."""
    return int(signature.byte_range[-2]) + int(signature.byte_range[-1])


def _state(
    pdf: bytes,
    signature: EmbeddedPdfSignature,
    fields: tuple[FieldState, ...],
    context: ValidationContext,
) -> SignatureState:
    certificate = x509.load_der_x509_certificate(signature.signer_cert.dump())

    def subject(oid: x509.ObjectIdentifier) -> str:
        found = certificate.subject.get_attributes_for_oid(oid)
        return str(found[0].value) if found else ""

    problem, status = _encoding_problem(pdf, signature), None
    if not problem:
        try:
            status = validate_pdf_signature(
                signature, signer_validation_context=context, key_usage_settings=_SIGNING
            )
            problem = _status_problem(status)
        except Exception as error:  # a broken signature fails, whatever it breaks
            problem = f"it cannot be checked ({type(error).__name__}: {error})"
    changes: tuple[str, ...] = ()
    if status is not None and not problem and not status.docmdp_ok:
        changes = _changes(pdf, _end(signature)) or (_forbidden(status),)
    role = next((f.role for f in fields if f.name == signature.field_name), "")
    return SignatureState(
        field=signature.field_name,
        role=role or signature.field_name,
        name=subject(NameOID.COMMON_NAME) or certificate.subject.rfc4514_string(),
        organization=subject(NameOID.ORGANIZATION_NAME),
        email=subject(NameOID.EMAIL_ADDRESS),
        fingerprint=signature.signer_cert.sha256.hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        reason=str(entry(signature.sig_object, "/Reason", "")),
        signed_at=_claimed_time(signature),
        covers_whole_file=_end(signature) == len(pdf),
        locks=signature.docmdp_level == MDPPerm.NO_CHANGES,
        chain_trusted=status is not None and not problem and bool(status.trusted),
        problem=problem,
        changes=changes,
    )


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
    if (status.coverage or SignatureCoverageLevel.UNCLEAR) < SignatureCoverageLevel.ENTIRE_REVISION:
        return "it covers only a part of the document that it stands in"
    return ""


def _forbidden(status: PdfSignatureStatus) -> str:
    if isinstance(status.diff_result, SuspiciousModification):
        return "parts of the document were changed that a later signature may not change"
    return "the document was changed after this signature had locked it"


def _changes(pdf: bytes, end: int) -> tuple[str, ...]:
    try:
        return describe_changes(pdf[:end], pdf)
    except Exception:  # words only: the refusal stands without them
        return ()


def _encoding_problem(pdf: bytes, signature: EmbeddedPdfSignature) -> str:
    """Say why the signature does not lie in the file exactly as a signer writes it.

    The place of the signature is the one part of the file that no signature
    covers. If anything in it could vary, a file could differ from the signed
    one and still pass.
    """
    numbers = [int(n) for n in signature.byte_range]
    if len(numbers) != 4 or numbers[0] != 0 or min(numbers) < 0 or sum(numbers[2:]) > len(pdf):
        return "the file was rewritten after signing: the signed ranges do not fit it"
    gap = pdf[numbers[1] : numbers[2]]
    hexadecimal = gap[1:-1]
    if gap[:1] != b"<" or gap[-1:] != b">" or not _same_bytes(hexadecimal, signature):
        return (
            "the file was rewritten after signing: the signature no longer lies where it was "
            "made, so nothing in the file is covered by it"
        )
    if hexadecimal not in (hexadecimal.lower(), hexadecimal.upper()):
        return "the signature was altered (its digits are written in two ways)"
    raw = signature.pkcs7_content
    content = cms.ContentInfo.load(raw)
    size = len(content.dump())
    if any(raw[size:]):
        return "the signature was altered (its padding is not empty)"
    return _cms_problem(raw[:size], signature.signer_cert)


def _same_bytes(hexadecimal: bytes, signature: EmbeddedPdfSignature) -> bool:
    try:
        return bytes.fromhex(hexadecimal.decode("ascii")) == signature.pkcs7_content
    except ValueError:
        return False


def _cms_problem(der: bytes, certificate: asn1_x509.Certificate) -> str:
    """Check the few CMS parts that no signature covers against those that one does."""
    altered = "the signature was altered (its container is not as signers write it)"
    try:
        content = cms.ContentInfo.load(der, strict=True)
        signed = content["content"]
        (signer,) = signed["signer_infos"]
        (digest,) = signed["digest_algorithms"]
        by_serial = signer["sid"].name == "issuer_and_serial_number"
        plain = signed["encap_content_info"]["content_type"].native == "data"
        as_expected = (
            # Nothing between the last part and the padding.
            content.contents == content["content_type"].dump() + signed.dump()
            # RFC 5652, sections 5.1 and 5.3
            and signer["version"].native == ("v1" if by_serial else "v3")
            and signed["version"].native == ("v1" if by_serial and plain else "v3")
            and digest.dump() == signer["digest_algorithm"].dump()
            # Readers compare names without regard to case.
            and (
                not by_serial or signer["sid"].chosen["issuer"].dump() == certificate.issuer.dump()
            )
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return altered
    return "" if as_expected else altered
