"""How far several reviewers agree: every usual coefficient side by side, with intervals. Pure."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.intervals import Count, scaled_interval
from hitl_audit.review import agreement_coefficients as formulas
from hitl_audit.review.agreement_coefficients import Estimate
from hitl_audit.review.agreement_ratings import Label, Ratings, read_ratings
from hitl_audit.review.agreement_words import Measured, caveat, reading, summary

__all__ = [
    "LEVELS",
    "MIN_UNITS",
    "N_BOOT",
    "WEIGHTS",
    "Agreement",
    "Coefficient",
    "Prevalence",
    "agreement",
]

FloatArray = npt.NDArray[np.float64]

LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("identity", "linear", "quadratic")

MIN_UNITS = 10
"""With fewer units that two people rated, no coefficient is estimated."""

N_BOOT = 1000
"""Resamples of the units, for ordinal alpha."""

_SEED_BOUND = 2**32


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of agreement.

    Attributes:
        name: of the coefficient.
        value: 1 for perfect agreement, 0 for no more than expected by chance
            (for raw agreement: for none); ``None`` unless estimated.
        low, high: its interval; ``None`` where there is none.
        observed, expected: agreement in the units, and by chance under the
            model of this coefficient.
        n_units: units with two ratings or more that it rests on.
        n_raters, n_ratings: raters and ratings of these units.
        method: of the interval.
        status: ``"estimated"``, ``"insufficient data"``, ``"not defined"`` for
            these ratings, or ``"not asked for"``.
        reading: what the value says, or why there is none.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    observed: float | None
    expected: float | None
    n_units: int
    n_raters: int
    n_ratings: int
    method: str
    status: str
    reading: str


@dataclass(frozen=True)
class Prevalence:
    """How often one category was given.

    Attributes:
        category: the rating.
        count, n: ratings of this category, of all ratings.
        value, low, high: the share, with the Wilson interval of as many
            independent ratings as there are units (ratings of one unit are
            not independent); ``None`` when there are too few units.
        status: ``"estimated"`` or ``"insufficient data"``.
    """

    category: Label
    count: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    status: str


@dataclass(frozen=True)
class Agreement:
    """How far raters agree.

    Attributes:
        coefficients: always the same ones, in the same order.
        prevalence: of every category, in order.
        words: the summary in a few sentences.
        level: of measurement, for alpha.
        weights: of the weighted coefficients; ``"custom"`` for a matrix.
        weight_table: (q, q) the custom matrix, or ().
        categories: (q,) the possible ratings, in order.
        raters: their names.
        units, paired_units: units in the table, and those with two ratings or more.
        n_ratings: ratings in the table.
        confidence: of the intervals.
        random_state: the seed of the bootstrap.
    """

    coefficients: tuple[Coefficient, ...]
    prevalence: tuple[Prevalence, ...]
    words: str
    level: str
    weights: str
    weight_table: tuple[tuple[float, ...], ...]
    categories: tuple[Label, ...]
    raters: tuple[str, ...]
    units: int
    paired_units: int
    n_ratings: int
    confidence: float
    random_state: int

    def coefficient(self, name: str) -> Coefficient:
        """One coefficient by its name.

        Raises:
            InputError: an unknown name.
        """
        for found in self.coefficients:
            if found.name == name:
                return found
        names = [c.name for c in self.coefficients]
        raise InputError(
            f'agreement: coefficient is "{name}"; accepted: {", ".join(names)}'
            f"{did_you_mean(name, names)}"
        )

    def frame(self) -> pd.DataFrame:
        """One row per coefficient; see :class:`Coefficient`."""
        columns = [
            "coefficient",
            "value",
            "low",
            "high",
            "n_units",
            "n_raters",
            "n_ratings",
            "observed",
            "expected",
            "method",
            "status",
            "reading",
        ]
        rows = [
            [c.name if key == "coefficient" else getattr(c, key) for key in columns]
            for c in self.coefficients
        ]
        frame = pd.DataFrame(rows, columns=columns)
        numbers = ["value", "low", "high", "observed", "expected"]
        return frame.astype(dict.fromkeys(numbers, np.float64))

    def prevalence_frame(self) -> pd.DataFrame:
        """One row per category; see :class:`Prevalence`."""
        columns = ["category", "count", "n", "value", "low", "high", "status"]
        rows = [[getattr(p, key) for key in columns] for p in self.prevalence]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.astype(dict.fromkeys(["value", "low", "high"], np.float64))

    def chart(self) -> Chart:
        """Every estimated coefficient with its interval."""
        shown = [c for c in self.coefficients if c.value is not None]
        return Chart(
            kind="intervals",
            message=self.words,
            alt="; ".join(f"{c.name} {c.value:.2f}" for c in shown) or "no coefficient estimated",
            value_label="agreement (1: perfect; 0: no more than by chance)",
            series=(
                Series(
                    name="agreement",
                    x=tuple(c.name for c in shown),
                    y=tuple(c.value for c in shown),
                    low=tuple(c.low for c in shown),
                    high=tuple(c.high for c in shown),
                    notes=tuple(f"{c.n_units} units, {c.n_raters} raters" for c in shown),
                ),
            ),
            thresholds=((0.0, "as by chance"),),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def _repr_html_(self) -> str:
        table = self.frame().to_html(float_format="{:.3f}".format, na_rep="–", index=False)
        return f"<p>{html.escape(self.words)}</p>{table}"


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
    agreement held.

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
    asked = _Asked(
        table=table,
        codes=np.ascontiguousarray(table.codes[rated > 0][:, raters]),
        counts=table.counts[rated > 0],
        level=level,
        weights=name,
        matrix=matrix,
        confidence=confidence,
        random_state=random_state,
    )
    prevalence = _prevalence(asked)
    measured = [_coefficient(asked, *one) for one in _COEFFICIENTS]
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


@dataclass(frozen=True, eq=False)
class _Asked:
    """The rated units and what is to be measured on them."""

    table: Ratings
    codes: npt.NDArray[np.int64]  # units with a rating × raters with a rating
    counts: FloatArray
    level: str
    weights: str
    matrix: FloatArray | None  # None: weights need an order, and there is none
    confidence: float
    random_state: int

    @property
    def identity(self) -> FloatArray:
        return np.eye(len(self.table.categories))


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
        return weights, formulas.pair_weights(weights, values)
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


def _prevalence(asked: _Asked) -> tuple[Prevalence, ...]:
    total, units = int(asked.counts.sum()), len(asked.counts)
    found = []
    for category, number in zip(asked.table.categories, asked.counts.sum(axis=0), strict=True):
        count = int(number)
        if units < MIN_UNITS:
            status: tuple[float | None, float | None, float | None, str]
            status = (None, None, None, "insufficient data")
        else:
            share = Count(count, total)
            low, high = _wilson(share, units / total, asked.confidence)
            status = (count / total, low, high, "estimated")
        found.append(Prevalence(category, count, total, *status))
    return tuple(found)


def _wilson(count: Count, factor: float, confidence: float) -> tuple[float, float]:
    interval = scaled_interval("Wilson", count, None, confidence=confidence, factor=factor)
    assert interval is not None  # there are ratings  # noqa: S101
    return interval


def _coefficient(
    asked: _Asked, name: str, measure: Callable[[_Asked], Estimate], needs: tuple[str, ...]
) -> Coefficient:
    if "two raters" in needs and asked.codes.shape[1] == 2:
        both = (asked.codes >= 0).all(axis=1)
        asked = replace(asked, codes=asked.codes[both], counts=asked.counts[both])
    paired = asked.counts.sum(axis=1) > 1
    units, raters = int(paired.sum()), asked.codes.shape[1]
    ratings = int(asked.counts[paired].sum())

    def without(status: str, why: str) -> Coefficient:
        none = (None,) * 5
        return Coefficient(name, *none, units, raters, ratings, "", status, why)

    refused = _refusal(asked, name, needs, units)
    if refused:
        return without(*refused)
    estimate = measure(asked)
    if estimate.value is None:
        return without(
            "not defined",
            "Only one category is known and used, so that agreement cannot be told from chance.",
        )
    low, high, method = _interval(asked, name, estimate, units)
    return Coefficient(
        name=name,
        value=estimate.value,
        low=low,
        high=high,
        observed=estimate.observed,
        expected=estimate.expected,
        n_units=units,
        n_raters=raters,
        n_ratings=ratings,
        method=method,
        status="estimated",
        reading=reading(
            name,
            Measured(estimate.value, low, high),
            estimate.observed,
            estimate.expected,
            level=asked.level,
            raters=raters,
            confidence=asked.confidence,
        ),
    )


def _refusal(
    asked: _Asked, name: str, needs: tuple[str, ...], units: int
) -> tuple[str, str] | None:
    """The status and the reason why a coefficient is not measured."""
    raters, table = asked.codes.shape[1], asked.table
    if raters == 0:
        return "insufficient data", "No ratings."
    if raters == 1:
        return "not defined", "One rater only; agreement is between two."
    if "two raters" in needs and raters != 2:
        return "not defined", (
            f"For two raters; here are {raters}. "
            "Fleiss' and Conger's kappa, alpha and AC1 are for any number."
        )
    if "weights" in needs:
        if asked.weights == "identity":
            return "not asked for", "No weights: a near miss counts as a miss."
        if asked.matrix is None:
            return "not defined", _NO_ORDER
    if "level" in needs:
        if asked.level == "ordinal" and not table.ordered:
            return "not defined", _NO_ORDER
        if asked.level in ("interval", "ratio") and not table.numeric:
            return "not defined", f"Level {asked.level} is for numbers, and the ratings are none."
        if asked.level == "ratio" and min(map(float, table.categories)) < 0:
            return "not defined", "Level ratio is for numbers from 0 on, and some are negative."
    if units < MIN_UNITS:
        whose = "both raters" if "two raters" in needs else "two raters or more"
        return "insufficient data", (
            f"{units} units were rated by {whose}; at least {MIN_UNITS} are needed."
        )
    return None


_NO_ORDER = (
    "Text has no order of its own: give categories in their order, or an ordered categorical."
)


def _interval(
    asked: _Asked, name: str, found: Estimate, units: int
) -> tuple[float | None, float | None, str]:
    assert found.value is not None  # noqa: S101
    floor = 0.0 if found.expected == 0 else -1.0
    if found.error is None and found.observed < 1:
        return _percentiles(asked)
    if not found.error:
        n = 1_000_000
        share = Count(round(min(1.0, found.observed) * n), n)
        bounds = _wilson(share, units / n, asked.confidence)
        low, high = ((b - found.expected) / (1 - found.expected) for b in bounds)
        return max(floor, low), min(1.0, high), "Wilson on the observed agreement"
    from scipy.stats import t

    freedom = found.units - 1
    reach = float(t.ppf((1 + asked.confidence) / 2, freedom)) * found.error
    source = "Fleiss-Cohen-Everitt" if name in _FLEISS_COHEN_EVERITT else "Gwet, linearised"
    if name == "weighted kappa" and asked.codes.shape[1] == 2:
        source = "Fleiss-Cohen-Everitt"
    low, high = max(floor, found.value - reach), min(1.0, found.value + reach)
    return low, high, f"{source}, t with {freedom} degrees of freedom"


def _percentiles(asked: _Asked) -> tuple[float | None, float | None, str]:
    drawn = formulas.ordinal_replicates(asked.counts, N_BOOT, asked.random_state)
    drawn = drawn[np.isfinite(drawn)]
    lost = N_BOOT - len(drawn)
    method = f"bootstrap over units, percentiles of {N_BOOT}"
    if lost:
        method += f" ({lost} with a single category left out)"
    if 2 * lost > N_BOOT:
        return None, None, method
    tail = (1 - asked.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high), method


def _alpha(asked: _Asked) -> Estimate:
    if asked.level == "ordinal":
        return formulas.ordinal_alpha(asked.counts)
    categories = asked.table.categories
    values = np.array(categories if asked.level != "nominal" else range(len(categories)), float)
    return formulas.alpha(asked.counts, formulas.alpha_weights(asked.level, values))


def _weighted_kappa(asked: _Asked) -> Estimate:
    if asked.codes.shape[1] != 2:
        return formulas.conger(asked.codes, _matrix(asked))
    both = (asked.codes >= 0).all(axis=1)
    return formulas.conger(asked.codes[both], _matrix(asked), divisor=0)


def _matrix(asked: _Asked) -> FloatArray:
    assert asked.matrix is not None  # refused before  # noqa: S101
    return asked.matrix


_FLEISS_COHEN_EVERITT = frozenset({"Cohen's kappa"})

_COEFFICIENTS: tuple[tuple[str, Callable[[_Asked], Estimate], tuple[str, ...]], ...] = (
    ("raw agreement", lambda a: formulas.observed_agreement(a.counts, a.identity), ()),
    (
        "weighted agreement",
        lambda a: formulas.observed_agreement(a.counts, _matrix(a)),
        ("weights",),
    ),
    ("Krippendorff's alpha", _alpha, ("level",)),
    (
        "Cohen's kappa",
        lambda a: formulas.conger(a.codes, a.identity, divisor=0),
        ("two raters",),
    ),
    ("weighted kappa", _weighted_kappa, ("weights",)),
    ("Scott's pi", lambda a: formulas.fleiss(a.counts, a.identity), ("two raters",)),
    ("Fleiss' kappa", lambda a: formulas.fleiss(a.counts, a.identity), ()),
    ("Conger's kappa", lambda a: formulas.conger(a.codes, a.identity), ()),
    ("Brennan-Prediger", lambda a: formulas.brennan_prediger(a.counts, a.identity), ()),
    ("Gwet's AC1", lambda a: formulas.gwet(a.counts, a.identity), ()),
    ("Gwet's AC2", lambda a: formulas.gwet(a.counts, _matrix(a)), ("weights",)),
)
"""Name, formula, and what it needs, in the order in which they are shown."""
