"""A regulation profile: what a rule asks an audit to compute and to state, as of a date.

A profile is a TOML file: the law moves, so what it says is data with a date,
a status and sources, and not code. The computations themselves are in
``hitl_audit.fairness.profile_tables``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hitl_audit.canonical import Digest, digest_bytes
from hitl_audit.errors import PlanError, did_you_mean

__all__ = [
    "Blank",
    "Computation",
    "Profile",
    "Requirement",
    "Rule",
    "Source",
    "Statement",
    "list_profiles",
    "load_profile",
]

ProfileStatus = Literal["in force", "amended", "proposed", "superseded", "withdrawn"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Source(_Section):
    """Where the rule is written."""

    citation: str = Field(min_length=1)
    url: str = ""
    note: str = ""


class Rule(_Section):
    """One rule of computation, in words, with its place in the source."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    text: str = Field(min_length=1)
    source: str = ""


class Statement(_Section):
    """A text the document carries; ``{names}`` are filled by facts or by people."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    text: str = Field(min_length=1)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names in the text, in order."""
        return tuple(
            dict.fromkeys(
                name for _, name, _, _ in Formatter().parse(self.text) if name is not None
            )
        )


class Blank(_Section):
    """What only a person can fill in; ``by`` is who."""

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    label: str = Field(min_length=1)
    by: str = Field(min_length=1)


class Requirement(_Section):
    """One requirement of the source, and where the document answers it."""

    text: str = Field(min_length=1)
    source: str = ""
    answered_in: str = Field(min_length=1)


class Computation(_Section):
    """Which tables are computed, and with which numbers.

    Attributes:
        tables: name of the computation; ``"eu-ai-act"`` computes no tables of its own: the
            document's sections answer it.
        attributes: what the tables are by; the words of the rule, not columns.
        four_fifths: the ratio below which a row is flagged.
        exclude_below: share of the rows below which a category may be left out.
        valid_years: for how many years the audit may be used; 0 for no limit.
    """

    tables: Literal["eu-ai-act", "nyc-ll144", "us-credit-reg-b", "us-disparate-impact", "us-mrm"]
    attributes: tuple[str, ...] = Field(min_length=1)
    four_fifths: Decimal = Field(Decimal("0.8"), gt=0, le=1)
    exclude_below: Decimal = Field(Decimal(0), ge=0, lt=1)
    valid_years: int = Field(0, ge=0)


class Profile(_Section):
    """One regulation profile.

    Attributes:
        id, title, jurisdiction: what it is.
        as_of: the day its facts were last checked.
        status: ``"in force"``, ``"amended"``, ``"proposed"``, ``"superseded"``
            or ``"withdrawn"``.
        status_note: what a reader must know about the status; required unless
            it is plainly in force.
        superseded_by: what replaced it; required if superseded.
        summary: what it asks for, in a sentence or two.
        sources, computation, rules, statements, blanks, requirements: see their types.
    """

    format: Literal["hitl-audit/profile/v1"]
    id: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str = Field(min_length=1)
    jurisdiction: str = Field(min_length=1)
    as_of: date
    status: ProfileStatus
    status_note: str = ""
    superseded_by: str = ""
    summary: str = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)
    computation: Computation
    rules: tuple[Rule, ...] = Field(min_length=1)
    statements: tuple[Statement, ...] = ()
    blanks: tuple[Blank, ...] = ()
    requirements: tuple[Requirement, ...] = ()

    _source: bytes = PrivateAttr(default=b"")

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        problems = []
        if self.status != "in force" and not self.status_note:
            problems.append(f'status is "{self.status}" but status_note is empty; expected why')
        if (self.status == "superseded") != bool(self.superseded_by):
            problems.append(
                f'status is "{self.status}" and superseded_by is "{self.superseded_by}"; expected '
                'superseded_by exactly when status is "superseded"'
            )
        for name in ("rules", "statements", "blanks"):
            ids = [item.id for item in getattr(self, name)]
            twice = sorted({i for i in ids if ids.count(i) > 1})
            if twice:
                problems.append(f"{name} has the same id twice: {', '.join(twice)}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def digest(self) -> Digest:
        """SHA-256 of the file as it was written."""
        return digest_bytes(self._source)

    @property
    def warning(self) -> str:
        """What the document must print about the status; ``""`` if plainly in force."""
        if self.status == "in force" and not self.status_note:
            return ""
        replaced = f" by {self.superseded_by}" if self.superseded_by else ""
        said = f"{self.title}: {self.status}{replaced} (as of {self.as_of.isoformat()})."
        return f"{said} {self.status_note}".strip()

    def expiry(self, audited: date) -> date | None:
        """The last day on which an audit of that day may be used; ``None`` for no limit.

        29 February ends on 28 February.
        """
        years = self.computation.valid_years
        if not years:
            return None
        try:
            return audited.replace(year=audited.year + years)
        except ValueError:
            return audited.replace(year=audited.year + years, day=28)

    def statement(self, name: str, facts: Mapping[str, str] | None = None) -> str:
        """A statement with the facts filled in; blanks stay visible as blanks.

        Raises:
            PlanError: no such statement, or a name in it that is neither a fact nor a blank.
        """
        known = {statement.id: statement for statement in self.statements}
        if name not in known:
            raise PlanError(
                f'profile {self.id} has no statement "{name}"; accepted: '
                f"{', '.join(known)}{did_you_mean(name, known)}"
            )
        words = {
            blank.id: f"[to be filled in by {blank.by}: {blank.label}]" for blank in self.blanks
        }
        found = words | {key: value for key, value in (facts or {}).items() if value}
        for key in known[name].placeholders:
            if key not in found:
                raise PlanError(
                    f'profile {self.id}, statement "{name}": no value for {{{key}}}; given: '
                    f"{', '.join(found) or 'nothing'}"
                )
        return known[name].text.format_map(found)


def list_profiles() -> tuple[str, ...]:
    """The ids of the profiles that come with the package, sorted."""
    return tuple(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in files(__package__).iterdir()
            if entry.name.endswith(".toml")
        )
    )


def load_profile(id_or_path: str | Path) -> Profile:
    """Load a profile of the package by its id, or one of your own by its path.

    Raises:
        PlanError: no such profile, or one line per problem with its place,
            what was found and what is accepted.
    """
    if isinstance(id_or_path, str) and not id_or_path.endswith(".toml"):
        known = list_profiles()
        if id_or_path not in known:
            raise PlanError(
                f'profile is "{id_or_path}"; accepted: {", ".join(known)}, or the path of a .toml '
                f"file{did_you_mean(id_or_path, known)}"
            )
        raw = files(__package__).joinpath(f"{id_or_path}.toml").read_bytes()
        return parse_profile(raw, name=f"profile {id_or_path}")
    path = Path(id_or_path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PlanError(f"profile {path} cannot be read: {error.strerror}") from None
    return parse_profile(raw, name=f"profile {path.name}")


def parse_profile(raw: bytes, *, name: str) -> Profile:
    """Parse a profile; pure.

    Raises:
        PlanError: as :func:`load_profile`.
    """
    try:
        table = tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise PlanError(f"{name} is not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{name} is not valid TOML: {error}") from None
    try:
        profile = Profile.model_validate(table)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _explain(problem)]
        count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
        raise PlanError(
            f"{name} has {count}:\n" + "\n".join(f"  • {line}" for line in lines)
        ) from None
    profile._source = raw
    return profile


def _place(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + str(part)
    return text


def _accepted(loc: Sequence[int | str]) -> list[str]:
    """Keys that are accepted in the section at ``loc``."""
    model: type[BaseModel] = Profile
    for part in loc:
        if isinstance(part, int):
            continue
        inner = model.model_fields[part].annotation
        model = next(
            c for c in (inner, *get_args(inner)) if isinstance(c, type) and issubclass(c, BaseModel)
        )
    return sorted(model.model_fields)


def _explain(error: ErrorDetails) -> list[str]:
    """One problem as "place: what was found; what is accepted"."""
    place = _place(error["loc"])
    found = error.get("input")
    shown = str(found) if isinstance(found, Decimal) else repr(found)
    if error["type"] == "extra_forbidden":
        accepted = _accepted(error["loc"][:-1])
        near = did_you_mean(str(error["loc"][-1]), accepted)
        return [f"{place} is not a key of a profile; accepted: {', '.join(accepted)}{near}"]
    if error["type"] == "missing":
        return [f"{place} is missing"]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"]).split("\n")
    if error["type"] == "literal_error":
        accepted = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
        near = did_you_mean(found, accepted) if isinstance(found, str) else ""
        return [f"{place} is {shown}; accepted: {', '.join(accepted)}{near}"]
    return [f"{place} is {shown}; expected {error['msg'].removeprefix('Input should be ')}"]
