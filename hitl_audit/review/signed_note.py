"""Checkpoints of a ledger as C2SP signed notes, the format of transparency logs.

A note is a few lines of text and Ed25519 signatures below them; anyone who has
the public key checks it with tools that are not ours. Formats:
https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint; keys are
written as Go's ``golang.org/x/mod/sumdb/note`` writes them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from hitl_audit.canonical import Digest, sha256
from hitl_audit.errors import SigningError, VerificationError
from hitl_audit.review.integrity import Checkpoint
from hitl_audit.review.merkle import digest_text, raw_digest

__all__ = [
    "NoteSigner",
    "NoteVerifier",
    "checkpoint_note",
    "open_note",
    "read_checkpoint_note",
    "sign_note",
]

_ED25519 = b"\x01"
_LINE = re.compile("\N{EM DASH} ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})")
_MOST_SIGNATURES = 100


@dataclass(frozen=True)
class NoteVerifier:
    """A public key that notes are checked with.

    Attributes:
        name: of the key, for example ``"bank.example/ledger"``.
        key_id: the first four bytes of a hash over name and key.
    """

    name: str
    key_id: bytes
    public: bytes = field(repr=False)

    @classmethod
    def from_text(cls, text: str) -> NoteVerifier:
        """Read ``name+hash+key`` as :meth:`text` writes it.

        Raises:
            SigningError: not such a key, or not an Ed25519 key.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        public = _key_bytes(encoded, "verifier key")
        return _checked(name, key_id, public, "verifier key")

    @classmethod
    def from_public(cls, name: str, public: bytes) -> NoteVerifier:
        """Name an Ed25519 key of 32 bytes.

        Raises:
            SigningError: a name with spaces or ``+``, or a key of another length.
        """
        if not re.fullmatch(r"[^\s+]+", name):
            raise SigningError(f"note key: name is {name!r}; expected text without spaces and +")
        if len(public) != 32:
            raise SigningError(f"note key: got {len(public)} bytes, expected 32")
        key_id = sha256(name.encode() + b"\n" + _ED25519 + public)[:4]
        return cls(name, key_id, public)

    def text(self) -> str:
        """The key as text, to be handed to whoever checks notes."""
        encoded = base64.b64encode(_ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    def holds(self, text: str, signature: bytes) -> bool:
        """The signature is this key's signature of the text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class NoteSigner:
    """A private key that signs notes; :meth:`text` is a secret."""

    verifier: NoteVerifier
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls, name: str, seed: bytes) -> NoteSigner:
        """Make a key.

        Args:
            name: of the key; the origin of the checkpoints that it signs.
            seed: 32 random bytes, for example of :func:`secrets.token_bytes`.

        Raises:
            SigningError: a name with spaces or ``+``, or a seed of another length.
        """
        if len(seed) != 32:
            raise SigningError(f"note key: got a seed of {len(seed)} bytes, expected 32")
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(NoteVerifier.from_public(name, public), seed)

    @classmethod
    def from_text(cls, text: str) -> NoteSigner:
        """Read ``PRIVATE+KEY+name+hash+key`` as :meth:`text` writes it.

        Raises:
            SigningError: not such a key; the message does not repeat it.
        """
        parts = text.split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise SigningError("note signing key: expected PRIVATE+KEY+name+hash+key")
        signer = cls.new(parts[2], _key_bytes(parts[4], "note signing key"))
        _checked(parts[2], parts[3], signer.verifier.public, "note signing key")
        return signer

    def text(self) -> str:
        """The key as text; keep it secret."""
        encoded = base64.b64encode(_ED25519 + self.seed).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.key_id.hex()}+{encoded}"


def sign_note(text: str, *signers: NoteSigner) -> str:
    """Put signatures below a text.

    Raises:
        SigningError: no signer, a text that does not end in a newline, or
            control characters in it.
    """
    if not text.endswith("\n") or re.search(r"[\x00-\x09\x0b-\x1f]", text):
        raise SigningError("note: expected text without control characters that ends in a newline")
    if not signers:
        raise SigningError("note: expected at least one signer")
    lines = []
    for signer in signers:
        signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(text.encode())
        encoded = base64.b64encode(signer.verifier.key_id + signature).decode()
        lines.append(f"\N{EM DASH} {signer.verifier.name} {encoded}\n")
    return f"{text}\n{''.join(lines)}"


def open_note(note: str | bytes, verifiers: Iterable[NoteVerifier]) -> tuple[str, tuple[str, ...]]:
    """The text of a note and the names of the trusted keys that signed it.

    Raises:
        VerificationError: not a signed note, no signature by a trusted key, or
            one that is wrong.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    text, lines = _parted(note)
    signed_by: list[str] = []
    for line in lines:
        match = _LINE.fullmatch(line)
        signature = _decoded(match[2]) if match else None
        if match is None or signature is None or len(signature) < 5:
            raise VerificationError(f"note: this is no signature line: {line[:120]!r}")
        verifier = known.get((match[1], signature[:4]))
        if verifier is None:
            continue
        if not verifier.holds(text, signature[4:]):
            raise VerificationError(f"note: the signature of {verifier.name} is wrong")
        signed_by += [] if verifier.name in signed_by else [verifier.name]
    if not signed_by:
        trusted = ", ".join(name for name, _ in known) or "nobody"
        raise VerificationError(f"note: not signed by anyone trusted; trusted: {trusted}")
    return text, tuple(signed_by)


def checkpoint_note(checkpoint: Checkpoint, *signers: NoteSigner) -> str:
    """A checkpoint as a signed note; its origin is the name of the first key.

    Raises:
        SigningError: no signer.
    """
    if not signers:
        raise SigningError("note: expected at least one signer")
    root = base64.b64encode(raw_digest(checkpoint.root)).decode()
    return sign_note(f"{signers[0].verifier.name}\n{checkpoint.size}\n{root}\n", *signers)


def read_checkpoint_note(
    note: str | bytes, verifiers: Iterable[NoteVerifier], *, origin: str | None = None
) -> Checkpoint:
    """The checkpoint in a note that a trusted key signed, for ``Ledger.verify``.

    Its chain head is ``""``: the root alone fixes the chain.

    Args:
        note: as written by any transparency log.
        verifiers: the trusted keys.
        origin: of the ledger; by default, any that a trusted key signed for.

    Raises:
        VerificationError: as :func:`open_note`, no checkpoint, or of another origin.
    """
    text, _ = open_note(note, verifiers)
    lines = text.split("\n")
    root = _decoded(lines[2]) if len(lines) > 3 else None
    if not lines[0] or root is None or len(root) != 32 or "" in lines[3:-1]:
        raise VerificationError("note: not a checkpoint; expected origin, size and root")
    if not re.fullmatch("0|[1-9][0-9]{0,17}", lines[1]):
        raise VerificationError(f"note: the size is {lines[1][:40]!r}; expected a decimal number")
    if origin not in (None, lines[0]):
        raise VerificationError(f"note: the origin is {lines[0]!r}; expected {origin!r}")
    return Checkpoint(int(lines[1]), digest_text(root), Digest(""))


def _parted(note: str | bytes) -> tuple[str, list[str]]:
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError as error:
        raise VerificationError(f"note: not UTF-8 text ({error.reason})") from None
    text, blank, signatures = whole.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or lines[-1] or re.search(r"[\x00-\x09\x0b-\x1f]", whole):
        raise VerificationError("note: expected text, an empty line and signature lines")
    if len(lines) > _MOST_SIGNATURES:
        raise VerificationError(f"note: more than {_MOST_SIGNATURES - 1} signatures")
    return f"{text}\n", lines[:-1]


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _key_bytes(encoded: str, what: str) -> bytes:
    key = _decoded(encoded)
    if key is None or len(key) != 33 or key[:1] != _ED25519:
        raise SigningError(f"{what}: expected name+hash+base64 of an Ed25519 key")
    return key[1:]


def _checked(name: str, key_id: str, public: bytes, what: str) -> NoteVerifier:
    verifier = NoteVerifier.from_public(name, public)
    if verifier.key_id.hex() != key_id:
        raise SigningError(f"{what}: the hash {key_id[:40]!r} does not fit the name and the key")
    return verifier
