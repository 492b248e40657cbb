"""An audit of more rows than memory holds: all of them counted, a random sample kept.

One pass over the rows, part by part, gives a :class:`~hitl_audit.population.Population`:
everything that adds up exactly, and a uniform random sample. Promises, group metrics and
performance are about all rows; whatever needs rows in hand looks at the sample, which
becomes the :class:`~hitl_audit.inputs.AuditInputs` of the audit. Nothing depends on how
the rows are divided, in which order they come, or where the work runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from hitl_audit.canonical import digest
from hitl_audit.engine import Engine, PartsDone, PartStore
from hitl_audit.errors import InputError
from hitl_audit.explanations.attribution_pass import attribution_pass, measure_attributions
from hitl_audit.explanations.attribution_sums import AttributionSums
from hitl_audit.explanations.raw_features import sample_rows
from hitl_audit.inputs import AuditInputs, build_inputs, missing_columns
from hitl_audit.loading import LoadedModel
from hitl_audit.plan import AuditPlan
from hitl_audit.population import (
    Population,
    ScorePass,
    measure_population,
    sample_inputs,
    score_pass,
)
from hitl_audit.rows import RowSource

__all__ = [
    "HistoryRows",
    "Rows",
    "Streamed",
    "StreamedRows",
    "explain_all",
    "source_key",
    "stream",
    "streamed_again",
]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class StreamedRows:
    """``results/rows.json``: of which rows, model and plan the kept sample is.

    Attributes:
        source: digest of the parts' keys; ``""`` where rows cannot be told from others
            without reading them.
        model, plan, data: digests.
        rows: how many there are in all.
    """

    source: str
    model: str
    plan: str
    data: str
    rows: int
    format: Literal["hitl-audit/rows/v1"] = "hitl-audit/rows/v1"

    @classmethod
    def read(cls, data: bytes) -> StreamedRows:
        """Parse the file.

        Raises:
            InputError: it cannot be used.
        """
        try:
            return TypeAdapter(cls).validate_json(data)
        except ValidationError as error:
            raise InputError(
                f"results/rows.json cannot be used: {error.errors()[0]['msg']}; run the audit again"
            ) from None


@dataclass(frozen=True)
class Streamed:
    """What is left of all rows.

    Attributes:
        inputs: the sample, as the inputs of the audit.
        table: the sample as it was read, to be kept beside the results.
        record: of which rows it is.
        population: all rows as far as they add up; ``None`` where the sample was read again.
    """

    inputs: AuditInputs
    table: pd.DataFrame
    record: StreamedRows
    population: Population | None


@dataclass(frozen=True)
class Rows:
    """Rows that are too many to hold, before they are read, and how they are to be.

    Attributes:
        loaded: the model.
        source: the rows.
        engine: where the work runs.
        resume: go on where an interrupted pass stopped.
    """

    loaded: LoadedModel
    source: RowSource
    engine: Engine
    resume: bool = False

    def key(self, plan: AuditPlan) -> str:
        """A digest of which rows these are, without reading them; ``""`` if that is not known."""
        if self.source.rows is None:
            return ""
        return source_key(self.source.parts(self.over(plan).columns))

    def over(self, plan: AuditPlan) -> ScorePass:
        """The pass over the rows.

        Raises:
            InputError: what is wrong with the model or the columns.
        """
        return score_pass(
            self.loaded.model,
            plan,
            columns=self.source.columns,
            model_digest=self.loaded.digest,
            sample_size=plan.scale.sample_rows,
            rows=self.source.rows,
            scoring=self.loaded.scoring,
            stated=self.loaded.columns,
        )


@dataclass(frozen=True)
class HistoryRows:
    """Recorded decisions that are too many to hold, and where they are counted."""

    source: RowSource
    engine: Engine

    def counted(
        self,
        plan: AuditPlan,
        *,
        kept: PartStore | None = None,
        progress: Progress = lambda step, share: None,
    ) -> Population:
        """Count the decisions by group; rows without a decision are left out.

        Args:
            plan: names the columns.
            kept: finished parts of an interrupted pass.
            progress: called with the step and the share done.

        Raises:
            InputError: a column is missing, or what is wrong with the rows.
            EngineError: a part cannot be finished.
        """
        source = self.source
        names = pd.DataFrame(columns=list(source.columns))
        missing_columns([plan.data.target, *plan.data.sensitive], names, "data.history")
        over = ScorePass(
            predictor=None,
            model_digest="",
            features=(),
            target=plan.data.target,
            favorable=plan.data.favorable,
            sensitive=plan.data.sensitive,
            sample_size=1,
            seed=plan.seed,
            rows=source.rows,
        )

        def told(done: PartsDone) -> None:
            progress(f"counting recorded decisions: {done}", 0.0)

        engine = cast("Any", self.engine)
        return measure_population(over, source, plan, engine=engine, progress=told, kept=kept)


def source_key(parts: Iterable[Any]) -> str:
    """A digest of the keys of all parts, or ``""`` if one of them has none."""
    keys = [part.key for part in parts] if isinstance(parts, Sequence) else [""]
    return digest(keys) if keys and all(keys) else ""


def stream(
    rows: Rows,
    plan: AuditPlan,
    *,
    kept: PartStore | None = None,
    progress: Progress = lambda step, share: None,
) -> Streamed:
    """Take all rows through the model once.

    Args:
        rows: the model, the rows, and where the work runs.
        plan: names the columns, and how many rows the sample has.
        kept: finished parts of an interrupted pass.
        progress: called with the step and the share done.

    Raises:
        InputError: what is wrong with the rows or the model, in words.
        EngineError: a part cannot be finished.
    """
    over, key = rows.over(plan), rows.key(plan)

    def told(done: PartsDone) -> None:
        progress(f"counting all rows: {done}", done.done / done.total if done.total else 0.0)

    population = measure_population(
        over, rows.source, plan, engine=cast("Any", rows.engine), progress=told, kept=kept
    )
    table = population.frame()
    record = StreamedRows(
        source=key,
        model=rows.loaded.digest,
        plan=plan.digest,
        data=population.data_digest,
        rows=population.rows,
    )
    inputs = sample_inputs(
        population, rows.loaded.model, plan, loaded=replace(rows.loaded, worker=None)
    )
    return Streamed(inputs, table, record, population)


def explain_all(
    rows: Rows,
    plan: AuditPlan,
    streamed: Streamed,
    *,
    kept: PartStore | None = None,
    progress: Progress = lambda step, share: None,
) -> AttributionSums:
    """Explain every row by SHAP, and keep what adds up.

    The background is the one that the rows of the sample are explained against.

    Args:
        rows: the model, the rows, and where the work runs.
        plan: names the background and the groups.
        streamed: the first pass.
        kept: finished parts of an interrupted pass.
        progress: called with the step and the share done.

    Raises:
        ExplanationError: the model has no fast explanation.
        EngineError: a part cannot be finished.
    """
    inputs = streamed.inputs
    label = plan.model.output == "label"
    over = attribution_pass(
        inputs.predictor.score if label else inputs.predictor.model,
        sample_rows(inputs.X, plan.explain.background, random_state=plan.seed),
        groups=plan.data.sensitive,
        id=plan.data.id,
        output=None if label else inputs.predictor.favorable,
        model_digest=rows.loaded.digest,
        random_state=plan.seed,
    )

    def told(done: PartsDone) -> None:
        progress(f"explaining all rows: {done}", done.done / done.total if done.total else 0.0)

    return measure_attributions(over, rows.source, engine=rows.engine, progress=told, kept=kept)


def streamed_again(
    loaded: LoadedModel, table: pd.DataFrame, record: StreamedRows, plan: AuditPlan
) -> Streamed:
    """The same sample, read from where it was kept; no pass over the rows.

    Raises:
        InputError: the model or the table cannot be used.
    """
    inputs = build_inputs(
        loaded.model, table, table[plan.data.target], plan=plan, loaded=replace(loaded, worker=None)
    )
    return Streamed(inputs, table, record, None)
