"""The sample of a population as the inputs of every analysis that needs single rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hitl_audit.errors import InputError
from hitl_audit.groups import group_columns
from hitl_audit.inputs import AuditInputs, build_inputs
from hitl_audit.loading import LoadedModel
from hitl_audit.plan import AuditPlan
from hitl_audit.population.population import Population

__all__ = ["sample_inputs"]


def sample_inputs(
    population: Population, model: Any, plan: AuditPlan, *, loaded: LoadedModel | None = None
) -> AuditInputs:
    """Validated inputs of the sampled rows, with the notes of all rows.

    The digests are the sample's own.

    Args:
        population: all rows.
        model: the model of the pass.
        plan: the plan of the pass.
        loaded: where the model came from, if it was read from a file.

    Raises:
        InputError: the sample lacks an outcome or a reference group that all rows have.
    """
    frame = population.frame()
    n = len(frame)
    favorable = int((frame[plan.data.target] == plan.data.favorable).sum())
    if favorable in (0, n):
        raise InputError(
            f"the sample of {n:,} rows has one outcome only; of all {population.rows:,} rows "
            f"{population.favorable_rows:,} have the favorable one; expected both: take a larger "
            "sample"
        )
    for attribute, wanted in plan.data.reference.items():
        present = group_columns(frame[[attribute]], n)[attribute]
        if wanted not in present:
            in_all = dict(population.counts.by([attribute]).items())[(wanted,)]
            raise InputError(
                f'no row of the sample of {n:,} has the reference group "{wanted}" of '
                f"{attribute}, as {sum(in_all):,} of all {population.rows:,} rows have; take a "
                "larger sample"
            )
    read = [*population.features, plan.data.target, *population.sensitive]
    columns = [name for name in frame.columns if name in read]
    inputs = build_inputs(model, frame[columns], frame[plan.data.target], plan=plan, loaded=loaded)
    return replace(inputs, notes=population.notes)
