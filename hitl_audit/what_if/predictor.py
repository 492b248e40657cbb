"""The audited model's answer to one row, at once: proven equal first, or else the model itself."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import ExplanationError, InputError
from hitl_audit.explanations.encoding import Encoding, read_encoding
from hitl_audit.explanations.model_output import ModelOutput
from hitl_audit.explanations.shapley.attribution import NotApplicableError
from hitl_audit.explanations.shapley.linear_values import coefficients
from hitl_audit.explanations.shapley.tree_ensemble import TreeEnsemble, read_trees
from hitl_audit.explanations.shapley.tree_values import fitting_scale
from hitl_audit.what_if.population import Population
from hitl_audit.what_if.row_encoder import NotArithmeticError, RowEncoder

__all__ = ["EQUAL", "Predictor", "prepare_predictor"]

FloatArray = npt.NDArray[np.float64]

EQUAL = 1e-12
"""Predictions that differ by more than this are not the audited model's."""

_CHECKED_ROWS = 200
_CHECKED_EDITS = 200
_CLOSE = 1e-9  # to the threshold: there the model itself decides
_ROWS_PER_CALL = 50_000


@dataclass(frozen=True, eq=False)
class Predictor:
    """Codes of rows → scores of the audited model.

    Attributes:
        output: the audited model's output, the reference.
        population: codes as raw rows, for the model itself.
        encoder: codes as the final estimator's columns, where they are proven equal.
        encoding: the fitted preprocessing; ``None`` where it cannot be read.
        trees: the model's trees, where it has some.
        threshold: a decision is favorable iff score ≥ threshold; ``None``: no decision.
        path: ``"trees"``, ``"coefficients"``, ``"final estimator"`` or ``"the model itself"``.
        largest_difference: from the model itself, over the rows it was compared on.
        words: how predictions are made, for people.
        why: why they are not made faster; ``""`` on a fast path.
        fast: what is asked on the fast paths, of the estimator's columns.
    """

    output: ModelOutput
    population: Population
    threshold: float | None
    encoder: RowEncoder | None = None
    encoding: Encoding | None = None
    trees: TreeEnsemble | None = None
    path: str = "the model itself"
    largest_difference: float = 0.0
    words: str = ""
    why: str = ""
    fast: Callable[[FloatArray], FloatArray] | None = None

    def __call__(self, codes: FloatArray) -> FloatArray:
        """Scores of rows of codes, (n, p) → (n,).

        A score so close to the threshold that rounding could decide is the model's own.
        """
        scores = self.quick(codes)
        if self.fast is not None and self.threshold is not None:
            close = np.flatnonzero(np.abs(scores - self.threshold) <= _CLOSE)
            if len(close):
                scores[close] = self.ask_model(codes[close])
        return scores

    def quick(self, codes: FloatArray) -> FloatArray:
        """The same, but next to the threshold equal to the model only up to rounding."""
        if self.fast is None or self.encoder is None:
            return self.ask_model(codes)
        return self.fast(self.encoder(codes))

    def ask_model(self, codes: FloatArray) -> FloatArray:
        """The same by the original model, as the audit asks it.

        Raises:
            InputError: the model failed.
        """
        parts = []
        for start in range(0, len(codes), _ROWS_PER_CALL):
            frame = self.population.frame(codes[start : start + _ROWS_PER_CALL])
            try:
                with one_thread():
                    parts.append(self.output(frame))
            except ExplanationError as error:
                raise InputError(str(error)) from error
        return np.concatenate(parts) if parts else np.empty(0)

    def favorable(self, scores: FloatArray) -> npt.NDArray[np.bool_]:
        """Which scores mean a favorable decision.

        Raises:
            InputError: there is no threshold, so there are no decisions.
        """
        if self.threshold is None:
            raise InputError("threshold is None, so the model's values mean no decision")
        return np.asarray(scores >= self.threshold)


def prepare_predictor(
    output: ModelOutput,
    population: Population,
    trial: FloatArray,
    *,
    threshold: float | None,
) -> Predictor:
    """Take the fastest way to predict that is proven equal to the model.

    Every way is compared with the model itself on real rows and on ``trial``
    (edited rows, (n, p)): the columns bit by bit, the scores to 1e-12.

    Raises:
        InputError: the model failed on a real row.
    """
    plain = Predictor(output, population, threshold)
    real, edited = population.codes[:_CHECKED_ROWS], trial[:_CHECKED_EDITS]
    known = plain.ask_model(real)
    try:
        encoding = read_encoding(output.model, population.frame(real), as_array=output.as_array)
        checked = np.vstack([real, edited])
        encoder = _equal_encoder(encoding, population, checked)
        # A model that refuses some edits must be asked itself: only it knows which.
        known = np.concatenate([known, plain.ask_model(edited)])
        return _proven(plain, encoding, encoder, checked, known)
    except (ExplanationError, InputError, NotArithmeticError) as error:
        why = str(error)
    return replace(plain, words=f"predicted by asking the model itself, because {why}", why=why)


def _proven(
    plain: Predictor,
    encoding: Encoding,
    encoder: RowEncoder,
    checked: FloatArray,
    known: FloatArray,
) -> Predictor:
    """The first way whose scores, row by row and all at once, are the known ones.

    Raises:
        NotArithmeticError: there is none; the message says why.
    """
    columns, trees = encoder(checked), None
    why = ""
    for path, make in _ways(plain.output, encoding):
        try:
            fast, trees_read = make()
            trees = trees or trees_read
            one_by_one = np.concatenate([fast(row[np.newaxis]) for row in columns])
            found = np.maximum(np.abs(fast(columns) - known), np.abs(one_by_one - known))
        except (ExplanationError, NotApplicableError, ValueError, TypeError) as error:
            why = f"the {path} cannot be used ({error})"
            continue
        worst = float(found.max(initial=0.0))
        if worst <= EQUAL:
            return replace(
                plain,
                encoder=encoder,
                encoding=encoding,
                trees=trees,
                path=path,
                largest_difference=worst,
                words=(
                    f"predicted from the {path} of the audited model; compared with the model "
                    f"itself on {len(checked):,} rows, largest difference {worst:.1g}"
                ),
                fast=fast,
            )
        why = f"the {path} alone gives other scores than the model (by up to {worst:.1g})"
    raise NotArithmeticError(why)


def _equal_encoder(encoding: Encoding, population: Population, checked: FloatArray) -> RowEncoder:
    encoder = RowEncoder.of(encoding, population)
    try:
        truth = encoding.transform(population.frame(checked))
    except ValueError as error:
        raise NotArithmeticError(f"the preprocessing refuses an edited row ({error})") from error
    one_by_one = np.vstack([encoder(row[np.newaxis]) for row in checked])
    if not (_same_bits(one_by_one, truth) and _same_bits(encoder(checked), truth)):
        raise NotArithmeticError("the preprocessing, repeated by arithmetic, gave other columns")
    return encoder


def _same_bits(a: FloatArray, b: FloatArray) -> bool:
    # -0.0 and 0.0 are one number to every model; a missing value is itself.
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=True))


Way = Callable[[], tuple[Callable[[FloatArray], FloatArray], TreeEnsemble | None]]


def _ways(output: ModelOutput, encoding: Encoding) -> Iterator[tuple[str, Way]]:
    yield "coefficients", lambda: (_by_coefficients(output, encoding), None)
    yield "trees", lambda: _by_trees(output, encoding)
    yield "final estimator", lambda: (_by_estimator(output, encoding), None)


def _by_coefficients(output: ModelOutput, encoding: Encoding) -> Callable[[FloatArray], FloatArray]:
    from scipy.special import expit

    weights, intercept = coefficients(output, encoding)
    logistic = output.scale == "probability"

    def fast(columns: FloatArray) -> FloatArray:
        z = columns @ weights + intercept
        return np.asarray(expit(z) if logistic else z, dtype=np.float64)

    return fast


def _by_trees(
    output: ModelOutput, encoding: Encoding
) -> tuple[Callable[[FloatArray], FloatArray], TreeEnsemble]:
    from scipy.special import expit

    trees = read_trees(encoding.estimator)
    column, rescaled, mirrored = fitting_scale(trees, output)

    def fast(columns: FloatArray) -> FloatArray:
        found = trees.predict(columns)[:, column]
        if rescaled:
            return np.asarray(expit(-found if mirrored else found), dtype=np.float64)
        if mirrored:
            return np.asarray((1.0 if output.scale == "probability" else 0.0) - found)
        return np.ascontiguousarray(found)

    return fast, trees


def _by_estimator(output: ModelOutput, encoding: Encoding) -> Callable[[FloatArray], FloatArray]:
    estimator = encoding.estimator
    if getattr(estimator, "n_jobs", None) not in (None, 1):
        # A pool of threads costs more than one row's prediction.
        estimator = copy.copy(estimator)
        estimator.n_jobs = 1
    final: Any = estimator
    direct = ModelOutput(final, output.label, output.position, output.scale, True)

    def fast(columns: FloatArray) -> FloatArray:
        with one_thread(), warnings.catch_warnings():
            # It was fitted on named columns, perhaps; these are the same ones.
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            return direct(pd.DataFrame(columns))

    return fast


@contextmanager
def one_thread() -> Iterator[None]:
    """Small calls on one thread: waking others costs more than they do."""
    with _controller().limit(limits=1):
        yield


def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    global _CONTROLLER
    if _CONTROLLER is None:
        _CONTROLLER = ThreadpoolController()
    return _CONTROLLER


_CONTROLLER: Any = None
