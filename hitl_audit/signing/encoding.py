"""Whether a signature lies in the file exactly as a signer writes it.

The place of a signature is the one part of a file that no signature covers. If
anything in it could vary, a file could differ from the signed one and still
pass; what the reader's library lets pass and we do not is written out here.
"""

from __future__ import annotations

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from pyhanko.sign.validation import EmbeddedPdfSignature

__all__ = ["encoding_problem"]


def encoding_problem(
    pdf: bytes, signature: EmbeddedPdfSignature, *, by_others: bool = False
) -> str:
    """Say what is wrong with the place and the container of a signature, or ``""``.

    Args:
        pdf: the file.
        signature: in it.
        by_others: a timestamp authority made the container, in its own way.
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
    return "" if by_others else _cms_problem(raw[:size], signature.signer_cert)


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
