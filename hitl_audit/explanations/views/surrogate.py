"""A transparent stand-in for a model, never shown without how far it follows the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from hitl_audit.charts import Chart, Series, to_plotly
from hitl_audit.errors import InputError, did_you_mean
from hitl_audit.explanations.model_output import Scale
from hitl_audit.explanations.raw_features import hash_order
from hitl_audit.explanations.views.asking import (
    check_integers,
    check_number,
    check_share,
    notes_html,
    read_subject,
)
from hitl_audit.explanations.views.fidelity import fidelity_to
from hitl_audit.explanations.views.plain_columns import PlainColumns, tree_paths

__all__ = ["Surrogate", "surrogate"]

FloatArray = npt.NDArray[np.float64]
Kind = Literal["tree", "linear"]

FEWEST_ROWS = 60


@dataclass(frozen=True, eq=False, repr=False)
class Surrogate:
    """A shallow tree or a short sum that imitates one output of a model.

    Attributes:
        kind: ``"tree"`` or ``"linear"``.
        parts: the rules or terms; see :meth:`frame`.
        measures: the fidelity; see :meth:`fidelity`.
        intercept: of the sum; the mean output for a tree.
        output_words: what is imitated: ``probability of 1``.
        fidelity_at_least: the bar for R².
        follows: the lower end of the interval of R² clears the bar.
        n_fit, n_held_out: rows it was fitted on, and rows it was tested on.
        confidence: of every interval.
        random_state: seed.
        notes: what a reader must know about it.
        columns, estimator: how :meth:`predict` works.
    """

    kind: Kind
    parts: pd.DataFrame
    measures: pd.DataFrame
    intercept: float
    output_words: str
    fidelity_at_least: float
    follows: bool
    n_fit: int
    n_held_out: int
    confidence: float
    random_state: int
    notes: tuple[str, ...]
    columns: PlainColumns
    estimator: Any

    def predict(self, X: pd.DataFrame) -> FloatArray:
        """What the surrogate says of raw rows, shape (n,)."""
        return np.asarray(self.estimator.predict(self.columns.table(X)), dtype=np.float64)

    def frame(self) -> pd.DataFrame:
        """One line per rule or term, each with the fidelity of the whole.

        Tree: rule, says (the output in this leaf), n_held_out, share_held_out,
        mean_error (mean absolute difference to the model there). Linear: term,
        feature, per_unit, per_sd (of the fitted rows). Both: fidelity_r2,
        fidelity_low, fidelity_high, follows.
        """
        return self.parts.copy()

    def fidelity(self) -> pd.DataFrame:
        """How far it follows the MODEL on held-out rows.

        Columns: measure, value, low, high, n, interval, meaning.
        """
        return self.measures.copy()

    @property
    def words(self) -> str:
        """The fidelity in a sentence; with it every view of the surrogate begins."""
        r2 = self.measures.iloc[0]
        told = (
            f"R² {r2['value']:.2f} ({r2['low']:.2f} to {r2['high']:.2f})"
            if np.isfinite(r2["value"])
            else "R² is undefined, as the model's output is constant there"
        )
        agreement = self.measures[self.measures["measure"] == "agreement"]
        if len(agreement):
            one = agreement.iloc[0]
            told += (
                f" and the same decision in {one['value']:.1%} "
                f"({one['low']:.1%} to {one['high']:.1%})"
            )
        bar = "" if self.follows else (
            f"; below the bar of R² {self.fidelity_at_least:g}, so it must not be read as the model"
        )  # fmt: skip
        return (
            f"Fidelity of the surrogate {self.kind} to the model's {self.output_words}, on "
            f"{self.n_held_out:,} rows it was not fitted on: {told}{bar}"
        )

    def chart(self) -> Chart:
        """What each rule says, or what each term adds per standard deviation."""
        if self.kind == "tree":
            label, values = self.output_words, self.parts["says"]
            notes = tuple(
                f"{n:,} rows, error {e:.2g}"
                for n, e in zip(self.parts["n_held_out"], self.parts["mean_error"], strict=True)
            )
        else:
            label, values = f"change of the {self.output_words} per sd", self.parts["per_sd"]
            notes = ()
        names = tuple(self.parts["rule" if self.kind == "tree" else "term"])
        y = tuple(float(v) for v in values)
        numbers = "; ".join(f"{n}: {v:.3g}" for n, v in zip(names, y, strict=True))
        return Chart(
            "bars",
            self.words,
            f"{self.words}. {numbers}.",
            label,
            (Series(f"surrogate {self.kind}", names, y, notes=notes),),
        )

    def plot(self) -> Any:
        """:meth:`chart` as a plotly figure."""
        return to_plotly(self.chart())

    def __repr__(self) -> str:
        return f"<Surrogate: {self.words}>"

    def _repr_html_(self) -> str:
        shown = self.parts.drop(columns=["fidelity_r2", "fidelity_low", "fidelity_high", "follows"])
        return notes_html(self, shown, self.notes)


def surrogate(
    model: Any,
    X: Any,
    *,
    kind: Kind = "tree",
    max_depth: int = 3,
    max_terms: int = 6,
    threshold: float | None = None,
    fidelity_at_least: float = 0.8,
    held_out: float = 0.3,
    output: Any = None,
    scale: Scale | None = None,
    confidence: float = 0.95,
    max_rows: int | None = 5000,
    random_state: int = 0,
    feature_names: Sequence[str] | None = None,
) -> Surrogate:
    """Imitate a model's output with a shallow tree or a short sum, and measure the imitation.

    It is fitted to the model's outputs, not to the truth, on the rows that are
    not held out. Linear: the features are chosen on the lasso path, then fitted
    by least squares. The bar is met only if the lower end of the interval of
    R² clears it.

    Args:
        model: as in ``explain``.
        X: raw rows, a DataFrame or a 2-D array; at least 60.
        kind: ``"tree"`` or ``"linear"``.
        max_depth: of the tree.
        max_terms: of the sum.
        threshold: decisions that are compared; by default a probability of
            0.5 or log-odds of 0, and none for a value.
        fidelity_at_least: the bar for R².
        held_out: share of the rows it is tested on.
        output: as in ``explain``.
        scale: as in ``explain``; by default the value of a regressor and the
            probability of all else.
        confidence: of every interval.
        max_rows: of more rows, this many are sampled; ``None`` takes all.
        random_state: seed.
        feature_names: names for the columns of an array.

    Raises:
        InputError: an argument cannot be used, or too few rows.
        ExplanationError: the model failed.
    """
    kinds: Sequence[str] = get_args(Kind)
    if kind not in kinds:
        raise InputError(
            f'kind is "{kind}"; accepted: {", ".join(kinds)}{did_you_mean(kind, kinds)}'
        )
    check_integers(max_depth=(max_depth, 1), max_terms=(max_terms, 1))
    for name, value in (
        ("fidelity_at_least", fidelity_at_least),
        ("held_out", held_out),
        ("confidence", confidence),
    ):
        check_share(name, value)
    if threshold is not None:
        check_number("threshold", threshold)
    subject = read_subject(
        model,
        X,
        output=output,
        scale=scale,
        feature_names=feature_names,
        max_rows=max_rows,
        random_state=random_state,
    )
    rows = subject.rows
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"X has {len(rows)} rows; a surrogate needs at least {FEWEST_ROWS}")
    order = hash_order(rows, random_state=random_state)
    count = max(20, round(held_out * len(rows)))
    tested, fitted = rows.iloc[order[:count]], rows.iloc[order[count:]]
    asked = subject.output.scale
    if threshold is None and asked != "value":
        threshold = 0.5 if asked == "probability" else 0.0
    columns = PlainColumns.of(fitted)
    said, truth = subject.output(fitted), subject.output(tested)
    table = columns.table(fitted)
    if kind == "tree":
        estimator = _tree(table, said, max_depth, random_state)
    else:
        estimator = _sum(table, said, max_terms)
    mine = np.asarray(estimator.predict(columns.table(tested)), dtype=np.float64)
    measures = fidelity_to(truth, mine, threshold, confidence, random_state)
    r2 = measures.iloc[0]
    follows = bool(r2["low"] >= fidelity_at_least)
    if kind == "tree":
        parts = _rules(estimator, columns, columns.table(tested), truth, mine)
    else:
        parts = _terms(estimator, columns, table)
    parts = parts.assign(
        fidelity_r2=r2["value"],
        fidelity_low=r2["low"],
        fidelity_high=r2["high"],
        follows=follows,
    )
    notes = [
        *subject.notes,
        "fidelity is to the model, not to the truth, and for rows like these",
        "the surrogate describes outputs; that a feature appears in it does not say that the model "
        "uses that feature: it may stand for one that moves with it",
        *columns.notes,
    ]
    if not follows:
        notes.insert(0, "below the bar of fidelity: it must not be read as the model")
    return Surrogate(
        kind=kind,
        parts=parts,
        measures=measures,
        intercept=float(said.mean()) if kind == "tree" else float(estimator.intercept_),
        output_words=subject.output.words,
        fidelity_at_least=fidelity_at_least,
        follows=follows,
        n_fit=len(fitted),
        n_held_out=len(tested),
        confidence=confidence,
        random_state=random_state,
        notes=tuple(notes),
        columns=columns,
        estimator=estimator,
    )


def _tree(table: pd.DataFrame, said: FloatArray, max_depth: int, random_state: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor

    leaf = max(5, len(table) // 100)
    tree = DecisionTreeRegressor(
        max_depth=max_depth,
        min_samples_leaf=leaf,
        # Without it a leaf of equal outputs is split again by their rounding.
        min_impurity_decrease=1e-9 * float(said.var()),
        random_state=random_state,
    )
    return tree.fit(table, said)


def _sum(table: pd.DataFrame, said: FloatArray, max_terms: int) -> Any:
    """Least squares on the columns that the lasso path takes up first; others get 0."""
    from sklearn.linear_model import LinearRegression, lasso_path

    values = table.to_numpy()
    spread = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    chosen = np.zeros(values.shape[1], dtype=bool)
    if np.ptp(said) > 0 and spread.any():
        _, path, _ = lasso_path(standard, said - said.mean(), eps=1e-3, alphas=100)
        sizes = (path != 0).sum(axis=0)
        chosen = path[:, np.flatnonzero(sizes <= max_terms)[-1]] != 0
    fitted = LinearRegression().fit(table, said)
    fitted.coef_ = np.zeros(values.shape[1])
    fitted.intercept_ = float(said.mean())
    if chosen.any():
        short = LinearRegression().fit(values[:, chosen], said)
        fitted.coef_[chosen] = short.coef_
        fitted.intercept_ = float(short.intercept_)
    return fitted


def _rules(
    estimator: Any,
    columns: PlainColumns,
    table: pd.DataFrame,
    truth: FloatArray,
    mine: FloatArray,
) -> pd.DataFrame:
    leaves = estimator.apply(table)
    lines = []
    for leaf, path in tree_paths(estimator.tree_):
        here = leaves == leaf
        error = float(np.abs(truth - mine)[here].mean()) if here.any() else np.nan
        says = float(estimator.tree_.value[leaf].ravel()[0])
        lines.append((columns.rule_words(path), says, int(here.sum()), float(here.mean()), error))
    names = ["rule", "says", "n_held_out", "share_held_out", "mean_error"]
    return pd.DataFrame(lines, columns=names)


def _terms(estimator: Any, columns: PlainColumns, table: pd.DataFrame) -> pd.DataFrame:
    spread = table.to_numpy().std(axis=0)
    kept = np.flatnonzero(estimator.coef_)
    kept = kept[np.argsort(-np.abs(estimator.coef_ * spread)[kept], kind="stable")]
    return pd.DataFrame(
        {
            "term": [columns.terms[j] for j in kept],
            "feature": [columns.features[j] for j in kept],
            "per_unit": estimator.coef_[kept],
            "per_sd": (estimator.coef_ * spread)[kept],
        }
    )
