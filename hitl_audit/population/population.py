"""All rows of an audit, as far as they add up: counts, scores, digests, notes, a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from hitl_audit.canonical import Digest, digest, digest_bytes
from hitl_audit.errors import InputError
from hitl_audit.fairness.counts import GroupCounts
from hitl_audit.fairness.group_metrics import GroupMetrics, group_metrics_of_counts
from hitl_audit.groups import ALL, UNKNOWN, missing_and_unknown
from hitl_audit.inputs import (
    check_reference,
    digest_frame,
    notes_in_words,
    outcome_problem,
    scores_problem,
    target_problem,
    too_many_groups,
)
from hitl_audit.multiset_hash import Lanes, lanes_bytes
from hitl_audit.performance import Confusion, Performance
from hitl_audit.plan import AuditPlan
from hitl_audit.population.part_counts import MOST_VALUES, PartCounts, no_counts
from hitl_audit.population.row_sample import RowSample
from hitl_audit.population.score_classes import ScoreClasses
from hitl_audit.population.score_pass import ScorePass
from hitl_audit.population.score_performance import performance_of
from hitl_audit.rows import RowSource

__all__ = ["MapMerge", "Population", "measure_population", "population_of"]


class MapMerge(Protocol):
    """An engine: what :mod:`hitl_audit.engine` says, as far as it is needed here."""

    def map_merge(
        self,
        fn: Callable[[Any], PartCounts],
        parts: Iterable[Any],
        zero: PartCounts,
        merge: Callable[[PartCounts, PartCounts], PartCounts],
        **options: Any,
    ) -> PartCounts:
        """Apply ``fn`` to every part and merge the answers."""


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """All rows, after one pass; the same for every backend, division and order of the rows.

    Attributes:
        rows: how many.
        favorable_rows: with the favorable recorded outcome.
        features, sensitive: names of columns.
        counts: rows by all sensitive attributes, recorded outcome and decision.
        scores: the scores in classes, by each attribute.
        threshold: favorable if and only if the score is at least this.
        data_digest: of all values of all columns that were read.
        scores_digest: of all rows with their scores.
        notes: what a reader of the audit should know about the data.
        protected_inputs: sensitive attributes that the model also reads.
        sample: a uniform random sample of the rows.
    """

    rows: int
    favorable_rows: int
    features: tuple[str, ...]
    sensitive: tuple[str, ...]
    counts: GroupCounts
    scores: ScoreClasses
    threshold: float
    data_digest: Digest
    scores_digest: Digest
    notes: tuple[str, ...]
    protected_inputs: tuple[str, ...]
    sample: RowSample

    def __repr__(self) -> str:
        told = ", ".join(self.sensitive) or "no attributes"
        return f"<Population: {self.rows:,} rows, by {told}; {len(self.sample):,} in the sample>"

    def frame(self) -> pd.DataFrame:
        """The sample: the columns that were read, in the order of the rows' hashes."""
        return self.sample.uniform()

    @property
    def digest(self) -> Digest:
        """Of everything in it: populations that are the same in all respects share it."""
        scores = self.scores
        return digest(
            {
                "format": "hitl-audit/population/v1",
                "rows": [self.data_digest, self.scores_digest, str(self.rows)],
                "columns": [self.features, self.sensitive, self.protected_inputs],
                "counts": [[group, list(map(str, cells))] for group, cells in self.counts.items()],
                "threshold": self.threshold,
                "notes": self.notes,
                "scores": [
                    scores.level,
                    scores.groups,
                    *(
                        digest_bytes(table.astype(">i8").tobytes())
                        for table in (scores.keys, scores.table, scores.losses)
                    ),
                ],
                "sample": [
                    digest_frame(self.frame()),
                    digest_bytes(self.sample.priority.astype(">u8").tobytes()),
                    list(map(str, self.sample.ids)),
                ],
            }
        )

    @property
    def sample_ids(self) -> tuple[str, ...] | None:
        """The identifier of each row of the sample, if the data have any."""
        return tuple(map(str, self.sample.ids)) if any(self.sample.ids) else None

    def group_metrics(self, **options: Any) -> GroupMetrics:
        """Group metrics of all rows; the same numbers as from the rows themselves.

        Args:
            options: those of :func:`~hitl_audit.fairness.group_metrics.group_metrics_of_counts`.

        Raises:
            InputError: as there.
        """
        return group_metrics_of_counts(self.counts, **options)

    def performance(
        self,
        *,
        confidence: float = 0.95,
        min_group: int = 30,
        bins: int = 10,
        n_boot: int = 1000,
        random_state: int = 0,
    ) -> Performance:
        """How well the model decides about all rows.

        Rates, confusion, mean scores and the Brier score are exact. Where there are too
        many different scores to tell all apart, the methods of areas under curves
        say how far they can be off, and :attr:`notes` say so.

        Args:
            confidence: of every interval.
            min_group: groups with fewer rows are flagged.
            bins: calibration bins of about equal size.
            n_boot, random_state: replicates and seed of the bootstrap intervals.

        Raises:
            InputError: an impossible setting.
        """
        if not 0 < confidence < 1:
            raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
        for name, number in (("bins", bins), ("n_boot", n_boot), ("min_group", min_group)):
            if number < 1:
                raise InputError(f"{name} is {number}; accepted: 1 or more")
        members = [(ALL, ALL, self.counts.by(()).table[0])]
        for attribute in self.sensitive:
            part = self.counts.by([attribute])
            members += [(attribute, group, cells) for (group,), cells in part.items()]
        return Performance(
            self.threshold,
            confidence,
            min_group,
            tuple(
                performance_of(
                    attribute,
                    group,
                    Confusion(*cells),
                    self.scores.of((attribute, group)),
                    confidence=confidence,
                    min_group=min_group,
                    bins=bins,
                    n_boot=n_boot,
                    random_state=random_state,
                )
                for attribute, group, cells in members
            ),
        )


def measure_population(
    over: ScorePass,
    source: RowSource,
    plan: AuditPlan,
    *,
    engine: MapMerge,
    rows_per_part: int = 100_000,
    **options: Any,
) -> Population:
    """Take all rows through the pass, on an engine.

    Args:
        over: the pass.
        source: the rows.
        plan: its words for columns, and its reference groups.
        engine: where the work runs.
        rows_per_part: how the rows are divided; it changes no result.
        options: ``progress`` and ``kept`` of the engine.

    Raises:
        InputError: what is wrong with the rows, in words.
    """
    counts = _counted(over, source, engine, rows_per_part, options)
    if counts.sample_is_short:
        # Many copies of few rows: their hashes say nothing about where the sample ends.
        over = over.without_cut()
        counts = _counted(over, source, engine, rows_per_part, options)
    return population_of(counts, over, plan)


def _counted(
    over: ScorePass,
    source: RowSource,
    engine: MapMerge,
    rows_per_part: int,
    options: Mapping[str, Any],
) -> PartCounts:
    parts = source.parts(over.columns, rows_per_part=rows_per_part)
    return engine.map_merge(over, parts, no_counts(), merged, **options)


def merged(one: PartCounts, other: PartCounts) -> PartCounts:
    """The counts of the rows of both; commutative, associative and exact."""
    return one + other


def population_of(counts: PartCounts, over: ScorePass, plan: AuditPlan) -> Population:
    """Check what was counted over all rows, and put it together.

    Raises:
        InputError: the first thing that is wrong, in the words of ``build_inputs``,
            with how many rows it is about and where the first of them is.
    """
    _check(counts, over, plan)
    groups = tuple(sorted(counts.cells))
    table = GroupCounts(over.sensitive, groups, tuple(counts.cells[g] for g in groups))
    sizes = {
        name: {group: sum(cells) for (group,), cells in table.by([name]).items()}
        for name in over.sensitive
    }
    protected = tuple(name for name in over.sensitive if name in over.features)
    facts = counts.columns
    notes = notes_in_words(
        plan,
        rows=counts.rows,
        constant=[name for name in over.features if facts[name].constant],
        unseen=[(name, facts[name].unseen, facts[name].shown) for name in over.known],
        outcomes=[name for name in over.features if facts[name].is_outcome],
        gaps=[(name, facts[name].missing) for name in over.features],
        sizes=sizes,
        protected=protected,
    )
    ((_, _, fn, tp),) = table.by(()).table
    return Population(
        rows=counts.rows,
        favorable_rows=fn + tp,
        features=over.features,
        sensitive=over.sensitive,
        counts=table,
        scores=counts.scores,
        threshold=over.predictor.threshold if over.predictor is not None else 0.5,
        data_digest=_digest("rows", over.columns, counts.rows, counts.content),
        scores_digest=_digest("scored rows", over.columns, counts.rows, counts.scored),
        notes=(*notes, *_notes(counts, over)),
        protected_inputs=protected,
        sample=counts.sample,
    )


def _digest(what: str, columns: Sequence[str], rows: int, lanes: Lanes) -> Digest:
    """The digest of a sum of row digests, of what was summed and of how many rows."""
    return digest(
        {
            "format": f"hitl-audit/{what}/v1",
            "columns": columns,
            "rows": str(rows),
            "sum": digest_bytes(lanes_bytes(lanes)),
        }
    )


def _check(counts: PartCounts, over: ScorePass, plan: AuditPlan) -> None:
    if not counts.rows:
        raise InputError("the data have no rows")
    if counts.no_outcome.rows and over.predictor is not None:
        missing = counts.no_outcome
        raise target_problem(missing.rows, counts.rows, missing.where)
    if counts.no_id.rows:
        raise InputError(
            f'the id "{over.id}" is missing in {counts.no_id.rows} of {counts.rows} rows (first: '
            f"{counts.no_id.where}); expected one id per row"
        )
    if counts.outcomes is None:
        raise InputError(
            f"the target has more than {MOST_VALUES:,} different values; expected two: this "
            "version audits binary decisions"
        )
    if over.predictor is not None:
        values = sorted(counts.outcomes, key=lambda value: (str(type(value)), value))
        problem = outcome_problem(values, over.favorable)
        if problem is not None:
            raise problem
    for name, found in counts.groups.items():
        if not found.few:
            many = f"more than {MOST_VALUES:,}" if found.names is None else str(len(found.names))
            raise too_many_groups(name, many)
        if found.missing and found.said_unknown:
            raise missing_and_unknown(f'sensitive_features, "{name}"', found.missing, counts.rows)
    for attribute, wanted in plan.data.reference.items():
        names = counts.groups[attribute]
        check_reference(
            attribute, wanted, {*(names.names or ()), *([UNKNOWN] if names.missing else [])}
        )
    if counts.bad_scores.rows:
        raise scores_problem(counts.bad_scores.rows, counts.bad_scores.where)
    repeated = counts.sample.repeated_ids()
    if repeated:
        raise InputError(
            f"{len(repeated)} of the ids in the sample of {len(counts.sample):,} rows occur more "
            f"than once (first: {repeated[0]!r}); expected one row per id"
        )
    if counts.sample_is_short:
        raise InputError(
            f"the data have {counts.rows:,} rows, and {over.rows:,} were announced; the sample is "
            "short of rows: take it without the number of rows"
        )


def _notes(counts: PartCounts, over: ScorePass) -> list[str]:
    notes = []
    if len(counts.sample) < counts.rows:
        notes.append(
            f"Metrics, performance and promises are of all {counts.rows:,} rows; what needs single "
            f"rows is of a uniform random sample of {len(counts.sample):,} of them, those with the "
            "smallest seeded hashes."
        )
        if over.id is not None:
            notes.append(
                "That no id occurs twice was checked for the ids in the sample, against all rows; "
                "the other ids were not compared with each other."
            )
    if not counts.scores.exact:
        notes.append(
            "The rows have too many different scores to tell all apart: "
            f"{len(counts.scores.keys):,} classes of neighboring scores were counted. "
            "Areas under curves and their intervals "
            "are of these classes, with the largest possible deviation beside the method; rates, "
            "mean scores and Brier scores are exact."
        )
    return notes
