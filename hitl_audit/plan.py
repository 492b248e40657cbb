"""The pre-registered plan: what is audited and what is promised, before any result.

A plan is written as ``audit.toml`` and parsed here into an :class:`AuditPlan`.
Its digest is that of the bytes as written, so that what was registered is what
is later checked. Parsing is pure; reading the file is ``hitl_audit.dossier``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hitl_audit.canonical import Digest, digest_bytes, utc_text
from hitl_audit.errors import PlanError, did_you_mean
from hitl_audit.plan_sections import (
    HIGHER_IS_BETTER,
    AlternativesSection,
    AuditSection,
    CriterionSection,
    DataSection,
    ErrorsSection,
    ExplainSection,
    FairnessSection,
    GapsSection,
    ModelSection,
    PlanSection,
    ProfileSection,
    PublicationSection,
    Role,
    ScaleSection,
    ThresholdsSection,
)
from hitl_audit.review_plan import ReviewSection
from hitl_audit.what_if_plan import WhatIfSection

__all__ = ["AuditPlan", "PlanLock", "Registration", "parse_lock", "register"]

DEFAULT_ROLES = (
    Role(role="data scientist", signs="prepared"),
    Role(role="domain expert", signs="attested"),
    Role(role="compliance officer", signs="approved"),
)


class AuditPlan(PlanSection):
    """The pre-registered plan.

    Attributes:
        audit, model, data, fairness, explain, review, what_if: the sections.
        gaps, errors, thresholds, alternatives: what is looked into beyond the promises.
        profiles: regulation profiles whose tables are shown.
        criteria: what is promised, in order.
        scale: what happens to more rows than memory should hold.
        publication: what may leave the house.
        roles: who signs, in order; the last signature locks the document.
        seed: the one seed every random step is derived from.
    """

    audit: AuditSection
    model: ModelSection = Field(default_factory=lambda: ModelSection())
    data: DataSection = Field(default_factory=lambda: DataSection())
    scale: ScaleSection = Field(default_factory=lambda: ScaleSection())
    fairness: FairnessSection = Field(default_factory=lambda: FairnessSection())
    criteria: tuple[CriterionSection, ...] = ()
    gaps: GapsSection = Field(default_factory=lambda: GapsSection())
    errors: ErrorsSection = Field(default_factory=lambda: ErrorsSection())
    thresholds: ThresholdsSection = Field(default_factory=lambda: ThresholdsSection())
    alternatives: AlternativesSection = Field(default_factory=lambda: AlternativesSection())
    profiles: tuple[ProfileSection, ...] = ()
    explain: ExplainSection = Field(default_factory=lambda: ExplainSection())
    review: ReviewSection = Field(default_factory=lambda: ReviewSection())
    what_if: WhatIfSection = Field(default_factory=lambda: WhatIfSection())
    publication: PublicationSection = Field(default_factory=lambda: PublicationSection())
    roles: tuple[Role, ...] = Field(DEFAULT_ROLES, min_length=1)
    seed: int = Field(0, ge=0, lt=2**32)

    _source: bytes = PrivateAttr(default=b"")

    @model_validator(mode="after")
    def _consistent(self) -> AuditPlan:
        known = self.data.sensitive
        problems: list[str] = []
        if len(set(known)) != len(known):
            problems.append(f"data.sensitive names an attribute twice: {', '.join(known)}")
        for attribute in self.data.reference:
            if attribute not in known:
                problems.append(
                    f'data.reference names "{attribute}"; accepted: '
                    + (", ".join(known) or "none, because data.sensitive is empty")
                )
        for i, criterion in enumerate(self.criteria):
            for attribute in criterion.by:
                if attribute not in known:
                    problems.append(
                        f'criteria[{i}].by names "{attribute}"; accepted: '
                        + (", ".join(known) or "none, because data.sensitive is empty")
                        + did_you_mean(attribute, known)
                    )
            if (
                criterion.compare == "ratio"
                and criterion.metric in HIGHER_IS_BETTER
                and criterion.at_least is not None
                and criterion.at_least > 1
                and not set(criterion.by) & set(self.data.reference)
            ):
                problems.append(
                    f"criteria[{i}].at_least = {criterion.at_least} is impossible: groups are "
                    "compared with the best-off one, so no ratio is above 1; expected at most 1"
                )
            if len(criterion.by) > 1 and criterion.by not in self.intersections:
                listed = ", ".join(" × ".join(i) for i in self.intersections) or "none"
                problems.append(
                    f"criteria[{i}].by is the intersection {' × '.join(criterion.by)}, which "
                    f"fairness.intersections does not cover; it covers: {listed}"
                )
        for crossed in self.intersections:
            strangers = [a for a in crossed if a not in known]
            if strangers or len(set(crossed)) < 2:
                problems.append(
                    f"fairness.intersections names {list(crossed)}; accepted: two or more of "
                    + (", ".join(known) or "none, because data.sensitive is empty")
                )
        if self.review.stratify_by is not None and self.review.stratify_by not in known:
            problems.append(
                f'review.stratify_by is "{self.review.stratify_by}"; accepted: '
                + (", ".join(known) or "none, because data.sensitive is empty")
            )
        accepted = ", ".join(known) or "none, because data.sensitive is empty"
        for place, names in (
            ("alternatives.by", self.alternatives.by),
            *((f"profiles[{i}].by", tuple(p.by)) for i, p in enumerate(self.profiles)),
        ):
            problems += [
                f'{place} names "{name}"; accepted: {accepted}{did_you_mean(name, known)}'
                for name in names
                if name not in known
            ]
        ids = [profile.id for profile in self.profiles]
        if len(set(ids)) != len(ids):
            problems.append(f"profiles names the same id twice: {', '.join(ids)}")
        if self.alternatives.methods and not known:
            problems.append("alternatives.methods needs data.sensitive, which is empty")
        if self.data.target and self.data.target in known:
            problems.append(f'data.sensitive contains the target "{self.data.target}"')
        fields = [role.field for role in self.roles]
        if len(set(fields)) != len(fields):
            problems.append("roles names the same role twice: " + ", ".join(fields))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @classmethod
    def from_toml(cls, source: bytes | str, *, name: str = "audit.toml") -> AuditPlan:
        """Parse a plan.

        Raises:
            PlanError: one line per problem, each with its place, what was
                found and what is accepted.
        """
        raw = source.encode() if isinstance(source, str) else source
        try:
            table = tomllib.loads(raw.decode("utf-8"), parse_float=Decimal)
        except UnicodeDecodeError as error:
            raise PlanError(f"{name} is not UTF-8 text (byte {error.start})") from None
        except tomllib.TOMLDecodeError as error:
            raise PlanError(f"{name} is not valid TOML: {error}") from None
        return cls._build(table, raw, name)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], *, name: str = "plan") -> AuditPlan:
        """Build a plan in memory; its source is the TOML that says the same.

        Raises:
            PlanError: as :meth:`from_toml`.
        """
        plan = cls._build(dict(table), b"", name)
        said = plan.model_dump(exclude_none=True, exclude_defaults=True)
        return cls.from_toml(tomli_w.dumps(said), name=name)

    @classmethod
    def _build(cls, table: dict[str, Any], source: bytes, name: str) -> AuditPlan:
        try:
            plan = cls.model_validate(table)
        except ValidationError as error:
            lines = list(dict.fromkeys(line for e in error.errors() for line in _explain(e)))
            count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
            raise PlanError(
                f"{name} has {count}:\n" + "\n".join(f"  • {line}" for line in lines)
            ) from None
        plan._source = source
        return plan

    @property
    def intersections(self) -> tuple[tuple[str, ...], ...]:
        """The crossings of sensitive attributes that are measured."""
        chosen = self.fairness.intersections
        if isinstance(chosen, tuple):
            return chosen
        return (self.data.sensitive,) if chosen and len(self.data.sensitive) > 1 else ()

    @property
    def source(self) -> bytes:
        """The plan as it was written, byte for byte."""
        return self._source

    @property
    def digest(self) -> Digest:
        """SHA-256 of :attr:`source`."""
        return digest_bytes(self._source)

    def label(self, column: str) -> str:
        """Plain words for a column, or its name."""
        return self.data.labels.get(column, column)


def _place(loc: Sequence[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else ("." if text else "") + str(part)
    return text


def _accepted(loc: Sequence[int | str]) -> list[str]:
    """Keys that are accepted in the section at ``loc``."""
    model: Any = AuditPlan
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = field.annotation if field else None
        candidates = [inner, *get_args(inner)]
        model = next(
            (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None
        )
        if model is None:
            return []
    return sorted(model.model_fields)


def _explain(error: ErrorDetails) -> list[str]:
    """One problem as "place: what was found; what is accepted"."""
    # Union branches add their type's name to the place; people did not write it.
    loc = [p for p in error["loc"] if p not in ("bool", "int", "str", "constrained-str")]
    place = _place(loc)
    kind = error["type"]
    context = error.get("ctx", {})
    found = error.get("input")
    shown = str(found) if isinstance(found, Decimal) else repr(found)
    if kind == "extra_forbidden":
        accepted = _accepted(loc[:-1])
        near = did_you_mean(str(loc[-1]), accepted)
        return [f"{place} is not a key of the plan; accepted: {', '.join(accepted)}{near}"]
    if kind == "missing":
        return [f"{place} is missing"]
    if kind == "value_error":
        message = str(context["error"])
        prefix = f"{place} " if place else ""
        return [prefix + line for line in message.split("\n")]
    if kind == "literal_error":
        quoted = re.findall(r"'([^']*)'|\"([^\"]*)\"", str(context["expected"]))
        accepted = [single or double for single, double in quoted]
        near = did_you_mean(found, accepted) if isinstance(found, str) else ""
        return [f"{place} is {shown}; accepted: {', '.join(accepted)}{near}"]
    if place == "data.favorable":
        return [f"{place} is {shown}; expected a text, a whole number or true/false"]
    message = error["msg"].removeprefix("Input should be ").replace("a valid tuple", "a list")
    message = message.replace("a valid string", "a text").replace(
        "a valid integer", "a whole number"
    )
    if kind == "too_short":
        message = f"at least {context['min_length']}"
    return [f"{place} is {shown}; expected {message}"]


class Registration(PlanSection):
    """One entry of the lock: this plan was registered at this time."""

    digest: str
    registered_at: str
    after_results: bool = False
    reason: str = ""


class PlanLock(PlanSection):
    """``plan.lock.json``: which plan was registered when; history is kept."""

    format: Literal["hitl-audit/plan-lock/v1"] = "hitl-audit/plan-lock/v1"
    registrations: tuple[Registration, ...] = Field(min_length=1)

    @property
    def current(self) -> Registration:
        """The latest registration."""
        return self.registrations[-1]

    @property
    def changed_after_results(self) -> bool:
        """Was the plan ever changed when results were already known?"""
        return any(r.after_results for r in self.registrations)


def parse_lock(data: bytes) -> PlanLock:
    """Parse ``plan.lock.json``.

    Raises:
        PlanError: not a lock of a known version.
    """
    try:
        return PlanLock.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise PlanError(
            f"plan.lock.json cannot be used: {_place(first['loc']) or 'the file'}: {first['msg']}; "
            'expected a lock of format "hitl-audit/plan-lock/v1"'
        ) from None


def register(
    plan: AuditPlan,
    lock: PlanLock | None,
    *,
    now: datetime,
    results_exist: bool,
    reregister: str = "",
) -> PlanLock:
    """Register a plan before results exist; pure.

    A plan that changes before there are results is registered again. One that
    changes afterwards is refused, unless ``reregister`` gives the reason, and
    then the lock, and every document made from it, says so.

    Raises:
        PlanError: the plan changed after results exist.
    """
    if lock is not None and lock.current.digest == plan.digest:
        return lock
    if lock is not None and results_exist and not reregister.strip():
        raise PlanError(
            "the plan changed after results exist: it was registered as "
            f"{lock.current.digest} on {lock.current.registered_at} and is now {plan.digest}.\n"
            "Restore the registered plan, or register the new one with a reason "
            '(hitl-audit run DIR --reregister "why"); the document will then say that the plan '
            "was changed after results were known."
        )
    entry = Registration(
        digest=plan.digest,
        registered_at=utc_text(now),
        after_results=lock is not None and results_exist,
        reason=reregister.strip(),
    )
    return PlanLock(registrations=(*(lock.registrations if lock else ()), entry))
