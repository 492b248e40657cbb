"""The what-if engine of one audit: what the plan says about changes, for the model it audits.

Between the plan and ``what_if``, which knows nothing of plans.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.evidence import CheckNote
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.inputs import AuditInputs
from hitl_audit.plan import AuditPlan
from hitl_audit.what_if.checks import run_checks
from hitl_audit.what_if.controls import Constraint
from hitl_audit.what_if.controls_from_data import controls_of
from hitl_audit.what_if.derived import read_derivations
from hitl_audit.what_if.engine import WhatIf
from hitl_audit.what_if.expectations import ModelCheck
from hitl_audit.what_if.population import Population

__all__ = ["check_notes", "check_what_if", "checks_of", "fact_groups", "prepare_what_if"]


def prepare_what_if(inputs: AuditInputs, plan: AuditPlan) -> WhatIf:
    """Prepare the audited model so that every edit is answered at once.

    Contributions are against the same background rows as the audit's explanations.

    Raises:
        InputError: the plan's ``[what_if]`` does not fit the data.
    """
    label = plan.model.output == "label"
    engine = WhatIf.of(
        inputs.predictor.score if label else inputs.predictor.model,
        inputs.X,
        background=sample_rows(inputs.X, plan.explain.background, random_state=plan.seed),
        output=None if label else inputs.predictor.favorable,
        threshold=plan.model.threshold,
        constraints=_constraints(plan),
        derived=plan.what_if.derived,
        labels={name: plan.label(name) for name in map(str, inputs.X.columns)},
        protected=inputs.protected_inputs,
        outcome=f"“{plan.audit.favorable_label}”",
        random_state=plan.seed,
    )
    # The first answer compiles and fills what the later ones find there.
    engine.answer(engine.start_at(0))
    return engine


def check_what_if(inputs: AuditInputs, plan: AuditPlan) -> None:
    """Hold the plan's ``[what_if]`` against the data, before any work starts.

    Raises:
        InputError: it names a feature that the data do not have, or says of one what it cannot be.
    """
    features = list(map(str, inputs.X.columns))
    fact_groups(plan, features)
    said = plan.what_if
    if not (said.features or said.derived or said.checks):
        return
    population = Population.of(inputs.X, inputs.X.head(1))
    derived = read_derivations(said.derived, population)
    controls_of(inputs.X, population, constraints=_constraints(plan), derived=derived)
    for check in said.checks:
        population.place_of(check.feature)


def _constraints(plan: AuditPlan) -> list[Constraint]:
    return [
        Constraint(
            feature=f.feature,
            immutable=f.immutable,
            low=f.low,
            high=f.high,
            step=f.step,
            categories=f.categories,
            direction=f.direction,
            unit=f.unit,
            decimals=f.decimals,
        )
        for f in plan.what_if.features
    ]


def fact_groups(
    plan: AuditPlan, features: Sequence[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Titles and features in the order of the page; what no group names comes last.

    Raises:
        InputError: a group names a feature that the data do not have.
    """
    groups = []
    named: set[str] = set()
    for group in plan.what_if.groups:
        for name in group.features:
            if name not in features:
                raise InputError(
                    f'what_if.groups names "{name}"; accepted: {", ".join(features)}'
                    + did_you_mean(name, features)
                )
        named.update(group.features)
        groups.append((group.title, group.features))
    rest = tuple(name for name in features if name not in named)
    if rest:
        groups.append(("Other facts" if groups else "", rest))
    return tuple(groups)


def checks_of(plan: AuditPlan) -> tuple[ModelCheck, ...]:
    """What people expect of the model, as the plan lists it, to be evaluated on all data."""
    checks = []
    for said in plan.what_if.checks:
        if said.expect == "unchanged":
            checks.append(ModelCheck("invariance", said.feature, None, (), said.tolerance, ()))
        else:
            kind: Literal["direction", "monotonicity"] = (
                "direction" if said.values else "monotonicity"
            )
            checks.append(
                ModelCheck(kind, said.feature, said.expect, said.values, said.tolerance, ())
            )
    return tuple(checks)


def check_notes(
    inputs: AuditInputs, plan: AuditPlan, checks: Sequence[ModelCheck]
) -> tuple[CheckNote, ...]:
    """Properties looked for in every audited row, one note per check, in the plan's words.

    Raises:
        InputError: a check names a feature or a value that the data do not have.
    """
    if not checks:
        return ()
    found = run_checks(
        inputs.predictor.score,
        inputs.X,
        checks,
        confidence=plan.fairness.confidence,
        min_rows=plan.fairness.min_group,
    )
    return tuple(
        CheckNote(
            kind=one.check.kind,
            feature=plan.label(str(one.check.feature)),
            n=one.n,
            violating=one.violating,
            share=one.share,
            low=one.low,
            high=one.high,
            interval=one.interval,
            largest=float(one.largest),
            status=one.status,
            words=_labelled(one.words, str(one.check.feature), plan),
        )
        for one in found
    )


def _labelled(words: str, column: str, plan: AuditPlan) -> str:
    """A sentence about a column, with the plan's words for it in quotes."""
    name = plan.label(column)
    if name == column:
        return words
    return re.sub(rf"(?<!\w){re.escape(column)}(?!\w)", lambda _: f"“{name}”", words)
