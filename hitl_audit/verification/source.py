"""Where a report comes from: a PDF, an audit's folder, or a zip file of one.

Everything is bounded before it is read. A zip file is unpacked into a folder
of its own that is removed afterwards; nothing in it can be written elsewhere.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hitl_audit.errors import VerificationError

__all__ = ["MAXIMUM_PDF", "Source", "inside", "open_source"]

MAXIMUM_PDF = 256 << 20
_MAXIMUM_ZIP = 1 << 30  # bytes unpacked
_MAXIMUM_ENTRIES = 2_000
_CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
)
_EXPECTED = "expected a PDF, the folder of an audit, or a zip file of one"


@dataclass(frozen=True)
class Source:
    """The bytes of the report, and the folder beside it if there is one."""

    pdf: bytes
    folder: Path | None


@contextmanager
def open_source(given: Path) -> Iterator[Source]:
    """Read a report for as long as the block runs.

    Raises:
        VerificationError: there is nothing to verify, it is too large, or a
            zip file that is damaged or leads out of its folder.
    """
    try:
        if given.is_dir():
            yield Source(_read_pdf(given / "report.pdf", given), given)
        elif given.is_file() and _is_zip(given):
            with tempfile.TemporaryDirectory(prefix="hitl-audit-") as name:
                folder = _unpack(given, Path(name))
                yield Source(_read_pdf(folder / "report.pdf", given), folder)
        else:
            yield Source(_read_pdf(given, given), None)
    except OSError as error:
        raise VerificationError(f"{given}: cannot be read ({error.strerror})") from None


def inside(folder: Path, name: str) -> Path:
    """Return a path below the folder; a manifest must not lead out of it.

    Raises:
        ValueError: it does.
    """
    file = folder / name
    if PurePosixPath(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the manifest names {name!r}, which is outside the folder")
    return file


def _read_pdf(file: Path, given: Path) -> bytes:
    if not file.exists():
        what = "folder without report.pdf" if given.is_dir() else "no such file"
        raise VerificationError(f"{given}: {what}, {_EXPECTED}")
    if not file.is_file():
        raise VerificationError(f"{file}: not a file, {_EXPECTED}")
    size = file.stat().st_size
    if size > MAXIMUM_PDF:
        raise VerificationError(f"{file}: {size:,} bytes, expected at most {MAXIMUM_PDF:,}")
    return file.read_bytes()


def _is_zip(file: Path) -> bool:
    with file.open("rb") as start:
        return start.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _unpack(file: Path, target: Path) -> Path:
    """Unpack into ``target`` and return the folder that holds the report."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > _MAXIMUM_ENTRIES:
                raise VerificationError(
                    f"{file}: {len(entries):,} files, expected at most {_MAXIMUM_ENTRIES:,}"
                )
            left = _MAXIMUM_ZIP
            for entry in entries:
                left = _unpack_entry(archive, entry, target, left, file)
    except _DAMAGED as error:
        raise VerificationError(f"{file}: damaged zip file ({error}), {_EXPECTED}") from None
    found = sorted(target.rglob("report.pdf"), key=lambda path: len(path.parts))
    if not found:
        raise VerificationError(f"{file}: zip file without report.pdf, {_EXPECTED}")
    if len(found) > 1 and len(found[0].parts) == len(found[1].parts):
        raise VerificationError(f"{file}: zip file of several reports, expected one")
    return found[0].parent


def _unpack_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left: int, file: Path
) -> int:
    """Write one entry, counting what really comes out; returns what may still come."""
    name = PurePosixPath(entry.filename)
    kind = entry.external_attr >> 16
    leads_out = (
        name.is_absolute() or ".." in name.parts or any(c in entry.filename for c in "\\:\0")
    )
    if leads_out or (stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR)):
        raise VerificationError(f"{file}: {entry.filename[:80]!r} leads out of the zip file")
    if entry.is_dir():
        return left
    place = target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, place.open("xb") as out:
        while chunk := packed.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise VerificationError(
                    f"{file}: unpacks to more than {_MAXIMUM_ZIP:,} bytes, expected less"
                )
            out.write(chunk)
    return left
