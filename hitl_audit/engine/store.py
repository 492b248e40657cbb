"""Finished parts on disk, so that an interrupted pass goes on where it was."""

from __future__ import annotations

import os
import pickle
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hitl_audit.canonical import canonical_bytes, keyed_sha256, sha256
from hitl_audit.errors import EngineError
from hitl_audit.files import write_atomically

__all__ = ["PartStore"]

_FORMAT = b"hitl-audit/part/v1\n"
_CODE = 32  # bytes of the authentication code


@dataclass(frozen=True)
class PartStore:
    """Answers of a function for parts of the data, in files, by (function key, part key).

    An entry is an authentication code and a pickled answer. A pickle can run any code
    when it is read, so an entry is read only if its code is right under a secret that
    never leaves this user's configuration folder: an audit folder from elsewhere may
    hold anything, and what it holds is computed again. So is an entry that is damaged
    or that belongs to another part. The store is a cache of one audit folder; delete
    it whenever you like.

    Args:
        folder: where the entries are; made when the first one is written.
        secret: of this user; by default ``~/.config/hitl-audit/parts.key``, made when
            it is not there (``XDG_CONFIG_HOME`` is respected). Where that cannot be
            written the secret lasts as long as this object, and so do the entries.
    """

    folder: Path
    secret: bytes = field(default_factory=lambda: _own_secret(), repr=False)

    def __init__(self, folder: str | Path, secret: bytes | None = None) -> None:
        object.__setattr__(self, "folder", Path(folder))
        object.__setattr__(self, "secret", _own_secret() if secret is None else secret)

    def path(self, function: str, part: str) -> Path:
        """Where the entry of a function and a part is, whether it exists or not."""
        return self.folder / sha256(function.encode()).hex()[:16] / f"{_name(part)}.part"

    def read(self, function: str, part: str) -> bytes | None:
        """The pickled answer of ``function`` for ``part``, or ``None`` if there is no good one.

        Args:
            function: key of the function; ``""`` has no entries.
            part: key of the part; ``""`` has no entries.
        """
        if not function or not part:
            return None
        try:
            data = self.path(function, part).read_bytes()
        except OSError:
            return None
        start = len(_FORMAT) + _CODE
        payload = data[start:]
        # The comparison need not be constant in time: whoever could measure it can
        # already run programs as this user.
        if data[:start] != _FORMAT + self._code(function, part, payload):
            return None
        return payload

    def save(self, function: str, part: str, payload: bytes) -> None:
        """Keep the pickled answer; as a whole or not at all.

        Raises:
            EngineError: the disk refuses (it is full, say).
        """
        if not function or not part:
            return
        path = self.path(function, part)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, _FORMAT + self._code(function, part, payload) + payload)
        except OSError as error:
            raise EngineError(
                f"its answer could not be kept in {self.folder} "
                f"({error.strerror or error}); parts finished before are kept, so make room "
                "and resume"
            ) from error

    def clear(self) -> None:
        """Remove every entry, also those of other functions, and what a killed run left.

        Files that are no entries stay, and so does their folder.
        """
        for path in self.folder.glob("*/*.part"):
            path.unlink(missing_ok=True)
        for folder in (*self.folder.glob("*/"), self.folder):
            with suppress(OSError):  # not empty, or never made
                folder.rmdir()

    def _code(self, function: str, part: str, payload: bytes) -> bytes:
        return keyed_sha256(self.secret, canonical_bytes([function, part]) + b"\n" + payload)


def unpickled(payload: bytes | None) -> tuple[bool, Any]:
    """``(True, value)``, or ``(False, None)`` where these classes no longer exist."""
    if payload is None:
        return False, None
    try:
        return True, pickle.loads(payload)  # noqa: S301 - authenticated by PartStore.read
    except Exception:
        # Written by another version of this package: it is computed again.
        return False, None


def _name(part: str) -> str:
    return sha256(part.encode()).hex()[:40]


def _own_secret() -> bytes:
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    path = base / "hitl-audit" / "parts.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_CODE))
        secret = path.read_bytes()
    except (OSError, RuntimeError):
        secret = b""
    return secret if len(secret) == _CODE else secrets.token_bytes(_CODE)
