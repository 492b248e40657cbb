"""The manifest of a report: which files belong to it, by digest.

It is attached to the PDF and so covered by its signatures. Names are paths
relative to the audit's folder; an attached file carries the last part of its
name inside the PDF (``results/evidence.json`` is attached as ``evidence.json``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from hitl_audit.canonical import Digest, canonical_bytes, digest_bytes

__all__ = ["FORMAT", "Manifest", "ManifestFile", "SignedCheckpoint"]

FORMAT = "hitl-audit/manifest/v1"


@dataclass(frozen=True)
class ManifestFile:
    """One file: its path in the folder, its digest and length, and whether it is attached."""

    name: str
    sha256: str
    size: int
    attached: bool

    @classmethod
    def of(cls, name: str, data: bytes, *, attached: bool) -> ManifestFile:
        """Describe a file by its bytes."""
        return cls(name, digest_bytes(data).removeprefix("sha256:"), len(data), attached)

    @property
    def attachment(self) -> str:
        """The name inside the PDF."""
        return PurePosixPath(self.name).name

    def is_digest(self, found: Digest) -> bool:
        """Whether a file with this digest is the one that is meant."""
        return found == f"sha256:{self.sha256}"


@dataclass(frozen=True)
class SignedCheckpoint:
    """The judgments when the report was made: how many, Merkle root and chain head (hex)."""

    size: int
    root: str
    chain_head: str


@dataclass(frozen=True)
class Manifest:
    """What belongs to one report.

    Attributes:
        document_id: as printed on every page.
        created: when the report was made.
        files: every file but the report and the manifest.
        ledger: the checkpoint of the judgments, or ``None`` without any.
        plan_digest, plan_registered_at: the plan and when it was registered.
        results_created: when the results were computed.
    """

    document_id: str
    created: datetime
    files: tuple[ManifestFile, ...]
    ledger: SignedCheckpoint | None
    plan_digest: str
    plan_registered_at: datetime
    results_created: datetime

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the manifest."""
        return canonical_bytes(
            {
                "format": FORMAT,
                "document_id": self.document_id,
                "created": self.created,
                "files": [
                    {"name": f.name, "sha256": f.sha256, "bytes": f.size, "attached": f.attached}
                    for f in self.files
                ],
                "ledger": self.ledger,
                "plan": {"digest": self.plan_digest, "registered_at": self.plan_registered_at},
                "results": {"created": self.results_created},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest; an unknown version is refused by name.

        Raises:
            ValueError: not a manifest of a known version, or one with a part
                missing or of another kind.
        """
        try:
            value = json.loads(data)
            found = value["format"]
            if found != FORMAT:
                raise ValueError(f"format is {found!r}, expected {FORMAT!r}")
            return cls(
                document_id=_text(value, "document_id"),
                created=_moment(value, "created"),
                files=tuple(_file(entry) for entry in value["files"]),
                ledger=None if value["ledger"] is None else _checkpoint(value["ledger"]),
                plan_digest=_text(value["plan"], "digest"),
                plan_registered_at=_moment(value["plan"], "registered_at"),
                results_created=_moment(value["results"], "created"),
            )
        except KeyError as error:
            raise ValueError(f"manifest.json: {error.args[0]} is missing") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"manifest.json: {error}") from None


def _file(entry: Mapping[str, Any]) -> ManifestFile:
    attached = entry["attached"]
    if not isinstance(attached, bool):
        raise ValueError(f"attached is {attached!r}, expected true or false")
    return ManifestFile(
        _text(entry, "name"), _hex(entry, "sha256"), _count(entry, "bytes"), attached
    )


def _checkpoint(value: Mapping[str, Any]) -> SignedCheckpoint:
    return SignedCheckpoint(_count(value, "size"), _hex(value, "root"), _hex(value, "chain_head"))


def _text(value: Mapping[str, Any], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text:
        raise ValueError(f"{key} is {text!r}, expected a text")
    return text


def _hex(value: Mapping[str, Any], key: str) -> str:
    digits = _text(value, key).removeprefix("sha256:")
    if len(digits) != 64 or any(c not in "0123456789abcdef" for c in digits):
        raise ValueError(f"{key} is {digits!r}, expected 64 hexadecimal digits")
    return digits


def _count(value: Mapping[str, Any], key: str) -> int:
    number = value[key]
    if type(number) is not int or number < 0:
        raise ValueError(f"{key} is {number!r}, expected a whole number from 0")
    return number


def _moment(value: Mapping[str, Any], key: str) -> datetime:
    moment = datetime.fromisoformat(_text(value, key))
    if moment.tzinfo is None:
        raise ValueError(f"{key} is {moment.isoformat()}, expected a time with a zone")
    return moment
