"""An explainer that is set up once and then takes batch after batch of raw rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError, did_you_mean
from hitl_audit.explanations.agreement import disagreement, resolution_of
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import ModelOutput, Scale, resolve_output
from hitl_audit.explanations.raw_features import raw_rows
from hitl_audit.explanations.shap_values import ALGORITHMS, Algorithm
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.prepared_batches import (
    PreparedBatches,
    prepare_asking,
    prepare_linear,
    prepare_trees,
    prepare_trees_by_shap,
)
from hitl_audit.explanations.views.asking import check_integers

__all__ = ["ExplainedBatch", "PreparedExplainer", "prepare_explainer"]

FloatArray = npt.NDArray[np.float64]

CHECKED_ROWS = 200
# The kernels of a matrix product treat the last few rows of a batch differently, which shows
# in the last bits of an answer.
_BLOCK = 64
_LEAST_ASKED = 1024


@dataclass(frozen=True, eq=False)
class ExplainedBatch:
    """What was found for n raw rows of p features.

    Attributes:
        values: attributions, (n, p); NaN in a row whose output is not finite.
        predictions: the original model's output, (n,).
        explained: (n,) the rows whose output is finite.
        residual: \\|prediction − base − Σ values\\|, (n,), of log-odds in probabilities; NaN
            where not explained.
    """

    values: FloatArray
    predictions: FloatArray
    explained: npt.NDArray[np.bool_]
    residual: FloatArray


@dataclass(frozen=True, eq=False)
class PreparedExplainer:
    """SHAP values of one output of one model against one background, set up once.

    Attributes:
        output: what is explained.
        background: the raw rows that stand for "feature unknown"; its columns are the features.
        base: the mean output over the background (path-dependent: over the training rows).
        algorithm, exact, notes: as in an ``Explanation``.
    """

    output: ModelOutput
    background: pd.DataFrame
    values: Callable[[pd.DataFrame], FloatArray]
    base: float
    algorithm: str
    exact: bool
    notes: tuple[str, ...]

    def explain(self, rows: pd.DataFrame) -> ExplainedBatch:
        """Attributions of n ≥ 1 raw rows with the background's columns and dtypes.

        A row gets the same bits in whatever batch it comes, if the model's answers do.

        Raises:
            ExplanationError: the model failed, or its output and the attributions disagree.
        """
        predictions = self._answers(rows)
        explained = np.isfinite(predictions)
        values = np.full((len(rows), rows.shape[1]), np.nan)
        residual = np.full(len(rows), np.nan)
        if explained.any():
            some = rows if explained.all() else rows.loc[explained]
            found, said = self.values(some), predictions[explained]
            base = np.full(len(said), self.base)
            wrong = disagreement(
                found,
                base,
                said,
                resolution_of(self.output, some, said, base=base, values=found),
                mean_output=None,
            )
            if wrong is not None:
                raise ExplanationError(f'"{self.algorithm}" does not agree with the model: {wrong}')
            values[explained] = found
            residual[explained] = self._missed(said, base + found.sum(axis=1))
        return ExplainedBatch(values, predictions, explained, residual)

    def _answers(self, rows: pd.DataFrame) -> FloatArray:
        """The model's outputs, asked for in whole blocks of rows."""
        n = len(rows)
        padded = max(_LEAST_ASKED, -(-n // _BLOCK) * _BLOCK)
        if padded > n:
            rows = rows.take(np.arange(padded) % n).reset_index(drop=True)
        return self.output.unchecked(rows)[:n]

    def _missed(self, said: FloatArray, found: FloatArray) -> FloatArray:
        if self.output.scale == "log-odds":
            # Near 0 and 1 the last bit of a probability is much of its log-odds.
            said, found = 1 / (1 + np.exp(-said)), 1 / (1 + np.exp(-found))
        return np.abs(said - found)


def prepare_explainer(
    model: Any,
    background: Any,
    *,
    output: Any = None,
    scale: Scale | None = None,
    algorithm: Algorithm = "auto",
    random_state: int = 0,
    n_permutations: int = 10,
    threads: int = 1,
) -> PreparedExplainer:
    """Set up SHAP values of one output; the arguments are those of ``explain``.

    ``"auto"`` takes the fastest path that agrees with the model on the background rows, but
    none that asks the model again and again for every row: that has to be asked for by name.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed, or no such path agrees with it.
    """
    if algorithm not in ALGORITHMS:
        raise InputError(
            f"algorithm is {algorithm!r}; accepted: {', '.join(ALGORITHMS)}"
            f"{did_you_mean(str(algorithm), ALGORITHMS)}"
        )
    check_integers(
        random_state=(random_state, 0), n_permutations=(n_permutations, 1), threads=(threads, 1)
    )
    behind, as_array = raw_rows(model, background)
    what = resolve_output(model, output=output, scale=scale, as_array=as_array, rows=behind)
    mean_output = float(what(behind).mean())
    notes: list[str] = []
    encoding: Encoding | None = None
    try:
        encoding = read_encoding(model, behind, as_array=as_array)
    except ExplanationError as error:
        notes.append(str(error))
    probe = behind.iloc[:CHECKED_ROWS]
    for name in _order(algorithm):
        for prepare in _paths(name, what, behind, encoding, random_state, n_permutations, threads):
            try:
                found = prepare()
                one = PreparedExplainer(
                    what,
                    behind,
                    _as_error(found.of),
                    found.base,
                    found.algorithm,
                    found.exact,
                    found.notes,
                )
                one.explain(probe)
                _check_base(one, mean_output, probe)
            except (NotApplicableError, ExplanationError) as error:
                notes.append(str(error))
                continue
            return one
    said = "; ".join(dict.fromkeys(notes))
    if algorithm != "auto":
        raise ExplanationError(f'algorithm "{algorithm}" cannot be used: {said}')
    raise ExplanationError(
        f"no fast path explains this model ({said}); to ask the model about every row again and "
        f'again, name the algorithm: "permutation", "exact" or "kernel"'
    )


def _order(algorithm: Algorithm) -> tuple[Algorithm, ...]:
    return ("linear", "tree-interventional") if algorithm == "auto" else (algorithm,)


def _paths(
    name: Algorithm,
    output: ModelOutput,
    background: pd.DataFrame,
    encoding: Encoding | None,
    random_state: int,
    n_permutations: int,
    threads: int,
) -> list[Callable[[], PreparedBatches]]:
    if name in ("permutation", "exact", "kernel"):
        return [
            lambda: prepare_asking(
                name,
                output,
                background,
                random_state=random_state,
                n_permutations=n_permutations,
            )
        ]
    if encoding is None:
        return []
    known = encoding
    if name == "linear":
        return [lambda: prepare_linear(output, known, background)]
    behind = background if name == "tree-interventional" else None
    why: list[str] = []

    def by_kernel() -> PreparedBatches:
        try:
            return prepare_trees(output, known, behind, threads=threads)
        except NotApplicableError as error:
            why.append(str(error))
            raise

    return [
        by_kernel,
        lambda: prepare_trees_by_shap(
            output,
            known,
            behind,
            probe=background.iloc[:CHECKED_ROWS],
            because="; ".join(why),
        ),
    ]


def _as_error(of: Callable[[pd.DataFrame], FloatArray]) -> Callable[[pd.DataFrame], FloatArray]:
    def values(rows: pd.DataFrame) -> FloatArray:
        try:
            return of(rows)
        except NotApplicableError as error:
            raise ExplanationError(str(error)) from error

    return values


def _check_base(explainer: PreparedExplainer, mean_output: float, probe: pd.DataFrame) -> None:
    if "path" in explainer.algorithm:
        return  # its base is the mean over the training rows
    base, said = np.full(len(probe), explainer.base), explainer.output(probe)
    none = np.zeros(probe.shape)
    accepted = resolution_of(explainer.output, probe, said, base=base, values=none).max()
    off = abs(explainer.base - mean_output)
    if off > accepted:
        raise ExplanationError(
            f'"{explainer.algorithm}" was refused: its base misses the mean output over the '
            f"background by {off:.2g}"
        )
