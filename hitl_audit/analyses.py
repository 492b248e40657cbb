"""What a run looks into beyond the promises: gaps, errors, thresholds, alternatives, profiles.

Everything here is asked for by the plan, measured on the audited rows, and
goes into the evidence as a value; nothing of it decides a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.alternatives import Frontier, frontier
from hitl_audit.canonical import plain
from hitl_audit.error_slices import ErrorSlices, find_error_slices
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.evidence import Analyses, MitigationRecord, ProfileRecord, Provenance
from hitl_audit.explanations.explain import explain
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.fairness.conditional_disparity import (
    ConditionalDisparity,
    conditional_demographic_disparity,
)
from hitl_audit.fairness.flip_test import FlipTest, flip_test
from hitl_audit.fairness.gap import GapContributions, gap_contributions
from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics
from hitl_audit.fairness.profile_table import ProfileTables, profile_tables
from hitl_audit.fairness.profile_tables import (
    credit_tables,
    disparate_impact_tables,
    ll144_tables,
)
from hitl_audit.fairness.proxies import ProxyStrengths, proxy_strength
from hitl_audit.fairness.stratified import StratifiedComparison
from hitl_audit.groups import UNKNOWN
from hitl_audit.inputs import AuditInputs
from hitl_audit.mitigation import METHODS, MitigationComparison, mitigate
from hitl_audit.plan import AuditPlan
from hitl_audit.plan_sections import PlanSection, ProfileSection
from hitl_audit.profiles.loader import Profile
from hitl_audit.stability_index import calibration_bands, population_stability
from hitl_audit.thresholds import ThresholdSweep, sweep_thresholds
from hitl_audit.training import TrainingRows

__all__ = ["ErrorRows", "analyse", "check_analyses", "error_rows", "error_table", "sources"]

Step = Callable[[str], None]

# Enough for a search that compares shares; a million rows would only be slower.
SLICE_ROWS = 200_000
# Asking the model about one row's decision takes a good part of a second.
DECISION_ROWS = 60
SWEEP_POINTS = 21
MODEL = "the audited model"


def check_analyses(
    inputs: AuditInputs,
    plan: AuditPlan,
    profiles: Sequence[Profile],
    training: TrainingRows | None,
) -> None:
    """Refuse what the plan asks for and these inputs cannot give, before any work starts.

    Raises:
        InputError: one line per problem.
    """
    known = [*map(str, inputs.X.columns), *map(str, inputs.sensitive.columns)]
    problems = []
    if not len(inputs.sensitive.columns):
        problems.append("data.sensitive is empty; expected at least one attribute to compare by")
    asked = [("gaps.conditional_on", name) for name in plan.gaps.conditional_on]
    asked += [(f"profiles[{i}].segments", p.segments) for i, p in enumerate(plan.profiles)]
    for place, name in asked:
        if name and name not in known:
            problems.append(
                f'{place} is "{name}"; accepted: an input of the model or a sensitive attribute'
                + did_you_mean(name, known)
            )
    if plan.alternatives.methods and training is None:
        problems.append(
            "alternatives.methods need the rows the model was fitted on: give data.train in the "
            "plan, or train=(X_train, y_train) to Audit"
        )
    if plan.alternatives.methods and not hasattr(inputs.predictor.model, "fit"):
        problems.append(
            f"alternatives.methods fit the model again, and it is a "
            f"{type(inputs.predictor.model).__name__} without fit; expected a scikit-learn "
            "estimator or Pipeline, or no methods"
        )
    for i, (section, profile) in enumerate(zip(plan.profiles, profiles, strict=True)):
        problems += [f"profiles[{i}] {words}" for words in _profile_problems(section, profile)]
    if problems:
        raise InputError("\n".join(problems))


def _profile_problems(section: ProfileSection, profile: Profile) -> list[str]:
    problems = []
    computed = profile.computation.tables
    if computed == "nyc-ll144":
        lacking = {"sex", "race_ethnicity"} - set(section.by.values())
        if lacking:
            which = " and which is ".join(sorted(lacking))
            problems.append(
                f"({profile.id}) needs to know which attribute is {which}; "
                'expected for example by = { sex = "sex", race = "race_ethnicity" }'
            )
    elif computed == "us-credit-reg-b":
        bases = profile.computation.attributes
        problems += [
            f'({profile.id}) by.{name} is "{basis}"; accepted: {", ".join(bases)}'
            + did_you_mean(basis, bases)
            for name, basis in section.by.items()
            if basis not in bases
        ]
    blanks = [blank.id for blank in profile.blanks]
    problems += [
        f'({profile.id}) facts has "{name}"; accepted: {", ".join(blanks) or "none"}'
        + did_you_mean(name, blanks)
        for name in section.facts
        if name not in blanks
    ]
    return problems


def analyse(
    inputs: AuditInputs,
    plan: AuditPlan,
    *,
    groups: GroupMetrics,
    explanation: Explanation | None,
    profiles: Sequence[Profile],
    training: TrainingRows | None,
    audited: date,
    step: Step,
    of: int | None = None,
) -> Analyses:
    """Everything the plan asks for beyond the promises.

    Args:
        inputs: the validated inputs.
        plan: what to look into.
        groups: the group metrics, which know the reference of each attribute.
        explanation: SHAP of all rows or of a random draw; ``None`` without SHAP.
        profiles: the profiles of the plan, in its order.
        training: the rows the model was fitted on, or ``None``.
        audited: the day of the audit.
        step: told what is being done.
        of: how many rows ``inputs`` is a random sample of, if it is one.
    """
    step("what carries the gaps")
    contributions, notes = _contributions(inputs, plan, groups, explanation)
    proxies: ProxyStrengths | None = None
    if plan.gaps.proxies:
        step("proxies of protected attributes")
        proxies = proxy_strength(
            inputs.X,
            inputs.sensitive,
            min_group=max(plan.fairness.min_group, 5),
            confidence=plan.fairness.confidence,
            random_state=plan.seed,
        )
    conditional: ConditionalDisparity | None = None
    stratified: tuple[StratifiedComparison, ...] = ()
    if plan.gaps.conditional_on:
        alike = _columns(inputs, plan.gaps.conditional_on).rename(columns=plan.label)
        within = group_metrics(
            inputs.y_true,
            inputs.y_pred,
            sensitive_features=inputs.sensitive,
            control_features=alike,
            metrics=["selection_rate"],
            intersections=False,
            reference=plan.data.reference,
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
        )
        stratified = within.stratified("selection_rate")
        conditional = conditional_demographic_disparity(
            inputs.y_pred,
            sensitive_features=inputs.sensitive,
            strata=alike,
            confidence=plan.fairness.confidence,
            random_state=plan.seed,
        )
    flips, flip_notes = _flips(inputs, plan)
    step("where the model errs")
    slices = _error_slices(inputs, plan) if plan.errors.slices else None
    sweep: ThresholdSweep | None = None
    if plan.thresholds.sweep and plan.model.output == "probability":
        sweep = sweep_thresholds(
            inputs.y_true,
            inputs.y_score,
            sensitive_features=inputs.sensitive,
            cost_ratio=plan.thresholds.cost_ratio,
            confidence=plan.fairness.confidence,
            min_group=plan.fairness.min_group,
            n_points=SWEEP_POINTS,
        )
    mitigation, alternatives = None, None
    if plan.alternatives.search:
        step("less discriminatory alternatives")
        mitigation, alternatives = _alternatives(inputs, plan, training)
    return Analyses(
        contributions=contributions,
        contribution_notes=notes,
        proxies=proxies,
        stratified=stratified,
        conditional=conditional,
        flips=flips,
        flip_notes=flip_notes,
        error_slices=slices,
        thresholds=sweep,
        mitigation=mitigation,
        alternatives=alternatives,
        profiles=tuple(
            _sampled(_profile(inputs, plan, section, profile, audited, training), len(inputs), of)
            for section, profile in zip(plan.profiles, profiles, strict=True)
        ),
    )


def sources(
    made: Analyses,
    inputs: AuditInputs,
    plan: AuditPlan,
    profiles: Sequence[Profile],
    training: TrainingRows | None,
) -> tuple[Provenance, ...]:
    """Where each part came from: enough to compute it again."""
    data, seed = inputs.data_digest, plan.seed
    fitted = {} if training is None else {"training_digest": training.digest}
    parts: list[tuple[str, object, str, dict[str, Any]]] = [
        ("contributions", made.contributions, "fairness.gap.gap_contributions", _said(plan.gaps)),
        ("proxies", made.proxies, "fairness.proxies.proxy_strength", {}),
        (
            "conditional",
            made.conditional,
            "fairness.conditional_disparity.conditional_demographic_disparity",
            {"strata": plan.gaps.conditional_on},
        ),
        (
            "stratified",
            made.stratified,
            "fairness.group_metrics.group_metrics",
            {"control_features": plan.gaps.conditional_on, "reference": plan.data.reference},
        ),
        ("flips", made.flips, "fairness.flip_test.flip_test", {}),
        ("error_slices", made.error_slices, "find_error_slices", _said(plan.errors)),
        (
            "thresholds",
            made.thresholds,
            "sweep_thresholds",
            {**_said(plan.thresholds), "n_points": SWEEP_POINTS},
        ),
        ("mitigation", made.mitigation, "mitigate", {**_said(plan.alternatives), **fitted}),
        ("alternatives", made.alternatives, "frontier", _said(plan.alternatives)),
        *(
            (
                f"profiles.{section.id}",
                section,
                _COMPUTED_BY[profile.computation.tables],
                {**_said(section), "profile_digest": profile.digest},
            )
            for section, profile in zip(plan.profiles, profiles, strict=True)
        ),
    ]
    return tuple(
        Provenance(f"analyses.{part}", f"hitl_audit.{function}", plain(said), data, seed)
        for part, value, function, said in parts
        if value
    )


_COMPUTED_BY = {
    "eu-ai-act": "profiles.loader.load_profile",
    "nyc-ll144": "fairness.profile_tables.ll144_tables",
    "us-credit-reg-b": "fairness.profile_tables.credit_tables",
    "us-disparate-impact": "fairness.profile_tables.disparate_impact_tables",
    "us-mrm": "stability_index.population_stability",
}


def _said(section: PlanSection) -> dict[str, Any]:
    """What the plan says, in plain values."""
    return section.model_dump()


def _columns(inputs: AuditInputs, names: Sequence[str]) -> pd.DataFrame:
    """Columns of the inputs or of the sensitive attributes; numbers as they are."""
    return pd.DataFrame(
        {n: (inputs.X if n in inputs.X.columns else inputs.sensitive)[n] for n in names}
    )


# --- gaps ---


def _pairs(groups: GroupMetrics, attributes: Sequence[str]) -> list[tuple[str, str, str]]:
    """(attribute, group, reference) of every comparison of groups that are large enough."""
    # The reference may differ by metric (the best-off group does); one gap is divided once.
    first = next(m for m in groups.metrics if m != "count")
    found = [
        (c.attribute, c.group, c.reference)
        for c in groups.against_reference
        if (c.metric, c.compare) == (first, "ratio")
        and c.attribute in attributes
        and c.group != UNKNOWN
        and not c.small
    ]
    return list(dict.fromkeys(found))


def _contributions(
    inputs: AuditInputs, plan: AuditPlan, groups: GroupMetrics, explanation: Explanation | None
) -> tuple[tuple[GapContributions, ...], tuple[str, ...]]:
    wanted = plan.gaps.contributions
    if wanted == "none":
        return (), ("The plan does not ask what carries the gaps.",)
    if explanation is None:
        return (), (
            "What carries the gaps is told by SHAP values, which the plan did not ask for.",
        )
    pairs = _pairs(groups, [str(c) for c in inputs.sensitive.columns])
    if not pairs:
        return (), ("No two groups are large enough to divide their gap among the features.",)
    decided = set(np.unique(explanation.predictions).tolist()) <= {0.0, 1.0}
    notes = [
        "Only single attributes, and groups of at least "
        f"{plan.fairness.min_group} cases, are divided."
    ]
    if wanted == "decision" and not decided:
        explanation = _decision_explanation(inputs, plan)
        decided = True
        notes.append(
            f"The decision was explained for up to {DECISION_ROWS} rows of each group, drawn at "
            "random, because every one of them asks the model thousands of times."
        )
    elif len(explanation.index) < len(inputs):
        notes.append(
            f"Measured on the {len(explanation.index):,} rows that were explained, drawn at random "
            f"from {len(inputs):,}."
        )
    sensitive = inputs.sensitive.loc[explanation.index]
    made = []
    for attribute, group, reference in pairs:
        present = set(sensitive[attribute])
        if not {group, reference} <= present:
            continue  # none of them was drawn
        made.append(
            gap_contributions(
                explanation.values,
                base_values=explanation.base_values,
                predictions=explanation.predictions,
                feature_names=[plan.label(name) for name in explanation.feature_names],
                groups=sensitive[attribute],
                group=group,
                reference=reference,
                explained="decision" if decided else "score",
                min_group=plan.fairness.min_group,
                confidence=plan.fairness.confidence,
                random_state=plan.seed,
            )
        )
    return tuple(made), tuple(notes)


def _decision_explanation(inputs: AuditInputs, plan: AuditPlan) -> Explanation:
    """SHAP of the 0/1 decision, for some rows of every group."""
    drawn: set[Any] = set()
    for attribute in inputs.sensitive.columns:
        for _, rows in inputs.X.groupby(inputs.sensitive[attribute], sort=True):
            drawn |= set(sample_rows(rows, DECISION_ROWS, random_state=plan.seed).index)
    predictor = inputs.predictor

    def decision(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        return predictor.decide(predictor.score(frame)).astype(np.float64)

    return explain(
        decision,
        inputs.X.loc[[c for c in inputs.case_ids if c in drawn]],
        background=sample_rows(inputs.X, plan.explain.background, random_state=plan.seed),
        scale="value",
        random_state=plan.seed,
    )


def _flips(inputs: AuditInputs, plan: AuditPlan) -> tuple[tuple[FlipTest, ...], tuple[str, ...]]:
    """The flip test of every attribute; one that cannot be tried is said to be so."""
    made, notes = [], []
    for attribute in map(str, inputs.sensitive.columns):
        try:
            made.append(
                flip_test(
                    inputs.predictor,
                    inputs.X,
                    attribute,
                    confidence=plan.fairness.confidence,
                    min_group=plan.fairness.min_group,
                )
            )
        except InputError as error:
            notes.append(f"{attribute} was not tried: {error}.")
    return tuple(made), tuple(notes)


# --- errors and alternatives ---


@dataclass(frozen=True)
class ErrorRows:
    """The rows in which errors are searched, and how.

    Attributes:
        table: (rows, inputs and sensitive attributes).
        wrong: (rows,) 1 where the decision differs from the recorded outcome.
        settings: arguments of ``find_error_slices`` and ``error_branches``.
        notes: what a reader must know.
    """

    table: pd.DataFrame
    wrong: npt.NDArray[np.int64]
    settings: dict[str, Any]
    notes: tuple[str, ...]


def error_table(inputs: AuditInputs) -> pd.DataFrame:
    """Inputs and sensitive attributes of all rows, the columns of a slice."""
    return inputs.X.assign(
        **{str(c): inputs.sensitive[c] for c in inputs.sensitive if c not in inputs.X.columns}
    )


def error_rows(inputs: AuditInputs, plan: AuditPlan) -> ErrorRows | None:
    """The rows in which errors are searched; ``None`` if they are too few."""
    wrong = (inputs.y_pred != inputs.y_true).astype(np.int64)
    table = error_table(inputs)
    notes: tuple[str, ...] = ()
    if len(table) > SLICE_ROWS:
        place = np.sort(np.random.default_rng(plan.seed).permutation(len(table))[:SLICE_ROWS])
        notes = (f"Searched in {SLICE_ROWS:,} of {len(table):,} rows, drawn at random.",)
        table, wrong = table.iloc[place], wrong[place]
    if len(table) < 8 or (plan.errors.min_size or 1) > len(table) // 4:
        return None
    settings: dict[str, Any] = {
        "min_size": plan.errors.min_size,
        "labels": {str(c): plan.label(str(c)) for c in table.columns},
        "confidence": plan.fairness.confidence,
        "random_state": plan.seed,
    }
    return ErrorRows(table, wrong, settings, notes)


def _error_slices(inputs: AuditInputs, plan: AuditPlan) -> ErrorSlices | None:
    rows = error_rows(inputs, plan)
    if rows is None:
        return None
    found = find_error_slices(
        rows.table, rows.wrong, max_literals=plan.errors.max_literals, **rows.settings
    )
    return replace(found, notes=(*found.notes, *rows.notes))


def _alternatives(
    inputs: AuditInputs, plan: AuditPlan, training: TrainingRows | None
) -> tuple[MitigationRecord | None, Frontier]:
    by = list(plan.alternatives.by or inputs.sensitive.columns[:1])
    settings: dict[str, Any] = {
        "min_group": plan.fairness.min_group,
        "confidence": plan.fairness.confidence,
        "random_state": plan.seed,
    }
    candidates: dict[str, Any] = {MODEL: inputs.y_score}
    record = None
    if plan.alternatives.methods and training is not None:
        compared = mitigate(
            inputs.predictor.model,
            training.X,
            training.y,
            inputs.X.reset_index(drop=True),
            inputs.y_true,
            sensitive_train=training.sensitive[by],
            sensitive_holdout=inputs.sensitive[by].reset_index(drop=True),
            methods=plan.alternatives.methods,
            constraint=plan.alternatives.constraint,
            threshold=plan.model.threshold,
            max_iter=plan.alternatives.max_iter,
            **settings,
        )
        record = _mitigation_record(compared, training)
        candidates |= {
            METHODS[name]: decisions
            for name, decisions in compared.decisions.items()
            if name != "unmitigated"
        }
    found = frontier(
        inputs.y_true,
        candidates,
        sensitive_features=inputs.sensitive[by],
        baseline=MODEL,
        baseline_threshold=plan.model.threshold,
        measure=plan.alternatives.measure,
        **settings,
    )
    return record, found


def _mitigation_record(compared: MitigationComparison, training: TrainingRows) -> MitigationRecord:
    return MitigationRecord(
        constraint=compared.constraint,
        n_train=compared.n_train,
        n_holdout=compared.n_holdout,
        groups=compared.groups,
        outcomes=compared.outcomes,
        notes=(*training.notes, *compared.notes),
    )


# --- profiles ---


def _profile(
    inputs: AuditInputs,
    plan: AuditPlan,
    section: ProfileSection,
    profile: Profile,
    audited: date,
    training: TrainingRows | None,
) -> ProfileRecord:
    if profile.computation.tables in ("eu-ai-act", "us-mrm"):
        tables = _no_tables(profile, plan, training)
    else:
        tables = _tables(inputs, plan, section, profile)
    expires = profile.expiry(audited)
    unknown = max((table.unknown for table in tables.tables), default=0)
    facts: Mapping[str, str] = {
        "audited": audited.isoformat(),
        "expires": expires.isoformat() if expires else "",
        "unknown": f"{unknown:,}",
        "rows": f"{len(inputs):,}",
        "exclusion_reason": section.exclusion_reason,
        **section.facts,
    }
    return ProfileRecord(
        tables=tables,
        digest=profile.digest,
        jurisdiction=profile.jurisdiction,
        summary=profile.summary,
        expires=expires.isoformat() if expires else "",
        rules=tuple((rule.text, rule.source) for rule in profile.rules),
        statements=tuple(profile.statement(one.id, facts) for one in profile.statements),
        requirements=tuple((r.text, r.source, r.answered_in) for r in profile.requirements),
        sources=tuple((s.citation, s.url, s.note) for s in profile.sources),
        **_bands(inputs, plan, profile, training),
    )


def _sampled(record: ProfileRecord, rows: int, of: int | None) -> ProfileRecord:
    if of is None:
        return record
    note = f"These tables are of a uniform random sample of {rows:,} of the {of:,} rows."
    return replace(record, tables=replace(record.tables, notes=(note, *record.tables.notes)))


def _bands(
    inputs: AuditInputs, plan: AuditPlan, profile: Profile, training: TrainingRows | None
) -> dict[str, Any]:
    """Calibration by score band, and how far the scores moved since training."""
    if profile.computation.tables != "us-mrm" or plan.model.output != "probability":
        return {}
    confidence = plan.fairness.confidence
    made: dict[str, Any] = {
        "bands": calibration_bands(inputs.y_true, inputs.y_score, confidence=confidence)
    }
    if training is not None:
        made["stability"] = population_stability(
            inputs.predictor.score(training.X),
            inputs.y_score,
            confidence=confidence,
            random_state=plan.seed,
        )
    return made


def _no_tables(profile: Profile, plan: AuditPlan, training: TrainingRows | None) -> ProfileTables:
    notes = []
    if profile.computation.tables == "us-mrm":
        if plan.model.output != "probability":
            notes.append("The model gives no probabilities: there are no score bands.")
        elif training is None:
            notes.append(
                "The plan names no training rows (data.train): how far the scores moved since "
                "training is not known."
            )
    return profile_tables(profile, (), plan.fairness.confidence, notes, ())


def _tables(
    inputs: AuditInputs, plan: AuditPlan, section: ProfileSection, profile: Profile
) -> ProfileTables:
    settings: dict[str, Any] = {
        "profile": profile,
        "min_group": plan.fairness.min_group,
        "confidence": plan.fairness.confidence,
    }
    scores = inputs.y_score if plan.model.output == "probability" else None
    if profile.computation.tables == "nyc-ll144":
        attribute = {word: name for name, word in section.by.items()}
        by_score = section.measure == "scoring"
        return ll144_tables(
            sex=inputs.sensitive[attribute["sex"]],
            race_ethnicity=inputs.sensitive[attribute["race_ethnicity"]],
            y_pred=None if by_score else inputs.y_pred,
            y_score=inputs.y_score if by_score else None,
            exclusion_reason=section.exclusion_reason,
            **settings,
        )
    chosen = list(section.by) or [str(c) for c in inputs.sensitive.columns]
    reference = {a: g for a, g in plan.data.reference.items() if a in chosen}
    if profile.computation.tables == "us-credit-reg-b":
        return credit_tables(
            inputs.y_pred,
            sensitive_features=inputs.sensitive[chosen],
            y_score=scores,
            bases=section.by,
            reference=reference,
            **settings,
        )
    return disparate_impact_tables(
        inputs.y_pred,
        sensitive_features=inputs.sensitive[chosen],
        y_score=scores,
        segments=_columns(inputs, [section.segments])[section.segments]
        if section.segments
        else None,
        reference=reference,
        **settings,
    )
