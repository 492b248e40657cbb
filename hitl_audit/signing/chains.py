"""Whether an authority that the reader trusts vouches for a certificate at a moment.

Path validation is pyHanko's (RFC 5280); nothing is fetched. Revocation lists
and answers come from the document or from the reader; where a certificate says
that it can be revoked and neither is at hand, that is said and not passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from asn1crypto import crl, ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    ExpiredError,
    InsufficientRevinfoError,
    NotYetValidError,
    RevokedError,
)

from hitl_audit.signing.cms_signer import asn1_certificate

__all__ = ["ChainState", "Revocation", "Verdict", "chain_state"]

Verdict = Literal["trusted", "unknown", "revoked", "expired", "not checked"]
_NOT_CHECKED = "its authority can revoke it, and no list or answer says whether it did by then"
_SIGNING = frozenset({"digital_signature", "non_repudiation"})


@dataclass(frozen=True)
class ChainState:
    """What the reader's authorities say of a certificate at a moment.

    Attributes:
        verdict: ``"trusted"``; ``"unknown"`` (no trusted authority vouches);
            ``"revoked"``; ``"expired"``; ``"not checked"`` (trusted but for
            revocation, of which nothing is known).
        revocation_known: revocation was looked up and the certificate is good.
        words: the reason, for a reader.
    """

    verdict: Verdict
    revocation_known: bool
    words: str


@dataclass(frozen=True)
class Revocation:
    """Lists and answers about revocation, and certificates that came with them."""

    crls: tuple[Any, ...] = ()
    ocsps: tuple[Any, ...] = ()
    certificates: tuple[Any, ...] = ()

    def with_crls(self, crls: Iterable[bytes]) -> Revocation:
        """The same with the reader's own lists (DER)."""
        loaded = tuple(crl.CertificateList.load(data, strict=True) for data in crls)
        return Revocation((*self.crls, *loaded), self.ocsps, self.certificates)

    @classmethod
    def of(
        cls, crls: Iterable[bytes], ocsps: Iterable[bytes], certificates: Iterable[bytes]
    ) -> Revocation:
        """Read what a document carries.

        Raises:
            ValueError: something in it is not what it says it is.
        """
        return cls(
            tuple(crl.CertificateList.load(data, strict=True) for data in crls),
            tuple(ocsp.OCSPResponse.load(data, strict=True) for data in ocsps),
            tuple(asn1_x509.Certificate.load(data, strict=True) for data in certificates),
        )


async def chain_state(
    certificate: asn1_x509.Certificate,
    *,
    others: Iterable[asn1_x509.Certificate],
    authorities: Iterable[x509.Certificate],
    revocation: Revocation,
    moment: datetime,
    timestamping: bool = False,
) -> ChainState:
    """Judge a certificate at a moment.

    Args:
        certificate: the signer's, or the timestamp authority's.
        others: certificates that came with it.
        authorities: whose word counts.
        revocation: what is known of revocation.
        moment: when the certificate must have been valid.
        timestamping: it must be a timestamp authority's certificate.
    """
    roots = [asn1_certificate(c) for c in authorities]
    given = (*others, *revocation.certificates)

    async def attempt(mode: str, known: Revocation = revocation) -> None:
        context = ValidationContext(
            trust_roots=roots,
            other_certs=given,
            crls=known.crls,
            ocsps=known.ocsps,
            allow_fetching=False,
            moment=moment,
            revocation_mode=mode,
            # A list made after the signature is better evidence, not worse.
            retroactive_revinfo=True,
            weak_hash_algos={"md2", "md4", "md5", "sha1"},
        )
        validator: Any = CertificateValidator(certificate, given, context)
        if timestamping:
            await validator.async_validate_usage(set(), {"time_stamping"})
        else:
            await validator.async_validate_usage(set())
            if not any(_signing_usages(certificate)):
                raise ValueError("the certificate is not made for signing documents")

    try:
        try:
            await attempt("soft-fail")
        except InsufficientRevinfoError:
            # What is known of revocation is too old to count: the chain alone must hold.
            await attempt("soft-fail", Revocation())
            if _listed(certificate, revocation, moment):
                return ChainState("revoked", True, "a list names the certificate as revoked")
            return ChainState("not checked", False, _NOT_CHECKED)
    except RevokedError as error:
        who = "an authority above it" if not error.is_ee_cert else "the certificate"
        return ChainState("revoked", True, f"{who} was revoked on {_day(error.revocation_dt)}")
    except ExpiredError as error:
        return ChainState("expired", False, f"the certificate expired on {_day(error.expired_dt)}")
    except NotYetValidError:
        return ChainState("unknown", False, "the certificate was not valid yet")
    except Exception as error:  # any broken chain is one that nobody vouches for
        return ChainState("unknown", False, str(error))
    try:
        await attempt("hard-fail")
    except InsufficientRevinfoError:
        return ChainState("not checked", False, _NOT_CHECKED)
    except RevokedError as error:
        return ChainState("revoked", True, f"revoked on {_day(error.revocation_dt)}")
    except Exception as error:
        return ChainState("not checked", False, str(error))
    stated = _can_be_revoked(certificate)
    return ChainState("trusted", stated, "not revoked" if stated else "revocation is not foreseen")


def _signing_usages(certificate: asn1_x509.Certificate) -> list[bool]:
    """Whether each of the usages of a signature is allowed (none stated: all are)."""
    stated = certificate.key_usage_value
    if stated is None:
        return [True]
    return [usage in stated.native for usage in sorted(_SIGNING)]


def _listed(certificate: asn1_x509.Certificate, revocation: Revocation, moment: datetime) -> bool:
    """Whether any list of its issuer, however old, names the certificate as revoked by then."""
    for found in revocation.crls:
        content = found["tbs_cert_list"]
        if content["issuer"] == certificate.issuer:
            for entry in content["revoked_certificates"]:
                revoked = entry["user_certificate"].native == certificate.serial_number
                if revoked and entry["revocation_date"].native <= moment:
                    return True
    return False


def _can_be_revoked(certificate: asn1_x509.Certificate) -> bool:
    return bool(certificate.crl_distribution_points or certificate.ocsp_urls)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
