"""The files of a report that is already made: attached to its PDF, or beside it."""

from __future__ import annotations

from pathlib import Path

from pyhanko.pdf_utils.misc import PdfError

from hitl_audit.errors import InputError
from hitl_audit.signing.contents import attachments

__all__ = ["opened_evidence", "report_file", "report_files"]


def report_files(path: str | Path) -> dict[str, bytes]:
    """The files of a report by name.

    Args:
        path: a report's PDF (its attachments are read, not the files beside it), or an
            audit folder (of its PDF, if there is one).

    Raises:
        InputError: neither, or a PDF that cannot be read.
    """
    given = Path(path)
    pdf = given / "report.pdf" if given.is_dir() else given
    if given.is_dir() and not pdf.exists():
        return {file.name: file.read_bytes() for file in sorted(given.glob("*.json"))}
    if not pdf.is_file():
        raise InputError(f"{given} does not exist; expected a report's PDF or an audit folder")
    if pdf.suffix == ".json":
        return {pdf.name: pdf.read_bytes()}
    try:
        return attachments(pdf.read_bytes())
    except (PdfError, ValueError) as error:
        raise InputError(
            f"{pdf} cannot be read as a report ({error}); expected a PDF that this toolkit made"
        ) from None


def report_file(path: str | Path, name: str) -> bytes:
    """One file of a report.

    Raises:
        InputError: as :func:`report_files`, or the report has no such file.
    """
    found = report_files(path)
    if name not in found:
        raise InputError(
            f"{path} has no {name}; it has: {', '.join(sorted(found)) or 'no files'}. Expected a "
            'report made by "hitl-audit report"'
        )
    return found[name]


def opened_evidence(path: str | Path) -> bytes:
    """The evidence of a report, an audit folder (of its last run if there is no report) or a file.

    Raises:
        InputError: there is none.
    """
    given = Path(path)
    results = given / "results" / "evidence.json"
    if given.is_dir() and not (given / "report.pdf").exists() and results.is_file():
        return results.read_bytes()
    if given.is_file() and given.suffix == ".json":
        return given.read_bytes()
    return report_file(given, "evidence.json")
