"""The one pass over all rows: score, count, hash, sample."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import digest
from hitl_audit.errors import InputError
from hitl_audit.fairness.cell_counts import CellCounts, collected
from hitl_audit.groups import UNKNOWN, level_text
from hitl_audit.inputs import (
    Predictor,
    fitted_encoders,
    missing_columns,
    model_features,
    predictor_of,
)
from hitl_audit.multiset_hash import add_rows, no_rows
from hitl_audit.plan import AuditPlan
from hitl_audit.population.batch import Levels, read_batch
from hitl_audit.population.column_facts import facts_of
from hitl_audit.population.content import row_digests
from hitl_audit.population.part_counts import Cells, Fault, GroupNames, PartCounts, no_counts
from hitl_audit.population.row_sample import joined_samples, no_sample, sample_rows
from hitl_audit.population.score_classes import count_scores, no_scores
from hitl_audit.rows import Part, id_texts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ScorePass", "score_pass"]

Ints = npt.NDArray[np.int64]

_FORMAT = "hitl-audit/score-pass/v1"
# Rows are scored in multiples of this many: the kernels of a matrix product treat the
# last few rows of a batch differently, which shows in the last bit of a score.
_BLOCK = 64
_LEAST_SCORED = 1024
# No more rows than this in a batch, so that sums of halves stay exact doubles.
_MOST_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class ScorePass:
    """A function from a part of the rows to its :class:`PartCounts`; it can be pickled.

    Attributes:
        predictor: the model, or ``None`` to count recorded outcomes alone (a history
            of decisions: they are then also the decisions, and rows without one are
            left out).
        model_digest: of the model, for :attr:`key`.
        features: the model's inputs.
        target, favorable: the recorded outcome, and its favorable value.
        sensitive: the sensitive attributes.
        id: the column that identifies a row, if there is one.
        carried: more columns that rows of the sample need.
        sample_size: how many rows to sample.
        seed: of the sample.
        rows: how many rows there are in all, if that is known: then a part returns
            only rows that can still enter the sample.
        known: model input → the values that a fitted encoder knows.
    """

    predictor: Predictor | None
    model_digest: str
    features: tuple[str, ...]
    target: str
    favorable: Any
    sensitive: tuple[str, ...]
    id: str | None = None
    carried: tuple[str, ...] = ()
    sample_size: int = 20_000
    seed: int = 0
    rows: int | None = None
    known: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order in which they are hashed."""
        ids = () if self.id is None else (self.id,)
        return tuple(
            dict.fromkeys([*self.features, self.target, *self.sensitive, *ids, *self.carried])
        )

    @cached_property
    def key(self) -> str:
        """The digest of all that the result depends on beside the rows."""
        predictor = self.predictor
        told = (
            None
            if predictor is None
            else [predictor.output, predictor.column, repr(predictor.favorable)]
        )
        return digest(
            {
                "format": _FORMAT,
                "model": self.model_digest,
                "predictor": told,
                "threshold": None if predictor is None else predictor.threshold,
                "columns": self.columns,
                "features": self.features,
                "target": self.target,
                "favorable": repr(self.favorable),
                "sensitive": self.sensitive,
                "id": self.id,
                "sample": [self.sample_size, self.seed, self.cut and str(self.cut)],
            }
        )

    @cached_property
    def cut(self) -> int | None:
        """The largest hash that a row of the sample can have; as good as never too small.

        Of N hashes that are as good as random the k-th smallest is below
        (k + 8 √k + 100) / N of their range but for one case in 10^14. Where rows are
        many copies of few, it can be: :attr:`PartCounts.sample_is_short` then says so.
        """
        wanted = self.sample_size + 8 * self.sample_size**0.5 + 100
        if self.rows is None or self.rows <= wanted:
            return None
        return int(wanted / self.rows * 2.0**64)

    def without_cut(self) -> ScorePass:
        """The same pass, with parts that return as many rows as the whole sample has."""
        return replace(self, rows=None)

    def __call__(self, part: Part) -> PartCounts:
        """Read, check, score and count one part.

        Raises:
            InputError: the part lacks a column, or the model failed on it. What is
                wrong with values is counted, and said once, over all rows
                (:func:`hitl_audit.population.population.population_of`).
        """
        from threadpoolctl import threadpool_limits

        found = no_counts()
        samples = [no_sample(self.sample_size)]
        first = 1
        below = self.cut
        # One thread of BLAS: several divide the rows among them, each with edges of its own.
        with threadpool_limits(1, user_api="blas"):
            for whole in part.batches(self.columns):
                for start in range(0, whole.num_rows, _MOST_AT_ONCE):
                    batch = whole.slice(start, _MOST_AT_ONCE)
                    counts = self._count(batch, part.name, first, below)
                    first += batch.num_rows
                    samples.append(counts.sample)
                    found += replace(counts, sample=no_sample(self.sample_size))
                    # Joined rarely, because joining copies what is kept.
                    if sum(map(len, samples)) >= 2 * self.sample_size:
                        samples = [joined_samples(samples)]
                        below = samples[0].last
        return replace(found, sample=joined_samples(samples))

    def _count(self, arrow: pa.RecordBatch, part: str, first: int, below: int | None) -> PartCounts:
        """The counts of some rows, of which the first is the ``first`` of its part."""
        n = arrow.num_rows
        batch = read_batch(arrow, self.columns, part)
        kept = np.ones(n, dtype=bool)

        def fault(bad: npt.NDArray[np.bool_]) -> Fault:
            if not bad.any():
                return Fault()
            places = np.flatnonzero(kept) if len(bad) < n else np.arange(n)
            return Fault(int(bad.sum()), f"row {first + int(places[bad][0])} of {part}")

        no_outcome = batch.frame[self.target].isna().to_numpy()
        missing = fault(no_outcome)
        if missing.rows:
            kept = ~no_outcome
            batch = batch.only(kept)
        frame = batch.frame
        ids, no_id = None, Fault()
        if self.id is not None:
            texts = id_texts(arrow, self.id)[kept]
            no_id = fault(np.array([text is None for text in texts], dtype=bool))
            ids = ["" if text is None else str(text) for text in texts]
        outcomes = _values(frame[self.target])
        y_true = np.asarray(frame[self.target] == self.favorable, dtype=np.int64)
        y_score, y_pred, bad_scores = None, y_true, Fault()
        if self.predictor is not None:
            y_score = self._scores(self.predictor, frame, part)
            bad = ~((y_score >= 0) & (y_score <= 1))
            bad_scores = fault(bad)
            # The audit will be refused; until all such rows are counted, any score will do.
            y_score = np.where(bad, 0.0, y_score) if bad_scores.rows else y_score
            y_pred = self.predictor.decide(y_score)
        encoded = {name: _encoded(batch.levels(name)) for name in self.sensitive}
        groups = {name: names for name, (_, _, names) in encoded.items()}
        cells: dict[tuple[str, ...], tuple[int, int, int, int]] = {}
        scores, keys = no_scores(), None
        if all(names.few for names in groups.values()):
            codes = {name: (code, texts) for name, (code, texts, _) in encoded.items()}
            cells = _cells(codes, y_true, y_pred)
            if y_score is not None:
                scores, keys = count_scores(y_score, y_true, codes)
        digests = row_digests(batch)
        scored = no_rows()
        if keys is not None:
            scored = add_rows(scored, digests, keys)
        return PartCounts(
            rows=n if self.predictor is not None else len(frame),
            outcomes=outcomes,
            no_outcome=missing,
            no_id=no_id,
            bad_scores=bad_scores,
            groups=groups,
            cells=cells,
            scores=scores,
            columns={
                name: facts_of(batch, name, y_true, self.known.get(name)) for name in self.features
            },
            content=add_rows(no_rows(), digests),
            scored=scored,
            sample=sample_rows(
                frame,
                size=self.sample_size,
                seed=self.seed,
                digests=digests,
                ids=ids,
                below=below,
            ),
            cut=self.cut,
        )

    def _scores(
        self, predictor: Predictor, frame: pd.DataFrame, part: str
    ) -> npt.NDArray[np.float64]:
        n = len(frame)
        if not n:
            return np.zeros(0)
        X = frame[list(self.features)]
        padded = max(_LEAST_SCORED, -(-n // _BLOCK) * _BLOCK)
        if padded > n:
            X = X.take(np.arange(padded) % n).reset_index(drop=True)
        with warnings.catch_warnings():
            # Unseen categories are reported in words; scikit-learn's warning repeats it.
            warnings.filterwarnings(
                "ignore", message="Found unknown categories", category=UserWarning
            )
            try:
                return predictor.raw_score(X)[:n]
            except InputError as error:
                raise InputError(f"{part}: {error}") from error


def score_pass(
    model: Any,
    plan: AuditPlan,
    *,
    columns: Sequence[str],
    model_digest: str,
    carried: Sequence[str] = (),
    sample_size: int = 20_000,
    rows: int | None = None,
    scoring: Any = None,
    stated: Sequence[str] | None = None,
) -> ScorePass:
    """Check what can be checked before any row is read, and prepare the pass.

    Args:
        model: a fitted binary classifier or a callable (see :class:`Predictor`).
        plan: names the target, its favorable value, sensitive attributes, threshold.
        columns: those that the rows have.
        model_digest: of the model.
        carried: more columns that the sample needs.
        sample_size: how many rows to sample.
        rows: how many there are, if that is known.
        scoring: what scores the rows, if not the model itself (the same model in a
            process of its own).
        stated: the model's inputs by the signature that came with it.

    Raises:
        InputError: a column that is not there, the target among the model's inputs,
            or a model that cannot be audited, in the words of ``build_inputs``.
    """
    names = pd.DataFrame(columns=list(columns))
    if not plan.data.target:
        raise InputError("data.target is empty; expected the column with the recorded outcome")
    missing_columns([plan.data.target], names, "data.target")
    missing_columns(plan.data.sensitive, names, "data.sensitive")
    if plan.data.id is not None:
        missing_columns([plan.data.id], names, "data.id")
    missing_columns(carried, names, "the sample")
    features = model_features(model, names, plan, stated)
    if plan.data.target in features:
        raise InputError(f'the target "{plan.data.target}" is among the model\'s inputs')
    return ScorePass(
        predictor=replace(predictor_of(model, plan), model=model if scoring is None else scoring),
        model_digest=model_digest,
        features=tuple(features),
        target=plan.data.target,
        favorable=plan.data.favorable,
        sensitive=plan.data.sensitive,
        id=plan.data.id,
        carried=tuple(carried),
        sample_size=sample_size,
        seed=plan.seed,
        rows=rows,
        known={
            name: tuple(known.tolist())
            for names_, encoder in fitted_encoders(model)
            for name, known in zip(names_, encoder.categories_, strict=True)
        },
    )


def _values(column: pd.Series) -> dict[Any, int]:
    counts = column.value_counts()
    return {_python(value): int(n) for value, n in counts.items()}


def _python(value: Any) -> Any:
    """0 for 0.0, as a column of whole numbers would have it."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return value.item() if isinstance(value, np.generic) else value


def _encoded(levels: Levels) -> tuple[Ints, list[str], GroupNames]:
    """(rows,) codes, the group of each code, and the attribute's groups."""
    codes, texts = levels.codes, [level_text(value) for value in levels.values]
    missing = int((codes < 0).sum())
    # Through + a set with too many names becomes "very many".
    names = GroupNames(frozenset(texts), missing, UNKNOWN in texts) + GroupNames(
        frozenset(), 0, False
    )
    if missing:
        codes, texts = np.where(codes < 0, len(texts), codes), [*texts, UNKNOWN]
    return codes, texts, names


def _cells(
    groups: Mapping[str, tuple[Ints, Sequence[str]]], y_true: Ints, y_pred: Ints
) -> dict[tuple[str, ...], Cells]:
    """Count by group; the groups go through the expression as numbers, and get their names here."""
    import narwhals.stable.v2 as nw
    import pyarrow as pa

    columns = {f"attribute {i}": codes for i, (codes, _) in enumerate(groups.values())}
    frame = pa.table({**columns, "y_true": y_true, "y_pred": y_pred})
    named = CellCounts(tuple(groups))
    texts = [names for _, names in groups.values()]
    for *codes, true, predicted, n in collected(
        nw.from_native(frame, eager_only=True), [*columns, "y_true", "y_pred"]
    ):
        group = [names[code] for names, code in zip(texts, codes, strict=True)]
        named.add([(*group, true, predicted, n)])
    return {group: (c[0], c[1], c[2], c[3]) for group, c in named.cells.items()}
