"""One pass over all rows that explains each of them: a part of the rows → its sums."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.canonical import digest
from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.attribution_files import PartWriter, write_manifest
from hitl_audit.explanations.attribution_sums import (
    AttributionSums,
    Explained,
    check_groups,
    no_sums,
)
from hitl_audit.explanations.fixed_point import membership, rounded_to_grid
from hitl_audit.explanations.group_sums import RESIDUAL_BITS, sums_by_group
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.prepared_explainer import PreparedExplainer, prepare_explainer
from hitl_audit.explanations.raw_features import as_frame
from hitl_audit.explanations.shap_values import Algorithm
from hitl_audit.explanations.uniform_columns import fitted_to, uniform_columns
from hitl_audit.explanations.views.asking import check_integers
from hitl_audit.groups import ALL, UNKNOWN, level_text
from hitl_audit.inputs import digest_frame
from hitl_audit.population.batch import Levels, read_batch
from hitl_audit.population.content import row_digests
from hitl_audit.population.part_counts import GroupNames
from hitl_audit.population.row_sample import sample_rows
from hitl_audit.rows import ROWS_PER_PART, Part, RowSource, id_texts

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AttributionPass", "attribution_pass", "measure_attributions"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_FORMAT = "hitl-audit/attribution-pass/v1"
# Batches are joined up to so many rows: each call has a cost of its own, and the memory
# of a call grows with its rows.
_ROWS_AT_ONCE = 16_384
_SAMPLE = 1000


@dataclass(frozen=True, eq=False)
class AttributionPass:
    """A function from a part of the rows to its :class:`AttributionSums`; it can be pickled.

    Made by :func:`attribution_pass`. The explainer is set up on first use, once per process.

    Attributes:
        model, background, settings: arguments of ``prepare_explainer``.
        about: what is explained.
        model_digest: of the model, for :attr:`key`; with "" nothing is kept of finished parts.
        groups: the sensitive attributes.
        id: the column that identifies a row, if there is one.
        hashed: the columns whose content stands for a row where there is no identifier.
        sample_size: how many rows to sample for the beeswarm.
        random_state: the seed of the sample, and of algorithms that draw.
        folder: where the attributions of every row are kept; "" keeps none.
    """

    model: Any
    background: pd.DataFrame
    settings: dict[str, Any]
    about: Explained
    model_digest: str
    groups: tuple[str, ...]
    id: str | None
    hashed: tuple[str, ...]
    sample_size: int
    random_state: int
    folder: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        ids = () if self.id is None else (self.id,)
        return tuple(dict.fromkeys([*self.hashed, *self.about.features, *self.groups, *ids]))

    @cached_property
    def key(self) -> str:
        """The digest of all that the result depends on beside the rows."""
        if not self.model_digest:
            return ""
        return digest(
            {
                "format": _FORMAT,
                "model": self.model_digest,
                "about": self.about,
                "settings": {name: repr(value) for name, value in self.settings.items()},
                "groups": self.groups,
                "id": self.id,
                "hashed": self.hashed,
                "sample": [self.sample_size, self.random_state],
                "folder": self.folder,
            }
        )

    @property
    def zero(self) -> AttributionSums:
        """The sums of no rows."""
        return no_sums(
            self.about,
            groups=self.groups,
            sample_size=self.sample_size,
            dtypes=self.background.dtypes.tolist(),
        )

    def __call__(self, part: Part) -> AttributionSums:
        """Explain the rows of one part.

        Raises:
            InputError: the part lacks a column, or holds what the model has no use for.
            ExplanationError: the model failed, or attributions do not add up to its output.
            OSError: attributions of every row are kept, and the disk refuses.
        """
        from threadpoolctl import threadpool_limits

        explainer = _prepared(self)
        total = self.zero
        writer = None
        if self.folder:
            of = (self.key or digest(self.about), part.name, part.key)
            writer = PartWriter(self.folder, of, self.about.features)
        # One thread of BLAS: several divide the rows among them, each with edges of its own.
        with threadpool_limits(1, user_api="blas"):
            for batch in _joined(part.batches(self.columns)):
                try:
                    total += self._sums(explainer, batch, part.name, writer, _limit(total))
                except (InputError, ExplanationError) as error:
                    raise type(error)(f"{part.name}: {error}") from error
        if writer is not None:
            writer.finish()
            total = total + _files(self.zero, writer)
        return total

    def _sums(
        self,
        explainer: PreparedExplainer,
        batch: pa.RecordBatch,
        part: str,
        writer: PartWriter | None,
        below: int | None,
    ) -> AttributionSums:
        read = read_batch(batch, self.columns, part)
        frame = read.frame
        features = list(self.about.features)
        found = explainer.explain(fitted_to(frame[features], self.background))
        ids = None
        if self.id is not None:
            ids = ["" if text is None else str(text) for text in id_texts(batch, self.id)]
        same = self.hashed == self.columns
        digests = row_digests(read if same else read_batch(batch, self.hashed, part))
        if writer is not None:
            names = ids or [digests[i : i + 32].hex() for i in range(0, len(digests), 32)]
            writer.add(names, found.predictions, found.values)
        kept = found.explained
        n = int(kept.sum())
        encoded = [_encoded(read.levels(name), kept) for name in self.groups]
        for name, (_, _, names_) in zip(self.groups, encoded, strict=True):
            check_groups(name, names_)
        every = [(np.zeros(n, dtype=np.intp), [ALL]), *((c, texts) for c, texts, _ in encoded)]
        sums = sums_by_group(
            found.values[kept],
            membership([codes for codes, _ in every], [len(texts) for _, texts in every]),
        )
        cells = [
            (attribute, text)
            for attribute, (_, texts) in zip((ALL, *self.groups), every, strict=True)
            for text in texts
        ]
        whole = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)[kept].tobytes()
        width = range(len(features))
        told = pd.concat(
            [
                frame.loc[kept, features].set_axis([f"x{j}" for j in width], axis=1),
                pd.DataFrame(
                    found.values[kept],
                    columns=[f"phi{j}" for j in width],
                    index=frame.index[kept],
                ),
            ],
            axis=1,
        )
        residual = float(found.residual[kept].max(initial=0.0))
        return AttributionSums(
            about=self.about,
            rows=n,
            left_out=len(frame) - n,
            residual=rounded_to_grid(residual, bits=RESIDUAL_BITS),
            cells={cell: s for cell, s in zip(cells, sums, strict=True) if s.n},
            groups={
                name: names_ for name, (_, _, names_) in zip(self.groups, encoded, strict=True)
            },
            sample=sample_rows(
                told,
                size=self.sample_size,
                seed=self.random_state,
                digests=whole,
                ids=None if ids is None else [i for i, k in zip(ids, kept, strict=True) if k],
                below=below,
            ),
            dtypes=self.zero.dtypes,
        )


def attribution_pass(
    model: Any,
    background: Any,
    *,
    groups: Sequence[str] = (),
    id: str | None = None,
    output: Any = None,
    scale: Scale | None = None,
    algorithm: Algorithm = "auto",
    n_permutations: int = 10,
    model_digest: str = "",
    hashed: Sequence[str] | None = None,
    sample_size: int = _SAMPLE,
    random_state: int = 0,
    folder: str = "",
) -> AttributionPass:
    """Set the explainer up, check it on the background, and make the pass.

    Args:
        model: a fitted classifier, regressor or Pipeline, or a callable; to be explained in
            worker processes it must be picklable.
        background: raw rows that stand for "feature unknown"; its columns are the features.
        groups: columns of sensitive attributes, which sums are kept by.
        id: the column that identifies a row.
        output, scale, algorithm, n_permutations: as for
            :func:`~hitl_audit.explanations.prepared_explainer.prepare_explainer`: no algorithm
            that asks the model about every row again and again is taken by itself.
        model_digest: of the model; with "" finished parts cannot be kept.
        hashed: the columns whose content is hashed to sample rows, in order; with those of a
            ``ScorePass`` (its ``columns``) the sample's rows are the first of its sample.
            By default the features, groups and identifier.
        sample_size: rows to keep for the beeswarm.
        random_state: the seed.
        folder: an existing folder for the attributions of every row, as parquet files; see
            :func:`~hitl_audit.explanations.attribution_files.write_manifest`.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed, or no fast path explains it.
    """
    from pathlib import Path

    check_integers(sample_size=(sample_size, 1), random_state=(random_state, 0))
    behind = uniform_columns(as_frame(background, name="background"))
    behind.columns = pd.Index([str(name) for name in behind.columns])
    if ALL in groups:
        raise InputError(f'groups has a column called "{ALL}", a reserved name')
    if folder and not Path(folder).is_dir():
        raise InputError(f"folder is {folder}; expected a folder that exists")
    settings: dict[str, Any] = {
        "output": output,
        "scale": scale,
        "algorithm": algorithm,
        "random_state": random_state,
        "n_permutations": n_permutations,
    }
    explainer = prepare_explainer(model, behind, **settings)
    features = tuple(behind.columns)
    ids = () if id is None else (id,)
    made = AttributionPass(
        model=model,
        background=behind,
        settings=settings,
        about=Explained(
            features=features,
            base=explainer.base,
            algorithm=explainer.algorithm,
            exact=explainer.exact,
            scale=explainer.output.scale,
            output=explainer.output.label,
            background_digest=digest_frame(behind),
            background_size=len(behind),
            random_state=random_state,
            notes=explainer.notes,
        ),
        model_digest=model_digest,
        groups=tuple(dict.fromkeys(groups)),
        id=id,
        hashed=tuple(dict.fromkeys([*features, *groups, *ids] if hashed is None else hashed)),
        sample_size=sample_size,
        random_state=random_state,
        folder=folder,
    )
    _remember(made, explainer)
    return made


def measure_attributions(
    over: AttributionPass,
    source: RowSource,
    *,
    engine: Any,
    rows_per_part: int = ROWS_PER_PART,
    **options: Any,
) -> AttributionSums:
    """Take all rows through the pass, on an engine; the list of files is written last.

    Args:
        over: the pass.
        source: the rows.
        engine: where the work runs (:class:`hitl_audit.engine.Engine`).
        rows_per_part: how the rows are divided; it changes no result.
        options: ``progress`` and ``kept`` of the engine.

    Raises:
        InputError: the rows lack a column, or files of attributions are missing.
        EngineError: a part cannot be finished; the message names it.
    """
    parts = source.parts(over.columns, rows_per_part=rows_per_part)
    found: AttributionSums = engine.map_merge(
        over, parts, over.zero, AttributionSums.merge, **options
    )
    if over.folder:
        write_manifest(over.folder, found)
    return found


# One explainer per process: the last one used. A model is not copied for it, and a
# function that is unpickled for every part (as on Spark) finds it by its key.
_LAST: list[tuple[AttributionPass, PreparedExplainer]] = []
_LOCK = threading.Lock()


def _prepared(wanted: AttributionPass) -> PreparedExplainer:
    with _LOCK:
        for made, explainer in _LAST:
            if made is wanted or (wanted.key and made.key == wanted.key):
                return explainer
    explainer = prepare_explainer(wanted.model, wanted.background, **wanted.settings)
    if explainer.algorithm != wanted.about.algorithm:
        raise ExplanationError(
            f"this process explains the model by {explainer.algorithm}, the one that began by "
            f"{wanted.about.algorithm}; expected the same versions of the libraries in both"
        )
    _remember(wanted, explainer)
    return explainer


def _remember(made: AttributionPass, explainer: PreparedExplainer) -> None:
    with _LOCK:
        _LAST[:] = [(made, explainer)]


def _joined(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of about 16,384: small ones joined, large ones divided."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            some = batch.slice(start, _ROWS_AT_ONCE)
            if rows and (rows + some.num_rows > _ROWS_AT_ONCE or some.schema != waiting[0].schema):
                yield _one(waiting)
                waiting, rows = [], 0
            waiting.append(some)
            rows += some.num_rows
    if rows:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    whole: pa.RecordBatch = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    return whole


def _encoded(levels: Levels, kept: npt.NDArray[np.bool_]) -> tuple[Codes, list[str], GroupNames]:
    """(n,) codes of the rows kept, the group of each code, what is known of the groups."""
    codes, values = levels.codes[kept], levels.values
    if len(values):
        occurs = np.zeros(len(values) + 1, dtype=bool)
        occurs[codes] = True
        places_of = np.cumsum(occurs[:-1]) - 1
        codes = np.where(codes < 0, -1, places_of[codes])
        values = [value for value, here in zip(values, occurs[:-1], strict=True) if here]
    texts = [level_text(value) for value in values]
    missing = int((codes < 0).sum())
    names = GroupNames(frozenset(texts), missing, UNKNOWN in texts)
    places = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    if missing:
        places.setdefault(UNKNOWN, len(places))
    # Values that read the same are one group; the code of a missing value is the last one.
    of_level = np.array([*(places[text] for text in texts), places.get(UNKNOWN, 0)], dtype=np.intp)
    return of_level[codes], list(places), names


def _limit(total: AttributionSums) -> int | None:
    """The largest hash that can still enter the sample, once it is full."""
    full = len(total.sample) == total.sample.size
    return int(total.sample.priority[-1]) if full else None


def _files(zero: AttributionSums, writer: PartWriter) -> AttributionSums:
    return replace(zero, files=tuple(sorted(writer.files)))
