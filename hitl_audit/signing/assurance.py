"""What supports a signature beyond itself: a timestamp, revocation data, an archive copy.

The levels are those of PAdES (ETSI EN 319 142-1): B-B is the signature alone
and needs no network; B-T adds a timestamp authority's word for the time; B-LT
adds, in the same revision, the answers that say nobody was revoked then. A
B-LTA archive copy is made at the end, as a file of its own: one more timestamp
over everything, to be renewed before its authority expires.
"""

from __future__ import annotations

import asyncio
import io
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from asn1crypto import tsp
from cryptography import x509
from pyhanko_certvalidator import ValidationContext

from hitl_audit.errors import SigningError
from hitl_audit.signing.cms_signer import asn1_certificate
from hitl_audit.signing.keys import SigningKey
from hitl_audit.signing.running import outside_event_loop, quiet
from hitl_audit.signing.signatures import read_signatures
from hitl_audit.signing.trust import read_trust

if TYPE_CHECKING:
    from pyhanko.sign.timestamps import TimeStamper

__all__ = [
    "OFFLINE",
    "Assurance",
    "Level",
    "archive_copy",
    "assurance_for",
    "check_signer",
    "time_stamper",
    "validation_context",
]

Level = Literal["B-B", "B-T", "B-LT"]
_MAXIMUM_ANSWER = 1 << 20
_PATIENCE = 30  # seconds


@dataclass(frozen=True)
class Assurance:
    """How far a signature is supported.

    Attributes:
        level: ``"B-B"``, ``"B-T"`` or ``"B-LT"``.
        timestamp_url: address of a timestamp authority (RFC 3161), for B-T and B-LT.
        authorities: certificates of the authorities above signer and timestamp
            authority, for B-LT. If given, the signer is checked against them at
            every level before signing.
    """

    level: Level = "B-B"
    timestamp_url: str = ""
    authorities: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise SigningError(
                f"level is {self.level!r}; accepted: {', '.join(get_args(Level))} (an archive "
                "copy, B-LTA, is made when every role has signed)"
            )
        if (self.level == "B-B") != (not self.timestamp_url):
            raise SigningError(
                f"level {self.level} with "
                + (f"timestamp_url {self.timestamp_url}" if self.timestamp_url else "no timestamp")
                + "; expected timestamp_url exactly for B-T and B-LT"
            )
        if self.level == "B-LT" and not self.authorities:
            raise SigningError(
                "level B-LT without authorities; expected the certificates of those who vouch "
                "for the signer and for the timestamp"
            )

    @property
    def stamper(self) -> TimeStamper | None:
        """The timestamp authority's client, or ``None`` at B-B."""
        return time_stamper(self.timestamp_url) if self.timestamp_url else None


OFFLINE = Assurance()
"""B-B: the signature alone."""


def assurance_for(
    level: str | None, timestamp_url: str, authorities: Iterable[str | Path]
) -> Assurance:
    """An assurance from words: files of certificates, and a level that may be left out.

    Raises:
        SigningError: parts that do not go together.
        VerificationError: a file that holds no certificate.
    """
    chosen: Any = level or ("B-T" if timestamp_url else "B-B")
    trusted = read_trust(authorities).authorities
    return Assurance(chosen, timestamp_url, trusted)


def time_stamper(url: str) -> TimeStamper:
    """A client for a timestamp authority (RFC 3161 over HTTP).

    Raises:
        SigningError: not an ``http`` or ``https`` address.
    """
    from pyhanko.sign.timestamps import TimeStamper
    from pyhanko.sign.timestamps.common_utils import TimestampRequestError, set_tsp_headers

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise SigningError(f"timestamp URL is {url!r}; expected http://… or https://…")

    class UrlTimeStamper(TimeStamper):
        async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
            request = urllib.request.Request(  # noqa: S310  (checked above)
                url, data=req.dump(), headers=set_tsp_headers({}), method="POST"
            )

            def ask() -> bytes:
                with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                    return bytes(answer.read(_MAXIMUM_ANSWER))

            try:
                return tsp.TimeStampResp.load(await asyncio.to_thread(ask))
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", error)
                raise TimestampRequestError(f"the timestamp authority {url}: {reason}") from error

    make: Any = UrlTimeStamper
    stamper: TimeStamper = make()
    return stamper


def validation_context(
    authorities: tuple[x509.Certificate, ...], chain: tuple[x509.Certificate, ...]
) -> ValidationContext:
    """A context that asks the authorities' servers whether anybody was revoked."""
    return ValidationContext(
        trust_roots=[asn1_certificate(c) for c in authorities],
        other_certs=[asn1_certificate(c) for c in chain],
        allow_fetching=True,
        revocation_mode="hard-fail",
    )


def check_signer(key: SigningKey, authorities: tuple[x509.Certificate, ...]) -> None:
    """Ask the authorities whether they vouch for the signer today.

    Raises:
        SigningError: none does, or one has revoked the certificate, or does not answer.
    """
    from pyhanko_certvalidator import CertificateValidator
    from pyhanko_certvalidator.errors import RevokedError

    async def ask() -> None:
        context: Any = validation_context(authorities, key.chain)
        try:
            validator: Any = CertificateValidator(
                asn1_certificate(key.certificate), validation_context=context
            )
            await validator.async_validate_usage(set())
        finally:
            await context.aclose()

    try:
        with quiet():
            outside_event_loop(lambda: asyncio.run(ask()))
    except RevokedError as error:
        raise SigningError(
            f"key of {key.name}: revoked on {error.revocation_dt:%Y-%m-%d}; nothing was signed"
        ) from None
    except Exception as error:  # no chain, no answer: whatever the reason, nobody vouches
        raise SigningError(
            f"key of {key.name}: the authorities do not vouch for it ({error}); nothing was signed"
        ) from error


def archive_copy(
    pdf: bytes,
    *,
    timestamp_url: str,
    authorities: tuple[x509.Certificate, ...],
    now: Callable[[], datetime],
) -> bytes:
    """Return the signed document with a timestamp over everything (PAdES B-LTA).

    What says that signers and timestamp authorities were not revoked is fetched
    and put in the same revision. The signed document stays a prefix of the copy.

    Args:
        pdf: a document that every role has signed.
        timestamp_url: address of a timestamp authority.
        authorities: certificates of those who vouch for signers and timestamps.
        now: the clock.

    Raises:
        SigningError: the document is not complete, a signature does not hold,
            or an authority does not answer or does not vouch.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import signers
    from pyhanko.sign.signers.pdf_signer import TimestampDSSContentSettings

    state = read_signatures(pdf, authorities=authorities, moment=now())
    waiting = [field.role for field in state.fields if not field.signed]
    if waiting or not state.signatures:
        raise SigningError(f"not signed yet by {', '.join(waiting) or 'anybody'}; nothing to keep")
    problems = [s.problem for s in state.signatures] + [s.problem for s in state.archive]
    broken = [problem for problem in problems if problem]
    if broken or state.tail_problem:
        raise SigningError(f"{(broken or [state.tail_problem])[0]}; no archive copy was made")
    stamper = time_stamper(timestamp_url)

    async def run() -> bytes:
        context: Any = validation_context(authorities, ())
        try:
            writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
            reader: Any = writer.prev
            signer = signers.PdfTimeStamper(stamper)
            out = io.BytesIO()
            await _add_validation_info(writer, reader, context)
            await signer.async_timestamp_pdf(
                writer,
                "sha256",
                context,
                output=out,
                dss_settings=TimestampDSSContentSettings(include_vri=False, update_before_ts=True),
            )
            return out.getvalue()
        finally:
            await context.aclose()

    try:
        with quiet():
            made = outside_event_loop(lambda: asyncio.run(run()))
    except Exception as error:  # the libraries below have no common base
        raise SigningError(f"no archive copy was made: {error}") from error
    _check_archive(made, authorities, now)
    return made


async def _add_validation_info(writer: Any, reader: Any, context: ValidationContext) -> None:
    """Put into the new revision what proves that nobody was revoked."""
    from pyhanko.sign.validation.dss import DocumentSecurityStore, collect_validation_info

    paths = []
    for signature in reader.embedded_regular_signatures:
        paths += await collect_validation_info(signature, context)
    DocumentSecurityStore.supply_dss_in_writer(
        writer, None, paths=paths, validation_context=context, embed_roots=False
    )


def _check_archive(
    made: bytes, authorities: tuple[x509.Certificate, ...], now: Callable[[], datetime]
) -> None:
    """Nobody files away what does not verify."""
    state = read_signatures(made, authorities=authorities, moment=now(), compare=False)
    stamp = state.archive[-1] if state.archive else None
    if stamp is None or not stamp.proves or not stamp.covers_whole_file:
        words = (stamp.problem or stamp.chain.words) if stamp else "it carries no timestamp"
        raise SigningError(f"no archive copy was made: the timestamp does not hold: {words}")
