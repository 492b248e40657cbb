"""What every event of the ledger is: its bytes, its redactable words, what makes it valid.

An event is a frozen dataclass with a ``kind``. Its *body* is RFC 8785 JSON and
is what the ledger hashes. Words that may name or describe a person (the fields
in ``PERSONAL``) are not in the body: it holds a salted commitment,
``SHA-256(salt || RFC 8785 bytes of the value)``, and salt and value are an
:class:`Opening` kept beside it. Destroying the opening redacts the words for
good and leaves every hash as it was; the salt keeps them from being guessed.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, ClassVar, NamedTuple, get_args, get_origin, get_type_hints

from hitl_audit.canonical import canonical_bytes, digest_bytes, plain
from hitl_audit.errors import LedgerError, did_you_mean

__all__ = [
    "FORMAT",
    "Event",
    "FieldType",
    "Opening",
    "Sealed",
    "event_kinds",
    "field_types",
    "read_event",
    "read_json",
    "unknown",
]

FORMAT = "hitl-audit/event/v1"

_KINDS: dict[str, type[Event]] = {}


class Opening(NamedTuple):
    """The salt (hexadecimal) and the value behind one commitment; the value is JSON text."""

    salt: str
    value: str

    @property
    def commitment(self) -> str:
        """What the body of the event holds in place of the value."""
        return digest_bytes(bytes.fromhex(self.salt) + self.value.encode())


class Sealed(NamedTuple):
    """An event ready to be stored: its body, and the openings by field."""

    body: bytes
    openings: dict[str, Opening]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a review.

    Attributes:
        event_id: UUID made by whoever sends the event, so that sending it twice
            records it once.
        at: UTC text of the moment it happened.
        plan_digest: of the plan that was followed.
        model_digest: of the model in question.
        simulated: made by a program for demonstration, not by a person.
        redacted: fields whose words were destroyed; they read as empty.
    """

    KIND: ClassVar[str] = ""
    PERSONAL: ClassVar[tuple[str, ...]] = ()

    event_id: str
    at: str
    plan_digest: str
    model_digest: str
    simulated: bool = False
    redacted: tuple[str, ...] = field(default=(), compare=False)

    def __init_subclass__(cls) -> None:
        if cls.KIND:
            _KINDS[cls.KIND] = cls

    def problems(self) -> list[str]:
        """What keeps the event from being recorded, in words; empty if nothing does."""
        problems = []
        if not _is_uuid(self.event_id):
            problems.append(f"event_id is {self.event_id!r}; expected a lower-case UUID")
        if not _is_utc_text(self.at):
            problems.append(
                f"at is {self.at!r}; expected UTC text such as 2026-01-31T12:00:00.000000Z"
            )
        problems += self._empty("plan_digest", "model_digest")
        if not all(map(math.isfinite, _floats([getattr(self, f.name) for f in fields(self)]))):
            problems.append("a number is infinite or not a number; expected a finite one")
        if not all(_is_unicode(text) for text in _texts(plain(self))):
            problems.append(
                "a text holds half a character (a lone surrogate); expected Unicode text"
            )
        return problems

    def _empty(self, *names: str) -> list[str]:
        return [f"{n} is empty; expected text" for n in names if not getattr(self, n).strip()]

    def seal(self, salts: Callable[[], bytes]) -> Sealed:
        """The bytes to store; each call of ``salts`` gives at least 16 random bytes."""
        openings = {}
        for name in self.PERSONAL:
            if value := getattr(self, name):
                text = canonical_bytes(value).decode()
                openings[name] = Opening(salts().hex(), text)
        public = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in self.PERSONAL and f.name != "redacted"
        }
        commitments = {name: opening.commitment for name, opening in openings.items()}
        head = {"format": FORMAT, "kind": self.KIND, "personal": commitments}
        return Sealed(canonical_bytes(head | public), openings)


def event_kinds() -> dict[str, type[Event]]:
    """Every kind of event by its name."""
    # Importing the kinds registers them.
    from hitl_audit.review import judgment, records  # noqa: F401

    return dict(_KINDS)


def read_event(body: bytes, openings: Mapping[str, Opening] | None = None) -> Event:
    """Read an event back from its bytes and from what is left of its openings.

    A commitment without an opening makes the field empty and names it in
    ``redacted``.

    Raises:
        LedgerError: not JSON, another format or kind, other fields than
            expected or of other types, or an opening that is not what was
            committed to.
    """
    record, kind = _record(body)
    commitments = record.pop("personal", None)
    cls = event_kinds().get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise LedgerError(f"the body has kind {kind!r}; accepted: {', '.join(event_kinds())}")
    names, empty = _shape(cls.KIND)
    if record.keys() != names:
        odd = ", ".join(sorted(record.keys() ^ names))
        raise LedgerError(f"the body has missing or unknown fields: {odd}")
    if not isinstance(commitments, dict) or not set(commitments) <= set(cls.PERSONAL):
        raise LedgerError(f"the body commits to {commitments!r}; expected {cls.PERSONAL}")
    given = dict(openings or {})
    opened: dict[str, Any] = {}
    for name, commitment in commitments.items():
        opening = given.pop(name, None)
        if opening is None:
            continue
        try:
            kept, opened[name] = opening.commitment == commitment, read_json(opening.value)
        except ValueError:  # the salt is no hexadecimal number, or the value no JSON
            kept = False
        if not kept:
            raise LedgerError(f"the words in {name!r} are not the ones that were recorded")
    if given:
        raise LedgerError(f"there are words in {', '.join(given)} that were not recorded")
    redacted = tuple(name for name in commitments if name not in opened)
    values = {name: _frozen(value) for name, value in (record | empty | opened).items()}
    types = field_types(cls.KIND)
    for name, value in values.items():
        if not types[name].holds(value):
            raise LedgerError(f"{name} is {value!r}; expected {types[name].kind.__name__}")
    return cls(**values, redacted=redacted)


class FieldType(NamedTuple):
    """What a field holds: a plain type, and whether it can be ``None``."""

    kind: type
    optional: bool

    def holds(self, value: object) -> bool:
        """The value is of this type; JSON does not tell 1 from 1.0."""
        if value is None:
            return self.optional
        if isinstance(value, bool):
            return self.kind is bool
        return isinstance(value, int | float if self.kind is float else self.kind)


@cache
def field_types(kind: str) -> dict[str, FieldType]:
    """The fields of one kind of event, in order."""
    cls = event_kinds()[kind]
    hints = get_type_hints(cls)
    return {f.name: _field_type(hints[f.name]) for f in fields(cls)}


def _field_type(hint: Any) -> FieldType:
    options = [option for option in get_args(hint) if option is not NoneType]
    if NoneType in get_args(hint):
        return FieldType(get_origin(options[0]) or options[0], True)
    return FieldType(get_origin(hint) or hint, False)


@cache
def _shape(kind: str) -> tuple[frozenset[str], dict[str, str]]:
    """Names of the public fields, and what personal fields without a default read as when empty."""
    cls = event_kinds()[kind]
    names = frozenset(f.name for f in fields(cls)) - {"redacted", *cls.PERSONAL}
    return names, {
        f.name: "" for f in fields(cls) if f.name in cls.PERSONAL and f.default is MISSING
    }


def read_json(text: str | bytes, **options: Any) -> Any:
    """Read what RFC 8785 wrote; ``options`` as for :func:`json.loads`.

    It writes large floats like integers, and no integer beyond 2**53: such a
    number was a float.
    """

    def number(digits: str) -> int | float:
        value = int(digits)
        return value if abs(value) < 1 << 53 else float(digits)

    return json.loads(text, parse_int=number, **options)


def unknown(name: str, found: object, accepted: Iterable[str]) -> str:
    """Words for a value that is none of the accepted ones."""
    options = list(accepted)
    near = did_you_mean(found, options) if isinstance(found, str) else ""
    return f'{name} is "{found}"; accepted: {", ".join(options)}{near}'


def _record(body: bytes) -> tuple[dict[str, Any], Any]:
    try:
        record = read_json(body)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"the body is not JSON: {error}") from None
    found = record.pop("format", None) if isinstance(record, dict) else None
    if found != FORMAT:
        raise LedgerError(f"the body has format {found!r}; accepted: {FORMAT!r}")
    return record, record.pop("kind", None)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _floats(value: Any) -> Iterable[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floats(item)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _is_utc_text(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return False
    return text.endswith("Z")
