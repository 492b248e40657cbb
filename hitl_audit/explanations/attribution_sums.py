"""Attributions of all rows, as sums that parts of the rows add up to exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hitl_audit.canonical import Digest, digest
from hitl_audit.charts import Chart
from hitl_audit.errors import InputError
from hitl_audit.explanations.attribution_tables import differences, importance, means_by_group
from hitl_audit.explanations.explanation import Explanation
from hitl_audit.explanations.explanation_charts import ChartKind, WholeData, draw
from hitl_audit.explanations.group_sums import RESIDUAL_BITS, GroupSums
from hitl_audit.explanations.model_output import Scale, output_words
from hitl_audit.groups import ALL, UNKNOWN
from hitl_audit.inputs import digest_frame, too_many_groups
from hitl_audit.population.part_counts import GroupNames
from hitl_audit.population.row_sample import RowSample, no_sample

__all__ = ["AttributionFile", "AttributionSums", "Explained", "no_sums"]


@dataclass(frozen=True)
class Explained:
    """What is explained and how; the same for all parts.

    Attributes:
        features: the raw features, in the order of all attributions.
        base: the mean output over the background.
        algorithm, exact, notes: as in an ``Explanation``.
        scale, output: the explained output.
        background_digest, background_size: the rows that stand for "feature unknown".
        random_state: the seed.
    """

    features: tuple[str, ...]
    base: float
    algorithm: str
    exact: bool
    scale: Scale
    output: Any
    background_digest: Digest
    background_size: int
    random_state: int
    notes: tuple[str, ...] = ()

    @property
    def output_words(self) -> str:
        """What is explained, for labels: ``probability of 1``."""
        return output_words(self.scale, self.output)


@dataclass(frozen=True, order=True)
class AttributionFile:
    """A parquet file with the attributions of some rows.

    Attributes:
        name: in its folder.
        rows, size: how many rows and bytes it has.
    """

    name: str
    rows: int
    size: int


@dataclass(frozen=True, eq=False, repr=False)
class AttributionSums:
    """What explanations of some rows, or of all, add up to.

    ``+`` is commutative, associative and exact, with :func:`no_sums` as its zero: the
    same bits for any division and order of the rows. p features.

    Attributes:
        about: what is explained.
        rows: rows that were explained.
        left_out: rows whose output is not finite.
        residual: the largest \\|output − base − Σ attributions\\|, in 2^-40, on the scale
            that the model answers on (for log-odds the probability).
        cells: (attribute, group) → sums; ``("all", "all")`` has all rows.
        groups: attribute → the groups that occur.
        sample: the rows with the smallest seeded hashes; feature values and attributions.
        dtypes: of the features, for the sample.
        files: where the attributions of every row are, sorted, if they were kept.
    """

    about: Explained
    rows: int
    left_out: int
    residual: int
    cells: Mapping[tuple[str, str], GroupSums]
    groups: Mapping[str, GroupNames]
    sample: RowSample
    dtypes: tuple[Any, ...]
    files: tuple[AttributionFile, ...] = ()

    def __add__(self, other: AttributionSums) -> AttributionSums:
        if other.about != self.about:
            raise InputError(
                f"got attributions of two explainers ({self.about.algorithm} of "
                f"{self.about.output_words}, {other.about.algorithm} of "
                f"{other.about.output_words}); expected the same model, background and settings"
            )
        cells = dict(self.cells)
        for cell, sums in other.cells.items():
            cells[cell] = cells[cell] + sums if cell in cells else sums
        groups = dict(self.groups)
        for name, names in other.groups.items():
            groups[name] = check_groups(name, groups[name] + names if name in groups else names)
        return replace(
            self,
            rows=self.rows + other.rows,
            left_out=self.left_out + other.left_out,
            residual=max(self.residual, other.residual),
            cells=cells,
            groups=groups,
            sample=self.sample + other.sample,
            files=tuple(sorted({*self.files, *other.files})),
        )

    def merge(self, other: AttributionSums) -> AttributionSums:
        """The same as ``+``, under the name an engine asks for."""
        return self + other

    @property
    def largest_residual(self) -> float:
        """The largest \\|output − base − Σ attributions\\| over all rows, to 2^-40."""
        return self.residual * 2.0**-RESIDUAL_BITS

    @property
    def attributes(self) -> tuple[str, ...]:
        """The sensitive attributes."""
        return tuple(self.groups)

    def global_importance(self, confidence: float = 0.95) -> pd.DataFrame:
        """Mean absolute attribution per feature over all rows, strongest first.

        The columns are those of :meth:`Explanation.global_importance`. The interval is
        Student's of the mean, as if the rows were drawn from many more; it does not
        cover the choice of the background. With one row there is none.

        Raises:
            InputError: ``confidence`` is not between 0 and 1.
        """
        return importance(self.about.features, self._cell(ALL, ALL), confidence)

    def by_group(self, confidence: float = 0.95) -> pd.DataFrame:
        """Mean absolute and mean attribution per group and feature.

        The columns are those of :meth:`Explanation.by_group`; the interval is that of
        :meth:`global_importance`. Rows without a value are the group ``unknown``.

        Raises:
            InputError: ``confidence`` is not between 0 and 1.
        """
        cells = {cell: self.cells[cell] for cell in self._group_cells()}
        return means_by_group(self.about.features, cells, confidence)

    def differences(
        self,
        reference: Mapping[str, str] | None = None,
        *,
        confidence: float = 0.95,
        min_group: int = 30,
    ) -> pd.DataFrame:
        """How far attributions of each group lie from those of a reference group.

        Args:
            reference: attribute → group; by default its largest group.
            confidence: of Welch's interval (unequal variances, two-sided).
            min_group: with fewer rows in either group there is no interval.

        Returns:
            attribute, group, reference, feature, measure (``mean_abs`` or ``mean``), value
            (group − reference), low, high, n, n_reference, status.

        Raises:
            InputError: an unknown attribute or group, or ``confidence`` out of range.
        """
        cells = {cell: self.cells[cell] for cell in self._group_cells()}
        return differences(self.about.features, cells, reference or {}, confidence, min_group)

    def frame(self, confidence: float = 0.95) -> pd.DataFrame:
        """The columns of :meth:`by_group`; all rows first, as the group ``all`` of ``all``."""
        whole = {(ALL, ALL): self._cell(ALL, ALL)}
        cells = whole | {cell: self.cells[cell] for cell in self._group_cells()}
        return means_by_group(self.about.features, cells, confidence)

    def explanation(self) -> Explanation:
        """The sampled rows, in the order of their hashes, as an :class:`Explanation`.

        Its predictions are base + Σ attributions, which :attr:`largest_residual` compares
        with the model's own for every row: a model's answer can differ in its last bits
        with the rows that it is asked about together.

        Raises:
            InputError: no row was explained.
        """
        if not self.rows:
            raise InputError("no row was explained; expected at least one")
        p = len(self.about.features)
        frame = self.sample.uniform()
        values = frame.iloc[:, p:].to_numpy(dtype=np.float64)
        data = pd.DataFrame(
            {
                name: _as_given(frame.iloc[:, j], self.dtypes[j])
                for j, name in enumerate(self.about.features)
            }
        )
        if any(self.sample.ids):
            data.index = pd.Index(self.sample.ids)
        base = np.full(len(values), self.about.base)
        note = (
            f"of {self.rows:,} explained rows these are the {len(values):,} with the smallest "
            f"seeded hashes"
        )
        return Explanation(
            values=values,
            base_values=base,
            data=data,
            method="shap",
            algorithm=self.about.algorithm,
            exact=self.about.exact,
            scale=self.about.scale,
            output=self.about.output,
            predictions=base + values.sum(axis=1),
            background_digest=self.about.background_digest,
            background_size=self.about.background_size,
            random_state=self.about.random_state,
            seconds=0.0,
            notes=(*self.about.notes, note),
        )

    def to_shap(self) -> Any:
        """The sampled rows as a ``shap.Explanation``, for ``shap.plots.beeswarm``."""
        return self.explanation().to_shap()

    def chart(
        self,
        kind: ChartKind = "global",
        *,
        feature: str | None = None,
        by: str | None = None,
    ) -> Chart:
        """One view: ``"global"`` (bars, of all rows), ``"beeswarm"`` or ``"dependence"``.

        Points are those of the sampled rows; the order of the features and the number of
        cases are those of all rows. ``feature`` and ``by`` are for ``dependence``.

        Raises:
            InputError: no row was explained, or what :meth:`Explanation.chart` refuses.
        """
        whole = WholeData(self.rows, self.global_importance())
        return draw(self.explanation(), row=None, kind=kind, feature=feature, by=by, whole=whole)

    def plot(
        self, kind: ChartKind = "global", *, feature: str | None = None, by: str | None = None
    ) -> Any:
        """The chart as a plotly figure."""
        from hitl_audit.charts import to_plotly

        return to_plotly(self.chart(kind, feature=feature, by=by))

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of all of it but the files: equal for any division of the rows."""
        p = len(self.about.features)
        frame = self.sample.uniform() if len(self.sample) else pd.DataFrame()
        return digest(
            {
                "format": "hitl-audit/attribution-sums/v1",
                "about": self.about,
                "rows": self.rows,
                "left_out": self.left_out,
                "residual": str(self.residual),
                "cells": [
                    [attribute, group, sums.n, *sums.texts()]
                    for (attribute, group), sums in sorted(self.cells.items())
                ],
                "sample": [str(priority) for priority in self.sample.priority],
                "ids": list(self.sample.ids),
                "data": digest_frame(frame.iloc[:, :p]),
                "values": digest_frame(frame.iloc[:, p:]),
            }
        )

    def _cell(self, attribute: str, group: str) -> GroupSums:
        return self.cells.get((attribute, group), GroupSums.none(len(self.about.features)))

    def _group_cells(self) -> Sequence[tuple[str, str]]:
        """Attributes in their order, groups sorted."""
        return [
            cell for name in self.groups for cell in sorted(c for c in self.cells if c[0] == name)
        ]

    def __repr__(self) -> str:
        return (
            f"<AttributionSums {self.about.algorithm}: {self.rows:,} rows × "
            f"{len(self.about.features)} features, {self.about.output_words}, background "
            f"{self.about.background_size} rows>"
        )

    def _repr_html_(self) -> str:
        from html import escape

        top = self.global_importance().head(5)
        table = top.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"<p>{escape(repr(self)[1:-1])}</p>{table}"


def no_sums(
    about: Explained, *, groups: Sequence[str], sample_size: int, dtypes: Sequence[Any]
) -> AttributionSums:
    """The zero: the sums of no rows."""
    return AttributionSums(
        about=about,
        rows=0,
        left_out=0,
        residual=0,
        cells={},
        groups={name: GroupNames(frozenset(), 0, said_unknown=False) for name in groups},
        sample=no_sample(sample_size),
        dtypes=tuple(dtypes),
    )


def check_groups(name: str, names: GroupNames) -> GroupNames:
    """The same groups of a sensitive attribute, if an audit can tell them apart.

    Raises:
        InputError: too many, or missing values beside a group called ``unknown``.
    """
    if not names.few:
        known = "more than 1,000" if names.names is None else str(len(names.names))
        raise too_many_groups(name, known)
    if names.missing and names.said_unknown:
        raise InputError(
            f'sensitive attribute "{name}" is missing in {names.missing} rows and has a group '
            f'called "{UNKNOWN}", which is what the missing values are called; accepted: another '
            f"name for that group"
        )
    return names


def _as_given(column: pd.Series, dtype: Any) -> pd.Series:
    """A column of the sample in the type that the background has, categories included."""
    if isinstance(dtype, pd.CategoricalDtype):
        known = list(dtype.categories)
        seen = column.dropna().unique().tolist()
        unseen = sorted((v for v in seen if v not in dtype.categories), key=str)
        return column.astype(pd.CategoricalDtype([*known, *unseen], ordered=dtype.ordered))
    return column
