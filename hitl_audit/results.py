"""One audit run: from inputs and a registered plan to results and their evidence.

:class:`AuditResults` holds the evidence and what stays on this machine: the
explanations of single cases and the data behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from threadpoolctl import threadpool_limits

from hitl_audit.analyses import analyse, check_analyses, sources
from hitl_audit.canonical import Digest, plain, utc_text
from hitl_audit.collected_checks import NOTHING_COLLECTED, ProposedChecks, evaluate_collected
from hitl_audit.errors import InputError, PlanError
from hitl_audit.evidence import (
    Analyses,
    AuditRecord,
    CollectedChecks,
    DataRecord,
    Evidence,
    ExplanationRecord,
    History,
    Importance,
    ModelRecord,
    PlanRecord,
    Provenance,
)
from hitl_audit.explaining import explanations
from hitl_audit.explanations.attribution_sums import AttributionSums
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.shap_values import TOLERANCE
from hitl_audit.explanations.trust.quality import ExplanationQuality
from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics
from hitl_audit.findings import Comparison, Finding, evaluate
from hitl_audit.groups import TIMES, UNKNOWN
from hitl_audit.inputs import AuditInputs, digest_frame
from hitl_audit.performance import Performance, measure_performance
from hitl_audit.plan import AuditPlan, PlanLock
from hitl_audit.population import Population
from hitl_audit.profiles.loader import Profile
from hitl_audit.review.oversight import summarise
from hitl_audit.review.sampling import CaseSample
from hitl_audit.reviewing import disclosed, draw_cases, how_drawn
from hitl_audit.training import TrainingRows
from hitl_audit.what_if_setup import check_notes, checks_of

__all__ = ["AuditResults", "Progress", "read_results", "read_sample", "run_audit"]

FINDING_COLUMNS = (
    "finding",
    "criterion",
    "by",
    "group",
    "reference",
    "compare",
    "value",
    "low",
    "high",
    "n",
    "p_value",
    "p_adjusted",
    "status",
    "n_needed",
)
Progress = Callable[[str, float], None]


def read_sample(data: bytes) -> CaseSample:
    """Parse ``results/sample.json``.

    Raises:
        InputError: not a sample of cases.
    """
    try:
        return TypeAdapter(CaseSample).validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"results/sample.json cannot be used: {error.errors()[0]['msg']}"
        ) from None


@dataclass(frozen=True, repr=False)
class AuditResults:
    """What one run found, and what stays on this machine.

    Attributes:
        evidence: every number, without rows of people.
        inputs: the validated inputs.
        explanation: SHAP of all rows, or of a random draw of them, or ``None``.
        case_explanation: SHAP of the review cases, or ``None``.
        lime: LIME of the same rows as ``explanation``, or ``None``.
        quality: how far the explanations can be trusted, per case.
        sample: the cases that people judge.
    """

    evidence: Evidence
    inputs: AuditInputs
    explanation: Explanation | None
    case_explanation: Explanation | None
    lime: Explanation | None
    quality: ExplanationQuality | None
    sample: CaseSample

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One per criterion, decided."""
        return self.evidence.findings

    @property
    def fairness(self) -> GroupMetrics:
        """Group metrics with intervals."""
        return self.evidence.fairness

    @property
    def performance(self) -> Performance:
        """How well the model predicts the recorded outcome."""
        return self.evidence.performance

    @property
    def analyses(self) -> Analyses:
        """What was looked into beyond the promises: gaps, errors, thresholds, alternatives."""
        return self.evidence.analyses

    @property
    def history(self) -> GroupMetrics | None:
        """Recorded decisions of people, by group."""
        return self.evidence.history.decisions if self.evidence.history else None

    def frame(self) -> pd.DataFrame:
        """The findings, one row per group compared."""
        rows = [
            {
                "finding": finding.id,
                "criterion": verdict.comparison.metric,
                "by": verdict.comparison.attribute,
                "group": verdict.comparison.group,
                "reference": verdict.comparison.reference,
                "compare": verdict.comparison.compare,
                "value": verdict.comparison.value,
                "low": verdict.comparison.low,
                "high": verdict.comparison.high,
                "n": verdict.comparison.count.total,
                "p_value": verdict.comparison.p_value,
                "p_adjusted": verdict.comparison.p_adjusted,
                "status": str(verdict.status),
                "n_needed": verdict.n_needed,
            }
            for finding in self.findings
            for verdict in finding.verdicts
        ]
        return pd.DataFrame(rows, columns=list(FINDING_COLUMNS)).astype({"n_needed": "Int64"})

    def tables(self) -> dict[str, pd.DataFrame]:
        """Case-level tables that stay in the audit folder: scores, attributions."""
        inputs = self.inputs
        scores = inputs.sensitive.assign(
            y_true=inputs.y_true, y_score=inputs.y_score, y_pred=inputs.y_pred
        )
        tables = {"scores": scores.rename_axis("case_id").reset_index()}
        for name, explanation in (
            ("shap", self.explanation),
            ("shap_cases", self.case_explanation),
            ("lime", self.lime),
        ):
            if explanation is not None:
                values = pd.DataFrame(
                    explanation.values, columns=list(explanation.feature_names)
                ).assign(base_value=explanation.base_values)
                values.insert(0, "case_id", explanation.index.astype(str))
                tables[name] = values
        if self.quality is not None:
            rows = self.quality.frame().rename_axis("case_id").reset_index()
            tables["quality"] = rows
        return tables

    def __repr__(self) -> str:
        decided = ", ".join(f"{f.id} {f.status}" for f in self.findings) or "no criteria"
        title, rows = self.evidence.audit.title, self.evidence.data.rows
        return f"<AuditResults {title}: {rows:,} rows; {decided}>"

    def _repr_html_(self) -> str:
        from html import escape

        items = "".join(
            f"<li><b>{escape(f.id)} {escape(str(f.status))}</b>: {escape(f.words)}</li>"
            for f in self.findings
        )
        rows = self.evidence.data.rows
        return (
            f"<p><b>{escape(self.evidence.audit.title)}</b>: {rows:,} rows, plan "
            f"registered {escape(self.evidence.plan.registered_at[:19])} UTC</p><ul>{items}</ul>"
        )


def _promised(comparisons: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
    """Without rows whose group nobody recorded: they are listed, but nothing is promised them."""
    return tuple(c for c in comparisons if UNKNOWN not in c.group.split(TIMES))


def read_results(
    evidence: Evidence,
    inputs: AuditInputs,
    sample: CaseSample,
    tables: dict[str, pd.DataFrame],
    plan: AuditPlan,
) -> AuditResults:
    """Results from what :meth:`AuditResults.tables` wrote; LIME's values are not read back."""
    record = next((e for e in evidence.explanations if e.method == "shap"), None)

    def explanation(name: str) -> Explanation | None:
        if record is None or name not in tables:
            return None
        table = tables[name].set_index("case_id")
        data = inputs.X.loc[table.index.to_list()]
        scores = pd.Series(inputs.y_score, index=inputs.X.index)
        return Explanation(
            values=table[list(data.columns)].to_numpy(dtype=float),
            base_values=table["base_value"].to_numpy(dtype=float),
            data=data,
            method="shap",
            algorithm=record.algorithm,
            exact=record.exact,
            scale=cast("Any", record.scale),
            output=inputs.predictor.favorable,
            predictions=np.asarray(scores.loc[data.index], dtype=np.float64),
            background_digest=cast("Digest", record.background_digest),
            background_size=record.background_size,
            random_state=plan.seed,
            seconds=float("nan"),
            notes=record.notes,
        )

    trust = None
    if "quality" in tables:
        trust = ExplanationQuality(
            rows=tables["quality"].set_index("case_id"),
            k=plan.explain.top,
            tolerance=TOLERANCE,
            sign_agreement_at_least=plan.explain.sign_agreement_at_least,
            random_state=plan.seed,
        )
    return AuditResults(
        evidence, inputs, explanation("shap"), explanation("shap_cases"), None, trust, sample
    )


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _explanation_record(
    explanation: Explanation, plan: AuditPlan, attributions: AttributionSums | None
) -> ExplanationRecord:
    told = explanation if attributions is None or explanation.method != "shap" else attributions
    table = told.global_importance(plan.fairness.confidence)
    rows, residual = len(explanation.values), float(np.abs(explanation.residual).max())
    notes = explanation.notes
    if isinstance(told, AttributionSums):
        rows, residual = told.rows, told.largest_residual
        notes = (*notes, "Intervals of the mean attributions are Student's, over all rows.")
    return ExplanationRecord(
        method=explanation.method,
        algorithm=explanation.algorithm,
        exact=explanation.exact,
        scale=explanation.scale,
        output=str(explanation.output),
        rows=rows,
        background_size=explanation.background_size,
        background_digest=explanation.background_digest,
        seeds=explanation.n_seeds,
        max_residual=residual,
        notes=notes,
        importance=tuple(
            Importance(
                feature=str(row.feature),
                label=plan.label(str(row.feature)),
                mean_abs=float(row.mean_abs),
                low=_known(row.low),
                high=_known(row.high),
                n=int(row.n),
            )
            for row in cast("Iterable[Any]", table.itertuples())
        ),
    )


def _history(recorded: pd.DataFrame | Population, plan: AuditPlan) -> History:
    """Describe recorded decisions by group: their selection rates, as if people were the model."""
    if isinstance(recorded, Population):
        described = recorded.group_metrics(
            metrics=["selection_rate"],
            intersections=plan.intersections,
            reference=plan.data.reference,
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
        )
        return History(plan.data.history, recorded.data_digest, recorded.rows, described)
    frame = recorded
    wanted = [plan.data.target, *plan.data.sensitive]
    absent = [c for c in wanted if c not in frame.columns]
    if absent:
        raise InputError(
            f"data.history has no column {', '.join(absent)}; expected all of {wanted}"
        )
    known = frame[frame[plan.data.target].notna()]
    decided = (known[plan.data.target] == plan.data.favorable).to_numpy(dtype=int)
    decisions = group_metrics(
        decided,
        decided,
        sensitive_features=known[list(plan.data.sensitive)],
        metrics=["selection_rate"],
        intersections=plan.intersections,
        reference=plan.data.reference,
        confidence=plan.fairness.confidence,
        min_group=plan.fairness.min_group,
    )
    return History(plan.data.history, digest_frame(known[wanted]), len(known), decisions)


def run_audit(
    inputs: AuditInputs,
    plan: AuditPlan,
    lock: PlanLock,
    *,
    now: Callable[[], datetime],
    history: pd.DataFrame | Population | None = None,
    profiles: Sequence[Profile] = (),
    training: TrainingRows | None = None,
    population: Population | None = None,
    attributions: AttributionSums | None = None,
    remarks: tuple[str, ...] = (),
    proposed: ProposedChecks = NOTHING_COLLECTED,
    progress: Progress = lambda step, share: None,
) -> AuditResults:
    """Compute everything the plan asks for.

    Args:
        inputs: the validated model and data; with ``population`` a random sample of it.
        plan: the registered plan.
        lock: its registration.
        now: the clock; the registration must be earlier than it says.
        history: all recorded decisions, to be described by group; counted, if they are too
            many to hold.
        profiles: the regulation profiles of the plan, in its order.
        training: the rows the model was fitted on, for the search for alternatives.
        population: all rows as far as they add up, if they are too many to hold.
        attributions: SHAP of all rows as far as it adds up, if the plan asks for it.
        remarks: what a reader should know besides the notes on the inputs.
        proposed: what people expected on the what-if panel and the model violated; looked
            for in every row, as exploratory evidence.
        progress: called with the step's name and the share done, 0 to 1.

    Raises:
        PlanError: the lock is not of this plan, or not earlier than the results.
        InputError: the plan asks for what the model and the data cannot give.
        ExplanationError: no explanation agrees with the model.
    """
    if lock.current.digest != plan.digest:
        raise PlanError("the lock is of another plan; register this one first")
    started = utc_text(now())
    if not lock.current.registered_at < started:
        raise PlanError(
            f"the plan was registered at {lock.current.registered_at}, which is not earlier than "
            f"the results ({started}); a promise made afterwards cannot be met"
        )
    check_analyses(inputs, plan, profiles, training)
    fairness_args: dict[str, Any] = {
        "metrics": tuple(
            dict.fromkeys([*plan.fairness.metrics, *(c.metric for c in plan.criteria)])
        ),
        "intersections": plan.intersections,
        "reference": plan.data.reference,
        "confidence": plan.fairness.confidence,
        "min_group": plan.fairness.min_group,
    }
    progress("performance", 0.0)
    performance_args: dict[str, Any] = {
        "threshold": plan.model.threshold,
        "confidence": plan.fairness.confidence,
        "min_group": plan.fairness.min_group,
    }
    if population is None:
        measured = measure_performance(
            inputs.y_true,
            inputs.y_score,
            sensitive_features=inputs.sensitive,
            random_state=plan.seed,
            **performance_args,
        )
    else:
        measured = population.performance(
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
            random_state=plan.seed,
        )
    progress("fairness", 0.15)
    groups = (
        group_metrics(
            inputs.y_true, inputs.y_pred, sensitive_features=inputs.sensitive, **fairness_args
        )
        if population is None
        else population.group_metrics(**fairness_args)
    )
    gaps = groups.summary(random_state=plan.seed)
    findings = tuple(
        evaluate(
            f"F{i + 1}",
            criterion.criterion,
            _promised(groups.comparisons(criterion.metric, criterion.by, criterion.compare)),
        )
        for i, criterion in enumerate(plan.criteria)
    )
    past = _history(history, plan) if history is not None else None
    sample = draw_cases(inputs, plan, of=None if population is None else population.rows)
    # Thousands of small solves: several BLAS threads only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        made = explanations(inputs, plan, sample, progress)
        looked_into = analyse(
            inputs,
            plan,
            groups=groups,
            explanation=made.shap,
            profiles=profiles,
            training=training,
            audited=now().date(),
            step=lambda name: progress(name, 0.7),
            of=None if population is None else population.rows,
        )
    collected = evaluate_collected(proposed, inputs, plan)
    explained = [e for e in (made.shap, made.lime) if e is not None]
    provenance = (
        *_provenance(
            inputs,
            sample,
            how_drawn(plan),
            plan.what_if.model_dump(include={"checks"}) if plan.what_if.checks else {},
            collected,
            past,
            explained,
            performance_args,
            fairness_args,
            population,
        ),
        *sources(looked_into, inputs, plan, profiles, training),
        *made.sources(inputs, plan),
    )
    evidence = Evidence(
        started=started,
        created=utc_text(now()),
        audit=AuditRecord(
            title=plan.audit.title,
            purpose=plan.audit.purpose,
            owner=plan.audit.owner,
            intended_use=plan.audit.intended_use,
            not_covered=plan.audit.not_covered,
            decision=plan.audit.decision,
            favorable_label=plan.audit.favorable_label,
            unfavorable_label=plan.audit.unfavorable_label,
        ),
        plan=PlanRecord(
            digest=plan.digest,
            registered_at=lock.current.registered_at,
            changed_after_results=lock.changed_after_results,
            registrations=tuple(
                (r.digest, r.registered_at, r.after_results, r.reason) for r in lock.registrations
            ),
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
            seed=plan.seed,
            review_cases=len(sample.cases),
            review_design=sample.design,
            reviewers_per_case=plan.review.reviewers_per_case,
            protocol=plan.review.protocol,
            roles=tuple((r.role, r.signs, r.name) for r in plan.roles),
        ),
        model=ModelRecord(
            name=plan.model.name or type(inputs.predictor.model).__name__,
            version=plan.model.version,
            description=plan.model.description,
            source=inputs.model.source,
            digest=inputs.model.digest,
            digest_of=inputs.model.digest_of,
            kind=_kind(inputs.predictor.model),
            output=plan.model.output,
            threshold=plan.model.threshold,
            scores_digest=inputs.scores_digest if population is None else population.scores_digest,
        ),
        data=DataRecord(
            description=plan.data.description,
            source=plan.data.path or "table in memory",
            digest=inputs.data_digest if population is None else population.data_digest,
            rows=len(inputs) if population is None else population.rows,
            favorable_rows=int(inputs.y_true.sum())
            if population is None
            else population.favorable_rows,
            target=plan.data.target,
            sensitive=tuple((c, plan.label(c)) for c in inputs.sensitive.columns),
            features=tuple((str(c), plan.label(str(c))) for c in inputs.X.columns),
            excluded=tuple(plan.data.excluded.items()),
            protected_inputs=inputs.protected_inputs,
            notes=(*inputs.notes, *remarks),
            sampled_rows=None if population is None else len(inputs),
        ),
        environment=inputs.environment,
        environment_digest=inputs.environment_digest,
        performance=measured,
        fairness=groups,
        gaps=gaps,
        history=past,
        explanations=tuple(_explanation_record(e, plan, attributions) for e in explained),
        explanation_quality=made.measures,
        explanation_quality_by_group=made.by_group,
        explanation_quality_gaps=made.gaps,
        explanation_quality_notes=made.notes,
        findings=findings,
        oversight=summarise([], sample, confidence=plan.fairness.confidence),
        ledger=None,
        provenance=provenance,
        analyses=looked_into,
        review_disclosed=disclosed(plan),
        checks=check_notes(inputs, plan, checks_of(plan)),
        collected=collected,
    )
    progress("done", 1.0)
    return AuditResults(
        evidence, inputs, made.shap, made.case_shap, made.lime, made.case_quality, sample
    )


# Of all rows counted part by part, or of rows in memory.
_PERFORMANCE = ("population.Population.performance", "measure_performance")


def _provenance(
    inputs: AuditInputs,
    sample: CaseSample,
    how: dict[str, Any],
    checks: dict[str, Any],
    collected: CollectedChecks,
    past: History | None,
    explanations: Iterable[Explanation],
    performance_args: dict[str, Any],
    fairness_args: dict[str, Any],
    population: Population | None,
) -> tuple[Provenance, ...]:
    data, seed = inputs.data_digest, sample.random_state
    whole = data if population is None else population.data_digest
    counted = "" if population is None else "population.Population."
    drawn = {"n": len(sample.cases), "design": sample.design, **how}
    entries: list[tuple[str, str, dict[str, Any], str, int | None]] = [
        ("performance", _PERFORMANCE[not counted], performance_args, whole, seed),
        ("fairness", f"{counted}group_metrics", fairness_args, whole, None),
        ("gaps", "GroupMetrics.summary", {"n_boot": 2000}, whole, seed),
        ("findings", "findings.evaluate", {}, whole, None),
        ("sample", "sample_cases", drawn, data, seed),
    ]
    if checks:
        entries.append(("checks", "what_if.run_checks", checks, data, None))
    if collected.checks:
        named = {"checks": [(c.kind, c.column, c.direction, c.values) for c in collected.checks]}
        entries.append(("collected", "what_if.run_checks", named, data, None))
    if past is not None:
        described = {**fairness_args, "metrics": ["selection_rate"]}
        entries.append(("history", "group_metrics", described, past.digest, None))
    for made in explanations:
        args = {
            "method": made.method,
            "algorithm": made.algorithm,
            "scale": made.scale,
            "background_digest": made.background_digest,
            "n_seeds": made.n_seeds,
        }
        rows = digest_frame(made.data)
        entries.append((f"explanations.{made.method}", "explain", args, rows, made.random_state))
    return tuple(
        Provenance(part, f"hitl_audit.{function}", plain(arguments), digest, seed)
        for part, function, arguments, digest, seed in entries
    )


def _kind(model: Any) -> str:
    """What the model is, in its class names: ``Pipeline: Scaler → LogisticRegression``."""
    steps = [type(step).__name__ for _, step in getattr(model, "steps", [])]
    name = type(model).__name__
    return f"{name}: {' → '.join(steps)}" if steps else name
