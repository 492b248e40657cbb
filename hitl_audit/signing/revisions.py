"""What came after a signature: later revisions of the file, compared."""

from __future__ import annotations

import io
from functools import lru_cache

from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import SuspiciousModification
from pyhanko.sign.validation import EmbeddedPdfSignature

from hitl_audit.signing.contents import describe_changes

__all__ = ["appended", "end_of", "forbidden_changes", "tail"]


def end_of(signature: EmbeddedPdfSignature) -> int:
    """The offset up to which the signature covers the file."""
    return int(signature.byte_range[-2]) + int(signature.byte_range[-1])


def tail(
    pdf: bytes, reader: PdfFileReader, last: EmbeddedPdfSignature, problem: str
) -> tuple[str, tuple[str, ...]]:
    """What follows the last signature or timestamp."""
    end = end_of(last)
    if end >= len(pdf) or problem:
        return "", ()
    if reader.total_revisions == last.signed_revision + 1:
        return appended(len(pdf) - end), ()
    words = (
        f"{len(pdf) - end:,} bytes follow the last signature as an update of the "
        "document that nobody signed"
    )
    return words, _changes(pdf, end)


def appended(count: int) -> str:
    """Say that bytes follow the end of the document."""
    return f"{count:,} bytes were appended after the end of the document"


@lru_cache(maxsize=2)
def _comparison(pdf: bytes) -> dict[str, tuple[str, ...]]:
    """Per field of a signature, what came after it and is forbidden.

    A function of the bytes alone, and the slow part of a check; whoever signs
    checks the same bytes several times.
    """
    reader = PdfFileReader(io.BytesIO(pdf))
    found: dict[str, tuple[str, ...]] = {}
    for signature in reader.embedded_regular_signatures:
        try:
            signature.compute_integrity_info()
            info = signature.summarise_integrity_info()
            if info["docmdp_ok"]:
                continue
            suspicious = isinstance(signature.diff_result, SuspiciousModification)
        except Exception as error:  # what cannot be compared was changed
            found[signature.field_name] = (f"it cannot be compared ({error})",)
            continue
        words = (
            "parts of the document were changed that a later signature may not change"
            if suspicious
            else "the document was changed after this signature had locked it"
        )
        found[signature.field_name] = _changes(pdf, end_of(signature)) or (words,)
    return found


def forbidden_changes(pdf: bytes, field: str) -> tuple[str, ...]:
    """What came after the signature in this field and is forbidden, in words."""
    return _comparison(pdf).get(field, ())


def _changes(pdf: bytes, end: int) -> tuple[str, ...]:
    try:
        return describe_changes(pdf[:end], pdf)
    except Exception:  # words only: the refusal stands without them
        return ()
