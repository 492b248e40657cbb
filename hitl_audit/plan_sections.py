"""The sections of a plan: what each key of ``audit.toml`` means and what it accepts."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from hitl_audit.findings import Criterion

__all__ = [
    "AlternativesSection",
    "AuditSection",
    "CriterionSection",
    "DataSection",
    "ErrorsSection",
    "ExplainSection",
    "FairnessSection",
    "GapsSection",
    "ModelSection",
    "PlanSection",
    "ProfileSection",
    "PublicationSection",
    "Role",
    "ThresholdsSection",
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


def _exact(value: Any) -> Any:
    """Read a threshold exactly: 0.8 is 8/10, not the nearest binary fraction."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


Threshold = Annotated[Decimal, BeforeValidator(_exact)]


class PlanSection(BaseModel):
    """What all sections share: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AuditSection(PlanSection):
    """``[audit]``: what is audited, for whom, and why."""

    title: str = Field(min_length=1)
    purpose: str = ""
    owner: str = ""
    intended_use: str = ""
    not_covered: tuple[str, ...] = ()
    decision: str = "decision"
    favorable_label: str = "favorable"
    unfavorable_label: str = "unfavorable"


class ModelSection(PlanSection):
    """``[model]``: which model, and how its output becomes a decision.

    ``path`` is a ``.skops``, ``.onnx``, XGBoost (``.ubj``, ``.json``) or
    LightGBM (``.txt``) file, all read without running code, a ``.joblib`` file
    (only with ``trust = true``: loading it can run any code), a model folder of
    MLflow, a scoring endpoint (``https://…``), or ``package.module:object`` (an
    object, or a function without arguments that returns one). ``built_by`` names
    who built it: none of them may sign for a role that approves.

    A file that is data is scored in a process of its own, so that a damaged one
    cannot take the audit down; ``worker = false`` scores it here. ``timeout`` is
    how many seconds a worker may take for 10,000 rows, or an endpoint for one
    call. An endpoint is sent ``batch_rows`` rows per call, is asked again
    ``retries`` times, and gets the bearer token in the environment variable that
    ``token_from`` names (never the token itself). ``classes`` are the labels of
    the columns, for an endpoint that replies with one probability per class.
    ``plain_http = true`` allows ``http://`` to other machines.
    """

    path: str = ""
    name: str = ""
    built_by: tuple[str, ...] = ()
    version: str = ""
    description: str = ""
    output: Literal["probability", "label"] = "probability"
    threshold: float = Field(0.5, gt=0, lt=1)
    trust: bool = False
    trusted_types: tuple[str, ...] = ()
    worker: bool = True
    timeout: float = Field(60.0, gt=0, le=86_400)
    batch_rows: int = Field(10_000, ge=1, le=1_000_000)
    retries: int = Field(4, ge=0, le=20)
    token_from: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", max_length=100)
    plain_http: bool = False
    classes: tuple[bool | int | str, ...] = ()

    @model_validator(mode="after")
    def _of_an_endpoint(self) -> ModelSection:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ValueError("classes lists labels; expected at least two, all different")
        if self.classes and self.output == "label":
            raise ValueError('classes has no meaning with output = "label"; expected one of them')
        return self


class DataSection(PlanSection):
    """``[data]``: which rows, what they mean, and which columns stay out.

    ``path`` is a parquet or csv file, a glob of them, a query such as
    ``SELECT * FROM 'rows/*.parquet'`` (DuckDB), the URL of a database with ``query`` beside
    it, or ``package.module:function`` that returns a table. ``history`` (optional) is read
    the same way: all recorded decisions, described but never used to judge the model. ``train``
    (optional) likewise: the rows the model was fitted on, with the same
    columns; only the search for alternatives fits on them.
    ``excluded`` maps a column to the reason it is not
    used; ``labels`` maps a column to plain words with its unit.
    """

    path: str = ""
    query: str = ""
    history: str = ""
    train: str = ""
    description: str = ""
    target: str = ""
    favorable: bool | int | str = 1
    id: str | None = None
    sensitive: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    reference: dict[str, str] = Field(default_factory=dict)
    excluded: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)


class ScaleSection(PlanSection):
    """``[scale]``: what happens to more rows than memory should hold.

    Up to ``in_memory_rows`` rows are held in memory, and everything is measured on all of
    them. More are read part by part: promises, group metrics and performance are about
    all rows, everything else about a uniform random sample of ``sample_rows``. With
    ``explain_all_rows`` every row is explained by SHAP, in a second pass, and what the
    model rests on is about all rows, too.
    """

    in_memory_rows: int = Field(1_000_000, ge=1)
    sample_rows: int = Field(100_000, ge=1_000)
    explain_all_rows: bool = False


class FairnessSection(PlanSection):
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


class CriterionSection(PlanSection):
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


class GapsSection(PlanSection):
    """``[gaps]``: what carries the gaps between groups.

    ``contributions`` divides each gap among the features by their SHAP values:
    of the ``"score"``, or of the 0/1 ``"decision"`` (which is explained by
    asking the model again and again: slow). ``proxies`` measures how well the
    inputs give the protected attributes away. ``conditional_on`` names columns
    within whose values people are alike, for the conditional disparity.
    """

    contributions: Literal["score", "decision", "none"] = "score"
    proxies: bool = True
    conditional_on: tuple[str, ...] = ()

    @field_validator("conditional_on", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class ErrorsSection(PlanSection):
    """``[errors]``: the search for slices in which the model errs more often."""

    slices: bool = True
    max_literals: int = Field(2, ge=1, le=3)
    min_size: int | None = Field(None, ge=1)


class ThresholdsSection(PlanSection):
    """``[thresholds]``: what other thresholds would do.

    ``cost_ratio`` is what a false favorable decision costs, in false
    unfavorable ones.
    """

    sweep: bool = True
    cost_ratio: float = Field(1.0, gt=0)


MitigationMethod = Literal[
    "correlation_remover",
    "exponentiated_gradient",
    "grid_search",
    "reweighing",
    "threshold_optimizer",
]
ConstraintName = Literal[
    "demographic_parity",
    "equalized_odds",
    "true_positive_rate_parity",
    "false_positive_rate_parity",
]
FrontierMeasure = Literal[
    "selection_rate_ratio",
    "selection_rate_gap",
    "true_positive_rate_gap",
    "false_positive_rate_gap",
]


class AlternativesSection(PlanSection):
    """``[alternatives]``: the search for less discriminatory alternatives.

    Every method is fitted on ``data.train`` and judged on the audited rows;
    without methods, only other thresholds of the model itself are tried.
    ``by`` names the attributes whose groups are compared (default: the first).
    """

    search: bool = True
    methods: tuple[MitigationMethod, ...] = ()
    by: tuple[str, ...] = ()
    constraint: ConstraintName = "demographic_parity"
    measure: FrontierMeasure = "selection_rate_ratio"
    max_iter: int = Field(20, ge=1, le=500)

    @field_validator("by", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class ProfileSection(PlanSection):
    """``[[profiles]]``: one regulation profile whose tables the document shows.

    ``id`` is a profile of the package, or the path of your own ``.toml`` file.
    ``by`` maps an attribute of the plan to the word the rule uses for it: for
    ``nyc-ll144`` to ``"sex"`` and ``"race_ethnicity"``, for
    ``us-credit-reg-b`` to a prohibited basis; for the others it may be left
    out. ``measure`` (nyc-ll144): ``"selection"`` or ``"scoring"``. ``segments``
    (us-disparate-impact) is a column within which people compete.
    ``exclusion_reason`` (nyc-ll144) justifies leaving small categories out.
    """

    id: str = Field(min_length=1)
    by: dict[str, str] = Field(default_factory=dict)
    measure: Literal["selection", "scoring"] = "selection"
    segments: str = ""
    exclusion_reason: str = ""
    facts: dict[str, str] = Field(default_factory=dict)


class ExplainSection(PlanSection):
    """``[explain]``: how the model is explained, and what makes an explanation reliable.

    An explanation counts as reliable if SHAP and LIME agree on the sign of at
    least ``sign_agreement_at_least`` of its ``top`` features, and if it clears
    every further bar that is set: LIME's R² (``score_at_least``) and spread
    over seeds (``instability_at_most``), the spread over backgrounds, the
    change under small noise, the share of random rankings that do worse. The
    cases that people judge are always explained, so that none is shown
    unchecked. ``faithfulness`` and ``stability`` are measured on cases drawn at
    random, and on the judged ones where a bar asks for it.
    """

    methods: tuple[Literal["shap", "lime"], ...] = ("shap", "lime")
    background: int = Field(100, ge=1, le=100_000)
    lime_samples: int = Field(5000, ge=100)
    lime_seeds: int = Field(5, ge=2)
    top: int = Field(5, ge=1)
    sign_agreement_at_least: float = Field(0.6, ge=0, le=1)
    faithfulness: bool = True
    stability: bool = True
    score_at_least: float | None = Field(None, le=1)
    instability_at_most: float | None = Field(None, gt=0)
    background_instability_at_most: float | None = Field(None, gt=0)
    relative_sensitivity_at_most: float | None = Field(None, gt=0)
    beats_random_at_least: float | None = Field(None, ge=0, le=1)

    @property
    def bars(self) -> dict[str, float]:
        """The further bars that are set, by the arguments of ``quality``."""
        names = (
            "score_at_least",
            "instability_at_most",
            "background_instability_at_most",
            "relative_sensitivity_at_most",
            "beats_random_at_least",
        )
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    @model_validator(mode="after")
    def _measured(self) -> ExplainSection:
        needed = {
            "score_at_least": "lime" in self.methods,
            "instability_at_most": "lime" in self.methods,
            "background_instability_at_most": self.stability,
            "relative_sensitivity_at_most": self.stability,
            "beats_random_at_least": self.faithfulness,
        }
        for name in self.bars:
            if not needed[name] or "shap" not in self.methods:
                raise ValueError(
                    f"{name} is set, but the plan does not ask for what it is a bar of; expected "
                    "both methods, and faithfulness or stability = true where the bar is theirs"
                )
        return self


class PublicationSection(PlanSection):
    """``[publication]``: what may leave the house.

    Groups of fewer than ``minimum_group`` people are taken out of the document and
    its attachments, with any other group that a total would give away; 1 publishes all.
    Nothing else about people leaves unless it is allowed here: ``rows``, the judged cases
    one by one (groups, score, decision, verdicts; never other columns of the data);
    ``free_text``, what reviewers wrote; ``reviewer_names``, who they are.
    """

    minimum_group: int = Field(10, ge=1)
    rows: bool = False
    free_text: bool = False
    reviewer_names: bool = False


class Role(PlanSection):
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
