"""A rule that holds a case's decision in place: an anchor, with precision and coverage.

M. T. Ribeiro, S. Singh & C. Guestrin, "Anchors: high-precision model-agnostic
explanations", AAAI 2018. The search is our own: a beam over conditions on raw
features, candidates thinned out by successive halving on common random draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import align, as_frame
from hitl_audit.explanations.views.asking import (
    check_integers,
    check_number,
    check_share,
    notes_html,
    read_subject,
)
from hitl_audit.explanations.views.rule_search import RuleSearch
from hitl_audit.intervals import Count, clopper_pearson, wilson
from hitl_audit.slices.conditions import Condition, described

__all__ = ["Rule", "rule_for_case"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """A rule that a case meets, and how firmly it holds the model's decision.

    Attributes:
        case: the case's label.
        conditions: all must hold; () says the model nearly always decides so.
        decision: what the model says of the case, in words.
        precision: share of ``n_draws`` fresh draws that meet the rule and get
            the same decision, with its Clopper-Pearson interval in
            ``precision_low`` and ``precision_high``. The draws are not those
            the rule was searched on.
        real_agree, real_n: real rows that meet the rule and get the same
            decision, of those that meet it.
        coverage: share of ``n_rows`` real rows that meet the rule, with its
            Wilson interval in ``coverage_low`` and ``coverage_high``.
        base_rate: share of the real rows with the same decision.
        precision_at_least: the bar.
        holds: the lower end of the precision's interval clears the bar.
        confidence: of every interval.
        random_state: seed.
        notes: what a reader must know about this rule.
    """

    case: Hashable
    conditions: tuple[Condition, ...]
    decision: str
    precision: float
    precision_low: float
    precision_high: float
    n_draws: int
    real_agree: int
    real_n: int
    coverage: float
    coverage_low: float
    coverage_high: float
    n_rows: int
    base_rate: float
    precision_at_least: float
    holds: bool
    confidence: float
    random_state: int
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """The rule as a sentence, with its numbers."""
        when = (
            f"When {described(self.conditions)}" if self.conditions else "Whatever the values are"
        )
        numbers = (
            f"in {self.precision:.0%} of draws ({self.precision_low:.1%} to "
            f"{self.precision_high:.1%}, {self.n_draws:,} fresh draws); the rule covers "
            f"{self.coverage:.1%} of {self.n_rows:,} real rows"
        )
        bar = "" if self.holds else (
            f". The lower end does not clear the bar of {self.precision_at_least:.0%}, so it must "
            f"not be read as the reason"
        )  # fmt: skip
        return f"{when}, the model says {self.decision} {numbers}{bar}."

    def frame(self) -> pd.DataFrame:
        """One line per measure: measure, value, low, high, n, interval, meaning."""
        agree = self.real_agree / self.real_n if self.real_n else np.nan
        real = clopper_pearson(Count(self.real_agree, self.real_n), confidence=self.confidence)
        exact = "Clopper-Pearson"
        lines = [
            ("precision", self.precision, self.precision_low, self.precision_high, self.n_draws,
             exact, "share of fresh draws that meet the rule with the same decision"),
            ("precision on real rows", agree, *(real or (np.nan, np.nan)), self.real_n, exact,
             "share of the real rows that meet the rule with the same decision"),
            ("coverage", self.coverage, self.coverage_low, self.coverage_high, self.n_rows,
             "Wilson", "share of real rows that meet the rule"),
            ("base rate", self.base_rate, np.nan, np.nan, self.n_rows, "",
             "share of all real rows with the same decision"),
        ]  # fmt: skip
        columns = ["measure", "value", "low", "high", "n", "interval", "meaning"]
        return pd.DataFrame(lines, columns=columns)

    def chart(self) -> Chart:
        """Precision, on draws and on real rows, and coverage, with their intervals."""
        table = self.frame()

        def seen(name: str) -> tuple[float | None, ...]:
            return tuple(None if np.isnan(v) else float(v) for v in table[name])

        series = Series(
            "share",
            tuple(table["measure"]),
            seen("value"),
            low=seen("low"),
            high=seen("high"),
            notes=tuple(f"n = {n:,}" for n in table["n"]),
        )
        bar = (self.precision_at_least, f"bar {self.precision_at_least:.0%}")
        message = f"Case {self.case}: {self.words}"
        return Chart("intervals", message, message, "share", (series,), thresholds=(bar,),
                     value_range=(0.0, 1.0), percent=True)  # fmt: skip

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return f"<Rule of case {self.case}: {self.words}>"

    def _repr_html_(self) -> str:
        return notes_html(self, self.frame().drop(columns="meaning"), self.notes)


def rule_for_case(
    model: Any,
    X: Any,
    case: Hashable | pd.DataFrame,
    *,
    threshold: float = 0.5,
    decision_words: tuple[str, str] | None = None,
    precision_at_least: float = 0.95,
    max_conditions: int = 4,
    bins: int = 5,
    beam: int = 4,
    n_draws: int = 2000,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> Rule:
    """The shortest rule found that keeps the model's decision on a case, most rows covered.

    Conditions are ranges of numbers (cut at quantiles of X), categories and
    missing values, one per feature. A draw is a row of X in which each
    feature of the rule takes a value of X that meets its condition. The search
    stops at the first length at which a rule clears the bar on the searched
    draws; that rule alone is confirmed on ``n_draws`` fresh ones. When none
    clears it, the most precise one is shown, and ``holds`` says no.

    Args:
        model: as in ``explain``.
        X: real raw rows, a DataFrame or a 2-D array.
        case: a label of X's index, or a DataFrame of one row.
        threshold: an output of at least this is the second decision.
        decision_words: what the model says below, and from, the threshold.
        precision_at_least: the bar for the lower end of the precision's interval.
        max_conditions: longest rule.
        bins: quantile bins per number.
        beam: rules kept per length.
        n_draws: fresh draws for the confirmation, at least 100.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of every interval.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used.
        ExplanationError: the model failed.
    """
    check_integers(
        max_conditions=(max_conditions, 1),
        bins=(bins, 2),
        beam=(beam, 1),
        n_draws=(n_draws, 100),
    )
    check_share("precision_at_least", precision_at_least)
    check_share("confidence", confidence)
    check_number("threshold", threshold)
    if decision_words is not None and (
        isinstance(decision_words, str) or len(tuple(decision_words)) != 2
    ):
        raise InputError(
            f"decision_words is {decision_words!r}; expected two texts, for below and from the "
            "threshold"
        )
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        random_state=random_state,
    )
    rows, row = _case(subject.rows, case)
    what = subject.output
    is_high = bool(what(row)[0] >= threshold)
    same = (what(rows) >= threshold) == is_high
    search = RuleSearch.of(what, rows, row, threshold, is_high, bins, random_state)
    found = search.run(precision_at_least, max_conditions, beam, confidence)
    fresh = search.agreement([found], n_draws, random_state + 1)[0]
    low, high = clopper_pearson(Count(fresh, n_draws), confidence=confidence) or (0.0, 1.0)
    conditions = tuple(search.conditions[c] for c in sorted(found, key=lambda c: search.column[c]))
    met = search.met(found)
    covered = Count(int(met.sum()), len(rows))
    cover_low, cover_high = wilson(covered, confidence=confidence) or (0.0, 1.0)
    names = decision_words or (
        f"{what.words} below {threshold:g}",
        f"{what.words} of at least {threshold:g}",
    )
    holds = low >= precision_at_least
    return Rule(
        case=row.index[0],
        conditions=conditions,
        decision=names[is_high],
        precision=fresh / n_draws,
        precision_low=low,
        precision_high=high,
        n_draws=n_draws,
        real_agree=int((met & same).sum()),
        real_n=covered.successes,
        coverage=covered.successes / len(rows),
        coverage_low=cover_low,
        coverage_high=cover_high,
        n_rows=len(rows),
        base_rate=float(same.mean()),
        precision_at_least=precision_at_least,
        holds=holds,
        confidence=confidence,
        random_state=random_state,
        notes=_notes(search, row, found, covered.successes),
    )


def _case(rows: pd.DataFrame, case: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    if isinstance(case, pd.DataFrame):
        if len(case) != 1:
            raise InputError(f"case has {len(case)} rows; expected one")
        row, rows = align(as_frame(case, name="case"), rows)
        return rows.loc[:, list(row.columns)], row
    if not pd.api.types.is_hashable(case):
        raise InputError(
            f"case is a {type(case).__name__}; expected a label of X's index, or a DataFrame of "
            "one row"
        )
    places = np.flatnonzero([label == case for label in rows.index])
    if len(places) != 1:
        raise InputError(f"case is {case!r}: {len(places)} rows of X have that label; expected one")
    return rows, rows.iloc[places]


def _notes(
    search: RuleSearch, row: pd.DataFrame, found: Sequence[int], real: int
) -> tuple[str, ...]:
    notes = [
        "features of the rule are drawn one by one, the others together as in a real row, so draws "
        "can combine values that do not occur together; the precision on real rows does not",
        "the rule says what keeps the decision in place, not what would change it, and nothing "
        "about why the model was made so; other rules may hold as well",
    ]
    if real < 30:
        notes.append(f"only {real} real rows meet the rule")
    spoken = {search.column[c] for c in found}
    absent = [
        str(name)
        for j, name in enumerate(row.columns)
        if j not in spoken and j not in search.column
    ]
    if absent:
        notes.append(f"no condition could be offered for: {', '.join(absent)}")
    return tuple(notes)
