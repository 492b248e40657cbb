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
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from hitl_audit.canonical import Digest, digest_bytes, utc_text
from hitl_audit.errors import PlanError, did_you_mean
from hitl_audit.findings import Criterion

__all__ = [
    "AuditPlan",
    "AuditSection",
    "DataSection",
    "ExplainSection",
    "FairnessSection",
    "ModelSection",
    "PlanLock",
    "Registration",
    "ReviewSection",
    "Role",
    "parse_lock",
    "register",
    "role_field",
]

MetricName = Literal[
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "true_negative_rate",
    "false_negative_rate",
    "accuracy",
    "precision",
]
METRICS: tuple[str, ...] = get_args(MetricName)
# The best-off group has the highest of these and the lowest of the others.
HIGHER_IS_BETTER = frozenset(METRICS) - {"false_positive_rate", "false_negative_rate"}

DEFAULT_REASONS = (
    "A factor that matters is missing",
    "A factor weighs too much",
    "A factor weighs too little",
    "The data about this person look wrong",
    "The decision would be unfair",
    "Something else",
)


def _exact(value: Any) -> Any:
    """Read a threshold exactly: 0.8 is 8/10, not the nearest binary fraction."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


Threshold = Annotated[Decimal, BeforeValidator(_exact)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AuditSection(_Section):
    """``[audit]``: what is audited, for whom, and why."""

    title: str = Field(min_length=1)
    purpose: str = ""
    owner: str = ""
    intended_use: str = ""
    not_covered: tuple[str, ...] = ()
    decision: str = "decision"
    favorable_label: str = "favorable"
    unfavorable_label: str = "unfavorable"


class ModelSection(_Section):
    """``[model]``: which model, and how its output becomes a decision.

    ``path`` is a ``.skops`` file, a ``.joblib`` file (only with ``trust =
    true``: loading it can run any code), or ``package.module:object`` (an
    object, or a function without arguments that returns one).
    """

    path: str = ""
    name: str = ""
    version: str = ""
    description: str = ""
    output: Literal["probability", "label"] = "probability"
    threshold: float = Field(0.5, gt=0, lt=1)
    trust: bool = False
    trusted_types: tuple[str, ...] = ()


class DataSection(_Section):
    """``[data]``: which rows, what they mean, and which columns stay out.

    ``path`` is a parquet or csv file, or ``package.module:function`` that
    returns a DataFrame. ``history`` (optional) is read the same way: all
    recorded decisions, described but never used to judge the model.
    ``excluded`` maps a column to the reason it is not
    used; ``labels`` maps a column to plain words with its unit.
    """

    path: str = ""
    history: str = ""
    description: str = ""
    target: str = ""
    favorable: bool | int | str = 1
    id: str | None = None
    sensitive: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    reference: dict[str, str] = Field(default_factory=dict)
    excluded: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class FairnessSection(_Section):
    """``[fairness]``: which group metrics, and how sure is sure.

    ``intersections`` is ``true`` (all sensitive attributes crossed), ``false``,
    or a list of attribute lists such as ``[["race", "sex"]]``.
    """

    metrics: tuple[MetricName, ...] = (
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
    )
    intersections: bool | tuple[tuple[str, ...], ...] = True
    confidence: float = Field(0.95, gt=0.5, lt=1)
    min_group: int = Field(30, ge=1)


class CriterionSection(_Section):
    """``[[criteria]]``: one promise."""

    metric: MetricName
    by: tuple[str, ...] = ()
    compare: Literal["ratio", "difference", "value"] = "ratio"
    at_least: Threshold | None = None
    at_most: Threshold | None = None
    decide: Literal["interval", "point"] = "interval"
    reason: str = ""

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _possible(self) -> CriterionSection:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("has no threshold; expected at_least, at_most or both")
        if low is not None and high is not None and low > high:
            raise ValueError(f"at_least = {low} is above at_most = {high}, so nothing can meet it")
        if self.compare == "value":
            for key, bound in (("at_least", low), ("at_most", high)):
                if bound is not None and not 0 <= bound <= 1:
                    raise ValueError(f"{key} = {bound} is impossible for a rate; expected 0 to 1")
        elif not self.by:
            raise ValueError(
                f'compares groups (compare = "{self.compare}") but "by" is empty; expected the '
                'sensitive attribute(s), or compare = "value" for all rows together'
            )
        if self.compare == "ratio":
            for key, bound in (("at_least", low), ("at_most", high)):
                if bound is not None and bound <= 0:
                    raise ValueError(f"{key} = {bound} is impossible for a ratio; expected above 0")
        if self.compare == "difference":
            if low is not None:
                raise ValueError(
                    "at_least has no meaning for a difference, whose size is what is promised; "
                    "expected at_most"
                )
            if high is not None and not 0 < high <= 1:
                raise ValueError(
                    f"at_most = {high} is impossible for a difference of rates; expected above 0 "
                    "and up to 1"
                )
        return self

    @property
    def criterion(self) -> Criterion:
        """The same promise in the words of ``findings``, with exact thresholds."""
        return Criterion(
            metric=self.metric,
            by=self.by,
            compare=self.compare,
            at_least=None if self.at_least is None else Fraction(self.at_least),
            at_most=None if self.at_most is None else Fraction(self.at_most),
            decide=self.decide,
            reason=self.reason,
        )


class ExplainSection(_Section):
    """``[explain]``: how the model is explained.

    An explanation counts as reliable if SHAP and LIME agree on the sign of at
    least ``sign_agreement_at_least`` of its ``top`` features. LIME explains
    the cases that people judge, so that none is shown unchecked.
    """

    methods: tuple[Literal["shap", "lime"], ...] = ("shap", "lime")
    background: int = Field(100, ge=1, le=100_000)
    lime_samples: int = Field(5000, ge=100)
    lime_seeds: int = Field(5, ge=2)
    top: int = Field(5, ge=1)
    sign_agreement_at_least: float = Field(0.6, ge=0, le=1)


class ReviewSection(_Section):
    """``[review]``: which cases people judge, and how."""

    cases: int = Field(60, ge=1)
    design: Literal["random", "stratified"] = "random"
    stratify_by: str | None = None
    reviewers_per_case: int = Field(1, ge=1)
    protocol: Literal["blind-first", "open"] = "blind-first"
    reasons: tuple[str, ...] = Field(DEFAULT_REASONS, min_length=1)

    @model_validator(mode="after")
    def _strata(self) -> ReviewSection:
        if (self.design == "stratified") != (self.stratify_by is not None):
            raise ValueError(
                f'design = "{self.design}" with stratify_by = {self.stratify_by!r}; expected '
                'stratify_by exactly when design = "stratified"'
            )
        return self


class Role(_Section):
    """``[[roles]]``: who signs, and what they state by it. The last one locks."""

    role: str = Field(min_length=1, max_length=60)
    signs: Literal["prepared", "attested", "approved"]
    name: str = ""

    @property
    def field(self) -> str:
        """Name of the signature field in the PDF, for example ``data-scientist``."""
        return role_field(self.role)


def role_field(role: str) -> str:
    """Name of a role's signature field: ``data scientist`` → ``data-scientist``."""
    return re.sub(r"[^a-z0-9]+", "-", role.lower()).strip("-")


DEFAULT_ROLES = (
    Role(role="data scientist", signs="prepared"),
    Role(role="domain expert", signs="attested"),
    Role(role="compliance officer", signs="approved"),
)


class AuditPlan(_Section):
    """The pre-registered plan.

    Attributes:
        audit, model, data, fairness, explain, review: the sections.
        criteria: what is promised, in order.
        roles: who signs, in order; the last signature locks the document.
        seed: the one seed every random step is derived from.
    """

    audit: AuditSection
    model: ModelSection = Field(default_factory=lambda: ModelSection())
    data: DataSection = Field(default_factory=lambda: DataSection())
    fairness: FairnessSection = Field(default_factory=lambda: FairnessSection())
    criteria: tuple[CriterionSection, ...] = ()
    explain: ExplainSection = Field(default_factory=lambda: ExplainSection())
    review: ReviewSection = Field(default_factory=lambda: ReviewSection())
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
        accepted = re.findall(r"'([^']*)'", str(context["expected"]))
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


class Registration(_Section):
    """One entry of the lock: this plan was registered at this time."""

    digest: str
    registered_at: str
    after_results: bool = False
    reason: str = ""


class PlanLock(_Section):
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
