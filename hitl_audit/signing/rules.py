"""Who may sign what, by the plan: applied before signing, and again when verifying.

Rules are read from the plan as it was written, without the program that runs
audits, so that a verifier can apply them too.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Person", "RoleRule", "SigningRules", "read_rules", "role_field"]


@dataclass(frozen=True)
class Person:
    """A signer as the certificate names them.

    Attributes:
        name, email: of the certificate's subject; ``""`` if it has none.
        fingerprint: SHA-256 of the certificate, hexadecimal.
        public_key: SHA-256 of the public key (DER SubjectPublicKeyInfo), hexadecimal.
    """

    name: str
    email: str
    fingerprint: str
    public_key: str

    def is_called(self, name: str) -> bool:
        """Whether the certificate carries this name or address, without regard to case."""
        return _fold(name) in {_fold(self.name), _fold(self.email)} - {""}

    def is_same_as(self, other: Person) -> bool:
        """Whether two certificates are one person's, as far as certificates can tell.

        That is: the same key; or the same address; or the same name, where one
        of them has no address that could tell namesakes apart.
        """
        if self.public_key == other.public_key:
            return True
        if self.email and other.email:
            return _fold(self.email) == _fold(other.email)
        return _fold(self.name) == _fold(other.name)


@dataclass(frozen=True)
class RoleRule:
    """One role of the plan.

    Attributes:
        role: as written in the plan.
        signs: ``"prepared"``, ``"attested"`` or ``"approved"``.
        name: who alone may sign, or ``""`` for anyone.
    """

    role: str
    signs: str
    name: str = ""

    @property
    def field(self) -> str:
        """Name of the role's signature field in the PDF."""
        return role_field(self.role)


@dataclass(frozen=True)
class SigningRules:
    """The roles in the order of signing, and who built the model."""

    roles: tuple[RoleRule, ...]
    built_by: tuple[str, ...] = ()

    def refusal(
        self, field: str, person: Person, earlier: Sequence[tuple[str, Person]] = ()
    ) -> str:
        """Say why this person may not sign in this field now, or ``""``.

        Args:
            field: name of the signature field.
            person: who wants to sign.
            earlier: field and signer of every signature before, in order.
        """
        fields = [rule.field for rule in self.roles]
        if field not in fields:
            return f"the plan has no role {field!r}; it has: {', '.join(fields)}"
        place = fields.index(field)
        rule = self.roles[place]
        done = [name for name, _ in earlier]
        if field in done:
            return f"the {rule.role} has signed already"
        waiting = [r.role for r in self.roles[:place] if r.field not in done]
        if waiting:
            return f"the {rule.role} must wait: not yet signed by {', '.join(waiting)}"
        if rule.name and not person.is_called(rule.name):
            return (
                f"the plan names {rule.name} as {rule.role}, and this certificate is "
                f"{_called(person)}'s"
            )
        return self._conflict(rule, person, earlier)

    def _conflict(
        self, rule: RoleRule, person: Person, earlier: Sequence[tuple[str, Person]]
    ) -> str:
        """Nobody approves their own work."""
        if rule.signs != "approved":
            return ""
        if any(person.is_called(name) for name in self.built_by):
            return f"{_called(person)} built the model and cannot approve it as {rule.role}"
        prepared = {r.field: r.role for r in self.roles if r.signs == "prepared"}
        for field, before in earlier:
            if field in prepared and person.is_same_as(before):
                return (
                    f"{_called(person)} prepared this document as {prepared[field]} and cannot "
                    f"approve it as {rule.role}"
                )
        return ""


def read_rules(plan: bytes, evidence: bytes = b"") -> SigningRules:
    """Read the roles from a plan (``audit.toml``).

    Args:
        plan: the plan as written.
        evidence: ``evidence.json``, which lists the roles where the plan relies on defaults.

    Raises:
        ValueError: not a plan, or one whose roles cannot be read.
    """
    try:
        value = tomllib.loads(plan.decode())
        listed = value.get("roles")
        if listed is None and evidence:
            rows = json.loads(evidence)["plan"]["roles"]
            listed = [{"role": r[0], "signs": r[1], "name": r[2]} for r in rows]
        roles = tuple(
            RoleRule(_text(r, "role"), _text(r, "signs"), _text(r, "name", ""))
            for r in listed or ()
        )
        built_by = value.get("model", {}).get("built_by", ())
        names = (built_by,) if isinstance(built_by, str) else tuple(built_by)
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"model.built_by is {built_by!r}, expected names")
    except KeyError as error:
        raise ValueError(f"the plan's roles cannot be read: {error.args[0]} is missing") from None
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"the plan's roles cannot be read: {error}") from None
    return SigningRules(roles, names)


def role_field(role: str) -> str:
    """Name of a role's signature field: ``data scientist`` → ``data-scientist``."""
    return re.sub(r"[^a-z0-9]+", "-", role.lower()).strip("-")


def _text(table: dict[str, Any], key: str, default: str | None = None) -> str:
    value = table[key] if default is None else table.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, expected a text")
    return value.strip()


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _called(person: Person) -> str:
    return person.name or person.email or "this signer"
