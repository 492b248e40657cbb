"""How far several reviewers agree: every usual coefficient side by side, with intervals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.review.agreement_coefficients import pair_weights
from hitl_audit.review.agreement_measuring import (
    MIN_UNITS,
    Asked,
    measure_coefficients,
    measure_prevalence,
)
from hitl_audit.review.agreement_ratings import Label, Ratings, read_ratings
from hitl_audit.review.agreement_result import Agreement
from hitl_audit.review.agreement_words import Measured, caveat, summary

__all__ = ["LEVELS", "WEIGHTS", "agreement", "check_options"]

FloatArray = npt.NDArray[np.float64]

LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("identity", "linear", "quadratic")

_SEED_BOUND = 2**32


def agreement(
    ratings: pd.DataFrame,
    *,
    level: str = "nominal",
    weights: str | npt.ArrayLike | None = None,
    categories: Sequence[Label] | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Agreement:
    """Measure how far raters agree, by every usual coefficient.

    No coefficient is right for all data: they differ in what they expect by
    chance, and where one category is frequent they differ much (the kappa
    paradox: Feinstein and Cicchetti, J Clin Epidemiol 43 (1990), 543-549).
    Each comes with what it expects, with an interval, and with what it says in
    words, together with how often each category was given.

    Units are taken as a random sample, raters as fixed. Intervals: Gwet's
    linearised variance (*Handbook of Inter-Rater Reliability*, 2014) and for
    Cohen's kappa that of Fleiss, Cohen and Everitt (Psychol Bull 72 (1969),
    323-327), with t quantiles; for ordinal alpha the percentiles of a bootstrap
    over units. Where that variance is 0 (all units agree alike), Wilson's
    interval of the observed agreement of as many units, with the expected
    agreement held. Too little data for a coefficient is said instead of a value.

    Args:
        ratings: units (index) × raters (columns); text, numbers or truth
            values; missing (``None``, NaN) where a rater did not rate a unit.
        level: of measurement, for Krippendorff's alpha: ``"nominal"``,
            ``"ordinal"`` (ordered categories), ``"interval"`` or ``"ratio"``
            (numbers, with a true zero).
        weights: credit for near misses in the *weighted* coefficients:
            ``"identity"`` (none), ``"linear"``, ``"quadratic"``, or a symmetric
            (q, q) matrix in the order of the categories, 1 on the diagonal.
            Distances are those of the numbers at level interval and ratio,
            else of the places in order. Default: identity at level nominal,
            quadratic at the others.
        categories: every rating that could be given, in order; see
            :func:`~hitl_audit.review.agreement_ratings.read_ratings`. Categories
            that nobody used count for Brennan-Prediger and Gwet.
        confidence: of the intervals.
        random_state: the seed of the bootstrap.

    Raises:
        InputError: ratings, weights or an option that cannot be used.
    """
    if level not in LEVELS:
        raise InputError(
            f'agreement: level is "{level}"; accepted: {", ".join(LEVELS)}'
            f"{did_you_mean(str(level), LEVELS)}"
        )
    check_options(confidence, random_state)
    table = read_ratings(ratings, categories=categories)
    name, matrix = _weights(weights, level, table)
    raters = (table.codes >= 0).any(axis=0)
    rated = (table.codes >= 0).sum(axis=1)
    asked = Asked(
        table=table,
        codes=np.ascontiguousarray(table.codes[rated > 0][:, raters]),
        counts=table.counts[rated > 0],
        level=level,
        weights=name,
        matrix=matrix,
        confidence=confidence,
        random_state=random_state,
    )
    prevalence = measure_prevalence(asked)
    measured = measure_coefficients(asked)
    frequent = max(prevalence, key=lambda p: p.count, default=None)
    top = (str(frequent.category), frequent.count / frequent.n) if frequent and frequent.n else None
    # In words, a kappa is read beside AC1: that AC1 is known first.
    ac1 = next(c.value for c in measured if c.name == "Gwet's AC1")
    coefficients = tuple(
        replace(c, reading=f"{c.reading}{caveat(c.name, c.value, ac1, top)}") for c in measured
    )
    return Agreement(
        coefficients=coefficients,
        prevalence=prevalence,
        words=summary(
            {c.name: Measured(c.value, c.low, c.high) for c in coefficients},
            raters=int(raters.sum()),
            paired=int((rated > 1).sum()),
            fewest=MIN_UNITS,
            top=top,
            confidence=confidence,
        ),
        level=level,
        weights=name,
        weight_table=tuple(map(tuple, matrix.tolist()))
        if name == "custom" and matrix is not None
        else (),
        categories=table.categories,
        raters=table.raters,
        units=len(table.units),
        paired_units=int((rated > 1).sum()),
        n_ratings=int(rated.sum()),
        confidence=float(confidence),
        random_state=int(random_state),
    )


def check_options(confidence: float, random_state: int) -> None:
    """Refuse a confidence or a seed that cannot be used.

    Raises:
        InputError: either is out of range.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; accepted: a number between 0 and 1")
    if not isinstance(random_state, int | np.integer) or not 0 <= random_state < _SEED_BOUND:
        raise InputError(f"random_state is {random_state}; accepted: an integer from 0 to 2³² − 1")


def _weights(
    weights: str | npt.ArrayLike | None, level: str, table: Ratings
) -> tuple[str, FloatArray | None]:
    q = len(table.categories)
    if weights is None:
        weights = "identity" if level == "nominal" else "quadratic"
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise InputError(
                f'agreement: weights is "{weights}"; accepted: {", ".join(WEIGHTS)}, or a matrix'
                f"{did_you_mean(weights, WEIGHTS)}"
            )
        if weights == "identity" or not q:
            return weights, np.eye(q)
        if not table.ordered:
            return weights, None
        numbers = level in ("interval", "ratio") and table.numeric
        values = np.array(table.categories if numbers else range(q), dtype=np.float64)
        return weights, pair_weights(weights, values)
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.shape != (q, q):
        raise InputError(
            f"agreement: weights has the shape {matrix.shape}; accepted: ({q}, {q}), "
            f"for the categories {', '.join(map(str, table.categories))}"
        )
    fits = (
        np.isfinite(matrix).all()
        and (matrix == matrix.T).all()
        and (np.diag(matrix) == 1).all()
        and ((matrix >= 0) & (matrix <= 1)).all()
    )
    if not fits:
        raise InputError(
            "agreement: weights must be symmetric, 1 on the diagonal and 0 to 1 elsewhere"
        )
    return "custom", matrix
